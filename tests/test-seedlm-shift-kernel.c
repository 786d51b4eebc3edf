/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "seedlm-kernel-test.h"

#include "seedlm/seedlm-shift-kernel.h"
#include "simd-kernel.h"

/* Overlapping seeds: values of windows, rings of bits, and the search against all streams of a short ring. */

static const struct {
  unsigned state_bits, step_bits, step_length;
  size_t n_steps;
} ring_shapes[] = {
  { 12, 2, 1, 64 }, { 12, 3, 2, 32 }, { 12, 1, 1, 40 }, { 12, 1, 2, 40 }, { 10, 4, 1, 9 },
  { 7, 3, 1, 20 },  { 5, 4, 2, 12 },  { 4, 4, 1, 7 },   { 2, 1, 2, 5 },   { 9, 2, 2, 5 },
  { 6, 2, 1, 3 },   { 3, 3, 1, 1 },   { 8, 4, 2, 2 },   { 16, 1, 1, 17 },
};
#define N_RINGS ((int) (sizeof ring_shapes / sizeof *ring_shapes))

typedef struct {
  SeedlmShift *shift;
  SeedlmShiftSearch *search;
  size_t n_steps, n;
  float *x, *y;
  uint32_t *steps;
} Ring;

static void
ring_init (Ring *ring, int shape)
{
  ring->shift = seedlm_shift_new (ring_shapes[shape].state_bits, ring_shapes[shape].step_bits,
                                  ring_shapes[shape].step_length);
  ck_assert_ptr_nonnull (ring->shift);
  ring->n_steps = ring_shapes[shape].n_steps;
  ring->n = ring->n_steps * ring_shapes[shape].step_length;
  ring->search = seedlm_shift_search_new (ring->shift, ring->n_steps);
  ck_assert_ptr_nonnull (ring->search);
  ring->x = normal_blocks (ring->n);
  ring->y = malloc (ring->n * sizeof (float));
  ring->steps = calloc (ring->n_steps, sizeof (uint32_t));
}

static void
ring_clear (Ring *ring)
{
  seedlm_shift_search_free (ring->search);
  seedlm_shift_free (ring->shift);
  free (ring->x);
  free (ring->y);
  free (ring->steps);
}

/* Bit n of the stream is bit n mod step_bits of step n div step_bits; the window of step t ends with the step's own bits. */
static uint32_t
plain_window (const Ring *ring, size_t t)
{
  const size_t b = ring->shift->step_bits, total = b * ring->n_steps;
  const size_t end = (t + 1) * b + total * 16;
  uint32_t window = 0;

  for (unsigned i = 0; i < ring->shift->state_bits; i++) {
    const size_t bit = (end - ring->shift->state_bits + i) % total;
    window |= (ring->steps[bit / b] >> bit % b & 1) << i;
  }
  return window;
}

static double
ring_error (const Ring *ring, const float *weights)
{
  const unsigned length = ring->shift->step_length;
  double error = 0;

  for (size_t t = 0; t < ring->n_steps; t++)
    for (unsigned j = 0; j < length; j++) {
      const double d = ring->x[t * length + j] - seedlm_shift_value (plain_window (ring, t), j);
      error += d * d * (weights ? weights[t * length + j] : 1);
    }
  return error;
}

/* --- values ---------------------------------------------------------------------------------------------------------- */

/* SPEC.md has these. */
START_TEST (numbers_of_windows)
{
  static const struct {
    uint32_t window;
    int first, second;
  } known[] = { { 0, -128, 95 },   { 1, -17, -157 },  { 2, 82, -62 },      { 3, -7, 123 },
                { 4095, 80, -51 }, { 2730, 250, 12 }, { 65535, -166, -77 } };

  for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
    ck_assert_int_eq (seedlm_shift_number (known[i].window, 0), known[i].first);
    ck_assert_int_eq (seedlm_shift_number (known[i].window, 1), known[i].second);
  }
}
END_TEST

START_TEST (values_are_like_normal_numbers)
{
  for (unsigned lane = 0; lane < SEEDLM_SHIFT_MAX_STEP_LENGTH; lane++) {
    double sum = 0, square = 0, fourth = 0, neighbours = 0;
    for (uint32_t w = 0; w < 65536; w++) {
      const double v = seedlm_shift_value (w, lane);
      sum += v;
      square += v * v;
      fourth += v * v * v * v;
      neighbours += v * seedlm_shift_value ((w + 1) % 65536, lane);
      ck_assert_double_le (fabs (v), 510 / 147.8);
    }
    ck_assert_double_eq_tol (sum / 65536, 0, 0.01);
    ck_assert_double_eq_tol (square / 65536, 1, 0.02);
    ck_assert_double_eq_tol (fourth / 65536, 2.7, 0.1);
    ck_assert_double_eq_tol (neighbours / 65536, 0, 0.01);
  }
}
END_TEST

