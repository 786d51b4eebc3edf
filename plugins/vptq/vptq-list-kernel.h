/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "vptq-kernel.h"

/*
 * Near centroids, quickly: some hundred cells share out the vectors, each has a list of the centroids next to its middle, and a vector is
 * searched in the list of its cell. With r the distance to what was found there, d that to the middle, and R that of the nearest centroid
 * that is not listed from the middle, no other centroid is nearer if R - d > r. Vectors of which that cannot be said are searched among
 * all centroids; in a quick search only those with R - d <= r / 2.5.
 *
 * The middles are k-means on the centroids. Which cell a vector is in is decided under its own metric; lists and distances are plain, so
 * that only without a metric, or with one number a vector, the bound is exact. Within a list the search is that of vptq-kernel.h.
 * Pure C11: no allocation, no other headers of the project. The same numbers for any number of threads.
 */

#define VPTQ_LISTS_LEAST 2048u    /* centroids: fewer are searched quickly enough */
#define VPTQ_LISTS_MAX_LENGTH 16u /* lists take memory, and in long vectors a cell says little */
#define VPTQ_LISTS_LEFT \
  UINT32_MAX /* index of a vector that is to be searched among all centroids */

/* Calls task (index, data) for all indices below n, in any order and in parallel; not zero: stopped. */
typedef int (*VptqFor) (void *pool, size_t n, void (*task) (size_t index, void *data), void *data);

typedef struct {
  unsigned length, n_centroids;
  unsigned n_cells;
  unsigned n_listed; /* centroids in a list */
  VptqTable all, cells;
  float *all_storage, *cell_storage;
  float *middles;   /* n_cells x length */
  float *reach;     /* of each cell: R */
  uint32_t *listed; /* n_cells x n_listed numbers of centroids, ascending in each list */
  float *storage;   /* n_cells tables of the listed centroids */
  size_t table_floats;
} VptqLists;

/* Are there lists for a codebook of this size? */
bool vptq_lists_has (unsigned n_centroids, unsigned length);

/* Bytes of memory that the lists need, aligned as for double; 0 where there are none. */
size_t vptq_lists_bytes (unsigned n_centroids, unsigned length);

/* Shares out the memory, which must live as long as the lists. */
void vptq_lists_init (VptqLists *lists, void *memory, unsigned n_centroids, unsigned length);

/*
 * Fills the lists. warm: they were filled before, for a codebook not far from this one. workspace: vptq_lists_workspace() bytes, aligned
 * as for double, of no more use afterwards. -1: parallel_for (NULL: one after the other) stopped.
 */
size_t vptq_lists_workspace (unsigned n_centroids, unsigned length);
int vptq_lists_fill (VptqLists *lists, const float *codebook, bool warm, void *workspace,
                     VptqFor parallel_for, void *pool);

/* As vptq_search(). exact: the same indices and errors as those of vptq_search(). */
void vptq_lists_search (const VptqLists *lists, bool exact, VptqMetric metric, const float *weights,
                        const float *x, size_t n, uint32_t *indices, float *errors);

/* The steps of it, for who has many vectors: all those of a cell, given by their numbers, in its list; then what that left over. */
void
vptq_lists_search_cell (const VptqLists *lists, bool exact, unsigned cell, const uint32_t *members,
                        size_t n_members, VptqMetric metric, const float *weights, const float *x,
                        uint32_t *indices, float *errors);
void vptq_lists_search_left (const VptqLists *lists, VptqMetric metric, const float *weights,
                             const float *x, size_t n, uint32_t *indices, float *errors);
