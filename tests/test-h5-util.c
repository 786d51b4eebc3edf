/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "io-test.h"

#include "io/h5-util.h"

START_TEST (no_error_has_a_text_too)
{
  afp_h5_lock ();
  g_autofree char *text = afp_h5_last_error ();
  afp_h5_unlock ();
  ck_assert_str_eq (text, "unknown HDF5 error");
}
END_TEST

START_TEST (innermost_message_is_given_once)
{
  g_autofree char *path = in_folder ("none.h5");

  afp_h5_lock ();
  ck_assert_int_lt (H5Fopen (path, H5F_ACC_RDONLY, H5P_DEFAULT), 0);
  g_autofree char *text = afp_h5_last_error (), *again = afp_h5_last_error ();
  afp_h5_unlock ();
  ck_assert_ptr_nonnull (strstr (text, "No such file or directory"));
  ck_assert_str_eq (again, "unknown HDF5 error");
}
END_TEST

START_TEST (messages_are_one_line)
{
  g_autofree char *path = put_file ("text.h5", "no HDF5\n", 8);

  afp_h5_lock ();
  ck_assert_int_lt (H5Fopen (path, H5F_ACC_RDONLY, H5P_DEFAULT), 0);
  g_autofree char *text = afp_h5_last_error ();
  afp_h5_unlock ();
  ck_assert_ptr_nonnull (strstr (text, "signature not found"));
  ck_assert_ptr_null (strpbrk (text, "\r\n\t"));
}
END_TEST

/* Would hang if the lock were not recursive, and print to stderr if HDF5 were not told to be silent. */
START_TEST (lock_is_recursive_and_silent)
{
  H5E_auto2_t print = NULL;
  void *data = NULL;

  afp_h5_lock ();
  afp_h5_lock ();
  ck_assert_int_ge (H5Eget_auto2 (H5E_DEFAULT, &print, &data), 0);
  ck_assert (print == NULL);
  afp_h5_unlock ();
  afp_h5_unlock ();
}
END_TEST

static gint in_use, collisions;

static gpointer
open_often (gpointer path)
{
  for (guint i = 0; i < 50; i++) {
    afp_h5_lock ();
    if (g_atomic_int_add (&in_use, 1) != 0)
      g_atomic_int_inc (&collisions);
    hid_t file = H5Fopen (path, H5F_ACC_RDONLY, H5P_DEFAULT);
    g_autofree char *text = afp_h5_last_error ();
    if (file >= 0 || !strstr (text, "No such file"))
      g_atomic_int_inc (&collisions);
    g_atomic_int_add (&in_use, -1);
    afp_h5_unlock ();
  }
  return NULL;
}

START_TEST (one_thread_at_a_time)
{
  g_autofree char *path = in_folder ("none.h5");
  GThread *threads[4];

  for (guint i = 0; i < 4; i++)
    threads[i] = g_thread_new ("h5", open_often, path);
  for (guint i = 0; i < 4; i++)
    g_thread_join (threads[i]);
  ck_assert_int_eq (collisions, 0);
}
END_TEST

static TCase *
util_case (void)
{
  TCase *tcase = io_case ("h5-util");
  tcase_add_test (tcase, no_error_has_a_text_too);
  tcase_add_test (tcase, innermost_message_is_given_once);
  tcase_add_test (tcase, messages_are_one_line);
  tcase_add_test (tcase, lock_is_recursive_and_silent);
  tcase_add_test (tcase, one_thread_at_a_time);
  return tcase;
}

int
main (void)
{
  TCase *(*const cases[]) (void) = { util_case };

  return run_suite ("h5-util", cases, G_N_ELEMENTS (cases));
}
