/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bpe.h"

#define NONE G_MAXSIZE

/* A pair as it was when it was found; stale if one of its sides has changed since. */
typedef struct {
  double rank;
  gsize at; /* of the left side */
  guint32 left, right, merged;
} Pair;

typedef struct {
  guint32 *ids;
  gsize *next, *previous; /* living neighbours */
  gboolean *dead;
  Pair *heap; /* the least rank on top, the leftmost of equals */
  gsize n_heap;
  AfpBpeFind find;
  gpointer user_data;
} Merger;

static gboolean
is_before (const Pair *a, const Pair *b)
{
  return a->rank < b->rank || (!(b->rank < a->rank) && a->at < b->at);
}

static void
push (Merger *self, Pair pair)
{
  gsize i = self->n_heap++;

  for (; i > 0 && is_before (&pair, &self->heap[(i - 1) / 2]); i = (i - 1) / 2)
    self->heap[i] = self->heap[(i - 1) / 2];
  self->heap[i] = pair;
}

static Pair
pop (Merger *self)
{
  const Pair top = self->heap[0], last = self->heap[--self->n_heap];
  gsize i = 0;

  for (gsize child; (child = 2 * i + 1) < self->n_heap; i = child) {
    if (child + 1 < self->n_heap && is_before (&self->heap[child + 1], &self->heap[child]))
      child++;
    if (!is_before (&self->heap[child], &last))
      break;
    self->heap[i] = self->heap[child];
  }
  self->heap[i] = last;
  return top;
}

static void
look_at (Merger *self, gsize at)
{
  const gsize next = at == NONE ? NONE : self->next[at];
  Pair pair;

  if (next == NONE)
    return;
  pair.at = at;
  pair.left = self->ids[at];
  pair.right = self->ids[next];
  if (self->find (self->user_data, pair.left, pair.right, &pair.rank, &pair.merged))
    push (self, pair);
}

static void
merge (Merger *self, const Pair *pair)
{
  const gsize at = pair->at, gone = self->next[at];

  self->ids[at] = pair->merged;
  self->dead[gone] = TRUE;
  self->next[at] = self->next[gone];
  if (self->next[at] != NONE)
    self->previous[self->next[at]] = at;
  look_at (self, self->previous[at]);
  look_at (self, at);
}

gsize
afp_bpe_merge (guint32 *ids, gsize n, AfpBpeFind find, gpointer user_data)
{
  gsize left = 0;

  if (n < 2)
    return n;
  /* Each merge takes one symbol away and adds two pairs at most. */
  g_autofree Pair *heap = g_new (Pair, 3 * n);
  g_autofree gsize *next = g_new (gsize, n), *previous = g_new (gsize, n);
  g_autofree gboolean *dead = g_new0 (gboolean, n);
  Merger self = { ids, next, previous, dead, heap, 0, find, user_data };

  for (gsize i = 0; i < n; i++) {
    next[i] = i + 1 < n ? i + 1 : NONE;
    previous[i] = i > 0 ? i - 1 : NONE;
  }
  for (gsize i = 0; i < n; i++)
    look_at (&self, i);
  while (self.n_heap > 0) {
    const Pair pair = pop (&self);
    const gsize gone = dead[pair.at] ? NONE : next[pair.at];
    if (gone != NONE && ids[pair.at] == pair.left && ids[gone] == pair.right)
      merge (&self, &pair);
  }
  for (gsize i = 0; i < n; i++)
    if (!dead[i])
      ids[left++] = ids[i];
  return left;
}
