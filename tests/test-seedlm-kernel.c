/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "seedlm/seedlm-kernel.h"

#include <check.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The register, its leaps, its values, and decoding. */

/* --- register ------------------------------------------------------------------------------------------------------- */

/* The first states after 1, and the one after 1000 clocks. */
static const struct {
  unsigned bits;
  uint32_t far, states[14];
} vectors[] = {
  { 2, 2, { 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3 } },
  { 3, 3, { 4, 2, 5, 6, 7, 3, 1, 4, 2, 5, 6, 7, 3, 1 } },
  { 4, 13, { 8, 4, 2, 9, 12, 6, 11, 5, 10, 13, 14, 15, 7, 3 } },
  { 5, 13, { 16, 8, 4, 18, 9, 20, 26, 13, 6, 19, 25, 28, 30, 31 } },
  { 6, 58, { 32, 16, 8, 4, 2, 33, 48, 24, 12, 6, 35, 17, 40, 20 } },
  { 7, 83, { 64, 32, 16, 8, 4, 2, 65, 96, 48, 24, 12, 6, 67, 33 } },
  { 8, 15, { 128, 64, 32, 16, 136, 196, 226, 113, 56, 28, 142, 71, 35, 145 } },
  { 9, 117, { 256, 128, 64, 32, 16, 264, 132, 66, 33, 272, 392, 196, 98, 49 } },
  { 10, 431, { 512, 256, 128, 64, 32, 16, 8, 516, 258, 129, 576, 288, 144, 72 } },
  { 11, 361, { 1024, 512, 256, 128, 64, 32, 16, 8, 4, 1026, 513, 1280, 640, 320 } },
  { 12, 233, { 2048, 1024, 512, 256, 2176, 1088, 544, 272, 2184, 1092, 2594, 3345, 1672, 836 } },
  { 13, 7521, { 4096, 2048, 1024, 512, 256, 128, 64, 32, 4112, 2056, 1028, 4610, 6401, 7296 } },
  { 14,
    11677,
    { 8192, 4096, 10240, 5120, 10752, 5376, 10880, 5440, 10912, 5456, 10920, 5460, 2730, 9557 } },
  { 15, 32298, { 16384, 8192, 4096, 2048, 1024, 512, 256, 128, 64, 32, 16, 8, 4, 2 } },
  { 16,
    19882,
    { 32768, 16384, 8192, 4096, 34816, 17408, 8704, 4352, 34944, 17472, 8736, 4368, 34952,
      50244 } },
  { 17, 69368, { 65536, 32768, 16384, 8192, 4096, 2048, 1024, 512, 256, 128, 64, 32, 16, 8 } },
  { 18,
    21794,
    { 131072, 65536, 32768, 16384, 8192, 4096, 2048, 1024, 512, 256, 128, 131136, 65568, 32784 } },
  { 19,
    255141,
    { 262144, 131072, 65536, 32768, 16384, 8192, 4096, 2048, 1024, 512, 256, 128, 64, 32 } },
  { 20,
    520728,
    { 524288, 262144, 131072, 65536, 32768, 16384, 8192, 4096, 2048, 1024, 512, 256, 128, 64 } },
  { 21,
    459741,
    { 1048576, 524288, 262144, 131072, 65536, 32768, 16384, 8192, 4096, 2048, 1024, 512, 256,
      128 } },
  { 22,
    3139484,
    { 2097152, 1048576, 524288, 262144, 131072, 65536, 32768, 16384, 8192, 4096, 2048, 1024, 512,
      256 } },
  { 23,
    14504,
    { 4194304, 2097152, 1048576, 524288, 262144, 131072, 65536, 32768, 16384, 8192, 4096, 2048,
      1024, 512 } },
  { 24,
    12384684,
    { 8388608, 4194304, 2097152, 1048576, 524288, 262144, 131072, 65536, 32768, 16384, 8192, 4096,
      2048, 1024 } },
};
#define N_VECTORS ((int) (sizeof vectors / sizeof *vectors))

