/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "seedlm-search-private.h"
#include "seedlm-weigh-kernel.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define WEIGHED 256 /* seeds tried per block where errors are weighted */

static size_t
pool_entries (unsigned seed_bits)
{
  size_t all = (size_t) (seed_bits <= 16 ? 3 : 2) << seed_bits; /* 3: all that a fast search sees */
  size_t least = 4 * SEEDLM_LEVEL (SEEDLM_N_LEVELS - 1);
  return all > least ? all : least;
}

uint64_t
seedlm_search_bytes (unsigned seed_bits, unsigned block_size, unsigned rank, unsigned n_codes)
{
  uint64_t floats =
      seedlm_scan_scratch (block_size) + (uint64_t) SEEDLM_CHUNK * (block_size + rank) +
      (uint64_t) SEEDLM_BATCH * (2 * rank + rank * rank) +
      (uint64_t) (SEEDLM_BATCH + SEEDLM_CHUNK) * n_codes + (uint64_t) block_size * block_size;
  return sizeof (SeedlmSearch) + floats * sizeof (float) +
         (uint64_t) pool_entries (seed_bits) * sizeof (SeedlmCandidate);
}

static void *
new_array (size_t n)
{
  return aligned_alloc (32, (n * 4 + 32) / 32 * 32);
}

SeedlmSearch *
seedlm_search_new (const SeedlmBasis *basis, unsigned n_codes)
{
  SeedlmSearch *self = calloc (1, sizeof *self);
  if (!self)
    return NULL;
  unsigned rank = basis->rank;
  self->plain = self->basis = basis;
  self->n_codes = n_codes;
  self->pool_size = pool_entries (basis->sequence->seed_bits);
  self->pool = malloc (self->pool_size * sizeof *self->pool);
  self->scratch = new_array (seedlm_scan_scratch (basis->block_size));
  self->normed = new_array ((size_t) SEEDLM_CHUNK * basis->block_size);
  self->t = new_array ((size_t) SEEDLM_BATCH * rank);
  self->metric = new_array ((size_t) SEEDLM_BATCH * rank * rank);
  self->t_hat = new_array ((size_t) SEEDLM_BATCH * rank);
  self->best_t = new_array ((size_t) SEEDLM_CHUNK * rank);
  self->codes = new_array ((size_t) SEEDLM_BATCH * n_codes);
  self->best_codes = new_array ((size_t) SEEDLM_CHUNK * n_codes);
  if (!self->pool || !self->scratch || !self->normed || !self->t || !self->metric || !self->t_hat ||
      !self->best_t || !self->codes || !self->best_codes) {
    seedlm_search_free (self);
    return NULL;
  }
  return self;
}

void
seedlm_search_free (SeedlmSearch *self)
{
  if (!self)
    return;
  if (self->weighed)
    seedlm_weighed_free (self->weighed);
  free (self->matrix);
  free (self->pool);
  free (self->scratch);
  free (self->normed);
  free (self->t);
  free (self->metric);
  free (self->t_hat);
  free (self->best_t);
  free (self->codes);
  free (self->best_codes);
  seedlm_search_set_lists (self, NULL, 0);
  free (self);
}

int
seedlm_search_weigh (SeedlmSearch *self, const float *matrix)
{
  const size_t n = (size_t) self->plain->block_size * self->plain->block_size;
  self->basis = self->plain;
  if (!matrix)
    return 1;
  if (!self->matrix && !(self->matrix = new_array (n)))
    return 0;
  if (!self->weighed && !(self->weighed = seedlm_weighed_new (self->plain)))
    return 0;
  memcpy (self->matrix, matrix, n * sizeof *matrix);
  if (!seedlm_weigh (self->weighed, matrix))
    return 0;
  if (self->weighed->n_usable > 0)
    self->basis = self->weighed;
  return 1;
}

uint64_t
seedlm_search_weigh_bytes (const SeedlmSearch *self)
{
  return seedlm_weighed_bytes (self->plain->sequence->seed_bits, self->plain->block_size,
                               self->plain->rank);
}

static const float *
metric_of (const SeedlmSearch *self)
{
  return self->basis == self->plain ? NULL : self->matrix;
}

/* --- one seed -------------------------------------------------------------------------------------------------------- */

