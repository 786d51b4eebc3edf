/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-run-private.h"

#include "afp-error.h"
#include "afp-plan-private.h"

/* How far threads run ahead of each other, mapped arrays counted; what it costs is charged to the budget. */
#define AFP_RUN_QUEUE_SHARE 8                                /* of the budget, each */
#define AFP_RUN_QUEUE_BYTES (G_GUINT64_CONSTANT (128) << 20) /* at most */
#define AFP_RUN_MAX_ERRORS 20

AfpPool *
afp_run_get_pool (AfpRun *run)
{
  return run->pool;
}

GCancellable *
afp_run_get_cancellable (AfpRun *run)
{
  return run->pipeline->cancellable;
}

AfpPipeline *
afp_run_get_pipeline (AfpRun *run)
{
  return run->pipeline;
}

AfpPlan *
afp_run_get_plan (AfpRun *run)
{
  return run->plan;
}

/* Of the tensor that the stages have, or NULL. */
AfpTicket *
afp_run_get_ticket (AfpRun *run)
{
  return run->ticket;
}

/**
 * afp_run_keep_memory:
 * @run: a run
 * @bytes: what an element will keep until the run ends
 *
 * Charges them to the memory budget.
 *
 * Returns: %FALSE, and nothing is charged, if too little would be left for the tensors that are still to come: then they are to be kept
 *   elsewhere (in a file)
 */
gboolean
afp_run_keep_memory (AfpRun *run, guint64 bytes)
{
  const guint64 least = MAX (afp_plan_get_peak_memory (run->plan, NULL), run->plan->judge);

  return afp_budget_keep (run->budget, bytes, least);
}

/**
 * afp_run_get_room:
 * @run: a run
 *
 * Returns: bytes that the memory budget has for all tensors together, or for an element that judges when they have passed
 */
guint64
afp_run_get_room (AfpRun *run)
{
  return afp_budget_get_room (run->budget);
}

/**
 * afp_run_borrow_memory:
 * @run: a run
 * @bytes: at most afp_run_get_room()
 * @error: %AFP_ERROR_CANCELLED
 *
 * For an element that judges: waits until the sinks have done so much of what they were handed that @bytes are free, and charges them
 * until afp_run_return_memory(). Once at a time.
 */
gboolean
afp_run_borrow_memory (AfpRun *run, guint64 bytes, GError **error)
{
  g_return_val_if_fail (!run->borrowed, FALSE);
  run->borrowed = afp_budget_take (run->budget, 0, bytes, error);
  return run->borrowed != NULL;
}

void
afp_run_return_memory (AfpRun *run)
{
  g_clear_pointer (&run->borrowed, afp_ticket_unref);
}

/**
 * afp_run_post:
 * @run: a run
 * @message: (transfer full): for the pipeline's handler
 */
void
afp_run_post (AfpRun *run, AfpMessage *message)
{
  afp_pipeline_post (run->pipeline, message);
}

/* --- errors --- */

/* Wakes every thread of the run; each finds that it shall end. The lock is held. */
static void
afp_run_stop (AfpRun *run)
{
  run->stopping = TRUE;
  g_cancellable_cancel (run->pipeline->cancellable);
  afp_budget_abort (run->budget);
  if (run->load_queue)
    afp_queue_abort (run->load_queue);
  for (guint i = 0; i < run->writers->len; i++) {
    AfpRunWriter *writer = g_ptr_array_index (run->writers, i);

    afp_queue_abort (writer->link->queue);
  }
}

static gboolean
afp_error_is_cancelled (const GError *error)
{
  return afp_error_exit_code (error) == 130;
}

/*
 * The first error is the cause; that other threads were stopped because of it is none. @error: (transfer full).
 * A metric that was not met stops nothing: what is on its way still reaches the sinks, for the report.
 */
void
afp_run_fail (AfpRun *run, GError *error)
{
  g_mutex_lock (&run->lock);
  if (run->errors->len > 0 && (afp_error_is_cancelled (error) ||
                               afp_error_is_cancelled (g_ptr_array_index (run->errors, 0)))) {
    g_error_free (error);
  } else {
    gboolean soft = g_error_matches (error, AFP_ERROR, AFP_ERROR_METRIC);

    g_ptr_array_add (run->errors, error);
    if (!soft && !run->stopping)
      afp_run_stop (run);
  }
  g_mutex_unlock (&run->lock);
}

gboolean
afp_run_has_failed (AfpRun *run)
{
  gboolean failed;

  g_mutex_lock (&run->lock);
  failed = run->errors->len > 0;
  g_mutex_unlock (&run->lock);
  return failed;
}

