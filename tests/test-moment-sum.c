/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "moment-sum.h"

#include "afp-test.h"

#include <math.h>

static const guint64 sizes[] = { 1, 3, 63, 64, 65, 130, 192 };

/* The sum of x x^T in a plain loop: what row @i and column @j of the mean are. */
static double
plain (const float *x, gsize n, gsize size, gsize i, gsize j)
{
  double sum = 0;

  for (gsize t = 0; t < n; t++)
    sum += (double) x[t * size + i] * x[t * size + j];
  return sum;
}

static void
add (AfpMomentSum *sum, gsize n, const float *x, AfpPool *pool)
{
  GError *error = NULL;

  ck_assert (afp_moment_sum_add (sum, n, x, pool, &error));
}

static float *
get_mean (const AfpMomentSum *sum, guint64 size, gboolean diagonal)
{
  float *mean = g_new (float, afp_moments_n_stored (size, diagonal) + 1);

  afp_moment_sum_get_mean (sum, mean);
  return mean;
}

/* What is stored is a float: as near to the double as one can be. */
static void
check_mean (const float *mean, const float *x, gsize n, gsize size, gboolean diagonal)
{
  for (gsize i = 0; i < size; i++)
    for (gsize j = diagonal ? i : 0; j <= i; j++) {
      const double expected = plain (x, n, size, i, j) / (double) n;
      must (fabs (*mean++ - expected) <= 1.2e-7 * fabs (expected) + 1e-12);
    }
}

START_TEST (as_a_plain_loop)
{
  const gsize size = (gsize) sizes[_i], n = 700;
  g_autofree float *x = test_values (n * size, 5);

  for (gint diagonal = 0; diagonal < 2; diagonal++) {
    g_autoptr (AfpMomentSum) sum = afp_moment_sum_new (size, diagonal);
    add (sum, n, x, NULL);
    ck_assert_uint_eq (afp_moment_sum_get_n_samples (sum), n);
    g_autofree float *mean = get_mean (sum, size, diagonal);
    check_mean (mean, x, n, size, diagonal);
  }
}
END_TEST

/* The state is in double: the first number counts, sums of whole blocks and their rests follow. */
START_TEST (in_double)
{
  const gsize size = (gsize) sizes[_i], n = 300;
  g_autofree float *x = test_values (n * size, 6);
  gsize bytes;

  for (gint diagonal = 0; diagonal < 2; diagonal++) {
    g_autoptr (AfpMomentSum) sum = afp_moment_sum_new (size, diagonal);
    add (sum, n, x, NULL);
    const double *state = afp_moment_sum_get_state (sum, &bytes), *row = state + 1;
    for (gsize i = 0; i < size; i++) {
      const gsize columns = diagonal ? 1 : MIN (i / 64 * 64 + 64, size);
      for (gsize c = 0; c < columns; c++) {
        const gsize j = diagonal ? i : c;
        const double expected = plain (x, n, size, i, j);
        must (fabs (row[c] - expected) <=
              1e-12 * sqrt (plain (x, n, size, i, i) * plain (x, n, size, j, j)));
      }
      row += columns;
    }
    ck_assert_uint_eq ((gsize) (row - state) * sizeof (double), bytes);
    ck_assert_uint_le (bytes, afp_moment_sum_get_memory (size, diagonal));
  }
}
END_TEST

static GBytes *
state_of (AfpMomentSum *sum)
{
  gsize n;
  gconstpointer state = afp_moment_sum_get_state (sum, &n);

  return g_bytes_new (state, n);
}

static GBytes *
state_with_threads (const float *x, gsize n, guint64 size, gboolean diagonal, guint threads)
{
  g_autoptr (AfpMomentSum) sum = afp_moment_sum_new (size, diagonal);
  g_autoptr (AfpPool) pool = afp_pool_new (threads);

  add (sum, n / 2, x, pool);
  add (sum, n - n / 2, x + n / 2 * size, pool);
  return state_of (sum);
}

START_TEST (same_bytes_for_any_threads)
{
  const gsize size = (gsize) sizes[_i], n = 531;
  g_autofree float *x = test_values (n * size, 7);

  for (gint diagonal = 0; diagonal < 2; diagonal++) {
    g_autoptr (GBytes) one = state_with_threads (x, n, size, diagonal, 1);
    for (guint threads = 2; threads <= 4; threads += 2) {
      g_autoptr (GBytes) many = state_with_threads (x, n, size, diagonal, threads);
      ck_assert (g_bytes_equal (one, many));
    }
  }
}
END_TEST

