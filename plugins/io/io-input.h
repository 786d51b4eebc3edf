/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afpipe.h"

/* What the readers share: mapped files, checks of names, fingerprints. */

#define AFP_INPUT_MAX_NAME 1024 /* bytes of a tensor's name */

/* The whole file, mapped. AFP_ERROR_IO names the path and the system's reason. */
GBytes *afp_input_map (const char *path, GError **error);

/* Sets AFP_ERROR_FORMAT, "WHAT FORMAT...", and returns FALSE. */
gboolean
afp_input_refuse (GError **error, const char *what, const char *format, ...) G_GNUC_PRINTF (3, 4);

/* A tensor's name from a file: UTF-8, not empty, not too long, no control characters. */
gboolean afp_input_check_name (const char *name, const char *path, GError **error);

/* Why a tensor of this shape cannot be held, or NULL; else its elements and bytes. (transfer full) */
char *afp_input_check_shape (guint64 rank, const guint64 *shape, AfpDType dtype,
                             guint64 *n_elements, guint64 *n_bytes);

/* A raw tensor whose array lies in the mapped file at @offset; planned, if there is no map. (transfer full) */
AfpTensor *afp_input_make_tensor (AfpSpec *spec, GBytes *map, guint64 offset);

/* A fingerprint begins with the format's name; sizes and header bytes follow. */
GChecksum *afp_input_fingerprint_new (const char *format);
void afp_input_fingerprint_add_size (GChecksum *checksum, guint64 size);
/* The size of a file, and samples of all of it. */
void afp_input_fingerprint_add_file (GChecksum *checksum, GBytes *map);

/* Member "notes" of an info object: the texts, if there are any. */
void afp_input_set_notes (JsonObject *info, const GPtrArray *notes);
