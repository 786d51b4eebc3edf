/* SPDX-License-Identifier: LGPL-2.1-or-later */
extern "C" {
#include "hyper-lattice-kernel.h"
}
#include "../cuda-plane.cuh"
#include "hyper-cuda.h"

/* The grid, and memory. What a thread does stands in hyper-cuda-thread.h. */

static_assert (HYPER_THREADS == PLANE_THREADS, "one size of blocks");

int
hyper_cuda_find (int device, const char **why)
{
  return find_device (device, why);
}

/* --- the choice of points ------------------------------------------------------------------------------------------------ */

__global__ void
encode_kernel (HyperThreadSearch search, const float *weights, const float *x, size_t n,
               uint32_t *symbols)
{
  const size_t stride = (size_t) gridDim.x * blockDim.x;
  for (size_t v = (size_t) blockIdx.x * blockDim.x + threadIdx.x; v < n; v += stride)
    hyper_thread_encode (&search, weights ? weights + v * search.dimension : NULL,
                         x + v * search.dimension, symbols + v * search.dimension);
}

int
hyper_cuda_encode (int device, const HyperThreadSearch *search, const float *lengths,
                   size_t n_lengths, const float *weights, const float *x, size_t n,
                   uint32_t *symbols, const char **why)
{
  const size_t n_numbers = n * search->dimension;
  const float *weights_there = NULL, *x_there = NULL;
  uint32_t *symbols_there = NULL;
  HyperThreadSearch there = *search;
  if (!find_device (device, why))
    return 0;
  if (n == 0)
    return 1;
  there.lengths = NULL;
  int ok = upload_some (&there.lengths, lengths, n_lengths, why) &&
           upload_some (&weights_there, weights, n_numbers, why) &&
           upload_some (&x_there, x, n_numbers, why) &&
           upload (&symbols_there, (const uint32_t *) NULL, n_numbers, why);
  if (ok) {
    encode_kernel<<<grid (count_blocks (n)), HYPER_THREADS>>> (there, weights_there, x_there, n,
                                                               symbols_there);
    ok = check (cudaGetLastError (), why) && download (symbols, symbols_there, n_numbers, why);
  }
  cudaFree ((void *) there.lengths);
  cudaFree ((void *) weights_there);
  cudaFree ((void *) x_there);
  cudaFree (symbols_there);
  return ok;
}

/* --- a plane ----------------------------------------------------------------------------------------------------------- */

struct HyperCuda : CudaPlane<HyperThreadPlane> {};

static const char damage[] = "a symbol is out of range: the codes are damaged";

__device__ __host__ static size_t
plane_numbers (const HyperThreadPlane *plane)
{
  return plane->rows * plane->cols;
}

__device__ static int
plane_decode (const HyperThreadPlane *plane, size_t at, float *x, size_t *place)
{
  *place = at;
  return hyper_thread_decode (plane, at, x);
}

__device__ __host__ static size_t
plane_blocks (const HyperThreadPlane *plane)
{
  return plane->rows;
}

__device__ static unsigned
plane_lanes (const HyperThreadPlane *plane)
{
  return 1;
}

__device__ static int
plane_gather (const HyperThreadPlane *plane, size_t block, unsigned thread, const float *input,
              float *sums)
{
  return hyper_thread_gather (plane, block, thread, input, sums);
}

__device__ static void
plane_total (const HyperThreadPlane *plane, size_t block, unsigned lane, const float *sums,
             float *output)
{
  output[block] = afp_thread_total (sums, HYPER_THREADS, 1);
}

HyperCuda *
hyper_cuda_new (int device, const HyperThreadPlane *plane, size_t n_codes, const char **why)
{
  HyperCuda *self = plane_new<HyperCuda> (device, why);
  if (!self)
    return NULL;
  self->plane = *plane;
  self->plane.codes = NULL;
  self->plane.points = NULL;
  if (upload_some (&self->plane.codes, plane->codes, n_codes, why) &&
      upload_some (&self->plane.points, plane->points, (size_t) plane->n_points * plane->dimension,
                   why))
    return self;
  hyper_cuda_free (self);
  return NULL;
}

void
hyper_cuda_free (HyperCuda *self)
{
  if (!self)
    return;
  cudaSetDevice (self->device);
  cudaFree ((void *) self->plane.codes);
  cudaFree ((void *) self->plane.points);
  cudaFree (self->damaged);
  free (self);
}

int
hyper_cuda_decode (HyperCuda *self, float *out, uint16_t *half, const char **why)
{
  return plane_decode_all (self, out, half, damage, why);
}

int
hyper_cuda_multiply (HyperCuda *self, const float *input, float *output, const char **why)
{
  return plane_multiply<1> (self, input, self->plane.cols, output, self->plane.rows, damage, why);
}
