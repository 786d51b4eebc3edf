/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pipe-test.h"

#include "afp-memory.h"

/* Planning fails; the error is left for assert_error(). */
static GError *
plan_fails (AfpPipeline *pipeline)
{
  GError *error = NULL;

  ck_assert_ptr_null (afp_pipeline_plan (pipeline, &error));
  ck_assert_ptr_nonnull (error);
  return error;
}

static void
refuse (const char *text, int code, const char *word, const char *other)
{
  g_autoptr (AfpPipeline) pipeline = pipe_new (text);
  GError *error = plan_fails (pipeline);

  assert_error (error, code, word, other);
}

/* --- canonical text --- */

static void
canonical (const char *text, gboolean with_files, const char *expected)
{
  g_autoptr (AfpPipeline) pipeline = pipe_new (text);

  assert_text (afp_pipeline_get_canonical_text (pipeline, with_files), expected);
}

START_TEST (test_canonical_leaves_defaults_out)
{
  canonical ("tsource   n=2 R=4 # rows=4 is the default\n ! tpass m=07 ! tsink", TRUE,
             "tsource n=2 ! tpass memory=7 ! tsink");
}
END_TEST

START_TEST (test_canonical_resolves_presets)
{
  canonical ("tsource n=1 ! tpass preset=big ! tsink", TRUE,
             "tsource n=1 ! tpass memory=77 require=\"a b\" ! tsink");
  canonical ("tsource n=1 ! tpass preset=big m=0 ! tsink", TRUE,
             "tsource n=1 ! tpass require=\"a b\" ! tsink");
}
END_TEST

START_TEST (test_canonical_files)
{
  canonical ("tsource n=1 ! tpass file=/home/me/x ! tsink", TRUE,
             "tsource n=1 ! tpass file=/home/me/x ! tsink");
  canonical ("tsource n=1 ! tpass file=/home/me/x ! tsink", FALSE, "tsource n=1 ! tpass ! tsink");
}
END_TEST

START_TEST (test_canonical_branches)
{
  canonical ("t. ! tensor,rank=2,dtype={f32,f16} ! tsink tsource n=1 ! ttee name=t ! tsink", TRUE,
             "t. ! tensor,rank=2,dtype={f32,f16} ! tsink tsource n=1 ! ttee name=t ! tsink");
}
END_TEST

START_TEST (test_canonical_parses_back)
{
  g_autoptr (AfpPipeline) first =
      pipe_new ("tsource n=1 ! ttee name=t ! tpass require='x \"y\" ${z}' ! tsink t. ! tsink");
  g_autofree char *text = afp_pipeline_get_canonical_text (first, TRUE);
  g_autoptr (AfpPipeline) second = pipe_new (text);

  assert_text (afp_pipeline_get_canonical_text (second, TRUE), text);
}
END_TEST

/* --- plans --- */

static void
keep_text (AfpMessage *message, gpointer user_data)
{
  const char *source = afp_message_get_source (message);

  g_string_append_printf (user_data, "%d:%s:%s;", (int) afp_message_get_message_type (message),
                          source ? source : "", afp_message_get_text (message));
}

START_TEST (test_plan)
{
  g_autoptr (AfpPipeline) pipeline =
      pipe_new ("tsource n=5 ! tpass drop=2 ! ttee name=t ! tsink t. ! tsink");
  AfpPlan *plan = afp_pipeline_plan (pipeline, NULL);
  g_autoptr (JsonNode) json = NULL;
  JsonArray *stages;

  ck_assert_ptr_nonnull (plan);
  ck_assert_ptr_eq (afp_pipeline_plan (pipeline, NULL), plan);
  ck_assert_uint_eq (afp_plan_get_n_tensors (plan), 5);
  ck_assert_uint_gt (afp_plan_get_total_bytes (plan, pipe_find (pipeline, "tsink1"), NULL), 4 * 64);
  json = afp_plan_to_json (plan);
  stages = json_object_get_array_member (json_node_get_object (json), "stages");
  ck_assert_int_eq (json_array_get_length (stages), 5);
  ck_assert_int_eq (
      json_object_get_int_member (json_array_get_object_element (stages, 3), "tensors"), 4);
}
END_TEST

START_TEST (test_plan_freezes)
{
  g_autoptr (AfpPipeline) pipeline = pipe_new ("tsource n=5 ! tpass ! tsink");
  GError *error = NULL;

  ck_assert_ptr_nonnull (afp_pipeline_plan (pipeline, NULL));
  ck_assert (
      !afp_element_set_property_text (pipe_find (pipeline, "tpass0"), "memory", "1", &error));
  assert_error (error, AFP_ERROR_PROPERTY, "cannot change any more");
}
END_TEST

