#!/usr/bin/env bash
# eval runs a language model: what the tool says of it. All weights of the model here are zero: each of its 262 tokens is as likely as any.
# shellcheck source-path=SCRIPTDIR
. "${AFP_TEST_SRCDIR:?}/tests/shell-util.sh"

cd "$tmp" || exit 1
export TMPDIR=$tmp/tmp XDG_CACHE_HOME=$tmp/cache
mkdir tmp
# word NUMBER: as four bytes, the lowest first
word () {
  # shellcheck disable=SC2059
  printf "$(printf '\\x%02x\\x%02x\\x%02x\\x%02x' $(($1 & 255)) $(($1 >> 8 & 255)) $(($1 >> 16 & 255)) $(($1 >> 24 & 255)))"
}
# piece TEXT: of the tokenizer, with a score of 0
piece () { word 0; word ${#1}; printf %s "$1"; }
{
  for n in 8 8 1 2 2 262 16; do word $n; done # dim, hidden, layers, heads, kv heads, vocabulary, context
  head -c $((4 * (64 + 2 * 8 + 7 * 64 + 262 * 8 + 8))) /dev/zero
} >m.bin
{
  word 5
  for text in '<unk>' '<s>' '</s>'; do piece "$text"; done
  for ((i = 0; i < 256; i++)); do piece "$(printf '<0x%02X>' $i)"; done
  for text in ' ' a b; do piece "$text"; done
} >t.bin
printf 'abba, said the boat, and abba said the sea' >text.txt
load='load location=m.bin tokenizer=t.bin'
nll=5.56834

# says TEXT... -- COMMAND...: it succeeds, and its standard output or error has the texts.
says () {
  local texts=()
  while [ "$1" != -- ]; do
    texts+=("$1")
    shift
  done
  shift
  "$@" >all 2>&1 || { cat all; return 1; }
  cat all
  local text
  for text in "${texts[@]}"; do grep -qE -- "$text" all || { echo "missing: $text"; return 1; }; done
}
# value_of NAME REPORT: of the model
value_of () { sed -n 's/^ *"'"$1"'" *: *\([-0-9.e+null]*\),*$/\1/p' "$2" | head -n 1; }

check 'a table: here, original, loss' says '^ *model +here +original +loss$' "^ *nll +$nll +$nll +0\.00%$" \
  '^ *perplexity +262 +262 +0\.00%$' '^ *tokens +43 +43$' '^ *same_top1 +1 +-$' -- afpipe-launch "$load ! eval text=text.txt ! null"
report () {
  afpipe-launch -q --report r.json "$load ! seedlm ! eval text=text.txt ! write location=w.h5" || return 1
  grep -E '"(nll|tokens|joint|top1|kl_p99)' r.json
  [ "$(value_of tokens r.json)" = 43 ] && [ "$(value_of nll_loss r.json)" = 0.0 ] && [ "$(value_of top1 r.json)" = "$(value_of top1_ref r.json)" ] &&
    [ "$(value_of kl_p99 r.json)" = 0.0 ] && grep -q '"joint" : false' r.json &&
    holds "$(value_of nll r.json) - log(262) < 1e-6 && log(262) - $(value_of nll r.json) < 1e-6"
}
check 'the report' report
check 'metrics are in the file' says '"?nll"? *[:=]? *5\.5683' -- afpipe-info w.h5
alone () {
  afpipe-launch -q --report s.json 'load location=w.h5 ! eval text=text.txt ! null' || return 1
  grep '"nll' s.json
  [ "$(value_of nll s.json)" = "$(value_of nll r.json)" ] && [ "$(value_of nll_ref s.json)" = null ]
}
check 'a written file runs by itself' alone
check 'a plan runs nothing' says 'eval' -- afpipe-launch --plan "$load ! eval text=text.txt command='/no/such/program' ! null"
check 'a program outside' says '^ *size +[1-9][0-9]* +-' -- \
  afpipe-launch "$load ! eval command='sh -c \"wc -c <\\\$1 | sed s/.*/{\\\\\\\"size\\\\\\\":\\&}/\" x' ! null"
calibrates () {
  afpipe-launch -q "$load ! calibrate text=text.txt ! null" && ls "$XDG_CACHE_HOME/afpipe/moments/"*.moments &&
    says 'moments are those of an earlier run' -- afpipe-launch -v "$load ! calibrate text=text.txt ! null"
}
check 'calibrate keeps its moments in the cache' calibrates

# kept FOUND OF [COMMAND...]: so many analyses are in the folder
kept () {
  local found=$1 of=$2
  shift 2
  "$@" afpipe-launch -q --cache kept --report k.json "$load ! calibrate text=text.txt ! seedlm ! eval text=text.txt ! null" || return 1
  grep analyses k.json
  [ "$(value_of analyses k.json)" = "$of" ] && [ "$(value_of analyses_cached k.json)" = "$found" ]
}
once () { kept 0 2 && kept 2 2 && kept 2 2; }
check 'with a folder, the original is asked once' once
# The same plugin, but for a byte that nobody reads.
other_plugin () {
  mkdir -p other || return 1
  local file
  file=$(afpipe-inspect eval | sed -n 's/^  \(\/.*afpeval\..*\)$/\1/p')
  [ -f "$file" ] && cp "$file" other && printf x >>"other/${file##*/}" && kept 0 2 env "AFPIPE_PLUGIN_PATH=$PWD/other:$AFPIPE_PLUGIN_PATH" &&
    kept 2 2 env "AFPIPE_PLUGIN_PATH=$PWD/other:$AFPIPE_PLUGIN_PATH" && kept 2 2
}
check 'another version of the plugin does not trust the folder' other_plugin
changed_text () {
  printf 'abba, said the boat, and the sea said abba' >text.txt
  kept 0 2 && kept 2 2
}
check 'another text' changed_text
check 'an inspection says what is kept' says '^Kept for later runs' '^  states: ' '^      depends on: ' -- afpipe-inspect eval

# refused STATUS TEXT PIPELINE: nothing is written
refused () {
  fails "$1" "$2" -- afpipe-launch "$3 ! write location=x.h5" && [ -z "$(ls x.h5* 2>/dev/null)" ]
}
check 'a condition that is not met' refused 7 'eval0 requires perplexity<10, but perplexity is 262: nothing was published' \
  "$load ! eval text=text.txt require='perplexity<10'"
check 'no language model' refused 4 'cannot be run as a language model' 'synth shapes=4x4 ! eval text=text.txt'
check 'a tensor is missing' refused 4 "it has no tensor 'norm.weight'" "$load ! select exclude=norm.weight ! eval text=text.txt"
check 'no such text' refused 5 'text=none.txt: there is no such file' "$load ! eval text=none.txt"
check 'options without a text' refused 2 'context= is about the text' "$load ! eval context=8"
check 'an unknown metric' refused 2 "no metric 'nl'" "$load ! eval text=text.txt require='nl<3'"
check 'a program that fails' refused 5 "command: 'false' failed with exit status 1" "$load ! eval command=false"
check 'too little memory' fails 8 'eval0 needs' 'layer by layer' -- \
  afpipe-launch --max-mem 200M "$load ! eval text=text.txt context=400000 separator=x ! null"
check 'nothing is left in the temporary folder' test -z "$(ls "$TMPDIR")"
finish
