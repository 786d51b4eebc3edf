/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hyper/hyper-lattice-kernel.h"
#include "hyper/hyper-rate-kernel.h"
#include "simd-kernel.h"

#include <check.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SYMBOL_BITS 8u
#define N_PARAMS HYPER_MAX_LATTICE_PARAMS

static uint64_t state;

static float
draw (void)
{
  float sum = 0;

  for (unsigned i = 0; i < 12; i++) {
    state = state * UINT64_C (6364136223846793005) + 1442695040888963407;
    sum += (float) (state >> 40) * 0x1p-24f;
  }
  return sum - 6;
}

static const float plain_params[N_PARAMS] = { 0, 1 };

static HyperLatticeFrame
make_frame (const HyperLattice *l, const float *params)
{
  HyperLatticeFrame frame;

  ck_assert (hyper_lattice_frame_init (&frame, l, params));
  return frame;
}

/* The context of each symbol of a vector, by the machine. */
static void
walk (const HyperLattice *l, const uint32_t *symbols, unsigned *contexts)
{
  static uint16_t next[HYPER_MAX_LATTICE_STATES << 2];
  static uint8_t context[HYPER_MAX_LATTICE_STATES];
  static HyperLatticeKind made = HYPER_N_LATTICES;
  unsigned at = 0;

  if (made != l->kind)
    hyper_lattice_machine (l->kind, next, context);
  made = l->kind;
  for (unsigned i = 0; i < l->dimension; i++) {
    contexts[i] = context[at];
    ck_assert_uint_lt (contexts[i], l->n_contexts);
    at = next[at << 2 | (symbols[i] & 3)];
  }
  ck_assert_uint_eq (at, 0);
}

/* error + lambda * bits of a vector's symbols, or infinity where they are no point. */
static double
cost_of (const HyperLattice *l, const HyperLatticeFrame *f, const float *lengths, double lambda,
         const float *w, const float *x, const uint32_t *symbols)
{
  float out[8];
  unsigned contexts[8], odd = 0;
  double cost = 0;

  ck_assert_uint_eq (hyper_lattice_decode (l, f, symbols, 1, out), 1);
  walk (l, symbols, contexts);
  for (unsigned i = 0; i < l->dimension; i++) {
    odd ^= (i ? symbols[i] : symbols[i] / l->n_cosets) & 1;
    cost += w[i] * ((double) x[i] - out[i]) * ((double) x[i] - out[i]);
    if (lengths)
      cost += lambda * lengths[contexts[i] * l->n_symbols + symbols[i]];
  }
  return l->even && odd ? INFINITY : cost;
}

/* The least cost of all points whose whole numbers are within @reach of the target's. */
static double
least_cost (const HyperLattice *l, const HyperLatticeFrame *f, const float *lengths, double lambda,
            const float *w, const float *x, int reach)
{
  const unsigned each = 2 * (unsigned) reach + 1;
  uint32_t n = 1, symbols[8];
  double least = INFINITY;

  for (unsigned i = 0; i < l->dimension; i++)
    n *= each;
  for (unsigned c = 0; c < l->n_cosets; c++)
    for (uint32_t k = 0; k < n; k++) {
      for (unsigned i = 0, rest = k; i < l->dimension; i++, rest /= each) {
        const double u = x[i] / hyper_lattice_scale (l, i) - 0.5 * c;
        const int32_t q = (int32_t) floor (u + 0.5) + (int32_t) (rest % each) - reach;
        symbols[i] = (uint32_t) (q + l->offset);
      }
      symbols[0] = symbols[0] * l->n_cosets + c;
      least = fmin (least, cost_of (l, f, lengths, lambda, w, x, symbols));
    }
  return least;
}

/* Code lengths that grow with the distance from 0, and differ from context to context. */
static float *
make_lengths (const HyperLattice *l)
{
  float *lengths = malloc (sizeof (float) * l->n_contexts * l->n_symbols);

  for (unsigned c = 0; c < l->n_contexts; c++)
    for (unsigned s = 0; s < l->n_symbols; s++)
      lengths[c * l->n_symbols + s] =
          1 + 0.2f * (float) c +
          fabsf ((float) (c ? s : s / l->n_cosets) - (float) l->offset) * (1 + 0.1f * (float) c);
  return lengths;
}

