/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "eval-metrics.h"
#include "eval-scores.h"

/*
 * Conditions on metrics: "sqnr_db>10, top1_loss<15%". Operators: > >= < <=; 15% is 0.15.
 */

/* @metrics: (element-type utf8) (nullable): names that there are; NULL: nobody knows before. AFP_ERROR_PROPERTY; NULL on failure */
GArray *eval_require_parse (const char *text, GPtrArray *metrics, GError **error);
/* Does a condition compare a metric that is none of @metrics with the original? */
gboolean eval_require_compares (GArray *conditions, GPtrArray *metrics);
/* AFP_ERROR_METRIC: which condition, both values. @who: the element's name; @scores: (nullable) */
gboolean eval_require_check (GArray *conditions, const EvalTotals *totals, const EvalScores *scores,
                             const char *who, GError **error);
