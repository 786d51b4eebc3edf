/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-parse-private.h"

#include <string.h>

/* Columns of a line that are shown above a caret. */
#define WINDOW 100
#define ELLIPSIS "..."

void
afp_ast_property_free (AfpAstProperty *property)
{
  g_free (property->name);
  g_free (property->value);
  g_clear_pointer (&property->values, g_ptr_array_unref);
  g_free (property);
}

AfpAstChain *
afp_ast_chain_new (void)
{
  AfpAstChain *chain = g_new0 (AfpAstChain, 1);
  chain->nodes = g_ptr_array_new_with_free_func ((GDestroyNotify) afp_ast_node_free);
  return chain;
}

void
afp_ast_chain_free (AfpAstChain *chain)
{
  g_ptr_array_unref (chain->nodes);
  g_free (chain);
}

AfpAstNode *
afp_ast_node_new (AfpAstType type, const char *name, gsize column)
{
  AfpAstNode *node = g_new0 (AfpAstNode, 1);
  node->type = type;
  node->name = g_strdup (name);
  node->column = column;
  node->properties = g_ptr_array_new_with_free_func ((GDestroyNotify) afp_ast_property_free);
  return node;
}

void
afp_ast_node_free (AfpAstNode *node)
{
  g_free (node->name);
  g_ptr_array_unref (node->properties);
  g_clear_pointer (&node->parts, g_ptr_array_unref);
  g_free (node);
}

void
afp_ast_free (AfpAst *ast)
{
  if (!ast)
    return;
  g_free (ast->text);
  g_ptr_array_unref (ast->chains);
  g_free (ast);
}

/* --- back to text --- */

/* A list in braces, as in dtype={f16,bf16}, may hold commas. */
static gboolean
is_braced (const char *value)
{
  gsize length = strlen (value);
  return length >= 2 && value[0] == '{' && value[length - 1] == '}' &&
         strcspn (value + 1, "{}") == length - 2;
}

/* @special: signs that would end the value where it stands. "{" begins a set, where a set may stand. */
static gboolean
needs_quotes (const char *value, const char *special)
{
  return *value == '\0' || strpbrk (value, " \t\r\n\f\v!\"'") || strstr (value, "${") ||
         strpbrk (value, special);
}

static void
append_text (GString *out, const char *value, const char *special)
{
  if (!needs_quotes (value, special)) {
    g_string_append (out, value);
    return;
  }
  g_string_append_c (out, '"');
  for (const char *p = value; *p; p++) {
    if (*p == '"' || *p == '\\' || (p[0] == '$' && p[1] == '{'))
      g_string_append_c (out, '\\');
    if (*p == '\n')
      g_string_append (out, "\\n");
    else
      g_string_append_c (out, *p);
  }
  g_string_append_c (out, '"');
}

void
afp_ast_append_value (GString *out, const char *value, gboolean in_assertion)
{
  append_text (out, value, !in_assertion ? "{" : is_braced (value) ? "" : ",{}");
}

static void
append_set (GString *out, const GPtrArray *values)
{
  for (guint i = 0; i < values->len; i++) {
    g_string_append_c (out, i ? ',' : '{');
    append_text (out, values->pdata[i], ",{}()#");
  }
  g_string_append_c (out, '}');
}

static void append_chain (GString *out, const AfpAstChain *chain, gboolean in_part);

static void
append_parts (GString *out, const AfpAstNode *node)
{
  for (guint i = 0; i < node->parts->len; i++) {
    g_string_append (out, i ? ", " : "(");
    append_chain (out, node->parts->pdata[i], TRUE);
  }
  g_string_append_c (out, ')');
}

static void
append_node (GString *out, const AfpAstNode *node, gboolean in_part)
{
  gboolean is_assertion = node->type == AFP_AST_ASSERTION;

  g_string_append (out, node->name);
  if (node->type == AFP_AST_REFERENCE)
    g_string_append_c (out, '.');
  if (node->parts)
    append_parts (out, node);
  for (guint i = 0; node->properties && i < node->properties->len; i++) {
    const AfpAstProperty *property = node->properties->pdata[i];
    g_string_append_printf (out, "%c%s=", is_assertion ? ',' : ' ', property->name);
    if (property->values)
      append_set (out, property->values);
    else if (in_part)
      append_text (out, property->value, "{,()");
    else
      afp_ast_append_value (out, property->value, is_assertion);
  }
}

static void
append_chain (GString *out, const AfpAstChain *chain, gboolean in_part)
{
  for (guint n = 0; n < chain->nodes->len; n++) {
    if (n > 0)
      g_string_append (out, " ! ");
    append_node (out, chain->nodes->pdata[n], in_part);
  }
}

/**
 * afp_ast_to_string:
 * @ast: a tree
 *
 * Returns: (transfer full): canonical text: one blank between words, variables replaced; it parses back to the same tree
 */
