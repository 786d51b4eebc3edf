/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-journal.h"

#include "json-util.h"

#include <string.h>

#define CHECK ",\"check\":\""    /* the last member of a line: CRC-32 of all before it */
#define CHECK_BYTES (10 + 8 + 2) /* ,"check":"01234567"} */
#define MAX_DEPTH 32

void
afp_journal_tensor_free (AfpJournalTensor *tensor)
{
  g_clear_pointer (&tensor->spec, afp_spec_unref);
  g_clear_pointer (&tensor->found, json_node_unref);
  g_free (tensor->recipe);
  g_free (tensor->planes);
  g_free (tensor);
}

/* --- writing ------------------------------------------------------------------------------------------------------ */

static void
add_text (JsonBuilder *builder, const char *name, const char *text)
{
  json_builder_set_member_name (builder, name);
  if (text)
    json_builder_add_string_value (builder, text);
  else
    json_builder_add_null_value (builder);
}

static void
add_number (JsonBuilder *builder, const char *name, guint64 value)
{
  json_builder_set_member_name (builder, name);
  json_builder_add_int_value (builder, (gint64) value);
}

/* An object that is not empty. */
static char *
format_line (JsonNode *node)
{
  g_autofree char *text = json_to_string (node, FALSE);
  const gsize n = strlen (text) - 1;

  return g_strdup_printf ("%.*s" CHECK "%08x\"}\n", (int) n, text, afp_file_crc32 (text, n));
}

char *
afp_journal_format_header (JsonNode *header)
{
  return format_line (header);
}

char *
afp_journal_format_result (JsonNode *result)
{
  g_autoptr (JsonNode) node = json_node_init_object (json_node_alloc (), NULL);

  json_node_take_object (node, json_object_new ());
  json_object_set_member (json_node_get_object (node), "result", json_node_ref (result));
  return format_line (node);
}

static void
add_planes (JsonBuilder *builder, const AfpFilePlane *planes, guint n_planes)
{
  json_builder_set_member_name (builder, "planes");
  json_builder_begin_array (builder);
  for (guint i = 0; i < n_planes; i++) {
    json_builder_begin_object (builder);
    add_text (builder, "role", planes[i].role);
    add_number (builder, "bits", planes[i].bits);
    add_number (builder, "offset", planes[i].offset);
    add_number (builder, "bytes", planes[i].bytes);
    add_number (builder, "crc32", planes[i].crc32);
    json_builder_end_object (builder);
  }
  json_builder_end_array (builder);
}

