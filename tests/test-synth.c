/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-test.h"

#include <math.h>

static AfpSource *
synth (const char *properties)
{
  GError *error = NULL;
  AfpElement *element = afp_registry_make (afp_registry_get_default (), "synth", &error);
  ck_assert_msg (element != NULL, "%s", error ? error->message : "?");
  ck_assert_msg (afp_element_set_properties_text (element, properties, &error), "%s",
                 error ? error->message : "?");
  return AFP_SOURCE (element);
}

static AfpSource *
opened (const char *properties)
{
  AfpSource *source = synth (properties);
  GError *error = NULL;
  ck_assert_msg (afp_source_open (source, &error), "%s", error ? error->message : "?");
  return source;
}

static float *
values_of (const char *properties, gsize index)
{
  g_autoptr (AfpSource) source = opened (properties);
  g_autoptr (AfpTensor) tensor = afp_source_read_tensor (source, index, NULL);
  return test_decode (tensor);
}

START_TEST (names_and_shapes)
{
  static const char *const expected[] = { "3x5", "7", "1x2x3x4", "3x5", "7", "1x2x3x4" };
  g_autoptr (AfpSource) source = opened ("shapes='3x5, 7,1x2x3x4' count=2 dtype=bf16");
  ck_assert_uint_eq (afp_source_get_n_tensors (source), 6);
  for (guint i = 0; i < 6; i++) {
    g_autoptr (AfpTensor) planned = afp_source_plan_tensor (source, i, NULL),
                          tensor = afp_source_read_tensor (source, i, NULL);
    g_autofree char *name = g_strdup_printf ("synth.%u", i);
    AfpSpec *spec = afp_tensor_get_spec (tensor);
    ck_assert (afp_tensor_is_planned (planned) && !afp_tensor_is_planned (tensor));
    ck_assert_str_eq (afp_spec_get_name (spec), name);
    ck_assert_str_eq (afp_spec_get_name (afp_tensor_get_spec (planned)), name);
    ck_assert_int_eq (afp_spec_get_dtype (spec), AFP_DTYPE_BF16);
    assert_text (afp_spec_shape_to_string (spec), expected[i]);
  }
}
END_TEST

/* The numbers are the kernel's; each tensor has its own; the same text gives the same. */
START_TEST (the_same_numbers)
{
  g_autofree float *a = values_of ("shapes=300x300 seed=7", 0),
                   *b = values_of ("shapes=300x300,300x300 seed=7", 0);
  g_autofree float *c = values_of ("shapes=300x300,300x300 seed=7", 1),
                   *d = values_of ("shapes=300x300 seed=8", 0);
  ck_assert_mem_eq (a, b, 90000 * 4);
  guint equal_c = 0, equal_d = 0;
  for (guint i = 0; i < 90000; i++) {
    equal_c += a[i] == c[i];
    equal_d += a[i] == d[i];
  }
  ck_assert_uint_lt (equal_c, 100);
  ck_assert_uint_lt (equal_d, 100);
  g_autofree float *flat = values_of ("shapes=90000 seed=7", 0);
  ck_assert_mem_eq (a, flat, 90000 * 4); /* chunks are no part of it */
}
END_TEST

START_TEST (dtypes)
{
  g_autofree float *f32 = values_of ("shapes=64x64", 0),
                   *f64 = values_of ("shapes=64x64 dtype=f64", 0);
  g_autofree float *f16 = values_of ("shapes=64x64 dtype=f16", 0),
                   *bf16 = values_of ("shapes=64x64 dtype=bf16", 0);
  ck_assert_mem_eq (f32, f64, 4096 * 4);
  for (guint i = 0; i < 4096; i++) {
    must (f16[i] == afp_f16_to_f32 (afp_f32_to_f16 (f32[i])));
    must (fabsf (bf16[i] - f32[i]) <= fabsf (f32[i]) / 256);
  }
}
END_TEST

