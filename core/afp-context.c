/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-codec-private.h"
#include "afp-error.h"
#include "afp-pool.h"

#include <math.h>
#include <string.h>

static AfpContext *
new_context (AfpCodec *codec, AfpLayout *layout, const char *name, AfpPool *pool)
{
  AfpContext *ctx = g_new0 (AfpContext, 1);

  ctx->codec = g_object_ref (codec);
  ctx->layout = afp_layout_ref (layout);
  ctx->name = g_strdup (name);
  ctx->pool = pool;
  ctx->children = g_new0 (AfpContextChild, afp_layout_get_n_children (layout));
  return ctx;
}

AfpContext *
afp_context_new (AfpCodec *codec, AfpLayout *layout, const char *name, AfpPool *pool)
{
  AfpContext *ctx = new_context (codec, layout, name, pool);

  for (guint i = 0; i < afp_layout_get_n_children (layout); i++) {
    const AfpPlaneDesc *desc = afp_layout_get_child (layout, i);
    if (desc->scope == AFP_SCOPE_BLOCK)
      continue;
    if (desc->kind == AFP_KIND_CODE)
      ctx->children[i].codes = g_new0 (guint32, desc->rows * desc->cols);
    else
      ctx->children[i].values = g_new0 (float, desc->rows * desc->cols);
    if (desc->metric != AFP_METRIC_NONE) {
      gsize m =
          desc->rows * desc->cols / desc->vector * afp_metric_stride (desc->metric, desc->vector);
      ctx->children[i].metric = g_new (float, m);
      for (gsize j = 0; j < m; j++)
        ctx->children[i].metric[j] = 1;
    }
  }
  return ctx;
}

/* Without the arrays of the children: what a recipe from outside speaks of is not believed before its planes are there. */
AfpContext *
afp_context_new_decoding (AfpCodec *codec, AfpLayout *layout, const char *name)
{
  AfpContext *ctx = new_context (codec, layout, name, NULL);

  ctx->decoding = TRUE;
  return ctx;
}

/* The array of a child, once its plane was opened. */
gboolean
afp_context_add_array (AfpContext *ctx, guint child, GError **error)
{
  const AfpPlaneDesc *desc = afp_layout_get_child (ctx->layout, child);
  const gsize n = MAX (desc->rows * desc->cols, 1);
  gpointer array = g_try_malloc0_n (n, sizeof (float));

  if (!array) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_MEMORY,
                 "no memory for plane '%s' of '%s', %" G_GUINT64_FORMAT " x %" G_GUINT64_FORMAT,
                 desc->name, ctx->name, desc->rows, desc->cols);
    return FALSE;
  }
  if (desc->kind == AFP_KIND_CODE)
    ctx->children[child].codes = array;
  else
    ctx->children[child].values = array;
  return TRUE;
}

void
afp_context_free (AfpContext *ctx)
{
  for (guint i = 0; i < afp_layout_get_n_children (ctx->layout); i++) {
    g_free (ctx->children[i].values);
    g_free (ctx->children[i].codes);
    g_free (ctx->children[i].metric);
    g_clear_object (&ctx->children[i].quantizer);
  }
  g_free (ctx->children);
  g_free (ctx->column_weights);
  afp_context_keep (ctx, NULL, NULL);
  g_clear_pointer (&ctx->matrix, afp_matrix_unref);
  afp_layout_unref (ctx->layout);
  g_object_unref (ctx->codec);
  g_free (ctx->name);
  g_free (ctx);
}

/* @matrix: in rows and columns of the plane, or the vectors that a quantizer is fitted on; the metric: of the vectors in row
 * order. */
void
afp_context_set_data (AfpContext *ctx, AfpMatrix *matrix, AfpMetricKind kind, guint length,
                      const float *data)
{
  const guint64 rows = afp_matrix_get_rows (matrix), cols = afp_matrix_get_cols (matrix);

  if (rows != ctx->layout->input.rows || cols != ctx->layout->input.cols) {
    AfpLayout *resized = afp_layout_resize (ctx->layout, rows, cols);
    afp_layout_unref (ctx->layout);
    ctx->layout = resized;
  }
  g_clear_pointer (&ctx->matrix, afp_matrix_unref);
  ctx->matrix = ctx->layout->flat         ? afp_matrix_reshape (matrix, 1, rows * cols)
                : ctx->layout->transposed ? afp_matrix_transpose (matrix)
                                          : afp_matrix_ref (matrix);
  ctx->metric_kind = data && length ? kind : AFP_METRIC_NONE;
  ctx->metric_length = length;
  ctx->metric_data = data;
}

