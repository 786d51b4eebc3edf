/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Speeds of seedlm in million weights per second: the kernels in one thread, then whole pipelines with one thread and with two.
 * Native: the paper's coefficients inside the search; joint: a frozen codebook of 256, as vptq has. Seconds of kernels are the
 * processor's. Two baselines: B1 quantizes and scores every seed of every block; B2 does least squares for all seeds and quantizes
 * where the bound allows a better one. All but the fast search find the same error. Lists are used for as many blocks as a tile has.
 */
#include "bench.h"

#include "afpipe.h"
#include "bench-seedlm-plain.h"
#include "seedlm/seedlm-decode-kernel.h"
#include "seedlm/seedlm-search-kernel.h"
#include "simd-kernel.h"
#include "vptq/vptq-train-kernel.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N_CENTROIDS 256

/* --- quantizers of coefficients ---------------------------------------------------------------------------------------- */

/* 2^e, the step of 4-bit mantissas for numbers up to @top. */
static float
step_for (float top)
{
  int e;
  const float mantissa = frexpf (top / 7.5f, &e); /* in [1/2, 1) */

  return ldexpf (1, CLAMP (top > 0 ? e - (mantissa == 0.5f) : -8, -8, 7));
}

static int
block_float (void *user_data, const float *t, size_t n, const float *metric, uint32_t *codes,
             float *t_hat)
{
  const guint rank = ((const SeedlmBasis *) user_data)->rank;

  for (size_t v = 0; v < n; v++, t += rank, t_hat += rank) {
    float top = 0;
    for (guint p = 0; p < rank; p++)
      top = MAX (top, fabsf (t[p]));
    const float step = step_for (top), inverse = 1 / step;
    for (guint p = 0; p < rank; p++)
      t_hat[p] = step * CLAMP (rintf (t[p] * inverse), -8, 7);
  }
  return 1;
}

/* A frozen codebook, searched as vptq does. */
typedef struct {
  VptqTable table;
  float *codebook, *storage;
} Codebook;

static int
codebook_quantize (void *user_data, const float *t, size_t n, const float *metric, uint32_t *codes,
                   float *t_hat)
{
  const Codebook *self = user_data;
  const guint rank = self->table.length;

  vptq_search (&self->table, VPTQ_METRIC_MATRIX, metric, t, n, codes, NULL);
  for (size_t v = 0; v < n; v++)
    memcpy (t_hat + v * rank, self->codebook + codes[v] * rank, rank * sizeof (float));
  return 1;
}

/* --- one shape --------------------------------------------------------------------------------------------------------- */

typedef struct {
  SeedlmSequence *sequence;
  SeedlmBasis *basis;
  SeedlmLists *lists;
  SeedlmSearch *search;
  Codebook codebook;
  gsize n;
  float *blocks, *t;
  guint32 *seeds, *codes;
  double *errors;
} Bench;

/* Million weights per second of one search of the first n blocks, and their error. */
static double
time_search (Bench *b, SeedlmQuantize quantize, gpointer user_data, gsize n, double *nmse)
{
  const SeedlmSearchParams params = { .quantize = quantize, .user_data = user_data, .n_codes = 1 };
  const gsize n_weights = n * b->basis->block_size;
  double error = 0, power = 0;

  const double start = bench_seconds ();
  if (!seedlm_search_run (b->search, &params, b->blocks, NULL, n, b->seeds, b->t, b->codes,
                          b->errors))
    return 0;
  const double time = bench_seconds () - start;
  for (gsize i = 0; i < n; i++)
    error += b->errors[i];
  for (gsize i = 0; i < n_weights; i++)
    power += (double) b->blocks[i] * b->blocks[i];
  *nmse = error / power;
  return (double) n_weights / time * 1e-6;
}

