/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hyper-rate-kernel.h"

#include <math.h>
#include <string.h>

#define MAX_CODINGS 40u
#define SETTLING 3u      /* codings before the step is near: lengths must come to rest first */
#define CLOSE 0.0015     /* bits a weight */
#define SLOPE -0.9       /* bits a weight for each doubling of the step, before it is known */
#define LARGEST_MOVE 2.0 /* octaves */

double
hyper_rate_lengths (const uint32_t *counts, size_t n_contexts, size_t n_symbols, float *lengths)
{
  double bits = 0;

  for (size_t c = 0; c < n_contexts; c++, counts += n_symbols, lengths += n_symbols) {
    uint64_t total = 0;
    for (size_t s = 0; s < n_symbols; s++)
      total += counts[s];
    const double all = log2 ((double) total + 1);
    for (size_t s = 0; s < n_symbols; s++) {
      lengths[s] = (float) (all + 1);
      if (counts[s]) {
        lengths[s] = (float) (all - log2 (counts[s]));
        bits += counts[s] * lengths[s];
      }
    }
  }
  return bits;
}

/* A table that is learned on the sample fits it better than what follows (Miller and Madow): bits that the sample does not show. */
static double
hidden_bits (const HyperRate *rate)
{
  const uint32_t *counts = rate->counts;
  double free = 0;

  for (size_t c = 0; c < rate->n_contexts; c++, counts += rate->n_symbols) {
    size_t used = 0;
    for (size_t s = 0; s < rate->n_symbols; s++)
      used += counts[s] != 0;
    free += used ? (double) used - 1 : 0;
  }
  return free / (2 * M_LN2);
}

static void
code_once (HyperRate *rate)
{
  memset (rate->counts, 0, rate->n_contexts * rate->n_symbols * sizeof *rate->counts);
  rate->error = rate->code (rate->coder, rate->step, rate->lambda, rate->lengths, rate->counts);
  const double bits =
      hyper_rate_lengths (rate->counts, rate->n_contexts, rate->n_symbols, rate->lengths);
  rate->rate = (bits + hidden_bits (rate)) / rate->n_weights;
  rate->n_codings++;
}

/* Bits a weight beyond what is to be reached; of an error, what it is in bits at 6.02 dB each. */
static double
surplus (const HyperRate *rate)
{
  if (!(rate->goal > 0))
    return rate->rate - rate->bits;
  return rate->error > 0 ? 0.5 * log2 (rate->goal / rate->error) : LARGEST_MOVE;
}

/* The next step, in octaves from the last, by the slope between the last two codings where that is one to go by. */
static double
next_move (double now, double last, double last_move)
{
  double slope = SLOPE;

  if (fabs (last_move) > 0.01) {
    const double seen = (now - last) / last_move;
    slope = seen < -6 ? -6 : seen > -0.6 ? -0.6 : seen;
  }
  return fmax (fmin (-now / slope, LARGEST_MOVE), -LARGEST_MOVE);
}

void
hyper_rate_search (HyperRate *rate, bool warm)
{
  double now = 0, last = 0, move = 0;
  const unsigned settling = warm ? 1 : SETTLING;
  unsigned close = 0;

  rate->n_codings = 0;
  if (!warm)
    memset (rate->lengths, 0, rate->n_contexts * rate->n_symbols * sizeof *rate->lengths);
  if (!(rate->step > rate->least_step))
    rate->step = rate->least_step;
  while (rate->n_codings < MAX_CODINGS) {
    code_once (rate);
    last = now;
    now = surplus (rate);
    close = fabs (now) < CLOSE ? close + 1 : 0;
    if ((close >= 2 && rate->n_codings > settling) ||
        (rate->step <= rate->least_step && now < 0 && rate->n_codings > settling))
      return;
    move = rate->n_codings == 1 && !warm ? 0 : next_move (now, last, move);
    rate->step = fmax (rate->step * exp2 (move), rate->least_step);
  }
}