void
afp_context_set_columns (AfpContext *ctx, float *weights, guint64 n, float least)
{
  g_free (ctx->column_weights);
  ctx->column_weights = weights;
  ctx->n_columns = n;
  ctx->least_weight = least;
}

/**
 * afp_context_keep:
 * @ctx: a context, in fit
 * @kept: (nullable): what open is to have; what was kept before is freed
 * @free: (nullable): frees it
 *
 * Hands on what only the encoder needs, and no plane holds.
 */
void
afp_context_keep (AfpContext *ctx, gpointer kept, GDestroyNotify free)
{
  if (ctx->kept && ctx->free_kept)
    ctx->free_kept (ctx->kept);
  ctx->kept = kept;
  ctx->free_kept = free;
}

gpointer
afp_context_get_kept (AfpContext *ctx)
{
  return ctx->kept;
}

const AfpLayout *
afp_context_get_layout (AfpContext *ctx)
{
  return ctx->layout;
}

float *
afp_context_get_values (AfpContext *ctx, guint child)
{
  g_return_val_if_fail (child < afp_layout_get_n_children (ctx->layout), NULL);
  return ctx->children[child].values;
}

guint32 *
afp_context_get_codes (AfpContext *ctx, guint child)
{
  g_return_val_if_fail (child < afp_layout_get_n_children (ctx->layout), NULL);
  return ctx->children[child].codes;
}

float *
afp_context_get_child_metric (AfpContext *ctx, guint child)
{
  g_return_val_if_fail (child < afp_layout_get_n_children (ctx->layout), NULL);
  return ctx->children[child].metric;
}

AfpQuantizer *
afp_context_get_quantizer (AfpContext *ctx, guint child)
{
  g_return_val_if_fail (child < afp_layout_get_n_children (ctx->layout), NULL);
  return ctx->children[child].quantizer;
}

gboolean
afp_context_has_fit (AfpContext *ctx)
{
  return ctx->fitted;
}

gboolean
afp_context_is_given (AfpContext *ctx, guint child)
{
  g_return_val_if_fail (child < afp_layout_get_n_children (ctx->layout), FALSE);
  return ctx->children[child].given;
}

gboolean
afp_context_is_decoding (AfpContext *ctx)
{
  return ctx->decoding;
}

const char *
afp_context_get_name (AfpContext *ctx)
{
  return ctx->name;
}

AfpPool *
afp_context_get_pool (AfpContext *ctx)
{
  return ctx->pool;
}

/**
 * afp_context_get_seed:
 * @ctx: a context
 *
 * Returns: a seed for random choices that depends on the tensor's name, the plane's path (FNV-1a) and the codec's property seed= alone
 */
guint64
afp_context_get_seed (AfpContext *ctx)
{
  guint64 hash = G_GUINT64_CONSTANT (14695981039346656037);

  for (const char *p = ctx->name; *p; p++)
    hash = (hash ^ (guint8) *p) * G_GUINT64_CONSTANT (1099511628211);
  return hash ^ afp_codec_get_seed (ctx->codec) * G_GUINT64_CONSTANT (0x9e3779b97f4a7c15);
}

guint
afp_context_get_pass (AfpContext *ctx)
{
  return ctx->pass;
}

gboolean
afp_context_read (AfpContext *ctx, guint64 row, guint64 n_rows, guint64 col, guint64 n_cols,
                  float *out, GError **error)
{
  g_return_val_if_fail (ctx->matrix != NULL, FALSE);
  return afp_matrix_read (ctx->matrix, row, n_rows, col, n_cols, out, error);
}

/* --- metrics ---------------------------------------------------------------------------------------------------- */

/* Vectors of one length carry a metric; what do vectors of another length have? */
AfpMetricKind
afp_metric_regroup_kind (AfpMetricKind kind, guint from_length, guint to_length)
{
  if (kind == AFP_METRIC_NONE || from_length == to_length)
    return kind;
  if (from_length % to_length == 0) /* parts of the old vectors */
    return kind;
  return AFP_METRIC_DIAGONAL; /* parts of several old vectors */
}

AfpMetricKind
afp_context_get_metric_kind (AfpContext *ctx, guint length)
{
  if (ctx->metric_kind == AFP_METRIC_NONE && ctx->column_weights)
    return ctx->layout->transposed ? AFP_METRIC_SCALAR : AFP_METRIC_DIAGONAL;
  return afp_metric_regroup_kind (ctx->metric_kind, ctx->metric_length, length);
}

