/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-error.h"
#include "afp-parse-private.h"

#include <string.h>

/* What only a study has: choices, variables with several values, conditions, repeats. */

#define MAX_DEPTH 16
#define MAX_REPEAT 10000
#define FOR_ABLATE "stands for many pipelines, which are for afpipe-ablate"

/* --- choices ------------------------------------------------------------------------------------------------------ */

static const struct {
  const char *name;
  AfpAstType type;
} choices[] = {
  { "permute", AFP_AST_PERMUTE },
  { "subsets", AFP_AST_SUBSETS },
  { "either", AFP_AST_EITHER },
};

static const AfpAstType *
find_choice (const char *word)
{
  for (gsize i = 0; i < G_N_ELEMENTS (choices); i++)
    if (strcmp (choices[i].name, word) == 0)
      return &choices[i].type;
  return NULL;
}

gboolean
afp_parser_is_choice (const char *word)
{
  return find_choice (word) != NULL;
}

/* One part, up to its "," or ")". */
static gboolean
take_part (AfpParser *self, AfpAstNode *node, const char *opening)
{
  afp_parser_skip_blanks (self);
  if (*self->p == ',' || *self->p == ')')
    return afp_parser_fail (
        self, self->p, "%s has an empty part here: write %s(seedlm ! vptq, hyper)%s", node->name,
        node->name, node->type == AFP_AST_EITHER ? ", and subsets(x) for x or nothing" : "");
  if (*self->p == '\0')
    return afp_parser_fail (self, opening, "the parenthesis opened here is not closed");
  AfpAstChain *part = afp_ast_chain_new ();
  g_ptr_array_add (node->parts, part);
  if (!afp_parser_take_chain (self, part))
    return FALSE;
  afp_parser_skip_blanks (self);
  if (*self->p == ',' || *self->p == ')')
    return TRUE;
  if (*self->p == '\0')
    return afp_parser_fail (self, opening, "the parenthesis opened here is not closed");
  return afp_parser_fail (self, self->p,
                          "'!' or ',' is missing: elements of a part are linked by '!', parts are "
                          "separated by ','");
}

/* What may stand behind ")": as behind an element without properties. */
static gboolean
check_behind (AfpParser *self, const AfpAstNode *node)
{
  const char c = *self->p;

  if (c == '\0' || c == '!' || g_ascii_isspace (c) || (self->depth > 0 && (c == ',' || c == ')')))
    return TRUE;
  return afp_parser_fail (self, self->p, "stray '%c' behind %s(...): '!' is missing",
                          g_ascii_isprint (c) ? c : '?', node->name);
}

AfpAstNode *
afp_parser_take_choice (AfpParser *self, const char *name, const char *at)
{
  const char *opening = self->p;
  gboolean ok = TRUE;

  if (!self->study) {
    afp_parser_fail (self, at, "%s(...) " FOR_ABLATE, name);
    return NULL;
  }
  if (self->depth == MAX_DEPTH) {
    afp_parser_fail (self, at, "choices within choices, %d deep: that is the most", MAX_DEPTH);
    return NULL;
  }
  AfpAstNode *node = afp_ast_node_new (*find_choice (name), name, (gsize) (at - self->text));
  node->parts = g_ptr_array_new_with_free_func ((GDestroyNotify) afp_ast_chain_free);
  self->depth++;
  do {
    self->p++;
    ok = take_part (self, node, opening);
  } while (ok && *self->p == ',');
  self->depth--;
  if (ok) {
    self->p++;
    ok = check_behind (self, node);
  }
  if (!ok)
    g_clear_pointer (&node, afp_ast_node_free);
  return node;
}

/* --- let ---------------------------------------------------------------------------------------------------------- */

static void
let_free (AfpAstLet *let)
{
  g_free (let->name);
  g_clear_pointer (&let->values, g_ptr_array_unref);
  g_free (let);
}

/* One value, or those of a set. */
static GPtrArray *
take_values (AfpParser *self)
{
  g_autoptr (GString) value = g_string_new (NULL);
  g_autoptr (GPtrArray) set = NULL;

  if (!afp_parser_take_value (self, AFP_IN_ELEMENT, value, &set))
    return NULL;
  if (!set) {
    set = g_ptr_array_new_with_free_func (g_free);
    g_ptr_array_add (set, g_strndup (value->str, value->len));
  }
  return g_steal_pointer (&set);
}

