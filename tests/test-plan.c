/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pipe-test.h"

#include "afp-plan-private.h"

static AfpElement *
element (GType type, const char *name)
{
  AfpElement *self = g_object_new (type, NULL);

  afp_element_set_name (self, name);
  afp_element_set_factory_name (self, name);
  return self;
}

static AfpTensor *
tensor (const char *name, guint64 rows)
{
  const guint64 shape[] = { rows, 4 };

  return make_tensor (name, AFP_DTYPE_F32, 2, shape, FALSE);
}

static JsonObject *
member (JsonNode *node, const char *array, guint index)
{
  return json_array_get_object_element (
      json_object_get_array_member (json_node_get_object (node), array), index);
}

START_TEST (test_empty)
{
  g_autoptr (AfpPlan) plan = afp_plan_new ();
  g_autoptr (AfpElement) pass = element (pipe_pass_get_type (), "p");
  g_autoptr (JsonNode) json = afp_plan_to_json (plan);
  gboolean exact = FALSE;

  ck_assert_uint_eq (afp_plan_get_n_tensors (plan), 0);
  ck_assert_ptr_null (afp_plan_take_error (plan));
  ck_assert_uint_eq (afp_plan_get_total_bytes (plan, pass, &exact), 0);
  ck_assert (exact);
  ck_assert_ptr_null (afp_plan_stage_to_json (plan, pass));
  ck_assert_int_eq (
      json_array_get_length (json_object_get_array_member (json_node_get_object (json), "stages")),
      0);
  assert_text (afp_plan_to_string (plan), "stage  tensors  bytes in  bytes out  ratio\n");
}
END_TEST

START_TEST (test_claims_are_summed)
{
  g_autoptr (AfpPlan) plan = afp_plan_new ();
  g_autoptr (AfpElement) pass = element (pipe_pass_get_type (), "seedlm0");
  g_autoptr (AfpTensor) a = tensor ("a", 8);
  AfpSpec *spec = afp_tensor_get_spec (a);

  afp_plan_note_claim (plan, pass, spec, "weight", TRUE, 10, TRUE, 100, "seedlm/1()", "");
  afp_plan_note_claim (plan, pass, spec, "weight", TRUE, 20, FALSE, 200, "seedlm/1()", NULL);
  afp_plan_note_claim (plan, pass, spec, "weight", FALSE, 7, TRUE, 5, NULL,
                       "costs more than it saves");

  g_autoptr (JsonNode) json = afp_plan_stage_to_json (plan, pass);
  JsonObject *taken = member (json, "claims", 0), *left = member (json, "claims", 1);
  ck_assert_int_eq (
      json_array_get_length (json_object_get_array_member (json_node_get_object (json), "claims")),
      2);
  ck_assert_int_eq (json_object_get_int_member (taken, "tensors"), 2);
  ck_assert_int_eq (json_object_get_int_member (taken, "bytes"), 30);
  ck_assert_int_eq (json_object_get_int_member (taken, "fallback_bytes"), 300);
  ck_assert (!json_object_get_boolean_member (taken, "exact"));
  ck_assert (json_object_get_boolean_member (taken, "taken"));
  ck_assert_str_eq (json_object_get_string_member (taken, "what"), "seedlm/1()");
  ck_assert (!json_object_get_boolean_member (left, "taken"));
  ck_assert_str_eq (json_object_get_string_member (left, "why"), "costs more than it saves");

  g_autofree char *text = afp_plan_to_string (plan);
  ck_assert_ptr_nonnull (strstr (
      text, "    takes weight in 2 tensors: <= 30 B, without it 300 B\n      as seedlm/1()\n"));
  ck_assert_ptr_nonnull (strstr (
      text, "    leaves weight in 1 tensor: = 7 B, without it 5 B: costs more than it saves\n"));
}
END_TEST

START_TEST (test_stages)
{
  g_autoptr (AfpPlan) plan = afp_plan_new ();
  g_autoptr (AfpElement) source = element (pipe_source_get_type (), "load0");
  g_autoptr (AfpElement) pass = element (pipe_pass_get_type (), "p");
  g_autoptr (AfpTensor) a = tensor ("a", 8), b = tensor ("b", 4);
  AfpSize size_a, size_b;

  afp_tensor_get_size (a, &size_a);
  afp_tensor_get_size (b, &size_b);
  afp_plan_note_tensor (plan, source, NULL, a);
  afp_plan_note_tensor (plan, source, NULL, b);
  afp_plan_note_tensor (plan, pass, a, b);
  afp_plan_note_tensor (plan, pass, b, NULL);
  ck_assert_uint_eq (afp_plan_get_n_tensors (plan), 2);

  g_autoptr (JsonNode) json = afp_plan_to_json (plan);
  JsonObject *first = member (json, "stages", 0), *second = member (json, "stages", 1);
  ck_assert_str_eq (json_object_get_string_member (first, "name"), "load0");
  ck_assert (json_object_get_null_member (first, "bytes_in"));
  ck_assert_int_eq (json_object_get_int_member (first, "bytes_out"), size_a.total + size_b.total);
  ck_assert_int_eq (json_object_get_int_member (second, "tensors"), 2);
  ck_assert_int_eq (json_object_get_int_member (second, "bytes_in"), size_a.total + size_b.total);
  ck_assert_int_eq (json_object_get_int_member (second, "bytes_out"), size_b.total);
}
END_TEST

