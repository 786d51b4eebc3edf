/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "io-input.h"
#include "keras-scan.h"
#include "reader.h"

#include <string.h>

/*
 * Keras .h5 and other HDF5. Arrays that lie in the file as they would in memory are slices of the mapped file; chunked,
 * compressed and big-endian ones are read through HDF5, in a child process.
 */

#define FINGERPRINT_BYTES 4096

typedef struct {
  char *path;
  GBytes *map;
  AfpKerasScan *scan;
} Reader;

static void
reader_close (gpointer data)
{
  Reader *self = data;

  g_clear_pointer (&self->scan, afp_keras_scan_free);
  g_clear_pointer (&self->map, g_bytes_unref);
  g_free (self->path);
  g_free (self);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Reader, reader_close)

/* The superblock is at 0, or behind a user block of 512, 1024, 2048, ... bytes. */
static gboolean
reader_sniff (const char *path, const guint8 *head, gsize n, guint64 file_size)
{
  static const guint8 signature[8] = { 0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n' };

  for (gsize at = 0; at + sizeof signature <= n; at = at == 0 ? 512 : 2 * at)
    if (memcmp (head + at, signature, sizeof signature) == 0)
      return TRUE;
  return FALSE;
}

static gpointer
reader_open (const AfpReaderOptions *options, GError **error)
{
  g_autoptr (Reader) self = g_new0 (Reader, 1);
  self->path = g_strdup (options->location);
  self->map = afp_input_map (self->path, error);
  if (self->map != NULL)
    self->scan = afp_keras_scan (self->path, g_bytes_get_size (self->map), error);
  return self->scan != NULL ? g_steal_pointer (&self) : NULL;
}

static gsize
reader_get_n_tensors (gpointer data)
{
  return ((Reader *) data)->scan->entries->len;
}

static AfpTensor *
make_tensor (const AfpKerasEntry *entry, GBytes *bytes)
{
  g_autoptr (AfpPlane) plane = afp_plane_new_raw (entry->spec, bytes);

  return afp_tensor_new (entry->spec, plane);
}

static AfpTensor *
reader_plan_tensor (gpointer data, gsize index, GError **error)
{
  return make_tensor (((Reader *) data)->scan->entries->pdata[index], NULL);
}

static gboolean
is_mapped (const AfpKerasEntry *entry)
{
  return entry->dataset.offset != AFP_H5_NOT_MAPPABLE && G_BYTE_ORDER == G_LITTLE_ENDIAN;
}

static AfpTensor *
reader_read_tensor (gpointer data, gsize index, GError **error)
{
  Reader *self = data;
  const AfpKerasEntry *entry = self->scan->entries->pdata[index];
  g_autoptr (GBytes) bytes = NULL;

  if (is_mapped (entry))
    bytes = g_bytes_new_from_bytes (self->map, (gsize) entry->dataset.offset,
                                    (gsize) entry->dataset.n_bytes);
  else
    bytes = afp_keras_read (self->path, g_bytes_get_size (self->map), entry, error);
  return bytes != NULL ? make_tensor (entry, bytes) : NULL;
}

static guint64
reader_tensor_memory (gpointer data, gsize index)
{
  const AfpKerasEntry *entry = ((Reader *) data)->scan->entries->pdata[index];

  return is_mapped (entry) ? 0 : entry->dataset.n_bytes;
}

static JsonNode *
reader_get_info (gpointer data)
{
  Reader *self = data;
  JsonObject *info = json_object_new ();
  JsonArray *files = json_array_new ();

  json_object_set_string_member (info, "format", "keras");
  json_object_set_string_member (info, "layout", self->scan->layout);
  json_array_add_string_element (files, self->path);
  json_object_set_array_member (info, "files", files);
  if (self->scan->config != NULL)
    json_object_set_member (info, "config", json_node_copy (self->scan->config));
  afp_input_set_notes (info, self->scan->notes);
  JsonNode *node = json_node_new (JSON_NODE_OBJECT);
  json_node_take_object (node, info);
  return node;
}

static char *
reader_get_fingerprint (gpointer data)
{
  Reader *self = data;
  g_autoptr (GChecksum) checksum = afp_input_fingerprint_new ("keras");
  const gsize size = g_bytes_get_size (self->map);

  afp_input_fingerprint_add_file (checksum, self->map);
  g_checksum_update (checksum, g_bytes_get_data (self->map, NULL),
                     (gssize) MIN (size, FINGERPRINT_BYTES));
  for (guint i = 0; i < self->scan->entries->len; i++) {
    const AfpKerasEntry *entry = self->scan->entries->pdata[i];
    g_autofree char *shape = afp_spec_shape_to_string (entry->spec);
    g_autofree char *line = g_strdup_printf (
        "%s %s %s %s %" G_GUINT64_FORMAT "\n", afp_spec_get_name (entry->spec), entry->path,
        afp_dtype_name (afp_spec_get_dtype (entry->spec)), shape, entry->dataset.stored);
    g_checksum_update (checksum, (const guchar *) line, (gssize) strlen (line));
  }
  return g_strdup (g_checksum_get_string (checksum));
}

static char **
reader_list_extras (gpointer data)
{
  static const char *const names[] = { AFP_EXTRA_KERAS_CONFIG, NULL };

  return ((Reader *) data)->scan->config != NULL ? g_strdupv ((char **) names) : NULL;
}

static GBytes *
reader_read_extra (gpointer data, const char *name, GError **error)
{
  char *text = json_to_string (((Reader *) data)->scan->config, FALSE);

  return g_bytes_new_take (text, strlen (text));
}

const AfpReader afp_reader_keras = {
  .name = "keras",
  .blurb = "Keras .h5 and other HDF5",
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
