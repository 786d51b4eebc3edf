/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keras-net-test.h"

#define FLATTEN KERAS_LAYER ("Flatten", "'a': 0")

/* Classes and inputs of all nodes: "InputLayer, Flatten(0)". */
static char *
describe (const AfpNetGraph *graph)
{
  GString *text = g_string_new (NULL);

  for (guint i = 0; i < graph->nodes->len; i++) {
    const AfpNetNode *node = afp_net_graph_get (graph, i);
    g_string_append_printf (text, "%s%s", i ? " " : "", node->class_name);
    for (guint j = 0; j < node->n_inputs; j++)
      g_string_append_printf (text, "%c%u", j ? ',' : '(', node->inputs[j]);
    if (node->n_inputs)
      g_string_append_c (text, ')');
  }
  g_string_append_printf (text, " -> %u", graph->output);
  return g_string_free (text, FALSE);
}

/* A layer of a Functional model. */
#define NODE(class, name, inbound)                       \
  "{'class_name': '" class                               \
      "', 'name': '" name "', 'config': {'name': '" name \
      "', 'units': 4, 'batch_input_shape': [null, 4]}, 'inbound_nodes': [" inbound "]}"
#define GRAPH(layers, inputs, outputs)                                      \
  "{'class_name': 'Functional', 'config': {'name': 'm', 'layers': [" layers \
  "], 'input_layers': [" inputs "], 'output_layers': [" outputs "]}}"
#define TENSOR(name, node) \
  "{'class_name': '__keras_tensor__', 'config': {'keras_history': ['" name "', " node ", 0]}}"
#define INNER                                                                               \
  "{'class_name': 'Sequential', 'name': 'i', 'config': {'name': 'i', 'layers': ["           \
  "{'class_name': 'InputLayer', 'config': {'name': 'j', 'batch_input_shape': [null, 4]}}, " \
  "{'class_name': 'Dense', 'config': {'name': 'd', 'units': 4}}]}, 'inbound_nodes': "

static const struct {
  const char *text, *nodes;
} good[] = {
  /* Sequential */
  { KERAS_CHAIN ("4", KERAS_LAYER ("ReLU", "'a': 0") ", " KERAS_LAYER ("Dense", "'units': 2")),
    "InputLayer ReLU(0) Dense(1) -> 2" },
  { "{'class_name': 'Sequential', 'config': {'layers': [{'class_name': 'Dense', 'config': {'name': "
    "'d', 'units': 3, 'batch_input_shape': [null, 5]}}]}}",
    "InputLayer Dense(0) -> 1" },
  { "{'class_name': 'Sequential', 'config': {'build_input_shape': [null, 5], 'layers': "
    "[{'class_name': 'Dense', 'config': {'name': 'd', 'units': 3}}]}}",
    "InputLayer Dense(0) -> 1" },
  { "{'class_name': 'Sequential', 'build_config': {'input_shape': [null, 5]}, 'config': {'layers': "
    "[{'class_name': 'Dense', 'config': {'name': 'd', 'units': 3}}]}}",
    "InputLayer Dense(0) -> 1" },
  /* Keras 2, in another order than it runs */
  { GRAPH (
        NODE ("Add", "s", "[['a', 0, 0, {}], ['b', 0, 0, {}]]") ", " NODE (
            "Dense", "b",
            "[['a', 0, 0, {}]]") ", " NODE ("ReLU", "a",
                                            "[['x', 0, 0, {}]]") ", " NODE ("InputLayer", "x", ""),
        "['x', 0, 0]", "['s', 0, 0]"),
    "InputLayer ReLU(0) Add(1,3) Dense(1) -> 2" },
  /* one reference, not in a list; ends without a list around them */
  { GRAPH (NODE ("InputLayer", "x", "") ", " NODE ("ReLU", "a", "['x', 0, 0, {}]"), "'x', 0, 0",
           "'a', 0, 0"),
    "InputLayer ReLU(0) -> 1" },
  /* Keras 3 */
  { GRAPH (
        NODE ("InputLayer", "x", "") ", " NODE (
            "ReLU", "a",
            "{'args': [" TENSOR (
                "x",
                "0") "], 'kwargs': {}}") ", " NODE ("Add", "s",
                                                    "{'args': [[" TENSOR ("a", "0") ", " TENSOR (
                                                        "x", "0") "]], 'kwargs': {'mask': null}}"),
        "'x', 0, 0", "'s', 0, 0"),
    "InputLayer ReLU(0) Add(1,0) -> 2" },
  /* a layer that is called twice, and one that is not called */
  { GRAPH (
        NODE ("InputLayer", "x", "") ", " NODE (
            "Dense", "d",
            "[['x', 0, 0]], [['d', 0, 0]]") ", " NODE ("Dense", "e",
                                                       "") ", " NODE ("ReLU", "r", "[['d', 1, 0]]"),
        "['x', 0, 0]", "['r', 0, 0]"),
    "InputLayer Dense(0) Dense(1) ReLU(2) -> 3" },
  /* a model inside, called twice: Keras 2 counts from 1 */
  { GRAPH (NODE ("InputLayer", "x", "") ", " INNER "[[['x', 0, 0]], [['i', 1, 0]]]}", "['x', 0, 0]",
           "['i', 2, 0]"),
    "InputLayer Dense(0) Dense(1) -> 2" },
  /* a model in a chain */
  { KERAS_CHAIN ("4", INNER "[]}, " KERAS_LAYER ("ReLU", "'a': 0")),
    "InputLayer Dense(0) ReLU(1) -> 2" },
};

