/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afp-lm.h"

/*
 * How well models predict a text. All run side by side, layer by layer: the first is the reference of the others' divergence.
 */
typedef struct {
  double nll;  /* nats per token, mean */
  double top1; /* share of tokens whose probability is the largest */
  /* Kullback-Leibler divergence from the reference's predictions, nats; 0 for the reference itself */
  double kl_mean, kl_median, kl_p99;
  double same_top1; /* share of predictions where both think the same token likeliest */
} AfpLmScore;

/* @progress: (nullable): called with steps done and in all. */
typedef void (*AfpLmProgress) (gpointer user_data, guint done, guint all);

gboolean
afp_lm_score (AfpLm *const *models, guint n_models, const AfpLmText *text, AfpPool *pool,
              AfpLmProgress progress, gpointer user_data, AfpLmScore *scores, GError **error);
