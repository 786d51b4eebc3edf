/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "lm-load-test.h"
#include "lm-test.h"

#include "afp-lm-score.h"
#include "afp-lm-text.h"

#include <math.h>

/* --- a model on the disk ------------------------------------------------------------------------------------------ */

static char *
shared (const char *name)
{
  const char *folder = g_getenv ("AFP_TEST_SHARED");

  return folder && *folder ? g_build_filename (folder, "data", name, NULL) : NULL;
}

static AfpLmText *
read_stories (const char *name, guint64 *n_bytes)
{
  g_autofree char *tokens = shared ("stories260k/tok512.bin"), *path = shared (name), *text = NULL,
                  *bytes = NULL;
  const AfpLmTextOptions options = { "<|endoftext|>", 512, 0, 1 };
  gsize n, n_file;

  ck_assert (g_file_get_contents (tokens, &bytes, &n_file, NULL));
  g_autoptr (GBytes) file = g_bytes_new (bytes, n_file);
  g_autoptr (AfpTokenizer) tokenizer = afp_tokenizer_new_llama2c (file, 512, NULL);
  ck_assert (g_file_get_contents (path, &text, &n, NULL));
  return afp_lm_text_new (tokenizer, text, n, &options, n_bytes, NULL);
}

/* shared/data/README.md: from independent implementations. */
static const struct {
  const char *text;
  gsize tokens, hits;
  double nll;
} stories[] = {
  { "text/cs336_sample.txt", 1804, 1174, 1.266441031 },
#ifndef AFP_SANITIZED
  { "text/valid200_eot.txt", 66505, 44369, 1.214528376 },
#endif
};

static AfpLmConfig
read_config (gboolean hf)
{
  g_autofree char *path = shared (hf ? "stories260k/config.json" : "stories260k/stories260K.bin"),
                  *bytes = NULL;
  AfpLmConfig config;
  gsize n;

  ck_assert (g_file_get_contents (path, &bytes, &n, NULL));
  if (hf)
    ck_assert (afp_lm_config_from_json (bytes, n, &config, NULL));
  else
    ck_assert (afp_lm_config_from_llama2c ((guint8 *) bytes, n, &config, NULL));
  return config;
}

/* The llama2.c checkpoint on all texts, its Hugging Face form on the first. */
START_TEST (stories260k_scores_as_published)
{
  const gboolean hf = _i == G_N_ELEMENTS (stories);
  const guint which = hf ? 0 : (guint) _i;
  g_autofree char *path =
      shared (hf ? "stories260k/model.safetensors" : "stories260k/stories260K.bin");
  guint64 n_bytes;
  AfpLmScore score;

  if (!path)
    return;
  const AfpLmConfig config = read_config (hf);
  LmLoaded loaded = lm_load (path);
  g_autoptr (AfpLmText) text = read_stories (stories[which].text, &n_bytes);
  g_autoptr (AfpLm) lm = afp_lm_new (&config, lm_loaded_open, &loaded, NULL);
  g_autoptr (AfpPool) pool = afp_pool_new (2);

  ck_assert_ptr_nonnull (lm);
  ck_assert (afp_lm_score (&lm, 1, text, NULL, 0, pool, NULL, NULL, &score, NULL));
  ck_assert_uint_eq (afp_lm_text_get_n_targets (text), stories[which].tokens);
  ck_assert_uint_gt (n_bytes, stories[which].tokens);
  ck_assert_double_eq_tol (score.nll, stories[which].nll, 1e-5);
  ck_assert_uint_eq (score.n_tokens, stories[which].tokens);
  ck_assert_uint_eq (score.hits, stories[which].hits);
  ck_assert_double_eq (score.top1, (double) score.hits / (double) score.n_tokens);
  ck_assert_double_eq (score.kl_mean, 0);
  ck_assert_double_eq (score.same_top1, 1);
  lm_unload (&loaded);
}
END_TEST

/* --- small models ------------------------------------------------------------------------------------------------- */

static AfpLmText *
make_text (const LmTest *m)
{
  guint32 tokens[80];

  for (guint i = 0; i < 80; i++)
    tokens[i] = i * i % m->config.vocab;
  return afp_lm_text_new_tokens (tokens, 80);
}

static void
count_steps (gpointer user_data, guint done, guint all)
{
  guint *steps = user_data;

  ck_assert_uint_eq (++*steps, done);
  ck_assert_uint_ge (all, done);
}

