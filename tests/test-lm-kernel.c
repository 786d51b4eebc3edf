/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core-test.h"

#include "lm-kernel.h"

#include <math.h>

START_TEST (norm_by_hand)
{
  const float x[] = { 3, 4, 0, 0 }, weight[] = { 1, 2, 1, 1 };
  float out[4];

  afp_lm_rms_norm (1, 4, 0, x, weight, out); /* root mean square 2.5 */
  ck_assert_float_eq_tol (out[0], 1.2f, 1e-6f);
  ck_assert_float_eq_tol (out[1], 3.2f, 1e-6f);
}
END_TEST

/* What eps is for. */
START_TEST (norm_of_zeros_is_zero)
{
  const float x[] = { 0, 0 }, weight[] = { 1, 1 };
  float out[2] = { 1, 1 };

  afp_lm_rms_norm (1, 2, 1e-5f, x, weight, out);
  ck_assert_float_eq (out[0], 0);
}
END_TEST

/* One row at @position, of heads of four. */
static void
turn (guint32 position, gsize n_heads, bool interleaved, const double *angles, float scale,
      float *x)
{
  float table[2 * 2 * 4];

  afp_lm_rope_table (2, 4, interleaved, angles, scale, table);
  afp_lm_rope (1, &position, n_heads, 4, interleaved, table, x);
}

START_TEST (rope_turns_pairs)
{
  const double angles[] = { G_PI / 2, G_PI / 6 };
  float near[] = { 1, 0, 1, 0 }, far[] = { 1, 1, 0, 0 };

  turn (1, 1, true, angles, 1, near);
  ck_assert_float_eq_tol (near[0], 0, 1e-6f);
  ck_assert_float_eq_tol (near[1], 1, 1e-6f);
  ck_assert_float_eq_tol (near[2], (float) cos (G_PI / 6), 1e-6f);
  turn (1, 1, false, angles, 2, far);
  ck_assert_float_eq_tol (far[0], 0, 1e-6f);
  ck_assert_float_eq_tol (far[2], 2, 1e-6f);
  ck_assert_float_eq_tol (far[1], 2 * (float) cos (G_PI / 6), 1e-6f);
}
END_TEST

START_TEST (rope_leaves_the_first_position)
{
  const double angles[] = { 1, 0.1 };
  float x[] = { 1, 2, 3, 4, 5, 6, 7, 8 };

  turn (0, 2, true, angles, 1, x);
  for (guint i = 0; i < 8; i++)
    ck_assert_float_eq (x[i], (float) (i + 1));
}
END_TEST

/* Heads of any size, rows at any positions: pairs keep their length and turn by position times angle. */
START_TEST (rope_by_any_size)
{
  const gsize dim = 2 * (gsize) _i + 2, half = dim / 2;
  const guint32 positions[] = { 7, 0, 3 };
  g_autofree double *angles = g_new (double, half);
  g_autofree float *table = g_new (float, 8 * 2 * dim), *x = g_new (float, 3 * 2 * dim);

  for (guint interleaved = 0; interleaved < 2; interleaved++) {
    for (gsize i = 0; i < half; i++)
      angles[i] = 1 / (1 + (double) i);
    for (gsize i = 0; i < 6 * dim; i++)
      x[i] = (float) (i % 11) - 5;
    afp_lm_rope_table (8, dim, interleaved, angles, 1, table);
    afp_lm_rope (3, positions, 2, dim, interleaved, table, x);
    for (gsize row = 0; row < 6; row++)
      for (gsize i = 0; i < half; i++) {
        const gsize a = row * dim + (interleaved ? 2 * i : i), b = a + (interleaved ? 1 : half);
        const double u = (double) (a % 11) - 5, v = (double) (b % 11) - 5,
                     angle = positions[row / 2] * angles[i];
        ck_assert_float_eq_tol (x[a], (float) (u * cos (angle) - v * sin (angle)), 2e-6f);
        ck_assert_float_eq_tol (x[b], (float) (u * sin (angle) + v * cos (angle)), 2e-6f);
      }
  }
}
END_TEST

START_TEST (softmax_sees_no_future)
{
  float scores[] = { 1, 50, 50, 2, 2, 50 };

  afp_lm_causal_softmax (2, 0, 3, 1, scores);
  const float expected[] = { 1, 0, 0, 0.5f, 0.5f, 0 };
  for (guint i = 0; i < 6; i++)
    ck_assert_float_eq_tol (scores[i], expected[i], 1e-6f);
}
END_TEST

START_TEST (softmax_of_large_scores_is_finite)
{
  float scores[] = { 3e38f, -3e38f, 3e38f };

  afp_lm_causal_softmax (1, 2, 3, 1, scores);
  ck_assert_float_eq_tol (scores[0], 0.5f, 1e-6f);
  ck_assert_float_eq (scores[1], 0);
}
END_TEST

