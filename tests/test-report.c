/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pipe-test.h"

#include "afp-pipeline-private.h"
#include "afp-report-private.h"

#include <math.h>

/* Runs a pipeline, well or not, and reports. */
static JsonNode *
report_of (const char *text)
{
  g_autoptr (AfpPipeline) pipeline = pipe_new (text);
  g_autoptr (GError) error = NULL;

  afp_pipeline_run (pipeline, &error);
  return afp_pipeline_get_report (pipeline, error);
}

static JsonObject *
total_of (JsonNode *report)
{
  return json_object_get_object_member (json_node_get_object (report), "total");
}

static JsonObject *
entry (JsonNode *report, const char *array, guint index)
{
  JsonArray *list = json_object_get_array_member (json_node_get_object (report), array);

  ck_assert_msg (index < json_array_get_length (list), "%s has %u entries", array,
                 json_array_get_length (list));
  return json_array_get_object_element (list, index);
}

static guint
count (JsonNode *report, const char *array)
{
  return json_array_get_length (
      json_object_get_array_member (json_node_get_object (report), array));
}

#define assert_number(object, name, expected) \
  ck_assert_double_eq_tol (json_object_get_double_member (object, name), expected, 1e-9)
#define assert_int(object, name, expected) \
  ck_assert_int_eq (json_object_get_int_member (object, name), expected)
#define assert_null(object, name)                                \
  ck_assert_msg (json_object_has_member (object, name) &&        \
                     json_object_get_null_member (object, name), \
                 "%s is not null", name)

/* --- JSON --- */

START_TEST (test_schema)
{
  static const char *const names[] = { "pipeline",
                                       "exit",
                                       "total",
                                       "outputs",
                                       "stages",
                                       "tensors",
                                       "evals",
                                       "notes",
                                       "seconds",
                                       "threads",
                                       "peak_rss_bytes",
                                       "versions",
                                       "tensors_resumed",
                                       "budget_bytes",
                                       "planned_peak_bytes",
                                       "charged_peak_bytes",
                                       "executions",
                                       "executions_cached",
                                       "analyses",
                                       "analyses_cached",
                                       "trace" };
  static const char *const totals[] = {
    "weights",     "bytes",       "bits_per_weight", "file_bytes", "file_bits_per_weight",
    "ratio_input", "ratio_fp16",  "ratio_fp32",      "nmse",       "sqnr_db",
    "cosine",      "extras_bytes"
  };
  g_autoptr (JsonNode) report = report_of ("tsource n=3 notes=true ! tpass metrics=true ! tsink");
  JsonObject *object = json_node_get_object (report), *versions;

  ck_assert_uint_eq (json_object_get_size (object), G_N_ELEMENTS (names));
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    ck_assert_msg (json_object_has_member (object, names[i]), "no %s", names[i]);
  for (guint i = 0; i < G_N_ELEMENTS (totals); i++)
    ck_assert_msg (json_object_has_member (total_of (report), totals[i]), "no %s", totals[i]);
  ck_assert_uint_eq (json_object_get_size (total_of (report)), G_N_ELEMENTS (totals));
  ck_assert_str_eq (json_object_get_string_member (object, "pipeline"),
                    "tsource n=3 notes=true ! tpass metrics=true ! tsink");
  assert_int (object, "exit", 0);
  ck_assert_int_gt (json_object_get_int_member (object, "peak_rss_bytes"), 100000);
  ck_assert_int_gt (json_object_get_int_member (object, "planned_peak_bytes"), 100000);
  ck_assert_int_ge (json_object_get_int_member (object, "charged_peak_bytes"),
                    json_object_get_int_member (object, "planned_peak_bytes"));
  ck_assert_int_ge (json_object_get_int_member (object, "budget_bytes"),
                    json_object_get_int_member (object, "charged_peak_bytes"));
  versions = json_object_get_object_member (object, "versions");
  ck_assert_str_eq (json_object_get_string_member (versions, "afpipe"), AFP_VERSION);
  ck_assert_str_eq (
      json_array_get_string_element (json_object_get_array_member (object, "notes"), 0),
      "tsource0: left out 2 optimizer tensors");
}
END_TEST