gboolean
afp_run_is_stopping (AfpRun *run)
{
  gboolean stopping;

  g_mutex_lock (&run->lock);
  stopping = run->stopping || run->winding_down;
  g_mutex_unlock (&run->lock);
  return stopping;
}

void
afp_run_cancel (AfpRun *run)
{
  afp_run_fail (run, g_error_new_literal (AFP_ERROR, AFP_ERROR_CANCELLED, "cancelled"));
}

/* --- interrupts --- */

static gboolean
afp_run_has_keeper (AfpRun *run)
{
  for (guint i = 0; i < run->writers->len; i++) {
    AfpRunWriter *writer = g_ptr_array_index (run->writers, i);

    if (afp_sink_get_keeps (AFP_SINK (writer->link->to->element)))
      return TRUE;
  }
  return FALSE;
}

/* Where a sink keeps what it gets, the tensors that are at work go on to the sinks: TRUE. */
gboolean
afp_run_interrupt (AfpRun *run)
{
  gboolean soft;

  g_mutex_lock (&run->lock);
  soft = run->load_queue && !run->stopping && afp_run_has_keeper (run);
  if (soft) {
    run->winding_down = TRUE;
    afp_queue_abort (run->load_queue);
    if (run->errors->len == 0)
      g_ptr_array_add (run->errors,
                       g_error_new_literal (AFP_ERROR, AFP_ERROR_CANCELLED, "cancelled"));
  }
  g_mutex_unlock (&run->lock);
  if (!soft)
    afp_run_cancel (run);
  return soft;
}

/* --- start, publish, stop --- */

static gboolean
afp_run_start_elements (AfpRun *run, GError **error)
{
  GPtrArray *stages = run->pipeline->sorted;

  for (guint i = 0; i < stages->len; i++) {
    AfpStage *stage = g_ptr_array_index (stages, i);
    AfpElementClass *klass = AFP_ELEMENT_GET_CLASS (stage->element);
    AfpCrashNote note;

    afp_element_set_run (stage->element, run);
    afp_crash_enter_stage (&note, stage->element, NULL);
    gboolean ok = !klass->start || klass->start (stage->element, run, error);
    afp_crash_leave (&note);
    if (!ok) {
      afp_stage_place_error (stage, NULL, error);
      afp_element_set_run (stage->element, NULL);
      return FALSE;
    }
    stage->started = TRUE;
  }
  return TRUE;
}

/* What needs the whole model, before the first tensor. */
static gboolean
afp_run_prepare (AfpRun *run, GError **error)
{
  GPtrArray *stages = run->pipeline->sorted;

  for (guint i = 0; i < stages->len; i++) {
    AfpStage *stage = g_ptr_array_index (stages, i);
    AfpElementClass *klass = AFP_ELEMENT_GET_CLASS (stage->element);
    AfpStageFrame frame;
    gboolean ok;

    if (!klass->prepare)
      continue;
    afp_run_stage_begin (&frame, stage, NULL);
    ok = klass->prepare (stage->element, run, error);
    afp_run_stage_end (&frame);
    if (!ok) {
      afp_stage_place_error (stage, NULL, error);
      return FALSE;
    }
  }
  return TRUE;
}

/* What looks at the whole model, after the last tensor. A metric that is not met does not keep the others from being found out. */
static void
afp_run_judge (AfpRun *run)
{
  GPtrArray *stages = run->pipeline->sorted;

  for (guint i = 0; i < stages->len && !afp_run_is_stopping (run); i++) {
    AfpStage *stage = g_ptr_array_index (stages, i);
    AfpElementClass *klass = AFP_ELEMENT_GET_CLASS (stage->element);
    AfpStageFrame frame;
    GError *error = NULL;

    if (!klass->judge)
      continue;
    afp_run_stage_begin (&frame, stage, NULL);
    if (!klass->judge (stage->element, run, &error))
      afp_stage_place_error (stage, NULL, &error);
    afp_run_return_memory (run);
    afp_run_stage_end (&frame);
    if (error)
      afp_run_fail (run, error);
  }
}

static void
afp_run_publish (AfpRun *run)
{
  GPtrArray *stages = run->pipeline->stages;
  GError *error = NULL;

  for (guint i = 0; i < stages->len && !error; i++) {
    AfpStage *stage = g_ptr_array_index (stages, i);

    AfpCrashNote note;

    if (!AFP_IS_SINK (stage->element))
      continue;
    afp_crash_enter_stage (&note, stage->element, NULL);
    stage->published = afp_sink_publish (AFP_SINK (stage->element), &error);
    afp_crash_leave (&note);
    if (error)
      afp_stage_place_error (stage, NULL, &error);
  }
  if (error)
    afp_run_fail (run, error);
}