START_TEST (states_after_one)
{
  uint32_t state = 1, taps = seedlm_taps (vectors[_i].bits);

  for (unsigned n = 0; n < 14; n++) {
    state = seedlm_step (state, taps, vectors[_i].bits);
    ck_assert_uint_eq (state, vectors[_i].states[n]);
  }
}
END_TEST

START_TEST (state_after_many_clocks)
{
  uint32_t matrix[SEEDLM_MAX_SEED_BITS];

  seedlm_leap_matrix (vectors[_i].bits, 1000, matrix);
  ck_assert_uint_eq (seedlm_leap (matrix, 1), vectors[_i].far);
  seedlm_leap_matrix (vectors[_i].bits, 0, matrix);
  ck_assert_uint_eq (seedlm_leap (matrix, 3), 3);
}
END_TEST

/* Figure 4 of the paper. */
START_TEST (matrix_of_the_paper)
{
  static const uint32_t v[8] = { 2, 5, 6, 7, 3, 1, 4, 2 };
  SeedlmSequence *sequence = seedlm_sequence_new (3, 1, 8);
  const float *u = seedlm_block_values (sequence, 4);

  for (unsigned i = 0; i < 8; i++)
    ck_assert_float_eq (u[i], (float) (((double) v[i] - 4) / 3));
  seedlm_sequence_free (sequence);
}
END_TEST

START_TEST (period_is_full)
{
  const unsigned bits = (unsigned) _i;
  uint32_t state = 1, taps = seedlm_taps (bits), n = 0;

  do {
    state = seedlm_step (state, taps, bits);
    n++;
  } while (state != 1);
  ck_assert_uint_eq (n, (1u << bits) - 1);
}
END_TEST

/* No part of the period is a period: not the period over one of its prime factors. */
START_TEST (no_part_is_a_period)
{
  const unsigned bits = (unsigned) _i;
  const uint32_t period = (1u << bits) - 1;
  uint32_t matrix[SEEDLM_MAX_SEED_BITS], left = period;

  seedlm_leap_matrix (bits, period, matrix);
  for (unsigned i = 0; i < bits; i++)
    ck_assert_uint_eq (matrix[i], 1u << i);
  for (uint32_t factor = 2; left > 1; factor++) {
    if (left % factor)
      continue;
    for (; left % factor == 0; left /= factor) {
    }
    seedlm_leap_matrix (bits, period / factor, matrix);
    ck_assert_uint_ne (seedlm_leap (matrix, 1), 1);
  }
}
END_TEST

START_TEST (zero_stays_zero)
{
  uint32_t matrix[SEEDLM_MAX_SEED_BITS];

  ck_assert_uint_eq (seedlm_step (0, seedlm_taps (16), 16), 0);
  seedlm_leap_matrix (16, 7, matrix);
  ck_assert_uint_eq (seedlm_leap (matrix, 0), 0);
}
END_TEST

START_TEST (no_taps_outside)
{
  static const unsigned bits[] = { 0, 1, 25, 32, 4000000000u };

  ck_assert_uint_eq (seedlm_taps (bits[_i]), 0);
}
END_TEST

START_TEST (values_reach_from_minus_one_to_one)
{
  const unsigned bits = (unsigned) _i;

  ck_assert_float_eq (seedlm_value (1, bits), -1);
  ck_assert_float_eq (seedlm_value (1u << (bits - 1), bits), 0);
  ck_assert_float_eq (seedlm_value ((1u << bits) - 1, bits), 1);
}
END_TEST

static TCase *
register_case (void)
{
  TCase *tcase = tcase_create ("register");
  tcase_add_loop_test (tcase, states_after_one, 0, N_VECTORS);
  tcase_add_loop_test (tcase, state_after_many_clocks, 0, N_VECTORS);
  tcase_add_test (tcase, matrix_of_the_paper);
  tcase_add_loop_test (tcase, period_is_full, SEEDLM_MIN_SEED_BITS, 21);
  tcase_add_loop_test (tcase, no_part_is_a_period, SEEDLM_MIN_SEED_BITS, SEEDLM_MAX_SEED_BITS + 1);
  tcase_add_test (tcase, zero_stays_zero);
  tcase_add_loop_test (tcase, no_taps_outside, 0, 5);
  tcase_add_loop_test (tcase, values_reach_from_minus_one_to_one, 2, SEEDLM_MAX_SEED_BITS + 1);
  return tcase;
}

