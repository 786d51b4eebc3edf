/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "seedlm-cuda-thread.h"

/*
 * Decoding and searching on a graphics processor of compute capability 7.5 or later. Built with --with-cuda, where nvcc is; else
 * there is no device. On failure functions return NULL or 0, and @why says why in words that stay.
 */

#ifdef __cplusplus
extern "C" {
#endif

typedef struct SeedlmCuda SeedlmCuda;

/* A device with the tables of @decoder (for decoding) and of @basis (for searching); either may be NULL. */
SeedlmCuda *seedlm_cuda_new (int device, const SeedlmDecoder *decoder, const SeedlmBasis *basis,
                             const char **why);
void seedlm_cuda_free (SeedlmCuda *cuda);

/* seedlm_decoder_run() to binary32 (@out) or binary16 (@half), whichever is not NULL: the same bits, as nearest binary16 the largest at most. */
int seedlm_cuda_decode (SeedlmCuda *cuda, const uint32_t *seeds, const float *t, float scale,
                        size_t n, float *out, uint16_t *half, const char **why);

/* seedlm_search_run() of blocks without weights. @quantizer: points in this program's memory. */
int seedlm_cuda_search (SeedlmCuda *cuda, const SeedlmThreadQuantizer *quantizer,
                        const float *blocks, size_t n, uint32_t *seeds, float *t_hat,
                        uint32_t *codes, double *errors, const char **why);

#ifdef __cplusplus
}
#endif