char *
afp_journal_format_tensor (const AfpJournalTensor *tensor)
{
  AfpSpec *spec = tensor->spec;
  g_autofree char *shape = afp_spec_shape_to_string (spec);
  g_autofree char *view = afp_view_to_string (afp_spec_get_view (spec));
  g_autoptr (JsonBuilder) builder = json_builder_new ();

  json_builder_begin_object (builder);
  add_text (builder, "name", afp_spec_get_name (spec));
  add_text (builder, "dtype", afp_dtype_name (afp_spec_get_dtype (spec)));
  add_text (builder, "shape", shape);
  add_text (builder, "view", view);
  add_text (builder, "alias_of", afp_spec_get_alias_of (spec));
  add_text (builder, "recipe", tensor->recipe);
  add_planes (builder, tensor->planes, tensor->n_planes);
  add_number (builder, "padding", tensor->size.padding);
  add_number (builder, "rows", tensor->size.rows);
  if (tensor->found) {
    json_builder_set_member_name (builder, "found");
    json_builder_add_value (builder, json_node_copy (tensor->found));
  }
  json_builder_end_object (builder);
  g_autoptr (JsonNode) node = json_builder_get_root (builder);
  return format_line (node);
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

/* The object of a line without its end, or NULL if the line is not as it was written. */
static JsonNode *
parse_line (const char *line, gsize n)
{
  if (n <= CHECK_BYTES)
    return NULL;
  const gsize body = n - CHECK_BYTES;
  g_autofree char *check = g_strdup_printf (CHECK "%08x\"}", afp_file_crc32 (line, body));
  if (memcmp (line + body, check, CHECK_BYTES) != 0)
    return NULL;
  g_autoptr (JsonNode) node = afp_json_parse (line, n, MAX_DEPTH, "journal", NULL);
  return node && JSON_NODE_HOLDS_OBJECT (node) ? g_steal_pointer (&node) : NULL;
}

static const char *
get_text (JsonObject *object, const char *name)
{
  JsonNode *node = json_object_get_member (object, name);

  return node && JSON_NODE_HOLDS_VALUE (node) ? json_node_get_string (node) : NULL;
}

static gboolean
get_number (JsonObject *object, const char *name, guint64 max, guint64 *value)
{
  JsonNode *node = json_object_get_member (object, name);

  if (!node || !JSON_NODE_HOLDS_VALUE (node) || json_node_get_value_type (node) != G_TYPE_INT64 ||
      json_node_get_int (node) < 0 || (guint64) json_node_get_int (node) > max)
    return FALSE;
  *value = (guint64) json_node_get_int (node);
  return TRUE;
}

static gboolean
is_spec (JsonObject *line, AfpSpec *spec)
{
  g_autofree char *shape = afp_spec_shape_to_string (spec);
  g_autofree char *view = afp_view_to_string (afp_spec_get_view (spec));

  return g_strcmp0 (get_text (line, "name"), afp_spec_get_name (spec)) == 0 &&
         g_strcmp0 (get_text (line, "dtype"), afp_dtype_name (afp_spec_get_dtype (spec))) == 0 &&
         g_strcmp0 (get_text (line, "shape"), shape) == 0 &&
         g_strcmp0 (get_text (line, "view"), view) == 0 &&
         g_strcmp0 (get_text (line, "alias_of"), afp_spec_get_alias_of (spec)) == 0;
}

static gboolean
parse_plane (AfpJournal *self, JsonNode *node, AfpFilePlane *plane)
{
  JsonObject *object = JSON_NODE_HOLDS_OBJECT (node) ? json_node_get_object (node) : NULL;
  const char *role = object ? get_text (object, "role") : NULL;
  guint64 bits, crc32;

  if (!role || strlen (role) > AFP_FILE_MAX_ROLE || !get_number (object, "bits", 255, &bits) ||
      !get_number (object, "offset", G_MAXINT64, &plane->offset) ||
      !get_number (object, "bytes", G_MAXINT64, &plane->bytes) ||
      !get_number (object, "crc32", G_MAXUINT32, &crc32))
    return FALSE;
  plane->role = g_string_chunk_insert_const (self->roles, role);
  plane->bits = (guint8) bits;
  plane->crc32 = (guint32) crc32;
  return TRUE;
}

static AfpJournalTensor *
parse_tensor (AfpJournal *self, JsonObject *line, AfpSpec *spec)
{
  JsonNode *node = json_object_get_member (line, "planes"),
           *found = json_object_get_member (line, "found");
  JsonArray *planes = node && JSON_NODE_HOLDS_ARRAY (node) ? json_node_get_array (node) : NULL;
  const char *recipe = get_text (line, "recipe");
  const guint n = planes ? json_array_get_length (planes) : 0;
  AfpSize size = { .exact = TRUE };

  if (!planes || !recipe || strlen (recipe) > AFP_FILE_MAX_RECIPE || !is_spec (line, spec) ||
      afp_recipe_count_leaves (recipe) != n ||
      !get_number (line, "padding", G_MAXINT64, &size.padding) ||
      !get_number (line, "rows", G_MAXINT64, &size.rows) ||
      (found && !JSON_NODE_HOLDS_OBJECT (found)))
    return NULL;
  AfpJournalTensor *tensor = g_new0 (AfpJournalTensor, 1);
  tensor->spec = afp_spec_ref (spec);
  tensor->recipe = g_strdup (recipe);
  tensor->planes = g_new0 (AfpFilePlane, n);
  tensor->n_planes = n;
  tensor->found = found ? json_node_ref (found) : NULL;
  for (guint i = 0; i < n; i++) {
    if (!parse_plane (self, json_array_get_element (planes, i), &tensor->planes[i])) {
      afp_journal_tensor_free (tensor);
      return NULL;
    }
    size.planes += tensor->planes[i].bytes;
  }
  size.total = size.planes + size.padding + size.rows;
  tensor->size = size;
  return tensor;
}

/* A line behind the header. FALSE: nothing that follows counts. */
static gboolean
take_line (AfpJournal *self, JsonObject *line, guint64 end, GPtrArray *planned)
{
  JsonNode *result = json_object_get_member (line, "result");
  const guint n = self->tensors->len;

  if (result) {
    self->result = JSON_NODE_HOLDS_OBJECT (result) ? json_node_ref (result) : NULL;
    return FALSE;
  }
  self->n_lines++;
  if (!planned || n != self->n_lines - 1 || n == planned->len)
    return TRUE;
  AfpJournalTensor *tensor = parse_tensor (self, line, planned->pdata[n]);
  if (tensor) {
    g_ptr_array_add (self->tensors, tensor);
    g_array_append_val (self->ends, end);
  }
  return TRUE;
}

/* As far as the lines are whole. */
static void
take_lines (AfpJournal *self, const char *text, gsize n, GPtrArray *planned)
{
  const char *end;
  gboolean more = TRUE;

  for (gsize at = 0; more && (end = memchr (text + at, '\n', n - at)) != NULL;) {
    const gsize next = (gsize) (end - text) + 1;
    g_autoptr (JsonNode) line = parse_line (text + at, next - 1 - at);
    if (!line)
      return;
    if (self->header) {
      more = take_line (self, json_node_get_object (line), next, planned);
    } else {
      self->header = g_steal_pointer (&line);
      self->header_bytes = next;
    }
    at = next;
  }
}

AfpJournal *
afp_journal_read (const char *path, GPtrArray *planned, GError **error)
{
  g_autofree char *text = NULL;
  g_autoptr (GError) local = NULL;
  gsize n = 0;

  if (!g_file_get_contents (path, &text, &n, &local) &&
      !g_error_matches (local, G_FILE_ERROR, G_FILE_ERROR_NOENT)) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_IO, "cannot read '%s': %s", path, local->message);
    return NULL;
  }
  AfpJournal *self = g_new0 (AfpJournal, 1);
  self->tensors = g_ptr_array_new_with_free_func ((GDestroyNotify) afp_journal_tensor_free);
  self->ends = g_array_new (FALSE, FALSE, sizeof (guint64));
  self->roles = g_string_chunk_new (1024);
  if (text)
    take_lines (self, text, n, planned);
  return self;
}

