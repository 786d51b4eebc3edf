/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-codec.h"

#include "afp-codec-private.h"
#include "afp-error.h"
#include "afp-feedback.h"
#include "afp-pipeline.h"
#include "afp-plan-private.h"
#include "afp-pool.h"

#include <math.h>
#include <string.h>

typedef struct {
  AfpRouting routing;
  GHashTable
      *claims; /* "tensor/plane/path" -> AfpClaim; written while planning, read while running */
  AfpShare share;
  AfpMomentUse use;
} AfpCodecPrivate;

G_DEFINE_ABSTRACT_TYPE_WITH_PRIVATE (AfpCodec, afp_codec, AFP_TYPE_TRANSFORM)

#define PRIVATE(self) ((AfpCodecPrivate *) afp_codec_get_instance_private (self))

static const char *const kind_values[] = { "weight", "residual", "coeffs", "codebook",
                                           "scale",  "frame",    NULL };

static const char *const importance_values[] = { "auto", "off", NULL };
static const char *const order_values[] = { "natural", "importance", NULL };

static const AfpProperty properties[] = {
  AFP_PROP_FLAGS ("planes", NULL, 0, AfpCodecPrivate, routing.planes, NULL, kind_values,
                  "Kinds of float planes to take"),
  AFP_PROP_STRING ("tensors", NULL, 0, AfpCodecPrivate, routing.tensors, NULL,
                   "Globs of tensor names to take, separated by commas; all if unset"),
  AFP_PROP_STRING ("exclude", NULL, 0, AfpCodecPrivate, routing.exclude, NULL,
                   "Globs of tensor names to leave alone, separated by commas"),
  AFP_PROP_STRING (
      "rules", NULL, 0, AfpCodecPrivate, routing.rules, NULL,
      "File of rules, one a line: GLOB pass | GLOB take | GLOB NAME=VALUE ...; the first match counts"),
  AFP_PROP_UINT ("min-dims", NULL, 0, AfpCodecPrivate, routing.min_dims, 0, AFP_MAX_RANK, "2",
                 "axes", "Tensors of fewer dimensions are left alone"),
  AFP_PROP_SIZE ("min-weights", NULL, 0, AfpCodecPrivate, routing.min_weights, 0, 0x1p40, "256",
                 "weights", "Smaller tensors are left alone"),
  AFP_PROP_BOOL ("force", NULL, 0, AfpCodecPrivate, routing.force, "false",
                 "Take planes even where that costs more bytes than leaving them"),
  AFP_PROP_BOOL ("open-loop", NULL, 0, AfpCodecPrivate, routing.open_loop, "false",
                 "Do not ask who takes the planes left behind: optimise without knowing"),
  AFP_PROP_ENUM (
      "importance", NULL, 0, AfpCodecPrivate, use.importance, "auto", importance_values,
      "auto: the error of a column counts by the mean square of the layer's input, where "
      "calibrate tells it"),
  AFP_PROP_BOOL ("feedback", NULL, 0, AfpCodecPrivate, use.feedback, "false",
                 "Feed the error of each block of columns to the columns still to come (GPTQ, "
                 "LDLQ), by the moments that calibrate tells"),
  AFP_PROP_ENUM (
      "order", NULL, 0, AfpCodecPrivate, use.order, "natural", order_values,
      "With feedback: blocks of columns are coded from the first to the last, or from the one whose inputs "
      "have the largest mean squares to that of the least; files do not tell"),
  AFP_PROP_DOUBLE ("damping", NULL, 0, AfpCodecPrivate, use.damping, 1e-6, 1, "0.01", NULL,
                   "Added to the mean squares of the inputs, as a part of their mean"),
};

AfpRouting *
afp_codec_get_routing (AfpCodec *self)
{
  return &PRIVATE (self)->routing;
}

AfpMomentUse *
afp_codec_get_moment_use (AfpCodec *self)
{
  return &PRIVATE (self)->use;
}

gboolean
afp_codec_feeds_back (AfpCodec *self)
{
  return PRIVATE (self)->use.feedback;
}

AfpShare *
afp_codec_get_share (AfpCodec *self)
{
  return &PRIVATE (self)->share;
}

gboolean
afp_codec_is_open_loop (AfpCodec *self)
{
  return PRIVATE (self)->routing.open_loop;
}

