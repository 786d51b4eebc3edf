/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-bits.h"
#include "vptq-test.h"
#include "vptq/vptq-rate-kernel.h"
#include "vptq/vptq-train-kernel.h"

#include <stdlib.h>

START_TEST (test_places)
{
  ck_assert_float_eq_tol (vptq_rate_place (1, 8, 12), 6, 1e-6); /* 3 bits at 12 */
  ck_assert (vptq_rate_place (8, 8, 12) == 0);
  ck_assert (vptq_rate_place (0, 8, 12) == VPTQ_RATE_NEVER);
}
END_TEST

START_TEST (test_longer_vectors)
{
  static const float x[] = { 1, 2, 3, 4 }, last[] = { 5, 6 }, matrix[] = { 1, 2, 2, 5 };
  static const float with[] = { 1, 2, 5, 3, 4, 6 }, without[] = { 1, 2, 0, 3, 4, 0 };
  static const float longer[] = { 1, 2, 0, 2, 5, 0, 0, 0, 7 };
  float out[9];

  vptq_rate_vectors (x, 2, 2, last, out);
  ck_assert_mem_eq (out, with, sizeof with);
  vptq_rate_cut (with, 2, 2, out);
  ck_assert_mem_eq (out, x, sizeof x);
  vptq_rate_vectors (x, 2, 2, NULL, out);
  ck_assert_mem_eq (out, without, sizeof without);
  ck_assert_int_eq (vptq_rate_metric_kind (VPTQ_METRIC_MATRIX), VPTQ_METRIC_MATRIX);
  vptq_rate_metric (VPTQ_METRIC_MATRIX, matrix, 2, 1, 7, out);
  ck_assert_mem_eq (out, longer, sizeof longer);
  ck_assert_int_eq (vptq_rate_metric_kind (VPTQ_METRIC_NONE), VPTQ_METRIC_DIAGONAL);
  vptq_rate_metric (VPTQ_METRIC_SCALAR, x, 2, 2, 7, out);
  ck_assert (out[0] == 1 && out[1] == 1 && out[2] == 7 && out[3] == 2 && out[5] == 7);
}
END_TEST

/* Error + rate * bits of a training: what it minimises. */
START_TEST (test_training)
{
  enum { V = 3, K = 64, N = 6000 };
  g_autofree float *x = make_values (N, V, FALSE), *longer = g_new (float, N *(V + 1));
  float codebook[K * (V + 1)], occupancy[K];
  g_autofree gpointer workspace = g_malloc (vptq_train_bytes (N, K, V + 1));
  VptqTrainJob job = {
    .length = V + 1, .n_centroids = K, .iterations = 30, .vectors = longer, .n = N, .rate = 0.5
  };
  double objectives[31], sum = 0;
  guint used = 0;

  vptq_rate_vectors (x, V, N, NULL, longer);
  const int n = vptq_train (&job, workspace, codebook, occupancy, objectives);
  ck_assert_int_gt (n, 3);
  for (int i = 2; i < n; i++) /* the first is without bits */
    ck_assert_double_le (objectives[i], objectives[i - 1] * (1 + 1e-6));
  for (guint i = 0; i < K; i++) {
    sum += occupancy[i];
    used += occupancy[i] > 0;
    ck_assert_float_eq_tol (codebook[i * (V + 1) + V],
                            vptq_rate_place ((size_t) occupancy[i], N, 0.5),
                            1e-4 * VPTQ_RATE_NEVER);
    ck_assert ((occupancy[i] == 0) == (codebook[i * (V + 1) + V] == VPTQ_RATE_NEVER));
  }
  ck_assert_double_eq (sum, N);
  ck_assert_uint_lt (used, K); /* some die */
  ck_assert_uint_gt (used, 4);
}
END_TEST

/* --- the codec ------------------------------------------------------------------------------------------------------ */

