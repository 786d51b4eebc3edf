/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "flow.h"

/*
 * tee: hands each tensor to every branch, one after the other. Branches see the same planes; a quantizer query ends here, for two branches
 * might give two answers.
 *
 *   afpipe-launch "load location=m.h5 ! seedlm ! tee name=t ! null  t. ! entropy ! null"
 */
struct _AfpTee {
  AfpElement parent_instance;
  guint n_branches;
};

G_DEFINE_FINAL_TYPE (AfpTee, afp_tee, AFP_TYPE_ELEMENT)

static gboolean
tee_chain (AfpPad *pad, AfpTensor *tensor, GError **error)
{
  AfpElement *self = afp_pad_get_element (pad);

  for (guint i = 0; i < afp_element_get_n_pads (self, AFP_PAD_SRC); i++)
    if (!afp_pad_push (afp_element_get_pad (self, AFP_PAD_SRC, i), tensor, error))
      return FALSE;
  return TRUE;
}

static gboolean
tee_plan (AfpPad *pad, AfpTensor *tensor, AfpPlan *plan, GError **error)
{
  AfpElement *self = afp_pad_get_element (pad);

  afp_plan_note_tensor (plan, self, tensor, tensor);
  for (guint i = 0; i < afp_element_get_n_pads (self, AFP_PAD_SRC); i++)
    if (!afp_pad_push_plan (afp_element_get_pad (self, AFP_PAD_SRC, i), tensor, plan, error))
      return FALSE;
  return TRUE;
}

static gboolean
tee_finish (AfpPad *pad, GError **error)
{
  AfpElement *self = afp_pad_get_element (pad);

  for (guint i = 0; i < afp_element_get_n_pads (self, AFP_PAD_SRC); i++)
    if (!afp_pad_push_finish (afp_element_get_pad (self, AFP_PAD_SRC, i), error))
      return FALSE;
  return TRUE;
}

static AfpClaim *
tee_describe (AfpPad *pad, AfpSpec *spec, const char *path, const AfpPlaneDesc *desc)
{
  return NULL;
}

static AfpPad *
tee_request_pad (AfpElement *element, AfpPadDirection direction)
{
  AfpTee *self = AFP_TEE (element);

  if (direction != AFP_PAD_SRC)
    return NULL;
  g_autofree char *name = g_strdup_printf ("src%u", self->n_branches++);
  return afp_element_add_pad (element, name, AFP_PAD_SRC);
}

static void
afp_tee_class_init (AfpTeeClass *klass)
{
  AFP_ELEMENT_CLASS (klass)->request_pad = tee_request_pad;
  afp_element_class_set_details (
      AFP_ELEMENT_CLASS (klass), "Hands each tensor to every branch",
      "load location=m.h5 ! tee name=t ! seedlm ! null  t. ! vptq ! null");
}

static void
afp_tee_init (AfpTee *self)
{
  AfpPad *sink = afp_element_add_pad (AFP_ELEMENT (self), "sink", AFP_PAD_SINK);

  afp_pad_set_functions (sink, tee_chain, tee_plan, tee_finish, tee_describe);
}
