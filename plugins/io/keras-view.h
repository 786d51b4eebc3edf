/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afpipe.h"

#include <json-glib/json-glib.h>

/* Which axes of a Keras weight are its inputs: from the layer's class, the weight's name and its rank. */

/* Layer name -> JsonObject (class_name, config), those inside of nested models and wrappers too. @config: model_config; it must
 * outlive the table. */
GHashTable *afp_keras_list_layers (JsonNode *config);

/* @layers: (nullable); @layer: name of the layer's group; @weight: entry of weight_names. FALSE: rank below 2, no view. */
gboolean afp_keras_view (GHashTable *layers, const char *layer, const char *weight, guint rank,
                         const guint64 *shape, AfpView *view);
