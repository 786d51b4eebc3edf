/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "eval-progress.h"

#include "afp-table.h"

#define PERIOD (G_USEC_PER_SEC / 2)

void
eval_progress_init (EvalProgress *progress, AfpRun *run, AfpElement *element)
{
  *progress = (EvalProgress){ run, afp_element_get_name (element), g_get_monotonic_time (), 0 };
}

void
eval_progress_tell (gpointer data, guint done, guint all)
{
  EvalProgress *progress = data;
  const gint64 now = g_get_monotonic_time ();

  if (done < all && now - progress->told < PERIOD)
    return;
  progress->told = now;
  const double seconds = (double) (now - progress->begin) / G_USEC_PER_SEC;
  JsonObject *object = json_object_new ();
  JsonNode *node = json_node_init_object (json_node_alloc (), object);
  g_autofree char *left = afp_format_seconds (seconds / done * (all - done));
  g_autofree char *text =
      g_strdup_printf ("runs the model, %.0f %%, %s left", 100.0 * done / all, left);

  json_object_unref (object);
  json_object_set_int_member (object, "steps_done", done);
  json_object_set_int_member (object, "steps", all);
  afp_run_post (progress->run, afp_message_new (AFP_MESSAGE_PROGRESS, progress->who, text, node));
}
