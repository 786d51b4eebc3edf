/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "io.h"

/*
 * decode: the dense array again, from the finalized planes and from nothing else. What is plain already passes, unless it is to
 * get another dtype, or its own has blocks; tensors that no codec can take (integers, bool, scalars) always pass as they are.
 */
struct _AfpDecode {
  AfpTransform parent_instance;
  int dtype;
};

G_DEFINE_FINAL_TYPE (AfpDecode, afp_decode, AFP_TYPE_TRANSFORM)

static const char *const dtypes[] = { "auto", "f32", "f16", "bf16", "f64", NULL };
static const AfpDType dtype_values[] = { AFP_N_DTYPES, AFP_DTYPE_F32, AFP_DTYPE_F16, AFP_DTYPE_BF16,
                                         AFP_DTYPE_F64 };

static const AfpProperty properties[] = {
  AFP_PROP_ENUM (
      "dtype", NULL, 0, AfpDecode, dtype, "auto", dtypes,
      "Element type of the decoded arrays; auto is that of the input model, f32 where that has blocks or "
      "8 bits"),
};

static gboolean
is_takeable (AfpTensor *tensor)
{
  return afp_plane_get_desc (afp_tensor_get_root (tensor))->kind != AFP_KIND_RAW;
}

/*
 * The dtype that is asked for. Numbers of a type with blocks become f32, which holds them exactly; so do those of a type of 8 bits
 * that were coded: to round them would cost more than the codec did.
 */
static AfpDType
target_dtype (AfpDecode *self, AfpTensor *tensor)
{
  const AfpDType own = afp_spec_get_dtype (afp_tensor_get_spec (tensor));
  const gboolean as_it_is = afp_tensor_is_raw (tensor) && !afp_dtype_has_row_blocks (own);

  if (self->dtype > 0)
    return dtype_values[self->dtype];
  return as_it_is || afp_dtype_is_writable (own) ? own : AFP_DTYPE_F32;
}

/* The tensor's spec in the target dtype. (transfer full) */
static AfpSpec *
target_spec (AfpDecode *self, AfpTensor *tensor)
{
  AfpSpec *spec = afp_tensor_get_spec (tensor);
  const AfpDType dtype = target_dtype (self, tensor);

  if (dtype == afp_spec_get_dtype (spec) || !is_takeable (tensor))
    return afp_spec_ref (spec);
  return afp_spec_new (afp_spec_get_name (spec), dtype, afp_spec_get_rank (spec),
                       afp_spec_get_shape (spec), afp_spec_get_view (spec),
                       afp_spec_get_alias_of (spec));
}

static AfpTensor *
with_root (AfpTensor *tensor, AfpSpec *spec, AfpPlane *root)
{
  return spec == afp_tensor_get_spec (tensor) ? afp_tensor_new_with_root (tensor, root)
                                              : afp_tensor_new_with_spec (tensor, spec, root);
}

static AfpTensor *
decode_plan_tensor (AfpTransform *transform, AfpTensor *tensor, AfpPlan *plan, GError **error)
{
  AfpDecode *self = AFP_DECODE (transform);
  g_autoptr (AfpSpec) spec = target_spec (self, tensor);

  if (afp_tensor_is_raw (tensor) && spec == afp_tensor_get_spec (tensor))
    return afp_tensor_ref (tensor);
  /* That it can be finalized is known now, not in the run. */
  g_autoptr (AfpTensor) finalized = afp_tensor_finalize (tensor, NULL, error);
  if (finalized == NULL)
    return NULL;
  afp_plan_note_decode (plan, tensor, finalized);
  g_autoptr (AfpPlane) root = afp_plane_new_raw (spec, NULL);
  return with_root (tensor, spec, root);
}

static AfpTensor *
decode_process (AfpTransform *transform, AfpTensor *tensor, GError **error)
{
  AfpDecode *self = AFP_DECODE (transform);
  AfpPool *pool = afp_element_get_pool (AFP_ELEMENT (self));
  g_autoptr (AfpSpec) spec = target_spec (self, tensor);

  if (afp_tensor_is_raw (tensor) && spec == afp_tensor_get_spec (tensor))
    return afp_tensor_ref (tensor);
  g_autoptr (AfpTensor) finalized = afp_tensor_finalize (tensor, pool, error);
  if (finalized == NULL)
    return NULL;
  g_autoptr (AfpMatrix) matrix =
      afp_plane_open (afp_tensor_get_root (finalized), afp_tensor_get_spec (tensor), error);
  if (matrix == NULL)
    return NULL;
  g_autoptr (GBytes) raw = afp_matrix_to_raw (matrix, spec, afp_spec_get_dtype (spec), pool, error);
  if (raw == NULL)
    return NULL;
  g_autoptr (AfpPlane) root = afp_plane_new_raw (spec, raw);
  return with_root (tensor, spec, root);
}

static void
afp_decode_class_init (AfpDecodeClass *klass)
{
  AfpTransformClass *transform_class = AFP_TRANSFORM_CLASS (klass);
  AfpElementClass *element_class = AFP_ELEMENT_CLASS (klass);

  afp_element_class_add_properties (element_class, properties, G_N_ELEMENTS (properties), 0);
  afp_element_class_set_details (
      element_class, "Decodes coded tensors to plain arrays",
      "load location=small.h5 ! decode ! write location=back.safetensors");
  transform_class->plan_tensor = decode_plan_tensor;
  transform_class->process = decode_process;
  transform_class->sample = decode_process;
  transform_class->terminates_queries = TRUE;
}

static void
afp_decode_init (AfpDecode *self)
{
}
