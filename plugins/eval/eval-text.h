/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "eval-metrics.h"

/* The table that eval prints at the end; @rows: tensors at the most, the worst by NMSE first if there are more. */
char *eval_text (const EvalTotals *totals, const char *who, guint rows);
