/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "calibrate.h"
#include "eval-command.h"
#include "eval-metrics.h"
#include "eval-recall.h"
#include "eval-require.h"
#include "eval-tap.h"
#include "eval-text.h"

#include <string.h>

#include <math.h>

/*
 * eval: what is left of the model. Reconstruction error against the lazily read original, tensor by tensor; and, where a
 * question is asked, what the whole model answers beside the original. It judges each tensor as it would be written here:
 * a finalized copy, decoded from its bytes and from nothing else. The stream is not touched.
 *
 *   afpipe-launch "load location=m.safetensors ! seedlm ! vptq ! eval require='sqnr_db>10' ! write location=m.h5"
 *   afpipe-launch "load location=model.gguf ! vptq ! eval text=wiki.txt require='top1_loss<15%' ! write location=m.h5"
 */
struct _AfpEval {
  AfpTransform parent_instance;
  char *require;
  char *original;
  guint rows;
  EvalOptions options;
  EvalOutside outside;
  gboolean asks_original; /* the program outside, too */
  EvalTap *tap;           /* if something is asked */
  AfpSource *source;      /* of original= */
  GHashTable *originals;  /* name -> index + 1 in source */
  GArray *conditions;
  EvalTotals *totals;
  GHashTable *owners; /* shared planes, and the tensor that each counts for: known from the plan */
  GMutex lock;
};

#define AFP_TYPE_EVAL (afp_eval_get_type ())
G_DECLARE_FINAL_TYPE (AfpEval, afp_eval, AFP, EVAL, AfpTransform)
G_DEFINE_FINAL_TYPE (AfpEval, afp_eval, AFP_TYPE_TRANSFORM)

static const AfpProperty properties[] = {
  AFP_PROP_STRING (
      "require", NULL, 0, AfpEval, require, NULL,
      "Conditions on metrics, separated by commas: sqnr_db>10,top1_loss<15%; if one fails, nothing is published (exit 7)"),
  AFP_PROP_STRING (
      "original", NULL, AFP_PROPERTY_FILE, AfpEval, original, NULL,
      "File with the original tensors, by name; for streams that start from a compressed file"),
  AFP_PROP_UINT ("rows", NULL, 0, AfpEval, rows, 0, 1000000, "40", "tensors",
                 "Rows of the table that is printed; the worst if there are more"),
  AFP_PROP_STRING ("text", NULL, AFP_PROPERTY_FILE, AfpEval, options.language.text, NULL,
                   "Text that the language model predicts: negative log likelihood, perplexity, "
                   "accuracy, divergence from the original"),
  AFP_PROP_STRING (
      "separator", NULL, 0, AfpEval, options.language.separator, NULL,
      "Stands between documents of the text; each is judged by itself, after its begin "
      "token. Without it the text is one stream, in windows"),
  AFP_PROP_UINT ("context", NULL, 0, AfpEval, options.language.context, 0, 1 << 20, "0", "tokens",
                 "Predictions of a document, or tokens of a window, at most; 0: what the model was "
                 "made for, up to 2048"),
  AFP_PROP_UINT ("stride", NULL, 0, AfpEval, options.language.stride, 0, 1 << 20, "0", "tokens",
                 "From one window to the next; 0: the context"),
  AFP_PROP_STRING ("tasks", NULL, AFP_PROPERTY_FILE, AfpEval, options.tasks, NULL,
                   "Questions that the language model answers by likelihood: a JSON object a line "
                   "(afpipe-tasks makes such files)"),
  AFP_PROP_STRING (
      "images", NULL, AFP_PROPERTY_FILE, AfpEval, options.vision.images, NULL,
      "Images that the classifier is shown: IDX (plain or gzip), CIFAR-10 binary, npz"),
  AFP_PROP_STRING ("labels", NULL, AFP_PROPERTY_FILE, AfpEval, options.vision.labels, NULL,
                   "Their labels, if they are not in the file of the images"),
  AFP_PROP_STRING ("image-scale", NULL, 0, AfpEval, options.vision.scale, NULL,
                   "What pixels are multiplied by, a number or a ratio: 1/255 where the network "
                   "takes 0 to 1; by default they are as they are"),
  AFP_PROP_STRING (
      "command", NULL, 0, AfpEval, outside.command, NULL,
      "Program that judges the model: it gets the path of the decoded model "
      "(safetensors, in a folder with its configuration) in place of {} or as its last "
      "word, and says a JSON object of numbers"),
  AFP_PROP_UINT ("command-time", NULL, AFP_PROPERTY_RUN, AfpEval, outside.seconds, 0, 1 << 24,
                 "3600", "seconds", "What the command may take; 0: as long as it likes"),
};

