/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench-seedlm-plain.h"
#include "simd-kernel.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The loops over seeds are written for the compiler to make vectors of. */
#ifndef __clang__
#pragma GCC optimize("O3", "fp-contract=fast", "no-math-errno", "no-trapping-math", \
                     "finite-math-only", "no-signed-zeros")
#define UNROLL _Pragma ("GCC unroll 32")
#else
#define UNROLL
#endif

#define INLINE static inline __attribute__ ((always_inline))
#define CHUNK 128 /* seeds whose tables are used for a batch of blocks */
#define BATCH 128 /* blocks, even */
#define LANES 16  /* of these seeds, as many as have the codebook's norms at hand */
#define STEP 8    /* centroids at once */
#define TRIANGLE(rank) ((rank) * ((rank) + 1) / 2)

/* Of a batch's blocks: |w|^2 / 2, the least error / 2 and its seed. */
typedef struct {
  float half[BATCH], least[BATCH];
  uint32_t place[BATCH];
  float r[BATCH][CHUNK + LANES]; /* U'w: column p of seed l is r[l + p] */
} Batch;

/* @tables: for every chunk, rows of CHUNK: the triangle of R^-1, then that of U'U, its diagonal halved. Hard seeds are made useless. */
struct PlainSearch {
  const SeedlmBasis *basis;
  const float *codebook;
  unsigned n_centroids;
  float *tables, *norms; /* of all centroids, for LANES seeds: (U c)^2 / 2 */
  Batch *batch;
};

/* --- tables ---------------------------------------------------------------------------------------------------------------- */

/* isnan() is not to be had where the compiler may take all numbers for finite. */
static int
is_nan (float x)
{
  uint32_t bits;

  memcpy (&bits, &x, sizeof bits);
  return (bits & 0x7fffffff) > 0x7f800000;
}

static void
fill_tables (PlainSearch *self)
{
  const SeedlmBasis *basis = self->basis;
  const unsigned rank = basis->rank, triangle = TRIANGLE (rank);

  for (uint32_t n = 0; n < basis->n_padded; n++) {
    const float *factors = seedlm_basis_factors (basis, n), *u = basis->sequence->values + n;
    float *out = self->tables + (size_t) (n / CHUNK) * 2 * triangle * CHUNK + n % CHUNK;
    for (unsigned p = 0; p < rank; p++)
      for (unsigned k = 0; k <= p; k++, out += CHUNK, factors += SEEDLM_BASIS_LANES) {
        double sum = 0;
        for (unsigned i = 0; i < basis->block_size; i++)
          sum += (double) u[i * rank + p] * u[i * rank + k];
        out[0] = is_nan (factors[0]) ? 0 : factors[0];
        out[triangle * CHUNK] =
            is_nan (factors[0]) ? 1e30f * (k == p) : (float) (k == p ? sum / 2 : sum);
      }
  }
}

PlainSearch *
plain_search_new (const SeedlmBasis *basis, const float *codebook, unsigned n_centroids)
{
  const unsigned block_size = basis->block_size;
  const int known = n_centroids % STEP == 0 && basis->rank == (block_size == 12 ? 4 : 3) &&
                    (block_size == 8 || block_size == 12 || block_size == 20);
  PlainSearch *self = known ? calloc (1, sizeof *self) : NULL;

  if (!self)
    return NULL;
  self->basis = basis;
  self->codebook = codebook;
  self->n_centroids = n_centroids;
  self->tables = aligned_alloc (64, (size_t) basis->n_padded * 2 * TRIANGLE (basis->rank) *
                                        sizeof *self->tables);
  self->norms = aligned_alloc (64, (size_t) (n_centroids + 1) * LANES * sizeof *self->norms);
  self->batch = malloc (sizeof *self->batch);
  if (!self->tables || !self->norms || !self->batch) {
    plain_search_free (self);
    return NULL;
  }
  fill_tables (self);
  return self;
}

void
plain_search_free (PlainSearch *self)
{
  if (!self)
    return;
  free (self->tables);
  free (self->norms);
  free (self->batch);
  free (self);
}

/* --- a chunk of seeds ------------------------------------------------------------------------------------------------------ */

INLINE void
correlate (const float *restrict v, const unsigned block_size, const unsigned rank,
           const float *restrict w, float *restrict r)
{
  for (unsigned l = 0; l < CHUNK + LANES; l++) {
    float sum = 0;
    UNROLL
    for (unsigned i = 0; i < block_size; i++)
      sum += v[l + i * rank] * w[i];
    r[l] = sum;
  }
}

