/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afp-lm-head.h"

/*
 * How well models predict a text. All run side by side, layer by layer: the first is the reference of the others' divergence.
 */

/* What one model says of one target. */
typedef struct {
  double log_p; /* natural logarithm of its probability */
  float
      divergence; /* Kullback-Leibler, from the reference's prediction, nats; 0 for the reference itself */
  gboolean hit;  /* it is the likeliest: the first of equals */
  gboolean same; /* the likeliest is the reference's likeliest */
} AfpLmPrediction;

/* Of all targets of a text. */
typedef struct {
  guint64 n_tokens; /* predicted */
  guint64 hits;     /* predicted right: their probability is the largest */
  double nll;       /* nats per token, mean; the perplexity is exp of it */
  double top1;      /* hits / n_tokens */
  /* Kullback-Leibler divergence from the reference's predictions, nats; 0 for the reference itself */
  double kl_mean, kl_median, kl_p99;
  double same_top1; /* share of predictions where both think the same token likeliest */
} AfpLmScore;

/**
 * AfpLmStates: what the last layer of the reference gives, of each target: dim floats, in their order. With them, only its head has to run
 * @known: (nullable): what @keep was told in an earlier run of the same model on the same text
 * @keep: (nullable): where they are not known: is told of the next @n targets
 * @user_data: for @keep
 */
typedef struct {
  const float *known;
  void (*keep) (gpointer user_data, const float *states, gsize n);
  gpointer user_data;
} AfpLmStates;

guint64
afp_lm_score_get_memory (const AfpLmConfig *config, guint n_models, guint n_threads, guint context);
AfpLmPrediction *afp_lm_predict (AfpLm *const *models, guint n_models, const AfpLmText *text,
                                 const AfpLmStates *states, gsize max_tokens, AfpPool *pool,
                                 AfpLmProgress progress, gpointer user_data, GError **error);
gboolean
afp_lm_score (AfpLm *const *models, guint n_models, const AfpLmText *text,
              const AfpLmStates *states, gsize max_tokens, AfpPool *pool, AfpLmProgress progress,
              gpointer user_data, AfpLmScore *scores, GError **error);
