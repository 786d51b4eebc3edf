/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The step of a quantizer that an entropy coder follows, so that its codes cost so many bits a weight, or have so much error. Pure C11, no allocation.
 *
 * The quantizer codes a sample, again and again, with the step and the code lengths that it is given, and counts its symbols; the
 * code lengths are the ideal ones of the counts before (static tables, one for each context: what the coder will have), so that
 * step, lengths and whatever the quantizer itself learns on the way (centroids) settle together.
 */

/**
 * HyperRateCode: codes the sample.
 * @step: unit of the quantizer, in units of the weights
 * @lambda: what a bit costs, in squared steps
 * @lengths: bits of each symbol, n_contexts x n_symbols
 * @counts: likewise, zeroed: 1 is to be added for each symbol that is coded, in its context
 *
 * Returns the squared error (under the metric, if there is one). May learn centroids, for the next call.
 */
typedef double (*HyperRateCode) (void *coder, double step, double lambda, const float *lengths,
                                 uint32_t *counts);

/**
 * HyperRate: a search.
 * @code, @coder: the quantizer
 * @n_contexts, @n_symbols: shape of the tables
 * @n_weights: in the sample
 * @bits: a weight: what is to be reached
 * @goal: the error to be reached in their place; 0: none
 * @lambda: handed to @code
 * @least_step: no finer one
 * @step: where to begin; then the step found
 * @lengths: n_contexts x n_symbols: then the code lengths that belong to it
 * @counts: likewise, working space: then the counts of the last coding
 * @rate, @error: then those of the last coding: bits a weight, and what @code returned
 * @n_codings: then how often @code was called
 */
typedef struct {
  HyperRateCode code;
  void *coder;
  size_t n_contexts, n_symbols;
  double n_weights;
  double bits, goal;
  double lambda;
  double least_step;
  double step;
  float *lengths;
  uint32_t *counts;
  double rate, error;
  unsigned n_codings;
} HyperRate;

/* Finds the step. Where no step reaches so many bits, or so little error (few distinct values), the least one. Begins with lengths of 0 where @warm is
 * false, else with those that are there. */
void hyper_rate_search (HyperRate *rate, bool warm);

/* Ideal code lengths of counts, for symbols that did not occur too; returns the bits of all that are counted. */
double
hyper_rate_lengths (const uint32_t *counts, size_t n_contexts, size_t n_symbols, float *lengths);
