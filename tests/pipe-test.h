/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* For tests of pipelines: small elements that count what they see and fail when told to. */
#pragma once

#include "core-test.h"

/* --- tsource: tensors "t0", "t1", ... of f32, 2 axes --- */

typedef struct {
  AfpSource parent_instance;
  guint n, fail_plan, fail_read; /* 1 + index of the tensor that fails */
  gboolean same_name, fail_open, notes;
  guint rows;
} PipeSource;
typedef AfpSourceClass PipeSourceClass;
GType pipe_source_get_type (void);
G_DEFINE_TYPE (PipeSource, pipe_source, AFP_TYPE_SOURCE)

static const AfpProperty pipe_source_properties[] = {
  AFP_PROP_UINT ("n", NULL, AFP_PROPERTY_REQUIRED, PipeSource, n, 0, 100000, NULL, "tensors",
                 "Tensors"),
  AFP_PROP_UINT ("rows", "R", 0, PipeSource, rows, 1, 100000, "4", NULL, "Rows"),
  AFP_PROP_UINT ("fail-plan", NULL, 0, PipeSource, fail_plan, 0, 100000, "0", NULL,
                 "Fails to plan"),
  AFP_PROP_UINT ("fail-read", NULL, 0, PipeSource, fail_read, 0, 100000, "0", NULL,
                 "Fails to read"),
  AFP_PROP_BOOL ("same-name", NULL, 0, PipeSource, same_name, "false", "All tensors have one name"),
  AFP_PROP_BOOL ("fail-open", NULL, 0, PipeSource, fail_open, "false", "Fails to open"),
  AFP_PROP_BOOL ("notes", NULL, 0, PipeSource, notes, "false", "Has something to say"),
};

static gboolean
pipe_source_open (AfpSource *source, GError **error)
{
  if (((PipeSource *) source)->fail_open)
    g_set_error_literal (error, AFP_ERROR, AFP_ERROR_IO, "no such thing as 'thing'");
  return !((PipeSource *) source)->fail_open;
}

static gsize
pipe_source_get_n_tensors (AfpSource *source)
{
  return ((PipeSource *) source)->n;
}

static AfpTensor *
pipe_source_make (AfpSource *source, gsize index, gboolean data, guint fail, GError **error)
{
  PipeSource *self = (PipeSource *) source;
  g_autofree char *name = g_strdup_printf ("t%u", self->same_name ? 0 : (guint) index);
  const guint64 shape[] = { self->rows, 4 };

  if (fail == index + 1) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT, "tensor '%s' is damaged", name);
    return NULL;
  }
  return make_tensor (name, AFP_DTYPE_F32, 2, shape, data);
}

static AfpTensor *
pipe_source_plan_tensor (AfpSource *source, gsize index, GError **error)
{
  return pipe_source_make (source, index, FALSE, ((PipeSource *) source)->fail_plan, error);
}

static AfpTensor *
pipe_source_read_tensor (AfpSource *source, gsize index, GError **error)
{
  return pipe_source_make (source, index, TRUE, ((PipeSource *) source)->fail_read, error);
}

static JsonNode *
pipe_source_get_info (AfpSource *source)
{
  return json_from_string (
      ((PipeSource *) source)->notes ? "{\"notes\": [\"left out 2 optimizer tensors\", 7]}" : "{}",
      NULL);
}

static void
pipe_source_class_init (PipeSourceClass *klass)
{
  klass->open = pipe_source_open;
  klass->get_n_tensors = pipe_source_get_n_tensors;
  klass->plan_tensor = pipe_source_plan_tensor;
  klass->read_tensor = pipe_source_read_tensor;
  klass->get_info = pipe_source_get_info;
  afp_element_class_add_properties (AFP_ELEMENT_CLASS (klass), pipe_source_properties,
                                    G_N_ELEMENTS (pipe_source_properties), 0);
}

static void
pipe_source_init (PipeSource *self)
{
}

/* --- tpass: passes tensors on, drops, copies or fails --- */

typedef struct {
  AfpTransform parent_instance;
  guint fail_plan, fail_process, drop, memory;
  gboolean fail_check, fail_start, fail_finish, wait, cancel, copy, metrics;
  guint interrupt;
  char *require, *file;
  /* what happened */
  guint n_process, n_started, n_stopped;
  gboolean stopped_ok, finished;
  GString *seen; /* what passed, and in brackets what was taken over */
} PipePass;
typedef AfpTransformClass PipePassClass;
GType pipe_pass_get_type (void);
G_DEFINE_TYPE (PipePass, pipe_pass, AFP_TYPE_TRANSFORM)

