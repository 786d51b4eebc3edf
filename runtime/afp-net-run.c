/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-net-private.h"
#include "lm-kernel.h"

#include <cblas.h>
#include <string.h>

#define GROUP_IMAGES 16                               /* that a dense layer takes at once */
#define GROUP_BYTES (G_GUINT64_CONSTANT (128) << 20)  /* fewer, where one is as large as that */
#define DEFAULT_BYTES (G_GUINT64_CONSTANT (64) << 20) /* between the layers */
#define TILE_NUMBERS (1u << 18)                       /* of windows in a row each, at once */

/*
 * A run. What goes into one product of matrices is the same for any number of threads and any memory: a tile of one image's windows,
 * or a group of images, which begins at a multiple of its size.
 */
typedef struct {
  AfpNet *net;
  const AfpImages *images;
  float scale;
  gsize group, round;     /* images */
  AfpNetWeights *weights; /* of each node; while they are needed */
  gboolean *is_read;
  float **buffers; /* of each node: round images, while somebody needs them */
  float *out;      /* all images x classes */
} Run;

/* A node at work on images first .. first + n - 1. */
typedef struct {
  const Run *run;
  const AfpNetNode *node;
  const AfpNetWeights *weights;
  gsize first, n;
} Step;

static gsize
count (const Run *run, guint index)
{
  return (gsize) afp_net_shape_count (&afp_net_graph_get (run->net->graph, index)->shape);
}

/* What node @index has for image @image of the round. */
static float *
numbers (const Run *run, guint index, gsize image)
{
  return run->buffers[afp_net_graph_get (run->net->graph, index)->buffer] +
         image * count (run, index);
}

static const float *
weights (const Step *step, guint which)
{
  GBytes *bytes = step->weights->bytes[which];

  return bytes ? g_bytes_get_data (bytes, NULL) : NULL;
}

/* --- products of matrices ----------------------------------------------------------------------------------------- */

/* y = x W' + bias: n x in times (out x in) transposed; @stride: floats from one row of y to the next. */
static void
multiply (gsize n, gsize in, gsize out, const float *x, const float *w, float *y, gsize stride)
{
  cblas_sgemm (CblasRowMajor, CblasNoTrans, CblasTrans, (blasint) n, (blasint) out, (blasint) in, 1,
               x, (blasint) in, w, (blasint) in, 0, y, (blasint) stride);
}

static gsize
last_axis (const AfpNetShape *shape)
{
  return shape->rank ? (gsize) shape->axes[shape->rank - 1] : 1;
}

/* @n images from @image on. */
static void
run_dense (const Step *step, gsize image, gsize n)
{
  const Run *run = step->run;
  const AfpNetNode *node = step->node;
  const gsize in = (gsize) node->weights[0].cols, out = (gsize) node->outputs;
  const gsize rows = n * (count (run, node->inputs[0]) / in);
  float *y = run->buffers[node->buffer] + image * (count (run, node->inputs[0]) / in) * out;

  multiply (rows, in, out, numbers (run, node->inputs[0], image), weights (step, 0), y, out);
  if (node->has_bias)
    afp_lm_add_bias (rows, out, weights (step, 1), y);
}

/* Of pixels, one at a time, a convolution is a product as it stands. */
static gboolean
is_pointwise (const AfpNetNode *node)
{
  const AfpNetWindow *w = &node->window;

  return w->kernel_height == 1 && w->kernel_width == 1 && w->stride_height == 1 &&
         w->stride_width == 1 && node->groups == 1;
}

static gsize
tile_places (const AfpNetNode *node)
{
  return MAX (TILE_NUMBERS / (gsize) node->weights[0].cols, 1);
}

