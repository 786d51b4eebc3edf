/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench.h"

#include "simd-kernel.h"
#include "vptq/vptq-train-kernel.h"

#include <cblas.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Speeds of vptq's kernels on one core: weights per second, pairs of vector and centroid per second. */

static float
bell (void)
{
  int sum = 0;

  for (int i = 0; i < 8; i++)
    sum += rand () % 2001 - 1000;
  return (float) sum / 1633;
}

/* u u' + v v' + 0.1 */
static void
fill_matrix (float *g, unsigned v)
{
  float u[2][VPTQ_MAX_LENGTH];

  for (unsigned j = 0; j < v; j++) {
    u[0][j] = bell ();
    u[1][j] = bell ();
  }
  for (unsigned i = 0; i < v; i++)
    for (unsigned j = 0; j < v; j++)
      g[i * v + j] = u[0][i] * u[0][j] + u[1][i] * u[1][j] + (i == j ? 0.1f : 0);
}

static const char *const metrics[] = { "none", "scalar", "diagonal", "matrix" };

static void
bench_search (unsigned v, unsigned k, VptqMetric metric, size_t batch)
{
  const size_t n = 16384;
  const size_t stride = vptq_metric_stride (metric, v);
  float *codebook = g_malloc0 ((size_t) k * v * sizeof (float));
  float *storage = g_malloc0 (vptq_table_floats (k, v) * sizeof (float));
  float *x = g_malloc0 (n * v * sizeof (float));
  float *weights = g_malloc0 ((n * stride + 1) * sizeof (float));
  uint32_t *indices = g_malloc0 (n * sizeof (uint32_t));
  double best = 1e9;
  VptqTable table;

  for (size_t i = 0; i < (size_t) k * v; i++)
    codebook[i] = bell ();
  for (size_t i = 0; i < n * v; i++)
    x[i] = bell ();
  for (size_t i = 0; i < n * stride; i++)
    weights[i] = 0.5f + (float) (i % 7);
  for (size_t i = 0; metric == VPTQ_METRIC_MATRIX && i < n; i++)
    fill_matrix (weights + i * stride, v);
  vptq_table_init (&table, storage, codebook, k, v);
  for (unsigned run = 0; run < 5; run++) {
    double start = bench_seconds ();

    for (size_t p = 0; p < n; p += batch)
      vptq_search (&table, metric, weights + p * stride, x + p * v, batch, indices + p, NULL);
    double time = bench_seconds () - start;
    best = time < best ? time : best;
  }
  printf ("search v=%-2u k=%-5u metric=%-8s batches of %-5zu %7.1f Mweights/s %6.2f Gpairs/s\n", v,
          k, metrics[metric], batch, 1e-6 * (double) (n * v) / best,
          1e-9 * (double) (n * k) / best);
  free (codebook);
  free (storage);
  free (x);
  free (weights);
  free (indices);
}

#if HAS_SIMD
#define WIDE SIMD_FOR_AVX512_WIDE
#else
#define WIDE
#endif

/* The least of k numbers of norms - 2 dots, 16 candidates side by side. */
WIDE static inline uint32_t
least (const float *norms, const float *dots, unsigned k)
{
  enum { LANES = 16 };
  float best[LANES];
  uint32_t index[LANES] = { 0 }, at = 0;

  for (unsigned l = 0; l < LANES; l++)
    best[l] = INFINITY;
  for (unsigned i = 0; i < k; i += LANES)
    for (unsigned l = 0; l < LANES; l++) {
      const float e = norms[i + l] - 2 * dots[i + l];
      index[l] = e < best[l] ? i + l : index[l];
      best[l] = e < best[l] ? e : best[l];
    }
  for (unsigned l = 1; l < LANES; l++)
    if (best[l] < best[at] || (best[l] == best[at] && index[l] < index[at]))
      at = l;
  return index[at];
}

WIDE static void
assign_by_gemm (const float *codebook, const float *norms, unsigned v, unsigned k, const float *x,
                size_t batch, float *dots, uint32_t *indices)
{
  cblas_sgemm (CblasRowMajor, CblasNoTrans, CblasTrans, (int) batch, (int) k, (int) v, 1, x,
               (int) v, codebook, (int) v, 0, dots, (int) k);
  for (size_t p = 0; p < batch; p++)
    indices[p] = least (norms, dots + p * k, k);
}

