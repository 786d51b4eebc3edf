/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afp-lm.h"
#include "afp-tokenizer.h"

/*
 * Text made ready to be predicted.
 */
typedef struct {
  const char
      *separator; /* (nullable): between documents; they are stripped, and each begins with BOS */
  guint context;  /* predictions in a document, or tokens in a window, at most */
  guint stride;   /* without a separator: tokens from one window to the next; 0: the context */
  guint bos;      /* G_MAXUINT: none */
} AfpLmTextOptions;

/* @n_bytes: (out): bytes of text that the targets stand for. AFP_ERROR_FORMAT: there is nothing to predict */
AfpLmText *afp_lm_text_new (const AfpTokenizer *tokenizer, const char *text, gsize n,
                            const AfpLmTextOptions *options, guint64 *n_bytes, GError **error);
/* One document of these tokens, each the target of the one before. */
AfpLmText *afp_lm_text_new_tokens (const guint32 *tokens, gsize n);
/* Where a part that begins with document @first ends: one document at least, and as many as have @max_tokens. And how many parts that makes. */
gsize afp_lm_text_get_part_end (const AfpLmText *text, gsize first, gsize max_tokens);
guint afp_lm_text_count_parts (const AfpLmText *text, gsize max_tokens);
/* Some of its documents. (transfer full) */
AfpLmText *afp_lm_text_new_part (const AfpLmText *text, gsize first, gsize last);
void afp_lm_text_free (AfpLmText *text);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (AfpLmText, afp_lm_text_free)
gsize afp_lm_text_get_n_tokens (const AfpLmText *text);
gsize afp_lm_text_get_n_targets (const AfpLmText *text);

/* A text of documents of tokens. */
typedef struct {
  GArray *tokens, *targets; /* guint32 */
  GArray *starts;           /* gsize */
} AfpLmTextBuilder;

void afp_lm_text_builder_init (AfpLmTextBuilder *builder);
/* A document. @ids: n + 1 tokens: the last is a target only. The first target is that of token @from. */
void afp_lm_text_builder_add (AfpLmTextBuilder *builder, const guint32 *ids, gsize n, gsize from);
/* (transfer full) */
AfpLmText *afp_lm_text_builder_end (AfpLmTextBuilder *builder);
