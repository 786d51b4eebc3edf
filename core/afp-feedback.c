/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-feedback.h"

#include "afp-error.h"
#include "afp-feedback-kernel.h"
#include "afp-pool.h"

#include <math.h>
#include <string.h>

#define PANEL 64       /* columns that are taken apart in one go */
#define CHUNK 64       /* rows of a task */
#define BATCH 128      /* columns whose targets are kept together */
#define LEAST_ROWS 64  /* of a tile: a codec searches for many vectors at once */
#define MOST_MATRIX 64 /* longer blocks get the diagonal of their metric */

struct _AfpFeedback {
  gatomicrefcount ref_count;
  AfpMoments *moments;
  guint64 cols;
  guint quantum;
  double damping, raised;
  float *factor;  /* cols x cols */
  float *metrics; /* quantum x quantum for each block */
};

/* --- the factor ---------------------------------------------------------------------------------------------------- */

typedef struct {
  float *h;
  guint64 cols, first, n; /* the panel's columns */
  guint quantum;
  float *panel; /* n x first: the negated panel, transposed */
} FactorJob;

static gsize
count_chunks (guint64 rows)
{
  return (gsize) ((rows + CHUNK - 1) / CHUNK);
}

static gboolean
solve_chunk (gsize index, gpointer user_data, GError **error)
{
  const FactorJob *job = user_data;
  const guint64 row = index * CHUNK, n_rows = MIN (CHUNK, job->first - row);
  float *a = job->h + row * job->cols + job->first;

  afp_feedback_solve (a, job->cols, n_rows, job->h + job->first * job->cols + job->first, job->cols,
                      job->n);
  afp_feedback_transpose (a, job->cols, n_rows, job->n, job->panel + row, job->first);
  return TRUE;
}

static gboolean
update_chunk (gsize index, gpointer user_data, GError **error)
{
  const FactorJob *job = user_data;
  const guint64 row = index * CHUNK, n_rows = MIN (CHUNK, job->first - row);
  float *h = job->h + row * job->cols;

  afp_feedback_add_product (h + row, job->cols, n_rows, job->first - row, h + job->first, job->cols,
                            job->n, job->panel + row, job->first);
  return TRUE;
}

/* Rows of R become rows of U, whose blocks on the diagonal are 1; there R stays. */
static gboolean
divide_chunk (gsize index, gpointer user_data, GError **error)
{
  const FactorJob *job = user_data;
  const guint64 row = index * CHUNK, end = MIN (row + CHUNK, job->cols);

  for (guint64 col = (row / job->quantum + 1) * job->quantum; col < job->cols; col += job->quantum)
    afp_feedback_divide (job->h + row * job->cols + col, job->cols, MIN (end, col) - row,
                         job->h + col * job->cols + col, job->cols, job->quantum);
  return TRUE;
}

/* R, R R^T = H. FALSE without error: not positive definite */
static gboolean
factorise (AfpFeedback *self, float *panel, AfpPool *pool, GError **error)
{
  FactorJob job = { .h = self->factor, .cols = self->cols, .panel = panel };

  for (guint64 end = self->cols; end > 0; end = job.first) {
    job.first = (end - 1) / PANEL * PANEL;
    job.n = end - job.first;
    if (!afp_feedback_factor (job.h + job.first * job.cols + job.first, job.cols, job.n))
      return FALSE;
    const gsize n = count_chunks (job.first);
    if (!afp_parallel_for (pool, n, solve_chunk, &job, error) ||
        !afp_parallel_for (pool, n, update_chunk, &job, error))
      return FALSE;
  }
  return TRUE;
}

/* D, and U in place of R. */
static gboolean
split (AfpFeedback *self, AfpPool *pool, GError **error)
{
  FactorJob job = { .h = self->factor, .cols = self->cols, .quantum = self->quantum };

  for (guint64 col = 0; col < self->cols; col += self->quantum)
    afp_feedback_square (self->factor + col * self->cols + col, self->cols, self->quantum,
                         self->metrics + col * self->quantum);
  return afp_parallel_for (pool, count_chunks (self->cols), divide_chunk, &job, error);
}

