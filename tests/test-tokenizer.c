/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tokenizer-test.h"

static const struct {
  const char *text;
  guint n;
  guint32 ids[8];
} cases[] = {
  { "", 0, { 0 } },
  { "abc", 2, { 259, 265 } }, /* "ab" before "bc": the better score; then "abc" before " a" */
  { "a", 1, { 266 } },        /* with the blank */
  { "bc", 2, { 259, 264 } },
  { "z", 2, { 259, 3 + 'z' } },
  { "\xc3\xa9", 2, { 259, 267 } },
  { "\xc3", 2, { 259, 3 + 0xc3 } }, /* cut off */
  { "\xe2\x82\xac", 4, { 259, 3 + 0xe2, 3 + 0x82, 3 + 0xac } },
  { "\xa9z", 3, { 259, 3 + 0xa9, 3 + 'z' } },
};

START_TEST (texts_by_hand)
{
  g_autoptr (AfpTokenizer) tokenizer = make_tokenizer ();
  g_autoptr (GArray) ids =
      afp_tokenizer_encode (tokenizer, cases[_i].text, strlen (cases[_i].text));

  ck_assert_uint_eq (ids->len, cases[_i].n);
  for (guint i = 0; i < ids->len; i++)
    ck_assert_uint_eq (g_array_index (ids, guint32, i), cases[_i].ids[i]);
}
END_TEST

START_TEST (pieces_are_given_back)
{
  g_autoptr (AfpTokenizer) tokenizer = make_tokenizer ();
  gsize n;

  ck_assert_uint_eq (afp_tokenizer_get_size (tokenizer), TEST_VOCAB);
  ck_assert_mem_eq (afp_tokenizer_get_piece (tokenizer, 265, &n), "abc", 3);
  ck_assert_uint_eq (n, 3);
  ck_assert_mem_eq (afp_tokenizer_get_piece (tokenizer, 3 + 'z', &n), "z", 1);
  ck_assert_uint_eq (n, 1);
}
END_TEST

/* Any bytes have tokens. */
START_TEST (noise_is_encoded)
{
  g_autoptr (AfpTokenizer) tokenizer = make_tokenizer ();
  char noise[4096];

  for (guint i = 0; i < sizeof noise; i++)
    noise[i] = (char) (i * i * 7 >> 3);
  g_autoptr (GArray) ids = afp_tokenizer_encode (tokenizer, noise, sizeof noise);
  ck_assert_uint_gt (ids->len, 1000);
  for (guint i = 0; i < ids->len; i++)
    ck_assert_uint_lt (g_array_index (ids, guint32, i), TEST_VOCAB);
}
END_TEST

/* Words that were met before are taken from what is kept of them: the ids do not depend on it. */
START_TEST (words_that_come_again)
{
  g_autoptr (AfpTokenizer) tokenizer = make_tokenizer ();
  static const char *const words[] = { " abc", " a", " bc", " \xe2\x82\xac\xe2\x82\xac\xe2\x82\xac",
                                       " abcabcabcabcabcabcabcabcabc" };
  g_autoptr (GString) text = g_string_new (NULL);
  g_autoptr (GArray) expected = g_array_new (FALSE, FALSE, sizeof (guint32));

  for (guint i = 0; i < 300; i++) {
    const char *word = words[i * i % G_N_ELEMENTS (words)];
    g_autoptr (GArray) ids = afp_tokenizer_encode (tokenizer, word + 1, strlen (word) - 1);
    g_array_append_vals (expected, ids->data, ids->len);
    g_string_append (text, word);
  }
  g_autoptr (GArray) ids = afp_tokenizer_encode (tokenizer, text->str + 1, text->len - 1);
  ck_assert_uint_eq (ids->len, expected->len);
  ck_assert_mem_eq (ids->data, expected->data, ids->len * sizeof (guint32));
}
END_TEST

START_TEST (broken_bytes_keep_their_tokens)
{
  g_autoptr (AfpTokenizer) tokenizer = make_tokenizer ();
  static const char broken[] = "a\xc3\xa9\xa9\xff z";
  g_autoptr (GArray) ids = afp_tokenizer_encode (tokenizer, broken, sizeof broken - 1);
  static const guint32 expected[] = { 266, 267, 3 + 0xa9, 3 + 0xff, 259, 3 + 'z' };

  ck_assert_uint_eq (ids->len, G_N_ELEMENTS (expected));
  ck_assert_mem_eq (ids->data, expected, sizeof expected);
}
END_TEST

START_TEST (no_text_no_tokens)
{
  g_autoptr (AfpTokenizer) tokenizer = make_tokenizer ();
  g_autoptr (GArray) ids = afp_tokenizer_encode (tokenizer, NULL, 0);

  ck_assert_uint_eq (ids->len, 0);
}
END_TEST

static TCase *
all_case (void)
{
  TCase *tcase = tcase_create ("tokenizer");
  tcase_add_loop_test (tcase, texts_by_hand, 0, G_N_ELEMENTS (cases));
  tcase_add_test (tcase, pieces_are_given_back);
  tcase_add_test (tcase, noise_is_encoded);
  tcase_add_test (tcase, words_that_come_again);
  tcase_add_test (tcase, broken_bytes_keep_their_tokens);
  tcase_add_test (tcase, no_text_no_tokens);
  return tcase;
}

int
main (void)
{
  TCase *(*const all[]) (void) = { all_case };

  return run_suite ("tokenizer", all, G_N_ELEMENTS (all));
}
