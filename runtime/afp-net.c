/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-net-private.h"

#include "keras-config.h"

#include <cblas.h>
#include <math.h>

/* --- tensors ------------------------------------------------------------------------------------------------------ */

/* NAME/VARIABLE as Keras 2 writes it, and as Keras 3 does. */
static void
add_names (GPtrArray *names, const char *first, const char *second, const char *variable)
{
  g_autofree char *path = second ? g_strdup_printf ("%s/%s/%s", first, second, variable)
                                 : g_strdup_printf ("%s/%s", first, variable);

  g_ptr_array_add (names, g_strdup_printf ("%s:0", path));
  g_ptr_array_add (names, g_steal_pointer (&path));
}

/*
 * What a tensor may be called: "dense/kernel:0"; "model/dense/kernel:0" in Keras 3, or in a model inside of the model; the same behind
 * the layer's name, where two layers would have it; "kernel" where no other layer has one.
 */
static GPtrArray *
list_names (const AfpNetNode *node, const AfpNetWeight *weight)
{
  GPtrArray *names = g_ptr_array_new_with_free_func (g_free);

  for (guint i = 0; i < G_N_ELEMENTS (weight->names) && weight->names[i]; i++) {
    const char *variable = weight->names[i];
    add_names (names, node->name, NULL, variable);
    add_names (names, node->name, node->name, variable);
    if (node->scope)
      add_names (names, node->scope, node->name, variable);
    g_ptr_array_add (names, g_strdup (variable));
  }
  return names;
}

/* @name: (out): what it is called. */
static AfpMatrix *
open_weight (const AfpNet *net, const AfpNetNode *node, const AfpNetWeight *weight, char **name,
             GError **error)
{
  g_autoptr (GPtrArray) names = list_names (node, weight);

  for (guint i = 0; i < names->len; i++) {
    GError *local = NULL;
    AfpMatrix *matrix = net->open (net->user_data, names->pdata[i], &local);
    if (matrix) {
      *name = g_strdup (names->pdata[i]);
      return matrix;
    }
    if (local) {
      g_propagate_error (error, local);
      return NULL;
    }
  }
  g_set_error (error, AFP_ERROR, AFP_ERROR_PLAN,
               "the network cannot be run: layer '%s' (%s) has no tensor '%s', nor one of another "
               "name that Keras gives it ('%s', ...)",
               node->name, node->class_name, (char *) names->pdata[0], (char *) names->pdata[1]);
  return NULL;
}

static gboolean
check_weight (const AfpNetNode *node, const AfpNetWeight *weight, const AfpMatrix *matrix,
              const char *name, GError **error)
{
  const guint64 rows = afp_matrix_get_rows (matrix), cols = afp_matrix_get_cols (matrix);

  if ((rows == weight->rows && cols == weight->cols) ||
      (weight->rows == 1 && rows == weight->cols && cols == 1))
    return TRUE;
  g_set_error (error, AFP_ERROR, AFP_ERROR_PLAN,
               "the network cannot be run: tensor '%s' is %" G_GUINT64_FORMAT "x%" G_GUINT64_FORMAT
               ", its layer '%s' (%s) asks for %" G_GUINT64_FORMAT "x%" G_GUINT64_FORMAT,
               name, rows, cols, node->name, node->class_name, weight->rows, weight->cols);
  return FALSE;
}

static gboolean
find_tensors (AfpNet *net, GError **error)
{
  const guint n = net->graph->nodes->len;

  net->tensors = g_new0 (char *, (gsize) n *AFP_NET_MAX_WEIGHTS);
  for (guint i = 0; i < n; i++) {
    const AfpNetNode *node = afp_net_graph_get (net->graph, i);
    for (guint w = 0; w < node->n_weights; w++) {
      char **name = &net->tensors[i * AFP_NET_MAX_WEIGHTS + w];
      g_autoptr (AfpMatrix) matrix = open_weight (net, node, &node->weights[w], name, error);
      if (!matrix || !check_weight (node, &node->weights[w], matrix, *name, error))
        return FALSE;
    }
  }
  return TRUE;
}

const char *
afp_net_get_observed (const AfpNet *net, guint index)
{
  const AfpNetNode *node = afp_net_graph_get (net->graph, index);
  const gboolean tells =
      node->op == AFP_NET_DENSE || (node->op == AFP_NET_CONV && node->groups == 1);

  return tells ? afp_net_get_tensor (net, index, 0) : NULL;
}

const char *
afp_net_get_tensor (const AfpNet *net, guint index, guint which)
{
  return net->tensors[index * AFP_NET_MAX_WEIGHTS + which];
}

/* --- decoded ------------------------------------------------------------------------------------------------------ */

void
afp_net_weights_clear (AfpNetWeights *weights)
{
  for (guint w = 0; w < AFP_NET_MAX_WEIGHTS; w++)
    g_clear_pointer (&weights->bytes[w], g_bytes_unref);
}

/* channels x pixels become pixels x channels. */
static GBytes *
turn (GBytes *bytes, gsize rows, gsize cols)
{
  const float *from = g_bytes_get_data (bytes, NULL);
  float *to = g_new (float, rows *cols);

  for (gsize r = 0; r < rows; r++)
    for (gsize c = 0; c < cols; c++)
      to[c * rows + r] = from[r * cols + c];
  return g_bytes_new_take (to, rows * cols * sizeof *to);
}

