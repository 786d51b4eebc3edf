/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core-test.h"

#include "json-lines.h"

static const char text[] = "{\"a\": 1}\n\n  \r\n{\"a\": \"two\\nlines\"}\r\n{\"a\": 3}";

START_TEST (objects_come_with_their_line)
{
  static const guint lines_of[] = { 1, 4, 5 };
  g_auto (AfpJsonLines) lines;
  GError *error = NULL;

  afp_json_lines_init (&lines, text, strlen (text), "f");
  for (guint i = 0; i < 3; i++) {
    JsonObject *object = afp_json_lines_next (&lines, &error);
    ck_assert_ptr_nonnull (object);
    ck_assert_uint_eq (lines.line, lines_of[i]);
    ck_assert_int_eq (json_object_get_size (object), 1);
    if (i == 1)
      ck_assert_str_eq (afp_json_get_text (object, "a", ""), "two\nlines");
  }
  ck_assert_ptr_null (afp_json_lines_next (&lines, &error));
  ck_assert_ptr_null (afp_json_lines_next (&lines, &error));
  ck_assert_ptr_null (error);
}
END_TEST

START_TEST (nothing_is_no_object)
{
  static const char *const empty[] = { "", "\n", " \t\r\n\n" };
  g_auto (AfpJsonLines) lines;
  GError *error = NULL;

  afp_json_lines_init (&lines, empty[_i], strlen (empty[_i]), "f");
  ck_assert_ptr_null (afp_json_lines_next (&lines, &error));
  ck_assert_ptr_null (error);
}
END_TEST

static const struct {
  const char *text, *words;
} bad[] = {
  { "{}\n{\"a\": 1", "line 2 of 'some file' is damaged" },
  { "{}\n\n[1]", "line 3 of 'some file': it is not a JSON object" },
  { "{} {}", "line 1 of 'some file' is damaged: something behind the value" },
  { "{\n}", "line 1 of 'some file' is damaged: the end of the text" },
  { "{\"a\": 1, \"a\": 1}", "'a' occurs twice" },
};

START_TEST (what_is_wrong_is_told_with_its_line)
{
  g_auto (AfpJsonLines) lines;
  GError *error = NULL;

  afp_json_lines_init (&lines, bad[_i].text, strlen (bad[_i].text), "some file");
  while (afp_json_lines_next (&lines, &error))
    continue;
  assert_error (error, AFP_ERROR_FORMAT, bad[_i].words);
}
END_TEST

START_TEST (callers_name_the_line_too)
{
  g_auto (AfpJsonLines) lines;
  GError *error = NULL;

  afp_json_lines_init (&lines, text, strlen (text), "f");
  ck_assert_ptr_nonnull (afp_json_lines_next (&lines, NULL));
  ck_assert_ptr_nonnull (afp_json_lines_next (&lines, NULL));
  ck_assert (!afp_json_lines_fail (&lines, &error, "a is %d", 5));
  assert_error (error, AFP_ERROR_FORMAT, "line 4 of 'f': a is 5");
}
END_TEST

static TCase *
good_case (void)
{
  TCase *tcase = tcase_create ("good");
  tcase_add_test (tcase, objects_come_with_their_line);
  tcase_add_loop_test (tcase, nothing_is_no_object, 0, 3);
  return tcase;
}

static TCase *
bad_case (void)
{
  TCase *tcase = tcase_create ("bad");
  tcase_add_loop_test (tcase, what_is_wrong_is_told_with_its_line, 0, G_N_ELEMENTS (bad));
  tcase_add_test (tcase, callers_name_the_line_too);
  return tcase;
}

int
main (void)
{
  TCase *(*const cases[]) (void) = { good_case, bad_case };

  return run_suite ("json-lines", cases, G_N_ELEMENTS (cases));
}
