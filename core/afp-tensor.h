/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afp-moments.h"
#include "afp-plane.h"

G_BEGIN_DECLS

/*
 * AfpTensor: a spec, the tree of planes that stands for its values, and meta (the lazily read original; moments of the layer's inputs).
 * Ref-counted, immutable. At plan time its planes have no data.
 */
#define AFP_TYPE_TENSOR (afp_tensor_get_type ())
AFP_API GType afp_tensor_get_type (void);
AFP_API AfpTensor *
afp_tensor_new (AfpSpec *spec, AfpPlane *root); /* a raw root is also the original */
AFP_API AfpTensor *
afp_tensor_new_with_root (AfpTensor *tensor, AfpPlane *root); /* same spec and meta */
AFP_API AfpTensor *afp_tensor_new_with_spec (AfpTensor *tensor, AfpSpec *spec,
                                             AfpPlane *root); /* another dtype; same meta */
AFP_API AfpTensor *afp_tensor_new_with_moments (AfpTensor *tensor, AfpMoments *moments);
AFP_API AfpTensor *afp_tensor_ref (AfpTensor *tensor);
AFP_API void afp_tensor_unref (AfpTensor *tensor);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (AfpTensor, afp_tensor_unref)

AFP_API AfpSpec *afp_tensor_get_spec (const AfpTensor *tensor);
AFP_API AfpPlane *afp_tensor_get_root (const AfpTensor *tensor);
AFP_API AfpPlane *afp_tensor_get_original (
    const AfpTensor *tensor); /* raw plane, or NULL if unknown (our own files) */
AFP_API AfpSpec *
afp_tensor_get_original_spec (const AfpTensor *tensor);               /* to read the original by */
AFP_API AfpMoments *afp_tensor_get_moments (const AfpTensor *tensor); /* or NULL */
AFP_API gboolean afp_tensor_is_raw (const AfpTensor *tensor);         /* the root is a raw array */
AFP_API gboolean afp_tensor_is_planned (const AfpTensor *tensor);     /* no data: plan time */

/* All float planes that nobody took, replaced by their fallback's codes; works on planned tensors too. */
AFP_API AfpTensor *afp_tensor_finalize (AfpTensor *tensor, AfpPool *pool, GError **error);

/* Canonical text of the tree: "weight=seedlm/1(block-size=8,...){seeds,coeffs=block-float/1(...){...},scale=f16/1{...}}"; "weight" for raw. */
AFP_API char *afp_tensor_get_recipe (const AfpTensor *tensor);

/*
 * The size function: what a tensor costs in a file. Used by plan, eval, report and write alike.
 * Float planes are counted as their fallback would store them.
 */
typedef struct {
  guint64 planes;  /* bytes of code planes and raw arrays */
  guint64 padding; /* alignment */
  guint64 rows;    /* this tensor's rows in the tables */
  guint64 total;   /* sum of the above; shared recipes are added by afp_size_recipe_bytes() */
  gboolean exact;  /* FALSE: an upper bound */
} AfpSize;

#define AFP_TENSOR_ROW_BYTES \
  8 /* a row of /tensors, shuffled and deflated, name included: measured 4 to 9 */
#define AFP_PLANE_ROW_BYTES 5 /* a row of /planes, likewise; 4 are the checksum */
#define AFP_ALIGN_SMALL 8     /* bytes: alignment of planes under AFP_ALIGN_LIMIT */
#define AFP_ALIGN_LARGE 64
#define AFP_ALIGN_LIMIT 65536

AFP_API void afp_tensor_get_size (const AfpTensor *tensor, AfpSize *size);
/* Of tensors in one file: planes that they share count once: afp_plane_desc_counts_for() */
AFP_API void afp_tensor_get_size_once (const AfpTensor *tensor, GHashTable *owners, AfpSize *size);
AFP_API guint64 afp_size_recipe_bytes (
    const char *recipe); /* bytes that a distinct recipe costs once in the file */
AFP_API guint64 afp_size_align (guint64 plane_bytes); /* alignment for a plane of so many bytes */

G_END_DECLS
