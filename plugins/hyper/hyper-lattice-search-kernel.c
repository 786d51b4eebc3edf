/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hyper-lattice-value.h"
#include "simd-kernel.h"

#include <string.h>

/*
 * The choice of points: so many vectors at once, a coordinate at a time. In each coordinate four whole numbers are looked at: the two
 * around the target and the next two towards the centre, which are cheaper; where the sum must be even, with the parity of the sum so
 * far as the state (the least cost of each way to get there), for each coset by itself. Without lengths the result is the nearest point.
 */

#define LANES 16u
#define N_TRIED 4
#define FAR 1e30f

typedef struct {
  unsigned dimension, n_cosets;
  bool even;
} Shape;

typedef struct {
  const float *lengths;
  unsigned n_symbols;
  int32_t offset;
  int32_t mask; /* 0: lengths is one number */
  float lambda;
  float shift[2][2][HYPER_LATTICE_SHIFTS]; /* in steps */
} Search;

typedef struct {
  float u[8][LANES], w[8][LANES]; /* targets in steps, weights in squared steps of the lattice */
  int32_t q[8][LANES], coset[LANES];
  float cost[LANES];
} Batch;

/* The ways to one state: its cost, and for each position the number chosen and the parity before it. */
typedef struct {
  float cost[2][LANES];
  int32_t q[8][2][LANES];
  int32_t before[8][2][LANES];
} Paths;

/* Errors of the four candidates from lo[] on. */
INLINE void
try_errors (const Search *s, const Batch *b, unsigned scale, unsigned coset, unsigned i,
            int32_t *restrict lo, float (*restrict error)[LANES])
{
  const float half = 0.5f * (float) coset;
  const float least = (float) -s->offset, most = (float) (s->offset - N_TRIED);
  const float s0 = s->shift[scale][coset][0], s1 = s->shift[scale][coset][1],
              s2 = s->shift[scale][coset][2];

  for (unsigned l = 0; l < LANES; l++) {
    const float u = b->u[i][l], v = u - half;
    float low = floorf (v) - (u >= 0 ? 2.0f : 0.0f);
    low = low > least ? low : least;
    low = low < most ? low : most;
    lo[l] = (int32_t) low;
    for (int k = 0; k < N_TRIED; k++) {
      const float p = low + (float) k + half, a = fabsf (p) - half;
      const float away = a < 1.5f ? s0 : a < 2.5f ? s1 : s2;
      const float r = p > 0 ? p - away : p < 0 ? p + away : 0.0f;
      error[k][l] = b->w[i][l] * ((u - r) * (u - r));
    }
  }
}

/* The candidate of least cost of those two apart, from the first or second on; its cost and number. */
INLINE void
pick (const float *table, const Search *s, unsigned times, const int32_t *restrict lo,
      float (*restrict error)[LANES], unsigned first, float *restrict cost, int32_t *restrict q)
{
  for (unsigned l = 0; l < LANES; l++) {
    const int32_t one = lo[l] + (int32_t) first, two = one + 2;
    const float a =
        error[first][l] + s->lambda * table[((one + s->offset) * (int32_t) times) & s->mask];
    const float b =
        error[first + 2][l] + s->lambda * table[((two + s->offset) * (int32_t) times) & s->mask];
    cost[l] = b < a ? b : a;
    q[l] = b < a ? two : one;
  }
}

INLINE const float *
table_of (const Search *s, Shape shape, unsigned i, unsigned coset, unsigned parity)
{
  const unsigned state =
      i ? 1 + ((i - 1) * shape.n_cosets + coset) * (shape.even ? 2 : 1) + (shape.even ? parity : 0)
        : 0;

  return s->mask ? s->lengths + (size_t) state * s->n_symbols + (i ? 0 : coset) : s->lengths;
}

/* Coordinate @i where sums are free: the best of all. */
INLINE void
step_free (const Search *s, Batch *b, Shape shape, unsigned coset, unsigned i, Paths *paths)
{
  const float *table = table_of (s, shape, i, coset, 0);
  const unsigned times = i ? 1 : shape.n_cosets;
  float error[N_TRIED][LANES], cost[2][LANES];
  int32_t lo[LANES], q[2][LANES];

  try_errors (s, b, i && shape.n_cosets == 2 && shape.dimension == 2, coset, i, lo, error);
  pick (table, s, times, lo, error, 0, cost[0], q[0]);
  pick (table, s, times, lo, error, 1, cost[1], q[1]);
  for (unsigned l = 0; l < LANES; l++) {
    const bool second = cost[1][l] < cost[0][l];
    paths->cost[0][l] += second ? cost[1][l] : cost[0][l];
    paths->q[i][0][l] = second ? q[1][l] : q[0][l];
  }
}

