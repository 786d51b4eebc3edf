/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afpipe.h"

/* Text to token ids, as the model's own tokenizer does it. Immutable and safe to use from many threads. */
typedef struct _AfpTokenizer AfpTokenizer;

/* The tokenizer.bin of llama2.c: longest token, then a score, a length and the bytes of each of @vocab tokens. */
AfpTokenizer *afp_tokenizer_new_llama2c (GBytes *file, guint vocab, GError **error);
void afp_tokenizer_free (AfpTokenizer *tokenizer);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (AfpTokenizer, afp_tokenizer_free)

guint afp_tokenizer_get_size (const AfpTokenizer *tokenizer);
/* The ids of a text of any bytes, without begin or end. (transfer full) (element-type guint32) */
GArray *afp_tokenizer_encode (const AfpTokenizer *tokenizer, const char *text, gsize n);
/* The bytes of a token; @n: their number. (transfer none) */
const char *afp_tokenizer_get_piece (const AfpTokenizer *tokenizer, guint32 id, gsize *n);