START_TEST (test_total_without_a_file)
{
  g_autoptr (AfpPipeline) pipeline = pipe_new ("tsource n=3 ! tsink");
  g_autoptr (JsonNode) report = NULL;
  JsonObject *total;
  double bytes;

  pipe_run_ok (pipeline);
  report = afp_pipeline_get_report (pipeline, NULL);
  total = total_of (report);
  bytes = (double) afp_sink_get_total_bytes (pipe_find (pipeline, "tsink0"));
  assert_int (total, "weights", 48);
  assert_int (total, "bytes", (gint64) bytes);
  assert_number (total, "bits_per_weight", 8 * bytes / 48);
  assert_null (total, "file_bytes");
  assert_null (total, "file_bits_per_weight");
  assert_number (total, "ratio_input", 192 / bytes);
  assert_number (total, "ratio_fp16", 96 / bytes);
  assert_number (total, "ratio_fp32", 192 / bytes);
  assert_null (total, "nmse");
}
END_TEST

START_TEST (test_total_with_a_file)
{
  g_autoptr (JsonNode) report = report_of ("tsource n=3 ! tsink file-bytes=96");
  JsonObject *total = total_of (report), *output = entry (report, "outputs", 0);

  assert_int (total, "file_bytes", 96);
  assert_number (total, "file_bits_per_weight", 16);
  assert_number (total, "ratio_input", 2);
  assert_number (total, "ratio_fp16", 1);
  assert_number (total, "ratio_fp32", 2);
  ck_assert_str_eq (json_object_get_string_member (output, "location"), "x.h5");
  ck_assert (json_object_get_boolean_member (output, "published"));
  assert_int (output, "tensors", 3);
}
END_TEST

/* Recipes are shared: the tensors add up to the total. */
START_TEST (test_tensors_add_up)
{
  g_autoptr (JsonNode) report = report_of ("tsource n=7 rows=100 ! f16 exclude=t3 ! tsink");
  gint64 sum = 0;

  for (guint i = 0; i < 7; i++)
    sum += json_object_get_int_member (entry (report, "tensors", i), "bytes");
  assert_int (total_of (report), "bytes", sum);
  ck_assert_str_eq (json_object_get_string_member (entry (report, "tensors", 2), "name"), "t2");
  ck_assert_str_eq (json_object_get_string_member (entry (report, "tensors", 2), "dtype"), "f32");
  ck_assert_int_eq (json_array_get_int_element (
                        json_object_get_array_member (entry (report, "tensors", 2), "shape"), 0),
                    100);
}
END_TEST

START_TEST (test_stages)
{
  g_autoptr (JsonNode) report = report_of ("tsource n=7 rows=100 ! f16 exclude=t3 ! tsink");
  JsonObject *source = entry (report, "stages", 0), *codec = entry (report, "stages", 1),
             *sink = entry (report, "stages", 2);

  assert_null (source, "bytes_in");
  assert_int (codec, "bytes_in", json_object_get_int_member (source, "bytes_out"));
  assert_int (sink, "bytes_in", json_object_get_int_member (codec, "bytes_out"));
  assert_null (sink, "bytes_out");
  ck_assert_str_eq (json_object_get_string_member (codec, "name"), "f160");
  ck_assert_str_eq (json_object_get_string_member (codec, "element"), "f16");
  ck_assert_double_ge (json_object_get_double_member (codec, "seconds"), 0);
  ck_assert_uint_eq (json_array_get_length (json_object_get_array_member (codec, "claims")), 2);
}
END_TEST

static gint64
stage_peak (JsonNode *report, guint stage)
{
  return json_object_get_int_member (entry (report, "stages", stage), "planned_peak_bytes");
}

