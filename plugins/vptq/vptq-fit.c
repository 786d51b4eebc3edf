/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vptq.h"
#include "vptq-builtin-kernel.h"
#include "vptq-rate-kernel.h"
#include "vptq-stage-kernel.h"
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
  const guint v = children.length;
  const guint k = MAX (children.codebook < 0 ? 0 : children.n_centroids, children.n_residual);
  if (k == 0)
    return 0;
  const guint64 total = count_vectors (layout), n = MIN (total, max_samples (self, k));
  const guint64 weights = in->metric == AFP_METRIC_NONE ? v : afp_metric_stride (in->metric, v);
  guint64 bytes =
      n * ((v + weights) * sizeof (float) + sizeof (AfpDraw)) + vptq_train_bytes (MAX (n, 1), k, v);

  if (self->rate_lambda > 0) {
    const VptqMetric kind = vptq_rate_metric_kind ((VptqMetric) in->metric);
    bytes += n * (v + 1 + vptq_metric_stride (kind, v + 1)) * sizeof (float) +
             vptq_train_bytes (MAX (n, 1), k, v + 1);
  }

  if (children.n_residual)
    bytes += vptq_searcher_bytes (children.n_centroids, v) + n * sizeof (float);
  return bytes;
}

guint
vptq_passes (AfpCodec *codec, const AfpLayout *layout)
{
  const AfpVptq *self = AFP_VPTQ (codec);

  return 1 + (afp_codec_feeds_back (codec) ? self->refits : 0) + (self->residual_centroids ? 1 : 0);
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

/* How the data are brought to the codebook's size. */
typedef struct {
  const float *scale, *bias; /* NULL: none */
  gboolean per_row;
} Norm;

static Norm
get_norm (AfpContext *ctx, const VptqChildren *children)
{
  return (Norm){
    children->scale >= 0 ? afp_context_get_values (ctx, (guint) children->scale) : NULL,
    children->bias >= 0 ? afp_context_get_values (ctx, (guint) children->bias) : NULL,
    children->row_scale,
  };
}

/* With a scale per row, vectors' weights are multiplied by its square. */
static gboolean
sample_draws (AfpContext *ctx, const AfpDraw *draws, gsize n, const Norm *norm, Sample *sample,
              GError **error)
{
  const AfpLayout *layout = afp_context_get_layout (ctx);
  const guint v = afp_layout_get_quantum (layout);
  const guint64 cols = afp_layout_get_cols (layout);
  const AfpMetricKind own = afp_context_get_metric_kind (ctx, v);
  const float unit = norm->per_row ? vptq_unit (norm->scale, afp_layout_get_rows (layout)) : 1;

  sample->kind = own == AFP_METRIC_NONE && norm->per_row ? AFP_METRIC_SCALAR : own;
  const gsize stride = afp_metric_stride (sample->kind, v);
  sample->n = n;
  sample->vectors = g_new (float, MAX (n * v, 1));
  sample->weights = stride ? g_new (float, MAX (n * stride, 1)) : NULL;
  for (gsize i = 0; i < n; i++) {
    const guint64 row = draws[i].row, col = draws[i].col;
    const float scale = norm->scale ? norm->scale[norm->per_row ? row : 0] : 1;
    const float factor = norm->per_row ? scale / unit : 1; /* of weights: they are relative */
    float *x = sample->vectors + i * v, *w = stride ? sample->weights + i * stride : NULL;
    if (!afp_context_read (ctx, row, 1, col, v, x, error))
      return FALSE;
    if (norm->bias)
      vptq_normalise (x, MIN (v, cols - col), norm->bias[row], scale);
    else if (norm->scale)
      vptq_divide (x, v, scale);
    if (own != AFP_METRIC_NONE)
      afp_context_read_metric (ctx, row, col, v, w);
    for (gsize j = 0; j < stride; j++)
      w[j] = (own != AFP_METRIC_NONE ? w[j] * draws[i].factor : 1) * factor * factor;
  }
  return TRUE;
}

static gboolean
sample_plane (AfpContext *ctx, gsize max, gboolean by_weight, const float *scale, Sample *sample,
              GError **error)
{
  const guint v = afp_layout_get_quantum (afp_context_get_layout (ctx));

  sample->kind = afp_context_get_metric_kind (ctx, v);
  sample->vectors = (by_weight ? afp_context_sample_by_weight : afp_context_sample) (
      ctx, max, v, &sample->n, &sample->weights, error);
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

typedef struct {
  AfpContext *ctx;
  float *scale, *bias;
} NormJob;

#define NORM_ROWS 8

static gboolean
fit_norm_rows (gsize index, gpointer user_data, GError **error)
{
  const NormJob *job = user_data;
  const AfpLayout *layout = afp_context_get_layout (job->ctx);
  const guint64 cols = afp_layout_get_cols (layout), padded = afp_layout_get_padded_cols (layout);
  const guint64 first = index * NORM_ROWS;
  const guint64 n = MIN (NORM_ROWS, afp_layout_get_rows (layout) - first);
  g_autofree float *values = g_new (float, n *padded);

  if (!afp_context_read (job->ctx, first, n, 0, padded, values, error))
    return FALSE;
  for (guint64 r = 0; r < n; r++)
    vptq_mean_deviation (values + r * padded, cols, &job->bias[first + r], &job->scale[first + r]);
  return TRUE;
}

/* Mean and deviation of each of the codec's rows. */
static gboolean
fit_norm (AfpContext *ctx, float *scale, float *bias, GError **error)
{
  NormJob job = { ctx, scale, bias };
  const guint64 rows = afp_layout_get_rows (afp_context_get_layout (ctx));

  return afp_parallel_for (afp_context_get_pool (ctx), (gsize) ((rows + NORM_ROWS - 1) / NORM_ROWS),
                           fit_norm_rows, &job, error);
}

/* --- k-means on the pool --- */

/* A training: k centroids of @length numbers in @codebook, from where they stand if @warm. */
static gboolean
run_training (const AfpVptq *self, AfpContext *ctx, const Sample *sample, guint length, guint k,
              double rate, gboolean warm, float *codebook, float *occupancy, GError **error)
{
  VptqRunner runner = { afp_context_get_pool (ctx), NULL };
  const VptqTrainJob job = {
    .length = length,
    .n_centroids = k,
    .iterations = self->iterations,
    .seed = afp_context_get_seed (ctx),
    .metric = (VptqMetric) sample->kind,
    .vectors = sample->vectors,
    .weights = sample->weights,
    .n = sample->n,
    .rate = rate,
    .warm = warm,
    .parallel_for = vptq_run_tasks,
    .pool = &runner,
  };
  const gsize bytes = vptq_train_bytes (sample->n, k, length);
  g_autofree gpointer workspace = bytes ? g_try_malloc (bytes) : NULL;

  if (!workspace) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_MEMORY,
                 "%s: no memory to train %u centroids on %" G_GSIZE_FORMAT
                 " vectors (%" G_GSIZE_FORMAT " bytes): lower samples=%u or centroids",
                 afp_context_get_name (ctx), k, sample->n, bytes, self->samples);
    return FALSE;
  }
  if (vptq_train (&job, workspace, codebook, occupancy, NULL) >= 0)
    return TRUE;
  g_propagate_error (error, runner.error);
  return FALSE;
}