/* Coordinate @i from the parities of the sum so far to those with it. */
INLINE void
step_even (const Search *s, Batch *b, Shape shape, unsigned coset, unsigned i, Paths *paths)
{
  const unsigned times = i ? 1 : shape.n_cosets;
  float error[N_TRIED][LANES], cost[2][2][LANES];
  int32_t lo[LANES], q[2][2][LANES];

  try_errors (s, b, 0, coset, i, lo, error);
  for (unsigned p = 0; p < 2; p++)
    for (unsigned first = 0; first < 2; first++)
      pick (table_of (s, shape, i, coset, p), s, times, lo, error, first, cost[p][first],
            q[p][first]);
  for (unsigned l = 0; l < LANES; l++) {
    const int32_t odd = lo[l] & 1; /* the first candidate's parity; the other ones' is 1 - odd */
    const float c0 = paths->cost[0][l], c1 = paths->cost[1][l];
    const float even0 = c0 + (odd ? cost[0][1][l] : cost[0][0][l]);
    const float odd0 = c0 + (odd ? cost[0][0][l] : cost[0][1][l]);
    const float even1 = c1 + (odd ? cost[1][1][l] : cost[1][0][l]);
    const float odd1 = c1 + (odd ? cost[1][0][l] : cost[1][1][l]);
    const int32_t q_even0 = odd ? q[0][1][l] : q[0][0][l], q_odd0 = odd ? q[0][0][l] : q[0][1][l];
    const int32_t q_even1 = odd ? q[1][1][l] : q[1][0][l], q_odd1 = odd ? q[1][0][l] : q[1][1][l];
    const bool to_even = odd1 < even0, to_odd = even1 < odd0;
    paths->cost[0][l] = to_even ? odd1 : even0;
    paths->q[i][0][l] = to_even ? q_odd1 : q_even0;
    paths->before[i][0][l] = to_even;
    paths->cost[1][l] = to_odd ? even1 : odd0;
    paths->q[i][1][l] = to_odd ? q_even1 : q_odd0;
    paths->before[i][1][l] = to_odd;
  }
}

/* The best point of a coset, into the batch where it is better than what is there. */
INLINE void
search_coset (const Search *s, Batch *b, Shape shape, unsigned coset)
{
  Paths paths;
  int32_t parity[LANES];
  int32_t better[LANES];

  for (unsigned l = 0; l < LANES; l++) {
    paths.cost[0][l] = 0;
    paths.cost[1][l] = FAR;
    parity[l] = 0;
  }
  for (unsigned i = 0; i < shape.dimension; i++)
    if (shape.even)
      step_even (s, b, shape, coset, i, &paths);
    else
      step_free (s, b, shape, coset, i, &paths);
  for (unsigned l = 0; l < LANES; l++) {
    better[l] = paths.cost[0][l] < b->cost[l] || coset == 0;
    b->cost[l] = better[l] ? paths.cost[0][l] : b->cost[l];
    b->coset[l] = better[l] ? (int32_t) coset : b->coset[l];
  }
  for (unsigned i = shape.dimension; i-- > 0;)
    for (unsigned l = 0; l < LANES; l++) {
      const int32_t q = shape.even && parity[l] ? paths.q[i][1][l] : paths.q[i][0][l];
      b->q[i][l] = better[l] ? q : b->q[i][l];
      if (shape.even)
        parity[l] = parity[l] ? paths.before[i][1][l] : paths.before[i][0][l];
    }
}

/* --- batches --- */

typedef struct {
  const HyperLattice *lattice;
  const HyperLatticeFrame *frame;
  Search search;
  HyperMetric metric;
  float per_unit; /* 1 / unit of the metric */
} Job;

static void
weigh_batch (const Job *job, Batch *b, const float *weights, size_t count)
{
  const unsigned d = job->lattice->dimension;
  const size_t stride = hyper_metric_stride (job->metric, d);
  const unsigned along =
      job->metric == HYPER_METRIC_MATRIX ? d + 1 : job->metric == HYPER_METRIC_DIAGONAL;

  for (unsigned i = 0; i < d; i++) {
    const float scale = hyper_lattice_scale (job->lattice, i);
    for (unsigned l = 0; l < LANES; l++) {
      float w = 1;
      if (stride && l < count)
        w = weights[l * stride + i * along] * job->per_unit;
      b->w[i][l] = scale * scale * w;
    }
  }
}

