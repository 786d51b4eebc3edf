/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "seedlm-least-squares.h"
#include "seedlm-search-kernel.h"

/* One copy, which is not inlined. */
static void
solve (double g[SEEDLM_MAX_RANK][SEEDLM_MAX_RANK], double *y, unsigned rank, float *t,
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
  solve (g, y, rank, t, metric);
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
  solve (g, y, rank, t, metric);
}
