/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1 /* memmem */
#endif

#include "text-class.h"
#include "tokenizer-private.h"

#include <string.h>

AfpTokenizer *
afp_tokenizer_new (guint n)
{
  AfpTokenizer *self = g_new0 (AfpTokenizer, 1);

  self->pieces = afp_vocabulary_new (n);
  self->strings = afp_vocabulary_new (n);
  self->added = afp_added_tokens_new ();
  self->added_later = afp_added_tokens_new ();
  self->normalizer = afp_normalizer_new ();
  self->steps = g_array_new (FALSE, FALSE, sizeof (AfpStep));
  self->unknown = self->bos = self->eos = AFP_TOKEN_NONE;
  for (guint i = 0; i < 256; i++)
    self->byte_ids[i] = AFP_TOKEN_NONE;
  return self;
}

void
afp_tokenizer_set_string (AfpTokenizer *self, guint32 id, const char *string, gsize n)
{
  afp_vocabulary_set (self->strings, id, string, n);
  if (n > 0 && afp_vocabulary_enter (self->strings, id))
    self->longest = MAX (self->longest, n);
}

void
afp_tokenizer_add_step (AfpTokenizer *self, AfpStepKind kind, AfpPreTokenizer how)
{
  const AfpStep step = { kind, how };

  g_array_append_val (self->steps, step);
}

/* --- pieces -------------------------------------------------------------------------------------------------------- */

/* GPT-2 writes the bytes ! to ~, 0xa1 to 0xac and 0xae to 0xff as the characters of these numbers, the others, in their order, as those
 * from U+0100 on. */
static int
unmap_byte (gunichar c)
{
  if ((c >= '!' && c <= '~') || (c >= 0xa1 && c <= 0xac) || (c >= 0xae && c <= 0xff))
    return (int) c;
  if (c < 0x100 || c > 0x143)
    return -1;
  const int rank = (int) c - 0x100;
  return rank <= 32 ? rank : rank <= 66 ? rank - 33 + 0x7f : 0xad;
}

gboolean
afp_tokenizer_unmap_bytes (const char *string, gsize n, GString *bytes)
{
  g_string_truncate (bytes, 0);
  for (gsize at = 0; at < n;) {
    gunichar c;
    at += afp_text_next (string + at, n - at, &c);
    const int byte = unmap_byte (c);
    if (byte < 0) {
      g_string_truncate (bytes, 0);
      g_string_append_len (bytes, string, (gssize) n);
      return FALSE;
    }
    g_string_append_c (bytes, (char) byte);
  }
  return TRUE;
}

/* "<0x0A>" */
static gboolean
is_byte_name (const char *string, gsize n, guchar *byte)
{
  if (n != 6 || memcmp (string, "<0x", 3) != 0 || string[5] != '>' ||
      !g_ascii_isxdigit (string[3]) || !g_ascii_isxdigit (string[4]))
    return FALSE;
  *byte = (guchar) (g_ascii_xdigit_value (string[3]) << 4 | g_ascii_xdigit_value (string[4]));
  return TRUE;
}

/* What a token stands for, in @piece. */
static void
make_piece (AfpTokenizer *self, guint32 id, GString *piece)
{
  gsize n;
  const char *string = afp_vocabulary_get (self->strings, id, &n);
  guchar byte;

  if (self->byte_level) {
    if (afp_tokenizer_unmap_bytes (string, n, piece) && piece->len == 1 &&
        self->byte_ids[(guchar) piece->str[0]] == AFP_TOKEN_NONE)
      self->byte_ids[(guchar) piece->str[0]] = id;
    return;
  }
  g_string_truncate (piece, 0);
  if (self->byte_fallback && is_byte_name (string, n, &byte)) {
    self->byte_ids[byte] = id;
    g_string_append_c (piece, (char) byte);
    return;
  }
  g_string_append_len (piece, string, (gssize) n);
  g_string_replace (piece, AFP_MARKER, " ", 0);
}

void
afp_tokenizer_make_pieces (AfpTokenizer *self, const guint8 *is_special)
{
  g_autoptr (GString) piece = g_string_new (NULL);

  for (guint32 id = 0; id < afp_tokenizer_get_size (self); id++) {
    gsize n;
    const char *string = afp_vocabulary_get (self->strings, id, &n);
    if (is_special && is_special[id]) {
      afp_vocabulary_set (self->pieces, id, string, n);
      continue;
    }
    make_piece (self, id, piece);
    afp_vocabulary_set (self->pieces, id, piece->str, piece->len);
    if (self->byte_level && piece->len > 0)
      afp_vocabulary_enter (self->pieces, id);
  }
}

/* --- merges -------------------------------------------------------------------------------------------------------- */

gboolean
afp_tokenizer_add_merge (AfpTokenizer *self, const char *left, gsize n_left, const char *right,
                         gsize n_right, guint32 rank, GError **error)
{
  g_autoptr (GString) both = g_string_new_len (left, (gssize) n_left);
  const guint32 a = afp_vocabulary_find (self->strings, left, n_left);
  const guint32 b = afp_vocabulary_find (self->strings, right, n_right);

  g_string_append_len (both, right, (gssize) n_right);
  const guint32 merged = afp_vocabulary_find (self->strings, both->str, both->len);
  if (a != AFP_VOCABULARY_NONE && b != AFP_VOCABULARY_NONE && merged != AFP_VOCABULARY_NONE) {
    afp_merge_table_add (self->merges, a, b, rank, merged);
    return TRUE;
  }
  g_autofree char *shown = g_utf8_make_valid (both->str, (gssize) both->len);
  g_set_error (
      error, AFP_ERROR, AFP_ERROR_FORMAT,
      "the tokenizer is damaged: merge %u makes \"%.100s\", which or a part of which is no "
      "token",
      rank, shown);
  return FALSE;
}

/* A token that holds @marker behind something else. */
static gboolean
reaches_over (const char *string, gsize n, const char *marker)
{
  const gsize length = strlen (marker);
  gsize at = 0;

  while (n - at >= length && memcmp (string + at, marker, length) == 0)
    at += length;
  return memmem (string + at, n - at, marker, length) != NULL;
}

void
afp_tokenizer_cut_at (AfpTokenizer *self, const char *marker, AfpPreTokenizer how)
{
  gboolean cuts =
      !self->ignore_merges &&
      afp_vocabulary_find (self->strings, marker, strlen (marker)) != AFP_VOCABULARY_NONE;

  for (guint32 id = 0; cuts && id < afp_tokenizer_get_size (self); id++) {
    gsize n;
    const char *string = afp_vocabulary_get (self->strings, id, &n);
    cuts = !reaches_over (string, n, marker);
  }
  if (cuts)
    afp_tokenizer_add_step (self, AFP_STEP_CUT, how);
}
