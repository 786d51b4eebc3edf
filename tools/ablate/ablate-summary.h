/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "ablate-results.h"

G_BEGIN_DECLS

/* What study.json says: the study, what became of its runs, and the verdict. @verdict: (nullable): of afp_ablate_judge(); NULL while runs go
 * on. (transfer full) */
JsonNode *afp_ablate_summarize (const AfpResults *results, JsonObject *verdict);
/* "24 runs, 1 of them failed: 1,200 executions of stages, 800 from the cache; 2:31 of computing\n". (transfer full) */
char *afp_ablate_summary_to_text (JsonNode *summary);
/* The exit status of a study: that of the first run that failed, or 0. */
int afp_ablate_get_status (const GPtrArray *records);

G_END_DECLS
