/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "rtn-kernel.h"

#include <float.h>
#include <math.h>
#include <string.h>

#define LANES 8
#define STRETCH 1024 /* numbers whose sums are taken in binary32 */
#define WIDEST 1.05f /* the first scale that is tried, of the least that clips nothing */
#define COARSE \
  20 /* scales, each so much of the one before: down to a ninth, where a few numbers are far from the rest */
#define COARSE_RATIO 0.89f
#define FINE 3 /* more on both sides of the best of them */
#define FINE_RATIO 0.97f
#define REFITS 3  /* rounds of levels and the best scale for them */
#define OCTAVES 3 /* powers of two that are tried */

/* --- levels ------------------------------------------------------------------------------------------------------- */

RtnLevels
rtn_symmetric_levels (unsigned bits)
{
  const uint32_t half = 1u << (bits - 1);

  return bits == 1 ? (RtnLevels){ -1, 2, 1 } : (RtnLevels){ -(float) half, 1, 2 * half - 1 };
}

RtnLevels
rtn_zero_levels (unsigned bits, unsigned zero)
{
  return (RtnLevels){ -(float) zero, 1, (1u << bits) - 1 };
}

RtnLevels
rtn_fit_levels (const RtnRule *rule, const RtnFit *fit)
{
  return rule->zero_point ? rtn_zero_levels (rule->bits, fit->zero)
                          : rtn_symmetric_levels (rule->bits);
}

/* The whole number next to x, to the even one if in doubt; 0 <= x < 2^22. */
static inline float
round_small (float x)
{
  const float shift = 12582912; /* 1.5 * 2^23 */

  return (x + shift) - shift;
}

/* The code of one number, as a float. */
static inline float
find_code (const RtnLevels *levels, float x, float scale)
{
  const float place = (x / scale - levels->low) / levels->step, top = (float) levels->top;

  return round_small (place < 0 ? 0 : place > top ? top : place);
}

void
rtn_quantize (const RtnLevels *levels, float scale, const float *x, size_t n, uint32_t *codes)
{
  const RtnLevels l = *levels;

  if (scale == 0) {
    for (size_t i = 0; i < n; i++)
      codes[i] = (uint32_t) (-l.low / l.step);
    return;
  }
  for (size_t i = 0; i < n; i++)
    codes[i] = (uint32_t) (int32_t) find_code (&l, x[i], scale);
}

void
rtn_dequantize (const RtnLevels *levels, float scale, const uint32_t *codes, size_t n, float *x)
{
  const RtnLevels l = *levels;

  for (size_t i = 0; i < n; i++) {
    const float value = scale * (l.low + l.step * (float) (int32_t) codes[i]);
    x[i] = value > FLT_MAX ? FLT_MAX : value < -FLT_MAX ? -FLT_MAX : value;
  }
}

int
rtn_range (const float *x, size_t n, float *low, float *high)
{
  int finite = 1;

  for (size_t i = 0; i < n; i++) {
    finite &= isfinite (x[i]) != 0;
    *low = x[i] < *low ? x[i] : *low;
    *high = x[i] > *high ? x[i] : *high;
  }
  return finite;
}

/* --- scales ------------------------------------------------------------------------------------------------------- */

/* Sums over the numbers, each with its level: of their products, and of the levels' squares. */
typedef struct {
  double xq, qq;
} Sums;

/* @weights: NULL: all 1. With a constant NULL the compiler leaves them out. */
static inline void
add_stretch (const RtnLevels *levels, float scale, const float *x, const float *weights, size_t n,
             Sums *sums)
{
  float xq[LANES] = { 0 }, qq[LANES] = { 0 };

  for (size_t i = 0; i < n; i += LANES) {
    float values[LANES] = { 0 }, counts[LANES] = { 0 };
    const size_t m = n - i < LANES ? n - i : LANES;
    const float *v = x + i, *w = weights ? weights + i : NULL;
    if (m < LANES) {
      memcpy (values, v, m * sizeof *v);
      for (size_t l = 0; l < m; l++)
        counts[l] = w ? w[l] : 1;
      v = values;
      w = counts;
    }
    for (unsigned l = 0; l < LANES; l++) {
      const float q = levels->low + levels->step * find_code (levels, v[l], scale);
      const float weighted = w ? w[l] * q : q;
      xq[l] += weighted * v[l];
      qq[l] += weighted * q;
    }
  }
  for (unsigned l = 0; l < LANES; l++) {
    sums->xq += xq[l];
    sums->qq += qq[l];
  }
}

static Sums
correlate (const RtnLevels *levels, float scale, const float *x, const float *weights, size_t n)
{
  const RtnLevels own = *levels;
  Sums sums = { 0, 0 };

  for (size_t i = 0; i < n; i += STRETCH) {
    const size_t m = n - i < STRETCH ? n - i : STRETCH;
    if (weights)
      add_stretch (&own, scale, x + i, weights + i, m, &sums);
    else
      add_stretch (&own, scale, x + i, NULL, m, &sums);
  }
  return sums;
}

/* By how much less the squared error is than that of zeros, with these levels and the best scale for them. */
static double
gain_of (Sums sums)
{
  return sums.qq > 0 && sums.xq > 0 ? sums.xq * sums.xq / sums.qq : 0;
}

/* Likewise, with this scale. */
static double
gain_at (Sums sums, double scale)
{
  return scale * (2 * sums.xq - scale * sums.qq);
}

