/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>
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

/* Symbol @n of @bits, 1 to 16; no byte behind its last one is read. */
AFP_THREAD uint32_t
afp_thread_symbol (const uint8_t *codes, uint64_t n, unsigned bits)
{
  const uint64_t first = n * bits, last = first + bits - 1;
  uint32_t value = 0;
  for (uint64_t byte = first / 8; byte <= last / 8; byte++)
    value |= (uint32_t) codes[byte] << (8 * (unsigned) (byte - first / 8));
  return value >> (unsigned) (first % 8) & ((1u << bits) - 1);
}

/* Of @threads sums that stand @stride apart, in the order of threads. */
AFP_THREAD float
afp_thread_total (const float *sums, unsigned threads, unsigned stride)
{
  float total = 0;
  for (unsigned thread = 0; thread < threads; thread++)
    total = afp_thread_sum (total, sums[thread * stride]);
  return total;
}
