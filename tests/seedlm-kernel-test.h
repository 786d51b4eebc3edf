/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the tests of seedlm's kernels share: data, quantizers, and a plain search, written a second time. */
#pragma once

#include "seedlm/seedlm-search-kernel.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static uint64_t state;

static inline double
uniform (void)
{
  state = state * UINT64_C (6364136223846793005) + UINT64_C (1442695040888963407);
  return ((double) (state >> 11) + 0.5) / 9007199254740992.0;
}

static inline float *
normal_blocks (size_t n)
{
  float *x = malloc ((n + 1) * sizeof *x);

  state = 20;
  for (size_t i = 0; i < n; i++)
    x[i] = (float) (sqrt (-2 * log (uniform ())) * cos (6.283185307179586 * uniform ()));
  return x;
}

/* As a decoder sees them: mantissas of 4 bits, two's complement, with one exponent. */
static inline void
mantissas_at (unsigned rank, int e, const float *t, float *t_hat)
{
  for (unsigned p = 0; p < rank; p++)
    t_hat[p] = ldexpf (fminf (fmaxf (rintf (ldexpf (t[p], -e)), -8), 7), e);
}

static inline double
distance (const float *metric, unsigned rank, const float *a, const float *b)
{
  double sum = 0;
  for (unsigned p = 0; p < rank; p++)
    for (unsigned q = 0; q < rank; q++)
      sum += (metric ? (double) metric[p * rank + q] : p == q) * ((double) a[p] - b[p]) *
             ((double) a[q] - b[q]);
  return sum;
}

/* The paper's exponent: ceil (log2 (max |t| / (2^(bits-1) - 1/2))). */
static inline int
exponent_of (unsigned rank, const float *t)
{
  float top = 0;
  for (unsigned p = 0; p < rank; p++)
    top = fmaxf (top, fabsf (t[p]));
  return top > 0 ? (int) fminf (fmaxf (ceilf (log2f (top / 7.5f)), -9), 8) : -9;
}

/* The paper's coefficients. */
static inline int
block_float (void *user_data, const float *t, size_t n, const float *metric, uint32_t *codes,
             float *t_hat)
{
  const unsigned rank = *(const unsigned *) user_data;

  for (size_t v = 0; v < n; v++, t += rank, t_hat += rank) {
    const int e = exponent_of (rank, t);
    mantissas_at (rank, e < -8 ? -8 : e > 7 ? 7 : e, t, t_hat);
  }
  return 1;
}

/* The codec block-float: or those with the exponent below, where that is better. */
static inline int
best_block_float (void *user_data, const float *t, size_t n, const float *metric, uint32_t *codes,
                  float *t_hat)
{
  const unsigned rank = *(const unsigned *) user_data;

  block_float (user_data, t, n, metric, codes, t_hat);
  for (size_t v = 0; v < n; v++, t += rank, t_hat += rank) {
    const int e = exponent_of (rank, t);
    const float *m = metric ? metric + v * rank * rank : NULL;
    float below[SEEDLM_MAX_RANK];
    if (e <= -8 || e > 7)
      continue;
    mantissas_at (rank, e - 1, t, below);
    if (distance (m, rank, t, below) < distance (m, rank, t, t_hat))
      memcpy (t_hat, below, rank * sizeof *t_hat);
  }
  return 1;
}

/* Points of a small codebook, nearest under the metric. */
typedef struct {
  unsigned rank, n;
  float points[16][SEEDLM_MAX_RANK];
  size_t asked;
} Codebook;

static inline void
codebook_init (Codebook *self, unsigned rank)
{
  state = 4;
  *self = (Codebook){ .rank = rank, .n = 16 };
  for (unsigned j = 0; j < self->n; j++)
    for (unsigned p = 0; p < rank; p++)
      self->points[j][p] = (float) (2.4 * uniform () - 1.2);
}

static inline int
codebook_quantize (void *user_data, const float *t, size_t n, const float *metric, uint32_t *codes,
                   float *t_hat)
{
  Codebook *self = user_data;
  const unsigned rank = self->rank;

  self->asked += n;
  for (size_t v = 0; v < n; v++, t += rank, t_hat += rank, metric += rank * rank) {
    unsigned best = 0;
    for (unsigned j = 1; j < self->n; j++)
      if (distance (metric, rank, t, self->points[j]) <
          distance (metric, rank, t, self->points[best]))
        best = j;
    codes[v] = best;
    memcpy (t_hat, self->points[best], rank * sizeof *t_hat);
  }
  return 1;
}

static inline int
failing_quantize (void *user_data, const float *t, size_t n, const float *metric, uint32_t *codes,
                  float *t_hat)
{
  return 0;
}

typedef struct {
  SeedlmSequence *sequence;
  SeedlmBasis *basis;
  SeedlmSearch *search;
} Tables;

static inline void
tables_init (Tables *tables, unsigned block_size, unsigned rank, unsigned seed_bits, uint32_t leap,
             unsigned n_codes)
{
  tables->sequence = seedlm_sequence_new (seed_bits, leap, SEEDLM_EXTRA);
  tables->basis = seedlm_basis_new (tables->sequence, block_size, rank);
  tables->search = seedlm_search_new (tables->basis, n_codes);
}

