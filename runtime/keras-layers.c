/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keras-layers.h"

#include "json-util.h"

#include <math.h>
#include <string.h>

/* --- settings ----------------------------------------------------------------------------------------------------- */

/* A whole number from 0 on, as it stands in an array or an object. */
static gboolean
read_size (JsonNode *node, guint64 *value)
{
  const GType type = node && JSON_NODE_HOLDS_VALUE (node) ? json_node_get_value_type (node) : 0;
  const gint64 number = type == G_TYPE_INT64 ? json_node_get_int (node) : -1;

  *value = number >= 0 ? (guint64) number : 0;
  return number >= 0;
}

static gboolean
get_size (const AfpKerasLayer *layer, const char *name, guint64 otherwise, guint64 *value,
          GError **error)
{
  JsonNode *node = json_object_get_member (layer->config, name);

  *value = otherwise;
  if (!node && otherwise > 0)
    return TRUE;
  return read_size (node, value) ||
         afp_net_refuse (layer, error, "has no whole number in '%s'", name);
}

/* One number for both axes of an image, or a list of two; @otherwise where it is absent or null. */
static gboolean
get_pair (const AfpKerasLayer *layer, const char *name, guint64 otherwise, size_t *height,
          size_t *width, GError **error)
{
  JsonNode *node = json_object_get_member (layer->config, name);
  JsonArray *list = afp_json_get_array (layer->config, name);
  guint64 a = otherwise, b = otherwise;
  gboolean ok = TRUE;

  if (list)
    ok = json_array_get_length (list) == 2 && read_size (json_array_get_element (list, 0), &a) &&
         read_size (json_array_get_element (list, 1), &b);
  else if (node && !JSON_NODE_HOLDS_NULL (node)) {
    ok = read_size (node, &a);
    b = a;
  } else
    ok = otherwise > 0;
  *height = a;
  *width = b;
  return ok || afp_net_refuse (layer, error, "has neither one nor two whole numbers in '%s'", name);
}

static gboolean
check_format (const AfpKerasLayer *layer, GError **error)
{
  const char *format = afp_json_get_text (layer->config, "data_format", "channels_last");

  return strcmp (format, "channels_last") == 0 ||
         afp_net_refuse (layer, error, "has data_format '%s'; supported is channels_last", format);
}

static gboolean
get_padding (const AfpKerasLayer *layer, gboolean *is_same, GError **error)
{
  const char *padding = afp_json_get_text (layer->config, "padding", "valid");

  *is_same = strcmp (padding, "same") == 0;
  return *is_same || strcmp (padding, "valid") == 0 ||
         afp_net_refuse (layer, error, "has padding '%s'; supported are same, valid", padding);
}

/* --- activations -------------------------------------------------------------------------------------------------- */

static const struct {
  const char *name;
  AfpNetActivation activation;
} activations[] = {
  { "linear", { AFP_NET_LINEAR, 0, 0, 0 } },
  { "relu", { AFP_NET_RELU, 0, 0, INFINITY } },
  { "relu6", { AFP_NET_RELU, 0, 0, 6 } },
  { "leaky_relu", { AFP_NET_RELU, 0.2f, 0, INFINITY } },
  { "sigmoid", { AFP_NET_SIGMOID, 0, 0, 0 } },
  { "tanh", { AFP_NET_TANH, 0, 0, 0 } },
  { "softmax", { AFP_NET_SOFTMAX, 0, 0, 0 } },
  { "elu", { AFP_NET_ELU, 1, 0, 0 } },
  { "selu", { AFP_NET_SELU, 0, 0, 0 } },
  { "swish", { AFP_NET_SILU, 0, 0, 0 } },
  { "silu", { AFP_NET_SILU, 0, 0, 0 } },
  { "gelu", { AFP_NET_GELU, 0, 0, 0 } },
  { "hard_sigmoid", { AFP_NET_HARD_SIGMOID, 0.2f, 0, 0 } },
  { "hard_silu", { AFP_NET_HARD_SILU, 0, 0, 0 } },
  { "hard_swish", { AFP_NET_HARD_SILU, 0, 0, 0 } },
  { "softplus", { AFP_NET_SOFTPLUS, 0, 0, 0 } },
  { "softsign", { AFP_NET_SOFTSIGN, 0, 0, 0 } },
  { "exponential", { AFP_NET_EXPONENTIAL, 0, 0, 0 } },
};

