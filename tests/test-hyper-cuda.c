/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hyper/hyper-cuda.h"

#include "afp-bits.h"

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

static void
fill (float *x, size_t n)
{
  for (size_t i = 0; i < n; i++)
    x[i] = (float) (next () % 20001) / 4000 - 2.5f + (next () % 97 == 0 ? 20 : 0);
}

/* --- the choice of points ------------------------------------------------------------------------------------------ */

#define VECTORS 150u
#define BITS 7u

typedef struct {
  HyperLattice lattice;
  HyperLatticeFrame frame;
  HyperLatticeCost cost;
  HyperThreadSearch search;
  HyperMetric metric;
  float x[VECTORS * 8], weights[VECTORS * 8];
  float *lengths;
  uint32_t symbols[VECTORS * 8];
} Points;

/* Which lattice, and of what: with prices, with weights. */
static void
points_init (Points *p, int i)
{
  const float params[HYPER_MAX_LATTICE_PARAMS] = { 0.125f, 0.7f,  0.05f, 0.02f, 0.01f,
                                                   0.07f,  0.03f, 0.01f, 0.04f };
  state = 11 + (uint64_t) i;
  memset (p, 0, sizeof *p);
  hyper_lattice_init (&p->lattice, (HyperLatticeKind) (i % HYPER_N_LATTICES), BITS);
  ck_assert (hyper_lattice_frame_init (&p->frame, &p->lattice, params));
  fill (p->x, VECTORS * p->lattice.dimension);
  fill (p->weights, VECTORS * 8);
  for (unsigned w = 0; w < VECTORS * 8; w++)
    p->weights[w] *= p->weights[w];
  p->lengths = malloc ((size_t) p->lattice.n_contexts * p->lattice.n_symbols * sizeof *p->lengths);
  for (size_t s = 0; s < (size_t) p->lattice.n_contexts * p->lattice.n_symbols; s++)
    p->lengths[s] = (float) (next () % 1000) / 100;
  p->cost = (HyperLatticeCost){ i < 8 ? p->lengths : NULL, 0.09, i < 4 ? 1 : 3 };
  p->metric = i < 4 ? HYPER_METRIC_NONE : HYPER_METRIC_DIAGONAL;
  hyper_thread_search_init (&p->search, &p->lattice, &p->frame, &p->cost);
  hyper_lattice_encode (&p->lattice, &p->frame, &p->cost, p->metric, p->metric ? p->weights : NULL,
                        p->x, VECTORS, p->symbols);
}

START_TEST (chooses_the_same_points)
{
  static Points p;
  uint32_t symbols[8];

  points_init (&p, _i);
  const unsigned d = p.lattice.dimension;
  for (unsigned v = 0; v < VECTORS; v++) {
    hyper_thread_encode (&p.search, p.metric ? p.weights + v * d : NULL, p.x + v * d, symbols);
    ck_assert_mem_eq (symbols, p.symbols + v * d, d * sizeof *symbols);
  }
  free (p.lengths);
}
END_TEST

/* --- planes -------------------------------------------------------------------------------------------------------- */

static const struct {
  int lattice; /* -1: grid, -2: winding */
  size_t rows, cols, stride;
} shapes[] = { { HYPER_Z, 5, 300, 300 },  { HYPER_A2, 7, 11, 12 }, { HYPER_D4, 3, 129, 132 },
               { HYPER_E8, 4, 257, 264 }, { HYPER_E8, 16, 5, 5 },  { -1, 6, 131, 132 },
               { -2, 3, 20, 20 },         { HYPER_Z, 1, 1, 1 } };
#define N_SHAPES (int) (sizeof shapes / sizeof *shapes)

typedef struct {
  HyperThreadPlane plane;
  size_t n_codes;
  float *decoded; /* all numbers, by the kernels in C */
  void *storage;
} Coded;

static void
decode_lattice (Coded *c, int i, size_t n_vectors, const uint32_t *symbols)
{
  const float params[HYPER_MAX_LATTICE_PARAMS] = { -0.25f, 0.7f,  0.05f, 0.02f, 0.01f,
                                                   0.07f,  0.03f, 0.01f, 0.04f };
  HyperLattice lattice;
  HyperLatticeFrame frame;

  hyper_lattice_init (&lattice, (HyperLatticeKind) shapes[i].lattice, BITS);
  ck_assert (hyper_lattice_frame_init (&frame, &lattice, params));
  hyper_thread_take_lattice (&c->plane, &lattice, &frame);
  ck_assert_uint_eq (hyper_lattice_decode (&lattice, &frame, symbols, n_vectors, c->decoded),
                     n_vectors);
}

