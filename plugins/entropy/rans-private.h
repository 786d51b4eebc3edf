/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "rans-kernel.h"
#include "simd-kernel.h"

#include <string.h>

/*
 * A slot: frequency - 1 and position among the slots of its symbol; narrow: 12 bits each, then the symbol; else 16 bits each.
 * A step: the table in the low byte, above it the state shifted by the bits that choose the next.
 */
typedef struct {
  uint32_t state[RANS_LANES];
  uint32_t step[RANS_LANES];
  const uint8_t *in, *end; /* words */
} RansLanes;

static inline uint32_t
rans_load16 (const uint8_t *in)
{
  return (uint32_t) in[0] | (uint32_t) in[1] << 8;
}

#if HAS_SIMD
/* RANS_LANES lanes by @steps symbols, as long as there are words for all of them: returns how many steps. @out: [steps][RANS_LANES] */
size_t rans_steps_avx512 (const RansDecoder *self, RansLanes *lanes, size_t steps, uint16_t *out);
#endif
