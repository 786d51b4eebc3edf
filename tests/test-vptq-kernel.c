/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "simd-kernel.h"
#include "vptq/vptq-kernel.h"

#include <check.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define N_METRICS 4

static uint64_t state;

static uint32_t
next (void)
{
  state = state * UINT64_C (6364136223846793005) + UINT64_C (1442695040888963407);
  return (uint32_t) (state >> 33);
}

static float
uniform (void)
{
  return (float) (next () % 20001) / 10000 - 1;
}

/* What one search needs. */
typedef struct {
  unsigned v, k;
  size_t n;
  float *codebook, *x, *weights, *storage, *errors;
  uint32_t *indices;
  VptqTable table;
} Case;

static void
case_init (Case *c, unsigned v, unsigned k, size_t n)
{
  c->v = v;
  c->k = k;
  c->n = n;
  c->codebook = malloc ((size_t) k * v * sizeof (float));
  c->x = malloc ((n * v + 1) * sizeof (float));
  c->weights = calloc (n * v * v + 1, sizeof (float));
  c->storage = malloc (vptq_table_floats (k, v) * sizeof (float));
  c->errors = malloc ((n + 1) * sizeof (float));
  c->indices = malloc ((n + 1) * sizeof (uint32_t));
}

static void
case_clear (Case *c)
{
  free (c->codebook);
  free (c->x);
  free (c->weights);
  free (c->storage);
  free (c->errors);
  free (c->indices);
}

static void
case_search (Case *c, VptqMetric metric)
{
  vptq_table_init (&c->table, c->storage, c->codebook, c->k, c->v);
  vptq_search (&c->table, metric, c->weights, c->x, c->n, c->indices, c->errors);
}

/* The error as it is defined, in double. */
static double
plain_error (const Case *c, VptqMetric metric, size_t p, unsigned i)
{
  const float *x = c->x + p * c->v, *centroid = c->codebook + (size_t) i * c->v;
  double e = 0;

  for (unsigned a = 0; a < c->v; a++) {
    double da = (double) x[a] - centroid[a];

    switch (metric) {
    case VPTQ_METRIC_NONE:
      e += da * da;
      break;
    case VPTQ_METRIC_SCALAR:
      e += c->weights[p] * da * da;
      break;
    case VPTQ_METRIC_DIAGONAL:
      e += c->weights[p * c->v + a] * da * da;
      break;
    case VPTQ_METRIC_MATRIX:
    default:
      for (unsigned b = 0; b < c->v; b++)
        e += c->weights[(p * c->v + a) * c->v + b] * da * ((double) x[b] - centroid[b]);
    }
  }
  return e;
}

/*
 * How far the search's error may be from that. Sums in float: a few units of the last place for each term. A pivot of a matrix below 2^-22 of
 * its diagonal element is dropped with its row, whose entries are, G being semidefinite, at most 2^-11 of the diagonal.
 */
static double
rounding_bound (const Case *c, VptqMetric metric, size_t p, unsigned i)
{
  const float *x = c->x + p * c->v, *centroid = c->codebook + (size_t) i * c->v;
  double distance = 0, trace = metric == VPTQ_METRIC_SCALAR ? c->weights[p] : 1;

  for (unsigned a = 0; a < c->v; a++)
    distance += ((double) x[a] - centroid[a]) * ((double) x[a] - centroid[a]);
  if (metric == VPTQ_METRIC_DIAGONAL || metric == VPTQ_METRIC_MATRIX) {
    trace = 0;
    for (unsigned a = 0; a < c->v; a++)
      trace +=
          c->weights[metric == VPTQ_METRIC_DIAGONAL ? p * c->v + a : (p * c->v + a) * c->v + a];
  }
  return (4 * c->v * FLT_EPSILON + (metric == VPTQ_METRIC_MATRIX ? 2 * 0x1p-11 : 0)) * trace *
         distance;
}

