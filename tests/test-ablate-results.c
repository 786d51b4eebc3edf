/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ablate-test.h"

#include "ablate-identity.h"
#include "ablate-summary.h"
#include "ablate-verdict.h"
#include "json-schema.h"

#include <glib/gstdio.h>
#include <unistd.h>

/*
 * Who a run is, its record, and the folder of a study.
 */

static char *folder;

static void
set_up (void)
{
  folder = g_dir_make_tmp ("ablate-XXXXXX", NULL);
}

static void
tear_down (void)
{
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  const char *name;

  while ((name = g_dir_read_name (dir))) {
    g_autofree char *path = g_build_filename (folder, name, NULL);
    g_unlink (path);
  }
  g_rmdir (folder);
  g_free (folder);
}

static char *
put (const char *name, const char *text)
{
  char *path = g_build_filename (folder, name, NULL);

  ck_assert (g_file_set_contents (path, text, -1, NULL));
  return path;
}

static char *
get (const char *name)
{
  g_autofree char *path = g_build_filename (folder, name, NULL);
  char *text = NULL;

  g_file_get_contents (path, &text, NULL, NULL);
  return text;
}

/* --- identity --- */

/* The id of the pipeline now. */
static char *
identify (const char *pipeline)
{
  g_autoptr (AfpIdentifier) identifier = afp_identifier_new ();
  g_autofree char *fingerprint = NULL;

  return afp_identifier_identify (identifier, pipeline, &fingerprint);
}

static void
assert_same_id (const char *a, const char *b, gboolean same)
{
  g_autofree char *x = identify (a), *y = identify (b);

  ck_assert_msg (g_str_equal (x, y) == same, "%s | %s: %s %s", a, b, x, y);
}

START_TEST (ids_tell_parameters)
{
  assert_same_id ("synth shapes=4x4 ! vptq ! null", "synth shapes=4x4 ! vptq ! null", TRUE);
  assert_same_id ("synth shapes=4x4 ! vptq k=4 ! null", "synth shapes=4x4 ! vptq k=8 ! null",
                  FALSE);
  assert_same_id ("synth shapes=4x4 ! vptq ! null", "synth shapes=4x8 ! vptq ! null", FALSE);
  /* what cannot be made has an id, too */
  assert_same_id ("no-such-element ! null", "no-such-element ! null", TRUE);
  assert_same_id ("no-such-element ! null", "no-such-other ! null", FALSE);
}
END_TEST

/* One byte in the middle: with the same size, and set back to the same time. */
START_TEST (ids_tell_inputs)
{
  g_autofree char *bytes = g_strnfill (100000, 'x');
  g_autofree char *model = put ("m.npy", bytes);
  g_autofree char *pipeline = g_strdup_printf ("load location=%s ! vptq ! null", model);
  g_autofree char *first = identify (pipeline);
  bytes[54321] = 'y';
  g_free (put ("m.npy", bytes));
  g_autofree char *second = identify (pipeline);
  ck_assert_str_ne (first, second);
  g_unlink (model);
  g_autofree char *none = identify (pipeline);
  ck_assert_str_ne (first, none);
  bytes[54321] = 'x';
  g_free (put ("m.npy", bytes));
  g_autofree char *again = identify (pipeline);
  ck_assert_str_eq (first, again);
}
END_TEST

START_TEST (ids_tell_other_files)
{
  g_autofree char *rules = put ("rules", "* take\n");
  g_autofree char *pipeline =
      g_strdup_printf ("synth shapes=4x4 ! vptq rules=%s ! eval text=%s ! null", rules, rules);
  g_autofree char *first = identify (pipeline);
  g_free (put ("rules", "* pass\n"));
  g_autofree char *second = identify (pipeline);
  ck_assert_str_ne (first, second);
}
END_TEST

START_TEST (ids_tell_files_of_a_folder)
{
  g_autofree char *index = put ("m.index.json", "{}");
  g_autofree char *shard G_GNUC_UNUSED = put ("m-1.safetensors", "one");
  g_autofree char *by_index = g_strdup_printf ("load location=%s ! null", index);
  g_autofree char *by_folder = g_strdup_printf ("load location=%s ! null", folder);
  g_autofree char *a = identify (by_index), *b = identify (by_folder);
  g_free (put ("m-1.safetensors", "two"));
  g_autofree char *c = identify (by_index), *d = identify (by_folder);
  ck_assert_str_ne (a, c);
  ck_assert_str_ne (b, d);
}
END_TEST

