/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-test.h"

#include <math.h>

#define CHAIN "test-ask block=8 vector=4 ! test-q planes=coeffs bits=4"

/* What comes out of the first test-tap of a chain: float planes are still open. */
static AfpTensor *
tap (const char *text, AfpTensor *tensor)
{
  test_set_tensors (tensor, NULL);
  g_autoptr (AfpTensor) G_GNUC_UNUSED out = test_run (text, 1);
  return afp_tensor_ref (test_tapped ()->pdata[0]);
}

static AfpTensor *
small (void)
{
  return test_tensor ("t", AFP_DTYPE_F32, "24x40", NULL, 1);
}

/* --- what a tensor is --------------------------------------------------------------------------------------------- */

START_TEST (originals)
{
  g_autoptr (AfpTensor) tensor = small ();
  AfpPlane *root = afp_tensor_get_root (tensor);
  g_autoptr (AfpTensor) coded = tap ("test-q ! test-tap", tensor);
  ck_assert_ptr_eq (afp_tensor_get_original (tensor), root);
  ck_assert_ptr_eq (afp_tensor_get_original (coded), root);
  ck_assert_ptr_eq (afp_tensor_get_original_spec (coded), afp_tensor_get_spec (tensor));
  ck_assert (afp_tensor_is_raw (tensor) && !afp_tensor_is_raw (coded));
  /* A tree out of a file: nobody knows the original. */
  g_autoptr (AfpTensor) loaded =
      afp_tensor_new (afp_tensor_get_spec (tensor), afp_tensor_get_root (coded));
  ck_assert_ptr_null (afp_tensor_get_original (loaded));
  /* Another dtype: the original is read by its own spec. */
  g_autoptr (AfpSpec) half = test_spec ("t", AFP_DTYPE_F16, "24x40", NULL);
  g_autoptr (AfpPlane) planned = afp_plane_new_raw (half, NULL);
  g_autoptr (AfpTensor) other = afp_tensor_new_with_spec (coded, half, planned);
  ck_assert_ptr_eq (afp_tensor_get_original (other), root);
  ck_assert_ptr_eq (afp_tensor_get_original_spec (other), afp_tensor_get_spec (tensor));
  ck_assert_ptr_eq (afp_tensor_get_spec (other), half);
}
END_TEST

START_TEST (planned_or_not)
{
  g_autoptr (AfpTensor) tensor = small ();
  g_autoptr (AfpPlane) none = afp_plane_new_raw (afp_tensor_get_spec (tensor), NULL);
  g_autoptr (AfpTensor) planned = afp_tensor_new (afp_tensor_get_spec (tensor), none);
  g_autoptr (AfpTensor) open = tap (CHAIN " ! test-tap", tensor);
  ck_assert (!afp_tensor_is_planned (tensor));
  ck_assert (afp_tensor_is_planned (planned));
  ck_assert (!afp_tensor_is_planned (open)); /* a float plane whose codes are frozen has data */
}
END_TEST

START_TEST (recipes)
{
  g_autoptr (AfpTensor) tensor = small ();
  test_set_tensors (tensor, NULL);
  assert_text (afp_tensor_get_recipe (tensor), "weight");
  g_autoptr (AfpTensor) open = tap ("test-ask ! test-tap", tensor);
  assert_text (afp_tensor_get_recipe (open),
               "weight=test-ask/1(block=8,vector=4,metric=none){patterns,coeffs}");
  g_autoptr (AfpTensor) stored = test_run ("test-ask", 1);
  assert_text (afp_tensor_get_recipe (stored),
               "weight=test-ask/1(block=8,vector=4,metric=none){patterns,coeffs="
               "block-float/1(mantissa-bits=4){exponents,mantissas}}");
  g_autoptr (AfpTensor) chained = test_run (CHAIN, 1);
  assert_text (
      afp_tensor_get_recipe (chained),
      "weight=test-ask/1(block=8,vector=4,metric=none){patterns,coeffs=test-q/3(bits=4,quantum=1,scale=tensor,layout=row,"
      "residual=false,table=false){codes,scale=f16/1{codes}}}");
  g_autoptr (AfpTensor) dropped = test_run ("test-q scale=none residual=true", 1);
  assert_text (afp_tensor_get_recipe (dropped),
               "weight=test-q/3(bits=6,quantum=1,scale=none,layout=row,residual=true,table=false)"
               "{codes,residual=drop/1}");
}
END_TEST

