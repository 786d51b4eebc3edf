/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-codec-private.h"
#include "afp-error.h"
#include "afp-registry.h"

#include <string.h>

G_DEFINE_BOXED_TYPE (AfpClaim, afp_claim, afp_claim_ref, afp_claim_unref)

/* Can the codec choose codes vector by vector? NULL: yes. */
static char *
find_open_loop_reason (const AfpLayout *layout)
{
  const guint length = layout->input.vector;
  guint n_codes = 0;

  if (length == 0)
    return g_strdup ("the plane declares no vector length");
  if (layout->open_loop)
    return g_strdup (layout->open_loop);
  if (length % layout->quantum != 0)
    return g_strdup_printf ("vectors of %u do not hold whole quanta of %u", length,
                            layout->quantum);
  if (afp_layout_get_n_children (layout) > AFP_QUANTIZER_MAX_CHILDREN)
    return g_strdup_printf ("it leaves more than %d planes", AFP_QUANTIZER_MAX_CHILDREN);
  for (guint i = 0; i < afp_layout_get_n_children (layout); i++) {
    const AfpPlaneDesc *child = afp_layout_get_child (layout, i);
    if (child->scope == AFP_SCOPE_ROW)
      return g_strdup_printf ("its plane '%s' depends on rows", child->name);
    if (child->scope == AFP_SCOPE_BLOCK && child->kind != AFP_KIND_CODE)
      return g_strdup_printf ("it leaves a float plane '%s' of the same size", child->name);
    if (child->scope == AFP_SCOPE_BLOCK)
      n_codes++;
  }
  return n_codes ? NULL : g_strdup ("it codes the plane as a whole");
}

/* A code plane with its padding. */
static guint64
stored_bytes (const AfpPlaneDesc *desc)
{
  const guint64 bytes = afp_plane_desc_bytes (desc), align = afp_size_align (bytes);

  return (bytes + align - 1) / align * align;
}

AfpClaim *
afp_claim_new (AfpCodec *codec, AfpLayout *layout, AfpClaim **children)
{
  AfpClaim *claim = g_new0 (AfpClaim, 1);

  g_atomic_ref_count_init (&claim->ref_count);
  claim->codec = g_object_ref (codec);
  claim->layout = layout;
  claim->children = children;
  claim->exact = TRUE;
  for (guint i = 0; i < afp_layout_get_n_children (layout); i++) {
    const AfpPlaneDesc *child = afp_layout_get_child (layout, i);
    gboolean exact = !child->bound;
    if (children && children[i]) {
      claim->bytes += afp_claim_get_bytes (children[i], &exact);
      claim->shared_bytes += children[i]->shared_bytes;
    } else if (child->kind == AFP_KIND_CODE) {
      claim->bytes += stored_bytes (child) + AFP_PLANE_ROW_BYTES;
      claim->shared_bytes += child->shared ? stored_bytes (child) : 0;
    }
    claim->exact = claim->exact && exact;
  }
  claim->open_loop_reason = find_open_loop_reason (layout);
  return claim;
}

AfpClaim *
afp_claim_ref (AfpClaim *claim)
{
  g_atomic_ref_count_inc (&claim->ref_count);
  return claim;
}

void
afp_claim_unref (AfpClaim *claim)
{
  if (!g_atomic_ref_count_dec (&claim->ref_count))
    return;
  for (guint i = 0; claim->children && i < afp_layout_get_n_children (claim->layout); i++)
    g_clear_pointer (&claim->children[i], afp_claim_unref);
  g_free (claim->children);
  afp_layout_unref (claim->layout);
  g_object_unref (claim->codec);
  g_free (claim->open_loop_reason);
  g_free (claim);
}

/**
 * afp_claim_new_fallback:
 * @desc: a float plane
 * @error: return location
 *
 * Returns: (transfer full): the claim of the codec that stores the plane if nobody takes it
 */
AfpClaim *
afp_claim_new_fallback (const AfpPlaneDesc *desc, GError **error)
{
  if (!desc->fallback || !*desc->fallback) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_PLAN, "plane '%s' (%s) declares no fallback",
                 desc->name, afp_plane_kind_name (desc->kind));
    return NULL;
  }
  g_auto (GStrv) words = g_strsplit (desc->fallback, " ", 2);
  AfpTransform *codec = afp_codec_find (words[0], 0, words[1] ? words[1] : "", error);
  if (!codec)
    return NULL;
  if (!AFP_IS_CODEC (codec)) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_PLAN,
                 "plane '%s': fallback '%s' is no codec for numbers", desc->name, desc->fallback);
    return NULL;
  }
  AfpLayout *layout = afp_codec_describe (AFP_CODEC (codec), desc, error);
  if (!layout)
    return NULL;
  for (guint i = 0; i < afp_layout_get_n_children (layout); i++)
    if (afp_layout_get_child (layout, i)->kind != AFP_KIND_CODE) {
      g_set_error (error, AFP_ERROR, AFP_ERROR_PLAN,
                   "plane '%s': fallback '%s' leaves a float plane itself", desc->name,
                   desc->fallback);
      afp_layout_unref (layout);
      return NULL;
    }
  AfpClaim *claim = afp_claim_new (AFP_CODEC (codec), layout, NULL);
  claim->is_fallback = TRUE;
  return claim;
}

