/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "json-util.h"
#include "tokenizer-json-private.h"

#include <string.h>

#define WHAT "tokenizer.json"
#define MAX_DEPTH 32
#define MAX_GAPS 65536u /* numbers without a token */

gboolean
afp_tokenizer_json_damaged (const char *why, GError **error)
{
  g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT, WHAT " is damaged: %s", why);
  return FALSE;
}

gboolean
afp_tokenizer_json_refuse (const char *what, const char *is, const char *supported, GError **error)
{
  g_set_error (error, AFP_ERROR, AFP_ERROR_PLAN,
               WHAT " cannot be used: its %s is '%.100s'; supported: %s", what, is, supported);
  return FALSE;
}

/* --- the vocabulary ------------------------------------------------------------------------------------------------ */

/* A token's number, or AFP_TOKEN_NONE. */
static guint32
get_id (JsonNode *node)
{
  if (!JSON_NODE_HOLDS_VALUE (node) || json_node_get_value_type (node) != G_TYPE_INT64)
    return AFP_TOKEN_NONE;
  const gint64 id = json_node_get_int (node);
  return id >= 0 && id < AFP_VOCABULARY_MAX ? (guint32) id : AFP_TOKEN_NONE;
}

static guint32
get_added_id (JsonObject *added)
{
  JsonNode *node = json_object_get_member (added, "id");

  return node ? get_id (node) : AFP_TOKEN_NONE;
}

/* The objects of added_tokens. (element-type JsonObject) (transfer container) */
static GPtrArray *
list_added (JsonObject *root, GError **error)
{
  g_autoptr (GPtrArray) list = g_ptr_array_new ();
  JsonArray *array = afp_json_get_array (root, "added_tokens");

  for (guint i = 0; array && i < json_array_get_length (array); i++) {
    JsonNode *node = json_array_get_element (array, i);
    JsonObject *added = JSON_NODE_HOLDS_OBJECT (node) ? json_node_get_object (node) : NULL;
    if (!added || get_added_id (added) == AFP_TOKEN_NONE ||
        *afp_json_get_text (added, "content", "") == '\0') {
      afp_tokenizer_json_damaged ("an added token has no id or no content", error);
      return NULL;
    }
    g_ptr_array_add (list, added);
  }
  return g_steal_pointer (&list);
}

/* How many tokens there are, gaps included; 0: not possible. */
static guint
count_tokens (JsonObject *vocab, const GPtrArray *added, GError **error)
{
  const guint least = json_object_get_size (vocab) + added->len;
  JsonObjectIter iter;
  const char *name;
  JsonNode *node;
  guint n = 0;

  json_object_iter_init (&iter, vocab);
  while (json_object_iter_next (&iter, &name, &node)) {
    const guint32 id = get_id (node);
    if (id == AFP_TOKEN_NONE) {
      g_autofree char *why = g_strdup_printf ("the number of the token \"%.100s\" is none", name);
      afp_tokenizer_json_damaged (why, error);
      return 0;
    }
    n = MAX (n, id + 1);
  }
  for (guint i = 0; i < added->len; i++)
    n = MAX (n, get_added_id (added->pdata[i]) + 1);
  if (n > 0 && n <= least + MAX_GAPS)
    return n;
  g_autofree char *why =
      g_strdup_printf ("it has %u tokens, but numbers up to %u", least, MAX (n, 1) - 1);
  afp_tokenizer_json_damaged (why, error);
  return 0;
}

static gboolean
set_token (AfpTokenizer *self, guint32 id, const char *text, GError **error)
{
  gsize n;

  afp_vocabulary_get (self->strings, id, &n);
  if (n > 0) {
    g_autofree char *why =
        g_strdup_printf ("token %u is there twice, the second time as \"%.100s\"", id, text);
    return afp_tokenizer_json_damaged (why, error);
  }
  afp_tokenizer_set_string (self, id, text, strlen (text));
  return TRUE;
}

