/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-codec-private.h"
#include "afp-test.h"

static AfpPlaneDesc
coeffs (guint64 rows, guint64 cols, guint vector, const char *fallback)
{
  return (AfpPlaneDesc){ .name = "c",
                         .kind = AFP_KIND_COEFFS,
                         .scope = AFP_SCOPE_BLOCK,
                         .rows = rows,
                         .cols = cols,
                         .vector = vector,
                         .fallback = fallback };
}

static AfpClaim *
claim_of (const AfpPlaneDesc *desc)
{
  GError *error = NULL;
  AfpClaim *claim = afp_claim_new_fallback (desc, &error);
  ck_assert_msg (claim != NULL, "%s", error ? error->message : "?");
  return claim;
}

static guint64
stored (guint64 bytes)
{
  const guint64 align = afp_size_align (bytes);
  return (bytes + align - 1) / align * align + AFP_PLANE_ROW_BYTES;
}

START_TEST (bytes)
{
  static const guint64 sizes[][2] = {
    { 1, 1 }, { 3, 5 }, { 100, 1000 }, { 1, 131072 }, { 7, 99999 }
  };
  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++) {
    const guint64 rows = sizes[i][0], cols = sizes[i][1], quanta = rows * ((cols + 3) / 4);
    AfpPlaneDesc desc = coeffs (rows, cols, 0, "block-float mantissa-bits=3");
    gboolean exact = FALSE;
    g_autoptr (AfpClaim) block_float = claim_of (&desc);
    ck_assert_uint_eq (afp_claim_get_bytes (block_float, &exact),
                       stored ((quanta * 4 + 7) / 8) + stored ((quanta * 12 + 7) / 8));
    ck_assert (exact);
    desc.fallback = "f16";
    g_autoptr (AfpClaim) f16 = claim_of (&desc);
    ck_assert_uint_eq (afp_claim_get_bytes (f16, NULL), stored ((rows * cols + 1) * 2));
    desc.fallback = "raw32";
    g_autoptr (AfpClaim) raw32 = claim_of (&desc);
    ck_assert_uint_eq (afp_claim_get_bytes (raw32, NULL), stored (rows * cols * 4));
    desc.fallback = "drop";
    desc.optional = TRUE;
    g_autoptr (AfpClaim) drop = claim_of (&desc);
    ck_assert_uint_eq (afp_claim_get_bytes (drop, &exact), 0);
    ck_assert (exact);
  }
}
END_TEST

/* Of a sample of another size, as of a plane that had it from the start. */
START_TEST (bytes_of_another_size)
{
  static const char *const fallbacks[] = { "f16", "raw32", "block-float mantissa-bits=3" };

  for (guint i = 0; i < G_N_ELEMENTS (fallbacks); i++) {
    AfpPlaneDesc desc = coeffs (1, 64, 0, fallbacks[i]), other = coeffs (3, 500, 0, fallbacks[i]);
    g_autoptr (AfpClaim) claim = claim_of (&desc), expected = claim_of (&other);
    g_autoptr (AfpClaim) resized = afp_claim_resize (claim, 3, 500);
    ck_assert_uint_eq (afp_claim_get_bytes (resized, NULL), afp_claim_get_bytes (expected, NULL));
  }
}
END_TEST

START_TEST (what_a_claim_says)
{
  const AfpPlaneDesc desc = coeffs (4, 8, 4, "block-float mantissa-bits=5");
  g_autoptr (AfpClaim) claim = claim_of (&desc);
  g_autoptr (AfpClaim) same = afp_claim_ref (claim);
  ck_assert (afp_claim_is_fallback (same));
  ck_assert_ptr_null (afp_claim_get_open_loop_reason (claim));
  ck_assert_ptr_null (afp_claim_get_child (claim, 0));
  ck_assert_str_eq (afp_element_get_factory_name (AFP_ELEMENT (afp_claim_get_codec (claim))),
                    "block-float");
  ck_assert_uint_eq (afp_layout_get_n_children (afp_claim_get_layout (claim)), 2);
  assert_text (afp_claim_to_string (claim), "block-float/1(mantissa-bits=5){exponents,mantissas}");
  /* One codec for the same call: claims are equal, and frozen planes are known again. */
  g_autoptr (AfpClaim) other = claim_of (&desc);
  ck_assert_ptr_eq (afp_claim_get_codec (other), afp_claim_get_codec (claim));
}
END_TEST

