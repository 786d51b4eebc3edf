/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-error.h"
#include "afp-parse-private.h"

#include <string.h>

#define MAX_TEXT (1024 * 1024)
#define ASSERTION "tensor"

/* The cursor is at "="; @name was just before it. */
static gboolean
take_property (AfpParser *self, AfpPlace place, const char *name, const char *at,
               GPtrArray *properties, GHashTable *seen)
{
  if (*name == '\0')
    return afp_parser_fail (self, self->p,
                            "'=' without a name before it: write NAME=VALUE without blanks");
  if (!afp_parse_is_name (name)) {
    g_autofree char *word = afp_parser_show (name, strlen (name));
    return afp_parser_fail (self, at, "'%s' is no name of a property: letters, digits, '-' and '_'",
                            word);
  }
  const char *value_at = ++self->p;
  g_autoptr (GString) value = g_string_new (NULL);
  g_autoptr (GPtrArray) set = NULL;
  const gboolean may_be_set = self->study && place == AFP_IN_ELEMENT;
  if (afp_parser_ends_value (self, place))
    return afp_parser_fail (
        self, value_at,
        "'%s=' has no value: write %s=VALUE without blanks around '=' (%s=\"\" for an "
        "empty text)",
        name, name, name);
  if (!afp_parser_take_value (self, place, value, may_be_set ? &set : NULL))
    return FALSE;
  if (!g_hash_table_add (seen, g_strdup (name)))
    return afp_parser_fail (self, at, "'%s' is given twice", name);
  if (place == AFP_IN_ELEMENT && strcmp (name, "name") == 0 &&
      (set || !afp_parse_is_name (value->str))) {
    g_autofree char *word = afp_parser_show (value_at, (gsize) (self->p - value_at));
    return afp_parser_fail (self, value_at,
                            "'%s' is no name for an element: letters, digits, '-' and '_'",
                            set ? word : value->str);
  }
  AfpAstProperty *property = g_new0 (AfpAstProperty, 1);
  property->name = g_strdup (name);
  property->value =
      set ? g_strndup (value_at, (gsize) (self->p - value_at)) : g_strndup (value->str, value->len);
  property->name_column = (gsize) (at - self->text);
  property->value_column = (gsize) (value_at - self->text);
  property->value_end = (gsize) (self->p - self->text);
  property->values = g_steal_pointer (&set);
  g_ptr_array_add (properties, property);
  return TRUE;
}

/* --- elements, assertions, references --- */

static gboolean
take_element_properties (AfpParser *self, AfpAstNode *node)
{
  g_autoptr (GHashTable) seen = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  for (;;) {
    afp_parser_skip_blanks (self);
    const char *at = self->p;
    if (*at == '\0' || *at == '!' || (self->depth > 0 && (*at == ',' || *at == ')')))
      return TRUE;
    g_autoptr (GString) word = afp_parser_take_word (self);
    if (!word)
      return FALSE;
    if (*self->p != '=') {
      /* No property: the next chain begins here. */
      self->p = at;
      return TRUE;
    }
    if (self->study && strcmp (word->str, "repeat") == 0) {
      if (!afp_parser_take_repeat (self, at))
        return FALSE;
      continue;
    }
    if (!take_property (self, AFP_IN_ELEMENT, word->str, at, node->properties, seen))
      return FALSE;
  }
}

/* { "," NAME "=" value }, blanks around commas allowed */
static gboolean
take_assertion_properties (AfpParser *self, AfpAstNode *node)
{
  g_autoptr (GHashTable) seen = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  for (;;) {
    const char *end = self->p;
    afp_parser_skip_blanks (self);
    if (*self->p != ',') {
      gsize length = strcspn (self->p, " \t\r\n!=,\"'");
      g_autofree char *word = afp_parser_show (self->p, length);
      if (length > 0 && self->p[length] == '=')
        return afp_parser_fail (
            self, end, "',' is missing: assertions are written " ASSERTION ",%s=VALUE", word);
      self->p = end;
      return TRUE;
    }
    const char *comma = self->p++;
    afp_parser_skip_blanks (self);
    const char *at = self->p;
    g_autoptr (GString) word = afp_parser_take_word (self);
    if (!word)
      return FALSE;
    if (*self->p != '=')
      return afp_parser_fail (self, comma, "FIELD=VALUE is missing after ','");
    if (!take_property (self, AFP_IN_ASSERTION, word->str, at, node->properties, seen))
      return FALSE;
  }
}

