/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vptq.h"
#include "vptq-builtin-kernel.h"
#include "vptq-kernel.h"

#include <math.h>
#include <string.h>

/* Blocks of codes: opened from what a decoder will have, searched, looked up. */

typedef struct {
  VptqChildren children;
  guint length;
  guint n_centroids;
  VptqTable table;
  float *storage; /* of the table; NULL while decoding */
  float *codebook;
  float *scale; /* NULL: none */
  float unit;   /* of the table */
  AfpMetricKind residual_metric;
} VptqState;

void
vptq_close (AfpCodec *codec, gpointer user_state)
{
  VptqState *state = user_state;

  g_free (state->storage);
  g_free (state->codebook);
  g_free (state->scale);
  g_free (state);
}

/* A copy of a child's numbers, or NULL if one of them is none. */
static float *
copy_child (AfpContext *ctx, guint child, GError **error)
{
  const AfpPlaneDesc *desc = afp_layout_get_child (afp_context_get_layout (ctx), child);
  const gsize n = desc->rows * desc->cols;
  const float *values = afp_context_get_values (ctx, child);

  for (gsize i = 0; i < n; i++)
    if (!isfinite (values[i])) {
      g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                   "%s: number %" G_GSIZE_FORMAT " of '%s' is %s: the plane is damaged",
                   afp_context_get_name (ctx), i, desc->name,
                   isnan (values[i]) ? "NaN" : "infinite");
      return NULL;
    }
  float *copy = g_new (float, MAX (n, 1));
  memcpy (copy, values, n * sizeof *copy);
  return copy;
}

/* The codebook: the plane's, or a part of the codec. */
static float *
open_codebook (AfpContext *ctx, const VptqChildren *children, GError **error)
{
  if (children->codebook >= 0)
    return copy_child (ctx, (guint) children->codebook, error);
  float *codebook = g_new (float, children->n_centroids * children->length);
  vptq_builtin_fill (children->length, children->n_centroids, codebook);
  return codebook;
}

gpointer
vptq_open (AfpCodec *codec, AfpContext *ctx, GError **error)
{
  AfpVptq *self = AFP_VPTQ (codec);
  const AfpLayout *layout = afp_context_get_layout (ctx);
  VptqState *state = g_new0 (VptqState, 1);
  VptqChildren *children = &state->children;

  vptq_get_children (self, layout, children);
  state->length = children->length;
  state->n_centroids = children->n_centroids;
  if (children->residual >= 0)
    state->residual_metric = afp_layout_get_child (layout, (guint) children->residual)->metric;
  state->codebook = open_codebook (ctx, children, error);
  if (state->codebook && children->scale >= 0)
    state->scale = copy_child (ctx, (guint) children->scale, error);
  if (!state->codebook || (children->scale >= 0 && !state->scale)) {
    vptq_close (codec, state);
    return NULL;
  }
  if (!afp_context_is_decoding (ctx)) {
    const gsize n_floats = vptq_table_floats (state->n_centroids, state->length);
    state->unit = vptq_unit (state->codebook, (gsize) state->n_centroids * state->length);
    state->storage = g_new0 (float, n_floats);
    vptq_table_init (&state->table, state->storage, state->codebook, state->n_centroids,
                     state->length);
    if (state->unit != 1)
      vptq_divide (state->storage, n_floats, state->unit);
  }
  return state;
}

/* The factor of a row of the block. */
static float
row_scale (const VptqState *state, guint64 row)
{
  return state->scale ? state->scale[state->children.row_scale ? row : 0] : 1;
}

/* A row's vectors, divided by its scale; the metric needs no factor: it is the same for all centroids. */
static void
search_scaled (const VptqState *state, const AfpMetric *metric, gsize first, gsize n, float scale,
               const float *x, guint32 *indices)
{
  const gsize stride = afp_metric_stride (metric->kind, state->length);
  const gsize step = 4096 / VPTQ_MAX_LENGTH;
  float scaled[4096];

  for (gsize i = 0; i < n; i += step) {
    const gsize count = MIN (step, n - i);
    memcpy (scaled, x + i * state->length, count * state->length * sizeof *scaled);
    vptq_divide (scaled, count * state->length, scale);
    vptq_search (&state->table, (VptqMetric) metric->kind,
                 stride ? metric->data + (first + i) * stride : NULL, scaled, count, indices + i,
                 NULL);
  }
}

