#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Peak memory of afpipe-launch against its budget, measured from outside.

    build/afpipe-uninstalled bench/bench-memory.py                     three chains, 512 MiB each, in 100 MiB
    build/afpipe-uninstalled bench/bench-memory.py --gib 4 --max-mem 700M --chain joint
    build/afpipe-uninstalled bench/bench-memory.py --gib 4 --max-mem 300M --chain mapped

resident: the largest, as the parent is told (ru_maxrss); own: anonymous memory, mapped: pages of files, libraries among them (both
sampled); planned, charged: as the report says (docs/report.md). All in MiB.
"""
import argparse
import json
import os
import struct
import tempfile
import time

CHAINS = {
    'joint': '{synth} ! seedlm K=8 ! vptq ! hyper ! write location={out}',
    'file': '{synth} ! hyper ! eval ! write location={out}',
    'residual': '{synth} ! vptq residual=true ! vptq ! eval ! null',
    'mapped': 'load location={sparse} ! hyper ! write location={out}',
}


def make_sparse(path, n):
    """A safetensors file of n arrays of 128 MiB that takes no room on the disk."""
    size = 4096 * 8192 * 4
    header = json.dumps({f'w{i}': {'dtype': 'F32', 'shape': [4096, 8192], 'data_offsets': [i * size, (i + 1) * size]}
                         for i in range(n)}).encode()
    with open(path, 'wb') as file:
        file.write(struct.pack('<Q', len(header)) + header)
        file.truncate(8 + len(header) + n * size)


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
        for name in options.chain or [name for name in CHAINS if name != 'mapped']:
            text = CHAINS[name].format(synth=synth, out=out, sparse=sparse)
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
