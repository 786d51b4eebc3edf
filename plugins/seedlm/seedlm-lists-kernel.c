/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "seedlm-lists-private.h"

#include "simd-kernel.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define STEP SEEDLM_LISTS_STEP
#define PROBES 3                /* groups of directions that are looked through for a block */
#define MAX_COARSE 256          /* groups */
#define MAX_FINE 256            /* directions of a group */
#define N_DIRECTIONS 64         /* groups, and directions of each */
#define LENGTH ((size_t) 16384) /* of a list: 128 MiB in all */
#define SAMPLES 12              /* training vectors per direction */
#define ROUNDS 6                /* of k-means */

#define INLINE static inline __attribute__ ((always_inline))

/* --- directions ------------------------------------------------------------------------------------------------------ */

/* The j of the largest magnitude, to 16 bits; the lowest of equal ones. */
INLINE unsigned
largest_body (const float *dots, unsigned n)
{
  int32_t top = 0;
  for (unsigned j = 0; j < n; j++) {
    int32_t bits;
    memcpy (&bits, &dots[j], sizeof bits);
    bits = (bits & 0x7fffff00) | (int32_t) (255 - j);
    top = bits > top ? bits : top;
  }
  return 255 - ((unsigned) top & 255);
}

/*
 * dots[j]: of x with column j of a table of block_size rows of n. Returns largest_body(). The same in any code: no fused operations.
 */
INLINE unsigned
dots_body (const float *table, unsigned n, unsigned block_size, const float *x, float *dots)
{
  for (unsigned j = 0; j < n; j++)
    dots[j] = x[0] * table[j];
  for (unsigned i = 1; i < block_size; i++)
    for (unsigned j = 0; j < n; j++)
      dots[j] += x[i] * table[(size_t) i * n + j];
  return largest_body (dots, n);
}

static unsigned
dots_portable (const float *table, unsigned n, unsigned block_size, const float *x, float *dots)
{
  return dots_body (table, n, block_size, x, dots);
}

static unsigned
largest_portable (const float *dots, unsigned n)
{
  return largest_body (dots, n);
}

#if HAS_SIMD
/* Products and sums stay apart: contraction is off. */
#define DOTS(name, kind)                                                                      \
  kind static unsigned dots_##name (const float *table, unsigned n, unsigned block_size,      \
                                    const float *x, float *dots)                              \
  {                                                                                           \
    return n == N_DIRECTIONS && block_size == 8 ? dots_body (table, N_DIRECTIONS, 8, x, dots) \
           : n == N_DIRECTIONS ? dots_body (table, N_DIRECTIONS, block_size, x, dots)         \
                               : dots_body (table, n, block_size, x, dots);                   \
  }                                                                                           \
  kind static unsigned largest_##name (const float *dots, unsigned n)                         \
  {                                                                                           \
    return n == N_DIRECTIONS ? largest_body (dots, N_DIRECTIONS) : largest_body (dots, n);    \
  }
DOTS (avx2, SIMD_FOR_AVX2)
DOTS (avx512, SIMD_FOR_AVX512_WIDE)
#undef DOTS
#endif

static unsigned
nearest (const float *table, unsigned n, unsigned block_size, const float *x, float *dots)
{
#if HAS_SIMD
  const SimdKind simd = simd_get ();
  if (simd >= SIMD_AVX512)
    return dots_avx512 (table, n, block_size, x, dots);
  if (simd >= SIMD_AVX2)
    return dots_avx2 (table, n, block_size, x, dots);
#endif
  return dots_portable (table, n, block_size, x, dots);
}

static unsigned
largest (const float *dots, unsigned n)
{
#if HAS_SIMD
  const SimdKind simd = simd_get ();
  if (simd >= SIMD_AVX512)
    return largest_avx512 (dots, n);
  if (simd >= SIMD_AVX2)
    return largest_avx2 (dots, n);
#endif
  return largest_portable (dots, n);
}

