/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gguf-meta.h"

#include <string.h>

#define HEAD_BYTES 24 /* magic, version and the two numbers */
#define MIN_VALUE 13  /* a length, a key of no bytes, a type, a byte */
#define MAX_SHOWN 200 /* bytes of a text in afp_gguf_meta_to_json() */

static const struct {
  const char *name;
  guint8 size;
} types[AFP_GGUF_N_TYPES] = {
  [AFP_GGUF_U8] = { "u8", 1 },         [AFP_GGUF_I8] = { "i8", 1 },
  [AFP_GGUF_U16] = { "u16", 2 },       [AFP_GGUF_I16] = { "i16", 2 },
  [AFP_GGUF_U32] = { "u32", 4 },       [AFP_GGUF_I32] = { "i32", 4 },
  [AFP_GGUF_F32] = { "f32", 4 },       [AFP_GGUF_BOOL] = { "bool", 1 },
  [AFP_GGUF_STRING] = { "string", 0 }, [AFP_GGUF_ARRAY] = { "array", 0 },
  [AFP_GGUF_U64] = { "u64", 8 },       [AFP_GGUF_I64] = { "i64", 8 },
  [AFP_GGUF_F64] = { "f64", 8 },
};

/* --- the cursor ---------------------------------------------------------------------------------------------------- */

gboolean
afp_gguf_take (AfpGgufCursor *cursor, gsize n, const char *what, const guint8 **bytes,
               GError **error)
{
  if (n > cursor->size - cursor->at) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                 "'%s' is cut off or damaged: %s at byte %" G_GSIZE_FORMAT " takes %" G_GSIZE_FORMAT
                 " bytes, but %" G_GSIZE_FORMAT " follow",
                 cursor->path, what, cursor->at, n, cursor->size - cursor->at);
    return FALSE;
  }
  *bytes = cursor->data + cursor->at;
  cursor->at += n;
  return TRUE;
}

gboolean
afp_gguf_take_u32 (AfpGgufCursor *cursor, const char *what, guint32 *value, GError **error)
{
  const guint8 *bytes;

  if (!afp_gguf_take (cursor, 4, what, &bytes, error))
    return FALSE;
  memcpy (value, bytes, 4);
  *value = GUINT32_FROM_LE (*value);
  return TRUE;
}

gboolean
afp_gguf_take_u64 (AfpGgufCursor *cursor, const char *what, guint64 *value, GError **error)
{
  const guint8 *bytes;

  if (!afp_gguf_take (cursor, 8, what, &bytes, error))
    return FALSE;
  memcpy (value, bytes, 8);
  *value = GUINT64_FROM_LE (*value);
  return TRUE;
}

char *
afp_gguf_take_text (AfpGgufCursor *cursor, const char *what, gsize max, GError **error)
{
  const gsize start = cursor->at;
  const guint8 *bytes;
  guint64 n;

  if (!afp_gguf_take_u64 (cursor, what, &n, error))
    return NULL;
  if (n > max) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                 "'%s' is damaged: %s at byte %" G_GSIZE_FORMAT " has %" G_GUINT64_FORMAT
                 " bytes; the limit is %" G_GSIZE_FORMAT,
                 cursor->path, what, start, n, max);
    return NULL;
  }
  if (!afp_gguf_take (cursor, (gsize) n, what, &bytes, error))
    return NULL;
  if (memchr (bytes, 0, (gsize) n) != NULL) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                 "'%s' is damaged: %s at byte %" G_GSIZE_FORMAT " has a zero byte in it",
                 cursor->path, what, start);
    return NULL;
  }
  return g_strndup ((const char *) bytes, (gsize) n);
}

/* --- values -------------------------------------------------------------------------------------------------------- */

static gboolean
take_type (AfpGgufCursor *cursor, const char *what, AfpGgufType *type, GError **error)
{
  const gsize start = cursor->at;
  guint32 number;

  if (!afp_gguf_take_u32 (cursor, what, &number, error))
    return FALSE;
  if (number >= AFP_GGUF_N_TYPES) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                 "'%s' is damaged: %s at byte %" G_GSIZE_FORMAT " is of type %u; known are 0 to %d",
                 cursor->path, what, start, number, AFP_GGUF_N_TYPES - 1);
    return FALSE;
  }
  *type = (AfpGgufType) number;
  return TRUE;
}