/* --- leaps ------------------------------------------------------------------------------------------------------------ */

static const struct {
  unsigned bits;
  uint32_t leap;
} shared_factors[] = { { 16, 3 },  { 16, 5 },  { 16, 17 }, { 16, 257 }, { 16, 65535 },
                       { 12, 7 },  { 12, 13 }, { 4, 5 },   { 20, 11 },  { 21, 7 },
                       { 22, 23 }, { 23, 47 }, { 24, 7 } };

START_TEST (leaps_with_a_shared_factor)
{
  ck_assert (!seedlm_leap_is_coprime (shared_factors[_i].bits, shared_factors[_i].leap));
}
END_TEST

START_TEST (powers_of_two_are_coprime)
{
  for (unsigned bits = 2; bits <= SEEDLM_MAX_SEED_BITS; bits++)
    for (unsigned e = 0; e < bits; e++)
      ck_assert (seedlm_leap_is_coprime (bits, 1u << e));
}
END_TEST

/* Coprime, and yet bad: twice the leap is one clock, forward or backward. */
static const struct {
  unsigned bits;
  uint32_t leap;
} alike[] = { { 16, 1 },       { 16, 32767 },   { 16, 32768 },         { 16, 65534 },
              { 16, 16384 },   { 12, 2047 },    { 12, 2048 },          { 10, 512 },
              { 8, 127 },      { 20, 1 << 19 }, { 21, 1 << 20 },       { 22, 1 << 21 },
              { 23, 1 << 22 }, { 24, 1 << 23 }, { 24, (1 << 24) - 2 }, { 24, (1 << 23) - 1 } };

START_TEST (bad_leaps_correlate)
{
  const double correlation =
      seedlm_leap_correlation (alike[_i].bits, alike[_i].leap, SEEDLM_CORRELATION_LAGS);

  ck_assert_double_ge (correlation, 0.48);
  ck_assert_double_gt (correlation, SEEDLM_MAX_CORRELATION);
}
END_TEST

static const struct {
  unsigned bits;
  uint32_t leap;
  double at_least, at_most;
} fair[] = { { 16, 2, 0.24, 0.26 }, { 16, 7, 0, 0.01 },    { 16, 16, 0, 0.001 },
             { 12, 16, 0, 0.002 },  { 16, 4, 0.06, 0.07 }, { 23, 7, 0.0078, 0.0079 },
             { 24, 2, 0.24, 0.26 } };

START_TEST (good_leaps_do_not)
{
  const double correlation =
      seedlm_leap_correlation (fair[_i].bits, fair[_i].leap, SEEDLM_CORRELATION_LAGS);

  ck_assert_double_ge (correlation, fair[_i].at_least);
  ck_assert_double_le (correlation, fair[_i].at_most);
}
END_TEST

/* The correlation of the default leap of each register, from 2 bits up. */
static const double default_correlations[] = { 0.500000000, 0.500000000, 0.385714286, 0.100000000,
                                               0.080645161, 0.023809524, 0.011811024, 0.005882353,
                                               0.002935421, 0.001466276, 0.000732780, 0.000366300,
                                               0.000183128, 0.000091558, 0.000045778, 0.000022889,
                                               0.000011444, 0.000009298, 0.000012338, 0.000013813,
                                               0.000014540, 0.000014900, 0.000015080 };

START_TEST (default_leap_is_good)
{
  const unsigned bits = (unsigned) _i;
  const uint32_t leap = seedlm_leap_default (bits);
  const double correlation = seedlm_leap_correlation (bits, leap, SEEDLM_CORRELATION_LAGS);

  ck_assert (seedlm_leap_is_coprime (bits, leap));
  ck_assert_uint_lt (leap, (1u << bits) - 1);
  ck_assert_double_eq_tol (correlation, default_correlations[bits - 2], 1e-9);
  if (leap != 1)
    ck_assert_double_le (correlation, 0.11);
}
END_TEST

