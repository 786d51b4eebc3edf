/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "extras-folder.h"
#include "io-input.h"
#include "json-util.h"
#include "reader.h"
#include "safetensors-header.h"

#include <string.h>

/*
 * safetensors: u64 little-endian length of the header, the header (JSON), then the arrays without holes. Also
 * an index (model.safetensors.index.json), whose weight_map says which shard holds which tensor. Arrays are slices of the mapped
 * file; they need not be aligned.
 */

#define MAX_INDEX (G_GUINT64_CONSTANT (1) << 30)
#define MAX_DEPTH 16

typedef struct {
  char *path;
  GBytes *map;
  guint64 header_bytes; /* with the 8 bytes of its length */
} Shard;

typedef struct {
  char *path;
  GPtrArray *shards; /* of Shard */
  GArray *entries;   /* of AfpSafetensorsEntry, in the order of the file */
  GBytes *index;     /* (nullable) text of the index */
  JsonNode *metadata;
  GPtrArray *notes;
} Reader;

static void
shard_free (gpointer data)
{
  Shard *shard = data;

  g_free (shard->path);
  g_bytes_unref (shard->map);
  g_free (shard);
}

static void
reader_close (gpointer data)
{
  Reader *self = data;

  g_ptr_array_unref (self->shards);
  g_array_unref (self->entries);
  g_clear_pointer (&self->index, g_bytes_unref);
  g_clear_pointer (&self->metadata, json_node_unref);
  g_ptr_array_unref (self->notes);
  g_free (self->path);
  g_free (self);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Reader, reader_close)

static Shard *
add_shard (Reader *self, const char *path, GError **error)
{
  GBytes *map = afp_input_map (path, error);

  if (map == NULL)
    return NULL;
  Shard *shard = g_new0 (Shard, 1);
  shard->path = g_strdup (path);
  shard->map = map;
  g_ptr_array_add (self->shards, shard);
  return shard;
}

static GArray *
parse_last_shard (Reader *self, GError **error)
{
  Shard *shard = self->shards->pdata[self->shards->len - 1];

  return afp_safetensors_parse (shard->path, shard->map, &shard->header_bytes, &self->metadata,
                                error);
}

static gboolean
open_file (Reader *self, const char *path, GError **error)
{
  if (add_shard (self, path, error) == NULL)
    return FALSE;
  GArray *entries = parse_last_shard (self, error);
  if (entries == NULL)
    return FALSE;
  g_array_unref (self->entries);
  self->entries = entries;
  return TRUE;
}

/* --- an index and its shards ------------------------------------------------------------------------------------- */

/* weight_map, checked: every value is the plain name of a file beside the index. */
static JsonObject *
get_weight_map (JsonNode *root, const char *path, GError **error)
{
  JsonNode *map = JSON_NODE_HOLDS_OBJECT (root)
                      ? json_object_get_member (json_node_get_object (root), "weight_map")
                      : NULL;
  JsonObjectIter iter;
  const char *name;
  JsonNode *value;

  if (map == NULL || !JSON_NODE_HOLDS_OBJECT (map)) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                 "'%s' is no index of safetensors files: it has no object weight_map", path);
    return NULL;
  }
  json_object_iter_init (&iter, json_node_get_object (map));
  while (json_object_iter_next (&iter, &name, &value)) {
    if (!JSON_NODE_HOLDS_VALUE (value) || json_node_get_value_type (value) != G_TYPE_STRING) {
      g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                   "the index '%s' names no file for tensor '%s'", path, name);
      return NULL;
    }
    const char *file = json_node_get_string (value);
    if (*file == '\0' || strpbrk (file, "/\\") != NULL || strcmp (file, "..") == 0) {
      g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                   "the index '%s' looks for tensor '%s' in '%s', which is not the name of a file "
                   "beside the index",
                   path, name, file);
      return NULL;
    }
  }
  return json_node_get_object (map);
}

static int
compare_names (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *) a, *(const char *const *) b);
}

/* Distinct shards, by name; the texts belong to @map. */
static GPtrArray *
list_shards (JsonObject *map)
{
  g_autoptr (GHashTable) seen = g_hash_table_new (g_str_hash, g_str_equal);
  GPtrArray *files = g_ptr_array_new ();
  JsonObjectIter iter;
  JsonNode *value;

  json_object_iter_init (&iter, map);
  while (json_object_iter_next (&iter, NULL, &value)) {
    char *file = (char *) json_node_get_string (value);
    if (g_hash_table_add (seen, file))
      g_ptr_array_add (files, file);
  }
  g_ptr_array_sort (files, compare_names);
  return files;
}

