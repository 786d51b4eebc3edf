/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-test.h"

#include <math.h>

#define CHAIN "test-ask ! test-q planes=coeffs bits=4"

static AfpTensor *model[3];

static void
setup (void)
{
  model[0] = test_tensor ("a", AFP_DTYPE_F32, "40x64", "in:1", 1);
  model[1] = test_tensor ("b", AFP_DTYPE_F16, "3x3x8x16", "in:3", 2);
  model[2] = test_tensor ("bias", AFP_DTYPE_F32, "64", NULL, 3);
  test_set_tensors (model[0], model[1], model[2], NULL);
}

static void
teardown (void)
{
  for (guint i = 0; i < 3; i++)
    g_clear_pointer (&model[i], afp_tensor_unref);
}

static void
run (const char *text)
{
  g_autoptr (AfpTensor) G_GNUC_UNUSED out = test_run (text, 2);
}

static JsonNode *
member (const char *name)
{
  g_autofree char *path = g_strconcat ("evals.0.metrics.", name, NULL);
  JsonNode *node = test_report_get (path);
  ck_assert_msg (node != NULL, "no %s", path);
  return node;
}

static double
number (const char *name)
{
  JsonNode *node = member (name);
  ck_assert_msg (!JSON_NODE_HOLDS_NULL (node), "%s is null", name);
  return json_node_get_double (node);
}

static gboolean
is_null (const char *name)
{
  return JSON_NODE_HOLDS_NULL (member (name));
}

static gboolean
close_to (double a, double b)
{
  return fabs (a - b) <= 1e-9 * fabs (b);
}

/* --- the numbers -------------------------------------------------------------------------------------------------- */

typedef struct {
  double xx, yy, xy, ee, peak;
} Sums;

static void
add (Sums *sums, AfpTensor *original, AfpTensor *coded)
{
  g_autofree float *x = test_decode (original), *y = test_decode (coded);
  for (gsize i = 0; i < afp_spec_get_n_elements (afp_tensor_get_spec (original)); i++) {
    sums->xx += (double) x[i] * x[i];
    sums->yy += (double) y[i] * y[i];
    sums->xy += (double) x[i] * y[i];
    sums->ee += ((double) x[i] - y[i]) * ((double) x[i] - y[i]);
    sums->peak = MAX (sums->peak, fabs ((double) x[i] - y[i]));
  }
}

static void
check_sums (const Sums *sums, const char *prefix)
{
  static const char *const names[] = { "nmse", "sqnr_db", "cosine", "max_abs_error" };
  const double values[] = { sums->ee / sums->xx, 10 * log10 (sums->xx / sums->ee),
                            sums->xy / sqrt (sums->xx * sums->yy), sums->peak };
  for (guint i = 0; i < 4; i++) {
    g_autofree char *path = g_strconcat (prefix, names[i], NULL);
    if (!isfinite (values[i])) /* no error: no value in dB */
      ck_assert (i == 1 && is_null (path));
    else
      ck_assert_msg (close_to (number (path), values[i]), "%s: %.12g, not %.12g", path,
                     number (path), values[i]);
  }
}

/* Against what the sink's planes decode to: eval speaks of the tensor as it would be written. */
START_TEST (numbers)
{
  static const char *const chains[] = { CHAIN " ! eval", "test-q bits=3 residual=true ! eval",
                                        "test-flip ! eval ! identity",
                                        "test-q bits=2 ! test-pack ! eval",
                                        "test-ask open-loop=true metric=matrix ! eval" };
  for (guint c = 0; c < G_N_ELEMENTS (chains); c++) {
    Sums total = { 0 };
    run (chains[c]);
    for (guint i = 0; i < 3; i++) {
      Sums own = { 0 };
      add (&own, model[i], test_output ()->pdata[i]);
      add (&total, model[i], test_output ()->pdata[i]);
      g_autofree char *prefix = g_strdup_printf ("tensors.%u.", i);
      if (i < 2)
        check_sums (&own, prefix);
    }
    check_sums (&total, "");
    ck_assert_int_eq (json_node_get_int (member ("tensors_judged")), 3);
  }
}
END_TEST

