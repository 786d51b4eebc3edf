/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "simd-kernel.h"

#include <check.h>
#include <stdlib.h>

/* Which instructions are in use. That they give the same numbers is for the tests of the kernels. */

START_TEST (no_more_than_the_limit)
{
  ck_assert_int_le (simd_limit ((SimdKind) _i), _i);
  ck_assert_int_eq (simd_get (), simd_limit ((SimdKind) _i));
}
END_TEST

START_TEST (a_limit_can_be_raised_again)
{
  const SimdKind best = simd_get ();

  ck_assert_int_eq (simd_limit (SIMD_PORTABLE), SIMD_PORTABLE);
  ck_assert_int_eq (simd_get (), SIMD_PORTABLE);
  ck_assert_int_eq (simd_limit (SIMD_N_KINDS), best);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("simd-kernel");
  TCase *limits = tcase_create ("limits"), *negative = tcase_create ("not");

  tcase_add_test (limits, a_limit_can_be_raised_again);
  tcase_add_loop_test (negative, no_more_than_the_limit, 0, SIMD_N_KINDS);
  suite_add_tcase (suite, limits);
  suite_add_tcase (suite, negative);

  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
