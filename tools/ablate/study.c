/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "study-private.h"

#include <string.h>

#define MAX_TEXT 65536

typedef struct {
  AfpStudy *study;
  GHashTable *variables; /* (nullable): from --set */
  GHashTable *chosen;    /* variables of the text with more than one value */
  StudyNames *names;
  GHashTable *by_text;    /* pipeline -> index of the run, plus 1 */
  GHashTable *by_measure; /* the same without what it writes */
  GHashTable *written;    /* files */
  guint64 total;
  guint repeat;
  const AfpAstStudy *tree; /* the one that is expanded */
  GHashTable *lets;        /* all variables of the text */
} Build;

static void
run_free (AfpStudyRun *run)
{
  g_free (run->pipeline);
  g_free (run->chain);
  g_free (run->codecs);
  json_object_unref (run->choices);
  g_free (run);
}

/* --- variables of the text ---------------------------------------------------------------------------------------- */

typedef gboolean (*TreeFunc) (Build *self, const AfpAstStudy *tree, GError **error);

/* Calls @func for each combination of the variables behind the first @n, the last one fastest. */
static gboolean
for_each_tree (Build *self, guint n, TreeFunc func, GError **error)
{
  g_autoptr (AfpAstStudy) tree =
      afp_parse_study (self->study->text, self->variables, self->chosen, error);

  if (!tree)
    return FALSE;
  while (n < tree->lets->len && ((AfpAstLet *) tree->lets->pdata[n])->values->len == 1)
    n++;
  if (n == tree->lets->len)
    return func (self, tree, error);
  const AfpAstLet *let = tree->lets->pdata[n];
  for (guint i = 0; i < let->values->len; i++) {
    g_hash_table_insert (self->chosen, g_strdup (let->name), g_strdup (let->values->pdata[i]));
    if (!for_each_tree (self, n + 1, func, error))
      return FALSE;
  }
  g_hash_table_remove (self->chosen, let->name);
  return TRUE;
}

static const char *
get_value (const Build *self, const AfpAstLet *let)
{
  const char *chosen = g_hash_table_lookup (self->chosen, let->name);

  return chosen ? chosen : let->values->pdata[0];
}

/* Does the text of the node hold ${NAME}? */
static gboolean
uses (const AfpAst *ast, const AfpAstNode *node, const char *name)
{
  gsize end = node->column;
  g_autofree char *place = g_strdup_printf ("${%s}", name);

  end += strcspn (ast->text + end, " \t\r\n!");
  for (guint i = 0; i < node->properties->len; i++)
    end = MAX (end, ((AfpAstProperty *) node->properties->pdata[i])->value_end);
  return g_strstr_len (ast->text + node->column, (gssize) (end - node->column), place) != NULL;
}

/* A variable that only elements use that are not in the run is no choice of the run. */
static gboolean
is_choice_of (const Build *self, const AfpAstLet *let, const GArray *items)
{
  g_autoptr (GPtrArray) nodes = study_list_nodes (self->tree->ast);
  gboolean used = FALSE;

  for (guint i = 0; i < items->len; i++) {
    const AfpAstNode *node = g_array_index (items, StudyItem, i).node;
    if (node && uses (self->tree->ast, node, let->name))
      return TRUE;
  }
  for (guint i = 0; i < nodes->len && !used; i++)
    used = uses (self->tree->ast, nodes->pdata[i], let->name);
  return !used;
}

/* --- how many ----------------------------------------------------------------------------------------------------- */

static gboolean
fail_too_many (guint64 count, GError **error)
{
  g_set_error (error, AFP_ERROR, AFP_ERROR_USAGE,
               "the study stands for %s%" G_GUINT64_FORMAT
               " runs, the most is %d: fewer values in its sets, fewer "
               "parts in permute(...) and subsets(...), or several studies",
               count == G_MAXUINT64 ? "more than " : "", count, AFP_STUDY_MAX_RUNS);
  return FALSE;
}

static gboolean
count_tree (Build *self, const AfpAstStudy *tree, GError **error)
{
  guint64 count = study_count (tree->ast);
  g_autoptr (GPtrArray) nodes = study_list_nodes (tree->ast);

  if (nodes->len > AFP_STUDY_MAX_NODES) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_USAGE, "the study has %u elements, the most is %d",
                 nodes->len, AFP_STUDY_MAX_NODES);
    return FALSE;
  }
  if (!g_uint64_checked_mul (&count, count, tree->repeat) ||
      !g_uint64_checked_add (&self->total, self->total, count))
    self->total = G_MAXUINT64;
  self->study->n_repeats = tree->repeat;
  return self->total <= AFP_STUDY_MAX_RUNS || fail_too_many (self->total, error);
}

