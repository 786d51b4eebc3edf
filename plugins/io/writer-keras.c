/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "io-input.h"
#include "io-output.h"
#include "keras-scan.h"
#include "writer.h"

#include <glib/gstdio.h>
#include <string.h>

/*
 * Decoded weights into a copy of a Keras .h5 (template=): each dataset is overwritten in its own type; what nothing is written to
 * stays as it was.
 */

typedef struct {
  AfpOutput *output;
  char *location;
  char *template_location;
  AfpRun *run;
  AfpKerasScan *scan;  /* of the copy */
  GHashTable *written; /* set of AfpKerasEntry */
} Writer;

static void
writer_close (gpointer data, gboolean ok)
{
  Writer *self = data;

  g_clear_pointer (&self->scan, afp_keras_scan_free);
  g_clear_pointer (&self->output, afp_output_free);
  g_hash_table_unref (self->written);
  g_free (self->location);
  g_free (self->template_location);
  g_free (self);
}

static guint64
file_size (const char *path)
{
  GStatBuf info;

  return g_stat (path, &info) == 0 ? (guint64) info.st_size : 0;
}

/* Opens the template for a look. */
static AfpKerasScan *
scan_template (const char *path, GError **error)
{
  if (!g_file_test (path, G_FILE_TEST_IS_REGULAR)) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_IO, "template '%s': there is no such file", path);
    return NULL;
  }
  AfpKerasScan *scan = afp_keras_scan (path, file_size (path), error);
  if (scan == NULL)
    g_prefix_error (error, "template: ");
  return scan;
}

/* --- does a tensor fit its dataset? ------------------------------------------------------------------------------ */

static void
set_unknown (GError **error, const AfpKerasScan *scan, const char *path, const char *name)
{
  g_autofree const char **names = g_new0 (const char *, scan->entries->len + 1);

  for (guint i = 0; i < scan->entries->len; i++)
    names[i] = afp_spec_get_name (((AfpKerasEntry *) scan->entries->pdata[i])->spec);
  const char *nearest = afp_nearest_name (name, names, scan->entries->len);
  g_set_error (
      error, AFP_ERROR, AFP_ERROR_PLAN,
      "tensor '%s' has no dataset in the template '%s'%s%s%s; drop it with 'select', or give "
      "the template it came from",
      name, path, nearest != NULL ? " (nearest: '" : "", nearest != NULL ? nearest : "",
      nearest != NULL ? "')" : "");
}

static AfpKerasEntry *
find_entry (const AfpKerasScan *scan, const char *path, AfpTensor *tensor, GError **error)
{
  AfpSpec *spec = afp_tensor_get_spec (tensor);
  const char *name = afp_spec_get_name (spec);
  const guint rank = afp_spec_get_rank (spec);
  AfpKerasEntry *entry = g_hash_table_lookup (scan->by_name, name);

  if (!afp_tensor_is_raw (tensor)) {
    g_set_error (
        error, AFP_ERROR, AFP_ERROR_PLAN,
        "tensor '%s' is coded (%s), and a Keras file holds plain arrays only; put 'decode' "
        "before write, or leave template= out",
        name, afp_plane_get_codec (afp_tensor_get_root (tensor)));
    return NULL;
  }
  if (entry == NULL) {
    set_unknown (error, scan, path, name);
    return NULL;
  }
  if (afp_spec_get_rank (entry->spec) != rank ||
      (rank > 0 && memcmp (afp_spec_get_shape (entry->spec), afp_spec_get_shape (spec),
                           rank * sizeof (guint64)) != 0)) {
    g_autofree char *ours = afp_spec_shape_to_string (spec);
    g_autofree char *theirs = afp_spec_shape_to_string (entry->spec);
    g_set_error (error, AFP_ERROR, AFP_ERROR_PLAN,
                 "tensor '%s' is %s, but its dataset in the template '%s' is %s", name, ours, path,
                 theirs);
    return NULL;
  }
  const AfpDType from = afp_spec_get_dtype (spec), to = afp_spec_get_dtype (entry->spec);
  if (from != to && (!afp_dtype_is_real (from) || !afp_dtype_is_writable (to))) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_PLAN,
                 "tensor '%s' is %s, but its dataset in the template '%s' is %s, and one is not "
                 "converted to the other",
                 name, afp_dtype_name (from), path, afp_dtype_name (to));
    return NULL;
  }
  return entry;
}

static gboolean
writer_plan_tensor (const AfpWriterOptions *options, AfpTensor *tensor, GError **error)
{
  g_autoptr (AfpKerasScan) own = NULL;
  AfpKerasScan *scan = options->plan_state != NULL ? options->plan_state->data : NULL;

  if (options->template_location == NULL) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_PROPERTY,
                 "format=keras puts weights into a copy of a Keras file: say template=ORIGINAL.h5");
    return FALSE;
  }
  if (scan == NULL) {
    scan = own = scan_template (options->template_location, error);
    if (scan == NULL)
      return FALSE;
    if (options->plan_state != NULL) {
      options->plan_state->data = g_steal_pointer (&own);
      options->plan_state->free = (GDestroyNotify) afp_keras_scan_free;
    }
  }
  return find_entry (scan, options->template_location, tensor, error) != NULL;
}

/* --- the writer -------------------------------------------------------------------------------------------------- */

