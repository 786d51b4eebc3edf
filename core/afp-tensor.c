/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-tensor.h"

#include "afp-codec-private.h"
#include "afp-error.h"

#include <string.h>

struct _AfpTensor {
  gatomicrefcount ref_count;
  AfpSpec *spec;
  AfpPlane *root;
  AfpPlane *original;
  AfpSpec *
      original_spec; /* how to read the original; another dtype than that of spec after decode dtype= */
  AfpMoments *moments; /* may be NULL */
};

G_DEFINE_BOXED_TYPE (AfpTensor, afp_tensor, afp_tensor_ref, afp_tensor_unref)

static AfpTensor *
tensor_new (AfpSpec *spec, AfpPlane *root, AfpPlane *original, AfpSpec *original_spec,
            AfpMoments *moments)
{
  AfpTensor *tensor = g_new0 (AfpTensor, 1);

  g_atomic_ref_count_init (&tensor->ref_count);
  tensor->spec = afp_spec_ref (spec);
  tensor->root = afp_plane_ref (root);
  tensor->original = original ? afp_plane_ref (original) : NULL;
  tensor->original_spec = afp_spec_ref (original_spec);
  tensor->moments = moments ? afp_moments_ref (moments) : NULL;
  return tensor;
}

/**
 * afp_tensor_new:
 * @spec: name, dtype, shape
 * @root: the plane that stands for its values
 *
 * Returns: (transfer full): a new tensor; if @root is raw it is also the original that later stages are judged against
 */
AfpTensor *
afp_tensor_new (AfpSpec *spec, AfpPlane *root)
{
  return tensor_new (spec, root, afp_plane_get_codec (root) ? NULL : root, spec, NULL);
}

/**
 * afp_tensor_new_with_root:
 * @tensor: a tensor
 * @root: another tree of planes for it
 *
 * Returns: (transfer full): a tensor with the spec and the original of @tensor
 */
AfpTensor *
afp_tensor_new_with_root (AfpTensor *tensor, AfpPlane *root)
{
  return tensor_new (tensor->spec, root, tensor->original, tensor->original_spec, tensor->moments);
}

/**
 * afp_tensor_new_with_spec:
 * @tensor: a tensor
 * @spec: its spec with another dtype
 * @root: a tree of planes for @spec
 *
 * Returns: (transfer full): a tensor with the original of @tensor, which is still read by its own spec
 */
AfpTensor *
afp_tensor_new_with_spec (AfpTensor *tensor, AfpSpec *spec, AfpPlane *root)
{
  return tensor_new (spec, root, tensor->original, tensor->original_spec, tensor->moments);
}

/**
 * afp_tensor_new_with_moments:
 * @tensor: a tensor
 * @moments: of what goes into it: as many rows as its matrix view has columns
 *
 * Returns: (transfer full): the same tensor with this meta, which stages that make another tree of planes hand on
 */
AfpTensor *
afp_tensor_new_with_moments (AfpTensor *tensor, AfpMoments *moments)
{
  g_return_val_if_fail (afp_moments_get_size (moments) == afp_spec_get_cols (tensor->spec), NULL);
  return tensor_new (tensor->spec, tensor->root, tensor->original, tensor->original_spec, moments);
}

AfpTensor *
afp_tensor_ref (AfpTensor *tensor)
{
  g_atomic_ref_count_inc (&tensor->ref_count);
  return tensor;
}

void
afp_tensor_unref (AfpTensor *tensor)
{
  if (!g_atomic_ref_count_dec (&tensor->ref_count))
    return;
  afp_spec_unref (tensor->spec);
  afp_plane_unref (tensor->root);
  g_clear_pointer (&tensor->original, afp_plane_unref);
  g_clear_pointer (&tensor->moments, afp_moments_unref);
  afp_spec_unref (tensor->original_spec);
  g_free (tensor);
}

AfpSpec *
afp_tensor_get_spec (const AfpTensor *tensor)
{
  return tensor->spec;
}

AfpPlane *
afp_tensor_get_root (const AfpTensor *tensor)
{
  return tensor->root;
}

AfpPlane *
afp_tensor_get_original (const AfpTensor *tensor)
{
  return tensor->original;
}

/**
 * afp_tensor_get_original_spec:
 * @tensor: a tensor
 *
 * Returns: (transfer none): the spec to read the original by: that of @tensor, unless its dtype was changed on the way
 */
AfpSpec *
afp_tensor_get_original_spec (const AfpTensor *tensor)
{
  return tensor->original_spec;
}

/**
 * afp_tensor_get_moments:
 * @tensor: a tensor
 *
 * Returns: (transfer none) (nullable): the second moments of the layer's inputs, if somebody upstream (calibrate) knows them
 */
AfpMoments *
afp_tensor_get_moments (const AfpTensor *tensor)
{
  return tensor->moments;
}

gboolean
afp_tensor_is_raw (const AfpTensor *tensor)
{
  return afp_plane_get_codec (tensor->root) == NULL;
}

