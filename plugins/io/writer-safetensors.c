/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "io-output.h"
#include "safetensors-header.h"
#include "writer.h"

#include <string.h>

/*
 * The plan says which tensors will come, so the header is written first and each array goes straight to its place. Wider types
 * come first in the file: then every array is aligned to its element size. Among equals, the order of the stream is kept.
 */

typedef struct {
  AfpSpec *spec;
  guint64 offset; /* behind the header */
  gboolean written;
} Slot;

typedef struct {
  AfpOutput *output;
  GArray *slots;       /* of Slot, in the order of the stream */
  GHashTable *by_name; /* name -> index + 1 */
  guint64 header_bytes;
  guint n_written;
  char *location;
} Writer;

static void
slot_clear (gpointer data)
{
  afp_spec_unref (((Slot *) data)->spec);
}

static void
writer_close (gpointer data, gboolean ok)
{
  Writer *self = data;

  g_clear_pointer (&self->output, afp_output_free);
  g_array_unref (self->slots);
  g_hash_table_unref (self->by_name);
  g_free (self->location);
  g_free (self);
}

static gboolean
writer_plan_tensor (const AfpWriterOptions *options, AfpTensor *tensor, GError **error)
{
  const char *name = afp_spec_get_name (afp_tensor_get_spec (tensor));

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

/* --- the header -------------------------------------------------------------------------------------------------- */

static int
compare_width (gconstpointer a, gconstpointer b, gpointer user_data)
{
  const GArray *slots = user_data;
  const guint x = *(const guint *) a, y = *(const guint *) b;
  const gsize x_size = afp_dtype_size (afp_spec_get_dtype (g_array_index (slots, Slot, x).spec));
  const gsize y_size = afp_dtype_size (afp_spec_get_dtype (g_array_index (slots, Slot, y).spec));

  if (x_size != y_size)
    return x_size > y_size ? -1 : 1;
  return x < y ? -1 : x > y;
}

static gboolean
place (Writer *self, guint64 *payload, GError **error)
{
  g_autoptr (GArray) order = g_array_sized_new (FALSE, FALSE, sizeof (guint), self->slots->len);

  for (guint i = 0; i < self->slots->len; i++)
    g_array_append_val (order, i);
  g_array_sort_with_data (order, compare_width, self->slots);
  *payload = 0;
  for (guint i = 0; i < order->len; i++) {
    Slot *slot = &g_array_index (self->slots, Slot, g_array_index (order, guint, i));
    slot->offset = *payload;
    if (!g_uint64_checked_add (payload, *payload, afp_spec_get_n_bytes (slot->spec)) ||
        *payload > G_MAXINT64 / 2) {
      g_set_error (error, AFP_ERROR, AFP_ERROR_PLAN,
                   "'%s' would have more than %" G_GINT64_FORMAT " bytes", self->location,
                   G_MAXINT64 / 2);
      return FALSE;
    }
  }
  return TRUE;
}

static void
append_string (GString *text, const char *string)
{
  g_string_append_c (text, '"');
  for (const char *p = string; *p; p++)
    if (*p == '"' || *p == '\\')
      g_string_append_printf (text, "\\%c", *p);
    else if ((guchar) *p < 0x20)
      g_string_append_printf (text, "\\u%04x", (guchar) *p);
    else
      g_string_append_c (text, *p);
  g_string_append_c (text, '"');
}

/* The length, the JSON, blanks up to a multiple of 8. */
static GString *
make_header (Writer *self)
{
  GString *text = g_string_new ("        {\"__metadata__\":{\"format\":\"pt\"}");

  for (guint i = 0; i < self->slots->len; i++) {
    const Slot *slot = &g_array_index (self->slots, Slot, i);
    g_autofree char *dtype = g_ascii_strup (afp_dtype_name (afp_spec_get_dtype (slot->spec)), -1);
    g_string_append_c (text, ',');
    append_string (text, afp_spec_get_name (slot->spec));
    g_string_append_printf (text, ":{\"dtype\":\"%s\",\"shape\":[", dtype);
    for (guint axis = 0; axis < afp_spec_get_rank (slot->spec); axis++)
      g_string_append_printf (text, "%s%" G_GUINT64_FORMAT, axis ? "," : "",
                              afp_spec_get_shape (slot->spec)[axis]);
    g_string_append_printf (text,
                            "],\"data_offsets\":[%" G_GUINT64_FORMAT ",%" G_GUINT64_FORMAT "]}",
                            slot->offset, slot->offset + afp_spec_get_n_bytes (slot->spec));
  }
  g_string_append_c (text, '}');
  while (text->len % 8 != 0)
    g_string_append_c (text, ' ');
  const guint64 length = GUINT64_TO_LE ((guint64) text->len - 8);
  memcpy (text->str, &length, 8);
  return text;
}

static gboolean
list_slots (Writer *self, const GPtrArray *planned, GError **error)
{
  for (guint i = 0; i < planned->len; i++) {
    Slot slot = { afp_spec_ref (planned->pdata[i]), 0, FALSE };
    g_array_append_val (self->slots, slot);
    const char *name = afp_spec_get_name (slot.spec);
    if (!g_hash_table_insert (self->by_name, (char *) name, GUINT_TO_POINTER (i + 1))) {
      g_set_error (error, AFP_ERROR, AFP_ERROR_PLAN,
                   "two tensors are called '%s'; '%s' can hold one of them", name, self->location);
      return FALSE;
    }
  }
  return TRUE;
}

static gboolean
write_header (Writer *self, GError **error)
{
  guint64 payload;

  if (!place (self, &payload, error))
    return FALSE;
  g_autoptr (GString) header = make_header (self);
  self->header_bytes = header->len;
  if (header->len - 8 > AFP_SAFETENSORS_MAX_HEADER) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_PLAN,
                 "'%s' would have a header of %" G_GSIZE_FORMAT
                 " bytes; safetensors allows %" G_GUINT64_FORMAT,
                 self->location, header->len - 8, AFP_SAFETENSORS_MAX_HEADER);
    return FALSE;
  }
  return afp_output_reserve (self->output, header->len + payload, error) &&
         afp_output_write (self->output, 0, header->str, header->len, error);
}

