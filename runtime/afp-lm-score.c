/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-lm-score.h"

#include "afp-lm-text.h"
#include "lm-kernel.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* One prediction of one model while its logits come. */
typedef struct {
  AfpLmFold fold;
  double cross; /* with the reference */
} State;

/* Documents that run together. */
typedef struct {
  AfpLm *const *models;
  guint n_models;
  AfpLmText *text;
  float **x;        /* of each model: tokens x dim; of the head: targets x dim */
  State **states;   /* of each model: of each target */
  guint32 *targets; /* those that are asked for */
  gsize n_targets;
} Batch;

typedef struct {
  AfpLmProgress func;
  gpointer user_data;
  guint done, all;
} Progress;

static void
step (gpointer user_data, guint done G_GNUC_UNUSED, guint all G_GNUC_UNUSED)
{
  Progress *progress = user_data;

  progress->done++;
  if (progress->func)
    progress->func (progress->user_data, progress->done, progress->all);
}

/* --- predictions -------------------------------------------------------------------------------------------------- */

/* An AfpLmLogits. */
static void
fold_logits (gpointer user_data, gsize first, gsize n, guint row, guint n_rows,
             const float *const *logits)
{
  const Batch *batch = user_data;
  g_autofree float *weights = g_new (float, n_rows), *others = g_new (float, n_rows);

  for (gsize t = 0; t < n; t++) {
    const guint32 target = batch->targets[first + t];
    const float *reference = logits[0] + t * n_rows;
    const double factor =
        afp_lm_fold (&batch->states[0][first + t].fold, row, n_rows, reference, target, weights);
    for (guint m = 1; m < batch->n_models; m++) {
      State *state = &batch->states[m][first + t];
      afp_lm_fold (&state->fold, row, n_rows, logits[m] + t * n_rows, target, others);
      state->cross =
          state->cross * factor + afp_lm_cross (n_rows, weights, reference, logits[m] + t * n_rows);
    }
  }
}

/* @stride: from model to model */
static void
tell (const Batch *batch, AfpLmPrediction *predictions, gsize stride)
{
  for (guint m = 0; m < batch->n_models; m++, predictions += stride)
    for (gsize i = 0; i < batch->n_targets; i++) {
      const State *state = &batch->states[m][i], *reference = &batch->states[0][i];
      predictions[i] = (AfpLmPrediction){
        .log_p = (double) state->fold.target - afp_lm_fold_log_sum (&state->fold),
        .divergence =
            m == 0 ? 0 : (float) afp_lm_divergence (state->cross, &reference->fold, &state->fold),
        .hit = state->fold.best == batch->targets[i],
        .same = state->fold.best == reference->fold.best
      };
    }
}

/* --- batches ------------------------------------------------------------------------------------------------------ */

static void
batch_init (Batch *batch, AfpLm *const *models, guint n_models, const AfpLmText *text, gsize first,
            gsize last)
{
  const gsize n = text->starts[last] - text->starts[first];

  *batch = (Batch){ .models = models, .n_models = n_models };
  batch->text = afp_lm_text_new_part (text, first, last);
  batch->x = g_new0 (float *, n_models);
  batch->states = g_new0 (State *, n_models);
  batch->targets = g_new (guint32, MAX (n, 1));
  for (gsize t = 0; t < n; t++)
    if (batch->text->targets[t] != AFP_LM_NO_TARGET)
      batch->targets[batch->n_targets++] = batch->text->targets[t];
  for (guint m = 0; m < n_models; m++) {
    batch->states[m] = g_new (State, MAX (batch->n_targets, 1));
    for (gsize i = 0; i < batch->n_targets; i++)
      batch->states[m][i] = (State){ AFP_LM_FOLD_NONE, 0 };
  }
}

static void
batch_clear (Batch *batch)
{
  for (guint m = 0; m < batch->n_models; m++) {
    g_free (batch->x[m]);
    g_free (batch->states[m]);
  }
  g_free (batch->x);
  g_free (batch->states);
  g_free (batch->targets);
  afp_lm_text_free (batch->text);
}

/* Rows where something is asked, one behind the other: the head has nothing to do with the rest. */
static void
keep_asked (const Batch *batch, gsize dim, float *x)
{
  gsize kept = 0;

  for (gsize t = 0; t < afp_lm_text_get_n_tokens (batch->text); t++)
    if (batch->text->targets[t] != AFP_LM_NO_TARGET)
      memmove (x + dim * kept++, x + dim * t, dim * sizeof *x);
}

/* @states: (nullable): of the first model */
static gboolean
is_known (const AfpLmStates *states)
{
  return states && states->known;
}

/* Every layer of every model that has to run, side by side: of each what the head takes. */
static gboolean
batch_run_layers (Batch *batch, const AfpLmStates *states, AfpPool *pool, Progress *progress,
                  GError **error)
{
  const AfpLmConfig *config = afp_lm_get_config (batch->models[0]);
  const guint first = is_known (states);

  for (guint m = first; m < batch->n_models; m++)
    if (!(batch->x[m] = afp_lm_embed (batch->models[m], batch->text, pool, error)))
      return FALSE;
  for (guint layer = 0; layer < config->n_layers; layer++)
    for (guint m = first; m < batch->n_models; m++) {
      if (!afp_lm_run_layer (batch->models[m], layer, batch->text, batch->x[m], pool, error))
        return FALSE;
      step (progress, 0, 0);
    }
  for (guint m = first; m < batch->n_models; m++)
    keep_asked (batch, config->dim, batch->x[m]);
  return TRUE;
}

