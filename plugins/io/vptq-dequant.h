/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "vptq-layer.h"

/* The arrays of a linear as they lie in the file, of the sizes that the layer asks for. Those that it has none of are NULL. */
typedef struct {
  const guint8 *indices, *res_indices, *outlier_indices;                 /* little-endian */
  const guint8 *perm;                                                    /* 16 bits each */
  const float *centroids, *residuals, *outlier_centroids, *scale, *bias; /* numbers of the dtype */
} AfpVptqArrays;

/*
 * The weights, rows x cols of @dtype (f16, bf16 or f32), bit for bit as the Python package makes them on the CPU: after each operation
 * (plus residual, times scale, plus bias) a number is rounded to @dtype. Refuses indices that reach beyond a codebook, and a permutation
 * that is none. @where is "linear 'x' in 'model.safetensors'".
 */
gboolean afp_vptq_dequantize (const AfpVptqLayer *layer, const AfpVptqArrays *arrays,
                              AfpDType dtype, const char *where, guint8 *out, GError **error);

/* To numbers of f16, bf16 or f32, nearest even. */
void afp_vptq_round (AfpDType dtype, float *numbers, gsize n);
