/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "seedlm-basis-kernel.h"
#include "simd-kernel.h"

#include <math.h>
#include <string.h>

#if HAS_SIMD
#include <immintrin.h>
#endif

#define INLINE static inline __attribute__ ((always_inline))
#define LANES 8
#define HALO 8 /* r of the next tile's first seeds; >= rank - 1 */
#define STRIDE (SEEDLM_TILE + HALO)
#define STEP 48 /* seeds per round of the sliding correlation, at most; the tile is a multiple */
#define FEW 96  /* entries that are sorted by counting */
#define QUAD 4  /* blocks per round */

/* --- lists ------------------------------------------------------------------------------------------------------------ */

/* Does a come before b? Descending energy, then place. */
INLINE int
before (SeedlmCandidate a, SeedlmCandidate b)
{
  return a.energy > b.energy || (a.energy == b.energy && a.place < b.place);
}

INLINE void
swap (SeedlmCandidate *a, SeedlmCandidate *b)
{
  SeedlmCandidate c = *a;
  *a = *b;
  *b = c;
}

/* Moves the first @keep entries of the order to the front. */
static void
select_first (SeedlmCandidate *e, size_t n, size_t keep)
{
  size_t lo = 0, hi = n;
  while (hi - lo > 1) {
    SeedlmCandidate a = e[lo], b = e[lo + (hi - lo) / 2], c = e[hi - 1];
    SeedlmCandidate pivot = before (a, b) ? (before (b, c)   ? b
                                             : before (a, c) ? c
                                                             : a)
                                          : (before (a, c)   ? a
                                             : before (b, c) ? c
                                                             : b);
    size_t i = lo, j = hi - 1;
    for (;;) {
      while (before (e[i], pivot))
        i++;
      while (before (pivot, e[j]))
        j--;
      if (i >= j)
        break;
      swap (&e[i++], &e[j--]);
    }
    size_t middle = j + 1;
    if (middle == hi)
      middle = hi - 1;
    if (keep <= middle)
      hi = middle;
    else
      lo = middle;
  }
}

/* How many of n keys are less than each. Quadratic, but without a branch that depends on them. */
INLINE void
count_less_body (const int64_t *keys, size_t n, uint8_t *less)
{
  for (size_t i = 0; i < n; i++) {
    const int64_t own = keys[i];
    int64_t sum = 0;
    for (size_t j = 0; j < n; j++)
      sum += keys[j] < own;
    less[i] = (uint8_t) sum;
  }
}

static void
count_less_portable (const int64_t *keys, size_t n, uint8_t *less)
{
  count_less_body (keys, n, less);
}

#if HAS_SIMD
SIMD_FOR_AVX2 static void
count_less_avx2 (const int64_t *keys, size_t n, uint8_t *less)
{
  count_less_body (keys, n, less);
}

SIMD_FOR_AVX512_WIDE static void
count_less_avx512 (const int64_t *keys, size_t n, uint8_t *less)
{
  count_less_body (keys, n, less);
}
#endif

static void
sort_few (SeedlmCandidate *e, size_t n)
{
  SeedlmCandidate sorted[FEW];
  int64_t keys[FEW] = { 0 };
  uint8_t less[FEW] = { 0 }, equal[FEW] = { 0 };
  for (size_t i = 0; i < n; i++) {
    const float energy = e[i].energy + 0.0f; /* one zero */
    int32_t bits;
    memcpy (&bits, &energy, sizeof bits);
    bits ^= bits >> 31 & INT32_MAX; /* in the order of the numbers */
    keys[i] = -(int64_t) bits * ((int64_t) 1 << 32) + e[i].place;
  }
#if HAS_SIMD
  const SimdKind simd = simd_get ();
  if (simd >= SIMD_AVX512)
    count_less_avx512 (keys, n, less);
  else if (simd >= SIMD_AVX2)
    count_less_avx2 (keys, n, less);
  else
#endif
    count_less_portable (keys, n, less);
  for (size_t i = 0; i < n; i++)
    sorted[less[i] + equal[less[i]]++] = e[i];
  memcpy (e, sorted, n * sizeof *e);
}

void
seedlm_sort_candidates (SeedlmCandidate *e, size_t n)
{
  if (n <= 1)
    return;
  if (n <= FEW) {
    sort_few (e, n);
    return;
  }
  select_first (e, n, n / 2);
  seedlm_sort_candidates (e, n / 2);
  seedlm_sort_candidates (e + n / 2, n - n / 2);
}

