/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "h5-dataset.h"

#include <json-glib/json-glib.h>

/* What a Keras file, or any other HDF5 file, has in tensors. All calls of HDF5 are made by the helper. */
typedef struct {
  AfpSpec *spec;
  char *path; /* of the dataset in the file */
  AfpH5Dataset dataset;
} AfpKerasEntry;

typedef struct {
  const char *layout;  /* "keras", "keras-weights" (Keras 3, .weights.h5), "hdf5" */
  GPtrArray *entries;  /* of AfpKerasEntry, in the file's order of layers and weights */
  GHashTable *by_name; /* tensor's name -> AfpKerasEntry */
  GPtrArray *notes;    /* of char*: what was left out */
  JsonNode *config;    /* (nullable) model_config */
} AfpKerasScan;

/* Reads the headers; see keras-list.h. */
AfpKerasScan *afp_keras_scan (const char *path, guint64 file_bytes, GError **error);
void afp_keras_scan_free (AfpKerasScan *scan);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (AfpKerasScan, afp_keras_scan_free)

/* In the helper (h5-child.h): what afp_keras_read() and afp_keras_write() ask for. */
GBytes *afp_keras_serve_read (GBytes *request, GBytes *data, GError **error);
GBytes *afp_keras_serve_write (GBytes *request, GBytes *data, GError **error);

/* One array, little-endian. @file_bytes: of the file as it is now. */
GBytes *
afp_keras_read (const char *path, guint64 file_bytes, const AfpKerasEntry *entry, GError **error);
gboolean afp_keras_write (const char *path, guint64 file_bytes, const AfpKerasEntry *entry,
                          GBytes *bytes, GError **error);