START_TEST (sizes)
{
  run (CHAIN " ! eval");
  guint64 total = 0;
  g_autoptr (GHashTable) recipes = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  for (guint i = 0; i < 3; i++) {
    g_autofree char *path = g_strdup_printf ("tensors.%u.bytes", i),
                    *recipe_path = g_strdup_printf ("tensors.%u.recipe", i);
    char *recipe = afp_tensor_get_recipe (test_output ()->pdata[i]);
    AfpSize size;
    afp_tensor_get_size (test_output ()->pdata[i], &size);
    ck_assert_int_eq (json_node_get_int (member (path)), (gint64) size.total);
    ck_assert_str_eq (json_node_get_string (member (recipe_path)), recipe);
    total +=
        size.total + (g_hash_table_contains (recipes, recipe) ? 0 : afp_size_recipe_bytes (recipe));
    g_hash_table_add (recipes, recipe);
  }
  ck_assert_int_eq (json_node_get_int (member ("bytes")), (gint64) total);
  ck_assert_int_eq (json_node_get_int (member ("weights")), 40 * 64 + 9 * 8 * 16 + 64);
  ck_assert (
      close_to (number ("bits_per_weight"), (double) total * 8 / (40 * 64 + 9 * 8 * 16 + 64)));
  ck_assert_int_eq (json_node_get_int (test_report_get ("total.bytes")), (gint64) total);
  ck_assert (close_to (json_node_get_double (test_report_get ("total.nmse")), number ("nmse")));
}
END_TEST

/* Each eval speaks of what comes to it. */
START_TEST (between_stages)
{
  run (
      "test-q bits=3 residual=true ! eval name=one ! test-q planes=residual bits=3 ! eval name=two");
  ck_assert_str_eq (json_node_get_string (test_report_get ("evals.0.name")), "one");
  ck_assert_str_eq (json_node_get_string (test_report_get ("evals.1.name")), "two");
  const double first = json_node_get_double (test_report_get ("evals.0.metrics.nmse"));
  const double second = json_node_get_double (test_report_get ("evals.1.metrics.nmse"));
  ck_assert_msg (second < first / 10, "%g and %g", first, second);
}
END_TEST

/* --- no value ----------------------------------------------------------------------------------------------------- */

START_TEST (all_zero)
{
  g_autofree float *values = g_new0 (float, 400);
  g_autoptr (AfpTensor) zeros = test_tensor_from ("z", "20x20", NULL, values);
  test_set_tensors (zeros, NULL);
  run ("test-q ! eval");
  ck_assert (is_null ("nmse") && is_null ("sqnr_db") && is_null ("cosine"));
  ck_assert (is_null ("tensors.0.nmse") && is_null ("tensors.0.sqnr_db"));
  ck_assert (number ("max_abs_error") == 0);
  test_set_tensors (zeros, model[0], NULL); /* it does not spoil the total */
  run ("test-q ! eval");
  ck_assert (is_null ("tensors.0.nmse") && number ("nmse") > 0 && number ("nmse") < 1);
}
END_TEST

START_TEST (no_error)
{
  run ("eval");
  ck_assert (number ("nmse") == 0 && number ("max_abs_error") == 0 && is_null ("sqnr_db"));
  ck_assert (close_to (number ("cosine"), 1));
}
END_TEST

/* Integers, masks of infinities, tensors of a file whose original nobody knows. */
START_TEST (not_judged)
{
  float mask[300];
  for (guint i = 0; i < 300; i++)
    mask[i] = -INFINITY;
  g_autoptr (AfpTensor) ints = test_tensor ("i", AFP_DTYPE_I32, "40x64", NULL, 1);
  g_autoptr (AfpTensor) masked = test_tensor_from ("m", "300", NULL, mask);
  run ("test-q");
  g_autoptr (AfpTensor) loaded = afp_tensor_new (afp_tensor_get_spec (model[0]),
                                                 afp_tensor_get_root (test_output ()->pdata[0]));
  test_set_tensors (model[1], ints, masked, loaded, NULL);
  run ("test-q ! eval");
  ck_assert_int_eq (json_node_get_int (member ("tensors_judged")), 1);
  ck_assert (number ("nmse") > 0 && number ("tensors.0.nmse") == number ("nmse"));
  for (guint i = 1; i < 4; i++) {
    g_autofree char *path = g_strdup_printf ("tensors.%u.nmse", i),
                    *bytes = g_strdup_printf ("tensors.%u.bytes", i);
    ck_assert (is_null (path));
    ck_assert_int_gt (json_node_get_int (member (bytes)), 0);
  }
}
END_TEST