static gboolean skip_array (AfpGgufCursor *cursor, const char *what, guint depth,
                            AfpGgufType *element, guint64 *n, GError **error);

/* @n values that follow each other. */
static gboolean
skip_values (AfpGgufCursor *cursor, AfpGgufType type, guint64 n, const char *what, guint depth,
             GError **error)
{
  const gsize least = types[type].size > 0 ? types[type].size : type == AFP_GGUF_STRING ? 8 : 12;
  const guint8 *bytes;

  if (n > (cursor->size - cursor->at) / least) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                 "'%s' is cut off or damaged: %s at byte %" G_GSIZE_FORMAT " has %" G_GUINT64_FORMAT
                 " values of type %s, but only %" G_GSIZE_FORMAT " bytes follow",
                 cursor->path, what, cursor->at, n, types[type].name, cursor->size - cursor->at);
    return FALSE;
  }
  if (types[type].size > 0)
    return afp_gguf_take (cursor, (gsize) n * types[type].size, what, &bytes, error);
  for (guint64 i = 0; i < n; i++) {
    AfpGgufType element;
    guint64 length;
    if (type == AFP_GGUF_ARRAY) {
      if (!skip_array (cursor, what, depth + 1, &element, &length, error))
        return FALSE;
    } else if (!afp_gguf_take_u64 (cursor, what, &length, error) ||
               !afp_gguf_take (cursor, (gsize) length, what, &bytes, error))
      return FALSE;
  }
  return TRUE;
}

static gboolean
skip_array (AfpGgufCursor *cursor, const char *what, guint depth, AfpGgufType *element, guint64 *n,
            GError **error)
{
  if (depth > AFP_GGUF_MAX_DEPTH) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                 "'%s' is damaged: %s has arrays in arrays more than %d deep", cursor->path, what,
                 AFP_GGUF_MAX_DEPTH);
    return FALSE;
  }
  return take_type (cursor, what, element, error) && afp_gguf_take_u64 (cursor, what, n, error) &&
         skip_values (cursor, *element, *n, what, depth, error);
}

static gboolean
take_value (AfpGgufCursor *cursor, AfpGgufValue *value, GError **error)
{
  g_autofree char *what = g_strdup_printf ("the value of '%s'", value->key);
  gsize start;

  if (!take_type (cursor, what, &value->type, error))
    return FALSE;
  value->element = value->type;
  value->n = 1;
  start = cursor->at;
  if (value->type == AFP_GGUF_ARRAY) {
    if (!skip_array (cursor, what, 1, &value->element, &value->n, error))
      return FALSE;
    start += 12; /* the type and the number of the elements */
  } else if (!skip_values (cursor, value->type, 1, what, 0, error))
    return FALSE;
  value->data = cursor->data + start;
  value->n_bytes = cursor->at - start;
  return TRUE;
}

/* --- the head ------------------------------------------------------------------------------------------------------ */

static void
value_clear (gpointer data)
{
  g_free (((AfpGgufValue *) data)->key);
}

void
afp_gguf_meta_free (AfpGgufMeta *meta)
{
  g_hash_table_unref (meta->by_key);
  g_array_unref (meta->values);
  g_free (meta);
}

static gboolean
check_version (AfpGgufCursor *cursor, guint32 version, GError **error)
{
  if (version == 2 || version == 3)
    return TRUE;
  const guint32 swapped = GUINT32_SWAP_LE_BE (version);
  if (swapped >= 1 && swapped <= 3)
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                 "'%s' is GGUF for big-endian machines; convert it with gguf-convert-endian",
                 cursor->path);
  else
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                 "'%s' is GGUF of version %u; this reader knows 2 and 3: convert the model again "
                 "with a llama.cpp of today",
                 cursor->path, version);
  return FALSE;
}

