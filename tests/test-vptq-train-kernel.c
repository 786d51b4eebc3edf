/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vptq/vptq-train-kernel.h"

#include <check.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define N_METRICS 4

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
  double r = sqrt (-2 * log (uniform ()));
  return (float) (r * cos (6.283185307179586 * uniform ()));
}

/* A training with all that it needs. */
typedef struct {
  VptqTrainJob job;
  float *vectors, *weights, *codebook, *occupancy;
  double *objectives;
  int n_objectives;
} Training;

static void
training_init (Training *t, unsigned v, unsigned k, size_t n, VptqMetric metric)
{
  size_t stride = vptq_metric_stride (metric, v);

  t->vectors = malloc (n * v * sizeof (float));
  t->weights = calloc (n * stride + 1, sizeof (float));
  t->codebook = calloc ((size_t) k * v, sizeof (float));
  t->occupancy = malloc (k * sizeof (float));
  t->objectives = malloc (101 * sizeof (double));
  t->job = (VptqTrainJob){ .length = v,
                           .n_centroids = k,
                           .iterations = 20,
                           .seed = 7,
                           .metric = metric,
                           .vectors = t->vectors,
                           .weights = t->weights,
                           .n = n };
  for (size_t i = 0; i < n * v; i++)
    t->vectors[i] = normal ();
  for (size_t i = 0; i < n; i++) {
    float *w = t->weights + i * stride, u[3][VPTQ_MAX_LENGTH];

    if (metric != VPTQ_METRIC_MATRIX) {
      for (size_t j = 0; j < stride; j++)
        w[j] = (float) uniform ();
      continue;
    }
    for (unsigned j = 0; j < 3 * v; j++)
      u[j / v][j % v] = normal ();
    for (unsigned j = 0; j < v * v; j++)
      w[j] = u[0][j / v] * u[0][j % v] + u[1][j / v] * u[1][j % v] + u[2][j / v] * u[2][j % v];
  }
}

static void
training_clear (Training *t)
{
  free (t->vectors);
  free (t->weights);
  free (t->codebook);
  free (t->occupancy);
  free (t->objectives);
}

static void
training_run (Training *t)
{
  void *workspace = malloc (vptq_train_bytes (t->job.n, t->job.n_centroids, t->job.length));

  t->n_objectives = vptq_train (&t->job, workspace, t->codebook, t->occupancy, t->objectives);
  free (workspace);
}

static double
last_objective (const Training *t)
{
  return t->objectives[t->n_objectives - 1];
}

START_TEST (test_objective_falls)
{
  for (unsigned m = 0; m < N_METRICS; m++)
    for (unsigned v = 1; v <= 9; v += 2) {
      Training t;

      training_init (&t, v, 37, 3000, m);
      training_run (&t);
      ck_assert_int_gt (t.n_objectives, 2);
      for (int i = 1; i < t.n_objectives; i++)
        ck_assert_double_le (t.objectives[i], t.objectives[i - 1] * (1 + 1e-6));
      ck_assert_double_lt (last_objective (&t), t.objectives[0] * 0.95);
      training_clear (&t);
    }
}
END_TEST

START_TEST (test_means)
{
  /* one centroid is the weighted mean */
  static const float x[] = { 1, 10, 4, 30 }, w[] = { 1, 3 };
  Training t;

  training_init (&t, 2, 1, 2, VPTQ_METRIC_SCALAR);
  memcpy (t.vectors, x, sizeof x);
  memcpy (t.weights, w, sizeof w);
  training_run (&t);
  ck_assert_float_eq_tol (t.codebook[0], 3.25f, 1e-5f);
  ck_assert_float_eq_tol (t.codebook[1], 25, 1e-5f);
  ck_assert_float_eq_tol (t.occupancy[0], 4, 1e-6f);
  training_clear (&t);
}
END_TEST

START_TEST (test_matrix_solution)
{
  /* (G0 + G1) c = G0 x0 + G1 x1 with G0 = [2 1; 1 2], G1 = [1 0; 0 0], x0 = (1, 0), x1 = (4, 9): c = (2.2, -0.6) */
  static const float x[] = { 1, 0, 4, 9 }, w[] = { 2, 1, 1, 2, 1, 0, 0, 0 };
  Training t;

  training_init (&t, 2, 1, 2, VPTQ_METRIC_MATRIX);
  memcpy (t.vectors, x, sizeof x);
  memcpy (t.weights, w, sizeof w);
  training_run (&t);
  ck_assert_float_eq_tol (t.codebook[0], 2.2f, 1e-5f);
  ck_assert_float_eq_tol (t.codebook[1], -0.6f, 1e-5f);
  ck_assert_float_eq_tol (t.occupancy[0], 2.5f, 1e-6f);
  training_clear (&t);
}
END_TEST

