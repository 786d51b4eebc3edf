/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afpipe.h"

/*
 * JSON from files that nobody vouches for: json-glib behind a check of what it would accept in silence or die of (deep
 * nesting, comments, NUL in strings, members that occur twice). @what names the text in errors ("header of 'x'").
 */
JsonNode *
afp_json_parse (const char *text, gsize n, guint max_depth, const char *what, GError **error);

/* Members of an object; @otherwise or NULL where there is none of that type. (transfer none) */
double afp_json_get_number (JsonObject *object, const char *name, double otherwise);
gboolean afp_json_get_flag (JsonObject *object, const char *name, gboolean otherwise);
const char *afp_json_get_text (JsonObject *object, const char *name, const char *otherwise);
JsonObject *afp_json_get_object (JsonObject *object, const char *name);
JsonArray *afp_json_get_array (JsonObject *object, const char *name);
