/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "h5-table.h"

#include <string.h>
#include <zlib.h>

#define MAX_COMPACT 60000    /* bytes that fit into an object header */
#define CHUNKED_BYTES 48     /* what chunks and filters add to an object header */
#define MAX_TRIAL (8u << 20) /* bytes of a table that are deflated to see how it is best stored */

/* --- rows --------------------------------------------------------------------------------------------------------- */

guint
afp_h5_table_layout (AfpH5Column *columns, guint n_columns)
{
  guint size = 0;

  for (guint i = 0; i < n_columns; i++) {
    columns[i].offset = size;
    size += columns[i].size;
  }
  return size;
}

void
afp_h5_table_put_text (const AfpH5Column *column, guint8 *row, const char *text)
{
  memcpy (row + column->offset, text, MIN (strlen (text), column->size - 1));
}

void
afp_h5_table_put_int (const AfpH5Column *column, guint8 *row, guint64 value)
{
  for (guint i = 0; i < column->size; i++)
    row[column->offset + i] = (guint8) (value >> (8 * i));
}

char *
afp_h5_table_get_text (const AfpH5Column *column, const guint8 *row)
{
  return g_strndup ((const char *) row + column->offset, column->size);
}

guint64
afp_h5_table_get_int (const AfpH5Column *column, const guint8 *row)
{
  const guint8 *bytes = row + column->offset;
  guint64 value = column->type == AFP_H5_INT && bytes[column->size - 1] & 0x80 ? G_MAXUINT64 : 0;

  for (guint i = column->size; i-- > 0;)
    value = (value << 8) | bytes[i];
  return value;
}

/* --- types -------------------------------------------------------------------------------------------------------- */

hid_t
afp_h5_table_text_type (gsize size)
{
  hid_t type = H5Tcopy (H5T_C_S1);

  H5Tset_size (type, MAX (size, 1));
  H5Tset_strpad (type, H5T_STR_NULLTERM);
  H5Tset_cset (type, H5T_CSET_UTF8);
  return type;
}

static hid_t
integer_type (const AfpH5Column *column)
{
  const gboolean is_signed = column->type == AFP_H5_INT;

  switch (column->size) {
  case 1:
    return H5Tcopy (is_signed ? H5T_STD_I8LE : H5T_STD_U8LE);
  case 4:
    return H5Tcopy (is_signed ? H5T_STD_I32LE : H5T_STD_U32LE);
  default:
    return H5Tcopy (is_signed ? H5T_STD_I64LE : H5T_STD_U64LE);
  }
}

static hid_t
table_type (const AfpH5Column *columns, guint n_columns, guint row_size)
{
  if (!columns[0].name)
    return afp_h5_table_text_type (columns[0].size);
  hid_t type = H5Tcreate (H5T_COMPOUND, row_size);
  for (guint i = 0; i < n_columns; i++) {
    g_auto (AfpHid) member = columns[i].type == AFP_H5_TEXT
                                 ? afp_h5_table_text_type (columns[i].size)
                                 : integer_type (&columns[i]);
    H5Tinsert (type, columns[i].name, columns[i].offset, member);
  }
  return type;
}

/* --- write -------------------------------------------------------------------------------------------------------- */

static gsize
deflated_size (const guint8 *bytes, gsize n)
{
  uLongf size = compressBound (n);
  g_autofree guint8 *out = g_malloc (size);

  return compress2 (out, &size, bytes, n, 9) == Z_OK ? size : G_MAXSIZE / 2;
}

/* Compact, deflated or shuffled and deflated: whatever is smallest. */
static void
choose_storage (hid_t plist, const guint8 *rows, gsize n_rows, guint row_size)
{
  const gsize n = MIN (n_rows, MAX (MAX_TRIAL / row_size, 1)), bytes = n * row_size;
  const hsize_t chunk = n_rows;

  if (n_rows == 0) {
    H5Pset_layout (plist, H5D_COMPACT);
    return;
  }
  g_autofree guint8 *shuffled = g_malloc (bytes);
  for (gsize i = 0; i < n; i++)
    for (guint j = 0; j < row_size; j++)
      shuffled[j * n + i] = rows[i * row_size + j];
  const gsize plain = deflated_size (rows, bytes), shuffle = deflated_size (shuffled, bytes);
  if (n_rows * row_size <= MAX_COMPACT && bytes <= MIN (plain, shuffle) + CHUNKED_BYTES) {
    H5Pset_layout (plist, H5D_COMPACT);
    return;
  }
  H5Pset_chunk (plist, 1, &chunk);
  if (shuffle < plain)
    H5Pset_shuffle (plist);
  H5Pset_deflate (plist, 9);
}

