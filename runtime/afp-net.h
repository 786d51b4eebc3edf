/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afp-images.h"
#include "afp-lm-head.h"
#include "afp-net-graph.h"
#include "afp-observe.h"

/*
 * A network that classifies images, as Keras writes it into its files. It runs layer by layer over many images; its weights are read
 * through AfpMatrix, each tensor once in a run.
 */
typedef struct _AfpNet AfpNet;

/**
 * AfpNetOptions:
 * @scale: what pixels are multiplied by: 1 for a network that takes 0 to 255, 1/255 for one that takes 0 to 1
 * @memory: bytes for what goes from layer to layer, at least that of a few images; 0: 64 MiB. Images beyond it wait for a later
 *   round; with several rounds all weights stay decoded until the last
 */
typedef struct {
  float scale;
  guint64 memory;
} AfpNetOptions;

/* @config: Keras' model_config. Looks at the shape of every tensor, reads none. @open and @user_data must live as long as it. */
AfpNet *
afp_net_new (const char *config, gsize n, AfpLmOpen open, gpointer user_data, GError **error);
/* The same, with the configuration from the first source upstream of @element that has one (afp-extras.h). */
AfpNet *afp_net_find (AfpElement *element, AfpLmOpen open, gpointer user_data, GError **error);
void afp_net_free (AfpNet *net);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (AfpNet, afp_net_free)

const AfpNetGraph *afp_net_get_graph (const AfpNet *net);
guint64 afp_net_get_n_classes (const AfpNet *net); /* outputs for an image */

/*
 * Tells @observe (NULL: nobody) what goes into each Dense, Conv2D and SeparableConv2D (its second half), the windows of a convolution a
 * row each. Left out are depthwise convolutions and those with groups: their rows do not all belong to the same weights.
 */
/* The tensor of weights that a node tells of; NULL: it tells nothing. */
const char *afp_net_get_observed (const AfpNet *net, guint node);
void afp_net_set_observer (AfpNet *net, AfpObserve observe, gpointer user_data);

/*
 * n x classes, what comes out for each image; of a network that ends with a softmax, what goes into that (afp_net_get_graph()). The same
 * numbers for any number of threads and any memory. (transfer full)
 */
float *afp_net_run (AfpNet *net, const AfpImages *images, const AfpNetOptions *options,
                    AfpPool *pool, AfpLmProgress progress, gpointer user_data, GError **error);
