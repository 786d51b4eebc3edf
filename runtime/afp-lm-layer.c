/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-lm-private.h"

#include "afp-lm-text.h"
#include "lm-kernel.h"

#include <cblas.h>
#include <math.h>
#include <string.h>

/*
 * One layer over all tokens, in groups of whole documents. A group goes through three loops: up to q, k and v; attention; the rest. What
 * a task works on does not depend on the number of threads.
 */
#define BLOCK_ROWS 256 /* of attention */
#define QUERY_ROWS 64  /* whose scores are there at once, for each head */

/* Dense weights of one layer; NULL: the model has no such tensor. */
typedef struct {
  GBytes *bytes[AFP_LM_N_TENSORS];
} Layer;

/* Rows of one document that one task of attention works on; numbers of the group's rows. */
typedef struct {
  gsize document; /* its first row */
  gsize first, end;
} Block;

/* A group of documents, and what all its tasks share. */
typedef struct {
  const AfpLm *lm;
  const Layer *layer;
  gsize n;
  guint32 *positions;
  Block *blocks;
  gsize n_blocks;
  float *x;      /* n x dim: the stream of the model */
  float *norm;   /* n x dim: what goes into q, k, v; then into gate and up */
  float *q;      /* n x q_dim: then what goes into o */
  float *k, *v;  /* n x kv_dim */
  float *hidden; /* n x hidden: what goes into down; NULL: nobody asks */
} Group;

static gsize
q_dim (const AfpLmConfig *c)
{
  return (gsize) c->n_heads * c->head_dim;
}

static gsize
kv_dim (const AfpLmConfig *c)
{
  return (gsize) c->n_kv_heads * c->head_dim;
}

/* --- weights ------------------------------------------------------------------------------------------------------ */

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
    layer->bytes[t] = afp_lm_read_tensor (lm, t, index, pool, &local);
    if (local) {
      layer_clear (layer);
      g_propagate_error (error, local);
      return FALSE;
    }
  }
  return TRUE;
}

/* y = beta y + x W' (+ bias): n x in times (out x in) transposed. */
static void
multiply (gsize n, gsize in, gsize out, const float *x, const float *w, const float *bias,
          float beta, float *y)
{
  cblas_sgemm (CblasRowMajor, CblasNoTrans, CblasTrans, (blasint) n, (blasint) out, (blasint) in, 1,
               x, (blasint) in, w, (blasint) in, beta, y, (blasint) out);
  if (bias)
    afp_lm_add_bias (n, out, bias, y);
}

/* --- the loops ---------------------------------------------------------------------------------------------------- */

static gboolean
run_projections (gsize index, gpointer user_data, GError **error)
{
  const Group *g = user_data;
  const AfpLmConfig *c = &g->lm->config;
  const gsize first = index * AFP_LM_TILE_ROWS, n = MIN (AFP_LM_TILE_ROWS, g->n - first);
  float *norm = g->norm + first * c->dim, *q = g->q + first * q_dim (c),
        *k = g->k + first * kv_dim (c), *v = g->v + first * kv_dim (c);
  const Layer *layer = g->layer;

  afp_lm_rms_norm (n, c->dim, c->norm_eps, g->x + first * c->dim,
                   weights (layer, AFP_LM_ATTENTION_NORM), norm);
  multiply (n, c->dim, q_dim (c), norm, weights (layer, AFP_LM_Q), weights (layer, AFP_LM_Q_BIAS),
            0, q);
  multiply (n, c->dim, kv_dim (c), norm, weights (layer, AFP_LM_K), weights (layer, AFP_LM_K_BIAS),
            0, k);
  multiply (n, c->dim, kv_dim (c), norm, weights (layer, AFP_LM_V), weights (layer, AFP_LM_V_BIAS),
            0, v);
  if (c->head_norms) {
    afp_lm_rms_norm (n * c->n_heads, c->head_dim, c->norm_eps, q, weights (layer, AFP_LM_Q_NORM),
                     q);
    afp_lm_rms_norm (n * c->n_kv_heads, c->head_dim, c->norm_eps, k, weights (layer, AFP_LM_K_NORM),
                     k);
  }
  afp_lm_rope (n, g->positions + first, c->n_heads, c->head_dim, c->interleaved, g->lm->rope, q);
  afp_lm_rope (n, g->positions + first, c->n_kv_heads, c->head_dim, c->interleaved, g->lm->rope, k);
  return TRUE;
}

