/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "seedlm-fit.h"

/* What search=fast loses: blocks of each plane are searched both ways. */

#define SEEDLM_LOSS_BLOCKS 256 /* of a plane, at most */

/**
 * SeedlmLossSums:
 * @blocks: searched both ways
 * @fast, @exact: sums of their squared errors, after division by the scale
 */
typedef struct {
  guint64 blocks;
  double fast, exact;
} SeedlmLossSums;

/*
 * Searches n blocks, divided by their scale, as @workers do and then exactly. Blocks of zeros are left out: both ways they get the same.
 * @quantizer: (nullable): of the coefficients, frozen. @pool: (nullable). The sums are the same for any number of threads.
 */
gboolean seedlm_loss_measure (SeedlmWorkers *workers, AfpQuantizer *quantizer, AfpPool *pool,
                              const float *blocks, gsize n, SeedlmLossSums *sums, GError **error);

/* The sums of all planes of a run. Thread-safe. */
typedef struct _SeedlmLoss SeedlmLoss;
SeedlmLoss *seedlm_loss_new (void);
void seedlm_loss_free (SeedlmLoss *loss);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SeedlmLoss, seedlm_loss_free)
/* Those of plane @name, "tensor/plane/path"; they replace what it had. */
void seedlm_loss_set (SeedlmLoss *loss, const char *name, const SeedlmLossSums *sums);
/* (transfer full): search_loss_db and search_blocks; NULL: nothing was measured */
JsonNode *seedlm_loss_to_json (SeedlmLoss *loss);
/* (transfer full) (nullable): the planes of a tensor */
JsonNode *seedlm_loss_save (SeedlmLoss *loss, const char *tensor);
gboolean seedlm_loss_restore (SeedlmLoss *loss, JsonNode *found, GError **error);
