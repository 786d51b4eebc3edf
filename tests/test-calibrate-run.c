/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "eval/calibrate-run.h"

#include "eval-run-test.h"

/* The tiny model and a text of documents, as calibrate has them. */
typedef struct {
  AfpElement *load;
  EvalLanguage *language;
  EvalSubject *subject;
} Model;

static Model model;

static void
model_setup (void)
{
  const EvalTextOptions options = { .context = 24 };
  g_autofree char *path = NULL, *tokenizer = NULL, *text = NULL;
  EvalTextOptions with_text = options;
  GError *error = NULL;

  eval_setup ();
  path = in_folder ("m.bin");
  tokenizer = in_folder ("t.bin");
  text = in_folder ("text.txt");
  with_text.text = text;
  model.load = afp_registry_make (afp_registry_get_default (), "load", NULL);
  ck_assert (afp_element_set_property_text (model.load, "location", path, NULL) &&
             afp_element_set_property_text (model.load, "tokenizer", tokenizer, NULL));
  ck_assert (afp_source_open (AFP_SOURCE (model.load), &error));
  model.language = eval_language_new (&with_text, model.load, NULL, &error);
  ck_assert_msg (model.language != NULL, "%s", error ? error->message : "?");
  ck_assert (eval_language_load (model.language, &error));
  model.subject = eval_subject_new (AFP_SOURCE (model.load), NULL, &error);
}

static void
model_teardown (void)
{
  eval_subject_free (model.subject);
  eval_language_free (model.language);
  g_clear_object (&model.load);
  eval_teardown ();
}

/* --- what the inputs are ------------------------------------------------------------------------------------------ */

/* Rows that an observer saw, by the first tensor that they go into. */
typedef struct {
  GHashTable *rows; /* name -> GArray of float */
  GHashTable *sizes;
} Seen;

static gboolean
see (gpointer user_data, const char *const *tensors, gsize n, gsize dim, const float *x,
     AfpPool *pool, GError **error)
{
  Seen *seen = user_data;

  for (; *tensors; tensors++) {
    GArray *rows = g_hash_table_lookup (seen->rows, *tensors);
    if (!rows) {
      rows = g_array_new (FALSE, FALSE, sizeof (float));
      g_hash_table_insert (seen->rows, g_strdup (*tensors), rows);
      g_hash_table_insert (seen->sizes, g_strdup (*tensors), GSIZE_TO_POINTER (dim));
    }
    g_array_append_vals (rows, x, (guint) (n * dim));
  }
  return TRUE;
}

static Seen *
see_all (void)
{
  Seen *seen = g_new0 (Seen, 1);
  g_autoptr (AfpLm) lm =
      afp_lm_new (&model.language->config, eval_subject_open, model.subject, NULL);
  const AfpLmText *text = model.language->text;
  g_autofree float *x = afp_lm_embed (lm, text, NULL, NULL);

  seen->rows =
      g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) g_array_unref);
  seen->sizes = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  afp_lm_set_observer (lm, see, seen);
  for (guint layer = 0; layer < TINY_LAYERS; layer++)
    ck_assert (afp_lm_run_layer (lm, layer, text, x, NULL, NULL));
  return seen;
}

static void
seen_free (Seen *seen)
{
  g_hash_table_unref (seen->rows);
  g_hash_table_unref (seen->sizes);
  g_free (seen);
}

/* --- runs --------------------------------------------------------------------------------------------------------- */

static guint n_told;

static void
count_steps (gpointer user_data, guint done, guint all)
{
  n_told++;
  ck_assert_uint_eq (done, n_told);
  ck_assert_uint_le (done, all);
  *(guint *) user_data = all;
}

static gboolean
try_run (const char *name, gboolean diagonal, guint64 bytes, guint threads, guint *steps,
         GError **error)
{
  g_autofree char *path = in_folder (name);
  g_autoptr (MomentWriter) writer = moment_writer_new (path, error);
  g_autoptr (AfpPool) pool = afp_pool_new (threads);
  const CalibrateMeans means = { diagonal, bytes, pool, count_steps, steps };

  n_told = 0;
  return writer &&
         calibrate_run_language (model.language, model.language->text, model.subject, &means,
                                 writer, error) &&
         moment_writer_end (writer, error);
}

