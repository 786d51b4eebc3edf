#!/usr/bin/env bash
# Runs that are killed at random moments, and go on with write resume=true.
# shellcheck source-path=SCRIPTDIR
. "${AFP_TEST_SRCDIR:?}/tests/shell-util.sh"

cd "$tmp" || exit 1
trap 'umount "$tmp/small" "$tmp/locked" 2>/dev/null; rm -rf "$tmp"' EXIT
RANDOM=11
launch () { afpipe-launch -q "$@"; }
now () { date +%s%N; }
resumed () { sed -n 's/^  "tensors_resumed" : \([0-9]*\).*/\1/p' "$1"; }
# What is left in the folder besides the file itself.
leftovers () { ls "$1".part* 2>/dev/null; }

# begun NAME PIPELINE: starts it and kills it when it has finished a few tensors
begun () {
  local pid i
  afpipe-launch -q "$2" 2>/dev/null &
  pid=$!
  for ((i = 0; i < 1000; i++)); do
    [ "$(wc -l 2>/dev/null <"$1.part.journal")" -ge 3 ] 2>/dev/null && break
    sleep 0.005
  done
  kill -9 $pid
  wait $pid 2>/dev/null
  [ -s "$1.part.journal" ]
}

# killed NAME KILLS SOURCE-AND-CHAIN: the uninterrupted file; then one that is killed at random moments, until it is there.
killed () {
  local begin took i pid saved=0 n
  begin=$(now)
  launch "$3 ! write location=$1.h5" || return 1
  took=$((($(now) - begin) / 1000))
  for ((i = 0; i < $2; i++)); do
    afpipe-launch -q --report "$1.json" "$3 ! write location=$1.again.h5 resume=true" 2>"$1.err" &
    pid=$!
    sleep "$(printf '0.%06d' $((RANDOM * took / 32768 % 1000000)))"
    kill -9 $pid 2>/dev/null
    wait $pid 2>/dev/null
    if [ -e "$1.again.h5" ] && ! cmp "$1.h5" "$1.again.h5"; then return 1; fi
    [ -e "$1.again.h5" ] && [ -z "$(leftovers "$1.again.h5")" ] && rm "$1.again.h5"
  done
  launch --report "$1.json" "$3 ! write location=$1.again.h5 resume=true" || return 1
  n=$(resumed "$1.json")
  saved=$((saved + n))
  echo "last run: $saved tensors were there"
  cmp "$1.h5" "$1.again.h5" && [ -z "$(leftovers "$1.again.h5")" ]
}

check 'killed at random: a residual chain, entropy and eval' killed a 5 \
  'synth shapes=96x96 count=60 seed=1 ! vptq residual=true k=16 ! vptq k=16 ! entropy ! eval rows=2'
check 'killed at random: the model that ships' killed m 5 "load location=$model ! hyper ! entropy ! eval"
check 'killed at random: branches' killed t 4 \
  'synth shapes=64x64 count=40 seed=2 ! hyper ! eval ! tee name=t ! entropy ! write location=other.h5 overwrite=true resume=true t.'

# --- one run, looked at closely ---
chain='synth shapes=96x96 count=40 seed=3 ! hyper ! eval rows=2'
launch "$chain ! write location=whole.h5" || echo 'Bail out!'

goes_on () { # NAME AT-LEAST
  launch --report "$1.json" "$chain ! write location=$1 resume=true" && cmp whole.h5 "$1" &&
    [ -z "$(leftovers "$1")" ] && echo "resumed $(resumed "$1.json")" && [ "$(resumed "$1.json")" -ge "$2" ]
}
tensors_are_taken_over () { begun k.h5 "$chain ! write location=k.h5 resume=true" && goes_on k.h5 1; }
torn () { begun l.h5 "$chain ! write location=l.h5" && printf '{"name":"syn' >>l.h5.part.journal && goes_on l.h5 1; }
shorter () { begun s.h5 "$chain ! write location=s.h5 resume=true" && truncate -s 100 s.h5.part && goes_on s.h5 0; }
check 'finished tensors are not computed again' tensors_are_taken_over
check 'a torn line, and a run that did not ask for it' torn
check 'a payload that is shorter than the journal says' shorter

