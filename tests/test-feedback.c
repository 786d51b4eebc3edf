/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-test.h"

#include "afp-feedback.h"
#include "afp-plan-private.h"

#include <math.h>

/* Errors of a block of columns are fed to those still to come: the sums are written out here. */

#define ALL " min-weights=0 force=true "

/* --- the factor ------------------------------------------------------------------------------------------------------ */

/* H over the mean of its diagonal, damped, as afp-feedback.c takes it; columns beyond it: the damping alone. */
static double *
damped (AfpMoments *moments, guint64 cols, double damping)
{
  const guint64 n = afp_moments_get_size (moments);
  g_autofree float *h = g_new (float, n *n);
  double *out = g_new0 (double, cols *cols), mean = 0;

  afp_moments_read (moments, 0, n, h);
  for (guint64 i = 0; i < n; i++)
    mean += h[i * n + i] / (double) n;
  for (guint64 i = 0; i < cols; i++)
    for (guint64 j = 0; j < cols; j++)
      out[i * cols + j] =
          (i < n && j < n ? h[i * n + j] / (mean > 0 ? mean : 1) : 0) + (i == j ? damping : 0);
  return out;
}

/* e H e^T */
static double
quadratic (const double *h, const double *e, guint64 n)
{
  double sum = 0;

  for (guint64 i = 0; i < n; i++)
    for (guint64 j = 0; j < n; j++)
      sum += e[i] * h[i * n + j] * e[j];
  return sum;
}

/* e U: what each block missed its target by. */
static void
multiply (const AfpFeedback *feedback, const double *e, guint64 n, guint quantum, double *out)
{
  const float *u = afp_feedback_get_factor (feedback);

  for (guint64 j = 0; j < n; j++) {
    out[j] = e[j];
    for (guint64 i = 0; i < j / quantum * quantum; i++)
      out[j] += e[i] * u[i * n + j];
  }
}

/* Sum over the blocks, each under its own metric. */
static double
sum_of_blocks (const AfpFeedback *feedback, const double *missed, guint64 n, guint quantum)
{
  double sum = 0;

  for (guint64 col = 0; col < n; col += quantum) {
    const float *d = afp_feedback_get_metric (feedback, col);
    for (guint i = 0; i < quantum; i++)
      for (guint j = 0; j < quantum; j++)
        sum += missed[col + i] * d[i * quantum + j] * missed[col + j];
  }
  return sum;
}

static const struct {
  guint64 size;
  guint quantum;
} factors[] = { { 1, 1 },  { 2, 1 },   { 5, 2 },   { 12, 12 }, { 64, 4 },
                { 70, 3 }, { 130, 1 }, { 131, 8 }, { 140, 33 } };

/* The error of all is the sum of the errors of blocks, whatever they are. */
START_TEST (sums_of_blocks)
{
  const guint quantum = factors[_i].quantum;
  const guint64 n = (factors[_i].size + quantum - 1) / quantum * quantum;
  g_autoptr (AfpMoments) moments = test_moments (factors[_i].size, FALSE, 7);
  g_autoptr (AfpPool) pool = afp_pool_new (3);
  g_autoptr (AfpFeedback) feedback =
      afp_feedback_new (moments, n, quantum, 0.01, AFP_FEEDBACK_NATURAL, pool, NULL);
  g_autofree double *h = damped (moments, n, 0.01), *e = g_new (double, n),
                    *missed = g_new (double, n);
  g_autofree float *values = test_values (n * 4, 2);

  ck_assert (afp_feedback_get_damping (feedback) == 0.01);
  for (guint r = 0; r < 4; r++) {
    for (guint64 i = 0; i < n; i++)
      e[i] = values[r * n + i];
    multiply (feedback, e, n, quantum, missed);
    const double all = quadratic (h, e, n), sum = sum_of_blocks (feedback, missed, n, quantum);
    ck_assert_msg (fabs (all - sum) < 1e-4 * all, "%g, not %g", sum, all);
  }
}
END_TEST