/* The mean square of the sample's numbers, as errors count. */
static double
mean_square (const Sample *sample, guint v)
{
  const VptqTrainJob job = { .length = v,
                             .metric = (VptqMetric) sample->kind,
                             .vectors = sample->vectors,
                             .weights = sample->weights };
  g_autofree float *zeros = g_new0 (float, v);
  double sum = 0;

  for (gsize i = 0; i < sample->n; i++)
    sum += vptq_train_error_of (&job, i, zeros);
  return sum / ((double) sample->n * v);
}

/* Bits count: the sample and the centroids get one coordinate more, and the last ones are kept for who opens the codebook. Centroids
 * that no vector has become zeros. */
static gboolean
train_rated (const AfpVptq *self, AfpContext *ctx, const Sample *sample, guint v, guint k,
             gboolean warm, float *codebook, float *occupancy, GError **error)
{
  const AfpMetricKind kind = (AfpMetricKind) vptq_rate_metric_kind ((VptqMetric) sample->kind);
  const gsize stride = afp_metric_stride (kind, v + 1);
  g_auto (Sample) longer = { g_new (float, sample->n *(v + 1)), g_new (float, sample->n *stride),
                             sample->n, kind };
  g_autofree float *centroids = g_new (float, (gsize) k *(v + 1));

  vptq_rate_vectors (sample->vectors, v, sample->n, NULL, longer.vectors);
  vptq_rate_metric ((VptqMetric) sample->kind, sample->weights, v, sample->n, 1, longer.weights);
  vptq_rate_vectors (codebook, v, k, NULL, centroids);
  if (!run_training (self, ctx, &longer, v + 1, k, self->rate_lambda * mean_square (sample, v),
                     warm, centroids, occupancy, error))
    return FALSE;
  VptqRates *rates = g_malloc (sizeof *rates + k * sizeof (float));
  rates->unit = 1;
  rates->n = k;
  vptq_rate_cut (centroids, v, k, codebook);
  for (guint i = 0; i < k; i++) {
    rates->places[i] = centroids[(gsize) i * (v + 1) + v];
    if (rates->places[i] >= VPTQ_RATE_NEVER)
      memset (codebook + (gsize) i * v, 0, v * sizeof *codebook);
  }
  afp_context_keep (ctx, rates, g_free);
  return TRUE;
}

