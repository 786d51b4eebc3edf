/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tokenizer-private.h"

#include <string.h>

#define FIRST_BYTE 3 /* SentencePiece: <unk>, <s>, </s>, then <0x00> to <0xFF> */
#define BOS 1
#define EOS 2

static gboolean
read_tokens (AfpTokenizer *self, GBytes *file, GError **error)
{
  const guint n = afp_tokenizer_get_size (self);
  gsize size, at = 4;
  const guint8 *data = g_bytes_get_data (file, &size);

  for (guint i = 0; i < n; i++) {
    guint32 score, length;
    if (size < 8 || at > size - 8) {
      g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                   "the tokenizer ends after %u of %u tokens: is it the one of this model?", i, n);
      return FALSE;
    }
    memcpy (&score, data + at, 4);
    memcpy (&length, data + at + 4, 4);
    score = GUINT32_FROM_LE (score);
    length = GUINT32_FROM_LE (length);
    at += 8;
    if (length > size - at) {
      g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                   "the tokenizer is damaged: token %u has %u bytes, and %" G_GSIZE_FORMAT
                   " are left",
                   i, length, size - at);
      return FALSE;
    }
    memcpy (&self->scores[i], &score, 4);
    afp_tokenizer_set_string (self, i, (const char *) data + at, length);
    at += length;
  }
  if (at == size)
    return TRUE;
  g_set_error (
      error, AFP_ERROR, AFP_ERROR_FORMAT,
      "the tokenizer has more than the %u tokens of the model's vocabulary: is it the one of this "
      "model?",
      n);
  return FALSE;
}

/**
 * afp_tokenizer_new_llama2c:
 * @file: its bytes
 * @vocab: tokens of the model
 * @error: %AFP_ERROR_FORMAT
 *
 * A blank goes before each text. Characters that are no token become tokens of their bytes.
 *
 * Returns: (transfer full): the tokenizer
 */
AfpTokenizer *
afp_tokenizer_new_llama2c (GBytes *file, guint vocab, GError **error)
{
  if (vocab < FIRST_BYTE + 256 || vocab > AFP_VOCABULARY_MAX) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                 "a tokenizer of llama2.c has %u tokens at least, the model has %u",
                 FIRST_BYTE + 256, vocab);
    return NULL;
  }
  g_autoptr (AfpTokenizer) self = afp_tokenizer_new (vocab);
  self->scores = g_new0 (float, vocab);
  if (!read_tokens (self, file, error))
    return NULL;
  afp_tokenizer_make_pieces (self, NULL);
  for (guint i = 0; i < 256; i++) {
    const char byte = (char) i;
    self->byte_ids[i] = FIRST_BYTE + i;
    afp_vocabulary_set (self->pieces, FIRST_BYTE + i, &byte, 1);
  }
  self->bos = BOS;
  self->eos = EOS;
  self->adds_bos = TRUE;
  afp_normalizer_add_prepend (self->normalizer, " ");
  afp_tokenizer_cut_at (self, " ", AFP_PRE_BLANK_WORDS);
  return g_steal_pointer (&self);
}
