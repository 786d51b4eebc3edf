/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-transform.h"

#include "afp-plan-private.h"
#include "afp-quantizer.h"

typedef struct {
  AfpPad *sink;
  AfpPad *src;
  GMutex lock;          /* of the families while it runs */
  GHashTable *families; /* name -> Family; whole before the run */
} AfpTransformPrivate;

/* Names of the same values (tied weights): what the first of them became is kept until the last has passed. */
typedef struct {
  guint n_left;
  AfpTensor *in, *out; /* (nullable) */
} Family;

G_DEFINE_ABSTRACT_TYPE_WITH_PRIVATE (AfpTransform, afp_transform, AFP_TYPE_ELEMENT)

/* (transfer none) */
AfpPad *
afp_transform_get_src (AfpTransform *self)
{
  AfpTransformPrivate *priv = afp_transform_get_instance_private (self);
  return priv->src;
}

/* (transfer none) */
AfpPad *
afp_transform_get_sink (AfpTransform *self)
{
  AfpTransformPrivate *priv = afp_transform_get_instance_private (self);
  return priv->sink;
}

/* --- tied weights --- */

static void
family_clear (Family *family)
{
  g_clear_pointer (&family->in, afp_tensor_unref);
  g_clear_pointer (&family->out, afp_tensor_unref);
}

static void
family_free (gpointer data)
{
  family_clear (data);
  g_free (data);
}

static void
count_family (AfpTransform *self, AfpTensor *tensor)
{
  AfpTransformPrivate *priv = afp_transform_get_instance_private (self);
  const char *name = afp_spec_get_family (afp_tensor_get_spec (tensor));
  Family *family = g_hash_table_lookup (priv->families, name);

  if (!family) {
    family = g_new0 (Family, 1);
    g_hash_table_insert (priv->families, g_strdup (name), family);
  }
  family->n_left++;
}

/* The same planes, or raw arrays of the same kind in the same bytes. */
static gboolean
has_same_values (AfpTensor *a, AfpTensor *b)
{
  AfpPlane *first = afp_tensor_get_root (a), *second = afp_tensor_get_root (b);
  GBytes *x = afp_plane_get_data (first), *y = afp_plane_get_data (second);
  AfpSpec *left = afp_tensor_get_spec (a), *right = afp_tensor_get_spec (b);

  if (!afp_spec_is_same_array (left, right))
    return FALSE;
  return first == second || (afp_tensor_is_raw (a) && afp_tensor_is_raw (b) && x && y &&
                             g_bytes_get_data (x, NULL) == g_bytes_get_data (y, NULL));
}

/* (transfer full) (nullable): what the tensor becomes by what another of its family became */
static AfpTensor *
take_from_family (AfpTransform *self, AfpTensor *tensor, Family *family)
{
  AfpTransformPrivate *priv = afp_transform_get_instance_private (self);
  AfpTensor *out = NULL;

  g_mutex_lock (&priv->lock);
  if (family->n_left > 0)
    family->n_left--;
  if (family->in && has_same_values (family->in, tensor))
    out = afp_tensor_new_with_root (tensor, afp_tensor_get_root (family->out));
  if (family->n_left == 0)
    family_clear (family);
  g_mutex_unlock (&priv->lock);
  return out;
}

static void
give_to_family (AfpTransform *self, AfpTensor *in, AfpTensor *out, Family *family)
{
  AfpTransformPrivate *priv = afp_transform_get_instance_private (self);

  g_mutex_lock (&priv->lock);
  if (family->n_left > 0 && !family->in) {
    family->in = afp_tensor_ref (in);
    family->out = afp_tensor_ref (out);
  }
  g_mutex_unlock (&priv->lock);
}

static AfpTensor *
process (AfpTransform *self, AfpTensor *tensor, GError **error)
{
  AfpTransformPrivate *priv = afp_transform_get_instance_private (self);
  AfpTransformClass *klass = AFP_TRANSFORM_GET_CLASS (self);
  Family *family = NULL;

  if (klass->reuses)
    family =
        g_hash_table_lookup (priv->families, afp_spec_get_family (afp_tensor_get_spec (tensor)));
  AfpTensor *out = family ? take_from_family (self, tensor, family) : NULL;
  if (out)
    return out;
  out = klass->process (self, tensor, error);
  if (out && family)
    give_to_family (self, tensor, out, family);
  return out;
}

/* --- functions of the sink pad --- */

