/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vptq-rate-kernel.h"

#include <math.h>
#include <string.h>

float
vptq_rate_place (size_t count, size_t total, double rate)
{
  return count ? (float) sqrt (rate * log2 ((double) total / (double) count)) : VPTQ_RATE_NEVER;
}

void
vptq_rate_vectors (const float *x, unsigned length, size_t n, const float *last, float *out)
{
  for (size_t i = 0; i < n; i++, x += length, out += length + 1) {
    memcpy (out, x, length * sizeof *x);
    out[length] = last ? last[i] : 0;
  }
}

void
vptq_rate_cut (const float *x, unsigned length, size_t n, float *out)
{
  for (size_t i = 0; i < n; i++, x += length + 1, out += length)
    memcpy (out, x, length * sizeof *x);
}

VptqMetric
vptq_rate_metric_kind (VptqMetric metric)
{
  return metric == VPTQ_METRIC_MATRIX ? VPTQ_METRIC_MATRIX : VPTQ_METRIC_DIAGONAL;
}

void
vptq_rate_metric (VptqMetric metric, const float *weights, unsigned length, size_t n, float weight,
                  float *out)
{
  const size_t stride = vptq_metric_stride (metric, length), v = length;
  const size_t next = metric == VPTQ_METRIC_MATRIX ? (v + 1) * (v + 1) : v + 1;

  for (size_t i = 0; i < n; i++, out += next) {
    const float *w = stride ? weights + i * stride : NULL;

    memset (out, 0, next * sizeof *out);
    for (size_t j = 0; j < v; j++) {
      if (metric == VPTQ_METRIC_MATRIX)
        memcpy (out + j * (v + 1), w + j * v, v * sizeof *w);
      else
        out[j] = metric == VPTQ_METRIC_NONE ? 1 : w[metric == VPTQ_METRIC_SCALAR ? 0 : j];
    }
    out[next - 1] = weight;
  }
}