START_TEST (models_become_graphs)
{
  GError *error = NULL;
  g_autoptr (AfpNetGraph) graph = parse_keras (good[_i].text, &error);

  ck_assert_msg (graph != NULL, "%s: %s", good[_i].text, error ? error->message : "");
  if (_i != 4) {
    assert_text (describe (graph), good[_i].nodes);
    return;
  }
  /* what comes first of those that can is not laid down, only that inputs come before */
  for (guint i = 0; i < graph->nodes->len; i++)
    for (guint j = 0; j < afp_net_graph_get (graph, i)->n_inputs; j++)
      ck_assert_uint_lt (afp_net_graph_get (graph, i)->inputs[j], i);
  ck_assert_uint_eq (graph->nodes->len, 4);
  ck_assert_str_eq (afp_net_graph_get (graph, graph->output)->class_name, "Add");
}
END_TEST

START_TEST (layers_know_the_model_that_they_are_in)
{
  g_autoptr (AfpNetGraph) graph =
      parse_keras (KERAS_CHAIN ("4", INNER "[]}, " KERAS_LAYER ("ReLU", "'a': 0")), NULL);

  ck_assert_str_eq (afp_net_graph_get (graph, 1)->scope, "i");
  ck_assert_str_eq (afp_net_graph_get (graph, 1)->name, "d");
  ck_assert_str_eq (afp_net_graph_get (graph, 2)->scope, "s");
}
END_TEST

/* Keras 3 has another hard sigmoid: it is known by how it writes the shape of the input. */
START_TEST (keras_3_is_seen)
{
  static const char layer[] = KERAS_LAYER ("Activation", "'activation': 'hard_sigmoid'");
  for (guint i = 0; i < 2; i++) {
    g_autofree char *text = g_strdup_printf (
        "{'class_name': 'Sequential', 'config': {'layers': [{'class_name': 'InputLayer', 'config': "
        "{'name': 'in', '%s': [null, 4]}}, %s]}}",
        i ? "batch_shape" : "batch_input_shape", layer);
    g_autoptr (AfpNetGraph) graph = parse_keras (text, NULL);
    ck_assert_float_eq (afp_net_graph_get (graph, 1)->activation.slope, i ? 1.0f / 6 : 0.2f);
  }
}
END_TEST

/* --- bad ---------------------------------------------------------------------------------------------------------- */

