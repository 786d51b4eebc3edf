/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afpipe.h"
#include "eval-metrics.h"
#include "eval-require.h"
#include "eval-text.h"

#include <string.h>

#include <math.h>

/*
 * eval: reconstruction error against the lazily read original. It judges each tensor as it would be written here:
 * a finalized copy, decoded from its bytes and from nothing else. The stream is not touched.
 *
 *   afpipe-launch "load location=m.safetensors ! seedlm ! vptq ! eval require='sqnr_db>10' ! write location=m.h5"
 */
struct _AfpEval {
  AfpTransform parent_instance;
  char *require;
  char *original;
  guint rows;
  AfpSource *source;     /* of original= */
  GHashTable *originals; /* name -> index + 1 in source */
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
      "Conditions on the totals, separated by commas: sqnr_db>10,bits_per_weight<3; if one fails, nothing is published (exit 7)"),
  AFP_PROP_STRING (
      "original", NULL, AFP_PROPERTY_FILE, AfpEval, original, NULL,
      "File with the original tensors, by name; for streams that start from a compressed file"),
  AFP_PROP_UINT ("rows", NULL, 0, AfpEval, rows, 0, 1000000, "40", "tensors",
                 "Rows of the table that is printed; the worst if there are more"),
};

static gboolean
eval_check (AfpElement *element, GError **error)
{
  AfpEval *self = AFP_EVAL (element);

  g_clear_pointer (&self->conditions, g_array_unref);
  self->conditions = eval_require_parse (self->require, error);
  return self->conditions != NULL;
}

static gboolean
open_original (AfpEval *self, GError **error)
{
  g_autoptr (AfpElement) load = afp_registry_make (afp_registry_get_default (), "load", error);

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

static gboolean
eval_start (AfpElement *element, AfpRun *run, GError **error)
{
  AfpEval *self = AFP_EVAL (element);

  g_clear_pointer (&self->totals, eval_totals_free);
  self->totals = eval_totals_new ();
  g_hash_table_unref (self->totals->seen);
  self->totals->seen = g_hash_table_ref (self->owners);
  return !self->original || open_original (self, error);
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
judge (AfpEval *self, AfpTensor *tensor, AfpTensor *final, EvalSums *sums, gboolean *judged,
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
  if (!final || (!alias && !judge (self, tensor, final, &sums, &judged, error))) {
    g_prefix_error (error, "eval, tensor '%s': ", afp_spec_get_name (afp_tensor_get_spec (tensor)));
    return NULL;
  }
  g_mutex_lock (&self->lock);
  eval_totals_add (self->totals, final, judged ? &sums : NULL);
  g_mutex_unlock (&self->lock);
  return afp_tensor_ref (tensor);
}

static gboolean
eval_finish (AfpTransform *transform, GError **error)
{
  AfpEval *self = AFP_EVAL (transform);
  AfpElement *element = AFP_ELEMENT (self);
  g_autofree char *text = eval_text (self->totals, afp_element_get_name (element), self->rows);
  AfpRun *run = afp_element_get_run (element);

  if (run)
    afp_run_post (run, afp_message_new (AFP_MESSAGE_METRIC, afp_element_get_name (element), text,
                                        eval_totals_to_json (self->totals)));
  return eval_require_check (self->conditions, self->totals, afp_element_get_name (element), error);
}

static JsonNode *
eval_get_metrics (AfpElement *element)
{
  AfpEval *self = AFP_EVAL (element);

  return self->totals ? eval_totals_to_json (self->totals) : NULL;
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

static void
afp_eval_finalize (GObject *object)
{
  AfpEval *self = AFP_EVAL (object);

  g_clear_pointer (&self->conditions, g_array_unref);
  g_clear_pointer (&self->totals, eval_totals_free);
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
  afp_element_class_set_details (
      element_class, "Measures the error of the weights against the original",
      "load location=model.safetensors ! seedlm ! eval require='sqnr_db>10' ! null");
  element_class->check = eval_check;
  element_class->start = eval_start;
  element_class->stop = eval_stop;
  element_class->get_metrics = eval_get_metrics;
  element_class->save_found = eval_save_found;
  element_class->restore_found = eval_restore_found;
  AFP_TRANSFORM_CLASS (klass)->plan_tensor = eval_plan_tensor;
  AFP_TRANSFORM_CLASS (klass)->process = eval_process;
  AFP_TRANSFORM_CLASS (klass)->finish = eval_finish;
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
  return TRUE;
}

AFP_PLUGIN_DEFINE ("eval", AFP_VERSION, "LGPL-2.1-or-later", AFP_ORIGIN, "Elements that judge",
                   eval_init)
