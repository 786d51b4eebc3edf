/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>
#include <stdint.h>

/*
 * The pseudo-random side of seedlm: shift register, value sequence, decoding of a block. Pure C11; see SPEC.md.
 * Constructors allocate and return NULL when memory runs out; nothing else allocates.
 */

#define SEEDLM_MIN_SEED_BITS 2
#define SEEDLM_MAX_SEED_BITS 24
#define SEEDLM_MAX_BLOCK 256
#define SEEDLM_MAX_RANK 8

/* Feedback taps of the register of so many bits, as a mask; 0 outside of 2..24. */
uint32_t seedlm_taps (unsigned seed_bits);

/* One clock: the parity of the tapped bits enters at the top, the rest moves down. */
static inline uint32_t
seedlm_step (uint32_t state, uint32_t taps, unsigned seed_bits)
{
  return (state >> 1) | ((uint32_t) __builtin_parity (state & taps) << (seed_bits - 1));
}

/* U of a register state: (state - 2^(bits-1)) / (2^(bits-1) - 1), rounded once to float; for 2 bits the divisor is 1. */
float seedlm_value (uint32_t state, unsigned seed_bits);

/* Can every state be reached in steps of @leap clocks? */
int seedlm_leap_is_coprime (unsigned seed_bits, uint32_t leap);

/* So many clocks at once: a matrix over GF(2). matrix[i] is where state 2^i gets to; @matrix: seed_bits numbers. */
void seedlm_leap_matrix (unsigned seed_bits, uint32_t clocks, uint32_t *matrix);

static inline uint32_t
seedlm_leap (const uint32_t *matrix, uint32_t state)
{
  uint32_t sum = 0;

  for (; state; state &= state - 1)
    sum ^= matrix[__builtin_ctz (state)];
  return sum;
}

/*
 * Largest magnitude of the serial correlation of the values, @leap clocks apart, at distances 1..n_lags, over the whole
 * period: exact, and quick for any register. 0.5 for leap 1, near 0 for a good leap.
 */
double seedlm_leap_correlation (unsigned seed_bits, uint32_t leap, unsigned n_lags);
#define SEEDLM_CORRELATION_LAGS 8
#define SEEDLM_MAX_CORRELATION 0.3 /* more is refused, but for leap 1, the paper's */
/* A good leap: coprime, and its values are as independent as the register allows. */
uint32_t seedlm_leap_default (unsigned seed_bits);

/**
 * SeedlmSequence:
 * @seed_bits, @leap: of the register
 * @period: 2^seed_bits - 1
 * @n_values: floats in @values: period + extra
 * @states: states[n]: the n-th state when the register is clocked @leap times at once, from state 1
 * @index: index[states[n]] = n; index[0] is unused
 * @values: values[n + m] is value m of the block whose seed is states[n]
 */
typedef struct {
  unsigned seed_bits;
  uint32_t leap;
  uint32_t period;
  size_t n_values;
  uint32_t *states;
  uint32_t *index;
  float *values;
} SeedlmSequence;

/* @leap must be coprime with the period. @extra: values that may be read beyond the last state's first. */
SeedlmSequence *seedlm_sequence_new (unsigned seed_bits, uint32_t leap, size_t extra);
void seedlm_sequence_free (SeedlmSequence *sequence);
uint64_t seedlm_sequence_bytes (unsigned seed_bits, size_t extra);

#define SEEDLM_LARGEST 0x1p60f

/* What is searched for a number: x / scale; without a scale no more than SEEDLM_LARGEST, whose squares binary32 can sum. */
static inline float
seedlm_divide (float x, float scale)
{
  const float quotient = scale != 0 ? x / scale : 0;

  return quotient > SEEDLM_LARGEST    ? SEEDLM_LARGEST
         : quotient < -SEEDLM_LARGEST ? -SEEDLM_LARGEST
                                      : quotient;
}

/*
 * out[i] = scale * (((u[i][0] * t[0] + u[i][1] * t[1]) + ...) + u[i][rank-1] * t[rank-1]), every operation rounded to float.
 * @u: seedlm_block_values() of the seed.
 */
void seedlm_decode (const float *u, unsigned block_size, unsigned rank, const float *t, float scale,
                    float *out);

/* block_size x rank values of a seed in 1..period, row after row; needs extra >= block_size * rank. */
static inline const float *
seedlm_block_values (const SeedlmSequence *sequence, uint32_t seed)
{
  return sequence->values + sequence->index[seed];
}
