/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-lm.h"

#include "afp-lm-head.h"
#include "lm-kernel.h"

#include <cblas.h>
#include <math.h>
#include <string.h>

#define TILE_TOKENS 1024 /* of whole documents, that one task works on */
#define QUERY_ROWS 256   /* rows of scores at once */

struct _AfpLm {
  AfpLmConfig config;
  AfpLmOpen open;
  gpointer user_data;
  double *angles;
  float rope_scale;
};

/* --- weights ------------------------------------------------------------------------------------------------------ */

AfpMatrix *
afp_lm_open_tensor (AfpLm *lm, AfpLmTensor tensor, guint layer, GError **error)
{
  g_autofree char *name = afp_lm_tensor_name (&lm->config, tensor, layer);
  guint64 rows, cols;
  GError *local = NULL;

  if (!afp_lm_tensor_shape (&lm->config, tensor, &rows, &cols))
    return NULL;
  g_autoptr (AfpMatrix) matrix = lm->open (lm->user_data, name, &local);
  if (!matrix) {
    if (!local)
      local = g_error_new (AFP_ERROR, AFP_ERROR_PLAN,
                           "the model (%s) cannot be run: it has no tensor '%s'",
                           lm->config.architecture, name);
    g_propagate_error (error, local);
    return NULL;
  }
  const guint64 r = afp_matrix_get_rows (matrix), c = afp_matrix_get_cols (matrix);
  if ((r == rows && c == cols) || (rows == 1 && r == cols && c == 1))
    return g_steal_pointer (&matrix);
  g_set_error (error, AFP_ERROR, AFP_ERROR_PLAN,
               "the model (%s) cannot be run: tensor '%s' is %" G_GUINT64_FORMAT
               "x%" G_GUINT64_FORMAT ", its configuration says %" G_GUINT64_FORMAT
               "x%" G_GUINT64_FORMAT,
               lm->config.architecture, name, r, c, rows, cols);
  return NULL;
}

/* Dense; NULL without error: this model has no such tensor. */
static GBytes *
read_tensor (AfpLm *lm, AfpLmTensor tensor, guint layer, AfpPool *pool, GError **error)
{
  g_autoptr (AfpMatrix) matrix = afp_lm_open_tensor (lm, tensor, layer, error);

  return matrix ? afp_matrix_to_dense (matrix, pool, error) : NULL;
}

static gboolean
check_tensors (AfpLm *lm, GError **error)
{
  for (guint t = 0; t < AFP_LM_N_TENSORS; t++) {
    const guint n = t < AFP_LM_ATTENTION_NORM ? 1 : lm->config.n_layers;
    for (guint layer = 0; layer < n; layer++) {
      GError *local = NULL;
      G_GNUC_UNUSED g_autoptr (AfpMatrix) matrix = afp_lm_open_tensor (lm, t, layer, &local);
      if (local) {
        g_propagate_error (error, local);
        return FALSE;
      }
    }
  }
  return TRUE;
}

/* Rotary angles, divided by the model's own factors where it has a tensor of them. */
static gboolean
set_angles (AfpLm *lm, GError **error)
{
  const guint half = lm->config.head_dim / 2;

  lm->angles = afp_lm_rope_angles (&lm->config);
  if (!lm->config.rope_tensor)
    return TRUE;
  g_autoptr (GBytes) bytes = read_tensor (lm, AFP_LM_ROPE_FACTORS, 0, NULL, error);
  const float *factors = bytes ? g_bytes_get_data (bytes, NULL) : NULL;
  for (guint i = 0; factors && i < half; i++) {
    if (!(factors[i] > 0)) {
      g_autofree char *name = afp_lm_tensor_name (&lm->config, AFP_LM_ROPE_FACTORS, 0);
      g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                   "the model (%s) cannot be run: tensor '%s' has %g at %u; all must be above 0",
                   lm->config.architecture, name, (double) factors[i], i);
      return FALSE;
    }
    lm->angles[i] /= (double) factors[i];
  }
  return factors != NULL;
}

/**
 * afp_lm_new:
 * @config: of the model
 * @open: gives its tensors
 * @user_data: for @open
 * @error: %AFP_ERROR_PLAN: a tensor is missing or has another shape than the configuration says; %AFP_ERROR_FORMAT: a rotary factor is
 *   not above 0
 *
 * Returns: (transfer full): the model
 */
