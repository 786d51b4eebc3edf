/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-net-graph.h"

#include <string.h>

/* --- shapes ------------------------------------------------------------------------------------------------------- */

guint64
afp_net_shape_count (const AfpNetShape *shape)
{
  guint64 n = 1;

  for (guint i = 0; i < shape->rank; i++)
    n *= shape->axes[i];
  return n;
}

char *
afp_net_shape_to_string (const AfpNetShape *shape)
{
  GString *text = g_string_new (shape->rank == 0 ? "1" : NULL);

  for (guint i = 0; i < shape->rank; i++)
    g_string_append_printf (text, "%s%" G_GUINT64_FORMAT, i ? "x" : "", shape->axes[i]);
  return g_string_free (text, FALSE);
}

gboolean
afp_net_refuse_layer (const char *name, const char *class_name, GError **error, const char *format,
                      ...)
{
  va_list args;
  va_start (args, format);
  g_autofree char *why = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (error, AFP_ERROR, AFP_ERROR_PLAN, "the network cannot be run: layer '%s' (%s) %s",
               name, class_name, why);
  return FALSE;
}

/* No axis is 0 or too long, and all of them make no more than an image may have. */
static gboolean
check_shape (const AfpNetNode *node, const AfpNetShape *shape, GError **error)
{
  guint64 n = 1;

  for (guint i = 0; i < shape->rank; i++) {
    if (shape->axes[i] == 0 || shape->axes[i] > AFP_NET_MAX_AXIS)
      return afp_net_refuse (node, error, "has an axis of %" G_GUINT64_FORMAT "; it may be 1 to %u",
                             shape->axes[i], AFP_NET_MAX_AXIS);
    n *= shape->axes[i];
    if (n > AFP_NET_MAX_ELEMENTS)
      return afp_net_refuse (
          node, error, "has more than the %" G_GUINT64_FORMAT " numbers that an image may have",
          AFP_NET_MAX_ELEMENTS);
  }
  return TRUE;
}

static const AfpNetShape *
input_shape (const AfpNetGraph *graph, const AfpNetNode *node, guint index)
{
  return &afp_net_graph_get (graph, node->inputs[index])->shape;
}

/* The input as an image. */
static gboolean
set_image (const AfpNetNode *node, const AfpNetShape *in, AfpNetWindow *w, GError **error)
{
  if (in->rank != 3) {
    g_autofree char *shape = afp_net_shape_to_string (in);
    return afp_net_refuse (node, error, "needs height x width x channels, and gets %s", shape);
  }
  w->height = in->axes[0];
  w->width = in->axes[1];
  w->channels = in->axes[2];
  return TRUE;
}

/* --- windows ------------------------------------------------------------------------------------------------------ */

static gboolean
is_within (guint64 value)
{
  return value >= 1 && value <= AFP_NET_MAX_AXIS;
}

/* One axis: how often the window fits, and how much of it lies before the edge. */
static gboolean
fit_axis (const AfpNetNode *node, guint64 size, guint64 kernel, guint64 stride, guint64 dilation,
          size_t *out, size_t *before, GError **error)
{
  if (!is_within (kernel) || !is_within (stride) || !is_within (dilation))
    return afp_net_refuse (node, error,
                           "has a window of %" G_GUINT64_FORMAT ", stride %" G_GUINT64_FORMAT
                           ", dilation %" G_GUINT64_FORMAT "; they may be 1 to %u",
                           kernel, stride, dilation, AFP_NET_MAX_AXIS);
  const guint64 span = (kernel - 1) * dilation + 1;
  if (node->is_same) {
    *out = (size - 1) / stride + 1;
    const guint64 reach = (*out - 1) * stride + span;
    *before = reach > size ? (reach - size) / 2 : 0;
    return TRUE;
  }
  if (span > size)
    return afp_net_refuse (node, error,
                           "has a window of %" G_GUINT64_FORMAT " on an axis of %" G_GUINT64_FORMAT,
                           span, size);
  *out = (size - span) / stride + 1;
  *before = 0;
  return TRUE;
}

