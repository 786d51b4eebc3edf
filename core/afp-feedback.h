/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afp-codec-private.h"

/*
 * AfpFeedback: what the error of each column block of a plane is to the columns still to come. With H = E[x x^T] of the layer's
 * inputs = U D U^T, U unit upper triangular by blocks of one quantum, an error E of the weights costs
 *
 *   tr (E H E^T) = sum of (E U)_j D_j (E U)_j^T over the blocks j,
 *
 * and (E U)_j is what the codec makes of the target w_j - sum of E_i U_ij over the blocks before: so each block is coded to its target,
 * under the metric D_j (LDLQ: Chee et al. 2023, "QuIP"; GPTQ: Frantar et al. 2022). Here E is what is decoded less what was to be coded.
 * Blocks may be taken in another order than they lie in: then H, U and D are those of H with its rows and columns in that order, and a
 * block's place is its number in it. In a transposed layout (blocks run down a column) a step is one column: a row of the codec.
 * Ref-counted, immutable. Internal.
 */
#pragma GCC visibility push(default) /* not installed, but tests call it */

typedef struct _AfpFeedback AfpFeedback;

typedef enum {
  AFP_FEEDBACK_NATURAL,
  AFP_FEEDBACK_IMPORTANCE /* the block with the largest sum of mean squares first; of equal ones the first */
} AfpFeedbackOrder;

/* @cols: of the plane, padded; those beyond the moments' size count next to nothing. @damping: is added to the diagonal, in units of its
 * mean; raised tenfold, up to 1, while the matrix is not positive definite */
AfpFeedback *afp_feedback_new (AfpMoments *moments, guint64 cols, guint quantum, double damping,
                               AfpFeedbackOrder order, AfpPool *pool, GError **error);
AfpFeedback *afp_feedback_ref (AfpFeedback *self);
void afp_feedback_unref (AfpFeedback *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (AfpFeedback, afp_feedback_unref)

gboolean
afp_feedback_is_of (const AfpFeedback *self, const AfpMoments *moments, guint64 cols, guint quantum,
                    double damping, AfpFeedbackOrder order); /* made from these */
double afp_feedback_get_damping (const AfpFeedback *self);   /* as it was raised */
guint64 afp_feedback_get_cols (const AfpFeedback *self);
guint afp_feedback_get_quantum (const AfpFeedback *self);
/* The block at each place, or NULL: they are taken as they lie. */
const guint32 *afp_feedback_get_places (const AfpFeedback *self);
/* D_j, quantum x quantum, of the block at place @col / quantum; H is divided by the mean of its diagonal. */
const float *afp_feedback_get_metric (const AfpFeedback *self, guint64 col);
/* U, @cols x @cols, by places; only what is right of the diagonal's blocks means something, and for blocks of one column its mirror
 * image below. */
const float *afp_feedback_get_factor (const AfpFeedback *self);

guint64 afp_feedback_get_bytes (guint64 cols, guint quantum); /* that one holds */
guint64 afp_feedback_get_scratch (guint64 cols);              /* while it is made, beside these */

/* --- afp-feedback-tile.c --- */

/* Tiles are whole rows; of a transposed layout whole columns. */
void afp_feedback_init_tiles (AfpTiles *tiles, const AfpLayout *layout);
/* Codes the values of a tile, block after block, into its planes; the values are lost. @targets: (nullable): what was to be coded goes
 * there, rows x columns of the plane as the codec sees it. */
gboolean afp_feedback_encode (const AfpFeedback *self, AfpContext *ctx, gpointer state,
                              AfpBlockBuffer *tile, float *targets, GError **error);
guint64 afp_feedback_get_tile_bytes (guint64 rows, guint quantum); /* of encoding, beside planes */
/* Likewise, of a transposed layout: tiles of @width columns */
guint64 afp_feedback_get_turned_bytes (guint64 rows, guint64 width, guint quantum);

#pragma GCC visibility pop
