/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "../cuda-thread.h"
#include "seedlm-basis-kernel.h"
#include "seedlm-decode-kernel.h"
#include "seedlm-least-squares.h"

/*
 * What one thread of a graphics processor does. nvcc compiles these functions for the device, in seedlm-cuda.cu; the C compiler compiles
 * them too, and the tests run them over the same grid, thread by thread, against the kernels in C. Every
 * operation is rounded by itself.
 */

#define SEEDLM_THREADS 128 /* of a block of threads */

/* --- decoding: one thread per weight -------------------------------------------------------------------------------------- */

/* Number @index of a chunk's states, one after another by columns, in the highest bits and with the top bit inverted. */
SEEDLM_THREAD uint32_t
seedlm_thread_state (const SeedlmDecoder *decoder, uint32_t seed, unsigned index)
{
  const unsigned entry = decoder->rank * decoder->rows, bits = decoder->piece_bits;
  uint32_t state = 0;
  for (unsigned j = 0; j < decoder->n_pieces; j++)
    state ^=
        decoder->table[((j << bits) + ((seed >> j * bits) & ((1u << bits) - 1))) * entry + index];
  return state;
}

/* Weight @i of a block. */
SEEDLM_THREAD float
seedlm_thread_decode (const SeedlmDecoder *decoder, uint32_t seed, const float *t, float scale,
                      unsigned i)
{
  const unsigned rank = decoder->rank, rows = decoder->rows;
  float sum = 0;
  for (; i >= rows; i -= rows)
    seed = (seedlm_thread_state (decoder, seed, rank * rows - 1) ^ 0x80000000u) >>
           (32 - decoder->seed_bits);
  for (unsigned p = 0; p < rank; p++) {
    const int32_t state = (int32_t) seedlm_thread_state (decoder, seed, p * rows + i);
    const float y = afp_thread_product ((float) state, 0x1p-31f);
    const float product = afp_thread_product (afp_thread_quotient (y, decoder->divisor), t[p]);
    sum = p ? afp_thread_sum (sum, product) : product;
  }
  return afp_thread_clamp (afp_thread_product (scale, sum));
}

/* --- what is asked: a codebook, or mantissas with one exponent ------------------------------------------------------------ */

/**
 * SeedlmThreadQuantizer:
 * @n_points, @points: n_points x rank coefficients; without any:
 * @mantissa_bits: of two's complement numbers, with an exponent of -8 to 7 for all of a block; 0: coefficients are kept as they are
 */
typedef struct {
  unsigned n_points, mantissa_bits;
  const float *points;
} SeedlmThreadQuantizer;

SEEDLM_THREAD float
seedlm_thread_power (int exponent) /* of two, -126 to 127 */
{
  union {
    uint32_t bits;
    float number;
  } out;
  out.bits = (uint32_t) (exponent + 127) << 23;
  return out.number;
}

/* x, not too large, to the nearest integer, ties to even. */
SEEDLM_THREAD float
seedlm_thread_round (float x)
{
  const float shift = 0x1.8p23f;
  return afp_thread_sum (afp_thread_sum (x, shift), -shift);
}

/* (t - t_hat)' metric (t - t_hat), as afp_metric_error() has it. */
SEEDLM_THREAD float
seedlm_thread_distance (unsigned rank, const float *metric, const float *t, const float *t_hat)
{
  float sum = 0;
  for (unsigned p = 0; p < rank; p++) {
    float row = 0;
    for (unsigned k = 0; k < rank; k++)
      row = afp_thread_sum (row, afp_thread_product (metric[p * rank + k], t[k] - t_hat[k]));
    sum = afp_thread_sum (sum, afp_thread_product (row, t[p] - t_hat[p]));
  }
  return sum;
}

SEEDLM_THREAD void
seedlm_thread_mantissas (unsigned bits, unsigned rank, int e, const float *t, float *t_hat)
{
  const float most = (float) (1u << (bits - 1));
  for (unsigned p = 0; p < rank; p++) {
    float mantissa = afp_thread_product (t[p], seedlm_thread_power (-e));
    mantissa = mantissa > most ? most : mantissa < -most ? -most : mantissa;
    mantissa = seedlm_thread_round (mantissa);
    t_hat[p] = (mantissa > most - 1 ? most - 1 : mantissa) * seedlm_thread_power (e);
  }
}

/* What the codec block-float makes of coefficients: the smallest exponent that does not clip, or the one below if it is better under the metric. */
SEEDLM_THREAD void
seedlm_thread_block_float (unsigned bits, unsigned rank, const float *metric, const float *t,
                           float *t_hat)
{
  const float most = (float) (1u << (bits - 1));
  float top = 0, below[SEEDLM_MAX_RANK];
  int e = -9;
  for (unsigned p = 0; p < rank; p++)
    top = t[p] > top ? t[p] : -t[p] > top ? -t[p] : top;
  while (e < 8 && top > (most - 0.5f) * seedlm_thread_power (e))
    e++;
  seedlm_thread_mantissas (bits, rank, e < -8 ? -8 : e > 7 ? 7 : e, t, t_hat);
  if (e <= -8 || e > 7)
    return;
  seedlm_thread_mantissas (bits, rank, e - 1, t, below);
  if (seedlm_thread_distance (rank, metric, t, below) <
      seedlm_thread_distance (rank, metric, t, t_hat))
    for (unsigned p = 0; p < rank; p++)
      t_hat[p] = below[p];
}

