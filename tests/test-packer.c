/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-test.h"

/* The base class of lossless stages, with test-pack, which copies. */

static AfpTensor *
run (const char *text)
{
  g_autoptr (AfpTensor) tensor = test_tensor ("layer.w", AFP_DTYPE_F32, "24x40", NULL, 1);
  test_set_tensors (tensor, NULL);
  return test_run (text, 2);
}

static gboolean
codes_are_packed (AfpPlane *plane, const char *path, gpointer user_data)
{
  const AfpPlaneDesc *desc = afp_plane_get_desc (plane);
  const char *codec = afp_plane_get_codec (plane);
  if (desc->kind != AFP_KIND_CODE || strcmp (desc->name, "packed") == 0)
    return TRUE;
  ck_assert_msg (codec && strcmp (codec, "test-pack") == 0, "%s", path);
  ck_assert_str_eq (afp_plane_get_desc (afp_plane_get_child (plane, 0))->name, "packed");
  ++*(guint *) user_data;
  return TRUE;
}

/* --- what it does ------------------------------------------------------------------------------------------------- */

/* The numbers are those without it, bit for bit; every plane of codes is packed, those of fallbacks too. */
START_TEST (lossless)
{
  static const struct {
    const char *text;
    guint n_codes;
  } cases[] = {
    { "test-q bits=1", 2 },
    { "test-q bits=7 residual=true table=true", 3 },
    { "test-ask", 3 },
    { "test-ask ! test-q planes=coeffs bits=4", 3 },
    { "test-flip", 1 },
    { "test-q bits=32 force=true scale=row", 2 },
    { "test-ask vector=0 open-loop=true", 3 },
  };
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree char *packed = g_strconcat (cases[i].text, " ! test-pack", NULL);
    g_autoptr (AfpTensor) a = run (cases[i].text), b = run (packed);
    g_autofree float *x = test_decode (a), *y = test_decode (b);
    guint n = 0;
    ck_assert_mem_eq (x, y, 24 * 40 * 4);
    ck_assert (afp_plane_foreach (afp_tensor_get_root (b), codes_are_packed, &n));
    ck_assert_uint_eq (n, cases[i].n_codes);
    ck_assert_ptr_nonnull (strstr (test_plan (), "test-pack"));
  }
}
END_TEST

START_TEST (codes_come_back)
{
  for (guint bits = 1; bits <= 32; bits++) {
    g_autofree char *plain = g_strdup_printf ("test-q bits=%u force=true", bits),
                    *text = g_strdup_printf ("%s ! test-pack", plain);
    g_autoptr (AfpTensor) a = run (plain), b = run (text);
    AfpPlane *codes = test_find (afp_tensor_get_root (a), "weight/codes"),
             *packed = test_find (afp_tensor_get_root (b), "weight/codes");
    g_autoptr (GBytes) x = afp_plane_get_codes (codes, NULL),
                       y = afp_plane_get_codes (packed, NULL);
    ck_assert (g_bytes_equal (x, y));
    ck_assert_uint_eq (g_bytes_get_size (afp_plane_get_data (afp_plane_get_child (packed, 0))),
                       g_bytes_get_size (x) + 2);
  }
}
END_TEST

START_TEST (recipes)
{
  g_autoptr (AfpTensor) out = run ("test-q scale=none bits=3 ! test-pack");
  assert_text (afp_tensor_get_recipe (out),
               "weight=test-q/3(bits=3,quantum=1,scale=none,layout=row,residual=false,table=false)"
               "{codes=test-pack/4(fail=false){packed}}");
}
END_TEST

