/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "seedlm-simd-kernel.h"

static SeedlmSimd simd_limit = SEEDLM_AVX512;

SeedlmSimd
seedlm_get_simd (void)
{
#if SEEDLM_HAS_SIMD
  if (simd_limit < SEEDLM_AVX2 || !__builtin_cpu_supports ("avx2") ||
      !__builtin_cpu_supports ("fma") || !__builtin_cpu_supports ("bmi2"))
    return SEEDLM_PORTABLE;
  if (simd_limit >= SEEDLM_AVX512 && __builtin_cpu_supports ("avx512f") &&
      __builtin_cpu_supports ("avx512bw") && __builtin_cpu_supports ("avx512dq") &&
      __builtin_cpu_supports ("avx512vl"))
    return SEEDLM_AVX512;
  return SEEDLM_AVX2;
#else
  return SEEDLM_PORTABLE;
#endif
}

SeedlmSimd
seedlm_limit_simd (SeedlmSimd limit)
{
  simd_limit = limit;
  return seedlm_get_simd ();
}
