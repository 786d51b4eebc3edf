/* SPDX-License-Identifier: LGPL-2.1-or-later */
extern "C" {
#include "seedlm-decode-kernel.h"
#include "seedlm-basis-kernel.h"
}
#include "../cuda-device.cuh"
#include "seedlm-cuda.h"

#include <stdlib.h>

/* The grid, and memory. What a thread does stands in seedlm-cuda-thread.h. */

struct SeedlmCuda {
  int device;
  int has_decoder, has_basis;
  SeedlmDecoder decoder; /* with tables on the device, as what follows */
  SeedlmThreadSearch search;
};

/* --- kernels ----------------------------------------------------------------------------------------------------------- */

__global__ void
decode_kernel (SeedlmDecoder decoder, const uint32_t *seeds, const float *t, float scale,
               size_t n_weights, float *out, uint16_t *half)
{
  const size_t stride = (size_t) gridDim.x * blockDim.x;
  for (size_t at = (size_t) blockIdx.x * blockDim.x + threadIdx.x; at < n_weights; at += stride) {
    const size_t b = at / decoder.block_size;
    const float x = seedlm_thread_decode (&decoder, seeds[b], t + b * decoder.rank, scale,
                                          (unsigned) (at % decoder.block_size));
    if (out)
      out[at] = x;
    if (half)
      half[at] = afp_thread_half (x);
  }
}

__global__ void
search_kernel (SeedlmThreadSearch search)
{
  __shared__ SeedlmThreadShared shared;
  for (size_t b = blockIdx.x; b < search.n; b += gridDim.x) {
    if (threadIdx.x == 0)
      seedlm_thread_begin (&search, &shared, b);
    __syncthreads ();
    seedlm_thread_scan (&search, &shared, threadIdx.x);
    __syncthreads ();
    if (threadIdx.x == 0)
      seedlm_thread_bound (&search, &shared, b);
    __syncthreads ();
    seedlm_thread_choose (&search, &shared, b, threadIdx.x);
    __syncthreads ();
    if (threadIdx.x == 0)
      seedlm_thread_end (&search, &shared, b);
    __syncthreads ();
  }
}

/* --- tables ------------------------------------------------------------------------------------------------------------ */

static int
upload_basis (SeedlmThreadSearch *search, const SeedlmBasis *basis, const char **why)
{
  const SeedlmSequence *sequence = basis->sequence;
  const size_t rank = basis->rank, hard = (size_t) (basis->n_hard + 7) / 8 * 8;
  float *values = NULL;
  uint32_t *states = NULL;
  if (basis->n_usable == 0) {
    *why = "no seed of this register spans so many dimensions: take more seed-bits or a lower rank";
    return 0;
  }
  search->basis = *basis;
  search->basis.sequence = NULL;
  search->basis.factors = NULL;
  search->basis.hard = NULL;
  search->basis.hard_basis = NULL;
  search->period = sequence->period;
  const int ok =
      upload (&values, sequence->values, sequence->n_values, why) &&
      upload (&states, sequence->states, sequence->period, why) &&
      upload (&search->basis.factors, basis->factors,
              (size_t) basis->n_padded * rank * (rank + 1) / 2, why) &&
      upload (&search->basis.hard, basis->hard, basis->n_hard, why) &&
      upload (&search->basis.hard_basis, basis->hard_basis, hard * basis->block_size * rank, why);
  search->values = values;
  search->states = states;
  return ok;
}

SeedlmCuda *
seedlm_cuda_new (int device, const SeedlmDecoder *decoder, const SeedlmBasis *basis,
                 const char **why)
{
  if (!find_device (device, why))
    return NULL;
  SeedlmCuda *self = (SeedlmCuda *) calloc (1, sizeof *self);
  if (!self) {
    *why = "no memory";
    return NULL;
  }
  self->device = device;
  self->has_decoder = decoder != NULL;
  self->has_basis = basis != NULL;
  if (decoder) {
    self->decoder = *decoder;
    self->decoder.table = NULL;
    if (!upload (&self->decoder.table, decoder->table, decoder->bytes / sizeof (uint32_t), why)) {
      seedlm_cuda_free (self);
      return NULL;
    }
  }
  if (basis && !upload_basis (&self->search, basis, why)) {
    seedlm_cuda_free (self);
    return NULL;
  }
  return self;
}