static void
list_add (SeedlmList *list, float energy, uint32_t place)
{
  if (!(energy >= list->low) || !(energy <= list->high))
    return;
  list->entries[list->n++] = (SeedlmCandidate){ energy, place };
  if (list->n < 2 * list->keep)
    return;
  select_first (list->entries, list->n, list->keep);
  list->n = list->keep;
  list->dropped = 1;
  float low = INFINITY;
  for (size_t i = 0; i < list->n; i++)
    low = list->entries[i].energy < low ? list->entries[i].energy : low;
  list->low = low;
}

/* --- portable code --------------------------------------------------------------------------------------------------- */

/* r[n] for n in [0, count) of @n_blocks blocks; @w: block_size rows of GROUP. */
static void
slide_portable (const float *values, unsigned block_size, unsigned rank, const float *w,
                unsigned n_blocks, float *r, unsigned count)
{
  for (unsigned b = 0; b < n_blocks; b++)
    for (unsigned n = 0; n < count; n += LANES) {
      float sum[LANES] = { 0 };
      for (unsigned i = 0; i < block_size; i++) {
        const float *v = values + n + (size_t) i * rank;
        for (unsigned l = 0; l < LANES; l++)
          sum[l] += v[l] * w[i * SEEDLM_GROUP + b];
      }
      memcpy (r + (size_t) b * STRIDE + n, sum, sizeof sum);
    }
}

static void
tile_portable (const float *factors, unsigned rank, const float *r, unsigned n_blocks,
               uint32_t place, SeedlmList *lists)
{
  unsigned triangle = rank * (rank + 1) / 2;
  for (unsigned n = 0; n < SEEDLM_TILE; n += LANES, factors += triangle * LANES)
    for (unsigned b = 0; b < n_blocks; b++) {
      const float *x = r + (size_t) b * STRIDE + n, *f = factors;
      float energy[LANES] = { 0 };
      for (unsigned p = 0; p < rank; p++) {
        float y[LANES] = { 0 };
        for (unsigned k = 0; k <= p; k++, f += LANES)
          for (unsigned l = 0; l < LANES; l++)
            y[l] += f[l] * x[k + l];
        for (unsigned l = 0; l < LANES; l++)
          energy[l] += y[l] * y[l];
      }
      for (unsigned l = 0; l < LANES; l++)
        if (energy[l] >= lists[b].low)
          list_add (&lists[b], energy[l], place + n + l);
    }
}

/* The seeds with an explicit basis. Few, and the same code everywhere. */
static void
scan_hard (const SeedlmBasis *basis, const float *w, unsigned n_blocks, SeedlmList *lists)
{
  unsigned block_size = basis->block_size, rank = basis->rank;
  const float *q = basis->hard_basis;
  for (uint32_t n = 0; n < basis->n_hard; n += LANES, q += (size_t) block_size * rank * LANES)
    for (unsigned b = 0; b < n_blocks; b++) {
      float y[SEEDLM_MAX_RANK][LANES] = { 0 }, energy[LANES] = { 0 };
      for (unsigned i = 0; i < block_size; i++)
        for (unsigned p = 0; p < rank; p++)
          for (unsigned l = 0; l < LANES; l++)
            y[p][l] += q[(i * rank + p) * LANES + l] * w[i * SEEDLM_GROUP + b];
      for (unsigned p = 0; p < rank; p++)
        for (unsigned l = 0; l < LANES; l++)
          energy[l] += y[p][l] * y[p][l];
      for (unsigned l = 0; l < LANES; l++)
        if (energy[l] >= lists[b].low) /* never for the NaN of an empty lane */
          list_add (&lists[b], energy[l], basis->hard[n + l]);
    }
}

/* --- AVX2 and FMA ---------------------------------------------------------------------------------------------------- */

#if HAS_SIMD
SIMD_FOR_AVX2 INLINE void
slide_avx2_step (const float *v, unsigned block_size, unsigned rank, const float *w, float *r)
{
  __m256 s[QUAD][3];
  for (unsigned b = 0; b < QUAD; b++)
    for (unsigned j = 0; j < 3; j++)
      s[b][j] = _mm256_setzero_ps ();
  for (unsigned i = 0; i < block_size; i++, v += rank, w += SEEDLM_GROUP) {
    __m256 v0 = _mm256_loadu_ps (v), v1 = _mm256_loadu_ps (v + 8), v2 = _mm256_loadu_ps (v + 16);
    for (unsigned b = 0; b < QUAD; b++) {
      __m256 x = _mm256_broadcast_ss (w + b);
      s[b][0] = _mm256_fmadd_ps (v0, x, s[b][0]);
      s[b][1] = _mm256_fmadd_ps (v1, x, s[b][1]);
      s[b][2] = _mm256_fmadd_ps (v2, x, s[b][2]);
    }
  }
  for (unsigned b = 0; b < QUAD; b++)
    for (unsigned j = 0; j < 3; j++)
      _mm256_storeu_ps (r + b * STRIDE + 8 * j, s[b][j]);
}

