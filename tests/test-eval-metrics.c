/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-test.h"
#include "eval/eval-metrics.h"

#include <math.h>

/* Totals over tensors, and the comparison of two matrices in tiles. */

static AfpTensor *
coded (const char *name, const char *chain, guint64 seed)
{
  g_autoptr (AfpTensor) tensor = test_tensor (name, AFP_DTYPE_F32, "20x30", NULL, seed);
  test_set_tensors (tensor, NULL);
  return test_run (chain, 1);
}

static double
get (const EvalTotals *totals, const char *metric)
{
  double value = -1;
  ck_assert (eval_totals_get (totals, metric, &value));
  return value;
}

static JsonNode *
in_json (JsonNode *root, const char *path)
{
  JsonNode *node = root;
  g_auto (GStrv) parts = g_strsplit (path, ".", -1);
  for (guint i = 0; parts[i]; i++)
    if (JSON_NODE_HOLDS_ARRAY (node))
      node = json_array_get_element (json_node_get_array (node),
                                     (guint) g_ascii_strtoull (parts[i], NULL, 10));
    else
      node = json_object_get_member (json_node_get_object (node), parts[i]);
  ck_assert_msg (node != NULL, "no %s", path);
  return node;
}

START_TEST (sums_over_tensors)
{
  g_autoptr (AfpTensor) a = coded ("a", "test-q", 1), b = coded ("b", "test-q", 2);
  const EvalSums one = { 100, 90, 94, 4, 0.5 }, two = { 300, 290, 294, 8, 0.25 };
  EvalTotals *totals = eval_totals_new ();
  AfpSize size;
  g_autofree char *recipe = afp_tensor_get_recipe (a);
  afp_tensor_get_size (a, &size);
  eval_totals_add (totals, a, &one);
  eval_totals_add (totals, b, &two);
  ck_assert_double_eq (get (totals, "nmse"), 12.0 / 400);
  ck_assert_double_eq_tol (get (totals, "sqnr_db"), 10 * log10 (400 / 12.0), 1e-12);
  ck_assert_double_eq_tol (get (totals, "cosine"), 388 / sqrt (400.0 * 380), 1e-12);
  ck_assert_double_eq (get (totals, "max_abs_error"), 0.5);
  ck_assert_double_eq (get (totals, "weights"), 1200);
  ck_assert_double_eq (
      get (totals, "bytes"),
      (double) (2 * size.total + afp_size_recipe_bytes (recipe))); /* the recipe once */
  ck_assert_double_eq (get (totals, "bits_per_weight"), get (totals, "bytes") * 8 / 1200);
  eval_totals_free (totals);
}
END_TEST

/* What goes to another run and back gives the same totals, to the last bit. */
START_TEST (one_tensor_saved_and_restored)
{
  g_autoptr (AfpTensor) a = coded ("a", "test-q", 1), b = coded ("b", "test-q", 2),
                        c = coded ("c", "test-q", 3);
  const EvalSums sums = { 100.1, 1.0 / 3, 1e-310, INFINITY, 0.1 }, more = { 3e300, 2, 5, 7, 0.25 };
  EvalTotals *totals = eval_totals_new (), *others = eval_totals_new ();
  AfpTensor *const tensors[] = { a, b, c };

  eval_totals_add (totals, a, &sums);
  eval_totals_add (totals, b, NULL);
  eval_totals_add (totals, c, &more);
  for (guint i = 0; i < 3; i++) {
    AfpSpec *spec = afp_tensor_get_spec (tensors[i]);
    g_autoptr (JsonNode) found = eval_totals_save (totals, afp_spec_get_name (spec));
    g_autofree char *text = json_to_string (found, FALSE);
    g_autoptr (JsonNode) read = json_from_string (text, NULL);
    ck_assert (eval_totals_restore (others, spec, read, NULL));
  }
  g_autoptr (JsonNode) one = eval_totals_to_json (totals), two = eval_totals_to_json (others);
  g_autofree char *first = json_to_string (one, TRUE), *second = json_to_string (two, TRUE);
  ck_assert_str_eq (first, second);
  ck_assert_mem_eq (&totals->sums, &others->sums, sizeof sums);
  ck_assert_uint_eq (others->n_judged, 2);
  ck_assert_ptr_null (eval_totals_save (totals, "d"));
  eval_totals_free (totals);
  eval_totals_free (others);
}
END_TEST