static void
afp_run_stop_elements (AfpRun *run, gboolean ok)
{
  GPtrArray *stages = run->pipeline->sorted;

  for (guint i = 0; i < stages->len; i++) {
    AfpStage *stage = g_ptr_array_index (stages, i);
    AfpElementClass *klass = AFP_ELEMENT_GET_CLASS (stage->element);
    AfpCrashNote note;

    if (!stage->started)
      continue;
    afp_crash_enter_stage (&note, stage->element, NULL);
    stage->metrics = klass->get_metrics ? klass->get_metrics (stage->element) : NULL;
    stage->output = klass->get_output ? klass->get_output (stage->element) : NULL;
    if (klass->stop)
      klass->stop (stage->element, ok || stage->published);
    afp_crash_leave (&note);
    afp_element_set_run (stage->element, NULL);
  }
}

/* --- the run --- */

static gboolean
afp_run_leads_to (AfpPipeline *pipeline, AfpStage *from, AfpStage *to)
{
  for (guint i = 0; i < pipeline->links->len; i++) {
    AfpLink *link = g_ptr_array_index (pipeline->links, i);

    if (link->from == from && (link->to == to || afp_run_leads_to (pipeline, link->to, to)))
      return TRUE;
  }
  return FALSE;
}

/* Progress is counted where a source's tensors end first in the text, not once per branch. */
static void
afp_run_count_sinks (AfpRun *run)
{
  GPtrArray *stages = run->pipeline->stages;

  for (guint i = 0; i < stages->len; i++) {
    AfpStage *source = g_ptr_array_index (stages, i), *sink = NULL;

    for (guint j = 0; j < stages->len && !sink && AFP_IS_SOURCE (source->element); j++) {
      AfpStage *stage = g_ptr_array_index (stages, j);

      if (AFP_IS_SINK (stage->element) && afp_run_leads_to (run->pipeline, source, stage))
        sink = stage;
    }
    if (sink)
      sink->counted = TRUE;
  }
  for (guint i = 0; i < run->plan->outputs->len; i++) {
    AfpPlanOutput *output = g_ptr_array_index (run->plan->outputs, i);
    AfpStage *stage = afp_pipeline_find_stage (run->pipeline, output->element);

    if (!stage || !stage->counted)
      continue;
    run->tensors += output->tensors->len;
    for (guint t = 0; t < output->tensors->len; t++) {
      AfpSpec *spec = g_array_index (output->tensors, AfpPlanTensor, t).spec;
      run->bytes_total += afp_spec_get_n_bytes (spec);
      run->weights_total += afp_spec_get_n_elements (spec);
      afp_eta_expect (run->eta, afp_spec_get_n_elements (spec));
    }
  }
}

static AfpRun *
afp_run_new (AfpPipeline *pipeline, AfpPlan *plan)
{
  AfpRun *run = g_new0 (AfpRun, 1);
  const guint64 budget = afp_pipeline_get_budget (pipeline);

  run->pipeline = pipeline;
  run->plan = afp_plan_ref (plan);
  run->pool = afp_pool_new (plan->n_threads);
  run->budget = afp_budget_new (budget, plan->base);
  afp_pool_set_cancellable (run->pool, pipeline->cancellable);
  run->eta = afp_eta_new ();
  run->errors = g_ptr_array_new_with_free_func ((GDestroyNotify) g_error_free);
  run->writers = g_ptr_array_new_with_free_func (g_free);
  g_mutex_init (&run->lock);
  for (guint i = 0; i < pipeline->links->len; i++) {
    AfpLink *link = g_ptr_array_index (pipeline->links, i);
    AfpRunWriter *writer;

    if (!AFP_IS_SINK (link->to->element))
      continue;
    writer = g_new0 (AfpRunWriter, 1);
    writer->run = run;
    writer->link = link;
    g_ptr_array_add (run->writers, writer);
  }
  run->queue_bytes = MIN (budget / AFP_RUN_QUEUE_SHARE, AFP_RUN_QUEUE_BYTES);
  for (guint i = 0; i < run->writers->len; i++) {
    AfpRunWriter *writer = g_ptr_array_index (run->writers, i);

    writer->link->queue = afp_queue_new (run->queue_bytes);
  }
  afp_run_count_sinks (run);
  return run;
}

static void
afp_run_free (AfpRun *run)
{
  for (guint i = 0; i < run->writers->len; i++) {
    AfpRunWriter *writer = g_ptr_array_index (run->writers, i);

    g_clear_pointer (&writer->link->queue, afp_queue_free);
  }
  g_ptr_array_unref (run->writers);
  if (run->errors)
    g_ptr_array_unref (run->errors);
  afp_eta_free (run->eta);
  afp_pool_unref (run->pool);
  afp_budget_free (run->budget);
  afp_plan_unref (run->plan);
  g_mutex_clear (&run->lock);
  g_free (run);
}

