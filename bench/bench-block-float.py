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
import json
import math
import subprocess
import sys
import tempfile

import numpy as np

CHAINS = ['paper-4bit=seedlm preset=paper-4bit', 'paper-3bit=seedlm preset=paper-3bit',
          'joint-3.0=seedlm preset=joint-3.0 ! vptq preset=joint-3.0',
          'joint-2.0=seedlm preset=joint-2.0 ! vptq preset=joint-2.0']


def run(chain):
    """The report of a chain."""
    out = subprocess.run(['afpipe-launch', '--json', chain], capture_output=True, text=True)
    if out.returncode:
        sys.exit(f'{chain}: {out.stderr.strip()}')
    return json.loads(out.stdout)


def read_safetensors(path):
    """Names and arrays of f32."""
    with open(path, 'rb') as file:
        data = file.read()
    size = int.from_bytes(data[:8], 'little')
    for name, entry in json.loads(data[8:8 + size]).items():
        if name != '__metadata__':
            begin, end = entry['data_offsets']
            yield name, np.frombuffer(data[8 + size + begin:8 + size + end], '<f4').reshape(entry['shape'])


def block_float_values(w, bits, group):
    """@w in integers of @bits with a scale for each @group weights of a row."""
    pad = -w.shape[1] % group
    x = np.pad(w, ((0, 0), (0, pad))).reshape(-1, group)
    top = np.abs(x).max(axis=1, keepdims=True)
    top[top == 0] = 1
    low, high = -2 ** (bits - 1), 2 ** (bits - 1) - 1
    best, values = np.full((len(x), 1), np.inf), np.zeros_like(x)
    for k in range(48):
        scale = (top / (high + 0.5) * (0.25 + 0.8 * k / 47)).astype('<f2').astype('<f4')
        scale[scale == 0] = 1
        q = np.clip(np.rint(x / scale), low, high) * scale
        error = np.square(x - q).sum(axis=1, keepdims=True, dtype='f8')
        values = np.where(error < best, q, values)
        best = np.minimum(best, error)
    return values.reshape(w.shape[0], -1)[:, :w.shape[1]]


def block_float(w, bits, group):
    """NMSE of that."""
    return np.square(w - block_float_values(w, bits, group), dtype='f8').sum() / np.square(w, dtype='f8').sum()


def interpolate(points, bits):
    """NMSE at @bits, linear in dB between the two points next to it, or beyond them."""
    points = sorted(dict(sorted(points, reverse=True)).items())  # of equal bits the better one
    at = min(max(1, sum(b < bits for b, _ in points)), len(points) - 1)
    (b0, e0), (b1, e1) = points[at - 1], points[at]
    return math.exp(math.log(e0) + (bits - b0) / (b1 - b0) * (math.log(e1) - math.log(e0)))


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
