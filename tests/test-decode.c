/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "toy-codec.h"

#include <math.h>

static const guint64 shape[] = { 16, 6 };

static AfpElement *
make_decode (const char *properties)
{
  GError *error = NULL;
  AfpElement *element = afp_registry_make (afp_registry_get_default (), "decode", &error);
  ck_assert_msg (element != NULL, "%s", error ? error->message : "?");
  ck_assert (afp_element_set_properties_text (element, properties, &error));
  return element;
}

static AfpTensor *
process (AfpElement *element, AfpTensor *tensor, GError **error)
{
  return AFP_TRANSFORM_GET_CLASS (element)->process (AFP_TRANSFORM (element), tensor, error);
}

static AfpTensor *
plan (AfpElement *element, AfpTensor *tensor, GError **error)
{
  g_autoptr (AfpPlan) notes = afp_plan_new ();
  return AFP_TRANSFORM_GET_CLASS (element)->plan_tensor (AFP_TRANSFORM (element), tensor, notes,
                                                         error);
}

/* The numbers of a tensor, as rows of its matrix view. */
static GBytes *
numbers (AfpTensor *tensor)
{
  g_autoptr (AfpMatrix) matrix =
      afp_plane_open (afp_tensor_get_root (tensor), afp_tensor_get_spec (tensor), NULL);
  ck_assert_ptr_nonnull (matrix);
  return afp_matrix_to_dense (matrix, NULL, NULL);
}

static AfpTensor *
floats (const char *name, AfpDType dtype, float base)
{
  g_autoptr (AfpSpec) spec = afp_spec_new (name, dtype, 2, shape, NULL, NULL);
  const gsize n = afp_spec_get_n_elements (spec);
  g_autofree float *values = g_new (float, n);
  guint8 *raw = g_malloc (afp_spec_get_n_bytes (spec));
  for (gsize i = 0; i < n; i++)
    values[i] = base + (float) i / 3;
  afp_dtype_from_f32 (dtype, values, raw, 1, n);
  g_autoptr (GBytes) bytes = g_bytes_new_take (raw, afp_spec_get_n_bytes (spec));
  g_autoptr (AfpPlane) plane = afp_plane_new_raw (spec, bytes);
  return afp_tensor_new (spec, plane);
}

/* A factor of 2^0, then 1 + k/3 as binary16 for element k of the matrix. */
static GBytes *
counting_codes (guint leaf, const AfpPlaneDesc *desc, const char *path, gpointer user_data,
                GError **error)
{
  guint16 codes[97] = { 1024 };
  for (guint k = 0; k < 96; k++)
    codes[1 + k] = afp_f32_to_f16 (1 + (float) k / 3);
  return g_bytes_new (codes, sizeof codes);
}

static AfpTensor *
counting_tensor (void)
{
  const AfpView view = { 1, TRUE, 1 };
  g_autoptr (AfpSpec) spec = afp_spec_new ("t", AFP_DTYPE_F32, 2, shape, &view, NULL);
  g_autoptr (AfpPlane) root =
      afp_recipe_build ("weight=f16/1{codes}", spec, counting_codes, NULL, NULL);
  ck_assert_ptr_nonnull (root);
  return afp_tensor_new (spec, root);
}

START_TEST (coded)
{
  g_autoptr (AfpElement) element = make_decode ("");
  g_autoptr (AfpTensor) tensor = counting_tensor ();
  GError *error = NULL;
  g_autoptr (AfpTensor) out = process (element, tensor, &error);
  ck_assert_msg (out != NULL, "%s", error ? error->message : "?");
  ck_assert (afp_tensor_is_raw (out));
  ck_assert_ptr_eq (afp_tensor_get_spec (out), afp_tensor_get_spec (tensor));
  g_autoptr (GBytes) before = numbers (tensor), after = numbers (out);
  ck_assert (g_bytes_equal (before, after));
}
END_TEST

/* Each dtype that can be asked for: the spec says so, and the numbers are those of the planes, rounded. */
START_TEST (dtypes)
{
  static const char *const names[] = { "f32", "f16", "bf16", "f64" };
  static const double tolerances[] = { 0, 1e-3, 8e-3, 0 };
  for (guint i = 0; i < G_N_ELEMENTS (names); i++) {
    g_autofree char *property = g_strconcat ("dtype=", names[i], NULL);
    g_autoptr (AfpElement) element = make_decode (property);
    g_autoptr (AfpTensor) tensor = counting_tensor ();
    g_autoptr (AfpTensor) out = process (element, tensor, NULL);
    ck_assert_str_eq (afp_dtype_name (afp_spec_get_dtype (afp_tensor_get_spec (out))), names[i]);
    ck_assert (afp_spec_get_view (afp_tensor_get_spec (out))->input_first);
    g_autoptr (GBytes) before = numbers (tensor), after = numbers (out);
    const float *x = g_bytes_get_data (before, NULL), *y = g_bytes_get_data (after, NULL);
    for (gsize k = 0; k < 96; k++) {
      ck_assert_float_eq_tol (x[k], 1 + (float) k / 3, 0.02f);
      ck_assert_double_le (fabs ((double) x[k] - (double) y[k]),
                           tolerances[i] * fabs ((double) x[k]));
    }
  }
}
END_TEST