void
afp_journal_free (AfpJournal *self)
{
  g_clear_pointer (&self->header, json_node_unref);
  g_clear_pointer (&self->result, json_node_unref);
  g_ptr_array_unref (self->tensors);
  g_array_unref (self->ends);
  g_string_chunk_free (self->roles);
  g_free (self);
}

/* --- the same run? ------------------------------------------------------------------------------------------------ */

static const struct {
  const char *member, *what;
} header_members[] = {
  { "afpipe_journal", "the version of its journal" },
  { "tool", "the version of the tool" },
  { "pipeline", "the pipeline" },
  { "sink", "its sink" },
  { "fingerprint", "the input" },
  { "plugins", "a plugin" },
  { "codecs", "the format of a codec" },
  { "files", "a file that a stage reads" },
};

static char *
member_to_text (JsonNode *header, const char *member)
{
  JsonNode *node = json_object_get_member (json_node_get_object (header), member);

  return node ? json_to_string (node, FALSE) : g_strdup ("nothing");
}

gboolean
afp_journal_check_header (const AfpJournal *self, JsonNode *header, const char *path,
                          GError **error)
{
  for (guint i = 0; i < G_N_ELEMENTS (header_members); i++) {
    g_autofree char *then = member_to_text (self->header, header_members[i].member);
    g_autofree char *now = member_to_text (header, header_members[i].member);
    if (g_str_equal (then, now))
      continue;
    g_set_error (error, AFP_ERROR, AFP_ERROR_IO,
                 "cannot go on with '%s' and its %u tensors: %s has changed: it was %s, now it is "
                 "%s; restore that, or begin anew without resume=true, which overwrites the part",
                 path, self->n_lines, header_members[i].what, then, now);
    return FALSE;
  }
  return TRUE;
}
