/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afp-net-graph.h"

/*
 * A Keras model_config: Sequential or Functional, of Keras 2 or 3, models inside of models too. AFP_ERROR_FORMAT: it is none;
 * AFP_ERROR_PLAN: it cannot be run, and why.
 */
AfpNetGraph *afp_keras_parse (const char *text, gsize n, GError **error);
