/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-lm-config-private.h"
#include "json-util.h"

#include <math.h>
#include <string.h>

#define MAX_SIZE AFP_LM_MAX_SIZE
#define MAX_DEPTH 32 /* of config.json */

/* --- checks ------------------------------------------------------------------------------------------------------- */

gboolean
afp_lm_config_check_number (const char *name, double value, double least, double most,
                            GError **error)
{
  if (value >= least && value <= most)
    return TRUE;
  g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
               "the model's configuration has %s=%.10g; it must be %.10g to %.10g", name, value,
               least, most);
  return FALSE;
}

gboolean
afp_lm_config_check (const AfpLmConfig *c, GError **error)
{
  if (!afp_lm_config_check_number ("hidden size", c->dim, 1, 1 << 20, error) ||
      !afp_lm_config_check_number ("intermediate size", c->hidden, 1, 1 << 22, error) ||
      !afp_lm_config_check_number ("number of layers", c->n_layers, 1, 1 << 12, error) ||
      !afp_lm_config_check_number ("number of heads", c->n_heads, 1, 1 << 16, error) ||
      !afp_lm_config_check_number ("number of key-value heads", c->n_kv_heads, 1, c->n_heads,
                                   error) ||
      !afp_lm_config_check_number ("head size", c->head_dim, 2, 1 << 16, error) ||
      !afp_lm_config_check_number ("vocabulary", c->vocab, 1, MAX_SIZE, error) ||
      !afp_lm_config_check_number ("context", c->context, 1, MAX_SIZE, error) ||
      !afp_lm_config_check_number ("norm epsilon", (double) c->norm_eps, 0, 1, error) ||
      !afp_lm_config_check_number ("rotary base", c->rope_base, 1, 1e12, error))
    return FALSE;
  if (c->n_heads % c->n_kv_heads == 0 && c->head_dim % 2 == 0)
    return TRUE;
  g_set_error (
      error, AFP_ERROR, AFP_ERROR_FORMAT,
      "the model's configuration does not fit together: %u heads, %u key-value heads, head "
      "size %u; the first must be a multiple of the second, the last even",
      c->n_heads, c->n_kv_heads, c->head_dim);
  return FALSE;
}

/* --- llama2.c ----------------------------------------------------------------------------------------------------- */

gboolean
afp_lm_config_from_llama2c (const guint8 *head, gsize n, AfpLmConfig *config, GError **error)
{
  gint32 values[7];

  memset (config, 0, sizeof *config);
  if (n < sizeof values) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                 "the header of a llama2.c checkpoint has %" G_GSIZE_FORMAT
                 " bytes, not %" G_GSIZE_FORMAT,
                 n, sizeof values);
    return FALSE;
  }
  memcpy (values, head, sizeof values);
  for (guint i = 0; i < G_N_ELEMENTS (values); i++)
    values[i] = GINT32_FROM_LE (values[i]);
  config->tied = values[5] > 0;
  values[5] = values[5] == G_MININT32 ? 0 : ABS (values[5]);
  for (guint i = 0; i < G_N_ELEMENTS (values); i++)
    values[i] = MAX (values[i], 0);
  config->names = AFP_LM_NAMES_LLAMA2C;
  g_strlcpy (config->architecture, "llama", sizeof config->architecture);
  config->dim = (guint) values[0];
  config->hidden = (guint) values[1];
  config->n_layers = (guint) values[2];
  config->n_heads = (guint) values[3];
  config->n_kv_heads = (guint) values[4];
  config->vocab = (guint) values[5];
  config->context = (guint) values[6];
  config->head_dim = config->n_heads ? config->dim / config->n_heads : 0;
  config->norm_eps = 1e-5f;
  config->rope_base = 10000;
  config->interleaved = TRUE;
  config->bos = 1;
  config->eos = 2;
  return afp_lm_config_check (config, error);
}

/* --- architectures ------------------------------------------------------------------------------------------------ */

