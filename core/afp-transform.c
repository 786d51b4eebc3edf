/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-transform.h"

#include "afp-plan-private.h"
#include "afp-quantizer.h"

typedef struct {
  AfpPad *sink;
  AfpPad *src;
} AfpTransformPrivate;

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

/* --- functions of the sink pad --- */

static gboolean
transform_plan (AfpPad *pad, AfpTensor *tensor, AfpPlan *plan, GError **error)
{
  AfpTransform *self = AFP_TRANSFORM (afp_pad_get_element (pad));
  GError *local = NULL;
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
  g_autoptr (AfpTensor) out = AFP_TRANSFORM_GET_CLASS (self)->process (self, tensor, &local);

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

static void
afp_transform_class_init (AfpTransformClass *klass)
{
  klass->plan_tensor = afp_transform_real_plan_tensor;
  klass->process = afp_transform_real_process;
  klass->describe = afp_transform_real_describe;
}

static void
afp_transform_init (AfpTransform *self)
{
  AfpTransformPrivate *priv = afp_transform_get_instance_private (self);

  priv->sink = afp_element_add_pad (AFP_ELEMENT (self), "sink", AFP_PAD_SINK);
  priv->src = afp_element_add_pad (AFP_ELEMENT (self), "src", AFP_PAD_SRC);
  afp_pad_set_functions (priv->sink, transform_chain, transform_plan, transform_finish,
                         transform_describe);
}
