/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-error.h"
#include "afp-parse-private.h"

#include <string.h>

#define MAX_TEXT (1024 * 1024)
#define MAX_SHOWN 40
#define ASSERTION "tensor"

/* Where a value stands decides what ends it. */
typedef enum { IN_ELEMENT, IN_ASSERTION, IN_SETTINGS } Place;

typedef struct {
  const char *text;
  const char *p;
  GHashTable *variables;
  gboolean plain; /* "${" has no meaning */
  GError **error;
} Parser;

/* --- errors --- */

static gboolean fail (Parser *self, const char *at, const char *format, ...) G_GNUC_PRINTF (3, 4);

/* "line 1, column 8: <message>", the line, and a caret under @at. */
static gboolean
fail (Parser *self, const char *at, const char *format, ...)
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

static char *
shown (const char *text, gsize length)
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

/* Blanks, and comments up to the end of their line. */
static void
skip_blanks (Parser *self)
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
at_variable (const Parser *self)
{
  return !self->plain && self->p[0] == '$' && self->p[1] == '{';
}

static gboolean
fail_undefined (Parser *self, const char *at, const char *name)
{
  g_autofree gpointer *names = NULL;
  guint n = 0;
  if (self->variables)
    names = g_hash_table_get_keys_as_array (self->variables, &n);
  const char *nearest = n > 0 ? afp_nearest_name (name, (const char *const *) names, n) : NULL;
  g_autofree char *hint =
      nearest ? g_strdup_printf ("; did you mean ${%s}?", nearest) : g_strdup ("");
  return fail (self, at, "${%s} is not defined: give --set %s=VALUE%s", name, name, hint);
}

/* ${NAME} at the cursor: its value goes to @out. */
static gboolean
take_variable (Parser *self, GString *out)
{
  const char *at = self->p;
  gsize length = strcspn (at + 2, "} \t\r\n!\"'");
  g_autofree char *name = g_strndup (at + 2, length);
  if (at[2 + length] != '}')
    return fail (self, at, "'${' without its '}': variables are written ${NAME}");
  if (!afp_parse_is_name (name)) {
    g_autofree char *word = shown (name, length);
    return fail (self, at, "'%s' is no name of a variable: write ${NAME}, a letter first", word);
  }
  const char *value = self->variables ? g_hash_table_lookup (self->variables, name) : NULL;
  if (!value)
    return fail_undefined (self, at, name);
  g_string_append (out, value);
  self->p = at + 2 + length + 1;
  return TRUE;
}

/* The name of something: up to a blank or a sign. May be empty. */
static GString *
take_word (Parser *self)
{
  g_autoptr (GString) out = g_string_new (NULL);
  while (*self->p && !g_ascii_isspace (*self->p) && !strchr ("!=,\"'", *self->p)) {
    if (!at_variable (self))
      g_string_append_c (out, *self->p++);
    else if (!take_variable (self, out))
      return NULL;
  }
  return g_steal_pointer (&out);
}

static gboolean
take_escape (Parser *self, GString *out)
{
  static const char from[] = "\\\"'$nt", to[] = "\\\"'$\n\t";
  const char *found = self->p[1] ? strchr (from, self->p[1]) : NULL;
  if (!found)
    return fail (
        self, self->p,
        "unknown escape in double quotes: give \\\\ \\\" \\$ \\n or \\t; in single quotes a "
        "backslash is a backslash");
  g_string_append_c (out, to[found - from]);
  self->p += 2;
  return TRUE;
}

static gboolean
take_quoted (Parser *self, Place place, GString *out)
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
    return fail (self, opening, "the quote %c opened here is not closed", quote);
  self->p++;
  if (*self->p && !g_ascii_isspace (*self->p) && !(place != IN_SETTINGS && *self->p == '!') &&
      !(place != IN_ELEMENT && *self->p == ','))
    return fail (self, self->p, "stray '%s' after a closing quote: a quoted value stands alone",
                 (char[]){ g_ascii_isprint (*self->p) ? *self->p : '?', '\0' });
  return TRUE;
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