static void
assert_open_loop (const AfpPlaneDesc *desc, const char *word)
{
  GError *error = NULL;
  g_autoptr (AfpClaim) claim = claim_of (desc);
  const char *reason = afp_claim_get_open_loop_reason (claim);
  ck_assert_msg (reason && strstr (reason, word), "'%s' is not in '%s'", word,
                 reason ? reason : "");
  ck_assert_ptr_null (afp_quantizer_new (claim, "tensor/weight/c", NULL, &error));
  assert_error (error, AFP_ERROR_CODEC, "tensor/weight/c", "cannot answer", word);
}

START_TEST (reasons_for_open_loop)
{
  AfpPlaneDesc desc = coeffs (4, 12, 0, "block-float");
  assert_open_loop (&desc, "declares no vector length");
  desc = coeffs (4, 12, 4, "f16");
  assert_open_loop (&desc, "codes the plane as a whole");
  desc = coeffs (4, 12, 3, "test-pair");
  assert_open_loop (&desc, "vectors of 3 do not hold whole quanta of 2");
  desc = coeffs (4, 12, 4, "test-many");
  assert_open_loop (&desc, "more than 16 planes");
  desc = coeffs (4, 12, 4, "drop");
  desc.optional = TRUE;
  assert_open_loop (&desc, "codes the plane as a whole");
}
END_TEST

static void
assert_no_claim (const char *fallback, int code, const char *word)
{
  const AfpPlaneDesc desc = coeffs (4, 12, 4, fallback);
  GError *error = NULL;
  ck_assert_ptr_null (afp_claim_new_fallback (&desc, &error));
  assert_error (error, code, word);
}

START_TEST (no_fallback)
{
  assert_no_claim (NULL, AFP_ERROR_PLAN, "'c' (coeffs) declares no fallback");
  assert_no_claim ("nowhere", AFP_ERROR_PLUGIN, "'nowhere'");
  assert_no_claim ("", AFP_ERROR_PLAN, "'c' (coeffs) declares no fallback");
  assert_no_claim ("test-sink", AFP_ERROR_FORMAT, "'test-sink' is no codec");
  assert_no_claim ("test-pack", AFP_ERROR_PLAN, "'test-pack' is no codec for numbers");
  assert_no_claim ("test-ask", AFP_ERROR_PLAN, "leaves a float plane");
  assert_no_claim ("block-float mantissa-bits=1", AFP_ERROR_PROPERTY, "2..16");
  assert_no_claim ("block-float bits=4", AFP_ERROR_PROPERTY, "no property 'bits'");
  assert_no_claim ("test-fail in=describe", AFP_ERROR_PLAN, "test-fail fails in describe");
}
END_TEST

/* --- claims in a chain -------------------------------------------------------------------------------------------- */

/* Of the claim of a stage on a plane, in the report. */
static JsonNode *
claim_member (guint stage, const char *plane, const char *member)
{
  for (guint i = 0;; i++) {
    g_autofree char *name = g_strdup_printf ("stages.%u.claims.%u.plane", stage, i);
    g_autofree char *path = g_strdup_printf ("stages.%u.claims.%u.%s", stage, i, member);
    JsonNode *node = test_report_get (name);
    ck_assert_msg (node != NULL, "stage %u has no claim on %s", stage, plane);
    if (strcmp (json_node_get_string (node), plane) == 0)
      return test_report_get (path);
  }
}

static void
run (const char *text)
{
  g_autoptr (AfpTensor) tensor = test_tensor ("t", AFP_DTYPE_F32, "32x64", NULL, 1);
  test_set_tensors (tensor, NULL);
  g_autoptr (AfpTensor) G_GNUC_UNUSED out = test_run (text, 1);
}

static const char *
recipe_has (const char *text)
{
  static char *recipe;
  g_free (recipe);
  recipe = afp_tensor_get_recipe (test_output ()->pdata[0]);
  return strstr (recipe, text);
}

