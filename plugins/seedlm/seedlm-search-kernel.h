/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "seedlm-lists-kernel.h"

/*
 * The best seed of a block: the one whose error after quantization of its coefficients is least. Pure C11.
 *
 * Seeds are visited in descending order of energy. What is left of |w|^2 bounds the error from below, so that the search
 * stops, with the true minimum, when the bound passes the best error so far. Equal errors: the lowest seed.
 */

/**
 * SeedlmQuantize:
 * @t: n x rank coefficients
 * @metric: n x rank x rank: U'U of each
 * @codes: n x n_codes symbols, to be filled; NULL if n_codes is 0
 * @t_hat: n x rank: what a decoder will see, to be filled
 *
 * Returns 0 on failure, which ends the search.
 */
typedef int (*SeedlmQuantize) (void *user_data, const float *t, size_t n, const float *metric,
                               uint32_t *codes, float *t_hat);

/* The choice for a block of zeros: the same for all of them. */
typedef struct {
  uint32_t seed;
  float t_hat[SEEDLM_MAX_RANK];
  const uint32_t *codes;
  double error;
} SeedlmZero;

/**
 * SeedlmSearchParams:
 * @quantize: NULL: coefficients are kept as they are
 * @n_codes: symbols per vector of coefficients
 * @max_candidates: seeds tried per block at most; 0: as many as it takes
 * @zero: NULL, or what to choose for blocks of zeros, which otherwise are tried with every seed until one fits exactly
 */
typedef struct {
  SeedlmQuantize quantize;
  void *user_data;
  unsigned n_codes;
  size_t max_candidates;
  const SeedlmZero *zero;
} SeedlmSearchParams;

typedef struct SeedlmSearch SeedlmSearch; /* working memory of one thread */
SeedlmSearch *seedlm_search_new (const SeedlmBasis *basis, unsigned n_codes);
void seedlm_search_free (SeedlmSearch *search);
/*
 * From now on the error of all blocks is (w - U t)' M (w - U t): @matrix, block_size x block_size, symmetric and positive definite; NULL: as before, |w - U t|^2.
 * A matrix under which no seed spans its dimensions counts as none. Returns 0 if memory runs out: then it is as before.
 */
int seedlm_search_weigh (SeedlmSearch *search, const float *matrix);
uint64_t seedlm_search_weigh_bytes (const SeedlmSearch *search);
/*
 * @lists: looked through before anything else where they help; NULL: all seeds are looked at. @most_seeds: of a list; 0: as many as
 * the true minimum takes. 0 if memory runs out.
 */
int seedlm_search_set_lists (SeedlmSearch *search, const SeedlmLists *lists, size_t most_seeds);
/* What that takes. */
uint64_t
seedlm_search_lists_bytes (unsigned block_size, unsigned rank, const SeedlmListsShape *shape);
uint64_t
seedlm_search_bytes (unsigned seed_bits, unsigned block_size, unsigned rank, unsigned n_codes);

/*
 * @blocks: n x block_size floats, any n. @weights: NULL, or weights of their squared errors (> 0): then the most energetic seeds
 * only are weighed, not all. Fills @seeds (n), @t_hat (n x rank), @codes (n x n_codes, or NULL), @errors (n, or NULL).
 * Returns 0 if quantize failed.
 */
int seedlm_search_run (SeedlmSearch *search, const SeedlmSearchParams *params, const float *blocks,
                       const float *weights, size_t n, uint32_t *seeds, float *t_hat,
                       uint32_t *codes, double *errors);

/* The @keep most energetic seeds of each of n blocks, in descending order: n x keep candidates, padded with place = UINT32_MAX. */
void seedlm_search_collect (SeedlmSearch *search, const float *blocks, size_t n, size_t keep,
                            SeedlmCandidate *candidates);
/* seedlm_search_run() among collected candidates. Fills @places (n): where in the sequence, for seedlm_project(). */
int seedlm_search_choose (SeedlmSearch *search, const SeedlmSearchParams *params,
                          const float *blocks, const float *weights, size_t n, size_t keep,
                          const SeedlmCandidate *candidates, uint32_t *places, double *errors);
/* Least-squares coefficients of one block for the values of a seed, and their metric U'DU; D is 1 without weights. */
void seedlm_project (const float *u, unsigned block_size, unsigned rank, const float *block,
                     const float *weights, float *t, float *metric);
#define SEEDLM_PROJECTIONS 8 /* solved side by side */
typedef struct {
  const float *u, *block, *weights;
} SeedlmProjection;
/* seedlm_project() of n, into n x rank and n x rank x rank numbers. */
void seedlm_project_many (const SeedlmProjection *jobs, unsigned n, unsigned block_size,
                          unsigned rank, float *t, float *metric);
/* The same with a matrix D. */
void seedlm_project_metric (const float *u, unsigned block_size, unsigned rank, const float *block,
                            const float *m, float *t, float *metric);
