/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gguf-test.h"

#include "afp-lm-config.h"

#include <math.h>

/* --- heads made up here ------------------------------------------------------------------------------------------- */

/* One value; @text decides if it is there: a string, or a number in it where @type is one. */
typedef struct {
  const char *key;
  AfpGgufType type;
  const char *text;
} Entry;

#define MODEL(arch)                                                          \
  { "general.architecture", AFP_GGUF_STRING, arch },                         \
      { arch ".context_length", AFP_GGUF_U32, "2048" },                      \
      { arch ".embedding_length", AFP_GGUF_U32, "64" },                      \
      { arch ".feed_forward_length", AFP_GGUF_U32, "172" },                  \
      { arch ".block_count", AFP_GGUF_U32, "5" },                            \
      { arch ".attention.head_count", AFP_GGUF_U32, "8" },                   \
      { arch ".attention.head_count_kv", AFP_GGUF_U32, "4" },                \
      { arch ".attention.layer_norm_rms_epsilon", AFP_GGUF_F32, "0.00001" }, \
      { arch ".vocab_size", AFP_GGUF_U32, "512" },                           \
  {                                                                          \
    "tokenizer.ggml.bos_token_id", AFP_GGUF_U32, "1"                         \
  }

static void
put_entry (GByteArray *file, const Entry *entry)
{
  union {
    float f;
    guint32 u;
  } value = { .f = (float) g_ascii_strtod (entry->text, NULL) };

  put_key (file, entry->key, entry->type);
  if (entry->type == AFP_GGUF_STRING)
    put_text (file, entry->text);
  else if (entry->type == AFP_GGUF_ARRAY) { /* so many numbers */
    const guint n = (guint) atoi (entry->text);
    put_u32 (file, AFP_GGUF_U32);
    put_u64 (file, n);
    for (guint i = 0; i < n; i++)
      put_u32 (file, i);
  } else
    put_u32 (file, entry->type == AFP_GGUF_F32 ? value.u : (guint32) atoi (entry->text));
}

/* @entries, with those of @others in place of what has their key; one without a text takes it away. */
static GBytes *
make_head (const Entry *entries, guint n, const Entry *others, guint n_others)
{
  g_autoptr (GByteArray) values = g_byte_array_new ();
  guint64 count = 0;

  for (guint i = 0; i < n + n_others; i++) {
    const Entry *entry = i < n ? &entries[i] : &others[i - n];
    gboolean replaced = entry->text == NULL;
    for (guint k = 0; i < n && k < n_others; k++)
      replaced = replaced || g_strcmp0 (others[k].key, entry->key) == 0;
    if (replaced)
      continue;
    put_entry (values, entry);
    count++;
  }
  GByteArray *file = new_gguf (3, 0, count);
  g_byte_array_append (file, values->data, values->len);
  return g_byte_array_free_to_bytes (file);
}

/* An AfpLmRows: names, separated by blanks, all of 300 rows. */
static guint64
rows_of (gpointer user_data, const char *name)
{
  g_auto (GStrv) names = g_strsplit (user_data, " ", -1);

  return g_strv_contains ((const char *const *) names, name) ? 300 : 0;
}

static gboolean
read_head (const Entry *entries, guint n, const Entry *others, guint n_others, const char *tensors,
           AfpLmConfig *config, GError **error)
{
  g_autoptr (GBytes) head = make_head (entries, n, others, n_others);

  return afp_lm_config_from_gguf (head, rows_of, (gpointer) tensors, config, error);
}

static const Entry llama[] = { MODEL ("llama") }, qwen2[] = { MODEL ("qwen2") },
                   qwen3[] = { MODEL ("qwen3") };

START_TEST (a_llama)
{
  const Entry others[] = { { "llama.rope.freq_base", AFP_GGUF_F32, "500000" },
                           { "tokenizer.ggml.eos_token_id", AFP_GGUF_U32, "2" } };
  AfpLmConfig config;
  GError *error = NULL;

  ck_assert_msg (
      read_head (llama, G_N_ELEMENTS (llama), others, 2, "output.weight", &config, &error), "%s",
      error ? error->message : "");
  ck_assert_str_eq (config.architecture, "llama");
  ck_assert (config.dim == 64 && config.hidden == 172 && config.n_layers == 5);
  ck_assert (config.n_heads == 8 && config.n_kv_heads == 4 && config.head_dim == 8);
  ck_assert (config.context == 2048 && config.vocab == 512);
  ck_assert_double_eq (config.rope_base, 500000);
  ck_assert_float_eq (config.norm_eps, 1e-5f);
  ck_assert (config.interleaved && !config.tied && !config.biases && !config.head_norms);
  ck_assert (config.bos == 1 && config.eos == 2 && config.names == AFP_LM_NAMES_GGUF);
  ck_assert (!config.rope_tensor && config.rope == AFP_LM_ROPE_PLAIN);
}
END_TEST

