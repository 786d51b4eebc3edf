/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-matrix.h"

#include "afp-error.h"
#include "afp-pool.h"
#include "afp-tiles.h"

#include <string.h>

struct _AfpMatrix {
  gatomicrefcount ref_count;
  guint64 rows, cols;
  AfpMatrixRead read;
  gpointer user_data;
  GDestroyNotify destroy;
};

/**
 * afp_matrix_new: (skip)
 * @rows: number of rows
 * @cols: number of columns
 * @read: fills a rectangle; called from many threads
 * @user_data: for @read
 * @destroy: (nullable): frees @user_data
 *
 * Returns: (transfer full): a matrix that is read on demand
 */
AfpMatrix *
afp_matrix_new (guint64 rows, guint64 cols, AfpMatrixRead read, gpointer user_data,
                GDestroyNotify destroy)
{
  AfpMatrix *matrix = g_new0 (AfpMatrix, 1);

  g_atomic_ref_count_init (&matrix->ref_count);
  matrix->rows = rows;
  matrix->cols = cols;
  matrix->read = read;
  matrix->user_data = user_data;
  matrix->destroy = destroy;
  return matrix;
}

AfpMatrix *
afp_matrix_ref (AfpMatrix *matrix)
{
  g_atomic_ref_count_inc (&matrix->ref_count);
  return matrix;
}

void
afp_matrix_unref (AfpMatrix *matrix)
{
  if (!g_atomic_ref_count_dec (&matrix->ref_count))
    return;
  if (matrix->destroy)
    matrix->destroy (matrix->user_data);
  g_free (matrix);
}

guint64
afp_matrix_get_rows (const AfpMatrix *matrix)
{
  return matrix->rows;
}

guint64
afp_matrix_get_cols (const AfpMatrix *matrix)
{
  return matrix->cols;
}

/**
 * afp_matrix_read: (skip)
 * @matrix: a matrix
 * @row: first row
 * @n_rows: rows; must lie inside the matrix
 * @col: first column, inside the matrix
 * @n_cols: columns; may reach past the right edge
 * @out: n_rows x n_cols floats; 0 past the edge
 * @error: return location
 *
 * Returns: %FALSE if the planes behind the matrix are damaged
 */
gboolean
afp_matrix_read (AfpMatrix *matrix, guint64 row, guint64 n_rows, guint64 col, guint64 n_cols,
                 float *out, GError **error)
{
  g_return_val_if_fail (row <= matrix->rows && n_rows <= matrix->rows - row && col <= matrix->cols,
                        FALSE);

  guint64 inside = MIN (n_cols, matrix->cols - col);
  if (n_rows == 0 || n_cols == 0)
    return TRUE;
  if (inside == n_cols)
    return matrix->read (matrix->user_data, row, n_rows, col, n_cols, out, error);
  memset (out, 0, n_rows * n_cols * sizeof *out);
  if (inside == 0)
    return TRUE;
  if (!matrix->read (matrix->user_data, row, n_rows, col, inside, out, error))
    return FALSE;
  for (guint64 r = n_rows; r-- > 0;) { /* spread the rows from the last to the first */
    memmove (out + r * n_cols, out + r * inside, inside * sizeof *out);
    memset (out + r * n_cols + inside, 0, (n_cols - inside) * sizeof *out);
  }
  return TRUE;
}

/* --- dense ---------------------------------------------------------------------------------------------------- */

typedef struct {
  GBytes *bytes;
  const float *data;
  guint64 cols;
} Dense;

static void
dense_free (gpointer user_data)
{
  Dense *dense = user_data;

  g_bytes_unref (dense->bytes);
  g_free (dense);
}

static gboolean
dense_read (gpointer user_data, guint64 row, guint64 n_rows, guint64 col, guint64 n_cols,
            float *out, GError **error)
{
  const Dense *dense = user_data;

  for (guint64 r = 0; r < n_rows; r++)
    memcpy (out + r * n_cols, dense->data + (row + r) * dense->cols + col, n_cols * sizeof *out);
  return TRUE;
}

/**
 * afp_matrix_new_dense:
 * @rows: number of rows
 * @cols: number of columns
 * @f32: rows x cols floats, row-major
 *
 * Returns: (transfer full): a matrix over @f32
 */
AfpMatrix *
afp_matrix_new_dense (guint64 rows, guint64 cols, GBytes *f32)
{
  g_return_val_if_fail (g_bytes_get_size (f32) == rows * cols * sizeof (float), NULL);

  Dense *dense = g_new (Dense, 1);
  dense->bytes = g_bytes_ref (f32);
  dense->data = g_bytes_get_data (f32, NULL);
  dense->cols = cols;
  return afp_matrix_new (rows, cols, dense_read, dense, dense_free);
}

/* --- raw array through its matrix view ------------------------------------------------------------------------ */

typedef struct {
  AfpSpec *spec;
  GBytes *bytes;
  const guint8 *data;
} Raw;