/**
 * afp_h5_table_write:
 * @file: an open HDF5 file
 * @name: of the table
 * @columns: name, type and size of each column; afp_h5_table_layout() was called
 * @n_columns: their number
 * @rows: the table
 * @n_rows: number of rows
 * @error: return location
 *
 * Call it under afp_h5_lock().
 *
 * Returns: %FALSE with %AFP_ERROR_IO
 */
gboolean
afp_h5_table_write (hid_t file, const char *name, AfpH5Column *columns, guint n_columns,
                    const guint8 *rows, gsize n_rows, GError **error)
{
  const guint row_size = columns[n_columns - 1].offset + columns[n_columns - 1].size;
  const hsize_t dim = n_rows;
  g_auto (AfpHid) type = table_type (columns, n_columns, row_size);
  g_auto (AfpHid) space = H5Screate_simple (1, &dim, NULL);
  g_auto (AfpHid) plist = H5Pcreate (H5P_DATASET_CREATE);

  H5Pset_obj_track_times (plist, FALSE);
  H5Pset_fill_time (plist, H5D_FILL_TIME_NEVER);
  choose_storage (plist, rows, n_rows, row_size);
  hid_t dataset = H5Dcreate2 (file, name, type, space, H5P_DEFAULT, plist, H5P_DEFAULT);
  g_autofree char *why = NULL;
  if (dataset < 0 || (n_rows && H5Dwrite (dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, rows) < 0))
    why = afp_h5_last_error ();
  if (dataset >= 0 && H5Dclose (dataset) < 0 && !why)
    why = afp_h5_last_error ();
  if (why)
    g_set_error (error, AFP_ERROR, AFP_ERROR_IO, "table /%s with %" G_GSIZE_FORMAT " rows: %s",
                 name, n_rows, why);
  return !why;
}

/* --- read --------------------------------------------------------------------------------------------------------- */

static hid_t
refuse (GError **error, const char *name, const char *what)
{
  g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT, "/%s: %s", name, what);
  return H5I_INVALID_HID;
}

static hid_t
refuse_h5 (GError **error, const char *name, const char *what)
{
  g_autofree char *why = afp_h5_last_error ();

  g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT, "/%s: %s: %s", name, what, why);
  return H5I_INVALID_HID;
}

static gboolean
check_storage (hid_t dataset, const char *name, H5D_layout_t *layout, hsize_t n_rows,
               GError **error)
{
  g_auto (AfpHid) plist = H5Dget_create_plist (dataset);

  *layout = H5Pget_layout (plist);
  if (*layout != H5D_COMPACT && *layout != H5D_CONTIGUOUS && *layout != H5D_CHUNKED)
    return refuse (error, name, "its storage is neither compact, contiguous nor chunked") >= 0;
  if (H5Pget_external_count (plist) != 0)
    return refuse (error, name, "its bytes are in another file") >= 0;
  if (*layout == H5D_CHUNKED) {
    hsize_t chunk = 0;
    if (H5Pget_chunk (plist, 1, &chunk) != 1 || chunk == 0 || chunk > n_rows)
      return refuse (error, name, "its chunks are larger than the table") >= 0;
  }
  const int n_filters = H5Pget_nfilters (plist);
  for (int i = 0; i < n_filters; i++) {
    gsize n_values = 0;
    unsigned flags, config;
    const H5Z_filter_t id =
        H5Pget_filter2 (plist, (unsigned) i, &flags, &n_values, NULL, 0, NULL, &config);
    if (n_filters > 2 || (id != H5Z_FILTER_SHUFFLE && id != H5Z_FILTER_DEFLATE))
      return refuse (error, name, "it has a filter other than shuffle and deflate") >= 0;
  }
  return TRUE;
}

/**
 * afp_h5_table_open:
 * @file: an open HDF5 file
 * @name: of the dataset
 * @layout: (out): its storage
 * @n_rows: (out): its length
 * @error: return location
 *
 * Call it under afp_h5_lock().
 *
 * Returns: the dataset, or a negative number with %AFP_ERROR_FORMAT
 */
hid_t
afp_h5_table_open (hid_t file, const char *name, H5D_layout_t *layout, hsize_t *n_rows,
                   GError **error)
{
  g_autofree char *path = g_strconcat ("/", name, NULL);
  g_auto (AfpHid) dataset = afp_h5_open_dataset (file, path, error);

  if (dataset < 0)
    return H5I_INVALID_HID;
  g_auto (AfpHid) space = H5Dget_space (dataset);
  if (H5Sget_simple_extent_type (space) != H5S_SIMPLE || H5Sget_simple_extent_ndims (space) != 1)
    return refuse (error, name, "it must have one dimension");
  H5Sget_simple_extent_dims (space, n_rows, NULL);
  if (!check_storage (dataset, name, layout, *n_rows, error))
    return H5I_INVALID_HID;
  const hid_t id = dataset;
  dataset = H5I_INVALID_HID;
  return id;
}