START_TEST (test_gaussian)
{
  /* v=4, k=256 on N(0,1): at most 0.0998 of the power; trained on a quarter of the vectors */
  const size_t n = 262144;
  float *x = malloc (n * 4 * sizeof (float)), *errors = malloc (n * sizeof (float));
  uint32_t *indices = malloc (n * sizeof (uint32_t));
  float *storage = malloc (vptq_table_floats (256, 4) * sizeof (float));
  double error = 0, power = 0;
  VptqTable table;
  Training t;

  training_init (&t, 4, 256, n / 4, VPTQ_METRIC_NONE);
  for (size_t i = 0; i < n * 4; i++) {
    x[i] = normal ();
    power += (double) x[i] * x[i];
  }
  for (size_t i = 0; i < n / 4; i++)
    memcpy (t.vectors + 4 * i, x + 16 * i, 4 * sizeof (float));
  t.job.iterations = 25;
  training_run (&t);
  vptq_table_init (&table, storage, t.codebook, 256, 4);
  vptq_search (&table, VPTQ_METRIC_NONE, NULL, x, n, indices, errors);
  for (size_t i = 0; i < n; i++)
    error += errors[i];
  ck_assert_double_le (error / power, 0.0998);
  ck_assert_double_ge (error / power, 0.09);
  training_clear (&t);
  free (x);
  free (errors);
  free (indices);
  free (storage);
}
END_TEST

START_TEST (test_warm_start_goes_on)
{
  Training t;

  for (unsigned m = 0; m < N_METRICS; m++) {
    training_init (&t, 4, 32, 2000, m);
    t.job.iterations = 5;
    training_run (&t);
    double cold = last_objective (&t);

    t.job.warm = true;
    training_run (&t);
    ck_assert_double_eq_tol (t.objectives[0], cold, cold * 1e-9);
    ck_assert_double_lt (last_objective (&t), cold);
    training_clear (&t);
  }
}
END_TEST

START_TEST (test_occupancy)
{
  for (unsigned m = 0; m < N_METRICS; m++) {
    Training t;
    double sum = 0, expected = 0;
    size_t stride = vptq_metric_stride (m, 3);

    training_init (&t, 3, 20, 500, m);
    training_run (&t);
    for (unsigned i = 0; i < 20; i++)
      sum += t.occupancy[i];
    for (size_t i = 0; i < 500; i++)
      for (size_t j = 0; j < 3; j++)
        expected += m == VPTQ_METRIC_NONE ? 1. / 3
                    : m == VPTQ_METRIC_SCALAR
                        ? t.weights[i] / 3
                        : t.weights[i * stride + j * (m == VPTQ_METRIC_MATRIX ? 4 : 1)] / 3;
    ck_assert_double_eq_tol (sum, expected, expected * 1e-5);
    training_clear (&t);
  }
}
END_TEST

START_TEST (test_seed)
{
  Training a, b;

  training_init (&a, 4, 16, 500, VPTQ_METRIC_NONE);
  training_run (&a);
  training_init (&b, 4, 16, 500, VPTQ_METRIC_NONE);
  memcpy (b.vectors, a.vectors, 2000 * sizeof (float));
  training_run (&b);
  ck_assert_mem_eq (a.codebook, b.codebook, 64 * sizeof (float));
  b.job.seed = 8;
  training_run (&b);
  ck_assert_mem_ne (a.codebook, b.codebook, 64 * sizeof (float));
  training_clear (&a);
  training_clear (&b);
}
END_TEST

/* --- threads --- */

typedef struct {
  size_t first, n, step;
  void (*task) (size_t, void *);
  void *data;
} Share;

static void *
run_share (void *data)
{
  Share *share = data;

  for (size_t i = share->n; i-- > 0;) /* backwards */
    if (i % share->step == share->first)
      share->task (i, share->data);
  return NULL;
}

static int
run_threads (void *pool, size_t n, void (*task) (size_t, void *), void *data)
{
  size_t n_threads = *(size_t *) pool;
  pthread_t threads[4];
  Share shares[4];

  for (size_t i = 0; i < n_threads; i++) {
    shares[i] = (Share){ i, n, n_threads, task, data };
    ck_assert_int_eq (pthread_create (&threads[i], NULL, run_share, &shares[i]), 0);
  }
  for (size_t i = 0; i < n_threads; i++)
    pthread_join (threads[i], NULL);
  return 0;
}

