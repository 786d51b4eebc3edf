/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "h5-dataset.h"

/*
 * What is in a Keras file, or in another HDF5 file, as HDF5 says it: made in a child process (h5-child.h), so it is plain data.
 * With layer_names and weight_names, where Keras put them, it is the model's own weights; else it is all datasets of numbers.
 */
typedef enum {
  AFP_KERAS_MODEL,   /* layer_names, weight_names */
  AFP_KERAS_WEIGHTS, /* Keras 3, .weights.h5 */
  AFP_KERAS_OTHER,   /* any HDF5 */
  AFP_KERAS_N_LAYOUTS
} AfpKerasLayout;

/*
 * layout; text of model_config, or empty; notes: what was left out;
 * weights: layer and entry of weight_names (or empty, and the path), path of the dataset, dtype, shape, bytes, bytes stored, offset.
 * Texts are byte strings: a file may hold anything.
 */
#define AFP_KERAS_LISTING "(yayaaya(ayayayyatttt))"

/* An AfpH5OpFunc. @request: the path, ended by a zero. The bytes of an AFP_KERAS_LISTING. */
GBytes *afp_keras_list (GBytes *request, GBytes *data, GError **error);