refused () { # TEXT PIPELINE
  begun r.h5 "$chain ! write location=r.h5 resume=true" || return 1
  cp r.h5.part before
  fails 5 "cannot go on with 'r.h5.part'" "$1" 'restore that, or begin anew without resume=true' -- launch "$2" || return 1
  cmp before r.h5.part && rm -f r.h5*
}
check 'another pipeline is refused' refused 'the pipeline has changed: it was "synth' \
  'synth shapes=96x96 count=40 seed=3 ! hyper U=100 ! eval rows=2 ! write location=r.h5 resume=true'
said () { begun q.h5 "$chain ! write location=q.h5" && afpipe-launch "$chain ! write location=q.h5 resume=true" 2>&1 | grep 'write0: goes on with an earlier run'; }
check 'what was taken over is said' said
# Of the same shapes, so that only the values differ.
other_input () {
  launch 'synth shapes=64x64 count=60 seed=5 ! write location=in.safetensors' &&
    begun i.h5 'load location=in.safetensors ! hyper ! eval ! write location=i.h5 resume=true' &&
    launch 'synth shapes=64x64 count=60 seed=6 ! write location=in.safetensors overwrite=true' &&
    fails 5 'the input has changed' -- launch 'load location=in.safetensors ! hyper ! eval ! write location=i.h5 resume=true'
}
check 'another input is refused' other_input
anew () {
  begun n.h5 "$chain ! write location=n.h5 resume=true" &&
    fails 0 "was left by a run that was killed, with" 'resume=true would have gone on with it' -- launch "$chain ! write location=n.h5" &&
    cmp whole.h5 n.h5 && [ -z "$(leftovers n.h5)" ]
}
check 'without resume=true a part is overwritten, and that is said' anew

# --- failures that are no kill ---
full_disk () { # a limit on the size of files stands for it
  (trap '' XFSZ; ulimit -f 100; fails 5 'cannot write' 'run the same pipeline again' "f.h5.part' keeps" -- launch "$chain ! write location=f.h5 resume=true") &&
    goes_on f.h5 1
}
full_disk_clean () {
  (trap '' XFSZ; ulimit -f 100; fails 5 'cannot write' -- launch "$chain ! write location=g.h5") && [ -z "$(leftovers g.h5)" ] && [ ! -e g.h5 ]
}
check 'a full disk keeps what is done' full_disk
check 'a full disk without resume=true leaves nothing' full_disk_clean

# Real ones, where file systems can be mounted.
small_disk () {
  mount -t tmpfs -o size=100k none small || return 1
  fails 5 'cannot write' 'No space left on device' 'run the same pipeline again' -- launch "$chain ! write location=small/f.h5 resume=true" &&
    mount -o remount,size=10M small && goes_on small/f.h5 1
  local status=$?
  umount small
  return $status
}
read_only () {
  mount --bind locked locked && mount -o remount,ro,bind locked || return 1
  fails 5 "cannot write 'locked/f.h5': folder 'locked': Read-only file system" -- launch "$chain ! write location=locked/f.h5 resume=true"
  local status=$?
  umount locked
  return $status
}
mkdir small locked
if mount -t tmpfs -o size=100k none small 2>/dev/null && umount small; then
  check 'a disk that is full, and then is not' small_disk
else
  skip 'a disk that is full, and then is not' 'cannot mount here'
fi
if mount --bind locked locked 2>/dev/null && umount locked; then
  check 'a read-only folder' read_only
else
  skip 'a read-only folder' 'cannot mount here'
fi

