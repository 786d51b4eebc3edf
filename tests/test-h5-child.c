/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "io-test.h"

#include "io/h5-child.h"

#include <signal.h>
#include <unistd.h>

static GBytes *
run (AfpH5ChildFunc func, gpointer data, const AfpH5ChildLimits *limits, GError **error)
{
  return afp_h5_child_run ("x.h5", func, data, limits, error);
}

static GBytes *
give_text (gpointer data, GError **error)
{
  return g_bytes_new (data, strlen (data));
}

START_TEST (results_come_over)
{
  g_autoptr (GBytes) bytes = run (give_text, (gpointer) "from the child", NULL, NULL);
  g_autoptr (GBytes) empty = run (give_text, (gpointer) "", NULL, NULL);

  ck_assert_ptr_nonnull (bytes);
  ck_assert_mem_eq (g_bytes_get_data (bytes, NULL), "from the child", 14);
  ck_assert_ptr_nonnull (empty);
  ck_assert_uint_eq (g_bytes_get_size (empty), 0);
}
END_TEST

static GBytes *
give_much (gpointer data, GError **error)
{
  const gsize n = 50u << 20;
  guint8 *bytes = g_malloc (n);

  for (gsize i = 0; i < n; i++)
    bytes[i] = (guint8) (i * i >> 7);
  return g_bytes_new_take (bytes, n);
}

START_TEST (large_results_come_over)
{
  g_autoptr (GBytes) here = give_much (NULL, NULL), bytes = run (give_much, NULL, NULL, NULL);

  ck_assert_ptr_nonnull (bytes);
  ck_assert (g_bytes_equal (here, bytes));
}
END_TEST

static GBytes *
change_memory (gpointer data, GError **error)
{
  *(int *) data = 2;
  return g_bytes_new (NULL, 0);
}

START_TEST (the_parent_is_not_touched)
{
  int value = 1;
  g_autoptr (GBytes) bytes = run (change_memory, &value, NULL, NULL);

  ck_assert_ptr_nonnull (bytes);
  ck_assert_int_eq (value, 1);
}
END_TEST

static GBytes *
open_h5 (gpointer data, GError **error)
{
  hid_t file = H5Fopen (data, H5F_ACC_RDONLY, H5P_DEFAULT);
  g_autofree char *why = afp_h5_last_error ();

  ck_assert_int_lt (file, 0);
  g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT, "in the child: %s", why);
  return NULL;
}

START_TEST (errors_come_over)
{
  GError *error = NULL;
  g_autofree char *path = put_file ("text.h5", "text", 4);

  ck_assert_ptr_null (run (open_h5, path, NULL, &error));
  assert_error (error, AFP_ERROR_FORMAT, "in the child: ", "signature not found");
}
END_TEST

static GBytes *
odd_error (gpointer data, GError **error)
{
  g_set_error_literal (error, G_FILE_ERROR, 4711, "odd \xff");
  return NULL;
}

START_TEST (odd_errors_are_made_ours)
{
  GError *error = NULL;

  ck_assert_ptr_null (run (odd_error, NULL, NULL, &error));
  assert_error (error, AFP_ERROR_FORMAT, "odd ");
  ck_assert_ptr_null (error);
}
END_TEST

static GBytes *
die (gpointer data, GError **error)
{
  raise (GPOINTER_TO_INT (data));
  return NULL;
}

START_TEST (crashes_are_errors)
{
  static const int signals[] = { SIGSEGV, SIGABRT, SIGFPE, SIGBUS, SIGKILL };
  GError *error = NULL;

  ck_assert_ptr_null (run (die, GINT_TO_POINTER (signals[_i]), NULL, &error));
  assert_error (error, AFP_ERROR_FORMAT, "cannot read 'x.h5': the process that read it crashed (",
                "made to harm");
}
END_TEST

static GBytes *
quit (gpointer data, GError **error)
{
  _exit (0);
}

START_TEST (an_early_end_is_an_error)
{
  GError *error = NULL;

  ck_assert_ptr_null (run (quit, NULL, NULL, &error));
  assert_error (error, AFP_ERROR_FORMAT, "cannot read 'x.h5'", "ended without a result");
}
END_TEST

static GBytes *
hang (gpointer data, GError **error)
{
  for (volatile gboolean go_on = TRUE; go_on;)
    if (data)
      sleep (1);
  return NULL;
}

START_TEST (hangs_end)
{
  const AfpH5ChildLimits limits = { 1, 1u << 30, 1u << 20 };
  GError *error = NULL;

  ck_assert_ptr_null (run (hang, GINT_TO_POINTER (_i), &limits, &error));
  assert_error (error, AFP_ERROR_FORMAT,
                "cannot read 'x.h5': the process that read it took more than 1 seconds");
}
END_TEST

static GBytes *
take_memory (gpointer data, GError **error)
{
  const gsize n = (gsize) 512 << 20;
  g_autofree guint8 *memory = g_try_malloc (n);

  if (!memory) {
    g_set_error_literal (error, AFP_ERROR, AFP_ERROR_MEMORY, "no memory in the child");
    return NULL;
  }
  return g_bytes_new_static ("taken", 5);
}

START_TEST (memory_is_limited)
{
  const AfpH5ChildLimits little = { 60, 64u << 20, 1u << 20 },
                         much = { 60, (guint64) 4 << 30, 1u << 20 };
  GError *error = NULL;

  ck_assert_ptr_null (run (take_memory, NULL, &little, &error));
  /* With a sanitizer the child dies of it. */
  ck_assert (g_error_matches (error, AFP_ERROR, AFP_ERROR_MEMORY) ||
             g_error_matches (error, AFP_ERROR, AFP_ERROR_FORMAT));
  g_clear_error (&error);
  g_autoptr (GBytes) bytes = run (take_memory, NULL, &much, &error);
  ck_assert_ptr_nonnull (bytes);
}
END_TEST

START_TEST (results_are_limited)
{
  const AfpH5ChildLimits limits = { 60, (guint64) 4 << 30, 1000 };
  GError *error = NULL;

  ck_assert_ptr_null (run (give_much, NULL, &limits, &error));
  assert_error (error, AFP_ERROR_FORMAT, "cannot read 'x.h5': the process that read it ");
}
END_TEST

static TCase *
result_case (void)
{
  TCase *tcase = io_case ("results");
  tcase_add_test (tcase, results_come_over);
  tcase_add_test (tcase, large_results_come_over);
  tcase_add_test (tcase, the_parent_is_not_touched);
  return tcase;
}

static TCase *
trouble_case (void)
{
  TCase *tcase = io_case ("trouble");
  tcase_add_test (tcase, errors_come_over);
  tcase_add_test (tcase, odd_errors_are_made_ours);
  tcase_add_loop_test (tcase, crashes_are_errors, 0, 5);
  tcase_add_test (tcase, an_early_end_is_an_error);
  tcase_add_loop_test (tcase, hangs_end, 0, 2);
  tcase_add_test (tcase, memory_is_limited);
  tcase_add_test (tcase, results_are_limited);
  return tcase;
}

int
main (void)
{
  TCase *(*const cases[]) (void) = { result_case, trouble_case };

  return run_suite ("h5-child", cases, G_N_ELEMENTS (cases));
}
