/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-packer.h"

#include "afp-codec-private.h"
#include "afp-error.h"
#include "afp-plan-private.h"

G_DEFINE_ABSTRACT_TYPE (AfpPacker, afp_packer, AFP_TYPE_TRANSFORM)

/* The one child of a packed code plane. */
AfpPlaneDesc
afp_packer_child_desc (AfpPacker *self, const AfpPlaneDesc *code)
{
  return (AfpPlaneDesc){ .name = g_intern_static_string ("packed"),
                         .kind = AFP_KIND_CODE,
                         .scope = AFP_SCOPE_TENSOR,
                         .rows = 1,
                         .cols = AFP_PACKER_GET_CLASS (self)->bound (self, code),
                         .bits = 8,
                         .bound = TRUE,
                         .shared = code->shared };
}

/* (transfer full): the packed symbols of a code plane that a packer coded */
GBytes *
afp_packer_unpack_plane (AfpPlane *plane, GError **error)
{
  const AfpPlaneDesc *desc = afp_plane_get_desc (plane);
  AfpTransform *element =
      afp_codec_find (afp_plane_get_codec (plane), afp_plane_get_codec_version (plane),
                      afp_plane_get_params (plane), error);

  if (!element)
    return NULL;
  GBytes *packed = afp_plane_get_n_children (plane) == 1
                       ? afp_plane_get_data (afp_plane_get_child (plane, 0))
                       : NULL;
  if (!AFP_IS_PACKER (element) || !packed) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                 "plane '%s': codec '%s' is no lossless coder, or its bytes are missing",
                 desc->name, afp_plane_get_codec (plane));
    return NULL;
  }
  GBytes *codes =
      AFP_PACKER_GET_CLASS (element)->unpack (AFP_PACKER (element), desc, packed, error);
  if (!codes)
    g_prefix_error (error, "plane '%s': ", desc->name);
  return codes;
}

static char *
packer_params (AfpPacker *self)
{
  AfpElement *element = AFP_ELEMENT (self);
  GString *text = g_string_new (NULL);
  gsize n;
  g_autofree const AfpProperty **properties =
      afp_element_class_list_properties (AFP_ELEMENT_GET_CLASS (self), &n);

  for (gsize i = 0; i < n; i++) {
    if (!(properties[i]->flags & AFP_PROPERTY_FORMAT))
      continue;
    g_autofree char *value = afp_element_get_property_text (element, properties[i]->name);
    g_string_append_printf (text, "%s%s=%s", text->len ? "," : "", properties[i]->name, value);
  }
  return g_string_free (text, FALSE);
}

static AfpPlane *
pack_code_plane (AfpPacker *self, AfpPlane *plane, GError **error)
{
  const AfpPlaneDesc *desc = afp_plane_get_desc (plane);
  AfpPlaneDesc child_desc = afp_packer_child_desc (self, desc);
  g_autoptr (GBytes) packed = NULL;

  if (afp_plane_get_data (plane)) {
    packed = AFP_PACKER_GET_CLASS (self)->pack (self, desc, afp_plane_get_data (plane), error);
    if (!packed)
      return NULL;
    if (g_bytes_get_size (packed) > child_desc.cols) {
      g_set_error (error, AFP_ERROR, AFP_ERROR_CODEC,
                   "plane '%s': %s packed it into %" G_GSIZE_FORMAT
                   " bytes, but planned at most %" G_GUINT64_FORMAT
                   ": its function bound() is wrong",
                   desc->name, afp_element_get_factory_name (AFP_ELEMENT (self)),
                   g_bytes_get_size (packed), child_desc.cols);
      return NULL;
    }
    child_desc.cols = g_bytes_get_size (packed);
  }
  g_autoptr (AfpPlane) child = afp_plane_new_code (&child_desc, packed);
  g_autofree char *params = packer_params (self);
  return afp_plane_new_coded (desc, afp_element_get_factory_name (AFP_ELEMENT (self)),
                              AFP_PACKER_GET_CLASS (self)->version, params, 1, &child);
}