/* --- finalize ----------------------------------------------------------------------------------------------------- */

START_TEST (nothing_to_finalize)
{
  static const AfpDType types[] = { AFP_DTYPE_F32, AFP_DTYPE_I32, AFP_DTYPE_BOOL };
  for (guint i = 0; i < G_N_ELEMENTS (types); i++) {
    g_autoptr (AfpTensor) tensor = test_tensor ("t", types[i], "6x4", NULL, 1);
    g_autoptr (AfpTensor) final = afp_tensor_finalize (tensor, NULL, NULL);
    ck_assert_ptr_eq (final, tensor);
  }
}
END_TEST

static gboolean
is_stored (AfpPlane *plane, const char *path, gpointer user_data)
{
  const AfpPlaneDesc *desc = afp_plane_get_desc (plane);
  return afp_plane_get_codec (plane) || (desc->kind == AFP_KIND_CODE && afp_plane_get_data (plane));
}

/* Every float plane gets its codes, the planes are not touched, a second time changes nothing. */
START_TEST (finalize)
{
  static const char *const chains[] = {
    "test-ask",
    CHAIN,
    "test-q residual=true",
    "test-q scale=row",
    "test-flip",
    "test-flip ! test-q planes=weight",
    "test-q residual=true ! test-q planes=residual bits=4 residual=true",
    "test-ask vector=0",
    "test-ask metric=matrix open-loop=true",
  };
  g_autoptr (AfpTensor) tensor = small ();
  for (guint i = 0; i < G_N_ELEMENTS (chains); i++) {
    g_autofree char *text = g_strconcat (chains[i], " ! test-tap", NULL);
    g_autoptr (AfpTensor) open = tap (text, tensor);
    g_autoptr (GBytes) before = test_tree_bytes (afp_tensor_get_root (open));
    g_autoptr (AfpTensor) final = afp_tensor_finalize (open, NULL, NULL);
    g_autoptr (AfpTensor) again = afp_tensor_finalize (final, NULL, NULL);
    g_autoptr (GBytes) after = test_tree_bytes (afp_tensor_get_root (open));
    ck_assert_msg (afp_plane_foreach (afp_tensor_get_root (final), is_stored, NULL), "%s",
                   chains[i]);
    ck_assert_ptr_eq (again, final);
    ck_assert (g_bytes_equal (before, after));
    /* The sink does the same. */
    g_autoptr (GBytes) mine = test_tree_bytes (afp_tensor_get_root (final));
    g_autoptr (GBytes) sinks = test_tree_bytes (afp_tensor_get_root (test_output ()->pdata[0]));
    ck_assert_msg (g_bytes_equal (mine, sinks), "%s", chains[i]);
  }
}
END_TEST

static void
assert_finalize_fails (const char *fallback, AfpPlaneKind kind, gboolean with_data, int code,
                       const char *word)
{
  const AfpPlaneDesc desc = { .name = "weight", .kind = AFP_KIND_WEIGHT, .rows = 24, .cols = 40 };
  const AfpPlaneDesc child = { .name = "lost",
                               .kind = kind,
                               .scope = AFP_SCOPE_BLOCK,
                               .rows = 24,
                               .cols = 40,
                               .fallback = fallback };
  GError *error = NULL;
  g_autoptr (AfpTensor) tensor = small ();
  g_autoptr (AfpPlane) plane = afp_plane_new_float (
      &child, with_data ? afp_plane_get_data (afp_tensor_get_root (tensor)) : NULL, NULL);
  g_autoptr (AfpPlane) root = afp_plane_new_coded (&desc, "test-flip", 1, "", 1, &plane);
  g_autoptr (AfpTensor) open = afp_tensor_new_with_root (tensor, root);
  ck_assert_ptr_null (afp_tensor_finalize (open, NULL, &error));
  assert_error (error, code, word);
}