static gboolean
ends_value (const Parser *self, Place place, gboolean in_braces)
{
  char c = *self->p;
  if (c == '\0' || (c == '!' && place != IN_SETTINGS))
    return TRUE;
  if (in_braces)
    return FALSE;
  return g_ascii_isspace (c) || (c == ',' && place == IN_ASSERTION) ||
         (c == ',' && place == IN_SETTINGS && comma_ends_setting (self->p));
}

static gboolean
take_plain (Parser *self, Place place, GString *out)
{
  const char *brace = NULL;
  while (!ends_value (self, place, brace != NULL)) {
    char c = *self->p;
    if (c == '"' || c == '\'')
      return fail (self, self->p,
                   "a quote in the middle of a value: put the whole value in quotes");
    if (place == IN_ASSERTION && c == '{' && brace)
      return fail (self, self->p, "'{' within braces");
    if (place == IN_ASSERTION && c == '{')
      brace = self->p;
    if (place == IN_ASSERTION && c == '}')
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
    return fail (self, brace, "the brace opened here is not closed");
  return TRUE;
}

/* The cursor is at "="; @name was just before it. */
static gboolean
take_property (Parser *self, Place place, const char *name, const char *at, GPtrArray *properties,
               GHashTable *seen)
{
  if (*name == '\0')
    return fail (self, self->p, "'=' without a name before it: write NAME=VALUE without blanks");
  if (!afp_parse_is_name (name)) {
    g_autofree char *word = shown (name, strlen (name));
    return fail (self, at, "'%s' is no name of a property: letters, digits, '-' and '_'", word);
  }
  self->p++;
  const char *value_at = self->p;
  g_autoptr (GString) value = g_string_new (NULL);
  if (*self->p == '"' || *self->p == '\'') {
    if (!take_quoted (self, place, value))
      return FALSE;
  } else if (ends_value (self, place, FALSE)) {
    return fail (self, value_at,
                 "'%s=' has no value: write %s=VALUE without blanks around '=' (%s=\"\" for an "
                 "empty text)",
                 name, name, name);
  } else if (!take_plain (self, place, value)) {
    return FALSE;
  }
  if (!g_hash_table_add (seen, g_strdup (name)))
    return fail (self, at, "'%s' is given twice", name);
  if (place == IN_ELEMENT && strcmp (name, "name") == 0 && !afp_parse_is_name (value->str)) {
    g_autofree char *word = shown (value->str, value->len);
    return fail (self, value_at, "'%s' is no name for an element: letters, digits, '-' and '_'",
                 word);
  }
  AfpAstProperty *property = g_new0 (AfpAstProperty, 1);
  property->name = g_strdup (name);
  property->value = g_strndup (value->str, value->len);
  property->name_column = (gsize) (at - self->text);
  property->value_column = (gsize) (value_at - self->text);
  g_ptr_array_add (properties, property);
  return TRUE;
}

/* --- elements, assertions, references --- */

static gboolean
take_element_properties (Parser *self, AfpAstNode *node)
{
  g_autoptr (GHashTable) seen = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  for (;;) {
    skip_blanks (self);
    const char *at = self->p;
    if (*at == '\0' || *at == '!')
      return TRUE;
    g_autoptr (GString) word = take_word (self);
    if (!word)
      return FALSE;
    if (*self->p != '=') {
      /* No property: the next chain begins here. */
      self->p = at;
      return TRUE;
    }
    if (!take_property (self, IN_ELEMENT, word->str, at, node->properties, seen))
      return FALSE;
  }
}

/* { "," NAME "=" value }, blanks around commas allowed */
static gboolean
take_assertion_properties (Parser *self, AfpAstNode *node)
{
  g_autoptr (GHashTable) seen = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  for (;;) {
    const char *end = self->p;
    skip_blanks (self);
    if (*self->p != ',') {
      gsize length = strcspn (self->p, " \t\r\n!=,\"'");
      g_autofree char *word = shown (self->p, length);
      if (length > 0 && self->p[length] == '=')
        return fail (self, end, "',' is missing: assertions are written " ASSERTION ",%s=VALUE",
                     word);
      self->p = end;
      return TRUE;
    }
    const char *comma = self->p++;
    skip_blanks (self);
    const char *at = self->p;
    g_autoptr (GString) word = take_word (self);
    if (!word)
      return FALSE;
    if (*self->p != '=')
      return fail (self, comma, "FIELD=VALUE is missing after ','");
    if (!take_property (self, IN_ASSERTION, word->str, at, node->properties, seen))
      return FALSE;
  }
}

static gboolean
fail_no_item (Parser *self, const char *at, const char *word)
{
  switch (*self->p) {
  case '=':
    if (*word)
      return fail (self, at, "an element is expected here, not the property '%s='", word);
    return fail (self, at, "'=' stands alone: write NAME=VALUE without blanks around '='");
  case ',':
    if (*word)
      return fail (self, self->p,
                   "stray ',' after '%s': assertions are written " ASSERTION
                   ",FIELD=VALUE, properties are separated by blanks",
                   word);
    return fail (self, self->p, "stray ','");
  case '"':
  case '\'':
    return fail (self, self->p, "stray quote: only values of properties are quoted");
  default:
    return fail (self, at,
                 "stray '%s': the name of an element has letters, digits, '-' and '_', a letter "
                 "first; a reference is written NAME.",
                 word);
  }
}

/* An element, an assertion or a reference. */
static AfpAstNode *
take_item (Parser *self)
{
  const char *at = self->p;
  gsize column = (gsize) (at - self->text);
  g_autoptr (GString) word = take_word (self);
  if (!word)
    return NULL;

  g_autofree char *label = shown (word->str, word->len);
  gboolean is_reference = word->len > 1 && word->str[word->len - 1] == '.';
  if (is_reference)
    g_string_truncate (word, word->len - 1);
  gboolean is_assertion = !is_reference && strcmp (word->str, ASSERTION) == 0;
  gboolean ended = *self->p == '\0' || *self->p == '!' || g_ascii_isspace (*self->p);
  if (!afp_parse_is_name (word->str) || (!ended && !(is_assertion && *self->p == ','))) {
    fail_no_item (self, at, label);
    return NULL;
  }
  const char *end = self->p;
  skip_blanks (self);
  if (*self->p == '=') {
    fail (self, self->p, "blanks around '=': write %s=VALUE", label);
    return NULL;
  }
  self->p = end;
  if (is_reference)
    return afp_ast_node_new (AFP_AST_REFERENCE, word->str, column);

  AfpAstNode *node =
      afp_ast_node_new (is_assertion ? AFP_AST_ASSERTION : AFP_AST_ELEMENT, word->str, column);
  gboolean ok =
      is_assertion ? take_assertion_properties (self, node) : take_element_properties (self, node);
  if (!ok)
    g_clear_pointer (&node, afp_ast_node_free);
  return node;
}

/* --- chains --- */

static gboolean
check_ends (Parser *self, const AfpAstChain *chain)
{
  const AfpAstNode *first = chain->nodes->pdata[0];
  const AfpAstNode *last = chain->nodes->pdata[chain->nodes->len - 1];

  if (first->type == AFP_AST_ASSERTION)
    return fail (self, self->text + first->column,
                 "an assertion stands between two elements: nothing comes before this one");
  if (last->type == AFP_AST_ASSERTION)
    return fail (self, self->text + last->column,
                 "an assertion stands between two elements: nothing comes after this one");
  if (first->type == AFP_AST_REFERENCE && chain->nodes->len == 1)
    return fail (self, self->text + first->column,
                 "the reference '%s.' is linked to nothing: write '%s. ! ELEMENT'", first->name,
                 first->name);
  for (guint i = 0; i < chain->nodes->len; i++)
    if (((AfpAstNode *) chain->nodes->pdata[i])->type == AFP_AST_ELEMENT)
      return TRUE;
  return fail (self, self->text + last->column,
               "an element is missing between the references '%s.' and '%s.'", first->name,
               last->name);
}

/* The cursor is at a "!": skips it and what may follow it. */
static gboolean
take_link (Parser *self)
{
  const char *bang = self->p++;
  skip_blanks (self);
  if (*self->p == '\0')
    return fail (self, bang, "'!' with nothing after it: an element is missing");
  if (*self->p == '!')
    return fail (self, self->p, "an element is missing between '!' and '!'");
  return TRUE;
}

static gboolean
take_chain (Parser *self, AfpAstChain *chain)
{
  if (*self->p == '!')
    return fail (self, self->p, "'!' with nothing before it: an element is missing");
  for (;;) {
    AfpAstNode *node = take_item (self);
    if (!node)
      return FALSE;
    g_ptr_array_add (chain->nodes, node);
    skip_blanks (self);
    if (*self->p != '!')
      break;
    if (node->type == AFP_AST_REFERENCE && chain->nodes->len > 1)
      return fail (self, self->text + node->column,
                   "a reference begins or ends a chain: after '! %s.' write '%s.' again to go on",
                   node->name, node->name);
    if (!take_link (self))
      return FALSE;
  }
  return check_ends (self, chain);
}

static void
chain_free (AfpAstChain *chain)
{
  g_ptr_array_unref (chain->nodes);
  g_free (chain);
}

/**
 * afp_parse:
 * @text: a pipeline
 * @variables: (nullable) (element-type utf8 utf8): values for ${NAME}
 * @error: AFP_ERROR_USAGE with line, column, the line itself and a caret
 *
 * Returns: (transfer full): the tree of the pipeline; no element has been looked up yet
 */
AfpAst *
afp_parse (const char *text, GHashTable *variables, GError **error)
{
  Parser self = { .text = text, .p = text, .variables = variables, .error = error };

  if (strlen (text) > MAX_TEXT) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_USAGE,
                 "the pipeline text has %" G_GSIZE_FORMAT " bytes, the limit is %d", strlen (text),
                 MAX_TEXT);
    return NULL;
  }
  skip_blanks (&self);
  if (*self.p == '\0') {
    g_set_error_literal (error, AFP_ERROR, AFP_ERROR_USAGE,
                         "the pipeline text is empty: write ELEMENT PROPERTY=VALUE ! ELEMENT ...");
    return NULL;
  }
  g_autoptr (AfpAst) ast = g_new0 (AfpAst, 1);
  ast->text = g_strdup (text);
  ast->chains = g_ptr_array_new_with_free_func ((GDestroyNotify) chain_free);
  while (*self.p) {
    AfpAstChain *chain = g_new0 (AfpAstChain, 1);
    chain->nodes = g_ptr_array_new_with_free_func ((GDestroyNotify) afp_ast_node_free);
    g_ptr_array_add (ast->chains, chain);
    if (!take_chain (&self, chain))
      return NULL;
    skip_blanks (&self);
  }
  return g_steal_pointer (&ast);
}

