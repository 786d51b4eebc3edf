/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-plan-private.h"
#include "afp-watch.h"
#include "afp-pipeline-private.h"

#include <string.h>

G_DEFINE_FINAL_TYPE (AfpLink, afp_link, AFP_TYPE_ELEMENT)

/* --- own time --- */

static _Thread_local AfpStageFrame *afp_stage_top;
static _Thread_local gint64 afp_stage_since;

static void
afp_run_stage_charge (void)
{
  gint64 now = g_get_monotonic_time ();

  if (afp_stage_top && afp_stage_top->stage)
    afp_stage_top->stage->usec += now - afp_stage_since;
  afp_stage_since = now;
}

void
afp_run_stage_begin (AfpStageFrame *frame, AfpStage *stage, AfpTensor *tensor)
{
  afp_run_stage_charge ();
  afp_crash_enter_stage (&frame->note, stage ? stage->element : NULL,
                         tensor ? afp_spec_get_name (afp_tensor_get_spec (tensor)) : NULL);
  if (stage)
    stage->calls++;
  frame->stage = stage;
  frame->outer = afp_stage_top;
  afp_stage_top = frame;
}

void
afp_run_stage_end (AfpStageFrame *frame)
{
  afp_run_stage_charge ();
  afp_stage_top = frame->outer;
  afp_crash_leave (&frame->note);
}

void
afp_stage_add_wait (AfpStage *stage, gint64 since)
{
  stage->wait_usec += g_get_monotonic_time () - since;
}

/* --- errors --- */

static _Thread_local const GError *afp_stage_placed;

void
afp_stage_forget_error (void)
{
  afp_stage_placed = NULL;
}

static gboolean
afp_stage_is_word_char (char c)
{
  return g_ascii_isalnum (c) || c == '-' || c == '_';
}

/* Is @name in @text, and not only as a part of a longer word? */
static gboolean
afp_stage_is_named (const char *text, const char *name)
{
  gsize n = strlen (name);

  for (const char *p = strstr (text, name); p && n; p = strstr (p + 1, name))
    if ((p == text || !afp_stage_is_word_char (p[-1])) && !afp_stage_is_word_char (p[n]))
      return TRUE;
  return n == 0;
}

void
afp_stage_place_error (AfpStage *stage, AfpTensor *tensor, GError **error)
{
  const char *name = afp_element_get_name (stage->element);

  if (!error || !*error || *error == afp_stage_placed)
    return;
  if (tensor) {
    const char *tensor_name = afp_spec_get_name (afp_tensor_get_spec (tensor));

    if (!afp_stage_is_named ((*error)->message, tensor_name))
      g_prefix_error (error, "tensor '%s': ", tensor_name);
  }
  if (!afp_stage_is_named ((*error)->message, name))
    g_prefix_error (error, "%s: ", name);
  afp_stage_placed = *error;
}

/* --- the run --- */

/* What was made of an input that was cut off meanwhile is nothing to go on with, and what went wrong, went wrong because of it. */
static gboolean
afp_link_check_inputs (gboolean ok, GError **error)
{
  GError *cut = NULL;

  if ((ok && !afp_watch_has_fault ()) || afp_watch_check (&cut))
    return ok;
  g_clear_error (error);
  g_propagate_error (error, cut);
  return FALSE;
}

gboolean
afp_link_deliver (AfpLink *self, AfpTensor *tensor, GError **error)
{
  GError *local = NULL;
  AfpStageFrame frame;
  AfpSize size;
  gboolean ok;

  afp_tensor_get_size_once (tensor, self->seen_out, &size);
  self->to->n_in++;
  self->to->bytes_in += size.total;
  self->to->root = afp_tensor_get_root (tensor);
  afp_run_stage_begin (&frame, self->to, tensor);
  ok = afp_pad_push (self->src, tensor, &local);
  ok = afp_link_check_inputs (ok, &local);
  afp_run_stage_end (&frame);
  if (ok)
    return TRUE;
  afp_stage_place_error (self->to, tensor, &local);
  g_propagate_error (error, local);
  return FALSE;
}

gboolean
afp_link_deliver_finish (AfpLink *self, GError **error)
{
  GError *local = NULL;
  AfpStageFrame frame;
  gboolean ok;

  self->to->root = NULL;
  afp_run_stage_begin (&frame, self->to, NULL);
  ok = afp_pad_push_finish (self->src, &local);
  afp_run_stage_end (&frame);
  if (ok)
    return TRUE;
  afp_stage_place_error (self->to, NULL, &local);
  g_propagate_error (error, local);
  return FALSE;
}

