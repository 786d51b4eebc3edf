/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "hyper-lattice-kernel.h"

#include <math.h>

/* What the kernel's files share. */

#define INLINE static inline __attribute__ ((always_inline))

/* What stands for the coordinate @p = q + coset / 2, less the centre. */
INLINE float
value_at (float p, float half, float step, const float *shift)
{
  const float a = fabsf (p) - half;
  const float s = a < 1.5f ? shift[0] : a < 2.5f ? shift[1] : shift[2];
  const float towards = p > 0 ? s : p < 0 ? -s : 0;

  return step * p - towards;
}
