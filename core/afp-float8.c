/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-float8.h"

#include <string.h>

typedef struct {
  unsigned mantissa; /* bits */
  unsigned bias;
  float step; /* the smallest number > 0: 2^(1 - bias - mantissa) */
} Format;

static const Format formats[] = {
  [AFP_FLOAT8_E4M3] = { 3, 7, 0x1p-9f },
  [AFP_FLOAT8_E5M2] = { 2, 15, 0x1p-16f },
  [AFP_FLOAT8_E4M3FNUZ] = { 3, 8, 0x1p-10f },
  [AFP_FLOAT8_E5M2FNUZ] = { 2, 16, 0x1p-17f },
};

static float
from_bits (uint32_t bits)
{
  float value;
  memcpy (&value, &bits, sizeof value);
  return value;
}

static int
is_nan (AfpFloat8 type, uint8_t code)
{
  switch (type) {
  case AFP_FLOAT8_E4M3:
    return (code & 0x7f) == 0x7f;
  case AFP_FLOAT8_E5M2:
    return (code & 0x7f) > 0x7c;
  default:
    return code == 0x80;
  }
}

static float
read_one (AfpFloat8 type, uint8_t code)
{
  const Format *format = &formats[type];
  const uint32_t sign = (uint32_t) (code >> 7) << 31;
  const uint32_t exponent = (uint32_t) (code & 0x7f) >> format->mantissa;
  const uint32_t mantissa = code & ((1u << format->mantissa) - 1);

  if (is_nan (type, code))
    return from_bits (sign | 0x7fc00000u);
  if (type == AFP_FLOAT8_E5M2 && exponent == 31)
    return from_bits (sign | 0x7f800000u);
  if (exponent == 0) {
    const float value = (float) mantissa * format->step;
    return sign ? -value : value;
  }
  return from_bits (sign | (exponent + 127 - format->bias) << 23 |
                    mantissa << (23 - format->mantissa));
}

void
afp_float8_read (AfpFloat8 type, const uint8_t *in, size_t stride, float *out, size_t n)
{
  for (size_t i = 0; i < n; i++)
    out[i] = read_one (type, in[i * stride]);
}
