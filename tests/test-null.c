/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-test.h"

/* null counts what a file would hold: the same as a sink that keeps it. */

static JsonNode *
report_of (const char *text, GError **error)
{
  g_autoptr (AfpPipeline) pipeline = afp_pipeline_new_from_text (text, error);
  if (!pipeline || !afp_pipeline_run (pipeline, error))
    return NULL;
  return afp_pipeline_get_report (pipeline, NULL);
}

static gint64
total (JsonNode *report, const char *name)
{
  JsonObject *object = json_object_get_object_member (json_node_get_object (report), "total");
  return json_object_get_int_member (object, name);
}

static void
setup (void)
{
  g_autoptr (AfpTensor) a = test_tensor ("a", AFP_DTYPE_F32, "32x64", NULL, 1),
                        b = test_tensor ("b", AFP_DTYPE_F32, "64", NULL, 2);
  test_set_tensors (a, b, NULL);
}

START_TEST (it_counts)
{
  static const char *const chains[] = { "", "test-q ! ",
                                        "test-ask ! test-q planes=coeffs bits=3 ! entropy ! ",
                                        "test-q residual=true ! " };
  for (guint i = 0; i < G_N_ELEMENTS (chains); i++) {
    GError *error = NULL;
    g_autofree char *thrown = g_strconcat ("test-source ! ", chains[i], "null", NULL),
                    *kept = g_strconcat ("test-source ! ", chains[i], "test-sink", NULL);
    g_autoptr (JsonNode) a = report_of (thrown, &error), b = report_of (kept, &error);
    ck_assert_msg (a && b, "%s", error ? error->message : "?");
    ck_assert_int_eq (total (a, "bytes"), total (b, "bytes"));
    ck_assert_int_eq (total (a, "weights"), 32 * 64 + 64);
  }
}
END_TEST

START_TEST (what_it_says)
{
  GError *error = NULL;
  g_autoptr (AfpElement) element = afp_registry_make (afp_registry_get_default (), "null", &error);
  ck_assert_msg (element != NULL, "%s", error ? error->message : "?");
  ck_assert (AFP_IS_SINK (element));
  g_autoptr (JsonNode) output = AFP_ELEMENT_GET_CLASS (element)->get_output (element);
  ck_assert_str_eq (json_object_get_string_member (json_node_get_object (output), "format"),
                    "null");
  ck_assert_uint_eq (afp_sink_get_n_records (AFP_SINK (element)), 0);
  ck_assert_uint_eq (afp_sink_get_total_bytes (AFP_SINK (element)), 0);
}
END_TEST

/* Finalizing is work: its errors are not thrown away. */
START_TEST (errors_count)
{
  GError *error = NULL;
  ck_assert_ptr_null (
      report_of ("test-source ! test-flip ! test-fail planes=weight in=encode ! null", &error));
  assert_error (error, AFP_ERROR_CODEC, "test-fail fails in encode", "a/weight");
}
END_TEST

START_TEST (wrong_uses)
{
  GError *error = NULL;
  ck_assert_ptr_null (report_of ("null", &error));
  ck_assert_msg (error && strstr (error->message, "null"), "%s",
                 error ? error->message : "no error");
  g_clear_error (&error);
  ck_assert_ptr_null (report_of ("test-source ! null ! null", &error));
  ck_assert_msg (error && strstr (error->message, "null"), "%s",
                 error ? error->message : "no error");
  g_clear_error (&error);
  ck_assert_ptr_null (report_of ("test-source ! null location=x", &error));
  assert_error (error, AFP_ERROR_PROPERTY, "no property 'location'");
}
END_TEST

static TCase *
all (void)
{
  TCase *tcase = tcase_create ("null");
  tcase_add_checked_fixture (tcase, setup, NULL);
  tcase_add_test (tcase, it_counts);
  tcase_add_test (tcase, what_it_says);
  tcase_add_test (tcase, errors_count);
  tcase_add_test (tcase, wrong_uses);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { all };
  test_init ();
  return run_suite ("null", cases, G_N_ELEMENTS (cases));
}
