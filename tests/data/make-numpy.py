#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes the numpy-* files beside it, with NumPy: python3 make-numpy.py. The tests read them; nothing else needs NumPy."""
import os
import zipfile

import numpy as np

FOLDER = os.path.dirname(os.path.abspath(__file__))

ARRAYS = {
    "plain": np.arange(6, dtype="<f4").reshape(2, 3),
    "fortran": np.asfortranarray(np.arange(24, dtype="<i2").reshape(2, 3, 4)),
    "big": np.arange(6, dtype=">f8").reshape(2, 3),
    "big_fortran": np.asfortranarray(np.arange(15, dtype=">u4").reshape(3, 5)),
    "half": np.arange(4, dtype="<f2"),
    "scalar": np.array(2.5),
    "empty": np.zeros((0, 3), dtype="<i4"),
    "flags": np.array([True, False, True]),
    "layers/0.weight": np.arange(4, dtype="u1").reshape(2, 2),
    "größe": np.array([1, -2], dtype="<i8"),
    "zeros": np.zeros((100, 100), dtype="<f4"),
}


def path(name):
    return os.path.join(FOLDER, name)


def write(name, arrays, method):
    """As numpy.savez does, but with the time stamp fixed."""
    with zipfile.ZipFile(path(name), "w", method) as archive:
        for key, array in arrays.items():
            info = zipfile.ZipInfo(key + ".npy")
            info.compress_type = method
            with archive.open(info, "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


few = {k: v for k, v in ARRAYS.items() if k != "zeros"}
write("numpy-stored.npz", few, zipfile.ZIP_STORED)
write("numpy-deflated.npz", ARRAYS, zipfile.ZIP_DEFLATED)
zipfile.ZIP64_LIMIT = 10  # all sizes, and the end of the archive, in their wide form
write("numpy-zip64.npz", {k: ARRAYS[k] for k in ("plain", "fortran")}, zipfile.ZIP_STORED)

for major in 1, 2, 3:
    with open(path(f"numpy-v{major}.npy"), "wb") as file:
        np.lib.format.write_array(file, ARRAYS["plain"], version=(major, 0))
