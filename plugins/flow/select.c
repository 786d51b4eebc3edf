/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "flow.h"

/*
 * select: drops tensors from the stream. (To leave a tensor uncoded but keep it, use tensors= or exclude= of a codec.)
 */
struct _AfpSelect {
  AfpTransform parent_instance;
  char *tensors;
  char *exclude;
  guint min_dims;
  guint64 min_weights;
};

G_DEFINE_FINAL_TYPE (AfpSelect, afp_select, AFP_TYPE_TRANSFORM)

static const AfpProperty properties[] = {
  AFP_PROP_STRING ("tensors", NULL, 0, AfpSelect, tensors, NULL,
                   "Globs of tensor names to keep, separated by commas; all if unset"),
  AFP_PROP_STRING ("exclude", NULL, 0, AfpSelect, exclude, NULL,
                   "Globs of tensor names to drop, separated by commas"),
  AFP_PROP_UINT ("min-dims", NULL, 0, AfpSelect, min_dims, 0, AFP_MAX_RANK, "0", "axes",
                 "Drop tensors of fewer dimensions"),
  AFP_PROP_SIZE ("min-weights", NULL, 0, AfpSelect, min_weights, 0, 0x1p40, "0", "weights",
                 "Drop smaller tensors"),
};

static gboolean
match_globs (const char *globs, const char *name)
{
  g_auto (GStrv) list = g_strsplit (globs, ",", -1);

  for (guint i = 0; list[i]; i++)
    if (g_pattern_match_simple (g_strstrip (list[i]), name))
      return TRUE;
  return FALSE;
}

static AfpTensor *
keep_or_drop (AfpSelect *self, AfpTensor *tensor)
{
  AfpSpec *spec = afp_tensor_get_spec (tensor);
  const char *name = afp_spec_get_name (spec);

  if ((self->tensors && !match_globs (self->tensors, name)) ||
      (self->exclude && match_globs (self->exclude, name)) ||
      afp_spec_get_rank (spec) < self->min_dims ||
      afp_spec_get_n_elements (spec) < self->min_weights)
    return NULL;
  return afp_tensor_ref (tensor);
}

static AfpTensor *
select_plan_tensor (AfpTransform *transform, AfpTensor *tensor, AfpPlan *plan, GError **error)
{
  return keep_or_drop (AFP_SELECT (transform), tensor);
}

static AfpTensor *
select_process (AfpTransform *transform, AfpTensor *tensor, GError **error)
{
  return keep_or_drop (AFP_SELECT (transform), tensor);
}

static void
afp_select_class_init (AfpSelectClass *klass)
{
  afp_element_class_add_properties (AFP_ELEMENT_CLASS (klass), properties,
                                    G_N_ELEMENTS (properties), 0);
  afp_element_class_set_details (
      AFP_ELEMENT_CLASS (klass), "Drops tensors from the stream",
      "load location=model.safetensors ! select tensors=*mlp* ! seedlm ! eval ! null");
  AFP_TRANSFORM_CLASS (klass)->plan_tensor = select_plan_tensor;
  AFP_TRANSFORM_CLASS (klass)->process = select_process;
}

static void
afp_select_init (AfpSelect *self)
{
}
