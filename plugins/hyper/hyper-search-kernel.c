/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hyper-search-kernel.h"

#include <math.h>
#include <string.h>

#define LEAF 8u        /* points that are looked at one by one */
#define RIDGE 0x1p-10f /* least weight of a direction, over the largest */

/* --- metrics --- */

static void
form_plain (HyperQuadratic *form)
{
  *form = (HyperQuadratic){ .plain = true, .largest = 1 };
  for (unsigned i = 0; i < HYPER_MAX_DIMENSION; i++)
    form->diagonal[i] = form->extent[i] = 1;
}

/* G + ridge = L D L' with a unit lower triangle L: upper = L'. The inverse of L gives the extents. */
static void
form_matrix (HyperQuadratic *form, unsigned d, const float *g)
{
  float lower[HYPER_MAX_DIMENSION][HYPER_MAX_DIMENSION] = { { 0 } };
  float inverse[HYPER_MAX_DIMENSION][HYPER_MAX_DIMENSION] = { { 0 } };

  for (unsigned j = 0; j < d; j++) {
    for (unsigned i = j; i < d; i++) {
      float sum = g[i * d + j] / form->largest + (i == j ? RIDGE : 0);
      for (unsigned m = 0; m < j; m++)
        sum -= lower[i][m] * lower[j][m] * form->diagonal[m];
      if (i == j)
        form->diagonal[j] = sum > RIDGE / 2 ? sum : RIDGE / 2;
      else
        lower[i][j] = sum / form->diagonal[j];
    }
    lower[j][j] = 1;
  }
  for (unsigned j = 0; j < d; j++) {
    inverse[j][j] = 1;
    for (unsigned i = j + 1; i < d; i++)
      for (unsigned m = j; m < i; m++)
        inverse[i][j] -= lower[i][m] * inverse[m][j];
  }
  form->skew = false;
  for (unsigned i = 0; i < d; i++) {
    float sum = 0;
    for (unsigned k = i; k < d; k++) {
      form->upper[i][k] = lower[k][i];
      form->skew = form->skew || (k > i && lower[k][i] != 0);
      sum += inverse[k][i] * inverse[k][i] / form->diagonal[k];
    }
    form->extent[i] = 1 / sum;
  }
}

void
hyper_quadratic_init (HyperQuadratic *form, HyperMetric metric, unsigned dimension,
                      const float *weights)
{
  const unsigned d = dimension;

  form_plain (form);
  if (metric == HYPER_METRIC_SCALAR)
    form->largest = weights[0];
  if (metric == HYPER_METRIC_NONE || metric == HYPER_METRIC_SCALAR)
    return;
  const unsigned step = metric == HYPER_METRIC_MATRIX ? d + 1 : 1;
  float largest = 0;
  for (unsigned i = 0; i < d; i++)
    if (weights[i * step] > largest)
      largest = weights[i * step];
  form->largest = largest;
  if (!(largest > 0 && isfinite (largest)))
    return;
  form->plain = false;
  if (metric == HYPER_METRIC_MATRIX) {
    form_matrix (form, d, weights);
    return;
  }
  for (unsigned i = 0; i < d; i++) {
    const float w = weights[i] / largest;
    form->diagonal[i] = form->extent[i] = w > RIDGE ? w : RIDGE;
  }
}

/* --- grid: digit by digit, from the last coordinate to the first --- */

typedef struct {
  const HyperCode *code;
  const HyperQuadratic *form;
  const float *t;
  float best;
  uint32_t index;
  float e[HYPER_MAX_DIMENSION];
} Descent;

/* @low: what the digits of the later coordinates come to; @partial: their error. Digits in order of their distance: the first
 * that is too far ends the search. */
static void
descend (Descent *s, unsigned i, uint32_t low, float partial)
{
  const HyperCode *code = s->code;
  const uint32_t room = (code->n_points - 1 - low) / code->place[i];
  const int32_t limit = (int32_t) (room < code->radix[i] - 1 ? room : code->radix[i] - 1);
  const float base = (float) low * code->shear[i], weight = s->form->diagonal[i];
  float aim = s->t[i] - base;

  if (s->form->skew)
    for (unsigned k = i + 1; k < code->dimension; k++)
      aim -= s->form->upper[i][k] * s->e[k];
  int32_t down = aim >= (float) limit ? limit : aim > 0 ? (int32_t) (aim + 0.5f) : 0;
  if (down > limit)
    down = limit;
  if (i == 0) {
    const float error = partial + weight * (((float) down - aim) * ((float) down - aim));
    if (error < s->best) {
      s->best = error;
      s->index = low + (uint32_t) down * code->place[0];
    }
    return;
  }
  for (int32_t up = down + 1; down >= 0 || up <= limit;) {
    const bool take_down = down >= 0 && (up > limit || aim - (float) down <= (float) up - aim);
    const int32_t digit = take_down ? down-- : up++;
    const float error = partial + weight * (((float) digit - aim) * ((float) digit - aim));
    if (!(error < s->best))
      return;
    s->e[i] = (float) digit + base - s->t[i];
    descend (s, i - 1, low + (uint32_t) digit * code->place[i], error);
  }
}

float
hyper_search_grid (const HyperCode *code, const HyperQuadratic *form, const float *t, float bound,
                   uint32_t *index)
{
  Descent s = { .code = code, .form = form, .t = t, .best = bound, .index = *index };

  descend (&s, code->dimension - 1, 0, 0);
  *index = s.index;
  return s.best;
}