START_TEST (plain_passes)
{
  g_autoptr (AfpElement) element = make_decode ("");
  g_autoptr (AfpElement) same = make_decode ("dtype=f32");
  g_autoptr (AfpTensor) tensor = floats ("t", AFP_DTYPE_F32, 0);
  g_autoptr (AfpTensor) one = process (element, tensor, NULL);
  g_autoptr (AfpTensor) two = process (same, tensor, NULL);
  ck_assert_ptr_eq (one, tensor);
  ck_assert_ptr_eq (two, tensor);
}
END_TEST

START_TEST (plain_in_another_dtype)
{
  g_autoptr (AfpElement) element = make_decode ("dtype=f16");
  g_autoptr (AfpTensor) tensor = floats ("t", AFP_DTYPE_F32, 1);
  g_autoptr (AfpTensor) out = process (element, tensor, NULL);
  g_autoptr (AfpTensor) expected = floats ("t", AFP_DTYPE_F16, 1);
  ck_assert (g_bytes_equal (afp_plane_get_data (afp_tensor_get_root (out)),
                            afp_plane_get_data (afp_tensor_get_root (expected))));
  /* It is still judged against the input, which is read by the input's spec. */
  ck_assert_ptr_eq (afp_tensor_get_original (out), afp_tensor_get_root (tensor));
  ck_assert_ptr_eq (afp_tensor_get_original_spec (out), afp_tensor_get_spec (tensor));
}
END_TEST

START_TEST (original_is_kept)
{
  g_autoptr (AfpElement) element = make_decode ("");
  g_autoptr (AfpTensor) other = toy_tensor ("t", TOY_RECIPE, AFP_DTYPE_F32, 2, shape, NULL);
  g_autoptr (GBytes) zeros = g_bytes_new_take (g_malloc0 (384), 384);
  g_autoptr (AfpPlane) raw = afp_plane_new_raw (afp_tensor_get_spec (other), zeros);
  g_autoptr (AfpTensor) original = afp_tensor_new (afp_tensor_get_spec (other), raw);
  g_autoptr (AfpTensor) coded_one =
      afp_tensor_new_with_root (original, afp_tensor_get_root (other));
  g_autoptr (AfpTensor) out = process (element, coded_one, NULL);
  ck_assert_ptr_ne (afp_tensor_get_root (out), afp_tensor_get_root (original));
  ck_assert_ptr_eq (afp_tensor_get_original (out), afp_tensor_get_root (original));
}
END_TEST

/* Integers, bool and scalars are never converted. */
START_TEST (what_no_codec_takes)
{
  static const AfpDType dtypes_[] = { AFP_DTYPE_I32, AFP_DTYPE_BOOL, AFP_DTYPE_F8_E8M0,
                                      AFP_DTYPE_F32 };
  g_autoptr (AfpElement) element = make_decode ("dtype=f16");
  for (guint i = 0; i < G_N_ELEMENTS (dtypes_); i++) {
    g_autoptr (AfpTensor) tensor =
        make_tensor ("t", dtypes_[i], dtypes_[i] == AFP_DTYPE_F32 ? 0 : 2, shape, TRUE);
    g_autoptr (AfpTensor) planned =
        make_tensor ("t", dtypes_[i], dtypes_[i] == AFP_DTYPE_F32 ? 0 : 2, shape, FALSE);
    g_autoptr (AfpTensor) out = process (element, tensor, NULL);
    g_autoptr (AfpTensor) out_plan = plan (element, planned, NULL);
    ck_assert_ptr_eq (out, tensor);
    ck_assert_ptr_eq (out_plan, planned);
  }
}
END_TEST

START_TEST (planned)
{
  g_autoptr (AfpSpec) spec = afp_spec_new ("t", AFP_DTYPE_F32, 2, shape, NULL, NULL);
  g_autoptr (AfpPlane) root = afp_recipe_build (TOY_RECIPE, spec, NULL, NULL, NULL);
  g_autoptr (AfpTensor) tensor = afp_tensor_new (spec, root);
  g_autoptr (AfpElement) automatic = make_decode ("");
  g_autoptr (AfpElement) half = make_decode ("dtype=bf16");
  g_autoptr (AfpTensor) one = plan (automatic, tensor, NULL);
  g_autoptr (AfpTensor) two = plan (half, tensor, NULL);
  ck_assert (afp_tensor_is_planned (one) && afp_tensor_is_raw (one));
  ck_assert_ptr_eq (afp_tensor_get_spec (one), spec);
  ck_assert (afp_tensor_is_planned (two) && afp_tensor_is_raw (two));
  ck_assert_int_eq (afp_spec_get_dtype (afp_tensor_get_spec (two)), AFP_DTYPE_BF16);
}
END_TEST