/* The upper triangle of H over the mean of its diagonal, damped. */
static void
fill (AfpFeedback *self, double mean, float *row)
{
  const guint64 size = afp_moments_get_size (self->moments);

  for (guint64 i = 0; i < self->cols; i++) {
    memset (row, 0, (i + 1) * sizeof *row);
    if (i < size)
      afp_moments_read_row (self->moments, i, row);
    for (guint64 j = 0; j < i; j++)
      self->factor[j * self->cols + i] = (float) (row[j] / mean);
    self->factor[i * self->cols + i] = (float) (row[i] / mean + self->raised);
  }
}

static gboolean
get_mean (const AfpMoments *moments, double *mean, GError **error)
{
  const guint64 size = afp_moments_get_size (moments);
  g_autofree float *diagonal = g_new (float, size + 1);
  double sum = 0;

  afp_moments_read_diagonal (moments, 0, size, diagonal);
  for (guint64 i = 0; i < size; i++)
    sum += diagonal[i];
  if (!isfinite (sum) || sum < 0) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_CODEC,
                 "the moments of %" G_GUINT64_FORMAT
                 " inputs sum up to %g: they are of no use for feedback; calibrate anew, or set "
                 "feedback=false",
                 size, sum);
    return FALSE;
  }
  *mean = sum > 0 ? sum / (double) size : 1;
  return TRUE;
}

static gboolean
fill_and_factorise (AfpFeedback *self, AfpPool *pool, GError **error)
{
  g_autofree float *scratch = g_try_new (float, MAX (self->cols, 1) * PANEL);
  GError *local = NULL;
  double mean;

  if (!get_mean (self->moments, &mean, error))
    return FALSE;
  if (!scratch || !self->factor || !self->metrics) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_MEMORY,
                 "no memory for the feedback of %" G_GUINT64_FORMAT " columns (%" G_GUINT64_FORMAT
                 " bytes): set feedback=false",
                 self->cols, afp_feedback_get_bytes (self->cols, self->quantum));
    return FALSE;
  }
  for (self->raised = self->damping;; self->raised = MIN (self->raised * 10, 1)) {
    fill (self, mean, scratch);
    if (factorise (self, scratch, pool, &local))
      return split (self, pool, error);
    if (local) {
      g_propagate_error (error, local);
      return FALSE;
    }
    if (self->raised >= 1)
      break;
  }
  g_set_error (error, AFP_ERROR, AFP_ERROR_CODEC,
               "the moments of %" G_GUINT64_FORMAT " inputs, from %" G_GUINT64_FORMAT
               " samples, are not positive definite, not even with damping=1: calibrate anew, or "
               "set feedback=false",
               afp_moments_get_size (self->moments), afp_moments_get_n_samples (self->moments));
  return FALSE;
}

AfpFeedback *
afp_feedback_new (AfpMoments *moments, guint64 cols, guint quantum, double damping, AfpPool *pool,
                  GError **error)
{
  g_autoptr (AfpFeedback) self = g_new0 (AfpFeedback, 1);

  g_atomic_ref_count_init (&self->ref_count);
  self->moments = afp_moments_ref (moments);
  self->cols = cols;
  self->quantum = quantum;
  self->damping = damping;
  self->factor = g_try_malloc_n (MAX (cols, 1), MAX (cols, 1) * sizeof (float));
  self->metrics = g_try_malloc_n (MAX (cols, 1), quantum * sizeof (float));
  return fill_and_factorise (self, pool, error) ? g_steal_pointer (&self) : NULL;
}

