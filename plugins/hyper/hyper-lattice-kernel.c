/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hyper-lattice-kernel.h"
#include "hyper-lattice-value.h"

#include <float.h>
#include <math.h>
#include <string.h>

#define ROOT_3 1.7320508075688772
#define LARGEST_SHIFT 0.5    /* of a step: what it is learned to at the most, either way */
#define LARGEST_STEP 0x1p124 /* so that all that is stored with it stays finite */

static const struct {
  unsigned dimension, n_cosets, n_scales;
  bool even;
} kinds[HYPER_N_LATTICES] = {
  [HYPER_Z] = { 1, 1, 1, false },
  [HYPER_A2] = { 2, 2, 2, false },
  [HYPER_D4] = { 4, 1, 1, true },
  [HYPER_E8] = { 8, 2, 1, true },
};

unsigned
hyper_lattice_dimension (HyperLatticeKind kind)
{
  return kinds[kind].dimension;
}

void
hyper_lattice_init (HyperLattice *lattice, HyperLatticeKind kind, unsigned bits)
{
  const unsigned d = kinds[kind].dimension, cosets = kinds[kind].n_cosets;

  *lattice = (HyperLattice){
    .kind = kind,
    .dimension = d,
    .n_cosets = cosets,
    .even = kinds[kind].even,
    .n_scales = kinds[kind].n_scales,
    .n_symbols = 1u << bits,
    .offset = (int32_t) ((1u << bits) / 2 / cosets),
    .n_params = 2 + kinds[kind].n_scales * cosets * HYPER_LATTICE_SHIFTS,
    .n_contexts = 1 + (d - 1) * cosets * (kinds[kind].even ? 2 : 1),
  };
}

float
hyper_lattice_scale (const HyperLattice *lattice, unsigned coordinate)
{
  return lattice->n_scales > 1 && coordinate ? (float) ROOT_3 : 1;
}

/* The state before a symbol, and its context. */
static inline unsigned
state_of (unsigned position, unsigned coset, unsigned parity, unsigned n_cosets, bool even)
{
  const unsigned parities = even ? 2 : 1;

  return position ? 1 + ((position - 1) * n_cosets + coset) * parities + (even ? parity : 0) : 0;
}

void
hyper_lattice_machine (HyperLatticeKind kind, uint16_t *next, uint8_t *context)
{
  const unsigned d = kinds[kind].dimension, cosets = kinds[kind].n_cosets;
  const bool even = kinds[kind].even;

  for (unsigned i = 0; i < d; i++)
    for (unsigned c = 0; c < cosets; c++)
      for (unsigned p = 0; p < 2; p++) {
        const unsigned state = state_of (i, c, p, cosets, even);
        context[state] = (uint8_t) state;
        for (unsigned low = 0; low < 4; low++) {
          const unsigned coset = i || cosets == 1 ? c : low & 1;
          const unsigned odd = (i || cosets == 1 ? low : low >> 1) & 1;
          const unsigned parity = (i ? p : 0) ^ odd;
          next[state << 2 | low] =
              (uint16_t) (i + 1 < d ? state_of (i + 1, coset, parity, cosets, even) : 0);
        }
      }
}

bool
hyper_lattice_frame_init (HyperLatticeFrame *frame, const HyperLattice *lattice,
                          const float *params)
{
  const float *shift = params + 2;

  for (unsigned i = 0; i < lattice->n_params; i++)
    if (!isfinite (params[i]))
      return false;
  memset (frame, 0, sizeof *frame);
  frame->centre = params[0];
  for (unsigned s = 0; s < lattice->n_scales; s++) {
    frame->step[s] = (float) fmax (fmin (params[1] * (s ? ROOT_3 : 1), FLT_MAX), -FLT_MAX);
    for (unsigned c = 0; c < lattice->n_cosets; c++, shift += HYPER_LATTICE_SHIFTS)
      memcpy (frame->shift[s][c], shift, sizeof frame->shift[s][c]);
  }
  return true;
}

/* --- learning --- */

void
hyper_lattice_tally (const HyperLattice *l, const HyperLatticeFrame *f, HyperMetric metric,
                     const float *weights, const float *x, size_t n, const uint32_t *symbols,
                     HyperLatticeTally *tally)
{
  const unsigned d = l->dimension;
  const size_t stride = hyper_metric_stride (metric, d);
  const unsigned along = metric == HYPER_METRIC_MATRIX ? d + 1 : metric == HYPER_METRIC_DIAGONAL;

  for (size_t v = 0; v < n; v++, x += d, symbols += d) {
    const unsigned c = l->n_cosets > 1 ? symbols[0] & 1 : 0;
    const float half = 0.5f * (float) c;
    unsigned parity = 0;
    for (unsigned i = 0; i < d; i++) {
      const unsigned s = l->n_scales > 1 && i ? 1 : 0;
      const uint32_t coded = i ? symbols[i] : symbols[i] / l->n_cosets;
      const float p = (float) ((int32_t) coded - l->offset) + half;
      const double w = stride ? weights[v * stride + i * along] : 1;
      tally->counts[state_of (i, c, parity, l->n_cosets, l->even) * l->n_symbols + symbols[i]]++;
      parity ^= coded & 1;
      const float off = x[i] - f->centre;
      const double e = off - value_at (p, half, f->step[s], f->shift[s][c]);
      tally->error += w * e * e;
      if (p == 0)
        continue;
      const float a = fabsf (p) - half;
      const unsigned k = a < 1.5f ? 0 : a < 2.5f ? 1 : 2;
      tally->weight[s][c][k] += w;
      tally->sum[s][c][k] += w * (p > 0 ? f->step[s] * p - off : off - f->step[s] * p);
    }
  }
}

void
hyper_lattice_set_params (const HyperLattice *l, double step, const HyperLatticeTally *tally,
                          float *params)
{
  unsigned at = 2;

  params[1] = hyper_round (fmin (step, LARGEST_STEP));
  for (unsigned s = 0; s < l->n_scales; s++)
    for (unsigned c = 0; c < l->n_cosets; c++)
      for (unsigned k = 0; k < HYPER_LATTICE_SHIFTS; k++) {
        const double w = tally->weight[s][c][k],
                     most = LARGEST_SHIFT * params[1] * (s ? ROOT_3 : 1);
        const double shift = w > 0 ? tally->sum[s][c][k] / w : 0;
        params[at++] = hyper_round (fmax (fmin (shift, most), -most));
      }
}
