/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "../cuda-thread.h"
#include "hyper-lattice-kernel.h"

#include <math.h>
#include <string.h>

/*
 * What one thread of a graphics processor does. nvcc compiles these functions for the device, in hyper-cuda.cu; the C compiler compiles
 * them too, and the tests run them over the same grid, thread by thread, against the kernels in C.
 */

#define HYPER_THREADS 128 /* of a block of threads */

/* --- the choice of a lattice point: one thread per vector -------------------------------------------------------------- */

/* As hyper_lattice_encode() takes it; lengths: on the device there, n_contexts x n_symbols, or NULL. */
typedef struct {
  unsigned dimension, n_cosets, n_symbols;
  int even, offset;
  float centre, lambda, per_unit;
  float inverse[2],
      square[2]; /* 1 / step, and what a squared step counts, of both kinds of coordinates */
  float shift[2][2][HYPER_LATTICE_SHIFTS]; /* in steps */
  const float *lengths;
} HyperThreadSearch;

/* The ways to one parity of the sum so far, or to both. */
typedef struct {
  float cost[2];
  int q[HYPER_MAX_DIMENSION][2];
  unsigned char before[HYPER_MAX_DIMENSION][2];
} HyperThreadPaths;

/* Kind of a coordinate: 1 for the second one of a2. */
AFP_THREAD unsigned
hyper_thread_kind (const HyperThreadSearch *s, unsigned i)
{
  return s->dimension == 2 && i ? 1 : 0;
}

/* The first of the four numbers that are looked at. */
AFP_THREAD int
hyper_thread_first (const HyperThreadSearch *s, float u, unsigned coset)
{
  const float v = afp_thread_sum (u, -0.5f * (float) coset);
  const float least = (float) -s->offset, most = (float) (s->offset - 4);
  float low = floorf (v) - (u >= 0 ? 2.0f : 0.0f);
  low = low > least ? low : least;
  low = low < most ? low : most;
  return (int) low;
}

/* Where the number stands, in steps. */
AFP_THREAD float
hyper_thread_stand (const float *shift, int q, unsigned coset)
{
  const float half = 0.5f * (float) coset, p = (float) q + half, a = fabsf (p) - half;
  const float away = a < 1.5f ? shift[0] : a < 2.5f ? shift[1] : shift[2];
  return p > 0 ? afp_thread_sum (p, -away) : p < 0 ? afp_thread_sum (p, away) : 0.0f;
}

AFP_THREAD float
hyper_thread_length (const HyperThreadSearch *s, unsigned i, unsigned coset, unsigned parity, int q)
{
  const unsigned parities = s->even ? 2 : 1;
  const unsigned state =
      i ? 1 + ((i - 1) * s->n_cosets + coset) * parities + (s->even ? parity : 0) : 0;
  const unsigned symbol = (unsigned) (q + s->offset) * (i ? 1 : s->n_cosets) + (i ? 0 : coset);
  return s->lengths ? s->lengths[(size_t) state * s->n_symbols + symbol] : 0;
}

/* The better one of the numbers @first and @first + 2; its error and price. */
AFP_THREAD float
hyper_thread_pick (const HyperThreadSearch *s, unsigned i, unsigned coset, unsigned parity, float u,
                   float w, int first, int *q)
{
  const float *shift = s->shift[hyper_thread_kind (s, i)][coset];
  float cost[2];
  for (int k = 0; k < 2; k++) {
    const float e = afp_thread_sum (u, -hyper_thread_stand (shift, first + 2 * k, coset));
    cost[k] = afp_thread_sum (
        afp_thread_product (w, afp_thread_product (e, e)),
        afp_thread_product (s->lambda, hyper_thread_length (s, i, coset, parity, first + 2 * k)));
  }
  *q = cost[1] < cost[0] ? first + 2 : first;
  return cost[1] < cost[0] ? cost[1] : cost[0];
}

/* One coordinate more, where sums are free: there is one way. */
AFP_THREAD void
hyper_thread_step_free (const HyperThreadSearch *s, unsigned i, unsigned coset, float u, float w,
                        HyperThreadPaths *paths)
{
  const int low = hyper_thread_first (s, u, coset);
  int q[2];
  const float one = hyper_thread_pick (s, i, coset, 0, u, w, low, &q[0]);
  const float two = hyper_thread_pick (s, i, coset, 0, u, w, low + 1, &q[1]);
  paths->cost[0] = afp_thread_sum (paths->cost[0], two < one ? two : one);
  paths->q[i][0] = two < one ? q[1] : q[0];
  paths->before[i][0] = 0;
}

