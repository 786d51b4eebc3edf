/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "images-test.h"

#include "idx.h"

static AfpTensor *
read_bytes (const GByteArray *bytes, GError **error)
{
  g_autoptr (GBytes) file = g_bytes_new (bytes->data, bytes->len);

  return afp_idx_read (file, "the file 'x'", "a", error);
}

/* Type, dtype, and the bytes 0 to 7 as elements of it, little-endian. */
static const struct {
  guint code;
  AfpDType dtype;
  const guint8 bytes[8];
} types[] = {
  { 0x08, AFP_DTYPE_U8, { 0, 1, 2, 3, 4, 5, 6, 7 } },
  { 0x09, AFP_DTYPE_I8, { 0, 1, 2, 3, 4, 5, 6, 7 } },
  { 0x0b, AFP_DTYPE_I16, { 1, 0, 3, 2, 5, 4, 7, 6 } },
  { 0x0c, AFP_DTYPE_I32, { 3, 2, 1, 0, 7, 6, 5, 4 } },
  { 0x0d, AFP_DTYPE_F32, { 3, 2, 1, 0, 7, 6, 5, 4 } },
  { 0x0e, AFP_DTYPE_F64, { 7, 6, 5, 4, 3, 2, 1, 0 } },
};

START_TEST (every_type_is_read)
{
  const guint size = (guint) afp_dtype_size (types[_i].dtype);
  g_autoptr (GByteArray) bytes = make_idx (types[_i].code, AXES (8 / size), 8, 256);
  g_autoptr (AfpTensor) tensor = read_bytes (bytes, NULL);

  ck_assert_ptr_nonnull (tensor);
  ck_assert_int_eq (afp_spec_get_dtype (afp_tensor_get_spec (tensor)), types[_i].dtype);
  ck_assert_str_eq (afp_spec_get_name (afp_tensor_get_spec (tensor)), "a");
  GBytes *data = afp_plane_get_data (afp_tensor_get_root (tensor));
  ck_assert_mem_eq (g_bytes_get_data (data, NULL), types[_i].bytes, 8);
}
END_TEST

START_TEST (axes_are_the_shape)
{
  g_autoptr (GByteArray) bytes = make_idx (8, AXES (2, 3, 4), 24, 256);
  g_autoptr (AfpTensor) tensor = read_bytes (bytes, NULL);

  assert_text (afp_spec_shape_to_string (afp_tensor_get_spec (tensor)), "2x3x4");
}
END_TEST

/* A byte of the header, and what it becomes. */
static const struct {
  guint at;
  guint8 value;
} headers[] = { { 0, 1 }, { 1, 'K' }, { 2, 0 }, { 2, 0x0a }, { 2, 0x0f }, { 3, 0 }, { 3, 9 } };

START_TEST (other_magic_is_refused)
{
  g_autoptr (GByteArray) bytes = make_idx (8, AXES (6), 60, 256);
  GError *error = NULL;

  bytes->data[headers[_i].at] = headers[_i].value;
  g_autoptr (GBytes) file = g_bytes_new (bytes->data, bytes->len);
  ck_assert (!afp_idx_sniff (file));
  ck_assert_ptr_null (read_bytes (bytes, &error));
  assert_error (error, AFP_ERROR_FORMAT, "the file 'x'", "no header of IDX");
}
END_TEST

START_TEST (every_other_length_is_refused)
{
  g_autoptr (GByteArray) bytes = make_idx (8, AXES (2, 3), 7, 256);

  for (guint n = 0; n <= bytes->len; n++) {
    GError *error = NULL;
    if (n == bytes->len - 1)
      continue;
    g_autoptr (GBytes) file = g_bytes_new (bytes->data, n);
    ck_assert_ptr_null (afp_idx_read (file, "the file 'x'", "a", &error));
    assert_error (error, AFP_ERROR_FORMAT,
                  n < 12 ? "no header of IDX" : "its axes ask for 6 bytes, but");
  }
}
END_TEST

START_TEST (axes_beyond_counting_are_refused)
{
  g_autoptr (GByteArray) bytes = make_idx (8, AXES (0xffffffff, 0xffffffff, 0xffffffff), 6, 256);
  GError *error = NULL;

  ck_assert_ptr_null (read_bytes (bytes, &error));
  assert_error (error, AFP_ERROR_FORMAT, "the file 'x' is damaged", "63 bits");
}
END_TEST

static TCase *
good_case (void)
{
  TCase *tcase = tcase_create ("good");
  tcase_add_loop_test (tcase, every_type_is_read, 0, G_N_ELEMENTS (types));
  tcase_add_test (tcase, axes_are_the_shape);
  return tcase;
}

static TCase *
bad_case (void)
{
  TCase *tcase = tcase_create ("bad");
  tcase_add_loop_test (tcase, other_magic_is_refused, 0, G_N_ELEMENTS (headers));
  tcase_add_test (tcase, every_other_length_is_refused);
  tcase_add_test (tcase, axes_beyond_counting_are_refused);
  return tcase;
}

int
main (void)
{
  TCase *(*const cases[]) (void) = { good_case, bad_case };

  return run_suite ("idx", cases, G_N_ELEMENTS (cases));
}
