/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "seedlm-fit.h"

#include <string.h>

#define CHUNK 256     /* blocks per piece of work */
#define MIN_GAIN 1e-3 /* a round that gains less is the last */

int
seedlm_ask_quantize (void *user_data, const float *t, size_t n, const float *metric,
                     uint32_t *codes, float *t_hat)
{
  const SeedlmAsk *ask = user_data;
  const AfpMetric view = { AFP_METRIC_MATRIX, ask->rank, metric };

  return afp_quantizer_quantize (ask->quantizer, t, n, &view, codes, t_hat, NULL, ask->error);
}

float *
seedlm_weights_new (const AfpMetric *metric, gsize n)
{
  const guint length = metric->length;
  const gsize stride = afp_metric_stride (metric->kind, length);

  if (stride == 0 || !metric->data)
    return NULL;
  float *weights = g_new (float, MAX (n * length, 1));
  for (gsize b = 0; b < n; b++) {
    const float *g = metric->data + b * stride;
    float *out = weights + b * length, top = 0;
    for (guint i = 0; i < length; i++) {
      out[i] = g[metric->kind == AFP_METRIC_SCALAR     ? 0
                 : metric->kind == AFP_METRIC_DIAGONAL ? i
                                                       : i * (length + 1)];
      top = MAX (top, out[i]);
    }
    for (guint i = 0; i < length; i++)
      out[i] = MAX (out[i], top * SEEDLM_MIN_WEIGHT);
  }
  return weights;
}

/* --- samples --------------------------------------------------------------------------------------------------------- */

/* With one scale per row the row must be known, so that blocks are picked here: one from each of n equal stretches. */
static float *
sample_rows (AfpContext *ctx, gsize max, guint length, const float *scales, gsize *n,
             GError **error)
{
  const AfpLayout *layout = afp_context_get_layout (ctx);
  const guint64 per_row = afp_layout_get_padded_cols (layout) / length,
                total = afp_layout_get_rows (layout) * per_row;
  *n = MIN (total, (guint64) max);
  g_autofree float *blocks = g_new (float, *n *length);

  for (gsize i = 0; i < *n; i++) {
    const guint64 index = (guint64) (((double) i + 0.5) * (double) total / (double) *n);
    const guint64 row = MIN (index, total - 1) / per_row,
                  col = MIN (index, total - 1) % per_row * length;
    float *block = blocks + i * length;
    if (!afp_context_read (ctx, row, 1, col, length, block, error))
      return NULL;
    for (guint k = 0; k < length; k++)
      block[k] = seedlm_divide (block[k], scales[row]);
  }
  return g_steal_pointer (&blocks);
}

float *
seedlm_sample (AfpContext *ctx, gsize max, guint length, const float *scales, gboolean by_row,
               gsize *n, float **weights, GError **error)
{
  g_autofree float *metric = NULL;

  *weights = NULL;
  if (by_row)
    return sample_rows (ctx, max, length, scales, n, error);
  float *blocks = afp_context_sample (ctx, max, length, n, &metric, error);
  if (!blocks)
    return NULL;
  for (gsize i = 0; i < *n * length; i++)
    blocks[i] = seedlm_divide (blocks[i], scales[0]);
  const AfpMetric view = { afp_context_get_metric_kind (ctx, length), length, metric };
  *weights = seedlm_weights_new (&view, *n);
  return blocks;
}

/* --- one fit --------------------------------------------------------------------------------------------------------- */

typedef struct {
  const SeedlmFit *fit;
  gsize n, keep;
  gboolean choosing;
  float *blocks, *weights;     /* n x block_size */
  SeedlmCandidate *candidates; /* n x keep */
  guint32 *places;
  double *errors;
  float *t, *metric;
} FitJob;