static gboolean
fit_window (AfpNetNode *node, const AfpNetShape *in, GError **error)
{
  AfpNetWindow *w = &node->window;

  if (!set_image (node, in, w, error))
    return FALSE;
  if (node->is_global) {
    w->kernel_height = w->stride_height = w->height;
    w->kernel_width = w->stride_width = w->width;
    w->dilation_height = w->dilation_width = 1;
  }
  return fit_axis (node, w->height, w->kernel_height, w->stride_height, w->dilation_height,
                   &w->out_height, &w->top, error) &&
         fit_axis (node, w->width, w->kernel_width, w->stride_width, w->dilation_width,
                   &w->out_width, &w->left, error);
}

static void
set_shape (AfpNetNode *node, guint64 channels)
{
  const AfpNetWindow *w = &node->window;

  node->shape = node->is_flat ? (AfpNetShape){ 1, { channels } }
                              : (AfpNetShape){ 3, { w->out_height, w->out_width, channels } };
}

/* --- one operator after another ----------------------------------------------------------------------------------- */

static void
add_weight (AfpNetNode *node, const char *name, const char *other, guint64 rows, guint64 cols)
{
  node->weights[node->n_weights++] = (AfpNetWeight){ { name, other }, rows, cols };
}

static void
add_kernel (AfpNetNode *node, guint64 rows, guint64 cols)
{
  add_weight (node, node->kernel[0], node->kernel[1], rows, cols);
  if (node->has_bias)
    add_weight (node, "bias", NULL, 1, rows);
}

static gboolean
infer_dense (AfpNetNode *node, const AfpNetShape *in, GError **error)
{
  if (in->rank == 0)
    return afp_net_refuse (node, error, "gets a single number");
  node->shape = *in;
  node->shape.axes[in->rank - 1] = node->outputs;
  add_kernel (node, node->outputs, in->axes[in->rank - 1]);
  return TRUE;
}

static gboolean
infer_conv (AfpNetNode *node, const AfpNetShape *in, GError **error)
{
  const AfpNetWindow *w = &node->window;

  if (!fit_window (node, in, error))
    return FALSE;
  if (!is_within (node->groups) || w->channels % node->groups != 0 ||
      node->outputs % node->groups != 0)
    return afp_net_refuse (node, error,
                           "has %" G_GUINT64_FORMAT " groups for %" G_GSIZE_FORMAT
                           " channels and %" G_GUINT64_FORMAT " filters; both must be multiples",
                           node->groups, w->channels, node->outputs);
  const guint64 taps = (guint64) w->kernel_height * w->kernel_width,
                channels = w->channels / node->groups;
  if (taps > AFP_NET_MAX_ELEMENTS / channels)
    return afp_net_refuse (node, error,
                           "has windows of %" G_GSIZE_FORMAT " x %" G_GSIZE_FORMAT
                           " x %" G_GUINT64_FORMAT " numbers; they may have %" G_GUINT64_FORMAT,
                           w->kernel_height, w->kernel_width, channels, AFP_NET_MAX_ELEMENTS);
  set_shape (node, node->outputs);
  add_kernel (node, node->outputs, taps * channels);
  return TRUE;
}

static gboolean
infer_depthwise (AfpNetNode *node, const AfpNetShape *in, GError **error)
{
  const AfpNetWindow *w = &node->window;

  if (!fit_window (node, in, error))
    return FALSE;
  set_shape (node, w->channels * node->outputs);
  add_kernel (node, w->channels * node->outputs, (guint64) w->kernel_height * w->kernel_width);
  return TRUE;
}

static gboolean
infer_pool (AfpNetNode *node, const AfpNetShape *in, GError **error)
{
  if (!fit_window (node, in, error))
    return FALSE;
  set_shape (node, node->window.channels);
  return TRUE;
}

