#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a language model loses by chains: nats of a token, at equal bits, step by step of what `calibrate` makes possible.

    build/afpipe-uninstalled bench/bench-perplexity.py MODEL --calibrate 'text=OTHER context=512' --text 'text=TEXT context=512'
                             [--exclude GLOBS] [--size large | small] [--rates 2 3 4] [--steps plain H ...]
                             [--options OPTIONS] [--chain NAME=CHAIN ...] [--jobs N] [--cache FOLDER]

--calibrate and --text are the properties of `calibrate` and of `eval`. At each rate vptq codes the matrices: k-means alone (plain), then with H as weights of the
errors, then with feedback, then in the order of importance, then with two codebooks for the same bytes, then with vectors down the columns, as in the paper.
--size small shares a codebook among all matrices where it is one; --exclude names what stays as it is, --options go to every codec; --chain runs others instead. Bits are those of the matrices that the
chain changed, codebooks, scales, table rows and all. The increase is in nats over the model as it was, and as a part of the first row's of the same rate.
"""
import argparse
import tempfile

from launch import coded_bits, run, with_codecs

# What comes to 2, 3 and 4 bits per weight, all in: one codebook, two for the same bytes, vectors down the columns.
SIZES = {
    'large': {2: ('v=4 k=256', 'v=6 k=64 k2=64', 'v=4 k=256 axis=output norm=column'),
              3: ('v=2 k=64', 'v=4 k=256 k2=16', 'v=2 k=64 axis=output norm=column'),
              4: ('v=2 k=256', 'v=4 k=256 k2=256', 'v=2 k=256 axis=output norm=column')},
    'small': {2: ('v=4 k=256 sharing=model', 'v=3 k=8 k2=8', 'v=2 k=16 axis=output'),
              3: ('v=2 k=64 sharing=model', 'v=2 k=8 k2=8', 'v=1 k=8 axis=output'),
              4: ('v=2 k=256 sharing=model', 'v=2 k=16 k2=16', 'v=1 k=16 axis=output')},
}
STEPS = {'plain': (0, 'importance=off'), 'H': (0, ''), 'feedback': (0, 'feedback=true'),
         'order': (0, 'feedback=true order=importance'), 'two': (1, 'feedback=true'),
         'two-order': (1, 'feedback=true order=importance'), 'columns': (2, 'feedback=true order=importance')}


def list_chains(size, rates, steps):
    """Groups of names and chains: the first of a group is what the others are compared with."""
    for rate in rates:
        yield [(step, f'vptq {SIZES[size][rate][STEPS[step][0]]} {STEPS[step][1]}'.strip()) for step in steps]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('model')
    parser.add_argument('--calibrate', required=True)
    parser.add_argument('--text', required=True)
    parser.add_argument('--exclude', default='token_embd*,output.weight')
    parser.add_argument('--size', choices=SIZES, default='large')
    parser.add_argument('--rates', type=int, nargs='+', default=[2, 3, 4], choices=[2, 3, 4])
    parser.add_argument('--steps', nargs='+', default=list(STEPS), choices=STEPS)
    parser.add_argument('--options', default='')
    parser.add_argument('--chain', action='append')
    parser.add_argument('--jobs', type=int, default=2)
    parser.add_argument('--cache')
    args = parser.parse_args()
    groups = [[c.split('=', 1) for c in args.chain]] if args.chain else list_chains(args.size, args.rates, args.steps)

    with tempfile.TemporaryDirectory() as folder:
        load = f'load location={args.model} ! calibrate {args.calibrate} cache={args.cache or folder}'
        print('| step | chain | bits per weight | nll | increase | of the first |')
        print('| --- | --- | --- | --- | --- | --- |')
        for group in groups:
            first = None
            for name, chain in group:
                codecs = with_codecs(chain, f'{args.options} exclude={args.exclude}'.strip())
                report = run(f'{load} ! {codecs} ! eval {args.text} ! null', f'-j{args.jobs}')
                metrics = report['evals'][-1]['metrics']
                increase = metrics['nll'] - metrics['nll_ref']
                first = first or increase
                print(f'| {name} | `{chain}` | {coded_bits(report["tensors"]):.3f} | {metrics["nll"]:.3f} | {increase:.3f} | {increase / first:.2f} |',
                      flush=True)
        print(f'\n{metrics["tokens"]} tokens, nll of the model as it was {metrics["nll_ref"]:.3f}')


if __name__ == '__main__':
    main()