/* What is computed is what can be measured. */
static double
measure (unsigned bits, uint32_t leap)
{
  SeedlmSequence *sequence = seedlm_sequence_new (bits, leap, 0);
  const double half = ldexp (1, (int) bits - 1);
  double square = 0, worst = 0;

  for (uint32_t lag = 0; lag <= SEEDLM_CORRELATION_LAGS && lag < sequence->period; lag++) {
    double sum = 0;
    for (uint32_t n = 0; n < sequence->period; n++)
      sum += (sequence->states[n] - half) * (sequence->states[(n + lag) % sequence->period] - half);
    if (lag == 0)
      square = sum;
    else
      worst = fmax (worst, fabs (sum) / square);
  }
  seedlm_sequence_free (sequence);
  return worst;
}

START_TEST (correlation_is_what_is_measured)
{
  const unsigned bits = (unsigned) _i;

  for (uint32_t leap = 1; leap < 40 && leap < (1u << bits) - 1; leap++)
    if (seedlm_leap_is_coprime (bits, leap))
      ck_assert_double_eq_tol (seedlm_leap_correlation (bits, leap, SEEDLM_CORRELATION_LAGS),
                               measure (bits, leap), 1e-9);
}
END_TEST

static TCase *
leap_case (void)
{
  TCase *tcase = tcase_create ("leap");
  tcase_add_loop_test (tcase, leaps_with_a_shared_factor, 0,
                       (int) (sizeof shared_factors / sizeof *shared_factors));
  tcase_add_test (tcase, powers_of_two_are_coprime);
  tcase_add_loop_test (tcase, bad_leaps_correlate, 0, (int) (sizeof alike / sizeof *alike));
  tcase_add_loop_test (tcase, good_leaps_do_not, 0, (int) (sizeof fair / sizeof *fair));
  tcase_add_loop_test (tcase, default_leap_is_good, 2, SEEDLM_MAX_SEED_BITS + 1);
  tcase_add_loop_test (tcase, correlation_is_what_is_measured, 2, 12);
  return tcase;
}

/* --- sequence --------------------------------------------------------------------------------------------------------- */

static const struct {
  unsigned bits;
  uint32_t leap;
  size_t extra;
} sequences[] = { { 2, 1, 20 },   { 3, 3, 40 },  { 8, 16, 300 },
                  { 12, 16, 96 }, { 16, 1, 24 }, { 16, 16, 48 } };

START_TEST (sequence_follows_the_register)
{
  const unsigned bits = sequences[_i].bits;
  SeedlmSequence *sequence = seedlm_sequence_new (bits, sequences[_i].leap, sequences[_i].extra);
  uint32_t state = 1;

  ck_assert_ptr_nonnull (sequence);
  ck_assert_uint_eq (sequence->period, (1u << bits) - 1);
  for (size_t n = 0; n < sequence->n_values; n++) {
    ck_assert_uint_eq (sequence->states[n % sequence->period], state);
    ck_assert_uint_eq (sequence->index[state], n % sequence->period);
    for (uint32_t i = 0; i < sequences[_i].leap; i++)
      state = seedlm_step (state, seedlm_taps (bits), bits);
    ck_assert_float_eq (sequence->values[n], seedlm_value (state, bits));
  }
  seedlm_sequence_free (sequence);
}
END_TEST

START_TEST (bytes_are_counted)
{
  ck_assert_uint_eq (seedlm_sequence_bytes (16, 0), 65536 * 12);
  ck_assert_uint_eq (seedlm_sequence_bytes (8, 100), 256 * 12 + 400);
}
END_TEST

START_TEST (nothing_to_free)
{
  seedlm_sequence_free (NULL);
}
END_TEST

/* --- decoding --------------------------------------------------------------------------------------------------------- */

