/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vptq-linear.h"

#include "afp-bits.h"
#include "vptq-layer.h"

#include <string.h>

static gboolean
refuse (GError **error, AfpTensor *tensor, const char *format, ...) G_GNUC_PRINTF (3, 4);

static gboolean
refuse (GError **error, AfpTensor *tensor, const char *format, ...)
{
  va_list args;
  va_start (args, format);
  g_autofree char *why = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (error, AFP_ERROR, AFP_ERROR_PLAN, "format=vptq cannot hold tensor '%s': %s",
               afp_spec_get_name (afp_tensor_get_spec (tensor)), why);
  return FALSE;
}

/* --- planes of the codec ------------------------------------------------------------------------------------------ */

static AfpPlane *
find_child (AfpPlane *root, const char *name)
{
  for (guint i = 0; i < afp_plane_get_n_children (root); i++)
    if (strcmp (afp_plane_get_desc (afp_plane_get_child (root, i))->name, name) == 0)
      return afp_plane_get_child (root, i);
  return NULL;
}

/* Is "name=value" one of the parameters? */
static gboolean
has_param (AfpPlane *root, const char *param)
{
  g_auto (GStrv) params = g_strsplit (afp_plane_get_params (root), ",", -1);

  return g_strv_contains ((const char *const *) params, param);
}

static gboolean
check_tensor (AfpTensor *tensor, GError **error)
{
  AfpSpec *spec = afp_tensor_get_spec (tensor);
  AfpPlane *root = afp_tensor_get_root (tensor);
  const AfpView *view = afp_spec_get_view (spec);
  const char *name = afp_spec_get_name (spec), *codec = afp_plane_get_codec (root);

  if (codec == NULL || strcmp (codec, "vptq") != 0)
    return refuse (
        error, tensor,
        "it is coded by %s, and the format holds plain arrays and vptq axis=output; take "
        "that for it, put 'decode' before write, or write an .h5",
        codec != NULL ? codec : "nothing that it knows");
  if (!has_param (root, "axis=output"))
    return refuse (error, tensor,
                   "its vectors run along the inputs; say vptq axis=output, or write an .h5");
  if (afp_spec_get_rank (spec) != 2 || view->split != 1 || view->input_first || view->groups != 1 ||
      !g_str_has_suffix (name, ".weight") || strlen (name) == strlen (".weight"))
    return refuse (error, tensor,
                   "it holds weights of linears, of outputs x inputs and named P.weight; keep this "
                   "one away from vptq: exclude=%s",
                   name);
  if (strstr (name, "embed") != NULL || g_str_has_suffix (name, "wte.weight") ||
      g_str_has_suffix (name, "wpe.weight"))
    return refuse (error, tensor,
                   "it is an embedding, and only linears can be quantized; keep it away from vptq: "
                   "exclude=%s",
                   name);
  return TRUE;
}

/* Planes that would need more than the format has. */
static gboolean
check_planes (AfpTensor *tensor, GError **error)
{
  static const char *const known[] = {
    "indices", "codebook", "residual-indices", "residual-codebook", "scale", "bias", NULL
  };
  AfpPlane *root = afp_tensor_get_root (tensor);

  if (find_child (root, "codebook") == NULL)
    return refuse (error, tensor,
                   "its codebook is built in, and the format has room for one only; say "
                   "codebook=trained");
  for (guint i = 0; i < afp_plane_get_n_children (root); i++) {
    AfpPlane *child = afp_plane_get_child (root, i);
    const AfpPlaneDesc *desc = afp_plane_get_desc (child);
    const char *codec = afp_plane_get_codec (child);
    if (strcmp (desc->name, "groups") == 0)
      return refuse (error, tensor,
                     "its columns have several codebooks, and this writer knows one; say groups=1 "
                     "and outliers=0, or write an .h5");
    if (!g_strv_contains (known, desc->name))
      return refuse (error, tensor,
                     "it has a plane '%s' with codecs of its own; leave them out, and say "
                     "residual-centroids= for a second codebook",
                     desc->name);
    if (desc->kind == AFP_KIND_CODE && codec != NULL)
      return refuse (error, tensor,
                     "its plane '%s' went through %s, and the format has indices of a fixed "
                     "number of bits; leave that stage out",
                     desc->name, codec);
    if (desc->kind != AFP_KIND_CODE && (codec == NULL || strcmp (codec, "f16") != 0))
      return refuse (error, tensor,
                     "its plane '%s' is stored by %s, and the format stores f16; leave that stage "
                     "out",
                     desc->name, codec != NULL ? codec : "nothing");
  }
  return TRUE;
}