/* Float planes that somebody after it takes stay open; those that nobody takes are stored, and packed. */
START_TEST (who_comes_after)
{
  g_autoptr (AfpTensor) out =
      run ("test-q bits=2 residual=true ! test-pack ! test-tap ! test-q planes=residual bits=3");
  AfpPlane *root = afp_tensor_get_root (out),
           *then = afp_tensor_get_root (test_tapped ()->pdata[0]);
  ck_assert_str_eq (afp_plane_get_codec (test_find (then, "weight/codes")), "test-pack");
  ck_assert_str_eq (afp_plane_get_codec (test_find (then, "weight/scale/codes")), "test-pack");
  ck_assert_ptr_null (afp_plane_get_codec (test_find (then, "weight/residual")));
  ck_assert_str_eq (afp_plane_get_codec (test_find (root, "weight/residual")), "test-q");
  ck_assert_ptr_null (
      afp_plane_get_codec (test_find (root, "weight/residual/codes"))); /* made after it */
}
END_TEST

START_TEST (nothing_to_pack)
{
  g_autoptr (AfpTensor) tensor = test_tensor ("w", AFP_DTYPE_F32, "24x40", NULL, 1);
  g_autoptr (AfpTensor) ints = test_tensor ("i", AFP_DTYPE_I16, "24x40", NULL, 1);
  test_set_tensors (tensor, ints, NULL);
  g_autoptr (AfpTensor) G_GNUC_UNUSED out = test_run ("test-pack", 1);
  for (guint i = 0; i < 2; i++) {
    g_autofree char *recipe = afp_tensor_get_recipe (test_output ()->pdata[i]);
    ck_assert_str_eq (recipe, "weight");
  }
  g_autoptr (AfpTensor) twice = run ("test-q ! test-pack ! test-pack"),
                        once = run ("test-q ! test-pack");
  g_autoptr (GBytes) x = test_tree_bytes (afp_tensor_get_root (twice)),
                     y = test_tree_bytes (afp_tensor_get_root (once));
  ck_assert (g_bytes_equal (x, y));
}
END_TEST

/* Sizes are known after the run; the plan had a bound. */
START_TEST (sizes)
{
  g_autoptr (AfpTensor) out = run ("test-q bits=4 scale=none ! test-pack");
  AfpSize size;
  afp_tensor_get_size (out, &size);
  ck_assert_uint_eq (size.planes, 24 * 40 / 2 + 2);
  ck_assert (size.exact);
  ck_assert_ptr_nonnull (strstr (test_plan (), "<= "));
}
END_TEST

/* --- failures ----------------------------------------------------------------------------------------------------- */

static void
assert_run_fails (const char *text, int code, const char *word, const char *other)
{
  GError *error = NULL;
  g_autoptr (AfpTensor) tensor = test_tensor ("layer.w", AFP_DTYPE_F32, "24x40", NULL, 1);
  test_set_tensors (tensor, NULL);
  ck_assert (!test_try (text, 1, &error));
  assert_error (error, code, word, other);
}

START_TEST (packers_that_fail)
{
  assert_run_fails ("test-q ! test-pack fail=true", AFP_ERROR_CODEC, "test-pack fails", "layer.w");
  assert_run_fails ("test-q ! test-pack bloat=true", AFP_ERROR_CODEC, "packed it into", "'codes'");
  assert_run_fails ("test-flip ! test-fail planes=weight in=fit ! test-pack", AFP_ERROR_CODEC,
                    "test-fail fails", "layer.w");
}
END_TEST

static AfpPlane *
packed_codes (GBytes *bytes, const char *codec, guint version, const char *params)
{
  const AfpPlaneDesc child = {
    .name = "packed", .kind = AFP_KIND_CODE, .rows = 1, .cols = 100, .bits = 8, .bound = TRUE
  };
  const AfpPlaneDesc desc = {
    .name = "codes", .kind = AFP_KIND_CODE, .rows = 3, .cols = 5, .bits = 3
  };
  g_autoptr (AfpPlane) packed = afp_plane_new_code (&child, bytes);
  return afp_plane_new_coded (&desc, codec, version, params, 1, &packed);
}

