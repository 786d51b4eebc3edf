/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gguf-test.h"
#include "ids-test.h"

static const struct {
  const char *gguf, *ids;
  gboolean lossless;
  guint32 bos, eos;
  gboolean adds_bos;
} goldens[] = {
  { "gpt2.gguf", "gpt2.ids", TRUE, 601, 600, FALSE },
  { "smollm.gguf", "smollm.ids", TRUE, 601, 600, FALSE },
  { "llama3.gguf", "llama3.ids", TRUE, 602, 601, TRUE },
  { "qwen2.gguf", "qwen2.ids", FALSE, 601, 600, FALSE },
  { "llama2.gguf", "llama2.ids", FALSE, 1, 2, TRUE },
};

START_TEST (ids_of_the_reference)
{
  g_autoptr (GBytes) file = read_tokenizer_data (goldens[_i].gguf);
  GError *error = NULL;
  g_autoptr (AfpTokenizer) tokenizer = afp_tokenizer_new_gguf (file, &error);

  ck_assert_msg (tokenizer != NULL, "%s", error ? error->message : "");
  ck_assert_uint_gt (check_ids (tokenizer, goldens[_i].ids, strips_blanks, goldens[_i].lossless),
                     80);
  ck_assert_uint_eq (afp_tokenizer_get_bos (tokenizer), goldens[_i].bos);
  ck_assert_uint_eq (afp_tokenizer_get_eos (tokenizer), goldens[_i].eos);
  ck_assert_int_eq (afp_tokenizer_adds_bos (tokenizer), goldens[_i].adds_bos);
}
END_TEST

static GBytes *
read_shared (const char *shared, const char *name)
{
  g_autofree char *path = g_build_filename (shared, "data", name, NULL);
  char *data;
  gsize n;

  ck_assert (g_file_get_contents (path, &data, &n, NULL));
  return g_bytes_new_take (data, n);
}

static GArray *
encode_all (const AfpTokenizer *tokenizer, GBytes *text)
{
  gsize n;
  const char *data = g_bytes_get_data (text, &n);

  return afp_tokenizer_encode (tokenizer, data, n);
}

/* The two files of one model say the same, but for the tokens of SentencePiece that stand for no text. */
START_TEST (stories260k_as_llama2c_has_it)
{
  const char *shared = g_getenv ("AFP_TEST_SHARED");

  if (!shared || !*shared) {
    g_print ("SKIP: AFP_TEST_SHARED is not set\n");
    return;
  }
  g_autoptr (GBytes) gguf = read_shared (shared, "stories260k/stories260K.gguf");
  g_autoptr (GBytes) bin = read_shared (shared, "stories260k/tok512.bin");
  g_autoptr (GBytes) text = read_shared (shared, "text/valid200_eot.txt");
  g_autoptr (AfpTokenizer) one = afp_tokenizer_new_gguf (gguf, NULL);
  g_autoptr (AfpTokenizer) other = afp_tokenizer_new_llama2c (bin, 512, NULL);
  g_autoptr (GArray) a = encode_all (one, text), b = encode_all (other, text);
  ck_assert_uint_eq (a->len, b->len);
  ck_assert_mem_eq (a->data, b->data, a->len * sizeof (guint32));
  ck_assert_uint_eq (afp_tokenizer_get_bos (one), afp_tokenizer_get_bos (other));
  ck_assert_uint_eq (afp_tokenizer_get_eos (one), afp_tokenizer_get_eos (other));
  for (guint32 id = 3; id < 512; id++) {
    gsize n, m;
    const char *p = afp_tokenizer_get_piece (one, id, &n);
    const char *q = afp_tokenizer_get_piece (other, id, &m);
    ck_assert_msg (n == m && memcmp (p, q, n) == 0, "token %u", id);
  }
}
END_TEST

/* --- made by hand -------------------------------------------------------------------------------------------------- */

typedef struct {
  const char *model, *pre; /* (nullable) */
  const char *merge;       /* (nullable) */
  guint n_scores, n_types;
  guint32 bos;            /* G_MAXUINT32: none */
  int add_bos, add_space; /* -1: not said */
} Made;

#define MADE "a", "b", "ab", "\xc4\xa0", "\xe2\x96\x81"
static const char *const tokens[] = { MADE };

static void
put_flag (GByteArray *file, const char *key, int value)
{
  const guint8 byte = (guint8) value;

  put_key (file, key, AFP_GGUF_BOOL);
  g_byte_array_append (file, &byte, 1);
}