/* The two values of a step are not one. */
START_TEST (lanes_are_unlike)
{
  double product = 0;

  for (uint32_t w = 0; w < 65536; w++)
    product += seedlm_shift_value (w, 0) * seedlm_shift_value (w, 1);
  ck_assert_double_eq_tol (product / 65536, 0, 0.01);
}
END_TEST

/* --- decoding -------------------------------------------------------------------------------------------------------- */

START_TEST (a_segment_of_the_spec)
{
  static const uint32_t steps[] = { 2, 0, 3, 1, 1, 3, 0, 2 };
  static const int numbers[] = { -221, 2, 63, -96, 112, 61, 84, 14 };
  SeedlmShift *shift = seedlm_shift_new (12, 2, 1);
  float out[8];

  seedlm_shift_decode (shift, steps, 8, 2, out);
  for (size_t t = 0; t < 8; t++)
    ck_assert_float_eq (out[t], 2 * ((float) numbers[t] * 0x1.bb688cp-8f));
  seedlm_shift_free (shift);
}
END_TEST

START_TEST (windows_run_along_the_ring)
{
  Ring ring;

  ring_init (&ring, _i);
  for (size_t t = 0; t < ring.n_steps; t++)
    ring.steps[t] = (uint32_t) (uniform () * (1u << ring.shift->step_bits));
  seedlm_shift_decode (ring.shift, ring.steps, ring.n_steps, 0.5f, ring.y);
  for (size_t t = 0; t < ring.n_steps; t++)
    for (unsigned j = 0; j < ring.shift->step_length; j++)
      ck_assert_float_eq (ring.y[t * ring.shift->step_length + j],
                          0.5f * seedlm_shift_value (plain_window (&ring, t), j));
  ring_clear (&ring);
}
END_TEST

/* Damage: what is no step is none of the windows either, and changes nothing. */
START_TEST (bits_above_a_step_are_ignored)
{
  Ring ring;

  ring_init (&ring, _i);
  float *other = malloc (ring.n * sizeof (float));
  for (size_t t = 0; t < ring.n_steps; t++)
    ring.steps[t] = (uint32_t) (uniform () * (1u << ring.shift->step_bits));
  seedlm_shift_decode (ring.shift, ring.steps, ring.n_steps, 1, ring.y);
  for (size_t t = 0; t < ring.n_steps; t++)
    ring.steps[t] |= UINT32_MAX << ring.shift->step_bits;
  seedlm_shift_decode (ring.shift, ring.steps, ring.n_steps, 1, other);
  ck_assert_mem_eq (other, ring.y, ring.n * sizeof (float));
  free (other);
  ring_clear (&ring);
}
END_TEST

/* A flipped bit spoils the steps whose windows hold it, round the end of the ring if need be, and no others. */
START_TEST (damage_does_not_spread)
{
  Ring ring;

  ring_init (&ring, 0);
  float *other = malloc (ring.n * sizeof (float));
  for (size_t t = 0; t < ring.n_steps; t++)
    ring.steps[t] = (uint32_t) (uniform () * 4);
  seedlm_shift_decode (ring.shift, ring.steps, ring.n_steps, 1, ring.y);
  ring.steps[61] ^= 2;
  seedlm_shift_decode (ring.shift, ring.steps, ring.n_steps, 1, other);
  for (size_t t = 0; t < 64; t++)
    ck_assert_int_eq (other[t] != ring.y[t], t < 3 || t >= 61);
  free (other);
  ring_clear (&ring);
}
END_TEST

/* --- search ---------------------------------------------------------------------------------------------------------- */

