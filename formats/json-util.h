/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afpipe.h"

/*
 * JSON from files that nobody vouches for: json-glib behind a check of what it would accept in silence or die of (deep
 * nesting, comments, NUL in strings, members that occur twice). @what names the text in errors ("header of 'x'").
 */
JsonNode *
afp_json_parse (const char *text, gsize n, guint max_depth, const char *what, GError **error);
