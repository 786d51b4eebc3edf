/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "io-test.h"

#include "afp-helper.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* A helper that is a shell script in the test's folder. */
static void
put_helper (const char *name, const char *text, mode_t mode)
{
  g_autofree char *path = put_file (name, text, strlen (text));
  g_autofree char *folder = g_path_get_dirname (path);

  ck_assert_int_eq (chmod (path, mode), 0);
  g_setenv ("AFPIPE_HELPER_DIR", folder, TRUE);
}

/* What the helper writes to its standard input, a socket. */
static char *
talk (const char *name, int *status, GError **error)
{
  int ends[2];
  char text[200] = "";

  ck_assert_int_eq (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  const pid_t child = afp_helper_start (name, ends[1], error);
  close (ends[1]);
  if (child < 0) {
    close (ends[0]);
    return NULL;
  }
  for (gssize n = 0, got; (got = read (ends[0], text + n, sizeof text - 1 - (gsize) n)) > 0;)
    n += got;
  close (ends[0]);
  ck_assert_int_eq (waitpid (child, status, 0), child);
  return g_strdup (text);
}

START_TEST (a_helper_talks_over_its_input)
{
  int status = -1;

  put_helper ("hello", "#!/bin/sh\necho not seen\necho not seen >&2\necho hello $# >&0\nexit 3\n",
              0755);
  g_autofree char *text = talk ("hello", &status, NULL);
  ck_assert_str_eq (text, "hello 0\n");
  ck_assert (WIFEXITED (status));
  ck_assert_int_eq (WEXITSTATUS (status), 3);
}
END_TEST

/* Ctrl-C is sent to all processes of a terminal; a helper ends its work. */
START_TEST (an_interrupt_is_not_for_helpers)
{
  int status = -1;

  put_helper ("stay", "#!/bin/sh\nkill -INT $$\necho still here >&0\n", 0755);
  g_autofree char *text = talk ("stay", &status, NULL);
  ck_assert_str_eq (text, "still here\n");
}
END_TEST

START_TEST (other_signals_end_helpers)
{
  int status = -1;

  signal (SIGTERM, SIG_IGN);
  put_helper ("end", "#!/bin/sh\nkill -TERM $$\necho still here >&0\n", 0755);
  g_autofree char *text = talk ("end", &status, NULL);
  signal (SIGTERM, SIG_DFL);
  ck_assert_str_eq (text, "");
  ck_assert (WIFSIGNALED (status));
}
END_TEST

/* Any program, its streams, and the group that it leads. */
START_TEST (a_program_is_found_in_path)
{
  g_auto (GStrv) arguments = g_strsplit ("sh|-c|cat; echo $$; kill -TERM 0", "|", -1);
  int ends[2], status;
  char text[200] = "";

  ck_assert_int_eq (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  const int streams[3] = { -1, ends[1], ends[1] };
  const pid_t child = afp_helper_spawn (arguments, streams, TRUE, NULL);
  ck_assert_int_gt (child, 0);
  close (ends[1]);
  for (gssize n = 0, got; (got = read (ends[0], text + n, sizeof text - 1 - (gsize) n)) > 0;)
    n += got;
  close (ends[0]);
  ck_assert_int_eq (waitpid (child, &status, 0), child);
  ck_assert_int_eq (atoi (text), child); /* and there was nothing to read */
  ck_assert (WIFSIGNALED (status));      /* with its group, which is not ours */
}
END_TEST

START_TEST (a_missing_program_is_named)
{
  g_auto (GStrv) arguments = g_strsplit ("afpipe-no-such-program", "|", -1);
  const int streams[3] = { -1, -1, -1 };
  GError *error = NULL;

  ck_assert_int_eq (afp_helper_spawn (arguments, streams, FALSE, &error), -1);
  assert_error (error, AFP_ERROR_IO, "cannot start 'afpipe-no-such-program'");
}
END_TEST

START_TEST (a_missing_helper_is_named)
{
  GError *error = NULL;
  int status;

  put_helper ("hello", "", 0755);
  ck_assert_ptr_null (talk ("other", &status, &error));
  assert_error (error, AFP_ERROR_PLUGIN, "/other' is missing", "the installation is not complete",
                "AFPIPE_HELPER_DIR");
}
END_TEST

START_TEST (a_folder_is_no_helper)
{
  GError *error = NULL;

  g_setenv ("AFPIPE_HELPER_DIR", "/", TRUE);
  ck_assert_ptr_null (afp_helper_find ("no-such-program", &error));
  assert_error (error, AFP_ERROR_PLUGIN, "'/no-such-program' is missing");
}
END_TEST

START_TEST (what_is_no_program_is_an_error)
{
  GError *error = NULL;
  int status;

  put_helper ("text", "just text\n", 0755);
  ck_assert_ptr_null (talk ("text", &status, &error));
  assert_error (error, AFP_ERROR_IO, "cannot start '", "/text': ");
}
END_TEST

START_TEST (what_may_not_be_run_is_missing)
{
  GError *error = NULL;

  put_helper ("plain", "#!/bin/sh\n", 0644);
  ck_assert_ptr_null (afp_helper_find ("plain", &error));
  assert_error (error, AFP_ERROR_PLUGIN, "/plain' is missing");
}
END_TEST

static TCase *
start_case (void)
{
  TCase *tcase = io_case ("start");
  tcase_add_test (tcase, a_helper_talks_over_its_input);
  tcase_add_test (tcase, an_interrupt_is_not_for_helpers);
  tcase_add_test (tcase, other_signals_end_helpers);
  tcase_add_test (tcase, a_program_is_found_in_path);
  return tcase;
}

static TCase *
trouble_case (void)
{
  TCase *tcase = io_case ("trouble");
  tcase_add_test (tcase, a_missing_program_is_named);
  tcase_add_test (tcase, a_missing_helper_is_named);
  tcase_add_test (tcase, a_folder_is_no_helper);
  tcase_add_test (tcase, what_is_no_program_is_an_error);
  tcase_add_test (tcase, what_may_not_be_run_is_missing);
  return tcase;
}

int
main (void)
{
  TCase *(*const cases[]) (void) = { start_case, trouble_case };

  return run_suite ("helper", cases, G_N_ELEMENTS (cases));
}