/* All levels choose the same, and the error is that of the choice. */
START_TEST (instructions_make_no_difference)
{
  Ring ring;

  ring_init (&ring, _i);
  const SimdKind best = simd_limit (SIMD_N_KINDS);
  float *weights = malloc (ring.n * sizeof (float));
  uint32_t *steps = malloc (ring.n_steps * sizeof *steps);
  for (size_t i = 0; i < ring.n; i++)
    weights[i] = (float) uniform ();
  for (int weighted = 0; weighted < 2; weighted++) {
    const float *w = weighted ? weights : NULL;
    simd_limit (SIMD_PORTABLE);
    const float error = seedlm_shift_encode (ring.search, ring.x, w, ring.n_steps, ring.steps);
    ck_assert_double_eq_tol (error, ring_error (&ring, w), 1e-5 * error + 1e-6);
    for (SimdKind simd = SIMD_AVX2; simd <= best; simd++) {
      ck_assert_int_eq (simd_limit (simd), simd);
      const float same = seedlm_shift_encode (ring.search, ring.x, w, ring.n_steps, steps);
      ck_assert_mem_eq (&same, &error, sizeof same);
      ck_assert_mem_eq (steps, ring.steps, ring.n_steps * sizeof *steps);
    }
  }
  simd_limit (SIMD_N_KINDS);
  free (weights);
  free (steps);
  ring_clear (&ring);
}
END_TEST

/* @most: of the least error. A ring that a window fills is the hardest: all its windows are the same bits. */
static const struct {
  unsigned state_bits, step_bits, step_length;
  size_t n_steps;
  double most;
} tiny[] = { { 4, 1, 1, 12, 1.001 }, { 4, 2, 1, 6, 1.05 }, { 3, 1, 2, 12, 1.001 },
             { 6, 3, 2, 4, 1.03 },   { 5, 1, 1, 5, 1.3 },  { 6, 4, 1, 3, 1.001 } };

/* The least error of all streams, and of those whose first step follows the window that the search found there. */
static double
try_all (Ring *ring, const float *weights, double *through_seam)
{
  const unsigned b = ring->shift->step_bits;
  const uint32_t keep = UINT32_MAX << b;
  const uint32_t mask = (1u << ring->shift->state_bits) - 1;
  const uint32_t seam = plain_window (ring, ring->n_steps - 1) & (keep & mask);
  double least = INFINITY;

  *through_seam = INFINITY;
  for (uint32_t bits = 0; bits < 1u << b * ring->n_steps; bits++) {
    for (size_t t = 0; t < ring->n_steps; t++)
      ring->steps[t] = bits >> t * b & ((1u << b) - 1);
    const double error = ring_error (ring, weights);
    least = fmin (least, error);
    if ((plain_window (ring, ring->n_steps - 1) & (keep & mask)) == seam)
      *through_seam = fmin (*through_seam, error);
  }
  return least;
}

START_TEST (the_best_of_all_streams)
{
  Ring ring = { .n_steps = tiny[_i].n_steps, .n = tiny[_i].n_steps * tiny[_i].step_length };
  double found = 0, least = 0;
  float weights[24];

  ring.shift = seedlm_shift_new (tiny[_i].state_bits, tiny[_i].step_bits, tiny[_i].step_length);
  ring.search = seedlm_shift_search_new (ring.shift, ring.n_steps);
  ring.steps = calloc (ring.n_steps, sizeof (uint32_t));
  ring.x = normal_blocks (ring.n * 8);
  float *all = ring.x;
  for (int round = 0; round < 8; round++, ring.x += ring.n) {
    double through_seam;
    for (size_t i = 0; i < ring.n; i++)
      weights[i] = round % 2 ? (float) uniform () : 1;
    const float error = seedlm_shift_encode (ring.search, ring.x, round % 2 ? weights : NULL,
                                             ring.n_steps, ring.steps);
    ck_assert_double_eq_tol (error, ring_error (&ring, weights), 1e-5 * error + 1e-6);
    least += try_all (&ring, weights, &through_seam);
    ck_assert_double_eq_tol (error, through_seam, 1e-5 * error + 1e-6);
    found += error;
  }
  ck_assert_double_le (found, least * tiny[_i].most);
  ck_assert_double_ge (found, least * (1 - 1e-5));
  ring.x = all;
  ring_clear (&ring);
}
END_TEST

/* What has no weight has no say. */
START_TEST (without_weight_numbers_do_not_count)
{
  Ring ring;

  ring_init (&ring, 0);
  float weights[64];
  uint32_t steps[64];
  for (size_t i = 0; i < 64; i++)
    weights[i] = i % 3 != 0;
  seedlm_shift_encode (ring.search, ring.x, weights, 64, ring.steps);
  for (size_t i = 0; i < 64; i += 3)
    ring.x[i] = -ring.x[i] * 5;
  seedlm_shift_encode (ring.search, ring.x, weights, 64, steps);
  ck_assert_mem_eq (steps, ring.steps, sizeof steps);
  seedlm_shift_encode (ring.search, ring.x, NULL, 64, steps);
  ck_assert_mem_ne (steps, ring.steps, sizeof steps);
  ring_clear (&ring);
}
END_TEST