/* Layers, then the heads together. @at: targets before these */
static gboolean
batch_run (Batch *batch, const AfpLmStates *states, gsize at, AfpPool *pool, Progress *progress,
           GError **error)
{
  const gsize dim = afp_lm_get_config (batch->models[0])->dim;

  if (is_known (states))
    batch->x[0] =
        g_memdup2 (states->known + at * dim, batch->n_targets * dim * sizeof *states->known);
  if (!batch_run_layers (batch, states, pool, progress, error))
    return FALSE;
  if (states && !states->known && states->keep)
    states->keep (states->user_data, batch->x[0], batch->n_targets);
  return afp_lm_run_head (batch->models, batch->n_models, batch->n_targets, batch->x, pool,
                          fold_logits, batch, step, progress, error);
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
  for (gsize t = 0; t < afp_lm_text_get_n_tokens (text); t++)
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

/**
 * afp_lm_predict:
 * @models: (array length=n_models): the first is the reference
 * @n_models: at least 1
 * @text: what they predict
 * @states: (nullable): of the reference
 * @max_tokens: that run at once; 0: no limit. A text that has more runs in batches of whole documents
 *   (one at least), and every batch decodes all layers again: the same numbers but for rounding, later
 * @pool: (nullable): threads
 * @progress: (nullable): is told after each layer and each tile of the vocabulary
 * @user_data: for @progress
 * @error: %AFP_ERROR_PLAN, %AFP_ERROR_FORMAT, %AFP_ERROR_CANCELLED
 *
 * The same numbers for any number of threads.
 *
 * Returns: (transfer full): of each model, one behind the other, a prediction for each target of @text, in order
 */
AfpLmPrediction *
afp_lm_predict (AfpLm *const *models, guint n_models, const AfpLmText *text,
                const AfpLmStates *states, gsize max_tokens, AfpPool *pool, AfpLmProgress progress,
                gpointer user_data, GError **error)
{
  if (!check_models (models, n_models, text, error))
    return NULL;
  const gsize n = afp_lm_text_get_n_targets (text);
  g_autofree AfpLmPrediction *predictions = g_new (AfpLmPrediction, MAX (n * n_models, 1));
  const AfpLmConfig *config = afp_lm_get_config (models[0]);
  const gsize most = max_tokens ? max_tokens : G_MAXSIZE;
  Progress steps = { progress, user_data, 0,
                     afp_lm_text_count_parts (text, most) *
                         (config->n_layers * (n_models - is_known (states)) +
                          afp_lm_head_n_tiles (config)) };
  gboolean ok = TRUE;
  gsize at = 0;

  for (gsize first = 0, last; ok && first < text->n_documents; first = last) {
    Batch batch;
    last = afp_lm_text_get_part_end (text, first, most);
    batch_init (&batch, models, n_models, text, first, last);
    ok = batch_run (&batch, states, at, pool, &steps, error);
    if (ok)
      tell (&batch, predictions + at, n);
    at += batch.n_targets;
    batch_clear (&batch);
  }
  return ok ? g_steal_pointer (&predictions) : NULL;
}

/* --- sums --------------------------------------------------------------------------------------------------------- */

/* What is not a number is the largest. */
static int
compare_floats (const void *a, const void *b)
{
  const float x = *(const float *) a, y = *(const float *) b;

  return isnan (x) || isnan (y) ? isnan (x) - isnan (y) : (x > y) - (x < y);
}

static void
sum_up (const AfpLmPrediction *predictions, gsize n, AfpLmScore *score)
{
  g_autofree float *divergences = g_new (float, n);
  guint64 hits = 0, same = 0;
  double log_p = 0, divergence = 0;

  for (gsize i = 0; i < n; i++) {
    divergences[i] = predictions[i].divergence;
    divergence += (double) predictions[i].divergence;
    log_p += predictions[i].log_p;
    hits += predictions[i].hit;
    same += predictions[i].same;
  }
  qsort (divergences, n, sizeof *divergences, compare_floats);
  *score = (AfpLmScore){ .n_tokens = n,
                         .hits = hits,
                         .nll = -log_p / (double) n,
                         .top1 = (double) hits / (double) n,
                         .kl_mean = divergence / (double) n,
                         .kl_median = (double) divergences[n / 2],
                         .kl_p99 = (double) divergences[n - 1 - n / 100],
                         .same_top1 = (double) same / (double) n };
}

/**
 * afp_lm_score:
 * @models: (array length=n_models): the first is the reference
 * @n_models: at least 1
 * @text: what they predict; it has a target
 * @states: (nullable): of the reference
 * @max_tokens: see afp_lm_predict()
 * @pool: (nullable): threads
 * @progress: (nullable): see afp_lm_predict()
 * @user_data: for @progress
 * @scores: (out caller-allocates) (array length=n_models): one for each model
 * @error: %AFP_ERROR_PLAN, %AFP_ERROR_FORMAT, %AFP_ERROR_CANCELLED
 *
 * The same numbers for any number of threads.
 */
gboolean
afp_lm_score (AfpLm *const *models, guint n_models, const AfpLmText *text,
              const AfpLmStates *states, gsize max_tokens, AfpPool *pool, AfpLmProgress progress,
              gpointer user_data, AfpLmScore *scores, GError **error)
{
  const gsize n = afp_lm_text_get_n_targets (text);
  g_autofree AfpLmPrediction *predictions =
      afp_lm_predict (models, n_models, text, states, max_tokens, pool, progress, user_data, error);

  for (guint m = 0; predictions && m < n_models; m++)
    sum_up (predictions + m * n, n, &scores[m]);
  return predictions != NULL;
}
