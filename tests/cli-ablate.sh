#!/usr/bin/env bash
# Studies: what is run, what stands in the folder, how a study goes on that was killed, and what is said.
# shellcheck source-path=SCRIPTDIR
. "${AFP_TEST_SRCDIR:?}/tests/shell-util.sh"

cd "$tmp" || exit 1
RANDOM=5
text='synth shapes=32x32 count=2 distribution=normal ! subsets(vptq k={4,16}, hyper) ! eval ! null'
ablate () { afpipe-ablate -q -j1 "$@"; }
runs () { wc -l <"$1/results.jsonl"; }
# What differs from one time to the next.
plain () {
  sed -E 's/"(seconds|peak_rss_bytes|executions_cached)" ?: ?[-0-9.e+]+/"\1":0/g' "$1/results.jsonl" "$1/study.json"
}
same () { cmp <(plain "$1") <(plain "$2"); }

# --- a study, undisturbed ---
printf '%s\n' "$text" >s.afp
table () {
  afpipe-ablate -j1 -f s.afp --csv s.csv --plot s.svg >s.txt 2>s.err && cat s.txt s.err && grep -q '<svg' s.svg && grep -q '<html' s.ablation/report.html &&
    grep -q '^\*.*vptq k=16 ! hyper ' s.txt && grep -q 'hyper ! vptq k=16' s.txt && grep -q 'wins at' s.txt &&
    grep -q "^$(runs s.ablation) runs" s.txt && grep -q "^\[$(runs s.ablation)/" s.err &&
    [ "$(wc -l <s.csv)" -eq $(($(runs s.ablation) + 1)) ] && grep -q '"finished" : true' s.ablation/study.json
}
only_prints () {
  cp s.ablation/results.jsonl before && afpipe-ablate -j1 -f s.afp >again.txt 2>again.err && cat again.err &&
    cmp before s.ablation/results.jsonl && cmp s.txt again.txt && [ ! -s again.err ]
}
streams () {
  ablate --out j.ablation --json -f s.afp >j.jsonl 2>j.err && cat j.err && [ ! -s j.err ] &&
    [ "$(wc -l <j.jsonl)" -eq "$(runs s.ablation)" ] && ! grep -v '^{"run":.*}$' j.jsonl && same s.ablation j.ablation
}
at_once () { ablate --out two.ablation --runs-at-once 2 -f s.afp && same s.ablation two.ablation; }
sorted () {
  afpipe-ablate -f s.afp --sort -bpw,nmse 2>/dev/null | awk '/ b\/w / { for (i = 1; i <= NF; i++) if ($i == "k=16") print; next }
    /^\* on a/ { exit } NR > 1 { print }' >order && cat order && sed -n 1p order | grep -q 'no stage'
}
check 'a study: table, verdict, CSV' table
check 'a study that is complete only prints' only_prints
check '--json streams a record for each run' streams
check 'two runs at a time: the same results' at_once
check '--sort' sorted
planned () {
  ablate --plan --out p.ablation -f s.afp >plan.txt && cat plan.txt && grep -q 'hyper' plan.txt && grep -q '^time: about .* s (' plan.txt &&
    ! grep -q 'not counted' plan.txt && ablate --plan --json --out p.ablation -f s.afp >plan.json && grep -q '"runs"' plan.json &&
    grep -q '"seconds" : [0-9.]*[1-9]' plan.json && [ ! -e p.ablation ]
}
check '--plan runs nothing, and says how long it will take' planned
plan_on_record () {
  ablate --plan --out s.ablation -f s.afp >plan.txt && cat plan.txt && grep -q "^time: all $(runs s.ablation) runs are done" plan.txt &&
    ablate --plan --fresh --out s.ablation -f s.afp | grep -q '^time: about' &&
    ablate --plan --estimate-time 0 --out s.ablation -f s.afp >plan.txt && ! grep -q '^time' plan.txt
}
check '--plan of a study with records' plan_on_record
check 'an estimate in no time' fails 2 '--estimate-time -1: give seconds' -- ablate --plan --estimate-time -1 "$text"