static void
run_conv (const Step *step, gsize image)
{
  const AfpNetNode *node = step->node;
  const AfpNetWindow *w = &node->window;
  const gsize places = w->out_height * w->out_width, in = (gsize) node->weights[0].cols,
              channels = w->channels / (gsize) node->groups, filters = (gsize) node->outputs,
              out = filters / (gsize) node->groups, tile = MIN (tile_places (node), places);
  g_autofree float *patches = is_pointwise (node) ? NULL : g_new (float, tile *in);
  const float *x = numbers (step->run, node->inputs[0], image);
  float *y = step->run->buffers[node->buffer] + image * places * filters;

  for (gsize at = 0; at < places; at += tile) {
    const gsize n = MIN (tile, places - at);
    for (gsize g = 0; g < node->groups; g++) {
      if (patches)
        afp_net_patches (w, at, n, g * channels, channels, x, patches);
      multiply (n, in, out, patches ? patches : x + at * in, weights (step, 0) + g * out * in,
                y + at * filters + g * out, filters);
    }
  }
  if (node->has_bias)
    afp_lm_add_bias (places, filters, weights (step, 1), y);
}

/* --- the other operators, image by image -------------------------------------------------------------------------- */

static void
run_sum (const Step *step, gsize image, float *y)
{
  const Run *run = step->run;
  const AfpNetNode *node = step->node;
  const gsize n = count (run, node->inputs[0]);
  const float *x = numbers (run, node->inputs[0], image);

  if (node->n_inputs == 1 && y != x)
    memcpy (y, x, n * sizeof *y);
  for (guint i = 1; i < node->n_inputs; i++, x = y) {
    const float *other = numbers (run, node->inputs[i], image);
    if (node->op == AFP_NET_ADD)
      afp_net_add (n, count (run, node->inputs[i]), x, other, y);
    else
      afp_net_multiply (n, count (run, node->inputs[i]), x, other, y);
  }
}

static void
run_concatenate (const Step *step, gsize image, float *y)
{
  const Run *run = step->run;
  const AfpNetNode *node = step->node;
  gsize outer = 1, at = 0;

  for (int a = 0; a < node->axis; a++)
    outer *= (gsize) node->shape.axes[a];
  const gsize stride = (gsize) afp_net_shape_count (&node->shape) / outer;
  for (guint i = 0; i < node->n_inputs; i++) {
    const float *x = numbers (run, node->inputs[i], image);
    const gsize n = count (run, node->inputs[i]) / outer;
    for (gsize o = 0; o < outer; o++)
      memcpy (y + o * stride + at, x + o * n, n * sizeof *y);
    at += n;
  }
}

static void
run_affine (const Step *step, gsize n, const float *x, float *y)
{
  const AfpNetNode *node = step->node;
  const float factor = (float) node->factor, offset = (float) node->offset;

  if (node->op == AFP_NET_NORM) {
    const gsize channels = last_axis (&node->shape);
    afp_net_affine (n / channels, channels, weights (step, 0), weights (step, 1), x, y);
  } else
    afp_net_affine (n, 1, &factor, &offset, x, y);
}

static void
run_image (const Step *step, gsize image)
{
  const Run *run = step->run;
  const AfpNetNode *node = step->node;
  const gsize n = (gsize) afp_net_shape_count (&node->shape);
  float *y = run->buffers[node->buffer] + image * n;
  const float *x = node->n_inputs ? numbers (run, node->inputs[0], image) : NULL;

  switch (node->op) {
  case AFP_NET_INPUT:
    afp_images_read (run->images, step->first + image, 1, run->scale, y);
    break;
  case AFP_NET_DENSE:
    break;
  case AFP_NET_CONV:
    run_conv (step, image);
    break;
  case AFP_NET_DEPTHWISE:
    afp_net_depthwise (&node->window, (gsize) node->outputs, x, weights (step, 0),
                       weights (step, 1), y);
    break;
  case AFP_NET_MAX_POOL:
  case AFP_NET_AVERAGE_POOL:
    afp_net_pool (&node->window, node->op == AFP_NET_MAX_POOL, x, y);
    break;
  case AFP_NET_SURROUND:
    afp_net_surround (&node->window, x, y);
    break;
  case AFP_NET_NORM:
  case AFP_NET_AFFINE:
    run_affine (step, n, x, y);
    break;
  case AFP_NET_ACTIVATE:
    if (y != x)
      memcpy (y, x, n * sizeof *y);
    break;
  case AFP_NET_RESHAPE:
    break;
  case AFP_NET_ADD:
  case AFP_NET_MULTIPLY:
    run_sum (step, image, y);
    break;
  case AFP_NET_CONCATENATE:
    run_concatenate (step, image, y);
    break;
  }
  if (node->activation.function == AFP_NET_SOFTMAX)
    afp_net_softmax (n / last_axis (&node->shape), last_axis (&node->shape), y);
  else
    afp_net_activate (&node->activation, n, y);
}

