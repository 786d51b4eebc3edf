/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hyper/hyper-trellis-kernel.h"
#include "simd-kernel.h"

#include <check.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static uint64_t state;

/* Twelve uniform numbers make a nearly Gaussian one. */
static void
fill (float *x, size_t n, uint64_t seed)
{
  state = seed;
  for (size_t i = 0; i < n; i++) {
    float sum = 0;
    for (unsigned j = 0; j < 12; j++) {
      state = state * UINT64_C (6364136223846793005) + 1442695040888963407;
      sum += (float) (state >> 40) * 0x1p-24f;
    }
    x[i] = sum - 6;
  }
}

static const unsigned sizes[] = { 4, 8, 16, 32, 64, 128, 256 };
#define N_SIZES (sizeof sizes / sizeof *sizes)

/* --- the machine --- */

START_TEST (every_state_has_two_before_it)
{
  HyperTrellis t;
  hyper_trellis_init (&t, sizes[_i]);
  ck_assert_uint_eq (t.n_states, sizes[_i]);
  for (unsigned s = 0; s < t.n_states; s++) {
    ck_assert_uint_eq (t.choice[s], s & 1);
    ck_assert_uint_ne (t.next[2 * s], t.next[2 * s + 1]);
    for (unsigned p = 0; p < 2; p++) {
      ck_assert_uint_lt (t.next[2 * s + p], t.n_states);
      ck_assert_uint_eq (t.before[2 * t.next[2 * s + p] + p], s);
      /* what the search relies on: the upper half is reached from union 1 */
      ck_assert_uint_eq (t.before[2 * s + p] & 1u, s >= t.n_states / 2);
    }
  }
}
END_TEST

/* h0 = D^3 + D + 1 (13), h1 = D^2 (4), by hand. */
START_TEST (the_code_of_eight_states)
{
  static const uint16_t next[16] = { 0, 2, 5, 7, 1, 3, 4, 6, 2, 0, 7, 5, 3, 1, 6, 4 };
  HyperTrellis t;
  hyper_trellis_init (&t, 8);
  ck_assert_mem_eq (t.next, next, sizeof next);
}
END_TEST

START_TEST (no_such_trellis)
{
  static const unsigned bad[] = { 0, 1, 2, 3, 5, 12, 255, 512, 1u << 31 };
  ck_assert (!hyper_trellis_has_states (bad[_i]));
  for (size_t i = 0; i < N_SIZES; i++)
    ck_assert (hyper_trellis_has_states (sizes[i]));
}
END_TEST

START_TEST (damaged_params)
{
  static const struct {
    unsigned at;
    float value;
  } bad[] = { { 0, 0 },     { 0, -1 },  { 0, NAN },      { 0, INFINITY },  { 1, 4.5f },
              { 8, -4.5f }, { 3, NAN }, { 5, INFINITY }, { 0, -INFINITY }, { 0, 1e-30f } };
  float params[HYPER_TRELLIS_PARAMS] = { 2, 0.5f, -0.5f, 4, -4, 0, 0, 0, 0.1f };
  HyperTrellisFrame frame;
  ck_assert (hyper_trellis_frame_init (&frame, params));
  params[bad[_i].at] = bad[_i].value;
  ck_assert (!hyper_trellis_frame_init (&frame, params));
}
END_TEST

/* --- the search --- */

#define SHORT 5u
#define REACH 4 /* magnitudes that the brute force tries */

typedef struct {
  const HyperTrellis *trellis;
  const HyperTrellisFrame *frame;
  const HyperTrellisCost *cost;
  const float *x, *weights;
  double best;
} Brute;

static float
place (const HyperTrellisFrame *frame, unsigned u, int k)
{
  const unsigned m = (unsigned) abs (k);
  if (m == 0)
    return 0;
  const float at =
      frame->step * ((float) (2 * m - u) -
                     frame->shift[u][(m < HYPER_TRELLIS_SHIFTS ? m : HYPER_TRELLIS_SHIFTS) - 1]);
  return k < 0 ? -at : at;
}

static double
price (const Brute *b, unsigned s, unsigned t, int k)
{
  const unsigned u = b->trellis->choice[s];
  const double e = (double) (b->x[t] - place (b->frame, u, k)) / (double) b->frame->step;
  return (double) (b->weights[t] * b->cost->weight) * e * e +
         (double) (b->cost->lambda * b->cost->length[u][abs (k)]);
}

static void
try_all (Brute *b, unsigned s, unsigned t, double sum)
{
  if (t == SHORT) {
    b->best = fmin (b->best, sum);
    return;
  }
  for (int k = -REACH; k <= REACH; k++)
    try_all (b, b->trellis->next[2 * s + ((unsigned) k & 1)], t + 1, sum + price (b, s, t, k));
}