static const struct {
  const char *text;
  int code;
  const char *words;
} bad[] = {
  { "", AFP_ERROR_FORMAT, "model_config" },
  { "[]", AFP_ERROR_FORMAT, "it has no class_name and no config" },
  { "{'class_name': 'Sequential'}", AFP_ERROR_FORMAT, "it has no class_name and no config" },
  { "{'class_name': 7, 'config': {}}", AFP_ERROR_FORMAT, "it has no class_name and no config" },
  { "{'class_name': 'MyModel', 'config': {}}", AFP_ERROR_PLAN,
    "the model is of class 'MyModel'; supported are Sequential, Functional" },
  { "{'class_name': 'Sequential', 'config': {'name': 'q'}}", AFP_ERROR_FORMAT,
    "model 'q' (Sequential) has no list 'layers'" },
  { "{'class_name': 'Sequential', 'config': {'name': 'q', 'layers': []}}", AFP_ERROR_FORMAT,
    "model 'q' (Sequential) has no layers" },
  { "{'class_name': 'Sequential', 'config': {'layers': [7]}}", AFP_ERROR_FORMAT,
    "has no name, class_name and config in layer 0" },
  { "{'class_name': 'Sequential', 'config': {'layers': [{'class_name': 'Dense'}]}}",
    AFP_ERROR_FORMAT, "has no name, class_name and config in layer 0" },
  { "{'class_name': 'Sequential', 'config': {'layers': [" FLATTEN "]}}", AFP_ERROR_PLAN,
    "layer 'x' (Flatten) gives no shape of the input" },
  { "{'class_name': 'Sequential', 'config': {'layers': [" KERAS_INPUT ("4") "]}}", AFP_ERROR_PLAN,
    "it has no layers behind its input" },
  { KERAS_CHAIN ("4", "{'class_name': 'Dense', 'name': 'd'}"), AFP_ERROR_FORMAT,
    "has no config in layer 'd'" },
  { GRAPH (NODE ("InputLayer", "x", ""), "", "['x', 0, 0]"), AFP_ERROR_FORMAT,
    "has no input_layers" },
  { GRAPH (NODE ("InputLayer", "x", ""), "['x', 0, 0]", ""), AFP_ERROR_FORMAT,
    "has no output_layers" },
  { GRAPH (NODE ("InputLayer", "x", "") ", " NODE ("InputLayer", "y", ""),
           "['x', 0, 0], ['y', 0, 0]", "['x', 0, 0]"),
    AFP_ERROR_PLAN, "model 'm' has 2 input_layers; those with one are run" },
  { GRAPH (NODE ("InputLayer", "x", "") ", " NODE ("InputLayer", "y", ""), "['x', 0, 0]",
           "['x', 0, 0]"),
    AFP_ERROR_PLAN, "layer 'y' (InputLayer) is a second input" },
  { GRAPH (NODE ("InputLayer", "x", "") ", " NODE ("ReLU", "a", "[['z', 0, 0]]"), "['x', 0, 0]",
           "['a', 0, 0]"),
    AFP_ERROR_FORMAT, "refers to layer 'z', which it has not" },
  { GRAPH (NODE ("InputLayer", "x", "") ", " NODE ("ReLU", "a", "[['x', 1, 0]]"), "['x', 0, 0]",
           "['a', 0, 0]"),
    AFP_ERROR_FORMAT, "refers to call 1 of layer 'x', which is not called so often" },
  { GRAPH (NODE ("InputLayer", "x", "") ", " NODE ("ReLU", "a", "[['x', -1, 0]]"), "['x', 0, 0]",
           "['a', 0, 0]"),
    AFP_ERROR_FORMAT, "refers to call -1 of layer 'x'" },
  { GRAPH (NODE ("InputLayer", "x", "") ", " NODE ("ReLU", "a", "[['x', 0, 1]]"), "['x', 0, 0]",
           "['a', 0, 0]"),
    AFP_ERROR_FORMAT, "refers to output 1 of layer 'x'" },
  { GRAPH (NODE ("InputLayer", "x", "") ", " NODE ("ReLU", "a", "[[7, 0, 0]]"), "['x', 0, 0]",
           "['a', 0, 0]"),
    AFP_ERROR_FORMAT, "refers to a layer without a name" },
  { GRAPH (NODE ("InputLayer", "x", "") ", " NODE ("ReLU", "a", "[]"), "['x', 0, 0]",
           "['a', 0, 0]"),
    AFP_ERROR_PLAN, "layer 'a' (ReLU) has 0 inputs; it takes one" },
  { GRAPH (NODE ("InputLayer", "x", "") ", " NODE ("ReLU", "a", "[['x', 0, 0], ['x', 0, 0]]"),
           "['x', 0, 0]", "['a', 0, 0]"),
    AFP_ERROR_PLAN, "layer 'a' (ReLU) has 2 inputs; it takes one" },
  { GRAPH (NODE ("InputLayer", "x", "") ", " NODE ("ReLU", "a", "[['b', 0, 0]]") ", " NODE (
               "ReLU", "b", "[['a', 0, 0]]"),
           "['x', 0, 0]", "['a', 0, 0]"),
    AFP_ERROR_FORMAT, "goes round in a circle through layer 'a'" },
  { GRAPH (NODE ("InputLayer", "x", "") ", " NODE ("ReLU", "a", "[['x', 0, 0]]") ", " NODE (
               "ReLU", "a", "[['x', 0, 0]]"),
           "['x', 0, 0]", "['a', 0, 0]"),
    AFP_ERROR_FORMAT, "has two layers 'a'" },
  { GRAPH (NODE ("InputLayer", "x", "") ", " INNER "[[['x', 0, 0], ['x', 0, 0]]]}", "['x', 0, 0]",
           "['i', 1, 0]"),
    AFP_ERROR_FORMAT, "calls 'i' (Sequential) with 2 inputs" },
  { GRAPH (NODE ("InputLayer", "x", "") ", " INNER "[[['x', 0, 0]]]}", "['x', 0, 0]",
           "['i', 0, 0]"),
    AFP_ERROR_FORMAT, "refers to call 0 of layer 'i'" },
};