/* |w - U t|^2 as a decoder sees it, apart from the scale; under the metric, if there is one */
static double
error_of (const SeedlmSearch *self, const float *u, const float *w, const float *weights,
          const float *t)
{
  const unsigned block_size = self->basis->block_size;
  float out[SEEDLM_MAX_BLOCK];
  double error = 0, unused[SEEDLM_MAX_BLOCK];
  seedlm_decode (u, block_size, self->basis->rank, t, 1.0f, out);
  if (metric_of (self)) {
    for (unsigned i = 0; i < block_size; i++)
      out[i] = w[i] - out[i];
    return seedlm_weigh_block (self->matrix, block_size, out, unused);
  }
  for (unsigned i = 0; i < block_size; i++) {
    double d = (double) w[i] - out[i];
    error += weights ? weights[i] * d * d : d * d;
  }
  return error;
}

/* --- trying seeds ------------------------------------------------------------------------------------------------------ */

/* Least squares of the jobs self->owner[0..n) for self->place[0..n). */
static void
project_batch (SeedlmSearch *self, unsigned n)
{
  const unsigned block_size = self->basis->block_size, rank = self->basis->rank;
  const float *values = self->basis->sequence->values;
  SeedlmProjection jobs[SEEDLM_BATCH];
  for (unsigned i = 0; i < n; i++) {
    const SeedlmJob *job = &self->jobs[self->owner[i]];
    jobs[i] = (SeedlmProjection){ values + self->place[i], job->block, job->weights };
    if (metric_of (self))
      seedlm_project_metric (jobs[i].u, block_size, rank, job->block, self->matrix,
                             self->t + (size_t) i * rank, self->metric + (size_t) i * rank * rank);
  }
  if (!metric_of (self))
    seedlm_project_many (jobs, n, block_size, rank, self->t, self->metric);
}

/* Tries self->place[0..n) for the jobs self->owner[0..n). */
static int
try_batch (SeedlmSearch *self, const SeedlmSearchParams *params, unsigned n)
{
  const SeedlmSequence *sequence = self->basis->sequence;
  const unsigned rank = self->basis->rank;
  project_batch (self, n);
  const float *t_hat = self->t;
  if (params->quantize) {
    if (!params->quantize (params->user_data, self->t, n, self->metric,
                           self->n_codes ? self->codes : NULL, self->t_hat))
      return 0;
    t_hat = self->t_hat;
  }
  for (unsigned i = 0; i < n; i++) {
    unsigned owner = self->owner[i];
    SeedlmJob *job = &self->jobs[owner];
    uint32_t seed = sequence->states[self->place[i]];
    double error = error_of (self, sequence->values + self->place[i], job->block, job->weights,
                             t_hat + (size_t) i * rank);
    if (!(error < job->best || (error == job->best && seed < job->best_seed)))
      continue;
    job->best = error;
    job->best_seed = seed;
    job->best_place = self->place[i];
    memcpy (self->best_t + (size_t) owner * rank, t_hat + (size_t) i * rank, rank * sizeof (float));
    memcpy (self->best_codes + (size_t) owner * self->n_codes,
            self->codes + (size_t) i * self->n_codes, self->n_codes * sizeof (uint32_t));
  }
  return 1;
}

int
seedlm_try_lists (SeedlmSearch *self, const SeedlmSearchParams *params, const unsigned *jobs,
                  unsigned n_jobs)
{
  for (size_t each = 2;; each = each < 64 ? 2 * each : each) {
    unsigned n = 0, active = 0;
    for (unsigned j = 0; j < n_jobs; j++) {
      const SeedlmJob *job = &self->jobs[jobs[j]];
      const SeedlmList *list = &self->lists[j];
      active += job->next < list->n && seedlm_may_win (self, job, list->entries[job->next].energy);
    }
    if (active == 0)
      return 1;
    size_t share = SEEDLM_BATCH / active < each ? SEEDLM_BATCH / active : each;
    for (unsigned j = 0; j < n_jobs; j++) {
      SeedlmJob *job = &self->jobs[jobs[j]];
      const SeedlmList *list = &self->lists[j];
      for (size_t i = 0; i < share && job->next < list->n; i++, job->next++) {
        if (!seedlm_may_win (self, job, list->entries[job->next].energy))
          break;
        if (params->max_candidates && job->visited >= params->max_candidates) {
          job->next = list->n;
          break;
        }
        self->place[n] = list->entries[job->next].place;
        self->owner[n++] = jobs[j];
        job->visited++;
      }
    }
    if (n > 0 && !try_batch (self, params, n))
      return 0;
  }
}

