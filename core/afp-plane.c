/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-bits.h"
#include "afp-codec-private.h"
#include "afp-error.h"

struct _AfpPlane {
  gatomicrefcount ref_count;
  AfpPlaneDesc desc;
  GBytes *data;
  GBytes *metric;
  AfpPlane *frozen;
  char *codec;
  char *params;
  guint version;
  GPtrArray *children;
  gpointer maker;
};

G_DEFINE_BOXED_TYPE (AfpPlane, afp_plane, afp_plane_ref, afp_plane_unref)

static const char *const kind_names[AFP_N_KINDS] = { "weight", "residual", "coeffs", "codebook",
                                                     "scale",  "frame",    "code",   "raw" };

/**
 * afp_plane_kind_name:
 * @kind: a kind of plane
 *
 * Returns: (transfer none): "weight", "coeffs", ...
 */
const char *
afp_plane_kind_name (AfpPlaneKind kind)
{
  g_return_val_if_fail ((guint) kind < AFP_N_KINDS, NULL);
  return kind_names[kind];
}

/**
 * afp_plane_desc_is_float:
 * @desc: a description
 *
 * Returns: whether the plane holds numbers that a codec may take
 */
guint64
afp_plane_desc_get_period (const AfpPlaneDesc *desc)
{
  return desc->scope == AFP_SCOPE_BLOCK ? desc->per_quantum : desc->cols;
}

gboolean
afp_plane_desc_is_float (const AfpPlaneDesc *desc)
{
  return desc->kind < AFP_KIND_CODE;
}

/**
 * afp_plane_desc_counts_for: (skip)
 * @desc: a plane
 * @owners: shared planes, and the name of the tensor that each counts for; a new one is added
 * @tensor: name of the tensor that has the plane
 *
 * Returns: whether the plane's bytes are counted with this tensor: always, unless it is shared and another tensor had it first
 */
gboolean
afp_plane_desc_counts_for (const AfpPlaneDesc *desc, GHashTable *owners, const char *tensor)
{
  if (!desc->shared)
    return TRUE;
  const char *owner = g_hash_table_lookup (owners, desc->shared);
  if (owner)
    return g_str_equal (owner, tensor);
  g_hash_table_insert (owners, (gpointer) desc->shared, (gpointer) g_intern_string (tensor));
  return TRUE;
}

gboolean
afp_plane_desc_is_array (const AfpPlaneDesc *desc)
{
  return desc->kind == AFP_KIND_RAW || (desc->kind == AFP_KIND_WEIGHT && !desc->fallback);
}

/**
 * afp_plane_desc_bytes:
 * @desc: a code plane
 *
 * Returns: bytes of its packed symbols; the worst case if they depend on data
 */
guint64
afp_plane_desc_bytes (const AfpPlaneDesc *desc)
{
  return afp_bits_bytes (desc->rows * desc->cols, desc->bits);
}

static AfpPlane *
plane_new (const AfpPlaneDesc *desc)
{
  AfpPlane *plane = g_new0 (AfpPlane, 1);

  g_atomic_ref_count_init (&plane->ref_count);
  plane->desc = *desc;
  return plane;
}

AfpPlane *
afp_plane_ref (AfpPlane *plane)
{
  g_atomic_ref_count_inc (&plane->ref_count);
  return plane;
}

void
afp_plane_unref (AfpPlane *plane)
{
  if (!g_atomic_ref_count_dec (&plane->ref_count))
    return;
  g_clear_pointer (&plane->data, g_bytes_unref);
  g_clear_pointer (&plane->metric, g_bytes_unref);
  g_clear_pointer (&plane->frozen, afp_plane_unref);
  g_clear_pointer (&plane->children, g_ptr_array_unref);
  g_clear_object (&plane->maker);
  g_free (plane->codec);
  g_free (plane->params);
  g_free (plane);
}