static gboolean
infer_surround (AfpNetNode *node, const AfpNetShape *in, GError **error)
{
  AfpNetWindow *w = &node->window;

  if (!set_image (node, in, w, error))
    return FALSE;
  w->out_height = w->height + w->top + node->bottom;
  w->out_width = w->width + w->left + node->right;
  set_shape (node, w->channels);
  return TRUE;
}

static gboolean
infer_norm (AfpNetNode *node, const AfpNetShape *in, GError **error)
{
  const guint64 n = in->rank ? in->axes[in->rank - 1] : 1;

  node->shape = *in;
  if (node->has_gamma)
    add_weight (node, "gamma", NULL, 1, n);
  if (node->has_bias)
    add_weight (node, "beta", NULL, 1, n);
  add_weight (node, "moving_mean", NULL, 1, n);
  add_weight (node, "moving_variance", NULL, 1, n);
  return TRUE;
}

static gboolean
infer_reshape (AfpNetNode *node, const AfpNetShape *in, GError **error)
{
  const guint64 n = afp_net_shape_count (in);
  const AfpNetShape asked = node->shape;
  guint64 known = 1;
  guint open = 0;

  if (asked.rank == 0) {
    node->shape = *in;
    return TRUE;
  }
  for (guint i = 0; i < asked.rank; i++) {
    if (asked.axes[i] == AFP_NET_ANY)
      open++;
    else if (known <= AFP_NET_MAX_ELEMENTS)
      known *= MIN (asked.axes[i], AFP_NET_MAX_ELEMENTS + 1);
  }
  if (open > 1 || known == 0 || n % known != 0 || (open == 0 && known != n)) {
    g_autofree char *shape = afp_net_shape_to_string (in);
    return afp_net_refuse (node, error, "cannot give %s another shape", shape);
  }
  for (guint i = 0; i < asked.rank; i++)
    if (asked.axes[i] == AFP_NET_ANY)
      node->shape.axes[i] = n / known;
  return TRUE;
}

/* The same shape, or its last axis with ones before it. */
static gboolean
is_spread (const AfpNetShape *whole, const AfpNetShape *part)
{
  const guint last = whole->rank - 1;
  gboolean same = whole->rank == part->rank, ones = same && whole->rank > 0;

  for (guint i = 0; same && i < whole->rank; i++)
    same = whole->axes[i] == part->axes[i];
  for (guint i = 0; ones && i < last; i++)
    ones = part->axes[i] == 1;
  return same || (ones && part->axes[last] == whole->axes[last]);
}

/* The largest input comes first; the others are as large or spread over it. */
static gboolean
infer_sum (const AfpNetGraph *graph, AfpNetNode *node, GError **error)
{
  guint most = 0;

  for (guint i = 1; i < node->n_inputs; i++)
    if (afp_net_shape_count (input_shape (graph, node, i)) >
        afp_net_shape_count (input_shape (graph, node, most)))
      most = i;
  const guint first = node->inputs[0];
  node->inputs[0] = node->inputs[most];
  node->inputs[most] = first;
  node->shape = *input_shape (graph, node, 0);
  for (guint i = 1; i < node->n_inputs; i++) {
    const AfpNetShape *other = input_shape (graph, node, i);
    if (is_spread (&node->shape, other))
      continue;
    g_autofree char *a = afp_net_shape_to_string (&node->shape),
                    *b = afp_net_shape_to_string (other);
    return afp_net_refuse (node, error, "gets %s and %s, which do not go together", a, b);
  }
  return TRUE;
}

static gboolean
infer_concatenate (const AfpNetGraph *graph, AfpNetNode *node, GError **error)
{
  node->shape = *input_shape (graph, node, 0);
  const int rank = (int) node->shape.rank;

  node->axis = node->axis < 0 ? node->axis + rank : node->axis;
  if (node->axis < 0 || node->axis >= rank)
    return afp_net_refuse (node, error, "joins along an axis that there is not (rank %d)", rank);
  for (guint i = 1; i < node->n_inputs; i++) {
    const AfpNetShape *other = input_shape (graph, node, i);
    gboolean fits = other->rank == node->shape.rank;
    for (int a = 0; fits && a < rank; a++)
      fits = a == node->axis || other->axes[a] == node->shape.axes[a];
    if (!fits) {
      g_autofree char *a = afp_net_shape_to_string (&node->shape),
                      *b = afp_net_shape_to_string (other);
      return afp_net_refuse (node, error, "joins %s and %s, which do not go together", a, b);
    }
    node->shape.axes[node->axis] += other->axes[node->axis];
  }
  return TRUE;
}