static void
decode_points (Coded *c, int i, size_t n_vectors, const uint32_t *symbols)
{
  const float params[] = { 0.5f, -0.5f, 1.5f, 3 };
  const HyperTrajectory trajectory = shapes[i].lattice == -1 ? HYPER_GRID : HYPER_WINDING;
  HyperCode code;
  HyperFrame frame;

  c->storage = malloc (hyper_code_bytes (trajectory, 2, 40, false));
  hyper_code_init (&code, c->storage, trajectory, 2, 40, 2, false);
  ck_assert (hyper_frame_init (&frame, &code, params));
  hyper_thread_take_points (&c->plane, &code, &frame);
  ck_assert_uint_eq (hyper_decode (&code, &frame, symbols, n_vectors, c->decoded), n_vectors);
}

static void
coded_init (Coded *c, int i)
{
  const size_t n = (shapes[i].rows * shapes[i].stride + 7) / 8 * 8;
  const unsigned d =
      shapes[i].lattice < 0 ? 2 : hyper_lattice_dimension ((HyperLatticeKind) shapes[i].lattice);
  const size_t n_symbols = shapes[i].lattice < 0 ? n / 2 : n;
  uint32_t *symbols = malloc (n_symbols * sizeof *symbols);

  state = 5 + (uint64_t) i;
  for (size_t s = 0; s < n_symbols; s++)
    symbols[s] = next () % (shapes[i].lattice < 0 ? 120 : 1u << (BITS - 1));
  *c = (Coded){ .plane = { .rows = shapes[i].rows,
                           .cols = shapes[i].cols,
                           .stride = shapes[i].stride,
                           .bits = BITS },
                .n_codes = afp_bits_bytes (n_symbols, BITS) };
  c->decoded = malloc (n * sizeof *c->decoded);
  uint8_t *codes = calloc (c->n_codes, 1);
  afp_bits_pack (codes, 0, symbols, n_symbols, BITS);
  c->plane.codes = codes;
  if (shapes[i].lattice < 0)
    decode_points (c, i, n / d, symbols);
  else
    decode_lattice (c, i, n / d, symbols);
  free (symbols);
}

static void
coded_clear (Coded *c)
{
  free ((void *) c->plane.codes);
  free (c->decoded);
  free (c->storage);
}

static float *
decode_here (const HyperThreadPlane *plane)
{
  float *out = malloc (plane->rows * plane->cols * sizeof *out);

  for (size_t at = 0; at < plane->rows * plane->cols; at++)
    ck_assert (hyper_thread_decode (plane, at, &out[at]));
  return out;
}

static float *
multiply_here (const HyperThreadPlane *plane, const float *input)
{
  float *output = malloc (plane->rows * sizeof *output), sums[HYPER_THREADS];

  for (size_t row = 0; row < plane->rows; row++) {
    for (unsigned thread = 0; thread < HYPER_THREADS; thread++)
      ck_assert (hyper_thread_gather (plane, row, thread, input, &sums[thread]));
    output[row] = afp_thread_total (sums, HYPER_THREADS, 1);
  }
  return output;
}

START_TEST (decodes_the_same_bits)
{
  Coded c;

  coded_init (&c, _i);
  float *out = decode_here (&c.plane);
  for (size_t r = 0; r < c.plane.rows; r++)
    ck_assert_mem_eq (out + r * c.plane.cols, c.decoded + r * c.plane.stride,
                      c.plane.cols * sizeof *out);
  free (out);
  coded_clear (&c);
}
END_TEST

START_TEST (multiplies_what_it_decodes)
{
  Coded c;

  coded_init (&c, _i);
  float *input = malloc (c.plane.cols * sizeof *input);
  fill (input, c.plane.cols);
  float *output = multiply_here (&c.plane, input);
  for (size_t r = 0; r < c.plane.rows; r++) {
    double sum = 0, size = 0;
    for (size_t i = 0; i < c.plane.cols; i++) {
      const double part = (double) c.decoded[r * c.plane.stride + i] * (double) input[i];
      sum += part;
      size += fabs (part);
    }
    ck_assert_double_eq_tol ((double) output[r], sum, 1e-5 * size + 1e-30);
  }
  free (input);
  free (output);
  coded_clear (&c);
}
END_TEST

/* --- harm ---------------------------------------------------------------------------------------------------------- */

/* Symbols whose number is beyond the range, and a class that is not there: nothing is written. */
START_TEST (symbols_out_of_range)
{
  const uint8_t codes[] = { 0xff, 0xff, 0xff, 0xff };
  const float input[] = { 1, 1 };
  float x = 5, sum;
  HyperLattice lattice;
  HyperLatticeFrame frame = { .centre = 0, .step = { 1, 1 } };
  HyperThreadPlane plane = { .rows = 1, .cols = 2, .stride = 2, .bits = 8, .codes = codes };

  if (_i < HYPER_N_LATTICES) {
    hyper_lattice_init (&lattice, (HyperLatticeKind) _i, 5);
    hyper_thread_take_lattice (&plane, &lattice, &frame);
  } else {
    static const float points[] = { 0, 0 };
    plane.dimension = 2;
    plane.n_points = 1;
    plane.n_classes = _i == HYPER_N_LATTICES ? 1 : 255;
    plane.points = points;
  }
  ck_assert (!hyper_thread_decode (&plane, 0, &x));
  ck_assert (!hyper_thread_decode (&plane, 1, &x));
  ck_assert (x == 5);
  ck_assert (!hyper_thread_gather (&plane, 0, 0, input, &sum));
}
END_TEST

