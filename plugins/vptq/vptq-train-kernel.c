/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vptq-train-private.h"

#include "vptq-rate-kernel.h"

#include <math.h>
#include <string.h>

#define CENTROID_TILE 16u /* centroids of one task */
#define SEED_VECTORS 32u  /* per centroid: the first centroids are drawn from so many vectors */
#define SEED_FEW 4u       /* instead, where the search goes by lists */
#define SEED_PAIRS (UINT64_C (1) << 31) /* errors computed to draw centroids, at the most */
#define LEAST_GAIN 1e-4                 /* of the objective: less ends the training */
#define RIDGE 1e-9

size_t
vptq_train_bytes (size_t n, unsigned n_centroids, unsigned length)
{
  if (n < 1 || n > UINT32_MAX || n_centroids < 1 || n_centroids > VPTQ_MAX_CENTROIDS ||
      length < 1 || length > VPTQ_MAX_LENGTH)
    return 0;
  uint64_t bytes = (uint64_t) vptq_train_count_tiles (n) * (sizeof (double) + sizeof (uint32_t)) +
                   (uint64_t) n * (sizeof (float) + 2 * sizeof (uint32_t)) +
                   ((uint64_t) n_centroids + 1) * sizeof (uint32_t) +
                   (uint64_t) vptq_table_floats (n_centroids, length) * sizeof (float);
  if (vptq_lists_has (n_centroids, length))
    bytes += n * sizeof (uint32_t) + vptq_lists_bytes (n_centroids, length) +
             vptq_lists_workspace (n_centroids, length) + 4 * sizeof (double);
  return bytes <= SIZE_MAX ? (size_t) bytes : 0;
}

static void *
aligned (void *memory)
{
  return (void *) (((uintptr_t) memory + sizeof (double) - 1) / sizeof (double) * sizeof (double));
}

static void
train_init (VptqTrain *train, const VptqTrainJob *job, void *workspace, float *codebook,
            float *occupancy)
{
  size_t n_tiles = vptq_train_count_tiles (job->n);

  *train = (VptqTrain){ .job = job, .codebook = codebook, .occupancy = occupancy };
  train->tile_sums = workspace;
  train->tile_moves = (uint32_t *) (train->tile_sums + n_tiles);
  train->indices = train->tile_moves + n_tiles;
  train->order = train->indices + job->n;
  train->start = train->order + job->n;
  train->errors = (float *) (train->start + job->n_centroids + 1);
  train->storage = train->errors + job->n;
  if (!vptq_lists_has (job->n_centroids, job->length))
    return;
  train->found = (uint32_t *) (train->storage + vptq_table_floats (job->n_centroids, job->length));
  char *lists = aligned (train->found + job->n);
  vptq_lists_init (&train->lists, lists, job->n_centroids, job->length);
  train->workspace = aligned (lists + vptq_lists_bytes (job->n_centroids, job->length));
}

/* --- drawing centroids: each vector by its error (k-means++) --- */

static uint64_t
next_random (uint64_t *state)
{
  uint64_t z = *state += UINT64_C (0x9e3779b97f4a7c15);

  z = (z ^ (z >> 30)) * UINT64_C (0xbf58476d1ce4e5b9);
  z = (z ^ (z >> 27)) * UINT64_C (0x94d049bb133111eb);
  return z ^ (z >> 31);
}

static double
next_uniform (uint64_t *state)
{
  return (double) (next_random (state) >> 11) * 0x1p-53;
}

/* The vector at a place of the set that is drawn from. */
static size_t
drawn_vector (const VptqTrain *train, size_t place)
{
  return (size_t) ((uint64_t) place * train->job->n / train->n_drawn_from);
}

static void
draw_tile (size_t index, void *data)
{
  VptqTrain *train = data;
  size_t first = index * TILE, end = first + TILE;
  double sum = 0;

  if (end > train->n_drawn_from)
    end = train->n_drawn_from;
  for (size_t i = first; i < end; i++) {
    float e = vptq_train_error_of (train->job, drawn_vector (train, i), train->drawn);

    if (e < train->errors[i])
      train->errors[i] = e;
    sum += train->errors[i];
  }
  train->tile_sums[index] = sum;
}

/* A place with an error, drawn by its error; n_drawn_from if there is none. */
static size_t
draw_place (const VptqTrain *train, uint64_t *random)
{
  double total = vptq_train_sum_tiles (train, train->n_drawn_from), sum = 0;
  size_t tile = 0, n_tiles = vptq_train_count_tiles (train->n_drawn_from),
         found = train->n_drawn_from;

  if (!(total > 0) || isinf (total))
    return found;
  double target = next_uniform (random) * total;
  while (tile + 1 < n_tiles && sum + train->tile_sums[tile] <= target)
    sum += train->tile_sums[tile++];
  size_t end = (tile + 1) * TILE < train->n_drawn_from ? (tile + 1) * TILE : train->n_drawn_from;
  for (size_t i = tile * TILE; i < end && (found == train->n_drawn_from || sum <= target); i++) {
    sum += train->errors[i];
    if (train->errors[i] > 0)
      found = i;
  }
  return found;
}

