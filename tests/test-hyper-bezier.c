/* SPDX-License-Identifier: LGPL-2.1-or-later */
#define CODEC "hyper"
#include "afp-test.h"
#include "codec-test.h"
#include "flow/synth-kernel.h"
#include "hyper/hyper-bezier-kernel.h"

/* hyper trajectory=bezier: the curve (hyper-bezier-kernel), and the plugin. */

#define BEZIER "trajectory=bezier "
#define HYPER "hyper min-weights=0 min-dims=0 force=true " BEZIER

/* --- the curve --- */

START_TEST (levels_by_hand)
{
  static const struct {
    HyperBezier curve;
    float controls[5], levels[5];
  } cases[] = {
    { { 1, 1, 5 }, { 1, 3 }, { 1, 1.5f, 2, 2.5f, 3 } },
    { { 2, 1, 5 }, { 0, 1, 4 }, { 0, 0.625f, 1.5f, 2.625f, 4 } },
    { { 1, 2, 5 }, { 0, 1, 3 }, { 0, 0.5f, 1, 2, 3 } },
    { { 2, 2, 5 }, { 0, 0, 1, 2, 5 }, { 0, 0.25f, 1, 2.5f, 5 } },
    { { 3, 1, 2 }, { -7, 9, 9, 8 }, { -7, 8 } },
  };
  float levels[5];

  hyper_bezier_levels (&cases[_i].curve, cases[_i].controls, levels);
  ck_assert_mem_eq (levels, cases[_i].levels, cases[_i].curve.n_points * sizeof *levels);
}
END_TEST

/* Numbers at their nearest positions; returns the mean of the (weighted) squared errors. */
static double
code_error (const HyperBezier *curve, const float *controls, const float *x, const float *w,
            gsize n)
{
  float levels[HYPER_BEZIER_MAX_POINTS], edges[HYPER_BEZIER_MAX_POINTS];
  guint32 order[HYPER_BEZIER_MAX_POINTS];
  g_autofree guint32 *positions = g_new (guint32, n);
  g_autofree float *y = g_new (float, n);
  double sum = 0;

  hyper_bezier_levels (curve, controls, levels);
  hyper_bezier_edges (curve->n_points, levels, edges, order);
  hyper_bezier_encode (curve->n_points, edges, order, x, n, positions);
  ck_assert_uint_eq (hyper_bezier_decode (curve->n_points, levels, positions, n, y), n);
  for (gsize i = 0; i < n; i++)
    sum += (w ? (double) w[i] : 1) * ((double) x[i] - y[i]) * ((double) x[i] - y[i]);
  return sum / (double) n;
}

static void
fit (const HyperBezier *curve, const float *x, const float *w, gsize n, float *controls)
{
  g_autofree gpointer scratch = g_malloc (hyper_bezier_scratch_bytes (curve, n));

  hyper_bezier_fit (curve, x, w, n, scratch, controls);
}

/*
 * The published errors of the best quantizers for normal numbers (Max 1960: any levels, and levels at equal distances), and for Laplace
 * numbers: a straight line is the one, enough control points the other.
 */
START_TEST (published_errors)
{
  static const struct {
    SynthDistribution distribution;
    HyperBezier curve;
    double error, tolerance;
  } cases[] = {
    { SYNTH_NORMAL, { 1, 1, 4 }, 0.1188, 0.01 },    { SYNTH_NORMAL, { 1, 1, 8 }, 0.03744, 0.01 },
    { SYNTH_NORMAL, { 1, 1, 16 }, 0.01154, 0.02 },  { SYNTH_NORMAL, { 3, 1, 4 }, 0.1175, 0.01 },
    { SYNTH_NORMAL, { 5, 1, 8 }, 0.03454, 0.01 },   { SYNTH_NORMAL, { 5, 1, 16 }, 0.009497, 0.02 },
    { SYNTH_NORMAL, { 3, 4, 16 }, 0.009497, 0.01 }, { SYNTH_LAPLACE, { 3, 2, 4 }, 0.1762, 0.02 },
    { SYNTH_LAPLACE, { 5, 2, 8 }, 0.0545, 0.02 },
  };
  enum { N = 1 << 17 };
  g_autofree float *x = g_new (float, N);
  float controls[HYPER_BEZIER_MAX_CONTROLS];
  double square = 0;

  synth_fill (cases[_i].distribution, 5, 1, 0, N, x);
  for (gsize i = 0; i < N; i++)
    square += x[i] * (double) x[i] / N;
  fit (&cases[_i].curve, x, NULL, N, controls);
  const double error = code_error (&cases[_i].curve, controls, x, NULL, N) / square;
  ck_assert_double_eq_tol (error, cases[_i].error, cases[_i].error * cases[_i].tolerance);
}
END_TEST

