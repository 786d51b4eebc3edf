/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Pure C. Arrays whose elements stand in another order than ours: little-endian, last axis innermost. */

/* Turns each of @n elements of @size bytes (2, 4 or 8) end for end. */
void afp_npy_swap (uint8_t *data, uint64_t n, size_t size);

/*
 * @from: elements of @size bytes (1, 2, 4 or 8), first axis innermost; @to: the same, last axis innermost.
 * @rank: 2 and more; no axis is 0.
 */
void afp_npy_reorder (const uint8_t *from, uint8_t *to, unsigned rank, const uint64_t *shape,
                      size_t size);