/* Exact assignment against one by a matrix product of one thread, batch by batch so that the products stay in the cache. */
static void
bench_gemm (unsigned v, unsigned k)
{
  const size_t n = 16384, batch = k > 1024 ? 32 : 256;
  float *codebook = g_malloc0 ((size_t) k * v * sizeof (float));
  float *storage = g_malloc0 (vptq_table_floats (k, v) * sizeof (float));
  float *norms = g_malloc0 (k * sizeof (float)), *x = g_malloc0 (n * v * sizeof (float));
  float *dots = g_malloc0 (batch * k * sizeof (float));
  uint32_t *own = g_malloc0 (n * sizeof (uint32_t)), *other = g_malloc0 (n * sizeof (uint32_t));
  double best[2] = { 1e9, 1e9 };
  size_t differ = 0;
  VptqTable table;

  for (size_t i = 0; i < (size_t) k * v; i++) {
    codebook[i] = bell ();
    norms[i / v] += codebook[i] * codebook[i];
  }
  for (size_t i = 0; i < n * v; i++)
    x[i] = bell ();
  vptq_table_init (&table, storage, codebook, k, v);
  openblas_set_num_threads (1);
  for (unsigned run = 0; run < 5; run++) {
    double start = bench_seconds ();
    vptq_search (&table, VPTQ_METRIC_NONE, NULL, x, n, own, NULL);
    best[0] = fmin (best[0], bench_seconds () - start);
    start = bench_seconds ();
    for (size_t p = 0; p < n; p += batch)
      assign_by_gemm (codebook, norms, v, k, x + p * v, batch, dots, other + p);
    best[1] = fmin (best[1], bench_seconds () - start);
  }
  for (size_t p = 0; p < n; p++)
    differ += own[p] != other[p];
  printf (
      "assign v=%-2u k=%-5u exact %7.1f Mweights/s, by sgemm %7.1f (%zu of %zu differ by rounding): "
      "%.2fx\n",
      v, k, 1e-6 * (double) (n * v) / best[0], 1e-6 * (double) (n * v) / best[1], differ, n,
      best[1] / best[0]);
  free (codebook);
  free (storage);
  free (norms);
  free (x);
  free (dots);
  free (own);
  free (other);
}

/* The search by lists against the exact one, on normal numbers: speed, and what is lost. */
static void
bench_lists (unsigned v, unsigned k, VptqMetric metric)
{
  const size_t n = 32768, stride = vptq_metric_stride (metric, v), n_train = (size_t) k * 8;
  float *codebook = g_malloc0 ((size_t) k * v * sizeof (float));
  float *storage = g_malloc0 (vptq_table_floats (k, v) * sizeof (float));
  float *x = g_malloc0 ((n > n_train ? n : n_train) * v * sizeof (float));
  float *weights = g_malloc0 ((n * stride + 1) * sizeof (float));
  float *errors[3];
  uint32_t *indices = g_malloc0 (n * sizeof (uint32_t));
  void *workspace = g_malloc0 (vptq_train_bytes (n_train, k, v));
  const VptqTrainJob job = {
    .length = v, .n_centroids = k, .iterations = 4, .vectors = x, .n = n_train
  };
  double time[4], loss = 0, sum = 0;
  VptqTable table;
  VptqLists lists;

  for (size_t i = 0; i < 3; i++)
    errors[i] = g_malloc0 (n * sizeof (float));
  for (size_t i = 0; i < (n > n_train ? n : n_train) * v; i++)
    x[i] = bell ();
  for (size_t i = 0; metric == VPTQ_METRIC_MATRIX && i < n; i++)
    fill_matrix (weights + i * stride, v);
  for (size_t i = 0; metric != VPTQ_METRIC_MATRIX && i < n * stride; i++)
    weights[i] = 0.5f + (float) (i % 7);
  vptq_train (&job, workspace, codebook, NULL, NULL);
  time[3] = bench_seconds ();
  vptq_lists_init (&lists, g_malloc0 (vptq_lists_bytes (k, v)), k, v);
  vptq_lists_fill (&lists, codebook, false, g_malloc0 (vptq_lists_workspace (k, v)), NULL, NULL);
  time[3] = bench_seconds () - time[3];
  vptq_table_init (&table, storage, codebook, k, v);
  for (unsigned way = 0; way < 3; way++) {
    const double start = bench_seconds ();
    if (way == 0)
      vptq_search (&table, metric, weights, x, n, indices, errors[0]);
    else
      vptq_lists_search (&lists, way == 1, metric, weights, x, n, indices, errors[way]);
    time[way] = bench_seconds () - start;
  }
  for (size_t i = 0; i < n; i++) {
    loss += errors[2][i] - errors[0][i];
    sum += errors[0][i];
  }
  printf (
      "lists  v=%-2u k=%-5u metric=%-8s all %6.1f Mweights/s, exact by lists %6.1f (%.1fx), fast %6.1f "
      "(%.1fx; %.2f %% more error); lists made in %.2f s\n",
      v, k, metrics[metric], 1e-6 * (double) (n * v) / time[0], 1e-6 * (double) (n * v) / time[1],
      time[0] / time[1], 1e-6 * (double) (n * v) / time[2], time[0] / time[2], 100 * loss / sum,
      time[3]);
  free (codebook);
  free (storage);
  free (x);
  free (weights);
  free (indices);
  free (workspace);
  for (size_t i = 0; i < 3; i++)
    free (errors[i]);
}

