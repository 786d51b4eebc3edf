/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vptq-search-private.h"

#include <stdbool.h>
#include <string.h>

#define LANES VPTQ_LANES
#define TRIANGLE (VPTQ_MAX_LENGTH * (VPTQ_MAX_LENGTH - 1) / 2)

/*
 * G = L D L' with a unit lower triangle L, packed column by column without its diagonal: then the error of t = x - c is
 * sum over j of D_j (t_j + sum over i > j of L_ij t_i)^2. No differences of large numbers: exact where features of c are not.
 * A pivot lost in the rounding of G is zero: G is then semidefinite.
 */
static void
factor_matrix (const float *g, unsigned v, float *lower, float *diagonal)
{
  double inverse[VPTQ_MAX_LENGTH];
  double l[VPTQ_MAX_LENGTH * VPTQ_MAX_LENGTH]; /* D_j L_ij */

  for (unsigned j = 0; j < v; j++) {
    double pivot = g[(size_t) j * v + j];

    for (unsigned m = 0; m < j; m++)
      pivot -= l[j * v + m] * l[j * v + m] * inverse[m];
    bool keep = pivot > g[(size_t) j * v + j] * 0x1p-22;
    inverse[j] = keep ? 1 / pivot : 0;
    diagonal[j] = keep ? (float) pivot : 0;
    for (unsigned i = j + 1; i < v; i++) {
      double sum = g[(size_t) i * v + j];

      for (unsigned m = 0; m < j; m++)
        sum -= l[i * v + m] * l[j * v + m] * inverse[m];
      l[i * v + j] = sum;
      *lower++ = (float) (sum * inverse[j]);
    }
  }
}

/* --- portable --- */

static inline void
portable_matrix (const VptqTable *t, size_t c, const float *restrict x, const float *restrict lower,
                 const float *restrict diagonal, float *restrict e)
{
  float d[VPTQ_MAX_LENGTH][LANES];
  unsigned v = t->length;

  memset (e, 0, LANES * sizeof *e);
  for (unsigned j = 0; j < v; j++)
    for (unsigned i = 0; i < LANES; i++)
      d[j][i] = x[j] - t->table[j * t->stride + c + i];
  for (unsigned j = 0; j < v; j++) {
    float s[LANES];

    memcpy (s, d[j], sizeof s);
    for (unsigned m = j + 1; m < v; m++) {
      float l = *lower++;
      for (unsigned i = 0; i < LANES; i++)
        s[i] += l * d[m][i];
    }
    for (unsigned i = 0; i < LANES; i++)
      e[i] += diagonal[j] * (s[i] * s[i]);
  }
}

void
vptq_search_matrix_portable (const VptqTable *t, const float *weights, const float *x, size_t n,
                             uint32_t *indices, float *errors)
{
  float lower[TRIANGLE], diagonal[VPTQ_MAX_LENGTH], e[LANES];
  const size_t v = t->length;

  for (size_t p = 0; p < n; p++, x += v, weights += v * v) {
    float best = INFINITY;
    uint32_t index = 0;

    factor_matrix (weights, t->length, lower, diagonal);
    for (size_t c = 0; c < t->stride; c += LANES) {
      portable_matrix (t, c, x, lower, diagonal, e);
      for (unsigned i = 0; i < LANES; i++)
        if (e[i] < best) {
          best = e[i];
          index = (uint32_t) c + i;
        }
    }
    indices[p] = index;
    if (errors)
      errors[p] = best;
  }
}

#if HAS_SIMD

/* --- AVX2 --- */

/* The longest vectors whose matrices are factored four at a time. */
#define BATCH 4u
#define BATCH_LENGTH 8u

/* Number at of each of four matrices. */
AVX2_INLINE __m256d
avx2_gather (const float *const *g, unsigned at)
{
  return _mm256_cvtps_pd (_mm_setr_ps (g[0][at], g[1][at], g[2][at], g[3][at]));
}