static int
compare_floats (const void *a, const void *b)
{
  const float x = *(const float *) a, y = *(const float *) b;

  return (x > y) - (x < y);
}

/*
 * Why the numbers are sorted: p control points fitted to n numbers in the order in which they are stored explain p / n of their energy,
 * and each costs as much as a number. The same numbers sorted lie on the curve.
 */
START_TEST (curves_in_storage_order_are_worthless)
{
  enum { N = 4096 };
  const HyperBezier curve = { 4, 32, N };
  const double p = hyper_bezier_controls (&curve);
  g_autofree float *x = g_new (float, N), *y = g_new (float, N);
  g_autofree double *ones = g_new (double, N), *targets = g_new (double, N);
  double controls[HYPER_BEZIER_MAX_CONTROLS] = { 0 }, left[2] = { 0, 0 }, energy = 0;
  float rounded[HYPER_BEZIER_MAX_CONTROLS];

  synth_fill (SYNTH_NORMAL, 5, 2, 0, N, x);
  for (guint sorted = 0; sorted < 2; sorted++) {
    if (sorted)
      qsort (x, N, sizeof *x, compare_floats);
    for (guint i = 0; i < N; i++) {
      ones[i] = 1;
      targets[i] = (double) x[i];
      energy += sorted ? 0 : (double) x[i] * x[i];
    }
    hyper_bezier_solve (&curve, ones, targets, FALSE, controls);
    for (guint i = 0; i < p; i++)
      rounded[i] = (float) controls[i];
    hyper_bezier_levels (&curve, rounded, y);
    for (guint i = 0; i < N; i++)
      left[sorted] += ((double) x[i] - y[i]) * ((double) x[i] - y[i]);
  }
  ck_assert_double_eq_tol (1 - left[0] / energy, p / N, 0.015); /* 0.0315 */
  ck_assert_double_le (left[1] / energy, 0.001);
}
END_TEST

/* Two heaps, between which a curve of high degree would swing. */
START_TEST (never_falls)
{
  enum { N = 4000 };
  const HyperBezier curve = { (guint) _i, 3, 32 };
  g_autofree float *x = test_values (N, 3);
  float controls[HYPER_BEZIER_MAX_CONTROLS];

  for (guint i = 0; i < N; i++)
    x[i] = x[i] * 0.01f + (i % 3 ? 1 : -1);
  fit (&curve, x, NULL, N, controls);
  for (guint i = 1; i < hyper_bezier_controls (&curve); i++)
    ck_assert_float_ge (controls[i], controls[i - 1]);
  ck_assert_double_le (code_error (&curve, controls, x, NULL, N), 1e-4);
}
END_TEST

/* Levels in any order, as a coder of the control points may leave them. */
START_TEST (nearest_of_all)
{
  static const guint sizes[] = { 2, 5, 32, 33, 100 };
  const guint n_points = sizes[_i];
  g_autofree float *x = test_values (1000, 1), *levels = test_values (n_points, 2);
  float edges[100];
  guint32 order[100], positions[1000];

  hyper_bezier_edges (n_points, levels, edges, order);
  hyper_bezier_encode (n_points, edges, order, x, 1000, positions);
  for (guint i = 0; i < 1000; i++)
    for (guint j = 0; j < n_points; j++)
      ck_assert_float_le (fabsf (x[i] - levels[positions[i]]), fabsf (x[i] - levels[j]) + 1e-6f);
}
END_TEST

START_TEST (weights_count)
{
  enum { N = 4096 };
  const HyperBezier curve = { 3, 1, 8 };
  g_autofree float *x = test_values (N, 4), *w = g_new (float, N);
  float with[4], without[4];

  for (guint i = 0; i < N; i++)
    w[i] = x[i] > 1 ? 100 : 1;
  fit (&curve, x, w, N, with);
  fit (&curve, x, NULL, N, without);
  ck_assert_double_lt (code_error (&curve, with, x, w, N),
                       0.5 * code_error (&curve, without, x, w, N));
}
END_TEST

