/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afpipe.h"

/*
 * EvalKept: the tensors that passed a place of the stream, finalized, until the end of the stream. Coded planes stay in memory as long as the
 * budget has room, then they go into a file without a name; an array that the source can give again is not kept at all.
 */
typedef struct _EvalKept EvalKept;

/* @run: (nullable): whose budget is charged; without one all stays in memory */
EvalKept *eval_kept_new (AfpRun *run);
void eval_kept_free (EvalKept *kept);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (EvalKept, eval_kept_free)

/* @final: what the tensor would be if it were written here. From any thread. */
gboolean eval_kept_add (EvalKept *kept, AfpTensor *final, GError **error);

/* What is known of the tensor called @name: FALSE if none passed. @tensor: (transfer full): NULL: ask the source for it */
gboolean eval_kept_get (EvalKept *kept, const char *name, AfpTensor **tensor, GError **error);

gboolean eval_kept_differs (EvalKept *kept);   /* is any of them not as its source has it? */
guint64 eval_kept_get_memory (EvalKept *kept); /* bytes in memory */
guint64 eval_kept_get_spilled (EvalKept *kept);
