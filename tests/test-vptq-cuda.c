/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vptq/vptq-cuda.h"

#include "vptq/vptq-train-kernel.h"

#include "afp-bits.h"
#include "afp-dtype.h"

#include <check.h>
#include <float.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * What a thread of a graphics processor does, run here, thread by thread over the same grid, against the kernels in C; and on a device,
 * if there is one, against what it does here.
 */

static uint64_t state;

static uint32_t
next (void)
{
  state = state * UINT64_C (6364136223846793005) + UINT64_C (1442695040888963407);
  return (uint32_t) (state >> 33);
}

static float *
numbers (size_t n)
{
  float *x = malloc ((n + 1) * sizeof *x);

  for (size_t i = 0; i < n; i++)
    x[i] = (float) (next () % 20001) / 10000 - 1;
  return x;
}

/* --- k-means ------------------------------------------------------------------------------------------------------- */

#define N_VECTORS 333

static const struct {
  unsigned v, k;
  VptqMetric metric;
} searched[] = { { 4, 256, VPTQ_METRIC_NONE },
                 { 6, 37, VPTQ_METRIC_SCALAR },
                 { 8, 100, VPTQ_METRIC_DIAGONAL },
                 { 1, 2, VPTQ_METRIC_NONE },
                 { 64, 65, VPTQ_METRIC_SCALAR } };

typedef struct {
  unsigned v, k;
  VptqMetric metric;
  float *codebook, *x, *weights, *errors;
  uint32_t *indices;
} Means;

static void
means_init (Means *m, int i)
{
  *m = (Means){ .v = searched[i].v, .k = searched[i].k, .metric = searched[i].metric };
  state = (uint64_t) i;
  m->codebook = numbers ((size_t) m->k * m->v);
  m->x = numbers (N_VECTORS * m->v);
  m->weights = numbers (N_VECTORS * m->v);
  for (size_t w = 0; w < N_VECTORS * m->v; w++)
    m->weights[w] = m->weights[w] * m->weights[w];
  m->errors = malloc (N_VECTORS * sizeof *m->errors);
  m->indices = malloc (N_VECTORS * sizeof *m->indices);
}

static void
means_clear (Means *m)
{
  free (m->codebook);
  free (m->x);
  free (m->weights);
  free (m->errors);
  free (m->indices);
}

/* As the kernel does it, codebook in pieces of @some. */
static VptqThreadBest
nearest (const Means *m, size_t at, uint32_t some)
{
  VptqThreadBest best = { INFINITY, 0 };

  for (uint32_t first = 0; first < m->k; first += some)
    vptq_thread_compare (m->codebook + (size_t) first * m->v, first,
                         m->k - first < some ? m->k - first : some, m->v, m->x + at * m->v,
                         m->metric == VPTQ_METRIC_DIAGONAL ? m->weights + at * m->v : NULL, &best);
  if (m->metric == VPTQ_METRIC_SCALAR)
    best.error = afp_thread_product (m->weights[at], best.error);
  return best;
}

static void
search_here (Means *m)
{
  float *storage = malloc (vptq_table_floats (m->k, m->v) * sizeof *storage);
  VptqTable table;

  vptq_table_init (&table, storage, m->codebook, m->k, m->v);
  vptq_search (&table, m->metric, m->weights, m->x, N_VECTORS, m->indices, m->errors);
  free (storage);
}

START_TEST (finds_the_same_centroids)
{
  Means m;

  means_init (&m, _i);
  search_here (&m);
  for (size_t at = 0; at < N_VECTORS; at++) {
    const VptqThreadBest best = nearest (&m, at, 50);
    ck_assert_uint_eq (best.index, m.indices[at]);
    ck_assert_mem_eq (&best.error, &m.errors[at], sizeof best.error);
  }
  means_clear (&m);
}
END_TEST

START_TEST (ties_and_what_is_no_number)
{
  const float codebook[] = { 1, 1, -1, -1, 1, 1 }, zero[] = { 0, 0 }, none[] = { NAN, 0 };
  VptqThreadBest best = { INFINITY, 0 };

  vptq_thread_compare (codebook, 0, 3, 2, zero, NULL, &best);
  ck_assert_uint_eq (best.index, 0);
  best = (VptqThreadBest){ INFINITY, 0 };
  vptq_thread_compare (codebook, 0, 3, 2, none, NULL, &best);
  ck_assert_uint_eq (best.index, 0);
  ck_assert (isinf (best.error));
}
END_TEST

