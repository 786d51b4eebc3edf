#!/usr/bin/env bash
# Every wrong word that a user can type: what, where (caret or tensor), both values, what to do, and the exit status.
# shellcheck source-path=SCRIPTDIR disable=SC2016
. "${AFP_TEST_SRCDIR:?}/tests/shell-util.sh"

launch () { afpipe-launch -q "$@"; }

# the text of a pipeline
check 'nothing at all' fails 2 'no pipeline' -- launch
check 'an empty text' fails 2 -- launch ' '
check 'a dangling !' fails 2 '^' -- launch 'synth shapes=8x8 !'
check 'two ! in a row' fails 2 '^' -- launch 'synth shapes=8x8 ! ! null'
check 'an open quote' fails 2 '^' -- launch 'synth shapes="8x8 ! null'
check 'blanks around =' fails 2 '^' -- launch 'synth shapes = 8x8 ! null'
check 'an undefined ${NAME}' fails 2 'BITZ' '^' -- launch --set BITS=4 'seedlm C=${BITS} P=${BITZ}'
check '--set of a variable that is not there' fails 2 'NOPE' -- launch --set NOPE=1 'synth shapes=8x8 ! null'
check 'no sink' fails 2 'null' -- launch 'synth shapes=8x8 ! seedlm'
check 'no source' fails 2 -- launch 'seedlm ! null'
check 'a source in the middle' fails 2 -- launch 'synth shapes=8x8 ! synth shapes=8x8 ! null'
check 'a reference to nothing' fails 2 "'u'" '^' -- launch 'synth shapes=8x8 ! tee name=t ! null u. ! null'
check 'one name twice' fails 2 "'a'" '^' -- launch 'synth shapes=8x8 name=a ! null name=a'
check '--plan with a wrong option' fails 2 -- afpipe-launch --plna 'synth shapes=8x8 ! null'
check '-j below zero' fails 2 '-j -1' -- launch -j -1 'synth shapes=8x8 ! null'
check '--max-mem that is no size' fails 2 '12X' -- launch --max-mem 12X 'synth shapes=8x8 ! null'
check 'a file of pipelines that is not there' fails 5 "$tmp/nope" -- launch -f "$tmp/nope"

# elements and properties
check 'an unknown element names the nearest' fails 3 "'seedml'" "'seedlm'" '^' -- launch 'synth shapes=8x8 ! seedml ! null'
check 'an unknown property names the nearest' fails 2 "'blok-size'" "'block-size'" '^' -- \
  launch 'synth shapes=8x8 ! seedlm blok-size=8 ! null'
check 'a number out of its range' fails 2 '300' '1..256' 'default 12' '^' -- launch 'synth shapes=8x8 ! seedlm C=300 ! null'
check 'a word for a number' fails 2 'abc' '1..256' '^' -- launch 'synth shapes=8x8 ! seedlm C=abc ! null'
check 'a wrong word of an enumeration' fails 2 'flt' 'flat' '^' -- launch 'synth shapes=8x8 ! seedlm layout=flt ! null'
check 'an unknown preset' fails 2 'paper-5bit' 'paper-4bit' '^' -- launch 'synth shapes=8x8 ! seedlm preset=paper-5bit ! null'
check 'an unknown kind of plane' fails 2 'coefs' 'coeffs' '^' -- launch 'synth shapes=8x8 ! vptq planes=coefs ! null'
check 'a bad leap names a good one' fails 2 'leap' -- launch 'synth shapes=64x64 ! seedlm K=8 leap=3 ! null'
check 'a rank above the block size' fails 2 'rank' -- launch 'synth shapes=64x64 ! seedlm C=2 P=4 K=8 ! null'
check 'a required property' fails 2 'location' -- launch 'load ! null'
check 'shapes that are none' fails 2 '8y8' -- launch 'synth shapes=8y8 ! null'
check 'a rules file that is not there' fails 5 "$tmp/rules" -- launch "synth shapes=64x64 ! vptq rules=$tmp/rules ! null"
printf '*  nonsense\n' >"$tmp/rules"
check 'a rules file with a wrong line' fails 2 'line 1' 'nonsense' -- launch "synth shapes=64x64 ! vptq rules=$tmp/rules ! null"
check 'a vector length that does not divide' fails 2 'vector-length=3' "'coeffs'" 'synth.0' -- launch 'synth shapes=64x64 ! seedlm P=4 K=8 ! vptq v=3 ! null'