static void
fit_job_clear (FitJob *job)
{
  g_free (job->blocks);
  g_free (job->weights);
  g_free (job->candidates);
  g_free (job->places);
  g_free (job->errors);
  g_free (job->t);
  g_free (job->metric);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (FitJob, fit_job_clear)

static gsize
candidates_per_block (guint rank)
{
  return rank <= 4 ? 64 : rank == 5 ? 128 : 256;
}

guint64
seedlm_fit_bytes (guint block_size, guint rank, guint64 samples)
{
  return samples * (candidates_per_block (rank) * sizeof (SeedlmCandidate) + sizeof (guint32) +
                    sizeof (double) + (2 * block_size + rank + rank * rank) * sizeof (float));
}

static gboolean
sample_blocks (FitJob *job, GError **error)
{
  const SeedlmFit *fit = job->fit;

  job->blocks = seedlm_sample (fit->ctx, fit->samples, fit->basis->block_size,
                               fit->row_scales ? fit->row_scales : &fit->scale,
                               fit->row_scales != NULL, &job->n, &job->weights, error);
  return job->blocks != NULL;
}

static gboolean
collect_chunk (gsize index, gpointer user_data, GError **error)
{
  FitJob *job = user_data;
  const gsize from = index * CHUNK, n = MIN (CHUNK, job->n - from),
              length = job->fit->basis->block_size;
  SeedlmSearch *search = seedlm_workers_take (job->fit->workers, error);

  if (!search)
    return FALSE;
  seedlm_search_collect (search, job->blocks + from * length, n, job->keep,
                         job->candidates + from * job->keep);
  for (gsize i = from; i < from + n; i++)
    job->places[i] = job->candidates[i * job->keep].place;
  seedlm_workers_give (job->fit->workers, search);
  return TRUE;
}

/* Chooses seeds by the error after quantization, as the codec will. */
static gboolean
choose_chunk (gsize index, gpointer user_data, GError **error)
{
  FitJob *job = user_data;
  const gsize from = index * CHUNK, n = MIN (CHUNK, job->n - from),
              length = job->fit->basis->block_size;
  SeedlmAsk ask = { job->fit->quantizer, job->fit->basis->rank, error };
  const SeedlmSearchParams params = { .quantize = seedlm_ask_quantize,
                                      .user_data = &ask,
                                      .n_codes = afp_quantizer_get_n_codes (job->fit->quantizer) };
  SeedlmSearch *search = seedlm_workers_take (job->fit->workers, error);

  if (!search)
    return FALSE;
  const gboolean ok = seedlm_search_choose (search, &params, job->blocks + from * length,
                                            job->weights ? job->weights + from * length : NULL, n,
                                            job->keep, job->candidates + from * job->keep,
                                            job->places + from, job->errors + from);
  seedlm_workers_give (job->fit->workers, search);
  return ok;
}

/* Coefficients of the chosen seeds, and a fit to them. */
static gboolean
fit_chosen (FitJob *job, GError **error)
{
  const SeedlmBasis *basis = job->fit->basis;
  const guint length = basis->block_size, rank = basis->rank;

  for (gsize i = 0; i < job->n; i++)
    seedlm_project (basis->sequence->values + job->places[i], length, rank,
                    job->blocks + i * length, job->weights ? job->weights + i * length : NULL,
                    job->t + i * rank, job->metric + i * rank * rank);
  const AfpMetric metric = { AFP_METRIC_MATRIX, rank, job->metric };
  return afp_quantizer_fit (job->fit->quantizer, job->t, job->n, &metric, error);
}

gboolean
seedlm_fit_quantizer (const SeedlmFit *fit, GError **error)
{
  const guint rank = fit->basis->rank;
  AfpPool *pool = afp_context_get_pool (fit->ctx);
  g_auto (FitJob) job = { .fit = fit, .keep = candidates_per_block (rank) };
  double last = G_MAXDOUBLE;

  if (!sample_blocks (&job, error))
    return FALSE;
  const gsize n_chunks = (job.n + CHUNK - 1) / CHUNK;
  job.keep = MIN (job.keep, fit->basis->n_usable);
  job.candidates = g_new (SeedlmCandidate, job.n * job.keep);
  job.places = g_new (guint32, job.n);
  job.errors = g_new (double, job.n);
  job.t = g_new (float, job.n *rank);
  job.metric = g_new (float, job.n *rank *rank);
  if (!afp_parallel_for (pool, n_chunks, collect_chunk, &job, error) || !fit_chosen (&job, error))
    return FALSE;
  for (guint round = 0; round < fit->rounds; round++) {
    double sum = 0;
    if (!afp_parallel_for (pool, n_chunks, choose_chunk, &job, error) || !fit_chosen (&job, error))
      return FALSE;
    for (gsize i = 0; i < job.n; i++)
      sum += job.errors[i];
    if (sum > last * (1 - MIN_GAIN))
      break;
    last = sum;
  }
  return TRUE;
}
