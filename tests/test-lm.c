/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lm-test.h"

#include <math.h>

/* Every token alone, with plain loops in double: x is dim numbers. */
typedef struct {
  const LmTest *model;
  double *keys, *values; /* layers x positions x kv_dim */
} Plain;

static void
plain_norm (const AfpLmConfig *c, const double *x, const float *w, gsize n, double *out)
{
  double sum = 0;

  for (gsize i = 0; i < n; i++)
    sum += x[i] * x[i];
  for (gsize i = 0; i < n; i++)
    out[i] = x[i] / sqrt (sum / (double) n + (double) c->norm_eps) * (double) w[i];
}

static void
plain_product (const float *w, const float *bias, gsize rows, gsize cols, const double *x,
               double *out)
{
  for (gsize r = 0; r < rows; r++) {
    out[r] = bias ? (double) bias[r] : 0;
    for (gsize i = 0; i < cols; i++)
      out[r] += (double) w[r * cols + i] * x[i];
  }
}

static void
plain_rope (const AfpLmConfig *c, guint heads, gsize position, const double *angles, double *x)
{
  const guint half = c->head_dim / 2;

  for (guint h = 0; h < heads; h++, x += c->head_dim)
    for (guint i = 0; i < half; i++) {
      double *a = c->interleaved ? x + 2 * i : x + i, *b = c->interleaved ? a + 1 : a + half;
      const double u = *a, v = *b, t = (double) position * angles[i];
      *a = u * cos (t) - v * sin (t);
      *b = u * sin (t) + v * cos (t);
    }
}

static void
plain_attend (Plain *plain, guint layer, gsize position, const double *q, double *out)
{
  const AfpLmConfig *c = &plain->model->config;
  const gsize kv_dim = (gsize) c->n_kv_heads * c->head_dim;
  g_autofree double *weights = g_new (double, position + 1);

  for (guint h = 0; h < c->n_heads; h++) {
    const gsize kv = (gsize) (h / (c->n_heads / c->n_kv_heads)) * c->head_dim;
    double sum = 0;
    for (gsize t = 0; t <= position; t++) {
      const double *key = plain->keys + ((gsize) layer * LM_TEST_MAX + t) * kv_dim + kv;
      double dot = 0;
      for (guint i = 0; i < c->head_dim; i++)
        dot += q[(gsize) h * c->head_dim + i] * key[i];
      sum += weights[t] = exp (dot / sqrt ((double) c->head_dim));
    }
    for (guint i = 0; i < c->head_dim; i++) {
      double mean = 0;
      for (gsize t = 0; t <= position; t++)
        mean +=
            weights[t] / sum * plain->values[((gsize) layer * LM_TEST_MAX + t) * kv_dim + kv + i];
      out[(gsize) h * c->head_dim + i] = mean;
    }
  }
}

static double
plain_activation (const AfpLmConfig *c, double x)
{
  if (c->activation == AFP_LM_RELU2)
    return x > 0 ? x * x : 0;
  return x / (1 + exp (-x));
}

#define W(tensor, layer) lm_test_weights (m, tensor, layer)

