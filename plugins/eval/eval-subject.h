/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "eval-kept.h"

/*
 * EvalSubject: a model that is to be run, as names and numbers: the original as its source has it, or what passed a place of the stream.
 */
typedef struct _EvalSubject EvalSubject;

/* @source: open; @kept: (nullable): what passed; without it all is as the source has it. Both must live as long as it. */
EvalSubject *eval_subject_new (AfpSource *source, EvalKept *kept, GError **error);
/* As it is planned: shapes only. @specs: name -> AfpSpec */
EvalSubject *eval_subject_new_planned (GHashTable *specs);
void eval_subject_free (EvalSubject *subject);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (EvalSubject, eval_subject_free)

/* A tensor, finalized; of none of this name an error. (transfer full) */
AfpTensor *eval_subject_read (EvalSubject *subject, const char *name, GError **error);
/* The numbers of a tensor; NULL without error: there is none of this name. Of one thread at a time. (transfer full) */
AfpMatrix *eval_subject_open (gpointer subject, const char *name, GError **error);
