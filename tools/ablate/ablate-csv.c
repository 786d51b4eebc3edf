/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ablate-table.h"

#include "json-util.h"

#include <math.h>
#include <string.h>

/*
 * Results as comma-separated values (RFC 4180, lines end with a newline): a row for each run, with a column for each choice.
 */

static const char *const before[] = { "run", "status", "chain", "repeat" };
static const char *const after[] = {
  "bytes",
  "file_bytes",
  "bits_per_weight",
  "file_bits_per_weight",
  "weights",
  "ratio_input",
  "ratio_fp16",
  "ratio_fp32",
  "nmse",
  "sqnr_db",
  "nll",
  "nll_loss",
  "nll_per_byte",
  "perplexity",
  "kl_mean",
  "top1",
  "accuracy",
  "accuracy_stderr",
  "accuracy_loss",
  "seconds",
  "peak_rss_bytes",
  "executions",
  "executions_cached",
};

static void
add_cell (GString *text, const char *value)
{
  if (text->len && text->str[text->len - 1] != '\n')
    g_string_append_c (text, ',');
  if (!strpbrk (value, ",\"\r\n")) {
    g_string_append (text, value);
    return;
  }
  g_string_append_c (text, '"');
  for (; *value; value++) {
    if (*value == '"')
      g_string_append_c (text, '"');
    g_string_append_c (text, *value);
  }
  g_string_append_c (text, '"');
}

static void
add_node (GString *text, JsonNode *node)
{
  g_autofree char *value = NULL;

  if (!node || !JSON_NODE_HOLDS_VALUE (node))
    value = g_strdup ("");
  else if (json_node_get_value_type (node) == G_TYPE_STRING)
    value = json_node_dup_string (node);
  else
    value = json_to_string (node, FALSE);
  add_cell (text, value);
}

static JsonNode *
find_number (JsonObject *record, const char *name)
{
  JsonObject *metrics = afp_json_get_object (record, "metrics");

  if (json_object_has_member (record, name))
    return json_object_get_member (record, name);
  return metrics ? json_object_get_member (metrics, name) : NULL;
}

static void
add_head (GString *text, const AfpStudy *study)
{
  for (guint i = 0; i < G_N_ELEMENTS (before); i++)
    add_cell (text, before[i]);
  for (guint i = 0; i < study->names->len; i++)
    if (strcmp (study->names->pdata[i], "repeat") != 0)
      add_cell (text, study->names->pdata[i]);
  for (guint i = 0; i < G_N_ELEMENTS (after); i++)
    add_cell (text, after[i]);
  g_string_append (text, ",stage_peak_bytes,pareto,error\n");
}

/* "seedlm0=123 vptq0=456" */
static void
add_stage_peaks (GString *text, JsonObject *record)
{
  JsonArray *stages = afp_json_get_array (record, "stages");
  g_autoptr (GString) peaks = g_string_new (NULL);

  for (guint i = 0; stages && i < json_array_get_length (stages); i++) {
    JsonObject *stage = json_array_get_object_element (stages, i);
    const double bytes = afp_json_get_number (stage, "planned_peak_bytes", NAN);
    if (!isnan (bytes))
      g_string_append_printf (peaks, "%s%s=%.0f", peaks->len ? " " : "",
                              afp_json_get_text (stage, "name", ""), bytes);
  }
  add_cell (text, peaks->str);
}

/* "nll nmse": the fronts that it is on */
static void
add_fronts (GString *text, JsonObject *record)
{
  JsonObject *pareto = afp_json_get_object (record, "pareto");
  g_autoptr (GList) names = pareto ? json_object_get_members (pareto) : NULL;
  g_autoptr (GString) fronts = g_string_new (NULL);

  for (GList *l = names; l; l = l->next)
    if (afp_json_get_flag (pareto, l->data, FALSE))
      g_string_append_printf (fronts, "%s%s", fronts->len ? " " : "", (char *) l->data);
  add_cell (text, fronts->str);
}

char *
afp_ablate_format_csv (const GPtrArray *records, const AfpStudy *study)
{
  GString *text = g_string_new (NULL);

  add_head (text, study);
  for (guint i = 0; i < records->len; i++) {
    JsonObject *record = records->pdata[i];
    JsonObject *choices = record ? afp_json_get_object (record, "choices") : NULL;
    JsonObject *error = record ? afp_json_get_object (record, "error") : NULL;
    if (!record)
      continue;
    for (guint k = 0; k < G_N_ELEMENTS (before); k++)
      add_node (text, json_object_get_member (record, before[k]));
    for (guint k = 0; k < study->names->len; k++)
      if (strcmp (study->names->pdata[k], "repeat") != 0)
        add_node (text, choices ? json_object_get_member (choices, study->names->pdata[k]) : NULL);
    for (guint k = 0; k < G_N_ELEMENTS (after); k++)
      add_node (text, find_number (record, after[k]));
    add_stage_peaks (text, record);
    add_fronts (text, record);
    add_cell (text, error ? afp_json_get_text (error, "message", "") : "");
    g_string_append_c (text, '\n');
  }
  return g_string_free (text, FALSE);
}