/* The heads of one key-value head, for some rows from @row of a document's block; what comes out takes the place of their q. */
static void
attend (const Group *g, const Block *block, guint kv_head, gsize row, gsize rows, float *scores)
{
  const AfpLmConfig *c = &g->lm->config;
  const guint dim = c->head_dim, heads = c->n_heads / c->n_kv_heads;
  const gsize before = row - block->document, cols = before + rows;
  const float *k = g->k + block->document * kv_dim (c) + (gsize) kv_head * dim,
              *v = g->v + block->document * kv_dim (c) + (gsize) kv_head * dim;
  float *q = g->q + row * q_dim (c) + (gsize) kv_head * heads * dim;

  for (guint h = 0; h < heads; h++, q += dim) {
    cblas_sgemm (CblasRowMajor, CblasNoTrans, CblasTrans, (blasint) rows, (blasint) cols,
                 (blasint) dim, 1, q, (blasint) q_dim (c), k, (blasint) kv_dim (c), 0, scores,
                 (blasint) cols);
    afp_lm_causal_softmax (rows, before, cols, (float) (1 / sqrt ((double) dim)), scores);
    cblas_sgemm (CblasRowMajor, CblasNoTrans, CblasNoTrans, (blasint) rows, (blasint) dim,
                 (blasint) cols, 1, scores, (blasint) cols, v, (blasint) kv_dim (c), 0, q,
                 (blasint) q_dim (c));
  }
}

static gboolean
run_attention (gsize index, gpointer user_data, GError **error)
{
  const Group *g = user_data;
  const guint n_heads = g->lm->config.n_kv_heads;
  const Block *block = &g->blocks[index / n_heads];
  g_autofree float *scores = g_new (float, QUERY_ROWS *(block->end - block->document));

  for (gsize row = block->first; row < block->end; row += QUERY_ROWS)
    attend (g, block, (guint) (index % n_heads), row, MIN (QUERY_ROWS, block->end - row), scores);
  return TRUE;
}

static gboolean
run_rest (gsize index, gpointer user_data, GError **error)
{
  const Group *g = user_data;
  const AfpLmConfig *c = &g->lm->config;
  const Layer *layer = g->layer;
  const gsize first = index * AFP_LM_TILE_ROWS, n = MIN (AFP_LM_TILE_ROWS, g->n - first);
  float *x = g->x + first * c->dim, *norm = g->norm + first * c->dim, *q = g->q + first * q_dim (c);
  g_autofree float *up = g_new (float, n * c->hidden),
                   *own = g->hidden ? NULL : g_new (float, n * c->hidden);
  float *hidden = g->hidden ? g->hidden + first * c->hidden : own;

  if (c->sub_norms)
    afp_lm_rms_norm (n, q_dim (c), c->norm_eps, q, weights (layer, AFP_LM_O_NORM), q);
  multiply (n, q_dim (c), c->dim, q, weights (layer, AFP_LM_O), weights (layer, AFP_LM_O_BIAS), 1,
            x);
  afp_lm_rms_norm (n, c->dim, c->norm_eps, x, weights (layer, AFP_LM_FFN_NORM), norm);
  multiply (n, c->dim, c->hidden, norm, weights (layer, AFP_LM_GATE), NULL, 0, hidden);
  multiply (n, c->dim, c->hidden, norm, weights (layer, AFP_LM_UP), NULL, 0, up);
  if (c->activation == AFP_LM_RELU2)
    afp_lm_relu2_mul (n * c->hidden, hidden, up);
  else
    afp_lm_silu_mul (n * c->hidden, hidden, up);
  if (c->sub_norms)
    afp_lm_rms_norm (n, c->hidden, c->norm_eps, hidden, weights (layer, AFP_LM_DOWN_NORM), hidden);
  multiply (n, c->hidden, c->dim, hidden, weights (layer, AFP_LM_DOWN), NULL, 1, x);
  return TRUE;
}

/* --- groups ------------------------------------------------------------------------------------------------------- */

/* Past the last document of the group that begins with @first: whole documents, up to so many tokens. */
static gsize
end_of_group (const AfpLmText *text, gsize first)
{
  return afp_lm_text_get_part_end (text, first, AFP_LM_GROUP_TOKENS);
}

static gsize
largest_group (const AfpLmText *text)
{
  gsize most = 0;

  for (gsize first = 0, end; first < text->n_documents; first = end) {
    end = end_of_group (text, first);
    most = MAX (most, text->starts[end] - text->starts[first]);
  }
  return most;
}

static void
group_init (Group *g, const AfpLm *lm, const Layer *layer, const AfpLmText *text)
{
  const AfpLmConfig *c = &lm->config;
  const gsize most = largest_group (text);

  *g = (Group){ .lm = lm, .layer = layer };
  g->positions = g_new (guint32, most + 1);
  g->blocks = g_new (Block, most + 1);
  g->norm = g_new (float, most * c->dim + 1);
  g->q = g_new (float, most *q_dim (c) + 1);
  g->k = g_new (float, most *kv_dim (c) + 1);
  g->v = g_new (float, most *kv_dim (c) + 1);
  g->hidden = lm->observe ? g_new (float, most * c->hidden + 1) : NULL;
}

