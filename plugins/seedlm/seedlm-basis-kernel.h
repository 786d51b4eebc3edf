/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "seedlm-kernel.h"

/*
 * Least squares of many blocks against the matrices U of all seeds. Pure C11.
 *
 * Column p of U(seed n) is the window of every rank-th value from n + p on. So the correlations of a block with all columns
 * of all seeds are one sliding correlation, r[n] = sum over i of values[n + i * rank] * w[i]; a triangular factor per seed
 * turns rank neighbours of r into the block's coordinates in an orthonormal basis of U. Their squares sum to its energy:
 * the part of |w|^2 that the seed can represent. |w|^2 - energy bounds the error of any coefficients from below.
 */

#define SEEDLM_GROUP 16 /* blocks scanned at once */
#define SEEDLM_TILE 384 /* seeds per pass */
#define SEEDLM_N_LEVELS 4
#define SEEDLM_LEVEL(level) ((size_t) 32 << 2 * (level))
#define SEEDLM_EXTRA 3072 /* extra values that a sequence needs for any basis */

/**
 * SeedlmBasis:
 * @n_usable: seeds that are searched: those with a condition number below 10^6
 * @n_hard: of these, the ones whose energy is computed from an explicit orthonormal basis
 * @hints: the energy that about SEEDLM_LEVEL (i) seeds exceed, for most blocks; -1 where there are no so many
 * @margin: bound on the error of an energy, relative to |w|^2
 * @bytes: size of the tables
 * @factors: for 8 seeds at a time, rank * (rank + 1) / 2 rows of 8; NaN where a seed is not to be found here
 * @hard_room: of these there is room for
 * @hard: their places in the sequence
 * @hard_basis: for 8 of them at a time, block_size * rank rows of 8
 */
typedef struct {
  const SeedlmSequence *sequence;
  unsigned block_size, rank;
  uint32_t n_padded, n_usable, n_hard, hard_room;
  float hints[SEEDLM_N_LEVELS];
  float margin;
  uint64_t bytes;
  float *factors;
  uint32_t *hard;
  float *hard_basis;
} SeedlmBasis;

/* Upper bound of the tables' bytes without building them, the sequence included. */
uint64_t seedlm_basis_bound (unsigned seed_bits, unsigned block_size, unsigned rank);
/* NULL if memory runs out. @sequence must outlive it and have SEEDLM_EXTRA extra values. rank <= block_size. */
SeedlmBasis *seedlm_basis_new (const SeedlmSequence *sequence, unsigned block_size, unsigned rank);
void seedlm_basis_free (SeedlmBasis *basis);
/* For those who fill one: a new hard seed, and where the first number of its basis goes (the next is 8 floats on); NULL if memory runs out. */
float *seedlm_basis_add_hard (SeedlmBasis *basis, uint32_t place);
/* Bound on the error of an energy where no seed's condition number is above @condition. */
float seedlm_basis_margin (unsigned block_size, unsigned rank, double condition);

#define SEEDLM_BASIS_LANES 8 /* seeds whose factors are interleaved */
/* The first of a seed's factors; the others follow at distances of SEEDLM_BASIS_LANES. */
static inline const float *
seedlm_basis_factors (const SeedlmBasis *basis, uint32_t place)
{
  const unsigned triangle = basis->rank * (basis->rank + 1) / 2;
  return basis->factors + (size_t) (place / SEEDLM_BASIS_LANES) * triangle * SEEDLM_BASIS_LANES +
         place % SEEDLM_BASIS_LANES;
}

/* Fills @q (block_size x rank) with an orthonormal basis of U. Returns its condition number; infinity: not to be searched. */
double seedlm_orthonormal (const float *u, unsigned block_size, unsigned rank, double *q);
/* A block of norm 1, nearly normal; @random is the state of the generator. */
void seedlm_random_block (float *block, unsigned block_size, uint32_t *random);

/* A seed (by its place in the sequence) and the energy of a block in its span, between 0 and 1 for a block of norm 1. */
typedef struct {
  float energy;
  uint32_t place;
} SeedlmCandidate;

/* By descending energy, then place. */
void seedlm_sort_candidates (SeedlmCandidate *candidates, size_t n);

/**
 * SeedlmList:
 * @low: only energies >= low are of interest; rises as the list fills
 * @high: only energies <= high are
 * @n, @keep: entries; when there are 2 * keep, the best keep stay
 * @dropped: entries were dropped, or left out because of @low
 *
 * The best seeds of one block.
 */
typedef struct {
  float low, high;
  size_t n, keep;
  int dropped;
  SeedlmCandidate *entries;
} SeedlmList;

/* Floats that seedlm_scan() needs as scratch, 32-byte aligned. */
size_t seedlm_scan_scratch (unsigned block_size);
/*
 * Finds the best seeds of @n <= SEEDLM_GROUP blocks (n x block_size floats, each of norm 1): fills lists[0..n), which the caller
 * has set up with low = one of the hints, or -1. Entries end up in descending order of energy.
 */
void seedlm_scan (const SeedlmBasis *basis, const float *blocks, unsigned n, SeedlmList *lists,
                  float *scratch);
