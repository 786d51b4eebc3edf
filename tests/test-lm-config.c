/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core-test.h"

#include "afp-lm-config.h"

#include <math.h>
#include <string.h>

#define SIZES                                                                       \
  "\"hidden_size\": 2048, \"intermediate_size\": 8192, \"num_hidden_layers\": 16, " \
  "\"num_attention_heads\": 32, \"num_key_value_heads\": 8, \"vocab_size\": 128256, \"rms_norm_eps\": 1e-05"

static gboolean
from_json (const char *text, AfpLmConfig *config, GError **error)
{
  return afp_lm_config_from_json (text, strlen (text), config, error);
}

START_TEST (llama_3_2)
{
  AfpLmConfig config;

  ck_assert (from_json (
      "{\"model_type\": \"llama\", " SIZES
      ", \"head_dim\": 64, \"rope_theta\": 500000.0, \"max_position_embeddings\": 131072, "
      "\"tie_word_embeddings\": true, \"bos_token_id\": 128000, \"eos_token_id\": [128001, 128008], "
      "\"rope_scaling\": {\"factor\": 32.0, \"high_freq_factor\": 4.0, \"low_freq_factor\": 1.0, "
      "\"original_max_position_embeddings\": 8192, \"rope_type\": \"llama3\"}}",
      &config, NULL));
  ck_assert_uint_eq (config.head_dim, 64);
  ck_assert_uint_eq (config.bos, 128000);
  ck_assert_uint_eq (config.eos, 128001);
  ck_assert (config.tied && !config.biases && !config.interleaved);
  /* short wavelengths stay, long ones are stretched by the factor, those between lie between */
  g_autofree double *angles = afp_lm_rope_angles (&config);
  ck_assert_double_eq (angles[0], 1);
  ck_assert_double_eq_tol (angles[31] * 32, pow (500000, -62.0 / 64), 1e-12);
  gboolean between = FALSE;
  for (guint i = 0; i < 32; i++) {
    const double plain = pow (500000, -2.0 * i / 64);
    ck_assert_double_le (angles[i], plain);
    ck_assert_double_ge (angles[i], plain / 32.0001);
    between = between || (angles[i] < plain * 0.99 && angles[i] > plain / 31);
  }
  ck_assert (between);
}
END_TEST

START_TEST (defaults)
{
  AfpLmConfig config;

  ck_assert (
      from_json ("{\"model_type\": \"qwen2\", \"hidden_size\": 64, \"intermediate_size\": 100, "
                 "\"num_hidden_layers\": 1, \"num_attention_heads\": 4, \"vocab_size\": 300, "
                 "\"rope_scaling\": {\"type\": \"linear\", \"factor\": 4}}",
                 &config, NULL));
  ck_assert_uint_eq (config.n_kv_heads, 4);
  ck_assert_uint_eq (config.head_dim, 16);
  ck_assert_uint_eq (config.bos, G_MAXUINT);
  ck_assert (config.biases && !config.tied);
  g_autofree double *angles = afp_lm_rope_angles (&config);
  ck_assert_double_eq (angles[0], 0.25);
}
END_TEST

START_TEST (what_newer_files_say)
{
  AfpLmConfig config;

  ck_assert (from_json ("{\"model_type\": \"llama\", \"attention_bias\": true, " SIZES
                        ", \"rope_parameters\": {\"rope_type\": \"default\", "
                        "\"rope_theta\": 123456}, \"sliding_window\": 7}",
                        &config, NULL));
  ck_assert_double_eq (config.rope_base, 123456);
  ck_assert (config.biases && config.output_bias);
  ck_assert_uint_eq (config.window, 0);
  ck_assert (from_json ("{\"model_type\": \"mistral\", " SIZES ", \"sliding_window\": 4096}",
                        &config, NULL));
  ck_assert_uint_eq (config.window, 4096);
  ck_assert (from_json ("{\"model_type\": \"mistral\", " SIZES ", \"sliding_window\": null}",
                        &config, NULL));
  ck_assert_uint_eq (config.window, 0);
  ck_assert (from_json ("{\"model_type\": \"bitnet\", " SIZES ", \"architectures\": [7, \"x\"]}",
                        &config, NULL));
  ck_assert (config.sub_norms && config.activation == AFP_LM_RELU2);
}
END_TEST

