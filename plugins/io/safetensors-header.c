/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "safetensors-header.h"

#include "io-input.h"
#include "json-util.h"

#include <string.h>

#define MAX_DEPTH 16

/* Where an array lies, counted from the end of the header. */
typedef struct {
  AfpSpec *spec;
  guint64 begin, end;
} Span;

static void
span_clear (gpointer data)
{
  afp_spec_unref (((Span *) data)->spec);
}

static gboolean tensor_error (GError **error, const char *path, const char *name,
                              const char *format, ...) G_GNUC_PRINTF (4, 5);

static gboolean
tensor_error (GError **error, const char *path, const char *name, const char *format, ...)
{
  va_list args;
  va_start (args, format);
  g_autofree char *why = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT, "tensor '%s' in '%s' %s", name, path, why);
  return FALSE;
}

/* An integer >= 0; json-glib keeps what does not fit into 63 bits as a negative number. */
static gboolean
get_count (JsonNode *node, guint64 *value)
{
  if (node == NULL || !JSON_NODE_HOLDS_VALUE (node) ||
      json_node_get_value_type (node) != G_TYPE_INT64)
    return FALSE;
  const gint64 number = json_node_get_int (node);
  *value = (guint64) number;
  return number >= 0;
}

static gboolean
get_dtype (JsonObject *object, const char *path, const char *name, AfpDType *dtype, GError **error)
{
  JsonNode *node = json_object_get_member (object, "dtype");

  if (node == NULL || !JSON_NODE_HOLDS_VALUE (node) ||
      json_node_get_value_type (node) != G_TYPE_STRING)
    return tensor_error (error, path, name, "has no dtype");
  const char *text = json_node_get_string (node);
  if (!afp_dtype_parse (text, dtype) || afp_dtype_has_row_blocks (*dtype))
    return tensor_error (error, path, name,
                         "has the dtype '%s'; known are F64 F32 F16 BF16 F8_E4M3 F8_E5M2 "
                         "F8_E4M3FNUZ F8_E5M2FNUZ F8_E8M0 F6_E2M3 F6_E3M2 F4 C64 I64 I32 I16 I8 "
                         "U64 U32 U16 U8 BOOL",
                         text);
  return TRUE;
}

static gboolean
get_shape (JsonObject *object, const char *path, const char *name, guint64 shape[AFP_MAX_RANK],
           guint *rank, GError **error)
{
  JsonNode *node = json_object_get_member (object, "shape");

  if (node == NULL || !JSON_NODE_HOLDS_ARRAY (node))
    return tensor_error (error, path, name, "has no shape");
  JsonArray *array = json_node_get_array (node);
  const guint n = json_array_get_length (array);
  if (n > AFP_MAX_RANK)
    return tensor_error (error, path, name, "has rank %u; the limit is %d", n, AFP_MAX_RANK);
  for (guint i = 0; i < n; i++)
    if (!get_count (json_array_get_element (array, i), &shape[i]))
      return tensor_error (error, path, name, "has a shape whose axis %u is no number >= 0", i);
  *rank = n;
  return TRUE;
}

static gboolean
get_offsets (JsonObject *object, const char *path, const char *name, guint64 payload, Span *span,
             GError **error)
{
  JsonNode *node = json_object_get_member (object, "data_offsets");

  if (node == NULL || !JSON_NODE_HOLDS_ARRAY (node) ||
      json_array_get_length (json_node_get_array (node)) != 2)
    return tensor_error (error, path, name, "has no pair data_offsets");
  JsonArray *array = json_node_get_array (node);
  if (!get_count (json_array_get_element (array, 0), &span->begin) ||
      !get_count (json_array_get_element (array, 1), &span->end) || span->begin > span->end)
    return tensor_error (error, path, name, "has data_offsets that are no pair of rising numbers");
  if (span->end > payload)
    return tensor_error (error, path, name,
                         "ends at byte %" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT
                         " bytes of data; the file is cut off or damaged",
                         span->end, payload);
  return TRUE;
}

static gboolean
parse_span (const char *path, const char *name, JsonNode *node, guint64 payload, Span *span,
            GError **error)
{
  guint64 shape[AFP_MAX_RANK] = { 0 }, n_elements, n_bytes;
  AfpDType dtype = AFP_DTYPE_F32;
  guint rank = 0;

  if (!afp_input_check_name (name, path, error))
    return FALSE;
  if (!JSON_NODE_HOLDS_OBJECT (node))
    return tensor_error (error, path, name, "is described by something that is no JSON object");
  JsonObject *object = json_node_get_object (node);
  if (!get_dtype (object, path, name, &dtype, error) ||
      !get_shape (object, path, name, shape, &rank, error) ||
      !get_offsets (object, path, name, payload, span, error))
    return FALSE;
  g_autofree char *why = afp_input_check_shape (rank, shape, dtype, &n_elements, &n_bytes);
  if (why != NULL)
    return tensor_error (error, path, name, "%s", why);
  if (n_bytes != span->end - span->begin)
    return tensor_error (error, path, name,
                         "takes %" G_GUINT64_FORMAT " bytes by its shape and dtype %s, but its "
                         "data_offsets span %" G_GUINT64_FORMAT,
                         n_bytes, afp_dtype_name (dtype), span->end - span->begin);
  span->spec = afp_spec_new (name, dtype, rank, shape, NULL, NULL);
  return TRUE;
}

static int
compare_spans (gconstpointer a, gconstpointer b)
{
  const Span *x = a, *y = b;

  if (x->begin != y->begin)
    return x->begin < y->begin ? -1 : 1;
  if (x->end != y->end)
    return x->end < y->end ? -1 : 1;
  return strcmp (afp_spec_get_name (x->spec), afp_spec_get_name (y->spec));
}

