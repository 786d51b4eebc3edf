/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "eval/eval-options.h"

#include "io-test.h"

START_TEST (set_or_not)
{
  ck_assert (eval_is_set ("x"));
  ck_assert (!eval_is_set (""));
  ck_assert (!eval_is_set (NULL));
}
END_TEST

static const struct {
  const char *text;
  double value;
} ratios[] = {
  { "1/255", 1.0 / 255 }, { "0.5", 0.5 }, { "2", 2 }, { "1e-2", 0.01 }, { "-1/4", -0.25 }
};

START_TEST (right_ratios)
{
  GError *error = NULL;
  double value;

  ck_assert (eval_parse_ratio ("image-scale", ratios[_i].text, &value, &error));
  ck_assert_double_eq_tol (value, ratios[_i].value, 1e-15);
}
END_TEST

static const char *const wrong[] = { "",  "x",   "1/",    "/2",  "1/0", "1/2/3",
                                     "0", "0/5", "1 / 2", "nan", "inf", "1/255px" };

START_TEST (wrong_ratios)
{
  GError *error = NULL;
  double value;

  ck_assert (!eval_parse_ratio ("image-scale", wrong[_i], &value, &error));
  assert_error (error, AFP_ERROR_PROPERTY, "image-scale=", wrong[_i], "like 0.5 or 1/255");
}
END_TEST

START_TEST (files)
{
  g_autofree char *path = in_folder ("text");
  g_autofree char *missing = in_folder ("nothing");
  g_autofree char *text = NULL;
  GError *error = NULL;
  gsize n;

  ck_assert (g_file_set_contents (path, "a\0b", 3, NULL));
  ck_assert (eval_check_file ("text", path, &error));
  ck_assert (eval_check_file ("text", NULL, &error));
  ck_assert (eval_check_file ("text", "", &error));
  text = eval_read_file ("text", path, &n, &error);
  ck_assert_uint_eq (n, 3);
  ck_assert_mem_eq (text, "a\0b", 3);
  ck_assert (!eval_check_file ("text", missing, &error));
  assert_error (error, AFP_ERROR_IO, "text=", missing, "there is no such file");
  ck_assert_ptr_null (eval_read_file ("tasks", missing, &n, &error));
  assert_error (error, AFP_ERROR_IO, "tasks=", missing);
}
END_TEST

/* A folder is no file. */
START_TEST (folders)
{
  GError *error = NULL;

  ck_assert (!eval_check_file ("labels", "/", &error));
  assert_error (error, AFP_ERROR_IO, "labels=/", "there is no such file");
}
END_TEST

static TCase *
all (void)
{
  TCase *tcase = tcase_create ("options");

  tcase_add_checked_fixture (tcase, folder_setup, folder_teardown);
  tcase_add_test (tcase, set_or_not);
  tcase_add_loop_test (tcase, right_ratios, 0, G_N_ELEMENTS (ratios));
  tcase_add_loop_test (tcase, wrong_ratios, 0, G_N_ELEMENTS (wrong));
  tcase_add_test (tcase, files);
  tcase_add_test (tcase, folders);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { all };
  return run_suite ("eval-options", cases, G_N_ELEMENTS (cases));
}