/* Column j of a table from bytes, of norm 1. */
static void
set_column (float *table, unsigned n, unsigned j, const int8_t *bytes, unsigned block_size)
{
  double norm = 0;
  for (unsigned i = 0; i < block_size; i++)
    norm += (double) bytes[i] * bytes[i];
  for (unsigned i = 0; i < block_size; i++)
    table[(size_t) i * n + j] = norm > 0 ? (float) (bytes[i] / sqrt (norm)) : 0;
}

/* Means of the samples nearest to each of n directions, up to sign; they begin with the first n samples. */
static int
train (const SeedlmLists *self, const float *samples, const uint32_t *chosen, size_t n_samples,
       float *table, int8_t *bytes, unsigned n)
{
  unsigned block_size = self->basis->block_size;
  float dots[MAX_COARSE > MAX_FINE ? MAX_COARSE : MAX_FINE];
  double *sums = malloc ((size_t) n * block_size * sizeof *sums);
  if (!sums)
    return 0;
  for (unsigned round = 0; round <= ROUNDS; round++) {
    memset (sums, 0, (size_t) n * block_size * sizeof *sums);
    for (size_t s = 0; s < (round ? n_samples : n_samples < n ? n_samples : n); s++) {
      const float *x = samples + (size_t) (chosen ? chosen[s] : s) * block_size;
      unsigned best = (unsigned) s;
      if (round) {
        best = nearest (table, n, block_size, x, dots);
      }
      const double sign = round && dots[best] < 0 ? -1 : 1;
      for (unsigned i = 0; i < block_size; i++)
        sums[(size_t) best * block_size + i] += sign * x[i];
    }
    for (unsigned j = 0; j < n; j++) {
      int8_t *own = bytes + (size_t) j * block_size;
      const double *sum = sums + (size_t) j * block_size;
      double any = 0;
      for (unsigned i = 0; i < block_size; i++)
        any += fabs (sum[i]);
      if (any > 0) /* else as before */
        seedlm_round_bytes (sum, block_size, own);
      else if (round == 0)
        own[j % block_size] = SEEDLM_W_ONE;
      set_column (table, n, j, own, block_size);
    }
  }
  free (sums);
  return 1;
}

static int8_t *
fine_bytes (const SeedlmLists *self, unsigned coarse)
{
  return self->directions + ((size_t) self->shape.n_coarse + (size_t) coarse * self->shape.n_fine) *
                                self->basis->block_size;
}

static float *
fine_table (const SeedlmLists *self, unsigned coarse)
{
  return self->fine + (size_t) coarse * self->shape.n_fine * self->basis->block_size;
}

/* What is needed until the lists are built. */
struct SeedlmTraining {
  float *samples;    /* random vectors */
  uint32_t *members; /* by group */
  size_t first[MAX_COARSE + 1];
};

static void
training_free (struct SeedlmTraining *training)
{
  if (!training)
    return;
  free (training->samples);
  free (training->members);
  free (training);
}

/* Sorts the samples into the groups of their nearest coarse directions. */
static int
group_samples (SeedlmLists *self, struct SeedlmTraining *training, size_t n_samples)
{
  unsigned n = self->shape.n_coarse, block_size = self->basis->block_size;
  float dots[MAX_COARSE];
  size_t at[MAX_COARSE] = { 0 };
  uint8_t *group = malloc (n_samples);
  if (!group)
    return 0;
  for (size_t s = 0; s < n_samples; s++) {
    group[s] =
        (uint8_t) nearest (self->coarse, n, block_size, training->samples + s * block_size, dots);
    at[group[s]]++;
  }
  training->first[0] = 0;
  for (unsigned j = 0; j < n; j++) {
    training->first[j + 1] = training->first[j] + at[j];
    at[j] = training->first[j];
  }
  for (size_t s = 0; s < n_samples; s++)
    training->members[at[group[s]]++] = (uint32_t) s;
  free (group);
  return 1;
}

