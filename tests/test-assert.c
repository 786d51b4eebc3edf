/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pipe-test.h"

#include "afp-pipeline-private.h"

static AfpElement *
make (const char *caps)
{
  /* The first pipeline registers the element. */
  g_object_unref (pipe_new ("tsource n=1 ! tsink"));
  AfpElement *element = afp_registry_make (afp_registry_get_default (), "assert", NULL);
  ck_assert_ptr_nonnull (element);
  ck_assert (afp_element_set_property_text (element, "caps", caps, NULL));
  return element;
}

static AfpTensor *
plan (AfpElement *element, AfpDType dtype, GError **error)
{
  const guint64 shape[] = { 8, 4 };
  g_autoptr (AfpTensor) tensor = make_tensor ("fc1", dtype, 2, shape, FALSE);
  g_autoptr (AfpPlan) notes = afp_plan_new ();
  AfpTensor *out = AFP_TRANSFORM_GET_CLASS (element)->plan_tensor (AFP_TRANSFORM (element), tensor,
                                                                   notes, error);

  ck_assert (!out || out == tensor);
  return out;
}

START_TEST (test_passes)
{
  g_autoptr (AfpElement) element = make ("tensor,dtype={f32,f16},rank=2");
  g_autoptr (AfpTensor) f32 = plan (element, AFP_DTYPE_F32, NULL),
                        f16 = plan (element, AFP_DTYPE_F16, NULL);

  ck_assert (f32 && f16);
}
END_TEST

START_TEST (test_data_pass_as_they_are)
{
  g_autoptr (AfpElement) element = make ("tensor,rank=7");
  const guint64 shape[] = { 8, 4 };
  g_autoptr (AfpTensor) tensor = make_tensor ("fc1", AFP_DTYPE_F32, 2, shape, TRUE);
  g_autoptr (AfpTensor) out =
      AFP_TRANSFORM_GET_CLASS (element)->process (AFP_TRANSFORM (element), tensor, NULL);

  ck_assert_ptr_eq (out, tensor);
}
END_TEST

START_TEST (test_refuses)
{
  g_autoptr (AfpElement) element = make ("tensor,dtype=f16");
  GError *error = NULL;

  ck_assert_ptr_null (plan (element, AFP_DTYPE_F32, &error));
  ck_assert_ptr_null (strchr (error->message, '^'));
  assert_error (error, AFP_ERROR_PLAN, "'fc1'", "dtype is f32, but f16");
}
END_TEST

START_TEST (test_refuses_with_a_caret)
{
  g_autoptr (AfpElement) element = make ("tensor,dtype=f16");
  GError *error = NULL;

  afp_assert_set_place (AFP_ASSERT (element), "load ! tensor,dtype=f16 ! null", 7);
  ck_assert_ptr_null (plan (element, AFP_DTYPE_F32, &error));
  assert_error (error, AFP_ERROR_PLAN, "dtype is f32",
                "\n  load ! tensor,dtype=f16 ! null\n         ^");
}
END_TEST

START_TEST (test_wrong_caps)
{
  g_autoptr (AfpElement) element = make ("tensor,dtpe=f16");
  GError *error = NULL;

  ck_assert (!AFP_ELEMENT_GET_CLASS (element)->check (element, &error));
  assert_error (error, AFP_ERROR_PROPERTY, "dtpe", "dtype");
  ck_assert_ptr_null (plan (element, AFP_DTYPE_F32, &error));
  assert_error (error, AFP_ERROR_PROPERTY, "dtpe");
}
END_TEST

START_TEST (test_in_a_pipeline_as_an_element)
{
  g_autoptr (AfpPipeline) pipeline =
      pipe_new ("tsource n=1 ! assert caps=\"tensor,rank=3\" ! tsink");
  GError *error = NULL;

  ck_assert_ptr_null (afp_pipeline_plan (pipeline, &error));
  assert_error (error, AFP_ERROR_PLAN, "rank is 2, but 3");
}
END_TEST

static TCase *
make_asserts (void)
{
  TCase *tcase = tcase_create ("asserts");
  tcase_add_test (tcase, test_passes);
  tcase_add_test (tcase, test_data_pass_as_they_are);
  tcase_add_test (tcase, test_refuses);
  tcase_add_test (tcase, test_refuses_with_a_caret);
  tcase_add_test (tcase, test_wrong_caps);
  tcase_add_test (tcase, test_in_a_pipeline_as_an_element);
  return tcase;
}

int
main (void)
{
  TCase *(*const cases[]) (void) = { make_asserts };
  pipe_register ();
  return run_suite ("assert", cases, G_N_ELEMENTS (cases));
}