/* Nothing, one number, all the same, no weight at all, huge and next to nothing: control points are finite and among the numbers. */
START_TEST (odd_numbers)
{
  static const struct {
    float x[4];
    gsize n;
    gboolean weightless;
  } cases[] = { { { 0 }, 0, FALSE },
                { { 3 }, 1, FALSE },
                { { 7, 7, 7, 7 }, 4, FALSE },
                { { 1, 2, 3, 4 }, 4, TRUE },
                { { 3e38f, -3e38f, 1e38f, 0 }, 4, FALSE },
                { { 1e-44f, -1e-44f, 0, 0 }, 4, FALSE } };
  const HyperBezier curve = { 5, 2, 16 };
  const float none[4] = { 0 };
  float controls[HYPER_BEZIER_MAX_CONTROLS], low = 0, high = 0;

  fit (&curve, cases[_i].x, cases[_i].weightless ? none : NULL, cases[_i].n, controls);
  for (gsize i = 0; i < cases[_i].n; i++) {
    low = i ? fminf (low, cases[_i].x[i]) : cases[_i].x[i];
    high = i ? fmaxf (high, cases[_i].x[i]) : cases[_i].x[i];
  }
  for (guint i = 0; i < hyper_bezier_controls (&curve); i++)
    ck_assert (controls[i] >= low - fabsf (low) / 1000 &&
               controls[i] <= high + fabsf (high) / 1000);
}
END_TEST

START_TEST (positions_out_of_range)
{
  static const float levels[3] = { 1, 2, 3 };
  static const guint32 positions[4] = { 0, 2, 3, 1 };
  float out[4] = { 0 };

  ck_assert_uint_eq (hyper_bezier_decode (3, levels, positions, 4, out), 2);
  ck_assert_uint_eq (hyper_bezier_decode (4, (const float[4]){ 0 }, positions, 4, out), 4);
}
END_TEST

/* --- the plugin --- */

START_TEST (layouts)
{
  static const struct {
    const char *call, *params;
    guint bits, curves, controls;
  } cases[] = {
    { BEZIER, "points=16,trajectory=bezier,frame=tensor,frame-size=auto,degree=5,segments=1", 4, 1,
      6 },
    { BEZIER "bits=3 degree=3 segments=2 frame=row",
      "points=8,trajectory=bezier,frame=row,frame-size=auto,degree=3,segments=2", 3, 6, 7 },
    { BEZIER "U=5 frame=group degree=2",
      "points=5,trajectory=bezier,frame=group,frame-size=256,degree=2,segments=1", 3, 12, 3 },
    { BEZIER "bits=2.33 join=3",
      "points=5,trajectory=bezier,join=3,frame=tensor,frame-size=auto,degree=5,segments=1", 7, 1,
      6 },
    { BEZIER "bits=12",
      "points=4096,trajectory=bezier,frame=tensor,frame-size=auto,degree=5,segments=1", 12, 1, 6 },
  };
  const AfpPlaneDesc desc = make_desc (AFP_KIND_WEIGHT, 6, 300, 0, AFP_METRIC_NONE);
  g_autoptr (AfpClaim) claim = make_claim (cases[_i].call, &desc);
  const AfpLayout *layout = afp_claim_get_layout (claim);
  g_autofree char *params = afp_layout_get_params (layout);

  ck_assert_str_eq (params, cases[_i].params);
  ck_assert_uint_eq (afp_layout_get_child (layout, 0)->bits, cases[_i].bits);
  ck_assert_uint_eq (afp_layout_get_child (layout, 1)->rows, cases[_i].curves);
  ck_assert_uint_eq (afp_layout_get_child (layout, 1)->cols, cases[_i].controls);
}
END_TEST

