/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-feedback.h"

#include "afp-feedback-kernel.h"

#include <string.h>

/*
 * A tile of a plane, coded with feedback. Its values are taken block after block, in the order of the places, and the tile is rows by
 * blocks; in a transposed layout ("turned") it is columns by rows, a row of the codec at a time.
 */

#define BATCH 128      /* columns whose targets are kept together */
#define LEAST_ROWS 64  /* of a tile: a codec searches for many vectors at once */
#define MOST_MATRIX 64 /* longer blocks get the diagonal of their metric */
#define TURNED 256     /* columns of a turned tile, about */

/* --- blocks of whole rows -------------------------------------------------------------------------------------------- */

typedef struct {
  const AfpFeedback *feedback;
  AfpContext *ctx;
  gpointer state;
  AfpBlockBuffer *tile, column; /* of one block: its values are targets, and then what is decoded */
  guint64 cols;                 /* of the tile */
  guint quantum;
  const guint32 *places;
  const float *factor;
  guint64 rows, first, width; /* the batch's places */
  float *targets;             /* rows x width; turned: width x cols */
  float *metric;              /* of the block's vectors: the same for all rows */
  float *decoded;
  float *kept; /* (nullable): targets of the whole plane */
} FeedbackJob;

/* The column that the block at place @col / quantum starts at; turned: the row. */
static guint64
natural (const FeedbackJob *job, guint64 col)
{
  return job->places ? (guint64) job->places[col / job->quantum] * job->quantum : col;
}

/* Both kinds are exact where a block is one number. */
static AfpMetricKind
metric_kind (guint quantum)
{
  return quantum > 1 && quantum <= MOST_MATRIX ? AFP_METRIC_MATRIX : AFP_METRIC_DIAGONAL;
}

