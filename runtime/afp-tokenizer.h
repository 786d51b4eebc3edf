/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afp-lm-config.h"

/*
 * Text to token ids, as the model's own tokenizer does it. Immutable and safe to use from many threads.
 *
 * A text may be any bytes. What is no UTF-8 is cut as if each such byte were U+FFFD, but keeps its bytes: the pieces of the ids put
 * together give the text, broken bytes included. Not so where the model itself changes the text (a blank before it, NFC in Qwen2) or has
 * no token for a byte and none for the unknown: that byte is left out, as the libraries do that models are published with.
 */
typedef struct _AfpTokenizer AfpTokenizer;

#define AFP_TOKEN_NONE G_MAXUINT32

/* The tokenizer.bin of llama2.c: longest token, then a score, a length and the bytes of each of @vocab tokens. */
AfpTokenizer *afp_tokenizer_new_llama2c (GBytes *file, guint vocab, GError **error);
/* A tokenizer.json of the Hugging Face layout. AFP_ERROR_PLAN names what in it is not supported, and what is. */
AfpTokenizer *afp_tokenizer_new_json (GBytes *file, GError **error);
/* The head of a GGUF file: byte-level BPE ("gpt2") and SentencePiece BPE ("llama"); AFP_ERROR_PLAN: another one, or none. */
AfpTokenizer *afp_tokenizer_new_gguf (GBytes *head, GError **error);
/* Of the model upstream of an element; see tokenizer-find.c. */
AfpTokenizer *afp_tokenizer_find (AfpElement *element, const AfpLmConfig *config, GError **error);
void afp_tokenizer_free (AfpTokenizer *tokenizer);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (AfpTokenizer, afp_tokenizer_free)

guint afp_tokenizer_get_size (const AfpTokenizer *tokenizer);
/* Begin and end of a text; AFP_TOKEN_NONE: the tokenizer does not say. */
guint32 afp_tokenizer_get_bos (const AfpTokenizer *tokenizer);
guint32 afp_tokenizer_get_eos (const AfpTokenizer *tokenizer);
/* The model's own tokenizer puts BOS before each text. */
gboolean afp_tokenizer_adds_bos (const AfpTokenizer *tokenizer);
/* The ids of a text of any bytes, without begin or end. Special tokens that are written out in it become their ids.
 * (transfer full) (element-type guint32) */
GArray *afp_tokenizer_encode (const AfpTokenizer *tokenizer, const char *text, gsize n);
/* The bytes of text that a token stands for; @n: their number. (transfer none) */
const char *afp_tokenizer_get_piece (const AfpTokenizer *tokenizer, guint32 id, gsize *n);
