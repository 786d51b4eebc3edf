/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "flow/synth-kernel.h"

#include "core-test.h"

#include <math.h>
#include <string.h>

#define N 200000

/* Mean 0, variance 1, and the fourth moment of each. */
START_TEST (moments)
{
  static const double kurtosis[] = { 3, 6, 0, 1.8 };
  g_autofree float *x = g_new (float, N);
  double sum = 0, square = 0, fourth = 0;

  synth_fill ((SynthDistribution) _i, 9, 1, 0, N, x);
  for (size_t i = 0; i < N; i++) {
    ck_assert (isfinite (x[i]));
    sum += x[i];
    square += (double) x[i] * x[i];
    fourth += pow (x[i], 4);
  }
  ck_assert_double_le (fabs (sum / N), 0.01);
  ck_assert_double_eq_tol (square / N, 1, 0.02);
  if (_i != SYNTH_STUDENT_T)
    ck_assert_double_eq_tol (fourth / N, kurtosis[_i], 0.2 * kurtosis[_i]);
}
END_TEST

/* A number depends on seed and index alone: pieces are the whole. */
START_TEST (pieces_are_the_whole)
{
  float whole[1000], piece[1000];

  synth_fill ((SynthDistribution) _i, 5, 42, 0, 1000, whole);
  for (size_t first = 0; first < 1000; first += 73)
    synth_fill ((SynthDistribution) _i, 5, 42, first, MIN (73, 1000 - first), piece + first);
  ck_assert_mem_eq (whole, piece, sizeof whole);
}
END_TEST

START_TEST (seeds_differ)
{
  float a[100], b[100];
  unsigned equal = 0;

  synth_fill (SYNTH_NORMAL, 5, 1, 0, 100, a);
  synth_fill (SYNTH_NORMAL, 5, 2, 0, 100, b);
  for (unsigned i = 0; i < 100; i++)
    equal += a[i] == b[i];
  ck_assert_uint_eq (equal, 0);
  synth_fill (SYNTH_NORMAL, 5, 1, 1, 99, b);
  ck_assert_mem_eq (a + 1, b, 99 * sizeof *a);
}
END_TEST

/* Indices far out, no numbers, heavy tails: finite all the same. */
START_TEST (extremes)
{
  float x[64] = { 7 };

  synth_fill (SYNTH_NORMAL, 5, UINT64_MAX, UINT64_MAX - 10, 0, x);
  ck_assert (x[0] == 7);
  for (int d = 0; d < 4; d++) {
    synth_fill ((SynthDistribution) d, 2.001, UINT64_MAX, UINT64_MAX - 100, 64, x);
    for (unsigned i = 0; i < 64; i++)
      ck_assert (isfinite (x[i]));
  }
}
END_TEST

static TCase *
all (void)
{
  TCase *tcase = tcase_create ("numbers");

  tcase_add_loop_test (tcase, moments, 0, 4);
  tcase_add_loop_test (tcase, pieces_are_the_whole, 0, 4);
  tcase_add_test (tcase, seeds_differ);
  tcase_add_test (tcase, extremes);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { all };
  return run_suite ("synth-kernel", cases, G_N_ELEMENTS (cases));
}
