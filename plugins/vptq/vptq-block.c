/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vptq.h"
#include "vptq-builtin-kernel.h"
#include "vptq-stage-kernel.h"

#include <math.h>
#include <string.h>

/* Blocks of codes: opened from what a decoder will have, searched, looked up. */

/* A codebook; while encoding it is searched. */
typedef struct {
  float *codebook;
  VptqSearcher searcher;
} Stage;

typedef struct {
  const AfpVptq *self;
  VptqChildren children;
  guint length;
  guint n_centroids;
  guint64 cols;            /* without padding */
  float *first;            /* n_groups x n_centroids x length */
  guint8 *groups;          /* of places; NULL: one group */
  VptqSearcher *searchers; /* one for each group */
  Stage second;
  VptqStages stages;
  float *scale, *bias; /* NULL: none */
  float rate_unit;     /* of the scales, where bits count */
  AfpMetricKind residual_metric;
} VptqState;

static void
stage_clear (Stage *stage)
{
  g_free (stage->codebook);
  vptq_searcher_clear (&stage->searcher);
}

void
vptq_close (AfpCodec *codec, gpointer user_state)
{
  VptqState *state = user_state;

  for (guint g = 0; state->searchers && g < state->children.n_groups; g++)
    vptq_searcher_clear (&state->searchers[g]);
  g_free (state->searchers);
  g_free (state->first);
  g_free (state->groups);
  stage_clear (&state->second);
  g_free (state->scale);
  g_free (state->bias);
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

static const float *
group_codebook (const VptqState *state, guint group)
{
  return state->first + (gsize) group * state->n_centroids * state->length;
}

/* Of which group each place is. FALSE: of none. */
static gboolean
open_groups (VptqState *state, AfpContext *ctx, GError **error)
{
  const guint child = (guint) state->children.groups;
  const gsize n = afp_layout_get_child (afp_context_get_layout (ctx), child)->cols;
  const guint32 *codes = afp_context_get_codes (ctx, child);

  state->groups = g_new (guint8, MAX (n, 1));
  for (gsize i = 0; i < n; i++) {
    if (codes[i] >= state->children.n_groups) {
      g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                   "%s: number %" G_GSIZE_FORMAT
                   " of 'groups' is %u, but there are groups=%u: the plane is damaged",
                   afp_context_get_name (ctx), i, codes[i], state->children.n_groups);
      return FALSE;
    }
    state->groups[i] = (guint8) codes[i];
  }
  return TRUE;
}

static gboolean
open_searchers (const AfpVptq *self, VptqState *state, AfpContext *ctx, GError **error)
{
  const gboolean exact = self->search == VPTQ_SEARCH_EXACT;
  const VptqRates *rates = afp_context_get_kept (ctx);

  state->rate_unit = rates ? rates->unit : 1;
  state->searchers = g_new0 (VptqSearcher, state->children.n_groups);
  for (guint g = 0; g < state->children.n_groups; g++)
    if (!vptq_searcher_init (&state->searchers[g], group_codebook (state, g), state->n_centroids,
                             state->length, rates, exact, ctx, error))
      return FALSE;
  return !state->second.codebook ||
         vptq_searcher_init (&state->second.searcher, state->second.codebook,
                             state->children.n_residual, state->length, NULL, exact, ctx, error);
}

/* Copies of what the planes hold. FALSE: one of them is damaged. */
static gboolean
open_planes (VptqState *state, AfpContext *ctx, GError **error)
{
  const VptqChildren *children = &state->children;

  if (!(state->first = open_codebook (ctx, children, error)))
    return FALSE;
  if (children->groups >= 0 && !open_groups (state, ctx, error))
    return FALSE;
  if (children->residual_codebook >= 0 &&
      !(state->second.codebook = copy_child (ctx, (guint) children->residual_codebook, error)))
    return FALSE;
  if (children->scale >= 0 && !(state->scale = copy_child (ctx, (guint) children->scale, error)))
    return FALSE;
  return children->bias < 0 || (state->bias = copy_child (ctx, (guint) children->bias, error));
}