static gboolean
take_head (AfpGgufCursor *cursor, AfpGgufMeta *meta, guint64 *n_values, GError **error)
{
  const guint8 *magic;

  if (!afp_gguf_take (cursor, 4, "the head", &magic, error))
    return FALSE;
  if (memcmp (magic, "GGUF", 4) != 0) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                 "'%s' is no GGUF file: it does not begin with \"GGUF\"", cursor->path);
    return FALSE;
  }
  if (!afp_gguf_take_u32 (cursor, "the version", &meta->version, error) ||
      !check_version (cursor, meta->version, error) ||
      !afp_gguf_take_u64 (cursor, "the number of tensors", &meta->n_tensors, error) ||
      !afp_gguf_take_u64 (cursor, "the number of metadata", n_values, error))
    return FALSE;
  if (*n_values > (cursor->size - cursor->at) / MIN_VALUE) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                 "'%s' is cut off or damaged: it is to have %" G_GUINT64_FORMAT
                 " metadata, but only %" G_GSIZE_FORMAT " bytes follow",
                 cursor->path, *n_values, cursor->size - cursor->at);
    return FALSE;
  }
  return TRUE;
}

static gboolean
take_entry (AfpGgufCursor *cursor, AfpGgufMeta *meta, GError **error)
{
  AfpGgufValue value = { .key = afp_gguf_take_text (cursor, "a key", AFP_GGUF_MAX_KEY, error) };

  if (value.key == NULL)
    return FALSE;
  gboolean ok = FALSE;
  if (*value.key == '\0' || !g_utf8_validate (value.key, -1, NULL)) {
    g_autofree char *shown = g_strescape (value.key, NULL);
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT, "'%s' is damaged: a key is %s: \"%.60s\"",
                 cursor->path, *value.key ? "not UTF-8" : "empty", shown);
  } else if (g_hash_table_contains (meta->by_key, value.key))
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT, "'%s' is damaged: it has the key '%s' twice",
                 cursor->path, value.key);
  else
    ok = take_value (cursor, &value, error);
  if (!ok) {
    g_free (value.key);
    return FALSE;
  }
  g_array_append_val (meta->values, value);
  g_hash_table_insert (meta->by_key, value.key, GUINT_TO_POINTER (meta->values->len));
  return TRUE;
}

AfpGgufMeta *
afp_gguf_meta_parse (GBytes *bytes, const char *path, GError **error)
{
  g_autoptr (AfpGgufMeta) meta = g_new0 (AfpGgufMeta, 1);
  AfpGgufCursor cursor = { .path = path };
  guint64 n_values;

  cursor.data = g_bytes_get_data (bytes, &cursor.size);
  meta->values = g_array_new (FALSE, FALSE, sizeof (AfpGgufValue));
  g_array_set_clear_func (meta->values, value_clear);
  meta->by_key = g_hash_table_new (g_str_hash, g_str_equal);
  if (!take_head (&cursor, meta, &n_values, error))
    return NULL;
  for (guint64 i = 0; i < n_values; i++)
    if (!take_entry (&cursor, meta, error))
      return NULL;
  meta->end = cursor.at;
  return g_steal_pointer (&meta);
}

/* --- looking things up --------------------------------------------------------------------------------------------- */

const AfpGgufValue *
afp_gguf_meta_find (const AfpGgufMeta *meta, const char *key)
{
  const guint known = GPOINTER_TO_UINT (g_hash_table_lookup (meta->by_key, key));

  return known ? &g_array_index (meta->values, AfpGgufValue, known - 1) : NULL;
}

/* An integer or a bool of any width; FALSE if the value is none. */
static gboolean
read_integer (const AfpGgufValue *value, guint64 *bits, gboolean *is_signed)
{
  const AfpGgufType type = value->type;
  guint64 number = 0;

  if (types[type].size == 0 || type == AFP_GGUF_F32 || type == AFP_GGUF_F64)
    return FALSE;
  for (guint i = 0; i < types[type].size; i++)
    number |= (guint64) value->data[i] << 8 * i;
  *is_signed = types[type].name[0] == 'i';
  const guint unused = 64 - 8 * types[type].size;
  if (*is_signed)
    number = (guint64) ((gint64) (number << unused) >> unused);
  *bits = number;
  return TRUE;
}

