/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hyper-trellis-kernel.h"

#include "simd-kernel.h"

#include <float.h>
#include <math.h>
#include <string.h>

#define LANES HYPER_TRELLIS_LANES
#define LENGTHS HYPER_TRELLIS_LENGTHS
#define FAR 1e30f /* cost of a state that no path leads to */

#if HAS_SIMD
#if !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized" /* of gcc 12 in its own AVX-512 header */
#endif
#include <immintrin.h>
#endif

/* Parity-check polynomials h0, h1 of Ungerboeck's codes: bit i is the coefficient of D^i. */
static const struct {
  unsigned n_states, h0, h1;
} codes[] = { { 4, 05, 02 },     { 8, 013, 04 },      { 16, 023, 04 },    { 32, 045, 010 },
              { 64, 0103, 024 }, { 128, 0235, 0126 }, { 256, 0515, 0362 } };

#define N_CODES (sizeof codes / sizeof *codes)

bool
hyper_trellis_has_states (unsigned n_states)
{
  for (size_t i = 0; i < N_CODES; i++)
    if (codes[i].n_states == n_states)
      return true;
  return false;
}

/* The systematic encoder with feedback: its lowest bit chooses the union, the parity of the symbol is its input. */
void
hyper_trellis_init (HyperTrellis *trellis, unsigned n_states)
{
  size_t c = 0;

  while (c + 1 < N_CODES && codes[c].n_states != n_states)
    c++;
  memset (trellis, 0, sizeof *trellis);
  trellis->n_states = codes[c].n_states;
  for (unsigned s = 0; s < trellis->n_states; s++) {
    trellis->choice[s] = (uint8_t) (s & 1);
    for (unsigned parity = 0; parity < 2; parity++) {
      const unsigned next =
          s >> 1 ^ (s & 1 ? codes[c].h0 >> 1 : 0) ^ (parity ? codes[c].h1 >> 1 : 0);
      trellis->next[s * 2 + parity] = (uint16_t) next;
      trellis->before[next * 2 + parity] = (uint8_t) s;
    }
  }
}

bool
hyper_trellis_frame_init (HyperTrellisFrame *frame, const float *params)
{
  frame->step = params[0];
  if (!(params[0] > 0 && params[0] <= FLT_MAX))
    return false;
  for (unsigned u = 0; u < 2; u++)
    for (unsigned i = 0; i < HYPER_TRELLIS_SHIFTS; i++) {
      const float shift = params[1 + u * HYPER_TRELLIS_SHIFTS + i] / frame->step;
      if (!(fabsf (shift) <= 2))
        return false;
      frame->shift[u][i] = shift;
    }
  return true;
}

/* --- points -------------------------------------------------------------------------------------------------------- */

/* Distance of magnitude m of union u from zero, in steps. */
static inline float
point (const HyperTrellisFrame *frame, unsigned u, unsigned m)
{
  const unsigned last = HYPER_TRELLIS_SHIFTS;

  if (m == 0)
    return 0;
  return (float) (2 * m - u) - frame->shift[u][(m < last ? m : last) - 1];
}

/* Points and prices as the search reads them. */
typedef struct {
  float point[2][LENGTHS];
  float price[2][LENGTHS]; /* lambda * bits */
  float shift[2];          /* of magnitudes beyond */
  float slope[2];          /* of the price beyond */
  int largest;
  float scale; /* 1 / step */
  float weight;
} Tables;

static void
tables_init (Tables *tables, const HyperTrellisFrame *frame, const HyperTrellisCost *cost,
             unsigned bits)
{
  for (unsigned u = 0; u < 2; u++) {
    for (unsigned m = 0; m < LENGTHS; m++) {
      tables->point[u][m] = point (frame, u, m);
      tables->price[u][m] = cost->lambda * cost->length[u][m];
    }
    tables->shift[u] = frame->shift[u][HYPER_TRELLIS_SHIFTS - 1];
    tables->slope[u] = tables->price[u][LENGTHS - 1] - tables->price[u][LENGTHS - 2];
  }
  tables->largest = (1 << (bits - 1)) - 1;
  tables->scale = 1 / frame->step;
  tables->weight = cost->weight;
}

