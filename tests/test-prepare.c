/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-memory.h"
#include "share-test.h"

/* What tensors share is fitted to a sample of all of them, before the first. */

#define LEVEL "weight/level/codes"

static float
level_of (guint tensor, const char *path)
{
  AfpPlane *plane = test_find (afp_tensor_get_root (test_output ()->pdata[tensor]), path);
  g_autofree float *values = test_decode_plane (plane, NULL);
  return values[0];
}

START_TEST (fitted_once)
{
  share_run ("test-share", 2);
  ck_assert_uint_eq (share_n_fitted, 1);
  ck_assert_uint_eq (share_n_given, 3);
  ck_assert_uint_eq (test_output ()->len, 3);
  for (guint i = 1; i < 3; i++)
    ck_assert (g_bytes_equal (share_bytes (0, LEVEL), share_bytes (i, LEVEL)));
}
END_TEST

/* All weights are in a sample of so few; each tensor is brought to the same size. */
START_TEST (every_tensor_counts)
{
  share_run ("test-share", 2);
  ck_assert_float_eq_tol (level_of (0, "weight/level"), 1, 1e-3f);
  ck_assert_uint_eq (share_cols, 40); /* the narrowest, whole quanta */
  ck_assert_uint_eq (share_rows, 32 * 2 + 48 + 24 * 2);
}
END_TEST

START_TEST (large_models_are_sampled)
{
  g_autoptr (AfpTensor) a = test_tensor ("a", AFP_DTYPE_F16, "1500x1024", NULL, 1),
                        b = test_tensor ("b", AFP_DTYPE_F32, "700x512", NULL, 2);
  test_set_tensors (a, b, NULL);
  share_run ("test-share", 2);
  ck_assert_uint_eq (share_cols, 256);
  ck_assert_uint_eq (share_rows, (1 << 20) / 256);
  ck_assert_float_eq_tol (level_of (1, "weight/level"), 1, 2e-3f);
}
END_TEST

static const char *const chains[] = {
  "test-share",
  "test-ask ! test-share",
  "test-ask ! test-share ! test-q planes=codebook,scale bits=8 force=true",
  "test-q bits=6 residual=true ! test-share planes=residual",
  "test-share ! test-pack",
};

START_TEST (threads_do_not_matter)
{
  g_autoptr (GPtrArray) bytes = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);

  for (guint threads = 1; threads <= 5; threads += 2) {
    share_run (chains[_i], threads);
    for (guint i = 0; i < 3; i++) {
      g_autoptr (GBytes) tree = test_tree_bytes (afp_tensor_get_root (test_output ()->pdata[i]));
      if (threads == 1)
        g_ptr_array_add (bytes, g_steal_pointer (&tree));
      else
        ck_assert (g_bytes_equal (tree, bytes->pdata[i]));
    }
  }
}
END_TEST

/* The codec sees what the one before it leaves: test-ask divides blocks by their first number's size. */
START_TEST (behind_another_codec)
{
  share_run ("test-ask open-loop=true ! test-share", 2);
  ck_assert_uint_eq (share_n_fitted, 1);
  ck_assert_uint_eq (share_n_given, 3);
  for (guint i = 1; i < 3; i++)
    ck_assert (g_bytes_equal (share_bytes (0, "weight/coeffs/level/codes"),
                              share_bytes (i, "weight/coeffs/level/codes")));
}
END_TEST

/* A quantizer has nothing to learn where all it learns is given: the asker fits it in the sample alone. */
START_TEST (a_quantizer_is_given_it)
{
  share_run ("test-ask ! test-share", 2);
  ck_assert_uint_ge (share_n_fitted, 1);
  ck_assert (g_bytes_equal (share_bytes (0, "weight/coeffs/level/codes"),
                            share_bytes (2, "weight/coeffs/level/codes")));
  ck_assert_ptr_nonnull (strstr (test_plan (), "optimised with test-share"));
}
END_TEST

/* What another codec makes of it is one, too. */
START_TEST (nested)
{
  share_run ("test-share size=4096 ! test-q planes=codebook bits=6", 2);
  GBytes *codes = share_bytes (0, "weight/level/codes");
  ck_assert_uint_eq (g_bytes_get_size (codes), 4096 * 6 / 8);
  ck_assert (codes == share_bytes (1, "weight/level/codes"));
  ck_assert (codes == share_bytes (2, "weight/level/codes"));
}
END_TEST

