/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-test.h"
#include "vptq-test.h"

#include "afp-bits.h"

/* Columns with codebooks of their own, and codebooks that are trained again. */

/* --- decoding: from bytes that are written here, as SPEC.md says ---------------------------------------------------- */

/* Two groups of two centroids of two numbers each. */
static const float four[] = { 0, 1, 2, 3, 4, 5, 6, 7 };
static const guint8 indices[] = { 1 | 0 << 1 | 0 << 2 | 1 << 3 };

static AfpMatrix *
open_groups (const char *params, const guint8 *groups, const guint8 *codes, GError **error)
{
  g_autofree char *recipe =
      g_strdup_printf ("weight=vptq/4(vector-length=2,centroids=2,residual=false,"
                       "scale=none,codebook=trained,%s){indices,codebook="
                       "raw32/1{codes},groups}",
                       params);
  Leaf leaves[] = { { "weight/indices", codes, 1 },
                    { "weight/codebook/codes", (const guint8 *) four, sizeof four },
                    { "weight/groups", groups, 1 },
                    { NULL, NULL, 0 } };

  return open_recipe (recipe, 2, strstr (params, "output") ? 2 : 3, leaves, error);
}

static void
assert_decodes (AfpMatrix *matrix, guint64 cols, const float *expected)
{
  float values[6];

  ck_assert (afp_matrix_read (matrix, 0, 2, 0, cols, values, NULL));
  ck_assert_mem_eq (values, expected, 2 * cols * sizeof *values);
}

START_TEST (decodes_by_hand)
{
  static const guint8 groups[] = { 1 | 0 << 1 }, columns[] = { 0 | 1 << 1 };
  static const guint8 two[] = { 1 | 0 << 1 };
  GError *error = NULL;
  g_autoptr (AfpMatrix) rows = open_groups ("groups=2", groups, indices, &error);
  ck_assert_msg (rows != NULL, "%s", error ? error->message : "");
  assert_decodes (rows, 3, (const float[]){ 6, 7, 0, 4, 5, 2 });
  /* A place is a column: the first has centroid 1 of group 0, the second 0 of group 1. */
  g_autoptr (AfpMatrix) turned = open_groups ("axis=output,groups=2", columns, two, &error);
  ck_assert_msg (turned != NULL, "%s", error ? error->message : "");
  assert_decodes (turned, 2, (const float[]){ 2, 4, 3, 5 });
}
END_TEST

static const struct {
  const char *params;
  guint8 groups;
  int code;
  const char *word, *hint;
} damaged[] = {
  { "groups=0", 0, AFP_ERROR_FORMAT, "groups=0", "1..256" },
  { "groups=257", 0, AFP_ERROR_FORMAT, "groups=257", "1..256" },
  { "groups=1", 0, AFP_ERROR_FORMAT, "damaged", "32 bytes" },
  { "groups=2,residual-centroids=2", 0, AFP_ERROR_FORMAT, "exclude", "residual-centroids" },
  { "groups=2,outliers=3", 0, AFP_ERROR_FORMAT, "outliers", "vptq" },
};

START_TEST (damaged_recipes_are_refused)
{
  GError *error = NULL;

  ck_assert_ptr_null (open_groups (damaged[_i].params, &damaged[_i].groups, indices, &error));
  assert_error (error, damaged[_i].code, damaged[_i].word, damaged[_i].hint);
}
END_TEST

