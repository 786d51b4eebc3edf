/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Speeds of seedlm's overlapping seeds on unit normal weights, in million weights per second of processor time, one thread. Plain: the textbook's
 * Viterbi, every state looks at all states before it, one pass over one long stream that begins at 0; then the kernel with
 * portable code, AVX2 and AVX-512, on segments of 512 steps.
 */
#include "bench.h"

#include "afpipe.h"
#include "seedlm/seedlm-shift-kernel.h"
#include "simd-kernel.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEPS 512 /* of a segment */

typedef struct {
  guint state_bits, step_bits, step_length;
  float gain; /* best scale of the values */
} Config;

static float *
normal_numbers (gsize n, float gain)
{
  float *x = bench_normal (n);

  for (gsize i = 0; i < n; i++)
    x[i] /= gain;
  return x;
}

/* The error of the best path, without the path: only its cost is kept. The window's new bits are on top. */
static double
plain_viterbi (const SeedlmShift *shift, const float *x, gsize n, guint8 *choices)
{
  const guint b = shift->step_bits, length = shift->step_length;
  const guint32 n_states = 1u << shift->state_bits, mask = n_states - 1;
  g_autofree float *costs = g_new (float, n_states), *next = g_new (float, n_states);
  float best = INFINITY;

  for (guint32 s = 0; s < n_states; s++)
    costs[s] = s == 0 ? 0 : INFINITY;
  for (gsize t = 0; t < n / length; t++, choices += n_states) {
    for (guint32 s = 0; s < n_states; s++) {
      float least = INFINITY, cost = 0;
      for (guint h = 0; h < 1u << b; h++) {
        const float from = costs[(s << b & mask) | h];
        if (from < least) {
          least = from;
          choices[s] = (guint8) h;
        }
      }
      for (guint j = 0; j < length; j++) {
        const float d = x[t * length + j] - shift->values[s * length + j];
        cost += d * d;
      }
      next[s] = least + cost;
    }
    float *swap = costs;
    costs = next;
    next = swap;
  }
  for (guint32 s = 0; s < n_states; s++)
    best = fminf (best, costs[s]);
  return best;
}

static double
time_plain (const SeedlmShift *shift, const float *x, gsize n, double *error)
{
  g_autofree guint8 *choices = g_malloc0 ((n / shift->step_length) << shift->state_bits);
  const double start = bench_seconds ();

  *error = plain_viterbi (shift, x, n, choices);
  return (double) n / (bench_seconds () - start) * 1e-6;
}

static double
time_kernel (const SeedlmShift *shift, const float *x, gsize n, guint32 *steps, double *error)
{
  const gsize segment = (gsize) STEPS * shift->step_length;
  SeedlmShiftSearch *search = seedlm_shift_search_new (shift, STEPS);
  const double start = bench_seconds ();

  *error = 0;
  for (gsize i = 0; i < n; i += segment)
    *error += seedlm_shift_encode (search, x + i, NULL, STEPS, steps + i / shift->step_length);
  const double speed = (double) n / (bench_seconds () - start) * 1e-6;
  seedlm_shift_search_free (search);
  return speed;
}

static double
time_decode (const SeedlmShift *shift, const guint32 *steps, gsize n)
{
  const gsize segment = (gsize) STEPS * shift->step_length;
  float out[STEPS * SEEDLM_SHIFT_MAX_STEP_LENGTH];
  guint passes = 0;
  const double start = bench_seconds ();

  do {
    for (gsize i = 0; i < n; i += segment)
      seedlm_shift_decode (shift, steps + i / shift->step_length, STEPS, 1, out);
    passes++;
  } while (bench_seconds () - start < 0.2);
  return (double) n * passes / (bench_seconds () - start) * 1e-6;
}

static void
bench (const Config *config)
{
  static const char *const names[] = { "portable", "AVX2", "AVX-512" };
  const gsize n = (gsize) STEPS * (config->state_bits > 12 ? 32 : 256), n_plain = 4 * STEPS;
  SeedlmShift *shift =
      seedlm_shift_new (config->state_bits, config->step_bits, config->step_length);
  g_autofree float *x = normal_numbers (n, config->gain);
  g_autofree guint32 *steps = g_new0 (guint32, n);
  double power = 0, error, plain_error;

  for (gsize i = 0; i < n; i++)
    power += (double) x[i] * x[i];
  const double plain = time_plain (shift, x, n_plain, &plain_error);
  printf ("L=%-2u %.1f b/w  plain %.4f", config->state_bits,
          (double) config->step_bits / config->step_length, plain);
  const SimdKind best = simd_limit (SIMD_N_KINDS);
  for (SimdKind simd = SIMD_PORTABLE; simd <= best; simd++) {
    simd_limit (simd);
    const double speed = time_kernel (shift, x, n, steps, &error);
    printf ("  %s %.3f (%.0fx)", names[simd], speed, speed / plain);
  }
  printf ("  NMSE %.4f  decode %.0f\n", error / power, time_decode (shift, steps, n));
  fflush (stdout);
  seedlm_shift_free (shift);
}

int
main (void)
{
  static const Config configs[] = {
    { 12, 2, 1, 0.99f }, { 12, 3, 2, 0.94f }, { 12, 1, 1, 0.88f }, { 12, 1, 2, 0.695f },
    { 14, 2, 1, 0.99f }, { 14, 1, 1, 0.88f }, { 16, 2, 1, 0.99f }, { 16, 1, 1, 0.88f },
  };

  printf ("million weights per second of processor time\n");
  for (gsize i = 0; i < G_N_ELEMENTS (configs); i++)
    bench (&configs[i]);
  return EXIT_SUCCESS;
}
