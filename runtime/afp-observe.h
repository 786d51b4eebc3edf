/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afpipe.h"

/**
 * AfpObserve:
 * @user_data: of the observer
 * @tensors: names of the weights that these inputs go into, ended by %NULL: those of q, k and v have theirs in common
 * @n: rows
 * @dim: columns: those of the weights' matrix view
 * @x: the inputs, n x dim; valid during the call
 * @pool: (nullable): for loops
 * @error: what went wrong; it ends the run
 *
 * Told what goes into each linear layer while a model runs. Called from the thread that runs the model, one call after another, in the
 * same order and with the same rows for any number of threads.
 */
typedef gboolean (*AfpObserve) (gpointer user_data, const char *const *tensors, gsize n, gsize dim,
                                const float *x, AfpPool *pool, GError **error);
