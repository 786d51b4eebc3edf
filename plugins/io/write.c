/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "io-output.h"
#include "io.h"
#include "writer.h"

#include <glib/gstdio.h>
#include <string.h>

/*
 * write: what arrives, into a file. Each format is an AfpWriter. Whether the location can be written is looked at before the plan.
 */
struct _AfpWrite {
  AfpSink parent_instance;
  char *location;
  int format;
  char *template_location;
  gboolean overwrite;
  guint64 max_shard;
  gboolean resume;

  int resolved; /* index into formats[], not auto */
  AfpWriterState plan_state;
  GPtrArray *planned; /* of AfpSpec */
  GHashTable *names;  /* of the planned tensors */
  GPtrArray *files;   /* of char*: what is written, the file that leads to the others last */
  gpointer handle;
  gboolean published;
  guint64 file_bytes;
  guint64 extras_bytes;
};

G_DEFINE_FINAL_TYPE (AfpWrite, afp_write, AFP_TYPE_SINK)

static const char *const formats[] = { "auto", "afpipe", "safetensors", "keras", "vptq", NULL };
static const AfpWriter *const writers[] = { NULL, &afp_writer_afp, &afp_writer_safetensors,
                                            &afp_writer_keras, &afp_writer_vptq };
#define FORMAT_KERAS 3

static const AfpProperty properties[] = {
  AFP_PROP_STRING (
      "location", NULL, AFP_PROPERTY_REQUIRED | AFP_PROPERTY_FILE, AfpWrite, location, NULL,
      "The file to write, a folder with format=vptq; it gets its name when all of it is on the disk"),
  AFP_PROP_ENUM ("format", NULL, 0, AfpWrite, format, "auto", formats,
                 "Format of the file; auto goes by its extension, and is keras with template="),
  AFP_PROP_STRING ("template", NULL, AFP_PROPERTY_FILE, AfpWrite, template_location, NULL,
                   "A Keras .h5 file: decoded weights are put into a copy of it"),
  AFP_PROP_BOOL ("overwrite", NULL, AFP_PROPERTY_RUN, AfpWrite, overwrite, "false",
                 "Replace an existing file"),
  AFP_PROP_BOOL ("resume", NULL, AFP_PROPERTY_RUN, AfpWrite, resume, "false",
                 "Go on where an earlier run of the same pipeline ended, and keep what is done if "
                 "this one fails (format=afpipe)"),
  AFP_PROP_SIZE (
      "max-shard", NULL, 0, AfpWrite, max_shard, 0, 0x1p60, "0", "bytes",
      "safetensors, vptq: bytes of arrays in a file; more become NAME-00001-of-0000N.safetensors ... "
      "and an index (0: one file)"),
};

static void
forget_plan (AfpWrite *self)
{
  if (self->plan_state.free != NULL)
    self->plan_state.free (self->plan_state.data);
  memset (&self->plan_state, 0, sizeof self->plan_state);
  g_ptr_array_set_size (self->planned, 0);
  g_hash_table_remove_all (self->names);
  g_ptr_array_set_size (self->files, 0);
}

static AfpWriterOptions
get_options (AfpWrite *self)
{
  return (AfpWriterOptions){ .location = self->location,
                             .template_location = self->template_location,
                             .overwrite = self->overwrite,
                             .max_shard = self->max_shard,
                             .resume = self->resume,
                             .sink = AFP_SINK (self),
                             .run = afp_element_get_run (AFP_ELEMENT (self)),
                             .planned = self->planned,
                             .plan_state = &self->plan_state };
}

/* --- the format -------------------------------------------------------------------------------------------------- */

static int
format_by_extension (const char *location)
{
  const char *slash = strrchr (location, '/');
  const char *dot = strrchr (slash != NULL ? slash : location, '.');

  for (guint i = 1; dot != NULL && i < G_N_ELEMENTS (writers); i++)
    for (guint j = 0; writers[i]->extensions[j] != NULL; j++)
      if (g_ascii_strcasecmp (dot + 1, writers[i]->extensions[j]) == 0)
        return (int) i;
  return 0;
}