START_TEST (any_threads_factor)
{
  g_autoptr (AfpMoments) moments = test_moments (200, FALSE, 7);
  g_autoptr (AfpPool) pool = afp_pool_new (5);
  g_autoptr (AfpFeedback) a =
      afp_feedback_new (moments, 200, 8, 0.01, AFP_FEEDBACK_NATURAL, NULL, NULL);
  g_autoptr (AfpFeedback) b =
      afp_feedback_new (moments, 200, 8, 0.01, AFP_FEEDBACK_NATURAL, pool, NULL);

  for (guint64 i = 0; i < 200; i++)
    ck_assert_mem_eq (afp_feedback_get_factor (a) + i * 200 + i,
                      afp_feedback_get_factor (b) + i * 200 + i, (200 - i) * sizeof (float));
  ck_assert_mem_eq (afp_feedback_get_metric (a, 0), afp_feedback_get_metric (b, 0),
                    200 * 8 * sizeof (float));
  ck_assert (afp_feedback_is_of (a, moments, 200, 8, 0.01, AFP_FEEDBACK_NATURAL));
  ck_assert (!afp_feedback_is_of (a, moments, 200, 4, 0.01, AFP_FEEDBACK_NATURAL));
  ck_assert (!afp_feedback_is_of (a, moments, 200, 8, 0.1, AFP_FEEDBACK_NATURAL));
}
END_TEST

static AfpMoments *
moments_of (const float *stored, guint64 size)
{
  g_autoptr (GBytes) bytes = g_bytes_new (stored, size * (size + 1) / 2 * sizeof *stored);

  return afp_moments_new (size, FALSE, 77, bytes);
}

/* No positive definite matrix: more is added until it is one. */
START_TEST (damping_is_raised)
{
  static const struct {
    float stored[3];
    double damping;
  } cases[] = {
    { { 1, 1, 1 }, 0.01 }, { { 1, 1.05f, 1 }, 0.1 }, { { 1, 1.9f, 1 }, 1 },
    { { 0, 0, 0 }, 0.01 }, { { 2, 0, 0 }, 0.01 },    { { 2, 0, -0.05f }, 0.1 },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (AfpMoments) moments = moments_of (cases[i].stored, 2);
    g_autoptr (AfpFeedback) feedback =
        afp_feedback_new (moments, 2, 1, 0.01, AFP_FEEDBACK_NATURAL, NULL, NULL);
    ck_assert_msg (feedback != NULL, "%u", i);
    ck_assert_msg (fabs (afp_feedback_get_damping (feedback) - cases[i].damping) < 1e-9, "%u: %g",
                   i, afp_feedback_get_damping (feedback));
  }
}
END_TEST

static const struct {
  float stored[3];
  const char *word;
} useless[] = {
  { { 1, 5, 1 }, "not positive definite" },   { { 1, -2.5f, 1 }, "from 77 samples" },
  { { 1, NAN, 1 }, "not positive definite" }, { { NAN, 0, 1 }, "sum up to nan" },
  { { 1, 0, INFINITY }, "sum up to inf" },    { { -1, 0, -1 }, "sum up to -2" },
};

START_TEST (useless_moments)
{
  g_autoptr (AfpMoments) moments = moments_of (useless[_i].stored, 2);
  GError *error = NULL;

  ck_assert_ptr_null (afp_feedback_new (moments, 2, 1, 0.01, AFP_FEEDBACK_NATURAL, NULL, &error));
  assert_error (error, AFP_ERROR_CODEC, "moments of 2 inputs", useless[_i].word, "calibrate anew",
                "feedback=false");
}
END_TEST

/* --- planes ---------------------------------------------------------------------------------------------------------- */

static AfpTensor *
run_on (AfpTensor *tensor, const char *text)
{
  test_set_tensors (tensor, NULL);
  return test_run (text, 2);
}

