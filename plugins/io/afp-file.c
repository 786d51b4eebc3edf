/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-file.h"

#include <stdio.h>
#include <string.h>
#include <zlib.h>

static void
tensor_clear (gpointer row)
{
  AfpFileTensor *tensor = row;

  g_free (tensor->name);
  g_free (tensor->dtype);
  g_free (tensor->shape);
  g_free (tensor->view);
}

static void
extra_clear (gpointer row)
{
  AfpFileExtra *extra = row;

  g_free (extra->name);
  g_clear_pointer (&extra->data, g_bytes_unref);
}

/**
 * afp_file_new:
 *
 * Returns: (transfer full): tables without rows
 */
AfpFile *
afp_file_new (void)
{
  AfpFile *file = g_new0 (AfpFile, 1);

  file->tensors = g_array_new (FALSE, TRUE, sizeof (AfpFileTensor));
  g_array_set_clear_func (file->tensors, tensor_clear);
  file->planes = g_array_new (FALSE, TRUE, sizeof (AfpFilePlane));
  file->recipes = g_ptr_array_new_with_free_func (g_free);
  file->texts = g_string_chunk_new (1024);
  file->extras = g_array_new (FALSE, TRUE, sizeof (AfpFileExtra));
  g_array_set_clear_func (file->extras, extra_clear);
  return file;
}

void
afp_file_free (AfpFile *file)
{
  g_array_unref (file->tensors);
  g_array_unref (file->planes);
  g_ptr_array_unref (file->recipes);
  g_string_chunk_free (file->texts);
  g_array_unref (file->extras);
  g_free (file->pipeline);
  g_free (file->tool_version);
  g_free (file->fingerprint);
  g_free (file->metrics);
  g_strfreev (file->plugins);
  g_free (file);
}

/**
 * afp_file_is_ours:
 * @path: a file
 *
 * Looks for HDF5's signature, its newer superblock and our attribute, which lies in the first bytes. libhdf5 is not asked: it is not
 * safe on foreign files.
 *
 * Returns: whether the file says that it is one of ours
 */
gboolean
afp_file_is_ours (const char *path)
{
  static const guint8 signature[8] = { 0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n' };
  guint8 head[AFP_FILE_HEAD];

  FILE *stream = fopen (path, "rbe");
  if (!stream)
    return FALSE;
  const gsize n = fread (head, 1, sizeof head, stream);
  fclose (stream);
  if (n < 48 || memcmp (head, signature, sizeof signature) != 0 || (head[8] != 2 && head[8] != 3))
    return FALSE;
  for (gsize i = 48; i + sizeof AFP_FILE_VERSION_ATTRIBUTE <= n; i++)
    if (memcmp (head + i, AFP_FILE_VERSION_ATTRIBUTE, sizeof AFP_FILE_VERSION_ATTRIBUTE) == 0)
      return TRUE;
  return FALSE;
}

/**
 * afp_file_crc32:
 * @data: bytes
 * @size: their number
 *
 * Returns: the CRC-32 of zlib and PNG
 */
guint32
afp_file_crc32 (gconstpointer data, gsize size)
{
  return afp_file_crc32_add ((guint32) crc32_z (0, NULL, 0), data, size);
}

guint32
afp_file_crc32_add (guint32 crc32, gconstpointer data, gsize size)
{
  return size ? (guint32) crc32_z (crc32, data, size) : crc32;
}

static gboolean
parse_shape (const char *text, guint *rank, guint64 *shape)
{
  *rank = 0;
  if (g_str_equal (text, "scalar"))
    return TRUE;
  for (;;) {
    char *end;
    if (*rank == AFP_MAX_RANK || !g_ascii_isdigit (*text))
      return FALSE;
    shape[*rank] = g_ascii_strtoull (text, &end, 10);
    if (shape[*rank] > G_MAXINT64)
      return FALSE;
    *rank += 1;
    if (*end == '\0')
      return TRUE;
    if (*end != 'x')
      return FALSE;
    text = end + 1;
  }
}

/**
 * afp_file_make_spec:
 * @file: tables
 * @tensor: a row of /tensors
 * @error: return location
 *
 * Returns: (transfer full): name, dtype, shape and view of the tensor
 */
AfpSpec *
afp_file_make_spec (const AfpFile *file, guint tensor, GError **error)
{
  const AfpFileTensor *row = afp_file_tensor (file, tensor);
  guint64 shape[AFP_MAX_RANK], n_elements, n_bytes;
  AfpDType dtype;
  AfpView view;
  guint rank;

  if (!afp_dtype_parse (row->dtype, &dtype)) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT, "tensor '%s': unknown dtype '%s'", row->name,
                 row->dtype);
    return NULL;
  }
  if (!parse_shape (row->shape, &rank, shape) ||
      !afp_shape_count_dtype (dtype, rank, shape, &n_elements, &n_bytes)) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                 "tensor '%s': shape '%s' is damaged or too large for dtype %s", row->name,
                 row->shape, row->dtype);
    return NULL;
  }
  if (!afp_view_parse (row->view, rank, &view)) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                 "tensor '%s': view '%s' is none of an array %s", row->name, row->view, row->shape);
    return NULL;
  }
  return afp_spec_new (row->name, dtype, rank, shape, &view,
                       row->alias_of < 0 ? NULL : afp_file_tensor (file, row->alias_of)->name);
}

