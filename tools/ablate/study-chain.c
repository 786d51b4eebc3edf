/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "study-private.h"

#include <string.h>

/* What one run is called, and what it is as a text. */

#define SEED "seed"
#define OUTPUT "location"

/* An element, as far as studies are concerned. */
typedef struct {
  gboolean compresses;
  gboolean is_sink;
  gboolean ends;   /* what counts for the chain's name stands before it */
  gboolean silent; /* no part of the name */
  gboolean has_seed;
  guint64 seed; /* by default */
} Kind;

struct _StudyNames {
  GHashTable *kinds; /* element name -> Kind */
  GHashTable *tried; /* texts of nodes that were built */
  GHashTable *shown; /* AfpAstProperty: those in which the nodes of an element differ */
  const AfpAst *ast;
};

StudyNames *
study_names_new (void)
{
  StudyNames *names = g_new0 (StudyNames, 1);

  names->kinds = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  names->tried = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  names->shown = g_hash_table_new (NULL, NULL);
  return names;
}

void
study_names_free (StudyNames *names)
{
  if (!names)
    return;
  g_hash_table_unref (names->kinds);
  g_hash_table_unref (names->tried);
  g_hash_table_unref (names->shown);
  g_free (names);
}

static const AfpAstProperty *
find_property (const AfpAstNode *node, const char *name)
{
  for (guint i = 0; i < node->properties->len; i++) {
    const AfpAstProperty *property = node->properties->pdata[i];
    if (strcmp (property->name, name) == 0)
      return property;
  }
  return NULL;
}

static const char *
picked_value (const StudyItem *item, guint index)
{
  const AfpAstProperty *property = item->node->properties->pdata[index];

  return property->values ? property->values->pdata[item->picks[index]] : property->value;
}

/* --- nodes with one value for each property ----------------------------------------------------------------------- */

typedef struct {
  AfpAstNode node;
  AfpAstProperty *properties;
} Picked;

/* A copy that borrows all texts. @seed: (nullable): the value of one more property */
static Picked *
picked_new (const StudyItem *item, char *seed)
{
  const guint n = item->node->properties->len;
  Picked *picked = g_new0 (Picked, 1);

  picked->node = *item->node;
  picked->node.properties = g_ptr_array_new ();
  picked->properties = g_new0 (AfpAstProperty, n + 1);
  for (guint i = 0; i < n; i++) {
    picked->properties[i] = *(const AfpAstProperty *) item->node->properties->pdata[i];
    picked->properties[i].value = (char *) picked_value (item, i);
    picked->properties[i].values = NULL;
    g_ptr_array_add (picked->node.properties, &picked->properties[i]);
  }
  if (seed) {
    picked->properties[n] = (AfpAstProperty){ .name = (char *) SEED, .value = seed };
    g_ptr_array_add (picked->node.properties, &picked->properties[n]);
  }
  return picked;
}

static void
picked_free (Picked *picked)
{
  g_ptr_array_unref (picked->node.properties);
  g_free (picked->properties);
  g_free (picked);
}

/* --- the tree ----------------------------------------------------------------------------------------------------- */

static void
note_kind (StudyNames *names, const char *name, AfpElement *element)
{
  const AfpProperty *seed = afp_element_class_find_property (AFP_ELEMENT_GET_CLASS (element), SEED);
  Kind *kind = g_new0 (Kind, 1);

  kind->compresses = AFP_IS_CODEC (element) || AFP_IS_PACKER (element);
  kind->is_sink = AFP_IS_SINK (element);
  kind->ends = kind->is_sink || strcmp (name, "eval") == 0;
  kind->silent =
      AFP_IS_SOURCE (element) || !AFP_IS_TRANSFORM (element) || strcmp (name, "identity") == 0;
  kind->has_seed = seed != NULL && strcmp (seed->name, SEED) == 0;
  kind->seed = seed && seed->def ? g_ascii_strtoull (seed->def, NULL, 10) : 0;
  g_hash_table_insert (names->kinds, g_strdup (name), kind);
}

