/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afp-lm.h"

/*
 * The last norm and the classifier of models that run side by side. The vocabulary goes by in tiles of rows: of the classifier, and of the
 * logits, only what is at work is there.
 */

/**
 * AfpLmLogits:
 * @user_data: of the caller
 * @first: of the @n tokens
 * @n: at most %AFP_LM_HEAD_TOKENS
 * @row: first token of the vocabulary that these logits are of
 * @n_rows: so many
 * @logits: (array): of each model: n x n_rows, valid during the call
 *
 * Called from the threads of the pool. For the same tokens: one call after another, in the order of the vocabulary.
 */
typedef void (*AfpLmLogits) (gpointer user_data, gsize first, gsize n, guint row, guint n_rows,
                             const float *const *logits);
#define AFP_LM_HEAD_TOKENS 128

/* @progress: (nullable): called with steps done and in all. */
typedef void (*AfpLmProgress) (gpointer user_data, guint done, guint all);

/* Tiles of the vocabulary, which are steps of progress. */
guint afp_lm_head_n_tiles (const AfpLmConfig *config);
/* @x: (array length=n_models): of each model: n x dim, what the last layer gave; normalised in place. The models have the same dim and
 * vocabulary. The same logits for any number of threads. */
gboolean afp_lm_run_head (AfpLm *const *models, guint n_models, gsize n, float *const *x,
                          AfpPool *pool, AfpLmLogits func, gpointer user_data,
                          AfpLmProgress progress, gpointer progress_data, GError **error);