/* Against trying all points: without lengths, with them, and with a weight for each coordinate. */
START_TEST (search_is_exact)
{
  const unsigned kind = (unsigned) _i % HYPER_N_LATTICES, what = (unsigned) _i / HYPER_N_LATTICES;
  const float one[8] = { 1, 1, 1, 1, 1, 1, 1, 1 };
  HyperLattice l;

  hyper_lattice_init (&l, (HyperLatticeKind) kind, SYMBOL_BITS);
  const HyperLatticeFrame f = make_frame (&l, plain_params);
  float *lengths = make_lengths (&l);
  const HyperLatticeCost cost = { what ? lengths : NULL, 0.1, 2 };
  state = (uint64_t) _i;
  for (unsigned v = 0; v < (kind == HYPER_E8 ? 1 : 10); v++) {
    float x[8], w[8], weights[8];
    uint32_t symbols[8];
    for (unsigned i = 0; i < l.dimension; i++) {
      x[i] = 2 * draw ();
      w[i] = what == 2 ? 0.5f + fabsf (draw ()) : 1;
      weights[i] = 2 * w[i];
    }
    hyper_lattice_encode (&l, &f, &cost, what == 2 ? HYPER_METRIC_DIAGONAL : HYPER_METRIC_NONE,
                          weights, x, 1, symbols);
    const double got = cost_of (&l, &f, cost.lengths, 0.1, what == 2 ? w : one, x, symbols);
    const double least =
        least_cost (&l, &f, cost.lengths, 0.1, what == 2 ? w : one, x, kind == HYPER_E8 ? 1 : 2);
    ck_assert_double_le (got, least + 1e-5);
  }
  free (lengths);
}
END_TEST

/* SPEC.md's examples: step 1, centre 10, shifts 0.125 (0.25 for the second coset). */
START_TEST (decodes_by_hand)
{
  static const float params[HYPER_N_LATTICES][N_PARAMS] = {
    { 10, 1, 0.125f, 0.125f, 0.125f },
    { 10, 1, 0.125f, 0.125f, 0.125f, 0.25f, 0.25f, 0.25f },
    { 10, 2, 0, 0, 0.5f },
    { 10, 1, 0.125f, 0.125f, 0.125f, 0.25f, 0.25f, 0.25f },
  };
  static const uint32_t symbols[HYPER_N_LATTICES][8] = {
    { 128 + 2 },
    { 2 * (64 - 1) + 1, 64 },
    { 128, 128 + 1, 128 - 3, 128 },
    { 2 * 64 + 1, 64 - 1, 64, 64, 64, 64, 64, 65 },
  };
  static const float values[HYPER_N_LATTICES][8] = {
    { 11.875f },
    { 9.75f, 10.866025f },
    { 10, 12, 4.5f, 10 },
    { 10.25f, 9.75f, 10.25f, 10.25f, 10.25f, 10.25f, 10.25f, 11.25f },
  };
  HyperLattice l;
  float out[8];

  hyper_lattice_init (&l, (HyperLatticeKind) _i, SYMBOL_BITS);
  const HyperLatticeFrame f = make_frame (&l, params[_i]);
  ck_assert_uint_eq (hyper_lattice_decode (&l, &f, symbols[_i], 1, out), 1);
  for (unsigned i = 0; i < l.dimension; i++)
    ck_assert_float_eq_tol (out[i], values[_i][i], 1e-6f);
}
END_TEST

START_TEST (same_bytes_for_all_instructions)
{
  enum { N = 37 };
  const HyperMetric metric = (HyperMetric) (_i / HYPER_N_LATTICES);
  HyperLattice l;
  float x[N * 8], w[N * 64], first[N * 8], out[N * 8], params[N_PARAMS] = { 0.1f, 0.7f };
  uint32_t chosen[N * 8], symbols[N * 8];

  hyper_lattice_init (&l, (HyperLatticeKind) (_i % HYPER_N_LATTICES), SYMBOL_BITS);
  for (unsigned i = 2; i < l.n_params; i++)
    params[i] = 0.02f * (float) i;
  const HyperLatticeFrame f = make_frame (&l, params);
  float *lengths = make_lengths (&l);
  const HyperLatticeCost cost = { lengths, 0.12, 1 };
  state = 5;
  for (unsigned i = 0; i < N * 8; i++)
    x[i] = (i % 50 == 7 ? 100 : 1.5f) * draw ();
  for (unsigned i = 0; i < N * 64; i++)
    w[i] = fabsf (draw ());
  for (int kind = SIMD_PORTABLE; kind < SIMD_N_KINDS; kind++) {
    simd_limit ((SimdKind) kind);
    hyper_lattice_encode (&l, &f, &cost, metric, w, x, N, kind ? symbols : chosen);
    hyper_lattice_decode (&l, &f, chosen, N, kind ? out : first);
    if (kind) {
      ck_assert_mem_eq (symbols, chosen, N * l.dimension * sizeof *symbols);
      ck_assert_mem_eq (out, first, N * l.dimension * sizeof *out);
    }
  }
  free (lengths);
}
END_TEST

