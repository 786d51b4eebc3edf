/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vptq-train-private.h"

#include <string.h>

/* Every vector of the training to its nearest centroid. */

size_t
vptq_train_count_tiles (size_t n)
{
  return (n + TILE - 1) / TILE;
}

int
vptq_train_run (const VptqTrain *train, size_t n, void (*task) (size_t, void *), void *data)
{
  const VptqTrainJob *job = train->job;

  if (job->parallel_for)
    return job->parallel_for (job->pool, n, task, data);
  for (size_t i = 0; i < n; i++)
    task (i, data);
  return 0;
}

double
vptq_train_sum_tiles (const VptqTrain *train, size_t n)
{
  double sum = 0;

  for (size_t i = 0; i < vptq_train_count_tiles (n); i++)
    sum += train->tile_sums[i];
  return sum;
}

float
vptq_train_error_of (const VptqTrainJob *job, size_t i, const float *c)
{
  unsigned v = job->length;
  const float *x = job->vectors + i * v;
  const float *g = job->weights;
  float d[VPTQ_MAX_LENGTH], e = 0;

  switch (job->metric) {
  case VPTQ_METRIC_DIAGONAL:
    for (unsigned j = 0; j < v; j++)
      e += g[i * v + j] * ((x[j] - c[j]) * (x[j] - c[j]));
    return e;
  case VPTQ_METRIC_MATRIX:
    g += i * v * v;
    for (unsigned j = 0; j < v; j++) {
      float s = 0;

      d[j] = x[j] - c[j];
      for (unsigned m = 0; m < j; m++)
        s += g[(size_t) j * v + m] * d[m];
      e += d[j] * (2 * s + g[(size_t) j * v + j] * d[j]);
    }
    return e > 0 ? e : 0;
  case VPTQ_METRIC_NONE:
  case VPTQ_METRIC_SCALAR:
  default:
    for (unsigned j = 0; j < v; j++)
      e += (x[j] - c[j]) * (x[j] - c[j]);
    return job->metric == VPTQ_METRIC_SCALAR ? g[i] * e : e;
  }
}

static const float *
weights_of (const VptqTrainJob *job, size_t i)
{
  const size_t stride = vptq_metric_stride (job->metric, job->length);

  return stride ? job->weights + i * stride : NULL;
}

/* What was found for a tile takes the place of what was there. */
static void
take_tile (VptqTrain *train, size_t tile, size_t n, const uint32_t *indices)
{
  const size_t first = tile * TILE;
  uint32_t moves = 0;
  double sum = 0;

  for (size_t i = 0; i < n; i++) {
    moves += indices[i] != train->indices[first + i];
    sum += train->errors[first + i];
  }
  memcpy (train->indices + first, indices, n * sizeof *indices);
  train->tile_moves[tile] = moves;
  train->tile_sums[tile] = sum;
}

static size_t
tile_size (const VptqTrain *train, size_t tile)
{
  const size_t left = train->job->n - tile * TILE;

  return left < TILE ? left : TILE;
}

static void
assign_tile (size_t index, void *data)
{
  VptqTrain *train = data;
  const VptqTrainJob *job = train->job;
  const size_t first = index * TILE, n = tile_size (train, index);
  uint32_t indices[TILE];

  vptq_search (&train->table, job->metric, weights_of (job, first),
               job->vectors + first * job->length, n, indices, train->errors + first);
  take_tile (train, index, n, indices);
}

/* order: the vectors by their groups; start: n_groups + 1 places in it. */
static void
group (VptqTrain *train, const uint32_t *groups, unsigned n_groups)
{
  uint32_t *start = train->start;

  memset (start, 0, ((size_t) n_groups + 1) * sizeof *start);
  for (size_t i = 0; i < train->job->n; i++)
    start[groups[i] + 1]++;
  for (unsigned g = 0; g < n_groups; g++)
    start[g + 1] += start[g];
  /* start[g] runs to the end of group g, which is the start of group g + 1 */
  for (size_t i = 0; i < train->job->n; i++)
    train->order[start[groups[i]]++] = (uint32_t) i;
  memmove (start + 1, start, n_groups * sizeof *start);
  start[0] = 0;
}

static void
find_cells (size_t index, void *data)
{
  VptqTrain *train = data;
  const VptqTrainJob *job = train->job;
  const size_t first = index * TILE;

  vptq_search (&train->lists.cells, job->metric, weights_of (job, first),
               job->vectors + first * job->length, tile_size (train, index), train->found + first,
               NULL);
}

static void
search_cell (size_t cell, void *data)
{
  VptqTrain *train = data;
  const VptqTrainJob *job = train->job;
  const uint32_t start = train->start[cell], end = train->start[cell + 1];

  vptq_lists_search_cell (&train->lists, false, (unsigned) cell, train->order + start, end - start,
                          job->metric, job->weights, job->vectors, train->found, train->errors);
}

/* Where the list of its cell does not have it, a vector keeps its centroid if that is nearer than what was found: so the errors do not
 * rise. */
static void
finish_tile (size_t index, void *data)
{
  VptqTrain *train = data;
  const VptqTrainJob *job = train->job;
  const size_t first = index * TILE, n = tile_size (train, index);
  uint32_t *found = train->found + first;

  vptq_lists_search_left (&train->lists, job->metric, weights_of (job, first),
                          job->vectors + first * job->length, n, found, train->errors + first);
  for (size_t i = first; i < first + n; i++) {
    const uint32_t last = train->indices[i];

    if (last >= job->n_centroids || last == train->found[i])
      continue;
    const float e = vptq_train_error_of (job, i, train->codebook + (size_t) last * job->length);
    if (e < train->errors[i]) {
      train->errors[i] = e;
      train->found[i] = last;
    }
  }
  take_tile (train, index, n, found);
}

static int
assign_by_lists (VptqTrain *train)
{
  const VptqTrainJob *job = train->job;
  const size_t n_tiles = vptq_train_count_tiles (job->n);

  if (vptq_lists_fill (&train->lists, train->codebook, train->filled, train->workspace,
                       job->parallel_for, job->pool) ||
      vptq_train_run (train, n_tiles, find_cells, train))
    return -1;
  train->filled = true;
  group (train, train->found, train->lists.n_cells);
  return vptq_train_run (train, train->lists.n_cells, search_cell, train) ||
                 vptq_train_run (train, n_tiles, finish_tile, train)
             ? -1
             : 0;
}

/* Every vector to its nearest centroid: errors, indices, tile_sums; order and start group the vectors. */
int
vptq_train_assign (VptqTrain *train, double *objective, size_t *moves)
{
  const VptqTrainJob *job = train->job;

  if (train->found) {
    if (assign_by_lists (train))
      return -1;
  } else {
    vptq_table_init (&train->table, train->storage, train->codebook, job->n_centroids, job->length);
    if (vptq_train_run (train, vptq_train_count_tiles (job->n), assign_tile, train))
      return -1;
  }
  *objective = vptq_train_sum_tiles (train, job->n);
  *moves = 0;
  for (size_t i = 0; i < vptq_train_count_tiles (job->n); i++)
    *moves += train->tile_moves[i];
  group (train, train->indices, job->n_centroids);
  return 0;
}
