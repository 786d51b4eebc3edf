/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "seedlm-lists-test.h"
#include "simd-kernel.h"

/* The search by lists of directions, against that of all seeds. */

enum { N_BLOCKS = 70 };

typedef struct {
  uint32_t seeds[N_BLOCKS], codes[N_BLOCKS];
  float t[N_BLOCKS * SEEDLM_MAX_RANK];
  double errors[N_BLOCKS], sum;
} Found;

static void
find (Listed *self, const SeedlmSearchParams *params, const SeedlmLists *lists, size_t most,
      const float *blocks, Found *found)
{
  memset (found, 0, sizeof *found);
  ck_assert (seedlm_search_set_lists (self->tables.search, lists, most));
  ck_assert (seedlm_search_run (self->tables.search, params, blocks, NULL, N_BLOCKS, found->seeds,
                                found->t, found->codes, found->errors));
  for (unsigned b = 0; b < N_BLOCKS; b++)
    found->sum += found->errors[b];
}

/* --- exact ------------------------------------------------------------------------------------------------------------- */

static const struct {
  unsigned c, p, k;
  size_t length;
  unsigned place_bytes;
} sizes[] = {
  { 8, 3, 10, 640, 2 }, { 8, 3, 10, 64, 2 },  { 12, 4, 10, 512, 4 },
  { 6, 1, 9, 256, 2 },  { 10, 2, 9, 128, 2 }, { 17, 4, 9, 256, 4 },
};
#define N_SIZES ((int) (sizeof sizes / sizeof *sizes))

/* Bit for bit, with any instructions, whether the lists are long enough or not. */
START_TEST (exact_as_the_search_of_all_seeds)
{
  Listed listed;
  Codebook codebook;
  unsigned rank = sizes[_i].p;
  const SeedlmSearchParams ways[] = {
    { .n_codes = 1 },
    { .quantize = block_float, .user_data = &rank, .n_codes = 1 },
    { .quantize = codebook_quantize, .user_data = &codebook, .n_codes = 1 },
  };

  listed_init (&listed, sizes[_i].c, sizes[_i].p, sizes[_i].k, sizes[_i].length,
               sizes[_i].place_bytes);
  codebook_init (&codebook, rank);
  float *blocks = normal_blocks (N_BLOCKS * sizes[_i].c);
  memset (blocks + 3 * sizes[_i].c, 0, sizes[_i].c * sizeof *blocks);
  for (unsigned way = 0; way < 3; way++) {
    static Found all, found;
    find (&listed, &ways[way], NULL, 0, blocks, &all);
    for (SimdKind simd = SIMD_PORTABLE; simd < SIMD_N_KINDS; simd++) {
      simd_limit (simd);
      find (&listed, &ways[way], listed.lists, 0, blocks, &found);
      ck_assert_mem_eq (found.seeds, all.seeds, sizeof all.seeds);
      ck_assert_mem_eq (found.t, all.t, sizeof all.t);
      ck_assert_mem_eq (found.errors, all.errors, sizeof all.errors);
      if (way == 2)
        ck_assert_mem_eq (found.codes, all.codes, sizeof all.codes);
    }
  }
  listed_clear (&listed);
  free (blocks);
}
END_TEST

/* What a list promises: every seed that gets so near to a block is within the extent, and passes the threshold. */
START_TEST (no_near_seed_is_missed)
{
  static const double errors[] = { 0.02, 0.1, 0.3 };
  static SeedlmHit hits[2048];
  Listed listed;

  listed_init (&listed, 8, 3, 10, 640, 2);
  float *blocks = normal_blocks (20 * 8);
  for (unsigned b = 0; b < 20; b++) {
    const float *block = norm_block (blocks, b, 8);
    SeedlmQuery query;
    int is_all;
    seedlm_query_init (&query, listed.lists, block, seedlm_lists_find (listed.lists, block));
    const size_t extent = seedlm_query_extent (&query, listed.lists, errors[_i], &is_all);
    const size_t n =
        seedlm_query_scan (&query, listed.lists, 0, extent,
                           seedlm_query_low (&query, listed.lists, errors[_i]), hits, 2048);
    for (uint32_t place = 0; place < listed.tables.sequence->period && is_all; place++) {
      const float *u = listed.tables.sequence->values + place;
      float t[3], metric[9], out[8];
      double error = 0;
      size_t i = 0;
      seedlm_project (u, 8, 3, block, NULL, t, metric);
      seedlm_decode (u, 8, 3, t, 1, out);
      for (unsigned k = 0; k < 8; k++)
        error += ((double) block[k] - out[k]) * ((double) block[k] - out[k]);
      while (i < n && hits[i].place != place)
        i++;
      ck_assert (error > errors[_i] + 1e-5 || i < n);
    }
  }
  listed_clear (&listed);
  free (blocks);
}
END_TEST