/* --- parts, for caps and for lists of properties --- */

AfpAstNode *
afp_parse_assertion (const char *text, GError **error)
{
  Parser self = { .text = text, .p = text, .plain = TRUE, .error = error };

  skip_blanks (&self);
  AfpAstNode *node = take_item (&self);
  if (!node)
    return NULL;
  skip_blanks (&self);
  if (node->type != AFP_AST_ASSERTION)
    fail (&self, text + node->column, "'%s' is no assertion: write " ASSERTION ",FIELD=VALUE",
          node->name);
  else if (*self.p)
    fail (&self, self.p, "stray text after the assertion");
  else
    return node;
  afp_ast_node_free (node);
  return NULL;
}

GPtrArray *
afp_parse_settings (const char *text, GError **error)
{
  Parser self = { .text = text, .p = text, .plain = TRUE, .error = error };
  g_autoptr (GHashTable) seen = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  g_autoptr (GPtrArray) settings =
      g_ptr_array_new_with_free_func ((GDestroyNotify) afp_ast_property_free);

  for (;;) {
    skip_blanks (&self);
    if (*self.p == ',' && settings->len > 0) {
      self.p++;
      skip_blanks (&self);
    }
    const char *at = self.p;
    if (*at == '\0')
      return g_steal_pointer (&settings);
    g_autoptr (GString) word = take_word (&self);
    if (*self.p != '=') {
      fail (&self, at, "'=' and a value are missing: write NAME=VALUE");
      return NULL;
    }
    if (!take_property (&self, IN_SETTINGS, word->str, at, settings, seen))
      return NULL;
  }
}
