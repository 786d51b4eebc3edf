/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afpipe.h"

/*
 * AfpMomentSum: the sum of x x^T, or of its diagonal, over many x, in double. Rows of a block of 64 lie together, up to their
 * diagonal. The same numbers for any number of threads, and however many rows are added at once as long as the calls are the same.
 */
typedef struct _AfpMomentSum AfpMomentSum;

AfpMomentSum *afp_moment_sum_new (guint64 size, gboolean diagonal);
void afp_moment_sum_free (AfpMomentSum *sum);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (AfpMomentSum, afp_moment_sum_free)

/* @x: n x size */
gboolean
afp_moment_sum_add (AfpMomentSum *sum, gsize n, const float *x, AfpPool *pool, GError **error);
guint64 afp_moment_sum_get_n_samples (const AfpMomentSum *sum);
/* The mean, as AfpMoments stores it: afp_moments_n_stored() floats. */
void afp_moment_sum_get_mean (const AfpMomentSum *sum, float *stored);

/* All that it knows, to be put away and taken up again. @n: (out): bytes */
gpointer afp_moment_sum_get_state (AfpMomentSum *sum, gsize *n);
guint64 afp_moment_sum_get_memory (guint64 size, gboolean diagonal); /* bytes, about */
