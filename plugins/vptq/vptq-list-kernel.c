/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vptq-list-kernel.h"

#include "vptq-train-kernel.h"

#include <math.h>
#include <string.h>

#define MIDDLE_ROUNDS 4u /* of k-means for the middles; half as many where they start warm */
#define MOST_CELLS 1024u
#define CHUNK 1024u        /* vectors shared out to cells together, at the most */
#define BATCH 256u         /* vectors copied together, at the most */
#define BATCH_FLOATS 4096u /* of them and of their metrics, each */
#define QUICK 0.4f         /* of r that R - d must reach in a quick search */
#define SLACK 1e-5f        /* more than distances of so many numbers are rounded by */

static unsigned
count_cells (unsigned n_centroids)
{
  unsigned n = 16;

  while (n < MOST_CELLS && n * 32 < n_centroids)
    n *= 2;
  return n;
}

static unsigned
count_listed (unsigned n_centroids)
{
  return n_centroids >= 16384 ? n_centroids / 32 : n_centroids / 8;
}

bool
vptq_lists_has (unsigned n_centroids, unsigned length)
{
  return n_centroids >= VPTQ_LISTS_LEAST && n_centroids <= VPTQ_MAX_CENTROIDS && length >= 1 &&
         length <= VPTQ_LISTS_MAX_LENGTH;
}

static size_t
even (size_t n)
{
  return (n + 1) / 2 * 2;
}

void
vptq_lists_init (VptqLists *lists, void *memory, unsigned n_centroids, unsigned length)
{
  const unsigned n_cells = count_cells (n_centroids), n_listed = count_listed (n_centroids);
  float *floats = memory;

  *lists = (VptqLists){ length, n_centroids, n_cells, n_listed };
  lists->table_floats = even (vptq_table_floats (n_listed, length));
  lists->storage = floats;
  floats += n_cells * lists->table_floats;
  lists->all_storage = floats;
  floats += even (vptq_table_floats (n_centroids, length));
  lists->cell_storage = floats;
  floats += even (vptq_table_floats (n_cells, length));
  lists->reach = floats;
  floats += even (n_cells);
  lists->middles = floats;
  lists->listed = (uint32_t *) (floats + even ((size_t) n_cells * length));
}

size_t
vptq_lists_bytes (unsigned n_centroids, unsigned length)
{
  const size_t n_cells = count_cells (n_centroids), n_listed = count_listed (n_centroids);

  if (!vptq_lists_has (n_centroids, length))
    return 0;
  return (n_cells * (even (vptq_table_floats ((unsigned) n_listed, length)) + n_listed) +
          even (vptq_table_floats (n_centroids, length)) +
          even (vptq_table_floats ((unsigned) n_cells, length)) + even (n_cells) +
          even (n_cells * length)) *
         sizeof (float);
}

/* --- filling --- */

typedef struct {
  VptqLists *lists;
  const float *codebook;
  float *distances; /* all.stride for each task */
} Fill;

#define FILL_TASKS 16u

size_t
vptq_lists_workspace (unsigned n_centroids, unsigned length)
{
  const unsigned n_cells = count_cells (n_centroids);
  const size_t filling = FILL_TASKS * vptq_table_floats (n_centroids, 1) * sizeof (float);
  const size_t training = vptq_train_bytes (n_centroids, n_cells, length);

  return filling > training ? filling : training;
}

/* Squares of plain distances, which are not negative: as whole numbers they are in the same order. */
static void
measure (const VptqTable *t, const float *middle, float *distances)
{
  memset (distances, 0, t->stride * sizeof *distances);
  for (unsigned j = 0; j < t->length; j++) {
    const float *restrict c = t->table + j * t->stride;
    const float x = middle[j];

    for (size_t i = 0; i < t->stride; i++) {
      const float d = x - c[i];
      distances[i] += d * d;
    }
  }
}

static size_t
count_up_to (const float *distances, size_t n, float limit)
{
  uint32_t count = 0;

  for (size_t i = 0; i < n; i++)
    count += distances[i] <= limit;
  return count;
}

static float
as_float (uint32_t bits)
{
  float x;

  memcpy (&x, &bits, sizeof x);
  return x;
}

