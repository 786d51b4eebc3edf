/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "vptq-list-kernel.h"

/*
 * k-means under a metric. Pure C11: no allocation, no other headers of the project. The same bytes for any number of threads:
 * vectors are searched in fixed tiles, and each centroid sums its own vectors in their order.
 */

typedef struct {
  unsigned length;
  unsigned n_centroids;
  unsigned iterations; /* at the most */
  uint64_t seed;
  VptqMetric metric;
  const float *vectors; /* n x length */
  const float *weights; /* n x vptq_metric_stride(); not read for VPTQ_METRIC_NONE */
  size_t n;             /* 1 .. 2^32 - 1 */
  double
      rate; /* 0, or: each of length numbers but the last is the vector's, the last 0, as vptq-rate-kernel.h says, and a bit costs so much */
  bool warm;            /* the codebook holds centroids to start from */
  VptqFor parallel_for; /* or NULL: one after the other */
  void *pool;
} VptqTrainJob;

/* Bytes of working memory, aligned as for double; 0 if they cannot be counted. */
size_t vptq_train_bytes (size_t n, unsigned n_centroids, unsigned length);

/*
 * codebook: n_centroids x length floats. occupancy (or NULL): the weight of each centroid's vectors.
 * objectives (or NULL): iterations + 1 sums of errors, before the first and after each iteration.
 * Returns the number of objectives, or -1 if parallel_for stopped.
 */
int vptq_train (const VptqTrainJob *job, void *workspace, float *codebook, float *occupancy,
                double *objectives);

/* The error of vector i of the job, were it coded as c. */
float vptq_train_error_of (const VptqTrainJob *job, size_t i, const float *c);