static void
fill_metric (FeedbackJob *job, guint64 col)
{
  const guint quantum = job->quantum;
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
  const gsize quanta = job->cols / job->quantum, q = col / job->quantum;

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

/* What was to be coded, for whom it may concern. */
static void
keep_targets (FeedbackJob *job, guint64 row, guint64 n_rows, guint64 col, guint64 n_cols,
              const float *targets)
{
  const guint64 cols = afp_layout_get_cols (job->ctx->layout);

  for (guint64 r = 0; job->kept && col < cols && r < n_rows; r++)
    memcpy (job->kept + (row + r) * cols + col, targets + r * n_cols,
            MIN (n_cols, cols - col) * sizeof (float));
}

/* What is decoded less what was to be coded takes the place of the latter. */
static void
keep_errors (FeedbackJob *job, guint64 col)
{
  const guint quantum = job->quantum;
  float *w = job->tile->block.values + col;

  for (guint64 r = 0; r < job->rows; r++, w += job->cols)
    for (guint i = 0; i < quantum; i++)
      w[i] -= job->decoded[r * quantum + i];
}

static gboolean
encode_column (FeedbackJob *job, guint64 col, GError **error)
{
  AfpCodecClass *klass = AFP_CODEC_GET_CLASS (job->ctx->codec);
  const guint quantum = job->quantum;
  AfpBlock *block = &job->column.block;
  float *targets = job->column.memory, *own = job->targets + (col - job->first);

  memset (targets, 0, job->column.floats * sizeof (float));
  for (guint64 r = 0; r < job->rows; r++)
    memcpy (targets + r * quantum, own + r * job->width, quantum * sizeof (float));
  block->col = natural (job, col);
  block->values = targets;
  keep_targets (job, block->row, job->rows, block->col, quantum, targets);
  fill_metric (job, col);
  if (klass->encode_block && !klass->encode_block (job->ctx->codec, job->state, block, error))
    return FALSE;
  keep_planes (job, block->col);
  block->values = job->decoded;
  block->metric = (AfpMetric){ AFP_METRIC_NONE, quantum, NULL };
  if (!klass->decode_block (job->ctx->codec, job->state, block, error))
    return FALSE;
  keep_errors (job, col);
  const guint64 next = col + quantum, end = job->first + job->width;
  const guint64 stride = job->cols;
  afp_feedback_add_product (own + quantum, job->width, job->rows, end - next,
                            job->tile->block.values + col, stride, quantum,
                            job->factor + col * stride + next, stride);
  return TRUE;
}

/* Targets of some blocks by all errors before them, then one block after the other. */
static gboolean
encode_batch (FeedbackJob *job, GError **error)
{
  const guint64 stride = job->cols;
  const float *w = job->tile->block.values;

  for (guint64 r = 0; r < job->rows; r++)
    memcpy (job->targets + r * job->width, w + r * stride + job->first,
            job->width * sizeof (float));
  afp_feedback_add_product (job->targets, job->width, job->rows, job->width, w, stride, job->first,
                            job->factor + job->first, stride);
  for (guint64 col = job->first; col < job->first + job->width; col += job->quantum)
    if (!encode_column (job, col, error))
      return FALSE;
  return TRUE;
}

static guint64
batch_width (guint quantum)
{
  return MAX (BATCH / quantum, 1) * quantum;
}

/* The rows of the tile, their blocks by their places. */
static void
permute_rows (FeedbackJob *job)
{
  const guint64 n = job->cols / job->quantum;
  g_autofree float *row = g_new (float, job->cols + 1);
  float *w = job->tile->block.values;

  for (guint64 r = 0; r < job->rows; r++, w += job->cols) {
    memcpy (row, w, job->cols * sizeof *row);
    for (guint64 i = 0; i < n; i++)
      memcpy (w + i * job->quantum, row + (gsize) job->places[i] * job->quantum,
              job->quantum * sizeof *row);
  }
}

static gboolean
encode_rows (FeedbackJob *job, GError **error)
{
  const guint quantum = job->quantum;
  const AfpTile one = { job->tile->block.row, job->rows, 0, quantum };
  g_autofree float *targets = g_new (float, job->rows *batch_width (quantum));
  g_autofree float *metric =
      g_new (float, job->rows *afp_metric_stride (metric_kind (quantum), quantum));
  g_autofree float *decoded = g_new (float, job->rows *quantum);
  gboolean ok = TRUE;

  job->targets = targets;
  job->metric = metric;
  job->decoded = decoded;
  if (job->places)
    permute_rows (job);
  afp_block_buffer_init (&job->column, job->ctx, &one, TRUE);
  for (; ok && job->first < job->cols; job->first += job->width) {
    job->width = MIN (batch_width (quantum), job->cols - job->first);
    ok = encode_batch (job, error);
  }
  afp_block_buffer_clear (&job->column);
  return ok;
}

/* --- turned: rows of whole columns ----------------------------------------------------------------------------------- */

/* One row of the codec; its target is at place @at of the batch. */
static gboolean
encode_turned_row (FeedbackJob *job, guint64 at, float *errors, GError **error)
{
  AfpCodecClass *klass = AFP_CODEC_GET_CLASS (job->ctx->codec);
  const guint64 cols = job->tile->block.n_cols, vectors = cols / job->ctx->layout->quantum;
  const guint64 place = job->first + at, row = natural (job, place);
  const float *w = job->tile->block.values + row * cols;
  const float d = *afp_feedback_get_metric (job->feedback, place);
  AfpBlock *block = &job->column.block;

  memset (job->column.memory, 0, job->column.floats * sizeof (float));
  memcpy (job->column.memory, job->targets + at * cols, cols * sizeof (float));
  block->row = row;
  block->values = job->column.memory;
  keep_targets (job, row, 1, block->col, cols, block->values);
  for (guint64 i = 0; i < vectors; i++)
    job->metric[i] = d;
  block->metric = (AfpMetric){ AFP_METRIC_SCALAR, job->ctx->layout->quantum, job->metric };
  if (klass->encode_block && !klass->encode_block (job->ctx->codec, job->state, block, error))
    return FALSE;
  for (guint i = 0; i < afp_layout_get_n_children (job->ctx->layout); i++) {
    const AfpPlaneDesc *desc = afp_layout_get_child (job->ctx->layout, i);
    const gsize n = vectors * desc->per_quantum;
    if (desc->scope == AFP_SCOPE_BLOCK && job->column.planes[i].codes)
      memcpy (job->tile->planes[i].codes + row * n, job->column.planes[i].codes,
              n * sizeof (guint32));
    if (desc->scope == AFP_SCOPE_BLOCK && job->column.planes[i].values)
      memcpy (job->tile->planes[i].values + row * n, job->column.planes[i].values,
              n * sizeof (float));
  }
  block->values = job->decoded;
  block->metric = (AfpMetric){ AFP_METRIC_NONE, job->ctx->layout->quantum, NULL };
  if (!klass->decode_block (job->ctx->codec, job->state, block, error))
    return FALSE;
  for (guint64 i = 0; i < cols; i++)
    errors[place * cols + i] = w[i] - job->decoded[i];
  return TRUE;
}

/* The lower triangle of the factor is its transpose: row j holds what goes into the target of place j. */
static gboolean
encode_turned_batch (FeedbackJob *job, float *errors, GError **error)
{
  const guint64 cols = job->tile->block.n_cols, n = job->cols;
  const float *l = job->factor + job->first * n;

  for (guint64 i = 0; i < job->width; i++)
    memcpy (job->targets + i * cols, job->tile->block.values + natural (job, job->first + i) * cols,
            cols * sizeof (float));
  afp_feedback_add_product (job->targets, cols, job->width, cols, l, n, job->first, errors, cols);
  for (guint64 i = 0; i < job->width; i++) {
    if (!encode_turned_row (job, i, errors, error))
      return FALSE;
    afp_feedback_add_product (job->targets + (i + 1) * cols, cols, job->width - i - 1, cols,
                              l + (i + 1) * n + job->first + i, n, 1,
                              errors + (job->first + i) * cols, cols);
  }
  return TRUE;
}

static gboolean
encode_turned (FeedbackJob *job, GError **error)
{
  const AfpBlock *tile = &job->tile->block;
  const AfpTile one = { 0, 1, tile->col, tile->n_cols };
  g_autofree float *targets = g_new (float, BATCH * tile->n_cols);
  g_autofree float *metric = g_new (float, tile->n_cols);
  g_autofree float *decoded = g_new (float, tile->n_cols);
  g_autofree float *errors = g_new (float, MAX (job->cols, 1) * tile->n_cols);
  gboolean ok = TRUE;

  job->targets = targets;
  job->metric = metric;
  job->decoded = decoded;
  afp_block_buffer_init (&job->column, job->ctx, &one, TRUE);
  for (; ok && job->first < job->cols; job->first += job->width) {
    job->width = MIN (BATCH, job->cols - job->first);
    ok = encode_turned_batch (job, errors, error);
  }
  afp_block_buffer_clear (&job->column);
  return ok;
}

/* --- both ------------------------------------------------------------------------------------------------------------ */

gboolean
afp_feedback_encode (const AfpFeedback *self, AfpContext *ctx, gpointer state, AfpBlockBuffer *tile,
                     float *targets, GError **error)
{
  const AfpLayout *layout = ctx->layout;
  FeedbackJob job = { .feedback = self,
                      .ctx = ctx,
                      .state = state,
                      .tile = tile,
                      .cols = afp_feedback_get_cols (self),
                      .quantum = afp_feedback_get_quantum (self),
                      .places = afp_feedback_get_places (self),
                      .factor = afp_feedback_get_factor (self),
                      .rows = tile->block.n_rows,
                      .kept = targets };

  if (layout->transposed) {
    g_return_val_if_fail (tile->block.n_rows == job.cols && job.quantum == 1, FALSE);
    return encode_turned (&job, error);
  }
  g_return_val_if_fail (tile->block.n_cols == job.cols && layout->quantum == job.quantum, FALSE);
  return encode_rows (&job, error);
}

void
afp_feedback_init_tiles (AfpTiles *tiles, const AfpLayout *layout)
{
  const guint64 rows = afp_layout_get_rows (layout), eight = 8 * (guint64) layout->quantum;

  afp_tiles_init (tiles, rows, afp_layout_get_cols (layout), layout->quantum);
  if (tiles->n_tiles == 0)
    return;
  if (layout->transposed) {
    tiles->tile_rows = rows;
    tiles->tile_cols = MIN ((TURNED + eight - 1) / eight * eight, tiles->cols);
    tiles->n_tiles = (gsize) ((tiles->cols + tiles->tile_cols - 1) / tiles->tile_cols);
    return;
  }
  tiles->tile_rows = rows == 1 ? 1 : MAX (tiles->tile_rows, LEAST_ROWS);
  tiles->tile_cols = tiles->cols;
  tiles->n_tiles = (gsize) ((rows + tiles->tile_rows - 1) / tiles->tile_rows);
}

guint64
afp_feedback_get_tile_bytes (guint64 rows, guint quantum)
{
  return rows * sizeof (float) *
         (batch_width (quantum) + quantum + afp_metric_stride (metric_kind (quantum), quantum));
}

guint64
afp_feedback_get_turned_bytes (guint64 rows, guint64 width, guint quantum)
{
  return (BATCH + 1 + rows) * width * sizeof (float) + width / quantum * sizeof (float);
}
