/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdint.h>

/*
 * Arithmetic of one thread of a graphics processor, which the C compiler compiles, too: every operation is rounded by itself. The
 * codecs' headers name-cuda-thread.h build on it.
 */

#ifdef __CUDACC__
#define AFP_THREAD static __host__ __device__ __forceinline__
#else
#define AFP_THREAD static inline __attribute__ ((always_inline))
#endif

AFP_THREAD float
afp_thread_product (float a, float b)
{
#ifdef __CUDA_ARCH__
  return __fmul_rn (a, b);
#else
  return a * b;
#endif
}

AFP_THREAD float
afp_thread_sum (float a, float b)
{
#ifdef __CUDA_ARCH__
  return __fadd_rn (a, b);
#else
  return a + b;
#endif
}

AFP_THREAD float
afp_thread_quotient (float a, float b)
{
#ifdef __CUDA_ARCH__
  return __fdiv_rn (a, b);
#else
  return a / b;
#endif
}

/* An infinity becomes the largest number of its sign; what is no number stays none. */
AFP_THREAD float
afp_thread_clamp (float x)
{
  const float largest = 0x1.fffffep127f;
  return x > largest ? largest : x < -largest ? -largest : x;
}

/* The nearest binary16, ties to even; beyond the largest one, that one. */
AFP_THREAD uint16_t
afp_thread_half (float x)
{
  union {
    float number;
    uint32_t bits;
  } in;
  in.number = x;
  const uint32_t sign = in.bits >> 16 & 0x8000u, magnitude = in.bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u)
    return (uint16_t) (sign | 0x7e00u);
  if (magnitude >= 0x477ff000u)
    return (uint16_t) (sign | 0x7bffu);
  /* mantissa and its first bit, to be cut by so many bits */
  const uint32_t exponent = magnitude >> 23;
  const uint32_t cut = exponent > 112 ? 13 : exponent < 101 ? 25 : 126 - exponent;
  const uint32_t mantissa = (magnitude & 0x7fffffu) | (exponent ? 0x800000u : 0);
  const uint32_t kept = mantissa >> cut, rest = mantissa & ((1u << cut) - 1),
                 half = 1u << (cut - 1);
  const uint32_t rounded = kept + (rest > half || (rest == half && (kept & 1)));
  return (uint16_t) (sign | (exponent > 112 ? ((exponent - 113) << 10) + rounded : rounded));
}