/* (transfer full): name -> AfpMoments */
static GHashTable *
run (const char *name, gboolean diagonal, guint64 bytes, guint threads, guint *steps)
{
  g_autofree char *path = in_folder (name);
  GError *error = NULL;

  ck_assert_msg (try_run (name, diagonal, bytes, threads, steps, &error), "%s",
                 error ? error->message : "?");
  ck_assert_uint_eq (n_told, *steps);
  return moment_file_read (path, NULL);
}

#define PLENTY (G_GUINT64_CONSTANT (1) << 30)

static void
check_moments (const AfpMoments *moments, const GArray *rows, gsize size)
{
  const gsize n = rows->len / size;
  const float *x = (const float *) (gpointer) rows->data;
  g_autofree float *h = g_new (float, size *size);

  ck_assert_uint_eq (afp_moments_get_size (moments), size);
  ck_assert_uint_eq (afp_moments_get_n_samples (moments), n);
  afp_moments_read (moments, 0, size, h);
  for (gsize i = 0; i < size; i++)
    for (gsize j = 0; j < size; j++) {
      double sum = 0, scale = 0;
      for (gsize t = 0; t < n; t++) {
        sum += (double) x[t * size + i] * x[t * size + j];
        scale += fabs ((double) x[t * size + i] * x[t * size + j]);
      }
      if (fabs (h[i * size + j] - sum / (double) n) > 1.2e-7 * scale / (double) n)
        ck_abort_msg ("row %d, column %d", (int) i, (int) j);
    }
}

/* Second moments of what goes into every linear layer, and of nothing else. */
START_TEST (as_a_plain_loop)
{
  Seen *seen = see_all ();
  guint steps;
  g_autoptr (GHashTable) all = run ("x", FALSE, PLENTY, 2, &steps);
  GHashTableIter iter;
  gpointer name, rows;

  ck_assert_uint_eq (steps, TINY_LAYERS);
  ck_assert_uint_eq (g_hash_table_size (all), TINY_LAYERS * 7);
  ck_assert_uint_eq (g_hash_table_size (seen->rows), TINY_LAYERS * 7);
  g_hash_table_iter_init (&iter, seen->rows);
  while (g_hash_table_iter_next (&iter, &name, &rows)) {
    AfpMoments *moments = g_hash_table_lookup (all, name);
    ck_assert_msg (moments != NULL, "%s", (char *) name);
    check_moments (moments, rows, GPOINTER_TO_SIZE (g_hash_table_lookup (seen->sizes, name)));
  }
  ck_assert_ptr_null (g_hash_table_lookup (all, "tok_embeddings.weight"));
  ck_assert_ptr_null (g_hash_table_lookup (all, "layers.0.attention_norm.weight"));
  seen_free (seen);
}
END_TEST

/* What goes into q, k and v is the same. */
START_TEST (shared_inputs)
{
  guint steps;
  g_autoptr (GHashTable) all = run ("x", FALSE, PLENTY, 1, &steps);
  AfpMoments *q = g_hash_table_lookup (all, "layers.1.attention.wq.weight");

  ck_assert_ptr_eq (q, g_hash_table_lookup (all, "layers.1.attention.wk.weight"));
  ck_assert_ptr_eq (q, g_hash_table_lookup (all, "layers.1.attention.wv.weight"));
  ck_assert_ptr_ne (q, g_hash_table_lookup (all, "layers.1.attention.wo.weight"));
  ck_assert_ptr_ne (q, g_hash_table_lookup (all, "layers.0.attention.wq.weight"));
  ck_assert_uint_eq (
      afp_moments_get_size (g_hash_table_lookup (all, "layers.0.feed_forward.w2.weight")),
      TINY_HIDDEN);
}
END_TEST

START_TEST (diagonal)
{
  guint steps;
  g_autoptr (GHashTable) all = run ("x", FALSE, PLENTY, 2, &steps),
                         few = run ("y", TRUE, PLENTY, 2, &steps);
  GHashTableIter iter;
  gpointer name, moments;

  ck_assert_uint_eq (g_hash_table_size (all), g_hash_table_size (few));
  g_hash_table_iter_init (&iter, few);
  while (g_hash_table_iter_next (&iter, &name, &moments)) {
    const gsize size = (gsize) afp_moments_get_size (moments);
    g_autofree float *x = g_new (float, size), *y = g_new (float, size);
    ck_assert (afp_moments_is_diagonal (moments));
    afp_moments_read_diagonal (g_hash_table_lookup (all, name), 0, size, x);
    afp_moments_read_diagonal (moments, 0, size, y);
    for (gsize i = 0; i < size; i++)
      ck_assert (fabs ((double) x[i] - (double) y[i]) <= 1.2e-7 * (double) x[i]);
  }
}
END_TEST