START_TEST (lists_do_not_depend_on_instructions)
{
  Listed one, other;
  size_t bytes[4];

  listed_init (&one, 12, 4, 10, 512, 2);
  simd_limit (SIMD_PORTABLE);
  listed_init (&other, 12, 4, 10, 512, 2);
  simd_limit (SIMD_AVX512);
  seedlm_lists_sizes (one.lists, bytes);
  ck_assert_mem_eq (one.lists->directions, other.lists->directions, bytes[0]);
  ck_assert_mem_eq (one.lists->places, other.lists->places, bytes[1]);
  ck_assert_mem_eq (one.lists->bounds, other.lists->bounds, bytes[2]);
  listed_clear (&one);
  listed_clear (&other);
}
END_TEST

/* --- fast -------------------------------------------------------------------------------------------------------------- */

START_TEST (fast_costs_some_error_and_less_with_more_seeds)
{
  static Found exact, found, other;
  Listed listed;
  Codebook codebook;
  const SeedlmSearchParams params = { .quantize = codebook_quantize,
                                      .user_data = &codebook,
                                      .n_codes = 1 };

  codebook_init (&codebook, 3);
  listed_init (&listed, 8, 3, 10, 640, 2);
  float *blocks = normal_blocks (N_BLOCKS * 8);
  find (&listed, &params, listed.lists, 0, blocks, &exact);
  double last = INFINITY;
  for (size_t most = 16; most <= 640; most *= 2) {
    find (&listed, &params, listed.lists, most, blocks, &found);
    ck_assert_double_ge (found.sum, exact.sum);
    ck_assert_double_le (found.sum, last);
    ck_assert (most > 16 || found.sum > 1.01 * exact.sum);
    last = found.sum;
    simd_limit (most % 64 ? SIMD_PORTABLE : SIMD_AVX2);
    find (&listed, &params, listed.lists, most, blocks, &other);
    ck_assert_mem_eq (found.seeds, other.seeds, sizeof found.seeds);
    simd_limit (SIMD_AVX512);
  }
  ck_assert_double_lt (last, 1.02 * exact.sum);
  listed_clear (&listed);
  free (blocks);
}
END_TEST

START_TEST (candidates_from_lists_are_among_the_best)
{
  enum { KEEP = 16 };
  SeedlmCandidate *all = malloc (N_BLOCKS * KEEP * sizeof *all);
  SeedlmCandidate *near = malloc (N_BLOCKS * KEEP * sizeof *near);
  unsigned same = 0;
  Listed listed;

  listed_init (&listed, 8, 3, 10, 640, 2);
  listed.lists->shape.enough = 512;
  float *blocks = normal_blocks (N_BLOCKS * 8);
  seedlm_search_collect (listed.tables.search, blocks, N_BLOCKS, KEEP, all);
  ck_assert (seedlm_search_set_lists (listed.tables.search, listed.lists, 0));
  seedlm_search_collect (listed.tables.search, blocks, N_BLOCKS, KEEP, near);
  for (unsigned b = 0; b < N_BLOCKS; b++)
    for (unsigned i = 0; i < KEEP; i++) {
      ck_assert_uint_lt (near[b * KEEP + i].place, 1023);
      ck_assert (i == 0 || near[b * KEEP + i].energy <= near[b * KEEP + i - 1].energy);
      same += near[b * KEEP].place == all[b * KEEP + i].place;
    }
  ck_assert_uint_ge (same, N_BLOCKS * 9 / 10);
  listed_clear (&listed);
  free (blocks);
  free (all);
  free (near);
}
END_TEST

/* --- what does not go -------------------------------------------------------------------------------------------------- */

static const struct {
  unsigned k, c, p;
} unfit[] = { { 15, 8, 3 }, { 17, 8, 3 }, { 12, 8, 3 }, { 16, 13, 4 },
              { 16, 8, 5 }, { 16, 5, 3 }, { 16, 4, 4 }, { 24, 8, 3 } };

