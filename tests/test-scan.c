/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "io-test.h"

#include "afp-scan.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* What real plugins do in the real helper is tested in test-registry.c. Here helpers are shell scripts. */
static GString *seen;

static void
take (const char *file, const char *problem, gpointer user_data)
{
  ck_assert_ptr_eq (user_data, &seen);
  g_string_append_printf (seen, "%s=%s;", file, problem ? problem : "good");
}

/* The number of files that were dealt with; what was said of them is in @seen. */
static guint
scan (const char *script, const char *seconds, GError **error)
{
  static const char *const files[] = { "a", "b", "c", NULL };
  static const char *const taken[] = { NULL };
  g_autofree char *text = g_strdup_printf ("#!/bin/sh\n%s\n", script);
  g_autofree char *path = put_file (AFP_SCAN_HELPER, text, strlen (text));
  g_autofree char *folder = g_path_get_dirname (path);
  g_autofree char *before = g_strdup (g_getenv ("AFPIPE_HELPER_DIR"));

  ck_assert_int_eq (chmod (path, 0755), 0);
  g_setenv ("AFPIPE_HELPER_DIR", folder, TRUE);
  g_setenv ("AFPIPE_PLUGIN_SECONDS", seconds, TRUE);
  g_string_set_size (seen, 0);
  guint done = afp_scan_files (files, taken, take, &seen, error);
  g_unsetenv ("AFPIPE_PLUGIN_SECONDS");
  if (before)
    g_setenv ("AFPIPE_HELPER_DIR", before, TRUE);
  return done;
}

#define saw(text) ck_assert_str_eq (seen->str, (text))

START_TEST (all_are_good)
{
  ck_assert_uint_eq (scan ("printf r.odim.odimm. >&0", "30", NULL), 3);
  saw ("a=good;b=good;c=good;");
}
END_TEST

/* Steps: open, descriptor, init, make; a signal or an exit status. */
static const struct {
  const char *script, *said;
} ends[] = {
  { "printf ro >&0; kill -SEGV $$", "it crashed (Segmentation fault) while it was opened" },
  { "printf rod >&0; kill -BUS $$", "it crashed (Bus error) in afp_plugin_get_desc" },
  { "printf rodi >&0; kill -ABRT $$", "it crashed (Aborted) in init" },
  { "printf rodim >&0; exit 3", "it ended the process (exit status 3) when one of its elements" },
  { "printf rodi >&0; kill -KILL $$", "it was killed in init" },
};

START_TEST (the_first_one_ends_it)
{
  ck_assert_uint_eq (scan (ends[_i].script, "30", NULL), 1);
  ck_assert_msg (g_str_has_prefix (seen->str + 2, ends[_i].said), "%s", seen->str);
}
END_TEST

START_TEST (the_second_one_ends_it)
{
  ck_assert_uint_eq (scan ("printf r.odi >&0; exit 0", "30", NULL), 2);
  saw ("a=good;b=it ended the process (exit status 0) in init;");
}
END_TEST

START_TEST (nobody_is_blamed_between_files)
{
  ck_assert_uint_eq (scan ("printf rodi. >&0; kill -SEGV $$", "30", NULL), 1);
  saw ("a=good;");
}
END_TEST

START_TEST (a_step_without_end)
{
  ck_assert_uint_eq (scan ("printf rod >&0; exec sleep 100", "0.3", NULL), 1);
  saw ("a=it took more than 0.3 seconds in afp_plugin_get_desc; it was stopped "
       "(AFPIPE_PLUGIN_SECONDS sets the limit);");
}
END_TEST

/* Seconds that are none: the usual limit. */
START_TEST (odd_limits)
{
  static const char *const limits[] = { "-1", "0", "1e99", "nan", "x", "" };

  ck_assert_uint_eq (scan ("printf rodi >&0; sleep 0.1; printf ... >&0", limits[_i], NULL), 3);
  saw ("a=good;b=good;c=good;");
}
END_TEST

START_TEST (a_helper_that_does_not_work)
{
  g_autoptr (GError) error = NULL;

  ck_assert_uint_eq (scan ("exit 127", "30", &error), 0);
  assert_error (error, AFP_ERROR_PLUGIN, "'afpipe-plugin-scan' does not work: it ended before");
  saw ("");
}
END_TEST

START_TEST (no_helper)
{
  static const char *const files[] = { "a", NULL };
  g_autofree char *before = g_strdup (g_getenv ("AFPIPE_HELPER_DIR"));
  g_autoptr (GError) error = NULL;

  g_setenv ("AFPIPE_HELPER_DIR", "/nowhere", TRUE);
  g_string_set_size (seen, 0);
  ck_assert_uint_eq (afp_scan_files (files, files + 1, take, &seen, &error), 0);
  assert_error (error, AFP_ERROR_PLUGIN, "'/nowhere/afpipe-plugin-scan' is missing");
  saw ("");
  if (before)
    g_setenv ("AFPIPE_HELPER_DIR", before, TRUE);
}
END_TEST

