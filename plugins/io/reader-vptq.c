/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "io-input.h"
#include "json-util.h"
#include "reader.h"
#include "vptq-dequant.h"

#include <string.h>

/*
 * A model quantized by VPTQ, in the layout of Hugging Face: safetensors beside a config.json that says how. The arrays of a linear P
 * (P.indices, P.centroids.weight ...) are read as one tensor, P.weight, decoded; all others are as they are.
 */

typedef enum {
  PART_INDICES,
  PART_CENTROIDS,
  PART_RESIDUALS,
  PART_RES_INDICES,
  PART_SCALE,
  PART_BIAS,
  PART_PERM,
  PART_OUTLIER_CENTROIDS,
  PART_OUTLIER_INDICES,
  N_PARTS
} PartId;

static const char *const suffixes[N_PARTS] = { [PART_INDICES] = "indices",
                                               [PART_CENTROIDS] = "centroids.weight",
                                               [PART_RESIDUALS] = "res_centroids.weight",
                                               [PART_RES_INDICES] = "res_indices",
                                               [PART_SCALE] = "weight_scale",
                                               [PART_BIAS] = "weight_bias",
                                               [PART_PERM] = "perm",
                                               [PART_OUTLIER_CENTROIDS] =
                                                   "outlier_centroids.weight",
                                               [PART_OUTLIER_INDICES] = "outlier_indices" };

typedef enum { CLASS_NONE, CLASS_FLOAT, CLASS_16_BIT, CLASS_32_BIT } Class; /* NONE: no such part */

typedef struct {
  Class class;
  guint rank;
  guint64 shape[3];
} Shape;

typedef struct {
  const AfpVptqLayer *layer;
  char *where;        /* "linear 'x' in 'model.safetensors'" */
  AfpSpec *spec;      /* of the weight */
  gssize at[N_PARTS]; /* index of a tensor of the file, or -1 */
} Linear;

/* A tensor of ours: one of the file, or a linear. */
typedef struct {
  gsize index;
  Linear *linear; /* or NULL */
} Item;

typedef struct {
  char *path;
  AfpVptqConfig *config;
  gpointer inner;     /* of afp_reader_safetensors */
  GPtrArray *specs;   /* AfpSpec, of the file */
  GHashTable *names;  /* name -> index + 1 */
  GPtrArray *linears; /* of Linear, in the order of the file */
  GArray *items;      /* of Item */
} Reader;

static const AfpReader *const file_reader = &afp_reader_safetensors;

static void
linear_free (gpointer data)
{
  Linear *linear = data;

  g_free (linear->where);
  g_clear_pointer (&linear->spec, afp_spec_unref);
  g_free (linear);
}

static void
reader_close (gpointer data)
{
  Reader *self = data;

  g_clear_pointer (&self->config, afp_vptq_config_free);
  if (self->inner != NULL)
    file_reader->close (self->inner);
  g_hash_table_unref (self->names);
  g_ptr_array_unref (self->specs);
  g_ptr_array_unref (self->linears);
  g_array_unref (self->items);
  g_free (self->path);
  g_free (self);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Reader, reader_close)

/* --- what a linear consists of ------------------------------------------------------------------------------------ */

static Shape
get_shape (const AfpVptqLayer *layer, PartId part)
{
  const guint64 vectors = afp_vptq_n_vectors (layer->rows, layer->length);
  const guint64 outlier_vectors =
      layer->outlier_length > 0 ? afp_vptq_n_vectors (layer->rows, layer->outlier_length) : 0;
  const Class residual = layer->residuals > 0 ? CLASS_FLOAT : CLASS_NONE;
  const Class norm = layer->norm ? CLASS_FLOAT : CLASS_NONE;
  const gboolean outliers = layer->outlier_centroids > 0;

  switch (part) {
  case PART_INDICES:
    return layer->packed
               ? (Shape){ CLASS_32_BIT, 3, { layer->groups, vectors, afp_vptq_n_words (layer) } }
               : (Shape){ CLASS_16_BIT, 3, { layer->groups, vectors, layer->group_size } };
  case PART_CENTROIDS:
    return (Shape){ CLASS_FLOAT, 2, { layer->groups, (guint64) layer->centroids * layer->length } };
  case PART_RESIDUALS:
    return (Shape){ residual, 2, { layer->groups, (guint64) layer->residuals * layer->length } };
  case PART_RES_INDICES:
    return (Shape){ layer->residuals > 0 && !layer->packed ? CLASS_16_BIT : CLASS_NONE,
                    3,
                    { layer->groups, vectors, layer->group_size } };
  case PART_SCALE:
  case PART_BIAS:
    return (Shape){ norm, 1, { layer->cols } };
  case PART_PERM:
    return (Shape){ layer->perm ? CLASS_16_BIT : CLASS_NONE, 1, { layer->cols } };
  case PART_OUTLIER_CENTROIDS:
    return (Shape){ outliers ? CLASS_FLOAT : CLASS_NONE,
                    2,
                    { 1, (guint64) layer->outlier_centroids * layer->outlier_length } };
  default:
    return (Shape){ outliers ? CLASS_16_BIT : CLASS_NONE,
                    3,
                    { 1, outlier_vectors, layer->n_outliers } };
  }
}

