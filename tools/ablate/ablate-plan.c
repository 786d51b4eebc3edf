/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ablate-plan.h"

#include "ablate-estimate.h"
#include "afp-pipeline-private.h"
#include "afp-table.h"
#include "afpipe.h"

#include <math.h>
#include <string.h>

/* Runs that the table for people lists; the JSON has all. */
#define MAX_ROWS 200

typedef struct {
  AfpStudyPlan *plan;
  const AfpStudy *study;
} Planning;

static void
run_plan_free (AfpRunPlan *run)
{
  g_clear_error (&run->error);
  g_array_unref (run->work);
  g_free (run);
}

void
afp_study_plan_free (AfpStudyPlan *plan)
{
  if (!plan)
    return;
  g_ptr_array_unref (plan->runs);
  g_string_chunk_free (plan->texts);
  g_free (plan);
}

/* --- one run ------------------------------------------------------------------------------------------------------- */

/* Of the main branch: the one that ends in the first sink of the text. */
static void
take_size (AfpRunPlan *run, AfpPlan *plan)
{
  g_autoptr (JsonNode) node = afp_plan_to_json (plan);
  JsonArray *outputs = json_object_get_array_member (json_node_get_object (node), "outputs");

  if (!outputs || json_array_get_length (outputs) == 0)
    return;
  JsonObject *output = json_array_get_object_element (outputs, 0);
  run->bytes = (guint64) json_object_get_int_member (output, "bytes");
  run->weights = (guint64) json_object_get_int_member (output, "weights");
  run->exact = json_object_get_boolean_member (output, "exact");
}

static double
bits_per_weight (const AfpRunPlan *run)
{
  return run->weights ? 8 * (double) run->bytes / (double) run->weights : 0;
}

/* Only an exact size can break a condition. */
static void
check_size (AfpRunPlan *run, const AfpStudy *study)
{
  g_autoptr (JsonObject) results = json_object_new ();

  if (!run->exact || run->weights == 0)
    return;
  json_object_set_int_member (results, "bytes", (gint64) run->bytes);
  json_object_set_int_member (results, "weights", (gint64) run->weights);
  json_object_set_double_member (results, "bits_per_weight", bits_per_weight (run));
  afp_study_accepts (study, results, &run->broken);
}

static void
take_work (AfpRunPlan *run, AfpPipeline *pipeline, GStringChunk *texts)
{
  g_autoptr (GPtrArray) list = afp_pipeline_list_work (pipeline);

  for (guint i = 0; i < list->len; i++) {
    const AfpWork *from = list->pdata[i];
    const AfpRunWork work = {
      g_string_chunk_insert_const (texts, from->key),
      g_string_chunk_insert_const (texts, afp_element_get_name (from->codec)),
      g_string_chunk_insert_const (texts, afp_element_get_factory_name (from->codec)),
      g_string_chunk_insert_const (texts, from->tensor),
      from->weights,
    };
    g_array_append_val (run->work, work);
  }
  run->executions = list->len;
  for (guint i = 0; i < afp_pipeline_get_elements (pipeline)->len; i++)
    run->packs = run->packs || AFP_IS_PACKER (afp_pipeline_get_elements (pipeline)->pdata[i]);
}

static AfpRunPlan *
plan_run (const Planning *self, const AfpStudyRun *run)
{
  AfpRunPlan *result = g_new0 (AfpRunPlan, 1);
  g_autoptr (AfpPipeline) pipeline = afp_pipeline_new_from_text (run->pipeline, &result->error);
  AfpPlan *plan = pipeline ? afp_pipeline_plan (pipeline, &result->error) : NULL;

  result->work = g_array_new (FALSE, FALSE, sizeof (AfpRunWork));
  if (!plan)
    return result;
  take_size (result, plan);
  check_size (result, self->study);
  take_work (result, pipeline, self->plan->texts);
  return result;
}

