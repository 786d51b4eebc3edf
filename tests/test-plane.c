/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-test.h"

static AfpPlane *
code_plane (const char *name, guint64 rows, guint64 cols, guint bits, GBytes *data)
{
  const AfpPlaneDesc desc = {
    .name = name, .kind = AFP_KIND_CODE, .rows = rows, .cols = cols, .bits = bits
  };
  return afp_plane_new_code (&desc, data);
}

/* weight { codes, scale (float) { } } */
static AfpPlane *
small_tree (void)
{
  static const float numbers[] = { 1, 2, 3, 4, 5, 6 };
  const AfpPlaneDesc desc = { .name = "weight", .kind = AFP_KIND_WEIGHT, .rows = 2, .cols = 3 };
  const AfpPlaneDesc scale = {
    .name = "scale", .kind = AFP_KIND_SCALE, .rows = 2, .cols = 3, .fallback = "f16"
  };
  g_autoptr (GBytes) packed = g_bytes_new_static ("\x21\x43\x65", 3);
  g_autoptr (GBytes) f32 = g_bytes_new_static (numbers, sizeof numbers);
  g_autoptr (AfpPlane) codes = code_plane ("codes", 2, 3, 4, packed);
  g_autoptr (AfpPlane) floats = afp_plane_new_float (&scale, f32, NULL);
  return afp_plane_new_coded (&desc, "nothing", 7, "a=1", 2, (AfpPlane *[]){ codes, floats });
}

START_TEST (kinds)
{
  static const char *const names[AFP_N_KINDS] = { "weight", "residual", "coeffs", "codebook",
                                                  "scale",  "frame",    "code",   "raw" };
  for (guint i = 0; i < AFP_N_KINDS; i++) {
    const AfpPlaneDesc desc = { .kind = (AfpPlaneKind) i };
    ck_assert_str_eq (afp_plane_kind_name ((AfpPlaneKind) i), names[i]);
    ck_assert_int_eq (afp_plane_desc_is_float (&desc), i < AFP_KIND_CODE);
    ck_assert_int_eq ((AFP_KINDS_ALL_FLOAT & AFP_KINDS (i)) != 0, i < AFP_KIND_CODE);
  }
}
END_TEST

START_TEST (code_bytes)
{
  AfpPlaneDesc desc = { .rows = 3, .cols = 5, .bits = 3 };
  ck_assert_uint_eq (afp_plane_desc_bytes (&desc), 6);
  desc.bits = 32;
  ck_assert_uint_eq (afp_plane_desc_bytes (&desc), 60);
  desc.rows = (guint64) 1 << 30;
  desc.cols = (guint64) 1 << 18;
  ck_assert_uint_eq (afp_plane_desc_bytes (&desc), (guint64) 1 << 50);
  desc.cols = 0;
  ck_assert_uint_eq (afp_plane_desc_bytes (&desc), 0);
}
END_TEST

START_TEST (raw_kinds)
{
  static const struct {
    AfpDType dtype;
    const char *shape;
    AfpPlaneKind kind;
  } cases[] = {
    { AFP_DTYPE_F32, "3x5", AFP_KIND_WEIGHT },     { AFP_DTYPE_BF16, "7", AFP_KIND_WEIGHT },
    { AFP_DTYPE_F64, "1x1", AFP_KIND_WEIGHT },     { AFP_DTYPE_I32, "3x5", AFP_KIND_RAW },
    { AFP_DTYPE_BOOL, "4", AFP_KIND_RAW },         { AFP_DTYPE_F32, "", AFP_KIND_RAW },
    { AFP_DTYPE_F32, "3x0", AFP_KIND_RAW },        { AFP_DTYPE_F16, "0", AFP_KIND_RAW },
    { AFP_DTYPE_F8_E4M3, "8x8", AFP_KIND_WEIGHT }, { AFP_DTYPE_F8_E8M0, "8x8", AFP_KIND_RAW },
  };
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (AfpTensor) tensor = test_tensor ("t", cases[i].dtype, cases[i].shape, NULL, 1);
    AfpPlane *plane = afp_tensor_get_root (tensor);
    ck_assert_int_eq (afp_plane_get_desc (plane)->kind, cases[i].kind);
    ck_assert_ptr_null (afp_plane_get_codec (plane));
    ck_assert_uint_eq (afp_plane_get_n_children (plane), 0);
  }
}
END_TEST