gpointer
vptq_open (AfpCodec *codec, AfpContext *ctx, GError **error)
{
  AfpVptq *self = AFP_VPTQ (codec);
  const AfpLayout *layout = afp_context_get_layout (ctx);
  VptqState *state = g_new0 (VptqState, 1);
  VptqChildren *children = &state->children;

  vptq_get_children (self, layout, children);
  state->self = self;
  state->length = children->length;
  state->n_centroids = children->n_centroids;
  state->cols = afp_layout_get_cols (layout);
  if (children->residual >= 0)
    state->residual_metric = afp_layout_get_child (layout, (guint) children->residual)->metric;
  if (!open_planes (state, ctx, error) ||
      (!afp_context_is_decoding (ctx) && !open_searchers (self, state, ctx, error))) {
    vptq_close (codec, state);
    return NULL;
  }
  state->stages = (VptqStages){ state->length, state->first, state->second.codebook,
                                state->n_centroids, children->n_residual };
  return state;
}

/* --- encode ------------------------------------------------------------------------------------------------------- */

static guint
group_at (const VptqState *state, guint64 row, guint64 col)
{
  return state->groups ? state->groups[vptq_group_place (state->self, state->length, row, col)] : 0;
}

/* How many of the next @n vectors are of the first one's group. */
static gsize
run_of_group (const VptqState *state, guint64 row, guint64 col, gsize n)
{
  const guint group = group_at (state, row, col);
  gsize run = 1;

  if (!state->groups)
    return n;
  while (run < n && group_at (state, row, col + run * state->length) == group)
    run++;
  return run;
}

/* The factor of a row of the block. */
static float
row_scale (const VptqState *state, guint64 row)
{
  return state->scale ? state->scale[state->children.row_scale ? row : 0] : 1;
}

static float
row_bias (const VptqState *state, guint64 row)
{
  return state->bias ? state->bias[row] : 0;
}

/* What the first codebook misses of @x, which is in its unit, in the unit of the second. */
static void
subtract_first (const VptqState *state, const guint32 *indices, gsize n, float *x)
{
  const VptqSearcher *first = state->searchers, *second = &state->second.searcher;

  if (first->memory && first->unit != 1)
    for (gsize i = 0; i < n * state->length; i++)
      x[i] *= first->unit;
  vptq_subtract (state->first, state->length, indices, n, x);
  if (second->memory && second->unit != 1)
    vptq_divide (x, n * state->length, second->unit);
}

/* Errors of a row come out as the square of its scale, bits do not. */
static float
row_bits (const VptqState *state, guint64 row)
{
  const float scale = state->children.row_scale ? row_scale (state, row) / state->rate_unit : 1;

  return scale > 0 ? 1 / (scale * scale) : 1;
}

/* A row's vectors, less its bias and divided by its scale; the metric needs no factor: it is the same for all centroids. @x: from
 * column @col on; what is beyond the last one stays zero. */
static void
search_row (const VptqState *state, const AfpBlock *block, gsize row, const float *x)
{
  const gsize per_row = block->n_cols / state->length, step = 4096 / state->length;
  const float bias = row_bias (state, block->row + row);
  const float own_scale = row_scale (state, block->row + row);
  guint32 *indices = block->planes[VPTQ_CHILD_INDICES].codes + row * per_row;
  const float bits = state->searchers[0].rated ? row_bits (state, block->row + row) : 1;
  float scaled[4096];

  for (gsize i = 0, n; i < per_row; i += n) {
    const guint64 col = block->col + i * state->length;
    const gsize first = row * per_row + i;
    const VptqSearcher *searcher = &state->searchers[group_at (state, block->row + row, col)];
    const float scale = own_scale * (searcher->memory ? searcher->unit : 1);
    n = run_of_group (state, block->row + row, col, MIN (step, per_row - i));
    memcpy (scaled, x + i * state->length, n * state->length * sizeof *scaled);
    if (bias != 0)
      vptq_normalise (scaled, MIN (n * state->length, state->cols - col), bias, scale);
    else
      vptq_divide (scaled, n * state->length, scale);
    vptq_searcher_search (searcher, &block->metric, first, bits, scaled, n, indices + i);
    if (state->children.residual_indices < 0)
      continue;
    subtract_first (state, indices + i, n, scaled);
    vptq_searcher_search (&state->second.searcher, &block->metric, first, 1, scaled, n,
                          block->planes[state->children.residual_indices].codes + row * per_row +
                              i);
  }
}

