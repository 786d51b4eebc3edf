/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "seedlm-basis-kernel.h"

/*
 * Direction lists. Pure C11.
 *
 * Some thousand directions d, and for each the seeds whose spans come nearest to it, in order. A block w is near one of the
 * directions, so that its best seeds stand early in that direction's list: angle (w, seed) >= angle (d, seed) - angle (w, d).
 *
 * Orthonormal bases of all seeds are kept in bytes, 16 for 4 elements of a block, and blocks are rounded to bytes, too. So
 * energies come from integers, alike on all processors, and are known to within an angle: that of the rounding.
 */

#define SEEDLM_LISTS_MAX_BLOCK 32
#define SEEDLM_LISTS_MAX_RANK 4
#define SEEDLM_LISTS_FACTORS 12 /* room for those of a seed */
#define SEEDLM_LISTS_STEP 16    /* seeds looked at together */

/**
 * SeedlmListsShape:
 * @n_coarse, @n_fine: directions: n_coarse groups of n_fine
 * @length: seeds of a list, a multiple of SEEDLM_LISTS_STEP
 * @place_bytes: 2 or 4
 * @n_steps: length / SEEDLM_LISTS_STEP
 * @is_exact: is the true minimum found faster with lists than without?
 * @enough: seeds of a list that a fast search is content with: that costs 0.05 dB at most
 */
typedef struct {
  unsigned n_coarse, n_fine;
  size_t length, n_steps, enough;
  int is_exact;
  unsigned place_bytes;
} SeedlmListsShape;

/**
 * SeedlmLists:
 * @tilt: angle between the span of a seed and that of its rounded basis, at most
 * @gain: squares of the rounded bases' singular values are between 1 / gain and gain
 * @record: bytes of a seed's basis
 * @factors: triangular factors of the basis, SEEDLM_LISTS_FACTORS numbers of a seed
 * @coarse, @fine: unit vectors, block_size rows of n_coarse; for each of them, block_size rows of n_fine
 * @directions: the same as bytes: n_coarse vectors of block_size, then n_coarse * n_fine
 * @places: the lists: places in the sequence
 * @bounds: for every step, the energy that none of its seeds and those behind exceeds, in 4096ths of 1; one more for the end
 */
typedef struct {
  const SeedlmBasis *basis;
  SeedlmListsShape shape;
  size_t record;
  double tilt, gain;
  uint8_t *records;
  float *coarse, *fine, *factors;
  int8_t *directions;
  void *places;
  uint16_t *bounds;
  struct SeedlmTraining *training; /* while they are built */
} SeedlmLists;

/* Lists for these numbers; 0 if all seeds are looked at as fast: other registers than those of 16 bits, large blocks, high ranks. */
int seedlm_lists_shape (unsigned seed_bits, unsigned block_size, unsigned rank,
                        SeedlmListsShape *shape);
uint64_t
seedlm_lists_bytes (unsigned seed_bits, unsigned block_size, const SeedlmListsShape *shape);
/* Without contents: those come of seedlm_lists_train() and seedlm_lists_build(), or from somewhere else. Then seedlm_lists_take(). */
SeedlmLists *seedlm_lists_new (const SeedlmBasis *basis, const SeedlmListsShape *shape);
void seedlm_lists_free (SeedlmLists *lists);
/* Sizes of directions, places, bounds and records, in bytes. */
void seedlm_lists_sizes (const SeedlmLists *lists, size_t sizes[4]);
/* Rounds the bases of all seeds and finds the coarse directions. 0 if memory runs out. */
int seedlm_lists_train (SeedlmLists *lists);
/* Finds the fine directions of group @coarse and builds their lists. Any order, any thread. 0 if memory runs out. */
int seedlm_lists_build (SeedlmLists *lists, unsigned coarse);
/* When all contents are there. 0 if they cannot be right. */
int seedlm_lists_take (SeedlmLists *lists);

/**
 * SeedlmQuery:
 * @pattern: the rounded block, laid out as a basis is
 * @offset: what the bytes' offset of 128 adds to each sum
 * @scale: from sums of squares to energies
 * @tilt: angle that an energy may be wrong by
 * @turn: angle between the block and the list's direction
 *
 * One block on its way through a list.
 */
typedef struct {
  _Alignas(64) int8_t pattern[4 * SEEDLM_LISTS_MAX_BLOCK];
  int32_t offset;
  double scale, tilt, tilt_sine, tilt_cosine, turn;
  const void *places;
  const uint16_t *bounds;
} SeedlmQuery;

/* The nearest direction that a search in two levels finds; @block: any but zeros. */
size_t seedlm_lists_find (const SeedlmLists *lists, const float *block);
/* @block: of norm 1; @direction: whose list it goes through, best the nearest */
void seedlm_query_init (SeedlmQuery *query, const SeedlmLists *lists, const float *block,
                        size_t direction);
/*
 * Steps of the list that seeds whose error, relative to |w|^2, is no more than @error may be in. @is_all: there are none behind
 * its end.
 */
size_t
seedlm_query_extent (const SeedlmQuery *query, const SeedlmLists *lists, double error, int *is_all);
/* Sum of squares that these seeds reach at least. */
float seedlm_query_low (const SeedlmQuery *query, const SeedlmLists *lists, double error);

/* A seed and its sum of squares. */
typedef SeedlmCandidate SeedlmHit;
/*
 * The seeds of steps from..to whose squares are low or more, in the order of the list; of more than @max - 16, the first.
 * Returns how many.
 */
size_t seedlm_query_scan (const SeedlmQuery *query, const SeedlmLists *lists, size_t from,
                          size_t to, float low, SeedlmHit *hits, size_t max);
/* Puts energies, within the margin of the basis, in place of sums of squares; @block as for seedlm_query_init(). */
void seedlm_query_refine (const SeedlmQuery *query, const SeedlmLists *lists, const float *block,
                          SeedlmHit *hits, size_t n);
/* seedlm_query_scan() for @n_steps steps of places of @place_bytes. */
size_t seedlm_query_scan_places (const SeedlmQuery *query, const SeedlmLists *lists,
                                 const void *places, unsigned place_bytes, size_t n_steps,
                                 float low, SeedlmHit *hits, size_t max);
