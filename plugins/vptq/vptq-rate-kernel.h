/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "vptq-kernel.h"

/*
 * Centroids chosen by error + rate * bits: a vector gets one more coordinate, 0, and a centroid the square root of what its code costs. Then
 * the nearest is the one of least sum, and every search of vptq-kernel.h and vptq-list-kernel.h finds it. Pure C11: no allocation, no
 * other headers of the project.
 */

#define VPTQ_RATE_NEVER 1e18f /* the last coordinate of a centroid that no vector is to get */

/* The last coordinate of a centroid that count of total vectors have: its code is log2 (total / count) bits long. */
float vptq_rate_place (size_t count, size_t total, double rate);

/* out: n x (length + 1) floats: the vectors with last[i], or 0 where last is NULL. */
void vptq_rate_vectors (const float *x, unsigned length, size_t n, const float *last, float *out);

/* out: n x length floats: the vectors without their last coordinate. */
void vptq_rate_cut (const float *x, unsigned length, size_t n, float *out);

/* Metric of the longer vectors; the last coordinate counts by weight. */
VptqMetric vptq_rate_metric_kind (VptqMetric metric);
void vptq_rate_metric (VptqMetric metric, const float *weights, unsigned length, size_t n,
                       float weight, float *out);
