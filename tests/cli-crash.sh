#!/usr/bin/env bash
# A crash in a plugin's code names plugin, element and tensor, and ends the process by the same signal.
# shellcheck source-path=SCRIPTDIR
. "${AFP_TEST_SRCDIR:?}/tests/shell-util.sh"
ulimit -c 0
leave_signals
export AFPIPE_PLUGIN_PATH=${AFP_TEST_BUILDDIR:?}:$tmp/plugins
mkdir "$tmp/plugins"
ln -s "$AFP_TEST_BUILDDIR/tests/plugins/.libs/afpcrash.so" "$tmp/plugins/"

# dies SIGNAL TEXT... -- PIPELINE: by that signal, with all the texts on standard error
dies () { # shell: 128 + number
  local status=$((128 + $(kill -l "$1"))) texts=()
  shift
  while [ "$1" != -- ]; do
    texts+=("$1")
    shift
  done
  fails "$status" "${texts[@]}" -- afpipe-launch -q -j 3 "$2"
}
says_nothing () { # of what did not run: TEXT
  ! grep -F -- "$1" "$tmp/stderr"
}
whose="in plugin crash 0.7 ($tmp/plugins/afpcrash.so, from https://example.org/crash), element 'crash0'"
shapes=shapes=300x256

check 'it works where it does not crash' afpipe-launch -q "synth $shapes ! crash ! eval ! null"
check 'in encode_block' dies SEGV 'afpipe-launch: error: crashed (SIGSEGV' "$whose, tensor 'synth.0'" "of $AFP_TEST_BUILDDIR/tests/plugins/.libs/afpcrash.so" -- \
  "synth $shapes ! crash in=encode ! null"
check 'in fit' dies SEGV "$whose, tensor 'synth.0'" -- "synth $shapes ! crash in=fit ! null"
check 'in describe, while planning' dies SEGV "$whose, tensor 'synth.0'" -- "synth $shapes ! crash in=describe ! null"
check 'in check, before there are tensors' dies SEGV "$whose" -- "synth $shapes ! crash in=check ! null"
check '... names none' says_nothing ', tensor'
check 'in start' dies SEGV "$whose" -- "synth $shapes ! crash in=start ! null"
check 'in decode_block, called by eval' dies SEGV "in plugin crash 0.7 (" "called by 'judge', tensor 'synth.0'" -- \
  "synth $shapes ! crash in=decode ! eval name=judge ! null"
check 'as the quantizer of another element' dies SEGV "$whose, called by 'first', tensor 'synth.0'" -- \
  "synth $shapes ! seedlm name=first C=8 P=4 K=8 ! crash in=encode force=true ! null"
check 'abort()' dies ABRT 'crashed (SIGABRT' "$whose" -- "synth $shapes ! crash in=encode how=abort ! null"
check 'a fatal message' fails 133 'crashed (SIGTRAP' "$whose" 'a message that ends the process' -- \
  afpipe-launch -q "synth $shapes ! crash in=encode how=message ! null"
check 'a stack that overflows' dies SEGV 'crashed (SIGSEGV' "$whose, tensor 'synth.0'" -- "synth $shapes ! crash in=encode how=stack ! null"
check 'only once for all threads' test "$(grep -c 'crashed (' "$tmp/stderr")" = 1
check 'no output is left' fails 139 'crashed' -- afpipe-launch -q "synth $shapes ! crash in=encode ! write location=$tmp/out.h5"
check '... indeed' test ! -e "$tmp/out.h5"
finish
