/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "vptq-cuda-thread.h"

/*
 * k-means, decoding, and the product of a coded matrix with a vector, on a graphics processor of compute capability 7.5 or later. Built
 * with --with-cuda, where nvcc is; else there is no device. On failure functions return NULL or 0, and @why says why in words that stay.
 */

#ifdef __cplusplus
extern "C" {
#endif

/* Is there such a device? */
int vptq_cuda_find (int device, const char **why);

/* vptq_search(), the same bits; not for VPTQ_METRIC_MATRIX. @codebook: centroids x length. errors may be NULL. */
int vptq_cuda_search (int device, const float *codebook, unsigned centroids, unsigned length,
                      VptqMetric metric, const float *weights, const float *x, size_t n,
                      uint32_t *indices, float *errors, const char **why);

/* The means of vectors that are grouped: members of centroid c are @order from @start[c] to @start[c + 1]. The bits of vptq_train(). */
int vptq_cuda_update (int device, float *codebook, unsigned centroids, unsigned length,
                      VptqMetric metric, const float *weights, const float *x, size_t n,
                      const uint32_t *order, const uint32_t *start, const char **why);

/* A coded plane that stays on the device. @plane: in this program's memory. */
typedef struct VptqCuda VptqCuda;
VptqCuda *vptq_cuda_new (int device, const VptqThreadPlane *plane, const char **why);
void vptq_cuda_free (VptqCuda *cuda);

/* Its weights, in the order of the weights' rows, as binary32 (@out) or binary16 (@half), whichever is not NULL. */
int vptq_cuda_decode (VptqCuda *cuda, float *out, uint16_t *half, const char **why);

/* The product of its weights with @input, a number for each column of them: a number for each row. */
int vptq_cuda_multiply (VptqCuda *cuda, const float *input, float *output, const char **why);

#ifdef __cplusplus
}
#endif