static void
plain_layer (Plain *plain, guint layer, gsize position, const double *angles, double *x)
{
  const LmTest *m = plain->model;
  const AfpLmConfig *c = &m->config;
  const gsize q_dim = (gsize) c->n_heads * c->head_dim,
              kv_dim = (gsize) c->n_kv_heads * c->head_dim;
  double norm[64], q[64], out[64], gate[64], up[64];
  double *k = plain->keys + ((gsize) layer * LM_TEST_MAX + position) * kv_dim;
  double *v = plain->values + ((gsize) layer * LM_TEST_MAX + position) * kv_dim;

  plain_norm (c, x, W (AFP_LM_ATTENTION_NORM, layer), c->dim, norm);
  plain_product (W (AFP_LM_Q, layer), W (AFP_LM_Q_BIAS, layer), q_dim, c->dim, norm, q);
  plain_product (W (AFP_LM_K, layer), W (AFP_LM_K_BIAS, layer), kv_dim, c->dim, norm, k);
  plain_product (W (AFP_LM_V, layer), W (AFP_LM_V_BIAS, layer), kv_dim, c->dim, norm, v);
  for (guint h = 0; c->head_norms && h < c->n_heads; h++)
    plain_norm (c, q + h * c->head_dim, W (AFP_LM_Q_NORM, layer), c->head_dim, q + h * c->head_dim);
  for (guint h = 0; c->head_norms && h < c->n_kv_heads; h++)
    plain_norm (c, k + h * c->head_dim, W (AFP_LM_K_NORM, layer), c->head_dim, k + h * c->head_dim);
  plain_rope (c, c->n_heads, position, angles, q);
  plain_rope (c, c->n_kv_heads, position, angles, k);
  plain_attend (plain, layer, position, q, out);
  if (c->sub_norms)
    plain_norm (c, out, W (AFP_LM_O_NORM, layer), q_dim, out);
  plain_product (W (AFP_LM_O, layer), W (AFP_LM_O_BIAS, layer), c->dim, q_dim, out, norm);
  for (guint i = 0; i < c->dim; i++)
    x[i] += norm[i];
  plain_norm (c, x, W (AFP_LM_FFN_NORM, layer), c->dim, norm);
  plain_product (W (AFP_LM_GATE, layer), NULL, c->hidden, c->dim, norm, gate);
  plain_product (W (AFP_LM_UP, layer), NULL, c->hidden, c->dim, norm, up);
  for (guint i = 0; i < c->hidden; i++)
    gate[i] = plain_activation (c, gate[i]) * up[i];
  if (c->sub_norms)
    plain_norm (c, gate, W (AFP_LM_DOWN_NORM, layer), c->hidden, gate);
  plain_product (W (AFP_LM_DOWN, layer), NULL, c->dim, c->hidden, gate, norm);
  for (guint i = 0; i < c->dim; i++)
    x[i] += norm[i];
}

/* Logits of one document. */
static double *
plain_run (const LmTest *m, const guint32 *tokens, gsize n)
{
  const AfpLmConfig *c = &m->config;
  const gsize cache = (gsize) c->n_layers * LM_TEST_MAX * c->n_kv_heads * c->head_dim;
  g_autofree double *keys = g_new0 (double, cache), *values = g_new0 (double, cache);
  g_autofree double *angles = afp_lm_rope_angles (c);
  double *logits = g_new (double, n * c->vocab), x[64], norm[64];
  Plain plain = { m, keys, values };

  for (guint i = 0; c->rope_tensor && i < c->head_dim / 2; i++)
    angles[i] /= (double) W (AFP_LM_ROPE_FACTORS, 0)[i];
  for (gsize t = 0; t < n; t++) {
    for (guint i = 0; i < c->dim; i++)
      x[i] = (double) W (AFP_LM_EMBEDDING, 0)[(gsize) tokens[t] * c->dim + i];
    for (guint layer = 0; layer < c->n_layers; layer++)
      plain_layer (&plain, layer, t, angles, x);
    plain_norm (c, x, W (AFP_LM_NORM, 0), c->dim, norm);
    plain_product (c->tied ? W (AFP_LM_EMBEDDING, 0) : W (AFP_LM_CLASSIFIER, 0), NULL, c->vocab,
                   c->dim, norm, logits + t * c->vocab);
  }
  return logits;
}

static const struct {
  const char *what;
  gboolean interleaved, tied, biases, head_norms, output_bias, rope_tensor, sub_norms;
  AfpLmActivation activation;
} kinds[] = {
  { "llama2.c", TRUE, TRUE, FALSE, FALSE, FALSE, FALSE },
  { "llama", FALSE, FALSE, FALSE, FALSE, TRUE, FALSE },
  { "llama 3", TRUE, FALSE, FALSE, FALSE, FALSE, TRUE },
  { "qwen2", FALSE, TRUE, TRUE, FALSE, FALSE, FALSE },
  { "qwen3", FALSE, FALSE, FALSE, TRUE, FALSE, FALSE },
  { "bitnet", FALSE, TRUE, FALSE, FALSE, FALSE, FALSE, TRUE, AFP_LM_RELU2 },
  { "older bitnet", FALSE, FALSE, FALSE, FALSE, FALSE, FALSE, TRUE, AFP_LM_SILU },
};

