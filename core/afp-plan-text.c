/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-plan-private.h"

#include "afp-codec.h"
#include "afp-sink.h"
#include "afp-source.h"
#include "afp-table.h"

#define AFP_PLAN_MAX_LINES 12 /* claims per stage and recipes per output in the table */

/* "= 12.3 KiB" or "<= 12.3 KiB" */
static char *
afp_plan_format_bytes (guint64 bytes, gboolean exact)
{
  g_autofree char *text = afp_format_bytes (bytes);

  return g_strconcat (exact ? "= " : "<= ", text, NULL);
}

static char *
afp_plan_format_tensors (guint64 n)
{
  g_autofree char *count = afp_format_count (n);

  return g_strdup_printf ("%s tensor%s", count, n == 1 ? "" : "s");
}

static void
afp_plan_print_claim (AfpTable *table, const AfpPlanClaim *claim)
{
  g_autofree char *tensors = afp_plan_format_tensors (claim->tensors);
  g_autofree char *cost = afp_plan_format_bytes (claim->bytes, claim->exact);
  g_autofree char *fallback = afp_format_bytes (claim->fallback_bytes);
  GString *line = g_string_new (NULL);

  g_string_append_printf (line, "    %s %s in %s", claim->taken ? "takes" : "leaves", claim->path,
                          tensors);
  if (claim->taken || (claim->bytes && claim->fallback_bytes))
    g_string_append_printf (line, ": %s, without it %s", cost, fallback);
  if (claim->why[0])
    g_string_append_printf (line, "%s %s", claim->taken ? ";" : ":", claim->why);
  if (claim->what[0])
    g_string_append_printf (line, "\n      as %s", claim->what);
  afp_table_add_line (table, "%s", line->str);
  g_string_free (line, TRUE);
}

static void
afp_plan_print_stage (AfpTable *table, const AfpPlanStage *stage)
{
  gboolean is_sink = AFP_IS_SINK (stage->element);
  guint64 tensors = AFP_IS_SOURCE (stage->element) ? stage->tensors_out : stage->tensors_in;
  guint shown = 0, taken = 0;

  afp_table_take (
      table, g_strdup (afp_element_get_name (stage->element)), afp_format_count (tensors),
      AFP_IS_SOURCE (stage->element) ? g_strdup ("-")
                                     : afp_plan_format_bytes (stage->bytes_in, stage->exact_in),
      is_sink ? g_strdup ("-") : afp_plan_format_bytes (stage->bytes_out, stage->exact_out),
      !is_sink && stage->bytes_in && stage->bytes_out
          ? g_strdup_printf ("%.2fx", (double) stage->bytes_in / (double) stage->bytes_out)
          : g_strdup ("-"),
      NULL);
  for (guint i = 0; i < stage->claims->len; i++) {
    const AfpPlanClaim *claim = g_ptr_array_index (stage->claims, i);

    taken += claim->taken;
    if (shown++ < AFP_PLAN_MAX_LINES)
      afp_plan_print_claim (table, claim);
  }
  if (shown > AFP_PLAN_MAX_LINES)
    afp_table_add_line (table, "    and %u more", shown - AFP_PLAN_MAX_LINES);
  if (taken == 0 && AFP_IS_CODEC (stage->element))
    afp_table_add_line (table, "    takes nothing");
}

static double
afp_plan_ratio (guint64 a, guint64 b)
{
  return b ? (double) a / (double) b : 0;
}

static void
afp_plan_print_output (GString *out, const AfpPlanOutput *output)
{
  g_autofree char *tensors = afp_plan_format_tensors (output->tensors->len);
  g_autofree char *weights = afp_format_count (output->weights);
  g_autofree char *bytes = afp_plan_format_bytes (output->bytes, output->exact);

  g_string_append_printf (out, "%s: %s, %s weights, %s", afp_element_get_name (output->element),
                          tensors, weights, bytes);
  if (output->weights && output->bytes)
    g_string_append_printf (out, ", %.3f bits per weight, %.2f times smaller than the input",
                            8 * afp_plan_ratio (output->bytes, output->weights),
                            afp_plan_ratio (output->raw_bytes, output->bytes));
  if (output->files > 1)
    g_string_append_printf (out, ", in %u files", output->files);
  g_string_append_c (out, '\n');
  for (guint i = 0; i < output->recipes->len && i < AFP_PLAN_MAX_LINES; i++) {
    const AfpPlanRecipe *recipe = g_ptr_array_index (output->recipes, i);
    g_autofree char *n = afp_plan_format_tensors (recipe->tensors);
    g_autofree char *size = afp_format_bytes (recipe->bytes);

    g_string_append_printf (out, "    %s, %s: %s\n", n, size, recipe->text);
  }
  if (output->recipes->len > AFP_PLAN_MAX_LINES)
    g_string_append_printf (out, "    and %u more recipes\n",
                            output->recipes->len - AFP_PLAN_MAX_LINES);
}

