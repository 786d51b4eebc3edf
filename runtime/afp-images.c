/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-images.h"

#include "gunzip.h"
#include "idx.h"

#include <string.h>

#define CIFAR_SIDE 32
#define CIFAR_CHANNELS 3
#define CIFAR_PLANE (CIFAR_SIDE * CIFAR_SIDE)
#define CIFAR_PIXELS (CIFAR_CHANNELS * CIFAR_PLANE)
#define CIFAR_RECORD (1 + CIFAR_PIXELS)
#define CIFAR_CLASSES 10
#define MAX_SIDE (1u << 16)
#define MAX_ELEMENTS (1u << 28) /* of an image */

/* The arrays of a file: with their numbers, or as @source gives them. */
typedef struct {
  char *what; /* the file, in errors: "the images 'a.npz'" */
  const char *path;
  GPtrArray *arrays;  /* of AfpTensor */
  AfpElement *source; /* (nullable) */
} File;

static void
file_close (File *file)
{
  g_ptr_array_unref (file->arrays);
  g_clear_object (&file->source);
  g_free (file->what);
  g_free (file);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (File, file_close)

/* --- CIFAR-10 ----------------------------------------------------------------------------------------------------- */

/* Nothing but records, each with the label of a class there is. */
static gboolean
is_cifar (GBytes *bytes)
{
  gsize n;
  const guint8 *data = g_bytes_get_data (bytes, &n);
  gboolean ok = n > 0 && n % CIFAR_RECORD == 0;

  for (gsize at = 0; ok && at < n; at += CIFAR_RECORD)
    ok = data[at] < CIFAR_CLASSES;
  return ok;
}

static void
add_array (File *file, const char *name, guint rank, const guint64 *shape, guint8 *data, gsize n)
{
  g_autoptr (AfpSpec) spec = afp_spec_new (name, AFP_DTYPE_U8, rank, shape, NULL, NULL);
  g_autoptr (GBytes) bytes = g_bytes_new_take (data, n);
  g_autoptr (AfpPlane) plane = afp_plane_new_raw (spec, bytes);

  g_ptr_array_add (file->arrays, afp_tensor_new (spec, plane));
}

/* A label, then the red plane, the green and the blue. */
static void
read_cifar (File *file, GBytes *bytes)
{
  const guint8 *record = g_bytes_get_data (bytes, NULL);
  const gsize n = g_bytes_get_size (bytes) / CIFAR_RECORD;
  const guint64 shape[] = { n, CIFAR_SIDE, CIFAR_SIDE, CIFAR_CHANNELS };
  guint8 *labels = g_malloc (n), *pixels = g_malloc (n * CIFAR_PIXELS), *out = pixels;

  for (gsize i = 0; i < n; i++, record += CIFAR_RECORD) {
    labels[i] = record[0];
    for (gsize p = 0; p < CIFAR_PLANE; p++)
      for (gsize c = 0; c < CIFAR_CHANNELS; c++)
        *out++ = record[1 + c * CIFAR_PLANE + p];
  }
  add_array (file, "images", 4, shape, pixels, n * CIFAR_PIXELS);
  add_array (file, "labels", 1, shape, labels, n);
}

/* --- a file and its arrays ---------------------------------------------------------------------------------------- */

/* Whatever `load` knows. */
static gboolean
open_source (File *file, GError **error)
{
  file->source = afp_registry_make (afp_registry_get_default (), "load", error);
  if (!file->source ||
      !afp_element_set_property_text (file->source, "location", file->path, error) ||
      !afp_source_open (AFP_SOURCE (file->source), error)) {
    g_prefix_error (
        error, "%s: neither IDX nor CIFAR-10's records of 3073 bytes, and as arrays: ", file->what);
    return FALSE;
  }
  const gsize n = afp_source_get_n_tensors (AFP_SOURCE (file->source));
  for (gsize i = 0; i < n; i++) {
    AfpTensor *tensor = afp_source_plan_tensor (AFP_SOURCE (file->source), i, error);
    if (!tensor)
      return FALSE;
    g_ptr_array_add (file->arrays, tensor);
  }
  return TRUE;
}

/* @kind: what to call the array of an IDX file. */
static gboolean
read_file (File *file, GBytes *bytes, gboolean packed, const char *kind, GError **error)
{
  GError *local = NULL;
  const gboolean is_idx = afp_idx_sniff (bytes);
  AfpTensor *tensor = is_idx ? afp_idx_read (bytes, file->what, kind, &local) : NULL;

  if (tensor) {
    g_ptr_array_add (file->arrays, tensor);
    return TRUE;
  }
  if (is_cifar (bytes)) {
    g_clear_error (&local);
    read_cifar (file, bytes);
    return TRUE;
  }
  if (!is_idx && !packed)
    return open_source (file, error);
  if (!local)
    g_set_error (&local, AFP_ERROR, AFP_ERROR_FORMAT,
                 "%s: what gzip packed there is neither IDX nor CIFAR-10's binary form",
                 file->what);
  g_propagate_error (error, local);
  return FALSE;
}

static File *
open_file (const char *kind, const char *path, GError **error)
{
  g_autoptr (File) file = g_new0 (File, 1);
  GError *local = NULL;

  file->what = g_strdup_printf ("the %s '%s'", kind, path);
  file->path = path;
  file->arrays = g_ptr_array_new_with_free_func ((GDestroyNotify) afp_tensor_unref);
  g_autoptr (GBytes) bytes = afp_mapped_new (path, &local);
  if (!bytes) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_IO, "cannot read %s: %s", file->what, local->message);
    g_error_free (local);
    return NULL;
  }
  const gboolean packed = afp_gunzip_sniff (bytes);
  if (packed) {
    g_autoptr (GBytes) unpacked = afp_gunzip (bytes, file->what, error);
    if (!unpacked)
      return NULL;
    g_bytes_unref (bytes);
    bytes = g_steal_pointer (&unpacked);
  }
  return read_file (file, bytes, packed, kind, error) ? g_steal_pointer (&file) : NULL;
}

