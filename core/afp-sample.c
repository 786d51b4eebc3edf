/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-codec-private.h"

#include <math.h>
#include <stdlib.h>

/* Part of the draws that goes evenly over all vectors, whatever they weigh: what weighs little is not forgotten. */
#define EVEN_PART 0.5
#define DENSITY_STEPS 60

static guint64
mix64 (guint64 x)
{
  x += G_GUINT64_CONSTANT (0x9e3779b97f4a7c15);
  x = (x ^ (x >> 30)) * G_GUINT64_CONSTANT (0xbf58476d1ce4e5b9);
  x = (x ^ (x >> 27)) * G_GUINT64_CONSTANT (0x94d049bb133111eb);
  return x ^ (x >> 31);
}

/**
 * afp_sample_index:
 * @seed: of the choice
 * @i: which stretch
 * @n: how many there are
 * @total: number of indices, at least @n
 *
 * Returns: one index from the @i-th of @n equal stretches of @total indices
 */
guint64
afp_sample_index (guint64 seed, gsize i, gsize n, guint64 total)
{
  const guint64 whole = total / n, rest = total % n; /* total can be large: no product of it */
  const guint64 low = i * whole + i * rest / n, high = (i + 1) * whole + (i + 1) * rest / n;
  guint64 z = (seed + i + 1) * G_GUINT64_CONSTANT (0x9e3779b97f4a7c15);

  z = (z ^ (z >> 32)) * G_GUINT64_CONSTANT (0xbf58476d1ce4e5b9);
  return high - low > 1 ? low + (z ^ (z >> 31)) % (high - low) : low;
}

/**
 * afp_context_sample: (skip)
 * @ctx: a context, in fit
 * @max: how many vectors at the most
 * @length: their length, a divisor of the quantum
 * @n: (out): how many there are
 * @metric_data: (out) (optional) (nullable): their metric, of kind afp_context_get_metric_kind()
 * @error: return location
 *
 * One vector from each of @max equal stretches of the plane, at a place that depends on the seed alone.
 *
 * Returns: n x length floats; free with g_free()
 */
float *
afp_context_sample (AfpContext *ctx, gsize max, guint length, gsize *n, float **metric_data,
                    GError **error)
{
  const guint64 per_row = afp_layout_get_padded_cols (ctx->layout) / length;
  const guint64 total = afp_layout_get_rows (ctx->layout) * per_row;
  const gsize count = (gsize) MIN (total, (guint64) max);
  const gsize stride = afp_metric_stride (afp_context_get_metric_kind (ctx, length), length);
  const guint64 seed = afp_context_get_seed (ctx);
  g_autofree float *vectors = g_new (float, MAX (count * length, 1));
  g_autofree float *metric = stride && metric_data ? g_new (float, MAX (count * stride, 1)) : NULL;

  for (gsize i = 0; i < count; i++) {
    guint64 low = i, high = i + 1;
    if (count < total) {
      low = (guint64) ((double) i * (double) total / (double) count);
      high = MIN ((guint64) ((double) (i + 1) * (double) total / (double) count), total);
    }
    const guint64 index = high > low ? low + mix64 (seed + i) % (high - low) : low;
    const guint64 row = index / per_row, col = index % per_row * length;
    if (!afp_matrix_read (ctx->matrix, row, 1, MIN (col, afp_layout_get_cols (ctx->layout)), length,
                          vectors + i * length, error))
      return NULL;
    if (metric)
      afp_context_fill_metric (ctx, length, row, col, 1, metric + i * stride);
  }
  *n = count;
  if (metric_data)
    *metric_data = g_steal_pointer (&metric);
  return g_steal_pointer (&vectors);
}

/* --- by weight ------------------------------------------------------------------------------------------------------ */

/*
 * Vectors that weigh the same because they lie on the same columns: a place has count (place) of them, the j-th at index
 * place * step + j * stride of the plane in row order.
 */
typedef struct {
  guint64 n, step, stride, total;
} Places;