START_TEST (exp_is_within_its_bound)
{
  float x[512];

  for (double start = -87.3; start < 88.3; start += 0.05) {
    for (guint i = 0; i < 512; i++)
      x[i] = (float) (start + 0.0001 * i);
    afp_lm_exp (512, x);
    for (guint i = 0; i < 512; i++) {
      const double truth = exp ((double) (float) (start + 0.0001 * i));
      ck_assert_double_le (fabs ((double) x[i] / truth - 1), 2e-7);
    }
  }
}
END_TEST

START_TEST (exp_at_its_ends)
{
  float x[] = { 0, -0.f, -87.4f, -INFINITY, 1000, INFINITY, NAN, 1e-30f, -3e38f, 1 };

  afp_lm_exp (G_N_ELEMENTS (x), x);
  ck_assert_float_eq (x[0], 1);
  ck_assert_float_eq (x[1], 1);
  ck_assert_float_eq (x[2], 0);
  ck_assert_float_eq (x[3], 0);
  ck_assert (x[4] > 2.3e38f && isfinite (x[4]) && x[5] == x[4]);
  ck_assert (isnan (x[6]));
  ck_assert_float_eq (x[7], 1);
  ck_assert_float_eq (x[8], 0);
  ck_assert_float_eq_tol (x[9], (float) exp (1), 3e-7f);
}
END_TEST

START_TEST (silu_and_sums)
{
  float gate[] = { 0, 2, -200 }, x[] = { 1, 2, 3, 4 };
  const float up[] = { 5, 3, 1 }, y[] = { 10, 20 };

  afp_lm_silu_mul (3, gate, up);
  ck_assert_float_eq (gate[0], 0);
  ck_assert_float_eq_tol (gate[1], (float) (6 / (1 + exp (-2.0))), 1e-5f);
  ck_assert_float_eq_tol (gate[2], 0, 1e-6f);
  afp_lm_add_bias (2, 2, y, x);
  ck_assert_float_eq (x[0], 11);
  ck_assert_float_eq (x[3], 24);
  float squared[] = { -1, 0, 3 };
  afp_lm_relu2_mul (3, squared, up);
  ck_assert_float_eq (squared[0], 0);
  ck_assert_float_eq (squared[1], 0);
  ck_assert_float_eq (squared[2], 9);
}
END_TEST

START_TEST (fold_by_hand)
{
  const float logits[] = { 0, (float) log (3), 0, (float) log (3) };
  AfpLmFold fold = AFP_LM_FOLD_NONE;
  float weights[4];

  ck_assert_double_eq (afp_lm_fold (&fold, 10, 4, logits, 12, weights), 0);
  ck_assert_uint_eq (fold.best, 11); /* the first of equals */
  ck_assert_float_eq (fold.target, logits[2]);
  ck_assert_float_eq_tol (weights[0], 1.f / 3, 1e-6f);
  ck_assert_double_eq_tol (afp_lm_fold_log_sum (&fold), log (8), 1e-6);
}
END_TEST

/* The largest comes in the second part: what was summed before shrinks. */
START_TEST (later_parts_rescale)
{
  const float first[] = { 1, 2 }, second[] = { 5, 1, 5 };
  AfpLmFold fold = AFP_LM_FOLD_NONE;
  float weights[3];

  afp_lm_fold (&fold, 0, 2, first, 1, weights);
  ck_assert_double_eq_tol (afp_lm_fold (&fold, 2, 3, second, 1, weights), exp (-3), 1e-12);
  ck_assert_uint_eq (fold.best, 2);
  ck_assert_float_eq (fold.target, 2);
  ck_assert_double_eq_tol (afp_lm_fold_log_sum (&fold), log (2 * exp (1) + exp (2) + 2 * exp (5)),
                           1e-6);
  ck_assert_double_eq (afp_lm_fold (&fold, 5, 2, first, 1, weights), 1);
}
END_TEST

/* Divergence of q from p, taken in parts of @step. */
static double
diverge (gsize n, gsize step, const float *p, const float *q)
{
  AfpLmFold a = AFP_LM_FOLD_NONE, b = AFP_LM_FOLD_NONE;
  float weights[1000], others[1000];
  double cross = 0;

  for (gsize i = 0; i < n; i += step) {
    const gsize part = MIN (step, n - i);
    cross *= afp_lm_fold (&a, (guint32) i, part, p + i, 0, weights);
    afp_lm_fold (&b, (guint32) i, part, q + i, 0, others);
    cross += afp_lm_cross (part, weights, p + i, q + i);
  }
  return afp_lm_divergence (cross, &a, &b);
}

START_TEST (divergence_by_hand)
{
  const float p[] = { 0, 0 }, q[] = { 0, (float) log (3) };

  for (gsize step = 1; step <= 2; step++) {
    ck_assert_double_eq_tol (diverge (2, step, p, q), 0.5 * log (2) + 0.5 * log (2.0 / 3), 1e-6);
    ck_assert_double_eq (diverge (2, step, p, p), 0);
  }
}
END_TEST

