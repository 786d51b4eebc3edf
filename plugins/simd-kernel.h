/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Which instructions the kernels of the plugins use: chosen at run time, the best that the processor has, up to a limit that tests
 * set. Pure C11.
 */

#if defined(__x86_64__) && defined(__GNUC__)
#define HAS_SIMD 1
#define SIMD_FOR_AVX2 __attribute__ ((target ("avx2,fma,bmi2")))
#define SIMD_FOR_AVX512 \
  __attribute__ ((target ("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi2")))
/* For loops that the compiler is to make vectors of. */
#ifdef __clang__
#define SIMD_FOR_AVX512_WIDE SIMD_FOR_AVX512
#else
#define SIMD_FOR_AVX512_WIDE \
  __attribute__ ((           \
      target ("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi2,prefer-vector-width=512")))
#endif
#else
#define HAS_SIMD 0
#endif

typedef enum { SIMD_PORTABLE, SIMD_AVX2, SIMD_AVX512, SIMD_N_KINDS } SimdKind;
SimdKind simd_get (void);
SimdKind simd_limit (SimdKind limit); /* returns what is in use from now on */
