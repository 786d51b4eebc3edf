/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-lm-score.h"

#include "lm-kernel.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK_TOKENS 64 /* whose logits are there at once, for each thread and two models */

/* One prediction of one model. */
typedef struct {
  double nll;
  float divergence;
  gboolean hit, same;
} Prediction;

typedef struct {
  AfpLm *const *models;
  guint n_models;
  const AfpLmText *text;
  float **x;                /* of each model: tokens x dim */
  Prediction **predictions; /* of each model: of each token */
} Run;

static gsize
count_tokens (const AfpLmText *text)
{
  return text->starts[text->n_documents];
}

/* --- predictions -------------------------------------------------------------------------------------------------- */

static void
judge_token (const Run *run, guint model, gsize token, guint vocab, const float *reference,
             const AfpLmOutcome *expected, const float *logits)
{
  const guint32 target = run->text->targets[token];
  const AfpLmOutcome outcome = model == 0 ? *expected : afp_lm_outcome (vocab, logits);
  Prediction *prediction = &run->predictions[model][token];

  prediction->nll = outcome.log_sum - (double) logits[target];
  prediction->hit = outcome.best == target;
  prediction->same = outcome.best == expected->best;
  prediction->divergence =
      model == 0 ? 0 : (float) afp_lm_divergence (vocab, reference, expected, logits, &outcome);
}

static gboolean
judge_chunk (gsize index, gpointer user_data, GError **error)
{
  const Run *run = user_data;
  const gsize first = index * CHUNK_TOKENS,
              n = MIN (CHUNK_TOKENS, count_tokens (run->text) - first);
  const AfpLmConfig *config = afp_lm_get_config (run->models[0]);
  const guint vocab = config->vocab;
  g_autofree float *reference = g_new (float, n *vocab), *other = NULL;
  AfpLmOutcome expected[CHUNK_TOKENS];

  for (guint m = 0; m < run->n_models; m++) {
    float *logits = reference;
    if (m > 0)
      logits = other ? other : (other = g_new (float, n *vocab));
    afp_lm_get_logits (run->models[m], n, run->x[m] + first * config->dim, logits);
    for (gsize t = 0; t < n; t++) {
      if (run->text->targets[first + t] == AFP_LM_NO_TARGET)
        continue;
      if (m == 0)
        expected[t] = afp_lm_outcome (vocab, reference + t * vocab);
      judge_token (run, m, first + t, vocab, reference + t * vocab, &expected[t],
                   logits + t * vocab);
    }
  }
  return TRUE;
}

/* --- sums --------------------------------------------------------------------------------------------------------- */

static int
compare_floats (const void *a, const void *b)
{
  const float x = *(const float *) a, y = *(const float *) b;

  return (x > y) - (x < y);
}

static void
sum_up (const Run *run, guint model, AfpLmScore *score)
{
  const gsize n = count_tokens (run->text);
  g_autofree float *divergences = g_new (float, n);
  gsize count = 0, hits = 0, same = 0;
  double nll = 0, divergence = 0;

  for (gsize t = 0; t < n; t++) {
    const Prediction *prediction = &run->predictions[model][t];
    if (run->text->targets[t] == AFP_LM_NO_TARGET)
      continue;
    divergences[count++] = prediction->divergence;
    divergence += (double) prediction->divergence;
    nll += prediction->nll;
    hits += prediction->hit != 0;
    same += prediction->same != 0;
  }
  qsort (divergences, count, sizeof *divergences, compare_floats);
  *score = (AfpLmScore){ .nll = nll / (double) count,
                         .top1 = (double) hits / (double) count,
                         .kl_mean = divergence / (double) count,
                         .kl_median = (double) divergences[count / 2],
                         .kl_p99 = (double) divergences[count - 1 - count / 100],
                         .same_top1 = (double) same / (double) count };
}

/* --- the run ------------------------------------------------------------------------------------------------------ */

static gboolean
check_models (AfpLm *const *models, guint n, const AfpLmText *text, GError **error)
{
  const AfpLmConfig *a = afp_lm_get_config (models[0]);

  for (guint m = 1; m < n; m++) {
    const AfpLmConfig *b = afp_lm_get_config (models[m]);
    if (a->vocab == b->vocab && a->dim == b->dim && a->n_layers == b->n_layers)
      continue;
    g_set_error (error, AFP_ERROR, AFP_ERROR_PLAN,
                 "the models cannot be compared: %u tokens, size %u, %u layers against %u, %u, %u",
                 a->vocab, a->dim, a->n_layers, b->vocab, b->dim, b->n_layers);
    return FALSE;
  }
  for (gsize t = 0; t < count_tokens (text); t++)
    if (text->targets[t] != AFP_LM_NO_TARGET && text->targets[t] >= a->vocab) {
      g_set_error (
          error, AFP_ERROR, AFP_ERROR_FORMAT,
          "token %u of the text is beyond the model's vocabulary of %u: is it the model's own "
          "tokenizer?",
          text->targets[t], a->vocab);
      return FALSE;
    }
  return TRUE;
}

/* Every layer of every model; embeddings before, heads opened after. */
static gboolean
run_models (Run *run, AfpPool *pool, AfpLmProgress progress, gpointer user_data, GError **error)
{
  const guint n_layers = afp_lm_get_config (run->models[0])->n_layers;
  const guint all = (n_layers + 1) * run->n_models;
  guint done = 0;

  for (guint m = 0; m < run->n_models; m++)
    if (!(run->x[m] = afp_lm_embed (run->models[m], run->text, pool, error)))
      return FALSE;
  for (guint layer = 0; layer <= n_layers; layer++)
    for (guint m = 0; m < run->n_models; m++) {
      const gboolean ok = layer < n_layers ? afp_lm_run_layer (run->models[m], layer, run->text,
                                                               run->x[m], pool, error)
                                           : afp_lm_open_head (run->models[m], pool, error);
      if (!ok)
        return FALSE;
      if (progress)
        progress (user_data, ++done, all);
    }
  return TRUE;
}

/**
 * afp_lm_score:
 * @models: (array length=n_models): the first is the reference
 * @n_models: at least 1
 * @text: what they predict; it has a target
 * @pool: (nullable): threads
 * @progress: (nullable): is told after each layer
 * @user_data: for @progress
 * @scores: (out caller-allocates) (array length=n_models): one for each model
 * @error: %AFP_ERROR_PLAN, %AFP_ERROR_FORMAT, %AFP_ERROR_CANCELLED
 *
 * The same numbers for any number of threads.
 */
gboolean
afp_lm_score (AfpLm *const *models, guint n_models, const AfpLmText *text, AfpPool *pool,
              AfpLmProgress progress, gpointer user_data, AfpLmScore *scores, GError **error)
{
  g_autofree float **x = g_new0 (float *, n_models);
  g_autofree Prediction **predictions = g_new0 (Prediction *, n_models);
  const gsize n = count_tokens (text);
  Run run = { models, n_models, text, x, predictions };

  if (!check_models (models, n_models, text, error))
    return FALSE;
  for (guint m = 0; m < n_models; m++)
    predictions[m] = g_new0 (Prediction, MAX (n, 1));
  const gboolean ok =
      run_models (&run, pool, progress, user_data, error) &&
      afp_parallel_for (pool, (n + CHUNK_TOKENS - 1) / CHUNK_TOKENS, judge_chunk, &run, error);
  for (guint m = 0; m < n_models; m++) {
    if (ok)
      sum_up (&run, m, &scores[m]);
    afp_lm_close_head (models[m]);
    g_free (x[m]);
    g_free (predictions[m]);
  }
  return ok;
}