/* --set NAME=VALUE: one value, whatever is in it, or "{2,3}". */
static GPtrArray *
values_of_variable (const char *name, const char *text, GError **error)
{
  AfpParser self = { .text = text, .p = text, .plain = TRUE, .error = error };
  GPtrArray *values;

  if (*text != '{') {
    values = g_ptr_array_new_with_free_func (g_free);
    g_ptr_array_add (values, g_strdup (text));
    return values;
  }
  values = take_values (&self);
  if (values && *self.p) {
    afp_parser_fail (&self, self.p, "stray text behind the set");
    g_clear_pointer (&values, g_ptr_array_unref);
  }
  if (!values)
    g_prefix_error (error, "--set %s: ", name);
  return values;
}

/* "let" is read: NAME "=" value */
static gboolean
take_let (AfpParser *self)
{
  afp_parser_skip_blanks (self);
  const char *at = self->p;
  g_autoptr (GString) name = afp_parser_take_word (self);
  if (!name)
    return FALSE;
  afp_parser_skip_blanks (self);
  if (!afp_parse_is_name (name->str) || *self->p != '=')
    return afp_parser_fail (
        self, at,
        "'let' without a name and '=': write let NAME = {2,3}, and ${NAME} where "
        "it is to stand");
  if (g_hash_table_contains (self->lets, name->str))
    return afp_parser_fail (self, at, "the variable '%s' is defined twice", name->str);
  self->p++;
  afp_parser_skip_blanks (self);
  if (afp_parser_ends_value (self, AFP_IN_ELEMENT))
    return afp_parser_fail (self, self->p, "the value of '%s' is missing: write let %s = {2,3}",
                            name->str, name->str);
  AfpAstLet *let = g_new0 (AfpAstLet, 1);
  g_ptr_array_add (self->study->lets, let);
  let->name = g_strdup (name->str);
  let->column = (gsize) (at - self->text);
  let->values = take_values (self);
  if (!let->values)
    return FALSE;
  const char *given = self->variables ? g_hash_table_lookup (self->variables, name->str) : NULL;
  if (given) {
    g_ptr_array_unref (let->values);
    let->values = values_of_variable (name->str, given, self->error);
  }
  if (!let->values)
    return FALSE;
  const char *chosen = self->chosen ? g_hash_table_lookup (self->chosen, name->str) : NULL;
  g_hash_table_insert (self->lets, let->name, chosen ? (gpointer) chosen : let->values->pdata[0]);
  return TRUE;
}

/* --- where -------------------------------------------------------------------------------------------------------- */

static void
condition_free (AfpAstCondition *condition)
{
  g_free (condition->name);
  g_free (condition->value);
  g_free (condition->text);
  g_free (condition);
}

static gboolean
take_operator (AfpParser *self, AfpAstOperator *op)
{
  static const struct {
    const char *text;
    AfpAstOperator op;
  } operators[] = {
    { "<=", AFP_AST_AT_MOST }, { ">=", AFP_AST_AT_LEAST }, { "!=", AFP_AST_OTHER },
    { "==", AFP_AST_EQUAL },   { "<", AFP_AST_LESS },      { ">", AFP_AST_MORE },
    { "=", AFP_AST_EQUAL },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (operators); i++)
    if (g_str_has_prefix (self->p, operators[i].text)) {
      self->p += strlen (operators[i].text);
      *op = operators[i].op;
      return TRUE;
    }
  return afp_parser_fail (
      self, self->p, "a condition is missing: write where NAME<VALUE, with one of < <= > >= = !=");
}

/* "vptq.k>=16": @at is where the name begins. */
static gboolean
take_condition (AfpParser *self)
{
  const char *at = self->p;
  const gsize length = strspn (at, G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "._-");
  g_autoptr (GString) value = g_string_new (NULL);
  AfpAstOperator op = AFP_AST_EQUAL;

  if (length == 0 || !g_ascii_isalpha (*at))
    return afp_parser_fail (self, at,
                            "a condition is missing: write where NAME<VALUE, as in where bpw<3");
  self->p += length;
  afp_parser_skip_blanks (self);
  if (!take_operator (self, &op))
    return FALSE;
  afp_parser_skip_blanks (self);
  if (afp_parser_ends_value (self, AFP_IN_CONDITION))
    return afp_parser_fail (self, self->p,
                            "the value of the condition is missing: write where %.*s<VALUE",
                            (int) length, at);
  if (!afp_parser_take_value (self, AFP_IN_CONDITION, value, NULL))
    return FALSE;
  AfpAstCondition *condition = g_new0 (AfpAstCondition, 1);
  g_ptr_array_add (self->study->conditions, condition);
  condition->name = g_strndup (at, length);
  condition->op = op;
  condition->value = g_strndup (value->str, value->len);
  condition->text = g_strndup (at, (gsize) (self->p - at));
  condition->column = (gsize) (at - self->text);
  return TRUE;
}

