/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-lm-head.h"

#include "afp-lm-private.h"
#include "lm-kernel.h"

#include <cblas.h>

#define TILE_FLOATS (1u << 21) /* weights of a tile; fewer of the last */

typedef struct {
  AfpLm *const *models;
  guint n_models;
  gsize n;
  float *const *x;
  GBytes **tiles, **norms; /* of each model */
  guint row, n_rows;       /* of the tile at work */
  AfpLmLogits func;
  gpointer user_data;
} Head;

static guint
tile_rows (const AfpLmConfig *config)
{
  return CLAMP (TILE_FLOATS / config->dim / 64 * 64, 256, 8192);
}

guint
afp_lm_head_n_tiles (const AfpLmConfig *config)
{
  return (config->vocab + tile_rows (config) - 1) / tile_rows (config);
}

/* --- chunks of tokens --------------------------------------------------------------------------------------------- */

static gsize
n_chunks (const Head *head)
{
  return (head->n + AFP_LM_HEAD_TOKENS - 1) / AFP_LM_HEAD_TOKENS;
}

static gboolean
normalise_chunk (gsize index, gpointer user_data, GError **error)
{
  const Head *head = user_data;
  const gsize first = index * AFP_LM_HEAD_TOKENS, n = MIN (AFP_LM_HEAD_TOKENS, head->n - first);

  for (guint m = 0; m < head->n_models; m++) {
    const AfpLmConfig *config = afp_lm_get_config (head->models[m]);
    float *x = head->x[m] + first * config->dim;
    afp_lm_rms_norm (n, config->dim, config->norm_eps, x, g_bytes_get_data (head->norms[m], NULL),
                     x);
  }
  return TRUE;
}

static gboolean
classify_chunk (gsize index, gpointer user_data, GError **error)
{
  const Head *head = user_data;
  const gsize first = index * AFP_LM_HEAD_TOKENS, n = MIN (AFP_LM_HEAD_TOKENS, head->n - first);
  const guint dim = afp_lm_get_config (head->models[0])->dim;
  g_autofree float *logits = g_new (float, n * head->n_rows * head->n_models);
  g_autofree const float **of = g_new (const float *, head->n_models);

  for (guint m = 0; m < head->n_models; m++) {
    float *out = logits + m * n * head->n_rows;
    cblas_sgemm (CblasRowMajor, CblasNoTrans, CblasTrans, (blasint) n, (blasint) head->n_rows,
                 (blasint) dim, 1, head->x[m] + first * dim, (blasint) dim,
                 g_bytes_get_data (head->tiles[m], NULL), (blasint) dim, 0, out,
                 (blasint) head->n_rows);
    of[m] = out;
  }
  head->func (head->user_data, first, n, head->row, head->n_rows, of);
  return TRUE;
}

/* --- all of it ---------------------------------------------------------------------------------------------------- */

static gboolean
read_norms (Head *head, AfpPool *pool, GError **error)
{
  for (guint m = 0; m < head->n_models; m++)
    if (!(head->norms[m] = afp_lm_read_tensor (head->models[m], AFP_LM_NORM, 0, pool, error)))
      return FALSE;
  return TRUE;
}

/* Decodes the tile of each model, and runs all tokens through it. */
static gboolean
run_tile (Head *head, AfpPool *pool, GError **error)
{
  gboolean ok = TRUE;

  for (guint m = 0; ok && m < head->n_models; m++) {
    AfpLm *lm = head->models[m];
    head->tiles[m] =
        afp_lm_read_rows (lm, afp_lm_get_config (lm)->tied ? AFP_LM_EMBEDDING : AFP_LM_CLASSIFIER,
                          head->row, head->n_rows, pool, error);
    ok = head->tiles[m] != NULL;
  }
  ok = ok && afp_parallel_for (pool, n_chunks (head), classify_chunk, head, error);
  for (guint m = 0; m < head->n_models; m++)
    g_clear_pointer (&head->tiles[m], g_bytes_unref);
  return ok;
}

gboolean
afp_lm_run_head (AfpLm *const *models, guint n_models, gsize n, float *const *x, AfpPool *pool,
                 AfpLmLogits func, gpointer user_data, AfpLmProgress progress,
                 gpointer progress_data, GError **error)
{
  const AfpLmConfig *config = afp_lm_get_config (models[0]);
  const guint rows = tile_rows (config), n_tiles = afp_lm_head_n_tiles (config);
  g_autofree GBytes **tiles = g_new0 (GBytes *, n_models), **norms = g_new0 (GBytes *, n_models);
  Head head = { .models = models, n_models, n, x, tiles, norms };

  head.func = func;
  head.user_data = user_data;
  gboolean ok = read_norms (&head, pool, error) &&
                afp_parallel_for (pool, n_chunks (&head), normalise_chunk, &head, error);
  for (guint t = 0; ok && t < n_tiles; t++) {
    head.row = t * rows;
    head.n_rows = MIN (rows, config->vocab - head.row);
    ok = run_tile (&head, pool, error);
    if (ok && progress)
      progress (progress_data, t + 1, n_tiles);
  }
  for (guint m = 0; m < n_models; m++)
    g_clear_pointer (&norms[m], g_bytes_unref);
  return ok;
}