/* Three groups of one bit more: 3 is none of them; and an index that no group has. */
START_TEST (bad_codes_are_refused)
{
  static const float six[] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 0, 0, 0, 0, 0, 0 };
  const guint8 groups = _i ? 0 | 2 << 2 : 3 | 1 << 2, codes = 1 | 3 << 2 | 0 << 4 | 2 << 6;
  Leaf leaves[] = { { "weight/indices", &codes, 1 },
                    { "weight/codebook/codes", (const guint8 *) six, sizeof six },
                    { "weight/groups", &groups, 1 },
                    { NULL, NULL, 0 } };
  GError *error = NULL;
  g_autoptr (AfpMatrix) matrix = open_recipe (
      "weight=vptq/4(vector-length=2,centroids=3,residual=false,scale=none,codebook=trained,"
      "groups=3){indices,codebook=raw32/1{codes},groups}",
      2, 3, leaves, &error);
  float values[6];

  if (_i == 0) {
    ck_assert_ptr_null (matrix);
    assert_error (error, AFP_ERROR_FORMAT, "number 0 of 'groups' is 3", "groups=3", "damaged");
    return;
  }
  ck_assert_ptr_nonnull (matrix);
  ck_assert (!afp_matrix_read (matrix, 0, 2, 0, 3, values, &error));
  assert_error (error, AFP_ERROR_FORMAT, "index 3", "row 0, column 2", "centroids=3");
}
END_TEST

/* --- planes --------------------------------------------------------------------------------------------------------- */

START_TEST (layout)
{
  const AfpPlaneDesc desc = make_desc (AFP_KIND_WEIGHT, 64, 66, 0, AFP_METRIC_NONE);
  g_autoptr (AfpElement) element = make_vptq ("v=4 k=16 groups=2 outliers=5 residual=true");
  GError *error = NULL;
  g_autoptr (AfpLayout) made = afp_codec_describe (AFP_CODEC (element), &desc, &error);
  ck_assert_msg (made != NULL, "%s", error ? error->message : "");
  g_autofree char *params = afp_layout_get_params (made);
  const AfpPlaneDesc *codebook = afp_layout_get_child (made, 1);
  const AfpPlaneDesc *groups = afp_layout_get_child (made, 3);

  ck_assert (codebook->rows == 3 * 16 && codebook->cols == 4);
  ck_assert_str_eq (groups->name, "groups");
  ck_assert (groups->rows * groups->cols == 17 && groups->bits == 2);
  ck_assert_ptr_nonnull (strstr (params, "groups=3"));
  ck_assert_ptr_null (strstr (params, "outliers"));
}
END_TEST

static guint32 *
read_groups (const Coded *coded, guint child, gsize n)
{
  AfpPlane *plane = afp_plane_get_child (coded->plane, child);
  guint32 *groups = g_new (guint32, n);

  ck_assert_str_eq (afp_plane_get_desc (plane)->name, "groups");
  afp_bits_unpack (g_bytes_get_data (afp_plane_get_data (plane), NULL), 0, groups, n,
                   afp_plane_get_desc (plane)->bits);
  return groups;
}

static const struct {
  const char *properties, *plain;
  double at_most; /* of the error of one codebook for all */
} better[] = {
  { "v=4 k=32 outliers=10", "v=4 k=32", 0.95 },
  { "v=4 k=32 groups=2", "v=4 k=32", 0.97 },
  { "v=2 k=16 groups=2 outliers=3 scale=row", "v=2 k=16 scale=row", 0.98 },
  { "v=4 k=32 groups=4 axis=output", "v=4 k=32 axis=output", 0.9 },
  { "v=4 k=32 outliers=12 axis=output norm=column", "v=4 k=32 axis=output norm=column", 0.99 },
};

static double
error_of (const char *properties, const float *values, guint64 rows, guint64 cols)
{
  const AfpPlaneDesc desc = make_desc (AFP_KIND_WEIGHT, rows, cols, 0, AFP_METRIC_NONE);
  g_autoptr (AfpClaim) claim = make_claim (properties, &desc);
  g_autoptr (AfpMatrix) matrix = make_matrix (values, rows, cols);
  GError *error = NULL;
  g_autoptr (AfpPlane) plane = afp_claim_encode (claim, matrix, NULL, "fc/weight", NULL, &error);
  ck_assert_msg (plane != NULL, "%s", error ? error->message : "");
  g_autofree float *decoded = read_plane (plane);
  double sum = 0;

  for (guint64 i = 0; i < rows * cols; i++)
    sum += pow ((double) values[i] - decoded[i], 2);
  return sum;
}

