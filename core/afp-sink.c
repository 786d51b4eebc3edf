/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-sink.h"

#include "afp-plan-private.h"

#include <string.h>

typedef struct {
  GMutex lock;         /* of what follows: a writer thread adds, others look */
  GPtrArray *records;  /* of AfpSinkRecord */
  GHashTable *recipes; /* distinct ones; owns the records' texts */
  GHashTable *seen;    /* shared planes, and the tensor that each counts for: known from the plan */
  guint64 total_bytes;
  GHashTable *
      held; /* name -> JsonNode or NULL: what its tensors' elements found out; whole before the threads begin */
  gboolean keeps;
  char *advice;
  GHashTable
      *families; /* family -> AfpSpec: the first of it that was planned; whole before the run */
} AfpSinkPrivate;

G_DEFINE_ABSTRACT_TYPE_WITH_PRIVATE (AfpSink, afp_sink, AFP_TYPE_ELEMENT)

static AfpSinkPrivate *
get_private (AfpSink *self)
{
  return afp_sink_get_instance_private (self);
}

static void
free_found (gpointer found)
{
  if (found)
    json_node_unref (found);
}

static void
record_free (AfpSinkRecord *record)
{
  afp_spec_unref (record->spec);
  g_free (record);
}

/* --- what was consumed --- */

static void
insert_record (AfpSink *self, AfpSpec *spec, const AfpSize *size, char *recipe)
{
  AfpSinkPrivate *priv = get_private (self);
  AfpSinkRecord *record = g_new0 (AfpSinkRecord, 1);

  record->spec = afp_spec_ref (spec);
  record->size = *size;

  g_mutex_lock (&priv->lock);
  priv->total_bytes += record->size.total;
  record->recipe = g_hash_table_lookup (priv->recipes, recipe);
  if (!record->recipe) {
    priv->total_bytes += afp_size_recipe_bytes (recipe);
    record->recipe = g_steal_pointer (&recipe);
    g_hash_table_add (priv->recipes, record->recipe);
  }
  g_ptr_array_add (priv->records, record);
  g_mutex_unlock (&priv->lock);
  g_free (recipe);
}

static void
add_record (AfpSink *self, AfpTensor *tensor)
{
  AfpSize size;

  afp_tensor_get_size_once (tensor, get_private (self)->seen, &size);
  insert_record (self, afp_tensor_get_spec (tensor), &size, afp_tensor_get_recipe (tensor));
}

gsize
afp_sink_get_n_records (AfpSink *self)
{
  AfpSinkPrivate *priv = get_private (self);
  g_mutex_lock (&priv->lock);
  gsize n = priv->records->len;
  g_mutex_unlock (&priv->lock);
  return n;
}

/* (transfer none) (nullable): NULL past the end */
const AfpSinkRecord *
afp_sink_get_record (AfpSink *self, gsize index)
{
  AfpSinkPrivate *priv = get_private (self);
  g_mutex_lock (&priv->lock);
  const AfpSinkRecord *record = index < priv->records->len ? priv->records->pdata[index] : NULL;
  g_mutex_unlock (&priv->lock);
  return record;
}

guint64
afp_sink_get_total_bytes (AfpSink *self)
{
  AfpSinkPrivate *priv = get_private (self);
  g_mutex_lock (&priv->lock);
  guint64 bytes = priv->total_bytes;
  g_mutex_unlock (&priv->lock);
  return bytes;
}

/* --- what is held already --- */

/**
 * afp_sink_hold:
 * @self: a sink, in its start function
 * @spec: of a tensor that it has from an earlier run, in the order of the stream
 * @size: its size then
 * @recipe: its recipe then
 * @found: (transfer full) (nullable): what afp_sink_collect_found() gave for it
 *
 * The tensor is not consumed again. If all sinks behind a stage hold it, the stage does not see it either, and is told what it found out then.
 */
void
afp_sink_hold (AfpSink *self, AfpSpec *spec, const AfpSize *size, const char *recipe,
               JsonNode *found)
{
  AfpSinkPrivate *priv = get_private (self);

  insert_record (self, spec, size, g_strdup (recipe));
  g_hash_table_insert (priv->held, g_strdup (afp_spec_get_name (spec)), found);
}