/**
 * afp_plan_to_string:
 * @plan: a plan
 *
 * Returns: (transfer full): stages, claims and refusals, outputs and memory, for people
 */
char *
afp_plan_to_string (AfpPlan *plan)
{
  g_autoptr (AfpTable) table = afp_table_new ("lrrrr");
  g_autofree char *stages = NULL;
  GString *out = g_string_new (NULL);
  const char *name;
  guint64 peak;

  g_return_val_if_fail (plan, NULL);
  afp_table_add (table, "stage", "tensors", "bytes in", "bytes out", "ratio", NULL);
  for (guint i = 0; i < plan->stages->len; i++)
    afp_plan_print_stage (table, g_ptr_array_index (plan->stages, i));
  stages = afp_table_to_string (table);
  g_string_append (out, stages);
  for (guint i = 0; i < plan->outputs->len; i++)
    afp_plan_print_output (out, g_ptr_array_index (plan->outputs, i));
  peak = afp_plan_get_peak_memory (plan, &name);
  if (name) {
    g_autofree char *bytes = afp_format_bytes (peak);

    g_string_append_printf (out, "working memory: at most %s, for tensor '%s'\n", bytes, name);
  }
  return g_string_free (out, FALSE);
}

static void
afp_plan_set_int (JsonObject *object, const char *name, guint64 value)
{
  json_object_set_int_member (object, name, (gint64) MIN (value, (guint64) G_MAXINT64));
}

static JsonNode *
afp_plan_take_object (JsonObject *object)
{
  JsonNode *node = json_node_new (JSON_NODE_OBJECT);

  json_node_take_object (node, object);
  return node;
}

static JsonObject *
afp_plan_claim_to_json (const AfpPlanClaim *claim)
{
  JsonObject *object = json_object_new ();

  json_object_set_string_member (object, "plane", claim->path);
  json_object_set_boolean_member (object, "taken", claim->taken);
  afp_plan_set_int (object, "tensors", claim->tensors);
  afp_plan_set_int (object, "bytes", claim->bytes);
  afp_plan_set_int (object, "fallback_bytes", claim->fallback_bytes);
  json_object_set_boolean_member (object, "exact", claim->exact);
  json_object_set_string_member (object, "what", claim->what);
  json_object_set_string_member (object, "why", claim->why);
  return object;
}

static JsonObject *
afp_plan_stage_to_object (const AfpPlanStage *stage)
{
  JsonObject *object = json_object_new ();
  JsonArray *claims = json_array_new ();
  gboolean is_source = AFP_IS_SOURCE (stage->element);

  json_object_set_string_member (object, "name", afp_element_get_name (stage->element));
  json_object_set_string_member (object, "element", afp_element_get_factory_name (stage->element));
  afp_plan_set_int (object, "tensors", is_source ? stage->tensors_out : stage->tensors_in);
  if (is_source)
    json_object_set_null_member (object, "bytes_in");
  else
    afp_plan_set_int (object, "bytes_in", stage->bytes_in);
  if (AFP_IS_SINK (stage->element))
    json_object_set_null_member (object, "bytes_out");
  else
    afp_plan_set_int (object, "bytes_out", stage->bytes_out);
  json_object_set_boolean_member (object, "exact", stage->exact_in && stage->exact_out);
  for (guint i = 0; i < stage->claims->len; i++)
    json_array_add_object_element (claims,
                                   afp_plan_claim_to_json (g_ptr_array_index (stage->claims, i)));
  json_object_set_array_member (object, "claims", claims);
  return object;
}

