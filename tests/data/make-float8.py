#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes float8.bin beside it, with ml_dtypes: what each byte means in four types of 8 bits, as little-endian float32."""
import os

import ml_dtypes
import numpy as np

TYPES = ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2, ml_dtypes.float8_e4m3fnuz, ml_dtypes.float8_e5m2fnuz
codes = np.arange(256, dtype=np.uint8)
tables = np.concatenate([codes.view(t).astype("<f4") for t in TYPES])
tables[np.isnan(tables)] = np.nan  # one bit pattern
tables.tofile(os.path.join(os.path.dirname(os.path.abspath(__file__)), "float8.bin"))
