/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "eval-subject.h"

#include "runtime/afp-lm-score.h"
#include "runtime/afp-lm-text.h"

/*
 * EvalLanguage: a language model as it is known without its tensors, and a text that is made ready for it.
 */

/* As properties say; texts are borrowed, NULL or empty: absent. */
typedef struct {
  const char *text, *separator;
  guint context, stride; /* 0: what is usual */
} EvalTextOptions;

/* AFP_ERROR_PROPERTY: they do not go together; AFP_ERROR_IO: there is no such file */
gboolean eval_text_options_check (const EvalTextOptions *options, GError **error);
char *eval_text_options_to_key (const EvalTextOptions *options); /* equal for equal ones */

typedef struct {
  char *path; /* NULL: no text */
  char *separator;
  guint context, stride;
  AfpLmConfig config;
  AfpTokenizer *tokenizer;
  AfpLmText *text; /* after eval_language_load(); NULL without a path */
  guint64 n_bytes; /* of it that is predicted */
} EvalLanguage;

/* @element: whose sources have configuration and tokenizer, if not @original (nullable) */
EvalLanguage *eval_language_new (const EvalTextOptions *options, AfpElement *element,
                                 AfpSource *original, GError **error);
void eval_language_free (EvalLanguage *language);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (EvalLanguage, eval_language_free)

/* Are all tensors there, in their shapes? AFP_ERROR_PLAN */
gboolean eval_language_check (EvalLanguage *language, EvalSubject *planned, GError **error);
gboolean eval_language_load (EvalLanguage *language, GError **error);
/* What running takes of memory beside activations. */
guint64 eval_language_get_memory (const EvalLanguage *language, guint n_models);
/* What an analysis of the model on @text depends on: its configuration, tokens and targets, and which of them run at once, for products of
 * more rows are rounded otherwise. */
void eval_language_add_to (const EvalLanguage *language, const AfpLmText *text, gsize max_tokens,
                           AfpAnalysis *analysis);