static guint64
place_count (const Places *places, guint64 place)
{
  return places->step == 1 ? (places->total - place + places->stride - 1) / places->stride
                           : places->step;
}

/* FALSE: weights do not depend on columns alone, or too oddly. */
static gboolean
find_places (AfpContext *ctx, guint length, Places *places)
{
  const guint64 per_row = afp_layout_get_padded_cols (ctx->layout) / length;
  const guint64 rows = afp_layout_get_rows (ctx->layout);

  if (ctx->metric_kind != AFP_METRIC_NONE || !ctx->column_weights)
    return FALSE;
  *places = (Places){ per_row, 1, per_row, rows * per_row };
  if (ctx->layout->transposed)
    *places = (Places){ rows, per_row, 1, rows * per_row };
  else if (rows == 1 && per_row > ctx->n_columns / length && ctx->n_columns % length == 0)
    places->n = places->stride = ctx->n_columns / length;
  return places->n > 0;
}

/* Mean weight of a number of each place. */
static double *
weigh_places (AfpContext *ctx, guint length, const Places *places)
{
  const gsize stride = afp_metric_stride (afp_context_get_metric_kind (ctx, length), length);
  const guint64 per_row = afp_layout_get_padded_cols (ctx->layout) / length;
  g_autofree float *one = g_new (float, MAX (stride, 1));
  double *weights = g_new (double, places->n);

  for (guint64 p = 0; p < places->n; p++) {
    const guint64 index = p * places->step;
    afp_context_fill_metric (ctx, length, index / per_row, index % per_row * length, 1, one);
    weights[p] = 0;
    for (gsize i = 0; i < stride; i++)
      weights[p] += (double) one[i] / (double) stride;
  }
  return weights;
}

static double
expected_draws (const Places *places, const double *shares, double scale)
{
  double sum = 0;

  for (guint64 p = 0; p < places->n; p++)
    sum += MIN (1, scale * shares[p]) * (double) place_count (places, p);
  return sum;
}

/* From weights to densities: the part of a place's vectors that is drawn, so that @count are expected in all. */
static void
find_densities (const Places *places, double *weights, gsize count)
{
  double mean = 0, low = 0, high = 1;

  for (guint64 p = 0; p < places->n; p++)
    mean += weights[p] * (double) place_count (places, p) / (double) places->total;
  for (guint64 p = 0; p < places->n; p++)
    weights[p] = EVEN_PART + (1 - EVEN_PART) * (mean > 0 ? weights[p] / mean : 1);
  high = (double) places->total / (EVEN_PART * (double) MAX (count, 1));
  high = MAX (high, 1 / EVEN_PART);
  for (guint i = 0; i < DENSITY_STEPS; i++) {
    const double middle = low + (high - low) / 2;
    if (expected_draws (places, weights, middle) < (double) count)
      low = middle;
    else
      high = middle;
  }
  for (guint64 p = 0; p < places->n; p++)
    weights[p] = MIN (1, high * weights[p]);
}

static int
compare_draws (gconstpointer a, gconstpointer b)
{
  const AfpDraw *x = a, *y = b;

  return x->row != y->row ? (x->row < y->row ? -1 : 1) : (x->col > y->col) - (x->col < y->col);
}

/* As many as @max, or nearly: rounding may cost the last one. */
static AfpDraw *
draw_by_weight (AfpContext *ctx, const Places *places, gsize max, guint length, gsize *n)
{
  const guint64 per_row = afp_layout_get_padded_cols (ctx->layout) / length;
  const guint64 seed = afp_context_get_seed (ctx);
  g_autofree double *densities = weigh_places (ctx, length, places);
  AfpDraw *draws = g_new (AfpDraw, MAX (max, 1));
  double sum = (double) (mix64 (seed) >> 11) * 0x1p-53;
  gsize drawn = 0;

  find_densities (places, densities, max);
  for (guint64 p = 0; p < places->n; p++) {
    const guint64 count = place_count (places, p);
    const double before = floor (sum);
    sum += densities[p] * (double) count;
    const gsize most = MIN ((gsize) MIN (floor (sum) - before, (double) count), max - drawn);
    for (gsize i = 0; i < most; i++) {
      const guint64 member =
          afp_sample_index (seed + p * G_GUINT64_CONSTANT (0x2545f4914f6cdd1d), i, most, count);
      const guint64 index = p * places->step + member * places->stride;
      draws[drawn++] = (AfpDraw){ index / per_row, index % per_row * length,
                                  (float) ((double) max / (double) places->total / densities[p]) };
    }
  }
  qsort (draws, drawn, sizeof *draws, compare_draws);
  *n = drawn;
  return draws;
}

