/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-file.h"
#include "h5-child.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>

/* --- attributes --------------------------------------------------------------------------------------------------- */

static gboolean
damaged (GError **error, const char *name, const char *what)
{
  g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT, "attribute %s: %s", name, what);
  return FALSE;
}

static gboolean
read_version (hid_t h5, GError **error)
{
  const char *name = AFP_FILE_VERSION_ATTRIBUTE;
  unsigned version = 0;
  g_auto (AfpHid) attribute = H5Aopen (h5, name, H5P_DEFAULT);

  if (attribute < 0)
    return damaged (error, name, "missing; the file is none of afpipe's");
  g_auto (AfpHid) type = H5Aget_type (attribute);
  g_auto (AfpHid) space = H5Aget_space (attribute);
  if (H5Tget_class (type) != H5T_INTEGER || H5Sget_simple_extent_npoints (space) != 1 ||
      H5Aread (attribute, H5T_NATIVE_UINT, &version) < 0)
    return damaged (error, name, "one integer is expected");
  if (version > AFP_FILE_VERSION) {
    g_set_error (
        error, AFP_ERROR, AFP_ERROR_FORMAT,
        "its format has version %u, afpipe %s reads versions up to %u; install a newer afpipe",
        version, AFP_VERSION, AFP_FILE_VERSION);
    return FALSE;
  }
  return version >= 1 ? TRUE : damaged (error, name, "version 0 does not exist");
}

/* One text or an array of them; an absent attribute gives no texts. */
static gboolean
read_texts (hid_t h5, const char *name, gsize max_texts, GStrv *texts, GError **error)
{
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();

  *texts = NULL;
  if (H5Aexists (h5, name) <= 0)
    return TRUE;
  g_auto (AfpHid) attribute = H5Aopen (h5, name, H5P_DEFAULT);
  g_auto (AfpHid) type = H5Aget_type (attribute);
  g_auto (AfpHid) space = H5Aget_space (attribute);
  if (attribute < 0 || H5Tget_class (type) != H5T_STRING || H5Tis_variable_str (type) != 0)
    return damaged (error, name, "texts of fixed length are expected");
  const hssize_t n = H5Sget_simple_extent_npoints (space);
  const AfpH5Column column = { .type = AFP_H5_TEXT,
                               .size = (guint) MIN (H5Tget_size (type), AFP_FILE_MAX_TEXT + 1) };
  if (n < 0 || n > (hssize_t) max_texts || column.size > AFP_FILE_MAX_TEXT)
    return damaged (error, name, "its texts are too long or too many");
  g_auto (AfpHid) padded = H5Tcopy (type);
  H5Tset_strpad (padded, H5T_STR_NULLPAD);
  g_autofree guint8 *rows = g_malloc0 (MAX ((gsize) n * column.size, 1));
  if (n && H5Aread (attribute, padded, rows) < 0)
    return damaged (error, name, "cannot be read");
  for (gssize i = 0; i < n; i++) {
    g_autofree char *text = afp_h5_table_get_text (&column, rows + (gsize) i * column.size);
    g_autofree char *valid = g_utf8_make_valid (text, -1);
    g_strv_builder_add (builder, valid);
  }
  *texts = g_strv_builder_end (builder);
  return TRUE;
}

static gboolean
read_text (hid_t h5, const char *name, char **text, GError **error)
{
  g_auto (GStrv) texts = NULL;

  if (!read_texts (h5, name, 1, &texts, error))
    return FALSE;
  *text = g_strdup (texts ? texts[0] : NULL);
  return TRUE;
}

/* --- tables ------------------------------------------------------------------------------------------------------- */

static gboolean
read_recipes (AfpFile *file, hid_t h5, GError **error)
{
  AfpH5Column column = { .type = AFP_H5_TEXT };
  gsize n = 0;
  g_autofree guint8 *rows =
      afp_h5_table_read (h5, "recipes", &column, 1, AFP_FILE_MAX_RECIPES, &n, error);

  if (!rows)
    return FALSE;
  for (gsize i = 0; i < n; i++)
    g_ptr_array_add (file->recipes, afp_h5_table_get_text (&column, rows + i * column.size));
  return TRUE;
}