/* Array @index with its numbers. */
static GBytes *
read_array (File *file, guint index, GError **error)
{
  g_autoptr (AfpTensor) tensor =
      file->source ? afp_source_read_tensor (AFP_SOURCE (file->source), index, error)
                   : afp_tensor_ref (file->arrays->pdata[index]);
  GBytes *bytes = tensor ? afp_plane_get_data (afp_tensor_get_root (tensor)) : NULL;

  if (tensor && !bytes)
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT, "%s: array '%s' is not raw", file->what,
                 afp_spec_get_name (afp_tensor_get_spec (tensor)));
  return bytes ? g_bytes_ref (bytes) : NULL;
}

/* --- which array -------------------------------------------------------------------------------------------------- */

/* In this order where several would do. */
static const char *const image_names[] = { "x_test", "X_test", "test_images", "test_x", "images",
                                           "X",      "x",      "data",        NULL };
static const char *const label_names[] = { "y_test", "Y_test", "test_labels", "test_y", "labels",
                                           "Y",      "y",      "targets",     NULL };

static gboolean
can_be_images (const AfpSpec *spec)
{
  const AfpDType dtype = afp_spec_get_dtype (spec);
  const guint rank = afp_spec_get_rank (spec);

  return (rank == 3 || rank == 4) && afp_spec_get_n_elements (spec) > 0 &&
         (dtype == AFP_DTYPE_U8 || (afp_dtype_is_real (dtype) && afp_dtype_block (dtype) == 1));
}

static gboolean
is_integer (AfpDType dtype)
{
  return dtype >= AFP_DTYPE_I64 && dtype <= AFP_DTYPE_U8;
}

/* A row or a column of integers. */
static gboolean
can_be_labels (const AfpSpec *spec)
{
  const guint rank = afp_spec_get_rank (spec);

  return is_integer (afp_spec_get_dtype (spec)) &&
         (rank == 1 || (rank == 2 && afp_spec_get_shape (spec)[1] == 1));
}

/* "'X' (1000x32x32x3, u8), ...", a few of them. */
static char *
list_arrays (const File *file)
{
  GString *text = g_string_new (NULL);
  const guint n = file->arrays->len;

  for (guint i = 0; i < n && i < 8; i++) {
    AfpSpec *spec = afp_tensor_get_spec (file->arrays->pdata[i]);
    g_autofree char *shape = afp_spec_shape_to_string (spec);
    g_string_append_printf (text, "%s'%s' (%s, %s)", i ? ", " : "", afp_spec_get_name (spec), shape,
                            afp_dtype_name (afp_spec_get_dtype (spec)));
  }
  if (n > 8)
    g_string_append_printf (text, " and %u more", n - 8);
  if (n == 0)
    g_string_append (text, "no array");
  return g_string_free (text, FALSE);
}

/* The one array that is fit, or the one whose name comes first; -1 with the error set. */
static int
choose (const File *file, gboolean (*is_fit) (const AfpSpec *spec), const char *const *names,
        const char *wanted, GError **error)
{
  guint n_fit = 0, rank, best = G_MAXUINT;
  int found = -1;

  for (guint i = 0; i < file->arrays->len; i++) {
    AfpSpec *spec = afp_tensor_get_spec (file->arrays->pdata[i]);
    if (!is_fit (spec))
      continue;
    for (rank = 0; names[rank] && strcmp (names[rank], afp_spec_get_name (spec)) != 0;)
      rank++;
    n_fit++;
    if (rank < best || found < 0) {
      best = rank;
      found = (int) i;
    }
  }
  if (n_fit == 1 || (n_fit > 1 && names[best]))
    return found;
  g_autofree char *list = list_arrays (file), *known = g_strjoinv (", ", (char **) names);
  g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
               "%s: %s of its arrays can be %s, and none is called %s; it has %s", file->what,
               n_fit ? "several" : "none", wanted, known, list);
  return -1;
}