static gboolean
has_command (AfpEval *self)
{
  return self->outside.command && *self->outside.command;
}

static gboolean
eval_check (AfpElement *element, GError **error)
{
  AfpEval *self = AFP_EVAL (element);

  g_autoptr (GPtrArray) metrics = eval_options_list_metrics (&self->options);

  for (guint i = 0; eval_metric_names[i]; i++)
    g_ptr_array_insert (metrics, (gint) i, g_strdup (eval_metric_names[i]));
  g_clear_pointer (&self->conditions, g_array_unref);
  self->conditions = eval_require_parse (self->require, has_command (self) ? NULL : metrics, error);
  if (!self->conditions || !eval_options_check (&self->options, error) ||
      (has_command (self) && !eval_command_check (self->outside.command, error)))
    return FALSE;
  self->asks_original = eval_require_compares (self->conditions, metrics);
  g_clear_pointer (&self->tap, eval_tap_free);
  if (!eval_options_is_empty (&self->options) || has_command (self))
    self->tap = eval_tap_new ();
  return TRUE;
}

static gboolean
open_original (AfpEval *self, GError **error)
{
  g_autoptr (AfpElement) load = NULL;

  if (!self->original || self->source)
    return TRUE;
  load = afp_registry_make (afp_registry_get_default (), "load", error);
  if (!load || !afp_element_set_property_text (load, "location", self->original, error))
    return FALSE;
  if (!AFP_IS_SOURCE (load) || !afp_source_open (AFP_SOURCE (load), error)) {
    g_prefix_error (error, "eval original=: ");
    return FALSE;
  }
  self->source = AFP_SOURCE (g_steal_pointer (&load));
  self->originals = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  for (gsize i = 0; i < afp_source_get_n_tensors (self->source); i++) {
    g_autoptr (AfpTensor) tensor = afp_source_plan_tensor (self->source, i, error);
    if (!tensor)
      return FALSE;
    g_hash_table_insert (self->originals,
                         g_strdup (afp_spec_get_name (afp_tensor_get_spec (tensor))),
                         GSIZE_TO_POINTER (i + 1));
  }
  return TRUE;
}

/* The model can be asked: what is missing is found out before the work. */
static gboolean
eval_settle (AfpElement *element, AfpPlan *plan, GError **error)
{
  AfpEval *self = AFP_EVAL (element);

  return !self->tap || (open_original (self, error) &&
                        eval_tap_settle (self->tap, &self->options, &self->outside, element,
                                         self->source, self->original, plan, error));
}

/* Those that are asked together with this one, itself among them, upstream first. (transfer full) (element-type EvalTap) */
static GPtrArray *
list_taps (AfpEval *self, AfpRun *run)
{
  GPtrArray *elements = afp_pipeline_get_elements (afp_run_get_pipeline (run));
  GPtrArray *taps = g_ptr_array_new ();

  for (guint i = 0; i < elements->len; i++) {
    EvalTap *tap = AFP_IS_EVAL (elements->pdata[i]) ? AFP_EVAL (elements->pdata[i])->tap : NULL;
    if (tap && strcmp (tap->key, self->tap->key) == 0)
      g_ptr_array_add (taps, tap);
  }
  return taps;
}

