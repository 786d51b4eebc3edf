/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "seedlm-search-kernel.h"

/* What the files of the search share: seedlm-search-kernel.c looks at all seeds, seedlm-listed-kernel.c at those in lists of directions. */

#define SEEDLM_BATCH 512 /* coefficient vectors per call of the quantizer */
#define SEEDLM_CHUNK 32  /* blocks searched together */

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
};

/* Can a seed of so much energy, or less, still win? */
static inline int
seedlm_may_win (const SeedlmSearch *self, const SeedlmJob *job, float energy)
{
  if (job->weights)
    return 1;
  return (1.0 - (double) energy - self->basis->margin) * job->norm <= job->best;
}

/* Tries the entries of the lists in order until none of them can win. Jobs first..first+n use lists[0..n). */
int seedlm_try_lists (SeedlmSearch *self, const SeedlmSearchParams *params, const unsigned *jobs,
                      unsigned n_jobs);
/* Searches jobs by lists of directions. Leaves in @jobs those whose lists end too early. 0: the quantizer failed. */
int seedlm_search_listed (SeedlmSearch *self, const SeedlmSearchParams *params, unsigned *jobs,
                          unsigned *n_jobs);
/* The @keep most energetic seeds of jobs 0..n that are near in their lists, into lists 0..n. 0: the lists do not do. */
int seedlm_collect_listed (SeedlmSearch *self, unsigned n, size_t keep);
