/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "seedlm-least-squares.h"
#include "seedlm-search-kernel.h"
#include "simd-kernel.h"

#include <string.h>

#if HAS_SIMD
#include <immintrin.h>
#endif

#define INLINE static inline __attribute__ ((always_inline))
#define TRIANGLE (SEEDLM_MAX_RANK * (SEEDLM_MAX_RANK + 1) / 2)

/* --- equations side by side ------------------------------------------------------------------------------------------- */

/* Of SEEDLM_PROJECTIONS blocks: the lower triangles of U'DU row by row, and U'Dw. */
typedef struct {
  _Alignas(64) double g[TRIANGLE][SEEDLM_PROJECTIONS];
  _Alignas(64) double y[SEEDLM_MAX_RANK][SEEDLM_PROJECTIONS];
} Equations;

INLINE void
put (Equations *equations, const double g[SEEDLM_MAX_RANK][SEEDLM_MAX_RANK], const double *y,
     const unsigned rank, unsigned lane)
{
  unsigned at = 0;
  for (unsigned p = 0; p < rank; p++) {
    equations->y[p][lane] = y[p];
    for (unsigned k = 0; k <= p; k++)
      equations->g[at++][lane] = g[p][k];
  }
}

/* seedlm_solve() in every lane, with the same numbers. In y stands t then; g is lost. */
INLINE void
solve_body (Equations *equations, const unsigned rank)
{
#define EACH_LANE for (unsigned q = 0; q < SEEDLM_PROJECTIONS; q++)
  double (*l)[SEEDLM_PROJECTIONS] = equations->g, (*y)[SEEDLM_PROJECTIONS] = equations->y;
  for (unsigned p = 0; p < rank; p++) {
    double (*row)[SEEDLM_PROJECTIONS] = l + p * (p + 1) / 2;
    double least[SEEDLM_PROJECTIONS];
    EACH_LANE least[q] = 1e-14 * row[p][q];
    for (unsigned k = 0; k <= p; k++) {
      double (*other)[SEEDLM_PROJECTIONS] = l + k * (k + 1) / 2;
      for (unsigned j = 0; j < k; j++)
        EACH_LANE row[k][q] -= row[j][q] * other[j][q];
      if (k < p)
        EACH_LANE row[k][q] /= other[k][q];
    }
    EACH_LANE row[p][q] = sqrt (row[p][q] > least[q] ? row[p][q] : least[q] + 1e-300);
  }
  for (unsigned p = 0; p < rank; p++) {
    double (*row)[SEEDLM_PROJECTIONS] = l + p * (p + 1) / 2;
    for (unsigned k = 0; k < p; k++)
      EACH_LANE y[p][q] -= row[k][q] * y[k][q];
    EACH_LANE y[p][q] /= row[p][q];
  }
  for (unsigned p = rank; p-- > 0;) {
    for (unsigned k = p + 1; k < rank; k++)
      EACH_LANE y[p][q] -= l[k * (k + 1) / 2 + p][q] * y[k][q];
    EACH_LANE y[p][q] /= l[p * (p + 1) / 2 + p][q];
  }
#undef EACH_LANE
}

INLINE void
solve_ranks (Equations *equations, unsigned rank)
{
  if (rank == 3)
    solve_body (equations, 3);
  else if (rank == 4)
    solve_body (equations, 4);
  else
    solve_body (equations, rank);
}

static void
solve_portable (Equations *equations, unsigned rank)
{
  solve_ranks (equations, rank);
}

#if HAS_SIMD
/* The same numbers: contraction is off. */
SIMD_FOR_AVX2 static void
solve_avx2 (Equations *equations, unsigned rank)
{
  solve_ranks (equations, rank);
}

SIMD_FOR_AVX512_WIDE static void
solve_avx512 (Equations *equations, unsigned rank)
{
  solve_ranks (equations, rank);
}
#endif

/* Fills @t and @metric of the first n. */
static void
solve (Equations *equations, unsigned rank, unsigned n, float *t, float *metric)
{
  for (unsigned q = 0; q < n; q++)
    for (unsigned p = 0, at = 0; p < rank; p++)
      for (unsigned k = 0; k <= p; k++, at++)
        metric[(q * rank + p) * rank + k] = metric[(q * rank + k) * rank + p] =
            (float) equations->g[at][q];
#if HAS_SIMD
  if (simd_get () >= SIMD_AVX512)
    solve_avx512 (equations, rank);
  else if (simd_get () >= SIMD_AVX2)
    solve_avx2 (equations, rank);
  else
#endif
    solve_portable (equations, rank);
  for (unsigned q = 0; q < n; q++)
    for (unsigned p = 0; p < rank; p++)
      t[q * rank + p] = (float) equations->y[p][q];
}

/* Lanes without a block: 1 t = 0. */
static void
start (Equations *equations, unsigned rank, unsigned n)
{
  if (n == SEEDLM_PROJECTIONS)
    return;
  memset (equations, 0, sizeof *equations);
  for (unsigned p = 0; p < rank; p++)
    for (unsigned q = 0; q < SEEDLM_PROJECTIONS; q++)
      equations->g[p * (p + 1) / 2 + p][q] = 1;
}

/* --- projections ------------------------------------------------------------------------------------------------------ */

