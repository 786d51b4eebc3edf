/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core-test.h"

#include "merge-table.h"

#define N 3000

START_TEST (pairs_are_found)
{
  g_autoptr (AfpMergeTable) table = afp_merge_table_new (N);
  guint32 rank, merged;

  for (guint i = 0; i < N; i++)
    afp_merge_table_add (table, i % 50, i / 50, i, 2 * i);
  for (guint i = 0; i < N; i++) {
    ck_assert (afp_merge_table_find (table, i % 50, i / 50, &rank, &merged));
    ck_assert (rank == i && merged == 2 * i);
  }
}
END_TEST

START_TEST (other_pairs_are_not)
{
  g_autoptr (AfpMergeTable) table = afp_merge_table_new (2);
  guint32 rank, merged;

  ck_assert (!afp_merge_table_find (table, 0, 0, &rank, &merged));
  afp_merge_table_add (table, 1, 2, 0, 0);
  ck_assert (afp_merge_table_find (table, 1, 2, &rank, &merged));
  ck_assert (!afp_merge_table_find (table, 2, 1, &rank, &merged));
  ck_assert (!afp_merge_table_find (table, 0, 0, &rank, &merged));
  ck_assert (!afp_merge_table_find (table, 1, G_MAXUINT32, &rank, &merged));
}
END_TEST

START_TEST (the_later_rank_counts)
{
  g_autoptr (AfpMergeTable) table = afp_merge_table_new (2);
  guint32 rank, merged;

  afp_merge_table_add (table, 1, 2, 5, 7);
  afp_merge_table_add (table, 1, 2, 9, 7);
  ck_assert (afp_merge_table_find (table, 1, 2, &rank, &merged));
  ck_assert (rank == 9 && merged == 7);
}
END_TEST

static TCase *
all_case (void)
{
  TCase *tcase = tcase_create ("merge-table");
  tcase_add_test (tcase, pairs_are_found);
  tcase_add_test (tcase, other_pairs_are_not);
  tcase_add_test (tcase, the_later_rank_counts);
  return tcase;
}

int
main (void)
{
  TCase *(*const all[]) (void) = { all_case };

  return run_suite ("merge-table", all, G_N_ELEMENTS (all));
}