START_TEST (damaged_findings)
{
  static const char *const wrong[] = {
    "7",
    "[]",
    "{}",
    "{\"recipe\": \"weight\", \"bytes\": 5, \"codecs\": {}}",
    "{\"recipe\": \"weight\", \"bytes\": -5, \"codecs\": {}, \"sums\": []}",
    "{\"recipe\": 7, \"bytes\": 5, \"codecs\": {}, \"sums\": []}",
    "{\"recipe\": \"weight\", \"bytes\": 5, \"codecs\": {\"raw\": \"x\"}, \"sums\": []}",
    "{\"recipe\": \"weight\", \"bytes\": 5, \"codecs\": {}, \"sums\": [\"1\", \"2\"]}",
    "{\"recipe\": \"weight\", \"bytes\": 5, \"codecs\": {}, \"sums\": [\"1\", \"2\", \"3\", \"4\", \"5x\"]}",
    "{\"recipe\": \"weight\", \"bytes\": 5, \"codecs\": {}, \"sums\": [1, \"2\", \"3\", \"4\", \"5\"]}",
  };
  g_autoptr (AfpTensor) tensor = coded ("a", "test-q", 1);
  EvalTotals *totals = eval_totals_new ();

  for (guint i = 0; i < G_N_ELEMENTS (wrong); i++) {
    g_autoptr (JsonNode) found = json_from_string (wrong[i], NULL);
    GError *error = NULL;
    ck_assert_msg (!eval_totals_restore (totals, afp_tensor_get_spec (tensor), found, &error), "%s",
                   wrong[i]);
    ck_assert (g_error_matches (error, AFP_ERROR, AFP_ERROR_FORMAT));
    ck_assert_ptr_nonnull (strstr (error->message, "what was measured is damaged"));
    g_clear_error (&error);
  }
  ck_assert_uint_eq (totals->records->len, 0);
  eval_totals_free (totals);
}
END_TEST

START_TEST (no_such_metric)
{
  static const char *const wrong[] = { "", "NMSE", "mse", "sqnr", "nmse ", "bits" };
  EvalTotals *totals = eval_totals_new ();
  double value = 7;
  for (guint i = 0; i < G_N_ELEMENTS (wrong); i++)
    ck_assert (!eval_totals_get (totals, wrong[i], &value));
  ck_assert (value == 7);
  eval_totals_free (totals);
}
END_TEST

START_TEST (nothing_yet)
{
  EvalTotals *totals = eval_totals_new ();
  g_autoptr (JsonNode) json = eval_totals_to_json (totals);
  static const char *const none[] = { "nmse", "sqnr_db", "cosine", "max_abs_error",
                                      "bits_per_weight" };
  for (guint i = 0; i < G_N_ELEMENTS (none); i++) {
    ck_assert (isnan (get (totals, none[i])));
    ck_assert (JSON_NODE_HOLDS_NULL (in_json (json, none[i])));
  }
  ck_assert_int_eq (json_node_get_int (in_json (json, "bytes")), 0);
  ck_assert_uint_eq (json_array_get_length (json_node_get_array (in_json (json, "tensors"))), 0);
  eval_totals_free (totals);
}
END_TEST

/* A tensor without original counts with its bytes alone. */
START_TEST (not_judged)
{
  g_autoptr (AfpTensor) a = coded ("a", "test-q", 1), b = coded ("b", "", 2);
  const EvalSums sums = { 100, 90, 94, 4, 0.5 };
  EvalTotals *totals = eval_totals_new ();
  eval_totals_add (totals, b, NULL);
  ck_assert (isnan (get (totals, "nmse")));
  eval_totals_add (totals, a, &sums);
  ck_assert_double_eq (get (totals, "nmse"), 0.04);
  ck_assert_double_eq (get (totals, "weights"), 1200);
  g_autoptr (JsonNode) json = eval_totals_to_json (totals);
  ck_assert_int_eq (json_node_get_int (in_json (json, "tensors_judged")), 1);
  ck_assert (JSON_NODE_HOLDS_NULL (in_json (json, "tensors.0.nmse")));
  ck_assert_double_eq (json_node_get_double (in_json (json, "tensors.1.nmse")), 0.04);
  ck_assert_str_eq (json_node_get_string (in_json (json, "tensors.1.name")), "a");
  eval_totals_free (totals);
}
END_TEST

