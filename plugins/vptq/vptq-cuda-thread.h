/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "../cuda-thread.h"
#include "vptq-kernel.h"

#include <math.h>

/*
 * What one thread of a graphics processor does. nvcc compiles these functions for the device, in vptq-cuda.cu; the C compiler compiles
 * them too, and the tests run them over the same grid, thread by thread, against the kernels in C.
 */

#define VPTQ_THREADS 128 /* of a block of threads */

/* --- assignment: one thread per vector -------------------------------------------------------------------------------- */

typedef struct {
  float error;
  uint32_t index;
} VptqThreadBest;

/* Takes centroids @first .. @first + @n - 1, which stand at @codebook, into account. @weights: one for each coordinate, or NULL. */
AFP_THREAD void
vptq_thread_compare (const float *codebook, uint32_t first, uint32_t n, unsigned length,
                     const float *x, const float *weights, VptqThreadBest *best)
{
  for (uint32_t i = 0; i < n; i++) {
    const float *c = codebook + (size_t) i * length;
    float error = 0;
    for (unsigned j = 0; j < length; j++) {
      const float d = afp_thread_sum (x[j], -c[j]);
      const float square = afp_thread_product (d, d);
      error = afp_thread_sum (error, weights ? afp_thread_product (weights[j], square) : square);
    }
    if (error < best->error) {
      best->error = error;
      best->index = first + i;
    }
  }
}

/* --- update: one thread per coordinate of a centroid ------------------------------------------------------------------- */

/* The mean of coordinate @j of @n members, in their order; @now where nothing has weight. @weights: as for the search */
AFP_THREAD float
vptq_thread_mean (const float *vectors, unsigned length, VptqMetric metric, const float *weights,
                  const uint32_t *members, size_t n, unsigned j, float now)
{
  double sum = 0, weight = 0;
  for (size_t i = 0; i < n; i++) {
    double w = 1;
    if (metric == VPTQ_METRIC_SCALAR)
      w = (double) weights[members[i]];
    else if (metric == VPTQ_METRIC_DIAGONAL)
      w = (double) weights[(size_t) members[i] * length + j];
    sum += w * (double) vectors[(size_t) members[i] * length + j];
    weight += w;
  }
  return weight > 0 ? (float) (sum / weight) : now;
}

/* --- decoding ----------------------------------------------------------------------------------------------------------- */

/**
 * VptqThreadPlane:
 * @rows, @cols: of the plane as the codec sees it: vectors run along its rows, and the last one may reach beyond
 * @turned: the codec's rows are the weights' columns (axis=output)
 * @indices, @residuals: packed codes of @bits and @residual_bits, row after row; residuals may be NULL
 * @codebook, @residual_codebook: @centroids and @residual_centroids vectors
 * @scale: @n_scales numbers: none, one, or one for each row
 * @bias: one for each row, or NULL
 *
 * Pointers are to memory of the device there.
 */
typedef struct {
  size_t rows, cols;
  unsigned length, turned;
  unsigned bits, residual_bits;
  uint32_t centroids, residual_centroids;
  const uint8_t *indices, *residuals;
  const float *codebook, *residual_codebook, *scale, *bias;
  size_t n_scales;
} VptqThreadPlane;

/* Vectors in a row. */
AFP_THREAD size_t
vptq_thread_vectors (const VptqThreadPlane *plane)
{
  return (plane->cols + plane->length - 1) / plane->length;
}

/* The indices of vector @q of a row; 0: one reaches beyond its codebook. */
AFP_THREAD int
vptq_thread_indices (const VptqThreadPlane *plane, size_t row, size_t q, uint32_t *index,
                     uint32_t *residual)
{
  const uint64_t n = (uint64_t) row * vptq_thread_vectors (plane) + q;
  *index = afp_thread_symbol (plane->indices, n, plane->bits);
  *residual = plane->residuals ? afp_thread_symbol (plane->residuals, n, plane->residual_bits) : 0;
  return *index < plane->centroids && (!plane->residuals || *residual < plane->residual_centroids);
}

