#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Peak memory of afpipe-launch against its budget, measured from outside.

    build/afpipe-uninstalled bench/bench-memory.py                     three chains, 512 MiB each, in 100 MiB
    build/afpipe-uninstalled bench/bench-memory.py --gib 4 --max-mem 700M --chain joint
    build/afpipe-uninstalled bench/bench-memory.py --gib 4 --max-mem 300M --chain mapped
    build/afpipe-uninstalled bench/bench-memory.py --gib 1 --max-mem 400M --chain model
                                  a made-up language model, which runs beside its compressed self

resident: the largest, as the parent is told (ru_maxrss); own: anonymous memory, mapped: pages of files, libraries among them (both
sampled); planned, charged: as the report says (docs/report.md). All in MiB.
"""
import argparse
import json
import math
import os
import random
import struct
import tempfile
import time

CHAINS = {
    'joint': '{synth} ! seedlm K=8 ! vptq ! hyper ! write location={out}',
    'file': '{synth} ! hyper ! eval ! write location={out}',
    'residual': '{synth} ! vptq residual=true ! vptq ! eval ! null',
    'mapped': 'load location={sparse} ! hyper ! write location={out}',
    'model': 'load location={model} tokenizer={tokens} ! hyper U=225 M=1 ! eval text={text} context=512 ! null',
}
DIM, HIDDEN, HEADS, VOCAB = 1536, 4096, 24, 49152


def make_sparse(path, n):
    """A safetensors file of n arrays of 128 MiB that takes no room on the disk."""
    size = 4096 * 8192 * 4
    header = json.dumps({f'w{i}': {'dtype': 'F32', 'shape': [4096, 8192], 'data_offsets': [i * size, (i + 1) * size]}
                         for i in range(n)}).encode()
    with open(path, 'wb') as file:
        file.write(struct.pack('<Q', len(header)) + header)
        file.truncate(8 + len(header) + n * size)


def list_model(n_layers):
    """Names and shapes of a language model of the Llama family."""
    yield 'model.embed_tokens.weight', (VOCAB, DIM)
    yield 'model.norm.weight', (DIM,)
    for layer in range(n_layers):
        at = f'model.layers.{layer}.'
        for name in 'q', 'k', 'v', 'o':
            yield f'{at}self_attn.{name}_proj.weight', (DIM, DIM)
        yield at + 'mlp.gate_proj.weight', (HIDDEN, DIM)
        yield at + 'mlp.up_proj.weight', (HIDDEN, DIM)
        yield at + 'mlp.down_proj.weight', (DIM, HIDDEN)
        yield at + 'input_layernorm.weight', (DIM,)
        yield at + 'post_attention_layernorm.weight', (DIM,)


def make_model(folder, gib):
    """A model of made-up weights, its tokenizer in the form of llama2.c, and 4 KiB of text."""
    layer = 4 * DIM * DIM + 3 * DIM * HIDDEN
    n_layers = max(round((gib * 2**28 - VOCAB * DIM) / layer), 1)
    dice = random.Random(1)
    block = struct.pack('<65536f', *(dice.gauss(0, 0.02) for _ in range(65536)))
    header, end = {}, 0
    for name, shape in list_model(n_layers):
        header[name] = {'dtype': 'F32', 'shape': shape, 'data_offsets': [end, end + 4 * math.prod(shape)]}
        end += 4 * math.prod(shape)
    text = json.dumps(header).encode()
    with open(os.path.join(folder, 'model.safetensors'), 'wb') as file:
        file.write(struct.pack('<Q', len(text)) + text)
        for at in range(0, end, len(block)):
            file.write(block[:end - at])
    with open(os.path.join(folder, 'config.json'), 'w') as file:
        json.dump({'model_type': 'llama', 'hidden_size': DIM, 'intermediate_size': HIDDEN, 'num_hidden_layers': n_layers,
                   'num_attention_heads': HEADS, 'vocab_size': VOCAB, 'tie_word_embeddings': True}, file)
    with open(os.path.join(folder, 'tokens.bin'), 'wb') as file:
        file.write(struct.pack('<i', 9))
        for i in range(VOCAB):
            piece = f'w{i}'.encode()
            file.write(struct.pack('<fi', -i, len(piece)) + piece)
    with open(os.path.join(folder, 'text.txt'), 'w') as file:
        file.write('a text of no great interest, ' * 141)


def sample(pid, peaks):
    try:
        with open(f'/proc/{pid}/status') as status:
            for line in status:
                name, _, value = line.partition(':')
                if name in peaks:
                    peaks[name] = max(peaks[name], int(value.split()[0]) / 1024)
    except OSError:
        pass


def run(arguments):
    peaks = {'RssAnon': 0, 'RssFile': 0}
    begin = time.monotonic()
    pid = os.posix_spawnp('afpipe-launch', ['afpipe-launch'] + arguments, os.environ)
    while True:
        done, status, usage = os.wait4(pid, os.WNOHANG)
        if done:
            break
        sample(pid, peaks)
        time.sleep(0.005)
    if status:
        raise SystemExit(f'failed: {arguments}')
    return usage.ru_maxrss / 1024, peaks['RssAnon'], peaks['RssFile'], time.monotonic() - begin


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--gib', type=float, default=0.5, help='size of the model')
    parser.add_argument('--max-mem', default='100M')
    parser.add_argument('--jobs', type=int, default=2)
    parser.add_argument('--chain', choices=CHAINS, action='append')
    options = parser.parse_args()
    large = options.gib >= 2
    shape, mib = ('4096x8192', 128) if large else ('1024x2048', 8)
    print(f'{"chain":10}{"budget":>9}{"resident":>10}{"own":>8}{"mapped":>8}{"planned":>9}{"charged":>9}{"seconds":>9}')
    with tempfile.TemporaryDirectory() as folder:
        report, out, sparse = (os.path.join(folder, name) for name in ('r.json', 'm.h5', 's.safetensors'))
        make_sparse(sparse, max(int(options.gib * 8), 1))
        synth = f'synth shapes={shape} count={int(options.gib * 1024 / mib)}'
        names = options.chain or ['joint', 'file', 'residual']
        if 'model' in names:
            make_model(folder, options.gib)
        model, tokens, words = (os.path.join(folder, name) for name in ('model.safetensors', 'tokens.bin', 'text.txt'))
        for name in names:
            text = CHAINS[name].format(synth=synth, out=out, sparse=sparse, model=model, tokens=tokens, text=words)
            numbers = run(['-q', f'-j{options.jobs}', '--max-mem', options.max_mem, '--report', report, text])
            with open(report) as file:
                said = json.load(file)
            if os.path.exists(out):
                os.remove(out)
            planned, charged = (said[key] / 2**20 for key in ('planned_peak_bytes', 'charged_peak_bytes'))
            print(f'{name:10}{options.max_mem:>9}{numbers[0]:10.1f}{numbers[1]:8.1f}{numbers[2]:8.1f}{planned:9.1f}{charged:9.1f}'
                  f'{numbers[3]:9.1f}', flush=True)


if __name__ == '__main__':
    main()