# --- killed ---
# The tool is killed when there are N more records than before, in the middle of a run, or of a line.
killed () {
  local pid i k n=0
  for k in 1 2 2; do
    n=$((n + k))
    setsid afpipe-ablate -q -j1 --out k.ablation -f s.afp 2>/dev/null &
    pid=$!
    for ((i = 0; i < 1000; i++)); do
      [ "$(runs k.ablation 2>/dev/null || echo 0)" -ge $n ] 2>/dev/null && break
      sleep 0.005
    done
    sleep "0.0$((RANDOM % 40 + 10))"
    kill -9 $pid 2>/dev/null
    wait $pid 2>/dev/null
    printf '{"run":7,"id":"c9' >>k.ablation/results.jsonl
  done
  echo "at the last kill: $(runs k.ablation) whole lines"
  ablate --out k.ablation -f s.afp && same s.ablation k.ablation
}
interrupted () {
  local pid i status
  afpipe-ablate -j1 --out i.ablation 'synth shapes=512x512 count=40 ! seedlm K={10,11,12} ! eval ! null' 2>i.err &
  pid=$!
  for ((i = 0; i < 1000; i++)); do
    [ -e i.ablation/run-0.err ] && break
    sleep 0.005
  done
  kill -TERM $pid
  wait $pid
  status=$?
  cat i.err
  [ $status -eq 130 ] && grep -q 'the same command goes on with it' i.err && [ -e i.ablation/study.json ] &&
    ! grep -q cancelled i.ablation/results.jsonl && ! ls i.ablation/run-* 2>/dev/null
}
check 'killed three times: the same results' killed
check 'SIGTERM ends the runs and the study' interrupted
# SIGINT while two runs go on: no process is left, and the same command ends with the results of an undisturbed study.
stopped () {
  local pid i status children=
  bash -c 'trap - INT; exec afpipe-ablate -j2 --runs-at-once 2 --out v.ablation -f s.afp' 2>v.err >v.txt &
  pid=$!
  for ((i = 0; i < 1000; i++)); do
    [ "$(runs v.ablation 2>/dev/null || echo 0)" -ge 1 ] 2>/dev/null && break
    sleep 0.005
  done
  children=$(cat /proc/$pid/task/$pid/children 2>/dev/null)
  kill -INT $pid
  wait $pid
  status=$?
  cat v.err
  for i in $children; do
    ! grep -q '^State:[^Z]*$' "/proc/$i/status" 2>/dev/null || { echo "process $i is left"; return 1; }
  done
  { [ $status -eq 130 ] || [ $status -eq 0 ]; } && ablate --out v.ablation -f s.afp && same s.ablation v.ablation
}
check 'SIGINT: no process is left, and the study goes on' stopped

# --- inputs that change ---
changed () {
  cp "$model" m.h5 || return 1
  local study='load location=m.h5 ! select tensors=*bias* ! eval ! null'
  ablate --out c.ablation "$study" && grep -o '"id":"[0-9a-f]*"' c.ablation/results.jsonl >first &&
    printf 'x' >>m.h5 && { ablate --out c.ablation "$study" 2>/dev/null; true; } &&
    grep -o '"id":"[0-9a-f]*"' c.ablation/results.jsonl >second && ! cmp first second
}
check 'a changed input has other results' changed
fresh () {
  ablate --out j.ablation --fresh --json -f s.afp >j.jsonl && [ "$(wc -l <j.jsonl)" -eq "$(runs s.ablation)" ] &&
    same s.ablation j.ablation
}
check '--fresh starts over' fresh

rules () { # the content of a file of rules counts, not its name
  local study='synth shapes=32x32 count=2 ! vptq k=4 rules=r.txt ! eval ! null'
  ids () { grep -o '"id":"[0-9a-f]*"' u.ablation/results.jsonl; }
  echo 'synth.0 pass' >r.txt && ablate --out u.ablation "$study" && ids >first &&
    ablate --out u.ablation "$study" && ids | cmp - first &&
    echo 'synth.1 k=16' >r.txt && ablate --out u.ablation "$study" && ids >second && ! cmp -s first second &&
    ablate --out u.ablation --fresh --json "$study" | grep '"chain":"vptq' | grep -q '"executions":2'
}
check 'a changed file of rules has other results' rules

