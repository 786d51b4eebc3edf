/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keras-net-test.h"

#include <math.h>

static char *
chain (const char *class_name, const char *settings)
{
  return g_strdup_printf (
      KERAS_CHAIN ("8, 7, 6", "{'class_name': '%s', 'config': {'name': 'x'%s%s}}"), class_name,
      *settings ? ", " : "", settings);
}

/* The one layer of a chain. */
static AfpNetGraph *
parse_layer (const char *class_name, const char *settings)
{
  g_autofree char *text = chain (class_name, settings);
  GError *error = NULL;
  AfpNetGraph *graph = parse_keras (text, &error);

  ck_assert_msg (graph != NULL, "%s: %s", text, error ? error->message : "");
  return graph;
}

static const AfpNetNode *
last (const AfpNetGraph *graph)
{
  return afp_net_graph_get (graph, graph->nodes->len - 1);
}

/* --- classes ------------------------------------------------------------------------------------------------------ */

static const struct {
  const char *class_name, *settings, *shape;
  AfpNetOp op;
  guint n_weights;
} layers[] = {
  { "Dense", "'units': 5", "8x7x5", AFP_NET_DENSE, 2 },
  { "Dense", "'units': 5, 'use_bias': false", "8x7x5", AFP_NET_DENSE, 1 },
  { "Conv2D", "'filters': 4, 'kernel_size': [3, 2]", "6x6x4", AFP_NET_CONV, 2 },
  { "Conv2D", "'filters': 4, 'kernel_size': 3, 'strides': 2, 'padding': 'same'", "4x4x4",
    AFP_NET_CONV, 2 },
  { "Conv2D", "'filters': 4, 'kernel_size': 3, 'dilation_rate': [2, 1], 'groups': 2", "4x5x4",
    AFP_NET_CONV, 2 },
  { "DepthwiseConv2D", "'kernel_size': 3, 'depth_multiplier': 3", "6x5x18", AFP_NET_DEPTHWISE, 2 },
  { "SeparableConv2D", "'kernel_size': 3, 'filters': 9, 'strides': [2, 2]", "3x3x9", AFP_NET_CONV,
    2 },
  { "MaxPooling2D", "", "4x3x6", AFP_NET_MAX_POOL, 0 },
  { "MaxPooling2D", "'pool_size': [3, 3], 'strides': null", "2x2x6", AFP_NET_MAX_POOL, 0 },
  { "AveragePooling2D", "'pool_size': 2, 'strides': [1, 3], 'padding': 'same'", "8x3x6",
    AFP_NET_AVERAGE_POOL, 0 },
  { "GlobalAveragePooling2D", "", "6", AFP_NET_AVERAGE_POOL, 0 },
  { "GlobalMaxPooling2D", "'keepdims': true", "1x1x6", AFP_NET_MAX_POOL, 0 },
  { "BatchNormalization", "'axis': [3]", "8x7x6", AFP_NET_NORM, 4 },
  { "BatchNormalization", "'axis': -1, 'scale': false, 'center': false", "8x7x6", AFP_NET_NORM, 2 },
  { "Activation", "'activation': 'relu'", "8x7x6", AFP_NET_ACTIVATE, 0 },
  { "Softmax", "'axis': 3", "8x7x6", AFP_NET_ACTIVATE, 0 },
  { "Flatten", "", "336", AFP_NET_RESHAPE, 0 },
  { "Reshape", "'target_shape': [-1, 21]", "16x21", AFP_NET_RESHAPE, 0 },
  { "ZeroPadding2D", "'padding': [[1, 2], [3, 4]]", "11x14x6", AFP_NET_SURROUND, 0 },
  { "ZeroPadding2D", "'padding': [1, 2]", "10x11x6", AFP_NET_SURROUND, 0 },
  { "ZeroPadding2D", "'padding': 3", "14x13x6", AFP_NET_SURROUND, 0 },
  { "Rescaling", "'scale': 0.5, 'offset': 1", "8x7x6", AFP_NET_AFFINE, 0 },
  { "Dropout", "'rate': 0.5", "8x7x6", AFP_NET_RESHAPE, 0 },
  { "SpatialDropout2D", "", "8x7x6", AFP_NET_RESHAPE, 0 },
  { "GaussianNoise", "", "8x7x6", AFP_NET_RESHAPE, 0 },
  { "RandomFlip", "", "8x7x6", AFP_NET_RESHAPE, 0 },
  { "Add", "", "8x7x6", AFP_NET_ADD, 0 },
  { "Multiply", "", "8x7x6", AFP_NET_MULTIPLY, 0 },
  { "Concatenate", "'axis': 2", "8x7x6", AFP_NET_CONCATENATE, 0 },
};

