/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-error.h"
#include "afp-parse-private.h"

#include <string.h>

#define MAX_SHOWN 40

/* --- errors --- */

gboolean
afp_parser_fail (AfpParser *self, const char *at, const char *format, ...)
{
  guint line = 1;
  const char *start = self->text;
  for (const char *p = self->text; p < at; p++)
    if (*p == '\n') {
      line++;
      start = p + 1;
    }
  g_autofree char *before = g_strndup (start, (gsize) (at - start));
  g_autofree char *valid = g_utf8_make_valid (before, -1);
  va_list args;
  va_start (args, format);
  g_autofree char *message = g_strdup_vprintf (format, args);
  va_end (args);

  g_autoptr (GError) error = g_error_new (AFP_ERROR, AFP_ERROR_USAGE, "line %u, column %ld: %s",
                                          line, g_utf8_strlen (valid, -1) + 1, message);
  afp_error_add_caret (error, self->text, (gsize) (at - self->text));
  g_propagate_error (self->error, g_steal_pointer (&error));
  return FALSE;
}

char *
afp_parser_show (const char *text, gsize length)
{
  g_autofree char *head = g_strndup (text, length);
  g_autofree char *valid = g_utf8_make_valid (head, -1);
  if (g_utf8_strlen (valid, -1) <= MAX_SHOWN)
    return g_steal_pointer (&valid);
  g_autofree char *cut = g_utf8_substring (valid, 0, MAX_SHOWN - 3);
  return g_strconcat (cut, "...", NULL);
}

/* --- words --- */

gboolean
afp_parse_is_name (const char *text)
{
  if (!g_ascii_isalpha (*text))
    return FALSE;
  for (; *text; text++)
    if (!g_ascii_isalnum (*text) && *text != '-' && *text != '_')
      return FALSE;
  return TRUE;
}

void
afp_parser_skip_blanks (AfpParser *self)
{
  for (;;) {
    while (g_ascii_isspace (*self->p))
      self->p++;
    if (*self->p != '#')
      return;
    self->p += strcspn (self->p, "\n");
  }
}

static gboolean
at_variable (const AfpParser *self)
{
  return !self->plain && self->p[0] == '$' && self->p[1] == '{';
}

static gboolean
fail_undefined (AfpParser *self, const char *at, const char *name)
{
  g_autofree gpointer *names = NULL;
  guint n = 0;
  if (self->variables)
    names = g_hash_table_get_keys_as_array (self->variables, &n);
  const char *nearest = n > 0 ? afp_nearest_name (name, (const char *const *) names, n) : NULL;
  g_autofree char *hint =
      nearest ? g_strdup_printf ("; did you mean ${%s}?", nearest) : g_strdup ("");
  return afp_parser_fail (self, at, "${%s} is not defined: give --set %s=VALUE%s", name, name,
                          hint);
}

/* ${NAME} at the cursor: its value goes to @out. */
static gboolean
take_variable (AfpParser *self, GString *out)
{
  const char *at = self->p;
  gsize length = strcspn (at + 2, "} \t\r\n!\"'");
  g_autofree char *name = g_strndup (at + 2, length);
  if (at[2 + length] != '}')
    return afp_parser_fail (self, at, "'${' without its '}': variables are written ${NAME}");
  if (!afp_parse_is_name (name)) {
    g_autofree char *word = afp_parser_show (name, length);
    return afp_parser_fail (self, at,
                            "'%s' is no name of a variable: write ${NAME}, a letter first", word);
  }
  const char *value = self->lets ? g_hash_table_lookup (self->lets, name) : NULL;
  if (!value && self->variables)
    value = g_hash_table_lookup (self->variables, name);
  if (!value)
    return fail_undefined (self, at, name);
  g_string_append (out, value);
  self->p = at + 2 + length + 1;
  return TRUE;
}

