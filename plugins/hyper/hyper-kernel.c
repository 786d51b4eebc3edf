/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hyper-kernel.h"
#include "hyper-search-kernel.h"

#include <float.h>
#include <math.h>
#include <string.h>

#if defined(__x86_64__) && defined(__GNUC__)
#define HYPER_AVX2 1
#else
#define HYPER_AVX2 0
#endif

#define BATCH 64u
#define ROUNDER \
  12582912.0f /* 1.5 * 2^23: adding it rounds to the nearest whole number, halves to even */

/* --- the trajectory --- */

unsigned
hyper_symbol_bits (unsigned points, unsigned classes)
{
  const uint64_t symbols = (uint64_t) points * (classes + 1);
  unsigned bits = 1;

  while ((UINT64_C (1) << bits) < symbols)
    bits++;
  return bits;
}

unsigned
hyper_joined_bits (unsigned points, unsigned classes, unsigned join)
{
  const uint64_t radix = (uint64_t) points * (classes + 1);
  uint64_t codes = 1;
  unsigned bits = 1;

  while (join-- > 0)
    if ((codes *= radix) > UINT64_C (1) << 32)
      return 0;
  while ((UINT64_C (1) << bits) < codes)
    bits++;
  return bits;
}

void
hyper_join (const uint32_t *symbols, size_t n, unsigned join, uint32_t radix, uint32_t *codes)
{
  for (size_t c = 0; c < n; c++, symbols += join) {
    uint32_t code = 0;
    for (unsigned i = join; i-- > 0;)
      code = code * radix + symbols[i];
    codes[c] = code;
  }
}

void
hyper_split (const uint32_t *codes, size_t n, unsigned join, uint32_t radix, uint32_t *symbols)
{
  for (size_t c = 0; c < n; c++, symbols += join) {
    uint32_t rest = codes[c];
    for (unsigned i = 0; i + 1 < join; i++, rest /= radix)
      symbols[i] = rest % radix;
    symbols[join - 1] = rest;
  }
}

size_t
hyper_code_bytes (HyperTrajectory trajectory, unsigned dimension, unsigned points, bool search)
{
  const size_t table = (size_t) points * dimension * sizeof (float);

  return trajectory == HYPER_WINDING && search
             ? 2 * table + points * (sizeof (uint32_t) + sizeof (uint8_t))
             : table;
}

/* The least m with m^k >= n. */
static uint32_t
ceil_root (uint32_t n, unsigned k)
{
  if (k == 1)
    return n;
  for (uint32_t m = 1;; m++) {
    uint64_t power = 1;
    for (unsigned i = 0; i < k && power < n; i++)
      power *= m;
    if (power >= n)
      return m;
  }
}

/* Coordinate i of point j is (j mod (place * radix)) / place spacings, moved by the mean of all points. */
static void
grid_points (HyperCode *code, float *points)
{
  const unsigned d = code->dimension;
  uint32_t left = code->n_points, place = 1;

  for (unsigned i = d; i-- > 0;) {
    code->radix[i] = ceil_root (left, i + 1);
    code->place[i] = place;
    code->shear[i] = 1 / (float) place;
    place *= code->radix[i];
    left = (left + code->radix[i] - 1) / code->radix[i];
  }
  code->half = (float) code->radix[d - 1] / 2;
  for (unsigned i = 0; i < d; i++) {
    const uint64_t n = code->n_points, period = (uint64_t) code->place[i] * code->radix[i];
    const uint64_t rest = n % period;
    const uint64_t sum =
        n / period * (period * (period - 1) / 2) + (rest ? rest * (rest - 1) / 2 : 0);
    const double scale = (double) code->place[i] * (double) n;
    code->middle[i] = (float) ((double) sum / scale);
    for (uint64_t j = 0; j < n; j++) {
      const int64_t moved = (int64_t) (j % period * n) - (int64_t) sum;
      points[j * d + i] = (float) (2 * (double) moved / (scale * (double) code->radix[d - 1]));
    }
  }
}

/* floor (2^64 / (pi + n)) for n = 1..8 */
static const uint64_t winding_steps[HYPER_MAX_DIMENSION] = {
  UINT64_C (0x3dcfdd409bb93e98), UINT64_C (0x31ca3ebcbeaa5f14), UINT64_C (0x29aed9048de72b0f),
  UINT64_C (0x23d8aa1eb65cf023), UINT64_C (0x1f7187dbdbdfc686), UINT64_C (0x1c00fdd2ba84c687),
  UINT64_C (0x193e19f4cd198b53), UINT64_C (0x16fa1a78405260e3),
};

