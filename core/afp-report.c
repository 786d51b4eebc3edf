/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-report-private.h"

#include "afp-error.h"
#include "afp-memo.h"
#include "afp-memory.h"
#include "afp-plan-private.h"
#include "afp-packer.h"
#include "afp-pipeline-private.h"
#include "afp-registry.h"

#include <math.h>
#include <string.h>

/*
 * The report of a run as JSON; docs/report.md says what is in it.
 */

/**
 * afp_json_number_or_null:
 * @value: a number
 *
 * Returns: (transfer full): the number, or null if it is not finite
 */
JsonNode *
afp_json_number_or_null (double value)
{
  JsonNode *node = json_node_new (isfinite (value) ? JSON_NODE_VALUE : JSON_NODE_NULL);

  if (isfinite (value))
    json_node_set_double (node, value);
  return node;
}

static void
afp_report_set_number (JsonObject *object, const char *name, double value)
{
  json_object_set_member (object, name, afp_json_number_or_null (value));
}

static void
afp_report_set_count (JsonObject *object, const char *name, guint64 value)
{
  json_object_set_int_member (object, name, (gint64) MIN (value, (guint64) G_MAXINT64));
}

static void
afp_report_set_text (JsonObject *object, const char *name, const char *text)
{
  if (text)
    json_object_set_string_member (object, name, text);
  else
    json_object_set_null_member (object, name);
}

static double
afp_report_ratio (double a, double b)
{
  return b > 0 ? a / b : NAN;
}

double
afp_json_get_number (JsonObject *object, const char *name)
{
  JsonNode *node = object ? json_object_get_member (object, name) : NULL;
  GType type = node && JSON_NODE_HOLDS_VALUE (node) ? json_node_get_value_type (node) : G_TYPE_NONE;

  if (type == G_TYPE_DOUBLE)
    return json_node_get_double (node);
  return type == G_TYPE_INT64 ? (double) json_node_get_int (node) : NAN;
}

JsonObject *
afp_json_get_object (JsonNode *node)
{
  return node && JSON_NODE_HOLDS_OBJECT (node) ? json_node_get_object (node) : NULL;
}

const char *
afp_json_get_text (JsonObject *object, const char *name)
{
  JsonNode *node = object ? json_object_get_member (object, name) : NULL;

  return node && JSON_NODE_HOLDS_VALUE (node) ? json_node_get_string (node) : NULL;
}

/* --- which metrics speak of an output --- */

typedef struct {
  JsonObject *metrics;  /* of the last eval on the branch; NULL: none speaks of what was written */
  gboolean all_tensors; /* FALSE: some were taken out after it */
} AfpReportEval;

static AfpReportEval
afp_report_find_eval (AfpPipeline *self, AfpStage *sink)
{
  AfpReportEval eval = { NULL, TRUE };
  AfpLink *link = afp_pipeline_get_link_to (self, sink);

  while (link) {
    AfpStage *stage = link->from;
    JsonObject *metrics = afp_json_get_object (stage->metrics);

    if (metrics && json_object_has_member (metrics, "nmse")) {
      eval.metrics = metrics;
      break;
    }
    /* A lossless stage makes other planes of the same values. */
    if (stage->changed && !AFP_IS_PACKER (stage->element))
      break;
    if (stage->n_out < stage->n_in)
      eval.all_tensors = FALSE;
    link = afp_pipeline_get_link_to (self, stage);
  }
  return eval;
}

/* Tensor name -> JsonObject of the eval's metrics. */
static GHashTable *
afp_report_index_tensors (JsonObject *metrics)
{
  GHashTable *index = g_hash_table_new (g_str_hash, g_str_equal);
  JsonNode *node = metrics ? json_object_get_member (metrics, "tensors") : NULL;
  JsonArray *array = node && JSON_NODE_HOLDS_ARRAY (node) ? json_node_get_array (node) : NULL;

  for (guint i = 0; array && i < json_array_get_length (array); i++) {
    JsonObject *tensor = afp_json_get_object (json_array_get_element (array, i));
    const char *name = afp_json_get_text (tensor, "name");

    if (name)
      g_hash_table_insert (index, (gpointer) name, tensor);
  }
  return index;
}