interrupted () { # SIGNAL NAME
  local pid i status
  set -m # else the shell has its jobs ignore SIGINT
  afpipe-launch -q "$chain ! write location=$2 resume=true" 2>"$2.err" &
  pid=$!
  set +m
  for ((i = 0; i < 1000; i++)); do
    [ "$(wc -l 2>/dev/null <"$2.part.journal")" -ge 3 ] 2>/dev/null && break
    sleep 0.005
  done
  kill "-$1" $pid
  wait $pid
  status=$?
  cat "$2.err"
  [ $status -eq 130 ] && grep 'finishing the tensor at work' "$2.err" && grep 'to go on: run the same pipeline again' "$2.err" && goes_on "$2" 2
}
check 'Ctrl-C keeps what is done, and says how to go on' interrupted INT c.h5
check 'SIGTERM likewise' interrupted TERM d.h5

# The input is cut off while it is read: zeros may be read there, but none of them come into a file.
cut_off () { # NAME EXTRA
  local pid i status
  cp input.safetensors cut.safetensors
  afpipe-launch -q "load location=cut.safetensors ! vptq k=64 ! eval ! write location=$1 $2" 2>"$1.err" &
  pid=$!
  for ((i = 0; i < 1000; i++)); do
    [ "$(wc -l 2>/dev/null <"$1.part.journal")" -ge 3 ] 2>/dev/null && break
    sleep 0.005
  done
  truncate -s 5000 cut.safetensors
  wait $pid
  status=$?
  cat "$1.err"
  [ $status -eq 5 ] && [ ! -e "$1" ] && grep "'cut.safetensors' became shorter while it was read" "$1.err" && grep "tensor 'synth" "$1.err"
}
cut_off_clean () { cut_off u.h5 '' && [ -z "$(leftovers u.h5)" ]; }
cut_off_and_restored () {
  cut_off v.h5 resume=true || return 1
  cp input.safetensors cut.safetensors
  launch "load location=cut.safetensors ! vptq k=64 ! eval ! write location=straight.h5" &&
    launch --report v.json "load location=cut.safetensors ! vptq k=64 ! eval ! write location=v.h5 resume=true" && cmp straight.h5 v.h5 &&
    [ "$(resumed v.json)" -ge 1 ]
}
launch 'synth shapes=200x200 count=40 seed=4 ! write location=input.safetensors'
check 'an input that is cut off is an error' cut_off_clean
check 'and the run goes on when it is restored' cut_off_and_restored

# --- a folder of what was made ---
member () { sed -n "s/^  \"$2\" : \([0-9]*\).*/\1/p" "$1"; }
# one_for_all CHAIN: without a folder, into an empty one, and out of it: the same file, and the same figures.
one_for_all () {
  local i chain
  rm -rf made
  for chain; do
    rm -f plain.h5 first.h5 second.h5
    launch --report plain.json "$chain ! write location=plain.h5" &&
      launch --cache made --report first.json "$chain ! write location=first.h5" &&
      launch --cache made --report second.json "$chain ! write location=second.h5" || return 1
    cmp plain.h5 first.h5 && cmp plain.h5 second.h5 || return 1
    for i in plain first second; do
      sed -n '/^  "evals" : .$/,/^  ]/p' $i.json | grep -v '"seconds"' >$i.evals
      [ "$(member plain.json executions)" = "$(member $i.json executions)" ] || return 1
    done
    cmp plain.evals first.evals && cmp plain.evals second.evals || return 1
    echo "$(member second.json executions_cached) of $(member second.json executions)"
    [ "$(member second.json executions_cached)" = "$(member second.json executions)" ] || return 1
  done
}
small="synth shapes=48x64 count=3 seed=5"
check 'what was made once is found again: each codec' one_for_all "$small ! rtn bits=3" "$small ! hyper ! eval" "$small ! vptq k=16 ! entropy" \
  "$small ! seedlm search=fast K=8 ! eval"
check 'chains that are optimised together, or not' one_for_all "$small ! seedlm search=fast K=8 ! vptq k=16 ! hyper ! eval" \
  "$small ! vptq k=16 residual=true ! hyper" "$small ! vptq k=16 seed=3 ! decode ! seedlm search=fast K=8 open-loop=true ! vptq k=16"
