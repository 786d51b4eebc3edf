/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "seedlm-basis-kernel.h"

/*
 * Least squares under a metric: the error of a block w is (w - U t)' M (w - U t), with M symmetric and positive definite, the same for many
 * blocks. The correlations U' M w are still one sliding correlation, of M w; only the triangular factor of each seed is another: that
 * of U' M U. So the scan of seedlm-basis-kernel.h serves, once the factors have been made anew. Pure C11.
 */

/* Room for the factors of @basis under any metric. NULL if memory runs out. */
SeedlmBasis *seedlm_weighed_new (const SeedlmBasis *basis);
void seedlm_weighed_free (SeedlmBasis *weighed);
uint64_t seedlm_weighed_bytes (unsigned seed_bits, unsigned block_size, unsigned rank);

/*
 * Fills @weighed for the metric @m (block_size x block_size). Its hints stay as they are. Returns 0 if memory runs out. A seed whose condition number under the metric exceeds 10^6
 * is not searched; those above 1024 get an explicit basis.
 */
int seedlm_weigh (SeedlmBasis *weighed, const float *m);

/* out = M w; returns w' M w. */
double seedlm_weigh_block (const float *m, unsigned block_size, const float *w, double *out);
