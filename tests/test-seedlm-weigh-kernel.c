/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "seedlm-kernel-test.h"
#include "simd-kernel.h"
#include "seedlm/seedlm-weigh-kernel.h"

/* The search under a metric, against the plain one on data that the metric's root has turned into plain data. */

typedef struct {
  unsigned c;
  float m[SEEDLM_MAX_BLOCK * SEEDLM_MAX_BLOCK];
  double root[SEEDLM_MAX_BLOCK * SEEDLM_MAX_BLOCK]; /* R: m = R'R */
} Metric;

/* m = R'R with a random triangle R, or its diagonal only, of sizes from 1 / spread to spread. */
static Metric *
metric_new (unsigned c, int diagonal, double spread)
{
  Metric *self = calloc (1, sizeof *self);

  state = 7;
  self->c = c;
  for (unsigned i = 0; i < c; i++)
    for (unsigned j = i; j < c; j++)
      self->root[i * c + j] = i == j     ? pow (spread, 2 * uniform () - 1)
                              : diagonal ? 0
                                         : (uniform () - 0.5) * 0.6;
  for (unsigned i = 0; i < c; i++)
    for (unsigned j = 0; j < c; j++) {
      double sum = 0;
      for (unsigned k = 0; k < c; k++)
        sum += self->root[k * c + i] * self->root[k * c + j];
      self->m[i * c + j] = (float) sum;
    }
  return self;
}

/* out (rows of p) = R u */
static void
turn (const Metric *self, const double *u, unsigned p, double *out)
{
  for (unsigned i = 0; i < self->c; i++)
    for (unsigned q = 0; q < p; q++) {
      out[i * p + q] = 0;
      for (unsigned k = i; k < self->c; k++)
        out[i * p + q] += self->root[i * self->c + k] * u[k * p + q];
    }
}

/* The least error of all seeds. */
static double
plain_search_metric (const Metric *m, unsigned p, unsigned k, uint32_t leap, const float *w,
                     SeedlmQuantize quantize, void *user_data)
{
  const unsigned c = m->c;
  double best = INFINITY, *u = malloc (sizeof *u * c * p), *turned = malloc (sizeof *u * c * p),
         exact[SEEDLM_MAX_BLOCK], out[SEEDLM_MAX_BLOCK], t[SEEDLM_MAX_RANK];
  float wanted[SEEDLM_MAX_BLOCK], t_hat[SEEDLM_MAX_RANK];

  for (unsigned i = 0; i < c; i++)
    exact[i] = w[i];
  turn (m, exact, 1, out);
  for (unsigned i = 0; i < c; i++)
    wanted[i] = (float) out[i];
  for (uint32_t seed = 1; seed < 1u << k; seed++) {
    float target[SEEDLM_MAX_RANK], g[SEEDLM_MAX_RANK * SEEDLM_MAX_RANK] = { 0 };
    uint32_t code;
    plain_matrix (k, leap, seed, c * p, u);
    turn (m, u, p, turned);
    if (!plain_solve (turned, c, p, wanted, t))
      continue;
    for (unsigned a = 0; a < p; a++) {
      target[a] = t_hat[a] = (float) t[a];
      for (unsigned b = 0; b < p; b++)
        for (unsigned i = 0; i < c; i++)
          g[a * p + b] += (float) (turned[i * p + a] * turned[i * p + b]);
    }
    if (quantize)
      quantize (user_data, target, 1, g, &code, t_hat);
    best = fmin (best, plain_error (turned, c, p, wanted, t_hat));
  }
  free (u);
  free (turned);
  return best;
}

static double
norm_of (const Metric *m, const float *w)
{
  double out[SEEDLM_MAX_BLOCK];
  return seedlm_weigh_block (m->m, m->c, w, out);
}

/* Shape i % N_SHAPES, with a diagonal or a full matrix, with exact coefficients or a codebook. */
START_TEST (the_best_seed_under_a_metric)
{
  const unsigned i = (unsigned) _i / 4, c = shapes[i].c, p = shapes[i].p, k = shapes[i].k;
  const size_t n = shapes[i].n < 4 ? shapes[i].n : 4;
  Codebook codebook;
  const SeedlmSearchParams params = { .quantize = _i & 1 ? codebook_quantize : NULL,
                                      .user_data = &codebook,
                                      .n_codes = _i & 1 };
  Metric *m = metric_new (c, _i & 2, 5);
  float *blocks = normal_blocks (n * c), *t = malloc (n * p * sizeof *t);
  uint32_t seeds[4], codes[4];
  double errors[4];
  Tables tables;

  codebook_init (&codebook, p);
  tables_init (&tables, c, p, k, shapes[i].leap, _i & 1);
  ck_assert (seedlm_search_weigh (tables.search, m->m));
  ck_assert (seedlm_search_run (tables.search, &params, blocks, NULL, n, seeds, t, codes, errors));
  for (size_t b = 0; b < n; b++) {
    const double best =
        plain_search_metric (m, p, k, shapes[i].leap, blocks + b * c, params.quantize, &codebook);
    ck_assert_double_eq_tol (errors[b], best, 1e-5 * norm_of (m, blocks + b * c) + 1e-5 * best);
  }
  tables_clear (&tables);
  free (m);
  free (blocks);
  free (t);
}
END_TEST

