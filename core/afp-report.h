/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afp-pipeline.h"

G_BEGIN_DECLS

/* The report: schema in docs/report.md. Later versions only add to it. */
AFP_API char *afp_report_to_text (JsonNode *report);      /* the table for people */
AFP_API JsonNode *afp_json_number_or_null (double value); /* null unless finite */

G_END_DECLS