/* --- neutral ------------------------------------------------------------------------------------------------------ */

START_TEST (neutral)
{
  static const struct {
    const char *without, *with;
  } pairs[] = {
    { CHAIN, "eval ! test-ask ! eval ! test-q planes=coeffs bits=4 ! eval" },
    { "test-ask", "test-ask ! eval" },
    { "test-q residual=true bits=2 ! test-q planes=residual",
      "test-q residual=true bits=2 ! eval ! eval ! test-q planes=residual" },
    { "test-flip ! test-pack", "test-flip ! eval ! test-pack" },
  };
  for (guint i = 0; i < G_N_ELEMENTS (pairs); i++) {
    GBytes *before[3];
    run (pairs[i].without);
    for (guint t = 0; t < 3; t++)
      before[t] = test_tree_bytes (afp_tensor_get_root (test_output ()->pdata[t]));
    run (pairs[i].with);
    for (guint t = 0; t < 3; t++) {
      g_autoptr (GBytes) after = test_tree_bytes (afp_tensor_get_root (test_output ()->pdata[t]));
      ck_assert_msg (g_bytes_equal (before[t], after), "%s, tensor %u", pairs[i].with, t);
      g_bytes_unref (before[t]);
    }
  }
}
END_TEST

START_TEST (threads)
{
  g_autofree char *first = NULL;
  g_autoptr (AfpTensor) large = test_tensor ("large", AFP_DTYPE_F32, "700x300", "in:1", 4);
  test_set_tensors (large, model[0], model[1], NULL);
  for (guint n = 1; n <= 4; n++) {
    g_autoptr (AfpTensor) G_GNUC_UNUSED out = test_run (CHAIN " ! eval", n);
    g_autofree char *text = json_to_string (test_report_get ("evals"), TRUE);
    if (n == 1)
      first = g_strdup (text);
    ck_assert_str_eq (text, first);
  }
}
END_TEST

/* --- require ------------------------------------------------------------------------------------------------------ */

static void
assert_run_fails (const char *text, int code, int exit_code, const char *word, const char *other)
{
  GError *error = NULL;
  ck_assert_msg (!test_try (text, 1, &error), "%s", text);
  ck_assert_int_eq (afp_error_exit_code (error), exit_code);
  assert_error (error, code, word, other);
}

START_TEST (requirements)
{
  run ("test-q ! eval require='sqnr_db>10, bits_per_weight<40'");
  run ("eval require=sqnr_db>1000"); /* no error at all */
  assert_run_fails ("test-q bits=2 ! eval require=sqnr_db>30", AFP_ERROR_METRIC, 7,
                    "eval0 requires sqnr_db>30", "nothing was published");
  ck_assert_int_eq (json_node_get_int (test_report_get ("exit")), 7);
  assert_run_fails ("test-q ! eval name=judge require=bits_per_weight<1", AFP_ERROR_METRIC, 7,
                    "judge requires bits_per_weight<1", "but");
  assert_run_fails ("test-q ! eval require='nmse<1,max_abs_error<=1e-9'", AFP_ERROR_METRIC, 7,
                    "max_abs_error<=1e-09", "max_abs_error is");
}
END_TEST

/* A metric that has no value meets no condition, and the message says so. */
START_TEST (requirements_without_a_value)
{
  g_autofree float *values = g_new0 (float, 400);
  g_autoptr (AfpTensor) zeros = test_tensor_from ("z", "20x20", NULL, values);
  test_set_tensors (zeros, NULL);
  assert_run_fails ("test-q ! eval require=nmse<1", AFP_ERROR_METRIC, 7, "eval0 requires nmse<1",
                    "nmse has no value");
}
END_TEST

START_TEST (wrong_requirements)
{
  assert_run_fails ("eval require=sqnr>1", AFP_ERROR_PROPERTY, 2, "no metric 'sqnr'",
                    "did you mean 'sqnr_db'");
  assert_run_fails ("eval require=sqnr_db", AFP_ERROR_PROPERTY, 2, "'sqnr_db' is no condition",
                    "METRIC>NUMBER");
  assert_run_fails ("eval require=sqnr_db>ten", AFP_ERROR_PROPERTY, 2, "'ten'", "not a number");
  assert_run_fails ("eval requires=sqnr_db>1", AFP_ERROR_PROPERTY, 2, "'requires'", "'require'");
}
END_TEST

