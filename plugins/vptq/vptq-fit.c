/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vptq.h"
#include "vptq-train-kernel.h"

#include <math.h>
#include <string.h>

/* --- what to train on --- */

static guint64
count_vectors (const AfpLayout *layout)
{
  return afp_layout_get_rows (layout) *
         (afp_layout_get_padded_cols (layout) / afp_layout_get_quantum (layout));
}

static gsize
max_samples (const AfpVptq *self, guint k)
{
  return (gsize) MIN ((guint64) self->samples * k, G_MAXUINT32);
}

guint64
vptq_scratch (AfpCodec *codec, const AfpLayout *layout)
{
  AfpVptq *self = AFP_VPTQ (codec);
  const AfpPlaneDesc *in = afp_layout_get_input (layout);
  VptqChildren children;

  vptq_get_children (self, layout, &children);
  if (children.codebook < 0)
    return 0;
  const guint v = children.length, k = children.n_centroids;
  const guint64 total = count_vectors (layout), n = MIN (total, max_samples (self, k));
  const guint64 weights = in->metric == AFP_METRIC_NONE ? (children.row_scale ? 1 : 0)
                                                        : afp_metric_stride (in->metric, v);
  guint64 bytes = n * (v + weights) * sizeof (float) + vptq_train_bytes (MAX (n, 1), k, v);

  if (children.row_scale && in->metric != AFP_METRIC_NONE)
    bytes += total * (v + weights) * sizeof (float);
  return bytes;
}

typedef struct {
  float *vectors;
  float *weights; /* NULL: kind NONE */
  gsize n;
  AfpMetricKind kind;
} Sample;

static void
sample_clear (Sample *sample)
{
  g_clear_pointer (&sample->vectors, g_free);
  g_clear_pointer (&sample->weights, g_free);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Sample, sample_clear)

/* With a scale per row: vectors are divided by their row's scale, and their weights multiplied by its square. */
static gboolean
sample_rows (AfpContext *ctx, gsize max, const float *scale, Sample *sample, GError **error)
{
  const AfpLayout *layout = afp_context_get_layout (ctx);
  const guint v = afp_layout_get_quantum (layout);
  const guint64 per_row = afp_layout_get_padded_cols (layout) / v, total = count_vectors (layout);
  const AfpMetricKind own = afp_context_get_metric_kind (ctx, v);
  const AfpMetricKind kind = own == AFP_METRIC_NONE ? AFP_METRIC_SCALAR : own;
  const gsize stride = afp_metric_stride (kind, v);
  g_auto (Sample) all = { 0 };

  /* A sample does not tell its rows: where a metric must be had, all vectors are taken, row after row. */
  if (own != AFP_METRIC_NONE &&
      !(all.vectors = afp_context_sample (ctx, G_MAXSIZE, v, &all.n, &all.weights, error)))
    return FALSE;
  sample->n = (gsize) MIN (total, max);
  sample->kind = kind;
  const float unit =
      vptq_unit (scale, afp_layout_get_rows (layout)); /* of weights: they are relative */
  sample->vectors = g_new (float, sample->n *v);
  sample->weights = g_new (float, sample->n *stride);
  for (gsize i = 0; i < sample->n; i++) {
    const guint64 index = afp_sample_index (afp_context_get_seed (ctx), i, sample->n, total);
    const guint64 row = index / per_row;
    float *x = sample->vectors + i * v, *w = sample->weights + i * stride;
    if (all.vectors)
      memcpy (x, all.vectors + index * v, v * sizeof *x);
    else if (!afp_context_read (ctx, row, 1, index % per_row * v, v, x, error))
      return FALSE;
    vptq_divide (x, v, scale[row]);
    for (gsize j = 0; j < stride; j++)
      w[j] = (all.weights ? all.weights[index * stride + j] : 1) * (scale[row] / unit) *
             (scale[row] / unit);
  }
  return TRUE;
}

static gboolean
sample_plane (AfpContext *ctx, gsize max, const float *scale, Sample *sample, GError **error)
{
  const guint v = afp_layout_get_quantum (afp_context_get_layout (ctx));

  sample->kind = afp_context_get_metric_kind (ctx, v);
  sample->vectors = afp_context_sample (ctx, max, v, &sample->n, &sample->weights, error);
  if (!sample->vectors)
    return FALSE;
  if (!sample->weights)
    sample->kind = AFP_METRIC_NONE;
  if (scale)
    vptq_divide (sample->vectors, sample->n * v, scale[0]);
  return TRUE;
}

