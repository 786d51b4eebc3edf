/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-codec-private.h"
#include "afp-error.h"
#include "afp-feedback.h"

#include <math.h>

/*
 * What the second moments of a layer's inputs are to a codec: the error of a column of the weights counts by the mean square of its
 * input (importance), and the error of a block is fed to those still to come (feedback: afp-feedback.h). Both are of planes whose
 * columns are the tensor's: its weight, and what is added to that.
 */

/* --- which planes --------------------------------------------------------------------------------------------------- */

/* @child holds a number for each of @parent, row by row (padded), or all rows in one. */
static gboolean
is_residual_of (const AfpPlaneDesc *child, const AfpPlaneDesc *parent)
{
  if (child->kind != AFP_KIND_RESIDUAL || child->scope != AFP_SCOPE_BLOCK)
    return FALSE;
  return child->rows == parent->rows
             ? child->cols >= parent->cols && child->cols - parent->cols < parent->cols
             : child->rows == 1 && child->cols >= parent->rows * parent->cols;
}

gboolean
afp_plane_follows_columns (AfpTensor *tensor, const char *path)
{
  AfpPlane *plane = afp_tensor_get_root (tensor);
  const AfpPlaneDesc *desc = afp_plane_get_desc (plane);

  if (desc->kind != AFP_KIND_WEIGHT ||
      desc->cols != afp_spec_get_cols (afp_tensor_get_spec (tensor)))
    return FALSE;
  while ((path = strchr (path, '/'))) {
    const gsize n = strcspn (++path, "/");
    AfpPlane *child = NULL;
    for (guint i = 0; i < afp_plane_get_n_children (plane) && !child; i++) {
      const char *name = afp_plane_get_desc (afp_plane_get_child (plane, i))->name;
      if (strlen (name) == n && strncmp (name, path, n) == 0)
        child = afp_plane_get_child (plane, i);
    }
    if (!child || !is_residual_of (afp_plane_get_desc (child), afp_plane_get_desc (plane)))
      return FALSE;
    plane = child;
  }
  return TRUE;
}

/* --- plan ----------------------------------------------------------------------------------------------------------- */

static gboolean
plan_feedback (AfpClaim *claim, AfpTensor *tensor, GError **error)
{
  const char *name = afp_spec_get_name (afp_tensor_get_spec (tensor));

  if (afp_moments_is_diagonal (afp_tensor_get_moments (tensor))) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_PLAN,
                 "feedback=true needs the whole matrix of second moments, and only their diagonal "
                 "comes: set diagonal=false on calibrate, or feedback=false or exclude=%s here",
                 name);
    return FALSE;
  }
  if (claim->layout->flat) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_PLAN,
                 "feedback=true needs blocks that stay in their row, and here they cross rows "
                 "(%" G_GUINT64_FORMAT
                 " columns, blocks of %u): take blocks whose length divides the "
                 "columns or, where there is such a property, layout=row; or set feedback=false or "
                 "exclude=%s",
                 claim->layout->input.cols, claim->layout->quantum, name);
    return FALSE;
  }
  claim->feedback = TRUE;
  return TRUE;
}

/* Of the factor: its size, and columns that are one block. The rows of a transposed layout are one column each. */
void
afp_layout_get_feedback_shape (const AfpLayout *layout, guint64 *cols, guint *quantum)
{
  *cols = layout->transposed ? afp_layout_get_rows (layout) : afp_layout_get_padded_cols (layout);
  *quantum = layout->transposed ? 1 : layout->quantum;
}

gboolean
afp_claim_plan_moments (AfpClaim *claim, AfpTensor *tensor, const char *path, GError **error)
{
  const AfpMomentUse *use = afp_codec_get_moment_use (claim->codec);
  const AfpMoments *moments = afp_tensor_get_moments (tensor);

  if (!moments || !afp_plane_follows_columns (tensor, path))
    return TRUE;
  claim->importance = use->importance == AFP_IMPORTANCE_AUTO;
  if (use->feedback && !plan_feedback (claim, tensor, error))
    return FALSE;
  claim->layout->by_moments = claim->importance || claim->feedback;
  return TRUE;
}

/* (transfer full) (nullable): for the plan; @tensor: has it moments? */
char *
afp_claim_describe_moments (const AfpClaim *claim, AfpTensor *tensor)
{
  if (claim->feedback)
    return g_strdup (claim->importance ? "importance and feedback by the moments of the inputs"
                                       : "feedback by the moments of the inputs");
  if (claim->importance)
    return g_strdup ("importance by the moments of the inputs");
  if (!afp_codec_get_moment_use (claim->codec)->feedback)
    return NULL;
  return g_strdup (afp_tensor_get_moments (tensor) ? "no feedback: its columns are not the tensor's"
                                                   : "no feedback: the tensor has no moments");
}

/* --- run ------------------------------------------------------------------------------------------------------------- */

/* Mean squares over their mean, damped; 1 where all are 0. */
float *
afp_importance_new (const AfpMoments *moments, double damping)
{
  const guint64 n = afp_moments_get_size (moments);
  float *weights = g_new (float, MAX (n, 1));
  double sum = 0;

  afp_moments_read_diagonal (moments, 0, n, weights);
  for (guint64 i = 0; i < n; i++)
    sum += weights[i];
  const double mean = sum / (double) MAX (n, 1);
  for (guint64 i = 0; i < n; i++)
    weights[i] =
        mean > 0 && isfinite (mean) ? (float) ((weights[i] / mean + damping) / (1 + damping)) : 1;
  return weights;
}

/* (transfer none) (nullable): kept for the tensors that come next, which may have the same moments. */
AfpFeedback *
afp_codec_take_feedback (AfpCodec *self, const AfpClaim *claim, AfpMoments *moments, AfpPool *pool,
                         GError **error)
{
  AfpMomentUse *kept = afp_codec_get_moment_use (self);
  const AfpMomentUse *use = afp_codec_get_moment_use (claim->codec);
  const AfpFeedbackOrder order = (AfpFeedbackOrder) use->order;
  guint64 cols;
  guint quantum;

  afp_layout_get_feedback_shape (claim->layout, &cols, &quantum);
  if (kept->last && afp_feedback_is_of (kept->last, moments, cols, quantum, use->damping, order))
    return kept->last;
  g_clear_pointer (&kept->last, afp_feedback_unref);
  kept->last = afp_feedback_new (moments, cols, quantum, use->damping, order, pool, error);
  return kept->last;
}
