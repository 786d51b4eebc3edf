/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "h5-dataset.h"

#include <string.h>

#define MAX_STRINGS (1u << 20)   /* of an attribute */
#define MAX_ATTRIBUTE (1u << 28) /* bytes of an attribute */
#define MAX_INFLATION 1100       /* deflate gives at most 1032 bytes for one */
#define ALWAYS_FINE (G_GUINT64_CONSTANT (64) << 20)

static void
set_h5_error (GError **error, AfpError code, const char *format, ...) G_GNUC_PRINTF (3, 4);

/* "WHAT: HDF5's reason" */
static void
set_h5_error (GError **error, AfpError code, const char *format, ...)
{
  g_autofree char *why = afp_h5_last_error ();
  va_list args;

  va_start (args, format);
  g_autofree char *what = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (error, AFP_ERROR, code, "%s: %s", what, why);
}

hid_t
afp_h5_open_file (const char *path, gboolean writable, GError **error)
{
  g_auto (AfpHid) access = H5Pcreate (H5P_FILE_ACCESS);

  H5Pset_fclose_degree (access, H5F_CLOSE_STRONG);
  const hid_t file = H5Fopen (path, writable ? H5F_ACC_RDWR : H5F_ACC_RDONLY, access);
  if (file < 0)
    set_h5_error (error, AFP_ERROR_FORMAT, "cannot open '%s' as HDF5", path);
  return file;
}

static gboolean
is_hard_link (hid_t parent, const char *path)
{
  H5L_info_t info;

  return H5Lexists (parent, path, H5P_DEFAULT) > 0 &&
         H5Lget_info (parent, path, &info, H5P_DEFAULT) >= 0 && info.type == H5L_TYPE_HARD;
}

gboolean
afp_h5_has_group (hid_t parent, const char *name)
{
  H5O_info_t info;

  return is_hard_link (parent, name) &&
         H5Oget_info_by_name (parent, name, &info, H5P_DEFAULT) >= 0 && info.type == H5O_TYPE_GROUP;
}

hid_t
afp_h5_open_dataset (hid_t file, const char *path, GError **error)
{
  g_autofree char *part = g_strdup (path);
  H5O_info_t info;

  for (char *slash = strchr (part + 1, '/');; slash = strchr (slash + 1, '/')) {
    if (slash != NULL)
      *slash = '\0';
    if (!is_hard_link (file, part)) {
      g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                   H5Lexists (file, part, H5P_DEFAULT) > 0
                       ? "dataset '%s': '%s' is a link to elsewhere, which is not followed"
                       : "dataset '%s': there is no '%s'",
                   path, part);
      return H5I_INVALID_HID;
    }
    if (slash == NULL)
      break;
    *slash = '/';
  }
  if (H5Oget_info_by_name (file, path, &info, H5P_DEFAULT) < 0) {
    set_h5_error (error, AFP_ERROR_FORMAT, "dataset '%s'", path);
    return H5I_INVALID_HID;
  }
  if (info.type != H5O_TYPE_DATASET) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT, "'%s' is no dataset", path);
    return H5I_INVALID_HID;
  }
  const hid_t dataset = H5Dopen2 (file, path, H5P_DEFAULT);
  if (dataset < 0)
    set_h5_error (error, AFP_ERROR_FORMAT, "dataset '%s'", path);
  return dataset;
}

/* --- types ------------------------------------------------------------------------------------------------------- */