/* @w is padded with zeros to a multiple of QUAD blocks, and @count is a multiple of STEP. */
SIMD_FOR_AVX2 static void
slide_avx2 (const float *values, unsigned block_size, unsigned rank, const float *w,
            unsigned n_blocks, float *r, unsigned count)
{
  for (unsigned b = 0; b < n_blocks; b += QUAD)
    for (unsigned n = 0; n < count; n += 24)
      slide_avx2_step (values + n, block_size, rank, w + b, r + (size_t) b * STRIDE + n);
}

/* Energies of 8 seeds for two blocks. */
SIMD_FOR_AVX2 INLINE void
energy_avx2 (const float *f, const unsigned rank, const float *x0, const float *x1, __m256 *e0,
             __m256 *e1)
{
  __m256 c0[SEEDLM_MAX_RANK], c1[SEEDLM_MAX_RANK];
  *e0 = *e1 = _mm256_setzero_ps ();
#pragma GCC unroll 8
  for (unsigned p = 0; p < rank; p++) {
    c0[p] = _mm256_loadu_ps (x0 + p);
    c1[p] = _mm256_loadu_ps (x1 + p);
    __m256 g = _mm256_load_ps (f);
    __m256 y0 = _mm256_mul_ps (g, c0[0]), y1 = _mm256_mul_ps (g, c1[0]);
    f += LANES;
#pragma GCC unroll 8
    for (unsigned k = 1; k <= p; k++, f += LANES) {
      g = _mm256_load_ps (f);
      y0 = _mm256_fmadd_ps (g, c0[k], y0);
      y1 = _mm256_fmadd_ps (g, c1[k], y1);
    }
    *e0 = _mm256_fmadd_ps (y0, y0, *e0);
    *e1 = _mm256_fmadd_ps (y1, y1, *e1);
  }
}

SIMD_FOR_AVX2 INLINE void
tile_avx2_rank (const float *factors, const unsigned rank, const float *r, unsigned n_blocks,
                uint32_t place, SeedlmList *lists)
{
  const unsigned triangle = rank * (rank + 1) / 2;
  float low[SEEDLM_GROUP];
  for (unsigned b = 0; b < n_blocks; b++)
    low[b] = lists[b].low;
  for (unsigned n = 0; n < SEEDLM_TILE; n += LANES, factors += triangle * LANES)
    for (unsigned b = 0; b < n_blocks; b += QUAD) {
      const float *x = r + (size_t) b * STRIDE + n;
      __m256 e[QUAD], hit[QUAD];
      energy_avx2 (factors, rank, x, x + STRIDE, &e[0], &e[1]);
      energy_avx2 (factors, rank, x + 2 * STRIDE, x + 3 * STRIDE, &e[2], &e[3]);
      for (unsigned j = 0; j < QUAD; j++)
        hit[j] = _mm256_cmp_ps (e[j], _mm256_broadcast_ss (&low[b + j]), _CMP_GE_OQ);
      __m256 any = _mm256_or_ps (_mm256_or_ps (hit[0], hit[1]), _mm256_or_ps (hit[2], hit[3]));
      if (__builtin_expect (_mm256_testz_ps (any, any), 1))
        continue;
      for (unsigned j = 0; j < QUAD; j++) {
        float lanes[LANES];
        _mm256_storeu_ps (lanes, e[j]);
        for (unsigned m = (unsigned) _mm256_movemask_ps (hit[j]); m; m &= m - 1)
          list_add (&lists[b + j], lanes[__builtin_ctz (m)],
                    place + n + (unsigned) __builtin_ctz (m));
        low[b + j] = lists[b + j].low;
      }
    }
}

/* One function for each rank, so that loops over it unroll. */
#define BY_RANK(tile)                             \
  switch (rank) {                                 \
  case 1:                                         \
    tile (factors, 1, r, n_blocks, place, lists); \
    break;                                        \
  case 2:                                         \
    tile (factors, 2, r, n_blocks, place, lists); \
    break;                                        \
  case 3:                                         \
    tile (factors, 3, r, n_blocks, place, lists); \
    break;                                        \
  case 4:                                         \
    tile (factors, 4, r, n_blocks, place, lists); \
    break;                                        \
  case 5:                                         \
    tile (factors, 5, r, n_blocks, place, lists); \
    break;                                        \
  case 6:                                         \
    tile (factors, 6, r, n_blocks, place, lists); \
    break;                                        \
  case 7:                                         \
    tile (factors, 7, r, n_blocks, place, lists); \
    break;                                        \
  default:                                        \
    tile (factors, 8, r, n_blocks, place, lists); \
    break;                                        \
  }

