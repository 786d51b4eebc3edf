/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "entropy/rans-table-kernel.h"

#include "core-test.h"

#include <math.h>

static RansLog logs;

static double
bits_of (uint64_t cost)
{
  return (double) cost / RANS_COST_ONE;
}

/* Counts of a bell over 1 << bits symbols. */
static void
fill_bell (uint32_t *counts, guint bits, double deviation, double n)
{
  const double middle = (double) (1u << bits) / 2;

  for (guint i = 0; i < 1u << bits; i++) {
    const double t = ((double) i - middle) / deviation;
    counts[i] = (uint32_t) (n / deviation * exp (-t * t / 2));
  }
}

static void
assert_sum (const uint16_t *frequencies, const uint32_t *counts, gsize n, guint precision)
{
  guint64 sum = 0;

  for (gsize i = 0; i < n; i++) {
    ck_assert (!counts || (frequencies[i] != 0) == (counts[i] != 0));
    sum += frequencies[i];
  }
  ck_assert_uint_eq (sum, (guint64) 1 << precision);
}

/* --- costs -------------------------------------------------------------------------------------------------------- */

START_TEST (logarithms)
{
  for (guint32 x = 1; x < 1u << 31; x += 1 + x / 50)
    ck_assert_double_eq_tol (bits_of (rans_log (&logs, x)), log2 (x), 4e-5);
  for (guint e = 0; e < 32; e++)
    ck_assert_uint_eq (rans_log (&logs, (uint32_t) 1 << e), e << 16);
}
END_TEST

START_TEST (entropies)
{
  static const uint32_t counts[] = { 4, 0, 2, 1, 1 }, none[3] = { 0 };
  static const uint16_t frequencies[] = { 2048, 0, 1024, 512, 512 };

  ck_assert_double_eq_tol (bits_of (rans_entropy (&logs, counts, 5)), 14, 1e-3);
  ck_assert_double_eq_tol (bits_of (rans_cost (&logs, counts, frequencies, 5, 12)), 14, 1e-3);
  ck_assert_uint_eq (rans_entropy (&logs, none, 3), 0);
}
END_TEST

/* --- frequencies -------------------------------------------------------------------------------------------------- */

START_TEST (normalised)
{
  static const double deviations[] = { 0.3, 1, 4, 30, 300 };
  static uint32_t counts[1 << 11];
  static uint16_t frequencies[1 << 11];

  for (guint precision = RANS_MIN_PRECISION; precision <= RANS_MAX_PRECISION; precision++)
    for (guint d = 0; d < G_N_ELEMENTS (deviations); d++) {
      fill_bell (counts, 11, deviations[d], 1e6);
      counts[1900] = 1; /* far out */
      rans_normalise (counts, 1 << 11, precision, frequencies);
      assert_sum (frequencies, counts, 1 << 11, precision);
      const double ideal = bits_of (rans_entropy (&logs, counts, 1 << 11));
      const double cost = bits_of (rans_cost (&logs, counts, frequencies, 1 << 11, precision));
      ck_assert_double_le (cost, ideal * (d < 4 ? 1.006 : 1.02) + 30);
    }
}
END_TEST

START_TEST (odd_counts)
{
  static uint32_t counts[1 << 12];
  static uint16_t frequencies[1 << 12];

  rans_normalise (counts, 1 << 12, 12, frequencies); /* none */
  for (guint i = 0; i < 1 << 12; i++)
    ck_assert_uint_eq (frequencies[i], 0);
  counts[17] = 5; /* one */
  rans_normalise (counts, 1 << 12, 12, frequencies);
  ck_assert_uint_eq (frequencies[17], 4096);
  for (guint i = 0; i < 1 << 12; i++) /* as many as there are frequencies, and some of them often */
    counts[i] = i % 100 ? 1 : UINT32_MAX / 50;
  rans_normalise (counts, 1 << 12, 12, frequencies);
  assert_sum (frequencies, counts, 1 << 12, 12);
}
END_TEST