START_TEST (every_class_becomes_a_node)
{
  g_autoptr (AfpNetGraph) graph = parse_layer (layers[_i].class_name, layers[_i].settings);
  const AfpNetNode *node = last (graph);

  ck_assert_int_eq (node->op, layers[_i].op);
  ck_assert_uint_eq (node->n_weights, layers[_i].n_weights);
  assert_text (afp_net_shape_to_string (&node->shape), layers[_i].shape);
}
END_TEST

START_TEST (a_separable_convolution_is_two)
{
  g_autoptr (AfpNetGraph) graph =
      parse_layer ("SeparableConv2D",
                   "'kernel_size': 3, 'filters': 9, 'depth_multiplier': 2, 'activation': 'tanh'");
  const AfpNetNode *first = afp_net_graph_get (graph, 1), *second = afp_net_graph_get (graph, 2);

  ck_assert_uint_eq (graph->nodes->len, 3);
  ck_assert_str_eq (first->weights[0].names[0], "depthwise_kernel");
  ck_assert_uint_eq (first->n_weights, 1);
  ck_assert_int_eq (first->activation.function, AFP_NET_LINEAR);
  ck_assert_str_eq (second->weights[0].names[0], "pointwise_kernel");
  ck_assert (second->weights[0].rows == 9 && second->weights[0].cols == 12);
  ck_assert_int_eq (second->activation.function, AFP_NET_TANH);
}
END_TEST

/* --- activations -------------------------------------------------------------------------------------------------- */

static const struct {
  const char *class_name, *settings;
  AfpNetActivation activation;
} activations[] = {
  { "Activation", "'activation': 'relu6'", { AFP_NET_RELU, 0, 0, 6 } },
  { "Activation", "'activation': 'swish'", { AFP_NET_SILU, 0, 0, 0 } },
  { "Activation", "'activation': 'hard_sigmoid'", { AFP_NET_HARD_SIGMOID, 0.2f, 0, 0 } },
  { "Activation",
    "'activation': {'class_name': 'function', 'config': 'elu'}",
    { AFP_NET_ELU, 1, 0, 0 } },
  { "Activation", "'activation': null", { AFP_NET_LINEAR, 0, 0, 0 } },
  { "ReLU", "", { AFP_NET_RELU, 0, 0, INFINITY } },
  { "ReLU",
    "'max_value': 6.0, 'negative_slope': 0.1, 'threshold': 1",
    { AFP_NET_RELU, 0.1f, 1, 6 } },
  { "ReLU", "'max_value': null", { AFP_NET_RELU, 0, 0, INFINITY } },
  { "LeakyReLU", "", { AFP_NET_RELU, 0.3f, 0, INFINITY } },
  { "LeakyReLU", "'alpha': 0.1", { AFP_NET_RELU, 0.1f, 0, INFINITY } },
  { "LeakyReLU", "'negative_slope': 0.2", { AFP_NET_RELU, 0.2f, 0, INFINITY } },
  { "ELU", "'alpha': 2", { AFP_NET_ELU, 2, 0, 0 } },
  { "Dense", "'units': 2, 'activation': 'selu'", { AFP_NET_SELU, 0, 0, 0 } },
};

START_TEST (activations_are_read)
{
  g_autoptr (AfpNetGraph) graph =
      parse_layer (activations[_i].class_name, activations[_i].settings);
  const AfpNetActivation *found = &last (graph)->activation, *a = &activations[_i].activation;

  ck_assert_int_eq (found->function, a->function);
  ck_assert_float_eq (found->slope, a->slope);
  ck_assert_float_eq (found->threshold, a->threshold);
  ck_assert (a->function != AFP_NET_RELU || found->most == a->most);
}
END_TEST

/* --- bad ---------------------------------------------------------------------------------------------------------- */

