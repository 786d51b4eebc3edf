/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keras-scan.h"

#include "io-input.h"
#include "json-util.h"
#include "keras-view.h"

#include <string.h>

#define MAX_DATASETS (1u << 20)
#define MAX_CONFIG_DEPTH 200

typedef struct {
  hid_t file;
  const char *path;
  guint64 file_bytes;
  GHashTable *layers;
  AfpKerasScan *scan;
} Scanner;

/* One entry of weight_names. */
typedef struct {
  char *layer;
  char *weight;
  char *path;
} Weight;

static void
weight_free (gpointer data)
{
  Weight *weight = data;

  g_free (weight->layer);
  g_free (weight->weight);
  g_free (weight->path);
  g_free (weight);
}

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
add_entry (Scanner *self, const char *name, const char *dataset_path, const AfpH5Dataset *dataset,
           const AfpView *view, GError **error)
{
  if (!afp_input_check_name (name, self->path, error))
    return FALSE;
  if (g_hash_table_contains (self->scan->by_name, name)) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                 "'%s' has two tensors '%s', the second at '%s'", self->path, name, dataset_path);
    return FALSE;
  }
  AfpKerasEntry *entry = g_new0 (AfpKerasEntry, 1);
  entry->spec = afp_spec_new (name, dataset->dtype, dataset->rank, dataset->shape, view, NULL);
  entry->path = g_strdup (dataset_path);
  entry->dataset = *dataset;
  g_ptr_array_add (self->scan->entries, entry);
  g_hash_table_insert (self->scan->by_name, (char *) afp_spec_get_name (entry->spec), entry);
  return TRUE;
}

/* --- files with layer_names and weight_names --------------------------------------------------------------------- */

static gboolean
list_weights (Scanner *self, const char *base, const char *layer, GPtrArray *weights,
              GError **error)
{
  g_autofree char *group_path = g_strdup_printf ("%s/%s", base, layer);

  if (!afp_h5_has_group (self->file, group_path)) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                 "'%s' names the layer '%s', but has no group '%s'", self->path, layer, group_path);
    return FALSE;
  }
  g_auto (AfpHid) group = H5Gopen2 (self->file, group_path, H5P_DEFAULT);
  g_autoptr (GError) local = NULL;
  g_auto (GStrv) names = afp_h5_read_strings (group, "weight_names", &local);
  if (local != NULL) {
    g_propagate_prefixed_error (error, g_steal_pointer (&local), "'%s', group '%s': ", self->path,
                                group_path);
    return FALSE;
  }
  for (guint i = 0; names != NULL && names[i] != NULL; i++) {
    Weight *weight = g_new0 (Weight, 1);
    weight->layer = g_strdup (layer);
    weight->weight = g_strdup (names[i]);
    weight->path = g_strdup_printf ("%s/%s", group_path, names[i]);
    g_ptr_array_add (weights, weight);
  }
  return TRUE;
}

/* Keras 3 calls the weights of many layers by the same name: these get the layer's name before theirs. */
static gboolean
add_weights (Scanner *self, GPtrArray *weights, GError **error)
{
  g_autoptr (GHashTable) seen = g_hash_table_new (g_str_hash, g_str_equal);

  for (guint i = 0; i < weights->len; i++) {
    const char *name = ((Weight *) weights->pdata[i])->weight;
    g_hash_table_insert (seen, (char *) name,
                         GINT_TO_POINTER (g_hash_table_contains (seen, name) ? 2 : 1));
  }
  for (guint i = 0; i < weights->len; i++) {
    const Weight *weight = weights->pdata[i];
    g_autofree char *name = GPOINTER_TO_INT (g_hash_table_lookup (seen, weight->weight)) == 1
                                ? g_strdup (weight->weight)
                                : g_strdup_printf ("%s/%s", weight->layer, weight->weight);
    g_auto (AfpHid) dataset = afp_h5_open_dataset (self->file, weight->path, error);
    if (dataset < 0) {
      g_prefix_error (error, "'%s', weight '%s': ", self->path, weight->weight);
      return FALSE;
    }
    AfpH5Dataset info;
    g_autofree char *why = afp_h5_describe (dataset, self->file_bytes, &info);
    if (why != NULL) {
      g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT, "'%s', dataset '%s' %s", self->path,
                   weight->path, why);
      return FALSE;
    }
    AfpView view;
    const gboolean has_view =
        afp_keras_view (self->layers, weight->layer, weight->weight, info.rank, info.shape, &view);
    if (!add_entry (self, name, weight->path, &info, has_view ? &view : NULL, error))
      return FALSE;
  }
  return TRUE;
}

