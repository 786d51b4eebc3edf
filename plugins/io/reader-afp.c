/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "reader.h"

#include "afp-file.h"
#include "io-input.h"
#include "json-util.h"

#include <string.h>

typedef struct {
  char *location;
  gboolean verify;
  AfpFile *file;
  GBytes *map;
  GArray *visible;    /* guint: rows of /tensors that are handed out */
  guint8 *verified;   /* by row of /planes */
  GHashTable *places; /* payload offset -> 1 + row of /tensors; G_MAXUINT: several */
  GPtrArray *missing; /* by recipe: why it cannot be decoded, or NULL */
  GPtrArray *notes;
} Reader;

/* --- codecs ------------------------------------------------------------------------------------------------------- */

/* Version of a codec that is installed, or 0. */
static guint
installed_version (const char *codec)
{
  AfpElementFactory *factory = afp_registry_find (afp_registry_get_default (), codec);
  const GType type = factory ? afp_element_factory_get_element_type (factory) : G_TYPE_INVALID;
  guint version = 0;

  if (!factory)
    return 0;
  gpointer klass = g_type_class_ref (type);
  if (g_type_is_a (type, AFP_TYPE_CODEC))
    version = AFP_CODEC_CLASS (klass)->version;
  else if (g_type_is_a (type, AFP_TYPE_PACKER))
    version = AFP_PACKER_CLASS (klass)->version;
  g_type_class_unref (klass);
  return version;
}

/* The part of a plugin's line that begins with @key, up to the next "; ". (transfer full) */
static char *
plugin_field (const char *line, const char *key)
{
  const char *start = *key ? strstr (line, key) : line;

  if (!start)
    return NULL;
  start += strlen (key);
  const char *end = strstr (start, "; ");
  return end ? g_strndup (start, end - start) : g_strdup (start);
}

/* The plugin line of the file that provides @codec ("seedlm/1"), or NULL. */
static const char *
find_plugin (const AfpFile *file, const char *codec)
{
  for (char **line = file->plugins; line && *line; line++) {
    g_autofree char *codecs = plugin_field (*line, "; codecs ");
    g_auto (GStrv) list = g_strsplit (codecs ? codecs : "", " ", -1);
    if (g_strv_contains ((const char *const *) list, codec))
      return *line;
  }
  return NULL;
}

/* Codec, version, plugin, where to get it and where it was looked for. (transfer full) */
static char *
explain_missing (const Reader *self, const char *codec, guint have)
{
  g_autoptr (GString) text = g_string_new (NULL);
  const char *line = find_plugin (self->file, codec);
  const char *slash = strchr (codec, '/');

  g_string_append_printf (text, "codec '%.*s' version %s is needed", (int) (slash - codec), codec,
                          slash + 1);
  if (have)
    g_string_append_printf (text, ", version %u is installed", have);
  else
    g_string_append (text, " and not installed");
  if (line) {
    g_autofree char *plugin = plugin_field (line, ""), *origin = plugin_field (line, "; origin ");
    g_string_append_printf (text, "; the file was written with plugin %s, from %s", plugin,
                            origin && *origin ? origin : "an unknown place");
  }
  g_auto (GStrv) directories = afp_registry_list_directories (afp_registry_get_default ());
  g_autofree char *searched = g_strjoinv (", ", directories);
  g_string_append_printf (text, "; searched: %s (AFPIPE_PLUGIN_PATH)",
                          *searched ? searched : "no directory");
  return g_string_free (g_steal_pointer (&text), FALSE);
}

static void
find_missing (Reader *self)
{
  for (guint i = 0; i < self->file->recipes->len; i++) {
    g_auto (GStrv) codecs = afp_recipe_list_codecs (self->file->recipes->pdata[i]);
    char *why = NULL;
    for (char **codec = codecs; *codec && !why; codec++) {
      g_autofree char *name = g_strndup (*codec, strcspn (*codec, "/"));
      const guint have = installed_version (name);
      if (have == 0 || have < g_ascii_strtoull (strchr (*codec, '/') + 1, NULL, 10))
        why = explain_missing (self, *codec, have);
    }
    g_ptr_array_add (self->missing, why);
  }
}

/* --- open --------------------------------------------------------------------------------------------------------- */

static void
reader_close (gpointer reader)
{
  Reader *self = reader;

  g_clear_pointer (&self->file, afp_file_free);
  g_clear_pointer (&self->map, g_bytes_unref);
  g_array_unref (self->visible);
  g_ptr_array_unref (self->missing);
  g_ptr_array_unref (self->notes);
  g_free (self->verified);
  g_clear_pointer (&self->places, g_hash_table_unref);
  g_free (self->location);
  g_free (self);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Reader, reader_close)

