/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-test.h"

#include <math.h>

static AfpPlane *
encode (const char *call, const float *values, guint64 rows, guint64 cols, guint vector,
        gboolean optional, GError **error)
{
  const AfpPlaneDesc desc = { .name = "p",
                              .kind = AFP_KIND_COEFFS,
                              .rows = rows,
                              .cols = cols,
                              .vector = vector,
                              .optional = optional,
                              .fallback = g_intern_string (call) };
  g_autoptr (GBytes) bytes = g_bytes_new_static (values, rows * cols * sizeof (float));
  g_autoptr (AfpMatrix) matrix = afp_matrix_new_dense (rows, cols, bytes);
  g_autoptr (AfpClaim) claim = afp_claim_new_fallback (&desc, error);
  return claim ? afp_claim_encode (claim, matrix, NULL, "t/p", NULL, error) : NULL;
}

/* There and back. */
static float *
through (const char *call, const float *values, guint64 rows, guint64 cols, guint vector)
{
  GError *error = NULL;
  g_autoptr (AfpPlane) plane = encode (call, values, rows, cols, vector, FALSE, &error);
  ck_assert_msg (plane != NULL, "%s: %s", call, error ? error->message : "?");
  return test_decode_plane (plane, NULL);
}

static guint32
bits_of (float value)
{
  guint32 bits;
  memcpy (&bits, &value, 4);
  return bits;
}

/* --- raw32 and drop ----------------------------------------------------------------------------------------------- */

START_TEST (raw32_is_exact)
{
  const float values[] = { 0,    -0.0f,    1,        -1e-45f, 3.4e38f,   -1.17549435e-38f,
                           0.1f, 16777216, INFINITY, NAN,     -INFINITY, 1e-30f };
  g_autofree float *y = through ("raw32", values, 3, 4, 0);
  for (guint i = 0; i < G_N_ELEMENTS (values); i++)
    ck_assert_uint_eq (bits_of (y[i]), bits_of (values[i]));
}
END_TEST

START_TEST (drop)
{
  GError *error = NULL;
  const float values[6] = { 1, 2, 3, 4, 5, 6 };
  g_autoptr (AfpPlane) plane = encode ("drop", values, 2, 3, 0, TRUE, &error);
  g_autofree float *y = test_decode_plane (plane, NULL);
  ck_assert_uint_eq (afp_plane_get_n_children (plane), 0);
  for (guint i = 0; i < 6; i++)
    ck_assert_uint_eq (bits_of (y[i]), 0);
  ck_assert_ptr_null (encode ("drop", values, 2, 3, 0, FALSE, &error));
  assert_error (error, AFP_ERROR_PLAN, "drop takes only planes that are optional", "'p' is not");
}
END_TEST

/* --- f16 ---------------------------------------------------------------------------------------------------------- */

/* Eleven bits of everything down to 2^-28 of the largest number, wherever that is. */
START_TEST (f16_keeps_eleven_bits)
{
  for (int shift = -140; shift <= 120; shift += 13) {
    float x[64];
    g_autofree float *noise = test_values (64, (guint64) (shift + 200));
    for (guint i = 0; i < 64; i++)
      x[i] = ldexpf (noise[i], shift - (int) (i % 24));
    g_autofree float *y = through ("f16", x, 4, 16, 0);
    for (guint i = 0; i < 64; i++)
      ck_assert_msg (fabs ((double) y[i] - x[i]) <=
                         ldexp (fabs ((double) x[i]), -11) * 1.0001 + ldexp (1, -149),
                     "%g, not %g (2^%d)", y[i], x[i], shift);
  }
}
END_TEST

START_TEST (f16_is_a_binary16_and_a_factor)
{
  const float x[] = { 3, -0.75f, 1e-3f, 0 };
  GError *error = NULL;
  g_autoptr (AfpPlane) plane = encode ("f16", x, 1, 4, 0, FALSE, &error);
  const guint16 *codes =
      g_bytes_get_data (afp_plane_get_data (afp_plane_get_child (plane, 0)), NULL);
  ck_assert_uint_eq (g_bytes_get_size (afp_plane_get_data (afp_plane_get_child (plane, 0))), 10);
  ck_assert_uint_eq (codes[0], 1024 + 2 - 15); /* 3 = 0.75 * 2^2 lands in [2^14, 2^15) */
  for (guint i = 0; i < 4; i++)
    ck_assert_uint_eq (codes[1 + i], afp_f32_to_f16 (ldexpf (x[i], 13)));
}
END_TEST