static gboolean
float_dtype (hid_t type, gsize size, AfpDType *dtype)
{
  static const struct {
    AfpDType dtype;
    gsize size, exponent_at, exponent_bits, mantissa_bits, bias;
  } known[] = {
    { AFP_DTYPE_F32, 4, 23, 8, 23, 127 }, { AFP_DTYPE_F64, 8, 52, 11, 52, 1023 },
    { AFP_DTYPE_F16, 2, 10, 5, 10, 15 },  { AFP_DTYPE_BF16, 2, 7, 8, 7, 127 },
    { AFP_DTYPE_F8_E4M3, 1, 3, 4, 3, 7 }, { AFP_DTYPE_F8_E5M2, 1, 2, 5, 2, 15 },
  };
  size_t sign_at, exponent_at, exponent_bits, mantissa_at, mantissa_bits;

  if (H5Tget_fields (type, &sign_at, &exponent_at, &exponent_bits, &mantissa_at, &mantissa_bits) <
          0 ||
      sign_at != 8 * size - 1 || mantissa_at != 0 || H5Tget_norm (type) != H5T_NORM_IMPLIED)
    return FALSE;
  for (guint i = 0; i < G_N_ELEMENTS (known); i++)
    if (known[i].size == size && known[i].exponent_at == exponent_at &&
        known[i].exponent_bits == exponent_bits && known[i].mantissa_bits == mantissa_bits &&
        known[i].bias == H5Tget_ebias (type)) {
      *dtype = known[i].dtype;
      return TRUE;
    }
  return FALSE;
}

/* h5py's bool: an enumeration FALSE = 0, TRUE = 1 of one byte. */
static gboolean
is_bool (hid_t type)
{
  gint8 yes = 0, no = 1;

  return H5Tget_size (type) == 1 && H5Tget_nmembers (type) == 2 &&
         H5Tenum_valueof (type, "FALSE", &no) >= 0 && H5Tenum_valueof (type, "TRUE", &yes) >= 0 &&
         no == 0 && yes == 1;
}

static gboolean
type_to_dtype (hid_t type, AfpDType *dtype)
{
  static const AfpDType with_sign[] = { AFP_DTYPE_I8, AFP_DTYPE_I16, AFP_DTYPE_I32, AFP_DTYPE_I64 };
  static const AfpDType without[] = { AFP_DTYPE_U8, AFP_DTYPE_U16, AFP_DTYPE_U32, AFP_DTYPE_U64 };
  const H5T_class_t class = H5Tget_class (type);
  const gsize size = H5Tget_size (type);

  if (class == H5T_ENUM) {
    *dtype = AFP_DTYPE_BOOL;
    return is_bool (type);
  }
  if (class != H5T_INTEGER && class != H5T_FLOAT)
    return FALSE;
  const H5T_order_t order = H5Tget_order (type);
  if ((order != H5T_ORDER_LE && order != H5T_ORDER_BE) || H5Tget_precision (type) != 8 * size ||
      H5Tget_offset (type) != 0)
    return FALSE;
  if (class == H5T_FLOAT)
    return float_dtype (type, size, dtype);
  const guint log = size == 1 ? 0 : size == 2 ? 1 : size == 4 ? 2 : size == 8 ? 3 : 4;
  if (log > 3)
    return FALSE;
  *dtype = H5Tget_sign (type) == H5T_SGN_NONE ? without[log] : with_sign[log];
  return TRUE;
}

static hid_t
little_endian (hid_t type)
{
  const hid_t copy = H5Tcopy (type);

  if (copy >= 0 && H5Tget_class (copy) != H5T_ENUM)
    H5Tset_order (copy, H5T_ORDER_LE);
  return copy;
}

/* The file's type with little-endian order: what arrays are read and written as. */
static hid_t
memory_type (hid_t dataset)
{
  g_auto (AfpHid) type = H5Dget_type (dataset);

  return little_endian (type);
}

/* --- datasets ---------------------------------------------------------------------------------------------------- */

static char *
describe_shape (hid_t dataset, AfpH5Dataset *info)
{
  g_auto (AfpHid) space = H5Dget_space (dataset);
  const H5S_class_t class = H5Sget_simple_extent_type (space);
  hsize_t dims[H5S_MAX_RANK];

  if (class != H5S_SCALAR && class != H5S_SIMPLE)
    return g_strdup ("has no shape (a null dataspace)");
  const int rank = H5Sget_simple_extent_dims (space, dims, NULL);
  if (rank < 0 || rank > AFP_MAX_RANK)
    return g_strdup_printf ("has rank %d; the limit is %d", rank, AFP_MAX_RANK);
  info->rank = (guint) rank;
  for (int i = 0; i < rank; i++)
    info->shape[i] = dims[i];
  return NULL;
}