/* One tile of the vocabulary, and two. */
START_TEST (scores_are_those_of_the_logits)
{
  g_autoptr (LmTest) a = lm_test_new (TRUE, TRUE, FALSE, FALSE);
  g_autoptr (LmTest) b = lm_test_new (FALSE, TRUE, FALSE, FALSE);
  if (_i > 0) {
    lm_test_set_vocab (a, 9000);
    lm_test_set_vocab (b, 9000);
  }
  g_autoptr (AfpLm) first = afp_lm_new (&a->config, lm_test_open, a, NULL);
  g_autoptr (AfpLm) second = afp_lm_new (&b->config, lm_test_open, b, NULL);
  AfpLm *const models[] = { first, second };
  g_autoptr (AfpLmText) text = make_text (a);
  g_autofree float *p = afp_lm_run (first, text, NULL, NULL),
                   *q = afp_lm_run (second, text, NULL, NULL);
  const guint vocab = a->config.vocab;
  double nll = 0, kl = 0;
  AfpLmScore scores[2];
  guint steps = 0;

  ck_assert (afp_lm_score (models, 2, text, NULL, 0, NULL, count_steps, &steps, scores, NULL));
  ck_assert_uint_eq (steps, 5 + (guint) _i); /* two layers of two models, and the tiles */
  for (gsize t = 0; t < 79; t++) {
    double p_sum = 0, q_sum = 0;
    for (guint i = 0; i < vocab; i++) {
      p_sum += exp ((double) p[t * vocab + i]);
      q_sum += exp ((double) q[t * vocab + i]);
    }
    nll += log (q_sum) - (double) q[t * vocab + text->targets[t]];
    for (guint i = 0; i < vocab; i++) {
      const double x = exp ((double) p[t * vocab + i]) / p_sum,
                   y = exp ((double) q[t * vocab + i]) / q_sum;
      kl += x * log (x / y);
    }
  }
  ck_assert_double_eq_tol (scores[1].nll, nll / 79, 1e-5);
  ck_assert_double_eq_tol (scores[1].kl_mean, kl / 79, 1e-5);
  ck_assert_double_gt (scores[1].kl_p99, scores[1].kl_median);
  ck_assert_double_lt (scores[1].same_top1, 1);
  ck_assert_double_eq (scores[0].kl_p99, 0);
}
END_TEST

/* Some targets of three documents, in batches of one document too. */
START_TEST (predictions_are_in_order)
{
  g_autoptr (LmTest) m = lm_test_new (TRUE, TRUE, FALSE, FALSE);
  g_autoptr (AfpLm) lm = afp_lm_new (&m->config, lm_test_open, m, NULL);
  const guint32 none = AFP_LM_NO_TARGET;
  guint32 tokens[] = { 3, 1, 4, 1, 5, 9, 2, 6 }, targets[] = { none, 4, none, 5, 9, none, none, 5 };
  gsize starts[] = { 0, 3, 5, 8 };
  AfpLmText text = { tokens, targets, starts, 3 };
  const guint vocab = m->config.vocab;
  g_autofree float *logits = afp_lm_run (lm, &text, NULL, NULL);
  guint at = 0, steps = 0;

  g_autofree AfpLmPrediction *predictions =
      afp_lm_predict (&lm, 1, &text, NULL, (gsize) _i, NULL, count_steps, &steps, NULL);
  ck_assert_ptr_nonnull (predictions);
  ck_assert_uint_eq (steps, _i == 0 ? 3 : 9);
  for (guint t = 0; t < 8; t++) {
    double sum = 0;
    guint best = 0;
    if (targets[t] == none)
      continue;
    for (guint i = 0; i < vocab; i++) {
      sum += exp ((double) logits[t * vocab + i]);
      best = logits[t * vocab + i] > logits[t * vocab + best] ? i : best;
    }
    ck_assert_double_eq_tol (predictions[at].log_p,
                             (double) logits[t * vocab + targets[t]] - log (sum), 1e-5);
    ck_assert_int_eq (predictions[at].hit, best == targets[t]);
    ck_assert (predictions[at].same);
    at++;
  }
  ck_assert_uint_eq (at, 4);
}
END_TEST