/* The n nearest, of equal ones the first, in ascending order of their numbers. Returns the square of the distance of the next one. */
static float
choose (const float *distances, unsigned n_centroids, unsigned n, uint32_t *listed)
{
  uint32_t low = 0, high = UINT32_C (0x7f800000); /* infinity */
  float next = INFINITY;
  unsigned at = 0;

  while (low < high) {
    const uint32_t middle = low + (high - low) / 2;

    if (count_up_to (distances, n_centroids, as_float (middle)) >= n)
      high = middle;
    else
      low = middle + 1;
  }
  const float limit = as_float (low);
  size_t equal = n - (low > 0 ? count_up_to (distances, n_centroids, as_float (low - 1)) : 0);
  for (unsigned i = 0; i < n_centroids; i++) {
    const bool take = distances[i] < limit || (distances[i] == limit && equal > 0);

    equal -= take && distances[i] == limit;
    if (take)
      listed[at++] = i;
    else if (distances[i] < next)
      next = distances[i];
  }
  return next;
}

static void
fill_task (size_t index, void *data)
{
  Fill *fill = data;
  VptqLists *lists = fill->lists;
  float *distances = fill->distances + index * lists->all.stride;

  for (size_t cell = index; cell < lists->n_cells; cell += FILL_TASKS) {
    uint32_t *listed = lists->listed + cell * lists->n_listed;
    VptqTable table;

    measure (&lists->all, lists->middles + cell * lists->length, distances);
    lists->reach[cell] = sqrtf (choose (distances, lists->n_centroids, lists->n_listed, listed));
    vptq_table_init_some (&table, lists->storage + cell * lists->table_floats, fill->codebook,
                          listed, lists->n_listed, lists->length);
  }
}

int
vptq_lists_fill (VptqLists *lists, const float *codebook, bool warm, void *workspace,
                 VptqFor parallel_for, void *pool)
{
  const VptqTrainJob job = { .length = lists->length,
                             .n_centroids = lists->n_cells,
                             .iterations = warm ? MIDDLE_ROUNDS / 2 : MIDDLE_ROUNDS,
                             .seed = 1,
                             .metric = VPTQ_METRIC_NONE,
                             .vectors = codebook,
                             .n = lists->n_centroids,
                             .warm = warm,
                             .parallel_for = parallel_for,
                             .pool = pool };
  Fill fill = { lists, codebook, workspace };

  if (vptq_train (&job, workspace, lists->middles, NULL, NULL) < 0)
    return -1;
  vptq_table_init (&lists->cells, lists->cell_storage, lists->middles, lists->n_cells,
                   lists->length);
  vptq_table_init (&lists->all, lists->all_storage, codebook, lists->n_centroids, lists->length);
  if (parallel_for)
    return parallel_for (pool, FILL_TASKS, fill_task, &fill);
  for (size_t i = 0; i < FILL_TASKS; i++)
    fill_task (i, &fill);
  return 0;
}

/* --- searching --- */

/* Copies of vectors and their metrics. */
typedef struct {
  float vectors[BATCH_FLOATS], metrics[BATCH_FLOATS];
  uint32_t indices[BATCH];
  float errors[BATCH];
} Batch;

static size_t
batch_size (const VptqLists *lists, VptqMetric metric)
{
  const size_t stride = vptq_metric_stride (metric, lists->length);
  const size_t n = BATCH_FLOATS / (stride > lists->length ? stride : lists->length);

  return n < BATCH ? n : BATCH;
}

static void
batch_take (Batch *batch, const VptqLists *lists, const uint32_t *members, size_t n,
            VptqMetric metric, const float *weights, const float *x)
{
  const size_t v = lists->length, stride = vptq_metric_stride (metric, lists->length);

  for (size_t i = 0; i < n; i++) {
    memcpy (batch->vectors + i * v, x + members[i] * v, v * sizeof *x);
    if (stride)
      memcpy (batch->metrics + i * stride, weights + members[i] * stride, stride * sizeof *x);
  }
}

static float
distance_to_middle (const VptqLists *lists, unsigned cell, const float *x)
{
  const float *middle = lists->middles + (size_t) cell * lists->length;
  float sum = 0;

  for (unsigned j = 0; j < lists->length; j++)
    sum += (x[j] - middle[j]) * (x[j] - middle[j]);
  return sqrtf (sum);
}

static float
distance_to (const VptqLists *lists, uint32_t index, const float *x)
{
  float sum = 0;

  for (unsigned j = 0; j < lists->length; j++) {
    const float d = x[j] - lists->all.table[j * lists->all.stride + index];
    sum += d * d;
  }
  return sqrtf (sum);
}

