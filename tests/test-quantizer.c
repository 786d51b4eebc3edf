/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-test.h"

#include <math.h>

#define N 500

static AfpQuantizer *
quantizer_of (const char *call, guint64 rows, guint64 cols, guint vector)
{
  const AfpPlaneDesc desc = { .name = "coeffs",
                              .kind = AFP_KIND_COEFFS,
                              .scope = AFP_SCOPE_BLOCK,
                              .rows = rows,
                              .cols = cols,
                              .vector = vector,
                              .fallback = g_intern_string (call) };
  GError *error = NULL;
  g_autoptr (AfpClaim) claim = afp_claim_new_fallback (&desc, &error);
  ck_assert_msg (claim != NULL, "%s", error ? error->message : "?");
  AfpQuantizer *quantizer = afp_quantizer_new (claim, "t/weight/coeffs", NULL, &error);
  ck_assert_msg (quantizer != NULL, "%s", error ? error->message : "?");
  ck_assert_uint_eq (afp_quantizer_get_length (quantizer), vector);
  return quantizer;
}

static void
fit (AfpQuantizer *quantizer, const float *vectors, gsize n, const AfpMetric *metric)
{
  GError *error = NULL;
  ck_assert_msg (afp_quantizer_fit (quantizer, vectors, n, metric, &error), "%s",
                 error ? error->message : "?");
  ck_assert (afp_quantizer_is_frozen (quantizer));
}

static const struct {
  const char *call;
  guint vector, n_codes;
  gboolean needs_fit;
} cases[] = {
  { "block-float", 4, 5, FALSE },
  { "block-float mantissa-bits=7", 3, 4, FALSE },
  { "block-float mantissa-bits=16", 64, 65, FALSE },
  { "test-pair", 2, 3, FALSE },
  { "test-pair", 6, 9, FALSE },
  { "raw32", 5, 5, FALSE },
};

/* --- the answer --------------------------------------------------------------------------------------------------- */

/* Errors are those of the reconstruction, under the metric; any part of the call may be left out. */
static void
check_quantize (AfpQuantizer *quantizer, const float *vectors, const AfpMetric *metric)
{
  const guint length = afp_quantizer_get_length (quantizer),
              n_codes = afp_quantizer_get_n_codes (quantizer);
  g_autofree guint32 *codes = g_new (guint32, N * n_codes), *alone = g_new (guint32, N * n_codes);
  g_autofree float *y = g_new (float, N *length), *errors = g_new (float, N),
                   *again = g_new (float, N *length + N);
  ck_assert (afp_quantizer_quantize (quantizer, vectors, N, metric, codes, y, errors, NULL));
  for (guint v = 0; v < N; v++) {
    const float expected = metric
                               ? afp_metric_error (metric, v, vectors + v * length, y + v * length)
                               : afp_squared_error (vectors + v * length, y + v * length, length);
    must (errors[v] == expected);
  }
  ck_assert (afp_quantizer_quantize (quantizer, vectors, N, metric, alone, NULL, NULL, NULL));
  ck_assert_mem_eq (alone, codes, N * n_codes * 4);
  ck_assert (afp_quantizer_quantize (quantizer, vectors, N, metric, NULL, again, NULL, NULL));
  ck_assert_mem_eq (again, y, N * length * 4);
  ck_assert (afp_quantizer_quantize (quantizer, vectors, N, metric, NULL, NULL, again, NULL));
  ck_assert_mem_eq (again, errors, N * 4);
  /* In parts: the same. */
  for (guint v = 0; v < N; v += 125) {
    AfpMetric part = metric ? *metric : (AfpMetric){ AFP_METRIC_NONE, length, NULL };
    if (part.data)
      part.data += v * afp_metric_stride (part.kind, length);
    ck_assert (afp_quantizer_quantize (quantizer, vectors + v * length, 125, &part,
                                       alone + v * n_codes, again, NULL, NULL));
    ck_assert_mem_eq (again, y + v * length, 125 * length * 4);
  }
  ck_assert_mem_eq (alone, codes, N * n_codes * 4);
  ck_assert (afp_quantizer_quantize (quantizer, vectors, 0, metric, codes, y, errors, NULL));
}

