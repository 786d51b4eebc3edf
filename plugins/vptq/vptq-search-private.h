/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "simd-kernel.h"
#include "vptq-kernel.h"

#include <math.h>

/* What the files of the search share: vptq-kernel.c searches under metrics with numbers of their own, vptq-matrix-kernel.c under matrices. */

#define VPTQ_LANES 16u /* centroids that one step of the search looks at */

/* vptq_search() under VPTQ_METRIC_MATRIX, vectors of 2 numbers or more. */
void vptq_search_matrix (const VptqTable *table, const float *weights, const float *x, size_t n,
                         uint32_t *indices, float *errors);
void vptq_search_matrix_portable (const VptqTable *table, const float *weights, const float *x,
                                  size_t n, uint32_t *indices, float *errors);

#if HAS_SIMD
#if !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized" /* of gcc 12 in its own AVX-512 header */
#endif
#include <immintrin.h>

#define AVX2 SIMD_FOR_AVX2
#define AVX2_INLINE SIMD_FOR_AVX2 static inline __attribute__ ((always_inline))
#define AVX512 SIMD_FOR_AVX512
#define AVX512_INLINE SIMD_FOR_AVX512 static inline __attribute__ ((always_inline))

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

/* The best of 16 lanes so far. */
typedef struct {
  __m512 error;
  __m512i index;
} Best16;

AVX512_INLINE void
best16_init (Best16 *best)
{
  best->error = _mm512_set1_ps (INFINITY);
  best->index = _mm512_setzero_si512 ();
}

AVX512_INLINE void
best16_update (Best16 *best, __m512 e, __m512i index)
{
  const __mmask16 less = _mm512_cmp_ps_mask (e, best->error, _CMP_LT_OQ);

  best->error = _mm512_mask_mov_ps (best->error, less, e);
  best->index = _mm512_mask_mov_epi32 (best->index, less, index);
}

AVX512_INLINE uint32_t
best16_reduce (const Best16 *best, float *error)
{
  *error = _mm512_reduce_min_ps (best->error);
  const __mmask16 least = _mm512_cmp_ps_mask (best->error, _mm512_set1_ps (*error), _CMP_EQ_OQ);
  return _mm512_mask_reduce_min_epu32 (least, best->index);
}
#endif
