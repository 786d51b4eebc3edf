/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gguf-meta.h"
#include "tokenizer-private.h"

#include <string.h>

#define WHAT "the tokenizer of the GGUF file"
#define KEY(name) "tokenizer.ggml." name

/* tokenizer.ggml.token_type */
typedef enum { UNKNOWN = 2, CONTROL = 3, USER_DEFINED = 4 } TokenType;

static gboolean
refuse (const char *what, const char *is, const char *supported, GError **error)
{
  g_set_error (error, AFP_ERROR, AFP_ERROR_PLAN,
               WHAT " cannot be used: its %s is '%.100s'; supported: %s", what, is, supported);
  return FALSE;
}

/* --- arrays -------------------------------------------------------------------------------------------------------- */

/* An array of @element; NULL: there is none. */
static const AfpGgufValue *
find_array (const AfpGgufMeta *meta, const char *key, AfpGgufType element, guint64 n,
            GError **error)
{
  const AfpGgufValue *value = afp_gguf_meta_find (meta, key);

  if (value && value->type == AFP_GGUF_ARRAY && value->element == element &&
      (n == 0 || value->n == n))
    return value;
  if (!value)
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT, WHAT " lacks '%s'", key);
  else if (value->type == AFP_GGUF_ARRAY && value->element == element)
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                 WHAT " is damaged: '%s' has %" G_GUINT64_FORMAT
                      " values, not one for each of %" G_GUINT64_FORMAT " tokens",
                 key, value->n, n);
  else
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT, WHAT " is damaged: '%s' is of a wrong type",
                 key);
  return NULL;
}

typedef gboolean (*EachFunc) (AfpTokenizer *self, guint32 i, const char *text, gsize n,
                              GError **error);

static gboolean
for_each_text (AfpTokenizer *self, const AfpGgufValue *array, EachFunc each, GError **error)
{
  AfpGgufCursor cursor = { array->data, array->n_bytes, 0, array->key };

  for (guint32 i = 0; i < array->n; i++) {
    const guint8 *bytes;
    guint64 n;
    if (!afp_gguf_take_u64 (&cursor, "a text", &n, error) ||
        !afp_gguf_take (&cursor, (gsize) n, "a text", &bytes, error) ||
        !each (self, i, (const char *) bytes, (gsize) n, error))
      return FALSE;
  }
  return TRUE;
}

static guint32
get_u32 (const AfpGgufValue *array, guint64 i)
{
  guint32 value;

  memcpy (&value, array->data + 4 * i, 4);
  return GUINT32_FROM_LE (value);
}

static guint32
get_token (const AfpGgufMeta *meta, const char *key, guint size)
{
  guint64 id;

  return afp_gguf_meta_get_count (meta, key, &id) && id < size ? (guint32) id : AFP_TOKEN_NONE;
}

static gboolean
get_flag (const AfpGgufMeta *meta, const char *key, gboolean otherwise)
{
  const AfpGgufValue *value = afp_gguf_meta_find (meta, key);

  return value && value->type == AFP_GGUF_BOOL ? value->data[0] != 0 : otherwise;
}

/* --- tokens -------------------------------------------------------------------------------------------------------- */

static gboolean
set_text (AfpTokenizer *self, guint32 id, const char *text, gsize n, GError **error)
{
  afp_tokenizer_set_string (self, id, text, n);
  return TRUE;
}

/* Texts, and which of them are looked for in a text as they are. */
static gboolean
read_tokens (AfpTokenizer *self, const AfpGgufMeta *meta, const AfpGgufValue *tokens,
             guint8 *is_special, GError **error)
{
  const AfpGgufValue *types = NULL;

  if (afp_gguf_meta_find (meta, KEY ("token_type"))) {
    types = find_array (meta, KEY ("token_type"), AFP_GGUF_I32, tokens->n, error);
    if (!types)
      return FALSE;
  }
  if (!for_each_text (self, tokens, set_text, error))
    return FALSE;
  for (guint32 id = 0; types && id < tokens->n; id++) {
    const guint32 type = get_u32 (types, id);
    gsize n;
    const char *string = afp_vocabulary_get (self->strings, id, &n);
    is_special[id] = type == CONTROL || type == USER_DEFINED || type == UNKNOWN;
    if (is_special[id] && n > 0)
      afp_added_tokens_add (self->added, string, n, id, AFP_ADDED_PLAIN);
  }
  return TRUE;
}