static void
group_clear (Group *g)
{
  g_free (g->positions);
  g_free (g->blocks);
  g_free (g->norm);
  g_free (g->q);
  g_free (g->k);
  g_free (g->v);
  g_free (g->hidden);
}

/* The documents from @first to before @end, whose numbers begin at @x. */
static void
group_begin (Group *g, const AfpLmText *text, gsize first, gsize end, float *x)
{
  const gsize begin = text->starts[first];

  g->x = x;
  g->n = text->starts[end] - begin;
  g->n_blocks = 0;
  for (gsize d = first; d < end; d++) {
    const gsize document = text->starts[d] - begin, behind = text->starts[d + 1] - begin;
    for (gsize row = document; row < behind; row++)
      g->positions[row] = (guint32) (row - document);
    for (gsize row = document; row < behind; row += BLOCK_ROWS)
      g->blocks[g->n_blocks++] = (Block){ document, row, MIN (row + BLOCK_ROWS, behind) };
  }
}

/* Tells the observer what went into some weights, ended by AFP_LM_N_TENSORS. */
static gboolean
tell (const Group *g, guint layer, const AfpLmTensor *tensors, gsize dim, const float *x,
      AfpPool *pool, GError **error)
{
  const AfpLm *lm = g->lm;
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();

  if (!lm->observe)
    return TRUE;
  for (; *tensors != AFP_LM_N_TENSORS; tensors++) {
    g_autofree char *name = afp_lm_tensor_name (&lm->config, *tensors, layer);
    g_strv_builder_add (builder, name);
  }
  g_auto (GStrv) names = g_strv_builder_end (builder);
  return lm->observe (lm->observer_data, (const char *const *) names, g->n, dim, x, pool, error);
}

static gboolean
run_group (Group *g, guint layer, AfpPool *pool, GError **error)
{
  static const AfpLmTensor qkv[] = { AFP_LM_Q, AFP_LM_K, AFP_LM_V, AFP_LM_N_TENSORS },
                           o[] = { AFP_LM_O, AFP_LM_N_TENSORS },
                           gate_up[] = { AFP_LM_GATE, AFP_LM_UP, AFP_LM_N_TENSORS },
                           down[] = { AFP_LM_DOWN, AFP_LM_N_TENSORS };
  const AfpLmConfig *c = &g->lm->config;
  const gsize n_tiles = (g->n + AFP_LM_TILE_ROWS - 1) / AFP_LM_TILE_ROWS;

  return afp_parallel_for (pool, n_tiles, run_projections, g, error) &&
         tell (g, layer, qkv, c->dim, g->norm, pool, error) &&
         afp_parallel_for (pool, g->n_blocks * c->n_kv_heads, run_attention, g, error) &&
         afp_parallel_for (pool, n_tiles, run_rest, g, error) &&
         tell (g, layer, o, q_dim (c), g->q, pool, error) &&
         tell (g, layer, gate_up, c->dim, g->norm, pool, error) &&
         tell (g, layer, down, c->hidden, g->hidden, pool, error);
}

/* --- all tokens --------------------------------------------------------------------------------------------------- */

/* Longer documents would see more than the model was trained to. */
static gboolean
check_window (const AfpLm *lm, gsize longest, GError **error)
{
  const guint window = lm->config.window;

  if (window == 0 || longest <= window)
    return TRUE;
  g_set_error (error, AFP_ERROR, AFP_ERROR_PLAN,
               "a document of %" G_GSIZE_FORMAT
               " tokens is longer than the model's attention window of %u, beyond which it "
               "cannot be run: take context=%u",
               longest, window, window);
  return FALSE;
}

static void
make_rope (AfpLm *lm, gsize n)
{
  const AfpLmConfig *c = &lm->config;

  if (n <= lm->n_rope)
    return;
  g_free (lm->rope);
  lm->rope = g_new (float, n * 2 * c->head_dim);
  lm->n_rope = n;
  afp_lm_rope_table (n, c->head_dim, c->interleaved, lm->angles, 1, lm->rope);
}

gboolean
afp_lm_run_layer (AfpLm *lm, guint layer, const AfpLmText *text, float *x, AfpPool *pool,
                  GError **error)
{
  gsize longest = 0;
  gboolean ok = TRUE;
  Layer dense;
  Group group;

  for (gsize d = 0; d < text->n_documents; d++)
    longest = MAX (longest, text->starts[d + 1] - text->starts[d]);
  if (!check_window (lm, longest, error) || !read_layer (lm, layer, pool, &dense, error))
    return FALSE;
  make_rope (lm, longest);
  group_init (&group, lm, &dense, text);
  for (gsize first = 0, end; ok && first < text->n_documents; first = end) {
    end = end_of_group (text, first);
    group_begin (&group, text, first, end, x + text->starts[first] * lm->config.dim);
    ok = run_group (&group, layer, pool, error);
  }
  group_clear (&group);
  layer_clear (&dense);
  return ok;
}