/* tr (E H E^T) */
static double
error_of (AfpTensor *tensor, AfpTensor *out)
{
  AfpSpec *spec = afp_tensor_get_spec (tensor);
  const guint64 rows = afp_spec_get_rows (spec), n = afp_spec_get_cols (spec);
  g_autofree double *h = damped (afp_tensor_get_moments (tensor), n, 0), *e = g_new (double, n);
  g_autofree float *x = test_decode (tensor), *y = test_decode (out);
  double sum = 0;

  for (guint64 r = 0; r < rows; r++) {
    for (guint64 i = 0; i < n; i++)
      e[i] = (double) x[r * n + i] - y[r * n + i];
    sum += quadratic (h, e, n);
  }
  return sum;
}

/* What the rows of @out missed their targets by: rows x n numbers. */
static double *
missed_targets (AfpTensor *tensor, AfpTensor *out, guint quantum, AfpFeedback **feedback)
{
  AfpSpec *spec = afp_tensor_get_spec (tensor);
  const guint64 rows = afp_spec_get_rows (spec), n = afp_spec_get_cols (spec);
  g_autofree float *x = test_decode (tensor), *y = test_decode (out);
  g_autofree double *e = g_new (double, n);
  double *missed = g_new (double, rows *n);

  *feedback = afp_feedback_new (afp_tensor_get_moments (tensor), n, quantum, 0.01,
                                AFP_FEEDBACK_NATURAL, NULL, NULL);
  for (guint64 r = 0; r < rows; r++) {
    for (guint64 i = 0; i < n; i++)
      e[i] = (double) y[r * n + i] - x[r * n + i];
    multiply (*feedback, e, n, quantum, missed + r * n);
  }
  return missed;
}

/* A rounder misses what it was given by half a step at the most: its targets are those of the definition. */
START_TEST (targets)
{
  static const guint quanta[] = { 1, 4, 8, 64 };
  const guint quantum = quanta[_i];
  g_autoptr (AfpTensor) tensor = test_tensor_with_moments ("t", "70x192", FALSE, 3);
  g_autofree char *text =
      g_strdup_printf ("test-q bits=8 scale=none feedback=true quantum=%u" ALL, quantum);
  g_autoptr (AfpTensor) out = run_on (tensor, text);
  g_autoptr (AfpFeedback) feedback = NULL;
  g_autofree double *missed = missed_targets (tensor, out, quantum, &feedback);
  double largest = 0;

  for (guint i = 0; i < 70 * 192; i++)
    largest = MAX (largest, fabs (missed[i]));
  ck_assert_msg (largest < 0.0626 && largest > 0.06, "%g", largest);
}
END_TEST

/* test-pair takes the best level under the metric of its two numbers: of all levels, for the target and D_j. */
START_TEST (metrics)
{
  g_autoptr (AfpTensor) tensor = test_tensor_with_moments ("t", "20x32", FALSE, 4);
  g_autoptr (AfpTensor) out = run_on (tensor, "test-pair feedback=true" ALL);
  g_autoptr (AfpFeedback) feedback = NULL;
  g_autofree double *missed = missed_targets (tensor, out, 2, &feedback);
  g_autofree float *y = test_decode (out);

  for (guint i = 0; i < 20 * 32; i += 2) {
    const float *d = afp_feedback_get_metric (feedback, i % 32);
    const double x[2] = { y[i] - missed[i], y[i + 1] - missed[i + 1] };
    double own = 0, best = INFINITY;
    for (guint level = 0; level < 32; level++) {
      const double e[2] = { copysign (level / 8.0, x[0]) - x[0],
                            copysign (level / 8.0, x[1]) - x[1] };
      const double error = e[0] * (d[0] * e[0] + d[1] * e[1]) + e[1] * (d[2] * e[0] + d[3] * e[1]);
      best = MIN (best, error);
      own = level == (guint) (fabsf (y[i]) * 8) ? error : own;
    }
    must (own <= best + 1e-4);
  }
}
END_TEST

