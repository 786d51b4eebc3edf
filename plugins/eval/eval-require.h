/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "eval-metrics.h"

/* Conditions on totals: "sqnr_db>10, bits_per_weight<=3". Operators: > >= < <=. */
GArray *
eval_require_parse (const char *text, GError **error); /* AFP_ERROR_PROPERTY; NULL on failure */
/* AFP_ERROR_METRIC: which condition, both values. @who: the element's name */
gboolean
eval_require_check (GArray *conditions, const EvalTotals *totals, const char *who, GError **error);