/* --- the step by the rate --- */

typedef struct {
  HyperLattice lattice;
  HyperLatticeTally tally;
  float params[N_PARAMS];
  const float *x;
  size_t n;
  uint32_t *symbols;
} Coder;

static double
code (void *user_data, double step, double lambda, const float *lengths, uint32_t *counts)
{
  Coder *c = user_data;
  const HyperLatticeCost cost = { lengths, lambda, 1 };

  hyper_lattice_set_params (&c->lattice, step, &c->tally, c->params);
  const HyperLatticeFrame f = make_frame (&c->lattice, c->params);
  hyper_lattice_encode (&c->lattice, &f, &cost, HYPER_METRIC_NONE, NULL, c->x, c->n, c->symbols);
  c->tally = (HyperLatticeTally){ .counts = counts };
  hyper_lattice_tally (&c->lattice, &f, HYPER_METRIC_NONE, NULL, c->x, c->n, c->symbols, &c->tally);
  return c->tally.error;
}

#define N_NUMBERS 8192u

static HyperRate
search (Coder *coder, HyperLatticeKind kind, const float *x, double bits)
{
  *coder = (Coder){ .x = x, .symbols = malloc (N_NUMBERS * sizeof (uint32_t)) };
  hyper_lattice_init (&coder->lattice, kind, SYMBOL_BITS + 2);
  coder->n = N_NUMBERS / coder->lattice.dimension;
  const size_t cells = coder->lattice.n_contexts * coder->lattice.n_symbols;
  HyperRate rate = { .code = code,
                     .coder = coder,
                     .n_contexts = coder->lattice.n_contexts,
                     .n_symbols = coder->lattice.n_symbols,
                     .n_weights = N_NUMBERS,
                     .bits = bits,
                     .lambda = 0.09,
                     .least_step = 0.01,
                     .step = 3,
                     .lengths = malloc (cells * sizeof (float)),
                     .counts = malloc (cells * sizeof (uint32_t)) };
  hyper_rate_search (&rate, false);
  free (coder->symbols);
  free (rate.lengths);
  free (rate.counts);
  return rate;
}

/* What theory and simulation say of normal numbers, with 3 % for the small sample. */
START_TEST (normal_numbers)
{
  static const struct {
    HyperLatticeKind kind;
    double bits, error;
  } cases[] = { { HYPER_Z, 2, 0.0889 },  { HYPER_Z, 0.5, 0.618 }, { HYPER_A2, 2, 0.0857 },
                { HYPER_D4, 2, 0.0819 }, { HYPER_E8, 2, 0.0768 }, { HYPER_E8, 1, 0.306 } };
  float *x = malloc (N_NUMBERS * sizeof *x);
  double energy = 0;
  Coder coder;

  state = 7;
  for (unsigned i = 0; i < N_NUMBERS; i++) {
    x[i] = draw ();
    energy += (double) x[i] * x[i];
  }
  const HyperRate rate = search (&coder, cases[_i].kind, x, cases[_i].bits);
  ck_assert_double_eq_tol (rate.rate, cases[_i].bits, 0.01);
  ck_assert_double_le (rate.error / energy, cases[_i].error * 1.03);
  ck_assert_double_ge (rate.error / energy, cases[_i].error * 0.96);
  ck_assert_uint_lt (rate.n_codings, 40);
  free (x);
}
END_TEST

START_TEST (lengths_are_ideal)
{
  const uint32_t counts[8] = { 4, 2, 1, 1, 0, 0, 0, 0 };
  float lengths[8];

  ck_assert_double_eq_tol (hyper_rate_lengths (counts, 2, 4, lengths), 14 + 8 * log2 (9.0 / 8),
                           1e-5);
  ck_assert_float_eq_tol (lengths[0], 1 + (float) log2 (9.0 / 8), 1e-6f);
  for (unsigned i = 4; i < 8; i++) /* a context that never came */
    ck_assert (isfinite (lengths[i]) && lengths[i] >= 0);
}
END_TEST

/* --- harm --- */

START_TEST (few_values_have_a_least_step)
{
  float *x = malloc (N_NUMBERS * sizeof *x);
  Coder coder;

  for (unsigned i = 0; i < N_NUMBERS; i++)
    x[i] = (float) (i % 3) - 1;
  const HyperRate rate = search (&coder, HYPER_Z, x, 4);
  ck_assert_double_eq_tol (rate.step, 0.01, 1e-9);
  ck_assert_double_lt (rate.error / N_NUMBERS, 1e-3);
  ck_assert_double_eq_tol (rate.rate, log2 (3), 0.01);
  free (x);
}
END_TEST