/* --- claims at plan time ------------------------------------------------------------------------------------------ */

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
  AfpCodec *variant = afp_routing_match (&PRIVATE (self)->routing, self, spec, desc, &verdict->why);

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
  verdict->forced = desc->optional || PRIVATE (variant)->routing.force;
  if (verdict->bytes < verdict->fallback || verdict->forced)
    return g_steal_pointer (&claim);
  verdict->why = g_strdup ("costs more than it saves");
  return NULL;
}

static AfpClaim *
codec_describe_plane (AfpTransform *transform, AfpSpec *spec, const char *path,
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

AfpPlane *
afp_codec_walk (AfpCodec *self, AfpTensor *tensor, AfpPlane *plane, const char *path,
                AfpTakeFunc take, gpointer user_data, GError **error)
{
  const AfpPlaneDesc *desc = afp_plane_get_desc (plane);

  if (!afp_plane_get_codec (plane)) {
    GError *local = NULL;
    AfpPlane *taken =
        afp_plane_desc_is_float (desc) ? take (self, tensor, plane, path, user_data, &local) : NULL;
    if (local) {
      g_propagate_error (error, local);
      return NULL;
    }
    return taken ? taken : afp_plane_ref (plane);
  }
  g_autoptr (AfpPlane) result = afp_plane_ref (plane);
  for (guint i = 0; i < afp_plane_get_n_children (plane); i++) {
    AfpPlane *child = afp_plane_get_child (plane, i);
    g_autofree char *child_path = g_strconcat (path, "/", afp_plane_get_desc (child)->name, NULL);
    g_autoptr (AfpPlane) other =
        afp_codec_walk (self, tensor, child, child_path, take, user_data, error);
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

static char *
claim_key (AfpTensor *tensor, const char *path)
{
  return g_strconcat (afp_spec_get_name (afp_tensor_get_spec (tensor)), "/", path, NULL);
}

AfpClaim *
afp_codec_find_claim (AfpCodec *self, const char *tensor, const char *path)
{
  g_autofree char *key = g_strconcat (tensor, "/", path, NULL);

  return g_hash_table_lookup (PRIVATE (self)->claims, key);
}

static gboolean
plan_moments (AfpCodec *self, AfpClaim *claim, AfpTensor *tensor, const char *path, GError **error)
{
  AfpMomentUse *use = &PRIVATE (self)->use;

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
    afp_share_note (&PRIVATE (self)->share, claim, spec, path, verdict.fallback - verdict.bytes,
                    verdict.forced);
    verdict.bytes =
        afp_claim_get_bytes_once (claim, PRIVATE (self)->share.seen, afp_spec_get_name (spec));
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
  g_hash_table_insert (PRIVATE (self)->claims, claim_key (tensor, path), afp_claim_ref (claim));
  AfpPlane *coded = planned_coded (claim);
  note_memory (plan, spec, claim, plane, coded);
  return coded;
}

static AfpTensor *
codec_plan_tensor (AfpTransform *transform, AfpTensor *tensor, AfpPlan *plan, GError **error)
{
  AfpPlane *root = afp_tensor_get_root (tensor);
  g_autoptr (AfpPlane) result = afp_codec_walk (
      AFP_CODEC (transform), tensor, root, afp_plane_get_desc (root)->name, plan_take, plan, error);

  return result ? afp_tensor_new_with_root (tensor, result) : NULL;
}

/* --- run ------------------------------------------------------------------------------------------------------------ */

static AfpPlane *
run_take (AfpCodec *self, AfpTensor *tensor, AfpPlane *plane, const char *path, gpointer user_data,
          GError **error)
{
  g_autofree char *key = claim_key (tensor, path);
  AfpClaim *claim = g_hash_table_lookup (PRIVATE (self)->claims, key);
  AfpPlane *frozen = afp_plane_get_frozen (plane);

  if (!claim)
    return NULL;
  if (frozen && afp_plane_get_maker (frozen) == claim->codec)
    return afp_plane_ref (frozen);
  g_autoptr (AfpMatrix) matrix = afp_plane_open (plane, afp_tensor_get_spec (tensor), error);
  if (!matrix)
    return NULL;
  AfpPool *pool = afp_element_get_pool (AFP_ELEMENT (self));
  g_autofree char *seed =
      g_strconcat (afp_spec_get_family (afp_tensor_get_spec (tensor)), "/", path, NULL);
  GBytes *metric = afp_plane_get_metric (plane);
  AfpMoments *moments = afp_tensor_get_moments (tensor);
  AfpFeedback *feedback = NULL;
  if (claim->feedback &&
      !(feedback = afp_codec_take_feedback (self, claim, moments, pool, error))) {
    g_prefix_error (error, "%s: ", key);
    return NULL;
  }
  /* A shared plane gets the same codes in every tensor: random choices must not depend on the name. */
  AfpPlane *coded =
      afp_claim_encode_with (claim, matrix, metric ? g_bytes_get_data (metric, NULL) : NULL,
                             claim->importance ? moments : NULL, feedback,
                             afp_plane_get_desc (plane)->shared ? path : seed, pool, error);
  if (!coded && error && !*error)
    g_set_error (error, AFP_ERROR, AFP_ERROR_CODEC, "%s failed on plane '%s' and did not say why",
                 afp_element_get_name (AFP_ELEMENT (self)), key);
  return coded;
}

typedef struct {
  AfpMatrix *matrix;
  AfpTiles tiles;
  AfpSpec *spec;
} FiniteJob;

static void
set_not_finite_error (AfpSpec *spec, guint64 row, guint64 col, float value, GError **error)
{
  const gboolean transposed =
      afp_spec_get_rank (spec) >= 2 && afp_spec_get_view (spec)->input_first;
  guint64 index =
      transposed ? col * afp_spec_get_rows (spec) + row : row * afp_spec_get_cols (spec) + col;
  g_autoptr (GString) place = g_string_new (NULL);

  for (guint i = afp_spec_get_rank (spec); i-- > 0;) {
    const guint64 length = afp_spec_get_shape (spec)[i];
    g_autofree char *text = g_strdup_printf ("%s%" G_GUINT64_FORMAT, i ? "," : "", index % length);
    g_string_prepend (place, text);
    index /= length;
  }
  const char *what = isnan (value) ? "NaN" : value > 0 ? "+Inf" : "-Inf";
  if (isinf (value) && afp_spec_get_dtype (spec) == AFP_DTYPE_F64)
    what = value > 0 ? "+Inf (or a number beyond float32)" : "-Inf (or a number beyond float32)";
  g_set_error (
      error, AFP_ERROR, AFP_ERROR_CODEC,
      "tensor '%s' holds %s at [%s]: weights must be finite to be encoded; repair the model, or leave the tensor alone with "
      "exclude=%s",
      afp_spec_get_name (spec), what, place->str, afp_spec_get_name (spec));
}

static gboolean
finite_tile (gsize index, gpointer user_data, GError **error)
{
  FiniteJob *job = user_data;
  const AfpTile tile = afp_tiles_get (&job->tiles, index);
  const gsize n = tile.n_rows * tile.n_cols;
  g_autofree float *values = g_new (float, n);

  if (!afp_matrix_read (job->matrix, tile.row, tile.n_rows, tile.col, tile.n_cols, values, error))
    return FALSE;
  for (gsize i = 0; i < n; i++)
    if (!isfinite (values[i])) {
      set_not_finite_error (job->spec, tile.row + i / tile.n_cols, tile.col + i % tile.n_cols,
                            values[i], error);
      return FALSE;
    }
  return TRUE;
}

static gboolean
check_finite (AfpTensor *tensor, AfpPool *pool, GError **error)
{
  FiniteJob job = { .spec = afp_tensor_get_spec (tensor) };
  g_autoptr (AfpMatrix) matrix = afp_plane_open (afp_tensor_get_root (tensor), job.spec, error);

  if (!matrix)
    return FALSE;
  job.matrix = matrix;
  afp_tiles_init (&job.tiles, afp_matrix_get_rows (matrix), afp_matrix_get_cols (matrix), 1);
  return afp_parallel_for (pool, job.tiles.n_tiles, finite_tile, &job, error);
}

static AfpTensor *
codec_process (AfpTransform *transform, AfpTensor *tensor, GError **error)
{
  AfpCodec *self = AFP_CODEC (transform);
  AfpPlane *root = afp_tensor_get_root (tensor);
  const char *name = afp_plane_get_desc (root)->name;
  g_autofree char *key = claim_key (tensor, name);

  if (afp_tensor_is_raw (tensor) && g_hash_table_contains (PRIVATE (self)->claims, key) &&
      !check_finite (tensor, afp_element_get_pool (AFP_ELEMENT (self)), error))
    return NULL;
  g_autoptr (AfpPlane) result = afp_codec_walk (self, tensor, root, name, run_take, NULL, error);
  return result ? afp_tensor_new_with_root (tensor, result) : NULL;
}

/* --- what tensors share ------------------------------------------------------------------------------------------ */

/* To be told to use moments, and to find none anywhere, is a mistake. */
static gboolean
settle_moments (AfpCodec *self, AfpPlan *plan, GError **error)
{
  const AfpMomentUse *use = &PRIVATE (self)->use;

  afp_plan_note_standing_memory (plan, use->bytes);
  if (use->bytes || !use->n_without)
    return TRUE;
  g_set_error (error, AFP_ERROR, AFP_ERROR_PLAN,
               "%s: feedback=true, but there are no second moments of what goes into any of the %u "
               "planes that it takes: put calibrate text=FILE or images=FILE before it, or set "
               "feedback=false",
               afp_element_get_name (AFP_ELEMENT (self)), use->n_without);
  return FALSE;
}

static gboolean
codec_settle (AfpElement *element, AfpPlan *plan, GError **error)
{
  AfpShare *share = &PRIVATE (AFP_CODEC (element))->share;

  if (!settle_moments (AFP_CODEC (element), plan, error))
    return FALSE;
  if (share->groups->len == 0)
    return TRUE;
  const AfpShareMember *first = ((AfpShareGroup *) share->groups->pdata[0])->members->pdata[0];
  const guint64 shape[] = { 1 };
  g_autoptr (AfpSpec) spec = afp_spec_new (first->tensor, AFP_DTYPE_F32, 1, shape, NULL, NULL);
  AfpCodecMemory memory;
  afp_prepare_get_memory (element, &memory);
  afp_plan_note_memory (plan, spec, memory.fixed);
  afp_plan_note_thread_memory (plan, spec, memory.per_thread);
  return afp_share_settle (share, element, error);
}

/* --- class ---------------------------------------------------------------------------------------------------------- */

static gboolean
codec_check (AfpElement *element, GError **error)
{
  AfpCodec *self = AFP_CODEC (element);

  g_hash_table_remove_all (PRIVATE (self)->claims);
  afp_share_reset (&PRIVATE (self)->share);
  PRIVATE (self)->use.bytes = 0;
  PRIVATE (self)->use.n_without = 0;
  return afp_routing_prepare (&PRIVATE (self)->routing, self, error);
}

static void
afp_codec_constructed (GObject *object)
{
  AfpCodec *self = AFP_CODEC (object);

  G_OBJECT_CLASS (afp_codec_parent_class)->constructed (object);
  PRIVATE (self)->routing.planes = AFP_CODEC_GET_CLASS (self)->default_planes;
}

/* Claims hold their codec, the element itself among them: who ends a pipeline disposes of its elements. */
static void
afp_codec_dispose (GObject *object)
{
  g_hash_table_remove_all (PRIVATE (AFP_CODEC (object))->claims);
  afp_share_reset (&PRIVATE (AFP_CODEC (object))->share);
  g_clear_pointer (&PRIVATE (AFP_CODEC (object))->use.last, afp_feedback_unref);
  G_OBJECT_CLASS (afp_codec_parent_class)->dispose (object);
}

static void
afp_codec_finalize (GObject *object)
{
  AfpCodecPrivate *priv = PRIVATE (AFP_CODEC (object));

  afp_routing_clear (&priv->routing);
  afp_share_clear (&priv->share);
  g_hash_table_unref (priv->claims);
  G_OBJECT_CLASS (afp_codec_parent_class)->finalize (object);
}

static void
afp_codec_class_init (AfpCodecClass *klass)
{
  AfpElementClass *element_class = AFP_ELEMENT_CLASS (klass);
  AfpTransformClass *transform_class = AFP_TRANSFORM_CLASS (klass);

  G_OBJECT_CLASS (klass)->constructed = afp_codec_constructed;
  G_OBJECT_CLASS (klass)->dispose = afp_codec_dispose;
  G_OBJECT_CLASS (klass)->finalize = afp_codec_finalize;
  afp_element_class_add_properties (element_class, properties, G_N_ELEMENTS (properties),
                                    AfpCodec_private_offset);
  element_class->check = codec_check;
  transform_class->reuses = TRUE;
  element_class->settle = codec_settle;
  element_class->prepare = afp_prepare_codec;
  transform_class->plan_tensor = codec_plan_tensor;
  transform_class->process = codec_process;
  transform_class->describe = codec_describe_plane;
  klass->version = 1;
  klass->default_planes = AFP_KINDS (AFP_KIND_WEIGHT) | AFP_KINDS (AFP_KIND_RESIDUAL);
}

static void
afp_codec_init (AfpCodec *self)
{
  afp_share_init (&PRIVATE (self)->share);
  PRIVATE (self)->claims =
      g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) afp_claim_unref);
}