/* Put away between two calls, and taken up by another one. */
START_TEST (taken_up_again)
{
  const gsize size = (gsize) sizes[_i], n = 300;
  g_autofree float *x = test_values (n * size, 8);

  for (gint diagonal = 0; diagonal < 2; diagonal++) {
    g_autoptr (AfpMomentSum) whole = afp_moment_sum_new (size, diagonal),
                             first = afp_moment_sum_new (size, diagonal),
                             second = afp_moment_sum_new (size, diagonal);
    gsize bytes;

    add (whole, 100, x, NULL);
    add (whole, 200, x + 100 * size, NULL);
    add (first, 100, x, NULL);
    g_autoptr (GBytes) saved = state_of (first);
    gpointer state = afp_moment_sum_get_state (second, &bytes);
    ck_assert_uint_eq (bytes, g_bytes_get_size (saved));
    memcpy (state, g_bytes_get_data (saved, NULL), bytes);
    ck_assert_uint_eq (afp_moment_sum_get_n_samples (second), 100);
    add (second, 200, x + 100 * size, NULL);
    g_autoptr (GBytes) a = state_of (whole), b = state_of (second);
    ck_assert (g_bytes_equal (a, b));
  }
}
END_TEST

START_TEST (diagonal_is_that_of_the_matrix)
{
  const gsize size = (gsize) sizes[_i], n = 257;
  g_autofree float *x = test_values (n * size, 9);
  g_autoptr (AfpMomentSum) all = afp_moment_sum_new (size, FALSE),
                           few = afp_moment_sum_new (size, TRUE);

  add (all, n, x, NULL);
  add (few, n, x, NULL);
  g_autofree float *matrix = get_mean (all, size, FALSE), *diagonal = get_mean (few, size, TRUE);
  for (gsize i = 0; i < size; i++)
    must (fabs (matrix[i * (i + 1) / 2 + i] - (double) diagonal[i]) <= 1.2e-7 * diagonal[i]);
}
END_TEST

/* --- edges --- */

START_TEST (nothing_added)
{
  g_autoptr (AfpMomentSum) sum = afp_moment_sum_new (65, _i);
  g_autofree float *mean = get_mean (sum, 65, _i);

  ck_assert_uint_eq (afp_moment_sum_get_n_samples (sum), 0);
  for (gsize i = 0; i < afp_moments_n_stored (65, _i); i++)
    must (mean[i] == 0);
}
END_TEST

START_TEST (no_rows)
{
  g_autoptr (AfpMomentSum) sum = afp_moment_sum_new (5, _i);
  g_autoptr (GBytes) before = state_of (sum);

  add (sum, 0, NULL, NULL);
  g_autoptr (GBytes) after = state_of (sum);
  ck_assert (g_bytes_equal (before, after));
}
END_TEST

/* What is not finite is seen in its own row and column, and is not lost. */
START_TEST (not_finite)
{
  float x[3] = { 1, 2, 3 };
  g_autoptr (AfpMomentSum) sum = afp_moment_sum_new (3, _i);

  x[1] = INFINITY;
  add (sum, 1, x, NULL);
  g_autofree float *mean = get_mean (sum, 3, _i);
  ck_assert (mean[0] == 1);
  ck_assert (isinf (mean[_i ? 1 : 2]));
  ck_assert (mean[_i ? 2 : 5] == 9);
}
END_TEST

/* Many small ones beside a large one: floats would have lost them. */
START_TEST (small_beside_large)
{
  g_autofree float *x = g_new (float, 10001);
  g_autoptr (AfpMomentSum) sum = afp_moment_sum_new (1, _i);
  gsize n;

  for (guint i = 0; i <= 10000; i++)
    x[i] = i == 0 ? 100000 : 0.5f;
  add (sum, 10001, x, NULL);
  const double *state = afp_moment_sum_get_state (sum, &n);
  ck_assert (state[1] == 1e10 + 2500);
}
END_TEST

static TCase *
sums_case (void)
{
  TCase *tcase = tcase_create ("sums");

  tcase_add_loop_test (tcase, as_a_plain_loop, 0, G_N_ELEMENTS (sizes));
  tcase_add_loop_test (tcase, in_double, 0, G_N_ELEMENTS (sizes));
  tcase_add_loop_test (tcase, same_bytes_for_any_threads, 0, G_N_ELEMENTS (sizes));
  tcase_add_loop_test (tcase, taken_up_again, 0, G_N_ELEMENTS (sizes));
  tcase_add_loop_test (tcase, diagonal_is_that_of_the_matrix, 0, G_N_ELEMENTS (sizes));
  return tcase;
}

static TCase *
edges_case (void)
{
  TCase *tcase = tcase_create ("edges");

  tcase_add_loop_test (tcase, nothing_added, 0, 2);
  tcase_add_loop_test (tcase, no_rows, 0, 2);
  tcase_add_loop_test (tcase, not_finite, 0, 2);
  tcase_add_loop_test (tcase, small_beside_large, 0, 2);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { sums_case, edges_case };

  return run_suite ("moment-sum", cases, G_N_ELEMENTS (cases));
}
