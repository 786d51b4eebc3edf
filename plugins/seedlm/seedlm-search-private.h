/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "seedlm-cell-kernel.h"
#include "seedlm-search-kernel.h"

/* What the files of the search share: seedlm-search-kernel.c looks at all seeds, seedlm-listed-kernel.c at those in lists of directions. */

#define SEEDLM_BATCH 512                  /* coefficient vectors per call of the quantizer */
#define SEEDLM_CHUNK 32                   /* blocks searched together */
#define SEEDLM_ORDERED ((size_t) 1 << 16) /* blocks put in order together */

typedef struct {
  const float *block, *weights;
  double norm, best;
  uint32_t best_seed, best_place;
  size_t next, visited;
  int done;
} SeedlmJob;

struct SeedlmSearch {
  const SeedlmBasis *plain;
  SeedlmBasis *weighed;     /* under the last metric; NULL before the first */
  const SeedlmBasis *basis; /* of the two, the one in use */
  float *matrix;            /* the metric */
  unsigned n_codes;
  unsigned level; /* that most blocks need */
  size_t pool_size;
  SeedlmCandidate *pool;
  SeedlmList lists[SEEDLM_CHUNK];
  SeedlmJob jobs[SEEDLM_CHUNK];
  float *scratch, *normed;
  float *t, *metric, *t_hat, *best_t;
  uint32_t *codes, *best_codes;
  uint32_t place[SEEDLM_BATCH];
  unsigned owner[SEEDLM_BATCH];
  const SeedlmLists *directions; /* NULL: all seeds are looked at */
  size_t most_steps;             /* of a list; 0: as many as it takes */
  double guess;                  /* error that most blocks get below, relative to their norm */
  SeedlmQuery *queries;          /* SEEDLM_CHUNK */
  unsigned n_queries;
  SeedlmCells *cells;
  uint32_t *order; /* SEEDLM_ORDERED blocks by direction, and their directions in that order */
  const uint32_t *found; /* directions of the jobs; NULL: they are looked for */
};

/* Can a seed of so much energy, or less, still win? */
static inline int
seedlm_may_win (const SeedlmSearch *self, const SeedlmJob *job, float energy)
{
  if (job->weights)
    return 1;
  return (1.0 - (double) energy - self->basis->margin) * job->norm <= job->best;
}

/* Are blocks, unless they have weights, looked for in lists of directions? */
static inline int
seedlm_uses_lists (const SeedlmSearch *self, const SeedlmSearchParams *params)
{
  return self->directions && self->basis == self->plain && !params->max_candidates;
}

/* Tries the entries of the lists in order until none of them can win. Jobs first..first+n use lists[0..n). */
int seedlm_try_lists (SeedlmSearch *self, const SeedlmSearchParams *params, const unsigned *jobs,
                      unsigned n_jobs);
/* Searches jobs by lists of directions. Leaves in @jobs those whose lists end too early. 0: the quantizer failed. */
int seedlm_search_listed (SeedlmSearch *self, const SeedlmSearchParams *params, unsigned *jobs,
                          unsigned *n_jobs);
/* The @keep most energetic seeds of jobs 0..n that are near in their lists, into lists 0..n. 0: the lists do not do. */
int seedlm_collect_listed (SeedlmSearch *self, unsigned n, size_t keep);
/* Searches blocks 0..n <= SEEDLM_CHUNK; what is found stands in jobs, best_t and best_codes. 0: the quantizer failed. */
int seedlm_search_now (SeedlmSearch *self, const SeedlmSearchParams *params, const float *blocks,
                       const float *weights, unsigned n);
/* seedlm_search_run() without weights, in the order of directions: blocks that go through one list come together. */
int
seedlm_search_ordered (SeedlmSearch *self, const SeedlmSearchParams *params, const float *blocks,
                       size_t n, uint32_t *seeds, float *t_hat, uint32_t *codes, double *errors);
