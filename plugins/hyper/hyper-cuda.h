/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "hyper-cuda-thread.h"

/*
 * Lattice points, decoding, and the product of a coded matrix with a vector, on a graphics processor of compute capability 7.5 or later, for
 * planes with one frame. Built with --with-cuda, where nvcc is; else there is no device. On failure functions return NULL or 0, and
 * @why says why in words that stay.
 */

#ifdef __cplusplus
extern "C" {
#endif

/* Is there such a device? */
int hyper_cuda_find (int device, const char **why);

/* hyper_lattice_encode(), the same bits. @lengths: n_lengths of them, or NULL. @weights: dimension for each of n vectors, or NULL. */
int hyper_cuda_encode (int device, const HyperThreadSearch *search, const float *lengths,
                       size_t n_lengths, const float *weights, const float *x, size_t n,
                       uint32_t *symbols, const char **why);

/* A coded plane that stays on the device. @plane: in this program's memory; @n_codes: bytes of its codes. */
typedef struct HyperCuda HyperCuda;
HyperCuda *
hyper_cuda_new (int device, const HyperThreadPlane *plane, size_t n_codes, const char **why);
void hyper_cuda_free (HyperCuda *cuda);

/* Its weights, row after row, as binary32 (@out) or binary16 (@half), whichever is not NULL. */
int hyper_cuda_decode (HyperCuda *cuda, float *out, uint16_t *half, const char **why);

/* The product of its weights with @input, a number for each column of them: a number for each row. */
int hyper_cuda_multiply (HyperCuda *cuda, const float *input, float *output, const char **why);

#ifdef __cplusplus
}
#endif
