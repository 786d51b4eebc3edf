/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core-test.h"

#include "bpe.h"

/* Letters a..z are 0..25; a pair (x, y) with rank r becomes 100 + r. */
typedef struct {
  guint32 left, right;
  double rank;
} Rule;

typedef struct {
  const Rule *rules;
  gsize n;
} Rules;

static gboolean
find (gpointer user_data, guint32 left, guint32 right, double *rank, guint32 *merged)
{
  const Rules *rules = user_data;

  for (gsize i = 0; i < rules->n; i++)
    if (rules->rules[i].left == left && rules->rules[i].right == right) {
      *rank = rules->rules[i].rank;
      *merged = 100 + (guint32) i;
      return TRUE;
    }
  return FALSE;
}

/* The definition, step by step. */
static gsize
merge_slowly (guint32 *ids, gsize n, Rules *rules)
{
  for (;;) {
    gsize best = n;
    double least = 0, rank;
    guint32 merged, id = 0;
    for (gsize i = 0; i + 1 < n; i++)
      if (find (rules, ids[i], ids[i + 1], &rank, &merged) && (best == n || rank < least)) {
        best = i;
        least = rank;
        id = merged;
      }
    if (best == n)
      return n;
    ids[best] = id;
    for (gsize i = best + 1; i + 1 < n; i++)
      ids[i] = ids[i + 1];
    n--;
  }
}

START_TEST (merges_are_those_of_the_definition)
{
  GRand *random = g_rand_new_with_seed ((guint32) _i);
  Rule rules[60];
  Rules all = { rules, G_N_ELEMENTS (rules) };
  guint32 fast[200], slow[200];

  for (guint i = 0; i < G_N_ELEMENTS (rules); i++) {
    /* parts are letters or what earlier rules made; some ranks are equal */
    const guint32 most = i < 10 ? 0 : i;
    rules[i].left = most && g_rand_boolean (random) ? 100 + g_rand_int_range (random, 0, most)
                                                    : g_rand_int_range (random, 0, 4);
    rules[i].right = most && g_rand_boolean (random) ? 100 + g_rand_int_range (random, 0, most)
                                                     : g_rand_int_range (random, 0, 4);
    rules[i].rank = g_rand_int_range (random, 0, 20);
  }
  for (guint i = 0; i < 200; i++)
    fast[i] = slow[i] = g_rand_int_range (random, 0, 4);
  const gsize n = afp_bpe_merge (fast, 200, find, &all), expected = merge_slowly (slow, 200, &all);
  ck_assert_uint_eq (n, expected);
  ck_assert_mem_eq (fast, slow, n * sizeof *fast);
  g_rand_free (random);
}
END_TEST

START_TEST (the_leftmost_of_equals_goes_first)
{
  const Rule rules[] = { { 0, 0, 1 } };
  Rules all = { rules, 1 };
  guint32 ids[] = { 0, 0, 0 };

  ck_assert_uint_eq (afp_bpe_merge (ids, 3, find, &all), 2);
  ck_assert_uint_eq (ids[0], 100);
  ck_assert_uint_eq (ids[1], 0);
}
END_TEST

START_TEST (nothing_to_merge)
{
  Rules none = { NULL, 0 };
  guint32 ids[] = { 1, 2, 3 };

  ck_assert_uint_eq (afp_bpe_merge (NULL, 0, find, &none), 0);
  ck_assert_uint_eq (afp_bpe_merge (ids, 1, find, &none), 1);
  ck_assert_uint_eq (afp_bpe_merge (ids, 3, find, &none), 3);
  ck_assert_uint_eq (ids[2], 3);
}
END_TEST

static TCase *
merge_case (void)
{
  TCase *tcase = tcase_create ("merge");
  tcase_add_loop_test (tcase, merges_are_those_of_the_definition, 0, 20);
  tcase_add_test (tcase, the_leftmost_of_equals_goes_first);
  tcase_add_test (tcase, nothing_to_merge);
  return tcase;
}

int
main (void)
{
  TCase *(*const cases[]) (void) = { merge_case };

  return run_suite ("bpe", cases, G_N_ELEMENTS (cases));
}