static void
put (guint8 *head, const gint32 *values)
{
  for (guint i = 0; i < 7; i++) {
    const gint32 value = GINT32_TO_LE (values[i]);
    memcpy (head + 4 * i, &value, 4);
  }
}

START_TEST (a_llama2c_header)
{
  guint8 head[28];
  AfpLmConfig config;

  put (head, (const gint32[]){ 64, 172, 5, 8, 4, -512, 256 });
  ck_assert (afp_lm_config_from_llama2c (head, sizeof head, &config, NULL));
  ck_assert_uint_eq (config.vocab, 512);
  ck_assert_uint_eq (config.head_dim, 8);
  ck_assert (!config.tied && config.interleaved);
}
END_TEST

START_TEST (names_and_shapes)
{
  AfpLmConfig config = { .names = AFP_LM_NAMES_HF,
                         .dim = 8,
                         .hidden = 12,
                         .n_layers = 2,
                         .n_heads = 4,
                         .n_kv_heads = 2,
                         .head_dim = 3,
                         .vocab = 10,
                         .tied = TRUE };
  guint64 rows, cols;
  g_autofree char *bias = afp_lm_tensor_name (&config, AFP_LM_K_BIAS, 1);
  g_autofree char *norm = afp_lm_tensor_name (&config, AFP_LM_NORM, 0);

  ck_assert_str_eq (bias, "model.layers.1.self_attn.k_proj.bias");
  ck_assert_str_eq (norm, "model.norm.weight");
  config.names = AFP_LM_NAMES_GGUF;
  g_autofree char *down = afp_lm_tensor_name (&config, AFP_LM_DOWN, 11);
  ck_assert_str_eq (down, "blk.11.ffn_down.weight");
  ck_assert (afp_lm_tensor_shape (&config, AFP_LM_O, &rows, &cols));
  ck_assert (rows == 8 && cols == 12);
  ck_assert (!afp_lm_tensor_shape (&config, AFP_LM_CLASSIFIER, &rows, &cols));
  ck_assert (!afp_lm_tensor_shape (&config, AFP_LM_K_BIAS, &rows, &cols));
  ck_assert (!afp_lm_tensor_shape (&config, AFP_LM_Q_NORM, &rows, &cols));
}
END_TEST

