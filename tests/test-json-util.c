/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core-test.h"

#include "json-util.h"

static JsonNode *
parse (const char *text, GError **error)
{
  return afp_json_parse (text, strlen (text), 4, "the header of 'm'", error);
}

#define assert_bad(text, ...)                                                             \
  do {                                                                                    \
    GError *error_ = NULL;                                                                \
    ck_assert_ptr_null (parse ((text), &error_));                                         \
    assert_error (error_, AFP_ERROR_FORMAT, "the header of 'm' is damaged", __VA_ARGS__); \
  } while (0)

START_TEST (good)
{
  static const char *const texts[] = { "{}",
                                       "[-0.5e+3, 0, -0, 10.25, 1E9, true, false, null]",
                                       "[]",
                                       " {\"a\":1,\"b\":[1,2,{\"c\":null}]}\n",
                                       "[true,false,-1.5e3,\"\\\"\\u00e9{[\"]",
                                       "{\"a\":{\"a\":{\"a\":1}}}",
                                       "[[[[]]]]" };
  for (gsize i = 0; i < G_N_ELEMENTS (texts); i++) {
    GError *error = NULL;
    g_autoptr (JsonNode) node = parse (texts[i], &error);
    ck_assert_msg (node != NULL, "%s: %s", texts[i], error ? error->message : "?");
  }
}
END_TEST

START_TEST (values)
{
  g_autoptr (JsonNode) node = parse ("{\"shape\":[3,4],\"name\":\"x\\\\y\"}", NULL);
  JsonObject *object = json_node_get_object (node);
  ck_assert_int_eq (json_array_get_int_element (json_object_get_array_member (object, "shape"), 1),
                    4);
  ck_assert_str_eq (json_object_get_string_member (object, "name"), "x\\y");
}
END_TEST

START_TEST (members_that_occur_twice)
{
  assert_bad ("{\"a\":1,\"a\":2}", "'a' occurs twice");
  assert_bad ("{\"x\":{\"b\":1,\"c\":2,\"b\":3}}", "'b' occurs twice");
  assert_bad ("{\"a\":1,\"\\u0061\":2}", "'a' occurs twice");
  assert_bad ("[{\"z\":[],\"z\":{}}]", "'z' occurs twice");
}
END_TEST

START_TEST (brackets)
{
  assert_bad ("{", "inside a bracket", "byte 1");
  assert_bad ("}", "nothing opens", "byte 0");
  assert_bad ("{}}", "nothing opens", "byte 2");
  assert_bad ("[[[[[]]]]]", "too deep", "byte 4");
  assert_bad ("{\"a\":[}", "is damaged");
}
END_TEST

/* json-glib takes the last of several values, and forgets to free the others. */
START_TEST (one_value)
{
  assert_bad ("1{\"a\":1}", "something behind the value", "byte 1");
  assert_bad ("{}{}", "something behind the value", "byte 2");
  assert_bad ("[] \"x\"", "something behind the value", "byte 3");
  assert_bad ("1 2", "something behind the value", "byte 2");
  assert_bad ("\"a\",1", "something behind the value", "byte 3");
  assert_bad (",{}", "not JSON", "byte 0");
  assert_bad (":", "not JSON", "byte 0");
  GError *error = NULL;
  g_autoptr (JsonNode) number = parse (" -1.5e3\n", &error);
  ck_assert_msg (number != NULL, "%s", error ? error->message : "?");
}
END_TEST

START_TEST (very_deep)
{
  g_autofree char *text = g_strnfill (10000000, '[');
  assert_bad (text, "too deep");
}
END_TEST

START_TEST (strings)
{
  assert_bad ("{\"a", "does not end");
  assert_bad ("{\"a\\", "does not end");
  assert_bad ("{\"a\\u0000b\":1}", "NUL in a string", "byte 3");
  assert_bad ("{\"a\tb\":1}", "control character");
  assert_bad ("{\"\xff\xfe\":1}", "is damaged");
}
END_TEST

START_TEST (what_json_glib_would_take)
{
  assert_bad ("{/* comment */}", "not JSON", "byte 1");
  assert_bad ("{// comment\n}", "not JSON");
  assert_bad ("{'a':1}", "not JSON");
  assert_bad ("{\"a\":.3e52}", "a number or a word that is not JSON", "byte 5");
  assert_bad ("{\"a\":01}", "not JSON");
  assert_bad ("{\"a\":1.}", "not JSON");
  assert_bad ("{\"a\":1e}", "not JSON");
  assert_bad ("{\"a\":+1}", "not JSON");
  assert_bad ("{\"a\":-}", "not JSON");
  assert_bad ("[tru]", "not JSON", "byte 1");
  assert_bad ("[truefalse]", "not JSON");
  assert_bad ("{\"a\":0x10}", "not JSON", "byte 6");
  assert_bad ("{\"a\":$}", "not JSON");
  assert_bad ("{\"a\" 1}", "is damaged");
  assert_bad ("", "is damaged");
  assert_bad ("   ", "is damaged");
}
END_TEST

START_TEST (nul_in_the_text)
{
  GError *error = NULL;
  ck_assert_ptr_null (afp_json_parse ("{}\0{}", 5, 4, "x", &error));
  assert_error (error, AFP_ERROR_FORMAT, "x is damaged", "byte 2");
}
END_TEST

START_TEST (no_text)
{
  GError *error = NULL;
  ck_assert_ptr_null (afp_json_parse (NULL, 0, 4, "x", &error));
  assert_error (error, AFP_ERROR_FORMAT, "x is damaged: it is empty");
}
END_TEST

START_TEST (members)
{
  g_autoptr (JsonNode) node = parse ("{\"i\":3,\"d\":-1.5,\"t\":\"x\",\"f\":false,\"o\":{},"
                                     "\"a\":[],\"n\":null}",
                                     NULL);
  static const char *const names[] = { "i", "d", "t", "f", "o", "a", "n", "absent" };
  JsonObject *object = json_node_get_object (node);
  for (gsize i = 0; i < G_N_ELEMENTS (names); i++) {
    const double number = afp_json_get_number (object, names[i], 7);
    const char *text = afp_json_get_text (object, names[i], NULL);
    ck_assert_double_eq (number, i == 0 ? 3 : i == 1 ? -1.5 : 7);
    ck_assert_pstr_eq (text, i == 2 ? "x" : NULL);
    ck_assert_int_eq (afp_json_get_flag (object, names[i], TRUE), i != 3);
    ck_assert_int_eq (afp_json_get_object (object, names[i]) != NULL, i == 4);
    ck_assert_int_eq (afp_json_get_array (object, names[i]) != NULL, i == 5);
  }
  ck_assert_str_eq (afp_json_get_text (object, "i", "other"), "other");
}
END_TEST

static TCase *
all (void)
{
  TCase *tcase = tcase_create ("json");
  tcase_add_test (tcase, good);
  tcase_add_test (tcase, values);
  tcase_add_test (tcase, members_that_occur_twice);
  tcase_add_test (tcase, brackets);
  tcase_add_test (tcase, one_value);
  tcase_add_test (tcase, very_deep);
  tcase_add_test (tcase, strings);
  tcase_add_test (tcase, what_json_glib_would_take);
  tcase_add_test (tcase, nul_in_the_text);
  tcase_add_test (tcase, no_text);
  tcase_add_test (tcase, members);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { all };
  return run_suite ("json-util", cases, G_N_ELEMENTS (cases));
}
