/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ids-test.h"

/* @from of a file of ours, once, becomes @to. */
static GBytes *
edit (const char *file, const char *from, const char *to)
{
  g_autoptr (GBytes) bytes = read_tokenizer_data (file);
  g_autoptr (GString) text =
      g_string_new_len (g_bytes_get_data (bytes, NULL), (gssize) g_bytes_get_size (bytes));

  ck_assert_msg (g_string_replace (text, from, to, 1) == 1, "%s: no %s", file, from);
  return g_string_free_to_bytes (g_steal_pointer (&text));
}

static gboolean
is_not_nfc (const GString *text)
{
  return strips_blanks (text) || strstr (text->str, "\xcc\x81") != NULL;
}

static const struct {
  const char *json, *ids;
  SkipFunc lossy;
  gboolean lossless;
  guint32 bos;
} goldens[] = {
  { "gpt2.json", "gpt2.ids", strips_blanks, TRUE, AFP_TOKEN_NONE },
  { "smollm.json", "smollm.ids", strips_blanks, TRUE, AFP_TOKEN_NONE },
  { "llama3.json", "llama3.ids", strips_blanks, TRUE, 602 },
  { "qwen2.json", "qwen2.ids", is_not_nfc, TRUE, AFP_TOKEN_NONE },
  { "prefix.json", "prefix.ids", NULL, FALSE, AFP_TOKEN_NONE },
  { "llama2.json", "llama2.ids", NULL, FALSE, 1 },
  { "metaspace.json", "metaspace.ids", NULL, FALSE, 1 },
};

static AfpTokenizer *
open_golden (guint i)
{
  g_autoptr (GBytes) file = read_tokenizer_data (goldens[i].json);
  GError *error = NULL;
  AfpTokenizer *tokenizer = afp_tokenizer_new_json (file, &error);

  ck_assert_msg (tokenizer != NULL, "%s", error ? error->message : "");
  return tokenizer;
}

START_TEST (ids_of_the_reference)
{
  g_autoptr (AfpTokenizer) tokenizer = open_golden ((guint) _i);

  ck_assert_uint_gt (check_ids (tokenizer, goldens[_i].ids, NULL, FALSE), 90);
  if (goldens[_i].lossless)
    ck_assert_uint_gt (check_ids (tokenizer, goldens[_i].ids, goldens[_i].lossy, TRUE), 80);
  ck_assert_uint_eq (afp_tokenizer_get_bos (tokenizer), goldens[_i].bos);
  ck_assert_int_eq (afp_tokenizer_adds_bos (tokenizer), goldens[_i].bos != AFP_TOKEN_NONE);
  ck_assert_uint_eq (afp_tokenizer_get_eos (tokenizer), AFP_TOKEN_NONE);
}
END_TEST

/* A longer text, and the same in parts that fall on ends of words. */
START_TEST (long_texts)
{
  g_autoptr (AfpTokenizer) tokenizer = open_golden ((guint) _i);
  g_autofree char *path = g_build_filename (g_getenv ("AFP_TEST_SRCDIR"), "COPYING", NULL);
  g_autofree char *text = NULL;
  gsize n;

  ck_assert (g_file_get_contents (path, &text, &n, NULL));
  g_autoptr (GArray) ids = afp_tokenizer_encode (tokenizer, text, n);
  g_autoptr (GArray) again = afp_tokenizer_encode (tokenizer, text, n);
  g_autoptr (GString) joined = join_pieces (tokenizer, ids);
  ck_assert_uint_gt (ids->len, n / 8);
  ck_assert_uint_eq (again->len, ids->len);
  ck_assert_mem_eq (again->data, ids->data, ids->len * sizeof (guint32));
  ck_assert_mem_eq (joined->str + (joined->len - n), text, n);
  ck_assert_uint_le (joined->len - n, goldens[_i].lossless ? 0 : 1);
}
END_TEST