static gboolean
check_size (AfpTensor *tensor, const AfpVptqLinear *self, GError **error)
{
  const guint bits = afp_vptq_index_bits (self->centroids) + afp_vptq_index_bits (self->residuals);
  const guint sizes[] = { self->centroids, self->residuals };

  for (guint i = 0; i < 2; i++)
    if ((sizes[i] & (sizes[i] - 1)) != 0)
      return refuse (error, tensor,
                     "it has %s=%u, and the format needs a power of two; take %u or %u",
                     i == 0 ? "centroids" : "residual-centroids", sizes[i],
                     1u << (g_bit_storage (sizes[i]) - 1), 1u << g_bit_storage (sizes[i]));
  if (self->residuals > self->centroids)
    return refuse (error, tensor,
                   "it has residual-centroids=%u and centroids=%u, and the package cuts what the "
                   "residual has more; take %u or less",
                   self->residuals, self->centroids, self->centroids);
  if (self->cols * bits < 32 && 32 - self->cols * bits >= self->cols * bits)
    return refuse (error, tensor,
                   "%" G_GUINT64_FORMAT " inputs of %u bits fill less than half of 32 bits, which "
                   "the package does not unpack; keep it away from vptq: exclude=%s",
                   self->cols, bits, afp_spec_get_name (afp_tensor_get_spec (tensor)));
  return TRUE;
}

/* --- what it becomes ---------------------------------------------------------------------------------------------- */

static void
add_spec (AfpVptqLinear *self, const char *suffix, AfpDType dtype, guint rank, const guint64 *shape)
{
  g_autofree char *name = g_strconcat (self->name, ".", suffix, NULL);

  g_ptr_array_add (self->specs, afp_spec_new (name, dtype, rank, shape, NULL, NULL));
}

/* The order is that of afp_vptq_linear_make(). */
static void
list_specs (AfpVptqLinear *self)
{
  const AfpVptqLayer layer = { .centroids = self->centroids,
                               .residuals = self->residuals,
                               .group_size = self->cols };
  const guint64 indices[] = { 1, afp_vptq_n_vectors (self->rows, self->length),
                              afp_vptq_n_words (&layer) };
  const guint64 main[] = { 1, (guint64) self->centroids * self->length };
  const guint64 residual[] = { 1, (guint64) self->residuals * self->length };

  add_spec (self, "indices", AFP_DTYPE_I32, 3, indices);
  add_spec (self, "centroids.weight", AFP_DTYPE_F16, 2, main);
  add_spec (self, "weight_scale", AFP_DTYPE_F16, 1, &self->cols);
  add_spec (self, "weight_bias", AFP_DTYPE_F16, 1, &self->cols);
  if (self->residuals > 0)
    add_spec (self, "res_centroids.weight", AFP_DTYPE_F16, 2, residual);
}

AfpVptqLinear *
afp_vptq_linear_new (AfpTensor *tensor, GError **error)
{
  AfpSpec *spec = afp_tensor_get_spec (tensor);

  if (!check_tensor (tensor, error))
    return NULL;
  g_autoptr (AfpTensor) final = afp_tensor_finalize (tensor, NULL, error);
  if (final == NULL || !check_planes (final, error))
    return NULL;
  AfpPlane *root = afp_tensor_get_root (final);
  const AfpPlaneDesc *codebook = afp_plane_get_desc (find_child (root, "codebook"));
  AfpPlane *residual = find_child (root, "residual-codebook");
  g_autoptr (AfpVptqLinear) self = g_new0 (AfpVptqLinear, 1);
  self->specs = g_ptr_array_new_with_free_func ((GDestroyNotify) afp_spec_unref);
  self->name =
      g_strndup (afp_spec_get_name (spec), strlen (afp_spec_get_name (spec)) - strlen (".weight"));
  self->rows = afp_spec_get_shape (spec)[0];
  self->cols = afp_spec_get_shape (spec)[1];
  self->length = (guint) codebook->cols;
  self->centroids = (guint) codebook->rows;
  self->residuals = residual != NULL ? (guint) afp_plane_get_desc (residual)->rows : 0;
  if (!check_size (tensor, self, error))
    return NULL;
  list_specs (self);
  return g_steal_pointer (&self);
}

void
afp_vptq_linear_free (AfpVptqLinear *linear)
{
  g_ptr_array_unref (linear->specs);
  g_free (linear->name);
  g_free (linear);
}

/* --- arrays ------------------------------------------------------------------------------------------------------- */

static void
take_array (GPtrArray *arrays, const AfpVptqLinear *self, void *data)
{
  AfpSpec *spec = self->specs->pdata[arrays->len];
  g_autoptr (GBytes) bytes = g_bytes_new_take (data, (gsize) afp_spec_get_n_bytes (spec));
  g_autoptr (AfpPlane) plane = afp_plane_new_raw (spec, bytes);

  g_ptr_array_add (arrays, afp_tensor_new (spec, plane));
}

/* Symbols of a code plane; NULL and no error if there is no such plane. */
static gboolean
unpack (AfpPlane *root, const char *name, guint32 **symbols, gsize n, GError **error)
{
  AfpPlane *plane = find_child (root, name);

  *symbols = NULL;
  if (plane == NULL)
    return TRUE;
  g_autoptr (GBytes) codes = afp_plane_get_codes (plane, error);
  if (codes == NULL)
    return FALSE;
  *symbols = g_new (guint32, n);
  afp_bits_unpack (g_bytes_get_data (codes, NULL), 0, *symbols, n,
                   afp_plane_get_desc (plane)->bits);
  return TRUE;
}

