/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "seedlm-decode-kernel.h"
#include "simd-kernel.h"

#include <float.h>
#include <stdlib.h>
#include <string.h>

#if HAS_SIMD
#include <immintrin.h>
#endif

#define INLINE static inline __attribute__ ((always_inline))
#define LANES 8
#define TOP 0x80000000u

/* --- tables ---------------------------------------------------------------------------------------------------------- */

/* The fewest pieces whose tables are small enough. With SEEDLM_MAX_PIECES of them, the longest entries fit as well. */
static void
cut_seed (SeedlmDecoder *self)
{
  const size_t entry = (size_t) self->rank * self->rows * sizeof *self->table;
  do {
    self->n_pieces++;
    self->piece_bits = (self->seed_bits + self->n_pieces - 1) / self->n_pieces;
    self->bytes = ((size_t) self->n_pieces << self->piece_bits) * entry;
  } while (self->bytes > SEEDLM_DECODER_BYTES);
}

static void
fill_table (SeedlmDecoder *self, uint32_t leap)
{
  const unsigned rank = self->rank, rows = self->rows;
  const size_t entry = (size_t) rank * rows;
  uint32_t step[SEEDLM_MAX_SEED_BITS];
  seedlm_leap_matrix (self->seed_bits, leap, step);

  for (unsigned bit = 0; bit < self->seed_bits; bit++) {
    uint32_t *piece = self->table + ((size_t) (bit / self->piece_bits) << self->piece_bits) * entry;
    const size_t first = (size_t) 1 << bit % self->piece_bits;
    uint32_t state = 1u << bit;
    for (unsigned i = 0; i < rows; i++)
      for (unsigned p = 0; p < rank; p++) {
        state = seedlm_leap (step, state);
        piece[first * entry + (size_t) p * rows + i] = state << (32 - self->seed_bits);
      }
    for (size_t v = 1; v < first; v++)
      for (size_t k = 0; k < entry; k++)
        piece[(first + v) * entry + k] = piece[first * entry + k] ^ piece[v * entry + k];
  }
  for (size_t k = 0; k < entry << self->piece_bits; k++)
    self->table[k] ^= TOP;
}

SeedlmDecoder *
seedlm_decoder_new (unsigned seed_bits, uint32_t leap, unsigned block_size, unsigned rank)
{
  SeedlmDecoder *self = calloc (1, sizeof *self);
  if (!self)
    return NULL;
  const float half = (float) (1u << (seed_bits - 1));
  self->seed_bits = seed_bits;
  self->block_size = block_size;
  self->rank = rank;
  self->rows = block_size <= LANES ? LANES : 2 * LANES;
  self->period = ((uint32_t) 1 << seed_bits) - 1;
  self->scale = 1 / (half - 1);
  self->divisor = (half - 1) / half;
  cut_seed (self);
  self->table = aligned_alloc (64, (self->bytes + 63) / 64 * 64);
  if (!self->table) {
    free (self);
    return NULL;
  }
  memset (self->table, 0, self->bytes);
  fill_table (self, leap);
  return self;
}

void
seedlm_decoder_free (SeedlmDecoder *self)
{
  if (!self)
    return;
  free (self->table);
  free (self);
}

typedef float Floats __attribute__ ((vector_size (16)));
typedef int32_t Ints __attribute__ ((vector_size (16)));

/* --- chunks of rows ---------------------------------------------------------------------------------------------------- */

/*
 * LANES rows of one chunk from @row on; @entries: of the pieces of the chunk's seed. What the compiler knows of n_pieces and rank is
 * unrolled.
 */
INLINE void
rows_portable (const SeedlmDecoder *self, const uint32_t *const *entries, const unsigned n_pieces,
               const unsigned rank, const unsigned rows, unsigned row, const float *t, float scale,
               float *out)
{
  for (unsigned l = 0; l < LANES; l += 4) {
    Floats sum = { 0 };
    for (unsigned p = 0; p < rank; p++) {
      const size_t at = (size_t) p * rows + row + l;
      Ints state, more;
      memcpy (&state, entries[0] + at, sizeof state);
      for (unsigned j = 1; j < n_pieces; j++) {
        memcpy (&more, entries[j] + at, sizeof more);
        state ^= more;
      }
      const Floats product =
          __builtin_convertvector(state, Floats) * 0x1p-31f / self->divisor * t[p];
      sum = p ? sum + product : product;
    }
    sum *= scale;
    for (unsigned k = 0; k < 4; k++)
      out[l + k] = sum[k] > FLT_MAX ? FLT_MAX : sum[k] < -FLT_MAX ? -FLT_MAX : sum[k];
  }
}

