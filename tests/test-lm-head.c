/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lm-test.h"

#include "afp-lm-head.h"

#include <math.h>

#define VOCAB 9000 /* two tiles */
#define TOKENS 300 /* three chunks */

typedef struct {
  guint n_models;
  float *logits; /* models x tokens x vocabulary */
  guint *seen;   /* of each token: rows of the vocabulary that have come */
} Collected;

static void
collect (gpointer user_data, gsize first, gsize n, guint row, guint n_rows,
         const float *const *logits)
{
  Collected *collected = user_data;

  for (gsize t = 0; t < n; t++) {
    for (guint m = 0; m < collected->n_models; m++)
      memcpy (collected->logits + (m * TOKENS + first + t) * VOCAB + row, logits[m] + t * n_rows,
              n_rows * sizeof (float));
    g_assert_cmpuint (collected->seen[first + t], ==, row);
    collected->seen[first + t] += n_rows;
  }
}

static LmTest *
make_model (gboolean tied)
{
  LmTest *model = lm_test_new (FALSE, tied, FALSE, FALSE);

  lm_test_set_vocab (model, VOCAB);
  return model;
}

static float *
make_x (const LmTest *model)
{
  float *x = g_new (float, TOKENS * model->config.dim);

  for (guint i = 0; i < TOKENS * model->config.dim; i++)
    x[i] = (float) sin ((double) i);
  return x;
}

/* Of two models. */
static float *
run (const LmTest *a, const LmTest *b, AfpPool *pool)
{
  g_autoptr (AfpLm) first = afp_lm_new (&a->config, lm_test_open, (gpointer) a, NULL);
  g_autoptr (AfpLm) second = afp_lm_new (&b->config, lm_test_open, (gpointer) b, NULL);
  AfpLm *const models[] = { first, second };
  g_autofree float *x = make_x (a), *y = make_x (b);
  float *const of[] = { x, y };
  g_autofree guint *seen = g_new0 (guint, TOKENS);
  Collected collected = { 2, g_new0 (float, 2 * TOKENS * VOCAB), seen };

  ck_assert (afp_lm_run_head (models, 2, TOKENS, of, pool, collect, &collected, NULL, NULL, NULL));
  for (guint t = 0; t < TOKENS; t++)
    ck_assert_uint_eq (seen[t], VOCAB);
  return collected.logits;
}

/* A tied model and one with a classifier of its own. */
START_TEST (logits_are_those_of_plain_loops)
{
  g_autoptr (LmTest) a = make_model (TRUE);
  g_autoptr (LmTest) b = make_model (FALSE);
  g_autofree float *logits = run (a, b, NULL), *x = make_x (a);
  const guint dim = a->config.dim;

  for (guint m = 0; m < 2; m++) {
    const float *weights = m == 0 ? lm_test_weights (a, AFP_LM_EMBEDDING, 0)
                                  : lm_test_weights (b, AFP_LM_CLASSIFIER, 0),
                *norm = lm_test_weights (m == 0 ? a : b, AFP_LM_NORM, 0);
    for (guint t = 0; t < TOKENS; t += 13) {
      const float *row = x + t * dim;
      double sum = 0;
      for (guint i = 0; i < dim; i++)
        sum += (double) row[i] * (double) row[i];
      const double factor = 1 / sqrt (sum / dim + (double) a->config.norm_eps);
      for (guint v = 0; v < VOCAB; v += 7) {
        double dot = 0;
        for (guint i = 0; i < dim; i++)
          dot += (double) row[i] * factor * (double) norm[i] * (double) weights[v * dim + i];
        ck_assert_double_eq_tol ((double) logits[(m * TOKENS + t) * VOCAB + v], dot, 1e-4);
      }
    }
  }
}
END_TEST

START_TEST (threads_change_no_bit)
{
  g_autoptr (LmTest) a = make_model (TRUE);
  g_autoptr (LmTest) b = make_model (FALSE);
  g_autoptr (AfpPool) pool = afp_pool_new (3);
  g_autofree float *one = run (a, b, NULL), *three = run (a, b, pool);

  ck_assert_mem_eq (one, three, 2 * TOKENS * VOCAB * sizeof *one);
}
END_TEST

