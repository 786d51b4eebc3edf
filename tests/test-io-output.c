/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "io-test.h"

#include "io/io-output.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static void
assert_content (const char *path, const char *expected)
{
  g_autofree char *text = NULL;
  ck_assert (g_file_get_contents (path, &text, NULL, NULL));
  ck_assert_str_eq (text, expected);
}

#define assert_unwritable(location, overwrite, ...)                         \
  do {                                                                      \
    GError *error_ = NULL;                                                  \
    ck_assert (!afp_output_check ((location), (overwrite), &error_));       \
    assert_error (error_, AFP_ERROR_IO, __VA_ARGS__);                       \
    ck_assert_ptr_null (afp_output_new ((location), (overwrite), &error_)); \
    assert_error (error_, AFP_ERROR_IO, __VA_ARGS__);                       \
  } while (0)

START_TEST (publish)
{
  g_autofree char *path = in_folder ("out");
  GError *error = NULL;
  guint64 bytes = 0;
  AfpOutput *output = afp_output_new (path, FALSE, &error);
  ck_assert_ptr_nonnull (output);
  ck_assert_ptr_nonnull (strstr (afp_output_get_path (output), "/out.part."));
  ck_assert (afp_output_reserve (output, 6, &error));
  ck_assert (afp_output_write (output, 3, "def", 3, &error));
  ck_assert (afp_output_write (output, 0, "abc", 3, &error));
  ck_assert (afp_output_sync (output, &error));
  ck_assert (!g_file_test (path, G_FILE_TEST_EXISTS));
  ck_assert (afp_output_publish (output, &bytes, &error));
  afp_output_free (output);
  ck_assert_uint_eq (bytes, 6);
  assert_content (path, "abcdef");
  ck_assert_uint_eq (count_files (), 1);
}
END_TEST

START_TEST (nothing_is_left_without_publish)
{
  g_autofree char *path = put_file ("out", "old", 3);
  GError *error = NULL;
  AfpOutput *output = afp_output_new (path, TRUE, &error);
  ck_assert_ptr_nonnull (output);
  ck_assert (afp_output_write (output, 0, "abc", 3, &error));
  afp_output_free (output);
  assert_content (path, "old");
  ck_assert_uint_eq (count_files (), 1);
}
END_TEST

START_TEST (overwrite)
{
  g_autofree char *path = put_file ("out", "old", 3);
  GError *error = NULL;
  g_autoptr (AfpOutput) output = afp_output_new (path, TRUE, &error);
  ck_assert_ptr_nonnull (output);
  ck_assert (afp_output_write (output, 0, "new", 3, &error));
  ck_assert (afp_output_publish (output, NULL, &error));
  assert_content (path, "new");
}
END_TEST

START_TEST (copy)
{
  g_autofree char *source = put_file ("source", "hello", 5);
  g_autofree char *path = in_folder ("out");
  g_autofree char *missing = in_folder ("missing");
  GError *error = NULL;
  g_autoptr (AfpOutput) output = afp_output_new (path, FALSE, &error);
  ck_assert (afp_output_copy_from (output, source, &error));
  ck_assert (!afp_output_copy_from (output, missing, &error));
  assert_error (error, AFP_ERROR_IO, "cannot read", "missing");
  ck_assert (afp_output_publish (output, NULL, &error));
  assert_content (path, "hello");
}
END_TEST

START_TEST (places_that_cannot_be)
{
  g_autofree char *existing = put_file ("out", "old", 3);
  g_autofree char *in_file = g_build_filename (existing, "x", NULL);
  g_autofree char *nowhere = in_folder ("no/such/folder");
  g_autofree char *slash = g_strconcat (test_folder, "/new/", NULL);
  g_autofree char *link = in_folder ("link");
  ck_assert_int_eq (symlink ("nowhere", link), 0);
  assert_unwritable (existing, FALSE, "exists already", "3 bytes", "overwrite=true");
  assert_unwritable (test_folder, TRUE, "is a folder");
  assert_unwritable (in_file, TRUE, "not a folder", "/out");
  assert_unwritable (nowhere, TRUE, "no/such", "create it first");
  assert_unwritable (slash, TRUE, "does not name a file");
  assert_unwritable ("", TRUE, "does not name a file");
  assert_unwritable (link, TRUE, "leads nowhere");
  assert_unwritable ("/dev/null", TRUE, "not an ordinary file", "'null'");
}
END_TEST