/* Does the element exist, and does it take these values? */
static gboolean
try_node (StudyNames *names, const AfpAst *ast, const AfpAstNode *node, const guint *picks,
          GError **error)
{
  const StudyItem item = { node, picks };
  Picked *picked = picked_new (&item, NULL);
  GPtrArray nodes = { (gpointer[]){ &picked->node }, 1 };
  AfpAstChain chain = { &nodes };
  GPtrArray chains = { (gpointer[]){ &chain }, 1 };
  g_autofree char *text = afp_ast_to_string (&(AfpAst){ .chains = &chains });
  gboolean ok = TRUE;

  if (!g_hash_table_contains (names->tried, text)) {
    g_autoptr (AfpElement) element = afp_pipeline_make_element (ast, &picked->node, error);
    ok = element != NULL;
    if (ok && !g_hash_table_contains (names->kinds, node->name))
      note_kind (names, node->name, element);
    g_hash_table_add (names->tried, g_steal_pointer (&text));
  }
  picked_free (picked);
  return ok;
}

/* Each value by itself, beside the first ones of the others. */
static gboolean
try_values (StudyNames *names, const AfpAst *ast, const AfpAstNode *node, GError **error)
{
  g_autofree guint *picks = g_new0 (guint, node->properties->len + 1);

  if (!try_node (names, ast, node, picks, error))
    return FALSE;
  for (guint i = 0; i < node->properties->len; i++) {
    const AfpAstProperty *property = node->properties->pdata[i];
    for (picks[i] = 1; property->values && picks[i] < property->values->len; picks[i]++)
      if (!try_node (names, ast, node, picks, error))
        return FALSE;
    picks[i] = 0;
  }
  return TRUE;
}

/* As typed, so that a variable has one name for all its values. */
static gboolean
is_typed_alike (const AfpAst *ast, const AfpAstProperty *a, const AfpAstProperty *b)
{
  const gsize length = a->value_end - a->value_column;

  return length == b->value_end - b->value_column &&
         memcmp (ast->text + a->value_column, ast->text + b->value_column, length) == 0;
}

static void
note_differences (StudyNames *names, const AfpAst *ast, const AfpAstNode *node,
                  const AfpAstNode *other)
{
  for (guint i = 0; i < node->properties->len; i++) {
    const AfpAstProperty *mine = node->properties->pdata[i],
                         *theirs = find_property (other, mine->name);
    if (strcmp (mine->name, "name") != 0 && (!theirs || !is_typed_alike (ast, mine, theirs)))
      g_hash_table_add (names->shown, (gpointer) mine);
  }
}

gboolean
study_names_set_tree (StudyNames *names, const AfpAst *ast, GError **error)
{
  g_autoptr (GPtrArray) nodes = study_list_nodes (ast);

  g_hash_table_remove_all (names->shown);
  names->ast = ast;
  for (guint i = 0; i < nodes->len; i++) {
    const AfpAstNode *node = nodes->pdata[i];
    if (!try_values (names, ast, node, error))
      return FALSE;
    for (guint j = 0; j < nodes->len; j++) {
      const AfpAstNode *other = nodes->pdata[j];
      if (strcmp (node->name, other->name) == 0)
        note_differences (names, ast, node, other);
    }
  }
  return TRUE;
}

/* --- a run -------------------------------------------------------------------------------------------------------- */

static const Kind *
find_kind (StudyNames *names, const StudyItem *item)
{
  if (!item->node || item->node->type != AFP_AST_ELEMENT)
    return NULL;
  return g_hash_table_lookup (names->kinds, item->node->name);
}

/* (nullable): the seed that a repeat gives to an element */
static char *
make_seed (StudyNames *names, const StudyItem *item, guint step)
{
  const Kind *kind = find_kind (names, item);

  if (step == 0 || !kind || !kind->has_seed || find_property (item->node, SEED))
    return NULL;
  return g_strdup_printf ("%" G_GUINT64_FORMAT, kind->seed + step);
}

