#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What importance is worth to a chain, tensor by tensor, next to block floating point at equal bits (needs NumPy: Debian's python3-numpy).

    build/afpipe-uninstalled bench/bench-importance.py MODEL --calibrate 'text=TEXT context=512' [--tensors GLOB] [--chain NAME=CHAIN ...]

`calibrate` finds H, the second moments of what goes into each layer. Each chain runs without importance and with it. For each run: the NMSE, |E|^2 / |W|^2
with E = W - decoded W, and the weighted one, tr(E H E') / tr(W H W'), which is the error of the layer's outputs on the text. Block floating point (see
bench-block-float.py: a scale per row, or per 64 weights, of 2, 3 and 4 bits) is interpolated in dB to the chain's own bits in both. Prints the sums over tensors, in dB against block floating point (positive: the chain is
better), and with --each a row for each tensor.
"""
import argparse
import fnmatch
import glob
import importlib.util
import json
import math
import os
import tempfile

import numpy as np

spec = importlib.util.spec_from_file_location('block_float', os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                                                          'bench-block-float.py'))
bench = importlib.util.module_from_spec(spec)
spec.loader.exec_module(bench)

CHAINS = ['paper-3bit=seedlm preset=paper-3bit',
          'joint-2.0=seedlm preset=joint-2.0 samples=16384 rounds=4 ! vptq preset=joint-2.0']


def read_moments(path):
    """Name of a tensor -> H, from calibrate's cache."""
    with open(path, 'rb') as file:
        data = file.read()
    begin, size = np.frombuffer(data[8:24], '<u8')
    moments = {}
    for entry in json.loads(data[begin:begin + size]):
        n = entry['size']
        stored = np.frombuffer(data, '<f4', n if entry['diagonal'] else n * (n + 1) // 2, entry['offset'])
        h = np.zeros((n, n), 'f4')
        if entry['diagonal']:
            np.fill_diagonal(h, stored)
        else:
            h[np.tril_indices(n)] = stored
            h = h + np.tril(h, -1).T
        moments.update(dict.fromkeys(entry['tensors'], h))
    return moments


def energy(e, h):
    """Plain and weighted sums of squares."""
    e = e.astype('f8')
    return np.array([np.square(e).sum(), ((e @ h) * e).sum()])


def with_importance(chain, on):
    """Chain with importance= of its first codec."""
    first, *rest = chain.split(' ! ')
    return ' ! '.join([f'{first} importance={"auto" if on else "off"}', *rest])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('model')
    parser.add_argument('--calibrate', required=True)
    parser.add_argument('--tensors', default='*')
    parser.add_argument('--chain', action='append')
    parser.add_argument('--each', action='store_true')
    args = parser.parse_args()
    chains = [c.split('=', 1) for c in args.chain or CHAINS]

    with tempfile.TemporaryDirectory() as folder:
        load = f'load location={args.model} ! calibrate {args.calibrate} cache={folder} ! select tensors={args.tensors}'
        out = f'{folder}/out.safetensors'

        def decode(chain):
            report = bench.run(f'{load} ! {chain}eval ! write overwrite=true location={folder}/coded.h5')
            bench.run(f'load location={folder}/coded.h5 ! decode dtype=f32 ! write overwrite=true location={out}')
            bits = {t['name']: t['bits_per_weight'] for t in report['tensors']}
            return bits, {name: w for name, w in bench.read_safetensors(out) if fnmatch.fnmatch(name, args.tensors)}

        _, originals = decode('')
        moments = read_moments(glob.glob(f'{folder}/*.moments')[0])
        names = [n for n in originals if n in moments and originals[n].ndim == 2]
        if not names:
            raise SystemExit(f'{args.model}: no tensor of these has moments')
        points = {}
        for name in names:
            w, h = originals[name], moments[name]
            norm = energy(w, h)
            points[name] = [(bits + side, energy(w - bench.block_float_values(w, bits, group), h) / norm)
                            for bits in (4, 3, 2) for group, side in ((w.shape[1], 16 / w.shape[1]), (64, 0.25))]
        print('| chain | importance | tensors | bits per weight | NMSE | weighted | against block floating point, dB | weighted, dB | block floating point better on | weighted |')
        print('| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |')
        for title, chain in chains:
            for on in False, True:
                bits, decoded = decode(with_importance(chain, on) + ' ! ')
                rows = []
                for name in names:
                    w, h = originals[name], moments[name]
                    own = energy(w - decoded[name], h) / energy(w, h)
                    other = [bench.interpolate([(b, e[i]) for b, e in points[name]], bits[name]) for i in (0, 1)]
                    ahead = [10 * math.log10(o / e) for o, e in zip(other, own)]
                    rows.append([w.size * bits[name], *own, *ahead])
                    if args.each:
                        print(f'| {title}: {name} | {"yes" if on else "no"} | 1 | {bits[name]:.3f} | {own[0]:.4f} | {own[1]:.4f} | '
                              f'{ahead[0]:+.2f} | {ahead[1]:+.2f} | {int(ahead[0] < 0)} | {int(ahead[1] < 0)} |')
                rows = np.array(rows)
                mean = rows.mean(axis=0)
                print(f'| {title} | {"yes" if on else "no"} | {len(rows)} | {rows[:, 0].sum() / sum(originals[n].size for n in names):.3f} | '
                      f'{mean[1]:.4f} | {mean[2]:.4f} | {mean[3]:+.2f} | {mean[4]:+.2f} | {(rows[:, 3] < 0).sum()} | {(rows[:, 4] < 0).sum()} |',
                      flush=True)


if __name__ == '__main__':
    main()
