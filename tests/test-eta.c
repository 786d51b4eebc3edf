/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core-test.h"

#include "afp-eta.h"

#include <math.h>

/* What is foretold of runs whose times are known. */

#define MOST 300

typedef struct {
  guint n;
  guint64 size[MOST];
  double seconds[MOST];
} Sequence;

static void
add (Sequence *self, guint64 size, double seconds)
{
  self->size[self->n] = size;
  self->seconds[self->n++] = seconds;
}

/* A tensor of a codec that fits to a sample: up to so many weights the fit costs with them, then always the same. */
static double
fitted (guint64 size, double fit, double each)
{
  const double most = 81920;

  return size < 1000 ? 1e-4 : fit * MIN ((double) size, most) / most + each * (double) size;
}

/* Up to 3 % more or less, in no order. */
static double
noise (guint i)
{
  return 0.97 + 0.06 * (double) ((i * 7919u + 13) % 97) / 96;
}

typedef enum { FIRST, LAST, NONE } Where;

/* SmolLM2-135M: one large matrix, and 30 layers. */
static void
make_smollm2 (Sequence *self, Where embedding, double fit, double each)
{
  static const guint64 layer[] = {
    576, 884736, 884736, 884736, 576, 110592, 331776, 331776, 110592
  };

  self->n = 0;
  if (embedding == FIRST)
    add (self, 28311552, fitted (28311552, fit, each));
  for (guint l = 0; l < 30; l++)
    for (guint i = 0; i < G_N_ELEMENTS (layer); i++)
      add (self, layer[i], fitted (layer[i], fit, each) * noise (self->n));
  add (self, 576, 1e-4);
  if (embedding == LAST)
    add (self, 28311552, fitted (28311552, fit, each));
}

/* The largest relative error of what is foretold, after @from of the time and @skip tensors, and until all but a hundredth of the time is over. */
static double
worst_error (const Sequence *sequence, double from, guint skip)
{
  g_autoptr (AfpEta) eta = afp_eta_new ();
  double all = 0, passed = 0, worst = 0;

  for (guint i = 0; i < sequence->n; i++) {
    afp_eta_expect (eta, sequence->size[i]);
    all += sequence->seconds[i];
  }
  for (guint i = 0; i < sequence->n; i++) {
    passed += sequence->seconds[i];
    afp_eta_note (eta, sequence->size[i], sequence->seconds[i]);
    if (i >= skip && passed >= from * all && passed <= 0.99 * all)
      worst = MAX (worst, fabs (afp_eta_get_left (eta) / (all - passed) - 1));
  }
  ck_assert_double_eq (afp_eta_get_left (eta), 0);
  return worst;
}

/* --- runs --------------------------------------------------------------------------------------------------------------- */

/* Times as measured with `seedlm C=10 P=4 K=12 samples=8192 ! vptq k=256`; a cheap fit; two dear ones; weights alone. */
static const struct {
  double fit, each;
} costs[] = { { 1.1, 3.8e-6 }, { 0.1, 3.8e-6 }, { 5, 3.8e-6 }, { 9, 3.8e-6 }, { 0, 1e-6 } };

/* Where the embedding comes first, after the first layer: as long as nobody has seen others, what they take is a guess. */

START_TEST (a_language_model)
{
  Sequence sequence;

  make_smollm2 (&sequence, _i % 3, costs[_i / 3].fit, costs[_i / 3].each);
  const double worst = worst_error (&sequence, 0.05, _i % 3 == FIRST ? 9 : 0);
  ck_assert_msg (worst <= 0.2, "%.3f", worst);
}
END_TEST

/* A good one, for usual costs. */
START_TEST (a_guess)
{
  Sequence sequence;

  make_smollm2 (&sequence, FIRST, 1.1, 3.8e-6);
  ck_assert_double_le (worst_error (&sequence, 0.05, 0), 0.2);
}
END_TEST

/* By weights alone the first half of such a run was foretold worse than that. */
START_TEST (by_weights_alone_it_is_worse)
{
  Sequence sequence;
  double all = 0, weights = 0, worst = 0, passed = 0, done = 0;

  make_smollm2 (&sequence, FIRST, 1.1, 3.8e-6);
  for (guint i = 0; i < sequence.n; i++) {
    all += sequence.seconds[i];
    weights += (double) sequence.size[i];
  }
  for (guint i = 0; i < sequence.n / 2; i++) {
    passed += sequence.seconds[i];
    done += (double) sequence.size[i];
    worst = MAX (worst, fabs ((weights - done) / done * passed / (all - passed) - 1));
  }
  ck_assert_double_gt (worst, 0.2);
}
END_TEST