/* A sink that writes a file: (nullable): where to. */
static const char *
find_output (StudyNames *names, const StudyItem *item)
{
  const Kind *kind = find_kind (names, item);

  for (guint i = 0; kind && kind->is_sink && i < item->node->properties->len; i++)
    if (strcmp (((AfpAstProperty *) item->node->properties->pdata[i])->name, OUTPUT) == 0)
      return picked_value (item, i);
  return NULL;
}

void
study_run_foreach_output (StudyNames *names, const GArray *items, StudyOutput func,
                          gpointer user_data)
{
  for (guint i = 0; i < items->len; i++) {
    const StudyItem *item = &g_array_index (items, StudyItem, i);
    const char *file = find_output (names, item);
    if (file)
      func (file, item->node, user_data);
  }
}

GArray *
study_run_parts (StudyNames *names, const GArray *items, gboolean with_outputs)
{
  GArray *parts = g_array_new (FALSE, FALSE, sizeof (StudyItem));

  for (guint i = 0; i < items->len; i++) {
    const StudyItem *item = &g_array_index (items, StudyItem, i);
    if (with_outputs || !find_output (names, item))
      g_array_append_val (parts, *item);
  }
  return parts;
}

char *
study_run_text (StudyNames *names, const GArray *items, guint seed_step, gboolean with_outputs)
{
  g_autoptr (GPtrArray) chains = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GPtrArray) lists = g_ptr_array_new_with_free_func ((GDestroyNotify) g_ptr_array_unref);
  g_autoptr (GPtrArray) picked = g_ptr_array_new_with_free_func ((GDestroyNotify) picked_free);
  g_autoptr (GPtrArray) seeds = g_ptr_array_new_with_free_func (g_free);
  GPtrArray *list = NULL;

  for (guint i = 0; i < items->len; i++) {
    const StudyItem *item = &g_array_index (items, StudyItem, i);
    if (!item->node) {
      list = NULL;
      continue;
    }
    if (!list) {
      list = g_ptr_array_new ();
      g_ptr_array_add (lists, list);
      AfpAstChain *chain = g_new0 (AfpAstChain, 1);
      chain->nodes = list;
      g_ptr_array_add (chains, chain);
    }
    char *seed = make_seed (names, item, seed_step);
    if (seed)
      g_ptr_array_add (seeds, seed);
    Picked *copy = picked_new (item, seed);
    if (!with_outputs && find_output (names, item)) {
      copy->node.name = (char *) "null";
      g_ptr_array_set_size (copy->node.properties, 0);
    }
    g_ptr_array_add (picked, copy);
    g_ptr_array_add (list, &copy->node);
  }
  return afp_ast_to_string (&(AfpAst){ .chains = chains });
}

static void
append_properties (StudyNames *names, GString *out, const StudyItem *item)
{
  for (guint i = 0; i < item->node->properties->len; i++) {
    const AfpAstProperty *property = item->node->properties->pdata[i];
    if (property->values)
      g_string_append_printf (out, " %s=%s", property->name, picked_value (item, i));
    else if (g_hash_table_contains (names->shown, property))
      g_string_append_printf (out, " %s=%.*s", property->name,
                              (int) (property->value_end - property->value_column),
                              names->ast->text + property->value_column);
  }
}

/* Items of the main chain, before what judges or ends it. */
static guint
count_main (StudyNames *names, const GArray *items)
{
  guint n = 0;

  for (; n < items->len; n++) {
    const StudyItem *item = &g_array_index (items, StudyItem, n);
    const Kind *kind = find_kind (names, item);
    if (!item->node || (kind && kind->ends))
      break;
  }
  return n;
}

static void
append_name (GString *out, const StudyItem *item)
{
  g_string_append_printf (out, "%s%s", out->len ? " ! " : "", item->node->name);
}

