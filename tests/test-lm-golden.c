/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lm-load-test.h"

#include <json-glib/json-glib.h>
#include <math.h>
#include <stdio.h>

/*
 * Models whose logits PyTorch and the package transformers gave (tests/oracle/lm-logits.py): small ones of every architecture, and
 * SmolLM2-135M-Instruct where AFP_TEST_SMOLLM2 is its GGUF file.
 */

static JsonParser *
read_record (const char *folder, const char *name)
{
  g_autofree char *path =
      g_build_filename (g_getenv ("AFP_TEST_SRCDIR"), "tests/data/lm", folder, name, NULL);
  JsonParser *parser = json_parser_new ();
  GError *error = NULL;

  ck_assert_msg (json_parser_load_from_file (parser, path, &error), "%s: %s", path,
                 error ? error->message : "");
  return parser;
}

static JsonArray *
member (JsonParser *parser, const char *name)
{
  return json_object_get_array_member (json_node_get_object (json_parser_get_root (parser)), name);
}

static double
number (JsonParser *parser, const char *name)
{
  return json_object_get_double_member (json_node_get_object (json_parser_get_root (parser)), name);
}

static GArray *
read_ids (JsonParser *parser)
{
  JsonArray *list = member (parser, "ids");
  GArray *ids = g_array_new (FALSE, FALSE, sizeof (guint32));

  for (guint i = 0; i < json_array_get_length (list); i++) {
    const guint32 id = (guint32) json_array_get_int_element (list, i);
    g_array_append_val (ids, id);
  }
  return ids;
}

/* All logits of the model at @path on the record's text. */
static float *
run (const char *path, const GArray *ids, guint *vocab)
{
  LmLoaded loaded = lm_load (path);
  g_autofree guint32 *none = g_new0 (guint32, ids->len);
  gsize starts[] = { 0, ids->len };
  const AfpLmText text = { (guint32 *) (void *) ids->data, none, starts, 1 };
  g_autoptr (AfpPool) pool = afp_pool_new (2);
  AfpLmConfig config;
  GError *error = NULL;

  ck_assert_msg (afp_lm_config_find (AFP_ELEMENT (loaded.source), &config, &error), "%s",
                 error ? error->message : "");
  AfpLm *lm = afp_lm_new (&config, lm_loaded_open, &loaded, &error);
  ck_assert_msg (lm != NULL, "%s", error ? error->message : "");
  float *logits = afp_lm_run (lm, &text, pool, &error);
  ck_assert_msg (logits != NULL, "%s", error ? error->message : "");
  *vocab = config.vocab;
  afp_lm_free (lm);
  lm_unload (&loaded);
  return logits;
}

/* The largest difference from the record's logits: of its tokens, or of all, at its rows. */
static double
difference (JsonParser *record, const float *logits, guint vocab)
{
  JsonArray *rows = member (record, "rows"), *expected = member (record, "logits");
  JsonObject *object = json_node_get_object (json_parser_get_root (record));
  JsonArray *tokens = json_object_has_member (object, "tokens") ? member (record, "tokens") : NULL;
  double most = 0;

  for (guint r = 0; r < json_array_get_length (rows); r++) {
    JsonArray *row = json_array_get_array_element (expected, r);
    const float *ours = logits + (gsize) json_array_get_int_element (rows, r) * vocab;
    ck_assert_uint_eq (json_array_get_length (row),
                       tokens ? json_array_get_length (tokens) : vocab);
    for (guint i = 0; i < json_array_get_length (row); i++) {
      const guint token = tokens ? (guint) json_array_get_int_element (tokens, i) : i;
      const double delta = (double) ours[token] - json_array_get_double_element (row, i);
      most = fmax (most, fabs (delta));
      ck_assert (isfinite (delta));
    }
  }
  return most;
}

static const char *const tiny[] = { "bitnet", "llama", "llama3", "mistral", "qwen2", "qwen3" };