/* A stage that codes holds what came in and what it makes; who passes tensors on has no more than those; a sink has what came to it. */
START_TEST (test_stage_memory)
{
  const gint64 array = 100 * (gint64) sizeof (float);
  g_autoptr (JsonNode) report = report_of ("tsource n=1 rows=100 ! tpass ! f16 ! tsink");
  g_autoptr (JsonNode) larger = report_of ("tsource n=7 rows=10000 ! tpass ! f16 ! tsink");
  g_autoptr (JsonNode) failed = report_of ("tsource n=1 fail-open=true ! f16 ! tsink");

  ck_assert_int_le (stage_peak (report, 0), stage_peak (report, 1));
  ck_assert_int_ge (stage_peak (report, 2), array / 2);
  ck_assert_int_gt (stage_peak (report, 2), stage_peak (report, 1));
  for (guint i = 0; i < 4; i++) {
    ck_assert_int_le (
        stage_peak (report, i),
        json_object_get_int_member (json_node_get_object (report), "planned_peak_bytes"));
    ck_assert_int_ge (stage_peak (larger, i), stage_peak (report, i));
    if (i < count (failed, "stages"))
      ck_assert_int_eq (stage_peak (failed, i), 0);
  }
  ck_assert_int_ge (stage_peak (larger, 2), 100 * array / 2);
}
END_TEST

START_TEST (test_evals)
{
  g_autoptr (JsonNode) report = report_of ("tsource n=3 ! tpass ! tpass metrics=true ! tsink");
  JsonObject *eval = entry (report, "evals", 0);

  ck_assert_uint_eq (count (report, "evals"), 1);
  ck_assert_str_eq (json_object_get_string_member (eval, "name"), "tpass1");
  ck_assert_str_eq (json_object_get_string_member (eval, "after"), "tpass0");
  assert_number (json_object_get_object_member (eval, "metrics"), "nmse", 0.25);
  assert_number (total_of (report), "nmse", 0.25);
  assert_number (total_of (report), "sqnr_db", 6.0206);
  assert_null (total_of (report), "cosine");
  assert_number (entry (report, "tensors", 1), "nmse", 0.5);
  assert_number (entry (report, "tensors", 1), "sqnr_db", 3.01);
  assert_null (entry (report, "tensors", 0), "nmse");
}
END_TEST

START_TEST (test_branches)
{
  g_autoptr (JsonNode) report = report_of (
      "tsource n=3 ! ttee name=t ! tpass drop=1 ! tsink name=a t. ! tpass metrics=true ! tsink name=b");

  ck_assert_uint_eq (count (report, "outputs"), 2);
  ck_assert_str_eq (json_object_get_string_member (entry (report, "outputs", 0), "name"), "a");
  assert_int (entry (report, "outputs", 0), "weights", 32);
  assert_null (entry (report, "outputs", 0), "nmse");
  assert_number (entry (report, "outputs", 1), "nmse", 0.25);
  /* The main branch ends at the first sink of the text. */
  assert_int (total_of (report), "weights", 32);
  ck_assert_uint_eq (count (report, "tensors"), 2);
}
END_TEST

/* --- what a metric does not speak of --- */

START_TEST (test_values_changed_after_the_eval)
{
  g_autoptr (JsonNode) report =
      report_of ("tsource n=3 rows=100 ! tpass metrics=true ! f16 ! tsink");

  ck_assert_uint_eq (count (report, "evals"), 1);
  assert_null (total_of (report), "nmse");
  assert_null (entry (report, "tensors", 1), "nmse");
}
END_TEST

START_TEST (test_a_codec_that_took_nothing_changed_nothing)
{
  g_autoptr (JsonNode) report =
      report_of ("tsource n=3 rows=100 ! tpass metrics=true ! f16 tensors=x ! tpass ! tsink");

  assert_number (total_of (report), "nmse", 0.25);
}
END_TEST

START_TEST (test_tensors_dropped_after_the_eval)
{
  g_autoptr (JsonNode) report =
      report_of ("tsource n=3 ! tpass metrics=true ! tpass drop=1 ! tsink");

  assert_null (total_of (report), "nmse");
  assert_number (entry (report, "tensors", 0), "nmse", 0.5);
}
END_TEST

START_TEST (test_last_eval_counts)
{
  g_autoptr (JsonNode) report = report_of (
      "tsource n=3 ! tpass metrics=true name=a ! tpass copy=true ! tpass metrics=true name=b ! tsink");

  ck_assert_uint_eq (count (report, "evals"), 2);
  assert_number (total_of (report), "nmse", 0.25);
}
END_TEST

/* --- failures --- */