START_TEST (test_codec_claims)
{
  g_autoptr (AfpPipeline) pipeline = pipe_new ("tsource n=2 rows=100 ! f16 ! tsink");
  AfpPlan *plan = afp_pipeline_plan (pipeline, NULL);
  g_autofree char *text = NULL;

  ck_assert_ptr_nonnull (plan);
  text = afp_plan_to_string (plan);
  ck_assert_ptr_nonnull (strstr (text, "takes weight in 2 tensors"));
}
END_TEST

START_TEST (test_a_codec_that_takes_nothing_says_so)
{
  g_autoptr (AfpPipeline) pipeline = pipe_new ("tsource n=2 ! f16 tensors=x* ! tsink");
  AfpPlan *plan = afp_pipeline_plan (pipeline, NULL);
  g_autofree char *text = NULL;

  ck_assert_ptr_nonnull (plan);
  text = afp_plan_to_string (plan);
  ck_assert_ptr_nonnull (strstr (text, "    takes nothing\n"));
}
END_TEST

START_TEST (test_notes_of_sources)
{
  g_autoptr (AfpPipeline) pipeline = pipe_new ("tsource n=1 notes=true ! tsink");
  g_autoptr (GString) log = g_string_new (NULL);

  afp_pipeline_set_handler (pipeline, keep_text, log);
  ck_assert_ptr_nonnull (afp_pipeline_plan (pipeline, NULL));
  ck_assert_str_eq (log->str, "2:tsource0:left out 2 optimizer tensors;");
}
END_TEST

START_TEST (test_memory_fits)
{
  g_autoptr (AfpPipeline) pipeline = pipe_new ("tsource n=3 ! tpass memory=2000000 ! tsink");

  afp_pipeline_set_max_memory (pipeline, afp_memory_get_base (64, 100) + 4000000);
  ck_assert_ptr_nonnull (afp_pipeline_plan (pipeline, NULL));
}
END_TEST

/* --- plans that fail --- */

START_TEST (test_required_properties)
{
  refuse ("tsource ! tsink", AFP_ERROR_PROPERTY, "tsource0: n= is missing: Tensors",
          "\n  tsource ! tsink\n  ^");
}
END_TEST

START_TEST (test_check)
{
  refuse ("tsource n=1 ! tpass fail-check=true ! tsink", AFP_ERROR_PROPERTY,
          "tpass0: these two do not go together", "\n                ^");
}
END_TEST

START_TEST (test_open)
{
  refuse ("tsource n=1 fail-open=true ! tsink tsource n=1 fail-open=true name=b ! tsink",
          AFP_ERROR_IO, "tsource0: no such thing as 'thing'", "also: b: no such");
}
END_TEST

START_TEST (test_no_tensors)
{
  refuse ("tsource n=0 ! tsink", AFP_ERROR_PLAN, "tsource0: there are no tensors", "no tensors");
}
END_TEST

START_TEST (test_same_names)
{
  refuse ("tsource n=3 same-name=true ! tsink", AFP_ERROR_FORMAT,
          "tsource0: two tensors have the name 't0'", "unique");
}
END_TEST

START_TEST (test_damaged_tensor)
{
  refuse ("tsource n=3 fail-plan=2 ! tsink", AFP_ERROR_FORMAT, "tsource0: tensor 't1' is damaged",
          "t1");
}
END_TEST

START_TEST (test_stage_and_tensor_are_named)
{
  refuse ("tsource n=3 ! tpass ! tpass fail-plan=3 ! tsink", AFP_ERROR_PLAN,
          "tpass1: tensor 't2': its rows are too long", "");
}
END_TEST

START_TEST (test_all_errors_at_once)
{
  g_autoptr (AfpPipeline) pipeline =
      pipe_new ("tsource n=30 fail-plan=1 ! tpass fail-plan=100000 ! tsink");
  GError *error = plan_fails (pipeline);

  assert_error (error, AFP_ERROR_FORMAT,
                "tensor 't0' is damaged\nalso: tpass0: tensor 't1': its rows", "tensor 't19'",
                "\nand 10 more");
  error = plan_fails (pipeline);
  assert_error (error, AFP_ERROR_FORMAT, "tensor 't0' is damaged");
}
END_TEST

