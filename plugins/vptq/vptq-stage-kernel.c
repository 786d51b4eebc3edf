/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vptq-stage-kernel.h"

#include <float.h>
#include <math.h>

void
vptq_mean_deviation (const float *x, size_t n, float *mean, float *deviation)
{
  double sum = 0, square = 0;

  for (size_t i = 0; i < n; i++)
    sum += x[i];
  const double m = n ? sum / (double) n : 0;
  for (size_t i = 0; i < n; i++)
    square += (x[i] - m) * (x[i] - m);
  *mean = (float) m;
  *deviation = (float) (n ? sqrt (square / (double) n) : 0);
}

void
vptq_normalise (float *x, size_t n, float bias, float scale)
{
  for (size_t i = 0; i < n; i++)
    x[i] -= bias;
  vptq_divide (x, n, scale);
}

void
vptq_subtract (const float *codebook, unsigned length, const uint32_t *indices, size_t n, float *x)
{
  for (size_t i = 0; i < n; i++, x += length) {
    const float *c = codebook + (size_t) indices[i] * length;
    for (unsigned j = 0; j < length; j++)
      x[j] -= c[j];
  }
}

static float
clamp (float x)
{
  return x > FLT_MAX ? FLT_MAX : x < -FLT_MAX ? -FLT_MAX : x;
}

size_t
vptq_lookup_stages (const VptqStages *stages, float scale, float bias, const uint32_t *indices,
                    const uint32_t *seconds, size_t n, float *out)
{
  const unsigned v = stages->length;

  for (size_t i = 0; i < n; i++, out += v) {
    if (indices[i] >= stages->n_first || (stages->second && seconds[i] >= stages->n_second))
      return i;
    const float *c = stages->first + (size_t) indices[i] * v;
    const float *r = stages->second ? stages->second + (size_t) seconds[i] * v : NULL;
    for (unsigned j = 0; j < v; j++) {
      const float product = clamp (scale * (r ? clamp (c[j] + r[j]) : c[j]));
      out[j] = clamp (product + bias);
    }
  }
  return n;
}