/* The fraction of j / (pi + n), in 64 bits; its first 24 bits as a number from -1 to 1. */
static void
winding_points (HyperCode *code, float *points)
{
  const unsigned d = code->dimension;

  for (unsigned i = 0; i < d; i++) {
    code->radix[i] = code->place[i] = 1;
    code->shear[i] = 1;
    code->middle[i] = 0;
    for (uint64_t j = 0; j < code->n_points; j++)
      points[j * d + i] = (float) (j * winding_steps[i] >> 40) * 0x1p-23f - 1;
  }
  code->half = 1;
}

void
hyper_code_init (HyperCode *code, void *storage, HyperTrajectory trajectory, unsigned dimension,
                 unsigned points, unsigned classes, bool search)
{
  float *table = storage;
  const size_t n = (size_t) points * dimension;

  *code = (HyperCode){ .trajectory = trajectory,
                       .dimension = dimension,
                       .n_points = points,
                       .n_classes = classes + 1,
                       .points = table };
  if (trajectory == HYPER_GRID)
    grid_points (code, table);
  else
    winding_points (code, table);
  if (trajectory == HYPER_WINDING && search) {
    uint32_t *order = (uint32_t *) (table + 2 * n);
    hyper_tree_build (code, table + n, order, (uint8_t *) (order + points));
  }
}

bool
hyper_frame_init (HyperFrame *frame, const HyperCode *code, const float *params)
{
  const unsigned d = code->dimension, last = code->n_classes - 1;

  for (unsigned i = 0; i < d + 2; i++)
    if (!isfinite (params[i]))
      return false;
  const double inner = params[d] > 0 ? params[d] / 2.0 : 0;
  const double outer = params[d + 1] > inner ? params[d + 1] : inner;
  memset (frame, 0, sizeof *frame);
  memcpy (frame->centre, params, d * sizeof *params);
  for (unsigned c = 0; c <= last; c++)
    frame->reach[c] = (float) (c ? inner + c * (outer - inner) / last : inner);
  const float largest = frame->reach[last];
  frame->unit = (double) largest / code->half;
  for (unsigned c = 0; c <= last; c++) {
    const float part = frame->reach[c] / (largest > 0 ? largest : 1);
    const float gain = code->half / frame->reach[c];
    const bool usable = frame->reach[c] > 0 && isfinite (gain) && part * part >= FLT_MIN;
    frame->ratio[c] = part * part;
    frame->gain[c] = usable ? gain : 0;
  }
  return true;
}

size_t
hyper_decode (const HyperCode *code, const HyperFrame *frame, const uint32_t *symbols, size_t n,
              float *out)
{
  const unsigned d = code->dimension;

  for (size_t v = 0; v < n; v++, out += d) {
    const uint32_t c = symbols[v] / code->n_points, j = symbols[v] - c * code->n_points;
    if (c >= code->n_classes)
      return v;
    const float *point = code->points + (size_t) j * d;
    const float reach = frame->reach[c];
    for (unsigned i = 0; i < d; i++) {
      const float value = frame->centre[i] + reach * point[i];
      out[i] = value > FLT_MAX ? FLT_MAX : value < -FLT_MAX ? -FLT_MAX : value;
    }
  }
  return n;
}

/* --- encoding, one vector --- */

size_t
hyper_metric_stride (HyperMetric metric, unsigned dimension)
{
  switch (metric) {
  case HYPER_METRIC_SCALAR:
    return 1;
  case HYPER_METRIC_DIAGONAL:
    return dimension;
  case HYPER_METRIC_MATRIX:
    return (size_t) dimension * dimension;
  case HYPER_METRIC_NONE:
  default:
    return 0;
  }
}

/* 0 in the square, else the smallest class whose circle holds the vector, or whose square with HYPER_RULE_LINF; else the last. */
static unsigned
class_by_rule (const HyperCode *code, const HyperFrame *frame, const float *p)
{
  const unsigned d = code->dimension;
  double square = 0, most = 0;

  for (unsigned i = 0; i < d; i++) {
    const double size = fabs ((double) p[i]);
    most = size > most ? size : most;
    square += size * size;
  }
  if (most <= (double) frame->reach[0])
    return 0;
  for (unsigned c = 1; c < code->n_classes; c++) {
    const double reach = (double) frame->reach[c];
    if (code->rule == HYPER_RULE_LINF ? most <= reach : square <= reach * reach)
      return c;
  }
  return code->n_classes - 1;
}

typedef struct {
  float error; /* over frame->unit^2 */
  uint32_t symbol;
} Choice;

