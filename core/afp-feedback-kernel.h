/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/*
 * The arithmetic of error feedback: a symmetric matrix H = R R^T, R upper triangular, taken apart from its last row to its first, and
 * the products that go with it. All matrices are row-major with a stride. Every sum has its terms in the order of their index, whatever
 * the instruction set is and however the work is cut. Internal; pure C.
 */
#pragma GCC visibility push(default) /* not installed, but tests call it */

/* c += a b: @rows x @cols, over @depth. */
void afp_feedback_add_product (float *c, size_t c_stride, size_t rows, size_t cols, const float *a,
                               size_t a_stride, size_t depth, const float *b, size_t b_stride);
/* The same without AVX2, for tests */
void afp_feedback_add_product_portable (float *c, size_t c_stride, size_t rows, size_t cols,
                                        const float *a, size_t a_stride, size_t depth,
                                        const float *b, size_t b_stride);
/* The upper triangle of @h becomes R, R R^T = H; false: H is not positive definite, and the triangle is spoilt. */
bool afp_feedback_factor (float *h, size_t stride, size_t n);
/* Each of @rows rows x of @a becomes y with y R^T = x. */
void afp_feedback_solve (float *a, size_t a_stride, size_t rows, const float *r, size_t r_stride,
                         size_t n);
/* Each of @rows rows x of @a becomes y with y R = x. */
void afp_feedback_divide (float *a, size_t a_stride, size_t rows, const float *r, size_t r_stride,
                          size_t n);
/* out = R R^T, n x n, close together */
void afp_feedback_square (const float *r, size_t r_stride, size_t n, float *out);
/* out = -a^T: @cols x @rows */
void afp_feedback_transpose (const float *a, size_t a_stride, size_t rows, size_t cols, float *out,
                             size_t out_stride);

#pragma GCC visibility pop
