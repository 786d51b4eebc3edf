/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hyper-kernel.h"

#include <float.h>
#include <math.h>

#define CHUNK 256u
#define SIGNIFICANT 2048.0 /* 2^11 */
#define QUICK 2048u        /* fewer vectors than that: a coarser search */
#define GOLDEN 0.6180339887498949
#define ROOT 1.4142135623730951
#define MAX_SCAN 64 /* half octaves */
#define MAX_STEPS 32
#define WIDEST 64.0  /* times as wide */
#define WIDENINGS 14 /* to the eleven bits that are kept */

float
hyper_round (double x)
{
  int exponent;
  const double fraction = frexp (x, &exponent);

  return (float) ldexp (nearbyint (fraction * SIGNIFICANT), exponent - 11);
}

float
hyper_round_up (double x)
{
  int exponent;
  const double fraction = frexp (x, &exponent);
  const double up = ldexp (ceil (fraction * SIGNIFICANT), exponent - 11);

  return up < FLT_MAX ? (float) up : FLT_MAX;
}

double
hyper_error (const HyperCode *code, const float *params, HyperMetric metric, const float *weights,
             const float *x, size_t n)
{
  const unsigned d = code->dimension;
  const size_t stride = hyper_metric_stride (metric, d);
  HyperFrame frame;
  uint32_t symbols[CHUNK];
  float errors[CHUNK];
  double sum = 0;

  if (!hyper_frame_init (&frame, code, params))
    return INFINITY;
  for (size_t done = 0; done < n; done += CHUNK) {
    const size_t count = n - done < CHUNK ? n - done : CHUNK;
    hyper_encode (code, &frame, metric, weights ? weights + done * stride : NULL, x + done * d,
                  count, symbols, errors);
    double part = 0;
    for (size_t i = 0; i < count; i++)
      part += errors[i];
    sum += part;
  }
  return sum * frame.unit * frame.unit;
}

/* A power of two that half of the vectors, those at the centre left out, do not reach in any coordinate. */
static double
typical_size (const float *centre, unsigned d, const float *x, size_t n)
{
  enum { LOWEST = -150, N_EXPONENTS = 280 };
  size_t counts[N_EXPONENTS] = { 0 }, total = 0, seen = 0;

  for (size_t v = 0; v < n; v++) {
    float peak = 0;
    int exponent;
    for (unsigned i = 0; i < d; i++)
      peak = fmaxf (peak, fabsf (x[v * d + i] - centre[i]));
    if (!(peak > 0 && isfinite (peak)))
      continue;
    frexpf (peak, &exponent);
    counts[exponent - LOWEST]++;
    total++;
  }
  for (int i = 0; i < N_EXPONENTS; i++)
    if ((seen += counts[i]) * 2 >= total && total > 0)
      return ldexp (1, i + LOWEST);
  return 0;
}

typedef struct {
  const HyperCode *code;
  HyperMetric metric;
  const float *weights, *x;
  size_t n;
  float *params;
  double reach; /* being tried */
  double best_half, best_reach, best_error;
} Fit;

static double
try_half (Fit *fit, double half)
{
  const unsigned d = fit->code->dimension;

  fit->params[d] = hyper_round (2 * half);
  fit->params[d + 1] = hyper_round_up (fit->reach);
  const double error =
      hyper_error (fit->code, fit->params, fit->metric, fit->weights, fit->x, fit->n);
  if (error < fit->best_error) {
    fit->best_error = error;
    fit->best_half = half;
    fit->best_reach = fit->reach;
  }
  return error;
}

/* Golden section for half the side, in [half / spread, half * spread]. */
static void
search_half (Fit *fit, double half, double spread, unsigned steps)
{
  double a = half / spread, b = fmin (half * spread, fit->reach);

  if (!(a < b))
    return;
  double u = b - GOLDEN * (b - a), v = a + GOLDEN * (b - a);
  double at_u = try_half (fit, u), at_v = try_half (fit, v);
  for (unsigned i = 0; i < steps; i++) {
    if (at_u <= at_v) {
      b = v;
      v = u;
      at_v = at_u;
      u = b - GOLDEN * (b - a);
      at_u = try_half (fit, u);
    } else {
      a = u;
      u = v;
      at_u = at_v;
      v = a + GOLDEN * (b - a);
      at_v = try_half (fit, v);
    }
  }
}