START_TEST (same_bytes_for_any_threads)
{
  guint steps;
  g_autoptr (GHashTable) G_GNUC_UNUSED one = run ("one", _i, PLENTY, 1, &steps);
  g_autoptr (GBytes) expected = eval_read_file ("one");

  for (guint threads = 2; threads <= 4; threads += 2) {
    g_autoptr (GHashTable) G_GNUC_UNUSED many = run ("many", _i, PLENTY, threads, &steps);
    g_autoptr (GBytes) found = eval_read_file ("many");
    ck_assert (g_bytes_equal (expected, found));
  }
}
END_TEST

/* Little memory: the text in parts, the sums in a file between them. As many samples, the same sums. */
START_TEST (text_in_parts)
{
  const gsize documents = model.language->text->n_documents;
  guint steps;
  g_autoptr (GHashTable) whole = run ("x", _i, PLENTY, 2, &steps),
                         parts = run ("y", _i, 1, 2, &steps);
  GHashTableIter iter;
  gpointer name, moments;

  ck_assert_uint_gt (documents, 5);
  ck_assert_uint_eq (steps, documents * TINY_LAYERS);
  g_hash_table_iter_init (&iter, parts);
  while (g_hash_table_iter_next (&iter, &name, &moments)) {
    const AfpMoments *other = g_hash_table_lookup (whole, name);
    const gsize size = (gsize) afp_moments_get_size (moments);
    g_autofree float *x = g_new (float, size), *y = g_new (float, size);
    ck_assert_uint_eq (afp_moments_get_n_samples (moments), afp_moments_get_n_samples (other));
    afp_moments_read_diagonal (other, 0, size, x);
    afp_moments_read_diagonal (moments, 0, size, y);
    for (gsize i = 0; i < size;
         i++) /* activations are float: documents elsewhere in a tile differ by that */
      ck_assert (fabs ((double) x[i] - (double) y[i]) <= 2e-7 * (double) x[i]);
  }
}
END_TEST

/* As many documents in a part as fit. */
START_TEST (parts_of_several_documents)
{
  const gsize documents = model.language->text->n_documents;
  guint steps;
  g_autoptr (GHashTable) G_GNUC_UNUSED all =
      run ("x", FALSE,
           calibrate_get_memory_language (model.language, FALSE) + 48 * TINY_DIM * sizeof (float),
           2, &steps);

  ck_assert_uint_eq (steps, (documents + 1) / 2 * TINY_LAYERS);
}
END_TEST

/* --- what is planned --- */

START_TEST (planned)
{
  g_autoptr (GHashTable) plan = calibrate_plan_language (&model.language->config, _i);
  guint steps;
  g_autoptr (GHashTable) all = run ("x", _i, PLENTY, 2, &steps);
  GHashTableIter iter;
  gpointer name, moments;

  ck_assert_uint_eq (g_hash_table_size (plan), g_hash_table_size (all));
  g_hash_table_iter_init (&iter, plan);
  while (g_hash_table_iter_next (&iter, &name, &moments)) {
    const AfpMoments *found = g_hash_table_lookup (all, name);
    ck_assert_msg (found != NULL, "%s", (char *) name);
    ck_assert (afp_moments_is_planned (moments) && !afp_moments_is_planned (found));
    ck_assert_uint_eq (afp_moments_get_size (moments), afp_moments_get_size (found));
    ck_assert_int_eq (afp_moments_is_diagonal (moments), _i);
  }
}
END_TEST

START_TEST (diagonal_takes_less)
{
  ck_assert_uint_lt (calibrate_get_memory_language (model.language, TRUE),
                     calibrate_get_memory_language (model.language, FALSE));
  ck_assert_uint_gt (calibrate_get_memory_language (model.language, TRUE),
                     eval_language_get_memory (model.language, 1));
}
END_TEST