/* Columns of different size. */
static float *
make_columns (guint64 rows, guint64 cols)
{
  float *values = make_values (rows, cols, FALSE);

  for (guint64 i = 0; i < rows * cols; i++)
    values[i] *= i % cols / 4 % 9 == 2 ? 8 : 1;
  return values;
}

START_TEST (groups_help_uneven_columns)
{
  g_autofree float *values = make_columns (128, 72);
  const double ratio = error_of (better[_i].properties, values, 128, 72) /
                       error_of (better[_i].plain, values, 128, 72);

  ck_assert_msg (ratio < better[_i].at_most, "%s: %g", better[_i].properties, ratio);
}
END_TEST

/* Two of 18 places hold nearly all of the squares: they make up the first group. */
START_TEST (outliers_are_what_counts_most)
{
  const AfpPlaneDesc desc = make_desc (AFP_KIND_WEIGHT, 128, 72, 0, AFP_METRIC_NONE);
  g_autoptr (AfpClaim) claim = make_claim ("v=4 k=8 outliers=11 groups=2", &desc);
  g_autofree float *values = make_columns (128, 72);
  g_autoptr (AfpMatrix) matrix = make_matrix (values, 128, 72);
  Coded coded = { .plane = afp_claim_encode (claim, matrix, NULL, "fc/weight", NULL, NULL) };
  g_autofree guint32 *groups = read_groups (&coded, 2, 18);
  guint counts[3] = { 0 };

  for (guint i = 0; i < 18; i++) {
    counts[groups[i]]++;
    ck_assert_int_eq (groups[i] == 0, i % 9 == 2);
  }
  ck_assert (counts[0] == 2 && counts[1] == 8 && counts[2] == 8);
  afp_plane_unref (coded.plane);
}
END_TEST

static const char *const kinds[] = {
  "v=4 k=64 groups=3",           "v=3 k=20 outliers=2 scale=tensor residual=true",
  "v=8 k=16 groups=5 scale=row", "v=4 k=16 groups=2 outliers=50 axis=output norm=column",
  "v=64 k=4 groups=256", /* more groups than places */
};

START_TEST (threads_do_not_matter)
{
  const AfpPlaneDesc desc = make_desc (AFP_KIND_WEIGHT, 300, 101, 0, AFP_METRIC_NONE);
  Coded one, many;

  coded_init (&one, kinds[_i], &desc, TRUE, NULL);
  g_autoptr (AfpPool) pool = afp_pool_new (3);
  coded_init (&many, kinds[_i], &desc, TRUE, pool);
  ck_assert_mem_eq (one.decoded, many.decoded, 300 * 101 * sizeof (float));
  g_autoptr (GBytes) a = test_tree_bytes (one.plane);
  g_autoptr (GBytes) b = test_tree_bytes (many.plane);
  ck_assert (g_bytes_equal (a, b));
  coded_clear (&one);
  coded_clear (&many);
}
END_TEST

/* --- with what is known of the inputs ------------------------------------------------------------------------------- */

static GBytes *
run_bytes (const char *text)
{
  g_autoptr (AfpTensor) tensor = test_tensor_with_moments ("t", "96x64", FALSE, 5);
  test_set_tensors (tensor, NULL);
  g_autoptr (AfpTensor) out = test_run (text, 2);

  return test_tree_bytes (afp_tensor_get_root (out));
}

static const char *const fed[] = { "vptq v=4 k=16 feedback=true",
                                   "vptq v=4 k=16 k2=4 feedback=true",
                                   "vptq v=4 k=16 outliers=5 feedback=true order=importance" };

/* A refit changes the codebook where there is feedback, and is none elsewhere. */
START_TEST (refits)
{
  g_autofree char *more = g_strconcat (fed[_i], " refits=2", NULL);
  g_autoptr (GBytes) a = run_bytes (fed[_i]);
  g_autoptr (GBytes) b = run_bytes (more);
  g_autoptr (GBytes) again = run_bytes (more);
  ck_assert (!g_bytes_equal (a, b));
  ck_assert (g_bytes_equal (again, b));
  ck_assert_uint_eq (g_bytes_get_size (a), g_bytes_get_size (b));
}
END_TEST

