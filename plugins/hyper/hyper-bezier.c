/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hyper-bezier-kernel.h"
#include "hyper-kernel.h"
#include "hyper.h"

#include <math.h>

/* trajectory=bezier: numbers as positions on a curve that follows the sorted numbers of their frame. */

#define SAMPLE_NUMBERS 131072u /* that the curve of a tensor is fitted to */

enum { CHILD_POSITIONS, CHILD_CURVES };

/* --- layout --- */

static gboolean
bezier_init (const AfpHyper *self, HyperBezier *curve, GError **error)
{
  guint classes;

  *curve = (HyperBezier){ .degree = self->degree, .segments = self->segments };
  if (!hyper_choose_points (self, 1, &curve->n_points, &classes, error))
    return FALSE;
  if (curve->n_points >= 2 && curve->n_points <= HYPER_BEZIER_MAX_POINTS && classes == 0)
    return TRUE;
  if (classes != 0)
    g_set_error (error, AFP_ERROR, AFP_ERROR_PROPERTY,
                 "classes=%u: the one curve of trajectory=bezier reaches all numbers; leave it out",
                 classes);
  else
    g_set_error (error, AFP_ERROR, AFP_ERROR_PROPERTY,
                 "%u positions on a curve: trajectory=bezier has 2 to %u; set points=, or bits= "
                 "from 1 to 12",
                 curve->n_points, HYPER_BEZIER_MAX_POINTS);
  return FALSE;
}

static gboolean
bezier_describe (const AfpHyper *self, AfpLayout *layout, GError **error)
{
  const AfpPlaneDesc *in = afp_layout_get_input (layout);
  HyperGroups groups;
  HyperBezier curve;

  if (!bezier_init (self, &curve, error))
    return FALSE;
  const guint bits = hyper_code_bits (self, curve.n_points, 0, error);
  if (bits == 0)
    return FALSE;
  afp_layout_set_quantum (layout, self->join);
  afp_layout_set_flat (layout, in->cols % self->join != 0);
  hyper_leave_out (layout, "classes", "dimension", "lattice", "symbol-bits", "states", NULL);
  afp_layout_set_param (layout, "points", curve.n_points);
  if (self->join == 1)
    hyper_leave_out (layout, "join", NULL);
  if (self->frame == HYPER_FRAME_GROUP)
    afp_layout_set_param (layout, "frame-size", hyper_frame_size (self, 1));
  if (self->frame != HYPER_FRAME_TENSOR)
    afp_layout_set_open_loop (layout, "curves belong to rows or groups");
  hyper_groups_init (&groups, self, layout);
  const guint n_controls = hyper_bezier_controls (&curve);
  afp_layout_add_code (layout, "positions", 1, bits);
  afp_layout_add_tensor_float (layout, "curves", AFP_KIND_FRAME, groups.n_frames, n_controls,
                               n_controls);
  return TRUE;
}

static guint64
bezier_scratch (const AfpHyper *self, const AfpLayout *layout)
{
  const guint64 n = SAMPLE_NUMBERS;
  HyperBezier curve;

  if (self->frame != HYPER_FRAME_TENSOR || !bezier_init (self, &curve, NULL))
    return 0;
  return hyper_bezier_scratch_bytes (&curve, n) + 2 * n * sizeof (float);
}

static guint64
bezier_thread_scratch (const AfpHyper *self, const AfpLayout *layout)
{
  const guint64 cols = afp_layout_get_padded_cols (layout);
  guint64 bytes = HYPER_BEZIER_MAX_POINTS * 3 * sizeof (float);
  HyperBezier curve;

  if (self->frame != HYPER_FRAME_TENSOR && bezier_init (self, &curve, NULL))
    bytes += hyper_bezier_scratch_bytes (&curve, cols) + 2 * cols * sizeof (float);
  return bytes + (self->join > 1 ? cols * sizeof (guint32) : 0);
}

/* --- fit --- */

typedef struct {
  AfpContext *ctx;
  const HyperBezier *curve;
  HyperGroups groups;
  guint64 cols;
  gboolean weighted;
  float *controls;
} FitJob;

