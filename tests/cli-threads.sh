#!/usr/bin/env bash
# Branches, queues, sinks and the pool at work together: what a build with ThreadSanitizer is to see.
# shellcheck source-path=SCRIPTDIR
. "${AFP_TEST_SRCDIR:?}/tests/shell-util.sh"

launch () { afpipe-launch -q "$@"; }

joint () {
  launch -j 3 "load location=$model ! select tensors=*conv2d* ! seedlm K=5 ! vptq k=16 ! hyper ! eval ! entropy ! write location=$tmp/joint.h5"
}
branches () {
  launch -j 3 "load location=$model ! tee name=t ! vptq k=16 ! eval ! write location=$tmp/a.h5
    t. ! hyper ! entropy ! eval ! write location=$tmp/b.h5  t. ! null" && [ -s "$tmp/a.h5" ] && [ -s "$tmp/b.h5" ]
}
failing_branch () {
  fails 7 'sqnr_db' -- launch -j 3 "load location=$model ! tee name=t ! hyper ! null  t. ! vptq k=2 ! eval require='sqnr_db>60' ! null"
}
many_tensors () {
  launch -j 3 "synth shapes=24x32 count=60 ! vptq k=8 ! decode ! write location=$tmp/many.safetensors"
}

check 'a joint chain' joint
check 'branches with a sink each' branches
check 'a branch that fails' failing_branch
check 'many small tensors' many_tensors

race=${AFP_TEST_BUILDDIR:?}/tests/tsan/race
if [ -x "$race" ]; then
  check 'the sanitizer sees a race' fails 66 'data race' -- "$race"
  check 'the sanitizer sees a lock' "$race" locked
else
  skip 'the sanitizer sees a race and a lock' 'not built with ThreadSanitizer'
fi
finish
