/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-test.h"

#include "afp-feedback-kernel.h"

#include <math.h>

#define STRIDE 90u

static const guint sizes[] = { 1, 2, 3, 7, 16, 33, 64, 77 };

/* A product of a matrix and its transpose, and something on the diagonal: STRIDE numbers a row. */
static float *
make_definite (guint n, guint64 seed)
{
  g_autofree float *x = test_values (n * n, seed);
  float *h = g_new0 (float, STRIDE *STRIDE);

  for (guint i = 0; i < n; i++)
    for (guint j = 0; j < n; j++) {
      double sum = i == j ? 0.1 * n : 0;
      for (guint k = 0; k < n; k++)
        sum += (double) x[i * n + k] * x[j * n + k];
      h[i * STRIDE + j] = (float) sum / (float) n;
    }
  return h;
}

static void
assert_near (double got, double expected, double scale)
{
  if (!(fabs (got - expected) <= 1e-5 * scale))
    ck_abort_msg ("%.9g, not %.9g", got, expected);
}

/* --- products -------------------------------------------------------------------------------------------------------- */

/* Every edge of the tiles; what is around the result stays. */
START_TEST (products)
{
  g_autofree float *a = test_values (STRIDE * STRIDE, 1), *b = test_values (STRIDE * STRIDE, 2),
                   *c = test_values (STRIDE * STRIDE, 3), *out = g_new (float, STRIDE *STRIDE);

  for (guint rows = 0; rows < 10; rows += 3)
    for (guint cols = 0; cols < 40; cols += 7)
      for (guint depth = 0; depth < 20; depth += 9) {
        memcpy (out, c, STRIDE * STRIDE * sizeof *out);
        afp_feedback_add_product (out, STRIDE, rows, cols, a, STRIDE, depth, b, STRIDE);
        for (guint i = 0; i < 12; i++)
          for (guint j = 0; j < 45; j++) {
            float sum = c[i * STRIDE + j];
            for (guint k = 0; k < depth && i < rows && j < cols; k++)
              sum += a[i * STRIDE + k] * b[k * STRIDE + j];
            must (out[i * STRIDE + j] == sum);
          }
      }
}
END_TEST

/* However the work is cut, and on every instruction set, the bits are the same. */
START_TEST (same_bits)
{
  g_autofree float *a = test_values (STRIDE * STRIDE, 1), *b = test_values (STRIDE * STRIDE, 2);
  g_autofree float *whole = test_values (STRIDE * STRIDE, 3),
                   *cut = g_memdup2 (whole, STRIDE * STRIDE * sizeof *whole);

  afp_feedback_add_product (whole, STRIDE, 61, 83, a, STRIDE, 50, b, STRIDE);
  for (guint j = 0; j < 83; j += 9)
    afp_feedback_add_product_portable (cut + j, STRIDE, 61, MIN (9, 83 - j), a, STRIDE, 50, b + j,
                                       STRIDE);
  ck_assert_mem_eq (whole, cut, STRIDE * STRIDE * sizeof *whole);
}
END_TEST

START_TEST (transposed)
{
  g_autofree float *a = test_values (STRIDE * STRIDE, 1), *out = g_new0 (float, STRIDE *STRIDE);

  afp_feedback_transpose (a, STRIDE, 5, 9, out, 7);
  for (guint i = 0; i < 5; i++)
    for (guint j = 0; j < 9; j++)
      must (out[j * 7 + i] == -a[i * STRIDE + j]);
  must (out[5] == 0 && out[8 * 7 + 5] == 0);
}
END_TEST

/* --- triangles ------------------------------------------------------------------------------------------------------- */

