/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "seedlm-cell-kernel.h"

#include "seedlm-lists-private.h"

#include <stdlib.h>
#include <string.h>

#if HAS_SIMD
#define AVX2 SIMD_FOR_AVX2
#define AVX512 SEEDLM_FOR_VNNI
#endif

#define INLINE static inline __attribute__ ((always_inline))
#define STEP SEEDLM_LISTS_STEP
#define AHEAD 6 /* steps, for which memory is asked in advance */
#define ROW 64  /* bytes: 4 elements of one column of STEP seeds */

/* The first n_steps steps of a list. A step: for 4 elements of a block at a time, a row per column. */
typedef struct {
  const void *places; /* which list; NULL: none */
  size_t n_steps;
  uint8_t *rows;
} Cell;

struct SeedlmCells {
  const SeedlmLists *lists;
  unsigned n_groups; /* of 4 elements */
  size_t step_bytes, most_steps;
  unsigned next; /* to be given up */
  Cell cells[SEEDLM_N_CELLS];
  uint8_t *memory;
};

static size_t
step_bytes (unsigned block_size, unsigned rank)
{
  return (size_t) ((block_size + 3) / 4) * rank * ROW;
}

static size_t
most_steps (unsigned block_size, unsigned rank, const SeedlmListsShape *shape)
{
  const size_t fit = SEEDLM_CELL_LIMIT / step_bytes (block_size, rank);
  return fit < shape->n_steps ? fit : shape->n_steps;
}

uint64_t
seedlm_cells_bytes (unsigned block_size, unsigned rank, const SeedlmListsShape *shape)
{
  return sizeof (SeedlmCells) + SEEDLM_N_CELLS * step_bytes (block_size, rank) *
                                    (uint64_t) most_steps (block_size, rank, shape);
}

SeedlmCells *
seedlm_cells_new (const SeedlmLists *lists)
{
  const unsigned block_size = lists->basis->block_size, rank = lists->basis->rank;
  SeedlmCells *self = calloc (1, sizeof *self);
  if (!self)
    return NULL;
  self->lists = lists;
  self->n_groups = (block_size + 3) / 4;
  self->step_bytes = step_bytes (block_size, rank);
  self->most_steps = most_steps (block_size, rank, &lists->shape);
  self->memory = aligned_alloc (ROW, SEEDLM_N_CELLS * self->most_steps * self->step_bytes);
  if (!self->memory) {
    free (self);
    return NULL;
  }
  for (unsigned i = 0; i < SEEDLM_N_CELLS; i++)
    self->cells[i].rows = self->memory + i * self->most_steps * self->step_bytes;
  return self;
}

void
seedlm_cells_free (SeedlmCells *self)
{
  if (!self)
    return;
  free (self->memory);
  free (self);
}

INLINE const uint8_t *
record_at (const SeedlmLists *lists, const void *places, size_t i)
{
  return lists->records + lists->record * seedlm_place_at (places, lists->shape.place_bytes, i);
}

/* What a scan goes through, and what it finds. */
typedef struct {
  const uint8_t *rows;
  const void *places;
  size_t from, to;
  float low;
  SeedlmHit *hits;
  size_t max;
} Scan;

/* --- portable -------------------------------------------------------------------------------------------------------- */

static void
gather_portable (const SeedlmCells *self, Cell *cell, size_t to)
{
  const unsigned rank = self->lists->basis->rank;
  for (size_t step = cell->n_steps; step < to; step++)
    for (unsigned i = 0; i < STEP; i++) {
      const uint8_t *record = record_at (self->lists, cell->places, step * STEP + i);
      uint8_t *row = cell->rows + step * self->step_bytes + 4 * i;
      for (unsigned g = 0; g < self->n_groups; g++)
        for (unsigned p = 0; p < rank; p++, row += ROW)
          memcpy (row, record + 16 * g + 4 * p, 4);
    }
}

