/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "seedlm-kernel.h"

#include <math.h>

/*
 * Least squares of one block, in double: the C compiler and nvcc compile the same functions, and with no operations contracted
 * they give the same bits.
 */

#ifdef __CUDACC__
#define SEEDLM_THREAD static __host__ __device__ __forceinline__
#else
#define SEEDLM_THREAD static inline __attribute__ ((always_inline))
#endif

/* g = U'DU (where k <= p) and y = U'Dw for the block; D = 1 without weights. */
SEEDLM_THREAD void
seedlm_moments (const float *u, unsigned block_size, const unsigned rank, const float *w,
                const float *weights, double g[SEEDLM_MAX_RANK][SEEDLM_MAX_RANK], double *y)
{
  for (unsigned p = 0; p < rank; p++) {
    y[p] = 0;
    for (unsigned k = 0; k <= p; k++)
      g[p][k] = 0;
  }
  for (unsigned i = 0; i < block_size; i++, u += rank)
    for (unsigned p = 0; p < rank; p++) {
      const double x = weights ? (double) weights[i] * (double) u[p] : (double) u[p];
      y[p] += x * (double) w[i];
      for (unsigned k = 0; k <= p; k++)
        g[p][k] += x * (double) u[k];
    }
}

/* By Cholesky: U is known to have a condition number below 10^6. @y: U'Dw, which is lost. Fills @t and @metric, U'DU as float. */
SEEDLM_THREAD void
seedlm_solve (double g[SEEDLM_MAX_RANK][SEEDLM_MAX_RANK], double *y, const unsigned rank, float *t,
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
