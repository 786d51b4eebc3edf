/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-file.h"

#include <string.h>

static gboolean
put_attribute (hid_t file, const char *name, hid_t file_type, hid_t space, hid_t type,
               gconstpointer value, GError **error)
{
  g_auto (AfpHid) attribute = H5Acreate2 (file, name, file_type, space, H5P_DEFAULT, H5P_DEFAULT);

  if (attribute >= 0 && H5Awrite (attribute, type, value) >= 0)
    return TRUE;
  g_autofree char *why = afp_h5_last_error ();
  g_set_error (error, AFP_ERROR, AFP_ERROR_IO, "attribute %s: %s", name, why);
  return FALSE;
}

static gboolean
put_text (hid_t file, const char *name, const char *text, GError **error)
{
  if (!text)
    return TRUE;
  g_auto (AfpHid) type = afp_h5_table_text_type (strlen (text) + 1);
  g_auto (AfpHid) space = H5Screate (H5S_SCALAR);
  return put_attribute (file, name, type, space, type, text, error);
}

static gboolean
put_texts (hid_t file, const char *name, char **texts, GError **error)
{
  const hsize_t n = texts ? g_strv_length (texts) : 0;
  AfpH5Column column = { .type = AFP_H5_TEXT, .size = 1 };

  if (n == 0)
    return TRUE;
  for (guint i = 0; i < n; i++)
    column.size = MAX (column.size, strlen (texts[i]) + 1);
  g_autofree guint8 *rows = g_malloc0 (n * column.size);
  for (guint i = 0; i < n; i++)
    afp_h5_table_put_text (&column, rows + (gsize) i * column.size, texts[i]);
  g_auto (AfpHid) type = afp_h5_table_text_type (column.size);
  g_auto (AfpHid) space = H5Screate_simple (1, &n, NULL);
  return put_attribute (file, name, type, space, type, rows, error);
}

/* The version comes first: it must lie in the first bytes of the file. */
static gboolean
write_attributes (const AfpFile *file, hid_t h5, GError **error)
{
  const unsigned version = AFP_FILE_VERSION;
  g_auto (AfpHid) space = H5Screate (H5S_SCALAR);

  return put_attribute (h5, AFP_FILE_VERSION_ATTRIBUTE, H5T_STD_U32LE, space, H5T_NATIVE_UINT,
                        &version, error) &&
         put_text (h5, "tool_version", file->tool_version, error) &&
         put_text (h5, "fingerprint", file->fingerprint, error) &&
         put_text (h5, "pipeline", file->pipeline, error) &&
         put_texts (h5, "plugins", file->plugins, error) &&
         put_text (h5, "metrics", file->metrics, error);
}

static gboolean
write_recipes (const AfpFile *file, hid_t h5, GError **error)
{
  AfpH5Column column = { .type = AFP_H5_TEXT, .size = 1 };
  const guint n = file->recipes->len;

  for (guint i = 0; i < n; i++)
    column.size = MAX (column.size, strlen (file->recipes->pdata[i]) + 1);
  const gsize size = afp_h5_table_layout (&column, 1);
  g_autofree guint8 *rows = g_malloc0 (MAX (n * size, 1));
  for (guint i = 0; i < n; i++)
    afp_h5_table_put_text (&column, rows + i * size, file->recipes->pdata[i]);
  return afp_h5_table_write (h5, "recipes", &column, 1, rows, n, error);
}