#if HAS_SIMD
SIMD_FOR_AVX2 INLINE void
rows_avx2 (const SeedlmDecoder *self, const uint32_t *const *entries, const unsigned n_pieces,
           const unsigned rank, const unsigned rows, unsigned row, const float *t, float scale,
           float *out)
{
  const __m256 unit = _mm256_set1_ps (0x1p-31f), more = _mm256_set1_ps (self->scale);
  __m256 sum = _mm256_setzero_ps ();
  for (unsigned p = 0; p < rank; p++) {
    const size_t at = (size_t) p * rows + row;
    __m256i state = _mm256_loadu_si256 ((const __m256i *) (entries[0] + at));
    for (unsigned j = 1; j < n_pieces; j++)
      state = _mm256_xor_si256 (state, _mm256_loadu_si256 ((const __m256i *) (entries[j] + at)));
    const __m256 y = _mm256_mul_ps (_mm256_cvtepi32_ps (state), unit);
    const __m256 product = _mm256_mul_ps (_mm256_fmadd_ps (y, more, y), _mm256_set1_ps (t[p]));
    sum = p ? _mm256_add_ps (sum, product) : product;
  }
  const __m256 value = _mm256_mul_ps (_mm256_set1_ps (scale), sum);
  _mm256_storeu_ps (out, _mm256_max_ps (_mm256_set1_ps (-FLT_MAX),
                                        _mm256_min_ps (_mm256_set1_ps (FLT_MAX), value)));
}

#define ALL ((__mmask16) -1) /* without a mask, gcc 12 warns of its own headers */

SIMD_FOR_AVX512 INLINE void
rows_avx512 (const SeedlmDecoder *self, const uint32_t *const *entries, const unsigned n_pieces,
             const unsigned rank, const unsigned rows, unsigned row, const float *t, float scale,
             float *out)
{
  const __m512 unit = _mm512_set1_ps (0x1p-31f), more = _mm512_set1_ps (self->scale);
  __m512 sum = _mm512_setzero_ps ();
  for (unsigned p = 0; p < rank; p++) {
    const size_t at = (size_t) p * rows + row;
    __m512i state = _mm512_load_si512 (entries[0] + at);
    for (unsigned j = 1; j < n_pieces; j++)
      state = _mm512_xor_si512 (state, _mm512_load_si512 (entries[j] + at));
    const __m512 y = _mm512_mul_ps (_mm512_maskz_cvtepi32_ps (ALL, state), unit);
    const __m512 product = _mm512_mul_ps (_mm512_fmadd_ps (y, more, y), _mm512_set1_ps (t[p]));
    sum = p ? _mm512_add_ps (sum, product) : product;
  }
  const __m512 value = _mm512_mul_ps (_mm512_set1_ps (scale), sum);
  _mm512_storeu_ps (
      out, _mm512_maskz_max_ps (ALL, _mm512_set1_ps (-FLT_MAX),
                                _mm512_maskz_min_ps (ALL, _mm512_set1_ps (FLT_MAX), value)));
}
#endif

/* --- blocks ------------------------------------------------------------------------------------------------------------ */

