/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-memory.h"
#include "afp-test.h"

/* One stream, several branches. The chains end in test-sink; the other branches in null. */

static void
setup (void)
{
  g_autoptr (AfpTensor) a = test_tensor ("a", AFP_DTYPE_F32, "32x64", NULL, 1),
                        b = test_tensor ("b", AFP_DTYPE_F32, "48x16", NULL, 2);
  test_set_tensors (a, b, NULL);
}

static const char *
recipe (guint tensor)
{
  static char *text;
  g_free (text);
  text = afp_tensor_get_recipe (test_output ()->pdata[tensor]);
  return text;
}

static void
run (const char *text)
{
  g_autoptr (AfpTensor) G_GNUC_UNUSED out = test_run (text, 2);
}

static gint64
report_int (const char *path)
{
  JsonNode *node = test_report_get (path);
  ck_assert_msg (node != NULL, "no %s", path);
  return json_node_get_int (node);
}

START_TEST (every_branch_gets_every_tensor)
{
  run ("tee name=t ! test-q bits=2 ! null t. ! test-q bits=3 ! null t. ! identity");
  ck_assert_uint_eq (test_output ()->len, 2);
  ck_assert_str_eq (recipe (0), "weight");
  for (guint i = 0; i < 3; i++) {
    g_autofree char *path = g_strdup_printf ("outputs.%u.weights", i);
    ck_assert_int_eq (report_int (path), 32 * 64 + 48 * 16);
  }
  ck_assert_int_lt (report_int ("outputs.0.bytes"), report_int ("outputs.1.bytes"));
  ck_assert_int_lt (report_int ("outputs.1.bytes"), report_int ("outputs.2.bytes"));
}
END_TEST

/* What a branch does is not seen by the next: the same bytes as alone. */
START_TEST (branches_do_not_meet)
{
  run ("test-ask ! test-q planes=scale ! test-pack");
  g_autoptr (GBytes) alone = test_tree_bytes (afp_tensor_get_root (test_output ()->pdata[0]));
  run (
      "test-ask ! tee name=t ! test-q planes=coeffs bits=2 force=true ! test-pack ! null t. ! test-q planes=scale ! test-pack");
  g_autoptr (GBytes) beside = test_tree_bytes (afp_tensor_get_root (test_output ()->pdata[0]));
  ck_assert (g_bytes_equal (alone, beside));
}
END_TEST

/* The first branch might answer, the second not: nobody is asked, the fallback answers. Claims behind it hold all the same. */
START_TEST (queries_end_here)
{
  run ("test-ask ! tee name=t ! null t. ! test-q planes=coeffs bits=2");
  ck_assert_ptr_nonnull (strstr (test_plan (), "optimised with block-float"));
  ck_assert_ptr_nonnull (strstr (recipe (0), "coeffs=test-q"));
  run (
      "test-ask ! test-q planes=coeffs bits=2 ! tee name=t ! null t. ! identity"); /* before it they are asked */
  ck_assert_ptr_null (strstr (test_plan (), "optimised with block-float"));
}
END_TEST

START_TEST (one_branch)
{
  run ("tee ! test-q bits=3");
  ck_assert_ptr_nonnull (strstr (recipe (1), "bits=3"));
}
END_TEST

START_TEST (a_tee_behind_a_tee)
{
  run ("tee name=t ! tee name=u ! null u. ! null t. ! test-q bits=3");
  ck_assert_uint_eq (test_output ()->len, 2);
  ck_assert_int_eq (report_int ("outputs.2.weights"), 32 * 64 + 48 * 16);
}
END_TEST

/* Each branch has a queue and a thread of its own: none waits for another, whatever the number of branches and of threads. */
START_TEST (many_branches)
{
  static const guint counts[] = { 2, 8 };
  for (guint threads = 1; threads <= 5; threads += 4) {
    g_autoptr (GString) text = g_string_new ("tee name=t");
    for (guint i = 1; i < counts[_i]; i++)
      g_string_append_printf (text, " ! test-q bits=%u ! null t.", i);
    g_string_append (text, " ! identity");
    g_autoptr (AfpTensor) G_GNUC_UNUSED out = test_run (text->str, threads);
    for (guint i = 0; i < counts[_i]; i++) {
      g_autofree char *bytes = g_strdup_printf ("outputs.%u.bytes", i);
      g_autofree char *tensors = g_strdup_printf ("outputs.%u.tensors", i);
      ck_assert_int_eq (report_int (tensors), 2);
      ck_assert_int_gt (report_int (bytes), (32 * 64 + 48 * 16) * (gint64) MIN (i + 1, 31) / 8);
    }
  }
}
END_TEST

/* Queues that hold not even one tensor. */
START_TEST (tiny_queues)
{
  GError *error = NULL;
  g_autoptr (AfpPipeline) pipeline = afp_pipeline_new_from_text (
      "test-source ! tee name=t ! tee name=u ! null u. ! test-q ! null u. ! null t. ! test-sink",
      &error);
  ck_assert_ptr_nonnull (pipeline);
  afp_pipeline_set_threads (pipeline, 1);
  afp_pipeline_set_max_memory (pipeline, afp_memory_get_base (1, 8) + (1 << 20));
  ck_assert_msg (afp_pipeline_run (pipeline, &error), "%s", error ? error->message : "");
}
END_TEST

static void
assert_run_fails (const char *text, int code, const char *word, const char *other)
{
  GError *error = NULL;
  ck_assert_msg (!test_try (text, 2, &error), "%s", text);
  assert_error (error, code, word, other);
}

/* An error in one branch ends the run, whichever it is. */
START_TEST (errors_in_a_branch)
{
  assert_run_fails ("tee name=t ! test-fail in=encode ! null t. ! identity", AFP_ERROR_CODEC,
                    "test-fail fails in encode", "a");
  assert_run_fails ("tee name=t ! null t. ! test-fail in=fit", AFP_ERROR_CODEC,
                    "test-fail fails in fit", "a");
  assert_run_fails ("tee name=t ! eval require=sqnr_db<1 ! null t. ! test-q", AFP_ERROR_METRIC,
                    "eval0 requires", "sqnr_db<1");
  assert_run_fails ("tee name=t ! null t. ! tensor,dtype=f16", AFP_ERROR_PLAN, "f16", "'a'");
}
END_TEST

START_TEST (no_branch)
{
  GError *error = NULL;
  g_autoptr (AfpPipeline) pipeline = afp_pipeline_new_from_text ("test-source ! tee", &error);
  ck_assert (!pipeline || !afp_pipeline_run (pipeline, &error));
  ck_assert_msg (error && strstr (error->message, "tee"), "%s",
                 error ? error->message : "no error");
  g_clear_error (&error);
  assert_run_fails ("tee name=t ! null x. ! identity", AFP_ERROR_USAGE, "x", "");
}
END_TEST

static TCase *
all (void)
{
  TCase *tcase = tcase_create ("tee");
  tcase_add_checked_fixture (tcase, setup, NULL);
  tcase_add_test (tcase, every_branch_gets_every_tensor);
  tcase_add_test (tcase, branches_do_not_meet);
  tcase_add_test (tcase, queries_end_here);
  tcase_add_test (tcase, one_branch);
  tcase_add_test (tcase, a_tee_behind_a_tee);
  tcase_add_loop_test (tcase, many_branches, 0, 2);
  tcase_add_test (tcase, tiny_queues);
  tcase_add_test (tcase, errors_in_a_branch);
  tcase_add_test (tcase, no_branch);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { all };
  test_init ();
  return run_suite ("tee", cases, G_N_ELEMENTS (cases));
}
