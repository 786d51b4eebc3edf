/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "seedlm-lists-kernel.h"
#include "simd-kernel.h"

/* What the files of direction lists share: seedlm-lists-kernel.c makes them, seedlm-query-kernel.c rounds and asks. */

#define SEEDLM_LISTS_LEVELS 4096 /* of energy, that lists are sorted by */
#define SEEDLM_W_ONE \
  64 /* the largest magnitude in a rounded block: sums of two products stay within 16 bits */
#define SEEDLM_NOTHING \
  1e-30f /* less than any sum of squares but 0, which that of a seed not to be searched is */

/* The largest magnitude of n numbers becomes 64, the others in proportion. */
void seedlm_round_bytes (const double *x, unsigned n, int8_t *bytes);
/* Rounds the bases of all seeds; sets tilt and gain. */
void seedlm_lists_fill_records (SeedlmLists *lists);
/* The factors of all seeds, those of one side by side. */
void seedlm_lists_fill_factors (SeedlmLists *lists);
/* The pattern of a rounded block. */
void seedlm_query_set_pattern (SeedlmQuery *query, const SeedlmLists *lists, const int8_t *bytes);

/* --- scans ------------------------------------------------------------------------------------------------------------ */

#if HAS_SIMD
#ifndef __clang__
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized" /* of gcc 12 in its own AVX-512 header */
#endif
#include <immintrin.h>
#define SEEDLM_FOR_VNNI \
  __attribute__ ((target ("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma")))

static inline int
seedlm_has_vnni (void)
{
  return simd_get () >= SIMD_AVX512 && __builtin_cpu_supports ("avx512vnni");
}
#endif

static inline __attribute__ ((always_inline)) uint32_t
seedlm_place_at (const void *places, const unsigned place_bytes, size_t i)
{
  return place_bytes == 2 ? ((const uint16_t *) places)[i] : ((const uint32_t *) places)[i];
}

/* Adds the seeds at places @at.. that @mask says to n hits. */
static inline __attribute__ ((always_inline)) size_t
seedlm_add_hits (SeedlmHit *hits, size_t n, const void *places, const unsigned place_bytes,
                 size_t at, unsigned mask, const float *energies)
{
  for (; mask; mask &= mask - 1) {
    const unsigned i = (unsigned) __builtin_ctz (mask);
    hits[n++] = (SeedlmHit){ energies[i], seedlm_place_at (places, place_bytes, at + i) };
  }
  return n;
}
