/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-file.h"

#include <zstd.h>

#define ZSTD_LEVEL 15

/* Compressed where that is smaller, and not so much that a reader would not believe it. */
static GBytes *
squeeze (GBytes *bytes)
{
  gsize n;
  gconstpointer data = g_bytes_get_data (bytes, &n);
  g_autofree guint8 *out = g_malloc (ZSTD_compressBound (n));
  const gsize size = ZSTD_compress (out, ZSTD_compressBound (n), data, n, ZSTD_LEVEL);

  if (ZSTD_isError (size) || size >= n || n / size >= AFP_FILE_MAX_SQUEEZE)
    return g_bytes_ref (bytes);
  return g_bytes_new (out, size);
}

gboolean
afp_file_add_extra (AfpFile *file, const char *name, GBytes *bytes, GError **error)
{
  const gsize n = g_bytes_get_size (bytes);

  if (!afp_extra_is_name (name) || n == 0 || n > AFP_EXTRA_MAX_BYTES ||
      file->extras->len == AFP_EXTRA_MAX_COUNT) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                 "'%s' with %" G_GSIZE_FORMAT
                 " bytes cannot be stored: a file holds up to %d such, of 1 to %" G_GUINT64_FORMAT
                 " bytes, whose names are up to %d letters, digits and -_.",
                 name, n, AFP_EXTRA_MAX_COUNT, AFP_EXTRA_MAX_BYTES, AFP_EXTRA_MAX_NAME);
    return FALSE;
  }
  AfpFileExtra row = { .name = g_strdup (name), .bytes = n, .data = squeeze (bytes) };
  row.stored = g_bytes_get_size (row.data);
  row.crc32 = afp_file_crc32 (g_bytes_get_data (row.data, NULL), row.stored);
  g_array_append_val (file->extras, row);
  return TRUE;
}

guint64
afp_file_get_extras_bytes (const AfpFile *file)
{
  guint64 bytes = 0;

  for (guint i = 0; i < file->extras->len; i++)
    bytes += afp_file_extra (file, i)->stored;
  return bytes;
}

/* What goes with the model that reaches @element; before the first tensor, so that what cannot be read is known then. */
gboolean
afp_file_take_extras (AfpFile *file, AfpElement *element, GError **error)
{
  g_auto (GStrv) names = element ? afp_element_list_extras (element) : NULL;

  for (char **name = names; name && *name; name++) {
    g_autoptr (GBytes) bytes = afp_element_read_extra (element, *name, error);
    if (!bytes || !afp_file_add_extra (file, *name, bytes, error))
      return FALSE;
  }
  return TRUE;
}

gboolean
afp_file_write_extras (const AfpFile *file, AfpOutput *output, GError **error)
{
  guint64 offset = file->extras_offset;

  for (guint i = 0; i < file->extras->len; i++) {
    const AfpFileExtra *extra = afp_file_extra (file, i);
    if (!afp_output_write (output, offset, g_bytes_get_data (extra->data, NULL), extra->stored,
                           error))
      return FALSE;
    offset += extra->stored;
  }
  return TRUE;
}

static gboolean
check_extra (const AfpFileExtra *row, GHashTable *names, GError **error)
{
  const char *why = NULL;

  if (!afp_extra_is_name (row->name))
    why = "has a name that cannot be";
  else if (!g_hash_table_add (names, row->name))
    why = "is there twice";
  else if (row->bytes == 0 || row->bytes > AFP_EXTRA_MAX_BYTES || row->stored == 0 ||
           row->stored > row->bytes || row->bytes / row->stored >= AFP_FILE_MAX_SQUEEZE)
    why = "has sizes that cannot be";
  if (why == NULL)
    return TRUE;
  g_autofree char *shown = g_strescape (row->name, NULL);
  g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
               "extra \"%.100s\" %s: %" G_GUINT64_FORMAT " bytes, stored in %" G_GUINT64_FORMAT,
               shown, why, row->bytes, row->stored);
  return FALSE;
}

gboolean
afp_file_check_extras (const AfpFile *file, guint64 file_bytes, GError **error)
{
  g_autoptr (GHashTable) names = g_hash_table_new (g_str_hash, g_str_equal);

  if (file->extras->len > AFP_EXTRA_MAX_COUNT) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT, "it has %u extras; the limit is %d",
                 file->extras->len, AFP_EXTRA_MAX_COUNT);
    return FALSE;
  }
  for (guint i = 0; i < file->extras->len; i++)
    if (!check_extra (afp_file_extra (file, i), names, error))
      return FALSE;
  const guint64 bytes = afp_file_get_extras_bytes (file);
  if (file->extras_offset > file_bytes || bytes > file_bytes - file->extras_offset) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                 "the file is cut off: the extras need %" G_GUINT64_FORMAT
                 " bytes at offset %" G_GUINT64_FORMAT ", the file has %" G_GUINT64_FORMAT,
                 bytes, file->extras_offset, file_bytes);
    return FALSE;
  }
  return TRUE;
}

/* Inflated; NULL if it is no frame of so many bytes. */
static GBytes *
inflate (const guint8 *data, gsize stored, gsize n)
{
  if (ZSTD_getFrameContentSize (data, stored) != n)
    return NULL;
  g_autofree guint8 *out = g_try_malloc (n);
  if (out == NULL || ZSTD_decompress (out, n, data, stored) != n)
    return NULL;
  return g_bytes_new_take (g_steal_pointer (&out), n);
}

GBytes *
afp_file_read_extra (const AfpFile *file, GBytes *map, const char *name, GError **error)
{
  guint64 offset = file->extras_offset;

  for (guint i = 0; i < file->extras->len; i++) {
    const AfpFileExtra *row = afp_file_extra (file, i);
    if (!g_str_equal (row->name, name)) {
      offset += row->stored;
      continue;
    }
    g_autoptr (GBytes) stored = g_bytes_new_from_bytes (map, (gsize) offset, (gsize) row->stored);
    const guint8 *data = g_bytes_get_data (stored, NULL);
    const guint32 crc = afp_file_crc32 (data, row->stored);
    GBytes *bytes = NULL;
    if (crc == row->crc32)
      bytes = row->stored == row->bytes ? g_bytes_ref (stored)
                                        : inflate (data, row->stored, row->bytes);
    if (bytes == NULL)
      g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                   "it is damaged: %" G_GUINT64_FORMAT " bytes at file offset %" G_GUINT64_FORMAT
                   " have checksum %08x, %08x is expected%s; get the file again",
                   row->stored, offset, crc, row->crc32,
                   crc == row->crc32 ? ", and they do not inflate to their size" : "");
    return bytes;
  }
  g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT, "the file has none of this name");
  return NULL;
}