/* G = L D L' of small whole numbers: every number of the search is exact. */
static void
whole_matrix (float *g, unsigned v)
{
  int l[VPTQ_MAX_LENGTH][VPTQ_MAX_LENGTH] = { { 0 } }, d[VPTQ_MAX_LENGTH];

  for (unsigned i = 0; i < v; i++) {
    for (unsigned j = 0; j < i; j++)
      l[i][j] = (int) (next () % 3) - 1;
    l[i][i] = 1;
    d[i] = 1 + (int) (next () % 3);
  }
  for (unsigned i = 0; i < v; i++)
    for (unsigned j = 0; j < v; j++) {
      int sum = 0;

      for (unsigned m = 0; m < v; m++)
        sum += l[i][m] * d[m] * l[j][m];
      g[i * v + j] = (float) sum;
    }
}

/* A random positive semidefinite matrix of some rank. */
static void
random_matrix (float *g, unsigned v, unsigned rank)
{
  float u[VPTQ_MAX_LENGTH][VPTQ_MAX_LENGTH];

  for (unsigned r = 0; r < rank; r++)
    for (unsigned i = 0; i < v; i++)
      u[r][i] = uniform ();
  for (unsigned i = 0; i < v; i++)
    for (unsigned j = 0; j < v; j++) {
      g[i * v + j] = 0;
      for (unsigned r = 0; r < rank; r++)
        g[i * v + j] += u[r][i] * u[r][j];
    }
}

static void
fill_weights (Case *c, VptqMetric metric, bool whole)
{
  size_t stride = vptq_metric_stride (metric, c->v);

  for (size_t p = 0; p < c->n; p++) {
    float *w = c->weights + p * stride;

    if (metric == VPTQ_METRIC_MATRIX && whole)
      whole_matrix (w, c->v);
    else if (metric == VPTQ_METRIC_MATRIX)
      random_matrix (w, c->v, 1 + (unsigned) (p % (c->v + 2)));
    else
      for (size_t i = 0; i < stride; i++)
        w[i] = whole ? (float) (next () % 4) : fabsf (uniform ());
  }
}

static void
fill_numbers (float *x, size_t n, bool whole)
{
  for (size_t i = 0; i < n; i++)
    x[i] = whole ? (float) ((int) (next () % 9) - 4) : uniform ();
}

static const unsigned lengths[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 64 };
static const unsigned sizes[] = { 2, 3, 15, 16, 17, 100, 256 };
static const size_t counts[] = { 1, 2, 3, 4, 5, 8, 33 };

#define LENGTH(a) (sizeof (a) / sizeof (a)[0])

START_TEST (test_whole_numbers)
{
  /* no rounding: the same as trying all, the lowest of equal ones included */
  for (unsigned m = 0; m < N_METRICS; m++)
    for (unsigned a = 0; a < LENGTH (lengths); a++)
      for (unsigned b = 0; b < LENGTH (sizes); b++) {
        Case c;

        case_init (&c, lengths[a], sizes[b], counts[(a + b) % LENGTH (counts)]);
        fill_numbers (c.codebook, (size_t) c.k * c.v, true);
        fill_numbers (c.x, c.n * c.v, true);
        fill_weights (&c, m, true);
        case_search (&c, m);
        for (size_t p = 0; p < c.n; p++) {
          unsigned best = 0;
          /* a vector without weight is as near to all: the search does not look at a scalar */
          VptqMetric by = m == VPTQ_METRIC_SCALAR ? VPTQ_METRIC_NONE : m;

          for (unsigned i = 1; i < c.k; i++)
            if (plain_error (&c, by, p, i) < plain_error (&c, by, p, best))
              best = i;
          ck_assert_uint_eq (c.indices[p], best);
          ck_assert (c.errors[p] == (float) plain_error (&c, m, p, best));
        }
        case_clear (&c);
      }
}
END_TEST

START_TEST (test_real_numbers)
{
  for (unsigned m = 0; m < N_METRICS; m++)
    for (unsigned a = 0; a < LENGTH (lengths); a++) {
      Case c;

      case_init (&c, lengths[a], 100, 40);
      fill_numbers (c.codebook, (size_t) c.k * c.v, false);
      fill_numbers (c.x, c.n * c.v, false);
      fill_weights (&c, m, false);
      case_search (&c, m);
      for (size_t p = 0; p < c.n; p++) {
        double best = INFINITY, found = plain_error (&c, m, p, c.indices[p]);

        for (unsigned i = 0; i < c.k; i++)
          best = fmin (best, plain_error (&c, m, p, i));
        const double bound = rounding_bound (&c, m, p, c.indices[p]);
        ck_assert_double_le (found, best + 2 * bound);
        ck_assert_double_le (fabs (c.errors[p] - found), bound);
      }
      case_clear (&c);
    }
}
END_TEST

