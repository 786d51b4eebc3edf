/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hyper/hyper-kernel.h"

#include <check.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static uint64_t state;

static float
draw (void)
{
  float sum = 0;

  for (unsigned i = 0; i < 12; i++) {
    state = state * UINT64_C (6364136223846793005) + 1442695040888963407;
    sum += (float) (state >> 40) * 0x1p-24f;
  }
  return sum - 6;
}

typedef struct {
  HyperCode code;
  HyperFrame frame;
  void *storage;
} Coder;

static void
coder_init (Coder *c, HyperTrajectory trajectory, unsigned d, unsigned points, unsigned classes,
            const float *params)
{
  c->storage = malloc (hyper_code_bytes (trajectory, d, points, true));
  hyper_code_init (&c->code, c->storage, trajectory, d, points, classes, true);
  ck_assert (hyper_frame_init (&c->frame, &c->code, params));
}

/* The released code's formulas for d = 2: x = (q + r / m) s, y = r s; here centred. */
START_TEST (grid_is_the_released_one)
{
  const float params[4] = { 0, 0, 2, 1 };
  Coder c;

  coder_init (&c, HYPER_GRID, 2, 225, 0, params);
  for (uint32_t j = 0; j + 1 < 225; j++) {
    const uint32_t symbols[2] = { j, j + 1 };
    float out[4];
    ck_assert_uint_eq (hyper_decode (&c.code, &c.frame, symbols, 2, out), 2);
    const double s = 2.0 / 15;
    const double x0 = (j / 15 + j % 15 / 15.0) * s, x1 = ((j + 1) / 15 + (j + 1) % 15 / 15.0) * s;
    const double y0 = j % 15 * s, y1 = (j + 1) % 15 * s;
    ck_assert_double_eq_tol (out[2] - out[0], x1 - x0, 1e-6);
    ck_assert_double_eq_tol (out[3] - out[1], y1 - y0, 1e-6);
  }
  free (c.storage);
}
END_TEST

/* The square, then the smallest circle or square that holds the vector, else the last one; in it the nearest point. */
START_TEST (classes_by_rule)
{
  const HyperRule rule = _i & 1 ? HYPER_RULE_L2 : HYPER_RULE_LINF;
  const float params[4] = { 0.25f, -0.5f, 2, 2.5f };
  Coder c;

  coder_init (&c, _i & 2 ? HYPER_WINDING : HYPER_GRID, 2, 16, 3, params);
  c.code.rule = rule;
  for (unsigned v = 0; v < 500; v++) {
    const float x[2] = { 0.25f + (float) (v % 25) * 0.3f - 3.5f, (float) (v / 25) * 0.35f - 3.8f };
    const double a = fabs ((double) x[0] - 0.25), b = fabs ((double) x[1] + 0.5);
    const double size = rule == HYPER_RULE_L2 && fmax (a, b) > 1 ? hypot (a, b) : fmax (a, b);
    const unsigned class = size <= 1 ? 0 : size <= 1.5 ? 1 : size <= 2 ? 2 : 3;
    uint32_t symbol;
    float error, y[2], least = INFINITY;
    hyper_encode (&c.code, &c.frame, HYPER_METRIC_NONE, NULL, x, 1, &symbol, &error);
    ck_assert_uint_eq (symbol / 16, class);
    for (uint32_t j = 16 * class; j < 16 * class + 16; j++) {
      hyper_decode (&c.code, &c.frame, &j, 1, y);
      least = fminf (least, hypotf (y[0] - x[0], y[1] - x[1]));
    }
    hyper_decode (&c.code, &c.frame, &symbol, 1, y);
    ck_assert_float_eq_tol (hypotf (y[0] - x[0], y[1] - x[1]), least, 1e-5f);
  }
  free (c.storage);
}
END_TEST

START_TEST (winding_is_the_papers)
{
  const float params[4] = { 0, 0, 2, 1 };
  const double pi = 3.14159265358979323846;
  Coder c;

  coder_init (&c, HYPER_WINDING, 2, 1000, 0, params);
  for (uint32_t j = 0; j < 1000; j++) {
    float out[2];
    ck_assert_uint_eq (hyper_decode (&c.code, &c.frame, &j, 1, out), 1);
    ck_assert_double_eq_tol (out[0], 2 * fmod (j / (pi + 1), 1) - 1, 1e-5);
    ck_assert_double_eq_tol (out[1], 2 * fmod (j / (pi + 2), 1) - 1, 1e-5);
  }
  free (c.storage);
}
END_TEST

