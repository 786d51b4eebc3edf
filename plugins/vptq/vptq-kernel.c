/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vptq-search-private.h"

#include <float.h>
#include <math.h>
#include <string.h>

unsigned
vptq_index_bits (unsigned n_centroids)
{
  unsigned bits = 1;

  while (bits < 32 && (UINT64_C (1) << bits) < n_centroids)
    bits++;
  return bits;
}

size_t
vptq_metric_stride (VptqMetric metric, unsigned length)
{
  switch (metric) {
  case VPTQ_METRIC_SCALAR:
    return 1;
  case VPTQ_METRIC_DIAGONAL:
    return length;
  case VPTQ_METRIC_MATRIX:
    return (size_t) length * length;
  case VPTQ_METRIC_NONE:
  default:
    return 0;
  }
}

static size_t
padded (unsigned n_centroids)
{
  return ((size_t) n_centroids + VPTQ_LANES - 1) / VPTQ_LANES * VPTQ_LANES;
}

size_t
vptq_table_floats (unsigned n_centroids, unsigned length)
{
  return padded (n_centroids) * length + VPTQ_LANES;
}

void
vptq_table_of (VptqTable *table, float *storage, unsigned n_centroids, unsigned length)
{
  const size_t misaligned = ((uintptr_t) storage / sizeof (float)) % VPTQ_LANES;

  table->length = length;
  table->n_centroids = n_centroids;
  table->stride = padded (n_centroids);
  table->table = storage + (VPTQ_LANES - misaligned) % VPTQ_LANES;
}

void
vptq_table_init_some (VptqTable *table, float *storage, const float *codebook, const uint32_t *some,
                      unsigned n_some, unsigned length)
{
  vptq_table_of (table, storage, n_some, length);
  float *out = storage + (table->table - storage);

  for (unsigned j = 0; j < length; j++, out += table->stride) {
    for (unsigned i = 0; i < n_some; i++)
      out[i] = codebook[(size_t) (some ? some[i] : i) * length + j];
    /* never nearer than a centroid: the error is infinite, or not a number */
    for (size_t i = n_some; i < table->stride; i++)
      out[i] = INFINITY;
  }
}

void
vptq_table_init (VptqTable *table, float *storage, const float *codebook, unsigned n_centroids,
                 unsigned length)
{
  vptq_table_init_some (table, storage, codebook, NULL, n_centroids, length);
}

float
vptq_unit (const float *x, size_t n)
{
  float peak = 0;
  int exponent;

  for (size_t i = 0; i < n; i++)
    peak = fmaxf (peak, fabsf (x[i]));
  if (peak == 0 || (peak > 0x1p-40f && peak < 0x1p40f))
    return 1;
  frexpf (peak, &exponent);
  return ldexpf (1, exponent < -125 ? -125 : exponent > 125 ? 125 : exponent);
}

void
vptq_divide (float *x, size_t n, float by)
{
  const float factor = by > FLT_MIN ? 1 / by : 0;

  for (size_t i = 0; i < n; i++)
    x[i] *= factor;
}

size_t
vptq_lookup (const float *codebook, unsigned n_centroids, unsigned length, float factor,
             const uint32_t *indices, size_t n, float *out)
{
  for (size_t i = 0; i < n; i++, out += length) {
    if (indices[i] >= n_centroids)
      return i;
    const float *c = codebook + (size_t) indices[i] * length;
    for (unsigned j = 0; j < length; j++) {
      const float value = factor * c[j];
      out[j] = value > FLT_MAX ? FLT_MAX : value < -FLT_MAX ? -FLT_MAX : value;
    }
  }
  return n;
}

/* --- portable --- */

/* Errors of VPTQ_LANES centroids from c on; weights NULL: plain. */
static inline void
portable_diagonal (const VptqTable *t, size_t c, const float *restrict x,
                   const float *restrict weights, float *restrict e)
{
  memset (e, 0, VPTQ_LANES * sizeof *e);
  for (unsigned j = 0; j < t->length; j++) {
    const float *restrict centroids = t->table + j * t->stride + c;
    float xj = x[j];

    if (weights) {
      float w = weights[j];
      for (unsigned i = 0; i < VPTQ_LANES; i++) {
        float d = xj - centroids[i];
        e[i] += w * (d * d);
      }
    } else {
      for (unsigned i = 0; i < VPTQ_LANES; i++) {
        float d = xj - centroids[i];
        e[i] += d * d;
      }
    }
  }
}