typedef struct {
  AfpPacker *self;
  AfpSpec *spec;
  AfpPool *pool;
  AfpPlan *plan; /* NULL in the run */
} PackJob;

static AfpPlane *pack_under (PackJob *job, AfpPlane *plane, const char *path, GError **error);

static AfpPlane *
pack_children (PackJob *job, AfpPlane *plane, const char *path, GError **error)
{
  g_autoptr (AfpPlane) result = afp_plane_ref (plane);

  for (guint i = 0; i < afp_plane_get_n_children (plane); i++) {
    AfpPlane *child = afp_plane_get_child (plane, i);
    g_autofree char *child_path = g_strconcat (path, "/", afp_plane_get_desc (child)->name, NULL);
    g_autoptr (AfpPlane) other = pack_under (job, child, child_path, error);
    if (!other)
      return NULL;
    if (other != child) {
      AfpPlane *copy = afp_plane_replace_child (result, i, other);
      afp_plane_unref (result);
      result = copy;
    }
  }
  return g_steal_pointer (&result);
}

static AfpPlane *
pack_under (PackJob *job, AfpPlane *plane, const char *path, GError **error)
{
  const AfpPlaneDesc *desc = afp_plane_get_desc (plane);
  AfpPad *src = afp_transform_get_src (AFP_TRANSFORM (job->self));

  if (desc->kind == AFP_KIND_CODE && afp_plane_get_codec (plane))
    return afp_plane_ref (plane);
  if (desc->kind == AFP_KIND_CODE) {
    if (job->plan && AFP_PACKER_GET_CLASS (job->self)->scratch)
      afp_plan_note_memory (job->plan, job->spec,
                            AFP_PACKER_GET_CLASS (job->self)->scratch (job->self, desc));
    return pack_code_plane (job->self, plane, error);
  }
  if (afp_plane_get_codec (plane))
    return pack_children (job, plane, path, error);
  if (afp_plane_desc_is_array (desc))
    return afp_plane_ref (plane);
  g_autoptr (AfpClaim) claim = afp_pad_query_claim (src, job->spec, path, desc);
  if (claim)
    return afp_plane_ref (plane);
  g_autofree char *name = g_strconcat (afp_spec_get_family (job->spec), "/", path, NULL);
  g_autoptr (AfpPlane) coded = afp_plane_finalize_float (plane, name, job->pool, error);
  return coded ? pack_children (job, coded, path, error) : NULL;
}

static AfpTensor *
pack_tensor (AfpPacker *self, AfpTensor *tensor, AfpPlan *plan, GError **error)
{
  AfpPlane *root = afp_tensor_get_root (tensor);
  PackJob job = { self, afp_tensor_get_spec (tensor), afp_element_get_pool (AFP_ELEMENT (self)),
                  plan };
  g_autoptr (AfpPlane) result = pack_under (&job, root, afp_plane_get_desc (root)->name, error);

  if (!result) {
    g_prefix_error (error, "tensor '%s': ", afp_spec_get_name (job.spec));
    return NULL;
  }
  return afp_tensor_new_with_root (tensor, result);
}

static AfpTensor *
packer_plan_tensor (AfpTransform *transform, AfpTensor *tensor, AfpPlan *plan, GError **error)
{
  afp_plan_note_finalize (plan, tensor);
  return pack_tensor (AFP_PACKER (transform), tensor, plan, error);
}

static AfpTensor *
packer_process (AfpTransform *transform, AfpTensor *tensor, GError **error)
{
  return pack_tensor (AFP_PACKER (transform), tensor, NULL, error);
}

static void
afp_packer_class_init (AfpPackerClass *klass)
{
  AFP_TRANSFORM_CLASS (klass)->reuses = TRUE;
  AFP_TRANSFORM_CLASS (klass)->plan_tensor = packer_plan_tensor;
  AFP_TRANSFORM_CLASS (klass)->process = packer_process;
  klass->version = 1;
}

static void
afp_packer_init (AfpPacker *self)
{
}