/* A group of images: all of them at once where that is a product of matrices, then each. */
static gboolean
run_group (gsize index, gpointer user_data, GError **error)
{
  const Step *step = user_data;
  const gsize begin = index * step->run->group, end = MIN (begin + step->run->group, step->n);

  if (step->node->op == AFP_NET_DENSE)
    run_dense (step, begin, end - begin);
  for (gsize image = begin; image < end; image++)
    run_image (step, image);
  return TRUE;
}

/* --- the observer ------------------------------------------------------------------------------------------------- */

static gboolean
observe_windows (const Step *step, const char *const *tensors, AfpPool *pool, GError **error)
{
  const AfpNet *net = step->run->net;
  const AfpNetNode *node = step->node;
  const AfpNetWindow *w = &node->window;
  const gsize places = w->out_height * w->out_width, in = (gsize) node->weights[0].cols,
              tile = MIN (tile_places (node), places);
  g_autofree float *patches = g_new (float, tile *in);

  for (gsize image = 0; image < step->n; image++) {
    const float *x = numbers (step->run, node->inputs[0], image);
    for (gsize at = 0; at < places; at += tile) {
      const gsize n = MIN (tile, places - at);
      afp_net_patches (w, at, n, 0, w->channels, x, patches);
      if (!net->observe (net->observer_data, tensors, n, in, patches, pool, error))
        return FALSE;
    }
  }
  return TRUE;
}

static gboolean
observe (const Step *step, guint index, AfpPool *pool, GError **error)
{
  const Run *run = step->run;
  const AfpNet *net = run->net;
  const AfpNetNode *node = step->node;

  const char *const tensors[] = { afp_net_get_observed (net, index), NULL };

  if (!net->observe || !tensors[0])
    return TRUE;
  if (node->op == AFP_NET_CONV)
    return observe_windows (step, tensors, pool, error);
  const gsize in = (gsize) node->weights[0].cols, rows = count (run, node->inputs[0]) / in;
  for (gsize image = 0; image < step->n; image += run->group)
    if (!net->observe (net->observer_data, tensors, MIN (run->group, step->n - image) * rows, in,
                       numbers (run, node->inputs[0], image), pool, error))
      return FALSE;
  return TRUE;
}

/* --- the run ------------------------------------------------------------------------------------------------------ */

static gboolean
make_buffer (Run *run, guint index, GError **error)
{
  const gsize n = run->round * count (run, index);

  run->buffers[index] = g_try_new (float, n);
  if (run->buffers[index])
    return TRUE;
  g_set_error (error, AFP_ERROR, AFP_ERROR_MEMORY,
               "no memory for the %" G_GSIZE_FORMAT " numbers of layer '%s'", n,
               afp_net_graph_get (run->net->graph, index)->name);
  return FALSE;
}

/* Those that nobody needs after node @index, or all. */
static void
free_buffers (Run *run, guint index, gboolean all)
{
  for (guint i = 0; i <= index; i++)
    if (all || afp_net_graph_get (run->net->graph, i)->last <= index)
      g_clear_pointer (&run->buffers[i], g_free);
}

/* Node @index for images @first .. @first + n - 1. */
static gboolean
run_node (Run *run, guint index, gsize first, gsize n, gboolean is_last_round, AfpPool *pool,
          GError **error)
{
  const AfpNetNode *node = afp_net_graph_get (run->net->graph, index);
  const Step step = { run, node, &run->weights[index], first, n };

  if (node->buffer == index && !make_buffer (run, index, error))
    return FALSE;
  if (!run->is_read[index] &&
      !afp_net_read_weights (run->net, index, pool, &run->weights[index], error))
    return FALSE;
  run->is_read[index] = TRUE;
  if (!observe (&step, index, pool, error) ||
      !afp_parallel_for (pool, (n + run->group - 1) / run->group, run_group, (gpointer) &step,
                         error))
    return FALSE;
  if (is_last_round)
    afp_net_weights_clear (&run->weights[index]);
  free_buffers (run, index, FALSE);
  return TRUE;
}

