/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vptq-test.h"

/* vptq as a plugin: decoding of planes written by hand, and the answer to the quantizer query. */

/* --- decoding: from bytes that are written here, as SPEC.md says -------------------------------------------------- */

/* Five centroids of two numbers: (0, 1), (2, 3), (4, 5), (6, 7), (8, 9). Indices of 3 bits. */
static const float five[] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 };
static const float two_scales[] = { 2, -1 };
/* rows of 3 numbers: 2 quanta each, 1 number of padding: indices 4 0 / 1 3 */
static const guint8 four_indices[] = { 4 | 0 << 3 | (1 & 3) << 6, 1 >> 2 | 3 << 1 };

#define FIVE "codebook=raw32/1{codes}"

START_TEST (decodes_by_hand)
{
  Leaf leaves[] = { { "weight/indices", four_indices, 2 },
                    { "weight/codebook/codes", (const guint8 *) five, sizeof five },
                    { NULL, NULL, 0 } };
  const float expected[] = { 8, 9, 0, 2, 3, 6 };
  GError *error = NULL;
  g_autoptr (AfpMatrix) matrix = open_recipe (
      "weight=vptq/1(vector-length=2,centroids=5,residual=false,scale=none){indices," FIVE "}", 2,
      3, leaves, &error);
  float values[6];

  ck_assert_msg (matrix != NULL, "%s", error ? error->message : "");
  ck_assert (afp_matrix_read (matrix, 0, 2, 0, 3, values, &error));
  ck_assert_mem_eq (values, expected, sizeof expected);
}
END_TEST

START_TEST (decodes_residual_and_scale_by_hand)
{
  const float residual[] = { 100, 200, 300, 0, 0, 0, 0.5f, 0 };
  Leaf leaves[] = { { "weight/indices", four_indices, 2 },
                    { "weight/codebook/codes", (const guint8 *) five, sizeof five },
                    { "weight/residual/codes", (const guint8 *) residual, sizeof residual },
                    { "weight/scale/codes", (const guint8 *) two_scales, sizeof two_scales },
                    { NULL, NULL, 0 } };
  const float expected[] = { 116, 218, 300, -2, -3, -5.5f };
  GError *error = NULL;
  g_autoptr (AfpMatrix) matrix = open_recipe (
      "weight=vptq/1(vector-length=2,centroids=5,residual=true,scale=row){indices," FIVE
      ",residual=raw32/1{codes},scale=raw32/1{codes}}",
      2, 3, leaves, &error);
  float values[6];

  ck_assert_msg (matrix != NULL, "%s", error ? error->message : "");
  ck_assert (afp_matrix_read (matrix, 0, 2, 0, 3, values, &error));
  ck_assert_mem_eq (values, expected, sizeof expected);
}
END_TEST

/* Vectors down the columns, two codebooks, a mean and a deviation for each column. */
#define TURNED                                                                                    \
  "weight=vptq/3(vector-length=2,centroids=5,residual=false,codebook=trained,axis=output,"        \
  "norm=column,residual-centroids=3){indices," FIVE ",residual-indices,residual-codebook=raw32/1" \
  "{codes},scale=raw32/1{codes},bias=raw32/1{codes}}"

static AfpMatrix *
open_turned (const guint8 *seconds, const float *bias, GError **error)
{
  static const float second[] = { 0, 0, 100, 200, 7, 7 };
  Leaf leaves[] = { { "weight/indices", four_indices, 2 },
                    { "weight/codebook/codes", (const guint8 *) five, sizeof five },
                    { "weight/residual-indices", seconds, 1 },
                    { "weight/residual-codebook/codes", (const guint8 *) second, sizeof second },
                    { "weight/scale/codes", (const guint8 *) two_scales, sizeof two_scales },
                    { "weight/bias/codes", (const guint8 *) bias, 2 * sizeof *bias },
                    { NULL, NULL, 0 } };

  return open_recipe (TURNED, 3, 2, leaves, error);
}

START_TEST (decodes_columns_by_hand)
{
  static const guint8 seconds[] = { 1 | 0 << 2 | 0 << 4 | 1 << 6 };
  static const float bias[] = { 10, 20 }, expected[] = { 226, 18, 428, 17, 10, -86 };
  GError *error = NULL;
  g_autoptr (AfpMatrix) matrix = open_turned (seconds, bias, &error);
  float values[6];

  ck_assert_msg (matrix != NULL, "%s", error ? error->message : "");
  ck_assert (afp_matrix_read (matrix, 0, 3, 0, 2, values, &error));
  ck_assert_mem_eq (values, expected, sizeof expected);
  ck_assert (afp_matrix_read (matrix, 1, 1, 1, 1, values, &error));
  ck_assert (values[0] == 17);
}
END_TEST