GString *
afp_parser_take_word (AfpParser *self)
{
  g_autoptr (GString) out = g_string_new (NULL);
  while (*self->p && !g_ascii_isspace (*self->p) && !strchr ("!=,()\"'", *self->p)) {
    if (!at_variable (self))
      g_string_append_c (out, *self->p++);
    else if (!take_variable (self, out))
      return NULL;
  }
  return g_steal_pointer (&out);
}

/* In settings, a comma ends a value only where another NAME= follows: planes=weight,coeffs,rank=3 */
static gboolean
comma_ends_setting (const char *comma)
{
  const char *p = comma + 1;
  while (g_ascii_isspace (*p))
    p++;
  gsize length = strspn (p, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_");
  return length > 0 && g_ascii_isalpha (*p) && p[length] == '=';
}

/* Within a choice of a study, "," and ")" end a part. */
static gboolean
ends_part (const AfpParser *self, AfpPlace place)
{
  return place == AFP_IN_ELEMENT && self->depth > 0 && (*self->p == ',' || *self->p == ')');
}

static gboolean
ends_in (const AfpParser *self, AfpPlace place, gboolean in_braces)
{
  const char c = *self->p;

  if (c == '\0' || (c == '!' && place != AFP_IN_SETTINGS))
    return TRUE;
  if (in_braces)
    return FALSE;
  if (g_ascii_isspace (c) || ends_part (self, place))
    return TRUE;
  switch (place) {
  case AFP_IN_ASSERTION:
  case AFP_IN_CONDITION:
    return c == ',';
  case AFP_IN_SETTINGS:
    return c == ',' && comma_ends_setting (self->p);
  case AFP_IN_SET:
    return c == ',' || c == '}';
  default:
    return FALSE;
  }
}

gboolean
afp_parser_ends_value (const AfpParser *self, AfpPlace place)
{
  return ends_in (self, place, FALSE);
}

static gboolean
take_escape (AfpParser *self, GString *out)
{
  static const char from[] = "\\\"'$nt", to[] = "\\\"'$\n\t";
  const char *found = self->p[1] ? strchr (from, self->p[1]) : NULL;
  if (!found)
    return afp_parser_fail (
        self, self->p,
        "unknown escape in double quotes: give \\\\ \\\" \\$ \\n or \\t; in single quotes a "
        "backslash is a backslash");
  g_string_append_c (out, to[found - from]);
  self->p += 2;
  return TRUE;
}

static gboolean
take_quoted (AfpParser *self, AfpPlace place, GString *out)
{
  const char *opening = self->p;
  const char quote = *self->p++;
  gboolean ok = TRUE;

  while (ok && *self->p && *self->p != quote) {
    if (quote == '"' && *self->p == '\\')
      ok = take_escape (self, out);
    else if (quote == '"' && at_variable (self))
      ok = take_variable (self, out);
    else
      g_string_append_c (out, *self->p++);
  }
  if (!ok)
    return FALSE;
  if (!*self->p)
    return afp_parser_fail (self, opening, "the quote %c opened here is not closed", quote);
  self->p++;
  if (!ends_in (self, place, FALSE) && !(place == AFP_IN_SETTINGS && *self->p == ','))
    return afp_parser_fail (self, self->p,
                            "stray '%s' after a closing quote: a quoted value stands alone",
                            (char[]){ g_ascii_isprint (*self->p) ? *self->p : '?', '\0' });
  return TRUE;
}

/* --- sets --- */

static gboolean
take_set_value (AfpParser *self, GPtrArray *values)
{
  const char *at = self->p;
  g_autoptr (GString) value = g_string_new (NULL);

  if (afp_parser_ends_value (self, AFP_IN_SET) && *at && *at != '!')
    return afp_parser_fail (self, at,
                            "a value of the set is missing: write {2,3,4}, \"\" for an empty one");
  if (!afp_parser_take_value (self, AFP_IN_SET, value, NULL))
    return FALSE;
  for (guint i = 0; i < values->len; i++)
    if (strcmp (values->pdata[i], value->str) == 0) {
      g_autofree char *word = afp_parser_show (value->str, value->len);
      return afp_parser_fail (self, at, "'%s' stands twice in the set", word);
    }
  g_ptr_array_add (values, g_strndup (value->str, value->len));
  return TRUE;
}

/* "{2,3,4}" */
static GPtrArray *
take_set (AfpParser *self)
{
  g_autoptr (GPtrArray) values = g_ptr_array_new_with_free_func (g_free);
  const char *brace = self->p;

  do {
    self->p++;
    afp_parser_skip_blanks (self);
    if (!take_set_value (self, values))
      return NULL;
    afp_parser_skip_blanks (self);
  } while (*self->p == ',');
  if (*self->p == '}') {
    self->p++;
    return g_steal_pointer (&values);
  }
  if (*self->p == '\0' || *self->p == '!')
    afp_parser_fail (self, brace, "the brace opened here is not closed");
  else
    afp_parser_fail (
        self, self->p,
        "a comma is missing between two values of a set: write {2,3,4}, and {\"a b\",c} for values with blanks");
  return NULL;
}

/* The cursor is at "{" in a value, of which @out is read: a set, or a sign like any other. FALSE: an error. */
static gboolean
take_brace (AfpParser *self, GString *out, GPtrArray **set)
{
  const char *at = self->p;

  if (!set && out->len == 0)
    return afp_parser_fail (self, at,
                            "a set of values %s; put the value in quotes if the brace is "
                            "meant as it is",
                            self->study ? "cannot stand here"
                                        : "stands for many pipelines, which are for afpipe-ablate");
  if (!set) {
    g_string_append_c (out, *self->p++);
    return TRUE;
  }
  if (*set)
    return afp_parser_fail (
        self, at, "a value has one set at the most: write let x = {2,3} before, and ${x} here");
  *set = take_set (self);
  return *set != NULL;
}

/* What stands before the set and behind it goes to each of its values. */
static void
wrap_set (GPtrArray *set, const GString *text, gsize place)
{
  for (guint i = 0; i < set->len; i++) {
    char *value = set->pdata[i];
    set->pdata[i] = g_strdup_printf ("%.*s%s%s", (int) place, text->str, value, text->str + place);
    g_free (value);
  }
}

/* --- values --- */

static gboolean
take_plain (AfpParser *self, AfpPlace place, GString *out, GPtrArray **set)
{
  const char *brace = NULL;
  gsize place_of_set = 0;

  while (!ends_in (self, place, brace != NULL)) {
    char c = *self->p;
    if (c == '"' || c == '\'')
      return afp_parser_fail (self, self->p,
                              "a quote in the middle of a value: put the whole value in quotes");
    if ((place == AFP_IN_ASSERTION && c == '{' && brace) || (place == AFP_IN_SET && c == '{'))
      return afp_parser_fail (self, self->p, "'{' within braces");
    if (c == '(' && self->depth > 0 && place == AFP_IN_ELEMENT)
      return afp_parser_fail (self, self->p,
                              "'(' in a value within a choice: put the whole value in quotes");
    if (place == AFP_IN_ELEMENT && c == '{') {
      if (!take_brace (self, out, set))
        return FALSE;
      place_of_set = out->len;
      continue;
    }
    if (place == AFP_IN_ASSERTION && c == '{')
      brace = self->p;
    if (place == AFP_IN_ASSERTION && c == '}')
      brace = NULL;
    if (at_variable (self)) {
      if (!take_variable (self, out))
        return FALSE;
      continue;
    }
    if (!brace || !g_ascii_isspace (c))
      g_string_append_c (out, c);
    self->p++;
  }
  if (brace)
    return afp_parser_fail (self, brace, "the brace opened here is not closed");
  if (set && *set)
    wrap_set (*set, out, place_of_set);
  return TRUE;
}

gboolean
afp_parser_take_value (AfpParser *self, AfpPlace place, GString *value, GPtrArray **set)
{
  if (*self->p == '"' || *self->p == '\'')
    return take_quoted (self, place, value);
  return take_plain (self, place, value, set);
}