static gboolean
reader_sniff (const char *path, const guint8 *head, gsize n, guint64 file_size)
{
  return n >= 4 && memcmp (head, "\x89HDF", 4) == 0 && afp_file_is_ours (path);
}

/* Which planes are of several tensors. */
static void
index_places (Reader *self)
{
  self->places = g_hash_table_new_full (g_int64_hash, g_int64_equal, NULL, NULL);
  for (guint i = 0; i < self->file->tensors->len; i++) {
    const AfpFileTensor *tensor = afp_file_tensor (self->file, i);
    for (guint j = 0; j < tensor->n_planes; j++) {
      AfpFilePlane *plane = afp_file_plane (self->file, tensor->first_plane + j);
      const guint known = GPOINTER_TO_UINT (g_hash_table_lookup (self->places, &plane->offset));
      if (plane->bytes && known != i + 1)
        g_hash_table_insert (self->places, &plane->offset,
                             GUINT_TO_POINTER (known ? G_MAXUINT : i + 1));
    }
  }
}

static gpointer
reader_open (const AfpReaderOptions *options, GError **error)
{
  g_autoptr (Reader) self = g_new0 (Reader, 1);

  self->location = g_strdup (options->location);
  self->verify = options->verify;
  self->visible = g_array_new (FALSE, FALSE, sizeof (guint));
  self->missing = g_ptr_array_new_with_free_func (g_free);
  self->notes = g_ptr_array_new_with_free_func (g_free);
  self->file = afp_file_read (self->location, error);
  if (!self->file || !(self->map = afp_input_map (self->location, error)))
    return NULL;
  /* Again: what is mapped is what counts. */
  if (!afp_file_check (self->file, self->location, g_bytes_get_size (self->map), error))
    return NULL;
  self->verified = g_new0 (guint8, self->file->planes->len);
  index_places (self);
  find_missing (self);
  for (guint i = 0; i < self->file->tensors->len; i++) {
    const AfpFileTensor *row = afp_file_tensor (self->file, i);
    const char *why = self->missing->pdata[row->recipe];
    if (!afp_input_check_name (row->name, self->location, error))
      return NULL;
    if (why && options->skip_missing)
      g_ptr_array_add (self->notes,
                       g_strdup_printf ("tensor '%s' is left out: %s", row->name, why));
    else
      g_array_append_val (self->visible, i);
  }
  return g_steal_pointer (&self);
}

static gsize
reader_get_n_tensors (gpointer reader)
{
  return ((Reader *) reader)->visible->len;
}

/* --- tensors ------------------------------------------------------------------------------------------------------ */

typedef struct {
  Reader *reader;
  AfpSpec *spec;
  guint tensor; /* row of /tensors */
  guint leaf;
  GError **error;
} LeafWalk;

/* Does the row of the plane say what its recipe says? */
static gboolean
check_leaf (const LeafWalk *walk, guint leaf, const AfpPlaneDesc *desc, const char *path)
{
  const AfpFile *file = walk->reader->file;
  const AfpFilePlane *row =
      afp_file_plane (file, afp_file_tensor (file, walk->tensor)->first_plane + leaf);
  const gboolean is_raw = desc->kind != AFP_KIND_CODE;
  const guint bits = is_raw ? afp_file_raw_bits (walk->spec) : desc->bits;
  const guint64 bytes = is_raw ? afp_spec_get_n_bytes (walk->spec) : afp_plane_desc_bytes (desc);

  if (!g_str_equal (row->role, path) || row->bits != bits) {
    g_set_error (walk->error, AFP_ERROR, AFP_ERROR_FORMAT,
                 "plane '%s' (%u bits per symbol) is stored as '%s' (%u bits)", path, bits,
                 row->role, row->bits);
    return FALSE;
  }
  if (desc->bound ? row->bytes > bytes : row->bytes != bytes) {
    g_set_error (walk->error, AFP_ERROR, AFP_ERROR_FORMAT,
                 "plane '%s' has %" G_GUINT64_FORMAT " bytes at payload offset %" G_GUINT64_FORMAT
                 ", its codec needs %s%" G_GUINT64_FORMAT,
                 path, row->bytes, row->offset, desc->bound ? "at most " : "", bytes);
    return FALSE;
  }
  return TRUE;
}

