/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core-test.h"

#include "tokenizer-private.h"

/* Each byte as GPT-2 writes it, and nothing else. */
START_TEST (bytes_behind_characters)
{
  gboolean met[256] = { FALSE };
  g_autoptr (GString) bytes = g_string_new (NULL);
  guint n_bytes = 0;

  for (gunichar c = 1; c < 0x200; c++) {
    char text[6];
    const gsize n = (gsize) g_unichar_to_utf8 (c, text);
    if (!afp_tokenizer_unmap_bytes (text, n, bytes)) {
      ck_assert (bytes->len == n && memcmp (bytes->str, text, n) == 0);
      continue;
    }
    ck_assert_uint_eq (bytes->len, 1);
    ck_assert (!met[(guchar) bytes->str[0]]);
    met[(guchar) bytes->str[0]] = TRUE;
    n_bytes++;
  }
  ck_assert_uint_eq (n_bytes, 256);
}
END_TEST

static const struct {
  const char *text;
  guchar byte;
} bytes_by_hand[] = { { "!", '!' },         { "~", '~' },         { "\xc4\xa0", ' ' },
                      { "\xc4\x8a", '\n' }, { "\xc4\x80", 0 },    { "\xc4\xa1", 0x7f },
                      { "\xc5\x82", 0xa0 }, { "\xc5\x83", 0xad }, { "\xc3\xbf", 0xff } };

START_TEST (some_bytes_by_hand)
{
  g_autoptr (GString) bytes = g_string_new (NULL);

  ck_assert (
      afp_tokenizer_unmap_bytes (bytes_by_hand[_i].text, strlen (bytes_by_hand[_i].text), bytes));
  ck_assert_uint_eq ((guchar) bytes->str[0], bytes_by_hand[_i].byte);
}
END_TEST

static const char *const no_bytes[] = { " ",    "a b",     "\n", "\xc5\x84", "\xe4\xbd\xa0",
                                        "\xff", "\xc2\xa0" };

START_TEST (texts_that_are_no_bytes)
{
  g_autoptr (GString) bytes = g_string_new ("before");

  ck_assert (!afp_tokenizer_unmap_bytes (no_bytes[_i], strlen (no_bytes[_i]), bytes));
  ck_assert_str_eq (bytes->str, no_bytes[_i]);
}
END_TEST

static AfpTokenizer *
make (const char *const *strings, guint n)
{
  AfpTokenizer *self = afp_tokenizer_new (n);

  for (guint i = 0; i < n; i++)
    afp_tokenizer_set_string (self, i, strings[i], strlen (strings[i]));
  self->merges = afp_merge_table_new (n);
  return self;
}

START_TEST (pieces)
{
  static const char *const strings[] = { "<0x0A>",           "<s>",    AFP_MARKER "a" AFP_MARKER,
                                         "a" AFP_MARKER "b", "<0x0G>", "<0X41>" };
  static const char *const expected[] = {
    "\n", "<s>", " a ", "a" AFP_MARKER "b", "<0x0G>", "<0X41>"
  };
  g_autoptr (AfpTokenizer) self = make (strings, G_N_ELEMENTS (strings));
  static const guint8 is_special[] = { 0, 1, 0, 1, 0, 0 };

  self->byte_fallback = TRUE;
  afp_tokenizer_make_pieces (self, is_special);
  for (guint i = 0; i < G_N_ELEMENTS (strings); i++) {
    gsize n;
    const char *piece = afp_tokenizer_get_piece (self, i, &n);
    ck_assert_uint_eq (n, strlen (expected[i]));
    ck_assert_mem_eq (piece, expected[i], n);
  }
  ck_assert_uint_eq (self->byte_ids['\n'], 0);
  ck_assert_uint_eq (self->byte_ids['A'], AFP_TOKEN_NONE);
}
END_TEST

START_TEST (names_of_bytes_are_texts_without_fallback)
{
  static const char *const strings[] = { "<0x0A>" };
  g_autoptr (AfpTokenizer) self = make (strings, 1);
  gsize n;

  afp_tokenizer_make_pieces (self, NULL);
  ck_assert_mem_eq (afp_tokenizer_get_piece (self, 0, &n), "<0x0A>", 6);
  ck_assert_uint_eq (self->byte_ids['\n'], AFP_TOKEN_NONE);
}
END_TEST

START_TEST (merges_of_tokens_only)
{
  static const char *const strings[] = { "a", "b", "ab" };
  g_autoptr (AfpTokenizer) self = make (strings, 3);
  GError *error = NULL;

  ck_assert (afp_tokenizer_add_merge (self, "a", 1, "b", 1, 0, NULL));
  ck_assert (!afp_tokenizer_add_merge (self, "b", 1, "a", 1, 1, &error));
  assert_error (error, AFP_ERROR_FORMAT, "merge 1 makes \"ba\"");
  ck_assert (!afp_tokenizer_add_merge (self, "", 0, "ab", 2, 2, &error));
  assert_error (error, AFP_ERROR_FORMAT, "merge 2 makes \"ab\", which or a part of which");
  ck_assert (!afp_tokenizer_add_merge (self, "a", 1, "\xff", 1, 3, &error));
  assert_error (error, AFP_ERROR_FORMAT, "merge 3", "\xef\xbf\xbd");
}
END_TEST

#define M AFP_MARKER

static const struct {
  const char *strings[3];
  gboolean ignore_merges, cuts;
} cuts[] = {
  { { M, M M "a", "bc" }, FALSE, TRUE },
  { { M, M "a", "a" M }, FALSE, FALSE },
  { { M, M "a" M "b", "a" }, FALSE, FALSE },
  { { "x", M "a", "a" }, FALSE, FALSE }, /* the marker is no token */
  { { M, M "a", "bc" }, TRUE, FALSE },   /* a text of many words may be a token */
};

START_TEST (words_are_cut_only_where_no_token_reaches_over)
{
  g_autoptr (AfpTokenizer) self = make (cuts[_i].strings, 3);

  self->ignore_merges = cuts[_i].ignore_merges;
  afp_tokenizer_cut_at (self, M, AFP_PRE_MARKER_WORDS);
  ck_assert_uint_eq (self->steps->len, cuts[_i].cuts ? 1 : 0);
}
END_TEST

static TCase *
all_case (void)
{
  TCase *tcase = tcase_create ("tokenizer-build");
  tcase_add_test (tcase, bytes_behind_characters);
  tcase_add_loop_test (tcase, some_bytes_by_hand, 0, G_N_ELEMENTS (bytes_by_hand));
  tcase_add_loop_test (tcase, texts_that_are_no_bytes, 0, G_N_ELEMENTS (no_bytes));
  tcase_add_test (tcase, pieces);
  tcase_add_test (tcase, names_of_bytes_are_texts_without_fallback);
  tcase_add_test (tcase, merges_of_tokens_only);
  tcase_add_loop_test (tcase, words_are_cut_only_where_no_token_reaches_over, 0,
                       G_N_ELEMENTS (cuts));
  return tcase;
}

int
main (void)
{
  TCase *(*const all[]) (void) = { all_case };

  return run_suite ("tokenizer-build", all, G_N_ELEMENTS (all));
}