static gboolean
fail_no_item (AfpParser *self, const char *at, const char *word)
{
  switch (*self->p) {
  case '=':
    if (*word)
      return afp_parser_fail (self, at, "an element is expected here, not the property '%s='",
                              word);
    return afp_parser_fail (self, at,
                            "'=' stands alone: write NAME=VALUE without blanks around '='");
  case ',':
    if (*word)
      return afp_parser_fail (self, self->p,
                              "stray ',' after '%s': assertions are written " ASSERTION
                              ",FIELD=VALUE, properties are separated by blanks",
                              word);
    return afp_parser_fail (self, self->p, "stray ','");
  case '(':
  case ')':
    return afp_parser_fail (self, self->p, "stray '%c'", *self->p);
  case '"':
  case '\'':
    return afp_parser_fail (self, self->p, "stray quote: only values of properties are quoted");
  default:
    return afp_parser_fail (
        self, at,
        "stray '%s': the name of an element has letters, digits, '-' and '_', a letter "
        "first; a reference is written NAME.",
        word);
  }
}

/* An element, an assertion, a reference or a choice. */
static AfpAstNode *
take_item (AfpParser *self)
{
  const char *at = self->p;
  gsize column = (gsize) (at - self->text);
  g_autoptr (GString) word = afp_parser_take_word (self);
  if (!word)
    return NULL;

  if (*self->p == '(' && afp_parser_is_choice (word->str))
    return afp_parser_take_choice (self, word->str, at);
  g_autofree char *label = afp_parser_show (word->str, word->len);
  gboolean is_reference = word->len > 1 && word->str[word->len - 1] == '.';
  if (is_reference)
    g_string_truncate (word, word->len - 1);
  gboolean is_assertion = !is_reference && strcmp (word->str, ASSERTION) == 0;
  gboolean ended = afp_parser_ends_value (self, AFP_IN_ELEMENT);
  if (!afp_parse_is_name (word->str) || (!ended && !(is_assertion && *self->p == ','))) {
    fail_no_item (self, at, label);
    return NULL;
  }
  const char *end = self->p;
  afp_parser_skip_blanks (self);
  if (*self->p == '=') {
    afp_parser_fail (self, self->p, "blanks around '=': write %s=VALUE", label);
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

/* A part of a choice goes into a chain: what ends a chain has no place in it. */
static gboolean
check_part (AfpParser *self, const AfpAstChain *chain)
{
  for (guint i = 0; i < chain->nodes->len; i++) {
    const AfpAstNode *node = chain->nodes->pdata[i];
    if (node->type == AFP_AST_REFERENCE || node->type == AFP_AST_ASSERTION)
      return afp_parser_fail (self, self->text + node->column,
                              "%s cannot be a part of a choice: parts are elements, linked by '!'",
                              node->type == AFP_AST_REFERENCE ? "a reference" : "an assertion");
  }
  return TRUE;
}

static gboolean
check_ends (AfpParser *self, const AfpAstChain *chain)
{
  const AfpAstNode *first = chain->nodes->pdata[0];
  const AfpAstNode *last = chain->nodes->pdata[chain->nodes->len - 1];

  if (self->depth > 0)
    return check_part (self, chain);

  if (first->type == AFP_AST_ASSERTION)
    return afp_parser_fail (
        self, self->text + first->column,
        "an assertion stands between two elements: nothing comes before this one");
  if (last->type == AFP_AST_ASSERTION)
    return afp_parser_fail (
        self, self->text + last->column,
        "an assertion stands between two elements: nothing comes after this one");
  if (first->type == AFP_AST_REFERENCE && chain->nodes->len == 1)
    return afp_parser_fail (self, self->text + first->column,
                            "the reference '%s.' is linked to nothing: write '%s. ! ELEMENT'",
                            first->name, first->name);
  for (guint i = 0; i < chain->nodes->len; i++)
    if (((AfpAstNode *) chain->nodes->pdata[i])->type != AFP_AST_REFERENCE &&
        ((AfpAstNode *) chain->nodes->pdata[i])->type != AFP_AST_ASSERTION)
      return TRUE;
  return afp_parser_fail (self, self->text + last->column,
                          "an element is missing between the references '%s.' and '%s.'",
                          first->name, last->name);
}

/* The cursor is at a "!": skips it and what may follow it. */
static gboolean
take_link (AfpParser *self)
{
  const char *bang = self->p++;
  afp_parser_skip_blanks (self);
  if (*self->p == '\0')
    return afp_parser_fail (self, bang, "'!' with nothing after it: an element is missing");
  if (*self->p == '!')
    return afp_parser_fail (self, self->p, "an element is missing between '!' and '!'");
  return TRUE;
}

gboolean
afp_parser_take_chain (AfpParser *self, AfpAstChain *chain)
{
  if (*self->p == '!')
    return afp_parser_fail (self, self->p, "'!' with nothing before it: an element is missing");
  for (;;) {
    AfpAstNode *node = take_item (self);
    if (!node)
      return FALSE;
    g_ptr_array_add (chain->nodes, node);
    afp_parser_skip_blanks (self);
    if (*self->p != '!')
      break;
    if (node->type == AFP_AST_REFERENCE && chain->nodes->len > 1)
      return afp_parser_fail (
          self, self->text + node->column,
          "a reference begins or ends a chain: after '! %s.' write '%s.' again to go on",
          node->name, node->name);
    if (!take_link (self))
      return FALSE;
  }
  return check_ends (self, chain);
}

AfpAst *
afp_parser_take_pipeline (AfpParser *self)
{
  if (strlen (self->text) > MAX_TEXT) {
    g_set_error (self->error, AFP_ERROR, AFP_ERROR_USAGE,
                 "the pipeline text has %" G_GSIZE_FORMAT " bytes, the limit is %d",
                 strlen (self->text), MAX_TEXT);
    return NULL;
  }
  g_autoptr (AfpAst) ast = g_new0 (AfpAst, 1);
  ast->text = g_strdup (self->text);
  ast->chains = g_ptr_array_new_with_free_func ((GDestroyNotify) afp_ast_chain_free);
  for (afp_parser_skip_blanks (self); *self->p; afp_parser_skip_blanks (self)) {
    gboolean taken = FALSE;
    if (!afp_parser_take_statement (self, &taken))
      return NULL;
    if (taken)
      continue;
    AfpAstChain *chain = afp_ast_chain_new ();
    g_ptr_array_add (ast->chains, chain);
    if (!afp_parser_take_chain (self, chain))
      return NULL;
  }
  if (ast->chains->len > 0)
    return g_steal_pointer (&ast);
  g_set_error_literal (self->error, AFP_ERROR, AFP_ERROR_USAGE,
                       "the pipeline text is empty: write ELEMENT PROPERTY=VALUE ! ELEMENT ...");
  return NULL;
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
  AfpParser self = { .text = text, .p = text, .variables = variables, .error = error };

  return afp_parser_take_pipeline (&self);
}

/* --- parts, for caps and for lists of properties --- */

AfpAstNode *
afp_parse_assertion (const char *text, GError **error)
{
  AfpParser self = { .text = text, .p = text, .plain = TRUE, .error = error };

  afp_parser_skip_blanks (&self);
  AfpAstNode *node = take_item (&self);
  if (!node)
    return NULL;
  afp_parser_skip_blanks (&self);
  if (node->type != AFP_AST_ASSERTION)
    afp_parser_fail (&self, text + node->column,
                     "'%s' is no assertion: write " ASSERTION ",FIELD=VALUE", node->name);
  else if (*self.p)
    afp_parser_fail (&self, self.p, "stray text after the assertion");
  else
    return node;
  afp_ast_node_free (node);
  return NULL;
}

GPtrArray *
afp_parse_settings (const char *text, GError **error)
{
  AfpParser self = { .text = text, .p = text, .plain = TRUE, .error = error };
  g_autoptr (GHashTable) seen = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  g_autoptr (GPtrArray) settings =
      g_ptr_array_new_with_free_func ((GDestroyNotify) afp_ast_property_free);

  for (;;) {
    afp_parser_skip_blanks (&self);
    if (*self.p == ',' && settings->len > 0) {
      self.p++;
      afp_parser_skip_blanks (&self);
    }
    const char *at = self.p;
    if (*at == '\0')
      return g_steal_pointer (&settings);
    g_autoptr (GString) word = afp_parser_take_word (&self);
    if (*self.p != '=') {
      afp_parser_fail (&self, at, "'=' and a value are missing: write NAME=VALUE");
      return NULL;
    }
    if (!take_property (&self, AFP_IN_SETTINGS, word->str, at, settings, seen))
      return NULL;
  }
}