START_TEST (decoded_on_the_way)
{
  share_run ("test-q bits=4 ! decode ! test-share", 2);
  ck_assert_uint_eq (share_n_fitted, 1);
  ck_assert_float_eq_tol (level_of (0, "weight/level"), 1, 5e-2f);
}
END_TEST

START_TEST (each_branch_its_own)
{
  share_run ("tee name=t ! test-share ! null t. ! test-share ! null t. ! test-share tensors=a,b",
             2);
  ck_assert_uint_eq (share_n_fitted, 3);
  ck_assert_uint_eq (share_n_given, 3 + 3 + 2);
}
END_TEST

/* Rules that change the properties make other groups. */
START_TEST (each_rule_its_own)
{
  g_autofree char *rules = test_write_file ("rules", "a size=2\nb quantum=8\n");
  g_autofree char *text = g_strdup_printf ("test-share rules=%s", rules);

  share_run (text, 2);
  ck_assert_uint_eq (share_n_fitted, 3);
  test_remove_files ();
}
END_TEST

/* Most weights go through test-ask, and the sample does, too; the others are given the same. */
START_TEST (by_several_ways)
{
  g_autofree char *rules = test_write_file ("ways", "b block=16\n");
  g_autofree char *text = g_strdup_printf ("test-ask rules=%s open-loop=true ! test-share", rules);

  share_run (text, 2);
  ck_assert_uint_eq (share_n_fitted, 1);
  ck_assert_uint_eq (share_n_given, 3);
  test_remove_files ();
}
END_TEST

START_TEST (not_shared)
{
  share_run ("test-share share=false", 2);
  ck_assert_uint_eq (share_n_fitted, 3);
  ck_assert_uint_eq (share_n_given, 0);
}
END_TEST

static TCase *
good_case (void)
{
  TCase *tcase = tcase_create ("good");
  tcase_add_checked_fixture (tcase, share_setup, NULL);
  tcase_add_test (tcase, fitted_once);
  tcase_add_test (tcase, every_tensor_counts);
  tcase_add_test (tcase, large_models_are_sampled);
  tcase_add_loop_test (tcase, threads_do_not_matter, 0, G_N_ELEMENTS (chains));
  tcase_add_test (tcase, behind_another_codec);
  tcase_add_test (tcase, a_quantizer_is_given_it);
  tcase_add_test (tcase, nested);
  tcase_add_test (tcase, decoded_on_the_way);
  tcase_add_test (tcase, each_branch_its_own);
  tcase_add_test (tcase, each_rule_its_own);
  tcase_add_test (tcase, by_several_ways);
  tcase_add_test (tcase, not_shared);
  return tcase;
}

/* --- what goes wrong ---------------------------------------------------------------------------------------------- */

START_TEST (nothing_but_zeros)
{
  g_autofree float *zeros = g_new0 (float, 512);
  g_autoptr (AfpTensor) a = test_tensor_from ("a", "16x32", NULL, zeros);

  test_set_tensors (a, NULL);
  share_run ("test-share", 2);
  ck_assert_uint_eq (share_n_fitted, 0);
  ck_assert_float_eq (level_of (0, "weight/level"), 0);
}
END_TEST

/* The sample leaves such a tensor out; the run says where the number is. */
START_TEST (not_finite)
{
  g_autofree float *values = test_values (512, 1);
  g_autoptr (AfpTensor) a = test_tensor ("a", AFP_DTYPE_F32, "32x64", NULL, 1);

  values[70] = NAN;
  g_autoptr (AfpTensor) b = test_tensor_from ("b", "16x32", NULL, values);
  test_set_tensors (a, b, NULL);
  assert_fails ("test-share", AFP_ERROR_CODEC, "tensor 'b' holds NaN", "[2,6]");
  ck_assert_uint_eq (share_n_fitted, 1);
}
END_TEST

START_TEST (a_codec_fails_on_the_sample)
{
  assert_fails ("test-fail in=encode ! decode ! test-share", AFP_ERROR_CODEC,
                "test-fail fails in encode", "prepare");
  ck_assert_uint_eq (share_n_fitted, 0);
}
END_TEST