START_TEST (bad_columns_are_refused)
{
  static const guint8 seconds[] = { 1 | 0 << 2 | 3 << 4 | 1 << 6 };
  static const float bias[] = { 10, 20 }, nan[] = { 10, NAN };
  GError *error = NULL;
  g_autoptr (AfpMatrix) matrix = open_turned (seconds, bias, &error);
  float values[6];

  ck_assert (!afp_matrix_read (matrix, 0, 3, 0, 2, values, &error));
  assert_error (error, AFP_ERROR_FORMAT, "index 3", "row 1, column 0", "residual-centroids=3",
                "'residual-indices' is damaged");
  error = NULL;
  ck_assert_ptr_null (open_turned (seconds, nan, &error));
  assert_error (error, AFP_ERROR_FORMAT, "number 1 of 'bias'", "NaN");
}
END_TEST

/* --- encoding along the outputs ----------------------------------------------------------------------------------- */

static const struct {
  const char *properties;
  guint64 rows, cols;
  double nmse;
} turned[] = {
  { "axis=output v=4 k=256", 256, 256, 0.095 },
  { "axis=output v=6 k=64 norm=column", 100, 50, 0.28 },
  { "axis=output v=4 k=64 norm=column k2=16", 101, 64, 0.055 },
  { "axis=output v=4 codebook=builtin norm=column k2=16", 101, 64, 0.05 },
  { "axis=output v=2 codebook=builtin", 30, 40, 0.01 },
  { "v=4 k=64 k2=64", 128, 64, 0.03 },
  { "v=4 k=16 k2=16 scale=row", 64, 66, 0.14 },
};

/* The codebooks and norms that a decoder has are those that were searched; any number of threads gives the same bytes. */
START_TEST (columns_round_trip)
{
  const AfpPlaneDesc desc =
      make_desc (AFP_KIND_WEIGHT, turned[_i].rows, turned[_i].cols, 0, AFP_METRIC_NONE);
  g_autoptr (AfpPool) pool = afp_pool_new (3);
  Coded one, other;

  coded_init (&one, turned[_i].properties, &desc, FALSE, NULL);
  coded_init (&other, turned[_i].properties, &desc, FALSE, pool);
  ck_assert_msg (coded_nmse (&one) < turned[_i].nmse, "%s: %g", turned[_i].properties,
                 coded_nmse (&one));
  ck_assert_mem_eq (one.decoded, other.decoded, one.rows * one.cols * sizeof (float));
  coded_clear (&one);
  coded_clear (&other);
}
END_TEST

/* Columns of one number each come out as they are; far from zero, a norm pays. */
START_TEST (norm_takes_the_mean)
{
  const AfpPlaneDesc desc = make_desc (AFP_KIND_WEIGHT, 37, 16, 0, AFP_METRIC_NONE);
  g_autoptr (AfpClaim) claim = make_claim ("axis=output v=4 k=16 norm=column", &desc);
  float values[37 * 16], decoded[37 * 16];
  GError *error = NULL;

  for (guint i = 0; i < 37 * 16; i++)
    values[i] = (float) (i % 16) * 4 + (i % 16 == 3 ? (i / 16 % 2 ? 0.5f : -0.5f) : 0);
  g_autoptr (AfpMatrix) matrix = make_matrix (values, 37, 16);
  g_autoptr (AfpPlane) plane = afp_claim_encode (claim, matrix, NULL, "fc/weight", NULL, &error);
  ck_assert_msg (plane != NULL, "%s", error ? error->message : "");
  g_autoptr (AfpMatrix) back = afp_plane_open (plane, NULL, &error);
  ck_assert (afp_matrix_read (back, 0, 37, 0, 16, decoded, &error));
  for (guint i = 0; i < 37 * 16; i++)
    ck_assert_msg (fabsf (values[i] - decoded[i]) < (i % 16 == 3 ? 0.02f : 1e-6f), "%u: %g", i,
                   decoded[i]);
}
END_TEST

