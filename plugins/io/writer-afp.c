/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "writer.h"

#include "afp-file.h"

#include <string.h>

#define MAX_METRICS 1024 /* bytes of JSON of an element */

typedef struct {
  char *location;
  gboolean overwrite;
  AfpRun *run;
  AfpFile *file;
  AfpPart *part;
  AfpOutput *output;
  GHashTable *recipes; /* text -> row of /recipes + 1 */
  GHashTable *names;   /* name -> row of /tensors + 1 */
  GPtrArray *targets;  /* alias_of of each tensor, or NULL */
} Writer;

static void
writer_free (Writer *self)
{
  g_clear_pointer (&self->part, afp_part_free);
  g_clear_pointer (&self->output, afp_output_free);
  g_clear_pointer (&self->file, afp_file_free);
  g_clear_pointer (&self->recipes, g_hash_table_unref);
  g_clear_pointer (&self->names, g_hash_table_unref);
  g_clear_pointer (&self->targets, g_ptr_array_unref);
  g_free (self->location);
  g_free (self);
}

/* --- what is said about the file ---------------------------------------------------------------------------------- */

/* A text that fits into an attribute, cut between characters. */
static char *
cut (char *text)
{
  static const char mark[] = " [cut]";

  if (!text || strlen (text) < AFP_FILE_MAX_TEXT)
    return text;
  char *end = g_utf8_find_prev_char (text, text + AFP_FILE_MAX_TEXT - sizeof mark);
  memcpy (end ? end : text, mark, sizeof mark);
  return text;
}

static char *
get_pipeline (AfpRun *run)
{
  return run ? cut (afp_pipeline_get_canonical_text (afp_run_get_pipeline (run), FALSE)) : NULL;
}

/* Of all sources, with commas between. */
static char *
get_fingerprint (AfpRun *run)
{
  g_autoptr (GString) text = g_string_new (NULL);
  GPtrArray *elements = run ? afp_pipeline_get_elements (afp_run_get_pipeline (run)) : NULL;

  for (guint i = 0; elements && i < elements->len; i++) {
    if (!AFP_IS_SOURCE (elements->pdata[i]))
      continue;
    g_autofree char *one = afp_source_get_fingerprint (elements->pdata[i]);
    if (one)
      g_string_append_printf (text, "%s%s", text->len ? "," : "", one);
  }
  return text->len ? cut (g_strdup (text->str)) : NULL;
}

/* Totals only: no lists, and no times, which differ from run to run. */
static void
prune (JsonObject *object)
{
  g_autoptr (GList) names = json_object_get_members (object);

  for (GList *l = names; l; l = l->next) {
    JsonNode *node = json_object_get_member (object, l->data);
    if (JSON_NODE_HOLDS_ARRAY (node) || g_str_equal (l->data, "seconds"))
      json_object_remove_member (object, l->data);
    else if (JSON_NODE_HOLDS_OBJECT (node))
      prune (json_node_get_object (node));
  }
}

/* NULL if the element found nothing out, or more than a file can hold. */
static JsonNode *
get_element_metrics (AfpElement *element)
{
  AfpElementClass *klass = AFP_ELEMENT_GET_CLASS (element);
  g_autoptr (JsonNode) metrics = klass->get_metrics ? klass->get_metrics (element) : NULL;

  if (!metrics || !JSON_NODE_HOLDS_OBJECT (metrics))
    return NULL;
  /* A copy of a node shares its object: parse it again. */
  g_autofree char *full = json_to_string (metrics, FALSE);
  g_autoptr (JsonNode) own = json_from_string (full, NULL);
  prune (json_node_get_object (own));
  JsonObject *object = json_node_get_object (own);
  for (;;) {
    g_autofree char *text = json_to_string (own, FALSE);
    g_autoptr (GList) names = json_object_get_members (object);
    if (!names)
      return NULL;
    if (strlen (text) <= MAX_METRICS)
      return g_steal_pointer (&own);
    json_object_remove_member (object, g_list_last (names)->data);
  }
}