START_TEST (models_that_are_none_are_refused)
{
  assert_not_parsed (bad[_i].text, bad[_i].code, bad[_i].words);
}
END_TEST

/* Each model calls the one inside twice: two to the power of the depth. */
START_TEST (models_that_multiply_are_refused)
{
  g_autoptr (GString) text = g_string_new (NODE ("Dropout", "i", "[['x', 0, 0]], [['i', 0, 0]]"));

  for (guint i = 0; i < 30; i++) {
    g_autofree char *inner = g_strdup (text->str);
    g_string_printf (
        text,
        "{'class_name': 'Functional', 'name': 'i', 'config': {'name': 'i', 'layers': "
        "[" NODE (
            "InputLayer", "x",
            "") ", %s], 'input_layers': ['x', 0, 0], "
                "'output_layers': ['i', 1, 0]}, 'inbound_nodes': [[['x', 0, 0]], [['i', 1, 0]]]}",
        inner);
  }
  assert_not_parsed (text->str, AFP_ERROR_PLAN, "is one too many", "4096 layers");
}
END_TEST

START_TEST (more_calls_than_layers_may_be_are_refused)
{
  g_autoptr (GString) calls = g_string_new ("[['x', 0, 0]]");

  for (guint i = 0; i < 5000; i++)
    g_string_append (calls, ", [['x', 0, 0]]");
  g_autofree char *text =
      g_strdup_printf (GRAPH (NODE ("InputLayer", "x", "") ", " NODE ("ReLU", "a", "%s"),
                              "['x', 0, 0]", "['a', 0, 0]"),
                       calls->str);
  assert_not_parsed (text, AFP_ERROR_PLAN, "layer 'a' (ReLU) is one too many");
}
END_TEST

static TCase *
good_case (void)
{
  TCase *tcase = tcase_create ("good");
  tcase_add_loop_test (tcase, models_become_graphs, 0, G_N_ELEMENTS (good));
  tcase_add_test (tcase, layers_know_the_model_that_they_are_in);
  tcase_add_test (tcase, keras_3_is_seen);
  return tcase;
}

static TCase *
bad_case (void)
{
  TCase *tcase = tcase_create ("bad");
  tcase_add_loop_test (tcase, models_that_are_none_are_refused, 0, G_N_ELEMENTS (bad));
  tcase_add_test (tcase, models_that_multiply_are_refused);
  tcase_add_test (tcase, more_calls_than_layers_may_be_are_refused);
  return tcase;
}

int
main (void)
{
  TCase *(*const cases[]) (void) = { good_case, bad_case };

  return run_suite ("keras-config", cases, G_N_ELEMENTS (cases));
}