int
seedlm_lists_train (SeedlmLists *self)
{
  unsigned n = self->shape.n_coarse, block_size = self->basis->block_size;
  size_t n_samples = (size_t) n * self->shape.n_fine * SAMPLES;
  size_t few = n_samples < (size_t) n * 64 ? n_samples : (size_t) n * 64;
  uint32_t random = 7;
  struct SeedlmTraining *training = calloc (1, sizeof *training);
  seedlm_lists_fill_records (self);
  if (training) {
    training->samples = malloc (n_samples * block_size * sizeof *training->samples);
    training->members = malloc (n_samples * sizeof *training->members);
  }
  self->training = training;
  if (!training || !training->samples || !training->members)
    return 0;
  for (size_t s = 0; s < n_samples; s++)
    seedlm_random_block (training->samples + s * block_size, block_size, &random);
  return train (self, training->samples, NULL, few, self->coarse, self->directions, n) &&
         group_samples (self, training, n_samples);
}

/* The direction of least angle in the PROBES nearest groups. */
size_t
seedlm_lists_find (const SeedlmLists *self, const float *block)
{
  const unsigned block_size = self->basis->block_size;
  float dots[MAX_COARSE], fine[MAX_FINE], best_dot = -1;
  size_t best = 0;
  unsigned coarse = nearest (self->coarse, self->shape.n_coarse, block_size, block, dots);
  for (unsigned probe = 0;;) {
    const unsigned own =
        nearest (fine_table (self, coarse), self->shape.n_fine, block_size, block, fine);
    if (fabsf (fine[own]) > best_dot) {
      best_dot = fabsf (fine[own]);
      best = (size_t) coarse * self->shape.n_fine + own;
    }
    if (++probe >= PROBES)
      return best;
    dots[coarse] = 0;
    coarse = largest (dots, self->shape.n_coarse);
  }
}

/* --- lists ----------------------------------------------------------------------------------------------------------- */

int
seedlm_lists_shape (unsigned seed_bits, unsigned block_size, unsigned rank, SeedlmListsShape *shape)
{
  if (seed_bits != 16 || block_size > 12 || rank > SEEDLM_LISTS_MAX_RANK || block_size < rank + 3)
    return 0;
  const int is_small = block_size - rank <= 5;
  *shape = (SeedlmListsShape){ .n_coarse = N_DIRECTIONS,
                               .n_fine = N_DIRECTIONS,
                               .length = LENGTH,
                               .n_steps = LENGTH / STEP,
                               .enough = is_small ? 2048 : 5120,
                               .is_exact = is_small,
                               .place_bytes = 2 };
  return 1;
}

static size_t
n_directions (const SeedlmListsShape *shape)
{
  return (size_t) shape->n_coarse * shape->n_fine;
}

static size_t
record_bytes (unsigned block_size)
{
  return (block_size + 3) / 4 * 16;
}

void
seedlm_lists_sizes (const SeedlmLists *self, size_t sizes[4])
{
  const SeedlmListsShape *shape = &self->shape;
  sizes[0] = (shape->n_coarse + n_directions (shape)) * self->basis->block_size;
  sizes[1] = n_directions (shape) * shape->length * shape->place_bytes;
  sizes[2] = n_directions (shape) * (shape->n_steps + 1) * sizeof (uint16_t);
  sizes[3] = self->record * (self->basis->sequence->period + 1) + 64;
}

uint64_t
seedlm_lists_bytes (unsigned seed_bits, unsigned block_size, const SeedlmListsShape *shape)
{
  const uint64_t directions = n_directions (shape) + shape->n_coarse;
  return ((uint64_t) (record_bytes (block_size) + SEEDLM_LISTS_FACTORS * sizeof (float))
          << seed_bits) +
         directions * (block_size * 5 + shape->length * shape->place_bytes +
                       (shape->n_steps + 1) * sizeof (uint16_t));
}

