/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * bench-lm: tokens per second of a perplexity run, and the share of its time that its products of matrices (OpenBLAS's sgemm, of the same
 * shapes, on as many threads) take alone in the same run. A model of the shape of SmolLM2-135M with made-up weights; medians.
 *
 *   make bench          or   bench/bench-lm [TOKENS] [CONTEXT] [THREADS] [LAYERS]
 */
#include "afp-lm-score.h"
#include "afp-lm-text.h"

#include <cblas.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define RUNS 3

/* As afp-lm-layer.c and afp-lm-head.c have them. */
#define TILE_ROWS 256
#define QUERY_ROWS 64
#define HEAD_ROWS 3584

static const AfpLmConfig smollm2 = { .names = AFP_LM_NAMES_HF,
                                     .architecture = "llama",
                                     .dim = 576,
                                     .hidden = 1536,
                                     .n_layers = 30,
                                     .n_heads = 9,
                                     .n_kv_heads = 3,
                                     .head_dim = 64,
                                     .vocab = 49152,
                                     .context = 8192,
                                     .norm_eps = 1e-5f,
                                     .rope_base = 100000,
                                     .tied = TRUE };

/* --- the model ---------------------------------------------------------------------------------------------------- */

/* The layers share their weights: what is measured is not the disk. */
typedef struct {
  AfpLmConfig config;
  GBytes *weights[AFP_LM_N_TENSORS];
} Model;

static AfpMatrix *
open_tensor (gpointer user_data, const char *name, GError **error)
{
  Model *model = user_data;

  for (guint t = 0; t < AFP_LM_N_TENSORS; t++)
    for (guint layer = 0; layer < model->config.n_layers; layer++) {
      g_autofree char *other = afp_lm_tensor_name (&model->config, t, layer);
      guint64 rows, cols;
      if (g_strcmp0 (name, other) == 0 && afp_lm_tensor_shape (&model->config, t, &rows, &cols))
        return afp_matrix_new_dense (rows, cols, model->weights[t]);
    }
  return NULL;
}

static void
make_model (Model *model, guint n_layers)
{
  guint32 state = 1;

  model->config = smollm2;
  model->config.n_layers = n_layers;
  for (guint t = 0; t < AFP_LM_N_TENSORS; t++) {
    guint64 rows, cols;
    if (!afp_lm_tensor_shape (&model->config, t, &rows, &cols))
      continue;
    float *values = g_new (float, rows *cols);
    for (gsize i = 0; i < rows * cols; i++) {
      state = state * 1664525 + 1013904223;
      values[i] = ((float) (state >> 8) / 8388608 - 1) * (rows == 1 ? 1 : 0.05f);
    }
    model->weights[t] = g_bytes_new_take (values, rows * cols * sizeof *values);
  }
}

static AfpLmText *
make_text (gsize n, guint context, guint vocab)
{
  AfpLmText *text = g_new0 (AfpLmText, 1);

  text->n_documents = (n + context - 1) / context;
  text->tokens = g_new (guint32, n);
  text->targets = g_new (guint32, n);
  text->starts = g_new (gsize, text->n_documents + 1);
  for (gsize t = 0; t < n; t++) {
    text->tokens[t] = (guint32) (t * 7919 % vocab);
    text->targets[t] = (guint32) (t * 104729 % vocab);
  }
  for (gsize d = 0; d <= text->n_documents; d++)
    text->starts[d] = MIN (d * context, n);
  return text;
}

/* --- the products alone ------------------------------------------------------------------------------------------- */

typedef struct {
  const AfpLmConfig *config;
  const AfpLmText *text;
  const float *weights;
  const float *x;
} Products;

static void
multiply (const Products *p, gsize n, gsize in, gsize out, float *y)
{
  cblas_sgemm (CblasRowMajor, CblasNoTrans, CblasTrans, (blasint) n, (blasint) out, (blasint) in, 1,
               p->x, (blasint) in, p->weights, (blasint) in, 0, y, (blasint) out);
}

static gboolean
linear_tile (gsize index, gpointer user_data, GError **error)
{
  const Products *p = user_data;
  const AfpLmConfig *c = p->config;
  const gsize all = p->text->starts[p->text->n_documents],
              n = MIN (TILE_ROWS, all - index * TILE_ROWS), q = c->n_heads * c->head_dim,
              kv = c->n_kv_heads * c->head_dim;
  g_autofree float *y = g_new (float, n *MAX (c->hidden, q));

  multiply (p, n, c->dim, q, y);
  multiply (p, n, c->dim, kv, y);
  multiply (p, n, c->dim, kv, y);
  multiply (p, n, q, c->dim, y);
  multiply (p, n, c->dim, c->hidden, y);
  multiply (p, n, c->dim, c->hidden, y);
  multiply (p, n, c->hidden, c->dim, y);
  return TRUE;
}