/* Indices of 16 bits were stored as other types of that width, too. */
static gboolean
is_of_class (AfpDType dtype, Class class)
{
  if (class == CLASS_32_BIT)
    return dtype == AFP_DTYPE_I32 || dtype == AFP_DTYPE_U32;
  if (class == CLASS_16_BIT)
    return dtype == AFP_DTYPE_I16 || dtype == AFP_DTYPE_U16 || dtype == AFP_DTYPE_F16;
  return dtype == AFP_DTYPE_F16 || dtype == AFP_DTYPE_BF16 || dtype == AFP_DTYPE_F32;
}

static char *
shape_to_text (const Shape *shape)
{
  GString *text = g_string_new (NULL);

  for (guint i = 0; i < shape->rank; i++)
    g_string_append_printf (text, "%s%" G_GUINT64_FORMAT, i > 0 ? "x" : "", shape->shape[i]);
  return g_string_free (text, FALSE);
}

static gboolean
check_part (const Reader *self, const Linear *linear, PartId part, GError **error)
{
  static const char *const wanted[] = {
    [CLASS_FLOAT] = "f16, bf16 or f32", [CLASS_16_BIT] = "i16", [CLASS_32_BIT] = "i32"
  };
  const Shape shape = get_shape (linear->layer, part);
  const gssize at = linear->at[part];

  if (shape.class == CLASS_NONE)
    return at < 0 ||
           afp_input_refuse (error, linear->where, "has a tensor %s, which '%s' does not speak of",
                             suffixes[part], self->config->path);
  if (at < 0)
    return afp_input_refuse (error, linear->where, "has no tensor %s, which '%s' asks for",
                             suffixes[part], self->config->path);
  AfpSpec *spec = self->specs->pdata[at];
  const AfpDType dtype = afp_spec_get_dtype (spec);
  if (!is_of_class (dtype, shape.class))
    return afp_input_refuse (error, linear->where, "has %s of type %s; %s is expected",
                             suffixes[part], afp_dtype_name (dtype), wanted[shape.class]);
  if (afp_spec_get_rank (spec) == shape.rank &&
      memcmp (afp_spec_get_shape (spec), shape.shape, shape.rank * sizeof (guint64)) == 0)
    return TRUE;
  g_autofree char *found = afp_spec_shape_to_string (spec), *asked = shape_to_text (&shape);
  return afp_input_refuse (error, linear->where, "has %s of shape %s; by '%s' it is %s",
                           suffixes[part], found, self->config->path, asked);
}

static AfpSpec *
make_spec (const Reader *self, const Linear *linear, const char *name, GError **error)
{
  const guint64 shape[] = { linear->layer->rows, linear->layer->cols };
  const AfpDType dtype = self->config->dtype != AFP_N_DTYPES
                             ? self->config->dtype
                             : afp_spec_get_dtype (self->specs->pdata[linear->at[PART_CENTROIDS]]);
  g_autofree char *weight = g_strconcat (name, ".weight", NULL);
  guint64 n_elements, n_bytes;
  g_autofree char *why = afp_input_check_shape (2, shape, dtype, &n_elements, &n_bytes);

  if (why != NULL)
    afp_input_refuse (error, linear->where, "%s", why);
  else if (!afp_input_check_name (weight, self->path, error))
    return NULL;
  else if (g_hash_table_contains (self->names, weight))
    afp_input_refuse (error, linear->where,
                      "is quantized, but there is a tensor '%s' beside its indices", weight);
  else
    return afp_spec_new (weight, dtype, 2, shape, NULL, NULL);
  return NULL;
}

