/* SPDX-License-Identifier: LGPL-2.1-or-later */
#define CODEC "hyper"
#include "afp-test.h"
#include "codec-test.h"

/* hyper trajectory=lattice as a plugin. */

#define LATTICE "trajectory=lattice "
#define HYPER "hyper min-weights=0 min-dims=0 force=true " LATTICE

START_TEST (layouts)
{
  static const struct {
    const char *call, *params;
    guint64 cols;
    guint vector, per_quantum, bits, states, n_params;
  } cases[] = {
    { LATTICE, "trajectory=lattice,lattice=e8,symbol-bits=9", 16, 0, 8, 9, 29, 8 },
    { LATTICE, "trajectory=lattice,lattice=d4,symbol-bits=8", 12, 12, 4, 8, 7, 5 },
    { LATTICE, "trajectory=lattice,lattice=a2,symbol-bits=9", 6, 6, 2, 9, 3, 14 },
    { LATTICE, "trajectory=lattice,lattice=z,symbol-bits=8", 5, 5, 1, 8, 0, 5 },
    { LATTICE "lattice=z bits=0.5", "trajectory=lattice,lattice=z,symbol-bits=8", 8, 8, 1, 8, 0,
      5 },
    { LATTICE "lattice=e8 bits=8", "trajectory=lattice,lattice=e8,symbol-bits=15", 4, 4, 8, 15, 29,
      8 },
    { "preset=lattice-3.0", "trajectory=lattice,lattice=e8,symbol-bits=10", 8, 0, 8, 10, 29, 8 },
    { "preset=z-4.0 symbol-bits=6", "trajectory=lattice,lattice=z,symbol-bits=6", 8, 0, 1, 6, 0,
      5 },
  };
  const AfpPlaneDesc desc =
      make_desc (AFP_KIND_COEFFS, 4, cases[_i].cols, cases[_i].vector, AFP_METRIC_NONE);
  g_autoptr (AfpClaim) claim = make_claim (cases[_i].call, &desc);
  const AfpLayout *layout = afp_claim_get_layout (claim);

  assert_text (afp_layout_get_params (layout), cases[_i].params);
  const AfpPlaneDesc *symbols = afp_layout_get_child (layout, 0);
  ck_assert_uint_eq (symbols->per_quantum, cases[_i].per_quantum);
  ck_assert_uint_eq (symbols->bits, cases[_i].bits);
  ck_assert_uint_eq (symbols->machine ? symbols->machine->n_states : 0, cases[_i].states);
  ck_assert_uint_eq (afp_layout_get_child (layout, 1)->cols, cases[_i].n_params);
}
END_TEST

/* All shapes, whatever divides what; the same bytes for any number of threads. */
START_TEST (normal_numbers)
{
  static const char *const shapes[] = { "64x64", "33x31", "1x3", "5x1", "1x1", "7" };
  static const gsize sizes[] = { 4096, 1023, 3, 5, 1, 7 };
  static const char *const calls[] = { HYPER "lattice=z", HYPER "lattice=a2", HYPER "lattice=d4",
                                       HYPER "lattice=e8" };
  for (guint s = 0; s < G_N_ELEMENTS (shapes); s++) {
    g_autoptr (AfpTensor) input = test_tensor ("w", AFP_DTYPE_F32, shapes[s], NULL, 3);
    test_set_tensors (input, NULL);
    g_autofree float *x = test_values (sizes[s], 3);
    g_autoptr (AfpTensor) one = test_run (calls[_i], 1), three = test_run (calls[_i], 3);
    g_autoptr (GBytes) a = test_tree_bytes (afp_tensor_get_root (one)),
                       b = test_tree_bytes (afp_tensor_get_root (three));
    ck_assert (g_bytes_equal (a, b));
    g_autofree float *y = test_decode (one);
    ck_assert_double_le (test_nmse (x, y, sizes[s]), sizes[s] > 1000 ? 0.1 : 0.5);
  }
}
END_TEST

/* Far weights keep their place: none is off by more than the step, and they do not widen it. */
START_TEST (outliers)
{
  enum { N = 128 * 128 };
  g_autofree float *x = test_values (N, 5);
  double error = 0, energy = 0;

  for (guint i = 0; i < N; i += 1000)
    x[i] = i % 2000 ? -50 : 50;
  g_autoptr (AfpTensor) input = test_tensor_from ("w", "128x128", NULL, x);
  test_set_tensors (input, NULL);
  g_autoptr (AfpTensor) tensor = test_run (HYPER "bits=2", 1);
  g_autofree float *y = test_decode (tensor);
  for (guint i = 0; i < N; i++) {
    if (i % 1000 == 0) {
      ck_assert_float_eq_tol (x[i], y[i], 1.3f);
      continue;
    }
    error += (x[i] - y[i]) * (double) (x[i] - y[i]);
    energy += x[i] * (double) x[i];
  }
  ck_assert_double_le (error / energy, 0.085);
}
END_TEST