START_TEST (test_threads)
{
  for (unsigned m = 0; m < N_METRICS; m++) {
    float codebook[40 * 4], occupancy[40];
    double objectives[21];
    Training t;

    training_init (&t, 4, 40, 6000, m);
    training_run (&t);
    memcpy (codebook, t.codebook, sizeof codebook);
    memcpy (occupancy, t.occupancy, sizeof occupancy);
    int n = t.n_objectives;
    memcpy (objectives, t.objectives, (size_t) n * sizeof (double));
    for (size_t threads = 1; threads <= 4; threads++) {
      t.job.parallel_for = run_threads;
      t.job.pool = &threads;
      training_run (&t);
      ck_assert_int_eq (t.n_objectives, n);
      ck_assert_mem_eq (t.codebook, codebook, sizeof codebook);
      ck_assert_mem_eq (t.occupancy, occupancy, sizeof occupancy);
      ck_assert_mem_eq (t.objectives, objectives, (size_t) n * sizeof (double));
    }
    training_clear (&t);
  }
}
END_TEST

/* --- data that hold less than is asked for, and stops --- */

START_TEST (test_fewer_vectors_than_centroids)
{
  for (unsigned m = 0; m < N_METRICS; m++) {
    Training t;

    training_init (&t, 4, 64, 10, m);
    training_run (&t);
    ck_assert_double_le (last_objective (&t), 1e-6);
    for (unsigned i = 0; i < 64 * 4; i++)
      ck_assert (isfinite (t.codebook[i]));
    training_clear (&t);
  }
}
END_TEST

START_TEST (test_fewer_different_vectors)
{
  /* three different vectors, 1,000 of each */
  Training t;

  training_init (&t, 2, 16, 3000, VPTQ_METRIC_NONE);
  for (size_t i = 0; i < 6000; i++)
    t.vectors[i] = (float) (i / 2 % 3);
  training_run (&t);
  ck_assert (last_objective (&t) == 0);
  float sum = 0;
  for (unsigned i = 0; i < 16; i++) {
    ck_assert (t.occupancy[i] == 0 || t.occupancy[i] == 1000);
    sum += t.occupancy[i];
  }
  ck_assert (sum == 3000);
  training_clear (&t);
}
END_TEST

START_TEST (test_equal_vectors)
{
  static const float values[] = { 0, -0.75f, 1e-30f, 1e15f };

  for (unsigned m = 0; m < N_METRICS; m++)
    for (unsigned a = 0; a < 4; a++) {
      Training t;

      training_init (&t, 4, 8, 100, m);
      for (size_t i = 0; i < 400; i++)
        t.vectors[i] = values[a];
      training_run (&t);
      ck_assert (last_objective (&t) == 0);
      for (unsigned i = 0; i < 32; i++)
        ck_assert (t.codebook[i] == values[a]);
      training_clear (&t);
    }
}
END_TEST

START_TEST (test_one_vector)
{
  Training t;

  training_init (&t, 5, 300, 1, VPTQ_METRIC_MATRIX);
  training_run (&t);
  ck_assert (last_objective (&t) == 0);
  ck_assert_mem_eq (t.codebook, t.vectors, 5 * sizeof (float));
  training_clear (&t);
}
END_TEST

START_TEST (test_no_weight)
{
  for (unsigned m = 1; m < N_METRICS; m++) {
    Training t;

    training_init (&t, 3, 8, 200, m);
    memset (t.weights, 0, 200 * vptq_metric_stride (m, 3) * sizeof (float));
    training_run (&t);
    ck_assert (last_objective (&t) == 0);
    for (unsigned i = 0; i < 24; i++)
      ck_assert (isfinite (t.codebook[i]));
    training_clear (&t);
  }
}
END_TEST

START_TEST (test_coordinate_without_weight)
{
  /* nothing is known of coordinate 1: it stays where a vector was */
  Training t;

  training_init (&t, 2, 4, 300, VPTQ_METRIC_DIAGONAL);
  for (size_t i = 0; i < 300; i++)
    t.weights[2 * i + 1] = 0;
  training_run (&t);
  for (unsigned i = 0; i < 4; i++) {
    bool found = false;

    for (size_t p = 0; p < 300; p++)
      found = found || t.vectors[2 * p + 1] == t.codebook[2 * i + 1];
    ck_assert (found);
  }
  training_clear (&t);
}
END_TEST

START_TEST (test_singular_matrices)
{
  /* all G = u u' with one u: the sum has no inverse */
  Training t;

  training_init (&t, 4, 16, 1000, VPTQ_METRIC_MATRIX);
  for (size_t i = 0; i < 16000; i++)
    t.weights[i] = (float) ((1 + i % 4) * (1 + i / 4 % 4));
  training_run (&t);
  for (int i = 1; i < t.n_objectives; i++)
    ck_assert_double_le (t.objectives[i], t.objectives[i - 1] * (1 + 1e-5));
  for (unsigned i = 0; i < 64; i++)
    ck_assert_float_lt (fabsf (t.codebook[i]), 100);
  training_clear (&t);
}
END_TEST