START_TEST (logits_are_those_of_plain_loops)
{
  g_autoptr (LmTest) m =
      lm_test_new (kinds[_i].interleaved, kinds[_i].tied, kinds[_i].biases, kinds[_i].head_norms);
  guint32 tokens[] = { 3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8 }, none[12] = { 0 };
  gsize starts[] = { 0, 7, 12 };
  AfpLmText text = { tokens, none, starts, 2 };
  m->config.output_bias = kinds[_i].output_bias;
  m->config.rope_tensor = kinds[_i].rope_tensor;
  m->config.sub_norms = kinds[_i].sub_norms;
  m->config.activation = kinds[_i].activation;
  lm_test_fill_all (m);
  g_autoptr (AfpLm) lm = afp_lm_new (&m->config, lm_test_open, m, NULL);
  g_autoptr (AfpPool) pool = afp_pool_new (2);
  g_autofree float *logits = afp_lm_run (lm, &text, pool, NULL);

  ck_assert_ptr_nonnull (logits);
  for (guint d = 0; d < 2; d++) {
    const gsize n = starts[d + 1] - starts[d];
    g_autofree double *expected = plain_run (m, tokens + starts[d], n);
    for (gsize i = 0; i < n * m->config.vocab; i++)
      ck_assert_double_eq_tol ((double) logits[starts[d] * m->config.vocab + i], expected[i], 1e-4);
  }
}
END_TEST

/* More rows than are scored at once, and more tokens than a tile has. */
START_TEST (long_documents_are_cut_in_rows)
{
  g_autoptr (LmTest) m = lm_test_new (TRUE, TRUE, FALSE, FALSE);
  guint32 tokens[600], none[600] = { 0 };
  gsize starts[] = { 0, 300, 600 };
  AfpLmText text = { tokens, none, starts, 2 };

  for (guint i = 0; i < 600; i++)
    tokens[i] = i * i % m->config.vocab;
  g_autoptr (AfpLm) lm = afp_lm_new (&m->config, lm_test_open, m, NULL);
  g_autofree float *logits = afp_lm_run (lm, &text, NULL, NULL);
  g_autofree double *expected = plain_run (m, tokens, 300);
  for (gsize i = 0; i < 300 * m->config.vocab; i++)
    ck_assert_double_eq_tol ((double) logits[i], expected[i], 1e-4);
}
END_TEST

/* Rows far apart and side by side, some often, of more than are read at once. */
START_TEST (embeddings_are_rows)
{
  g_autoptr (LmTest) m = lm_test_new (TRUE, TRUE, FALSE, FALSE);
  guint32 tokens[] = { 299, 0, 64, 63, 65, 64, 299, 128, 200, 201, 0, 127 }, none[12] = { 0 };
  gsize starts[] = { 0, 12 };
  AfpLmText text = { tokens, none, starts, 1 };
  g_autoptr (AfpPool) pool = afp_pool_new (3);

  lm_test_set_vocab (m, 300);
  g_autoptr (AfpLm) lm = afp_lm_new (&m->config, lm_test_open, m, NULL);
  g_autofree float *x = afp_lm_embed (lm, &text, pool, NULL);
  for (guint t = 0; t < 12; t++)
    ck_assert_mem_eq (x + t * m->config.dim,
                      lm_test_weights (m, AFP_LM_EMBEDDING, 0) + tokens[t] * m->config.dim,
                      m->config.dim * sizeof *x);
}
END_TEST

START_TEST (threads_change_no_bit)
{
  g_autoptr (LmTest) m = lm_test_new (FALSE, FALSE, FALSE, FALSE);
  guint32 tokens[3000], none[3000] = { 0 };
  gsize starts[] = { 0, 900, 1000, 1900, 2000, 2900, 3000 };
  AfpLmText text = { tokens, none, starts, 6 };

  for (guint i = 0; i < 3000; i++)
    tokens[i] = i % m->config.vocab;
  g_autoptr (AfpLm) lm = afp_lm_new (&m->config, lm_test_open, m, NULL);
  g_autoptr (AfpPool) pool = afp_pool_new (3);
  g_autofree float *one = afp_lm_run (lm, &text, NULL, NULL),
                   *three = afp_lm_run (lm, &text, pool, NULL);
  ck_assert_mem_eq (one, three, 3000 * m->config.vocab * sizeof *one);
}
END_TEST