static void
put_array (GByteArray *file, const char *key, AfpGgufType type, guint64 n)
{
  put_key (file, key, AFP_GGUF_ARRAY);
  put_u32 (file, type);
  put_u64 (file, n);
}

static GBytes *
make (const Made *made)
{
  g_autoptr (GByteArray) file = new_gguf (
      3, 0,
      1 + !!made->model + !!made->pre + !!made->merge + (made->n_scores > 0) + (made->n_types > 0) +
          (made->bos != G_MAXUINT32) + (made->add_bos >= 0) + (made->add_space >= 0));

  if (made->model) {
    put_key (file, "tokenizer.ggml.model", AFP_GGUF_STRING);
    put_text (file, made->model);
  }
  if (made->pre) {
    put_key (file, "tokenizer.ggml.pre", AFP_GGUF_STRING);
    put_text (file, made->pre);
  }
  put_array (file, "tokenizer.ggml.tokens", AFP_GGUF_STRING, G_N_ELEMENTS (tokens));
  for (guint i = 0; i < G_N_ELEMENTS (tokens); i++)
    put_text (file, tokens[i]);
  if (made->merge) {
    put_array (file, "tokenizer.ggml.merges", AFP_GGUF_STRING, 1);
    put_text (file, made->merge);
  }
  if (made->n_scores > 0)
    put_array (file, "tokenizer.ggml.scores", AFP_GGUF_F32, made->n_scores);
  for (guint i = 0; i < made->n_scores; i++)
    put_u32 (file, 0);
  if (made->n_types > 0)
    put_array (file, "tokenizer.ggml.token_type", AFP_GGUF_I32, made->n_types);
  for (guint i = 0; i < made->n_types; i++)
    put_u32 (file, 1);
  if (made->bos != G_MAXUINT32) {
    put_key (file, "tokenizer.ggml.bos_token_id", AFP_GGUF_U32);
    put_u32 (file, made->bos);
  }
  if (made->add_bos >= 0)
    put_flag (file, "tokenizer.ggml.add_bos_token", made->add_bos);
  if (made->add_space >= 0)
    put_flag (file, "tokenizer.ggml.add_space_prefix", made->add_space);
  return g_bytes_new (file->data, file->len);
}

static const struct {
  Made made;
  const char *ids; /* of "ab ab" */
  gboolean adds_bos;
} good[] = {
  { { "gpt2", "gpt-2", "a b", 0, 0, 1, -1, -1 }, " 2 3 2", FALSE },
  { { "gpt2", NULL, "a b", 0, 5, 1, 1, -1 }, " 2 3 2", TRUE },
  { { "gpt2", "default", "a b", 0, 0, G_MAXUINT32, 1, 1 }, " 3 2 3 2", FALSE },
  { { "gpt2", "llama-bpe", "a b", 0, 0, 1, -1, -1 }, " 2 3 2", TRUE },
  { { "gpt2", "llama-bpe", "a b", 0, 0, 1, 0, -1 }, " 2 3 2", FALSE },
  { { "llama", NULL, NULL, 5, 0, 1, -1, -1 }, " 4 2 4 2", TRUE },
  { { "llama", NULL, NULL, 5, 5, 1, 0, 0 }, " 2 4 2", FALSE },
  { { "llama", NULL, NULL, 5, 0, 5, -1, -1 }, " 4 2 4 2", FALSE }, /* there is no such token */
};

START_TEST (settings)
{
  g_autoptr (GBytes) file = make (&good[_i].made);
  GError *error = NULL;
  g_autoptr (AfpTokenizer) tokenizer = afp_tokenizer_new_gguf (file, &error);

  ck_assert_msg (tokenizer != NULL, "%s", error ? error->message : "");
  g_autoptr (GArray) ids = afp_tokenizer_encode (tokenizer, "ab ab", 5);
  assert_text (ids_to_text (ids), good[_i].ids);
  ck_assert_int_eq (afp_tokenizer_adds_bos (tokenizer), good[_i].adds_bos);
}
END_TEST

