/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "eval-kernel.h"

#include <math.h>

void
eval_add (EvalSums *sums, const float *x, const float *y, size_t n)
{
  for (size_t i = 0; i < n; i++) {
    const double a = x[i], b = y[i], e = a - b;
    sums->xx += a * a;
    sums->yy += b * b;
    sums->xy += a * b;
    sums->ee += e * e;
    if (fabs (e) > sums->peak)
      sums->peak = fabs (e);
  }
}

void
eval_merge (EvalSums *sums, const EvalSums *other)
{
  sums->xx += other->xx;
  sums->yy += other->yy;
  sums->xy += other->xy;
  sums->ee += other->ee;
  if (other->peak > sums->peak)
    sums->peak = other->peak;
}

double
eval_nmse (const EvalSums *sums)
{
  return sums->xx > 0 ? sums->ee / sums->xx : NAN;
}

double
eval_sqnr_db (const EvalSums *sums)
{
  return sums->xx > 0 && sums->ee > 0 ? 10 * log10 (sums->xx / sums->ee) : NAN;
}

double
eval_cosine (const EvalSums *sums)
{
  return sums->xx > 0 && sums->yy > 0 ? sums->xy / sqrt (sums->xx * sums->yy) : NAN;
}