START_TEST (bad_index_is_refused)
{
  /* 4 0 / 1 5 */
  const guint8 indices[] = { 4 | 0 << 3 | (1 & 3) << 6, 1 >> 2 | 5 << 1 };
  Leaf leaves[] = { { "weight/indices", indices, 2 },
                    { "weight/codebook/codes", (const guint8 *) five, sizeof five },
                    { NULL, NULL, 0 } };
  GError *error = NULL;
  g_autoptr (AfpMatrix) matrix = open_recipe (
      "weight=vptq/1(vector-length=2,centroids=5,residual=false,scale=none){indices," FIVE "}", 2,
      3, leaves, &error);
  float values[6];

  ck_assert_msg (matrix != NULL, "%s", error ? error->message : "");
  ck_assert (afp_matrix_read (matrix, 0, 1, 0, 3, values, &error)); /* the first row is good */
  ck_assert (!afp_matrix_read (matrix, 0, 2, 0, 3, values, &error));
  assert_error (error, AFP_ERROR_FORMAT, "index 5", "row 1, column 2", "centroids=5", "damaged");
}
END_TEST

START_TEST (codebook_of_no_numbers_is_refused)
{
  float damaged[10];
  Leaf leaves[] = { { "weight/indices", four_indices, 2 },
                    { "weight/codebook/codes", (const guint8 *) damaged, sizeof damaged },
                    { NULL, NULL, 0 } };
  GError *error = NULL;

  memcpy (damaged, five, sizeof five);
  damaged[7] = _i ? NAN : -INFINITY;
  ck_assert_ptr_null (open_recipe (
      "weight=vptq/1(vector-length=2,centroids=5,residual=false,scale=none){indices," FIVE "}", 2,
      3, leaves, &error));
  assert_error (error, AFP_ERROR_FORMAT, "number 7 of 'codebook'", _i ? "NaN" : "infinite",
                "damaged");
}
END_TEST

START_TEST (scale_of_no_number_is_refused)
{
  const float nan[] = { NAN };
  Leaf leaves[] = { { "weight/indices", four_indices, 2 },
                    { "weight/codebook/codes", (const guint8 *) five, sizeof five },
                    { "weight/scale/codes", (const guint8 *) nan, sizeof nan },
                    { NULL, NULL, 0 } };
  GError *error = NULL;

  ck_assert_ptr_null (open_recipe (
      "weight=vptq/1(vector-length=2,centroids=5,residual=false,scale=tensor){indices," FIVE
      ",scale=raw32/1{codes}}",
      2, 3, leaves, &error));
  assert_error (error, AFP_ERROR_FORMAT, "number 0 of 'scale'", "NaN");
}
END_TEST

static const struct {
  const char *recipe;
  int code;
  const char *word;
} bad_recipes[] = {
  { "weight=vptq/5(vector-length=2,centroids=5){indices," FIVE "}", AFP_ERROR_PLUGIN, "version 5" },
  { "weight=vptq/1(vector-length=2,centroids=1){indices," FIVE "}", AFP_ERROR_FORMAT,
    "centroids=1" },
  { "weight=vptq/1(vector-length=2,centroids=5){indices}", AFP_ERROR_FORMAT, "damaged recipe" },
  { "weight=vptq/1(vector-length=2,centroids=5,residual=true){indices," FIVE "}", AFP_ERROR_FORMAT,
    "damaged recipe" },
  { "weight=vptq/1(vector-length=2,centroids=5){codebook=raw32/1{codes},indices}", AFP_ERROR_FORMAT,
    "damaged recipe" },
  { "weight=vptq/3(vector-length=2,centroids=5,axis=output,norm=column){indices," FIVE "}",
    AFP_ERROR_FORMAT, "damaged recipe" },
  { "weight=vptq/3(vector-length=2,centroids=5,residual-centroids=2){indices," FIVE "}",
    AFP_ERROR_FORMAT, "damaged recipe" },
  { "weight=vptq/3(vector-length=2,centroids=5,axis=across){indices," FIVE "}", AFP_ERROR_FORMAT,
    "axis=across" },
};

START_TEST (bad_recipes_are_refused)
{
  Leaf leaves[] = { { "weight/indices", four_indices, 2 },
                    { "weight/codebook/codes", (const guint8 *) five, sizeof five },
                    { NULL, NULL, 0 } };
  GError *error = NULL;

  ck_assert_ptr_null (open_recipe (bad_recipes[_i].recipe, 2, 3, leaves, &error));
  assert_error (error, bad_recipes[_i].code, bad_recipes[_i].word);
}
END_TEST

