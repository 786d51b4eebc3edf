/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A small language model with made-up weights. */
#pragma once

#include "core-test.h"

#include "afp-lm.h"

#include <string.h>

#define LM_TEST_MAX 600 /* tokens of a document */

typedef struct {
  AfpLmConfig config;
  GHashTable *weights; /* name -> GBytes */
  const char *missing, *failing;
} LmTest;

static inline void
lm_test_free (LmTest *model)
{
  g_hash_table_unref (model->weights);
  g_free (model);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (LmTest, lm_test_free)

static inline void
lm_test_fill (LmTest *model, AfpLmTensor tensor, guint layer, GRand *random)
{
  const gboolean norm = tensor == AFP_LM_NORM || tensor == AFP_LM_ATTENTION_NORM ||
                        tensor == AFP_LM_FFN_NORM || tensor == AFP_LM_Q_NORM ||
                        tensor == AFP_LM_K_NORM || tensor == AFP_LM_ROPE_FACTORS ||
                        tensor == AFP_LM_O_NORM || tensor == AFP_LM_DOWN_NORM;
  guint64 rows, cols;

  if (!afp_lm_tensor_shape (&model->config, tensor, &rows, &cols))
    return;
  float *values = g_new (float, rows *cols);
  for (gsize i = 0; i < rows * cols; i++)
    values[i] = (float) g_rand_double_range (random, norm ? 0.5 : -0.4, norm ? 1.5 : 0.4);
  g_hash_table_insert (model->weights, afp_lm_tensor_name (&model->config, tensor, layer),
                       g_bytes_new_take (values, rows * cols * sizeof *values));
}

/* Again after a change of the configuration. */
static inline void
lm_test_fill_all (LmTest *model)
{
  GRand *random = g_rand_new_with_seed (7);

  g_hash_table_remove_all (model->weights);
  for (guint t = 0; t < AFP_LM_N_TENSORS; t++)
    for (guint layer = 0; layer < (t < AFP_LM_ATTENTION_NORM ? 1 : model->config.n_layers); layer++)
      lm_test_fill (model, t, layer, random);
  g_rand_free (random);
}

static inline LmTest *
lm_test_new (gboolean interleaved, gboolean tied, gboolean biases, gboolean head_norms)
{
  LmTest *model = g_new0 (LmTest, 1);

  model->config = (AfpLmConfig){ .names = AFP_LM_NAMES_LLAMA2C,
                                 .architecture = "test",
                                 .dim = 16,
                                 .hidden = 20,
                                 .n_layers = 2,
                                 .n_heads = 4,
                                 .n_kv_heads = 2,
                                 .head_dim = 6,
                                 .vocab = 24,
                                 .context = LM_TEST_MAX,
                                 .norm_eps = 1e-5f,
                                 .rope_base = 10000,
                                 .interleaved = interleaved,
                                 .tied = tied,
                                 .biases = biases,
                                 .head_norms = head_norms };
  model->weights =
      g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) g_bytes_unref);
  lm_test_fill_all (model);
  return model;
}

/* Another vocabulary, of any size. */
static inline void
lm_test_set_vocab (LmTest *model, guint vocab)
{
  GRand *random = g_rand_new_with_seed (8);

  model->config.vocab = vocab;
  lm_test_fill (model, AFP_LM_EMBEDDING, 0, random);
  lm_test_fill (model, AFP_LM_CLASSIFIER, 0, random);
  g_rand_free (random);
}

static inline const float *
lm_test_weights (const LmTest *model, AfpLmTensor tensor, guint layer)
{
  g_autofree char *name = afp_lm_tensor_name (&model->config, tensor, layer);
  GBytes *bytes = g_hash_table_lookup (model->weights, name);

  return bytes ? g_bytes_get_data (bytes, NULL) : NULL;
}

/* An AfpLmOpen. */
static inline AfpMatrix *
lm_test_open (gpointer user_data, const char *name, GError **error)
{
  LmTest *model = user_data;
  GBytes *bytes = g_hash_table_lookup (model->weights, name);
  guint64 rows, cols;

  if (g_strcmp0 (name, model->failing) == 0)
    g_set_error (error, AFP_ERROR, AFP_ERROR_IO, "%s: gone", name);
  if (!bytes || g_strcmp0 (name, model->missing) == 0 || g_strcmp0 (name, model->failing) == 0)
    return NULL;
  for (guint t = 0; t < AFP_LM_N_TENSORS; t++)
    for (guint layer = 0; layer < model->config.n_layers; layer++) {
      g_autofree char *other = afp_lm_tensor_name (&model->config, t, layer);
      if (strcmp (name, other) == 0 && afp_lm_tensor_shape (&model->config, t, &rows, &cols))
        return afp_matrix_new_dense (rows, cols, bytes);
    }
  return NULL;
}