static void
fit_curve (const FitJob *job, const float *x, const float *weights, gsize n, guint64 frame)
{
  g_autofree gpointer scratch = g_malloc (hyper_bezier_scratch_bytes (job->curve, n));

  hyper_bezier_fit (job->curve, x, weights, n, scratch,
                    job->controls + frame * hyper_bezier_controls (job->curve));
}

static gboolean
fit_row (gsize row, gpointer user_data, GError **error)
{
  FitJob *job = user_data;
  g_autofree float *x = g_new (float, job->cols + 1), *weights = g_new (float, job->cols + 1);

  if (!afp_context_read (job->ctx, row, 1, 0, job->cols, x, error))
    return FALSE;
  for (guint64 c = 0; c < job->cols && job->weighted; c++)
    afp_context_read_metric (job->ctx, row, c, 1, weights + c);
  for (guint64 c = 0, n; c < job->cols; c += n) {
    n = job->cols - c;
    const guint64 frame = hyper_groups_find (&job->groups, row, c, &n);
    fit_curve (job, x + c, job->weighted ? weights + c : NULL, n, frame);
  }
  return TRUE;
}

static gboolean
fit_tensor (const FitJob *job, GError **error)
{
  const AfpLayout *layout = afp_context_get_layout (job->ctx);
  const guint64 total = afp_layout_get_rows (layout) * afp_layout_get_padded_cols (layout);
  g_autofree float *weights = NULL;
  gsize n;
  g_autofree float *x = afp_context_sample (job->ctx, SAMPLE_NUMBERS, 1, &n, &weights, error);

  if (!x)
    return FALSE;
  if (n == total && job->cols < afp_layout_get_padded_cols (layout)) /* one row */
    n = job->cols;
  fit_curve (job, x, weights, n, 0);
  return TRUE;
}

static gboolean
bezier_fit (const AfpHyper *self, AfpContext *ctx, GError **error)
{
  const AfpLayout *layout = afp_context_get_layout (ctx);
  HyperBezier curve;
  FitJob job = { .ctx = ctx,
                 .curve = &curve,
                 .cols = afp_layout_get_cols (layout),
                 .weighted = afp_context_get_metric_kind (ctx, 1) != AFP_METRIC_NONE,
                 .controls = afp_context_get_values (ctx, CHILD_CURVES) };

  if (!bezier_init (self, &curve, error))
    return FALSE;
  hyper_groups_init (&job.groups, self, layout);
  if (self->frame == HYPER_FRAME_TENSOR)
    return fit_tensor (&job, error);
  return afp_parallel_for (afp_context_get_pool (ctx), (gsize) afp_layout_get_rows (layout),
                           fit_row, &job, error);
}

/* --- encode, decode --- */

/* A curve at its positions, and between which edges they are the nearest. */
typedef struct {
  float *levels, *edges;
  guint32 *order;
} Table;

typedef struct {
  HyperBezier curve;
  HyperGroups groups;
  const float *controls;
  guint join;
  Table tensor; /* the one curve, if there is only one */
} BezierState;

static void
table_init (Table *table, const BezierState *state, guint64 frame)
{
  const guint n = state->curve.n_points;

  if (!table->levels) {
    table->levels = g_new (float, n);
    table->edges = g_new (float, n);
    table->order = g_new (guint32, n);
  }
  hyper_bezier_levels (&state->curve,
                       state->controls + frame * hyper_bezier_controls (&state->curve),
                       table->levels);
  hyper_bezier_edges (n, table->levels, table->edges, table->order);
}

static void
table_clear (Table *table)
{
  g_free (table->levels);
  g_free (table->edges);
  g_free (table->order);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Table, table_clear)

static void
bezier_close (gpointer user_state)
{
  BezierState *state = user_state;

  table_clear (&state->tensor);
  g_free (state);
}

