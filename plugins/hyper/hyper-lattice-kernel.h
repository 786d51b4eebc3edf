/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "hyper-kernel.h"

/*
 * Vectors as points of a scaled lattice, chosen by error + lambda * bits. Pure C11: no allocation. SPEC.md says what the numbers mean.
 *
 * A point is q + coset / 2 in each coordinate, q whole numbers whose sum is even where the lattice says so:
 *
 *   z    1 number,  one coset
 *   a2   2 numbers, two cosets; the second coordinate is in units of the root of 3 (hexagons)
 *   d4   4 numbers, one coset, sum even
 *   e8   8 numbers, two cosets, sum even
 */

typedef enum { HYPER_Z, HYPER_A2, HYPER_D4, HYPER_E8, HYPER_N_LATTICES } HyperLatticeKind;

#define HYPER_MAX_SYMBOL_BITS 16u
#define HYPER_MIN_SYMBOL_BITS 4u
#define HYPER_LATTICE_SHIFTS \
  3u /* for each coset: of |q + coset / 2| below 1.5, below 2.5, beyond (less coset / 2) */
#define HYPER_MAX_LATTICE_PARAMS (2 + 4 * HYPER_LATTICE_SHIFTS)
#define HYPER_MAX_LATTICE_STATES 29u

typedef struct {
  HyperLatticeKind kind;
  unsigned dimension;
  unsigned n_cosets;
  bool even;          /* the sum of the whole numbers */
  unsigned n_scales;  /* kinds of coordinates: the second has shifts of its own in a2 */
  unsigned n_symbols; /* 2^bits */
  int32_t offset; /* symbols are q + offset, the first of a vector n_cosets (q + offset) + coset */
  unsigned n_params; /* of a frame: centre, step, shifts */
  unsigned n_contexts;
} HyperLattice;

/* bits: of a symbol, within the limits above. */
void hyper_lattice_init (HyperLattice *lattice, HyperLatticeKind kind, unsigned bits);
unsigned hyper_lattice_dimension (HyperLatticeKind kind);
float hyper_lattice_scale (const HyperLattice *lattice, unsigned coordinate);

/*
 * The machine of the symbols of a vector: state 0 before the first one, then position x coset x parity of the sum so far. Each state
 * is a context. next: n_contexts << 2 states, chosen by the two lowest bits of a symbol.
 */
void hyper_lattice_machine (HyperLatticeKind kind, uint16_t *next, uint8_t *context);

typedef struct {
  float centre;
  float step[2];                           /* of each kind of coordinates */
  float shift[2][2][HYPER_LATTICE_SHIFTS]; /* kind of coordinates, coset: towards the centre */
} HyperLatticeFrame;

/* params: n_params numbers. false: not all of them are finite. */
bool hyper_lattice_frame_init (HyperLatticeFrame *frame, const HyperLattice *lattice,
                               const float *params);

/*
 * lengths: bits of each symbol, n_contexts x n_symbols; NULL: the nearest points. lambda: what a bit costs, in squared steps
 * (params[1]) times unit; unit: the weight of a metric that counts as 1. Of a matrix the diagonal counts.
 */
typedef struct {
  const float *lengths;
  double lambda;
  double unit;
} HyperLatticeCost;

/* symbols: dimension for each of n vectors. */
void hyper_lattice_encode (const HyperLattice *lattice, const HyperLatticeFrame *frame,
                           const HyperLatticeCost *cost, HyperMetric metric, const float *weights,
                           const float *x, size_t n, uint32_t *symbols);

/* out: n x dimension floats. Returns n, or the position of the first vector with a symbol out of range. */
size_t hyper_lattice_decode (const HyperLattice *lattice, const HyperLatticeFrame *frame,
                             const uint32_t *symbols, size_t n, float *out);

/* What is learned of a sample that was coded: counts as for hyper_rate_search(), and what the shifts would best be. */
typedef struct {
  uint32_t *counts;
  double sum[2][2][HYPER_LATTICE_SHIFTS], weight[2][2][HYPER_LATTICE_SHIFTS];
  double error; /* squared, under the metric */
} HyperLatticeTally;

void hyper_lattice_tally (const HyperLattice *lattice, const HyperLatticeFrame *frame,
                          HyperMetric metric, const float *weights, const float *x, size_t n,
                          const uint32_t *symbols, HyperLatticeTally *tally);

/* The step's and the shifts' params for the frame of the next coding, by the tally of the last one. */
void hyper_lattice_set_params (const HyperLattice *lattice, double step,
                               const HyperLatticeTally *tally, float *params);