START_TEST (test_failed_run)
{
  g_autoptr (JsonNode) report = report_of ("tsource n=300 ! tpass fail-process=3 ! tsink");
  JsonObject *object = json_node_get_object (report),
             *error = json_object_get_object_member (object, "error");

  assert_int (object, "exit", 6);
  ck_assert_str_eq (json_object_get_string_member (error, "kind"), "codec");
  ck_assert_ptr_nonnull (strstr (json_object_get_string_member (error, "message"),
                                 "tpass0: tensor 't2': no seed fits"));
  assert_null (object, "total");
  ck_assert_uint_eq (count (report, "outputs") + count (report, "tensors"), 0);
  ck_assert_uint_eq (count (report, "stages"), 3);
}
END_TEST

START_TEST (test_failed_plan)
{
  g_autoptr (JsonNode) report = report_of ("tsource ! tsink");
  JsonObject *object = json_node_get_object (report);

  assert_int (object, "exit", 2);
  ck_assert_str_eq (
      json_object_get_string_member (json_object_get_object_member (object, "error"), "kind"),
      "property");
  assert_null (object, "total");
}
END_TEST

START_TEST (test_metric_not_met)
{
  g_autoptr (JsonNode) report =
      report_of ("tsource n=30 ! tpass fail-finish=true metrics=true ! tsink slow=true");
  JsonObject *object = json_node_get_object (report);

  assert_int (object, "exit", 7);
  assert_int (total_of (report), "weights", 480);
  assert_number (total_of (report), "nmse", 0.25);
  ck_assert (!json_object_get_boolean_member (entry (report, "outputs", 0), "published"));
}
END_TEST

START_TEST (test_before_any_run)
{
  g_autoptr (AfpPipeline) pipeline = pipe_new ("tsource n=3 ! tsink");
  g_autoptr (JsonNode) report = afp_pipeline_get_report (pipeline, NULL);

  assert_null (json_node_get_object (report), "total");
  ck_assert_uint_eq (count (report, "stages"), 2);
}
END_TEST

START_TEST (test_no_weights)
{
  g_autoptr (JsonNode) report = report_of ("tsource n=1 ! tsink file-bytes=0");

  assert_number (total_of (report), "file_bits_per_weight", 0);
  assert_null (total_of (report), "ratio_input");
}
END_TEST

START_TEST (test_numbers_that_are_none)
{
  const double values[] = { NAN, INFINITY, -INFINITY };

  for (guint i = 0; i < 3; i++) {
    g_autoptr (JsonNode) node = afp_json_number_or_null (values[i]);
    ck_assert (JSON_NODE_HOLDS_NULL (node));
  }
  g_autoptr (JsonNode) node = afp_json_number_or_null (0.5);
  ck_assert_double_eq (json_node_get_double (node), 0.5);
}
END_TEST

START_TEST (test_error_nicks)
{
  static const char *const nicks[] = { "usage",  "property", "no-element", "plugin",
                                       "plan",   "io",       "format",     "codec",
                                       "metric", "memory",   "cancelled" };

  for (guint i = 0; i < G_N_ELEMENTS (nicks); i++) {
    g_autoptr (GError) error = g_error_new (AFP_ERROR, (int) i, "x");
    ck_assert_str_eq (afp_error_nick (error), nicks[i]);
  }
  g_autoptr (GError) file = g_error_new (G_FILE_ERROR, G_FILE_ERROR_NOENT, "x");
  ck_assert_str_eq (afp_error_nick (file), "io");
  g_autoptr (GError) cancelled = g_error_new (G_IO_ERROR, G_IO_ERROR_CANCELLED, "x");
  ck_assert_str_eq (afp_error_nick (cancelled), "cancelled");
}
END_TEST

/* --- text --- */

static void
text_has (JsonNode *report, const char *word)
{
  g_autofree char *text = afp_report_to_text (report);

  ck_assert_msg (strstr (text, word) != NULL, "'%s' is not in:\n%s", word, text);
}

