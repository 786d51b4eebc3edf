/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hyper-bezier-kernel.h"
#include "hyper-kernel.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define RUN 64u           /* numbers that are compared with an edge at once */
#define FEW 32u           /* positions: all edges are compared with, else they are halved */
#define FEW_NUMBERS 2048u /* a quick fit for as few */
#define MANY_TURNS 400u
#define FEW_TURNS 24u
#define SETTLED 1e-7 /* part of the error that a turn must win */
#define RIDGE 1e-9   /* of the largest diagonal element */
#define SPREAD \
  1.7320508 /* of the best levels, to that of the numbers (a root of 3 for normal ones) */

unsigned
hyper_bezier_controls (const HyperBezier *curve)
{
  return curve->degree * curve->segments + 1;
}

/* The segment of position j, and how far along it. */
static unsigned
find_place (const HyperBezier *curve, unsigned j, double *along)
{
  const uint64_t last = curve->n_points - 1;
  const uint64_t at = (uint64_t) j * curve->segments;

  if (j == last) {
    *along = 1;
    return curve->segments - 1;
  }
  *along = (double) (at % last) / (double) last;
  return (unsigned) (at / last);
}

/* --- the curve --- */

void
hyper_bezier_levels (const HyperBezier *curve, const float *controls, float *levels)
{
  double b[HYPER_BEZIER_MAX_DEGREE + 1], u;

  for (unsigned j = 0; j < curve->n_points; j++) {
    const float *own = controls + find_place (curve, j, &u) * curve->degree;
    for (unsigned i = 0; i <= curve->degree; i++)
      b[i] = own[i];
    for (unsigned n = curve->degree; n > 0; n--)
      for (unsigned i = 0; i < n; i++)
        b[i] = (1 - u) * b[i] + u * b[i + 1];
    levels[j] = (float) b[0];
  }
}

/* What each control point of the segment adds to the curve at u: Bernstein's polynomials. */
static void
find_shares (unsigned degree, double u, double *shares)
{
  shares[0] = 1;
  for (unsigned n = 1; n <= degree; n++) {
    shares[n] = u * shares[n - 1];
    for (unsigned i = n - 1; i > 0; i--)
      shares[i] = (1 - u) * shares[i] + u * shares[i - 1];
    shares[0] *= 1 - u;
  }
}

/* --- least squares --- */

/* Normal equations. Control points that would fall are one unknown: own[i] is that of control point i. */
typedef struct {
  double band[HYPER_BEZIER_MAX_CONTROLS][HYPER_BEZIER_MAX_DEGREE + 1]; /* from the diagonal on */
  double right[HYPER_BEZIER_MAX_CONTROLS];
  unsigned own[HYPER_BEZIER_MAX_CONTROLS];
  unsigned n; /* unknowns */
} System;

static void
set_up (System *system, const HyperBezier *curve, const double *weights, const double *targets,
        const double *controls)
{
  double shares[HYPER_BEZIER_MAX_DEGREE + 1], u, largest = 0;

  memset (system->band, 0, system->n * sizeof *system->band);
  memset (system->right, 0, system->n * sizeof *system->right);
  for (unsigned j = 0; j < curve->n_points; j++) {
    if (!(weights[j] > 0))
      continue;
    const unsigned *own = system->own + find_place (curve, j, &u) * curve->degree;
    find_shares (curve->degree, u, shares);
    for (unsigned i = 0; i <= curve->degree; i++) {
      const double w = weights[j] * shares[i];
      system->right[own[i]] += w * targets[j];
      for (unsigned k = 0; k <= curve->degree; k++)
        if (own[k] >= own[i])
          system->band[own[i]][own[k] - own[i]] += w * shares[k];
    }
  }
  for (unsigned i = 0; i < system->n; i++)
    largest = fmax (largest, system->band[i][0]);
  const double ridge = largest > 0 ? largest * RIDGE : 1;
  for (unsigned i = hyper_bezier_controls (curve); i-- > 0;) {
    system->band[system->own[i]][0] += ridge;
    system->right[system->own[i]] += ridge * controls[i];
  }
}

/* Cholesky's factor in place of the band; then the unknowns in place of the right side. */
static void
solve (System *system, unsigned degree)
{
  const unsigned n = system->n;
  double *x = system->right;

  for (unsigned i = 0; i < n; i++) {
    double *row = system->band[i];
    const unsigned reach = n - 1 - i < degree ? n - 1 - i : degree;
    for (unsigned k = 1; k <= reach; k++) {
      const double factor = row[k] / row[0];
      for (unsigned l = k; l <= reach; l++)
        system->band[i + k][l - k] -= factor * row[l];
      x[i + k] -= factor * x[i];
    }
  }
  for (unsigned i = n; i-- > 0;) {
    const unsigned reach = n - 1 - i < degree ? n - 1 - i : degree;
    for (unsigned k = 1; k <= reach; k++)
      x[i] -= system->band[i][k] * x[i + k];
    x[i] /= system->band[i][0];
  }
}

