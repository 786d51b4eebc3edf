/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Nearest centroids, exactly. Pure C11: no allocation, no other headers of the project.
 *
 * Built with contraction of a * b + c switched off (-ffp-contract=off), both forms of the search give the same bytes: the
 * vector form adds and multiplies in the order of the portable one.
 */

#define VPTQ_MAX_LENGTH 64u
#define VPTQ_MAX_CENTROIDS 65536u

/* How the error of a vector x coded as c counts: (x - c)' G (x - c). */
typedef enum {
  VPTQ_METRIC_NONE,     /* G = 1: no numbers */
  VPTQ_METRIC_SCALAR,   /* one number per vector */
  VPTQ_METRIC_DIAGONAL, /* v numbers per vector */
  VPTQ_METRIC_MATRIX /* v * v numbers per vector: symmetric, positive semidefinite; the lower triangle is read */
} VptqMetric;

/* Centroids laid out for the search: coordinate j of centroid i is table[j * stride + i]. */
typedef struct {
  unsigned length;
  unsigned n_centroids;
  size_t stride;
  const float *table;
} VptqTable;

/* Bits of an index below n_centroids. */
unsigned vptq_index_bits (unsigned n_centroids);

/* Numbers per vector of a metric. */
size_t vptq_metric_stride (VptqMetric metric, unsigned length);

/* Floats of storage that vptq_table_init() needs. */
size_t vptq_table_floats (unsigned n_centroids, unsigned length);

/* codebook: n_centroids x length floats. The storage must live as long as the table. */
void vptq_table_init (VptqTable *table, float *storage, const float *codebook, unsigned n_centroids,
                      unsigned length);

/* Likewise of n_some vectors of the codebook alone: centroid i of the table is vector some[i]. */
void vptq_table_init_some (VptqTable *table, float *storage, const float *codebook,
                           const uint32_t *some, unsigned n_some, unsigned length);

/* A table whose storage was laid out before. */
void vptq_table_of (VptqTable *table, float *storage, unsigned n_centroids, unsigned length);

/*
 * indices[i]: the centroid of least error for vector i; the lowest of equal ones. errors (or NULL): that error.
 * weights: n x vptq_metric_stride() floats, not read for VPTQ_METRIC_NONE.
 */
void vptq_search (const VptqTable *table, VptqMetric metric, const float *weights, const float *x,
                  size_t n, uint32_t *indices, float *errors);

/* The same in plain C; vptq_search() uses it where the processor has no AVX2. */
void vptq_search_portable (const VptqTable *table, VptqMetric metric, const float *weights,
                           const float *x, size_t n, uint32_t *indices, float *errors);

/* Squares of numbers far from 1 leave binary32: a power of two to divide by before the search. 1 where the numbers are well inside. */
float vptq_unit (const float *x, size_t n);

/* x / by, as the product with 1 / by; zeros where that is no number of binary32. */
void vptq_divide (float *x, size_t n, float by);

/* out: n x length floats, factor * centroid. Returns n, or the position of the first index that is not below n_centroids. */
size_t vptq_lookup (const float *codebook, unsigned n_centroids, unsigned length, float factor,
                    const uint32_t *indices, size_t n, float *out);