static void *
new_memory (size_t bytes)
{
  return aligned_alloc (64, (bytes + 127) / 64 * 64);
}

SeedlmLists *
seedlm_lists_new (const SeedlmBasis *basis, const SeedlmListsShape *shape)
{
  SeedlmLists *self = calloc (1, sizeof *self);
  size_t sizes[4];
  if (!self)
    return NULL;
  self->basis = basis;
  self->shape = *shape;
  self->record = record_bytes (basis->block_size);
  seedlm_lists_sizes (self, sizes);
  self->records = new_memory (sizes[3]);
  self->coarse = new_memory ((size_t) shape->n_coarse * basis->block_size * sizeof (float));
  self->fine = new_memory (n_directions (shape) * basis->block_size * sizeof (float));
  self->factors =
      new_memory (((size_t) basis->sequence->period + 1) * SEEDLM_LISTS_FACTORS * sizeof (float));
  self->directions = new_memory (sizes[0]);
  self->places = new_memory (sizes[1]);
  self->bounds = new_memory (sizes[2]);
  if (!self->records || !self->coarse || !self->fine || !self->factors || !self->directions ||
      !self->places || !self->bounds) {
    seedlm_lists_free (self);
    return NULL;
  }
  memset (self->directions, 0, sizes[0]);
  return self;
}

void
seedlm_lists_free (SeedlmLists *self)
{
  if (!self)
    return;
  training_free (self->training);
  free (self->records);
  free (self->coarse);
  free (self->fine);
  free (self->factors);
  free (self->directions);
  free (self->places);
  free (self->bounds);
  free (self);
}

/* Scratch for lists of one group. */
typedef struct {
  uint32_t *all; /* every usable place, padded to whole steps */
  size_t n_all;
  SeedlmHit *hits;
  size_t max;
  float low; /* energy that gave enough for the last direction */
} Builder;

static int
builder_init (Builder *builder, const SeedlmLists *self)
{
  *builder = (Builder){ .n_all = self->basis->sequence->period + 1, .low = 0.8f };
  builder->max = builder->n_all + STEP;
  builder->all = malloc (builder->n_all * sizeof *builder->all);
  builder->hits = malloc (builder->max * sizeof *builder->hits);
  if (!builder->all || !builder->hits)
    return 0;
  for (size_t i = 0; i < builder->n_all; i++)
    builder->all[i] = (uint32_t) i;
  return 1;
}

static void
set_place (SeedlmLists *self, size_t at, uint32_t place)
{
  if (self->shape.place_bytes == 2)
    ((uint16_t *) self->places)[at] = (uint16_t) place;
  else
    ((uint32_t *) self->places)[at] = place;
}

/* Sorts hits by energy into the list of a direction. */
static void
fill_list (SeedlmLists *self, size_t direction, const SeedlmHit *hits, size_t n, double scale)
{
  const size_t length = self->shape.length, n_steps = self->shape.n_steps;
  uint16_t *bounds = self->bounds + direction * (n_steps + 1);
  uint32_t at[SEEDLM_LISTS_LEVELS] = { 0 };
  memset (bounds, 0, (n_steps + 1) * sizeof *bounds);
  for (size_t i = n; i < length; i++)
    set_place (self, direction * length + i, self->basis->sequence->period);
  for (size_t i = 0; i < n; i++) {
    const int level = (int) (hits[i].energy * scale * SEEDLM_LISTS_LEVELS);
    at[SEEDLM_LISTS_LEVELS - 1 - (level < SEEDLM_LISTS_LEVELS ? level : SEEDLM_LISTS_LEVELS - 1)]++;
  }
  uint32_t sum = 0;
  for (unsigned level = 0; level < SEEDLM_LISTS_LEVELS; level++) {
    const uint32_t count = at[level];
    /* steps that begin in this level; the bound is its upper end */
    for (size_t step = (sum + STEP - 1) / STEP; step < n_steps && step * STEP < sum + count; step++)
      bounds[step] = (uint16_t) (SEEDLM_LISTS_LEVELS - level);
    at[level] = sum;
    sum += count;
  }
  /* What is left out comes no nearer than the last that is in the list. */
  for (unsigned level = 0; level < SEEDLM_LISTS_LEVELS; level++)
    if (at[level] < length)
      bounds[n_steps] = (uint16_t) (SEEDLM_LISTS_LEVELS - level);
  for (size_t i = 0; i < n; i++) {
    const int level = (int) (hits[i].energy * scale * SEEDLM_LISTS_LEVELS);
    const size_t place =
        direction * length + at[SEEDLM_LISTS_LEVELS - 1 -
                                (level < SEEDLM_LISTS_LEVELS ? level : SEEDLM_LISTS_LEVELS - 1)]++;
    if (place < (direction + 1) * length)
      set_place (self, place, hits[i].place);
  }
}