typedef struct {
  const RtnLevels *levels;
  const float *x, *weights;
  size_t n;
  double gain; /* of the best scale so far */
  float scale;
  Sums sums;
} Search;

/* @fixed: the scale as it is; else the best for the levels that it gives. */
static void
try_scale (Search *search, float scale, int fixed)
{
  if (!(scale > 0) || !isfinite (scale))
    return;
  const Sums sums = correlate (search->levels, scale, search->x, search->weights, search->n);
  const double gain = fixed ? gain_at (sums, scale) : gain_of (sums);
  if (gain > search->gain) {
    search->gain = gain;
    search->scale = scale;
    search->sums = sums;
  }
}

/* The best of some scales up to about @widest goes to *scale, if there is any. Returns its gain. */
static double
search_scale (const RtnLevels *levels, float widest, const float *x, const float *weights, size_t n,
              float *scale)
{
  Search search = { levels, x, weights, n, 0, 0, { 0, 0 } };
  float trial = WIDEST * widest;

  for (unsigned k = 0; k < COARSE; k++, trial *= COARSE_RATIO)
    try_scale (&search, trial, 0);
  const float best = search.scale;
  float above = best, below = best;
  for (unsigned k = 0; k < FINE; k++) {
    try_scale (&search, above /= FINE_RATIO, 0);
    try_scale (&search, below *= FINE_RATIO, 0);
  }
  if (!(search.gain > 0))
    return 0;
  Search refined = search;
  refined.gain = 0;
  for (unsigned round = 0; round < REFITS; round++) {
    const double before = refined.gain;
    try_scale (&refined, (float) (refined.sums.xq / refined.sums.qq), 1);
    if (!(refined.gain > before))
      break;
  }
  if (refined.gain > 0)
    *scale = refined.scale;
  return refined.gain;
}

/* The mean magnitude: the best scale for one bit. */
static float
mean_magnitude (const float *x, const float *weights, size_t n)
{
  double sum = 0, count = 0;

  for (size_t i = 0; i < n; i++) {
    const double w = weights ? weights[i] : 1;
    sum += w * fabsf (x[i]);
    count += w;
  }
  return count > 0 ? (float) (sum / count) : 0;
}

/* The least power of two that is no less than @x, which is positive. */
static int
ceil_exponent (float x)
{
  int exponent;
  const float fraction = frexpf (x, &exponent);

  return fraction == 0.5f ? exponent - 1 : exponent;
}

/* From the least power of two that is no less than @scale down: the first, or the best. */
static void
fit_exponent (const RtnRule *rule, const RtnLevels *levels, float scale, const float *x,
              const float *weights, size_t n, RtnFit *fit)
{
  const int octaves = rule->search || rule->bits == 1 ? OCTAVES : 1;
  double best = 0;

  fit->exponent = RTN_MIN_EXPONENT;
  if (scale > 0) {
    const int first = ceil_exponent (scale);
    fit->exponent = first > RTN_MAX_EXPONENT ? RTN_MAX_EXPONENT : first;
    for (int e = fit->exponent; octaves > 1 && e > first - octaves && e >= RTN_MIN_EXPONENT; e--) {
      const float trial = ldexpf (1, e);
      const double gain = gain_at (correlate (levels, trial, x, weights, n), trial);
      if (gain > best) {
        best = gain;
        fit->exponent = e;
      }
    }
  }
  fit->scale = ldexpf (1, fit->exponent);
}

/* Levels from low to high, 0 among them. With a search a neighbouring zero point may do better. */
static RtnFit
fit_zero_point (const RtnRule *rule, float low, float high, const float *x, const float *weights,
                size_t n)
{
  const unsigned top = (1u << rule->bits) - 1;
  const float least = low < 0 ? low : 0, most = high > 0 ? high : 0;
  RtnFit fit = { most / (float) top - least / (float) top, 0, 0 };
  double best = 0;

  if (!(fit.scale > 0))
    return (RtnFit){ 0, 0, 0 };
  const float zero = round_small (-least / fit.scale);
  fit.zero = zero > (float) top ? top : (unsigned) zero;
  const unsigned first = fit.zero > 0 ? fit.zero - 1 : 0,
                 last = fit.zero < top ? fit.zero + 1 : top;
  const float widest = fit.scale;
  for (unsigned z = first; rule->search && z <= last; z++) {
    const RtnLevels levels = rtn_zero_levels (rule->bits, z);
    float scale = widest;
    const double gain = search_scale (&levels, widest, x, weights, n, &scale);
    if (gain > best) {
      best = gain;
      fit.scale = scale;
      fit.zero = z;
    }
  }
  return fit;
}

RtnFit
rtn_fit (const RtnRule *rule, float low, float high, const float *x, const float *weights, size_t n)
{
  if (rule->zero_point)
    return fit_zero_point (rule, low, high, x, weights, n);
  const RtnLevels levels = rtn_symmetric_levels (rule->bits);
  const float peak = -low > high ? -low : high;
  RtnFit fit = { peak / ((float) (1u << (rule->bits - 1)) - 0.5f), 0, 0 };

  if (rule->bits == 1) {
    const float mean = mean_magnitude (x, weights, n);
    fit.scale = mean > 0 ? mean : peak;
  }
  if (rule->power_of_two)
    fit_exponent (rule, &levels, fit.scale, x, weights, n, &fit);
  else if (rule->search && rule->bits > 1)
    search_scale (&levels, fit.scale, x, weights, n, &fit.scale);
  return fit;
}