/* --- byte-level BPE ------------------------------------------------------------------------------------------------ */

static gboolean
add_merge (AfpTokenizer *self, guint32 rank, const char *text, gsize n, GError **error)
{
  const char *blank = n > 1 ? memchr (text + 1, ' ', n - 1) : NULL;
  const gsize left = blank ? (gsize) (blank - text) : 0;

  if (blank)
    return afp_tokenizer_add_merge (self, text, left, blank + 1, n - left - 1, rank, error);
  g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT, WHAT " is damaged: merge %u is no pair", rank);
  return FALSE;
}

/* What the names of llama.cpp stand for. */
static const struct {
  const char *pre;
  AfpPreTokenizer how;
  gboolean digits; /* cut one by one first */
  gboolean nfc, begins;
} pres[] = {
  { "default", AFP_PRE_GPT2, FALSE, FALSE, FALSE },
  { "gpt-2", AFP_PRE_GPT2, FALSE, FALSE, FALSE },
  { "smollm", AFP_PRE_GPT2, TRUE, FALSE, FALSE },
  { "starcoder", AFP_PRE_GPT2, TRUE, FALSE, FALSE },
  { "llama-bpe", AFP_PRE_LLAMA3, FALSE, FALSE, TRUE },
  { "llama3", AFP_PRE_LLAMA3, FALSE, FALSE, TRUE },
  { "llama-v3", AFP_PRE_LLAMA3, FALSE, FALSE, TRUE },
  { "qwen2", AFP_PRE_QWEN2, FALSE, TRUE, FALSE },
  { "deepseek-r1-qwen", AFP_PRE_QWEN2, FALSE, TRUE, FALSE },
};

static gboolean
read_pre (AfpTokenizer *self, const AfpGgufMeta *meta, GError **error)
{
  g_autofree char *text = afp_gguf_meta_get_text (meta, KEY ("pre"));
  const char *pre = text ? text : "default";
  g_autoptr (GString) names = g_string_new (NULL);

  for (gsize i = 0; i < G_N_ELEMENTS (pres); i++) {
    g_string_append_printf (names, "%s%s", i ? ", " : "", pres[i].pre);
    if (strcmp (pre, pres[i].pre) != 0)
      continue;
    if (pres[i].nfc)
      afp_normalizer_add_nfc (self->normalizer);
    if (get_flag (meta, KEY ("add_space_prefix"), FALSE))
      afp_tokenizer_add_step (self, AFP_STEP_BLANK_FIRST, 0);
    if (pres[i].digits)
      afp_tokenizer_add_step (self, AFP_STEP_CUT, AFP_PRE_DIGIT);
    afp_tokenizer_add_step (self, AFP_STEP_CUT, pres[i].how);
    self->ignore_merges = self->adds_bos = pres[i].begins;
    return TRUE;
  }
  return refuse (KEY ("pre"), pre, names->str, error);
}

static gboolean
read_byte_level (AfpTokenizer *self, const AfpGgufMeta *meta, GError **error)
{
  const AfpGgufValue *merges = find_array (meta, KEY ("merges"), AFP_GGUF_STRING, 0, error);

  if (!merges || !read_pre (self, meta, error))
    return FALSE;
  if (merges->n > G_MAXINT32) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT, WHAT " has too many merges");
    return FALSE;
  }
  self->byte_level = TRUE;
  self->merges = afp_merge_table_new ((guint) merges->n);
  return for_each_text (self, merges, add_merge, error);
}

