/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "json-util.h"
#include "tokenizer-json-private.h"

#include <string.h>

/* One object of a type that is known. */
typedef gboolean (*ReadFunc) (AfpTokenizer *self, JsonObject *object, GError **error);

typedef struct {
  const char *type;
  ReadFunc read;
} Known;

/* What one of the three is made of; a Sequence is read one by one. */
typedef struct {
  const char *what; /* its name in the file */
  const char *list; /* of a Sequence */
  const Known *known;
} Part;

static gboolean
read_object (const Part *part, AfpTokenizer *self, JsonObject *object, GError **error)
{
  const char *type = afp_json_get_text (object, "type", "");
  g_autoptr (GString) names = g_string_new ("Sequence");

  for (const Known *known = part->known; known->type; known++) {
    if (strcmp (type, known->type) == 0)
      return known->read (self, object, error);
    g_string_append_printf (names, ", %s", known->type);
  }
  return afp_tokenizer_json_refuse (part->what, type, names->str, error);
}

static gboolean
read_part (const Part *part, AfpTokenizer *self, JsonObject *root, GError **error)
{
  JsonObject *object = afp_json_get_object (root, part->what);

  if (!object)
    return TRUE;
  if (strcmp (afp_json_get_text (object, "type", ""), "Sequence") != 0)
    return read_object (part, self, object, error);
  JsonArray *list = afp_json_get_array (object, part->list);
  const guint n = list ? json_array_get_length (list) : 0;
  if (n > AFP_STEPS_MAX)
    return afp_tokenizer_json_refuse (part->what, "a long Sequence", "16 steps", error);
  for (guint i = 0; i < n; i++) {
    JsonNode *node = json_array_get_element (list, i);
    if (!JSON_NODE_HOLDS_OBJECT (node))
      return afp_tokenizer_json_damaged ("a Sequence holds what is no object", error);
    if (!read_object (part, self, json_node_get_object (node), error))
      return FALSE;
  }
  return TRUE;
}

/* --- normalizer ---------------------------------------------------------------------------------------------------- */

static gboolean
read_nfc (AfpTokenizer *self, JsonObject *object, GError **error)
{
  afp_normalizer_add_nfc (self->normalizer);
  return TRUE;
}

static gboolean
read_prepend (AfpTokenizer *self, JsonObject *object, GError **error)
{
  afp_normalizer_add_prepend (self->normalizer, afp_json_get_text (object, "prepend", ""));
  return TRUE;
}

/* Of a pattern that is a text, or NULL. */
static const char *
get_pattern (JsonObject *object, const char *kind)
{
  JsonObject *pattern = afp_json_get_object (object, "pattern");

  return pattern ? afp_json_get_text (pattern, kind, NULL) : NULL;
}

static gboolean
read_replace (AfpTokenizer *self, JsonObject *object, GError **error)
{
  const char *what = get_pattern (object, "String"), *regex = get_pattern (object, "Regex");

  if (!what || !*what)
    return afp_tokenizer_json_refuse ("pattern of Replace", regex ? regex : "none", "a String",
                                      error);
  return afp_normalizer_add_replace (self->normalizer, what,
                                     afp_json_get_text (object, "content", ""), error);
}

static const Known normalizers[] = {
  { "NFC", read_nfc }, { "Prepend", read_prepend }, { "Replace", read_replace }, { NULL, NULL }
};

/* --- pre_tokenizer ------------------------------------------------------------------------------------------------- */

/* ByteLevel hands on other characters than those of the text. */
static gboolean
check_order (AfpTokenizer *self, GError **error)
{
  return !self->byte_level || afp_tokenizer_json_refuse ("pre_tokenizer", "a step behind ByteLevel",
                                                         "ByteLevel as the last step", error);
}

static gboolean
read_byte_level (AfpTokenizer *self, JsonObject *object, GError **error)
{
  if (!check_order (self, error))
    return FALSE;
  self->byte_level = TRUE;
  if (afp_json_get_flag (object, "add_prefix_space", TRUE))
    afp_tokenizer_add_step (self, AFP_STEP_BLANK_FIRST, 0);
  if (afp_json_get_flag (object, "use_regex", TRUE))
    afp_tokenizer_add_step (self, AFP_STEP_CUT, AFP_PRE_GPT2);
  return TRUE;
}

static gboolean
read_split (AfpTokenizer *self, JsonObject *object, GError **error)
{
  const char *regex = get_pattern (object, "Regex"), *text = get_pattern (object, "String");
  const char *behavior = afp_json_get_text (object, "behavior", "");
  AfpPreTokenizer how;

  if (!regex)
    return afp_tokenizer_json_refuse ("pattern of Split", text ? text : "none",
                                      "the regular expressions of GPT-2, Llama 3 and Qwen2", error);
  if (afp_json_get_flag (object, "invert", FALSE) || strcmp (behavior, "Isolated") != 0)
    return afp_tokenizer_json_refuse ("behavior of Split", behavior, "Isolated, not inverted",
                                      error);
  if (!afp_pre_tokenizer_from_regex (regex, &how, error) || !check_order (self, error))
    return FALSE;
  afp_tokenizer_add_step (self, AFP_STEP_CUT, how);
  return TRUE;
}

