/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afp-lm-score.h"
#include "afp-tokenizer.h"

/*
 * Questions whose answer is the one that the model finds likeliest. A file of them has a JSON object in each line:
 *
 *   {"question": "The sky is", "choices": ["blue", "square"], "answer": 0}
 *   {"text": "The mouse was eaten by the cat"}
 *
 * The first is answered by the choice of the largest probability after the question, a blank between them. In the second the last word is
 * asked for: it counts as right if each of its tokens is the likeliest. Other members are passed over.
 */
typedef struct _AfpLmTasks AfpLmTasks;

/* Of all questions of a file. Standard errors: of the mean, from the variance of the sample. */
typedef struct {
  guint n;         /* questions */
  double accuracy; /* share of those that are answered right */
  double accuracy_stderr;
  double
      accuracy_norm; /* where the log-likelihood of a choice is divided by its bytes; last words: the same as accuracy */
  double accuracy_norm_stderr;
  double guess; /* accuracy of guessing: mean of 1 / choices; none for last words */
} AfpLmTaskScore;

AfpLmTasks *afp_lm_tasks_parse (const char *text, gsize n, const char *name, GError **error);
void afp_lm_tasks_free (AfpLmTasks *tasks);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (AfpLmTasks, afp_lm_tasks_free)
guint afp_lm_tasks_get_n (const AfpLmTasks *tasks);

AfpLmText *afp_lm_tasks_make_text (const AfpLmTasks *tasks, const AfpTokenizer *tokenizer,
                                   guint context, GError **error);
void afp_lm_tasks_judge (const AfpLmTasks *tasks, const AfpLmText *text,
                         const AfpLmPrediction *predictions, AfpLmTaskScore *score);
gboolean
afp_lm_tasks_score (const AfpLmTasks *tasks, const AfpLmText *text, AfpLm *const *models,
                    guint n_models, gsize max_tokens, AfpPool *pool, AfpLmProgress progress,
                    gpointer user_data, AfpLmTaskScore *scores, GError **error);