/* What is read and how it differs from Llama. */
static const struct {
  const char *type; /* model_type, general.architecture */
  gboolean biases, head_norms, sub_norms;
  AfpLmActivation activation; /* of GGUF; a config.json tells it */
} architectures[] = {
  { .type = "bitnet", .sub_norms = TRUE },
  { .type = "bitnet-b1.58", .sub_norms = TRUE, .activation = AFP_LM_RELU2 },
  { .type = "llama" },
  { .type = "mistral" },
  { .type = "qwen2", .biases = TRUE },
  { .type = "qwen3", .head_norms = TRUE },
};

gboolean
afp_lm_config_set_architecture (AfpLmConfig *config, const char *key, const char *type,
                                GError **error)
{
  g_strlcpy (config->architecture, type, sizeof config->architecture);
  for (guint i = 0; i < G_N_ELEMENTS (architectures); i++)
    if (strcmp (type, architectures[i].type) == 0) {
      config->biases = architectures[i].biases;
      config->head_norms = architectures[i].head_norms;
      config->sub_norms = architectures[i].sub_norms;
      config->activation = architectures[i].activation;
      return TRUE;
    }
  g_autoptr (GString) known = g_string_new (NULL);
  for (guint i = 0; i < G_N_ELEMENTS (architectures); i++)
    g_string_append_printf (known, "%s%s", i ? ", " : "", architectures[i].type);
  g_set_error (error, AFP_ERROR, AFP_ERROR_PLAN,
               "the model's %s is '%.60s', which cannot be run; supported are %s", key, type,
               known->str);
  return FALSE;
}

/* --- Hugging Face ------------------------------------------------------------------------------------------------- */

/* A size: 0 where it is absent or no number, which check() refuses. */
static guint
get_size (JsonObject *object, const char *name, double otherwise)
{
  const double value = afp_json_get_number (object, name, otherwise);

  return value >= 0 && value <= MAX_SIZE ? (guint) value : value < 0 ? 0 : G_MAXUINT;
}

/* A token: a number, or the first of a list. */
static guint
get_token (JsonObject *object, const char *name)
{
  JsonNode *node = json_object_get_member (object, name);
  JsonArray *list = node && JSON_NODE_HOLDS_ARRAY (node) ? json_node_get_array (node) : NULL;

  if (list && json_array_get_length (list) > 0)
    node = json_array_get_element (list, 0);
  return node && JSON_NODE_HOLDS_VALUE (node) && json_node_get_value_type (node) == G_TYPE_INT64 &&
                 json_node_get_int (node) >= 0 && json_node_get_int (node) < MAX_SIZE
             ? (guint) json_node_get_int (node)
             : G_MAXUINT;
}

/* A setting that changes how the model runs and is not supported. */
static gboolean
refuse (const char *name, const char *value, const char *supported, GError **error)
{
  g_set_error (error, AFP_ERROR, AFP_ERROR_PLAN, "the model's %s is '%.60s'; supported is %s", name,
               value, supported);
  return FALSE;
}

/* Weights that are not plain numbers, or that the model itself rounds while it runs. */
static gboolean
check_plain (JsonObject *object, GError **error)
{
  JsonObject *quantization = afp_json_get_object (object, "quantization_config");
  JsonArray *names = afp_json_get_array (object, "architectures");

  if (quantization) {
    g_set_error (
        error, AFP_ERROR, AFP_ERROR_PLAN,
        "the model's weights are quantized (config.json: quantization_config, quant_method "
        "'%.60s'); plain ones are needed: dequantize it with what quantized it",
        afp_json_get_text (quantization, "quant_method", ""));
    return FALSE;
  }
  for (guint i = 0; names && i < json_array_get_length (names); i++) {
    JsonNode *name = json_array_get_element (names, i);
    if (JSON_NODE_HOLDS_VALUE (name) && json_node_get_value_type (name) == G_TYPE_STRING &&
        strcmp (json_node_get_string (name), "BitnetForCausalLM") == 0)
      return refuse ("class", "BitnetForCausalLM",
                     "its GGUF file: this code rounds the weights while it runs", error);
  }
  return TRUE;
}