START_TEST (test_any_instructions_give_the_same)
{
  for (unsigned m = 0; m < N_METRICS; m++)
    for (unsigned a = 0; a < LENGTH (lengths); a++)
      for (unsigned b = 0; b < LENGTH (counts); b++) {
        uint32_t indices[64];
        float errors[64];
        Case c;

        case_init (&c, lengths[a], sizes[b], counts[b]);
        fill_numbers (c.codebook, (size_t) c.k * c.v, false);
        fill_numbers (c.x, c.n * c.v, false);
        fill_weights (&c, m, false);
        case_search (&c, m);
        vptq_search_portable (&c.table, m, c.weights, c.x, c.n, indices, errors);
        ck_assert_mem_eq (indices, c.indices, c.n * sizeof *indices);
        ck_assert_mem_eq (errors, c.errors, c.n * sizeof *errors);
        for (SimdKind kind = SIMD_PORTABLE; kind < SIMD_N_KINDS; kind++) {
          simd_limit (kind);
          memset (errors, 0, sizeof errors);
          vptq_search (&c.table, m, c.weights, c.x, c.n, indices, errors);
          ck_assert_mem_eq (indices, c.indices, c.n * sizeof *indices);
          ck_assert_mem_eq (errors, c.errors, c.n * sizeof *errors);
          vptq_search (&c.table, m, c.weights, c.x, c.n, indices, NULL);
          ck_assert_mem_eq (indices, c.indices, c.n * sizeof *indices);
        }
        vptq_search_portable (&c.table, m, c.weights, c.x, c.n, indices, NULL);
        ck_assert_mem_eq (indices, c.indices, c.n * sizeof *indices);
        case_clear (&c);
      }
}
END_TEST

START_TEST (test_far_from_zero)
{
  /* no differences of large squares: exact where |c|^2 - 2xc would see noise */
  Case c;

  case_init (&c, 4, 200, 50);
  fill_numbers (c.codebook, (size_t) c.k * c.v, false);
  fill_numbers (c.x, c.n * c.v, false);
  for (size_t i = 0; i < (size_t) c.k * c.v; i++)
    c.codebook[i] = 1000 + c.codebook[i] / 100;
  for (size_t i = 0; i < c.n * c.v; i++)
    c.x[i] = 1000 + c.x[i] / 100;
  case_search (&c, VPTQ_METRIC_NONE);
  for (size_t p = 0; p < c.n; p++)
    for (unsigned i = 0; i < c.k; i++)
      ck_assert_double_le (plain_error (&c, 0, p, c.indices[p]),
                           plain_error (&c, 0, p, i) * 1.00001);
  case_clear (&c);
}
END_TEST

START_TEST (test_index_bits)
{
  static const unsigned expected[][2] = { { 1, 1 },   { 2, 1 },     { 3, 2 },      { 4, 2 },
                                          { 5, 3 },   { 255, 8 },   { 256, 8 },    { 257, 9 },
                                          { 300, 9 }, { 4096, 12 }, { 65535, 16 }, { 65536, 16 } };

  for (unsigned i = 0; i < LENGTH (expected); i++)
    ck_assert_uint_eq (vptq_index_bits (expected[i][0]), expected[i][1]);
}
END_TEST

START_TEST (test_metric_stride)
{
  ck_assert_uint_eq (vptq_metric_stride (VPTQ_METRIC_NONE, 5), 0);
  ck_assert_uint_eq (vptq_metric_stride (VPTQ_METRIC_SCALAR, 5), 1);
  ck_assert_uint_eq (vptq_metric_stride (VPTQ_METRIC_DIAGONAL, 5), 5);
  ck_assert_uint_eq (vptq_metric_stride (VPTQ_METRIC_MATRIX, 5), 25);
}
END_TEST

