/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ablate-record.h"

#include "json-util.h"

#include <math.h>
#include <string.h>

/* --- copies out of a report --- */

static void
set_copy (JsonObject *to, const char *name, JsonNode *node)
{
  json_object_set_member (to, name, node ? json_node_copy (node) : json_node_new (JSON_NODE_NULL));
}

static void
copy_members (JsonObject *to, JsonObject *from, const char *const *names)
{
  for (; *names; names++)
    set_copy (to, *names, from ? json_object_get_member (from, *names) : NULL);
}

/* Each object of an array with some of its members only. */
static JsonArray *
copy_list (JsonObject *from, const char *list, const char *const *names)
{
  JsonArray *old = from ? afp_json_get_array (from, list) : NULL;
  JsonArray *array = json_array_new ();

  for (guint i = 0; old && i < json_array_get_length (old); i++) {
    JsonObject *entry = json_object_new ();
    copy_members (entry, json_array_get_object_element (old, i), names);
    json_array_add_object_element (array, entry);
  }
  return array;
}

/* Of the last element that measured: all but its lists, which are long. */
static JsonObject *
copy_metrics (JsonObject *report)
{
  JsonArray *evals = report ? afp_json_get_array (report, "evals") : NULL;
  const guint n = evals ? json_array_get_length (evals) : 0;
  JsonObject *from =
      n ? afp_json_get_object (json_array_get_object_element (evals, n - 1), "metrics") : NULL;
  g_autoptr (GList) names = from ? json_object_get_members (from) : NULL;
  JsonObject *metrics = json_object_new ();

  for (GList *l = names; l; l = l->next) {
    JsonNode *node = json_object_get_member (from, l->data);
    if (!JSON_NODE_HOLDS_ARRAY (node))
      json_object_set_member (metrics, l->data, json_node_copy (node));
  }
  return metrics;
}

static const char *const total_members[] = {
  "bytes",   "file_bytes",  "extras_bytes", "bits_per_weight", "file_bits_per_weight",
  "weights", "ratio_input", "ratio_fp16",   "ratio_fp32",      "nmse",
  "sqnr_db", NULL
};
static const char *const run_members[] = { "seconds",           "peak_rss_bytes", "executions",
                                           "executions_cached", "versions",       NULL };
static const char *const stage_members[] = { "name",     "element",   "seconds",
                                             "bytes_in", "bytes_out", "planned_peak_bytes",
                                             NULL };
static const char *const tensor_members[] = { "name", "shape", "bits_per_weight", "nmse", NULL };

static void
set_error (JsonObject *record, const AfpRunEnd *end)
{
  JsonObject *said = end->report ? afp_json_get_object (end->report, "error") : NULL;
  const char *kind = said ? afp_json_get_text (said, "kind", NULL) : end->kind;
  const char *message = said ? afp_json_get_text (said, "message", NULL) : end->message;
  JsonObject *error;

  json_object_set_string_member (record, "status", end->status ? "failed" : "ok");
  json_object_set_int_member (record, "exit", end->status);
  if (!end->status) {
    json_object_set_null_member (record, "error");
    return;
  }
  error = json_object_new ();
  json_object_set_string_member (error, "kind", kind ? kind : "crash");
  json_object_set_string_member (error, "message", message ? message : "nothing was said");
  json_object_set_object_member (record, "error", error);
}

JsonObject *
afp_record_new (const char *id, const char *fingerprint, const AfpRunEnd *end)
{
  JsonObject *record = json_object_new ();
  JsonObject *total = end->report ? afp_json_get_object (end->report, "total") : NULL;

  json_object_set_null_member (record,
                               "run"); /* its place in the object; afp_record_place() knows */
  json_object_set_string_member (record, "id", id);
  json_object_set_string_member (record, "fingerprint", fingerprint);
  set_error (record, end);
  copy_members (record, total, total_members);
  json_object_set_object_member (record, "metrics", copy_metrics (end->report));
  copy_members (record, end->report, run_members);
  json_object_set_array_member (record, "stages", copy_list (end->report, "stages", stage_members));
  json_object_set_array_member (record, "tensors",
                                copy_list (end->report, "tensors", tensor_members));
  return record;
}