void
vptq_search_portable (const VptqTable *t, VptqMetric metric, const float *weights, const float *x,
                      size_t n, uint32_t *indices, float *errors)
{
  size_t stride = vptq_metric_stride (metric, t->length);
  float e[VPTQ_LANES];

  if (metric == VPTQ_METRIC_MATRIX && t->length > 1) {
    vptq_search_matrix_portable (t, weights, x, n, indices, errors);
    return;
  }
  if (metric == VPTQ_METRIC_MATRIX)
    metric = VPTQ_METRIC_DIAGONAL;
  for (size_t p = 0; p < n; p++, x += t->length) {
    const float *w = stride ? weights + p * stride : NULL;
    float best = INFINITY;
    uint32_t index = 0;

    for (size_t c = 0; c < t->stride; c += VPTQ_LANES) {
      portable_diagonal (t, c, x, metric == VPTQ_METRIC_DIAGONAL ? w : NULL, e);
      for (unsigned i = 0; i < VPTQ_LANES; i++)
        if (e[i] < best) {
          best = e[i];
          index = (uint32_t) c + i;
        }
    }
    indices[p] = index;
    if (errors)
      errors[p] = metric == VPTQ_METRIC_SCALAR ? *w * best : best;
  }
}

/* --- AVX2 --- */

#if HAS_SIMD

/* n_points (1 or 4, known to the compiler) vectors against all centroids. */
AVX2_INLINE void
avx2_diagonal (const VptqTable *t, const float *x, const float *weights, unsigned n_points,
               uint32_t *indices, float *errors)
{
  __m256i id = _mm256_setr_epi32 (0, 1, 2, 3, 4, 5, 6, 7);
  unsigned v = t->length;
  Best best[4];

  for (unsigned p = 0; p < n_points; p++)
    best_init (&best[p]);
  for (size_t c = 0; c < t->stride; c += VPTQ_LANES) {
    __m256 e[4][2];

    for (unsigned p = 0; p < n_points; p++)
      e[p][0] = e[p][1] = _mm256_setzero_ps ();
    for (unsigned j = 0; j < v; j++) {
      __m256 c0 = _mm256_load_ps (t->table + j * t->stride + c);
      __m256 c1 = _mm256_load_ps (t->table + j * t->stride + c + 8);

      for (unsigned p = 0; p < n_points; p++) {
        __m256 xj = _mm256_broadcast_ss (x + (size_t) p * v + j);
        __m256 d0 = _mm256_sub_ps (xj, c0), d1 = _mm256_sub_ps (xj, c1);

        d0 = _mm256_mul_ps (d0, d0);
        d1 = _mm256_mul_ps (d1, d1);
        if (weights) {
          __m256 w = _mm256_broadcast_ss (weights + (size_t) p * v + j);
          d0 = _mm256_mul_ps (w, d0);
          d1 = _mm256_mul_ps (w, d1);
        }
        e[p][0] = _mm256_add_ps (e[p][0], d0);
        e[p][1] = _mm256_add_ps (e[p][1], d1);
      }
    }
    for (unsigned p = 0; p < n_points; p++)
      best_update (&best[p], e[p][0], e[p][1], id);
    id = _mm256_add_epi32 (id, _mm256_set1_epi32 (VPTQ_LANES));
  }
  for (unsigned p = 0; p < n_points; p++)
    indices[p] = best_reduce (&best[p], &errors[p]);
}

AVX2 static void
search_avx2_plain (const VptqTable *t, const float *x, size_t n, uint32_t *indices, float *errors)
{
  float e[4];
  size_t p = 0;

  for (; p + 4 <= n; p += 4) {
    avx2_diagonal (t, x + p * t->length, NULL, 4, indices + p, e);
    if (errors)
      memcpy (errors + p, e, sizeof e);
  }
  for (; p < n; p++) {
    avx2_diagonal (t, x + p * t->length, NULL, 1, indices + p, e);
    if (errors)
      errors[p] = e[0];
  }
}

AVX2 static void
search_avx2_diagonal (const VptqTable *t, const float *weights, const float *x, size_t n,
                      uint32_t *indices, float *errors)
{
  unsigned v = t->length;
  float e[4];
  size_t p = 0;

  for (; p + 4 <= n; p += 4) {
    avx2_diagonal (t, x + p * v, weights + p * v, 4, indices + p, e);
    if (errors)
      memcpy (errors + p, e, sizeof e);
  }
  for (; p < n; p++) {
    avx2_diagonal (t, x + p * v, weights + p * v, 1, indices + p, e);
    if (errors)
      errors[p] = e[0];
  }
}

