#!/usr/bin/env bash
# Studies: what afpipe-ablate itself costs, and whether kills change what comes out.
#
#   build/afpipe-uninstalled bench/bench-ablate.sh [RUNS [KILLS]]
#
# First a study of RUNS tiny runs, and the same once more, when all is done; then a study that is killed KILLS times at random moments.
set -uo pipefail
runs=${1-1000}
kills=${2-20}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp" || exit 1
RANDOM=7

now () { echo $(($(date +%s%N) / 1000)); }
# Without what differs from one time to the next.
plain () { sed -E 's/"(seconds|peak_rss_bytes|executions_cached)" ?: ?[-0-9.e+]+/"\1":0/g' "$1/results.jsonl" "$1/study.json"; }

many="synth shapes=8x8 seed={$(seq -s, 1 "$runs")} ! eval ! null"
begin=$(now)
afpipe-ablate -q -j1 --no-cache --out many "$many" || exit 1
took=$(($(now) - begin))
begin=$(now)
for ((i = 0; i < 20; i++)); do afpipe-launch -q -j1 'synth shapes=8x8 ! eval ! null'; done
alone=$((($(now) - begin) / 20))
begin=$(now)
afpipe-ablate -q --no-cache --out many "$many" & pid=$!
peak=0
while rss=$(awk '/^VmHWM/ { print $2 }' "/proc/$pid/status" 2>/dev/null) && [ -n "$rss" ]; do peak=$rss; sleep 0.01; done
wait $pid
echo "$runs runs: $((took / runs)) us each, of which a call of afpipe-launch takes $alone; complete, again: $((($(now) - begin) / 1000)) ms, $peak KiB"

study='synth shapes=48x48 count=4 ! subsets(seedlm K=8, vptq k={4,16}, hyper) ! eval ! null'
begin=$(now)
afpipe-ablate -q -j1 --out whole "$study" || exit 1
took=$(($(now) - begin))
for ((i = 0; i < kills; i++)); do
  setsid afpipe-ablate -q -j1 --out killed "$study" 2>/dev/null & pid=$!
  n=$((took * (RANDOM + 1) / 32768 / 8))
  sleep "$(printf '%d.%06d' $((n / 1000000)) $((n % 1000000)))"
  kill -9 $pid 2>/dev/null
  wait $pid 2>/dev/null
  [ -e killed/results.jsonl ] && printf ' %d' "$(wc -l <killed/results.jsonl)"
done
afpipe-ablate -q -j1 --out killed "$study" || exit 1
echo " records at the kills, of $(wc -l <whole/results.jsonl)"
cmp <(plain whole) <(plain killed) && echo "killed $kills times: the same results"
