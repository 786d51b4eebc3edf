/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-bits.h"

#include <assert.h>
#include <string.h>

uint64_t
afp_bits_bytes (uint64_t n_symbols, unsigned bits)
{
  /* n * bits / 8 without overflow for any n below 2^61 */
  return n_symbols / 8 * bits + (n_symbols % 8 * bits + 7) / 8;
}

void
afp_bits_pack (uint8_t *stream, uint64_t first, const uint32_t *symbols, size_t n, unsigned bits)
{
  uint64_t accumulator = 0;
  unsigned held = 0;
  const uint64_t mask = ((uint64_t) 1 << bits) - 1;

  assert (first % 8 * bits % 8 == 0);
  uint8_t *out = stream + first / 8 * bits + first % 8 * bits / 8;
  for (size_t i = 0; i < n; i++) {
    accumulator |= (symbols[i] & mask) << held;
    held += bits;
    while (held >= 8) {
      *out++ = (uint8_t) accumulator;
      accumulator >>= 8;
      held -= 8;
    }
  }
  if (held)
    *out = (uint8_t) accumulator;
}

void
afp_bits_unpack (const uint8_t *stream, uint64_t first, uint32_t *symbols, size_t n, unsigned bits)
{
  const uint64_t mask = ((uint64_t) 1 << bits) - 1;
  unsigned skip = (unsigned) (first % 8 * bits % 8);
  const uint8_t *in = stream + first / 8 * bits + first % 8 * bits / 8;
  uint64_t accumulator = 0;
  unsigned held = 0;

  if (n == 0)
    return;
  if (skip) {
    accumulator = (uint64_t) *in++ >> skip;
    held = 8 - skip;
  }
  for (size_t i = 0; i < n; i++) {
    while (held < bits) {
      accumulator |= (uint64_t) *in++ << held;
      held += 8;
    }
    symbols[i] = (uint32_t) (accumulator & mask);
    accumulator >>= bits;
    held -= bits;
  }
}