START_TEST (test_assertion_not_met)
{
  refuse ("tsource n=1 ! tensor,dtype=f16 ! tsink", AFP_ERROR_PLAN,
          "dtype is f32, but f16 is asked for", "\n                ^");
}
END_TEST

START_TEST (test_nothing_reaches_the_sink)
{
  refuse ("tsource n=2 ! tpass ! tpass drop=100000 ! tpass ! tsink", AFP_ERROR_PLAN,
          "no tensor reaches 'tsink0'", "of 2 that come to 'tpass1'");
}
END_TEST

START_TEST (test_memory_over_budget)
{
  g_autoptr (AfpPipeline) pipeline = pipe_new ("tsource n=3 ! tpass memory=2000000000 ! tsink");
  GError *error;

  afp_pipeline_set_max_memory (pipeline, 1999999999);
  error = plan_fails (pipeline);
  ck_assert_int_eq (afp_error_exit_code (error), 8);
  assert_error (error, AFP_ERROR_MEMORY, "tensor 't0' needs", "1.86 GiB for itself",
                "1999999999 bytes", "\nalso: tensor 't1'");
}
END_TEST

START_TEST (test_budget_below_the_process)
{
  g_autoptr (AfpPipeline) pipeline = pipe_new ("tsource n=3 ! tsink");
  GError *error;

  afp_pipeline_set_max_memory (pipeline, 100000);
  error = plan_fails (pipeline);
  ck_assert_int_eq (afp_error_exit_code (error), 8);
  assert_error (error, AFP_ERROR_MEMORY, "the budget is 97.7 KiB (100000 bytes)",
                "without any tensor", "--max-mem");
}
END_TEST

START_TEST (test_cancelled)
{
  g_autoptr (AfpPipeline) pipeline = pipe_new ("tsource n=3 ! tsink");
  GError *error;

  afp_pipeline_cancel (pipeline);
  error = plan_fails (pipeline);
  ck_assert_int_eq (afp_error_exit_code (error), 130);
  assert_error (error, AFP_ERROR_CANCELLED, "cancelled");
}
END_TEST

START_TEST (test_syntax)
{
  GError *error = NULL;

  ck_assert_ptr_null (afp_pipeline_new_from_text ("tsource ! !", &error));
  assert_error (error, AFP_ERROR_USAGE, "missing", "^");
  ck_assert_ptr_null (afp_pipeline_new_from_text ("", &error));
  assert_error (error, AFP_ERROR_USAGE, "empty");
}
END_TEST

static TCase *
make_canonical (void)
{
  TCase *tcase = tcase_create ("canonical");
  tcase_add_test (tcase, test_canonical_leaves_defaults_out);
  tcase_add_test (tcase, test_canonical_resolves_presets);
  tcase_add_test (tcase, test_canonical_files);
  tcase_add_test (tcase, test_canonical_branches);
  tcase_add_test (tcase, test_canonical_parses_back);
  return tcase;
}

static TCase *
make_plans (void)
{
  TCase *tcase = tcase_create ("plans");
  tcase_add_test (tcase, test_plan);
  tcase_add_test (tcase, test_plan_freezes);
  tcase_add_test (tcase, test_codec_claims);
  tcase_add_test (tcase, test_a_codec_that_takes_nothing_says_so);
  tcase_add_test (tcase, test_notes_of_sources);
  tcase_add_test (tcase, test_memory_fits);
  return tcase;
}

static TCase *
make_refusals (void)
{
  TCase *tcase = tcase_create ("refusals");
  tcase_add_test (tcase, test_required_properties);
  tcase_add_test (tcase, test_check);
  tcase_add_test (tcase, test_open);
  tcase_add_test (tcase, test_no_tensors);
  tcase_add_test (tcase, test_same_names);
  tcase_add_test (tcase, test_damaged_tensor);
  tcase_add_test (tcase, test_stage_and_tensor_are_named);
  tcase_add_test (tcase, test_all_errors_at_once);
  tcase_add_test (tcase, test_assertion_not_met);
  tcase_add_test (tcase, test_nothing_reaches_the_sink);
  tcase_add_test (tcase, test_memory_over_budget);
  tcase_add_test (tcase, test_budget_below_the_process);
  tcase_add_test (tcase, test_cancelled);
  tcase_add_test (tcase, test_syntax);
  return tcase;
}

int
main (void)
{
  TCase *(*const cases[]) (void) = { make_canonical, make_plans, make_refusals };
  pipe_register ();
  return run_suite ("pipeline", cases, G_N_ELEMENTS (cases));
}
