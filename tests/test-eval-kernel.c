/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "eval/eval-kernel.h"

#include "core-test.h"

#include <math.h>

START_TEST (known_sums)
{
  const float x[3] = { 3, -4, 0 }, y[3] = { 3, -3, 2 };
  EvalSums sums = { 0 };

  eval_add (&sums, x, y, 3);
  ck_assert_double_eq (sums.xx, 25);
  ck_assert_double_eq (sums.yy, 22);
  ck_assert_double_eq (sums.xy, 21);
  ck_assert_double_eq (sums.ee, 5);
  ck_assert_double_eq (sums.peak, 2);
  ck_assert_double_eq (eval_nmse (&sums), 0.2);
  ck_assert_double_eq_tol (eval_sqnr_db (&sums), 6.98970004336, 1e-9);
  ck_assert_double_eq_tol (eval_cosine (&sums), 21 / sqrt (25.0 * 22), 1e-12);
}
END_TEST

START_TEST (merged_is_the_same)
{
  const float x[4] = { 1, 2, 3, 4 }, y[4] = { 1, 0, 3, 9 };
  EvalSums all = { 0 }, a = { 0 }, b = { 0 };

  eval_add (&all, x, y, 4);
  eval_add (&a, x, y, 1);
  eval_add (&b, x + 1, y + 1, 3);
  eval_merge (&a, &b);
  ck_assert_double_eq (a.ee, all.ee);
  ck_assert_double_eq (a.xy, all.xy);
  ck_assert_double_eq (a.peak, 5);
}
END_TEST

/* A quantity that has no value is NaN, which the report writes as null. */
START_TEST (no_energy)
{
  const float zero[2] = { 0, 0 }, one[2] = { 1, 1 };
  EvalSums sums = { 0 };

  ck_assert (isnan (eval_nmse (&sums)) && isnan (eval_sqnr_db (&sums)) &&
             isnan (eval_cosine (&sums)));
  eval_add (&sums, zero, one, 2);
  ck_assert (isnan (eval_nmse (&sums)) && isnan (eval_sqnr_db (&sums)) &&
             isnan (eval_cosine (&sums)));
  ck_assert_double_eq (sums.peak, 1);
}
END_TEST

START_TEST (no_error)
{
  const float x[2] = { 1e-30f, 5 };
  EvalSums sums = { 0 };

  eval_add (&sums, x, x, 2);
  ck_assert_double_eq (eval_nmse (&sums), 0);
  ck_assert (isnan (eval_sqnr_db (&sums)));
  ck_assert_double_eq_tol (eval_cosine (&sums), 1, 1e-12);
}
END_TEST

START_TEST (all_decoded_to_zero)
{
  const float x[2] = { 1, 2 }, zero[2] = { 0, 0 };
  EvalSums sums = { 0 };

  eval_add (&sums, x, zero, 2);
  ck_assert_double_eq (eval_nmse (&sums), 1);
  ck_assert_double_eq (eval_sqnr_db (&sums), 0);
  ck_assert (isnan (eval_cosine (&sums)));
}
END_TEST

static TCase *
all_cases (void)
{
  TCase *tcase = tcase_create ("sums");

  tcase_add_test (tcase, known_sums);
  tcase_add_test (tcase, merged_is_the_same);
  tcase_add_test (tcase, no_energy);
  tcase_add_test (tcase, no_error);
  tcase_add_test (tcase, all_decoded_to_zero);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { all_cases };
  return run_suite ("eval-kernel", cases, G_N_ELEMENTS (cases));
}