static const struct {
  const char *chain;
  double gain; /* the error without feedback over that with it, at least */
} chains[] = {
  { "test-q bits=4 scale=row %s", 1.5 },
  { "test-q bits=3 quantum=5 %s", 1.3 },
  { "test-q bits=3 scale=none quantum=64 %s", 0.99 },
  { "test-pair %s", 1.2 },
  { "test-q bits=3 quantum=4 order=importance %s", 1.3 },
  { "test-q bits=3 quantum=3 layout=turned order=importance %s", 1.3 },
  { "test-ask block=6 vector=3 %s ! test-q planes=coeffs bits=3 quantum=3", 1.2 },
  { "test-ask block=4 vector=2 metric=matrix %s ! test-pair planes=coeffs", 1.2 },
  { "test-q bits=2 residual=true ! test-q planes=residual bits=3 %s", 1.3 },
};

static char *
make_text (const char *chain, const char *properties)
{
  g_auto (GStrv) parts = g_strsplit (chain, "%s", 2);

  return g_strconcat (parts[0], properties, parts[1], NULL);
}

/* Less error of the outputs, with what is asked, what is left to others, and padding. */
START_TEST (gains)
{
  g_autofree char *with = make_text (chains[_i].chain, "feedback=true"),
                  *without = make_text (chains[_i].chain, "");
  g_autoptr (AfpTensor) tensor = test_tensor_with_moments ("t", "90x131", FALSE, 9);
  g_autoptr (AfpTensor) fed = run_on (tensor, with);
  ck_assert_ptr_nonnull (strstr (test_plan (), "importance and feedback by the moments"));
  g_autoptr (AfpTensor) plain = run_on (tensor, without);
  const double gain = error_of (tensor, plain) / error_of (tensor, fed);

  ck_assert_msg (gain > chains[_i].gain, "%s: %g", with, gain);
}
END_TEST

START_TEST (any_threads)
{
  g_autofree char *text = make_text (chains[_i].chain, "feedback=true importance=off");
  g_autoptr (AfpTensor) a = test_tensor_with_moments ("a", "203x45", FALSE, 9);
  g_autoptr (AfpTensor) b = test_tensor_with_moments ("b", "1x300", FALSE, 10);
  GBytes *first[2] = { NULL };

  test_set_tensors (a, b, NULL);
  for (guint threads = 1; threads <= 5; threads += 2) {
    g_autoptr (AfpTensor) G_GNUC_UNUSED out = test_run (text, threads);
    for (guint t = 0; t < 2; t++) {
      g_autoptr (GBytes) bytes = test_tree_bytes (afp_tensor_get_root (test_output ()->pdata[t]));
      if (!first[t])
        first[t] = g_bytes_ref (bytes);
      ck_assert (g_bytes_equal (bytes, first[t]));
    }
  }
  g_bytes_unref (first[0]);
  g_bytes_unref (first[1]);
}
END_TEST

/* Inputs that never are anything else than zero: their columns are free, and nothing comes of that. */
START_TEST (dead_columns)
{
  g_autoptr (AfpTensor) plain = test_tensor ("t", AFP_DTYPE_F32, "20x30", NULL, 1);
  float stored[30 * 31 / 2] = { 0 };

  for (guint i = 0; _i && i < 30; i += 2)
    stored[i * (i + 1) / 2 + i] = 3;
  g_autoptr (AfpMoments) moments = moments_of (stored, 30);
  g_autoptr (AfpTensor) tensor = afp_tensor_new_with_moments (plain, moments);
  g_autoptr (AfpTensor) out = run_on (tensor, "test-q scale=none bits=7 feedback=true");
  g_autofree float *x = test_decode (tensor), *y = test_decode (out);
  for (guint i = 0; i < 20 * 30; i++)
    must (fabsf (x[i] - y[i]) <= 0.0626f);
}
END_TEST

