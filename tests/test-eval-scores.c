/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "eval/eval-scores.h"

#include "core-test.h"

#include <math.h>

static gboolean
near (double a, double b)
{
  return fabs (a - b) < 1e-12;
}

static EvalScores *
make (void)
{
  EvalScores *scores = eval_scores_new ();

  eval_scores_add_known (scores, "nll", 2.2, 2);
  eval_scores_add_known (scores, "top1", 0.4, 0.5);
  eval_scores_add_known (scores, "tokens", 1804, 1804);
  eval_scores_add_known (scores, "kl_mean", 0.25, NAN);
  eval_scores_add (scores, "bleu", EVAL_PLAIN, 30, NAN);
  return scores;
}

/* Less is better for one, more for the other: a loss is positive where it became worse. */
START_TEST (losses)
{
  g_autoptr (EvalScores) scores = make ();
  double value;

  ck_assert (eval_scores_get (scores, "nll_loss", &value) && near (value, 0.1));
  ck_assert (eval_scores_get (scores, "top1_loss", &value) && near (value, 0.2));
  ck_assert (eval_scores_get (scores, "top1_ref", &value) && near (value, 0.5));
  ck_assert (eval_scores_get (scores, "bleu", &value) && near (value, 30));
  ck_assert (eval_scores_get (scores, "kl_mean_loss", &value) && isnan (value));
}
END_TEST

START_TEST (no_such_metric)
{
  g_autoptr (EvalScores) scores = make ();
  static const char *const names[] = { "",           "_loss",      "_ref", "nll_",
                                       "perplexity", "rouge_loss", "NLL" };
  double value = 7;

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    ck_assert_msg (!eval_scores_get (scores, names[i], &value), "%s", names[i]);
  ck_assert (near (value, 7));
}
END_TEST

START_TEST (replaced)
{
  g_autoptr (EvalScores) scores = make ();
  double value;

  eval_scores_add_known (scores, "nll", 3, 2);
  ck_assert (eval_scores_get (scores, "nll", &value) && near (value, 3));
  ck_assert_uint_eq (scores->scores->len, 5);
}
END_TEST

START_TEST (as_json)
{
  g_autoptr (EvalScores) scores = make ();
  g_autoptr (JsonObject) object = json_object_new ();
  JsonNode *tokens;

  eval_scores_to_json (scores, object);
  ck_assert (near (json_object_get_double_member (object, "nll_loss"), 0.1));
  ck_assert (near (json_object_get_double_member (object, "top1_ref"), 0.5));
  tokens = json_object_get_member (object, "tokens");
  ck_assert (json_node_get_value_type (tokens) == G_TYPE_INT64);
  ck_assert_int_eq (json_node_get_int (tokens), 1804);
  /* Nothing is made up for what cannot be compared. */
  ck_assert (!json_object_has_member (object, "kl_mean_loss"));
  ck_assert (!json_object_has_member (object, "tokens_ref"));
}
END_TEST

/* Without an original, null and not 0. */
START_TEST (without_original)
{
  g_autoptr (EvalScores) scores = eval_scores_new ();
  g_autoptr (JsonObject) object = json_object_new ();

  eval_scores_add_known (scores, "nll", 2, NAN);
  eval_scores_to_json (scores, object);
  ck_assert (json_object_get_null_member (object, "nll_ref"));
  ck_assert (json_object_get_null_member (object, "nll_loss"));
  g_autofree char *text = eval_scores_to_string (scores);
  ck_assert_ptr_nonnull (strstr (text, "nll                         2            -\n"));
}
END_TEST

START_TEST (as_text)
{
  g_autoptr (EvalScores) scores = make ();
  g_autofree char *text = eval_scores_to_string (scores);

  ck_assert_ptr_nonnull (
      strstr (text, "nll                       2.2            2       10.00%\n"));
  ck_assert_ptr_nonnull (
      strstr (text, "top1                      0.4          0.5       20.00%\n"));
  ck_assert_ptr_nonnull (strstr (text, "tokens                   1804         1804\n"));
}
END_TEST

/* No change is no change, not one below zero. */
START_TEST (no_loss)
{
  g_autoptr (EvalScores) scores = eval_scores_new ();

  eval_scores_add_known (scores, "top1", 0.5, 0.5);
  g_autofree char *text = eval_scores_to_string (scores);
  ck_assert_ptr_nonnull (strstr (text, " 0.00%\n"));
  ck_assert_ptr_null (strstr (text, "-0.00%"));
}
END_TEST

START_TEST (names)
{
  g_autoptr (GPtrArray) all = g_ptr_array_new_with_free_func (g_free);

  eval_scores_list_names (eval_image_metrics, all);
  g_ptr_array_add (all, NULL);
  const char *const *list = (const char *const *) all->pdata;
  ck_assert (g_strv_contains (list, "accuracy") && g_strv_contains (list, "accuracy_loss"));
  ck_assert (g_strv_contains (list, "accuracy_ref") && g_strv_contains (list, "kl_mean"));
  ck_assert (!g_strv_contains (list, "kl_mean_loss") && !g_strv_contains (list, "nll"));
}
END_TEST

static TCase *
all (void)
{
  TCase *tcase = tcase_create ("scores");

  tcase_add_test (tcase, losses);
  tcase_add_test (tcase, no_such_metric);
  tcase_add_test (tcase, replaced);
  tcase_add_test (tcase, as_json);
  tcase_add_test (tcase, without_original);
  tcase_add_test (tcase, as_text);
  tcase_add_test (tcase, no_loss);
  tcase_add_test (tcase, names);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { all };
  return run_suite ("eval-scores", cases, G_N_ELEMENTS (cases));
}