/* From the parities of the sum so far to those with coordinate @i. */
AFP_THREAD void
hyper_thread_step_even (const HyperThreadSearch *s, unsigned i, unsigned coset, float u, float w,
                        HyperThreadPaths *paths)
{
  const int low = hyper_thread_first (s, u, coset);
  float next[2] = { INFINITY, INFINITY };
  for (unsigned before = 0; before < 2; before++)
    for (int first = 0; first < 2; first++) {
      int q;
      const float price = hyper_thread_pick (s, i, coset, before, u, w, low + first, &q);
      const unsigned after = before ^ ((unsigned) q & 1);
      const float cost = afp_thread_sum (paths->cost[before], price);
      if (cost < next[after]) {
        next[after] = cost;
        paths->q[i][after] = q;
        paths->before[i][after] = (unsigned char) before;
      }
    }
  paths->cost[0] = next[0];
  paths->cost[1] = next[1];
}

/* @weights: one for each coordinate, or NULL; @symbols: as many as coordinates */
AFP_THREAD void
hyper_thread_encode (const HyperThreadSearch *s, const float *weights, const float *x,
                     uint32_t *symbols)
{
  float best = INFINITY;
  for (unsigned coset = 0; coset < s->n_cosets; coset++) {
    HyperThreadPaths paths;
    paths.cost[0] = 0;
    paths.cost[1] = 1e30f;
    for (unsigned i = 0; i < s->dimension; i++) {
      const unsigned kind = hyper_thread_kind (s, i);
      const float w = weights ? afp_thread_product (weights[i], s->per_unit) : 1;
      const float u = afp_thread_product (afp_thread_sum (x[i], -s->centre), s->inverse[kind]);
      if (s->even)
        hyper_thread_step_even (s, i, coset, u, afp_thread_product (s->square[kind], w), &paths);
      else
        hyper_thread_step_free (s, i, coset, u, afp_thread_product (s->square[kind], w), &paths);
    }
    if (coset > 0 && !(paths.cost[0] < best))
      continue;
    best = paths.cost[0];
    unsigned parity = 0;
    for (unsigned i = s->dimension; i-- > 0;) {
      const uint32_t symbol = (uint32_t) (paths.q[i][parity] + s->offset);
      symbols[i] = i == 0 && s->n_cosets > 1 ? 2 * symbol + coset : symbol;
      parity = paths.before[i][parity];
    }
  }
}

#ifndef __CUDACC__
/* As hyper_lattice_encode() is told; lengths stay where they are. */
static inline void
hyper_thread_search_init (HyperThreadSearch *s, const HyperLattice *lattice,
                          const HyperLatticeFrame *frame, const HyperLatticeCost *cost)
{
  const bool free_bits = !cost->lengths || !(cost->lambda > 0);
  *s = (HyperThreadSearch){ .dimension = lattice->dimension,
                            .n_cosets = lattice->n_cosets,
                            .n_symbols = lattice->n_symbols,
                            .even = lattice->even,
                            .offset = lattice->offset,
                            .centre = frame->centre,
                            .lambda = free_bits ? 0 : (float) cost->lambda,
                            .per_unit = (float) (cost->unit > 0 ? 1 / cost->unit : 0),
                            .lengths = free_bits ? NULL : cost->lengths };
  for (unsigned k = 0; k < lattice->n_scales; k++) {
    const float step = frame->step[k], scale = hyper_lattice_scale (lattice, k);
    s->inverse[k] = step > 0 && isfinite (1 / step) ? 1 / step : 0;
    s->square[k] = scale * scale;
    for (unsigned c = 0; c < lattice->n_cosets; c++)
      for (unsigned i = 0; i < HYPER_LATTICE_SHIFTS; i++)
        s->shift[k][c][i] = step > 0 ? frame->shift[k][c][i] / step : 0;
  }
}

#endif

/* --- decoding ----------------------------------------------------------------------------------------------------------- */

/**
 * HyperThreadPlane:
 * @rows, @cols: of the weights
 * @stride: numbers from a row to the next: @cols, or more where rows are padded
 * @dimension: numbers of a vector
 * @bits: of a symbol
 * @codes: packed symbols: for each number (lattices) or vector
 * @n_cosets, @offset, @centre, @step, @shift: of a lattice; n_cosets 0: points
 * @n_points, @n_classes, @points, @middle, @reach: of grid and winding: n_points vectors, and the frame of the tensor
 *
 * Pointers are to memory of the device there.
 */
