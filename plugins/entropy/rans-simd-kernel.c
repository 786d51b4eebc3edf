/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "rans-private.h"

#if HAS_SIMD
#ifndef __clang__
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized" /* of gcc 12 in its own AVX-512 header */
#endif
#include <immintrin.h>

#define HALF 16 /* lanes of a register */
#define AVX512_INLINE SIMD_FOR_AVX512 static inline __attribute__ ((always_inline))

typedef struct {
  __m512i state, step;
} Half;

typedef struct {
  const RansDecoder *d;
  const uint8_t *in;
} Words;

/* A symbol of each of 16 lanes. At least 32 bytes of words are left. */
AVX512_INLINE __m512i
decode_half (Words *w, Half *h, bool narrow, bool machine)
{
  const RansDecoder *d = w->d;
  const __m128i shift = _mm_cvtsi32_si128 ((int) d->precision);
  const __m512i mask = _mm512_set1_epi32 ((int) ((1u << d->precision) - 1));
  const __m512i low = _mm512_set1_epi32 (narrow ? 0xfff : 0xffff), one = _mm512_set1_epi32 (1);
  __m512i at = _mm512_and_si512 (h->state, mask), rest, symbol;

  if (machine)
    at = _mm512_or_si512 (
        at, _mm512_sll_epi32 (_mm512_and_si512 (h->step, _mm512_set1_epi32 (0xff)), shift));
  const __m512i slot = _mm512_i32gather_epi32 (at, d->slots, 4);
  if (narrow) {
    rest = _mm512_and_si512 (_mm512_srli_epi32 (slot, 12), low);
    symbol = _mm512_srli_epi32 (slot, 24);
  } else {
    rest = _mm512_srli_epi32 (slot, 16);
    symbol = _mm512_and_si512 (_mm512_i32gather_epi32 (at, d->symbols, 2), low);
  }
  const __m512i f = _mm512_add_epi32 (_mm512_and_si512 (slot, low), one);
  const __m512i x =
      _mm512_add_epi32 (_mm512_mullo_epi32 (f, _mm512_srl_epi32 (h->state, shift)), rest);
  const __mmask16 need = _mm512_cmplt_epu32_mask (x, _mm512_set1_epi32 ((int) RANS_LOWEST));
  const __m512i words = _mm512_cvtepu16_epi32 (_mm256_loadu_si256 ((const __m256i *) w->in));
  h->state = _mm512_mask_or_epi32 (x, need, _mm512_slli_epi32 (x, 16),
                                   _mm512_maskz_expand_epi32 (need, words));
  w->in += 2 * (size_t) __builtin_popcount (need);
  if (machine) {
    const __m512i next = _mm512_and_si512 (symbol, _mm512_set1_epi32 ((1 << d->step_bits) - 1));
    h->step = _mm512_i32gather_epi32 (_mm512_add_epi32 (_mm512_srli_epi32 (h->step, 8), next),
                                      d->steps, 4);
  }
  return symbol;
}

AVX512_INLINE size_t
decode_both (const RansDecoder *d, RansLanes *lanes, size_t steps, uint16_t *out, bool narrow,
             bool machine)
{
  Words w = { d, lanes->in };
  Half a = { _mm512_loadu_si512 (lanes->state), _mm512_loadu_si512 (lanes->step) };
  Half b = { _mm512_loadu_si512 (lanes->state + HALF), _mm512_loadu_si512 (lanes->step + HALF) };
  size_t i = 0;

  for (; i < steps && lanes->end - w.in >= 4 * HALF; i++, out += RANS_LANES) {
    const __m512i s = decode_half (&w, &a, narrow, machine);
    _mm256_storeu_si256 ((__m256i *) out, _mm512_cvtepi32_epi16 (s));
    const __m512i t = decode_half (&w, &b, narrow, machine);
    _mm256_storeu_si256 ((__m256i *) (out + HALF), _mm512_cvtepi32_epi16 (t));
  }
  _mm512_storeu_si512 (lanes->state, a.state);
  _mm512_storeu_si512 (lanes->step, a.step);
  _mm512_storeu_si512 (lanes->state + HALF, b.state);
  _mm512_storeu_si512 (lanes->step + HALF, b.step);
  lanes->in = w.in;
  return i;
}

SIMD_FOR_AVX512 size_t
rans_steps_avx512 (const RansDecoder *self, RansLanes *lanes, size_t steps, uint16_t *out)
{
  if (self->steps)
    return self->symbols ? decode_both (self, lanes, steps, out, false, true)
                         : decode_both (self, lanes, steps, out, true, true);
  return self->symbols ? decode_both (self, lanes, steps, out, false, false)
                       : decode_both (self, lanes, steps, out, true, false);
}

#endif