/* --- what an observer is told ------------------------------------------------------------------------------------- */

typedef struct {
  GString *calls;    /* names and sizes */
  GArray *values[4]; /* floats: into q, k, v; o; gate, up; down */
  guint n_calls, fail_at;
} Seen;

static gboolean
see (gpointer user_data, const char *const *tensors, gsize n, gsize dim, const float *x,
     AfpPool *pool, GError **error)
{
  Seen *seen = user_data;
  g_autofree char *names = g_strjoinv ("+", (char **) tensors);

  g_string_append_printf (seen->calls, "%s %" G_GSIZE_FORMAT "x%" G_GSIZE_FORMAT "\n", names, n,
                          dim);
  g_array_append_vals (seen->values[seen->n_calls % 4], x, (guint) (n * dim));
  if (++seen->n_calls != seen->fail_at)
    return TRUE;
  g_set_error (error, AFP_ERROR, AFP_ERROR_IO, "no room for %s", names);
  return FALSE;
}

static void
seen_init (Seen *seen)
{
  *seen = (Seen){ .calls = g_string_new (NULL) };
  for (guint i = 0; i < 4; i++)
    seen->values[i] = g_array_new (FALSE, FALSE, sizeof (float));
}

static void
seen_clear (Seen *seen)
{
  g_string_free (seen->calls, TRUE);
  for (guint i = 0; i < 4; i++)
    g_array_unref (seen->values[i]);
}

static double
times (const float *w, gsize row, gsize dim, const GArray *x, gsize t)
{
  double sum = 0;

  for (gsize i = 0; i < dim; i++)
    sum += (double) w[row * dim + i] * (double) g_array_index (x, float, t *dim + i);
  return sum;
}

/* What goes into o and down is what the stream grows by; into q, k and v goes the norm of what was there. */
START_TEST (an_observer_sees_the_inputs)
{
  g_autoptr (LmTest) m = lm_test_new (TRUE, TRUE, FALSE, FALSE);
  const AfpLmConfig *c = &m->config;
  guint32 tokens[] = { 3, 1, 4, 1, 5, 9, 2 }, none[7] = { 0 };
  gsize starts[] = { 0, 4, 7 };
  AfpLmText text = { tokens, none, starts, 2 };
  double norm[64], before[64];
  Seen seen;

  seen_init (&seen);
  m->config.sub_norms = TRUE;
  lm_test_fill_all (m);
  g_autoptr (AfpLm) lm = afp_lm_new (c, lm_test_open, m, NULL);
  g_autofree float *x = afp_lm_embed (lm, &text, NULL, NULL);
  g_autofree float *old = g_memdup2 (x, 7 * c->dim * sizeof *x);
  afp_lm_set_observer (lm, see, &seen);
  ck_assert (afp_lm_run_layer (lm, 1, &text, x, NULL, NULL));
  ck_assert_str_eq (
      seen.calls->str,
      "layers.1.attention.wq.weight+layers.1.attention.wk.weight+layers.1.attention.wv.weight 7x16\n"
      "layers.1.attention.wo.weight 7x24\n"
      "layers.1.feed_forward.w1.weight+layers.1.feed_forward.w3.weight 7x16\n"
      "layers.1.feed_forward.w2.weight 7x20\n");
  for (gsize t = 0; t < 7; t++) {
    for (guint i = 0; i < c->dim; i++)
      before[i] = (double) old[t * c->dim + i];
    plain_norm (c, before, lm_test_weights (m, AFP_LM_ATTENTION_NORM, 1), c->dim, norm);
    for (guint i = 0; i < c->dim; i++) {
      const double grown = before[i] +
                           times (lm_test_weights (m, AFP_LM_O, 1), i, 24, seen.values[1], t) +
                           times (lm_test_weights (m, AFP_LM_DOWN, 1), i, 20, seen.values[3], t);
      ck_assert_double_eq_tol ((double) g_array_index (seen.values[0], float, t * c->dim + i),
                               norm[i], 1e-5);
      ck_assert_double_eq_tol ((double) x[t * c->dim + i], grown, 1e-5);
    }
  }
  seen_clear (&seen);
}
END_TEST

