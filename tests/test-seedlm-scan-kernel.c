/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "seedlm-kernel-test.h"
#include "simd-kernel.h"

#include <float.h>

/* The scan of all seeds for the most energetic ones, and the least squares of one seed: against plain code, with all instructions. */

/* What the span of a seed's U has of a block of norm 1; negative: no span. */
static double
plain_energy (const Tables *tables, uint32_t place, const float *block)
{
  const unsigned c = tables->basis->block_size, p = tables->basis->rank;
  double q[SEEDLM_MAX_BLOCK * SEEDLM_MAX_RANK], energy = 0;

  if (!(seedlm_orthonormal (tables->sequence->values + place, c, p, q) < 1e6))
    return -1;
  for (unsigned k = 0; k < p; k++) {
    double sum = 0;
    for (unsigned i = 0; i < c; i++)
      sum += q[i * p + k] * (double) block[i];
    energy += sum * sum;
  }
  return energy;
}

static void
norm_blocks (float *blocks, unsigned c, unsigned n)
{
  for (unsigned b = 0; b < n; b++, blocks += c) {
    double sum = 0;
    for (unsigned i = 0; i < c; i++)
      sum += (double) blocks[i] * (double) blocks[i];
    for (unsigned i = 0; i < c; i++)
      blocks[i] = (float) (blocks[i] / sqrt (sum));
  }
}

#define N_BLOCKS 3
#define KEEP 24

typedef struct {
  Tables tables;
  float *blocks, *scratch;
  SeedlmList lists[N_BLOCKS];
  SeedlmCandidate entries[N_BLOCKS][2 * KEEP];
} Scan;

static void
scan_init (Scan *self, int shape)
{
  tables_init (&self->tables, shapes[shape].c, shapes[shape].p, shapes[shape].k, shapes[shape].leap,
               0);
  self->blocks = normal_blocks (N_BLOCKS * shapes[shape].c);
  norm_blocks (self->blocks, shapes[shape].c, N_BLOCKS);
  self->scratch =
      aligned_alloc (64, (seedlm_scan_scratch (shapes[shape].c) * sizeof (float) + 63) / 64 * 64);
}

static void
scan_run (Scan *self, float low, float high)
{
  for (unsigned b = 0; b < N_BLOCKS; b++)
    self->lists[b] =
        (SeedlmList){ .low = low, .high = high, .keep = KEEP, .entries = self->entries[b] };
  seedlm_scan (self->tables.basis, self->blocks, N_BLOCKS, self->lists, self->scratch);
}

static void
scan_clear (Scan *self)
{
  tables_clear (&self->tables);
  free (self->blocks);
  free (self->scratch);
}

/* The highest energies of all seeds, in order, whatever the instructions: none is missing, none is there that is not usable. */
START_TEST (the_best_of_all_seeds)
{
  const int shape = _i / SIMD_N_KINDS;
  Scan scan;

  simd_limit ((SimdKind) (_i % SIMD_N_KINDS));
  scan_init (&scan, shape);
  const unsigned c = shapes[shape].c;
  const uint32_t period = scan.tables.sequence->period;
  const double margin = (double) scan.tables.basis->margin;
  scan_run (&scan, -1, INFINITY);
  for (unsigned b = 0; b < N_BLOCKS; b++) {
    const SeedlmList *list = &scan.lists[b];
    const uint32_t usable = scan.tables.basis->n_usable;
    uint32_t above = 0;
    ck_assert_uint_ge (list->n, usable < KEEP ? usable : KEEP);
    ck_assert_uint_le (list->n, usable < 2 * KEEP ? usable : 2 * KEEP);
    const double last = (double) list->entries[list->n - 1].energy;
    for (uint32_t place = 0; place < period; place++)
      above += plain_energy (&scan.tables, place, scan.blocks + b * c) > last + 2 * margin;
    ck_assert_uint_le (above, list->n);
    for (size_t i = 0; i < list->n; i++) {
      const double energy =
          plain_energy (&scan.tables, list->entries[i].place, scan.blocks + b * c);
      ck_assert_double_eq_tol ((double) list->entries[i].energy, energy, margin);
      ck_assert (i == 0 || list->entries[i].energy <= list->entries[i - 1].energy);
      for (size_t j = 0; j < i; j++)
        ck_assert_uint_ne (list->entries[j].place, list->entries[i].place);
    }
  }
  scan_clear (&scan);
  simd_limit (SIMD_AVX512);
}
END_TEST

/* Energies that nobody wants are left out: above what is high, below what is low, and then that is said. */
START_TEST (what_is_not_wanted_is_left_out)
{
  Scan scan;

  scan_init (&scan, 0);
  scan_run (&scan, -1, INFINITY);
  const float top = scan.lists[0].entries[0].energy, next = scan.lists[0].entries[4].energy;
  scan_run (&scan, -1, next);
  for (size_t i = 0; i < scan.lists[0].n; i++)
    ck_assert_float_le (scan.lists[0].entries[i].energy, next);
  ck_assert_uint_ge (scan.lists[0].n, KEEP);
  scan_run (&scan, nextafterf (top, 2), INFINITY);
  ck_assert_uint_eq (scan.lists[0].n, 0);
  scan_clear (&scan);
}
END_TEST