/**
 * afp_plane_new_raw:
 * @spec: the tensor's
 * @raw: (nullable): its array; %NULL at plan time
 *
 * Returns: (transfer full): the root of an uncompressed tensor: kind weight if codecs can take it, else raw
 */
AfpPlane *
afp_plane_new_raw (AfpSpec *spec, GBytes *raw)
{
  const gboolean takeable = afp_dtype_is_real (afp_spec_get_dtype (spec)) &&
                            afp_spec_get_n_elements (spec) > 0 && afp_spec_get_rank (spec) > 0;
  const AfpPlaneDesc desc = {
    .name = "weight",
    .kind = takeable ? AFP_KIND_WEIGHT : AFP_KIND_RAW,
    .scope = AFP_SCOPE_TENSOR,
    .rows = afp_spec_get_rows (spec),
    .cols = afp_spec_get_cols (spec),
  };

  g_return_val_if_fail (raw == NULL || g_bytes_get_size (raw) == afp_spec_get_n_bytes (spec), NULL);
  AfpPlane *plane = plane_new (&desc);
  plane->data = raw ? g_bytes_ref (raw) : NULL;
  return plane;
}

/**
 * afp_plane_new_code:
 * @desc: of kind code
 * @packed: (nullable): bit-packed symbols; %NULL at plan time
 *
 * Returns: (transfer full): a code plane
 */
AfpPlane *
afp_plane_new_code (const AfpPlaneDesc *desc, GBytes *packed)
{
  g_return_val_if_fail (desc->kind == AFP_KIND_CODE, NULL);
  g_return_val_if_fail (packed == NULL || desc->bound ||
                            g_bytes_get_size (packed) == afp_plane_desc_bytes (desc),
                        NULL);

  AfpPlane *plane = plane_new (desc);
  plane->data = packed ? g_bytes_ref (packed) : NULL;
  return plane;
}

/**
 * afp_plane_new_float:
 * @desc: of a float kind
 * @f32: (nullable): rows x cols floats
 * @frozen: (nullable): the coded form that its claim gave it
 *
 * Returns: (transfer full): a float plane; without both it is planned
 */
AfpPlane *
afp_plane_new_float (const AfpPlaneDesc *desc, GBytes *f32, AfpPlane *frozen)
{
  g_return_val_if_fail (afp_plane_desc_is_float (desc), NULL);
  g_return_val_if_fail (
      f32 == NULL || g_bytes_get_size (f32) == desc->rows * desc->cols * sizeof (float), NULL);

  AfpPlane *plane = plane_new (desc);
  plane->data = f32 ? g_bytes_ref (f32) : NULL;
  plane->frozen = frozen ? afp_plane_ref (frozen) : NULL;
  return plane;
}

/**
 * afp_plane_new_coded:
 * @desc: of the plane that was replaced
 * @codec: name of the codec
 * @version: its version
 * @params: resolved parameters, "a=1,b=2"
 * @n_children: number of planes that replace it
 * @children: (array length=n_children): those planes
 *
 * Returns: (transfer full): the inner node of a tree
 */
AfpPlane *
afp_plane_new_coded (const AfpPlaneDesc *desc, const char *codec, guint version, const char *params,
                     guint n_children, AfpPlane *const *children)
{
  AfpPlane *plane = plane_new (desc);

  plane->codec = g_strdup (codec);
  plane->version = version;
  plane->params = g_strdup (params ? params : "");
  plane->children = g_ptr_array_new_full (n_children, (GDestroyNotify) afp_plane_unref);
  for (guint i = 0; i < n_children; i++)
    g_ptr_array_add (plane->children, afp_plane_ref (children[i]));
  return plane;
}

/**
 * afp_plane_replace_child:
 * @plane: a coded plane
 * @index: which child
 * @child: the new one
 *
 * Returns: (transfer full): a copy of @plane with another child
 */
