/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-test.h"

#include "afp-codec-private.h"

/* What is counted ahead of the run is what the run allocates: the sums are written out here. */

static AfpClaim *
claim_of (guint64 rows, guint64 cols, const char *fallback)
{
  const AfpPlaneDesc desc = { .name = "c",
                              .kind = AFP_KIND_COEFFS,
                              .scope = AFP_SCOPE_BLOCK,
                              .rows = rows,
                              .cols = cols,
                              .fallback = fallback };
  GError *error = NULL;
  AfpClaim *claim = afp_claim_new_fallback (&desc, &error);

  ck_assert_msg (claim != NULL, "%s", error ? error->message : "?");
  return claim;
}

static AfpCodecMemory
memory_of (guint64 rows, guint64 cols, const char *fallback)
{
  g_autoptr (AfpClaim) claim = claim_of (rows, cols, fallback);
  AfpCodecMemory memory;

  afp_claim_get_memory (claim, &memory);
  return memory;
}

START_TEST (test_descriptions)
{
  AfpPlaneDesc desc = { .kind = AFP_KIND_CODE, .rows = 3, .cols = 5, .bits = 3 };

  ck_assert_uint_eq (afp_plane_desc_memory (&desc), 6);
  desc.kind = AFP_KIND_COEFFS;
  ck_assert_uint_eq (afp_plane_desc_memory (&desc), 60);
  desc.vector = 5;
  ck_assert_uint_eq (afp_plane_desc_memory (&desc), 60);
  desc.metric = AFP_METRIC_SCALAR;
  ck_assert_uint_eq (afp_plane_desc_memory (&desc), 60 + 12);
  desc.metric = AFP_METRIC_MATRIX;
  ck_assert_uint_eq (afp_plane_desc_memory (&desc), 60 + 300);
}
END_TEST

/* block-float: 4 numbers, 4 mantissas and an exponent. Tiles of 8 rows, or of 65,536 numbers of the only row. */
START_TEST (test_tiles)
{
  AfpCodecMemory memory = memory_of (100, 10000, "block-float");

  ck_assert_uint_eq (memory.per_thread, 8 * 10000 * (1 + 5.0 / 4) * 4);
  ck_assert_uint_eq (memory.fixed, 0);
  memory = memory_of (1, 10000000, "block-float");
  ck_assert_uint_eq (memory.per_thread, 65536 * (1 + 5.0 / 4) * 4);
  ck_assert_uint_eq (memory.fixed, 0);
}
END_TEST

/* One tile is one thread's, and no larger than the plane. */
START_TEST (test_one_tile)
{
  const AfpCodecMemory memory = memory_of (3, 1000000, "block-float");

  ck_assert_uint_eq (memory.per_thread, 0);
  ck_assert_uint_eq (memory.fixed, 3 * 1000000 * (1 + 5.0 / 4) * 4);
}
END_TEST

/* f16 fits a factor for the whole plane: its symbols stay in the context. */
START_TEST (test_symbols_of_a_tensor)
{
  const AfpCodecMemory memory = memory_of (1000, 1000, "f16");

  ck_assert_uint_eq (memory.fixed, 1000001 * 4);
}
END_TEST

START_TEST (test_children)
{
  g_autoptr (AfpClaim) claim = claim_of (100, 1000, "block-float mantissa-bits=3");

  ck_assert_uint_eq (afp_claim_get_child_memory (claim, 0), 25000 / 2);
  ck_assert_uint_eq (afp_claim_get_child_memory (claim, 1), 100000 * 3 / 8);
  for (guint i = 0; i < 2; i++) {
    ck_assert (!afp_claim_freezes (claim, i));
    ck_assert_ptr_null (afp_claim_get_asked (claim, i));
  }
}
END_TEST

/* --- chains: by the plan ------------------------------------------------------------------------------------------- */

