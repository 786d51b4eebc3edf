/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-test.h"

#include <math.h>

/* Whole planes through codecs and back. All numbers: min-dims=0 min-weights=0 force=true. */
#define ALL " min-dims=0 min-weights=0 force=true "

static const struct {
  const char *shape, *view;
} shapes[] = {
  { "1x1", NULL },   { "1x2", "in:1" },     { "1x31", NULL },        { "31x1", NULL },
  { "7x13", NULL },  { "13x7", "in:1" },    { "9x16", NULL },        { "8x16", "in:1" },
  { "17", NULL },    { "3x3x5x7", "in:3" }, { "3x3x5x7", "in:2/5" }, { "64x127", "in:1" },
  { "257x3", NULL }, { "3x257", "in:1" },   { "2x3x5", "out:2" },
};
static const AfpDType types[] = { AFP_DTYPE_F32, AFP_DTYPE_F64, AFP_DTYPE_F16, AFP_DTYPE_BF16 };

/* --- one codec, against the arithmetic ---------------------------------------------------------------------------- */

static void
check_plain (AfpTensor *tensor, guint bits, const char *more)
{
  g_autofree char *text = g_strdup_printf ("test-q" ALL "scale=none bits=%u %s", bits, more);
  test_set_tensors (tensor, NULL);
  g_autoptr (AfpTensor) out = test_run (text, 2);
  g_autofree float *x = test_decode (tensor), *y = test_decode (out);
  const double half = ldexp (1, (int) bits - 1);
  for (gsize i = 0; i < afp_spec_get_n_elements (afp_tensor_get_spec (tensor)); i++) {
    const float expected = (float) CLAMP (rint ((double) x[i] / 0.125), -half, half - 1) * 0.125f;
    if (y[i] != expected)
      ck_abort_msg ("%s: element %" G_GSIZE_FORMAT ": %g, not %g", text, i, y[i], expected);
  }
}

START_TEST (shapes_and_layouts)
{
  static const char *const layouts[] = {
    "", "quantum=5", "quantum=8 layout=flat", "quantum=3 layout=flat", "quantum=1024", "table=true"
  };
  for (guint s = 0; s < G_N_ELEMENTS (shapes); s++) {
    g_autoptr (AfpTensor) tensor =
        test_tensor ("t", AFP_DTYPE_F32, shapes[s].shape, shapes[s].view, s);
    for (guint l = 0; l < G_N_ELEMENTS (layouts); l++)
      check_plain (tensor, 1 + (s + l) % 7, layouts[l]);
  }
}
END_TEST

START_TEST (dtypes)
{
  for (guint t = 0; t < G_N_ELEMENTS (types); t++)
    for (guint s = 0; s < G_N_ELEMENTS (shapes); s++) {
      g_autoptr (AfpTensor) tensor =
          test_tensor ("t", types[t], shapes[s].shape, shapes[s].view, t * 100 + s);
      check_plain (tensor, 5, s & 1 ? "quantum=4" : "quantum=4 layout=flat");
    }
}
END_TEST

START_TEST (every_width)
{
  g_autoptr (AfpTensor) tensor = test_tensor ("t", AFP_DTYPE_F32, "11x29", "in:1", 4);
  for (guint bits = 1; bits <= 32; bits++)
    check_plain (tensor, bits, bits & 1 ? "quantum=3" : "quantum=2 layout=flat");
}
END_TEST

/* More than one tile, rows that are no multiple of 8, one row that is cut in columns. */
START_TEST (several_tiles)
{
  static const char *const large[] = { "1003x131", "1x200003", "9x20011", "70001x2" };
  for (guint s = 0; s < G_N_ELEMENTS (large); s++) {
    g_autoptr (AfpTensor) tensor = test_tensor ("t", AFP_DTYPE_F32, large[s], NULL, s);
    check_plain (tensor, 3, "");
    check_plain (tensor, 5, "quantum=7");
    check_plain (tensor, 3, "quantum=7 layout=flat");
  }
}
END_TEST