AfpPlane *
afp_plane_replace_child (AfpPlane *plane, guint index, AfpPlane *child)
{
  g_return_val_if_fail (plane->children && index < plane->children->len, NULL);

  AfpPlane *copy = afp_plane_new_coded (&plane->desc, plane->codec, plane->version, plane->params,
                                        plane->children->len, (AfpPlane **) plane->children->pdata);
  afp_plane_unref (copy->children->pdata[index]);
  copy->children->pdata[index] = afp_plane_ref (child);
  copy->maker = plane->maker ? g_object_ref (plane->maker) : NULL;
  return copy;
}

static gboolean
replace_data (AfpPlane *copy, AfpPlane *plane, AfpPlaneData data, gpointer user_data,
              GError **error)
{
  GError *local = NULL;

  if (!plane->codec) {
    copy->data = data (plane, user_data, &local);
    copy->metric = plane->metric && copy->data ? g_bytes_ref (plane->metric) : NULL;
  }
  for (guint i = 0; !local && i < afp_plane_get_n_children (plane); i++) {
    AfpPlane *child = afp_plane_with_data (plane->children->pdata[i], data, user_data, &local);
    if (child)
      g_ptr_array_add (copy->children, child);
  }
  if (local)
    g_propagate_error (error, local);
  return local == NULL;
}

/**
 * afp_plane_with_data:
 * @root: a finalized tree, or a raw array
 * @data: (scope call): called for each leaf, in the order of the file; %NULL without error: the leaf is to be as it is planned
 * @user_data: for @data
 * @error: what @data reports
 *
 * Returns: (transfer full): the same tree with other data, which must say the same where it is to be read
 */
AfpPlane *
afp_plane_with_data (AfpPlane *root, AfpPlaneData data, gpointer user_data, GError **error)
{
  g_autoptr (AfpPlane) copy = plane_new (&root->desc);

  copy->codec = g_strdup (root->codec);
  copy->version = root->version;
  copy->params = g_strdup (root->params);
  copy->maker = root->maker ? g_object_ref (root->maker) : NULL;
  if (root->codec)
    copy->children = g_ptr_array_new_with_free_func ((GDestroyNotify) afp_plane_unref);
  return replace_data (copy, root, data, user_data, error) ? g_steal_pointer (&copy) : NULL;
}

/**
 * afp_plane_name_shared: (skip)
 * @root: a tree that nobody else knows as yet
 * @namer: the name of a leaf plane that other tensors have, too, or %NULL
 * @user_data: for @namer
 *
 * Leaves are named in the order of the file; a coded plane is shared if all its leaves are.
 */
void
afp_plane_name_shared (AfpPlane *root, AfpPlaneNamer namer, gpointer user_data)
{
  const guint n = afp_plane_get_n_children (root);
  const char *name = n ? "" : NULL;

  if (!root->codec)
    name = namer (root, user_data);
  for (guint i = 0; i < n; i++) {
    AfpPlane *child = root->children->pdata[i];
    afp_plane_name_shared (child, namer, user_data);
    if (!child->desc.shared)
      name = NULL;
    else if (name && !*name)
      name = child->desc.shared;
  }
  root->desc.shared = name;
}

const AfpPlaneDesc *
afp_plane_get_desc (const AfpPlane *plane)
{
  return &plane->desc;
}

const char *
afp_plane_get_codec (const AfpPlane *plane)
{
  return plane->codec;
}

guint
afp_plane_get_codec_version (const AfpPlane *plane)
{
  return plane->version;
}

const char *
afp_plane_get_params (const AfpPlane *plane)
{
  return plane->params;
}

guint
afp_plane_get_n_children (const AfpPlane *plane)
{
  return plane->children ? plane->children->len : 0;
}

AfpPlane *
afp_plane_get_child (const AfpPlane *plane, guint index)
{
  g_return_val_if_fail (plane->children && index < plane->children->len, NULL);
  return plane->children->pdata[index];
}

GBytes *
afp_plane_get_data (const AfpPlane *plane)
{
  return plane->data;
}

AfpPlane *
afp_plane_get_frozen (const AfpPlane *plane)
{
  return plane->frozen;
}