/* The type of a column in memory; for a text, as long as it is in the file. */
static hid_t
column_type (hid_t in_file, AfpH5Column *column, const char *name, GError **error)
{
  g_autofree char *label =
      column->name ? g_strdup_printf ("%s, column '%s'", name, column->name) : g_strdup (name);

  if (column->type != AFP_H5_TEXT) {
    if (H5Tget_class (in_file) != H5T_INTEGER || H5Tget_size (in_file) > 8)
      return refuse (error, label, "integers are expected");
    return integer_type (column);
  }
  if (H5Tget_class (in_file) != H5T_STRING || H5Tis_variable_str (in_file) != 0)
    return refuse (error, label, "texts of fixed length are expected");
  const gsize size = H5Tget_size (in_file);
  if (size == 0 || size > AFP_H5_MAX_TEXT)
    return refuse (error, label, "its texts are too long");
  column->size = (guint) size;
  hid_t type = H5Tcopy (in_file);
  H5Tset_strpad (type, H5T_STR_NULLPAD);
  return type;
}

/* Columns by name; a later version may have more of them. */
static hid_t
reading_type (hid_t in_file, const char *name, AfpH5Column *columns, guint n_columns,
              GError **error)
{
  AfpHid members[16];
  hid_t type = H5I_INVALID_HID;
  guint n = 0;

  g_return_val_if_fail (n_columns <= G_N_ELEMENTS (members), H5I_INVALID_HID);
  if (!columns[0].name)
    return column_type (in_file, &columns[0], name, error);
  if (H5Tget_class (in_file) != H5T_COMPOUND)
    return refuse (error, name, "it must be a compound table");
  for (; n < n_columns; n++) {
    const int member = H5Tget_member_index (in_file, columns[n].name);
    if (member < 0) {
      g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT, "/%s: column '%s' is missing", name,
                   columns[n].name);
      break;
    }
    g_auto (AfpHid) member_in_file = H5Tget_member_type (in_file, (unsigned) member);
    members[n] = column_type (member_in_file, &columns[n], name, error);
    if (members[n] < 0)
      break;
  }
  if (n == n_columns) {
    type = H5Tcreate (H5T_COMPOUND, afp_h5_table_layout (columns, n_columns));
    for (guint i = 0; i < n_columns; i++)
      H5Tinsert (type, columns[i].name, columns[i].offset, members[i]);
  }
  for (guint i = 0; i < n; i++)
    afp_hid_close (members[i]);
  return type;
}

/**
 * afp_h5_table_read:
 * @file: an open HDF5 file
 * @name: of the table
 * @columns: name, type and, but for texts, size of each column that is wanted; the rest is filled in
 * @n_columns: their number
 * @max_rows: most rows that are allowed
 * @n_rows: (out): number of rows
 * @error: return location
 *
 * Call it under afp_h5_lock().
 *
 * Returns: (transfer full): the rows; %NULL with %AFP_ERROR_FORMAT or %AFP_ERROR_MEMORY
 */
guint8 *
afp_h5_table_read (hid_t file, const char *name, AfpH5Column *columns, guint n_columns,
                   gsize max_rows, gsize *n_rows, GError **error)
{
  H5D_layout_t layout;
  hsize_t n = 0;
  g_auto (AfpHid) dataset = afp_h5_table_open (file, name, &layout, &n, error);

  if (dataset < 0)
    return NULL;
  g_auto (AfpHid) in_file = H5Dget_type (dataset);
  g_auto (AfpHid) type = reading_type (in_file, name, columns, n_columns, error);
  if (type < 0)
    return NULL;
  const gsize row_size = afp_h5_table_layout (columns, n_columns);
  if (n > max_rows || n * MAX (row_size, H5Tget_size (in_file)) > AFP_H5_MAX_TABLE) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                 "/%s: %" G_GUINT64_FORMAT " rows of %" G_GSIZE_FORMAT " bytes are too many", name,
                 (guint64) n, H5Tget_size (in_file));
    return NULL;
  }
  g_autofree guint8 *rows = g_try_malloc0 (MAX (n * row_size, 1));
  if (!rows) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_MEMORY,
                 "/%s: no memory for %" G_GUINT64_FORMAT " bytes", name, (guint64) n * row_size);
    return NULL;
  }
  if (n && H5Dread (dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, rows) < 0) {
    refuse_h5 (error, name, "cannot be read");
    return NULL;
  }
  *n_rows = n;
  return g_steal_pointer (&rows);
}
