/* SPDX-License-Identifier: LGPL-2.1-or-later */
#define CODEC "rtn"
#include "afp-test.h"
#include "codec-test.h"

#include "rtn/rtn-kernel.h"

#include <float.h>

/* rtn: its kernel, and as a plugin. */

#define RTN "rtn min-weights=0 min-dims=0 force=true "

/* --- kernel --- */

/* The examples of SPEC.md. */
START_TEST (levels)
{
  static const struct {
    unsigned bits;
    int zero;
    float scale;
    unsigned n;
    float values[8];
  } cases[] = {
    { 1, -1, 0.5f, 2, { -0.5f, 0.5f } },
    { 2, -1, 0.5f, 4, { -1, -0.5f, 0, 0.5f } },
    { 2, 1, 0.5f, 4, { -0.5f, 0, 0.5f, 1 } },
    { 3, -1, 0.5f, 8, { -2, -1.5f, -1, -0.5f, 0, 0.5f, 1, 1.5f } },
    { 3, -1, -0.5f, 8, { 2, 1.5f, 1, 0.5f, 0, -0.5f, -1, -1.5f } },
  };
  static const uint32_t codes[8] = { 0, 1, 2, 3, 4, 5, 6, 7 };
  const RtnLevels l = cases[_i].zero < 0
                          ? rtn_symmetric_levels (cases[_i].bits)
                          : rtn_zero_levels (cases[_i].bits, (unsigned) cases[_i].zero);
  float out[8];
  uint32_t back[8];

  rtn_dequantize (&l, cases[_i].scale, codes, cases[_i].n, out);
  for (unsigned i = 0; i < cases[_i].n; i++)
    ck_assert (out[i] == cases[_i].values[i]);
  rtn_quantize (&l, cases[_i].scale, out, cases[_i].n, back);
  ck_assert_mem_eq (back, codes, cases[_i].n * sizeof *back);
}
END_TEST

/* Nearest, to even, clipped; nothing at a scale of zero; large numbers stay finite. */
START_TEST (rounding)
{
  const RtnLevels l = rtn_symmetric_levels (4), one = rtn_symmetric_levels (1);
  const float x[] = { 0.5f, 1.5f, -0.5f, -1.49f, 1e30f, -FLT_MAX };
  const uint32_t expected[] = { 8, 10, 8, 7, 15, 0 };
  uint32_t codes[6];
  float out[6];

  rtn_quantize (&l, 1, x, 6, codes);
  ck_assert_mem_eq (codes, expected, sizeof codes);
  rtn_quantize (&l, 0, x, 6, codes);
  for (guint i = 0; i < 6; i++)
    ck_assert_uint_eq (codes[i], 8);
  rtn_dequantize (&l, 0, codes, 6, out);
  ck_assert (out[0] == 0 && out[5] == 0);
  rtn_dequantize (&l, FLT_MAX, expected, 6, out);
  ck_assert (out[4] == FLT_MAX && out[5] == -FLT_MAX);
  rtn_quantize (&one, FLT_TRUE_MIN, x, 6, codes);
  ck_assert (codes[0] == 1 && codes[2] == 0);
}
END_TEST

static RtnFit
fit_numbers (RtnRule rule, const float *x, const float *weights, gsize n)
{
  float low = 0, high = 0;

  ck_assert (rtn_range (x, n, &low, &high));
  return rtn_fit (&rule, low, high, x, weights, n);
}