/* --- AVX-512 --- */

/* n_points (1 or 8) vectors of v numbers against all centroids; both are known to the compiler. The numbers are those of avx2_diagonal(). */
AVX512_INLINE void
avx512_points (const VptqTable *t, unsigned v, const float *x, const float *weights,
               unsigned n_points, uint32_t *indices, float *errors)
{
  __m512i id = _mm512_setr_epi32 (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  Best16 best[8];

  for (unsigned p = 0; p < n_points; p++)
    best16_init (&best[p]);
  for (size_t c = 0; c < t->stride; c += VPTQ_LANES) {
    __m512 e[8];

    for (unsigned p = 0; p < n_points; p++)
      e[p] = _mm512_setzero_ps ();
    for (unsigned j = 0; j < v; j++) {
      const __m512 own = _mm512_load_ps (t->table + j * t->stride + c);

#pragma GCC unroll 8
      for (unsigned p = 0; p < n_points; p++) {
        __m512 d = _mm512_sub_ps (own, _mm512_set1_ps (x[(size_t) p * v + j]));

        d = _mm512_mul_ps (d, d);
        if (weights)
          d = _mm512_mul_ps (_mm512_set1_ps (weights[(size_t) p * v + j]), d);
        e[p] = _mm512_add_ps (e[p], d);
      }
    }
#pragma GCC unroll 8
    for (unsigned p = 0; p < n_points; p++)
      best16_update (&best[p], e[p], id);
    id = _mm512_add_epi32 (id, _mm512_set1_epi32 (VPTQ_LANES));
  }
  for (unsigned p = 0; p < n_points; p++)
    indices[p] = best16_reduce (&best[p], &errors[p]);
}

AVX512_INLINE void
avx512_search (const VptqTable *t, unsigned v, const float *weights, const float *x, size_t n,
               uint32_t *indices, float *errors)
{
  float e[8];
  size_t p = 0;

  for (; p + 8 <= n; p += 8) {
    avx512_points (t, v, x + p * v, weights ? weights + p * v : NULL, 8, indices + p, e);
    if (errors)
      memcpy (errors + p, e, sizeof e);
  }
  for (; p < n; p++) {
    avx512_points (t, v, x + p * v, weights ? weights + p * v : NULL, 1, indices + p, e);
    if (errors)
      errors[p] = e[0];
  }
}

AVX512 static void
search_avx512_plain (const VptqTable *t, const float *x, size_t n, uint32_t *indices, float *errors)
{
  switch (t->length) {
  case 4:
    avx512_search (t, 4, NULL, x, n, indices, errors);
    break;
  case 6:
    avx512_search (t, 6, NULL, x, n, indices, errors);
    break;
  case 8:
    avx512_search (t, 8, NULL, x, n, indices, errors);
    break;
  default:
    avx512_search (t, t->length, NULL, x, n, indices, errors);
  }
}

AVX512 static void
search_avx512_diagonal (const VptqTable *t, const float *weights, const float *x, size_t n,
                        uint32_t *indices, float *errors)
{
  avx512_search (t, t->length, weights, x, n, indices, errors);
}

#endif

void
vptq_search (const VptqTable *t, VptqMetric metric, const float *weights, const float *x, size_t n,
             uint32_t *indices, float *errors)
{
#if HAS_SIMD
  const SimdKind simd = simd_get ();

  if (simd == SIMD_PORTABLE) {
    vptq_search_portable (t, metric, weights, x, n, indices, errors);
  } else if (metric == VPTQ_METRIC_MATRIX && t->length > 1) {
    vptq_search_matrix (t, weights, x, n, indices, errors);
  } else if (metric == VPTQ_METRIC_DIAGONAL || metric == VPTQ_METRIC_MATRIX) {
    (simd >= SIMD_AVX512 ? search_avx512_diagonal : search_avx2_diagonal) (t, weights, x, n,
                                                                           indices, errors);
  } else {
    (simd >= SIMD_AVX512 ? search_avx512_plain : search_avx2_plain) (t, x, n, indices, errors);
    if (metric == VPTQ_METRIC_SCALAR && errors)
      for (size_t p = 0; p < n; p++)
        errors[p] = weights[p] * errors[p];
  }
#else
  vptq_search_portable (t, metric, weights, x, n, indices, errors);
#endif
}
