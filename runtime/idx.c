/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "idx.h"

#define MAX_RANK 8
#define HEAD_BYTES 4

static const struct {
  guint8 code;
  AfpDType dtype;
} types[] = {
  { 0x08, AFP_DTYPE_U8 },  { 0x09, AFP_DTYPE_I8 },  { 0x0b, AFP_DTYPE_I16 },
  { 0x0c, AFP_DTYPE_I32 }, { 0x0d, AFP_DTYPE_F32 }, { 0x0e, AFP_DTYPE_F64 },
};

static gboolean
find_type (guint8 code, AfpDType *dtype)
{
  for (guint i = 0; i < G_N_ELEMENTS (types); i++)
    if (types[i].code == code) {
      *dtype = types[i].dtype;
      return TRUE;
    }
  return FALSE;
}

gboolean
afp_idx_sniff (GBytes *file)
{
  AfpDType dtype;
  gsize n;
  const guint8 *data = g_bytes_get_data (file, &n);

  return n >= HEAD_BYTES && data[0] == 0 && data[1] == 0 && data[3] >= 1 && data[3] <= MAX_RANK &&
         find_type (data[2], &dtype);
}

/* A spec whose numbers fill the file behind its header, or NULL with the error set. */
static AfpSpec *
read_header (GBytes *file, const char *what, const char *name, GError **error)
{
  guint64 shape[MAX_RANK], n_elements, n_bytes = 0;
  AfpDType dtype = AFP_DTYPE_U8;
  gsize n;
  const guint8 *data = g_bytes_get_data (file, &n);
  const guint rank = afp_idx_sniff (file) && find_type (data[2], &dtype) ? data[3] : 0;
  const gsize head = HEAD_BYTES + 4 * (gsize) rank;

  if (rank == 0 || n < head) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                 "%s: this is no header of IDX (0, 0, type 8 to 14, 1 to %d axes, their lengths)",
                 what, MAX_RANK);
    return NULL;
  }
  for (guint i = 0; i < rank; i++) {
    const guint8 *at = data + HEAD_BYTES + 4 * i;
    shape[i] = (guint64) at[0] << 24 | (guint64) at[1] << 16 | (guint64) at[2] << 8 | at[3];
  }
  if (!afp_shape_count (rank, shape, afp_dtype_size (dtype), &n_elements, &n_bytes)) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                 "%s is damaged: its axes make more bytes than 63 bits can count", what);
    return NULL;
  }
  if (n_bytes != n - head) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                 "%s: its axes ask for %" G_GUINT64_FORMAT " bytes, but %" G_GSIZE_FORMAT
                 " follow the header; it is damaged or cut off",
                 what, n_bytes, n - head);
    return NULL;
  }
  return afp_spec_new (name, dtype, rank, shape, NULL, NULL);
}

AfpTensor *
afp_idx_read (GBytes *file, const char *what, const char *name, GError **error)
{
  g_autoptr (AfpSpec) spec = read_header (file, what, name, error);

  if (!spec)
    return NULL;
  const gsize size = afp_dtype_size (afp_spec_get_dtype (spec)),
              n = (gsize) afp_spec_get_n_bytes (spec), head = g_bytes_get_size (file) - n;
  g_autoptr (GBytes) bytes = g_bytes_new_from_bytes (file, head, n);
  if (size > 1 && n > 0) {
    const guint8 *data = g_bytes_get_data (bytes, NULL);
    guint8 *turned = g_malloc (n);
    for (gsize i = 0; i < n; i++)
      turned[i] = data[i - i % size + size - 1 - i % size];
    g_bytes_unref (bytes);
    bytes = g_bytes_new_take (turned, n);
  }
  g_autoptr (AfpPlane) plane = afp_plane_new_raw (spec, bytes);
  return afp_tensor_new (spec, plane);
}
