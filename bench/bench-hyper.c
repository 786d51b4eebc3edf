/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * bench-hyper: lattices of hyper, and its trellis of 256 states, on normal and Laplace numbers: bits per weight that a coder with static
 * tables for the declared contexts would take, error, and speed of one thread (encoding without and with the search for the step; decoding
 * beside memcpy).
 *
 *   make bench          or   bench/bench-hyper [NUMBERS]
 */
#include "bench.h"

#include "flow/synth-kernel.h"
#include "hyper/hyper-lattice-kernel.h"
#include "hyper/hyper-rate-kernel.h"
#include "hyper/hyper-trellis-kernel.h"

#include <string.h>

#define SAMPLE 131072u
#define LAMBDA 0.09
#define SEGMENT 2048u

typedef struct {
  HyperLattice lattice;
  HyperLatticeFrame frame;
  HyperLatticeTally tally;
  float params[HYPER_MAX_LATTICE_PARAMS];
  const float *x;
  gsize n; /* vectors */
  guint32 *symbols;
} Coder;

typedef struct {
  double start, fitted, encoded, tallied, decoded, copied;
} Times;

static void
report (const char *name, const char *trajectory, double bits, double rate, double nmse, gsize n,
        const Times *t)
{
  const double million = (double) n / 1e6;

  g_print ("%-8s %-7s %4.1f  %7.4f  %8.5f  %6.1f  %6.1f  %6.0f  %6.0f\n", name, trajectory, bits,
           rate, nmse, million / (t->encoded - t->fitted), million / (t->encoded - t->start),
           million / (t->decoded - t->tallied), million / (t->copied - t->decoded));
}

static double
code (void *user_data, double step, double lambda, const float *lengths, uint32_t *counts)
{
  Coder *c = user_data;
  const HyperLatticeCost cost = { lengths, lambda, 1 };

  hyper_lattice_set_params (&c->lattice, step, &c->tally, c->params);
  hyper_lattice_frame_init (&c->frame, &c->lattice, c->params);
  hyper_lattice_encode (&c->lattice, &c->frame, &cost, HYPER_METRIC_NONE, NULL, c->x, c->n,
                        c->symbols);
  c->tally = (HyperLatticeTally){ .counts = counts };
  hyper_lattice_tally (&c->lattice, &c->frame, HYPER_METRIC_NONE, NULL, c->x, c->n, c->symbols,
                       &c->tally);
  return c->tally.error;
}

static void
bench (const char *name, HyperLatticeKind kind, double bits, const float *x, gsize n,
       guint32 *symbols, float *out, double energy)
{
  Coder c = { .x = x, .symbols = symbols };

  hyper_lattice_init (&c.lattice, kind, (guint) ceil (bits) + 8);
  const guint d = c.lattice.dimension;
  const gsize cells = (gsize) c.lattice.n_contexts * c.lattice.n_symbols;
  g_autofree float *lengths = g_new (float, cells);
  g_autofree uint32_t *counts = g_new (uint32_t, cells);
  HyperRate rate = { .code = code,
                     .coder = &c,
                     .n_contexts = c.lattice.n_contexts,
                     .n_symbols = c.lattice.n_symbols,
                     .n_weights = SAMPLE,
                     .bits = bits,
                     .lambda = LAMBDA,
                     .least_step = 1e-6,
                     .step = 3.5 * exp2 (-bits),
                     .lengths = lengths,
                     .counts = counts };
  c.n = SAMPLE / d;
  const double start = bench_seconds ();
  hyper_rate_search (&rate, FALSE);
  const double fitted = bench_seconds ();
  const HyperLatticeCost cost = { lengths, LAMBDA, 1 };
  hyper_lattice_encode (&c.lattice, &c.frame, &cost, HYPER_METRIC_NONE, NULL, x, n / d, symbols);
  const double encoded = bench_seconds ();
  HyperLatticeTally tally = { .counts = counts };
  memset (counts, 0, cells * sizeof *counts);
  hyper_lattice_tally (&c.lattice, &c.frame, HYPER_METRIC_NONE, NULL, x, n / d, symbols, &tally);
  const double all =
      hyper_rate_lengths (counts, c.lattice.n_contexts, c.lattice.n_symbols, lengths);
  const double tallied = bench_seconds ();
  hyper_lattice_decode (&c.lattice, &c.frame, symbols, n / d, out);
  const double decoded = bench_seconds ();
  memcpy (out, symbols, n * sizeof *out);
  const double copied = bench_seconds ();
  const Times times = { start, fitted, encoded, tallied, decoded, copied };
  report (name, (const char *[]){ "z", "a2", "d4", "e8" }[kind], bits, all / (double) n,
          tally.error / energy, n, &times);
}