static gpointer
bezier_open (const AfpHyper *self, AfpContext *ctx, GError **error)
{
  const AfpLayout *layout = afp_context_get_layout (ctx);
  const AfpPlaneDesc *curves = afp_layout_get_child (layout, CHILD_CURVES);
  HyperBezier curve;

  if (!bezier_init (self, &curve, error))
    return NULL;
  BezierState *state = g_new0 (BezierState, 1);
  *state = (BezierState){ .curve = curve, .join = self->join };
  state->controls = afp_context_get_values (ctx, CHILD_CURVES);
  hyper_groups_init (&state->groups, self, layout);
  for (guint64 i = 0; i < curves->rows * curves->cols; i++)
    if (!isfinite (state->controls[i])) {
      g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                   "%s: control point %" G_GUINT64_FORMAT " of curve %" G_GUINT64_FORMAT
                   " is not finite: the plane 'curves' is damaged",
                   afp_context_get_name (ctx), i % curves->cols, i / curves->cols);
      bezier_close (state);
      return NULL;
    }
  if (!state->groups.per_row)
    table_init (&state->tensor, state, 0);
  return state;
}

/* What codes a stretch of numbers of one curve, or decodes it: FALSE: position *n is none. */
typedef gboolean (*TableFunc) (const Table *table, guint n_points, float *values,
                               guint32 *positions, gsize *n);

static gboolean
encode_stretch (const Table *table, guint n_points, float *values, guint32 *positions, gsize *n)
{
  hyper_bezier_encode (n_points, table->edges, table->order, values, *n, positions);
  return TRUE;
}

static gboolean
decode_stretch (const Table *table, guint n_points, float *values, guint32 *positions, gsize *n)
{
  const gsize all = *n;

  *n = hyper_bezier_decode (n_points, table->levels, positions, all, values);
  return *n == all;
}

/* All stretches of a block. FALSE: *at is the number whose position is none. */
static gboolean
each_stretch (const BezierState *state, const AfpBlock *block, TableFunc func, guint32 *positions,
              gsize *at)
{
  const guint n_points = state->curve.n_points;
  g_auto (Table) own = { 0 };
  gsize n = block->n_rows * block->n_cols;

  *at = 0;
  if (!state->groups.per_row) {
    const gboolean good = func (&state->tensor, n_points, block->values, positions, &n);
    *at = n;
    return good;
  }
  for (guint64 r = 0; r < block->n_rows; r++)
    for (guint64 c = 0, cols; c < block->n_cols; c += cols) {
      cols = block->n_cols - c;
      table_init (&own, state,
                  hyper_groups_find (&state->groups, block->row + r, block->col + c, &cols));
      n = cols;
      *at = r * block->n_cols + c;
      if (!func (&own, n_points, block->values + *at, positions + *at, &n)) {
        *at += n;
        return FALSE;
      }
    }
  return TRUE;
}

static gboolean
bezier_encode_block (gpointer user_state, AfpBlock *block, GError **error)
{
  const BezierState *state = user_state;
  const gsize n = block->n_rows * block->n_cols;
  guint32 *codes = block->planes[CHILD_POSITIONS].codes;
  g_autofree guint32 *own = state->join > 1 ? g_new (guint32, n) : NULL;
  gsize at;

  each_stretch (state, block, encode_stretch, own ? own : codes, &at);
  if (own)
    hyper_join (own, n / state->join, state->join, state->curve.n_points, codes);
  return TRUE;
}

static gboolean
bezier_decode_block (gpointer user_state, AfpBlock *block, GError **error)
{
  const BezierState *state = user_state;
  const gsize n = block->n_rows * block->n_cols;
  guint32 *positions = block->planes[CHILD_POSITIONS].codes;
  g_autofree guint32 *own = state->join > 1 ? g_new (guint32, n) : NULL;
  gsize at;

  if (own) {
    hyper_split (positions, n / state->join, state->join, state->curve.n_points, own);
    positions = own;
  }
  if (each_stretch (state, block, decode_stretch, positions, &at))
    return TRUE;
  g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
               "position %u at row %" G_GUINT64_FORMAT ", column %" G_GUINT64_FORMAT
               " is not below %u: the plane 'positions' is damaged",
               positions[at], block->row + at / block->n_cols, block->col + at % block->n_cols,
               state->curve.n_points);
  return FALSE;
}

const HyperForm hyper_form_bezier = {
  .describe = bezier_describe,
  .fit = bezier_fit,
  .open = bezier_open,
  .close = bezier_close,
  .encode_block = bezier_encode_block,
  .decode_block = bezier_decode_block,
  .scratch = bezier_scratch,
  .thread_scratch = bezier_thread_scratch,
};