static void
bench_lookup (unsigned v, unsigned k)
{
  const size_t n = 65536;
  float *codebook = g_malloc0 ((size_t) k * v * sizeof (float));
  float *out = g_malloc0 (n * v * sizeof (float));
  uint32_t *indices = g_malloc0 (n * sizeof (uint32_t));
  double best = 1e9;

  for (size_t i = 0; i < n; i++)
    indices[i] = (uint32_t) rand () % k;
  for (unsigned run = 0; run < 20; run++) {
    double start = bench_seconds ();

    vptq_lookup (codebook, k, v, 1, indices, n, out);
    double time = bench_seconds () - start;
    best = time < best ? time : best;
  }
  printf ("lookup v=%-2u k=%-5u %41.1f Mweights/s\n", v, k, 1e-6 * (double) (n * v) / best);
  free (codebook);
  free (out);
  free (indices);
}

static void
bench_train (unsigned v, unsigned k)
{
  const size_t n = (size_t) k * 256;
  float *vectors = g_malloc0 (n * v * sizeof (float));
  float *codebook = g_malloc0 ((size_t) k * v * sizeof (float));
  void *workspace = g_malloc0 (vptq_train_bytes (n, k, v));
  double objectives[26];

  for (size_t i = 0; i < n * v; i++)
    vectors[i] = bell ();
  const VptqTrainJob job = {
    .length = v, .n_centroids = k, .iterations = 25, .vectors = vectors, .n = n
  };
  double start = bench_seconds ();
  int rounds = vptq_train (&job, workspace, codebook, NULL, objectives) - 1;
  double time = bench_seconds () - start;
  printf ("train  v=%-2u k=%-5u %zu vectors, %d rounds %11.3f s, error %.4f\n", v, k, n, rounds,
          time, objectives[rounds] / (double) (n * v));
  free (vectors);
  free (codebook);
  free (workspace);
}

int
main (void)
{
  static const unsigned sizes[][2] = { { 2, 16 }, { 4, 16 }, { 4, 256 }, { 8, 256 }, { 6, 4096 } };

  for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
    for (VptqMetric metric = VPTQ_METRIC_NONE; metric <= VPTQ_METRIC_MATRIX; metric++)
      bench_search (sizes[i][0], sizes[i][1], metric, 16384);
  bench_gemm (8, 256);
  bench_gemm (8, 4096);
  bench_gemm (6, 4096);
  for (VptqMetric metric = VPTQ_METRIC_NONE; metric <= VPTQ_METRIC_MATRIX; metric++)
    bench_lists (6, 4096, metric);
  bench_lists (8, 65536, VPTQ_METRIC_NONE);
  /* as an asker calls it */
  for (size_t batch = 1; batch <= 256; batch *= 4)
    bench_search (4, 256, VPTQ_METRIC_MATRIX, batch);
  bench_lookup (4, 256);
  bench_lookup (8, 65536);
  bench_train (4, 256);
  return EXIT_SUCCESS;
}