static void
bench_trellis (const char *name, double bits, const float *x, gsize n, guint32 *symbols, float *out,
               double energy)
{
  HyperTrellis trellis;
  HyperTrellisFrame frame;
  HyperTrellisSums sums = { 0 };
  HyperTrellisFit fit = { .trellis = &trellis,
                          .x = x,
                          .n_segments = (bits < 0.75 ? 4 : 1) * SAMPLE / SEGMENT,
                          .length = SEGMENT,
                          .peak = 6,
                          .bits = (guint) ceil (bits) + 6 };
  const gsize n_segments = n / SEGMENT, size = (gsize) 1 << fit.bits;
  g_autofree guint32 *counts = g_new0 (guint32, 2 * size);
  g_autofree float *points = g_new (float, 2 * size), *lengths = g_new (float, 2 * size);

  hyper_trellis_init (&trellis, HYPER_TRELLIS_MAX_STATES);
  g_autofree gpointer scratch G_GNUC_UNUSED = fit.scratch =
      g_malloc (hyper_trellis_fit_scratch_bytes (&fit));
  g_autofree gpointer own = g_malloc (hyper_trellis_scratch_bytes (trellis.n_states, SEGMENT));
  Times t = { .start = bench_seconds () };
  hyper_trellis_fit (&fit, bits);
  hyper_trellis_frame_init (&frame, fit.params);
  t.fitted = bench_seconds ();
  hyper_trellis_encode (&trellis, &frame, &fit.cost, NULL, x, n_segments, SEGMENT, fit.bits, own,
                        symbols);
  t.encoded = bench_seconds ();
  hyper_trellis_sum (&trellis, &frame, NULL, x, symbols, n_segments, SEGMENT, fit.bits, &sums,
                     counts);
  const double all = hyper_rate_lengths (counts, 2, size, lengths);
  t.tallied = bench_seconds ();
  hyper_trellis_points (&frame, fit.bits, points);
  hyper_trellis_decode (&trellis, points, symbols, n_segments, SEGMENT, fit.bits, out);
  t.decoded = bench_seconds ();
  memcpy (out, symbols, n * sizeof *out);
  t.copied = bench_seconds ();
  report (name, "trellis", bits, all / (double) n, sums.error / energy, n, &t);
}

int
main (int argc, char **argv)
{
  static const double rates[] = { 4, 3, 2, 1.5, 1, 0.5 };
  static const struct {
    const char *name;
    SynthDistribution distribution;
  } sources[] = { { "normal", SYNTH_NORMAL }, { "laplace", SYNTH_LAPLACE } };
  const gsize n =
      argc > 1 ? (gsize) g_ascii_strtoull (argv[1], NULL, 10) / SEGMENT * SEGMENT : 1 << 22;
  g_autofree float *x = g_new (float, n + SAMPLE), *out = g_new0 (float, n);
  g_autofree guint32 *symbols = g_new0 (guint32, n + SAMPLE);

  g_print (
      "numbers  trajectory, bits, bits per weight, NMSE, Mw/s: encode, with the fit, decode, memcpy\n");
  for (guint s = 0; s < G_N_ELEMENTS (sources); s++) {
    double energy = 0;
    synth_fill (sources[s].distribution, 5, 1, 0, n + SAMPLE, x);
    for (gsize i = 0; i < n; i++)
      energy += x[i] * (double) x[i];
    for (guint k = 0; k < HYPER_N_LATTICES; k++)
      for (guint r = 0; r < G_N_ELEMENTS (rates); r++)
        bench (sources[s].name, (HyperLatticeKind) k, rates[r], x, n, symbols, out, energy);
    for (guint r = 0; r < G_N_ELEMENTS (rates); r++)
      bench_trellis (sources[s].name, rates[r], x, n, symbols, out, energy);
  }
  return 0;
}