START_TEST (test_outputs)
{
  g_autoptr (AfpPlan) plan = afp_plan_new ();
  g_autoptr (AfpElement) sink = element (pipe_sink_get_type (), "write0"),
                         other = element (pipe_sink_get_type (), "x");
  g_autoptr (AfpTensor) a = tensor ("a", 8), b = tensor ("b", 4);
  AfpSize size_a, size_b;
  gboolean exact;

  afp_tensor_get_size (a, &size_a);
  afp_tensor_get_size (b, &size_b);
  afp_plan_note_output (plan, sink, a);
  afp_plan_note_output (plan, sink, b);
  /* One recipe, counted once. */
  ck_assert_uint_eq (afp_plan_get_total_bytes (plan, sink, &exact),
                     size_a.total + size_b.total + afp_size_recipe_bytes ("weight"));
  ck_assert (exact);
  ck_assert_uint_eq (afp_plan_get_total_bytes (plan, other, NULL), 0);

  g_autoptr (JsonNode) json = afp_plan_to_json (plan);
  JsonObject *output = member (json, "outputs", 0);
  ck_assert_int_eq (json_object_get_int_member (output, "weights"), 48);
  ck_assert_int_eq (json_object_get_int_member (output, "input_bytes"), 192);
  ck_assert_int_eq (json_array_get_length (json_object_get_array_member (output, "recipes")), 1);
  ck_assert_int_eq (json_array_get_length (json_object_get_array_member (output, "tensors")), 2);

  g_autofree char *text = afp_plan_to_string (plan);
  ck_assert_ptr_nonnull (strstr (text, "write0: 2 tensors, 48 weights, = "));
  ck_assert_ptr_nonnull (strstr (text, "    2 tensors, "));
}
END_TEST

/* An alias costs nothing and counts no weights a second time. */
START_TEST (test_alias)
{
  g_autoptr (AfpPlan) plan = afp_plan_new ();
  g_autoptr (AfpElement) sink = element (pipe_sink_get_type (), "write0");
  const guint64 shape[] = { 8, 4 };
  g_autoptr (AfpSpec) spec = afp_spec_new ("b", AFP_DTYPE_F32, 2, shape, NULL, "a");
  g_autoptr (AfpPlane) plane = afp_plane_new_raw (spec, NULL);
  g_autoptr (AfpTensor) a = tensor ("a", 8), b = afp_tensor_new (spec, plane);

  afp_plan_note_output (plan, sink, a);
  afp_plan_note_output (plan, sink, b);
  g_autoptr (JsonNode) json = afp_plan_to_json (plan);
  ck_assert_int_eq (json_object_get_int_member (member (json, "outputs", 0), "weights"), 32);
}
END_TEST

START_TEST (test_no_weights)
{
  g_autoptr (AfpPlan) plan = afp_plan_new ();
  g_autoptr (AfpElement) sink = element (pipe_sink_get_type (), "write0");
  const guint64 shape[] = { 0, 4 };
  g_autoptr (AfpTensor) a = make_tensor ("a", AFP_DTYPE_F32, 2, shape, FALSE);

  afp_plan_note_output (plan, sink, a);
  g_autoptr (JsonNode) json = afp_plan_to_json (plan);
  ck_assert (json_object_get_null_member (member (json, "outputs", 0), "bits_per_weight"));
}
END_TEST

START_TEST (test_memory)
{
  g_autoptr (AfpPlan) plan = afp_plan_new ();
  g_autoptr (AfpTensor) a = tensor ("a", 8), b = tensor ("b", 4);
  const char *name;

  ck_assert_uint_eq (afp_plan_get_peak_memory (plan, &name), 0);
  ck_assert_ptr_null (name);
  afp_plan_note_memory (plan, afp_tensor_get_spec (a), 100);
  afp_plan_note_memory (plan, afp_tensor_get_spec (a), 50);
  afp_plan_note_memory (plan, afp_tensor_get_spec (b), 80);
  ck_assert_uint_eq (afp_plan_get_peak_memory (plan, &name), 100);
  ck_assert_str_eq (name, "a");
  afp_plan_check_memory (plan, 100, 0, 4);
  ck_assert (!afp_plan_has_errors (plan));
  g_autofree char *text = afp_plan_to_string (plan);
  ck_assert_ptr_nonnull (strstr (text, "working memory: at most 100 B, for tensor 'a'\n"));
}
END_TEST