guint
afp_sink_get_n_held (AfpSink *self)
{
  return g_hash_table_size (get_private (self)->held);
}

gboolean
afp_sink_holds (AfpSink *self, const char *tensor)
{
  return g_hash_table_contains (get_private (self)->held, tensor);
}

/* (transfer none) (nullable): what the element called @element found out about a held tensor */
JsonNode *
afp_sink_get_found (AfpSink *self, const char *tensor, const char *element)
{
  JsonNode *found = g_hash_table_lookup (get_private (self)->held, tensor);
  return found && JSON_NODE_HOLDS_OBJECT (found)
             ? json_object_get_member (json_node_get_object (found), element)
             : NULL;
}

/**
 * afp_sink_collect_found:
 * @self: a sink that consumes a tensor
 * @tensor: its name
 *
 * Returns: (transfer full): an object with a member for each element before the sink that found something out about the tensor
 */
JsonNode *
afp_sink_collect_found (AfpSink *self, const char *tensor)
{
  JsonNode *node = json_node_init_object (json_node_alloc (), NULL);
  AfpPad *pad = afp_element_get_pad (AFP_ELEMENT (self), AFP_PAD_SINK, 0);

  json_node_take_object (node, json_object_new ());
  while (pad && afp_pad_get_peer (pad)) {
    AfpElement *element = afp_pad_get_element (afp_pad_get_peer (pad));
    AfpElementClass *klass = AFP_ELEMENT_GET_CLASS (element);
    JsonNode *found = klass->save_found ? klass->save_found (element, tensor) : NULL;

    if (found)
      json_object_set_member (json_node_get_object (node), afp_element_get_name (element), found);
    pad = afp_element_get_pad (element, AFP_PAD_SINK, 0);
  }
  return node;
}

/* After a run that ends early, what was consumed is of use: an interrupt waits for the tensor at work. */
void
afp_sink_set_keeps (AfpSink *self, gboolean keeps)
{
  get_private (self)->keeps = keeps;
}

gboolean
afp_sink_get_keeps (AfpSink *self)
{
  return get_private (self)->keeps;
}

/* How to go on after a run that failed: a part of its error. */
void
afp_sink_set_advice (AfpSink *self, const char *advice)
{
  AfpSinkPrivate *priv = get_private (self);

  g_free (priv->advice);
  priv->advice = g_strdup (advice);
}

const char *
afp_sink_get_advice (AfpSink *self)
{
  return get_private (self)->advice;
}

/* --- tied weights --- */

/*
 * Of several names for the same values the first that comes to this sink is the tensor, whatever was dropped on the way, and the
 * others are its aliases. (transfer full)
 */
static AfpTensor *
settle_alias (AfpSink *self, AfpTensor *tensor)
{
  AfpSpec *spec = afp_tensor_get_spec (tensor);
  AfpSpec *first = g_hash_table_lookup (get_private (self)->families, afp_spec_get_family (spec));
  const char *name = afp_spec_get_name (spec), *target = NULL;

  if (!first)
    return afp_tensor_ref (tensor);
  if (strcmp (afp_spec_get_name (first), name) != 0 && afp_spec_is_same_array (first, spec))
    target = afp_spec_get_name (first);
  if (g_strcmp0 (target, afp_spec_get_alias_of (spec)) == 0)
    return afp_tensor_ref (tensor);
  g_autoptr (AfpSpec) settled =
      afp_spec_new (name, afp_spec_get_dtype (spec), afp_spec_get_rank (spec),
                    afp_spec_get_shape (spec), afp_spec_get_view (spec), target);
  return afp_tensor_new_with_spec (tensor, settled, afp_tensor_get_root (tensor));
}

/* --- functions of the pad --- */