AfpLm *
afp_lm_new (const AfpLmConfig *config, AfpLmOpen open, gpointer user_data, GError **error)
{
  g_autoptr (AfpLm) lm = g_new0 (AfpLm, 1);

  lm->config = *config;
  lm->open = open;
  lm->user_data = user_data;
  lm->rope_scale = 1;
  openblas_set_num_threads (1); /* threads are ours, with fixed tiles */
  return check_tensors (lm, error) && set_angles (lm, error) ? g_steal_pointer (&lm) : NULL;
}

void
afp_lm_free (AfpLm *lm)
{
  g_free (lm->angles);
  g_free (lm);
}

const AfpLmConfig *
afp_lm_get_config (const AfpLm *lm)
{
  return &lm->config;
}

/* --- one layer ---------------------------------------------------------------------------------------------------- */

/* Dense weights of one layer; NULL: the model has no such tensor. */
typedef struct {
  GBytes *bytes[AFP_LM_N_TENSORS];
} Layer;

static void
layer_clear (Layer *layer)
{
  for (guint t = 0; t < AFP_LM_N_TENSORS; t++)
    g_clear_pointer (&layer->bytes[t], g_bytes_unref);
}

static const float *
weights (const Layer *layer, AfpLmTensor tensor)
{
  return layer->bytes[tensor] ? g_bytes_get_data (layer->bytes[tensor], NULL) : NULL;
}

static gboolean
read_layer (AfpLm *lm, guint index, AfpPool *pool, Layer *layer, GError **error)
{
  memset (layer, 0, sizeof *layer);
  for (guint t = AFP_LM_ATTENTION_NORM; t < AFP_LM_N_TENSORS; t++) {
    GError *local = NULL;
    layer->bytes[t] = read_tensor (lm, t, index, pool, &local);
    if (local) {
      layer_clear (layer);
      g_propagate_error (error, local);
      return FALSE;
    }
  }
  return TRUE;
}

/* y = x W' (+ bias): n x in times (out x in) transposed. */
static void
multiply (gsize n, guint in, guint out, const float *x, const float *w, const float *bias, float *y)
{
  cblas_sgemm (CblasRowMajor, CblasNoTrans, CblasTrans, (blasint) n, (blasint) out, (blasint) in, 1,
               x, (blasint) in, w, (blasint) in, 0, y, (blasint) out);
  if (bias)
    afp_lm_add_bias (n, out, bias, y);
}

/* One document of n tokens; q: n x q_dim, k, v: n x kv_dim; out: n x q_dim. */
static void
attend (const AfpLmConfig *c, gsize n, const float *q, const float *k, const float *v,
        float *scores, float *out)
{
  const gsize q_dim = (gsize) c->n_heads * c->head_dim,
              kv_dim = (gsize) c->n_kv_heads * c->head_dim;
  const guint group = c->n_heads / c->n_kv_heads;
  const float scale = (float) (1 / sqrt ((double) c->head_dim));

  for (gsize row = 0; row < n; row += QUERY_ROWS) {
    const gsize rows = MIN (QUERY_ROWS, n - row), cols = row + rows;
    for (guint h = 0; h < c->n_heads; h++) {
      const gsize kv = (gsize) (h / group) * c->head_dim,
                  at = row * q_dim + (gsize) h * c->head_dim;
      cblas_sgemm (CblasRowMajor, CblasNoTrans, CblasTrans, (blasint) rows, (blasint) cols,
                   (blasint) c->head_dim, 1, q + at, (blasint) q_dim, k + kv, (blasint) kv_dim, 0,
                   scores, (blasint) cols);
      afp_lm_causal_softmax (rows, row, cols, scale, scores);
      cblas_sgemm (CblasRowMajor, CblasNoTrans, CblasNoTrans, (blasint) rows, (blasint) c->head_dim,
                   (blasint) cols, 1, scores, (blasint) cols, v + kv, (blasint) kv_dim, 0, out + at,
                   (blasint) q_dim);
    }
  }
}

/* What all tiles of a layer share. */
typedef struct {
  const AfpLm *lm;
  const Layer *layer;
  const AfpLmText *text;
  const gsize *tiles; /* first document of each tile */
  float *x;
} LayerRun;