/* The point that is nearest to t under the metric, of equal ones the first. */
SEEDLM_THREAD uint32_t
seedlm_thread_nearest (const SeedlmThreadQuantizer *quantizer, unsigned rank, const float *metric,
                       const float *t)
{
  double least = INFINITY;
  uint32_t nearest = 0;
  for (uint32_t j = 0; j < quantizer->n_points; j++) {
    const float *point = quantizer->points + (size_t) j * rank;
    double sum = 0;
    for (unsigned p = 0; p < rank; p++) {
      double row = 0;
      for (unsigned k = 0; k < rank; k++)
        row += (double) metric[p * rank + k] * ((double) t[k] - (double) point[k]);
      sum += row * ((double) t[p] - (double) point[p]);
    }
    if (sum < least) {
      least = sum;
      nearest = j;
    }
  }
  return nearest;
}

/* --- searching: a block of threads per block of weights ------------------------------------------------------------------- */

/**
 * SeedlmThreadSearch:
 * @values: of the sequence, period + extra of them
 * @states: of the sequence
 * @seeds, @t_hat, @codes, @errors: n, n x rank, n, n: to be filled
 *
 * Pointers are to memory of the device there.
 */
typedef struct {
  SeedlmBasis basis; /* its sequence is not looked at */
  const float *values;
  const uint32_t *states;
  uint32_t period;
  SeedlmThreadQuantizer quantizer;
  const float *blocks;
  size_t n;
  uint32_t *seeds, *codes;
  float *t_hat;
  double *errors;
} SeedlmThreadSearch;

/* What the threads of a block share. */
typedef struct {
  double norm, bound, errors[SEEDLM_THREADS];
  float energies[SEEDLM_THREADS], normed[SEEDLM_MAX_BLOCK];
  uint32_t places[SEEDLM_THREADS];
} SeedlmThreadShared;

/* How many energies there are: those of the easy seeds, and then of the hard ones. */
SEEDLM_THREAD uint32_t
seedlm_thread_count (const SeedlmThreadSearch *search)
{
  return search->period + search->basis.n_hard;
}

SEEDLM_THREAD uint32_t
seedlm_thread_place (const SeedlmThreadSearch *search, uint32_t index)
{
  return index < search->period ? index : search->basis.hard[index - search->period];
}

/* Energy number @index of a block of norm 1; NaN where there is none. */
SEEDLM_THREAD float
seedlm_thread_energy (const SeedlmThreadSearch *search, const float *w, uint32_t index)
{
  const unsigned rank = search->basis.rank, block_size = search->basis.block_size, lanes = 8;
  const uint32_t hard = index - search->period;
  float r[SEEDLM_MAX_RANK], energy = 0;
  for (unsigned p = 0; p < rank && index < search->period; p++) {
    const float *values = search->values + index + p;
    r[p] = 0;
    for (unsigned i = 0; i < block_size; i++)
      r[p] = afp_thread_sum (r[p], afp_thread_product (values[(size_t) i * rank], w[i]));
  }
  const float *factor = search->basis.factors +
                        (size_t) (index / lanes) * (rank * (rank + 1) / 2) * lanes + index % lanes;
  for (unsigned p = 0; p < rank; p++) {
    float y = 0;
    if (index < search->period)
      for (unsigned k = 0; k <= p; k++, factor += lanes)
        y = afp_thread_sum (y, afp_thread_product (*factor, r[k]));
    else {
      const float *q = search->basis.hard_basis +
                       ((size_t) (hard / lanes) * block_size * rank + p) * lanes + hard % lanes;
      for (unsigned i = 0; i < block_size; i++)
        y = afp_thread_sum (y, afp_thread_product (q[(size_t) i * rank * lanes], w[i]));
    }
    energy = afp_thread_sum (energy, afp_thread_product (y, y));
  }
  return energy;
}

