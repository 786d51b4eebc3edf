/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afp-types.h"

G_BEGIN_DECLS

/*
 * AfpPool: one set of worker threads for everything. Work is claimed in order, done in parallel; nested loops run inline
 * in the thread that asks.
 */
typedef gboolean (*AfpPoolFunc) (gsize index, gpointer user_data, GError **error);

AFP_API AfpPool *afp_pool_new (guint n_threads); /* 0: one per processor */
AFP_API AfpPool *afp_pool_ref (AfpPool *pool);
AFP_API void afp_pool_unref (AfpPool *pool);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (AfpPool, afp_pool_unref)
AFP_API guint afp_pool_get_n_threads (const AfpPool *pool);
AFP_API void afp_pool_set_cancellable (AfpPool *pool, GCancellable *cancellable);

/**
 * afp_parallel_for:
 * @pool: (nullable): NULL runs inline
 *
 * Calls @func for every index in [0, n). The first error (of the lowest index that failed) stops the loop and is returned;
 * cancellation gives AFP_ERROR_CANCELLED.
 */
AFP_API gboolean afp_parallel_for (AfpPool *pool, gsize n, AfpPoolFunc func, gpointer user_data,
                                   GError **error);

G_END_DECLS