static void
raw_free (gpointer user_data)
{
  Raw *raw = user_data;

  afp_spec_unref (raw->spec);
  g_bytes_unref (raw->bytes);
  g_free (raw);
}

static gboolean
raw_read (gpointer user_data, guint64 row, guint64 n_rows, guint64 col, guint64 n_cols, float *out,
          GError **error)
{
  const Raw *raw = user_data;
  const AfpDType dtype = afp_spec_get_dtype (raw->spec);
  const gboolean transposed =
      afp_spec_get_rank (raw->spec) >= 2 && afp_spec_get_view (raw->spec)->input_first;

  if (!transposed) {
    const guint64 cols = afp_spec_get_cols (raw->spec);
    for (guint64 r = 0; r < n_rows; r++)
      afp_dtype_read (dtype, raw->data, (row + r) * cols + col, out + r * n_cols, n_cols);
    return TRUE;
  }
  const guint64 rows = afp_spec_get_rows (raw->spec);
  float run[256];
  for (guint64 r0 = 0; r0 < n_rows; r0 += G_N_ELEMENTS (run)) {
    const guint64 n = MIN (G_N_ELEMENTS (run), n_rows - r0);
    for (guint64 c = 0; c < n_cols; c++) {
      afp_dtype_read (dtype, raw->data, (col + c) * rows + row + r0, run, n);
      for (guint64 r = 0; r < n; r++)
        out[(r0 + r) * n_cols + c] = run[r];
    }
  }
  return TRUE;
}

/**
 * afp_matrix_new_raw:
 * @spec: of a real dtype
 * @raw: the array in the order and dtype of @spec; need not be aligned
 *
 * Returns: (transfer full): outputs x inputs, as the matrix view of @spec says
 */
AfpMatrix *
afp_matrix_new_raw (AfpSpec *spec, GBytes *raw)
{
  g_return_val_if_fail (afp_dtype_is_real (afp_spec_get_dtype (spec)), NULL);
  g_return_val_if_fail (g_bytes_get_size (raw) == afp_spec_get_n_bytes (spec), NULL);

  Raw *self = g_new (Raw, 1);
  self->spec = afp_spec_ref (spec);
  self->bytes = g_bytes_ref (raw);
  self->data = g_bytes_get_data (raw, NULL);
  return afp_matrix_new (afp_spec_get_rows (spec), afp_spec_get_cols (spec), raw_read, self,
                         raw_free);
}

/* --- the same elements in other rows -------------------------------------------------------------------------- */

typedef struct {
  AfpMatrix *inner;
  guint64 cols;
} Reshaped;

static void
reshaped_free (gpointer user_data)
{
  Reshaped *self = user_data;

  afp_matrix_unref (self->inner);
  g_free (self);
}

/* Elements [first, first + n) in row-major order of @matrix. */
static gboolean
read_linear (AfpMatrix *matrix, guint64 first, guint64 n, float *out, GError **error)
{
  const guint64 cols = matrix->cols;

  while (n > 0) {
    guint64 row = first / cols, col = first % cols;
    guint64 n_rows = 1, n_cols = MIN (n, cols - col);
    if (col == 0 && n >= cols) {
      n_rows = n / cols;
      n_cols = cols;
    }
    if (!matrix->read (matrix->user_data, row, n_rows, col, n_cols, out, error))
      return FALSE;
    first += n_rows * n_cols;
    out += n_rows * n_cols;
    n -= n_rows * n_cols;
  }
  return TRUE;
}

static gboolean
reshaped_read (gpointer user_data, guint64 row, guint64 n_rows, guint64 col, guint64 n_cols,
               float *out, GError **error)
{
  const Reshaped *self = user_data;

  if (col == 0 && n_cols == self->cols)
    return read_linear (self->inner, row * self->cols, n_rows * n_cols, out, error);
  for (guint64 r = 0; r < n_rows; r++)
    if (!read_linear (self->inner, (row + r) * self->cols + col, n_cols, out + r * n_cols, error))
      return FALSE;
  return TRUE;
}

/**
 * afp_matrix_reshape:
 * @matrix: a matrix
 * @rows: new number of rows
 * @cols: new number of columns; rows * cols must be the number of elements
 *
 * Returns: (transfer full): the same elements in row-major order
 */
AfpMatrix *
afp_matrix_reshape (AfpMatrix *matrix, guint64 rows, guint64 cols)
{
  g_return_val_if_fail (rows * cols == matrix->rows * matrix->cols, NULL);

  if (rows == matrix->rows && cols == matrix->cols)
    return afp_matrix_ref (matrix);
  Reshaped *self = g_new (Reshaped, 1);
  self->inner = afp_matrix_ref (matrix);
  self->cols = cols;
  return afp_matrix_new (rows, cols, reshaped_read, self, reshaped_free);
}

/* --- transposed ------------------------------------------------------------------------------------------------ */