/**
 * afp_context_draw: (skip)
 * @ctx: a context, in fit
 * @max: how many vectors at the most
 * @length: their length, a divisor of the quantum
 * @by_weight: under the metric that the inputs' mean squares give, the heavier a vector, the likelier it is drawn, and the less it then
 *   counts: sums over the draws of metric times #AfpDraw.factor have the mean that they have for even draws. Half of the density stays even.
 *   Counts of the draws are then not those of the plane: code lengths must not be learned from them
 * @n: (out): how many there are
 *
 * Each vector is drawn once at the most; which ones depends on the seed alone.
 *
 * Returns: @n draws in row order; free with g_free()
 */
AfpDraw *
afp_context_draw (AfpContext *ctx, gsize max, guint length, gboolean by_weight, gsize *n)
{
  const guint64 per_row = afp_layout_get_padded_cols (ctx->layout) / length;
  const guint64 total = afp_layout_get_rows (ctx->layout) * per_row;
  Places places;

  if (by_weight && total > max && find_places (ctx, length, &places))
    return draw_by_weight (ctx, &places, max, length, n);
  *n = (gsize) MIN (total, (guint64) max);
  AfpDraw *draws = g_new (AfpDraw, MAX (*n, 1));
  for (gsize i = 0; i < *n; i++) {
    const guint64 index = afp_sample_index (afp_context_get_seed (ctx), i, *n, total);
    draws[i] = (AfpDraw){ index / per_row, index % per_row * length, 1 };
  }
  return draws;
}

/**
 * afp_context_sample_by_weight: (skip)
 * @ctx: a context, in fit
 * @max: how many vectors at the most
 * @length: their length, a divisor of the quantum
 * @n: (out): how many there are
 * @metric_data: (out) (nullable): their metric, of kind afp_context_get_metric_kind()
 * @error: return location
 *
 * As afp_context_sample(), but drawn by weight (afp_context_draw()) where the inputs' mean squares give the metric.
 *
 * Returns: n x length floats; free with g_free()
 */
float *
afp_context_sample_by_weight (AfpContext *ctx, gsize max, guint length, gsize *n,
                              float **metric_data, GError **error)
{
  const gsize stride = afp_metric_stride (afp_context_get_metric_kind (ctx, length), length);
  Places places;

  if (!find_places (ctx, length, &places) || places.total <= max)
    return afp_context_sample (ctx, max, length, n, metric_data, error);
  g_autofree AfpDraw *draws = draw_by_weight (ctx, &places, max, length, n);
  g_autofree float *vectors = g_new (float, MAX (*n * length, 1));
  g_autofree float *metric = g_new (float, MAX (*n * stride, 1));
  for (gsize i = 0; i < *n; i++) {
    const guint64 col = MIN (draws[i].col, afp_layout_get_cols (ctx->layout));
    if (!afp_matrix_read (ctx->matrix, draws[i].row, 1, col, length, vectors + i * length, error))
      return NULL;
    afp_context_fill_metric (ctx, length, draws[i].row, draws[i].col, 1, metric + i * stride);
    for (gsize j = 0; j < stride; j++)
      metric[i * stride + j] *= draws[i].factor;
  }
  *metric_data = g_steal_pointer (&metric);
  return g_steal_pointer (&vectors);
}