/* Groups of whole documents, the same for any number of threads; what the model says does not change. */
START_TEST (an_observer_sees_groups)
{
  g_autoptr (LmTest) m = lm_test_new (FALSE, FALSE, FALSE, FALSE);
  const gsize n = 9000;
  g_autofree guint32 *tokens = g_new (guint32, n), *none = g_new0 (guint32, n);
  gsize starts[] = { 0, 1500, 3000, 4500, 9000 };
  AfpLmText text = { tokens, none, starts, 4 };
  g_autoptr (AfpPool) pool = afp_pool_new (3);
  Seen one, three;

  for (guint i = 0; i < n; i++)
    tokens[i] = i * i % m->config.vocab;
  seen_init (&one);
  seen_init (&three);
  g_autoptr (AfpLm) lm = afp_lm_new (&m->config, lm_test_open, m, NULL);
  g_autofree float *unseen = afp_lm_run (lm, &text, pool, NULL);
  afp_lm_set_observer (lm, see, &one);
  g_autofree float *alone = afp_lm_run (lm, &text, NULL, NULL);
  afp_lm_set_observer (lm, see, &three);
  g_autofree float *threads = afp_lm_run (lm, &text, pool, NULL);
  ck_assert_mem_eq (unseen, alone, n * m->config.vocab * sizeof *alone);
  ck_assert_mem_eq (unseen, threads, n * m->config.vocab * sizeof *alone);
  ck_assert_uint_eq (one.n_calls,
                     2 * 3 * 4); /* layers, groups of 3000, 1500 and 4500 tokens, inputs */
  ck_assert_ptr_nonnull (strstr (one.calls->str, "layers.1.attention.wo.weight 4500x24\n"));
  ck_assert_str_eq (one.calls->str, three.calls->str);
  for (guint i = 0; i < 4; i++)
    ck_assert_mem_eq (one.values[i]->data, three.values[i]->data,
                      one.values[i]->len * sizeof (float));
  seen_clear (&one);
  seen_clear (&three);
}
END_TEST

/* Whichever call it is that fails; afterwards nobody is told any more. */
START_TEST (an_observer_ends_the_run)
{
  g_autoptr (LmTest) m = lm_test_new (TRUE, TRUE, FALSE, FALSE);
  guint32 tokens[] = { 1, 2 }, none[2] = { 0 };
  gsize starts[] = { 0, 2 };
  AfpLmText text = { tokens, none, starts, 1 };
  GError *error = NULL;
  Seen seen;

  seen_init (&seen);
  seen.fail_at = (guint) _i + 1;
  g_autoptr (AfpLm) lm = afp_lm_new (&m->config, lm_test_open, m, NULL);
  afp_lm_set_observer (lm, see, &seen);
  ck_assert_ptr_null (afp_lm_run (lm, &text, NULL, &error));
  assert_error (error, AFP_ERROR_IO, "no room for layers.");
  ck_assert_uint_eq (seen.n_calls, seen.fail_at);
  afp_lm_set_observer (lm, NULL, NULL);
  g_autofree float *logits = afp_lm_run (lm, &text, NULL, &error);
  ck_assert_ptr_nonnull (logits);
  ck_assert_uint_eq (seen.n_calls, seen.fail_at);
  seen_clear (&seen);
}
END_TEST

START_TEST (a_missing_tensor_is_named)
{
  g_autoptr (LmTest) m = lm_test_new (TRUE, TRUE, FALSE, FALSE);
  GError *error = NULL;

  m->missing = "layers.1.ffn_norm.weight";
  ck_assert_ptr_null (afp_lm_new (&m->config, lm_test_open, m, &error));
  assert_error (error, AFP_ERROR_PLAN,
                "cannot be run: it has no tensor 'layers.1.ffn_norm.weight'");
}
END_TEST

START_TEST (another_shape_is_named_with_both)
{
  g_autoptr (LmTest) m = lm_test_new (TRUE, TRUE, FALSE, FALSE);
  AfpLmConfig config = m->config;
  GError *error = NULL;

  config.hidden += 1;
  ck_assert_ptr_null (afp_lm_new (&config, lm_test_open, m, &error));
  assert_error (error, AFP_ERROR_PLAN, "tensor 'layers.0.feed_forward.w1.weight' is 20x16",
                "its configuration says 21x16");
}
END_TEST