/* Bits per vector of a plane's indices, were their codes ideal. */
static double
count_bits (AfpPlane *plane, guint k)
{
  AfpPlane *indices = afp_plane_get_child (plane, 0);
  const AfpPlaneDesc *desc = afp_plane_get_desc (indices);
  const gsize n = desc->rows * desc->cols;
  g_autofree guint32 *codes = g_new (guint32, n), *counts = g_new0 (guint32, k);
  GError *error = NULL;
  double bits = 0;

  g_autoptr (GBytes) bytes = afp_plane_get_codes (indices, &error);
  ck_assert_ptr_nonnull (bytes);
  afp_bits_unpack (g_bytes_get_data (bytes, NULL), 0, codes, n, desc->bits);
  for (gsize i = 0; i < n; i++)
    counts[codes[i]]++;
  for (guint i = 0; i < k; i++)
    bits += counts[i] ? counts[i] * log2 ((double) n / counts[i]) : 0;
  return bits / (double) n;
}

static void
code (const char *properties, gboolean uneven, double *bits, double *nmse)
{
  const AfpPlaneDesc desc = make_desc (AFP_KIND_WEIGHT, 96, 256, 0, AFP_METRIC_NONE);
  Coded coded;

  coded_init (&coded, properties, &desc, uneven, NULL);
  *bits = count_bits (coded.plane, 128);
  *nmse = coded_nmse (&coded);
  coded_clear (&coded);
}

/* 128 centroids at the bits of 32 err less than 32. */
START_TEST (beats_a_fixed_rate)
{
  double bits, nmse, fixed_bits, fixed_nmse;

  code ("v=4 k=32", FALSE, &fixed_bits, &fixed_nmse);
  code ("v=4 k=128 rate-lambda=0.35", FALSE, &bits, &nmse);
  ck_assert_double_lt (bits, 5);
  ck_assert_double_lt (nmse, 0.97 * fixed_nmse);
}
END_TEST

/* Rows of any size: bits are worth the same in each; and more lambda, fewer bits. */
START_TEST (rows_of_scale)
{
  double bits[2], nmse[2];

  code ("v=4 k=128 scale=row rate-lambda=0.02", TRUE, &bits[0], &nmse[0]);
  code ("v=4 k=128 scale=row rate-lambda=0.1", TRUE, &bits[1], &nmse[1]);
  ck_assert_double_lt (bits[1], bits[0] - 0.5);
  ck_assert_double_gt (nmse[1], nmse[0]);
  ck_assert_double_lt (nmse[1], 0.3);
}
END_TEST

START_TEST (refusals)
{
  static const char *const cases[][2] = {
    { "rate-lambda=0.1 codebook=builtin v=4 k=256",
      "rate-lambda needs the codebook of one tensor" },
    { "rate-lambda=0.1 sharing=model", "rate-lambda needs the codebook of one tensor" },
    { "rate-lambda=0.1 k2=16", "rate-lambda and residual-centroids exclude each other" },
    { "rate-lambda=0.1 v=64", "vector-length=64 must be 63 or less" },
  };
  const AfpPlaneDesc desc = make_desc (AFP_KIND_WEIGHT, 64, 256, 0, AFP_METRIC_NONE);
  g_autoptr (AfpElement) element = make_vptq (cases[_i][0]);
  g_autoptr (GError) error = NULL;

  ck_assert_ptr_null (afp_codec_describe (AFP_CODEC (element), &desc, &error));
  ck_assert_ptr_nonnull (error);
  ck_assert_msg (strstr (error->message, cases[_i][1]) != NULL, "%s", error->message);
}
END_TEST

static TCase *
all (void)
{
  TCase *tcase = tcase_create ("rate");
  tcase_add_test (tcase, test_places);
  tcase_add_test (tcase, test_longer_vectors);
  tcase_add_test (tcase, test_training);
  tcase_add_test (tcase, beats_a_fixed_rate);
  tcase_add_test (tcase, rows_of_scale);
  tcase_add_loop_test (tcase, refusals, 0, 4);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { all };
  return run_suite ("vptq-rate-kernel", cases, G_N_ELEMENTS (cases));
}
