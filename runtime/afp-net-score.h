/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afp-net.h"

/*
 * How well networks tell what is in images. The first is the reference of the others' divergence.
 */
typedef struct {
  gsize n;         /* images */
  gsize hits;      /* whose label is the likeliest class: the first of equals */
  double accuracy; /* hits / n */
  /* Kullback-Leibler divergence from the reference's predictions, nats, mean; 0 for the reference itself */
  double kl_mean;
  double same_top1; /* share of images where both think the same class likeliest */
} AfpNetScore;

/**
 * afp_net_score:
 * @nets: (array length=n_nets): the first is the reference; they run one after another, the weights of one in memory at a time
 * @n_nets: at least 1
 * @logits: (optional) (inout) (transfer full): what comes out of the first, in the order of images: n x classes floats. If it is known, that
 *   network does not run; else it is told
 * @images: with labels, at least one
 * @options: see #AfpNetOptions
 * @pool: (nullable): threads
 * @progress: (nullable): is told after each layer
 * @user_data: for @progress
 * @scores: (out caller-allocates) (array length=n_nets): one for each network
 * @error: %AFP_ERROR_PLAN: networks, images or labels do not go together; %AFP_ERROR_CANCELLED; what reading weights gives
 *
 * What comes out of a network counts as logits, also where it has no softmax. The same numbers for any number of threads.
 */
gboolean afp_net_score (AfpNet *const *nets, guint n_nets, GBytes **logits, const AfpImages *images,
                        const AfpNetOptions *options, AfpPool *pool, AfpLmProgress progress,
                        gpointer user_data, AfpNetScore *scores, GError **error);