static const AfpProperty pipe_pass_properties[] = {
  AFP_PROP_UINT ("fail-plan", NULL, 0, PipePass, fail_plan, 0, 100000, "0", NULL,
                 "1 + the tensor; 100000: all"),
  AFP_PROP_UINT ("fail-process", NULL, 0, PipePass, fail_process, 0, 100000, "0", NULL,
                 "1 + the tensor"),
  AFP_PROP_UINT ("drop", NULL, 0, PipePass, drop, 0, 100000, "0", NULL,
                 "1 + the tensor; 100000: all"),
  AFP_PROP_UINT ("memory", "m", 0, PipePass, memory, 0, 4000000000.0, "0", "bytes",
                 "Working memory"),
  AFP_PROP_BOOL ("fail-check", NULL, 0, PipePass, fail_check, "false", "Fails to check"),
  AFP_PROP_BOOL ("fail-start", NULL, 0, PipePass, fail_start, "false", "Fails to start"),
  AFP_PROP_BOOL ("fail-finish", NULL, 0, PipePass, fail_finish, "false",
                 "Fails a metric at the end"),
  AFP_PROP_BOOL ("wait", NULL, 0, PipePass, wait, "false", "Waits until the run is cancelled"),
  AFP_PROP_BOOL ("cancel", NULL, 0, PipePass, cancel, "false", "Cancels the run"),
  AFP_PROP_UINT ("interrupt", NULL, 0, PipePass, interrupt, 0, 100000, "0", NULL,
                 "1 + the tensor that interrupts the run"),
  AFP_PROP_BOOL ("copy", NULL, 0, PipePass, copy, "false", "Hands on other planes"),
  AFP_PROP_BOOL ("metrics", NULL, 0, PipePass, metrics, "false", "Has metrics"),
  AFP_PROP_STRING ("require", NULL, 0, PipePass, require, NULL, "A text"),
  AFP_PROP_STRING ("file", NULL, AFP_PROPERTY_FILE, PipePass, file, NULL, "A path"),
};

static const AfpPreset pipe_pass_presets[] = {
  { "big", "memory=77 require='a b'", "Much memory" },
};

static gboolean
pipe_is_tensor (AfpTensor *tensor, guint which)
{
  g_autofree char *name = g_strdup_printf ("t%u", which - 1);

  return which == 100000 ||
         (which > 0 && strcmp (name, afp_spec_get_name (afp_tensor_get_spec (tensor))) == 0);
}

static gboolean
pipe_pass_check (AfpElement *element, GError **error)
{
  if (((PipePass *) element)->fail_check)
    g_set_error_literal (error, AFP_ERROR, AFP_ERROR_PROPERTY, "these two do not go together");
  return !((PipePass *) element)->fail_check;
}

static gboolean
pipe_pass_start (AfpElement *element, AfpRun *run, GError **error)
{
  PipePass *self = (PipePass *) element;

  self->n_started++;
  if (self->fail_start)
    g_set_error_literal (error, AFP_ERROR, AFP_ERROR_CODEC, "the machine is on fire");
  return !self->fail_start && afp_run_get_pool (run) && afp_run_get_plan (run) &&
         afp_run_get_cancellable (run);
}

static void
pipe_pass_stop (AfpElement *element, gboolean ok)
{
  ((PipePass *) element)->n_stopped++;
  ((PipePass *) element)->stopped_ok = ok;
}

static AfpTensor *
pipe_pass_plan_tensor (AfpTransform *transform, AfpTensor *tensor, AfpPlan *plan, GError **error)
{
  PipePass *self = (PipePass *) transform;

  if (pipe_is_tensor (tensor, self->fail_plan)) {
    g_set_error_literal (error, AFP_ERROR, AFP_ERROR_PLAN, "its rows are too long");
    return NULL;
  }
  if (self->memory)
    afp_plan_note_memory (plan, afp_tensor_get_spec (tensor), self->memory);
  if (self->copy) {
    g_autoptr (AfpPlane) plane = afp_plane_new_raw (afp_tensor_get_spec (tensor), NULL);
    return afp_tensor_new_with_root (tensor, plane);
  }
  return pipe_is_tensor (tensor, self->drop) ? NULL : afp_tensor_ref (tensor);
}