static const struct {
  const char *file, *from, *to;
  const char *text, *ids;
} variants[] = {
  /* behind the text too */
  { "llama2.json", "{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}]",
    "{\"Sequence\":{\"id\":\"A\",\"type_id\":0}},{\"SpecialToken\":{\"id\":\"</s>\"}}]", "<s>",
    " 1" },
  /* two unknown characters become one unknown token */
  { "llama2.json", "\"byte_fallback\":true", "\"byte_fallback\":false", "\xe2\x98\x83\xe2\x98\x83",
    " 758 0" },
  { "gpt2.json", "\"ignore_merges\":false", "\"ignore_merges\":true", "a", " 64" },
};

START_TEST (variants_of_settings)
{
  g_autoptr (GBytes) file = edit (variants[_i].file, variants[_i].from, variants[_i].to);
  GError *error = NULL;
  g_autoptr (AfpTokenizer) tokenizer = afp_tokenizer_new_json (file, &error);

  ck_assert_msg (tokenizer != NULL, "%s", error ? error->message : "");
  g_autoptr (GArray) ids =
      afp_tokenizer_encode (tokenizer, variants[_i].text, strlen (variants[_i].text));
  assert_text (ids_to_text (ids), variants[_i].ids);
  if (_i == 0)
    ck_assert_uint_eq (afp_tokenizer_get_eos (tokenizer), 2);
}
END_TEST