START_TEST (bad_symbol_is_found)
{
  HyperLattice l;
  float out[5 * 8];
  uint32_t symbols[5 * 8];

  hyper_lattice_init (&l, (HyperLatticeKind) (_i % HYPER_N_LATTICES), SYMBOL_BITS);
  const HyperLatticeFrame f = make_frame (&l, plain_params);
  for (unsigned i = 0; i < 5 * l.dimension; i++)
    symbols[i] = i % l.dimension ? 2 * (uint32_t) l.offset - 1 : l.n_symbols - 1;
  ck_assert_uint_eq (hyper_lattice_decode (&l, &f, symbols, 5, out), 5);
  symbols[4 * l.dimension - 1]++; /* the last coordinate of vector 3 */
  ck_assert_uint_eq (hyper_lattice_decode (&l, &f, symbols, 5, out), 3);
  symbols[2 * l.dimension] = UINT32_MAX;
  ck_assert_uint_eq (hyper_lattice_decode (&l, &f, symbols, 5, out), 2);
}
END_TEST

START_TEST (bad_frames)
{
  static const float bad[] = { NAN, INFINITY, -INFINITY };
  HyperLattice l;
  HyperLatticeFrame f;

  hyper_lattice_init (&l, (HyperLatticeKind) (_i % HYPER_N_LATTICES), SYMBOL_BITS);
  for (unsigned i = 0; i < l.n_params; i++)
    for (unsigned k = 0; k < 3; k++) {
      float params[N_PARAMS] = { 0, 1 };
      params[i] = bad[k];
      ck_assert (!hyper_lattice_frame_init (&f, &l, params));
    }
}
END_TEST

/* Steps of 0 and next to 0, the largest numbers, and weights that say nothing: symbols in range, finite values. */
START_TEST (extremes)
{
  static const float steps[] = { 0, FLT_TRUE_MIN, 1, FLT_MAX };
  static const float values[] = { 0, FLT_TRUE_MIN, -1, FLT_MAX, -FLT_MAX };
  const float no_weights[3 * 8] = { 0 };
  HyperLattice l;

  hyper_lattice_init (&l, (HyperLatticeKind) (_i % HYPER_N_LATTICES), SYMBOL_BITS);
  float *lengths = make_lengths (&l);
  for (unsigned s = 0; s < 4; s++)
    for (unsigned v = 0; v < 5; v++) {
      const float params[N_PARAMS] = { -1, steps[s] };
      const HyperLatticeFrame f = make_frame (&l, params);
      const HyperLatticeCost cost = { lengths, 0.09, v % 2 };
      float x[3 * 8], out[3 * 8];
      uint32_t symbols[3 * 8];
      for (unsigned i = 0; i < 3 * 8; i++)
        x[i] = values[v];
      hyper_lattice_encode (&l, &f, &cost, v % 2 ? HYPER_METRIC_DIAGONAL : HYPER_METRIC_NONE,
                            no_weights, x, 3, symbols);
      ck_assert_uint_eq (hyper_lattice_decode (&l, &f, symbols, 3, out), 3);
      for (unsigned i = 0; i < 3 * l.dimension; i++)
        ck_assert (isfinite (out[i]) && symbols[i] < l.n_symbols);
    }
  hyper_lattice_encode (&l, &(HyperLatticeFrame){ 0 }, &(HyperLatticeCost){ 0 }, HYPER_METRIC_NONE,
                        NULL, NULL, 0, NULL);
  ck_assert_uint_eq (hyper_lattice_decode (&l, &(HyperLatticeFrame){ 0 }, NULL, 0, NULL), 0);
  free (lengths);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("hyper-lattice-kernel");
  TCase *right = tcase_create ("right"), *harm = tcase_create ("harm");

  tcase_add_loop_test (right, search_is_exact, 0, 3 * HYPER_N_LATTICES);
  tcase_add_loop_test (right, decodes_by_hand, 0, HYPER_N_LATTICES);
  tcase_add_loop_test (right, same_bytes_for_all_instructions, 0, 4 * HYPER_N_LATTICES);
  tcase_add_loop_test (right, normal_numbers, 0, 4);
  tcase_add_test (right, lengths_are_ideal);
  tcase_add_test (harm, few_values_have_a_least_step);
  tcase_add_loop_test (harm, bad_symbol_is_found, 0, HYPER_N_LATTICES);
  tcase_add_loop_test (harm, bad_frames, 0, HYPER_N_LATTICES);
  tcase_add_loop_test (harm, extremes, 0, HYPER_N_LATTICES);
  suite_add_tcase (suite, right);
  suite_add_tcase (suite, harm);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  const int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