/* Trains @k rows of a child, a codebook, from row @first on; from where they stand if @warm. */
static gboolean
train (const AfpVptq *self, AfpContext *ctx, guint child, guint first, guint k, gboolean warm,
       const Sample *sample, GError **error)
{
  const AfpPlaneDesc *desc = afp_layout_get_child (afp_context_get_layout (ctx), child);
  const guint v = (guint) desc->cols;
  float *codebook = afp_context_get_values (ctx, child) + (gsize) first * v;
  float *occupancy = afp_context_get_child_metric (ctx, child) + first;
  const float unit = vptq_unit (sample->vectors, sample->n * v);

  if (unit != 1)
    vptq_divide (sample->vectors, sample->n * v, unit);
  if (unit != 1 && warm)
    vptq_divide (codebook, (gsize) k * v, unit);
  if (!(self->rate_lambda > 0
            ? train_rated (self, ctx, sample, v, k, warm, codebook, occupancy, error)
            : run_training (self, ctx, sample, v, k, 0, warm, codebook, occupancy, error)))
    return FALSE;
  VptqRates *rates = afp_context_get_kept (ctx);
  for (gsize i = 0; unit != 1 && i < (gsize) k * v; i++)
    codebook[i] *= unit;
  for (guint i = 0; unit != 1 && rates && i < k; i++)
    rates->places[i] *= unit;
  return TRUE;
}

/* --- passes --- */

/* For @k centroids; @groups: (nullable): of one group of columns. */
static gboolean
take_sample (const AfpVptq *self, AfpContext *ctx, const VptqChildren *children, guint k,
             const guint32 *groups, guint group, Sample *sample, GError **error)
{
  const gsize max = max_samples (self, k);
  const gboolean by_weight = self->rate_lambda == 0; /* code lengths come from counts */
  const Norm norm = get_norm (ctx, children);
  gsize n;

  if (!groups && !children->row_scale)
    return sample_plane (ctx, max, by_weight, norm.scale, sample, error);
  g_autofree AfpDraw *draws = groups ? vptq_draw_group (self, ctx, groups, group, max, &n)
                                     : afp_context_draw (ctx, max, children->length, by_weight, &n);
  return sample_draws (ctx, draws, n, &norm, sample, error);
}

static gboolean
fit_scales (AfpContext *ctx, const VptqChildren *children, GError **error)
{
  if (children->scale < 0)
    return TRUE;
  float *scale = afp_context_get_values (ctx, (guint) children->scale);
  if (children->bias < 0)
    return fit_scale (ctx, children->row_scale, scale, error);
  return fit_norm (ctx, scale, afp_context_get_values (ctx, (guint) children->bias), error);
}

static gboolean
fit_group (const AfpVptq *self, AfpContext *ctx, const VptqChildren *children,
           const guint32 *groups, guint group, gboolean warm, GError **error)
{
  const guint k = children->n_centroids;
  g_auto (Sample) sample = { 0 };

  if (!take_sample (self, ctx, children, k, groups, group, &sample, error))
    return FALSE;
  return sample.n == 0 || /* an empty plane: the codebook is of no use */
         train (self, ctx, (guint) children->codebook, group * k, k, warm, &sample, error);
}

