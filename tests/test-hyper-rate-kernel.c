/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hyper/hyper-rate-kernel.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The search for a step, on a quantizer whose rate is known: two symbols, of which the second comes in a share that falls as the step grows. */

#define N 100000u

typedef struct {
  double share; /* at a step of 1 */
  unsigned calls;
  double smallest; /* step that was asked for */
  bool lengths_are_zero, lambda_is_handed_on;
} Coder;

static double
code (void *user, double step, double lambda, const float *lengths, uint32_t *counts)
{
  Coder *coder = user;
  const double share = fmin (0.5, coder->share / step);

  if (coder->calls++ == 0)
    coder->lengths_are_zero = lengths[0] == 0 && lengths[1] == 0;
  coder->smallest = fmin (coder->smallest, step);
  coder->lambda_is_handed_on = lambda == 0.25;
  ck_assert (counts[0] == 0 && counts[1] == 0);
  counts[1] = (uint32_t) lround (share * N);
  counts[0] = N - counts[1];
  return step * step;
}

static double
binary_entropy (double p)
{
  return -p * log2 (p) - (1 - p) * log2 (1 - p);
}

static HyperRate
search (Coder *coder, double bits, double least_step, double first, bool warm, float *lengths)
{
  static uint32_t counts[2];
  HyperRate rate = { .code = code,
                     .coder = coder,
                     .n_contexts = 1,
                     .n_symbols = 2,
                     .n_weights = N,
                     .bits = bits,
                     .lambda = 0.25,
                     .least_step = least_step,
                     .step = first,
                     .lengths = lengths,
                     .counts = counts };

  coder->smallest = INFINITY;
  hyper_rate_search (&rate, warm);
  ck_assert_uint_eq (rate.n_codings, coder->calls);
  return rate;
}

/* From far below and far above; the rate is that of the counts, the error that of the last step. */
START_TEST (finds_the_step)
{
  static const double firsts[] = { 0.02, 0.3, 1, 20 };
  Coder coder = { .share = 0.1 };
  float lengths[2] = { 7, 7 };
  const HyperRate rate = search (&coder, 0.4, 1e-6, firsts[_i], false, lengths);

  ck_assert (coder.lengths_are_zero && coder.lambda_is_handed_on);
  ck_assert_double_eq_tol (rate.rate, 0.4, 0.002);
  ck_assert_double_eq_tol (binary_entropy (0.1 / rate.step), 0.4, 0.003);
  ck_assert_double_eq (rate.error, rate.step * rate.step);
  ck_assert_float_eq_tol (lengths[1], (float) -log2 (0.1 / rate.step), 0.01f);
}
END_TEST

/* An error in place of bits: the quantizer's is the square of the step. Where it cannot be reached: the least step. */
START_TEST (finds_the_step_for_an_error)
{
  static const double firsts[] = { 0.02, 0.3, 20 };
  Coder coder = { .share = 0.1 };
  float lengths[2];
  uint32_t counts[2];
  HyperRate rate = { .code = code,
                     .coder = &coder,
                     .n_contexts = 1,
                     .n_symbols = 2,
                     .n_weights = N,
                     .bits = 5, /* out of reach, and without meaning here */
                     .goal = 0.09,
                     .lambda = 0.25,
                     .least_step = 1e-6,
                     .step = firsts[_i],
                     .lengths = lengths,
                     .counts = counts };

  hyper_rate_search (&rate, false);
  ck_assert_double_eq_tol (rate.step, 0.3, 0.001);
  rate.least_step = rate.step = 0.5;
  hyper_rate_search (&rate, false);
  ck_assert_double_eq (rate.step, 0.5);
}
END_TEST

START_TEST (a_warm_start_keeps_lengths)
{
  Coder coder = { .share = 0.1 };
  float lengths[2] = { 1, 2 };

  search (&coder, 0.4, 1e-6, 1, true, lengths);
  ck_assert (!coder.lengths_are_zero);
}
END_TEST

/* --- what cannot be reached --- */

/* A bit and no more is in two symbols: the least step, and an end. */
START_TEST (too_many_bits)
{
  Coder coder = { .share = 0.1 };
  float lengths[2];
  const HyperRate rate = search (&coder, 3, 0.01, 1, false, lengths);

  ck_assert_double_eq (rate.step, 0.01);
  ck_assert_double_eq_tol (rate.rate, 1, 0.001);
  ck_assert_double_eq (coder.smallest, 0.01);
}
END_TEST

/* Steps that are none begin at the least one. */
START_TEST (no_first_step)
{
  static const double firsts[] = { 0, -1, NAN };
  Coder coder = { .share = 0.1 };
  float lengths[2];
  const HyperRate rate = search (&coder, 0.4, 0.05, firsts[_i], false, lengths);

  ck_assert_double_ge (coder.smallest, 0.05);
  ck_assert_double_eq_tol (rate.rate, 0.4, 0.002);
}
END_TEST

/* Symbols that never came have a length, the longest; no context tells another's. */
START_TEST (lengths_of_what_never_came)
{
  static const uint32_t counts[6] = { 6, 2, 0, 0, 0, 0 };
  float lengths[6];
  const double bits = hyper_rate_lengths (counts, 2, 3, lengths);

  for (unsigned i = 0; i < 6; i++)
    ck_assert (isfinite (lengths[i]) && lengths[i] >= 0);
  ck_assert_float_gt (lengths[2], lengths[1]);
  ck_assert_float_gt (lengths[1], lengths[0]);
  ck_assert (lengths[3] == lengths[4] && lengths[4] == lengths[5]);
  ck_assert_double_eq_tol (bits, 6 * log2 (9.0 / 6) + 2 * log2 (9.0 / 2), 1e-5);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("hyper-rate-kernel");
  TCase *good = tcase_create ("search"), *bad = tcase_create ("harm");

  tcase_add_loop_test (good, finds_the_step, 0, 4);
  tcase_add_loop_test (good, finds_the_step_for_an_error, 0, 3);
  tcase_add_test (good, a_warm_start_keeps_lengths);
  tcase_add_test (bad, too_many_bits);
  tcase_add_loop_test (bad, no_first_step, 0, 3);
  tcase_add_test (bad, lengths_of_what_never_came);
  suite_add_tcase (suite, good);
  suite_add_tcase (suite, bad);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  const int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