static gboolean
add_linear (Reader *self, const char *name, const AfpVptqLayer *layer, GHashTable *owners,
            GError **error)
{
  Linear *linear = g_new0 (Linear, 1);

  g_ptr_array_add (self->linears, linear);
  linear->layer = layer;
  linear->where = g_strdup_printf ("linear '%s' in '%s'", name, self->path);
  for (guint part = 0; part < N_PARTS; part++) {
    g_autofree char *full = g_strconcat (name, ".", suffixes[part], NULL);
    const gsize found = GPOINTER_TO_SIZE (g_hash_table_lookup (self->names, full));
    linear->at[part] = (gssize) found - 1;
    if (!check_part (self, linear, part, error))
      return FALSE;
    if (found > 0)
      g_hash_table_insert (owners, GSIZE_TO_POINTER (found), linear);
  }
  linear->spec = make_spec (self, linear, name, error);
  return linear->spec != NULL;
}

/* --- all of them -------------------------------------------------------------------------------------------------- */

static gboolean
list_file (Reader *self, GError **error)
{
  const gsize n = file_reader->get_n_tensors (self->inner);

  for (gsize i = 0; i < n; i++) {
    g_autoptr (AfpTensor) tensor = file_reader->plan_tensor (self->inner, i, error);
    if (tensor == NULL)
      return FALSE;
    AfpSpec *spec = afp_spec_ref (afp_tensor_get_spec (tensor));
    g_ptr_array_add (self->specs, spec);
    g_hash_table_insert (self->names, (char *) afp_spec_get_name (spec), GSIZE_TO_POINTER (i + 1));
  }
  return TRUE;
}

/* "x" of a tensor "x.indices", or NULL. (transfer full) */
static char *
get_linear_name (const char *tensor)
{
  return g_str_has_suffix (tensor, ".indices")
             ? g_strndup (tensor, strlen (tensor) - strlen (".indices"))
             : NULL;
}

/* Linears come with their indices. @owners: index + 1 of a tensor of the file -> Linear */
static gboolean
find_linears (Reader *self, GHashTable *owners, GError **error)
{
  for (guint i = 0; i < self->specs->len; i++) {
    g_autofree char *name = get_linear_name (afp_spec_get_name (self->specs->pdata[i]));
    if (name == NULL)
      continue;
    const AfpVptqLayer *layer = afp_vptq_config_find (self->config, name);
    g_autofree char *centroids = g_strconcat (name, ".", suffixes[PART_CENTROIDS], NULL);
    if (layer != NULL && !add_linear (self, name, layer, owners, error))
      return FALSE;
    if (layer == NULL && g_hash_table_contains (self->names, centroids)) {
      g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                   "linear '%s' in '%s' has indices and centroids, but '%s' does not say how it is "
                   "quantized",
                   name, self->path, self->config->path);
      return FALSE;
    }
  }
  return TRUE;
}

/* The first, by name, that the configuration names and the file has not. */
static gboolean
check_all_there (const Reader *self, GError **error)
{
  const char *first = NULL;
  GHashTableIter iter;
  gpointer name;

  g_hash_table_iter_init (&iter, self->config->layers);
  while (g_hash_table_iter_next (&iter, &name, NULL)) {
    g_autofree char *indices = g_strconcat (name, ".", suffixes[PART_INDICES], NULL);
    if (!g_hash_table_contains (self->names, indices) &&
        (first == NULL || strcmp (name, first) < 0))
      first = name;
  }
  if (first == NULL)
    return TRUE;
  g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
               "'%s' says that linear '%s' is quantized, but '%s' has no tensor '%s.indices'",
               self->config->path, first, self->path, first);
  return FALSE;
}

static void
list_items (Reader *self, GHashTable *owners)
{
  g_autoptr (GHashTable) done = g_hash_table_new (NULL, NULL);

  for (gsize i = 0; i < self->specs->len; i++) {
    const Item item = { i, g_hash_table_lookup (owners, GSIZE_TO_POINTER (i + 1)) };
    if (item.linear == NULL || g_hash_table_add (done, item.linear))
      g_array_append_val (self->items, item);
  }
}