static gboolean
read_digits (AfpTokenizer *self, JsonObject *object, GError **error)
{
  const gboolean each = afp_json_get_flag (object, "individual_digits", FALSE);

  if (!check_order (self, error))
    return FALSE;
  afp_tokenizer_add_step (self, AFP_STEP_CUT, each ? AFP_PRE_DIGIT : AFP_PRE_DIGITS);
  return TRUE;
}

static gboolean
read_metaspace (AfpTokenizer *self, JsonObject *object, GError **error)
{
  const gboolean prefix = afp_json_get_flag (object, "add_prefix_space", TRUE);
  const char *scheme = afp_json_get_text (object, "prepend_scheme", prefix ? "always" : "never");
  const char *marker = afp_json_get_text (object, "replacement", AFP_MARKER);

  if (strcmp (marker, AFP_MARKER) != 0)
    return afp_tokenizer_json_refuse ("replacement of Metaspace", marker, AFP_MARKER, error);
  if (!check_order (self, error))
    return FALSE;
  afp_tokenizer_add_step (self,
                          strcmp (scheme, "always") == 0  ? AFP_STEP_MARK_ALL
                          : strcmp (scheme, "first") == 0 ? AFP_STEP_MARK_FIRST
                                                          : AFP_STEP_MARK,
                          0);
  if (afp_json_get_flag (object, "split", TRUE))
    afp_tokenizer_add_step (self, AFP_STEP_CUT, AFP_PRE_MARKERS);
  return TRUE;
}

static const Known pre_tokenizers[] = { { "ByteLevel", read_byte_level },
                                        { "Split", read_split },
                                        { "Digits", read_digits },
                                        { "Metaspace", read_metaspace },
                                        { NULL, NULL } };

/* --- post_processor ------------------------------------------------------------------------------------------------ */

static gboolean
read_nothing (AfpTokenizer *self, JsonObject *object, GError **error)
{
  return TRUE;
}

/* The token that an element of a template stands for: *@id; AFP_TOKEN_NONE: it is the text. */
static gboolean
read_template_token (AfpTokenizer *self, JsonNode *node, guint32 *id, GError **error)
{
  JsonObject *object = JSON_NODE_HOLDS_OBJECT (node) ? json_node_get_object (node) : NULL;
  JsonObject *special = object ? afp_json_get_object (object, "SpecialToken") : NULL;

  *id = AFP_TOKEN_NONE;
  if (!special)
    return (object && afp_json_get_object (object, "Sequence")) ||
           afp_tokenizer_json_damaged ("a template holds neither token nor text", error);
  const char *name = afp_json_get_text (special, "id", "");
  *id = afp_vocabulary_find (self->strings, name, strlen (name));
  return *id != AFP_VOCABULARY_NONE ||
         afp_tokenizer_json_damaged ("a template names what is no token", error);
}

static gboolean
read_template (AfpTokenizer *self, JsonObject *object, GError **error)
{
  JsonArray *single = afp_json_get_array (object, "single");
  gboolean behind = FALSE; /* the text */
  guint32 id;

  for (guint i = 0; single && i < json_array_get_length (single); i++) {
    if (!read_template_token (self, json_array_get_element (single, i), &id, error))
      return FALSE;
    if (id == AFP_TOKEN_NONE) {
      behind = TRUE;
      continue;
    }
    guint32 *token = behind ? &self->eos : &self->bos;
    if (*token != AFP_TOKEN_NONE)
      return afp_tokenizer_json_refuse ("post_processor", "several tokens around the text",
                                        "one before it and one behind it", error);
    *token = id;
  }
  self->adds_bos = self->bos != AFP_TOKEN_NONE;
  return TRUE;
}

static const Known post_processors[] = { { "ByteLevel", read_nothing },
                                         { "TemplateProcessing", read_template },
                                         { NULL, NULL } };

gboolean
afp_tokenizer_json_read_steps (AfpTokenizer *self, JsonObject *root, GError **error)
{
  static const Part parts[] = { { "normalizer", "normalizers", normalizers },
                                { "pre_tokenizer", "pretokenizers", pre_tokenizers },
                                { "post_processor", "processors", post_processors } };

  for (guint i = 0; i < G_N_ELEMENTS (parts); i++)
    if (!read_part (&parts[i], self, root, error))
      return FALSE;
  return TRUE;
}