static size_t
scan_portable (const SeedlmCells *self, const SeedlmQuery *query, const Scan *scan)
{
  const unsigned rank = self->lists->basis->rank;
  size_t n = 0;
  for (size_t step = scan->from; step < scan->to && n + STEP <= scan->max; step++) {
    float energies[STEP];
    unsigned mask = 0;
    for (unsigned i = 0; i < STEP; i++) {
      const uint8_t *row = scan->rows + step * self->step_bytes + 4 * i;
      int32_t y[4] = { 0 };
      for (unsigned p = 0; p < rank; p++)
        y[p] = query->offset;
      for (unsigned g = 0; g < self->n_groups; g++)
        for (unsigned p = 0; p < rank; p++, row += ROW)
          for (unsigned k = 0; k < 4; k++)
            y[p] += (int32_t) row[k] * query->pattern[16 * g + k];
      float squares[4];
      for (unsigned p = 0; p < 4; p++)
        squares[p] = (float) y[p] * (float) y[p];
      energies[i] = (squares[0] + squares[1]) + (squares[2] + squares[3]);
      mask |= (unsigned) (energies[i] >= scan->low) << i;
    }
    n = seedlm_add_hits (scan->hits, n, scan->places, self->lists->shape.place_bytes, step * STEP,
                         mask, energies);
  }
  return n;
}

#if HAS_SIMD

/* Elements of group @g of a block. */
INLINE int32_t
word_of (const SeedlmQuery *query, unsigned g)
{
  int32_t word;
  memcpy (&word, query->pattern + (size_t) 16 * g, sizeof word);
  return word;
}

/* --- AVX2 ------------------------------------------------------------------------------------------------------------ */

AVX2 INLINE size_t
scan_avx2_of (const SeedlmCells *self, const SeedlmQuery *query, const Scan *scan,
              const unsigned n_groups, const unsigned rank)
{
  const __m256i ones = _mm256_set1_epi16 (1), offset = _mm256_set1_epi32 (query->offset);
  const __m256 low = _mm256_set1_ps (scan->low);
  __m256i words[SEEDLM_LISTS_MAX_BLOCK / 4];
  size_t n = 0;

  for (unsigned g = 0; g < n_groups; g++)
    words[g] = _mm256_set1_epi32 (word_of (query, g));
  for (size_t step = scan->from; step < scan->to && n + STEP <= scan->max; step++) {
    const uint8_t *rows = scan->rows + step * self->step_bytes;
    __m256 energies[2];
    unsigned mask = 0;
    for (unsigned half = 0; half < 2; half++) {
      __m256 squares[4] = { _mm256_setzero_ps (), _mm256_setzero_ps (), _mm256_setzero_ps (),
                            _mm256_setzero_ps () };
      for (unsigned p = 0; p < rank; p++) {
        __m256i y = offset;
        for (unsigned g = 0; g < n_groups; g++) {
          const __m256i row = _mm256_load_si256 (
              (const __m256i *) (rows + (size_t) (g * rank + p) * ROW + 32 * half));
          y = _mm256_add_epi32 (y, _mm256_madd_epi16 (_mm256_maddubs_epi16 (row, words[g]), ones));
        }
        squares[p] = _mm256_cvtepi32_ps (y);
        squares[p] = _mm256_mul_ps (squares[p], squares[p]);
      }
      energies[half] =
          _mm256_add_ps (_mm256_add_ps (squares[0], squares[1]),
                         rank == 3 ? squares[2] : _mm256_add_ps (squares[2], squares[3]));
      mask |= (unsigned) _mm256_movemask_ps (_mm256_cmp_ps (energies[half], low, _CMP_GE_OQ))
              << 8 * half;
    }
    if (__builtin_expect (mask == 0, 1))
      continue;
    float lanes[STEP];
    _mm256_storeu_ps (lanes, energies[0]);
    _mm256_storeu_ps (lanes + 8, energies[1]);
    n = seedlm_add_hits (scan->hits, n, scan->places, self->lists->shape.place_bytes, step * STEP,
                         mask, lanes);
  }
  return n;
}

AVX2 static size_t
scan_avx2 (const SeedlmCells *self, const SeedlmQuery *query, const Scan *scan)
{
  const unsigned rank = self->lists->basis->rank;

  return self->n_groups == 2 && rank == 3 ? scan_avx2_of (self, query, scan, 2, 3)
         : self->n_groups == 3 && rank == 4
             ? scan_avx2_of (self, query, scan, 3, 4)
             : scan_avx2_of (self, query, scan, self->n_groups, rank);
}

/* --- AVX-512 with VNNI ----------------------------------------------------------------------------------------------- */