/* --- outputs --- */

static void
afp_report_add_sizes (JsonObject *object, AfpStage *stage)
{
  AfpSink *sink = AFP_SINK (stage->element);
  JsonObject *output = afp_json_get_object (stage->output);
  double file_bytes = afp_json_get_number (output, "file_bytes");
  double extras_bytes = afp_json_get_number (output, "extras_bytes");
  double model_bytes = isfinite (extras_bytes) ? file_bytes - extras_bytes : file_bytes;
  double bytes = (double) afp_sink_get_total_bytes (sink);
  double smallest = isfinite (model_bytes) ? model_bytes : bytes;
  guint64 weights = 0, input_bytes = 0;

  for (gsize i = 0; i < afp_sink_get_n_records (sink); i++) {
    AfpSpec *spec = afp_sink_get_record (sink, i)->spec;

    if (afp_spec_get_alias_of (spec))
      continue;
    weights += afp_spec_get_n_elements (spec);
    input_bytes += afp_spec_get_n_bytes (spec);
  }
  afp_report_set_count (object, "weights", weights);
  afp_report_set_count (object, "bytes", afp_sink_get_total_bytes (sink));
  afp_report_set_number (object, "bits_per_weight", afp_report_ratio (8 * bytes, (double) weights));
  if (isfinite (file_bytes))
    afp_report_set_count (object, "file_bytes", (guint64) file_bytes);
  else
    json_object_set_null_member (object, "file_bytes");
  afp_report_set_count (object, "extras_bytes",
                        isfinite (extras_bytes) ? (guint64) extras_bytes : 0);
  afp_report_set_number (object, "file_bits_per_weight",
                         afp_report_ratio (8 * model_bytes, (double) weights));
  afp_report_set_number (object, "ratio_input", afp_report_ratio ((double) input_bytes, smallest));
  afp_report_set_number (object, "ratio_fp16", afp_report_ratio (2 * (double) weights, smallest));
  afp_report_set_number (object, "ratio_fp32", afp_report_ratio (4 * (double) weights, smallest));
}

static void
afp_report_add_output (AfpPipeline *self, JsonObject *object, AfpStage *stage)
{
  static const char *const errors[] = { "nmse", "sqnr_db", "cosine" };
  AfpReportEval eval = afp_report_find_eval (self, stage);

  afp_report_add_sizes (object, stage);
  for (guint i = 0; i < G_N_ELEMENTS (errors); i++)
    afp_report_set_number (object, errors[i],
                           eval.all_tensors ? afp_json_get_number (eval.metrics, errors[i]) : NAN);
}

static void
afp_report_add_outputs (AfpPipeline *self, JsonObject *report)
{
  JsonArray *outputs = json_array_new ();

  for (guint i = 0; i < self->stages->len; i++) {
    AfpStage *stage = g_ptr_array_index (self->stages, i);
    JsonObject *object, *output = afp_json_get_object (stage->output);

    if (!stage->complete)
      continue;
    object = json_object_new ();
    json_object_set_string_member (object, "name", afp_element_get_name (stage->element));
    afp_report_set_text (object, "element", afp_element_get_factory_name (stage->element));
    afp_report_set_text (object, "location", afp_json_get_text (output, "location"));
    afp_report_set_text (object, "format", afp_json_get_text (output, "format"));
    json_object_set_boolean_member (object, "published", stage->published);
    afp_report_set_count (object, "tensors", afp_sink_get_n_records (AFP_SINK (stage->element)));
    afp_report_set_count (object, "tensors_resumed",
                          afp_sink_get_n_held (AFP_SINK (stage->element)));
    afp_report_add_output (self, object, stage);
    json_array_add_object_element (outputs, object);
  }
  json_object_set_array_member (report, "outputs", outputs);
}

/* --- tensors of the main branch --- */

typedef struct {
  guint64 bytes; /* of the recipe */
  guint64 n, i;  /* tensors that share it; those that had their share */
} AfpReportRecipe;

