/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vptq-kernel.h"

#include <float.h>
#include <math.h>
#include <string.h>

#if defined(__x86_64__) && defined(__GNUC__)
#define VPTQ_AVX2 1
#include <immintrin.h>
#else
#define VPTQ_AVX2 0
#endif

/* Centroids that one step of the search looks at: two AVX2 registers. */
#define LANES 16u
#define TRIANGLE (VPTQ_MAX_LENGTH * (VPTQ_MAX_LENGTH - 1) / 2)

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
  return ((size_t) n_centroids + LANES - 1) / LANES * LANES;
}

size_t
vptq_table_floats (unsigned n_centroids, unsigned length)
{
  return padded (n_centroids) * length + LANES;
}

void
vptq_table_init (VptqTable *table, float *storage, const float *codebook, unsigned n_centroids,
                 unsigned length)
{
  size_t stride = padded (n_centroids);
  size_t misaligned = ((uintptr_t) storage / sizeof (float)) % LANES;
  float *out = storage + (LANES - misaligned) % LANES;

  for (unsigned j = 0; j < length; j++) {
    for (unsigned i = 0; i < n_centroids; i++)
      out[j * stride + i] = codebook[(size_t) i * length + j];
    /* never nearer than a centroid: the error is infinite, or not a number */
    for (size_t i = n_centroids; i < stride; i++)
      out[j * stride + i] = INFINITY;
  }
  table->length = length;
  table->n_centroids = n_centroids;
  table->stride = stride;
  table->table = out;
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

/* Errors of LANES centroids from c on; weights NULL: plain. */
static inline void
portable_diagonal (const VptqTable *t, size_t c, const float *restrict x,
                   const float *restrict weights, float *restrict e)
{
  memset (e, 0, LANES * sizeof *e);
  for (unsigned j = 0; j < t->length; j++) {
    const float *restrict centroids = t->table + j * t->stride + c;
    float xj = x[j];

    if (weights) {
      float w = weights[j];
      for (unsigned i = 0; i < LANES; i++) {
        float d = xj - centroids[i];
        e[i] += w * (d * d);
      }
    } else {
      for (unsigned i = 0; i < LANES; i++) {
        float d = xj - centroids[i];
        e[i] += d * d;
      }
    }
  }
}

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
vptq_search_portable (const VptqTable *t, VptqMetric metric, const float *weights, const float *x,
                      size_t n, uint32_t *indices, float *errors)
{
  float lower[TRIANGLE], diagonal[VPTQ_MAX_LENGTH], e[LANES];
  size_t stride = vptq_metric_stride (metric, t->length);

  if (metric == VPTQ_METRIC_MATRIX && t->length == 1)
    metric = VPTQ_METRIC_DIAGONAL;
  for (size_t p = 0; p < n; p++, x += t->length) {
    const float *w = stride ? weights + p * stride : NULL;
    float best = INFINITY;
    uint32_t index = 0;

    if (metric == VPTQ_METRIC_MATRIX)
      factor_matrix (w, t->length, lower, diagonal);
    for (size_t c = 0; c < t->stride; c += LANES) {
      if (metric == VPTQ_METRIC_MATRIX)
        portable_matrix (t, c, x, lower, diagonal, e);
      else
        portable_diagonal (t, c, x, metric == VPTQ_METRIC_DIAGONAL ? w : NULL, e);
      for (unsigned i = 0; i < LANES; i++)
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

#if VPTQ_AVX2

#define AVX2 __attribute__ ((target ("avx2")))
#define AVX2_INLINE static inline __attribute__ ((always_inline, target ("avx2")))

/* The best of each lane so far. */
typedef struct {
  __m256 error;
  __m256i index;
} Best;

AVX2_INLINE void
best_init (Best *best)
{
  best->error = _mm256_set1_ps (INFINITY);
  best->index = _mm256_setzero_si256 ();
}

/* Errors of centroids first .. first + 15. Of equal ones the lower stays. */
AVX2_INLINE void
best_update (Best *best, __m256 e0, __m256 e1, __m256i first)
{
  __m256i second = _mm256_add_epi32 (first, _mm256_set1_epi32 (8));
  __m256 less = _mm256_cmp_ps (e1, e0, _CMP_LT_OQ);
  __m256 e = _mm256_blendv_ps (e0, e1, less);
  __m256i i = _mm256_blendv_epi8 (first, second, _mm256_castps_si256 (less));

  less = _mm256_cmp_ps (e, best->error, _CMP_LT_OQ);
  best->error = _mm256_blendv_ps (best->error, e, less);
  best->index = _mm256_blendv_epi8 (best->index, i, _mm256_castps_si256 (less));
}

/* The best of all lanes; of equal ones the lowest. */
AVX2_INLINE uint32_t
best_reduce (const Best *best, float *error)
{
  __m256 e = best->error;
  __m256i i = _mm256_set1_epi32 (INT32_MAX);

  e = _mm256_min_ps (e, _mm256_permute2f128_ps (e, e, 1));
  e = _mm256_min_ps (e, _mm256_shuffle_ps (e, e, 0x4e));
  e = _mm256_min_ps (e, _mm256_shuffle_ps (e, e, 0xb1));
  __m256 least = _mm256_cmp_ps (best->error, e, _CMP_EQ_OQ);
  i = _mm256_blendv_epi8 (i, best->index, _mm256_castps_si256 (least));
  i = _mm256_min_epi32 (i, _mm256_permute2x128_si256 (i, i, 1));
  i = _mm256_min_epi32 (i, _mm256_shuffle_epi32 (i, 0x4e));
  i = _mm256_min_epi32 (i, _mm256_shuffle_epi32 (i, 0xb1));
  *error = _mm256_cvtss_f32 (e);
  return (uint32_t) _mm256_cvtsi256_si32 (i);
}

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
  for (size_t c = 0; c < t->stride; c += LANES) {
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
    id = _mm256_add_epi32 (id, _mm256_set1_epi32 (LANES));
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

/* v: t->length, known to the compiler, at most BATCH_LENGTH. */
AVX2_INLINE void
avx2_matrix_batches (const VptqTable *t, unsigned v, const float *weights, const float *x, size_t n,
                     uint32_t *indices, float *errors)
{
  float lower[BATCH_LENGTH * (BATCH_LENGTH - 1) / 2 * BATCH], diagonal[BATCH_LENGTH * BATCH], error;

  for (size_t p = 0; p < n; p += BATCH) {
    size_t left = n - p < BATCH ? n - p : BATCH;
    const float *g[BATCH];

    for (size_t q = 0; q < BATCH; q++)
      g[q] = weights + (p + (q < left ? q : 0)) * v * v;
    avx2_factor (g, v, lower, diagonal);
    for (size_t q = 0; q < left; q++) {
      indices[p + q] =
          avx2_matrix_one (t, v, lower + q, diagonal + q, BATCH, x + (p + q) * v, &error);
      if (errors)
        errors[p + q] = error;
    }
  }
}

#define MATRIX_OF(v)                                                                    \
  AVX2 static void search_avx2_matrix_##v (const VptqTable *t, const float *weights,    \
                                           const float *x, size_t n, uint32_t *indices, \
                                           float *errors)                               \
  {                                                                                     \
    avx2_matrix_batches (t, v, weights, x, n, indices, errors);                         \
  }
MATRIX_OF (2)
MATRIX_OF (3)
MATRIX_OF (4)
MATRIX_OF (5)
MATRIX_OF (6)
MATRIX_OF (7)
MATRIX_OF (8)
#undef MATRIX_OF

AVX2 static void
search_avx2_matrix (const VptqTable *t, const float *weights, const float *x, size_t n,
                    uint32_t *indices, float *errors)
{
  float lower[TRIANGLE], diagonal[VPTQ_MAX_LENGTH], error;
  unsigned v = t->length;

  for (size_t p = 0; p < n; p++, weights += (size_t) v * v) {
    factor_matrix (weights, v, lower, diagonal);
    indices[p] = avx2_matrix_one (t, v, lower, diagonal, 1, x + p * v, &error);
    if (errors)
      errors[p] = error;
  }
}

static void
search_avx2 (const VptqTable *t, VptqMetric metric, const float *weights, const float *x, size_t n,
             uint32_t *indices, float *errors)
{
  switch (metric) {
  case VPTQ_METRIC_DIAGONAL:
    search_avx2_diagonal (t, weights, x, n, indices, errors);
    return;
  case VPTQ_METRIC_MATRIX:
    switch (t->length) {
    case 1:
      search_avx2_diagonal (t, weights, x, n, indices, errors);
      return;
    case 2:
      search_avx2_matrix_2 (t, weights, x, n, indices, errors);
      return;
    case 3:
      search_avx2_matrix_3 (t, weights, x, n, indices, errors);
      return;
    case 4:
      search_avx2_matrix_4 (t, weights, x, n, indices, errors);
      return;
    case 5:
      search_avx2_matrix_5 (t, weights, x, n, indices, errors);
      return;
    case 6:
      search_avx2_matrix_6 (t, weights, x, n, indices, errors);
      return;
    case 7:
      search_avx2_matrix_7 (t, weights, x, n, indices, errors);
      return;
    case 8:
      search_avx2_matrix_8 (t, weights, x, n, indices, errors);
      return;
    default:
      search_avx2_matrix (t, weights, x, n, indices, errors);
      return;
    }
  case VPTQ_METRIC_NONE:
  case VPTQ_METRIC_SCALAR:
  default:
    search_avx2_plain (t, x, n, indices, errors);
  }
  if (metric == VPTQ_METRIC_SCALAR && errors)
    for (size_t p = 0; p < n; p++)
      errors[p] = weights[p] * errors[p];
}

#endif

void
vptq_search (const VptqTable *table, VptqMetric metric, const float *weights, const float *x,
             size_t n, uint32_t *indices, float *errors)
{
#if VPTQ_AVX2
  if (__builtin_cpu_supports ("avx2")) {
    search_avx2 (table, metric, weights, x, n, indices, errors);
    return;
  }
#endif
  vptq_search_portable (table, metric, weights, x, n, indices, errors);
}
