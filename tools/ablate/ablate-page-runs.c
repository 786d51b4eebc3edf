/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ablate-page.h"

#include <math.h>

/* All runs as a table, with the command of each; those that failed, and why. */

/* Columns of numbers: those of ablate_axis_get() that a run has. */
static GPtrArray *
list_columns (const AblateRuns *runs)
{
  GPtrArray *columns = g_ptr_array_new ();
  const AblateAxis *axis;

  for (guint i = 0; (axis = ablate_axis_get (i)) != NULL; i++)
    if (ablate_runs_have (runs, axis->key))
      g_ptr_array_add (columns, (gpointer) axis);
  return columns;
}

/* A value of choices: text, number or truth. */
static void
put_choice (GString *text, const char *name, JsonNode *node)
{
  if (!JSON_NODE_HOLDS_VALUE (node))
    return;
  g_string_append_printf (text, "%s%s=", text->len ? " " : "", name);
  const GType type = json_node_get_value_type (node);
  if (type == G_TYPE_STRING)
    g_string_append (text, json_node_get_string (node));
  else if (type == G_TYPE_BOOLEAN)
    g_string_append (text, json_node_get_boolean (node) ? "true" : "false");
  else
    ablate_put_number (text, json_node_get_double (node), 12);
}

static void
put_choices (GString *out, JsonObject *record)
{
  JsonObject *choices = ablate_json_object (record, "choices");
  g_autoptr (GString) text = g_string_new (NULL);
  JsonObjectIter iter;
  const char *name;
  JsonNode *node;

  if (choices) {
    json_object_iter_init_ordered (&iter, choices);
    while (json_object_iter_next_ordered (&iter, &name, &node))
      put_choice (text, name, node);
  }
  ablate_page_cell (out, text->str);
}

static void
put_command (GString *out, JsonObject *record)
{
  const char *command = ablate_json_text (record, "command");

  if (!command) {
    g_string_append (out, "<td></td>");
    return;
  }
  g_string_append (out, "<td class=\"t\"><code class=\"command\" tabindex=\"0\">");
  ablate_put_text (out, command);
  g_string_append (out,
                   "</code><button type=\"button\" class=\"copy tool\" aria-live=\"polite\">Copy"
                   "</button></td>");
}

static void
put_chain (GString *out, const AblateRun *run)
{
  ablate_page_cell (out, *run->chain ? run->chain : "the model as it is");
}

/* For which numbers it is on the front, by rate. */
static void
put_pareto (GString *out, JsonObject *record)
{
  JsonObject *pareto = ablate_json_object (record, "pareto");
  g_autoptr (GString) text = g_string_new (NULL);
  JsonObjectIter iter;
  const char *name;
  JsonNode *node;

  if (pareto) {
    json_object_iter_init_ordered (&iter, pareto);
    while (json_object_iter_next_ordered (&iter, &name, &node))
      if (JSON_NODE_HOLDS_VALUE (node) && json_node_get_value_type (node) == G_TYPE_BOOLEAN &&
          json_node_get_boolean (node))
        g_string_append_printf (text, "%s%s", text->len ? ", " : "", name);
  }
  ablate_page_cell (out, text->str);
}

static void
put_run (GString *out, const AblateRun *run, const GPtrArray *columns)
{
  g_string_append_printf (out, "<tr id=\"run-%" G_GINT64_FORMAT "\">", run->number);
  ablate_page_number (out, (double) run->number, 12);
  put_chain (out, run);
  put_choices (out, run->record);
  for (guint c = 0; c < columns->len; c++) {
    const AblateAxis *axis = columns->pdata[c];
    ablate_page_number (out, ablate_run_number (run, axis->key), axis->digits);
  }
  put_pareto (out, run->record);
  put_command (out, run->record);
  g_string_append (out, "</tr>\n");
}

void
ablate_page_put_runs (GString *out, const AblateRuns *runs)
{
  g_autoptr (GPtrArray) columns = list_columns (runs);

  if (runs->n_failed == runs->runs->len)
    return;
  ablate_page_open (out, "runs", "Runs");
  g_string_append (out, "<p class=\"tool\"><label>Only those with <input type=\"search\" "
                        "data-for=\"all-runs\" /></label></p>\n");
  ablate_page_open_table (out, "A head sorts; the best of a rate are on a Pareto front", NULL);
  ablate_page_head (out, "run");
  ablate_page_head (out, " chain");
  ablate_page_head (out, " choices");
  for (guint c = 0; c < columns->len; c++)
    ablate_page_head (out, ((const AblateAxis *) columns->pdata[c])->label);
  ablate_page_head (out, " front of");
  ablate_page_head (out, " command");
  ablate_page_open_rows (out, "all-runs");
  for (guint i = 0; i < runs->runs->len; i++)
    if (!ablate_runs_get (runs, i)->failed)
      put_run (out, ablate_runs_get (runs, i), columns);
  ablate_page_close_table (out);
  ablate_page_close (out);
}

void
ablate_page_put_failed (GString *out, const AblateRuns *runs)
{
  if (runs->n_failed == 0)
    return;
  ablate_page_open (out, "failed", "Runs that failed");
  ablate_page_open_table (out, "What they said", "run", " chain", " kind", " error", " command",
                          NULL);
  ablate_page_open_rows (out, NULL);
  for (guint i = 0; i < runs->runs->len; i++) {
    const AblateRun *run = ablate_runs_get (runs, i);
    JsonObject *error = ablate_json_object (run->record, "error");
    if (!run->failed)
      continue;
    g_string_append_printf (out, "<tr id=\"run-%" G_GINT64_FORMAT "\">", run->number);
    ablate_page_number (out, (double) run->number, 12);
    put_chain (out, run);
    ablate_page_cell (out, error ? ablate_json_text (error, "kind") : NULL);
    ablate_page_cell (out, error ? ablate_json_text (error, "message") : NULL);
    put_command (out, run->record);
    g_string_append (out, "</tr>\n");
  }
  ablate_page_close_table (out);
  ablate_page_close (out);
}