/* Writes whole vectors: what a block has too much, the next one overwrites. A block of up to 8 rows is one chunk. */
#define DEFINE_RUN(name, attributes, rows_function, lanes)                                       \
  attributes void name (const SeedlmDecoder *decoder, const unsigned n_pieces,                   \
                        const unsigned rank, const unsigned rows, const uint32_t *seeds,         \
                        const float *t, float scale, size_t n, float *out)                       \
  {                                                                                              \
    const SeedlmDecoder self = *decoder; /* out may not alias it */                              \
    const size_t entry = (size_t) rank * rows;                                                   \
    const uint32_t mask = (1u << self.piece_bits) - 1;                                           \
    for (size_t b = 0; b < n; b++, t += rank, out += self.block_size) {                          \
      uint32_t state = seeds[b];                                                                 \
      for (unsigned from = 0;; from += rows) {                                                   \
        const uint32_t *entries[SEEDLM_MAX_PIECES], *piece = self.table;                         \
        entries[0] = piece + (state & mask) * entry;                                             \
        for (unsigned j = 1; j < n_pieces; j++) {                                                \
          piece += entry << self.piece_bits;                                                     \
          entries[j] = piece + (state >> j * self.piece_bits & mask) * entry;                    \
        }                                                                                        \
        for (unsigned row = 0; row < rows; row += (lanes))                                       \
          rows_function (&self, entries, n_pieces, rank, rows, row, t, scale, out + from + row); \
        if (rows == LANES || from + rows >= self.block_size)                                     \
          break;                                                                                 \
        state = TOP;                                                                             \
        for (unsigned j = 0; j < n_pieces; j++)                                                  \
          state ^= entries[j][entry - 1];                                                        \
        state >>= 32 - self.seed_bits;                                                           \
      }                                                                                          \
    }                                                                                            \
  }

#define FOR_PIECES(run, rank, rows)                                  \
  switch (self->n_pieces) {                                          \
  case 2:                                                            \
    run (self, 2, rank, rows, seeds, t, scale, n, out);              \
    break;                                                           \
  case 3:                                                            \
    run (self, 3, rank, rows, seeds, t, scale, n, out);              \
    break;                                                           \
  case 4:                                                            \
    run (self, 4, rank, rows, seeds, t, scale, n, out);              \
    break;                                                           \
  default:                                                           \
    run (self, self->n_pieces, rank, rows, seeds, t, scale, n, out); \
  }

/* The usual shapes are compiled apart. */
#define DEFINE_DECODE(name, attribute, run)                                                     \
  static attribute void name (const SeedlmDecoder *self, const uint32_t *seeds, const float *t, \
                              float scale, size_t n, float *out)                                \
  {                                                                                             \
    if (self->rank == 3 && self->rows == 8)                                                     \
      FOR_PIECES (run, 3, 8)                                                                    \
    else if (self->rank == 3)                                                                   \
      FOR_PIECES (run, 3, 16)                                                                   \
    else if (self->rank == 4 && self->rows == 16)                                               \
      FOR_PIECES (run, 4, 16)                                                                   \
    else                                                                                        \
      FOR_PIECES (run, self->rank, self->rows)                                                  \
  }

#define NOTHING
DEFINE_RUN (run_portable, INLINE, rows_portable, LANES)
DEFINE_DECODE (decode_portable, NOTHING, run_portable)
#if HAS_SIMD
DEFINE_RUN (run_avx2, SIMD_FOR_AVX2 INLINE, rows_avx2, LANES)
DEFINE_DECODE (decode_avx2, SIMD_FOR_AVX2, run_avx2)
DEFINE_RUN (run_avx512, SIMD_FOR_AVX512 INLINE, rows_avx512, 2 * LANES)
DEFINE_DECODE (decode_avx512, SIMD_FOR_AVX512, run_avx512)
#endif

void
seedlm_decoder_run (const SeedlmDecoder *self, const uint32_t *seeds, const float *t, float scale,
                    size_t n, float *out)
{
  void (*decode) (const SeedlmDecoder *, const uint32_t *, const float *, float, size_t, float *) =
      decode_portable;
#if HAS_SIMD
  const SimdKind simd = simd_get ();
  if (simd == SIMD_AVX512 && self->rows > LANES)
    decode = decode_avx512;
  else if (simd != SIMD_PORTABLE)
    decode = decode_avx2;
#endif
  /* blocks behind which there is no room for the rest of a vector */
  const unsigned block_size = self->block_size;
  const unsigned too_much = (self->rows - block_size % self->rows) % self->rows;
  const size_t n_last = (too_much + block_size - 1) / block_size;
  const size_t n_first = n > n_last ? n - n_last : 0;
  decode (self, seeds, t, scale, n_first, out);
  for (size_t b = n_first; b < n; b++) {
    float block[SEEDLM_MAX_BLOCK + 2 * LANES];
    decode (self, seeds + b, t + b * self->rank, scale, 1, block);
    memcpy (out + b * block_size, block, block_size * sizeof *out);
  }
}