START_TEST (refits_without_feedback)
{
  g_autoptr (GBytes) a = run_bytes ("vptq v=4 k=16");
  g_autoptr (GBytes) b = run_bytes ("vptq v=4 k=16 refits=3");

  ck_assert (g_bytes_equal (a, b));
}
END_TEST

/* --- refusals ------------------------------------------------------------------------------------------------------- */

static const struct {
  const char *properties, *word, *hint;
} bad_pairs[] = {
  { "groups=2 codebook=builtin v=4 k=16", "codebook of one tensor", "leave out" },
  { "outliers=1 sharing=model", "codebook of one tensor", "sharing=model" },
  { "outliers=1 rate-lambda=0.1", "exclude rate-lambda", "leave one" },
  { "groups=2 k2=8", "exclude residual-centroids", "leave one" },
};

START_TEST (what_does_not_go_together)
{
  const AfpPlaneDesc desc = make_desc (AFP_KIND_WEIGHT, 64, 64, 0, AFP_METRIC_NONE);
  g_autoptr (AfpElement) element = make_vptq (bad_pairs[_i].properties);
  GError *error = NULL;

  ck_assert_ptr_null (afp_codec_describe (AFP_CODEC (element), &desc, &error));
  assert_error (error, AFP_ERROR_PROPERTY, bad_pairs[_i].word, bad_pairs[_i].hint);
}
END_TEST

START_TEST (no_columns_of_inputs)
{
  const AfpPlaneDesc desc = make_desc (AFP_KIND_COEFFS, 64, 64, 4, AFP_METRIC_NONE);
  g_autoptr (AfpElement) element = make_vptq (_i ? "groups=2" : "outliers=1");
  GError *error = NULL;

  ck_assert_ptr_null (afp_codec_describe (AFP_CODEC (element), &desc, &error));
  assert_error (error, AFP_ERROR_PLAN, "'coeffs'", "4 numbers", "groups=1 and outliers=0");
}
END_TEST

static const struct {
  const char *text, *word, *hint;
} bad_properties[] = {
  { "groups=0", "groups=0", "1..256" },        { "groups=257", "groups=257", "1..256" },
  { "outliers=-1", "outliers=-1", "0..50" },   { "outliers=51", "outliers=51", "0..50" },
  { "outliers=few", "outliers=few", "0..50" }, { "refits=17", "refits=17", "0..16" },
};

START_TEST (properties_are_checked)
{
  g_autoptr (AfpElement) element = make_vptq ("");
  GError *error = NULL;

  ck_assert (!afp_element_set_properties_text (element, bad_properties[_i].text, &error));
  assert_error (error, AFP_ERROR_PROPERTY, bad_properties[_i].word, bad_properties[_i].hint);
}
END_TEST

static TCase *
all (void)
{
  TCase *tcase = tcase_create ("groups");
  tcase_add_test (tcase, decodes_by_hand);
  tcase_add_loop_test (tcase, damaged_recipes_are_refused, 0, G_N_ELEMENTS (damaged));
  tcase_add_loop_test (tcase, bad_codes_are_refused, 0, 2);
  tcase_add_test (tcase, layout);
  tcase_add_loop_test (tcase, groups_help_uneven_columns, 0, G_N_ELEMENTS (better));
  tcase_add_test (tcase, outliers_are_what_counts_most);
  tcase_add_loop_test (tcase, threads_do_not_matter, 0, G_N_ELEMENTS (kinds));
  tcase_add_loop_test (tcase, refits, 0, G_N_ELEMENTS (fed));
  tcase_add_test (tcase, refits_without_feedback);
  tcase_add_loop_test (tcase, what_does_not_go_together, 0, G_N_ELEMENTS (bad_pairs));
  tcase_add_loop_test (tcase, no_columns_of_inputs, 0, 2);
  tcase_add_loop_test (tcase, properties_are_checked, 0, G_N_ELEMENTS (bad_properties));
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { all };
  test_init ();
  return run_suite ("vptq-group", cases, G_N_ELEMENTS (cases));
}