typedef struct {
  size_t rows, cols, stride;
  unsigned dimension, bits;
  const uint8_t *codes;
  unsigned n_cosets;
  int offset;
  HyperLatticeFrame frame;
  uint32_t n_points, n_classes;
  const float *points;
  float middle[HYPER_MAX_DIMENSION];
  float reach[HYPER_MAX_CLASSES + 1];
} HyperThreadPlane;

#ifndef __CUDACC__
static inline void
hyper_thread_take_lattice (HyperThreadPlane *plane, const HyperLattice *lattice,
                           const HyperLatticeFrame *frame)
{
  plane->dimension = lattice->dimension;
  plane->n_cosets = lattice->n_cosets;
  plane->offset = lattice->offset;
  plane->frame = *frame;
}

static inline void
hyper_thread_take_points (HyperThreadPlane *plane, const HyperCode *code, const HyperFrame *frame)
{
  plane->dimension = code->dimension;
  plane->n_cosets = 0;
  plane->n_points = code->n_points;
  plane->n_classes = code->n_classes;
  plane->points = code->points;
  memcpy (plane->middle, frame->centre, sizeof plane->middle);
  memcpy (plane->reach, frame->reach, sizeof plane->reach);
}

#endif

/* A number of a lattice; 0: its symbol is damaged. */
AFP_THREAD int
hyper_thread_lattice (const HyperThreadPlane *plane, uint64_t n, float *x)
{
  const unsigned i = (unsigned) (n % plane->dimension);
  uint32_t coset = 0, symbol = afp_thread_symbol (plane->codes, n, plane->bits);
  if (plane->n_cosets > 1) {
    coset = (i ? afp_thread_symbol (plane->codes, n - i, plane->bits) : symbol) & 1;
    symbol >>= i ? 0 : 1;
  }
  if (symbol >= 2 * (uint32_t) plane->offset)
    return 0;
  const unsigned kind = plane->dimension == 2 && i ? 1 : 0;
  const float *shift = plane->frame.shift[kind][coset];
  const float half = 0.5f * (float) coset, p = (float) ((int) symbol - plane->offset) + half,
              a = fabsf (p) - half;
  const float s = a < 1.5f ? shift[0] : a < 2.5f ? shift[1] : shift[2];
  const float towards = p > 0 ? s : p < 0 ? -s : 0;
  *x = afp_thread_clamp (
      afp_thread_sum (plane->frame.centre,
                      afp_thread_sum (afp_thread_product (plane->frame.step[kind], p), -towards)));
  return 1;
}

/* A coordinate of a point of a class; 0: the symbol is damaged. */
AFP_THREAD int
hyper_thread_point (const HyperThreadPlane *plane, uint64_t n, float *x)
{
  const unsigned i = (unsigned) (n % plane->dimension);
  const uint32_t symbol = afp_thread_symbol (plane->codes, n / plane->dimension, plane->bits);
  const uint32_t class_ = symbol / plane->n_points, point = symbol % plane->n_points;
  if (class_ >= plane->n_classes)
    return 0;
  *x = afp_thread_clamp (afp_thread_sum (
      plane->middle[i], afp_thread_product (plane->reach[class_],
                                            plane->points[(size_t) point * plane->dimension + i])));
  return 1;
}

AFP_THREAD int
hyper_thread_value (const HyperThreadPlane *plane, size_t row, size_t col, float *x)
{
  const uint64_t n = (uint64_t) row * plane->stride + col;
  return plane->n_cosets ? hyper_thread_lattice (plane, n, x) : hyper_thread_point (plane, n, x);
}

/* One thread per weight; 0: its symbol is damaged. */
AFP_THREAD int
hyper_thread_decode (const HyperThreadPlane *plane, size_t at, float *out)
{
  return hyper_thread_value (plane, at / plane->cols, at % plane->cols, out);
}

/* --- product with a vector: one block of threads for each row ------------------------------------------------------------ */

/* What falls to a thread, in steps of HYPER_THREADS. 0: a symbol is damaged. */
AFP_THREAD int
hyper_thread_gather (const HyperThreadPlane *plane, size_t row, unsigned thread, const float *input,
                     float *sum)
{
  *sum = 0;
  for (size_t col = thread; col < plane->cols; col += HYPER_THREADS) {
    float w;
    if (!hyper_thread_value (plane, row, col, &w))
      return 0;
    *sum = afp_thread_sum (*sum, afp_thread_product (w, input[col]));
  }
  return 1;
}
