/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-pipeline-private.h"

#include "afp-plan-private.h"
#include "afp-table.h"

#include <string.h>

/* A pipeline as a graph in the language of Graphviz. */

/* What stands between double quotes; a newline becomes a new centred line. */
static void
append_escaped (GString *out, const char *text)
{
  for (; *text; text++)
    if (*text == '\n')
      g_string_append (out, "\\n");
    else if (*text == '"' || *text == '\\')
      g_string_append_printf (out, "\\%c", *text);
    else
      g_string_append_c (out, *text);
}

static void
append_quoted (GString *out, const char *before, const char *text)
{
  g_string_append (out, before);
  g_string_append_c (out, '"');
  append_escaped (out, text);
  g_string_append_c (out, '"');
}

/* Name, element, what was set, what the plan decided. */
static char *
describe_stage (AfpPipeline *self, AfpStage *stage)
{
  AfpElement *element = stage->element;
  const AfpPlanStage *planned = self->plan ? afp_plan_find_stage (self->plan, element) : NULL;
  GString *text = g_string_new (afp_element_get_name (element));
  gsize n;
  g_autofree const AfpProperty **rows =
      afp_element_class_list_properties (AFP_ELEMENT_GET_CLASS (element), &n);

  g_string_append_printf (text, "\n%s", afp_element_get_factory_name (element));
  for (gsize i = 0; i < n; i++) {
    g_autofree char *value = afp_element_get_property_text (element, rows[i]->name);
    if (value && afp_element_property_is_set (element, rows[i]->name))
      g_string_append_printf (text, "\n%s=%s", rows[i]->name, value);
  }
  for (guint i = 0; planned && i < planned->claims->len; i++) {
    const AfpPlanClaim *claim = g_ptr_array_index (planned->claims, i);
    g_autofree char *bytes = afp_format_bytes (claim->bytes);
    g_autofree char *fallback = afp_format_bytes (claim->fallback_bytes);
    g_string_append_printf (text, "\n%s %s in %" G_GUINT64_FORMAT,
                            claim->taken ? "takes" : "leaves", claim->path, claim->tensors);
    if (claim->taken)
      g_string_append_printf (text, ": %s%s, without it %s", claim->exact ? "" : "<= ", bytes,
                              fallback);
  }
  return g_string_free (text, FALSE);
}

/* What the next element accepts; tensors and bytes, where they are known. */
static char *
describe_link (AfpPipeline *self, AfpLink *link)
{
  const AfpCaps *caps = afp_pad_get_caps (afp_pad_get_peer (link->src));
  const AfpPlanStage *planned =
      self->plan ? afp_plan_find_stage (self->plan, link->to->element) : NULL;
  g_autofree char *accepted = caps ? afp_caps_to_string (caps) : g_strdup ("tensor");
  g_autofree char *bytes = planned ? afp_format_bytes (planned->bytes_in) : NULL;

  if (!planned || planned->tensors_in == 0)
    return g_steal_pointer (&accepted);
  return g_strdup_printf ("%s\n%" G_GUINT64_FORMAT " tensors\n%s%s", accepted, planned->tensors_in,
                          planned->exact_in ? "" : "<= ", bytes);
}

/* The pipeline puts queues behind sources and before sinks. */
static guint
count_queues (AfpLink *link)
{
  return (AFP_IS_SOURCE (link->from->element) ? 1u : 0u) +
         (AFP_IS_SINK (link->to->element) ? 1u : 0u);
}

/* "from" -> "queue 0.0", "queue 0.0" -> "to": the first edge says what passes, the ends name the pads. */
static void
append_link (AfpPipeline *self, GString *out, AfpLink *link, guint index)
{
  const guint n = count_queues (link);
  g_autofree char *text = describe_link (self, link);
  g_autofree char *at = g_strdup (afp_element_get_name (link->from->element));

  for (guint i = 0; i <= n; i++) {
    g_autofree char *next = i < n ? g_strdup_printf ("queue %u.%u", index, i)
                                  : g_strdup (afp_element_get_name (link->to->element));
    if (i < n) {
      append_quoted (out, "  ", next);
      g_string_append (out, " [label=\"queue\", shape=cds];\n");
    }
    append_quoted (out, "  ", at);
    append_quoted (out, " -> ", next);
    append_quoted (out, " [label=", i == 0 ? text : "");
    if (i == 0)
      append_quoted (out, ", taillabel=", afp_pad_get_name (afp_pad_get_peer (link->sink)));
    if (i == n)
      append_quoted (out, ", headlabel=", afp_pad_get_name (afp_pad_get_peer (link->src)));
    g_string_append (out, "];\n");
    g_free (g_steal_pointer (&at));
    at = g_steal_pointer (&next);
  }
}

/**
 * afp_pipeline_to_dot:
 * @self: a pipeline; once it is planned, claims and bytes are in the graph, too
 *
 * Returns: (transfer full): elements, pads, queues as a graph for Graphviz
 */
char *
afp_pipeline_to_dot (AfpPipeline *self)
{
  g_return_val_if_fail (AFP_IS_PIPELINE (self), NULL);
  GString *out = g_string_new ("digraph afpipe {\n  rankdir=LR;\n  node [shape=box];\n");

  for (guint i = 0; i < self->sorted->len; i++) {
    AfpStage *stage = g_ptr_array_index (self->sorted, i);
    g_autofree char *text = describe_stage (self, stage);

    append_quoted (out, "  ", afp_element_get_name (stage->element));
    append_quoted (out, " [label=", text);
    g_string_append (out, "];\n");
  }
  for (guint i = 0; i < self->links->len; i++)
    append_link (self, out, g_ptr_array_index (self->links, i), i);
  g_string_append (out, "}\n");
  return g_string_free (out, FALSE);
}
