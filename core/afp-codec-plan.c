/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-codec-private.h"
#include "afp-error.h"
#include "afp-feedback.h"
#include "afp-pad.h"
#include "afp-plan-private.h"

/*
 * A codec while the pipeline is planned: which planes it takes, and what that costs.
 */

static guint64
fallback_bytes (AfpSpec *spec, const AfpPlaneDesc *desc)
{
  if (afp_plane_desc_is_array (desc)) {
    const guint64 bytes = afp_spec_get_n_bytes (spec), align = afp_size_align (bytes);
    return (bytes + align - 1) / align * align + AFP_PLANE_ROW_BYTES;
  }
  g_autoptr (AfpClaim) fallback = afp_claim_new_fallback (desc, NULL);
  return fallback ? afp_claim_get_bytes (fallback, NULL) : G_MAXUINT64;
}

/* What this codec would make of the plane, whoever may take what it leaves; NULL: cannot. */
static AfpClaim *
make_claim (AfpCodec *self, AfpCodec *variant, AfpSpec *spec, const char *path,
            const AfpPlaneDesc *desc, GError **error)
{
  g_autoptr (AfpLayout) layout = afp_codec_describe (variant, desc, error);

  if (!layout)
    return NULL;
  const guint n = afp_layout_get_n_children (layout);
  AfpClaim **children = g_new0 (AfpClaim *, n + 1);
  for (guint i = 0; i < n; i++) {
    const AfpPlaneDesc *child = afp_layout_get_child (layout, i);
    if (!afp_plane_desc_is_float (child))
      continue;
    g_autofree char *child_path = g_strconcat (path, "/", child->name, NULL);
    children[i] =
        afp_pad_query_claim (afp_transform_get_src (AFP_TRANSFORM (self)), spec, child_path, child);
    if (!children[i] && !(children[i] = afp_claim_new_fallback (child, error))) {
      for (guint j = 0; j < i; j++)
        g_clear_pointer (&children[j], afp_claim_unref);
      g_free (children);
      return NULL;
    }
  }
  return afp_claim_new (variant, g_steal_pointer (&layout), children);
}

typedef struct {
  guint64 bytes, fallback; /* bytes: without what other tensors have, too */
  gboolean exact, forced;
  char *why;
  char *what;
  GError *error; /* a property that cannot be meant: the plan fails */
} Verdict;

static void
verdict_clear (Verdict *verdict)
{
  g_free (verdict->why);
  g_free (verdict->what);
  g_clear_error (&verdict->error);
}

/* The one decision: (transfer full) the claim if this codec takes the plane, else NULL and why. */
static AfpClaim *
decide (AfpCodec *self, AfpSpec *spec, const char *path, const AfpPlaneDesc *desc, Verdict *verdict)
{
  g_autoptr (GError) error = NULL;
  AfpCodec *variant =
      afp_routing_match (afp_codec_get_routing (self), self, spec, desc, &verdict->why);

  verdict->fallback = fallback_bytes (spec, desc);
  if (!variant)
    return NULL;
  g_autoptr (AfpClaim) claim = make_claim (self, variant, spec, path, desc, &error);
  if (!claim) {
    verdict->why = g_strdup (error->message);
    if (g_error_matches (error, AFP_ERROR, AFP_ERROR_PROPERTY))
      verdict->error = g_steal_pointer (&error);
    return NULL;
  }
  verdict->bytes = afp_claim_get_bytes (claim, &verdict->exact) - claim->shared_bytes;
  verdict->what = afp_claim_to_string (claim);
  verdict->forced = desc->optional || afp_codec_get_routing (variant)->force;
  if (verdict->bytes < verdict->fallback || verdict->forced)
    return g_steal_pointer (&claim);
  verdict->why = g_strdup ("costs more than it saves");
  return NULL;
}

AfpClaim *
afp_codec_describe_plane (AfpTransform *transform, AfpSpec *spec, const char *path,
                          const AfpPlaneDesc *desc)
{
  AfpCodec *self = AFP_CODEC (transform);
  Verdict verdict = { 0 };
  AfpClaim *claim = decide (self, spec, path, desc, &verdict);

  verdict_clear (&verdict);
  return claim ? claim : afp_pad_query_claim (afp_transform_get_src (transform), spec, path, desc);
}

/* Which planes the codec asks about, and who answers; which are shared; what the moments are good for: for the plan. */
static char *
describe_queries (AfpCodec *self, AfpClaim *claim, AfpTensor *tensor)
{
  const AfpLayout *layout = afp_claim_get_layout (claim);
  GString *text = g_string_new (NULL);

  for (guint i = 0; i < afp_layout_get_n_children (layout); i++)
    if (afp_layout_child_is_shared (layout, i))
      g_string_append_printf (text, "%s%s: one for all, %" G_GUINT64_FORMAT " bytes",
                              text->len ? "; " : "", afp_layout_get_child (layout, i)->name,
                              claim->children[i]->shared_bytes);
  for (guint i = 0; AFP_CODEC_GET_CLASS (self)->asks && i < afp_layout_get_n_children (layout);
       i++) {
    const AfpPlaneDesc *desc = afp_layout_get_child (layout, i);
    AfpClaim *child = afp_claim_get_child (claim, i);
    if (!child || desc->scope != AFP_SCOPE_BLOCK)
      continue;
    const char *reason = afp_codec_is_open_loop (afp_claim_get_codec (claim))
                             ? "open-loop=true"
                             : child->open_loop_reason;
    const char *who = afp_claim_is_fallback (child)
                          ? afp_element_get_factory_name (AFP_ELEMENT (child->codec))
                          : afp_element_get_name (AFP_ELEMENT (child->codec));
    g_string_append_printf (text, "%s%s: ", text->len ? "; " : "", desc->name);
    if (reason)
      g_string_append_printf (text, "open loop (%s)", reason);
    else
      g_string_append_printf (text, "optimised with %s", who);
  }
  g_autofree char *moments = afp_claim_describe_moments (claim, tensor);
  if (moments)
    g_string_append_printf (text, "%s%s", text->len ? "; " : "", moments);
  return g_string_free (text, FALSE);
}