static gboolean
start_tap (AfpEval *self, AfpRun *run, GError **error)
{
  if (!self->tap)
    return TRUE;
  g_autoptr (GPtrArray) taps = list_taps (self, run);
  eval_tap_start (self->tap, run);
  return !self->tap->question || taps->pdata[0] != self->tap ||
         eval_question_load (self->tap->question, error);
}

static gboolean
eval_start (AfpElement *element, AfpRun *run, GError **error)
{
  AfpEval *self = AFP_EVAL (element);

  g_clear_pointer (&self->totals, eval_totals_free);
  self->totals = eval_totals_new ();
  g_hash_table_unref (self->totals->seen);
  self->totals->seen = g_hash_table_ref (self->owners);
  return open_original (self, error) && start_tap (self, run, error);
}

static void
eval_stop (AfpElement *element, gboolean ok)
{
  AfpEval *self = AFP_EVAL (element);

  g_clear_object (&self->source);
  g_clear_pointer (&self->originals, g_hash_table_unref);
}

/* Formats differ in the matrix view that they give an array; what is compared is the array, so both get the view of one. */
static AfpSpec *
spec_with_view_of (AfpSpec *spec, AfpSpec *other)
{
  const guint rank = afp_spec_get_rank (spec);

  if (rank != afp_spec_get_rank (other) ||
      memcmp (afp_spec_get_shape (spec), afp_spec_get_shape (other), rank * sizeof (guint64)) != 0)
    return afp_spec_ref (spec);
  return afp_spec_new (afp_spec_get_name (spec), afp_spec_get_dtype (spec), rank,
                       afp_spec_get_shape (spec), afp_spec_get_view (other), NULL);
}

/* (transfer full): the original's numbers, or NULL without error if nobody knows it. *mapped: what is to be forgotten afterwards */
static AfpMatrix *
open_reference (AfpEval *self, AfpTensor *tensor, GBytes **mapped, GError **error)
{
  g_autoptr (AfpSpec) spec = afp_spec_ref (afp_tensor_get_original_spec (tensor));
  AfpPlane *plane = afp_tensor_get_original (tensor);
  g_autoptr (AfpTensor) read = NULL;

  if (self->source) {
    const gsize index =
        GPOINTER_TO_SIZE (g_hash_table_lookup (self->originals, afp_spec_get_name (spec)));
    if (!index)
      return NULL;
    g_mutex_lock (&self->lock);
    read = afp_source_read_tensor (self->source, index - 1, error);
    g_mutex_unlock (&self->lock);
    if (!read)
      return NULL;
    plane = afp_tensor_get_root (read);
    *mapped = afp_plane_get_data (plane) ? g_bytes_ref (afp_plane_get_data (plane)) : NULL;
    afp_spec_unref (spec);
    spec = spec_with_view_of (afp_tensor_get_spec (read), afp_tensor_get_spec (tensor));
  }
  if (!plane || afp_plane_get_desc (plane)->kind == AFP_KIND_RAW)
    return NULL;
  return afp_plane_open (plane, spec, error);
}

static gboolean
judge_tensor (AfpEval *self, AfpTensor *tensor, AfpTensor *final, EvalSums *sums, gboolean *judged,
              GError **error)
{
  AfpSpec *spec = afp_tensor_get_spec (tensor);
  AfpPool *pool = afp_element_get_pool (AFP_ELEMENT (self));
  AfpPlane *root = afp_tensor_get_root (final);
  GError *local = NULL;
  g_autoptr (GBytes) mapped = NULL;
  g_autoptr (AfpMatrix) original = open_reference (self, tensor, &mapped, &local);

  if (local) {
    g_propagate_error (error, local);
    return FALSE;
  }
  if (!original || afp_plane_get_desc (root)->kind == AFP_KIND_RAW)
    return TRUE;
  g_autoptr (AfpMatrix) decoded = afp_plane_open (root, spec, error);
  if (!decoded)
    return FALSE;
  if (afp_matrix_get_rows (original) != afp_matrix_get_rows (decoded) ||
      afp_matrix_get_cols (original) != afp_matrix_get_cols (decoded)) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_PLAN, "the original in %s has another shape",
                 self->original);
    return FALSE;
  }
  if (!eval_compare (original, decoded, pool, sums, error))
    return FALSE;
  if (mapped)
    afp_mapped_forget (mapped);
  /* A tensor that passed untouched may hold an infinity (a mask): it says nothing of the others. */
  *judged = root != afp_tensor_get_original (tensor) || isfinite (sums->xx);
  return TRUE;
}

