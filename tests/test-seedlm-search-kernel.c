/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "seedlm-kernel-test.h"
#include "simd-kernel.h"

/* The search over all seeds, against the plain one. */

/* Searches all blocks at once and compares each with the plain search. */
static void
compare_with_plain (int i, SeedlmQuantize quantize, void *user_data, unsigned n_codes)
{
  const unsigned c = shapes[i].c, p = shapes[i].p, k = shapes[i].k;
  const size_t n = shapes[i].n;
  const SeedlmSearchParams params = { .quantize = quantize,
                                      .user_data = user_data,
                                      .n_codes = n_codes };
  float *blocks = normal_blocks (n * c), *t = malloc (n * p * sizeof *t);
  uint32_t *seeds = malloc (n * sizeof *seeds), *codes = calloc (n, sizeof *codes);
  double *errors = malloc (n * sizeof *errors), *u = malloc (sizeof *u * c * p);
  Tables tables;

  tables_init (&tables, c, p, k, shapes[i].leap, n_codes);
  ck_assert (seedlm_search_run (tables.search, &params, blocks, NULL, n, seeds, t, codes, errors));
  for (size_t b = 0; b < n; b++) {
    const float *w = blocks + b * c;
    const double best = plain_search (c, p, k, shapes[i].leap, w, quantize, user_data);
    ck_assert_uint_ge (seeds[b], 1);
    ck_assert_uint_lt (seeds[b], 1u << k);
    plain_matrix (k, shapes[i].leap, seeds[b], c * p, u);
    ck_assert_double_eq_tol (errors[b], plain_error (u, c, p, w, t + b * p), 1e-5 * c);
    ck_assert_double_eq_tol (errors[b], best, 1e-5 * c);
    if (n_codes)
      ck_assert_mem_eq (t + b * p, ((Codebook *) user_data)->points[codes[b]], p * sizeof *t);
  }
  tables_clear (&tables);
  free (blocks);
  free (t);
  free (seeds);
  free (codes);
  free (errors);
  free (u);
}

START_TEST (least_squares_like_plain)
{
  compare_with_plain (_i, NULL, NULL, 0);
}
END_TEST

START_TEST (block_float_like_plain)
{
  unsigned rank = shapes[_i].p;
  compare_with_plain (_i, block_float, &rank, 0);
}
END_TEST

START_TEST (codebook_like_plain)
{
  Codebook codebook;
  codebook_init (&codebook, shapes[_i].p);
  compare_with_plain (_i, codebook_quantize, &codebook, 1);
}
END_TEST

static TCase *
plain_case (void)
{
  TCase *tcase = tcase_create ("plain");
  tcase_add_loop_test (tcase, least_squares_like_plain, 0, N_SHAPES);
  tcase_add_loop_test (tcase, block_float_like_plain, 0, N_SHAPES);
  tcase_add_loop_test (tcase, codebook_like_plain, 0, N_SHAPES);
  return tcase;
}

/* --- the search ------------------------------------------------------------------------------------------------------------ */

/* Mean error of the paper's codec on normal numbers, as measured by others. */
static const struct {
  unsigned c, p;
  double nmse;
} papers[] = { { 8, 3, 0.0153 }, { 12, 4, 0.0505 } };

START_TEST (errors_of_the_paper)
{
  const unsigned c = papers[_i].c, p = papers[_i].p;
  const size_t n = 3000;
  unsigned rank = p;
  const SeedlmSearchParams params = { .quantize = block_float, .user_data = &rank };
  float *blocks = normal_blocks (n * c), *t = malloc (n * p * sizeof *t);
  uint32_t *seeds = malloc (n * sizeof *seeds);
  double *errors = malloc (n * sizeof *errors), error = 0, power = 0;
  Tables tables;

  tables_init (&tables, c, p, 16, 1, 0);
  ck_assert (seedlm_search_run (tables.search, &params, blocks, NULL, n, seeds, t, NULL, errors));
  for (size_t b = 0; b < n; b++)
    error += errors[b];
  for (size_t i = 0; i < n * c; i++)
    power += (double) blocks[i] * blocks[i];
  ck_assert_double_eq_tol (error / power, papers[_i].nmse, 0.04 * papers[_i].nmse);
  tables_clear (&tables);
  free (blocks);
  free (t);
  free (seeds);
  free (errors);
}
END_TEST