START_TEST (ids_leave_out_what_is_written)
{
  g_autofree char *out = g_build_filename (folder, "out.h5", NULL);
  g_autofree char *pipeline = g_strdup_printf ("synth shapes=4x4 ! write location=%s", out);
  g_autofree char *before = identify (pipeline);
  g_free (put ("out.h5", "written"));
  g_autofree char *after = identify (pipeline);
  ck_assert_str_eq (before, after);
}
END_TEST

/* --- records --- */

/* Really run. */
static JsonNode *
run_pipeline (const char *text)
{
  g_autoptr (AfpPipeline) pipeline = afp_pipeline_new_from_text (text, NULL);
  GError *error = NULL;

  afp_pipeline_run (pipeline, &error);
  JsonNode *report = afp_pipeline_get_report (pipeline, error);
  g_clear_error (&error);
  return report;
}

static JsonObject *
make_end (const char *pipeline)
{
  g_autoptr (JsonNode) report = run_pipeline (pipeline);
  JsonObject *object = json_node_get_object (report);
  const AfpRunEnd end = { object, (int) json_object_get_int_member (object, "exit"), NULL, NULL };

  return afp_record_new ("0123456789abcdef0123456789abcdef", "0123456789abcdef0123456789abcdef",
                         &end);
}

static void
assert_schema (const char *name, JsonNode *node)
{
  g_autofree char *file =
      g_build_filename (g_getenv ("AFP_TEST_SRCDIR"), "docs/ablation-schema.json", NULL);
  g_autofree char *wrong = schema_find_errors (file, name, node);

  ck_assert_str_eq (wrong, "");
}

static void
assert_record_schema (JsonObject *record)
{
  /* as it is read back */
  g_autofree char *line = afp_results_format_line (record);
  g_autoptr (JsonNode) node = json_from_string (line, NULL);

  assert_schema ("record", node);
}

static const char *const chains[] = { "", "hyper <0", "hyper ! entropy <1", NULL };

START_TEST (records_of_runs)
{
  AfpStudy *study = make_study (chains);
  g_autoptr (GPtrArray) records = g_ptr_array_new_with_free_func (unref_record);

  for (guint i = 0; i < 3; i++) {
    AfpStudyRun *run = study->runs->pdata[i];
    JsonObject *record = make_end (run->pipeline);
    afp_record_place (record, study, i, records);
    g_ptr_array_add (records, record);
    assert_record_schema (record);
    ck_assert (afp_record_is_ok (record) && afp_record_counts (record));
  }
  JsonObject *last = records->pdata[2], *before = records->pdata[1];
  JsonObject *marginal = afp_json_get_object (last, "marginal");
  ck_assert_double_eq (afp_json_get_number (marginal, "bytes", 0),
                       afp_record_get (last, "bytes") - afp_record_get (before, "bytes"));
  ck_assert_double_eq (afp_json_get_number (marginal, "nmse", 9), 0);
  ck_assert (json_object_get_null_member (marginal, "nll"));
  ck_assert (json_object_get_null_member (records->pdata[0], "marginal"));
  ck_assert_double_eq_tol (afp_record_get (last, "cosine"), 0.997, 0.01); /* of the metrics */
  ck_assert (!json_object_has_member (afp_json_get_object (last, "metrics"), "tensors"));
  ck_assert_uint_eq (json_array_get_length (afp_json_get_array (last, "stages")), 5);
  ck_assert_str_eq (afp_json_get_text (before, "command", ""),
                    "afpipe-launch 'synth shapes=16x16 ! hyper ! eval ! null'");
  clear_study (study);
}
END_TEST

START_TEST (records_of_failures)
{
  AfpStudy *study = make_study (chains);
  g_autoptr (GPtrArray) records = g_ptr_array_new_with_free_func (unref_record);
  const AfpRunEnd crash = { NULL, 139, "crash", "afpipe-launch was ended by signal 11" };

  g_ptr_array_add (records, make_end ("synth shapes=16x16 ! eval require=\"nmse>1\" ! null"));
  g_ptr_array_add (records, afp_record_new ("0123456789abcdef0123456789abcdef",
                                            "0123456789abcdef0123456789abcdef", &crash));
  for (guint i = 0; i < 2; i++) {
    afp_record_place (records->pdata[i], study, i, records);
    assert_record_schema (records->pdata[i]);
    ck_assert (!afp_record_is_ok (records->pdata[i]) && !afp_record_counts (records->pdata[i]));
    ck_assert (json_object_get_null_member (records->pdata[i], "marginal"));
  }
  ck_assert_str_eq (
      afp_json_get_text (afp_json_get_object (records->pdata[0], "error"), "kind", ""), "metric");
  ck_assert_str_eq (
      afp_json_get_text (afp_json_get_object (records->pdata[1], "error"), "kind", ""), "crash");
  ck_assert_int_eq (afp_ablate_get_status (records), 7);
  clear_study (study);
}
END_TEST

