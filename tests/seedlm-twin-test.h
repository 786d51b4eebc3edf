/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The search of a graphics processor, run here: thread by thread over the same grid. */
#pragma once

#include "seedlm/seedlm-cuda-thread.h"

#include "seedlm-kernel-test.h"

typedef struct {
  SeedlmThreadSearch search;
  SeedlmThreadShared shared;
  uint32_t *seeds, *codes;
  float *t_hat;
  double *errors;
} Twin;

static inline void
twin_init (Twin *twin, const SeedlmBasis *basis, const float *blocks, size_t n,
           SeedlmThreadQuantizer quantizer)
{
  twin->seeds = calloc (n, sizeof *twin->seeds);
  twin->codes = calloc (n, sizeof *twin->codes);
  twin->t_hat = calloc (n * basis->rank, sizeof *twin->t_hat);
  twin->errors = calloc (n, sizeof *twin->errors);
  twin->search = (SeedlmThreadSearch){ .basis = *basis,
                                       .values = basis->sequence->values,
                                       .states = basis->sequence->states,
                                       .period = basis->sequence->period,
                                       .quantizer = quantizer,
                                       .blocks = blocks,
                                       .n = n,
                                       .seeds = twin->seeds,
                                       .codes = twin->codes,
                                       .t_hat = twin->t_hat,
                                       .errors = twin->errors };
}

static inline void
twin_clear (Twin *twin)
{
  free (twin->seeds);
  free (twin->codes);
  free (twin->t_hat);
  free (twin->errors);
}

/* Where the device has a barrier, all threads have done their part here. */
static inline void
twin_run (Twin *twin)
{
  const SeedlmThreadSearch *search = &twin->search;
  SeedlmThreadShared *shared = &twin->shared;

  for (size_t b = 0; b < search->n; b++) {
    seedlm_thread_begin (search, shared, b);
    for (unsigned thread = 0; thread < SEEDLM_THREADS; thread++)
      seedlm_thread_scan (search, shared, thread);
    seedlm_thread_bound (search, shared, b);
    for (unsigned thread = 0; thread < SEEDLM_THREADS; thread++)
      seedlm_thread_choose (search, shared, b, thread);
    seedlm_thread_end (search, shared, b);
  }
}