/* c'U'Uc / 2 - c'y, with the triangle of a seed in @f. */
INLINE float
score (const float *restrict f, const unsigned rank, const float *c, const float *y)
{
  float sum = 0;
  UNROLL
  for (unsigned p = 0; p < rank; p++) {
    float inner = f[(TRIANGLE (p) + p) * CHUNK] * c[p] - y[p];
    UNROLL
    for (unsigned k = 0; k < rank; k++)
      if (k < p)
        inner += f[(TRIANGLE (p) + k) * CHUNK] * c[k];
    sum += inner * c[p];
  }
  return sum;
}

/* Mantissas in -8..7 and the least power of two, from 2^-8 to 2^7, that they reach all coefficients with. */
INLINE void
to_block_float (float *t, const unsigned rank)
{
  float top = 0, step, inverse;
  uint32_t bits;
  UNROLL
  for (unsigned p = 0; p < rank; p++)
    top = fabsf (t[p]) > top ? fabsf (t[p]) : top;
  step = top * (1 / 7.5f);
  memcpy (&bits, &step, sizeof bits);
  bits = (bits + 0x7fffff) & 0x7f800000;
  memcpy (&step, &bits, sizeof step);
  step = step > 0x1p-8f ? step : 0x1p-8f;
  step = step < 0x1p7f ? step : 0x1p7f;
  memcpy (&bits, &step, sizeof bits);
  bits = 0x7f000000 - bits;
  memcpy (&inverse, &bits, sizeof inverse);
  UNROLL
  for (unsigned p = 0; p < rank; p++) {
    const float x = rintf (t[p] * inverse), low = x < -8 ? -8 : x;
    t[p] = step * (low > 7 ? 7 : low);
  }
}

INLINE void
score_native (const float *restrict table, const unsigned rank, const float *restrict r, float half,
              float *restrict e)
{
  for (unsigned l = 0; l < CHUNK; l++) {
    float z[SEEDLM_MAX_RANK], t[SEEDLM_MAX_RANK], y[SEEDLM_MAX_RANK];
    UNROLL
    for (unsigned p = 0; p < rank; p++) {
      y[p] = r[l + p];
      z[p] = t[p] = 0;
    }
    UNROLL
    for (unsigned p = 0; p < rank; p++)
      UNROLL
    for (unsigned k = 0; k < rank; k++)
      if (k <= p)
        z[p] += table[(TRIANGLE (p) + k) * CHUNK + l] * y[k];
    UNROLL
    for (unsigned p = 0; p < rank; p++)
      UNROLL
    for (unsigned k = 0; k < rank; k++)
      if (k <= p)
        t[k] += table[(TRIANGLE (p) + k) * CHUNK + l] * z[p];
    to_block_float (t, rank);
    e[l] = half + score (table + TRIANGLE (rank) * CHUNK + l, rank, t, y);
  }
}

/* Two blocks at once. */
INLINE void
score_joint (const float *restrict norms, const float *restrict c, unsigned n_centroids,
             const unsigned rank, const float *restrict r0, const float *restrict r1,
             const float *half, float *restrict e)
{
  float best0[LANES], best1[LANES];

  for (unsigned l = 0; l < LANES; l++)
    best0[l] = best1[l] = 1e30f;
  for (unsigned k = 0; k < n_centroids; k += STEP, c += STEP * rank, norms += STEP * LANES)
    for (unsigned l = 0; l < LANES; l++) {
      float least0 = best0[l], least1 = best1[l];
      UNROLL
      for (unsigned j = 0; j < STEP; j++) {
        float s0 = norms[j * LANES + l], s1 = s0;
        UNROLL
        for (unsigned p = 0; p < rank; p++) {
          s0 -= c[j * rank + p] * r0[l + p];
          s1 -= c[j * rank + p] * r1[l + p];
        }
        least0 = s0 < least0 ? s0 : least0;
        least1 = s1 < least1 ? s1 : least1;
      }
      best0[l] = least0;
      best1[l] = least1;
    }
  for (unsigned l = 0; l < LANES; l++) {
    e[l] = half[0] + best0[l];
    e[LANES + l] = half[1] + best1[l];
  }
}

INLINE void
note (Batch *batch, unsigned b, const float *e, const unsigned n, uint32_t place)
{
  float least = 1e30f;
  for (unsigned l = 0; l < n; l++)
    least = e[l] < least ? e[l] : least;
  if (__builtin_expect (least >= batch->least[b], 1))
    return;
  batch->least[b] = least;
  for (unsigned l = 0; l < n; l++)
    if (e[l] == least)
      batch->place[b] = place + l;
}