static char *
get_metrics (AfpRun *run)
{
  g_autoptr (JsonNode) node = json_node_init_array (json_node_alloc (), NULL);
  JsonArray *array = json_array_new ();
  GPtrArray *elements = run ? afp_pipeline_get_elements (afp_run_get_pipeline (run)) : NULL;
  gsize bytes = 2;

  json_node_take_array (node, array);
  for (guint i = 0; elements && i < elements->len; i++) {
    JsonNode *metrics = get_element_metrics (elements->pdata[i]);
    if (!metrics)
      continue;
    JsonObject *entry = json_object_new ();
    json_object_set_string_member (entry, "name", afp_element_get_name (elements->pdata[i]));
    json_object_set_member (entry, "metrics", metrics);
    g_autoptr (JsonNode) holder = json_node_init_object (json_node_alloc (), entry);
    g_autofree char *text = json_to_string (holder, FALSE);
    bytes += strlen (text) + 1;
    if (bytes <= AFP_FILE_MAX_TEXT)
      json_array_add_object_element (array, json_object_ref (entry));
    json_object_unref (entry);
  }
  return json_array_get_length (array) ? json_to_string (node, FALSE) : NULL;
}

/* "seedlm 0.1.0; codecs seedlm/1; license LGPL-2.1-or-later; origin https://..." for each plugin that the recipes need. */
static GStrv
list_plugins (const AfpFile *file)
{
  g_autoptr (GHashTable) seen = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  g_autoptr (GPtrArray) plugins = g_ptr_array_new ();
  g_autoptr (GPtrArray) codecs = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GPtrArray) lines = g_ptr_array_new_with_free_func (g_free);
  guint at;

  for (guint i = 0; i < file->recipes->len; i++) {
    g_auto (GStrv) names = afp_recipe_list_codecs (file->recipes->pdata[i]);
    for (char **name = names; *name; name++) {
      if (!g_hash_table_add (seen, g_strdup (*name)))
        continue;
      g_autofree char *codec = g_strndup (*name, strcspn (*name, "/"));
      AfpElementFactory *factory = afp_registry_find (afp_registry_get_default (), codec);
      AfpPlugin *plugin = factory ? afp_element_factory_get_plugin (factory) : NULL;
      if (!plugin || !afp_plugin_get_filename (plugin))
        continue;
      if (!g_ptr_array_find (plugins, plugin, &at)) {
        at = plugins->len;
        g_ptr_array_add (plugins, plugin);
        g_ptr_array_add (codecs, NULL);
      }
      char *list =
          codecs->pdata[at] ? g_strconcat (codecs->pdata[at], " ", *name, NULL) : g_strdup (*name);
      g_free (codecs->pdata[at]);
      codecs->pdata[at] = list;
    }
  }
  for (guint i = 0; i < MIN (plugins->len, AFP_FILE_MAX_PLUGINS); i++)
    g_ptr_array_add (lines, g_strdup_printf ("%s %s; codecs %s; license %s; origin %s",
                                             afp_plugin_get_name (plugins->pdata[i]),
                                             afp_plugin_get_version (plugins->pdata[i]),
                                             (char *) codecs->pdata[i],
                                             afp_plugin_get_license (plugins->pdata[i]),
                                             afp_plugin_get_origin (plugins->pdata[i])));
  g_ptr_array_add (lines, NULL);
  return g_strdupv ((char **) lines->pdata);
}

/* --- plan --------------------------------------------------------------------------------------------------------- */

static gboolean
check_role (AfpPlane *plane, const char *path, gpointer user_data)
{
  if (strlen (path) <= AFP_FILE_MAX_ROLE)
    return TRUE;
  *(char **) user_data = g_strdup (path);
  return FALSE;
}

static gboolean
is_name (const char *name)
{
  const char *p = name;

  while ((guchar) *p >= 0x20 && *p != 0x7f)
    p++;
  return *name && !*p && p - name <= AFP_FILE_MAX_NAME && g_utf8_validate (name, -1, NULL);
}

static gboolean
writer_plan_tensor (const AfpWriterOptions *options, AfpTensor *tensor, GError **error)
{
  const char *name = afp_spec_get_name (afp_tensor_get_spec (tensor));
  g_autofree char *recipe = afp_tensor_get_recipe (tensor);
  g_autofree char *long_path = NULL;

  if (!is_name (name)) {
    g_autofree char *shown = g_strescape (name, NULL);
    g_set_error (error, AFP_ERROR, AFP_ERROR_PLAN,
                 "tensor \"%.60s\": its name has %" G_GSIZE_FORMAT
                 " bytes; names in an afpipe file are UTF-8 of 1 to %d bytes without control "
                 "characters",
                 shown, strlen (name), AFP_FILE_MAX_NAME);
    return FALSE;
  }
  if (strlen (recipe) > AFP_FILE_MAX_RECIPE || afp_recipe_count_leaves (recipe) == G_MAXUINT) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_PLAN,
                 "tensor '%s': its recipe of %" G_GSIZE_FORMAT
                 " characters is not one that a file can hold (at most %d, 16 levels): "
                 "use fewer stages",
                 name, strlen (recipe), AFP_FILE_MAX_RECIPE);
    return FALSE;
  }
  if (!afp_plane_foreach (afp_tensor_get_root (tensor), check_role, &long_path)) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_PLAN,
                 "tensor '%s': the path '%s' of a plane is longer than %d bytes: use fewer stages",
                 name, long_path, AFP_FILE_MAX_ROLE);
    return FALSE;
  }
  return TRUE;
}