static double
form (HyperMetric metric, const float *g, unsigned d, const float *x, const float *y)
{
  double e = 0;

  for (unsigned a = 0; a < d; a++)
    for (unsigned b = 0; b < d; b++) {
      const double w = metric == HYPER_METRIC_MATRIX     ? g[a * d + b]
                       : a != b                          ? 0
                       : metric == HYPER_METRIC_DIAGONAL ? g[a]
                       : metric == HYPER_METRIC_SCALAR   ? g[0]
                                                         : 1;
      e += w * ((double) x[a] - y[a]) * ((double) x[b] - y[b]);
    }
  return e;
}

/* Well-conditioned, so that the little that the search adds to a metric does not count. */
static void
make_metric (HyperMetric metric, unsigned d, float *g)
{
  for (unsigned i = 0; i < d * d; i++)
    g[i] = 0;
  if (metric == HYPER_METRIC_MATRIX) {
    for (unsigned a = 0; a < d; a++)
      for (unsigned b = 0; b < d; b++)
        g[a * d + b] = a == b ? 2 + (float) a : 0.25f;
  } else
    for (unsigned a = 0; a < d; a++)
      g[a] = 1 + fabsf (draw ());
}

/* The nearest of all points of all classes, against trying each. */
START_TEST (search_is_exact)
{
  static const unsigned points[] = { 1, 2, 7, 25, 100, 225, 226 };
  const unsigned d = 1 + (unsigned) _i % 4;
  const HyperTrajectory trajectory = _i / 4 % 2 ? HYPER_WINDING : HYPER_GRID;
  const HyperMetric metric = (HyperMetric) (_i / 8);

  state = (uint64_t) _i + 1;
  for (unsigned p = 0; p < sizeof points / sizeof *points; p++) {
    float params[10] = { 0.1f, -0.2f, 0.05f, 0 };
    params[d] = 2.5f;
    params[d + 1] = 4;
    Coder c;
    coder_init (&c, trajectory, d, points[p], 2, params);
    for (unsigned trial = 0; trial < 60; trial++) {
      float x[8], g[64], out[8], best[8];
      uint32_t symbol, portable;
      for (unsigned i = 0; i < d; i++)
        x[i] = draw () * (trial % 7 == 0 ? 4 : 1);
      make_metric (metric, d, g);
      hyper_encode (&c.code, &c.frame, metric, g, x, 1, &symbol, NULL);
      hyper_encode_portable (&c.code, &c.frame, metric, g, x, 1, &portable, NULL);
      ck_assert_uint_eq (symbol, portable);
      ck_assert_uint_eq (hyper_decode (&c.code, &c.frame, &symbol, 1, out), 1);
      double least = INFINITY;
      for (uint32_t s = 0; s < points[p] * 3; s++) {
        hyper_decode (&c.code, &c.frame, &s, 1, best);
        least = fmin (least, form (metric, g, d, x, best));
      }
      ck_assert_double_le (form (metric, g, d, x, out), least * (1 + 3e-3) + 1e-5);
    }
    free (c.storage);
  }
}
END_TEST

START_TEST (scale_does_not_matter)
{
  enum { N = 2000 };
  float x[2 * N], y[2 * N], p[4], q[4];
  uint32_t a[N], b[N];
  Coder c, e;

  state = 7;
  for (unsigned i = 0; i < 2 * N; i++) {
    x[i] = draw ();
    y[i] = x[i] * 0x1p-20f;
  }
  c.storage = malloc (hyper_code_bytes (HYPER_GRID, 2, 225, true));
  hyper_code_init (&c.code, c.storage, HYPER_GRID, 2, 225, 1, true);
  hyper_fit_frame (&c.code, x, N, p);
  hyper_fit_frame (&c.code, y, N, q);
  for (unsigned i = 0; i < 4; i++)
    ck_assert (q[i] == p[i] * 0x1p-20f);
  e = c;
  ck_assert (hyper_frame_init (&c.frame, &c.code, p) && hyper_frame_init (&e.frame, &e.code, q));
  hyper_encode (&c.code, &c.frame, HYPER_METRIC_NONE, NULL, x, N, a, NULL);
  hyper_encode (&e.code, &e.frame, HYPER_METRIC_NONE, NULL, y, N, b, NULL);
  ck_assert_mem_eq (a, b, sizeof a);
  free (c.storage);
}
END_TEST

