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

START_TEST (every_shorter_file_is_refused)
{
  g_autoptr (GBytes) file = make_tokenizer_file ();
  const gsize size = g_bytes_get_size (file);

  for (gsize n = 0; n < size; n += n < 64 || n > size - 64 ? 1 : 37) {
    g_autoptr (GBytes) part = g_bytes_new_from_bytes (file, 0, n);
    g_autoptr (GError) error = NULL;
    ck_assert_ptr_null (afp_tokenizer_new_llama2c (part, TEST_VOCAB, &error));
    ck_assert (g_error_matches (error, AFP_ERROR, AFP_ERROR_FORMAT));
  }
}
END_TEST

static const struct {
  gint more;
  const char *says;
} sizes[] = {
  { 1, "ends after 268 of 269 tokens: is it the one of this model?" },
  { -1, "has more than the 267 tokens" },
  { -100, "has 259 tokens at least, the model has 168" },
};

START_TEST (another_vocabulary_is_refused)
{
  g_autoptr (GBytes) file = make_tokenizer_file ();
  GError *error = NULL;

  ck_assert_ptr_null (
      afp_tokenizer_new_llama2c (file, (guint) ((gint) TEST_VOCAB + sizes[_i].more), &error));
  assert_error (error, AFP_ERROR_FORMAT, sizes[_i].says);
}
END_TEST

START_TEST (a_piece_beyond_the_end_is_refused)
{
  g_autoptr (GBytes) file = make_tokenizer_file ();
  gsize n;
  g_autofree guint8 *bytes = g_memdup2 (g_bytes_get_data (file, &n), g_bytes_get_size (file));
  GError *error = NULL;

  memset (bytes + 8, 0xff, 4); /* the length of <unk> */
  g_autoptr (GBytes) damaged = g_bytes_new (bytes, n);
  ck_assert_ptr_null (afp_tokenizer_new_llama2c (damaged, TEST_VOCAB, &error));
  assert_error (error, AFP_ERROR_FORMAT, "token 0 has 4294967295 bytes");
}
END_TEST

static TCase *
good_case (void)
{
  TCase *tcase = tcase_create ("good");
  tcase_add_loop_test (tcase, texts_by_hand, 0, G_N_ELEMENTS (cases));
  tcase_add_test (tcase, pieces_are_given_back);
  tcase_add_test (tcase, noise_is_encoded);
  return tcase;
}

static TCase *
bad_case (void)
{
  TCase *tcase = tcase_create ("bad");
  tcase_add_test (tcase, every_shorter_file_is_refused);
  tcase_add_loop_test (tcase, another_vocabulary_is_refused, 0, G_N_ELEMENTS (sizes));
  tcase_add_test (tcase, a_piece_beyond_the_end_is_refused);
  return tcase;
}

int
main (void)
{
  TCase *(*const all[]) (void) = { good_case, bad_case };

  return run_suite ("tokenizer", all, G_N_ELEMENTS (all));
}