START_TEST (under_every_metric)
{
  for (guint c = 0; c < G_N_ELEMENTS (cases); c++) {
    const guint length = cases[c].vector;
    g_autoptr (AfpQuantizer) quantizer = quantizer_of (cases[c].call, 10, 8 * length, length);
    g_autofree float *vectors = test_values (N * length, c);
    ck_assert_uint_eq (afp_quantizer_get_n_codes (quantizer), cases[c].n_codes);
    ck_assert_int_eq (afp_quantizer_needs_fit (quantizer), cases[c].needs_fit);
    ck_assert (!afp_quantizer_is_frozen (quantizer));
    fit (quantizer, NULL, 0, NULL);
    check_quantize (quantizer, vectors, NULL);
    for (guint kind = 0; kind < 4; kind++) {
      const gsize stride = afp_metric_stride ((AfpMetricKind) kind, length);
      g_autofree float *data = test_values (N * stride, 77);
      for (gsize i = 0; i < N * stride; i++) /* positive definite */
        data[i] = kind == AFP_METRIC_MATRIX
                      ? (i % stride / length == i % length ? 2.0f + (float) (i % 5)
                                                           : 0.03f / (float) length)
                      : fabsf (data[i]);
      const AfpMetric metric = { (AfpMetricKind) kind, length, kind ? data : NULL };
      check_quantize (quantizer, vectors, &metric);
    }
  }
}
END_TEST

/* The metric changes the choice: the number that counts is met better. */
START_TEST (the_metric_counts)
{
  g_autoptr (AfpQuantizer) quantizer = quantizer_of ("test-pair", 4, 8, 2);
  const float x[2] = { 0.5f, 2.0f }, g[4] = { 100, 1, 1, 100 };
  const AfpMetric first = { AFP_METRIC_DIAGONAL, 2, g }, second = { AFP_METRIC_DIAGONAL, 2, g + 2 };
  float y[2], e;
  fit (quantizer, NULL, 0, NULL);
  ck_assert (afp_quantizer_quantize (quantizer, x, 1, &first, NULL, y, &e, NULL) &&
             fabsf (y[0] - 0.5f) < 0.1f);
  ck_assert (afp_quantizer_quantize (quantizer, x, 1, &second, NULL, y, &e, NULL) &&
             fabsf (y[1] - 2) < 0.1f);
}
END_TEST

/* Metrics of whole vectors, for a codec that works on parts of them. */
START_TEST (metrics_of_parts)
{
  g_autoptr (AfpQuantizer) parts = quantizer_of ("test-pair", 4, 24, 6),
                           whole = quantizer_of ("test-pair", 4, 24, 2);
  g_autofree float *vectors = test_values (N * 6, 3);
  fit (parts, NULL, 0, NULL);
  fit (whole, NULL, 0, NULL);
  for (guint kind = 0; kind < 4; kind++) {
    const gsize long_stride = afp_metric_stride ((AfpMetricKind) kind, 6),
                stride = afp_metric_stride ((AfpMetricKind) kind, 2);
    g_autofree float *data = test_values (N * long_stride + 1, 5),
                     *small = g_new (float, N * 3 * stride + 1);
    float *next = small, y[6 * N], z[6 * N];
    for (gsize i = 0; i < N * long_stride; i++)
      data[i] = fabsf (data[i]) + (kind == AFP_METRIC_MATRIX && i % 36 % 7 == 0 ? 8 : 0);
    for (gsize v = 0; v < N; v++)
      for (guint p = 0; p < 3; p++)
        for (guint i = 0; i < stride; i++)
          *next++ = kind == AFP_METRIC_SCALAR ? data[v]
                    : kind == AFP_METRIC_DIAGONAL
                        ? data[v * 6 + p * 2 + i]
                        : data[v * 36 + (p * 2 + i / 2) * 6 + p * 2 + i % 2];
    const AfpMetric long_metric = { (AfpMetricKind) kind, 6, data },
                    metric = { (AfpMetricKind) kind, 2, small };
    ck_assert (afp_quantizer_quantize (parts, vectors, N, &long_metric, NULL, y, NULL, NULL));
    ck_assert (afp_quantizer_quantize (whole, vectors, N * 3, &metric, NULL, z, NULL, NULL));
    ck_assert_mem_eq (y, z, sizeof y);
  }
}
END_TEST

/* --- what is learned ---------------------------------------------------------------------------------------------- */

static AfpTensor *
chain (const char *text, const char *shape, guint threads)
{
  g_autoptr (AfpTensor) tensor = test_tensor ("t", AFP_DTYPE_F32, shape, NULL, 8);
  test_set_tensors (tensor, NULL);
  return test_run (text, threads);
}

static guint n_probes;

