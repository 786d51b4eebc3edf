/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "eval-language.h"
#include "eval-vision.h"

#include "runtime/afp-lm-tasks.h"

/*
 * EvalRecall: what the original says to a question is kept in the cache of the run, so that later runs need not ask it again: of a text
 * what its last layer gives, of tasks its score, of images its logits. With these all numbers are the same to the bit. Where the run has no
 * cache, nothing is found and nothing kept; what is damaged is not found.
 */
typedef struct _EvalRecall EvalRecall;

/* Declared by the element's class. */
extern const AfpAnalysisInfo eval_recall_analyses[];
#define EVAL_RECALL_N_ANALYSES 3

/* @source: has the original; all of it is read if the run has a cache. All must live as long as it. */
EvalRecall *eval_recall_new (AfpRun *run, AfpElement *element, AfpSource *source, GError **error);
void eval_recall_free (EvalRecall *recall);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (EvalRecall, eval_recall_free)

/* Of the language's text: known, or to be kept. @recall: (nullable); @max_tokens: as of afp_lm_score() */
typedef struct _EvalStates EvalStates;
EvalStates *eval_states_new (EvalRecall *recall, const EvalLanguage *language, gsize max_tokens);
const AfpLmStates *eval_states_get (const EvalStates *states);
void eval_states_end (EvalStates *states); /* the original has run: they are kept */
void eval_states_free (EvalStates *states);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (EvalStates, eval_states_free)

/* What something else depends on. (transfer full) (nullable): NULL: nothing can be kept. @recall: (nullable) */
AfpAnalysis *eval_recall_tasks (EvalRecall *recall, const EvalLanguage *language,
                                const AfpLmText *text, gsize max_tokens, GBytes *file);
AfpAnalysis *eval_recall_images (EvalRecall *recall, const EvalVision *vision);
/* @analysis: (nullable). (transfer full) (nullable): so many bytes */
GBytes *eval_recall_find (EvalRecall *recall, AfpAnalysis *analysis, gsize size);
void eval_recall_keep (EvalRecall *recall, AfpAnalysis *analysis, GBytes *bytes);