/* --- all seeds --------------------------------------------------------------------------------------------------------- */

static void
start_jobs (SeedlmSearch *self, const float *blocks, const float *weights, unsigned n)
{
  unsigned block_size = self->basis->block_size;
  for (unsigned b = 0; b < n; b++) {
    SeedlmJob *job = &self->jobs[b];
    *job = (SeedlmJob){ .block = blocks + (size_t) b * block_size,
                        .best = INFINITY,
                        .best_seed = UINT32_MAX };
    float low = INFINITY, high = 0;
    for (unsigned i = 0; i < block_size; i++) {
      job->norm += (double) job->block[i] * job->block[i];
      float x = weights ? weights[(size_t) b * block_size + i] : 1;
      low = x < low ? x : low;
      high = x > high ? x : high;
    }
    if (low < high)
      job->weights = weights + (size_t) b * block_size;
    double weighed[SEEDLM_MAX_BLOCK];
    if (metric_of (self) && job->norm > 0)
      job->norm = seedlm_weigh_block (self->matrix, block_size, job->block, weighed);
    double inverse = job->norm > 0 ? 1 / sqrt (job->norm) : 0;
    for (unsigned i = 0; i < block_size; i++)
      self->normed[(size_t) b * block_size + i] =
          (float) ((metric_of (self) ? weighed[i] : job->block[i]) * inverse);
  }
}

/*
 * The hints of a basis under a metric come from another metric: they follow what the lists have shown. They change the time only.
 */
static void
adapt_hints (SeedlmSearch *self, unsigned n, float low)
{
  float *hints = self->weighed->hints;
  for (unsigned level = 0; level < SEEDLM_N_LEVELS; level++) {
    const size_t nth = SEEDLM_LEVEL (level);
    float sum = 0;
    if (nth >= 2 * self->lists[0].keep || hints[level] < 0)
      break;
    for (unsigned j = 0; j < n; j++)
      sum += nth < self->lists[j].n ? self->lists[j].entries[nth].energy : low - (1 - low) / 4;
    hints[level] = (hints[level] + sum / (float) n) / 2;
  }
  for (unsigned level = 1; level < SEEDLM_N_LEVELS; level++)
    hints[level] = hints[level] < hints[level - 1] ? hints[level] : hints[level - 1];
}

/* Lists of the best @keep seeds with low <= energy <= high for n <= SEEDLM_GROUP jobs, into lists[0..n). */
static void
scan_jobs (SeedlmSearch *self, const unsigned *jobs, unsigned n, size_t keep, float low,
           const float *high)
{
  unsigned block_size = self->basis->block_size;
  float normed[SEEDLM_GROUP * SEEDLM_MAX_BLOCK];
  for (unsigned j = 0; j < n; j++) {
    const SeedlmJob *job = &self->jobs[jobs[j]];
    /* Only those that can win are of interest, where an error is known. */
    const double useful = job->best < INFINITY && !job->weights
                              ? 1 - job->best / job->norm - self->basis->margin - 1e-6
                              : -1;
    self->lists[j] = (SeedlmList){ .low = useful > low ? (float) useful : low,
                                   .high = high[jobs[j]],
                                   .keep = keep,
                                   .dropped = low >= 0 || useful >= 0,
                                   .entries = self->pool + (size_t) j * 2 * keep };
    memcpy (normed + (size_t) j * block_size, self->normed + (size_t) jobs[j] * block_size,
            block_size * sizeof (float));
    self->jobs[jobs[j]].next = 0;
  }
  seedlm_scan (self->basis, normed, n, self->lists, self->scratch);
  if (metric_of (self) && low >= 0)
    adapt_hints (self, n, low);
}

/* A block of zeros: every seed has the same bound. */
static int
try_zero (SeedlmSearch *self, const SeedlmSearchParams *params, unsigned job_index)
{
  SeedlmJob *job = &self->jobs[job_index];
  const SeedlmBasis *basis = self->basis;
  for (uint32_t seed = 1; seed <= basis->sequence->period && job->best > 0;) {
    unsigned n = 0;
    for (; n < SEEDLM_BATCH && seed <= basis->sequence->period; seed++, n++) {
      self->place[n] = basis->sequence->index[seed];
      self->owner[n] = job_index;
    }
    if (!try_batch (self, params, n))
      return 0;
    if (params->max_candidates && seed > params->max_candidates)
      break;
  }
  return 1;
}