/* Each vector in the codebook of its group. Returns: how many could be looked up. */
static gsize
look_up_row (const VptqState *state, guint64 row, guint64 col, const guint32 *indices, gsize n,
             float *out)
{
  const guint v = state->length;
  gsize done = 0;

  while (done < n) {
    const guint64 from = col + done * v;
    const gsize run = run_of_group (state, row, from, n - done);
    const VptqStages stages = { v, group_codebook (state, group_at (state, row, from)), NULL,
                                state->n_centroids, 0 };
    const gsize good = vptq_lookup_stages (&stages, row_scale (state, row), row_bias (state, row),
                                           indices + done, NULL, run, out + done * v);
    done += good;
    if (good < run)
      break;
  }
  return done;
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

/* What searches all vectors of the block; NULL: they are of several groups. */
static const VptqSearcher *
find_only_searcher (const VptqState *state, const AfpBlock *block)
{
  const gsize per_row = block->n_cols / state->length;
  const guint group = group_at (state, block->row, block->col);

  for (gsize r = 0; state->groups && r < block->n_rows; r++)
    if (group_at (state, block->row + r, block->col) != group ||
        run_of_group (state, block->row + r, block->col, per_row) < per_row)
      return NULL;
  return &state->searchers[group];
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
  const VptqSearcher *only = find_only_searcher (state, block);
  const gboolean direct =
      !state->scale && !state->second.codebook && only && (!only->memory || only->unit == 1);
  if (direct)
    vptq_searcher_search (only, &block->metric, 0, 1, block->values, n, indices);
  for (gsize r = 0; !direct && r < block->n_rows; r++)
    search_row (state, block, r, block->values + r * block->n_cols);
  if (state->children.residual < 0)
    return TRUE;

  AfpBlockPlane *residual = &block->planes[state->children.residual];
  for (gsize r = 0; r < block->n_rows; r++)
    look_up_row (state, block->row + r, block->col, indices + r * per_row, per_row,
                 residual->values + r * block->n_cols);
  subtract_from (block->values, residual->values, block->n_rows * block->n_cols);
  if (residual->metric)
    fill_residual_metric (&block->metric, state->residual_metric, state->length, n,
                          residual->metric);
  return TRUE;
}

/* Vectors of row @r of the block that could be decoded. */
static gsize
decode_row (const VptqState *state, AfpBlock *block, gsize r)
{
  const gsize per_row = block->n_cols / state->length;
  const guint32 *indices = block->planes[VPTQ_CHILD_INDICES].codes + r * per_row;
  const gint second = state->children.residual_indices;
  float *out = block->values + r * block->n_cols;

  if (state->groups)
    return look_up_row (state, block->row + r, block->col, indices, per_row, out);
  if (second < 0 && !state->bias)
    return vptq_lookup (state->first, state->n_centroids, state->length,
                        row_scale (state, block->row + r), indices, per_row, out);
  return vptq_lookup_stages (
      &state->stages, row_scale (state, block->row + r), row_bias (state, block->row + r), indices,
      second >= 0 ? block->planes[second].codes + r * per_row : NULL, per_row, out);
}

gboolean
vptq_decode_block (AfpCodec *codec, gpointer user_state, AfpBlock *block, GError **error)
{
  const VptqState *state = user_state;
  const gsize per_row = block->n_cols / state->length;
  const float *residual =
      state->children.residual >= 0 ? block->planes[state->children.residual].values : NULL;

  for (gsize r = 0; r < block->n_rows; r++) {
    const gsize done = decode_row (state, block, r);
    if (done < per_row) {
      const guint32 index = block->planes[VPTQ_CHILD_INDICES].codes[r * per_row + done];
      const gboolean first = index >= state->n_centroids;
      const gint second = state->children.residual_indices;
      g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                   "index %u at row %" G_GUINT64_FORMAT ", column %" G_GUINT64_FORMAT
                   " is outside of the codebook, which has %s=%u: the plane '%s' is damaged",
                   first ? index : block->planes[second].codes[r * per_row + done], block->row + r,
                   block->col + done * state->length, first ? "centroids" : "residual-centroids",
                   first ? state->n_centroids : state->children.n_residual,
                   first ? "indices" : "residual-indices");
      return FALSE;
    }
  }
  for (gsize i = 0; residual && i < block->n_rows * block->n_cols; i++)
    block->values[i] += residual[i];
  return TRUE;
}
