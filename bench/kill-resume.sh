#!/usr/bin/env bash
# Kills runs at random moments and lets them go on: is the file the same, byte for byte, and what was saved?
#
#   build/afpipe-uninstalled bench/kill-resume.sh [KILLS [MODEL.safetensors]]
#
# Prints a row for each of three chains. MODEL is what the first one works on; without it, random tensors.
set -uo pipefail
kills=${1-20}
model=${2:+load location=$(realpath "$2")}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp" || exit 1
RANDOM=7
wrong=0

now () { echo $(($(date +%s%N) / 1000)); }

# row NAME PIPELINE: a run that is not interrupted; then KILLS times one that is killed at a random moment of it, and goes on.
row () {
  local begin took i pid tensors saved=0 n same=0 no_file=0
  rm -f ./*
  begin=$(now)
  afpipe-launch -q --report whole.json "$2 ! write location=whole.h5" || exit 1
  took=$(($(now) - begin))
  tensors=$(grep -c '"shape"' whole.json)
  for ((i = 0; i < kills; i++)); do
    rm -f again.h5*
    afpipe-launch -q "$2 ! write location=again.h5 resume=true" 2>/dev/null &
    pid=$!
    n=$((took * (RANDOM + 1) / 32768))
    sleep "$(printf '%d.%06d' $((n / 1000000)) $((n % 1000000)))"
    kill -9 $pid 2>/dev/null
    wait $pid 2>/dev/null
    if [ -e again.h5 ]; then # published before the kill: then it must be the whole
      cmp -s whole.h5 again.h5 || { wrong=$((wrong + 1)); continue; }
      same=$((same + 1))
      saved=$((saved + tensors))
      continue
    fi
    no_file=$((no_file + 1))
    if ! afpipe-launch -q --report again.json "$2 ! write location=again.h5 resume=true" || ! cmp -s whole.h5 again.h5 ||
      compgen -G 'again.h5.part*' >/dev/null; then
      wrong=$((wrong + 1))
      continue
    fi
    same=$((same + 1))
    n=$(sed -n 's/^  "tensors_resumed" : \([0-9]*\).*/\1/p' again.json)
    saved=$((saved + n))
  done
  printf '%-48s %8d %6d %9d %6d %6d %5d of %d (%d %%)\n' "$1" $((took / 1000)) "$kills" "$no_file" $((kills - same)) "$same" \
    "$saved" $((kills * tensors)) $((100 * saved / (kills * tensors)))
}

printf '%-48s %8s %6s %9s %6s %6s %s\n' chain 'run ms' kills 'in midrun' wrong same 'tensors saved'
row 'seedlm K=10 ! vptq ! hyper' "${model:-synth shapes=128x128 count=40 seed=1} ! seedlm K=10 ! vptq ! hyper"
row 'vptq residual=true ! vptq ! entropy ! eval' 'synth shapes=128x128 count=40 seed=2 ! vptq residual=true ! vptq ! entropy ! eval rows=1'
row 'hyper ! entropy' 'synth shapes=160x160 count=60 seed=3 ! hyper ! entropy'
[ "$wrong" -eq 0 ]
