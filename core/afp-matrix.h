/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afp-spec.h"

G_BEGIN_DECLS

/*
 * AfpMatrix: float32 rectangles, read on demand from whatever holds the numbers: a raw array seen through its matrix
 * view, a dense float array, or a tree of coded planes. Immutable and safe to read from many threads.
 */

/**
 * AfpMatrixRead: fills @out (n_rows x n_cols, row-major) with the rectangle at (row, col), all inside the matrix.
 */
typedef gboolean (*AfpMatrixRead) (gpointer user_data, guint64 row, guint64 n_rows, guint64 col,
                                   guint64 n_cols, float *out, GError **error);

AFP_API AfpMatrix *afp_matrix_new (guint64 rows, guint64 cols, AfpMatrixRead read,
                                   gpointer user_data, GDestroyNotify destroy);
AFP_API AfpMatrix *afp_matrix_new_dense (guint64 rows, guint64 cols, GBytes *f32); /* row-major */
AFP_API AfpMatrix *afp_matrix_new_raw (AfpSpec *spec, GBytes *raw); /* through the matrix view */
AFP_API AfpMatrix *afp_matrix_reshape (AfpMatrix *matrix, guint64 rows,
                                       guint64 cols);        /* same elements in row-major order */
AFP_API AfpMatrix *afp_matrix_transpose (AfpMatrix *matrix); /* its rows are the columns */
AFP_API AfpMatrix *afp_matrix_ref (AfpMatrix *matrix);
AFP_API void afp_matrix_unref (AfpMatrix *matrix);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (AfpMatrix, afp_matrix_unref)

AFP_API guint64 afp_matrix_get_rows (const AfpMatrix *matrix);
AFP_API guint64 afp_matrix_get_cols (const AfpMatrix *matrix);

/* Reads a rectangle that may reach past the right edge: what lies beyond is 0. */
AFP_API gboolean afp_matrix_read (AfpMatrix *matrix, guint64 row, guint64 n_rows, guint64 col,
                                  guint64 n_cols, float *out, GError **error);

/* The whole matrix as one dense block of rows x cols floats. */
AFP_API GBytes *afp_matrix_to_dense (AfpMatrix *matrix, AfpPool *pool, GError **error);

/* The inverse of afp_matrix_new_raw: the raw array of @spec's shape and order, in @dtype. */
AFP_API GBytes *
afp_matrix_to_raw (AfpMatrix *matrix, AfpSpec *spec, AfpDType dtype, AfpPool *pool, GError **error);

G_END_DECLS