/* --- its place in a study --- */

static const char *const marginal_members[] = { "bytes", "bits_per_weight", "nmse", "nll",
                                                "accuracy" };

/* What the last stage is worth: this run minus the one without it. */
static void
set_marginal (JsonObject *record, JsonObject *prefix)
{
  JsonObject *marginal;

  if (!prefix || !afp_record_is_ok (record) || !afp_record_is_ok (prefix)) {
    json_object_set_null_member (record, "marginal");
    return;
  }
  marginal = json_object_new ();
  for (guint i = 0; i < G_N_ELEMENTS (marginal_members); i++) {
    const char *name = marginal_members[i];
    const double value = afp_record_get (record, name) - afp_record_get (prefix, name);
    json_object_set_member (marginal, name, afp_json_number_or_null (value));
  }
  json_object_set_object_member (record, "marginal", marginal);
}

void
afp_record_place (JsonObject *record, const AfpStudy *study, guint number, const GPtrArray *records)
{
  const AfpStudyRun *run = study->runs->pdata[number];
  g_autofree char *quoted = g_shell_quote (run->pipeline);
  g_autofree char *command = g_strconcat ("afpipe-launch ", quoted, NULL);
  const char *broken = NULL;

  json_object_set_int_member (record, "run", number);
  json_object_set_string_member (record, "chain", run->chain);
  json_object_set_string_member (record, "codecs", run->codecs);
  json_object_set_object_member (record, "choices", json_object_ref (run->choices));
  json_object_set_int_member (record, "repeat", run->repeat);
  json_object_set_boolean_member (record, "added", run->added);
  json_object_set_string_member (record, "pipeline", run->pipeline);
  json_object_set_string_member (record, "command", command);
  if (run->prefix >= 0)
    json_object_set_int_member (record, "prefix", run->prefix);
  else
    json_object_set_null_member (record, "prefix");
  set_marginal (record, run->prefix >= 0 ? records->pdata[run->prefix] : NULL);
  if (afp_record_is_ok (record) && !afp_study_accepts (study, record, &broken))
    json_object_set_string_member (record, "excluded", broken);
  else
    json_object_set_null_member (record, "excluded");
}

/* --- what others ask --- */

gboolean
afp_record_is_ok (JsonObject *record)
{
  return strcmp (afp_json_get_text (record, "status", ""), "ok") == 0;
}

gboolean
afp_record_counts (JsonObject *record)
{
  return afp_record_is_ok (record) && !afp_json_get_text (record, "excluded", NULL);
}

const char *
afp_record_get_rival (JsonObject *record)
{
  JsonObject *choices = afp_json_get_object (record, "choices");

  return choices ? afp_json_get_text (choices, "rival", NULL) : NULL;
}

double
afp_record_get (JsonObject *record, const char *name)
{
  JsonObject *metrics = afp_json_get_object (record, "metrics");
  const double value = afp_json_get_number (record, name, NAN);

  return isnan (value) && metrics ? afp_json_get_number (metrics, name, NAN) : value;
}

/* "vptq.k" with "16" is shown by the chain "vptq k=16". */
static gboolean
is_in_chain (const char *chain, const char *name, const char *value)
{
  const char *dot = strrchr (name, '.');
  g_autofree char *shown = dot ? g_strdup_printf (" %s=%s", dot + 1, value) : NULL;

  return shown && strstr (chain, shown);
}

char *
afp_record_format_choices (JsonObject *record)
{
  JsonObject *choices = afp_json_get_object (record, "choices");
  const char *chain = afp_json_get_text (record, "chain", "");
  g_autoptr (GList) names = choices ? json_object_get_members (choices) : NULL;
  GString *text = g_string_new (NULL);

  for (GList *l = names; l; l = l->next) {
    const char *value = afp_json_get_text (choices, l->data, NULL);
    if (value && !is_in_chain (chain, l->data, value))
      g_string_append_printf (text, "%s%s=%s", text->len ? " " : "", (char *) l->data, value);
  }
  return g_string_free (text, FALSE);
}
