/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "seedlm/seedlm-decode-kernel.h"
#include "simd-kernel.h"

#include <check.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Decoding without the register's cycle, by all instructions that the processor has: the bits are those of seedlm_decode(). */

#define MAX_BLOCKS 40
#define GUARD 77.0f

static uint32_t state;

static uint32_t
next_number (void)
{
  state = state * 1664525u + 1013904223u;
  return state >> 8;
}

static const struct {
  unsigned c, p, k;
  uint32_t leap;
} decoded[] = { { 8, 3, 16, 1 },    { 8, 3, 16, 16 },  { 12, 4, 16, 16 }, { 8, 3, 12, 11 },
                { 20, 3, 16, 16 },  { 40, 3, 18, 16 }, { 1, 1, 2, 1 },    { 5, 5, 7, 11 },
                { 7, 2, 5, 3 },     { 9, 1, 3, 1 },    { 16, 4, 8, 16 },  { 24, 8, 13, 16 },
                { 256, 8, 10, 1 },  { 255, 7, 9, 16 }, { 17, 6, 4, 2 },   { 13, 2, 14, 100 },
                { 28, 4, 17, 9999 } };
#define N_DECODED ((int) (sizeof decoded / sizeof *decoded))

/* For every number of blocks, also where the last vectors do not fit: nothing is written beyond. */
START_TEST (bits_are_those_of_the_plain_code)
{
  const unsigned c = decoded[_i].c, p = decoded[_i].p;
  SeedlmSequence *sequence = seedlm_sequence_new (decoded[_i].k, decoded[_i].leap, (size_t) c * p);
  SeedlmDecoder *decoder = seedlm_decoder_new (decoded[_i].k, decoded[_i].leap, c, p);
  uint32_t seeds[MAX_BLOCKS];
  float t[MAX_BLOCKS * SEEDLM_MAX_RANK];
  float *plain = malloc (sizeof *plain * (MAX_BLOCKS * c)),
        *out = malloc (sizeof *out * (MAX_BLOCKS * c + 1));

  state = 1;
  for (unsigned b = 0; b < MAX_BLOCKS; b++) {
    seeds[b] = 1 + next_number () % sequence->period;
    for (unsigned k = 0; k < p; k++)
      t[b * p + k] = (float) (int) (next_number () - (1u << 23)) * 0x1.4p-21f;
    seedlm_decode (seedlm_block_values (sequence, seeds[b]), c, p, t + b * p, -0.3f, plain + b * c);
  }
  for (int simd = SIMD_PORTABLE; simd < SIMD_N_KINDS; simd++) {
    simd_limit (simd);
    for (size_t n = 0; n <= MAX_BLOCKS; n = n < 20 ? n + 1 : n * 2) {
      for (size_t i = 0; i <= MAX_BLOCKS * c; i++)
        out[i] = GUARD;
      seedlm_decoder_run (decoder, seeds, t, -0.3f, n, out);
      ck_assert_mem_eq (out, plain, n * c * sizeof *out);
      ck_assert (out[n * c] == GUARD);
    }
  }
  simd_limit (SIMD_AVX512);
  seedlm_decoder_free (decoder);
  seedlm_sequence_free (sequence);
  free (plain);
  free (out);
}
END_TEST

/* Values of the states, each rounded once, though some of the code has no division: all states of short registers, some of long ones. */
START_TEST (values_are_rounded_once)
{
  const unsigned bits = (unsigned) _i;
  const uint32_t period = (1u << bits) - 1, stride = bits <= 14 ? 1 : period / 5000 | 1;
  SeedlmDecoder *decoder = seedlm_decoder_new (bits, 1, 1, 1);
  const uint32_t taps = seedlm_taps (bits);

  for (int simd = SIMD_PORTABLE; simd < SIMD_N_KINDS; simd++) {
    simd_limit (simd);
    for (uint32_t seed = 1; seed <= period;) {
      uint32_t seeds[64];
      float t[64], out[64];
      unsigned n = 0;
      for (; n < 64 && seed <= period; n++, seed += stride) {
        seeds[n] = seed;
        t[n] = 1;
      }
      seedlm_decoder_run (decoder, seeds, t, 1, n, out);
      for (unsigned i = 0; i < n; i++) {
        const float value = seedlm_value (seedlm_step (seeds[i], taps, bits), bits);
        ck_assert_mem_eq (&out[i], &value, sizeof value);
      }
    }
  }
  simd_limit (SIMD_AVX512);
  seedlm_decoder_free (decoder);
}
END_TEST

/* Long registers, against clocks one by one. */
START_TEST (long_registers)
{
  const unsigned bits = (unsigned) _i, c = 20, p = 3;
  const uint32_t leap = seedlm_leap_default (bits), taps = seedlm_taps (bits);
  SeedlmDecoder *decoder = seedlm_decoder_new (bits, leap, c, p);
  const uint32_t seeds[3] = { 1, (1u << bits) - 1, 1u << (bits - 1) };
  const float t[9] = { 1, -0.5f, 0.3f, 0, 2, 0, 1, 1, 1 };
  float u[60], plain[20], out[60];

  seedlm_decoder_run (decoder, seeds, t, 1.7f, 3, out);
  for (unsigned b = 0; b < 3; b++) {
    uint32_t now = seeds[b];
    for (unsigned i = 0; i < c * p; i++) {
      for (uint32_t k = 0; k < leap; k++)
        now = seedlm_step (now, taps, bits);
      u[i] = seedlm_value (now, bits);
    }
    seedlm_decode (u, c, p, t + b * p, 1.7f, plain);
    ck_assert_mem_eq (out + b * c, plain, sizeof plain);
  }
  seedlm_decoder_free (decoder);
}
END_TEST

