/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "seedlm-lists-private.h"

#include <string.h>

/*
 * Energies of seeds in a list. A record holds a row of 16 bytes for 4 elements of a block: 4 for each of up to 4 columns. All
 * sums are of integers; the squares are added as (0 + 1) + (2 + 3): same numbers with any instructions.
 */

#if HAS_SIMD
#define AVX2 SIMD_FOR_AVX2
#define AVX512 SEEDLM_FOR_VNNI
#endif

#define INLINE static inline __attribute__ ((always_inline))
#define STEP SEEDLM_LISTS_STEP

/* What a scan goes through. */
typedef struct {
  const uint8_t *records;
  size_t record;
  const void *places;
  size_t n_steps;
  float low;
  SeedlmHit *hits;
  size_t max;
} Scan;

/* --- portable -------------------------------------------------------------------------------------------------------- */

static size_t
scan_portable (const SeedlmQuery *query, const Scan *scan, const unsigned place_bytes)
{
  size_t n = 0;

  for (size_t step = 0; step < scan->n_steps && n + STEP <= scan->max; step++) {
    float energies[STEP];
    unsigned mask = 0;
    for (unsigned i = 0; i < STEP; i++) {
      const uint8_t *record =
          scan->records +
          scan->record * seedlm_place_at (scan->places, place_bytes, step * STEP + i);
      int32_t y[4] = { query->offset, query->offset, query->offset, query->offset };
      for (size_t k = 0; k < scan->record; k++)
        y[k / 4 % 4] += (int32_t) record[k] * query->pattern[k];
      float squares[4];
      for (unsigned p = 0; p < 4; p++)
        squares[p] = (float) y[p] * (float) y[p];
      energies[i] = (squares[0] + squares[1]) + (squares[2] + squares[3]);
      mask |= (unsigned) (energies[i] >= scan->low) << i;
    }
    n = seedlm_add_hits (scan->hits, n, scan->places, place_bytes, step * STEP, mask, energies);
  }
  return n;
}

#if HAS_SIMD

/* --- AVX2 ------------------------------------------------------------------------------------------------------------ */

AVX2 INLINE __m256i
products_avx2 (const uint8_t *record, const __m256i *pattern, const unsigned n_chunks)
{
  const __m256i ones = _mm256_set1_epi16 (1);
  __m256i sum = _mm256_madd_epi16 (
      _mm256_maddubs_epi16 (_mm256_loadu_si256 ((const __m256i *) record), pattern[0]), ones);

  for (unsigned k = 1; k < n_chunks; k++)
    sum = _mm256_add_epi32 (
        sum, _mm256_madd_epi16 (
                 _mm256_maddubs_epi16 (_mm256_loadu_si256 ((const __m256i *) (record + 32 * k)),
                                       pattern[k]),
                 ones));
  return sum;
}

/* Squares of the columns' sums of two seeds, one in each half. */
AVX2 INLINE __m256
pair_avx2 (const uint8_t *a, const uint8_t *b, const __m256i *pattern, const unsigned n_chunks,
           __m256i offset)
{
  const __m256i x = products_avx2 (a, pattern, n_chunks), y = products_avx2 (b, pattern, n_chunks);
  const __m256 sums = _mm256_cvtepi32_ps (
      _mm256_add_epi32 (_mm256_add_epi32 (_mm256_permute2x128_si256 (x, y, 0x20),
                                          _mm256_permute2x128_si256 (x, y, 0x31)),
                        offset));

  return _mm256_mul_ps (sums, sums);
}

