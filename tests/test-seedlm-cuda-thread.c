/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "seedlm-twin-test.h"

#include "afp-dtype.h"

#include <float.h>

/* What a thread of a graphics processor does, run here, thread by thread over the same grid, against the kernels in C. */

/* --- decoding ----------------------------------------------------------------------------------------------------------- */

#define N_BLOCKS 37

static const struct {
  unsigned c, p, k;
  uint32_t leap;
} decoded[] = { { 8, 3, 16, 16 }, { 12, 4, 16, 1 }, { 20, 3, 24, 16 },
                { 1, 1, 2, 1 },   { 9, 2, 7, 11 },  { 256, 8, 10, 1 } };

START_TEST (decodes_the_same_bits)
{
  const unsigned c = decoded[_i].c, p = decoded[_i].p, k = decoded[_i].k;
  SeedlmDecoder *decoder = seedlm_decoder_new (k, decoded[_i].leap, c, p);
  float *t = normal_blocks (N_BLOCKS * p), *plain = malloc (sizeof *plain * N_BLOCKS * c);
  uint32_t seeds[N_BLOCKS];

  for (unsigned b = 0; b < N_BLOCKS; b++)
    seeds[b] = 1 + (uint32_t) (uniform () * decoder->period);
  seedlm_decoder_run (decoder, seeds, t, -1.7f, N_BLOCKS, plain);
  for (unsigned block = 0; block <= N_BLOCKS * c / SEEDLM_THREADS; block++)
    for (unsigned thread = 0; thread < SEEDLM_THREADS; thread++) {
      const unsigned at = block * SEEDLM_THREADS + thread, b = at / c;
      if (at >= N_BLOCKS * c)
        break;
      const float x = seedlm_thread_decode (decoder, seeds[b], t + b * p, -1.7f, at % c);
      ck_assert_mem_eq (&x, &plain[at], sizeof x);
      ck_assert_uint_eq (afp_thread_half (x), afp_f32_to_f16 (x));
    }
  seedlm_decoder_free (decoder);
  free (t);
  free (plain);
}
END_TEST

/* States alone: integers, one clock at a time. */
START_TEST (states_are_the_registers)
{
  const unsigned bits = (unsigned) _i;
  SeedlmDecoder *decoder = seedlm_decoder_new (bits, 1, 8, 2);
  uint32_t now = (1u << bits) - 2;

  for (unsigned i = 0; i < 16; i++) {
    const uint32_t there =
        seedlm_thread_state (decoder, (1u << bits) - 2, i % 2 * 8 + i / 2) ^ 0x80000000u;
    now = seedlm_step (now, seedlm_taps (bits), bits);
    ck_assert_uint_eq (there >> (32 - bits), now);
  }
  seedlm_decoder_free (decoder);
}
END_TEST

static const float edges[] = { 0,         -0.0f,           65504,        65519,      0x1p-14f,
                               0x1p-24f,  0x1p-25f,        0x1.8p-25f,   -0x1p-15f,  0x1.ffcp-15f,
                               0x1p-126f, 0x1p-149f,       1.0009765625, 1.00048828, 1.00146484,
                               2047.5f,   0x1.ffdfffp-15f, -0x1.004p-24f };

START_TEST (halves_at_the_edge)
{
  ck_assert_uint_eq (afp_thread_half (edges[_i]), afp_f32_to_f16 (edges[_i]));
}
END_TEST

START_TEST (halves_have_no_infinity)
{
  ck_assert_uint_eq (afp_thread_half (65520), 0x7bff);
  ck_assert_uint_eq (afp_thread_half (-FLT_MAX), 0xfbff);
  ck_assert_uint_eq (afp_thread_half (INFINITY), 0x7bff);
  ck_assert_uint_eq (afp_thread_half (NAN) & 0x7e00, 0x7e00);
}
END_TEST

