/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vptq/vptq-train-kernel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Speeds of vptq's kernels on one core: weights per second, pairs of vector and centroid per second. */

static double
seconds (void)
{
  struct timespec t;

  clock_gettime (CLOCK_THREAD_CPUTIME_ID, &t);
  return (double) t.tv_sec + 1e-9 * (double) t.tv_nsec;
}

static void *
allocate (size_t bytes)
{
  void *memory = calloc (1, bytes);

  if (!memory) {
    fprintf (stderr, "bench-vptq: no memory for %zu bytes\n", bytes);
    exit (EXIT_FAILURE);
  }
  return memory;
}

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
  float *codebook = allocate ((size_t) k * v * sizeof (float));
  float *storage = allocate (vptq_table_floats (k, v) * sizeof (float));
  float *x = allocate (n * v * sizeof (float));
  float *weights = allocate ((n * stride + 1) * sizeof (float));
  uint32_t *indices = allocate (n * sizeof (uint32_t));
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
    double start = seconds ();

    for (size_t p = 0; p < n; p += batch)
      vptq_search (&table, metric, weights + p * stride, x + p * v, batch, indices + p, NULL);
    double time = seconds () - start;
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

static void
bench_lookup (unsigned v, unsigned k)
{
  const size_t n = 65536;
  float *codebook = allocate ((size_t) k * v * sizeof (float));
  float *out = allocate (n * v * sizeof (float));
  uint32_t *indices = allocate (n * sizeof (uint32_t));
  double best = 1e9;

  for (size_t i = 0; i < n; i++)
    indices[i] = (uint32_t) rand () % k;
  for (unsigned run = 0; run < 20; run++) {
    double start = seconds ();

    vptq_lookup (codebook, k, v, 1, indices, n, out);
    double time = seconds () - start;
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
  float *vectors = allocate (n * v * sizeof (float));
  float *codebook = allocate ((size_t) k * v * sizeof (float));
  void *workspace = allocate (vptq_train_bytes (n, k, v));
  double objectives[26];

  for (size_t i = 0; i < n * v; i++)
    vectors[i] = bell ();
  const VptqTrainJob job = {
    .length = v, .n_centroids = k, .iterations = 25, .vectors = vectors, .n = n
  };
  double start = seconds ();
  int rounds = vptq_train (&job, workspace, codebook, NULL, objectives) - 1;
  double time = seconds () - start;
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
  /* as an asker calls it */
  for (size_t batch = 1; batch <= 256; batch *= 4)
    bench_search (4, 256, VPTQ_METRIC_MATRIX, batch);
  bench_lookup (4, 256);
  bench_lookup (8, 65536);
  bench_train (4, 256);
  return EXIT_SUCCESS;
}