/* The path found costs what the best of all costs. */
START_TEST (best_of_all_paths)
{
  HyperTrellis t;
  HyperTrellisFrame frame;
  HyperTrellisCost cost = { .lambda = 0.3f * (float) (_i % 3), .weight = 2 };
  const float params[HYPER_TRELLIS_PARAMS] = { 0.8f, 0.1f, 0.05f, 0, 0, 0.15f, 0.05f, 0, 0 };
  float x[SHORT * 20], weights[SHORT * 20];
  uint32_t symbols[SHORT * 20];
  hyper_trellis_init (&t, sizes[_i]);
  ck_assert (hyper_trellis_frame_init (&frame, params));
  for (unsigned m = 0; m < HYPER_TRELLIS_LENGTHS; m++) {
    cost.length[0][m] = m ? 1.5f + 1.5f * (float) m : 0.7f;
    cost.length[1][m] = m ? 1 + 1.4f * (float) m : 1.2f;
  }
  fill (x, SHORT * 20, 3);
  for (unsigned i = 0; i < SHORT * 20; i++)
    weights[i] = 0.3f + 0.1f * (float) (i % 5);
  void *scratch = malloc (hyper_trellis_scratch_bytes (t.n_states, SHORT));
  hyper_trellis_encode (&t, &frame, &cost, weights, x, 20, SHORT, 6, scratch, symbols);
  for (unsigned i = 0; i < 20; i += 7) {
    Brute b = { &t, &frame, &cost, x + i * SHORT, weights + i * SHORT, INFINITY };
    double own = 0;
    try_all (&b, 0, 0, 0);
    for (unsigned j = 0, s = 0; j < SHORT; j++) {
      const int k = (int) symbols[i * SHORT + j] - 32;
      own += price (&b, s, j, k);
      s = t.next[2 * s + ((unsigned) k & 1)];
    }
    ck_assert_double_eq_tol (own, b.best, 1e-5 * (1 + b.best));
  }
  free (scratch);
}
END_TEST

/* The same bytes with all instructions; a number 60 steps out is reached; symbols decode to what the sums speak of. */
START_TEST (one_result)
{
  enum { SEGMENTS = 21, LENGTH = 150, N = SEGMENTS * LENGTH };
  const float params[HYPER_TRELLIS_PARAMS] = { 0.5f, 0.02f, 0, 0, 0, 0.04f, 0, 0, 0 };
  static float x[N], out[N], points[2 << 10];
  static uint32_t first[N], symbols[N], counts[2 << 10];
  HyperTrellis t;
  HyperTrellisFrame frame;
  HyperTrellisCost cost = { .lambda = 0.2f };
  HyperTrellisSums sums = { .error = 0 };
  double error = 0;
  uint32_t n = 0;
  for (unsigned m = 0; m < HYPER_TRELLIS_LENGTHS; m++)
    cost.length[0][m] = cost.length[1][m] = 1 + (float) m;
  fill (x, N, 9);
  x[77] = 30;
  x[N - 1] = -190;
  hyper_trellis_init (&t, sizes[_i]);
  ck_assert (hyper_trellis_frame_init (&frame, params));
  void *scratch = malloc (hyper_trellis_scratch_bytes (t.n_states, LENGTH));
  for (SimdKind kind = SIMD_PORTABLE; kind < SIMD_N_KINDS; kind++) {
    simd_limit (kind);
    hyper_trellis_encode (&t, &frame, &cost, NULL, x, SEGMENTS, LENGTH, 10, scratch,
                          kind ? symbols : first);
    if (kind)
      ck_assert_mem_eq (first, symbols, sizeof first);
  }
  hyper_trellis_sum (&t, &frame, NULL, x, symbols, SEGMENTS, LENGTH, 10, &sums, counts);
  hyper_trellis_points (&frame, 10, points);
  ck_assert_uint_eq (hyper_trellis_decode (&t, points, symbols, SEGMENTS, LENGTH, 10, out), N);
  for (unsigned i = 0; i < N; i++)
    error += ((double) x[i] - (double) out[i]) * ((double) x[i] - (double) out[i]);
  for (unsigned i = 0; i < 2 << 10; i++)
    n += counts[i];
  ck_assert_uint_eq (n, N);
  memset (counts, 0, sizeof counts);
  ck_assert_double_eq_tol (sums.error, error, 1e-4 * error);
  ck_assert_float_eq_tol (out[77], 30, 1.5f);
  ck_assert_float_eq_tol (out[N - 1], -190, 1.5f);
  free (scratch);
}
END_TEST

START_TEST (damaged_symbols)
{
  const float params[HYPER_TRELLIS_PARAMS] = { 1 };
  static const uint32_t bad[] = { 0, 16, 17, UINT32_MAX, 1u << 31 };
  float points[2 << 4], out[12];
  HyperTrellis t;
  HyperTrellisFrame frame;
  hyper_trellis_init (&t, 4);
  ck_assert (hyper_trellis_frame_init (&frame, params));
  hyper_trellis_points (&frame, 4, points);
  for (size_t at = 0; at < 12; at += 5) {
    uint32_t symbols[12];
    for (size_t j = 0; j < 12; j++)
      symbols[j] = j == at ? bad[_i] : 1 + (uint32_t) j;
    ck_assert_uint_eq (hyper_trellis_decode (&t, points, symbols, 3, 4, 4, out), at);
  }
}
END_TEST

