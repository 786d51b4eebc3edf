/* SPDX-License-Identifier: LGPL-2.1-or-later */
extern "C" {
#include "vptq-kernel.h"
}
#include "../cuda-plane.cuh"
#include "vptq-cuda.h"

/* The grid, and memory. What a thread does stands in vptq-cuda-thread.h. */

#define STAGED 4096 /* numbers of a codebook that a block of threads looks at together */

/* --- kernels ----------------------------------------------------------------------------------------------------------- */

typedef struct {
  const float *codebook, *weights, *x;
  uint32_t centroids;
  unsigned length;
  VptqMetric metric;
  size_t n;
  uint32_t *indices;
  float *errors;
} Search;

__global__ void
search_kernel (Search search)
{
  __shared__ float staged[STAGED];
  const uint32_t some = STAGED / search.length;
  for (size_t tile = blockIdx.x; tile * VPTQ_THREADS < search.n; tile += gridDim.x) {
    const size_t at = tile * VPTQ_THREADS + threadIdx.x;
    VptqThreadBest best = { INFINITY, 0 };
    for (uint32_t first = 0; first < search.centroids; first += some) {
      const uint32_t left = search.centroids - first, n = left < some ? left : some;
      __syncthreads ();
      for (uint32_t i = threadIdx.x; i < n * search.length; i += VPTQ_THREADS)
        staged[i] = search.codebook[(size_t) first * search.length + i];
      __syncthreads ();
      if (at < search.n)
        vptq_thread_compare (
            staged, first, n, search.length, search.x + at * search.length,
            search.metric == VPTQ_METRIC_DIAGONAL ? search.weights + at * search.length : NULL,
            &best);
    }
    if (at < search.n) {
      search.indices[at] = best.index;
      search.errors[at] = search.metric == VPTQ_METRIC_SCALAR
                              ? afp_thread_product (search.weights[at], best.error)
                              : best.error;
    }
  }
}

typedef struct {
  float *codebook;
  const float *weights, *x;
  size_t n_numbers; /* of the codebook */
  unsigned length;
  VptqMetric metric;
  const uint32_t *order, *start;
} Update;

__global__ void
update_kernel (Update update)
{
  const size_t stride = (size_t) gridDim.x * blockDim.x;
  for (size_t at = (size_t) blockIdx.x * blockDim.x + threadIdx.x; at < update.n_numbers;
       at += stride) {
    const size_t c = at / update.length;
    update.codebook[at] =
        vptq_thread_mean (update.x, update.length, update.metric, update.weights,
                          update.order + update.start[c], update.start[c + 1] - update.start[c],
                          (unsigned) (at % update.length), update.codebook[at]);
  }
}

static_assert (VPTQ_THREADS == PLANE_THREADS, "one size of blocks");

__device__ __host__ static size_t
plane_numbers (const VptqThreadPlane *plane)
{
  return plane->rows * plane->cols;
}

__device__ static int
plane_decode (const VptqThreadPlane *plane, size_t at, float *x, size_t *place)
{
  return vptq_thread_decode (plane, at, x, place);
}

__device__ __host__ static size_t
plane_blocks (const VptqThreadPlane *plane)
{
  return vptq_thread_blocks (plane);
}

__device__ static unsigned
plane_lanes (const VptqThreadPlane *plane)
{
  return vptq_thread_lanes (plane);
}

__device__ static int
plane_gather (const VptqThreadPlane *plane, size_t block, unsigned thread, const float *input,
              float *sums)
{
  return vptq_thread_gather (plane, block, thread, input, sums);
}

__device__ static void
plane_total (const VptqThreadPlane *plane, size_t block, unsigned lane, const float *sums,
             float *output)
{
  vptq_thread_total (plane, block, lane, sums, output);
}

/* --- k-means ----------------------------------------------------------------------------------------------------------- */

int
vptq_cuda_find (int device, const char **why)
{
  return find_device (device, why);
}

static int
check_metric (VptqMetric metric, unsigned length, const char **why)
{
  if (metric != VPTQ_METRIC_MATRIX && length > 0 && length <= VPTQ_MAX_LENGTH)
    return 1;
  *why = "vectors of 1 to 64 numbers, without a metric that is a matrix, are what there is on the "
         "device: take the CPU";
  return 0;
}

