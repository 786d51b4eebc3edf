/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "seedlm-lists-private.h"

#include "simd-kernel.h"

#include <math.h>

/*
 * Energies in binary32 of seeds that a scan of rounded bases has found: the block's products with the register's values, then a
 * triangular factor per seed, as the scan of all seeds has it. NaN where a seed has no factors.
 */

#if HAS_SIMD
#include <immintrin.h>
#define AVX2 SIMD_FOR_AVX2
#endif

#define INLINE static inline __attribute__ ((always_inline))
#define AHEAD 8 /* hits */

void
seedlm_lists_fill_factors (SeedlmLists *self)
{
  const SeedlmBasis *basis = self->basis;
  const unsigned triangle = basis->rank * (basis->rank + 1) / 2;
  for (uint32_t place = 0; place < basis->sequence->period; place++) {
    const float *f = seedlm_basis_factors (basis, place);
    for (unsigned i = 0; i < SEEDLM_LISTS_FACTORS; i++)
      self->factors[(size_t) place * SEEDLM_LISTS_FACTORS + i] =
          i < triangle ? f[(size_t) i * SEEDLM_BASIS_LANES] : 0;
  }
}

/* Upper bound of a seed's true energy, from its sum of squares. */
static float
bound_energy (const SeedlmQuery *query, const SeedlmLists *self, float squares)
{
  const double energy = fmin (1, squares * query->scale * self->gain);
  const double cosine = sqrt (energy), sine = sqrt (1 - energy);
  /* cos^2 of an angle that is less by the tilt */
  const double closer = cosine * query->tilt_cosine + sine * query->tilt_sine;
  return sine > query->tilt_sine ? (float) (closer * closer) : 1;
}

static const float *
factors_of (const SeedlmLists *self, uint32_t place)
{
  return self->factors + (size_t) place * SEEDLM_LISTS_FACTORS;
}

static float
energy_of (const SeedlmLists *self, uint32_t place, const float *block)
{
  const unsigned block_size = self->basis->block_size, rank = self->basis->rank;
  const float *u = self->basis->sequence->values + place, *f = factors_of (self, place);
  float r[SEEDLM_LISTS_MAX_RANK] = { 0 }, energy = 0;
  for (unsigned i = 0; i < block_size; i++, u += rank)
    for (unsigned p = 0; p < rank; p++)
      r[p] += u[p] * block[i];
  for (unsigned p = 0; p < rank; p++) {
    float y = 0;
    for (unsigned k = 0; k <= p; k++)
      y += *f++ * r[k];
    energy += y * y;
  }
  return energy;
}

#if HAS_SIMD

/* Products of a block with the columns of a seed; of three columns, the fourth is of no meaning. */
AVX2 INLINE __m128
products_avx2 (const float *u, const float *block, const unsigned block_size, const unsigned rank)
{
  __m128 even = _mm_setzero_ps (), odd = _mm_setzero_ps ();
  unsigned i = 0;
  for (; i + 2 <= block_size; i += 2) {
    even = _mm_fmadd_ps (_mm_loadu_ps (u + i * rank), _mm_broadcast_ss (block + i), even);
    odd = _mm_fmadd_ps (_mm_loadu_ps (u + (i + 1) * rank), _mm_broadcast_ss (block + i + 1), odd);
  }
  if (i < block_size)
    even = _mm_fmadd_ps (_mm_loadu_ps (u + i * rank), _mm_broadcast_ss (block + i), even);
  return _mm_add_ps (even, odd);
}

/* Four seeds at a time. */
AVX2 INLINE __m128
energies_avx2 (const SeedlmLists *self, const float *block, const SeedlmHit *hits,
               const unsigned block_size, const unsigned rank)
{
  __m128 r[4], f[3][4], energy = _mm_setzero_ps ();
  for (unsigned j = 0; j < 4; j++) {
    const float *factors = factors_of (self, hits[j].place);
    r[j] = products_avx2 (self->basis->sequence->values + hits[j].place, block, block_size, rank);
    for (unsigned part = 0; part < (rank < 4 ? 2 : 3); part++)
      f[part][j] = _mm_load_ps (factors + 4 * part);
  }
  _MM_TRANSPOSE4_PS (r[0], r[1], r[2], r[3]);
  for (unsigned part = 0; part < (rank < 4 ? 2 : 3); part++)
    _MM_TRANSPOSE4_PS (f[part][0], f[part][1], f[part][2], f[part][3]);
  for (unsigned p = 0, at = 0; p < rank; p++) {
    __m128 y = _mm_setzero_ps ();
    for (unsigned k = 0; k <= p; k++, at++)
      y = _mm_fmadd_ps (f[at / 4][at % 4], r[k], y);
    energy = _mm_fmadd_ps (y, y, energy);
  }
  return energy;
}

AVX2 INLINE void
refine_avx2_of (const SeedlmLists *self, const float *block, SeedlmHit *hits, size_t n,
                const unsigned block_size, const unsigned rank, float *energies)
{
  for (size_t i = 0; i + 4 <= n; i += 4) {
    for (size_t j = i + AHEAD; j < i + AHEAD + 4 && j < n; j++)
      __builtin_prefetch (factors_of (self, hits[j].place));
    _mm_storeu_ps (energies + i, energies_avx2 (self, block, hits + i, block_size, rank));
  }
}

AVX2 static void
refine_avx2 (const SeedlmLists *self, const float *block, SeedlmHit *hits, size_t n,
             float *energies)
{
  const unsigned block_size = self->basis->block_size, rank = self->basis->rank;
  if (rank == 3 && block_size == 8)
    refine_avx2_of (self, block, hits, n, 8, 3, energies);
  else if (rank == 4 && block_size == 12)
    refine_avx2_of (self, block, hits, n, 12, 4, energies);
  else
    refine_avx2_of (self, block, hits, n, block_size, rank, energies);
}
#endif

void
seedlm_query_refine (const SeedlmQuery *query, const SeedlmLists *self, const float *block,
                     SeedlmHit *hits, size_t n)
{
  enum { PIECE = 64 };
  float energies[PIECE];
  for (size_t from = 0; from < n; from += PIECE) {
    SeedlmHit *now = hits + from;
    const size_t n_now = n - from < PIECE ? n - from : PIECE;
    size_t done = 0;
#if HAS_SIMD
    if (simd_get () >= SIMD_AVX2 && self->basis->rank >= 3) {
      refine_avx2 (self, block, now, n_now, energies);
      done = n_now / 4 * 4;
    }
#endif
    for (size_t i = done; i < n_now; i++)
      energies[i] = energy_of (self, now[i].place, block);
    for (size_t i = 0; i < n_now; i++)
      now[i].energy = isnan (energies[i]) ? bound_energy (query, self, now[i].energy) : energies[i];
  }
}