START_TEST (no_lists_for_such)
{
  SeedlmListsShape shape;
  ck_assert (!seedlm_lists_shape (unfit[_i].k, unfit[_i].c, unfit[_i].p, &shape));
}
END_TEST

START_TEST (lists_that_there_are_have_a_limit)
{
  for (unsigned c = 4; c <= 12; c++)
    for (unsigned p = 1; p <= 4; p++) {
      SeedlmListsShape shape;
      if (!seedlm_lists_shape (16, c, p, &shape))
        continue;
      ck_assert_uint_le (shape.enough, shape.length);
      ck_assert_uint_eq (shape.length % SEEDLM_LISTS_STEP, 0);
      ck_assert_uint_le (seedlm_lists_bytes (16, c, &shape), (uint64_t) 192 << 20);
    }
}
END_TEST

START_TEST (damaged_lists_are_refused)
{
  Listed listed;

  listed_init (&listed, 8, 3, 10, 64, _i == 1 ? 4 : 2);
  SeedlmLists *lists = listed.lists;
  if (_i == 0)
    ((uint16_t *) lists->places)[100] = 1024;
  else if (_i == 1)
    ((uint32_t *) lists->places)[100] = 1u << 20;
  else
    lists->bounds[_i == 2 ? 1 : 4] = UINT16_MAX;
  ck_assert (!seedlm_lists_take (lists));
  listed_clear (&listed);
}
END_TEST

START_TEST (failure_of_the_quantizer_ends_the_search)
{
  const SeedlmSearchParams params = { .quantize = failing_quantize, .n_codes = 1 };
  static Found found;
  Listed listed;

  listed_init (&listed, 8, 3, 10, 64, 2);
  float *blocks = normal_blocks (N_BLOCKS * 8);
  ck_assert (seedlm_search_set_lists (listed.tables.search, listed.lists, _i ? 64 : 0));
  ck_assert (!seedlm_search_run (listed.tables.search, &params, blocks, NULL, N_BLOCKS, found.seeds,
                                 found.t, found.codes, found.errors));
  listed_clear (&listed);
  free (blocks);
}
END_TEST

/* Lists know nothing of weights, nor of an order of energy: then all seeds are looked at. */
START_TEST (lists_stand_back)
{
  static Found all, found;
  Listed listed;
  float weights[N_BLOCKS * 8];
  const SeedlmSearchParams params = { .max_candidates = _i ? 5 : 0, .n_codes = 1 };

  listed_init (&listed, 8, 3, 10, 64, 2);
  float *blocks = normal_blocks (N_BLOCKS * 8);
  for (unsigned i = 0; i < N_BLOCKS * 8; i++)
    weights[i] = _i ? 1 : 1 + (float) (i % 3);
  for (unsigned way = 0; way < 2; way++) {
    ck_assert (seedlm_search_set_lists (listed.tables.search, way ? listed.lists : NULL, 16));
    Found *into = way ? &found : &all;
    ck_assert (seedlm_search_run (listed.tables.search, &params, blocks, weights, N_BLOCKS,
                                  into->seeds, into->t, into->codes, into->errors));
  }
  ck_assert_mem_eq (found.seeds, all.seeds, sizeof all.seeds);
  listed_clear (&listed);
  free (blocks);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("seedlm-lists-kernel");
  TCase *exact = tcase_create ("exact"), *fast = tcase_create ("fast"),
        *negative = tcase_create ("not");

  tcase_add_loop_test (exact, exact_as_the_search_of_all_seeds, 0, N_SIZES);
  tcase_add_loop_test (exact, no_near_seed_is_missed, 0, 3);
  tcase_add_test (exact, lists_do_not_depend_on_instructions);
  tcase_add_test (fast, fast_costs_some_error_and_less_with_more_seeds);
  tcase_add_test (fast, candidates_from_lists_are_among_the_best);
  tcase_add_loop_test (negative, no_lists_for_such, 0, (int) (sizeof unfit / sizeof *unfit));
  tcase_add_test (negative, lists_that_there_are_have_a_limit);
  tcase_add_loop_test (negative, damaged_lists_are_refused, 0, 4);
  tcase_add_loop_test (negative, failure_of_the_quantizer_ends_the_search, 0, 2);
  tcase_add_loop_test (negative, lists_stand_back, 0, 2);
  suite_add_tcase (suite, exact);
  suite_add_tcase (suite, fast);
  suite_add_tcase (suite, negative);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  const int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
