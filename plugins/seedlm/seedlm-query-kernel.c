/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "seedlm-lists-private.h"

#include <math.h>
#include <string.h>

#define INLINE static inline __attribute__ ((always_inline))
#define Q_ONE 127          /* 1 in a rounded basis */
#define SLACK 1e-6         /* angle that binary32 and acos() may be wrong by, and more */
#define GOOD_TURN 0.0024   /* of a rounded basis, per root of the numbers that turn it */
#define GOOD_STRETCH 0.003 /* of a rounded basis */

/* --- blocks in bytes -------------------------------------------------------------------------------------------------- */

void
seedlm_round_bytes (const double *x, unsigned n, int8_t *bytes)
{
  double top = 0;
  for (unsigned i = 0; i < n; i++)
    top = fabs (x[i]) > top ? fabs (x[i]) : top;
  for (unsigned i = 0; i < n; i++)
    bytes[i] = (int8_t) (top > 0 ? lrint (x[i] * (SEEDLM_W_ONE / top)) : 0);
}

/* --- bases in bytes -------------------------------------------------------------------------------------------------- */

/* Where element i of column p stands in a record. */
static size_t
byte_of (unsigned i, unsigned p)
{
  return (size_t) (i / 4) * 16 + p * 4 + i % 4;
}

/* Sum of squares of G - 1, G = X'X / Q_ONE^2. */
static double
gram_error (const int *x, unsigned block_size, unsigned rank)
{
  double error = 0;
  for (unsigned p = 0; p < rank; p++)
    for (unsigned k = 0; k < rank; k++) {
      int sum = 0;
      for (unsigned i = 0; i < block_size; i++)
        sum += x[i * rank + p] * x[i * rank + k];
      const double g = (double) sum / (Q_ONE * Q_ONE) - (p == k);
      error += g * g;
    }
  return error;
}

/* Rounds up or down so that the columns stay as orthonormal as can be: what is left turns the span, but does not stretch it. */
static void
round_basis (const double *q, unsigned block_size, unsigned rank, int *x)
{
  double g[SEEDLM_LISTS_MAX_RANK][SEEDLM_LISTS_MAX_RANK];
  for (unsigned i = 0; i < block_size * rank; i++)
    x[i] = (int) lrint (q[i] * Q_ONE);
  for (unsigned p = 0; p < rank; p++)
    for (unsigned k = 0; k < rank; k++) {
      g[p][k] = p == k ? -(double) (Q_ONE * Q_ONE) : 0;
      for (unsigned i = 0; i < block_size; i++)
        g[p][k] += (double) x[i * rank + p] * x[i * rank + k];
    }
  for (unsigned sweep = 0; sweep < 2; sweep++)
    for (unsigned i = 0; i < block_size; i++)
      for (unsigned p = 0; p < rank; p++) {
        int *row = x + i * rank;
        const double target = q[i * rank + p] * Q_ONE, nearest = rint (target);
        const int other = (int) (row[p] != (int) nearest ? nearest
                                 : target > nearest      ? nearest + 1
                                                         : nearest - 1);
        const int step = other - row[p];
        if (other > Q_ONE || other < -Q_ONE)
          continue;
        double gain = 0, changes[SEEDLM_LISTS_MAX_RANK];
        for (unsigned k = 0; k < rank; k++) {
          changes[k] = k == p ? (double) step * (2 * row[p] + step) : (double) step * row[k];
          const double after = g[p][k] + changes[k];
          gain += (k == p ? 1 : 2) * (g[p][k] * g[p][k] - after * after);
        }
        const double was = target - row[p], is = target - other;
        /* Turning counts as well: an element off by 1 is worth as much as a product off by 64. */
        if (gain <= 4096 * (is * is - was * was))
          continue;
        for (unsigned k = 0; k < rank; k++) {
          g[p][k] += changes[k];
          if (k != p)
            g[k][p] += changes[k];
        }
        row[p] = other;
      }
}

/* Frobenius norm of (1 - QQ') X / Q_ONE: no angle between the spans has a larger sine, but for the stretch. */
static double
turned (const double *q, const int *x, unsigned block_size, unsigned rank)
{
  double sum = 0;
  for (unsigned p = 0; p < rank; p++) {
    double rest[SEEDLM_LISTS_MAX_BLOCK];
    for (unsigned i = 0; i < block_size; i++)
      rest[i] = (double) x[i * rank + p] / Q_ONE;
    for (unsigned k = 0; k < rank; k++) {
      double dot = 0;
      for (unsigned i = 0; i < block_size; i++)
        dot += q[i * rank + k] * rest[i];
      for (unsigned i = 0; i < block_size; i++)
        rest[i] -= dot * q[i * rank + k];
    }
    for (unsigned i = 0; i < block_size; i++)
      sum += rest[i] * rest[i];
  }
  return sqrt (sum);
}

/* Turns the columns among themselves: another basis of the same span. */
static void
rotate_basis (double *q, unsigned block_size, unsigned rank)
{
  for (unsigned p = 0; p < rank; p++)
    for (unsigned k = p + 1; k < rank; k++)
      for (unsigned i = 0; i < block_size; i++) {
        double *row = q + i * rank;
        const double x = row[p], y = row[k];
        row[p] = 0.8 * x - 0.6 * y;
        row[k] = 0.6 * x + 0.8 * y;
      }
}