/* Of the tensor's column that stands in column @col: of all rows in one, if blocks cross rows or the plane is what is left of that. */
static float
column_weight (AfpContext *ctx, guint64 col)
{
  const AfpPlaneDesc *in = &ctx->layout->input;
  guint64 own = ctx->layout->flat ? col % in->cols : col;

  if (col >= afp_layout_get_cols (ctx->layout))
    return ctx->least_weight;
  if (in->rows == 1 && in->cols >= 2 * ctx->n_columns)
    own %= ctx->n_columns;
  return own < ctx->n_columns ? ctx->column_weights[own] : ctx->least_weight;
}

/* Weight of element @offset of a vector with metric @g. */
static float
element_weight (AfpMetricKind kind, guint length, const float *g, guint offset)
{
  switch (kind) {
  case AFP_METRIC_SCALAR:
    return g[0];
  case AFP_METRIC_DIAGONAL:
    return g[offset];
  case AFP_METRIC_MATRIX:
    return g[offset * length + offset];
  default:
    return 1;
  }
}

static void
fill_one_metric (AfpContext *ctx, guint length, guint64 row, guint64 col, float *out)
{
  const guint from = ctx->metric_length;
  const gsize stride = afp_metric_stride (ctx->metric_kind, from);
  const guint64 cols = afp_layout_get_cols (ctx->layout);
  const guint64 first = row * cols + col;

  if (from % length == 0) {
    const float *g = ctx->metric_data + first / from * stride;
    const guint offset = (guint) (first % from);
    if (col >= cols)
      memset (out, 0, afp_metric_stride (ctx->metric_kind, length) * sizeof *out);
    else if (ctx->metric_kind == AFP_METRIC_SCALAR)
      out[0] = g[0];
    else if (ctx->metric_kind == AFP_METRIC_DIAGONAL)
      memcpy (out, g + offset, length * sizeof *out);
    else
      for (guint i = 0; i < length; i++)
        memcpy (out + i * length, g + (offset + i) * from + offset, length * sizeof *out);
    return;
  }
  for (guint i = 0; i < length; i++)
    out[i] = col + i >= cols ? 0
                             : element_weight (ctx->metric_kind, from,
                                               ctx->metric_data + (first + i) / from * stride,
                                               (guint) ((first + i) % from));
}

void
afp_context_fill_metric (AfpContext *ctx, guint length, guint64 row, guint64 col, gsize n_vectors,
                         float *out)
{
  const gsize stride = afp_metric_stride (afp_context_get_metric_kind (ctx, length), length);

  if (ctx->metric_kind == AFP_METRIC_NONE && ctx->column_weights && ctx->layout->transposed)
    for (gsize i = 0; i < n_vectors; i++)
      out[i] = row < ctx->n_columns ? ctx->column_weights[row] : ctx->least_weight;
  else if (ctx->metric_kind == AFP_METRIC_NONE && ctx->column_weights)
    for (gsize i = 0; i < n_vectors * length; i++)
      out[i] = column_weight (ctx, col + i);
  else
    for (gsize i = 0; i < n_vectors; i++)
      fill_one_metric (ctx, length, row, col + i * length, out + i * stride);
}

void
afp_context_read_metric (AfpContext *ctx, guint64 row, guint64 col, guint length, float *out)
{
  afp_context_fill_metric (ctx, length, row, col, 1, out);
}

/* --- moments ----------------------------------------------------------------------------------------------------- */

typedef struct {
  AfpContext *ctx;
  AfpTiles tiles;
  double *sums;
  float *peaks;
  double *rows;
} MomentJob;

static gboolean
moment_tile (gsize index, gpointer user_data, GError **error)
{
  MomentJob *job = user_data;
  const AfpTile tile = afp_tiles_get (&job->tiles, index);
  g_autofree float *values = g_new (float, tile.n_rows *tile.n_cols);
  double sum = 0;
  float peak = 0;

  if (!afp_matrix_read (job->ctx->matrix, tile.row, tile.n_rows, tile.col, tile.n_cols, values,
                        error))
    return FALSE;
  for (guint64 r = 0; r < tile.n_rows; r++) {
    double row_sum = 0;
    for (guint64 c = 0; c < tile.n_cols; c++) {
      const float x = values[r * tile.n_cols + c];
      row_sum += (double) x * x;
      peak = MAX (peak, fabsf (x));
    }
    if (job->rows && tile.n_cols == job->tiles.cols)
      job->rows[tile.row + r] = row_sum;
    sum += row_sum;
  }
  job->sums[index] = sum;
  job->peaks[index] = peak;
  return TRUE;
}

/**
 * afp_context_get_moments: (skip)
 * @ctx: a context, in fit
 * @mean_square: (out) (optional): mean square of all elements
 * @max_abs: (out) (optional): largest magnitude
 * @row_mean_square: (nullable): one double for each row, to be filled
 * @error: return location
 *
 * Sums in double and in a fixed order: the same for any number of threads.
 *
 * Returns: %FALSE if the data cannot be read
 */