static gboolean
read_config (Scanner *self, GError **error)
{
  g_autoptr (GError) local = NULL;
  g_autofree char *text = afp_h5_read_string (self->file, "model_config", &local);

  if (local != NULL) {
    g_propagate_prefixed_error (error, g_steal_pointer (&local), "'%s': ", self->path);
    return FALSE;
  }
  if (text == NULL)
    return TRUE;
  g_autofree char *what = g_strdup_printf ("model_config of '%s'", self->path);
  self->scan->config = afp_json_parse (text, strlen (text), MAX_CONFIG_DEPTH, what, error);
  return self->scan->config != NULL;
}

static gboolean
scan_keras (Scanner *self, const char *base, GError **error)
{
  g_autoptr (GPtrArray) weights = g_ptr_array_new_with_free_func (weight_free);
  g_auto (AfpHid) group = H5Gopen2 (self->file, *base ? base : "/", H5P_DEFAULT);
  g_autoptr (GError) local = NULL;
  g_auto (GStrv) layers = afp_h5_read_strings (group, "layer_names", &local);

  if (layers == NULL) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT, "'%s', group '%s/': %s", self->path, base,
                 local != NULL ? local->message : "it has no attribute layer_names");
    return FALSE;
  }
  if (!read_config (self, error))
    return FALSE;
  self->layers = afp_keras_list_layers (self->scan->config);
  for (guint i = 0; layers[i] != NULL; i++)
    if (!list_weights (self, base, layers[i], weights, error))
      return FALSE;
  g_autofree char *top = g_strdup_printf ("%s/top_level_model_weights", base);
  if (!g_strv_contains ((const char *const *) layers, "top_level_model_weights") &&
      afp_h5_has_group (self->file, top) &&
      !list_weights (self, base, "top_level_model_weights", weights, error))
    return FALSE;
  return add_weights (self, weights, error);
}

/* --- all datasets of a file -------------------------------------------------------------------------------------- */

typedef struct {
  GPtrArray *paths; /* of char*, absolute */
  gboolean too_many;
} Visit;

static herr_t
visit_object (hid_t root, const char *name, const H5O_info_t *info, void *user_data)
{
  Visit *visit = user_data;

  if (info->type != H5O_TYPE_DATASET)
    return 0;
  visit->too_many = visit->paths->len >= MAX_DATASETS;
  if (visit->too_many)
    return -1;
  g_ptr_array_add (visit->paths, g_strconcat ("/", name, NULL));
  return 0;
}

static int
compare_paths (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *) a, *(const char *const *) b);
}

/* Every dataset once, by path; soft and external links are not followed. */
static GPtrArray *
list_datasets (Scanner *self, GError **error)
{
  g_autoptr (GPtrArray) paths = g_ptr_array_new_with_free_func (g_free);
  Visit visit = { paths, FALSE };

  if (H5Ovisit (self->file, H5_INDEX_NAME, H5_ITER_INC, visit_object, &visit) < 0) {
    g_autofree char *why = afp_h5_last_error ();
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT, "cannot list the datasets of '%s': %s",
                 self->path, visit.too_many ? "there are more than 1048576" : why);
    return NULL;
  }
  g_ptr_array_sort (paths, compare_paths);
  return g_steal_pointer (&paths);
}

/* The first part of the path: "/optimizer_weights". */
static char *
group_of (const char *path)
{
  const char *slash = strchr (path + 1, '/');

  return slash != NULL ? g_strndup (path, (gsize) (slash - path)) : g_strdup (path);
}

static void
note_left_out (Scanner *self, const char *group, guint n, guint64 bytes)
{
  if (n > 0)
    g_ptr_array_add (self->scan->notes,
                     g_strdup_printf ("left out: %s (%u dataset%s, %" G_GUINT64_FORMAT " bytes)",
                                      group, n, n == 1 ? "" : "s", bytes));
}