/* Coordinate @j of a vector whose indices are in their codebooks. */
AFP_THREAD float
vptq_thread_value (const VptqThreadPlane *plane, size_t row, uint32_t index, uint32_t residual,
                   unsigned j)
{
  float x = plane->codebook[(size_t) index * plane->length + j];
  if (plane->residuals)
    x = afp_thread_clamp (
        afp_thread_sum (x, plane->residual_codebook[(size_t) residual * plane->length + j]));
  x = afp_thread_clamp (
      afp_thread_product (plane->n_scales ? plane->scale[plane->n_scales > 1 ? row : 0] : 1, x));
  if (plane->residuals || plane->bias)
    x = afp_thread_clamp (afp_thread_sum (x, plane->bias ? plane->bias[row] : 0));
  return x;
}

/* One thread per weight: number @at of the codec's plane, and where it goes; 0: its index is damaged. */
AFP_THREAD int
vptq_thread_decode (const VptqThreadPlane *plane, size_t at, float *out, size_t *place)
{
  const size_t row = at / plane->cols, col = at % plane->cols;
  uint32_t index, residual;
  *place = plane->turned ? col * plane->rows + row : at;
  if (!vptq_thread_indices (plane, row, col / plane->length, &index, &residual))
    return 0;
  *out = vptq_thread_value (plane, row, index, residual, (unsigned) (col % plane->length));
  return 1;
}

/* --- product with a vector: one block of threads for each sum, or for the sums of a vector of outputs -------------------- */

/* Blocks that the grid needs, and sums of one. */
AFP_THREAD size_t
vptq_thread_blocks (const VptqThreadPlane *plane)
{
  return plane->turned ? vptq_thread_vectors (plane) : plane->rows;
}

AFP_THREAD unsigned
vptq_thread_lanes (const VptqThreadPlane *plane)
{
  return plane->turned ? plane->length : 1;
}

/* Adds vector @q of a row: with axis=output to as many sums, each with the input @row; else to one. */
AFP_THREAD void
vptq_thread_add (const VptqThreadPlane *plane, size_t row, size_t q, const uint32_t indices[2],
                 const float *input, float *sums)
{
  for (unsigned j = 0; j < plane->length; j++) {
    const size_t col = q * plane->length + j;
    if (col >= plane->cols)
      break;
    float *sum = &sums[plane->turned ? j : 0];
    const float w = vptq_thread_value (plane, row, indices[0], indices[1], j);
    *sum = afp_thread_sum (*sum, afp_thread_product (w, input[plane->turned ? row : col]));
  }
}

/* First, by all threads: what falls to each, in steps of VPTQ_THREADS; @sums: its vptq_thread_lanes(). 0: an index is damaged. */
AFP_THREAD int
vptq_thread_gather (const VptqThreadPlane *plane, size_t block, unsigned thread, const float *input,
                    float *sums)
{
  const size_t steps = plane->turned ? plane->rows : vptq_thread_vectors (plane);
  for (unsigned j = 0; j < vptq_thread_lanes (plane); j++)
    sums[j] = 0;
  for (size_t step = thread; step < steps; step += VPTQ_THREADS) {
    const size_t row = plane->turned ? step : block, q = plane->turned ? block : step;
    uint32_t indices[2];
    if (!vptq_thread_indices (plane, row, q, &indices[0], &indices[1]))
      return 0;
    vptq_thread_add (plane, row, q, indices, input, sums);
  }
  return 1;
}

/* Then by the first vptq_thread_lanes() threads: the sums of all threads, which stand one after another, in the order of threads. */
AFP_THREAD void
vptq_thread_total (const VptqThreadPlane *plane, size_t block, unsigned lane, const float *sums,
                   float *output)
{
  const unsigned lanes = vptq_thread_lanes (plane);
  const size_t at = block * lanes + lane, n = plane->turned ? plane->cols : plane->rows;
  if (at < n)
    output[at] = afp_thread_total (sums + lane, VPTQ_THREADS, lanes);
}