/* Members of each centroid, in their order. */
static void
group (const Means *m, uint32_t *order, uint32_t *start)
{
  uint32_t n = 0;

  for (uint32_t c = 0; c < m->k; c++) {
    start[c] = n;
    for (uint32_t i = 0; i < N_VECTORS; i++)
      if (m->indices[i] == c)
        order[n++] = i;
  }
  start[m->k] = n;
}

/* One round of k-means in C against assignment and update by threads. */
START_TEST (the_same_means)
{
  static const int few[] = { 0, 1,
                             3 }; /* so that no centroid is empty: searched[] with k reduced */
  Means m;
  uint32_t order[N_VECTORS], start[66];

  means_init (&m, few[_i]);
  m.k = m.k > 4 ? 4 : m.k;
  search_here (&m);
  group (&m, order, start);
  float *expected = malloc ((size_t) m.k * m.v * sizeof *expected);
  memcpy (expected, m.codebook, (size_t) m.k * m.v * sizeof *expected);
  const VptqTrainJob job = { .length = m.v,
                             .n_centroids = m.k,
                             .iterations = 1,
                             .metric = m.metric,
                             .vectors = m.x,
                             .weights = m.weights,
                             .n = N_VECTORS,
                             .warm = true };
  void *workspace = malloc (vptq_train_bytes (N_VECTORS, m.k, m.v));
  ck_assert_int_eq (vptq_train (&job, workspace, expected, NULL, NULL), 2);
  for (uint32_t at = 0; at < m.k * m.v; at++) {
    const uint32_t c = at / m.v;
    ck_assert_uint_gt (start[c + 1], start[c]);
    const float mean = vptq_thread_mean (m.x, m.v, m.metric, m.weights, order + start[c],
                                         start[c + 1] - start[c], at % m.v, m.codebook[at]);
    ck_assert_mem_eq (&mean, &expected[at], sizeof mean);
  }
  free (expected);
  free (workspace);
  means_clear (&m);
}
END_TEST

START_TEST (without_weight_a_centroid_stays)
{
  const float x[] = { 3, 4 }, weights[] = { 0, 0 };
  const uint32_t members[] = { 0, 1 };

  ck_assert (vptq_thread_mean (x, 1, VPTQ_METRIC_SCALAR, weights, members, 2, 0, 7) == 7);
  ck_assert (vptq_thread_mean (x, 1, VPTQ_METRIC_NONE, NULL, members, 0, 0, 7) == 7);
  ck_assert (vptq_thread_mean (x, 1, VPTQ_METRIC_NONE, NULL, members, 2, 0, 7) == 3.5f);
}
END_TEST

/* --- planes -------------------------------------------------------------------------------------------------------- */

static const struct {
  size_t rows, cols;
  unsigned v, turned, k, k2, n_scales, bias;
} shapes[] = { { 7, 13, 4, 0, 256, 0, 0, 0 },       { 7, 13, 4, 1, 256, 0, 1, 0 },
               { 300, 21, 8, 1, 1000, 16, 300, 1 }, { 5, 600, 2, 0, 37, 5, 5, 0 },
               { 1, 1, 1, 1, 2, 0, 0, 0 },          { 9, 65, 64, 1, 3, 3, 0, 1 } };
#define N_SHAPES (int) (sizeof shapes / sizeof *shapes)

typedef struct {
  VptqThreadPlane plane;
  uint32_t *indices, *residuals;
  size_t n_vectors;
} Coded;

static uint8_t *
pack (uint32_t *symbols, size_t n, uint32_t k, unsigned bits)
{
  uint8_t *packed = calloc (afp_bits_bytes (n, bits), 1);

  for (size_t i = 0; i < n; i++)
    symbols[i] = next () % k;
  afp_bits_pack (packed, 0, symbols, n, bits);
  return packed;
}

