/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-test.h"

static void
setup (void)
{
  g_autoptr (AfpTensor) a = test_tensor ("a", AFP_DTYPE_F32, "32x64", "in:1", 1),
                        b = test_tensor ("b", AFP_DTYPE_U8, "7", NULL, 2);
  test_set_tensors (a, b, NULL);
}

START_TEST (the_very_same_tensors)
{
  g_autoptr (AfpTensor) G_GNUC_UNUSED out =
      test_run ("test-tap ! identity ! test-tap ! identity name=x", 1);
  ck_assert_uint_eq (test_tapped ()->len, 4);
  ck_assert_ptr_eq (test_tapped ()->pdata[0], test_tapped ()->pdata[1]);
  ck_assert_ptr_eq (test_tapped ()->pdata[0], test_output ()->pdata[0]);
  ck_assert_ptr_eq (test_tapped ()->pdata[2], test_output ()->pdata[1]);
}
END_TEST

START_TEST (queries_pass)
{
  g_autoptr (AfpTensor) G_GNUC_UNUSED out =
      test_run ("test-ask ! identity ! identity ! test-q planes=coeffs bits=3", 1);
  ck_assert_ptr_nonnull (strstr (test_plan (), "optimised with test-q"));
}
END_TEST

START_TEST (errors_pass)
{
  GError *error = NULL;
  ck_assert (!test_try ("identity ! test-fail in=fit ! identity", 1, &error));
  assert_error (error, AFP_ERROR_CODEC, "test-fail fails in fit", "a");
}
END_TEST

START_TEST (no_properties)
{
  GError *error = NULL;
  ck_assert (!test_try ("identity sleep=3", 1, &error));
  assert_error (error, AFP_ERROR_PROPERTY, "no property 'sleep'");
  ck_assert (!test_try ("identity name='a b'", 1, &error));
  assert_error (error, AFP_ERROR_USAGE, "'a b' is no name");
}
END_TEST

static TCase *
all (void)
{
  TCase *tcase = tcase_create ("identity");
  tcase_add_checked_fixture (tcase, setup, NULL);
  tcase_add_test (tcase, the_very_same_tensors);
  tcase_add_test (tcase, queries_pass);
  tcase_add_test (tcase, errors_pass);
  tcase_add_test (tcase, no_properties);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { all };
  test_init ();
  return run_suite ("identity", cases, G_N_ELEMENTS (cases));
}
