/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afp-report.h"

/* Not installed, but tests call it. */
#pragma GCC visibility push(default)

/* For the tools: afp_report_to_text() with so many tensors, the largest ones; G_MAXUINT: all; 0: none. */
AFP_API char *afp_report_format (JsonNode *report, guint max_tensors);
/* The table of its member "trace". */
AFP_API char *afp_report_format_trace (JsonNode *report);
/* "plan", "io", ...: how an error is called in reports. */
AFP_API const char *afp_error_nick (const GError *error);

/* Members of objects that may be missing: NaN, NULL. @object may be NULL. */
double afp_json_get_number (JsonObject *object, const char *name);
const char *afp_json_get_text (JsonObject *object, const char *name);
JsonObject *afp_json_get_object (JsonNode *node); /* NULL unless it is one */

#pragma GCC visibility pop