/* Taken only where it costs less than the fallback; the plan has both numbers. */
START_TEST (cheaper_or_not)
{
  run ("test-ask ! test-q planes=coeffs bits=4");
  ck_assert_ptr_nonnull (recipe_has ("coeffs=test-q"));
  ck_assert (json_node_get_boolean (claim_member (2, "weight/coeffs", "taken")));
  ck_assert_int_lt (json_node_get_int (claim_member (2, "weight/coeffs", "bytes")),
                    json_node_get_int (claim_member (2, "weight/coeffs", "fallback_bytes")));
  run ("test-ask ! test-q planes=coeffs bits=5"); /* five bits, and a scale: more than 4 + 4/4 */
  ck_assert_ptr_nonnull (recipe_has ("coeffs=block-float"));
  ck_assert (!json_node_get_boolean (claim_member (2, "weight/coeffs", "taken")));
  ck_assert_str_eq (json_node_get_string (claim_member (2, "weight/coeffs", "why")),
                    "costs more than it saves");
  ck_assert_int_ge (json_node_get_int (claim_member (2, "weight/coeffs", "bytes")),
                    json_node_get_int (claim_member (2, "weight/coeffs", "fallback_bytes")));
  run ("test-ask ! test-q planes=coeffs bits=5 force=true");
  ck_assert_ptr_nonnull (recipe_has ("coeffs=test-q"));
  ck_assert (json_node_get_boolean (claim_member (2, "weight/coeffs", "taken")));
}
END_TEST

START_TEST (weights_that_do_not_shrink)
{
  run ("test-wide");
  ck_assert_ptr_null (recipe_has ("test-wide"));
  ck_assert_int_eq (json_node_get_int (claim_member (1, "weight", "fallback_bytes")),
                    32 * 64 * 4 + AFP_PLANE_ROW_BYTES);
  run ("raw32"); /* as many bytes: not fewer */
  ck_assert_ptr_null (recipe_has ("raw32"));
  run ("test-wide force=true planes=weight");
  ck_assert_ptr_nonnull (recipe_has ("test-wide"));
}
END_TEST

/* An optional plane is dropped if nobody takes it: whoever takes it is meant to. */
START_TEST (optional_planes)
{
  run ("test-q residual=true bits=2 ! test-q planes=residual bits=3");
  ck_assert_ptr_nonnull (recipe_has ("residual=test-q"));
  ck_assert_int_eq (json_node_get_int (claim_member (2, "weight/residual", "fallback_bytes")), 0);
  run ("test-q residual=true bits=2");
  ck_assert_ptr_nonnull (recipe_has ("residual=drop/1"));
}
END_TEST

/* The cost of a plane is that of all that comes of it. */
START_TEST (nested_costs)
{
  run ("test-flip ! test-q planes=weight bits=4");
  const gint64 inner = json_node_get_int (claim_member (2, "weight/flipped", "bytes"));
  ck_assert_int_eq (json_node_get_int (claim_member (1, "weight", "bytes")), inner);
  ck_assert (json_node_get_boolean (claim_member (1, "weight", "exact")));
  ck_assert_int_eq (inner, (gint64) (stored (32 * 64 / 2) + stored (4)));
  run ("test-flip"); /* f16 */
  ck_assert_int_eq (json_node_get_int (claim_member (1, "weight", "bytes")),
                    (gint64) stored ((32 * 64 + 1) * 2));
}
END_TEST

/* Of two that could, the first takes the plane; what it refuses goes on to the next. */
START_TEST (who_comes_first)
{
  run ("test-ask ! test-q planes=coeffs bits=3 ! test-q planes=coeffs bits=2");
  ck_assert_ptr_nonnull (recipe_has ("coeffs=test-q/3(bits=3"));
  run ("test-ask ! test-q planes=coeffs bits=9 ! test-q planes=coeffs bits=2");
  ck_assert_ptr_nonnull (recipe_has ("coeffs=test-q/3(bits=2"));
  run ("test-ask ! identity ! eval ! test-q planes=coeffs bits=2");
  ck_assert_ptr_nonnull (recipe_has ("coeffs=test-q/3(bits=2"));
}
END_TEST

START_TEST (a_codec_that_cannot)
{
  run ("test-fail in=describe");
  ck_assert_ptr_null (recipe_has ("test-fail"));
  ck_assert_str_eq (json_node_get_string (claim_member (1, "weight", "why")),
                    "test-fail fails in describe");
}
END_TEST

