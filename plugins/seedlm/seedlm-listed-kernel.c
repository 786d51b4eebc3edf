/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "seedlm-search-private.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/*
 * The search by lists of directions. A guess at the error says how far to go in a list at first; the error that is found there,
 * how far indeed. What lists cannot settle is left to the scan of all seeds.
 */

#define GUESS 1.2 /* of the mean error */

int
seedlm_search_set_lists (SeedlmSearch *self, const SeedlmLists *lists, size_t most_seeds)
{
  self->directions = lists;
  self->most_steps = most_seeds / SEEDLM_LISTS_STEP;
  self->guess = 1 - self->plain->hints[0];
  free (self->queries);
  self->queries = lists ? aligned_alloc (64, SEEDLM_CHUNK * sizeof *self->queries) : NULL;
  return !lists || self->queries;
}

/* How far a job has come: what may have so small an error, relative to its norm, in steps 0..n_steps of its list, has been tried. */
typedef struct {
  size_t n_steps;
  double error;
} Reach;

/* Is this the energy of a seed that may have so small an error? */
static int
is_within (const SeedlmSearch *self, float energy, double error)
{
  return 1 - (double) energy - self->basis->margin <= error;
}

/* Takes the steps from..to of a list for errors in (above, error] behind its entries. 0: they do not fit. */
static int
take_steps (SeedlmSearch *self, unsigned job, unsigned j, size_t from, size_t to, double above,
            double error)
{
  const SeedlmQuery *query = &self->queries[j];
  const size_t room = self->pool_size / SEEDLM_CHUNK;
  SeedlmList *list = &self->lists[j];
  SeedlmCandidate *hits = list->entries + list->n;
  const size_t n =
      seedlm_query_scan (query, self->directions, from, to,
                         seedlm_query_low (query, self->directions, error), hits, room - list->n);
  const int fits = list->n + n + SEEDLM_LISTS_STEP <= room;
  seedlm_query_refine (query, self->directions,
                       self->normed + (size_t) job * self->basis->block_size, hits, n);
  for (size_t i = 0; i < n; i++)
    if (is_within (self, hits[i].energy, error) && !is_within (self, hits[i].energy, above))
      list->entries[list->n++] = hits[i];
  return fits;
}

/* Fills a job's list with what has to be tried still. 0: it does not fit. */
static int
extend (SeedlmSearch *self, unsigned job, unsigned j, Reach *reach, const Reach *wanted)
{
  int fits = 1;
  if (wanted->error > reach->error && reach->n_steps > 0)
    fits = take_steps (self, job, j, 0, reach->n_steps, reach->error, wanted->error);
  if (wanted->n_steps > reach->n_steps) {
    fits = take_steps (self, job, j, reach->n_steps, wanted->n_steps, -1, wanted->error) && fits;
    reach->n_steps = wanted->n_steps;
  }
  reach->error = wanted->error;
  seedlm_sort_candidates (self->lists[j].entries, self->lists[j].n);
  return fits;
}

/* How far a job has to go, as things are. 0: the lists are of no use. */
static int
wanted_reach (const SeedlmSearch *self, const SeedlmJob *job, unsigned j, unsigned round,
              size_t all, Reach *wanted)
{
  const int is_known = job->best < INFINITY;
  int is_all;
  wanted->error = is_known ? job->best / job->norm : ldexp (self->guess, 2 * (int) round);
  wanted->n_steps =
      seedlm_query_extent (&self->queries[j], self->directions, wanted->error, &is_all);
  wanted->n_steps = wanted->n_steps < all ? wanted->n_steps : all;
  return is_known ? is_all || self->most_steps : wanted->error < 4;
}

int
seedlm_search_listed (SeedlmSearch *self, const SeedlmSearchParams *params, unsigned *jobs,
                      unsigned *n_jobs)
{
  const size_t all = self->most_steps && self->most_steps < self->directions->shape.n_steps
                         ? self->most_steps
                         : self->directions->shape.n_steps;
  const unsigned n = *n_jobs;
  unsigned now[SEEDLM_CHUNK], active = n, left = 0;
  Reach reach[SEEDLM_CHUNK];
  double sum = 0;
  memcpy (now, jobs, n * sizeof *now);
  for (unsigned j = 0; j < n; j++) {
    seedlm_query_init (&self->queries[j], self->directions,
                       self->normed + (size_t) now[j] * self->basis->block_size);
    self->lists[j] = (SeedlmList){ .entries = self->pool + j * (self->pool_size / SEEDLM_CHUNK) };
    reach[j] = (Reach){ .error = -1 };
  }
  for (unsigned round = 0; active > 0; round++) {
    active = 0;
    for (unsigned j = 0; j < n; j++) {
      SeedlmJob *job = &self->jobs[now[j]];
      Reach wanted;
      self->lists[j].n = job->next = 0;
      if (job->done)
        continue;
      const int is_of_use = wanted_reach (self, job, j, round, all, &wanted);
      job->done = wanted.n_steps <= reach[j].n_steps && wanted.error <= reach[j].error;
      if (is_of_use && job->done)
        continue;
      if (!is_of_use || (!extend (self, now[j], j, &reach[j], &wanted) && !self->most_steps)) {
        job->done = 1;
        self->lists[j].n = 0;
        jobs[left++] = now[j];
        continue;
      }
      active++;
    }
    if (!seedlm_try_lists (self, params, now, n))
      return 0;
  }
  for (unsigned j = 0; j < n; j++)
    sum += self->jobs[now[j]].best / self->jobs[now[j]].norm;
  /* Whoever gets below the guess is done in one round. Changes the time only. */
  if (n > 0)
    self->guess = 0.75 * self->guess + 0.25 * fmin (1, GUESS * sum / n);
  *n_jobs = left;
  return 1;
}

int
seedlm_collect_listed (SeedlmSearch *self, unsigned n, size_t keep)
{
  const SeedlmListsShape *shape = &self->directions->shape;
  const size_t room = self->pool_size / SEEDLM_CHUNK;
  const size_t n_steps = shape->enough / SEEDLM_LISTS_STEP;
  for (unsigned j = 0; j < n; j++) {
    if (self->jobs[j].norm == 0)
      return 0;
    seedlm_query_init (&self->queries[j], self->directions,
                       self->normed + (size_t) j * self->basis->block_size);
    self->lists[j] = (SeedlmList){ .entries = self->pool + j * room };
    /* Some more than are wanted, of which many are near; of a block with fewer, some that are not. */
    for (unsigned level = 1; level < SEEDLM_N_LEVELS && self->lists[j].n < keep; level++) {
      self->lists[j].n = 0;
      if (!take_steps (self, j, j, 0, n_steps, -1, 1 - self->basis->hints[level]))
        break;
    }
    if (self->lists[j].n == 0)
      return 0;
    seedlm_sort_candidates (self->lists[j].entries, self->lists[j].n);
  }
  return 1;
}
