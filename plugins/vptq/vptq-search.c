/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vptq.h"

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
                    gboolean exact, AfpContext *ctx, GError **error)
{
  const gsize n = (gsize) n_centroids * length;
  gsize i = 0;

  while (i < n && codebook[i] == 0)
    i++;
  if (i == n)
    return TRUE;
  g_autofree float *scaled = g_memdup2 (codebook, n * sizeof *codebook);
  self->unit = vptq_unit (codebook, n);
  self->exact = exact;
  if (self->unit != 1)
    vptq_divide (scaled, n, self->unit);
  if (!vptq_lists_has (n_centroids, length)) {
    self->memory = g_new (float, vptq_table_floats (n_centroids, length));
    vptq_table_init (&self->table, self->memory, scaled, n_centroids, length);
    return TRUE;
  }
  self->memory = g_malloc (vptq_lists_bytes (n_centroids, length));
  vptq_lists_init (&self->lists, self->memory, n_centroids, length);
  return fill_lists (self, scaled, ctx, error);
}

void
vptq_searcher_clear (VptqSearcher *self)
{
  g_clear_pointer (&self->memory, g_free);
}

void
vptq_searcher_search (const VptqSearcher *self, const AfpMetric *metric, gsize first,
                      const float *x, gsize n, guint32 *indices)
{
  const float *data =
      metric->data ? metric->data + first * afp_metric_stride (metric->kind, metric->length) : NULL;

  if (!self->memory)
    memset (indices, 0, n * sizeof *indices);
  else if (self->lists.n_cells)
    vptq_lists_search (&self->lists, self->exact, (VptqMetric) metric->kind, data, x, n, indices,
                       NULL);
  else
    vptq_search (&self->table, (VptqMetric) metric->kind, data, x, n, indices, NULL);
}