static gboolean
set_activation (JsonObject *object, AfpLmConfig *config, GError **error)
{
  const char *otherwise = strcmp (config->architecture, "bitnet") == 0 ? "relu2" : "silu";
  const char *activation = afp_json_get_text (object, "hidden_act", otherwise);

  config->activation = strcmp (activation, "relu2") == 0 ? AFP_LM_RELU2 : AFP_LM_SILU;
  if (config->activation == AFP_LM_RELU2 || strcmp (activation, "silu") == 0)
    return TRUE;
  return refuse ("hidden_act", activation, "silu or relu2", error);
}

static gboolean
set_architecture (JsonObject *object, AfpLmConfig *config, GError **error)
{
  if (!afp_lm_config_set_architecture (config, "model_type",
                                       afp_json_get_text (object, "model_type", ""), error) ||
      !check_plain (object, error) || !set_activation (object, config, error))
    return FALSE;
  if (afp_json_get_flag (object, "mlp_bias", FALSE))
    return refuse ("mlp_bias", "true", "false", error);
  if (afp_json_get_number (object, "partial_rotary_factor", 1) != 1)
    return refuse ("partial_rotary_factor", "below 1", "1", error);
  if (!config->biases)
    config->biases = config->output_bias = afp_json_get_flag (object, "attention_bias", FALSE);
  if (afp_json_get_flag (object, "use_sliding_window",
                         strcmp (config->architecture, "mistral") == 0))
    config->window = get_size (object, "sliding_window", 0);
  return TRUE;
}

/* Since 2025 rope_parameters, before that rope_scaling with rope_theta beside it. */
static gboolean
set_rope (JsonObject *object, AfpLmConfig *config, GError **error)
{
  JsonObject *scaling = afp_json_get_object (object, "rope_scaling");

  if (!scaling)
    scaling = afp_json_get_object (object, "rope_parameters");
  config->rope_base = afp_json_get_number (object, "rope_theta", 10000);
  if (!scaling)
    return TRUE;
  const char *type =
      afp_json_get_text (scaling, "rope_type", afp_json_get_text (scaling, "type", ""));
  config->rope_base = afp_json_get_number (scaling, "rope_theta", config->rope_base);
  config->rope_factor = afp_json_get_number (scaling, "factor", 1);
  if (strcmp (type, "default") == 0)
    return TRUE;
  if (strcmp (type, "linear") == 0)
    config->rope = AFP_LM_ROPE_LINEAR;
  else if (strcmp (type, "llama3") == 0)
    config->rope = AFP_LM_ROPE_LLAMA3;
  else
    return refuse ("kind of rope_scaling", type, "default, linear or llama3", error);
  config->rope_low = afp_json_get_number (scaling, "low_freq_factor", 1);
  config->rope_high = afp_json_get_number (scaling, "high_freq_factor", 4);
  config->rope_context = get_size (scaling, "original_max_position_embeddings", 8192);
  return afp_lm_config_check_number ("rotary factor", config->rope_factor, 1e-3, 1e6, error) &&
         afp_lm_config_check_number ("low_freq_factor", config->rope_low, 1e-3, 1e6, error) &&
         afp_lm_config_check_number ("high_freq_factor", config->rope_high,
                                     config->rope_low * 1.000001, 1e7, error);
}