static void
build_list (SeedlmLists *self, Builder *builder, size_t direction)
{
  const size_t length = self->shape.length;
  SeedlmQuery query = { 0 };
  size_t n;
  seedlm_query_set_pattern (&query, self,
                            self->directions +
                                (self->shape.n_coarse + direction) * self->basis->block_size);
  for (;; builder->low -= 0.04f) {
    const float low = builder->low > 0 ? (float) (builder->low / query.scale) : SEEDLM_NOTHING;
    n = seedlm_query_scan_places (&query, self, builder->all, 4, builder->n_all / STEP, low,
                                  builder->hits, builder->max);
    if (n >= length || builder->low <= 0)
      break;
  }
  if (n > length + length / 4)
    builder->low += 0.005f;
  fill_list (self, direction, builder->hits, n, query.scale);
}

int
seedlm_lists_build (SeedlmLists *self, unsigned coarse)
{
  const struct SeedlmTraining *training = self->training;
  const size_t first = training->first[coarse];
  const unsigned n = self->shape.n_fine;
  Builder builder;
  int ok = builder_init (&builder, self) &&
           train (self, training->samples, training->members + first,
                  training->first[coarse + 1] - first, fine_table (self, coarse),
                  fine_bytes (self, coarse), n);
  for (unsigned j = 0; ok && j < n; j++)
    build_list (self, &builder, (size_t) coarse * n + j);
  free (builder.all);
  free (builder.hits);
  return ok;
}

int
seedlm_lists_take (SeedlmLists *self)
{
  const SeedlmListsShape *shape = &self->shape;
  const unsigned block_size = self->basis->block_size;
  const uint32_t period = self->basis->sequence->period;
  const size_t n = n_directions (shape);
  uint32_t top = 0;
  training_free (self->training);
  self->training = NULL;
  seedlm_lists_fill_factors (self);
  for (unsigned j = 0; j < shape->n_coarse; j++)
    set_column (self->coarse, shape->n_coarse, j, self->directions + (size_t) j * block_size,
                block_size);
  for (unsigned c = 0; c < shape->n_coarse; c++)
    for (unsigned j = 0; j < shape->n_fine; j++)
      set_column (fine_table (self, c), shape->n_fine, j,
                  fine_bytes (self, c) + (size_t) j * block_size, block_size);
  for (size_t i = 0; shape->place_bytes == 4 && i < n * shape->length; i++)
    top |= ((const uint32_t *) self->places)[i];
  for (size_t i = 0; shape->place_bytes == 2 && i < n * shape->length; i++)
    top |= ((const uint16_t *) self->places)[i];
  for (size_t i = 0; i < n; i++)
    for (size_t step = 0; step < shape->n_steps; step++)
      if (self->bounds[i * (shape->n_steps + 1) + step] <
          self->bounds[i * (shape->n_steps + 1) + step + 1])
        return 0;
  return top <= period && self->tilt >= 0 &&
         self->gain >= 1; /* 2^K - 1, the place of the record that stands for none */
}