/* Weights all alike, off the middle, next to nothing and huge. */
START_TEST (sizes_and_places)
{
  static const struct {
    double scale, offset;
  } cases[] = { { 0, 0 }, { 0, 7 }, { 1, 1000 }, { 1e-36, 0 }, { 1e36, 0 }, { 1e-44, 1e-44 } };
  enum { N = 24 * 40 };
  g_autofree float *x = test_values (N, 6);
  double nmse = 0, variance = 0;

  for (guint i = 0; i < N; i++)
    x[i] = (float) (x[i] * cases[_i].scale + cases[_i].offset);
  g_autoptr (AfpTensor) input = test_tensor_from ("w", "24x40", NULL, x);
  test_set_tensors (input, NULL);
  g_autoptr (AfpTensor) tensor = test_run (HYPER "bits=2", 1);
  g_autofree float *y = test_decode (tensor);
  for (guint i = 0; i < N; i++) {
    nmse += ((double) x[i] - y[i]) * ((double) x[i] - y[i]);
    variance += ((double) x[i] - cases[_i].offset) * ((double) x[i] - cases[_i].offset);
  }
  if (cases[_i].scale >= 1e-36 && cases[_i].scale > 0)
    ck_assert_double_le (nmse / variance, 0.09);
  else
    ck_assert_double_le (nmse, 1e-5);
}
END_TEST

static double
weighted_error (const char *call, const float *w, AfpMetricKind kind)
{
  enum { N = 64 * 64 };
  const AfpPlaneDesc desc = make_desc (AFP_KIND_COEFFS, 64, 64, 8, kind);
  const gsize stride = afp_metric_stride (kind, 8);
  GError *error = NULL;
  g_autofree float *x = test_values (N, 8), *given = g_new0 (float, N / 8 * MAX (stride, 1));
  g_autoptr (GBytes) bytes = g_bytes_new_static (x, N * sizeof *x);
  g_autoptr (AfpMatrix) matrix = afp_matrix_new_dense (64, 64, bytes);
  g_autoptr (AfpClaim) claim = make_claim (call, &desc);
  double sum = 0;

  for (guint i = 0; kind != AFP_METRIC_NONE && i < N; i++)
    given[kind == AFP_METRIC_DIAGONAL ? i : i / 8 * stride + i % 8 * 9] = w[i];
  g_autoptr (AfpPlane) plane =
      afp_claim_encode (claim, matrix, stride ? given : NULL, "t/p", NULL, &error);
  ck_assert_msg (plane != NULL, "%s", error ? error->message : "");
  g_autofree float *y = test_decode_plane (plane, NULL);
  for (guint i = 0; i < N; i++)
    sum += w[i] * (x[i] - y[i]) * (double) (x[i] - y[i]);
  return sum;
}

/* What weighs more is coded better; of a matrix the diagonal counts. */
START_TEST (importance_counts)
{
  g_autofree float *w = test_values (64 * 64, 9);

  for (guint i = 0; i < 64 * 64; i++)
    w[i] = expf (1.5f * w[i]);
  const double without = weighted_error (LATTICE "bits=1", w, AFP_METRIC_NONE);
  const double with = weighted_error (LATTICE "bits=1", w, AFP_METRIC_DIAGONAL);
  ck_assert_double_lt (with, 0.85 * without);
  ck_assert_double_eq (with, weighted_error (LATTICE "bits=1", w, AFP_METRIC_MATRIX));
}
END_TEST

/* Error feedback gives other codes, and less of an error of the layer's outputs, than rounding alone. */
START_TEST (feedback)
{
  enum { ROWS = 32, COLS = 48 };
  g_autoptr (AfpMoments) moments = test_moments (COLS, FALSE, 4);
  float h[COLS * COLS];
  double errors[2] = { 0, 0 };

  afp_moments_read (moments, 0, COLS, h);
  for (guint f = 0; f < 2; f++) {
    g_autoptr (AfpTensor) input = test_tensor_with_moments ("w", "32x48", FALSE, 4);
    test_set_tensors (input, NULL);
    g_autofree float *x = test_values (ROWS * COLS, 4);
    g_autoptr (AfpTensor) tensor =
        test_run (f ? HYPER "bits=3 feedback=true" : HYPER "bits=3 importance=off", 2);
    g_autofree float *y = test_decode (tensor);
    for (guint r = 0; r < ROWS; r++)
      for (guint i = 0; i < COLS; i++)
        for (guint j = 0; j < COLS; j++)
          errors[f] += ((double) x[r * COLS + i] - y[r * COLS + i]) * h[i * COLS + j] *
                       ((double) x[r * COLS + j] - y[r * COLS + j]);
  }
  ck_assert_double_lt (errors[1], errors[0]);
}
END_TEST

