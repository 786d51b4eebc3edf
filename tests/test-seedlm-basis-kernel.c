/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "seedlm-kernel-test.h"

/* Tables for least squares over all seeds, and the lists of the best. */

/* Energies are within the margin of those in double, and the lists hold the highest. */
START_TEST (energies_are_within_the_margin)
{
  const unsigned c = shapes[_i].c, p = shapes[_i].p, k = shapes[_i].k;
  const uint32_t period = (1u << k) - 1;
  const size_t n = 5;
  float *blocks = normal_blocks (n * c);
  SeedlmCandidate *candidates = malloc (n * period * sizeof *candidates);
  double *u = malloc (sizeof *u * c * p);
  Tables tables;

  tables_init (&tables, c, p, k, shapes[_i].leap, 0);
  ck_assert_double_le (tables.basis->margin, 3e-3);
  seedlm_search_collect (tables.search, blocks, n, period, candidates);
  for (size_t b = 0; b < n; b++) {
    double norm = 0;
    for (unsigned i = 0; i < c; i++)
      norm += (double) blocks[b * c + i] * blocks[b * c + i];
    for (uint32_t i = 0; i < period; i++) {
      const SeedlmCandidate *candidate = &candidates[b * period + i];
      double t[SEEDLM_MAX_RANK], energy = 0;
      ck_assert_int_eq (candidate->place == UINT32_MAX, i >= tables.basis->n_usable);
      if (candidate->place == UINT32_MAX)
        continue;
      ck_assert (i == 0 || candidate->energy <= candidate[-1].energy);
      plain_matrix (k, shapes[_i].leap, tables.sequence->states[candidate->place], c * p, u);
      if (!plain_solve (u, c, p, blocks + b * c, t))
        continue;
      for (unsigned j = 0; j < c; j++) {
        double y = 0;
        for (unsigned q = 0; q < p; q++)
          y += u[j * p + q] * t[q];
        energy += y * blocks[b * c + j];
      }
      ck_assert_double_eq_tol (candidate->energy, energy / norm, tables.basis->margin);
    }
  }
  tables_clear (&tables);
  free (blocks);
  free (candidates);
  free (u);
}
END_TEST

START_TEST (short_lists_are_the_head_of_long_ones)
{
  static const size_t keeps[] = { 1, 7, 64, 500 };
  float *blocks = normal_blocks (33 * 8);
  SeedlmCandidate *all = malloc (33 * 4095 * sizeof *all), *some = malloc (33 * 500 * sizeof *some);
  const size_t keep = keeps[_i];
  Tables tables;

  tables_init (&tables, 8, 3, 12, 1, 0);
  seedlm_search_collect (tables.search, blocks, 33, 4095, all);
  seedlm_search_collect (tables.search, blocks, 33, keep, some);
  for (size_t b = 0; b < 33; b++)
    ck_assert_mem_eq (some + b * keep, all + b * 4095, keep * sizeof *some);
  tables_clear (&tables);
  free (blocks);
  free (all);
  free (some);
}
END_TEST

/* With leap 1 some seeds have columns that are nearly parallel: they get a basis of their own, or are left out. */
START_TEST (ill_conditioned_seeds)
{
  Tables tables;

  tables_init (&tables, 8, 3, 16, 1, 0);
  ck_assert_uint_gt (tables.basis->n_hard, 400);
  ck_assert_uint_lt (tables.basis->n_hard, 700);
  ck_assert_uint_gt (tables.basis->n_usable, 65500);
  ck_assert_uint_le (tables.basis->bytes, seedlm_basis_bound (16, 8, 3));
  tables_clear (&tables);
  tables_init (&tables, 8, 8, 12, 1, 0);
  ck_assert_uint_lt (tables.basis->n_usable, 4095);
  ck_assert_uint_le (tables.basis->bytes, seedlm_basis_bound (12, 8, 8));
  tables_clear (&tables);
  tables_init (&tables, 12, 4, 16, 16, 0);
  ck_assert_uint_eq (tables.basis->n_hard, 0);
  ck_assert_uint_eq (tables.basis->n_usable, 65535);
  tables_clear (&tables);
}
END_TEST

/* Three states cannot span four dimensions: no seed is left. */
START_TEST (too_few_states)
{
  Tables tables;

  tables_init (&tables, 4, 4, 2, 1, 0);
  ck_assert_uint_eq (tables.basis->n_usable, 0);
  tables_clear (&tables);
}
END_TEST

static TCase *
basis_case (void)
{
  TCase *tcase = tcase_create ("basis");
  tcase_add_loop_test (tcase, energies_are_within_the_margin, 0, N_SHAPES);
  tcase_add_loop_test (tcase, short_lists_are_the_head_of_long_ones, 0, 4);
  tcase_add_test (tcase, ill_conditioned_seeds);
  tcase_add_test (tcase, too_few_states);
  return tcase;
}

int
main (void)
{
  Suite *suite = suite_create ("seedlm-basis-kernel");

  suite_add_tcase (suite, basis_case ());
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  const int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
