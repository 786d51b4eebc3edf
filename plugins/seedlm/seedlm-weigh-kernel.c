/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "seedlm-weigh-kernel.h"
#include "simd-kernel.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define INLINE static inline __attribute__ ((always_inline))
#define LANES 8
#define TRIANGLE(rank) ((rank) * ((rank) + 1) / 2)
#define TILE SEEDLM_TILE
#define ROW (TILE + LANES) /* of z: rank - 1 more places than seeds */
#define MAX_CONDITION 1e6
#define MAX_EASY 1024.0

/* What one tile of seeds needs. */
typedef struct {
  double u[ROW + SEEDLM_EXTRA]; /* values from the first seed of the tile on */
  double z[SEEDLM_MAX_BLOCK][ROW];
  double g[TRIANGLE (SEEDLM_MAX_RANK)][TILE];
  double square[TILE]; /* of U's elements */
} Tile;

uint64_t
seedlm_weighed_bytes (unsigned seed_bits, unsigned block_size, unsigned rank)
{
  uint64_t n = ((uint64_t) 1 << seed_bits) + SEEDLM_TILE;
  return sizeof (SeedlmBasis) + sizeof (Tile) + n * TRIANGLE (rank) * sizeof (float);
}

SeedlmBasis *
seedlm_weighed_new (const SeedlmBasis *basis)
{
  SeedlmBasis *self = malloc (sizeof *self);
  if (!self)
    return NULL;
  *self = *basis;
  self->hard = NULL;
  self->hard_basis = NULL;
  self->n_hard = self->hard_room = self->n_usable = 0;
  self->factors =
      aligned_alloc (32, (size_t) basis->n_padded * TRIANGLE (basis->rank) * sizeof (float));
  if (!self->factors) {
    free (self);
    return NULL;
  }
  return self;
}

void
seedlm_weighed_free (SeedlmBasis *self)
{
  seedlm_basis_free (self);
}

double
seedlm_weigh_block (const float *m, unsigned block_size, const float *w, double *out)
{
  double norm = 0;
  for (unsigned i = 0; i < block_size; i++, m += block_size) {
    double sum = 0;
    for (unsigned j = 0; j < block_size; j++)
      sum += (double) m[j] * w[j];
    out[i] = sum;
    norm += sum * w[i];
  }
  return norm;
}

/* --- U' M U of a tile of seeds ---------------------------------------------------------------------------------------- */

/* z[i][n] = sum over j of m[i][j] * value (n + j * rank): row i of M U is z[i][n], z[i][n + 1] ... */
INLINE void
fill_z (Tile *tile, const float *m, unsigned block_size, unsigned rank, const int fused)
{
  for (unsigned i = 0; i < block_size; i++) {
    double *z = tile->z[i];
    memset (z, 0, sizeof tile->z[i]);
    for (unsigned j = 0; j < block_size; j++) {
      const double *u = tile->u + (size_t) j * rank, x = m[i * block_size + j];
      if (x == 0)
        continue;
      for (unsigned n = 0; n < ROW; n++)
        z[n] = fused ? __builtin_fma (x, u[n], z[n]) : z[n] + x * u[n];
    }
  }
}

INLINE void
fill_g (Tile *tile, unsigned block_size, unsigned rank, const int fused)
{
  const unsigned length = block_size * rank;
  for (unsigned p = 0; p < rank; p++)
    for (unsigned k = 0; k <= p; k++) {
      double *g = tile->g[TRIANGLE (p) + k];
      memset (g, 0, sizeof tile->g[0]);
      for (unsigned i = 0; i < block_size; i++) {
        const double *u = tile->u + (size_t) i * rank + p, *z = tile->z[i] + k;
        for (unsigned n = 0; n < TILE; n++)
          g[n] = fused ? __builtin_fma (u[n], z[n], g[n]) : g[n] + u[n] * z[n];
      }
    }
  double sum = 0;
  for (unsigned k = 0; k < length; k++)
    sum += tile->u[k] * tile->u[k];
  for (unsigned n = 0; n < TILE; n++) { /* one leaves, one comes */
    tile->square[n] = sum;
    sum += tile->u[n + length] * tile->u[n + length] - tile->u[n] * tile->u[n];
  }
}

/* --- factors ------------------------------------------------------------------------------------------------------------ */

typedef double Lanes __attribute__ ((vector_size (LANES * sizeof (double))));
typedef Lanes Triangle[TRIANGLE (SEEDLM_MAX_RANK)];

/* x: inverse of the Cholesky factor of g; returns |x|^2, which is infinite or NaN where g is not positive definite. */
INLINE void
invert (Triangle g, const unsigned rank, Triangle x, Lanes *square)
{
  Lanes total = { 0 };
  for (unsigned p = 0; p < rank; p++) {
    Lanes *row = g + TRIANGLE (p);
    for (unsigned k = 0; k < p; k++) {
      const Lanes *other = g + TRIANGLE (k);
      for (unsigned j = 0; j < k; j++)
        row[k] -= row[j] * other[j];
      row[k] *= x[TRIANGLE (k) + k];
      row[p] -= row[k] * row[k];
    }
    double pivot[LANES];
    memcpy (pivot, &row[p], sizeof pivot);
    for (unsigned l = 0; l < LANES; l++)
      pivot[l] = 1 / sqrt (pivot[l] > 0 ? pivot[l] : 0);
    memcpy (&x[TRIANGLE (p) + p], pivot, sizeof pivot);
    for (unsigned k = 0; k < p; k++) {
      Lanes sum = { 0 };
      for (unsigned j = k; j < p; j++)
        sum -= row[j] * x[TRIANGLE (j) + k];
      x[TRIANGLE (p) + k] = sum * x[TRIANGLE (p) + p];
    }
    for (unsigned k = 0; k <= p; k++)
      total += x[TRIANGLE (p) + k] * x[TRIANGLE (p) + k];
  }
  *square = total;
}

