/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-codec.h"

#include "afp-codec-private.h"
#include "afp-error.h"
#include "afp-feedback.h"
#include "afp-plan-private.h"

#include <string.h>

typedef struct {
  AfpRouting routing;
  GHashTable *claims; /* "tensor/plane/path" -> Kept; written while planning, read while running */
  AfpShare share;
  AfpMomentUse use;
  guint seed;
} AfpCodecPrivate;

typedef struct {
  AfpSpec *spec;
  char *path;
  AfpClaim *claim;
} Kept;

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
      "rules", NULL, AFP_PROPERTY_FILE, AfpCodecPrivate, routing.rules, NULL,
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
  AFP_PROP_UINT ("seed", NULL, 0, AfpCodecPrivate, seed, 0, G_MAXUINT32, "0", NULL,
                 "Another number, other random choices: to see how much a result depends on them"),
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

guint
afp_codec_get_seed (AfpCodec *self)
{
  return PRIVATE (self)->seed;
}

gboolean
afp_codec_is_open_loop (AfpCodec *self)
{
  return PRIVATE (self)->routing.open_loop;
}

/* --- planes and claims ----------------------------------------------------------------------------------------------- */

static void
kept_free (gpointer data)
{
  Kept *kept = data;

  afp_spec_unref (kept->spec);
  g_free (kept->path);
  afp_claim_unref (kept->claim);
  g_free (kept);
}

AfpClaim *
afp_codec_find_claim (AfpCodec *self, const char *tensor, const char *path)
{
  g_autofree char *key = g_strconcat (tensor, "/", path, NULL);
  const Kept *kept = g_hash_table_lookup (PRIVATE (self)->claims, key);

  return kept ? kept->claim : NULL;
}

void
afp_codec_keep_claim (AfpCodec *self, AfpSpec *spec, const char *path, AfpClaim *claim)
{
  Kept *kept = g_new (Kept, 1);

  *kept = (Kept){ afp_spec_ref (spec), g_strdup (path), afp_claim_ref (claim) };
  g_hash_table_insert (PRIVATE (self)->claims,
                       g_strconcat (afp_spec_get_name (spec), "/", path, NULL), kept);
}

void
afp_codec_foreach_claim (AfpCodec *self, AfpClaimFunc func, gpointer user_data)
{
  g_autoptr (GList) keys = g_hash_table_get_keys (PRIVATE (self)->claims);

  keys = g_list_sort (keys, (GCompareFunc) strcmp);
  for (GList *l = keys; l; l = l->next) {
    const Kept *kept = g_hash_table_lookup (PRIVATE (self)->claims, l->data);
    func (kept->spec, kept->path, kept->claim, user_data);
  }
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
  transform_class->plan_tensor = afp_codec_plan_tensor;
  transform_class->process = afp_codec_process;
  transform_class->describe = afp_codec_describe_plane;
  klass->version = 1;
  klass->default_planes = AFP_KINDS (AFP_KIND_WEIGHT) | AFP_KINDS (AFP_KIND_RESIDUAL);
}

static void
afp_codec_init (AfpCodec *self)
{
  afp_share_init (&PRIVATE (self)->share);
  PRIVATE (self)->claims = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, kept_free);
}
