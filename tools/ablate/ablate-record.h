/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afpipe.h"

#include "study.h"

G_BEGIN_DECLS

/*
 * What is known of a run that has ended: a JSON object, docs/ablation.md. Its place in the study (number, chain, choices, prefix) is set
 * anew each time a study takes it over; the rest comes from the report of afpipe-launch.
 */

/**
 * AfpRunEnd:
 * @report: (nullable): of afpipe-launch
 * @status: its exit status; 128 + the signal that ended it
 * @kind: (nullable): of the error, where the report names none
 * @message: (nullable): likewise
 *
 * How the process of a run ended.
 */
typedef struct {
  JsonObject *report;
  int status;
  const char *kind, *message;
} AfpRunEnd;

/* @id, @fingerprint: of ablate-identity.h. (transfer full) */
JsonObject *afp_record_new (const char *id, const char *fingerprint, const AfpRunEnd *end);
/* Says which run of @study it is of; runs before it are in @records (element-type JsonObject, NULL where there is none). */
void afp_record_place (JsonObject *record, const AfpStudy *study, guint number,
                       const GPtrArray *records);

gboolean afp_record_is_ok (JsonObject *record);
/* What counts when runs are compared: it went well, and it meets all conditions. */
gboolean afp_record_counts (JsonObject *record);
/* The file of the rival (ablate-baseline.h) that it is of, or NULL: it is of a run of the study. */
const char *afp_record_get_rival (JsonObject *record);
/* A number of the record or of its metrics; NAN if there is none. */
double afp_record_get (JsonObject *record, const char *name);
/* "rate=3": what was chosen and the chain does not show, without the number of the repeat. (transfer full) */
char *afp_record_format_choices (JsonObject *record);

G_END_DECLS
