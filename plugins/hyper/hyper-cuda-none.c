/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hyper-cuda.h"

/* Where there was no nvcc. */

static int
say (const char **why)
{
  *why = "this afpipe was built without CUDA: configure --with-cuda=DIR where DIR/bin/nvcc is, and "
         "build again";
  return 0;
}

int
hyper_cuda_find (int device, const char **why)
{
  return say (why);
}

int
hyper_cuda_encode (int device, const HyperThreadSearch *search, const float *lengths,
                   size_t n_lengths, const float *weights, const float *x, size_t n,
                   uint32_t *symbols, const char **why)
{
  return say (why);
}

HyperCuda *
hyper_cuda_new (int device, const HyperThreadPlane *plane, size_t n_codes, const char **why)
{
  say (why);
  return NULL;
}

void
hyper_cuda_free (HyperCuda *cuda)
{
}

int
hyper_cuda_decode (HyperCuda *cuda, float *out, uint16_t *half, const char **why)
{
  return say (why);
}

int
hyper_cuda_multiply (HyperCuda *cuda, const float *input, float *output, const char **why)
{
  return say (why);
}