/* Moves to the reader what the map looks for in this shard, and takes it off @wanted. */
static void
take_entries (Reader *self, GArray *entries, JsonObject *map, const char *file, GHashTable *wanted)
{
  guint extra = 0;

  for (guint i = 0; i < entries->len; i++) {
    const AfpSafetensorsEntry *entry = &g_array_index (entries, AfpSafetensorsEntry, i);
    const char *name = afp_spec_get_name (entry->spec);
    const char *where = json_object_get_string_member_with_default (map, name, NULL);
    if (where == NULL || strcmp (where, file) != 0) {
      extra++;
      continue;
    }
    AfpSafetensorsEntry copy = *entry;
    copy.file = self->shards->len - 1;
    afp_spec_ref (copy.spec);
    g_array_append_val (self->entries, copy);
    g_hash_table_remove (wanted, name);
  }
  if (extra > 0)
    g_ptr_array_add (self->notes,
                     g_strdup_printf ("left out: %u tensors of '%s' that the index does not look "
                                      "for in it",
                                      extra, file));
}

/* The first, by name, of the tensors that the map promised and no shard holds. */
static gboolean
check_missing (GHashTable *wanted, const char *path, GError **error)
{
  const char *first = NULL;
  GHashTableIter iter;
  gpointer name, file;

  g_hash_table_iter_init (&iter, wanted);
  while (g_hash_table_iter_next (&iter, &name, NULL))
    if (first == NULL || strcmp (name, first) < 0)
      first = name;
  if (first == NULL)
    return TRUE;
  file = g_hash_table_lookup (wanted, first);
  g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
               "tensor '%s' is not in '%s', where the index '%s' looks for it (%u tensors are "
               "missing)",
               first, (const char *) file, path, g_hash_table_size (wanted));
  return FALSE;
}

static gboolean
open_shards (Reader *self, const char *path, JsonObject *map, GError **error)
{
  g_autofree char *folder = g_path_get_dirname (path);
  g_autoptr (GPtrArray) files = list_shards (map);
  g_autoptr (GHashTable) wanted = g_hash_table_new (g_str_hash, g_str_equal);
  JsonObjectIter iter;
  const char *name;
  JsonNode *value;

  json_object_iter_init (&iter, map);
  while (json_object_iter_next (&iter, &name, &value))
    g_hash_table_insert (wanted, (char *) name, (char *) json_node_get_string (value));
  for (guint i = 0; i < files->len; i++) {
    g_autofree char *shard_path = g_build_filename (folder, files->pdata[i], NULL);
    if (add_shard (self, shard_path, error) == NULL) {
      g_prefix_error (error, "shard %u of %u of the index '%s': ", i + 1, files->len, path);
      return FALSE;
    }
    g_autoptr (GArray) entries = parse_last_shard (self, error);
    if (entries == NULL)
      return FALSE;
    take_entries (self, entries, map, files->pdata[i], wanted);
  }
  return check_missing (wanted, path, error);
}

static gboolean
open_index (Reader *self, const char *path, GError **error)
{
  gsize n;
  const char *text = g_bytes_get_data (self->index, &n);

  if (n > MAX_INDEX) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                 "the index '%s' has %" G_GSIZE_FORMAT " bytes; the limit is %" G_GUINT64_FORMAT,
                 path, n, MAX_INDEX);
    return FALSE;
  }
  g_autofree char *what = g_strdup_printf ("the index '%s'", path);
  g_autoptr (JsonNode) root = afp_json_parse (text, n, MAX_DEPTH, what, error);
  if (root == NULL)
    return FALSE;
  JsonObject *map = get_weight_map (root, path, error);
  return map != NULL && open_shards (self, path, map, error);
}

/* --- the reader -------------------------------------------------------------------------------------------------- */

static gboolean
looks_like_file (const guint8 *head, gsize n, guint64 file_size)
{
  guint64 length;

  if (n < 9 || file_size < 10)
    return FALSE;
  memcpy (&length, head, 8);
  length = GUINT64_FROM_LE (length);
  return length >= 2 && length <= AFP_SAFETENSORS_MAX_HEADER && length <= file_size - 8 &&
         head[8] == '{';
}