START_TEST (trees)
{
  g_autoptr (AfpPlane) tree = small_tree ();
  ck_assert_str_eq (afp_plane_get_codec (tree), "nothing");
  ck_assert_uint_eq (afp_plane_get_codec_version (tree), 7);
  ck_assert_str_eq (afp_plane_get_params (tree), "a=1");
  ck_assert_uint_eq (afp_plane_get_n_children (tree), 2);
  ck_assert_ptr_null (afp_plane_get_data (tree));
  ck_assert_uint_eq (g_bytes_get_size (afp_plane_get_data (afp_plane_get_child (tree, 0))), 3);
  g_autofree float *numbers = test_decode_plane (afp_plane_get_child (tree, 1), NULL);
  ck_assert (numbers[0] == 1 && numbers[5] == 6);
}
END_TEST

START_TEST (replacing_a_child)
{
  g_autoptr (AfpPlane) tree = small_tree ();
  g_autoptr (AfpPlane) other = code_plane ("codes", 2, 3, 4, NULL);
  AfpPlane *codes = afp_plane_get_child (tree, 0), *scale = afp_plane_get_child (tree, 1);
  g_autoptr (AfpPlane) copy = afp_plane_replace_child (tree, 0, other);
  ck_assert_ptr_eq (afp_plane_get_child (copy, 0), other);
  ck_assert_ptr_eq (afp_plane_get_child (copy, 1), scale);
  ck_assert_ptr_eq (afp_plane_get_child (tree, 0), codes); /* the old one is as it was */
  ck_assert_str_eq (afp_plane_get_params (copy), "a=1");
  ck_assert_uint_eq (afp_plane_get_codec_version (copy), 7);
}
END_TEST

typedef struct {
  GString *seen;
  guint left;
} Visit;

static gboolean
visit (AfpPlane *plane, const char *path, gpointer user_data)
{
  Visit *v = user_data;
  g_string_append_printf (v->seen, "%s ", path);
  return --v->left > 0;
}

START_TEST (foreach)
{
  static const char *const expected[] = { "", "weight ", "weight weight/codes ",
                                          "weight weight/codes weight/scale " };
  g_autoptr (AfpPlane) tree = small_tree ();
  for (guint stop = 1; stop < 5; stop++) {
    Visit v = { g_string_new (NULL), stop };
    ck_assert_int_eq (afp_plane_foreach (tree, visit, &v), stop > 3);
    ck_assert_str_eq (v.seen->str, expected[MIN (stop, 3)]);
    g_string_free (v.seen, TRUE);
  }
}
END_TEST

START_TEST (bare_codes)
{
  GError *error = NULL;
  g_autoptr (AfpPlane) tree = small_tree ();
  g_autoptr (GBytes) packed = afp_plane_get_codes (afp_plane_get_child (tree, 0), &error);
  ck_assert_ptr_eq (packed, afp_plane_get_data (afp_plane_get_child (tree, 0)));
}
END_TEST

START_TEST (codes_without_data)
{
  GError *error = NULL;
  g_autoptr (AfpPlane) planned = code_plane ("codes", 2, 3, 4, NULL);
  ck_assert_ptr_null (afp_plane_get_codes (planned, &error));
  assert_error (error, AFP_ERROR_FORMAT, "'codes'", "no data");
}
END_TEST