START_TEST (scales)
{
  g_autoptr (AfpTensor) tensor = test_tensor ("t", AFP_DTYPE_F32, "33x65", "in:1", 4);
  static const char *const chains[] = { "test-q bits=8 scale=tensor", "test-q bits=8 scale=row",
                                        "test-q bits=8 scale=row layout=flat" };
  g_autofree float *x = test_decode (tensor);
  test_set_tensors (tensor, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (chains); i++) {
    g_autoptr (AfpTensor) out = test_run (chains[i], 2);
    g_autofree float *y = test_decode (out);
    ck_assert_msg (test_nmse (x, y, 33 * 65) < 2e-4, "%s: %g", chains[i],
                   test_nmse (x, y, 33 * 65));
    AfpPlane *scale = test_find (afp_tensor_get_root (out), "weight/scale");
    ck_assert_uint_eq (afp_plane_get_desc (scale)->cols, i == 1 ? 65 : 1);
  }
}
END_TEST

/* --- chains ------------------------------------------------------------------------------------------------------- */

static const char *const chains[] = {
  "test-ask" ALL,
  "test-ask" ALL "block=4 vector=2 ! test-q planes=coeffs bits=3" ALL,
  "test-ask" ALL
  "block=6 vector=3 metric=diagonal ! test-q planes=coeffs bits=3 quantum=3 layout=flat" ALL,
  "test-ask" ALL "metric=matrix ! test-pair planes=coeffs" ALL,
  "test-ask" ALL "open-loop=true metric=scalar ! test-pair planes=coeffs" ALL,
  "test-ask" ALL "vector=0 ! test-q planes=coeffs scale=row" ALL,
  "test-q" ALL
  "bits=3 residual=true ! test-q planes=residual bits=3 residual=true ! test-q planes=residual bits=3" ALL,
  "test-flip" ALL "! test-ask" ALL
  "block=16 vector=8 ! test-ask planes=coeffs block=4 vector=4 ! test-q planes=coeffs bits=4 quantum=2" ALL,
  "test-q" ALL
  "residual=true scale=row ! test-flip planes=residual ! test-q planes=weight bits=2" ALL,
};

/* Decoded by any rectangle, the numbers are those of the whole. */
static void
check_rectangles (AfpTensor *tensor, const float *all)
{
  g_autoptr (AfpMatrix) matrix =
      afp_plane_open (afp_tensor_get_root (tensor), afp_tensor_get_spec (tensor), NULL);
  const guint64 rows = afp_matrix_get_rows (matrix), cols = afp_matrix_get_cols (matrix);
  g_autoptr (GRand) rand = g_rand_new_with_seed (9);
  for (guint i = 0; i < 8; i++) {
    const guint64 row = g_rand_int_range (rand, 0, (gint32) rows),
                  col = g_rand_int_range (rand, 0, (gint32) cols);
    const guint64 n_rows = g_rand_int_range (rand, 1, (gint32) (rows - row) + 1),
                  n_cols = g_rand_int_range (rand, 1, (gint32) (cols - col) + 3);
    g_autofree float *out = g_new (float, n_rows *n_cols);
    ck_assert (afp_matrix_read (matrix, row, n_rows, col, n_cols, out, NULL));
    for (guint64 r = 0; r < n_rows; r++)
      for (guint64 c = 0; c < n_cols; c++)
        must (out[r * n_cols + c] == (col + c < cols ? all[(row + r) * cols + col + c] : 0));
  }
}

START_TEST (nested)
{
  const char *chain = chains[_i];
  for (guint s = 0; s < G_N_ELEMENTS (shapes); s++) {
    g_autoptr (AfpTensor) tensor =
        test_tensor ("t", types[s % 4], shapes[s].shape, shapes[s].view, s);
    const gsize n = afp_spec_get_n_elements (afp_tensor_get_spec (tensor));
    test_set_tensors (tensor, NULL);
    g_autoptr (AfpTensor) out = test_run (chain, 2);
    g_autofree float *x = test_decode (tensor), *y = test_decode (out);
    ck_assert (!afp_tensor_is_raw (out));
    ck_assert_msg (n < 30 || test_nmse (x, y, n) < 0.7, "%s, %s: %g", chain, shapes[s].shape,
                   test_nmse (x, y, n));
    check_rectangles (out, y);
  }
}
END_TEST

