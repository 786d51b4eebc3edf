/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-test.h"

#include <math.h>

static const float x[] = { 1, -2, 0.5f, 3, 7, -1, 0.25f, 2 };
static const float y[] = { 0, -1, 1.5f, 3, 6, -3, 0.5f, 0 };

START_TEST (names_and_strides)
{
  static const char *const names[] = { "none", "scalar", "diagonal", "matrix" };
  for (guint kind = 0; kind < 4; kind++)
    ck_assert_str_eq (afp_metric_kind_name ((AfpMetricKind) kind), names[kind]);
  ck_assert_uint_eq (afp_metric_stride (AFP_METRIC_NONE, 5), 0);
  ck_assert_uint_eq (afp_metric_stride (AFP_METRIC_SCALAR, 5), 1);
  ck_assert_uint_eq (afp_metric_stride (AFP_METRIC_DIAGONAL, 5), 5);
  ck_assert_uint_eq (afp_metric_stride (AFP_METRIC_MATRIX, 5), 25);
  ck_assert_uint_eq (afp_metric_stride (AFP_METRIC_MATRIX, 100000), (gsize) 10000000000);
}
END_TEST

START_TEST (squared)
{
  ck_assert (afp_squared_error (x, y, 0) == 0);
  ck_assert (afp_squared_error (x, y, 3) == 3);
  ck_assert (afp_squared_error (x, x, 8) == 0);
  ck_assert (afp_squared_error (x, y, 8) == 12.0625f);
}
END_TEST

/* Against the sum in double, for every kind, length and place in the run. */
START_TEST (against_the_definition)
{
  for (guint length = 1; length <= 4; length++)
    for (guint kind = 0; kind < 4; kind++) {
      const guint n = 8 / length, stride = (guint) afp_metric_stride ((AfpMetricKind) kind, length);
      g_autofree float *data = test_values (n * stride + 1, kind);
      const AfpMetric metric = { (AfpMetricKind) kind, length, kind ? data : NULL };
      for (guint v = 0; v < n; v++) {
        const float *a = x + v * length, *b = y + v * length, *g = data + v * stride;
        double sum = 0, scale = 1e-9;
        for (guint i = 0; i < length; i++)
          for (guint j = 0; j < length; j++) {
            const double weight = kind == AFP_METRIC_MATRIX     ? g[i * length + j]
                                  : i != j                      ? 0
                                  : kind == AFP_METRIC_DIAGONAL ? g[i]
                                  : kind == AFP_METRIC_SCALAR   ? g[0]
                                                                : 1;
            sum += weight * (a[i] - b[i]) * (a[j] - b[j]);
            scale += fabs (weight * (a[i] - b[i]) * (a[j] - b[j]));
          }
        ck_assert_msg (fabs (afp_metric_error (&metric, v, a, b) - sum) < 1e-6 * scale,
                       "kind %u, length %u", kind, length);
      }
    }
}
END_TEST

START_TEST (no_data_is_needed_for_none)
{
  const AfpMetric metric = { AFP_METRIC_NONE, 8, NULL };
  ck_assert (afp_metric_error (&metric, 0, x, y) == 12.0625f);
  ck_assert (afp_metric_error (&metric, G_MAXSIZE / 2, x, y) == 12.0625f);
}
END_TEST

START_TEST (not_a_number_is_not_hidden)
{
  const float a[2] = { NAN, 0 }, b[2] = { 0, 0 }, g[2] = { 1, 1 };
  const AfpMetric metric = { AFP_METRIC_DIAGONAL, 2, g };
  ck_assert (isnan (afp_squared_error (a, b, 2)));
  ck_assert (isnan (afp_metric_error (&metric, 0, a, b)));
  ck_assert (isinf (afp_squared_error ((const float[]){ 1e30f }, b, 1)));
}
END_TEST

START_TEST (diagonals)
{
  static const float g[] = { 1, 2, 3, 4, 5, 6, 7, 8 }, expected[4][4] = {
    { 1, 1, 1, 1 }, { 2, 2, 3, 3 }, { 3, 4, 5, 6 }, { 5, 8, -1, -1 }
  };
  for (guint kind = 0; kind < 4; kind++) {
    const AfpMetric metric = { (AfpMetricKind) kind, 2, kind ? g : NULL };
    float weights[4] = { -1, -1, -1, -1 };
    afp_metric_read_diagonal (&metric, 1, kind == AFP_METRIC_MATRIX ? 1 : 2, weights);
    ck_assert_mem_eq (weights, expected[kind], sizeof weights);
  }
}
END_TEST

static TCase *
all (void)
{
  TCase *tcase = tcase_create ("metric");
  tcase_add_test (tcase, names_and_strides);
  tcase_add_test (tcase, squared);
  tcase_add_test (tcase, against_the_definition);
  tcase_add_test (tcase, diagonals);
  tcase_add_test (tcase, no_data_is_needed_for_none);
  tcase_add_test (tcase, not_a_number_is_not_hidden);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { all };
  return run_suite ("metric", cases, G_N_ELEMENTS (cases));
}
