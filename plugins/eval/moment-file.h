/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afpipe.h"

/*
 * A file of moments, so that a model is run once for many pipelines. Of this machine and this version only:
 *
 *   "AFPMOM1\n", offset of the table (u64), bytes of the table (u64)
 *   floats of each entry, as AfpMoments stores them, at multiples of 64 bytes
 *   the table: JSON: [{"tensors": ["a", "b"], "size": 576, "diagonal": false, "samples": 8192, "offset": 64}, ...]
 *
 * It gets its name when all of it is on the disk.
 */
typedef struct _MomentWriter MomentWriter;

MomentWriter *moment_writer_new (const char *path, GError **error);
/* @stored: afp_moments_n_stored() floats */
gboolean
moment_writer_add (MomentWriter *writer, const char *const *tensors, guint64 size,
                   gboolean diagonal, guint64 n_samples, const float *stored, GError **error);
gboolean moment_writer_end (MomentWriter *writer, GError **error);
void moment_writer_free (MomentWriter *writer); /* what has not ended is removed */
G_DEFINE_AUTOPTR_CLEANUP_FUNC (MomentWriter, moment_writer_free)

/* Name of a tensor -> AfpMoments, mapped. AFP_ERROR_IO: there is no such file; AFP_ERROR_FORMAT: it is no such file. (transfer full) */
GHashTable *moment_file_read (const char *path, GError **error);
/* The same of a file's contents. NULL: they are none. */
GHashTable *moment_file_parse (GBytes *bytes);