/* Error and price of magnitude m of union u for a number at distance a from zero. */
static inline float
candidate_cost (const Tables *tables, unsigned u, int m, float a, float w)
{
  float at, price;

  if (m < (int) LENGTHS) {
    at = tables->point[u][m];
    price = tables->price[u][m];
  } else {
    at = (float) (2 * m - (int) u) - tables->shift[u];
    price = tables->price[u][LENGTHS - 1] + tables->slope[u] * (float) (m - (int) LENGTHS + 1);
  }
  return w * ((a - at) * (a - at)) + price;
}

/* For each union and parity the best symbol of a number y (in steps), and its cost: the nearest magnitude, the next one towards
 * zero, or the least. */
static inline void
find_candidates (const Tables *tables, float y, float w, float *cost, int16_t *symbol)
{
  const float a = fminf (fabsf (y), 65536.0f);

  for (unsigned label = 0; label < 4; label++) {
    const unsigned u = label >> 1;
    const int parity = (int) (label & 1);
    int m = parity + 2 * (int) (((a + (float) u) * 0.5f - (float) parity) * 0.5f + 0.5f);
    if (m > tables->largest)
      m = tables->largest - ((tables->largest ^ parity) & 1);
    const int lower = m - 2 < parity ? parity : m - 2;
    float best = candidate_cost (tables, u, m, a, w);
    const float next = candidate_cost (tables, u, lower, a, w),
                least = candidate_cost (tables, u, parity, a, w);
    if (next < best) {
      best = next;
      m = lower;
    }
    if (least < best) {
      best = least;
      m = parity;
    }
    cost[label * LANES] = best;
    symbol[label * LANES] = (int16_t) (y < 0 ? -m : m);
  }
}

/* --- the search ---------------------------------------------------------------------------------------------------- */

/*
 * One step of all lanes: from the costs of the states before it to those after it. States of the upper half are reached from
 * union 1, the others from union 0; chosen[s]: lanes in which the path to s has odd parity.
 */
typedef void (*Advance) (const HyperTrellis *trellis, const float *cost, const float *before,
                         float *after, uint16_t *chosen);

static void
advance_portable (const HyperTrellis *trellis, const float *cost, const float *before, float *after,
                  uint16_t *chosen)
{
  for (unsigned s = 0; s < trellis->n_states; s++) {
    const float *even = before + trellis->before[2 * s] * LANES,
                *odd = before + trellis->before[2 * s + 1] * LANES,
                *price = cost + (s < trellis->n_states / 2 ? 0 : 2 * LANES);
    unsigned mask = 0;
    for (unsigned l = 0; l < LANES; l++) {
      const float a = even[l] + price[l], b = odd[l] + price[LANES + l];
      const unsigned less = b < a;
      after[s * LANES + l] = less ? b : a;
      mask |= less << l;
    }
    chosen[s] = (uint16_t) mask;
  }
}

#if HAS_SIMD
SIMD_FOR_AVX2 static void
advance_avx2 (const HyperTrellis *trellis, const float *cost, const float *before, float *after,
              uint16_t *chosen)
{
  for (unsigned s = 0; s < trellis->n_states; s++) {
    const float *even = before + trellis->before[2 * s] * LANES,
                *odd = before + trellis->before[2 * s + 1] * LANES,
                *price = cost + (s < trellis->n_states / 2 ? 0 : 2 * LANES);
    unsigned mask = 0;
    for (unsigned l = 0; l < LANES; l += 8) {
      const __m256 a = _mm256_add_ps (_mm256_loadu_ps (even + l), _mm256_loadu_ps (price + l)),
                   b = _mm256_add_ps (_mm256_loadu_ps (odd + l),
                                      _mm256_loadu_ps (price + LANES + l));
      const __m256 less = _mm256_cmp_ps (b, a, _CMP_LT_OQ);
      _mm256_storeu_ps (after + s * LANES + l, _mm256_min_ps (b, a));
      mask |= (unsigned) _mm256_movemask_ps (less) << l;
    }
    chosen[s] = (uint16_t) mask;
  }
}