/* A better one among the points of class c, if there is one. */
static void
try_class (const HyperCode *code, const HyperFrame *frame, const HyperQuadratic *form,
           const float *p, unsigned c, Choice *choice)
{
  const unsigned d = code->dimension;
  float t[HYPER_MAX_DIMENSION];
  uint32_t index = UINT32_MAX;

  if (frame->gain[c] == 0)
    return;
  for (unsigned i = 0; i < d; i++)
    t[i] = p[i] * frame->gain[c] + code->middle[i];
  const float bound = choice->error / frame->ratio[c];
  const float error = code->trajectory == HYPER_GRID
                          ? hyper_search_grid (code, form, t, bound, &index)
                          : hyper_search_tree (code, form, t, bound, &index);
  if (index != UINT32_MAX) {
    choice->error = error * frame->ratio[c];
    choice->symbol = c * code->n_points + index;
  }
}

static void
encode_one_by_one (const HyperCode *code, const HyperFrame *frame, HyperMetric metric,
                   const float *weights, const float *x, size_t n, uint32_t *symbols, float *errors)
{
  const unsigned d = code->dimension;
  const size_t stride = hyper_metric_stride (metric, d);
  HyperQuadratic form;
  float p[HYPER_MAX_DIMENSION];

  hyper_quadratic_init (&form, HYPER_METRIC_NONE, d, NULL);
  for (size_t v = 0; v < n; v++, x += d) {
    Choice choice = { INFINITY, 0 };
    if (metric != HYPER_METRIC_NONE)
      hyper_quadratic_init (&form, metric, d, weights + v * stride);
    for (unsigned i = 0; i < d; i++)
      p[i] = x[i] - frame->centre[i];
    const unsigned first = class_by_rule (code, frame, p);
    try_class (code, frame, &form, p, first, &choice);
    const bool all = code->rule == HYPER_RULE_NEAREST || isinf (choice.error);
    for (unsigned c = 0; all && c < code->n_classes; c++)
      if (c != first)
        try_class (code, frame, &form, p, c, &choice);
    symbols[v] = choice.symbol;
    if (errors)
      errors[v] = isfinite (choice.error) ? choice.error * form.largest : 0;
  }
}

/* --- encoding, pairs on the grid without a metric, many at once --- */

typedef struct {
  float x[BATCH], y[BATCH], error[BATCH];
  int32_t symbol[BATCH];
  int32_t doubt[BATCH]; /* some class might have a nearer point in a row that was not looked at */
} Batch;

#define LEAST(a, b) ((a) < (b) ? (a) : (b))
#define MOST(a, b) ((a) > (b) ? (a) : (b))

/*
 * The rows before and after y, and in each the nearest place. No other row is nearer than one spacing, so the result is exact where
 * the error is at most 1.
 */
static inline __attribute__ ((always_inline)) void
batch_class (const HyperCode *code, const HyperFrame *frame, unsigned c, Batch *b, size_t n)
{
  const float gain = frame->gain[c], ratio = frame->ratio[c], shear = code->shear[0];
  const float middle_x = code->middle[0], middle_y = code->middle[1];
  const float rows = (float) code->radix[1], top = rows - 1;
  const float full = (float) (code->n_points / code->radix[1]); /* last place of the first rows */
  const float longer = (float) (code->n_points % code->radix[1]);
  const int32_t first = (int32_t) (c * code->n_points);

  for (size_t i = 0; i < n; i++) {
    const float x = b->x[i] * gain + middle_x, y = b->y[i] * gain + middle_y;
    const float inside = LEAST (MOST (y, 0), top);
    const float r0 = (inside + ROUNDER) - ROUNDER;
    const float beside = y > r0 ? r0 + 1 : r0 - 1;
    const float r1 = LEAST (MOST (beside, 0), top);
    const float x0 = x - r0 * shear, x1 = x - r1 * shear;
    const float end0 = r0 < longer ? full : full - 1, end1 = r1 < longer ? full : full - 1;
    const float q0 = (LEAST (MOST (x0, 0), end0) + ROUNDER) - ROUNDER;
    const float q1 = (LEAST (MOST (x1, 0), end1) + ROUNDER) - ROUNDER;
    const float error0 = (x0 - q0) * (x0 - q0) + (y - r0) * (y - r0);
    const float error1 = (x1 - q1) * (x1 - q1) + (y - r1) * (y - r1);
    const float nearest = error1 < error0 ? error1 : error0;
    const float index = error1 < error0 ? q1 * rows + r1 : q0 * rows + r0;
    const float error = nearest * ratio;
    const int32_t symbol = first + (int32_t) index;
    const int32_t better = error < b->error[i];
    b->symbol[i] = better ? symbol : b->symbol[i];
    b->error[i] = better ? error : b->error[i];
    b->doubt[i] |= nearest > 1;
  }
}