/* Is what was found in the list near enough that nothing outside of it has to be looked at? */
static bool
is_settled (const VptqLists *lists, bool exact, unsigned cell, uint32_t index, const float *x)
{
  const float r = distance_to (lists, index, x), d = distance_to_middle (lists, cell, x);

  return lists->reach[cell] > (1 + SLACK) * (d + (exact ? r : QUICK * r));
}

void
vptq_lists_search_cell (const VptqLists *lists, bool exact, unsigned cell, const uint32_t *members,
                        size_t n_members, VptqMetric metric, const float *weights, const float *x,
                        uint32_t *indices, float *errors)
{
  const uint32_t *listed = lists->listed + (size_t) cell * lists->n_listed;
  const size_t size = batch_size (lists, metric);
  VptqTable table;
  Batch batch;

  vptq_table_of (&table, lists->storage + cell * lists->table_floats, lists->n_listed,
                 lists->length);
  for (size_t first = 0; first < n_members; first += size) {
    const size_t n = n_members - first < size ? n_members - first : size;

    batch_take (&batch, lists, members + first, n, metric, weights, x);
    vptq_search (&table, metric, batch.metrics, batch.vectors, n, batch.indices, batch.errors);
    for (size_t i = 0; i < n; i++) {
      const uint32_t index = listed[batch.indices[i]], to = members[first + i];
      const float *own = batch.vectors + i * lists->length;

      indices[to] = is_settled (lists, exact, cell, index, own) ? index : VPTQ_LISTS_LEFT;
      errors[to] = batch.errors[i];
    }
  }
}

void
vptq_lists_search_left (const VptqLists *lists, VptqMetric metric, const float *weights,
                        const float *x, size_t n, uint32_t *indices, float *errors)
{
  const size_t size = batch_size (lists, metric);
  uint32_t members[BATCH];
  Batch batch;

  for (size_t at = 0; at < n;) {
    size_t n_members = 0;

    for (; at < n && n_members < size; at++)
      if (indices[at] == VPTQ_LISTS_LEFT)
        members[n_members++] = (uint32_t) at;
    batch_take (&batch, lists, members, n_members, metric, weights, x);
    vptq_search (&lists->all, metric, batch.metrics, batch.vectors, n_members, batch.indices,
                 batch.errors);
    for (size_t i = 0; i < n_members; i++) {
      indices[members[i]] = batch.indices[i];
      errors[members[i]] = batch.errors[i];
    }
  }
}

/* At most CHUNK vectors, those of each cell together. */
static void
search_chunk (const VptqLists *lists, bool exact, VptqMetric metric, const float *weights,
              const float *x, size_t n, uint32_t *indices, float *errors)
{
  uint32_t cells[CHUNK], order[CHUNK], start[MOST_CELLS + 1] = { 0 };

  vptq_search (&lists->cells, metric, weights, x, n, cells, NULL);
  for (size_t i = 0; i < n; i++)
    start[cells[i] + 1]++;
  for (unsigned c = 0; c < lists->n_cells; c++)
    start[c + 1] += start[c];
  for (size_t i = 0; i < n; i++)
    order[start[cells[i]]++] = (uint32_t) i; /* then a cell's start is its end */
  for (size_t first = 0, end; first < n; first = end) {
    const unsigned cell = cells[order[first]];

    end = start[cell];
    vptq_lists_search_cell (lists, exact, cell, order + first, end - first, metric, weights, x,
                            indices, errors);
  }
  vptq_lists_search_left (lists, metric, weights, x, n, indices, errors);
}

void
vptq_lists_search (const VptqLists *lists, bool exact, VptqMetric metric, const float *weights,
                   const float *x, size_t n, uint32_t *indices, float *errors)
{
  const size_t v = lists->length, stride = vptq_metric_stride (metric, lists->length);
  float own[CHUNK];

  if (exact && metric > VPTQ_METRIC_SCALAR) { /* lists bound plain distances only */
    vptq_search (&lists->all, metric, weights, x, n, indices, errors);
    return;
  }
  for (size_t p = 0; p < n; p += CHUNK)
    search_chunk (lists, exact, metric, stride ? weights + p * stride : NULL, x + p * v,
                  n - p < CHUNK ? n - p : CHUNK, indices + p, errors ? errors + p : own);
}