/* A block with NaN has no energy anywhere. */
START_TEST (no_number_is_no_energy)
{
  Scan scan;

  simd_limit ((SimdKind) _i);
  scan_init (&scan, 0);
  scan.blocks[1] = NAN;
  scan_run (&scan, -1, INFINITY);
  ck_assert_uint_eq (scan.lists[0].n, 0);
  ck_assert_uint_ge (scan.lists[1].n, KEEP);
  scan_clear (&scan);
  simd_limit (SIMD_AVX512);
}
END_TEST

START_TEST (equal_energies_go_by_place)
{
  SeedlmCandidate e[] = { { 0.5f, 9 }, { 0.25f, 1 }, { 0.5f, 2 }, { 1, 7 }, { 0.5f, 4 } };
  static const uint32_t order[] = { 7, 2, 4, 9, 1 };

  seedlm_sort_candidates (e, 5);
  for (unsigned i = 0; i < 5; i++)
    ck_assert_uint_eq (e[i].place, order[i]);
  seedlm_sort_candidates (e, 0);
}
END_TEST

static TCase *
scan_case (void)
{
  TCase *tcase = tcase_create ("scan");
  tcase_add_loop_test (tcase, the_best_of_all_seeds, 0, N_SHAPES * SIMD_N_KINDS);
  tcase_add_test (tcase, what_is_not_wanted_is_left_out);
  tcase_add_loop_test (tcase, no_number_is_no_energy, 0, SIMD_N_KINDS);
  tcase_add_test (tcase, equal_energies_go_by_place);
  return tcase;
}

/* --- one seed ----------------------------------------------------------------------------------------------------------- */

/* What is left of the block is orthogonal to U, under the weights or the matrix; the metric is U'DU. @kind: none, weights, matrix */
START_TEST (least_squares_leave_what_is_orthogonal)
{
  const int shape = _i / 3, kind = _i % 3;
  const unsigned c = shapes[shape].c, p = shapes[shape].p;
  float *block = normal_blocks (c), *d = calloc ((size_t) c * c, sizeof *d), t[SEEDLM_MAX_RANK],
        weights[SEEDLM_MAX_BLOCK], metric[SEEDLM_MAX_RANK * SEEDLM_MAX_RANK];
  Tables tables;

  tables_init (&tables, c, p, shapes[shape].k, shapes[shape].leap, 0);
  uint32_t place = 0;
  while (plain_energy (&tables, place, block) < 0)
    place++;
  const float *u = tables.sequence->values + place;
  for (unsigned i = 0; i < c; i++) {
    weights[i] = kind ? 0.5f + 1.5f * (float) (i % 3) : 1;
    d[i * c + i] = weights[i];
    if (kind == 2 && i > 0)
      d[i * c + i - 1] = d[(i - 1) * c + i] = 0.2f;
  }
  if (kind == 2)
    seedlm_project_metric (u, c, p, block, d, t, metric);
  else
    seedlm_project (u, c, p, block, kind ? weights : NULL, t, metric);
  for (unsigned k = 0; k < p; k++) {
    double sum = 0, scale = 1e-12, row = 0;
    for (unsigned i = 0; i < c; i++)
      for (unsigned j = 0; j < c; j++) {
        double left = (double) block[j];
        for (unsigned q = 0; q < p; q++)
          left -= (double) u[j * p + q] * (double) t[q];
        sum += (double) u[i * p + k] * (double) d[i * c + j] * left;
        scale += fabs ((double) u[i * p + k] * (double) d[i * c + j] * (double) block[j]);
        row += (double) u[i * p + k] * (double) d[i * c + j] * (double) u[j * p];
      }
    double largest = scale;
    for (unsigned q = 0; q < p; q++)
      largest = fmax (largest, fabs ((double) t[q]) * c);
    ck_assert_double_le (fabs (sum), 1e-5 * largest);
    ck_assert_double_eq_tol ((double) metric[k * p], row, 1e-5 * (fabs (row) + c));
    for (unsigned q = 0; q < p; q++)
      ck_assert_float_eq (metric[k * p + q], metric[q * p + k]);
  }
  tables_clear (&tables);
  free (block);
  free (d);
}
END_TEST

/* A U without full rank gives numbers all the same, and a block that is none gives none. */
START_TEST (without_a_solution)
{
  const float u[8] = { 1, 1, 2, 2, -1, -1, 0.5f, 0.5f };
  float block[4] = { 1, 2, 3, 4 }, t[2], metric[4];

  seedlm_project (u, 4, 2, block, NULL, t, metric);
  ck_assert (isfinite (t[0]) && isfinite (t[1]));
  block[2] = NAN;
  seedlm_project (u, 4, 2, block, NULL, t, metric);
  ck_assert (isnan (t[0]) && isnan (t[1]));
  ck_assert (isfinite (metric[0]));
}
END_TEST

static TCase *
project_case (void)
{
  TCase *tcase = tcase_create ("project");
  tcase_add_loop_test (tcase, least_squares_leave_what_is_orthogonal, 0, 3 * N_SHAPES);
  tcase_add_test (tcase, without_a_solution);
  return tcase;
}

int
main (void)
{
  Suite *suite = suite_create ("seedlm-scan-kernel");

  suite_add_tcase (suite, scan_case ());
  suite_add_tcase (suite, project_case ());
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  const int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
