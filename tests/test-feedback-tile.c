/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-test.h"

#include "afp-feedback.h"

#include <math.h>

/* Blocks in another order than they lie in, and layouts that are turned. The sums are written out: test-feedback.c has the factor. */

#define ALL " min-weights=0 force=true "

static AfpTensor *
run_on (AfpTensor *tensor, const char *text)
{
  test_set_tensors (tensor, NULL);
  return test_run (text, 2);
}

/* The column at each place. */
static guint64
column_at (const AfpFeedback *feedback, guint64 place, guint quantum)
{
  const guint32 *places = afp_feedback_get_places (feedback);

  return places ? places[place / quantum] * (guint64) quantum + place % quantum : place;
}

/* The largest distance from a target of the definition: sum over the places before of (decoded - w) U. */
static double
largest_miss (AfpTensor *tensor, AfpTensor *out, guint quantum, AfpFeedbackOrder order)
{
  AfpSpec *spec = afp_tensor_get_spec (tensor);
  const guint64 rows = afp_spec_get_rows (spec), n = afp_spec_get_cols (spec);
  g_autofree float *x = test_decode (tensor), *y = test_decode (out);
  g_autofree double *e = g_new (double, n);
  g_autoptr (AfpFeedback) feedback =
      afp_feedback_new (afp_tensor_get_moments (tensor), n, quantum, 0.01, order, NULL, NULL);
  const float *u = afp_feedback_get_factor (feedback);
  double largest = 0;

  for (guint64 r = 0; r < rows; r++) {
    for (guint64 i = 0; i < n; i++) {
      const guint64 col = column_at (feedback, i, quantum);
      e[i] = (double) y[r * n + col] - x[r * n + col];
    }
    for (guint64 j = 0; j < n; j++) {
      double missed = e[j];
      for (guint64 i = 0; i < j / quantum * quantum; i++)
        missed += e[i] * u[i * n + j];
      largest = MAX (largest, fabs (missed));
    }
  }
  return largest;
}

static const struct {
  const char *properties;
  guint quantum; /* of the feedback */
  AfpFeedbackOrder order;
} cases[] = {
  { "quantum=1 order=importance", 1, AFP_FEEDBACK_IMPORTANCE },
  { "quantum=4 order=importance", 4, AFP_FEEDBACK_IMPORTANCE },
  { "quantum=24 order=importance", 24, AFP_FEEDBACK_IMPORTANCE },
  { "quantum=1 layout=turned", 1, AFP_FEEDBACK_NATURAL },
  { "quantum=3 layout=turned order=importance", 1, AFP_FEEDBACK_IMPORTANCE },
  { "quantum=8 layout=turned order=importance table=true", 1, AFP_FEEDBACK_IMPORTANCE },
};

/* A rounder misses what it was given by half a step at the most. */
START_TEST (targets)
{
  g_autoptr (AfpTensor) tensor = test_tensor_with_moments ("t", "530x72", FALSE, 3);
  g_autofree char *text =
      g_strdup_printf ("test-q bits=8 scale=none feedback=true %s" ALL, cases[_i].properties);
  g_autoptr (AfpTensor) out = run_on (tensor, text);
  const double largest = largest_miss (tensor, out, cases[_i].quantum, cases[_i].order);

  ck_assert_msg (largest < 0.0626 && largest > 0.06, "%s: %g", text, largest);
  ck_assert_msg (largest_miss (tensor, out, cases[_i].quantum,
                               cases[_i].order == AFP_FEEDBACK_NATURAL
                                   ? AFP_FEEDBACK_IMPORTANCE
                                   : AFP_FEEDBACK_NATURAL) > largest,
                 "%s: the other order does as well", text);
}
END_TEST