/* factor_matrix() of four matrices at once; number i of matrix q is lower[4 * i + q]. */
AVX2_INLINE void
avx2_factor (const float *const *g, unsigned v, float *lower, float *diagonal)
{
  __m256d inverse[BATCH_LENGTH], l[BATCH_LENGTH * BATCH_LENGTH];

  for (unsigned j = 0; j < v; j++) {
    __m256d own = avx2_gather (g, j * v + j), pivot = own;

    for (unsigned m = 0; m < j; m++) {
      __m256d ljm = l[j * v + m];
      pivot = _mm256_sub_pd (pivot, _mm256_mul_pd (_mm256_mul_pd (ljm, ljm), inverse[m]));
    }
    __m256d keep = _mm256_cmp_pd (pivot, _mm256_mul_pd (own, _mm256_set1_pd (0x1p-22)), _CMP_GT_OQ);
    inverse[j] = _mm256_and_pd (keep, _mm256_div_pd (_mm256_set1_pd (1), pivot));
    _mm_storeu_ps (diagonal + 4 * j, _mm256_cvtpd_ps (_mm256_and_pd (keep, pivot)));
    for (unsigned i = j + 1; i < v; i++, lower += 4) {
      __m256d sum = avx2_gather (g, i * v + j);

      for (unsigned m = 0; m < j; m++) {
        __m256d product = _mm256_mul_pd (l[i * v + m], l[j * v + m]);
        sum = _mm256_sub_pd (sum, _mm256_mul_pd (product, inverse[m]));
      }
      l[i * v + j] = sum;
      _mm_storeu_ps (lower, _mm256_cvtpd_ps (_mm256_mul_pd (sum, inverse[j])));
    }
  }
}

/* One vector; its factors are step apart. */
AVX2_INLINE uint32_t
avx2_matrix_one (const VptqTable *t, unsigned v, const float *lower, const float *diagonal,
                 unsigned step, const float *x, float *error)
{
  __m256i id = _mm256_setr_epi32 (0, 1, 2, 3, 4, 5, 6, 7);
  __m256 d[VPTQ_MAX_LENGTH][2];
  Best best;

  best_init (&best);
  for (size_t c = 0; c < t->stride; c += LANES) {
    __m256 e0 = _mm256_setzero_ps (), e1 = _mm256_setzero_ps ();
    const float *l = lower;

    for (unsigned j = 0; j < v; j++) {
      __m256 xj = _mm256_broadcast_ss (x + j);
      d[j][0] = _mm256_sub_ps (xj, _mm256_load_ps (t->table + j * t->stride + c));
      d[j][1] = _mm256_sub_ps (xj, _mm256_load_ps (t->table + j * t->stride + c + 8));
    }
    for (unsigned j = 0; j < v; j++) {
      __m256 s0 = d[j][0], s1 = d[j][1], w = _mm256_broadcast_ss (diagonal + (size_t) j * step);

      for (unsigned m = j + 1; m < v; m++, l += step) {
        __m256 lm = _mm256_broadcast_ss (l);
        s0 = _mm256_add_ps (s0, _mm256_mul_ps (lm, d[m][0]));
        s1 = _mm256_add_ps (s1, _mm256_mul_ps (lm, d[m][1]));
      }
      e0 = _mm256_add_ps (e0, _mm256_mul_ps (w, _mm256_mul_ps (s0, s0)));
      e1 = _mm256_add_ps (e1, _mm256_mul_ps (w, _mm256_mul_ps (s1, s1)));
    }
    best_update (&best, e0, e1, id);
    id = _mm256_add_epi32 (id, _mm256_set1_epi32 (LANES));
  }
  return best_reduce (&best, error);
}

/* Factors of @left <= BATCH matrices. */
AVX2_INLINE void
factor_batch (const float *weights, unsigned v, size_t left, float *lower, float *diagonal)
{
  const float *g[BATCH];

  for (size_t q = 0; q < BATCH; q++)
    g[q] = weights + (q < left ? q : 0) * v * v;
  avx2_factor (g, v, lower, diagonal);
}

/* Calls @search with a length that the compiler knows, at most BATCH_LENGTH. */
#define OF_LENGTH(search, v)                       \
  case v:                                          \
    search (t, v, weights, x, n, indices, errors); \
    break;
#define BY_LENGTH(search) \
  OF_LENGTH (search, 2)   \
  OF_LENGTH (search, 3)   \
  OF_LENGTH (search, 4)   \
  OF_LENGTH (search, 5) OF_LENGTH (search, 6) OF_LENGTH (search, 7) OF_LENGTH (search, 8)

