/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-lm-config-private.h"
#include "gguf-meta.h"

#include <string.h>

/* The metadata and the prefix of the model's own keys, its architecture. */
typedef struct {
  AfpGgufMeta *meta;
  char *architecture;
} Head;

/* --- values ------------------------------------------------------------------------------------------------------- */

static char *
make_key (const Head *head, const char *name)
{
  return g_strconcat (head->architecture, ".", name, NULL);
}

static gboolean
refuse (const char *key, const char *why, GError **error)
{
  g_set_error (error, AFP_ERROR, AFP_ERROR_PLAN, "the model cannot be run: %s %s", key, why);
  return FALSE;
}

/* A size; @otherwise where there is no such key: G_MAXUINT if there must be one. */
static gboolean
get_size (const Head *head, const char *name, guint otherwise, guint *value, GError **error)
{
  g_autofree char *key = make_key (head, name);
  guint64 number;

  *value = otherwise;
  if (!afp_gguf_meta_find (head->meta, key)) {
    if (otherwise != G_MAXUINT)
      return TRUE;
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT, "the metadata of the GGUF file lack '%s'",
                 key);
    return FALSE;
  }
  if (!afp_gguf_meta_get_count (head->meta, key, &number))
    return refuse (key, "is not one whole number for all layers", error);
  *value = (guint) MIN (number, G_MAXUINT - 1);
  return TRUE;
}

/* *@value stays where there is no such key. */
static gboolean
get_real (const Head *head, const char *name, double *value, GError **error)
{
  g_autofree char *key = make_key (head, name);

  if (!afp_gguf_meta_find (head->meta, key) || afp_gguf_meta_get_real (head->meta, key, value))
    return TRUE;
  g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT, "the GGUF file's '%s' is no number", key);
  return FALSE;
}

static guint
get_token (const Head *head, const char *key)
{
  guint64 value;

  return afp_gguf_meta_get_count (head->meta, key, &value) && value < AFP_LM_MAX_SIZE
             ? (guint) value
             : G_MAXUINT;
}

/* --- the configuration -------------------------------------------------------------------------------------------- */

static gboolean
set_sizes (const Head *head, AfpLmConfig *c, GError **error)
{
  const struct {
    const char *name;
    guint *value;
  } sizes[] = { { "embedding_length", &c->dim },
                { "feed_forward_length", &c->hidden },
                { "block_count", &c->n_layers },
                { "attention.head_count", &c->n_heads },
                { "context_length", &c->context } };
  guint value_dim, rotary, experts;
  double eps = -1;

  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    if (!get_size (head, sizes[i].name, G_MAXUINT, sizes[i].value, error))
      return FALSE;
  const guint head_dim = c->n_heads ? c->dim / c->n_heads : 0;
  if (!get_size (head, "attention.head_count_kv", c->n_heads, &c->n_kv_heads, error) ||
      !get_size (head, "attention.key_length", head_dim, &c->head_dim, error) ||
      !get_size (head, "attention.value_length", c->head_dim, &value_dim, error) ||
      !get_size (head, "rope.dimension_count", c->head_dim, &rotary, error) ||
      !get_size (head, "attention.sliding_window", 0, &c->window, error) ||
      !get_size (head, "expert_count", 0, &experts, error) ||
      !get_real (head, "attention.layer_norm_rms_epsilon", &eps, error))
    return FALSE;
  if (experts > 0)
    return refuse ("expert_count", "is not 0: mixtures of experts are not supported", error);
  if (value_dim != c->head_dim || rotary != c->head_dim)
    return refuse ("attention.value_length or rope.dimension_count",
                   "is not the size of a head (attention.key_length)", error);
  c->norm_eps = (float) eps;
  return TRUE;
}

static gboolean
set_rope (const Head *head, AfpLmConfig *c, GError **error)
{
  g_autofree char *key = make_key (head, "rope.scaling.type");
  g_autofree char *type = afp_gguf_meta_get_text (head->meta, key);

  c->rope_base = 10000;
  c->rope_factor = 1;
  if (!get_real (head, "rope.freq_base", &c->rope_base, error) ||
      !get_real (head, "rope.scale_linear", &c->rope_factor, error) ||
      !get_real (head, "rope.scaling.factor", &c->rope_factor, error))
    return FALSE;
  if (type && strcmp (type, "none") == 0)
    return TRUE;
  if (type && strcmp (type, "linear") != 0) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_PLAN,
                 "the model cannot be run: %s is '%.60s'; supported are none and linear", key,
                 type);
    return FALSE;
  }
  if (c->rope_factor != 1)
    c->rope = AFP_LM_ROPE_LINEAR;
  return afp_lm_config_check_number ("rotary factor", c->rope_factor, 1e-3, 1e6, error);
}

/* What no key says: it depends on the tensors. */
static gboolean
set_by_tensors (const Head *head, AfpLmRows rows, gpointer user_data, AfpLmConfig *c,
                GError **error)
{
  const AfpGgufValue *tokens = afp_gguf_meta_find (head->meta, "tokenizer.ggml.tokens");
  const guint64 vocab = rows (user_data, "token_embd.weight");

  if (rows (user_data, "blk.0.attn_q.scale") > 0)
    return refuse ("blk.0.attn_q.scale", "is a factor beside the weights, which is not supported",
                   error);
  c->tied = rows (user_data, "output.weight") == 0;
  c->rope_tensor = rows (user_data, "rope_freqs.weight") > 0;
  c->biases = c->biases || rows (user_data, "blk.0.attn_q.bias") > 0;
  c->output_bias = rows (user_data, "blk.0.attn_output.bias") > 0;
  if (vocab > 0)
    c->vocab = (guint) MIN (vocab, G_MAXUINT);
  else if (tokens && tokens->type == AFP_GGUF_ARRAY)
    c->vocab = (guint) MIN (tokens->n, G_MAXUINT);
  else
    return get_size (head, "vocab_size", G_MAXUINT, &c->vocab, error);
  return TRUE;
}

static gboolean
from_head (const Head *head, AfpLmRows rows, gpointer user_data, AfpLmConfig *c, GError **error)
{
  if (!afp_lm_config_set_architecture (c, "general.architecture", head->architecture, error) ||
      !set_sizes (head, c, error) || !set_rope (head, c, error) ||
      !set_by_tensors (head, rows, user_data, c, error))
    return FALSE;
  /* llama.cpp's converter puts the rows of q and k in the order of neighbouring pairs for these, and for these only. */
  c->interleaved =
      strcmp (head->architecture, "llama") == 0 || strcmp (head->architecture, "mistral") == 0;
  c->bos = get_token (head, "tokenizer.ggml.bos_token_id");
  c->eos = get_token (head, "tokenizer.ggml.eos_token_id");
  return afp_lm_config_check (c, error);
}

gboolean
afp_lm_config_from_gguf (GBytes *bytes, AfpLmRows rows, gpointer user_data, AfpLmConfig *config,
                         GError **error)
{
  g_autoptr (AfpGgufMeta) meta = afp_gguf_meta_parse (bytes, AFP_EXTRA_GGUF_METADATA, error);

  memset (config, 0, sizeof *config);
  config->names = AFP_LM_NAMES_GGUF;
  if (!meta)
    return FALSE;
  g_autofree char *architecture = afp_gguf_meta_get_text (meta, "general.architecture");
  if (!architecture) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                 "the metadata of the GGUF file lack 'general.architecture'");
    return FALSE;
  }
  const Head head = { meta, architecture };
  return from_head (&head, rows, user_data, config, error);
}
