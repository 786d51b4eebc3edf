/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "output-set.h"
#include "safetensors-header.h"
#include "safetensors-layout.h"
#include "writer.h"

#include <string.h>

/*
 * The plan says which tensors will come, so headers and index are written first and each array goes straight to its place.
 */

typedef struct {
  AfpOutput *output;
  guint64 header_bytes;
} Shard;

typedef struct {
  AfpOutputSet *set;
  AfpSafetensorsLayout *layout;
  GArray *shards;      /* of Shard */
  GPtrArray *stale;    /* of char*: files of an earlier set */
  GHashTable *by_name; /* name -> index of slot + 1 */
  guint8 *written;     /* for each slot */
  guint n_written;
  char *location;
} Writer;

static void
writer_close (gpointer data, gboolean ok)
{
  Writer *self = data;

  afp_output_set_free (self->set);
  g_clear_pointer (&self->layout, afp_safetensors_layout_free);
  g_array_unref (self->shards);
  g_ptr_array_unref (self->stale);
  g_hash_table_unref (self->by_name);
  g_free (self->written);
  g_free (self->location);
  g_free (self);
}

static gboolean
writer_plan_tensor (const AfpWriterOptions *options, AfpTensor *tensor, GError **error)
{
  const char *name = afp_spec_get_name (afp_tensor_get_spec (tensor));
  const AfpDType dtype = afp_spec_get_dtype (afp_tensor_get_spec (tensor));

  if (afp_tensor_is_raw (tensor) && afp_dtype_has_row_blocks (dtype)) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_PLAN,
                 "tensor '%s' is %s, and '%s' is to be safetensors, which has no types with "
                 "blocks; put 'decode' or 'decode dtype=f16' before write, or write an .h5",
                 name, afp_dtype_name (dtype), options->location);
    return FALSE;
  }
  if (!afp_tensor_is_raw (tensor)) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_PLAN,
                 "tensor '%s' is coded (%s), and '%s' is to be safetensors, which holds plain "
                 "arrays only; put 'decode' before write, or write an .h5",
                 name, afp_plane_get_codec (afp_tensor_get_root (tensor)), options->location);
    return FALSE;
  }
  if (strcmp (name, "__metadata__") == 0) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_PLAN,
                 "tensor '%s': safetensors keeps this name for itself", name);
    return FALSE;
  }
  return TRUE;
}

/* Shards, and the index of more than one; what there is of an earlier set. */
static gboolean
writer_list_files (const AfpWriterOptions *options, GPtrArray *written, GPtrArray *removed,
                   GError **error)
{
  g_autoptr (AfpSafetensorsLayout) layout =
      afp_safetensors_lay_out (options->location, options->planned, options->max_shard, error);

  if (layout == NULL)
    return FALSE;
  const guint n = layout->payloads->len;
  g_ptr_array_extend_and_steal (written, afp_safetensors_list_shards (options->location, n));
  if (n > 1)
    g_ptr_array_add (written, afp_safetensors_index_name (options->location));
  g_ptr_array_extend_and_steal (removed, afp_safetensors_list_existing (options->location));
  return TRUE;
}

/* --- the writer -------------------------------------------------------------------------------------------------- */

/* What is said of the tensors where the input says nothing. */
static JsonNode *
get_default_metadata (void)
{
  JsonObject *object = json_object_new ();
  JsonNode *node = json_node_new (JSON_NODE_OBJECT);

  json_object_set_string_member (object, "format", "pt");
  json_node_take_object (node, object);
  return node;
}

static gboolean
open_shard (Writer *self, guint index, const char *path, JsonNode *metadata, GError **error)
{
  g_autoptr (GString) header = afp_safetensors_make_header (self->layout, index, metadata);

  if (header->len - 8 > AFP_SAFETENSORS_MAX_HEADER) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_PLAN,
                 "'%s' would have a header of %" G_GSIZE_FORMAT
                 " bytes; safetensors allows %" G_GUINT64_FORMAT,
                 path, header->len - 8, AFP_SAFETENSORS_MAX_HEADER);
    return FALSE;
  }
  Shard shard = { afp_output_set_add (self->set, path, error), header->len };
  if (shard.output == NULL)
    return FALSE;
  g_array_append_val (self->shards, shard);
  const guint64 payload = g_array_index (self->layout->payloads, guint64, index);
  return afp_output_reserve (shard.output, header->len + payload, error) &&
         afp_output_write (shard.output, 0, header->str, header->len, error);
}

static gboolean
open_companions (Writer *self, const GArray *companions, GError **error)
{
  for (guint i = 0; companions != NULL && i < companions->len; i++) {
    const AfpCompanion *file = &g_array_index (companions, AfpCompanion, i);
    AfpOutput *output = afp_output_set_add (self->set, file->location, error);
    if (output == NULL || !afp_output_write (output, 0, g_bytes_get_data (file->bytes, NULL),
                                             g_bytes_get_size (file->bytes), error))
      return FALSE;
  }
  return TRUE;
}

static gboolean
open_index (Writer *self, GError **error)
{
  g_autofree char *path = afp_safetensors_index_name (self->location);
  g_autoptr (GString) text = afp_safetensors_make_index (self->layout, self->location);
  AfpOutput *output = afp_output_set_add (self->set, path, error);

  return output != NULL && afp_output_write (output, 0, text->str, text->len, error);
}

