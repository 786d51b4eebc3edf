/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "moment-file.h"

#include "json-util.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#define MAGIC "AFPMOM1\n"
#define MAGIC_BYTES 8
#define HEAD_BYTES 24
#define MAX_TABLE (64u << 20)

struct _MomentWriter {
  char *path, *temporary;
  int file; /* -1: it has its name */
  guint64 end;
  JsonArray *table;
};

/* --- writing ------------------------------------------------------------------------------------------------------ */

static gboolean
fail (const MomentWriter *writer, GError **error)
{
  const int code = errno;

  g_set_error (error, AFP_ERROR, AFP_ERROR_IO,
               "cannot write '%s': %s; cache= says in which folder such files are", writer->path,
               g_strerror (code));
  return FALSE;
}

MomentWriter *
moment_writer_new (const char *path, GError **error)
{
  g_autoptr (MomentWriter) writer = g_new0 (MomentWriter, 1);
  g_autofree char *folder = g_path_get_dirname (path);

  writer->path = g_strdup (path);
  writer->temporary = g_strconcat (path, ".XXXXXX", NULL);
  writer->table = json_array_new ();
  writer->end = HEAD_BYTES;
  writer->file = -1;
  if (g_mkdir_with_parents (folder, 0700) == 0)
    writer->file = g_mkstemp (writer->temporary);
  if (writer->file < 0) {
    fail (writer, error);
    return NULL;
  }
  return g_steal_pointer (&writer);
}

void
moment_writer_free (MomentWriter *writer)
{
  if (writer->file >= 0) {
    close (writer->file);
    g_unlink (writer->temporary);
  }
  json_array_unref (writer->table);
  g_free (writer->path);
  g_free (writer->temporary);
  g_free (writer);
}

static gboolean
put (MomentWriter *writer, guint64 offset, gconstpointer data, gsize n, GError **error)
{
  gsize done = 0;

  while (done < n) {
    const ssize_t written =
        pwrite (writer->file, (const char *) data + done, n - done, (off_t) (offset + done));
    if (written < 0 && errno == EINTR)
      continue;
    if (written < 0)
      return fail (writer, error);
    done += (gsize) written;
  }
  return TRUE;
}

gboolean
moment_writer_add (MomentWriter *writer, const char *const *tensors, guint64 size,
                   gboolean diagonal, guint64 n_samples, const float *stored, GError **error)
{
  const guint64 offset = (writer->end + AFP_ALIGN_LARGE - 1) / AFP_ALIGN_LARGE * AFP_ALIGN_LARGE;
  const gsize bytes = (gsize) afp_moments_n_stored (size, diagonal) * sizeof *stored;
  JsonObject *entry = json_object_new ();
  JsonArray *names = json_array_new ();

  for (; *tensors; tensors++)
    json_array_add_string_element (names, *tensors);
  json_object_set_array_member (entry, "tensors", names);
  json_object_set_int_member (entry, "size", (gint64) size);
  json_object_set_boolean_member (entry, "diagonal", diagonal);
  json_object_set_int_member (entry, "samples", (gint64) n_samples);
  json_object_set_int_member (entry, "offset", (gint64) offset);
  json_array_add_object_element (writer->table, entry);
  writer->end = offset + bytes;
  return put (writer, offset, stored, bytes, error);
}

