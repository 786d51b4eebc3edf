/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench.h"

#include "entropy/rans-kernel.h"
#include "entropy/rans-table-kernel.h"
#include "hyper/hyper-lattice-kernel.h"
#include "hyper/hyper-trellis-kernel.h"
#include "simd-kernel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

/* Speeds of entropy's range coder on one core, beside memcpy and zstd, and what it takes over the entropy of its symbols. */

#define N ((size_t) 1 << 20)
#define RUNS 7

static double
bell (void)
{
  double sum = 0;

  for (int i = 0; i < 12; i++)
    sum += (double) rand () / RAND_MAX;
  return sum - 6;
}

/* Two tables by the parity of the symbol before, 8 symbols a quantum. */
static const uint16_t next[] = { 0, 1, 0, 1 };
static const uint8_t context[] = { 0, 1 };
static const RansMachine parity = { 2, 2, 1, next, context };

typedef struct {
  unsigned bits;
  const RansMachine *machine;
  size_t quantum;
  uint16_t *symbols;
  uint8_t *tables, *plane;
} Plane;

typedef struct {
  double encode, decode, portable;
  size_t bytes;
} Figures;

static void
fill (Plane *p, double step)
{
  const int middle = 1 << (p->bits - 1);

  for (size_t i = 0; i < N; i++) {
    const int q = middle + (int) lrint (bell () / step);
    p->symbols[i] = (uint16_t) (q < 0 ? 0 : q >= 2 * middle ? 2 * middle - 1 : q);
  }
  rans_put (p->plane, 0, p->symbols, 1, N, p->bits);
}

static double
decode_time (const RansDecoder *d, const uint8_t *in, size_t n, const Plane *p, uint8_t *back)
{
  const size_t n_bytes = N / 8 * p->bits;
  double best = 1e9;

  for (unsigned run = 0; run < RUNS; run++) {
    const double start = bench_seconds ();
    memset (back, 0, n_bytes);
    if (!rans_decode (d, in, n, N, back, 0) || memcmp (back, p->plane, n_bytes) != 0) {
      fprintf (stderr, "bench-entropy: another plane came back\n");
      exit (EXIT_FAILURE);
    }
    best = fmin (best, bench_seconds () - start);
  }
  return best;
}

static Figures
measure (Plane *p, double *entropy)
{
  const unsigned n_tables = p->machine ? p->machine->n_contexts : 1, precision = 12;
  const size_t size = (size_t) 1 << p->bits, capacity = 2 * N + 4 * RANS_LANES;
  uint32_t *counts = g_malloc0 (n_tables * size * sizeof *counts);
  uint16_t *frequencies = g_malloc0 (n_tables * size * sizeof *frequencies);
  RansSymbol *encoder = g_malloc0 (n_tables * size * sizeof *encoder);
  uint32_t *slots = g_malloc0 ((n_tables << precision) * sizeof *slots);
  uint16_t *values = g_malloc0 (((n_tables << precision) + 1) * sizeof *values);
  uint8_t *out = g_malloc0 (capacity), *back = g_malloc0 (2 * N);
  uint32_t steps[512];
  uint8_t map[32];
  RansLog log;
  Figures f = { .encode = 1e9 };

  for (unsigned i = 0; i < sizeof map; i++)
    map[i] = (uint8_t) i;
  for (unsigned run = 0; run < RUNS; run++) {
    const double start = bench_seconds ();
    memset (counts, 0, n_tables * size * sizeof *counts);
    rans_get (p->plane, 0, p->symbols, N, p->bits);
    if (p->machine)
      rans_follow (p->machine, map, p->symbols, N, p->quantum, p->tables);
    for (size_t i = 0; i < N; i++)
      counts[(p->machine ? p->tables[i] * size : 0) + p->symbols[i]]++;
    for (unsigned t = 0; t < n_tables; t++)
      rans_normalise (counts + t * size, size, precision, frequencies + t * size);
    rans_encoder_init (encoder, frequencies, n_tables, p->bits, precision);
    const RansEncoder e = { encoder, p->bits, precision, RANS_LANES, p->quantum };
    f.bytes = rans_encode (&e, p->symbols, p->machine ? p->tables : NULL, N, out, capacity);
    f.encode = fmin (f.encode, bench_seconds () - start);
  }
  rans_log_init (&log);
  *entropy = 0;
  for (unsigned t = 0; t < n_tables; t++)
    *entropy += (double) rans_entropy (&log, counts + t * size, size) / RANS_COST_ONE;
  const bool narrow = rans_is_narrow (p->bits, precision);
  rans_decoder_init (slots, narrow ? NULL : values, frequencies, n_tables, p->bits);
  RansDecoder d = { .bits = p->bits,
                    .precision = precision,
                    .lanes = RANS_LANES,
                    .quantum = p->quantum,
                    .slots = slots,
                    .symbols = narrow ? NULL : values };
  if (p->machine) {
    d.steps = steps;
    d.step_bits = p->machine->bits;
    d.first_step = rans_steps_init (steps, p->machine, map);
  }
  f.decode = decode_time (&d, out + capacity - f.bytes, f.bytes, p, back);
  simd_limit (SIMD_PORTABLE);
  f.portable = decode_time (&d, out + capacity - f.bytes, f.bytes, p, back);
  simd_limit (SIMD_AVX512);
  free (counts);
  free (frequencies);
  free (encoder);
  free (slots);
  free (values);
  free (out);
  free (back);
  return f;
}

