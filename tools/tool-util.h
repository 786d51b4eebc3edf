/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afpipe.h"

#include "afp-table.h" /* afp_format_bytes() and tables */

/*
 * What the tools share: options, errors, JSON on stdout.
 */

/*
 * Parses options, --help and --version among them; what is left stays in @argv behind the program's name. FALSE: the tool is to end
 * with *exit_code (0 after --version, 2 with a message for a wrong option; --help ends the program). @summary: one sentence;
 * @description: (nullable): what follows the options.
 */
gboolean tool_parse_options (const char *tool, const char *arguments, const char *summary,
                             const char *description, const GOptionEntry *entries, char ***argv,
                             int *exit_code);

/* "afpipe-launch: error: ..." on stderr; the exit code. */
int tool_print_error (const char *tool, const GError *error);
void tool_print_warning (const char *tool, const char *text);
/* The JSON text, indented, with a newline at its end. */
char *tool_json_to_text (JsonNode *node);
/* To stdout; 0, or 5 with a message if stdout cannot be written. */
int tool_print_json (const char *tool, JsonNode *node);
int tool_print_text (const char *tool, const char *text);
/* {"exit": 2, "error": {"kind": ..., "message": ...}}: for what failed before there was anything to report. */
JsonNode *tool_error_to_json (const GError *error);
/* Writes a file under a temporary name, syncs it, renames it. AFP_ERROR_IO. */
gboolean tool_write_file (const char *path, const char *text, GError **error);
/* A folder with all that is in it; what cannot be removed stays. */
void tool_remove_tree (const char *path);
/* Reads a text file, or stdin for "-". AFP_ERROR_IO; AFP_ERROR_USAGE unless it is UTF-8. */
char *tool_read_file (const char *path, GError **error);

/* Options that several tools have. AFP_ERROR_USAGE. */
/* The text: of @file (nullable), or the words of @arguments (after an optional "--") joined. */
char *tool_get_pipeline (const char *tool, const char *file, char **arguments, GError **error);
/* --set NAME=VALUE; each has to be in @text. @settings: (nullable) */
GHashTable *tool_parse_variables (char **settings, const char *text, GError **error);
/* -j N */
gboolean tool_check_threads (int threads, GError **error);
/* --max-mem SIZE; @text: (nullable): 0 bytes */
gboolean tool_parse_memory (const char *text, guint64 *bytes, GError **error);
