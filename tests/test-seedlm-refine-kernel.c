/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "seedlm-lists-test.h"
#include "simd-kernel.h"

/* Energies of hits, against least squares in double. */

enum { N = 130 };

static const struct {
  unsigned c, p;
} sizes[] = { { 8, 3 }, { 12, 4 }, { 6, 1 }, { 10, 2 }, { 9, 4 }, { 11, 3 } };
#define N_SIZES ((int) (sizeof sizes / sizeof *sizes))

/* What is left of a block of norm 1. */
static double
true_energy (const Listed *listed, uint32_t place, const float *block)
{
  double q[SEEDLM_MAX_BLOCK * SEEDLM_MAX_RANK], energy = 0;

  if (!isfinite (
          seedlm_orthonormal (listed->tables.sequence->values + place, listed->c, listed->p, q)))
    return NAN;
  for (unsigned p = 0; p < listed->p; p++) {
    double dot = 0;
    for (unsigned i = 0; i < listed->c; i++)
      dot += q[i * listed->p + p] * block[i];
    energy += dot * dot;
  }
  return energy;
}

static void
all_hits (SeedlmHit *hits, float energy)
{
  for (uint32_t i = 0; i < N; i++)
    hits[i] = (SeedlmHit){ energy, i * 7 % 1023 };
}

START_TEST (energies_are_within_the_margin)
{
  SeedlmHit hits[N];
  SeedlmQuery query;
  Listed listed;

  listed_init (&listed, sizes[_i].c, sizes[_i].p, 10, 128, 2);
  float *blocks = normal_blocks (listed.c);
  const float *block = norm_block (blocks, 0, listed.c);
  seedlm_query_init (&query, listed.lists, block, 0);
  for (SimdKind simd = SIMD_PORTABLE; simd < SIMD_N_KINDS; simd++)
    for (unsigned n = 0; n <= N;
         n = n < 9 ? n + 1 : 2 * n - 5) { /* with and without a rest of four */
      simd_limit (simd);
      all_hits (hits, 0);
      seedlm_query_refine (&query, listed.lists, block, hits, n);
      for (unsigned i = 0; i < n; i++) {
        const double wanted = true_energy (&listed, hits[i].place, block);
        if (isnan (*seedlm_basis_factors (listed.tables.basis, hits[i].place)))
          continue;
        ck_assert_double_le (fabs (hits[i].energy - wanted), listed.tables.basis->margin);
      }
      for (unsigned i = n; i < N; i++)
        ck_assert_float_eq (hits[i].energy, 0);
    }
  simd_limit (SIMD_AVX512);
  listed_clear (&listed);
  free (blocks);
}
END_TEST

/* Nearly square: many seeds have no factors. Their energies are bounds then, from the scan's numbers. */
START_TEST (without_factors_the_energy_is_a_bound)
{
  static SeedlmHit hits[1200];
  SeedlmQuery query;
  Listed listed;
  unsigned n_hard = 0;

  listed_init (&listed, 4, 3, 10, 640, 2);
  float *blocks = normal_blocks (4);
  const float *block = norm_block (blocks, 0, 4);
  seedlm_query_init (&query, listed.lists, block, seedlm_lists_find (listed.lists, block));
  simd_limit (_i);
  const size_t n = seedlm_query_scan (&query, listed.lists, 0, 40, 0, hits, 1200);
  seedlm_query_refine (&query, listed.lists, block, hits, n);
  for (size_t i = 0; i < n; i++) {
    const double wanted = true_energy (&listed, hits[i].place, block);
    ck_assert (!isnan (hits[i].energy));
    if (hits[i].place < 1023 &&
        isnan (*seedlm_basis_factors (listed.tables.basis, hits[i].place)) && !isnan (wanted)) {
      ck_assert_double_ge (hits[i].energy, wanted - 1e-6);
      n_hard++;
    }
  }
  simd_limit (SIMD_AVX512);
  ck_assert_uint_gt (n_hard, 0);
  listed_clear (&listed);
  free (blocks);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("seedlm-refine-kernel");
  TCase *good = tcase_create ("energies"), *negative = tcase_create ("not");

  tcase_add_loop_test (good, energies_are_within_the_margin, 0, N_SIZES);
  tcase_add_loop_test (negative, without_factors_the_energy_is_a_bound, 0, SIMD_N_KINDS);
  suite_add_tcase (suite, good);
  suite_add_tcase (suite, negative);

  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
