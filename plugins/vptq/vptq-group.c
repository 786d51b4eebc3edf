/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vptq.h"

#include <stdlib.h>

/*
 * Columns with codebooks of their own. A place is the columns of one vector: with axis=input v neighbours, with axis=output one column. Places are
 * sorted by what they count for, the squares of their weights under the metric, and cut into groups.
 */

guint64
vptq_group_place (const AfpVptq *self, guint length, guint64 row, guint64 col)
{
  return self->axis == VPTQ_AXIS_OUTPUT ? row : col / length;
}

guint64
vptq_count_places (const AfpVptq *self, const AfpPlaneDesc *in, guint length)
{
  return self->axis == VPTQ_AXIS_OUTPUT ? in->cols : (in->cols + length - 1) / length;
}

typedef struct {
  double counts_for;
  guint64 place;
} Place;

static int
compare_places (gconstpointer a, gconstpointer b)
{
  const Place *x = a, *y = b;

  if (x->counts_for != y->counts_for)
    return x->counts_for > y->counts_for ? -1 : 1;
  return x->place < y->place ? -1 : 1;
}

/* Squares of a piece of a row, each under the mean weight of its vector. */
static void
add_squares (const AfpVptq *self, guint v, guint64 row, const float *x, gsize n_vectors,
             const float *metric, AfpMetricKind kind, Place *places)
{
  const gsize stride = afp_metric_stride (kind, v);
  const gsize step = kind == AFP_METRIC_MATRIX ? v + 1 : 1;

  for (gsize i = 0; i < n_vectors; i++) {
    double square = 0, weight = 0;
    for (guint j = 0; j < v; j++)
      square += (double) x[i * v + j] * (double) x[i * v + j];
    for (gsize j = 0; j < stride; j += step)
      weight += metric[i * stride + j];
    places[vptq_group_place (self, v, row, i * v)].counts_for += stride ? weight * square : square;
  }
}

static gboolean
weigh_places (const AfpVptq *self, AfpContext *ctx, Place *places, GError **error)
{
  const AfpLayout *layout = afp_context_get_layout (ctx);
  const guint v = afp_layout_get_quantum (layout);
  const guint64 rows = afp_layout_get_rows (layout), cols = afp_layout_get_padded_cols (layout);
  const AfpMetricKind kind = afp_context_get_metric_kind (ctx, v);
  const gsize stride = afp_metric_stride (kind, v), per_row = cols / v;
  g_autofree float *x = g_new (float, MAX (cols, 1));
  g_autofree float *metric = stride ? g_new (float, MAX (per_row * stride, 1)) : NULL;

  for (guint64 r = 0; r < rows; r++) {
    if (!afp_context_read (ctx, r, 1, 0, cols, x, error))
      return FALSE;
    for (gsize i = 0; metric && i < per_row; i++)
      afp_context_read_metric (ctx, r, i * v, v, metric + i * stride);
    add_squares (self, v, r, x, per_row, metric, kind, places);
  }
  return TRUE;
}

gboolean
vptq_choose_groups (const AfpVptq *self, AfpContext *ctx, const VptqChildren *children,
                    guint32 *groups, GError **error)
{
  const AfpLayout *layout = afp_context_get_layout (ctx);
  const gsize n = afp_layout_get_child (layout, (guint) children->groups)->cols;
  g_autofree Place *places = g_new0 (Place, MAX (n, 1));
  const guint outliers = self->outliers > 0;
  gsize first = 0;

  for (gsize i = 0; i < n; i++)
    places[i].place = i;
  if (!weigh_places (self, ctx, places, error))
    return FALSE;
  qsort (places, n, sizeof *places, compare_places);
  if (outliers)
    first = CLAMP ((gsize) ((double) n * self->outliers / 100 + 0.5), MIN (n, 1), n);
  for (gsize i = 0; i < n; i++)
    groups[places[i].place] =
        i < first ? 0 : outliers + (guint32) ((i - first) * self->groups / MAX (n - first, 1));
  return TRUE;
}

AfpDraw *
vptq_draw_group (const AfpVptq *self, AfpContext *ctx, const guint32 *groups, guint group,
                 gsize max, gsize *n)
{
  const AfpLayout *layout = afp_context_get_layout (ctx);
  const guint v = afp_layout_get_quantum (layout);
  const guint64 rows = afp_layout_get_rows (layout);
  const guint64 per_row = afp_layout_get_padded_cols (layout) / v;
  const gboolean output = self->axis == VPTQ_AXIS_OUTPUT;
  const guint64 n_places = output ? rows : per_row, each = output ? per_row : rows;
  g_autofree guint64 *own = g_new (guint64, MAX (n_places, 1));
  guint64 n_own = 0;

  for (guint64 p = 0; p < n_places; p++)
    if (groups[p] == group)
      own[n_own++] = p;
  *n = (gsize) MIN (n_own * each, (guint64) max);
  AfpDraw *draws = g_new (AfpDraw, MAX (*n, 1));
  for (gsize i = 0; i < *n; i++) {
    const guint64 index = afp_sample_index (afp_context_get_seed (ctx), i, *n, n_own * each);
    const guint64 place = own[index % n_own], other = index / n_own;
    draws[i] = output ? (AfpDraw){ place, other * v, 1 } : (AfpDraw){ other, place * v, 1 };
  }
  return draws;
}