/* Rounds of least squares and k-means under the metric, on the first blocks. */
static void
fit_codebook (Bench *b, guint n_centroids, gsize n)
{
  const guint rank = b->basis->rank, block_size = b->basis->block_size;
  Codebook *codebook = &b->codebook;
  g_autofree float *t = g_new (float, n *rank), *metric = g_new (float, n *rank *rank);
  g_autofree char *workspace = g_malloc (vptq_train_bytes (n, n_centroids, rank));
  double nmse;

  codebook->codebook = g_new (float, n_centroids *rank);
  codebook->storage = g_aligned_alloc0 (vptq_table_floats (n_centroids, rank), sizeof (float), 64);
  time_search (b, NULL, NULL, n, &nmse);
  for (guint round = 0; round < 4; round++) {
    for (gsize i = 0; i < n; i++)
      seedlm_project (seedlm_block_values (b->sequence, b->seeds[i]), block_size, rank,
                      b->blocks + i * block_size, NULL, t + i * rank, metric + i * rank * rank);
    const VptqTrainJob job = { .length = rank,
                               .n_centroids = n_centroids,
                               .iterations = 10,
                               .seed = 1,
                               .metric = VPTQ_METRIC_MATRIX,
                               .vectors = t,
                               .weights = metric,
                               .n = n,
                               .warm = round > 0 };
    vptq_train (&job, workspace, codebook->codebook, NULL, NULL);
    vptq_table_init (&codebook->table, codebook->storage, codebook->codebook, n_centroids, rank);
    if (round < 3)
      time_search (b, codebook_quantize, codebook, n, &nmse);
  }
}

static double
build_lists (Bench *b, const SeedlmListsShape *shape)
{
  const double start = bench_seconds ();

  b->lists = seedlm_lists_new (b->basis, shape);
  seedlm_lists_train (b->lists);
  for (guint i = 0; i < shape->n_coarse; i++)
    seedlm_lists_build (b->lists, i);
  seedlm_lists_take (b->lists);
  return bench_seconds () - start;
}

/* Do the first blocks have the same errors, but for rounding? */
static void
compare (const Bench *b, const double *errors, gsize n, double tolerance, const char *names)
{
  for (gsize i = 0; i < n; i++)
    if (!(fabs (errors[i] - b->errors[i]) <= tolerance * b->errors[i]))
      printf ("  *** block %zu differs (%s): %g %g\n", i, names, errors[i], b->errors[i]);
}

/* B1, compared with what B2 has just found. */
static double
time_plain (const Bench *b, SeedlmQuantize quantize, gpointer user_data, gboolean joint, gsize n)
{
  PlainSearch *plain =
      plain_search_new (b->basis, joint ? b->codebook.codebook : NULL, joint ? N_CENTROIDS : 0);
  g_autofree double *errors = g_new (double, n);

  g_assert (plain);
  const double start = bench_seconds ();
  plain_search_run (plain, quantize, user_data, b->blocks, n, errors);
  const double time = bench_seconds () - start;
  plain_search_free (plain);
  compare (b, errors, n, 1e-4, "B1, B2");
  return (double) (n * b->basis->block_size) / time * 1e-6;
}

/* The baselines; then lists of directions: the true minimum, and the best of so many seeds. */
static void
bench_ways (Bench *b, const char *name, gboolean joint, gsize n_slow, const gsize *n_fast)
{
  const SeedlmQuantize quantize = joint ? codebook_quantize : block_float;
  gpointer user_data = joint ? (gpointer) &b->codebook : b->basis;
  double every, all, exact, fast, nmse, exact_nmse, fast_nmse;

  seedlm_search_set_lists (b->search, NULL, 0);
  all = time_search (b, quantize, user_data, n_slow, &nmse);
  every = time_plain (b, quantize, user_data, joint, MIN (n_slow, joint ? 256 : 2048));
  printf ("  %-6s  every seed (B1) %7.4f\n", name, every);
  printf ("          all seeds (B2) %8.4f (NMSE %.5f) %5.1fx B1\n", all, nmse, all / every);
  g_autofree double *errors = g_memdup2 (b->errors, n_slow * sizeof *errors);
  if (!b->lists)
    return;
  seedlm_search_set_lists (b->search, b->lists, 0);
  exact = time_search (b, quantize, user_data, b->n, &exact_nmse);
  compare (b, errors, n_slow, 1e-6, "B2, lists");
  printf ("          exact lists     %7.4f (NMSE %.5f) %5.1fx B1 %5.1fx B2\n", exact, exact_nmse,
          exact / every, exact / all);
  for (; *n_fast; n_fast++) {
    seedlm_search_set_lists (b->search, b->lists, *n_fast);
    fast = time_search (b, quantize, user_data, b->n, &fast_nmse);
    printf ("          fast %6zu     %7.4f (NMSE %.5f) %5.1fx B1 %5.1fx B2  loss %.3f dB\n",
            *n_fast, fast, fast_nmse, fast / every, fast / all,
            10 * log10 (fast_nmse / exact_nmse));
  }
}