/* --- errors --- */

START_TEST (test_memory_over_budget)
{
  g_autoptr (AfpPlan) plan = afp_plan_new ();
  g_autoptr (AfpTensor) a = tensor ("a", 8), b = tensor ("b", 4);

  afp_plan_note_memory (plan, afp_tensor_get_spec (a), 5000);
  afp_plan_note_memory (plan, afp_tensor_get_spec (b), 3000);
  afp_plan_check_memory (plan, 2048, 0, 1);
  GError *error = afp_plan_take_error (plan);
  assert_error (error, AFP_ERROR_MEMORY, "tensor 'a' needs 4.88 KiB (5000 bytes)",
                "budget is 2.00 KiB (2048 bytes)", "--max-mem", "\nalso: tensor 'b'");
}
END_TEST

START_TEST (test_errors_are_collected)
{
  g_autoptr (AfpPlan) plan = afp_plan_new ();

  afp_plan_add_error (plan, g_error_new (AFP_ERROR, AFP_ERROR_PLAN, "first"));
  afp_plan_add_error (plan, g_error_new (AFP_ERROR, AFP_ERROR_IO, "second"));
  ck_assert (afp_plan_has_errors (plan));
  GError *error = afp_plan_take_error (plan);
  ck_assert_str_eq (error->message, "first\nalso: second");
  assert_error (error, AFP_ERROR_PLAN, "first");
  ck_assert_ptr_null (afp_plan_take_error (plan));
}
END_TEST

START_TEST (test_many_errors)
{
  g_autoptr (AfpPlan) plan = afp_plan_new ();

  for (guint i = 0; i < 27; i++)
    afp_plan_add_error (plan, g_error_new (AFP_ERROR, AFP_ERROR_PLAN, "e%u.", i));
  GError *error = afp_plan_take_error (plan);
  ck_assert_ptr_null (strstr (error->message, "e20."));
  assert_error (error, AFP_ERROR_PLAN, "e0.", "\nalso: e19.\nand 7 more");
}
END_TEST

START_TEST (test_freed_with_errors)
{
  AfpPlan *plan = afp_plan_new ();
  g_autoptr (AfpPlan) other = afp_plan_ref (plan);

  afp_plan_add_error (plan, g_error_new (AFP_ERROR, AFP_ERROR_PLAN, "lost"));
  afp_plan_unref (plan);
  afp_plan_unref (NULL);
  ck_assert (afp_plan_has_errors (other));
}
END_TEST

START_TEST (test_many_claims)
{
  g_autoptr (AfpPlan) plan = afp_plan_new ();
  g_autoptr (AfpElement) pass = element (pipe_pass_get_type (), "p");
  g_autoptr (AfpTensor) a = tensor ("a", 8);

  for (guint i = 0; i < 15; i++) {
    g_autofree char *why = g_strdup_printf ("reason %u", i);
    afp_plan_note_claim (plan, pass, afp_tensor_get_spec (a), "weight", FALSE, 0, FALSE, 9, "",
                         why);
  }
  g_autofree char *text = afp_plan_to_string (plan);
  ck_assert_ptr_nonnull (
      strstr (text, "    leaves weight in 1 tensor: reason 11\n    and 3 more\n"));
}
END_TEST

static TCase *
make_notes (void)
{
  TCase *tcase = tcase_create ("notes");
  tcase_add_test (tcase, test_empty);
  tcase_add_test (tcase, test_claims_are_summed);
  tcase_add_test (tcase, test_stages);
  tcase_add_test (tcase, test_outputs);
  tcase_add_test (tcase, test_alias);
  tcase_add_test (tcase, test_no_weights);
  tcase_add_test (tcase, test_memory);
  return tcase;
}

static TCase *
make_errors (void)
{
  TCase *tcase = tcase_create ("errors");
  tcase_add_test (tcase, test_memory_over_budget);
  tcase_add_test (tcase, test_errors_are_collected);
  tcase_add_test (tcase, test_many_errors);
  tcase_add_test (tcase, test_freed_with_errors);
  tcase_add_test (tcase, test_many_claims);
  return tcase;
}

int
main (void)
{
  TCase *(*const cases[]) (void) = { make_notes, make_errors };
  pipe_register ();
  return run_suite ("plan", cases, G_N_ELEMENTS (cases));
}
