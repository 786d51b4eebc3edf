/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ablate-estimate.h"

#include "afp-table.h"

/* What an estimate comes to: when the runs will have ended, and how that is told. */

void
afp_estimate_free (AfpEstimate *self)
{
  if (!self)
    return;
  g_free (self->runs);
  g_free (self->done);
  g_ptr_array_unref (self->gaps);
  g_free (self);
}

double
afp_estimate_schedule (const AfpStudy *study, const double *seconds, guint at_once)
{
  g_autofree double *ends = g_new0 (double, study->runs->len + 1);
  g_autofree double *slots = g_new0 (double, at_once);
  double last = 0;

  for (guint r = 0; r < study->runs->len; r++) {
    const AfpStudyRun *run = study->runs->pdata[r];
    guint slot = 0;
    if (seconds[r] <= 0)
      continue;
    for (guint i = 1; i < at_once; i++)
      slot = slots[i] < slots[slot] ? i : slot;
    const double begin = MAX (slots[slot], run->prefix >= 0 ? ends[run->prefix] : 0);
    ends[r] = slots[slot] = begin + seconds[r];
    last = MAX (last, ends[r]);
  }
  return last;
}

char *
afp_estimate_to_string (const AfpEstimate *self)
{
  GString *text = g_string_new ("time: ");
  g_autofree char *time = afp_format_seconds (self->seconds);

  if (self->n_done && self->seconds == 0) {
    g_string_append_printf (text, "all %u runs are done\n", self->n_done);
    return g_string_free (text, FALSE);
  }
  g_string_append_printf (text, "about %s", time);
  if (self->n_done)
    g_string_append_printf (text, " for what is left; %u runs are done", self->n_done);
  g_string_append_printf (text, " (found out in %.1f s, by trying pieces of the model in %u of %u ",
                          self->took, self->n_known, self->n_kinds);
  g_string_append (text, "kinds of runs)\n");
  for (guint i = 0; i < self->gaps->len; i++)
    g_string_append_printf (text, "  %s\n", (char *) self->gaps->pdata[i]);
  return g_string_free (text, FALSE);
}

JsonNode *
afp_estimate_to_json (const AfpEstimate *self)
{
  JsonObject *object = json_object_new ();
  JsonArray *gaps = json_array_new ();
  JsonNode *node = json_node_new (JSON_NODE_OBJECT);

  for (guint i = 0; i < self->gaps->len; i++)
    json_array_add_string_element (gaps, self->gaps->pdata[i]);
  json_object_set_int_member (object, "runs_done", self->n_done);
  json_object_set_int_member (object, "kinds", self->n_kinds);
  json_object_set_int_member (object, "kinds_known", self->n_known);
  json_object_set_double_member (object, "seconds_measuring", self->took);
  json_object_set_array_member (object, "gaps", gaps);
  json_node_take_object (node, object);
  return node;
}