static gboolean
transposed_read (gpointer user_data, guint64 row, guint64 n_rows, guint64 col, guint64 n_cols,
                 float *out, GError **error)
{
  AfpMatrix *inner = user_data;

  if (n_rows == 1)
    return inner->read (inner->user_data, col, n_cols, row, 1, out, error);
  g_autofree float *values = g_new (float, n_rows *n_cols);
  if (!inner->read (inner->user_data, col, n_cols, row, n_rows, values, error))
    return FALSE;
  for (guint64 r = 0; r < n_rows; r++)
    for (guint64 c = 0; c < n_cols; c++)
      out[r * n_cols + c] = values[c * n_rows + r];
  return TRUE;
}

/**
 * afp_matrix_transpose:
 * @matrix: a matrix
 *
 * Returns: (transfer full): the matrix whose rows are the columns of @matrix
 */
AfpMatrix *
afp_matrix_transpose (AfpMatrix *matrix)
{
  return afp_matrix_new (matrix->cols, matrix->rows, transposed_read, afp_matrix_ref (matrix),
                         (GDestroyNotify) afp_matrix_unref);
}

/* --- whole matrices ------------------------------------------------------------------------------------------- */

typedef struct {
  AfpMatrix *matrix;
  AfpTiles tiles;
  float *dense;
  AfpSpec *spec;
  AfpDType dtype;
  guint8 *raw;
} WholeJob;

static gboolean
dense_tile (gsize index, gpointer user_data, GError **error)
{
  WholeJob *job = user_data;
  AfpTile tile = afp_tiles_get (&job->tiles, index);

  return afp_matrix_read (job->matrix, tile.row, tile.n_rows, tile.col, tile.n_cols,
                          job->dense + tile.row * job->matrix->cols + tile.col, error);
}

/**
 * afp_matrix_to_dense:
 * @matrix: a matrix
 * @pool: (nullable): threads
 * @error: return location
 *
 * Returns: (transfer full): rows x cols floats, row-major
 */
GBytes *
afp_matrix_to_dense (AfpMatrix *matrix, AfpPool *pool, GError **error)
{
  WholeJob job = { .matrix = matrix };
  const gsize n_bytes = matrix->rows * matrix->cols * sizeof (float);

  job.dense = g_malloc (MAX (n_bytes, 1));
  afp_tiles_init (&job.tiles, matrix->rows, matrix->cols, 1);
  if (!afp_parallel_for (pool, job.tiles.n_tiles, dense_tile, &job, error)) {
    g_free (job.dense);
    return NULL;
  }
  return g_bytes_new_take (job.dense, n_bytes);
}

static gboolean
raw_tile (gsize index, gpointer user_data, GError **error)
{
  WholeJob *job = user_data;
  const AfpTile tile = afp_tiles_get (&job->tiles, index);
  const gsize size = afp_dtype_size (job->dtype);
  const gboolean transposed =
      afp_spec_get_rank (job->spec) >= 2 && afp_spec_get_view (job->spec)->input_first;
  g_autofree float *values = g_new (float, tile.n_rows *tile.n_cols);

  if (!afp_matrix_read (job->matrix, tile.row, tile.n_rows, tile.col, tile.n_cols, values, error))
    return FALSE;
  for (guint64 r = 0; r < tile.n_rows; r++) {
    const guint64 row = tile.row + r;
    if (transposed)
      afp_dtype_from_f32 (job->dtype, values + r * tile.n_cols,
                          job->raw + (tile.col * job->matrix->rows + row) * size, job->matrix->rows,
                          tile.n_cols);
    else
      afp_dtype_from_f32 (job->dtype, values + r * tile.n_cols,
                          job->raw + (row * job->matrix->cols + tile.col) * size, 1, tile.n_cols);
  }
  return TRUE;
}

/**
 * afp_matrix_to_raw:
 * @matrix: outputs x inputs of @spec
 * @spec: shape and matrix view
 * @dtype: the element type to write; none with blocks
 * @pool: (nullable): threads
 * @error: return location
 *
 * Returns: (transfer full): the raw array in the order of @spec
 */
GBytes *
afp_matrix_to_raw (AfpMatrix *matrix, AfpSpec *spec, AfpDType dtype, AfpPool *pool, GError **error)
{
  g_return_val_if_fail (afp_dtype_block (dtype) == 1, NULL);
  g_return_val_if_fail (
      matrix->rows == afp_spec_get_rows (spec) && matrix->cols == afp_spec_get_cols (spec), NULL);

  WholeJob job = { .matrix = matrix, .spec = spec, .dtype = dtype };
  const gsize n_bytes = afp_spec_get_n_elements (spec) * afp_dtype_size (dtype);
  job.raw = g_malloc (MAX (n_bytes, 1));
  afp_tiles_init (&job.tiles, matrix->rows, matrix->cols, 1);
  if (!afp_parallel_for (pool, job.tiles.n_tiles, raw_tile, &job, error)) {
    g_free (job.raw);
    return NULL;
  }
  return g_bytes_new_take (job.raw, n_bytes);
}