/* Papers' figure for the Gaussian: 0.0089; fitted scales do better. */
START_TEST (gaussian_error)
{
  enum { N = 20000 };
  static float x[2 * N], out[2 * N];
  static uint32_t symbols[N];
  float p[4];
  double error = 0, energy = 0;
  Coder c;

  state = 3;
  for (unsigned i = 0; i < 2 * N; i++)
    x[i] = draw ();
  c.storage = malloc (hyper_code_bytes (HYPER_GRID, 2, 225, true));
  hyper_code_init (&c.code, c.storage, HYPER_GRID, 2, 225, 1, true);
  hyper_fit_frame (&c.code, x, N, p);
  ck_assert (hyper_frame_init (&c.frame, &c.code, p));
  hyper_encode (&c.code, &c.frame, HYPER_METRIC_NONE, NULL, x, N, symbols, NULL);
  ck_assert_uint_eq (hyper_decode (&c.code, &c.frame, symbols, N, out), N);
  for (unsigned i = 0; i < 2 * N; i++) {
    error += (x[i] - out[i]) * (x[i] - out[i]);
    energy += x[i] * x[i];
  }
  ck_assert_double_le (error / energy, 0.0092);
  free (c.storage);
}
END_TEST

START_TEST (symbol_bits)
{
  ck_assert_uint_eq (hyper_symbol_bits (225, 1), 9);
  ck_assert_uint_eq (hyper_symbol_bits (256, 0), 8);
  ck_assert_uint_eq (hyper_symbol_bits (257, 0), 9);
  ck_assert_uint_eq (hyper_symbol_bits (1, 0), 1);
  ck_assert_uint_eq (hyper_symbol_bits (65536, 15), 20);
}
END_TEST

/* --- what must not do harm --- */

START_TEST (joined_symbols)
{
  const uint32_t symbols[6] = { 5, 7, 24, 0, 0, 1 };
  uint32_t codes[2], back[6];

  ck_assert_uint_eq (hyper_joined_bits (25, 0, 1), 5);
  ck_assert_uint_eq (hyper_joined_bits (25, 0, 3), 14);
  ck_assert_uint_eq (hyper_joined_bits (65536, 0, 2), 32);
  ck_assert_uint_eq (hyper_joined_bits (1, 0, 8), 1);
  hyper_join (symbols, 2, 3, 25, codes);
  ck_assert_uint_eq (codes[0], 15180);
  ck_assert_uint_eq (codes[1], 625);
  hyper_split (codes, 2, 3, 25, back);
  ck_assert_mem_eq (back, symbols, sizeof symbols);
}
END_TEST

START_TEST (what_is_no_code_shows)
{
  const uint32_t codes[2] = { 15624, 15625 }; /* 25^3 - 1, 25^3 */
  uint32_t back[6];

  hyper_split (codes, 2, 3, 25, back);
  ck_assert_uint_eq (back[2], 24);
  ck_assert_uint_eq (back[5], 25);
  ck_assert_uint_eq (hyper_joined_bits (65536, 1, 2), 0);
  ck_assert_uint_eq (hyper_joined_bits (25, 0, 7), 0);
}
END_TEST

START_TEST (bad_symbol_is_found)
{
  const float params[4] = { 0, 0, 1, 2 };
  const uint32_t symbols[3] = { 0, 449, 450 };
  float out[6];
  Coder c;

  coder_init (&c, HYPER_GRID, 2, 225, 1, params);
  ck_assert_uint_eq (hyper_decode (&c.code, &c.frame, symbols, 3, out), 2);
  free (c.storage);
}
END_TEST

START_TEST (bad_frames)
{
  static const float bad[][4] = {
    { NAN, 0, 1, 1 }, { 0, INFINITY, 1, 1 }, { 0, 0, NAN, 1 }, { 0, 0, 1, -INFINITY }
  };
  HyperFrame frame;
  HyperCode code;
  void *storage = malloc (hyper_code_bytes (HYPER_GRID, 2, 9, true));

  hyper_code_init (&code, storage, HYPER_GRID, 2, 9, 1, true);
  ck_assert (!hyper_frame_init (&frame, &code, bad[_i]));
  free (storage);
}
END_TEST

/* Frames without extent, negative lengths, data that is all the same, all zero, or one huge number. */
START_TEST (degenerate_data)
{
  enum { N = 64 };
  float x[2 * N] = { 0 }, out[2 * N], p[4];
  uint32_t symbols[N];
  Coder c;

  for (unsigned i = 0; i < 2 * N; i++)
    x[i] = _i == 0 ? 0 : _i == 1 ? 3.5f : i == 5 ? 1e30f : 1e-3f;
  c.storage = malloc (hyper_code_bytes (HYPER_GRID, 2, 25, true));
  hyper_code_init (&c.code, c.storage, HYPER_GRID, 2, 25, 1, true);
  hyper_fit_frame (&c.code, x, N, p);
  ck_assert (hyper_frame_init (&c.frame, &c.code, p));
  hyper_encode (&c.code, &c.frame, HYPER_METRIC_NONE, NULL, x, N, symbols, NULL);
  ck_assert_uint_eq (hyper_decode (&c.code, &c.frame, symbols, N, out), N);
  for (unsigned i = 0; i < 2 * N; i++)
    ck_assert (isfinite (out[i]));
  if (_i < 2)
    ck_assert_mem_eq (x, out, sizeof x);
  p[2] = -1;
  p[3] = -2;
  ck_assert (hyper_frame_init (&c.frame, &c.code, p));
  hyper_encode (&c.code, &c.frame, HYPER_METRIC_NONE, NULL, x, N, symbols, NULL);
  ck_assert_uint_eq (hyper_decode (&c.code, &c.frame, symbols, N, out), N);
  free (c.storage);
}
END_TEST

