/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Rounding to nearest: a number is scale * level, levels low, low + step, ..., low + top * step; its code counts them from 0.
 * Pure C: no allocation, no GLib. Sums are taken in a fixed order.
 */
#define RTN_MAX_BITS 8
#define RTN_MIN_EXPONENT (-149) /* of the least binary32 */
#define RTN_MAX_EXPONENT 127

typedef struct {
  float low, step;
  uint32_t top;
} RtnLevels;

/* Levels of @bits: -2^(bits-1) .. 2^(bits-1) - 1, and -1, 1 of one bit. */
RtnLevels rtn_symmetric_levels (unsigned bits);
/* Levels -zero .. 2^bits - 1 - zero. */
RtnLevels rtn_zero_levels (unsigned bits, unsigned zero);

/* Codes of the levels next to x / scale. All of zero for a scale of 0. Finite numbers only. */
void rtn_quantize (const RtnLevels *levels, float scale, const float *x, size_t n, uint32_t *codes);
void
rtn_dequantize (const RtnLevels *levels, float scale, const uint32_t *codes, size_t n, float *x);

/**
 * RtnRule: how a group's parameters are chosen.
 * @bits: 1..8
 * @zero_point: levels reach from the least to the largest number, 0 among them; @bits from 2 on
 * @search: the scale with the least squared error of several, not the least that clips nothing
 * @power_of_two: the scale is one
 */
typedef struct {
  unsigned bits;
  int zero_point;
  int search;
  int power_of_two;
} RtnRule;

/* @exponent: where scales are powers of two: the scale is 2^exponent; RTN_MIN_EXPONENT of a group of zeros */
typedef struct {
  float scale;
  int exponent;
  unsigned zero;
} RtnFit;

/* The levels that the parameters of a group choose. */
RtnLevels rtn_fit_levels (const RtnRule *rule, const RtnFit *fit);

/*
 * Parameters for the numbers x, finite ones. @weights: (nullable): how much each squared error counts.
 * @low, @high: the least and the largest number of the group, of which x may be a sample.
 */
RtnFit rtn_fit (const RtnRule *rule, float low, float high, const float *x, const float *weights,
                size_t n);

/* Widens low..high by x. Returns 0 if one of the numbers is not finite. */
int rtn_range (const float *x, size_t n, float *low, float *high);

#ifdef __cplusplus
}
#endif