START_TEST (test_useless_warm_start)
{
  /* all centroids the same: the empty ones are drawn anew */
  Training t;

  training_init (&t, 4, 32, 3000, VPTQ_METRIC_NONE);
  training_run (&t);
  double cold = last_objective (&t);
  memset (t.codebook, 0, 128 * sizeof (float));
  t.job.warm = true;
  training_run (&t);
  ck_assert_double_lt (last_objective (&t), cold * 1.05);
  training_clear (&t);
}
END_TEST

START_TEST (test_no_iterations)
{
  /* the codebook is the vectors drawn */
  Training t;

  training_init (&t, 2, 8, 100, VPTQ_METRIC_NONE);
  t.job.iterations = 0;
  training_run (&t);
  ck_assert_int_eq (t.n_objectives, 1);
  for (unsigned i = 0; i < 8; i++) {
    bool found = false;

    for (size_t p = 0; p < 100; p++)
      found = found || memcmp (t.vectors + 2 * p, t.codebook + 2 * i, 2 * sizeof (float)) == 0;
    ck_assert (found);
  }
  training_clear (&t);
}
END_TEST

START_TEST (test_many_centroids)
{
  /* too many to draw by their errors */
  Training t;

  training_init (&t, 1, 65536, 33000, VPTQ_METRIC_NONE);
  t.job.iterations = 0;
  training_run (&t);
  ck_assert_int_eq (t.n_objectives, 1);
  ck_assert_double_lt (t.objectives[0], 1e-2);
  training_clear (&t);
}
END_TEST

static int
stop_after (void *pool, size_t n, void (*task) (size_t, void *), void *data)
{
  int *left = pool;

  if ((*left)-- == 0)
    return -1;
  for (size_t i = 0; i < n; i++)
    task (i, data);
  return 0;
}

START_TEST (test_stop)
{
  Training t;
  bool finished = false;

  training_init (&t, 4, 8, 2000, VPTQ_METRIC_NONE);
  t.job.iterations = 2;
  t.job.parallel_for = stop_after;
  for (int i = 0; !finished; i++) {
    int left = i;

    ck_assert_int_lt (i, 100);
    t.job.pool = &left;
    training_run (&t);
    finished = t.n_objectives > 0;
    ck_assert (finished ? left >= 0 : t.n_objectives == -1);
  }
  training_clear (&t);
}
END_TEST

START_TEST (test_bytes_out_of_range)
{
  ck_assert_uint_eq (vptq_train_bytes (0, 16, 4), 0);
  ck_assert_uint_eq (vptq_train_bytes (SIZE_MAX, 16, 4), 0);
  ck_assert_uint_eq (vptq_train_bytes (100, 0, 4), 0);
  ck_assert_uint_eq (vptq_train_bytes (100, VPTQ_MAX_CENTROIDS + 1, 4), 0);
  ck_assert_uint_eq (vptq_train_bytes (100, 16, 0), 0);
  ck_assert_uint_eq (vptq_train_bytes (100, 16, VPTQ_MAX_LENGTH + 1), 0);
  ck_assert_uint_gt (vptq_train_bytes (UINT32_MAX, VPTQ_MAX_CENTROIDS, VPTQ_MAX_LENGTH),
                     UINT32_MAX);
}
END_TEST

static Suite *
make_suite (void)
{
  Suite *suite = suite_create ("vptq-train-kernel");
  TCase *good = tcase_create ("train"), *bad = tcase_create ("negative");

  tcase_add_test (good, test_objective_falls);
  tcase_add_test (good, test_means);
  tcase_add_test (good, test_matrix_solution);
  tcase_add_test (good, test_gaussian);
  tcase_add_test (good, test_warm_start_goes_on);
  tcase_add_test (good, test_occupancy);
  tcase_add_test (good, test_seed);
  tcase_add_test (good, test_threads);
  suite_add_tcase (suite, good);
  tcase_add_test (bad, test_fewer_vectors_than_centroids);
  tcase_add_test (bad, test_fewer_different_vectors);
  tcase_add_test (bad, test_equal_vectors);
  tcase_add_test (bad, test_one_vector);
  tcase_add_test (bad, test_no_weight);
  tcase_add_test (bad, test_coordinate_without_weight);
  tcase_add_test (bad, test_singular_matrices);
  tcase_add_test (bad, test_useless_warm_start);
  tcase_add_test (bad, test_no_iterations);
  tcase_add_test (bad, test_many_centroids);
  tcase_add_test (bad, test_stop);
  tcase_add_test (bad, test_bytes_out_of_range);
  suite_add_tcase (suite, bad);
  return suite;
}

int
main (void)
{
  SRunner *runner = srunner_create (make_suite ());

  srunner_run_all (runner, CK_ENV);
  int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