/* Characters without tokens: left out, one unknown token each, or one for all. */
START_TEST (what_has_no_token)
{
  static const char model[] =
      "{\"model\":{\"type\":\"BPE\",%s\"vocab\":{\"a\":0,\"b\":1,\"ab\":2,\"?\":3},"
      "\"merges\":[\"a b\"]}}";
  static const struct {
    const char *settings, *ids;
  } cases[] = {
    { "", " 0 2" }, /* what is left grows together */
    { "\"unk_token\":\"?\",", " 0 0 3 3 1 3" },
    { "\"unk_token\":\"?\",\"fuse_unk\":true,", " 0 0 3 1 3" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree char *text = g_strdup_printf (model, cases[i].settings);
    g_autoptr (GBytes) file = g_bytes_new (text, strlen (text));
    g_autoptr (AfpTokenizer) tokenizer = afp_tokenizer_new_json (file, NULL);
    g_autoptr (GArray) ids = afp_tokenizer_encode (tokenizer, "aaxxb\xff", 6);
    assert_text (ids_to_text (ids), cases[i].ids);
  }
}
END_TEST

static const struct {
  const char *file, *from, *to;
  AfpError code;
  const char *says;
} refused[] = {
  { "gpt2.json", "\"type\":\"BPE\"", "\"type\":\"Unigram\"", AFP_ERROR_PLAN,
    "its model is 'Unigram'; supported: BPE" },
  { "gpt2.json", "\"dropout\":null", "\"dropout\":0.5", AFP_ERROR_PLAN, "dropout" },
  { "gpt2.json", "\"end_of_word_suffix\":null", "\"end_of_word_suffix\":\"</w>\"", AFP_ERROR_PLAN,
    "end_of_word_suffix is '</w>'; supported: none" },
  { "gpt2.json", "\"single_word\":false", "\"single_word\":true", AFP_ERROR_PLAN,
    "single_word is '<|endoftext|>'" },
  { "gpt2.json", "\"unk_token\":null", "\"unk_token\":\"nowhere\"", AFP_ERROR_FORMAT,
    "unk_token is no token" },
  { "gpt2.json", "\"vocab\":{", "\"vocab\":[{", AFP_ERROR_FORMAT, "tokenizer.json is damaged" },
  { "gpt2.json", "\"vocab\":", "\"words\":", AFP_ERROR_FORMAT, "its model has no vocab" },
  { "gpt2.json", "\"merges\":", "\"pairs\":", AFP_ERROR_FORMAT, "its model has no merges" },
  { "gpt2.json", "\"model\":", "\"other\":", AFP_ERROR_FORMAT, "it has no model" },
  { "gpt2.json", "\"!\":0,", "\"!\":-1,", AFP_ERROR_FORMAT,
    "the number of the token \"!\" is none" },
  { "gpt2.json", "\"!\":0,", "\"!\":\"0\",", AFP_ERROR_FORMAT,
    "the number of the token \"!\" is none" },
  { "gpt2.json", "\"!\":0,", "\"!\":1,", AFP_ERROR_FORMAT, "token 1 is there twice" },
  { "gpt2.json", "\"!\":0,", "\"!\":99999,", AFP_ERROR_FORMAT, "but numbers up to 99999" },
  { "gpt2.json", "\"!\":0,", "\"!\":99999999999,", AFP_ERROR_FORMAT, "is none" },
  { "gpt2.json", "\"id\":600", "\"id\":5", AFP_ERROR_FORMAT, "token 5 is there twice" },
  { "gpt2.json", "\"content\":\"<|endoftext|>\"", "\"content\":\"a\"", AFP_ERROR_FORMAT,
    "the added token \"a\" is number 600 and 64" },
  { "gpt2.json", "\"content\":\"<|endoftext|>\"", "\"content\":\"\"", AFP_ERROR_FORMAT,
    "an added token has no id or no content" },
  { "gpt2.json", "\"id\":600", "\"id\":-3", AFP_ERROR_FORMAT, "has no id or no content" },
  { "gpt2.json", "\"merges\":[\"", "\"merges\":[\"x\",\"", AFP_ERROR_FORMAT,
    "merge 0 is no pair of tokens" },
  { "gpt2.json", "\"merges\":[\"", "\"merges\":[\"a b c\",\"", AFP_ERROR_FORMAT, "merge 0" },
  { "gpt2.json", "\"merges\":[\"", "\"merges\":[\"q q\",\"", AFP_ERROR_FORMAT,
    "merge 0 makes \"qq\", which or a part of which is no token" },
  { "smollm.json", "\"merges\":[[", "\"merges\":[[1,2],[", AFP_ERROR_FORMAT, "merge 0 is no pair" },
  { "smollm.json", "\"merges\":[[", "\"merges\":[[\"a\"],[", AFP_ERROR_FORMAT,
    "merge 0 is no pair" },
  { "smollm.json", "\"merges\":[[", "\"merges\":[null,[", AFP_ERROR_FORMAT, "merge 0 is no pair" },
};

START_TEST (what_is_refused)
{
  g_autoptr (GBytes) file = edit (refused[_i].file, refused[_i].from, refused[_i].to);
  GError *error = NULL;

  ck_assert_ptr_null (afp_tokenizer_new_json (file, &error));
  assert_error (error, (int) refused[_i].code, "tokenizer", refused[_i].says);
}
END_TEST

static const char *const no_objects[] = { "", "{", "[]", "3", "{}", "{\"model\":[]}", "\xff" };

START_TEST (what_is_no_tokenizer)
{
  g_autoptr (GBytes) file = g_bytes_new (no_objects[_i], strlen (no_objects[_i]));
  GError *error = NULL;

  ck_assert_ptr_null (afp_tokenizer_new_json (file, &error));
  assert_error (error, AFP_ERROR_FORMAT, "tokenizer.json");
}
END_TEST

static TCase *
good_case (void)
{
  TCase *tcase = tcase_create ("good");
  tcase_add_loop_test (tcase, ids_of_the_reference, 0, G_N_ELEMENTS (goldens));
  tcase_add_loop_test (tcase, long_texts, 0, G_N_ELEMENTS (goldens));
  tcase_add_loop_test (tcase, variants_of_settings, 0, G_N_ELEMENTS (variants));
  tcase_add_test (tcase, what_has_no_token);
  return tcase;
}

static TCase *
bad_case (void)
{
  TCase *tcase = tcase_create ("bad");
  tcase_add_loop_test (tcase, what_is_refused, 0, G_N_ELEMENTS (refused));
  tcase_add_loop_test (tcase, what_is_no_tokenizer, 0, G_N_ELEMENTS (no_objects));
  return tcase;
}

int
main (void)
{
  TCase *(*const all[]) (void) = { good_case, bad_case };

  return run_suite ("tokenizer-json", all, G_N_ELEMENTS (all));
}