INLINE void
encode_batches (const Job *job, Shape shape, const float *weights, const float *x, size_t n,
                uint32_t *symbols)
{
  const unsigned d = shape.dimension;
  const size_t stride = hyper_metric_stride (job->metric, d);
  const int32_t offset = job->lattice->offset;
  float inverse[8];
  Batch b;

  memset (&b, 0, sizeof b);
  for (unsigned i = 0; i < d; i++) {
    const float step = job->frame->step[job->lattice->n_scales > 1 && i ? 1 : 0];
    inverse[i] = step > 0 && isfinite (1 / step) ? 1 / step : 0;
  }
  weigh_batch (job, &b, weights, 0);
  for (size_t done = 0; done < n; done += LANES, x += LANES * d, symbols += LANES * d) {
    const size_t count = n - done < LANES ? n - done : LANES;
    for (unsigned i = 0; i < d; i++)
      for (size_t l = 0; l < count; l++)
        b.u[i][l] = (x[l * d + i] - job->frame->centre) * inverse[i];
    if (stride)
      weigh_batch (job, &b, weights + done * stride, count);
    for (unsigned c = 0; c < shape.n_cosets; c++)
      search_coset (&job->search, &b, shape, c);
    for (unsigned i = 0; i < d; i++)
      for (size_t l = 0; l < count; l++) {
        const int32_t q = b.q[i][l] + offset;
        symbols[l * d + i] = (uint32_t) (i == 0 && shape.n_cosets > 1 ? 2 * q + b.coset[l] : q);
      }
  }
}

INLINE void
encode_as (const Job *job, const float *weights, const float *x, size_t n, uint32_t *symbols)
{
  switch (job->lattice->kind) {
  case HYPER_Z:
    encode_batches (job, (Shape){ 1, 1, false }, weights, x, n, symbols);
    break;
  case HYPER_A2:
    encode_batches (job, (Shape){ 2, 2, false }, weights, x, n, symbols);
    break;
  case HYPER_D4:
    encode_batches (job, (Shape){ 4, 1, true }, weights, x, n, symbols);
    break;
  case HYPER_E8:
  default:
    encode_batches (job, (Shape){ 8, 2, true }, weights, x, n, symbols);
    break;
  }
}

static void
encode_portable (const Job *job, const float *weights, const float *x, size_t n, uint32_t *symbols)
{
  encode_as (job, weights, x, n, symbols);
}

#if HAS_SIMD
SIMD_FOR_AVX2 static void
encode_avx2 (const Job *job, const float *weights, const float *x, size_t n, uint32_t *symbols)
{
  encode_as (job, weights, x, n, symbols);
}

SIMD_FOR_AVX512_WIDE static void
encode_avx512 (const Job *job, const float *weights, const float *x, size_t n, uint32_t *symbols)
{
  encode_as (job, weights, x, n, symbols);
}
#endif

void
hyper_lattice_encode (const HyperLattice *lattice, const HyperLatticeFrame *frame,
                      const HyperLatticeCost *cost, HyperMetric metric, const float *weights,
                      const float *x, size_t n, uint32_t *symbols)
{
  static const float nothing[1] = { 0 };
  const bool free_bits = !cost->lengths || !(cost->lambda > 0);
  Job job = { .lattice = lattice,
              .frame = frame,
              .metric = metric,
              .per_unit = (float) (cost->unit > 0 ? 1 / cost->unit : 0) };

  job.search = (Search){ .lengths = free_bits ? nothing : cost->lengths,
                         .n_symbols = lattice->n_symbols,
                         .offset = lattice->offset,
                         .mask = free_bits ? 0 : -1,
                         .lambda = free_bits ? 0 : (float) cost->lambda };
  for (unsigned s = 0; s < lattice->n_scales; s++)
    for (unsigned c = 0; c < lattice->n_cosets; c++)
      for (unsigned k = 0; k < HYPER_LATTICE_SHIFTS; k++)
        job.search.shift[s][c][k] = frame->step[s] > 0 ? frame->shift[s][c][k] / frame->step[s] : 0;
#if HAS_SIMD
  if (simd_get () == SIMD_AVX512) {
    encode_avx512 (&job, weights, x, n, symbols);
    return;
  }
  if (simd_get () == SIMD_AVX2) {
    encode_avx2 (&job, weights, x, n, symbols);
    return;
  }
#endif
  encode_portable (&job, weights, x, n, symbols);
}