/* Where the array lies in the file, if it lies there as it would in memory. */
static char *
describe_storage (hid_t dataset, gboolean same_type, guint64 file_bytes, AfpH5Dataset *info)
{
  g_auto (AfpHid) plist = H5Dget_create_plist (dataset);
  const H5D_layout_t layout = H5Pget_layout (plist);

  info->stored = H5Dget_storage_size (dataset);
  info->offset = AFP_H5_NOT_MAPPABLE;
  if (layout == H5D_VIRTUAL || H5Pget_external_count (plist) > 0)
    return g_strdup ("has its data in other files, which are not opened");
  if (layout != H5D_CONTIGUOUS && layout != H5D_COMPACT && layout != H5D_CHUNKED)
    return g_strdup ("has an unknown layout");
  if (info->stored > file_bytes)
    return g_strdup_printf ("claims %" G_GUINT64_FORMAT " bytes in a file of %" G_GUINT64_FORMAT
                            "; the file is cut off or damaged",
                            info->stored, file_bytes);
  const haddr_t at = layout == H5D_CONTIGUOUS ? H5Dget_offset (dataset) : HADDR_UNDEF;
  if (at != HADDR_UNDEF) {
    if (at > file_bytes || info->n_bytes > file_bytes - at)
      return g_strdup_printf ("lies at byte %" G_GUINT64_FORMAT " and takes %" G_GUINT64_FORMAT
                              " bytes, but the file ends at %" G_GUINT64_FORMAT,
                              (guint64) at, info->n_bytes, file_bytes);
    if (same_type && info->stored == info->n_bytes)
      info->offset = at;
    return NULL;
  }
  if (info->n_bytes > ALWAYS_FINE && info->n_bytes / MAX_INFLATION > info->stored)
    return g_strdup_printf ("claims %" G_GUINT64_FORMAT " bytes, but stores %" G_GUINT64_FORMAT
                            " only; the file is damaged or most of the array was never written",
                            info->n_bytes, info->stored);
  return NULL;
}

char *
afp_h5_describe (hid_t dataset, guint64 file_bytes, AfpH5Dataset *info)
{
  g_auto (AfpHid) type = H5Dget_type (dataset);
  guint64 n_elements;

  memset (info, 0, sizeof *info);
  if (!type_to_dtype (type, &info->dtype))
    return g_strdup ("is of a type that is no number of 8 to 64 bits");
  char *why = describe_shape (dataset, info);
  if (why != NULL)
    return why;
  if (!afp_shape_count (info->rank, info->shape, afp_dtype_size (info->dtype), &n_elements,
                        &info->n_bytes))
    return g_strdup ("has a shape whose bytes do not fit into 63 bits");
  g_auto (AfpHid) memory = little_endian (type);
  return describe_storage (dataset, H5Tequal (type, memory) > 0, file_bytes, info);
}

GBytes *
afp_h5_read (hid_t dataset, const AfpH5Dataset *info, GError **error)
{
  g_autofree void *data = g_try_malloc (MAX (info->n_bytes, 1));
  g_auto (AfpHid) memory = memory_type (dataset);

  if (data == NULL) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_MEMORY,
                 "no memory for an array of %" G_GUINT64_FORMAT " bytes", info->n_bytes);
    return NULL;
  }
  if (info->n_bytes > 0 && H5Dread (dataset, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0) {
    set_h5_error (error, AFP_ERROR_FORMAT, "reading the data");
    return NULL;
  }
  return g_bytes_new_take (g_steal_pointer (&data), info->n_bytes);
}

