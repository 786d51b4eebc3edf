/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afpipe.h"

#include <json-glib/json-glib.h>

/*
 * What config.json says of the linears of a folder of VPTQ: member quantization_config, with quant_method "vptq", an object for each
 * linear in config_for_layers, or for each last part of a name in shared_layer_config.
 */

#define AFP_VPTQ_MAX_LENGTH 64
#define AFP_VPTQ_MAX_CENTROIDS 65536

typedef struct {
  guint64 rows, cols;                            /* out_features, in_features */
  guint length, outlier_length;                  /* numbers in a vector */
  guint centroids, residuals, outlier_centroids; /* vectors in a codebook; 0: there is none */
  guint64 groups, group_size, n_outliers; /* of columns: n_outliers + groups * group_size = cols */
  gboolean norm, perm;
  gboolean packed; /* indices are strings of bits, else 16 bits each */
} AfpVptqLayer;

typedef struct {
  char *path;
  AfpDType dtype;     /* that the model is computed in; AFP_N_DTYPES: not said */
  GHashTable *layers; /* name of a linear -> AfpVptqLayer */
  GHashTable *shared; /* last part of such a name -> AfpVptqLayer */
} AfpVptqConfig;

/* Does the folder of the file @path have a config.json of VPTQ? */
gboolean afp_vptq_config_is_beside (const char *path);
/* Reads it; AFP_ERROR_FORMAT where it is none, or describes a linear that cannot be. */
AfpVptqConfig *afp_vptq_config_new (const char *path, GError **error);
void afp_vptq_config_free (AfpVptqConfig *config);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (AfpVptqConfig, afp_vptq_config_free)
/* (nullable) */
const AfpVptqLayer *afp_vptq_config_find (const AfpVptqConfig *config, const char *linear);

/* The bytes of a config.json without its quantization_config: what the model is once it is decoded. */
GBytes *afp_vptq_config_without (GBytes *config, const char *path, GError **error);

guint afp_vptq_index_bits (guint centroids);             /* of a power of two; 0 for 0 */
guint64 afp_vptq_n_vectors (guint64 rows, guint length); /* in a column; the last may be padded */
guint64 afp_vptq_n_words (const AfpVptqLayer *layer); /* of 32 bits, in a packed row of a group */