static gboolean
run_rounds (Run *run, AfpPool *pool, AfpLmProgress progress, gpointer user_data, GError **error)
{
  const gsize n = run->images->n;
  const guint n_nodes = run->net->graph->nodes->len, output = run->net->graph->output;
  const gsize n_out = count (run, output);
  const guint all = (guint) ((n + run->round - 1) / run->round) * n_nodes;
  guint done = 0;

  for (gsize first = 0; first < n; first += run->round) {
    const gsize here = MIN (run->round, n - first);
    for (guint i = 0; i < n_nodes; i++) {
      if (!run_node (run, i, first, here, first + here == n, pool, error))
        return FALSE;
      if (progress)
        progress (user_data, ++done, all);
    }
    memcpy (run->out + first * n_out, numbers (run, output, 0), here * n_out * sizeof *run->out);
    free_buffers (run, n_nodes - 1, TRUE);
  }
  return TRUE;
}

/* The axes that are not 1; a single axis takes an image of any form. */
static gboolean
check_images (const AfpNet *net, const AfpImages *images, GError **error)
{
  const AfpNetShape *shape = &afp_net_graph_get (net->graph, 0)->shape;
  const guint64 axes[] = { images->height, images->width, images->channels };
  guint at = 0;

  for (guint i = 0; i < G_N_ELEMENTS (axes); i++) {
    while (at < shape->rank && shape->axes[at] == 1)
      at++;
    if (axes[i] != 1 && at < shape->rank && shape->axes[at] == axes[i])
      at++;
    else if (axes[i] != 1)
      at = G_MAXUINT; /* differs */
  }
  while (at < shape->rank && shape->axes[at] == 1)
    at++;
  if (at == shape->rank || (shape->rank == 1 && shape->axes[0] == axes[0] * axes[1] * axes[2]))
    return TRUE;
  g_autofree char *text = afp_net_shape_to_string (shape);
  g_set_error (error, AFP_ERROR, AFP_ERROR_PLAN,
               "the images are %ux%ux%u (%s), but the network takes %s", images->height,
               images->width, images->channels, images->about ? images->about : "given", text);
  return FALSE;
}

/* Images of a round: whole groups. */
static void
plan_rounds (Run *run, guint64 memory)
{
  const guint64 each = MAX (run->net->graph->peak, 1) * sizeof (float);

  run->group = GROUP_IMAGES;
  while (run->group > 1 && run->group * each > GROUP_BYTES)
    run->group /= 2;
  const guint64 groups = (memory ? memory : DEFAULT_BYTES) / (run->group * each);
  run->round = (gsize) MIN (MAX (groups, 1), run->images->n / run->group + 1) * run->group;
}

float *
afp_net_run (AfpNet *net, const AfpImages *images, const AfpNetOptions *options, AfpPool *pool,
             AfpLmProgress progress, gpointer user_data, GError **error)
{
  const guint n_nodes = net->graph->nodes->len;
  Run run = { .net = net, .images = images, .scale = options->scale };

  if (!check_images (net, images, error))
    return NULL;
  plan_rounds (&run, options->memory);
  run.weights = g_new0 (AfpNetWeights, n_nodes);
  run.is_read = g_new0 (gboolean, n_nodes);
  run.buffers = g_new0 (float *, n_nodes);
  run.out = g_new (float, MAX (images->n * count (&run, net->graph->output), 1));
  if (!run_rounds (&run, pool, progress, user_data, error))
    g_clear_pointer (&run.out, g_free);
  free_buffers (&run, n_nodes - 1, TRUE);
  for (guint i = 0; i < n_nodes; i++)
    afp_net_weights_clear (&run.weights[i]);
  g_free (run.weights);
  g_free (run.is_read);
  g_free (run.buffers);
  return run.out;
}