/* --- write -------------------------------------------------------------------------------------------------------- */

static gpointer
writer_open (const AfpWriterOptions *options, GError **error)
{
  g_autofree char *pipeline = get_pipeline (options->run),
                  *fingerprint = get_fingerprint (options->run);
  gboolean leftover;

  if (!afp_output_check (options->location, options->overwrite, error))
    return NULL;
  if (options->planned && options->planned->len > AFP_FILE_MAX_TENSORS) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_IO,
                 "cannot write '%s': %u tensors are planned, a file holds at most %u: write the "
                 "model in parts (select)",
                 options->location, options->planned->len, AFP_FILE_MAX_TENSORS);
    return NULL;
  }
  AfpPart *part = afp_part_new (options->location, pipeline, fingerprint, &leftover, error);
  if (!part)
    return NULL;
  if (leftover && options->run) {
    g_autofree char *text = g_strdup_printf (
        "'%s.part' was left by a run that was killed; it is overwritten", options->location);
    afp_run_post (options->run, afp_message_new (AFP_MESSAGE_WARNING, NULL, text, NULL));
  }
  Writer *self = g_new0 (Writer, 1);
  self->location = g_strdup (options->location);
  self->overwrite = options->overwrite;
  self->run = options->run;
  self->part = part;
  self->file = afp_file_new ();
  self->recipes = g_hash_table_new (g_str_hash, g_str_equal);
  self->names = g_hash_table_new (g_str_hash, g_str_equal);
  self->targets = g_ptr_array_new_with_free_func (g_free);
  return self;
}

typedef struct {
  Writer *writer;
  AfpSpec *spec;
  GError **error;
} LeafWalk;

static gboolean
write_leaf (AfpPlane *plane, const char *path, gpointer user_data)
{
  LeafWalk *walk = user_data;
  AfpFile *file = walk->writer->file;
  const AfpPlaneDesc *desc = afp_plane_get_desc (plane);
  const gboolean is_raw = desc->kind == AFP_KIND_WEIGHT || desc->kind == AFP_KIND_RAW;

  if (afp_plane_get_codec (plane))
    return TRUE;
  GBytes *data = afp_plane_get_data (plane);
  if (!data || (!is_raw && desc->kind != AFP_KIND_CODE)) {
    g_set_error (walk->error, AFP_ERROR, AFP_ERROR_FORMAT,
                 "plane '%s' (%s) cannot be written: it is neither codes nor a raw array", path,
                 afp_plane_kind_name (desc->kind));
    return FALSE;
  }
  if (file->planes->len == AFP_FILE_MAX_PLANES) {
    g_set_error (walk->error, AFP_ERROR, AFP_ERROR_FORMAT,
                 "a file holds at most %u planes: write the model in parts (select)",
                 AFP_FILE_MAX_PLANES);
    return FALSE;
  }
  AfpFilePlane row = { .role = g_string_chunk_insert_const (file->texts, path),
                       .bits = (guint8) desc->bits };
  if (is_raw)
    row.bits = afp_file_raw_bits (walk->spec);
  if (!afp_part_add_plane (walk->writer->part, data, &row, walk->error))
    return FALSE;
  g_array_append_val (file->planes, row);
  return TRUE;
}

static guint32
intern_recipe (Writer *self, char *recipe)
{
  gpointer known = g_hash_table_lookup (self->recipes, recipe);

  if (known) {
    g_free (recipe);
    return GPOINTER_TO_UINT (known) - 1;
  }
  g_ptr_array_add (self->file->recipes, recipe);
  g_hash_table_insert (self->recipes, recipe, GUINT_TO_POINTER (self->file->recipes->len));
  return self->file->recipes->len - 1;
}

/* An alias whose planes are all its target's uses the target's rows. */
static void
share_rows (Writer *self, AfpFileTensor *row, const char *alias_of)
{
  AfpFile *file = self->file;
  const guint known = GPOINTER_TO_UINT (g_hash_table_lookup (self->names, alias_of));

  if (!known)
    return;
  const AfpFileTensor *target = afp_file_tensor (file, known - 1);
  if (target->recipe != row->recipe || target->n_planes != row->n_planes)
    return;
  for (guint i = 0; i < row->n_planes; i++) {
    const AfpFilePlane *p = afp_file_plane (file, row->first_plane + i),
                       *q = afp_file_plane (file, target->first_plane + i);
    if (p->offset != q->offset || p->bytes != q->bytes || p->bits != q->bits)
      return;
  }
  g_array_set_size (file->planes, row->first_plane);
  row->first_plane = target->first_plane;
}