static const struct {
  Made made;
  AfpError code;
  const char *says;
} bad[] = {
  { { "bert", NULL, NULL, 0, 0, 1, -1, -1 },
    AFP_ERROR_PLAN,
    "tokenizer.ggml.model is 'bert'; supported: gpt2, llama" },
  { { NULL, NULL, NULL, 0, 0, 1, -1, -1 }, AFP_ERROR_PLAN, "tokenizer.ggml.model is 'missing'" },
  { { "gpt2", "tekken", "a b", 0, 0, 1, -1, -1 },
    AFP_ERROR_PLAN,
    "tokenizer.ggml.pre is 'tekken'; supported: default, gpt-2, smollm" },
  { { "gpt2", "gpt-2", NULL, 0, 0, 1, -1, -1 }, AFP_ERROR_FORMAT, "lacks 'tokenizer.ggml.merges'" },
  { { "gpt2", "gpt-2", "ab", 0, 0, 1, -1, -1 }, AFP_ERROR_FORMAT, "merge 0 is no pair" },
  { { "gpt2", "gpt-2", "", 0, 0, 1, -1, -1 }, AFP_ERROR_FORMAT, "merge 0 is no pair" },
  { { "gpt2", "gpt-2", "b a", 0, 0, 1, -1, -1 }, AFP_ERROR_FORMAT, "merge 0 makes \"ba\"" },
  { { "gpt2", "gpt-2", "a b", 0, 4, 1, -1, -1 },
    AFP_ERROR_FORMAT,
    "'tokenizer.ggml.token_type' has 4 values, not one for each of 5 tokens" },
  { { "llama", NULL, NULL, 0, 0, 1, -1, -1 }, AFP_ERROR_FORMAT, "lacks 'tokenizer.ggml.scores'" },
  { { "llama", NULL, NULL, 6, 0, 1, -1, -1 }, AFP_ERROR_FORMAT, "'tokenizer.ggml.scores' has 6" },
};

START_TEST (what_is_refused)
{
  g_autoptr (GBytes) file = make (&bad[_i].made);
  GError *error = NULL;

  ck_assert_ptr_null (afp_tokenizer_new_gguf (file, &error));
  assert_error (error, (int) bad[_i].code, "the tokenizer", bad[_i].says);
}
END_TEST

START_TEST (a_head_that_is_cut_off)
{
  g_autoptr (GBytes) file = read_tokenizer_data ("gpt2.gguf");

  for (gsize n = 0; n < g_bytes_get_size (file); n += 101) {
    g_autoptr (GBytes) part = g_bytes_new_from_bytes (file, 0, n);
    GError *error = NULL;
    ck_assert_ptr_null (afp_tokenizer_new_gguf (part, &error));
    assert_error (error, AFP_ERROR_FORMAT, "gguf.metadata");
  }
}
END_TEST

START_TEST (tokens_that_are_no_texts)
{
  g_autoptr (GByteArray) numbers = new_gguf (3, 0, 2), none = new_gguf (3, 0, 2);
  GByteArray *const files[] = { numbers, none };
  static const char *const says[] = { "'tokenizer.ggml.tokens' is of a wrong type",
                                      "it has 0 tokens" };

  for (guint i = 0; i < 2; i++) {
    GError *error = NULL;
    put_key (files[i], "tokenizer.ggml.model", AFP_GGUF_STRING);
    put_text (files[i], "gpt2");
    put_array (files[i], "tokenizer.ggml.tokens", i ? AFP_GGUF_STRING : AFP_GGUF_U8, i ? 0 : 1);
    g_byte_array_append (files[i], (const guint8 *) "", i ? 0 : 1);
    g_autoptr (GBytes) file = g_bytes_new (files[i]->data, files[i]->len);
    ck_assert_ptr_null (afp_tokenizer_new_gguf (file, &error));
    assert_error (error, AFP_ERROR_FORMAT, says[i]);
  }
}
END_TEST

static TCase *
good_case (void)
{
  TCase *tcase = tcase_create ("good");
  tcase_add_loop_test (tcase, ids_of_the_reference, 0, G_N_ELEMENTS (goldens));
  tcase_add_test (tcase, stories260k_as_llama2c_has_it);
  tcase_add_loop_test (tcase, settings, 0, G_N_ELEMENTS (good));
  return tcase;
}

static TCase *
bad_case (void)
{
  TCase *tcase = tcase_create ("bad");
  tcase_add_loop_test (tcase, what_is_refused, 0, G_N_ELEMENTS (bad));
  tcase_add_test (tcase, a_head_that_is_cut_off);
  tcase_add_test (tcase, tokens_that_are_no_texts);
  return tcase;
}

int
main (void)
{
  TCase *(*const all[]) (void) = { good_case, bad_case };

  return run_suite ("tokenizer-gguf", all, G_N_ELEMENTS (all));
}
