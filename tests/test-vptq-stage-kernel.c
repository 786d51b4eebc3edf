/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vptq-test.h"

#include "vptq/vptq-stage-kernel.h"

#include <float.h>

START_TEST (means)
{
  static const float x[] = { 1, 2, 3, 6 };
  float mean, deviation;

  vptq_mean_deviation (x, 4, &mean, &deviation);
  ck_assert (mean == 3);
  ck_assert (fabsf (deviation - sqrtf (3.5f)) < 1e-6f);
  vptq_mean_deviation (x, 1, &mean, &deviation);
  ck_assert (mean == 1 && deviation == 0);
  vptq_mean_deviation (NULL, 0, &mean, &deviation);
  ck_assert (mean == 0 && deviation == 0);
}
END_TEST

START_TEST (normalised)
{
  float x[] = { 1, 2, 3, 6 };
  const float expected[] = { -4, -2, 0, 6 };

  vptq_normalise (x, 4, 3, 0.5f);
  ck_assert_mem_eq (x, expected, sizeof expected);
  vptq_normalise (x, 4, 3, 0); /* a column of one number: no deviation */
  for (guint i = 0; i < 4; i++)
    ck_assert (x[i] == 0);
}
END_TEST

static const float first[] = { 0, 1, 2, 3, 4, 5 }, second[] = { 0, 0, 100, 200 };
static const guint32 indices[] = { 2, 0, 1 }, seconds[] = { 1, 0, 1 };

START_TEST (subtracted)
{
  float x[] = { 4, 5, 7, 7, 2, 4 };
  const float expected[] = { 0, 0, 7, 6, 0, 1 };

  vptq_subtract (first, 2, indices, 3, x);
  ck_assert_mem_eq (x, expected, sizeof expected);
}
END_TEST

START_TEST (looked_up)
{
  const VptqStages both = { 2, first, second, 3, 2 }, one = { 2, first, NULL, 3, 0 };
  const float of_both[] = { 53, 103.5f, 1, 1.5f, 52, 102.5f },
              of_one[] = { 3, 3.5f, 1, 1.5f, 2, 2.5f };
  float out[6];

  ck_assert_uint_eq (vptq_lookup_stages (&both, 0.5f, 1, indices, seconds, 3, out), 3);
  ck_assert_mem_eq (out, of_both, sizeof out);
  ck_assert_uint_eq (vptq_lookup_stages (&one, 0.5f, 1, indices, NULL, 3, out), 3);
  ck_assert_mem_eq (out, of_one, sizeof out);
}
END_TEST

/* The first vector with an index beyond its codebook. */
START_TEST (bad_indices)
{
  const VptqStages both = { 2, first, second, 3, 2 };
  const guint32 bad[] = { 0, 0, 3 }, bad_second[] = { 0, 2, 0 };
  float out[6];

  ck_assert_uint_eq (vptq_lookup_stages (&both, 1, 0, bad, seconds, 3, out), 2);
  ck_assert_uint_eq (vptq_lookup_stages (&both, 1, 0, indices, bad_second, 3, out), 1);
  ck_assert_uint_eq (vptq_lookup_stages (&both, 1, 0, bad, bad_second, 3, out), 1);
  ck_assert_uint_eq (vptq_lookup_stages (&both, 1, 0, bad, bad_second, 0, out), 0);
}
END_TEST

/* What is beyond binary32 becomes its largest number, never an infinity or no number. */
START_TEST (beyond_binary32)
{
  static const float huge[] = { FLT_MAX, -FLT_MAX }, zero[] = { 0 };
  static const guint32 index[] = { 0 };
  const VptqStages both = { 2, huge, huge, 1, 1 };
  float out[2];

  ck_assert_uint_eq (vptq_lookup_stages (&both, 2, FLT_MAX, index, index, 1, out), 1);
  ck_assert (out[0] == FLT_MAX && out[1] == 0);
  ck_assert_uint_eq (vptq_lookup_stages (&both, zero[0], 3, index, index, 1, out), 1);
  ck_assert (out[0] == 3 && out[1] == 3);
}
END_TEST

static TCase *
all (void)
{
  TCase *tcase = tcase_create ("stages");
  tcase_add_test (tcase, means);
  tcase_add_test (tcase, normalised);
  tcase_add_test (tcase, subtracted);
  tcase_add_test (tcase, looked_up);
  tcase_add_test (tcase, bad_indices);
  tcase_add_test (tcase, beyond_binary32);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { all };
  return run_suite ("vptq-stage-kernel", cases, G_N_ELEMENTS (cases));
}
