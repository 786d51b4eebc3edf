# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the scripts beside this one compute with arrays of weights (needs NumPy)."""
import fnmatch
import glob
import json
import math

import numpy as np

from launch import run


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


class Model:
    """The matrices of a model that have moments, and what chains make of them."""

    def __init__(self, location, calibrate, tensors, folder):
        self.load = f'load location={location} ! calibrate {calibrate} cache={folder} ! select tensors={tensors}'
        self.tensors, self.folder = tensors, folder
        _, weights = self.decode('')
        self.moments = read_moments(glob.glob(f'{folder}/*.moments')[0])
        self.weights = {n: w for n, w in weights.items() if n in self.moments and w.ndim == 2}
        if not self.weights:
            raise SystemExit(f'{location}: no tensor of {tensors} has moments: only the matrices of linear layers have')

    def decode(self, chain):
        """Bits per weight, and values, of each tensor behind @chain, which ends in ' ! ' if it is not empty."""
        coded, out = f'{self.folder}/coded.h5', f'{self.folder}/out.safetensors'
        report = run(f'{self.load} ! {chain}eval ! write overwrite=true location={coded}')
        run(f'load location={coded} ! decode dtype=f32 ! write overwrite=true location={out}')
        bits = {t['name']: t['bits_per_weight'] for t in report['tensors']}
        return bits, {name: w for name, w in read_safetensors(out) if fnmatch.fnmatch(name, self.tensors)}

    def errors(self, name, values):
        """Plain and weighted relative error of @values in place of the tensor."""
        w, h = self.weights[name], self.moments[name]
        return energy(w - values, h) / energy(w, h)