/* The codebook, of the data as they are in this pass. */
static gboolean
fit_codebook (const AfpVptq *self, AfpContext *ctx, const VptqChildren *children, gboolean warm,
              GError **error)
{
  guint32 *groups =
      children->groups >= 0 ? afp_context_get_codes (ctx, (guint) children->groups) : NULL;

  if (children->codebook < 0 || afp_context_is_given (ctx, (guint) children->codebook))
    return TRUE;
  if (groups && afp_context_get_pass (ctx) == 0 &&
      !vptq_choose_groups (self, ctx, children, groups, error))
    return FALSE;
  for (guint g = 0; g < children->n_groups; g++)
    if (!fit_group (self, ctx, children, groups, g, warm, error))
      return FALSE;
  VptqRates *rates = afp_context_get_kept (ctx);
  if (rates && children->row_scale)
    rates->unit = vptq_unit (afp_context_get_values (ctx, (guint) children->scale),
                             afp_layout_get_rows (afp_context_get_layout (ctx)));
  return TRUE;
}

static gboolean
is_zero (const float *x, gsize n)
{
  for (gsize i = 0; i < n; i++)
    if (x[i] != 0)
      return FALSE;
  return TRUE;
}

#define SUBTRACT_VECTORS 1024

typedef struct {
  const VptqSearcher *searcher;
  const float *codebook;
  Sample *sample;
  guint length;
} SubtractJob;

static gboolean
subtract_some (gsize index, gpointer user_data, GError **error)
{
  const SubtractJob *job = user_data;
  const gsize first = index * SUBTRACT_VECTORS;
  const gsize n = MIN (SUBTRACT_VECTORS, job->sample->n - first);
  const AfpMetric metric = { job->sample->kind, job->length, job->sample->weights };
  const float unit = job->searcher->memory ? job->searcher->unit : 1;
  float *x = job->sample->vectors + first * job->length;
  guint32 indices[SUBTRACT_VECTORS];

  if (unit != 1)
    vptq_divide (x, n * job->length, unit);
  vptq_searcher_search (job->searcher, &metric, first, 1, x, n, indices);
  for (gsize i = 0; unit != 1 && i < n * job->length; i++)
    x[i] *= unit;
  vptq_subtract (job->codebook, job->length, indices, n, x);
  return TRUE;
}

/* The vectors less their nearest centroids. */
static gboolean
subtract_nearest (AfpContext *ctx, const float *codebook, guint k, guint v, Sample *sample,
                  GError **error)
{
  VptqSearcher searcher = { 0 };
  SubtractJob job = { &searcher, codebook, sample, v };
  const gsize n = (sample->n + SUBTRACT_VECTORS - 1) / SUBTRACT_VECTORS;
  const gboolean ok = vptq_searcher_init (&searcher, codebook, k, v, NULL, FALSE, ctx, error) &&
                      afp_parallel_for (afp_context_get_pool (ctx), n, subtract_some, &job, error);

  vptq_searcher_clear (&searcher);
  return ok;
}

/* The second pass: what the codebook misses of what was to be coded. */
static gboolean
fit_residual (const AfpVptq *self, AfpContext *ctx, const VptqChildren *children, GError **error)
{
  const guint child = (guint) children->residual_codebook, v = children->length;
  const gboolean warm =
      !is_zero (afp_context_get_values (ctx, child), (gsize) children->n_residual * v);
  g_autofree float *builtin = NULL;
  g_auto (Sample) sample = { 0 };

  if (!take_sample (self, ctx, children, children->n_residual, NULL, 0, &sample, error))
    return FALSE;
  if (sample.n == 0)
    return TRUE;
  if (children->codebook < 0) {
    builtin = g_new (float, children->n_centroids *v);
    vptq_builtin_fill (v, children->n_centroids, builtin);
  }
  const float *first = builtin ? builtin : afp_context_get_values (ctx, (guint) children->codebook);
  return subtract_nearest (ctx, first, children->n_centroids, v, &sample, error) &&
         train (self, ctx, child, 0, children->n_residual, warm, &sample, error);
}

/* The first pass is of the data themselves; with feedback the others are of what it makes of them. */
gboolean
vptq_fit (AfpCodec *codec, AfpContext *ctx, GError **error)
{
  AfpVptq *self = AFP_VPTQ (codec);
  const guint pass = afp_context_get_pass (ctx);
  VptqChildren children;

  vptq_get_children (self, afp_context_get_layout (ctx), &children);
  if (pass == 0)
    return fit_scales (ctx, &children, error) &&
           fit_codebook (self, ctx, &children, afp_context_has_fit (ctx), error);
  return self->residual_centroids && pass + 1 == vptq_passes (codec, NULL)
             ? fit_residual (self, ctx, &children, error)
             : fit_codebook (self, ctx, &children, TRUE, error);
}