/* --- images and labels -------------------------------------------------------------------------------------------- */

static gboolean
take_images (File *file, AfpImages *images, GError **error)
{
  const int index = choose (file, can_be_images, image_names,
                            "images (u8 or floats, n x height x width, perhaps x channels)", error);

  if (index < 0)
    return FALSE;
  AfpSpec *spec = afp_tensor_get_spec (file->arrays->pdata[index]);
  const guint64 *shape = afp_spec_get_shape (spec);
  const guint64 channels = afp_spec_get_rank (spec) == 4 ? shape[3] : 1;
  g_autofree char *text = afp_spec_shape_to_string (spec);
  if (shape[1] > MAX_SIDE || shape[2] > MAX_SIDE || channels > MAX_SIDE ||
      shape[1] * shape[2] * channels > MAX_ELEMENTS) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                 "%s: images of %s; an axis may have %u, an image %u numbers", file->what, text,
                 MAX_SIDE, MAX_ELEMENTS);
    return FALSE;
  }
  images->n = (gsize) shape[0];
  images->height = (guint) shape[1];
  images->width = (guint) shape[2];
  images->channels = (guint) channels;
  images->dtype = afp_spec_get_dtype (spec);
  images->pixels = read_array (file, (guint) index, error);
  images->about = g_strdup_printf ("array '%s' (%s, %s) of '%s'", afp_spec_get_name (spec), text,
                                   afp_dtype_name (images->dtype), file->path);
  return images->pixels != NULL;
}

/* An integer of any type; -1 for those that no label can be. */
static gint64
read_integer (AfpDType dtype, const guint8 *data, gsize index)
{
  const gsize size = afp_dtype_size (dtype);
  const gboolean is_signed = dtype <= AFP_DTYPE_I8;
  guint64 value = 0;

  for (gsize i = 0; i < size; i++)
    value |= (guint64) data[index * size + i] << 8 * i;
  if (is_signed && value >> (8 * size - 1) != 0)
    return -1;
  return value <= AFP_IMAGES_MAX_LABEL ? (gint64) value : -1;
}

static gboolean
take_labels (File *file, AfpImages *images, GError **error)
{
  const int index = choose (file, can_be_labels, label_names, "labels (a row of integers)", error);

  if (index < 0)
    return FALSE;
  AfpSpec *spec = afp_tensor_get_spec (file->arrays->pdata[index]);
  const AfpDType dtype = afp_spec_get_dtype (spec);
  const guint64 n = afp_spec_get_n_elements (spec);
  if (n != images->n) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                 "%s has %" G_GUINT64_FORMAT " labels for %" G_GSIZE_FORMAT " images (%s)",
                 file->what, n, images->n, images->about);
    return FALSE;
  }
  g_autoptr (GBytes) bytes = read_array (file, (guint) index, error);
  if (!bytes)
    return FALSE;
  images->labels = g_new (guint32, n);
  for (gsize i = 0; i < n; i++) {
    const gint64 label = read_integer (dtype, g_bytes_get_data (bytes, NULL), i);
    if (label < 0) {
      g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                   "%s: label %" G_GSIZE_FORMAT " is none: it must be 0 to %u", file->what, i,
                   AFP_IMAGES_MAX_LABEL);
      return FALSE;
    }
    images->labels[i] = (guint32) label;
  }
  g_autofree char *about = images->about;
  images->about = g_strdup_printf ("%s, labels: array '%s' (%s) of '%s'", about,
                                   afp_spec_get_name (spec), afp_dtype_name (dtype), file->path);
  return TRUE;
}

AfpImages *
afp_images_load (const char *images, const char *labels, GError **error)
{
  g_autoptr (AfpImages) self = g_new0 (AfpImages, 1);
  g_autoptr (File) file = open_file ("images", images, error);

  if (!file || !take_images (file, self, error))
    return NULL;
  if (labels) {
    g_autoptr (File) other = open_file ("labels", labels, error);
    return other && take_labels (other, self, error) ? g_steal_pointer (&self) : NULL;
  }
  if (take_labels (file, self, error))
    return g_steal_pointer (&self);
  g_prefix_error (error, "no file of labels was given, and ");
  return NULL;
}

void
afp_images_free (AfpImages *images)
{
  g_clear_pointer (&images->pixels, g_bytes_unref);
  g_free (images->labels);
  g_free (images->about);
  g_free (images);
}

void
afp_images_read (const AfpImages *images, gsize first, gsize n, float scale, float *out)
{
  const gsize size = (gsize) images->height * images->width * images->channels, count = n * size;
  const guint8 *data = g_bytes_get_data (images->pixels, NULL);

  if (images->dtype == AFP_DTYPE_U8)
    for (gsize i = 0; i < count; i++)
      out[i] = (float) data[first * size + i] * scale;
  else {
    afp_dtype_read (images->dtype, data, first * size, out, count);
    for (gsize i = 0; i < count; i++)
      out[i] *= scale;
  }
}