#if HAS_SIMD
/* The moments of a block for 3 or 4 columns, a column per lane; the sums are those of seedlm_moments(). */
SIMD_FOR_AVX2 static void
moments_avx2 (const SeedlmProjection *job, unsigned block_size, unsigned rank, Equations *equations,
              unsigned lane)
{
  __m256d g[4] = { _mm256_setzero_pd (), _mm256_setzero_pd (), _mm256_setzero_pd (),
                   _mm256_setzero_pd () },
          y = _mm256_setzero_pd ();
  const float *u = job->u;
  double rows[5][4];
  for (unsigned i = 0; i < block_size; i++, u += rank) {
    const __m256d own = _mm256_cvtps_pd (_mm_loadu_ps (u));
    const __m256d x = job->weights ? _mm256_mul_pd (_mm256_set1_pd (job->weights[i]), own) : own;
    y = _mm256_add_pd (y, _mm256_mul_pd (x, _mm256_set1_pd (job->block[i])));
    g[0] = _mm256_add_pd (g[0], _mm256_mul_pd (x, _mm256_permute4x64_pd (own, 0x00)));
    g[1] = _mm256_add_pd (g[1], _mm256_mul_pd (x, _mm256_permute4x64_pd (own, 0x55)));
    g[2] = _mm256_add_pd (g[2], _mm256_mul_pd (x, _mm256_permute4x64_pd (own, 0xaa)));
    g[3] = _mm256_add_pd (g[3], _mm256_mul_pd (x, _mm256_permute4x64_pd (own, 0xff)));
  }
  for (unsigned k = 0; k < 4; k++)
    _mm256_storeu_pd (rows[k], g[k]);
  _mm256_storeu_pd (rows[4], y);
  for (unsigned p = 0, at = 0; p < rank; p++) {
    equations->y[p][lane] = rows[4][p];
    for (unsigned k = 0; k <= p; k++)
      equations->g[at++][lane] = rows[k][p];
  }
}
#endif

static void
project_one (const SeedlmProjection *job, unsigned block_size, unsigned rank, Equations *equations,
             unsigned lane)
{
#if HAS_SIMD
  if ((rank == 3 || rank == 4) && simd_get () >= SIMD_AVX2) {
    moments_avx2 (job, block_size, rank, equations, lane);
    return;
  }
#endif
  double g[SEEDLM_MAX_RANK][SEEDLM_MAX_RANK], y[SEEDLM_MAX_RANK];
  if (rank == 3) {
    seedlm_moments (job->u, block_size, 3, job->block, job->weights, g, y);
    put (equations, g, y, 3, lane);
  } else if (rank == 4) {
    seedlm_moments (job->u, block_size, 4, job->block, job->weights, g, y);
    put (equations, g, y, 4, lane);
  } else {
    seedlm_moments (job->u, block_size, rank, job->block, job->weights, g, y);
    put (equations, g, y, rank, lane);
  }
}

void
seedlm_project_many (const SeedlmProjection *jobs, unsigned n, unsigned block_size, unsigned rank,
                     float *t, float *metric)
{
  Equations equations;
  for (unsigned from = 0; from < n; from += SEEDLM_PROJECTIONS) {
    const unsigned now = n - from < SEEDLM_PROJECTIONS ? n - from : SEEDLM_PROJECTIONS;
    start (&equations, rank, now);
    for (unsigned q = 0; q < now; q++)
      project_one (&jobs[from + q], block_size, rank, &equations, q);
    solve (&equations, rank, now, t + (size_t) from * rank, metric + (size_t) from * rank * rank);
  }
}

/* --- one ------------------------------------------------------------------------------------------------------------- */

/* One copy, which is not inlined. */
static void
solve_one (double g[SEEDLM_MAX_RANK][SEEDLM_MAX_RANK], double *y, unsigned rank, float *t,
           float *metric)
{
  seedlm_solve (g, y, rank, t, metric);
}

void
seedlm_project (const float *u, unsigned block_size, unsigned rank, const float *w,
                const float *weights, float *t, float *metric)
{
  double g[SEEDLM_MAX_RANK][SEEDLM_MAX_RANK], y[SEEDLM_MAX_RANK];
  if (rank == 3)
    seedlm_moments (u, block_size, 3, w, weights, g, y);
  else if (rank == 4)
    seedlm_moments (u, block_size, 4, w, weights, g, y);
  else
    seedlm_moments (u, block_size, rank, w, weights, g, y);
  solve_one (g, y, rank, t, metric);
}

/* The same under a metric, with D the matrix @m. */
void
seedlm_project_metric (const float *u, unsigned block_size, unsigned rank, const float *w,
                       const float *m, float *t, float *metric)
{
  double g[SEEDLM_MAX_RANK][SEEDLM_MAX_RANK] = { 0 }, y[SEEDLM_MAX_RANK] = { 0 };
  for (unsigned i = 0; i < block_size; i++, m += block_size) {
    double z[SEEDLM_MAX_RANK] = { 0 };
    for (unsigned j = 0; j < block_size; j++)
      for (unsigned p = 0; p < rank; p++)
        z[p] += (double) m[j] * u[j * rank + p];
    for (unsigned p = 0; p < rank; p++) {
      y[p] += z[p] * w[i];
      for (unsigned k = 0; k <= p; k++)
        g[p][k] += z[p] * u[i * rank + k];
    }
  }
  solve_one (g, y, rank, t, metric);
}
