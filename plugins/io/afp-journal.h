/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afp-file.h"

/*
 * The journal of a run, LOCATION.part.journal: lines of JSON, each with a checksum of its own. The first says what makes the run, then
 * comes one for each tensor whose planes are in LOCATION.part, and in the end one that says which file came of it.
 */
#define AFP_JOURNAL_VERSION 2

/* A line of a tensor. */
typedef struct {
  AfpSpec *spec;
  char *recipe;
  AfpFilePlane *planes;
  guint n_planes;
  AfpSize size;
  JsonNode *found; /* an object, or NULL: afp_sink_collect_found() */
} AfpJournalTensor;

void afp_journal_tensor_free (AfpJournalTensor *tensor);

typedef struct {
  JsonNode *header;     /* NULL: there is none, or it is damaged */
  guint64 header_bytes; /* of its line */
  GPtrArray *tensors;   /* AfpJournalTensor: as many as are whole, and were planned in this order */
  GArray *ends;         /* guint64: offset in the journal behind each tensor's line */
  guint n_lines;        /* whole lines of tensors, planned or not */
  JsonNode *result;     /* of afp_journal_format_result(), or NULL */
  GStringChunk *roles;
} AfpJournal;

/* @planned: (nullable) (element-type AfpSpec): what the run will write. A journal that does not exist is an empty one. */
AfpJournal *afp_journal_read (const char *path, GPtrArray *planned, GError **error);
void afp_journal_free (AfpJournal *journal);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (AfpJournal, afp_journal_free)
/* Is it of a run like this one? Else AFP_ERROR_IO with what has changed. @path: of the part, for messages */
gboolean afp_journal_check_header (const AfpJournal *journal, JsonNode *header, const char *path,
                                   GError **error);

/* Lines, with their ends. @header, @result: objects */
char *afp_journal_format_header (JsonNode *header);
char *afp_journal_format_tensor (const AfpJournalTensor *tensor);
char *afp_journal_format_result (JsonNode *result);