/* An explicit basis: the columns of U L^-T. */
static int
add_hard (SeedlmBasis *self, const Triangle x, unsigned lane, uint32_t place)
{
  const unsigned rank = self->rank;
  float *q = seedlm_basis_add_hard (self, place);
  if (!q)
    return 0;
  const float *u = self->sequence->values + place;
  for (unsigned i = 0; i < self->block_size; i++, u += rank)
    for (unsigned p = 0; p < rank; p++) {
      double sum = 0;
      for (unsigned k = 0; k <= p; k++)
        sum += x[TRIANGLE (p) + k][lane] * u[k];
      q[(i * rank + p) * LANES] = (float) sum;
    }
  return 1;
}

/* Factors of the 8 seeds from n of the tile on. @size: bound of the metric's eigenvalues; @worst: of the squares of the
 * condition numbers. */
INLINE int
factor_lanes (SeedlmBasis *self, const unsigned rank, const Tile *tile, unsigned n, uint32_t place,
              double size, double *worst)
{
  const unsigned triangle = TRIANGLE (rank);
  Triangle g, x;
  Lanes square;
  unsigned easy = 0;
  for (unsigned k = 0; k < triangle; k++)
    memcpy (&g[k], tile->g[k] + n, sizeof g[k]);
  invert (g, rank, x, &square);
  float *out = self->factors + (size_t) (place + n) * triangle;
  for (unsigned k = 0; k < triangle; k++)
    for (unsigned l = 0; l < LANES; l++)
      out[k * LANES + l] = (float) x[k][l];
  double condition[LANES], top = 0; /* their squares */
  for (unsigned l = 0; l < LANES; l++) {
    condition[l] = size * tile->square[n + l] * square[l];
    top = top > condition[l] ? top : condition[l];
    easy += condition[l] <= MAX_EASY * MAX_EASY;
  }
  if (easy == LANES && place + n + LANES <= self->sequence->period) {
    *worst = top > *worst ? top : *worst;
    self->n_usable += LANES;
    return 1;
  }
  for (unsigned l = 0; l < LANES; l++) {
    const int usable =
        condition[l] < MAX_CONDITION * MAX_CONDITION && place + n + l < self->sequence->period;
    self->n_usable += (unsigned) usable;
    if (usable && condition[l] <= MAX_EASY * MAX_EASY) {
      *worst = condition[l] > *worst ? condition[l] : *worst;
      continue;
    }
    for (unsigned k = 0; k < triangle; k++)
      out[k * LANES + l] = NAN;
    if (usable && !add_hard (self, x, l, place + n + l))
      return 0;
  }
  return 1;
}

INLINE int
weigh_rank (SeedlmBasis *self, const unsigned rank, const float *m, double size, Tile *tile,
            double *worst, const int fused)
{
  const unsigned n_values = ROW + self->block_size * rank;
  for (uint32_t place = 0; place < self->n_padded; place += TILE) {
    for (unsigned n = 0; n < n_values; n++)
      tile->u[n] = self->sequence->values[place + n];
    fill_z (tile, m, self->block_size, rank, fused);
    fill_g (tile, self->block_size, rank, fused);
    for (unsigned n = 0; n < TILE; n += LANES)
      if (!factor_lanes (self, rank, tile, n, place, size, worst))
        return 0;
  }
  return 1;
}

INLINE int
weigh (SeedlmBasis *self, const float *m, double size, Tile *tile, double *worst, const int fused)
{
  switch (self->rank) {
  case 1:
    return weigh_rank (self, 1, m, size, tile, worst, fused);
  case 2:
    return weigh_rank (self, 2, m, size, tile, worst, fused);
  case 3:
    return weigh_rank (self, 3, m, size, tile, worst, fused);
  case 4:
    return weigh_rank (self, 4, m, size, tile, worst, fused);
  default:
    return weigh_rank (self, self->rank, m, size, tile, worst, fused);
  }
}

static int
weigh_portable (SeedlmBasis *self, const float *m, double size, Tile *tile, double *worst)
{
  return weigh (self, m, size, tile, worst, 0);
}

#if HAS_SIMD
SIMD_FOR_AVX2 static int
weigh_avx2 (SeedlmBasis *self, const float *m, double size, Tile *tile, double *worst)
{
  return weigh (self, m, size, tile, worst, 1);
}
#endif

int
seedlm_weigh (SeedlmBasis *self, const float *m)
{
  const unsigned block_size = self->block_size;
  double size = 0, worst = 1;
  Tile *tile = malloc (sizeof *tile);
  if (!tile)
    return 0;
  for (unsigned i = 0; i < block_size; i++) { /* no eigenvalue is larger than a row's sum */
    double sum = 0;
    for (unsigned j = 0; j < block_size; j++)
      sum += fabs ((double) m[i * block_size + j]);
    size = sum > size ? sum : size;
  }
  self->n_hard = self->n_usable = 0;
  int (*run) (SeedlmBasis *, const float *, double, Tile *, double *) = weigh_portable;
#if HAS_SIMD
  if (simd_get () != SIMD_PORTABLE)
    run = weigh_avx2;
#endif
  const int ok = run (self, m, size, tile, &worst);
  free (tile);
  self->margin = seedlm_basis_margin (block_size, self->rank, sqrt (worst));
  return ok;
}