/* --- all runs ------------------------------------------------------------------------------------------------------ */

/* Prefixes come before their runs: from the last run to the first, all who may want one have been looked at. */
static void
find_wanted (const Planning *self)
{
  const GPtrArray *runs = self->plan->runs;

  for (guint i = runs->len; i-- > 0;) {
    AfpRunPlan *plan = runs->pdata[i];
    const AfpStudyRun *run = self->study->runs->pdata[i];
    plan->wanted = !plan->error && (plan->wanted || (!plan->broken && !run->added));
    if (plan->wanted && run->prefix >= 0)
      ((AfpRunPlan *) runs->pdata[run->prefix])->wanted = TRUE;
  }
}

static void
count_executions (const Planning *self)
{
  g_autoptr (GHashTable) seen = g_hash_table_new (NULL, NULL);
  AfpStudyPlan *plan = self->plan;

  for (guint i = 0; i < plan->runs->len; i++) {
    AfpRunPlan *run = plan->runs->pdata[i];
    if (!run->wanted)
      continue;
    for (guint k = 0; k < run->work->len; k++)
      run->n_new +=
          g_hash_table_add (seen, (gpointer) g_array_index (run->work, AfpRunWork, k).key);
    plan->n_wanted++;
    plan->executions += run->executions;
    plan->distinct += run->n_new;
  }
}

/* The first error, if no run that the text stands for can be planned. */
static const GError *
find_error (const AfpStudyPlan *plan, const AfpStudy *study)
{
  const GError *first = NULL;

  for (guint i = 0; i < plan->runs->len; i++) {
    const AfpRunPlan *run = plan->runs->pdata[i];
    if (((AfpStudyRun *) study->runs->pdata[i])->added)
      continue;
    if (!run->error)
      return NULL;
    first = first ? first : run->error;
  }
  return first;
}

AfpStudyPlan *
afp_study_plan (const AfpStudy *study, GError **error)
{
  g_autoptr (AfpStudyPlan) plan = g_new0 (AfpStudyPlan, 1);
  const Planning self = { plan, study };

  plan->texts = g_string_chunk_new (4096);
  plan->runs = g_ptr_array_new_with_free_func ((GDestroyNotify) run_plan_free);
  for (guint i = 0; i < study->runs->len; i++)
    g_ptr_array_add (plan->runs, plan_run (&self, study->runs->pdata[i]));
  const GError *failed = find_error (plan, study);
  if (failed) {
    g_propagate_prefixed_error (error, g_error_copy (failed),
                                "no run of the study can be planned; the first: ");
    return NULL;
  }
  find_wanted (&self);
  count_executions (&self);
  return g_steal_pointer (&plan);
}

/* --- text ---------------------------------------------------------------------------------------------------------- */

/* The chain, and those choices that do not stand in it: variables and the repeat. */
static char *
describe_run (const AfpStudyRun *run)
{
  g_autoptr (GList) names = json_object_get_members (run->choices);
  GString *text = g_string_new (*run->chain ? run->chain : "(the model as it is)");

  for (GList *i = names; i; i = i->next) {
    JsonNode *node = json_object_get_member (run->choices, i->data);
    if (strchr (i->data, '.'))
      continue;
    g_string_append_printf (text, "  %s=", (char *) i->data);
    if (json_node_get_value_type (node) == G_TYPE_STRING)
      g_string_append (text, json_node_get_string (node));
    else
      g_string_append_printf (text, "%" G_GINT64_FORMAT, json_node_get_int (node));
  }
  return g_string_free (text, FALSE);
}

static char *
describe_fate (const AfpRunPlan *plan, const AfpStudyRun *run)
{
  g_autofree char *reason = NULL;

  if (plan->error) {
    reason = g_strndup (plan->error->message, strcspn (plan->error->message, "\n"));
    return g_strconcat ("cannot be planned: ", reason, NULL);
  }
  if (!plan->wanted && plan->broken)
    return g_strdup_printf ("left out: %s", plan->broken);
  if (!plan->wanted)
    return g_strdup ("left out: no run needs it");
  return g_strdup (run->added || plan->broken ? "as a prefix" : "");
}