static gboolean
read_tensors (AfpFile *file, hid_t h5, GError **error)
{
  AfpH5Column columns[] = {
    { "name", AFP_H5_TEXT, 0, 0 },        { "dtype", AFP_H5_TEXT, 0, 0 },
    { "shape", AFP_H5_TEXT, 0, 0 },       { "view", AFP_H5_TEXT, 0, 0 },
    { "alias_of", AFP_H5_INT, 4, 0 },     { "recipe", AFP_H5_UINT, 4, 0 },
    { "first_plane", AFP_H5_UINT, 4, 0 }, { "n_planes", AFP_H5_UINT, 4, 0 },
  };
  gsize n = 0;
  g_autofree guint8 *rows = afp_h5_table_read (h5, "tensors", columns, G_N_ELEMENTS (columns),
                                               AFP_FILE_MAX_TENSORS, &n, error);

  if (!rows)
    return FALSE;
  const gsize size = afp_h5_table_layout (columns, G_N_ELEMENTS (columns));
  for (gsize i = 0; i < n; i++) {
    const guint8 *row = rows + i * size;
    const AfpFileTensor tensor = {
      .name = afp_h5_table_get_text (&columns[0], row),
      .dtype = afp_h5_table_get_text (&columns[1], row),
      .shape = afp_h5_table_get_text (&columns[2], row),
      .view = afp_h5_table_get_text (&columns[3], row),
      .alias_of = (gint32) afp_h5_table_get_int (&columns[4], row),
      .recipe = (guint32) afp_h5_table_get_int (&columns[5], row),
      .first_plane = (guint32) afp_h5_table_get_int (&columns[6], row),
      .n_planes = (guint32) afp_h5_table_get_int (&columns[7], row),
    };
    g_array_append_val (file->tensors, tensor);
  }
  return TRUE;
}

static gboolean
read_planes (AfpFile *file, hid_t h5, GError **error)
{
  AfpH5Column columns[] = {
    { "role", AFP_H5_TEXT, 0, 0 },  { "bits", AFP_H5_UINT, 1, 0 },  { "offset", AFP_H5_UINT, 8, 0 },
    { "bytes", AFP_H5_UINT, 8, 0 }, { "crc32", AFP_H5_UINT, 4, 0 },
  };
  gsize n = 0;
  g_autofree guint8 *rows = afp_h5_table_read (h5, "planes", columns, G_N_ELEMENTS (columns),
                                               AFP_FILE_MAX_PLANES, &n, error);

  if (!rows)
    return FALSE;
  const gsize size = afp_h5_table_layout (columns, G_N_ELEMENTS (columns));
  for (gsize i = 0; i < n; i++) {
    const guint8 *row = rows + i * size;
    g_autofree char *role = afp_h5_table_get_text (&columns[0], row);
    const AfpFilePlane plane = {
      .role = g_string_chunk_insert_const (file->texts, role),
      .bits = (guint8) afp_h5_table_get_int (&columns[1], row),
      .offset = afp_h5_table_get_int (&columns[2], row),
      .bytes = afp_h5_table_get_int (&columns[3], row),
      .crc32 = (guint32) afp_h5_table_get_int (&columns[4], row),
    };
    g_array_append_val (file->planes, plane);
  }
  return TRUE;
}

/* A dataset of bytes in one piece. */
static gboolean
find_bytes (hid_t h5, const char *name, guint64 *size, guint64 *place, GError **error)
{
  H5D_layout_t layout;
  hsize_t bytes = 0;
  g_auto (AfpHid) dataset = afp_h5_table_open (h5, name, &layout, &bytes, error);

  if (dataset < 0)
    return FALSE;
  g_auto (AfpHid) type = H5Dget_type (dataset);
  const haddr_t offset = bytes ? H5Dget_offset (dataset) : 0;
  if (H5Tget_class (type) != H5T_INTEGER || H5Tget_size (type) != 1 || layout != H5D_CONTIGUOUS ||
      offset == HADDR_UNDEF) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                 "/%s: bytes in one piece are expected; was the file repacked?", name);
    return FALSE;
  }
  *size = bytes;
  *place = offset;
  return TRUE;
}