static gpointer
reader_open (const AfpReaderOptions *options, GError **error)
{
  g_autoptr (Reader) self = g_new0 (Reader, 1);
  g_autoptr (GHashTable) owners = g_hash_table_new (NULL, NULL);

  self->path = g_strdup (options->location);
  self->specs = g_ptr_array_new_with_free_func ((GDestroyNotify) afp_spec_unref);
  self->names = g_hash_table_new (g_str_hash, g_str_equal);
  self->linears = g_ptr_array_new_with_free_func (linear_free);
  self->items = g_array_new (FALSE, FALSE, sizeof (Item));
  self->config = afp_vptq_config_new (self->path, error);
  if (self->config == NULL)
    return NULL;
  self->inner = file_reader->open (options, error);
  if (self->inner == NULL || !list_file (self, error) || !find_linears (self, owners, error) ||
      !check_all_there (self, error))
    return NULL;
  list_items (self, owners);
  return g_steal_pointer (&self);
}

static gboolean
reader_sniff (const char *path, const guint8 *head, gsize n, guint64 file_size)
{
  return file_reader->sniff (path, head, n, file_size) && afp_vptq_config_is_beside (path);
}

/* --- tensors ------------------------------------------------------------------------------------------------------ */

static gsize
reader_get_n_tensors (gpointer data)
{
  return ((Reader *) data)->items->len;
}

static AfpTensor *
reader_plan_tensor (gpointer data, gsize index, GError **error)
{
  Reader *self = data;
  const Item *item = &g_array_index (self->items, Item, index);

  return item->linear != NULL ? afp_input_make_tensor (item->linear->spec, NULL, 0)
                              : file_reader->plan_tensor (self->inner, item->index, error);
}

/* Numbers as the package has them: in the model's type. */
static float *
read_floats (const Reader *self, AfpDType dtype, gsize at, GBytes *bytes)
{
  AfpSpec *spec = self->specs->pdata[at];
  const gsize n = (gsize) afp_spec_get_n_elements (spec);
  float *numbers = g_new (float, n);

  afp_dtype_read (afp_spec_get_dtype (spec), g_bytes_get_data (bytes, NULL), 0, numbers, n);
  afp_vptq_round (dtype, numbers, n);
  return numbers;
}

typedef struct {
  AfpTensor *tensors[N_PARTS];
  float *floats[N_PARTS];
} Loaded;

static void
loaded_clear (Loaded *loaded)
{
  for (guint i = 0; i < N_PARTS; i++) {
    g_clear_pointer (&loaded->tensors[i], afp_tensor_unref);
    g_clear_pointer (&loaded->floats[i], g_free);
  }
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Loaded, loaded_clear)

static gboolean
load_parts (const Reader *self, const Linear *linear, Loaded *loaded, GError **error)
{
  for (guint i = 0; i < N_PARTS; i++) {
    if (linear->at[i] < 0)
      continue;
    loaded->tensors[i] = file_reader->read_tensor (self->inner, (gsize) linear->at[i], error);
    if (loaded->tensors[i] == NULL)
      return FALSE;
    if (get_shape (linear->layer, i).class == CLASS_FLOAT)
      loaded->floats[i] =
          read_floats (self, afp_spec_get_dtype (linear->spec), (gsize) linear->at[i],
                       afp_plane_get_data (afp_tensor_get_root (loaded->tensors[i])));
  }
  return TRUE;
}

static const guint8 *
get_bytes (const Loaded *loaded, PartId part)
{
  return loaded->tensors[part] != NULL
             ? g_bytes_get_data (afp_plane_get_data (afp_tensor_get_root (loaded->tensors[part])),
                                 NULL)
             : NULL;
}

