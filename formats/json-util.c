/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "json-util.h"

#include <string.h>

static gboolean
fail (GError **error, const char *what, gsize offset, const char *why)
{
  g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT, "%s is damaged: %s at byte %" G_GSIZE_FORMAT,
               what, why, offset);
  return FALSE;
}

/* Offset behind the closing quote of the string whose first byte is at @i, or 0 with the error set. */
static gsize
scan_string (const char *text, gsize n, gsize i, const char *what, GError **error)
{
  for (; i < n; i++) {
    const guchar c = (guchar) text[i];
    if (c == '"')
      return i + 1;
    if (c < 0x20) {
      fail (error, what, i, "a control character in a string");
      return 0;
    }
    if (c != '\\')
      continue;
    if (n - i >= 6 && memcmp (text + i, "\\u0000", 6) == 0) {
      fail (error, what, i, "a NUL in a string");
      return 0;
    }
    i++;
  }
  fail (error, what, n, "a string that does not end");
  return 0;
}

static gboolean
is_blank (char c)
{
  return c != '\0' && strchr (" \t\r\n", c) != NULL;
}

/* Characters of numbers, true, false and null. */
static gboolean
is_plain (char c)
{
  return c != '\0' && strchr ("0123456789+-.eEtrufalsn", c) != NULL;
}

static gsize
count_digits (const char *text, gsize n, gsize i)
{
  const gsize first = i;

  while (i < n && g_ascii_isdigit (text[i]))
    i++;
  return i - first;
}

/* RFC 8259, section 6: no plus, no leading zeros, digits on both sides of a point. */
static gboolean
is_number (const char *text, gsize n)
{
  gsize i = n > 0 && text[0] == '-';
  gsize digits = count_digits (text, n, i);

  if (digits == 0 || (digits > 1 && text[i] == '0'))
    return FALSE;
  i += digits;
  if (i < n && text[i] == '.') {
    digits = count_digits (text, n, i + 1);
    if (digits == 0)
      return FALSE;
    i += 1 + digits;
  }
  if (i < n && (text[i] == 'e' || text[i] == 'E')) {
    i += 1 + (i + 1 < n && (text[i + 1] == '+' || text[i + 1] == '-'));
    digits = count_digits (text, n, i);
    if (digits == 0)
      return FALSE;
    i += digits;
  }
  return i == n;
}

static gboolean
is_word (const char *text, gsize n)
{
  static const char *const words[] = { "true", "false", "null" };

  for (guint w = 0; w < G_N_ELEMENTS (words); w++)
    if (n == strlen (words[w]) && memcmp (text, words[w], n) == 0)
      return TRUE;
  return is_number (text, n);
}

/* Only bytes of JSON outside of strings, brackets balanced and not too deep, one value and nothing behind it. */
static gboolean
scan (const char *text, gsize n, guint max_depth, const char *what, GError **error)
{
  gboolean done = FALSE; /* the value has begun */
  guint depth = 0;

  for (gsize i = 0; i < n;) {
    const char c = text[i];
    if (depth == 0 && !is_blank (c)) {
      if (done && c != '}' && c != ']')
        return fail (error, what, i, "something behind the value");
      done = TRUE;
    }
    if (c == '"') {
      i = scan_string (text, n, i + 1, what, error);
      if (i == 0)
        return FALSE;
      continue;
    }
    if (c == '{' || c == '[') {
      if (++depth > max_depth)
        return fail (error, what, i, "nesting that is too deep");
    } else if (c == '}' || c == ']') {
      if (depth-- == 0)
        return fail (error, what, i, "a bracket that nothing opens");
    } else if (is_plain (c)) {
      const gsize first = i;
      while (i + 1 < n && is_plain (text[i + 1]))
        i++;
      if (!is_word (text + first, i + 1 - first))
        return fail (error, what, first, "a number or a word that is not JSON");
    } else if (!is_blank (c) && (depth == 0 || (c != ',' && c != ':')))
      return fail (error, what, i, "a character that is not JSON");
    i++;
  }
  if (depth > 0)
    return fail (error, what, n, "the end of the text inside a bracket");
  return TRUE;
}