/* What is in the file beside the model's weights, summed by group. */
static gboolean
note_others (Scanner *self, GError **error)
{
  g_autoptr (GPtrArray) paths = list_datasets (self, error);
  g_autoptr (GHashTable) taken = g_hash_table_new (g_str_hash, g_str_equal);
  g_autofree char *group = NULL;
  guint64 bytes = 0;
  guint n = 0;

  if (paths == NULL)
    return FALSE;
  for (guint i = 0; i < self->scan->entries->len; i++)
    g_hash_table_add (taken, ((AfpKerasEntry *) self->scan->entries->pdata[i])->path);
  for (guint i = 0; i < paths->len; i++) {
    const char *path = paths->pdata[i];
    if (g_hash_table_contains (taken, path))
      continue;
    g_autofree char *its_group = group_of (path);
    if (g_strcmp0 (group, its_group) != 0) {
      note_left_out (self, group, n, bytes);
      g_free (group);
      group = g_steal_pointer (&its_group);
      n = 0;
      bytes = 0;
    }
    g_auto (AfpHid) dataset = H5Dopen2 (self->file, path, H5P_DEFAULT);
    bytes += dataset >= 0 ? H5Dget_storage_size (dataset) : 0;
    n++;
  }
  note_left_out (self, group, n, bytes);
  return TRUE;
}

static gboolean
scan_all (Scanner *self, gboolean keras, GError **error)
{
  g_autoptr (GPtrArray) paths = list_datasets (self, error);
  guint64 optimizer_bytes = 0;
  guint n_optimizer = 0;

  if (paths == NULL)
    return FALSE;
  for (guint i = 0; i < paths->len; i++) {
    const char *path = paths->pdata[i];
    g_auto (AfpHid) dataset = H5Dopen2 (self->file, path, H5P_DEFAULT);
    if (dataset < 0) {
      g_autofree char *why = afp_h5_last_error ();
      g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT, "'%s', dataset '%s': %s", self->path, path,
                   why);
      return FALSE;
    }
    if (keras && g_str_has_prefix (path, "/optimizer/")) {
      optimizer_bytes += H5Dget_storage_size (dataset);
      n_optimizer++;
      continue;
    }
    AfpH5Dataset info;
    g_autofree char *why = afp_h5_describe (dataset, self->file_bytes, &info);
    if (why != NULL) {
      g_ptr_array_add (self->scan->notes, g_strdup_printf ("left out: %s (it %s)", path, why));
      continue;
    }
    const AfpView view = { info.rank - 1, TRUE, 1 };
    if (!add_entry (self, path + 1, path, &info, keras && info.rank >= 2 ? &view : NULL, error))
      return FALSE;
  }
  note_left_out (self, "/optimizer", n_optimizer, optimizer_bytes);
  return TRUE;
}

static gboolean
has_strings (hid_t object, const char *name)
{
  g_autofree char *first = g_strconcat (name, "0", NULL);

  return H5Aexists (object, name) > 0 || H5Aexists (object, first) > 0;
}

AfpKerasScan *
afp_keras_scan (hid_t file, const char *path, guint64 file_bytes, GError **error)
{
  g_autoptr (AfpKerasScan) scan = g_new0 (AfpKerasScan, 1);
  scan->entries = g_ptr_array_new_with_free_func (entry_free);
  scan->by_name = g_hash_table_new (g_str_hash, g_str_equal);
  scan->notes = g_ptr_array_new_with_free_func (g_free);
  Scanner self = { file, path, file_bytes, NULL, scan };
  gboolean ok;

  const gboolean inside = afp_h5_has_group (file, "/model_weights");
  if (inside || has_strings (file, "layer_names")) {
    scan->layout = "keras";
    ok = scan_keras (&self, inside ? "/model_weights" : "", error) && note_others (&self, error);
  } else {
    const gboolean keras = afp_h5_has_group (file, "/layers") ||
                           afp_h5_has_group (file, "/_layer_checkpoint_dependencies");
    scan->layout = keras ? "keras-weights" : "hdf5";
    ok = scan_all (&self, keras, error);
  }
  g_clear_pointer (&self.layers, g_hash_table_unref);
  return ok ? g_steal_pointer (&scan) : NULL;
}
