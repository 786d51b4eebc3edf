#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes tests/data/gguf/blocks.gguf: blocks of every type that `load` reads from GGUF, and the numbers that the Python
package gguf makes of them.

    python3 tests/oracle/gguf-blocks.py tests/data/gguf/blocks.gguf

For each type there are two tensors: "q4_0" has blocks (quantized numbers where the package quantizes, random bytes, and
edge cases), "q4_0.expected" has what gguf.quants.dequantize gives, as F32. The package is installed into a virtual
environment that goes when the script ends. Nobody needs this script to run the tests: the file is kept.
"""
import os
import subprocess
import sys
import tempfile
import venv

PACKAGES = ["gguf==0.19.0", "numpy==2.4.6"]

# type, bytes before each binary16 scale in a block
TYPES = {
    "F16": [], "BF16": [],
    "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "IQ4_NL": [0],
    "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "TQ1_0": [52], "TQ2_0": [64],
}
ROWS = 2


def blocks(np, gguf, name, rng):
    """Rows of blocks, as bytes."""
    kind = gguf.GGMLQuantizationType[name]
    n, size = gguf.GGML_QUANT_SIZES[kind]
    scales = TYPES[name]
    found = []
    try:
        values = (rng.standard_normal((2, n)) * 0.05).astype(np.float32)
        found += list(gguf.quants.quantize(values, kind).view(np.uint8).reshape(2, size))
    except NotImplementedError:
        pass

    def block(fill, halves):
        data = rng.integers(0, 256, size, dtype=np.uint8) if fill is None else np.full(size, fill, np.uint8)
        for at, half in zip(scales, halves):
            data[at:at + 2] = np.array([half], dtype="<u2").view(np.uint8)
        found.append(data)

    block(None, [0x2A66, 0x24CD])  # 0.05, 0.01875
    block(None, [0xAE11, 0x1419])  # negative scale
    block(None, [0x0001, 0x83FF])  # subnormal
    block(None, [0x7BFF, 0xFBFF])  # the largest
    block(0x00, [0x3C00, 0x3C00])
    block(0xFF, [0x3C00, 0xBC00])
    block(None, [0x8000, 0x0000])  # zeros of both signs
    block(None, [0x7C00, 0x3C00])  # infinity
    while len(found) % ROWS:
        block(None, [0x3555, 0x3155])
    return np.stack(found).reshape(ROWS, -1)


def plain(np, gguf, writer):
    """Types without blocks of their own, and metadata of every type."""
    for name, dtype in [("i8", np.int8), ("i16", np.int16), ("i32", np.int32), ("i64", np.int64), ("f64", np.float64)]:
        writer.add_tensor(name, np.arange(-3, 3, dtype=dtype).reshape(2, 3))
    writer.add_tensor("row", np.array([1.5, -2.5, 0.25], dtype=np.float32))
    writer.add_tensor("cube", np.arange(24, dtype=np.float32).reshape(2, 3, 4))
    writer.add_uint8("test.u8", 200)
    writer.add_int8("test.i8", -100)
    writer.add_uint16("test.u16", 60000)
    writer.add_int16("test.i16", -30000)
    writer.add_uint32("test.u32", 4000000000)
    writer.add_int32("test.i32", -2000000000)
    writer.add_uint64("test.u64", 1 << 63)
    writer.add_int64("test.i64", -(1 << 62))
    writer.add_float32("test.f32", 0.1)
    writer.add_float64("test.f64", 0.1)
    writer.add_bool("test.yes", True)
    writer.add_bool("test.no", False)
    writer.add_string("test.text", "naïve ☃")
    writer.add_array("test.words", ["a", "", "ccc"])
    writer.add_array("test.numbers", [1, 2, 3, 4])


def make(path):
    import gguf
    import numpy as np

    writer = gguf.GGUFWriter(path, "test")
    plain(np, gguf, writer)
    rng = np.random.default_rng(20240607)
    for name in TYPES:
        kind = gguf.GGMLQuantizationType[name]
        if name in ("F16", "BF16"):
            raw = np.concatenate([rng.integers(0, 1 << 16, 26, dtype=np.uint16),
                                  np.array([0, 0x8000, 1, 0x7C00, 0xFBFF, 0x7F80], dtype=np.uint16)]).reshape(ROWS, -1)
            data = raw.view(np.uint8)
            expected = gguf.quants.dequantize(raw.view(np.float16) if name == "F16" else data, kind)
        else:
            data = blocks(np, gguf, name, rng)
            with np.errstate(all="ignore"):
                expected = gguf.quants.dequantize(data, kind)
        writer.add_tensor(name.lower(), data, raw_dtype=kind)
        writer.add_tensor(name.lower() + ".expected", expected.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main():
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} FILE.gguf")
    if os.environ.get("AFP_ORACLE_VENV"):
        make(sys.argv[1])
        return
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = os.path.join(folder, "bin", "python")
        subprocess.run([python, "-m", "pip", "install", "-q", *PACKAGES], check=True)
        subprocess.run([python, os.path.abspath(__file__), os.path.abspath(sys.argv[1])], check=True,
                       env={**os.environ, "AFP_ORACLE_VENV": folder})


if __name__ == "__main__":
    main()
