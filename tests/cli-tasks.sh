#!/usr/bin/env bash
# afpipe-tasks: published files of questions become what eval reads.
# shellcheck source-path=SCRIPTDIR
. "${AFP_TEST_SRCDIR:?}/tests/shell-util.sh"

# becomes LINE... -- ARGUMENT...: the tool prints these lines and no others
becomes () {
  local lines=()
  while [ "$1" != -- ]; do
    lines+=("$1")
    shift
  done
  shift
  afpipe-tasks "$@" >"$tmp/got" || return 1
  diff <(printf '%s\n' "${lines[@]}") "$tmp/got"
}
# of FORMAT TEXT [LABELS]: the files x and labels
of () {
  printf '%s' "$1" >"$tmp/x"
  [ $# -lt 2 ] || printf '%s' "$2" >"$tmp/labels"
}

of '{"goal": "Boil \"it\"?", "sol1": "yes ", "sol2": "no"}

{"goal": "\u00e9", "sol1": "a", "sol2": "b"}
' $'1\r\n0'
check 'PIQA' becomes '{"question":"Question: Boil \"it\"?\nAnswer:","choices":["yes ","no"],"answer":1}' \
  '{"question":"Question: é\nAnswer:","choices":["a","b"],"answer":0}' -- piqa "$tmp/x" "$tmp/labels"
check 'from standard input' becomes '{"question":"Question: Boil \"it\"?\nAnswer:","choices":["yes ","no"],"answer":1}' \
  '{"question":"Question: é\nAnswer:","choices":["a","b"],"answer":0}' -- piqa - "$tmp/labels" <"$tmp/x"

of '{"text": "a \"b\"\nc", "id": 5}'
check 'LAMBADA' becomes '{"text":"a \"b\"\nc"}' -- lambada "$tmp/x"

hella='"activity_label": "Roof [title] work", "ctx": "whole", "ctx_a": "A man [substeps] is up.", "ctx_b": "he McCOY", "endings": [" is [header] one.", "two [title] three"]'
of "{$hella, \"label\": 1, \"ind\": 24}
{$hella, \"label\": \"0\"}
{\"activity_label\": \"Ice\", \"ctx\": \"It [ is\", \"endings\": [\"a\", \"b]\", \"c\"], \"label\": 2}"
check 'HellaSwag' becomes \
  '{"question":"Roof. work: A man is up. He mccoy","choices":["is one.","two. three"],"answer":1}' \
  '{"question":"Roof. work: A man is up. He mccoy","choices":["is one.","two. three"],"answer":0}' \
  '{"question":"Ice: It [ is","choices":["a","b]","c"],"answer":2}' -- hellaswag "$tmp/x"

letters='"choices": [{"text": "x", "label": "A"}, {"text": "y", "label": "B"}, {"text": "z", "label": "C"}]'
digits='"choices": [{"text": "x", "label": "1"}, {"text": "y", "label": "2"}, {"text": "z", "label": "3"}]'
of "{\"id\": \"M_1\", \"question\": {\"stem\": \"Which?\", $letters}, \"answerKey\": \"C\"}
{\"question\": {\"stem\": \"Which?\", $digits}, \"answerKey\": \"2\"}
{\"question\": {\"stem\": \"Which?\", $letters}, \"answerKey\": \"1\"}
{\"question\": {\"stem\": \"Which?\", $digits}, \"answerKey\": \"B\"}
{\"question\": {\"stem\": \"Which?\", $digits}, \"answerKey\": 3}"
arc () { printf '{"question":"Question: Which?\\nAnswer:","choices":["x","y","z"],"answer":%d}' "$1"; }
check 'ARC, with letters and with numbers' becomes "$(arc 2)" "$(arc 1)" "$(arc 0)" "$(arc 1)" "$(arc 2)" -- arc "$tmp/x"

if [ -n "$shared" ]; then
  tasks=$shared/data/tasks
  # has LINES FIRST-LINE ARGUMENT...
  has () {
    afpipe-tasks "${@:3}" >"$tmp/got" && [ "$(wc -l <"$tmp/got")" -eq "$1" ] && [ "$(head -n 1 "$tmp/got")" = "$2" ]
  }
  check 'all of PIQA' has 1838 '{"question":"Question: How do I ready a guinea pig cage for it'"'"'s new occupants?\nAnswer:","choices":["Provide the guinea pig with a cage full of a few inches of bedding made of ripped paper strips, you will also need to supply it with a water bottle and a food dish.","Provide the guinea pig with a cage full of a few inches of bedding made of ripped jeans material, you will also need to supply it with a water bottle and a food dish."],"answer":0}' \
    piqa "$tasks/piqa_valid.jsonl" "$tasks/piqa_valid-labels.lst"
  answers () { cmp <(sed 's/.*"answer":\([0-9]\)}$/\1/' "$tmp/got") "$tasks/piqa_valid-labels.lst"; }
  check 'its answers are its labels' answers
  check 'all of LAMBADA' has 5153 "$(head -n 1 "$tasks/lambada_test.jsonl" | sed 's/": "/":"/')" lambada "$tasks/lambada_test.jsonl"
else
  skip 'all of PIQA and LAMBADA' 'there is no shared folder'
fi

# wrong FORMAT TEXT MESSAGE [LABELS]
wrong () {
  of "$2" "${4-}"
  if [ $# -gt 3 ]; then
    fails 5 "$3" -- afpipe-tasks "$1" "$tmp/x" "$tmp/labels"
  else
    fails 5 "$3" -- afpipe-tasks "$1" "$tmp/x"
  fi && [ ! -s "$tmp/stdout" ]
}
good='{"goal": "a", "sol1": "b", "sol2": "c"}'
check 'PIQA without a solution' wrong piqa "$good
{\"goal\": \"a\", \"sol1\": \"b\"}" "line 2 of '$tmp/x': it has no text 'sol2'" '0
1'
check 'PIQA with a label of none' wrong piqa "$good" "line 1 of '$tmp/x': the label is '2'; of 2 choices it must be one of 0 to 1" 2
check 'PIQA with too few labels' wrong piqa "$good
$good" "line 2 of '$tmp/x': there is no label for it: '$tmp/labels' has 1" 1
check 'PIQA with too many labels' wrong piqa "$good" "'$tmp/labels' has 2 labels, '$tmp/x' 1 questions" '0
1'
check 'LAMBADA without a text' wrong lambada '{"txt": "a b"}' "line 1 of '$tmp/x': it has no text 'text'"
check 'no question' wrong lambada '' "'$tmp/x' has no question in it"
check 'no JSON' wrong lambada 'a b' "line 1 of '$tmp/x' is damaged"
check 'no object' wrong lambada '{"text": "a b"}
["a b"]' "line 2 of '$tmp/x': it is not a JSON object"
check 'HellaSwag without labels' wrong hellaswag "{$hella}" "it has no 'label': those of the test set are not published"
check 'HellaSwag with an empty label' wrong hellaswag "{$hella, \"label\": \"\"}" "it has no 'label'"
check 'HellaSwag with another label' wrong hellaswag "{$hella, \"label\": 2}" "the label is '2'; of 2 choices"
check 'HellaSwag without a context' wrong hellaswag '{"activity_label": "a", "endings": ["a", "b"], "label": 0}' "it has no text 'ctx'"
check 'HellaSwag with one ending' wrong hellaswag '{"activity_label": "a", "ctx": "b", "endings": ["a"], "label": 0}' "it has 1 'endings'; two are the least"
check 'HellaSwag with a number for an ending' wrong hellaswag '{"activity_label": "a", "ctx": "b", "endings": ["a", 1], "label": 0}' "number 1 of 'endings' is not a text"
check 'ARC without a question' wrong arc '{"question": "Which?", "answerKey": "A"}' "it has no object 'question'"
check 'ARC without an answer' wrong arc "{\"question\": {\"stem\": \"Which?\", $letters}}" "it has no text 'answerKey'"
check 'ARC with an answer that is none' wrong arc "{\"question\": {\"stem\": \"Which?\", $letters}, \"answerKey\": \"D\"}" "'answerKey' is 'D', which is none of the 3 choices"
check 'ARC with one choice' wrong arc '{"question": {"stem": "Which?", "choices": [{"text": "x", "label": "A"}]}, "answerKey": "A"}' "its question has 1 'choices'"
check 'ARC with a choice that is none' wrong arc '{"question": {"stem": "Which?", "choices": ["x", "y"]}, "answerKey": "A"}' "number 0 of 'choices' has no text 'text'"
check 'an unknown format, with the nearest' fails 2 "no format 'piqua'; did you mean 'piqa'?" 'piqa, lambada, hellaswag, arc' -- afpipe-tasks piqua "$tmp/x"
check 'labels that are missing' fails 2 'afpipe-tasks piqa FILE LABELS' -- afpipe-tasks piqa "$tmp/x"
check 'labels of a format without' fails 2 'arc has no labels in a file of their own' -- afpipe-tasks arc "$tmp/x" "$tmp/x"
check 'no file' fails 2 'usage: afpipe-tasks FORMAT FILE [LABELS]' -- afpipe-tasks arc
check 'a file that is not there' fails 5 "cannot read '$tmp/nope'" -- afpipe-tasks arc "$tmp/nope"
check 'labels that are not there' fails 5 "cannot read '$tmp/nope'" -- afpipe-tasks piqa "$tmp/x" "$tmp/nope"
check 'an unknown option' fails 2 '--nope' -- afpipe-tasks --nope
helps () { afpipe-tasks --help | grep -F 'hellaswag  HellaSwag'; }
check 'help names the formats' helps
finish
