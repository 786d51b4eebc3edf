/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "ablate-record.h"

G_BEGIN_DECLS

/*
 * The folder of a study: results.jsonl, a record a line, as the runs end; study.json; other.jsonl, records of runs that the study no longer
 * has; cache/, of stages. A tool that is killed leaves at most one line unfinished, which does not count.
 */
typedef struct {
  char *folder;
  int lock, log;                 /* open files */
  const AfpStudy *study;         /* not owned */
  GPtrArray *ids, *fingerprints; /* char *: of each run */
  GPtrArray *records;            /* JsonObject, of each run that has ended well or not; else NULL */
  guint n_found;                 /* of them: there when the folder was opened */
} AfpResults;

/* Makes the folder if it is not there; only one process can have it open. Records whose id is that of a run are taken over, unless the run
 * failed: then it is tried again. @fresh: none are. AFP_ERROR_IO, AFP_ERROR_FORMAT. */
AfpResults *
afp_results_open (const char *folder, const AfpStudy *study, gboolean fresh, GError **error);
/* The records that are there, without a look at who else is at it, and without a change. (transfer full) (nullable)
 * (element-type JsonObject): of each run, or NULL */
GPtrArray *afp_results_peek (const char *folder, const AfpStudy *study);
void afp_results_close (AfpResults *results);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (AfpResults, afp_results_close)

/* A run has ended: it gets a line. @record: (transfer full) */
gboolean afp_results_add (AfpResults *results, guint number, JsonObject *record, GError **error);
/* The line of a record, with its end. (transfer full) */
char *afp_results_format_line (JsonObject *record);
/* All records in the order of the study, in one file that replaces results.jsonl. */
gboolean afp_results_rewrite (AfpResults *results, GError **error);
/* "results.jsonl" -> path in the folder; (transfer full) */
char *afp_results_get_path (const AfpResults *results, const char *name);

G_END_DECLS
