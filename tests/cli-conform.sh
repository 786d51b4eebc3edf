#!/usr/bin/env bash
# afpipe-conform: every codec that ships passes; every fault of tests/plugins/bad-codecs.c is found, with the right line.
# shellcheck source=tests/shell-util.sh
. "${AFP_TEST_SRCDIR:?}/tests/shell-util.sh"

bad=${AFP_TEST_BUILDDIR:?}/tests/plugins/.libs/afpbad-codecs.so
# GLib's complaints are to be lines of the report.
export G_DEBUG=

# conforms PLUGIN [ELEMENT]: passes all
conforms () { afpipe-conform --quick --timeout 120 "$@" >"$tmp/conform"; local status=$?; grep -vE '^(ok|skip) ' "$tmp/conform"; return $status; }

# faulty ELEMENT CASES REGEX...: exit 6, and a line FAIL for each expression
faulty () {
  local element=$1 cases=$2 status
  shift 2
  afpipe-conform --quick --timeout "${limit:-60}" --only "$cases" "$bad" "$element" >"$tmp/faulty"
  status=$?
  cat "$tmp/faulty"
  [ $status -eq 6 ] || { echo "exit status $status"; return 1; }
  for expression; do
    grep -qE "^FAIL $element: $expression" "$tmp/faulty" || { echo "missing: $expression"; return 1; }
  done
}

json () {
  afpipe-conform --quick --json "$bad" bad-lossy >"$tmp/json"
  [ $? -eq 6 ] && python3 - "$tmp/json" <<'PY'
import json, sys
r = json.load(open(sys.argv[1]))
assert r['plugin'] == 'bad-codecs' and r['failed'] > 0 and r['cases'] > 30, r
outcomes = [x['outcome'] for x in r['results']]
assert outcomes.count('fail') == r['failed'] and outcomes.count('ok') == r['passed']
assert outcomes.count('skip') == r['skipped'] and set(outcomes) <= {'ok', 'fail', 'skip'}
for x in r['results']:
    assert x['element'] == 'bad-lossy' and x['case'] and x['check']
    assert x['outcome'] != 'fail' or (x['expected'] and x['found'])
PY
}

leaks () {
  afpipe-conform --quick --verbose --only 'leaks*' "$bad" bad-leaks >"$tmp/leaks"
  if ! grep -F 'leaks: memory cannot be measured here' "$tmp/leaks"; then
    faulty bad-leaks 'leaks*' 'leaks, .*: leaks: expected no memory to be left behind, found: [0-9]+ bytes more'
  fi
}

for plugin in builtin vptq hyper rtn entropy; do
  check "$plugin conforms" conforms "$plugin"
done
# What threads share and cancelling are much work for seedlm, and too much where sanitizers slow it down.
slow=()
[ "${CK_FORK-}" != no ] || slow=(--except 'threads*' --except 'cancel*')
check 'seedlm conforms' conforms "${slow[@]}" seedlm
check 'a codec without a fault conforms' conforms "$bad" bad-none
check 'one element of a plugin' conforms builtin raw32

check 'found: another layout each time' faulty bad-lies 'data, normal*' \
  'data, normal .*: layout: expected planes as described, found: .* 8 bits.* 9 bits'
check 'found: other numbers in other threads' faulty bad-threads 'threads*' \
  'threads, several tiles .*: decode with -j[25]: expected the numbers of the first time'
check 'found: a crash, with its case' faulty bad-crashes 'data*' \
  'data, one column .*: encode: expected no crash, found: .*killed by signal 6'
check '... and the cases after it are tried' grep -qE '^ok   bad-crashes: data, convolution' "$tmp/faulty"
limit=2
check 'found: an endless loop' faulty bad-loops 'data, zeros*' \
  'data, zeros .*: encode: expected an end in time, found: no end after 2 seconds'
unset limit
check 'found: any text is taken' faulty bad-anything 'text*' 'text of mode: mode=/no/such/value: expected an error'
check 'found: any number is taken' faulty bad-anything 'property*' 'property step=0: finite numbers: expected finite numbers'
check "found: a leak" leaks
check 'found: codes that depend on neighbours' faulty bad-neighbour 'query*' \
  'query, vectors of 4: vectors alone: expected the codes that it has among others'
check "found: GLib's complaint" faulty bad-complains 'data, normal*' \
  'data, normal .*: expected no complaint of GLib, found: this codec complains'
check 'found: a decoder that trusts its planes' faulty bad-trusts 'damaged*' \
  "damaged planes, .*: plane 0 'codes': all zeros .*: expected no crash"
check 'found: more bytes than the bound' faulty bad-bound '?*' \
  'data, normal .*: encode: .*its function bound\(\) is wrong' 'bytes: symbols of 8 bits: expected no more bytes'
check 'found: a lossy coder' faulty bad-lossy 'bytes' 'bytes: symbols of 8 bits: expected the bytes that were packed'
check 'as JSON' json

check 'no plugin' fails 2 'usage: afpipe-conform PLUGIN [ELEMENT]' -- afpipe-conform
check 'too many arguments' fails 2 'usage:' -- afpipe-conform a b c
check 'a timeout of nothing' fails 2 '--timeout' -- afpipe-conform --timeout 0 vptq
check 'all cases excepted' fails 2 'no case is left' -- afpipe-conform --except '*' vptq
check 'no such case' fails 2 "no case is called 'nope*'" -- afpipe-conform --only 'nope*' vptq
check 'an unknown option' fails 2 '--nope' -- afpipe-conform --nope
check 'an unknown plugin, with the nearest' fails 3 "no plugin 'vptk'" "'vptq'" -- afpipe-conform vptk
check 'an unknown element' fails 3 "plugin 'vptq' has no element 'seedlm'" -- afpipe-conform vptq seedlm
check 'a plugin without codecs' fails 3 "plugin 'flow' has no codec" -- afpipe-conform flow
check 'an element that is no codec' fails 2 "element 'tee' is no codec" -- afpipe-conform flow tee
check 'no module file' fails 3 "$tmp/afpnone.so" -- afpipe-conform "$tmp/afpnone.so"
echo nonsense >"$tmp/afpnonsense.so"
check 'a file that is no module' fails 3 "$tmp/afpnonsense.so" 'cannot be used' -- afpipe-conform "$tmp/afpnonsense.so"
check 'a module that is no plugin' fails 3 'afp_plugin_get_desc' -- afpipe-conform "$AFP_TEST_BUILDDIR/tests/plugins/.libs/afpno-symbol.so"
finish