/* Each size once, small ones first or last: nothing but the curve. */
START_TEST (sizes_that_differ)
{
  Sequence sequence = { 0 };

  for (guint i = 0; i < 40; i++) {
    const guint64 size = 100000 + 20000 * (guint64) (_i ? 39 - i : i);
    add (&sequence, size, fitted (size, 1, 4e-6));
  }
  ck_assert_double_le (worst_error (&sequence, 0.1, 0), 0.2);
}
END_TEST

/* The first one of its size took long: tables were made. Half way the machine is twice as slow. */
START_TEST (what_is_odd_is_forgotten)
{
  Sequence sequence;

  make_smollm2 (&sequence, NONE, 1, 4e-6);
  sequence.seconds[1] += 20;
  ck_assert_double_le (worst_error (&sequence, 0.25, 0), 0.2);
  make_smollm2 (&sequence, NONE, 1, 4e-6);
  for (guint i = sequence.n / 2; i < sequence.n; i++)
    sequence.seconds[i] *= 2;
  ck_assert_double_le (worst_error (&sequence, 0.75, 0), 0.2);
}
END_TEST

static TCase *
run_case (void)
{
  TCase *tcase = tcase_create ("run");
  tcase_add_loop_test (tcase, a_language_model, 0, 3 * G_N_ELEMENTS (costs));
  tcase_add_test (tcase, a_guess);
  tcase_add_test (tcase, by_weights_alone_it_is_worse);
  tcase_add_loop_test (tcase, sizes_that_differ, 0, 2);
  tcase_add_test (tcase, what_is_odd_is_forgotten);
  return tcase;
}

/* --- odd ones ----------------------------------------------------------------------------------------------------------- */

START_TEST (nothing_is_known)
{
  g_autoptr (AfpEta) eta = afp_eta_new ();

  ck_assert_double_eq (afp_eta_get_left (eta), 0);
  afp_eta_expect (eta, 100);
  ck_assert_double_lt (afp_eta_get_left (eta), 0);
  afp_eta_free (NULL);
}
END_TEST

/* Held by an earlier run: they neither take time nor say anything. */
START_TEST (what_is_there_takes_no_time)
{
  g_autoptr (AfpEta) eta = afp_eta_new ();

  for (guint i = 0; i < 10; i++)
    afp_eta_expect (eta, 1000);
  for (guint i = 0; i < 8; i++)
    afp_eta_forget (eta, 1000);
  ck_assert_double_lt (afp_eta_get_left (eta), 0);
  afp_eta_note (eta, 1000, 3);
  ck_assert_double_eq_tol (afp_eta_get_left (eta), 3, 0.1);
  afp_eta_forget (eta, 1000);
  afp_eta_forget (eta, 1000);
  ck_assert_double_eq (afp_eta_get_left (eta), 0);
}
END_TEST

/* More than were announced, none that took time, empty tensors, clocks that go back. */
START_TEST (odd_numbers)
{
  g_autoptr (AfpEta) eta = afp_eta_new ();

  afp_eta_note (eta, 0, 0);
  afp_eta_note (eta, G_MAXUINT64, 0);
  afp_eta_expect (eta, 0);
  afp_eta_expect (eta, 5);
  ck_assert_double_eq (afp_eta_get_left (eta), 0);
  afp_eta_note (eta, 7, -4);
  ck_assert_double_eq (afp_eta_get_left (eta), 0);
  afp_eta_note (eta, 5, 2);
  ck_assert (isfinite (afp_eta_get_left (eta)));
  ck_assert_double_ge (afp_eta_get_left (eta), 0);
}
END_TEST

static TCase *
odd_case (void)
{
  TCase *tcase = tcase_create ("odd");
  tcase_add_test (tcase, nothing_is_known);
  tcase_add_test (tcase, what_is_there_takes_no_time);
  tcase_add_test (tcase, odd_numbers);
  return tcase;
}

static TCase *(*const cases[]) (void) = { run_case, odd_case };

int
main (void)
{
  return run_suite ("eta", cases, G_N_ELEMENTS (cases));
}