static void
take_zero (SeedlmSearch *self, const SeedlmZero *zero, unsigned job_index)
{
  unsigned rank = self->basis->rank;
  self->jobs[job_index].best = zero->error;
  self->jobs[job_index].best_seed = zero->seed;
  memcpy (self->best_t + (size_t) job_index * rank, zero->t_hat, rank * sizeof (float));
  if (self->n_codes)
    memcpy (self->best_codes + (size_t) job_index * self->n_codes, zero->codes,
            self->n_codes * sizeof (uint32_t));
}

/* Searches the jobs in @jobs, with lists of @keep seeds; sorts out those that need longer lists. */
static int
search_jobs (SeedlmSearch *self, const SeedlmSearchParams *params, unsigned *jobs, unsigned *n_jobs,
             size_t keep, float low, float *high)
{
  unsigned left = 0, group = SEEDLM_GROUP;
  while (group > 1 && (size_t) group * 2 * keep > self->pool_size)
    group /= 2;
  for (unsigned from = 0; from < *n_jobs; from += group) {
    unsigned n = *n_jobs - from < group ? *n_jobs - from : group;
    unsigned now[SEEDLM_GROUP];
    memcpy (now, jobs + from, n * sizeof *now);
    scan_jobs (self, now, n, keep, low, high);
    if (!seedlm_try_lists (self, params, now, n))
      return 0;
    for (unsigned j = 0; j < n; j++) {
      const SeedlmJob *job = &self->jobs[now[j]];
      const SeedlmList *list = &self->lists[j];
      int full = params->max_candidates && job->visited >= params->max_candidates;
      if (!list->dropped || job->weights || full || !seedlm_may_win (self, job, list->low))
        continue;
      high[now[j]] = list->low;
      jobs[left++] = now[j];
    }
  }
  *n_jobs = left;
  return 1;
}

/* Where many blocks needed a longer list, begin with that; where none did, with a shorter one. Changes the time only. */
static void
adapt_level (SeedlmSearch *self, unsigned n_jobs, unsigned n_scanned, unsigned n_short)
{
  unsigned n_deep = 0;
  if (self->level + 1 < SEEDLM_N_LEVELS && n_short > n_scanned / 8) {
    self->level++;
    return;
  }
  if (self->level == 0)
    return;
  for (unsigned b = 0; b < n_jobs; b++)
    n_deep += self->jobs[b].norm > 0 && self->jobs[b].visited > SEEDLM_LEVEL (self->level - 1);
  if (n_deep == 0)
    self->level--;
}

static int
search_chunk (SeedlmSearch *self, const SeedlmSearchParams *params, unsigned n)
{
  unsigned jobs[SEEDLM_CHUNK], n_jobs = 0, level = self->level;
  float high[SEEDLM_CHUNK];
  int weighed = 0;
  for (unsigned b = 0; b < n; b++) {
    high[b] = 2;
    weighed |= self->jobs[b].weights != NULL;
    if (self->jobs[b].norm > 0)
      jobs[n_jobs++] = b;
    else if (params->zero)
      take_zero (self, params->zero, b);
    else if (!try_zero (self, params, b))
      return 0;
  }
  if (weighed)
    level = SEEDLM_N_LEVELS;
  if (seedlm_uses_lists (self, params) && !weighed) {
    if (!seedlm_search_listed (self, params, jobs, &n_jobs))
      return 0;
    /* Few are left, and much is known of them: a list as long as it takes. */
    level = n_jobs > 0 ? SEEDLM_N_LEVELS - 1 : level;
  }
  unsigned n_scanned = n_jobs, n_short = 0;
  for (unsigned first = level; n_jobs > 0; level++) {
    size_t keep = level < SEEDLM_N_LEVELS ? 2 * SEEDLM_LEVEL (level)
                  : weighed               ? WEIGHED
                                          : self->pool_size / 2;
    float low = level < SEEDLM_N_LEVELS ? self->basis->hints[level] : -1;
    if (!search_jobs (self, params, jobs, &n_jobs, keep, low, high))
      return 0;
    n_short = level == first ? n_jobs : n_short;
  }
  if (!weighed)
    adapt_level (self, n, n_scanned, n_short);
  return 1;
}

