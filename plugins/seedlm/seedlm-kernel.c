/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "seedlm-kernel.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define T(bit) (1u << (bit))

uint32_t
seedlm_taps (unsigned seed_bits)
{
  static const uint32_t taps[SEEDLM_MAX_SEED_BITS + 1] = {
    [2] = T (0) | T (1),
    [3] = T (0) | T (1),
    [4] = T (0) | T (1),
    [5] = T (0) | T (2),
    [6] = T (0) | T (1),
    [7] = T (0) | T (1),
    [8] = T (0) | T (2) | T (3) | T (4),
    [9] = T (0) | T (4),
    [10] = T (0) | T (3),
    [11] = T (0) | T (2),
    [12] = T (0) | T (1) | T (2) | T (8),
    [13] = T (0) | T (1) | T (2) | T (5),
    [14] = T (0) | T (1) | T (2) | T (12),
    [15] = T (0) | T (1),
    [16] = T (0) | T (1) | T (3) | T (12),
    [17] = T (0) | T (3),
    [18] = T (0) | T (7),
    [19] = T (0) | T (1) | T (2) | T (5),
    [20] = T (0) | T (3),
    [21] = T (0) | T (2),
    [22] = T (0) | T (1),
    [23] = T (0) | T (5),
    [24] = T (0) | T (1) | T (2) | T (7),
  };
  return seed_bits <= SEEDLM_MAX_SEED_BITS ? taps[seed_bits] : 0;
}

float
seedlm_value (uint32_t state, unsigned seed_bits)
{
  int32_t half = (int32_t) 1 << (seed_bits - 1);
  return (float) ((double) ((int32_t) state - half) / (double) (half - 1));
}

/* --- leaps --------------------------------------------------------------------------------------------------------- */

int
seedlm_leap_is_coprime (unsigned seed_bits, uint32_t leap)
{
  uint32_t a = ((uint32_t) 1 << seed_bits) - 1, b = leap;
  while (b) {
    uint32_t r = a % b;
    a = b;
    b = r;
  }
  return a == 1;
}

void
seedlm_leap_matrix (unsigned seed_bits, uint32_t clocks, uint32_t *matrix)
{
  uint32_t power[SEEDLM_MAX_SEED_BITS], taps = seedlm_taps (seed_bits);
  for (unsigned i = 0; i < seed_bits; i++) {
    matrix[i] = 1u << i;
    power[i] = seedlm_step (1u << i, taps, seed_bits);
  }
  for (; clocks; clocks >>= 1) {
    uint32_t square[SEEDLM_MAX_SEED_BITS];
    for (unsigned i = 0; i < seed_bits; i++) {
      if (clocks & 1)
        matrix[i] = seedlm_leap (power, matrix[i]);
      square[i] = seedlm_leap (power, power[i]);
    }
    memcpy (power, square, seed_bits * sizeof *power);
  }
}

/*
 * With h = 2^(seed_bits-1), x - h + 1/2 is half the sum of +-2^i, a sign for each bit of the state. Summed over all states, 0 among
 * them, the product of a sign now and one later is 2^seed_bits where the later bit is the one now, and 0 where it is any other
 * exclusive or of bits. What state 0 and the halves add is known as well.
 */
static double
sum_of_products (unsigned seed_bits, uint32_t clocks)
{
  const double n_states = (double) (1u << seed_bits), half = n_states / 2;
  uint32_t matrix[SEEDLM_MAX_SEED_BITS];
  double signs = 0;
  seedlm_leap_matrix (seed_bits, clocks, matrix);
  for (unsigned j = 0; j < seed_bits; j++) {
    unsigned n = 0, from = 0;
    for (unsigned i = 0; i < seed_bits; i++)
      if (matrix[i] >> j & 1) {
        n++;
        from = i;
      }
    if (n == 1)
      signs += (double) (1u << j) * (double) (1u << from);
  }
  return n_states / 4 * (signs + 1) - half * half;
}