static gboolean
write_tensors (const AfpFile *file, hid_t h5, GError **error)
{
  AfpH5Column columns[] = {
    { "name", AFP_H5_TEXT, 1, 0 },        { "dtype", AFP_H5_TEXT, 1, 0 },
    { "shape", AFP_H5_TEXT, 1, 0 },       { "view", AFP_H5_TEXT, 1, 0 },
    { "alias_of", AFP_H5_INT, 4, 0 },     { "recipe", AFP_H5_UINT, 4, 0 },
    { "first_plane", AFP_H5_UINT, 4, 0 }, { "n_planes", AFP_H5_UINT, 4, 0 },
  };
  const guint n = file->tensors->len;

  for (guint i = 0; i < n; i++) {
    const AfpFileTensor *tensor = afp_file_tensor (file, i);
    columns[0].size = MAX (columns[0].size, strlen (tensor->name) + 1);
    columns[1].size = MAX (columns[1].size, strlen (tensor->dtype) + 1);
    columns[2].size = MAX (columns[2].size, strlen (tensor->shape) + 1);
    columns[3].size = MAX (columns[3].size, strlen (tensor->view) + 1);
  }
  const gsize size = afp_h5_table_layout (columns, G_N_ELEMENTS (columns));
  g_autofree guint8 *rows = g_malloc0 (MAX (n * size, 1));
  for (guint i = 0; i < n; i++) {
    const AfpFileTensor *tensor = afp_file_tensor (file, i);
    guint8 *row = rows + i * size;
    afp_h5_table_put_text (&columns[0], row, tensor->name);
    afp_h5_table_put_text (&columns[1], row, tensor->dtype);
    afp_h5_table_put_text (&columns[2], row, tensor->shape);
    afp_h5_table_put_text (&columns[3], row, tensor->view);
    afp_h5_table_put_int (&columns[4], row, (guint64) (gint64) tensor->alias_of);
    afp_h5_table_put_int (&columns[5], row, tensor->recipe);
    afp_h5_table_put_int (&columns[6], row, tensor->first_plane);
    afp_h5_table_put_int (&columns[7], row, tensor->n_planes);
  }
  return afp_h5_table_write (h5, "tensors", columns, G_N_ELEMENTS (columns), rows, n, error);
}

static gboolean
write_planes (const AfpFile *file, hid_t h5, GError **error)
{
  AfpH5Column columns[] = {
    { "role", AFP_H5_TEXT, 1, 0 },  { "bits", AFP_H5_UINT, 1, 0 },  { "offset", AFP_H5_UINT, 8, 0 },
    { "bytes", AFP_H5_UINT, 8, 0 }, { "crc32", AFP_H5_UINT, 4, 0 },
  };
  const guint n = file->planes->len;

  for (guint i = 0; i < n; i++)
    columns[0].size = MAX (columns[0].size, strlen (afp_file_plane (file, i)->role) + 1);
  const gsize size = afp_h5_table_layout (columns, G_N_ELEMENTS (columns));
  g_autofree guint8 *rows = g_malloc0 (MAX (n * size, 1));
  for (guint i = 0; i < n; i++) {
    const AfpFilePlane *plane = afp_file_plane (file, i);
    guint8 *row = rows + i * size;
    afp_h5_table_put_text (&columns[0], row, plane->role);
    afp_h5_table_put_int (&columns[1], row, plane->bits);
    afp_h5_table_put_int (&columns[2], row, plane->offset);
    afp_h5_table_put_int (&columns[3], row, plane->bytes);
    afp_h5_table_put_int (&columns[4], row, plane->crc32);
  }
  return afp_h5_table_write (h5, "planes", columns, G_N_ELEMENTS (columns), rows, n, error);
}

static gboolean
write_extras (const AfpFile *file, hid_t h5, GError **error)
{
  AfpH5Column columns[] = {
    { "name", AFP_H5_TEXT, 1, 0 },
    { "bytes", AFP_H5_UINT, 8, 0 },
    { "stored", AFP_H5_UINT, 8, 0 },
    { "crc32", AFP_H5_UINT, 4, 0 },
  };
  const guint n = file->extras->len;

  for (guint i = 0; i < n; i++)
    columns[0].size = MAX (columns[0].size, strlen (afp_file_extra (file, i)->name) + 1);
  const gsize size = afp_h5_table_layout (columns, G_N_ELEMENTS (columns));
  g_autofree guint8 *rows = g_malloc0 (MAX (n * size, 1));
  for (guint i = 0; i < n; i++) {
    const AfpFileExtra *extra = afp_file_extra (file, i);
    guint8 *row = rows + i * size;
    afp_h5_table_put_text (&columns[0], row, extra->name);
    afp_h5_table_put_int (&columns[1], row, extra->bytes);
    afp_h5_table_put_int (&columns[2], row, extra->stored);
    afp_h5_table_put_int (&columns[3], row, extra->crc32);
  }
  return afp_h5_table_write (h5, "extras", columns, G_N_ELEMENTS (columns), rows, n, error);
}