static void
bench_kernel (guint block_size, guint rank, guint seed_bits, guint leap, gsize n, gsize n_slow,
              const gsize *n_fast)
{
  Bench b = { .n = n };
  SeedlmListsShape shape;

  double start = bench_seconds ();
  b.sequence = seedlm_sequence_new (seed_bits, leap, SEEDLM_EXTRA);
  b.basis = seedlm_basis_new (b.sequence, block_size, rank);
  const double build = bench_seconds () - start;
  b.search = seedlm_search_new (b.basis, 1);
  b.blocks = bench_normal (n * block_size);
  b.t = g_new (float, n *rank);
  b.seeds = g_new (guint32, n);
  b.codes = g_new0 (guint32, n);
  b.errors = g_new (double, n);
  printf ("C=%u P=%u K=%u leap=%u: tables %.3f s\n", block_size, rank, seed_bits, leap, build);
  if (seedlm_lists_shape (seed_bits, block_size, rank, &shape)) {
    const double time = build_lists (&b, &shape);
    printf ("  lists   %u x %zu seeds, %.0f MB: %.3f s\n", shape.n_coarse * shape.n_fine,
            shape.length, (double) seedlm_lists_bytes (seed_bits, block_size, &shape) * 1e-6, time);
  }
  seedlm_search_set_lists (b.search, b.lists, 0);
  fit_codebook (&b, N_CENTROIDS, MIN (n, 8192));
  bench_ways (&b, "native", FALSE, n_slow, n_fast);
  bench_ways (&b, "joint", TRUE, n_slow, n_fast);
  seedlm_search_free (b.search);
  seedlm_lists_free (b.lists);
  seedlm_basis_free (b.basis);
  seedlm_sequence_free (b.sequence);
  g_free (b.blocks);
  g_free (b.t);
  g_free (b.seeds);
  g_free (b.codes);
  g_free (b.errors);
  g_free (b.codebook.codebook);
  g_aligned_free (b.codebook.storage);
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
  g_autofree float *t = bench_normal (n * rank), *out = g_new (float, n *block_size);

  for (gsize i = 0; i < n; i++)
    seeds[i] = 1 + g_rand_int (rand) % sequence->period;
  printf ("decode C=%-3u P=%u K=%-2u ", block_size, rank, seed_bits);
  for (int kind = -1; kind < SIMD_N_KINDS; kind++) {
    guint passes = 0;
    double time;
    if (kind >= 0 && (int) simd_limit (kind) != kind)
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
  simd_limit (SIMD_AVX512);
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
    const double start = bench_wall_seconds ();
    if (afp_pipeline_run (pipeline, &error)) {
      printf ("%-46s %u thread%s  %7.4f\n", stages, n_threads, n_threads > 1 ? "s" : " ",
              rows * 1024.0 / (bench_wall_seconds () - start) * 1e-6);
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
  const gsize few[] = { 1024, 1536, 2048, 3072, 0 }, many[] = { 3072, 4096, 5120, 6144, 0 },
              none[] = { 0 };
  bench_kernel (8, 3, 16, 16, 65536, 3000, few);
  bench_kernel (12, 4, 16, 16, 43690, 2000, many);
  bench_kernel (8, 3, 12, 16, 40000, 40000, none);
  bench_kernel (20, 3, 16, 16, 2000, 2000, none);
  for (guint i = 0; i < G_N_ELEMENTS (pipelines); i++)
    for (guint n_threads = 1; n_threads <= 2; n_threads++)
      if (!bench_pipeline (pipelines[i].stages, n_threads, pipelines[i].rows))
        return EXIT_FAILURE;
  return EXIT_SUCCESS;
}
