/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keras-scan.h"

#include "h5-child.h"
#include "io-input.h"
#include "json-util.h"
#include "keras-list.h"
#include "keras-view.h"

#include <string.h>

#define MAX_CONFIG_DEPTH 200
#define MEGABYTE (G_GUINT64_CONSTANT (1) << 20)

static const char *const layout_names[AFP_KERAS_N_LAYOUTS] = { "keras", "keras-weights", "hdf5" };

/* A weight as it was listed. */
typedef struct {
  const char *layer, *weight, *path;
  AfpH5Dataset dataset;
} Weight;

static void
entry_free (gpointer data)
{
  AfpKerasEntry *entry = data;

  afp_spec_unref (entry->spec);
  g_free (entry->path);
  g_free (entry);
}

void
afp_keras_scan_free (AfpKerasScan *scan)
{
  g_ptr_array_unref (scan->entries);
  g_hash_table_unref (scan->by_name);
  g_ptr_array_unref (scan->notes);
  g_clear_pointer (&scan->config, json_node_unref);
  g_free (scan);
}

static gboolean
add_entry (AfpKerasScan *scan, const char *path, const char *name, const Weight *weight,
           const AfpView *view, GError **error)
{
  if (!afp_input_check_name (name, path, error))
    return FALSE;
  if (g_hash_table_contains (scan->by_name, name)) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                 "'%s' has two tensors '%s', the second at '%s'", path, name, weight->path);
    return FALSE;
  }
  AfpKerasEntry *entry = g_new0 (AfpKerasEntry, 1);
  entry->spec = afp_spec_new (name, weight->dataset.dtype, weight->dataset.rank,
                              weight->dataset.shape, view, NULL);
  entry->path = g_strdup (weight->path);
  entry->dataset = weight->dataset;
  g_ptr_array_add (scan->entries, entry);
  g_hash_table_insert (scan->by_name, (char *) afp_spec_get_name (entry->spec), entry);
  return TRUE;
}

/* The child may have been led astray: nothing that it says is taken on trust. */
static gboolean
read_weight (GVariant *row, guint64 file_bytes, Weight *weight)
{
  AfpH5Dataset *info = &weight->dataset;
  g_autoptr (GVariant) shape = NULL;
  guint64 n_elements, n_bytes;
  guchar dtype;
  gsize rank;

  memset (weight, 0, sizeof *weight);
  g_variant_get (row, "(^&ay^&ay^&ayy@atttt)", &weight->layer, &weight->weight, &weight->path,
                 &dtype, &shape, &info->n_bytes, &info->stored, &info->offset);
  const guint64 *axes = g_variant_get_fixed_array (shape, &rank, sizeof (guint64));
  if (dtype >= AFP_N_DTYPES || rank > AFP_MAX_RANK)
    return FALSE;
  info->dtype = (AfpDType) dtype;
  info->rank = (guint) rank;
  if (rank > 0)
    memcpy (info->shape, axes, rank * sizeof *axes);
  return afp_shape_count (info->rank, info->shape, afp_dtype_size (info->dtype), &n_elements,
                          &n_bytes) &&
         n_bytes == info->n_bytes &&
         (info->offset == AFP_H5_NOT_MAPPABLE ||
          (info->offset <= file_bytes && n_bytes <= file_bytes - info->offset));
}

static GHashTable *
count_names (GVariant *weights)
{
  GHashTable *counts = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);

  for (gsize i = 0; i < g_variant_n_children (weights); i++) {
    g_autoptr (GVariant) row = g_variant_get_child_value (weights, i);
    const char *name;
    g_variant_get_child (row, 1, "^&ay", &name);
    const int count = GPOINTER_TO_INT (g_hash_table_lookup (counts, name));
    g_hash_table_insert (counts, g_strdup (name), GINT_TO_POINTER (count + 1));
  }
  return counts;
}

/* Keras 3 calls the weights of many layers by the same name: these get the layer's name before theirs. */
static char *
make_name (GHashTable *counts, const Weight *weight)
{
  if (*weight->layer == '\0' || GPOINTER_TO_INT (g_hash_table_lookup (counts, weight->weight)) == 1)
    return g_strdup (weight->weight);
  return g_strdup_printf ("%s/%s", weight->layer, weight->weight);
}

