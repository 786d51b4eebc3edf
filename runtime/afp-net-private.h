/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afp-net.h"

struct _AfpNet {
  AfpNetGraph *graph;
  AfpLmOpen open;
  gpointer user_data;
  char **tensors; /* AFP_NET_MAX_WEIGHTS for each node: names of its weights, or NULL */
  AfpObserve observe;
  gpointer observer_data;
};

/* Decoded weights of a node, in the order of AfpNetNode. */
typedef struct {
  GBytes *bytes[AFP_NET_MAX_WEIGHTS];
} AfpNetWeights;

/* Tensor @which of node @index; NULL: it has none. */
const char *afp_net_get_tensor (const AfpNet *net, guint index, guint which);
/*
 * Decodes them. Those of a norm become a factor and an offset for each channel; those of a depthwise convolution are turned: a row for
 * each pixel of the window.
 */
gboolean afp_net_read_weights (AfpNet *net, guint index, AfpPool *pool, AfpNetWeights *weights,
                               GError **error);
void afp_net_weights_clear (AfpNetWeights *weights);