static gboolean
writer_write (gpointer writer, AfpTensor *tensor, GError **error)
{
  Writer *self = writer;
  AfpFile *file = self->file;
  AfpSpec *spec = afp_tensor_get_spec (tensor);
  const char *name = afp_spec_get_name (spec), *alias_of = afp_spec_get_alias_of (spec);
  LeafWalk walk = { self, spec, error };
  const guint first = file->planes->len;

  if (g_hash_table_contains (self->names, name)) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                 "cannot write '%s': two tensors have the name '%s'; drop one (select)",
                 self->location, name);
    return FALSE;
  }
  if (file->tensors->len == AFP_FILE_MAX_TENSORS || file->recipes->len == AFP_FILE_MAX_RECIPES) {
    g_set_error (
        error, AFP_ERROR, AFP_ERROR_FORMAT,
        "cannot write '%s': a file holds at most %u tensors and %u recipes: write the model in parts (select)",
        self->location, AFP_FILE_MAX_TENSORS, AFP_FILE_MAX_RECIPES);
    return FALSE;
  }
  if (!afp_plane_foreach (afp_tensor_get_root (tensor), write_leaf, &walk)) {
    g_prefix_error (error, "tensor '%s': ", name);
    return FALSE;
  }
  AfpFileTensor row = { .name = g_strdup (name),
                        .dtype = g_strdup (afp_dtype_name (afp_spec_get_dtype (spec))),
                        .shape = afp_spec_shape_to_string (spec),
                        .view = afp_view_to_string (afp_spec_get_view (spec)),
                        .alias_of = -1,
                        .first_plane = first,
                        .n_planes = file->planes->len - first };
  row.recipe = intern_recipe (self, afp_tensor_get_recipe (tensor));
  if (alias_of)
    share_rows (self, &row, alias_of);
  g_array_append_val (file->tensors, row);
  g_hash_table_insert (self->names, row.name, GUINT_TO_POINTER (file->tensors->len));
  g_ptr_array_add (self->targets, g_strdup (alias_of));
  const AfpFilePlane *planes = row.n_planes ? afp_file_plane (file, row.first_plane) : NULL;
  return afp_part_end_tensor (self->part, spec, file->recipes->pdata[row.recipe], planes,
                              row.n_planes, error);
}

/* --- finish ------------------------------------------------------------------------------------------------------- */

static gboolean
writer_finish (gpointer writer, GError **error)
{
  Writer *self = writer;
  AfpFile *file = self->file;

  for (guint i = 0; i < file->tensors->len; i++) {
    const char *target = self->targets->pdata[i];
    const guint known = target ? GPOINTER_TO_UINT (g_hash_table_lookup (self->names, target)) : 0;
    if (known && known - 1 != i)
      afp_file_tensor (file, i)->alias_of = (gint32) (known - 1);
  }
  file->tool_version = g_strdup ("afpipe " AFP_VERSION);
  file->pipeline = get_pipeline (self->run);
  file->fingerprint = get_fingerprint (self->run);
  file->metrics = get_metrics (self->run);
  file->plugins = list_plugins (file);
  file->payload_bytes = afp_part_get_bytes (self->part);

  self->output = afp_output_new (self->location, self->overwrite, error);
  if (!self->output || !afp_file_write (file, afp_output_get_path (self->output), error) ||
      !afp_output_reserve (self->output, file->payload_offset + file->payload_bytes, error) ||
      !afp_part_copy (self->part, self->output, file->payload_offset, error) ||
      !afp_output_sync (self->output, error))
    return FALSE;
  g_clear_pointer (&self->part, afp_part_free);
  return TRUE;
}

static gboolean
writer_publish (gpointer writer, guint64 *file_bytes, GError **error)
{
  Writer *self = writer;

  return afp_output_publish (self->output, file_bytes, error);
}

static void
writer_close (gpointer writer, gboolean ok)
{
  writer_free (writer);
}

static const char *const extensions[] = { "h5", "hdf5", "afp", NULL };

const AfpWriter afp_writer_afp = {
  .name = "afpipe",
  .extensions = extensions,
  .plan_tensor = writer_plan_tensor,
  .open = writer_open,
  .write = writer_write,
  .finish = writer_finish,
  .publish = writer_publish,
  .close = writer_close,
};