static gboolean
leaf_is_planned (AfpPlane *plane, const char *path, gpointer user_data)
{
  if (afp_plane_get_codec (plane) || afp_plane_get_data (plane) || afp_plane_get_frozen (plane))
    return TRUE;
  *(gboolean *) user_data = TRUE;
  return FALSE;
}

gboolean
afp_tensor_is_planned (const AfpTensor *tensor)
{
  gboolean planned = FALSE;

  afp_plane_foreach (tensor->root, leaf_is_planned, &planned);
  return planned;
}

/* --- finalize ------------------------------------------------------------------------------------------------- */

static AfpPlane *
planned_from_claim (AfpClaim *claim, const AfpPlaneDesc *desc)
{
  const AfpLayout *layout = afp_claim_get_layout (claim);
  const guint n = afp_layout_get_n_children (layout);
  g_autoptr (GPtrArray) children =
      g_ptr_array_new_with_free_func ((GDestroyNotify) afp_plane_unref);
  g_autofree char *params = afp_layout_get_params (layout);

  for (guint i = 0; i < n; i++)
    g_ptr_array_add (children, afp_plane_new_code (afp_layout_get_child (layout, i), NULL));
  AfpCodec *codec = afp_claim_get_codec (claim);
  return afp_plane_new_coded (desc, afp_element_get_factory_name (AFP_ELEMENT (codec)),
                              AFP_CODEC_GET_CLASS (codec)->version, params, n,
                              (AfpPlane **) children->pdata);
}

/* The coded form of a float plane that nobody took. */
AfpPlane *
afp_plane_finalize_float (AfpPlane *plane, const char *name, AfpPool *pool, GError **error)
{
  const AfpPlaneDesc *desc = afp_plane_get_desc (plane);
  AfpPlane *frozen = afp_plane_get_frozen (plane);
  g_autoptr (AfpClaim) claim = afp_claim_new_fallback (desc, error);

  if (!claim)
    return NULL;
  if (frozen && afp_plane_get_maker (frozen) == afp_claim_get_codec (claim))
    return afp_plane_ref (frozen);
  if (!frozen && !afp_plane_get_data (plane))
    return planned_from_claim (claim, desc);
  g_autoptr (AfpMatrix) matrix = afp_plane_open (plane, NULL, error);
  if (!matrix)
    return NULL;
  GBytes *metric = afp_plane_get_metric (plane);
  return afp_claim_encode (claim, matrix, metric ? g_bytes_get_data (metric, NULL) : NULL, name,
                           pool, error);
}

static AfpPlane *
finalize_under (AfpPlane *plane, const char *path, AfpPool *pool, GError **error)
{
  const AfpPlaneDesc *desc = afp_plane_get_desc (plane);

  if (!afp_plane_get_codec (plane)) {
    if (!afp_plane_desc_is_float (desc) || afp_plane_desc_is_array (desc))
      return afp_plane_ref (plane);
    g_autoptr (AfpPlane) coded = afp_plane_finalize_float (plane, path, pool, error);
    return coded ? finalize_under (coded, path, pool, error) : NULL;
  }
  g_autoptr (AfpPlane) result = afp_plane_ref (plane);
  for (guint i = 0; i < afp_plane_get_n_children (plane); i++) {
    AfpPlane *child = afp_plane_get_child (plane, i);
    g_autofree char *child_path = g_strconcat (path, "/", afp_plane_get_desc (child)->name, NULL);
    g_autoptr (AfpPlane) final = finalize_under (child, child_path, pool, error);
    if (!final)
      return NULL;
    if (final != child) {
      AfpPlane *copy = afp_plane_replace_child (result, i, final);
      afp_plane_unref (result);
      result = copy;
    }
  }
  return g_steal_pointer (&result);
}

/**
 * afp_tensor_finalize:
 * @tensor: a tensor, planned or with data
 * @pool: (nullable): threads
 * @error: return location
 *
 * Returns: (transfer full): the tensor as it would be written here: every float plane that nobody took is replaced by
 *   its fallback's codes
 */
AfpTensor *
afp_tensor_finalize (AfpTensor *tensor, AfpPool *pool, GError **error)
{
  g_autofree char *path = g_strconcat (afp_spec_get_name (tensor->spec), "/weight", NULL);
  g_autoptr (AfpPlane) root = finalize_under (tensor->root, path, pool, error);

  if (!root)
    return NULL;
  return root == tensor->root ? afp_tensor_ref (tensor) : afp_tensor_new_with_root (tensor, root);
}

/* --- recipe --------------------------------------------------------------------------------------------------- */

static void
recipe_under (AfpPlane *plane, GString *text)
{
  g_string_append (text, afp_plane_get_desc (plane)->name);
  if (!afp_plane_get_codec (plane))
    return;
  g_string_append_printf (text, "=%s/%u", afp_plane_get_codec (plane),
                          afp_plane_get_codec_version (plane));
  if (afp_plane_get_params (plane) && *afp_plane_get_params (plane))
    g_string_append_printf (text, "(%s)", afp_plane_get_params (plane));
  if (afp_plane_get_n_children (plane) == 0)
    return;
  for (guint i = 0; i < afp_plane_get_n_children (plane); i++) {
    g_string_append_c (text, i ? ',' : '{');
    recipe_under (afp_plane_get_child (plane, i), text);
  }
  g_string_append_c (text, '}');
}

