/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Loops of a decoder-only transformer of the Llama family over many tokens at once; pure C, no allocation. Arrays are float32,
 * row-major, a row for each token. Products of matrices are the caller's (BLAS).
 */

/* Root mean square norm (Zhang and Sennrich 2019): out = x / sqrt (mean (x^2) + eps) * weight, for each row of @dim elements;
 * @out may be @x. */
void
afp_lm_rms_norm (size_t n, size_t dim, float eps, const float *x, const float *weight, float *out);

/*
 * Rotary position embedding (Su et al. 2021), in place, of @n_heads heads of @head_dim elements a row; row t stands at positions[t].
 * Element pairs are (2i, 2i+1) if @interleaved, else (i, i + head_dim / 2). @table: of more positions than occur, by
 * afp_lm_rope_table(): 2 x head_dim floats for each of @n positions, from head_dim / 2 @angles for one step; @scale: of the result (1 but
 * for some long contexts).
 */
void afp_lm_rope_table (size_t n, size_t head_dim, bool interleaved, const double *angles,
                        float scale, float *table);
void afp_lm_rope (size_t n, const uint32_t *positions, size_t n_heads, size_t head_dim,
                  bool interleaved, const float *table, float *x);

/* x = exp (x), within 2e-7 of the truth; 0 below -87.33, at most 2.4e38. What is no number stays so. */
void afp_lm_exp (size_t n, float *x);

/* Causal softmax of scores, in place: row t of n over columns 0..first + t; zeros beyond, up to @cols. */
void afp_lm_causal_softmax (size_t n, size_t first, size_t cols, float scale, float *scores);

/* gate = gate / (1 + exp (-gate)) * up; gate = max (gate, 0)^2 * up */
void afp_lm_silu_mul (size_t n, float *gate, const float *up);
void afp_lm_relu2_mul (size_t n, float *gate, const float *up);

/* x += bias for each row */
void afp_lm_add_bias (size_t n, size_t dim, const float *bias, float *x);

/* The faster code, where the processor has it; it gives the same bits. Returns whether it is used from now on. For tests. */
bool afp_lm_kernel_use_simd (bool use);

/* What is known of one prediction while its logits come, in parts, in the order of the vocabulary. Begins as AFP_LM_FOLD_NONE. */
typedef struct {
  double sum;    /* of exp (logit - most) */
  float most;    /* the largest logit */
  float target;  /* that of the token asked for */
  uint32_t best; /* the first token of the largest logit */
} AfpLmFold;
#define AFP_LM_FOLD_NONE ((AfpLmFold){ 0, -INFINITY, 0, 0 })

/*
 * The next @n logits: those of the tokens from @first. @weights: exp (logit - most), as many. Returns the factor that makes sums over
 * earlier weights ones over these.
 */
double afp_lm_fold (AfpLmFold *fold, uint32_t first, size_t n, const float *logits, uint32_t target,
                    float *weights);
/* log (sum (exp (logits))) */
double afp_lm_fold_log_sum (const AfpLmFold *fold);

/* sum (weights * (p - q)), the weights those of p: of all parts together, under the last weights, what follows takes. */
double afp_lm_cross (size_t n, const float *weights, const float *p, const float *q);
/* Kullback-Leibler divergence of two distributions, sum (p log (p / q)); at least 0, or not a number if a logit is none. */
double afp_lm_divergence (double cross, const AfpLmFold *p, const AfpLmFold *q);