/* --- original= ---------------------------------------------------------------------------------------------------- */

/* A safetensors file of one f32 tensor. */
static char *
write_original (const char *tensor, guint64 rows, guint64 cols, const float *values)
{
  g_autofree char *header =
      g_strdup_printf ("{\"%s\":{\"dtype\":\"F32\",\"shape\":[%u,%u],\"data_offsets\":[0,%u]}}",
                       tensor, (guint) rows, (guint) cols, (guint) (rows * cols * 4));
  const guint64 n = strlen (header), n_values = rows * cols * 4;
  g_autoptr (GByteArray) file = g_byte_array_new ();
  char *path = test_write_file ("original.safetensors", "");
  g_byte_array_append (file, (const guint8 *) &n, 8);
  g_byte_array_append (file, (const guint8 *) header, (guint) n);
  g_byte_array_append (file, (const guint8 *) values, (guint) n_values);
  ck_assert (g_file_set_contents (path, (const char *) file->data, file->len, NULL));
  return path;
}

START_TEST (originals_from_a_file)
{
  g_autofree float *x = test_values (20 * 30, 5);
  g_autoptr (AfpTensor) tensor = test_tensor_from ("w", "20x30", NULL, x);
  g_autofree char *path = write_original ("w", 20, 30, x),
                  *text = g_strdup_printf ("test-q ! eval original=%s", path);
  test_set_tensors (tensor, NULL);
  run ("test-q ! eval");
  const double nmse = number ("nmse");
  g_autoptr (AfpTensor) loaded =
      afp_tensor_new (afp_tensor_get_spec (tensor), afp_tensor_get_root (test_output ()->pdata[0]));
  test_set_tensors (loaded, model[0], NULL); /* the file does not know the second */
  run (text);
  ck_assert (number ("nmse") == nmse);
  ck_assert_int_eq (json_node_get_int (member ("tensors_judged")), 1);
  ck_assert (is_null ("tensors.1.nmse"));
}
END_TEST

START_TEST (wrong_originals)
{
  g_autofree float *x = test_values (20 * 30, 5);
  g_autoptr (AfpTensor) tensor = test_tensor_from ("w", "20x30", NULL, x);
  g_autofree char *path = write_original ("w", 30, 20, x),
                  *text = g_strdup_printf ("test-q ! eval original=%s", path);
  test_set_tensors (tensor, NULL);
  assert_run_fails (text, AFP_ERROR_PLAN, 4, "tensor 'w'", "another shape");
  assert_run_fails ("eval original=/no/such/file", AFP_ERROR_IO, 5, "/no/such/file", "eval");
  g_autofree char *garbage = test_write_file ("garbage", "this is no model"),
                  *other = g_strdup_printf ("eval original=%s", garbage);
  assert_run_fails (other, AFP_ERROR_FORMAT, 5, garbage, "eval");
}
END_TEST

/* Planes that cannot be decoded are an error of the tensor. */
START_TEST (damaged_planes)
{
  assert_run_fails ("test-fail in=decode ! eval", AFP_ERROR_FORMAT, 5, "eval, tensor 'a'",
                    "test-fail fails in decode");
}
END_TEST

static TCase *
all (void)
{
  TCase *tcase = tcase_create ("eval");
  tcase_add_checked_fixture (tcase, setup, teardown);
  tcase_add_test (tcase, numbers);
  tcase_add_test (tcase, sizes);
  tcase_add_test (tcase, between_stages);
  tcase_add_test (tcase, all_zero);
  tcase_add_test (tcase, no_error);
  tcase_add_test (tcase, not_judged);
  tcase_add_test (tcase, neutral);
  tcase_add_test (tcase, threads);
  tcase_add_test (tcase, requirements);
  tcase_add_test (tcase, requirements_without_a_value);
  tcase_add_test (tcase, wrong_requirements);
  tcase_add_test (tcase, originals_from_a_file);
  tcase_add_test (tcase, wrong_originals);
  tcase_add_test (tcase, damaged_planes);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { all };
  test_init ();
  return run_suite ("eval", cases, G_N_ELEMENTS (cases));
}