/* From here on afp_pipeline_cancel() reaches the run; a call that came before does too. */
static void
afp_run_set_current (AfpPipeline *pipeline, AfpRun *run)
{
  g_mutex_lock (&pipeline->run_lock);
  pipeline->run = run;
  if (run && afp_pipeline_is_cancelled (pipeline))
    afp_run_cancel (run);
  g_mutex_unlock (&pipeline->run_lock);
}

static void
afp_run_work (AfpRun *run)
{
  GPtrArray *stages = run->pipeline->sorted;
  GError *error = NULL;

  if (!afp_run_start_elements (run, &error) || !afp_run_find_held (run, &error) ||
      !afp_run_prepare (run, &error) || !afp_run_start_writers (run, &error))
    afp_run_fail (run, error);
  for (guint i = 0; i < stages->len && !afp_run_is_stopping (run); i++) {
    AfpStage *stage = g_ptr_array_index (stages, i);

    if (AFP_IS_SOURCE (stage->element))
      afp_run_source (run, stage);
  }
  afp_run_judge (run);
  afp_run_join_writers (run);
  if (!afp_run_has_failed (run))
    afp_run_publish (run);
}

static GError *
afp_run_take_error (AfpRun *run)
{
  GPtrArray *errors;

  g_mutex_lock (&run->lock);
  errors = g_steal_pointer (&run->errors);
  run->errors = g_ptr_array_new_with_free_func ((GDestroyNotify) g_error_free);
  g_mutex_unlock (&run->lock);
  return afp_errors_join (errors, AFP_RUN_MAX_ERRORS);
}

/* How to go on stands at the end of what went wrong. */
static void
afp_run_add_advice (AfpRun *run, GError *error)
{
  for (guint i = 0; error && i < run->writers->len; i++) {
    AfpRunWriter *writer = g_ptr_array_index (run->writers, i);
    const char *advice = afp_sink_get_advice (AFP_SINK (writer->link->to->element));
    char *message = advice ? g_strconcat (error->message, "\nto go on: ", advice, NULL) : NULL;

    if (!message)
      continue;
    g_free (error->message);
    error->message = message;
  }
}

static void
afp_run_say_threads (AfpPipeline *self, AfpPlan *plan)
{
  const guint wanted = self->n_threads ? self->n_threads : g_get_num_processors ();
  g_autofree char *text =
      g_strdup_printf ("%u of %u threads: the memory budget has no room for what more of them need",
                       plan->n_threads, wanted);

  if (plan->n_threads < wanted)
    afp_pipeline_post (self, afp_message_new (AFP_MESSAGE_WARNING, NULL, text, NULL));
}

static GError *
afp_run_all (AfpPipeline *self, AfpPlan *plan)
{
  AfpRun *run = afp_run_new (self, plan);
  GError *error;

  afp_run_set_current (self, run);
  if (!afp_run_has_failed (run))
    afp_run_work (run);
  afp_run_set_current (self, NULL);
  self->charged_peak = afp_budget_get_peak (run->budget);
  error = afp_run_take_error (run);
  afp_run_stop_elements (run, error == NULL);
  afp_run_add_advice (run, error);
  afp_run_free (run);
  return error;
}

/**
 * afp_pipeline_run:
 * @self: a pipeline; it runs once
 * @error: the first thing that failed; what failed because of it follows as "also:" lines
 *
 * Plans if that was not done, runs to the end, publishes the outputs. On failure no output is published.
 */
gboolean
afp_pipeline_run (AfpPipeline *self, GError **error)
{
  gint64 begin = g_get_monotonic_time ();
  GError *local = NULL;
  AfpPlan *plan;

  g_return_val_if_fail (AFP_IS_PIPELINE (self), FALSE);
  if (self->used) {
    g_set_error_literal (error, AFP_ERROR, AFP_ERROR_USAGE,
                         "the pipeline has been run: make another one to run it again");
    return FALSE;
  }
  self->used = TRUE;
  plan = afp_pipeline_plan (self, &local);
  if (plan) {
    g_autofree char *text = afp_plan_to_string (plan);

    afp_pipeline_post (self,
                       afp_message_new (AFP_MESSAGE_PLAN, NULL, text, afp_plan_to_json (plan)));
    afp_run_say_threads (self, plan);
    local = afp_run_all (self, plan);
  }
  self->seconds = (double) (g_get_monotonic_time () - begin) / G_USEC_PER_SEC;
  self->finished = local == NULL;
  afp_pipeline_post (self, afp_message_new (local ? AFP_MESSAGE_ERROR : AFP_MESSAGE_EOS, NULL,
                                            local ? local->message : "done", NULL));
  if (!local)
    return TRUE;
  g_propagate_error (error, local);
  return FALSE;
}
