/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vptq-dequant.h"

#include "afp-bits.h"
#include "io-input.h"

#include <string.h>

typedef struct {
  const AfpVptqLayer *layer;
  const AfpVptqArrays *arrays;
  AfpDType dtype;
  const char *where;
  guint32 *column;             /* of the weights, for each stored column: outliers, then groups */
  guint32 *main, *res, *outer; /* indices of a row of vectors, by stored column */
  float *row;
} Work;

void
afp_vptq_round (AfpDType dtype, float *numbers, gsize n)
{
  guint16 rounded[256];

  if (dtype == AFP_DTYPE_F32)
    return;
  for (gsize at = 0; at < n; at += G_N_ELEMENTS (rounded)) {
    const gsize some = MIN (n - at, G_N_ELEMENTS (rounded));
    afp_dtype_from_f32 (dtype, numbers + at, rounded, 1, some);
    afp_dtype_to_f32 (dtype, rounded, 1, numbers + at, some);
  }
}

static guint32
read_u16 (const guint8 *at)
{
  return (guint32) at[0] | (guint32) at[1] << 8;
}

static gboolean
take_columns (Work *self, GError **error)
{
  const guint64 cols = self->layer->cols;
  g_autofree guint8 *seen = g_malloc0 (cols);

  for (guint64 i = 0; i < cols; i++) {
    const guint32 column =
        self->arrays->perm != NULL ? read_u16 (self->arrays->perm + 2 * i) : (guint32) i;
    if (column >= cols || seen[column])
      return afp_input_refuse (
          error, self->where,
          "has a perm that is no permutation: entry %" G_GUINT64_FORMAT " is %u, %s", i, column,
          column >= cols ? "beyond the inputs" : "which came before");
    seen[column] = 1;
    self->column[i] = column;
  }
  return TRUE;
}

static gboolean
check_index (const Work *self, const char *what, guint32 index, guint centroids, GError **error)
{
  return index < centroids ||
         afp_input_refuse (error, self->where, "has %s %u, but the codebook has %u vectors", what,
                           index, centroids);
}

static void
take_packed (Work *self, guint64 vector, guint64 group, guint32 *main, guint32 *res)
{
  const AfpVptqLayer *layer = self->layer;
  const guint bits = afp_vptq_index_bits (layer->centroids);
  const guint both = bits + afp_vptq_index_bits (layer->residuals);
  const guint64 row = group * afp_vptq_n_vectors (layer->rows, layer->length) + vector;
  const guint8 *words = self->arrays->indices + 4 * row * afp_vptq_n_words (layer);

  afp_bits_unpack (words, 0, res, layer->group_size, both);
  for (guint64 c = 0; c < layer->group_size; c++) {
    main[c] = res[c] & (layer->centroids - 1);
    res[c] >>= bits;
  }
}

static gboolean
take_plain (Work *self, guint64 vector, guint64 group, guint32 *main, guint32 *res, GError **error)
{
  const AfpVptqLayer *layer = self->layer;
  const guint64 row = group * afp_vptq_n_vectors (layer->rows, layer->length) + vector;
  const guint64 first = row * layer->group_size;

  for (guint64 c = 0; c < layer->group_size; c++) {
    main[c] = read_u16 (self->arrays->indices + 2 * (first + c));
    if (!check_index (self, "index", main[c], layer->centroids, error))
      return FALSE;
    if (layer->residuals == 0)
      continue;
    res[c] = read_u16 (self->arrays->res_indices + 2 * (first + c));
    if (!check_index (self, "residual index", res[c], layer->residuals, error))
      return FALSE;
  }
  return TRUE;
}

/* The indices of the vectors that begin in this row. */
static gboolean
take_indices (Work *self, guint64 row, GError **error)
{
  const AfpVptqLayer *layer = self->layer;

  for (guint64 i = 0;
       layer->n_outliers > 0 && row % layer->outlier_length == 0 && i < layer->n_outliers; i++) {
    const guint64 at = row / layer->outlier_length * layer->n_outliers + i;
    self->outer[i] = read_u16 (self->arrays->outlier_indices + 2 * at);
    if (!check_index (self, "outlier index", self->outer[i], layer->outlier_centroids, error))
      return FALSE;
  }
  for (guint64 g = 0; row % layer->length == 0 && g < layer->groups; g++) {
    guint32 *main = self->main + g * layer->group_size, *res = self->res + g * layer->group_size;
    const guint64 vector = row / layer->length;
    if (layer->packed)
      take_packed (self, vector, g, main, res);
    else if (!take_plain (self, vector, g, main, res, error))
      return FALSE;
  }
  return TRUE;
}

/* Coordinate @row of the vectors, before scale and bias. */
static void
look_up (Work *self, guint64 row)
{
  const AfpVptqLayer *layer = self->layer;
  const guint64 d = row % layer->length, outliers = layer->n_outliers;
  const gsize stride = (gsize) layer->centroids * layer->length;
  const gsize res_stride = (gsize) layer->residuals * layer->length;

  for (guint64 i = 0; i < outliers; i++)
    self->row[self->column[i]] =
        self->arrays->outlier_centroids[(gsize) self->outer[i] * layer->outlier_length +
                                        row % layer->outlier_length];
  for (guint64 i = 0; i < layer->groups * layer->group_size; i++) {
    const gsize group = i / layer->group_size;
    float *x = &self->row[self->column[outliers + i]];
    *x = self->arrays->centroids[group * stride + (gsize) self->main[i] * layer->length + d];
    if (layer->residuals > 0)
      *x += self->arrays->residuals[group * res_stride + (gsize) self->res[i] * layer->length + d];
  }
  if (layer->residuals > 0)
    afp_vptq_round (self->dtype, self->row, layer->cols);
}

static void
make_row (Work *self, guint64 row, guint8 *out)
{
  const AfpVptqLayer *layer = self->layer;

  look_up (self, row);
  if (layer->norm) {
    for (guint64 c = 0; c < layer->cols; c++)
      self->row[c] *= self->arrays->scale[c];
    afp_vptq_round (self->dtype, self->row, layer->cols);
    for (guint64 c = 0; c < layer->cols; c++)
      self->row[c] += self->arrays->bias[c];
  }
  afp_dtype_from_f32 (self->dtype, self->row, out, 1, layer->cols);
}

gboolean
afp_vptq_dequantize (const AfpVptqLayer *layer, const AfpVptqArrays *arrays, AfpDType dtype,
                     const char *where, guint8 *out, GError **error)
{
  const gsize cols = (gsize) layer->cols, width = afp_dtype_size (dtype);
  g_autofree guint32 *numbers = g_new0 (guint32, 4 * cols);
  g_autofree float *row = g_new (float, cols);
  Work self = { .layer = layer, .arrays = arrays, .dtype = dtype, .where = where };

  self.column = numbers;
  self.main = numbers + cols;
  self.res = numbers + 2 * cols;
  self.outer = numbers + 3 * cols;
  self.row = row;
  if (!take_columns (&self, error))
    return FALSE;
  for (guint64 r = 0; r < layer->rows; r++) {
    if (!take_indices (&self, r, error))
      return FALSE;
    make_row (&self, r, out + r * cols * width);
  }
  return TRUE;
}