gboolean
afp_h5_write (hid_t dataset, GBytes *bytes, GError **error)
{
  g_auto (AfpHid) memory = memory_type (dataset);
  gsize n;
  gconstpointer data = g_bytes_get_data (bytes, &n);

  if (n > 0 && H5Dwrite (dataset, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0) {
    set_h5_error (error, AFP_ERROR_IO, "writing the data");
    return FALSE;
  }
  return TRUE;
}

/* --- attributes -------------------------------------------------------------------------------------------------- */

/* Strings of a fixed length, padded with zeros or blanks. */
static gboolean
read_fixed (hid_t attribute, hid_t type, gsize n, GPtrArray *strings)
{
  const gsize size = H5Tget_size (type);
  g_autofree char *data = NULL;

  if (size == 0 || n > MAX_ATTRIBUTE / size)
    return FALSE;
  data = g_malloc0 (n * size);
  if (H5Aread (attribute, type, data) < 0)
    return FALSE;
  for (gsize i = 0; i < n; i++) {
    char *text = g_strndup (data + i * size, size);
    g_ptr_array_add (strings, H5Tget_strpad (type) == H5T_STR_SPACEPAD ? g_strchomp (text) : text);
  }
  return TRUE;
}

static gboolean
read_variable (hid_t attribute, hid_t type, hid_t space, gsize n, GPtrArray *strings)
{
  g_autofree char **data = g_new0 (char *, n);

  if (H5Aread (attribute, type, data) < 0)
    return FALSE;
  for (gsize i = 0; i < n; i++)
    g_ptr_array_add (strings, g_strdup (data[i] ? data[i] : ""));
  H5Dvlen_reclaim (type, space, H5P_DEFAULT, data);
  return TRUE;
}

/* Appends the strings of one attribute. */
static gboolean
read_attribute (hid_t object, const char *name, GPtrArray *strings, GError **error)
{
  g_auto (AfpHid) attribute = H5Aopen (object, name, H5P_DEFAULT);
  g_auto (AfpHid) type = attribute >= 0 ? H5Aget_type (attribute) : H5I_INVALID_HID;
  g_auto (AfpHid) space = attribute >= 0 ? H5Aget_space (attribute) : H5I_INVALID_HID;

  if (type < 0 || space < 0) {
    set_h5_error (error, AFP_ERROR_FORMAT, "attribute '%s'", name);
    return FALSE;
  }
  const hssize_t n = H5Sget_simple_extent_npoints (space);
  if (n == 0) /* h5py stores an empty list as an array of no floats */
    return TRUE;
  if (n < 0 || n > MAX_STRINGS || H5Tget_class (type) != H5T_STRING) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                 "attribute '%s' is no list of at most %u strings", name, MAX_STRINGS);
    return FALSE;
  }
  const gboolean ok = H5Tis_variable_str (type) > 0
                          ? read_variable (attribute, type, space, (gsize) n, strings)
                          : read_fixed (attribute, type, (gsize) n, strings);
  if (!ok)
    set_h5_error (error, AFP_ERROR_FORMAT, "attribute '%s'", name);
  return ok;
}

GStrv
afp_h5_read_strings (hid_t object, const char *name, GError **error)
{
  g_autoptr (GPtrArray) strings = g_ptr_array_new_with_free_func (g_free);
  gboolean found = FALSE;

  if (H5Aexists (object, name) > 0) {
    found = TRUE;
    if (!read_attribute (object, name, strings, error))
      return NULL;
  } else
    for (guint i = 0; i < MAX_STRINGS; i++) {
      g_autofree char *part = g_strdup_printf ("%s%u", name, i);
      if (H5Aexists (object, part) <= 0)
        break;
      found = TRUE;
      if (!read_attribute (object, part, strings, error))
        return NULL;
    }
  if (!found)
    return NULL;
  g_ptr_array_add (strings, NULL);
  g_ptr_array_set_free_func (strings, NULL);
  return (GStrv) g_ptr_array_free (g_steal_pointer (&strings), FALSE);
}

char *
afp_h5_read_string (hid_t object, const char *name, GError **error)
{
  g_autoptr (GPtrArray) strings = g_ptr_array_new_with_free_func (g_free);

  if (H5Aexists (object, name) <= 0 || !read_attribute (object, name, strings, error) ||
      strings->len == 0)
    return NULL;
  return g_strdup (strings->pdata[0]);
}
