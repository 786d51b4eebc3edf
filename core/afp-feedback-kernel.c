/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-feedback-kernel.h"

#include <math.h>
#include <string.h>

/*
 * Vectors of eight, in the language of gcc and clang: compiled for the instruction set at hand and, on x86-64, for AVX2 as well. A
 * number of the result is one lane, whose terms are added one by one: no order depends on the width.
 */
#define LANES 8
#define TILE_ROWS 4
#define TILE_COLS (2 * LANES)
typedef float Floats __attribute__ ((vector_size (32)));
#define INLINE static inline __attribute__ ((always_inline))

/* --- products ------------------------------------------------------------------------------------------------------ */

/* TILE_ROWS x TILE_COLS numbers stay in registers. */
INLINE void
add_tile (float *c, size_t c_stride, const float *a, size_t a_stride, size_t depth, const float *b,
          size_t b_stride)
{
  Floats sums[TILE_ROWS][2];

  for (size_t i = 0; i < TILE_ROWS; i++)
    memcpy (sums[i], c + i * c_stride, sizeof sums[i]);
  for (size_t k = 0; k < depth; k++) {
    Floats right[2];
    memcpy (right, b + k * b_stride, sizeof right);
    for (size_t i = 0; i < TILE_ROWS; i++) {
      const float left = a[i * a_stride + k];
      sums[i][0] += left * right[0];
      sums[i][1] += left * right[1];
    }
  }
  for (size_t i = 0; i < TILE_ROWS; i++)
    memcpy (c + i * c_stride, sums[i], sizeof sums[i]);
}

/* What no tile covers. */
INLINE void
add_rest (float *c, size_t c_stride, size_t rows, size_t cols, const float *a, size_t a_stride,
          size_t depth, const float *b, size_t b_stride)
{
  for (size_t i = 0; i < rows; i++)
    for (size_t k = 0; k < depth; k++) {
      const float left = a[i * a_stride + k];
      for (size_t j = 0; j < cols; j++)
        c[i * c_stride + j] += left * b[k * b_stride + j];
    }
}

INLINE void
add_product (float *c, size_t c_stride, size_t rows, size_t cols, const float *a, size_t a_stride,
             size_t depth, const float *b, size_t b_stride)
{
  const size_t tiled_rows = rows / TILE_ROWS * TILE_ROWS, tiled_cols = cols / TILE_COLS * TILE_COLS;

  for (size_t j = 0; j < tiled_cols; j += TILE_COLS)
    for (size_t i = 0; i < tiled_rows; i += TILE_ROWS)
      add_tile (c + i * c_stride + j, c_stride, a + i * a_stride, a_stride, depth, b + j, b_stride);
  add_rest (c + tiled_cols, c_stride, tiled_rows, cols - tiled_cols, a, a_stride, depth,
            b + tiled_cols, b_stride);
  add_rest (c + tiled_rows * c_stride, c_stride, rows - tiled_rows, cols, a + tiled_rows * a_stride,
            a_stride, depth, b, b_stride);
}

void
afp_feedback_add_product_portable (float *c, size_t c_stride, size_t rows, size_t cols,
                                   const float *a, size_t a_stride, size_t depth, const float *b,
                                   size_t b_stride)
{
  add_product (c, c_stride, rows, cols, a, a_stride, depth, b, b_stride);
}

#if defined __x86_64__
__attribute__ ((target ("avx2"))) static void
add_product_avx2 (float *c, size_t c_stride, size_t rows, size_t cols, const float *a,
                  size_t a_stride, size_t depth, const float *b, size_t b_stride)
{
  add_product (c, c_stride, rows, cols, a, a_stride, depth, b, b_stride);
}
#endif

void
afp_feedback_add_product (float *c, size_t c_stride, size_t rows, size_t cols, const float *a,
                          size_t a_stride, size_t depth, const float *b, size_t b_stride)
{
#if defined __x86_64__
  if (__builtin_cpu_supports ("avx2")) {
    add_product_avx2 (c, c_stride, rows, cols, a, a_stride, depth, b, b_stride);
    return;
  }
#endif
  afp_feedback_add_product_portable (c, c_stride, rows, cols, a, a_stride, depth, b, b_stride);
}

void
afp_feedback_transpose (const float *a, size_t a_stride, size_t rows, size_t cols, float *out,
                        size_t out_stride)
{
  for (size_t i = 0; i < rows; i++)
    for (size_t j = 0; j < cols; j++)
      out[j * out_stride + i] = -a[i * a_stride + j];
}

/* --- triangles ----------------------------------------------------------------------------------------------------- */

/* Column after column from the last: what is above it is divided and taken from what is to the left. */
bool
afp_feedback_factor (float *h, size_t stride, size_t n)
{
  for (size_t k = n; k-- > 0;) {
    const float pivot = h[k * stride + k];
    if (!(pivot > 0) || !isfinite (pivot))
      return false;
    const float root = sqrtf (pivot);
    h[k * stride + k] = root;
    for (size_t i = 0; i < k; i++)
      h[i * stride + k] /= root;
    for (size_t i = 0; i < k; i++)
      for (size_t j = i; j < k; j++)
        h[i * stride + j] -= h[i * stride + k] * h[j * stride + k];
  }
  return true;
}

void
afp_feedback_solve (float *a, size_t a_stride, size_t rows, const float *r, size_t r_stride,
                    size_t n)
{
  for (size_t i = 0; i < rows; i++) {
    float *x = a + i * a_stride;
    for (size_t k = n; k-- > 0;) {
      float sum = x[k];
      for (size_t j = k + 1; j < n; j++)
        sum -= x[j] * r[k * r_stride + j];
      x[k] = sum / r[k * r_stride + k];
    }
  }
}

void
afp_feedback_divide (float *a, size_t a_stride, size_t rows, const float *r, size_t r_stride,
                     size_t n)
{
  for (size_t i = 0; i < rows; i++) {
    float *x = a + i * a_stride;
    for (size_t k = 0; k < n; k++) {
      x[k] /= r[k * r_stride + k];
      for (size_t j = k + 1; j < n; j++)
        x[j] -= x[k] * r[k * r_stride + j];
    }
  }
}

void
afp_feedback_square (const float *r, size_t r_stride, size_t n, float *out)
{
  for (size_t i = 0; i < n; i++)
    for (size_t j = i; j < n; j++) {
      float sum = 0;
      for (size_t k = j; k < n; k++)
        sum += r[i * r_stride + k] * r[j * r_stride + k];
      out[i * n + j] = out[j * n + i] = sum;
    }
}