static char *
list_extensions (void)
{
  GString *text = g_string_new (NULL);

  for (guint i = 1; i < G_N_ELEMENTS (writers); i++)
    for (guint j = 0; writers[i]->extensions[j] != NULL; j++)
      g_string_append_printf (text, "%s.%s (%s)", text->len ? ", " : "", writers[i]->extensions[j],
                              formats[i]);
  return g_string_free (text, FALSE);
}

static gboolean
resolve_format (AfpWrite *self, GError **error)
{
  const gboolean has_template = self->template_location != NULL && *self->template_location != '\0';

  self->resolved = self->format;
  if (self->format == 0)
    self->resolved = has_template ? FORMAT_KERAS : format_by_extension (self->location);
  if (self->resolved == 0) {
    g_autofree char *known = list_extensions ();
    g_set_error (error, AFP_ERROR, AFP_ERROR_PROPERTY,
                 "location=%s does not tell the format: known extensions are %s; or say format=",
                 self->location, known);
    return FALSE;
  }
  if (self->max_shard > 0 && writers[self->resolved]->list_files == NULL) {
    g_set_error (
        error, AFP_ERROR, AFP_ERROR_PROPERTY,
        "max-shard= goes with format=safetensors and vptq, but the format is %s, which is one file; "
        "leave it out",
        formats[self->resolved]);
    return FALSE;
  }
  if (self->resolved == FORMAT_KERAS && !has_template) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_PROPERTY,
                 "format=keras puts weights into a copy of a Keras file: say template=ORIGINAL.h5");
    return FALSE;
  }
  if (self->resolved != FORMAT_KERAS && has_template) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_PROPERTY,
                 "template= goes with format=keras, but the format is %s; leave one of them out",
                 formats[self->resolved]);
    return FALSE;
  }
  if (self->resume && writers[self->resolved]->is_result == NULL) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_PROPERTY,
                 "resume=true goes with format=afpipe, but the format is %s; leave it out",
                 formats[self->resolved]);
    return FALSE;
  }
  return TRUE;
}

/* --- outputs that are inputs ------------------------------------------------------------------------------------- */

static gboolean
is_same_file (const char *a, const char *b)
{
  GStatBuf x, y;

  if (g_stat (a, &x) == 0 && g_stat (b, &y) == 0)
    return x.st_dev == y.st_dev && x.st_ino == y.st_ino;
  g_autofree char *full_a = g_canonicalize_filename (a, NULL);
  g_autofree char *full_b = g_canonicalize_filename (b, NULL);
  return strcmp (full_a, full_b) == 0;
}

/* Every element that is linked with this one, over any number of pads. (element-type AfpElement, not owned) */
static GPtrArray *
list_linked (AfpElement *self)
{
  static const AfpPadDirection directions[] = { AFP_PAD_SINK, AFP_PAD_SRC };
  g_autoptr (GHashTable) seen = g_hash_table_new (NULL, NULL);
  GPtrArray *list = g_ptr_array_new ();

  g_hash_table_add (seen, self);
  g_ptr_array_add (list, self);
  for (guint i = 0; i < list->len; i++)
    for (guint d = 0; d < G_N_ELEMENTS (directions); d++)
      for (guint p = 0; p < afp_element_get_n_pads (list->pdata[i], directions[d]); p++) {
        AfpPad *peer = afp_pad_get_peer (afp_element_get_pad (list->pdata[i], directions[d], p));
        AfpElement *other = peer != NULL ? afp_pad_get_element (peer) : NULL;
        if (other != NULL && g_hash_table_add (seen, other))
          g_ptr_array_add (list, other);
      }
  return list;
}