/* Two stories at a time: what the activations of the third would take is over the limit. */
START_TEST (batches_change_no_figure)
{
  g_autoptr (LmTest) a = lm_test_new (TRUE, TRUE, FALSE, FALSE);
  g_autoptr (LmTest) b = lm_test_new (FALSE, TRUE, FALSE, FALSE);
  g_autoptr (AfpLm) first = afp_lm_new (&a->config, lm_test_open, a, NULL);
  g_autoptr (AfpLm) second = afp_lm_new (&b->config, lm_test_open, b, NULL);
  AfpLm *const models[] = { first, second };
  guint32 tokens[500], targets[500];
  gsize starts[] = { 0, 100, 200, 300, 400, 500 };
  AfpLmText text = { tokens, targets, starts, 5 };
  AfpLmScore whole[2], parts[2];
  guint steps = 0;

  for (guint i = 0; i < 500; i++) {
    tokens[i] = i * i % a->config.vocab;
    targets[i] = (i + 1) * (i + 1) % a->config.vocab;
  }
  const gsize limit = 299;
  ck_assert (afp_lm_score (models, 2, &text, NULL, 0, NULL, NULL, NULL, whole, NULL));
  ck_assert (afp_lm_score (models, 2, &text, NULL, limit, NULL, count_steps, &steps, parts, NULL));
  ck_assert_uint_eq (steps, 3 * 5);
  for (guint m = 0; m < 2; m++) {
    ck_assert_uint_eq (parts[m].n_tokens, 500);
    ck_assert_uint_eq (parts[m].hits, whole[m].hits);
    ck_assert_double_eq_tol (parts[m].nll, whole[m].nll, 1e-6);
    ck_assert_double_eq_tol (parts[m].kl_mean, whole[m].kl_mean, 1e-6);
    ck_assert_double_eq (parts[m].same_top1, whole[m].same_top1);
  }
}
END_TEST

/* Collects what it is told. */
static void
collect_states (gpointer user_data, const float *states, gsize n)
{
  const guint dim = GPOINTER_TO_UINT (g_array_index ((GArray *) user_data, gpointer, 0));
  GArray *all = g_array_index ((GArray *) user_data, GArray *, 1);

  g_array_append_vals (all, states, (guint) n * dim);
}

/* Bit for bit what it is when all run, in as many batches; and no layer of the reference is read any more. */
START_TEST (known_states_change_nothing)
{
  g_autoptr (LmTest) a = lm_test_new (TRUE, TRUE, FALSE, FALSE);
  g_autoptr (LmTest) b = lm_test_new (FALSE, TRUE, FALSE, FALSE);
  g_autoptr (AfpLm) first = afp_lm_new (&a->config, lm_test_open, a, NULL);
  g_autoptr (AfpLm) second = afp_lm_new (&b->config, lm_test_open, b, NULL);
  AfpLm *const models[] = { first, second };
  guint32 tokens[50], targets[50];
  gsize starts[] = { 0, 10, 20, 30, 40, 50 };
  AfpLmText text = { tokens, targets, starts, 5 };
  const gsize max_tokens = _i ? 29 : 0, n = 40;
  g_autoptr (GArray) all = g_array_new (FALSE, FALSE, sizeof (float));
  g_autoptr (GArray) told = g_array_new (FALSE, FALSE, sizeof (gpointer));
  gpointer items[] = { GUINT_TO_POINTER (a->config.dim), all };
  AfpLmStates states = { NULL, collect_states, told };
  guint steps = 0, fewer = 0;

  g_array_append_vals (told, items, 2);
  for (guint i = 0; i < 50; i++) {
    tokens[i] = i * i % a->config.vocab;
    targets[i] = i % 5 ? tokens[i] : AFP_LM_NO_TARGET;
  }
  g_autofree AfpLmPrediction *plain =
      afp_lm_predict (models, 2, &text, NULL, max_tokens, NULL, NULL, NULL, NULL);
  g_autofree AfpLmPrediction *keeping =
      afp_lm_predict (models, 2, &text, &states, max_tokens, NULL, count_steps, &steps, NULL);
  ck_assert_uint_eq (all->len, n * a->config.dim);
  states = (AfpLmStates){ (const float *) (gpointer) all->data, collect_states, told };
  a->failing = "layers.0.attention.wq.weight";
  g_autofree AfpLmPrediction *known =
      afp_lm_predict (models, 2, &text, &states, max_tokens, NULL, count_steps, &fewer, NULL);
  ck_assert_ptr_nonnull (known);
  ck_assert_uint_eq (all->len, n * a->config.dim); /* told of nothing more */
  ck_assert_uint_eq (steps - fewer, a->config.n_layers * (_i ? 3 : 1));
  for (gsize i = 0; i < 2 * n; i++)
    for (guint k = 0; k < 2; k++) {
      const AfpLmPrediction *x = &plain[i], *y = k ? &known[i] : &keeping[i];
      ck_assert (x->log_p == y->log_p && x->divergence == y->divergence && x->hit == y->hit &&
                 x->same == y->same);
    }
}
END_TEST