int
vptq_cuda_search (int device, const float *codebook, unsigned centroids, unsigned length,
                  VptqMetric metric, const float *weights, const float *x, size_t n,
                  uint32_t *indices, float *errors, const char **why)
{
  float *codebook_there = NULL, *weights_there = NULL, *x_there = NULL;
  Search search = {};
  if (!check_metric (metric, length, why) || !find_device (device, why))
    return 0;
  if (n == 0)
    return 1;
  int ok = upload (&codebook_there, codebook, (size_t) centroids * length, why) &&
           upload (&weights_there, weights, n * vptq_metric_stride (metric, length), why) &&
           upload (&x_there, x, n * length, why) &&
           upload (&search.indices, (const uint32_t *) NULL, n, why) &&
           upload (&search.errors, (const float *) NULL, n, why);
  if (ok) {
    search.codebook = codebook_there;
    search.weights = weights_there;
    search.x = x_there;
    search.centroids = centroids;
    search.length = length;
    search.metric = metric;
    search.n = n;
    search_kernel<<<grid (count_blocks (n)), VPTQ_THREADS>>> (search);
    ok = check (cudaGetLastError (), why) && download (indices, search.indices, n, why) &&
         (!errors || download (errors, search.errors, n, why));
  }
  cudaFree (codebook_there);
  cudaFree (weights_there);
  cudaFree (x_there);
  cudaFree (search.indices);
  cudaFree (search.errors);
  return ok;
}

int
vptq_cuda_update (int device, float *codebook, unsigned centroids, unsigned length,
                  VptqMetric metric, const float *weights, const float *x, size_t n,
                  const uint32_t *order, const uint32_t *start, const char **why)
{
  const size_t n_numbers = (size_t) centroids * length;
  float *weights_there = NULL, *x_there = NULL;
  uint32_t *order_there = NULL, *start_there = NULL;
  Update update = {};
  if (!check_metric (metric, length, why) || !find_device (device, why))
    return 0;
  int ok = upload (&update.codebook, (const float *) codebook, n_numbers, why) &&
           upload (&weights_there, weights, n * vptq_metric_stride (metric, length), why) &&
           upload (&x_there, x, n * length, why) && upload (&order_there, order, n, why) &&
           upload (&start_there, start, (size_t) centroids + 1, why);
  if (ok) {
    update.weights = weights_there;
    update.x = x_there;
    update.n_numbers = n_numbers;
    update.length = length;
    update.metric = metric;
    update.order = order_there;
    update.start = start_there;
    update_kernel<<<grid (count_blocks (n_numbers)), VPTQ_THREADS>>> (update);
    ok = check (cudaGetLastError (), why) && download (codebook, update.codebook, n_numbers, why);
  }
  cudaFree (update.codebook);
  cudaFree (weights_there);
  cudaFree (x_there);
  cudaFree (order_there);
  cudaFree (start_there);
  return ok;
}

/* --- a plane ----------------------------------------------------------------------------------------------------------- */

struct VptqCuda : CudaPlane<VptqThreadPlane> {};

static const char damage[] = "an index is outside of its codebook: the indices are damaged";

static size_t
count_bytes (const VptqThreadPlane *plane, unsigned bits)
{
  return (plane->rows * vptq_thread_vectors (plane) * bits + 7) / 8;
}

static int
upload_plane (VptqThreadPlane *to, const VptqThreadPlane *from, const char **why)
{
  *to = *from;
  to->indices = to->residuals = NULL;
  to->codebook = to->residual_codebook = to->scale = to->bias = NULL;
  return upload_some (&to->indices, from->indices, count_bytes (from, from->bits), why) &&
         upload_some (&to->residuals, from->residuals, count_bytes (from, from->residual_bits),
                      why) &&
         upload_some (&to->codebook, from->codebook, (size_t) from->centroids * from->length,
                      why) &&
         upload_some (&to->residual_codebook, from->residual_codebook,
                      (size_t) from->residual_centroids * from->length, why) &&
         upload_some (&to->scale, from->n_scales ? from->scale : NULL, from->n_scales, why) &&
         upload_some (&to->bias, from->bias, from->rows, why);
}

VptqCuda *
vptq_cuda_new (int device, const VptqThreadPlane *plane, const char **why)
{
  VptqCuda *self = check_metric (VPTQ_METRIC_NONE, plane->length, why)
                       ? plane_new<VptqCuda> (device, why)
                       : NULL;
  if (self && !upload_plane (&self->plane, plane, why)) {
    vptq_cuda_free (self);
    return NULL;
  }
  return self;
}

void
vptq_cuda_free (VptqCuda *self)
{
  if (!self)
    return;
  cudaSetDevice (self->device);
  cudaFree ((void *) self->plane.indices);
  cudaFree ((void *) self->plane.residuals);
  cudaFree ((void *) self->plane.codebook);
  cudaFree ((void *) self->plane.residual_codebook);
  cudaFree ((void *) self->plane.scale);
  cudaFree ((void *) self->plane.bias);
  cudaFree (self->damaged);
  free (self);
}

int
vptq_cuda_decode (VptqCuda *self, float *out, uint16_t *half, const char **why)
{
  return plane_decode_all (self, out, half, damage, why);
}

int
vptq_cuda_multiply (VptqCuda *self, const float *input, float *output, const char **why)
{
  const VptqThreadPlane *plane = &self->plane;
  return plane_multiply<VPTQ_MAX_LENGTH> (self, input, plane->turned ? plane->rows : plane->cols,
                                          output, plane->turned ? plane->cols : plane->rows, damage,
                                          why);
}