/* Any instructions, and blocks one at a time, find the same; and after the metric has been taken off, all is as before. */
START_TEST (results_do_not_depend_on_the_way)
{
  static const SimdKind ways[] = { SIMD_AVX512, SIMD_AVX2, SIMD_PORTABLE, SIMD_AVX512 };
  const SeedlmSearchParams params = { 0 };
  Metric *m = metric_new (12, _i & 1, 3);
  float *blocks = normal_blocks (60 * 12), t[240];
  uint32_t seeds[4][60], plain[2][60];
  Tables tables;

  for (unsigned way = 0; way < 4; way++) {
    const unsigned step = way == 3 ? 1 : 60;
    simd_limit (ways[way]);
    tables_init (&tables, 12, 4, 9, 16, 0);
    for (unsigned b = 0; b < 60; b += step) {
      ck_assert (seedlm_search_weigh (tables.search, m->m));
      ck_assert (seedlm_search_run (tables.search, &params, blocks + b * 12, NULL, step,
                                    seeds[way] + b, t, NULL, NULL));
    }
    ck_assert_mem_eq (seeds[way], seeds[0], sizeof seeds[0]);
    if (way < 3)
      tables_clear (&tables);
  }
  for (unsigned fresh = 0; fresh < 2; fresh++) {
    ck_assert (seedlm_search_weigh (tables.search, NULL));
    ck_assert (
        seedlm_search_run (tables.search, &params, blocks, NULL, 60, plain[fresh], t, NULL, NULL));
    tables_clear (&tables);
    tables_init (&tables, 12, 4, 9, 16, 0);
  }
  ck_assert_mem_eq (plain[0], plain[1], sizeof plain[0]);
  ck_assert_mem_ne (plain[0], seeds[0], sizeof seeds[0]);
  tables_clear (&tables);
  simd_limit (SIMD_AVX512);
  free (m);
  free (blocks);
}
END_TEST

/* --- metrics that are none ---------------------------------------------------------------------------------------------- */

/* Searched under m and without a metric: the same seeds? */
static int
same_seeds (const float *m)
{
  const SeedlmSearchParams params = { 0 };
  float *blocks = normal_blocks (40 * 8), t[120];
  uint32_t seeds[2][40];
  double errors[40];
  Tables tables;

  tables_init (&tables, 8, 3, 9, 16, 0);
  for (unsigned way = 0; way < 2; way++) {
    ck_assert (seedlm_search_weigh (tables.search, way ? m : NULL));
    ck_assert (
        seedlm_search_run (tables.search, &params, blocks, NULL, 40, seeds[way], t, NULL, errors));
    for (unsigned b = 0; b < 40; b++) {
      ck_assert (isfinite (errors[b]));
      ck_assert_uint_ge (seeds[way][b], 1);
      ck_assert_uint_lt (seeds[way][b], 512);
    }
  }
  tables_clear (&tables);
  free (blocks);
  return memcmp (seeds[0], seeds[1], sizeof seeds[0]) == 0;
}

START_TEST (a_multiple_of_one_changes_nothing)
{
  float m[64] = { 0 };
  for (unsigned i = 0; i < 8; i++)
    m[i * 9] = 0.01f;
  ck_assert (same_seeds (m));
}
END_TEST

/* Not positive definite, not finite, all zeros: no seed spans anything, and the search is the plain one. */
START_TEST (a_matrix_that_is_no_metric_counts_as_none)
{
  const float diagonals[] = { 0, -1, NAN, INFINITY };
  float m[64] = { 0 };
  for (unsigned i = 0; i < 8; i++)
    m[i * 9] = diagonals[_i];
  ck_assert (same_seeds (m));
}
END_TEST

/* Rank one, but for a millionth: the few seeds that still span three dimensions, if any, or the plain search; never nonsense. */
START_TEST (a_matrix_of_low_rank_is_survived)
{
  float m[64];
  for (unsigned i = 0; i < 64; i++)
    m[i] = 1;
  for (unsigned i = 0; i < 8; i++)
    m[i * 9] += 1e-6f;
  same_seeds (m);
}
END_TEST

START_TEST (one_weight_that_dwarfs_the_others)
{
  float m[64] = { 0 };
  for (unsigned i = 0; i < 8; i++)
    m[i * 9] = i == 3 ? 1e4f : 1;
  ck_assert (!same_seeds (m));
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("seedlm-weigh-kernel");
  TCase *plain = tcase_create ("plain"), *none = tcase_create ("none");

  tcase_add_loop_test (plain, the_best_seed_under_a_metric, 0, 4 * N_SHAPES);
  tcase_add_loop_test (plain, results_do_not_depend_on_the_way, 0, 2);
  tcase_add_test (none, a_multiple_of_one_changes_nothing);
  tcase_add_loop_test (none, a_matrix_that_is_no_metric_counts_as_none, 0, 4);
  tcase_add_test (none, a_matrix_of_low_rank_is_survived);
  tcase_add_test (none, one_weight_that_dwarfs_the_others);
  suite_add_tcase (suite, plain);
  suite_add_tcase (suite, none);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  const int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
