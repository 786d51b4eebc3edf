/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "io-input.h"

#include <string.h>

GBytes *
afp_input_map (const char *path, GError **error)
{
  g_autoptr (GError) local = NULL;
  GBytes *map = afp_mapped_new (path, &local);

  if (map == NULL)
    g_set_error (error, AFP_ERROR, AFP_ERROR_IO, "cannot read '%s': %s", path, local->message);
  return map;
}

gboolean
afp_input_refuse (GError **error, const char *what, const char *format, ...)
{
  va_list args;
  va_start (args, format);
  g_autofree char *why = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT, "%s %s", what, why);
  return FALSE;
}

gboolean
afp_input_check_name (const char *name, const char *path, GError **error)
{
  const gsize n = strlen (name);

  if (n == 0) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT, "'%s' has a tensor with an empty name", path);
    return FALSE;
  }
  if (n > AFP_INPUT_MAX_NAME) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                 "'%s' has a tensor whose name has %" G_GSIZE_FORMAT
                 " bytes; the limit is %d ('%.40s...')",
                 path, n, AFP_INPUT_MAX_NAME, g_utf8_validate (name, 40, NULL) ? name : "?");
    return FALSE;
  }
  if (!g_utf8_validate (name, (gssize) n, NULL)) {
    g_autofree char *shown = g_strescape (name, NULL);
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                 "'%s' has a tensor whose name is not UTF-8: \"%s\"", path, shown);
    return FALSE;
  }
  for (const char *p = name; *p; p++)
    if ((guchar) *p < 0x20 || *p == 0x7f) {
      g_autofree char *shown = g_strescape (name, NULL);
      g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                   "'%s' has a tensor whose name holds the control character 0x%02x: \"%s\"", path,
                   (guchar) *p, shown);
      return FALSE;
    }
  return TRUE;
}

char *
afp_input_check_shape (guint64 rank, const guint64 *shape, AfpDType dtype, guint64 *n_elements,
                       guint64 *n_bytes)
{
  if (rank > AFP_MAX_RANK)
    return g_strdup_printf ("has rank %" G_GUINT64_FORMAT "; the limit is %d", rank, AFP_MAX_RANK);
  const gsize block = afp_dtype_block (dtype);
  if (afp_dtype_has_row_blocks (dtype) && (rank == 0 || shape[rank - 1] % block != 0))
    return g_strdup_printf ("has rows of %" G_GUINT64_FORMAT
                            " elements, no multiple of the %" G_GSIZE_FORMAT
                            " in a block of its type %s",
                            rank == 0 ? 1 : shape[rank - 1], block, afp_dtype_name (dtype));
  if (!afp_shape_count ((guint) rank, shape, block > 1 ? 1 : afp_dtype_size (dtype), n_elements,
                        n_bytes))
    return g_strdup ("has a shape whose bytes do not fit into 63 bits");
  if (!afp_shape_count_dtype (dtype, (guint) rank, shape, n_elements, n_bytes))
    return g_strdup_printf ("has %" G_GUINT64_FORMAT
                            " elements of type %s, which are no whole bytes",
                            *n_elements, afp_dtype_name (dtype));
  return NULL;
}

AfpTensor *
afp_input_make_tensor (AfpSpec *spec, GBytes *map, guint64 offset)
{
  g_autoptr (GBytes) bytes = NULL;

  if (map != NULL)
    bytes = g_bytes_new_from_bytes (map, (gsize) offset, (gsize) afp_spec_get_n_bytes (spec));
  g_autoptr (AfpPlane) plane = afp_plane_new_raw (spec, bytes);
  return afp_tensor_new (spec, plane);
}

GChecksum *
afp_input_fingerprint_new (const char *format)
{
  GChecksum *checksum = g_checksum_new (G_CHECKSUM_SHA256);

  g_checksum_update (checksum, (const guchar *) format, (gssize) strlen (format) + 1);
  return checksum;
}

void
afp_input_fingerprint_add_size (GChecksum *checksum, guint64 size)
{
  const guint64 little = GUINT64_TO_LE (size);

  g_checksum_update (checksum, (const guchar *) &little, sizeof little);
}

/* Few enough to read in a moment; of another model with the same header, every sample differs. */
#define SAMPLES 64
#define SAMPLE_BYTES 64

void
afp_input_fingerprint_add_file (GChecksum *checksum, GBytes *map)
{
  gsize size;
  const guchar *data = g_bytes_get_data (map, &size);
  const gsize step = size / SAMPLES;

  afp_input_fingerprint_add_size (checksum, size);
  for (gsize i = 0; i < SAMPLES && size > 0; i++)
    g_checksum_update (checksum, data + i * step, (gssize) MIN (SAMPLE_BYTES, size - i * step));
}

void
afp_input_set_notes (JsonObject *info, const GPtrArray *notes)
{
  if (notes->len == 0)
    return;
  JsonArray *array = json_array_new ();
  for (guint i = 0; i < notes->len; i++)
    json_array_add_string_element (array, notes->pdata[i]);
  json_object_set_array_member (info, "notes", array);
}
