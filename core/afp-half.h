/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdint.h>
#include <string.h>

/* The value of an IEEE 754 binary16; exact. Pure C, for the core and for kernels. */
static inline float
afp_half_to_float (uint16_t half)
{
  const uint32_t sign = (uint32_t) (half & 0x8000u) << 16, exponent = (half >> 10) & 0x1fu;
  const uint32_t mantissa = half & 0x3ffu;
  uint32_t bits = sign | (mantissa << 13);
  float value;

  if (exponent == 0) {
    value = (float) mantissa * 0x1p-24f;
    return sign ? -value : value;
  }
  bits |= exponent == 31 ? 0x7f800000u : (exponent + 112) << 23;
  memcpy (&value, &bits, sizeof value);
  return value;
}