START_TEST (test_text)
{
  g_autoptr (JsonNode) report = report_of (
      "tsource n=3 rows=100 notes=true ! f16 exclude=t1 ! tpass metrics=true ! tsink file-bytes=100");

  text_has (report, "stage     bytes in  bytes out");
  text_has (report, "weight in 2, not weight in 1 (");
  text_has (report, "tensor  shape  dtype");
  text_has (report, "t1      100x4    f32  ");
  text_has (report, "note: tsource0: left out 2 optimizer tensors\n");
  text_has (report, "tpass0 after f160: NMSE 0.25, SQNR 6.02 dB\n");
  text_has (report, "tsink0 (x.h5): 1,200 weights, ");
  text_has (report, "\n  on disk 100 B, 0.6667 bits per weight, all in\n");
  text_has (
      report,
      "  48.00 times smaller than the input, 24.00 than f16, 48.00 than f32\n  NMSE 0.25, SQNR 6.02 dB\n");
  text_has (report, " of memory\n");
}
END_TEST

START_TEST (test_trace)
{
  g_autoptr (JsonNode) report = report_of ("tsource n=3 rows=100 ! f16 ! tsink");
  g_autofree char *text = afp_report_format_trace (report);
  static const int calls[] = { 3, 5, 4 }; /* one more for the end, and a codec prepares */

  ck_assert_uint_eq (count (report, "trace"), 3);
  for (guint i = 0; i < 3; i++) {
    JsonObject *trace = entry (report, "trace", i), *stage = entry (report, "stages", i);

    ck_assert_str_eq (json_object_get_string_member (trace, "name"),
                      json_object_get_string_member (stage, "name"));
    assert_int (trace, "calls", calls[i]);
    ck_assert (json_object_get_double_member (trace, "wait_seconds") >= 0);
    ck_assert_double_eq (json_object_get_double_member (trace, "seconds"),
                         json_object_get_double_member (stage, "seconds"));
  }
  assert_null (entry (report, "trace", 0), "bytes_in");
  assert_null (entry (report, "trace", 2), "bytes_out");
  assert_int (entry (report, "trace", 0), "bytes_out",
              json_object_get_int_member (entry (report, "trace", 1), "bytes_in"));
  ck_assert_msg (g_str_has_prefix (text, "stage     calls  bytes in  bytes out  seconds  waited\n"),
                 "%s", text);
  ck_assert_ptr_nonnull (strstr (text, "\nf160          5  "));
}
END_TEST

/* A thread works or waits, and for no longer than the run. */
START_TEST (test_trace_of_waiting)
{
  g_autoptr (JsonNode) report = report_of ("tsource n=6 rows=1000 ! f16 ! tsink slow=true");
  double seconds = json_object_get_double_member (json_node_get_object (report), "seconds");
  AfpStage stage = { .wait_usec = 7 };

  for (guint i = 0; i < 3; i++) {
    JsonObject *trace = entry (report, "trace", i);

    ck_assert_double_le (json_object_get_double_member (trace, "seconds") +
                             json_object_get_double_member (trace, "wait_seconds"),
                         seconds);
  }
  afp_stage_add_wait (&stage, g_get_monotonic_time () - 5000);
  ck_assert_int_ge (stage.wait_usec, 5007);
}
END_TEST

START_TEST (test_trace_of_what_never_ran)
{
  g_autoptr (JsonNode) report = report_of ("tsource n=1 fail-open=true ! tsink");
  g_autoptr (JsonNode) none = json_from_string ("{}", NULL);
  g_autoptr (JsonNode) odd = json_from_string ("{\"trace\": [1, {}]}", NULL);
  g_autofree char *empty = afp_report_format_trace (none),
                  *nonsense = afp_report_format_trace (odd);

  assert_int (entry (report, "trace", 0), "calls", 0);
  ck_assert_str_eq (empty, "stage  calls  bytes in  bytes out  seconds  waited\n");
  ck_assert_ptr_nonnull (
      strstr (nonsense, "\n?          -         -          -        -       -\n"));
}
END_TEST

START_TEST (test_text_of_many_tensors)
{
  g_autoptr (JsonNode) report = report_of ("tsource n=50 ! tsink");
  g_autofree char *all = afp_report_format (report, G_MAXUINT),
                  *none = afp_report_format (report, 0);

  text_has (report, "\nt39 ");
  text_has (report, "\nand 10 more ");
  ck_assert_ptr_nonnull (strstr (all, "\nt49 "));
  ck_assert_ptr_null (strstr (all, "more "));
  ck_assert_ptr_null (strstr (none, "tensor"));
}
END_TEST

