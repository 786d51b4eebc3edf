/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "seedlm/seedlm-lists.h"
#include "seedlm-kernel-test.h"

#include <glib/gstdio.h>

/* The cache of lists of directions. */

static const SeedlmListsShape shape = { .n_coarse = 6,
                                        .n_fine = 10,
                                        .length = 128,
                                        .n_steps = 8,
                                        .enough = 64,
                                        .is_exact = 1,
                                        .place_bytes = 2 };
static char *cache, *path;
static Tables tables;

static void
setup (void)
{
  tables_init (&tables, 8, 3, 10, 16, 0);
  path = seedlm_lists_path (tables.basis);
  g_autofree char *folder = g_path_get_dirname (path);
  ck_assert (g_str_has_prefix (path, cache));
  ck_assert_int_eq (g_mkdir_with_parents (folder, 0700), 0);
  g_unlink (path);
  g_rmdir (path);
}

static void
teardown (void)
{
  g_autofree char *folder = g_path_get_dirname (path);
  g_autofree char *parent = g_path_get_dirname (folder);

  g_unlink (path);
  g_rmdir (path);
  g_unlink (folder);
  g_rmdir (folder);
  g_rmdir (parent);
  tables_clear (&tables);
  g_free (path);
}

static SeedlmLists *
load (const char **warning)
{
  g_autoptr (GError) error = NULL;
  *warning = NULL;
  SeedlmLists *lists = seedlm_lists_load (tables.basis, &shape, NULL, warning, &error);
  ck_assert_msg (lists != NULL, "%s", error ? error->message : "");
  return lists;
}

static void
check_same (const SeedlmLists *a, const SeedlmLists *b)
{
  size_t sizes[4];

  seedlm_lists_sizes (a, sizes);
  ck_assert_mem_eq (a->directions, b->directions, sizes[0]);
  ck_assert_mem_eq (a->places, b->places, sizes[1]);
  ck_assert_mem_eq (a->bounds, b->bounds, sizes[2]);
  ck_assert_mem_eq (a->records, b->records, sizes[3]);
  ck_assert_double_eq (a->tilt, b->tilt);
  ck_assert_double_eq (a->gain, b->gain);
  ck_assert_mem_eq (a->fine, b->fine, shape.n_coarse * shape.n_fine * 8 * sizeof (float));
}

START_TEST (lists_are_kept)
{
  const char *warning;
  SeedlmLists *built = load (&warning);
  g_autofree char *before = NULL, *after = NULL;
  gsize n, m;

  ck_assert (!warning);
  ck_assert (g_file_get_contents (path, &before, &n, NULL));
  SeedlmLists *read = load (&warning);
  ck_assert (!warning);
  check_same (built, read);
  ck_assert (g_file_get_contents (path, &after, &m, NULL));
  ck_assert_uint_eq (n, m);
  ck_assert_mem_eq (before, after, n);
  seedlm_lists_free (built);
  seedlm_lists_free (read);
}
END_TEST

/* A byte of each part, the header among them. */
static const double spots[] = { 0, 0.0005, 0.0012, 0.01, 0.2, 0.6, 0.9, 0.9999 };

static void
damage (int i, char **data, gsize *n)
{
  const int n_spots = (int) G_N_ELEMENTS (spots);

  if (i < n_spots)
    (*data)[(gsize) (spots[i] * (double) *n)] ^= 1;
  else if (i == n_spots)
    *n -= 1;
  else if (i == n_spots + 1)
    *n = 40;
  else if (i == n_spots + 2)
    *n = 0;
  else {
    *data = g_realloc (*data, *n + 1);
    (*data)[(*n)++] = 0;
  }
}

START_TEST (damaged_files_are_built_anew)
{
  const char *warning;
  SeedlmLists *built = load (&warning);
  char *data;
  gsize n;

  ck_assert (g_file_get_contents (path, &data, &n, NULL));
  damage (_i, &data, &n);
  ck_assert (g_file_set_contents (path, data, (gssize) n, NULL));
  SeedlmLists *again = load (&warning);
  ck_assert_ptr_nonnull (warning);
  ck_assert_ptr_nonnull (strstr (warning, "damaged"));
  check_same (built, again);
  seedlm_lists_free (again);
  again = load (&warning);
  ck_assert (!warning);
  check_same (built, again);
  seedlm_lists_free (built);
  seedlm_lists_free (again);
  g_free (data);
}
END_TEST

START_TEST (a_cache_that_cannot_be_written_does_no_harm)
{
  g_autofree char *folder = g_path_get_dirname (path);
  const char *warning;

  if (_i == 0)
    ck_assert_int_eq (g_mkdir (path, 0700), 0);
  else {
    ck_assert_int_eq (g_rmdir (folder), 0);
    ck_assert (g_file_set_contents (folder, "", 0, NULL));
  }
  SeedlmLists *lists = load (&warning);
  ck_assert_uint_eq (lists->shape.length, 128);
  seedlm_lists_free (lists);
  /* nor does it leave half a file */
  g_autoptr (GDir) dir = _i == 0 ? g_dir_open (folder, 0, NULL) : NULL;
  for (const char *name; dir && (name = g_dir_read_name (dir));)
    ck_assert_ptr_null (strstr (name, ".lists."));
}
END_TEST