START_TEST (factors)
{
  const guint n = sizes[_i];
  g_autofree float *h = make_definite (n, n), *r = g_memdup2 (h, STRIDE * STRIDE * sizeof *h);
  g_autofree float *square = g_new (float, n *n);

  ck_assert (afp_feedback_factor (r, STRIDE, n));
  afp_feedback_square (r, STRIDE, n, square);
  for (guint i = 0; i < n; i++) {
    must (r[i * STRIDE + i] > 0);
    for (guint j = 0; j < n; j++) {
      double sum = 0;
      for (guint k = MAX (i, j); k < n; k++)
        sum += (double) r[i * STRIDE + k] * r[j * STRIDE + k];
      assert_near (sum, h[i * STRIDE + j], 1);
      assert_near (square[i * n + j], sum, 1);
      must (j >= i || r[i * STRIDE + j] == h[i * STRIDE + j]); /* below it is left alone */
    }
  }
}
END_TEST

/* y R^T = x, and y R = x */
START_TEST (solutions)
{
  const guint n = sizes[_i], rows = 5;
  g_autofree float *r = make_definite (n, n), *x = test_values (STRIDE * rows, 8);
  g_autofree float *y = g_memdup2 (x, STRIDE * rows * sizeof *x),
                   *z = g_memdup2 (x, STRIDE * rows * sizeof *x);

  ck_assert (afp_feedback_factor (r, STRIDE, n));
  afp_feedback_solve (y, STRIDE, rows, r, STRIDE, n);
  afp_feedback_divide (z, STRIDE, rows, r, STRIDE, n);
  for (guint i = 0; i < rows; i++)
    for (guint j = 0; j < STRIDE; j++) {
      double a = 0, b = 0;
      for (guint k = 0; k < n && j < n; k++) {
        a += k >= j ? (double) y[i * STRIDE + k] * r[j * STRIDE + k] : 0;
        b += k <= j ? (double) z[i * STRIDE + k] * r[k * STRIDE + j] : 0;
      }
      assert_near (j < n ? a : y[i * STRIDE + j], x[i * STRIDE + j], 10);
      assert_near (j < n ? b : z[i * STRIDE + j], x[i * STRIDE + j], 10);
    }
}
END_TEST

/* --- what has no factor ---------------------------------------------------------------------------------------------- */

static const struct {
  guint n, at; /* which number is replaced */
  float value;
} indefinite[] = {
  { 1, 0, 0 },
  { 1, 0, -1 },
  { 7, 6 * STRIDE + 6, 0 },
  { 7, 6 * STRIDE + 6, NAN },
  { 7, 0, -1 },
  { 7, 0, NAN },
  { 33, 32 * STRIDE + 32, INFINITY },
  { 33, 3 * STRIDE + 17, 100 }, /* more than the diagonal allows */
  { 33, 3 * STRIDE + 17, NAN },
  { 33, 31 * STRIDE + 32, -100 },
  { 77, 5 * STRIDE + 5, 0 },
};

START_TEST (no_factor)
{
  const guint n = indefinite[_i].n;
  g_autofree float *h = make_definite (n, 4);

  h[indefinite[_i].at] = indefinite[_i].value;
  ck_assert (!afp_feedback_factor (h, STRIDE, n));
}
END_TEST

/* Rank 1 of 2 */
START_TEST (singular)
{
  float h[] = { 1, 2, 2, 4 };

  ck_assert (!afp_feedback_factor (h, 2, 2));
  ck_assert (afp_feedback_factor (h, 2, 0)); /* of nothing there is one */
}
END_TEST

static TCase *
all (void)
{
  TCase *tcase = tcase_create ("feedback-kernel");
  tcase_add_test (tcase, products);
  tcase_add_test (tcase, same_bits);
  tcase_add_test (tcase, transposed);
  tcase_add_loop_test (tcase, factors, 0, G_N_ELEMENTS (sizes));
  tcase_add_loop_test (tcase, solutions, 0, G_N_ELEMENTS (sizes));
  tcase_add_loop_test (tcase, no_factor, 0, G_N_ELEMENTS (indefinite));
  tcase_add_test (tcase, singular);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { all };
  return run_suite ("feedback-kernel", cases, G_N_ELEMENTS (cases));
}