# assertions
check 'an assertion on the dtype gives both values' fails 4 'f32' 'f16' 'synth.0' '^' -- launch 'synth shapes=8x8 ! tensor,dtype=f16 ! null'
check 'an assertion on the rank gives both values' fails 4 'rank' '3' '2' '^' -- launch 'synth shapes=8x8 ! tensor,rank=3 ! null'
check 'an unknown field of an assertion' fails 2 'dtpe' 'dtype' '^' -- launch 'synth shapes=8x8 ! tensor,dtpe=f16 ! null'

# files
check 'a missing file' fails 5 "$tmp/nope.h5" -- launch "load location=$tmp/nope.h5 ! null"
check 'a folder without a model' fails 5 "$tmp" -- launch "load location=$tmp ! null"
echo 'not a model' >"$tmp/text"
check 'a file that is no model' fails 5 "$tmp/text" -- launch "load location=$tmp/text ! null"
printf '\211HDF\r\n\032\n' >"$tmp/hdf5"
check 'an HDF5 signature and nothing else' fails 5 "$tmp/hdf5" -- launch "load location=$tmp/hdf5 ! null"
head -c 100000 "$model" >"$tmp/cut.h5"
check 'a Keras file cut short' fails 5 "$tmp/cut.h5" -- launch "load location=$tmp/cut.h5 ! null"
printf '\377\377\377\377\377\377\377\377{}' >"$tmp/big.safetensors"
check 'a safetensors header longer than the file' fails 5 "$tmp/big.safetensors" -- launch "load location=$tmp/big.safetensors ! null"
check 'a folder that is not there' fails 5 "$tmp/none" -- launch "synth shapes=8x8 ! write location=$tmp/none/x.h5"
touch "$tmp/there.h5"
check 'an output that exists' fails 5 "$tmp/there.h5" 'overwrite' -- launch "synth shapes=8x8 ! write location=$tmp/there.h5"
check 'an output of no known kind' fails 2 'format=' -- launch "synth shapes=8x8 ! write location=$tmp/x.what"
cp "$model" "$tmp/model.h5"
check 'an output that is the mapped input' fails 5 'is the same file as' -- launch "load location=$tmp/model.h5 ! write location=$tmp/model.h5 overwrite=true"
check 'coded tensors do not go into safetensors' fails 4 'decode' -- \
  launch "synth shapes=64x64 ! vptq ! write location=$tmp/x.safetensors"
check 'a report without a folder' fails 5 "$tmp/none" -- launch --report "$tmp/none/r.json" 'synth shapes=8x8 ! null'

# at run time
check 'a required metric that is not met' fails 7 'sqnr_db>90' -- \
  launch "synth shapes=64x64 ! vptq ! eval require=sqnr_db>90 ! write location=$tmp/none.h5"
check '... leaves no file' test ! -e "$tmp/none.h5"
check '... and no part of one' test -z "$(find "$tmp" -name '*.part*' -o -name '*.tmp*')"
check 'a condition on no metric' fails 2 'sqnr' 'sqnr_db' -- launch 'synth shapes=8x8 ! eval require=sqnr>3 ! null'
check 'a tensor over the budget' fails 8 "tensor 'synth.0' needs" 'the budget is 95.4 MiB (100000000 bytes)' '--max-mem' -- \
  launch --max-mem 100MB 'synth shapes=8192x8192 ! vptq ! null'
check 'a budget below what the process takes' fails 8 'the budget is 1.00 MiB (1048576 bytes)' 'without any tensor' -- \
  launch --max-mem 1M 'synth shapes=8x8 ! null'
finish
