/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afp-tensor.h"

G_BEGIN_DECLS

struct _AfpCodec; /* AfpCodec, declared in afp-codec.h */

/*
 * AfpClaim: the answer to "who takes this float plane?": a codec (or the plane's fallback), its layout, and the claims on
 * the float planes that it leaves in turn. Ref-counted, immutable. Made at plan time by the codec base class.
 */
#define AFP_TYPE_CLAIM (afp_claim_get_type ())
AFP_API GType afp_claim_get_type (void);
AFP_API AfpClaim *afp_claim_ref (AfpClaim *claim);
AFP_API void afp_claim_unref (AfpClaim *claim);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (AfpClaim, afp_claim_unref)
AFP_API AfpClaim *
afp_claim_new_fallback (const AfpPlaneDesc *desc, GError **error); /* the plane's own fallback */
AFP_API struct _AfpCodec *afp_claim_get_codec (const AfpClaim *claim); /* (transfer none) */
AFP_API const AfpLayout *afp_claim_get_layout (const AfpClaim *claim);
AFP_API gboolean afp_claim_is_fallback (const AfpClaim *claim);
AFP_API guint64 afp_claim_get_bytes (const AfpClaim *claim,
                                     gboolean *exact); /* planes, table rows and nested claims */
AFP_API AfpClaim *afp_claim_get_child (const AfpClaim *claim,
                                       guint child); /* (transfer none); NULL for code planes */
/* NULL if the claim can serve as a quantizer; else why it is open loop */
AFP_API const char *afp_claim_get_open_loop_reason (const AfpClaim *claim);
AFP_API char *afp_claim_to_string (
    const AfpClaim *claim); /* "vptq/1(centroids=256,vector-length=4)" with nested ones */

/*
 * AfpQuantizer: how well can vectors of a plane be represented by the codec that will take it? The asker alternates
 * fit() on its current vectors and a new choice of its own codes by the error of quantize().
 * Not thread-safe until frozen; quantize() is const and thread-safe after freeze().
 */
#define AFP_TYPE_QUANTIZER (afp_quantizer_get_type ())
AFP_API
G_DECLARE_FINAL_TYPE (AfpQuantizer, afp_quantizer, AFP, QUANTIZER, GObject)

/* @name: for messages and random seeds ("tensor/weight/coeffs"). */
AFP_API AfpQuantizer *
afp_quantizer_new (AfpClaim *claim, const char *name, AfpPool *pool, GError **error);
AFP_API AfpClaim *afp_quantizer_get_claim (AfpQuantizer *self);
AFP_API guint afp_quantizer_get_length (AfpQuantizer *self);  /* of a vector */
AFP_API guint afp_quantizer_get_n_codes (AfpQuantizer *self); /* symbols per vector */
AFP_API gboolean afp_quantizer_needs_fit (
    AfpQuantizer
        *self); /* FALSE: nothing is to be learned (the paper's mantissas, a shared codebook) */

/**
 * afp_quantizer_fit:
 * @vectors: n x length floats
 * @metric: (nullable): of each vector
 *
 * Fits, or refits from where the last fit ended, and freezes: parameters are rounded through the nested codec that will store them, so that
 * quantize() gives what a decoder will see.
 */
AFP_API gboolean afp_quantizer_fit (AfpQuantizer *self, const float *vectors, gsize n,
                                    const AfpMetric *metric, GError **error);
AFP_API gboolean afp_quantizer_is_frozen (AfpQuantizer *self);

/**
 * afp_quantizer_quantize:
 * @vectors: n x length floats
 * @metric: (nullable): the error that counts
 * @codes: (nullable): n x n_codes symbols
 * @reconstruction: (nullable): n x length floats: what a decoder will see
 * @errors: (nullable): n errors under the metric
 *
 * The nearest representable vectors.
 */
AFP_API gboolean afp_quantizer_quantize (AfpQuantizer *self, const float *vectors, gsize n,
                                         const AfpMetric *metric, guint32 *codes,
                                         float *reconstruction, float *errors, GError **error);

/*
 * Encodes a whole plane as @claim says: fit, freeze, all blocks in parallel. The result is a coded plane whose float children carry
 * values and, where the query was answered, their frozen form. @metric_data: (nullable): desc->metric for all vectors in row order.
 */
AFP_API AfpPlane *afp_claim_encode (AfpClaim *claim, AfpMatrix *matrix, const float *metric_data,
                                    const char *name, AfpPool *pool, GError **error);

/* Registers the fallback codecs: raw32, f16, block-float, drop. Called by the registry. */
AFP_API void afp_fallback_register (void);

G_END_DECLS
