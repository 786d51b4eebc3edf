/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-metric.h"

/**
 * afp_metric_kind_name:
 * @kind: a kind of metric
 *
 * Returns: (transfer none): "none", "scalar", "diagonal" or "matrix"
 */
const char *
afp_metric_kind_name (AfpMetricKind kind)
{
  static const char *const names[] = { "none", "scalar", "diagonal", "matrix" };

  g_return_val_if_fail ((guint) kind < G_N_ELEMENTS (names), NULL);
  return names[kind];
}

/**
 * afp_metric_stride:
 * @kind: a kind of metric
 * @length: length of a vector
 *
 * Returns: floats that describe the metric of one vector
 */
gsize
afp_metric_stride (AfpMetricKind kind, guint length)
{
  switch (kind) {
  case AFP_METRIC_NONE:
    return 0;
  case AFP_METRIC_SCALAR:
    return 1;
  case AFP_METRIC_DIAGONAL:
    return length;
  case AFP_METRIC_MATRIX:
    return (gsize) length * length;
  }
  g_return_val_if_reached (0);
}

/**
 * afp_squared_error:
 * @x: (array length=n): a vector
 * @y: (array length=n): another
 * @n: their length
 *
 * Returns: sum of (x - y)^2
 */
float
afp_squared_error (const float *x, const float *y, gsize n)
{
  float sum = 0;

  for (gsize i = 0; i < n; i++)
    sum += (x[i] - y[i]) * (x[i] - y[i]);
  return sum;
}

/**
 * afp_metric_error:
 * @metric: a metric
 * @vector: which vector of the run
 * @x: a vector of the metric's length
 * @y: another
 *
 * Returns: (x - y)^T G (x - y)
 */
float
afp_metric_error (const AfpMetric *metric, gsize vector, const float *x, const float *y)
{
  const guint n = metric->length;
  const gsize stride = afp_metric_stride (metric->kind, n);
  const float *g = stride ? metric->data + vector * stride : NULL;
  float sum = 0;

  switch (metric->kind) {
  case AFP_METRIC_NONE:
    return afp_squared_error (x, y, n);
  case AFP_METRIC_SCALAR:
    return g[0] * afp_squared_error (x, y, n);
  case AFP_METRIC_DIAGONAL:
    for (guint i = 0; i < n; i++)
      sum += g[i] * (x[i] - y[i]) * (x[i] - y[i]);
    return sum;
  case AFP_METRIC_MATRIX:
    for (guint i = 0; i < n; i++) {
      float row = 0;
      for (guint j = 0; j < n; j++)
        row += g[i * n + j] * (x[j] - y[j]);
      sum += row * (x[i] - y[i]);
    }
    return sum;
  }
  g_return_val_if_reached (0);
}

/**
 * afp_metric_read_diagonal: (skip)
 * @metric: a metric
 * @first: first vector
 * @n: vectors
 * @weights: (out): n * length floats
 *
 * For codecs whose search knows weights only: what a metric says of each element by itself.
 */
void
afp_metric_read_diagonal (const AfpMetric *metric, gsize first, gsize n, float *weights)
{
  const guint length = metric->length;
  const gsize stride = afp_metric_stride (metric->kind, length);
  const float *g = stride ? metric->data + first * stride : NULL;

  for (gsize v = 0; v < n; v++, g = g ? g + stride : NULL)
    for (guint i = 0; i < length; i++)
      *weights++ = metric->kind == AFP_METRIC_NONE       ? 1
                   : metric->kind == AFP_METRIC_SCALAR   ? g[0]
                   : metric->kind == AFP_METRIC_DIAGONAL ? g[i]
                                                         : g[(gsize) i * length + i];
}
