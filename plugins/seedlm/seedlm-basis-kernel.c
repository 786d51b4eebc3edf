/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "seedlm-basis-kernel.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LANES 8
#define TRIANGLE(rank) ((rank) * ((rank) + 1) / 2)
#define MAX_CONDITION \
  1e6 /* beyond: the columns of U do not span @rank dimensions, as far as anyone can tell */
#define MAX_EASY \
  64.0 /* beyond: the sliding correlation loses too much, an explicit basis is used */

/* --- QR in double ---------------------------------------------------------------------------------------------------- */

typedef struct {
  double q[SEEDLM_MAX_RANK][SEEDLM_MAX_BLOCK];      /* columns of Q */
  double inverse[SEEDLM_MAX_RANK][SEEDLM_MAX_RANK]; /* of R, upper triangle */
  double r[SEEDLM_MAX_RANK][SEEDLM_MAX_RANK];       /* upper triangle */
} Qr;

/* Gram-Schmidt, each column twice: Q is orthonormal to the last bits. Returns |R| |R^-1| (Frobenius), or infinity. */
static double
factorize (Qr *f, const float *u, unsigned block_size, unsigned rank)
{
  double norm_r = 0, norm_inverse = 0;
  for (unsigned p = 0; p < rank; p++) {
    double *q = f->q[p];
    double first = 0, length = 0;
    for (unsigned i = 0; i < block_size; i++) {
      q[i] = u[i * rank + p];
      first += q[i] * q[i];
    }
    for (unsigned k = 0; k < p; k++)
      f->r[k][p] = 0;
    for (unsigned pass = 0; pass < 2; pass++)
      for (unsigned k = 0; k < p; k++) {
        double dot = 0;
        for (unsigned i = 0; i < block_size; i++)
          dot += f->q[k][i] * q[i];
        for (unsigned i = 0; i < block_size; i++)
          q[i] -= dot * f->q[k][i];
        f->r[k][p] += dot;
      }
    for (unsigned i = 0; i < block_size; i++)
      length += q[i] * q[i];
    if (!(length > first * (1 / (MAX_CONDITION * MAX_CONDITION))))
      return INFINITY;
    length = sqrt (length);
    for (unsigned i = 0; i < block_size; i++)
      q[i] /= length;
    f->r[p][p] = length;
  }

  for (unsigned p = 0; p < rank; p++) {
    for (unsigned k = 0; k < p; k++) {
      double sum = 0;
      for (unsigned j = k; j < p; j++)
        sum += f->inverse[k][j] * f->r[j][p];
      f->inverse[k][p] = -sum / f->r[p][p];
    }
    f->inverse[p][p] = 1 / f->r[p][p];
    for (unsigned k = 0; k <= p; k++) {
      norm_r += f->r[k][p] * f->r[k][p];
      norm_inverse += f->inverse[k][p] * f->inverse[k][p];
    }
  }
  return sqrt (norm_r * norm_inverse);
}

double
seedlm_orthonormal (const float *u, unsigned block_size, unsigned rank, double *q)
{
  Qr f;
  const double condition = factorize (&f, u, block_size, rank);
  if (!(condition < MAX_CONDITION))
    return INFINITY;
  for (unsigned i = 0; i < block_size; i++)
    for (unsigned p = 0; p < rank; p++)
      q[i * rank + p] = f.q[p][i];
  return condition;
}

/* --- tables ---------------------------------------------------------------------------------------------------------- */

static uint32_t
padded (uint32_t n, uint32_t quantum)
{
  return (n + quantum - 1) / quantum * quantum;
}

uint64_t
seedlm_basis_bound (unsigned seed_bits, unsigned block_size, unsigned rank)
{
  uint64_t n = ((uint64_t) 1 << seed_bits) + SEEDLM_TILE;
  uint64_t bytes =
      seedlm_sequence_bytes (seed_bits, SEEDLM_EXTRA) + n * TRIANGLE (rank) * sizeof (float);
  /* Only nearly square U are often ill-conditioned. */
  if (block_size < rank + 2)
    bytes += n * ((uint64_t) block_size * rank * sizeof (float) + sizeof (uint32_t));
  return bytes;
}

float *
seedlm_basis_add_hard (SeedlmBasis *self, uint32_t place)
{
  uint32_t n = self->n_hard;
  size_t rows = (size_t) self->block_size * self->rank;
  if (n == self->hard_room) {
    size_t room = n == 0 ? 64 : (size_t) n * 2;
    uint32_t *hard = realloc (self->hard, room * sizeof *hard);
    if (!hard)
      return NULL;
    self->hard = hard;
    float *basis = realloc (self->hard_basis, room * rows * sizeof *basis);
    if (!basis)
      return NULL;
    self->hard_basis = basis;
    self->hard_room = (uint32_t) room;
  }
  float *out = self->hard_basis + n / LANES * rows * LANES + n % LANES;
  if (n % LANES == 0)
    for (size_t i = 0; i < rows * LANES; i++)
      out[i] = NAN;
  self->hard[n] = place;
  self->n_hard++;
  return out;
}