# --- failures ---
bad () { # a run fails, the others go on
  fails 5 'failed: ' 'nothing.h5' -- afpipe-ablate -j1 --out f.ablation \
    'either(load location=nothing.h5, synth shapes=8x8) ! hyper ! eval ! null' &&
    [ "$(grep -c '"status":"ok"' f.ablation/results.jsonl)" -ge 1 ] && grep -q '^failed: .*nothing.h5' stdout &&
    grep -q 'of the runs failed' stdout
}
check 'a run that fails: its status, and all others' bad
busy () {
  local status
  mkdir b.ablation && exec 9<b.ablation && flock 9 || return 1
  fails 5 'another process works on the study' -- ablate --out b.ablation -f s.afp
  status=$?
  exec 9<&-
  return $status
}
check 'a folder in use' busy
crash () { # a process of a run dies by a signal: no more than a failed run
  (
    ulimit -c 0
    leave_signals
    export AFPIPE_PLUGIN_PATH=${AFP_TEST_BUILDDIR:?}:$tmp/crashing
    mkdir -p crashing && ln -sf "$AFP_TEST_BUILDDIR/tests/plugins/.libs/afpcrash.so" crashing/ || exit 1
    fails 139 'failed: afpipe-launch was ended by signal 11' -- \
      afpipe-ablate -j1 --out d.ablation 'synth shapes=32x32 ! either(crash in=encode, hyper) ! eval ! null' &&
      grep '"kind":"crash"' d.ablation/results.jsonl | grep '"status":"failed","exit":139' | grep -q 'was ended by signal 11' &&
      [ "$(grep -c '"kind":"crash"' d.ablation/results.jsonl)" -eq 1 ] && [ "$(grep -c '"status":"ok"' d.ablation/results.jsonl)" -eq 2 ] &&
      grep -q '"finished" : true' d.ablation/study.json && ! ls d.ablation/run-* 2>/dev/null
  )
}
check 'a run that crashes: the others go on, and the status says so' crash
check 'no study' fails 2 'no pipeline: write afpipe-ablate' -- ablate
check 'a syntax error' fails 2 '^' -- ablate --out e 'synth ! ! null'
check 'a key that is none' fails 2 "--sort: there is no 'size'" 'bytes' -- ablate --out e --sort size "$text"
check 'axes that are none' fails 2 "--axes bytes,size: there is no 'size'" 'nmse' -- ablate --out e --plot p.svg --axes bytes,size "$text"
check 'axes of no picture' fails 2 'there is no --plot' -- ablate --out e --axes bytes,nmse "$text"
check 'rates that are none' fails 2 "--rates 1,x: 'x' is no number" -- ablate --out e --rates 1,x "$text"
check 'too many at once' fails 2 '--runs-at-once 0: give 1..256' -- ablate --out e --runs-at-once 0 "$text"
check 'threads' fails 2 '-j -1: give 1..1024' -- afpipe-ablate -j -1 --out e "$text"
check 'memory' fails 2 '--max-mem much' -- ablate --out e --max-mem much "$text"
check 'a variable that is none' fails 2 'NOPE' -- ablate --out e --set NOPE=1 "$text"
check 'a rival without an eval' fails 2 'the study has no eval' -- ablate --out e --rival x.h5 'synth ! hyper ! null'
nothing_made () { [ ! -e e ]; }
check 'what is refused makes no folder' nothing_made

rival () {
  ablate --out r.ablation --rival "$model" 'synth shapes=32x32 ! hyper ! eval ! null' &&
    grep -q '"chain":"rival model.h5"' r.ablation/results.jsonl && ! grep -q '"nmse":true.*rival' r.ablation/results.jsonl
}
check 'a rival goes through the same eval' rival
# By what is left of each byte of the text, for their tokenizers may differ.
rival_by_text () {
  local m=$shared/data/stories260k/stories260K.gguf
  head -c 2000 "$shared/data/text/valid200_eot.txt" >r.txt &&
    afpipe-ablate -q -j2 --csv rt.csv --out rt.ablation --rival "$m" "load location=$m ! rtn bits=8 ! eval text=r.txt ! null" &&
    grep '"rival' rt.ablation/results.jsonl | grep -q '"nll_per_byte":[0-9]' && grep -q 'stories260K.gguf' rt.ablation/study.json &&
    grep '"summary"' -A9 rt.ablation/study.json | grep 'nats\|byte'
}
if [ -f "$shared/data/stories260k/stories260K.gguf" ]; then
  check 'a rival that is asked a text' rival_by_text
else
  skip 'a rival that is asked a text' 'no shared data'
fi
finish
