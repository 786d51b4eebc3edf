/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "io-test.h"

#include "afp-crash.h"
#include "afp-watch.h"

#include <unistd.h>

static gsize page;
static char *path;

static GBytes *
map_pages (guint n)
{
  page = (gsize) sysconf (_SC_PAGESIZE);
  g_autofree char *data = g_malloc (n * page);
  GError *error = NULL;

  memset (data, 'x', n * page);
  g_free (path);
  path = put_file ("input", data, n * page);
  GBytes *bytes = afp_mapped_new (path, &error);
  ck_assert_msg (bytes != NULL, "%s", error ? error->message : "");
  ck_assert_uint_eq (g_bytes_get_size (bytes), n * page);
  return bytes;
}

static char
read_at (GBytes *bytes, gsize at)
{
  return ((const volatile char *) g_bytes_get_data (bytes, NULL))[at];
}

START_TEST (a_file)
{
  g_autoptr (GBytes) bytes = map_pages (3);

  ck_assert_int_eq (read_at (bytes, 3 * page - 1), 'x');
  ck_assert (afp_watch_check (NULL));
  ck_assert (!afp_watch_has_fault ());
  /* One that is gone from its folder is still there. */
  g_unlink (path);
  ck_assert_int_eq (read_at (bytes, page), 'x');
  ck_assert (afp_watch_check (NULL));
}
END_TEST

START_TEST (an_empty_file)
{
  g_autofree char *empty = put_file ("empty", "", 0);
  g_autoptr (GBytes) bytes = afp_mapped_new (empty, NULL);

  ck_assert_uint_eq (g_bytes_get_size (bytes), 0);
  ck_assert (afp_watch_check (NULL));
}
END_TEST

/* Not met yet, and known all the same; forgotten with the file. */
START_TEST (a_file_that_became_shorter)
{
  GBytes *bytes = map_pages (3);
  GError *error = NULL;

  ck_assert_int_eq (truncate (path, 10), 0);
  ck_assert (!afp_watch_has_fault ());
  ck_assert (!afp_watch_check (&error));
  assert_error (error, AFP_ERROR_IO, "input' became shorter while it was read: it had ",
                " bytes, now it has 10;", "run again");
  g_bytes_unref (bytes);
  ck_assert (afp_watch_check (NULL));
}
END_TEST

/* In a process of its own, for the note stays. */
START_TEST (a_read_behind_the_end)
{
  g_autoptr (GBytes) bytes = map_pages (4), other = afp_mapped_new (path, NULL);
  GError *error = NULL;

  afp_crash_set_hook (afp_watch_on_signal);
  afp_crash_install ("test");
  ck_assert_int_eq (truncate (path, (off_t) page + 10), 0);
  ck_assert_int_eq (read_at (bytes, page + 9), 'x');
  ck_assert (!afp_watch_has_fault ());
  ck_assert_int_eq (read_at (bytes, 2 * page + 1), 0);
  ck_assert_int_eq (read_at (bytes, 4 * page - 1), 0);
  ck_assert_int_eq (read_at (other, 3 * page), 0);
  ck_assert (afp_watch_has_fault ());
  ck_assert (!afp_watch_check (&error));
  assert_error (error, AFP_ERROR_IO, "input' became shorter while it was read");
  /* It came back, but what was read is wrong. */
  ck_assert_int_eq (truncate (path, (off_t) (4 * page)), 0);
  ck_assert (!afp_watch_check (&error));
  assert_error (error, AFP_ERROR_IO, "could not be read in one place");
}
END_TEST

START_TEST (other_signals)
{
  g_autoptr (GBytes) bytes = map_pages (1);
  const char *start = g_bytes_get_data (bytes, NULL);
  siginfo_t info = { .si_code = BUS_ADRERR };

  info.si_addr = (void *) (start - 1);
  ck_assert (!afp_watch_on_signal (SIGBUS, &info));
  info.si_addr = (void *) (start + page);
  ck_assert (!afp_watch_on_signal (SIGBUS, &info));
  info.si_addr = (void *) start;
  ck_assert (!afp_watch_on_signal (SIGSEGV, &info));
  info.si_code = SI_USER; /* kill -BUS */
  ck_assert (!afp_watch_on_signal (SIGBUS, &info));
  ck_assert (!afp_watch_has_fault ());
}
END_TEST

static TCase *
watch_case (void)
{
  TCase *tcase = io_case ("watch");
  tcase_add_test (tcase, a_file);
  tcase_add_test (tcase, an_empty_file);
  tcase_add_test (tcase, a_file_that_became_shorter);
  tcase_add_test (tcase, other_signals);
  tcase_add_test (tcase, a_read_behind_the_end); /* the last: without fork the note stays */
  return tcase;
}

int
main (void)
{
  TCase *(*const cases[]) (void) = { watch_case };

  return run_suite ("watch", cases, G_N_ELEMENTS (cases));
}