/* What no key tells. */
START_TEST (tensors_tell_the_rest)
{
  AfpLmConfig config;

  ck_assert (read_head (llama, G_N_ELEMENTS (llama), NULL, 0,
                        "token_embd.weight rope_freqs.weight blk.0.attn_q.bias", &config, NULL));
  ck_assert (config.tied && config.rope_tensor && config.biases && !config.output_bias);
  ck_assert_uint_eq (config.vocab, 300);
}
END_TEST

START_TEST (qwen_turns_halves)
{
  const Entry linear[] = { { "qwen2.rope.scaling.type", AFP_GGUF_STRING, "linear" },
                           { "qwen2.rope.scaling.factor", AFP_GGUF_F32, "4" },
                           { "tokenizer.ggml.bos_token_id", AFP_GGUF_U32, NULL } };
  const Entry wide[] = { { "qwen3.attention.key_length", AFP_GGUF_U32, "128" },
                         { "qwen3.attention.value_length", AFP_GGUF_U32, "128" },
                         { "qwen3.attention.head_count_kv", AFP_GGUF_U32, NULL },
                         { "qwen3.vocab_size", AFP_GGUF_U32, NULL },
                         { "tokenizer.ggml.tokens", AFP_GGUF_ARRAY, "7" } };
  AfpLmConfig config;

  ck_assert (read_head (qwen2, G_N_ELEMENTS (qwen2), linear, 3, "", &config, NULL));
  ck_assert (config.biases && !config.head_norms && !config.interleaved);
  ck_assert (config.bos == G_MAXUINT && config.rope == AFP_LM_ROPE_LINEAR);
  g_autofree double *angles = afp_lm_rope_angles (&config);
  ck_assert_double_eq (angles[0], 0.25);
  ck_assert (read_head (qwen3, G_N_ELEMENTS (qwen3), wide, 5, "", &config, NULL));
  ck_assert (!config.biases && config.head_norms && !config.interleaved);
  ck_assert (config.head_dim == 128 && config.n_kv_heads == 8 && config.vocab == 7);
}
END_TEST

static const Entry bitnet[] = { MODEL ("bitnet") }, bitnet_158[] = { MODEL ("bitnet-b1.58") };

START_TEST (bitnets_norm_once_more)
{
  AfpLmConfig config;
  GError *error = NULL;

  ck_assert (read_head (bitnet, G_N_ELEMENTS (bitnet), NULL, 0, "", &config, NULL));
  ck_assert (config.sub_norms && config.activation == AFP_LM_SILU && !config.interleaved);
  g_autofree char *name = afp_lm_tensor_name (&config, AFP_LM_DOWN_NORM, 3);
  ck_assert_str_eq (name, "blk.3.ffn_sub_norm.weight");
  ck_assert (read_head (bitnet_158, G_N_ELEMENTS (bitnet_158), NULL, 0, "", &config, NULL));
  ck_assert (config.sub_norms && config.activation == AFP_LM_RELU2 && !config.interleaved);
  ck_assert (
      !read_head (bitnet, G_N_ELEMENTS (bitnet), NULL, 0, "blk.0.attn_q.scale", &config, &error));
  assert_error (error, AFP_ERROR_PLAN, "blk.0.attn_q.scale is a factor");
}
END_TEST

/* --- heads that cannot be --------------------------------------------------------------------------------------- */