SIMD_FOR_AVX512 static void
advance_avx512 (const HyperTrellis *trellis, const float *cost, const float *before, float *after,
                uint16_t *chosen)
{
  const unsigned half = trellis->n_states / 2;

  for (unsigned u = 0; u < 2; u++) {
    const __m512 price0 = _mm512_loadu_ps (cost + 2 * u * LANES),
                 price1 = _mm512_loadu_ps (cost + (2 * u + 1) * LANES);
    for (unsigned s = u * half; s < (u + 1) * half; s++) {
      const __m512 a = _mm512_add_ps (_mm512_loadu_ps (before + trellis->before[2 * s] * LANES),
                                      price0),
                   b = _mm512_add_ps (_mm512_loadu_ps (before + trellis->before[2 * s + 1] * LANES),
                                      price1);
      chosen[s] = (uint16_t) _mm512_cmp_ps_mask (b, a, _CMP_LT_OQ);
      _mm512_storeu_ps (after + s * LANES, _mm512_min_ps (b, a));
    }
  }
}
#endif

static Advance
get_advance (void)
{
#if HAS_SIMD
  switch (simd_get ()) {
  case SIMD_AVX512:
    return advance_avx512;
  case SIMD_AVX2:
    return advance_avx2;
  default:
    break;
  }
#endif
  return advance_portable;
}

/* Keeps costs small, so that sums over long segments lose nothing. */
static void
lower_costs (float *cost, unsigned n_states)
{
  for (unsigned l = 0; l < LANES; l++) {
    float least = cost[l];
    for (unsigned s = 1; s < n_states; s++)
      least = fminf (least, cost[s * LANES + l]);
    for (unsigned s = 0; s < n_states; s++)
      cost[s * LANES + l] -= least;
  }
}

size_t
hyper_trellis_scratch_bytes (unsigned n_states, size_t length)
{
  return 2 * n_states * LANES * sizeof (float) +
         length * (4 * LANES * sizeof (int16_t) + n_states * sizeof (uint16_t));
}

/* Up to LANES segments side by side. */
static void
encode_lanes (const HyperTrellis *trellis, const Tables *tables, Advance advance,
              const float *weights, const float *x, unsigned n, size_t length, void *scratch,
              unsigned bits, uint32_t *symbols)
{
  const unsigned n_states = trellis->n_states, cells = n_states * LANES;
  float *before = scratch, *after = before + cells;
  int16_t *candidates = (int16_t *) (after + cells);
  uint16_t *chosen = (uint16_t *) (candidates + length * 4 * LANES);
  float cost[4 * LANES] = { 0 };

  for (unsigned i = 0; i < cells; i++)
    before[i] = i < LANES ? 0 : FAR;
  for (size_t t = 0; t < length; t++) {
    for (unsigned l = 0; l < n; l++)
      find_candidates (tables, x[l * length + t] * tables->scale,
                       weights ? weights[l * length + t] * tables->weight : 1, cost + l,
                       candidates + t * 4 * LANES + l);
    advance (trellis, cost, before, after, chosen + t * n_states);
    if (t % 64 == 63)
      lower_costs (after, n_states);
    float *swap = before;
    before = after;
    after = swap;
  }
  for (unsigned l = 0; l < n; l++) {
    unsigned s = 0;
    for (unsigned i = 1; i < n_states; i++)
      if (before[i * LANES + l] < before[s * LANES + l])
        s = i;
    for (size_t t = length; t-- > 0;) {
      const unsigned parity = chosen[t * n_states + s] >> l & 1;
      const unsigned label = (s < n_states / 2 ? 0 : 2) + parity;
      symbols[l * length + t] =
          (uint32_t) ((1 << (bits - 1)) + candidates[(t * 4 + label) * LANES + l]);
      s = trellis->before[2 * s + parity];
    }
  }
}