/* Any instructions, and blocks one at a time, give the same bits. */
START_TEST (results_do_not_depend_on_the_way)
{
  static const unsigned cs[] = { 8, 12, 8, 24 }, ps[] = { 3, 4, 8, 5 }, ks[] = { 12, 11, 7, 10 };
  static const SimdKind ways[] = { SIMD_AVX512, SIMD_AVX2, SIMD_PORTABLE, SIMD_AVX512 };
  const unsigned c = cs[_i], p = ps[_i];
  const size_t n = 101;
  Codebook codebook;
  const SeedlmSearchParams params = { .quantize = codebook_quantize,
                                      .user_data = &codebook,
                                      .n_codes = 1 };
  float *blocks = normal_blocks (n * c), *t[4];
  uint32_t *seeds[4], *codes[4];

  codebook_init (&codebook, p);
  memset (blocks + 5 * c, 0, c * sizeof *blocks);
  for (unsigned way = 0; way < 4; way++) {
    Tables tables;
    simd_limit (ways[way]);
    tables_init (&tables, c, p, ks[_i], _i == 2 ? 1 : 16, 1);
    t[way] = malloc (n * p * sizeof (float));
    seeds[way] = malloc (n * sizeof (uint32_t));
    codes[way] = malloc (n * sizeof (uint32_t));
    const size_t step = way == 3 ? 1 : n;
    for (size_t b = 0; b < n; b += step)
      ck_assert (seedlm_search_run (tables.search, &params, blocks + b * c, NULL, step,
                                    seeds[way] + b, t[way] + b * p, codes[way] + b, NULL));
    tables_clear (&tables);
    ck_assert_mem_eq (seeds[way], seeds[0], n * sizeof (uint32_t));
    ck_assert_mem_eq (codes[way], codes[0], n * sizeof (uint32_t));
    ck_assert_mem_eq (t[way], t[0], n * p * sizeof (float));
  }
  simd_limit (SIMD_AVX512);
  for (unsigned way = 0; way < 4; way++) {
    free (t[way]);
    free (seeds[way]);
    free (codes[way]);
  }
  free (blocks);
}
END_TEST

/* Windows overlap, so that a block without a part in one column is met exactly by several seeds: the lowest is taken. */
START_TEST (equal_errors_take_the_lowest_seed)
{
  const float wanted[3] = { 0, 0.5f, -0.25f };
  unsigned rank = 3;
  const SeedlmSearchParams params = { .quantize = block_float, .user_data = &rank };
  Tables tables;

  tables_init (&tables, 8, 3, 10, 1, 0);
  for (uint32_t from = 1; from < 1024; from += 37) {
    float block[8], out[8], t[3];
    uint32_t seed, lowest = 0;
    double error;
    seedlm_decode (seedlm_block_values (tables.sequence, from), 8, 3, wanted, 1, block);
    ck_assert (seedlm_search_run (tables.search, &params, block, NULL, 1, &seed, t, NULL, &error));
    ck_assert_double_eq (error, 0);
    for (uint32_t s = 1; s < 1024 && !lowest; s++) {
      float exact[3], metric[9], t_hat[3];
      const float *u = seedlm_block_values (tables.sequence, s);
      seedlm_project (u, 8, 3, block, NULL, exact, metric);
      block_float (&rank, exact, 1, metric, NULL, t_hat);
      seedlm_decode (u, 8, 3, t_hat, 1, out);
      lowest = memcmp (out, block, sizeof out) == 0 ? s : 0;
    }
    ck_assert_uint_eq (seed, lowest);
    ck_assert_uint_le (seed, from);
  }
  tables_clear (&tables);
}
END_TEST

START_TEST (zero_blocks_are_exact_where_they_can_be)
{
  unsigned rank = 4;
  const SeedlmSearchParams params = { .quantize = block_float, .user_data = &rank };
  const float blocks[24] = { 0 };
  float t[8];
  uint32_t seeds[2];
  double errors[2];
  Tables tables;

  tables_init (&tables, 12, 4, 16, 16, 0);
  ck_assert (seedlm_search_run (tables.search, &params, blocks, NULL, 2, seeds, t, NULL, errors));
  for (unsigned b = 0; b < 2; b++) {
    ck_assert_uint_eq (seeds[b], 1);
    ck_assert_double_eq (errors[b], 0);
    for (unsigned p = 0; p < 4; p++)
      ck_assert_float_eq (t[b * 4 + p], 0);
  }
  tables_clear (&tables);
}
END_TEST