static int
add_hard (SeedlmBasis *self, const Qr *f, uint32_t place)
{
  float *out = seedlm_basis_add_hard (self, place);
  if (!out)
    return 0;
  for (unsigned i = 0; i < self->block_size; i++)
    for (unsigned p = 0; p < self->rank; p++)
      out[(i * self->rank + p) * LANES] = (float) f->q[p][i];
  return 1;
}

float
seedlm_basis_margin (unsigned block_size, unsigned rank, double condition)
{
  /* Rounding: block_size products in r, rank products in each coordinate, rank squares, each within 2^-24. */
  return (float) (2.0 * (block_size + 2 * rank + 2) * condition / 16777216.0);
}

static int
fill_tables (SeedlmBasis *self)
{
  unsigned rank = self->rank, triangle = TRIANGLE (rank);
  double worst = 1;
  Qr *f = calloc (1, sizeof *f);
  if (!f)
    return 0;
  for (size_t i = 0; i < (size_t) self->n_padded * triangle; i++)
    self->factors[i] = NAN;
  for (uint32_t n = 0; n < self->sequence->period; n++) {
    double condition = factorize (f, self->sequence->values + n, self->block_size, rank);
    if (!(condition < MAX_CONDITION))
      continue;
    self->n_usable++;
    if (condition > MAX_EASY) {
      if (!add_hard (self, f, n)) {
        free (f);
        return 0;
      }
      continue;
    }
    if (condition > worst)
      worst = condition;
    float *out = self->factors + (size_t) (n / LANES) * triangle * LANES + n % LANES;
    for (unsigned p = 0; p < rank; p++)
      for (unsigned k = 0; k <= p; k++)
        out[(p * (p + 1) / 2 + k) * LANES] = (float) f->inverse[k][p];
  }
  free (f);
  self->margin = seedlm_basis_margin (self->block_size, rank, worst);
  return 1;
}

void
seedlm_random_block (float *block, unsigned block_size, uint32_t *random)
{
  double norm = 0;
  for (unsigned i = 0; i < block_size; i++) {
    block[i] = -4;
    for (unsigned k = 0; k < 8; k++)
      block[i] += (float) ((*random = *random * 1664525u + 1013904223u) >> 8) / 16777216.0f;
    norm += (double) block[i] * block[i];
  }
  for (unsigned i = 0; i < block_size; i++)
    block[i] = (float) (block[i] / sqrt (norm));
}

/* How much energy do the best seeds have? Taken from random blocks; a wrong hint costs time only. */
static int
calibrate (SeedlmBasis *self)
{
  enum { N_BLOCKS = 8 };
  size_t keep = SEEDLM_LEVEL (SEEDLM_N_LEVELS - 1);
  float *blocks = malloc ((size_t) N_BLOCKS * self->block_size * sizeof *blocks);
  float *scratch =
      aligned_alloc (32, (seedlm_scan_scratch (self->block_size) * sizeof *scratch + 31) / 32 * 32);
  SeedlmCandidate *entries = malloc (N_BLOCKS * 2 * keep * sizeof *entries);
  int ok = blocks && scratch && entries;
  if (ok) {
    uint32_t random = 1;
    SeedlmList lists[N_BLOCKS];
    for (unsigned b = 0; b < N_BLOCKS; b++) {
      seedlm_random_block (blocks + (size_t) b * self->block_size, self->block_size, &random);
      lists[b] =
          (SeedlmList){ .low = -1, .high = 2, .keep = keep, .entries = entries + b * 2 * keep };
    }
    seedlm_scan (self, blocks, N_BLOCKS, lists, scratch);
    for (unsigned level = 0; level < SEEDLM_N_LEVELS; level++) {
      size_t n = SEEDLM_LEVEL (level);
      double sum = 0;
      for (unsigned b = 0; b < N_BLOCKS; b++)
        sum += n < lists[b].n ? lists[b].entries[n].energy : -N_BLOCKS;
      self->hints[level] = sum > 0 ? (float) (sum / N_BLOCKS) : -1;
    }
  }
  free (blocks);
  free (scratch);
  free (entries);
  return ok;
}

SeedlmBasis *
seedlm_basis_new (const SeedlmSequence *sequence, unsigned block_size, unsigned rank)
{
  SeedlmBasis *self = calloc (1, sizeof *self);
  if (!self)
    return NULL;
  self->sequence = sequence;
  self->block_size = block_size;
  self->rank = rank;
  self->n_padded = padded (sequence->period, SEEDLM_TILE);
  size_t bytes = (size_t) self->n_padded * TRIANGLE (rank) * sizeof (float);
  self->factors = aligned_alloc (32, bytes);
  if (!self->factors || !fill_tables (self) || !calibrate (self)) {
    seedlm_basis_free (self);
    return NULL;
  }
  self->bytes =
      bytes + (uint64_t) self->n_hard * ((uint64_t) block_size * rank + 1) * sizeof (float);
  return self;
}

void
seedlm_basis_free (SeedlmBasis *self)
{
  if (!self)
    return;
  free (self->factors);
  free (self->hard);
  free (self->hard_basis);
  free (self);
}