static GHashTable *
afp_report_index_recipes (AfpSink *sink)
{
  GHashTable *recipes = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, g_free);

  for (gsize i = 0; i < afp_sink_get_n_records (sink); i++) {
    const AfpSinkRecord *record = afp_sink_get_record (sink, i);
    AfpReportRecipe *recipe = g_hash_table_lookup (recipes, record->recipe);

    if (!recipe) {
      recipe = g_new0 (AfpReportRecipe, 1);
      recipe->bytes = afp_size_recipe_bytes (record->recipe);
      g_hash_table_insert (recipes, record->recipe, recipe);
    }
    recipe->n++;
  }
  return recipes;
}

/* Whole bytes, so that the tensors add up to the total. */
static guint64
afp_report_take_share (AfpReportRecipe *recipe)
{
  guint64 before = recipe->bytes * recipe->i / recipe->n;

  recipe->i++;
  return recipe->bytes * recipe->i / recipe->n - before;
}

static JsonObject *
afp_report_make_tensor (const AfpSinkRecord *record, guint64 share, JsonObject *metrics)
{
  JsonObject *object = json_object_new ();
  JsonArray *shape = json_array_new ();
  guint64 bytes = record->size.total + share;
  guint64 weights = afp_spec_get_n_elements (record->spec);

  for (guint i = 0; i < afp_spec_get_rank (record->spec); i++)
    json_array_add_int_element (shape, (gint64) afp_spec_get_shape (record->spec)[i]);
  json_object_set_string_member (object, "name", afp_spec_get_name (record->spec));
  json_object_set_array_member (object, "shape", shape);
  json_object_set_string_member (object, "dtype",
                                 afp_dtype_name (afp_spec_get_dtype (record->spec)));
  afp_report_set_count (object, "bytes", bytes);
  afp_report_set_number (object, "bits_per_weight",
                         afp_spec_get_alias_of (record->spec)
                             ? NAN
                             : afp_report_ratio (8 * (double) bytes, (double) weights));
  afp_report_set_number (object, "nmse", afp_json_get_number (metrics, "nmse"));
  afp_report_set_number (object, "sqnr_db", afp_json_get_number (metrics, "sqnr_db"));
  return object;
}

static void
afp_report_add_tensors (AfpPipeline *self, JsonObject *report, AfpStage *stage)
{
  JsonArray *tensors = json_array_new ();
  AfpSink *sink = stage && stage->complete ? AFP_SINK (stage->element) : NULL;

  if (sink) {
    AfpReportEval eval = afp_report_find_eval (self, stage);
    g_autoptr (GHashTable) metrics = afp_report_index_tensors (eval.metrics);
    g_autoptr (GHashTable) recipes = afp_report_index_recipes (sink);

    for (gsize i = 0; i < afp_sink_get_n_records (sink); i++) {
      const AfpSinkRecord *record = afp_sink_get_record (sink, i);
      guint64 share = afp_report_take_share (g_hash_table_lookup (recipes, record->recipe));
      JsonObject *found = g_hash_table_lookup (metrics, afp_spec_get_name (record->spec));

      json_array_add_object_element (tensors, afp_report_make_tensor (record, share, found));
    }
  }
  json_object_set_array_member (report, "tensors", tensors);
}

/* --- stages and evals --- */

static JsonArray *
afp_report_get_claims (AfpPipeline *self, AfpStage *stage)
{
  g_autoptr (JsonNode) node =
      self->plan ? afp_plan_stage_to_json (self->plan, stage->element) : NULL;
  JsonObject *object = afp_json_get_object (node);

  return object ? json_array_ref (json_object_get_array_member (object, "claims"))
                : json_array_new ();
}

static void
afp_report_add_bytes (JsonObject *object, AfpStage *stage)
{
  if (AFP_IS_SOURCE (stage->element))
    json_object_set_null_member (object, "bytes_in");
  else
    afp_report_set_count (object, "bytes_in", stage->bytes_in);
  if (AFP_IS_SINK (stage->element))
    json_object_set_null_member (object, "bytes_out");
  else
    afp_report_set_count (object, "bytes_out", stage->bytes_out);
}

