/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afp-lm-config.h"
#include "afp-observe.h"

/*
 * A language model that runs layer by layer over all tokens: of its weights only the layer at work is decoded. What the weights
 * are stored as is not known here: they are read through AfpMatrix.
 */

/* The numbers of the tensor called @name, as outputs x inputs (vectors: one column or one row); NULL without error: there is none. */
typedef AfpMatrix *(*AfpLmOpen) (gpointer user_data, const char *name, GError **error);

/**
 * AfpLmText: documents of tokens, one after another
 * @tokens: what the model sees
 * @targets: what comes next; %AFP_LM_NO_TARGET where nothing is asked
 * @starts: first token of each document, and behind the last one the number of tokens
 */
typedef struct {
  guint32 *tokens;
  guint32 *targets;
  gsize *starts;
  gsize n_documents;
} AfpLmText;
#define AFP_LM_NO_TARGET G_MAXUINT32

typedef struct _AfpLm AfpLm;

/* Looks at the shape of every tensor, reads none. @open and @user_data must live as long as it. */
AfpLm *afp_lm_new (const AfpLmConfig *config, AfpLmOpen open, gpointer user_data, GError **error);
void afp_lm_free (AfpLm *lm);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (AfpLm, afp_lm_free)
const AfpLmConfig *afp_lm_get_config (const AfpLm *lm);
/* Its numbers; NULL without error: this model has no such tensor. (transfer full) */
AfpMatrix *afp_lm_open_tensor (AfpLm *lm, AfpLmTensor tensor, guint layer, GError **error);

/* tokens x dim: the embeddings. AFP_ERROR_FORMAT for a token beyond the vocabulary. (transfer full) */
float *afp_lm_embed (AfpLm *lm, const AfpLmText *text, AfpPool *pool, GError **error);
/* Tokens of a group of documents that a layer works on together, but for longer documents; rows of a task. */
#define AFP_LM_GROUP_TOKENS 4096
#define AFP_LM_TILE_ROWS 256
/* From now on @observe is told what goes into the linear layers; NULL: nobody is. */
void afp_lm_set_observer (AfpLm *lm, AfpObserve observe, gpointer user_data);
/* @x: tokens x dim, in place */
gboolean afp_lm_run_layer (AfpLm *lm, guint layer, const AfpLmText *text, float *x, AfpPool *pool,
                           GError **error);
/* All of the above and the head (afp-lm-head.h): @out: tokens x vocab, for small texts. (transfer full) */
float *afp_lm_run (AfpLm *lm, const AfpLmText *text, AfpPool *pool, GError **error);