static gboolean
afp_link_chain (AfpPad *pad, AfpTensor *tensor, GError **error)
{
  AfpLink *self = AFP_LINK (afp_pad_get_element (pad));
  AfpStage *from = self->from;
  AfpRun *run = afp_element_get_run (self->to->element);
  AfpStageFrame frame;
  AfpSize size;
  gboolean ok;

  if (afp_link_holds (self, afp_spec_get_name (afp_tensor_get_spec (tensor))))
    return afp_link_take_over (self, afp_tensor_get_spec (tensor), error);
  afp_run_stage_begin (&frame, NULL, NULL);
  afp_tensor_get_size_once (tensor, self->seen_in, &size);
  if (self->first) {
    from->n_out++;
    from->bytes_out += size.total;
  }
  if (!AFP_IS_SOURCE (from->element) && from->root != (gconstpointer) afp_tensor_get_root (tensor))
    from->changed = TRUE;
  const gint64 since = g_get_monotonic_time ();
  ok = self->queue ? afp_link_check_inputs (TRUE, error) &&
                         afp_queue_push (self->queue, tensor, afp_run_get_ticket (run), error)
                   : afp_link_deliver (self, tensor, error);
  if (self->queue && !AFP_IS_SOURCE (from->element)) /* a source waits in its own thread */
    afp_stage_add_wait (from, since);
  afp_run_stage_end (&frame);
  return ok;
}

/* Behind a queue the end of the stream is handed on when all stages before it are done: sinks write what those found out. */
static gboolean
afp_link_finish (AfpPad *pad, GError **error)
{
  AfpLink *self = AFP_LINK (afp_pad_get_element (pad));

  return self->queue ? TRUE : afp_link_deliver_finish (self, error);
}

/* --- the plan --- */

static gboolean
afp_link_plan (AfpPad *pad, AfpTensor *tensor, AfpPlan *plan, GError **error)
{
  AfpLink *self = AFP_LINK (afp_pad_get_element (pad));
  AfpElement *before = afp_plan_set_element (plan, self->to->element);
  AfpCrashNote note;
  GError *local = NULL;

  self->to->planned_in++;
  self->to->root = afp_tensor_get_root (tensor);
  if (!AFP_IS_SOURCE (self->from->element) && self->from->root != (gconstpointer) self->to->root)
    self->from->plan_changed = TRUE;
  afp_crash_enter_stage (&note, self->to->element,
                         afp_spec_get_name (afp_tensor_get_spec (tensor)));
  gboolean ok = afp_pad_push_plan (self->src, tensor, plan, &local);
  afp_plan_set_element (plan, before);
  afp_crash_leave (&note);
  if (ok)
    return TRUE;
  afp_stage_place_error (self->to, tensor, &local);
  g_propagate_error (error, local);
  return FALSE;
}

static AfpClaim *
afp_link_describe (AfpPad *pad, AfpSpec *spec, const char *path, const AfpPlaneDesc *desc)
{
  AfpLink *self = AFP_LINK (afp_pad_get_element (pad));

  return afp_pad_query_claim (self->src, spec, path, desc);
}

/* --- the object --- */

AfpLink *
afp_link_new (AfpStage *from, AfpPad *from_pad, AfpStage *to, AfpPad *to_pad, GError **error)
{
  g_autoptr (AfpLink) self = g_object_new (AFP_TYPE_LINK, NULL);

  /* Messages of pads shall speak of the elements on both sides. */
  afp_element_set_name (AFP_ELEMENT (self), afp_element_get_name (from->element));
  self->from = from;
  self->to = to;
  self->first = from_pad == afp_element_get_pad (from->element, AFP_PAD_SRC, 0);
  if (!afp_pad_link (from_pad, self->sink, error) || !afp_pad_link (self->src, to_pad, error))
    return NULL;
  return g_steal_pointer (&self);
}

static void
afp_link_finalize (GObject *object)
{
  AfpLink *self = AFP_LINK (object);

  g_clear_pointer (&self->queue, afp_queue_free);
  g_clear_pointer (&self->sinks, g_ptr_array_unref);
  g_hash_table_unref (self->seen_in);
  g_hash_table_unref (self->seen_out);
  G_OBJECT_CLASS (afp_link_parent_class)->finalize (object);
}

static void
afp_link_class_init (AfpLinkClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = afp_link_finalize;
  afp_element_class_set_details (AFP_ELEMENT_CLASS (klass), "What sits between two pads.", NULL);
}

static void
afp_link_init (AfpLink *self)
{
  AfpElement *element = AFP_ELEMENT (self);

  self->sink = afp_element_add_pad (element, "sink", AFP_PAD_SINK);
  self->src = afp_element_add_pad (element, "src", AFP_PAD_SRC);
  self->seen_in = g_hash_table_new (NULL, NULL);
  self->seen_out = g_hash_table_new (NULL, NULL);
  afp_pad_set_functions (self->sink, afp_link_chain, afp_link_plan, afp_link_finish,
                         afp_link_describe);
  afp_element_set_factory_name (element, "link");
}