AfpCodec *
afp_claim_get_codec (const AfpClaim *claim)
{
  return claim->codec;
}

const AfpLayout *
afp_claim_get_layout (const AfpClaim *claim)
{
  return claim->layout;
}

gboolean
afp_claim_is_fallback (const AfpClaim *claim)
{
  return claim->is_fallback;
}

/**
 * afp_claim_get_bytes:
 * @claim: a claim
 * @exact: (out) (optional): %FALSE if the bytes are an upper bound
 *
 * Returns: what the plane costs under this claim: code planes with padding and table rows, nested claims included
 */
guint64
afp_claim_get_bytes (const AfpClaim *claim, gboolean *exact)
{
  if (exact)
    *exact = claim->exact;
  return claim->bytes;
}

guint64
afp_claim_get_bytes_once (const AfpClaim *claim, GHashTable *owners, const char *tensor)
{
  guint64 bytes = 0;

  for (guint i = 0; i < afp_layout_get_n_children (claim->layout); i++) {
    const AfpPlaneDesc *child = afp_layout_get_child (claim->layout, i);
    if (claim->children && claim->children[i])
      bytes += afp_claim_get_bytes_once (claim->children[i], owners, tensor);
    else if (child->kind == AFP_KIND_CODE) {
      bytes += AFP_PLANE_ROW_BYTES;
      if (afp_plane_desc_counts_for (child, owners, tensor))
        bytes += stored_bytes (child);
    }
  }
  return bytes;
}

/* What the claim's codec makes of the plane. @children: one for each of the layout's */
AfpPlane *
afp_claim_make_plane (const AfpClaim *claim, AfpPlane *const *children)
{
  g_autofree char *params = afp_layout_get_params (claim->layout);
  AfpPlane *plane = afp_plane_new_coded (&claim->layout->input,
                                         afp_element_get_factory_name (AFP_ELEMENT (claim->codec)),
                                         AFP_CODEC_GET_CLASS (claim->codec)->version, params,
                                         afp_layout_get_n_children (claim->layout), children);

  afp_plane_set_maker (plane, claim->codec);
  return plane;
}

/* A fallback has no choices to keep, and its planes may depend on the size (f16's codes are one more than the numbers). */
static AfpLayout *
resize_layout (const AfpClaim *claim, guint64 rows, guint64 cols)
{
  AfpPlaneDesc desc = *afp_layout_get_input (claim->layout);

  desc.rows = rows;
  desc.cols = cols;
  return claim->is_fallback ? afp_codec_describe (claim->codec, &desc, NULL)
                            : afp_layout_resize (claim->layout, rows, cols);
}

AfpClaim *
afp_claim_resize (const AfpClaim *claim, guint64 rows, guint64 cols)
{
  AfpLayout *layout = resize_layout (claim, rows, cols);
  const guint n = afp_layout_get_n_children (layout);
  AfpClaim **children = claim->children ? g_new0 (AfpClaim *, n + 1) : NULL;

  for (guint i = 0; children && i < n; i++) {
    const AfpPlaneDesc *child = afp_layout_get_child (layout, i);
    if (claim->children[i])
      children[i] = afp_claim_resize (claim->children[i], child->rows, child->cols);
  }
  AfpClaim *copy = afp_claim_new (claim->codec, layout, children);
  copy->is_fallback = claim->is_fallback;
  copy->sampling = TRUE;
  return copy;
}

AfpClaim *
afp_claim_get_child (const AfpClaim *claim, guint child)
{
  return claim->children ? claim->children[child] : NULL;
}

const char *
afp_claim_get_open_loop_reason (const AfpClaim *claim)
{
  return claim->open_loop_reason;
}

/**
 * afp_claim_to_string:
 * @claim: a claim
 *
 * Returns: (transfer full): the planned recipe: "vptq/1(centroids=256){indices,codebook=f16/1{codes}}"
 */
char *
afp_claim_to_string (const AfpClaim *claim)
{
  g_autofree char *params = afp_layout_get_params (claim->layout);
  GString *text = g_string_new (afp_element_get_factory_name (AFP_ELEMENT (claim->codec)));

  g_string_append_printf (text, "/%u", AFP_CODEC_GET_CLASS (claim->codec)->version);
  if (*params)
    g_string_append_printf (text, "(%s)", params);
  for (guint i = 0; i < afp_layout_get_n_children (claim->layout); i++) {
    g_string_append_printf (text, "%s%s", i ? "," : "{",
                            afp_layout_get_child (claim->layout, i)->name);
    if (claim->children && claim->children[i]) {
      g_autofree char *nested = afp_claim_to_string (claim->children[i]);
      g_string_append_printf (text, "=%s", nested);
    }
  }
  if (afp_layout_get_n_children (claim->layout))
    g_string_append_c (text, '}');
  return g_string_free (text, FALSE);
}
