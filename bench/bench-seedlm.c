/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Speeds of seedlm in million weights per second: the kernels in one thread, then whole pipelines with one thread and with two.
 * Build: time for the tables. Least squares: the best seed, exact coefficients. Search: the paper's coefficients inside the search.
 */
#include "afpipe.h"
#include "seedlm/seedlm-decode-kernel.h"
#include "seedlm/seedlm-search-kernel.h"
#include "seedlm/seedlm-simd-kernel.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double
seconds (void)
{
  return (double) g_get_monotonic_time () * 1e-6;
}

static float *
normal_numbers (gsize n)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (1);
  float *x = g_new (float, n);

  for (gsize i = 0; i < n; i++)
    x[i] = (float) (sqrt (-2 * log (1 - g_rand_double (rand))) *
                    cos (2 * G_PI * g_rand_double (rand)));
  return x;
}

static int
block_float (void *user_data, const float *t, size_t n, const float *metric, uint32_t *codes,
             float *t_hat)
{
  const guint rank = *(const guint *) user_data;

  for (size_t v = 0; v < n; v++, t += rank, t_hat += rank) {
    float top = 0;
    for (guint p = 0; p < rank; p++)
      top = fmaxf (top, fabsf (t[p]));
    const int e = top > 0 ? CLAMP ((int) ceilf (log2f (top / 7.5f)), -8, 7) : -8;
    for (guint p = 0; p < rank; p++)
      t_hat[p] = ldexpf (CLAMP (rintf (ldexpf (t[p], -e)), -8, 7), e);
  }
  return 1;
}

typedef struct {
  SeedlmSequence *sequence;
  SeedlmBasis *basis;
  SeedlmSearch *search;
  gsize n;
  float *blocks, *t;
  guint32 *seeds;
} Bench;

/* Million weights per second of one search, and its error. */
static double
time_search (Bench *b, SeedlmQuantize quantize, double *nmse)
{
  guint rank = b->basis->rank;
  const SeedlmSearchParams params = { .quantize = quantize, .user_data = &rank };
  g_autofree double *errors = g_new (double, b->n);
  const gsize n_weights = b->n * b->basis->block_size;
  double error = 0, power = 0;

  const double start = seconds ();
  if (!seedlm_search_run (b->search, &params, b->blocks, NULL, b->n, b->seeds, b->t, NULL, errors))
    return 0;
  const double time = seconds () - start;
  for (gsize i = 0; i < b->n; i++)
    error += errors[i];
  for (gsize i = 0; i < n_weights; i++)
    power += (double) b->blocks[i] * b->blocks[i];
  *nmse = error / power;
  return (double) n_weights / time * 1e-6;
}

static void
bench_kernel (guint block_size, guint rank, guint seed_bits, guint leap, gsize n)
{
  Bench b = { .n = n };
  double least_squares_nmse = 0, nmse = 0;

  double start = seconds ();
  b.sequence = seedlm_sequence_new (seed_bits, leap, SEEDLM_EXTRA);
  b.basis = seedlm_basis_new (b.sequence, block_size, rank);
  const double build = seconds () - start;
  b.search = seedlm_search_new (b.basis, 0);
  b.blocks = normal_numbers (n * block_size);
  b.t = g_new (float, n *rank);
  b.seeds = g_new (guint32, n);
  const double least_squares = time_search (&b, NULL, &least_squares_nmse);
  const double search = time_search (&b, block_float, &nmse);
  printf (
      "C=%-3u P=%u K=%-2u leap=%-2u  build %6.3f s  least squares %7.4f (NMSE %.5f)  search %7.4f (NMSE %.5f)\n",
      block_size, rank, seed_bits, leap, build, least_squares, least_squares_nmse, search, nmse);
  seedlm_search_free (b.search);
  seedlm_basis_free (b.basis);
  seedlm_sequence_free (b.sequence);
  g_free (b.blocks);
  g_free (b.t);
  g_free (b.seeds);
}