static void
count_steps (gpointer user_data, guint done, guint all)
{
  guint *steps = user_data;

  ck_assert_uint_eq (++*steps, done);
  ck_assert_uint_eq (all, 2);
}

START_TEST (steps_are_tiles)
{
  g_autoptr (LmTest) m = make_model (TRUE);
  g_autoptr (AfpLm) lm = afp_lm_new (&m->config, lm_test_open, m, NULL);
  float *const none = NULL;
  guint steps = 0;

  ck_assert_uint_eq (afp_lm_head_n_tiles (&m->config), 2);
  ck_assert (afp_lm_run_head (&lm, 1, 0, &none, NULL, collect, NULL, count_steps, &steps, NULL));
  ck_assert_uint_eq (steps, 2);
}
END_TEST

/* --- failures ----------------------------------------------------------------------------------------------------- */

static gboolean
read_some (gpointer user_data, guint64 row, guint64 n_rows, guint64 col, guint64 n_cols, float *out,
           GError **error)
{
  memset (out, 0, n_rows * n_cols * sizeof *out);
  if (row + n_rows <= 8500)
    return TRUE;
  g_set_error (error, AFP_ERROR, AFP_ERROR_CODEC, "row %" G_GUINT64_FORMAT " is damaged", row);
  return FALSE;
}

/* An embedding that ends in the second tile. */
static AfpMatrix *
open_damaged (gpointer user_data, const char *name, GError **error)
{
  const LmTest *model = user_data;

  return strstr (name, "embeddings")
             ? afp_matrix_new (VOCAB, model->config.dim, read_some, NULL, NULL)
             : lm_test_open (user_data, name, error);
}

static void
expect_failure (LmTest *m, AfpLmOpen open, const char *failing, AfpPool *pool, int code,
                const char *text)
{
  g_autoptr (AfpLm) lm = afp_lm_new (&m->config, open, m, NULL);
  g_autofree float *x = make_x (m), *logits = g_new0 (float, TOKENS *VOCAB);
  g_autofree guint *seen = g_new0 (guint, TOKENS);
  Collected collected = { 1, logits, seen };
  GError *error = NULL;

  m->failing = failing;
  ck_assert (!afp_lm_run_head (&lm, 1, TOKENS, &x, pool, collect, &collected, NULL, NULL, &error));
  assert_error (error, code, text);
}

START_TEST (a_damaged_row_is_told)
{
  g_autoptr (LmTest) m = make_model (TRUE);

  expect_failure (m, open_damaged, NULL, NULL, AFP_ERROR_CODEC, "is damaged");
}
END_TEST

static const char *const parts[] = { "norm.weight", "output.weight" };

START_TEST (what_cannot_be_opened_is_named)
{
  g_autoptr (LmTest) m = make_model (FALSE);

  expect_failure (m, lm_test_open, parts[_i], NULL, AFP_ERROR_IO, parts[_i]);
}
END_TEST

START_TEST (cancelling_ends_it)
{
  g_autoptr (LmTest) m = make_model (TRUE);
  g_autoptr (AfpPool) pool = afp_pool_new (2);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();

  afp_pool_set_cancellable (pool, cancellable);
  g_cancellable_cancel (cancellable);
  expect_failure (m, lm_test_open, NULL, pool, AFP_ERROR_CANCELLED, "cancelled");
}
END_TEST

static TCase *
good_case (void)
{
  TCase *tcase = tcase_create ("good");
  tcase_add_test (tcase, logits_are_those_of_plain_loops);
  tcase_add_test (tcase, threads_change_no_bit);
  tcase_add_test (tcase, steps_are_tiles);
  return tcase;
}

static TCase *
bad_case (void)
{
  TCase *tcase = tcase_create ("bad");
  tcase_add_test (tcase, a_damaged_row_is_told);
  tcase_add_loop_test (tcase, what_cannot_be_opened_is_named, 0, G_N_ELEMENTS (parts));
  tcase_add_test (tcase, cancelling_ends_it);
  return tcase;
}

int
main (void)
{
  TCase *(*const cases[]) (void) = { good_case, bad_case };

  return run_suite ("lm-head", cases, G_N_ELEMENTS (cases));
}