static TCase *
decode_case (void)
{
  TCase *tcase = tcase_create ("decode");
  tcase_add_test (tcase, decodes_by_hand);
  tcase_add_test (tcase, decodes_residual_and_scale_by_hand);
  tcase_add_test (tcase, decodes_columns_by_hand);
  tcase_add_test (tcase, bad_columns_are_refused);
  tcase_add_loop_test (tcase, columns_round_trip, 0, G_N_ELEMENTS (turned));
  tcase_add_test (tcase, norm_takes_the_mean);
  tcase_add_test (tcase, bad_index_is_refused);
  tcase_add_loop_test (tcase, codebook_of_no_numbers_is_refused, 0, 2);
  tcase_add_test (tcase, scale_of_no_number_is_refused);
  tcase_add_loop_test (tcase, bad_recipes_are_refused, 0, G_N_ELEMENTS (bad_recipes));
  return tcase;
}

/* --- the query ---------------------------------------------------------------------------------------------------- */

#define N_VECTORS 2000

/* Vectors of four numbers and a matrix for each. */
static void
make_vectors (float **vectors, float **metric)
{
  *vectors = make_values (N_VECTORS, 4, FALSE);
  g_autofree float *u = make_values (N_VECTORS, 12, FALSE);
  *metric = g_new (float, N_VECTORS * 16);
  for (guint n = 0; n < N_VECTORS; n++)
    for (guint i = 0; i < 16; i++) {
      const float *r = u + n * 12;
      (*metric)[n * 16 + i] =
          r[i / 4] * r[i % 4] + r[4 + i / 4] * r[4 + i % 4] + r[8 + i / 4] * r[8 + i % 4];
    }
}

static double
sum (const float *x, guint n)
{
  double total = 0;

  for (guint i = 0; i < n; i++)
    total += x[i];
  return total;
}

START_TEST (quantizer_serves_the_metric)
{
  const AfpPlaneDesc desc = make_desc (AFP_KIND_COEFFS, 512, 512, 4, AFP_METRIC_MATRIX);
  g_autoptr (AfpClaim) claim = make_claim ("k=32", &desc);
  g_autofree float *vectors = NULL, *data = NULL;
  g_autofree float *errors = g_new (float, N_VECTORS), *other = g_new (float, N_VECTORS);
  g_autofree float *values = g_new (float, N_VECTORS * 4);
  g_autofree guint32 *codes = g_new (guint32, N_VECTORS);
  GError *error = NULL;

  ck_assert_pstr_eq (afp_claim_get_open_loop_reason (claim), NULL);
  make_vectors (&vectors, &data);
  const AfpMetric metric = { AFP_METRIC_MATRIX, 4, data };
  g_autoptr (AfpQuantizer) quantizer = afp_quantizer_new (claim, "fc/weight/coeffs", NULL, &error);
  ck_assert_ptr_nonnull (quantizer);
  ck_assert (afp_quantizer_needs_fit (quantizer));
  ck_assert_uint_eq (afp_quantizer_get_n_codes (quantizer), 1);
  ck_assert_msg (afp_quantizer_fit (quantizer, vectors, N_VECTORS, &metric, &error), "%s",
                 error ? error->message : "");
  ck_assert (afp_quantizer_quantize (quantizer, vectors, N_VECTORS, &metric, codes, values, errors,
                                     &error));
  for (guint i = 0; i < N_VECTORS; i++) {
    ck_assert_uint_lt (codes[i], 32);
    /* no other centroid in use is nearer */
    for (guint j = 0; j < 64; j++)
      ck_assert_float_le (errors[i],
                          afp_metric_error (&metric, i, vectors + 4 * i, values + 4 * j) * 1.001f +
                              1e-4f);
  }
  /* the plain metric chooses otherwise, and worse */
  ck_assert (
      afp_quantizer_quantize (quantizer, vectors, N_VECTORS, NULL, codes, values, NULL, &error));
  for (guint i = 0; i < N_VECTORS; i++)
    other[i] = afp_metric_error (&metric, i, vectors + 4 * i, values + 4 * i);
  ck_assert_double_lt (sum (errors, N_VECTORS), 0.8 * sum (other, N_VECTORS));
  /* one by one is the same */
  for (guint i = 0; i < 50; i++) {
    const AfpMetric one = { AFP_METRIC_MATRIX, 4, data + 16 * i };
    float single;
    ck_assert (afp_quantizer_quantize (quantizer, vectors + 4 * i, 1, &one, codes, values, &single,
                                       &error));
    ck_assert (single == errors[i]);
  }
}
END_TEST