guint8
afp_file_raw_bits (AfpSpec *spec)
{
  const AfpDType dtype = afp_spec_get_dtype (spec);

  return (guint8) (8 * (afp_dtype_block (dtype) > 1 ? 1 : afp_dtype_size (dtype)));
}

/* --- check -------------------------------------------------------------------------------------------------------- */

/* What errors will quote; names, which may be more than ASCII, are looked at with their tensor. */
static gboolean
check_ascii (const char *text, const char *what, guint row, GError **error)
{
  if (g_str_is_ascii (text))
    return TRUE;
  g_autofree char *shown = g_strescape (text, NULL);
  g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT, "%s %u holds more than ASCII: \"%.60s\"", what,
               row, shown);
  return FALSE;
}

static gboolean
check_recipes (const AfpFile *file, guint *n_leaves, GError **error)
{
  for (guint i = 0; i < file->recipes->len; i++) {
    if (!check_ascii (file->recipes->pdata[i], "recipe", i, error))
      return FALSE;
    n_leaves[i] = afp_recipe_count_leaves (file->recipes->pdata[i]);
    if (n_leaves[i] == G_MAXUINT) {
      g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT, "recipe %u of %u is damaged: \"%.60s\"", i,
                   file->recipes->len, (const char *) file->recipes->pdata[i]);
      return FALSE;
    }
  }
  return TRUE;
}

static gboolean
check_tensor (const AfpFile *file, guint i, const guint *n_leaves, GHashTable *names,
              GError **error)
{
  AfpFileTensor *row = afp_file_tensor (file, i);
  const char *name = row->name;

  if (!*name || !g_utf8_validate (name, -1, NULL)) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT, "tensor %u has %s", i,
                 *name ? "a name that is not UTF-8" : "no name");
    return FALSE;
  }
  if (!check_ascii (row->dtype, "the dtype of tensor", i, error) ||
      !check_ascii (row->shape, "the shape of tensor", i, error) ||
      !check_ascii (row->view, "the view of tensor", i, error))
    return FALSE;
  if (!g_hash_table_add (names, row->name)) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT, "two tensors have the name '%s'", name);
    return FALSE;
  }
  if (row->alias_of < -1 || row->alias_of >= (gint64) file->tensors->len ||
      row->alias_of == (gint64) i) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT, "tensor '%s': alias of tensor %d, of %u", name,
                 row->alias_of, file->tensors->len);
    return FALSE;
  }
  if (row->recipe >= file->recipes->len) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT, "tensor '%s': recipe %u, of %u", name,
                 row->recipe, file->recipes->len);
    return FALSE;
  }
  if (row->first_plane > file->planes->len ||
      row->n_planes > file->planes->len - row->first_plane) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT, "tensor '%s': planes %u and %u more, of %u",
                 name, row->first_plane, row->n_planes, file->planes->len);
    return FALSE;
  }
  if (row->n_planes != n_leaves[row->recipe]) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                 "tensor '%s': %u planes, but its recipe \"%.60s\" has %u", name, row->n_planes,
                 (const char *) file->recipes->pdata[row->recipe], n_leaves[row->recipe]);
    return FALSE;
  }
  g_autoptr (AfpSpec) spec = afp_file_make_spec (file, i, error);
  return spec != NULL;
}