static AfpPlane *
planned_coded (AfpClaim *claim)
{
  const AfpLayout *layout = claim->layout;
  const guint n = afp_layout_get_n_children (layout);
  g_autoptr (GPtrArray) children =
      g_ptr_array_new_with_free_func ((GDestroyNotify) afp_plane_unref);
  g_autofree char *params = afp_layout_get_params (layout);

  for (guint i = 0; i < n; i++) {
    const AfpPlaneDesc *child = afp_layout_get_child (layout, i);
    g_ptr_array_add (children, child->kind == AFP_KIND_CODE
                                   ? afp_plane_new_code (child, NULL)
                                   : afp_plane_new_float (child, NULL, NULL));
  }
  return afp_plane_new_coded (
      &layout->input, afp_element_get_factory_name (AFP_ELEMENT (claim->codec)),
      AFP_CODEC_GET_CLASS (claim->codec)->version, params, n, (AfpPlane **) children->pdata);
}

/* What the plane that is made keeps, and what is worked with meanwhile. What was frozen by who asked is there already. */
static void
note_memory (AfpPlan *plan, AfpSpec *spec, AfpClaim *claim, AfpPlane *plane, AfpPlane *coded)
{
  const gboolean frozen = afp_plan_plane_is_frozen (plan, plane);
  AfpCodecMemory memory;

  for (guint i = 0; i < afp_plane_get_n_children (coded); i++)
    afp_plan_note_plane (plan, afp_plane_get_child (coded, i),
                         frozen ? 0 : afp_claim_get_child_memory (claim, i),
                         frozen || afp_claim_freezes (claim, i));
  if (frozen)
    return;
  afp_claim_get_memory (claim, &memory);
  afp_plan_note_memory (plan, spec, memory.fixed);
  afp_plan_note_thread_memory (plan, spec, memory.per_thread);
}

static gboolean
plan_moments (AfpCodec *self, AfpClaim *claim, AfpTensor *tensor, const char *path, GError **error)
{
  AfpMomentUse *use = afp_codec_get_moment_use (self);

  if (!afp_claim_plan_moments (claim, tensor, path, error))
    return FALSE;
  if (claim->feedback) {
    guint64 cols;
    guint quantum;
    afp_layout_get_feedback_shape (claim->layout, &cols, &quantum);
    use->bytes = MAX (use->bytes, afp_feedback_get_bytes (cols, quantum));
  } else if (afp_codec_get_moment_use (claim->codec)->feedback)
    use->n_without++;
  return TRUE;
}

static AfpPlane *
plan_take (AfpCodec *self, AfpTensor *tensor, AfpPlane *plane, const char *path, gpointer user_data,
           GError **error)
{
  AfpSpec *spec = afp_tensor_get_spec (tensor);
  const AfpPlaneDesc *desc = afp_plane_get_desc (plane);
  AfpPlan *plan = user_data;
  Verdict verdict = { 0 };
  g_autoptr (AfpClaim) claim = decide (self, spec, path, desc, &verdict);
  if (claim && !plan_moments (self, claim, tensor, path, &verdict.error))
    g_clear_pointer (&claim, afp_claim_unref);
  g_autofree char *queries = claim ? describe_queries (self, claim, tensor) : NULL;

  if (claim) {
    afp_share_note (afp_codec_get_share (self), claim, spec, path, verdict.fallback - verdict.bytes,
                    verdict.forced);
    verdict.bytes = afp_claim_get_bytes_once (claim, afp_codec_get_share (self)->seen,
                                              afp_spec_get_name (spec));
  }
  afp_plan_note_claim (plan, AFP_ELEMENT (self), spec, path, claim != NULL, verdict.bytes,
                       verdict.exact, verdict.fallback, verdict.what ? verdict.what : "",
                       claim ? queries : verdict.why);
  if (verdict.error)
    g_propagate_prefixed_error (error, g_steal_pointer (&verdict.error),
                                "%s, tensor '%s': ", afp_element_get_name (AFP_ELEMENT (self)),
                                afp_spec_get_name (spec));
  verdict_clear (&verdict);
  if (!claim)
    return NULL;
  afp_codec_keep_claim (self, spec, path, claim);
  AfpPlane *coded = planned_coded (claim);
  note_memory (plan, spec, claim, plane, coded);
  return coded;
}

AfpTensor *
afp_codec_plan_tensor (AfpTransform *transform, AfpTensor *tensor, AfpPlan *plan, GError **error)
{
  AfpPlane *root = afp_tensor_get_root (tensor);
  g_autoptr (AfpPlane) result = afp_codec_walk (
      AFP_CODEC (transform), tensor, root, afp_plane_get_desc (root)->name, plan_take, plan, error);

  return result ? afp_tensor_new_with_root (tensor, result) : NULL;
}
