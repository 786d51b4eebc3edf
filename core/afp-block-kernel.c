/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-block-kernel.h"

#include "afp-half.h"

/* A little-endian binary16. */
static float
half_at (const uint8_t *p)
{
  return afp_half_to_float ((uint16_t) (p[0] | p[1] << 8));
}

/* --- fields of bits ------------------------------------------------------------------------------------------------ */

/* Bytes whose low nibbles are the first half of the symbols, and whose high nibbles are the second. */
static void
unpack_nibbles (const uint8_t *packed, unsigned n_bytes, uint8_t *out)
{
  for (unsigned i = 0; i < n_bytes; i++) {
    out[i] = packed[i] & 15;
    out[n_bytes + i] = packed[i] >> 4;
  }
}

/* 64 bytes with 256 symbols of 2 bits: each run of 32 bytes has the lowest bits of 32 symbols, then the next higher ones. */
static void
unpack_pairs (const uint8_t *packed, uint8_t *out)
{
  for (unsigned i = 0; i < AFP_BLOCK_LARGE; i++)
    out[i] = packed[i / 128 * 32 + i % 32] >> (i / 32 % 4 * 2) & 3;
}

/* 32 bytes: bit j of byte i belongs to symbol 32 j + i. */
static unsigned
plane_bit (const uint8_t *bits, unsigned symbol)
{
  return bits[symbol % 32] >> symbol / 32 & 1;
}

/* --- blocks of 32 -------------------------------------------------------------------------------------------------- */

static void
scale_small (const uint8_t *q, int zero, float d, float *out)
{
  for (unsigned i = 0; i < AFP_BLOCK_SMALL; i++)
    out[i] = d * (float) (q[i] - zero);
}

static void
scale_shift_small (const uint8_t *q, float d, float m, float *out)
{
  for (unsigned i = 0; i < AFP_BLOCK_SMALL; i++)
    out[i] = d * (float) q[i] + m;
}

/* Nibbles, and 32 bits for the fifth bit of each symbol. */
static void
unpack_five (const uint8_t *high, const uint8_t *nibbles, uint8_t *q)
{
  unpack_nibbles (nibbles, 16, q);
  for (unsigned i = 0; i < AFP_BLOCK_SMALL; i++)
    q[i] |= (uint8_t) ((high[i / 8] >> i % 8 & 1) << 4);
}

void
afp_block_q4_0 (const uint8_t *block, float *out)
{
  uint8_t q[AFP_BLOCK_SMALL];

  unpack_nibbles (block + 2, 16, q);
  scale_small (q, 8, half_at (block), out);
}

void
afp_block_q4_1 (const uint8_t *block, float *out)
{
  uint8_t q[AFP_BLOCK_SMALL];

  unpack_nibbles (block + 4, 16, q);
  scale_shift_small (q, half_at (block), half_at (block + 2), out);
}

void
afp_block_q5_0 (const uint8_t *block, float *out)
{
  uint8_t q[AFP_BLOCK_SMALL];

  unpack_five (block + 2, block + 6, q);
  scale_small (q, 16, half_at (block), out);
}

void
afp_block_q5_1 (const uint8_t *block, float *out)
{
  uint8_t q[AFP_BLOCK_SMALL];

  unpack_five (block + 4, block + 8, q);
  scale_shift_small (q, half_at (block), half_at (block + 2), out);
}

void
afp_block_q8_0 (const uint8_t *block, float *out)
{
  const float d = half_at (block);

  for (unsigned i = 0; i < AFP_BLOCK_SMALL; i++)
    out[i] = d * (float) (int8_t) block[2 + i];
}

void
afp_block_iq4_nl (const uint8_t *block, float *out)
{
  static const int8_t levels[16] = { -127, -104, -83, -65, -49, -35, -22, -10,
                                     1,    13,   25,  38,  53,  69,  89,  113 };
  const float d = half_at (block);
  uint8_t q[AFP_BLOCK_SMALL];

  unpack_nibbles (block + 2, 16, q);
  for (unsigned i = 0; i < AFP_BLOCK_SMALL; i++)
    out[i] = d * (float) levels[q[i]];
}

/* --- blocks of 256 ------------------------------------------------------------------------------------------------- */

void
afp_block_q2_k (const uint8_t *block, float *out)
{
  const float d = half_at (block + 80), dmin = half_at (block + 82);
  uint8_t q[AFP_BLOCK_LARGE];

  unpack_pairs (block + 16, q);
  for (unsigned i = 0; i < AFP_BLOCK_LARGE; i++) {
    const uint8_t scale = block[i / 16];
    out[i] = d * (float) (scale & 15) * (float) q[i] - dmin * (float) (scale >> 4);
  }
}

