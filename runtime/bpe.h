/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afpipe.h"

/*
 * The merging of byte pair encoding (Sennrich et al. 2016): of all neighbours that may be merged, the pair with the least rank is,
 * the leftmost of equals, until there is none. O(n log n).
 */

/* Rank and id of the merged pair (left, right); FALSE: it cannot be merged. */
typedef gboolean (*AfpBpeFind) (gpointer user_data, guint32 left, guint32 right, double *rank,
                                guint32 *merged);

/* Merges @ids in place; returns how many are left. */
gsize afp_bpe_merge (guint32 *ids, gsize n, AfpBpeFind find, gpointer user_data);
