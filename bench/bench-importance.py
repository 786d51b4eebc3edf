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
import math
import tempfile

import numpy as np

from arrays import Model, block_float_values, interpolate

CHAINS = ['paper-3bit=seedlm preset=paper-3bit',
          'joint-2.0=seedlm preset=joint-2.0 samples=16384 rounds=4 ! vptq preset=joint-2.0']


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
        model = Model(args.model, args.calibrate, args.tensors, folder)
        points = {}
        for name, w in model.weights.items():
            points[name] = [(bits + side, model.errors(name, block_float_values(w, bits, group)))
                            for bits in (4, 3, 2) for group, side in ((w.shape[1], 16 / w.shape[1]), (64, 0.25))]
        print('| chain | importance | tensors | bits per weight | NMSE | weighted | against block floating point, dB | weighted, dB | block floating point better on | weighted |')
        print('| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |')
        for title, chain in chains:
            for on in False, True:
                bits, decoded = model.decode(with_importance(chain, on) + ' ! ')
                rows = []
                for name, w in model.weights.items():
                    own = model.errors(name, decoded[name])
                    other = [interpolate([(b, e[i]) for b, e in points[name]], bits[name]) for i in (0, 1)]
                    ahead = [10 * math.log10(o / e) for o, e in zip(other, own)]
                    rows.append([w.size * bits[name], *own, *ahead])
                    if args.each:
                        print(f'| {title}: {name} | {"yes" if on else "no"} | 1 | {bits[name]:.3f} | {own[0]:.4f} | {own[1]:.4f} | '
                              f'{ahead[0]:+.2f} | {ahead[1]:+.2f} | {int(ahead[0] < 0)} | {int(ahead[1] < 0)} |')
                rows = np.array(rows)
                mean = rows.mean(axis=0)
                print(f'| {title} | {"yes" if on else "no"} | {len(rows)} | {rows[:, 0].sum() / sum(w.size for w in model.weights.values()):.3f} | '
                      f'{mean[1]:.4f} | {mean[2]:.4f} | {mean[3]:+.2f} | {mean[4]:+.2f} | {(rows[:, 3] < 0).sum()} | {(rows[:, 4] < 0).sum()} |',
                      flush=True)


if __name__ == '__main__':
    main()
