/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "eval-subject.h"

/*
 * A model in a temporary folder, for programs outside: its tensors, decoded, as model.safetensors; beside it what goes with the model
 * (config.json, tokenizer.json ...).
 */
typedef struct _EvalExport EvalExport;

/* @names: (element-type utf8): tensors, in the order of the stream; @element: whose sources have what goes with them */
EvalExport *eval_export_new (EvalSubject *subject, GPtrArray *names, AfpElement *element,
                             AfpRun *run, GError **error);
const char *eval_export_get_path (const EvalExport *export); /* of model.safetensors */
void eval_export_free (EvalExport *export);                  /* removes the folder */
G_DEFINE_AUTOPTR_CLEANUP_FUNC (EvalExport, eval_export_free)
