/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vptq-cuda.h"

/* Where there was no nvcc. */

static int
say (const char **why)
{
  *why = "this afpipe was built without CUDA: configure --with-cuda=DIR where DIR/bin/nvcc is, and "
         "build again";
  return 0;
}

int
vptq_cuda_find (int device, const char **why)
{
  return say (why);
}

int
vptq_cuda_search (int device, const float *codebook, unsigned centroids, unsigned length,
                  VptqMetric metric, const float *weights, const float *x, size_t n,
                  uint32_t *indices, float *errors, const char **why)
{
  return say (why);
}

int
vptq_cuda_update (int device, float *codebook, unsigned centroids, unsigned length,
                  VptqMetric metric, const float *weights, const float *x, size_t n,
                  const uint32_t *order, const uint32_t *start, const char **why)
{
  return say (why);
}

VptqCuda *
vptq_cuda_new (int device, const VptqThreadPlane *plane, const char **why)
{
  say (why);
  return NULL;
}

void
vptq_cuda_free (VptqCuda *cuda)
{
}

int
vptq_cuda_decode (VptqCuda *cuda, float *out, uint16_t *half, const char **why)
{
  return say (why);
}

int
vptq_cuda_multiply (VptqCuda *cuda, const float *input, float *output, const char **why)
{
  return say (why);
}