START_TEST (fits_by_hand)
{
  static const float x[] = { -7, 1, 2, 3 }, zeros[4] = { 0 }, up[] = { 3, 4, 5, 9 };
  static const float nothing[4] = { 0 }, much[] = { 0, 0, 0, 1 };
  RtnFit fit = fit_numbers ((RtnRule){ .bits = 4 }, x, NULL, 4);

  ck_assert (fit.scale == 7 / 7.5f);
  fit = fit_numbers ((RtnRule){ .bits = 1 }, x, NULL, 4);
  ck_assert (fit.scale == 3.25f);
  fit = fit_numbers ((RtnRule){ .bits = 1 }, x, much, 4);
  ck_assert (fit.scale == 3);
  fit = fit_numbers ((RtnRule){ .bits = 4, .power_of_two = TRUE }, x, NULL, 4);
  ck_assert (fit.exponent == 0 && fit.scale == 1);
  fit = fit_numbers ((RtnRule){ .bits = 2, .zero_point = TRUE }, x, NULL, 4);
  ck_assert (fit.zero == 2 && fit.scale == 7 / 3.0f + 3 / 3.0f);
  fit = fit_numbers ((RtnRule){ .bits = 4, .zero_point = TRUE }, up, NULL, 4);
  ck_assert (fit.zero == 0 && fit.scale == 9 / 15.0f);
  for (guint i = 0; i < 8; i++) {
    const RtnRule rule = { 4, i & 1, i >> 1 & 1, i >> 2 & !(i & 1) };
    fit = fit_numbers (rule, zeros, NULL, 4);
    ck_assert (rule.power_of_two ? fit.exponent == RTN_MIN_EXPONENT : fit.scale == 0);
    fit = fit_numbers (rule, x, nothing, 4); /* errors that count for nothing: as without search */
    ck_assert (isfinite (fit.scale) && fit.scale > 0);
  }
}
END_TEST

/* On the levels themselves a search finds them; it never does worse; weights are minded. */
START_TEST (searches)
{
  static const float x[] = { -4, -3, 1, 3, 0, 2, -1, -2, 3 }; /* 3 bits, scale 1 */
  float far[9], weights[9];
  RtnFit fit = fit_numbers ((RtnRule){ .bits = 3, .search = TRUE }, x, NULL, 9);

  ck_assert (fit.scale == 1);
  for (guint i = 0; i < 9; i++) {
    far[i] = i == 4 ? 24 : x[i];
    weights[i] = i == 4 ? 1e-6f : 1;
  }
  fit = fit_numbers ((RtnRule){ .bits = 3, .search = TRUE }, far, NULL, 9);
  ck_assert (fit.scale > 2);
  fit = fit_numbers ((RtnRule){ .bits = 3, .search = TRUE }, far, weights, 9);
  ck_assert (fabsf (fit.scale - 1) < 1e-4f);
  fit = fit_numbers ((RtnRule){ .bits = 3, .search = TRUE, .power_of_two = TRUE }, far, weights, 9);
  ck_assert (fit.exponent == 1); /* two octaves below what clips nothing */
}
END_TEST

START_TEST (numbers_that_are_none)
{
  static const float bad[] = { NAN, INFINITY, -INFINITY };
  float x[3] = { 1, 2, -3 }, low = 0, high = 0;

  ck_assert (rtn_range (x, 3, &low, &high));
  ck_assert (low == -3 && high == 2);
  x[_i] = bad[_i];
  ck_assert (!rtn_range (x, 3, &low, &high));
}
END_TEST

/* --- plugin --- */

static double
nmse_of (const char *call, guint threads)
{
  g_autoptr (AfpTensor) input = test_tensor ("w", AFP_DTYPE_F32, "64x256", NULL, 3);
  g_autofree float *x = test_values (64 * 256, 3);

  test_set_tensors (input, NULL);
  g_autoptr (AfpTensor) tensor = test_run (call, threads);
  g_autofree float *y = test_decode (tensor);
  return test_nmse (x, y, 64 * 256);
}

