/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cuda-device.cuh"
#include "cuda-thread.h"

#include <stdlib.h>

/*
 * A coded plane on the device, what it decodes to, and its product with a vector: the grids, for the name-cuda.cu of the codecs. What a
 * thread does is theirs: for their Plane they overload
 *
 *   size_t plane_numbers (const Plane *)                  weights
 *   int plane_decode (const Plane *, size_t at, float *x, size_t *place)
 *   size_t plane_blocks (const Plane *)                   blocks of threads of the product
 *   unsigned plane_lanes (const Plane *)                  sums of a block, LANES at most
 *   int plane_gather (const Plane *, size_t block, unsigned thread, const float *input, float *sums)
 *   void plane_total (const Plane *, size_t block, unsigned lane, const float *sums, float *output)
 */

#define PLANE_THREADS 128

static unsigned
grid (size_t n)
{
  return (unsigned) (n < MAX_GRID ? n : MAX_GRID);
}

static size_t
count_blocks (size_t n)
{
  return (n + PLANE_THREADS - 1) / PLANE_THREADS;
}

template <typename Plane>
__global__ void
plane_decode_kernel (Plane plane, float *out, uint16_t *half, int *damaged)
{
  const size_t stride = (size_t) gridDim.x * blockDim.x;
  for (size_t at = (size_t) blockIdx.x * blockDim.x + threadIdx.x; at < plane_numbers (&plane);
       at += stride) {
    size_t place;
    float x = 0;
    if (!plane_decode (&plane, at, &x, &place))
      *damaged = 1;
    if (out)
      out[place] = x;
    if (half)
      half[place] = afp_thread_half (x);
  }
}

template <typename Plane, unsigned LANES>
__global__ void
plane_multiply_kernel (Plane plane, const float *input, float *output, int *damaged)
{
  __shared__ float sums[PLANE_THREADS * LANES];
  const unsigned lanes = plane_lanes (&plane);
  for (size_t block = blockIdx.x; block < plane_blocks (&plane); block += gridDim.x) {
    __syncthreads ();
    if (!plane_gather (&plane, block, threadIdx.x, input, sums + threadIdx.x * lanes))
      *damaged = 1;
    __syncthreads ();
    if (threadIdx.x < lanes)
      plane_total (&plane, block, threadIdx.x, sums, output);
  }
}

/* As upload(), for arrays that may be none. */
template <typename T>
static int
upload_some (const T **to, const T *from, size_t n, const char **why)
{
  T *there = NULL;
  const int ok = !from || upload (&there, from, n, why);
  *to = there;
  return ok;
}

/* The codecs derive from it. */
template <typename Plane> struct CudaPlane {
  int device;
  Plane plane; /* with arrays on the device */
  int *damaged;
};

/* A plane without arrays as yet, or NULL. */
template <typename Self>
static Self *
plane_new (int device, const char **why)
{
  if (!find_device (device, why))
    return NULL;
  Self *self = (Self *) calloc (1, sizeof *self);
  if (!self) {
    *why = "no memory";
    return NULL;
  }
  self->device = device;
  if (upload (&self->damaged, (const int *) NULL, 1, why))
    return self;
  free (self);
  return NULL;
}

template <typename Plane>
static int
plane_begin (CudaPlane<Plane> *self, const char **why)
{
  return check (cudaSetDevice (self->device), why) &&
         check (cudaMemset (self->damaged, 0, sizeof *self->damaged), why);
}

/* After a kernel: were all symbols in range? */
template <typename Plane>
static int
plane_end (CudaPlane<Plane> *self, const char *damage, const char **why)
{
  int damaged = 0;
  if (!check (cudaGetLastError (), why) || !download (&damaged, self->damaged, 1, why))
    return 0;
  if (damaged)
    *why = damage;
  return !damaged;
}

/* All weights, as binary32 and binary16, whichever is not NULL. */
template <typename Plane>
static int
plane_decode_all (CudaPlane<Plane> *self, float *out, uint16_t *half, const char *damage,
                  const char **why)
{
  const size_t n = plane_numbers (&self->plane);
  float *out_there = NULL;
  uint16_t *half_there = NULL;
  if (n == 0)
    return 1;
  int ok = plane_begin (self, why) && (!out || upload (&out_there, (const float *) NULL, n, why)) &&
           (!half || upload (&half_there, (const uint16_t *) NULL, n, why));
  if (ok) {
    plane_decode_kernel<<<grid (count_blocks (n)), PLANE_THREADS>>> (self->plane, out_there,
                                                                     half_there, self->damaged);
    ok = plane_end (self, damage, why) && (!out || download (out, out_there, n, why)) &&
         (!half || download (half, half_there, n, why));
  }
  cudaFree (out_there);
  cudaFree (half_there);
  return ok;
}

/* The product with @n_in numbers: @n_out numbers. */
template <unsigned LANES, typename Plane>
static int
plane_multiply (CudaPlane<Plane> *self, const float *input, size_t n_in, float *output,
                size_t n_out, const char *damage, const char **why)
{
  float *input_there = NULL, *output_there = NULL;
  if (n_out == 0)
    return 1;
  int ok = plane_begin (self, why) && upload (&input_there, input, n_in, why) &&
           upload (&output_there, (const float *) NULL, n_out, why);
  if (ok) {
    plane_multiply_kernel<Plane, LANES><<<grid (plane_blocks (&self->plane)), PLANE_THREADS>>> (
        self->plane, input_there, output_there, self->damaged);
    ok = plane_end (self, damage, why) && download (output, output_there, n_out, why);
  }
  cudaFree (input_there);
  cudaFree (output_there);
  return ok;
}
