/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hyper-rate-kernel.h"
#include "hyper-trellis-kernel.h"

#include <math.h>
#include <string.h>

#define SHIFTS HYPER_TRELLIS_SHIFTS
#define LENGTHS HYPER_TRELLIS_LENGTHS
#define LARGEST_STEP 0x1p124 /* so that all that is stored with it stays finite */
#define LEAST_STEP 0x1p-100  /* its reciprocal is finite, too: smaller numbers are zeros */
#define LONGEST_SHIFT 1.9    /* steps; after rounding it must stay below 2 */
/* What a bit costs, in squares of the step. Measured on Gaussian and Laplacian numbers: the first is best from 1.25 bits on, the second below
 * 0.75 bits; between them now one and now the other, by 0.1 dB. */
#define LAMBDA 0.33
#define LOW_LAMBDA 0.15
#define OFTEN 1.25
#define SELDOM 0.75

/* A search for one lambda at work. */
typedef struct {
  HyperTrellisFit *fit;
  HyperTrellisSums sums; /* of the last coding */
  uint32_t *symbols;
  void *scratch; /* of the coder */
  float speed;   /* of lengths, from coding to coding: they swing where few symbols are not zero */
  bool first;
} Search;

static size_t
count_symbols (const HyperTrellisFit *fit)
{
  return (size_t) 1 << fit->bits;
}

static float *
lengths_of (const HyperTrellisFit *fit)
{
  return fit->scratch;
}

size_t
hyper_trellis_fit_scratch_bytes (const HyperTrellisFit *fit)
{
  return 2 * count_symbols (fit) * (sizeof (float) + sizeof (uint32_t)) +
         fit->n_segments * fit->length * sizeof (uint32_t) +
         hyper_trellis_scratch_bytes (fit->trellis->n_states, fit->length);
}

/* Prices of magnitudes: those of both signs, on average. They go a part of the way. */
static void
take_lengths (HyperTrellisFit *fit, const float *lengths, float speed)
{
  const unsigned offset = 1u << (fit->bits - 1);

  for (unsigned u = 0; u < 2; u++, lengths += count_symbols (fit))
    for (unsigned m = 0; m < LENGTHS; m++) {
      const unsigned k = m < offset ? m : offset - 1;
      const float length = 0.5f * (lengths[offset + k] + lengths[offset - k]);
      fit->cost.length[u][m] += speed * (length - fit->cost.length[u][m]);
    }
}

static void
take_shifts (HyperTrellisFit *fit, const HyperTrellisSums *sums)
{
  for (unsigned u = 0; u < 2; u++)
    for (unsigned i = 0; i < SHIFTS; i++) {
      const double w = sums->weight[u][i], shift = w > 0 ? sums->moved[u][i] / w : 0;
      fit->params[1 + u * SHIFTS + i] =
          (float) ((double) fit->params[0] * fmax (-LONGEST_SHIFT, fmin (shift, LONGEST_SHIFT)));
    }
}

/* Cost and params stay those that the rate was measured with; the first coding is that of the least error. */
static double
code (void *user, double step, double lambda, const float *lengths, uint32_t *counts)
{
  Search *search = user;
  HyperTrellisFit *fit = search->fit;
  const HyperTrellis *trellis = fit->trellis;
  HyperTrellisFrame frame;

  step = fmin (step, LARGEST_STEP);
  if (search->first)
    memset (fit->params, 0, sizeof fit->params);
  else {
    take_lengths (fit, lengths, fit->cost.lambda == 0 ? 1 : search->speed);
    take_shifts (fit, &search->sums);
    for (unsigned i = 1; i < HYPER_TRELLIS_PARAMS; i++)
      fit->params[i] *= (float) step / fit->params[0];
  }
  fit->params[0] = (float) step;
  fit->cost.lambda = search->first ? 0 : (float) lambda;
  search->first = false;
  hyper_trellis_frame_init (&frame, fit->params);
  hyper_trellis_encode (trellis, &frame, &fit->cost, fit->weights, fit->x, fit->n_segments,
                        fit->length, fit->bits, search->scratch, search->symbols);
  memset (&search->sums, 0, sizeof search->sums);
  hyper_trellis_sum (trellis, &frame, fit->weights, fit->x, search->symbols, fit->n_segments,
                     fit->length, fit->bits, &search->sums, counts);
  return search->sums.error;
}

static void
search_step (HyperTrellisFit *fit, double bits, double goal, double lambda, double step)
{
  const size_t n = count_symbols (fit);
  Search search = { .fit = fit, .speed = bits < SELDOM ? 0.3f : 0.5f, .first = true };
  HyperRate rate = { .code = code,
                     .coder = &search,
                     .n_contexts = 2,
                     .n_symbols = n,
                     .n_weights = (double) (fit->n_segments * fit->length),
                     .bits = bits,
                     .goal = goal,
                     .lambda = lambda,
                     .least_step = (double) fit->peak / (double) (n - 4),
                     .step = step,
                     .lengths = lengths_of (fit) };

  rate.counts = (uint32_t *) (rate.lengths + 2 * n);
  search.symbols = rate.counts + 2 * n;
  search.scratch = search.symbols + fit->n_segments * fit->length;
  memset (fit->cost.length, 0, sizeof fit->cost.length);
  hyper_rate_search (&rate, false);
  fit->rate = rate.rate;
  fit->error = rate.error;
}

/* Of neighbouring rates: 6.02 dB a bit. */
static double
error_at (const HyperTrellisFit *fit, double bits)
{
  return fit->error * exp2 (2 * (fit->rate - bits));
}

void
hyper_trellis_fit (HyperTrellisFit *fit, double bits)
{
  const size_t n = fit->n_segments * fit->length;
  double energy = 0, weights = 0;

  for (size_t i = 0; i < n; i++) {
    const double w = fit->weights ? (double) fit->weights[i] : 1;
    weights += w;
    energy += w * (double) fit->x[i] * (double) fit->x[i];
  }
  memset (fit->params, 0, sizeof fit->params);
  memset (&fit->cost, 0, sizeof fit->cost);
  fit->params[0] = 1;
  fit->cost.weight = 1;
  fit->rate = fit->error = 0;
  const double step = energy > 0 ? 2.1 * exp2 (-bits) * sqrt (energy / weights) : 0;
  if (!(step >= LEAST_STEP))
    return;
  fit->cost.weight = (float) ((double) n / weights);
  const double goal = fit->nmse * energy;
  search_step (fit, bits, goal, bits < SELDOM ? LOW_LAMBDA : LAMBDA, step);
  if (bits >= OFTEN || bits < SELDOM)
    return;
  HyperTrellisFit other = *fit;
  search_step (&other, bits, goal, LOW_LAMBDA, (double) fit->params[0]);
  if (error_at (&other, bits) < error_at (fit, bits))
    *fit = other;
}
