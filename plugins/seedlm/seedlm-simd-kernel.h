/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Which instructions the kernels of this folder use: chosen at run time, the best that the processor has, up to a limit that tests
 * set. Pure C11.
 */

#if defined(__x86_64__) && defined(__GNUC__)
#define SEEDLM_HAS_SIMD 1
#define SEEDLM_FOR_AVX2 __attribute__ ((target ("avx2,fma,bmi2")))
#define SEEDLM_FOR_AVX512 \
  __attribute__ ((target ("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi2")))
/* For loops that the compiler is to make vectors of. */
#ifdef __clang__
#define SEEDLM_FOR_AVX512_WIDE SEEDLM_FOR_AVX512
#else
#define SEEDLM_FOR_AVX512_WIDE \
  __attribute__ ((             \
      target ("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi2,prefer-vector-width=512")))
#endif
#else
#define SEEDLM_HAS_SIMD 0
#endif

typedef enum { SEEDLM_PORTABLE, SEEDLM_AVX2, SEEDLM_AVX512, SEEDLM_N_SIMD } SeedlmSimd;
SeedlmSimd seedlm_get_simd (void);
SeedlmSimd seedlm_limit_simd (SeedlmSimd limit); /* returns what is in use from now on */
