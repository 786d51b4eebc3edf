/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Numbers as positions on a curve: a Bézier curve of one coordinate, in pieces, that follows the sorted numbers (their quantile
 * function), so that positions at equal distances along it are a companded scalar quantizer of a few parameters. Pure C11: no
 * allocation, no other headers of the project but those beside it. SPEC.md says what the numbers mean.
 */

#define HYPER_BEZIER_MAX_DEGREE 8u
#define HYPER_BEZIER_MAX_SEGMENTS 64u
#define HYPER_BEZIER_MAX_CONTROLS (HYPER_BEZIER_MAX_DEGREE * HYPER_BEZIER_MAX_SEGMENTS + 1)
#define HYPER_BEZIER_MAX_POINTS 4096u

/* The curve without its control points: segments of so many degrees that share their ends, and positions on it, at least 2. */
typedef struct {
  unsigned degree, segments;
  unsigned n_points;
} HyperBezier;

/* Control points: degree * segments + 1. */
unsigned hyper_bezier_controls (const HyperBezier *curve);

/* levels: n_points numbers: the curve at its positions. */
void hyper_bezier_levels (const HyperBezier *curve, const float *controls, float *levels);

/**
 * hyper_bezier_solve:
 * @weights, @targets: of each position
 * @monotone: control points are not to fall
 * @controls: those that the least sum of weights * (curve - targets)^2 has. Before: where they stay if nothing tells where to go
 */
void hyper_bezier_solve (const HyperBezier *curve, const double *weights, const double *targets,
                         bool monotone, double *controls);

/* Bytes of scratch for hyper_bezier_fit(). */
size_t hyper_bezier_scratch_bytes (const HyperBezier *curve, size_t n);

/**
 * hyper_bezier_fit:
 * @x: n numbers
 * @weights: (or NULL) of their squared errors
 * @scratch: aligned as for double
 * @controls: control points of a curve that never falls, rounded to eleven bits
 *
 * In turns: each number to its nearest position, and the control points of least squares for that. Returns the (weighted) sum of squared
 * errors before rounding.
 */
double hyper_bezier_fit (const HyperBezier *curve, const float *x, const float *weights, size_t n,
                         void *scratch, float *controls);

/* edges: between neighbouring levels, n_points - 1 numbers, from the least to the largest; order: n_points positions, by their levels. */
void hyper_bezier_edges (unsigned n_points, const float *levels, float *edges, uint32_t *order);

/* The nearest position for each of n numbers. */
void hyper_bezier_encode (unsigned n_points, const float *edges, const uint32_t *order,
                          const float *x, size_t n, uint32_t *positions);

/* Returns n, or which position is the first that is out of range. */
size_t hyper_bezier_decode (unsigned n_points, const float *levels, const uint32_t *positions,
                            size_t n, float *out);