/* Group @g of four seeds at a distance of 4 in the list. */
AVX512 INLINE __m512i
load_four (const uint8_t *const *records, unsigned g)
{
  __m512i x = _mm512_castsi128_si512 (_mm_loadu_si128 ((const __m128i *) (records[0] + 16 * g)));

  x = _mm512_inserti32x4 (x, _mm_loadu_si128 ((const __m128i *) (records[4] + 16 * g)), 1);
  x = _mm512_inserti32x4 (x, _mm_loadu_si128 ((const __m128i *) (records[8] + 16 * g)), 2);
  return _mm512_inserti32x4 (x, _mm_loadu_si128 ((const __m128i *) (records[12] + 16 * g)), 3);
}

AVX512 static void
gather_avx512 (const SeedlmCells *self, Cell *cell, size_t to)
{
  const unsigned rank = self->lists->basis->rank;

  for (size_t step = cell->n_steps; step < to; step++) {
    uint8_t *rows = cell->rows + step * self->step_bytes;
    const uint8_t *records[STEP];
    for (unsigned i = 0; i < STEP; i++)
      records[i] = record_at (self->lists, cell->places, step * STEP + i);
    for (unsigned i = 0; i < STEP && step + AHEAD < to; i++)
      __builtin_prefetch (record_at (self->lists, cell->places, (step + AHEAD) * STEP + i), 0, 2);
    for (unsigned g = 0; g < self->n_groups; g++, rows += (size_t) rank * ROW) {
      const __m512i a = load_four (records, g), b = load_four (records + 1, g),
                    c = load_four (records + 2, g), d = load_four (records + 3, g);
      const __m512i ab0 = _mm512_unpacklo_epi32 (a, b), ab1 = _mm512_unpackhi_epi32 (a, b),
                    cd0 = _mm512_unpacklo_epi32 (c, d), cd1 = _mm512_unpackhi_epi32 (c, d);
      const __m512i columns[4] = { _mm512_unpacklo_epi64 (ab0, cd0),
                                   _mm512_unpackhi_epi64 (ab0, cd0),
                                   _mm512_unpacklo_epi64 (ab1, cd1),
                                   _mm512_unpackhi_epi64 (ab1, cd1) };
      for (unsigned p = 0; p < rank; p++)
        _mm512_store_si512 (rows + (size_t) p * ROW, columns[p]);
    }
  }
}

/* Energies of a step of seeds. */
AVX512 INLINE __m512
energies_avx512 (const uint8_t *rows, const __m512i *words, __m512i offset, const unsigned n_groups,
                 const unsigned rank)
{
  __m512 squares[4] = { _mm512_setzero_ps (), _mm512_setzero_ps (), _mm512_setzero_ps (),
                        _mm512_setzero_ps () };

  for (unsigned p = 0; p < rank; p++) {
    __m512i y = offset;
    for (unsigned g = 0; g < n_groups; g++)
      y = _mm512_dpbusd_epi32 (y, _mm512_load_si512 (rows + (size_t) (g * rank + p) * ROW),
                               words[g]);
    squares[p] = _mm512_cvtepi32_ps (y);
    squares[p] = _mm512_mul_ps (squares[p], squares[p]);
  }
  return _mm512_add_ps (_mm512_add_ps (squares[0], squares[1]),
                        rank == 3 ? squares[2] : _mm512_add_ps (squares[2], squares[3]));
}