/* All shapes and frames, joined or not; the same bytes for any number of threads. */
START_TEST (normal_numbers)
{
  static const char *const shapes[] = { "64x64", "33x31", "1x3", "1x1" };
  static const gsize sizes[] = { 4096, 1023, 3, 1 };
  static const char *const calls[] = { HYPER "bits=3", HYPER "U=8 join=3",
                                       HYPER "bits=3 frame=row degree=3",
                                       HYPER "bits=3 frame=group frame-size=24 degree=3",
                                       HYPER "bits=5.5" };
  for (guint s = 0; s < G_N_ELEMENTS (shapes); s++) {
    g_autoptr (AfpTensor) input = test_tensor ("w", AFP_DTYPE_F32, shapes[s], NULL, 3);
    test_set_tensors (input, NULL);
    g_autofree float *x = test_values (sizes[s], 3);
    g_autoptr (AfpTensor) one = test_run (calls[_i], 1), three = test_run (calls[_i], 3);
    g_autoptr (GBytes) a = test_tree_bytes (afp_tensor_get_root (one)),
                       b = test_tree_bytes (afp_tensor_get_root (three));
    ck_assert (g_bytes_equal (a, b));
    g_autofree float *y = test_decode (one);
    ck_assert_double_le (test_nmse (x, y, sizes[s]), _i == 4 ? 0.0016 : 0.037);
  }
}
END_TEST

/* Rows of different size: a curve for each row, or each group, is better than one. */
START_TEST (frames_follow_rows)
{
  const AfpPlaneDesc desc = make_desc (AFP_KIND_WEIGHT, 16, 512, 0, AFP_METRIC_NONE);
  static const char *const calls[] = { BEZIER "bits=3", BEZIER "bits=3 frame=row",
                                       BEZIER "bits=3 frame=group frame-size=200" };
  double nmse[3];

  for (guint i = 0; i < 3; i++) {
    Coded coded;
    coded_init (&coded, calls[i], &desc, TRUE, NULL);
    nmse[i] = coded_nmse (&coded);
    coded_clear (&coded);
  }
  ck_assert_double_le (nmse[1], 0.0346);
  ck_assert_double_lt (nmse[1], 0.8 * nmse[0]);
  ck_assert_double_lt (nmse[2], nmse[1]);
}
END_TEST

/* With importance and with feedback, for one curve and for those of rows. */
START_TEST (with_moments)
{
  static const char *const calls[] = { HYPER "bits=4", HYPER "bits=4 feedback=true",
                                       HYPER "bits=4 frame=row degree=3",
                                       HYPER "bits=4 frame=row degree=3 feedback=true" };
  g_autoptr (AfpTensor) input = test_tensor_with_moments ("w", "16x48", FALSE, 4);
  test_set_tensors (input, NULL);
  g_autofree float *x = test_values (16 * 48, 4);
  g_autoptr (AfpTensor) tensor = test_run (calls[_i], 2);
  g_autofree float *y = test_decode (tensor);
  ck_assert_double_le (test_nmse (x, y, 16 * 48), 0.05);
}
END_TEST

START_TEST (answers_queries)
{
  const AfpPlaneDesc desc = make_desc (AFP_KIND_COEFFS, 64, 6, 6, AFP_METRIC_NONE);
  GError *error = NULL;
  g_autoptr (AfpClaim) claim = make_claim (_i ? BEZIER "U=11 join=2" : BEZIER, &desc);
  g_autoptr (AfpQuantizer) quantizer = afp_quantizer_new (claim, "t/p", NULL, &error);
  g_autofree float *x = test_values (384, 2);
  float y[384], again[384];

  ck_assert_msg (quantizer != NULL, "%s", error ? error->message : "");
  ck_assert (afp_quantizer_fit (quantizer, x, 64, NULL, &error));
  ck_assert (afp_quantizer_quantize (quantizer, x, 64, NULL, NULL, y, NULL, &error));
  ck_assert_double_le (test_nmse (x, y, 384), _i ? 0.022 : 0.0105);
  ck_assert (afp_quantizer_quantize (quantizer, y, 64, NULL, NULL, again, NULL, &error));
  ck_assert_mem_eq (y, again, sizeof y);
}
END_TEST

/* --- what is refused --- */