START_TEST (decode_is_a_plain_sum)
{
  const unsigned rank = (unsigned) _i;
  static const unsigned sizes[] = { 1, 2, 7, 8, 12, 31, 256 };
  SeedlmSequence *sequence = seedlm_sequence_new (10, 16, SEEDLM_MAX_BLOCK * SEEDLM_MAX_RANK);
  float t[SEEDLM_MAX_RANK], out[SEEDLM_MAX_BLOCK];

  for (unsigned p = 0; p < rank; p++)
    t[p] = (float) (p + 1) * 0.37f - 1.1f;
  for (unsigned k = 0; k < sizeof sizes / sizeof *sizes; k++) {
    const float *u = seedlm_block_values (sequence, 77 + k);
    seedlm_decode (u, sizes[k], rank, t, 0.3f, out);
    for (unsigned i = 0; i < sizes[k]; i++) {
      volatile float sum = u[i * rank] * t[0];
      for (unsigned p = 1; p < rank; p++) {
        volatile float product = u[i * rank + p] * t[p];
        sum = sum + product;
      }
      sum = 0.3f * sum;
      ck_assert_mem_eq (&out[i], (const void *) &sum, sizeof sum);
    }
  }
  seedlm_sequence_free (sequence);
}
END_TEST

/* A product beyond binary32 is the largest number of its sign; what is no number stays none. */
START_TEST (decode_of_the_largest_numbers)
{
  const float u[4] = { 1, -1, 0.25f, 0 }, t[1] = { 2 }, none[1] = { NAN };
  float out[4];

  seedlm_decode (u, 4, 1, t, 0x1.8p127f, out);
  ck_assert (out[0] == FLT_MAX && out[1] == -FLT_MAX && out[2] == 0x1.8p126f && out[3] == 0);
  seedlm_decode (u, 4, 1, none, 1, out);
  ck_assert (isnan (out[0]) && isnan (out[3]));
}
END_TEST

START_TEST (numbers_are_divided)
{
  ck_assert (seedlm_divide (3, 2) == 1.5f && seedlm_divide (-3, 0.5f) == -6);
  ck_assert (seedlm_divide (FLT_MAX, 1) == SEEDLM_LARGEST);
  ck_assert (seedlm_divide (-FLT_MAX, 1) == -SEEDLM_LARGEST);
  ck_assert (seedlm_divide (1, 0) == 0); /* a scale that was rounded to nothing */
}
END_TEST

/* Column p of a seed's matrix is column p - 1 of the next one's: windows overlap. */
START_TEST (windows_overlap)
{
  SeedlmSequence *sequence = seedlm_sequence_new (12, 1, 64);
  const float t[3] = { 0, 0.5f, -0.25f }, shifted[3] = { 0.5f, -0.25f, 0 };
  float a[8], b[8];

  for (uint32_t seed = 1; seed < 4096; seed += 13) {
    const uint32_t next = seedlm_step (seed, seedlm_taps (12), 12);
    seedlm_decode (seedlm_block_values (sequence, seed), 8, 3, t, 1, a);
    seedlm_decode (seedlm_block_values (sequence, next), 8, 3, shifted, 1, b);
    for (unsigned i = 0; i < 8; i++)
      ck_assert_float_eq (a[i], b[i]);
  }
  seedlm_sequence_free (sequence);
}
END_TEST

static TCase *
sequence_case (void)
{
  TCase *tcase = tcase_create ("sequence");
  tcase_add_loop_test (tcase, sequence_follows_the_register, 0,
                       (int) (sizeof sequences / sizeof *sequences));
  tcase_add_test (tcase, bytes_are_counted);
  tcase_add_test (tcase, nothing_to_free);
  tcase_add_loop_test (tcase, decode_is_a_plain_sum, 1, SEEDLM_MAX_RANK + 1);
  tcase_add_test (tcase, decode_of_the_largest_numbers);
  tcase_add_test (tcase, numbers_are_divided);
  tcase_add_test (tcase, windows_overlap);
  return tcase;
}

int
main (void)
{
  Suite *suite = suite_create ("seedlm-kernel");

  suite_add_tcase (suite, register_case ());
  suite_add_tcase (suite, leap_case ());
  suite_add_tcase (suite, sequence_case ());
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  const int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