/* The error of a seed, by its place, after quantization, as a decoder sees it. */
SEEDLM_THREAD double
seedlm_thread_try (const SeedlmThreadSearch *search, const float *w, uint32_t place, float *t_hat,
                   uint32_t *code)
{
  const unsigned rank = search->basis.rank, block_size = search->basis.block_size;
  const float *u = search->values + place;
  double g[SEEDLM_MAX_RANK][SEEDLM_MAX_RANK], y[SEEDLM_MAX_RANK], error = 0;
  float t[SEEDLM_MAX_RANK], metric[SEEDLM_MAX_RANK * SEEDLM_MAX_RANK];
  seedlm_moments (u, block_size, rank, w, NULL, g, y);
  seedlm_solve (g, y, rank, t, metric);
  *code = 0;
  for (unsigned p = 0; p < rank; p++)
    t_hat[p] = t[p];
  if (search->quantizer.n_points > 0) {
    *code = seedlm_thread_nearest (&search->quantizer, rank, metric, t);
    for (unsigned p = 0; p < rank; p++)
      t_hat[p] = search->quantizer.points[(size_t) *code * rank + p];
  } else if (search->quantizer.mantissa_bits > 0)
    seedlm_thread_block_float (search->quantizer.mantissa_bits, rank, metric, t, t_hat);
  for (unsigned i = 0; i < block_size; i++) {
    float sum = afp_thread_product (u[i * rank], t_hat[0]);
    for (unsigned p = 1; p < rank; p++)
      sum = afp_thread_sum (sum, afp_thread_product (u[i * rank + p], t_hat[p]));
    const double d = (double) w[i] - (double) afp_thread_clamp (sum);
    error += d * d;
  }
  return error;
}

/* First, by one thread: block @b as a block of norm 1. */
SEEDLM_THREAD void
seedlm_thread_begin (const SeedlmThreadSearch *search, SeedlmThreadShared *shared, size_t b)
{
  const unsigned block_size = search->basis.block_size;
  const float *w = search->blocks + b * block_size;
  shared->norm = 0;
  for (unsigned i = 0; i < block_size; i++)
    shared->norm += (double) w[i] * (double) w[i];
  const double inverse = shared->norm > 0 ? 1 / sqrt (shared->norm) : 0;
  for (unsigned i = 0; i < block_size; i++)
    shared->normed[i] = (float) (w[i] * inverse);
}

/* Then by all: the highest energy that each thread finds. */
SEEDLM_THREAD void
seedlm_thread_scan (const SeedlmThreadSearch *search, SeedlmThreadShared *shared, unsigned thread)
{
  float best = -1;
  uint32_t best_place = UINT32_MAX;
  for (uint32_t index = thread; index < seedlm_thread_count (search); index += SEEDLM_THREADS) {
    const float energy = seedlm_thread_energy (search, shared->normed, index);
    if (energy > best) { /* not for NaN */
      best = energy;
      best_place = seedlm_thread_place (search, index);
    }
  }
  shared->energies[thread] = best;
  shared->places[thread] = best_place;
}

/* By one: the error of the seed with the highest energy of all is one that the best seed does not exceed. */
SEEDLM_THREAD void
seedlm_thread_bound (const SeedlmThreadSearch *search, SeedlmThreadShared *shared, size_t b)
{
  unsigned best = 0;
  uint32_t code;
  float t_hat[SEEDLM_MAX_RANK];
  for (unsigned thread = 1; thread < SEEDLM_THREADS; thread++)
    best = shared->energies[thread] > shared->energies[best] ? thread : best;
  shared->bound = shared->places[best] == UINT32_MAX /* a block with NaN */
                      ? INFINITY
                      : seedlm_thread_try (search, search->blocks + b * search->basis.block_size,
                                           shared->places[best], t_hat, &code);
}

/* By all: the least error, and the lowest seed that has it, of all seeds that may be as good. */
SEEDLM_THREAD void
seedlm_thread_choose (const SeedlmThreadSearch *search, SeedlmThreadShared *shared, size_t b,
                      unsigned thread)
{
  double best = INFINITY;
  uint32_t best_place = UINT32_MAX;
  for (uint32_t index = thread; index < seedlm_thread_count (search); index += SEEDLM_THREADS) {
    const float energy = seedlm_thread_energy (search, shared->normed, index);
    const double limit = best < shared->bound ? best : shared->bound;
    if (!((1.0 - (double) energy - (double) search->basis.margin) * shared->norm <= limit))
      continue;
    const uint32_t place = seedlm_thread_place (search, index);
    float t_hat[SEEDLM_MAX_RANK];
    uint32_t code;
    const double error = seedlm_thread_try (search, search->blocks + b * search->basis.block_size,
                                            place, t_hat, &code);
    if (error < best || (error == best && search->states[place] < search->states[best_place])) {
      best = error;
      best_place = place;
    }
  }
  shared->errors[thread] = best;
  shared->places[thread] = best_place;
}

/* Last, by one: the best of what the threads have chosen. */
SEEDLM_THREAD void
seedlm_thread_end (const SeedlmThreadSearch *search, SeedlmThreadShared *shared, size_t b)
{
  const unsigned rank = search->basis.rank;
  double best = INFINITY;
  uint32_t best_seed = UINT32_MAX, best_place = 0;
  for (unsigned thread = 0; thread < SEEDLM_THREADS; thread++) {
    const double error = shared->errors[thread];
    if (shared->places[thread] == UINT32_MAX || error > best)
      continue;
    const uint32_t seed = search->states[shared->places[thread]];
    if (error < best || seed < best_seed) {
      best = error;
      best_seed = seed;
      best_place = shared->places[thread];
    }
  }
  search->seeds[b] = best_seed;
  search->errors[b] = seedlm_thread_try (search, search->blocks + b * search->basis.block_size,
                                         best_place, search->t_hat + b * rank, &search->codes[b]);
}
