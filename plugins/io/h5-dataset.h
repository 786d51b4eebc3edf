/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#define H5_USE_110_API 1 /* the same names with every later HDF5 */

#include "h5-util.h"

/*
 * Datasets and attributes of HDF5 files that nobody vouches for. All of it is called with afp_h5_lock() held. Only hard
 * links are followed; external storage and virtual datasets are refused: both reach into other files.
 */

/* An id that closes itself at the end of its block. */
typedef hid_t AfpHid;
static inline void
afp_hid_close (AfpHid id)
{
  if (id >= 0)
    H5Idec_ref (id);
}
G_DEFINE_AUTO_CLEANUP_FREE_FUNC (AfpHid, afp_hid_close, H5I_INVALID_HID)

#define AFP_H5_NOT_MAPPABLE G_MAXUINT64

/* What is known of a dataset from its header. */
typedef struct {
  AfpDType dtype;
  guint rank;
  guint64 shape[AFP_MAX_RANK];
  guint64 n_bytes; /* of the array in memory */
  guint64 stored;  /* bytes in the file */
  guint64 offset;  /* in the file, or AFP_H5_NOT_MAPPABLE: to be read through HDF5 */
} AfpH5Dataset;

hid_t afp_h5_open_file (const char *path, gboolean writable, GError **error);
/* AFP_ERROR_FORMAT if a part of @path is missing, is no hard link or is no dataset. @path is absolute. */
hid_t afp_h5_open_dataset (hid_t file, const char *path, GError **error);
gboolean afp_h5_has_group (hid_t parent, const char *name); /* a hard link to a group */

/* Type and shape; why not, in words, or NULL. (transfer full) */
char *afp_h5_describe (hid_t dataset, guint64 file_bytes, AfpH5Dataset *info);
/* The whole array, little-endian. */
GBytes *afp_h5_read (hid_t dataset, const AfpH5Dataset *info, GError **error);
gboolean afp_h5_write (hid_t dataset, GBytes *bytes, GError **error);

/* A list of strings in an attribute, or in NAME0, NAME1, ... where Keras had to split it. NULL without error: there is none. */
GStrv afp_h5_read_strings (hid_t object, const char *name, GError **error);
/* The first string of the attribute; NULL without error: there is none. */
char *afp_h5_read_string (hid_t object, const char *name, GError **error);
