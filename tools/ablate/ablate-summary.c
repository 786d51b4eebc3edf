/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ablate-summary.h"

#include "afp-table.h"
#include "json-util.h"

#include <math.h>

#define STUDY_VERSION 1

/* Over the runs that have it; null if none has. */
static void
set_sum (JsonObject *object, const GPtrArray *records, const char *name)
{
  double sum = NAN;

  for (guint i = 0; i < records->len; i++) {
    const double value = records->pdata[i] ? afp_record_get (records->pdata[i], name) : NAN;
    if (!isnan (value))
      sum = isnan (sum) ? value : sum + value;
  }
  if (isnan (sum))
    json_object_set_null_member (object, name);
  else if (sum == floor (sum) && fabs (sum) < 0x1p53)
    json_object_set_int_member (object, name, (gint64) sum);
  else
    json_object_set_double_member (object, name, sum);
}

static void
set_counts (JsonObject *object, const AfpResults *results)
{
  guint ok = 0, failed = 0, added = 0;

  for (guint i = 0; i < results->records->len; i++) {
    const AfpStudyRun *run = results->study->runs->pdata[i];
    JsonObject *record = results->records->pdata[i];
    added += run->added;
    ok += record && afp_record_is_ok (record);
    failed += record && !afp_record_is_ok (record);
  }
  json_object_set_int_member (object, "runs", results->records->len);
  json_object_set_int_member (object, "runs_added", added);
  json_object_set_int_member (object, "runs_ok", ok);
  json_object_set_int_member (object, "runs_failed", failed);
  json_object_set_int_member (object, "runs_excluded", results->study->n_excluded);
  json_object_set_int_member (object, "repeats", MAX (1, results->study->n_repeats));
}

/* Of the first run that has them: they are the same for all but for plugins that do not take part. */
static JsonNode *
copy_first (const GPtrArray *records, const char *name)
{
  for (guint i = 0; i < records->len; i++) {
    JsonNode *node = records->pdata[i] ? json_object_get_member (records->pdata[i], name) : NULL;
    if (node && !JSON_NODE_HOLDS_NULL (node))
      return json_node_copy (node);
  }
  return json_node_new (JSON_NODE_NULL);
}

JsonNode *
afp_ablate_summarize (const AfpResults *results, JsonObject *verdict)
{
  static const char *const members[] = { "metric", "verdict", "summary", "baselines" };
  JsonObject *object = json_object_new ();
  JsonArray *names = json_array_new ();

  for (guint i = 0; i < results->study->names->len; i++)
    json_array_add_string_element (names, results->study->names->pdata[i]);
  json_object_set_int_member (object, "afpipe_study", STUDY_VERSION);
  json_object_set_string_member (object, "study", results->study->text);
  json_object_set_array_member (object, "names", names);
  set_counts (object, results);
  set_sum (object, results->records, "executions");
  set_sum (object, results->records, "executions_cached");
  set_sum (object, results->records, "seconds");
  json_object_set_member (object, "versions", copy_first (results->records, "versions"));
  json_object_set_boolean_member (object, "finished", verdict != NULL);
  for (guint i = 0; i < G_N_ELEMENTS (members); i++) {
    JsonNode *node = verdict ? json_object_get_member (verdict, members[i]) : NULL;
    json_object_set_member (object, members[i],
                            node ? json_node_copy (node) : json_node_new (JSON_NODE_NULL));
  }
  JsonNode *node = json_node_new (JSON_NODE_OBJECT);
  json_node_take_object (node, object);
  return node;
}

char *
afp_ablate_summary_to_text (JsonNode *summary)
{
  JsonObject *object = json_node_get_object (summary);
  const double executions = afp_json_get_number (object, "executions", NAN);
  const double cached = afp_json_get_number (object, "executions_cached", NAN);
  g_autofree char *time = afp_format_seconds (afp_json_get_number (object, "seconds", 0));
  GString *text = g_string_new (NULL);

  g_string_append_printf (text, "%.0f runs",
                          afp_json_get_number (object, "runs_ok", 0) +
                              afp_json_get_number (object, "runs_failed", 0));
  if (afp_json_get_number (object, "runs_failed", 0) > 0)
    g_string_append_printf (text, ", %.0f of them failed",
                            afp_json_get_number (object, "runs_failed", 0));
  if (!isnan (executions)) {
    g_autofree char *all = afp_format_count ((guint64) executions);
    g_string_append_printf (text, ": %s executions of stages", all);
  }
  if (!isnan (cached)) {
    g_autofree char *some = afp_format_count ((guint64) cached);
    g_string_append_printf (text, ", %s of them from the cache", some);
  }
  g_string_append_printf (text, "; the runs took %s\n", time);
  return g_string_free (text, FALSE);
}

int
afp_ablate_get_status (const GPtrArray *records)
{
  for (guint i = 0; i < records->len; i++)
    if (records->pdata[i] && !afp_record_is_ok (records->pdata[i]))
      return (int) json_object_get_int_member (records->pdata[i], "exit");
  return 0;
}