static void
run_attention (const LayerRun *run, gsize first, gsize last, gsize n, gsize longest, float *x,
               float *norm)
{
  const AfpLmConfig *c = &run->lm->config;
  const Layer *layer = run->layer;
  const gsize q_dim = (gsize) c->n_heads * c->head_dim,
              kv_dim = (gsize) c->n_kv_heads * c->head_dim;
  g_autofree float *q = g_new (float, n *q_dim), *k = g_new (float, n *kv_dim),
                   *v = g_new (float, n *kv_dim), *out = g_new (float, n *q_dim),
                   *scores = g_new (float, MIN (longest, QUERY_ROWS) * longest);
  const gsize begin = run->text->starts[first];

  afp_lm_rms_norm (n, c->dim, c->norm_eps, x, weights (layer, AFP_LM_ATTENTION_NORM), norm);
  multiply (n, c->dim, (guint) q_dim, norm, weights (layer, AFP_LM_Q),
            weights (layer, AFP_LM_Q_BIAS), q);
  multiply (n, c->dim, (guint) kv_dim, norm, weights (layer, AFP_LM_K),
            weights (layer, AFP_LM_K_BIAS), k);
  multiply (n, c->dim, (guint) kv_dim, norm, weights (layer, AFP_LM_V),
            weights (layer, AFP_LM_V_BIAS), v);
  if (c->head_norms) {
    afp_lm_rms_norm (n * c->n_heads, c->head_dim, c->norm_eps, q, weights (layer, AFP_LM_Q_NORM),
                     q);
    afp_lm_rms_norm (n * c->n_kv_heads, c->head_dim, c->norm_eps, k, weights (layer, AFP_LM_K_NORM),
                     k);
  }
  for (gsize d = first; d < last; d++) {
    const gsize at = run->text->starts[d] - begin,
                length = run->text->starts[d + 1] - run->text->starts[d];
    afp_lm_rope (length, 0, c->n_heads, c->head_dim, q_dim, c->interleaved, run->lm->angles,
                 run->lm->rope_scale, q + at * q_dim);
    afp_lm_rope (length, 0, c->n_kv_heads, c->head_dim, kv_dim, c->interleaved, run->lm->angles,
                 run->lm->rope_scale, k + at * kv_dim);
    attend (c, length, q + at * q_dim, k + at * kv_dim, v + at * kv_dim, scores, out + at * q_dim);
  }
  multiply (n, (guint) q_dim, c->dim, out, weights (layer, AFP_LM_O),
            weights (layer, AFP_LM_O_BIAS), norm);
  afp_lm_add (n * c->dim, x, norm);
}

static void
run_feed_forward (const LayerRun *run, gsize n, float *x, float *norm)
{
  const AfpLmConfig *c = &run->lm->config;
  const Layer *layer = run->layer;
  g_autofree float *gate = g_new (float, n * c->hidden), *up = g_new (float, n * c->hidden);

  afp_lm_rms_norm (n, c->dim, c->norm_eps, x, weights (layer, AFP_LM_FFN_NORM), norm);
  multiply (n, c->dim, c->hidden, norm, weights (layer, AFP_LM_GATE), NULL, gate);
  multiply (n, c->dim, c->hidden, norm, weights (layer, AFP_LM_UP), NULL, up);
  afp_lm_silu_mul (n * c->hidden, gate, up);
  multiply (n, c->hidden, c->dim, gate, weights (layer, AFP_LM_DOWN), NULL, norm);
  afp_lm_add (n * c->dim, x, norm);
}

static gboolean
run_tile (gsize index, gpointer user_data, GError **error)
{
  const LayerRun *run = user_data;
  const gsize dim = run->lm->config.dim, *starts = run->text->starts;
  const gsize first = run->tiles[index], last = run->tiles[index + 1];
  const gsize n = starts[last] - starts[first];
  g_autofree float *norm = g_new (float, n *dim);
  float *x = run->x + starts[first] * dim;
  gsize longest = 0;

  for (gsize d = first; d < last; d++)
    longest = MAX (longest, starts[d + 1] - starts[d]);
  run_attention (run, first, last, n, longest, x, norm);
  run_feed_forward (run, n, x, norm);
  return TRUE;
}