START_TEST (refuses)
{
  static const struct {
    const char *call, *one, *two;
  } cases[] = {
    { HYPER "points=1", "1 positions on a curve", "2 to 4096" },
    { HYPER "points=5000", "5000 positions", "2 to 4096" },
    { HYPER "bits=0.5", "1 positions", "from 1 to 12" },
    { HYPER "bits=4 points=16", "bits=4 and points=16", "leave one of them out" },
    { HYPER "classes=2", "classes=2", "leave it out" },
    { HYPER "join=8 bits=5", "do not go into 32 bits", "join at most 6" },
    { HYPER "join=2 frame=row", "join=2 needs frame=tensor", "set join=1" },
    { "hyper degree=9", "degree", "1..8" },
    { "hyper segments=65", "segments", "1..64" },
    { HYPER "bits=0.05", "bits=0.05", "0.1 to 12" },
  };

  test_refuses (cases[_i].call, "8x8", cases[_i].one, cases[_i].two);
}
END_TEST

static gboolean
decode_by_hand (const guint8 *positions, const float *curves, float *out, GError **error)
{
  Leaf leaves[] = { { "weight/positions", positions, 2 },
                    { "weight/curves/codes", (const guint8 *) curves, 6 * sizeof (float) },
                    { NULL, NULL, 0 } };
  g_autoptr (AfpMatrix) matrix = open_recipe (
      "weight=hyper/3(points=5,trajectory=bezier,frame=row,frame-size=auto,degree=2,segments=1)"
      "{positions,curves=raw32/1{codes}}",
      2, 2, leaves, error);

  return matrix && afp_matrix_read (matrix, 0, 2, 0, 2, out, error);
}

START_TEST (planes_by_hand)
{
  static const guint8 positions[2] = { 1 | 2 << 3 | (3 << 6 & 0xff), 3 >> 2 | 4 << 1 };
  const float curves[6] = { 0, 1, 4, -4, -2, 4 }, expected[4] = { 0.625f, 1.5f, 1.25f, 4 };
  float out[4];
  GError *error = NULL;

  ck_assert_msg (decode_by_hand (positions, curves, out, &error), "%s",
                 error ? error->message : "");
  ck_assert_mem_eq (out, expected, sizeof out);
}
END_TEST

START_TEST (damaged_planes)
{
  static const guint8 good[2] = { 0, 0 }, bad[2] = { 0, 5 << 1 };
  const float curves[6] = { 0, 1, 4, -4, -2, 4 };
  float damaged[6], out[4];
  GError *error = NULL;

  ck_assert (!decode_by_hand (bad, curves, out, &error));
  assert_error (error, AFP_ERROR_FORMAT, "position 5 at row 1, column 1", "is not below 5",
                "'positions' is damaged");
  g_clear_error (&error);
  memcpy (damaged, curves, sizeof damaged);
  damaged[4] = NAN;
  ck_assert (!decode_by_hand (good, damaged, out, &error));
  assert_error (error, AFP_ERROR_FORMAT, "control point 1 of curve 1", "not finite",
                "'curves' is damaged");
}
END_TEST

static TCase *
curve_case (void)
{
  TCase *tcase = tcase_create ("curve");

  tcase_add_loop_test (tcase, levels_by_hand, 0, 5);
  tcase_add_loop_test (tcase, published_errors, 0, 9);
  tcase_add_test (tcase, curves_in_storage_order_are_worthless);
  tcase_add_loop_test (tcase, never_falls, 1, 9);
  tcase_add_loop_test (tcase, nearest_of_all, 0, 5);
  tcase_add_test (tcase, weights_count);
  tcase_add_loop_test (tcase, odd_numbers, 0, 6);
  tcase_add_test (tcase, positions_out_of_range);
  return tcase;
}

static TCase *
plugin_case (void)
{
  TCase *tcase = tcase_create ("plugin");

  tcase_add_loop_test (tcase, layouts, 0, 5);
  tcase_add_loop_test (tcase, normal_numbers, 0, 5);
  tcase_add_test (tcase, frames_follow_rows);
  tcase_add_loop_test (tcase, with_moments, 0, 4);
  tcase_add_loop_test (tcase, answers_queries, 0, 2);
  tcase_add_test (tcase, planes_by_hand);
  return tcase;
}

static TCase *
bad_case (void)
{
  TCase *tcase = tcase_create ("refused");

  tcase_add_loop_test (tcase, refuses, 0, 10);
  tcase_add_test (tcase, damaged_planes);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { curve_case, plugin_case, bad_case };

  test_init ();
  return run_suite ("hyper-bezier", cases, G_N_ELEMENTS (cases));
}
