/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afp-net-graph.h"

#include <json-glib/json-glib.h>

/**
 * AfpKerasLayer: a layer of a Keras model_config
 * @class_name: "Conv2D"
 * @name: of the layer
 * @scope: (nullable): the model that it is in, the innermost
 * @config: its settings
 * @is_keras3: written by Keras 3
 * @inputs: (array length=n_inputs): nodes of the graph that it is called with
 */
typedef struct {
  const char *class_name, *name, *scope;
  JsonObject *config;
  gboolean is_keras3;
  const guint *inputs;
  guint n_inputs;
} AfpKerasLayer;

/*
 * Adds what the layer computes to the graph; @output: the node that its output is. AFP_ERROR_PLAN names the layer and what it has that
 * is not supported.
 */
gboolean
afp_keras_add_layer (AfpNetGraph *graph, const AfpKerasLayer *layer, guint *output, GError **error);
/* A list of axes, the first of them null (the batch), or NULL: the input of the network. */
gboolean afp_keras_add_input (AfpNetGraph *graph, const AfpKerasLayer *layer, JsonArray *shape,
                              guint *output, GError **error);