/* A name; or an object with the name as its config, or as its class. */
static const char *
name_activation (JsonObject *config)
{
  JsonObject *object = afp_json_get_object (config, "activation");

  if (object)
    return afp_json_get_text (object, "config", afp_json_get_text (object, "class_name", "?"));
  return afp_json_get_text (config, "activation", "linear");
}

static gboolean
get_activation (const AfpKerasLayer *layer, AfpNetActivation *activation, GError **error)
{
  const char *name = name_activation (layer->config);

  for (guint i = 0; i < G_N_ELEMENTS (activations); i++)
    if (strcmp (name, activations[i].name) == 0) {
      *activation = activations[i].activation;
      if (activation->function == AFP_NET_HARD_SIGMOID && layer->is_keras3)
        activation->slope = 1.0f / 6;
      return TRUE;
    }
  g_autoptr (GString) known = g_string_new (NULL);
  for (guint i = 0; i < G_N_ELEMENTS (activations); i++)
    g_string_append_printf (known, "%s%s", i ? ", " : "", activations[i].name);
  return afp_net_refuse (layer, error, "has activation '%s'; supported are %s", name, known->str);
}

/* --- nodes -------------------------------------------------------------------------------------------------------- */

static AfpNetNode *
new_node (const AfpKerasLayer *layer, AfpNetOp op)
{
  AfpNetNode *node = g_new0 (AfpNetNode, 1);

  node->op = op;
  node->name = g_strdup (layer->name);
  node->scope = g_strdup (layer->scope);
  node->class_name = layer->class_name;
  node->inputs = g_memdup2 (layer->inputs, layer->n_inputs * sizeof *layer->inputs);
  node->n_inputs = layer->n_inputs;
  node->groups = 1;
  node->kernel[0] = "kernel";
  node->window = (AfpNetWindow){ .kernel_height = 1,
                                 .kernel_width = 1,
                                 .stride_height = 1,
                                 .stride_width = 1,
                                 .dilation_height = 1,
                                 .dilation_width = 1 };
  return node;
}

/* What a row of the table below does: settings of @node, from the layer. */
typedef gboolean (*ReadLayer) (const AfpKerasLayer *layer, AfpNetNode *node, GError **error);

static gboolean
read_dense (const AfpKerasLayer *layer, AfpNetNode *node, GError **error)
{
  node->has_bias = afp_json_get_flag (layer->config, "use_bias", TRUE);
  return get_size (layer, "units", 0, &node->outputs, error) &&
         get_activation (layer, &node->activation, error);
}

/* What all convolutions have. */
static gboolean
read_window (const AfpKerasLayer *layer, AfpNetNode *node, GError **error)
{
  AfpNetWindow *w = &node->window;

  node->has_bias = afp_json_get_flag (layer->config, "use_bias", TRUE);
  return check_format (layer, error) && get_padding (layer, &node->is_same, error) &&
         get_pair (layer, "kernel_size", 0, &w->kernel_height, &w->kernel_width, error) &&
         get_pair (layer, "strides", 1, &w->stride_height, &w->stride_width, error) &&
         get_pair (layer, "dilation_rate", 1, &w->dilation_height, &w->dilation_width, error) &&
         get_activation (layer, &node->activation, error);
}

static gboolean
read_conv (const AfpKerasLayer *layer, AfpNetNode *node, GError **error)
{
  return read_window (layer, node, error) &&
         get_size (layer, "filters", 0, &node->outputs, error) &&
         get_size (layer, "groups", 1, &node->groups, error);
}

