/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-tokenizer.h"

#include "bpe.h"

#include <string.h>

#define FIRST_BYTE 3 /* SentencePiece: <unk>, <s>, </s>, then <0x00> to <0xFF> */
#define MAX_VOCAB (1u << 24)

typedef struct {
  const char *bytes;
  gsize n;
  float score;
} Piece;

struct _AfpTokenizer {
  GBytes *file; /* holds the pieces */
  Piece *pieces;
  guint n;
  GHashTable *ids; /* Piece -> id + 1 */
  gsize longest;
  char bytes[256]; /* what the tokens <0x00> to <0xFF> stand for */
};

static guint
piece_hash (gconstpointer key)
{
  const Piece *piece = key;
  guint hash = 5381;

  for (gsize i = 0; i < piece->n; i++)
    hash = hash * 33 + (guchar) piece->bytes[i];
  return hash;
}

static gboolean
piece_equal (gconstpointer a, gconstpointer b)
{
  const Piece *p = a, *q = b;

  return p->n == q->n && memcmp (p->bytes, q->bytes, p->n) == 0;
}

void
afp_tokenizer_free (AfpTokenizer *tokenizer)
{
  g_clear_pointer (&tokenizer->ids, g_hash_table_unref);
  g_free (tokenizer->pieces);
  g_bytes_unref (tokenizer->file);
  g_free (tokenizer);
}

static gboolean
read_pieces (AfpTokenizer *self, GError **error)
{
  gsize size, at = 4;
  const guint8 *data = g_bytes_get_data (self->file, &size);

  for (guint i = 0; i < self->n; i++) {
    guint32 score, length;
    if (size < 8 || at > size - 8) {
      g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                   "the tokenizer ends after %u of %u tokens: is it the one of this model?", i,
                   self->n);
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
    memcpy (&self->pieces[i].score, &score, 4);
    self->pieces[i].bytes = (const char *) data + at;
    self->pieces[i].n = length;
    self->longest = MAX (self->longest, length);
    at += length;
    /* The first of equals, as a search from the start would find it. */
    if (!g_hash_table_contains (self->ids, &self->pieces[i]))
      g_hash_table_insert (self->ids, &self->pieces[i], GUINT_TO_POINTER (i + 1));
  }
  if (at == size)
    return TRUE;
  g_set_error (
      error, AFP_ERROR, AFP_ERROR_FORMAT,
      "the tokenizer has more than the %u tokens of the model's vocabulary: is it the one of this "
      "model?",
      self->n);
  return FALSE;
}

/**
 * afp_tokenizer_new_llama2c:
 * @file: its bytes
 * @vocab: tokens of the model
 * @error: %AFP_ERROR_FORMAT
 *
 * Returns: (transfer full): the tokenizer
 */
AfpTokenizer *
afp_tokenizer_new_llama2c (GBytes *file, guint vocab, GError **error)
{
  g_autoptr (AfpTokenizer) self = g_new0 (AfpTokenizer, 1);

  self->file = g_bytes_ref (file);
  if (vocab < FIRST_BYTE + 256 || vocab > MAX_VOCAB) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                 "a tokenizer of llama2.c has %u tokens at least, the model has %u",
                 FIRST_BYTE + 256, vocab);
    return NULL;
  }
  self->n = vocab;
  for (guint i = 0; i < 256; i++)
    self->bytes[i] = (char) i;
  self->pieces = g_new0 (Piece, vocab);
  self->ids = g_hash_table_new (piece_hash, piece_equal);
  return read_pieces (self, error) ? g_steal_pointer (&self) : NULL;
}

guint
afp_tokenizer_get_size (const AfpTokenizer *tokenizer)
{
  return tokenizer->n;
}

const char *
afp_tokenizer_get_piece (const AfpTokenizer *tokenizer, guint32 id, gsize *n)
{
  g_return_val_if_fail (id < tokenizer->n, NULL);
  if (id >= FIRST_BYTE && id < FIRST_BYTE + 256) {
    *n = 1;
    return tokenizer->bytes + (id - FIRST_BYTE);
  }
  *n = tokenizer->pieces[id].n;
  return tokenizer->pieces[id].bytes;
}

/* G_MAXUINT32: no such token */
static guint32
find_piece (const AfpTokenizer *self, const char *bytes, gsize n)
{
  const Piece key = { bytes, n, 0 };

  return GPOINTER_TO_UINT (g_hash_table_lookup (self->ids, &key)) - 1;
}

static gboolean
find_pair (gpointer user_data, guint32 left, guint32 right, double *rank, guint32 *merged)
{
  const AfpTokenizer *self = user_data;
  const Piece *a = &self->pieces[left], *b = &self->pieces[right];
  char bytes[256];

  if (a->n + b->n > self->longest || a->n + b->n > sizeof bytes)
    return FALSE;
  memcpy (bytes, a->bytes, a->n);
  memcpy (bytes + a->n, b->bytes, b->n);
  *merged = find_piece (self, bytes, a->n + b->n);
  if (*merged == G_MAXUINT32)
    return FALSE;
  *rank = -(double) self->pieces[*merged].score;
  return TRUE;
}

/* Bytes of the character at @text: a lead byte and what continues it, four at most, well-formed or not. */
static gsize
get_character (const char *text, gsize n)
{
  gsize length = 1;

  while (length < MIN (n, 4) && ((guchar) text[length] & 0xc0) == 0x80)
    length++;
  return length;
}

/**
 * afp_tokenizer_encode:
 * @tokenizer: a tokenizer
 * @text: any bytes
 * @n: their number
 *
 * A blank goes before the text. Characters that are no token become tokens of their bytes; then the pair whose token has the best score is
 * merged, again and again.
 *
 * Returns: (transfer full) (element-type guint32): ids
 */
GArray *
afp_tokenizer_encode (const AfpTokenizer *tokenizer, const char *text, gsize n)
{
  GArray *ids = g_array_new (FALSE, FALSE, sizeof (guint32));
  const guint32 blank = find_piece (tokenizer, " ", 1);

  if (n > 0 && blank != G_MAXUINT32)
    g_array_append_val (ids, blank);
  for (gsize at = 0, length; at < n; at += length) {
    length = get_character (text + at, n - at);
    guint32 id = find_piece (tokenizer, text + at, length);
    if (id != G_MAXUINT32) {
      g_array_append_val (ids, id);
      continue;
    }
    for (gsize i = 0; i < length; i++) {
      id = FIRST_BYTE + (guchar) text[at + i];
      g_array_append_val (ids, id);
    }
  }
  g_array_set_size (ids, (guint) afp_bpe_merge ((guint32 *) (gpointer) ids->data, ids->len,
                                                find_pair, (gpointer) tokenizer));
  return ids;
}