static gboolean
get_view (AfpKerasLayout layout, GHashTable *layers, const Weight *weight, AfpView *view)
{
  const AfpH5Dataset *info = &weight->dataset;

  if (layout == AFP_KERAS_MODEL)
    return afp_keras_view (layers, weight->layer, weight->weight, info->rank, info->shape, view);
  *view = (AfpView){ MAX (info->rank, 2) - 1, TRUE, 1 };
  return layout == AFP_KERAS_WEIGHTS && info->rank >= 2;
}

/* Errors quote it. */
static gboolean
check_path (const char *dataset, const char *path, GError **error)
{
  if (g_utf8_validate (dataset, -1, NULL))
    return TRUE;
  g_autofree char *shown = g_utf8_make_valid (dataset, -1);
  g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
               "'%s' has a dataset whose path is not UTF-8: '%s'", path, shown);
  return FALSE;
}

static gboolean
add_weights (AfpKerasScan *scan, const char *path, guint64 file_bytes, AfpKerasLayout layout,
             GVariant *weights, GError **error)
{
  g_autoptr (GHashTable) counts = count_names (weights);
  g_autoptr (GHashTable) layers = afp_keras_list_layers (scan->config);

  for (gsize i = 0; i < g_variant_n_children (weights); i++) {
    g_autoptr (GVariant) row = g_variant_get_child_value (weights, i);
    Weight weight;
    AfpView view;
    const gboolean sound = read_weight (row, file_bytes, &weight);
    if (!check_path (weight.path, path, error))
      return FALSE;
    if (!sound) {
      g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                   "'%s' is damaged: dataset '%s' has sizes that do not fit together", path,
                   weight.path);
      return FALSE;
    }
    g_autofree char *name = make_name (counts, &weight);
    const gboolean has_view = get_view (layout, layers, &weight, &view);
    if (!add_entry (scan, path, name, &weight, has_view ? &view : NULL, error))
      return FALSE;
  }
  return TRUE;
}

static gboolean
unpack (AfpKerasScan *scan, GBytes *bytes, const char *path, guint64 file_bytes, GError **error)
{
  g_autoptr (GVariant) listing = g_variant_ref_sink (
      g_variant_new_from_bytes (G_VARIANT_TYPE (AFP_KERAS_LISTING), bytes, FALSE));
  g_autoptr (GVariant) weights = NULL;
  g_autofree const char **notes = NULL;
  const char *config;
  guchar layout;

  if (!g_variant_is_normal_form (listing)) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                 "cannot read '%s': what the process said that read it is damaged", path);
    return FALSE;
  }
  g_variant_get (listing, "(y^&ay^a&ay@a(ayayayyatttt))", &layout, &config, &notes, &weights);
  layout = MIN (layout, AFP_KERAS_OTHER);
  scan->layout = layout_names[layout];
  for (guint i = 0; notes[i] != NULL; i++)
    g_ptr_array_add (scan->notes, g_utf8_make_valid (notes[i], -1));
  if (*config != '\0') {
    g_autofree char *what = g_strdup_printf ("model_config of '%s'", path);
    scan->config = afp_json_parse (config, strlen (config), MAX_CONFIG_DEPTH, what, error);
    if (scan->config == NULL)
      return FALSE;
  }
  return add_weights (scan, path, file_bytes, layout, weights, error);
}

AfpKerasScan *
afp_keras_scan (const char *path, guint64 file_bytes, GError **error)
{
  g_autoptr (GBytes) request = g_bytes_new (path, strlen (path) + 1);
  g_autoptr (GBytes) listing = afp_h5_child_run (path, "keras-list", request, NULL, NULL, error);

  if (listing == NULL)
    return NULL;
  g_autoptr (AfpKerasScan) scan = g_new0 (AfpKerasScan, 1);
  scan->entries = g_ptr_array_new_with_free_func (entry_free);
  scan->by_name = g_hash_table_new (g_str_hash, g_str_equal);
  scan->notes = g_ptr_array_new_with_free_func (g_free);
  return unpack (scan, listing, path, file_bytes, error) ? g_steal_pointer (&scan) : NULL;
}

/* --- one dataset ------------------------------------------------------------------------------------------------- */

/* What the helper is told: path, path of the dataset, dtype, bytes of the array, bytes of the file. */
#define ACCESS "(^&ay^&ayytt)"
#define ACCESS_TYPE "(ayayytt)"

typedef struct {
  const char *path;
  const char *dataset;
  guchar dtype;
  guint64 n_bytes;
  guint64 file_bytes;
} Access;