START_TEST (quantizer_goes_on_from_the_last_fit)
{
  const AfpPlaneDesc desc = make_desc (AFP_KIND_COEFFS, 64, 64, 4, AFP_METRIC_MATRIX);
  g_autoptr (AfpClaim) claim = make_claim ("k=32 iterations=2", &desc);
  g_autofree float *vectors = NULL, *data = NULL, *errors = g_new (float, N_VECTORS);
  double last = G_MAXDOUBLE;
  GError *error = NULL;

  make_vectors (&vectors, &data);
  const AfpMetric metric = { AFP_METRIC_MATRIX, 4, data };
  g_autoptr (AfpQuantizer) quantizer = afp_quantizer_new (claim, "fc/weight/coeffs", NULL, &error);
  for (guint i = 0; i < 4; i++) {
    ck_assert (afp_quantizer_fit (quantizer, vectors, N_VECTORS, &metric, &error));
    ck_assert (afp_quantizer_quantize (quantizer, vectors, N_VECTORS, &metric, NULL, NULL, errors,
                                       &error));
    ck_assert_double_lt (sum (errors, N_VECTORS), last);
    last = sum (errors, N_VECTORS);
  }
}
END_TEST

START_TEST (quantizer_of_parts)
{
  const AfpPlaneDesc desc = make_desc (AFP_KIND_COEFFS, 64, 64, 4, AFP_METRIC_MATRIX);
  g_autoptr (AfpClaim) claim = make_claim ("v=2 k=64 scale=tensor", &desc);
  g_autofree float *vectors = NULL, *data = NULL, *values = g_new (float, N_VECTORS * 4);
  g_autofree guint32 *codes = g_new (guint32, N_VECTORS * 2);
  GError *error = NULL;

  make_vectors (&vectors, &data);
  const AfpMetric metric = { AFP_METRIC_MATRIX, 4, data };
  g_autoptr (AfpQuantizer) quantizer = afp_quantizer_new (claim, "fc/weight/coeffs", NULL, &error);
  ck_assert_uint_eq (afp_quantizer_get_n_codes (quantizer), 2);
  ck_assert_msg (afp_quantizer_fit (quantizer, vectors, N_VECTORS, &metric, &error), "%s",
                 error ? error->message : "");
  ck_assert (
      afp_quantizer_quantize (quantizer, vectors, N_VECTORS, NULL, codes, values, NULL, &error));
  ck_assert_double_lt (afp_squared_error (vectors, values, N_VECTORS * 4), 0.08 * N_VECTORS * 4);
}
END_TEST

static const struct {
  const char *properties;
  guint vector;
  const char *word;
} open_loops[] = {
  { "residual=true", 4, "'residual'" },
  { "scale=row", 4, "'scale'" },
  { "", 0, "no vector length" },
};

START_TEST (what_is_no_quantizer)
{
  const AfpPlaneDesc desc =
      make_desc (AFP_KIND_COEFFS, 64, 64, open_loops[_i].vector, AFP_METRIC_NONE);
  g_autoptr (AfpClaim) claim = make_claim (open_loops[_i].properties, &desc);
  GError *error = NULL;

  ck_assert_ptr_nonnull (strstr (afp_claim_get_open_loop_reason (claim), open_loops[_i].word));
  ck_assert_ptr_null (afp_quantizer_new (claim, "fc/weight/coeffs", NULL, &error));
  assert_error (error, AFP_ERROR_CODEC, "vptq", open_loops[_i].word);
}
END_TEST

static TCase *
query_case (void)
{
  TCase *tcase = tcase_create ("query");
  tcase_add_test (tcase, quantizer_serves_the_metric);
  tcase_add_test (tcase, quantizer_goes_on_from_the_last_fit);
  tcase_add_test (tcase, quantizer_of_parts);
  tcase_add_loop_test (tcase, what_is_no_quantizer, 0, G_N_ELEMENTS (open_loops));
  return tcase;
}

int
main (void)
{
  TCase *(*const cases[]) (void) = { decode_case, query_case };

  return run_suite ("vptq-block", cases, G_N_ELEMENTS (cases));
}