static gboolean
read_vocab (AfpTokenizer *self, JsonObject *vocab, GError **error)
{
  JsonObjectIter iter;
  const char *name;
  JsonNode *node;

  json_object_iter_init (&iter, vocab);
  while (json_object_iter_next (&iter, &name, &node))
    if (*name && !set_token (self, get_id (node), name, error))
      return FALSE;
  return TRUE;
}

/* --- added tokens -------------------------------------------------------------------------------------------------- */

static gboolean
set_added (AfpTokenizer *self, const GPtrArray *list, GError **error)
{
  for (guint i = 0; i < list->len; i++) {
    const char *content = afp_json_get_text (list->pdata[i], "content", "");
    const guint32 id = get_added_id (list->pdata[i]);
    const guint32 known = afp_vocabulary_find (self->strings, content, strlen (content));
    if (known == AFP_VOCABULARY_NONE && !set_token (self, id, content, error))
      return FALSE;
    if (known != AFP_VOCABULARY_NONE && known != id) {
      g_autofree char *why =
          g_strdup_printf ("the added token \"%.100s\" is number %u and %u", content, id, known);
      return afp_tokenizer_json_damaged (why, error);
    }
  }
  return TRUE;
}

/* After the normalizer is known: tokens that are looked for in normalized text are normalized themselves. */
static gboolean
look_for_added (AfpTokenizer *self, const GPtrArray *list, guint8 *is_special, GError **error)
{
  for (guint i = 0; i < list->len; i++) {
    JsonObject *added = list->pdata[i];
    const char *content = afp_json_get_text (added, "content", "");
    const gboolean special = afp_json_get_flag (added, "special", FALSE);
    const gboolean later = afp_json_get_flag (added, "normalized", !special);
    const guint32 id = get_added_id (added);
    const AfpAddedFlags flags =
        (afp_json_get_flag (added, "lstrip", FALSE) ? AFP_ADDED_STRIP_LEFT : 0) |
        (afp_json_get_flag (added, "rstrip", FALSE) ? AFP_ADDED_STRIP_RIGHT : 0);
    if (afp_json_get_flag (added, "single_word", FALSE))
      return afp_tokenizer_json_refuse ("added token with single_word", content,
                                        "added tokens without it", error);
    g_autoptr (GString) normal =
        later ? afp_normalizer_run (self->normalizer, content, strlen (content))
              : g_string_new (content);
    if (normal->len > 0)
      afp_added_tokens_add (later ? self->added_later : self->added, normal->str, normal->len, id,
                            flags);
    is_special[id] = TRUE;
  }
  return TRUE;
}

/* --- the model ----------------------------------------------------------------------------------------------------- */

static gboolean
check_model (JsonObject *model, GError **error)
{
  static const char *const affixes[] = { "continuing_subword_prefix", "end_of_word_suffix" };
  const char *type = afp_json_get_text (model, "type", "BPE");

  if (strcmp (type, "BPE") != 0)
    return afp_tokenizer_json_refuse ("model", type, "BPE", error);
  for (guint i = 0; i < G_N_ELEMENTS (affixes); i++) {
    const char *affix = afp_json_get_text (model, affixes[i], "");
    if (*affix)
      return afp_tokenizer_json_refuse (affixes[i], affix, "none", error);
  }
  return afp_json_get_number (model, "dropout", 0) == 0 ||
         afp_tokenizer_json_refuse ("dropout", "not 0", "none", error);
}

/* "LEFT RIGHT" or ["LEFT", "RIGHT"]. */
static gboolean
read_merge (AfpTokenizer *self, JsonNode *node, guint32 rank, GError **error)
{
  if (JSON_NODE_HOLDS_ARRAY (node)) {
    JsonArray *pair = json_node_get_array (node);
    JsonNode *left = json_array_get_length (pair) == 2 ? json_array_get_element (pair, 0) : NULL;
    JsonNode *right = left ? json_array_get_element (pair, 1) : NULL;
    if (right && json_node_get_value_type (left) == G_TYPE_STRING &&
        json_node_get_value_type (right) == G_TYPE_STRING) {
      const char *a = json_node_get_string (left), *b = json_node_get_string (right);
      return afp_tokenizer_add_merge (self, a, strlen (a), b, strlen (b), rank, error);
    }
  } else if (json_node_get_value_type (node) == G_TYPE_STRING) {
    const char *text = json_node_get_string (node), *blank = strchr (text, ' ');
    if (blank && !strchr (blank + 1, ' '))
      return afp_tokenizer_add_merge (self, text, (gsize) (blank - text), blank + 1,
                                      strlen (blank + 1), rank, error);
  }
  g_autofree char *why = g_strdup_printf ("merge %u is no pair of tokens", rank);
  return afp_tokenizer_json_damaged (why, error);
}

