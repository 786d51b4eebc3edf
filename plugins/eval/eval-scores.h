/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afpipe.h"

/*
 * EvalScores: what was found out by running a model: numbers with names, each with that of the original beside it where there is one.
 *
 *   nll       of the model that is judged
 *   nll_ref   of the original
 *   nll_loss  relative: (x - ref) / ref where less is better, (ref - x) / ref where more is
 */
typedef enum {
  EVAL_COUNT,
  EVAL_LESS_IS_BETTER,
  EVAL_MORE_IS_BETTER,
  EVAL_PLAIN,
  EVAL_UNKNOWN
} EvalKind;

typedef struct {
  const char *name; /* interned */
  EvalKind kind;
  double value, reference; /* NaN: no value */
} EvalScore;

typedef struct {
  GArray *scores; /* of EvalScore, in the order in which they were added */
} EvalScores;

EvalScores *eval_scores_new (void);
void eval_scores_free (EvalScores *scores);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (EvalScores, eval_scores_free)

/* Replaces one of the same name. */
void eval_scores_add (EvalScores *scores, const char *name, EvalKind kind, double value,
                      double reference);
double eval_score_get_loss (const EvalScore *score); /* NaN: no value */
/* By a name with or without "_ref" or "_loss". FALSE: there is none. */
gboolean eval_scores_get (const EvalScores *scores, const char *metric, double *value);
char *eval_scores_to_string (const EvalScores *scores); /* a table: a row for each */
void eval_scores_to_json (const EvalScores *scores, JsonObject *object);

/* The names that questions of a kind answer; NULL-terminated. */
extern const char *const eval_text_metrics[];
extern const char *const eval_task_metrics[];
extern const char *const eval_image_metrics[];
/* Adds them to @all, with those that end in "_ref" and "_loss". */
void eval_scores_list_names (const char *const *names, GPtrArray *all);
/* Adds what a program outside says: a number that is not known counts as one of which more is better. */
void eval_scores_add_foreign (EvalScores *scores, const char *name, double value, double reference);
/* Adds a value for one of these names. */
void eval_scores_add_known (EvalScores *scores, const char *name, double value, double reference);