/* --- the writer -------------------------------------------------------------------------------------------------- */

static gpointer
writer_open (const AfpWriterOptions *options, GError **error)
{
  AfpOutput *output = afp_output_new (options->location, options->overwrite, error);

  if (output == NULL)
    return NULL;
  Writer *self = g_new0 (Writer, 1);
  self->output = output;
  self->location = g_strdup (options->location);
  self->slots = g_array_new (FALSE, FALSE, sizeof (Slot));
  g_array_set_clear_func (self->slots, slot_clear);
  self->by_name = g_hash_table_new (g_str_hash, g_str_equal);
  if (!list_slots (self, options->planned, error) || !write_header (self, error)) {
    writer_close (self, FALSE);
    return NULL;
  }
  return self;
}

static Slot *
find_slot (Writer *self, AfpSpec *spec, GError **error)
{
  const char *name = afp_spec_get_name (spec);
  const guint found = GPOINTER_TO_UINT (g_hash_table_lookup (self->by_name, name));
  const char *why = NULL;

  if (found == 0)
    why = "was not planned";
  else {
    Slot *slot = &g_array_index (self->slots, Slot, found - 1);
    const guint rank = afp_spec_get_rank (spec);
    if (slot->written)
      why = "came twice";
    else if (afp_spec_get_dtype (slot->spec) != afp_spec_get_dtype (spec) ||
             afp_spec_get_rank (slot->spec) != rank ||
             (rank > 0 && memcmp (afp_spec_get_shape (slot->spec), afp_spec_get_shape (spec),
                                  rank * sizeof (guint64)) != 0))
      why = "was planned with another dtype or shape";
    else
      return slot;
  }
  g_set_error (error, AFP_ERROR, AFP_ERROR_CODEC,
               "cannot write '%s': tensor '%s' %s; a stage before write is at fault",
               self->location, name, why);
  return NULL;
}

static gboolean
writer_write (gpointer data, AfpTensor *tensor, GError **error)
{
  Writer *self = data;
  AfpSpec *spec = afp_tensor_get_spec (tensor);
  AfpPlane *root = afp_tensor_get_root (tensor);
  Slot *slot = find_slot (self, spec, error);

  if (slot == NULL)
    return FALSE;
  GBytes *bytes = afp_tensor_is_raw (tensor) ? afp_plane_get_data (root) : NULL;
  if (bytes == NULL || g_bytes_get_size (bytes) != afp_spec_get_n_bytes (spec)) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_CODEC,
                 "cannot write '%s': tensor '%s' is no plain array; put 'decode' before write",
                 self->location, afp_spec_get_name (spec));
    return FALSE;
  }
  slot->written = TRUE;
  self->n_written++;
  if (!afp_output_write (self->output, self->header_bytes + slot->offset,
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

  for (guint i = 0; i < self->slots->len && self->n_written < self->slots->len; i++) {
    const Slot *slot = &g_array_index (self->slots, Slot, i);
    if (slot->written)
      continue;
    g_set_error (error, AFP_ERROR, AFP_ERROR_CODEC,
                 "cannot write '%s': tensor '%s' was planned, but never came; a stage before write "
                 "is at fault",
                 self->location, afp_spec_get_name (slot->spec));
    return FALSE;
  }
  return afp_output_sync (self->output, error);
}

static gboolean
writer_publish (gpointer data, guint64 *file_bytes, GError **error)
{
  return afp_output_publish (((Writer *) data)->output, file_bytes, error);
}

static const char *const extensions[] = { "safetensors", NULL };

const AfpWriter afp_writer_safetensors = {
  .name = "safetensors",
  .extensions = extensions,
  .plan_tensor = writer_plan_tensor,
  .open = writer_open,
  .write = writer_write,
  .finish = writer_finish,
  .publish = writer_publish,
  .close = writer_close,
};
