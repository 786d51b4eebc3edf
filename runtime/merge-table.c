/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "merge-table.h"

typedef struct {
  guint64 pair;
  guint32 rank;
  guint32 merged; /* + 1; 0: free */
} Slot;

struct _AfpMergeTable {
  Slot *slots; /* open addressing */
  gsize mask;
};

AfpMergeTable *
afp_merge_table_new (guint n)
{
  AfpMergeTable *self = g_new0 (AfpMergeTable, 1);

  self->mask = 15;
  while (self->mask < 2 * (gsize) n)
    self->mask = 2 * self->mask + 1;
  self->slots = g_new0 (Slot, self->mask + 1);
  return self;
}

void
afp_merge_table_free (AfpMergeTable *table)
{
  g_free (table->slots);
  g_free (table);
}

/* The slot of the pair, or the free one where it belongs. */
static Slot *
find_slot (const AfpMergeTable *self, guint64 pair)
{
  gsize at = (gsize) (pair * G_GUINT64_CONSTANT (0x9e3779b97f4a7c15) >> 32) & self->mask;

  while (self->slots[at].merged != 0 && self->slots[at].pair != pair)
    at = (at + 1) & self->mask;
  return &self->slots[at];
}

void
afp_merge_table_add (AfpMergeTable *table, guint32 left, guint32 right, guint32 rank,
                     guint32 merged)
{
  const guint64 pair = (guint64) left << 32 | right;

  *find_slot (table, pair) = (Slot){ pair, rank, merged + 1 };
}

gboolean
afp_merge_table_find (const AfpMergeTable *table, guint32 left, guint32 right, guint32 *rank,
                      guint32 *merged)
{
  const Slot *slot = find_slot (table, (guint64) left << 32 | right);

  if (slot->merged == 0)
    return FALSE;
  *rank = slot->rank;
  *merged = slot->merged - 1;
  return TRUE;
}