/* --- files --- */

START_TEST (stems)
{
  static const char *const others[] = { "afp.txt",       "libafpx.so", "seedlm.so", "afpx.so.1",
                                        "afphelper.so~", ".afpx.so",   "Afpx.so",   "" };

  assert_text (afp_scan_get_stem ("afpx.so"), "afpx");
  assert_text (afp_scan_get_stem ("afpx-y.la"), "afpx-y");
  assert_text (afp_scan_get_stem ("afp.so"), "afp");
  for (gsize i = 0; i < G_N_ELEMENTS (others); i++)
    ck_assert_ptr_null (afp_scan_get_stem (others[i]));
}
END_TEST

START_TEST (directories)
{
  g_autofree char *one = put_file ("afpb.so", "x", 1);
  g_autofree char *two = put_file ("afpa.so", "x", 1);
  G_GNUC_UNUSED g_autofree char *three = put_file ("afpa.la", "x", 1);
  G_GNUC_UNUSED g_autofree char *four = put_file ("other.so", "x", 1);
  g_autofree char *folder = g_path_get_dirname (one);
  g_autofree char *expected = g_strdup_printf ("%s=good;%s=good;", two, one);

  afp_scan_directory (folder, TRUE, take, &seen);
  saw (expected);
  ck_assert_int_eq (unlink (two), 0);
  g_string_set_size (seen, 0);
  afp_scan_directory (folder, TRUE, take, &seen);
  ck_assert_ptr_nonnull (strstr (seen->str, "afpa.la=the module it stands for is missing: "));
}
END_TEST

START_TEST (no_directory)
{
  afp_scan_directory ("/nowhere", FALSE, take, &seen);
  saw ("");
  afp_scan_directory ("/nowhere", TRUE, take, &seen);
  ck_assert_ptr_nonnull (strstr (seen->str, "No such file or directory"));
}
END_TEST

/* --- the helper's side: what is no request --- */

static int
serve (guint64 size, const char *text, gsize n)
{
  int pair[2];

  ck_assert_int_eq (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
  ck_assert_int_eq (send (pair[0], &size, sizeof size, 0), sizeof size);
  ck_assert_int_eq (send (pair[0], text, n, 0), (gssize) n);
  close (pair[0]);
  const int status = afp_scan_serve (pair[1]);
  close (pair[1]);
  return status;
}

START_TEST (bad_requests)
{
  ck_assert_int_eq (serve (G_MAXUINT64, "", 1), EXIT_FAILURE); /* too large */
  ck_assert_int_eq (serve (10, "abc\0", 4), EXIT_FAILURE);     /* cut short */
  ck_assert_int_eq (serve (0, "", 0), EXIT_FAILURE);           /* no list */
  ck_assert_int_eq (serve (1, "", 1), EXIT_FAILURE);           /* one list */
  ck_assert_int_eq (serve (5, "a\0\0\0", 5), EXIT_FAILURE);    /* "a", none; and one more byte */
  ck_assert_int_eq (serve (3, "abc", 3), EXIT_FAILURE);        /* no end */
  ck_assert_int_eq (afp_scan_serve (-1), EXIT_FAILURE);
}
END_TEST

static void
set_up (void)
{
  seen = g_string_new (NULL);
}

static void
tear_down (void)
{
  g_string_free (seen, TRUE);
}

static TCase *
scan_case (void)
{
  TCase *tcase = io_case ("scan");

  tcase_add_checked_fixture (tcase, set_up, tear_down);
  tcase_add_test (tcase, all_are_good);
  tcase_add_loop_test (tcase, the_first_one_ends_it, 0, G_N_ELEMENTS (ends));
  tcase_add_test (tcase, the_second_one_ends_it);
  tcase_add_test (tcase, nobody_is_blamed_between_files);
  tcase_add_test (tcase, a_step_without_end);
  tcase_add_loop_test (tcase, odd_limits, 0, 6);
  tcase_add_test (tcase, a_helper_that_does_not_work);
  tcase_add_test (tcase, no_helper);
  tcase_add_test (tcase, stems);
  tcase_add_test (tcase, directories);
  tcase_add_test (tcase, no_directory);
  tcase_add_test (tcase, bad_requests);
  return tcase;
}

int
main (void)
{
  TCase *(*const cases[]) (void) = { scan_case };

  return run_suite ("scan", cases, G_N_ELEMENTS (cases));
}