START_TEST (tables_are_small)
{
  for (unsigned bits = SEEDLM_MIN_SEED_BITS; bits <= SEEDLM_MAX_SEED_BITS; bits++)
    for (unsigned rank = 1; rank <= SEEDLM_MAX_RANK; rank++) {
      SeedlmDecoder *decoder = seedlm_decoder_new (bits, 1, _i ? SEEDLM_MAX_BLOCK : rank, rank);
      ck_assert_uint_le (decoder->bytes, SEEDLM_DECODER_BYTES);
      ck_assert_uint_le (decoder->n_pieces, SEEDLM_MAX_PIECES);
      ck_assert_uint_ge (decoder->n_pieces * decoder->piece_bits, bits);
      seedlm_decoder_free (decoder);
    }
}
END_TEST

static TCase *
bits_case (void)
{
  TCase *tcase = tcase_create ("bits");
  tcase_add_loop_test (tcase, bits_are_those_of_the_plain_code, 0, N_DECODED);
  tcase_add_loop_test (tcase, values_are_rounded_once, SEEDLM_MIN_SEED_BITS,
                       SEEDLM_MAX_SEED_BITS + 1);
  tcase_add_loop_test (tcase, long_registers, 18, SEEDLM_MAX_SEED_BITS + 1);
  tcase_add_loop_test (tcase, tables_are_small, 0, 2);
  return tcase;
}

/* --- numbers at the edge ---------------------------------------------------------------------------------------------- */

/* Coefficients, scales, and what becomes of the first number: u is about -1/3 and 1/3 in turn, so that signs differ. */
static const struct {
  float t[2], scale;
} edges[] = {
  { { FLT_MAX, FLT_MAX }, 3 },
  { { FLT_MAX, -FLT_MAX }, FLT_MAX },
  { { 0x1p-149f, 0x1.8p-140f }, 1 },
  { { 0x1p-149f, 0x1.8p-140f }, 0x1p30f },
  { { 1, 1 }, 0x1p-149f },
  { { 1, 1 }, 0 },
  { { -0.0f, 0 }, -1 },
  { { INFINITY, 1 }, 1 },
  { { 1, 1 }, -INFINITY },
};

START_TEST (edges_are_those_of_the_plain_code)
{
  SeedlmSequence *sequence = seedlm_sequence_new (10, 16, 64);
  SeedlmDecoder *decoder = seedlm_decoder_new (10, 16, 11, 2);
  const uint32_t seeds[4] = { 1, 512, 1023, 77 };
  float t[8], plain[44], out[44];

  for (unsigned b = 0; b < 4; b++) {
    memcpy (t + 2 * b, edges[_i].t, sizeof edges[_i].t);
    seedlm_decode (seedlm_block_values (sequence, seeds[b]), 11, 2, t + 2 * b, edges[_i].scale,
                   plain + 11 * b);
  }
  for (int simd = SIMD_PORTABLE; simd < SIMD_N_KINDS; simd++) {
    simd_limit (simd);
    seedlm_decoder_run (decoder, seeds, t, edges[_i].scale, 4, out);
    for (unsigned i = 0; i < 44; i++)
      ck_assert (memcmp (&out[i], &plain[i], sizeof *out) == 0 ||
                 (isnan (out[i]) && isnan (plain[i])));
  }
  simd_limit (SIMD_AVX512);
  seedlm_decoder_free (decoder);
  seedlm_sequence_free (sequence);
}
END_TEST

/* What is no number stays none, also in vectors, and does not get into the blocks beside it. */
START_TEST (no_number_stays_none)
{
  SeedlmDecoder *decoder = seedlm_decoder_new (12, 16, (unsigned) _i, 1);
  const uint32_t seeds[3] = { 5, 6, 7 };
  const float t[3] = { 1, NAN, 1 };
  float out[3 * SEEDLM_MAX_BLOCK];

  for (int simd = SIMD_PORTABLE; simd < SIMD_N_KINDS; simd++) {
    simd_limit (simd);
    seedlm_decoder_run (decoder, seeds, t, 1, 3, out);
    for (int i = 0; i < 3 * _i; i++)
      ck_assert_int_eq (isnan (out[i]) != 0, i / _i == 1);
  }
  simd_limit (SIMD_AVX512);
  seedlm_decoder_free (decoder);
}
END_TEST

START_TEST (nothing_to_decode)
{
  SeedlmDecoder *decoder = seedlm_decoder_new (12, 16, 8, 3);
  float out = GUARD;

  seedlm_decoder_run (decoder, NULL, NULL, 1, 0, &out);
  ck_assert (out == GUARD);
  seedlm_decoder_free (decoder);
  seedlm_decoder_free (NULL);
}
END_TEST

static TCase *
edge_case (void)
{
  TCase *tcase = tcase_create ("edges");
  tcase_add_loop_test (tcase, edges_are_those_of_the_plain_code, 0,
                       (int) (sizeof edges / sizeof *edges));
  tcase_add_loop_test (tcase, no_number_stays_none, 1, 40);
  tcase_add_test (tcase, nothing_to_decode);
  return tcase;
}

int
main (void)
{
  Suite *suite = suite_create ("seedlm-decode-kernel");

  suite_add_tcase (suite, bits_case ());
  suite_add_tcase (suite, edge_case ());
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  const int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