START_TEST (cancelling_ends_the_building)
{
  g_autoptr (AfpPool) pool = afp_pool_new (1);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GError) error = NULL;
  const char *warning = NULL;

  afp_pool_set_cancellable (pool, cancellable);
  g_cancellable_cancel (cancellable);
  ck_assert_ptr_null (seedlm_lists_load (tables.basis, &shape, pool, &warning, &error));
  ck_assert (g_error_matches (error, AFP_ERROR, AFP_ERROR_CANCELLED));
  ck_assert (!g_file_test (path, G_FILE_TEST_EXISTS));
}
END_TEST

/* --- the tables that have them ------------------------------------------------------------------------------------------ */

/* The same ones for the same numbers; what was made to decode with gets the rest when it is asked for. */
START_TEST (tables_are_shared)
{
  SeedlmTables *decoding = seedlm_tables_get (6, 1, 4, 2, FALSE, NULL);
  ck_assert_ptr_null (seedlm_tables_get_basis (decoding));
  SeedlmTables *encoding = seedlm_tables_get (6, 1, 4, 2, TRUE, NULL);
  SeedlmTables *other = seedlm_tables_get (6, 5, 4, 2, TRUE, NULL);
  const char *warning = NULL;

  ck_assert_ptr_eq (seedlm_tables_get_sequence (encoding), seedlm_tables_get_sequence (decoding));
  ck_assert_uint_eq (seedlm_tables_get_basis (encoding)->rank, 2);
  ck_assert_ptr_ne (other, encoding);
  ck_assert_ptr_null (seedlm_tables_get_lists (encoding, NULL, &warning, NULL));
  ck_assert_ptr_null (warning);
  seedlm_tables_unref (decoding);
  seedlm_tables_unref (encoding);
  seedlm_tables_unref (other);
}
END_TEST

/* Too few seeds for so many dimensions; more bytes than tables may have. */
START_TEST (tables_that_there_are_not)
{
  GError *error = NULL;

  ck_assert_ptr_null (seedlm_tables_get (2, 1, 8, 8, TRUE, &error));
  ck_assert (g_error_matches (error, AFP_ERROR, AFP_ERROR_PROPERTY));
  ck_assert_ptr_nonnull (strstr (error->message, "none of the 3 seeds of 2 bits spans 8"));
  g_clear_error (&error);
  ck_assert_ptr_null (seedlm_tables_get (24, 16, 8, 8, TRUE, &error));
  ck_assert (g_error_matches (error, AFP_ERROR, AFP_ERROR_MEMORY));
  ck_assert_ptr_nonnull (strstr (error->message, "take fewer seed-bits"));
  g_clear_error (&error);
}
END_TEST

/* Given back, a search is taken again; two at a time are two. */
START_TEST (workers_are_taken_in_turn)
{
  SeedlmWorkers *workers = seedlm_workers_new (tables.basis, 1, NULL, 0);
  SeedlmSearch *first = seedlm_workers_take (workers, NULL),
               *second = seedlm_workers_take (workers, NULL);

  ck_assert_ptr_ne (first, second);
  ck_assert (!seedlm_workers_are_fast (workers));
  ck_assert_ptr_eq (seedlm_workers_get_basis (workers), tables.basis);
  seedlm_workers_give (workers, first);
  ck_assert_ptr_eq (seedlm_workers_take (workers, NULL), first);
  seedlm_workers_give (workers, first);
  seedlm_workers_give (workers, second);
  seedlm_workers_free (workers);
}
END_TEST

int
main (void)
{
  cache = g_dir_make_tmp ("afpipe-lists-XXXXXX", NULL);
  g_setenv ("XDG_CACHE_HOME", cache, TRUE);
  Suite *suite = suite_create ("seedlm-lists");
  TCase *tcase = tcase_create ("cache");

  tcase_add_checked_fixture (tcase, setup, teardown);
  tcase_add_test (tcase, lists_are_kept);
  tcase_add_loop_test (tcase, damaged_files_are_built_anew, 0, (int) G_N_ELEMENTS (spots) + 4);
  tcase_add_loop_test (tcase, a_cache_that_cannot_be_written_does_no_harm, 0, 2);
  tcase_add_test (tcase, cancelling_ends_the_building);
  tcase_add_test (tcase, tables_are_shared);
  tcase_add_test (tcase, tables_that_there_are_not);
  tcase_add_test (tcase, workers_are_taken_in_turn);
  suite_add_tcase (suite, tcase);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  const int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  g_rmdir (cache);
  g_free (cache);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
