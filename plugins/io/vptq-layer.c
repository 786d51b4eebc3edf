/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vptq-layer.h"

#include "extras-folder.h"
#include "io-input.h"
#include "json-util.h"

#include <math.h>
#include <string.h>

#define MAX_DEPTH 64
#define MAX_FEATURES G_MAXINT32

guint
afp_vptq_index_bits (guint centroids)
{
  return centroids > 0 ? g_bit_storage (centroids) - 1 : 0;
}

guint64
afp_vptq_n_vectors (guint64 rows, guint length)
{
  return (rows + length - 1) / length;
}

guint64
afp_vptq_n_words (const AfpVptqLayer *layer)
{
  const guint bits =
      afp_vptq_index_bits (layer->centroids) + afp_vptq_index_bits (layer->residuals);

  return (layer->group_size * bits + 31) / 32;
}

/* --- members ------------------------------------------------------------------------------------------------------ */

/* A whole number of lo to hi, from a node; @what is "group_num of linear 'x' in 'config.json'". */
static gboolean
take_number (JsonNode *node, const char *what, gint64 lo, gint64 hi, gint64 *value, GError **error)
{
  if (node == NULL || !JSON_NODE_HOLDS_VALUE (node) ||
      json_node_get_value_type (node) != G_TYPE_INT64)
    return afp_input_refuse (error, what, "is no whole number");
  *value = json_node_get_int (node);
  if (*value < lo || *value > hi)
    return afp_input_refuse (error, what,
                             "is %" G_GINT64_FORMAT "; %" G_GINT64_FORMAT " to %" G_GINT64_FORMAT
                             " can be read",
                             *value, lo, hi);
  return TRUE;
}

static gboolean
get_count (JsonObject *object, const char *name, const char *where, gint64 lo, gint64 hi,
           guint64 *value, GError **error)
{
  g_autofree char *what = g_strdup_printf ("%s of %s", name, where);
  gint64 number = 0;

  if (!take_number (json_object_get_member (object, name), what, lo, hi, &number, error))
    return FALSE;
  *value = (guint64) number;
  return TRUE;
}

/* [outliers, all others]; -1 and 0 mean that there is none. */
static gboolean
get_pair (JsonObject *object, const char *name, const char *where, gint64 hi, guint pair[2],
          GError **error)
{
  g_autofree char *what = g_strdup_printf ("%s of %s", name, where);
  JsonArray *array = afp_json_get_array (object, name);

  if (array == NULL || json_array_get_length (array) != 2)
    return afp_input_refuse (error, what, "is no array of two numbers");
  for (guint i = 0; i < 2; i++) {
    gint64 number = 0;
    if (!take_number (json_array_get_element (array, i), what, -1, hi, &number, error))
      return FALSE;
    pair[i] = (guint) MAX (number, 0);
  }
  return TRUE;
}

/* --- a linear ----------------------------------------------------------------------------------------------------- */

/* What the package knows and we do not, and what it does not know itself. */
static gboolean
check_known (JsonObject *object, const char *where, GError **error)
{
  const char *dim = afp_json_get_text (object, "vector_quant_dim", "out");
  const double norm_dim = afp_json_get_number (object, "norm_dim", 0);

  if (strcmp (dim, "out") != 0)
    return afp_input_refuse (
        error, where, "has vector_quant_dim '%s'; only vectors along 'out' can be read", dim);
  if (norm_dim != 0)
    return afp_input_refuse (
        error, where, "has norm_dim %g; only a scale for each input (norm_dim 0) can be read",
        norm_dim);
  return TRUE;
}

static gboolean
check_codebook (const AfpVptqLayer *layer, const char *name, guint centroids, const char *where,
                GError **error)
{
  if (centroids == 1)
    return afp_input_refuse (error, where, "has %s 1; a codebook has 2 vectors or more", name);
  if (layer->packed && (centroids & (centroids - 1)) != 0)
    return afp_input_refuse (error, where,
                             "has %s %u, which is no power of two, and its indices are packed",
                             name, centroids);
  return TRUE;
}