static void
fit_and_look (AfpContext *ctx)
{
  AfpQuantizer *quantizer = afp_context_get_quantizer (ctx, 1);
  float vectors[7 * 4], y[7 * 4];
  int exponent;
  n_probes++;
  ck_assert (afp_quantizer_is_frozen (quantizer) && afp_quantizer_needs_fit (quantizer));
  for (guint n = 1; n <= 7;
       n += 2) { /* fewer vectors than the plane has rows, and more; each time anew */
    for (guint i = 0; i < n * 4; i++)
      vectors[i] = 0.37f * (float) n * (float) ((int) (i % 8) - 4);
    fit (quantizer, vectors, n, NULL);
    ck_assert (afp_quantizer_quantize (quantizer, vectors, n, NULL, NULL, y, NULL, NULL));
    const float peak = 0.37f * (float) n * 4, step = peak / 8;
    const float mantissa = rintf (ldexpf (frexpf (step, &exponent), 11)),
                rounded = ldexpf (mantissa, exponent - 11);
    for (guint i = 0; i < n * 4; i++)
      ck_assert_msg (y[i] == rintf (y[i] / rounded) * rounded, "%g is no multiple of %.9g", y[i],
                     rounded);
    ck_assert (y[0] == -8 * rounded);
  }
}

/* The step goes through binary16 before it is used: the answers are what a decoder will see. */
START_TEST (fitting)
{
  test_probe = fit_and_look;
  g_autoptr (AfpTensor) G_GNUC_UNUSED a =
      chain ("test-ask vector=4 ! test-q planes=coeffs bits=4", "5x64", 1);
  g_autoptr (AfpTensor) G_GNUC_UNUSED b =
      chain ("test-ask vector=4 ! test-q planes=coeffs bits=4 layout=flat", "64x5", 2);
  test_probe = NULL;
  ck_assert_uint_eq (n_probes, 2);
}
END_TEST

/* --- the closed loop ---------------------------------------------------------------------------------------------- */

/* The codes that the asker chose are those in the file: the claiming element computes nothing again. */
START_TEST (frozen_codes_travel)
{
  test_n_encodes = 0;
  g_autoptr (AfpTensor) out =
      chain ("test-ask vector=4 ! test-tap ! test-q planes=coeffs bits=4 ! test-tap", "40x64", 1);
  const guint n_encodes = test_n_encodes;
  AfpPlane *open = test_find (afp_tensor_get_root (test_tapped ()->pdata[0]), "weight/coeffs");
  AfpPlane *taken = test_find (afp_tensor_get_root (test_tapped ()->pdata[1]), "weight/coeffs");
  ck_assert_ptr_null (afp_plane_get_codec (open));
  ck_assert_ptr_null (afp_plane_get_data (open));
  ck_assert_ptr_eq (taken, afp_plane_get_frozen (open));
  /* 40 rows of 8 blocks, four patterns; no call for the plane as a whole. */
  ck_assert_uint_eq (n_encodes, 40 * 8 * 4);
  ck_assert_str_eq (afp_plane_get_codec (test_find (afp_tensor_get_root (out), "weight/coeffs")),
                    "test-q");
}
END_TEST

START_TEST (the_fallback_answers_too)
{
  g_autoptr (AfpTensor) out = chain ("test-ask vector=4 ! test-tap", "40x64", 1);
  AfpPlane *open = test_find (afp_tensor_get_root (test_tapped ()->pdata[0]), "weight/coeffs");
  ck_assert_ptr_nonnull (afp_plane_get_frozen (open));
  ck_assert_ptr_eq (test_find (afp_tensor_get_root (out), "weight/coeffs"),
                    afp_plane_get_frozen (open));
  ck_assert_ptr_nonnull (strstr (test_plan (), "optimised with block-float"));
}
END_TEST

