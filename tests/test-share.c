/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-codec-private.h"
#include "share-test.h"

/* Planes that tensors share: their names, and that they count once. */

/* --- names -------------------------------------------------------------------------------------------------------- */

static AfpLayout *
describe (const char *properties, AfpPlaneKind kind, const char *shared)
{
  const AfpPlaneDesc desc = {
    .name = "weight", .kind = kind, .rows = 8, .cols = 8, .fallback = "raw32", .shared = shared
  };
  GError *error = NULL;
  g_autoptr (AfpElement) codec =
      afp_registry_make (afp_registry_get_default (), "test-share", &error);

  afp_element_set_name (codec, "me");
  ck_assert (afp_element_set_properties_text (codec, properties, &error));
  return afp_codec_describe (AFP_CODEC (codec), &desc, &error);
}

static const char *
name_of (AfpLayout *layout, guint child)
{
  return afp_layout_get_child (layout, child)->shared;
}

/* Interned: equal names are one pointer. */
START_TEST (the_same_layout_has_the_same_name)
{
  g_autoptr (AfpLayout) a = describe ("", AFP_KIND_WEIGHT, NULL),
                        b = describe ("", AFP_KIND_WEIGHT, NULL);

  ck_assert_ptr_null (name_of (a, 0));
  ck_assert_ptr_nonnull (name_of (a, 1));
  ck_assert_ptr_eq (name_of (a, 1), name_of (b, 1));
  ck_assert_ptr_nonnull (strstr (name_of (a, 1), "me("));
  ck_assert (afp_layout_child_is_shared (a, 1));
  ck_assert (!afp_layout_child_is_shared (a, 0));
}
END_TEST

START_TEST (others_have_other_names)
{
  g_autoptr (AfpLayout) a = describe ("", AFP_KIND_WEIGHT, NULL),
                        b = describe ("size=3", AFP_KIND_WEIGHT, NULL),
                        c = describe ("", AFP_KIND_COEFFS, NULL),
                        d = describe ("share=false", AFP_KIND_WEIGHT, NULL);

  ck_assert_ptr_ne (name_of (a, 1), name_of (b, 1));
  ck_assert_ptr_ne (name_of (a, 1), name_of (c, 1));
  ck_assert_ptr_null (name_of (d, 1));
}
END_TEST

/* Under a shared plane all is shared, and nothing is fitted to a model. */
START_TEST (children_of_a_shared_plane)
{
  g_autoptr (AfpLayout) a = describe ("", AFP_KIND_WEIGHT, "x"),
                        b = describe ("", AFP_KIND_WEIGHT, "y");

  for (guint i = 0; i < 2; i++) {
    ck_assert_ptr_nonnull (name_of (a, i));
    ck_assert_ptr_ne (name_of (a, i), name_of (b, i));
    ck_assert (!afp_layout_child_is_shared (a, i));
  }
  ck_assert_ptr_ne (name_of (a, 0), name_of (a, 1));
}
END_TEST

static TCase *
name_case (void)
{
  TCase *tcase = tcase_create ("names");
  tcase_add_test (tcase, the_same_layout_has_the_same_name);
  tcase_add_test (tcase, others_have_other_names);
  tcase_add_test (tcase, children_of_a_shared_plane);
  return tcase;
}

/* --- sizes -------------------------------------------------------------------------------------------------------- */

static gint64
report_int (const char *path)
{
  JsonNode *node = test_report_get (path);

  ck_assert_msg (node != NULL, "no %s", path);
  return json_node_get_int (node);
}

/* A level of 1,000 numbers is 2,000 bytes: counted once by plan, report and eval alike. */
START_TEST (counted_once)
{
  static const char *const chains[] = {
    "test-share size=1000 ! eval", "test-share size=1000 ! test-pack ! eval",
    "test-share size=1000 ! test-q planes=codebook bits=8 ! eval"
  };
  share_run (chains[_i], 2);
  const gint64 bytes = report_int ("outputs.0.bytes");
  gint64 sum = 0;
  for (guint i = 0; i < 3; i++) {
    g_autofree char *path = g_strdup_printf ("tensors.%u.bytes", i);
    sum += report_int (path);
  }
  ck_assert_int_eq (sum, bytes);
  ck_assert_int_eq (report_int ("evals.0.metrics.bytes"), bytes);
  ck_assert_int_gt (bytes, 688 + 1000);
  ck_assert_int_lt (bytes, 688 + 2000 + 400);
  ck_assert_int_gt (report_int ("tensors.0.bytes"), 1000);
  ck_assert_int_lt (report_int ("tensors.1.bytes"), 400);
}
END_TEST

START_TEST (the_plan_knows)
{
  GError *error = NULL;
  g_autoptr (AfpPipeline) pipeline =
      afp_pipeline_new_from_text ("test-source ! test-share size=1000 ! test-sink", &error);
  AfpPlan *plan = afp_pipeline_plan (pipeline, &error);
  gboolean exact;

  ck_assert_msg (plan != NULL, "%s", error ? error->message : "");
  const guint64 planned =
      afp_plan_get_total_bytes (plan, afp_pipeline_get_elements (pipeline)->pdata[2], &exact);
  ck_assert (exact);
  g_autofree char *text = afp_plan_to_string (plan);
  ck_assert_ptr_nonnull (strstr (text, "takes weight in 3 tensors"));
  ck_assert_ptr_nonnull (strstr (text, "level: one for all, 2008 bytes"));
  share_run ("test-share size=1000", 2);
  ck_assert_int_eq ((gint64) planned, report_int ("outputs.0.bytes"));
}
END_TEST

/* A tensor is taken if its own planes pay; the shared one must be paid by all. */
START_TEST (must_pay)
{
  /* 5,504 weights of 4 bytes, 1 bit each */
  share_run ("test-share size=10000", 2);
  assert_fails ("test-share size=11000", AFP_ERROR_PLAN, "plane 'level', which 3 tensors share",
                "force=true");
  assert_fails ("test-share size=10000 tensors=a,b", AFP_ERROR_PLAN, "which 2 tensors share",
                "costs 20008 bytes");
  share_run ("test-share size=11000 force=true", 2);
}
END_TEST

/* Behind another codec the coefficients' fallback is what they are weighed against. */
START_TEST (must_pay_behind_another)
{
  share_run ("test-ask ! test-share", 2);
  ck_assert_ptr_nonnull (strstr (test_plan (), "level: one for all"));
  assert_fails ("test-ask ! test-share size=100000", AFP_ERROR_PLAN, "costs 200064 bytes",
                "3 tensors share");
}
END_TEST

static TCase *
size_case (void)
{
  TCase *tcase = tcase_create ("sizes");
  tcase_add_checked_fixture (tcase, share_setup, NULL);
  tcase_add_loop_test (tcase, counted_once, 0, 3);
  tcase_add_test (tcase, the_plan_knows);
  tcase_add_test (tcase, must_pay);
  tcase_add_test (tcase, must_pay_behind_another);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { name_case, size_case };
  test_init ();
  afp_registry_add_builtin ("test-share", test_share_get_type ());
  return run_suite ("share", cases, G_N_ELEMENTS (cases));
}
