/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "seedlm-lists-test.h"
#include "seedlm/seedlm-cell-kernel.h"
#include "simd-kernel.h"

/* Scans of gathered lists, against scans of lists as they lie in memory. */

enum { MAX = 1024 };

static const struct {
  unsigned c, p;
  size_t length;
  unsigned place_bytes;
} sizes[] = {
  { 8, 3, 640, 2 }, { 12, 4, 512, 4 }, { 6, 1, 256, 2 }, { 10, 2, 128, 2 }, { 17, 3, 256, 4 }
};
#define N_SIZES ((int) (sizeof sizes / sizeof *sizes))

typedef struct {
  Listed listed;
  float *blocks;
  SeedlmCells *cells;
} Cells;

static void
cells_init (Cells *self, int size)
{
  listed_init (&self->listed, sizes[size].c, sizes[size].p, 10, sizes[size].length,
               sizes[size].place_bytes);
  self->blocks = normal_blocks ((size_t) 40 * sizes[size].c);
  self->cells = seedlm_cells_new (self->listed.lists);
  ck_assert_ptr_nonnull (self->cells);
}

static void
cells_clear (Cells *self)
{
  seedlm_cells_free (self->cells);
  free (self->blocks);
  listed_clear (&self->listed);
}

static void
query_init (Cells *self, unsigned b, SeedlmQuery *query)
{
  const float *block = norm_block (self->blocks, b, self->listed.c);

  seedlm_query_init (query, self->listed.lists, block,
                     seedlm_lists_find (self->listed.lists, block));
}

static void
same_hits (const SeedlmHit *a, size_t n_a, const SeedlmHit *b, size_t n_b)
{
  ck_assert_uint_eq (n_a, n_b);
  for (size_t i = 0; i < n_a; i++) {
    ck_assert_uint_eq (a[i].place, b[i].place);
    ck_assert_mem_eq (&a[i].energy, &b[i].energy, sizeof a[i].energy);
  }
}

/* More lists than there are cells, now and then one that is gathered already, in pieces. */
START_TEST (the_same_hits_with_any_instructions)
{
  static SeedlmHit wanted[MAX], hits[MAX];
  Cells cells;
  size_t sum = 0;

  cells_init (&cells, _i);
  const size_t n_steps = cells.listed.lists->shape.n_steps;
  for (SimdKind simd = SIMD_PORTABLE; simd < SIMD_N_KINDS; simd++) {
    simd_limit (simd);
    for (unsigned b = 0; b < 40; b++) {
      SeedlmQuery query;
      query_init (&cells, b, &query);
      const size_t from = b % 3 ? b % n_steps : 0;
      const size_t to = b % 2 ? n_steps : from + (n_steps - from) / 2;
      const float low = seedlm_query_low (&query, cells.listed.lists, b % 4 * 0.2);
      const size_t n_wanted =
          seedlm_query_scan (&query, cells.listed.lists, from, to, low, wanted, MAX);
      same_hits (hits, seedlm_cells_scan (cells.cells, &query, from, to, low, hits, MAX), wanted,
                 n_wanted);
      sum += n_wanted;
    }
  }
  simd_limit (SIMD_AVX512);
  ck_assert_uint_gt (sum, 100);
  cells_clear (&cells);
}
END_TEST

/* Of more hits than fit the first are given, and nothing behind the room is touched. */
START_TEST (no_more_hits_than_there_is_room_for)
{
  SeedlmHit wanted[80], hits[96];
  SeedlmQuery query;
  Cells cells;

  cells_init (&cells, 0);
  query_init (&cells, 1, &query);
  for (SimdKind simd = SIMD_PORTABLE; simd < SIMD_N_KINDS; simd++) {
    simd_limit (simd);
    const size_t room = (size_t) 16 * _i;
    memset (hits, 0x55, sizeof hits);
    const size_t n_wanted = seedlm_query_scan (&query, cells.listed.lists, 0, 40, 0, wanted, room);
    same_hits (hits, seedlm_cells_scan (cells.cells, &query, 0, 40, 0, hits, room), wanted,
               n_wanted);
    ck_assert_uint_le (n_wanted, room);
    for (size_t i = room; i < 96; i++)
      ck_assert_uint_eq (hits[i].place, 0x55555555);
  }
  simd_limit (SIMD_AVX512);
  cells_clear (&cells);
}
END_TEST

START_TEST (nothing_of_no_steps)
{
  SeedlmHit hit;
  SeedlmQuery query;
  Cells cells;

  cells_init (&cells, 1);
  query_init (&cells, 0, &query);
  ck_assert_uint_eq (seedlm_cells_scan (cells.cells, &query, 0, 0, 0, &hit, 0), 0);
  ck_assert_uint_eq (seedlm_cells_scan (cells.cells, &query, 3, 3, 0, &hit, 1), 0);
  ck_assert_uint_eq (seedlm_cells_scan (cells.cells, &query, 0, 3, INFINITY, &hit, 16), 0);
  cells_clear (&cells);
  seedlm_cells_free (NULL);
}
END_TEST

/* What lies behind the limit of a cell is read from the list. */
START_TEST (cells_have_a_limit)
{
  SeedlmListsShape shape;

  ck_assert (seedlm_lists_shape (16, 12, 4, &shape));
  ck_assert_uint_le (seedlm_cells_bytes (12, 4, &shape), (SEEDLM_N_CELLS + 1) * SEEDLM_CELL_LIMIT);
  ck_assert_uint_gt (shape.n_steps * 12 * 4 * SEEDLM_LISTS_STEP, SEEDLM_CELL_LIMIT);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("seedlm-cell-kernel");
  TCase *good = tcase_create ("same"), *negative = tcase_create ("not");

  tcase_add_loop_test (good, the_same_hits_with_any_instructions, 0, N_SIZES);
  tcase_add_loop_test (negative, no_more_hits_than_there_is_room_for, 0, 6);
  tcase_add_test (negative, nothing_of_no_steps);
  tcase_add_test (negative, cells_have_a_limit);
  suite_add_tcase (suite, good);
  suite_add_tcase (suite, negative);

  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