START_TEST (the_checker_finds_what_is_wrong)
{
  g_autofree char *file =
      g_build_filename (g_getenv ("AFP_TEST_SRCDIR"), "docs/ablation-schema.json", NULL);
  g_autoptr (JsonNode) node =
      json_from_string ("{\"kind\":\"none\",\"message\":3,\"more\":{}}", NULL);
  g_autoptr (JsonNode) stage = json_from_string ("{\"bytes_in\":-1,\"seconds\":null}", NULL);
  g_autofree char *wrong = schema_find_errors (file, "error", node);
  g_autofree char *also = schema_find_errors (file, "stage", stage);

  ck_assert_ptr_nonnull (strstr (wrong, "/kind: is none of the values"));
  ck_assert_ptr_nonnull (strstr (wrong, "/message: is of type integer"));
  ck_assert_ptr_nonnull (strstr (wrong, "/more: the schema does not have it"));
  ck_assert_ptr_nonnull (strstr (also, "'name' is missing"));
  ck_assert_ptr_nonnull (strstr (also, "/bytes_in: is too small"));
  ck_assert_ptr_null (strstr (also, "/seconds"));
}
END_TEST

/* --- the folder --- */

static AfpResults *
open_results (const AfpStudy *study, gboolean fresh)
{
  GError *error = NULL;
  AfpResults *results = afp_results_open (folder, study, fresh, &error);

  ck_assert_msg (results != NULL, "%s", error ? error->message : "?");
  return results;
}

/* A run that ends: well, or with this status. */
static void
end_run (AfpResults *results, guint number, int status)
{
  const AfpRunEnd end = { NULL, status, "crash", "it broke" };
  GError *error = NULL;

  ck_assert (afp_results_add (
      results, number,
      afp_record_new (results->ids->pdata[number], results->fingerprints->pdata[number], &end),
      &error));
}

static guint
count_lines (const char *name)
{
  g_autofree char *text = get (name);
  guint n = 0;

  for (const char *at = text; at && *at; at++)
    n += *at == '\n';
  return n;
}

START_TEST (goes_on)
{
  AfpStudy *study = make_study (chains);
  AfpResults *results = open_results (study, FALSE);

  ck_assert_uint_eq (results->n_found, 0);
  end_run (results, 2, 0);
  end_run (results, 0, 0);
  afp_results_close (results);
  /* the tool was killed while it wrote */
  g_autofree char *text = get ("results.jsonl");
  g_autofree char *torn = g_strconcat (text, "{\"id\":\"abc\",\"sta", NULL);
  g_free (put ("results.jsonl", torn));
  results = open_results (study, FALSE);
  ck_assert_uint_eq (results->n_found, 2);
  ck_assert_ptr_null (results->records->pdata[1]);
  ck_assert_uint_eq (count_lines ("results.jsonl"), 2);
  end_run (results, 1, 0);
  ck_assert (afp_results_rewrite (results, NULL));
  afp_results_close (results);
  g_autofree char *whole = get ("results.jsonl");
  results = open_results (study, FALSE);
  ck_assert_uint_eq (results->n_found, 3);
  afp_results_close (results);
  g_autofree char *again = get ("results.jsonl");
  ck_assert (g_str_equal (again, whole)); /* opening changes nothing */
  results = open_results (study, TRUE);
  ck_assert_uint_eq (results->n_found, 0);
  afp_results_close (results);
  ck_assert_uint_eq (count_lines ("results.jsonl"), 0);
  clear_study (study);
}
END_TEST

START_TEST (failed_runs_are_tried_again)
{
  AfpStudy *study = make_study (chains);
  AfpResults *results = open_results (study, FALSE);

  end_run (results, 0, 0);
  end_run (results, 1, 6);
  ck_assert_int_eq (afp_ablate_get_status (results->records), 6);
  afp_results_close (results);
  results = open_results (study, FALSE);
  ck_assert_uint_eq (results->n_found, 1);
  ck_assert_ptr_null (results->records->pdata[1]);
  ck_assert_int_eq (afp_ablate_get_status (results->records), 0);
  afp_results_close (results);
  clear_study (study);
}
END_TEST