static const struct {
  const char *class_name, *settings, *words;
} bad[] = {
  { "LSTM", "", "is of a class that is not supported; supported are Dense, Conv2D, " },
  { "Dense", "", "has no whole number in 'units'" },
  { "Dense", "'units': -1", "has no whole number in 'units'" },
  { "Dense", "'units': 1.5", "has no whole number in 'units'" },
  { "Dense", "'units': '5'", "has no whole number in 'units'" },
  { "Dense", "'units': 0", "has 0 outputs" },
  { "Dense", "'units': 100000000000", "has 100000000000 outputs" },
  { "Dense", "'units': 5, 'activation': 'mish'",
    "has activation 'mish'; supported are linear, relu" },
  { "Dense", "'units': 5, 'activation': {'config': 7}", "has activation '?'" },
  { "Conv2D", "'filters': 4", "neither one nor two whole numbers in 'kernel_size'" },
  { "Conv2D", "'filters': 4, 'kernel_size': [3]", "neither one nor two whole numbers" },
  { "Conv2D", "'filters': 4, 'kernel_size': [3, -3]", "neither one nor two whole numbers" },
  { "Conv2D", "'filters': 4, 'kernel_size': [3, 0]", "has a window of 0" },
  { "Conv2D", "'filters': 4, 'kernel_size': 3, 'strides': [1, 'a']", "numbers in 'strides'" },
  { "Conv2D", "'filters': 4, 'kernel_size': 3, 'padding': 'causal'", "has padding 'causal'" },
  { "Conv2D", "'filters': 4, 'kernel_size': 3, 'data_format': 'channels_first'",
    "has data_format 'channels_first'; supported is channels_last" },
  { "Conv2D", "'filters': 4, 'kernel_size': 3, 'groups': 4", "4 groups for 6 channels" },
  { "MaxPooling2D", "'data_format': 'channels_first'", "has data_format 'channels_first'" },
  { "MaxPooling2D", "'pool_size': 20", "a window of 20 on an axis of 8" },
  { "MaxPooling2D", "'strides': 0", "stride 0" },
  { "GlobalMaxPooling2D", "'data_format': 'channels_first'", "has data_format 'channels_first'" },
  { "BatchNormalization", "'axis': 1", "works along axis 1; supported is the last, 3 or -1" },
  { "BatchNormalization", "'axis': [1, 2]", "works along axis 0" },
  { "BatchNormalization", "'epsilon': -1", "has epsilon -1" },
  { "Softmax", "'axis': 2", "works along axis 2" },
  { "Reshape", "", "has 0 axes in 'target_shape'; it may have 1 to 4" },
  { "Reshape", "'target_shape': [1, 1, 1, 1, 336]", "has 5 axes" },
  { "Reshape", "'target_shape': [null, 336]", "no whole number at 0 in 'target_shape'" },
  { "Reshape", "'target_shape': [-1, -1]", "cannot give 8x7x6 another shape" },
  { "Reshape", "'target_shape': [335]", "cannot give 8x7x6 another shape" },
  { "ZeroPadding2D", "'padding': [[1, 2], 3]", "no two pairs of whole numbers" },
  { "ZeroPadding2D", "'padding': [[1, 2], [3, -4]]", "no two pairs of whole numbers" },
  { "ZeroPadding2D", "'padding': [1, 2, 3]", "neither one nor two whole numbers in 'padding'" },
  { "ZeroPadding2D", "'padding': 4000000000", "has a padding of 4000000000" },
  { "Rescaling", "'scale': [1, 2, 3]", "has no single number in 'scale' and 'offset'" },
  { "Rescaling", "'scale': 1, 'offset': [1, 2, 3]", "has no single number" },
  { "Concatenate", "'axis': 0", "joins along axis 0" },
  { "Concatenate", "'axis': 1e300", "joins along axis 1e+300" },
  { "Concatenate", "'axis': -4", "an axis that there is not" },
};

START_TEST (what_cannot_be_run_is_named)
{
  g_autofree char *text = chain (bad[_i].class_name, bad[_i].settings);
  g_autofree char *layer = g_strdup_printf ("layer 'x' (%s) ", bad[_i].class_name);

  assert_not_parsed (text, AFP_ERROR_PLAN, "the network cannot be run: ", layer, bad[_i].words);
}
END_TEST

static const struct {
  const char *shape, *words;
} inputs[] = {
  { "null, 8, 8", "leaves axis 1 of the input open" },
  { "-1, 8, 8", "leaves axis 1 of the input open" },
  { "8, 8, 8, 8, 8", "gives no shape of the input" },
  { "8, 0, 3", "has an axis of 0" },
  { "100000, 100000", "more than the 67108864 numbers" },
};

START_TEST (inputs_without_a_size_are_refused)
{
  g_autofree char *text =
      g_strdup_printf (KERAS_CHAIN ("%s", KERAS_LAYER ("Flatten", "'a': 0")), inputs[_i].shape);

  assert_not_parsed (text, AFP_ERROR_PLAN, "layer 'in' (InputLayer) ", inputs[_i].words);
}
END_TEST

static TCase *
good_case (void)
{
  TCase *tcase = tcase_create ("good");
  tcase_add_loop_test (tcase, every_class_becomes_a_node, 0, G_N_ELEMENTS (layers));
  tcase_add_test (tcase, a_separable_convolution_is_two);
  tcase_add_loop_test (tcase, activations_are_read, 0, G_N_ELEMENTS (activations));
  return tcase;
}

static TCase *
bad_case (void)
{
  TCase *tcase = tcase_create ("bad");
  tcase_add_loop_test (tcase, what_cannot_be_run_is_named, 0, G_N_ELEMENTS (bad));
  tcase_add_loop_test (tcase, inputs_without_a_size_are_refused, 0, G_N_ELEMENTS (inputs));
  return tcase;
}

int
main (void)
{
  TCase *(*const cases[]) (void) = { good_case, bad_case };

  return run_suite ("keras-layers", cases, G_N_ELEMENTS (cases));
}