/* No property of another stage, and none of our own but location=, may name a file that we write. */
static gboolean
check_properties (AfpWrite *self, AfpElement *other, const char *file, GError **error)
{
  gsize n;
  g_autofree const AfpProperty **rows =
      afp_element_class_list_properties (AFP_ELEMENT_GET_CLASS (other), &n);

  for (gsize i = 0; i < n; i++) {
    const gboolean own = other == AFP_ELEMENT (self) && strcmp (rows[i]->name, "location") == 0;
    if (own || !(rows[i]->flags & AFP_PROPERTY_FILE))
      continue;
    g_autofree char *path = afp_element_get_property_text (other, rows[i]->name);
    if (path == NULL || *path == '\0' || !is_same_file (path, file))
      continue;
    g_set_error (error, AFP_ERROR, AFP_ERROR_IO,
                 "location=%s is the same file as %s= of '%s'; choose another location", file,
                 rows[i]->name, afp_element_get_name (other));
    return FALSE;
  }
  return TRUE;
}

static gboolean
check_stages (AfpWrite *self, const char *file, GError **error)
{
  g_autoptr (GPtrArray) linked = list_linked (AFP_ELEMENT (self));

  for (guint i = 0; i < linked->len; i++)
    if (!check_properties (self, linked->pdata[i], file, error))
      return FALSE;
  return TRUE;
}

/* The files that a source really opened: shards, the model in a folder. */
static gboolean
check_source_files (AfpSource *source, const char *file, GError **error)
{
  g_autoptr (JsonNode) info = afp_source_get_info (source);
  JsonNode *files = json_object_get_member (json_node_get_object (info), "files");

  if (files == NULL || !JSON_NODE_HOLDS_ARRAY (files))
    return TRUE;
  JsonArray *array = json_node_get_array (files);
  for (guint i = 0; i < json_array_get_length (array); i++) {
    const char *path = json_array_get_string_element (array, i);
    if (path == NULL || !is_same_file (path, file))
      continue;
    g_set_error (error, AFP_ERROR, AFP_ERROR_IO,
                 "location=%s is the same file as '%s', which '%s' reads; choose another location",
                 file, path, afp_element_get_name (AFP_ELEMENT (source)));
    return FALSE;
  }
  return TRUE;
}

static gboolean
check_sources (AfpWrite *self, const char *file, GError **error)
{
  g_autoptr (GPtrArray) linked = list_linked (AFP_ELEMENT (self));

  for (guint i = 0; i < linked->len; i++)
    if (AFP_IS_SOURCE (linked->pdata[i]) && !check_source_files (linked->pdata[i], file, error))
      return FALSE;
  return TRUE;
}

/* What the input says of itself in words: member "metadata" of its info, if that is an object of texts. (transfer full) (nullable) */
static JsonNode *
get_metadata (AfpWrite *self)
{
  AfpElement *element = AFP_ELEMENT (self);
  JsonObjectIter iter;
  JsonNode *value;

  while (!AFP_IS_SOURCE (element)) {
    AfpPad *pad = afp_element_get_pad (element, AFP_PAD_SINK, 0);
    AfpPad *peer = pad != NULL ? afp_pad_get_peer (pad) : NULL;
    if (peer == NULL)
      return NULL;
    element = afp_pad_get_element (peer);
  }
  g_autoptr (JsonNode) info = afp_source_get_info (AFP_SOURCE (element));
  JsonNode *metadata = json_object_get_member (json_node_get_object (info), "metadata");
  if (metadata == NULL || !JSON_NODE_HOLDS_OBJECT (metadata))
    return NULL;
  json_object_iter_init (&iter, json_node_get_object (metadata));
  while (json_object_iter_next (&iter, NULL, &value))
    if (!JSON_NODE_HOLDS_VALUE (value) || json_node_get_value_type (value) != G_TYPE_STRING)
      return NULL;
  return json_node_copy (metadata);
}

/* A file beside the location, or in it, that is written, replaced or removed. */
static gboolean
check_file (AfpWrite *self, const char *file, GError **error)
{
  const gboolean is_new =
      writers[self->resolved]->is_folder && !g_file_test (self->location, G_FILE_TEST_EXISTS);

  return check_stages (self, file, error) && check_sources (self, file, error) &&
         (is_new || afp_output_check (file, self->overwrite, error));
}