/* --- runs --------------------------------------------------------------------------------------------------------- */

static void
note_names (AfpStudy *study, JsonObject *choices)
{
  g_autoptr (GList) members = json_object_get_members (choices);

  for (GList *i = members; i; i = i->next)
    if (!g_ptr_array_find_with_equal_func (study->names, i->data, g_str_equal, NULL))
      g_ptr_array_add (study->names, g_strdup (i->data));
}

static AfpStudyRun *
make_run (Build *self, const GArray *items, gboolean added)
{
  AfpStudyRun *run = g_new0 (AfpStudyRun, 1);
  g_autoptr (GArray) parts = study_run_parts (self->names, items, !added);

  run->pipeline = study_run_text (self->names, items, self->repeat, !added);
  run->chain = study_run_chain (self->names, items);
  run->choices = json_object_new ();
  run->repeat = self->repeat;
  run->prefix = -1;
  for (guint i = 0; i < self->tree->lets->len; i++) {
    const AfpAstLet *let = self->tree->lets->pdata[i];
    if (let->values->len > 1 && is_choice_of (self, let, parts))
      json_object_set_string_member (run->choices, let->name, get_value (self, let));
  }
  study_run_add_choices (parts, run->choices);
  if (self->study->n_repeats > 1)
    json_object_set_int_member (run->choices, "repeat", self->repeat);
  study_run_last_stage (self->names, items, &run->n_stages);
  run->codecs = study_run_codecs (self->names, items);
  return run;
}

static guint
look_up (GHashTable *table, const char *text)
{
  return GPOINTER_TO_UINT (g_hash_table_lookup (table, text));
}

/* What was there as a prefix may turn out to be a run that the text stands for: then it takes over what @as is. Returns its index, plus 1;
 * 0: there is none. */
static guint
find_run (Build *self, AfpStudyRun *as, const char *measure, gboolean added)
{
  guint known = added ? 0 : look_up (self->by_text, as->pipeline);

  if (known > 0)
    return known;
  known = look_up (self->by_measure, measure);
  AfpStudyRun *run = known > 0 ? self->study->runs->pdata[known - 1] : NULL;
  if (!run || added)
    return known;
  if (!run->added)
    return 0;
  AfpStudyRun old = *run;
  run->added = FALSE;
  run->pipeline = g_steal_pointer (&as->pipeline);
  run->choices = as->choices;
  as->pipeline = old.pipeline;
  as->choices = old.choices;
  g_hash_table_insert (self->by_text, g_strdup (run->pipeline), GUINT_TO_POINTER (known));
  return known;
}

/* Its prefixes first, without what they would write. @run is taken over. Returns its index, -1 on error. */
static int
add_run (Build *self, const GArray *items, AfpStudyRun *run, gboolean added, GError **error)
{
  GPtrArray *runs = self->study->runs;
  g_autofree char *measure = study_run_text (self->names, items, self->repeat, FALSE);
  const guint known = find_run (self, run, measure, added);
  guint n_stages;

  if (known > 0) {
    run_free (run);
    return (int) known - 1;
  }
  const int last = study_run_last_stage (self->names, items, &n_stages);
  if (last >= 0) {
    g_autoptr (GArray) rest = study_run_without (self->names, items, (guint) last);
    run->prefix = add_run (self, rest, make_run (self, rest, TRUE), TRUE, error);
  }
  if (last >= 0 && run->prefix < 0) {
    run_free (run);
    return -1;
  }
  run->added = added;
  if (runs->len == AFP_STUDY_MAX_RUNS) {
    run_free (run);
    fail_too_many (AFP_STUDY_MAX_RUNS + 1, error);
    return -1;
  }
  g_ptr_array_add (runs, run);
  if (!added)
    g_hash_table_insert (self->by_text, g_strdup (run->pipeline), GUINT_TO_POINTER (runs->len));
  if (look_up (self->by_measure, measure) == 0)
    g_hash_table_insert (self->by_measure, g_steal_pointer (&measure),
                         GUINT_TO_POINTER (runs->len));
  return (int) runs->len - 1;
}

typedef struct {
  Build *build;
  guint run;
  const char *file; /* (nullable): another run writes it, too */
  guint other;
  gsize column;
} OutputCheck;

static void
check_output (const char *file, const AfpAstNode *node, gpointer user_data)
{
  OutputCheck *check = user_data;
  const guint other = look_up (check->build->written, file);

  if (other == 0) {
    g_hash_table_insert (check->build->written, g_strdup (file), GUINT_TO_POINTER (check->run + 1));
  } else if (other != check->run + 1) {
    check->file = file;
    check->other = other - 1;
    check->column = node->column;
  }
}