/* --- the fit --- */

static double
fit (unsigned n_states, double bits, const float *weights, const float *x, size_t n_segments,
     size_t length, HyperTrellisFit *result)
{
  HyperTrellis t;
  double energy = 0;
  hyper_trellis_init (&t, n_states);
  *result = (HyperTrellisFit){ .trellis = &t,
                               .weights = weights,
                               .x = x,
                               .n_segments = n_segments,
                               .length = length,
                               .bits = 10 };
  for (size_t i = 0; i < n_segments * length; i++)
    result->peak = fmaxf (result->peak, fabsf (x[i]));
  result->scratch = malloc (hyper_trellis_fit_scratch_bytes (result));
  hyper_trellis_fit (result, bits);
  free (result->scratch);
  for (size_t i = 0; i < n_segments * length; i++)
    energy += (weights ? (double) weights[i] : 1) * (double) x[i] * (double) x[i];
  return result->error / energy;
}

/* Numbers near the largest there are, and next to nothing: finite points, and no more of an error than zeros have. */
START_TEST (largest_and_least_numbers)
{
  enum { N = 512, SEGMENTS = 16, LENGTH = N / SEGMENTS };
  const float scale = _i % 2 ? 1e-41f : 5e37f;
  static float x[N], points[2 << 10];
  HyperTrellisFit result;
  HyperTrellisFrame frame;
  fill (x, N, 8);
  for (unsigned i = 0; i < N; i++)
    x[i] *= scale;
  const double nmse = fit (8, _i < 2 ? 0.5 : 4, NULL, x, SEGMENTS, LENGTH, &result);
  ck_assert_double_le (nmse, 1);
  ck_assert (hyper_trellis_frame_init (&frame, result.params));
  hyper_trellis_points (&frame, 10, points);
  for (unsigned i = 0; i < 2 << 10; i++)
    ck_assert (isfinite (points[i]));
}
END_TEST

/* 16 states; the bound is 2^-2R, a uniform scalar quantizer with an ideal coder 1.5 dB above it. */
START_TEST (rates_and_errors)
{
  static const struct {
    double bits, nmse;
  } cases[] = { { 3, 0.0177 }, { 2, 0.0715 }, { 1, 0.292 }, { 0.5, 0.6 } };
  enum { N = 16384 };
  static float x[N];
  HyperTrellisFit result;
  fill (x, N, 5);
  for (unsigned i = 0; i < N; i++)
    x[i] *= 0.01f;
  const double nmse = fit (16, cases[_i].bits, NULL, x, 16, N / 16, &result);
  ck_assert_double_eq_tol (result.rate, cases[_i].bits, 0.02);
  ck_assert_double_lt (nmse * exp2 (2 * (result.rate - cases[_i].bits)), cases[_i].nmse);
}
END_TEST

/* Weights a million times as large change nothing; numbers that are all zero have a frame, too. */
START_TEST (scales_do_not_matter)
{
  enum { N = 4096 };
  static float x[N], w[N], none[N];
  HyperTrellisFit a, b, zero;
  HyperTrellisFrame frame;
  fill (x, N, 6);
  for (unsigned i = 0; i < N; i++)
    w[i] = 0x1p20f;
  const double nmse = fit (8, 2, NULL, x, 16, N / 16, &a);
  ck_assert_double_eq_tol (fit (8, 2, w, x, 16, N / 16, &b), nmse, 1e-9);
  ck_assert_mem_eq (a.params, b.params, sizeof a.params);
  fit (8, 2, NULL, none, 16, N / 16, &zero);
  ck_assert (hyper_trellis_frame_init (&frame, zero.params));
  ck_assert_float_eq (zero.params[0], 1);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("hyper-trellis-kernel");
  TCase *good = tcase_create ("search"), *bad = tcase_create ("harm");

  tcase_add_loop_test (good, every_state_has_two_before_it, 0, N_SIZES);
  tcase_add_test (good, the_code_of_eight_states);
  tcase_add_loop_test (good, best_of_all_paths, 0, 3);
  tcase_add_loop_test (good, one_result, 0, N_SIZES);
  tcase_add_loop_test (good, rates_and_errors, 0, 4);
  tcase_add_test (good, scales_do_not_matter);
  tcase_add_loop_test (bad, largest_and_least_numbers, 0, 4);
  tcase_add_loop_test (bad, no_such_trellis, 0, 9);
  tcase_add_loop_test (bad, damaged_params, 0, 10);
  tcase_add_loop_test (bad, damaged_symbols, 0, 5);
  suite_add_tcase (suite, good);
  suite_add_tcase (suite, bad);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  const int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
