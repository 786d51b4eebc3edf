/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vptq.h"
#include "vptq-rate-kernel.h"

#include <string.h>

/* A codebook that is searched: as it stands, or by lists. */

typedef struct {
  void (*task) (size_t index, void *data);
  void *data;
} Task;

static gboolean
run_task (gsize index, gpointer user_data, GError **error)
{
  const Task *task = user_data;

  task->task (index, task->data);
  return TRUE;
}

int
vptq_run_tasks (void *runner, size_t n, void (*func) (size_t, void *), void *data)
{
  VptqRunner *self = runner;
  Task task = { func, data };

  return afp_parallel_for (self->pool, n, run_task, &task, &self->error) ? 0 : -1;
}

guint64
vptq_searcher_bytes (guint n_centroids, guint length)
{
  if (!vptq_lists_has (n_centroids, length))
    return vptq_table_floats (n_centroids, length) * sizeof (float);
  return vptq_lists_bytes (n_centroids, length) + vptq_lists_workspace (n_centroids, length) +
         (guint64) n_centroids * length * sizeof (float);
}

static gboolean
fill_lists (VptqSearcher *self, const float *codebook, AfpContext *ctx, GError **error)
{
  const gsize bytes = vptq_lists_workspace (self->lists.n_centroids, self->lists.length);
  VptqRunner runner = { afp_context_get_pool (ctx), NULL };
  g_autofree gpointer workspace = g_try_malloc (bytes);

  if (!workspace) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_MEMORY,
                 "%s: no memory to search %u centroids (%" G_GSIZE_FORMAT
                 " bytes): take fewer centroids",
                 afp_context_get_name (ctx), self->lists.n_centroids, bytes);
    return FALSE;
  }
  if (vptq_lists_fill (&self->lists, codebook, FALSE, workspace, vptq_run_tasks, &runner) == 0)
    return TRUE;
  g_propagate_error (error, runner.error);
  return FALSE;
}

gboolean
vptq_searcher_init (VptqSearcher *self, const float *codebook, guint n_centroids, guint length,
                    const VptqRates *rates, gboolean exact, AfpContext *ctx, GError **error)
{
  const guint own = length + (rates != NULL); /* numbers of what is searched */
  const gsize n = (gsize) n_centroids * own;
  gsize i = 0;

  while (i < (gsize) n_centroids * length && codebook[i] == 0)
    i++;
  if (i == (gsize) n_centroids * length)
    return TRUE;
  g_autofree float *scaled = g_new (float, n);
  if (rates)
    vptq_rate_vectors (codebook, length, n_centroids, rates->places, scaled);
  else
    memcpy (scaled, codebook, n * sizeof *codebook);
  self->unit = vptq_unit (codebook, (gsize) n_centroids * length);
  self->exact = exact;
  self->rated = rates != NULL;
  self->length = length;
  if (self->unit != 1)
    vptq_divide (scaled, n, self->unit);
  if (!vptq_lists_has (n_centroids, own)) {
    self->memory = g_new (float, vptq_table_floats (n_centroids, own));
    vptq_table_init (&self->table, self->memory, scaled, n_centroids, own);
    return TRUE;
  }
  self->memory = g_malloc (vptq_lists_bytes (n_centroids, own));
  vptq_lists_init (&self->lists, self->memory, n_centroids, own);
  return fill_lists (self, scaled, ctx, error);
}

void
vptq_searcher_clear (VptqSearcher *self)
{
  g_clear_pointer (&self->memory, g_free);
}

static void
search (const VptqSearcher *self, VptqMetric kind, const float *weights, const float *x, gsize n,
        guint32 *indices)
{
  if (self->lists.n_cells)
    vptq_lists_search (&self->lists, self->exact, kind, weights, x, n, indices, NULL);
  else
    vptq_search (&self->table, kind, weights, x, n, indices, NULL);
}

#define RATED_FLOATS (2 * VPTQ_MAX_LENGTH * VPTQ_MAX_LENGTH)

static void
search_rated (const VptqSearcher *self, VptqMetric kind, const float *weights, float bits,
              const float *x, gsize n, guint32 *indices)
{
  const gsize v = self->length, stride = vptq_metric_stride (kind, self->length);
  const VptqMetric own = vptq_rate_metric_kind (kind);
  const gsize step = RATED_FLOATS / MAX (vptq_metric_stride (own, self->length + 1), v + 1);
  float longer[RATED_FLOATS], metric[RATED_FLOATS];

  for (gsize i = 0; i < n; i += step) {
    const gsize some = MIN (step, n - i);

    vptq_rate_vectors (x + i * v, self->length, some, NULL, longer);
    if (kind == VPTQ_METRIC_NONE && bits == 1) {
      search (self, VPTQ_METRIC_NONE, NULL, longer, some, indices + i);
      continue;
    }
    vptq_rate_metric (kind, stride ? weights + i * stride : NULL, self->length, some, bits, metric);
    search (self, own, metric, longer, some, indices + i);
  }
}

void
vptq_searcher_search (const VptqSearcher *self, const AfpMetric *metric, gsize first, float bits,
                      const float *x, gsize n, guint32 *indices)
{
  const VptqMetric kind = (VptqMetric) (metric->data ? metric->kind : AFP_METRIC_NONE);
  const float *data =
      metric->data ? metric->data + first * afp_metric_stride (metric->kind, metric->length) : NULL;

  if (!self->memory)
    memset (indices, 0, n * sizeof *indices);
  else if (self->rated)
    search_rated (self, kind, data, bits, x, n, indices);
  else
    search (self, kind, data, x, n, indices);
}