/**
 * afp_tensor_get_recipe:
 * @tensor: a tensor
 *
 * Returns: (transfer full): how its planes were made, in the grammar of the man page afpipe-file(5)
 */
char *
afp_tensor_get_recipe (const AfpTensor *tensor)
{
  GString *text = g_string_new (NULL);

  recipe_under (tensor->root, text);
  return g_string_free (text, FALSE);
}

/* --- the size function ---------------------------------------------------------------------------------------- */

/**
 * afp_size_align:
 * @plane_bytes: size of a plane
 *
 * Returns: to what multiple of bytes its start is aligned in a payload
 */
guint64
afp_size_align (guint64 plane_bytes)
{
  return plane_bytes >= AFP_ALIGN_LIMIT ? AFP_ALIGN_LARGE : AFP_ALIGN_SMALL;
}

/**
 * afp_size_recipe_bytes:
 * @recipe: text of a recipe
 *
 * Returns: what a distinct recipe costs once in a file, deflated
 */
guint64
afp_size_recipe_bytes (const char *recipe)
{
  return strlen (recipe) / 2 + 8;
}

typedef struct {
  AfpSize *size;
  const char *name;   /* of the tensor */
  GHashTable *owners; /* of shared planes; NULL: all count */
} SizeWalk;

static void
size_leaf (AfpSize *size, guint64 bytes)
{
  const guint64 align = afp_size_align (bytes);

  size->planes += bytes;
  size->padding += (align - bytes % align) % align;
  size->rows += AFP_PLANE_ROW_BYTES;
}

static gboolean
counts (const SizeWalk *walk, const AfpPlaneDesc *desc)
{
  return !walk->owners || afp_plane_desc_counts_for (desc, walk->owners, walk->name);
}

static void
size_float (const SizeWalk *walk, const AfpPlaneDesc *desc)
{
  g_autoptr (AfpClaim) fallback = afp_claim_new_fallback (desc, NULL);
  gboolean exact = FALSE;
  guint64 bytes = desc->rows * desc->cols * 4;

  if (fallback)
    bytes = afp_claim_get_bytes (fallback, &exact);
  if (fallback && walk->owners)
    bytes = afp_claim_get_bytes_once (fallback, walk->owners, walk->name);
  walk->size->planes += bytes;
  walk->size->exact = walk->size->exact && exact;
}

static gboolean
size_plane (AfpPlane *plane, const char *path, gpointer user_data)
{
  const AfpPlaneDesc *desc = afp_plane_get_desc (plane);
  const SizeWalk *walk = user_data;

  if (afp_plane_get_codec (plane))
    return TRUE;
  if (desc->kind == AFP_KIND_CODE) {
    GBytes *data = afp_plane_get_data (plane);
    if (counts (walk, desc))
      size_leaf (walk->size, data ? g_bytes_get_size (data) : afp_plane_desc_bytes (desc));
    else
      walk->size->rows += AFP_PLANE_ROW_BYTES;
    walk->size->exact = walk->size->exact && (data || !desc->bound);
  } else if (!afp_plane_desc_is_array (desc)) {
    size_float (walk, desc);
  }
  return TRUE;
}

/**
 * afp_tensor_get_size:
 * @tensor: a tensor, planned or with data
 * @size: (out): what it costs in a file
 *
 * The one size function: planes, padding and table rows; of an alias, whose planes are another tensor's, only its row. Float planes count as their fallback would store them; their
 * padding and rows are then inside @planes.
 */
void
afp_tensor_get_size (const AfpTensor *tensor, AfpSize *size)
{
  afp_tensor_get_size_once (tensor, NULL, size);
}

/**
 * afp_tensor_get_size_once: (skip)
 * @tensor: a tensor, planned or with data
 * @owners: (nullable): as for afp_plane_desc_counts_for()
 * @size: (out): what the tensor adds to a file
 *
 * The same for tensors of one file, one after the other: a plane that several share counts for the first.
 */
void
afp_tensor_get_size_once (const AfpTensor *tensor, GHashTable *owners, AfpSize *size)
{
  SizeWalk walk = { size, afp_spec_get_name (tensor->spec), owners };

  *size = (AfpSize){ .rows = AFP_TENSOR_ROW_BYTES, .exact = TRUE };
  if (afp_spec_get_alias_of (tensor->spec))
    ;
  else if (afp_tensor_is_raw (tensor) && counts (&walk, afp_plane_get_desc (tensor->root)))
    size_leaf (size, afp_spec_get_n_bytes (tensor->spec));
  else if (afp_tensor_is_raw (tensor))
    size->rows += AFP_PLANE_ROW_BYTES;
  else
    afp_plane_foreach (tensor->root, size_plane, &walk);
  size->total = size->planes + size->padding + size->rows;
}
