/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fuzz-dump.h"

#include "io/afp-file.h"
#include "io/h5-child.h"

#include <string.h>

/* --- decode: the first tensor ------------------------------------------------------------------------------------- */

static gboolean
add_leaf (AfpPlane *plane, const char *path, gpointer user_data)
{
  GPtrArray *leaves = user_data;
  GBytes *data = afp_plane_get_data (plane);

  if (data && !afp_plane_get_codec (plane))
    g_ptr_array_add (leaves, g_bytes_ref (data));
  return TRUE;
}

static void
dump_tensor (AfpTensor *tensor, GByteArray *out)
{
  g_autoptr (GPtrArray) leaves = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
  AfpSpec *spec = afp_tensor_get_spec (tensor);
  g_autofree char *shape = afp_spec_shape_to_string (spec);
  g_autofree char *view = afp_view_to_string (afp_spec_get_view (spec));
  g_autofree char *recipe = afp_tensor_get_recipe (tensor);
  g_autoptr (GString) head = g_string_new (NULL);

  g_string_printf (head, "%s %s %s exact", afp_dtype_name (afp_spec_get_dtype (spec)), shape, view);
  afp_plane_foreach (afp_tensor_get_root (tensor), add_leaf, leaves);
  for (guint i = 0; i < leaves->len; i++)
    g_string_append_printf (head, " %" G_GSIZE_FORMAT, g_bytes_get_size (leaves->pdata[i]));
  g_string_append_printf (head, "\n%s\n", recipe);
  g_byte_array_append (out, (const guint8 *) head->str, (guint) head->len);
  for (guint i = 0; i < leaves->len; i++) {
    gsize n;
    const guint8 *data = g_bytes_get_data (leaves->pdata[i], &n);
    g_byte_array_append (out, data, (guint) n);
  }
}

static GBytes *
dump_decode (const char *path, GError **error)
{
  const AfpReaderOptions options = { path, TRUE, FALSE };
  gpointer handle = afp_reader_afp.open (&options, error);

  if (!handle)
    return NULL;
  g_autoptr (AfpTensor) open = afp_reader_afp.read_tensor (handle, 0, error);
  g_autoptr (AfpTensor) tensor = open ? afp_tensor_finalize (open, NULL, error) : NULL;
  g_autoptr (GByteArray) out = g_byte_array_new ();
  if (tensor)
    dump_tensor (tensor, out);
  afp_reader_afp.close (handle);
  return tensor ? g_byte_array_free_to_bytes (g_steal_pointer (&out)) : NULL;
}

/* --- tables ------------------------------------------------------------------------------------------------------- */

static void
add_rows (const AfpFile *file, GString *text)
{
  for (guint i = 0; i < file->recipes->len; i++)
    g_string_append_printf (text, "recipe %s\n", (char *) file->recipes->pdata[i]);
  for (guint i = 0; i < file->tensors->len; i++) {
    const AfpFileTensor *row = afp_file_tensor (file, i);
    g_string_append_printf (text, "tensor %s %s %s %s %d %u %u %u\n", row->name, row->dtype,
                            row->shape, row->view, row->alias_of, row->recipe, row->first_plane,
                            row->n_planes);
  }
  for (guint i = 0; i < file->planes->len; i++) {
    const AfpFilePlane *row = afp_file_plane (file, i);
    g_string_append_printf (text, "plane %s %u %" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT "\n",
                            row->role, row->bits, row->offset, row->bytes);
  }
}

static GBytes *
dump_tables (const char *path, GError **error)
{
  g_autoptr (AfpFile) file = afp_file_read (path, error);
  g_autoptr (GString) text = g_string_new (NULL);
  g_autofree char *bytes = NULL;
  gsize n;

  if (!file || !g_file_get_contents (path, &bytes, &n, error))
    return NULL;
  g_string_append_printf (
      text, "about %s\ntool %s\nfingerprint %s\nmetrics %s\n", file->pipeline ? file->pipeline : "",
      file->tool_version ? file->tool_version : "", file->fingerprint ? file->fingerprint : "",
      file->metrics ? file->metrics : "");
  for (char **line = file->plugins; line && *line; line++)
    g_string_append_printf (text, "plugin %s\n", *line);
  add_rows (file, text);
  g_string_append (text, "payload\n");
  g_string_append_len (text, bytes + file->payload_offset, (gssize) file->payload_bytes);
  return g_string_free_to_bytes (g_steal_pointer (&text));
}

/* --- keras-listing ------------------------------------------------------------------------------------------------ */

static GBytes *
dump_listing (const char *path, GError **error)
{
  g_autoptr (GBytes) request = g_bytes_new (path, strlen (path) + 1);
  g_autoptr (GBytes) listing = afp_h5_child_run (path, "keras-list", request, NULL, NULL, error);

  if (!listing)
    return NULL;
  g_autoptr (GByteArray) out = g_byte_array_new ();
  g_byte_array_append (out, (const guint8 *) "raw\n", 4);
  g_byte_array_append (out, g_bytes_get_data (listing, NULL), (guint) g_bytes_get_size (listing));
  return g_byte_array_free_to_bytes (g_steal_pointer (&out));
}

GBytes *
fuzz_dump (const char *record, const char *path, GError **error)
{
  if (strcmp (record, "decode") == 0)
    return dump_decode (path, error);
  if (strcmp (record, "tables") == 0)
    return dump_tables (path, error);
  if (strcmp (record, "keras-listing") == 0)
    return dump_listing (path, error);
  g_set_error (error, AFP_ERROR, AFP_ERROR_USAGE,
               "'%s' takes files as they are; only decode, tables and keras-listing are dumped",
               record);
  return NULL;
}