gboolean
afp_gguf_meta_get_count (const AfpGgufMeta *meta, const char *key, guint64 *value)
{
  const AfpGgufValue *found = afp_gguf_meta_find (meta, key);
  gboolean is_signed;
  guint64 bits;

  if (found == NULL || found->type == AFP_GGUF_BOOL || !read_integer (found, &bits, &is_signed) ||
      (is_signed && (gint64) bits < 0))
    return FALSE;
  *value = bits;
  return TRUE;
}

static double
read_real (const AfpGgufValue *value)
{
  float single;
  double real;

  if (value->type == AFP_GGUF_F32) {
    memcpy (&single, value->data, 4);
    return (double) single;
  }
  memcpy (&real, value->data, 8);
  return real;
}

gboolean
afp_gguf_meta_get_real (const AfpGgufMeta *meta, const char *key, double *value)
{
  const AfpGgufValue *found = afp_gguf_meta_find (meta, key);
  gboolean is_signed;
  guint64 bits;

  if (found == NULL || found->type == AFP_GGUF_BOOL)
    return FALSE;
  if (found->type == AFP_GGUF_F32 || found->type == AFP_GGUF_F64)
    *value = read_real (found);
  else if (read_integer (found, &bits, &is_signed))
    *value = is_signed ? (double) (gint64) bits : (double) bits;
  else
    return FALSE;
  return TRUE;
}

char *
afp_gguf_meta_get_text (const AfpGgufMeta *meta, const char *key)
{
  const AfpGgufValue *found = afp_gguf_meta_find (meta, key);

  if (found == NULL || found->type != AFP_GGUF_STRING)
    return NULL;
  const char *text = (const char *) found->data + 8; /* behind its length */
  return g_utf8_validate_len (text, found->n_bytes - 8, NULL) ? g_strndup (text, found->n_bytes - 8)
                                                              : NULL;
}

static char *
value_to_text (const AfpGgufValue *value)
{
  char number[G_ASCII_DTOSTR_BUF_SIZE];
  gboolean is_signed;
  guint64 bits;

  if (value->type == AFP_GGUF_ARRAY)
    return g_strdup_printf ("%" G_GUINT64_FORMAT " of type %s", value->n,
                            types[value->element].name);
  if (value->type == AFP_GGUF_STRING) {
    const gsize n = value->n_bytes - 8;
    g_autofree char *text =
        g_utf8_make_valid ((const char *) value->data + 8, (gssize) MIN (n, MAX_SHOWN));
    return g_strconcat (text, n > MAX_SHOWN ? " [cut]" : "", NULL);
  }
  if (value->type == AFP_GGUF_F32 || value->type == AFP_GGUF_F64)
    return g_strdup (g_ascii_formatd (
        number, sizeof number, value->type == AFP_GGUF_F64 ? "%.17g" : "%.9g", read_real (value)));
  read_integer (value, &bits, &is_signed);
  if (value->type == AFP_GGUF_BOOL)
    return g_strdup (bits ? "true" : "false");
  return is_signed ? g_strdup_printf ("%" G_GINT64_FORMAT, (gint64) bits)
                   : g_strdup_printf ("%" G_GUINT64_FORMAT, bits);
}

JsonNode *
afp_gguf_meta_to_json (const AfpGgufMeta *meta)
{
  JsonObject *object = json_object_new ();
  JsonNode *node = json_node_new (JSON_NODE_OBJECT);

  for (guint i = 0; i < meta->values->len; i++) {
    const AfpGgufValue *value = &g_array_index (meta->values, AfpGgufValue, i);
    g_autofree char *text = value_to_text (value);
    json_object_set_string_member (object, value->key, text);
  }
  json_node_take_object (node, object);
  return node;
}