static gboolean
check_layer (const AfpVptqLayer *layer, const char *where, GError **error)
{
  const guint64 grouped = layer->cols - MIN (layer->n_outliers, layer->cols);

  if (layer->length == 0 || layer->centroids == 0)
    return afp_input_refuse (error, where,
                             "has vectors of %u numbers and %u centroids; it needs both",
                             layer->length, layer->centroids);
  if (!check_codebook (layer, "num_centroids", layer->centroids, where, error) ||
      !check_codebook (layer, "num_res_centroids", layer->residuals, where, error))
    return FALSE;
  if (layer->n_outliers > layer->cols || grouped / layer->groups != layer->group_size ||
      grouped % layer->groups != 0)
    return afp_input_refuse (error, where,
                             "has %" G_GUINT64_FORMAT " inputs, but %" G_GUINT64_FORMAT
                             " outliers and %" G_GUINT64_FORMAT " groups of %" G_GUINT64_FORMAT,
                             layer->cols, layer->n_outliers, layer->groups, layer->group_size);
  if (layer->n_outliers > 0 && layer->outlier_centroids == 0)
    return afp_input_refuse (error, where,
                             "has %" G_GUINT64_FORMAT " outliers, but no codebook for them",
                             layer->n_outliers);
  if (layer->perm && layer->cols > 65536)
    return afp_input_refuse (
        error, where, "permutes %" G_GUINT64_FORMAT " inputs; numbers of 16 bits reach 65536",
        layer->cols);
  return TRUE;
}

static gboolean
read_layer (JsonObject *object, const char *where, AfpVptqLayer *layer, GError **error)
{
  guint lengths[2], centroids[2], residuals[2];

  if (!check_known (object, where, error) ||
      !get_count (object, "in_features", where, 1, MAX_FEATURES, &layer->cols, error) ||
      !get_count (object, "out_features", where, 1, MAX_FEATURES, &layer->rows, error) ||
      !get_pair (object, "vector_lens", where, AFP_VPTQ_MAX_LENGTH, lengths, error) ||
      !get_pair (object, "num_centroids", where, AFP_VPTQ_MAX_CENTROIDS, centroids, error) ||
      !get_pair (object, "num_res_centroids", where, AFP_VPTQ_MAX_CENTROIDS, residuals, error) ||
      !get_count (object, "group_num", where, 1, MAX_FEATURES, &layer->groups, error) ||
      !get_count (object, "group_size", where, 1, MAX_FEATURES, &layer->group_size, error) ||
      !get_count (object, "outlier_size", where, 0, MAX_FEATURES, &layer->n_outliers, error))
    return FALSE;
  layer->norm = afp_json_get_flag (object, "enable_norm", FALSE);
  layer->perm = afp_json_get_flag (object, "enable_perm", FALSE);
  layer->packed = afp_json_get_flag (object, "is_indice_packed", FALSE);
  layer->length = lengths[1];
  layer->centroids = centroids[1];
  layer->residuals = residuals[1];
  if (lengths[0] > 1 && centroids[0] > 0) {
    layer->outlier_length = lengths[0];
    layer->outlier_centroids = centroids[0];
    if (residuals[0] > 0)
      return afp_input_refuse (error, where, "has a residual codebook for outliers");
  }
  return check_layer (layer, where, error);
}

/* @table: config_for_layers or shared_layer_config; there may be none. */
static gboolean
read_table (AfpVptqConfig *self, JsonObject *quantization, const char *table, GHashTable *layers,
            GError **error)
{
  JsonObject *object = afp_json_get_object (quantization, table);
  JsonObjectIter iter;
  const char *name;
  JsonNode *value;

  if (object == NULL)
    return TRUE;
  json_object_iter_init_ordered (&iter, object);
  while (json_object_iter_next_ordered (&iter, &name, &value)) {
    g_autofree char *where = g_strdup_printf ("linear '%s' in %s of '%s'", name, table, self->path);
    g_autofree AfpVptqLayer *layer = g_new0 (AfpVptqLayer, 1);
    if (!JSON_NODE_HOLDS_OBJECT (value))
      return afp_input_refuse (error, where, "is no object");
    if (!read_layer (json_node_get_object (value), where, layer, error))
      return FALSE;
    g_hash_table_insert (layers, g_strdup (name), g_steal_pointer (&layer));
  }
  return TRUE;
}