/* --- contexts ----------------------------------------------------------------------------------------------------- */

START_TEST (contexts_that_share)
{
  enum { N = 6, BITS = 5, SIZE = 1 << BITS };
  static const double deviations[N] = { 0, 2, 4, 2, 0, 4 };
  static const uint8_t expected[N] = { 0, 0, 1, 0, 0, 1 };
  uint32_t counts[N * SIZE] = { 0 }, sums[2 * SIZE] = { 0 };
  int64_t work[N * N];
  uint8_t map[N];

  for (guint c = 0; c < N; c++)
    if (deviations[c] > 0) {
      fill_bell (counts + c * SIZE, BITS, deviations[c], 1000 + c);
      for (guint i = 0; i < SIZE; i++)
        sums[expected[c] * SIZE + i] += counts[c * SIZE + i];
    }
  ck_assert_uint_eq (rans_merge (&logs, counts, N, BITS, map, work), 2);
  ck_assert_mem_eq (map, expected, N);
  ck_assert_mem_eq (counts, sums, sizeof sums);
}
END_TEST

/* Few symbols do not pay for two tables; none at all are one. */
START_TEST (contexts_too_small)
{
  uint32_t counts[2 * 16] = { 0 };
  int64_t work[4];
  uint8_t map[2] = { 9, 9 };

  ck_assert_uint_eq (rans_merge (&logs, counts, 2, 4, map, work), 1);
  ck_assert (map[0] == 0 && map[1] == 0);
  fill_bell (counts, 4, 1, 10);
  fill_bell (counts + 16, 4, 2, 10);
  ck_assert_uint_eq (rans_merge (&logs, counts, 2, 4, map, work), 1);
  ck_assert (map[0] == 0 && map[1] == 0);
}
END_TEST

/* --- written ------------------------------------------------------------------------------------------------------ */

typedef struct {
  RansTables tables;
  uint8_t map[20];
  uint16_t frequencies[3 << 11];
} Tables;

static void
make_tables (Tables *t, guint bits, guint precision, guint digits)
{
  static const double deviations[] = { 3, 1.5, 300 };
  static const uint8_t map[20] = { 0, 0, 1, 1, 0, 2, 2, 1, 0, 2, 2, 2 };
  static uint32_t counts[1 << 11];

  t->tables = (RansTables){ bits, precision, digits, 20, 3, t->map, t->frequencies };
  memcpy (t->map, map, sizeof map);
  for (guint i = 0; i < 3; i++) {
    fill_bell (counts, bits, deviations[i], 1e5);
    counts[0] = 1;
    rans_normalise (counts, (gsize) 1 << bits, precision, t->frequencies + (i << bits));
  }
}

START_TEST (tables_come_back)
{
  for (guint bits = 4; bits <= 11; bits += 7)
    for (guint digits = 1; digits <= RANS_EXACT; digits++) {
      g_autofree Tables *t = g_new0 (Tables, 1), *u = g_new0 (Tables, 1);
      g_autofree uint8_t *out = g_malloc (1 << 14);
      make_tables (t, bits, 12, digits);
      memcpy (u, t, sizeof *t);
      const gsize n = rans_write_tables (&t->tables, out, 1 << 14);
      ck_assert_uint_gt (n, 0);
      for (guint i = 0; i < 3; i++)
        assert_sum (t->frequencies + (i << bits), NULL, (gsize) 1 << bits, 12);
      if (digits == RANS_EXACT) /* nothing is lost */
        ck_assert_mem_eq (t->frequencies, u->frequencies, sizeof t->frequencies);
      memset (u, 0, sizeof *u);
      u->tables = (RansTables){ bits, 12, digits, 20, 0, u->map, u->frequencies };
      ck_assert (rans_read_tables (&u->tables, out, n, 3));
      ck_assert_uint_eq (u->tables.n_tables, 3);
      ck_assert_mem_eq (u->map, t->map, sizeof t->map);
      ck_assert_mem_eq (u->frequencies, t->frequencies, sizeof t->frequencies);
    }
}
END_TEST