void
seedlm_cuda_free (SeedlmCuda *self)
{
  if (!self)
    return;
  cudaSetDevice (self->device);
  cudaFree (self->decoder.table);
  cudaFree ((void *) self->search.values);
  cudaFree ((void *) self->search.states);
  cudaFree (self->search.basis.factors);
  cudaFree (self->search.basis.hard);
  cudaFree (self->search.basis.hard_basis);
  free (self);
}

/* --- decoding ---------------------------------------------------------------------------------------------------------- */

int
seedlm_cuda_decode (SeedlmCuda *self, const uint32_t *seeds, const float *t, float scale, size_t n,
                    float *out, uint16_t *half, const char **why)
{
  const size_t n_weights = n * self->decoder.block_size;
  const size_t n_blocks = (n_weights + SEEDLM_THREADS - 1) / SEEDLM_THREADS;
  uint32_t *seeds_there = NULL;
  float *t_there = NULL, *out_there = NULL;
  uint16_t *half_there = NULL;
  if (!self->has_decoder) {
    *why = "made without a decoder";
    return 0;
  }
  if (n == 0)
    return 1;
  int ok = check (cudaSetDevice (self->device), why) && upload (&seeds_there, seeds, n, why) &&
           upload (&t_there, t, n * self->decoder.rank, why) &&
           (!out || upload (&out_there, (const float *) NULL, n_weights, why)) &&
           (!half || upload (&half_there, (const uint16_t *) NULL, n_weights, why));
  if (ok) {
    decode_kernel<<<(unsigned) (n_blocks < MAX_GRID ? n_blocks : MAX_GRID), SEEDLM_THREADS>>> (
        self->decoder, seeds_there, t_there, scale, n_weights, out_there, half_there);
    ok = check (cudaGetLastError (), why) && (!out || download (out, out_there, n_weights, why)) &&
         (!half || download (half, half_there, n_weights, why));
  }
  cudaFree (seeds_there);
  cudaFree (t_there);
  cudaFree (out_there);
  cudaFree (half_there);
  return ok;
}

/* --- searching --------------------------------------------------------------------------------------------------------- */

int
seedlm_cuda_search (SeedlmCuda *self, const SeedlmThreadQuantizer *quantizer, const float *blocks,
                    size_t n, uint32_t *seeds, float *t_hat, uint32_t *codes, double *errors,
                    const char **why)
{
  SeedlmThreadSearch search = self->search;
  const size_t rank = search.basis.rank, block_size = search.basis.block_size;
  float *blocks_there = NULL, *points_there = NULL;
  if (!self->has_basis) {
    *why = "made without a basis";
    return 0;
  }
  if (n == 0)
    return 1;
  search.n = n;
  int ok = check (cudaSetDevice (self->device), why) &&
           upload (&blocks_there, blocks, n * block_size, why) &&
           upload (&points_there, quantizer->points, quantizer->n_points * rank, why) &&
           upload (&search.seeds, (const uint32_t *) NULL, n, why) &&
           upload (&search.codes, (const uint32_t *) NULL, n, why) &&
           upload (&search.t_hat, (const float *) NULL, n * rank, why) &&
           upload (&search.errors, (const double *) NULL, n, why);
  search.blocks = blocks_there;
  search.quantizer = *quantizer;
  search.quantizer.points = points_there;
  if (ok) {
    search_kernel<<<(unsigned) (n < MAX_GRID ? n : MAX_GRID), SEEDLM_THREADS>>> (search);
    ok = check (cudaGetLastError (), why) && download (seeds, search.seeds, n, why) &&
         download (t_hat, search.t_hat, n * rank, why) && download (codes, search.codes, n, why) &&
         download (errors, search.errors, n, why);
  }
  cudaFree (blocks_there);
  cudaFree (points_there);
  cudaFree (search.seeds);
  cudaFree (search.codes);
  cudaFree (search.t_hat);
  cudaFree (search.errors);
  return ok;
}
