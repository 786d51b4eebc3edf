#!/usr/bin/env bash
# Plugins that misbehave: listed with the reason, and nothing else breaks.
# shellcheck source-path=SCRIPTDIR
. "${AFP_TEST_SRCDIR:?}/tests/shell-util.sh"
leave_signals
from=${AFP_TEST_BUILDDIR:?}/tests/plugins/.libs
bad=$tmp/bad
mkdir "$bad" "$bad/afpfolder.so"
for name in load-crash init-crash init-abort init-exit make-crash a-fine-one z-fine-one; do
  cp "$from/afptrouble.so" "$bad/afp$name.so"
done
cp "$from"/afp{good,bad-abi,bad-magic,no-symbol,undefined}.so "$bad"
head -c 3000 "$from/afpgood.so" >"$bad/afpcut.so"
echo text >"$bad/afptext.so"
ln -s nowhere "$bad/afpgone.so"
export AFPIPE_PLUGIN_PATH=$AFPIPE_PLUGIN_PATH:$bad

# problem FILE REASON: inspect says so
problem () {
  afpipe-inspect --problems | tee "$tmp/problems" | grep -A1 -Fx "$bad/$1" | grep -F -- "$2" || { cat "$tmp/problems"; return 1; }
}
check 'a crash in a constructor' problem afpload-crash.so 'it crashed (Segmentation fault) while it was opened'
check 'a crash in init' problem afpinit-crash.so 'it crashed (Segmentation fault) in init'
check 'abort() in init' problem afpinit-abort.so 'it crashed (Aborted) in init'
check 'exit() in init' problem afpinit-exit.so 'it ended the process (exit status 0) in init'
check 'a crash when an element is made' problem afpmake-crash.so 'when one of its elements was made'
check 'another ABI' problem afpbad-abi.so 'ABI 2.0, this library has 1.0'
check 'another magic number' problem afpbad-magic.so 'wrong magic number'
check 'no entry point' problem afpno-symbol.so 'no symbol afp_plugin_get_desc'
check 'a symbol that is nowhere' problem afpundefined.so 'undefined symbol: afp_test_nowhere'
check 'a truncated module' problem afpcut.so 'it crashed (Bus error)'
check 'a text' problem afptext.so 'file too short'
check 'a folder' problem afpfolder.so 'a folder, not a module'
check 'a dangling link' problem afpgone.so 'No such file or directory'
check 'these, and no others' grep -F '13 problems' "$tmp/problems"

check 'good plugins beside them work' fails 0 -- \
  afpipe-launch -q 'synth shapes=64x64 ! good-thing ! a-fine-one ! vptq ! z-fine-one ! null'
check '... and nothing is said' test ! -s "$tmp/stderr"
check 'an element that could not be loaded: why' fails 3 "no element 'init-crash'" "$bad/afpinit-crash.so could not be used: it crashed" '^' -- \
  afpipe-launch -q 'synth shapes=64x64 ! init-crash ! null'
check '... in inspect, too' fails 3 "$bad/afpbad-abi.so could not be used: ABI 2.0" -- afpipe-inspect bad-abi

cp "$from/afptrouble.so" "$bad/afpinit-loop.so"
export AFPIPE_PLUGIN_SECONDS=2
check 'an endless loop in init' problem afpinit-loop.so 'it took more than 2 seconds in init'
check 'launch says what it waits for' fails 0 'afpipe-inspect --problems' -- afpipe-launch -q 'synth shapes=64x64 ! good-thing ! null'
rm "$bad/afpinit-loop.so"

export AFPIPE_HELPER_DIR=$tmp
rm "$bad"/afp{load,init,make}-* "$bad/afpcut.so"
check 'without the helper plugins work' fails 0 -- afpipe-launch -q 'synth shapes=64x64 ! good-thing ! null'
no_helper () { afpipe-inspect --problems | grep -F "plugins were loaded without a trial: the helper program '$tmp/afpipe-plugin-scan' is missing"; }
check '... and that is said' no_helper
finish
