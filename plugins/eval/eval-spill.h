/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afpipe.h"

/*
 * EvalSpill: a temporary file for what does not fit into memory. It has no name: nothing is left of it, however the program ends.
 * Of one thread at a time.
 */
typedef struct _EvalSpill EvalSpill;

typedef struct {
  guint64 offset, size;
} EvalPlace;

/* Where large temporary files go: the environment's TMPDIR, or /var/tmp. */
const char *eval_temporary_folder (void);

EvalSpill *eval_spill_new (GError **error);
void eval_spill_free (EvalSpill *spill);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (EvalSpill, eval_spill_free)

/* At the end, at a multiple of 64 bytes. @place: (out) */
gboolean
eval_spill_append (EvalSpill *spill, gconstpointer data, gsize n, EvalPlace *place, GError **error);
/* Or at a place beyond the end. */
gboolean
eval_spill_replace (EvalSpill *spill, const EvalPlace *place, gconstpointer data, GError **error);
gboolean eval_spill_read (EvalSpill *spill, const EvalPlace *place, gpointer data, GError **error);
/* The same bytes, mapped. (transfer full) */
GBytes *eval_spill_map (EvalSpill *spill, const EvalPlace *place, GError **error);
guint64 eval_spill_get_size (const EvalSpill *spill);
