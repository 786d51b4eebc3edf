#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""seedlm against plain block floating point at equal bits, tensor by tensor (needs NumPy: Debian's python3-numpy).

    build/afpipe-uninstalled bench/bench-block-float.py MODEL [--tensors GLOB] [--bits 4 3 2] [--chain NAME=CHAIN ...]

Block floating point: integers of b bits with one scale in f16 for each row (b + 16 / columns bits per weight) or for each group of 64 weights
(b + 0.25), the scale chosen among 48 so that the squared error of the group is least. Chains run through afpipe-launch and are measured by
eval: NMSE of the decoded tensor, bits of the finalized planes. Default chains: the paper's presets and the joint ones.
The table has NMSE; a chain's cell is marked * where block floating point, interpolated in dB between its points to the chain's own
bits, does better, and the last column says by how much in dB (positive: block floating point is better).
"""
import argparse
import fnmatch
import math
import tempfile

import numpy as np

from arrays import block_float, interpolate, read_safetensors
from launch import run

CHAINS = ['paper-4bit=seedlm preset=paper-4bit', 'paper-3bit=seedlm preset=paper-3bit',
          'joint-3.0=seedlm preset=joint-3.0 ! vptq preset=joint-3.0',
          'joint-2.0=seedlm preset=joint-2.0 ! vptq preset=joint-2.0']


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('model')
    parser.add_argument('--tensors', default='*')
    parser.add_argument('--bits', type=int, nargs='+', default=[4, 3, 2])
    parser.add_argument('--chain', action='append')
    args = parser.parse_args()
    chains = [c.split('=', 1) for c in args.chain or CHAINS]
    load = f'load location={args.model} ! select tensors={args.tensors}'

    results = {}
    for name, chain in chains:
        for tensor in run(f'{load} ! {chain} ! eval ! null')['tensors']:
            results.setdefault(tensor['name'], {})[name] = tensor['bits_per_weight'], tensor['nmse']
    with tempfile.NamedTemporaryFile(suffix='.safetensors') as file:
        run(f'{load} ! decode ! write overwrite=true location={file.name}')
        arrays = {name: w for name, w in read_safetensors(file.name) if fnmatch.fnmatch(name, args.tensors)}

    print('| tensor | weights | peak | ' + ' | '.join(f'{b} bits, row | {b} bits, 64' for b in args.bits) + ' | '
          + ' | '.join(f'{name} | b/w | dB' for name, _ in chains) + ' |')
    worse = dict.fromkeys((name for name, _ in chains), 0)
    shown = 0
    for tensor, cells in results.items():
        w = arrays[tensor].reshape(arrays[tensor].shape[0], -1)
        if w.shape[1] < 2 or any(cells[n][1] is None for n, _ in chains):
            continue
        shown += 1
        points, row = [], []
        for bits in args.bits:
            for group, side in (w.shape[1], 16 / w.shape[1]), (64, 0.25):
                error = block_float(w, bits, group)
                points.append((bits + side, error))
                row.append(f'{error:.5f}')
        groups = np.abs(np.pad(w, ((0, 0), (0, -w.shape[1] % 128))).reshape(-1, 128))
        peak = (groups.max(axis=1) / np.sqrt(np.square(groups).mean(axis=1) + 1e-30)).mean()
        line = f'| {tensor} | {w.size:,} | {peak:.2f} | ' + ' | '.join(row)
        for name, _ in chains:
            bits, error = cells[name]
            ahead = 10 * math.log10(error / interpolate(points, bits))
            worse[name] += ahead > 0
            line += f' | {error:.5f}{"*" if ahead > 0 else ""} | {bits:.3f} | {ahead:+.2f}'
        print(line + ' |')
    for name, count in worse.items():
        print(f'{name}: block floating point is better on {count} of {shown} tensors')


if __name__ == '__main__':
    main()
