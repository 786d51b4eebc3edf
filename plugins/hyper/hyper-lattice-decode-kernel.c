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

#define VECTORS 16u
#define NUMBERS (8 * VECTORS)

/* What belongs to each number of so many vectors. */
typedef struct {
  float step[NUMBERS], shift[2][HYPER_LATTICE_SHIFTS][NUMBERS];
} Places;

static void
places_init (Places *places, const HyperLatticeFrame *f, unsigned d)
{
  for (unsigned i = 0; i < NUMBERS; i++) {
    const unsigned s = d == 2 ? i % 2 : 0;
    places->step[i] = f->step[s];
    for (unsigned c = 0; c < 2; c++)
      for (unsigned k = 0; k < HYPER_LATTICE_SHIFTS; k++)
        places->shift[c][k][i] = f->shift[s][c][k];
  }
}

/* Two cosets: the first symbol of a vector says which. */
INLINE bool
decode_cosets (const HyperLattice *l, const HyperLatticeFrame *f, unsigned d,
               const uint32_t *symbols, size_t n, float *out)
{
  const int32_t offset = l->offset;
  const float centre = f->centre;
  uint32_t all = 0, coded[NUMBERS] = { 0 };
  float half[NUMBERS] = { 0 };
  Places at;

  places_init (&at, f, d);
  for (size_t done = 0; done < n; done += VECTORS) {
    const size_t count = n - done < VECTORS ? n - done : VECTORS, numbers = count * d;
    for (size_t i = 0; i < numbers; i++)
      coded[i] = symbols[done * d + i];
    for (size_t v = 0; v < count; v++) {
      for (unsigned i = 0; i < d; i++)
        half[v * d + i] = 0.5f * (float) (symbols[(done + v) * d] & 1);
      coded[v * d] >>= 1;
    }
    for (size_t i = 0; i < numbers; i++) {
      const bool second = half[i] > 0;
      const float shift[HYPER_LATTICE_SHIFTS] = {
        second ? at.shift[1][0][i] : at.shift[0][0][i],
        second ? at.shift[1][1][i] : at.shift[0][1][i],
        second ? at.shift[1][2][i] : at.shift[0][2][i],
      };
      const float p = (float) ((int32_t) coded[i] - offset) + half[i];
      all |= coded[i];
      out[done * d + i] = bounded (centre + value_at (p, half[i], at.step[i], shift));
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
