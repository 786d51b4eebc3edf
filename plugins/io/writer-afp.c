/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "writer.h"

#include "afp-watch.h"
#include "afp-part.h"
#include "writer-afp-about.h"

#include <string.h>

typedef struct {
  char *location;
  gboolean overwrite;
  gboolean resume;
  AfpRun *run;
  AfpSink *sink; /* may be NULL */
  guint n_planned;
  AfpFile *file;
  AfpPart *part;
  AfpOutput *output;
  AfpJournal *journal; /* of an earlier run; may be NULL */
  GHashTable *held;    /* name -> AfpJournalTensor: what it has done */
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
  g_clear_pointer (&self->held, g_hash_table_unref);
  g_clear_pointer (&self->journal, afp_journal_free);
  g_clear_pointer (&self->recipes, g_hash_table_unref);
  g_clear_pointer (&self->names, g_hash_table_unref);
  g_clear_pointer (&self->targets, g_ptr_array_unref);
  g_free (self->location);
  g_free (self);
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

/* A row for a tensor whose planes are the last of the table, from @first on. @recipe: (transfer full) */
static AfpFileTensor *
add_row (Writer *self, AfpSpec *spec, char *recipe, guint first)
{
  AfpFile *file = self->file;
  const char *alias_of = afp_spec_get_alias_of (spec);
  AfpFileTensor row = { .name = g_strdup (afp_spec_get_name (spec)),
                        .dtype = g_strdup (afp_dtype_name (afp_spec_get_dtype (spec))),
                        .shape = afp_spec_shape_to_string (spec),
                        .view = afp_view_to_string (afp_spec_get_view (spec)),
                        .alias_of = -1,
                        .first_plane = first,
                        .n_planes = file->planes->len - first };

  row.recipe = intern_recipe (self, recipe);
  if (alias_of)
    share_rows (self, &row, alias_of);
  g_array_append_val (file->tensors, row);
  g_hash_table_insert (self->names, row.name, GUINT_TO_POINTER (file->tensors->len));
  g_ptr_array_add (self->targets, g_strdup (alias_of));
  return afp_file_tensor (file, file->tensors->len - 1);
}

/* A tensor that an earlier run finished. */
static void
take_over (Writer *self, AfpJournalTensor *tensor)
{
  AfpFile *file = self->file;
  const guint first = file->planes->len;

  for (guint i = 0; i < tensor->n_planes; i++) {
    AfpFilePlane row = tensor->planes[i];
    row.role = g_string_chunk_insert_const (file->texts, row.role);
    g_array_append_val (file->planes, row);
  }
  add_row (self, tensor->spec, g_strdup (tensor->recipe), first);
  g_hash_table_insert (self->held, (gpointer) afp_spec_get_name (tensor->spec), tensor);
  if (self->sink)
    afp_sink_hold (self->sink, tensor->spec, &tensor->size, tensor->recipe,
                   g_steal_pointer (&tensor->found));
}

static void
post (AfpRun *run, AfpMessageType type, char *text)
{
  if (run)
    afp_run_post (run, afp_message_new (type, NULL, text, NULL));
  g_free (text);
}

static AfpPart *
begin_part (const AfpWriterOptions *options, JsonNode *header, GError **error)
{
  int leftover;
  AfpPart *part = afp_part_new (options->location, header, &leftover, error);

  if (part && leftover >= 0)
    post (options->run, AFP_MESSAGE_WARNING,
          g_strdup_printf ("'%s.part' was left by a run that was killed, with %d finished tensors; "
                           "it is overwritten (resume=true would have gone on with it)",
                           options->location, leftover));
  return part;
}

static gpointer
writer_open (const AfpWriterOptions *options, GError **error)
{
  g_autofree char *fingerprint = afp_about_fingerprint (options->run);
  g_autoptr (JsonNode) header = afp_about_header (options->run, options->sink, fingerprint);
  g_autoptr (AfpJournal) journal = NULL;
  /* A run that was killed after it had published is finished once more. */
  const gboolean overwrite =
      options->overwrite || (options->resume && afp_part_is_result (options->location));

  if (!afp_output_check (options->location, overwrite, error))
    return NULL;
  if (options->planned && options->planned->len > AFP_FILE_MAX_TENSORS) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_IO,
                 "cannot write '%s': %u tensors are planned, a file holds at most %u: write the "
                 "model in parts (select)",
                 options->location, options->planned->len, AFP_FILE_MAX_TENSORS);
    return NULL;
  }
  g_autoptr (AfpFile) file = afp_file_new ();
  if (!afp_file_take_extras (file, (AfpElement *) options->sink, error))
    return NULL;
  AfpPart *part = options->resume ? afp_part_resume (options->location, header, options->planned,
                                                     &journal, error)
                                  : begin_part (options, header, error);
  if (!part)
    return NULL;
  Writer *self = g_new0 (Writer, 1);
  self->location = g_strdup (options->location);
  self->overwrite = overwrite;
  self->resume = options->resume;
  self->run = options->run;
  self->sink = options->sink;
  self->n_planned = options->planned ? options->planned->len : 0;
  self->part = part;
  self->file = g_steal_pointer (&file);
  self->file->fingerprint = g_steal_pointer (&fingerprint);
  self->recipes = g_hash_table_new (g_str_hash, g_str_equal);
  self->names = g_hash_table_new (g_str_hash, g_str_equal);
  self->targets = g_ptr_array_new_with_free_func (g_free);
  self->held = g_hash_table_new (g_str_hash, g_str_equal);
  self->journal = g_steal_pointer (&journal);
  for (guint i = 0; self->journal && i < self->journal->tensors->len; i++)
    take_over (self, self->journal->tensors->pdata[i]);
  return self;
}

