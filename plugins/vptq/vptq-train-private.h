/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "vptq-train-kernel.h"

/* A training in work: vptq-train-kernel.c draws and moves centroids, vptq-assign-kernel.c assigns vectors to them. */

#define TILE 1024u /* vectors of one task */

typedef struct {
  const VptqTrainJob *job;
  VptqTable table;
  float *storage;
  float *codebook;
  float *occupancy;
  float *errors;
  uint32_t *indices;
  uint32_t *order; /* vectors grouped by centroid */
  uint32_t *start; /* n_centroids + 1 places in order */
  /* where the search goes by lists: */
  VptqLists lists;
  uint32_t *found; /* indices; before, cells */
  void *workspace; /* of filling the lists */
  bool filled;
  double *tile_sums;
  uint32_t *tile_moves; /* vectors of a tile that changed their centroid */
  /* while drawing */
  size_t n_drawn_from;
  const float *drawn;
} VptqTrain;

size_t vptq_train_count_tiles (size_t n);
/* Tasks 0 .. n - 1; not zero: stopped. */
int vptq_train_run (const VptqTrain *train, size_t n, void (*task) (size_t, void *), void *data);
double vptq_train_sum_tiles (const VptqTrain *train, size_t n);
/* Every vector to its nearest centroid: errors, indices, tile_sums; order and start group the vectors. -1: stopped. */
int vptq_train_assign (VptqTrain *train, double *objective, size_t *moves);
