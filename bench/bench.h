/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What benches share: clocks, the median, and data. */
#pragma once

#include <glib.h>
#include <math.h>
#include <stdlib.h>
#include <time.h>

/* Of this thread on the processor, so that what else runs there does not count. */
static inline double
bench_seconds (void)
{
  struct timespec t;

  clock_gettime (CLOCK_THREAD_CPUTIME_ID, &t);
  return (double) t.tv_sec + 1e-9 * (double) t.tv_nsec;
}

/* By the clock on the wall. */
static inline double
bench_wall_seconds (void)
{
  return (double) g_get_monotonic_time () * 1e-6;
}

static inline int
bench_compare (const void *a, const void *b)
{
  const double x = *(const double *) a, y = *(const double *) b;

  return (x > y) - (x < y);
}

/* Puts @n values in their order. */
static inline double
bench_median (double *values, gsize n)
{
  qsort (values, n, sizeof *values, bench_compare);
  return values[n / 2];
}

/* Normal numbers, always the same ones. */
static inline float *
bench_normal (gsize n)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (1);
  float *x = g_new (float, n);

  for (gsize i = 0; i < n; i++)
    x[i] = (float) (sqrt (-2 * log (1 - g_rand_double (rand))) *
                    cos (2 * G_PI * g_rand_double (rand)));
  return x;
}
