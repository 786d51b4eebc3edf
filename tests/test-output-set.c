/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "io-test.h"

#include "io/output-set.h"

#include <unistd.h>

/* One letter into each of the files. */
static AfpOutputSet *
make_set (gboolean overwrite, const char *const *names)
{
  AfpOutputSet *set = afp_output_set_new (overwrite);
  for (; *names; names++) {
    g_autofree char *path = in_folder (*names);
    GError *error = NULL;
    AfpOutput *output = afp_output_set_add (set, path, &error);
    ck_assert_msg (output != NULL, "%s", error ? error->message : "?");
    ck_assert (afp_output_write (output, 0, "new", 3, &error));
  }
  ck_assert (afp_output_set_sync (set, NULL));
  return set;
}

static void
assert_content (const char *name, const char *expected)
{
  g_autofree char *path = in_folder (name);
  g_autofree char *text = NULL;
  ck_assert_msg (g_file_get_contents (path, &text, NULL, NULL), "%s", name);
  ck_assert_str_eq (text, expected);
}

static gboolean
exists (const char *name)
{
  g_autofree char *path = in_folder (name);
  return g_file_test (path, G_FILE_TEST_EXISTS);
}

static void
put_old (const char *name)
{
  g_autofree G_GNUC_UNUSED char *path = put_file (name, "old", 3);
}

static const char *const names[] = { "a", "b", "index", NULL };

START_TEST (publish)
{
  guint64 bytes = 0;
  AfpOutputSet *set = make_set (FALSE, names);
  for (guint i = 0; names[i]; i++)
    ck_assert (!exists (names[i]));
  ck_assert (afp_output_set_publish (set, NULL, &bytes, NULL));
  afp_output_set_free (set);
  ck_assert_uint_eq (bytes, 9);
  ck_assert_uint_eq (count_files (), 3);
  for (guint i = 0; names[i]; i++)
    assert_content (names[i], "new");
}
END_TEST

START_TEST (nothing_is_left_without_publish)
{
  put_old ("a");
  AfpOutputSet *set = make_set (TRUE, names);
  afp_output_set_free (set);
  assert_content ("a", "old");
  ck_assert_uint_eq (count_files (), 1);
}
END_TEST

START_TEST (earlier_files_are_replaced)
{
  g_autoptr (GPtrArray) stale = g_ptr_array_new_with_free_func (g_free);
  guint64 bytes;
  put_old ("b");
  put_old ("index");
  put_old ("c");
  put_old ("other");
  g_ptr_array_add (stale, in_folder ("b"));
  g_ptr_array_add (stale, in_folder ("c"));
  g_ptr_array_add (stale, in_folder ("gone"));
  AfpOutputSet *set = make_set (TRUE, names);
  ck_assert (exists ("c"));
  ck_assert (afp_output_set_publish (set, stale, &bytes, NULL));
  afp_output_set_free (set);
  ck_assert (!exists ("c"));
  assert_content ("b", "new");
  assert_content ("index", "new");
  assert_content ("other", "old");
  ck_assert_uint_eq (count_files (), 4);
}
END_TEST

/* A file that came up while we worked: of the set nothing is left, and the file is what it was. */
START_TEST (files_that_come_up)
{
  guint64 bytes;
  GError *error = NULL;
  AfpOutputSet *set = make_set (FALSE, names);
  put_old (names[_i]);
  ck_assert (!afp_output_set_publish (set, NULL, &bytes, &error));
  assert_error (error, AFP_ERROR_IO, names[_i], "exists already");
  afp_output_set_free (set);
  assert_content (names[_i], "old");
  ck_assert_uint_eq (count_files (), 1);
}
END_TEST

/* A folder in the way of the second: the first and the index of the earlier set are gone, so nobody takes it for whole. */
START_TEST (half_a_set_has_no_index)
{
  guint64 bytes;
  GError *error = NULL;
  g_autofree char *folder = in_folder ("b");
  put_old ("index");
  AfpOutputSet *set = make_set (TRUE, names);
  ck_assert_int_eq (g_mkdir (folder, 0700), 0);
  ck_assert (!afp_output_set_publish (set, NULL, &bytes, &error));
  assert_error (error, AFP_ERROR_IO, "/b'", "is a folder");
  afp_output_set_free (set);
  ck_assert (!exists ("a"));
  ck_assert (!exists ("index"));
  ck_assert_uint_eq (count_files (), 1);
}
END_TEST

START_TEST (an_index_that_cannot_be_removed)
{
  guint64 bytes;
  GError *error = NULL;
  g_autofree char *folder = in_folder ("index");
  AfpOutputSet *set = make_set (TRUE, names);
  put_old ("a");
  ck_assert_int_eq (g_mkdir (folder, 0700), 0);
  ck_assert (!afp_output_set_publish (set, NULL, &bytes, &error));
  assert_error (error, AFP_ERROR_IO, "cannot remove", "/index'");
  afp_output_set_free (set);
  assert_content ("a", "old");
}
END_TEST

START_TEST (files_that_exist)
{
  GError *error = NULL;
  g_autofree char *path = put_file ("a", "old", 3);
  g_autofree char *nowhere = in_folder ("none/a");
  g_autoptr (AfpOutputSet) set = afp_output_set_new (FALSE);
  ck_assert_ptr_null (afp_output_set_add (set, path, &error));
  assert_error (error, AFP_ERROR_IO, "exists already");
  ck_assert_ptr_null (afp_output_set_add (set, nowhere, &error));
  assert_error (error, AFP_ERROR_IO, "create it first");
}
END_TEST

static TCase *
all (void)
{
  TCase *tcase = io_case ("output-set");
  tcase_add_test (tcase, publish);
  tcase_add_test (tcase, nothing_is_left_without_publish);
  tcase_add_test (tcase, earlier_files_are_replaced);
  tcase_add_loop_test (tcase, files_that_come_up, 0, 3);
  tcase_add_test (tcase, half_a_set_has_no_index);
  tcase_add_test (tcase, an_index_that_cannot_be_removed);
  tcase_add_test (tcase, files_that_exist);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { all };
  return run_suite ("output-set", cases, G_N_ELEMENTS (cases));
}