/* --- any points: a balanced tree of halves --- */

typedef struct {
  const HyperCode *code;
  const HyperQuadratic *form;
  const float *t;
  float best;
  uint32_t index;
  float off[HYPER_MAX_DIMENSION]; /* distance to the cell, coordinate by coordinate */
} Walk;

static float
form_error (const HyperQuadratic *form, unsigned d, const float *t, const float *point)
{
  float e[HYPER_MAX_DIMENSION], sum = 0;

  for (unsigned i = d; i-- > 0;) {
    e[i] = point[i] - t[i];
    float term = e[i];
    if (form->skew)
      for (unsigned k = i + 1; k < d; k++)
        term += form->upper[i][k] * e[k];
    sum += form->diagonal[i] * (term * term);
  }
  return sum;
}

static void
try_point (Walk *s, uint32_t position)
{
  const HyperCode *code = s->code;
  const unsigned d = code->dimension;
  const float error = form_error (s->form, d, s->t, code->tree + (size_t) position * d);

  if (error < s->best) {
    s->best = error;
    s->index = code->order[position];
  }
}

/* @bound: the error is not less for any point from @low to @high. The point in the middle parts those before it from those behind. */
static void
walk (Walk *s, uint32_t low, uint32_t high, float bound)
{
  const HyperCode *code = s->code;
  const unsigned d = code->dimension;

  if (!(bound < s->best))
    return;
  if (high - low <= LEAF) {
    for (uint32_t i = low; i < high; i++)
      try_point (s, i);
    return;
  }
  const uint32_t middle = low + (high - low) / 2;
  try_point (s, middle);
  const unsigned a = code->axis[middle];
  const float difference = s->t[a] - code->tree[(size_t) middle * d + a];
  const float distance = fabsf (difference), old = s->off[a];
  const bool below = difference < 0;
  walk (s, below ? low : middle + 1, below ? middle : high, bound);
  if (distance > old) {
    const float part = s->form->extent[a] * (distance * distance);
    if (!s->form->skew)
      bound += s->form->extent[a] * (distance * distance - old * old);
    else if (part > bound)
      bound = part;
    s->off[a] = distance;
  }
  walk (s, below ? middle + 1 : low, below ? high : middle, bound);
  s->off[a] = old;
}

float
hyper_search_tree (const HyperCode *code, const HyperQuadratic *form, const float *t, float bound,
                   uint32_t *index)
{
  Walk s = { .code = code, .form = form, .t = t, .best = bound, .index = *index };

  walk (&s, 0, code->n_points, 0);
  *index = s.index;
  return s.best;
}

/* Points a and b along a coordinate; equal ones by their index, so that the tree depends on nothing else. */
static bool
before (const HyperCode *code, unsigned axis, uint32_t a, uint32_t b)
{
  const float x = code->points[(size_t) a * code->dimension + axis];
  const float y = code->points[(size_t) b * code->dimension + axis];

  return x < y || (x == y && a < b);
}

static void
swap (uint32_t *order, uint32_t a, uint32_t b)
{
  const uint32_t other = order[a];

  order[a] = order[b];
  order[b] = other;
}

/* The point that belongs at @middle gets there, smaller ones before it (Hoare's selection). */
static void
select_middle (const HyperCode *code, uint32_t *order, unsigned axis, uint32_t low, uint32_t high,
               uint32_t middle)
{
  while (high - low > 1) {
    swap (order, low, low + (high - low) / 2);
    const uint32_t pivot = order[low];
    uint32_t end = low;
    for (uint32_t i = low + 1; i < high; i++)
      if (before (code, axis, order[i], pivot))
        swap (order, ++end, i);
    swap (order, low, end);
    if (end == middle)
      return;
    if (end < middle)
      low = end + 1;
    else
      high = end;
  }
}

static unsigned
widest_axis (const HyperCode *code, const uint32_t *order, uint32_t low, uint32_t high)
{
  unsigned best = 0;
  float width = -1;

  for (unsigned a = 0; a < code->dimension; a++) {
    float least = INFINITY, most = -INFINITY;
    for (uint32_t i = low; i < high; i++) {
      const float x = code->points[(size_t) order[i] * code->dimension + a];
      least = x < least ? x : least;
      most = x > most ? x : most;
    }
    if (most - least > width) {
      width = most - least;
      best = a;
    }
  }
  return best;
}

static void
split (const HyperCode *code, uint32_t *order, uint8_t *axis, uint32_t low, uint32_t high)
{
  if (high - low <= LEAF)
    return;
  const uint32_t middle = low + (high - low) / 2;
  axis[middle] = (uint8_t) widest_axis (code, order, low, high);
  select_middle (code, order, axis[middle], low, high, middle);
  split (code, order, axis, low, middle);
  split (code, order, axis, middle + 1, high);
}

void
hyper_tree_build (HyperCode *code, float *tree, uint32_t *order, uint8_t *axis)
{
  const unsigned d = code->dimension;

  memset (axis, 0, code->n_points);
  for (uint32_t i = 0; i < code->n_points; i++)
    order[i] = i;
  split (code, order, axis, 0, code->n_points);
  for (uint32_t i = 0; i < code->n_points; i++)
    memcpy (tree + (size_t) i * d, code->points + (size_t) order[i] * d, d * sizeof *tree);
  code->tree = tree;
  code->order = order;
  code->axis = axis;
}