/* vptq asks how its codebook will be stored: the answer is what comes out. */
START_TEST (answers_queries)
{
  const AfpPlaneDesc desc = make_desc (AFP_KIND_COEFFS, 64, 8, 8, AFP_METRIC_NONE);
  GError *error = NULL;
  g_autoptr (AfpClaim) claim = make_claim (LATTICE "bits=3", &desc);
  g_autoptr (AfpQuantizer) quantizer = afp_quantizer_new (claim, "t/p", NULL, &error);
  g_autofree float *x = test_values (512, 2);
  float y[512], again[512];
  guint32 codes[512];

  ck_assert_msg (quantizer != NULL, "%s", error ? error->message : "");
  ck_assert (afp_quantizer_needs_fit (quantizer));
  for (guint round = 0; round < 3; round++) { /* refits start from the last one */
    ck_assert (afp_quantizer_fit (quantizer, x, 64, NULL, &error));
    ck_assert (afp_quantizer_quantize (quantizer, x, 64, NULL, codes, y, NULL, &error));
    ck_assert_double_le (test_nmse (x, y, 512), 0.03);
  }
  ck_assert (afp_quantizer_quantize (quantizer, y, 64, NULL, NULL, again, NULL, &error));
  ck_assert_double_le (test_nmse (y, again, 512), 0.01); /* points stay about where they are */
}
END_TEST

/* An error in place of bits. */
START_TEST (error_is_reached)
{
  static const char *const calls[] = { HYPER "lattice=z nmse=0.2", HYPER "nmse=0.01",
                                       HYPER "lattice=a2 nmse=0.0005" };
  static const double goals[] = { 0.2, 0.01, 0.0005 };
  enum { N = 128 * 128 };
  g_autoptr (AfpTensor) input = test_tensor ("w", AFP_DTYPE_F32, "128x128", NULL, 5);
  test_set_tensors (input, NULL);
  g_autofree float *x = test_values (N, 5);
  g_autoptr (AfpTensor) tensor = test_run (calls[_i], 1);
  g_autofree float *y = test_decode (tensor);
  ck_assert_double_eq_tol (test_nmse (x, y, N), goals[_i], 0.03 * goals[_i]);
}
END_TEST

/* Whatever the numbers, none is off by more; and one nearly by as much. */
START_TEST (largest_error_is_kept)
{
  static const char *const shares[] = { "0.5", "0.1", "0.0123", "0.001", "0.0001" };
  enum { N = 33 * 65 };
  const double share = g_ascii_strtod (shares[_i], NULL);
  g_autofree char *call = g_strconcat (HYPER "max-error=", shares[_i], NULL);
  g_autofree float *x = test_values (N, 7);
  float largest = 0, off = 0;

  for (guint i = 0; i < N; i++) {
    x[i] = (i % 100 ? x[i] : 40 * x[i]) + (_i & 1 ? 30 : 0);
    largest = fmaxf (largest, fabsf (x[i]));
  }
  g_autoptr (AfpTensor) input = test_tensor_from ("w", "33x65", NULL, x);
  test_set_tensors (input, NULL);
  g_autoptr (AfpTensor) tensor = test_run (call, 2);
  g_autofree float *y = test_decode (tensor);
  for (guint i = 0; i < N; i++)
    off = fmaxf (off, fabsf (x[i] - y[i]));
  ck_assert_double_le (off, share * largest);
  ck_assert_double_ge (off, 0.8 * share * largest);
}
END_TEST

/* --- what is refused --- */