INLINE void
chunk_joint (const PlainSearch *self, const float *table, const unsigned rank, size_t n,
             uint32_t place)
{
  Batch *batch = self->batch;
  float e[2 * LANES];
  const float none[SEEDLM_MAX_RANK] = { 0 };

  for (unsigned from = 0; from < CHUNK; from += LANES) {
    for (unsigned k = 0; k < self->n_centroids; k++)
      for (unsigned l = 0; l < LANES; l++)
        self->norms[k * LANES + l] = score (table + TRIANGLE (rank) * CHUNK + from + l, rank,
                                            self->codebook + k * rank, none);
    for (unsigned b = 0; b < n; b += 2) {
      score_joint (self->norms, self->codebook, self->n_centroids, rank, batch->r[b] + from,
                   batch->r[b + 1] + from, batch->half + b, e);
      note (batch, b, e, LANES, place + from);
      note (batch, b + 1, e + LANES, LANES, place + from);
    }
  }
}

INLINE void
run_shape (const PlainSearch *self, const unsigned block_size, const unsigned rank,
           const float *blocks, size_t n)
{
  Batch *batch = self->batch;
  float e[CHUNK];

  for (uint32_t place = 0; place < self->basis->n_padded; place += CHUNK) {
    const float *table = self->tables + (size_t) place * 2 * TRIANGLE (rank);
    for (unsigned b = 0; b < n; b++)
      correlate (self->basis->sequence->values + place, block_size, rank, blocks + b * block_size,
                 batch->r[b]);
    if (self->codebook)
      chunk_joint (self, table, rank, n, place);
    else
      for (unsigned b = 0; b < n; b++) {
        score_native (table, rank, batch->r[b], batch->half[b], e);
        note (batch, b, e, CHUNK, place);
      }
  }
}

/* Sizes must be known to the compiler. */
INLINE void
run_batch (const PlainSearch *self, const float *blocks, size_t n)
{
  if (self->basis->block_size == 8)
    run_shape (self, 8, 3, blocks, n);
  else if (self->basis->block_size == 12)
    run_shape (self, 12, 4, blocks, n);
  else
    run_shape (self, 20, 3, blocks, n);
}

#if HAS_SIMD
SIMD_FOR_AVX2 static void
run_avx2 (const PlainSearch *self, const float *blocks, size_t n)
{
  run_batch (self, blocks, n);
}

SIMD_FOR_AVX512 static void
run_avx512 (const PlainSearch *self, const float *blocks, size_t n)
{
  run_batch (self, blocks, n);
}
#endif

static void
run_best (const PlainSearch *self, const float *blocks, size_t n)
{
#if HAS_SIMD
  if (simd_get () == SIMD_AVX512)
    run_avx512 (self, blocks, n);
  else if (simd_get () == SIMD_AVX2)
    run_avx2 (self, blocks, n);
  else
#endif
    run_batch (self, blocks, n);
}

/* --- one seed, exactly ----------------------------------------------------------------------------------------------------- */

static double
error_of (const SeedlmBasis *basis, uint32_t place, SeedlmQuantize quantize, void *user_data,
          const float *block)
{
  const unsigned block_size = basis->block_size, rank = basis->rank;
  const float *u = basis->sequence->values + place;
  float t[SEEDLM_MAX_RANK], t_hat[SEEDLM_MAX_RANK], metric[SEEDLM_MAX_RANK * SEEDLM_MAX_RANK],
      out[SEEDLM_MAX_BLOCK];
  uint32_t code;
  double error = 0;

  seedlm_project (u, block_size, rank, block, NULL, t, metric);
  if (!quantize (user_data, t, 1, metric, &code, t_hat))
    return INFINITY;
  seedlm_decode (u, block_size, rank, t_hat, 1, out);
  for (unsigned i = 0; i < block_size; i++)
    error += ((double) out[i] - block[i]) * ((double) out[i] - block[i]);
  return error;
}

void
plain_search_run (PlainSearch *self, SeedlmQuantize quantize, void *user_data, const float *blocks,
                  size_t n, double *errors)
{
  const SeedlmBasis *basis = self->basis;
  const unsigned block_size = basis->block_size;
  Batch *batch = self->batch;

  for (size_t from = 0; from < n; from += BATCH, blocks += BATCH * block_size) {
    const size_t some = n - from < BATCH ? n - from : BATCH;
    memset (batch, 0, sizeof *batch);
    for (size_t b = 0; b < some; b++) {
      double sum = 0;
      for (unsigned i = 0; i < block_size; i++)
        sum += (double) blocks[b * block_size + i] * blocks[b * block_size + i];
      batch->half[b] = (float) (sum / 2);
      batch->least[b] = 1e29f;
    }
    run_best (self, blocks, some);
    for (size_t b = 0; b < some; b++) {
      const float *block = blocks + b * block_size;
      double best = error_of (basis, batch->place[b], quantize, user_data, block);
      for (uint32_t i = 0; i < basis->n_hard; i++)
        best = fmin (best, error_of (basis, basis->hard[i], quantize, user_data, block));
      errors[from + b] = best;
    }
  }
}
