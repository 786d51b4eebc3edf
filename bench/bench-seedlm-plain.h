/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "seedlm/seedlm-search-kernel.h"

/*
 * The search that needs no idea: quantizes the coefficients for every seed of every block, and scores them. For comparison only.
 *
 * Of coefficients t the error is |w|^2 - 2 t'U'w + t'U'Ut. Seeds are taken a few vectors of floats at a time, each for many blocks.
 */

typedef struct PlainSearch PlainSearch;

/*
 * @codebook: n_centroids (a multiple of 8) x rank, must outlive it; NULL: block floats with mantissas of 4 bits. Returns NULL if
 * memory runs out, or for a basis that is not of C=8 P=3, C=12 P=4 or C=20 P=3.
 */
PlainSearch *
plain_search_new (const SeedlmBasis *basis, const float *codebook, unsigned n_centroids);
void plain_search_free (PlainSearch *search);
/* Fills @errors (n). @quantize: the same for one seed, for those few that float is not enough for, and for the final error. */
void plain_search_run (PlainSearch *search, SeedlmQuantize quantize, void *user_data,
                       const float *blocks, size_t n, double *errors);