START_TEST (sums_have_no_infinity)
{
  SeedlmDecoder *decoder = seedlm_decoder_new (3, 1, 4, 2);
  const float t[2] = { FLT_MAX, FLT_MAX }, none[2] = { NAN, 1 };

  ck_assert (seedlm_thread_decode (decoder, 4, t, 3, 0) == -FLT_MAX);
  ck_assert (seedlm_thread_decode (decoder, 4, t, 3, 1) == FLT_MAX);
  ck_assert (isnan (seedlm_thread_decode (decoder, 4, none, 1, 0)));
  seedlm_decoder_free (decoder);
}
END_TEST

static TCase *
decode_case (void)
{
  TCase *tcase = tcase_create ("decode");
  tcase_add_loop_test (tcase, decodes_the_same_bits, 0, (int) (sizeof decoded / sizeof *decoded));
  tcase_add_loop_test (tcase, states_are_the_registers, SEEDLM_MIN_SEED_BITS,
                       SEEDLM_MAX_SEED_BITS + 1);
  tcase_add_loop_test (tcase, halves_at_the_edge, 0, (int) (sizeof edges / sizeof *edges));
  tcase_add_test (tcase, halves_have_no_infinity);
  tcase_add_test (tcase, sums_have_no_infinity);
  return tcase;
}

/* --- searching ---------------------------------------------------------------------------------------------------------- */

enum { EXACT, MANTISSAS, POINTS, N_KINDS };

/* The shapes of the tests of the search, with and without hard seeds; the errors are those of the search in C. */
START_TEST (finds_the_least_error)
{
  const int shape = _i / N_KINDS, kind = _i % N_KINDS;
  const unsigned c = shapes[shape].c, p = shapes[shape].p;
  const size_t n = 3;
  Codebook codebook;
  unsigned rank = p;
  float *blocks = normal_blocks (n * c), *t_hat = malloc (sizeof *t_hat * n * p),
        *points = malloc (sizeof *points * 16 * p);
  uint32_t seeds[3], codes[3];
  double errors[3];
  Tables tables;
  Twin twin;

  codebook_init (&codebook, p);
  for (unsigned j = 0; j < 16; j++)
    memcpy (points + j * p, codebook.points[j], p * sizeof *points);
  tables_init (&tables, c, p, shapes[shape].k, shapes[shape].leap, kind == POINTS);
  const SeedlmSearchParams params = { .quantize = kind == POINTS      ? codebook_quantize
                                                  : kind == MANTISSAS ? best_block_float
                                                                      : NULL,
                                      .user_data = kind == POINTS ? (void *) &codebook : &rank,
                                      .n_codes = kind == POINTS };
  twin_init (&twin, tables.basis, blocks, n,
             (SeedlmThreadQuantizer){ .n_points = kind == POINTS ? 16 : 0,
                                      .points = points,
                                      .mantissa_bits = kind == MANTISSAS ? 4 : 0 });
  ck_assert (
      seedlm_search_run (tables.search, &params, blocks, NULL, n, seeds, t_hat, codes, errors));
  twin_run (&twin);
  for (size_t b = 0; b < n; b++) {
    ck_assert_double_eq_tol (twin.errors[b], errors[b], 1e-6 * errors[b] + 1e-12);
    ck_assert_uint_ge (twin.seeds[b], 1);
    ck_assert_uint_le (twin.seeds[b], tables.sequence->period);
    ck_assert (kind == POINTS || twin.codes[b] == 0);
  }
  twin_clear (&twin);
  tables_clear (&tables);
  free (blocks);
  free (t_hat);
  free (points);
}
END_TEST