/* The codec has a row of indices for each input; the format for each vector of outputs. */
static gboolean
make_indices (GPtrArray *arrays, const AfpVptqLinear *self, AfpPlane *root, GError **error)
{
  const gsize vectors = (gsize) afp_vptq_n_vectors (self->rows, self->length);
  const gsize cols = (gsize) self->cols;
  const guint bits = afp_vptq_index_bits (self->centroids);
  const guint both = bits + afp_vptq_index_bits (self->residuals);
  const gsize row_bytes = ((gsize) cols * both + 31) / 32 * 4;
  g_autofree guint32 *main = NULL, *res = NULL, *row = g_new (guint32, cols);

  if (!unpack (root, "indices", &main, vectors * cols, error) ||
      !unpack (root, "residual-indices", &res, vectors * cols, error))
    return FALSE;
  guint8 *out = g_malloc0 (vectors * row_bytes);
  for (gsize r = 0; r < vectors; r++) {
    for (gsize c = 0; c < cols; c++)
      row[c] = main[c * vectors + r] | (res != NULL ? res[c * vectors + r] << bits : 0);
    afp_bits_pack (out + r * row_bytes, 0, row, cols, both);
  }
  take_array (arrays, self, out);
  return TRUE;
}

/* A float plane as f16; a single number as often as the array asks for, and @otherwise where there is no such plane. */
static gboolean
make_floats (GPtrArray *arrays, const AfpVptqLinear *self, AfpPlane *root, const char *name,
             float otherwise, GError **error)
{
  const gsize n = (gsize) afp_spec_get_n_elements (self->specs->pdata[arrays->len]);
  AfpPlane *plane = find_child (root, name);
  g_autofree float *numbers = g_new (float, n);
  gsize have = 1;

  numbers[0] = otherwise;
  if (plane != NULL) {
    g_autoptr (AfpMatrix) matrix = afp_plane_open (plane, NULL, error);
    g_autoptr (GBytes) dense = matrix != NULL ? afp_matrix_to_dense (matrix, NULL, error) : NULL;
    if (dense == NULL)
      return FALSE;
    have = MIN (n, g_bytes_get_size (dense) / sizeof (float));
    memcpy (numbers, g_bytes_get_data (dense, NULL), have * sizeof (float));
  }
  for (gsize i = have; i < n; i++)
    numbers[i] = numbers[0];
  guint16 *halves = g_new (guint16, n);
  afp_dtype_from_f32 (AFP_DTYPE_F16, numbers, halves, 1, n);
  take_array (arrays, self, halves);
  return TRUE;
}

GPtrArray *
afp_vptq_linear_make (const AfpVptqLinear *self, AfpTensor *tensor, GError **error)
{
  AfpPlane *root = afp_tensor_get_root (tensor);
  g_autoptr (GPtrArray) arrays = g_ptr_array_new_with_free_func ((GDestroyNotify) afp_tensor_unref);

  if (!make_indices (arrays, self, root, error) ||
      !make_floats (arrays, self, root, "codebook", 0, error) ||
      !make_floats (arrays, self, root, "scale", 1, error) ||
      !make_floats (arrays, self, root, "bias", 0, error) ||
      (self->residuals > 0 && !make_floats (arrays, self, root, "residual-codebook", 0, error)))
    return NULL;
  return g_steal_pointer (&arrays);
}

static void
add_pair (JsonObject *object, const char *name, guint value)
{
  JsonArray *pair = json_array_new ();

  json_array_add_int_element (pair, -1);
  json_array_add_int_element (pair, value > 0 ? (gint64) value : -1);
  json_object_set_array_member (object, name, pair);
}

JsonNode *
afp_vptq_linear_describe (const AfpVptqLinear *self, gboolean has_bias)
{
  JsonObject *object = json_object_new ();
  JsonNode *node = json_node_new (JSON_NODE_OBJECT);

  json_object_set_int_member (object, "in_features", (gint64) self->cols);
  json_object_set_int_member (object, "out_features", (gint64) self->rows);
  json_object_set_boolean_member (object, "bias", has_bias);
  add_pair (object, "vector_lens", self->length);
  add_pair (object, "num_centroids", self->centroids);
  add_pair (object, "num_res_centroids", self->residuals);
  json_object_set_int_member (object, "group_num", 1);
  json_object_set_int_member (object, "group_size", (gint64) self->cols);
  json_object_set_int_member (object, "outlier_size", 0);
  json_object_set_boolean_member (object, "enable_norm", TRUE);
  json_object_set_boolean_member (object, "enable_perm", FALSE);
  json_object_set_boolean_member (object, "is_indice_packed", TRUE);
  json_object_set_boolean_member (object, "indices_as_float", FALSE);
  json_node_take_object (node, object);
  return node;
}
