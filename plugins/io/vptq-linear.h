/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afpipe.h"

#include <json-glib/json-glib.h>

/*
 * A linear for a folder of VPTQ, from a tensor that `vptq axis=output` has coded: one group, no outliers, columns in their own order. All
 * numbers are f16, in which the codec keeps its codebooks and scales.
 */
typedef struct {
  char *name; /* "model.layers.0.mlp.up_proj" */
  guint64 rows, cols;
  guint length, centroids, residuals; /* residuals: 0: no second codebook */
  GPtrArray *specs;                   /* of AfpSpec: its arrays in the file */
} AfpVptqLinear;

/* @tensor: planned or not. AFP_ERROR_PLAN says what of it the format cannot hold, and what to do. */
AfpVptqLinear *afp_vptq_linear_new (AfpTensor *tensor, GError **error);
void afp_vptq_linear_free (AfpVptqLinear *linear);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (AfpVptqLinear, afp_vptq_linear_free)

/* The arrays, as raw tensors of the specs. @tensor: finalized. (element-type AfpTensor) */
GPtrArray *afp_vptq_linear_make (const AfpVptqLinear *linear, AfpTensor *tensor, GError **error);

/* An entry of config_for_layers. (transfer full) */
JsonNode *afp_vptq_linear_describe (const AfpVptqLinear *linear, gboolean has_bias);
