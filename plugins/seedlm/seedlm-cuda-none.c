/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "seedlm-cuda.h"

#include <stddef.h>

/* Where there was no nvcc. */

static const char no_cuda[] =
    "this afpipe was built without CUDA: configure --with-cuda=DIR where DIR/bin/nvcc is, and build again";

SeedlmCuda *
seedlm_cuda_new (int device, const SeedlmDecoder *decoder, const SeedlmBasis *basis,
                 const char **why)
{
  *why = no_cuda;
  return NULL;
}

void
seedlm_cuda_free (SeedlmCuda *cuda)
{
}

int
seedlm_cuda_decode (SeedlmCuda *cuda, const uint32_t *seeds, const float *t, float scale, size_t n,
                    float *out, uint16_t *half, const char **why)
{
  *why = no_cuda;
  return 0;
}

int
seedlm_cuda_search (SeedlmCuda *cuda, const SeedlmThreadQuantizer *quantizer, const float *blocks,
                    size_t n, uint32_t *seeds, float *t_hat, uint32_t *codes, double *errors,
                    const char **why)
{
  *why = no_cuda;
  return 0;
}
