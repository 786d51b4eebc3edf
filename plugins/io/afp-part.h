/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afp-journal.h"

/* The payload of a run that goes on: LOCATION.part and its journal, which has a line for each finished tensor. */
typedef struct _AfpPart AfpPart;

AfpPart *afp_part_new (const char *location, JsonNode *header, int *leftover, GError **error);
AfpPart *afp_part_resume (const char *location, JsonNode *header, GPtrArray *planned,
                          AfpJournal **journal, GError **error);
/* Appends a plane, aligned, or finds that the same bytes are there already. Sets offset, bytes and crc32 of @plane. */
gboolean afp_part_add_plane (AfpPart *part, GBytes *data, AfpFilePlane *plane, GError **error);
/* One that an earlier run wrote. From any thread. (transfer full) */
GBytes *afp_part_read_plane (AfpPart *part, const AfpFilePlane *plane, GError **error);
/* Writes through what was added, and then the tensor's line in the journal. */
gboolean afp_part_end_tensor (AfpPart *part, const AfpJournalTensor *tensor, GError **error);
guint afp_part_get_n_tensors (const AfpPart *part); /* lines in the journal */
guint64 afp_part_get_bytes (const AfpPart *part);
gboolean afp_part_copy (AfpPart *part, AfpOutput *output, guint64 offset, GError **error);
/* Notes in the journal that the file at @path is what came of it, soon to be renamed to the location. */
gboolean afp_part_set_result (AfpPart *part, const char *path, GError **error);
/* Is what stands at the location such a file? Then the run was killed between publishing it and removing the part. */
gboolean afp_part_is_result (const char *location);
void afp_part_set_keep (AfpPart *part, gboolean keep); /* leave the files when it is freed? */
void afp_part_free (AfpPart *part);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (AfpPart, afp_part_free)