char *
afp_ast_to_string (const AfpAst *ast)
{
  GString *out = g_string_new (NULL);
  for (guint c = 0; c < ast->chains->len; c++) {
    if (c > 0)
      g_string_append_c (out, ' ');
    append_chain (out, ast->chains->pdata[c], FALSE);
  }
  return g_string_free (out, FALSE);
}

/* --- caret --- */

/* One character as it is shown: its bytes, how far to go on, and its width in columns. */
static gsize
show_char (const char *p, const char *end, char shown[8], gsize *width)
{
  gunichar c = g_utf8_get_char_validated (p, end - p);
  gsize step = 1;

  if (c == (gunichar) -1 || c == (gunichar) -2) {
    c = '?';
  } else {
    step = (gsize) (g_utf8_next_char (p) - p);
    if (g_unichar_iscntrl (c))
      c = ' ';
  }
  *width = g_unichar_iszerowidth (c) ? 0 : g_unichar_iswide (c) ? 2 : 1;
  shown[g_unichar_to_utf8 (c, shown)] = '\0';
  return step;
}

static gsize
text_width (const char *p, const char *end)
{
  gsize total = 0, width;
  char shown[8];
  while (p < end) {
    p += show_char (p, end, shown, &width);
    total += width;
  }
  return total;
}

/**
 * afp_error_add_caret:
 * @error: the error
 * @text: what was typed
 * @column: where the error is, in bytes from the start of @text
 *
 * Appends the line and a caret under the place to the error's message. A long line is cut to what is around the place.
 */
void
afp_error_add_caret (GError *error, const char *text, gsize column)
{
  const char *place = text + MIN (column, strlen (text));
  const char *line = place;
  while (line > text && line[-1] != '\n')
    line--;
  const char *end = place + strcspn (place, "\n");
  if (end > place && end[-1] == '\r')
    end--;

  gsize caret = text_width (line, place);
  gsize total = caret + text_width (place, end);
  gsize start = 0;
  if (total > WINDOW)
    start = MIN (caret > WINDOW / 2 ? caret - WINDOW / 2 : 0, total - WINDOW);

  g_autofree char *message = g_utf8_make_valid (error->message, -1);
  GString *out = g_string_new (message);
  g_string_append_printf (out, "\n  %s", start > 0 ? ELLIPSIS : "");
  gsize x = 0, width;
  char shown[8];
  for (const char *p = line; p < end && x < start + WINDOW; x += width) {
    p += show_char (p, end, shown, &width);
    if (x >= start)
      g_string_append (out, shown);
    else if (x + width > start)
      g_string_append_c (out, ' ');
  }
  g_string_append_printf (out, "%s\n  %*s^", x < total ? ELLIPSIS : "",
                          (int) (caret - start + (start > 0 ? strlen (ELLIPSIS) : 0)), "");
  g_free (error->message);
  error->message = g_string_free (out, FALSE);
}

/* --- arguments --- */

/* "..." or '...' from end to end, as the parser would read it. */
static gboolean
is_quoted (const char *value)
{
  char quote = value[0];
  if (quote != '"' && quote != '\'')
    return FALSE;
  const char *p = value + 1;
  while (*p && *p != quote)
    p += quote == '"' && p[0] == '\\' && p[1] ? 2 : 1;
  return p[0] == quote && p[1] == '\0';
}

/* The value in an argument NAME=VALUE, or NULL. */
static const char *
argument_value (const char *argument)
{
  const char *equals = strchr (argument, '=');
  if (!equals)
    return NULL;
  g_autofree char *name = g_strndup (argument, (gsize) (equals - argument));
  return afp_parse_is_name (name) ? equals + 1 : NULL;
}

/**
 * afp_parse_join_arguments:
 * @argv: (array zero-terminated=1): arguments of a program
 *
 * Joins arguments by blanks, as gst-launch does. The shell has taken the quotes off `location="my file"`: a value that needs
 * quotes gets them back.
 *
 * Returns: (transfer full): a pipeline text
 */
char *
afp_parse_join_arguments (char **argv)
{
  GString *out = g_string_new (NULL);
  for (guint i = 0; argv[i]; i++) {
    const char *value = argument_value (argv[i]);
    if (i > 0)
      g_string_append_c (out, ' ');
    if (!value || *value == '\0' || !strpbrk (value, " \t\r\n\f\v!\"'") || is_quoted (value)) {
      g_string_append (out, argv[i]);
      continue;
    }
    g_string_append_len (out, argv[i], value - argv[i]);
    /* Variables in it are still replaced: only blanks, quotes and "!" lose their meaning. */
    g_string_append_c (out, '"');
    for (const char *p = value; *p; p++) {
      if (*p == '"' || *p == '\\')
        g_string_append_c (out, '\\');
      g_string_append_c (out, *p);
    }
    g_string_append_c (out, '"');
  }
  return g_string_free (out, FALSE);
}