/* (x - mean) / sqrt (variance + epsilon) * gamma + beta as x * factor + offset. */
static void
fold_norm (const AfpNetNode *node, AfpNetWeights *weights)
{
  const gsize n = (gsize) node->weights[0].cols;
  float *factor = g_new (float, n), *offset = g_new (float, n);
  const float *at[AFP_NET_MAX_WEIGHTS];
  guint w = 0;

  for (guint i = 0; i < node->n_weights; i++)
    at[i] = g_bytes_get_data (weights->bytes[i], NULL);
  const float *gamma = node->has_gamma ? at[w++] : NULL, *beta = node->has_bias ? at[w++] : NULL;
  const float *mean = at[w], *variance = at[w + 1];
  for (gsize i = 0; i < n; i++) {
    const double by = (gamma ? (double) gamma[i] : 1) / sqrt ((double) variance[i] + node->epsilon);
    factor[i] = (float) by;
    offset[i] = (float) ((beta ? (double) beta[i] : 0) - (double) mean[i] * by);
  }
  afp_net_weights_clear (weights);
  weights->bytes[0] = g_bytes_new_take (factor, n * sizeof *factor);
  weights->bytes[1] = g_bytes_new_take (offset, n * sizeof *offset);
}

gboolean
afp_net_read_weights (AfpNet *net, guint index, AfpPool *pool, AfpNetWeights *weights,
                      GError **error)
{
  const AfpNetNode *node = afp_net_graph_get (net->graph, index);

  for (guint w = 0; w < node->n_weights; w++) {
    const char *name = afp_net_get_tensor (net, index, w);
    GError *local = NULL;
    g_autoptr (AfpMatrix) matrix = net->open (net->user_data, name, &local);
    if (!matrix && !local)
      local = g_error_new (AFP_ERROR, AFP_ERROR_PLAN, "tensor '%s' has gone", name);
    if (matrix && check_weight (node, &node->weights[w], matrix, name, &local))
      weights->bytes[w] = afp_matrix_to_dense (matrix, pool, &local);
    if (!weights->bytes[w]) {
      g_propagate_error (error, local);
      afp_net_weights_clear (weights);
      return FALSE;
    }
  }
  if (node->op == AFP_NET_NORM)
    fold_norm (node, weights);
  if (node->op == AFP_NET_DEPTHWISE) {
    g_autoptr (GBytes) kernel = weights->bytes[0];
    weights->bytes[0] = turn (kernel, node->weights[0].rows, node->weights[0].cols);
  }
  return TRUE;
}

/* --- the network -------------------------------------------------------------------------------------------------- */

AfpNet *
afp_net_new (const char *config, gsize n, AfpLmOpen open, gpointer user_data, GError **error)
{
  AfpNetGraph *graph = afp_keras_parse (config, n, error);

  if (!graph)
    return NULL;
  g_autoptr (AfpNet) net = g_new0 (AfpNet, 1);
  net->graph = graph;
  net->open = open;
  net->user_data = user_data;
  openblas_set_num_threads (1); /* threads are ours, with fixed tiles */
  return find_tensors (net, error) ? g_steal_pointer (&net) : NULL;
}

AfpNet *
afp_net_find (AfpElement *element, AfpLmOpen open, gpointer user_data, GError **error)
{
  g_auto (GStrv) there = afp_element_list_extras (element);

  if (g_strv_contains ((const char *const *) there, AFP_EXTRA_KERAS_CONFIG)) {
    gsize n;
    g_autoptr (GBytes) bytes = afp_element_read_extra (element, AFP_EXTRA_KERAS_CONFIG, error);
    const char *text = bytes ? g_bytes_get_data (bytes, &n) : NULL;
    return bytes ? afp_net_new (text, n, open, user_data, error) : NULL;
  }
  g_autofree char *list = g_strjoinv (", ", there);
  g_set_error (error, AFP_ERROR, AFP_ERROR_PLAN,
               "%s: the model cannot be run as a classifier of images: no model upstream has '%s' "
               "with it, the configuration in the .h5 files of Keras; there is %s",
               afp_element_get_name (element), AFP_EXTRA_KERAS_CONFIG, *list ? list : "nothing");
  return NULL;
}

void
afp_net_free (AfpNet *net)
{
  for (guint i = 0; net->tensors && i < net->graph->nodes->len * AFP_NET_MAX_WEIGHTS; i++)
    g_free (net->tensors[i]);
  g_free (net->tensors);
  afp_net_graph_free (net->graph);
  g_free (net);
}

const AfpNetGraph *
afp_net_get_graph (const AfpNet *net)
{
  return net->graph;
}

guint64
afp_net_get_n_classes (const AfpNet *net)
{
  return afp_net_shape_count (&afp_net_graph_get (net->graph, net->graph->output)->shape);
}

void
afp_net_set_observer (AfpNet *net, AfpObserve observe, gpointer user_data)
{
  net->observe = observe;
  net->observer_data = user_data;
}
