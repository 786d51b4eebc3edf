/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vptq/vptq-list-kernel.h"
#include "vptq/vptq-train-kernel.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define V 6u
#define K 2048u
#define N 3000u

static uint64_t state;

static double
uniform (void)
{
  state = state * UINT64_C (6364136223846793005) + UINT64_C (1442695040888963407);
  return ((double) (state >> 11) + 0.5) * 0x1p-53;
}

static float
normal (void)
{
  const double r = sqrt (-2 * log (uniform ()));

  return (float) (r * cos (6.283185307179586 * uniform ()));
}

/* A codebook with its lists, vectors with all kinds of metrics, and what the search says of them. */
typedef struct {
  float *codebook, *storage, *x, *weights;
  void *memory, *workspace;
  VptqTable table;
  VptqLists lists;
  uint32_t plain[N], found[N];
  float plain_errors[N], found_errors[N];
} Case;

static void
case_init (Case *c)
{
  state = 5;
  c->codebook = malloc (K * V * sizeof (float));
  c->storage = malloc (vptq_table_floats (K, V) * sizeof (float));
  c->x = malloc (N * V * sizeof (float));
  c->weights = malloc (N * V * V * sizeof (float));
  c->memory = malloc (vptq_lists_bytes (K, V));
  c->workspace = malloc (vptq_lists_workspace (K, V));
  for (unsigned i = 0; i < K * V; i++)
    c->codebook[i] = 0.95f * normal ();
  for (unsigned i = 0; i < N * V; i++)
    c->x[i] = normal ();
  vptq_table_init (&c->table, c->storage, c->codebook, K, V);
  vptq_lists_init (&c->lists, c->memory, K, V);
  ck_assert_int_eq (vptq_lists_fill (&c->lists, c->codebook, false, c->workspace, NULL, NULL), 0);
}

static void
case_clear (Case *c)
{
  free (c->codebook);
  free (c->storage);
  free (c->x);
  free (c->weights);
  free (c->memory);
  free (c->workspace);
}

/* Numbers, diagonals, or a matrix of rank V for every 100 vectors plus a tenth of the identity. */
static void
case_weigh (Case *c, VptqMetric metric)
{
  const size_t stride = vptq_metric_stride (metric, V);

  for (size_t i = 0; metric != VPTQ_METRIC_MATRIX && i < N * stride; i++)
    c->weights[i] = (float) (0.1 + uniform ());
  for (size_t i = 0; metric == VPTQ_METRIC_MATRIX && i < N; i++) {
    float *g = c->weights + i * stride, u[V * V];

    if (i % 100 > 0) {
      memcpy (g, g - stride, stride * sizeof *g);
      continue;
    }
    for (unsigned j = 0; j < V * V; j++)
      u[j] = normal ();
    for (unsigned a = 0; a < V * V; a++) {
      g[a] = a % (V + 1) == 0 ? 0.1f : 0;
      for (unsigned j = 0; j < V; j++)
        g[a] += u[j * V + a / V] * u[j * V + a % V];
    }
  }
}

/* What the search by lists loses, as a part of the sum of errors; negative: it was wrong about an error. */
static double
case_loss (Case *c, VptqMetric metric, bool exact)
{
  double plain = 0, found = 0;

  case_weigh (c, metric);
  vptq_search (&c->table, metric, c->weights, c->x, N, c->plain, c->plain_errors);
  vptq_lists_search (&c->lists, exact, metric, c->weights, c->x, N, c->found, c->found_errors);
  for (unsigned i = 0; i < N; i++) {
    ck_assert_uint_lt (c->found[i], K);
    ck_assert_float_ge (c->found_errors[i], c->plain_errors[i]);
    if (c->found[i] == c->plain[i])
      ck_assert (c->found_errors[i] == c->plain_errors[i]);
    plain += c->plain_errors[i];
    found += c->found_errors[i];
  }
  return found / plain - 1;
}

START_TEST (test_exact)
{
  Case c;

  case_init (&c);
  for (VptqMetric metric = VPTQ_METRIC_NONE; metric <= VPTQ_METRIC_MATRIX; metric++) {
    ck_assert (case_loss (&c, metric, true) == 0);
    ck_assert_mem_eq (c.found, c.plain, sizeof c.plain);
  }
  ck_assert (case_loss (&c, VPTQ_METRIC_NONE, true) == 0);
  memset (c.found, 0, sizeof c.found);
  vptq_lists_search (&c.lists, true, VPTQ_METRIC_NONE, NULL, c.x, N, c.found, NULL);
  ck_assert_mem_eq (c.found, c.plain, sizeof c.plain);
  case_clear (&c);
}
END_TEST

START_TEST (test_loss_of_quick_search)
{
  Case c;
  double loss;

  case_init (&c);
  ck_assert_double_le (loss = case_loss (&c, VPTQ_METRIC_NONE, false), 0.004);
  ck_assert_double_gt (loss, 0); /* it does leave centroids out */
  ck_assert_double_le (case_loss (&c, VPTQ_METRIC_SCALAR, false), 0.004);
  ck_assert_double_le (case_loss (&c, VPTQ_METRIC_DIAGONAL, false), 0.01);
  ck_assert_double_le (case_loss (&c, VPTQ_METRIC_MATRIX, false), 0.03);
  case_clear (&c);
}
END_TEST