static AfpTensor *
pipe_pass_process (AfpTransform *transform, AfpTensor *tensor, GError **error)
{
  PipePass *self = (PipePass *) transform;
  AfpRun *run = afp_element_get_run (AFP_ELEMENT (self));
  GCancellable *cancellable = afp_run_get_cancellable (run);

  self->n_process++;
  g_string_append_printf (self->seen, "%s ", afp_spec_get_name (afp_tensor_get_spec (tensor)));
  if (pipe_is_tensor (tensor, self->interrupt))
    afp_pipeline_interrupt (afp_run_get_pipeline (run));
  if (self->cancel)
    afp_pipeline_cancel (afp_run_get_pipeline (run));
  while (self->wait && !g_cancellable_is_cancelled (cancellable))
    g_usleep (1000);
  if (pipe_is_tensor (tensor, self->fail_process)) {
    g_set_error_literal (error, AFP_ERROR, AFP_ERROR_CODEC, "no seed fits");
    return NULL;
  }
  if (self->copy) {
    AfpPlane *root = afp_tensor_get_root (tensor);
    g_autoptr (AfpPlane) plane =
        afp_plane_new_raw (afp_tensor_get_spec (tensor), afp_plane_get_data (root));
    return afp_tensor_new_with_root (tensor, plane);
  }
  return pipe_is_tensor (tensor, self->drop) ? NULL : afp_tensor_ref (tensor);
}

static gboolean
pipe_pass_finish (AfpTransform *transform, GError **error)
{
  PipePass *self = (PipePass *) transform;

  self->finished = TRUE;
  if (self->fail_finish)
    g_set_error_literal (error, AFP_ERROR, AFP_ERROR_METRIC,
                         "sqnr_db is 3, but more than 5 is required");
  return !self->fail_finish;
}

static JsonNode *
pipe_pass_get_metrics (AfpElement *element)
{
  static const char text[] =
      "{\"nmse\": 0.25, \"sqnr_db\": 6.0206, \"cosine\": null, \"tensors\": ["
      "{\"name\": \"t1\", \"nmse\": 0.5, \"sqnr_db\": 3.01}, {\"nmse\": 1}, 5]}";

  return ((PipePass *) element)->metrics ? json_from_string (text, NULL) : NULL;
}

static JsonNode *
pipe_pass_save_found (AfpElement *element, const char *tensor)
{
  g_autofree char *text = g_strdup_printf ("[%s]", tensor);

  return strstr (((PipePass *) element)->seen->str, tensor)
             ? json_node_init_string (json_node_alloc (), text)
             : NULL;
}

static gboolean
pipe_pass_restore_found (AfpElement *element, AfpSpec *spec, JsonNode *found, GError **error)
{
  if (json_node_get_value_type (found) != G_TYPE_STRING)
    g_set_error_literal (error, AFP_ERROR, AFP_ERROR_FORMAT, "it is no text");
  else
    g_string_append_printf (((PipePass *) element)->seen, "%s ", json_node_get_string (found));
  return json_node_get_value_type (found) == G_TYPE_STRING;
}

static void
pipe_pass_finalize (GObject *object)
{
  g_string_free (((PipePass *) object)->seen, TRUE);
  G_OBJECT_CLASS (pipe_pass_parent_class)->finalize (object);
}

static void
pipe_pass_class_init (PipePassClass *klass)
{
  AfpElementClass *element_class = AFP_ELEMENT_CLASS (klass);

  klass->plan_tensor = pipe_pass_plan_tensor;
  klass->process = pipe_pass_process;
  klass->finish = pipe_pass_finish;
  element_class->check = pipe_pass_check;
  element_class->start = pipe_pass_start;
  element_class->stop = pipe_pass_stop;
  element_class->get_metrics = pipe_pass_get_metrics;
  element_class->save_found = pipe_pass_save_found;
  element_class->restore_found = pipe_pass_restore_found;
  G_OBJECT_CLASS (klass)->finalize = pipe_pass_finalize;
  afp_element_class_add_properties (element_class, pipe_pass_properties,
                                    G_N_ELEMENTS (pipe_pass_properties), 0);
  afp_element_class_set_presets (element_class, pipe_pass_presets,
                                 G_N_ELEMENTS (pipe_pass_presets));
}

static void
pipe_pass_init (PipePass *self)
{
  self->seen = g_string_new (NULL);
}

/* --- tsink: remembers the order of what came --- */

typedef struct {
  AfpSink parent_instance;
  guint fail_consume;
  gboolean fail_finish, fail_publish, slow, keeps;
  int file_bytes;
  char *hold, *found;
  /* what happened */
  GString *names;
  gboolean finished, published, stopped_ok;
  guint n_stopped;
  PipePass *before; /* must have finished before the sink does */
} PipeSink;
typedef AfpSinkClass PipeSinkClass;
GType pipe_sink_get_type (void);
G_DEFINE_TYPE (PipeSink, pipe_sink, AFP_TYPE_SINK)