static int
by_place (gconstpointer a, gconstpointer b)
{
  const AfpFilePlane *p = *(AfpFilePlane *const *) a, *q = *(AfpFilePlane *const *) b;

  if (p->offset != q->offset)
    return p->offset < q->offset ? -1 : 1;
  return p->bytes < q->bytes ? -1 : p->bytes > q->bytes;
}

/* Planes lie inside the payload, aligned; two that share a byte are the same. */
static gboolean
check_planes (const AfpFile *file, GError **error)
{
  g_autoptr (GPtrArray) sorted = g_ptr_array_sized_new (file->planes->len);

  for (guint i = 0; i < file->planes->len; i++) {
    AfpFilePlane *plane = afp_file_plane (file, i);
    if (!check_ascii (plane->role, "the role of plane", i, error))
      return FALSE;
    if (plane->offset > file->payload_bytes || plane->bytes > file->payload_bytes - plane->offset) {
      g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                   "plane %u (%s) lies outside of the payload: %" G_GUINT64_FORMAT
                   " bytes at offset %" G_GUINT64_FORMAT ", of %" G_GUINT64_FORMAT,
                   i, plane->role, plane->bytes, plane->offset, file->payload_bytes);
      return FALSE;
    }
    if (plane->offset % afp_size_align (plane->bytes) != 0) {
      g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                   "plane %u (%s) starts at offset %" G_GUINT64_FORMAT
                   ", no multiple of %" G_GUINT64_FORMAT,
                   i, plane->role, plane->offset, afp_size_align (plane->bytes));
      return FALSE;
    }
    if (plane->bytes)
      g_ptr_array_add (sorted, plane);
  }
  g_ptr_array_sort (sorted, by_place);
  for (guint i = 1; i < sorted->len; i++) {
    const AfpFilePlane *p = sorted->pdata[i - 1], *q = sorted->pdata[i];
    if (p->offset == q->offset && p->bytes == q->bytes && p->crc32 == q->crc32)
      continue;
    if (q->offset < p->offset + p->bytes) {
      g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                   "planes %s (%" G_GUINT64_FORMAT " bytes at offset %" G_GUINT64_FORMAT
                   ") and %s (%" G_GUINT64_FORMAT " bytes at offset %" G_GUINT64_FORMAT ") overlap",
                   p->role, p->bytes, p->offset, q->role, q->bytes, q->offset);
      return FALSE;
    }
  }
  return TRUE;
}

static gboolean
check_tables (const AfpFile *file, guint64 file_bytes, GError **error)
{
  g_autoptr (GHashTable) names = g_hash_table_new (g_str_hash, g_str_equal);
  g_autofree guint *n_leaves = g_new (guint, file->recipes->len);

  if (file->payload_offset > file_bytes ||
      file->payload_bytes > file_bytes - file->payload_offset) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                 "the file is cut off: the payload needs %" G_GUINT64_FORMAT
                 " bytes at offset %" G_GUINT64_FORMAT ", the file has %" G_GUINT64_FORMAT,
                 file->payload_bytes, file->payload_offset, file_bytes);
    return FALSE;
  }
  if (file->payload_offset % AFP_FILE_PAYLOAD_ALIGN != 0) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                 "the payload starts at offset %" G_GUINT64_FORMAT
                 ", no multiple of %d; was the file repacked?",
                 file->payload_offset, AFP_FILE_PAYLOAD_ALIGN);
    return FALSE;
  }
  if (!check_recipes (file, n_leaves, error))
    return FALSE;
  for (guint i = 0; i < file->tensors->len; i++)
    if (!check_tensor (file, i, n_leaves, names, error))
      return FALSE;
  return check_planes (file, error) && afp_file_check_extras (file, file_bytes, error);
}

/**
 * afp_file_check:
 * @file: tables, as they were read
 * @path: for messages
 * @file_bytes: size of the file
 * @error: return location
 *
 * Returns: whether every reference, size and text is sound; else %AFP_ERROR_FORMAT
 */
gboolean
afp_file_check (const AfpFile *file, const char *path, guint64 file_bytes, GError **error)
{
  if (check_tables (file, file_bytes, error))
    return TRUE;
  g_prefix_error (error, "'%s' is damaged: ", path);
  return FALSE;
}