START_TEST (f16_of_odd_planes)
{
  const float zeros[4] = { 0, -0.0f, 0, 0 }, one[1] = { -1e-45f }, large[2] = { 3.4e38f, -3.4e38f };
  g_autofree float *a = through ("f16", zeros, 2, 2, 0), *b = through ("f16", one, 1, 1, 0),
                   *c = through ("f16", large, 1, 2, 0);
  for (guint i = 0; i < 4; i++)
    ck_assert (a[i] == 0);
  ck_assert (b[0] == one[0]);
  ck_assert (fabsf (c[0] - large[0]) < 2e35f && c[1] == -c[0]);
}
END_TEST

/* Any code decodes to something; none is an index. */
START_TEST (f16_of_any_codes)
{
  const AfpPlaneDesc desc = { .name = "p", .kind = AFP_KIND_SCALE, .rows = 1, .cols = 3 };
  const AfpPlaneDesc child = { .name = "codes",
                               .kind = AFP_KIND_CODE,
                               .scope = AFP_SCOPE_TENSOR,
                               .rows = 1,
                               .cols = 4,
                               .bits = 16 };
  for (guint factor = 0; factor < 65536; factor += 4095) {
    const guint16 codes[4] = { (guint16) factor, 0x3c00, 0x0001, 0x8000 };
    g_autoptr (GBytes) bytes = g_bytes_new_static (codes, 8);
    g_autoptr (AfpPlane) plane = afp_plane_new_code (&child, bytes);
    g_autoptr (AfpPlane) coded = afp_plane_new_coded (&desc, "f16", 1, "", 1, &plane);
    g_autofree float *y = test_decode_plane (coded, NULL);
    ck_assert (y[0] == ldexpf (1, (int) factor - 1024));
    ck_assert (y[2] == 0);
  }
}
END_TEST

/* --- block-float -------------------------------------------------------------------------------------------------- */

/* The best of all exponents and mantissas, by brute force. */
static double
best_error (guint bits, const float *x, guint n)
{
  double best = INFINITY;
  for (int e = -8; e <= 7; e++) {
    double sum = 0;
    for (guint i = 0; i < n; i++) {
      const double half = ldexp (1, (int) bits - 1),
                   m = CLAMP (rint (ldexp (x[i], -e)), -half, half - 1);
      sum += (x[i] - ldexp (m, e)) * (x[i] - ldexp (m, e));
    }
    best = MIN (best, sum);
  }
  return best;
}

/* The smallest exponent that does not clip and the one below it: as good as all of them, but for a rare vector. */
START_TEST (block_float_is_near_the_best)
{
  for (guint bits = 2; bits <= 10; bits++)
    for (guint vector = 1; vector <= 12; vector += 3) {
      const gsize n = 400;
      g_autofree float *x = test_values (n * vector, bits);
      g_autofree char *call = g_strdup_printf ("block-float mantissa-bits=%u", bits);
      g_autofree float *y = through (call, x, 1, n * vector, vector);
      double sum = 0, best = 0, energy = 0;
      for (gsize v = 0; v < n; v++) {
        sum += afp_squared_error (x + v * vector, y + v * vector, vector);
        best += best_error (bits, x + v * vector, vector);
        for (guint i = 0; i < vector; i++)
          energy += (double) x[v * vector + i] * x[v * vector + i];
      }
      ck_assert_msg (sum <= best * 1.01 + 1e-9 * energy, "%u bits, vectors of %u: %g, best %g",
                     bits, vector, sum, best);
    }
}
END_TEST

/* (SeedLM, section 3.2) exponents -8..7 in four bits, two's complement mantissas. */
START_TEST (block_float_codes)
{
  const float x[] = { 0,   0,     0, 0,   7,          -8,          1, 0,
                      896, -1024, 3, -65, 1.0f / 256, -1.0f / 256, 0, 7.0f / 256 };
  GError *error = NULL;
  g_autoptr (AfpPlane) plane = encode ("block-float mantissa-bits=4", x, 1, 16, 4, FALSE, &error);
  const guint8 *exponents =
      g_bytes_get_data (afp_plane_get_data (afp_plane_get_child (plane, 0)), NULL);
  const guint8 *mantissas =
      g_bytes_get_data (afp_plane_get_data (afp_plane_get_child (plane, 1)), NULL);
  static const guint8 expected[] = { 0x00, 0x00, 0x87, 0x01, 0x87, 0xf0, 0xf1, 0x70 };
  ck_assert_uint_eq (exponents[0], 0x80); /* nothing: -8; 2^0: 8 */
  ck_assert_uint_eq (exponents[1], 0x0f); /* 2^7; 2^-8 */
  ck_assert_mem_eq (mantissas, expected, sizeof expected);
  g_autofree float *y = test_decode_plane (plane, NULL);
  ck_assert (y[4] == 7 && y[5] == -8 && y[8] == 896 && y[9] == -1024 && y[12] == 1.0f / 256 &&
             y[15] == 7.0f / 256);
}
END_TEST

