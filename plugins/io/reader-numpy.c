/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "io-input.h"
#include "npy-header.h"
#include "npy-order.h"
#include "reader.h"
#include "zip-archive.h"

#include <string.h>

/*
 * NumPy: .npy, one array, and .npz, a zip archive of them. Arrays that lie in the file as they would in memory are slices of the
 * mapped file; deflated, big-endian and Fortran-ordered ones are made when they are read. The matrix view is that of safetensors:
 * the first axis is the outputs.
 */

#define FINGERPRINT_BYTES 4096
#define SUFFIX ".npy"

typedef struct {
  AfpSpec *spec;
  AfpNpyHeader header;
  gint member; /* index, or -1: the file is the array */
  gboolean checked;
} Entry;

typedef struct {
  char *path;
  char *what; /* the archive, in errors */
  gboolean verify;
  GBytes *map;
  GArray *members; /* of AfpZipMember; (nullable): no archive */
  GArray *entries; /* of Entry */
  GPtrArray *notes;
} Reader;

static void
entry_clear (gpointer data)
{
  afp_spec_unref (((Entry *) data)->spec);
}

static void
reader_close (gpointer data)
{
  Reader *self = data;

  g_clear_pointer (&self->map, g_bytes_unref);
  g_clear_pointer (&self->members, g_array_unref);
  g_array_unref (self->entries);
  g_ptr_array_unref (self->notes);
  g_free (self->path);
  g_free (self->what);
  g_free (self);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Reader, reader_close)

static gboolean
is_archive (const guint8 *head, gsize n)
{
  return n >= 4 && (memcmp (head, "PK\3\4", 4) == 0 || memcmp (head, "PK\5\6", 4) == 0);
}

static gboolean
reader_sniff (const char *path, const guint8 *head, gsize n, guint64 file_size)
{
  return is_archive (head, n) ||
         (n >= AFP_NPY_MAGIC_BYTES && memcmp (head, AFP_NPY_MAGIC, AFP_NPY_MAGIC_BYTES) == 0);
}

/* --- headers ----------------------------------------------------------------------------------------------------- */

/* @name of the tensor, @member or -1; @head: the array's first bytes of @size. */
static gboolean
add_array (Reader *self, const char *name, gint member, GBytes *head, guint64 size, GError **error)
{
  Entry entry = { NULL, { 0 }, member, FALSE };
  gsize n;
  const guint8 *data = g_bytes_get_data (head, &n);

  if (!afp_input_check_name (name, self->path, error))
    return FALSE;
  g_autofree char *what = g_strdup_printf ("array '%s' in '%s'", name, self->path);
  if (!afp_npy_parse (data, n, size, what, &entry.header, error))
    return FALSE;
  entry.spec =
      afp_spec_new (name, entry.header.dtype, entry.header.rank, entry.header.shape, NULL, NULL);
  g_array_append_val (self->entries, entry);
  return TRUE;
}

/* The file's name without its folder and extension. */
static char *
get_stem (const char *path)
{
  char *base = g_path_get_basename (path);
  char *dot = strrchr (base, '.');

  if (dot != NULL && dot != base)
    *dot = '\0';
  return base;
}

static gboolean
open_array (Reader *self, GError **error)
{
  g_autofree char *stem = get_stem (self->path);
  g_autofree char *name = g_utf8_make_valid (stem, -1);

  return add_array (self, name, -1, self->map, g_bytes_get_size (self->map), error);
}

static gboolean
add_member (Reader *self, guint index, GError **error)
{
  const AfpZipMember *member = &g_array_index (self->members, AfpZipMember, index);
  g_autofree char *name = g_strndup (member->name, strlen (member->name) - strlen (SUFFIX));

  if (!afp_input_check_name (name, self->path, error))
    return FALSE;
  if (member->encrypted ||
      (member->method != AFP_ZIP_STORED && member->method != AFP_ZIP_DEFLATED)) {
    g_autofree char *why = member->encrypted
                               ? g_strdup ("encrypted")
                               : g_strdup_printf ("packed by method %u of zip", member->method);
    g_set_error (
        error, AFP_ERROR, AFP_ERROR_FORMAT,
        "array '%s' in '%s' is %s; only stored and deflated members are read: save it with "
        "numpy.savez or numpy.savez_compressed",
        name, self->path, why);
    return FALSE;
  }
  g_autoptr (GBytes) head = afp_zip_peek (self->what, self->map, member, AFP_NPY_MAX_HEADER, error);
  return head != NULL && add_array (self, name, (gint) index, head, member->bytes, error);
}