static gboolean
looks_like_index (const guint8 *head, gsize n)
{
  gsize i = 0;

  while (i < n && g_ascii_isspace (head[i]))
    i++;
  if (i == n || head[i] != '{')
    return FALSE;
  return g_strstr_len ((const char *) head, (gssize) n, "\"weight_map\"") != NULL;
}

static gboolean
reader_sniff (const char *path, const guint8 *head, gsize n, guint64 file_size)
{
  return looks_like_file (head, n, file_size) || looks_like_index (head, n);
}

static gpointer
reader_open (const AfpReaderOptions *options, GError **error)
{
  g_autoptr (Reader) self = g_new0 (Reader, 1);
  self->shards = g_ptr_array_new_with_free_func (shard_free);
  self->entries = afp_safetensors_entries_new ();
  self->notes = g_ptr_array_new_with_free_func (g_free);

  g_autoptr (GBytes) map = afp_input_map (options->location, error);
  if (map == NULL)
    return NULL;
  gsize n;
  const guint8 *head = g_bytes_get_data (map, &n);
  gboolean ok;
  if (!looks_like_file (head, n, n) && looks_like_index (head, n)) {
    self->index = g_steal_pointer (&map);
    ok = open_index (self, options->location, error);
  } else
    ok = open_file (self, options->location, error);
  if (!ok)
    return NULL;
  self->path = g_strdup (options->location);
  g_strfreev (afp_extras_folder_list (self->path, self->notes));
  return g_steal_pointer (&self);
}

static gsize
reader_get_n_tensors (gpointer data)
{
  return ((Reader *) data)->entries->len;
}

static AfpTensor *
make_tensor (Reader *self, gsize index, gboolean with_data)
{
  const AfpSafetensorsEntry *entry = &g_array_index (self->entries, AfpSafetensorsEntry, index);
  const Shard *shard = self->shards->pdata[entry->file];

  return afp_input_make_tensor (entry->spec, with_data ? shard->map : NULL, entry->offset);
}

static AfpTensor *
reader_plan_tensor (gpointer data, gsize index, GError **error)
{
  return make_tensor (data, index, FALSE);
}

static AfpTensor *
reader_read_tensor (gpointer data, gsize index, GError **error)
{
  return make_tensor (data, index, TRUE);
}

static JsonNode *
reader_get_info (gpointer data)
{
  Reader *self = data;
  JsonObject *info = json_object_new ();
  JsonArray *files = json_array_new ();

  json_object_set_string_member (info, "format", "safetensors");
  for (guint i = 0; i < self->shards->len; i++)
    json_array_add_string_element (files, ((Shard *) self->shards->pdata[i])->path);
  json_object_set_array_member (info, "files", files);
  if (self->metadata != NULL)
    json_object_set_member (info, "metadata", json_node_copy (self->metadata));
  afp_input_set_notes (info, self->notes);
  JsonNode *node = json_node_new (JSON_NODE_OBJECT);
  json_node_take_object (node, info);
  return node;
}

static char *
reader_get_fingerprint (gpointer data)
{
  Reader *self = data;
  g_autoptr (GChecksum) checksum = afp_input_fingerprint_new ("safetensors");

  for (guint i = 0; i < self->shards->len; i++) {
    const Shard *shard = self->shards->pdata[i];
    afp_input_fingerprint_add_file (checksum, shard->map);
    g_checksum_update (checksum, g_bytes_get_data (shard->map, NULL), (gssize) shard->header_bytes);
  }
  return g_strdup (g_checksum_get_string (checksum));
}

static char **
reader_list_extras (gpointer data)
{
  return afp_extras_folder_list (((Reader *) data)->path, NULL);
}

static GBytes *
reader_read_extra (gpointer data, const char *name, GError **error)
{
  return afp_extras_folder_read (((Reader *) data)->path, name, error);
}

const AfpReader afp_reader_safetensors = {
  .name = "safetensors",
  .blurb = "safetensors, one file or an index with its shards",
  .sniff = reader_sniff,
  .open = reader_open,
  .close = reader_close,
  .get_n_tensors = reader_get_n_tensors,
  .plan_tensor = reader_plan_tensor,
  .read_tensor = reader_read_tensor,
  .get_info = reader_get_info,
  .get_fingerprint = reader_get_fingerprint,
  .list_extras = reader_list_extras,
  .read_extra = reader_read_extra,
};
