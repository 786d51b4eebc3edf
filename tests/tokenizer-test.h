/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A small tokenizer in the format of llama2.c. */
#pragma once

#include "core-test.h"

#include "afp-tokenizer.h"

#include <string.h>

static inline void
put_piece (GByteArray *file, float score, const char *piece)
{
  const guint32 n = GUINT32_TO_LE ((guint32) strlen (piece));
  guint32 bits;

  memcpy (&bits, &score, 4);
  bits = GUINT32_TO_LE (bits);
  g_byte_array_append (file, (const guint8 *) &bits, 4);
  g_byte_array_append (file, (const guint8 *) &n, 4);
  g_byte_array_append (file, (const guint8 *) piece, (guint) strlen (piece));
}

/* <unk>, <s>, </s>, 256 bytes, then these. */
static const struct {
  const char *piece;
  float score;
} test_pieces[] = {
  { " ", -9 },  { "a", -9 },   { "b", -9 },  { "c", -9 },        { "ab", -1 },
  { "bc", -2 }, { "abc", -3 }, { " a", -4 }, { "\xc3\xa9", -9 },
};
#define TEST_FIRST_PIECE 259u
#define TEST_VOCAB (TEST_FIRST_PIECE + (guint) G_N_ELEMENTS (test_pieces))

static inline GBytes *
make_tokenizer_file (void)
{
  GByteArray *file = g_byte_array_new ();
  const guint32 longest = GUINT32_TO_LE (7);

  g_byte_array_append (file, (const guint8 *) &longest, 4);
  put_piece (file, 0, "<unk>");
  put_piece (file, 0, "<s>");
  put_piece (file, 0, "</s>");
  for (guint i = 0; i < 256; i++) {
    g_autofree char *name = g_strdup_printf ("<0x%02X>", i);
    put_piece (file, 0, name);
  }
  for (guint i = 0; i < G_N_ELEMENTS (test_pieces); i++)
    put_piece (file, test_pieces[i].score, test_pieces[i].piece);
  return g_byte_array_free_to_bytes (file);
}

static inline AfpTokenizer *
make_tokenizer (void)
{
  g_autoptr (GBytes) file = make_tokenizer_file ();
  AfpTokenizer *tokenizer = afp_tokenizer_new_llama2c (file, TEST_VOCAB, NULL);

  ck_assert_ptr_nonnull (tokenizer);
  return tokenizer;
}