/* v: t->length, known to the compiler, at most BATCH_LENGTH. */
AVX2_INLINE void
avx2_matrix_batches (const VptqTable *t, unsigned v, const float *weights, const float *x, size_t n,
                     uint32_t *indices, float *errors)
{
  float lower[BATCH_LENGTH * (BATCH_LENGTH - 1) / 2 * BATCH], diagonal[BATCH_LENGTH * BATCH], error;

  for (size_t p = 0; p < n; p += BATCH) {
    const size_t left = n - p < BATCH ? n - p : BATCH;

    factor_batch (weights + p * v * v, v, left, lower, diagonal);
    for (size_t q = 0; q < left; q++) {
      indices[p + q] =
          avx2_matrix_one (t, v, lower + q, diagonal + q, BATCH, x + (p + q) * v, &error);
      if (errors)
        errors[p + q] = error;
    }
  }
}

AVX2 static void
search_avx2 (const VptqTable *t, const float *weights, const float *x, size_t n, uint32_t *indices,
             float *errors)
{
  float lower[TRIANGLE], diagonal[VPTQ_MAX_LENGTH], error;
  unsigned v = t->length;

  switch (v) {
    BY_LENGTH (avx2_matrix_batches)
  default:
    for (size_t p = 0; p < n; p++, weights += (size_t) v * v) {
      factor_matrix (weights, v, lower, diagonal);
      indices[p] = avx2_matrix_one (t, v, lower, diagonal, 1, x + p * v, &error);
      if (errors)
        errors[p] = error;
    }
  }
}

/* --- AVX-512 --- */

/* As avx2_matrix_one(), whose numbers it gets. */
AVX512_INLINE uint32_t
avx512_matrix_one (const VptqTable *t, unsigned v, const float *lower, const float *diagonal,
                   const float *x, float *error)
{
  __m512i id = _mm512_setr_epi32 (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  __m512 d[BATCH_LENGTH];
  Best16 best;

  best16_init (&best);
  for (size_t c = 0; c < t->stride; c += LANES) {
    __m512 e = _mm512_setzero_ps ();
    const float *l = lower;

#pragma GCC unroll 8
    for (unsigned j = 0; j < v; j++)
      d[j] = _mm512_sub_ps (_mm512_set1_ps (x[j]), _mm512_load_ps (t->table + j * t->stride + c));
#pragma GCC unroll 8
    for (unsigned j = 0; j < v; j++) {
      __m512 s = d[j];

#pragma GCC unroll 8
      for (unsigned m = j + 1; m < v; m++, l += BATCH)
        s = _mm512_add_ps (s, _mm512_mul_ps (_mm512_set1_ps (*l), d[m]));
      s = _mm512_mul_ps (_mm512_set1_ps (diagonal[(size_t) j * BATCH]), _mm512_mul_ps (s, s));
      e = j == 0 ? s : _mm512_add_ps (e, s);
    }
    best16_update (&best, e, id);
    id = _mm512_add_epi32 (id, _mm512_set1_epi32 (LANES));
  }
  return best16_reduce (&best, error);
}

AVX512_INLINE void
avx512_matrix_batches (const VptqTable *t, unsigned v, const float *weights, const float *x,
                       size_t n, uint32_t *indices, float *errors)
{
  float lower[BATCH_LENGTH * (BATCH_LENGTH - 1) / 2 * BATCH], diagonal[BATCH_LENGTH * BATCH], error;

  for (size_t p = 0; p < n; p += BATCH) {
    const size_t left = n - p < BATCH ? n - p : BATCH;

    factor_batch (weights + p * v * v, v, left, lower, diagonal);
    for (size_t q = 0; q < left; q++) {
      indices[p + q] = avx512_matrix_one (t, v, lower + q, diagonal + q, x + (p + q) * v, &error);
      if (errors)
        errors[p + q] = error;
    }
  }
}

AVX512 static void
search_avx512 (const VptqTable *t, const float *weights, const float *x, size_t n,
               uint32_t *indices, float *errors)
{
  switch (t->length) {
    BY_LENGTH (avx512_matrix_batches)
  default:
    search_avx2 (t, weights, x, n, indices, errors);
  }
}

#endif

void
vptq_search_matrix (const VptqTable *t, const float *weights, const float *x, size_t n,
                    uint32_t *indices, float *errors)
{
#if HAS_SIMD
  const SimdKind simd = simd_get ();

  if (simd != SIMD_PORTABLE) {
    (simd >= SIMD_AVX512 ? search_avx512 : search_avx2) (t, weights, x, n, indices, errors);
    return;
  }
#endif
  vptq_search_matrix_portable (t, weights, x, n, indices, errors);
}