static const struct {
  Entry other;
  AfpError code;
  const char *says;
} bad[] = {
  { { "general.architecture", AFP_GGUF_STRING, NULL }, AFP_ERROR_FORMAT, "lack 'general.arch" },
  { { "general.architecture", AFP_GGUF_U32, "7" }, AFP_ERROR_FORMAT, "lack 'general.arch" },
  { { "general.architecture", AFP_GGUF_STRING, "mamba" },
    AFP_ERROR_PLAN,
    "general.architecture is 'mamba', which cannot be run; supported are bitnet, bitnet-b1.58, llama" },
  { { "llama.block_count", AFP_GGUF_U32, NULL }, AFP_ERROR_FORMAT, "lack 'llama.block_count'" },
  { { "llama.block_count", AFP_GGUF_U32, "0" }, AFP_ERROR_FORMAT, "number of layers=0" },
  { { "llama.block_count", AFP_GGUF_I32, "-1" }, AFP_ERROR_PLAN, "is not one whole number" },
  { { "llama.feed_forward_length", AFP_GGUF_ARRAY, "5" },
    AFP_ERROR_PLAN,
    "llama.feed_forward_length is not one whole number for all layers" },
  { { "llama.attention.head_count_kv", AFP_GGUF_U32, "3" }, AFP_ERROR_FORMAT, "3 key-value heads" },
  { { "llama.attention.head_count", AFP_GGUF_U32, "0" }, AFP_ERROR_FORMAT, "number of heads=0" },
  { { "llama.attention.layer_norm_rms_epsilon", AFP_GGUF_F32, NULL },
    AFP_ERROR_FORMAT,
    "norm epsilon=-1" },
  { { "llama.attention.layer_norm_rms_epsilon", AFP_GGUF_STRING, "x" },
    AFP_ERROR_FORMAT,
    "layer_norm_rms_epsilon' is no number" },
  { { "llama.attention.value_length", AFP_GGUF_U32, "16" }, AFP_ERROR_PLAN, "the size of a head" },
  { { "llama.rope.dimension_count", AFP_GGUF_U32, "4" }, AFP_ERROR_PLAN, "the size of a head" },
  { { "llama.expert_count", AFP_GGUF_U32, "8" }, AFP_ERROR_PLAN, "mixtures of experts" },
  { { "llama.rope.scaling.type", AFP_GGUF_STRING, "yarn" },
    AFP_ERROR_PLAN,
    "llama.rope.scaling.type is 'yarn'; supported are none and linear" },
  { { "llama.rope.scale_linear", AFP_GGUF_F32, "0" }, AFP_ERROR_FORMAT, "rotary factor=0" },
  { { "llama.rope.freq_base", AFP_GGUF_F32, "0.5" }, AFP_ERROR_FORMAT, "rotary base=0.5" },
  { { "llama.vocab_size", AFP_GGUF_U32, NULL }, AFP_ERROR_FORMAT, "lack 'llama.vocab_size'" },
  { { "llama.context_length", AFP_GGUF_U32, "-5" }, AFP_ERROR_FORMAT, "context=4294967291" },
};

START_TEST (bad_heads)
{
  AfpLmConfig config;
  GError *error = NULL;

  ck_assert (!read_head (llama, G_N_ELEMENTS (llama), &bad[_i].other, 1, "", &config, &error));
  assert_error (error, bad[_i].code, bad[_i].says);
}
END_TEST

START_TEST (no_gguf)
{
  g_autoptr (GBytes) bytes = g_bytes_new_static ("GGML", 4);
  AfpLmConfig config;
  GError *error = NULL;

  ck_assert (!afp_lm_config_from_gguf (bytes, rows_of, (gpointer) "", &config, &error));
  assert_error (error, AFP_ERROR_FORMAT, "'gguf.metadata' is no GGUF file");
}
END_TEST

static TCase *
good_case (void)
{
  TCase *tcase = tcase_create ("good");
  tcase_add_test (tcase, a_llama);
  tcase_add_test (tcase, tensors_tell_the_rest);
  tcase_add_test (tcase, qwen_turns_halves);
  tcase_add_test (tcase, bitnets_norm_once_more);
  return tcase;
}

static TCase *
bad_case (void)
{
  TCase *tcase = tcase_create ("bad");
  tcase_add_loop_test (tcase, bad_heads, 0, G_N_ELEMENTS (bad));
  tcase_add_test (tcase, no_gguf);
  return tcase;
}

int
main (void)
{
  TCase *(*const cases[]) (void) = { good_case, bad_case };

  return run_suite ("lm-config-gguf", cases, G_N_ELEMENTS (cases));
}