static gboolean
open_copy (Writer *self, GError **error)
{
  const char *path = afp_output_get_path (self->output);

  if (!afp_output_copy_from (self->output, self->template_location, error))
    return FALSE;
  self->scan = afp_keras_scan (path, file_size (path), error);
  return self->scan != NULL;
}

static gpointer
writer_open (const AfpWriterOptions *options, GError **error)
{
  AfpOutput *output = afp_output_new (options->location, options->overwrite, error);

  if (output == NULL)
    return NULL;
  Writer *self = g_new0 (Writer, 1);
  self->output = output;
  self->location = g_strdup (options->location);
  self->template_location = g_strdup (options->template_location);
  self->run = options->run;
  self->written = g_hash_table_new (NULL, NULL);
  if (!open_copy (self, error)) {
    writer_close (self, FALSE);
    return NULL;
  }
  return self;
}

/* The array in the dataset's dtype. */
static GBytes *
convert (GBytes *bytes, AfpDType from, AfpDType to, guint64 n, GError **error)
{
  if (from == to)
    return g_bytes_ref (bytes);
  g_autofree float *values = g_try_new (float, MAX (n, 1));
  g_autofree void *out = g_try_malloc_n (MAX (n, 1), afp_dtype_size (to));
  if (values == NULL || out == NULL) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_MEMORY,
                 "no memory to convert %" G_GUINT64_FORMAT " numbers from %s to %s", n,
                 afp_dtype_name (from), afp_dtype_name (to));
    return NULL;
  }
  afp_dtype_read (from, g_bytes_get_data (bytes, NULL), 0, values, (gsize) n);
  afp_dtype_from_f32 (to, values, out, 1, (gsize) n);
  return g_bytes_new_take (g_steal_pointer (&out), (gsize) n * afp_dtype_size (to));
}

/* Straight to its place where the file holds it as it is in memory; else through HDF5, in a child process. */
static gboolean
write_dataset (Writer *self, const AfpKerasEntry *entry, GBytes *bytes, GError **error)
{
  const char *path = afp_output_get_path (self->output);

  if (entry->dataset.offset != AFP_H5_NOT_MAPPABLE && G_BYTE_ORDER == G_LITTLE_ENDIAN)
    return afp_output_write (self->output, entry->dataset.offset, g_bytes_get_data (bytes, NULL),
                             g_bytes_get_size (bytes), error);
  if (afp_keras_write (path, file_size (path), entry, bytes, error))
    return TRUE;
  g_prefix_error (error, "cannot write '%s': ", self->location);
  return FALSE;
}

static gboolean
writer_write (gpointer data, AfpTensor *tensor, GError **error)
{
  Writer *self = data;
  AfpSpec *spec = afp_tensor_get_spec (tensor);
  AfpKerasEntry *entry = find_entry (self->scan, self->template_location, tensor, error);

  if (entry == NULL)
    return FALSE;
  if (!g_hash_table_add (self->written, entry)) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_CODEC, "cannot write '%s': tensor '%s' came twice",
                 self->location, afp_spec_get_name (spec));
    return FALSE;
  }
  GBytes *raw = afp_plane_get_data (afp_tensor_get_root (tensor));
  if (raw == NULL || g_bytes_get_size (raw) != afp_spec_get_n_bytes (spec)) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_CODEC,
                 "cannot write '%s': tensor '%s' is no plain array; put 'decode' before write",
                 self->location, afp_spec_get_name (spec));
    return FALSE;
  }
  g_autoptr (GBytes) bytes =
      convert (raw, afp_spec_get_dtype (spec), afp_spec_get_dtype (entry->spec),
               afp_spec_get_n_elements (spec), error);
  return bytes != NULL && write_dataset (self, entry, bytes, error);
}

/* Says which weights of the template nothing was written to. */
static void
post_untouched (Writer *self)
{
  const char *first = NULL;
  guint n = 0;

  for (guint i = 0; i < self->scan->entries->len; i++) {
    AfpKerasEntry *entry = self->scan->entries->pdata[i];
    if (g_hash_table_contains (self->written, entry))
      continue;
    if (first == NULL)
      first = afp_spec_get_name (entry->spec);
    n++;
  }
  if (n == 0 || self->run == NULL)
    return;
  g_autofree char *text =
      g_strdup_printf ("%u of %u weights of the template '%s' were not written and stay as they "
                       "are in '%s', the first is '%s'",
                       n, self->scan->entries->len, self->template_location, self->location, first);
  afp_run_post (self->run, afp_message_new (AFP_MESSAGE_INFO, "write", text, NULL));
}

static gboolean
writer_finish (gpointer data, GError **error)
{
  Writer *self = data;

  post_untouched (self);
  return afp_output_sync (self->output, error);
}

static gboolean
writer_publish (gpointer data, guint64 *file_bytes, GError **error)
{
  return afp_output_publish (((Writer *) data)->output, file_bytes, error);
}

/* .h5 without a template is our own file: see write.c */
static const char *const extensions[] = { NULL };

const AfpWriter afp_writer_keras = {
  .name = "keras",
  .extensions = extensions,
  .plan_tensor = writer_plan_tensor,
  .open = writer_open,
  .write = writer_write,
  .finish = writer_finish,
  .publish = writer_publish,
  .close = writer_close,
};
