/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "seedlm-search-kernel.h"

#include <math.h>

/* g = U'DU + U'Dw for the block; D = 1 without weights */
static inline __attribute__ ((always_inline)) void
moments (const float *u, unsigned block_size, const unsigned rank, const float *w,
         const float *weights, double g[SEEDLM_MAX_RANK][SEEDLM_MAX_RANK], double *b)
{
  for (unsigned p = 0; p < rank; p++) {
    b[p] = 0;
    for (unsigned k = 0; k <= p; k++)
      g[p][k] = 0;
  }
  for (unsigned i = 0; i < block_size; i++, u += rank)
    for (unsigned p = 0; p < rank; p++) {
      double x = weights ? (double) weights[i] * u[p] : u[p];
      b[p] += x * w[i];
      for (unsigned k = 0; k <= p; k++)
        g[p][k] += x * u[k];
    }
}

/* Least squares by Cholesky in double: U is known to have a condition number below 10^6. @y: U'Dw, which is lost. */
static void
solve (double g[SEEDLM_MAX_RANK][SEEDLM_MAX_RANK], double *y, unsigned rank, float *t,
       float *metric)
{
  double l[SEEDLM_MAX_RANK][SEEDLM_MAX_RANK];
  for (unsigned p = 0; p < rank; p++)
    for (unsigned k = 0; k <= p; k++)
      metric[p * rank + k] = metric[k * rank + p] = (float) g[p][k];

  for (unsigned p = 0; p < rank; p++)
    for (unsigned k = 0; k <= p; k++) {
      double sum = g[p][k];
      for (unsigned j = 0; j < k; j++)
        sum -= l[p][j] * l[k][j];
      if (k < p)
        l[p][k] = sum / l[k][k];
      else
        l[p][p] = sqrt (sum > 1e-14 * g[p][p] ? sum : 1e-14 * g[p][p] + 1e-300);
    }
  for (unsigned p = 0; p < rank; p++) {
    for (unsigned k = 0; k < p; k++)
      y[p] -= l[p][k] * y[k];
    y[p] /= l[p][p];
  }
  for (unsigned p = rank; p-- > 0;) {
    for (unsigned k = p + 1; k < rank; k++)
      y[p] -= l[k][p] * y[k];
    y[p] /= l[p][p];
    t[p] = (float) y[p];
  }
}

void
seedlm_project (const float *u, unsigned block_size, unsigned rank, const float *w,
                const float *weights, float *t, float *metric)
{
  double g[SEEDLM_MAX_RANK][SEEDLM_MAX_RANK], y[SEEDLM_MAX_RANK];
  if (rank == 3)
    moments (u, block_size, 3, w, weights, g, y);
  else if (rank == 4)
    moments (u, block_size, 4, w, weights, g, y);
  else
    moments (u, block_size, rank, w, weights, g, y);
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
