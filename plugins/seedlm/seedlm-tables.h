/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "seedlm-search-kernel.h"

#include <glib.h>

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

/* Working memory for searches in several threads at once. */
typedef struct _SeedlmWorkers SeedlmWorkers;
SeedlmWorkers *seedlm_workers_new (const SeedlmBasis *basis, guint n_codes);
void seedlm_workers_free (SeedlmWorkers *workers);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SeedlmWorkers, seedlm_workers_free)
SeedlmSearch *seedlm_workers_take (SeedlmWorkers *workers, GError **error);
void seedlm_workers_give (SeedlmWorkers *workers, SeedlmSearch *search);
