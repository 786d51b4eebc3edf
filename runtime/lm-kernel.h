/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Loops of a decoder-only transformer of the Llama family over many tokens at once; pure C, no allocation. Arrays are float32,
 * row-major, a row for each token. Products of matrices are the caller's (BLAS).
 */

/* Root mean square norm (Zhang and Sennrich 2019): out = x / sqrt (mean (x^2) + eps) * weight, for each row of @dim elements. */
void
afp_lm_rms_norm (size_t n, size_t dim, float eps, const float *x, const float *weight, float *out);

/*
 * Rotary position embedding (Su et al. 2021), in place, of @n_heads heads of @head_dim elements a row; @stride floats from row to row.
 * Element pairs are (2i, 2i+1) if @interleaved, else (i, i + head_dim / 2). @angles: head_dim / 2 angles for one step of the
 * position; @scale: of the result (1 but for some long contexts). Row t stands at position first + t.
 */
void afp_lm_rope (size_t n, size_t first, size_t n_heads, size_t head_dim, size_t stride,
                  bool interleaved, const double *angles, float scale, float *x);

/* Causal softmax of scores, in place: row t of n over columns 0..first + t; zeros beyond, up to @cols. */
void afp_lm_causal_softmax (size_t n, size_t first, size_t cols, float scale, float *scores);

/* gate = gate / (1 + exp (-gate)) * up */
void afp_lm_silu_mul (size_t n, float *gate, const float *up);

/* x += y; x += bias for each row */
void afp_lm_add (size_t n, float *x, const float *y);
void afp_lm_add_bias (size_t n, size_t dim, const float *bias, float *x);

/* What is known of one prediction from its logits. */
typedef struct {
  double log_sum; /* log (sum (exp (logits))) */
  uint32_t best;  /* the largest logit; the first of equals */
} AfpLmOutcome;
AfpLmOutcome afp_lm_outcome (size_t n, const float *logits);

/* Kullback-Leibler divergence of two distributions given by logits, sum (p log (p / q)); at least 0. */
double afp_lm_divergence (size_t n, const float *p, const AfpLmOutcome *p_outcome, const float *q,
                          const AfpLmOutcome *q_outcome);