/* Energies are those of the scan, within the margin; where the scan has none, there is none. */
START_TEST (energies_are_those_of_the_scan)
{
  const unsigned c = shapes[_i].c, p = shapes[_i].p;
  const uint32_t period = (1u << shapes[_i].k) - 1;
  float *block = normal_blocks (c);
  SeedlmCandidate *candidates = malloc (period * sizeof *candidates);
  double *energies = malloc (period * sizeof *energies);
  uint32_t n = 0;
  Tables tables;
  Twin twin;

  tables_init (&tables, c, p, shapes[_i].k, shapes[_i].leap, 0);
  twin_init (&twin, tables.basis, block, 1, (SeedlmThreadQuantizer){ 0 });
  seedlm_search_collect (tables.search, block, 1, period, candidates);
  for (uint32_t i = 0; i < period; i++)
    energies[i] = NAN;
  for (uint32_t i = 0; i < tables.basis->n_usable; i++)
    energies[candidates[i].place] = (double) candidates[i].energy;
  seedlm_thread_begin (&twin.search, &twin.shared, 0);
  for (uint32_t i = 0; i < seedlm_thread_count (&twin.search); i++) {
    const float energy = seedlm_thread_energy (&twin.search, twin.shared.normed, i);
    if (isnan (energy))
      continue;
    ck_assert_double_eq_tol ((double) energy, energies[seedlm_thread_place (&twin.search, i)],
                             (double) tables.basis->margin);
    n++;
  }
  ck_assert_uint_eq (n, tables.basis->n_usable);
  twin_clear (&twin);
  tables_clear (&tables);
  free (block);
  free (candidates);
  free (energies);
}
END_TEST

/* Every seed fits a block of zeros: the lowest is taken. */
START_TEST (a_block_of_zeros)
{
  const float block[8] = { 0 };
  Tables tables;
  Twin twin;

  tables_init (&tables, 8, 3, 8, 16, 0);
  twin_init (&twin, tables.basis, block, 1, (SeedlmThreadQuantizer){ .mantissa_bits = 4 });
  twin_run (&twin);
  ck_assert_uint_eq (twin.seeds[0], 1);
  ck_assert_double_eq (twin.errors[0], 0);
  twin_clear (&twin);
  tables_clear (&tables);
}
END_TEST

/* Mantissas: ties to even, the exponent's limits, and what is beyond them. */
static const float mantissas[][3] = {
  { 0, 0, 0 },
  { 7.5f, 0.5f, 1.5f },
  { 7.51f, -8, 1 },
  { -960, 3, 900 },
  { -1024, 1, 1100 },
  { 5000, 1, -5000 },
  { 1e-3f, 2e-3f, -4e-3f },
  { 0x1p-8f, 0x1.8p-8f, 0 },
  { 0.03f, -0.01f, 0 },
  { 1e30f, 1, 0 },
  { -1e-30f, 1e-30f, 1e-30f },
};

START_TEST (mantissas_are_the_papers)
{
  unsigned rank = 3;
  const float metric[9] = { 1, 0, 0, 0, 1, 0, 0, 0, 1 };
  float expected[3], t_hat[3];

  best_block_float (&rank, mantissas[_i], 1, NULL, NULL, expected);
  seedlm_thread_block_float (4, 3, metric, mantissas[_i], t_hat);
  for (unsigned p = 0; p < 3; p++)
    ck_assert_float_eq (t_hat[p], expected[p]);
}
END_TEST

static TCase *
search_case (void)
{
  TCase *tcase = tcase_create ("search");
  tcase_add_loop_test (tcase, finds_the_least_error, 0, N_SHAPES * N_KINDS);
  tcase_add_loop_test (tcase, energies_are_those_of_the_scan, 0, N_SHAPES);
  tcase_add_test (tcase, a_block_of_zeros);
  tcase_add_loop_test (tcase, mantissas_are_the_papers, 0,
                       (int) (sizeof mantissas / sizeof *mantissas));
  return tcase;
}

int
main (void)
{
  Suite *suite = suite_create ("seedlm-cuda-thread");

  suite_add_tcase (suite, decode_case ());
  suite_add_tcase (suite, search_case ());
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  const int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