static JsonArray *
afp_plan_tensors_to_json (const AfpPlanOutput *output)
{
  JsonArray *array = json_array_new ();

  for (guint i = 0; i < output->tensors->len; i++) {
    const AfpPlanTensor *tensor = &g_array_index (output->tensors, AfpPlanTensor, i);
    JsonObject *object = json_object_new ();

    json_object_set_string_member (object, "name", afp_spec_get_name (tensor->spec));
    json_object_set_string_member (object, "dtype",
                                   afp_dtype_name (afp_spec_get_dtype (tensor->spec)));
    afp_plan_set_int (object, "weights", afp_spec_get_n_elements (tensor->spec));
    afp_plan_set_int (object, "bytes", tensor->size.total);
    json_object_set_boolean_member (object, "exact", tensor->size.exact);
    afp_plan_set_int (object, "recipe", tensor->recipe);
    json_array_add_object_element (array, object);
  }
  return array;
}

static JsonObject *
afp_plan_output_to_json (const AfpPlanOutput *output)
{
  JsonObject *object = json_object_new ();
  JsonArray *recipes = json_array_new ();

  json_object_set_string_member (object, "name", afp_element_get_name (output->element));
  json_object_set_string_member (object, "element", afp_element_get_factory_name (output->element));
  afp_plan_set_int (object, "weights", output->weights);
  afp_plan_set_int (object, "input_bytes", output->raw_bytes);
  afp_plan_set_int (object, "bytes", output->bytes);
  json_object_set_boolean_member (object, "exact", output->exact);
  if (output->files)
    afp_plan_set_int (object, "files", output->files);
  if (output->weights)
    json_object_set_double_member (object, "bits_per_weight",
                                   8 * afp_plan_ratio (output->bytes, output->weights));
  else
    json_object_set_null_member (object, "bits_per_weight");
  for (guint i = 0; i < output->recipes->len; i++) {
    const AfpPlanRecipe *recipe = g_ptr_array_index (output->recipes, i);
    JsonObject *entry = json_object_new ();

    json_object_set_string_member (entry, "recipe", recipe->text);
    afp_plan_set_int (entry, "tensors", recipe->tensors);
    afp_plan_set_int (entry, "bytes", recipe->bytes);
    json_array_add_object_element (recipes, entry);
  }
  json_object_set_array_member (object, "recipes", recipes);
  json_object_set_array_member (object, "tensors", afp_plan_tensors_to_json (output));
  return object;
}

/**
 * afp_plan_to_json:
 * @plan: a plan
 *
 * Returns: (transfer full): the plan as a JSON object
 */
JsonNode *
afp_plan_to_json (AfpPlan *plan)
{
  JsonObject *object = json_object_new ();
  JsonArray *stages = json_array_new (), *outputs = json_array_new ();

  g_return_val_if_fail (plan, NULL);
  for (guint i = 0; i < plan->stages->len; i++)
    json_array_add_object_element (stages,
                                   afp_plan_stage_to_object (g_ptr_array_index (plan->stages, i)));
  for (guint i = 0; i < plan->outputs->len; i++)
    json_array_add_object_element (outputs,
                                   afp_plan_output_to_json (g_ptr_array_index (plan->outputs, i)));
  afp_plan_set_int (object, "tensors", plan->n_tensors);
  json_object_set_array_member (object, "stages", stages);
  json_object_set_array_member (object, "outputs", outputs);
  afp_plan_set_int (object, "working_memory_bytes", afp_plan_get_peak_memory (plan, NULL));
  return afp_plan_take_object (object);
}

/**
 * afp_plan_stage_to_json:
 * @plan: a plan
 * @element: one of its stages
 *
 * Returns: (transfer full) (nullable): the stage as a JSON object; %NULL if it is not in the plan
 */
JsonNode *
afp_plan_stage_to_json (AfpPlan *plan, AfpElement *element)
{
  AfpPlanStage *stage;

  g_return_val_if_fail (plan, NULL);
  stage = afp_plan_find_stage (plan, element);
  return stage ? afp_plan_take_object (afp_plan_stage_to_object (stage)) : NULL;
}