/* Is @word at the cursor, as a word of its own? Then the cursor goes behind it. */
static gboolean
take_keyword (AfpParser *self, const char *word)
{
  const gsize length = strlen (word);

  if (strncmp (self->p, word, length) != 0 ||
      !(g_ascii_isspace (self->p[length]) || !self->p[length]))
    return FALSE;
  self->p += length;
  return TRUE;
}

/* "where" is read: conditions with "," or "and" between them */
static gboolean
take_where (AfpParser *self)
{
  for (;;) {
    afp_parser_skip_blanks (self);
    if (!take_condition (self))
      return FALSE;
    const char *end = self->p;
    afp_parser_skip_blanks (self);
    if (*self->p == ',')
      self->p++;
    else if (!take_keyword (self, "and")) {
      self->p = end;
      return TRUE;
    }
  }
}

/* --- the study as a whole ----------------------------------------------------------------------------------------- */

gboolean
afp_parser_take_repeat (AfpParser *self, const char *at)
{
  g_autoptr (GString) value = g_string_new (NULL);
  const char *value_at = ++self->p;
  guint64 number;

  if (!self->study)
    return afp_parser_fail (self, at, "repeat= " FOR_ABLATE);
  if (self->depth > 0)
    return afp_parser_fail (self, at,
                            "repeat= counts for the whole study: write it behind the pipeline");
  if (self->study->repeat > 0)
    return afp_parser_fail (self, at, "repeat= is given twice");
  if (!afp_parser_take_value (self, AFP_IN_ELEMENT, value, NULL))
    return FALSE;
  if (!g_ascii_string_to_unsigned (value->str, 10, 1, MAX_REPEAT, &number, NULL)) {
    g_autofree char *word = afp_parser_show (value->str, value->len);
    return afp_parser_fail (
        self, value_at,
        "repeat=%s: give how often every pipeline runs, with other random seeds: 1..%d", word,
        MAX_REPEAT);
  }
  self->study->repeat = (guint) number;
  return TRUE;
}

gboolean
afp_parser_take_statement (AfpParser *self, gboolean *taken)
{
  const char *at = self->p;
  const gboolean is_let = take_keyword (self, "let"),
                 is_where = !is_let && take_keyword (self, "where");

  *taken = TRUE;
  if (is_let || is_where) {
    if (!self->study)
      return afp_parser_fail (self, at, "'%s' is of a text that " FOR_ABLATE,
                              is_let ? "let" : "where");
    return is_let ? take_let (self) : take_where (self);
  }
  if (g_str_has_prefix (at, "repeat=")) {
    self->p += strlen ("repeat");
    return afp_parser_take_repeat (self, at);
  }
  *taken = FALSE;
  return TRUE;
}

/**
 * afp_parse_study:
 * @text: a study
 * @variables: (nullable) (element-type utf8 utf8): values for ${NAME}; they count more than those of the text
 * @chosen: (nullable) (element-type utf8 utf8): the value of variables of the text
 * @error: AFP_ERROR_USAGE with line, column, the line itself and a caret
 *
 * Returns: (transfer full): the study; no element has been looked up yet
 */
AfpAstStudy *
afp_parse_study (const char *text, GHashTable *variables, GHashTable *chosen, GError **error)
{
  g_autoptr (AfpAstStudy) study = g_new0 (AfpAstStudy, 1);
  g_autoptr (GHashTable) lets = g_hash_table_new (g_str_hash, g_str_equal);
  AfpParser self = { .text = text,
                     .p = text,
                     .variables = variables,
                     .study = study,
                     .lets = lets,
                     .chosen = chosen,
                     .error = error };

  study->lets = g_ptr_array_new_with_free_func ((GDestroyNotify) let_free);
  study->conditions = g_ptr_array_new_with_free_func ((GDestroyNotify) condition_free);
  study->ast = afp_parser_take_pipeline (&self);
  if (!study->ast)
    return NULL;
  study->repeat = MAX (study->repeat, 1);
  return g_steal_pointer (&study);
}

void
afp_ast_study_free (AfpAstStudy *study)
{
  if (!study)
    return;
  g_clear_pointer (&study->ast, afp_ast_free);
  g_clear_pointer (&study->lets, g_ptr_array_unref);
  g_clear_pointer (&study->conditions, g_ptr_array_unref);
  g_free (study);
}