gboolean
afp_context_get_moments (AfpContext *ctx, double *mean_square, float *max_abs,
                         double *row_mean_square, GError **error)
{
  const guint64 rows = afp_layout_get_rows (ctx->layout), cols = afp_layout_get_cols (ctx->layout);
  MomentJob job = { .ctx = ctx, .rows = row_mean_square };
  double sum = 0;
  float peak = 0;

  afp_tiles_init (&job.tiles, rows, cols, 1);
  g_autofree double *sums = job.sums = g_new (double, job.tiles.n_tiles + 1);
  g_autofree float *peaks = job.peaks = g_new (float, job.tiles.n_tiles + 1);
  if (!afp_parallel_for (ctx->pool, job.tiles.n_tiles, moment_tile, &job, error))
    return FALSE;
  for (gsize i = 0; i < job.tiles.n_tiles; i++) {
    sum += sums[i];
    peak = MAX (peak, peaks[i]);
  }
  if (row_mean_square) {
    if (rows == 1)
      row_mean_square[0] = sum;
    for (guint64 r = 0; r < rows; r++)
      row_mean_square[r] /= (double) cols;
  }
  if (mean_square)
    *mean_square = sum / ((double) rows * (double) cols);
  if (max_abs)
    *max_abs = peak;
  return TRUE;
}

/* --- block buffers ---------------------------------------------------------------------------------------------- */

static gsize
child_count (AfpContext *ctx, guint child, const AfpTile *tile)
{
  return tile->n_rows * (tile->n_cols / ctx->layout->quantum) *
         afp_layout_get_child (ctx->layout, child)->per_quantum;
}

void
afp_block_buffer_init (AfpBlockBuffer *buffer, AfpContext *ctx, const AfpTile *tile,
                       gboolean encoding)
{
  const guint n = afp_layout_get_n_children (ctx->layout), quantum = ctx->layout->quantum;
  const AfpMetricKind kind =
      encoding && !ctx->fed_back ? afp_context_get_metric_kind (ctx, quantum) : AFP_METRIC_NONE;
  gsize size = tile->n_rows * tile->n_cols;

  if (kind != AFP_METRIC_NONE)
    size += tile->n_rows * (tile->n_cols / quantum) * afp_metric_stride (kind, quantum);
  for (guint pass = 0; pass < 2; pass++) {
    float *next = NULL;
    if (pass == 1) {
      buffer->floats = size;
      buffer->memory = g_malloc0 (MAX (size, 1) * sizeof (float));
      buffer->planes = g_new0 (AfpBlockPlane, MAX (n, 1));
      buffer->block = (AfpBlock){ tile->row,     tile->n_rows,   tile->col,
                                  tile->n_cols,  buffer->memory, { kind, quantum, NULL },
                                  buffer->planes };
      next = (float *) buffer->memory + tile->n_rows * tile->n_cols;
      if (kind != AFP_METRIC_NONE) {
        buffer->block.metric.data = next;
        for (guint64 r = 0; r < tile->n_rows; r++) {
          const gsize quanta = tile->n_cols / quantum;
          afp_context_fill_metric (ctx, quantum, tile->row + r, tile->col, quanta, next);
          next += quanta * afp_metric_stride (kind, quantum);
        }
      }
    }
    for (guint i = 0; i < n; i++) {
      const AfpPlaneDesc *desc = afp_layout_get_child (ctx->layout, i);
      AfpQuantizer *quantizer = ctx->children[i].quantizer;
      if (desc->scope != AFP_SCOPE_BLOCK)
        continue;
      const gsize count = child_count (ctx, i, tile);
      const gsize n_vectors = desc->vector ? count / desc->vector : 0;
      const gsize codes =
          encoding && quantizer ? n_vectors * afp_quantizer_get_n_codes (quantizer) : 0;
      const gsize metric =
          encoding && !quantizer ? n_vectors * afp_metric_stride (desc->metric, desc->vector) : 0;
      if (pass == 0) {
        size += count + codes + metric;
        continue;
      }
      AfpBlockPlane *plane = &buffer->planes[i];
      if (desc->kind == AFP_KIND_CODE)
        plane->codes = (guint32 *) next;
      else
        plane->values = next;
      next += count;
      plane->quantizer = encoding ? quantizer : NULL;
      plane->quantizer_codes = codes ? (guint32 *) next : NULL;
      next += codes;
      plane->metric = metric ? next : NULL;
      next += metric;
    }
  }
}

void
afp_block_buffer_clear (AfpBlockBuffer *buffer)
{
  g_free (buffer->memory);
  g_free (buffer->planes);
}
