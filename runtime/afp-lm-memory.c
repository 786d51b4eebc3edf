/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-lm-score.h"

/* As afp-lm-layer.c and afp-lm-head.c divide the work, or more. */
#define QUERY_ROWS 64
#define HEAD_ROWS 8192
#define HEAD_FLOATS (1u << 21)
#define BLAS_FLOATS (1u << 21) /* of each thread: what OpenBLAS packs */

/* Floats of all tensors of a layer. */
static guint64
count_layer (const AfpLmConfig *config)
{
  guint64 sum = 0, rows, cols;

  for (guint t = AFP_LM_ATTENTION_NORM; t < AFP_LM_N_TENSORS; t++)
    if (afp_lm_tensor_shape (config, t, &rows, &cols))
      sum += rows * cols;
  return sum;
}

/**
 * afp_lm_score_get_memory:
 * @config: of the models
 * @n_models: that run side by side
 * @n_threads: of the pool
 * @context: tokens of the longest document
 *
 * Returns: bytes that afp_lm_score() takes about, beside the activations of its tokens: the largest layer, dense, and what
 *   the threads work with
 */
guint64
afp_lm_score_get_memory (const AfpLmConfig *config, guint n_models, guint n_threads, guint context)
{
  const guint64 q = (guint64) config->n_heads * config->head_dim,
                kv = (guint64) config->n_kv_heads * config->head_dim;
  const guint64 tokens = MAX (AFP_LM_GROUP_TOKENS, context);
  const guint64 group =
      tokens * (config->dim + q + 2 * kv) + (guint64) context * 2 * config->head_dim;
  const guint64 thread = (guint64) AFP_LM_TILE_ROWS * 2 * config->hidden +
                         (guint64) QUERY_ROWS * context + BLAS_FLOATS;
  const guint64 rows = MIN (CLAMP (HEAD_FLOATS / config->dim, 256, HEAD_ROWS), config->vocab);
  const guint64 head = n_models * rows * config->dim +
                       n_threads * (n_models * AFP_LM_HEAD_TOKENS * rows + BLAS_FLOATS);

  return sizeof (float) * MAX (count_layer (config) + group + n_threads * thread, head);
}
