/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "io-test.h"

#include "io/h5-child.h"

#include <signal.h>
#include <string.h>

/* Asks the stand-in of tests/helper. */
static GBytes *
run (const char *op, gconstpointer request, gsize n, const AfpH5ChildLimits *limits, GError **error)
{
  g_autoptr (GBytes) bytes = g_bytes_new (request, n);

  return afp_h5_child_run ("x.h5", op, bytes, NULL, limits, error);
}

static GBytes *
run_number (const char *op, int number, const AfpH5ChildLimits *limits, GError **error)
{
  return run (op, &number, sizeof number, limits, error);
}

START_TEST (results_come_over)
{
  g_autoptr (GBytes) bytes = run ("give-back", "there and back", 14, NULL, NULL);
  g_autoptr (GBytes) empty = run ("give-back", "", 0, NULL, NULL);

  ck_assert_ptr_nonnull (bytes);
  ck_assert_uint_eq (g_bytes_get_size (bytes), 14);
  ck_assert_mem_eq (g_bytes_get_data (bytes, NULL), "there and back", 14);
  ck_assert_ptr_nonnull (empty);
  ck_assert_uint_eq (g_bytes_get_size (empty), 0);
}
END_TEST

/* More than a socket holds, in both directions. */
START_TEST (large_results_come_over)
{
  const gsize n = 50u << 20;
  guint8 *here = g_malloc (n);

  for (gsize i = 0; i < n; i++)
    here[i] = (guint8) (i * i >> 7);
  g_autoptr (GBytes) request = g_bytes_new_static ("", 0);
  g_autoptr (GBytes) data = g_bytes_new_take (here, n);
  g_autoptr (GBytes) bytes = afp_h5_child_run ("x.h5", "give-back", request, data, NULL, NULL);

  ck_assert_ptr_nonnull (bytes);
  ck_assert (g_bytes_equal (data, bytes));
}
END_TEST

static gboolean
ask_often (gsize index, gpointer user_data, GError **error)
{
  g_autofree char *text = g_strdup_printf ("%" G_GSIZE_FORMAT, index);
  g_autoptr (GBytes) bytes = run ("give-back", text, strlen (text), NULL, error);

  return bytes && g_bytes_get_size (bytes) == strlen (text) &&
         memcmp (g_bytes_get_data (bytes, NULL), text, strlen (text)) == 0;
}

START_TEST (threads_ask_at_once)
{
  g_autoptr (AfpPool) pool = afp_pool_new (4);

  ck_assert (afp_parallel_for (pool, 16, ask_often, NULL, NULL));
}
END_TEST

START_TEST (errors_come_over)
{
  GError *error = NULL;
  g_autofree char *path = put_file ("text.h5", "text", 4);

  ck_assert_ptr_null (run ("open-h5", path, strlen (path) + 1, NULL, &error));
  assert_error (error, AFP_ERROR_FORMAT, "in the child: ", "signature not found");
}
END_TEST

START_TEST (odd_errors_are_made_ours)
{
  GError *error = NULL;

  ck_assert_ptr_null (run ("odd-error", "", 0, NULL, &error));
  assert_error (error, AFP_ERROR_FORMAT, "odd ");
  ck_assert_ptr_null (error);
}
END_TEST

START_TEST (unknown_questions_are_errors)
{
  GError *error = NULL;

  ck_assert_ptr_null (run ("read-minds", "", 0, NULL, &error));
  assert_error (error, AFP_ERROR_PLUGIN, "does not know 'read-minds'", "of another version");
}
END_TEST

START_TEST (a_missing_helper_is_an_error)
{
  GError *error = NULL;
  g_autofree char *folder = g_strdup (g_getenv ("AFPIPE_HELPER_DIR"));

  g_setenv ("AFPIPE_HELPER_DIR", "/nowhere", TRUE);
  GBytes *bytes = run ("give-back", "", 0, NULL, &error);
  g_setenv ("AFPIPE_HELPER_DIR", folder, TRUE);
  ck_assert_ptr_null (bytes);
  assert_error (error, AFP_ERROR_PLUGIN,
                "cannot read 'x.h5': the helper program '/nowhere/afpipe-h5-child' is missing");
}
END_TEST

