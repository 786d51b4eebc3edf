#!/usr/bin/env bash
# The main job from end to end, in every order, on the model that ships and on others beside the checkout.
# shellcheck source-path=SCRIPTDIR
. "${AFP_TEST_SRCDIR:?}/tests/shell-util.sh"

launch () { afpipe-launch -q "$@"; }

# The table's size is the file's: bytes counted and bytes on disk differ by the file's fixed part and what goes with the model only.
sizes_agree () { # REPORT FILE
  local bytes file extras
  bytes=$(total bytes "$1")
  file=$(total file_bytes "$1")
  extras=$(total extras_bytes "$1")
  echo "bytes $bytes, file_bytes $file, extras_bytes $extras, on disk $(stat -c %s "$2")"
  [ "$file" = "$(stat -c %s "$2")" ] && holds "$file - $extras - $bytes <= 3072 && $file - $extras >= $bytes * 0.98"
}

# What eval said is what a stranger finds who decodes the file.
error_agrees () { # REPORT ORIGINAL FILE
  local said found
  said=$(total nmse "$1")
  launch "load location=$3 ! decode ! write location=$tmp/back.safetensors overwrite=true" || return 1
  found=$(afpipe-info --json --compare "$2" "$tmp/back.safetensors" | sed -n 's/^  "nmse" *: *\([-0-9.e+]*\).*/\1/p' | tail -n 1)
  echo "eval said $said, found $found"
  holds "($said - $found) ^ 2 <= ($said * 1e-5) ^ 2"
}

chain () { # NAME SOURCE ORIGINAL CHAIN
  rm -f "$tmp/$1".*
  launch -j 1 --report "$tmp/$1.json" "$2 ! $4 ! eval ! write location=$tmp/$1.h5" &&
    launch -j 2 "$2 ! $4 ! write location=$tmp/$1.j2.h5" &&
    sizes_agree "$tmp/$1.json" "$tmp/$1.h5" &&
    cmp_planes "$tmp/$1.h5" "$tmp/$1.j2.h5" &&
    error_agrees "$tmp/$1.json" "$3" "$tmp/$1.h5" &&
    afpipe-info --verify "$tmp/$1.h5" >/dev/null
}

# The same tensors, planes and checksums (the pipeline text and the metrics may differ).
cmp_planes () {
  h5dump -d /tensors -d /planes -d /recipes -d /payload "$1" | tail -n +2 >"$tmp/a.txt"
  h5dump -d /tensors -d /planes -d /recipes -d /payload "$2" | tail -n +2 >"$tmp/b.txt"
  cmp "$tmp/a.txt" "$tmp/b.txt"
}

orders () { # NAME SOURCE ORIGINAL
  local order
  for order in 'seedlm K=8 ! vptq ! hyper' 'seedlm K=8 ! hyper ! vptq' 'vptq ! seedlm K=8 ! hyper' 'vptq ! hyper ! seedlm K=8' \
    'hyper ! seedlm K=8 ! vptq' 'hyper ! vptq ! seedlm K=8' 'seedlm K=8 ! decode ! vptq ! decode ! hyper' \
    'vptq residual=true ! seedlm K=8 ! entropy'; do
    check "$1: $order" chain "$1" "$2" "$3" "$order"
  done
}

orders fashion-mnist "load location=$model" "$model"
if [ -n "$shared" ]; then
  orders stories260k "load location=$shared/data/stories260k/model.safetensors" "$shared/data/stories260k/model.safetensors"
  orders resnet8 "load location=$shared/data/vision/resnet8_cifar10.h5" "$shared/data/vision/resnet8_cifar10.h5"
  tied () { # the classifier of llama2.c is the embedding: coded once, stored once, given back twice
    launch --report "$tmp/t.json" "load location=$shared/data/stories260k/stories260K.bin ! seedlm K=8 ! vptq ! eval ! write location=$tmp/tied.h5" &&
      launch "load location=$tmp/tied.h5 ! decode ! write location=$tmp/tied.safetensors" &&
      launch "load location=$tmp/tied.h5 ! write location=$tmp/again.h5" &&
      cmp_planes "$tmp/tied.h5" "$tmp/again.h5" &&
      python3 - "$tmp/t.json" "$tmp/tied.safetensors" <<'PY'
import json, struct, sys
report = json.load(open(sys.argv[1]))
assert report["total"]["weights"] == 260032, report["total"]
sizes = {t["name"]: t["bytes"] for t in report["tensors"]}
assert len(sizes) == 48 and sizes["output.weight"] * 20 < sizes["tok_embeddings.weight"], sizes
data = open(sys.argv[2], "rb").read()
n, = struct.unpack("<Q", data[:8])
header = json.loads(data[8:8 + n])
one, two = (data[8 + n:][slice(*header[k]["data_offsets"])] for k in ("output.weight", "tok_embeddings.weight"))
assert one == two and len(one) == 512 * 64 * 4
PY
  }
  check 'tied weights are coded and stored once' tied
  folder () { # what the Python package vptq loads, and load, too
    launch --report "$tmp/folder.json" "load location=$shared/data/stories260k/model.safetensors ! vptq axis=output v=4 k=64 k2=16 norm=column exclude=*embed* ! eval ! write location=$tmp/folder format=vptq" &&
      launch --report "$tmp/back.json" "load location=$tmp/folder ! eval original=$shared/data/stories260k/model.safetensors ! null" &&
      [ -s "$tmp/folder/config.json" ] && holds "($(total nmse "$tmp/folder.json") - $(total nmse "$tmp/back.json"))^2 < 1e-8"
  }
  check 'a folder of VPTQ goes out and comes back' folder
  check 'llama2.c and safetensors hold the same weights' bash -c "
    afpipe-launch -q --report $tmp/l.json 'load location=$shared/data/stories260k/stories260K.bin ! hyper ! eval ! null'"