START_TEST (folder_without_permission)
{
  g_autofree char *folder = in_folder ("closed");
  g_autofree char *path = g_build_filename (folder, "out", NULL);
  ck_assert_int_eq (g_mkdir (folder, 0500), 0);
  if (geteuid () != 0) /* root may write everywhere */
    assert_unwritable (path, FALSE, "/closed", "denied");
}
END_TEST

START_TEST (two_at_once)
{
  g_autofree char *path = in_folder ("out");
  GError *error = NULL;
  g_autoptr (AfpOutput) output = afp_output_new (path, FALSE, &error);
  ck_assert_ptr_nonnull (output);
  ck_assert_ptr_null (afp_output_new (path, FALSE, &error));
  assert_error (error, AFP_ERROR_IO, "exists already", "another stage", ".part.");
}
END_TEST

/* A number that no process can have stands for one that has ended. */
START_TEST (what_killed_runs_left)
{
  g_autofree char *location = in_folder ("x"), *dead = put_file ("x.part.2147483646", "old", 3),
                  *living = put_file ("x.part.1", "old", 3),
                  *other = put_file ("x.part.y", "old", 3),
                  *another = put_file ("y.part.2147483646", "old", 3);
  g_autofree char *own_name = g_strdup_printf ("x.part.%d", (int) getpid ()),
                  *own = put_file (own_name, "old", 3);
  g_autoptr (AfpOutput) output = afp_output_new (location, FALSE, NULL);

  ck_assert_ptr_nonnull (output); /* it bore the name that the output takes now */
  ck_assert (!g_file_test (dead, G_FILE_TEST_EXISTS));
  ck_assert (g_file_test (living, G_FILE_TEST_EXISTS));
  ck_assert (g_file_test (other, G_FILE_TEST_EXISTS));
  ck_assert (g_file_test (another, G_FILE_TEST_EXISTS));
  ck_assert_str_eq (afp_output_get_path (output), own);
}
END_TEST

START_TEST (file_that_comes_up_meanwhile)
{
  g_autofree char *path = in_folder ("out");
  GError *error = NULL;
  AfpOutput *output = afp_output_new (path, FALSE, &error);
  ck_assert_ptr_nonnull (output);
  g_autofree G_GNUC_UNUSED char *other = put_file ("out", "theirs", 6);
  ck_assert (!afp_output_publish (output, NULL, &error));
  assert_error (error, AFP_ERROR_IO, "exists already");
  afp_output_free (output);
  assert_content (path, "theirs");
  ck_assert_uint_eq (count_files (), 1);
}
END_TEST

/* A limit on the size of files stands for a full disk. */
START_TEST (no_space)
{
  g_autofree char *path = in_folder ("out");
  const struct rlimit small = { 4096, 4096 };
  g_autofree char *data = g_malloc0 (10000);
  GError *error = NULL;
  if (g_getenv ("CK_FORK") && g_str_equal (g_getenv ("CK_FORK"), "no"))
    return; /* the limit would stay for the other tests */
  signal (SIGXFSZ, SIG_IGN);
  ck_assert_int_eq (setrlimit (RLIMIT_FSIZE, &small), 0);
  AfpOutput *output = afp_output_new (path, FALSE, &error);
  ck_assert_ptr_nonnull (output);
  ck_assert (!afp_output_reserve (output, 10000, &error));
  assert_error (error, AFP_ERROR_IO, "cannot write", "/out'", "reserving 10000 bytes", "too large");
  ck_assert (!afp_output_write (output, 0, data, 10000, &error));
  assert_error (error, AFP_ERROR_IO, "cannot write", "/out'", "at offset 4096", "too large");
  afp_output_free (output);
  ck_assert_uint_eq (count_files (), 0);
}
END_TEST

static TCase *
all (void)
{
  TCase *tcase = io_case ("output");
  tcase_add_test (tcase, publish);
  tcase_add_test (tcase, nothing_is_left_without_publish);
  tcase_add_test (tcase, overwrite);
  tcase_add_test (tcase, copy);
  tcase_add_test (tcase, places_that_cannot_be);
  tcase_add_test (tcase, folder_without_permission);
  tcase_add_test (tcase, two_at_once);
  tcase_add_test (tcase, what_killed_runs_left);
  tcase_add_test (tcase, file_that_comes_up_meanwhile);
  tcase_add_test (tcase, no_space);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { all };
  return run_suite ("io-output", cases, G_N_ELEMENTS (cases));
}
