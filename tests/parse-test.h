/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the tests of the two parsers share. */
#pragma once

#include "core-test.h"

static inline AfpAstNode *
node_at (const AfpAst *ast, guint chain, guint node)
{
  return ((AfpAstChain *) ast->chains->pdata[chain])->nodes->pdata[node];
}

static inline AfpAstProperty *
property_at (const AfpAst *ast, guint chain, guint node, guint property)
{
  return node_at (ast, chain, node)->properties->pdata[property];
}

/* The caret is counted in characters from the start of its line. */
static inline void
check_place (const char *text, guint column, const GError *error)
{
  const char *line = text;
  guint number = 1;
  for (const char *p = line; p < text + column; p++)
    if (*p == '\n') {
      line = p + 1;
      number++;
    }
  glong offset = g_utf8_strlen (line, text + column - line);
  g_autofree char *place = g_strdup_printf ("line %u, column %ld: ", number, offset + 1);
  g_autofree char *caret = g_strdup_printf ("\n  %*s^", (int) offset, "");
  ck_assert_msg (g_str_has_prefix (error->message, place), "%s: %s", text, error->message);
  ck_assert_msg (g_str_has_suffix (error->message, caret), "%s: %s", text, error->message);
}