/* A file need not have any. */
static gboolean
read_extras (AfpFile *file, hid_t h5, GError **error)
{
  AfpH5Column columns[] = {
    { "name", AFP_H5_TEXT, 0, 0 },
    { "bytes", AFP_H5_UINT, 8, 0 },
    { "stored", AFP_H5_UINT, 8, 0 },
    { "crc32", AFP_H5_UINT, 4, 0 },
  };
  gsize n = 0;
  guint64 bytes = 0;

  if (H5Lexists (h5, "extras", H5P_DEFAULT) <= 0)
    return TRUE;
  g_autofree guint8 *rows = afp_h5_table_read (h5, "extras", columns, G_N_ELEMENTS (columns),
                                               AFP_EXTRA_MAX_COUNT, &n, error);
  if (!rows || !find_bytes (h5, "extras_payload", &bytes, &file->extras_offset, error))
    return FALSE;
  const gsize size = afp_h5_table_layout (columns, G_N_ELEMENTS (columns));
  for (gsize i = 0; i < n; i++) {
    const guint8 *row = rows + i * size;
    const AfpFileExtra extra = {
      .name = afp_h5_table_get_text (&columns[0], row),
      .bytes = afp_h5_table_get_int (&columns[1], row),
      .stored = afp_h5_table_get_int (&columns[2], row),
      .crc32 = (guint32) afp_h5_table_get_int (&columns[3], row),
    };
    g_array_append_val (file->extras, extra);
  }
  if (bytes == afp_file_get_extras_bytes (file))
    return TRUE;
  g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
               "/extras_payload has %" G_GUINT64_FORMAT
               " bytes, the rows of /extras have %" G_GUINT64_FORMAT,
               bytes, afp_file_get_extras_bytes (file));
  return FALSE;
}

/* In the child: all but the payload, packed. */
GBytes *
afp_file_serve_tables (GBytes *request, GBytes *data, GError **error)
{
  g_autoptr (AfpFile) file = afp_file_new ();
  g_auto (AfpHid) access = H5Pcreate (H5P_FILE_ACCESS);

  H5Pset_fclose_degree (access, H5F_CLOSE_STRONG);
#if H5_VERSION_GE(1, 10, 7)
  H5Pset_file_locking (access, FALSE, TRUE);
#endif
  g_auto (AfpHid) h5 = H5Fopen (g_bytes_get_data (request, NULL), H5F_ACC_RDONLY, access);
  if (h5 < 0) {
    g_autofree char *why = afp_h5_last_error ();
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT, "%s", why);
    return NULL;
  }
  if (!read_version (h5, error) || !read_text (h5, "tool_version", &file->tool_version, error) ||
      !read_text (h5, "fingerprint", &file->fingerprint, error) ||
      !read_text (h5, "pipeline", &file->pipeline, error) ||
      !read_texts (h5, "plugins", AFP_FILE_MAX_PLUGINS, &file->plugins, error) ||
      !read_text (h5, "metrics", &file->metrics, error) || !read_recipes (file, h5, error) ||
      !read_tensors (file, h5, error) || !read_planes (file, h5, error) ||
      !read_extras (file, h5, error) ||
      !find_bytes (h5, "payload", &file->payload_bytes, &file->payload_offset, error))
    return NULL;
  return afp_file_pack (file);
}

/**
 * afp_file_read:
 * @path: a file
 * @error: return location
 *
 * Reads, by the helper, and checks all but the payload.
 *
 * Returns: (transfer full): the tables; %NULL with %AFP_ERROR_IO or %AFP_ERROR_FORMAT
 */
AfpFile *
afp_file_read (const char *path, GError **error)
{
  GStatBuf info;

  if (g_stat (path, &info) != 0) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_IO, "cannot read '%s': %s", path, g_strerror (errno));
    return NULL;
  }
  if (!afp_file_is_ours (path)) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT, "'%s' is no file that afpipe wrote", path);
    return NULL;
  }
  GError *local = NULL;
  g_autoptr (GBytes) request = g_bytes_new (path, strlen (path) + 1);
  g_autoptr (GBytes) packed = afp_h5_child_run (path, "afp-tables", request, NULL, NULL, &local);
  if (!packed) {
    if (!g_str_has_prefix (local->message, "cannot read '"))
      g_prefix_error (&local, "cannot read '%s': ", path);
    g_propagate_error (error, local);
    return NULL;
  }
  g_autoptr (AfpFile) file = afp_file_unpack (packed, path, error);
  return file && afp_file_check (file, path, (guint64) info.st_size, error)
             ? g_steal_pointer (&file)
             : NULL;
}
