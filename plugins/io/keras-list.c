/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keras-list.h"

#include <glib/gstdio.h>
#include <string.h>

#define MAX_DATASETS (1u << 20)

typedef struct {
  hid_t file;
  const char *path;
  guint64 file_bytes;
  GVariantBuilder *weights;
  GHashTable *taken; /* paths of datasets that are weights */
  GPtrArray *notes;
} Lister;

static void
add_weight (Lister *self, const char *layer, const char *weight, const char *dataset_path,
            const AfpH5Dataset *info)
{
  GVariant *shape =
      g_variant_new_fixed_array (G_VARIANT_TYPE_UINT64, info->shape, info->rank, sizeof (guint64));

  g_variant_builder_add (self->weights, "(^ay^ay^ayy@atttt)", layer, weight, dataset_path,
                         (guchar) info->dtype, shape, info->n_bytes, info->stored, info->offset);
  g_hash_table_add (self->taken, g_strdup (dataset_path));
}

/* --- files with layer_names and weight_names --------------------------------------------------------------------- */

static gboolean
list_weight (Lister *self, const char *layer, const char *group_path, const char *weight,
             GError **error)
{
  g_autofree char *path = g_strdup_printf ("%s/%s", group_path, weight);
  g_auto (AfpHid) dataset = afp_h5_open_dataset (self->file, path, error);
  AfpH5Dataset info;

  if (dataset < 0) {
    g_prefix_error (error, "'%s', weight '%s': ", self->path, weight);
    return FALSE;
  }
  g_autofree char *why = afp_h5_describe (dataset, self->file_bytes, &info);
  if (why != NULL) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT, "'%s', dataset '%s' %s", self->path, path,
                 why);
    return FALSE;
  }
  add_weight (self, layer, weight, path, &info);
  return TRUE;
}

static gboolean
list_layer (Lister *self, const char *base, const char *layer, GError **error)
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
  for (guint i = 0; names != NULL && names[i] != NULL; i++)
    if (!list_weight (self, layer, group_path, names[i], error))
      return FALSE;
  return TRUE;
}

static gboolean
list_model (Lister *self, const char *base, GError **error)
{
  g_auto (AfpHid) group = H5Gopen2 (self->file, *base ? base : "/", H5P_DEFAULT);
  g_autoptr (GError) local = NULL;
  g_auto (GStrv) layers = afp_h5_read_strings (group, "layer_names", &local);

  if (layers == NULL) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT, "'%s', group '%s/': %s", self->path, base,
                 local != NULL ? local->message : "it has no attribute layer_names");
    return FALSE;
  }
  for (guint i = 0; layers[i] != NULL; i++)
    if (!list_layer (self, base, layers[i], error))
      return FALSE;
  g_autofree char *top = g_strdup_printf ("%s/top_level_model_weights", base);
  return g_strv_contains ((const char *const *) layers, "top_level_model_weights") ||
         !afp_h5_has_group (self->file, top) ||
         list_layer (self, base, "top_level_model_weights", error);
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
list_datasets (Lister *self, GError **error)
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
note_left_out (Lister *self, const char *group, guint n, guint64 bytes)
{
  if (n > 0)
    g_ptr_array_add (self->notes,
                     g_strdup_printf ("left out: %s (%u dataset%s, %" G_GUINT64_FORMAT " bytes)",
                                      group, n, n == 1 ? "" : "s", bytes));
}

/* What is in the file beside the model's weights, summed by group. */
static gboolean
note_others (Lister *self, GError **error)
{
  g_autoptr (GPtrArray) paths = list_datasets (self, error);
  g_autofree char *group = NULL;
  guint64 bytes = 0;
  guint n = 0;

  if (paths == NULL)
    return FALSE;
  for (guint i = 0; i < paths->len; i++) {
    const char *path = paths->pdata[i];
    if (g_hash_table_contains (self->taken, path))
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
list_all (Lister *self, gboolean keras, GError **error)
{
  g_autoptr (GPtrArray) paths = list_datasets (self, error);
  guint64 optimizer_bytes = 0;
  guint n_optimizer = 0;

  if (paths == NULL)
    return FALSE;
  for (guint i = 0; i < paths->len; i++) {
    const char *path = paths->pdata[i];
    g_auto (AfpHid) dataset = afp_h5_open_dataset (self->file, path, error);
    if (dataset < 0) {
      g_prefix_error (error, "'%s': ", self->path);
      return FALSE;
    }
    if (keras && g_str_has_prefix (path, "/optimizer/")) {
      optimizer_bytes += H5Dget_storage_size (dataset);
      n_optimizer++;
      continue;
    }
    AfpH5Dataset info;
    g_autofree char *why = afp_h5_describe (dataset, self->file_bytes, &info);
    if (why != NULL)
      g_ptr_array_add (self->notes, g_strdup_printf ("left out: %s (it %s)", path, why));
    else
      add_weight (self, "", path + 1, path, &info);
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

/* Sets the layout and the text of the configuration. */
static gboolean
list_file (Lister *self, AfpKerasLayout *layout, char **config, GError **error)
{
  const gboolean inside = afp_h5_has_group (self->file, "/model_weights");

  if (inside || has_strings (self->file, "layer_names")) {
    g_autoptr (GError) local = NULL;
    *layout = AFP_KERAS_MODEL;
    *config = afp_h5_read_string (self->file, "model_config", &local);
    if (local != NULL) {
      g_propagate_prefixed_error (error, g_steal_pointer (&local), "'%s': ", self->path);
      return FALSE;
    }
    return list_model (self, inside ? "/model_weights" : "", error) && note_others (self, error);
  }
  const gboolean keras = afp_h5_has_group (self->file, "/layers") ||
                         afp_h5_has_group (self->file, "/_layer_checkpoint_dependencies");
  *layout = keras ? AFP_KERAS_WEIGHTS : AFP_KERAS_OTHER;
  return list_all (self, keras, error);
}

GBytes *
afp_keras_list (GBytes *request, GBytes *data, GError **error)
{
  const char *path = g_bytes_get_data (request, NULL);
  g_autofree char *config = NULL;
  AfpKerasLayout layout;
  GStatBuf stat_info;

  if (g_stat (path, &stat_info) != 0) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_IO, "cannot read '%s'", path);
    return NULL;
  }
  g_auto (AfpHid) file = afp_h5_open_file (path, FALSE, error);
  if (file < 0)
    return NULL;
  g_autoptr (GVariantBuilder) weights = g_variant_builder_new (G_VARIANT_TYPE ("a(ayayayyatttt)"));
  g_autoptr (GHashTable) taken = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  g_autoptr (GPtrArray) notes = g_ptr_array_new_with_free_func (g_free);
  Lister self = { file, path, (guint64) stat_info.st_size, weights, taken, notes };
  if (!list_file (&self, &layout, &config, error))
    return NULL;
  g_ptr_array_add (notes, NULL);
  g_autoptr (GVariant) listing = g_variant_ref_sink (
      g_variant_new ("(y^ay^aaya(ayayayyatttt))", (guchar) layout, config != NULL ? config : "",
                     (char **) notes->pdata, weights));
  return g_variant_get_data_as_bytes (listing);
}