gboolean
moment_writer_end (MomentWriter *writer, GError **error)
{
  g_autoptr (JsonNode) node = json_node_init_array (json_node_alloc (), writer->table);
  g_autofree char *text = json_to_string (node, FALSE);
  const guint64 places[2] = { writer->end, strlen (text) };

  if (!put (writer, writer->end, text, strlen (text), error) ||
      !put (writer, MAGIC_BYTES, places, sizeof places, error) ||
      !put (writer, 0, MAGIC, MAGIC_BYTES, error))
    return FALSE;
  if (fsync (writer->file) != 0 || g_rename (writer->temporary, writer->path) != 0)
    return fail (writer, error);
  close (writer->file);
  writer->file = -1;
  return TRUE;
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

static gboolean
get_count (JsonObject *object, const char *name, guint64 *value)
{
  JsonNode *node = json_object_get_member (object, name);
  const gboolean ok = node && JSON_NODE_HOLDS_VALUE (node) &&
                      json_node_get_value_type (node) == G_TYPE_INT64 &&
                      json_node_get_int (node) >= 0;

  *value = ok ? (guint64) json_node_get_int (node) : 0;
  return ok;
}

static gboolean
add_names (JsonObject *object, AfpMoments *moments, GHashTable *all)
{
  JsonNode *node = json_object_get_member (object, "tensors");
  JsonArray *names = node && JSON_NODE_HOLDS_ARRAY (node) ? json_node_get_array (node) : NULL;

  for (guint i = 0; names && i < json_array_get_length (names); i++) {
    JsonNode *name = json_array_get_element (names, i);
    if (!JSON_NODE_HOLDS_VALUE (name) || json_node_get_value_type (name) != G_TYPE_STRING)
      return FALSE;
    g_hash_table_insert (all, g_strdup (json_node_get_string (name)), afp_moments_ref (moments));
  }
  return names != NULL;
}

static gboolean
add_entry (JsonNode *node, GBytes *map, guint64 end, GHashTable *all)
{
  JsonObject *object = JSON_NODE_HOLDS_OBJECT (node) ? json_node_get_object (node) : NULL;
  JsonNode *flag = object ? json_object_get_member (object, "diagonal") : NULL;
  guint64 size, samples, offset;

  if (!flag || !JSON_NODE_HOLDS_VALUE (flag) || json_node_get_value_type (flag) != G_TYPE_BOOLEAN ||
      !get_count (object, "size", &size) || !get_count (object, "samples", &samples) ||
      !get_count (object, "offset", &offset))
    return FALSE;
  const gboolean diagonal = json_node_get_boolean (flag);
  if (size > G_MAXUINT32 || offset > end || offset % AFP_ALIGN_LARGE != 0 ||
      afp_moments_n_stored (size, diagonal) > (end - offset) / sizeof (float))
    return FALSE;
  g_autoptr (GBytes) stored = g_bytes_new_from_bytes (
      map, offset, (gsize) afp_moments_n_stored (size, diagonal) * sizeof (float));
  g_autoptr (AfpMoments) moments = afp_moments_new (size, diagonal, samples, stored);
  return add_names (object, moments, all);
}

static gboolean
parse (GBytes *map, GHashTable *all)
{
  gsize n;
  const char *data = g_bytes_get_data (map, &n);
  guint64 places[2];

  if (n < HEAD_BYTES || memcmp (data, MAGIC, MAGIC_BYTES) != 0)
    return FALSE;
  memcpy (places, data + MAGIC_BYTES, sizeof places);
  if (places[0] > n || places[1] > MAX_TABLE || places[1] > n - places[0])
    return FALSE;
  g_autoptr (JsonNode) root = afp_json_parse (data + places[0], places[1], 8, "moments", NULL);
  JsonArray *table = root && JSON_NODE_HOLDS_ARRAY (root) ? json_node_get_array (root) : NULL;
  for (guint i = 0; table && i < json_array_get_length (table); i++)
    if (!add_entry (json_array_get_element (table, i), map, places[0], all))
      return FALSE;
  return table != NULL;
}

GHashTable *
moment_file_parse (GBytes *bytes)
{
  g_autoptr (GHashTable) all =
      g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) afp_moments_unref);

  return parse (bytes, all) ? g_steal_pointer (&all) : NULL;
}

GHashTable *
moment_file_read (const char *path, GError **error)
{
  GError *local = NULL;
  g_autoptr (GBytes) map = afp_mapped_new (path, &local);

  if (!map) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_IO, "%s", local->message);
    g_error_free (local);
    return NULL;
  }
  GHashTable *all = moment_file_parse (map);
  if (all)
    return all;
  g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT, "'%s' is damaged, or no file of moments", path);
  return NULL;
}