AVX2 INLINE size_t
scan_avx2_chunks (const SeedlmQuery *query, const Scan *scan, const unsigned place_bytes,
                  const unsigned n_chunks)
{
  const __m256i offset = _mm256_set1_epi32 (query->offset),
                order = _mm256_setr_epi32 (0, 4, 1, 5, 2, 6, 3, 7);
  const __m256 low = _mm256_set1_ps (scan->low);
  __m256i pattern[4];
  size_t n = 0;

  for (unsigned k = 0; k < n_chunks; k++)
    pattern[k] = _mm256_load_si256 ((const __m256i *) (query->pattern + 32 * k));
  for (size_t step = 0; step < scan->n_steps && n + STEP <= scan->max; step++) {
    __m256 energies[2];
    unsigned mask = 0;
    for (unsigned half = 0; half < 2; half++) {
      __m256 s[4];
      for (unsigned i = 0; i < 4; i++) {
        const size_t at = step * STEP + 8 * half + 2 * i;
        s[i] = pair_avx2 (
            scan->records + scan->record * seedlm_place_at (scan->places, place_bytes, at),
            scan->records + scan->record * seedlm_place_at (scan->places, place_bytes, at + 1),
            pattern, n_chunks, offset);
      }
      const __m256 e = _mm256_hadd_ps (_mm256_hadd_ps (s[0], s[1]), _mm256_hadd_ps (s[2], s[3]));
      energies[half] = _mm256_permutevar8x32_ps (e, order);
      mask |= (unsigned) _mm256_movemask_ps (_mm256_cmp_ps (energies[half], low, _CMP_GE_OQ))
              << 8 * half;
    }
    if (__builtin_expect (mask == 0, 1))
      continue;
    float lanes[STEP];
    _mm256_storeu_ps (lanes, energies[0]);
    _mm256_storeu_ps (lanes + 8, energies[1]);
    n = seedlm_add_hits (scan->hits, n, scan->places, place_bytes, step * STEP, mask, lanes);
  }
  return n;
}

AVX2 INLINE size_t
scan_avx2 (const SeedlmQuery *query, const Scan *scan, const unsigned place_bytes)
{
  const size_t n_chunks = (scan->record + 31) / 32;

  return n_chunks == 1   ? scan_avx2_chunks (query, scan, place_bytes, 1)
         : n_chunks == 2 ? scan_avx2_chunks (query, scan, place_bytes, 2)
         : n_chunks == 3 ? scan_avx2_chunks (query, scan, place_bytes, 3)
                         : scan_avx2_chunks (query, scan, place_bytes, 4);
}

AVX2 static size_t
scan_avx2_2 (const SeedlmQuery *query, const Scan *scan)
{
  return scan_avx2 (query, scan, 2);
}

AVX2 static size_t
scan_avx2_4 (const SeedlmQuery *query, const Scan *scan)
{
  return scan_avx2 (query, scan, 4);
}

/* --- AVX-512 with VNNI ----------------------------------------------------------------------------------------------- */

/* Adds the two halves of a to the front, those of b behind. */
AVX512 INLINE __m512i
fold (__m512i a, __m512i b)
{
  return _mm512_add_epi32 (_mm512_shuffle_i64x2 (a, b, 0x88), _mm512_shuffle_i64x2 (a, b, 0xdd));
}

/* Sums of four seeds' columns: n_chunks = 0: records of up to 32 bytes, two to a register. */
AVX512 INLINE __m512i
quad_avx512 (const Scan *scan, const unsigned place_bytes, size_t at, const __m512i *pattern,
             const unsigned n_chunks)
{
  const uint8_t *r[4];
  __m512i s[4];

  for (unsigned i = 0; i < 4; i++)
    r[i] = scan->records + scan->record * seedlm_place_at (scan->places, place_bytes, at + i);
  if (n_chunks == 0) {
    for (unsigned i = 0; i < 2; i++)
      s[i] = _mm512_dpbusd_epi32 (
          _mm512_setzero_si512 (),
          _mm512_inserti64x4 (
              _mm512_castsi256_si512 (_mm256_loadu_si256 ((const __m256i *) r[2 * i])),
              _mm256_loadu_si256 ((const __m256i *) r[2 * i + 1]), 1),
          pattern[0]);
    return fold (s[0], s[1]);
  }
  for (unsigned i = 0; i < 4; i++) {
    s[i] = _mm512_setzero_si512 ();
    for (unsigned k = 0; k < n_chunks; k++)
      s[i] = _mm512_dpbusd_epi32 (s[i], _mm512_loadu_si512 (r[i] + 64 * k), pattern[k]);
  }
  return fold (fold (s[0], s[1]), fold (s[2], s[3]));
}