START_TEST (zero_blocks_are_best_where_they_cannot)
{
  Codebook codebook;
  SeedlmSearchParams params = { .quantize = codebook_quantize,
                                .user_data = &codebook,
                                .n_codes = 1 };
  const float block[8] = { 0 };
  SeedlmZero zero = { 0 };
  uint32_t code, seed, other;
  float t[3];
  double error;
  Tables tables;

  codebook_init (&codebook, 3);
  tables_init (&tables, 8, 3, 9, 16, 1);
  ck_assert (seedlm_search_run (tables.search, &params, block, NULL, 1, &zero.seed, zero.t_hat,
                                &code, &zero.error));
  ck_assert_double_eq_tol (zero.error,
                           plain_search (8, 3, 9, 16, block, codebook_quantize, &codebook), 1e-5);
  zero.codes = &code;
  params.zero = &zero;
  codebook.asked = 0;
  ck_assert (seedlm_search_run (tables.search, &params, block, NULL, 1, &seed, t, &other, &error));
  ck_assert_uint_eq (codebook.asked, 0);
  ck_assert_uint_eq (seed, zero.seed);
  ck_assert_uint_eq (other, code);
  ck_assert_double_eq (error, zero.error);
  ck_assert_mem_eq (t, zero.t_hat, sizeof t);
  tables_clear (&tables);
}
END_TEST

START_TEST (size_does_not_matter)
{
  static const float factors[] = { 1e-30f, 1e-12f, 1e12f, 1e30f };
  float *blocks = normal_blocks (40 * 8), t[120];
  const SeedlmSearchParams params = { 0 };
  uint32_t seeds[40], others[40];
  Tables tables;

  tables_init (&tables, 8, 3, 10, 16, 0);
  ck_assert (seedlm_search_run (tables.search, &params, blocks, NULL, 40, seeds, t, NULL, NULL));
  for (unsigned i = 0; i < 40 * 8; i++)
    blocks[i] *= factors[_i];
  ck_assert (seedlm_search_run (tables.search, &params, blocks, NULL, 40, others, t, NULL, NULL));
  ck_assert_mem_eq (seeds, others, sizeof seeds);
  tables_clear (&tables);
  free (blocks);
}
END_TEST

START_TEST (weights_are_heeded)
{
  float *blocks = normal_blocks (50 * 8), weights[400], t[2][150];
  const SeedlmSearchParams params = { 0 };
  uint32_t seeds[2][50];
  double sums[2] = { 0 };
  Tables tables;

  tables_init (&tables, 8, 3, 10, 16, 0);
  for (unsigned i = 0; i < 400; i++)
    weights[i] = i % 8 < 4 ? 1 : 0.01f;
  for (unsigned way = 0; way < 2; way++) {
    ck_assert (seedlm_search_run (tables.search, &params, blocks, way ? weights : NULL, 50,
                                  seeds[way], t[way], NULL, NULL));
    for (unsigned b = 0; b < 50; b++) {
      float out[8];
      seedlm_decode (seedlm_block_values (tables.sequence, seeds[way][b]), 8, 3, t[way] + 3 * b, 1,
                     out);
      for (unsigned i = 0; i < 8; i++)
        sums[way] +=
            (double) weights[i] * (out[i] - blocks[8 * b + i]) * (out[i] - blocks[8 * b + i]);
    }
  }
  ck_assert_double_lt (sums[1], 0.4 * sums[0]);
  /* equal weights are none */
  for (unsigned i = 0; i < 400; i++)
    weights[i] = (float) (1 + i / 8);
  ck_assert (
      seedlm_search_run (tables.search, &params, blocks, weights, 50, seeds[1], t[1], NULL, NULL));
  ck_assert_mem_eq (seeds[0], seeds[1], sizeof seeds[0]);
  tables_clear (&tables);
  free (blocks);
}
END_TEST