static const AfpProperty pipe_sink_properties[] = {
  AFP_PROP_UINT ("fail-consume", NULL, 0, PipeSink, fail_consume, 0, 100000, "0", NULL,
                 "1 + the tensor"),
  AFP_PROP_BOOL ("fail-finish", NULL, 0, PipeSink, fail_finish, "false", "Fails to finish"),
  AFP_PROP_BOOL ("fail-publish", NULL, 0, PipeSink, fail_publish, "false", "Fails to publish"),
  AFP_PROP_BOOL ("slow", NULL, 0, PipeSink, slow, "false", "Takes its time"),
  AFP_PROP_BOOL ("keeps", NULL, 0, PipeSink, keeps, "false", "Keeps what it got"),
  AFP_PROP_STRING ("hold", NULL, 0, PipeSink, hold, NULL,
                   "Tensors that it has from an earlier run"),
  AFP_PROP_STRING ("found", NULL, 0, PipeSink, found, NULL,
                   "What tpass0 found out about them; %s: name"),
  AFP_PROP_INT ("file-bytes", NULL, 0, PipeSink, file_bytes, -1, 1000000, "-1", "bytes",
                "Size of its file"),
};

static gboolean
pipe_sink_consume (AfpSink *sink, AfpTensor *tensor, GError **error)
{
  PipeSink *self = (PipeSink *) sink;

  if (self->slow)
    g_usleep (2000);
  if (pipe_is_tensor (tensor, self->fail_consume)) {
    g_set_error_literal (error, AFP_ERROR, AFP_ERROR_IO, "the disk is full");
    return FALSE;
  }
  g_string_append_printf (self->names, "%s ", afp_spec_get_name (afp_tensor_get_spec (tensor)));
  return TRUE;
}

static gboolean
pipe_sink_finish (AfpSink *sink, GError **error)
{
  PipeSink *self = (PipeSink *) sink;

  if (self->before && !self->before->finished)
    g_set_error_literal (error, AFP_ERROR, AFP_ERROR_IO, "the metrics are not there yet");
  else if (self->fail_finish)
    g_set_error_literal (error, AFP_ERROR, AFP_ERROR_IO, "cannot sync");
  else
    self->finished = TRUE;
  return self->finished;
}

static gboolean
pipe_sink_publish (AfpSink *sink, GError **error)
{
  PipeSink *self = (PipeSink *) sink;

  if (self->fail_publish)
    g_set_error_literal (error, AFP_ERROR, AFP_ERROR_IO, "cannot rename");
  self->published = !self->fail_publish;
  return self->published;
}

static gboolean
pipe_sink_start (AfpElement *element, AfpRun *run, GError **error)
{
  PipeSink *self = (PipeSink *) element;
  const char *found = self->found ? self->found : "\"[%s]\"";
  g_auto (GStrv) names = g_strsplit (self->hold ? self->hold : "", ",", -1);

  afp_sink_set_keeps (AFP_SINK (self), self->keeps);
  for (guint i = 0; names[i]; i++) {
    const guint64 shape[] = { 4, 4 };
    const AfpSize size = { .planes = 64, .total = 64, .exact = TRUE };
    g_autoptr (AfpSpec) spec = afp_spec_new (names[i], AFP_DTYPE_F32, 2, shape, NULL, NULL);
    g_auto (GStrv) parts = g_strsplit (found, "%s", -1);
    g_autofree char *text = g_strjoinv (names[i], parts);
    g_autofree char *json = g_strdup_printf ("{\"tpass0\": %s, \"tpass1\": %s}", text, text);

    afp_sink_hold (AFP_SINK (self), spec, &size, "weight", json_from_string (json, NULL));
  }
  return TRUE;
}

static void
pipe_sink_stop (AfpElement *element, gboolean ok)
{
  if (!ok && ((PipeSink *) element)->keeps)
    afp_sink_set_advice (AFP_SINK (element), "run it again");
  ((PipeSink *) element)->n_stopped++;
  ((PipeSink *) element)->stopped_ok = ok;
}

static JsonNode *
pipe_sink_get_output (AfpElement *element)
{
  int bytes = ((PipeSink *) element)->file_bytes;
  g_autofree char *text =
      g_strdup_printf ("{\"format\": \"test\", \"location\": \"x.h5\", \"file_bytes\": %d}", bytes);

  return json_from_string (bytes < 0 ? "{\"format\": \"test\"}" : text, NULL);
}