static inline void
tables_clear (Tables *tables)
{
  seedlm_search_free (tables->search);
  seedlm_basis_free (tables->basis);
  seedlm_sequence_free (tables->sequence);
}

/* --- the plain search --------------------------------------------------------------------------------------------------- */

/* U of a seed, one clock at a time, by the recurrence as the paper has it. */
static inline void
plain_matrix (unsigned seed_bits, uint32_t leap, uint32_t seed, unsigned n, double *u)
{
  const uint32_t taps = seedlm_taps (seed_bits);
  const double half = pow (2, seed_bits - 1);

  for (unsigned i = 0; i < n; i++) {
    for (uint32_t k = 0; k < leap; k++) {
      unsigned feedback = 0;
      for (unsigned bit = 0; bit < seed_bits; bit++)
        feedback ^= (seed & taps) >> bit & 1;
      seed = seed >> 1 | (uint32_t) feedback << (seed_bits - 1);
    }
    u[i] = (seed - half) / (half - 1);
  }
}

/* Least squares by Gaussian elimination with pivots; 0 if U has no full rank. */
static inline int
plain_solve (const double *u, unsigned c, unsigned p, const float *w, double *t)
{
  double a[SEEDLM_MAX_RANK][SEEDLM_MAX_RANK + 1] = { 0 };

  for (unsigned i = 0; i < c; i++)
    for (unsigned j = 0; j < p; j++) {
      for (unsigned k = 0; k < p; k++)
        a[j][k] += u[i * p + j] * u[i * p + k];
      a[j][p] += u[i * p + j] * w[i];
    }
  for (unsigned j = 0; j < p; j++) {
    unsigned pivot = j;
    for (unsigned k = j + 1; k < p; k++)
      pivot = fabs (a[k][j]) > fabs (a[pivot][j]) ? k : pivot;
    if (fabs (a[pivot][j]) < 1e-12)
      return 0;
    for (unsigned k = 0; k <= p; k++) {
      const double x = a[j][k];
      a[j][k] = a[pivot][k];
      a[pivot][k] = x;
    }
    for (unsigned r = 0; r < p; r++)
      for (unsigned k = p + 1; r != j && k-- > j;)
        a[r][k] -= a[r][j] / a[j][j] * a[j][k];
  }
  for (unsigned j = 0; j < p; j++)
    t[j] = a[j][p] / a[j][j];
  return 1;
}

static inline double
plain_error (const double *u, unsigned c, unsigned p, const float *w, const float *t)
{
  double error = 0;
  for (unsigned i = 0; i < c; i++) {
    double d = w[i];
    for (unsigned j = 0; j < p; j++)
      d -= u[i * p + j] * t[j];
    error += d * d;
  }
  return error;
}

/* The least error of all seeds. */
static inline double
plain_search (unsigned c, unsigned p, unsigned seed_bits, uint32_t leap, const float *w,
              SeedlmQuantize quantize, void *user_data)
{
  double best = INFINITY, *u = malloc (sizeof *u * c * p);

  for (uint32_t seed = 1; seed < 1u << seed_bits; seed++) {
    double t[SEEDLM_MAX_RANK];
    float target[SEEDLM_MAX_RANK], t_hat[SEEDLM_MAX_RANK],
        metric[SEEDLM_MAX_RANK * SEEDLM_MAX_RANK] = { 0 };
    uint32_t code;
    plain_matrix (seed_bits, leap, seed, c * p, u);
    if (!plain_solve (u, c, p, w, t))
      continue;
    for (unsigned j = 0; j < p; j++) {
      target[j] = (float) t[j];
      for (unsigned k = 0; k < p; k++)
        for (unsigned i = 0; i < c; i++)
          metric[j * p + k] += (float) (u[i * p + j] * u[i * p + k]);
    }
    memcpy (t_hat, target, sizeof t_hat);
    if (quantize)
      quantize (user_data, target, 1, metric, &code, t_hat);
    best = fmin (best, plain_error (u, c, p, w, t_hat));
  }
  free (u);
  return best;
}

static const struct {
  unsigned c, p, k;
  uint32_t leap;
  size_t n;
} shapes[] = {
  { 8, 3, 8, 1, 20 },  { 8, 3, 9, 16, 12 }, { 12, 4, 8, 1, 20 },  { 12, 4, 10, 16, 4 },
  { 4, 2, 6, 1, 40 },  { 3, 1, 5, 3, 60 },  { 24, 8, 7, 11, 12 }, { 8, 8, 6, 1, 20 },
  { 6, 5, 7, 1, 20 },  { 1, 1, 4, 1, 40 },  { 2, 2, 3, 1, 40 },   { 16, 6, 8, 16, 10 },
  { 20, 7, 8, 16, 6 }, { 40, 3, 8, 16, 8 }, { 256, 2, 6, 11, 3 },
};
#define N_SHAPES ((int) (sizeof shapes / sizeof *shapes))