/* Far from all centroids every cell is too small, and equal centroids go to the lowest. */
START_TEST (test_far_and_equal)
{
  Case c;

  case_init (&c);
  for (unsigned i = 0; i < N * V; i++)
    c.x[i] *= 100;
  ck_assert (case_loss (&c, VPTQ_METRIC_NONE, false) == 0);
  for (unsigned i = 0; i < K * V; i++)
    c.codebook[i] = c.codebook[i % (32 * V)];
  vptq_table_init (&c.table, c.storage, c.codebook, K, V);
  ck_assert_int_eq (vptq_lists_fill (&c.lists, c.codebook, true, c.workspace, NULL, NULL), 0);
  ck_assert (case_loss (&c, VPTQ_METRIC_NONE, true) == 0);
  ck_assert_mem_eq (c.found, c.plain, sizeof c.plain);
  for (unsigned i = 0; i < N; i++)
    ck_assert_uint_lt (c.found[i], 32);
  case_clear (&c);
}
END_TEST

/* The middles follow a codebook that has moved. */
START_TEST (test_warm)
{
  Case c;

  case_init (&c);
  for (unsigned i = 0; i < K * V; i++)
    c.codebook[i] += 0.2f * normal ();
  vptq_table_init (&c.table, c.storage, c.codebook, K, V);
  ck_assert_int_eq (vptq_lists_fill (&c.lists, c.codebook, true, c.workspace, NULL, NULL), 0);
  ck_assert (case_loss (&c, VPTQ_METRIC_NONE, true) == 0);
  ck_assert_double_le (case_loss (&c, VPTQ_METRIC_NONE, false), 0.004);
  case_clear (&c);
}
END_TEST

static int
stop (void *pool, size_t n, void (*task) (size_t, void *), void *data)
{
  int *left = pool;

  for (size_t i = 0; i<n && * left> 0; i++)
    task (i, data);
  return (*left)-- > 0 ? 0 : 1;
}

START_TEST (test_stopped)
{
  Case c;

  case_init (&c);
  for (int calls = 0; calls < 3; calls++) {
    int left = calls;
    ck_assert_int_lt (vptq_lists_fill (&c.lists, c.codebook, false, c.workspace, stop, &left), 0);
  }
  case_clear (&c);
}
END_TEST

START_TEST (test_no_lists)
{
  ck_assert (vptq_lists_has (VPTQ_LISTS_LEAST, 1));
  ck_assert (vptq_lists_has (VPTQ_MAX_CENTROIDS, VPTQ_LISTS_MAX_LENGTH));
  ck_assert (!vptq_lists_has (VPTQ_LISTS_LEAST - 1, 4));
  ck_assert (!vptq_lists_has (VPTQ_MAX_CENTROIDS + 1, 4));
  ck_assert (!vptq_lists_has (4096, 0));
  ck_assert (!vptq_lists_has (4096, VPTQ_LISTS_MAX_LENGTH + 1));
  ck_assert_uint_eq (vptq_lists_bytes (256, 4), 0);
  ck_assert_uint_gt (vptq_lists_bytes (4096, 4), (size_t) 128 * 512 * 4 * sizeof (float));
}
END_TEST

/* --- training by lists ---------------------------------------------------------------------------------------------- */

static int
backwards (void *pool, size_t n, void (*task) (size_t, void *), void *data)
{
  (void) pool;
  for (size_t i = n; i-- > 0;)
    task (i, data);
  return 0;
}

START_TEST (test_training)
{
  const size_t n = 4 * K;
  float *x = malloc (n * 4 * sizeof (float)), *codebook = malloc (K * 4 * sizeof (float));
  float *again = malloc (K * 4 * sizeof (float));
  void *workspace = malloc (vptq_train_bytes (n, K, 4));
  VptqTrainJob job = { 4, K, 4, 7, VPTQ_METRIC_NONE, x, NULL, n, false, NULL, NULL };
  double objectives[5];

  for (size_t i = 0; i < n * 4; i++)
    x[i] = normal ();
  const int n_objectives = vptq_train (&job, workspace, codebook, NULL, objectives);
  ck_assert_int_eq (n_objectives, 5);
  for (int i = 1; i < n_objectives; i++)
    ck_assert_double_le (objectives[i], objectives[i - 1] * (1 + 1e-6));
  ck_assert_double_lt (objectives[4], 0.9 * objectives[0]);
  job.parallel_for = backwards;
  ck_assert_int_eq (vptq_train (&job, workspace, again, NULL, objectives), 5);
  ck_assert_mem_eq (codebook, again, K * 4 * sizeof (float));
  int left = 60;
  job.parallel_for = stop;
  job.pool = &left;
  ck_assert_int_eq (vptq_train (&job, workspace, again, NULL, objectives), -1);
  free (x);
  free (codebook);
  free (again);
  free (workspace);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("vptq-list-kernel");
  TCase *search = tcase_create ("search"), *refuse = tcase_create ("negative");

  tcase_add_test (search, test_exact);
  tcase_add_test (search, test_loss_of_quick_search);
  tcase_add_test (search, test_warm);
  tcase_add_test (search, test_training);
  suite_add_tcase (suite, search);
  tcase_add_test (refuse, test_far_and_equal);
  tcase_add_test (refuse, test_stopped);
  tcase_add_test (refuse, test_no_lists);
  suite_add_tcase (suite, refuse);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  const int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