/* Shapes of planes, and a search that gains. */
START_TEST (planes)
{
  static const struct {
    const char *call, *params, *plane;
    guint64 rows, cols;
  } cases[] = {
    { RTN, "bits=4,scale=group,group=64,symmetric=true,shared-exponent=false", "scales", 64, 4 },
    { RTN "group=100 symmetric=false bits=3",
      "bits=3,scale=group,group=100,symmetric=false,shared-exponent=false", "zeros", 1, 192 },
    { RTN "scale=row", "bits=4,scale=row,symmetric=true,shared-exponent=false", "scales", 1, 64 },
    { RTN "scale=tensor b=2", "bits=2,scale=tensor,symmetric=true,shared-exponent=false", "scales",
      1, 1 },
    { RTN "preset=mxint4 exponent-bits=2",
      "bits=4,scale=group,group=32,symmetric=true,shared-exponent=true,exponent-bits=2",
      "exponents", 1, 512 },
  };
  g_autofree char *path = g_strconcat ("weight/", cases[_i].plane, NULL);
  g_autofree char *searched = g_strconcat (cases[_i].call, " search=true", NULL);

  g_autoptr (AfpTensor) input = test_tensor ("w", AFP_DTYPE_F32, "64x256", NULL, 3);
  test_set_tensors (input, NULL);
  g_autoptr (AfpTensor) tensor = test_run (cases[_i].call, 1);
  AfpPlane *plane = test_find (afp_tensor_get_root (tensor), path);
  ck_assert_uint_eq (afp_plane_get_desc (plane)->rows, cases[_i].rows);
  ck_assert_uint_eq (afp_plane_get_desc (plane)->cols, cases[_i].cols);
  ck_assert_str_eq (afp_plane_get_params (afp_tensor_get_root (tensor)), cases[_i].params);
  const double before = nmse_of (cases[_i].call, 2), after = nmse_of (searched, 1);
  ck_assert_msg (after < before, "%g, %g without search", after, before);
}
END_TEST

/* Of normal numbers with a scale per 64, three bits: what bench/bench-block-float.py has, which tries 48 scales, is 0.0355; the best uniform
 * quantizer of eight levels has 0.0374. Its rounding of scales to f16 is ours, too. */
START_TEST (as_good_as_known)
{
  ck_assert_double_le (nmse_of (RTN "bits=3 search=true", 1), 0.0360);
  ck_assert_double_le (nmse_of (RTN "bits=4 search=true", 1), 0.0092);
  ck_assert_double_le (nmse_of (RTN "bits=1", 1),
                       0.364); /* 1 - 2 / pi and no less than that of 64 */
}
END_TEST

/* Exponents that lie too deep for their bits are raised, and the numbers there become small ones. */
START_TEST (deep_exponents)
{
  float x[64];

  for (guint i = 0; i < 64; i++)
    x[i] = i < 32 ? ldexpf ((float) i - 16, -30) : (float) i - 48;
  g_autoptr (AfpTensor) input = test_tensor_from ("w", "1x64", NULL, x);
  test_set_tensors (input, NULL);
  g_autoptr (AfpTensor) deep = test_run (RTN "preset=mxint8", 1);
  g_autofree float *y = test_decode (deep);
  ck_assert_mem_eq (x, y, sizeof x);
  g_autoptr (AfpTensor) flat = test_run (RTN "preset=mxint8 exponent-bits=1", 1);
  g_autofree float *z = test_decode (flat);
  for (guint i = 0; i < 64; i++)
    ck_assert (z[i] == (i < 32 ? 0 : x[i]));
}
END_TEST

/* Importance is minded, feedback works. */
START_TEST (with_moments)
{
  static const char *const calls[] = { RTN "search=true", RTN "feedback=true",
                                       RTN "scale=tensor search=true symmetric=false" };
  g_autoptr (AfpTensor) input = test_tensor_with_moments ("w", "16x48", FALSE, 4);
  g_autofree float *x = test_values (16 * 48, 4);

  test_set_tensors (input, NULL);
  g_autoptr (AfpTensor) tensor = test_run (calls[_i], 2);
  g_autofree float *y = test_decode (tensor);
  ck_assert_double_le (test_nmse (x, y, 16 * 48), 0.05);
}
END_TEST

/* Who asks about a plane of vectors gets an answer: one scale for all of them. */
START_TEST (answers)
{
  const AfpPlaneDesc desc = make_desc (AFP_KIND_COEFFS, 100, 3, 3, AFP_METRIC_MATRIX);
  g_autoptr (AfpClaim) whole = make_claim ("", &desc), groups = make_claim ("scale=group", &desc);

  ck_assert_str_eq (afp_element_get_factory_name (AFP_ELEMENT (afp_claim_get_codec (whole))),
                    CODEC);
  ck_assert_ptr_null (afp_claim_get_open_loop_reason (whole));
  ck_assert_ptr_nonnull (
      strstr (afp_claim_get_open_loop_reason (groups), "scales belong to rows or groups"));
}
END_TEST