/* Neighbours of which the later is the lesser become one unknown; false: there are none. */
static bool
merge_falling (System *system, unsigned n_controls)
{
  unsigned n = 0;

  for (unsigned i = 0, last = 0; i < n_controls; i++) {
    const unsigned own = system->own[i];
    if (i > 0 && own != last && system->right[own] >= system->right[last])
      n++;
    system->own[i] = n;
    last = own;
  }
  const bool merged = n + 1 < system->n;
  system->n = n + 1;
  return merged;
}

void
hyper_bezier_solve (const HyperBezier *curve, const double *weights, const double *targets,
                    bool monotone, double *controls)
{
  const unsigned n = hyper_bezier_controls (curve);
  System system = { .n = n };

  for (unsigned i = 0; i < n; i++)
    system.own[i] = i;
  do {
    set_up (&system, curve, weights, targets, controls);
    solve (&system, curve->degree);
  } while (monotone && merge_falling (&system, n));
  for (unsigned i = 0; i < n; i++)
    controls[i] = system.right[system.own[i]];
}

/* --- fit --- */

typedef struct {
  float x, weight;
} Item;

/* Sorted numbers, and sums over those before each. */
typedef struct {
  const HyperBezier *curve;
  size_t n;
  Item *items;
  double *weight, *moment; /* n + 1 */
  double square;
  double *cell_weights, *cell_means; /* of each position */
  float *levels;
} Fit;

size_t
hyper_bezier_scratch_bytes (const HyperBezier *curve, size_t n)
{
  return 2 * (n + 1 + curve->n_points) * sizeof (double) + n * sizeof (Item) +
         curve->n_points * sizeof (float);
}

static int
compare_items (const void *a, const void *b)
{
  const Item *x = a, *y = b;

  if (x->x != y->x)
    return x->x < y->x ? -1 : 1;
  return x->weight < y->weight ? -1 : x->weight > y->weight;
}

static void
fit_init (Fit *fit, const HyperBezier *curve, const float *x, const float *weights, size_t n,
          void *scratch)
{
  *fit = (Fit){ .curve = curve, .n = n, .weight = scratch };
  fit->moment = fit->weight + n + 1;
  fit->cell_weights = fit->moment + n + 1;
  fit->cell_means = fit->cell_weights + curve->n_points;
  fit->items = (Item *) (fit->cell_means + curve->n_points);
  fit->levels = (float *) (fit->items + n);
  for (size_t i = 0; i < n; i++)
    fit->items[i] = (Item){ x[i], weights ? weights[i] : 1 };
  qsort (fit->items, n, sizeof *fit->items, compare_items);
  fit->weight[0] = fit->moment[0] = 0;
  for (size_t i = 0; i < n; i++) {
    const double v = (double) fit->items[i].x, w = (double) fit->items[i].weight;
    fit->weight[i + 1] = fit->weight[i] + w;
    fit->moment[i + 1] = fit->moment[i] + w * v;
    fit->square += w * v * v;
  }
}

