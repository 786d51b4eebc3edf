#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Weight error of chains next to ggml's block types, on the matrices of a language model.

    build/afpipe-uninstalled bench/bench-ggml.py MODEL --calibrate 'text=TEXT context=512' [--tensors GLOB] [--types TYPE ...]
                             [--size large | small] [--chain TYPE=CHAIN ...] [--venv FOLDER]

The Python package libgguf quantizes as ggml does, each type without an importance matrix and with one, the diagonal of H (types that must have one get ones
for "without"). It goes, with NumPy, into a virtual environment in FOLDER, or in one that goes with the script. Types in blocks of 256 need rows of a multiple of that: where they
are not, as many rows as it takes are joined, which loses nothing but which row a number is in.
NMSE is |E|^2 / |W|^2, weighted is tr(E H E') / tr(W H W'), both means over the matrices. A chain is compared with the type before its "=": in NMSE with that
type without importance, weighted with it, at equal bits, a bit more counted as 6.02 dB (positive: the chain is better).
"""
import argparse
import math
import tempfile

from launch import in_environment

PACKAGES = ['libgguf==0.2.2', 'numpy==2.4.6']
TYPES = ['Q4_0', 'Q4_K', 'Q3_K', 'Q2_K', 'IQ2_XS', 'IQ2_XXS']
# What comes nearest to the bits of a type, codebook and all: of large matrices, of small ones that share it.
SIZES = {
    'large': {'Q4_K': 'v=2 k=512', 'Q3_K': 'v=3 k=1024', 'Q2_K': 'v=4 k=1024', 'IQ2_XS': 'v=4 k=512', 'IQ2_XXS': 'v=4 k=256'},
    'small': {'Q4_K': 'v=2 k=512', 'Q3_K': 'v=2 k=128', 'Q2_K': 'v=3 k=256', 'IQ2_XS': 'v=4 k=512', 'IQ2_XXS': 'v=4 k=256'},
}
STEPS = ['importance=off', '', 'feedback=true', 'feedback=true order=importance']
OTHERS = ['IQ2_XS=vptq v=6 k=128 k2=128 samples=16384 feedback=true order=importance',
          'IQ2_XXS=vptq v=4 k=256 axis=output norm=column samples=16384 feedback=true order=importance']
OTHERS += [f'{kind}=seedlm preset=joint-{rate} samples=16384 rounds=4 importance=off ! vptq preset=joint-{rate}'
           for kind, rate in (('Q3_K', '3.0'), ('Q2_K', '2.5'), ('IQ2_XXS', '2.0'))]


def list_chains(size):
    own = ' sharing=model' if size == 'small' else ' samples=16384'  # all vectors: the few weights that count most are among them
    return ([f'{kind}=vptq {words}{own} {step}'.strip() for kind, words in SIZES[size].items() for step in STEPS] +
            (OTHERS if size == 'large' else []))


def quantize(libgguf, kind, w, importance):
    """Bits per weight and values of @w in blocks of @kind, with importance of its columns, or None."""
    import numpy as np

    block = libgguf.GGML_QUANT_SIZES[kind][0]
    join = block // math.gcd(block, w.shape[1])
    if w.shape[0] % join:
        raise SystemExit(f'{w.shape[0]} x {w.shape[1]} numbers: {join} rows make up whole blocks of {block}, and {w.shape[0]} is no multiple of that; '
                         'leave the tensor out by --tensors')
    rows = np.ascontiguousarray(w.reshape(-1, join * w.shape[1]))
    if importance is None and libgguf.quantize_requires_imatrix(kind):
        importance = np.ones(w.shape[1], 'f4')
    coded = libgguf.quantize_rows(rows, kind, None if importance is None else np.tile(importance.astype('f4'), join))
    return 8 * coded.nbytes / w.size, libgguf.dequantize_rows(coded, kind, rows.shape[1]).reshape(w.shape)


def measure(model, found):
    """Bits per weight of all matrices; means of the plain and the weighted error. @found: name -> bits, values."""
    sizes = [w.size for w in model.weights.values()]
    bits = sum(found[n][0] * w.size for n, w in model.weights.items()) / sum(sizes)
    errors = [model.errors(n, found[n][1]) for n in model.weights]
    return bits, sum(e[0] for e in errors) / len(errors), sum(e[1] for e in errors) / len(errors)


def ahead(own, other, which):
    """In dB, at the bits of the other."""
    return 10 * math.log10(other[which] / own[which]) - 20 * math.log10(2) * (own[0] - other[0])


def compare(args, folder):
    import libgguf

    from arrays import Model

    kinds = libgguf.GGMLQuantizationType.__members__
    for name in args.types:
        if name not in kinds:
            raise SystemExit(f'--types {name}: libgguf has no such type; it has {", ".join(kinds)}')
    model = Model(args.model, args.calibrate, args.tensors, folder)
    print(f'{len(model.weights)} matrices, {sum(w.size for w in model.weights.values()):,} weights\n')
    print('| type or chain | importance | bits per weight | NMSE | weighted | against | dB | weighted, dB |')
    print('| --- | --- | --- | --- | --- | --- | --- | --- |')
    types = {}
    for name in args.types:
        kind = kinds[name]
        for on in False, True:
            found = {n: quantize(libgguf, kind, w, model.moments[n].diagonal() if on else None) for n, w in model.weights.items()}
            types[name, on] = m = measure(model, found)
            print(f'| {name} | {"yes" if on else "no"} | {m[0]:.3f} | {m[1]:.5f} | {m[2]:.5f} | | | |', flush=True)
    for name, chain in (c.split('=', 1) for c in args.chain or list_chains(args.size)):
        if (name, True) not in types:  # not among --types
            continue
        bits, values = model.decode(chain + ' ! ')
        m = measure(model, {n: (bits[n], values[n]) for n in model.weights})
        print(f'| `{chain}` | {"no" if "importance=off" in chain else "yes"} | {m[0]:.3f} | {m[1]:.5f} | {m[2]:.5f} | {name} | '
              f'{ahead(m, types[name, False], 1):+.2f} | {ahead(m, types[name, True], 2):+.2f} |', flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('model')
    parser.add_argument('--calibrate', required=True)
    parser.add_argument('--tensors', default='*')
    parser.add_argument('--size', choices=SIZES, default='large')
    parser.add_argument('--types', nargs='+', default=TYPES)
    parser.add_argument('--chain', action='append')
    parser.add_argument('--venv')
    args = parser.parse_args()
    in_environment(PACKAGES, args.venv)
    with tempfile.TemporaryDirectory() as folder:
        compare(args, folder)


if __name__ == '__main__':
    main()