/* A few far vectors are better clipped than reached, up to a point: downwards until the error has risen twice. */
static void
search_reach (Fit *fit, double factor, unsigned steps)
{
  unsigned worse = 0;

  for (unsigned i = 0; i < MAX_STEPS && worse < 2; i++) {
    const double before = fit->best_error;
    fit->reach *= factor;
    if (!(fit->reach > fit->best_half))
      return;
    try_half (fit, fit->best_half);
    search_half (fit, fit->best_half, 1.25, steps);
    worse = fit->best_error < before ? 0 : worse + 1;
  }
}

void
hyper_fit_scales (const HyperCode *code, HyperMetric metric, const float *weights, const float *x,
                  size_t n, float *params)
{
  const unsigned d = code->dimension;
  const bool quick = n < QUICK;
  const double farthest = params[d + 1];
  Fit fit = { .code = code,
              .metric = metric,
              .weights = weights,
              .x = x,
              .n = n,
              .params = params,
              .reach = farthest,
              .best_half = farthest,
              .best_reach = farthest,
              .best_error = INFINITY };
  double half = typical_size (params, d, x, n) / 8;

  params[d] = 0;
  /* So near to the centre that binary32 has no inverse of the distance: the centre stands for all. */
  if (!(farthest > 0) || !isfinite (code->half / (float) farthest)) {
    params[d + 1] = 0;
    return;
  }
  try_half (&fit, farthest);
  for (unsigned i = 0; half > 0 && half < farthest && i < MAX_SCAN; i++, half *= ROOT)
    try_half (&fit, half);
  search_half (&fit, fit.best_half, ROOT, quick ? 2 : 6);
  if (code->n_classes > 1) {
    search_reach (&fit, quick ? 0.85 : 0.92, quick ? 1 : 3);
    fit.reach = fit.best_reach;
    search_half (&fit, fit.best_half, 1.1, quick ? 1 : 5);
  }
  params[d] = hyper_round (2 * fit.best_half);
  params[d + 1] = hyper_round_up (fit.best_reach);
}

void
hyper_fit_widen (const HyperCode *code, HyperMetric metric, const float *weights, const float *x,
                 size_t n, double error, float *params)
{
  float *side = params + code->dimension;
  double low = (double) *side, high = low * WIDEST;

  if (!(low > 0))
    return;
  for (unsigned i = 0; i < WIDENINGS; i++) {
    const double middle = sqrt (low * high);
    *side = hyper_round (middle);
    if (isfinite (*side) && hyper_error (code, params, metric, weights, x, n) <= error)
      low = middle;
    else
      high = middle;
  }
  *side = hyper_round (low);
}

void
hyper_fit_centre (unsigned dimension, const float *x, size_t n, float *params)
{
  for (unsigned i = 0; i < dimension; i++) {
    double sum = 0;
    for (size_t v = 0; v < n; v++)
      sum += x[v * dimension + i];
    params[i] = n ? hyper_round (sum / (double) n) : 0;
  }
}

double
hyper_distance (unsigned dimension, const float *centre, const float *x)
{
  double square = 0;

  for (unsigned i = 0; i < dimension; i++) {
    const double difference = (double) x[i] - centre[i];
    square += difference * difference;
  }
  return square;
}

void
hyper_sum (unsigned dimension, const float *x, size_t n, double *sums)
{
  for (size_t v = 0; v < n; v++)
    for (unsigned i = 0; i < dimension; i++)
      sums[i] += x[v * dimension + i];
}

size_t
hyper_farthest (unsigned dimension, const float *centre, const float *x, size_t n)
{
  double farthest = -1;
  size_t which = 0;

  for (size_t v = 0; v < n; v++) {
    const double distance = hyper_distance (dimension, centre, x + v * dimension);
    if (distance > farthest) {
      farthest = distance;
      which = v;
    }
  }
  return which;
}

void
hyper_fit_frame (const HyperCode *code, const float *x, size_t n, float *params)
{
  const unsigned d = code->dimension;
  double farthest = 0;

  hyper_fit_centre (d, x, n, params);
  for (size_t v = 0; v < n; v++)
    farthest = fmax (farthest, hyper_distance (d, params, x + v * d));
  params[d + 1] = hyper_round_up (sqrt (farthest));
  hyper_fit_scales (code, HYPER_METRIC_NONE, NULL, x, n, params);
}
