#!/usr/bin/env bash
# run-tests.sh PREFIX: builds the two plugins against the afpipe that is installed in PREFIX and runs them. Prints TAP.
set -uo pipefail
prefix=${1:?usage: run-tests.sh PREFIX}
here=$(cd "$(dirname "$0")" && pwd)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
number=0

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

export PKG_CONFIG_PATH=$prefix/lib/pkgconfig${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}
export LD_LIBRARY_PATH=$prefix/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
unset AFPIPE_PLUGIN_SYSTEM_PATH
cp "$here"/*.c "$here"/Makefile "$tmp"
export AFPIPE_PLUGIN_PATH=$tmp
launch=$prefix/bin/afpipe-launch
inspect=$prefix/bin/afpipe-inspect

read -ra cflags < <(pkg-config --cflags afpipe-1.0)
read -ra libs < <(pkg-config --libs afpipe-1.0)

# total FIELD REPORT: a number of the report's total
total () { sed -n '/"total"/,/}/s/.*"'"$1"'" *: *\([-0-9.e+]*\).*/\1/p' "$2" | head -n 1; }

# less A B: is A < B?
less () { awk -v a="$1" -v b="$2" 'BEGIN { exit !(a + 0 < b + 0) }'; }

short () { [ "$(wc -l <"$here/round.c")" -lt 80 ] && [ "$(wc -l <"$here/Makefile")" -le 20 ]; }
listed () { "$inspect" round | grep -F 'Bits per weight' && "$inspect" lloyd | grep -F 'Lloyd-Max'; }
no_problems () { "$inspect" --problems | tee "$tmp/problems" && ! grep -E 'afp(round|lloyd)' "$tmp/problems"; }

round_trip () {
  "$launch" -q --report "$tmp/round.json" "synth shapes=128x96,33x7 ! round bits=4 ! eval ! write location=$tmp/round.h5" &&
    "$launch" -q "load location=$tmp/round.h5 ! decode ! write location=$tmp/round.safetensors" &&
    less "$(total nmse "$tmp/round.json")" 0.02
}

missing () {
  AFPIPE_PLUGIN_PATH='' "$launch" -q "load location=$tmp/round.h5 ! decode ! null" 2>"$tmp/missing"
  local status=$?
  cat "$tmp/missing"
  [ $status -eq 3 ] && grep -F "round" "$tmp/missing" && grep -F 'https://round.example/' "$tmp/missing"
}

# the query: seedlm chooses its seeds knowing how lloyd will round; without the query the error is larger
answers () {
  local chain="synth shapes=96x96 ! seedlm C=8 P=3 K=10"
  "$launch" -q --report "$tmp/joint.json" "$chain ! lloyd bits=3 planes=coeffs ! eval ! null" &&
    "$launch" -q --report "$tmp/open.json" "$chain open-loop=true ! lloyd bits=3 planes=coeffs ! eval ! null" &&
    grep -F 'optimised with lloyd0' "$tmp/joint.json" &&
    echo "joint $(total nmse "$tmp/joint.json"), open loop $(total nmse "$tmp/open.json")" &&
    less "$(total nmse "$tmp/joint.json")" "$(total nmse "$tmp/open.json")"
}

nested () { "$launch" -q "synth shapes=96x96 ! seedlm C=8 P=3 K=8 ! lloyd bits=4 ! hyper ! eval ! null"; }

# a plugin of another ABI is left out, with the reason, and nothing else breaks
other_abi () {
  mkdir -p "$tmp/abi" && sed 's/AFP_PLUGIN_DEFINE_ELEMENT ("round"/AFP_PLUGIN_DEFINE_ELEMENT ("other"/' "$here/round.c" >"$tmp/abi/other.c" &&
    ${CC:-cc} "${cflags[@]}" -include afpipe/afpipe.h -include "$tmp/abi/major.h" -shared -fPIC -fvisibility=hidden \
      -o "$tmp/abi/afpother.so" "$tmp/abi/other.c" "${libs[@]}" -lm &&
    AFPIPE_PLUGIN_PATH=$tmp/abi "$inspect" --problems | tee "$tmp/problems" && grep -E 'ABI 99\.0' "$tmp/problems"
}

# by the path of the module and by the name of the plugin
conforms () {
  local status=0
  "$prefix/bin/afpipe-conform" "$tmp/afp$1.so" >"$tmp/conform" && "$prefix/bin/afpipe-conform" --quick "$1" >>"$tmp/conform" || status=$?
  grep -vE '^(ok|skip) ' "$tmp/conform"
  return $status
}

check 'the codec has under 80 lines' short
check 'plain cc and pkg-config build both' make -C "$tmp" -s CFLAGS='-O2 -Wall -Wextra -Wno-unused-parameter -Werror'
check 'afpipe-inspect describes them' listed
check 'no problems' no_problems
check 'round: written and read back' round_trip
check 'round: without the plugin the error names codec and origin (exit 3)' missing
check "lloyd answers seedlm's query" answers
check "hyper takes lloyd's levels" nested
check 'round passes afpipe-conform' conforms round
check 'lloyd passes afpipe-conform' conforms lloyd
mkdir -p "$tmp/abi"
printf '#undef AFP_ABI_MAJOR\n#define AFP_ABI_MAJOR 99\n' >"$tmp/abi/major.h"
check 'another ABI is refused with both numbers' other_abi
echo "1..$number"
