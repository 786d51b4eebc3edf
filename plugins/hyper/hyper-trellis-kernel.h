/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Entropy-coded trellis-coded quantization: a path through a trellis of 4 to 256 states says which of two unions of cosets of a
 * scaled Z each number comes from; the Viterbi algorithm finds the path of the least error + lambda * bits. Pure C11: no allocation,
 * no other headers of the project but those beside it. SPEC.md says what the numbers mean.
 *
 * Marcellin and Fischer, "Trellis coded quantization of memoryless and Gauss-Markov sources" (1990); the codes are those of
 * Ungerboeck, "Trellis-coded modulation with redundant signal sets, part II" (1987), table I.
 *
 * Built with contraction of a * b + c switched off (-ffp-contract=off), every form of the search gives the same bytes.
 */

#define HYPER_TRELLIS_MIN_STATES 4u
#define HYPER_TRELLIS_MAX_STATES 256u
#define HYPER_TRELLIS_LANES 16u /* segments that are searched side by side */
#define HYPER_TRELLIS_SHIFTS \
  4u /* magnitudes 1..4 with a shift of their own; larger ones share the last */
#define HYPER_TRELLIS_LENGTHS 64u /* magnitudes with a code length of their own */
#define HYPER_TRELLIS_PARAMS (1u + 2u * HYPER_TRELLIS_SHIFTS)

/* The state machine. State 0 at the start of each segment. */
typedef struct {
  unsigned n_states;
  uint16_t next[2 * HYPER_TRELLIS_MAX_STATES]; /* [state * 2 + parity of the symbol] */
  uint8_t choice[HYPER_TRELLIS_MAX_STATES];    /* [state]: which of the two unions */
  uint8_t
      before[2 * HYPER_TRELLIS_MAX_STATES]; /* [state * 2 + parity]: the state that leads here */
} HyperTrellis;

/* Where the points lie: point m >= 0 of union u is at step * (2 m - u - shift[u][min (m, SHIFTS) - 1]), the others are its mirror. */
typedef struct {
  float step;
  float shift[2][HYPER_TRELLIS_SHIFTS];
} HyperTrellisFrame;

/* What symbols cost. */
typedef struct {
  float lambda; /* squares of the step per bit */
  float weight; /* of weights: their factor, if there are any, so that they are 1 on average */
  float length[2][HYPER_TRELLIS_LENGTHS]; /* bits of magnitude m of union u, sign included */
} HyperTrellisCost;

/* Sums over what was coded. */
typedef struct {
  double weight[2][HYPER_TRELLIS_SHIFTS]; /* of the numbers at magnitude m + 1 */
  double moved
      [2]
      [HYPER_TRELLIS_SHIFTS]; /* their weighted distance to their unshifted point, towards zero, in steps */
  double error;               /* weighted, in the square of the numbers' unit */
} HyperTrellisSums;

/* Are there trellises of so many states? */
bool hyper_trellis_has_states (unsigned n_states);
void hyper_trellis_init (HyperTrellis *trellis, unsigned n_states);

/* params: step, then the shifts of union 0 and of union 1, times the step. false: the step is not a positive number, or a shift is longer than
 * two steps. */
bool hyper_trellis_frame_init (HyperTrellisFrame *frame, const float *params);

/* Bytes of scratch for hyper_trellis_encode(). */
size_t hyper_trellis_scratch_bytes (unsigned n_states, size_t length);

/*
 * The best path for each of n_segments segments of length numbers, one after the other in x. weights (or NULL): of the square of the
 * error of each number. symbols: points + 2^(bits - 1), 2 <= bits <= 16: as many of them as numbers; magnitudes
 * stay below 2^(bits - 1).
 */
void hyper_trellis_encode (const HyperTrellis *trellis, const HyperTrellisFrame *frame,
                           const HyperTrellisCost *cost, const float *weights, const float *x,
                           size_t n_segments, size_t length, unsigned bits, void *scratch,
                           uint32_t *symbols);

/* Adds what symbols made of x to the sums, and the symbols to counts (or NULL): 2^bits numbers for each union. */
void
hyper_trellis_sum (const HyperTrellis *trellis, const HyperTrellisFrame *frame,
                   const float *weights, const float *x, const uint32_t *symbols, size_t n_segments,
                   size_t length, unsigned bits, HyperTrellisSums *sums, uint32_t *counts);

/* points: 2^bits numbers for each of the unions: where a symbol lies. */
void hyper_trellis_points (const HyperTrellisFrame *frame, unsigned bits, float *points);

/* out: n_segments x length numbers. Returns their count, or the position of the first symbol out of range: 0, or of more than bits bits. */
size_t
hyper_trellis_decode (const HyperTrellis *trellis, const float *points, const uint32_t *symbols,
                      size_t n_segments, size_t length, unsigned bits, float *out);

/* What a trellis is fitted to, and what comes out. */
typedef struct {
  const HyperTrellis *trellis;
  const float *weights; /* or NULL */
  const float *x;
  size_t n_segments, length;
  float
      peak; /* largest magnitude of all that is to be coded: the step is so long that a symbol reaches it */
  unsigned bits; /* of a symbol */
  double nmse;   /* of the numbers (weighted): to be reached in place of bits; 0: none */
  void *scratch; /* hyper_trellis_fit_scratch_bytes() */
  float params[HYPER_TRELLIS_PARAMS];
  HyperTrellisCost cost;
  double rate, error; /* bits per number by ideal static tables; as HyperTrellisSums tells it */
} HyperTrellisFit;

size_t hyper_trellis_fit_scratch_bytes (const HyperTrellisFit *fit);

/* Chooses params and cost so that symbols take so many bits per number at the least error. Numbers that are all zero: a step of 1. */
void hyper_trellis_fit (HyperTrellisFit *fit, double bits);