/* Even places of a and b, and odd ones, added. */
AVX512 INLINE __m512
add_pairs (__m512 a, __m512 b)
{
  return _mm512_add_ps (_mm512_shuffle_ps (a, b, 0x88), _mm512_shuffle_ps (a, b, 0xdd));
}

AVX512 INLINE size_t
scan_avx512_chunks (const SeedlmQuery *query, const Scan *scan, const unsigned place_bytes,
                    const unsigned n_chunks)
{
  const __m512i offset = _mm512_set1_epi32 (query->offset);
  const __m512i order = _mm512_setr_epi32 (0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  const __m512 low = _mm512_set1_ps (scan->low);
  __m512i pattern[2];
  size_t n = 0;

  pattern[0] = _mm512_load_si512 (query->pattern);
  pattern[1] = _mm512_load_si512 (query->pattern + 64);
  if (n_chunks == 0)
    pattern[0] = _mm512_shuffle_i64x2 (pattern[0], pattern[0], 0x44);
  for (size_t step = 0; step < scan->n_steps && n + STEP <= scan->max; step++) {
    __m512 s[4];
    for (unsigned i = 0; i < 4; i++) {
      s[i] = _mm512_cvtepi32_ps (_mm512_add_epi32 (
          quad_avx512 (scan, place_bytes, step * STEP + 4 * i, pattern, n_chunks), offset));
      s[i] = _mm512_mul_ps (s[i], s[i]);
    }
    const __m512 energies =
        _mm512_permutexvar_ps (order, add_pairs (add_pairs (s[0], s[1]), add_pairs (s[2], s[3])));
    const unsigned mask = _mm512_cmp_ps_mask (energies, low, _CMP_GE_OQ);
    if (__builtin_expect (mask == 0, 1))
      continue;
    float lanes[STEP];
    _mm512_storeu_ps (lanes, energies);
    n = seedlm_add_hits (scan->hits, n, scan->places, place_bytes, step * STEP, mask, lanes);
  }
  return n;
}

AVX512 INLINE size_t
scan_avx512 (const SeedlmQuery *query, const Scan *scan, const unsigned place_bytes)
{
  return scan->record <= 32   ? scan_avx512_chunks (query, scan, place_bytes, 0)
         : scan->record <= 64 ? scan_avx512_chunks (query, scan, place_bytes, 1)
                              : scan_avx512_chunks (query, scan, place_bytes, 2);
}

AVX512 static size_t
scan_avx512_2 (const SeedlmQuery *query, const Scan *scan)
{
  return scan_avx512 (query, scan, 2);
}

AVX512 static size_t
scan_avx512_4 (const SeedlmQuery *query, const Scan *scan)
{
  return scan_avx512 (query, scan, 4);
}
#endif

/* --- choice of the code ---------------------------------------------------------------------------------------------- */

size_t
seedlm_query_scan_places (const SeedlmQuery *query, const SeedlmLists *lists, const void *places,
                          unsigned place_bytes, size_t n_steps, float low, SeedlmHit *hits,
                          size_t max)
{
  const Scan scan = { lists->records, lists->record, places, n_steps, low, hits, max };

#if HAS_SIMD
  const SimdKind simd = simd_get ();
  if (seedlm_has_vnni ())
    return place_bytes == 2 ? scan_avx512_2 (query, &scan) : scan_avx512_4 (query, &scan);
  if (simd >= SIMD_AVX2)
    return place_bytes == 2 ? scan_avx2_2 (query, &scan) : scan_avx2_4 (query, &scan);
#endif
  return scan_portable (query, &scan, place_bytes);
}

size_t
seedlm_query_scan (const SeedlmQuery *query, const SeedlmLists *lists, size_t from, size_t to,
                   float low, SeedlmHit *hits, size_t max)
{
  const unsigned place_bytes = lists->shape.place_bytes;

  return seedlm_query_scan_places (query, lists,
                                   (const char *) query->places + from * STEP * place_bytes,
                                   place_bytes, to - from, low, hits, max);
}
