/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Vectors of weights as points of a trajectory (Hyper-Compression, arXiv 2409.00592), at one of several scales. Pure C11: no
 * allocation, no other headers of the project. SPEC.md says what the numbers mean.
 *
 * Built with contraction of a * b + c switched off (-ffp-contract=off), every form of the search gives the same bytes.
 */

#define HYPER_MAX_DIMENSION 8u
#define HYPER_MAX_POINTS 65536u
#define HYPER_MAX_CLASSES 15u /* beyond the inner one */

typedef enum {
  HYPER_GRID,   /* the closed orbit of the released code: a sheared grid */
  HYPER_WINDING /* the paper's irrational winding of the torus */
} HyperTrajectory;

/* How the error of a vector x coded as c counts: (x - c)' G (x - c). */
typedef enum {
  HYPER_METRIC_NONE,     /* G = 1: no numbers */
  HYPER_METRIC_SCALAR,   /* one number per vector */
  HYPER_METRIC_DIAGONAL, /* d numbers per vector */
  HYPER_METRIC_MATRIX /* d * d numbers per vector: symmetric, positive semidefinite; the lower triangle is read */
} HyperMetric;

/* Numbers per vector of a metric. */
size_t hyper_metric_stride (HyperMetric metric, unsigned dimension);

/* Which classes a vector may be coded in: the encoder's choice. */
typedef enum {
  HYPER_RULE_NEAREST, /* all: the nearest point counts */
  HYPER_RULE_L2, /* the paper's: that of the inner square, else of the smallest circle that holds it */
  HYPER_RULE_LINF /* that of the smallest square */
} HyperRule;

/* The trajectory, free of data: set by hyper_code_init(). */
typedef struct {
  HyperTrajectory trajectory;
  HyperRule rule; /* NEAREST until it is set */
  unsigned dimension;
  unsigned n_points;
  unsigned n_classes;                /* scales: the inner one and those beyond it */
  float half;                        /* spacings in half a side (grid), else 1 */
  float middle[HYPER_MAX_DIMENSION]; /* of the points, in spacings (grid), else 0 */
  uint32_t radix[HYPER_MAX_DIMENSION];
  uint32_t place[HYPER_MAX_DIMENSION]; /* product of the radices of the later coordinates */
  float shear[HYPER_MAX_DIMENSION];    /* 1 / place */
  const float *points;   /* n_points x dimension: coordinates in the square [-1, 1]^d */
  const float *tree;     /* the same in the order of the search tree (winding) */
  const uint32_t *order; /* tree position -> index */
  const uint8_t *axis;   /* tree position -> coordinate that it splits */
} HyperCode;

/* Where the trajectory lies: set by hyper_frame_init(). */
typedef struct {
  float centre[HYPER_MAX_DIMENSION];
  float reach[HYPER_MAX_CLASSES + 1]; /* of the square of each class: half its side */
  float gain[HYPER_MAX_CLASSES +
             1]; /* from differences to coordinates of the search; 0: a class without extent */
  float ratio[HYPER_MAX_CLASSES + 1]; /* of squared errors, to those of the largest class */
  double unit;                        /* errors are in units of its square */
} HyperFrame;

/* Symbols: indices 0 .. points * (classes + 1) - 1. @classes: beyond the inner one. */
unsigned hyper_symbol_bits (unsigned points, unsigned classes);

/* Bits of a code that joins so many symbols as digits of one number; 0: more than 32. */
unsigned hyper_joined_bits (unsigned points, unsigned classes, unsigned join);

/* codes: n; symbols: n x join, the first one of a code is its lowest digit. What is no code shows in the highest digit. */
void hyper_join (const uint32_t *symbols, size_t n, unsigned join, uint32_t radix, uint32_t *codes);
void
hyper_split (const uint32_t *codes, size_t n, unsigned join, uint32_t radix, uint32_t *symbols);

/* Bytes of storage that hyper_code_init() needs; @search: for encoding too. */
size_t
hyper_code_bytes (HyperTrajectory trajectory, unsigned dimension, unsigned points, bool search);

/* The storage (aligned as for float) must live as long as the code. 1 <= dimension, points <= the limits above. */
void hyper_code_init (HyperCode *code, void *storage, HyperTrajectory trajectory,
                      unsigned dimension, unsigned points, unsigned classes, bool search);

/* params: centre (d numbers), side of the inner square, reach of the outermost class. false: not all of them are finite. */
bool hyper_frame_init (HyperFrame *frame, const HyperCode *code, const float *params);

/*
 * symbols[i]: the nearest of all points of all classes, or of those that the rule leaves, for vector i. errors (or NULL): its error, over frame->unit^2.
 * weights: the metric's numbers for n vectors; a matrix is taken with 2^-10 of its largest diagonal element added to the diagonal,
 * a diagonal with its smallest elements raised to 2^-10 of the largest.
 */
void
hyper_encode (const HyperCode *code, const HyperFrame *frame, HyperMetric metric,
              const float *weights, const float *x, size_t n, uint32_t *symbols, float *errors);

/* The same without special instructions of the processor. */
void hyper_encode_portable (const HyperCode *code, const HyperFrame *frame, HyperMetric metric,
                            const float *weights, const float *x, size_t n, uint32_t *symbols,
                            float *errors);

/* out: n x d floats. Returns n, or the position of the first symbol out of range. */
size_t hyper_decode (const HyperCode *code, const HyperFrame *frame, const uint32_t *symbols,
                     size_t n, float *out);

/* Sum of squared errors (under the metric) of n vectors, had they a frame of these params. */
double hyper_error (const HyperCode *code, const float *params, HyperMetric metric,
                    const float *weights, const float *x, size_t n);

/*
 * Chooses the side of the inner square, params[d], and the distance that the outermost class reaches, params[d + 1], by the error on
 * these vectors; the centre is given, and the distance of the farthest vector in params[d + 1].
 */
void hyper_fit_scales (const HyperCode *code, HyperMetric metric, const float *weights,
                       const float *x, size_t n, float *params);

/* Makes the inner square so wide that the error rises to this one, if it is not there yet: coarser points, for fewer bits of a coder behind. */
void hyper_fit_widen (const HyperCode *code, HyperMetric metric, const float *weights,
                      const float *x, size_t n, double error, float *params);

/* Centre, side and reach of a frame of its own for these vectors. */
void hyper_fit_frame (const HyperCode *code, const float *x, size_t n, float *params);

/* The mean of n vectors, rounded: the centre of a frame. */
void hyper_fit_centre (unsigned dimension, const float *x, size_t n, float *params);

/* Square of the distance of a vector from the centre. */
double hyper_distance (unsigned dimension, const float *centre, const float *x);

/* Adds n vectors to the sums of their coordinates; the one farthest from a centre. For planes that are read in pieces. */
void hyper_sum (unsigned dimension, const float *x, size_t n, double *sums);
size_t hyper_farthest (unsigned dimension, const float *centre, const float *x, size_t n);

/* The nearest number, or the next one up, with the eleven significant bits that binary16 keeps. */
float hyper_round (double x);
float hyper_round_up (double x);
