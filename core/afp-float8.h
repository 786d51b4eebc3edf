/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Not installed, but tests call it. */
#pragma GCC visibility push(default)

/*
 * Numbers of 8 bits: a sign, an exponent, a mantissa. Pure C. Every one of them is a float. The names are those of safetensors: E4M3
 * has no infinities and two NaN (0x7f, 0xff), E5M2 is like IEEE 754; FNUZ has no infinities, no negative zero, and one NaN, 0x80.
 */
typedef enum {
  AFP_FLOAT8_E4M3,
  AFP_FLOAT8_E5M2,
  AFP_FLOAT8_E4M3FNUZ,
  AFP_FLOAT8_E5M2FNUZ
} AfpFloat8;

/* @stride: bytes from one number to the next. */
void afp_float8_read (AfpFloat8 type, const uint8_t *in, size_t stride, float *out, size_t n);

#pragma GCC visibility pop