/* The same bytes for any number of threads, and from run to run. */
START_TEST (threads)
{
  const char *chain = chains[_i];
  g_autoptr (AfpTensor) tall = test_tensor ("tall", AFP_DTYPE_F32, "530x131", "in:1", 5);
  g_autoptr (AfpTensor) flat = test_tensor ("flat", AFP_DTYPE_F16, "66003", NULL, 6);
  g_autoptr (AfpTensor) small = test_tensor ("small", AFP_DTYPE_BF16, "3x5", NULL, 7);
  static const guint counts[] = { 1, 2, 5, 2 };
  GBytes *first[3] = { NULL };
  test_set_tensors (tall, flat, small, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (counts); i++) {
    g_autoptr (AfpTensor) G_GNUC_UNUSED out = test_run (chain, counts[i]);
    ck_assert_uint_eq (test_output ()->len, 3);
    for (guint t = 0; t < 3; t++) {
      g_autoptr (GBytes) bytes = test_tree_bytes (afp_tensor_get_root (test_output ()->pdata[t]));
      if (i == 0)
        first[t] = g_bytes_ref (bytes);
      ck_assert_msg (g_bytes_equal (bytes, first[t]), "%s: tensor %u with %u threads", chain, t,
                     counts[i]);
    }
  }
  for (guint t = 0; t < 3; t++)
    g_bytes_unref (first[t]);
}
END_TEST

/* Two tensors that differ in their name alone: the name is a seed of nothing here, and their bytes are equal. */
START_TEST (tensors_do_not_meet)
{
  g_autoptr (AfpTensor) a = test_tensor ("a", AFP_DTYPE_F32, "20x30", NULL, 1);
  g_autoptr (AfpTensor) b = test_tensor ("b", AFP_DTYPE_F32, "20x30", NULL, 1);
  g_autoptr (AfpTensor) c = test_tensor ("c", AFP_DTYPE_F32, "20x30", NULL, 2);
  test_set_tensors (a, c, b, NULL);
  g_autoptr (AfpTensor) G_GNUC_UNUSED out = test_run (chains[1], 2);
  g_autoptr (GBytes) x = test_tree_bytes (afp_tensor_get_root (test_output ()->pdata[0]));
  g_autoptr (GBytes) y = test_tree_bytes (afp_tensor_get_root (test_output ()->pdata[1]));
  g_autoptr (GBytes) z = test_tree_bytes (afp_tensor_get_root (test_output ()->pdata[2]));
  ck_assert (g_bytes_equal (x, z) && !g_bytes_equal (x, y));
}
END_TEST

/* --- failures ----------------------------------------------------------------------------------------------------- */

static void
assert_run_fails (AfpTensor *tensor, const char *text, int code, const char *word,
                  const char *other)
{
  GError *error = NULL;
  test_set_tensors (tensor, NULL);
  for (guint n = 1; n <= 3; n++) {
    ck_assert_msg (!test_try (text, n, &error), "%s", text);
    assert_error (error, code, word, other);
    ck_assert_uint_eq (test_output ()->len, 0);
  }
}

START_TEST (codecs_fail)
{
  g_autoptr (AfpTensor) tensor = test_tensor ("layer.7", AFP_DTYPE_F32, "3000x70", NULL, 1);
  assert_run_fails (tensor, "test-fail in=fit", AFP_ERROR_CODEC, "test-fail fails in fit",
                    "layer.7");
  assert_run_fails (tensor, "test-fail in=open", AFP_ERROR_CODEC, "test-fail fails in open",
                    "layer.7");
  assert_run_fails (tensor, "test-fail in=encode", AFP_ERROR_CODEC, "test-fail fails in encode",
                    "layer.7/weight");
  assert_run_fails (tensor, "test-fail in=encode row=2999", AFP_ERROR_CODEC,
                    "test-fail fails in encode", "layer.7/weight");
  assert_run_fails (tensor, "test-ask ! test-fail in=encode planes=coeffs force=true",
                    AFP_ERROR_CODEC, "test-fail fails in encode", "layer.7/weight");
  assert_run_fails (tensor, "test-q ! test-fail in=fit planes=scale force=true", AFP_ERROR_CODEC,
                    "test-fail fails in fit", "layer.7");
  assert_run_fails (tensor, "test-flip ! test-fail in=decode planes=weight ! eval",
                    AFP_ERROR_FORMAT, "test-fail fails in decode", "'flipped' (test-fail/1)");
}
END_TEST