gboolean
afp_lm_config_from_json (const char *text, gsize n, AfpLmConfig *config, GError **error)
{
  g_autoptr (JsonNode) root = afp_json_parse (text, n, MAX_DEPTH, "config.json", error);

  memset (config, 0, sizeof *config);
  if (!root)
    return FALSE;
  if (!JSON_NODE_HOLDS_OBJECT (root)) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT, "config.json: it is no JSON object");
    return FALSE;
  }
  JsonObject *object = json_node_get_object (root);
  config->names = AFP_LM_NAMES_HF;
  config->dim = get_size (object, "hidden_size", 0);
  config->hidden = get_size (object, "intermediate_size", 0);
  config->n_layers = get_size (object, "num_hidden_layers", 0);
  config->n_heads = get_size (object, "num_attention_heads", 0);
  config->n_kv_heads = get_size (object, "num_key_value_heads", config->n_heads);
  config->head_dim =
      get_size (object, "head_dim", config->n_heads ? (double) (config->dim / config->n_heads) : 0);
  config->vocab = get_size (object, "vocab_size", 0);
  config->context = get_size (object, "max_position_embeddings", 2048);
  config->norm_eps = (float) afp_json_get_number (object, "rms_norm_eps", 1e-6);
  config->tied = afp_json_get_flag (object, "tie_word_embeddings", FALSE);
  config->bos = get_token (object, "bos_token_id");
  config->eos = get_token (object, "eos_token_id");
  return set_architecture (object, config, error) && set_rope (object, config, error) &&
         afp_lm_config_check (config, error);
}

/* --- tensors ------------------------------------------------------------------------------------------------------ */

/* In the order of AfpLmNames; %u is the layer. */
static const char *const tensor_names[AFP_LM_N_TENSORS][3] = {
  [AFP_LM_EMBEDDING] = { "tok_embeddings", "model.embed_tokens", "token_embd" },
  [AFP_LM_NORM] = { "norm", "model.norm", "output_norm" },
  [AFP_LM_CLASSIFIER] = { "output", "lm_head", "output" },
  [AFP_LM_ROPE_FACTORS] = { "rope_freqs", "rope_freqs", "rope_freqs" },
  [AFP_LM_ATTENTION_NORM] = { "attention_norm", "input_layernorm", "attn_norm" },
  [AFP_LM_Q] = { "attention.wq", "self_attn.q_proj", "attn_q" },
  [AFP_LM_K] = { "attention.wk", "self_attn.k_proj", "attn_k" },
  [AFP_LM_V] = { "attention.wv", "self_attn.v_proj", "attn_v" },
  [AFP_LM_O] = { "attention.wo", "self_attn.o_proj", "attn_output" },
  [AFP_LM_Q_BIAS] = { "attention.wq", "self_attn.q_proj", "attn_q" },
  [AFP_LM_K_BIAS] = { "attention.wk", "self_attn.k_proj", "attn_k" },
  [AFP_LM_V_BIAS] = { "attention.wv", "self_attn.v_proj", "attn_v" },
  [AFP_LM_O_BIAS] = { "attention.wo", "self_attn.o_proj", "attn_output" },
  [AFP_LM_Q_NORM] = { "attention.q_norm", "self_attn.q_norm", "attn_q_norm" },
  [AFP_LM_K_NORM] = { "attention.k_norm", "self_attn.k_norm", "attn_k_norm" },
  [AFP_LM_O_NORM] = { "attention.sub_norm", "self_attn.attn_sub_norm", "attn_sub_norm" },
  [AFP_LM_FFN_NORM] = { "ffn_norm", "post_attention_layernorm", "ffn_norm" },
  [AFP_LM_GATE] = { "feed_forward.w1", "mlp.gate_proj", "ffn_gate" },
  [AFP_LM_UP] = { "feed_forward.w3", "mlp.up_proj", "ffn_up" },
  [AFP_LM_DOWN] = { "feed_forward.w2", "mlp.down_proj", "ffn_down" },
  [AFP_LM_DOWN_NORM] = { "feed_forward.sub_norm", "mlp.ffn_sub_norm", "ffn_sub_norm" },
};

static gboolean
is_bias (AfpLmTensor tensor)
{
  return tensor == AFP_LM_Q_BIAS || tensor == AFP_LM_K_BIAS || tensor == AFP_LM_V_BIAS ||
         tensor == AFP_LM_O_BIAS;
}