START_TEST (too_little_memory)
{
  GError *error = NULL;
  g_autoptr (AfpPipeline) pipeline = afp_pipeline_new_from_text (
      "test-source ! test-share size=1000000 force=true ! test-sink", &error);

  afp_pipeline_set_threads (pipeline, 1);
  afp_pipeline_set_max_memory (pipeline, afp_memory_get_base (1, 3) + (2 << 20));
  ck_assert (!afp_pipeline_run (pipeline, &error));
  assert_error (error, AFP_ERROR_MEMORY, "tensor 'a'", "--max-mem");
  ck_assert_uint_eq (share_n_fitted, 0);
}
END_TEST

static void
cancel_on_info (AfpMessage *message, gpointer pipeline)
{
  if (afp_message_get_message_type (message) == AFP_MESSAGE_INFO &&
      strstr (afp_message_get_text (message), "level of 3 tensors fitted"))
    afp_pipeline_cancel (pipeline);
}

START_TEST (cancelled_and_told)
{
  GError *error = NULL;
  g_autoptr (AfpPipeline) pipeline =
      afp_pipeline_new_from_text ("test-source ! test-share ! test-sink", &error);

  afp_pipeline_set_handler (pipeline, cancel_on_info, pipeline);
  ck_assert (!afp_pipeline_run (pipeline, &error));
  assert_error (error, AFP_ERROR_CANCELLED, "cancelled");
  ck_assert_uint_eq (share_n_given, 0);
}
END_TEST

START_TEST (cancelled_before)
{
  GError *error = NULL;
  g_autoptr (AfpPipeline) pipeline =
      afp_pipeline_new_from_text ("test-source ! test-share ! test-sink", &error);

  ck_assert_ptr_nonnull (afp_pipeline_plan (pipeline, &error));
  afp_pipeline_cancel (pipeline);
  ck_assert (!afp_pipeline_run (pipeline, &error));
  assert_error (error, AFP_ERROR_CANCELLED, "cancelled");
  ck_assert_uint_eq (share_n_fitted, 0);
}
END_TEST

/* Outside of a run there is no model. */
START_TEST (without_a_run)
{
  const AfpPlaneDesc desc = {
    .name = "weight", .kind = AFP_KIND_WEIGHT, .rows = 32, .cols = 64, .fallback = "raw32"
  };
  const guint64 shape[] = { 32, 64 };
  GError *error = NULL;
  g_autoptr (AfpElement) asker = afp_registry_make (afp_registry_get_default (), "identity", NULL),
                         codec =
                             afp_registry_make (afp_registry_get_default (), "test-share", NULL);
  g_autoptr (AfpSpec) spec = afp_spec_new ("fc", AFP_DTYPE_F32, 2, shape, NULL, NULL);
  AfpPad *src = afp_element_get_pad (asker, AFP_PAD_SRC, 0);

  ck_assert (afp_pad_link (src, afp_element_get_pad (codec, AFP_PAD_SINK, 0), &error));
  g_autoptr (AfpClaim) claim = afp_pad_query_claim (src, spec, "weight", &desc);
  g_autofree float *values = test_values (32 * 64, 1);
  g_autoptr (GBytes) bytes = g_bytes_new (values, 32 * 64 * sizeof (float));
  g_autoptr (AfpMatrix) matrix = afp_matrix_new_dense (32, 64, bytes);
  ck_assert_ptr_null (afp_claim_encode (claim, matrix, NULL, "fc/weight", NULL, &error));
  assert_error (error, AFP_ERROR_CODEC, "fc/weight", "'level'", "before the first tensor");
}
END_TEST

static TCase *
bad_case (void)
{
  TCase *tcase = tcase_create ("bad");
  tcase_add_checked_fixture (tcase, share_setup, NULL);
  tcase_add_test (tcase, nothing_but_zeros);
  tcase_add_test (tcase, not_finite);
  tcase_add_test (tcase, a_codec_fails_on_the_sample);
  tcase_add_test (tcase, too_little_memory);
  tcase_add_test (tcase, cancelled_and_told);
  tcase_add_test (tcase, cancelled_before);
  tcase_add_test (tcase, without_a_run);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { good_case, bad_case };
  test_init ();
  afp_registry_add_builtin ("test-share", test_share_get_type ());
  return run_suite ("prepare", cases, G_N_ELEMENTS (cases));
}