static void
assert_no_codes (GBytes *bytes, const char *codec, guint version, const char *params, int code,
                 const char *word)
{
  GError *error = NULL;
  g_autoptr (AfpPlane) plane = packed_codes (bytes, codec, version, params);
  ck_assert_ptr_null (afp_plane_get_codes (plane, &error));
  assert_error (error, code, word);
}

START_TEST (damaged_planes)
{
  static const guint8 whole[] = { 3, 1 ^ 2 ^ 3 ^ 4 ^ 5 ^ 6, 1, 2, 3, 4, 5, 6, 0 };
  g_autoptr (GBytes) good = g_bytes_new_static (whole, 8);
  g_autoptr (AfpPlane) plane = packed_codes (good, "test-pack", 4, "fail=false");
  g_autoptr (GBytes) codes = afp_plane_get_codes (plane, NULL);
  ck_assert_uint_eq (g_bytes_get_size (codes), 6);
  for (gsize n = 0; n <= sizeof whole; n++) {
    g_autoptr (GBytes) cut = g_bytes_new_static (whole, n);
    if (n != 8)
      assert_no_codes (cut, "test-pack", 4, "", AFP_ERROR_FORMAT,
                       "plane 'codes': test-pack: damaged");
  }
  for (guint bit = 0; bit < 64; bit++) {
    guint8 flipped[8];
    memcpy (flipped, whole, 8);
    flipped[bit / 8] ^= (guint8) (1 << bit % 8);
    g_autoptr (GBytes) bytes = g_bytes_new (flipped, 8);
    assert_no_codes (bytes, "test-pack", 4, "", AFP_ERROR_FORMAT,
                     "plane 'codes': test-pack: damaged");
  }
}
END_TEST

START_TEST (wrong_coders)
{
  g_autoptr (GBytes) bytes = g_bytes_new_static ("\3\0\0\0\0\0\0\0", 8);
  assert_no_codes (bytes, "test-pack", 5, "", AFP_ERROR_PLUGIN,
                   "'test-pack' version 5 is needed, but version 4 is installed");
  assert_no_codes (bytes, "test-unpack", 1, "", AFP_ERROR_PLUGIN, "'test-unpack' is not installed");
  assert_no_codes (bytes, "test-pack", 4, "level=3", AFP_ERROR_PROPERTY, "'level'");
  assert_no_codes (bytes, "test-q", 3, "", AFP_ERROR_FORMAT, "'test-q' is no lossless coder");
  assert_no_codes (NULL, "test-pack", 4, "", AFP_ERROR_FORMAT, "its bytes are missing");
}
END_TEST

/* A packer stands for codes only. */
START_TEST (packed_numbers)
{
  GError *error = NULL;
  const AfpPlaneDesc desc = { .name = "coeffs", .kind = AFP_KIND_COEFFS, .rows = 3, .cols = 5 };
  g_autoptr (AfpPlane) plane = afp_plane_new_coded (&desc, "test-pack", 4, "", 0, NULL);
  ck_assert_ptr_null (afp_plane_open (plane, NULL, &error));
  assert_error (error, AFP_ERROR_FORMAT, "'coeffs' holds numbers",
                "'test-pack' is for code planes");
}
END_TEST

static TCase *
all (void)
{
  TCase *tcase = tcase_create ("packer");
  tcase_add_test (tcase, lossless);
  tcase_add_test (tcase, codes_come_back);
  tcase_add_test (tcase, recipes);
  tcase_add_test (tcase, who_comes_after);
  tcase_add_test (tcase, nothing_to_pack);
  tcase_add_test (tcase, sizes);
  tcase_add_test (tcase, packers_that_fail);
  tcase_add_test (tcase, damaged_planes);
  tcase_add_test (tcase, wrong_coders);
  tcase_add_test (tcase, packed_numbers);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { all };
  test_init ();
  return run_suite ("packer", cases, G_N_ELEMENTS (cases));
}