START_TEST (small_models_of_every_architecture)
{
  g_autofree char *path = g_build_filename (g_getenv ("AFP_TEST_SRCDIR"), "tests/data/lm", tiny[_i],
                                            "model.safetensors", NULL);
  g_autoptr (JsonParser) record = read_record (tiny[_i], "logits.json");
  g_autoptr (GArray) ids = read_ids (record);
  guint vocab;
  g_autofree float *logits = run (path, ids, &vocab);

  ck_assert_uint_eq (vocab, 32);
  ck_assert_double_le (difference (record, logits, vocab), 2e-5);
}
END_TEST

static double
negative_log_likelihood (const float *logits, guint vocab, const GArray *ids)
{
  double nll = 0;

  for (guint t = 0; t + 1 < ids->len; t++, logits += vocab) {
    double sum = 0;
    for (guint i = 0; i < vocab; i++)
      sum += exp ((double) logits[i]);
    nll += log (sum) - (double) logits[g_array_index (ids, guint32, t + 1)];
  }
  return nll / (ids->len - 1);
}

/* If AFP_TEST_LOGITS is a file of all logits (--full of the script), the difference from all of them is said. */
static void
compare_all (const float *logits, gsize n)
{
  const char *path = g_getenv ("AFP_TEST_LOGITS");
  g_autofree char *bytes = NULL;
  gsize size;
  double most = 0;

  if (!path)
    return;
  ck_assert (g_file_get_contents (path, &bytes, &size, NULL));
  ck_assert_uint_eq (size, n * sizeof (double));
  for (gsize i = 0; i < n; i++)
    most = fmax (most, fabs ((double) logits[i] - ((double *) (void *) bytes)[i]));
  printf ("# largest difference of %" G_GSIZE_FORMAT " logits: %.3g\n", n, most);
}

START_TEST (smollm2)
{
  const char *path = g_getenv ("AFP_TEST_SMOLLM2");
  g_autoptr (JsonParser) record = read_record ("", "smollm2.json");
  g_autoptr (GArray) ids = read_ids (record);
  guint vocab;

  if (!path || !*path) {
    printf ("# SKIP: AFP_TEST_SMOLLM2 is not set\n");
    return;
  }
  g_autofree float *logits = run (path, ids, &vocab);
  const double range = number (record, "most") - number (record, "least");
  const double most = difference (record, logits, vocab);
  const double nll = negative_log_likelihood (logits, vocab, ids);

  printf ("# largest difference %.3g, %.3g of the range; nll %.9g, expected %.9g\n", most,
          most / range, nll, number (record, "nll"));
  ck_assert_uint_eq (vocab, 49152);
  ck_assert_double_le (most, 1e-3 * range);
  ck_assert_double_eq_tol (nll, number (record, "nll"), 1e-5);
  compare_all (logits, (gsize) ids->len * vocab);
}
END_TEST

/* The records tell one model from another, and a text from another. */
START_TEST (another_model_differs)
{
  const guint other = ((guint) _i + 1) % G_N_ELEMENTS (tiny);
  g_autofree char *path = g_build_filename (g_getenv ("AFP_TEST_SRCDIR"), "tests/data/lm",
                                            tiny[other], "model.safetensors", NULL);
  g_autoptr (JsonParser) record = read_record (tiny[_i], "logits.json");
  g_autoptr (GArray) ids = read_ids (record);
  guint vocab;
  g_autofree float *logits = run (path, ids, &vocab);

  ck_assert_double_gt (difference (record, logits, vocab), 0.5);
}
END_TEST

static TCase *
good_case (void)
{
  TCase *tcase = tcase_create ("good");
  tcase_set_timeout (tcase, 120);
  tcase_add_loop_test (tcase, small_models_of_every_architecture, 0, G_N_ELEMENTS (tiny));
  tcase_add_test (tcase, smollm2);
  return tcase;
}

static TCase *
bad_case (void)
{
  TCase *tcase = tcase_create ("bad");
  tcase_add_loop_test (tcase, another_model_differs, 0, G_N_ELEMENTS (tiny));
  return tcase;
}

int
main (void)
{
  TCase *(*const cases[]) (void) = { good_case, bad_case };

  return run_suite ("lm-golden", cases, G_N_ELEMENTS (cases));
}
