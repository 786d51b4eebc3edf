/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/*
 * Loops of a convolutional network; pure C, no allocation. Arrays are float32; an image is height x width x channels, channels
 * innermost. Products of matrices are the caller's (BLAS).
 */

/* A window that moves over an image. What lies outside of it counts as zeros for convolutions, and not at all for pools. */
typedef struct {
  size_t height, width, channels; /* of the image */
  size_t out_height, out_width;
  size_t kernel_height, kernel_width;
  size_t stride_height, stride_width;
  size_t dilation_height, dilation_width;
  size_t top, left; /* outside of the image, before it */
} AfpNetWindow;

/*
 * What the window sees at the places first .. first + n - 1 of the output, row by row, a row for each: kernel_height x kernel_width x
 * n_channels, of the channels from @first_channel on.
 */
void afp_net_patches (const AfpNetWindow *w, size_t first, size_t n, size_t first_channel,
                      size_t n_channels, const float *x, float *patches);

/*
 * Each channel with its own @multiplier windows. @weights: kernel_height x kernel_width x channels x multiplier; @bias (or NULL):
 * channels x multiplier.
 */
void afp_net_depthwise (const AfpNetWindow *w, size_t multiplier, const float *x,
                        const float *weights, const float *bias, float *out);

/* The largest or the mean of what the window sees, for each channel. Every window sees something. */
void afp_net_pool (const AfpNetWindow *w, bool largest, const float *x, float *out);

/* @x becomes the middle of @out, out_height x out_width, which is zero around it; @top and @left zeros come first. */
void afp_net_surround (const AfpNetWindow *w, const float *x, float *out);

/* out = x * factor + offset, for each of @n rows; @out may be @x. */
void afp_net_affine (size_t n, size_t channels, const float *factor, const float *offset,
                     const float *x, float *out);

/* out = x + y, or x * y; @y has @n_y numbers, which are used again and again. @out may be @x. */
void afp_net_add (size_t n, size_t n_y, const float *x, const float *y, float *out);
void afp_net_multiply (size_t n, size_t n_y, const float *x, const float *y, float *out);

typedef enum {
  AFP_NET_LINEAR,
  AFP_NET_RELU, /* below @threshold: slope * (x - threshold); at most @most */
  AFP_NET_SIGMOID,
  AFP_NET_TANH,
  AFP_NET_SOFTMAX, /* over the last axis: afp_net_softmax() */
  AFP_NET_ELU,     /* x < 0: slope * (exp (x) - 1) */
  AFP_NET_SELU,
  AFP_NET_SILU,         /* x * sigmoid (x) */
  AFP_NET_GELU,         /* with the error function */
  AFP_NET_HARD_SIGMOID, /* slope * x + 1/2, within 0 and 1 */
  AFP_NET_HARD_SILU,    /* x * hard sigmoid of slope 1/6 */
  AFP_NET_SOFTPLUS,
  AFP_NET_SOFTSIGN,
  AFP_NET_EXPONENTIAL
} AfpNetFunction;

typedef struct {
  AfpNetFunction function;
  float slope, threshold, most;
} AfpNetActivation;

/* Of each number, in place. Not softmax. */
void afp_net_activate (const AfpNetActivation *activation, size_t n, float *x);
/* Of each of @n rows, in place. */
void afp_net_softmax (size_t n, size_t cols, float *x);