START_TEST (test_text_lists_the_largest)
{
  g_autoptr (JsonNode) report =
      json_from_string ("{\"tensors\": [{\"name\": \"a\", \"shape\": [], \"bytes\": 1},"
                        "{\"name\": \"b\", \"shape\": [3], \"bytes\": 5000},"
                        "{\"name\": \"c\", \"bytes\": 2}, {\"name\": \"d\"}]}",
                        NULL);
  g_autofree char *text = afp_report_format (report, 2);

  ck_assert_ptr_nonnull (strstr (text, "\nb           3 "));
  ck_assert_ptr_nonnull (strstr (text, " 4.88 KiB "));
  ck_assert_ptr_nonnull (strstr (text, "\nc           - "));
  ck_assert_ptr_nonnull (strstr (text, "\nand 2 more"));
  ck_assert_ptr_null (strstr (text, "\na "));
}
END_TEST

START_TEST (test_text_of_a_failure)
{
  g_autoptr (JsonNode) report = report_of ("tsource n=3 ! tpass fail-process=3 ! tsink");

  text_has (report, "failed: tpass0: tensor 't2': no seed fits\n");
}
END_TEST

/* Reports come from files, too. */
START_TEST (test_text_of_nonsense)
{
  static const char *const texts[] = {
    "[]",
    "{}",
    "{\"stages\": 3, \"tensors\": {}, \"outputs\": [7, null, {}], \"evals\": [1, {\"metrics\": []}]}",
    "{\"stages\": [{\"claims\": [{}, 3]}, 5], \"tensors\": [{}, 1], \"error\": 3, \"seconds\": \"x\"}",
  };

  for (guint i = 0; i < G_N_ELEMENTS (texts); i++) {
    g_autoptr (JsonNode) report = json_from_string (texts[i], NULL);
    g_autofree char *text = afp_report_to_text (report);
    ck_assert_ptr_nonnull (text);
  }
}
END_TEST

static TCase *
make_json (void)
{
  TCase *tcase = tcase_create ("json");
  tcase_add_test (tcase, test_schema);
  tcase_add_test (tcase, test_total_without_a_file);
  tcase_add_test (tcase, test_total_with_a_file);
  tcase_add_test (tcase, test_tensors_add_up);
  tcase_add_test (tcase, test_stages);
  tcase_add_test (tcase, test_stage_memory);
  tcase_add_test (tcase, test_evals);
  tcase_add_test (tcase, test_branches);
  tcase_add_test (tcase, test_last_eval_counts);
  tcase_add_test (tcase, test_a_codec_that_took_nothing_changed_nothing);
  return tcase;
}

static TCase *
make_nulls (void)
{
  TCase *tcase = tcase_create ("nulls");
  tcase_add_test (tcase, test_values_changed_after_the_eval);
  tcase_add_test (tcase, test_tensors_dropped_after_the_eval);
  tcase_add_test (tcase, test_failed_run);
  tcase_add_test (tcase, test_failed_plan);
  tcase_add_test (tcase, test_metric_not_met);
  tcase_add_test (tcase, test_before_any_run);
  tcase_add_test (tcase, test_no_weights);
  tcase_add_test (tcase, test_numbers_that_are_none);
  tcase_add_test (tcase, test_error_nicks);
  return tcase;
}

static TCase *
make_text (void)
{
  TCase *tcase = tcase_create ("text");
  tcase_add_test (tcase, test_text);
  tcase_add_test (tcase, test_trace);
  tcase_add_test (tcase, test_trace_of_waiting);
  tcase_add_test (tcase, test_trace_of_what_never_ran);
  tcase_add_test (tcase, test_text_of_many_tensors);
  tcase_add_test (tcase, test_text_lists_the_largest);
  tcase_add_test (tcase, test_text_of_a_failure);
  tcase_add_test (tcase, test_text_of_nonsense);
  return tcase;
}

int
main (void)
{
  TCase *(*const cases[]) (void) = { make_json, make_nulls, make_text };
  pipe_register ();
  return run_suite ("report", cases, G_N_ELEMENTS (cases));
}