/* --- the file ----------------------------------------------------------------------------------------------------- */

static JsonNode *
parse (GBytes *bytes, const char *path, GError **error)
{
  g_autofree char *what = g_strdup_printf ("'%s'", path);
  gsize n;
  const char *text = g_bytes_get_data (bytes, &n);

  return afp_json_parse (text, n, MAX_DEPTH, what, error);
}

static JsonNode *
parse_beside (const char *path, char **config_path, GError **error)
{
  g_autofree char *folder = g_path_get_dirname (path);

  *config_path = g_build_filename (folder, AFP_EXTRA_CONFIG, NULL);
  g_autoptr (GBytes) bytes = afp_extras_file_read (*config_path, error);
  return bytes != NULL ? parse (bytes, *config_path, error) : NULL;
}

static JsonObject *
get_quantization (JsonNode *root)
{
  JsonObject *object =
      root != NULL && JSON_NODE_HOLDS_OBJECT (root)
          ? afp_json_get_object (json_node_get_object (root), "quantization_config")
          : NULL;

  if (object == NULL || strcmp (afp_json_get_text (object, "quant_method", ""), "vptq") != 0)
    return NULL;
  return object;
}

gboolean
afp_vptq_config_is_beside (const char *path)
{
  g_autofree char *config_path = NULL;
  g_autoptr (JsonNode) root = parse_beside (path, &config_path, NULL);

  return get_quantization (root) != NULL;
}

/* The package brings all that a linear has into the type of the model. */
static AfpDType
get_dtype (JsonObject *config)
{
  static const struct {
    const char *name;
    AfpDType dtype;
  } known[] = { { "float16", AFP_DTYPE_F16 },
                { "bfloat16", AFP_DTYPE_BF16 },
                { "float32", AFP_DTYPE_F32 } };
  const char *name =
      afp_json_get_text (config, "torch_dtype", afp_json_get_text (config, "dtype", ""));

  for (guint i = 0; i < G_N_ELEMENTS (known); i++)
    if (strcmp (name, known[i].name) == 0)
      return known[i].dtype;
  return AFP_N_DTYPES;
}

AfpVptqConfig *
afp_vptq_config_new (const char *path, GError **error)
{
  g_autoptr (AfpVptqConfig) self = g_new0 (AfpVptqConfig, 1);
  self->layers = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  self->shared = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);

  g_autoptr (JsonNode) root = parse_beside (path, &self->path, error);
  if (root == NULL)
    return NULL;
  JsonObject *quantization = get_quantization (root);
  if (quantization == NULL) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                 "'%s' has no quantization_config with quant_method 'vptq'; say "
                 "format=safetensors to read the arrays as they are",
                 self->path);
    return NULL;
  }
  self->dtype = get_dtype (json_node_get_object (root));
  if (!read_table (self, quantization, "config_for_layers", self->layers, error) ||
      !read_table (self, quantization, "shared_layer_config", self->shared, error))
    return NULL;
  return g_steal_pointer (&self);
}

GBytes *
afp_vptq_config_without (GBytes *config, const char *path, GError **error)
{
  g_autoptr (JsonNode) root = parse (config, path, error);

  if (root == NULL)
    return NULL;
  if (JSON_NODE_HOLDS_OBJECT (root))
    json_object_remove_member (json_node_get_object (root), "quantization_config");
  char *text = json_to_string (root, TRUE);
  return g_bytes_new_take (text, strlen (text));
}

void
afp_vptq_config_free (AfpVptqConfig *config)
{
  g_hash_table_unref (config->layers);
  g_hash_table_unref (config->shared);
  g_free (config->path);
  g_free (config);
}

const AfpVptqLayer *
afp_vptq_config_find (const AfpVptqConfig *config, const char *linear)
{
  const AfpVptqLayer *layer = g_hash_table_lookup (config->layers, linear);
  const char *dot = strrchr (linear, '.');

  return layer != NULL ? layer
                       : g_hash_table_lookup (config->shared, dot != NULL ? dot + 1 : linear);
}