void
afp_block_q3_k (const uint8_t *block, float *out)
{
  const uint8_t *scales = block + 96;
  const float d = half_at (block + 108);
  uint8_t q[AFP_BLOCK_LARGE];
  float step[16];

  for (unsigned i = 0; i < 16; i++) {
    const int low = scales[i % 8] >> i / 8 * 4 & 15, high = scales[8 + i % 4] >> i / 4 * 2 & 3;
    step[i] = d * (float) ((low | high << 4) - 32);
  }
  unpack_pairs (block + 32, q);
  for (unsigned i = 0; i < AFP_BLOCK_LARGE; i++)
    out[i] = step[i / 16] * (float) (q[i] - (plane_bit (block, i) ? 0 : 4));
}

/* The scale and the minimum of each 32 symbols of q4_k and q5_k: 6 bits each, in 12 bytes. */
static void
unpack_scales (const uint8_t *block, float *step, float *low)
{
  const float d = half_at (block), dmin = half_at (block + 2);
  const uint8_t *first = block + 4, *second = block + 8, *third = block + 12;

  for (unsigned i = 0; i < 4; i++) {
    step[i] = d * (float) (first[i] & 63);
    low[i] = dmin * (float) (second[i] & 63);
    step[4 + i] = d * (float) ((third[i] & 15) | (first[i] >> 2 & 48));
    low[4 + i] = dmin * (float) (third[i] >> 4 | (second[i] >> 2 & 48));
  }
}

void
afp_block_q4_k (const uint8_t *block, float *out)
{
  float step[8], low[8];
  uint8_t q[AFP_BLOCK_LARGE];

  unpack_scales (block, step, low);
  for (unsigned i = 0; i < 4; i++)
    unpack_nibbles (block + 16 + 32 * i, 32, q + 64 * i);
  for (unsigned i = 0; i < AFP_BLOCK_LARGE; i++)
    out[i] = step[i / 32] * (float) q[i] - low[i / 32];
}

void
afp_block_q5_k (const uint8_t *block, float *out)
{
  float step[8], low[8];
  uint8_t q[AFP_BLOCK_LARGE];

  unpack_scales (block, step, low);
  for (unsigned i = 0; i < 4; i++)
    unpack_nibbles (block + 48 + 32 * i, 32, q + 64 * i);
  for (unsigned i = 0; i < AFP_BLOCK_LARGE; i++)
    out[i] = step[i / 32] * (float) (q[i] | plane_bit (block + 16, i) << 4) - low[i / 32];
}

void
afp_block_q6_k (const uint8_t *block, float *out)
{
  const float d = half_at (block + 208);
  uint8_t low[AFP_BLOCK_LARGE], high[AFP_BLOCK_LARGE];

  for (unsigned i = 0; i < 2; i++)
    unpack_nibbles (block + 64 * i, 64, low + 128 * i);
  unpack_pairs (block + 128, high);
  for (unsigned i = 0; i < AFP_BLOCK_LARGE; i++)
    out[i] = d * (float) (int8_t) block[192 + i / 16] * (float) ((low[i] | high[i] << 4) - 32);
}

/* Powers of three in a byte that stands for a fraction: symbol j is the first digit, in base 3, of byte * 3^j. */
static void
unpack_trits (const uint8_t *packed, unsigned n_bytes, unsigned n_digits, float d, float *out)
{
  uint8_t power = 1;

  for (unsigned j = 0; j < n_digits; j++, power = (uint8_t) (power * 3))
    for (unsigned i = 0; i < n_bytes; i++) {
      const uint8_t rest = (uint8_t) (packed[i] * power);
      out[j * n_bytes + i] = d * (float) ((rest * 3 >> 8) - 1);
    }
}

void
afp_block_tq1_0 (const uint8_t *block, float *out)
{
  const float d = half_at (block + 52);

  unpack_trits (block, 32, 5, d, out);
  unpack_trits (block + 32, 16, 5, d, out + 160);
  unpack_trits (block + 48, 4, 4, d, out + 240);
}

void
afp_block_tq2_0 (const uint8_t *block, float *out)
{
  const float d = half_at (block + 64);
  uint8_t q[AFP_BLOCK_LARGE];

  unpack_pairs (block, q);
  for (unsigned i = 0; i < AFP_BLOCK_LARGE; i++)
    out[i] = d * (float) (q[i] - 1);
}