static gboolean
fit_scale (AfpContext *ctx, gboolean per_row, float *scale, GError **error)
{
  const guint64 rows = afp_layout_get_rows (afp_context_get_layout (ctx));
  g_autofree double *row_square = per_row ? g_new0 (double, MAX (rows, 1)) : NULL;
  double square = 0;

  if (!afp_context_get_moments (ctx, &square, NULL, row_square, error))
    return FALSE;
  if (!row_square)
    scale[0] = (float) sqrt (square);
  for (guint64 r = 0; row_square && r < rows; r++)
    scale[r] = (float) sqrt (row_square[r]);
  return TRUE;
}

/* --- k-means on the pool --- */

typedef struct {
  AfpPool *pool;
  GError *error;
} Runner;

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

static int
run_tasks (void *pool, size_t n, void (*func) (size_t, void *), void *data)
{
  Runner *runner = pool;
  Task task = { func, data };

  return afp_parallel_for (runner->pool, n, run_task, &task, &runner->error) ? 0 : -1;
}

static gboolean
train (const AfpVptq *self, AfpContext *ctx, const VptqChildren *children, const Sample *sample,
       GError **error)
{
  const guint v = children->length, k = children->n_centroids;
  Runner runner = { afp_context_get_pool (ctx), NULL };
  float *codebook = afp_context_get_values (ctx, (guint) children->codebook);
  const float unit = vptq_unit (sample->vectors, sample->n * v);

  if (unit != 1)
    vptq_divide (sample->vectors, sample->n * v, unit);
  if (unit != 1 && afp_context_has_fit (ctx))
    vptq_divide (codebook, (gsize) k * v, unit);
  const VptqTrainJob job = {
    .length = v,
    .n_centroids = k,
    .iterations = self->iterations,
    .seed = afp_context_get_seed (ctx) ^ (self->seed * G_GUINT64_CONSTANT (0x9e3779b97f4a7c15)),
    .metric = (VptqMetric) sample->kind,
    .vectors = sample->vectors,
    .weights = sample->weights,
    .n = sample->n,
    .warm = afp_context_has_fit (ctx),
    .parallel_for = run_tasks,
    .pool = &runner,
  };
  const gsize bytes = vptq_train_bytes (sample->n, k, v);
  g_autofree gpointer workspace = bytes ? g_try_malloc (bytes) : NULL;
  if (!workspace) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_MEMORY,
                 "%s: no memory to train %u centroids on %" G_GSIZE_FORMAT
                 " vectors (%" G_GSIZE_FORMAT " bytes): lower samples=%u or centroids",
                 afp_context_get_name (ctx), k, sample->n, bytes, self->samples);
    return FALSE;
  }
  if (vptq_train (&job, workspace, codebook,
                  afp_context_get_child_metric (ctx, (guint) children->codebook), NULL) < 0) {
    g_propagate_error (error, runner.error);
    return FALSE;
  }
  for (gsize i = 0; unit != 1 && i < (gsize) k * v; i++)
    codebook[i] *= unit;
  return TRUE;
}

gboolean
vptq_fit (AfpCodec *codec, AfpContext *ctx, GError **error)
{
  AfpVptq *self = AFP_VPTQ (codec);
  VptqChildren children;
  float *scale = NULL;
  g_auto (Sample) sample = { 0 };

  vptq_get_children (self, afp_context_get_layout (ctx), &children);
  if (children.scale >= 0) {
    scale = afp_context_get_values (ctx, (guint) children.scale);
    if (!fit_scale (ctx, children.row_scale, scale, error))
      return FALSE;
  }
  if (children.codebook < 0 || afp_context_is_given (ctx, (guint) children.codebook))
    return TRUE;
  if (!(children.row_scale ? sample_rows : sample_plane) (
          ctx, max_samples (self, children.n_centroids), scale, &sample, error))
    return FALSE;
  if (sample.n == 0) /* an empty plane: the codebook is of no use */
    return TRUE;
  return train (self, ctx, &children, &sample, error);
}

G_STATIC_ASSERT ((int) AFP_METRIC_NONE == (int) VPTQ_METRIC_NONE);
G_STATIC_ASSERT ((int) AFP_METRIC_SCALAR == (int) VPTQ_METRIC_SCALAR);
G_STATIC_ASSERT ((int) AFP_METRIC_DIAGONAL == (int) VPTQ_METRIC_DIAGONAL);
G_STATIC_ASSERT ((int) AFP_METRIC_MATRIX == (int) VPTQ_METRIC_MATRIX);
