/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "eval/eval-require.h"

#include "core-test.h"

#include <math.h>
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

/* What there is to be asked of. (transfer none) */
static GPtrArray *
known (void)
{
  static GPtrArray *names = NULL;

  if (names)
    return names;
  names = g_ptr_array_new_with_free_func (g_free);
  for (guint i = 0; eval_metric_names[i]; i++)
    g_ptr_array_add (names, g_strdup (eval_metric_names[i]));
  eval_scores_list_names (eval_text_metrics, names);
  return names;
}

static EvalScores *
scores (void)
{
  static EvalScores *scores = NULL;

  if (scores)
    return scores;
  scores = eval_scores_new ();
  eval_scores_add_known (scores, "nll", 2.2, 2);
  eval_scores_add_known (scores, "top1", 0.45, 0.5);
  eval_scores_add_known (scores, "kl_mean", 0.1, NAN);
  return scores;
}

static void
expect (const char *text, gboolean holds)
{
  GError *error = NULL;
  g_autoptr (GArray) conditions = eval_require_parse (text, known (), &error);
  EvalTotals *totals = totals_of (100, 1); /* 20 dB, 4 bits per weight */

  ck_assert_ptr_nonnull (conditions);
  ck_assert_int_eq (eval_require_check (conditions, totals, scores (), "eval0", &error), holds);
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
  expect ("top1_loss<10.1%, nll_loss<=0.10001, nll<2.3,nll_ref>=2,top1>44.9%,kl_mean<0.2", TRUE);
  expect ("sqnr_db >= 20 , bits_per_weight<=4, nmse<0.011,weights>=100", TRUE);
}
END_TEST

START_TEST (conditions_fail)
{
  expect ("sqnr_db>20", FALSE);
  expect ("bits_per_weight<4", FALSE);
  expect ("sqnr_db>10,nmse<0.001", FALSE);
  expect ("top1_loss<9.9%", FALSE);
  expect ("nll<2.1", FALSE);
  expect ("perplexity<100", FALSE); /* was not measured */
}
END_TEST

START_TEST (no_error_at_all_is_infinite)
{
  GError *error = NULL;
  g_autoptr (GArray) conditions = eval_require_parse ("sqnr_db>1000", known (), &error);
  EvalTotals *totals = totals_of (100, 0);

  ck_assert (eval_require_check (conditions, totals, NULL, "e", &error));
  eval_totals_free (totals);
}
END_TEST

/* Both values, as they were asked for. */
START_TEST (says_both)
{
  static const char *const cases[][3] = {
    { "top1_loss<9%", "e requires top1_loss<9%", "top1_loss is 10%" },
    { "nll_loss<0.01", "nll_loss<0.01", "nll_loss is 0.1" },
    { "perplexity<100", "e requires perplexity<100", "perplexity was not measured" },
  };
  GError *error = NULL;
  g_autoptr (GArray) conditions = eval_require_parse (cases[_i][0], known (), &error);
  EvalTotals *totals = totals_of (100, 1);

  ck_assert (!eval_require_check (conditions, totals, scores (), "e", &error));
  assert_error (error, AFP_ERROR_METRIC, cases[_i][1], cases[_i][2], "nothing was published");
  eval_totals_free (totals);
}
END_TEST

/* The original is not known: there is no loss. */
START_TEST (without_original)
{
  GError *error = NULL;
  g_autoptr (GArray) conditions = eval_require_parse ("nll_loss<5%", known (), &error);
  g_autoptr (EvalScores) alone = eval_scores_new ();
  EvalTotals *totals = totals_of (100, 1);

  eval_scores_add_known (alone, "nll", 2, NAN);
  ck_assert (!eval_require_check (conditions, totals, alone, "e", &error));
  assert_error (error, AFP_ERROR_METRIC, "nll_loss has no value");
  eval_totals_free (totals);
}
END_TEST

/* Where a program outside gives names, none is wrong before it has run. */
START_TEST (names_that_nobody_knows_before)
{
  GError *error = NULL;
  g_autoptr (GArray) conditions = eval_require_parse ("bleu>20", NULL, &error);
  g_autoptr (EvalScores) found = eval_scores_new ();
  EvalTotals *totals = totals_of (100, 1);

  ck_assert_ptr_nonnull (conditions);
  ck_assert (!eval_require_check (conditions, totals, found, "e", &error));
  assert_error (error, AFP_ERROR_METRIC, "bleu was not measured");
  eval_scores_add (found, "bleu", EVAL_PLAIN, 30, NAN);
  ck_assert (eval_require_check (conditions, totals, found, "e", &error));
  eval_totals_free (totals);
}
END_TEST

/* What was never measured meets no condition. */
START_TEST (nothing_judged)
{
  GError *error = NULL;
  g_autoptr (GArray) conditions = eval_require_parse ("nmse<1", known (), &error);
  EvalTotals *totals = eval_totals_new ();

  ck_assert (!eval_require_check (conditions, totals, NULL, "e", &error));
  g_clear_error (&error);
  eval_totals_free (totals);
}
END_TEST

START_TEST (bad_text)
{
  static const char *const bad[][2] = {
    { "sqnr_db", "is no condition" },
    { ">3", "is no condition" },
    { "sqnr>3", "did you mean 'sqnr_db'" },
    { "sqnr_db>x", "is not a number" },
    { "sqnr_db>", "is not a number" },
    { "sqnr_db>1x", "is not a number" },
    { "sqnr_db=3", "is no condition" },
    { "nmse<inf", "is not a number" },
    { "top1_los<1%", "did you mean 'top1_loss'" },
    { "top1<5%%", "is not a number" },
    { "kl_mean_loss<1", "no metric 'kl_mean_loss'" },
    { "top1<%", "is not a number" },
  };
  GError *error = NULL;

  ck_assert_ptr_null (eval_require_parse (bad[_i][0], known (), &error));
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
  tcase_add_loop_test (tcase, bad_text, 0, 12);
  tcase_add_loop_test (tcase, says_both, 0, 3);
  tcase_add_test (tcase, without_original);
  tcase_add_test (tcase, names_that_nobody_knows_before);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { all };
  return run_suite ("eval-require", cases, G_N_ELEMENTS (cases));
}
