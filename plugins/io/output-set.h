/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "io-output.h"

/*
 * AfpOutputSet: files that belong together. All are written under temporary names and get their names one after the other when
 * all are on the disk; the last one, which names the others, comes last. If one fails, those that have their names already are
 * removed. Where an earlier set is replaced, its last one goes first: a set that is killed halfway is none, never a mixture.
 */
typedef struct _AfpOutputSet AfpOutputSet;

AfpOutputSet *afp_output_set_new (gboolean overwrite);
AfpOutput *
afp_output_set_add (AfpOutputSet *set, const char *location, GError **error); /* (transfer none) */
gboolean afp_output_set_sync (AfpOutputSet *set, GError **error);
/* @stale: (nullable) (element-type utf8): files that are removed when all is well; locations of the set are left alone */
gboolean afp_output_set_publish (AfpOutputSet *set, const GPtrArray *stale, guint64 *file_bytes,
                                 GError **error);
void afp_output_set_free (AfpOutputSet *set);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (AfpOutputSet, afp_output_set_free)
