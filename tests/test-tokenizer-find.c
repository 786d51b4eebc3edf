/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gguf-test.h"
#include "ids-test.h"
#include "tokenizer-test.h"

/* Of the last element of `load location=PATH MORE ! null`. */
static AfpTokenizer *
find (const char *path, const char *more, guint vocab, GError **error)
{
  g_autofree char *text = g_strdup_printf ("load location=%%s %s ! null", more);
  g_autoptr (AfpPipeline) pipeline = NULL;
  AfpElement *element = last_of (text, path, &pipeline);
  const AfpLmConfig config = { .vocab = vocab, .bos = 7, .eos = G_MAXUINT };

  return afp_tokenizer_find (element, &config, error);
}

static char *
put_model (void)
{
  return put_safetensors (
      "m.safetensors", "{\"a\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]}}", 16);
}

static void
put_data (const char *from, const char *to)
{
  g_autoptr (GBytes) bytes = read_tokenizer_data (from);

  g_free (put_file (to, g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes)));
}

/* The head of a GGUF file, and a tensor behind it. */
static char *
put_gguf_model (const char *from)
{
  static const guint64 shape[] = { 4 };
  const guint64 one = GUINT64_TO_LE (1);
  g_autoptr (GBytes) bytes = read_tokenizer_data (from);
  g_autoptr (GByteArray) file = g_byte_array_new ();

  g_byte_array_append (file, g_bytes_get_data (bytes, NULL), (guint) g_bytes_get_size (bytes));
  memcpy (file->data + 8, &one, 8);
  put_tensor (file, "a", 1, shape, 0, 0);
  put_padding (file, 32);
  put_counting_bytes (file, 16);
  return put_gguf ("m.gguf", file);
}

START_TEST (beside_the_model)
{
  g_autofree char *path = put_model ();
  GError *error = NULL;

  put_data ("llama3.json", "tokenizer.json");
  g_autoptr (AfpTokenizer) tokenizer = find (path, "", 1000, &error);
  ck_assert_msg (tokenizer != NULL, "%s", error ? error->message : "");
  ck_assert_uint_eq (afp_tokenizer_get_bos (tokenizer), 602); /* its own goes before the model's */
  ck_assert_uint_eq (afp_tokenizer_get_eos (tokenizer), AFP_TOKEN_NONE);
}
END_TEST

START_TEST (begin_from_the_model)
{
  g_autofree char *path = put_model ();

  put_data ("gpt2.json", "tokenizer.json");
  g_autoptr (AfpTokenizer) tokenizer = find (path, "", 1000, NULL);
  ck_assert_uint_eq (afp_tokenizer_get_bos (tokenizer), 7);
  ck_assert (!afp_tokenizer_adds_bos (tokenizer));
}
END_TEST

START_TEST (given_with_the_model)
{
  g_autofree char *path = put_model ();
  g_autoptr (GBytes) bytes = make_tokenizer_file ();
  g_autofree char *file =
      put_file ("t.bin", g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes));
  g_autofree char *more = g_strdup_printf ("tokenizer=%s", file);
  g_autoptr (AfpTokenizer) tokenizer = find (path, more, TEST_VOCAB, NULL);

  ck_assert_ptr_nonnull (tokenizer);
  ck_assert_uint_eq (afp_tokenizer_get_size (tokenizer), TEST_VOCAB);
  ck_assert_uint_eq (afp_tokenizer_get_bos (tokenizer), 1);
}
END_TEST

START_TEST (in_a_gguf_file)
{
  g_autofree char *path = put_gguf_model ("smollm.gguf");
  g_autoptr (AfpTokenizer) tokenizer = find (path, "", 605, NULL);
  ck_assert_ptr_nonnull (tokenizer);
  ck_assert_uint_eq (afp_tokenizer_get_bos (tokenizer), 601);
}
END_TEST

START_TEST (a_json_goes_before_a_gguf)
{
  g_autofree char *path = put_gguf_model ("smollm.gguf"), *json = in_folder ("t.json");
  g_autofree char *more = g_strdup_printf ("tokenizer=%s", json);

  put_data ("llama2.json", "t.json");
  g_autoptr (AfpTokenizer) tokenizer = find (path, more, 1000, NULL);
  ck_assert_ptr_nonnull (tokenizer);
  ck_assert_uint_eq (afp_tokenizer_get_bos (tokenizer), 1);
}
END_TEST

START_TEST (none_says_what_to_do)
{
  g_autofree char *path = put_model ();
  GError *error = NULL;

  ck_assert_ptr_null (find (path, "", 1000, &error));
  assert_error (error, AFP_ERROR_PLAN, "null0: no model upstream has a tokenizer",
                "'tokenizer.json', 'llama2c.tokenizer' or 'gguf.metadata'",
                "there is nothing. Name the model's own: load location=MODEL tokenizer=FILE");
}
END_TEST

START_TEST (another_models)
{
  g_autofree char *path = put_model ();
  GError *error = NULL;

  put_data ("gpt2.json", "tokenizer.json");
  ck_assert_ptr_null (find (path, "", 500, &error));
  assert_error (error, AFP_ERROR_FORMAT, "605 tokens, the model's vocabulary 500",
                "is it the one of this model?");
}
END_TEST

START_TEST (what_cannot_be_read_says_why)
{
  g_autofree char *path = put_model ();
  g_autofree char *json G_GNUC_UNUSED =
      put_file ("tokenizer.json", "{\"model\":{\"type\":\"WordPiece\"}}", 30);
  g_autoptr (GByteArray) small = small_gguf (3);
  g_autofree char *gguf = put_gguf ("small.gguf", small);
  GError *error = NULL;

  ck_assert_ptr_null (find (path, "", 1000, &error));
  assert_error (error, AFP_ERROR_PLAN, "its model is 'WordPiece'; supported: BPE");
  ck_assert_ptr_null (find (gguf, "", 1000, &error));
  assert_error (error, AFP_ERROR_PLAN, "tokenizer.ggml.model is 'missing'");
}
END_TEST

static TCase *
all_case (void)
{
  TCase *tcase = io_case ("tokenizer-find");
  tcase_add_test (tcase, beside_the_model);
  tcase_add_test (tcase, begin_from_the_model);
  tcase_add_test (tcase, given_with_the_model);
  tcase_add_test (tcase, in_a_gguf_file);
  tcase_add_test (tcase, a_json_goes_before_a_gguf);
  tcase_add_test (tcase, none_says_what_to_do);
  tcase_add_test (tcase, another_models);
  tcase_add_test (tcase, what_cannot_be_read_says_why);
  return tcase;
}

int
main (void)
{
  TCase *(*const all[]) (void) = { all_case };

  return run_suite ("tokenizer-find", all, G_N_ELEMENTS (all));
}