static gboolean
afp_sink_plan (AfpPad *pad, AfpTensor *tensor, AfpPlan *plan, GError **error)
{
  AfpSink *self = AFP_SINK (afp_pad_get_element (pad));
  AfpSinkClass *klass = AFP_SINK_GET_CLASS (self);
  GHashTable *families = get_private (self)->families;
  AfpSpec *spec = afp_tensor_get_spec (tensor);
  AfpSize size;

  if (!g_hash_table_contains (families, afp_spec_get_family (spec)))
    g_hash_table_insert (families, g_strdup (afp_spec_get_family (spec)), afp_spec_ref (spec));
  g_autoptr (AfpTensor) settled = settle_alias (self, tensor);
  g_autoptr (AfpTensor) finalized = afp_tensor_finalize (settled, NULL, error);

  if (!finalized || (klass->plan_tensor && !klass->plan_tensor (self, finalized, error)))
    return FALSE;
  /* Both are here when the stages before are done with them. */
  afp_plan_note_finalize (plan, tensor);
  afp_plan_hold (plan, tensor);
  afp_plan_hold (plan, finalized);
  afp_tensor_get_size_once (finalized, get_private (self)->seen, &size);
  afp_plan_note_output (plan, AFP_ELEMENT (self), finalized);
  return TRUE;
}

static gboolean
afp_sink_chain (AfpPad *pad, AfpTensor *tensor, GError **error)
{
  AfpSink *self = AFP_SINK (afp_pad_get_element (pad));
  AfpPool *pool = afp_element_get_pool (AFP_ELEMENT (self));
  g_autoptr (AfpTensor) settled = settle_alias (self, tensor);
  g_autoptr (AfpTensor) finalized = afp_tensor_finalize (settled, pool, error);

  if (!finalized)
    return FALSE;
  add_record (self, finalized);
  return AFP_SINK_GET_CLASS (self)->consume (self, finalized, error);
}

static gboolean
afp_sink_finish (AfpPad *pad, GError **error)
{
  AfpSink *self = AFP_SINK (afp_pad_get_element (pad));
  AfpSinkClass *klass = AFP_SINK_GET_CLASS (self);
  return klass->finish ? klass->finish (self, error) : TRUE;
}

/* After the last tensor was planned. */
gboolean
afp_sink_plan_end (AfpSink *self, AfpPlan *plan, GError **error)
{
  AfpSinkClass *klass = AFP_SINK_GET_CLASS (self);
  return klass->plan_end ? klass->plan_end (self, plan, error) : TRUE;
}

/* After every element finished well: the file gets its name. */
gboolean
afp_sink_publish (AfpSink *self, GError **error)
{
  AfpSinkClass *klass = AFP_SINK_GET_CLASS (self);
  return klass->publish ? klass->publish (self, error) : TRUE;
}

/* --- GObject --- */

static gboolean
afp_sink_real_consume (AfpSink *self, AfpTensor *tensor, GError **error)
{
  return TRUE;
}

static void
afp_sink_finalize (GObject *object)
{
  AfpSinkPrivate *priv = get_private (AFP_SINK (object));

  g_ptr_array_unref (priv->records);
  g_hash_table_unref (priv->recipes);
  g_hash_table_unref (priv->held);
  g_hash_table_unref (priv->families);
  g_free (priv->advice);
  g_hash_table_unref (priv->seen);
  g_mutex_clear (&priv->lock);
  G_OBJECT_CLASS (afp_sink_parent_class)->finalize (object);
}

static void
afp_sink_class_init (AfpSinkClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = afp_sink_finalize;
  klass->consume = afp_sink_real_consume;
}

static void
afp_sink_init (AfpSink *self)
{
  AfpSinkPrivate *priv = get_private (self);
  AfpPad *pad = afp_element_add_pad (AFP_ELEMENT (self), "sink", AFP_PAD_SINK);

  g_mutex_init (&priv->lock);
  priv->families =
      g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) afp_spec_unref);
  priv->records = g_ptr_array_new_with_free_func ((GDestroyNotify) record_free);
  priv->recipes = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  priv->held = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, free_found);
  priv->seen = g_hash_table_new (NULL, NULL);
  /* No describe function: a sink takes no float plane, their fallbacks store them. */
  afp_pad_set_functions (pad, afp_sink_chain, afp_sink_plan, afp_sink_finish, NULL);
}