SIMD_FOR_AVX2 static void
tile_avx2 (const float *factors, unsigned rank, const float *r, unsigned n_blocks, uint32_t place,
           SeedlmList *lists){ BY_RANK (tile_avx2_rank) }

/* --- AVX-512 ----------------------------------------------------------------------------------------------------------- */

SIMD_FOR_AVX512 INLINE void slide_avx512_step (const float *v, unsigned block_size, unsigned rank,
                                               const float *w, float *r)
{
  __m512 s[QUAD][3];
  for (unsigned b = 0; b < QUAD; b++)
    for (unsigned j = 0; j < 3; j++)
      s[b][j] = _mm512_setzero_ps ();
  for (unsigned i = 0; i < block_size; i++, v += rank, w += SEEDLM_GROUP) {
    __m512 v0 = _mm512_loadu_ps (v), v1 = _mm512_loadu_ps (v + 16), v2 = _mm512_loadu_ps (v + 32);
    for (unsigned b = 0; b < QUAD; b++) {
      __m512 x = _mm512_set1_ps (w[b]);
      s[b][0] = _mm512_fmadd_ps (v0, x, s[b][0]);
      s[b][1] = _mm512_fmadd_ps (v1, x, s[b][1]);
      s[b][2] = _mm512_fmadd_ps (v2, x, s[b][2]);
    }
  }
  for (unsigned b = 0; b < QUAD; b++)
    for (unsigned j = 0; j < 3; j++)
      _mm512_storeu_ps (r + b * STRIDE + 16 * j, s[b][j]);
}

SIMD_FOR_AVX512 static void
slide_avx512 (const float *values, unsigned block_size, unsigned rank, const float *w,
              unsigned n_blocks, float *r, unsigned count)
{
  for (unsigned b = 0; b < n_blocks; b += QUAD)
    for (unsigned n = 0; n < count; n += STEP)
      slide_avx512_step (values + n, block_size, rank, w + b, r + (size_t) b * STRIDE + n);
}

/* 8 seeds of one block in the lower half, of the next in the upper. */
SIMD_FOR_AVX512 INLINE __m512
two_blocks (const float *x)
{
  return _mm512_insertf32x8 (_mm512_castps256_ps512 (_mm256_loadu_ps (x)),
                             _mm256_loadu_ps (x + STRIDE), 1);
}

/* The masks have all lanes; gcc 12 takes what the plain intrinsics leave out for uninitialized. */
SIMD_FOR_AVX512 INLINE __m512
eight_twice (const float *f)
{
  return _mm512_maskz_broadcast_f32x8 (0xffff, _mm256_load_ps (f));
}

/* Energies of 8 seeds for blocks at @x and behind it, and for the two after these. */
SIMD_FOR_AVX512 INLINE void
energy_avx512 (const float *f, const unsigned rank, const float *x, __m512 *e0, __m512 *e1)
{
  __m512 c0[SEEDLM_MAX_RANK], c1[SEEDLM_MAX_RANK];
  *e0 = *e1 = _mm512_setzero_ps ();
#pragma GCC unroll 8
  for (unsigned p = 0; p < rank; p++) {
    c0[p] = two_blocks (x + p);
    c1[p] = two_blocks (x + 2 * STRIDE + p);
    __m512 g = eight_twice (f);
    __m512 y0 = _mm512_mul_ps (g, c0[0]), y1 = _mm512_mul_ps (g, c1[0]);
    f += LANES;
#pragma GCC unroll 8
    for (unsigned k = 1; k <= p; k++, f += LANES) {
      g = eight_twice (f);
      y0 = _mm512_fmadd_ps (g, c0[k], y0);
      y1 = _mm512_fmadd_ps (g, c1[k], y1);
    }
    *e0 = _mm512_fmadd_ps (y0, y0, *e0);
    *e1 = _mm512_fmadd_ps (y1, y1, *e1);
  }
}