check 'planes that tensors share' one_for_all "$small ! vptq sharing=model k=16 ! eval" "$small ! seedlm search=fast K=8 ! vptq sharing=model k=16" \
  "$small ! vptq codebook=builtin k=16 ! eval"
if [ -n "$AFP_TEST_SHARED" ]; then
  check 'with feedback by moments' one_for_all "load location=$AFP_TEST_SHARED/data/stories260k/stories260K.gguf ! select tensors=*.0.attn* !
    calibrate text=$AFP_TEST_SHARED/data/text/valid200_eot.txt tokens=64 context=32 ! vptq k=16 feedback=true order=importance"
  kept_moments () {
    afpipe-launch -v --cache made "load location=$AFP_TEST_SHARED/data/stories260k/stories260K.gguf ! select tensors=*.0.attn* !
      calibrate text=$AFP_TEST_SHARED/data/text/valid200_eot.txt tokens=64 context=32 ! null" >all 2>&1
    grep 'moments are those of an earlier run$' all || { cat all; return 1; }
  }
  check 'the moments are kept there' kept_moments
fi

# What a killed run left is whole, or is made anew; two runs at once do not disturb each other.
shared_folder () {
  local chain="synth shapes=96x96 count=40 seed=6 ! vptq k=64 ! hyper" pid i
  rm -rf made ./*.found.h5
  launch "$chain ! write location=straight.found.h5" || return 1
  for ((i = 0; i < 4; i++)); do
    afpipe-launch -q --cache made "$chain ! null" &
    pid=$!
    sleep 0.0$((RANDOM % 9 + 1))
    kill -9 $pid 2>/dev/null
    wait $pid 2>/dev/null
  done
  launch --cache made "$chain ! write location=a.found.h5" &
  launch --cache made "$chain ! write location=b.found.h5" || return 1
  wait
  launch --cache made --report found.json "$chain ! write location=c.found.h5" || return 1
  for i in a b c; do cmp straight.found.h5 $i.found.h5 || return 1; done
  [ "$(member found.json executions_cached)" = "$(member found.json executions)" ]
}
check 'killed and crowded, the folder is of use' shared_folder
resumed_with_folder () {
  rm -f r.h5
  begun r.h5 "$chain ! write location=r.h5 resume=true" || return 1
  launch --cache made --report r.json "$chain ! write location=r.h5 resume=true" && cmp whole.h5 r.h5 && [ "$(resumed r.json)" -ge 2 ] &&
    [ $(($(resumed r.json) + $(member r.json executions))) = 40 ]
}
check 'a run that goes on, with a folder' resumed_with_folder
limited () {
  rm -rf made
  launch --cache made --cache-limit 40K "synth shapes=96x96 count=40 seed=7 ! hyper ! null" && [ "$(du -sb --apparent-size made | cut -f1)" -lt 1100000 ] &&
    [ "$(find made -type f -printf '%s\n' | paste -sd+ | bc)" -le 40960 ]
}
check 'within its limit' limited
check 'a limit without a folder' fails 2 '--cache-limit 4G: give a size' -- launch --cache-limit 4G "$small ! null"
check 'a limit that is none' fails 2 '--cache-limit much: give a size' -- launch --cache made --cache-limit much "$small ! null"
unwritable () {
  launch --cache /dev/null/made "$small ! hyper ! null" 2>unwritable.err && [ "$(grep -c "cannot write '/dev/null/made" unwritable.err)" = 1 ]
}
check 'a folder that cannot be: one warning' unwritable

check 'only for our own format' fails 2 'resume=true goes with format=afpipe' -- launch "$chain ! decode ! write location=x.safetensors resume=true"
check 'an output that exists is not touched' fails 5 "'whole.h5' exists already" -- launch "$chain ! write location=whole.h5 resume=true"
finish
