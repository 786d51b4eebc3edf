/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vptq/vptq-rate-kernel.h"
#include "vptq/vptq-train-kernel.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What centroids chosen by error and bits gain: error of normal numbers by bits per weight, as long as ideal codes are and with codebooks
 * of 16 bits a number, beside codebooks of a fixed rate. */

#define N_WEIGHTS ((size_t) 1 << 22)

static void *
allocate (size_t bytes)
{
  void *memory = calloc (1, bytes);

  if (!memory) {
    fprintf (stderr, "bench-vptq-rate: no memory for %zu bytes\n", bytes);
    exit (EXIT_FAILURE);
  }
  return memory;
}

static float *
make_weights (void)
{
  float *x = allocate (N_WEIGHTS * sizeof (float));
  uint64_t state = 1;

  for (size_t i = 0; i < N_WEIGHTS; i++) {
    double u[2];

    for (unsigned j = 0; j < 2; j++) {
      state = state * UINT64_C (6364136223846793005) + UINT64_C (1442695040888963407);
      u[j] = ((double) (state >> 11) + 0.5) * 0x1p-53;
    }
    x[i] = (float) (sqrt (-2 * log (u[0])) * cos (6.283185307179586 * u[1]));
  }
  return x;
}

/* To 11 bits of mantissa, as binary16 has them where these numbers are. */
static void
round_codebook (float *codebook, unsigned length, unsigned k)
{
  for (size_t i = 0; i < (size_t) k * length; i++)
    if (i % length != length - 1 && codebook[i] != 0) {
      int exponent;
      const float m = frexpf (codebook[i], &exponent);
      codebook[i] = ldexpf (rintf (m * 2048) / 2048, exponent);
    }
}

/* rate 0: codes of one length. */
static void
bench (const float *x, unsigned v, unsigned k, double rate)
{
  const size_t n = N_WEIGHTS / v, n_train = n < 1024 * (size_t) k ? n : 1024 * (size_t) k;
  float *longer = allocate (n * (v + 1) * sizeof (float));
  float *codebook = allocate ((size_t) k * (v + 1) * sizeof (float));
  float *storage = allocate (vptq_table_floats (k, v + 1) * sizeof (float));
  float *errors = allocate (n * sizeof (float));
  uint32_t *indices = allocate (n * sizeof (uint32_t)), *counts = allocate (k * sizeof (uint32_t));
  void *workspace = allocate (vptq_train_bytes (n_train, k, v + 1));
  const VptqTrainJob job = { .length = v + 1,
                             .n_centroids = k,
                             .iterations = 60,
                             .rate = rate,
                             .vectors = longer,
                             .n = n_train };
  double bits = 0, error = 0;
  unsigned n_used = 0;
  VptqTable table;

  vptq_rate_vectors (x, v, n, NULL, longer);
  vptq_train (&job, workspace, codebook, NULL, NULL);
  round_codebook (codebook, v + 1, k);
  vptq_table_init (&table, storage, codebook, k, v + 1);
  vptq_search (&table, VPTQ_METRIC_NONE, NULL, longer, n, indices, errors);
  for (size_t i = 0; i < n; i++) {
    const float place = codebook[(size_t) indices[i] * (v + 1) + v];
    counts[indices[i]]++;
    error += errors[i] - (double) place * place;
  }
  for (unsigned i = 0; i < k; i++) {
    n_used += counts[i] > 0;
    if (rate > 0 && counts[i] > 0)
      bits += counts[i] * log2 ((double) n / counts[i]);
  }
  if (!(rate > 0))
    bits = (double) (n * vptq_index_bits (k));
  printf (
      "v=%u k=%-4u rate-lambda=%-6.4g: %.4f bits per weight + codebook %.4f = %.4f, NMSE %.4f, %u centroids in use\n",
      v, k, rate, bits / N_WEIGHTS, 16. * v * n_used / N_WEIGHTS,
      (bits + 16. * v * n_used) / N_WEIGHTS, error / (double) (n * v), n_used);
  free (longer);
  free (codebook);
  free (storage);
  free (errors);
  free (indices);
  free (counts);
  free (workspace);
}

int
main (int argc, char **argv)
{
  static const struct {
    unsigned v, k;
    double rate;
  } cases[] = {
    { 4, 256, 0 },      { 4, 612, 0.1125 }, { 4, 64, 0 },
    { 4, 286, 0.2295 }, { 8, 256, 0 },      { 6, 454, 0.437 },
  };
  float *x = make_weights ();

  if (argc == 4)
    bench (x, (unsigned) atoi (argv[1]), (unsigned) atoi (argv[2]), atof (argv[3]));
  for (size_t i = 0; argc == 1 && i < sizeof cases / sizeof cases[0]; i++)
    bench (x, cases[i].v, cases[i].k, cases[i].rate);
  free (x);
  return EXIT_SUCCESS;
}
