/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "seedlm-search-kernel.h"

#include "afpipe.h"

/*
 * The search on a graphics processor. It finds the seeds; their coefficients are then quantized here, so that what is stored
 * for a seed does not depend on where it was found. The seeds are those of the search on the processor: the same operations
 * in the same order decide.
 */
typedef struct _SeedlmDevice SeedlmDevice;

/* Is there one? NULL: yes; else why not, in words that stay. */
const char *seedlm_device_missing (void);
/* AFP_ERROR_PLAN. @basis: must stay. */
SeedlmDevice *seedlm_device_new (const SeedlmBasis *basis, GError **error);
void seedlm_device_free (SeedlmDevice *device);
/*
 * seedlm_search_run() without weights, for all blocks in one go: the best of all seeds where params->quantize is block-float with
 * @mantissa_bits; 0: where it is NULL. params->zero is needed where blocks are zero. From any thread. AFP_ERROR_CODEC
 */
gboolean seedlm_device_search (SeedlmDevice *device, const SeedlmSearchParams *params,
                               guint mantissa_bits, const float *blocks, gsize n, guint32 *seeds,
                               float *t_hat, guint32 *codes, GError **error);