int
seedlm_search_now (SeedlmSearch *self, const SeedlmSearchParams *params, const float *blocks,
                   const float *weights, unsigned n)
{
  start_jobs (self, blocks, weights, n);
  return search_chunk (self, params, n);
}

int
seedlm_search_run (SeedlmSearch *self, const SeedlmSearchParams *params, const float *blocks,
                   const float *weights, size_t n, uint32_t *seeds, float *t_hat, uint32_t *codes,
                   double *errors)
{
  unsigned block_size = self->basis->block_size, rank = self->basis->rank;
  if (seedlm_uses_lists (self, params) && !weights && n > SEEDLM_CHUNK)
    return seedlm_search_ordered (self, params, blocks, n, seeds, t_hat, codes, errors);
  for (size_t from = 0; from < n; from += SEEDLM_CHUNK) {
    unsigned now = n - from < SEEDLM_CHUNK ? (unsigned) (n - from) : SEEDLM_CHUNK;
    if (!seedlm_search_now (self, params, blocks + from * block_size,
                            weights ? weights + from * block_size : NULL, now))
      return 0;
    for (unsigned b = 0; b < now; b++) {
      seeds[from + b] = self->jobs[b].best_seed;
      if (errors)
        errors[from + b] = self->jobs[b].best;
    }
    memcpy (t_hat + from * rank, self->best_t, (size_t) now * rank * sizeof *t_hat);
    if (codes)
      memcpy (codes + from * self->n_codes, self->best_codes,
              (size_t) now * self->n_codes * sizeof *codes);
  }
  return 1;
}

/* --- for fitting ------------------------------------------------------------------------------------------------------- */

void
seedlm_search_collect (SeedlmSearch *self, const float *blocks, size_t n, size_t keep,
                       SeedlmCandidate *candidates)
{
  unsigned block_size = self->basis->block_size;
  const float high[SEEDLM_GROUP] = { 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2 };
  unsigned jobs[SEEDLM_GROUP], group = SEEDLM_GROUP;
  while (group > 1 && (size_t) group * 2 * keep > self->pool_size)
    group /= 2;
  for (size_t from = 0; from < n; from += group) {
    unsigned now = n - from < group ? (unsigned) (n - from) : group;
    start_jobs (self, blocks + from * block_size, NULL, now);
    for (unsigned j = 0; j < now; j++)
      jobs[j] = j;
    if (!self->directions || self->basis != self->plain || !seedlm_collect_listed (self, now, keep))
      scan_jobs (self, jobs, now, keep, -1, high);
    for (unsigned j = 0; j < now; j++)
      for (size_t i = 0; i < keep; i++)
        candidates[(from + j) * keep + i] =
            i < self->lists[j].n ? self->lists[j].entries[i] : (SeedlmCandidate){ 0, UINT32_MAX };
  }
}

int
seedlm_search_choose (SeedlmSearch *self, const SeedlmSearchParams *params, const float *blocks,
                      const float *weights, size_t n, size_t keep,
                      const SeedlmCandidate *candidates, uint32_t *places, double *errors)
{
  unsigned block_size = self->basis->block_size, jobs[SEEDLM_CHUNK];
  for (size_t from = 0; from < n; from += SEEDLM_CHUNK) {
    unsigned now = n - from < SEEDLM_CHUNK ? (unsigned) (n - from) : SEEDLM_CHUNK;
    start_jobs (self, blocks + from * block_size, weights ? weights + from * block_size : NULL,
                now);
    for (unsigned j = 0; j < now; j++) {
      SeedlmCandidate *list = (SeedlmCandidate *) candidates + (from + j) * keep;
      size_t length = keep;
      while (length > 0 && list[length - 1].place == UINT32_MAX)
        length--;
      self->lists[j] = (SeedlmList){ .n = length, .keep = keep, .entries = list };
      jobs[j] = j;
    }
    if (!seedlm_try_lists (self, params, jobs, now))
      return 0;
    for (unsigned j = 0; j < now; j++) {
      places[from + j] = self->jobs[j].best_place;
      if (errors)
        errors[from + j] = self->jobs[j].best;
    }
  }
  return 1;
}
