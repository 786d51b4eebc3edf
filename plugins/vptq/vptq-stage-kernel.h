/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "vptq-kernel.h"

/*
 * Two codebooks, one on what the other misses, and numbers that were brought to mean 0 and deviation 1 before. Pure C11: no allocation,
 * no other headers of the project.
 */

/* Mean and standard deviation of n numbers, summed in double. */
void vptq_mean_deviation (const float *x, size_t n, float *mean, float *deviation);

/* (x - bias) / scale in place, as vptq_divide() divides. */
void vptq_normalise (float *x, size_t n, float bias, float scale);

/* x: n vectors less their centroids, in place. */
void
vptq_subtract (const float *codebook, unsigned length, const uint32_t *indices, size_t n, float *x);

/*
 * out = scale * (first[indices] + second[seconds]) + bias, each operation rounded once; what is beyond binary32 becomes its largest
 * number. Without second (NULL) nothing is added to the first. Returns n, or the position of the first vector with an index that is
 * not below the number of its codebook's vectors.
 */
typedef struct {
  unsigned length;
  const float *first, *second;
  unsigned n_first, n_second;
} VptqStages;
size_t vptq_lookup_stages (const VptqStages *stages, float scale, float bias,
                           const uint32_t *indices, const uint32_t *seconds, size_t n, float *out);
