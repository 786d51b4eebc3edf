/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afpipe.h"

/* Which neighbours byte pair encoding merges: (left, right) -> rank, merged token. */
typedef struct _AfpMergeTable AfpMergeTable;

/* @n: pairs that will be added, at most. */
AfpMergeTable *afp_merge_table_new (guint n);
void afp_merge_table_free (AfpMergeTable *table);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (AfpMergeTable, afp_merge_table_free)

/* A pair that is added again gets the later rank. */
void afp_merge_table_add (AfpMergeTable *table, guint32 left, guint32 right, guint32 rank,
                          guint32 merged);
gboolean afp_merge_table_find (const AfpMergeTable *table, guint32 left, guint32 right,
                               guint32 *rank, guint32 *merged);
