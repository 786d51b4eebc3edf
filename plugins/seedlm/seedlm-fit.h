/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afpipe.h"
#include "seedlm-tables.h"

/* SeedlmQuantize on an AfpQuantizer, whose errors are kept in @error. */
typedef struct {
  AfpQuantizer *quantizer;
  guint rank;
  GError **error;
} SeedlmAsk;
int seedlm_ask_quantize (void *ask, const float *t, size_t n, const float *metric, uint32_t *codes,
                         float *t_hat);

#define SEEDLM_MIN_WEIGHT 1e-6f /* of an element, relative to the largest in its block */
/* Weights of the elements of n blocks from their metric; of a matrix, the diagonal. Returns NULL if there is none. */
float *seedlm_weights_new (const AfpMetric *metric, gsize n);

/*
 * At most @max blocks of the data that is being fitted, divided by their scale, and the weights of their elements, NULL if all count alike.
 * @scales: one, or with @by_row one for each row; then there are no weights. Free both with g_free().
 */
float *seedlm_sample (AfpContext *ctx, gsize max, guint length, const float *scales,
                      gboolean by_row, gsize *n, float **weights, GError **error);

/**
 * SeedlmFit:
 * @scale, @row_scales: what the data is divided by; @row_scales may be NULL
 * @samples: blocks to train on, at most
 * @rounds: of choosing seeds and fitting again
 */
typedef struct {
  AfpContext *ctx;
  AfpQuantizer *quantizer;
  SeedlmWorkers *workers;
  const SeedlmBasis *basis;
  float scale;
  const float *row_scales;
  guint samples, rounds;
} SeedlmFit;

/* Fits the quantizer of the coefficients to those that the search will give it. */
gboolean seedlm_fit_quantizer (const SeedlmFit *fit, GError **error);
guint64 seedlm_fit_bytes (guint block_size, guint rank, guint64 samples);