/* --- what goes wrong: no file is left --- */

/* All shapes, no numbers. */
static void
take_numbers_away (void)
{
  eval_subject_free (model.subject);
  g_autoptr (GHashTable) specs =
      g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) afp_spec_unref);
  for (gsize i = 0; i < afp_source_get_n_tensors (AFP_SOURCE (model.load)); i++) {
    g_autoptr (AfpTensor) tensor = afp_source_plan_tensor (AFP_SOURCE (model.load), i, NULL);
    AfpSpec *spec = afp_tensor_get_spec (tensor);
    g_hash_table_insert (specs, g_strdup (afp_spec_get_name (spec)), afp_spec_ref (spec));
  }
  model.subject = eval_subject_new_planned (specs);
}

START_TEST (weights_that_cannot_be_read)
{
  GError *error = NULL;
  guint steps;

  take_numbers_away ();
  ck_assert (!try_run ("x", FALSE, PLENTY, 2, &steps, &error));
  assert_error (error, AFP_ERROR_PLAN, "a planned tensor has no numbers");
  ck_assert_uint_eq (count_files (), 3);
}
END_TEST

START_TEST (tensor_that_is_not_there)
{
  g_autoptr (GHashTable) specs = g_hash_table_new (g_str_hash, g_str_equal);
  GError *error = NULL;
  guint steps;

  eval_subject_free (model.subject);
  model.subject = eval_subject_new_planned (specs);
  ck_assert (!try_run ("x", FALSE, PLENTY, 2, &steps, &error));
  assert_error (error, AFP_ERROR_PLAN, "it has no tensor 'tok_embeddings.weight'");
  ck_assert_uint_eq (count_files (), 3);
}
END_TEST

START_TEST (no_folder_for_parts)
{
  GError *error = NULL;
  guint steps;

  g_setenv ("TMPDIR", "/no/such/folder", TRUE);
  ck_assert (!try_run ("x", FALSE, 1, 2, &steps, &error));
  assert_error (error, AFP_ERROR_IO, "cannot make a temporary file in '/no/such/folder'");
  ck_assert (try_run ("x", FALSE, PLENTY, 2, &steps, &error)); /* in one part it needs none */
  g_unsetenv ("TMPDIR");
}
END_TEST

START_TEST (cancelled)
{
  g_autofree char *path = in_folder ("x");
  g_autoptr (MomentWriter) writer = moment_writer_new (path, NULL);
  g_autoptr (AfpPool) pool = afp_pool_new (2);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  const CalibrateMeans means = { FALSE, PLENTY, pool, NULL, NULL };
  GError *error = NULL;

  afp_pool_set_cancellable (pool, cancellable);
  g_cancellable_cancel (cancellable);
  ck_assert (!calibrate_run_language (model.language, model.language->text, model.subject, &means,
                                      writer, &error));
  assert_error (error, AFP_ERROR_CANCELLED, "cancelled");
  afp_pool_set_cancellable (pool, NULL);
}
END_TEST

static TCase *
sums_case (void)
{
  TCase *tcase = tcase_create ("sums");

  tcase_add_checked_fixture (tcase, model_setup, model_teardown);
  tcase_add_test (tcase, as_a_plain_loop);
  tcase_add_test (tcase, shared_inputs);
  tcase_add_test (tcase, diagonal);
  tcase_add_loop_test (tcase, same_bytes_for_any_threads, 0, 2);
  tcase_add_loop_test (tcase, text_in_parts, 0, 2);
  tcase_add_test (tcase, parts_of_several_documents);
  tcase_add_loop_test (tcase, planned, 0, 2);
  tcase_add_test (tcase, diagonal_takes_less);
  return tcase;
}

static TCase *
bad_case (void)
{
  TCase *tcase = tcase_create ("bad");

  tcase_add_checked_fixture (tcase, model_setup, model_teardown);
  tcase_add_test (tcase, weights_that_cannot_be_read);
  tcase_add_test (tcase, tensor_that_is_not_there);
  tcase_add_test (tcase, no_folder_for_parts);
  tcase_add_test (tcase, cancelled);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { sums_case, bad_case };

  return run_suite ("calibrate-run", cases, G_N_ELEMENTS (cases));
}