/* All heads of one document. */
static gboolean
attention (gsize index, gpointer user_data, GError **error)
{
  const Products *p = user_data;
  const AfpLmConfig *c = p->config;
  const gsize n = p->text->starts[index + 1] - p->text->starts[index], dim = c->head_dim,
              q = c->n_heads * dim, kv = c->n_kv_heads * dim;
  g_autofree float *scores = g_new (float, QUERY_ROWS *n), *y = g_new (float, n *q);

  for (guint h = 0; h < c->n_heads; h++)
    for (gsize row = 0; row < n; row += QUERY_ROWS) {
      const gsize rows = MIN (QUERY_ROWS, n - row), cols = row + rows;
      cblas_sgemm (CblasRowMajor, CblasNoTrans, CblasTrans, (blasint) rows, (blasint) cols,
                   (blasint) dim, 1, p->x, (blasint) q, p->weights, (blasint) kv, 0, scores,
                   (blasint) cols);
      cblas_sgemm (CblasRowMajor, CblasNoTrans, CblasNoTrans, (blasint) rows, (blasint) dim,
                   (blasint) cols, 1, scores, (blasint) cols, p->weights, (blasint) kv, 0, y,
                   (blasint) q);
    }
  return TRUE;
}

static gboolean
head_tile (gsize index, gpointer user_data, GError **error)
{
  const Products *p = user_data;
  const gsize all = p->text->starts[p->text->n_documents], rows = AFP_LM_HEAD_TOKENS,
              n = MIN (rows, all - index * rows);
  g_autofree float *y = g_new (float, n *HEAD_ROWS);

  for (gsize row = 0; row < p->config->vocab; row += HEAD_ROWS)
    multiply (p, n, p->config->dim, MIN (HEAD_ROWS, p->config->vocab - row), y);
  return TRUE;
}

static void
run_products (const Products *p, AfpPool *pool)
{
  const gsize n = p->text->starts[p->text->n_documents];

  for (guint layer = 0; layer < p->config->n_layers; layer++) {
    afp_parallel_for (pool, (n + TILE_ROWS - 1) / TILE_ROWS, linear_tile, (gpointer) p, NULL);
    afp_parallel_for (pool, p->text->n_documents, attention, (gpointer) p, NULL);
  }
  afp_parallel_for (pool, (n + AFP_LM_HEAD_TOKENS - 1) / AFP_LM_HEAD_TOKENS, head_tile,
                    (gpointer) p, NULL);
}

/* --- the clock ---------------------------------------------------------------------------------------------------- */

/* Seconds on the wall, and of all processors together: other programs count less in them. */
typedef struct {
  double wall[RUNS], cpu[RUNS];
} Times;

static void
start_clock (Times *times, guint run)
{
  times->wall[run] = -(double) g_get_monotonic_time () / 1e6;
  times->cpu[run] = -(double) clock () / CLOCKS_PER_SEC;
}

static void
stop_clock (Times *times, guint run)
{
  times->wall[run] += (double) g_get_monotonic_time () / 1e6;
  times->cpu[run] += (double) clock () / CLOCKS_PER_SEC;
}

static int
compare (const void *a, const void *b)
{
  const double x = *(const double *) a, y = *(const double *) b;

  return (x > y) - (x < y);
}

static double
median (double *values)
{
  qsort (values, RUNS, sizeof *values, compare);
  return values[RUNS / 2];
}

int
main (int argc, char **argv)
{
  const gsize n = argc > 1 ? (gsize) atol (argv[1]) : 4096;
  const guint context = argc > 2 ? (guint) atoi (argv[2]) : 512;
  g_autoptr (AfpPool) pool = afp_pool_new (argc > 3 ? (guint) atoi (argv[3]) : 2);
  Times whole, alone;
  Model model = { 0 };
  AfpLmScore score;
  GError *error = NULL;

  make_model (&model, argc > 4 ? (guint) atoi (argv[4]) : smollm2.n_layers);
  AfpLmText *text = make_text (n, context, model.config.vocab);
  AfpLm *lm = afp_lm_new (&model.config, open_tensor, &model, &error);
  const float *weights = g_bytes_get_data (model.weights[AFP_LM_EMBEDDING], NULL);
  const Products products = { &model.config, text, weights, weights };

  for (guint r = 0; lm && r < RUNS; r++) {
    start_clock (&whole, r);
    if (!afp_lm_score (&lm, 1, text, NULL, 0, pool, NULL, NULL, &score, &error))
      break;
    stop_clock (&whole, r);
    start_clock (&alone, r);
    run_products (&products, pool);
    stop_clock (&alone, r);
  }
  if (error) {
    g_printerr ("bench-lm: %s\n", error->message);
    return 1;
  }
  const double seconds = median (whole.wall), products_s = median (alone.wall);
  printf ("%" G_GSIZE_FORMAT
          " tokens, documents of %u, %u threads, OpenBLAS for %s: %.0f tokens/s; sgemm "
          "alone %.0f tokens/s: %.0f%% (of processor time %.0f%%)\n",
          n, context, afp_pool_get_n_threads (pool), openblas_get_corename (), (double) n / seconds,
          (double) n / products_s, 100 * products_s / seconds,
          100 * median (alone.cpu) / median (whole.cpu));
  return 0;
}