static gboolean
infer (const AfpNetGraph *graph, AfpNetNode *node, GError **error)
{
  const AfpNetShape *in = node->op == AFP_NET_INPUT ? NULL : input_shape (graph, node, 0);

  switch (node->op) {
  case AFP_NET_INPUT:
    return TRUE;
  case AFP_NET_DENSE:
    return infer_dense (node, in, error);
  case AFP_NET_CONV:
    return infer_conv (node, in, error);
  case AFP_NET_DEPTHWISE:
    return infer_depthwise (node, in, error);
  case AFP_NET_MAX_POOL:
  case AFP_NET_AVERAGE_POOL:
    return infer_pool (node, in, error);
  case AFP_NET_SURROUND:
    return infer_surround (node, in, error);
  case AFP_NET_NORM:
    return infer_norm (node, in, error);
  case AFP_NET_AFFINE:
  case AFP_NET_ACTIVATE:
    node->shape = *in;
    return TRUE;
  case AFP_NET_RESHAPE:
    return infer_reshape (node, in, error);
  case AFP_NET_ADD:
  case AFP_NET_MULTIPLY:
    return infer_sum (graph, node, error);
  case AFP_NET_CONCATENATE:
    return infer_concatenate (graph, node, error);
  }
  g_return_val_if_reached (FALSE);
}

/* --- the graph ---------------------------------------------------------------------------------------------------- */

void
afp_net_node_free (AfpNetNode *node)
{
  g_free (node->name);
  g_free (node->scope);
  g_free (node->inputs);
  g_free (node);
}

AfpNetGraph *
afp_net_graph_new (void)
{
  AfpNetGraph *graph = g_new0 (AfpNetGraph, 1);

  graph->nodes = g_ptr_array_new_with_free_func ((GDestroyNotify) afp_net_node_free);
  return graph;
}

void
afp_net_graph_free (AfpNetGraph *graph)
{
  g_ptr_array_unref (graph->nodes);
  g_free (graph);
}

const AfpNetNode *
afp_net_graph_get (const AfpNetGraph *graph, guint index)
{
  return graph->nodes->pdata[index];
}

gboolean
afp_net_graph_add (AfpNetGraph *graph, AfpNetNode *node, GError **error)
{
  g_autoptr (AfpNetNode) owned = node;

  if (graph->nodes->len >= AFP_NET_MAX_NODES)
    return afp_net_refuse (node, error, "is one too many: networks of %u layers are run",
                           AFP_NET_MAX_NODES);
  if ((node->op == AFP_NET_INPUT) != (graph->nodes->len == 0))
    return afp_net_refuse (node, error, "%s",
                           graph->nodes->len ? "is a second input; networks with one are run"
                                             : "comes before the input");
  if ((node->op == AFP_NET_DENSE || node->op == AFP_NET_CONV || node->op == AFP_NET_DEPTHWISE) &&
      !is_within (node->outputs))
    return afp_net_refuse (node, error, "has %" G_GUINT64_FORMAT " outputs; it may have 1 to %u",
                           node->outputs, AFP_NET_MAX_AXIS);
  if (!infer (graph, node, error) || !check_shape (node, &node->shape, error))
    return FALSE;
  g_ptr_array_add (graph->nodes, g_steal_pointer (&owned));
  return TRUE;
}

/* --- memory ------------------------------------------------------------------------------------------------------- */