/* What is outside of the squares, to be sure. */
static void
batch_check (const HyperCode *code, const HyperFrame *frame, const HyperQuadratic *form, Batch *b,
             size_t i)
{
  const float top = (float) (code->radix[1] - 1);
  const float end = (float) (code->n_points - 1) * code->shear[0];
  const float p[2] = { b->x[i], b->y[i] };
  Choice choice = { b->error[i], (uint32_t) b->symbol[i] };

  for (unsigned c = 0; c < code->n_classes; c++) {
    if (frame->gain[c] == 0)
      continue;
    const float x = p[0] * frame->gain[c] + code->middle[0];
    const float y = p[1] * frame->gain[c] + code->middle[1];
    const float off_x = MOST (MOST (-x, x - end), 0), off_y = MOST (MOST (-y, y - top), 0) + 1;
    if ((off_x * off_x + off_y * off_y) * frame->ratio[c] < choice.error)
      try_class (code, frame, form, p, c, &choice);
  }
  b->error[i] = choice.error;
  b->symbol[i] = (int32_t) choice.symbol;
}

static inline __attribute__ ((always_inline)) void
encode_pairs (const HyperCode *code, const HyperFrame *frame, const float *x, size_t n,
              uint32_t *symbols, float *errors)
{
  HyperQuadratic form;
  Batch b;

  hyper_quadratic_init (&form, HYPER_METRIC_NONE, 2, NULL);
  for (size_t done = 0; done < n; done += BATCH) {
    const size_t count = LEAST (n - done, BATCH);
    for (size_t i = 0; i < count; i++) {
      b.x[i] = x[2 * (done + i)] - frame->centre[0];
      b.y[i] = x[2 * (done + i) + 1] - frame->centre[1];
      b.error[i] = INFINITY;
      b.symbol[i] = b.doubt[i] = 0;
    }
    for (unsigned c = 0; c < code->n_classes; c++)
      if (frame->gain[c] != 0)
        batch_class (code, frame, c, &b, count);
    for (size_t i = 0; i < count; i++) {
      if (b.doubt[i])
        batch_check (code, frame, &form, &b, i);
      symbols[done + i] = (uint32_t) b.symbol[i];
      if (errors)
        errors[done + i] = isfinite (b.error[i]) ? b.error[i] : 0;
    }
  }
}

static void
encode_pairs_portable (const HyperCode *code, const HyperFrame *frame, const float *x, size_t n,
                       uint32_t *symbols, float *errors)
{
  encode_pairs (code, frame, x, n, symbols, errors);
}

#if HYPER_AVX2
__attribute__ ((target ("avx2"))) static void
encode_pairs_avx2 (const HyperCode *code, const HyperFrame *frame, const float *x, size_t n,
                   uint32_t *symbols, float *errors)
{
  encode_pairs (code, frame, x, n, symbols, errors);
}
#endif

typedef void (*EncodePairs) (const HyperCode *code, const HyperFrame *frame, const float *x,
                             size_t n, uint32_t *symbols, float *errors);

static void
encode_with (EncodePairs pairs, const HyperCode *code, const HyperFrame *frame, HyperMetric metric,
             const float *weights, const float *x, size_t n, uint32_t *symbols, float *errors)
{
  const bool plain = code->rule == HYPER_RULE_NEAREST &&
                     (metric == HYPER_METRIC_NONE || metric == HYPER_METRIC_SCALAR);

  if (!plain || code->trajectory != HYPER_GRID || code->dimension != 2) {
    encode_one_by_one (code, frame, metric, weights, x, n, symbols, errors);
    return;
  }
  pairs (code, frame, x, n, symbols, errors);
  for (size_t i = 0; errors && metric == HYPER_METRIC_SCALAR && i < n; i++)
    errors[i] *= weights[i];
}

void
hyper_encode_portable (const HyperCode *code, const HyperFrame *frame, HyperMetric metric,
                       const float *weights, const float *x, size_t n, uint32_t *symbols,
                       float *errors)
{
  encode_with (encode_pairs_portable, code, frame, metric, weights, x, n, symbols, errors);
}

void
hyper_encode (const HyperCode *code, const HyperFrame *frame, HyperMetric metric,
              const float *weights, const float *x, size_t n, uint32_t *symbols, float *errors)
{
  EncodePairs pairs = encode_pairs_portable;

#if HYPER_AVX2
  if (__builtin_cpu_supports ("avx2"))
    pairs = encode_pairs_avx2;
#endif
  encode_with (pairs, code, frame, metric, weights, x, n, symbols, errors);
}
