/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/*
 * Codebooks that are part of the codec: fitted to normal numbers of mean 0 and variance 1. Pure C11: no allocation, no other
 * headers of the project. A table never changes; better ones would get another version.
 */

#define VPTQ_BUILTIN_VERSION 1

/* A number is two digits of base 64: code = 64 * first + second; it stands for (code - 2048) / VPTQ_BUILTIN_STEPS. */
#define VPTQ_BUILTIN_STEPS 400
#define VPTQ_BUILTIN_DIGITS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

/* Is there a table of n_centroids vectors of that length? */
bool vptq_builtin_has (unsigned length, unsigned n_centroids);

/* The i-th table there is, in order of length and size; false past the last. */
bool vptq_builtin_list (size_t i, unsigned *length, unsigned *n_centroids);

/* codebook: n_centroids x length floats. false: there is no such table, and nothing is written. */
bool vptq_builtin_fill (unsigned length, unsigned n_centroids, float *codebook);
