/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "eval-recall.h"
#include "eval-scores.h"

/*
 * EvalQuestion: what a model is asked by running it. The original and all models that are asked the same run side by side.
 */

/* As the properties say. */
typedef struct {
  EvalTextOptions language;
  const char *tasks;
  EvalImageOptions vision;
} EvalOptions;

typedef struct _EvalQuestion EvalQuestion;

/* FALSE with AFP_ERROR_PROPERTY: options that do not go together, files that cannot be read */
gboolean eval_options_check (const EvalOptions *options, GError **error);
gboolean eval_options_is_empty (const EvalOptions *options);
/* Names of the metrics that answer it, with those that end in "_ref" and "_loss". (transfer full) (element-type utf8) */
GPtrArray *eval_options_list_metrics (const EvalOptions *options);
/* Equal texts: equal questions. (transfer full) */
char *eval_options_to_key (const EvalOptions *options);

/* @element: whose sources have what the model needs beside its tensors, if not @original (nullable). Files are read by eval_question_load(). */
EvalQuestion *eval_question_new (const EvalOptions *options, AfpElement *element,
                                 AfpSource *original, GError **error);
void eval_question_free (EvalQuestion *question);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (EvalQuestion, eval_question_free)

/* Could the model of these tensors (name -> AfpSpec) be asked? @bytes: (out): of memory that it takes at least. AFP_ERROR_PLAN */
gboolean
eval_question_check (EvalQuestion *question, GHashTable *specs, guint64 *bytes, GError **error);
gboolean eval_question_load (EvalQuestion *question, GError **error);

/* Bytes of memory beyond which more is of no use to so many models. */
guint64 eval_question_get_memory (const EvalQuestion *question, guint n_models);

typedef struct {
  AfpPool *pool;
  guint64 bytes; /* of memory that it may take */
  AfpLmProgress progress;
  gpointer user_data;
  EvalRecall *recall; /* (nullable): of the reference */
} EvalMeans;

/**
 * EvalAsked: models that are asked the same
 * @reference: (nullable): the original
 * @subjects: (array length=n): %NULL: nothing differs from the original, which need not run again
 * @scores: (array length=n): of each, added to
 */
typedef struct {
  EvalSubject *reference;
  EvalSubject *const *subjects;
  EvalScores *const *scores;
  guint n;
} EvalAsked;

gboolean eval_question_ask (EvalQuestion *question, const EvalAsked *asked, const EvalMeans *means,
                            GError **error);