START_TEST (numbers_that_are_none)
{
  static const struct {
    const char *shape, *view;
    guint at;
    float value;
    const char *place, *what;
  } cases[] = {
    { "16x17", NULL, 0, NAN, "[0,0]", "NaN" },
    { "16x17", "in:1", 271, INFINITY, "[15,16]", "+Inf" },
    { "16x17", "in:1", 20, -INFINITY, "[1,3]", "-Inf" },
    { "3x4x5x6", "in:3", 359, NAN, "[2,3,4,5]", "NaN" },
    { "3x4x5x6", "out:2", 100, NAN, "[0,3,1,4]", "NaN" },
    { "300", NULL, 299, NAN, "[299]", "NaN" },
  };
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (AfpSpec) spec = test_spec ("w", AFP_DTYPE_F32, cases[i].shape, cases[i].view);
    g_autofree float *values = test_values (afp_spec_get_n_elements (spec), i);
    values[cases[i].at] = cases[i].value;
    g_autoptr (AfpTensor) tensor = test_tensor_from ("w", cases[i].shape, cases[i].view, values);
    g_autofree char *said =
        g_strdup_printf ("tensor 'w' holds %s at %s", cases[i].what, cases[i].place);
    assert_run_fails (tensor, "test-q min-dims=1 min-weights=1", AFP_ERROR_CODEC, said,
                      "exclude=w");
    g_autoptr (AfpTensor) out = test_run ("test-q exclude=w", 1); /* left alone it passes */
    ck_assert_ptr_eq (afp_tensor_get_root (out), afp_tensor_get_root (tensor));
  }
}
END_TEST

/* The first in the order of the matrix, for any number of threads. */
START_TEST (the_first_of_many)
{
  g_autofree float *values = test_values (2000 * 100, 3);
  for (guint i = 70050; i < 2000 * 100; i += 1000)
    values[i] = NAN;
  g_autoptr (AfpTensor) tensor = test_tensor_from ("w", "2000x100", NULL, values);
  assert_run_fails (tensor, "test-q", AFP_ERROR_CODEC, "[700,50]", "NaN");
}
END_TEST

START_TEST (beyond_binary32)
{
  g_autoptr (AfpSpec) spec = test_spec ("w", AFP_DTYPE_F64, "20x20", NULL);
  double *values = g_new0 (double, 400);
  values[399] = -1e300;
  g_autoptr (GBytes) raw = g_bytes_new_take (values, 3200);
  g_autoptr (AfpPlane) plane = afp_plane_new_raw (spec, raw);
  g_autoptr (AfpTensor) tensor = afp_tensor_new (spec, plane);
  assert_run_fails (tensor, "test-q", AFP_ERROR_CODEC, "beyond float32", "[19,19]");
}
END_TEST

static TCase *
all (void)
{
  TCase *tcase = tcase_create ("encode");
  tcase_add_test (tcase, shapes_and_layouts);
  tcase_add_test (tcase, dtypes);
  tcase_add_test (tcase, every_width);
  tcase_add_test (tcase, several_tiles);
  tcase_add_test (tcase, scales);
  tcase_add_loop_test (tcase, nested, 0, G_N_ELEMENTS (chains));
  tcase_add_loop_test (tcase, threads, 0, G_N_ELEMENTS (chains));
  tcase_add_test (tcase, tensors_do_not_meet);
  tcase_add_test (tcase, codecs_fail);
  tcase_add_test (tcase, numbers_that_are_none);
  tcase_add_test (tcase, the_first_of_many);
  tcase_add_test (tcase, beyond_binary32);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { all };
  test_init ();
  return run_suite ("encode", cases, G_N_ELEMENTS (cases));
}