/* Space in one piece, filled in by whoever asked. */
static gboolean
reserve (hid_t h5, const char *name, hsize_t bytes, guint64 *place, GError **error)
{
  g_auto (AfpHid) space = H5Screate_simple (1, &bytes, NULL);
  g_auto (AfpHid) plist = H5Pcreate (H5P_DATASET_CREATE);

  H5Pset_obj_track_times (plist, FALSE);
  H5Pset_layout (plist, H5D_CONTIGUOUS);
  H5Pset_alloc_time (plist, bytes ? H5D_ALLOC_TIME_EARLY : H5D_ALLOC_TIME_LATE);
  H5Pset_fill_time (plist, H5D_FILL_TIME_NEVER);
  g_auto (AfpHid) dataset =
      H5Dcreate2 (h5, name, H5T_STD_U8LE, space, H5P_DEFAULT, plist, H5P_DEFAULT);
  const haddr_t offset = dataset >= 0 && bytes ? H5Dget_offset (dataset) : 0;
  if (dataset < 0 || offset == HADDR_UNDEF) {
    g_autofree char *why = afp_h5_last_error ();
    g_set_error (error, AFP_ERROR, AFP_ERROR_IO, "/%s with %" G_GUINT64_FORMAT " bytes: %s", name,
                 (guint64) bytes, why);
    return FALSE;
  }
  *place = offset;
  return TRUE;
}

static guint64
get_size (hid_t h5)
{
  hsize_t size = 0;

  H5Fflush (h5, H5F_SCOPE_LOCAL);
  H5Fget_filesize (h5, &size);
  return size;
}

/* The payload comes last: it ends the file. Without extras nothing of them is in the file; their cost is what it grows by. */
static gboolean
reserve_all (AfpFile *file, hid_t h5, GError **error)
{
  if (file->extras->len > 0) {
    const guint64 before = get_size (h5);
    if (!write_extras (file, h5, error) ||
        !reserve (h5, "extras_payload", afp_file_get_extras_bytes (file), &file->extras_offset,
                  error))
      return FALSE;
    file->extras_cost = get_size (h5) - before;
  }
  return reserve (h5, "payload", file->payload_bytes, &file->payload_offset, error);
}

/* Metadata where it fits, without blocks kept for later; what is not smaller than the payload is aligned like it. */
static hid_t
create_h5 (const char *path, guint64 payload_bytes, GError **error)
{
  g_auto (AfpHid) create = H5Pcreate (H5P_FILE_CREATE);
  g_auto (AfpHid) access = H5Pcreate (H5P_FILE_ACCESS);

  H5Pset_obj_track_times (create, FALSE);
  H5Pset_libver_bounds (access, H5F_LIBVER_V110, H5F_LIBVER_V110);
  H5Pset_fclose_degree (access, H5F_CLOSE_STRONG);
  H5Pset_meta_block_size (access, 0);
  H5Pset_small_data_block_size (access, 0);
  if (payload_bytes)
    H5Pset_alignment (access, payload_bytes, AFP_FILE_PAYLOAD_ALIGN);
#if H5_VERSION_GE(1, 10, 7)
  H5Pset_file_locking (access, FALSE, TRUE);
#endif
  const hid_t h5 = H5Fcreate (path, H5F_ACC_TRUNC, create, access);
  if (h5 < 0) {
    g_autofree char *why = afp_h5_last_error ();
    g_set_error (error, AFP_ERROR, AFP_ERROR_IO, "%s", why);
  }
  return h5;
}

/**
 * afp_file_write:
 * @file: the tables
 * @path: of the HDF5 file; overwritten
 * @error: return location
 *
 * Writes all but the payload and the stored extras, for which holes are left at the file offsets that are set in @file.
 *
 * Returns: %FALSE with %AFP_ERROR_IO
 */
gboolean
afp_file_write (AfpFile *file, const char *path, GError **error)
{
  afp_h5_lock ();
  const hid_t h5 = create_h5 (path, file->payload_bytes, error);
  gboolean ok = h5 >= 0 && write_attributes (file, h5, error) && write_recipes (file, h5, error) &&
                write_tensors (file, h5, error) && write_planes (file, h5, error) &&
                reserve_all (file, h5, error);
  if (h5 >= 0 && H5Fclose (h5) < 0 && ok) {
    g_autofree char *why = afp_h5_last_error ();
    g_set_error (error, AFP_ERROR, AFP_ERROR_IO, "%s", why);
    ok = FALSE;
  }
  afp_h5_unlock ();
  if (!ok)
    g_prefix_error (error, "cannot write '%s': ", path);
  return ok;
}