/* A folder that is there, or can be made. */
static gboolean
check_folder (const char *location, GError **error)
{
  g_autofree char *plain = g_strdup (location);

  for (gsize n = strlen (plain); n > 1 && plain[n - 1] == '/'; n--)
    plain[n - 1] = '\0';
  if (!g_file_test (plain, G_FILE_TEST_EXISTS))
    return afp_output_check (plain, FALSE, error);
  if (g_file_test (plain, G_FILE_TEST_IS_DIR))
    return TRUE;
  g_set_error (error, AFP_ERROR, AFP_ERROR_IO,
               "cannot write '%s': it is a file, and format=vptq writes a folder; choose another "
               "location",
               location);
  return FALSE;
}

/* --- AfpElement, AfpSink ----------------------------------------------------------------------------------------- */

static gboolean
write_check (AfpElement *element, GError **error)
{
  AfpWrite *self = AFP_WRITE (element);

  forget_plan (self);
  if (self->location == NULL || *self->location == '\0') /* the pipeline says that it is missing */
    return TRUE;
  if (!resolve_format (self, error) || !check_stages (self, self->location, error))
    return FALSE;
  if (writers[self->resolved]->is_folder)
    return check_folder (self->location, error);
  return afp_output_check (
      self->location,
      self->overwrite || (self->resume && writers[self->resolved]->is_result (self->location)),
      error);
}

static gboolean
write_plan_tensor (AfpSink *sink, AfpTensor *tensor, GError **error)
{
  AfpWrite *self = AFP_WRITE (sink);
  AfpSpec *spec = afp_tensor_get_spec (tensor);
  const AfpWriter *writer = writers[self->resolved];
  const AfpWriterOptions options = get_options (self);

  if (self->planned->len == 0 && !check_sources (self, self->location, error))
    return FALSE;
  g_ptr_array_add (self->planned, afp_spec_ref (spec));
  if (!g_hash_table_add (self->names, (char *) afp_spec_get_name (spec))) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_PLAN,
                 "two tensors are called '%s'; '%s' can hold one of them", afp_spec_get_name (spec),
                 self->location);
    return FALSE;
  }
  return writer->plan_tensor == NULL || writer->plan_tensor (&options, tensor, error);
}

static gboolean
write_plan_end (AfpSink *sink, AfpPlan *plan, GError **error)
{
  AfpWrite *self = AFP_WRITE (sink);
  const AfpWriter *writer = writers[self->resolved];
  const AfpWriterOptions options = get_options (self);
  g_autoptr (GPtrArray) removed = g_ptr_array_new_with_free_func (g_free);

  g_ptr_array_set_size (self->files, 0);
  if (writer->list_files == NULL) {
    g_ptr_array_add (self->files, g_strdup (self->location));
    return TRUE;
  }
  if (!writer->list_files (&options, self->files, removed, error))
    return FALSE;
  for (guint i = 0; i < self->files->len + removed->len; i++) {
    const char *file =
        i < self->files->len ? self->files->pdata[i] : removed->pdata[i - self->files->len];
    if (!check_file (self, file, error))
      return FALSE;
  }
  afp_plan_note_files (plan, AFP_ELEMENT (sink), self->files->len);
  return TRUE;
}

static gboolean
write_start (AfpElement *element, AfpRun *run, GError **error)
{
  AfpWrite *self = AFP_WRITE (element);
  AfpElementClass *parent_class = AFP_ELEMENT_CLASS (afp_write_parent_class);

  if (parent_class->start != NULL && !parent_class->start (element, run, error))
    return FALSE;
  g_autoptr (JsonNode) metadata = get_metadata (self);
  AfpWriterOptions options = get_options (self);
  options.run = run;
  options.metadata = metadata;
  self->published = FALSE;
  afp_sink_set_keeps (AFP_SINK (self), self->resume);
  self->handle = writers[self->resolved]->open (&options, error);
  return self->handle != NULL;
}