/* memcpy of the plane and zstd at level 3 on whole bytes. */
static void
others (const Plane *p, double *copy, double *pack, double *unpack, size_t *bytes)
{
  const size_t n_bytes = N / 8 * p->bits, room = ZSTD_compressBound (N);
  uint8_t *in = g_malloc0 (2 * N), *out = g_malloc0 (room + 2 * N);

  *copy = *pack = *unpack = 1e9;
  for (size_t i = 0; i < N; i++)
    in[i] = (uint8_t) p->symbols[i];
  for (unsigned run = 0; run < RUNS; run++) {
    double start = bench_seconds ();
    memcpy (out, p->plane, n_bytes);
    *copy = fmin (*copy, bench_seconds () - start);
    start = bench_seconds ();
    *bytes = ZSTD_compress (out, room + 2 * N, in, N, 3);
    *pack = fmin (*pack, bench_seconds () - start);
    start = bench_seconds ();
    ZSTD_decompress (in, N, out, *bytes);
    *unpack = fmin (*unpack, bench_seconds () - start);
  }
  free (in);
  free (out);
}

static void
bench (const char *name, unsigned bits, double step, const RansMachine *machine, size_t quantum)
{
  Plane p = { .bits = bits, .machine = machine, .quantum = quantum };
  const double rate = 1e-6 * (double) N;
  double entropy, copy, pack, unpack;
  size_t zstd;

  p.symbols = g_malloc0 (N * sizeof *p.symbols);
  p.tables = g_malloc0 (N);
  p.plane = g_malloc0 (2 * N);
  fill (&p, step);
  const Figures f = measure (&p, &entropy);
  others (&p, &copy, &pack, &unpack, &zstd);
  const double n = (double) N;
  printf (
      "%2u bits step %-5g %-10s %.4f b/symbol, %+.3f%% | encode %4.0f decode %5.0f portable %4.0f | zstd %.4f b "
      "%4.0f %5.0f | memcpy %6.0f Msymbols/s\n",
      bits, step, name, 8 * (double) f.bytes / n, 100 * (8 * (double) f.bytes / entropy - 1),
      rate / f.encode, rate / f.decode, rate / f.portable, 8 * (double) zstd / n, rate / pack,
      rate / unpack, rate / copy);
  free (p.symbols);
  free (p.tables);
  free (p.plane);
}

/* Speeds with the machines that hyper's lattice E8 and its trellis of 256 states declare. */
static void
bench_hyper (void)
{
  static uint16_t lattice_next[HYPER_MAX_LATTICE_STATES << 2];
  static uint8_t lattice_context[HYPER_MAX_LATTICE_STATES];
  static HyperTrellis trellis;
  HyperLattice lattice;

  hyper_lattice_init (&lattice, HYPER_E8, 9);
  hyper_lattice_machine (HYPER_E8, lattice_next, lattice_context);
  hyper_trellis_init (&trellis, 256);
  const RansMachine e8 = { lattice.n_contexts, lattice.n_contexts, 2, lattice_next,
                           lattice_context };
  const RansMachine paths = { 256, 2, 1, trellis.next, trellis.choice };
  bench ("lattice E8", 9, 1.03, &e8, 8);
  bench ("trellis", 8, 1.03, &paths, 2048);
}

int
main (void)
{
  static const struct {
    unsigned bits;
    double step;
  } planes[] = { { 8, 1.03 }, { 4, 1.03 }, { 8, 0.5 }, { 8, 0.05 }, { 11, 0.01 } };

  for (size_t i = 0; i < sizeof planes / sizeof *planes; i++) {
    bench ("plain", planes[i].bits, planes[i].step, NULL, 1);
    bench ("parity", planes[i].bits, planes[i].step, &parity, 8);
  }
  bench_hyper ();
  return EXIT_SUCCESS;
}