/* Draws one more centroid into the codebook at c. 1: all vectors are on centroids already. -1: stopped. */
static int
draw_centroid (VptqTrain *train, uint64_t *random, unsigned c)
{
  const VptqTrainJob *job = train->job;
  size_t place = draw_place (train, random);

  if (place == train->n_drawn_from)
    return 1;
  train->drawn = job->vectors + drawn_vector (train, place) * job->length;
  memcpy (train->codebook + (size_t) c * job->length, train->drawn, job->length * sizeof (float));
  return vptq_train_run (train, vptq_train_count_tiles (train->n_drawn_from), draw_tile, train) ? -1
                                                                                                : 0;
}

/* One vector from each of n_centroids stretches: where drawing by errors would take too long. */
static void
start_evenly (VptqTrain *train, uint64_t *random)
{
  const VptqTrainJob *job = train->job;

  for (unsigned c = 0; c < job->n_centroids; c++) {
    uint64_t low = (uint64_t) c * job->n / job->n_centroids;
    uint64_t width = (uint64_t) (c + 1) * job->n / job->n_centroids - low;
    uint64_t i = low + (width > 1 ? next_random (random) % width : 0);

    memcpy (train->codebook + (size_t) c * job->length, job->vectors + i * job->length,
            job->length * sizeof (float));
  }
}

static int
start_cold (VptqTrain *train, uint64_t *random)
{
  const VptqTrainJob *job = train->job;
  uint64_t set = (uint64_t) job->n_centroids * (train->found ? SEED_FEW : SEED_VECTORS);
  unsigned v = job->length, c = 1;
  int status = 0;

  train->n_drawn_from = set < job->n ? (size_t) set : job->n;
  if ((uint64_t) train->n_drawn_from * job->n_centroids > SEED_PAIRS) {
    start_evenly (train, random);
    return 0;
  }
  for (size_t i = 0; i < train->n_drawn_from; i++)
    train->errors[i] = INFINITY;
  train->drawn =
      job->vectors + drawn_vector (train, next_random (random) % train->n_drawn_from) * v;
  memcpy (train->codebook, train->drawn, v * sizeof (float));
  if (vptq_train_run (train, vptq_train_count_tiles (train->n_drawn_from), draw_tile, train))
    return -1;
  for (; c < job->n_centroids && status == 0; c++)
    status = draw_centroid (train, random, c);
  if (status == 1) /* c - 1 got none: there are fewer different vectors than centroids */
    for (c--; c < job->n_centroids; c++)
      memcpy (train->codebook + (size_t) c * v, train->codebook, v * sizeof (float));
  return status < 0 ? -1 : 0;
}

/* Centroids without vectors are drawn anew, by the errors of the last assignment. */
static int
refill (VptqTrain *train, uint64_t *random)
{
  const VptqTrainJob *job = train->job;
  uint64_t left = SEED_PAIRS / job->n;

  train->n_drawn_from = job->n;
  for (unsigned c = 0; c < job->n_centroids && left > 0; c++) {
    if (train->start[c] < train->start[c + 1])
      continue;
    int status = draw_centroid (train, random, c);
    if (status != 0)
      return status < 0 ? -1 : 0;
    left--;
  }
  return 0;
}

/* --- update --- */

/* sum + ridge, factored in place (L D L'), and solved for the step; a pivot that is not positive gives no step. */
static void
solve (double *sum, double *step, unsigned v)
{
  double trace = 0;

  for (unsigned j = 0; j < v; j++)
    trace += sum[j * v + j];
  for (unsigned j = 0; j < v; j++)
    sum[j * v + j] += trace * RIDGE;
  for (unsigned j = 0; j < v; j++) {
    double inverse = sum[j * v + j] > 0 ? 1 / sum[j * v + j] : 0;

    for (unsigned i = j + 1; i < v; i++) {
      double l = sum[i * v + j] * inverse;

      for (unsigned m = j + 1; m <= i; m++)
        sum[i * v + m] -= l * sum[m * v + j];
      step[i] -= l * step[j];
    }
    sum[j * v + j] = inverse;
  }
  for (unsigned j = v; j-- > 0;) {
    for (unsigned i = j + 1; i < v; i++)
      step[j] -= sum[i * v + j] * step[i];
    step[j] *= sum[j * v + j];
  }
}

/* (sum of G) (c - old) = sum of G (x - old): the ridge holds c to where it was. */
static void
update_matrix (const VptqTrainJob *job, const uint32_t *members, size_t n, float *c)
{
  unsigned v = job->length;
  double sum[VPTQ_MAX_LENGTH * VPTQ_MAX_LENGTH] = { 0 };
  double step[VPTQ_MAX_LENGTH] = { 0 };

  for (size_t i = 0; i < n; i++) {
    const float *x = job->vectors + (size_t) members[i] * v;
    const float *g = job->weights + (size_t) members[i] * v * v;

    for (unsigned j = 0; j < v; j++) {
      double dj = (double) x[j] - c[j];

      for (unsigned m = 0; m < j; m++) {
        double gjm = g[(size_t) j * v + m];
        sum[j * v + m] += gjm;
        step[j] += gjm * ((double) x[m] - c[m]);
        step[m] += gjm * dj;
      }
      sum[j * v + j] += g[(size_t) j * v + j];
      step[j] += (double) g[(size_t) j * v + j] * dj;
    }
  }
  solve (sum, step, v);
  for (unsigned j = 0; j < v; j++)
    c[j] = (float) (c[j] + step[j]);
}