char *
afp_lm_tensor_name (const AfpLmConfig *config, AfpLmTensor tensor, guint layer)
{
  static const char *const layers[] = { "layers", "model.layers", "blk" };
  const char *name = tensor_names[tensor][config->names];
  const char *end = is_bias (tensor) ? "bias" : "weight";

  if (tensor < AFP_LM_ATTENTION_NORM)
    return g_strdup_printf ("%s.%s", name, end);
  return g_strdup_printf ("%s.%u.%s.%s", layers[config->names], layer, name, end);
}

gboolean
afp_lm_tensor_shape (const AfpLmConfig *config, AfpLmTensor tensor, guint64 *rows, guint64 *cols)
{
  const guint64 q = (guint64) config->n_heads * config->head_dim;
  const guint64 kv = (guint64) config->n_kv_heads * config->head_dim;
  const struct {
    guint64 rows, cols;
    gboolean there;
  } shapes[AFP_LM_N_TENSORS] = {
    [AFP_LM_EMBEDDING] = { config->vocab, config->dim, TRUE },
    [AFP_LM_NORM] = { 1, config->dim, TRUE },
    [AFP_LM_CLASSIFIER] = { config->vocab, config->dim, !config->tied },
    [AFP_LM_ROPE_FACTORS] = { 1, config->head_dim / 2, config->rope_tensor },
    [AFP_LM_ATTENTION_NORM] = { 1, config->dim, TRUE },
    [AFP_LM_Q] = { q, config->dim, TRUE },
    [AFP_LM_K] = { kv, config->dim, TRUE },
    [AFP_LM_V] = { kv, config->dim, TRUE },
    [AFP_LM_O] = { config->dim, q, TRUE },
    [AFP_LM_Q_BIAS] = { 1, q, config->biases },
    [AFP_LM_K_BIAS] = { 1, kv, config->biases },
    [AFP_LM_V_BIAS] = { 1, kv, config->biases },
    [AFP_LM_O_BIAS] = { 1, config->dim, config->output_bias },
    [AFP_LM_Q_NORM] = { 1, config->head_dim, config->head_norms },
    [AFP_LM_K_NORM] = { 1, config->head_dim, config->head_norms },
    [AFP_LM_O_NORM] = { 1, q, config->sub_norms },
    [AFP_LM_FFN_NORM] = { 1, config->dim, TRUE },
    [AFP_LM_GATE] = { config->hidden, config->dim, TRUE },
    [AFP_LM_UP] = { config->hidden, config->dim, TRUE },
    [AFP_LM_DOWN] = { config->dim, config->hidden, TRUE },
    [AFP_LM_DOWN_NORM] = { 1, config->hidden, config->sub_norms },
  };

  *rows = shapes[tensor].rows;
  *cols = shapes[tensor].cols;
  return shapes[tensor].there;
}

/* --- rotary angles ------------------------------------------------------------------------------------------------ */

/* Llama 3.1: long wavelengths are stretched, short ones kept, those between blended. */
static double
stretch (const AfpLmConfig *config, double angle)
{
  const double turns = config->rope_context * angle / (2 * G_PI);
  const double blend = (turns - config->rope_low) / (config->rope_high - config->rope_low);

  if (turns < config->rope_low)
    return angle / config->rope_factor;
  if (turns > config->rope_high)
    return angle;
  return (1 - blend) * angle / config->rope_factor + blend * angle;
}

double *
afp_lm_rope_angles (const AfpLmConfig *config)
{
  const guint half = config->head_dim / 2;
  double *angles = g_new (double, half);

  for (guint i = 0; i < half; i++) {
    angles[i] = pow (config->rope_base, -2.0 * i / config->head_dim);
    if (config->rope == AFP_LM_ROPE_LINEAR)
      angles[i] /= config->rope_factor;
    else if (config->rope == AFP_LM_ROPE_LLAMA3)
      angles[i] = stretch (config, angles[i]);
  }
  return angles;
}