static gboolean
open_archive (Reader *self, GError **error)
{
  self->members = afp_zip_list (self->what, self->map, error);
  if (self->members == NULL)
    return FALSE;
  for (guint i = 0; i < self->members->len; i++) {
    const AfpZipMember *member = &g_array_index (self->members, AfpZipMember, i);
    if (g_str_has_suffix (member->name, SUFFIX)) {
      if (!add_member (self, i, error))
        return FALSE;
      continue;
    }
    g_autofree char *shown = g_utf8_make_valid (member->name, -1);
    g_ptr_array_add (self->notes, g_strdup_printf ("left out: '%s', which is no array (" SUFFIX
                                                   "; %" G_GUINT64_FORMAT " bytes)",
                                                   shown, member->bytes));
  }
  if (self->entries->len > 0 || self->members->len == 0)
    return TRUE;
  g_set_error (
      error, AFP_ERROR, AFP_ERROR_FORMAT,
      "'%s' is a zip archive without NumPy arrays (.keras, .pt?): save the model as .h5 or "
      "safetensors",
      self->path);
  return FALSE;
}

static gpointer
reader_open (const AfpReaderOptions *options, GError **error)
{
  g_autoptr (Reader) self = g_new0 (Reader, 1);
  self->path = g_strdup (options->location);
  self->what = g_strdup_printf ("the zip archive '%s'", self->path);
  self->verify = options->verify;
  self->entries = g_array_new (FALSE, FALSE, sizeof (Entry));
  g_array_set_clear_func (self->entries, entry_clear);
  self->notes = g_ptr_array_new_with_free_func (g_free);
  self->map = afp_input_map (self->path, error);
  if (self->map == NULL)
    return NULL;
  gsize n;
  const guint8 *head = g_bytes_get_data (self->map, &n);
  const gboolean ok = is_archive (head, n) ? open_archive (self, error) : open_array (self, error);
  return ok ? g_steal_pointer (&self) : NULL;
}

/* --- arrays ------------------------------------------------------------------------------------------------------ */

static gsize
reader_get_n_tensors (gpointer data)
{
  return ((Reader *) data)->entries->len;
}

static AfpTensor *
make_tensor (AfpSpec *spec, GBytes *bytes)
{
  g_autoptr (AfpPlane) plane = afp_plane_new_raw (spec, bytes);

  return afp_tensor_new (spec, plane);
}

static AfpTensor *
reader_plan_tensor (gpointer data, gsize index, GError **error)
{
  return make_tensor (g_array_index (((Reader *) data)->entries, Entry, index).spec, NULL);
}

/* Header and numbers. A stored member's checksum is compared the first time, or each time with verify=true. */
static GBytes *
read_whole (Reader *self, Entry *entry, GError **error)
{
  if (entry->member < 0)
    return g_bytes_ref (self->map);
  const AfpZipMember *member = &g_array_index (self->members, AfpZipMember, (guint) entry->member);
  GBytes *whole =
      afp_zip_read (self->what, self->map, member, self->verify || !entry->checked, error);
  entry->checked = entry->checked || whole != NULL;
  return whole;
}

