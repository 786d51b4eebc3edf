/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "npy-order.h"

#include <string.h>

#define TILE 32 /* elements; two tiles of 8-byte elements are in the first cache */

void
afp_npy_swap (uint8_t *data, uint64_t n, size_t size)
{
  for (uint64_t i = 0; i < n; i++, data += size)
    for (size_t b = 0; b < size / 2; b++) {
      const uint8_t byte = data[b];
      data[b] = data[size - 1 - b];
      data[size - 1 - b] = byte;
    }
}

/* rows x cols elements: those of a row are @from_step apart in @from, and the rows @to_step apart in @to. Sizes are known where inlined. */
static inline void
turn_tile (const uint8_t *from, uint64_t from_step, uint8_t *to, uint64_t to_step, uint64_t rows,
           uint64_t cols, size_t size)
{
  for (uint64_t r = 0; r < rows; r++)
    for (uint64_t c = 0; c < cols; c++)
      memcpy (to + (r * to_step + c) * size, from + (c * from_step + r) * size, size);
}

static void
turn_tile_of (const uint8_t *from, uint64_t from_step, uint8_t *to, uint64_t to_step, uint64_t rows,
              uint64_t cols, size_t size)
{
  switch (size) {
  case 1:
    turn_tile (from, from_step, to, to_step, rows, cols, 1);
    break;
  case 2:
    turn_tile (from, from_step, to, to_step, rows, cols, 2);
    break;
  case 4:
    turn_tile (from, from_step, to, to_step, rows, cols, 4);
    break;
  default:
    turn_tile (from, from_step, to, to_step, rows, cols, size);
  }
}

static void
turn (const uint8_t *from, uint64_t from_step, uint8_t *to, uint64_t to_step, uint64_t rows,
      uint64_t cols, size_t size)
{
  for (uint64_t r = 0; r < rows; r += TILE)
    for (uint64_t c = 0; c < cols; c += TILE)
      turn_tile_of (from + (c * from_step + r) * size, from_step, to + (r * to_step + c) * size,
                    to_step, rows - r < TILE ? rows - r : TILE, cols - c < TILE ? cols - c : TILE,
                    size);
}

/* The first axis is innermost in one order, the last in the other: these two are turned for each place on the axes between. */
void
afp_npy_reorder (const uint8_t *from, uint8_t *to, unsigned rank, const uint64_t *shape,
                 size_t size)
{
  const unsigned last = rank - 1;
  uint64_t between = 1;

  for (unsigned axis = 1; axis < last; axis++)
    between *= shape[axis];
  for (uint64_t place = 0; place < between; place++) {
    /* @place counts in the order of @to; its digits, innermost first, are those of the axes last - 1 ... 1. */
    uint64_t in_from = 0, rest = place, step = between;
    for (unsigned axis = last - 1; axis >= 1; axis--) {
      step /= shape[axis];
      in_from += rest % shape[axis] * step;
      rest /= shape[axis];
    }
    turn (from + in_from * shape[0] * size, between * shape[0], to + place * shape[last] * size,
          between * shape[last], shape[0], shape[last], size);
  }
}