/* Whole documents, up to so many tokens: the same tiles for any number of threads. */
static gsize *
make_tiles (const AfpLmText *text, gsize *n_tiles)
{
  gsize *tiles = g_new (gsize, text->n_documents + 1);
  gsize n = 0;

  for (gsize d = 0; d < text->n_documents; d++)
    if (d == 0 || text->starts[d + 1] - text->starts[tiles[n - 1]] > TILE_TOKENS)
      tiles[n++] = d;
  tiles[n] = text->n_documents;
  *n_tiles = n;
  return tiles;
}

/* Longer documents would see more than the model was trained to. */
static gboolean
check_window (const AfpLm *lm, const AfpLmText *text, GError **error)
{
  for (gsize d = 0; lm->config.window > 0 && d < text->n_documents; d++) {
    const gsize n = text->starts[d + 1] - text->starts[d];
    if (n > lm->config.window) {
      g_set_error (error, AFP_ERROR, AFP_ERROR_PLAN,
                   "a document of %" G_GSIZE_FORMAT
                   " tokens is longer than the model's attention window of %u, beyond which it "
                   "cannot be run: take context=%u",
                   n, lm->config.window, lm->config.window);
      return FALSE;
    }
  }
  return TRUE;
}

gboolean
afp_lm_run_layer (AfpLm *lm, guint layer, const AfpLmText *text, float *x, AfpPool *pool,
                  GError **error)
{
  gsize n_tiles;
  g_autofree gsize *tiles = make_tiles (text, &n_tiles);
  Layer dense;

  if (!check_window (lm, text, error) || !read_layer (lm, layer, pool, &dense, error))
    return FALSE;
  LayerRun run = { lm, &dense, text, tiles, x };
  const gboolean ok = afp_parallel_for (pool, n_tiles, run_tile, &run, error);
  layer_clear (&dense);
  return ok;
}

/* --- the ends ----------------------------------------------------------------------------------------------------- */

float *
afp_lm_embed (AfpLm *lm, const AfpLmText *text, AfpPool *pool, GError **error)
{
  const gsize n = text->starts[text->n_documents], dim = lm->config.dim;
  g_autoptr (AfpMatrix) matrix = afp_lm_open_tensor (lm, AFP_LM_EMBEDDING, 0, error);
  g_autofree float *x = matrix ? g_new (float, MAX (n * dim, 1)) : NULL;

  for (gsize t = 0; x && t < n; t++) {
    if (text->tokens[t] >= lm->config.vocab) {
      g_set_error (
          error, AFP_ERROR, AFP_ERROR_FORMAT,
          "token %u of the text is beyond the model's vocabulary of %u: is it the model's own tokenizer?",
          text->tokens[t], lm->config.vocab);
      return NULL;
    }
    if (!afp_matrix_read (matrix, text->tokens[t], 1, 0, dim, x + t * dim, error))
      return NULL;
  }
  return g_steal_pointer (&x);
}

typedef struct {
  guint vocab;
  float *out;
} Logits;

static void
copy_logits (gpointer user_data, gsize first, gsize n, guint row, guint n_rows,
             const float *const *logits)
{
  const Logits *all = user_data;

  for (gsize t = 0; t < n; t++)
    memcpy (all->out + (first + t) * all->vocab + row, logits[0] + t * n_rows,
            n_rows * sizeof (float));
}

float *
afp_lm_run (AfpLm *lm, const AfpLmText *text, AfpPool *pool, GError **error)
{
  const gsize n = text->starts[text->n_documents];
  g_autofree float *x = afp_lm_embed (lm, text, pool, error), *out = NULL;
  gboolean ok = x != NULL;

  for (guint layer = 0; ok && layer < lm->config.n_layers; layer++)
    ok = afp_lm_run_layer (lm, layer, text, x, pool, error);
  if (!ok)
    return NULL;
  out = g_new (float, MAX (n * lm->config.vocab, 1));
  Logits all = { lm->config.vocab, out };
  ok = afp_lm_run_head (&lm, 1, n, &x, pool, copy_logits, &all, NULL, NULL, error);
  return ok ? g_steal_pointer (&out) : NULL;
}