/* Distances without an inverse: the centre stands for all, and no vector is coded as a far one. */
START_TEST (denormal_data)
{
  enum { N = 64 };
  float x[2 * N], out[2 * N], p[4];
  uint32_t symbols[N];
  double error = 0, energy = 0;
  Coder c;

  state = 11;
  for (unsigned i = 0; i < 2 * N; i++)
    x[i] = draw () * 1e-40f;
  c.storage = malloc (hyper_code_bytes (HYPER_GRID, 2, 225, true));
  hyper_code_init (&c.code, c.storage, HYPER_GRID, 2, 225, 1, true);
  hyper_fit_frame (&c.code, x, N, p);
  ck_assert (p[2] == 0 && p[3] == 0);
  ck_assert (hyper_frame_init (&c.frame, &c.code, p));
  hyper_encode (&c.code, &c.frame, HYPER_METRIC_NONE, NULL, x, N, symbols, NULL);
  ck_assert_uint_eq (hyper_decode (&c.code, &c.frame, symbols, N, out), N);
  for (unsigned i = 0; i < 2 * N; i++) {
    error += ((double) x[i] - out[i]) * ((double) x[i] - out[i]);
    energy += (double) x[i] * x[i];
  }
  ck_assert_double_le (error, energy);
  free (c.storage);
}
END_TEST

/* A sum beyond binary32 is the largest number of its sign. */
START_TEST (largest_numbers)
{
  const float params[4] = { FLT_MAX / 2, -FLT_MAX / 2, FLT_MAX, FLT_MAX };
  float out[2];
  Coder c;

  coder_init (&c, HYPER_GRID, 2, 225, 1, params);
  unsigned saturated = 0;
  for (uint32_t s = 0; s < 450; s++) {
    ck_assert_uint_eq (hyper_decode (&c.code, &c.frame, &s, 1, out), 1);
    ck_assert (isfinite (out[0]) && isfinite (out[1]));
    saturated += (out[0] == FLT_MAX) + (out[1] == -FLT_MAX);
  }
  ck_assert_uint_gt (saturated, 0);
  free (c.storage);
}
END_TEST

START_TEST (nothing_to_do)
{
  const float params[4] = { 0, 0, 1, 2 };
  float p[4];
  Coder c;

  coder_init (&c, HYPER_GRID, 2, 4, 0, params);
  hyper_encode (&c.code, &c.frame, HYPER_METRIC_NONE, NULL, NULL, 0, NULL, NULL);
  ck_assert_uint_eq (hyper_decode (&c.code, &c.frame, NULL, 0, NULL), 0);
  hyper_fit_frame (&c.code, NULL, 0, p);
  ck_assert (p[0] == 0 && p[2] == 0 && p[3] == 0);
  free (c.storage);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("hyper-kernel");
  TCase *good = tcase_create ("search"), *bad = tcase_create ("harm");

  tcase_add_test (good, grid_is_the_released_one);
  tcase_add_loop_test (good, classes_by_rule, 0, 4);
  tcase_add_test (good, winding_is_the_papers);
  tcase_add_loop_test (good, search_is_exact, 0, 32);
  tcase_add_test (good, scale_does_not_matter);
  tcase_add_test (good, gaussian_error);
  tcase_add_test (good, symbol_bits);
  tcase_add_test (good, joined_symbols);
  tcase_add_test (bad, what_is_no_code_shows);
  tcase_add_test (bad, bad_symbol_is_found);
  tcase_add_loop_test (bad, bad_frames, 0, 4);
  tcase_add_loop_test (bad, degenerate_data, 0, 3);
  tcase_add_test (bad, denormal_data);
  tcase_add_test (bad, largest_numbers);
  tcase_add_test (bad, nothing_to_do);
  suite_add_tcase (suite, good);
  suite_add_tcase (suite, bad);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  const int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