/* Tensors that share their moments, one that has others, one that has none. */
START_TEST (several_tensors)
{
  g_autoptr (AfpTensor) a = test_tensor_with_moments ("a", "40x30", FALSE, 1);
  g_autoptr (AfpTensor) plain = test_tensor ("b", AFP_DTYPE_F32, "20x30", NULL, 2);
  g_autoptr (AfpTensor) b = afp_tensor_new_with_moments (plain, afp_tensor_get_moments (a));
  g_autoptr (AfpTensor) c = test_tensor_with_moments ("c", "40x20", FALSE, 3);
  g_autoptr (AfpTensor) d = test_tensor ("d", AFP_DTYPE_F32, "40x30", NULL, 1);
  AfpTensor *tensors[] = { a, b, c, d };

  test_set_tensors (a, b, c, d, NULL);
  g_autoptr (AfpTensor) G_GNUC_UNUSED out = test_run ("test-pair feedback=true", 2);
  ck_assert_ptr_nonnull (strstr (test_plan (), "no feedback: the tensor has no moments"));
  g_autoptr (GPtrArray) together =
      g_ptr_array_new_with_free_func ((GDestroyNotify) afp_tensor_unref);
  for (guint i = 0; i < 4; i++)
    g_ptr_array_add (together, afp_tensor_ref (test_output ()->pdata[i]));
  for (guint i = 0; i < 4; i++) {
    g_autoptr (AfpTensor) alone =
        run_on (tensors[i], i < 3 ? "test-pair feedback=true" : "test-pair");
    g_autoptr (GBytes) x = test_tree_bytes (afp_tensor_get_root (alone));
    g_autoptr (GBytes) y = test_tree_bytes (afp_tensor_get_root (together->pdata[i]));
    ck_assert (g_bytes_equal (x, y));
  }
}
END_TEST

/* --- memory ---------------------------------------------------------------------------------------------------------- */

/* The largest factor stands while other tensors pass; each thread has the targets of a batch. */
START_TEST (memory)
{
  g_autoptr (AfpTensor) a = test_tensor_with_moments ("a", "40x60", FALSE, 1);
  g_autoptr (AfpTensor) b = test_tensor_with_moments ("b", "40x30", FALSE, 2);
  GError *error = NULL;

  test_set_tensors (a, b, NULL);
  g_autoptr (AfpPipeline) pipeline =
      afp_pipeline_new_from_text ("test-source ! test-pair feedback=true ! test-sink", &error);
  AfpPlan *plan = afp_pipeline_plan (pipeline, &error);
  ck_assert_ptr_nonnull (plan);
  ck_assert_uint_eq (plan->standing, (60 + 2) * 60 * sizeof (float));
  ck_assert_uint_eq (afp_feedback_get_tile_bytes (64, 4), 64 * (128 + 4 + 16) * sizeof (float));
  ck_assert_uint_eq (afp_feedback_get_tile_bytes (64, 100),
                     64 * (100 + 100 + 100) * sizeof (float));
}
END_TEST

/* --- refusals --------------------------------------------------------------------------------------------------------- */

static const struct {
  const char *text;
  gboolean diagonal, none;
  const char *word, *other;
} refused[] = {
  { "test-q feedback=true", TRUE, FALSE, "diagonal=false on calibrate", "'layer'" },
  { "test-pair feedback=true", TRUE, FALSE, "exclude=layer", "whole matrix" },
  { "test-q feedback=true layout=flat", FALSE, FALSE, "layout=row", "cross rows" },
  { "test-q residual=true layout=flat quantum=5 ! test-q planes=residual layout=flat feedback=true",
    FALSE, FALSE, "blocks of 1", "exclude=layer" },
  { "test-q feedback=true", FALSE, TRUE, "put calibrate text=FILE", "test-q0" },
  { "test-flip ! test-q planes=weight feedback=true", FALSE, FALSE, "second moments",
    "any of the 1 planes" },
};