static const struct {
  const char *text;
  AfpError code;
  const char *says;
} bad[] = {
  { "", AFP_ERROR_FORMAT, "config.json is damaged: it is empty" },
  { "[1]", AFP_ERROR_FORMAT, "it is no JSON object" },
  { "{", AFP_ERROR_FORMAT, "config.json is damaged" },
  { "{" SIZES "}", AFP_ERROR_PLAN, "model_type is ''" },
  { "{\"model_type\": \"mamba\", " SIZES "}", AFP_ERROR_PLAN,
    "'mamba', which cannot be run; supported are bitnet, bitnet-b1.58, llama, mistral, qwen2, qwen3" },
  { "{\"model_type\": \"llama\", \"hidden_act\": \"gelu\", " SIZES "}", AFP_ERROR_PLAN,
    "hidden_act is 'gelu'" },
  { "{\"model_type\": \"llama\", \"rope_scaling\": {\"type\": \"yarn\"}, " SIZES "}",
    AFP_ERROR_PLAN, "rope_scaling is 'yarn'; supported is default, linear or llama3" },
  { "{\"model_type\": \"bitnet\", \"quantization_config\": {\"quant_method\": \"bitnet\"}, " SIZES
    "}",
    AFP_ERROR_PLAN, "quant_method 'bitnet'); plain ones are needed" },
  { "{\"model_type\": \"llama\", \"architectures\": [\"BitnetForCausalLM\"], " SIZES "}",
    AFP_ERROR_PLAN, "class is 'BitnetForCausalLM'; supported is its GGUF file" },
  { "{\"model_type\": \"llama\", \"mlp_bias\": true, " SIZES "}", AFP_ERROR_PLAN,
    "mlp_bias is 'true'; supported is false" },
  { "{\"model_type\": \"llama\", \"partial_rotary_factor\": 0.5, " SIZES "}", AFP_ERROR_PLAN,
    "partial_rotary_factor is 'below 1'" },
  { "{\"model_type\": \"llama\", \"rope_scaling\": {\"type\": \"linear\", \"factor\": 0}, " SIZES
    "}",
    AFP_ERROR_FORMAT, "rotary factor=0" },
  { "{\"model_type\": \"llama\", \"rope_theta\": -1, " SIZES "}", AFP_ERROR_FORMAT,
    "rotary base=-1" },
  { "{\"model_type\": \"llama\"}", AFP_ERROR_FORMAT, "hidden size=0" },
  { "{\"model_type\": \"llama\", \"head_dim\": 63, " SIZES "}", AFP_ERROR_FORMAT, "head size 63" },
  { "{\"model_type\": \"llama\", \"head_dim\": \"64\", \"hidden_size\": \"8\"}", AFP_ERROR_FORMAT,
    "hidden size=0" },
  { "{\"model_type\": \"llama\", \"hidden_size\": 1e30, \"num_attention_heads\": 8}",
    AFP_ERROR_FORMAT, "hidden size=4294967295" },
};

START_TEST (bad_json)
{
  AfpLmConfig config;
  GError *error = NULL;

  ck_assert (!from_json (bad[_i].text, &config, &error));
  assert_error (error, bad[_i].code, bad[_i].says);
}
END_TEST

static const gint32 bad_heads[][7] = {
  { 0, 1, 1, 1, 1, 1, 1 },         { 64, 172, 5, 8, 3, 512, 256 },
  { 64, 172, 5, 0, 4, 512, 256 },  { 64, 172, -5, 8, 4, 512, 256 },
  { 60, 172, 5, 20, 4, 512, 256 }, { 64, 172, 5, 8, 4, G_MININT32, 256 },
};

START_TEST (bad_headers)
{
  guint8 head[28];
  AfpLmConfig config;
  GError *error = NULL;

  put (head, bad_heads[_i]);
  ck_assert (!afp_lm_config_from_llama2c (head, sizeof head, &config, &error));
  assert_error (error, AFP_ERROR_FORMAT, "the model's configuration");
}
END_TEST

START_TEST (a_short_header)
{
  const guint8 head[27] = { 0 };
  AfpLmConfig config;
  GError *error = NULL;

  ck_assert (!afp_lm_config_from_llama2c (head, sizeof head, &config, &error));
  assert_error (error, AFP_ERROR_FORMAT, "has 27 bytes, not 28");
}
END_TEST

static TCase *
good_case (void)
{
  TCase *tcase = tcase_create ("good");
  tcase_add_test (tcase, llama_3_2);
  tcase_add_test (tcase, defaults);
  tcase_add_test (tcase, what_newer_files_say);
  tcase_add_test (tcase, a_llama2c_header);
  tcase_add_test (tcase, names_and_shapes);
  return tcase;
}

static TCase *
bad_case (void)
{
  TCase *tcase = tcase_create ("bad");
  tcase_add_loop_test (tcase, bad_json, 0, G_N_ELEMENTS (bad));
  tcase_add_loop_test (tcase, bad_headers, 0, G_N_ELEMENTS (bad_heads));
  tcase_add_test (tcase, a_short_header);
  return tcase;
}

int
main (void)
{
  TCase *(*const cases[]) (void) = { good_case, bad_case };

  return run_suite ("lm-config", cases, G_N_ELEMENTS (cases));
}