static void
pipe_sink_finalize (GObject *object)
{
  g_string_free (((PipeSink *) object)->names, TRUE);
  G_OBJECT_CLASS (pipe_sink_parent_class)->finalize (object);
}

static void
pipe_sink_class_init (PipeSinkClass *klass)
{
  AfpElementClass *element_class = AFP_ELEMENT_CLASS (klass);

  G_OBJECT_CLASS (klass)->finalize = pipe_sink_finalize;
  klass->consume = pipe_sink_consume;
  klass->finish = pipe_sink_finish;
  klass->publish = pipe_sink_publish;
  element_class->start = pipe_sink_start;
  element_class->stop = pipe_sink_stop;
  element_class->get_output = pipe_sink_get_output;
  afp_element_class_add_properties (element_class, pipe_sink_properties,
                                    G_N_ELEMENTS (pipe_sink_properties), 0);
}

static void
pipe_sink_init (PipeSink *self)
{
  self->names = g_string_new (NULL);
}

/* --- ttee: a pad for every branch --- */

typedef struct {
  AfpElement parent_instance;
} PipeTee;
typedef AfpElementClass PipeTeeClass;
GType pipe_tee_get_type (void);
G_DEFINE_TYPE (PipeTee, pipe_tee, AFP_TYPE_ELEMENT)

static AfpPad *
pipe_tee_branch (AfpPad *pad, guint index)
{
  return afp_element_get_pad (afp_pad_get_element (pad), AFP_PAD_SRC, index);
}

static gboolean
pipe_tee_chain (AfpPad *pad, AfpTensor *tensor, GError **error)
{
  gboolean ok = TRUE;

  for (guint i = 0; ok && pipe_tee_branch (pad, i); i++)
    ok = afp_pad_push (pipe_tee_branch (pad, i), tensor, error);
  return ok;
}

static gboolean
pipe_tee_plan (AfpPad *pad, AfpTensor *tensor, AfpPlan *plan, GError **error)
{
  gboolean ok = TRUE;

  afp_plan_note_tensor (plan, afp_pad_get_element (pad), tensor, tensor);
  for (guint i = 0; ok && pipe_tee_branch (pad, i); i++)
    ok = afp_pad_push_plan (pipe_tee_branch (pad, i), tensor, plan, error);
  return ok;
}

static gboolean
pipe_tee_finish (AfpPad *pad, GError **error)
{
  gboolean ok = TRUE;

  for (guint i = 0; ok && pipe_tee_branch (pad, i); i++)
    ok = afp_pad_push_finish (pipe_tee_branch (pad, i), error);
  return ok;
}

static AfpPad *
pipe_tee_request_pad (AfpElement *element, AfpPadDirection direction)
{
  return direction == AFP_PAD_SRC ? afp_element_add_pad (element, "src", AFP_PAD_SRC) : NULL;
}

static void
pipe_tee_class_init (PipeTeeClass *klass)
{
  klass->request_pad = pipe_tee_request_pad;
}

static void
pipe_tee_init (PipeTee *self)
{
  afp_pad_set_functions (afp_element_add_pad (AFP_ELEMENT (self), "sink", AFP_PAD_SINK),
                         pipe_tee_chain, pipe_tee_plan, pipe_tee_finish, NULL);
}

/* --- helpers --- */

static inline void
pipe_register (void)
{
  afp_registry_add_builtin ("tsource", pipe_source_get_type ());
  afp_registry_add_builtin ("tpass", pipe_pass_get_type ());
  afp_registry_add_builtin ("tsink", pipe_sink_get_type ());
  afp_registry_add_builtin ("ttee", pipe_tee_get_type ());
}

static inline AfpPipeline *
pipe_new (const char *text)
{
  g_autoptr (GError) error = NULL;
  AfpPipeline *pipeline = afp_pipeline_new_from_text (text, &error);

  ck_assert_msg (pipeline != NULL, "%s: %s", text, error ? error->message : "");
  return pipeline;
}

/* By its name in the pipeline. */
static inline gpointer
pipe_find (AfpPipeline *pipeline, const char *name)
{
  GPtrArray *elements = afp_pipeline_get_elements (pipeline);

  for (guint i = 0; i < elements->len; i++)
    if (strcmp (afp_element_get_name (elements->pdata[i]), name) == 0)
      return elements->pdata[i];
  ck_abort_msg ("no element '%s'", name);
  return NULL;
}

static inline void
pipe_run_ok (AfpPipeline *pipeline)
{
  g_autoptr (GError) error = NULL;
  gboolean ok = afp_pipeline_run (pipeline, &error);

  ck_assert_msg (ok && !error, "%s", error ? error->message : "no reason");
}
