/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "eval/eval-require.h"

#include "core-test.h"

#include <string.h>

static EvalTotals *
totals_of (double xx, double ee)
{
  EvalTotals *totals = eval_totals_new ();

  totals->weights = 100;
  totals->bytes = 50;
  totals->n_judged = 1;
  totals->sums = (EvalSums){ .xx = xx, .yy = xx, .xy = xx, .ee = ee, .peak = 1 };
  return totals;
}

static void
expect (const char *text, gboolean holds)
{
  GError *error = NULL;
  g_autoptr (GArray) conditions = eval_require_parse (text, &error);
  EvalTotals *totals = totals_of (100, 1); /* 20 dB, 4 bits per weight */

  ck_assert_ptr_nonnull (conditions);
  ck_assert_int_eq (eval_require_check (conditions, totals, "eval0", &error), holds);
  if (!holds) {
    ck_assert (g_error_matches (error, AFP_ERROR, AFP_ERROR_METRIC));
    ck_assert_int_eq (afp_error_exit_code (error), 7);
    ck_assert_ptr_nonnull (strstr (error->message, "eval0 requires"));
    g_clear_error (&error);
  }
  eval_totals_free (totals);
}

START_TEST (conditions_hold)
{
  expect (NULL, TRUE);
  expect ("", TRUE);
  expect ("sqnr_db>19.9", TRUE);
  expect ("sqnr_db >= 20 , bits_per_weight<=4, nmse<0.011,weights>=100", TRUE);
}
END_TEST

START_TEST (conditions_fail)
{
  expect ("sqnr_db>20", FALSE);
  expect ("bits_per_weight<4", FALSE);
  expect ("sqnr_db>10,nmse<0.001", FALSE);
}
END_TEST

START_TEST (no_error_at_all_is_infinite)
{
  GError *error = NULL;
  g_autoptr (GArray) conditions = eval_require_parse ("sqnr_db>1000", &error);
  EvalTotals *totals = totals_of (100, 0);

  ck_assert (eval_require_check (conditions, totals, "e", &error));
  eval_totals_free (totals);
}
END_TEST

/* What was never measured meets no condition. */
START_TEST (nothing_judged)
{
  GError *error = NULL;
  g_autoptr (GArray) conditions = eval_require_parse ("nmse<1", &error);
  EvalTotals *totals = eval_totals_new ();

  ck_assert (!eval_require_check (conditions, totals, "e", &error));
  g_clear_error (&error);
  eval_totals_free (totals);
}
END_TEST

START_TEST (bad_text)
{
  static const char *const bad[][2] = {
    { "sqnr_db", "is no condition" },       { ">3", "is no condition" },
    { "sqnr>3", "did you mean 'sqnr_db'" }, { "sqnr_db>x", "is not a number" },
    { "sqnr_db>", "is not a number" },      { "sqnr_db>1x", "is not a number" },
    { "sqnr_db=3", "is no condition" },     { "nmse<inf", "is not a number" },
  };
  GError *error = NULL;

  ck_assert_ptr_null (eval_require_parse (bad[_i][0], &error));
  ck_assert (g_error_matches (error, AFP_ERROR, AFP_ERROR_PROPERTY));
  ck_assert_msg (strstr (error->message, bad[_i][1]) != NULL, "%s", error->message);
  g_clear_error (&error);
}
END_TEST

static TCase *
all (void)
{
  TCase *tcase = tcase_create ("require");

  tcase_add_test (tcase, conditions_hold);
  tcase_add_test (tcase, conditions_fail);
  tcase_add_test (tcase, no_error_at_all_is_infinite);
  tcase_add_test (tcase, nothing_judged);
  tcase_add_loop_test (tcase, bad_text, 0, 8);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { all };
  return run_suite ("eval-require", cases, G_N_ELEMENTS (cases));
}