static gboolean
read_merges (AfpTokenizer *self, JsonObject *model, GError **error)
{
  JsonArray *merges = afp_json_get_array (model, "merges");

  if (!merges)
    return afp_tokenizer_json_damaged ("its model has no merges", error);
  const guint n = json_array_get_length (merges);
  self->merges = afp_merge_table_new (n);
  for (guint i = 0; i < n; i++)
    if (!read_merge (self, json_array_get_element (merges, i), i, error))
      return FALSE;
  return TRUE;
}

static gboolean
read_unknown (AfpTokenizer *self, JsonObject *model, GError **error)
{
  const char *unknown = afp_json_get_text (model, "unk_token", NULL);

  if (!unknown)
    return TRUE;
  self->unknown = afp_vocabulary_find (self->strings, unknown, strlen (unknown));
  return self->unknown != AFP_VOCABULARY_NONE ||
         afp_tokenizer_json_damaged ("its unk_token is no token", error);
}

static gboolean
read_all (AfpTokenizer *self, JsonObject *root, JsonObject *model, JsonObject *vocab,
          const GPtrArray *added, GError **error)
{
  g_autofree guint8 *is_special = g_new0 (guint8, afp_tokenizer_get_size (self));

  self->byte_fallback = afp_json_get_flag (model, "byte_fallback", FALSE);
  self->fuse_unknown = afp_json_get_flag (model, "fuse_unk", FALSE);
  self->ignore_merges = afp_json_get_flag (model, "ignore_merges", FALSE);
  if (!read_vocab (self, vocab, error) || !set_added (self, added, error) ||
      !read_merges (self, model, error) || !read_unknown (self, model, error) ||
      !afp_tokenizer_json_read_steps (self, root, error) ||
      !look_for_added (self, added, is_special, error))
    return FALSE;
  afp_tokenizer_make_pieces (self, is_special);
  if (!self->byte_level)
    afp_tokenizer_cut_at (self, AFP_MARKER, AFP_PRE_MARKER_WORDS);
  return TRUE;
}

/**
 * afp_tokenizer_new_json:
 * @file: its bytes
 * @error: %AFP_ERROR_FORMAT: it is damaged; %AFP_ERROR_PLAN: it asks for what is not supported
 *
 * Returns: (transfer full): the tokenizer
 */
AfpTokenizer *
afp_tokenizer_new_json (GBytes *file, GError **error)
{
  gsize n;
  const char *text = g_bytes_get_data (file, &n);
  g_autoptr (JsonNode) node = afp_json_parse (text, n, MAX_DEPTH, WHAT, error);

  if (!node)
    return NULL;
  JsonObject *root = JSON_NODE_HOLDS_OBJECT (node) ? json_node_get_object (node) : NULL;
  JsonObject *model = root ? afp_json_get_object (root, "model") : NULL;
  if (!model) {
    afp_tokenizer_json_damaged ("it has no model", error);
    return NULL;
  }
  if (!check_model (model, error))
    return NULL;
  JsonObject *vocab = afp_json_get_object (model, "vocab");
  if (!vocab) {
    afp_tokenizer_json_damaged ("its model has no vocab", error);
    return NULL;
  }
  g_autoptr (GPtrArray) added = list_added (root, error);
  const guint size = added ? count_tokens (vocab, added, error) : 0;
  if (size == 0)
    return NULL;
  g_autoptr (AfpTokenizer) self = afp_tokenizer_new (size);
  return read_all (self, root, model, vocab, added, error) ? g_steal_pointer (&self) : NULL;
}