START_TEST (queries_end_here)
{
  g_autoptr (AfpElement) element = make_decode ("");
  ck_assert (AFP_TRANSFORM_GET_CLASS (element)->terminates_queries);
}
END_TEST

/* Float planes that nobody took are finalized first: the numbers are those of the file that would be written. */
START_TEST (in_a_pipeline)
{
  GError *error = NULL;
  g_autoptr (AfpPipeline) pipeline = afp_pipeline_new_from_text (
      "synth shapes=16x64,7 ! toy min-weights=0 ! decode dtype=f16 ! tensor,dtype=f16,state=raw ! null",
      &error);
  ck_assert_msg (pipeline != NULL, "%s", error ? error->message : "?");
  ck_assert_msg (afp_pipeline_run (pipeline, &error), "%s", error ? error->message : "?");
}
END_TEST

/* --- errors -------------------------------------------------------------------------------------------------------- */

START_TEST (missing_codec)
{
  const AfpPlaneDesc desc = {
    .name = "codes", .kind = AFP_KIND_CODE, .rows = 16, .cols = 6, .bits = 8
  };
  g_autoptr (AfpElement) element = make_decode ("");
  g_autoptr (AfpSpec) spec = afp_spec_new ("t", AFP_DTYPE_F32, 2, shape, NULL, NULL);
  g_autoptr (AfpPlane) raw = afp_plane_new_raw (spec, NULL);
  g_autoptr (GBytes) bytes = g_bytes_new_take (g_malloc0 (96), 96);
  g_autoptr (AfpPlane) codes = afp_plane_new_code (&desc, bytes);
  g_autoptr (AfpPlane) root =
      afp_plane_new_coded (afp_plane_get_desc (raw), "nosuch", 1, "", 1, &codes);
  g_autoptr (AfpTensor) tensor = afp_tensor_new (spec, root);
  GError *error = NULL;
  ck_assert_ptr_null (process (element, tensor, &error));
  assert_error (error, AFP_ERROR_PLUGIN, "nosuch");
}
END_TEST

START_TEST (bad_properties)
{
  g_autoptr (AfpElement) element = make_decode ("");
  GError *error = NULL;
  ck_assert (!afp_element_set_property_text (element, "dtype", "i8", &error));
  assert_error (error, AFP_ERROR_PROPERTY, "i8", "bf16");
  ck_assert (!afp_element_set_property_text (element, "dtype", "", &error));
  assert_error (error, AFP_ERROR_PROPERTY, "dtype");
  ck_assert (!afp_element_set_property_text (element, "dtyp", "f32", &error));
  assert_error (error, AFP_ERROR_PROPERTY, "dtyp", "dtype");
}
END_TEST

START_TEST (assertions_behind_it)
{
  static const struct {
    const char *text, *word, *more;
  } cases[] = {
    { "synth shapes=16x64 ! decode dtype=f16 ! tensor,dtype=f32 ! null", "dtype is f16", "f32" },
    { "synth shapes=16x64 dtype=f16 ! decode ! tensor,dtype=bf16 ! null", "dtype is f16", "bf16" },
    { "synth shapes=16x64 ! toy min-weights=0 ! decode ! tensor,state=coded ! null", "raw",
      "coded" },
    { "synth shapes=16x64 ! toy min-weights=0 ! tensor,state=raw ! decode ! null", "coded", "raw" },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    GError *error = NULL;
    g_autoptr (AfpPipeline) pipeline = afp_pipeline_new_from_text (cases[i].text, &error);
    ck_assert_msg (pipeline != NULL, "%s", error ? error->message : "?");
    ck_assert_ptr_null (afp_pipeline_plan (pipeline, &error));
    assert_error (error, AFP_ERROR_PLAN, cases[i].word, cases[i].more);
  }
}
END_TEST

static TCase *
all (void)
{
  TCase *tcase = tcase_create ("decode");
  tcase_add_test (tcase, coded);
  tcase_add_test (tcase, dtypes);
  tcase_add_test (tcase, plain_passes);
  tcase_add_test (tcase, plain_in_another_dtype);
  tcase_add_test (tcase, original_is_kept);
  tcase_add_test (tcase, what_no_codec_takes);
  tcase_add_test (tcase, planned);
  tcase_add_test (tcase, queries_end_here);
  tcase_add_test (tcase, in_a_pipeline);
  tcase_add_test (tcase, missing_codec);
  tcase_add_test (tcase, bad_properties);
  tcase_add_test (tcase, assertions_behind_it);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { all };
  toy_register ();
  return run_suite ("decode", cases, G_N_ELEMENTS (cases));
}
