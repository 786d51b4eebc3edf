/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "synth-kernel.h"

#include <math.h>

/* SplitMix64 (Steele, Lea, Flood 2014) of a counter. */
static uint64_t
mix (uint64_t x)
{
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

/* In (0, 1), never an end. */
static float
unit_high (uint64_t bits)
{
  return ((float) (uint32_t) (bits >> 32) + 0.5f) * 0x1p-32f * 0x1.fffffep-1f;
}

static float
unit_low (uint64_t bits)
{
  return ((float) (uint32_t) bits + 0.5f) * 0x1p-32f * 0x1.fffffep-1f;
}

static float
draw (SynthDistribution distribution, double freedom, uint64_t bits)
{
  const float u = unit_high (bits), v = unit_low (bits);
  const float angle = 6.28318530717958648f * v;

  switch (distribution) {
  case SYNTH_NORMAL:
    return sqrtf (-2 * logf (u)) * cosf (angle);
  case SYNTH_LAPLACE:
    return (v < 0.5f ? 0.70710678f : -0.70710678f) * logf (u);
  case SYNTH_STUDENT_T: /* Bailey 1994, scaled to variance 1 */
    return (float) (sqrt ((freedom - 2) * (pow (u, -2 / freedom) - 1)) * cosf (angle));
  case SYNTH_UNIFORM:
    return (2 * u - 1) * 1.73205081f;
  }
  return 0;
}

void
synth_fill (SynthDistribution distribution, double freedom, uint64_t seed, uint64_t first, size_t n,
            float *out)
{
  const uint64_t base = mix (seed);

  for (size_t i = 0; i < n; i++)
    out[i] = draw (distribution, freedom, mix (base + first + i));
}