/* 12 bits for a symbol that is used, exactly; 6 with one digit. */
START_TEST (tables_are_small)
{
  g_autofree Tables *t = g_new0 (Tables, 1);
  uint8_t out[64];

  make_tables (t, 4, 12, RANS_EXACT);
  t->tables.n_tables = t->tables.n_contexts = 1;
  ck_assert_uint_le (rans_write_tables (&t->tables, out, sizeof out), 19);
  make_tables (t, 4, 12, 1);
  t->tables.n_tables = t->tables.n_contexts = 1;
  ck_assert_uint_le (rans_write_tables (&t->tables, out, sizeof out), 10);
}
END_TEST

START_TEST (no_room)
{
  g_autofree Tables *t = g_new0 (Tables, 1);
  uint8_t out[20];

  memset (out, 0xa5, sizeof out);
  make_tables (t, 4, 12, RANS_EXACT);
  ck_assert_uint_eq (rans_write_tables (&t->tables, out, 10), 0);
  for (guint i = 10; i < sizeof out; i++)
    ck_assert_uint_eq (out[i], 0xa5);
}
END_TEST

START_TEST (wrong_tables)
{
  g_autofree Tables *t = g_new0 (Tables, 1), *u = g_new0 (Tables, 1);
  uint8_t out[256] = { 0 };

  make_tables (t, 4, 12, RANS_EXACT);
  const gsize n = rans_write_tables (&t->tables, out, sizeof out);
  u->tables = (RansTables){ 4, 12, RANS_EXACT, 20, 0, u->map, u->frequencies };
  ck_assert (rans_read_tables (&u->tables, out, n, 3));
  ck_assert (!rans_read_tables (&u->tables, out, n, 2));     /* more than allowed */
  ck_assert (!rans_read_tables (&u->tables, out, n + 8, 3)); /* and what comes then */
}
END_TEST

/* Any bytes are tables whose frequencies add up, or none. */
START_TEST (garbage)
{
  g_autofree Tables *u = g_new0 (Tables, 1);
  g_autoptr (GRand) rand = g_rand_new_with_seed (5);
  uint8_t in[40];
  guint good = 0;

  for (guint i = 0; i < 500; i++) {
    const gsize n = (gsize) g_rand_int_range (rand, 0, sizeof in);
    for (gsize k = 0; k < n; k++)
      in[k] = (uint8_t) g_rand_int (rand);
    u->tables = (RansTables){ 6, 12, 1 + i % 15, 20, 0, u->map, u->frequencies };
    if (!rans_read_tables (&u->tables, in, n, 3))
      continue;
    good++;
    ck_assert_uint_le (u->tables.n_tables, 3);
    for (guint c = 0; c < 20; c++)
      ck_assert_uint_lt (u->map[c], u->tables.n_tables);
    for (guint k = 0; k < u->tables.n_tables; k++) {
      guint sum = 0;
      for (guint s = 0; s < 64; s++)
        sum += u->frequencies[k * 64 + s];
      ck_assert (sum == 4096);
    }
  }
  ck_assert_uint_gt (good, 0);
}
END_TEST

static TCase *
all (void)
{
  TCase *tcase = tcase_create ("tables");
  rans_log_init (&logs);
  tcase_add_test (tcase, logarithms);
  tcase_add_test (tcase, entropies);
  tcase_add_test (tcase, normalised);
  tcase_add_test (tcase, odd_counts);
  tcase_add_test (tcase, contexts_that_share);
  tcase_add_test (tcase, contexts_too_small);
  tcase_add_test (tcase, tables_come_back);
  tcase_add_test (tcase, tables_are_small);
  tcase_add_test (tcase, no_room);
  tcase_add_test (tcase, wrong_tables);
  tcase_add_test (tcase, garbage);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { all };
  return run_suite ("rans-table-kernel", cases, G_N_ELEMENTS (cases));
}