static void
afp_report_add_stages (AfpPipeline *self, JsonObject *report)
{
  JsonArray *stages = json_array_new ();

  for (guint i = 0; i < self->sorted->len; i++) {
    AfpStage *stage = g_ptr_array_index (self->sorted, i);
    JsonObject *object = json_object_new ();

    json_object_set_string_member (object, "name", afp_element_get_name (stage->element));
    afp_report_set_text (object, "element", afp_element_get_factory_name (stage->element));
    json_object_set_double_member (object, "seconds", (double) stage->usec / G_USEC_PER_SEC);
    afp_report_add_bytes (object, stage);
    afp_report_set_count (object, "planned_peak_bytes",
                          self->plan ? afp_plan_get_element_memory (self->plan, stage->element)
                                     : 0);
    json_object_set_array_member (object, "claims", afp_report_get_claims (self, stage));
    json_array_add_object_element (stages, object);
  }
  json_object_set_array_member (report, "stages", stages);
}

static void
afp_report_add_trace (AfpPipeline *self, JsonObject *report)
{
  JsonArray *trace = json_array_new ();

  for (guint i = 0; i < self->sorted->len; i++) {
    AfpStage *stage = g_ptr_array_index (self->sorted, i);
    JsonObject *object = json_object_new ();

    json_object_set_string_member (object, "name", afp_element_get_name (stage->element));
    afp_report_set_count (object, "calls", stage->calls);
    afp_report_add_bytes (object, stage);
    json_object_set_double_member (object, "seconds", (double) stage->usec / G_USEC_PER_SEC);
    json_object_set_double_member (object, "wait_seconds",
                                   (double) stage->wait_usec / G_USEC_PER_SEC);
    json_array_add_object_element (trace, object);
  }
  json_object_set_array_member (report, "trace", trace);
}

static void
afp_report_add_evals (AfpPipeline *self, JsonObject *report)
{
  JsonArray *evals = json_array_new ();

  for (guint i = 0; i < self->sorted->len; i++) {
    AfpStage *stage = g_ptr_array_index (self->sorted, i);
    AfpLink *link = afp_pipeline_get_link_to (self, stage);
    JsonObject *object;

    if (!stage->metrics)
      continue;
    object = json_object_new ();
    json_object_set_string_member (object, "name", afp_element_get_name (stage->element));
    afp_report_set_text (object, "after", link ? afp_element_get_name (link->from->element) : NULL);
    json_object_set_member (object, "metrics", json_node_copy (stage->metrics));
    json_array_add_object_element (evals, object);
  }
  json_object_set_array_member (report, "evals", evals);
}

/* --- the whole --- */

const char *
afp_error_nick (const GError *error)
{
  static const char *const nicks[] = {
    [AFP_ERROR_USAGE] = "usage",
    [AFP_ERROR_PROPERTY] = "property",
    [AFP_ERROR_NO_ELEMENT] = "no-element",
    [AFP_ERROR_PLUGIN] = "plugin",
    [AFP_ERROR_PLAN] = "plan",
    [AFP_ERROR_IO] = "io",
    [AFP_ERROR_FORMAT] = "format",
    [AFP_ERROR_CODEC] = "codec",
    [AFP_ERROR_METRIC] = "metric",
    [AFP_ERROR_MEMORY] = "memory",
    [AFP_ERROR_CANCELLED] = "cancelled",
  };

  if (error->domain == AFP_ERROR && (guint) error->code < G_N_ELEMENTS (nicks))
    return nicks[error->code];
  return afp_error_exit_code (error) == 130 ? "cancelled" : "io";
}

static void
afp_report_add_error (JsonObject *report, const GError *error)
{
  JsonObject *object;

  if (!error)
    return;
  object = json_object_new ();
  json_object_set_string_member (object, "kind", afp_error_nick (error));
  json_object_set_string_member (object, "message", error->message);
  json_object_set_object_member (report, "error", object);
}