static gboolean
open_files (Writer *self, JsonNode *metadata, GError **error)
{
  const guint n = self->layout->payloads->len;
  g_autoptr (GPtrArray) paths = afp_safetensors_list_shards (self->location, n);
  g_autoptr (JsonNode) own = metadata == NULL ? get_default_metadata () : json_node_ref (metadata);

  for (guint i = 0; i < n; i++)
    if (!open_shard (self, i, paths->pdata[i], own, error))
      return FALSE;
  return n == 1 || open_index (self, error);
}

static gpointer
writer_open (const AfpWriterOptions *options, GError **error)
{
  Writer *self = g_new0 (Writer, 1);
  self->set = afp_output_set_new (options->overwrite);
  self->location = g_strdup (options->location);
  self->shards = g_array_new (FALSE, FALSE, sizeof (Shard));
  self->by_name = g_hash_table_new (g_str_hash, g_str_equal);
  self->stale =
      options->overwrite ? afp_safetensors_list_existing (options->location) : g_ptr_array_new ();
  self->layout =
      afp_safetensors_lay_out (options->location, options->planned, options->max_shard, error);
  if (self->layout == NULL || !open_companions (self, options->companions, error) ||
      !open_files (self, options->metadata, error)) {
    writer_close (self, FALSE);
    return NULL;
  }
  for (guint i = 0; i < self->layout->slots->len; i++)
    g_hash_table_insert (self->by_name,
                         (char *) afp_spec_get_name (
                             g_array_index (self->layout->slots, AfpSafetensorsSlot, i).spec),
                         GUINT_TO_POINTER (i + 1));
  self->written = g_new0 (guint8, self->layout->slots->len);
  return self;
}

/* The index of the slot, or -1 with the error set. */
static int
find_slot (Writer *self, AfpSpec *spec, GError **error)
{
  const char *name = afp_spec_get_name (spec);
  const guint found = GPOINTER_TO_UINT (g_hash_table_lookup (self->by_name, name));
  const char *why = NULL;

  if (found == 0)
    why = "was not planned";
  else {
    const AfpSafetensorsSlot *slot =
        &g_array_index (self->layout->slots, AfpSafetensorsSlot, found - 1);
    const guint rank = afp_spec_get_rank (spec);
    if (self->written[found - 1])
      why = "came twice";
    else if (afp_spec_get_dtype (slot->spec) != afp_spec_get_dtype (spec) ||
             afp_spec_get_rank (slot->spec) != rank ||
             (rank > 0 && memcmp (afp_spec_get_shape (slot->spec), afp_spec_get_shape (spec),
                                  rank * sizeof (guint64)) != 0))
      why = "was planned with another dtype or shape";
    else
      return (int) found - 1;
  }
  g_set_error (error, AFP_ERROR, AFP_ERROR_CODEC,
               "cannot write '%s': tensor '%s' %s; a stage before write is at fault",
               self->location, name, why);
  return -1;
}

static gboolean
writer_write (gpointer data, AfpTensor *tensor, GError **error)
{
  Writer *self = data;
  AfpSpec *spec = afp_tensor_get_spec (tensor);
  AfpPlane *root = afp_tensor_get_root (tensor);
  const int found = find_slot (self, spec, error);

  if (found < 0)
    return FALSE;
  GBytes *bytes = afp_tensor_is_raw (tensor) ? afp_plane_get_data (root) : NULL;
  if (bytes == NULL || g_bytes_get_size (bytes) != afp_spec_get_n_bytes (spec)) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_CODEC,
                 "cannot write '%s': tensor '%s' is no plain array; put 'decode' before write",
                 self->location, afp_spec_get_name (spec));
    return FALSE;
  }
  const AfpSafetensorsSlot *slot =
      &g_array_index (self->layout->slots, AfpSafetensorsSlot, (guint) found);
  const Shard *shard = &g_array_index (self->shards, Shard, slot->shard);
  self->written[found] = 1;
  self->n_written++;
  if (!afp_output_write (shard->output, shard->header_bytes + slot->offset,
                         g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes), error)) {
    g_prefix_error (error, "tensor '%s': ", afp_spec_get_name (spec));
    return FALSE;
  }
  return TRUE;
}

static gboolean
writer_finish (gpointer data, GError **error)
{
  Writer *self = data;

  for (guint i = 0; i < self->layout->slots->len && self->n_written < self->layout->slots->len;
       i++) {
    const AfpSafetensorsSlot *slot = &g_array_index (self->layout->slots, AfpSafetensorsSlot, i);
    if (self->written[i])
      continue;
    g_set_error (error, AFP_ERROR, AFP_ERROR_CODEC,
                 "cannot write '%s': tensor '%s' was planned, but never came; a stage before write "
                 "is at fault",
                 self->location, afp_spec_get_name (slot->spec));
    return FALSE;
  }
  return afp_output_set_sync (self->set, error);
}

static gboolean
writer_publish (gpointer data, guint64 *file_bytes, GError **error)
{
  Writer *self = data;

  return afp_output_set_publish (self->set, self->stale, file_bytes, error);
}

static const char *const extensions[] = { "safetensors", NULL };

const AfpWriter afp_writer_safetensors = {
  .name = "safetensors",
  .extensions = extensions,
  .plan_tensor = writer_plan_tensor,
  .list_files = writer_list_files,
  .open = writer_open,
  .write = writer_write,
  .finish = writer_finish,
  .publish = writer_publish,
  .close = writer_close,
};
