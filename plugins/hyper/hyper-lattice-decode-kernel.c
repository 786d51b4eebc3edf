/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hyper-lattice-value.h"
#include "simd-kernel.h"

#include <float.h>

INLINE float
bounded (float value)
{
  value = value > FLT_MAX ? FLT_MAX : value;
  return value < -FLT_MAX ? -FLT_MAX : value;
}

/* One coset: all symbols are alike. Returns whether one of them is out of range. */
INLINE bool
decode_flat (const HyperLattice *l, const HyperLatticeFrame *f, const uint32_t *restrict symbols,
             size_t n, float *restrict out)
{
  const int32_t offset = l->offset;
  const float centre = f->centre, step = f->step[0];
  const float shift[HYPER_LATTICE_SHIFTS] = { f->shift[0][0][0], f->shift[0][0][1],
                                              f->shift[0][0][2] };
  uint32_t all = 0;

  for (size_t i = 0; i < n; i++) {
    all |= symbols[i];
    out[i] = bounded (centre + value_at ((float) ((int32_t) symbols[i] - offset), 0, step, shift));
  }
  return all >= l->n_symbols;
}

INLINE bool
decode_cosets (const HyperLattice *l, const HyperLatticeFrame *f, unsigned d,
               const uint32_t *restrict symbols, size_t n, float *restrict out)
{
  const int32_t offset = l->offset;
  uint32_t all = 0;

  for (size_t v = 0; v < n; v++, symbols += d, out += d) {
    const unsigned c = symbols[0] & 1;
    const float half = 0.5f * (float) c;
    uint32_t coded[8];
    for (unsigned i = 0; i < d; i++)
      coded[i] = symbols[i];
    coded[0] >>= 1;
    for (unsigned i = 0; i < d; i++) {
      const unsigned s = d == 2 && i ? 1 : 0;
      const float p = (float) ((int32_t) coded[i] - offset) + half;
      all |= coded[i];
      out[i] = bounded (f->centre + value_at (p, half, f->step[s], f->shift[s][c]));
    }
  }
  return all >= 2 * (uint32_t) offset;
}

INLINE bool
decode_as (const HyperLattice *l, const HyperLatticeFrame *f, const uint32_t *symbols, size_t n,
           float *out)
{
  if (l->n_cosets == 1)
    return decode_flat (l, f, symbols, n * l->dimension, out);
  if (l->dimension == 8)
    return decode_cosets (l, f, 8, symbols, n, out);
  return decode_cosets (l, f, 2, symbols, n, out);
}

static bool
decode_portable (const HyperLattice *l, const HyperLatticeFrame *f, const uint32_t *symbols,
                 size_t n, float *out)
{
  return decode_as (l, f, symbols, n, out);
}

#if HAS_SIMD
SIMD_FOR_AVX2 static bool
decode_avx2 (const HyperLattice *l, const HyperLatticeFrame *f, const uint32_t *symbols, size_t n,
             float *out)
{
  return decode_as (l, f, symbols, n, out);
}

SIMD_FOR_AVX512_WIDE static bool
decode_avx512 (const HyperLattice *l, const HyperLatticeFrame *f, const uint32_t *symbols, size_t n,
               float *out)
{
  return decode_as (l, f, symbols, n, out);
}
#endif

static size_t
find_bad (const HyperLattice *l, const uint32_t *symbols, size_t n)
{
  const uint32_t end = 2 * (uint32_t) l->offset;

  for (size_t v = 0; v < n; v++, symbols += l->dimension)
    for (unsigned i = 0; i < l->dimension; i++)
      if ((i ? symbols[i] : symbols[i] / l->n_cosets) >= end)
        return v;
  return n;
}

size_t
hyper_lattice_decode (const HyperLattice *l, const HyperLatticeFrame *f, const uint32_t *symbols,
                      size_t n, float *out)
{
  bool (*decode) (const HyperLattice *, const HyperLatticeFrame *, const uint32_t *, size_t,
                  float *) = decode_portable;

#if HAS_SIMD
  if (simd_get () == SIMD_AVX512)
    decode = decode_avx512;
  else if (simd_get () == SIMD_AVX2)
    decode = decode_avx2;
#endif
  return decode (l, f, symbols, n, out) ? find_bad (l, symbols, n) : n;
}