/* Can what comes out take the place of its first input, which nobody needs any more? */
static gboolean
works_in_place (const AfpNetGraph *graph, const AfpNetNode *node, const guint *last, guint index)
{
  const guint buffer = afp_net_graph_get (graph, node->inputs[0])->buffer;

  for (guint i = 1; i < node->n_inputs; i++)
    if (afp_net_graph_get (graph, node->inputs[i])->buffer == buffer)
      return FALSE;
  return last[buffer] == index &&
         (node->op == AFP_NET_NORM || node->op == AFP_NET_AFFINE || node->op == AFP_NET_ACTIVATE ||
          node->op == AFP_NET_ADD || node->op == AFP_NET_MULTIPLY);
}

/* Which node's memory each output is in, and when that is free again. */
static void
plan_buffers (AfpNetGraph *graph)
{
  const guint n = graph->nodes->len;
  g_autofree guint *users = g_new (guint, n), *last = g_new (guint, n);

  for (guint i = 0; i < n; i++) {
    const AfpNetNode *node = afp_net_graph_get (graph, i);
    users[i] = i == graph->output ? G_MAXUINT : i;
    for (guint j = 0; j < node->n_inputs; j++)
      if (node->inputs[j] != graph->output)
        users[node->inputs[j]] = i;
  }
  for (guint i = 0; i < n; i++) {
    AfpNetNode *node = graph->nodes->pdata[i];
    const gboolean shares = node->op != AFP_NET_INPUT &&
                            (node->op == AFP_NET_RESHAPE || works_in_place (graph, node, last, i));
    node->buffer = shares ? afp_net_graph_get (graph, node->inputs[0])->buffer : i;
    last[i] = users[i];
    last[node->buffer] = MAX (last[node->buffer], users[i]);
  }
  for (guint i = 0; i < n; i++)
    ((AfpNetNode *) graph->nodes->pdata[i])->last = last[i];
}

static guint64
find_peak (const AfpNetGraph *graph)
{
  guint64 now = 0, peak = 0;
  g_autoptr (GArray) live = g_array_new (FALSE, FALSE, sizeof (guint));

  for (guint i = 0; i < graph->nodes->len; i++) {
    const AfpNetNode *node = afp_net_graph_get (graph, i);
    if (node->buffer == i) {
      now += afp_net_shape_count (&node->shape);
      g_array_append_val (live, i);
    }
    peak = MAX (peak, now);
    for (guint j = live->len; j-- > 0;) {
      const AfpNetNode *other = afp_net_graph_get (graph, g_array_index (live, guint, j));
      if (other->last > i)
        continue;
      now -= afp_net_shape_count (&other->shape);
      g_array_remove_index_fast (live, j);
    }
  }
  return peak;
}

/* A softmax at the end, over all outputs, is taken off: logits say more. */
static void
strip_softmax (AfpNetGraph *graph)
{
  AfpNetNode *node = graph->nodes->pdata[graph->output];
  g_autofree guint *users = g_new0 (guint, graph->nodes->len);

  for (guint i = 0; i < graph->nodes->len; i++)
    for (guint j = 0; j < afp_net_graph_get (graph, i)->n_inputs; j++)
      users[afp_net_graph_get (graph, i)->inputs[j]]++;
  while (node->op == AFP_NET_RESHAPE && users[node->inputs[0]] == 1)
    node = graph->nodes->pdata[node->inputs[0]];
  const AfpNetShape *shape = &node->shape;
  graph->has_softmax = node->activation.function == AFP_NET_SOFTMAX && shape->rank > 0 &&
                       shape->axes[shape->rank - 1] == afp_net_shape_count (shape) &&
                       users[graph->output] == 0;
  if (graph->has_softmax)
    node->activation.function = AFP_NET_LINEAR;
}

gboolean
afp_net_graph_finish (AfpNetGraph *graph, guint output, GError **error)
{
  if (graph->nodes->len < 2) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_PLAN,
                 "the network cannot be run: it has no layers behind its input");
    return FALSE;
  }
  graph->output = output;
  strip_softmax (graph);
  plan_buffers (graph);
  graph->peak = find_peak (graph);
  return TRUE;
}