static gboolean
read_depthwise (const AfpKerasLayer *layer, AfpNetNode *node, GError **error)
{
  node->kernel[0] = "depthwise_kernel";
  node->kernel[1] = "kernel"; /* Keras 3 */
  return read_window (layer, node, error) &&
         get_size (layer, "depth_multiplier", 1, &node->outputs, error);
}

static gboolean
read_pool (const AfpKerasLayer *layer, AfpNetNode *node, GError **error)
{
  AfpNetWindow *w = &node->window;
  JsonNode *strides = json_object_get_member (layer->config, "strides");

  if (!check_format (layer, error) || !get_padding (layer, &node->is_same, error) ||
      !get_pair (layer, "pool_size", 2, &w->kernel_height, &w->kernel_width, error))
    return FALSE;
  w->stride_height = w->kernel_height;
  w->stride_width = w->kernel_width;
  return !strides || JSON_NODE_HOLDS_NULL (strides) ||
         get_pair (layer, "strides", 0, &w->stride_height, &w->stride_width, error);
}

static gboolean
read_global_pool (const AfpKerasLayer *layer, AfpNetNode *node, GError **error)
{
  node->is_global = TRUE;
  node->is_flat = !afp_json_get_flag (layer->config, "keepdims", FALSE);
  return check_format (layer, error);
}

/* The last axis, as one number or in a list; @rank: of the input. */
static gboolean
check_last_axis (const AfpKerasLayer *layer, guint rank, GError **error)
{
  JsonNode *node = json_object_get_member (layer->config, "axis");
  JsonArray *list = afp_json_get_array (layer->config, "axis");
  double axis = -1;

  if (list && json_array_get_length (list) == 1)
    node = json_array_get_element (list, 0);
  if (node && JSON_NODE_HOLDS_VALUE (node) && json_node_get_value_type (node) == G_TYPE_INT64)
    axis = json_node_get_double (node);
  else if (node)
    axis = 0; /* of what cannot be: the batch */
  return axis == -1 || axis == rank ||
         afp_net_refuse (layer, error, "works along axis %.10g; supported is the last, %u or -1",
                         axis, rank);
}

static gboolean
read_norm (const AfpKerasLayer *layer, AfpNetNode *node, GError **error)
{
  node->has_bias = afp_json_get_flag (layer->config, "center", TRUE);
  node->has_gamma = afp_json_get_flag (layer->config, "scale", TRUE);
  node->epsilon = afp_json_get_number (layer->config, "epsilon", 1e-3);
  return (node->epsilon >= 0 && node->epsilon <= 1) ||
         afp_net_refuse (layer, error, "has epsilon %.10g; it may be 0 to 1", node->epsilon);
}

static gboolean
read_activation (const AfpKerasLayer *layer, AfpNetNode *node, GError **error)
{
  return get_activation (layer, &node->activation, error);
}

/* A number, or @otherwise where it is absent or null. */
static float
get_float (const AfpKerasLayer *layer, const char *name, double otherwise)
{
  return (float) afp_json_get_number (layer->config, name, otherwise);
}

static gboolean
read_relu (const AfpKerasLayer *layer, AfpNetNode *node, GError **error)
{
  node->activation = (AfpNetActivation){ AFP_NET_RELU, get_float (layer, "negative_slope", 0),
                                         get_float (layer, "threshold", 0),
                                         get_float (layer, "max_value", INFINITY) };
  return TRUE;
}

static gboolean
read_leaky_relu (const AfpKerasLayer *layer, AfpNetNode *node, GError **error)
{
  const float alpha = get_float (layer, "alpha", 0.3); /* its name before Keras 3 */

  node->activation =
      (AfpNetActivation){ AFP_NET_RELU, get_float (layer, "negative_slope", (double) alpha), 0,
                          INFINITY };
  return TRUE;
}