static gboolean
write_consume (AfpSink *sink, AfpTensor *tensor, GError **error)
{
  AfpWrite *self = AFP_WRITE (sink);

  return writers[self->resolved]->write (self->handle, tensor, error);
}

static AfpTensor *
write_read_held (AfpSink *sink, const char *tensor, GError **error)
{
  AfpWrite *self = AFP_WRITE (sink);

  return writers[self->resolved]->read_held (self->handle, tensor, error);
}

static gboolean
write_finish (AfpSink *sink, GError **error)
{
  AfpWrite *self = AFP_WRITE (sink);

  return writers[self->resolved]->finish (self->handle, error);
}

static gboolean
write_publish (AfpSink *sink, GError **error)
{
  AfpWrite *self = AFP_WRITE (sink);

  const AfpWriter *writer = writers[self->resolved];

  self->published = writer->publish (self->handle, &self->file_bytes, error);
  self->extras_bytes =
      writer->get_extras_bytes != NULL ? writer->get_extras_bytes (self->handle) : 0;
  return self->published;
}

static void
write_stop (AfpElement *element, gboolean ok)
{
  AfpWrite *self = AFP_WRITE (element);
  AfpElementClass *parent_class = AFP_ELEMENT_CLASS (afp_write_parent_class);

  if (self->handle != NULL)
    writers[self->resolved]->close (self->handle, ok);
  self->handle = NULL;
  if (parent_class->stop != NULL)
    parent_class->stop (element, ok);
}

static JsonNode *
write_get_output (AfpElement *element)
{
  AfpWrite *self = AFP_WRITE (element);
  JsonObject *object = json_object_new ();

  const guint n = self->files->len;
  json_object_set_string_member (object, "location",
                                 n > 0 ? self->files->pdata[n - 1] : self->location);
  json_object_set_string_member (object, "format", formats[self->resolved]);
  if (self->published)
    json_object_set_int_member (object, "file_bytes", (gint64) self->file_bytes);
  else
    json_object_set_null_member (object, "file_bytes");
  if (self->published)
    json_object_set_int_member (object, "extras_bytes", (gint64) self->extras_bytes);
  JsonNode *node = json_node_new (JSON_NODE_OBJECT);
  json_node_take_object (node, object);
  return node;
}

static void
afp_write_finalize (GObject *object)
{
  AfpWrite *self = AFP_WRITE (object);

  forget_plan (self);
  g_ptr_array_unref (self->planned);
  g_hash_table_unref (self->names);
  g_ptr_array_unref (self->files);
  G_OBJECT_CLASS (afp_write_parent_class)->finalize (object);
}

static void
afp_write_class_init (AfpWriteClass *klass)
{
  AfpSinkClass *sink_class = AFP_SINK_CLASS (klass);
  AfpElementClass *element_class = AFP_ELEMENT_CLASS (klass);

  G_OBJECT_CLASS (klass)->finalize = afp_write_finalize;
  afp_element_class_add_properties (element_class, properties, G_N_ELEMENTS (properties), 0);
  afp_element_class_set_details (
      element_class, "Writes what arrives into a file",
      "load location=model.safetensors ! seedlm ! write location=model.h5");
  element_class->check = write_check;
  element_class->start = write_start;
  element_class->stop = write_stop;
  element_class->get_output = write_get_output;
  sink_class->plan_tensor = write_plan_tensor;
  sink_class->plan_end = write_plan_end;
  sink_class->consume = write_consume;
  sink_class->finish = write_finish;
  sink_class->publish = write_publish;
  sink_class->read_held = write_read_held;
}

static void
afp_write_init (AfpWrite *self)
{
  self->planned = g_ptr_array_new_with_free_func ((GDestroyNotify) afp_spec_unref);
  self->names = g_hash_table_new (g_str_hash, g_str_equal);
  self->files = g_ptr_array_new_with_free_func (g_free);
}