/* Rounding alone must not make it negative, nor large logits infinite. */
START_TEST (divergence_is_not_negative)
{
  float p[1000], q[1000];

  for (guint i = 0; i < 1000; i++) {
    p[i] = (float) (i % 7) * 1000;
    q[i] = p[i] + 1e-3f * (float) (i % 3);
  }
  const double divergence = diverge (1000, 300, p, q);
  ck_assert_double_ge (divergence, 0);
  ck_assert (isfinite (divergence));
}
END_TEST

/* A model that is broken does not pass for a good one. */
START_TEST (what_is_no_number_stays_so)
{
  const float p[] = { 0, 1, 2 }, q[] = { 0, NAN, 2 };

  ck_assert (isnan (diverge (3, 1, p, q)));
  ck_assert (isnan (diverge (3, 3, p, q)));
  ck_assert (isnan (diverge (3, 2, q, p)));
}
END_TEST

#define MANY 83

/* What every loop makes of made-up numbers, @n of them. */
static void
run_all (gsize n, float *out)
{
  const double angles[] = { 1, 0.5, 0.25, 0.2, 0.1, 0.05 };
  const guint32 positions[] = { 1, 0, 2 };
  float x[MANY * 3], y[MANY], weights[MANY], table[3 * 2 * 12];
  AfpLmFold fold = AFP_LM_FOLD_NONE;
  double sums[3];

  for (gsize i = 0; i < 3 * n; i++)
    x[i] = (float) sin ((double) (i * i)) * 9;
  for (gsize i = 0; i < n; i++)
    y[i] = (float) cos ((double) i) * 3;
  sums[0] = afp_lm_fold (&fold, 0, n, x, 1, weights);
  sums[1] = fold.sum;
  sums[2] = afp_lm_cross (n, weights, x, y);
  memcpy (out, sums, sizeof sums);
  out += 6;
  afp_lm_rms_norm (3, n, 1e-5f, x, y, x);
  afp_lm_add_bias (3, n, y, x);
  memcpy (out, x, 3 * n * sizeof *x);
  out += 3 * n;
  afp_lm_silu_mul (n, x, y);
  afp_lm_relu2_mul (n, x + n, y);
  afp_lm_exp (n, x + 2 * n);
  memcpy (out, x, 3 * n * sizeof *x);
  out += 3 * n;
  afp_lm_causal_softmax (2, n - 2, n, 0.3f, x);
  memcpy (out, x, 2 * n * sizeof *x);
  for (guint interleaved = 0; n >= 24 && interleaved < 2; interleaved++) {
    afp_lm_rope_table (3, 12, interleaved, angles, 1, table);
    afp_lm_rope (3, positions, 2, 12, interleaved, table, x);
  }
  memcpy (out + 2 * n, x, 2 * n * sizeof *x);
}

/* Sizes that fill up vectors and such that do not. */
START_TEST (the_faster_code_gives_the_same_bits)
{
  for (gsize n = 2; n <= MANY - 2; n++) {
    float a[10 * MANY + 6] = { 0 }, b[10 * MANY + 6] = { 0 };
    afp_lm_kernel_use_simd (false);
    run_all (n, a);
    afp_lm_kernel_use_simd (true);
    run_all (n, b);
    ck_assert_mem_eq (a, b, sizeof a);
  }
}
END_TEST

static TCase *
good_case (void)
{
  TCase *tcase = tcase_create ("by hand");
  tcase_add_test (tcase, norm_by_hand);
  tcase_add_test (tcase, rope_turns_pairs);
  tcase_add_loop_test (tcase, rope_by_any_size, 0, 20);
  tcase_add_test (tcase, exp_is_within_its_bound);
  tcase_add_test (tcase, the_faster_code_gives_the_same_bits);
  tcase_add_test (tcase, softmax_sees_no_future);
  tcase_add_test (tcase, silu_and_sums);
  tcase_add_test (tcase, fold_by_hand);
  tcase_add_test (tcase, later_parts_rescale);
  tcase_add_test (tcase, divergence_by_hand);
  return tcase;
}

static TCase *
edge_case (void)
{
  TCase *tcase = tcase_create ("edges");
  tcase_add_test (tcase, norm_of_zeros_is_zero);
  tcase_add_test (tcase, rope_leaves_the_first_position);
  tcase_add_test (tcase, exp_at_its_ends);
  tcase_add_test (tcase, softmax_of_large_scores_is_finite);
  tcase_add_test (tcase, divergence_is_not_negative);
  tcase_add_test (tcase, what_is_no_number_stays_so);
  return tcase;
}

int
main (void)
{
  TCase *(*const cases[]) (void) = { good_case, edge_case };

  return run_suite ("lm-kernel", cases, G_N_ELEMENTS (cases));
}