/* A number that may be an upper bound. */
static char *
bound (const AfpRunPlan *plan, char *number)
{
  char *text = g_strconcat (plan->exact ? "" : "<= ", number, NULL);

  g_free (number);
  return text;
}

static char *
describe_time (const AfpEstimate *estimate, const AfpRunPlan *plan, guint i)
{
  if (!estimate)
    return g_strdup ("");
  if (estimate->done[i] || !plan->wanted)
    return g_strdup (plan->wanted ? "done" : "-");
  return afp_format_seconds (estimate->runs[i]);
}

/* Takes @time. */
static void
add_row (AfpTable *table, guint i, const AfpRunPlan *plan, const AfpStudyRun *run, char *time)
{
  const gboolean known = plan->error == NULL;
  g_autofree char *name = describe_run (run), *fate = describe_fate (plan, run);

  afp_table_take (table, g_strdup_printf ("%u", i),
                  run->prefix >= 0 ? g_strdup_printf ("%d", run->prefix) : g_strdup ("-"),
                  known ? bound (plan, g_strdup_printf ("%.4f", bits_per_weight (plan)))
                        : g_strdup ("-"),
                  known ? bound (plan, afp_format_count (plan->bytes)) : g_strdup ("-"),
                  known ? g_strdup_printf ("%u", plan->executions) : g_strdup ("-"),
                  known ? g_strdup_printf ("%u", plan->n_new) : g_strdup ("-"), time,
                  g_strdup (name), g_strdup (fate), NULL);
}

static void
append_totals (GString *out, const AfpStudyPlan *plan, const AfpStudy *study,
               const AfpEstimate *estimate)
{
  guint n_added = 0, n_broken = 0, n_failed = 0;

  for (guint i = 0; i < plan->runs->len; i++) {
    const AfpRunPlan *run = plan->runs->pdata[i];
    const AfpStudyRun *of = study->runs->pdata[i];
    n_added += run->wanted && (of->added || run->broken);
    n_broken += !run->wanted && run->broken != NULL;
    n_failed += run->error != NULL;
  }
  g_string_append_printf (out, "\n%u runs, %u of them only as prefixes of others", plan->n_wanted,
                          n_added);
  if (n_broken + study->n_excluded > 0)
    g_string_append_printf (out, "; %u left out by conditions", n_broken + study->n_excluded);
  if (n_failed > 0)
    g_string_append_printf (out, "; %u cannot be planned", n_failed);
  g_autofree char *all = afp_format_count (plan->executions);
  g_autofree char *distinct = afp_format_count (plan->distinct);
  g_string_append_printf (out,
                          "\n%s stage executions (one stage codes one plane), %s of them distinct: "
                          "the cache has the others\n",
                          all, distinct);
  if (estimate) {
    g_autofree char *time = afp_estimate_to_string (estimate);
    g_string_append (out, time);
  }
}

char *
afp_study_plan_to_string (const AfpStudyPlan *plan, const AfpStudy *study,
                          const AfpEstimate *estimate)
{
  g_autoptr (AfpTable) table = afp_table_new ("rrrrrrrll");

  afp_table_add (table, "run", "prefix", "bits/weight", "bytes", "executions", "new",
                 estimate ? "time" : "", "chain", NULL);
  for (guint i = 0; i < plan->runs->len && i < MAX_ROWS; i++)
    add_row (table, i, plan->runs->pdata[i], study->runs->pdata[i],
             describe_time (estimate, plan->runs->pdata[i], i));
  if (plan->runs->len > MAX_ROWS)
    afp_table_add_line (table, "... and %u more: --json lists all", plan->runs->len - MAX_ROWS);
  g_autofree char *rows = afp_table_to_string (table);
  GString *out = g_string_new (rows);
  append_totals (out, plan, study, estimate);
  return g_string_free (out, FALSE);
}