AfpFeedback *
afp_feedback_ref (AfpFeedback *self)
{
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

void
afp_feedback_unref (AfpFeedback *self)
{
  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;
  afp_moments_unref (self->moments);
  g_free (self->factor);
  g_free (self->metrics);
  g_free (self);
}

gboolean
afp_feedback_is_of (const AfpFeedback *self, const AfpMoments *moments, guint64 cols, guint quantum,
                    double damping)
{
  return self->moments == moments && self->cols == cols && self->quantum == quantum &&
         self->damping == damping;
}

double
afp_feedback_get_damping (const AfpFeedback *self)
{
  return self->raised;
}

const float *
afp_feedback_get_metric (const AfpFeedback *self, guint64 col)
{
  return self->metrics + col * self->quantum;
}

const float *
afp_feedback_get_factor (const AfpFeedback *self)
{
  return self->factor;
}

/* --- a tile --------------------------------------------------------------------------------------------------------- */

typedef struct {
  const AfpFeedback *feedback;
  AfpContext *ctx;
  gpointer state;
  AfpBlockBuffer *tile, column; /* of one block: its values are targets, and then what is decoded */
  guint64 rows, first, width;   /* the batch's columns */
  float *targets;               /* rows x width */
  float *metric;                /* of the block's vectors: the same for all rows */
  float *decoded;
} FeedbackJob;

/* Both kinds are exact where a block is one number. */
static AfpMetricKind
metric_kind (guint quantum)
{
  return quantum > 1 && quantum <= MOST_MATRIX ? AFP_METRIC_MATRIX : AFP_METRIC_DIAGONAL;
}

static void
fill_metric (FeedbackJob *job, guint64 col)
{
  const guint quantum = job->feedback->quantum;
  const AfpMetricKind kind = metric_kind (quantum);
  const gsize stride = afp_metric_stride (kind, quantum);
  const float *d = afp_feedback_get_metric (job->feedback, col);

  for (gsize i = 0; i < stride; i++)
    job->metric[i] = kind == AFP_METRIC_MATRIX ? d[i] : d[i * (quantum + 1)];
  for (guint64 r = 1; r < job->rows; r++)
    memcpy (job->metric + r * stride, job->metric, stride * sizeof (float));
  job->column.block.metric = (AfpMetric){ kind, quantum, job->metric };
}

/* @n numbers or symbols of each row: from a block of one quantum to that quantum of the tile. */
static void
keep (FeedbackJob *job, guint64 col, gpointer to, gconstpointer from, gsize n)
{
  const gsize quanta = job->feedback->cols / job->feedback->quantum,
              q = col / job->feedback->quantum;

  for (guint64 r = 0; to && r < job->rows; r++)
    memcpy ((float *) to + (r * quanta + q) * n, (const float *) from + r * n, n * sizeof (float));
}

static void
keep_planes (FeedbackJob *job, guint64 col)
{
  for (guint i = 0; i < afp_layout_get_n_children (job->ctx->layout); i++) {
    const AfpPlaneDesc *desc = afp_layout_get_child (job->ctx->layout, i);
    const AfpBlockPlane *from = &job->column.planes[i];
    AfpBlockPlane *to = &job->tile->planes[i];
    const gsize vectors = desc->vector ? desc->per_quantum / desc->vector : 0;
    if (desc->scope != AFP_SCOPE_BLOCK)
      continue;
    keep (job, col, to->codes, from->codes, desc->per_quantum);
    keep (job, col, to->values, from->values, desc->per_quantum);
    keep (job, col, to->metric, from->metric,
          vectors * afp_metric_stride (desc->metric, desc->vector));
    if (to->quantizer_codes)
      keep (job, col, to->quantizer_codes, from->quantizer_codes,
            vectors * afp_quantizer_get_n_codes (to->quantizer));
  }
}

/* What is decoded less what was to be coded takes the place of the latter. */
static void
keep_errors (FeedbackJob *job, guint64 col)
{
  const guint quantum = job->feedback->quantum;
  float *w = job->tile->block.values + col;

  for (guint64 r = 0; r < job->rows; r++, w += job->feedback->cols)
    for (guint i = 0; i < quantum; i++)
      w[i] -= job->decoded[r * quantum + i];
}

static gboolean
encode_column (FeedbackJob *job, guint64 col, GError **error)
{
  AfpCodecClass *klass = AFP_CODEC_GET_CLASS (job->ctx->codec);
  const guint quantum = job->feedback->quantum;
  AfpBlock *block = &job->column.block;
  float *targets = job->column.memory, *own = job->targets + (col - job->first);

  memset (targets, 0, job->column.floats * sizeof (float));
  for (guint64 r = 0; r < job->rows; r++)
    memcpy (targets + r * quantum, own + r * job->width, quantum * sizeof (float));
  block->col = col;
  block->values = targets;
  fill_metric (job, col);
  if (klass->encode_block && !klass->encode_block (job->ctx->codec, job->state, block, error))
    return FALSE;
  keep_planes (job, col);
  block->values = job->decoded;
  block->metric = (AfpMetric){ AFP_METRIC_NONE, quantum, NULL };
  if (!klass->decode_block (job->ctx->codec, job->state, block, error))
    return FALSE;
  keep_errors (job, col);
  const guint64 next = col + quantum, end = job->first + job->width;
  const guint64 stride = job->feedback->cols;
  afp_feedback_add_product (own + quantum, job->width, job->rows, end - next,
                            job->tile->block.values + col, stride, quantum,
                            job->feedback->factor + col * stride + next, stride);
  return TRUE;
}

/* Targets of some blocks by all errors before them, then one block after the other. */
static gboolean
encode_batch (FeedbackJob *job, GError **error)
{
  const guint64 stride = job->feedback->cols;
  const float *w = job->tile->block.values;

  for (guint64 r = 0; r < job->rows; r++)
    memcpy (job->targets + r * job->width, w + r * stride + job->first,
            job->width * sizeof (float));
  afp_feedback_add_product (job->targets, job->width, job->rows, job->width, w, stride, job->first,
                            job->feedback->factor + job->first, stride);
  for (guint64 col = job->first; col < job->first + job->width; col += job->feedback->quantum)
    if (!encode_column (job, col, error))
      return FALSE;
  return TRUE;
}

static guint64
batch_width (guint quantum)
{
  return MAX (BATCH / quantum, 1) * quantum;
}

gboolean
afp_feedback_encode (const AfpFeedback *self, AfpContext *ctx, gpointer state, AfpBlockBuffer *tile,
                     GError **error)
{
  const guint64 rows = tile->block.n_rows;
  const AfpTile quantum = { tile->block.row, rows, 0, self->quantum };
  const AfpMetricKind kind = metric_kind (self->quantum);
  g_autofree float *targets = g_new (float, rows *batch_width (self->quantum));
  g_autofree float *metric = g_new (float, rows *afp_metric_stride (kind, self->quantum));
  g_autofree float *decoded = g_new (float, rows * self->quantum);
  FeedbackJob job = { .feedback = self,
                      .ctx = ctx,
                      .state = state,
                      .tile = tile,
                      .rows = rows,
                      .targets = targets,
                      .metric = metric,
                      .decoded = decoded };
  gboolean ok = TRUE;

  g_return_val_if_fail (tile->block.n_cols == self->cols && ctx->layout->quantum == self->quantum,
                        FALSE);
  afp_block_buffer_init (&job.column, ctx, &quantum, TRUE);
  for (; ok && job.first < self->cols; job.first += job.width) {
    job.width = MIN (batch_width (self->quantum), self->cols - job.first);
    ok = encode_batch (&job, error);
  }
  afp_block_buffer_clear (&job.column);
  return ok;
}

void
afp_feedback_init_tiles (AfpTiles *tiles, guint64 rows, guint64 cols, guint quantum)
{
  afp_tiles_init (tiles, rows, cols, quantum);
  if (tiles->n_tiles == 0)
    return;
  tiles->tile_rows = rows == 1 ? 1 : MAX (tiles->tile_rows, LEAST_ROWS);
  tiles->tile_cols = tiles->cols;
  tiles->n_tiles = (gsize) ((rows + tiles->tile_rows - 1) / tiles->tile_rows);
}

/* --- what it takes --------------------------------------------------------------------------------------------------- */

guint64
afp_feedback_get_bytes (guint64 cols, guint quantum)
{
  return (cols + quantum) * cols * sizeof (float);
}

guint64
afp_feedback_get_scratch (guint64 cols)
{
  return (PANEL + 1) * cols * sizeof (float);
}

guint64
afp_feedback_get_tile_bytes (guint64 rows, guint quantum)
{
  return rows * sizeof (float) *
         (batch_width (quantum) + quantum + afp_metric_stride (metric_kind (quantum), quantum));
}
