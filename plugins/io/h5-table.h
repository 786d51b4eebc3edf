/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "h5-dataset.h"

#define AFP_H5_MAX_TEXT 32768       /* bytes of a text */
#define AFP_H5_MAX_TABLE (1u << 29) /* bytes of a table, inflated */

/* One table: rows of fixed size, in memory as in the file (little-endian, packed, texts with a NUL at the end, padded with zeros). */
typedef enum { AFP_H5_TEXT, AFP_H5_UINT, AFP_H5_INT } AfpH5ColumnType;
typedef struct {
  const char *name; /* NULL: the only column of a table that is no compound */
  AfpH5ColumnType type;
  guint size;   /* bytes; when reading a text column: 0, and filled in */
  guint offset; /* filled in */
} AfpH5Column;

guint
afp_h5_table_layout (AfpH5Column *columns, guint n_columns); /* sets the offsets; bytes of a row */
gboolean afp_h5_table_write (hid_t file, const char *name, AfpH5Column *columns, guint n_columns,
                             const guint8 *rows, gsize n_rows, GError **error);
guint8 *afp_h5_table_read (hid_t file, const char *name, AfpH5Column *columns, guint n_columns,
                           gsize max_rows, gsize *n_rows, GError **error);
void afp_h5_table_put_text (const AfpH5Column *column, guint8 *row, const char *text);
void afp_h5_table_put_int (const AfpH5Column *column, guint8 *row, guint64 value);
char *afp_h5_table_get_text (const AfpH5Column *column, const guint8 *row);
guint64 afp_h5_table_get_int (const AfpH5Column *column,
                              const guint8 *row); /* sign-extended if the column is INT */
hid_t afp_h5_table_text_type (gsize size); /* a UTF-8 string of fixed length, its NUL included */
/* A dataset of the root; no link to elsewhere, no filter but shuffle and deflate, no external storage. */
hid_t afp_h5_table_open (hid_t file, const char *name, H5D_layout_t *layout, hsize_t *n_rows,
                         GError **error);