/* The seeds that @mask says, moved to the front of STEP pairs: a branch for each would be guessed wrong too often. */
AVX512 INLINE size_t
write_hits (SeedlmHit *hits, __m512 energies, __m512i places, __mmask16 mask)
{
  const __m512i front = _mm512_setr_epi32 (0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  const __m512i e = _mm512_maskz_compress_epi32 (mask, _mm512_castps_si512 (energies)),
                p = _mm512_maskz_compress_epi32 (mask, places);

  _mm512_storeu_si512 (hits, _mm512_permutex2var_epi32 (e, front, p));
  _mm512_storeu_si512 (
      hits + 8, _mm512_permutex2var_epi32 (e, _mm512_add_epi32 (front, _mm512_set1_epi32 (8)), p));
  return (size_t) __builtin_popcount (mask);
}

AVX512 INLINE __m512i
places_avx512 (const Scan *scan, unsigned place_bytes, size_t step)
{
  return place_bytes == 2 ? _mm512_cvtepu16_epi32 (_mm256_loadu_si256 (
                                (const __m256i *) ((const uint16_t *) scan->places + step * STEP)))
                          : _mm512_loadu_si512 ((const uint32_t *) scan->places + step * STEP);
}

AVX512 INLINE size_t
scan_avx512_of (const SeedlmCells *self, const SeedlmQuery *query, const Scan *scan,
                const unsigned n_groups, const unsigned rank)
{
  enum { AT_ONCE = 4 };
  const unsigned place_bytes = self->lists->shape.place_bytes;
  const __m512i offset = _mm512_set1_epi32 (query->offset);
  const __m512 low = _mm512_set1_ps (scan->low);
  __m512i words[SEEDLM_LISTS_MAX_BLOCK / 4];
  size_t n = 0;

  for (unsigned g = 0; g < n_groups; g++)
    words[g] = _mm512_set1_epi32 (word_of (query, g));
  for (size_t step = scan->from; step < scan->to; step += AT_ONCE) {
    const uint8_t *rows = scan->rows + step * self->step_bytes;
    const size_t now = scan->to - step < AT_ONCE ? scan->to - step : AT_ONCE;
    __m512 energies[AT_ONCE];
    __mmask16 masks[AT_ONCE] = { 0 };
    if (now == AT_ONCE)
      for (unsigned i = 0; i < AT_ONCE; i++)
        energies[i] = energies_avx512 (rows + i * self->step_bytes, words, offset, n_groups, rank);
    else
      for (unsigned i = 0; i < now; i++)
        energies[i] = energies_avx512 (rows + i * self->step_bytes, words, offset, n_groups, rank);
    for (unsigned i = 0; i < now; i++)
      masks[i] = _mm512_cmp_ps_mask (energies[i], low, _CMP_GE_OQ);
    if (__builtin_expect ((masks[0] | masks[1] | masks[2] | masks[3]) == 0, 1))
      continue;
    for (unsigned i = 0; i < now; i++) {
      if (n + STEP > scan->max)
        return n;
      n += write_hits (scan->hits + n, energies[i], places_avx512 (scan, place_bytes, step + i),
                       masks[i]);
    }
  }
  return n;
}

AVX512 static size_t
scan_avx512 (const SeedlmCells *self, const SeedlmQuery *query, const Scan *scan)
{
  const unsigned rank = self->lists->basis->rank;

  return self->n_groups == 2 && rank == 3 ? scan_avx512_of (self, query, scan, 2, 3)
         : self->n_groups == 3 && rank == 4
             ? scan_avx512_of (self, query, scan, 3, 4)
             : scan_avx512_of (self, query, scan, self->n_groups, rank);
}
#endif

/* --- which cell, which code ------------------------------------------------------------------------------------------ */

/* The cell of a list; one that nobody asked for of late is given up for it. */
static Cell *
find_cell (SeedlmCells *self, const void *places)
{
  for (unsigned i = 0; i < SEEDLM_N_CELLS; i++)
    if (self->cells[i].places == places)
      return &self->cells[i];
  Cell *cell = &self->cells[self->next];
  self->next = (self->next + 1) % SEEDLM_N_CELLS;
  cell->places = places;
  cell->n_steps = 0;
  return cell;
}

static void
gather (const SeedlmCells *self, Cell *cell, size_t to)
{
  if (to <= cell->n_steps)
    return;
#if HAS_SIMD
  if (seedlm_has_vnni ())
    gather_avx512 (self, cell, to);
  else
#endif
    gather_portable (self, cell, to);
  cell->n_steps = to;
}

size_t
seedlm_cells_scan (SeedlmCells *self, const SeedlmQuery *query, size_t from, size_t to, float low,
                   SeedlmHit *hits, size_t max)
{
  const size_t end = to < self->most_steps ? to : self->most_steps;
  size_t n = 0;
  if (from < end) {
    Cell *cell = find_cell (self, query->places);
    const Scan scan = { cell->rows, query->places, from, end, low, hits, max };
    gather (self, cell, end);
#if HAS_SIMD
    n = seedlm_has_vnni ()         ? scan_avx512 (self, query, &scan)
        : simd_get () >= SIMD_AVX2 ? scan_avx2 (self, query, &scan)
                                   : scan_portable (self, query, &scan);
#else
    n = scan_portable (self, query, &scan);
#endif
    from = end;
  }
  if (from < to && n + STEP <= max)
    n += seedlm_query_scan (query, self->lists, from, to, low, hits + n, max - n);
  return n;
}
