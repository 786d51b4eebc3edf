/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>

/* Sums over pairs of original x and decoded y, in double. Pure C. */
typedef struct {
  double xx;   /* sum x^2 */
  double yy;   /* sum y^2 */
  double xy;   /* sum x y */
  double ee;   /* sum (x - y)^2 */
  double peak; /* max |x - y| */
} EvalSums;

void eval_add (EvalSums *sums, const float *x, const float *y, size_t n);
void eval_merge (EvalSums *sums, const EvalSums *other);
/* NaN where there is no value: no energy, no error. */
double eval_nmse (const EvalSums *sums);
double eval_sqnr_db (const EvalSums *sums);
double eval_cosine (const EvalSums *sums);
