/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afp-codec-private.h"
#include "afp-store.h"

#include <json-glib/json-glib.h>

/* Not installed, but tests call it. */
#pragma GCC visibility push(default)

/*
 * AfpMemo: what came of an execution, the encoding of one plane by one stage, is kept in a store, and found again by all that it depends
 * on: the claim with the answers to its queries, the numbers of the plane, metric, moments, what was fitted before, the name that seeds
 * random choices, the code and the machine.
 */
typedef struct _AfpMemo AfpMemo;

/**
 * AfpExecution:
 * @claim: who codes the plane, and who answers
 * @matrix: its numbers
 * @metric: (nullable): of its vectors
 * @moments: (nullable): where the claim uses them
 * @name: "tensor/plane/path", for random choices
 * @spec: the tensor's
 * @pool: (nullable): threads
 */
typedef struct {
  AfpClaim *claim;
  AfpMatrix *matrix;
  GBytes *metric;
  AfpMoments *moments;
  const char *name;
  AfpSpec *spec;
  AfpPool *pool;
} AfpExecution;

/* Does the work. (transfer full) */
typedef AfpPlane *(*AfpExecuteFunc) (const AfpExecution *execution, gpointer user_data,
                                     GError **error);

/* Without a folder it only counts. */
AfpMemo *afp_memo_new (const char *folder, guint64 limit);
void afp_memo_free (AfpMemo *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (AfpMemo, afp_memo_free)
AfpPlane *afp_memo_execute (AfpMemo *self, const AfpExecution *execution, AfpExecuteFunc func,
                            gpointer user_data, GError **error);
guint64 afp_memo_get_executions (AfpMemo *self);
guint64 afp_memo_get_cached (AfpMemo *self); /* of these: found */
void afp_memo_tell_problem (AfpMemo *self,
                            AfpRun *run); /* a warning, once: the folder cannot be written */
/* One was looked for (afp-analysis.h). */
void afp_memo_count_analysis (AfpMemo *self, gboolean found);
guint afp_memo_get_analyses (AfpMemo *self);        /* looked for */
guint afp_memo_get_analyses_cached (AfpMemo *self); /* of these: found */
AfpStore *afp_memo_get_store (AfpMemo *self);       /* (nullable) (transfer none) */

/* --- afp-plane-bytes.c: a coded plane as bytes, read again by who knows its claim --- */
/* (transfer full) (element-type GBytes): each a multiple of 64 bytes; NULL: it is not what the claim makes */
GPtrArray *afp_plane_to_bytes (AfpPlane *plane, const AfpClaim *claim);
/* (transfer full) (nullable): NULL: damaged */
AfpPlane *afp_plane_from_bytes (GBytes *bytes, const AfpClaim *claim);

#pragma GCC visibility pop
