/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "seedlm-lists-kernel.h"

/*
 * Lists of directions that several blocks go through: the seeds' rounded bases are gathered once, in the order of the list and with
 * the bytes of 16 seeds side by side, so that each block reads memory from front to back. Pure C11.
 */

#define SEEDLM_N_CELLS 8                       /* lists gathered at a time */
#define SEEDLM_CELL_LIMIT ((size_t) 384 << 10) /* bytes of one, about */

typedef struct SeedlmCells SeedlmCells; /* of one thread */

SeedlmCells *seedlm_cells_new (const SeedlmLists *lists);
void seedlm_cells_free (SeedlmCells *cells);
/* Bytes that seedlm_cells_new() takes. */
uint64_t seedlm_cells_bytes (unsigned block_size, unsigned rank, const SeedlmListsShape *shape);
/* seedlm_query_scan(), with the same hits; what it needs of the list is gathered first, where nobody needed it before. */
size_t seedlm_cells_scan (SeedlmCells *cells, const SeedlmQuery *query, size_t from, size_t to,
                          float low, SeedlmHit *hits, size_t max);