static gboolean
read_elu (const AfpKerasLayer *layer, AfpNetNode *node, GError **error)
{
  node->activation = (AfpNetActivation){ AFP_NET_ELU, get_float (layer, "alpha", 1), 0, 0 };
  return TRUE;
}

static gboolean
read_softmax (const AfpKerasLayer *layer, AfpNetNode *node, GError **error)
{
  node->activation.function = AFP_NET_SOFTMAX;
  return TRUE;
}

static gboolean
read_flatten (const AfpKerasLayer *layer, AfpNetNode *node, GError **error)
{
  node->shape = (AfpNetShape){ 1, { AFP_NET_ANY } };
  return check_format (layer, error);
}

static gboolean
read_same (const AfpKerasLayer *layer, AfpNetNode *node, GError **error)
{
  return TRUE;
}

static gboolean
read_reshape (const AfpKerasLayer *layer, AfpNetNode *node, GError **error)
{
  JsonArray *list = afp_json_get_array (layer->config, "target_shape");
  const guint rank = list ? json_array_get_length (list) : 0;

  if (rank == 0 || rank > AFP_NET_MAX_RANK)
    return afp_net_refuse (layer, error, "has %u axes in 'target_shape'; it may have 1 to %d", rank,
                           AFP_NET_MAX_RANK);
  node->shape.rank = rank;
  for (guint i = 0; i < rank; i++) {
    JsonNode *element = json_array_get_element (list, i);
    if (JSON_NODE_HOLDS_VALUE (element) && json_node_get_int (element) == -1)
      node->shape.axes[i] = AFP_NET_ANY;
    else if (!read_size (element, &node->shape.axes[i]))
      return afp_net_refuse (layer, error, "has no whole number at %u in 'target_shape'", i);
  }
  return TRUE;
}

/* n, [rows, columns] or [[top, bottom], [left, right]]. */
static gboolean
read_padding (const AfpKerasLayer *layer, AfpNetNode *node, GError **error)
{
  JsonArray *list = afp_json_get_array (layer->config, "padding");
  guint64 sides[4] = { 0 };
  gboolean ok = check_format (layer, error);

  if (!ok)
    return FALSE;
  if (list && json_array_get_length (list) == 2 &&
      JSON_NODE_HOLDS_ARRAY (json_array_get_element (list, 0))) {
    for (guint i = 0; ok && i < 4; i++) {
      JsonNode *pair = json_array_get_element (list, i / 2);
      JsonArray *both = JSON_NODE_HOLDS_ARRAY (pair) ? json_node_get_array (pair) : NULL;
      ok = both && json_array_get_length (both) == 2 &&
           read_size (json_array_get_element (both, i % 2), &sides[i]);
    }
    if (!ok)
      return afp_net_refuse (layer, error, "has no two pairs of whole numbers in 'padding'");
  } else {
    size_t rows = 0, columns = 0;
    if (!get_pair (layer, "padding", 1, &rows, &columns, error))
      return FALSE;
    sides[0] = sides[1] = rows;
    sides[2] = sides[3] = columns;
  }
  for (guint i = 0; i < 4; i++)
    if (sides[i] > AFP_NET_MAX_AXIS)
      return afp_net_refuse (layer, error,
                             "has a padding of %" G_GUINT64_FORMAT "; it may be 0 to %u", sides[i],
                             AFP_NET_MAX_AXIS);
  node->window.top = sides[0];
  node->bottom = sides[1];
  node->window.left = sides[2];
  node->right = sides[3];
  return TRUE;
}

static gboolean
read_rescaling (const AfpKerasLayer *layer, AfpNetNode *node, GError **error)
{
  node->factor = afp_json_get_number (layer->config, "scale", NAN);
  node->offset = afp_json_get_number (layer->config, "offset", 0);
  return (!isnan (node->factor) && !afp_json_get_array (layer->config, "offset")) ||
         afp_net_refuse (layer, error, "has no single number in 'scale' and 'offset'");
}