/* No run may write over what another has written. */
static gboolean
check_outputs (Build *self, const GArray *items, guint run, GError **error)
{
  OutputCheck check = { .build = self, .run = run };

  study_run_foreach_output (self->names, items, check_output, &check);
  if (!check.file)
    return TRUE;
  GError *local =
      g_error_new (AFP_ERROR, AFP_ERROR_USAGE,
                   "runs %u and %u both write '%s': put what they differ in into the name, as in "
                   "let r = {2,3} ... location=m-${r}.h5, or end the study with null",
                   check.other, run, check.file);
  afp_error_add_caret (local, self->study->text, check.column);
  g_propagate_error (error, local);
  return FALSE;
}

static gboolean
emit_run (const GArray *items, gpointer user_data, GError **error)
{
  Build *self = user_data;
  AfpStudyRun *run = make_run (self, items, FALSE);
  gboolean wanted;

  note_names (self->study, run->choices);
  if (study_where_choices (self->tree, self->lets, run, &wanted, error) && wanted) {
    const int index = add_run (self, items, run, FALSE, error);
    return index >= 0 && check_outputs (self, items, (guint) index, error);
  }
  run_free (run);
  self->study->n_excluded++;
  return !(error && *error);
}

static gboolean
expand_tree (Build *self, const AfpAstStudy *tree, GError **error)
{
  g_autoptr (GHashTable) lets = g_hash_table_new (g_str_hash, g_str_equal);

  for (guint i = 0; i < tree->lets->len; i++) {
    const AfpAstLet *let = tree->lets->pdata[i];
    g_hash_table_insert (lets, let->name, (gpointer) get_value (self, let));
  }
  self->tree = tree;
  self->lets = lets;
  return study_names_set_tree (self->names, tree->ast, error) &&
         study_expand (tree->ast, emit_run, self, error);
}

/* Names of conditions are looked at last: only then all choices are known. */
static gboolean
check_conditions (Build *self, GError **error)
{
  g_autoptr (AfpAstStudy) tree = afp_parse_study (self->study->text, self->variables, NULL, error);
  g_autoptr (GHashTable) lets = g_hash_table_new (g_str_hash, g_str_equal);

  if (!tree)
    return FALSE;
  for (guint i = 0; i < tree->lets->len; i++) {
    const AfpAstLet *let = tree->lets->pdata[i];
    g_hash_table_insert (lets, let->name, let->values->pdata[0]);
  }
  return study_where_results (tree, lets, self->study, error);
}

static gboolean
build (Build *self, GError **error)
{
  if (!for_each_tree (self, 0, count_tree, error))
    return FALSE;
  for (self->repeat = 0; self->repeat < self->study->n_repeats; self->repeat++)
    if (!for_each_tree (self, 0, expand_tree, error))
      return FALSE;
  if (!check_conditions (self, error))
    return FALSE;
  if (self->study->runs->len > 0)
    return TRUE;
  g_set_error (error, AFP_ERROR, AFP_ERROR_USAGE,
               "the conditions leave none of the study's %" G_GUINT64_FORMAT " runs", self->total);
  return FALSE;
}

AfpStudy *
afp_study_new (const char *text, GHashTable *variables, GError **error)
{
  g_autoptr (AfpStudy) study = g_new0 (AfpStudy, 1);
  g_autoptr (GHashTable) chosen = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  g_autoptr (GHashTable) by_text = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  g_autoptr (GHashTable) by_measure = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  g_autoptr (GHashTable) written = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  g_autoptr (StudyNames) names = study_names_new ();
  g_autoptr (GError) local = NULL;
  Build self = { .study = study,
                 .variables = variables,
                 .chosen = chosen,
                 .names = names,
                 .by_text = by_text,
                 .by_measure = by_measure,
                 .written = written };

  if (strlen (text) > MAX_TEXT) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_USAGE,
                 "the text of the study has %" G_GSIZE_FORMAT " bytes, the limit is %d",
                 strlen (text), MAX_TEXT);
    return NULL;
  }
  study->text = g_strdup (text);
  study->runs = g_ptr_array_new_with_free_func ((GDestroyNotify) run_free);
  study->names = g_ptr_array_new_with_free_func (g_free);
  if (build (&self, &local))
    return g_steal_pointer (&study);
  g_propagate_error (error, g_steal_pointer (&local));
  return NULL;
}

void
afp_study_free (AfpStudy *study)
{
  if (!study)
    return;
  g_free (study->text);
  g_clear_pointer (&study->runs, g_ptr_array_unref);
  g_clear_pointer (&study->names, g_ptr_array_unref);
  g_clear_pointer (&study->conditions, g_ptr_array_unref);
  g_free (study);
}