else
  skip 'orders on other models' 'no shared folder'
fi

same_file () { # the whole file, twice and for other numbers of threads
  launch -j 1 "load location=$model ! seedlm K=8 ! vptq ! hyper ! entropy ! write location=$tmp/one.h5 overwrite=true" &&
    launch -j 2 "load location=$model ! seedlm K=8 ! vptq ! hyper ! entropy ! write location=$tmp/two.h5 overwrite=true" &&
    launch -j 5 "load location=$model ! seedlm K=8 ! vptq ! hyper ! entropy ! write location=$tmp/five.h5 overwrite=true" &&
    cmp "$tmp/one.h5" "$tmp/two.h5" && cmp "$tmp/one.h5" "$tmp/five.h5"
}
check 'files are identical for -j1, -j2, -j5' same_file

neutral () {
  launch "synth shapes=96x100 ! seedlm K=8 ! vptq ! write location=$tmp/n1.h5" &&
    launch "synth shapes=96x100 ! eval ! seedlm K=8 ! eval ! identity ! tensor,rank=2 ! vptq ! eval ! write location=$tmp/n2.h5" &&
    cmp_planes "$tmp/n1.h5" "$tmp/n2.h5"
}
check 'eval, identity and assertions change nothing' neutral

joint () {
  launch --report "$tmp/joint.json" 'synth shapes=128x240 ! seedlm C=12 P=4 K=10 ! vptq k=64 ! eval ! null' &&
    launch --report "$tmp/open.json" 'synth shapes=128x240 ! seedlm C=12 P=4 K=10 open-loop=true ! vptq k=64 ! eval ! null' &&
    echo "joint $(total nmse "$tmp/joint.json"), open loop $(total nmse "$tmp/open.json")" &&
    holds "$(total nmse "$tmp/joint.json") < 0.85 * $(total nmse "$tmp/open.json")" &&
    [ "$(total bytes "$tmp/joint.json")" = "$(total bytes "$tmp/open.json")" ]
}
check 'the query lowers the error at the same bytes' joint

go_on () { # a chain stops at a file and goes on from it
  launch "load location=$model ! vptq ! write location=$tmp/first.h5" &&
    launch --report "$tmp/on.json" "load location=$tmp/first.h5 ! hyper ! entropy ! eval original=$model ! write location=$tmp/second.h5" &&
    [ "$(stat -c %s "$tmp/second.h5")" -lt "$(stat -c %s "$tmp/first.h5")" ] &&
    afpipe-info "$tmp/second.h5" | grep -F 'codebook=hyper/3'
}
check 'a chain goes on from our own file' go_on

template () {
  launch "load location=$model ! vptq ! decode ! write location=$tmp/keras.h5 template=$model" &&
    afpipe-info --compare "$model" "$tmp/keras.h5" | tee "$tmp/keras.txt" && grep -F '10 of 10 tensors' "$tmp/keras.txt" &&
    h5dump -a /model_config "$tmp/keras.h5" | grep -F conv2d
}
check 'template= puts weights back into a Keras file' template

branches () {
  launch --report "$tmp/tee.json" "load location=$model ! tee name=t ! vptq ! eval ! null t. ! hyper ! eval ! write location=$tmp/branch.h5" &&
    [ "$(grep -c '"published"' "$tmp/tee.json")" -eq 2 ] && [ -s "$tmp/branch.h5" ]
}
check 'tee: two branches, two outputs' branches

routing () {
  printf '*dense*  pass\n*conv2d_1*  vector-length=8\n* take\n' >"$tmp/rules"
  launch --report "$tmp/rules.json" "load location=$model ! vptq k=16 rules=$tmp/rules ! write location=$tmp/rules.h5" &&
    afpipe-info "$tmp/rules.h5" >"$tmp/rules.txt" && cat "$tmp/rules.txt" &&
    grep -E '^conv2d_1/kernel:0 .*vector-length=8' "$tmp/rules.txt" && grep -E '^conv2d_2/kernel:0 .*vector-length=4' "$tmp/rules.txt" &&
    grep -E '^dense/kernel:0 .* weight$' "$tmp/rules.txt"
}
check 'rules= routes tensors and changes properties' routing

nan () {
  python3 - "$tmp/nan.safetensors" <<'PY'
import json, struct, sys
data = bytearray(struct.pack('<f', 1.0) * 4096)
data[4 * 1027:4 * 1028] = struct.pack('<f', float('nan'))
head = json.dumps({'w': {'dtype': 'F32', 'shape': [64, 64], 'data_offsets': [0, len(data)]}}).encode()
head += b' ' * (-len(head) % 8)
open(sys.argv[1], 'wb').write(struct.pack('<Q', len(head)) + head + data)
PY
  fails 6 'NaN' "'w'" '[16,3]' -- launch "load location=$tmp/nan.safetensors ! vptq ! null" &&
    launch "load location=$tmp/nan.safetensors ! write location=$tmp/nan.h5"
}
check 'NaN is an error with tensor and index; untouched it passes' nan
finish