static pid_t
start_nothing (int fd)
{
  const pid_t child = fork ();

  if (child == 0)
    _exit (0);
  return child;
}

START_TEST (another_helper_may_be_started)
{
  GError *error = NULL;
  g_autoptr (GBytes) request = g_bytes_new_static ("", 0);

  afp_h5_child_set_start (start_nothing);
  ck_assert_ptr_null (afp_h5_child_run ("x.h5", "give-back", request, NULL, NULL, &error));
  assert_error (error, AFP_ERROR_FORMAT, "cannot read 'x.h5'", "ended without a result");
  afp_h5_child_set_start (NULL);
  g_autoptr (GBytes) bytes = afp_h5_child_run ("x.h5", "give-back", request, NULL, NULL, NULL);
  ck_assert_ptr_nonnull (bytes);
}
END_TEST

START_TEST (crashes_are_errors)
{
  static const int signals[] = { SIGSEGV, SIGABRT, SIGFPE, SIGBUS, SIGKILL };
  GError *error = NULL;

  ck_assert_ptr_null (run_number ("die", signals[_i], NULL, &error));
  assert_error (error, AFP_ERROR_FORMAT, "cannot read 'x.h5': the process that read it crashed (",
                "made to harm");
}
END_TEST

START_TEST (an_early_end_is_an_error)
{
  GError *error = NULL;

  ck_assert_ptr_null (run ("quit", "", 0, NULL, &error));
  assert_error (error, AFP_ERROR_FORMAT, "cannot read 'x.h5'", "ended without a result");
}
END_TEST

START_TEST (hangs_end)
{
  const AfpH5ChildLimits limits = { 1, 1u << 30, 1u << 20 };
  GError *error = NULL;

  ck_assert_ptr_null (run_number ("hang", _i, &limits, &error));
  assert_error (error, AFP_ERROR_FORMAT,
                "cannot read 'x.h5': the process that read it took more than 1 seconds");
}
END_TEST

START_TEST (memory_is_limited)
{
  const AfpH5ChildLimits little = { 60, 64u << 20, 1u << 20 },
                         much = { 60, (guint64) 4 << 30, 1u << 20 };
  GError *error = NULL;

  ck_assert_ptr_null (run ("take-memory", "", 0, &little, &error));
  /* With a sanitizer the child dies of it. */
  ck_assert (g_error_matches (error, AFP_ERROR, AFP_ERROR_MEMORY) ||
             g_error_matches (error, AFP_ERROR, AFP_ERROR_FORMAT));
  g_clear_error (&error);
  g_autoptr (GBytes) bytes = run ("take-memory", "", 0, &much, &error);
  ck_assert_ptr_nonnull (bytes);
}
END_TEST

START_TEST (results_are_limited)
{
  const AfpH5ChildLimits limits = { 60, (guint64) 4 << 30, 1000 };
  g_autofree char *text = g_strnfill (1001, 'x');
  GError *error = NULL;

  ck_assert_ptr_null (run ("give-back", text, 1001, &limits, &error));
  assert_error (error, AFP_ERROR_FORMAT, "cannot read 'x.h5': the process that read it ");
}
END_TEST

static TCase *
result_case (void)
{
  TCase *tcase = io_case ("results");
  tcase_add_test (tcase, results_come_over);
  tcase_add_test (tcase, large_results_come_over);
  tcase_add_test (tcase, threads_ask_at_once);
  return tcase;
}

static TCase *
trouble_case (void)
{
  TCase *tcase = io_case ("trouble");
  tcase_add_test (tcase, errors_come_over);
  tcase_add_test (tcase, odd_errors_are_made_ours);
  tcase_add_test (tcase, unknown_questions_are_errors);
  tcase_add_test (tcase, a_missing_helper_is_an_error);
  tcase_add_test (tcase, another_helper_may_be_started);
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
  g_autofree char *folder = g_build_filename (g_getenv ("AFP_TEST_BUILDDIR"), "tests/helper", NULL);

  g_setenv ("AFPIPE_HELPER_DIR", folder, TRUE);
  return run_suite ("h5-child", cases, G_N_ELEMENTS (cases));
}
