/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "seedlm-search-kernel.h"

#include "afpipe.h"

/*
 * Tables depend on four numbers only. They are built once in a process and shared by all elements, tensors and threads;
 * those last used stay, up to SEEDLM_TABLES_LIMIT bytes.
 */
#define SEEDLM_TABLES_LIMIT (G_GUINT64_CONSTANT (256) << 20)

typedef struct _SeedlmTables SeedlmTables;
/* @encoding: with what the search needs. AFP_ERROR_MEMORY, AFP_ERROR_CODEC */
SeedlmTables *seedlm_tables_get (guint seed_bits, guint leap, guint block_size, guint rank,
                                 gboolean encoding, GError **error);
void seedlm_tables_unref (SeedlmTables *tables);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SeedlmTables, seedlm_tables_unref)
const SeedlmSequence *seedlm_tables_get_sequence (const SeedlmTables *tables);
const SeedlmBasis *
seedlm_tables_get_basis (const SeedlmTables *tables); /* of tables made for encoding */

/*
 * Lists of directions for tables made for encoding whose numbers have some; they are read from the user's cache, or built with @pool
 * and written there. @warning: set where something was amiss with the cache; a literal text.
 */
const SeedlmLists *
seedlm_tables_get_lists (SeedlmTables *tables, AfpPool *pool, const char **warning, GError **error);

/* Working memory for searches in several threads at once. */
typedef struct _SeedlmWorkers SeedlmWorkers;
/* @lists, @most_seeds: as in seedlm_search_set_lists() */
SeedlmWorkers *seedlm_workers_new (const SeedlmBasis *basis, guint n_codes,
                                   const SeedlmLists *lists, gsize most_seeds);
void seedlm_workers_free (SeedlmWorkers *workers);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SeedlmWorkers, seedlm_workers_free)
const SeedlmBasis *seedlm_workers_get_basis (const SeedlmWorkers *workers);
/* Is less than the true minimum enough for them? */
gboolean seedlm_workers_are_fast (const SeedlmWorkers *workers);
/* A search that was taken finds the true minimum; @exact must be FALSE again before it is given back. */
gboolean seedlm_workers_set_exact (const SeedlmWorkers *workers, SeedlmSearch *search,
                                   gboolean exact, GError **error);
SeedlmSearch *seedlm_workers_take (SeedlmWorkers *workers, GError **error);
void seedlm_workers_give (SeedlmWorkers *workers, SeedlmSearch *search);