static gboolean
transform_plan (AfpPad *pad, AfpTensor *tensor, AfpPlan *plan, GError **error)
{
  AfpTransform *self = AFP_TRANSFORM (afp_pad_get_element (pad));
  GError *local = NULL;
  if (AFP_TRANSFORM_GET_CLASS (self)->reuses)
    count_family (self, tensor);
  g_autoptr (AfpTensor) out =
      AFP_TRANSFORM_GET_CLASS (self)->plan_tensor (self, tensor, plan, &local);

  if (local) {
    g_propagate_error (error, local);
    return FALSE;
  }
  afp_plan_note_tensor (plan, AFP_ELEMENT (self), tensor, out);
  if (!out)
    return TRUE;
  afp_plan_hold (plan, out);
  const gboolean ok = afp_pad_push_plan (afp_transform_get_src (self), out, plan, error);
  afp_plan_drop (plan, out);
  return ok;
}

static gboolean
transform_chain (AfpPad *pad, AfpTensor *tensor, GError **error)
{
  AfpTransform *self = AFP_TRANSFORM (afp_pad_get_element (pad));
  GError *local = NULL;
  g_autoptr (AfpTensor) out = process (self, tensor, &local);

  if (local) {
    g_propagate_error (error, local);
    return FALSE;
  }
  return out ? afp_pad_push (afp_transform_get_src (self), out, error) : TRUE;
}

static gboolean
transform_finish (AfpPad *pad, GError **error)
{
  AfpTransform *self = AFP_TRANSFORM (afp_pad_get_element (pad));
  AfpTransformClass *klass = AFP_TRANSFORM_GET_CLASS (self);

  if (klass->finish && !klass->finish (self, error))
    return FALSE;
  return afp_pad_push_finish (afp_transform_get_src (self), error);
}

static AfpClaim *
transform_describe (AfpPad *pad, AfpSpec *spec, const char *path, const AfpPlaneDesc *desc)
{
  AfpTransform *self = AFP_TRANSFORM (afp_pad_get_element (pad));
  AfpTransformClass *klass = AFP_TRANSFORM_GET_CLASS (self);

  return klass->terminates_queries ? NULL : klass->describe (self, spec, path, desc);
}

/* --- what a class does that says nothing else: let everything pass --- */

static AfpTensor *
afp_transform_real_plan_tensor (AfpTransform *self, AfpTensor *tensor, AfpPlan *plan,
                                GError **error)
{
  return afp_tensor_ref (tensor);
}

static AfpTensor *
afp_transform_real_process (AfpTransform *self, AfpTensor *tensor, GError **error)
{
  return afp_tensor_ref (tensor);
}

static AfpClaim *
afp_transform_real_describe (AfpTransform *self, AfpSpec *spec, const char *path,
                             const AfpPlaneDesc *desc)
{
  if (AFP_TRANSFORM_GET_CLASS (self)->terminates_queries)
    return NULL;
  return afp_pad_query_claim (afp_transform_get_src (self), spec, path, desc);
}

/* What is kept for tied weights that did not come, as the run was stopped, holds the codec that made it. */
static void
afp_transform_dispose (GObject *object)
{
  AfpTransformPrivate *priv = afp_transform_get_instance_private (AFP_TRANSFORM (object));

  g_hash_table_remove_all (priv->families);
  G_OBJECT_CLASS (afp_transform_parent_class)->dispose (object);
}

static void
afp_transform_finalize (GObject *object)
{
  AfpTransformPrivate *priv = afp_transform_get_instance_private (AFP_TRANSFORM (object));

  g_hash_table_unref (priv->families);
  g_mutex_clear (&priv->lock);
  G_OBJECT_CLASS (afp_transform_parent_class)->finalize (object);
}

static void
afp_transform_class_init (AfpTransformClass *klass)
{
  G_OBJECT_CLASS (klass)->dispose = afp_transform_dispose;
  G_OBJECT_CLASS (klass)->finalize = afp_transform_finalize;
  klass->plan_tensor = afp_transform_real_plan_tensor;
  klass->process = afp_transform_real_process;
  klass->describe = afp_transform_real_describe;
}

static void
afp_transform_init (AfpTransform *self)
{
  AfpTransformPrivate *priv = afp_transform_get_instance_private (self);

  g_mutex_init (&priv->lock);
  priv->families = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, family_free);
  priv->sink = afp_element_add_pad (AFP_ELEMENT (self), "sink", AFP_PAD_SINK);
  priv->src = afp_element_add_pad (AFP_ELEMENT (self), "src", AFP_PAD_SRC);
  afp_pad_set_functions (priv->sink, transform_chain, transform_plan, transform_finish,
                         transform_describe);
}