static gboolean
check_node (AfpPlane *plane, const char *path, gpointer user_data)
{
  LeafWalk *walk = user_data;

  return afp_plane_get_codec (plane) ||
         check_leaf (walk, walk->leaf++, afp_plane_get_desc (plane), path);
}

static GBytes *
read_leaf (guint leaf, const AfpPlaneDesc *desc, const char *path, gpointer user_data,
           GError **error)
{
  LeafWalk *walk = user_data;
  Reader *self = walk->reader;
  const guint index = afp_file_tensor (self->file, walk->tensor)->first_plane + leaf;
  const AfpFilePlane *row = afp_file_plane (self->file, index);

  walk->error = error;
  if (!check_leaf (walk, leaf, desc, path))
    return NULL;
  g_autoptr (GBytes) bytes =
      row->bytes
          ? g_bytes_new_from_bytes (self->map, self->file->payload_offset + row->offset, row->bytes)
          : g_bytes_new_static ("", 0);
  if (self->verify || !self->verified[index]) {
    const guint32 crc = afp_file_crc32 (g_bytes_get_data (bytes, NULL), row->bytes);
    if (crc != row->crc32) {
      g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                   "plane '%s' is damaged: %" G_GUINT64_FORMAT
                   " bytes at payload offset %" G_GUINT64_FORMAT " (file offset %" G_GUINT64_FORMAT
                   ") have checksum %08x, %08x is expected; get the file again",
                   path, row->bytes, row->offset, self->file->payload_offset + row->offset, crc,
                   row->crc32);
      return NULL;
    }
    self->verified[index] = 1;
  }
  return g_steal_pointer (&bytes);
}

/* The name of a plane that several tensors have is its place. */
static const char *
name_leaf (AfpPlane *leaf, gpointer user_data)
{
  LeafWalk *walk = user_data;
  const Reader *self = walk->reader;
  const AfpFilePlane *row = afp_file_plane (
      self->file, afp_file_tensor (self->file, walk->tensor)->first_plane + walk->leaf++);

  if (!row->bytes ||
      GPOINTER_TO_UINT (g_hash_table_lookup (self->places, &row->offset)) != G_MAXUINT)
    return NULL;
  g_autofree char *name = g_strdup_printf ("%s@%" G_GUINT64_FORMAT, self->location, row->offset);
  return g_intern_string (name);
}

static AfpTensor *
make_tensor (Reader *self, gsize index, gboolean with_data, GError **error)
{
  g_return_val_if_fail (index < self->visible->len, NULL);
  const guint tensor = g_array_index (self->visible, guint, index);
  const AfpFileTensor *row = afp_file_tensor (self->file, tensor);
  const char *recipe = self->file->recipes->pdata[row->recipe],
             *why = self->missing->pdata[row->recipe];

  if (why) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_PLUGIN,
                 "'%s', tensor '%s': %s; or leave such tensors out: load skip-missing=true",
                 self->location, row->name, why);
    return NULL;
  }
  g_autoptr (AfpSpec) spec = afp_file_make_spec (self->file, tensor, error);
  if (!spec)
    return NULL;
  LeafWalk walk = { .reader = self, .spec = spec, .tensor = tensor, .error = error };
  g_autoptr (AfpPlane) root =
      afp_recipe_build (recipe, spec, with_data ? read_leaf : NULL, &walk, error);
  if (!root || (!with_data && !afp_plane_foreach (root, check_node, &walk))) {
    g_prefix_error (error, "'%s', tensor '%s': ", self->location, row->name);
    return NULL;
  }
  walk.leaf = 0;
  afp_plane_name_shared (root, name_leaf, &walk);
  g_autoptr (AfpPlane) open = afp_recipe_reopen_floats (root);
  return afp_tensor_new (spec, open);
}

static AfpTensor *
reader_plan_tensor (gpointer reader, gsize index, GError **error)
{
  return make_tensor (reader, index, FALSE, error);
}

static AfpTensor *
reader_read_tensor (gpointer reader, gsize index, GError **error)
{
  return make_tensor (reader, index, TRUE, error);
}

/* --- facts -------------------------------------------------------------------------------------------------------- */

static void
set_text (JsonObject *object, const char *name, const char *text)
{
  if (text)
    json_object_set_string_member (object, name, text);
  else
    json_object_set_null_member (object, name);
}