/* How many numbers lie at or below x. */
static size_t
count_below (const Fit *fit, double x)
{
  size_t low = 0, high = fit->n;

  while (low < high) {
    const size_t middle = low + (high - low) / 2;
    if ((double) fit->items[middle].x <= x)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

/* What goes to each position; returns the error of that. */
static double
assign (Fit *fit, const float *levels)
{
  const unsigned n_points = fit->curve->n_points;
  double error = fit->square;
  size_t first = 0;

  for (unsigned j = 0; j < n_points; j++) {
    const double level = (double) levels[j];
    const size_t end =
        j + 1 < n_points ? count_below (fit, (level + (double) levels[j + 1]) / 2) : fit->n;
    const double weight = end > first ? fit->weight[end] - fit->weight[first] : 0;
    const double moment = end > first ? fit->moment[end] - fit->moment[first] : 0;
    fit->cell_weights[j] = weight;
    fit->cell_means[j] = weight > 0 ? moment / weight : level;
    error += level * (weight * level - 2 * moment);
    first = end > first ? end : first;
  }
  return fmax (error, 0);
}

/* In turns from the levels in cell_means on, which the control points are to follow as well as they can. */
static double
settle (Fit *fit, unsigned turns, float *best)
{
  const unsigned n = hyper_bezier_controls (fit->curve);
  const double low = (double) fit->items[0].x, high = (double) fit->items[fit->n - 1].x;
  double controls[HYPER_BEZIER_MAX_CONTROLS], least = INFINITY;
  float rounded[HYPER_BEZIER_MAX_CONTROLS];

  for (unsigned j = 0; j < fit->curve->n_points; j++)
    fit->cell_weights[j] = 1;
  for (unsigned i = 0; i < n; i++) /* near enough for those that few positions tell of */
    controls[i] = fit->cell_means[(size_t) i * (fit->curve->n_points - 1) / (n > 1 ? n - 1 : 1)];
  for (unsigned turn = 0; turn <= turns; turn++) {
    hyper_bezier_solve (fit->curve, fit->cell_weights, fit->cell_means, true, controls);
    for (unsigned i = 0; i < n; i++)
      rounded[i] = (float) fmin (fmax (controls[i], low), high);
    hyper_bezier_levels (fit->curve, rounded, fit->levels);
    const double error = assign (fit, fit->levels);
    const bool settled = error > least * (1 - SETTLED);
    if (error < least) {
      least = error;
      memcpy (best, rounded, n * sizeof *best);
    }
    if (settled)
      break;
  }
  return least;
}

/* The quantiles in equal parts, farther from the middle by spread; spread 0: at equal distances. */
static void
begin_with (Fit *fit, double spread)
{
  const unsigned n_points = fit->curve->n_points;
  const double low = (double) fit->items[0].x, high = (double) fit->items[fit->n - 1].x;
  const double total = fit->weight[fit->n];
  const double mean = total > 0 ? fit->moment[fit->n] / total : 0;

  for (unsigned j = 0; j < n_points; j++) {
    const double part = (j + 0.5) / n_points;
    const size_t at = (size_t) (part * (double) fit->n);
    const double quantile = (double) fit->items[at < fit->n ? at : fit->n - 1].x;
    const double level = spread > 0 ? mean + spread * (quantile - mean) : low + part * (high - low);
    fit->cell_means[j] = fmin (fmax (level, low), high);
  }
}

double
hyper_bezier_fit (const HyperBezier *curve, const float *x, const float *weights, size_t n,
                  void *scratch, float *controls)
{
  static const double spreads[] = { SPREAD, 0, 1 };
  const unsigned n_controls = hyper_bezier_controls (curve);
  const unsigned starts = n < FEW_NUMBERS ? 1 : sizeof spreads / sizeof *spreads;
  float found[HYPER_BEZIER_MAX_CONTROLS];
  double least = INFINITY;
  Fit fit;

  memset (controls, 0, n_controls * sizeof *controls);
  fit_init (&fit, curve, x, weights, n, scratch);
  if (n == 0)
    return 0;
  for (unsigned s = 0; s < starts; s++) {
    begin_with (&fit, spreads[s]);
    const double error = settle (&fit, n < FEW_NUMBERS ? FEW_TURNS : MANY_TURNS, found);
    if (error < least) {
      least = error;
      memcpy (controls, found, n_controls * sizeof *controls);
    }
  }
  for (unsigned i = 0; i < n_controls; i++)
    controls[i] = hyper_round ((double) controls[i]);
  return least;
}

/* --- encode, decode --- */

void
hyper_bezier_edges (unsigned n_points, const float *levels, float *edges, uint32_t *order)
{
  for (unsigned j = 0; j < n_points; j++) { /* they are sorted but for rounding */
    unsigned at = j;
    for (; at > 0 && levels[order[at - 1]] > levels[j]; at--)
      order[at] = order[at - 1];
    order[at] = j;
  }
  for (unsigned j = 0; j + 1 < n_points; j++)
    edges[j] = (float) (((double) levels[order[j]] + (double) levels[order[j + 1]]) / 2);
}

static void
compare_with_all (unsigned n_edges, const float *edges, const float *x, unsigned n, uint32_t *ranks)
{
  memset (ranks, 0, n * sizeof *ranks);
  for (unsigned j = 0; j < n_edges; j++)
    for (unsigned i = 0; i < n; i++)
      ranks[i] += x[i] > edges[j];
}

static uint32_t
halve (unsigned n_edges, const float *edges, float x)
{
  unsigned low = 0;

  for (unsigned n = n_edges; n > 0;) {
    const unsigned half = n / 2;
    const bool beyond = x > edges[low + half];
    low += beyond ? half + 1 : 0;
    n = beyond ? n - half - 1 : half;
  }
  return low;
}

void
hyper_bezier_encode (unsigned n_points, const float *edges, const uint32_t *order, const float *x,
                     size_t n, uint32_t *positions)
{
  for (size_t done = 0; done < n; done += RUN) {
    const unsigned count = n - done < RUN ? (unsigned) (n - done) : RUN;
    uint32_t ranks[RUN];
    if (n_points <= FEW)
      compare_with_all (n_points - 1, edges, x + done, count, ranks);
    else
      for (unsigned i = 0; i < count; i++)
        ranks[i] = halve (n_points - 1, edges, x[done + i]);
    for (unsigned i = 0; i < count; i++)
      positions[done + i] = order[ranks[i]];
  }
}

size_t
hyper_bezier_decode (unsigned n_points, const float *levels, const uint32_t *positions, size_t n,
                     float *out)
{
  for (size_t i = 0; i < n; i++) {
    if (positions[i] >= n_points)
      return i;
    out[i] = levels[positions[i]];
  }
  return n;
}
