/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "json-util.h"

#include <json-glib/json-glib.h>

/*
 * JSON Lines: an object in each line; lines of blanks are passed over.
 */
typedef struct {
  const char *text;
  gsize n;           /* bytes that are left */
  const char *name;  /* of the file, for errors */
  guint line;        /* of the object at hand, from 1 */
  JsonNode *current; /* which holds it */
} AfpJsonLines;

/* @text and @name must live as long as it. */
void afp_json_lines_init (AfpJsonLines *lines, const char *text, gsize n, const char *name);
void afp_json_lines_clear (AfpJsonLines *lines);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (AfpJsonLines, afp_json_lines_clear)
/* The next object; NULL without error: there is none. It lives until the next call. AFP_ERROR_FORMAT */
JsonObject *afp_json_lines_next (AfpJsonLines *lines, GError **error);
/* AFP_ERROR_FORMAT: "line N of 'NAME': " and what is wrong with it. Returns FALSE. */
gboolean afp_json_lines_fail (const AfpJsonLines *lines, GError **error, const char *format, ...)
    G_GNUC_PRINTF (3, 4);