/* The pattern is chosen for the error after quantization: never worse than open loop, and better for this codec. */
START_TEST (the_loop_pays)
{
  static const char *const answers[] = { "", " ! test-pair planes=coeffs",
                                         " ! test-q planes=coeffs bits=2" };
  for (guint i = 0; i < G_N_ELEMENTS (answers); i++) {
    g_autofree char *closed = g_strconcat ("test-ask", answers[i], NULL);
    g_autofree char *open = g_strconcat ("test-ask open-loop=true", answers[i], NULL);
    g_autoptr (AfpTensor) tensor = test_tensor ("t", AFP_DTYPE_F32, "64x64", NULL, 8);
    g_autofree float *x = test_decode (tensor);
    g_autoptr (AfpTensor) a = chain (closed, "64x64", 1), b = chain (open, "64x64", 1);
    ck_assert_ptr_nonnull (strstr (test_plan (), "open loop (open-loop=true)"));
    g_autofree float *y = test_decode (a), *z = test_decode (b);
    const double with = test_nmse (x, y, 4096), without = test_nmse (x, z, 4096);
    /* Patterns of signs are nothing to test-pair, which codes signs itself. */
    ck_assert_msg (strstr (closed, "test-pair") ? with == without : with < without, "%s: %g and %g",
                   closed, with, without);
  }
}
END_TEST

/* Elements that judge or pass let the query through; decode and tee end it. */
START_TEST (through_neutral_elements)
{
  static const char *const same[] = { "identity ! ", "eval ! ",      "test-tap ! ",
                                      "select ! ",   "test-pack ! ", "test-q tensors=none ! " };
  g_autoptr (AfpTensor) direct = chain ("test-ask ! test-q planes=coeffs bits=3", "40x64", 1);
  g_autofree float *x = test_decode (direct);
  for (guint i = 0; i < G_N_ELEMENTS (same); i++) {
    g_autofree char *text =
        g_strconcat ("test-ask ! ", same[i], "test-q planes=coeffs bits=3", NULL);
    g_autoptr (AfpTensor) out = chain (text, "40x64", 1);
    g_autofree float *y = test_decode (out);
    ck_assert_msg (memcmp (x, y, 40 * 64 * 4) == 0, "%s", text);
  }
  g_autoptr (AfpTensor) G_GNUC_UNUSED out = chain (
      "test-ask ! tee name=t ! test-q planes=coeffs bits=3 force=true ! null t.", "40x64", 1);
  ck_assert_ptr_nonnull (strstr (test_plan (), "optimised with block-float"));
}
END_TEST

/* What the asker was told is what the file holds: the reconstruction of the quantizer is that of the decoder, bit for bit. */
static void
check_reconstruction (const char *text, guint block)
{
  g_autoptr (AfpTensor) out = chain (text, "16x96", 2);
  g_autofree float *y = test_decode (out),
                   *coeffs = test_decode_plane (
                       test_find (afp_tensor_get_root (out), "weight/coeffs"), NULL);
  g_autoptr (AfpTensor) open = afp_tensor_ref (test_tapped ()->pdata[0]);
  g_autofree float *z = test_decode (open),
                   *frozen = test_decode_plane (
                       test_find (afp_tensor_get_root (open), "weight/coeffs"), NULL);
  ck_assert_mem_eq (y, z, 16 * 96 * 4);
  ck_assert_mem_eq (coeffs, frozen, 16 * 96 * 4);
  for (guint i = 0; i < 16 * 96; i++)
    must (fabsf (y[i]) == fabsf (coeffs[i]));
  ck_assert_uint_eq (96 % block, 0);
}

START_TEST (reconstructions)
{
  check_reconstruction ("test-ask block=8 vector=4 ! test-tap", 8);
  check_reconstruction (
      "test-ask block=12 vector=3 metric=scalar ! test-tap ! test-q planes=coeffs bits=4", 12);
  check_reconstruction (
      "test-ask block=12 vector=6 metric=matrix ! test-tap ! test-q planes=coeffs bits=4 quantum=3",
      12);
  check_reconstruction (
      "test-ask block=12 vector=6 metric=diagonal ! test-tap ! test-pair planes=coeffs", 12);
  check_reconstruction (
      "test-ask block=8 vector=8 metric=matrix ! test-tap ! test-q planes=coeffs bits=4 quantum=2 layout=flat table=true",
      8);
}
END_TEST

/* Two planes of codes: each in its place and order. */
START_TEST (order_of_codes)
{
  g_autoptr (AfpQuantizer) quantizer = quantizer_of ("test-pair", 4, 8, 4);
  const float x[8] = { -1, 1, 2, -2, 0.5f, 0.5f, -3, -3 };
  static const guint32 expected[12] = {
    1, 0, 0, 1, 8, 16, 0, 0, 1, 1, 4, 24
  }; /* signs 4, levels 2 */
  guint32 codes[12];
  fit (quantizer, NULL, 0, NULL);
  ck_assert (afp_quantizer_quantize (quantizer, x, 2, NULL, codes, NULL, NULL, NULL));
  ck_assert_mem_eq (codes, expected, sizeof codes);
}
END_TEST

