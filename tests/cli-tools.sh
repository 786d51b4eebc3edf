#!/usr/bin/env bash
# afpipe-launch, afpipe-inspect, afpipe-info: options and what they print.
# shellcheck source-path=SCRIPTDIR disable=SC2016
. "${AFP_TEST_SRCDIR:?}/tests/shell-util.sh"

says () { # TEXT COMMAND...
  local text=$1
  shift
  "$@" >"$tmp/says" 2>&1 || return 1
  cat "$tmp/says"
  grep -qF -- "$text" "$tmp/says"
}
valid_json () { python3 -m json.tool >/dev/null; }
json_of () { "$@" >"$tmp/json" && valid_json <"$tmp/json"; }

for tool in launch inspect info tasks; do
  check "afpipe-$tool --help" says 'Usage' "afpipe-$tool" --help
  check "afpipe-$tool --version" says 'afpipe' "afpipe-$tool" --version
  check "afpipe-$tool: a wrong option" fails 2 '--nope' -- "afpipe-$tool" --nope
done

check 'inspect lists elements' says 'seedlm' afpipe-inspect
check 'inspect as JSON' json_of afpipe-inspect --json
snapshot () {
  afpipe-inspect --json | diff -u "$src/tests/data/inspect.json" - ||
    { echo 'if that is meant: make inspect-snapshot, and commit tests/data/inspect.json'; return 1; }
}
check 'inspect says what it said of all elements (make inspect-snapshot)' snapshot
check 'inspect of an element as JSON' json_of afpipe-inspect --json seedlm
check 'inspect shows alias and range' says 'block-size (C): 1..256 weights, default 12' afpipe-inspect seedlm
check 'inspect shows presets' says 'preset=paper-4bit' afpipe-inspect seedlm
check 'inspect of a plugin' says 'LGPL-2.1-or-later' afpipe-inspect io
check 'inspect lists plugins' says 'flow' afpipe-inspect --plugins
check 'inspect: no problems here' says '0 problems' afpipe-inspect --problems
check 'inspect: an unknown name' fails 3 "'seedlmm'" "'seedlm'" -- afpipe-inspect seedlmm
echo nonsense >"$tmp/afpbad.so"
bad_plugin () { AFPIPE_PLUGIN_PATH=$tmp says "$tmp/afpbad.so" afpipe-inspect --problems && grep -F '1 problem' "$tmp/says"; }
check 'inspect: a file that is no plugin is a problem with a reason' bad_plugin

check 'plan prints claims with both numbers' says 'without it' afpipe-launch --plan "load location=$model ! vptq ! null"
check 'plan as JSON' json_of afpipe-launch --plan --json "load location=$model ! vptq ! null"
check 'plan reads no payload and writes nothing' says 'vptq0' afpipe-launch --plan "load location=$model ! vptq ! write location=$tmp/never.h5"
check '... indeed' test ! -e "$tmp/never.h5"
check 'report as JSON on standard output' json_of afpipe-launch --json -q "load location=$model ! vptq ! eval ! null"
check 'several arguments are joined' says 'vptq0' afpipe-launch synth shapes=64x64 '!' vptq '!' null
printf '# a comment\nsynth shapes=${S}  # and another\n ! vptq ! null\n' >"$tmp/pipe.afp"
check 'a file, comments, --set' says '4,096 weights' afpipe-launch -f "$tmp/pipe.afp" --set S=64x64
check 'trace: a table at the end' says 'stage   calls  bytes in  bytes out  seconds  waited' afpipe-launch -q --trace stats 'synth shapes=64x64 ! vptq ! null'
trace_to_stderr () { afpipe-launch --json -q --trace stats 'synth shapes=64x64 ! vptq ! null' 2>"$tmp/trace" | valid_json && grep -q '^vptq0 ' "$tmp/trace"; }
check '... and the standard output is a report, nothing else' trace_to_stderr
check 'trace: of no such kind' fails 2 '--trace stts' '--trace stats' -- afpipe-launch --trace stts 'synth shapes=8x8 ! null'
check 'trace: nothing runs with --plan' fails 2 'nothing runs' -- afpipe-launch --plan --trace stats 'synth shapes=8x8 ! null'