static guint64
planned (const char *chain)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *text = g_strdup_printf ("synth shapes=1024x1024 ! %s ! null", chain);
  g_autoptr (AfpPipeline) pipeline = afp_pipeline_new_from_text (text, &error);
  ck_assert_msg (pipeline != NULL, "%s", error ? error->message : "?");
  AfpPlan *plan = afp_pipeline_plan (pipeline, &error);
  ck_assert_msg (plan != NULL, "%s", error ? error->message : "?");
  g_autoptr (JsonNode) json = afp_plan_to_json (plan);
  return (guint64) json_object_get_int_member (json_node_get_object (json), "working_memory_bytes");
}

/* Who asks gets codes, not numbers and their metric. */
START_TEST (test_asking_is_cheaper)
{
  const guint64 closed = planned ("test-ask metric=matrix ! test-q planes=coeffs bits=4"),
                open =
                    planned ("test-ask open-loop=true metric=matrix ! test-q planes=coeffs bits=4");

  ck_assert_uint_gt (open, closed + 1048576);
}
END_TEST

/* A float plane is 4 bytes for each weight; decoding makes the array again. */
START_TEST (test_residuals_and_arrays)
{
  const guint64 array = 4 << 20, one = planned ("test-q");

  ck_assert_uint_ge (one, array);
  ck_assert_uint_le (one, array + array / 2);
  ck_assert_uint_ge (planned ("test-q residual=true"), 2 * array);
  ck_assert_uint_ge (planned ("test-q ! decode"), 2 * array);
  ck_assert_uint_ge (planned ("test-q ! decode ! test-q ! decode"), 3 * array);
  ck_assert_uint_le (planned ("test-q ! eval"), one + array / 2);
}
END_TEST

/* --- what is odd --------------------------------------------------------------------------------------------------- */

START_TEST (test_empty_planes)
{
  static const char *const fallbacks[] = { "block-float", "raw32", "f16" };

  for (guint i = 0; i < G_N_ELEMENTS (fallbacks); i++) {
    const AfpCodecMemory memory = memory_of (0, 0, fallbacks[i]);
    ck_assert_uint_eq (memory.per_thread, 0);
    ck_assert_uint_le (memory.fixed, 4);
  }
}
END_TEST

START_TEST (test_planes_that_nobody_can_decode)
{
  static const AfpPlaneDesc
      desc = { .name = "weight", .kind = AFP_KIND_WEIGHT, .rows = 64, .cols = 64 },
      raw = { .name = "weight", .kind = AFP_KIND_RAW, .rows = 64, .cols = 64 };
  g_autoptr (AfpPlane) unknown = afp_plane_new_coded (&desc, "no-such-codec", 1, "", 0, NULL),
                       other = afp_plane_new_coded (&desc, "block-float", 1, "", 0, NULL),
                       none = afp_plane_new_coded (&raw, "block-float", 1, "", 0, NULL);
  AfpCodecMemory memory;

  afp_plane_get_decode_memory (unknown, &memory);
  ck_assert_uint_eq (memory.fixed, 2 * 64 * 64 * 4);
  afp_plane_get_decode_memory (other, &memory); /* without its children */
  ck_assert_uint_eq (memory.fixed, 2 * 64 * 64 * 4);
  afp_plane_get_decode_memory (none, &memory);
  ck_assert_uint_eq (memory.fixed, 0);
  ck_assert_uint_eq (memory.per_thread, 0);
}
END_TEST

static TCase *
make_codecs (void)
{
  TCase *tcase = tcase_create ("codecs");
  tcase_add_test (tcase, test_descriptions);
  tcase_add_test (tcase, test_tiles);
  tcase_add_test (tcase, test_symbols_of_a_tensor);
  tcase_add_test (tcase, test_children);
  tcase_add_test (tcase, test_residuals_and_arrays);
  return tcase;
}

static TCase *
make_odd (void)
{
  TCase *tcase = tcase_create ("odd");
  tcase_add_test (tcase, test_one_tile);
  tcase_add_test (tcase, test_asking_is_cheaper);
  tcase_add_test (tcase, test_empty_planes);
  tcase_add_test (tcase, test_planes_that_nobody_can_decode);
  return tcase;
}

int
main (void)
{
  TCase *(*const cases[]) (void) = { make_codecs, make_odd };

  test_init ();
  return run_suite ("codec-memory", cases, G_N_ELEMENTS (cases));
}