static JsonArray *
plugins_to_json (const AfpFile *file)
{
  JsonArray *array = json_array_new ();

  for (char **line = file->plugins; line && *line; line++) {
    g_autofree char *title = plugin_field (*line, ""), *codecs = plugin_field (*line, "; codecs ");
    g_autofree char *license = plugin_field (*line, "; license "),
                    *origin = plugin_field (*line, "; origin ");
    JsonObject *object = json_object_new ();
    char *blank = strchr (title, ' ');
    if (blank)
      *blank = '\0';
    set_text (object, "name", title);
    set_text (object, "version", blank ? blank + 1 : NULL);
    set_text (object, "codecs", codecs);
    set_text (object, "license", license);
    set_text (object, "origin", origin);
    json_array_add_object_element (array, object);
  }
  return array;
}

static JsonNode *
reader_get_info (gpointer reader)
{
  const Reader *self = reader;
  const AfpFile *file = self->file;
  const guint64 file_bytes = g_bytes_get_size (self->map);
  const guint64 extras_bytes = afp_file_get_extras_bytes (file);
  g_autoptr (JsonObject) info = json_object_new ();

  json_object_set_string_member (info, "format", "afpipe");
  json_object_set_int_member (info, "format_version", AFP_FILE_VERSION);
  set_text (info, "tool_version", file->tool_version);
  set_text (info, "pipeline", file->pipeline);
  set_text (info, "fingerprint", file->fingerprint);
  json_object_set_array_member (info, "plugins", plugins_to_json (file));
  JsonNode *metrics =
      file->metrics ? afp_json_parse (file->metrics, strlen (file->metrics), 16, "metrics", NULL)
                    : NULL;
  json_object_set_member (info, "metrics", metrics ? metrics : json_node_new (JSON_NODE_NULL));
  json_object_set_int_member (info, "tensors", file->tensors->len);
  json_object_set_int_member (info, "planes", file->planes->len);
  json_object_set_int_member (info, "recipes", file->recipes->len);
  json_object_set_int_member (info, "file_bytes", (gint64) file_bytes);
  json_object_set_int_member (info, "payload_bytes", (gint64) file->payload_bytes);
  json_object_set_int_member (info, "extras_bytes", (gint64) extras_bytes);
  json_object_set_int_member (info, "table_bytes",
                              (gint64) (file_bytes - file->payload_bytes - extras_bytes));
  afp_input_set_notes (info, self->notes);
  return json_node_init_object (json_node_alloc (), info);
}

/* Names, recipes and checksums stand for the contents; what else is said in the file does not count. */
static char *
reader_get_fingerprint (gpointer reader)
{
  const AfpFile *file = ((const Reader *) reader)->file;
  g_autoptr (GChecksum) checksum = afp_input_fingerprint_new ("afpipe");

  afp_input_fingerprint_add_size (checksum, file->tensors->len);
  for (guint i = 0; i < file->tensors->len; i++) {
    const AfpFileTensor *row = afp_file_tensor (file, i);
    const char *texts[] = { row->name, row->dtype, row->shape, row->view,
                            file->recipes->pdata[row->recipe] };
    for (guint j = 0; j < G_N_ELEMENTS (texts); j++)
      g_checksum_update (checksum, (const guchar *) texts[j], (gssize) strlen (texts[j]) + 1);
    for (guint j = 0; j < row->n_planes; j++) {
      const AfpFilePlane *plane = afp_file_plane (file, row->first_plane + j);
      afp_input_fingerprint_add_size (checksum, plane->bytes);
      afp_input_fingerprint_add_size (checksum, plane->crc32);
    }
  }
  return g_strdup (g_checksum_get_string (checksum));
}

static char **
reader_list_extras (gpointer reader)
{
  const AfpFile *file = ((const Reader *) reader)->file;
  g_autoptr (GStrvBuilder) names = g_strv_builder_new ();

  for (guint i = 0; i < file->extras->len; i++)
    g_strv_builder_add (names, afp_file_extra (file, i)->name);
  return g_strv_builder_end (names);
}

static GBytes *
reader_read_extra (gpointer reader, const char *name, GError **error)
{
  const Reader *self = reader;

  return afp_file_read_extra (self->file, self->map, name, error);
}

const AfpReader afp_reader_afp = {
  .name = "afpipe",
  .blurb = "afpipe's own file: planes are restored as they were written",
  .sniff = reader_sniff,
  .open = reader_open,
  .close = reader_close,
  .get_n_tensors = reader_get_n_tensors,
  .plan_tensor = reader_plan_tensor,
  .read_tensor = reader_read_tensor,
  .get_info = reader_get_info,
  .get_fingerprint = reader_get_fingerprint,
  .list_extras = reader_list_extras,
  .read_extra = reader_read_extra,
};