/* The tensor passes; a finalized copy is decoded. Which tensor a shared plane counts for is settled here: not all may pass again. */
static AfpTensor *
eval_plan_tensor (AfpTransform *transform, AfpTensor *tensor, AfpPlan *plan, GError **error)
{
  g_autoptr (AfpTensor) final = afp_tensor_finalize (tensor, NULL, error);
  AfpSize size;

  if (!final)
    return NULL;
  afp_plan_note_decode (plan, tensor, final);
  if (AFP_EVAL (transform)->tap)
    eval_tap_plan (AFP_EVAL (transform)->tap, tensor);
  afp_tensor_get_size_once (final, AFP_EVAL (transform)->owners, &size);
  return afp_tensor_ref (tensor);
}

static AfpTensor *
eval_process (AfpTransform *transform, AfpTensor *tensor, GError **error)
{
  AfpEval *self = AFP_EVAL (transform);
  const gboolean alias = afp_spec_get_alias_of (afp_tensor_get_spec (tensor)) != NULL;
  g_autoptr (AfpTensor) final =
      afp_tensor_finalize (tensor, afp_element_get_pool (AFP_ELEMENT (self)), error);
  gboolean judged = FALSE;
  EvalSums sums;

  /* Tied weights are judged once, under their own name. */
  if (!final || (!alias && !judge_tensor (self, tensor, final, &sums, &judged, error)) ||
      (self->tap && !eval_tap_keep (self->tap, tensor, final, error))) {
    g_prefix_error (error, "eval, tensor '%s': ", afp_spec_get_name (afp_tensor_get_spec (tensor)));
    return NULL;
  }
  g_mutex_lock (&self->lock);
  eval_totals_add (self->totals, final, judged ? &sums : NULL);
  g_mutex_unlock (&self->lock);
  return afp_tensor_ref (tensor);
}

/* Asks all that are asked the same; whoever comes first in the stream does it. */
static gboolean
ask (AfpEval *self, AfpSource *upstream, AfpSource *reference, AfpRun *run, GError **error)
{
  if (!self->tap->question || self->tap->asked)
    return TRUE;
  g_autoptr (GPtrArray) taps = list_taps (self, run);

  return eval_tap_ask (taps, upstream, reference, AFP_ELEMENT (self), run, error);
}

static gboolean
ask_all (AfpEval *self, AfpRun *run, GError **error)
{
  g_autoptr (GPtrArray) sources = afp_element_list_sources (AFP_ELEMENT (self));
  AfpSource *upstream = sources->pdata[0];
  AfpSource *reference = self->source ? self->source : self->tap->original ? upstream : NULL;

  if (!ask (self, upstream, reference, run, error))
    return FALSE;
  if (!has_command (self))
    return TRUE;
  return eval_tap_ask_outside (self->tap, &self->outside, upstream,
                               self->asks_original ? reference : NULL, AFP_ELEMENT (self), run,
                               error);
}

static JsonNode *
eval_get_metrics (AfpElement *element)
{
  AfpEval *self = AFP_EVAL (element);
  JsonNode *node = self->totals ? eval_totals_to_json (self->totals) : NULL;

  if (node && self->tap && self->tap->asked)
    eval_tap_to_json (self->tap, json_node_get_object (node));
  return node;
}

