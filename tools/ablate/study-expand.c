/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "study-private.h"

/* --- how many ----------------------------------------------------------------------------------------------------- */

static guint64
times (guint64 a, guint64 b)
{
  guint64 product;

  return g_uint64_checked_mul (&product, a, b) ? product : G_MAXUINT64;
}

static guint64
plus (guint64 a, guint64 b)
{
  return a > G_MAXUINT64 - b ? G_MAXUINT64 : a + b;
}

static guint64 count_chain (const AfpAstChain *chain);

/* sums[k]: over all sets of k parts, the product of what the parts stand for. */
static guint64 *
count_sets (const GPtrArray *parts)
{
  guint64 *sums = g_new0 (guint64, parts->len + 1);

  sums[0] = 1;
  for (guint i = 0; i < parts->len; i++) {
    const guint64 n = count_chain (parts->pdata[i]);
    for (guint k = i + 1; k > 0; k--)
      sums[k] = plus (sums[k], times (sums[k - 1], n));
  }
  return sums;
}

/* The fewest and the most parts that a choice takes. */
static void
get_sizes (const AfpAstNode *node, guint *least, guint *most)
{
  *least = node->type == AFP_AST_SUBSETS ? 0 : node->type == AFP_AST_EITHER ? 1 : node->parts->len;
  *most = node->type == AFP_AST_EITHER ? 1 : node->parts->len;
}

static guint64
count_node (const AfpAstNode *node)
{
  guint64 n = 1;

  if (node->parts) {
    g_autofree guint64 *sums = count_sets (node->parts);
    guint64 orders = 1, all = 0;
    guint least, most;
    get_sizes (node, &least, &most);
    for (guint k = 0; k <= most; k++, orders = times (orders, k))
      all = k < least ? all : plus (all, times (orders, sums[k]));
    return all;
  }
  for (guint i = 0; i < node->properties->len; i++) {
    const AfpAstProperty *property = node->properties->pdata[i];
    n = property->values ? times (n, property->values->len) : n;
  }
  return n;
}

static guint64
count_chain (const AfpAstChain *chain)
{
  guint64 n = 1;

  for (guint i = 0; i < chain->nodes->len; i++)
    n = times (n, count_node (chain->nodes->pdata[i]));
  return n;
}

guint64
study_count (const AfpAst *ast)
{
  guint64 n = 1;

  for (guint i = 0; i < ast->chains->len; i++)
    n = times (n, count_chain (ast->chains->pdata[i]));
  return n;
}

static void
list_nodes (const GPtrArray *chains, GPtrArray *nodes)
{
  for (guint c = 0; c < chains->len; c++) {
    const AfpAstChain *chain = chains->pdata[c];
    for (guint i = 0; i < chain->nodes->len; i++) {
      AfpAstNode *node = chain->nodes->pdata[i];
      if (node->parts)
        list_nodes (node->parts, nodes);
      else if (node->type == AFP_AST_ELEMENT)
        g_ptr_array_add (nodes, node);
    }
  }
}

GPtrArray *
study_list_nodes (const AfpAst *ast)
{
  GPtrArray *nodes = g_ptr_array_new ();

  list_nodes (ast->chains, nodes);
  return nodes;
}

/* --- all of them -------------------------------------------------------------------------------------------------- */

/* What of the text is still to come: the rest of a list of nodes, and what follows it. */
typedef struct _Rest Rest;
struct _Rest {
  const GPtrArray *nodes;
  guint at;
  gboolean ends_chain;
  const Rest *next;
};

typedef struct {
  GArray *items; /* StudyItem */
  StudyEmit emit;
  gpointer user_data;
  GError **error;
} Walk;

static gboolean walk (Walk *self, const Rest *rest);

static gboolean
walk_item (Walk *self, const AfpAstNode *node, const guint *picks, const Rest *rest)
{
  const StudyItem item = { node, picks };

  g_array_append_val (self->items, item);
  const gboolean ok = walk (self, rest);
  g_array_set_size (self->items, self->items->len - 1);
  return ok;
}

/* Every combination of the values of its properties, the last one fastest. */
static gboolean
walk_element (Walk *self, const AfpAstNode *node, const Rest *rest)
{
  const guint n = node->properties->len;
  g_autofree guint *picks = g_new0 (guint, n + 1);
  guint i;

  do {
    if (!walk_item (self, node, picks, rest))
      return FALSE;
    for (i = n; i > 0; i--) {
      const AfpAstProperty *property = node->properties->pdata[i - 1];
      if (property->values && ++picks[i - 1] < property->values->len)
        break;
      picks[i - 1] = 0;
    }
  } while (i > 0);
  return TRUE;
}

/* The parts of one order, one behind the other. */
static gboolean
walk_order (Walk *self, const AfpAstNode *node, const guint *order, guint n, const Rest *rest)
{
  g_autofree Rest *parts = g_new0 (Rest, n + 1);

  for (guint i = 0; i < n; i++) {
    const AfpAstChain *chain = node->parts->pdata[order[i]];
    parts[i] = (Rest){ .nodes = chain->nodes, .next = i + 1 < n ? &parts[i + 1] : rest };
  }
  return walk (self, n > 0 ? parts : rest);
}

static gboolean
is_in (const guint *order, guint n, guint part)
{
  for (guint i = 0; i < n; i++)
    if (order[i] == part)
      return TRUE;
  return FALSE;
}

/* Every order of @want parts, of which @n are chosen. */
static gboolean
walk_orders (Walk *self, const AfpAstNode *node, guint *order, guint n, guint want,
             const Rest *rest)
{
  if (n == want)
    return walk_order (self, node, order, n, rest);
  for (guint i = 0; i < node->parts->len; i++) {
    if (is_in (order, n, i))
      continue;
    order[n] = i;
    if (!walk_orders (self, node, order, n + 1, want, rest))
      return FALSE;
  }
  return TRUE;
}

static gboolean
walk_choice (Walk *self, const AfpAstNode *node, const Rest *rest)
{
  g_autofree guint *order = g_new0 (guint, node->parts->len);
  guint least, most;

  get_sizes (node, &least, &most);
  for (guint k = least; k <= most; k++)
    if (!walk_orders (self, node, order, 0, k, rest))
      return FALSE;
  return TRUE;
}

static gboolean
walk (Walk *self, const Rest *rest)
{
  if (!rest)
    return self->emit (self->items, self->user_data, self->error);
  if (rest->at == rest->nodes->len)
    return rest->ends_chain ? walk_item (self, NULL, NULL, rest->next) : walk (self, rest->next);
  const AfpAstNode *node = rest->nodes->pdata[rest->at];
  const Rest behind = { rest->nodes, rest->at + 1, rest->ends_chain, rest->next };
  return node->parts ? walk_choice (self, node, &behind) : walk_element (self, node, &behind);
}

gboolean
study_expand (const AfpAst *ast, StudyEmit emit, gpointer user_data, GError **error)
{
  g_autoptr (GArray) items = g_array_new (FALSE, FALSE, sizeof (StudyItem));
  g_autofree Rest *chains = g_new0 (Rest, ast->chains->len + 1);
  Walk self = { items, emit, user_data, error };

  for (guint i = 0; i < ast->chains->len; i++) {
    const AfpAstChain *chain = ast->chains->pdata[i];
    chains[i] = (Rest){ .nodes = chain->nodes,
                        .ends_chain = TRUE,
                        .next = i + 1 < ast->chains->len ? &chains[i + 1] : NULL };
  }
  return walk (&self, chains);
}