static void
coded_init (Coded *c, int i)
{
  const size_t vectors = (shapes[i].cols + shapes[i].v - 1) / shapes[i].v;

  state = 77 + (uint64_t) i;
  c->n_vectors = shapes[i].rows * vectors;
  c->indices = malloc (c->n_vectors * sizeof *c->indices);
  c->residuals = malloc (c->n_vectors * sizeof *c->residuals);
  c->plane = (VptqThreadPlane){ .rows = shapes[i].rows,
                                .cols = shapes[i].cols,
                                .length = shapes[i].v,
                                .turned = shapes[i].turned,
                                .bits = vptq_index_bits (shapes[i].k),
                                .centroids = shapes[i].k,
                                .n_scales = shapes[i].n_scales };
  c->plane.indices = pack (c->indices, c->n_vectors, shapes[i].k, c->plane.bits);
  c->plane.codebook = numbers ((size_t) shapes[i].k * shapes[i].v);
  c->plane.scale = numbers (shapes[i].rows);
  if (shapes[i].k2) {
    c->plane.residual_bits = vptq_index_bits (shapes[i].k2);
    c->plane.residual_centroids = shapes[i].k2;
    c->plane.residuals = pack (c->residuals, c->n_vectors, shapes[i].k2, c->plane.residual_bits);
    c->plane.residual_codebook = numbers ((size_t) shapes[i].k2 * shapes[i].v);
  }
  if (shapes[i].bias)
    c->plane.bias = numbers (shapes[i].rows);
}

static void
coded_clear (Coded *c)
{
  free (c->indices);
  free (c->residuals);
  free ((void *) c->plane.indices);
  free ((void *) c->plane.residuals);
  free ((void *) c->plane.codebook);
  free ((void *) c->plane.residual_codebook);
  free ((void *) c->plane.scale);
  free ((void *) c->plane.bias);
}

/* Thread by thread over the grid of the kernel. */
static float *
decode_here (const VptqThreadPlane *plane)
{
  const size_t n = plane->rows * plane->cols;
  float *out = calloc (n, sizeof *out);

  for (size_t at = 0; at < n; at++) {
    size_t place = n;
    float x;
    ck_assert (vptq_thread_decode (plane, at, &x, &place));
    ck_assert_uint_lt (place, n);
    out[place] = x;
  }
  return out;
}

static float *
multiply_here (const VptqThreadPlane *plane, const float *input)
{
  const unsigned lanes = vptq_thread_lanes (plane);
  float *output = calloc (plane->turned ? plane->cols : plane->rows, sizeof *output);
  float *sums = malloc (VPTQ_THREADS * lanes * sizeof *sums);

  for (size_t block = 0; block < vptq_thread_blocks (plane); block++) {
    for (unsigned thread = 0; thread < VPTQ_THREADS; thread++)
      ck_assert (vptq_thread_gather (plane, block, thread, input, sums + thread * lanes));
    for (unsigned lane = 0; lane < lanes; lane++)
      vptq_thread_total (plane, block, lane, sums, output);
  }
  free (sums);
  return output;
}

/* Symbols are integers: the same as the core unpacks. Weights: as the kernel looks them up. */
START_TEST (decodes_the_same_bits)
{
  Coded c;

  coded_init (&c, _i);
  const VptqThreadPlane *p = &c.plane;
  const size_t vectors = vptq_thread_vectors (p);
  float *out = decode_here (p), *row = malloc (vectors * p->length * sizeof *row);
  for (size_t r = 0; r < p->rows; r++) {
    const float scale = p->n_scales ? p->scale[p->n_scales > 1 ? r : 0] : 1;
    vptq_lookup (p->codebook, p->centroids, p->length, p->residuals ? 1 : scale,
                 c.indices + r * vectors, vectors, row);
    for (size_t q = 0; q < vectors; q++) {
      ck_assert_uint_eq (afp_thread_symbol (p->indices, r * vectors + q, p->bits),
                         c.indices[r * vectors + q]);
      for (unsigned j = 0; j < p->length && q * p->length + j < p->cols; j++) {
        const size_t col = q * p->length + j;
        float x = row[col];
        if (p->residuals)
          x = scale *
              (x + p->residual_codebook[(size_t) c.residuals[r * vectors + q] * p->length + j]);
        if (p->bias || p->residuals)
          x += p->bias ? p->bias[r] : 0;
        ck_assert_mem_eq (&x, &out[p->turned ? col * p->rows + r : r * p->cols + col], sizeof x);
      }
    }
  }
  free (out);
  free (row);
  coded_clear (&c);
}
END_TEST