SIMD_FOR_AVX512 INLINE void
tile_avx512_rank (const float *factors, const unsigned rank, const float *r, unsigned n_blocks,
                  uint32_t place, SeedlmList *lists)
{
  const unsigned triangle = rank * (rank + 1) / 2;
  float low[SEEDLM_GROUP][LANES] __attribute__ ((aligned (64)));
  for (unsigned b = 0; b < n_blocks; b++)
    for (unsigned l = 0; l < LANES; l++)
      low[b][l] = lists[b].low;
  for (unsigned n = 0; n < SEEDLM_TILE; n += LANES, factors += triangle * LANES)
    for (unsigned b = 0; b < n_blocks; b += QUAD) {
      __m512 e[2];
      energy_avx512 (factors, rank, r + (size_t) b * STRIDE + n, &e[0], &e[1]);
      unsigned hits = _mm512_cmp_ps_mask (e[0], _mm512_load_ps (low[b]), _CMP_GE_OQ) |
                      (unsigned) _mm512_cmp_ps_mask (e[1], _mm512_load_ps (low[b + 2]), _CMP_GE_OQ)
                          << 16;
      if (__builtin_expect (hits == 0, 1))
        continue;
      float energies[QUAD * LANES];
      _mm512_storeu_ps (energies, e[0]);
      _mm512_storeu_ps (energies + 16, e[1]);
      for (; hits; hits &= hits - 1) {
        const unsigned at = (unsigned) __builtin_ctz (hits);
        list_add (&lists[b + at / LANES], energies[at], place + n + at % LANES);
      }
      for (unsigned j = b; j < b + QUAD; j++)
        for (unsigned l = 0; l < LANES; l++)
          low[j][l] = lists[j].low;
    }
}

SIMD_FOR_AVX512 static void
tile_avx512 (const float *factors, unsigned rank, const float *r, unsigned n_blocks, uint32_t place,
             SeedlmList *lists)
{
  BY_RANK (tile_avx512_rank)
}
#endif

/* --- choice of the code ---------------------------------------------------------------------------------------------- */

typedef void (*Slide) (const float *values, unsigned block_size, unsigned rank, const float *w,
                       unsigned n_blocks, float *r, unsigned count);
typedef void (*Tile) (const float *factors, unsigned rank, const float *r, unsigned n_blocks,
                      uint32_t place, SeedlmList *lists);

size_t
seedlm_scan_scratch (unsigned block_size)
{
  return (size_t) SEEDLM_GROUP * (STRIDE + STEP + block_size);
}

void
seedlm_scan (const SeedlmBasis *basis, const float *blocks, unsigned n, SeedlmList *lists,
             float *scratch)
{
  Slide slide = slide_portable;
  Tile tile = tile_portable;
#if HAS_SIMD
  const SimdKind simd = simd_get ();
  if (simd != SIMD_PORTABLE) {
    slide = simd == SIMD_AVX512 ? slide_avx512 : slide_avx2;
    tile = simd == SIMD_AVX512 ? tile_avx512 : tile_avx2;
  }
#endif
  unsigned block_size = basis->block_size, rank = basis->rank, triangle = rank * (rank + 1) / 2;
  unsigned n_quads = (n + QUAD - 1) / QUAD * QUAD;
  float *r = scratch, *w = scratch + (size_t) SEEDLM_GROUP * (STRIDE + STEP);

  /* One block per column. Blocks that fill up a round are zero, and their lists want nothing. */
  SeedlmList used[SEEDLM_GROUP];
  memset (w, 0, (size_t) block_size * SEEDLM_GROUP * sizeof *w);
  for (unsigned b = 0; b < n; b++) {
    for (unsigned i = 0; i < block_size; i++)
      w[i * SEEDLM_GROUP + b] = blocks[(size_t) b * block_size + i];
    used[b] = lists[b];
  }
  for (unsigned b = n; b < n_quads; b++)
    used[b] = (SeedlmList){ .low = INFINITY };

  /* The first tile needs r[0..HALO) too; the others have it from the one before. */
  const float *values = basis->sequence->values;
  slide (values, block_size, rank, w, n_quads, r, STEP);
  for (uint32_t place = 0; place < basis->n_padded; place += SEEDLM_TILE) {
    if (place > 0)
      for (unsigned b = 0; b < n_quads; b++)
        memcpy (r + (size_t) b * STRIDE, r + (size_t) b * STRIDE + SEEDLM_TILE, HALO * sizeof *r);
    slide (values + place + HALO, block_size, rank, w, n_quads, r + HALO, SEEDLM_TILE);
    tile (basis->factors + (size_t) place * triangle, rank, r, n_quads, place, used);
  }
  scan_hard (basis, w, n, used);

  for (unsigned b = 0; b < n; b++) {
    lists[b] = used[b];
    seedlm_sort_candidates (lists[b].entries, lists[b].n);
  }
}