START_TEST (finalize_fails)
{
  for (guint data = 0; data < 2; data++) {
    assert_finalize_fails (NULL, AFP_KIND_SCALE, data, AFP_ERROR_PLAN,
                           "'lost' (scale) declares no fallback");
    assert_finalize_fails ("no-such-codec", AFP_KIND_COEFFS, data, AFP_ERROR_PLUGIN,
                           "codec 'no-such-codec' is not installed");
    assert_finalize_fails ("test-pack", AFP_KIND_COEFFS, data, AFP_ERROR_PLAN,
                           "fallback 'test-pack' is no codec for numbers");
    assert_finalize_fails ("test-flip", AFP_KIND_COEFFS, data, AFP_ERROR_PLAN,
                           "fallback 'test-flip' leaves a float plane");
    assert_finalize_fails ("block-float mantissa-bits=99", AFP_KIND_COEFFS, data,
                           AFP_ERROR_PROPERTY, "mantissa-bits");
    assert_finalize_fails ("drop", AFP_KIND_COEFFS, data, AFP_ERROR_PLAN,
                           "drop takes only planes that are optional");
    assert_finalize_fails ("identity", AFP_KIND_COEFFS, data, AFP_ERROR_FORMAT,
                           "element 'identity' is no codec");
  }
  assert_finalize_fails ("test-fail in=fit", AFP_KIND_COEFFS, TRUE, AFP_ERROR_CODEC,
                         "test-fail fails in fit");
  assert_finalize_fails ("test-fail in=open", AFP_KIND_COEFFS, TRUE, AFP_ERROR_CODEC,
                         "test-fail fails in open");
  assert_finalize_fails ("test-fail in=encode", AFP_KIND_COEFFS, TRUE, AFP_ERROR_CODEC,
                         "t/weight/lost: test-fail fails in encode");
}
END_TEST

/* --- the size function -------------------------------------------------------------------------------------------- */

static gboolean
add_leaf (AfpPlane *plane, const char *path, gpointer user_data)
{
  AfpSize *size = user_data;
  if (afp_plane_get_codec (plane))
    return TRUE;
  const guint64 bytes = g_bytes_get_size (afp_plane_get_data (plane));
  const guint64 align = bytes < 65536 ? 8 : 64;
  size->planes += bytes;
  size->padding += (align - bytes % align) % align;
  size->rows += AFP_PLANE_ROW_BYTES;
  return TRUE;
}

/* Finalized: the sum of what is there. Open: the same total. Planned: the same, or a bound. */
START_TEST (sizes)
{
  static const char *const chains[] = {
    "",
    "test-q",
    CHAIN,
    "test-ask",
    "test-flip",
    "test-q residual=true scale=row table=true",
    "test-ask ! test-q planes=coeffs bits=3 quantum=4 layout=flat",
  };
  static const char *const shapes[] = { "24x40", "257x1031", "16x17", "1x300" };
  for (guint s = 0; s < G_N_ELEMENTS (shapes); s++)
    for (guint i = 0; i < G_N_ELEMENTS (chains); i++) {
      g_autoptr (AfpTensor) tensor = test_tensor ("t", AFP_DTYPE_F32, shapes[s], NULL, i);
      g_autofree char *text = g_strconcat (chains[i], *chains[i] ? " ! " : "", "test-tap", NULL);
      g_autoptr (AfpTensor) open = tap (text, tensor);
      AfpTensor *final = test_output ()->pdata[0];
      AfpSize sum = { .rows = AFP_TENSOR_ROW_BYTES }, size, open_size;
      afp_plane_foreach (afp_tensor_get_root (final), add_leaf, &sum);
      afp_tensor_get_size (final, &size);
      afp_tensor_get_size (open, &open_size);
      ck_assert_uint_eq (size.planes, sum.planes);
      ck_assert_uint_eq (size.padding, sum.padding);
      ck_assert_uint_eq (size.rows, sum.rows);
      ck_assert_uint_eq (size.total, sum.planes + sum.padding + sum.rows);
      ck_assert (size.exact);
      ck_assert_msg (open_size.total == size.total, "%s %s", shapes[s], chains[i]);
      const guint64 planned = (guint64) json_node_get_int (test_report_get ("total.bytes"));
      g_autofree char *recipe = afp_tensor_get_recipe (final);
      ck_assert_uint_eq (planned, size.total + afp_size_recipe_bytes (recipe));
    }
}
END_TEST