# A little parser of what Graphviz reads: statements of quoted names, edges, attributes. Prints nodes and edges.
graph () {
  python3 - "$1" <<'PY'
import re, sys
text = open(sys.argv[1]).read()
string = r'"(?:[^"\\]|\\.)*"'
name = rf'(?:{string}|\w+)'
attributes = rf'\[{name}={name}(?:, {name}={name})*\]'
statement = rf'\s*(?:rankdir=LR|node {attributes}|({name})(?: -> ({name}))? {attributes});\n'
head = re.match(r'digraph afpipe \{\n', text)
at, nodes, edges = head.end(), set(), []
while m := re.compile(statement).match(text, at):
    at = m.end()
    if m[2]:
        edges.append((m[1], m[2]))
    elif m[1]:
        nodes.add(m[1])
assert text[at:] == '}\n', text[at:]
assert all(a in nodes and b in nodes for a, b in edges), edges
print(len(nodes), 'nodes', len(edges), 'edges')
PY
}
draw () { # TEXT OPTION... PIPELINE
  local text=$1
  shift
  afpipe-launch -q --dot "$tmp/g.dot" "$@" && graph "$tmp/g.dot" | tee "$tmp/says" && grep -qFx "$text" "$tmp/says"
}
check 'dot: elements, queues and links' draw '5 nodes 4 edges' 'synth shapes=64x64 ! vptq ! null'
check 'dot: branches' draw '9 nodes 8 edges' 'synth shapes=64x64 ! tee name=t ! vptq ! null t. ! select tensors=* ! null'
check 'dot: with --plan, and quotes in values' draw '5 nodes 4 edges' --plan 'synth shapes=64x64 ! vptq tensors="a\"b\\*,*" ! null'
check '... escaped' grep -F 'tensors=a\"b\\*,*' "$tmp/g.dot"
check 'dot: what the plan decided' grep -F 'takes weight in 1: ' "$tmp/g.dot"
dot_of_failure () { fails 4 'rank' -- afpipe-launch -q --dot "$tmp/g.dot" 'synth shapes=64x64 ! tensor,rank=3 ! null' && graph "$tmp/g.dot"; }
check 'dot: of a plan that fails' dot_of_failure
check 'dot: a folder that is not there' fails 5 "$tmp/none/g.dot" -- afpipe-launch -q --dot "$tmp/none/g.dot" "synth shapes=64x64 ! write location=$tmp/no.h5"
check '... and nothing was run' test ! -e "$tmp/no.h5"
check 'quiet says nothing' test -z "$(afpipe-launch -q 'synth shapes=64x64 ! vptq ! null' 2>&1)"
fields () {
  afpipe-launch -q --report "$tmp/r.json" "load location=$model ! vptq ! eval ! write location=$tmp/r.h5" || return 1
  python3 - "$tmp/r.json" <<'PY'
import json, sys
r = json.load(open(sys.argv[1]))
def need(obj, names):
    for n in names.split():
        assert n in obj, (n, sorted(obj))
need(r, 'pipeline exit total outputs stages tensors evals peak_rss_bytes versions')
totals = 'weights bytes bits_per_weight file_bytes extras_bytes file_bits_per_weight ratio_input ratio_fp16 ratio_fp32 nmse sqnr_db cosine'
need(r['total'], totals); need(r['outputs'][0], totals)
for s in r['stages']: need(s, 'name element seconds bytes_in bytes_out claims')
for t in r['tensors']: need(t, 'name shape dtype bytes bits_per_weight nmse sqnr_db')
for e in r['evals']: need(e, 'name after metrics')
assert r['exit'] == 0 and r['total']['weights'] == 257162
bias = [t for t in r['tensors'] if t['name'].endswith('bias:0')][0]
assert bias['sqnr_db'] is None and bias['nmse'] == 0
PY
}
check 'the report has its fields, null where there is no value' fields

check 'info of a Keras file' says 'keras' afpipe-info "$model"
check 'info of ours' says 'pipeline: load ! vptq ! eval ! write' afpipe-info "$tmp/r.h5"
check 'info as JSON' json_of afpipe-info --json "$tmp/r.h5"
check 'info with planes' says 'weight/codebook/codes' afpipe-info -v "$tmp/r.h5"
check 'info --verify' says 'every checksum is right' afpipe-info --verify "$tmp/r.h5"
check 'info --compare' says '10 of 10 tensors' afpipe-info --compare "$model" "$tmp/r.h5"
check 'info without a file' fails 2 'afpipe-info FILE' -- afpipe-info
check 'info --compare with one file' fails 2 '2 needed' -- afpipe-info --compare "$model"
check 'info of nothing' fails 5 "$tmp/nope" -- afpipe-info "$tmp/nope"
damage () { # one byte of the payload
  cp "$tmp/r.h5" "$tmp/bad.h5"
  python3 - "$tmp/bad.h5" <<'PY'
import sys
data = bytearray(open(sys.argv[1], 'rb').read())
data[-40000] ^= 1
open(sys.argv[1], 'wb').write(data)
PY
  fails 5 'checksum' -- afpipe-info --verify "$tmp/bad.h5"
}
check 'a flipped bit is found, with its tensor' damage

# What programs that it starts find: ours is what OpenBLAS takes for processors of Intel that it knows; the user's own choice stays.
blas () { # OPENBLAS_CORETYPE wanted
  printf '#!/bin/sh\ncase "$OPENBLAS_CORETYPE" in %s) echo "{\\"right\\": 1}" ;; *) echo "{\\"right\\": 0}" ;; esac\n' "$1" >"$tmp/judge"
  chmod +x "$tmp/judge"
  afpipe-launch -q "synth shapes=8x8 ! eval command=$tmp/judge require=right>0 ! null"
}
blas_code () {
  local wanted='""'
  (OPENBLAS_CORETYPE=NEHALEM && export OPENBLAS_CORETYPE && blas NEHALEM && fails 7 'right' -- blas HASWELL) || return 1
  if grep -q 'vendor_id.*GenuineIntel' /proc/cpuinfo && grep -q ' avx2 ' /proc/cpuinfo; then wanted='HASWELL|SKYLAKEX'; fi
  (unset OPENBLAS_CORETYPE && blas "$wanted")
}
check 'OpenBLAS is told which code to take, unless the user did' blas_code
finish