START_TEST (multiplies_what_it_decodes)
{
  Coded c;

  coded_init (&c, _i);
  const size_t n_out = c.plane.turned ? c.plane.cols : c.plane.rows;
  const size_t n_in = c.plane.turned ? c.plane.rows : c.plane.cols;
  float *weights = decode_here (&c.plane), *input = numbers (n_in);
  float *output = multiply_here (&c.plane, input);
  for (size_t r = 0; r < n_out; r++) {
    double sum = 0, size = 0;
    for (size_t i = 0; i < n_in; i++) {
      sum += (double) weights[r * n_in + i] * (double) input[i];
      size += fabs ((double) weights[r * n_in + i] * (double) input[i]);
    }
    ck_assert_double_eq_tol ((double) output[r], sum, 1e-5 * size + 1e-30);
  }
  free (weights);
  free (input);
  free (output);
  coded_clear (&c);
}
END_TEST

START_TEST (indices_outside)
{
  const uint8_t codes[] = { 0x3f };
  const float one[] = { 1, 2, 3 };
  VptqThreadPlane plane = {
    .rows = 1, .cols = 2, .length = 1, .bits = 2, .centroids = 3, .indices = codes, .codebook = one
  };
  float x = 5, sums[1];
  size_t place;

  ck_assert (!vptq_thread_decode (&plane, 1, &x, &place));
  ck_assert (x == 5);
  ck_assert (!vptq_thread_gather (&plane, 0, 0, one, sums));
  plane.centroids = 4;
  plane.residuals = codes;
  plane.residual_bits = 3;
  plane.residual_centroids = 7;
  ck_assert (!vptq_thread_decode (&plane, 0, &x, &place));
}
END_TEST

START_TEST (no_infinity)
{
  const uint8_t codes[] = { 0 };
  const float big[] = { FLT_MAX }, scale[] = { -4 };
  const VptqThreadPlane plane = { .rows = 1,
                                  .cols = 1,
                                  .length = 1,
                                  .bits = 1,
                                  .centroids = 1,
                                  .indices = codes,
                                  .codebook = big,
                                  .scale = scale,
                                  .bias = scale,
                                  .n_scales = 1 };
  float x;
  size_t place;

  ck_assert (vptq_thread_decode (&plane, 0, &x, &place));
  ck_assert (x == -FLT_MAX);
}
END_TEST

static TCase *
thread_case (void)
{
  TCase *tcase = tcase_create ("thread");
  tcase_add_loop_test (tcase, finds_the_same_centroids, 0,
                       (int) (sizeof searched / sizeof *searched));
  tcase_add_test (tcase, ties_and_what_is_no_number);
  tcase_add_loop_test (tcase, the_same_means, 0, 3);
  tcase_add_test (tcase, without_weight_a_centroid_stays);
  tcase_add_loop_test (tcase, decodes_the_same_bits, 0, N_SHAPES);
  tcase_add_loop_test (tcase, multiplies_what_it_decodes, 0, N_SHAPES);
  tcase_add_test (tcase, indices_outside);
  tcase_add_test (tcase, no_infinity);
  return tcase;
}

/* --- on a device --------------------------------------------------------------------------------------------------- */

START_TEST (device_has_the_same_means)
{
  uint32_t order[N_VECTORS], start[258], *indices = malloc (N_VECTORS * sizeof *indices);
  float *errors = malloc (N_VECTORS * sizeof *errors);
  const char *why = NULL;
  Means m;

  means_init (&m, _i);
  search_here (&m);
  ck_assert_msg (vptq_cuda_search (0, m.codebook, m.k, m.v, m.metric, m.weights, m.x, N_VECTORS,
                                   indices, errors, &why),
                 "%s", why);
  ck_assert_mem_eq (indices, m.indices, N_VECTORS * sizeof *indices);
  ck_assert_mem_eq (errors, m.errors, N_VECTORS * sizeof *errors);
  group (&m, order, start);
  float *expected = malloc ((size_t) m.k * m.v * sizeof *expected);
  for (uint32_t at = 0; at < m.k * m.v; at++)
    expected[at] =
        vptq_thread_mean (m.x, m.v, m.metric, m.weights, order + start[at / m.v],
                          start[at / m.v + 1] - start[at / m.v], at % m.v, m.codebook[at]);
  ck_assert_msg (vptq_cuda_update (0, m.codebook, m.k, m.v, m.metric, m.weights, m.x, N_VECTORS,
                                   order, start, &why),
                 "%s", why);
  ck_assert_mem_eq (m.codebook, expected, (size_t) m.k * m.v * sizeof *expected);
  free (expected);
  free (indices);
  free (errors);
  means_clear (&m);
}
END_TEST

