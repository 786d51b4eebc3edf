/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "json-lines.h"

#include <string.h>

#define MAX_DEPTH 32

void
afp_json_lines_init (AfpJsonLines *lines, const char *text, gsize n, const char *name)
{
  *lines = (AfpJsonLines){ .text = text, .n = n, .name = name };
}

void
afp_json_lines_clear (AfpJsonLines *lines)
{
  g_clear_pointer (&lines->current, json_node_unref);
}

static gboolean
is_blank (const char *text, gsize n)
{
  for (gsize i = 0; i < n; i++)
    if (text[i] != ' ' && text[i] != '\t' && text[i] != '\r')
      return FALSE;
  return TRUE;
}

JsonObject *
afp_json_lines_next (AfpJsonLines *lines, GError **error)
{
  afp_json_lines_clear (lines);
  while (lines->n > 0) {
    const char *line = lines->text, *end = memchr (line, '\n', lines->n);
    const gsize n = end ? (gsize) (end - line) : lines->n, step = end ? n + 1 : n;
    lines->text += step;
    lines->n -= step;
    lines->line++;
    if (is_blank (line, n))
      continue;
    g_autofree char *what = g_strdup_printf ("line %u of '%s'", lines->line, lines->name);
    lines->current = afp_json_parse (line, n, MAX_DEPTH, what, error);
    if (lines->current && JSON_NODE_HOLDS_OBJECT (lines->current))
      return json_node_get_object (lines->current);
    if (lines->current)
      afp_json_lines_fail (lines, error, "it is not a JSON object: there is one in each line");
    return NULL;
  }
  return NULL;
}

gboolean
afp_json_lines_fail (const AfpJsonLines *lines, GError **error, const char *format, ...)
{
  va_list arguments;

  va_start (arguments, format);
  g_autofree char *why = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT, "line %u of '%s': %s", lines->line, lines->name,
               why);
  return FALSE;
}
