/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core-test.h"

START_TEST (test_fields)
{
  JsonNode *json = json_from_string ("{\"done\": 3}", NULL);
  g_autoptr (AfpMessage) message =
      afp_message_new (AFP_MESSAGE_PROGRESS, "write0", "fc1.weight", json);

  ck_assert_int_eq (afp_message_get_message_type (message), AFP_MESSAGE_PROGRESS);
  ck_assert_str_eq (afp_message_get_source (message), "write0");
  ck_assert_str_eq (afp_message_get_text (message), "fc1.weight");
  ck_assert_ptr_eq (afp_message_get_json (message), json);
}
END_TEST

START_TEST (test_missing_fields)
{
  g_autoptr (AfpMessage) message = afp_message_new (AFP_MESSAGE_EOS, NULL, NULL, NULL);

  ck_assert_ptr_null (afp_message_get_source (message));
  ck_assert_str_eq (afp_message_get_text (message), "");
  ck_assert_ptr_null (afp_message_get_json (message));
}
END_TEST

START_TEST (test_copy_outlives_the_original)
{
  AfpMessage *message = afp_message_new (AFP_MESSAGE_WARNING, "a", "b", NULL);
  g_autoptr (AfpMessage) copy = afp_message_copy (message);

  afp_message_free (message);
  ck_assert_str_eq (afp_message_get_text (copy), "b");
}
END_TEST

START_TEST (test_boxed)
{
  g_autoptr (AfpMessage) message = afp_message_new (AFP_MESSAGE_INFO, "a", "b", NULL);
  GValue value = G_VALUE_INIT;

  g_value_init (&value, AFP_TYPE_MESSAGE);
  g_value_set_boxed (&value, message);
  ck_assert_str_eq (afp_message_get_source (g_value_get_boxed (&value)), "a");
  g_value_unset (&value);
}
END_TEST

START_TEST (test_free_nothing)
{
  afp_message_free (NULL);
}
END_TEST

static TCase *
make_messages (void)
{
  TCase *tcase = tcase_create ("messages");
  tcase_add_test (tcase, test_fields);
  tcase_add_test (tcase, test_missing_fields);
  tcase_add_test (tcase, test_copy_outlives_the_original);
  tcase_add_test (tcase, test_boxed);
  tcase_add_test (tcase, test_free_nothing);
  return tcase;
}

int
main (void)
{
  TCase *(*const cases[]) (void) = { make_messages };
  return run_suite ("message", cases, G_N_ELEMENTS (cases));
}