static void
afp_report_add_versions (AfpPipeline *self, JsonObject *report)
{
  JsonObject *versions = json_object_new (), *plugins = json_object_new ();
  g_autofree char *glib =
      g_strdup_printf ("%u.%u.%u", glib_major_version, glib_minor_version, glib_micro_version);

  for (guint i = 0; i < self->sorted->len; i++) {
    AfpStage *stage = g_ptr_array_index (self->sorted, i);
    const char *name = afp_element_get_factory_name (stage->element);
    AfpElementFactory *factory =
        name ? afp_registry_find (afp_registry_get_default (), name) : NULL;
    AfpPlugin *plugin = factory ? afp_element_factory_get_plugin (factory) : NULL;

    if (plugin && afp_plugin_get_filename (plugin))
      json_object_set_string_member (plugins, afp_plugin_get_name (plugin),
                                     afp_plugin_get_version (plugin));
  }
  json_object_set_string_member (versions, "afpipe", AFP_VERSION);
  json_object_set_string_member (versions, "glib", glib);
  json_object_set_object_member (versions, "plugins", plugins);
  json_object_set_object_member (report, "versions", versions);
}

static void
afp_report_add_notes (AfpPipeline *self, JsonObject *report)
{
  JsonArray *notes = json_array_new ();

  for (guint i = 0; i < self->notes->len; i++)
    json_array_add_string_element (notes, g_ptr_array_index (self->notes, i));
  json_object_set_array_member (report, "notes", notes);
}

/* Where the main branch ends: the first sink of the text. */
static AfpStage *
afp_report_get_main_sink (AfpPipeline *self)
{
  for (guint i = 0; i < self->stages->len; i++) {
    AfpStage *stage = g_ptr_array_index (self->stages, i);

    if (AFP_IS_SINK (stage->element))
      return stage;
  }
  return NULL;
}

/* What the tensor that takes most takes beside the process, or who judges the model; 0 before there is a plan. */
static guint64
afp_report_get_planned_peak (AfpPipeline *self)
{
  AfpPlan *plan = self->plan;

  return plan ? plan->base + MAX (afp_plan_get_peak_memory (plan, NULL), plan->judge) : 0;
}

/**
 * afp_pipeline_get_report:
 * @self: a pipeline that has run, or failed
 * @error: (nullable): how the run ended
 *
 * Returns: (transfer full): the report, a JSON object; the schema is in docs/report.md
 */
JsonNode *
afp_pipeline_get_report (AfpPipeline *self, const GError *error)
{
  JsonObject *report = json_object_new ();
  JsonNode *node = json_node_new (JSON_NODE_OBJECT);
  g_autofree char *text = NULL;
  AfpStage *main_sink;

  g_return_val_if_fail (AFP_IS_PIPELINE (self), NULL);
  text = afp_pipeline_get_canonical_text (self, TRUE);
  main_sink = afp_report_get_main_sink (self);
  json_object_set_string_member (report, "pipeline", text);
  json_object_set_int_member (report, "exit", afp_error_exit_code (error));
  afp_report_add_error (report, error);
  if (main_sink && main_sink->complete) {
    JsonObject *total = json_object_new ();

    afp_report_add_output (self, total, main_sink);
    json_object_set_object_member (report, "total", total);
  } else {
    json_object_set_null_member (report, "total");
  }
  afp_report_add_outputs (self, report);
  afp_report_add_stages (self, report);
  afp_report_add_trace (self, report);
  afp_report_add_tensors (self, report, main_sink);
  afp_report_add_evals (self, report);
  afp_report_add_notes (self, report);
  afp_report_set_count (report, "tensors_resumed", self->n_resumed);
  afp_report_set_count (report, "executions", afp_memo_get_executions (self->memo));
  afp_report_set_count (report, "executions_cached", afp_memo_get_cached (self->memo));
  afp_report_set_count (report, "analyses", afp_memo_get_analyses (self->memo));
  afp_report_set_count (report, "analyses_cached", afp_memo_get_analyses_cached (self->memo));
  json_object_set_double_member (report, "seconds", self->seconds);
  json_object_set_int_member (report, "threads",
                              self->plan        ? self->plan->n_threads
                              : self->n_threads ? self->n_threads
                                                : g_get_num_processors ());
  afp_report_set_count (report, "peak_rss_bytes", afp_memory_get_peak_rss ());
  afp_report_set_count (report, "budget_bytes", afp_pipeline_get_budget (self));
  afp_report_set_count (report, "planned_peak_bytes", afp_report_get_planned_peak (self));
  afp_report_set_count (report, "charged_peak_bytes", self->charged_peak);
  afp_report_add_versions (self, report);
  json_node_take_object (node, report);
  return node;
}