static gboolean
read_concatenate (const AfpKerasLayer *layer, AfpNetNode *node, GError **error)
{
  const double axis = afp_json_get_number (layer->config, "axis", -1);

  if (!(axis >= -AFP_NET_MAX_RANK && axis <= AFP_NET_MAX_RANK) || axis == 0)
    return afp_net_refuse (layer, error, "joins along axis %.10g, which is not supported", axis);
  node->axis = axis > 0 ? (int) axis - 1 : (int) axis; /* Keras counts the batch */
  return TRUE;
}

/* --- the table ---------------------------------------------------------------------------------------------------- */

#define MANY 0 /* inputs, at least one */

static const struct {
  const char *class_name;
  AfpNetOp op;
  guint n_inputs;
  ReadLayer read;
} classes[] = {
  { "Dense", AFP_NET_DENSE, 1, read_dense },
  { "Conv2D", AFP_NET_CONV, 1, read_conv },
  { "DepthwiseConv2D", AFP_NET_DEPTHWISE, 1, read_depthwise },
  { "SeparableConv2D", AFP_NET_CONV, 1, read_conv },
  { "MaxPooling2D", AFP_NET_MAX_POOL, 1, read_pool },
  { "AveragePooling2D", AFP_NET_AVERAGE_POOL, 1, read_pool },
  { "GlobalMaxPooling2D", AFP_NET_MAX_POOL, 1, read_global_pool },
  { "GlobalAveragePooling2D", AFP_NET_AVERAGE_POOL, 1, read_global_pool },
  { "BatchNormalization", AFP_NET_NORM, 1, read_norm },
  { "Activation", AFP_NET_ACTIVATE, 1, read_activation },
  { "ReLU", AFP_NET_ACTIVATE, 1, read_relu },
  { "LeakyReLU", AFP_NET_ACTIVATE, 1, read_leaky_relu },
  { "ELU", AFP_NET_ACTIVATE, 1, read_elu },
  { "Softmax", AFP_NET_ACTIVATE, 1, read_softmax },
  { "Flatten", AFP_NET_RESHAPE, 1, read_flatten },
  { "Reshape", AFP_NET_RESHAPE, 1, read_reshape },
  { "ZeroPadding2D", AFP_NET_SURROUND, 1, read_padding },
  { "Rescaling", AFP_NET_AFFINE, 1, read_rescaling },
  { "Add", AFP_NET_ADD, MANY, read_same },
  { "Multiply", AFP_NET_MULTIPLY, MANY, read_same },
  { "Concatenate", AFP_NET_CONCATENATE, MANY, read_concatenate },
  /* What only the training has. */
  { "Dropout", AFP_NET_RESHAPE, 1, read_same },
  { "SpatialDropout2D", AFP_NET_RESHAPE, 1, read_same },
  { "AlphaDropout", AFP_NET_RESHAPE, 1, read_same },
  { "GaussianDropout", AFP_NET_RESHAPE, 1, read_same },
  { "GaussianNoise", AFP_NET_RESHAPE, 1, read_same },
  { "ActivityRegularization", AFP_NET_RESHAPE, 1, read_same },
  { "RandomFlip", AFP_NET_RESHAPE, 1, read_same },
  { "RandomRotation", AFP_NET_RESHAPE, 1, read_same },
  { "RandomTranslation", AFP_NET_RESHAPE, 1, read_same },
  { "RandomZoom", AFP_NET_RESHAPE, 1, read_same },
  { "RandomContrast", AFP_NET_RESHAPE, 1, read_same },
};

static gboolean
refuse_class (const AfpKerasLayer *layer, GError **error)
{
  g_autoptr (GString) known = g_string_new (NULL);

  for (guint i = 0; i < G_N_ELEMENTS (classes); i++)
    g_string_append_printf (known, "%s%s", i ? ", " : "", classes[i].class_name);
  return afp_net_refuse (layer, error,
                         "is of a class that is not supported; supported are %s, and "
                         "Sequential and Functional models of them",
                         known->str);
}