START_TEST (refusals)
{
  g_autoptr (AfpTensor) plain = test_tensor ("layer", AFP_DTYPE_F32, "20x30", NULL, 1);
  g_autoptr (AfpTensor) tensor =
      test_tensor_with_moments ("layer", "20x30", refused[_i].diagonal, 1);
  GError *error = NULL;

  test_set_tensors (refused[_i].none ? plain : tensor, NULL);
  ck_assert (!test_try (refused[_i].text, 2, &error));
  assert_error (error, AFP_ERROR_PLAN, refused[_i].word, refused[_i].other, "feedback=");
  ck_assert_uint_eq (test_output ()->len, 0);
}
END_TEST

/* What fails in the middle of a tile, and what cannot be fed back. */
START_TEST (failures)
{
  static const struct {
    const char *text, *word;
    int code;
  } cases[] = {
    { "test-fail in=encode feedback=true", "test-fail fails in encode", AFP_ERROR_CODEC },
    { "test-fail in=encode row=199 feedback=true", "test-fail fails in encode", AFP_ERROR_CODEC },
    { "test-fail in=decode feedback=true", "test-fail fails in decode", AFP_ERROR_FORMAT },
    { "test-fail in=fit feedback=true", "test-fail fails in fit", AFP_ERROR_CODEC },
  };
  g_autoptr (AfpTensor) tensor = test_tensor_with_moments ("layer.7", "200x70", FALSE, 1);
  GError *error = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    for (guint threads = 1; threads <= 3; threads += 2) {
      test_set_tensors (tensor, NULL);
      ck_assert_msg (!test_try (cases[i].text, threads, &error), "%s", cases[i].text);
      assert_error (error, cases[i].code, cases[i].word, "layer.7");
    }
}
END_TEST

START_TEST (damaged_moments)
{
  g_autoptr (AfpTensor) plain = test_tensor ("layer.7", AFP_DTYPE_F32, "200x2", NULL, 1);
  g_autoptr (AfpMoments) moments = moments_of (useless[_i].stored, 2);
  g_autoptr (AfpTensor) tensor = afp_tensor_new_with_moments (plain, moments);
  GError *error = NULL;

  test_set_tensors (tensor, NULL);
  ck_assert (!test_try ("test-q feedback=true", 2, &error));
  assert_error (error, AFP_ERROR_CODEC, "layer.7/weight", useless[_i].word);
}
END_TEST

static TCase *
all (void)
{
  TCase *tcase = tcase_create ("feedback");
  tcase_add_loop_test (tcase, sums_of_blocks, 0, G_N_ELEMENTS (factors));
  tcase_add_test (tcase, any_threads_factor);
  tcase_add_test (tcase, damping_is_raised);
  tcase_add_loop_test (tcase, useless_moments, 0, G_N_ELEMENTS (useless));
  tcase_add_loop_test (tcase, targets, 0, 4);
  tcase_add_test (tcase, metrics);
  tcase_add_loop_test (tcase, gains, 0, G_N_ELEMENTS (chains));
  tcase_add_loop_test (tcase, any_threads, 0, G_N_ELEMENTS (chains));
  tcase_add_loop_test (tcase, dead_columns, 0, 2);
  tcase_add_test (tcase, several_tensors);
  tcase_add_test (tcase, memory);
  tcase_add_loop_test (tcase, refusals, 0, G_N_ELEMENTS (refused));
  tcase_add_test (tcase, failures);
  tcase_add_loop_test (tcase, damaged_moments, 0, G_N_ELEMENTS (useless));
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { all };
  test_init ();
  return run_suite ("feedback", cases, G_N_ELEMENTS (cases));
}