/* Without a metric in the data, that of a child that declares one is 1. */
static void
fill_residual_metric (const AfpMetric *metric, AfpMetricKind kind, guint length, gsize n,
                      float *out)
{
  const gsize stride = afp_metric_stride (kind, length);

  if (metric->kind == kind && metric->data) {
    memcpy (out, metric->data, n * stride * sizeof *out);
    return;
  }
  for (gsize i = 0; i < n * stride; i++)
    out[i] = kind != AFP_METRIC_MATRIX || i % stride % (length + 1) == 0;
}

static void
subtract_from (const float *x, float *reconstruction, gsize n)
{
  for (gsize i = 0; i < n; i++)
    reconstruction[i] = x[i] - reconstruction[i];
}

gboolean
vptq_encode_block (AfpCodec *codec, gpointer user_state, AfpBlock *block, GError **error)
{
  const VptqState *state = user_state;
  const gsize per_row = block->n_cols / state->length, n = block->n_rows * per_row;
  guint32 *indices = block->planes[VPTQ_CHILD_INDICES].codes;

  if (block->metric.kind != AFP_METRIC_NONE && block->metric.length != state->length) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_CODEC,
                 "the metric is of vectors of %u numbers, but vector-length is %u",
                 block->metric.length, state->length);
    return FALSE;
  }
  const gboolean direct = !state->scale && state->unit == 1;
  if (direct)
    vptq_search (&state->table, (VptqMetric) block->metric.kind, block->metric.data, block->values,
                 n, indices, NULL);
  for (gsize r = 0; !direct && r < block->n_rows; r++)
    search_scaled (state, &block->metric, r * per_row, per_row,
                   row_scale (state, block->row + r) * state->unit,
                   block->values + r * block->n_cols, indices + r * per_row);
  if (state->children.residual < 0)
    return TRUE;

  AfpBlockPlane *residual = &block->planes[state->children.residual];
  for (gsize r = 0; r < block->n_rows; r++)
    vptq_lookup (state->codebook, state->n_centroids, state->length,
                 row_scale (state, block->row + r), indices + r * per_row, per_row,
                 residual->values + r * block->n_cols);
  subtract_from (block->values, residual->values, block->n_rows * block->n_cols);
  if (residual->metric)
    fill_residual_metric (&block->metric, state->residual_metric, state->length, n,
                          residual->metric);
  return TRUE;
}

gboolean
vptq_decode_block (AfpCodec *codec, gpointer user_state, AfpBlock *block, GError **error)
{
  const VptqState *state = user_state;
  const gsize per_row = block->n_cols / state->length;
  const float *residual =
      state->children.residual >= 0 ? block->planes[state->children.residual].values : NULL;

  for (gsize r = 0; r < block->n_rows; r++) {
    const guint32 *indices = block->planes[VPTQ_CHILD_INDICES].codes + r * per_row;
    const gsize done = vptq_lookup (state->codebook, state->n_centroids, state->length,
                                    row_scale (state, block->row + r), indices, per_row,
                                    block->values + r * block->n_cols);
    if (done < per_row) {
      g_set_error (
          error, AFP_ERROR, AFP_ERROR_FORMAT,
          "index %u at row %" G_GUINT64_FORMAT ", column %" G_GUINT64_FORMAT
          " is outside of the codebook, which has centroids=%u: the plane 'indices' is damaged",
          indices[done], block->row + r, block->col + done * state->length, state->n_centroids);
      return FALSE;
    }
  }
  for (gsize i = 0; residual && i < block->n_rows * block->n_cols; i++)
    block->values[i] += residual[i];
  return TRUE;
}