/* Means; a centroid, or a coordinate of it, without weight stays. */
static void
update_mean (const VptqTrainJob *job, const uint32_t *members, size_t n, float *c)
{
  unsigned v = job->length;
  double sum[VPTQ_MAX_LENGTH] = { 0 }, weight[VPTQ_MAX_LENGTH] = { 0 };

  for (size_t i = 0; i < n; i++) {
    const float *x = job->vectors + (size_t) members[i] * v;

    for (unsigned j = 0; j < v; j++) {
      double w = 1;

      if (job->metric == VPTQ_METRIC_SCALAR)
        w = job->weights[members[i]];
      else if (job->metric == VPTQ_METRIC_DIAGONAL)
        w = job->weights[(size_t) members[i] * v + j];
      sum[j] += w * x[j];
      weight[j] += w;
    }
  }
  for (unsigned j = 0; j < v; j++)
    if (weight[j] > 0)
      c[j] = (float) (sum[j] / weight[j]);
}

static void
update_centroids (size_t index, void *data)
{
  VptqTrain *train = data;
  const VptqTrainJob *job = train->job;
  size_t end = (index + 1) * CENTROID_TILE;

  if (end > job->n_centroids)
    end = job->n_centroids;
  for (size_t c = index * CENTROID_TILE; c < end; c++) {
    const uint32_t *members = train->order + train->start[c];
    size_t n = train->start[c + 1] - train->start[c];
    float *centroid = train->codebook + c * job->length;

    if (n > 0 && job->metric == VPTQ_METRIC_MATRIX)
      update_matrix (job, members, n, centroid);
    else if (n > 0)
      update_mean (job, members, n, centroid);
  }
}

/* The mean of the metric's diagonal, summed over the vectors of a centroid. */
static void
weigh_centroids (size_t index, void *data)
{
  VptqTrain *train = data;
  const VptqTrainJob *job = train->job;
  size_t end = (index + 1) * CENTROID_TILE, stride = vptq_metric_stride (job->metric, job->length);
  unsigned n_weights = stride > 1 ? job->length - (job->rate > 0) : (unsigned) stride;
  size_t step = job->metric == VPTQ_METRIC_MATRIX ? (size_t) job->length + 1 : 1;

  if (end > job->n_centroids)
    end = job->n_centroids;
  for (size_t c = index * CENTROID_TILE; c < end; c++) {
    double sum = 0;

    for (size_t i = train->start[c]; i < train->start[c + 1]; i++) {
      for (unsigned j = 0; j < n_weights; j++)
        sum += job->weights[train->order[i] * stride + j * step];
    }
    if (n_weights == 0)
      sum = train->start[c + 1] - train->start[c];
    train->occupancy[c] = (float) (n_weights > 1 ? sum / n_weights : sum);
  }
}

/* With a rate: what the code of each centroid costs, by the vectors that it has. Who has none gets none any more. */
static void
price (VptqTrain *train)
{
  const VptqTrainJob *job = train->job;

  for (unsigned c = 0; c < job->n_centroids && job->rate > 0; c++)
    train->codebook[(size_t) (c + 1) * job->length - 1] =
        vptq_rate_place (train->start[c + 1] - train->start[c], job->n, job->rate);
}

int
vptq_train (const VptqTrainJob *job, void *workspace, float *codebook, float *occupancy,
            double *objectives)
{
  size_t n_updates = (job->n_centroids + CENTROID_TILE - 1) / CENTROID_TILE, moves;
  uint64_t random = job->seed;
  double objective, last;
  int n = 1;
  VptqTrain train;

  train_init (&train, job, workspace, codebook, occupancy);
  memset (train.indices, 0xff, job->n * sizeof *train.indices);
  if (!job->warm && start_cold (&train, &random) < 0)
    return -1;
  if (vptq_train_assign (&train, &objective, &moves) < 0)
    return -1;
  if (objectives)
    objectives[0] = objective;
  price (&train);
  for (unsigned i = 0; i < job->iterations && objective > 0; i++) {
    if (vptq_train_run (&train, n_updates, update_centroids, &train) ||
        (!(job->rate > 0) && refill (&train, &random) < 0))
      return -1;
    price (&train);
    last = objective;
    if (vptq_train_assign (&train, &objective, &moves) < 0)
      return -1;
    if (objectives)
      objectives[n] = objective;
    n++;
    if (moves == 0 || (!(last - objective > LEAST_GAIN * last) && (i > 0 || !(job->rate > 0))))
      break; /* the first objective was without a price */
  }
  price (&train);
  if (occupancy && vptq_train_run (&train, n_updates, weigh_centroids, &train))
    return -1;
  return n;
}