/* Numbers beyond all values pull no more than 32 does, and leave the others their due. */
START_TEST (an_outlier)
{
  Ring ring;
  uint32_t steps[64];
  double error = 0;

  ring_init (&ring, 0);
  ring.x[30] = 1e30f;
  ck_assert (isfinite (seedlm_shift_encode (ring.search, ring.x, NULL, 64, ring.steps)));
  ring.x[30] = 32;
  seedlm_shift_encode (ring.search, ring.x, NULL, 64, steps);
  ck_assert_mem_eq (steps, ring.steps, sizeof steps);
  seedlm_shift_decode (ring.shift, steps, 64, 1, ring.y);
  ck_assert_float_gt (ring.y[30], 2.5f);
  for (size_t i = 0; i < 64; i++)
    error += i == 30 ? 0 : pow (ring.x[i] - ring.y[i], 2);
  ck_assert_double_lt (error / 63, 0.3);
  ring_clear (&ring);
}
END_TEST

START_TEST (zeros_are_always_coded_alike)
{
  Ring ring;
  uint32_t steps[64];

  ring_init (&ring, 0);
  memset (ring.x, 0, 64 * sizeof (float));
  const float error = seedlm_shift_encode (ring.search, ring.x, NULL, 64, ring.steps);
  ck_assert_float_lt (error / 64, 0.1f);
  seedlm_shift_encode (ring.search, ring.x, NULL, 64, steps);
  ck_assert_mem_eq (steps, ring.steps, sizeof steps);
  ring_clear (&ring);
}
END_TEST

/* --- sizes ----------------------------------------------------------------------------------------------------------- */

START_TEST (steps_that_fill_a_window)
{
  ck_assert_uint_eq (seedlm_shift_min_steps (12, 1), 12);
  ck_assert_uint_eq (seedlm_shift_min_steps (12, 4), 3);
  ck_assert_uint_eq (seedlm_shift_min_steps (13, 4), 4);
  ck_assert_uint_eq (seedlm_shift_min_steps (4, 4), 1);
}
END_TEST

START_TEST (bytes_are_counted)
{
  ck_assert_uint_ge (seedlm_shift_bytes (12, 2), 8 << 12);
  ck_assert_uint_lt (seedlm_shift_bytes (12, 2), 9 << 12);
  ck_assert_uint_ge (seedlm_shift_search_bytes (12, 2, 1, 256), (12 << 12) + 256 * 256);
  ck_assert_uint_lt (seedlm_shift_search_bytes (12, 2, 1, 256), (13 << 12) + 256 * 256);
  ck_assert_uint_ge (seedlm_shift_search_bytes (2, 2, 1, 8), 8 * 2);
}
END_TEST

START_TEST (nothing_to_free)
{
  seedlm_shift_free (NULL);
  seedlm_shift_search_free (NULL);
}
END_TEST

static TCase *
shift_case (void)
{
  TCase *tcase = tcase_create ("shift");
  tcase_add_test (tcase, numbers_of_windows);
  tcase_add_test (tcase, values_are_like_normal_numbers);
  tcase_add_test (tcase, lanes_are_unlike);
  tcase_add_test (tcase, a_segment_of_the_spec);
  tcase_add_loop_test (tcase, windows_run_along_the_ring, 0, N_RINGS);
  tcase_add_loop_test (tcase, bits_above_a_step_are_ignored, 0, N_RINGS);
  tcase_add_test (tcase, damage_does_not_spread);
  tcase_add_loop_test (tcase, instructions_make_no_difference, 0, N_RINGS);
  tcase_add_loop_test (tcase, the_best_of_all_streams, 0, (int) (sizeof tiny / sizeof *tiny));
  tcase_add_test (tcase, without_weight_numbers_do_not_count);
  tcase_add_test (tcase, an_outlier);
  tcase_add_test (tcase, zeros_are_always_coded_alike);
  tcase_add_test (tcase, steps_that_fill_a_window);
  tcase_add_test (tcase, bytes_are_counted);
  tcase_add_test (tcase, nothing_to_free);
  return tcase;
}

int
main (void)
{
  Suite *suite = suite_create ("seedlm-shift-kernel");

  suite_add_tcase (suite, shift_case ());
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  const int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
