/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-run-private.h"

#include "afp-error.h"
#include "afp-plan-private.h"

/*
 * Tensors that sinks hold from an earlier run. A tensor turns off at the first link behind which every sink holds it: for a chain
 * without tee that is the one behind the source, and it is not even read. The stages behind that link get what they found out about it
 * when it passed, in the order of the stream.
 */

/* --- while the run goes on --- */

gboolean
afp_link_holds (AfpLink *self, const char *tensor)
{
  for (guint i = 0; self->sinks && i < self->sinks->len; i++)
    if (!afp_sink_holds (g_ptr_array_index (self->sinks, i), tensor))
      return FALSE;
  return self->sinks != NULL;
}

static AfpLink *
afp_link_get_next (AfpStage *stage, guint branch)
{
  AfpPad *pad = afp_element_get_pad (stage->element, AFP_PAD_SRC, branch);
  AfpPad *peer = pad ? afp_pad_get_peer (pad) : NULL;

  return peer ? AFP_LINK (afp_pad_get_element (peer)) : NULL;
}

/* A sink behind the link that gets what passes the stage as it is there, and can give it again; or NULL. */
static AfpSink *
find_keeper (AfpLink *self)
{
  AfpLink *next;

  for (guint i = 0; (next = afp_link_get_next (self->to, i)); i++) {
    AfpElement *element = next->to->element;
    AfpSink *keeper = NULL;

    if (AFP_IS_SINK (element))
      keeper = AFP_SINK_GET_CLASS (element)->read_held ? AFP_SINK (element) : NULL;
    else if (!next->to->plan_changed)
      keeper = find_keeper (next);
    if (keeper)
      return keeper;
  }
  return NULL;
}

static gboolean
wants_held (AfpLink *self)
{
  AfpElementClass *klass = AFP_ELEMENT_GET_CLASS (self->to->element);

  return klass->wants_held && klass->restore_tensor && klass->wants_held (self->to->element);
}

static gboolean
restore_tensor (AfpLink *self, const char *name, GError **error)
{
  AfpElement *element = self->to->element;

  if (!wants_held (self))
    return TRUE;
  AfpSink *keeper = find_keeper (self);
  g_autoptr (AfpTensor) tensor = AFP_SINK_GET_CLASS (keeper)->read_held (keeper, name, error);
  return tensor && AFP_ELEMENT_GET_CLASS (element)->restore_tensor (element, tensor, error);
}

gboolean
afp_link_take_over (AfpLink *self, AfpSpec *spec, GError **error)
{
  AfpStage *from = self->from, *to = self->to;
  AfpElementClass *klass = AFP_ELEMENT_GET_CLASS (to->element);
  const char *tensor = afp_spec_get_name (spec), *name = afp_element_get_name (to->element);
  JsonNode *found = afp_sink_get_found (g_ptr_array_index (self->sinks, 0), tensor, name);
  AfpLink *next;

  from->n_out += self->first;
  from->changed = from->changed || from->plan_changed;
  if (AFP_IS_SINK (to->element)) /* it counted what it holds when it started */
    return TRUE;
  to->n_in++;
  if ((found && klass->restore_found && !klass->restore_found (to->element, spec, found, error)) ||
      !restore_tensor (self, tensor, error)) {
    g_prefix_error (error, "%s: tensor '%s', as an earlier run left it: ", name, tensor);
    return FALSE;
  }
  for (guint i = 0; (next = afp_link_get_next (to, i)); i++)
    if (!afp_link_take_over (next, spec, error))
      return FALSE;
  return TRUE;
}

/* --- before --- */

/* All sinks behind the link. */
static void
afp_link_list_sinks (AfpLink *self, GPtrArray *sinks)
{
  AfpLink *next;

  if (AFP_IS_SINK (self->to->element))
    g_ptr_array_add (sinks, self->to->element);
  for (guint i = 0; (next = afp_link_get_next (self->to, i)); i++)
    afp_link_list_sinks (next, sinks);
}

/* What measures has to know what it measured then. */
static gboolean
afp_link_check_stage (AfpLink *self, GError **error)
{
  AfpElementClass *klass = AFP_ELEMENT_GET_CLASS (self->to->element);

  if (wants_held (self) && !find_keeper (self)) {
    g_set_error (
        error, AFP_ERROR, AFP_ERROR_PLAN,
        "%s: '%s' needs the tensors that an earlier run has done, but they are stored in "
        "another form than they had there: a stage behind it changes them; begin anew without "
        "resume=true, or let it stand last",
        afp_element_get_name (self->to->element), afp_element_get_factory_name (self->to->element));
    return FALSE;
  }
  if (!klass->get_metrics || (klass->save_found && klass->restore_found))
    return TRUE;
  g_set_error (error, AFP_ERROR, AFP_ERROR_PLAN,
               "%s: '%s' cannot go on with what it measured in an earlier run; begin anew without "
               "resume=true",
               afp_element_get_name (self->to->element),
               afp_element_get_factory_name (self->to->element));
  return FALSE;
}

static void
afp_run_count_held (AfpRun *run, AfpStage *stage)
{
  AfpSink *sink = AFP_SINK (stage->element);
  guint n = afp_sink_get_n_held (sink);

  stage->n_in = n;
  if (!stage->counted)
    return;
  run->done += n;
  for (guint i = 0; i < n; i++) {
    AfpSpec *spec = afp_sink_get_record (sink, i)->spec;
    run->bytes_held += afp_spec_get_n_bytes (spec);
    run->weights_held += afp_spec_get_n_elements (spec);
    afp_eta_forget (run->eta, afp_spec_get_n_elements (spec));
  }
  run->bytes_done = run->bytes_held;
  run->weights_done = run->weights_held;
}

static void
afp_run_post_held (AfpRun *run, AfpStage *stage)
{
  guint n = afp_sink_get_n_held (AFP_SINK (stage->element));
  g_autofree char *text = g_strdup_printf ("goes on with an earlier run: %u of %" G_GSIZE_FORMAT
                                           " tensors are done already",
                                           n, stage->planned_in);
  JsonNode *node = json_node_init_object (json_node_alloc (), NULL);

  json_node_take_object (node, json_object_new ());
  json_object_set_int_member (json_node_get_object (node), "tensors_resumed", n);
  afp_run_post (
      run, afp_message_new (AFP_MESSAGE_INFO, afp_element_get_name (stage->element), text, node));
}

gboolean
afp_run_find_held (AfpRun *run, GError **error)
{
  GPtrArray *links = run->pipeline->links;
  gboolean any = FALSE;

  for (guint i = 0; i < run->writers->len; i++) {
    AfpRunWriter *writer = g_ptr_array_index (run->writers, i);
    AfpStage *stage = writer->link->to;

    if (afp_sink_get_n_held (AFP_SINK (stage->element)) == 0)
      continue;
    any = TRUE;
    afp_run_count_held (run, stage);
    afp_run_post_held (run, stage);
  }
  for (guint i = 0; any && i < links->len; i++) {
    AfpLink *link = g_ptr_array_index (links, i);

    link->sinks = g_ptr_array_new ();
    afp_link_list_sinks (link, link->sinks);
    for (guint s = 0; link->sinks && s < link->sinks->len; s++)
      if (afp_sink_get_n_held (g_ptr_array_index (link->sinks, s)) == 0)
        g_clear_pointer (&link->sinks, g_ptr_array_unref); /* it holds none: all are delivered */
    if (link->sinks && !afp_link_check_stage (link, error))
      return FALSE;
  }
  return TRUE;
}