/* A broken model does not score like a good one. */
START_TEST (what_is_no_number_is_no_score)
{
  g_autoptr (LmTest) a = lm_test_new (TRUE, TRUE, FALSE, FALSE);
  g_autoptr (LmTest) b = lm_test_new (TRUE, TRUE, FALSE, FALSE);
  g_autofree float *norm = g_new (float, b->config.dim);
  for (guint i = 0; i < b->config.dim; i++)
    norm[i] = NAN;
  g_hash_table_insert (b->weights, g_strdup ("norm.weight"),
                       g_bytes_new (norm, b->config.dim * sizeof *norm));
  g_autoptr (AfpLm) first = afp_lm_new (&a->config, lm_test_open, a, NULL);
  g_autoptr (AfpLm) second = afp_lm_new (&b->config, lm_test_open, b, NULL);
  AfpLm *const models[] = { first, second };
  g_autoptr (AfpLmText) text = make_text (a);
  AfpLmScore scores[2];

  ck_assert (afp_lm_score (models, 2, text, NULL, 0, NULL, NULL, NULL, scores, NULL));
  ck_assert (isfinite (scores[0].nll));
  ck_assert (isnan (scores[1].nll));
  ck_assert (isnan (scores[1].kl_mean));
  ck_assert (isnan (scores[1].kl_p99));
}
END_TEST

START_TEST (other_sizes_cannot_be_compared)
{
  g_autoptr (LmTest) a = lm_test_new (TRUE, TRUE, FALSE, FALSE);
  g_autoptr (LmTest) b = lm_test_new (TRUE, TRUE, FALSE, FALSE);
  b->config.n_layers = 1;
  g_autoptr (AfpLm) first = afp_lm_new (&a->config, lm_test_open, a, NULL);
  g_autoptr (AfpLm) second = afp_lm_new (&b->config, lm_test_open, b, NULL);
  AfpLm *const models[] = { first, second };
  g_autoptr (AfpLmText) text = make_text (a);
  AfpLmScore scores[2];
  GError *error = NULL;

  ck_assert (!afp_lm_score (models, 2, text, NULL, 0, NULL, NULL, NULL, scores, &error));
  assert_error (error, AFP_ERROR_PLAN, "cannot be compared", "2 layers against 24, 16, 1");
}
END_TEST

START_TEST (a_target_beyond_the_vocabulary_is_an_error)
{
  g_autoptr (LmTest) a = lm_test_new (TRUE, TRUE, FALSE, FALSE);
  g_autoptr (AfpLm) lm = afp_lm_new (&a->config, lm_test_open, a, NULL);
  const guint32 tokens[] = { 1, 2, 4711 };
  g_autoptr (AfpLmText) text = afp_lm_text_new_tokens (tokens, 3);
  AfpLmScore score;
  GError *error = NULL;

  ck_assert (!afp_lm_score (&lm, 1, text, NULL, 0, NULL, NULL, NULL, &score, &error));
  assert_error (error, AFP_ERROR_FORMAT, "token 4711", "vocabulary of 24");
}
END_TEST

START_TEST (cancelling_ends_it)
{
  g_autoptr (LmTest) a = lm_test_new (TRUE, TRUE, FALSE, FALSE);
  g_autoptr (AfpLm) lm = afp_lm_new (&a->config, lm_test_open, a, NULL);
  g_autoptr (AfpLmText) text = make_text (a);
  g_autoptr (AfpPool) pool = afp_pool_new (1);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  AfpLmScore score;
  GError *error = NULL;

  afp_pool_set_cancellable (pool, cancellable);
  g_cancellable_cancel (cancellable);
  ck_assert (!afp_lm_score (&lm, 1, text, NULL, 0, pool, NULL, NULL, &score, &error));
  assert_error (error, AFP_ERROR_CANCELLED, "cancelled");
}
END_TEST

static TCase *
good_case (void)
{
  TCase *tcase = tcase_create ("good");
  tcase_add_loop_test (tcase, stories260k_scores_as_published, 0, G_N_ELEMENTS (stories) + 1);
  tcase_add_loop_test (tcase, scores_are_those_of_the_logits, 0, 2);
  tcase_add_loop_test (tcase, predictions_are_in_order, 0, 2);
  tcase_add_test (tcase, batches_change_no_figure);
  tcase_add_loop_test (tcase, known_states_change_nothing, 0, 2);
  return tcase;
}

static TCase *
bad_case (void)
{
  TCase *tcase = tcase_create ("bad");
  tcase_add_test (tcase, what_is_no_number_is_no_score);
  tcase_add_test (tcase, other_sizes_cannot_be_compared);
  tcase_add_test (tcase, a_target_beyond_the_vocabulary_is_an_error);
  tcase_add_test (tcase, cancelling_ends_it);
  return tcase;
}

int
main (void)
{
  TCase *(*const cases[]) (void) = { good_case, bad_case };

  return run_suite ("lm-score", cases, G_N_ELEMENTS (cases));
}