/* --- SentencePiece BPE --------------------------------------------------------------------------------------------- */

static gboolean
read_scored (AfpTokenizer *self, const AfpGgufMeta *meta, GError **error)
{
  const guint n = afp_tokenizer_get_size (self);
  const AfpGgufValue *scores = find_array (meta, KEY ("scores"), AFP_GGUF_F32, n, error);

  if (!scores)
    return FALSE;
  self->scores = g_new (float, n);
  for (guint i = 0; i < n; i++) {
    const guint32 bits = get_u32 (scores, i);
    memcpy (&self->scores[i], &bits, 4);
  }
  self->byte_fallback = TRUE;
  self->fuse_unknown = TRUE;
  self->adds_bos = TRUE;
  self->unknown = get_token (meta, KEY ("unknown_token_id"), n);
  if (get_flag (meta, KEY ("add_space_prefix"), TRUE))
    afp_normalizer_add_prepend (self->normalizer, AFP_MARKER);
  return afp_normalizer_add_replace (self->normalizer, " ", AFP_MARKER, error);
}

/* --- all ----------------------------------------------------------------------------------------------------------- */

static gboolean
read_all (AfpTokenizer *self, const AfpGgufMeta *meta, const AfpGgufValue *tokens,
          gboolean byte_level, GError **error)
{
  const guint n = afp_tokenizer_get_size (self);
  g_autofree guint8 *is_special = g_new0 (guint8, n);

  if (!read_tokens (self, meta, tokens, is_special, error) ||
      !(byte_level ? read_byte_level (self, meta, error) : read_scored (self, meta, error)))
    return FALSE;
  afp_tokenizer_make_pieces (self, is_special);
  if (!byte_level)
    afp_tokenizer_cut_at (self, AFP_MARKER, AFP_PRE_MARKER_WORDS);
  self->bos = get_token (meta, KEY ("bos_token_id"), n);
  self->eos = get_token (meta, KEY ("eos_token_id"), n);
  self->adds_bos =
      get_flag (meta, KEY ("add_bos_token"), self->adds_bos) && self->bos != AFP_TOKEN_NONE;
  return TRUE;
}

/**
 * afp_tokenizer_new_gguf:
 * @head: a GGUF file, up to the end of its metadata at least
 * @error: %AFP_ERROR_FORMAT: it is damaged; %AFP_ERROR_PLAN: it has no tokenizer, or one that is not supported
 *
 * `tokenizer.ggml.pre` says how text is cut; without it, and where it is "default", it is cut as for GPT-2. The models behind "qwen2" put
 * text into NFC first, which the file does not say.
 *
 * Returns: (transfer full): the tokenizer
 */
AfpTokenizer *
afp_tokenizer_new_gguf (GBytes *head, GError **error)
{
  g_autoptr (AfpGgufMeta) meta = afp_gguf_meta_parse (head, AFP_EXTRA_GGUF_METADATA, error);

  if (!meta)
    return NULL;
  g_autofree char *model = afp_gguf_meta_get_text (meta, KEY ("model"));
  const gboolean byte_level = g_strcmp0 (model, "gpt2") == 0;
  if (!byte_level && g_strcmp0 (model, "llama") != 0) {
    refuse (KEY ("model"), model ? model : "missing", "gpt2, llama", error);
    return NULL;
  }
  const AfpGgufValue *tokens = find_array (meta, KEY ("tokens"), AFP_GGUF_STRING, 0, error);
  if (!tokens)
    return NULL;
  if (tokens->n == 0 || tokens->n > AFP_VOCABULARY_MAX) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                 WHAT " is damaged: it has %" G_GUINT64_FORMAT " tokens", tokens->n);
    return NULL;
  }
  g_autoptr (AfpTokenizer) self = afp_tokenizer_new ((guint) tokens->n);
  return read_all (self, meta, tokens, byte_level, error) ? g_steal_pointer (&self) : NULL;
}
