/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "entropy-kernel.h"

#include <string.h>

static size_t
count_symbols (size_t n_bytes, unsigned bits)
{
  return (size_t) ((uint64_t) n_bytes / bits * 8 + (uint64_t) n_bytes % bits * 8 / bits);
}

size_t
entropy_spread_bytes (size_t n_bytes, unsigned bits)
{
  return count_symbols (n_bytes, bits) * ((bits + 7) / 8);
}

void
entropy_spread (const uint8_t *stream, size_t n_bytes, unsigned bits, uint8_t *planes)
{
  const size_t n = count_symbols (n_bytes, bits);
  const unsigned width = (bits + 7) / 8;
  const uint64_t mask = ((uint64_t) 1 << bits) - 1;
  uint64_t held = 0;
  unsigned n_held = 0;

  for (size_t i = 0; i < n; i++) {
    while (n_held < bits) {
      held |= (uint64_t) *stream++ << n_held;
      n_held += 8;
    }
    const uint64_t symbol = held & mask;
    for (unsigned b = 0; b < width; b++)
      planes[b * n + i] = (uint8_t) (symbol >> (8 * b));
    held >>= bits;
    n_held -= bits;
  }
}

void
entropy_gather (const uint8_t *planes, size_t n_bytes, unsigned bits, uint8_t *stream)
{
  const size_t n = count_symbols (n_bytes, bits);
  const unsigned width = (bits + 7) / 8;
  const uint64_t mask = ((uint64_t) 1 << bits) - 1;
  uint64_t held = 0;
  unsigned n_held = 0;
  size_t out = 0;

  for (size_t i = 0; i < n; i++) {
    uint64_t symbol = 0;
    for (unsigned b = 0; b < width; b++)
      symbol |= (uint64_t) planes[b * n + i] << (8 * b);
    held |= (symbol & mask) << n_held;
    n_held += bits;
    for (; n_held >= 8; n_held -= 8, held >>= 8)
      stream[out++] = (uint8_t) held;
  }
  if (n_held && out < n_bytes)
    stream[out++] = (uint8_t) held;
  memset (stream + out, 0, n_bytes - out);
}