START_TEST (codes_of_unknown_coders)
{
  GError *error = NULL;
  const AfpPlaneDesc desc = {
    .name = "codes", .kind = AFP_KIND_CODE, .rows = 2, .cols = 3, .bits = 4
  };
  g_autoptr (AfpPlane) none = afp_plane_new_coded (&desc, "no-such-coder", 1, NULL, 0, NULL);
  ck_assert_ptr_null (afp_plane_get_codes (none, &error));
  assert_error (error, AFP_ERROR_PLUGIN, "no-such-coder", "not installed");
  g_autoptr (AfpPlane) no_packer = afp_plane_new_coded (&desc, "f16", 1, "", 0, NULL);
  ck_assert_ptr_null (afp_plane_get_codes (no_packer, &error));
  assert_error (error, AFP_ERROR_FORMAT, "'codes'", "f16", "no lossless coder");
  g_autoptr (AfpPlane) no_child = afp_plane_new_coded (&desc, "test-pack", 4, "", 0, NULL);
  ck_assert_ptr_null (afp_plane_get_codes (no_child, &error));
  assert_error (error, AFP_ERROR_FORMAT, "'codes'", "test-pack", "bytes are missing");
}
END_TEST

static void
assert_no_numbers (AfpPlane *plane, AfpSpec *spec, const char *kind)
{
  GError *error = NULL;
  ck_assert_ptr_null (afp_plane_open (plane, spec, &error));
  assert_error (error, AFP_ERROR_FORMAT, afp_plane_get_desc (plane)->name, kind, "no numbers");
}

START_TEST (planes_without_numbers)
{
  const AfpPlaneDesc desc = {
    .name = "coeffs", .kind = AFP_KIND_COEFFS, .rows = 2, .cols = 3, .fallback = "f16"
  };
  g_autoptr (AfpTensor) ints = test_tensor ("i", AFP_DTYPE_I8, "3x5", NULL, 1);
  g_autoptr (AfpTensor) tensor = test_tensor ("t", AFP_DTYPE_F32, "3x5", NULL, 1);
  g_autoptr (AfpPlane) planned = afp_plane_new_raw (afp_tensor_get_spec (tensor), NULL);
  g_autoptr (AfpPlane) planned_float = afp_plane_new_float (&desc, NULL, NULL);
  g_autoptr (AfpPlane) tree = small_tree ();
  assert_no_numbers (afp_tensor_get_root (ints), afp_tensor_get_spec (ints), "(raw)");
  assert_no_numbers (planned, afp_tensor_get_spec (tensor), "(weight)");
  assert_no_numbers (planned_float, NULL, "(coeffs)");
  assert_no_numbers (afp_plane_get_child (tree, 0), NULL, "(code)");
}
END_TEST

START_TEST (frozen_planes_read_as_their_codes)
{
  const AfpPlaneDesc desc = {
    .name = "scale", .kind = AFP_KIND_SCALE, .rows = 1, .cols = 2, .fallback = "f16"
  };
  const AfpPlaneDesc codes = { .name = "codes",
                               .kind = AFP_KIND_CODE,
                               .scope = AFP_SCOPE_TENSOR,
                               .rows = 1,
                               .cols = 3,
                               .bits = 16 };
  g_autoptr (GBytes) packed =
      g_bytes_new_static ("\x01\x04\x00\x3c\x00\xc0", 6); /* factor 2, 1.0, -2.0 */
  g_autoptr (AfpPlane) child = afp_plane_new_code (&codes, packed);
  g_autoptr (AfpPlane) frozen = afp_plane_new_coded (&desc, "f16", 1, "", 1, &child);
  g_autoptr (AfpPlane) plane = afp_plane_new_float (&desc, NULL, frozen);
  g_autofree float *values = test_decode_plane (plane, NULL);
  ck_assert (values[0] == 2 && values[1] == -4);
  ck_assert_ptr_eq (afp_plane_get_frozen (plane), frozen);
}
END_TEST

static TCase *
all (void)
{
  TCase *tcase = tcase_create ("plane");
  tcase_add_test (tcase, kinds);
  tcase_add_test (tcase, code_bytes);
  tcase_add_test (tcase, raw_kinds);
  tcase_add_test (tcase, trees);
  tcase_add_test (tcase, replacing_a_child);
  tcase_add_test (tcase, foreach);
  tcase_add_test (tcase, bare_codes);
  tcase_add_test (tcase, codes_without_data);
  tcase_add_test (tcase, codes_of_unknown_coders);
  tcase_add_test (tcase, planes_without_numbers);
  tcase_add_test (tcase, frozen_planes_read_as_their_codes);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { all };
  test_init ();
  return run_suite ("plane", cases, G_N_ELEMENTS (cases));
}
