/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vptq-builtin-kernel.h"
#include "vptq-train-kernel.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Makes the tables of vptq-builtin-kernel.c: k-means on normal numbers, drawn with a fixed seed. Prints one table as C strings:
 *
 *   vptq-builtin-make VECTOR-LENGTH CENTROIDS >vptq-builtin-VxK.inc
 *
 * A table that was published is never made anew: files name its version.
 */

#define LINE 48 /* numbers */

static const char digits[] = VPTQ_BUILTIN_DIGITS;

static uint64_t
mix64 (uint64_t x)
{
  x = (x ^ (x >> 30)) * UINT64_C (0xbf58476d1ce4e5b9);
  x = (x ^ (x >> 27)) * UINT64_C (0x94d049bb133111eb);
  return x ^ (x >> 31);
}

static double
uniform (uint64_t index)
{
  return ((double) (mix64 (index * UINT64_C (0x9e3779b97f4a7c15)) >> 11) + 0.5) * 0x1p-53;
}

static float *
draw (size_t n)
{
  float *x = malloc (n * sizeof *x);

  for (size_t i = 0; x && i < n; i++)
    x[i] = (float) (sqrt (-2 * log (uniform (2 * i + 1))) *
                    cos (6.283185307179586 * uniform (2 * i + 2)));
  return x;
}

static void
print (const float *codebook, size_t n)
{
  for (size_t i = 0; i < n; i++) {
    long code = lround ((double) codebook[i] * VPTQ_BUILTIN_STEPS) + 2048;
    code = code < 0 ? 0 : code > 4095 ? 4095 : code;
    printf ("%s%c%c%s", i % LINE ? "" : "\"", digits[code / 64], digits[code % 64],
            i % LINE == LINE - 1 || i == n - 1 ? "\"\n" : "");
  }
}

int
main (int argc, char **argv)
{
  const unsigned v = argc == 3 ? (unsigned) strtoul (argv[1], NULL, 10) : 0;
  const unsigned k = argc == 3 ? (unsigned) strtoul (argv[2], NULL, 10) : 0;

  if (v < 1 || v > VPTQ_MAX_LENGTH || k < 2 || k > VPTQ_MAX_CENTROIDS) {
    fprintf (stderr, "usage: vptq-builtin-make VECTOR-LENGTH CENTROIDS\n");
    return 2;
  }
  const size_t n = (size_t) 1 << 20;
  float *vectors = draw (n * v), *codebook = calloc ((size_t) k * v, sizeof *codebook);
  void *workspace = malloc (vptq_train_bytes (n, k, v));
  const VptqTrainJob job = { .length = v,
                             .n_centroids = k,
                             .iterations = 60,
                             .seed = 1,
                             .metric = VPTQ_METRIC_NONE,
                             .vectors = vectors,
                             .n = n };
  const int ok =
      vectors && codebook && workspace && vptq_train (&job, workspace, codebook, NULL, NULL) > 0;
  if (ok)
    print (codebook, (size_t) k * v);
  else
    fprintf (stderr, "vptq-builtin-make: no memory\n");
  free (workspace);
  free (codebook);
  free (vectors);
  return ok ? 0 : 1;
}
