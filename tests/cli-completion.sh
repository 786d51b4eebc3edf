#!/usr/bin/env bash
# Completion in bash, as bash calls it: with COMP_LINE, COMP_POINT, COMP_WORDS, COMP_CWORD.
# shellcheck source-path=SCRIPTDIR disable=SC2034
. "${AFP_TEST_SRCDIR:?}/tests/shell-util.sh"
# shellcheck source=../completions/afpipe
. "$src/completions/afpipe"

# complete_line WORD...: the last one is at the cursor. What is replied is in $tmp/reply.
complete_line () {
  COMP_WORDS=("$@")
  COMP_CWORD=$(($# - 1))
  COMP_LINE="$*"
  COMP_LINE=${COMP_LINE// = /=}
  COMP_LINE=${COMP_LINE// =/=}
  COMP_POINT=${#COMP_LINE}
  _afpipe "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
  printf '%s\n' "${COMPREPLY[@]}" >"$tmp/reply"
  cat "$tmp/reply"
}
# replies WORD... -- LINE...: these words are among the replies
replies () {
  local wanted=() word
  while [ "$1" != -- ]; do
    wanted+=("$1")
    shift
  done
  shift
  complete_line "$@"
  for word in "${wanted[@]}"; do
    grep -qFx -- "$word" "$tmp/reply" || { echo "missing: $word"; return 1; }
  done
}
only () { replies "$@" && [ "$(sort -u "$tmp/reply" | wc -l)" -eq 1 ]; }
nothing () { complete_line "$@" && [ -z "$(cat "$tmp/reply")" ]; }

check 'words: elements' replies load seedlm vptq null -- afpipe-launch ''
check 'an element of a study' only synth -- afpipe-ablate --sort nll syn
check 'an element at the start' only synth -- afpipe-launch syn
check 'an element behind options' only synth -- afpipe-launch -q -j 4 --report r.json syn
check 'elements after !' replies seedlm select -- afpipe-launch synth '!' se
check 'properties of the element' replies 'block-size=' 'preset=' 'layout=' 'C=' 'name=' '!' -- afpipe-launch synth '!' seedlm ''
check 'a property' only 'block-size=' -- afpipe-launch synth '!' seedlm block
check 'values of an enumeration' replies flat row -- afpipe-launch synth '!' seedlm layout = ''
check 'one of them' only flat -- afpipe-launch synth '!' seedlm layout = f
check 'presets' replies paper-4bit paper-3bit -- afpipe-launch synth '!' seedlm preset = paper
check 'truth' replies true false -- afpipe-launch synth '!' vptq residual = ''
quoted () { # EXPECTED LINE-IN-QUOTES: bash replaces the whole word
  complete_line afpipe-launch "\"$2" && grep -qFx -- "$1" "$tmp/reply"
}
check 'in quotes: an element' quoted 'synth shapes=8x8 ! vptq' 'synth shapes=8x8 ! vp'
check 'in quotes: a property' quoted 'synth ! seedlm block-size=' 'synth ! seedlm block'
check 'in quotes: a value' quoted 'synth ! seedlm preset=paper-4bit' 'synth ! seedlm preset=pap'
check 'no such element: nothing but !' only '!' -- afpipe-launch nosuch ''
check 'no such property' nothing afpipe-launch synth nosuch = x
check 'options' replies --plan --report --dot --trace -- afpipe-launch --
check 'an option' only --problems -- afpipe-inspect --pro
check 'kinds of traces' only stats -- afpipe-launch --trace ''
check 'elements for inspect' only seedlm -- afpipe-inspect seed
touch "$tmp/model.h5"
check 'files for info' only "$tmp/model.h5" -- afpipe-info "$tmp/mod"
check 'formats of questions' replies piqa lambada hellaswag arc -- afpipe-tasks ''
check 'one of them' only hellaswag -- afpipe-tasks hel
check 'files of questions' only "$tmp/model.h5" -- afpipe-tasks piqa "$tmp/mod"
check 'words of an unknown element' fails 3 nosuch -- afpipe-inspect --words nosuch
finish
