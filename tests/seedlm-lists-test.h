/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Small lists of directions for tests. */
#pragma once

#include "seedlm-kernel-test.h"

typedef struct {
  Tables tables;
  SeedlmLists *lists;
  unsigned c, p;
} Listed;

static inline SeedlmListsShape
small_shape (size_t length, unsigned place_bytes)
{
  return (SeedlmListsShape){ .n_coarse = 6,
                             .n_fine = 10,
                             .length = length,
                             .n_steps = length / SEEDLM_LISTS_STEP,
                             .enough = 64,
                             .is_exact = 1,
                             .place_bytes = place_bytes };
}

static inline void
listed_init (Listed *self, unsigned c, unsigned p, unsigned k, size_t length, unsigned place_bytes)
{
  const SeedlmListsShape shape = small_shape (length, place_bytes);

  *self = (Listed){ .c = c, .p = p };
  tables_init (&self->tables, c, p, k, 16, 1);
  self->lists = seedlm_lists_new (self->tables.basis, &shape);
  ck_assert (seedlm_lists_train (self->lists));
  for (unsigned i = 0; i < shape.n_coarse; i++)
    ck_assert (seedlm_lists_build (self->lists, shape.n_coarse - 1 - i)); /* any order */
  ck_assert (seedlm_lists_take (self->lists));
}

static inline void
listed_clear (Listed *self)
{
  tables_clear (&self->tables);
  seedlm_lists_free (self->lists);
}

/* Block @b of normal_blocks(), of norm 1. */
static inline const float *
norm_block (float *blocks, unsigned b, unsigned c)
{
  float *block = blocks + (size_t) b * c;
  double norm = 0;

  for (unsigned i = 0; i < c; i++)
    norm += (double) block[i] * block[i];
  for (unsigned i = 0; i < c; i++)
    block[i] = (float) (block[i] / sqrt (norm));
  return block;
}