/* Beyond the exponents there are: clipped, or zero; never garbage. */
START_TEST (block_float_out_of_range)
{
  const float x[] = { 1e30f,  -1e30f,  1, 0, 3.4e38f, 3.4e38f, 3.4e38f, -3.4e38f,
                      1e-30f, -1e-45f, 0, 0, 5000,    2000,    -1,      0 };
  g_autofree float *y = through ("block-float mantissa-bits=4", x, 4, 4, 4);
  ck_assert (y[0] == 896 && y[1] == -1024 && y[2] == 0 && y[3] == 0);
  ck_assert (y[4] == 896 && y[6] == 896 && y[7] == -1024);
  for (guint i = 8; i < 12; i++)
    ck_assert (y[i] == 0);
  ck_assert (y[12] == 896 && y[13] == 896 && y[14] == 0);
}
END_TEST

START_TEST (block_float_of_no_numbers)
{
  static const float none[] = { NAN, INFINITY, -INFINITY };
  for (guint i = 0; i < G_N_ELEMENTS (none); i++)
    for (guint at = 0; at < 6; at++) {
      float x[6] = { 1, 2, 3, 4, 5, 6 };
      GError *error = NULL;
      x[at] = none[i];
      ck_assert_ptr_null (encode ("block-float", x, 2, 3, 3, FALSE, &error));
      assert_error (error, AFP_ERROR_CODEC, "t/p", "block-float cannot store NaN or an infinity");
    }
}
END_TEST

START_TEST (block_float_vectors)
{
  GError *error = NULL;
  g_autofree float *x = test_values (130, 2);
  ck_assert_ptr_null (encode ("block-float", x, 2, 65, 65, FALSE, &error));
  assert_error (error, AFP_ERROR_PLAN, "vectors of up to 64 numbers, not of 65");
  ck_assert_ptr_null (encode ("block-float mantissa-bits=17", x, 2, 65, 5, FALSE, &error));
  assert_error (error, AFP_ERROR_PROPERTY, "mantissa-bits", "2..16");
  /* A plane without vectors: fours, the last of a row padded. */
  g_autoptr (AfpPlane) plane = encode ("block-float", x, 2, 65, 0, FALSE, &error);
  ck_assert_uint_eq (afp_plane_get_desc (afp_plane_get_child (plane, 0))->cols, 17);
  g_autofree float *y = test_decode_plane (plane, NULL);
  ck_assert (test_nmse (x, y, 130) < 0.01);
}
END_TEST

/* What binary16 would round up beyond binary32 goes down instead, with either sign. */
START_TEST (f16_of_the_largest_numbers)
{
  const float x[] = { G_MAXFLOAT, -G_MAXFLOAT, G_MAXFLOAT / 2, 1, 0, -0x1.ffdp127f };
  g_autofree float *y = through ("f16", x, 2, 3, 0);

  ck_assert (y[0] == 0x1.ffcp127f && y[1] == -0x1.ffcp127f);
  ck_assert (y[2] == 0x1p127f && y[4] == 0);
  ck_assert (isfinite (y[5]) && fabsf (y[5] - x[5]) <= 0x1p117f);
  const float infinite[] = { INFINITY, 1 };
  g_autofree float *z = through ("f16", infinite, 1, 2, 0);
  ck_assert (isinf (z[0])); /* it was one before */
}
END_TEST

static TCase *
all (void)
{
  TCase *tcase = tcase_create ("fallback");
  tcase_add_test (tcase, raw32_is_exact);
  tcase_add_test (tcase, drop);
  tcase_add_test (tcase, f16_keeps_eleven_bits);
  tcase_add_test (tcase, f16_is_a_binary16_and_a_factor);
  tcase_add_test (tcase, f16_of_odd_planes);
  tcase_add_test (tcase, f16_of_any_codes);
  tcase_add_test (tcase, f16_of_the_largest_numbers);
  tcase_add_test (tcase, block_float_is_near_the_best);
  tcase_add_test (tcase, block_float_codes);
  tcase_add_test (tcase, block_float_out_of_range);
  tcase_add_test (tcase, block_float_of_no_numbers);
  tcase_add_test (tcase, block_float_vectors);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { all };
  test_init ();
  return run_suite ("fallback", cases, G_N_ELEMENTS (cases));
}
