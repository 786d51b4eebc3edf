/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "eval/eval-spill.h"

#include "io-test.h"

#include <sys/resource.h>
#include <signal.h>

static EvalSpill *
make (void)
{
  GError *error = NULL;
  EvalSpill *spill = eval_spill_new (&error);

  ck_assert_msg (spill != NULL, "%s", error ? error->message : "?");
  return spill;
}

static EvalPlace
append (EvalSpill *spill, gsize n, guint8 first)
{
  g_autofree guint8 *bytes = g_malloc (n + 1);
  EvalPlace place;
  GError *error = NULL;

  for (gsize i = 0; i < n; i++)
    bytes[i] = (guint8) (first + i);
  ck_assert (eval_spill_append (spill, bytes, n, &place, &error));
  ck_assert_uint_eq (place.size, n);
  return place;
}

/* Both ways to read say the same. */
static void
check_place (EvalSpill *spill, const EvalPlace *place, guint8 first)
{
  g_autofree guint8 *bytes = g_malloc (place->size + 1);
  GError *error = NULL;
  g_autoptr (GBytes) mapped = eval_spill_map (spill, place, &error);

  ck_assert_msg (mapped != NULL, "%s", error ? error->message : "?");
  ck_assert (eval_spill_read (spill, place, bytes, &error));
  ck_assert_uint_eq (g_bytes_get_size (mapped), place->size);
  const guint8 *view = g_bytes_get_data (mapped, NULL);
  for (gsize i = 0; i < place->size; i++) {
    ck_assert_uint_eq (bytes[i], (guint8) (first + i));
    ck_assert_uint_eq (view[i], (guint8) (first + i));
  }
}

START_TEST (what_was_put_is_read)
{
  static const gsize sizes[] = { 1, 64, 63, 65, 100000, 0, 7 };
  g_autoptr (EvalSpill) spill = make ();
  EvalPlace places[G_N_ELEMENTS (sizes)];

  ck_assert_uint_eq (eval_spill_get_size (spill), 0);
  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++) {
    places[i] = append (spill, sizes[i], (guint8) (i * 10));
    ck_assert_uint_eq (places[i].offset % AFP_ALIGN_LARGE, 0);
    ck_assert_uint_eq (eval_spill_get_size (spill), places[i].offset + sizes[i]);
    check_place (spill, &places[i], (guint8) (i * 10)); /* the file grows under the map */
  }
  for (guint i = G_N_ELEMENTS (sizes); i-- > 0;)
    check_place (spill, &places[i], (guint8) (i * 10));
}
END_TEST

/* What is mapped stays, though the file has grown since and is gone in the end. */
START_TEST (maps_stay)
{
  EvalSpill *spill = make ();
  const EvalPlace place = append (spill, 5000, 3);
  g_autoptr (GBytes) mapped = eval_spill_map (spill, &place, NULL);

  append (spill, 100000, 4);
  const EvalPlace last = append (spill, 100, 5);
  g_autoptr (GBytes) later = eval_spill_map (spill, &last, NULL);
  eval_spill_free (spill);
  ck_assert_uint_eq (((const guint8 *) g_bytes_get_data (mapped, NULL))[4999], (guint8) (3 + 4999));
  ck_assert_uint_eq (((const guint8 *) g_bytes_get_data (later, NULL))[99], 104);
}
END_TEST

START_TEST (replaced)
{
  g_autoptr (EvalSpill) spill = make ();
  const EvalPlace first = append (spill, 100, 1), second = append (spill, 100, 50),
                  third = append (spill, 100, 99);
  guint8 bytes[100];

  for (guint i = 0; i < 100; i++)
    bytes[i] = (guint8) (200 + i);
  ck_assert (eval_spill_replace (spill, &second, bytes, NULL));
  check_place (spill, &first, 1);
  check_place (spill, &second, 200);
  check_place (spill, &third, 99);
}
END_TEST

/* --- where it lies --- */

START_TEST (leaves_nothing)
{
  g_setenv ("TMPDIR", test_folder, TRUE);
  ck_assert_str_eq (eval_temporary_folder (), test_folder);
  g_autoptr (EvalSpill) spill = make ();
  append (spill, 1000, 1);
  ck_assert_uint_eq (count_files (), 0);
  g_unsetenv ("TMPDIR");
}
END_TEST

START_TEST (usual_folder)
{
  g_unsetenv ("TMPDIR");
  ck_assert_str_eq (eval_temporary_folder (), "/var/tmp");
  g_setenv ("TMPDIR", "", TRUE);
  ck_assert_str_eq (eval_temporary_folder (), "/var/tmp");
  g_unsetenv ("TMPDIR");
}
END_TEST

START_TEST (no_folder)
{
  GError *error = NULL;

  g_setenv ("TMPDIR", "/no/such/folder", TRUE);
  ck_assert_ptr_null (eval_spill_new (&error));
  g_unsetenv ("TMPDIR");
  assert_error (error, AFP_ERROR_IO, "cannot make a temporary file in '/no/such/folder'",
                "No such file or directory", "TMPDIR says in which folder", "--max-mem");
}
END_TEST

START_TEST (beyond_the_end)
{
  g_autoptr (EvalSpill) spill = make ();
  EvalPlace place = append (spill, 100, 1);
  guint8 bytes[200];
  GError *error = NULL;

  place.size = 200;
  ck_assert (!eval_spill_read (spill, &place, bytes, &error));
  assert_error (error, AFP_ERROR_IO, "cannot read a temporary file in '", "TMPDIR");
}
END_TEST

/* A limit on the size of files stands for a full disk. */
START_TEST (full_disk)
{
  g_autoptr (EvalSpill) spill = make ();
  const EvalPlace place = append (spill, 100, 1);
  g_autofree guint8 *bytes = g_malloc0 (100000);
  struct rlimit old, small;
  EvalPlace other;
  GError *error = NULL;

  signal (SIGXFSZ, SIG_IGN);
  ck_assert_int_eq (getrlimit (RLIMIT_FSIZE, &old), 0);
  small = old;
  small.rlim_cur = 50000;
  ck_assert_int_eq (setrlimit (RLIMIT_FSIZE, &small), 0);
  const gboolean ok = eval_spill_append (spill, bytes, 100000, &other, &error);
  setrlimit (RLIMIT_FSIZE, &old);
  ck_assert (!ok);
  assert_error (error, AFP_ERROR_IO, "cannot write into a temporary file", "File too large");
  check_place (spill, &place, 1);
}
END_TEST

static TCase *
good_case (void)
{
  TCase *tcase = tcase_create ("good");

  tcase_add_test (tcase, what_was_put_is_read);
  tcase_add_test (tcase, maps_stay);
  tcase_add_test (tcase, replaced);
  return tcase;
}

static TCase *
folder_case (void)
{
  TCase *tcase = tcase_create ("folder");

  tcase_add_checked_fixture (tcase, folder_setup, folder_teardown);
  tcase_add_test (tcase, leaves_nothing);
  tcase_add_test (tcase, usual_folder);
  tcase_add_test (tcase, no_folder);
  tcase_add_test (tcase, beyond_the_end);
  tcase_add_test (tcase, full_disk);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { good_case, folder_case };

  return run_suite ("eval-spill", cases, G_N_ELEMENTS (cases));
}