START_TEST (a_failing_reader_is_heard)
{
  g_autoptr (LmTest) m = lm_test_new (TRUE, TRUE, FALSE, FALSE);
  GError *error = NULL;

  m->failing = "norm.weight";
  ck_assert_ptr_null (afp_lm_new (&m->config, lm_test_open, m, &error));
  assert_error (error, AFP_ERROR_IO, "norm.weight: gone");
}
END_TEST

START_TEST (an_unknown_token_is_an_error)
{
  g_autoptr (LmTest) m = lm_test_new (TRUE, TRUE, FALSE, FALSE);
  guint32 tokens[] = { 1, m->config.vocab }, none[2] = { 0 };
  gsize starts[] = { 0, 2 };
  AfpLmText text = { tokens, none, starts, 1 };
  g_autoptr (AfpLm) lm = afp_lm_new (&m->config, lm_test_open, m, NULL);
  GError *error = NULL;

  ck_assert_ptr_null (afp_lm_run (lm, &text, NULL, &error));
  assert_error (error, AFP_ERROR_FORMAT, "beyond the model's vocabulary", "own tokenizer?");
}
END_TEST

START_TEST (rotary_factors_are_above_zero)
{
  static const float factors[] = { 1, -1, 1 };
  g_autoptr (LmTest) m = lm_test_new (TRUE, TRUE, FALSE, FALSE);
  GError *error = NULL;

  m->config.rope_tensor = TRUE;
  lm_test_fill_all (m);
  g_hash_table_insert (m->weights, g_strdup ("rope_freqs.weight"),
                       g_bytes_new_static (factors, sizeof factors));
  ck_assert_ptr_null (afp_lm_new (&m->config, lm_test_open, m, &error));
  assert_error (error, AFP_ERROR_FORMAT, "tensor 'rope_freqs.weight' has -1 at 1", "above 0");
}
END_TEST

START_TEST (a_window_is_not_passed)
{
  g_autoptr (LmTest) m = lm_test_new (TRUE, TRUE, FALSE, FALSE);
  guint32 tokens[10] = { 0 }, none[10] = { 0 };
  gsize starts[] = { 0, 4, 10 };
  AfpLmText text = { tokens, none, starts, 2 };
  GError *error = NULL;

  m->config.window = 6;
  g_autoptr (AfpLm) lm = afp_lm_new (&m->config, lm_test_open, m, NULL);
  g_autofree float *logits = afp_lm_run (lm, &text, NULL, NULL);
  ck_assert_ptr_nonnull (logits);
  starts[1] = 3;
  ck_assert_ptr_null (afp_lm_run (lm, &text, NULL, &error));
  assert_error (error, AFP_ERROR_PLAN, "7 tokens is longer than", "window of 6", "context=6");
}
END_TEST

static TCase *
good_case (void)
{
  TCase *tcase = tcase_create ("good");
  tcase_add_loop_test (tcase, logits_are_those_of_plain_loops, 0, G_N_ELEMENTS (kinds));
  tcase_add_test (tcase, long_documents_are_cut_in_rows);
  tcase_add_test (tcase, embeddings_are_rows);
  tcase_add_test (tcase, threads_change_no_bit);
  tcase_add_test (tcase, an_observer_sees_the_inputs);
  tcase_add_test (tcase, an_observer_sees_groups);
  return tcase;
}

static TCase *
bad_case (void)
{
  TCase *tcase = tcase_create ("bad");
  tcase_add_loop_test (tcase, an_observer_ends_the_run, 0, 8);
  tcase_add_test (tcase, a_missing_tensor_is_named);
  tcase_add_test (tcase, another_shape_is_named_with_both);
  tcase_add_test (tcase, a_failing_reader_is_heard);
  tcase_add_test (tcase, an_unknown_token_is_an_error);
  tcase_add_test (tcase, rotary_factors_are_above_zero);
  tcase_add_test (tcase, a_window_is_not_passed);
  return tcase;
}

int
main (void)
{
  TCase *(*const cases[]) (void) = { good_case, bad_case };

  return run_suite ("lm", cases, G_N_ELEMENTS (cases));
}
