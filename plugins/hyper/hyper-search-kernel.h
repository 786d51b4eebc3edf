/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "hyper-kernel.h"

/*
 * Nearest points, exactly. Internal to the kernel.
 */

/* A metric: sum over i of diagonal_i (e_i + sum over k > i of upper_ik e_k)^2; largest: what was divided out. */
typedef struct {
  bool plain;
  bool skew; /* some upper_ik is not 0 */
  float largest;
  float diagonal[HYPER_MAX_DIMENSION];
  float upper[HYPER_MAX_DIMENSION][HYPER_MAX_DIMENSION];
  float extent[HYPER_MAX_DIMENSION]; /* the error is at least extent_i e_i^2 for each i */
} HyperQuadratic;

void hyper_quadratic_init (HyperQuadratic *form, HyperMetric metric, unsigned dimension,
                           const float *weights);

/*
 * The point nearest to @t (coordinates of the search) whose error is below @bound: its error, and its index in *index;
 * or @bound, and *index as it was.
 */
float hyper_search_grid (const HyperCode *code, const HyperQuadratic *form, const float *t,
                         float bound, uint32_t *index);
float hyper_search_tree (const HyperCode *code, const HyperQuadratic *form, const float *t,
                         float bound, uint32_t *index);

/* Sets order, axis and tree from the points. */
void hyper_tree_build (HyperCode *code, float *tree, uint32_t *order, uint8_t *axis);
