/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "ablate-group.h"

G_BEGIN_DECLS

/*
 * Is the chain worth it? For each rate, which chain wins, by how much, whether that is beyond the noise, and what baselines come to with
 * the same bytes. Runs are compared by nll where there is one, else by accuracy, else by nmse.
 */

/* @records: with their fronts marked, or not. @rates: (nullable) (element-type double): bits per weight, a run belongs to the nearest if that is
 * within 10 %; NULL: runs within 5 % of each other's bits are of one rate. An object with the members "metric", "verdict", "summary" and
 * "baselines" of docs/ablation.md. (transfer full) */
JsonObject *afp_ablate_judge (const GPtrArray *records, GArray *rates);
/* Its sentences, a line each. (transfer full) */
char *afp_ablate_verdict_to_text (JsonObject *verdict);

/* Sentences of an entry of "verdict", and about all; private. */
char *afp_verdict_describe_rate (JsonObject *rate, const char *metric);
JsonArray *afp_verdict_summarize (JsonArray *rates, const char *metric, const GPtrArray *records);

G_END_DECLS