static gboolean
writer_write (gpointer writer, AfpTensor *tensor, GError **error)
{
  Writer *self = writer;
  AfpFile *file = self->file;
  AfpSpec *spec = afp_tensor_get_spec (tensor);
  const char *name = afp_spec_get_name (spec);
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
  /* The last moment: what the journal has is taken for good by a later run. */
  if (!afp_watch_check (error))
    return FALSE;
  const AfpFileTensor *row = add_row (self, spec, afp_tensor_get_recipe (tensor), first);
  g_autoptr (JsonNode) found = self->sink ? afp_sink_collect_found (self->sink, name) : NULL;
  AfpJournalTensor line = { .spec = spec,
                            .recipe = file->recipes->pdata[row->recipe],
                            .planes =
                                row->n_planes ? afp_file_plane (file, row->first_plane) : NULL,
                            .n_planes = row->n_planes,
                            .found = found };
  afp_tensor_get_size (tensor, &line.size);
  return afp_part_end_tensor (self->part, &line, error);
}

/* --- what an earlier run wrote -------------------------------------------------------------------------------------- */

typedef struct {
  Writer *writer;
  const AfpJournalTensor *tensor;
} HeldWalk;

static GBytes *
read_held_leaf (guint leaf, const AfpPlaneDesc *desc, const char *path, gpointer user_data,
                GError **error)
{
  const HeldWalk *walk = user_data;
  const AfpFilePlane *plane = &walk->tensor->planes[leaf];
  const guint64 bytes = desc->kind == AFP_KIND_CODE ? afp_plane_desc_bytes (desc)
                                                    : afp_spec_get_n_bytes (walk->tensor->spec);

  if (desc->bound ? plane->bytes <= bytes : plane->bytes == bytes)
    return afp_part_read_plane (walk->writer->part, plane, error);
  g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
               "'%s.part' does not go with its recipe: plane '%s' has %" G_GUINT64_FORMAT
               " bytes, its codec needs %s%" G_GUINT64_FORMAT "; begin anew without resume=true",
               walk->writer->location, path, plane->bytes, desc->bound ? "at most " : "", bytes);
  return NULL;
}

/* From any thread: the journal stays as it was read. */
static AfpTensor *
writer_read_held (gpointer writer, const char *name, GError **error)
{
  Writer *self = writer;
  HeldWalk walk = { self, g_hash_table_lookup (self->held, name) };

  g_return_val_if_fail (walk.tensor != NULL, NULL);
  g_autoptr (AfpPlane) root =
      afp_recipe_build (walk.tensor->recipe, walk.tensor->spec, read_held_leaf, &walk, error);
  return root ? afp_tensor_new (walk.tensor->spec, root) : NULL;
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
  file->pipeline = afp_about_pipeline (self->run);
  file->metrics = afp_about_metrics (self->run);
  file->plugins = afp_about_plugins (file);
  file->payload_bytes = afp_part_get_bytes (self->part);

  self->output = afp_output_new (self->location, self->overwrite, error);
  return self->output && afp_file_write (file, afp_output_get_path (self->output), error) &&
         afp_output_reserve (self->output, file->payload_offset + file->payload_bytes, error) &&
         afp_file_write_extras (file, self->output, error) &&
         afp_part_copy (self->part, self->output, file->payload_offset, error) &&
         afp_output_sync (self->output, error) &&
         (!self->resume ||
          afp_part_set_result (self->part, afp_output_get_path (self->output), error));
}

static gboolean
writer_publish (gpointer writer, guint64 *file_bytes, GError **error)
{
  Writer *self = writer;

  return afp_output_publish (self->output, file_bytes, error);
}

static guint64
writer_get_extras_bytes (gpointer writer)
{
  return ((Writer *) writer)->file->extras_cost;
}

static void
writer_close (gpointer writer, gboolean ok)
{
  Writer *self = writer;
  const guint n = afp_part_get_n_tensors (self->part);
  const gboolean keep = self->resume && !ok && n > 0;

  afp_part_set_keep (self->part, keep);
  if (keep && self->sink) {
    g_autofree char *advice =
        g_strdup_printf ("run the same pipeline again; '%s.part' keeps %u of %u tensors",
                         self->location, n, self->n_planned);
    afp_sink_set_advice (self->sink, advice);
  }
  writer_free (self);
}

static const char *const extensions[] = { "h5", "hdf5", "afp", NULL };

const AfpWriter afp_writer_afp = {
  .name = "afpipe",
  .extensions = extensions,
  .is_result = afp_part_is_result,
  .plan_tensor = writer_plan_tensor,
  .open = writer_open,
  .write = writer_write,
  .finish = writer_finish,
  .publish = writer_publish,
  .read_held = writer_read_held,
  .get_extras_bytes = writer_get_extras_bytes,
  .close = writer_close,
};