/* The first half of a separable convolution; @pixel: its output. */
static gboolean
add_depthwise_half (AfpNetGraph *graph, const AfpKerasLayer *layer, const char *class_name,
                    guint *pixel, GError **error)
{
  g_autoptr (AfpNetNode) node = new_node (layer, AFP_NET_DEPTHWISE);

  node->class_name = class_name;
  if (!read_depthwise (layer, node, error))
    return FALSE;
  node->kernel[1] = NULL;
  node->has_bias = FALSE;
  node->activation.function = AFP_NET_LINEAR;
  if (!afp_net_graph_add (graph, g_steal_pointer (&node), error))
    return FALSE;
  *pixel = graph->nodes->len - 1;
  return TRUE;
}

/* The second half is one of single pixels. */
static void
make_pointwise (AfpNetNode *node, guint pixel)
{
  node->inputs[0] = pixel;
  node->kernel[0] = "pointwise_kernel";
  node->window.kernel_height = node->window.kernel_width = 1;
  node->window.stride_height = node->window.stride_width = 1;
  node->window.dilation_height = node->window.dilation_width = 1;
  node->groups = 1;
}

gboolean
afp_keras_add_layer (AfpNetGraph *graph, const AfpKerasLayer *layer, guint *output, GError **error)
{
  guint c = 0, pixel;

  while (c < G_N_ELEMENTS (classes) && strcmp (classes[c].class_name, layer->class_name) != 0)
    c++;
  if (c == G_N_ELEMENTS (classes))
    return refuse_class (layer, error);
  if (layer->n_inputs == 0 || (classes[c].n_inputs != MANY && layer->n_inputs != 1))
    return afp_net_refuse (layer, error, "has %u inputs; it takes %s", layer->n_inputs,
                           classes[c].n_inputs == MANY ? "one and more" : "one");
  const guint rank = afp_net_graph_get (graph, layer->inputs[0])->shape.rank;
  g_autoptr (AfpNetNode) node = new_node (layer, classes[c].op);
  node->class_name = classes[c].class_name;
  if (!classes[c].read (layer, node, error))
    return FALSE;
  if ((classes[c].read == read_norm || classes[c].read == read_softmax) &&
      !check_last_axis (layer, rank, error))
    return FALSE;
  if (strcmp (layer->class_name, "SeparableConv2D") == 0) {
    if (!add_depthwise_half (graph, layer, classes[c].class_name, &pixel, error))
      return FALSE;
    make_pointwise (node, pixel);
  }
  if (!afp_net_graph_add (graph, g_steal_pointer (&node), error))
    return FALSE;
  *output = graph->nodes->len - 1;
  return TRUE;
}

gboolean
afp_keras_add_input (AfpNetGraph *graph, const AfpKerasLayer *layer, JsonArray *shape,
                     guint *output, GError **error)
{
  const guint n = shape ? json_array_get_length (shape) : 0;
  g_autoptr (AfpNetNode) node = new_node (layer, AFP_NET_INPUT);

  node->class_name = "InputLayer";
  if (n < 2 || n > AFP_NET_MAX_RANK + 1)
    return afp_net_refuse (layer, error, "gives no shape of the input: a batch and 1 to %d axes",
                           AFP_NET_MAX_RANK);
  node->shape.rank = n - 1;
  for (guint i = 1; i < n; i++)
    if (!read_size (json_array_get_element (shape, i), &node->shape.axes[i - 1]))
      return afp_net_refuse (
          layer, error, "leaves axis %u of the input open; networks for images of one size are run",
          i);
  if (!afp_net_graph_add (graph, g_steal_pointer (&node), error))
    return FALSE;
  *output = graph->nodes->len - 1;
  return TRUE;
}