void
hyper_trellis_encode (const HyperTrellis *trellis, const HyperTrellisFrame *frame,
                      const HyperTrellisCost *cost, const float *weights, const float *x,
                      size_t n_segments, size_t length, unsigned bits, void *scratch,
                      uint32_t *symbols)
{
  const Advance advance = get_advance ();
  Tables tables;

  tables_init (&tables, frame, cost, bits);
  for (size_t i = 0; i < n_segments; i += LANES) {
    const size_t n = n_segments - i < LANES ? n_segments - i : LANES;
    encode_lanes (trellis, &tables, advance, weights ? weights + i * length : NULL, x + i * length,
                  (unsigned) n, length, scratch, bits, symbols + i * length);
  }
}

/* --- sums and decoding --------------------------------------------------------------------------------------------- */

void
hyper_trellis_sum (const HyperTrellis *trellis, const HyperTrellisFrame *frame,
                   const float *weights, const float *x, const uint32_t *symbols, size_t n_segments,
                   size_t length, unsigned bits, HyperTrellisSums *sums, uint32_t *counts)
{
  const int offset = 1 << (bits - 1);

  for (size_t i = 0, v = 0; i < n_segments; i++) {
    unsigned s = 0;
    for (size_t t = 0; t < length; t++, v++) {
      const int k = (int) symbols[v] - offset;
      const unsigned u = trellis->choice[s], m = (unsigned) (k < 0 ? -k : k);
      const double w = weights ? (double) weights[v] : 1,
                   y = (double) (k < 0 ? -x[v] : x[v]) / (double) frame->step,
                   e = (double) frame->step * (m ? y - (double) point (frame, u, m) : y);
      if (counts)
        counts[((size_t) u << bits) + symbols[v]]++;
      sums->error += w * e * e;
      if (m) {
        const unsigned i_shift = (m < HYPER_TRELLIS_SHIFTS ? m : HYPER_TRELLIS_SHIFTS) - 1;
        sums->weight[u][i_shift] += w;
        sums->moved[u][i_shift] += w * ((double) (2 * m - u) - y);
      }
      s = trellis->next[2 * s + (symbols[v] & 1)];
    }
  }
}

void
hyper_trellis_points (const HyperTrellisFrame *frame, unsigned bits, float *points)
{
  const unsigned offset = 1u << (bits - 1);

  for (unsigned u = 0; u < 2; u++, points += 2 * (size_t) offset) {
    points[0] = 0; /* of no symbol */
    for (unsigned m = 0; m < offset; m++) {
      const float at = frame->step * point (frame, u, m);
      points[offset + m] = fmaxf (fminf (at, FLT_MAX), -FLT_MAX);
      points[offset - m] = -points[offset + m];
    }
    points[offset] = 0;
  }
}

size_t
hyper_trellis_decode (const HyperTrellis *trellis, const float *points, const uint32_t *symbols,
                      size_t n_segments, size_t length, unsigned bits, float *out)
{
  const uint32_t largest = (1u << bits) - 1;

  for (size_t i = 0, v = 0; i < n_segments; i++) {
    unsigned s = 0;
    for (size_t t = 0; t < length; t++, v++) {
      const uint32_t symbol = symbols[v];
      if (symbol - 1 >= largest)
        return v;
      out[v] = points[((size_t) (s & 1) << bits) + symbol];
      s = trellis->next[2 * s + (symbol & 1)];
    }
  }
  return n_segments * length;
}
