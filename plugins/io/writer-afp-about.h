/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afp-file.h"

/* Where a file of ours comes from. @run may be NULL; all are (transfer full) (nullable), and fit into an attribute. */
char *afp_about_pipeline (AfpRun *run);
char *afp_about_fingerprint (AfpRun *run); /* of all sources, with commas between */
char *afp_about_metrics (AfpRun *run);     /* totals of what was measured */
/* "seedlm 0.1.0; codecs seedlm/1; license LGPL-2.1-or-later; origin https://..." for each plugin that the recipes need. */
GStrv afp_about_plugins (const AfpFile *file);
/* The first line of a journal: a run with another one does not go on with the part. Never NULL. */
JsonNode *afp_about_header (AfpRun *run, AfpSink *sink, const char *fingerprint);