START_TEST (refused)
{
  static const struct {
    const char *call, *one, *two;
  } cases[] = {
    { RTN "bits=9", "bits", "1..8" },
    { RTN "bits=0", "bits", "1..8" },
    { RTN "group=0", "group", "1..65536" },
    { RTN "bits=1 symmetric=false", "needs bits=2 or more", "leave out symmetric" },
    { RTN "symmetric=false shared-exponent=true", "has no zero point",
      "leave out symmetric=false" },
    { RTN "exponent-bits=9", "exponent-bits", "1..8" },
    { RTN "preset=q5-64", "q5-64", "q4-64" },
  };

  test_refuses (cases[_i].call, "8x8", cases[_i].one, cases[_i].two);
}
END_TEST

/* What a codec before it left. */
START_TEST (refused_numbers)
{
  static const char *const calls[] = { "", "scale=row search=true", "scale=tensor" };
  const AfpPlaneDesc desc = make_desc (AFP_KIND_RESIDUAL, 2, 32, 0, AFP_METRIC_NONE);
  g_autoptr (AfpClaim) claim = make_claim (calls[_i], &desc);
  float x[64] = { 0 };
  GError *error = NULL;

  x[40] = NAN;
  g_autoptr (AfpMatrix) matrix = make_matrix (x, 2, 32);
  g_autoptr (AfpPlane) G_GNUC_UNUSED plane =
      afp_claim_encode (claim, matrix, NULL, "fc/weight", NULL, &error);
  assert_error (error, AFP_ERROR_CODEC, "fc/weight: rtn cannot store NaN", "infinity");
}
END_TEST

static void
open_damaged (const char *recipe, Leaf *leaves, const char *one, const char *two)
{
  GError *error = NULL;
  float out[4];
  g_autoptr (AfpMatrix) matrix = open_recipe (recipe, 1, 4, leaves, &error);

  ck_assert (!matrix || !afp_matrix_read (matrix, 0, 1, 0, 4, out, &error));
  assert_error (error, AFP_ERROR_FORMAT, one, two);
}

START_TEST (damaged)
{
  static const guint8 codes[1] = { 0 }, exponents[1] = { 0 }, top[2] = { 0xff, 1 };
  static const float infinite[1] = { INFINITY };
  Leaf scales[] = { { "weight/codes", codes, 1 },
                    { "weight/scales/codes", infinite, 4 },
                    { NULL, NULL, 0 } };
  Leaf powers[] = { { "weight/codes", codes, 1 },
                    { "weight/exponents", exponents, 1 },
                    { "weight/top", top, 2 },
                    { NULL, NULL, 0 } };

  open_damaged ("weight=rtn/1(bits=2,scale=tensor,symmetric=true,shared-exponent=false)"
                "{codes,scales=raw32/1{codes}}",
                scales, "scale 0 is infinite", "'scales' is damaged");
  open_damaged (
      "weight=rtn/1(bits=2,scale=tensor,symmetric=true,shared-exponent=true,exponent-bits=8)"
      "{codes,exponents,top}",
      powers, "'top' says 2^362", "is damaged");
}
END_TEST

static TCase *
kernel_case (void)
{
  TCase *tcase = tcase_create ("kernel");

  tcase_add_loop_test (tcase, levels, 0, 5);
  tcase_add_test (tcase, rounding);
  tcase_add_test (tcase, fits_by_hand);
  tcase_add_test (tcase, searches);
  tcase_add_loop_test (tcase, numbers_that_are_none, 0, 3);
  return tcase;
}

static TCase *
plugin_case (void)
{
  TCase *tcase = tcase_create ("plugin");

  tcase_add_loop_test (tcase, planes, 0, 5);
  tcase_add_test (tcase, as_good_as_known);
  tcase_add_test (tcase, deep_exponents);
  tcase_add_loop_test (tcase, with_moments, 0, 3);
  tcase_add_test (tcase, answers);
  tcase_add_loop_test (tcase, refused, 0, 7);
  tcase_add_loop_test (tcase, refused_numbers, 0, 3);
  tcase_add_test (tcase, damaged);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { kernel_case, plugin_case };

  test_init ();
  return run_suite ("rtn", cases, G_N_ELEMENTS (cases));
}
