/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "simd-kernel.h"

static SimdKind highest = SIMD_AVX512;

SimdKind
simd_get (void)
{
#if HAS_SIMD
  if (highest < SIMD_AVX2 || !__builtin_cpu_supports ("avx2") || !__builtin_cpu_supports ("fma") ||
      !__builtin_cpu_supports ("bmi2"))
    return SIMD_PORTABLE;
  if (highest >= SIMD_AVX512 && __builtin_cpu_supports ("avx512f") &&
      __builtin_cpu_supports ("avx512bw") && __builtin_cpu_supports ("avx512dq") &&
      __builtin_cpu_supports ("avx512vl"))
    return SIMD_AVX512;
  return SIMD_AVX2;
#else
  return SIMD_PORTABLE;
#endif
}

SimdKind
simd_limit (SimdKind limit)
{
  highest = limit;
  return simd_get ();
}
