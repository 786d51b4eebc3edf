/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afp-types.h"

G_BEGIN_DECLS

/**
 * AfpMetricKind:
 * @AFP_METRIC_NONE: plain squared error
 * @AFP_METRIC_SCALAR: one weight per vector
 * @AFP_METRIC_DIAGONAL: one weight per element of each vector
 * @AFP_METRIC_MATRIX: a symmetric positive semidefinite matrix (row-major) per vector
 *
 * How the error of a vector of a float plane counts: (x - y)^T G (x - y).
 */
typedef enum {
  AFP_METRIC_NONE,
  AFP_METRIC_SCALAR,
  AFP_METRIC_DIAGONAL,
  AFP_METRIC_MATRIX
} AfpMetricKind;

/**
 * AfpMetric:
 * @kind: what the numbers are
 * @length: length of a vector
 * @data: afp_metric_stride() floats for each vector, one vector after the other; %NULL for none
 *
 * The metric of a run of vectors. A plain view: it owns nothing.
 */
typedef struct {
  AfpMetricKind kind;
  guint length;
  const float *data;
} AfpMetric;

AFP_API gsize afp_metric_stride (AfpMetricKind kind,
                                 guint length); /* floats per vector: 0, 1, L, L*L */
AFP_API float
afp_metric_error (const AfpMetric *metric, gsize vector, const float *x, const float *y);
/* A weight for each element of @n vectors from @first on: the diagonal of their metrics. */
AFP_API void
afp_metric_read_diagonal (const AfpMetric *metric, gsize first, gsize n, float *weights);
AFP_API float afp_squared_error (const float *x, const float *y, gsize n);
AFP_API const char *afp_metric_kind_name (AfpMetricKind kind);

G_END_DECLS
