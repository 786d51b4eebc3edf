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

uint64_t
seedlm_search_lists_bytes (unsigned block_size, unsigned rank, const SeedlmListsShape *shape)
{
  const uint64_t n_directions = (uint64_t) shape->n_coarse * shape->n_fine;
  return SEEDLM_CHUNK * sizeof (SeedlmQuery) +
         (3 * SEEDLM_ORDERED + n_directions + 1) * sizeof (uint32_t) +
         seedlm_cells_bytes (block_size, rank, shape);
}

int
seedlm_search_set_lists (SeedlmSearch *self, const SeedlmLists *lists, size_t most_seeds)
{
  self->most_steps = most_seeds / SEEDLM_LISTS_STEP;
  self->guess = 1 - self->plain->hints[0];
  if (lists && lists == self->directions)
    return 1;
  free (self->queries);
  free (self->order);
  seedlm_cells_free (self->cells);
  self->queries = NULL;
  self->order = NULL;
  self->cells = NULL;
  self->directions = NULL;
  if (!lists)
    return 1;
  self->queries = aligned_alloc (64, SEEDLM_CHUNK * sizeof *self->queries);
  self->order = malloc (2 * SEEDLM_ORDERED * sizeof *self->order);
  self->cells = seedlm_cells_new (lists);
  if (!self->queries || !self->order || !self->cells)
    return 0;
  self->directions = lists;
  return 1;
}

/* How far a job has come: what may have so small an error, relative to its norm, in steps 0..n_steps of its list, has been tried. */
typedef struct {
  size_t n_steps;
  double error;
} Reach;

/* The energy of a seed that may have so small an error is as large at least. */
static double
least_energy (const SeedlmSearch *self, double error)
{
  return 1 - error - self->basis->margin;
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
  const float low = seedlm_query_low (query, self->directions, error);
  const int shared = (j > 0 && query->places == self->queries[j - 1].places) ||
                     (j + 1 < self->n_queries && query->places == self->queries[j + 1].places);
  const size_t n =
      shared ? seedlm_cells_scan (self->cells, query, from, to, low, hits, room - list->n)
             : seedlm_query_scan (query, self->directions, from, to, low, hits, room - list->n);
  const int fits = list->n + n + SEEDLM_LISTS_STEP <= room;
  seedlm_query_refine (query, self->directions,
                       self->normed + (size_t) job * self->basis->block_size, hits, n);
  const double least = least_energy (self, error), tried = least_energy (self, above);
  for (size_t i = 0; i < n; i++) { /* no branch: it would be guessed wrong too often */
    list->entries[list->n] = hits[i];
    list->n += hits[i].energy >= least && hits[i].energy < tried;
  }
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

static void
start_query (SeedlmSearch *self, unsigned job, unsigned j)
{
  const float *block = self->normed + (size_t) job * self->basis->block_size;
  seedlm_query_init (&self->queries[j], self->directions, block,
                     self->found ? self->found[job] : seedlm_lists_find (self->directions, block));
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
  self->n_queries = n;
  for (unsigned j = 0; j < n; j++) {
    start_query (self, now[j], j);
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
    start_query (self, j, j);
    self->n_queries = j + 1;
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

/* --- many blocks ----------------------------------------------------------------------------------------------------- */

/* Fills self->order: blocks by direction, those of one in their order. */
static int
put_in_order (SeedlmSearch *self, const float *blocks, size_t n)
{
  const SeedlmListsShape *shape = &self->directions->shape;
  const size_t n_directions = (size_t) shape->n_coarse * shape->n_fine;
  uint32_t *first = calloc (n_directions + 1, sizeof *first);
  uint32_t *own = malloc (n * sizeof *own);
  if (first && own) {
    for (size_t b = 0; b < n; b++) {
      own[b] =
          (uint32_t) seedlm_lists_find (self->directions, blocks + b * self->basis->block_size);
      first[own[b] + 1]++;
    }
    for (size_t d = 0; d < n_directions; d++)
      first[d + 1] += first[d];
    for (size_t b = 0; b < n; b++) {
      const uint32_t at = first[own[b]]++;
      self->order[at] = (uint32_t) b;
      self->order[SEEDLM_ORDERED + at] = own[b];
    }
  }
  const int ok = first && own;
  free (first);
  free (own);
  return ok;
}

int
seedlm_search_ordered (SeedlmSearch *self, const SeedlmSearchParams *params, const float *blocks,
                       size_t n, uint32_t *seeds, float *t_hat, uint32_t *codes, double *errors)
{
  const unsigned block_size = self->basis->block_size, rank = self->basis->rank;
  float chunk[SEEDLM_CHUNK * SEEDLM_LISTS_MAX_BLOCK];
  int ok = 1;
  for (size_t from = 0; ok && from < n; from += SEEDLM_ORDERED) {
    const size_t piece = n - from < SEEDLM_ORDERED ? n - from : SEEDLM_ORDERED;
    ok = put_in_order (self, blocks + from * block_size, piece);
    for (size_t at = 0; ok && at < piece; at += SEEDLM_CHUNK) {
      const unsigned now = piece - at < SEEDLM_CHUNK ? (unsigned) (piece - at) : SEEDLM_CHUNK;
      for (unsigned b = 0; b < now; b++)
        memcpy (chunk + (size_t) b * block_size, blocks + (from + self->order[at + b]) * block_size,
                block_size * sizeof *chunk);
      self->found = self->order + SEEDLM_ORDERED + at;
      ok = seedlm_search_now (self, params, chunk, NULL, now);
      self->found = NULL;
      for (unsigned b = 0; ok && b < now; b++) {
        const size_t block = from + self->order[at + b];
        seeds[block] = self->jobs[b].best_seed;
        if (errors)
          errors[block] = self->jobs[b].best;
        memcpy (t_hat + block * rank, self->best_t + (size_t) b * rank, rank * sizeof *t_hat);
        if (codes)
          memcpy (codes + block * self->n_codes, self->best_codes + (size_t) b * self->n_codes,
                  self->n_codes * sizeof *codes);
      }
    }
  }
  return ok;
}