static AfpTensor *
read_linear (const Reader *self, const Linear *linear, GError **error)
{
  const gsize n_bytes = (gsize) afp_spec_get_n_bytes (linear->spec);
  g_auto (Loaded) loaded = { { NULL }, { NULL } };

  if (!load_parts (self, linear, &loaded, error))
    return NULL;
  const AfpVptqArrays arrays = { .indices = get_bytes (&loaded, PART_INDICES),
                                 .res_indices = get_bytes (&loaded, PART_RES_INDICES),
                                 .outlier_indices = get_bytes (&loaded, PART_OUTLIER_INDICES),
                                 .perm = get_bytes (&loaded, PART_PERM),
                                 .centroids = loaded.floats[PART_CENTROIDS],
                                 .residuals = loaded.floats[PART_RESIDUALS],
                                 .outlier_centroids = loaded.floats[PART_OUTLIER_CENTROIDS],
                                 .scale = loaded.floats[PART_SCALE],
                                 .bias = loaded.floats[PART_BIAS] };
  g_autofree guint8 *weights = g_try_malloc (n_bytes);
  if (weights == NULL) {
    afp_input_refuse (error, linear->where,
                      "decodes to %" G_GSIZE_FORMAT " bytes, for which there is no memory",
                      n_bytes);
    return NULL;
  }
  if (!afp_vptq_dequantize (linear->layer, &arrays, afp_spec_get_dtype (linear->spec),
                            linear->where, weights, error))
    return NULL;
  g_autoptr (GBytes) bytes = g_bytes_new_take (g_steal_pointer (&weights), n_bytes);
  return afp_input_make_tensor (linear->spec, bytes, 0);
}

static AfpTensor *
reader_read_tensor (gpointer data, gsize index, GError **error)
{
  Reader *self = data;
  const Item *item = &g_array_index (self->items, Item, index);

  return item->linear != NULL ? read_linear (self, item->linear, error)
                              : file_reader->read_tensor (self->inner, item->index, error);
}

/* The weights, and while they are decoded codebooks and rows. */
static guint64
reader_tensor_memory (gpointer data, gsize index)
{
  Reader *self = data;
  const Item *item = &g_array_index (self->items, Item, index);
  guint64 bytes = 0;

  if (item->linear == NULL)
    return 0;
  for (guint i = 0; i < N_PARTS; i++)
    if (item->linear->at[i] >= 0 && get_shape (item->linear->layer, i).class == CLASS_FLOAT)
      bytes += 4 * afp_spec_get_n_elements (self->specs->pdata[item->linear->at[i]]);
  return bytes + afp_spec_get_n_bytes (item->linear->spec) + 21 * item->linear->layer->cols;
}

/* --- what else there is ------------------------------------------------------------------------------------------- */

static JsonNode *
reader_get_info (gpointer data)
{
  Reader *self = data;
  JsonNode *node = file_reader->get_info (self->inner);
  JsonObject *info = json_node_get_object (node);

  json_object_set_string_member (info, "format", "vptq");
  json_array_add_string_element (afp_json_get_array (info, "files"), self->config->path);
  return node;
}

static char *
reader_get_fingerprint (gpointer data)
{
  Reader *self = data;
  g_autofree char *inner = file_reader->get_fingerprint (self->inner);
  g_autoptr (GChecksum) checksum = afp_input_fingerprint_new ("vptq");
  g_autoptr (GBytes) config = file_reader->read_extra (self->inner, AFP_EXTRA_CONFIG, NULL);

  g_checksum_update (checksum, (const guchar *) inner, -1);
  if (config != NULL)
    g_checksum_update (checksum, g_bytes_get_data (config, NULL),
                       (gssize) g_bytes_get_size (config));
  return g_strdup (g_checksum_get_string (checksum));
}

static char **
reader_list_extras (gpointer data)
{
  return file_reader->list_extras (((Reader *) data)->inner);
}

/* The tensors come decoded, so the configuration says nothing of their being quantized. */
static GBytes *
reader_read_extra (gpointer data, const char *name, GError **error)
{
  Reader *self = data;
  g_autoptr (GBytes) bytes = file_reader->read_extra (self->inner, name, error);

  if (bytes == NULL || strcmp (name, AFP_EXTRA_CONFIG) != 0)
    return g_steal_pointer (&bytes);
  return afp_vptq_config_without (bytes, self->config->path, error);
}

const AfpReader afp_reader_vptq = {
  .name = "vptq",
  .blurb = "safetensors beside a config.json with quant_method vptq; linears come decoded",
  .sniff = reader_sniff,
  .open = reader_open,
  .close = reader_close,
  .get_n_tensors = reader_get_n_tensors,
  .plan_tensor = reader_plan_tensor,
  .read_tensor = reader_read_tensor,
  .tensor_memory = reader_tensor_memory,
  .get_info = reader_get_info,
  .get_fingerprint = reader_get_fingerprint,
  .list_extras = reader_list_extras,
  .read_extra = reader_read_extra,
};