/* Rounds the best of some bases. The worst seed is what counts in the end, so that good enough is good. */
static void
fill_record (SeedlmLists *self, uint32_t place, double *stretch, double *turn)
{
  enum { TRIES = 8 };
  const unsigned block_size = self->basis->block_size, rank = self->basis->rank;
  const double enough_turn = GOOD_TURN * sqrt ((double) (block_size - rank) * rank),
               enough_stretch = GOOD_STRETCH;
  double q[SEEDLM_LISTS_MAX_BLOCK * SEEDLM_LISTS_MAX_RANK], least = INFINITY, own[2] = { 0 };
  uint8_t *record = self->records + self->record * place;
  if (!isfinite (seedlm_orthonormal (self->basis->sequence->values + place, block_size, rank, q)))
    return;
  for (unsigned try = 0; try < TRIES && least > 1; try++) {
    int x[SEEDLM_LISTS_MAX_BLOCK * SEEDLM_LISTS_MAX_RANK];
    if (try > 0)
      rotate_basis (q, block_size, rank);
    round_basis (q, block_size, rank, x);
    const double error = sqrt (gram_error (x, block_size, rank)),
                 off = turned (q, x, block_size, rank),
                 worst = fmax (off / enough_turn, error / enough_stretch);
    if (worst >= least)
      continue;
    least = worst;
    own[0] = error;
    own[1] = off;
    for (unsigned i = 0; i < block_size; i++)
      for (unsigned p = 0; p < rank; p++)
        record[byte_of (i, p)] = (uint8_t) (x[i * rank + p] + 128);
  }
  *stretch = fmax (*stretch, own[0]);
  *turn = fmax (*turn, own[1]);
}

void
seedlm_lists_fill_records (SeedlmLists *self)
{
  const uint32_t period = self->basis->sequence->period;
  double stretch = 0, turn = 0;
  memset (self->records, 128, self->record * (period + 1) + 64);
  for (uint32_t place = 0; place < period; place++)
    fill_record (self, place, &stretch, &turn);
  self->gain = 1 / (1 - stretch);
  self->tilt = asin (fmin (1, turn * sqrt (self->gain))) + SLACK;
}

/* --- queries ---------------------------------------------------------------------------------------------------------- */

void
seedlm_query_set_pattern (SeedlmQuery *query, const SeedlmLists *self, const int8_t *bytes)
{
  const unsigned block_size = self->basis->block_size;
  int sum = 0, squares = 0;
  for (unsigned i = 0; i < block_size; i++) {
    for (unsigned p = 0; p < 4; p++)
      query->pattern[byte_of (i, p)] = bytes[i];
    sum += bytes[i];
    squares += bytes[i] * bytes[i];
  }
  query->offset = -128 * sum;
  query->scale = squares ? 1.0 / ((double) Q_ONE * Q_ONE * squares) : 0;
}

/* Angle between x, of norm 1, and bytes, up to sign. */
static double
angle_to (const float *x, const int8_t *bytes, unsigned block_size)
{
  double dot = 0, norm = 0, own = 0;
  for (unsigned i = 0; i < block_size; i++) {
    dot += (double) x[i] * bytes[i];
    norm += (double) bytes[i] * bytes[i];
    own += (double) x[i] * x[i];
  }
  return norm > 0 ? acos (fmin (1, fabs (dot) / sqrt (norm * own))) : acos (0);
}

void
seedlm_query_init (SeedlmQuery *query, const SeedlmLists *self, const float *block,
                   size_t direction)
{
  const unsigned block_size = self->basis->block_size;
  double x[SEEDLM_LISTS_MAX_BLOCK];
  int8_t bytes[SEEDLM_LISTS_MAX_BLOCK];
  for (unsigned i = 0; i < block_size; i++)
    x[i] = block[i];
  seedlm_round_bytes (x, block_size, bytes);
  memset (query, 0, sizeof *query);
  seedlm_query_set_pattern (query, self, bytes);
  query->tilt = self->tilt + angle_to (block, bytes, block_size) + SLACK;
  query->tilt_cosine = cos (query->tilt);
  query->tilt_sine = sin (query->tilt);
  query->turn = angle_to (block, self->directions + (self->shape.n_coarse + direction) * block_size,
                          block_size) +
                self->tilt + SLACK;
  query->places =
      (const char *) self->places + direction * self->shape.length * self->shape.place_bytes;
  query->bounds = self->bounds + direction * (self->shape.n_steps + 1);
  for (unsigned line = 0; line < 8; line++)
    __builtin_prefetch ((const char *) query->places + 64 * line);
  __builtin_prefetch (query->bounds);
  __builtin_prefetch (query->bounds + self->shape.n_steps / 2);
}

/* cos^2 of the angle of such an error, widened by @more; 0 from 90 degrees on. */
static double
widened (double error, double more)
{
  const double angle = asin (sqrt (fmin (1, fmax (0, error)))) + more;
  return angle < acos (0) ? cos (angle) * cos (angle) : 0;
}

size_t
seedlm_query_extent (const SeedlmQuery *query, const SeedlmLists *self, double error, int *is_all)
{
  const double least = widened (error, query->turn) / self->gain * SEEDLM_LISTS_LEVELS;
  size_t lo = 0, hi = self->shape.n_steps + 1; /* the first bound that is below */
  while (lo < hi) {
    const size_t middle = lo + (hi - lo) / 2;
    if (query->bounds[middle] < least)
      hi = middle;
    else
      lo = middle + 1;
  }
  *is_all = lo <= self->shape.n_steps;
  return lo < self->shape.n_steps ? lo : self->shape.n_steps;
}

float
seedlm_query_low (const SeedlmQuery *query, const SeedlmLists *self, double error)
{
  const double least = widened (error, query->tilt) / self->gain;
  return fmaxf (SEEDLM_NOTHING, (float) (least / query->scale * (1 - SLACK)));
}