/* Largest mean squares first; of equal ones the first; padding last. */
START_TEST (places)
{
  static const float stored[] = { 1, 0, 5, 0, 0, 2, 0, 0, 0, 5, 0, 0, 0, 0, 4 };
  static const guint32 single[] = { 1, 3, 4, 2, 0, 5 }, pairs[] = { 1, 0, 2 };
  g_autoptr (GBytes) bytes = g_bytes_new (stored, sizeof stored);
  g_autoptr (AfpMoments) moments = afp_moments_new (5, FALSE, 9, bytes);
  g_autoptr (AfpFeedback) one =
      afp_feedback_new (moments, 6, 1, 0.01, AFP_FEEDBACK_IMPORTANCE, NULL, NULL);
  g_autoptr (AfpFeedback) two =
      afp_feedback_new (moments, 6, 2, 0.01, AFP_FEEDBACK_IMPORTANCE, NULL, NULL);
  g_autoptr (AfpFeedback) natural =
      afp_feedback_new (moments, 6, 2, 0.01, AFP_FEEDBACK_NATURAL, NULL, NULL);

  ck_assert_mem_eq (afp_feedback_get_places (one), single, sizeof single);
  ck_assert_mem_eq (afp_feedback_get_places (two), pairs, sizeof pairs);
  ck_assert_ptr_null (afp_feedback_get_places (natural));
  ck_assert (afp_feedback_is_of (two, moments, 6, 2, 0.01, AFP_FEEDBACK_IMPORTANCE));
  ck_assert (!afp_feedback_is_of (two, moments, 6, 2, 0.01, AFP_FEEDBACK_NATURAL));
}
END_TEST

/* --- refusals -------------------------------------------------------------------------------------------------------- */

static const struct {
  const char *text, *word, *hint;
  gboolean diagonal;
} refused[] = {
  { "test-q feedback=true order=importance layout=flat quantum=5", "stay in their row",
    "layout=row", FALSE },
  { "test-q feedback=true order=importance layout=turned", "whole matrix", "diagonal=false", TRUE },
  { "test-q feedback=true order=importance", "whole matrix", "diagonal=false", TRUE },
};

START_TEST (refusals)
{
  g_autoptr (AfpTensor) tensor =
      test_tensor_with_moments ("layer.7", "20x30", refused[_i].diagonal, 1);
  GError *error = NULL;

  test_set_tensors (tensor, NULL);
  ck_assert (!test_try (refused[_i].text, 2, &error));
  assert_error (error, AFP_ERROR_PLAN, refused[_i].word, refused[_i].hint, "layer.7");
}
END_TEST

START_TEST (no_such_order)
{
  g_autoptr (AfpElement) element = afp_registry_make (afp_registry_get_default (), "test-q", NULL);
  GError *error = NULL;

  ck_assert (!afp_element_set_properties_text (element, "order=backwards", &error));
  assert_error (error, AFP_ERROR_PROPERTY, "order=backwards", "natural | importance");
}
END_TEST

/* What fails in the middle of a tile. */
START_TEST (failures)
{
  static const char *const texts[] = {
    "test-fail in=encode row=199 feedback=true order=importance",
    "test-fail in=decode feedback=true order=importance",
  };
  g_autoptr (AfpTensor) tensor = test_tensor_with_moments ("layer.7", "200x20", FALSE, 1);
  GError *error = NULL;

  test_set_tensors (tensor, NULL);
  ck_assert (!test_try (texts[_i], 2, &error));
  assert_error (error, _i ? AFP_ERROR_FORMAT : AFP_ERROR_CODEC, "test-fail fails in", "layer.7");
}
END_TEST

/* Moments that are of no use are found out in any order. */
START_TEST (useless_moments)
{
  static const float stored[][3] = { { 1, 5, 1 }, { 1, NAN, 1 }, { NAN, 0, 1 } };
  g_autoptr (GBytes) bytes = g_bytes_new (stored[_i], sizeof stored[_i]);
  g_autoptr (AfpMoments) moments = afp_moments_new (2, FALSE, 9, bytes);
  GError *error = NULL;

  ck_assert_ptr_null (
      afp_feedback_new (moments, 2, 1, 0.01, AFP_FEEDBACK_IMPORTANCE, NULL, &error));
  assert_error (error, AFP_ERROR_CODEC, "moments of 2 inputs", "calibrate anew");
}
END_TEST

static TCase *
all (void)
{
  TCase *tcase = tcase_create ("feedback-tile");
  tcase_add_loop_test (tcase, targets, 0, G_N_ELEMENTS (cases));
  tcase_add_test (tcase, places);
  tcase_add_loop_test (tcase, refusals, 0, G_N_ELEMENTS (refused));
  tcase_add_test (tcase, no_such_order);
  tcase_add_loop_test (tcase, failures, 0, 2);
  tcase_add_loop_test (tcase, useless_moments, 0, 3);
  return tcase;
}

int
main (void)
{
  static TCase *(*const suites[]) (void) = { all };
  test_init ();
  return run_suite ("feedback-tile", suites, G_N_ELEMENTS (suites));
}