typedef struct {
  GPtrArray *open; /* of GHashTable: member names of the objects that are being read */
  char *twice;
} Members;

static void
on_object_start (JsonParser *parser, Members *members)
{
  g_ptr_array_add (members->open, g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL));
}

static void
on_object_member (JsonParser *parser, JsonObject *object, const char *name, Members *members)
{
  GHashTable *names = members->open->pdata[members->open->len - 1];

  if (!g_hash_table_add (names, g_strdup (name)) && members->twice == NULL)
    members->twice = g_strdup (name);
}

static void
on_object_end (JsonParser *parser, JsonObject *object, Members *members)
{
  g_ptr_array_set_size (members->open, (int) members->open->len - 1);
}

JsonNode *
afp_json_parse (const char *text, gsize n, guint max_depth, const char *what, GError **error)
{
  if (!scan (text, n, max_depth, what, error))
    return NULL;

  g_autoptr (JsonParser) parser = json_parser_new ();
  g_autoptr (GPtrArray) open = g_ptr_array_new_with_free_func ((GDestroyNotify) g_hash_table_unref);
  g_autoptr (GError) local = NULL;
  Members members = { open, NULL };
  g_signal_connect (parser, "object-start", G_CALLBACK (on_object_start), &members);
  g_signal_connect (parser, "object-member", G_CALLBACK (on_object_member), &members);
  g_signal_connect (parser, "object-end", G_CALLBACK (on_object_end), &members);
  const gboolean ok = json_parser_load_from_data (parser, n > 0 ? text : "", (gssize) n, &local);
  g_autofree char *twice = members.twice;

  if (!ok) {
    g_autofree char *why = g_utf8_make_valid (local->message, -1); /* it quotes the text */
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT, "%s is damaged: %s", what, why);
    return NULL;
  }
  if (twice != NULL) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT, "%s is damaged: '%s' occurs twice", what,
                 twice);
    return NULL;
  }
  JsonNode *root = json_parser_steal_root (parser);
  if (root == NULL)
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT, "%s is damaged: it is empty", what);
  return root;
}

/* --- members ------------------------------------------------------------------------------------------------------ */

/* A member that is a plain value of @type, or NULL. */
static JsonNode *
get_value (JsonObject *object, const char *name, GType type)
{
  JsonNode *node = json_object_get_member (object, name);

  return node && JSON_NODE_HOLDS_VALUE (node) && json_node_get_value_type (node) == type ? node
                                                                                         : NULL;
}

double
afp_json_get_number (JsonObject *object, const char *name, double otherwise)
{
  JsonNode *node = get_value (object, name, G_TYPE_INT64);

  if (!node)
    node = get_value (object, name, G_TYPE_DOUBLE);
  return node ? json_node_get_double (node) : otherwise;
}

gboolean
afp_json_get_flag (JsonObject *object, const char *name, gboolean otherwise)
{
  JsonNode *node = get_value (object, name, G_TYPE_BOOLEAN);

  return node ? json_node_get_boolean (node) : otherwise;
}

const char *
afp_json_get_text (JsonObject *object, const char *name, const char *otherwise)
{
  JsonNode *node = get_value (object, name, G_TYPE_STRING);

  return node ? json_node_get_string (node) : otherwise;
}

JsonObject *
afp_json_get_object (JsonObject *object, const char *name)
{
  JsonNode *node = json_object_get_member (object, name);

  return node && JSON_NODE_HOLDS_OBJECT (node) ? json_node_get_object (node) : NULL;
}

JsonArray *
afp_json_get_array (JsonObject *object, const char *name)
{
  JsonNode *node = json_object_get_member (object, name);

  return node && JSON_NODE_HOLDS_ARRAY (node) ? json_node_get_array (node) : NULL;
}
