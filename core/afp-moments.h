/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afp-types.h"

G_BEGIN_DECLS

/*
 * AfpMoments: the second moments of what goes into a linear layer, H = E[x x^T], or their diagonal only. Meta of a tensor: rows and
 * columns of H are the columns of the tensor's matrix view. An error D of the weights costs trace (D H D^T) of the outputs (Frantar et
 * al. 2022, "GPTQ", section 3; Hassibi and Stork 1992). Boxed, ref-counted, immutable; the numbers may lie in a mapped file.
 */
#define AFP_TYPE_MOMENTS (afp_moments_get_type ())
AFP_API GType afp_moments_get_type (void);

/* Floats that are stored: the lower triangle, row after row, or the diagonal. */
AFP_API guint64 afp_moments_n_stored (guint64 size, gboolean diagonal);
AFP_API AfpMoments *afp_moments_new (guint64 size, gboolean diagonal, guint64 n_samples,
                                     GBytes *stored); /* @stored: (nullable): planned */
AFP_API AfpMoments *afp_moments_ref (AfpMoments *moments);
AFP_API void afp_moments_unref (AfpMoments *moments);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (AfpMoments, afp_moments_unref)

AFP_API guint64 afp_moments_get_size (const AfpMoments *moments); /* n of n x n */
AFP_API gboolean afp_moments_is_diagonal (const AfpMoments *moments);
AFP_API gboolean afp_moments_is_planned (const AfpMoments *moments); /* no numbers yet */
AFP_API guint64 afp_moments_get_n_samples (const AfpMoments *moments);

/* Rows and columns first to first + n: n x n floats. Of a diagonal one, zeros elsewhere. */
AFP_API void afp_moments_read (const AfpMoments *moments, guint64 first, guint64 n, float *out);
/* Row @row up to the diagonal: row + 1 floats. */
AFP_API void afp_moments_read_row (const AfpMoments *moments, guint64 row, float *out);
AFP_API void afp_moments_read_diagonal (const AfpMoments *moments, guint64 first, guint64 n,
                                        float *out); /* n floats */

G_END_DECLS