/* A study that changes keeps what is still right, and gets the rest back when it changes back. */
START_TEST (other_studies)
{
  static const char *const others[] = { "hyper ! entropy", "vptq", NULL };
  AfpStudy *study = make_study (chains), *other = make_study (others);
  AfpResults *results = open_results (study, FALSE);

  for (guint i = 0; i < 3; i++)
    end_run (results, i, 0);
  afp_results_close (results);
  results = open_results (other, FALSE);
  ck_assert_uint_eq (results->n_found, 1);
  ck_assert_double_eq (afp_record_get (results->records->pdata[0], "run"), 0);
  ck_assert (json_object_get_null_member (results->records->pdata[0], "prefix"));
  ck_assert_uint_eq (count_lines ("other.jsonl"), 2);
  end_run (results, 1, 0);
  afp_results_close (results);
  results = open_results (study, FALSE);
  ck_assert_uint_eq (results->n_found, 3);
  ck_assert_uint_eq (count_lines ("other.jsonl"), 1);
  afp_results_close (results);
  clear_study (study);
  clear_study (other);
}
END_TEST

START_TEST (lines_that_are_no_records)
{
  AfpStudy *study = make_study (chains);

  g_free (put ("results.jsonl", "[]\n{\"id\":3}\n{{{\n{\"status\":\"ok\"}\n\n3\n"));
  AfpResults *results = open_results (study, FALSE);
  ck_assert_uint_eq (results->n_found, 0);
  ck_assert_uint_eq (count_lines ("results.jsonl"), 0);
  afp_results_close (results);
  clear_study (study);
}
END_TEST

START_TEST (one_at_a_time)
{
  AfpStudy *study = make_study (chains);
  AfpResults *results = open_results (study, FALSE);
  GError *error = NULL;

  ck_assert_ptr_null (afp_results_open (folder, study, FALSE, &error));
  assert_error (error, AFP_ERROR_IO, "another process works on the study", folder, "--out");
  afp_results_close (results);
  afp_results_close (open_results (study, FALSE));
  g_autofree char *file = put ("file", "");
  ck_assert_ptr_null (afp_results_open (file, study, FALSE, &error));
  assert_error (error, AFP_ERROR_IO, "cannot make the folder", file);
  clear_study (study);
}
END_TEST

START_TEST (the_summary)
{
  AfpStudy *study = make_study (chains);
  AfpResults *results = open_results (study, FALSE);

  for (guint i = 0; i < 3; i++) {
    JsonObject *record = make_end (((AfpStudyRun *) study->runs->pdata[i])->pipeline);
    ck_assert (afp_results_add (results, i, record, NULL));
  }
  JsonObject *verdict = afp_ablate_judge (results->records, NULL);
  g_autoptr (JsonNode) early = afp_ablate_summarize (results, NULL);
  g_autoptr (JsonNode) late = afp_ablate_summarize (results, verdict);
  assert_schema ("study", early);
  assert_schema ("study", late);
  afp_records_mark_pareto (results->records);
  assert_record_schema (results->records->pdata[1]);
  ck_assert_str_eq (afp_json_get_text (json_node_get_object (late), "metric", ""), "nmse");
  ck_assert (!afp_json_get_flag (json_node_get_object (early), "finished", TRUE));
  g_autofree char *text = afp_ablate_summary_to_text (late);
  ck_assert (g_str_has_prefix (text, "3 runs"));
  json_object_unref (verdict);
  afp_results_close (results);
  clear_study (study);
}
END_TEST

static TCase *
tests (void)
{
  TCase *tc = tcase_create ("results");
  tcase_add_checked_fixture (tc, set_up, tear_down);
  tcase_add_test (tc, ids_tell_parameters);
  tcase_add_test (tc, ids_tell_inputs);
  tcase_add_test (tc, ids_tell_other_files);
  tcase_add_test (tc, ids_tell_files_of_a_folder);
  tcase_add_test (tc, ids_leave_out_what_is_written);
  tcase_add_test (tc, records_of_runs);
  tcase_add_test (tc, records_of_failures);
  tcase_add_test (tc, the_checker_finds_what_is_wrong);
  tcase_add_test (tc, goes_on);
  tcase_add_test (tc, failed_runs_are_tried_again);
  tcase_add_test (tc, other_studies);
  tcase_add_test (tc, lines_that_are_no_records);
  tcase_add_test (tc, one_at_a_time);
  tcase_add_test (tc, the_summary);
  return tc;
}

int
main (void)
{
  TCase *(*const cases[]) (void) = { tests };

  return run_suite ("ablate-results", cases, G_N_ELEMENTS (cases));
}