static void
check_moments (const char *properties, double variance, double kurtosis)
{
  g_autofree char *text = g_strconcat ("shapes=400x500 ", properties, NULL);
  g_autofree float *x = values_of (text, 0);
  const gsize n = 200000;
  double sum = 0, square = 0, fourth = 0;
  for (gsize i = 0; i < n; i++) {
    sum += x[i];
    square += (double) x[i] * x[i];
    fourth += (double) x[i] * x[i] * x[i] * x[i];
  }
  square /= n;
  ck_assert_msg (fabs (sum / n) < 0.01 * sqrt (variance), "%s: mean %g", properties, sum / n);
  ck_assert_msg (fabs (square / variance - 1) < 0.02, "%s: variance %g", properties, square);
  ck_assert_msg (kurtosis == 0 || fabs (fourth / n / square / square / kurtosis - 1) < 0.1,
                 "%s: kurtosis %g", properties, fourth / n / square / square);
}

START_TEST (moments)
{
  check_moments ("", 1, 3);
  check_moments ("distribution=normal sigma=0.02 seed=3", 0.0004, 3);
  check_moments ("distribution=laplace", 1, 6);
  check_moments ("distribution=uniform standard-deviation=5", 25, 1.8);
  check_moments ("distribution=student-t nu=12", 1, 3 + 6.0 / 8);
  check_moments ("distribution=student-t degrees-of-freedom=5", 1, 0);
}
END_TEST

START_TEST (empty_tensors)
{
  g_autoptr (AfpSource) source = opened ("shapes=0,5x0");
  for (guint i = 0; i < 2; i++) {
    g_autoptr (AfpTensor) tensor = afp_source_read_tensor (source, i, NULL);
    ck_assert_uint_eq (afp_spec_get_n_elements (afp_tensor_get_spec (tensor)), 0);
  }
}
END_TEST

START_TEST (fingerprints)
{
  static const char *const texts[] = { "shapes=3x5",
                                       "shapes=5x3",
                                       "shapes=3x5 seed=2",
                                       "shapes=3x5 count=2",
                                       "shapes=3x5 dtype=f16",
                                       "shapes=3x5 sigma=2",
                                       "shapes=3x5 distribution=laplace" };
  g_autoptr (GHashTable) seen = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (texts); i++) {
    g_autoptr (AfpSource) source = opened (texts[i]), again = opened (texts[i]);
    char *one = afp_source_get_fingerprint (source);
    assert_text (afp_source_get_fingerprint (again), one);
    ck_assert_uint_eq (strlen (one), 64);
    ck_assert_msg (g_hash_table_add (seen, one), "%s", texts[i]);
  }
  g_autoptr (AfpSource) source = opened ("shapes=3");
  g_autoptr (JsonNode) info = afp_source_get_info (source);
  ck_assert_str_eq (json_object_get_string_member (json_node_get_object (info), "format"), "synth");
}
END_TEST

START_TEST (wrong_shapes)
{
  static const char *const wrong[] = {
    "3x",
    "x3",
    "3xx5",
    "3,",
    ",3",
    "3x5y",
    "a",
    "-3",
    "3x-5",
    "+3",
    "3.5",
    "3x 5",
    "3X5",
    "1e3",
    "3x5;7",
    "3x5,,7",
    "1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1",
  };
  for (guint i = 0; i < G_N_ELEMENTS (wrong); i++) {
    GError *error = NULL;
    g_autofree char *text = g_strdup_printf ("shapes='%s'", wrong[i]);
    g_autoptr (AfpSource) source = synth (text);
    ck_assert_msg (!afp_source_open (source, &error), "'%s'", wrong[i]);
    assert_error (error, AFP_ERROR_PROPERTY, "synth", "is no shape", "1024x1024,4096");
    ck_assert (!afp_source_open (source, &error)); /* again: the same */
    assert_error (error, AFP_ERROR_PROPERTY, "is no shape");
  }
}
END_TEST

START_TEST (too_large_shapes)
{
  static const char *const wrong[] = { "9223372036854775808", "4294967296x4294967296",
                                       "3037000500x3037000500", "99999999999999999999999" };
  for (guint i = 0; i < G_N_ELEMENTS (wrong); i++) {
    GError *error = NULL;
    g_autofree char *text = g_strdup_printf ("shapes=%s", wrong[i]);
    g_autoptr (AfpSource) source = synth (text);
    ck_assert (!afp_source_open (source, &error));
    assert_error (error, AFP_ERROR_PROPERTY, wrong[i], "2^63");
  }
}
END_TEST

