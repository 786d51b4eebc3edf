# shellcheck shell=bash disable=SC2034
# Shared by the shell tests: TAP, a folder of their own, and the model that ships.
set -uo pipefail
# LeakSanitizer's tracer itself crashes now and then in processes that have just ended threads; leaks are looked for in the C tests.
export ASAN_OPTIONS=${ASAN_OPTIONS-detect_leaks=0}

# Where sanitizers would catch them first: a crash is to be seen as what it is.
leave_signals () {
  local signals=handle_segv=0:handle_abort=0:handle_sigfpe=0:handle_sigbus=0
  export ASAN_OPTIONS=$ASAN_OPTIONS:$signals:handle_sigtrap=0
  export UBSAN_OPTIONS=${UBSAN_OPTIONS-}:$signals
}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
number=0
src=${AFP_TEST_SRCDIR:?}
model=$src/models/fashion-mnist/model.h5
shared=${AFP_TEST_SHARED-}

# check NAME COMMAND...: one case; what the command says is shown if it fails.
check () {
  local name=$1
  shift
  number=$((number + 1))
  if "$@" >"$tmp/out" 2>&1; then
    echo "ok $number - $name"
  else
    echo "not ok $number - $name"
    sed 's/^/# /' "$tmp/out"
  fi
}

skip () {
  number=$((number + 1))
  echo "ok $number - $1 # SKIP $2"
}

finish () { echo "1..$number"; }

# fails STATUS TEXT... -- COMMAND...: the command ends with that status and says all the texts on standard error.
fails () {
  local expected=$1 texts=() status text
  shift
  while [ "$1" != -- ]; do
    texts+=("$1")
    shift
  done
  shift
  "$@" >"$tmp/stdout" 2>"$tmp/stderr"
  status=$?
  cat "$tmp/stderr"
  if [ "$status" -ne "$expected" ]; then
    echo "exit status $status, expected $expected"
    return 1
  fi
  for text in "${texts[@]}"; do
    grep -qF -- "$text" "$tmp/stderr" || { echo "missing: $text"; return 1; }
  done
}

# total FIELD REPORT: a number of the report's total, or null
total () { sed -n '/^  "total"/,/^  }/s/.*"'"$1"'" *: *\([-0-9.e+null]*\).*/\1/p' "$2" | head -n 1; }

# holds EXPRESSION: of awk
holds () { awk "BEGIN { exit !($1) }"; }