START_TEST (device_decodes_and_multiplies)
{
  const char *why = NULL;
  Coded c;

  coded_init (&c, _i);
  const size_t n = c.plane.rows * c.plane.cols,
               n_out = c.plane.turned ? c.plane.cols : c.plane.rows;
  float *input = numbers (n), *plain = decode_here (&c.plane);
  float *product = multiply_here (&c.plane, input), *out = malloc (n * sizeof *out);
  uint16_t *half = malloc (n * sizeof *half);
  VptqCuda *cuda = vptq_cuda_new (0, &c.plane, &why);
  ck_assert_msg (cuda != NULL, "%s", why);
  ck_assert_msg (vptq_cuda_decode (cuda, out, half, &why), "%s", why);
  ck_assert_mem_eq (out, plain, n * sizeof *out);
  for (size_t i = 0; i < n; i++)
    ck_assert_uint_eq (half[i], afp_thread_half (plain[i]));
  ck_assert_msg (vptq_cuda_multiply (cuda, input, out, &why), "%s", why);
  ck_assert_mem_eq (out, product, n_out * sizeof *out);
  vptq_cuda_free (cuda);
  memset ((void *) c.plane.indices, 0xff, 1);
  c.plane.centroids = 1;
  cuda = vptq_cuda_new (0, &c.plane, &why);
  ck_assert (!vptq_cuda_decode (cuda, out, NULL, &why));
  ck_assert_ptr_nonnull (strstr (why, "outside of its codebook"));
  vptq_cuda_free (cuda);
  free (input);
  free (plain);
  free (product);
  free (out);
  free (half);
  coded_clear (&c);
}
END_TEST

START_TEST (device_says_no)
{
  const char *why = NULL;

  ck_assert (!vptq_cuda_find (1000, &why));
  ck_assert_ptr_nonnull (strstr (why, "no CUDA device of that number"));
  ck_assert (
      !vptq_cuda_search (0, NULL, 2, 4, VPTQ_METRIC_MATRIX, NULL, NULL, 0, NULL, NULL, &why));
  ck_assert_ptr_nonnull (strstr (why, "a metric that is a matrix"));
}
END_TEST

static TCase *
device_case (void)
{
  TCase *tcase = tcase_create ("device");
  tcase_add_loop_test (tcase, device_has_the_same_means, 0,
                       (int) (sizeof searched / sizeof *searched));
  tcase_add_loop_test (tcase, device_decodes_and_multiplies, 0, N_SHAPES);
  tcase_add_test (tcase, device_says_no);
  return tcase;
}

/* What is said where nothing can be run on a device names the cure. */
START_TEST (no_device)
{
  const VptqThreadPlane plane = { .length = 1 };
  const char *why = NULL;

  ck_assert (!vptq_cuda_find (0, &why));
  ck_assert (strstr (why, "--with-cuda") || strstr (why, "nvidia-smi") ||
             strstr (why, "compute capability 7.5"));
  ck_assert_ptr_null (vptq_cuda_new (0, &plane, &why));
  vptq_cuda_free (NULL);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("vptq-cuda");
  const char *why = NULL;
  const int there = vptq_cuda_find (0, &why);

  suite_add_tcase (suite, thread_case ());
  if (there)
    suite_add_tcase (suite, device_case ());
  else {
    TCase *tcase = tcase_create ("no device");
    tcase_add_test (tcase, no_device);
    suite_add_tcase (suite, tcase);
  }
  SRunner *runner = srunner_create (suite);
  /* A process that has used the device cannot use it after fork(). */
  if (there)
    srunner_set_fork_status (runner, CK_NOFORK);
  srunner_run_all (runner, CK_ENV);
  const int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
