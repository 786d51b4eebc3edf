/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The ends of float32, in vptq-kernel.c. */
#include "core-test.h"

#include "vptq/vptq-kernel.h"

#include <float.h>
#include <math.h>

/* 1 where squares are safe, else a power of two that brings the largest number near 1, and whose inverse is a number. */
START_TEST (test_unit)
{
  static const float peaks[] = { 1, 0x1p39f, 0x1p-39f, 0x1p41f, FLT_MAX, 0x1p-41f, 1e-30f, 1e-40f };
  const float nothing[2] = { 0, -0.0f };

  ck_assert (vptq_unit (NULL, 0) == 1 && vptq_unit (nothing, 2) == 1);
  for (unsigned i = 0; i < sizeof peaks / sizeof *peaks; i++) {
    float x[3] = { 0, -peaks[i], peaks[i] / 2 };
    const float unit = vptq_unit (x, 3);
    if (i < 3) {
      ck_assert (unit == 1);
      continue;
    }
    int exponent;
    ck_assert (frexpf (unit, &exponent) == 0.5f);
    vptq_divide (x, 3, unit);
    ck_assert (x[1] <= -0x1p-10f && x[1] >= -8);
    ck_assert (x[1] * unit == -peaks[i]); /* exactly */
  }
}
END_TEST

/* A product beyond float32 is the largest number of its sign. */
START_TEST (test_lookup_of_the_largest)
{
  const float codebook[2] = { 2, -2 };
  const uint32_t indices[1] = { 0 };
  float out[2];

  ck_assert_uint_eq (vptq_lookup (codebook, 1, 2, FLT_MAX, indices, 1, out), 1);
  ck_assert (out[0] == FLT_MAX && out[1] == -FLT_MAX);
}
END_TEST

START_TEST (test_divide_by_nothing)
{
  float x[2] = { 1, -3 };

  vptq_divide (x, 2, 0);
  ck_assert (x[0] == 0 && x[1] == 0);
  vptq_divide (NULL, 0, 2);
}
END_TEST

static TCase *
range_case (void)
{
  TCase *tcase = tcase_create ("range");
  tcase_add_test (tcase, test_unit);
  tcase_add_test (tcase, test_divide_by_nothing);
  tcase_add_test (tcase, test_lookup_of_the_largest);
  return tcase;
}

int
main (void)
{
  TCase *(*const cases[]) (void) = { range_case };

  return run_suite ("vptq-range", cases, G_N_ELEMENTS (cases));
}