char *
study_run_chain (StudyNames *names, const GArray *items)
{
  GString *out = g_string_new (NULL);
  const guint n = count_main (names, items);

  for (guint i = 0; i < n; i++) {
    const StudyItem *item = &g_array_index (items, StudyItem, i);
    const Kind *kind = find_kind (names, item);
    if (!kind || kind->silent)
      continue;
    append_name (out, item);
    append_properties (names, out, item);
  }
  return g_string_free (out, FALSE);
}

static gboolean
compresses (StudyNames *names, const StudyItem *item)
{
  const Kind *kind = find_kind (names, item);

  return kind && kind->compresses;
}

char *
study_run_codecs (StudyNames *names, const GArray *items)
{
  GString *out = g_string_new (NULL);
  const guint n = count_main (names, items);

  for (guint i = 0; i < n; i++)
    if (compresses (names, &g_array_index (items, StudyItem, i)))
      append_name (out, &g_array_index (items, StudyItem, i));
  return g_string_free (out, FALSE);
}

static gboolean
has_branches (const GArray *items)
{
  for (guint i = 0; i + 1 < items->len; i++)
    if (!g_array_index (items, StudyItem, i).node)
      return TRUE;
  return FALSE;
}

int
study_run_last_stage (StudyNames *names, const GArray *items, guint *n_stages)
{
  const guint n = count_main (names, items);
  int last = -1;

  *n_stages = 0;
  for (guint i = 0; i < n; i++)
    if (compresses (names, &g_array_index (items, StudyItem, i))) {
      last = (int) i;
      ++*n_stages;
    }
  return has_branches (items) ? -1 : last;
}

static gboolean
is_called (const GArray *items, guint index, const char *name)
{
  const AfpAstNode *node = g_array_index (items, StudyItem, index).node;

  return node && node->type == AFP_AST_ELEMENT && strcmp (node->name, name) == 0;
}

GArray *
study_run_without (StudyNames *names, const GArray *items, guint index)
{
  GArray *rest = g_array_new (FALSE, FALSE, sizeof (StudyItem));
  guint n_stages;

  g_array_append_vals (rest, items->data, items->len);
  g_array_remove_index (rest, index);
  while (index > 0 && is_called (rest, index - 1, "decode"))
    g_array_remove_index (rest, --index);
  study_run_last_stage (names, rest, &n_stages);
  for (; n_stages == 0 && index > 0; index--)
    if (is_called (rest, index - 1, "calibrate"))
      g_array_remove_index (rest, index - 1);
  return rest;
}

/* --- choices ------------------------------------------------------------------------------------------------------ */

typedef struct {
  gsize column;
  const char *owner, *property, *value;
} Choice;

static int
compare_choices (gconstpointer a, gconstpointer b)
{
  const Choice *x = a, *y = b;

  return x->column < y->column ? -1 : x->column > y->column;
}

void
study_run_add_choices (const GArray *items, JsonObject *choices)
{
  g_autoptr (GArray) found = g_array_new (FALSE, FALSE, sizeof (Choice));

  for (guint i = 0; i < items->len; i++) {
    const StudyItem *item = &g_array_index (items, StudyItem, i);
    for (guint p = 0; item->node && p < item->node->properties->len; p++) {
      const AfpAstProperty *property = item->node->properties->pdata[p];
      const AfpAstProperty *name = find_property (item->node, "name");
      const Choice choice = { property->value_column, name ? name->value : item->node->name,
                              property->name, picked_value (item, p) };
      if (property->values)
        g_array_append_val (found, choice);
    }
  }
  g_array_sort (found, compare_choices);
  for (guint i = 0; i < found->len; i++) {
    const Choice *choice = &g_array_index (found, Choice, i);
    g_autofree char *name = g_strdup_printf ("%s.%s", choice->owner, choice->property);
    for (guint n = 2; json_object_has_member (choices, name); n++) {
      g_free (name);
      name = g_strdup_printf ("%s%u.%s", choice->owner, n, choice->property);
    }
    json_object_set_string_member (choices, name, choice->value);
  }
}