/* --- what cannot be ----------------------------------------------------------------------------------------------- */

START_TEST (answers_that_fail)
{
  GError *error = NULL;
  const float nan[4] = { 1, 2, NAN, 3 }, fine[4] = { 1, 2, 3, 4 };
  float y[4];
  g_autoptr (AfpQuantizer) broken = quantizer_of ("test-fail in=open", 4, 8, 4);
  ck_assert (!afp_quantizer_fit (broken, NULL, 0, NULL, &error));
  assert_error (error, AFP_ERROR_CODEC, "test-fail fails in open");
  ck_assert (!afp_quantizer_is_frozen (broken));
  g_autoptr (AfpQuantizer) unfit = quantizer_of ("test-fail in=fit", 4, 8, 4);
  ck_assert (!afp_quantizer_fit (unfit, fine, 1, NULL, &error));
  assert_error (error, AFP_ERROR_CODEC, "test-fail fails in fit");
  ck_assert (!afp_quantizer_is_frozen (unfit));
  g_autoptr (AfpQuantizer) encoder = quantizer_of ("test-fail in=encode", 4, 8, 4);
  fit (encoder, fine, 1, NULL);
  ck_assert (!afp_quantizer_quantize (encoder, fine, 1, NULL, NULL, y, NULL, &error));
  assert_error (error, AFP_ERROR_CODEC, "test-fail fails in encode");
  g_autoptr (AfpQuantizer) decoder = quantizer_of ("test-fail in=decode", 4, 8, 4);
  fit (decoder, fine, 1, NULL);
  ck_assert (!afp_quantizer_quantize (decoder, fine, 1, NULL, NULL, y, NULL, &error));
  assert_error (error, AFP_ERROR_FORMAT, "test-fail fails in decode");
  g_autoptr (AfpQuantizer) numbers = quantizer_of ("block-float", 4, 8, 4);
  fit (numbers, NULL, 0, NULL);
  ck_assert (!afp_quantizer_quantize (numbers, nan, 1, NULL, NULL, y, NULL, &error));
  assert_error (error, AFP_ERROR_CODEC, "block-float cannot store NaN");
}
END_TEST

/* Nobody can answer: the asker works in open loop, and the plan says why. */
START_TEST (open_loop)
{
  static const struct {
    const char *text, *why;
  } none[] = {
    { "test-ask vector=0", "open loop (the plane declares no vector length)" },
    { "test-ask ! test-q planes=coeffs bits=3 scale=row",
      "open loop (its plane 'scale' depends on rows)" },
    { "test-ask vector=4 ! test-q planes=coeffs bits=1 quantum=8",
      "open loop (vectors of 4 do not hold whole quanta of 8)" },
    { "test-ask ! test-flip planes=coeffs force=true",
      "open loop (it leaves a float plane 'flipped' of the same size)" },
    { "test-ask ! f16 planes=coeffs force=true", "open loop (it codes the plane as a whole)" },
    { "test-ask ! test-many planes=coeffs force=true",
      "open loop (it leaves more than 16 planes)" },
  };
  for (guint i = 0; i < G_N_ELEMENTS (none); i++) {
    g_autoptr (AfpTensor) G_GNUC_UNUSED out = chain (none[i].text, "16x64", 1);
    ck_assert_msg (strstr (test_plan (), none[i].why) != NULL, "%s: no '%s' in\n%s", none[i].text,
                   none[i].why, test_plan ());
  }
}
END_TEST

static TCase *
all (void)
{
  TCase *tcase = tcase_create ("quantizer");
  tcase_add_test (tcase, under_every_metric);
  tcase_add_test (tcase, the_metric_counts);
  tcase_add_test (tcase, metrics_of_parts);
  tcase_add_test (tcase, fitting);
  tcase_add_test (tcase, frozen_codes_travel);
  tcase_add_test (tcase, the_fallback_answers_too);
  tcase_add_test (tcase, the_loop_pays);
  tcase_add_test (tcase, through_neutral_elements);
  tcase_add_test (tcase, reconstructions);
  tcase_add_test (tcase, order_of_codes);
  tcase_add_test (tcase, answers_that_fail);
  tcase_add_test (tcase, open_loop);
  return tcase;
}

int
main (void)
{
  static TCase *(*const suites[]) (void) = { all };
  test_init ();
  return run_suite ("quantizer", suites, G_N_ELEMENTS (suites));
}