START_TEST (goals_that_are_refused)
{
  static const struct {
    const char *call, *one, *two;
  } cases[] = {
    { HYPER "nmse=0.1 bits=2", "nmse= and bits=", "leave one of them out" },
    { HYPER "nmse=0.1 max-error=0.1", "nmse= and max-error=", "leave one of them out" },
    { HYPER "max-error=0.1 bits=2", "max-error= and bits=", "leave one of them out" },
    { HYPER "max-error=0.1 lattice=e8", "number by number", "lattice=z" },
    { HYPER "max-error=0.1 feedback=true", "feedback=true", "moves numbers" },
    { HYPER "max-error=0.00001", "symbols of 17 bits", "symbol-bits is 16" },
    { HYPER "max-error=0.01 symbol-bits=6", "symbols of 7 bits", "symbol-bits is 6" },
    { "hyper force=true max-error=0.1", "number by number", "trajectory=lattice" },
    { "hyper force=true trajectory=trellis nmse=0.1 bits=1", "nmse= and bits=", "leave one" },
    { "hyper force=true trajectory=bezier nmse=0.1", "nmse= does not go with", "bits=" },
    { "hyper force=true frame=row nmse=0.1", "nmse= needs frame=tensor", "tensor" },
    { "hyper nmse=1", "nmse", "0.9" },
    { "hyper max-error=0.6", "max-error", "0.5" },
  };

  test_refuses (cases[_i].call, "64x64", cases[_i].one, cases[_i].two);
}
END_TEST

START_TEST (frames_of_parts)
{
  GError *error = NULL;

  g_autoptr (AfpTensor) input = test_tensor ("w", AFP_DTYPE_F32, "64x64", NULL, 3);
  test_set_tensors (input, NULL);
  ck_assert (!test_try (_i ? HYPER "frame=row" : HYPER "frame=group", 1, &error));
  assert_error (error, AFP_ERROR_PROPERTY, "trajectory=lattice has one step", "leave it out",
                "trajectory=grid");
}
END_TEST

START_TEST (properties_out_of_range)
{
  static const struct {
    const char *call, *word;
  } cases[] = { { "hyper lattice=e7", "e8" },     { "hyper bits=-1", "12" },
                { "hyper bits=13", "12" },        { "hyper symbol-bits=3", "4" },
                { "hyper symbol-bits=17", "16" }, { "hyper rdo=-1", "0" } };
  GError *error = NULL;

  ck_assert (!test_try (cases[_i].call, 1, &error));
  assert_error (error, AFP_ERROR_PROPERTY, cases[_i].word);
}
END_TEST

static gboolean
decode_by_hand (const guint8 *symbols, const float *frames, float *out, GError **error)
{
  Leaf leaves[] = { { "weight/symbols", symbols, 4 },
                    { "weight/frames/codes", (const guint8 *) frames, 5 * sizeof (float) },
                    { NULL, NULL, 0 } };
  g_autoptr (AfpMatrix) matrix = open_recipe (
      "weight=hyper/2(trajectory=lattice,lattice=d4,symbol-bits=8){symbols,frames=raw32/1{codes}}",
      1, 4, leaves, error);

  return matrix && afp_matrix_read (matrix, 0, 1, 0, 4, out, error);
}

START_TEST (planes_by_hand)
{
  static const guint8 symbols[4] = { 128, 129, 125, 128 };
  const float frames[5] = { 10, 2, 0, 0, 0.5f }, expected[4] = { 10, 12, 4.5f, 10 };
  float damaged[5] = { 10, 2, 0, NAN, 0 }, out[4];
  GError *error = NULL;

  ck_assert (decode_by_hand (symbols, frames, out, &error));
  ck_assert_mem_eq (out, expected, sizeof out);
  ck_assert (!decode_by_hand (symbols, damaged, out, &error));
  assert_error (error, AFP_ERROR_FORMAT, "not finite", "'frames' is damaged");
}
END_TEST

static TCase *
good_case (void)
{
  TCase *tcase = tcase_create ("right");

  tcase_add_loop_test (tcase, layouts, 0, 8);
  tcase_add_loop_test (tcase, normal_numbers, 0, 4);
  tcase_add_test (tcase, outliers);
  tcase_add_loop_test (tcase, sizes_and_places, 0, 6);
  tcase_add_test (tcase, importance_counts);
  tcase_add_test (tcase, feedback);
  tcase_add_test (tcase, answers_queries);
  tcase_add_loop_test (tcase, error_is_reached, 0, 3);
  tcase_add_loop_test (tcase, largest_error_is_kept, 0, 5);
  return tcase;
}

static TCase *
bad_case (void)
{
  TCase *tcase = tcase_create ("refused");

  tcase_add_loop_test (tcase, frames_of_parts, 0, 2);
  tcase_add_loop_test (tcase, properties_out_of_range, 0, 6);
  tcase_add_loop_test (tcase, goals_that_are_refused, 0, 13);
  tcase_add_test (tcase, planes_by_hand);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { good_case, bad_case };

  test_init ();
  return run_suite ("hyper-lattice", cases, G_N_ELEMENTS (cases));
}