/* --- JSON ---------------------------------------------------------------------------------------------------------- */

static void
add_text (JsonBuilder *builder, const char *name, const char *text)
{
  json_builder_set_member_name (builder, name);
  if (text)
    json_builder_add_string_value (builder, text);
  else
    json_builder_add_null_value (builder);
}

static void
add_number (JsonBuilder *builder, const char *name, gboolean known, guint64 number)
{
  json_builder_set_member_name (builder, name);
  if (known)
    json_builder_add_int_value (builder, (gint64) number);
  else
    json_builder_add_null_value (builder);
}

static void
add_flag (JsonBuilder *builder, const char *name, gboolean flag)
{
  json_builder_set_member_name (builder, name);
  json_builder_add_boolean_value (builder, flag);
}

static void
add_seconds (JsonBuilder *builder, double seconds)
{
  json_builder_set_member_name (builder, "seconds");
  json_builder_add_value (builder, afp_json_number_or_null (seconds));
}

static void
add_run (JsonBuilder *builder, guint i, const AfpRunPlan *plan, const AfpStudyRun *run,
         const AfpEstimate *estimate)
{
  const gboolean known = plan->error == NULL;
  JsonNode *choices = json_node_alloc ();

  json_builder_begin_object (builder);
  add_number (builder, "run", TRUE, i);
  add_text (builder, "chain", run->chain);
  json_builder_set_member_name (builder, "choices");
  json_builder_add_value (builder, json_node_init_object (choices, run->choices));
  add_number (builder, "repeat", TRUE, run->repeat);
  add_number (builder, "prefix", run->prefix >= 0, (guint64) MAX (run->prefix, 0));
  add_flag (builder, "added", run->added);
  add_flag (builder, "wanted", plan->wanted);
  add_text (builder, "excluded", plan->broken);
  add_text (builder, "error", plan->error ? plan->error->message : NULL);
  add_text (builder, "pipeline", run->pipeline);
  add_number (builder, "bytes", known, plan->bytes);
  add_flag (builder, "exact", known && plan->exact);
  add_number (builder, "weights", known, plan->weights);
  json_builder_set_member_name (builder, "bits_per_weight");
  if (known && plan->weights)
    json_builder_add_double_value (builder, bits_per_weight (plan));
  else
    json_builder_add_null_value (builder);
  add_number (builder, "executions", known, plan->executions);
  add_number (builder, "executions_new", known, plan->n_new);
  add_seconds (builder, estimate ? estimate->runs[i] : NAN);
  json_builder_end_object (builder);
}

JsonNode *
afp_study_plan_to_json (const AfpStudyPlan *plan, const AfpStudy *study,
                        const AfpEstimate *estimate)
{
  g_autoptr (JsonBuilder) builder = json_builder_new ();

  json_builder_begin_object (builder);
  add_text (builder, "study", study->text);
  add_number (builder, "runs_wanted", TRUE, plan->n_wanted);
  add_number (builder, "executions", TRUE, plan->executions);
  add_number (builder, "executions_distinct", TRUE, plan->distinct);
  add_seconds (builder, estimate ? estimate->seconds : NAN);
  json_builder_set_member_name (builder, "estimate");
  json_builder_add_value (builder, estimate ? afp_estimate_to_json (estimate)
                                            : json_node_new (JSON_NODE_NULL));
  json_builder_set_member_name (builder, "runs");
  json_builder_begin_array (builder);
  for (guint i = 0; i < plan->runs->len; i++)
    add_run (builder, i, plan->runs->pdata[i], study->runs->pdata[i], estimate);
  json_builder_end_array (builder);
  json_builder_end_object (builder);
  return json_builder_get_root (builder);
}