static gboolean
eval_judge (AfpElement *element, AfpRun *run, GError **error)
{
  AfpEval *self = AFP_EVAL (element);
  const char *name = afp_element_get_name (element);

  if (self->tap && !ask_all (self, run, error))
    return FALSE;
  g_autofree char *table = eval_text (self->totals, name, self->rows);
  g_autofree char *answers = self->tap ? eval_tap_to_string (self->tap) : g_strdup ("");
  g_autofree char *text = g_strconcat (table, answers, NULL);
  afp_run_post (run, afp_message_new (AFP_MESSAGE_METRIC, name, text, eval_get_metrics (element)));
  return eval_require_check (self->conditions, self->totals, self->tap ? self->tap->scores : NULL,
                             name, error);
}

static JsonNode *
eval_save_found (AfpElement *element, const char *tensor)
{
  AfpEval *self = AFP_EVAL (element);

  g_mutex_lock (&self->lock);
  JsonNode *found = self->totals ? eval_totals_save (self->totals, tensor) : NULL;
  g_mutex_unlock (&self->lock);
  return found;
}

static gboolean
eval_restore_found (AfpElement *element, AfpSpec *spec, JsonNode *found, GError **error)
{
  AfpEval *self = AFP_EVAL (element);

  g_mutex_lock (&self->lock);
  const gboolean ok = eval_totals_restore (self->totals, spec, found, error);
  g_mutex_unlock (&self->lock);
  return ok;
}

static gboolean
eval_wants_held (AfpElement *element)
{
  return AFP_EVAL (element)->tap != NULL;
}

static gboolean
eval_restore_tensor (AfpElement *element, AfpTensor *tensor, GError **error)
{
  return eval_tap_keep (AFP_EVAL (element)->tap, tensor, tensor, error);
}

static void
afp_eval_finalize (GObject *object)
{
  AfpEval *self = AFP_EVAL (object);

  g_clear_pointer (&self->conditions, g_array_unref);
  g_clear_pointer (&self->totals, eval_totals_free);
  g_clear_pointer (&self->tap, eval_tap_free);
  g_clear_object (&self->source);
  g_clear_pointer (&self->originals, g_hash_table_unref);
  g_hash_table_unref (self->owners);
  g_mutex_clear (&self->lock);
  G_OBJECT_CLASS (afp_eval_parent_class)->finalize (object);
}

static void
afp_eval_class_init (AfpEvalClass *klass)
{
  AfpElementClass *element_class = AFP_ELEMENT_CLASS (klass);

  G_OBJECT_CLASS (klass)->finalize = afp_eval_finalize;
  afp_element_class_add_properties (element_class, properties, G_N_ELEMENTS (properties), 0);
  afp_element_class_set_analyses (element_class, eval_recall_analyses, EVAL_RECALL_N_ANALYSES);
  afp_element_class_set_details (
      element_class,
      "Measures what is left of the model: error of the weights, and what it answers",
      "load location=model.safetensors ! seedlm ! eval require='sqnr_db>10' ! null");
  element_class->check = eval_check;
  element_class->settle = eval_settle;
  element_class->judge = eval_judge;
  element_class->start = eval_start;
  element_class->stop = eval_stop;
  element_class->get_metrics = eval_get_metrics;
  element_class->save_found = eval_save_found;
  element_class->restore_found = eval_restore_found;
  element_class->wants_held = eval_wants_held;
  element_class->restore_tensor = eval_restore_tensor;
  AFP_TRANSFORM_CLASS (klass)->plan_tensor = eval_plan_tensor;
  AFP_TRANSFORM_CLASS (klass)->process = eval_process;
}

static void
afp_eval_init (AfpEval *self)
{
  self->owners = g_hash_table_new (NULL, NULL);
  g_mutex_init (&self->lock);
}

static gboolean
eval_init (AfpPlugin *plugin, GError **error)
{
  afp_plugin_add_element (plugin, "eval", AFP_TYPE_EVAL);
  afp_plugin_add_element (plugin, "calibrate", AFP_TYPE_CALIBRATE);
  return TRUE;
}

AFP_PLUGIN_DEFINE ("eval", AFP_VERSION, "LGPL-2.1-or-later", AFP_ORIGIN, "Elements that judge",
                   eval_init)