/* Decoding from a table of the register's cycle, and without one by the instructions of each kind; seconds are the processor's. */
static void
bench_decode (guint block_size, guint rank, guint seed_bits)
{
  static const char *const names[] = { "portable", "AVX2", "AVX-512" };
  const gsize n = 8192;
  const guint32 leap = seedlm_leap_default (seed_bits);
  SeedlmSequence *sequence = seedlm_sequence_new (seed_bits, leap, SEEDLM_EXTRA);
  SeedlmDecoder *decoder = seedlm_decoder_new (seed_bits, leap, block_size, rank);
  g_autoptr (GRand) rand = g_rand_new_with_seed (1);
  g_autofree guint32 *seeds = g_new (guint32, n);
  g_autofree float *t = normal_numbers (n * rank), *out = g_new (float, n *block_size);

  for (gsize i = 0; i < n; i++)
    seeds[i] = 1 + g_rand_int (rand) % sequence->period;
  printf ("decode C=%-3u P=%u K=%-2u ", block_size, rank, seed_bits);
  for (int kind = -1; kind < SEEDLM_N_SIMD; kind++) {
    guint passes = 0;
    double time;
    if (kind >= 0 && (int) seedlm_limit_simd (kind) != kind)
      continue;
    const clock_t start = clock ();
    do {
      if (kind >= 0)
        seedlm_decoder_run (decoder, seeds, t, 1, n, out);
      else
        for (gsize i = 0; i < n; i++)
          seedlm_decode (seedlm_block_values (sequence, seeds[i]), block_size, rank, t + i * rank,
                         1, out + i * block_size);
      passes++;
      time = (double) (clock () - start) / CLOCKS_PER_SEC;
    } while (time < 0.2);
    printf ("  %s %6.0f", kind < 0 ? "cycle" : names[kind],
            (double) n * block_size * passes / time * 1e-6);
  }
  printf ("\n");
  seedlm_limit_simd (SEEDLM_AVX512);
  seedlm_decoder_free (decoder);
  seedlm_sequence_free (sequence);
}

static gboolean
bench_pipeline (const char *stages, guint n_threads, guint rows)
{
  g_autofree char *text = g_strdup_printf ("synth shapes=%ux1024 ! %s ! eval ! null", rows, stages);
  g_autoptr (GError) error = NULL;
  g_autoptr (AfpPipeline) pipeline = afp_pipeline_new_from_text (text, &error);

  if (pipeline) {
    afp_pipeline_set_threads (pipeline, n_threads);
    const double start = seconds ();
    if (afp_pipeline_run (pipeline, &error)) {
      printf ("%-46s %u thread%s  %7.4f\n", stages, n_threads, n_threads > 1 ? "s" : " ",
              rows * 1024.0 / (seconds () - start) * 1e-6);
      return TRUE;
    }
  }
  fprintf (stderr, "%s: %s\n", text, error->message);
  return FALSE;
}

int
main (void)
{
  static const struct {
    const char *stages;
    guint rows;
  } pipelines[] = {
    { "seedlm preset=paper-4bit", 256 },
    { "seedlm preset=paper-3bit", 256 },
    { "seedlm preset=fast", 1024 },
    { "seedlm C=12 P=4 K=16 ! vptq k=256", 512 },
    { "seedlm C=8 P=3 K=12 ! vptq k=256", 1024 },
  };

  printf ("million weights per second\n");
  bench_decode (8, 3, 16);
  bench_decode (8, 3, 12);
  bench_decode (12, 4, 16);
  bench_decode (20, 3, 16);
  bench_decode (40, 3, 16);
  bench_decode (8, 3, 20);
  bench_decode (8, 3, 24);
  bench_kernel (8, 3, 16, 1, 8000);
  bench_kernel (8, 3, 16, 16, 8000);
  bench_kernel (12, 4, 16, 16, 8000);
  bench_kernel (20, 3, 16, 16, 4000);
  bench_kernel (24, 5, 16, 16, 4000);
  bench_kernel (8, 3, 12, 16, 50000);
  bench_kernel (12, 4, 12, 16, 50000);
  bench_kernel (8, 3, 8, 16, 100000);
  for (guint i = 0; i < G_N_ELEMENTS (pipelines); i++)
    for (guint n_threads = 1; n_threads <= 2; n_threads++)
      if (!bench_pipeline (pipelines[i].stages, n_threads, pipelines[i].rows))
        return EXIT_FAILURE;
  return EXIT_SUCCESS;
}