/* The array as it is kept in memory: little-endian, the last axis innermost. */
static GBytes *
put_in_order (GBytes *bytes, const AfpNpyHeader *header, const char *name, GError **error)
{
  const gsize size = afp_dtype_size (header->dtype), n = (gsize) header->n_bytes;
  const guint8 *data = g_bytes_get_data (bytes, NULL);

  if ((!header->fortran && !header->swapped) || n == 0)
    return g_bytes_ref (bytes);
  guint8 *out = g_try_malloc (n);
  if (out == NULL) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_MEMORY,
                 "no memory for the %" G_GSIZE_FORMAT " bytes of array '%s'", n, name);
    return NULL;
  }
  if (header->fortran)
    afp_npy_reorder (data, out, header->rank, header->shape, size);
  else
    memcpy (out, data, n);
  if (header->swapped) {
    /* The two parts of a complex number are swapped each by itself. */
    const gsize part = header->dtype == AFP_DTYPE_C64 ? size / 2 : size;
    afp_npy_swap (out, n / part, part);
  }
  return g_bytes_new_take (out, n);
}

/* Unpacked, and put in order. */
static guint64
reader_tensor_memory (gpointer data, gsize index)
{
  Reader *self = data;
  const Entry *entry = &g_array_index (self->entries, Entry, index);
  const AfpZipMember *member =
      entry->member < 0 ? NULL
                        : &g_array_index (self->members, AfpZipMember, (guint) entry->member);

  return (member && member->method != AFP_ZIP_STORED ? member->bytes : 0) +
         (entry->header.fortran || entry->header.swapped ? entry->header.n_bytes : 0);
}

static AfpTensor *
reader_read_tensor (gpointer data, gsize index, GError **error)
{
  Reader *self = data;
  Entry *entry = &g_array_index (self->entries, Entry, index);
  g_autoptr (GBytes) whole = read_whole (self, entry, error);

  if (whole == NULL)
    return NULL;
  g_autoptr (GBytes) bytes = g_bytes_new_from_bytes (whole, (gsize) entry->header.header_bytes,
                                                     (gsize) entry->header.n_bytes);
  g_autoptr (GBytes) ordered =
      put_in_order (bytes, &entry->header, afp_spec_get_name (entry->spec), error);
  return ordered != NULL ? make_tensor (entry->spec, ordered) : NULL;
}

/* --- facts ------------------------------------------------------------------------------------------------------- */

static JsonNode *
reader_get_info (gpointer data)
{
  Reader *self = data;
  JsonObject *info = json_object_new ();

  json_object_set_string_member (info, "format", "numpy");
  json_object_set_string_member (info, "layout", self->members != NULL ? "npz" : "npy");
  afp_input_set_notes (info, self->notes);
  JsonNode *node = json_node_new (JSON_NODE_OBJECT);
  json_node_take_object (node, info);
  return node;
}

/* Of an archive, the directory's checksums stand for the contents. */
static char *
reader_get_fingerprint (gpointer data)
{
  Reader *self = data;
  g_autoptr (GChecksum) checksum = afp_input_fingerprint_new ("numpy");
  const gsize size = g_bytes_get_size (self->map);

  afp_input_fingerprint_add_file (checksum, self->map);
  if (self->members == NULL)
    g_checksum_update (checksum, g_bytes_get_data (self->map, NULL),
                       (gssize) MIN (size, FINGERPRINT_BYTES));
  for (guint i = 0; self->members != NULL && i < self->members->len; i++) {
    const AfpZipMember *member = &g_array_index (self->members, AfpZipMember, i);
    g_checksum_update (checksum, (const guchar *) member->name, (gssize) strlen (member->name) + 1);
    afp_input_fingerprint_add_size (checksum, member->bytes);
    afp_input_fingerprint_add_size (checksum, member->crc32);
  }
  return g_strdup (g_checksum_get_string (checksum));
}

const AfpReader afp_reader_numpy = {
  .name = "numpy",
  .blurb = "NumPy .npy and .npz",
  .sniff = reader_sniff,
  .open = reader_open,
  .close = reader_close,
  .get_n_tensors = reader_get_n_tensors,
  .plan_tensor = reader_plan_tensor,
  .read_tensor = reader_read_tensor,
  .tensor_memory = reader_tensor_memory,
  .get_info = reader_get_info,
  .get_fingerprint = reader_get_fingerprint,
};