/* Returns what holds the texts. */
static GVariant *
read_access (GBytes *request, Access *access)
{
  GVariant *variant =
      g_variant_ref_sink (g_variant_new_from_bytes (G_VARIANT_TYPE (ACCESS_TYPE), request, FALSE));

  g_variant_get (variant, ACCESS, &access->path, &access->dataset, &access->dtype, &access->n_bytes,
                 &access->file_bytes);
  return variant;
}

/* Opens the dataset, which must be what it was. */
static hid_t
open_again (hid_t file, const Access *access, AfpH5Dataset *info, GError **error)
{
  g_auto (AfpHid) dataset = afp_h5_open_dataset (file, access->dataset, error);

  if (dataset < 0)
    return H5I_INVALID_HID;
  g_autofree char *why = afp_h5_describe (dataset, access->file_bytes, info);
  if (why != NULL || info->n_bytes != access->n_bytes || info->dtype != access->dtype) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT, "it was changed while it was in use");
    return H5I_INVALID_HID;
  }
  const hid_t open = dataset;
  dataset = H5I_INVALID_HID;
  return open;
}

/* An AfpH5OpFunc: the array of a dataset. */
GBytes *
afp_keras_serve_read (GBytes *request, GBytes *data, GError **error)
{
  Access access;
  AfpH5Dataset info;
  G_GNUC_UNUSED g_autoptr (GVariant) texts = read_access (request, &access);

  g_auto (AfpHid) file = afp_h5_open_file (access.path, FALSE, error);
  if (file < 0)
    return NULL;
  g_auto (AfpHid) dataset = open_again (file, &access, &info, error);
  return dataset >= 0 ? afp_h5_read (dataset, &info, error) : NULL;
}

/* An AfpH5OpFunc: @data becomes the array of a dataset. */
GBytes *
afp_keras_serve_write (GBytes *request, GBytes *data, GError **error)
{
  Access access;
  AfpH5Dataset info;
  G_GNUC_UNUSED g_autoptr (GVariant) texts = read_access (request, &access);
  gboolean ok = FALSE;

  const hid_t file = afp_h5_open_file (access.path, TRUE, error);
  if (file < 0)
    return NULL;
  {
    g_auto (AfpHid) dataset = open_again (file, &access, &info, error);
    if (dataset >= 0 && g_bytes_get_size (data) == info.n_bytes)
      ok = afp_h5_write (dataset, data, error);
  }
  if (H5Fclose (file) < 0 && ok) {
    g_autofree char *why = afp_h5_last_error ();
    g_set_error (error, AFP_ERROR, AFP_ERROR_IO, "closing it: %s", why);
    ok = FALSE;
  }
  return ok ? g_bytes_new (NULL, 0) : NULL;
}

static GBytes *
run (const char *op, const char *path, guint64 file_bytes, const AfpKerasEntry *entry, GBytes *data,
     GError **error)
{
  const guint64 n = entry->dataset.n_bytes;
  /* A chunk and its filters need room beside the array; the slowest filters do 10 MB in a second. */
  const AfpH5ChildLimits limits = { .seconds = 120 + (guint) MIN (n / (10 * MEGABYTE), 1 << 20),
                                    .memory = 2 * n + 1024 * MEGABYTE,
                                    .max_result = n + MEGABYTE };
  g_autoptr (GVariant) access = g_variant_ref_sink (g_variant_new (
      "(^ay^ayytt)", path, entry->path, (guchar) entry->dataset.dtype, n, file_bytes));
  g_autoptr (GBytes) request = g_variant_get_data_as_bytes (access);
  GBytes *result = afp_h5_child_run (path, op, request, data, &limits, error);

  if (result == NULL)
    g_prefix_error (error, "'%s', dataset '%s': ", path, entry->path);
  return result;
}

GBytes *
afp_keras_read (const char *path, guint64 file_bytes, const AfpKerasEntry *entry, GError **error)
{
  g_autoptr (GBytes) bytes = run ("keras-read", path, file_bytes, entry, NULL, error);

  if (bytes != NULL && g_bytes_get_size (bytes) != entry->dataset.n_bytes) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                 "'%s', dataset '%s': %" G_GSIZE_FORMAT " bytes were read, not %" G_GUINT64_FORMAT,
                 path, entry->path, g_bytes_get_size (bytes), entry->dataset.n_bytes);
    return NULL;
  }
  return g_steal_pointer (&bytes);
}

gboolean
afp_keras_write (const char *path, guint64 file_bytes, const AfpKerasEntry *entry, GBytes *bytes,
                 GError **error)
{
  g_autoptr (GBytes) done = run ("keras-write", path, file_bytes, entry, bytes, error);

  return done != NULL;
}
