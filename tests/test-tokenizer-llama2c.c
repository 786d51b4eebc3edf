/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tokenizer-test.h"

START_TEST (begin_and_end)
{
  g_autoptr (AfpTokenizer) tokenizer = make_tokenizer ();

  ck_assert_uint_eq (afp_tokenizer_get_bos (tokenizer), 1);
  ck_assert_uint_eq (afp_tokenizer_get_eos (tokenizer), 2);
  ck_assert (afp_tokenizer_adds_bos (tokenizer));
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
all_case (void)
{
  TCase *tcase = tcase_create ("tokenizer-llama2c");
  tcase_add_test (tcase, begin_and_end);
  tcase_add_test (tcase, every_shorter_file_is_refused);
  tcase_add_loop_test (tcase, another_vocabulary_is_refused, 0, G_N_ELEMENTS (sizes));
  tcase_add_test (tcase, a_piece_beyond_the_end_is_refused);
  return tcase;
}

int
main (void)
{
  TCase *(*const all[]) (void) = { all_case };

  return run_suite ("tokenizer-llama2c", all, G_N_ELEMENTS (all));
}