START_TEST (wrong_properties)
{
  static const struct {
    const char *text, *word;
  } wrong[] = {
    { "synth ! null", "shapes" },
    { "synth shapes=4 count=0 ! null", "1..1000000" },
    { "synth shapes=4 distribution=gauss ! null", "normal" },
    { "synth shapes=4 nu=2 ! null", "degrees-of-freedom" },
    { "synth shapes=4 sigma=-1 ! null", "standard-deviation" },
    { "synth shapes=4 dtype=i8 ! null", "f32" },
    { "synth shape=4 ! null", "'shapes'" },
    { "synth shapes=4x ! null", "is no shape" },
  };
  for (guint i = 0; i < G_N_ELEMENTS (wrong); i++) {
    GError *error = NULL;
    g_autoptr (AfpPipeline) pipeline = afp_pipeline_new_from_text (wrong[i].text, &error);
    ck_assert_msg (!pipeline || !afp_pipeline_run (pipeline, &error), "%s", wrong[i].text);
    ck_assert_int_eq (afp_error_exit_code (error), 2);
    assert_error (error, AFP_ERROR_PROPERTY, wrong[i].word);
  }
}
END_TEST

#if defined __SANITIZE_ADDRESS__
#define HAVE_ASAN 1
#elif defined __has_feature
#if __has_feature(address_sanitizer)
#define HAVE_ASAN 1
#endif
#endif

/* Planned in no time; not to be had in any. (The address sanitizer ends the program where malloc should say no.) */
START_TEST (no_such_memory)
{
  GError *error = NULL;
  g_autoptr (AfpSource) source = opened ("shapes=1125899906842624x512 dtype=f64");
  g_autoptr (AfpTensor) planned = afp_source_plan_tensor (source, 0, &error);
  ck_assert_ptr_nonnull (planned);
#ifndef HAVE_ASAN
  ck_assert_ptr_null (afp_source_read_tensor (source, 0, &error));
  assert_error (error, AFP_ERROR_MEMORY, "'synth.0'", "4611686018427387904 bytes");
#endif
  ck_assert_ptr_null (afp_source_read_tensor (source, 1, &error));
  assert_error (error, AFP_ERROR_IO, "no tensor 1");
}
END_TEST

START_TEST (threads)
{
  GError *error = NULL;
  g_autofree char *first = NULL;
  for (guint n = 1; n <= 4; n++) {
    g_autoptr (AfpPipeline) pipeline = afp_pipeline_new_from_text (
        "synth shapes=500x400,7 distribution=student-t ! test-q min-dims=1 ! eval ! null", &error);
    ck_assert_msg (pipeline != NULL, "%s", error ? error->message : "?");
    afp_pipeline_set_threads (pipeline, n);
    ck_assert_msg (afp_pipeline_run (pipeline, &error), "%s", error ? error->message : "?");
    g_autoptr (JsonNode) report = afp_pipeline_get_report (pipeline, NULL);
    g_autofree char *evals =
        json_to_string (json_object_get_member (json_node_get_object (report), "evals"), FALSE);
    if (n == 1)
      first = g_strdup (evals);
    ck_assert_str_eq (evals, first);
  }
}
END_TEST

static TCase *
all (void)
{
  TCase *tcase = tcase_create ("synth");
  tcase_add_test (tcase, names_and_shapes);
  tcase_add_test (tcase, the_same_numbers);
  tcase_add_test (tcase, dtypes);
  tcase_add_test (tcase, moments);
  tcase_add_test (tcase, empty_tensors);
  tcase_add_test (tcase, fingerprints);
  tcase_add_test (tcase, wrong_shapes);
  tcase_add_test (tcase, too_large_shapes);
  tcase_add_test (tcase, wrong_properties);
  tcase_add_test (tcase, no_such_memory);
  tcase_add_test (tcase, threads);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { all };
  test_init ();
  return run_suite ("synth", cases, G_N_ELEMENTS (cases));
}