START_TEST (alignment)
{
  ck_assert_uint_eq (afp_size_align (0), 8);
  ck_assert_uint_eq (afp_size_align (65535), 8);
  ck_assert_uint_eq (afp_size_align (65536), 64);
  ck_assert_uint_eq (afp_size_align (G_MAXINT64), 64);
  ck_assert_uint_gt (afp_size_recipe_bytes ("weight"), 0);
  ck_assert_uint_gt (afp_size_recipe_bytes ("weight=test-q/1{codes}"),
                     afp_size_recipe_bytes ("weight"));
}
END_TEST

START_TEST (sizes_of_bounds)
{
  const AfpPlaneDesc desc = { .name = "weight", .kind = AFP_KIND_WEIGHT, .rows = 24, .cols = 40 };
  const AfpPlaneDesc bound = {
    .name = "packed", .kind = AFP_KIND_CODE, .rows = 1, .cols = 961, .bits = 8, .bound = TRUE
  };
  const AfpPlaneDesc lost = { .name = "lost", .kind = AFP_KIND_SCALE, .rows = 3, .cols = 5 };
  g_autoptr (AfpTensor) tensor = small ();
  g_autoptr (GBytes) bytes = g_bytes_new_static ("12345", 5);
  AfpSize size;
  for (guint data = 0; data < 2; data++) {
    g_autoptr (AfpPlane) child = afp_plane_new_code (&bound, data ? bytes : NULL);
    g_autoptr (AfpPlane) root = afp_plane_new_coded (&desc, "x", 1, "", 1, &child);
    g_autoptr (AfpTensor) coded = afp_tensor_new_with_root (tensor, root);
    afp_tensor_get_size (coded, &size);
    ck_assert_uint_eq (size.planes, data ? 5 : 961);
    ck_assert_uint_eq (size.padding, data ? 3 : 7);
    ck_assert_int_eq (size.exact, data);
  }
  g_autoptr (AfpPlane) child = afp_plane_new_float (
      &lost, NULL, NULL); /* nobody can store it: as binary32, and no exact size */
  g_autoptr (AfpPlane) root = afp_plane_new_coded (&desc, "x", 1, "", 1, &child);
  g_autoptr (AfpTensor) coded = afp_tensor_new_with_root (tensor, root);
  afp_tensor_get_size (coded, &size);
  ck_assert_uint_eq (size.planes, 60);
  ck_assert (!size.exact);
}
END_TEST

static TCase *
all (void)
{
  TCase *tcase = tcase_create ("tensor");
  tcase_add_test (tcase, originals);
  tcase_add_test (tcase, planned_or_not);
  tcase_add_test (tcase, recipes);
  tcase_add_test (tcase, nothing_to_finalize);
  tcase_add_test (tcase, finalize);
  tcase_add_test (tcase, finalize_fails);
  tcase_add_test (tcase, sizes);
  tcase_add_test (tcase, alignment);
  tcase_add_test (tcase, sizes_of_bounds);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { all };
  test_init ();
  return run_suite ("tensor", cases, G_N_ELEMENTS (cases));
}