START_TEST (test_lookup)
{
  const float codebook[] = { 1, 2, 3, 4, 5, 6 };
  const uint32_t indices[] = { 2, 0, 1 };
  const float expected[] = { 10, 12, 2, 4, 6, 8 };
  float out[6];

  ck_assert_uint_eq (vptq_lookup (codebook, 3, 2, 2, indices, 3, out), 3);
  ck_assert_mem_eq (out, expected, sizeof out);
}
END_TEST

START_TEST (test_search_unaligned_storage)
{
  Case c;

  case_init (&c, 3, 33, 10);
  fill_numbers (c.codebook, (size_t) c.k * c.v, false);
  fill_numbers (c.x, c.n * c.v, false);
  case_search (&c, VPTQ_METRIC_NONE);
  for (size_t shift = 1; shift < 16; shift++) {
    float *storage = malloc ((vptq_table_floats (c.k, c.v) + shift) * sizeof (float));
    uint32_t indices[10];
    VptqTable table;

    vptq_table_init (&table, storage + shift, c.codebook, c.k, c.v);
    vptq_search (&table, VPTQ_METRIC_NONE, NULL, c.x, c.n, indices, NULL);
    ck_assert_mem_eq (indices, c.indices, sizeof indices);
    free (storage);
  }
  case_clear (&c);
}
END_TEST

/* --- what must not be trusted, and what has no answer --- */

START_TEST (test_lookup_bad_first)
{
  const float codebook[] = { 1, 2, 3 };
  const uint32_t indices[] = { 3, 0 };
  float out[2] = { 7, 7 };

  ck_assert_uint_eq (vptq_lookup (codebook, 3, 1, 1, indices, 2, out), 0);
  ck_assert (out[0] == 7 && out[1] == 7);
}
END_TEST

START_TEST (test_lookup_bad_last)
{
  const float codebook[] = { 1, 2, 3 };
  const uint32_t indices[] = { 2, 1, UINT32_MAX };
  float out[3] = { 7, 7, 7 };

  ck_assert_uint_eq (vptq_lookup (codebook, 3, 1, 1, indices, 3, out), 2);
  ck_assert (out[1] == 2 && out[2] == 7);
}
END_TEST

START_TEST (test_lookup_nothing)
{
  ck_assert_uint_eq (vptq_lookup (NULL, 0, 4, 1, NULL, 0, NULL), 0);
}
END_TEST

START_TEST (test_search_nothing)
{
  Case c;

  case_init (&c, 4, 16, 0);
  fill_numbers (c.codebook, (size_t) c.k * c.v, false);
  c.indices[0] = 99;
  for (unsigned m = 0; m < N_METRICS; m++)
    case_search (&c, m);
  ck_assert_uint_eq (c.indices[0], 99);
  case_clear (&c);
}
END_TEST

/* Numbers without a nearest centroid still get an index of the codebook. */
static void
check_hopeless (float value)
{
  for (unsigned m = 0; m < N_METRICS; m++)
    for (unsigned v = 1; v <= 9; v++) {
      uint32_t indices[5];
      Case c;

      case_init (&c, v, 17, 5);
      fill_numbers (c.codebook, (size_t) c.k * c.v, false);
      for (size_t i = 0; i < c.n * c.v; i++)
        c.x[i] = value;
      fill_weights (&c, m, false);
      case_search (&c, m);
      vptq_search_portable (&c.table, m, c.weights, c.x, c.n, indices, NULL);
      for (size_t p = 0; p < c.n; p++) {
        ck_assert_uint_lt (c.indices[p], c.k);
        ck_assert_uint_eq (c.indices[p], indices[p]);
      }
      case_clear (&c);
    }
}

START_TEST (test_search_nan)
{
  check_hopeless (NAN);
}
END_TEST

START_TEST (test_search_infinite)
{
  check_hopeless (INFINITY);
  check_hopeless (-INFINITY);
}
END_TEST

START_TEST (test_search_overflow)
{
  check_hopeless (1e30f);
  check_hopeless (-3e38f);
}
END_TEST

/* Weights that make all centroids equal: the lowest. */
static void
check_without_weight (VptqMetric metric)
{
  for (unsigned v = 1; v <= 9; v++) {
    Case c;

    case_init (&c, v, 20, 6);
    fill_numbers (c.codebook, (size_t) c.k * c.v, false);
    fill_numbers (c.x, c.n * c.v, false);
    case_search (&c, metric);
    for (size_t p = 0; p < c.n; p++) {
      ck_assert_uint_eq (c.indices[p], 0);
      ck_assert (c.errors[p] == 0);
    }
    case_clear (&c);
  }
}