START_TEST (fewer_candidates_cost_error)
{
  Codebook codebook;
  SeedlmSearchParams params = { .quantize = codebook_quantize,
                                .user_data = &codebook,
                                .n_codes = 1 };
  float *blocks = normal_blocks (60 * 8), t[180];
  uint32_t seeds[60], codes[60];
  double errors[60], last = INFINITY;
  Tables tables;

  codebook_init (&codebook, 3);
  tables_init (&tables, 8, 3, 10, 16, 1);
  for (size_t most = 1; most <= 1000; most *= 10) {
    double sum = 0;
    params.max_candidates = most;
    codebook.asked = 0;
    ck_assert (
        seedlm_search_run (tables.search, &params, blocks, NULL, 60, seeds, t, codes, errors));
    ck_assert_uint_le (codebook.asked, 60 * most);
    for (unsigned b = 0; b < 60; b++)
      sum += errors[b];
    ck_assert_double_le (sum, last);
    ck_assert (most > 10 || sum < last);
    last = sum;
  }
  tables_clear (&tables);
  free (blocks);
}
END_TEST

START_TEST (choice_among_all_candidates_is_the_search)
{
  Codebook codebook;
  const SeedlmSearchParams params = { .quantize = codebook_quantize,
                                      .user_data = &codebook,
                                      .n_codes = 1 };
  float *blocks = normal_blocks (70 * 8), t[210];
  SeedlmCandidate *candidates = malloc (70 * 255 * sizeof *candidates);
  uint32_t seeds[70], codes[70], places[70];
  double errors[70], others[70];
  Tables tables;

  codebook_init (&codebook, 3);
  tables_init (&tables, 8, 3, 8, 16, 1);
  ck_assert (seedlm_search_run (tables.search, &params, blocks, NULL, 70, seeds, t, codes, errors));
  seedlm_search_collect (tables.search, blocks, 70, 255, candidates);
  ck_assert (seedlm_search_choose (tables.search, &params, blocks, NULL, 70, 255, candidates,
                                   places, others));
  for (unsigned b = 0; b < 70; b++)
    ck_assert_uint_eq (tables.sequence->states[places[b]], seeds[b]);
  ck_assert_mem_eq (errors, others, sizeof errors);
  tables_clear (&tables);
  free (blocks);
  free (candidates);
}
END_TEST

START_TEST (failure_of_the_quantizer_ends_the_search)
{
  const SeedlmSearchParams params = { .quantize = failing_quantize };
  float *blocks = normal_blocks (40 * 8), t[120];
  SeedlmCandidate candidates[40 * 4];
  uint32_t seeds[40];
  Tables tables;

  tables_init (&tables, 8, 3, 8, 16, 0);
  ck_assert (!seedlm_search_run (tables.search, &params, blocks, NULL, 40, seeds, t, NULL, NULL));
  seedlm_search_collect (tables.search, blocks, 40, 4, candidates);
  ck_assert (
      !seedlm_search_choose (tables.search, &params, blocks, NULL, 40, 4, candidates, seeds, NULL));
  memset (blocks, 0, 40 * 8 * sizeof *blocks);
  ck_assert (!seedlm_search_run (tables.search, &params, blocks, NULL, 40, seeds, t, NULL, NULL));
  ck_assert (seedlm_search_run (tables.search, &params, blocks, NULL, 0, seeds, t, NULL, NULL));
  tables_clear (&tables);
  free (blocks);
}
END_TEST

static TCase *
search_case (void)
{
  TCase *tcase = tcase_create ("search");
  tcase_add_loop_test (tcase, errors_of_the_paper, 0, 2);
  tcase_add_loop_test (tcase, results_do_not_depend_on_the_way, 0, 4);
  tcase_add_test (tcase, equal_errors_take_the_lowest_seed);
  tcase_add_test (tcase, zero_blocks_are_exact_where_they_can_be);
  tcase_add_test (tcase, zero_blocks_are_best_where_they_cannot);
  tcase_add_loop_test (tcase, size_does_not_matter, 0, 4);
  tcase_add_test (tcase, weights_are_heeded);
  tcase_add_test (tcase, fewer_candidates_cost_error);
  tcase_add_test (tcase, choice_among_all_candidates_is_the_search);
  tcase_add_test (tcase, failure_of_the_quantizer_ends_the_search);
  return tcase;
}

int
main (void)
{
  Suite *suite = suite_create ("seedlm-search-kernel");

  suite_add_tcase (suite, plain_case ());
  suite_add_tcase (suite, search_case ());
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  const int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