/* The arrays must fill the data one behind the other. */
static gboolean
check_order (const char *path, GArray *spans, guint64 payload, GError **error)
{
  const char *last = NULL;
  guint64 at = 0;

  for (guint i = 0; i < spans->len; i++) {
    const Span *span = &g_array_index (spans, Span, i);
    const char *name = afp_spec_get_name (span->spec);
    if (span->begin < at)
      return tensor_error (
          error, path, name,
          "begins at byte %" G_GUINT64_FORMAT
          " of the data and overlaps tensor '%s', which ends at %" G_GUINT64_FORMAT,
          span->begin, last, at);
    if (span->begin > at)
      return tensor_error (error, path, name,
                           "begins at byte %" G_GUINT64_FORMAT
                           " of the data, but what lies before it ends at %" G_GUINT64_FORMAT
                           ": safetensors allows no holes",
                           span->begin, at);
    at = span->end;
    last = name;
  }
  if (at != payload) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                 "'%s' has %" G_GUINT64_FORMAT
                 " bytes of data, but its tensors end at %" G_GUINT64_FORMAT
                 "; the file is damaged",
                 path, payload, at);
    return FALSE;
  }
  return TRUE;
}

/* Every value of __metadata__ is a string. */
static gboolean
check_metadata (const char *path, JsonNode *node, GError **error)
{
  JsonObjectIter iter;
  const char *key;
  JsonNode *value;

  if (!JSON_NODE_HOLDS_OBJECT (node)) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT, "__metadata__ in '%s' is no JSON object",
                 path);
    return FALSE;
  }
  json_object_iter_init (&iter, json_node_get_object (node));
  while (json_object_iter_next (&iter, &key, &value))
    if (!JSON_NODE_HOLDS_VALUE (value) || json_node_get_value_type (value) != G_TYPE_STRING) {
      g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT, "__metadata__ in '%s': '%s' is no string",
                   path, key);
      return FALSE;
    }
  return TRUE;
}

/* Length of the header with the 8 bytes before it, or 0 with the error set. */
static guint64
header_length (const char *path, GBytes *map, GError **error)
{
  gsize size;
  const guint8 *data = g_bytes_get_data (map, &size);
  guint64 n;

  if (size < 8) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                 "'%s' is no safetensors file: it has %" G_GSIZE_FORMAT
                 " bytes, at least 8 are needed",
                 path, size);
    return 0;
  }
  memcpy (&n, data, 8);
  n = GUINT64_FROM_LE (n);
  if (n > AFP_SAFETENSORS_MAX_HEADER) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                 "'%s' is no safetensors file: a header of %" G_GUINT64_FORMAT
                 " bytes; the limit is %" G_GUINT64_FORMAT,
                 path, n, AFP_SAFETENSORS_MAX_HEADER);
    return 0;
  }
  if (n > size - 8) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                 "'%s' is cut off: its header takes %" G_GUINT64_FORMAT
                 " bytes, but only %" G_GSIZE_FORMAT " follow",
                 path, n, size - 8);
    return 0;
  }
  return n + 8;
}

static GArray *
parse_spans (const char *path, JsonObject *root, guint64 payload, JsonNode **metadata,
             GError **error)
{
  g_autoptr (GArray) spans = g_array_new (FALSE, FALSE, sizeof (Span));
  JsonObjectIter iter;
  const char *name;
  JsonNode *node;

  g_array_set_clear_func (spans, span_clear);
  json_object_iter_init (&iter, root);
  while (json_object_iter_next (&iter, &name, &node)) {
    Span span = { NULL, 0, 0 };
    if (strcmp (name, "__metadata__") == 0) {
      if (!check_metadata (path, node, error))
        return NULL;
      if (*metadata == NULL)
        *metadata = json_node_copy (node);
      continue;
    }
    if (!parse_span (path, name, node, payload, &span, error))
      return NULL;
    g_array_append_val (spans, span);
  }
  g_array_sort (spans, compare_spans);
  if (!check_order (path, spans, payload, error))
    return NULL;
  return g_steal_pointer (&spans);
}

static void
entry_clear (gpointer data)
{
  afp_spec_unref (((AfpSafetensorsEntry *) data)->spec);
}

GArray *
afp_safetensors_entries_new (void)
{
  GArray *entries = g_array_new (FALSE, FALSE, sizeof (AfpSafetensorsEntry));

  g_array_set_clear_func (entries, entry_clear);
  return entries;
}

GArray *
afp_safetensors_parse (const char *path, GBytes *map, guint64 *header_bytes, JsonNode **metadata,
                       GError **error)
{
  *header_bytes = header_length (path, map, error);
  if (*header_bytes == 0)
    return NULL;
  const char *text = g_bytes_get_data (map, NULL);
  const guint64 payload = g_bytes_get_size (map) - *header_bytes;
  g_autofree char *what = g_strdup_printf ("the header of '%s'", path);
  g_autoptr (JsonNode) root =
      afp_json_parse (text + 8, (gsize) *header_bytes - 8, MAX_DEPTH, what, error);
  if (root == NULL)
    return NULL;
  if (!JSON_NODE_HOLDS_OBJECT (root)) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT, "%s is no JSON object", what);
    return NULL;
  }
  g_autoptr (GArray) spans =
      parse_spans (path, json_node_get_object (root), payload, metadata, error);
  if (spans == NULL)
    return NULL;
  GArray *entries = afp_safetensors_entries_new ();
  for (guint i = 0; i < spans->len; i++) {
    const Span *span = &g_array_index (spans, Span, i);
    AfpSafetensorsEntry entry = { afp_spec_ref (span->spec), *header_bytes + span->begin, 0 };
    g_array_append_val (entries, entry);
  }
  return entries;
}
