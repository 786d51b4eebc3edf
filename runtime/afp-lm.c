/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-lm-private.h"

#include "afp-lm-head.h"

#include <cblas.h>
#include <string.h>

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

GBytes *
afp_lm_read_tensor (AfpLm *lm, AfpLmTensor tensor, guint layer, AfpPool *pool, GError **error)
{
  g_autoptr (AfpMatrix) matrix = afp_lm_open_tensor (lm, tensor, layer, error);

  return matrix ? afp_matrix_to_dense (matrix, pool, error) : NULL;
}

typedef struct {
  AfpMatrix *matrix;
  guint64 first;
} Rows;

static gboolean
read_part (gpointer user_data, guint64 row, guint64 n_rows, guint64 col, guint64 n_cols, float *out,
           GError **error)
{
  const Rows *rows = user_data;

  return afp_matrix_read (rows->matrix, rows->first + row, n_rows, col, n_cols, out, error);
}

GBytes *
afp_lm_read_rows (AfpLm *lm, AfpLmTensor tensor, guint64 first, guint64 n, AfpPool *pool,
                  GError **error)
{
  g_autoptr (AfpMatrix) matrix = afp_lm_open_tensor (lm, tensor, 0, error);
  Rows rows = { matrix, first };

  if (!matrix)
    return NULL;
  g_autoptr (AfpMatrix) part =
      afp_matrix_new (n, afp_matrix_get_cols (matrix), read_part, &rows, NULL);
  return afp_matrix_to_dense (part, pool, error);
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
  g_autoptr (GBytes) bytes = afp_lm_read_tensor (lm, AFP_LM_ROPE_FACTORS, 0, NULL, error);
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
  openblas_set_num_threads (1); /* threads are ours, with fixed tiles */
  return check_tensors (lm, error) && set_angles (lm, error) ? g_steal_pointer (&lm) : NULL;
}

void
afp_lm_free (AfpLm *lm)
{
  g_free (lm->angles);
  g_free (lm->rope);
  g_free (lm);
}

const AfpLmConfig *
afp_lm_get_config (const AfpLm *lm)
{
  return &lm->config;
}

void
afp_lm_set_observer (AfpLm *lm, AfpObserve observe, gpointer user_data)
{
  lm->observe = observe;
  lm->observer_data = user_data;
}

/* --- the ends ----------------------------------------------------------------------------------------------------- */

#define EMBED_ROWS \
  64 /* of the matrix, that one task reads at once: blocks of codes may span rows */
#define WINDOW_TASKS 64 /* until the matrix is opened again, so that its pages may go */

/* Where each token of the vocabulary stands in the text. */
typedef struct {
  const AfpLm *lm;
  AfpMatrix *matrix;
  gsize *
      first; /* of each token: its places are places[first[token]] and what follows, up to those of the next */
  gsize *places;
  gsize window; /* first row of what is read now */
  float *x;
} Embedding;

/* The rows from the first to the last that occur among EMBED_ROWS. */
static gboolean
embed_rows (gsize index, gpointer user_data, GError **error)
{
  const Embedding *e = user_data;
  const gsize dim = e->lm->config.dim, most = e->lm->config.vocab;
  gsize row = e->window + index * EMBED_ROWS, end = MIN (row + EMBED_ROWS, most);

  while (row < end && e->first[row] == e->first[row + 1])
    row++;
  while (row < end && e->first[end - 1] == e->first[end])
    end--;
  if (row >= end)
    return TRUE;
  g_autofree float *rows = g_new (float, (end - row) * dim);
  if (!afp_matrix_read (e->matrix, row, end - row, 0, dim, rows, error))
    return FALSE;
  for (gsize token = row; token < end; token++)
    for (gsize i = e->first[token]; i < e->first[token + 1]; i++)
      memcpy (e->x + e->places[i] * dim, rows + (token - row) * dim, dim * sizeof *rows);
  return TRUE;
}

/* All rows of the window, if any of them occurs. */
static gboolean
embed_window (Embedding *e, AfpLm *lm, AfpPool *pool, GError **error)
{
  const gsize end = MIN (e->window + WINDOW_TASKS * EMBED_ROWS, lm->config.vocab);

  if (e->first[e->window] == e->first[end])
    return TRUE;
  g_autoptr (AfpMatrix) matrix = afp_lm_open_tensor (lm, AFP_LM_EMBEDDING, 0, error);
  e->matrix = matrix;
  return matrix && afp_parallel_for (pool, WINDOW_TASKS, embed_rows, e, error);
}

static gboolean
sort_places (Embedding *e, const AfpLmText *text, GError **error)
{
  const gsize n = text->starts[text->n_documents];
  const guint vocab = e->lm->config.vocab;

  for (gsize t = 0; t < n; t++) {
    if (text->tokens[t] >= vocab) {
      g_set_error (
          error, AFP_ERROR, AFP_ERROR_FORMAT,
          "token %u of the text is beyond the model's vocabulary of %u: is it the model's own tokenizer?",
          text->tokens[t], vocab);
      return FALSE;
    }
    e->first[text->tokens[t] + 1]++;
  }
  for (gsize token = 0; token < vocab; token++)
    e->first[token + 1] += e->first[token];
  /* From the back: an entry moves from behind its token's places to the first of them. */
  for (gsize t = n; t > 0; t--)
    e->places[--e->first[text->tokens[t - 1] + 1]] = t - 1;
  memmove (e->first, e->first + 1, vocab * sizeof *e->first);
  e->first[vocab] = n;
  return TRUE;
}

float *
afp_lm_embed (AfpLm *lm, const AfpLmText *text, AfpPool *pool, GError **error)
{
  const gsize n = text->starts[text->n_documents], vocab = lm->config.vocab;
  g_autofree gsize *first = g_new0 (gsize, vocab + 1), *places = g_new (gsize, n + 1);
  g_autofree float *x = g_new (float, MAX (n * lm->config.dim, 1));
  Embedding e = { .lm = lm, .first = first, .places = places, .x = x };
  gboolean ok = sort_places (&e, text, error);

  for (; ok && e.window < vocab; e.window += WINDOW_TASKS * EMBED_ROWS)
    ok = embed_window (&e, lm, pool, error);
  return ok ? g_steal_pointer (&x) : NULL;
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