double
seedlm_leap_correlation (unsigned seed_bits, uint32_t leap, unsigned n_lags)
{
  const uint32_t period = ((uint32_t) 1 << seed_bits) - 1;
  const double square = sum_of_products (seed_bits, 0);
  double worst = 0;
  for (unsigned lag = 1; lag <= n_lags && lag < period; lag++) {
    const uint32_t clocks = (uint32_t) ((uint64_t) lag * leap % period);
    const double correlation = fabs (sum_of_products (seed_bits, clocks)) / square;
    worst = correlation > worst ? correlation : worst;
  }
  return worst;
}

uint32_t
seedlm_leap_default (unsigned seed_bits)
{
  return seed_bits >= 8 ? 16 : seed_bits >= 6 ? 11 : seed_bits == 5 ? 3 : 1;
}

/* --- sequence ------------------------------------------------------------------------------------------------------ */

uint64_t
seedlm_sequence_bytes (unsigned seed_bits, size_t extra)
{
  uint64_t n = (uint64_t) 1 << seed_bits;
  return n * (2 * sizeof (uint32_t) + sizeof (float)) + (uint64_t) extra * sizeof (float);
}

static void
fill_cycle (uint32_t *cycle, unsigned seed_bits)
{
  uint32_t taps = seedlm_taps (seed_bits), state = 1, period = ((uint32_t) 1 << seed_bits) - 1;
  for (uint32_t n = 0; n < period; n++) {
    cycle[n] = state;
    state = seedlm_step (state, taps, seed_bits);
  }
}

SeedlmSequence *
seedlm_sequence_new (unsigned seed_bits, uint32_t leap, size_t extra)
{
  SeedlmSequence *self = calloc (1, sizeof *self);
  if (!self)
    return NULL;
  uint32_t period = ((uint32_t) 1 << seed_bits) - 1;
  self->seed_bits = seed_bits;
  self->leap = leap;
  self->period = period;
  self->n_values = (size_t) period + extra;
  self->states = malloc ((size_t) period * sizeof *self->states);
  self->index = calloc ((size_t) period + 1, sizeof *self->index);
  self->values = malloc (self->n_values * sizeof *self->values);
  if (!self->states || !self->index || !self->values) {
    seedlm_sequence_free (self);
    return NULL;
  }

  /* index serves as room for the cycle of single clocks first */
  uint32_t at = 0, stride = leap % period;
  fill_cycle (self->index, seed_bits);
  for (uint32_t n = 0; n < period; n++) {
    self->states[n] = self->index[at];
    at = (uint32_t) (((uint64_t) at + stride) % period);
  }
  for (uint32_t n = 0; n < period; n++)
    self->index[self->states[n]] = n;
  self->index[0] = 0;

  for (size_t n = 0; n < self->n_values; n++)
    self->values[n] = n < period
                          ? seedlm_value (self->states[n + 1 == period ? 0 : n + 1], seed_bits)
                          : self->values[n - period];
  return self;
}

void
seedlm_sequence_free (SeedlmSequence *self)
{
  if (!self)
    return;
  free (self->states);
  free (self->index);
  free (self->values);
  free (self);
}

/* --- decoding ------------------------------------------------------------------------------------------------------ */

static inline __attribute__ ((always_inline)) void
decode_rank (const float *restrict u, unsigned block_size, const unsigned rank,
             const float *restrict t, float scale, float *restrict out)
{
  for (unsigned i = 0; i < block_size; i++) {
    float sum = u[0] * t[0];
    for (unsigned p = 1; p < rank; p++)
      sum = sum + u[p] * t[p];
    const float value = scale * sum;
    out[i] = value > FLT_MAX ? FLT_MAX : value < -FLT_MAX ? -FLT_MAX : value;
    u += rank;
  }
}

void
seedlm_decode (const float *u, unsigned block_size, unsigned rank, const float *t, float scale,
               float *out)
{
  switch (rank) {
  case 1:
    decode_rank (u, block_size, 1, t, scale, out);
    break;
  case 2:
    decode_rank (u, block_size, 2, t, scale, out);
    break;
  case 3:
    decode_rank (u, block_size, 3, t, scale, out);
    break;
  case 4:
    decode_rank (u, block_size, 4, t, scale, out);
    break;
  default:
    decode_rank (u, block_size, rank, t, scale, out);
    break;
  }
}