gpointer
afp_plane_get_maker (const AfpPlane *plane)
{
  return plane->maker;
}

void
afp_plane_set_maker (AfpPlane *plane, gpointer codec)
{
  g_set_object ((GObject **) &plane->maker, codec);
}

GBytes *
afp_plane_get_metric (const AfpPlane *plane)
{
  return plane->metric;
}

void
afp_plane_set_metric (AfpPlane *plane, GBytes *metric_data)
{
  g_clear_pointer (&plane->metric, g_bytes_unref);
  plane->metric = metric_data ? g_bytes_ref (metric_data) : NULL;
}

/**
 * afp_plane_get_codes:
 * @plane: a code plane, bare or under a lossless coder
 * @error: return location
 *
 * Returns: (transfer full): its packed symbols
 */
GBytes *
afp_plane_get_codes (AfpPlane *plane, GError **error)
{
  g_autoptr (GBytes) codes = NULL;
  const guint64 expected = afp_plane_desc_bytes (&plane->desc);

  g_return_val_if_fail (plane->desc.kind == AFP_KIND_CODE, NULL);
  if (plane->codec)
    codes = afp_packer_unpack_plane (plane, error);
  else if (plane->data)
    codes = g_bytes_ref (plane->data);
  else
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT, "plane '%s' has no data", plane->desc.name);
  if (!codes)
    return NULL;
  if (!plane->desc.bound && g_bytes_get_size (codes) != expected) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                 "plane '%s' is damaged: %" G_GSIZE_FORMAT " bytes where %" G_GUINT64_FORMAT
                 " are needed",
                 plane->desc.name, g_bytes_get_size (codes), expected);
    return NULL;
  }
  return g_steal_pointer (&codes);
}

/**
 * afp_plane_open: (skip)
 * @plane: a raw, float or coded plane with data
 * @spec: (nullable): the tensor's; needed for raw planes
 * @error: return location
 *
 * Coded planes are decoded on demand, from their codes and nothing else.
 *
 * Returns: (transfer full): the plane's numbers
 */
AfpMatrix *
afp_plane_open (AfpPlane *plane, AfpSpec *spec, GError **error)
{
  if (plane->codec && plane->desc.kind != AFP_KIND_CODE)
    return afp_decoder_open (plane, error);
  if (plane->desc.kind == AFP_KIND_WEIGHT && afp_plane_desc_is_array (&plane->desc) &&
      plane->data && spec)
    return afp_matrix_new_raw (spec, plane->data);
  if (afp_plane_desc_is_float (&plane->desc) && plane->data)
    return afp_matrix_new_dense (plane->desc.rows, plane->desc.cols, plane->data);
  if (plane->frozen)
    return afp_plane_open (plane->frozen, spec, error);
  g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
               "plane '%s' (%s) holds no numbers that can be read", plane->desc.name,
               afp_plane_kind_name (plane->desc.kind));
  return NULL;
}

static gboolean
foreach_under (AfpPlane *plane, GString *path, AfpPlaneFunc func, gpointer user_data)
{
  const gsize length = path->len;

  if (length)
    g_string_append_c (path, '/');
  g_string_append (path, plane->desc.name);
  gboolean go_on = func (plane, path->str, user_data);
  for (guint i = 0; go_on && i < afp_plane_get_n_children (plane); i++)
    go_on = foreach_under (plane->children->pdata[i], path, func, user_data);
  g_string_truncate (path, length);
  return go_on;
}

/**
 * afp_plane_foreach: (skip)
 * @root: a tree
 * @func: returns %FALSE to stop
 * @user_data: for @func
 *
 * Visits every node, parents first.
 *
 * Returns: %FALSE if @func stopped it
 */
gboolean
afp_plane_foreach (AfpPlane *root, AfpPlaneFunc func, gpointer user_data)
{
  g_autoptr (GString) path = g_string_new (NULL);

  return foreach_under (root, path, func, user_data);
}