/* Bytes belong to the codec that made the numbers, packed or not. */
START_TEST (bytes_of_stages)
{
  g_autoptr (AfpTensor) a = coded ("a", "test-ask ! test-q planes=coeffs bits=4 ! test-pack", 1),
                        b = coded ("b", "", 2);
  EvalTotals *totals = eval_totals_new ();
  eval_totals_add (totals, a, NULL);
  eval_totals_add (totals, b, NULL);
  g_autoptr (JsonNode) json = eval_totals_to_json (totals);
  static const struct {
    const char *codec;
    gint64 bytes;
  } expected[] = { { "f16", 4 + 2 },
                   { "raw", 20 * 30 * 4 },
                   { "test-ask", 20 * 4 * 2 / 8 + 2 },
                   { "test-q", 20 * 32 / 2 + 2 } };
  ck_assert_uint_eq (json_array_get_length (json_node_get_array (in_json (json, "stages"))),
                     G_N_ELEMENTS (expected));
  for (guint i = 0; i < G_N_ELEMENTS (expected); i++) {
    g_autofree char *name = g_strdup_printf ("stages.%u.codec", i),
                    *bytes = g_strdup_printf ("stages.%u.bytes", i);
    ck_assert_str_eq (json_node_get_string (in_json (json, name)), expected[i].codec);
    ck_assert_int_eq (json_node_get_int (in_json (json, bytes)), expected[i].bytes);
  }
  eval_totals_free (totals);
}
END_TEST

/* --- comparing ---------------------------------------------------------------------------------------------------- */

static AfpMatrix *
matrix_of (const float *values, guint64 rows, guint64 cols)
{
  g_autoptr (GBytes) bytes = g_bytes_new_static (values, rows * cols * sizeof (float));
  return afp_matrix_new_dense (rows, cols, bytes);
}

START_TEST (compare)
{
  static const guint64 sizes[][2] = { { 1, 1 },     { 3, 5 },     { 1, 200003 },
                                      { 70001, 3 }, { 5, 66000 }, { 300, 301 } };
  for (guint s = 0; s < G_N_ELEMENTS (sizes); s++) {
    const guint64 n = sizes[s][0] * sizes[s][1];
    g_autofree float *x = test_values (n, s), *y = test_values (n, s + 50);
    g_autoptr (AfpMatrix) a = matrix_of (x, sizes[s][0], sizes[s][1]),
                          b = matrix_of (y, sizes[s][0], sizes[s][1]);
    EvalSums direct = { 0 }, first, sums;
    eval_add (&direct, x, y, n);
    for (guint threads = 0; threads <= 4; threads++) {
      g_autoptr (AfpPool) pool = threads ? afp_pool_new (threads) : NULL;
      ck_assert (eval_compare (a, b, pool, &sums, NULL));
      if (threads == 0)
        first = sums;
      ck_assert (sums.xx == first.xx && sums.ee == first.ee && sums.xy == first.xy &&
                 sums.yy == first.yy && sums.peak == first.peak);
    }
    ck_assert_double_eq_tol (sums.ee, direct.ee, 1e-10 * direct.ee);
    ck_assert_double_eq (sums.peak, direct.peak);
  }
}
END_TEST

START_TEST (compare_nothing)
{
  g_autoptr (AfpMatrix) a = matrix_of (NULL, 0, 5), b = matrix_of (NULL, 0, 5);
  EvalSums sums = { 1, 1, 1, 1, 1 };
  ck_assert (eval_compare (a, b, NULL, &sums, NULL));
  ck_assert (sums.xx == 0 && sums.ee == 0 && sums.peak == 0);
}
END_TEST

static gboolean
damaged (gpointer user_data, guint64 row, guint64 rows, guint64 col, guint64 cols, float *out,
         GError **error)
{
  g_set_error_literal (error, AFP_ERROR, AFP_ERROR_FORMAT, "no such row");
  return FALSE;
}

START_TEST (compare_damaged)
{
  GError *error = NULL;
  g_autofree float *x = test_values (300 * 400, 1);
  g_autoptr (AfpMatrix) a = matrix_of (x, 300, 400),
                        b = afp_matrix_new (300, 400, damaged, NULL, NULL);
  g_autoptr (AfpPool) pool = afp_pool_new (3);
  EvalSums sums;
  ck_assert (!eval_compare (a, b, pool, &sums, &error));
  assert_error (error, AFP_ERROR_FORMAT, "no such row");
  ck_assert (!eval_compare (b, a, NULL, &sums, &error));
  assert_error (error, AFP_ERROR_FORMAT, "no such row");
}
END_TEST

static TCase *
all (void)
{
  TCase *tcase = tcase_create ("eval-metrics");
  tcase_add_test (tcase, sums_over_tensors);
  tcase_add_test (tcase, one_tensor_saved_and_restored);
  tcase_add_test (tcase, damaged_findings);
  tcase_add_test (tcase, no_such_metric);
  tcase_add_test (tcase, nothing_yet);
  tcase_add_test (tcase, not_judged);
  tcase_add_test (tcase, bytes_of_stages);
  tcase_add_test (tcase, compare);
  tcase_add_test (tcase, compare_nothing);
  tcase_add_test (tcase, compare_damaged);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { all };
  test_init ();
  return run_suite ("eval-metrics", cases, G_N_ELEMENTS (cases));
}