/* --- what is the same work ------------------------------------------------------------------------------------------ */

/* (transfer full): of a plan of a tensor "t" */
static GPtrArray *
executions (const char *text)
{
  g_autofree char *all = g_strdup_printf ("test-source ! %s ! test-sink", text);
  g_autoptr (AfpTensor) tensor = test_tensor ("t", AFP_DTYPE_F32, "32x64", NULL, 1);
  GError *error = NULL;

  test_set_tensors (tensor, NULL);
  g_autoptr (AfpPipeline) pipeline = afp_pipeline_new_from_text (all, &error);
  ck_assert_msg (pipeline && afp_pipeline_plan (pipeline, &error), "%s: %s", text,
                 error ? error->message : "?");
  return afp_pipeline_list_executions (pipeline);
}

/* Have the pipelines their @n-th executions in common? */
static gboolean
share (const char *first, const char *second, guint n)
{
  g_autoptr (GPtrArray) a = executions (first), b = executions (second);

  ck_assert_uint_lt (n, a->len);
  ck_assert_msg (n < b->len, "%s", second);
  ck_assert_uint_eq (strlen (a->pdata[n]), 64);
  return strcmp (a->pdata[n], b->pdata[n]) == 0;
}

START_TEST (the_same_work)
{
  ck_assert (share ("test-q bits=2", "test-q name=x bits=2", 0));
  /* Who takes what a stage leaves is no part of it, if it does not ask. */
  ck_assert (share ("test-q residual=true bits=2", "test-q residual=true bits=2 ! drop", 0));
  ck_assert (share ("test-ask open-loop=true", "test-ask open-loop=true ! identity", 0));
  ck_assert (share ("test-ask tensors=* min-weights=1", "test-ask exclude=b*", 0));
}
END_TEST

START_TEST (other_work)
{
  ck_assert (!share ("test-q bits=2", "test-q bits=4", 0));
  ck_assert (!share ("test-q bits=2", "test-q bits=2 seed=1", 0));
  ck_assert (!share ("test-q bits=2", "test-q bits=2 layout=flat", 0));
  ck_assert (!share ("test-ask", "test-ask open-loop=true", 0));
  /* Seen by who asks: what its answerer is set to, and who it is. */
  ck_assert (!share ("test-ask", "test-ask ! test-q planes=coeffs bits=2", 0));
  ck_assert (!share ("test-ask ! test-q planes=coeffs bits=3",
                     "test-ask ! test-q planes=coeffs bits=2", 0));
  /* The same stage behind another. */
  ck_assert (!share ("test-flip ! test-q bits=2", "test-flip ! decode ! test-q bits=2", 1));
}
END_TEST

/* Who answered has its codes already; a plane that its asker leaves open is work of its own. */
START_TEST (work_is_counted_once)
{
  static const struct {
    const char *text;
    guint n;
  } cases[] = { { "identity", 0 },
                { "test-q bits=2", 1 },
                { "test-ask ! test-q planes=coeffs bits=2", 1 },
                { "test-ask open-loop=true ! test-q planes=coeffs bits=2", 2 },
                { "test-flip ! test-q bits=2", 2 } };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GPtrArray) keys = executions (cases[i].text);
    ck_assert_msg (keys->len == cases[i].n, "%s: %u", cases[i].text, keys->len);
  }
}
END_TEST

static TCase *
all (void)
{
  TCase *tcase = tcase_create ("claim");
  tcase_add_test (tcase, bytes);
  tcase_add_test (tcase, bytes_of_another_size);
  tcase_add_test (tcase, what_a_claim_says);
  tcase_add_test (tcase, reasons_for_open_loop);
  tcase_add_test (tcase, no_fallback);
  tcase_add_test (tcase, cheaper_or_not);
  tcase_add_test (tcase, weights_that_do_not_shrink);
  tcase_add_test (tcase, optional_planes);
  tcase_add_test (tcase, nested_costs);
  tcase_add_test (tcase, who_comes_first);
  tcase_add_test (tcase, a_codec_that_cannot);
  tcase_add_test (tcase, the_same_work);
  tcase_add_test (tcase, other_work);
  tcase_add_test (tcase, work_is_counted_once);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { all };
  test_init ();
  return run_suite ("claim", cases, G_N_ELEMENTS (cases));
}