START_TEST (no_infinity)
{
  const uint8_t codes[] = { 0xff };
  const HyperThreadPlane plane = { .rows = 1,
                                   .cols = 1,
                                   .stride = 1,
                                   .dimension = 1,
                                   .bits = 8,
                                   .codes = codes,
                                   .n_cosets = 1,
                                   .offset = 128,
                                   .frame = { .centre = FLT_MAX, .step = { FLT_MAX, 0 } } };
  float x;

  ck_assert (hyper_thread_decode (&plane, 0, &x));
  ck_assert (x == FLT_MAX);
}
END_TEST

/* --- a device ------------------------------------------------------------------------------------------------------ */

static bool
have_device (void)
{
  const char *why = NULL;

  if (hyper_cuda_find (0, &why))
    return true;
  ck_assert_ptr_nonnull (why);
  printf ("# SKIP of the device: %s\n", why);
  return false;
}

START_TEST (without_a_device_it_says_why)
{
  static Points p;
  const char *why = NULL, *later = NULL;
  const int there = hyper_cuda_find (1 << 20, &why);

  ck_assert (!there);
  ck_assert_ptr_nonnull (why);
  ck_assert (strstr (why, "without CUDA") || strstr (why, "no CUDA device"));
  points_init (&p, 0);
  ck_assert (!hyper_cuda_encode (1 << 20, &p.search, NULL, 0, NULL, p.x, 1, p.symbols, &later));
  ck_assert_str_eq (later, why);
  ck_assert_ptr_null (hyper_cuda_new (1 << 20, &(HyperThreadPlane){ .rows = 0 }, 0, &later));
  hyper_cuda_free (NULL);
  free (p.lengths);
}
END_TEST

START_TEST (the_device_does_the_same)
{
  const char *why = NULL;
  Coded c;

  if (!have_device ())
    return;
  coded_init (&c, _i);
  const size_t n = c.plane.rows * c.plane.cols;
  HyperCuda *cuda = hyper_cuda_new (0, &c.plane, c.n_codes, &why);
  ck_assert_msg (cuda != NULL, "%s", why);
  float *input = malloc (c.plane.cols * sizeof *input), *out = malloc (n * sizeof *out);
  uint16_t *half = malloc (n * sizeof *half);
  fill (input, c.plane.cols);
  float *weights = decode_here (&c.plane), *product = multiply_here (&c.plane, input);
  ck_assert_msg (hyper_cuda_decode (cuda, out, half, &why), "%s", why);
  ck_assert_mem_eq (out, weights, n * sizeof *out);
  for (size_t at = 0; at < n; at++)
    ck_assert_uint_eq (half[at], afp_thread_half (weights[at]));
  ck_assert_msg (hyper_cuda_multiply (cuda, input, out, &why), "%s", why);
  ck_assert_mem_eq (out, product, c.plane.rows * sizeof *out);
  hyper_cuda_free (cuda);
  free (input);
  free (out);
  free (half);
  free (weights);
  free (product);
  coded_clear (&c);
}
END_TEST

START_TEST (the_device_chooses_the_same)
{
  static Points p;
  uint32_t *symbols;
  const char *why = NULL;

  if (!have_device ())
    return;
  points_init (&p, _i);
  const size_t n = VECTORS * p.lattice.dimension;
  symbols = malloc (n * sizeof *symbols);
  ck_assert_msg (hyper_cuda_encode (0, &p.search, p.search.lengths,
                                    (size_t) p.lattice.n_contexts * p.lattice.n_symbols,
                                    p.metric ? p.weights : NULL, p.x, VECTORS, symbols, &why),
                 "%s", why);
  ck_assert_mem_eq (symbols, p.symbols, n * sizeof *symbols);
  free (symbols);
  free (p.lengths);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("hyper-cuda");
  TCase *good = tcase_create ("threads"), *bad = tcase_create ("harm"),
        *device = tcase_create ("device");

  tcase_add_loop_test (good, chooses_the_same_points, 0, 3 * HYPER_N_LATTICES);
  tcase_add_loop_test (good, decodes_the_same_bits, 0, N_SHAPES);
  tcase_add_loop_test (good, multiplies_what_it_decodes, 0, N_SHAPES);
  tcase_add_loop_test (bad, symbols_out_of_range, 0, HYPER_N_LATTICES + 2);
  tcase_add_test (bad, no_infinity);
  tcase_add_test (device, without_a_device_it_says_why);
  tcase_add_loop_test (device, the_device_does_the_same, 0, N_SHAPES);
  tcase_add_loop_test (device, the_device_chooses_the_same, 0, 3 * HYPER_N_LATTICES);
  suite_add_tcase (suite, good);
  suite_add_tcase (suite, bad);
  suite_add_tcase (suite, device);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  const int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