START_TEST (test_search_zero_diagonal)
{
  check_without_weight (VPTQ_METRIC_DIAGONAL);
}
END_TEST

START_TEST (test_search_zero_matrix)
{
  check_without_weight (VPTQ_METRIC_MATRIX);
}
END_TEST

START_TEST (test_search_indefinite_matrix)
{
  /* no metric, but no way out of the codebook either; what is negative counts nothing */
  const float g[] = { -1, 5, 5, -2 };
  Case c;

  case_init (&c, 2, 20, 1);
  fill_numbers (c.codebook, (size_t) c.k * c.v, false);
  fill_numbers (c.x, c.n * c.v, false);
  memcpy (c.weights, g, sizeof g);
  case_search (&c, VPTQ_METRIC_MATRIX);
  ck_assert_uint_eq (c.indices[0], 0);
  ck_assert (c.errors[0] == 0);
  case_clear (&c);
}
END_TEST

START_TEST (test_search_nearly_singular)
{
  /* G = u u' in floats: what rounding left of the other directions must not decide */
  Case c;

  case_init (&c, 4, 256, 64);
  fill_numbers (c.codebook, (size_t) c.k * c.v, false);
  fill_numbers (c.x, c.n * c.v, false);
  for (size_t p = 0; p < c.n; p++)
    random_matrix (c.weights + p * 16, 4, 1);
  case_search (&c, VPTQ_METRIC_MATRIX);
  for (size_t p = 0; p < c.n; p++)
    for (unsigned i = 0; i < c.k; i++)
      ck_assert_double_le (plain_error (&c, VPTQ_METRIC_MATRIX, p, c.indices[p]),
                           plain_error (&c, VPTQ_METRIC_MATRIX, p, i) + 2e-5);
  case_clear (&c);
}
END_TEST

START_TEST (test_search_equal_centroids)
{
  for (unsigned m = 0; m < N_METRICS; m++) {
    Case c;

    case_init (&c, 4, 40, 9);
    fill_numbers (c.x, c.n * c.v, false);
    fill_weights (&c, m, false);
    for (size_t i = 0; i < (size_t) c.k * c.v; i++)
      c.codebook[i] = i < 4 * 7 ? 50 : 0.25f; /* 0 .. 6 are far, 7 .. 39 the same */
    case_search (&c, m);
    for (size_t p = 0; p < c.n; p++)
      if (m != VPTQ_METRIC_MATRIX || p % 6 > 2) /* of full rank */
        ck_assert_uint_eq (c.indices[p], 7);
    case_clear (&c);
  }
}
END_TEST

static Suite *
make_suite (void)
{
  Suite *suite = suite_create ("vptq-kernel");
  TCase *good = tcase_create ("search"), *bad = tcase_create ("negative");

  tcase_add_test (good, test_whole_numbers);
  tcase_add_test (good, test_real_numbers);
  tcase_add_test (good, test_any_instructions_give_the_same);
  tcase_add_test (good, test_far_from_zero);
  tcase_add_test (good, test_index_bits);
  tcase_add_test (good, test_metric_stride);
  tcase_add_test (good, test_lookup);
  tcase_add_test (good, test_search_unaligned_storage);
  suite_add_tcase (suite, good);
  tcase_add_test (bad, test_lookup_bad_first);
  tcase_add_test (bad, test_lookup_bad_last);
  tcase_add_test (bad, test_lookup_nothing);
  tcase_add_test (bad, test_search_nothing);
  tcase_add_test (bad, test_search_nan);
  tcase_add_test (bad, test_search_infinite);
  tcase_add_test (bad, test_search_overflow);
  tcase_add_test (bad, test_search_zero_diagonal);
  tcase_add_test (bad, test_search_zero_matrix);
  tcase_add_test (bad, test_search_indefinite_matrix);
  tcase_add_test (bad, test_search_nearly_singular);
  tcase_add_test (bad, test_search_equal_centroids);
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
