/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "seedlm-lists-kernel.h"

/* What the files of direction lists share: seedlm-lists-kernel.c makes them, seedlm-query-kernel.c rounds and asks. */

#define SEEDLM_LISTS_LEVELS 4096 /* of energy, that lists are sorted by */
#define SEEDLM_W_ONE \
  64 /* the largest magnitude in a rounded block: sums of two products stay within 16 bits */
#define SEEDLM_NOTHING \
  1e-30f /* less than any sum of squares but 0, which that of a seed not to be searched is */

/* The largest magnitude of n numbers becomes 64, the others in proportion. */
void seedlm_round_bytes (const double *x, unsigned n, int8_t *bytes);
/* Rounds the bases of all seeds; sets tilt and gain. */
void seedlm_lists_fill_records (SeedlmLists *lists);
/* The factors of all seeds, those of one side by side. */
void seedlm_lists_fill_factors (SeedlmLists *lists);
/* The pattern of a rounded block. */
void seedlm_query_set_pattern (SeedlmQuery *query, const SeedlmLists *lists, const int8_t *bytes);
