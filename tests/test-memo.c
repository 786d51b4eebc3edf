/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-test.h"

#include "afp-identity.h"
#include "afp-memo.h"
#include "afp-pipeline-private.h"

static char *folder;

static void
set_up (void)
{
  folder = g_dir_make_tmp ("afp-memo-XXXXXX", NULL);
}

static void
tear_down (void)
{
  g_autofree char *command = g_strdup_printf ("rm -rf '%s'", folder);
  ck_assert_int_eq (system (command), 0);
  g_clear_pointer (&folder, g_free);
}

/* --- a plane as bytes ---------------------------------------------------------------------------------------------- */

/* (transfer full): planned */
static AfpPipeline *
plan (const char *text)
{
  g_autofree char *all = g_strdup_printf ("test-source ! %s ! test-sink", text);
  GError *error = NULL;
  AfpPipeline *pipeline = afp_pipeline_new_from_text (all, &error);

  ck_assert_msg (pipeline && afp_pipeline_plan (pipeline, &error), "%s: %s", text,
                 error ? error->message : "?");
  return pipeline;
}

static AfpClaim *
claim_of (AfpPipeline *pipeline)
{
  AfpClaim *claim =
      afp_codec_find_claim (afp_pipeline_get_elements (pipeline)->pdata[1], "t", "weight");
  ck_assert_ptr_nonnull (claim);
  return claim;
}

static GBytes *
join (GPtrArray *pieces)
{
  GByteArray *all = g_byte_array_new ();

  for (guint i = 0; i < pieces->len; i++) {
    gsize size;
    const guint8 *data = g_bytes_get_data (pieces->pdata[i], &size);
    g_byte_array_append (all, data, (guint) size);
  }
  return g_byte_array_free_to_bytes (all);
}

static AfpPlane *
encode (AfpClaim *claim)
{
  g_autofree float *values = test_values (32 * 64, 1);
  g_autoptr (GBytes) bytes = g_bytes_new (values, 32 * 64 * sizeof *values);
  g_autoptr (AfpMatrix) matrix = afp_matrix_new_dense (32, 64, bytes);
  GError *error = NULL;
  AfpPlane *plane = afp_claim_encode (claim, matrix, NULL, "t/weight", NULL, &error);
  ck_assert_msg (plane != NULL, "%s", error ? error->message : "?");
  return plane;
}

static const char *const chains[] = {
  "test-q bits=2 scale=row",
  "test-q bits=2 residual=true ! test-q bits=2 planes=residual",
  "test-ask", /* coeffs coded while it asks, by their fallback */
  "test-ask open-loop=true ! test-q planes=coeffs bits=2", /* values, with a metric */
  "test-ask ! test-q planes=coeffs bits=2 ! test-q planes=scale force=true",
};

static gboolean
same_tree (AfpPlane *a, AfpPlane *b)
{
  g_autoptr (GBytes) x = test_tree_bytes (a), y = test_tree_bytes (b);
  return g_bytes_equal (x, y);
}

START_TEST (there_and_back)
{
  g_autoptr (AfpTensor) tensor = test_tensor ("t", AFP_DTYPE_F32, "32x64", NULL, 1);

  test_set_tensors (tensor, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (chains); i++) {
    g_autoptr (AfpPipeline) pipeline = plan (chains[i]);
    AfpClaim *claim = claim_of (pipeline);
    g_autoptr (AfpPlane) plane = encode (claim);
    g_autoptr (GPtrArray) pieces = afp_plane_to_bytes (plane, claim);
    ck_assert_msg (pieces != NULL, "%s", chains[i]);
    g_autoptr (GBytes) bytes = join (pieces);
    ck_assert_uint_eq (g_bytes_get_size (bytes) % 64, 0);
    g_autoptr (AfpPlane) again = afp_plane_from_bytes (bytes, claim);
    ck_assert_msg (again && same_tree (plane, again), "%s", chains[i]);
    ck_assert_ptr_eq (afp_plane_get_maker (again), claim->codec);
  }
}
END_TEST

/* Of another claim, cut short, or changed anywhere that is not numbers: no plane, or one of the same shape. */
START_TEST (damaged_bytes)
{
  g_autoptr (AfpTensor) tensor = test_tensor ("t", AFP_DTYPE_F32, "32x64", NULL, 1);

  test_set_tensors (tensor, NULL);
  g_autoptr (AfpPipeline) other = plan ("test-q bits=3");
  for (guint i = 0; i < G_N_ELEMENTS (chains); i++) {
    g_autoptr (AfpPipeline) pipeline = plan (chains[i]);
    AfpClaim *claim = claim_of (pipeline);
    g_autoptr (AfpPlane) plane = encode (claim);
    g_autoptr (GPtrArray) pieces = afp_plane_to_bytes (plane, claim);
    g_autoptr (GBytes) bytes = join (pieces);
    const gsize size = g_bytes_get_size (bytes);
    ck_assert_ptr_null (afp_plane_to_bytes (plane, claim_of (other)));
    ck_assert_ptr_null (afp_plane_from_bytes (bytes, claim_of (other)));
    for (gsize n = 0; n < size; n += 1 + n / 2) {
      g_autoptr (GBytes) part = g_bytes_new_from_bytes (bytes, 0, n);
      ck_assert_ptr_null (afp_plane_from_bytes (part, claim));
    }
    for (gsize at = 0; at < MIN (size, 256); at++) {
      g_autofree guint8 *copy = g_memdup2 (g_bytes_get_data (bytes, NULL), size);
      copy[at] ^= (guint8) (1 + at * 37);
      g_autoptr (GBytes) changed = g_bytes_new_static (copy, size);
      g_autoptr (AfpPlane) read = afp_plane_from_bytes (changed, claim);
      if (read)
        ck_assert_uint_eq (afp_plane_get_n_children (read), afp_plane_get_n_children (plane));
    }
    g_autoptr (GBytes) more = g_bytes_new_static ("", 0);
    ck_assert_ptr_null (afp_plane_from_bytes (more, claim));
  }
}
END_TEST

/* --- runs ---------------------------------------------------------------------------------------------------------- */

typedef struct {
  guint64 executions, cached;
  GBytes *tree;
} Result;

/* With the folder as cache; the text as it is, or with a source and a sink around it. */
static Result
run (const char *text, gboolean with_cache)
{
  g_autofree char *all = g_strdup_printf ("test-source ! %s ! test-sink", text);
  GError *error = NULL;
  g_autoptr (AfpPipeline) pipeline = afp_pipeline_new_from_text (all, &error);
  Result result;

  ck_assert_msg (pipeline != NULL, "%s", error ? error->message : "?");
  if (with_cache)
    afp_pipeline_set_cache (pipeline, folder, 1 << 26);
  ck_assert_msg (afp_pipeline_run (pipeline, &error), "%s: %s", text, error ? error->message : "?");
  g_autoptr (GPtrArray) planned = afp_pipeline_list_executions (pipeline);
  GPtrArray *outputs = test_output ();
  result.executions = afp_memo_get_executions (pipeline->memo);
  result.cached = afp_memo_get_cached (pipeline->memo);
  result.tree = test_tree_bytes (afp_tensor_get_root (outputs->pdata[outputs->len - 1]));
  ck_assert_uint_eq (result.executions, planned->len);
  return result;
}

/* Runs it, and tells how many executions were there. What comes out is what comes out without a cache. */
static guint64
cached (const char *text)
{
  const Result with = run (text, TRUE), without = run (text, FALSE);

  ck_assert_uint_eq (with.executions, without.executions);
  ck_assert_uint_eq (without.cached, 0);
  ck_assert_msg (g_bytes_equal (with.tree, without.tree), "%s", text);
  g_bytes_unref (with.tree);
  g_bytes_unref (without.tree);
  return with.cached;
}

START_TEST (done_once)
{
  g_autoptr (AfpTensor) tensor = test_tensor ("t", AFP_DTYPE_F32, "32x64", NULL, 1);

  test_set_tensors (tensor, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (chains); i++) {
    g_autofree char *command = g_strdup_printf ("rm -rf '%s'/*", folder);
    ck_assert_int_eq (system (command), 0);
    ck_assert_uint_eq (cached (chains[i]), 0);
    const Result again = run (chains[i], TRUE);
    ck_assert_uint_eq (again.cached, again.executions);
    ck_assert_uint_eq (cached (chains[i]), again.executions);
    g_bytes_unref (again.tree);
  }
}
END_TEST

/* What two chains have in common. */
START_TEST (prefixes)
{
  g_autoptr (AfpTensor) tensor = test_tensor ("t", AFP_DTYPE_F32, "32x64", NULL, 1);

  test_set_tensors (tensor, NULL);
  ck_assert_uint_eq (cached ("test-ask open-loop=true"), 0);
  ck_assert_uint_eq (cached ("test-ask open-loop=true ! test-q planes=coeffs bits=2"), 1);
  ck_assert_uint_eq (cached ("test-ask open-loop=true ! test-q planes=coeffs bits=3"), 1);
  ck_assert_uint_eq (cached ("test-ask open-loop=true ! eval ! test-q planes=coeffs bits=3"), 2);
  ck_assert_uint_eq (cached ("test-ask ! test-q planes=coeffs bits=3"), 0);
  ck_assert_uint_eq (cached ("test-flip ! test-q bits=2"), 0);
  ck_assert_uint_eq (cached ("test-flip ! test-q bits=4"), 1);
}
END_TEST

/* Another number, another name, another seed, another answer, other moments: nothing of an earlier run. */
START_TEST (never_stale)
{
  g_autoptr (AfpTensor) tensor = test_tensor ("t", AFP_DTYPE_F32, "32x64", NULL, 1);
  g_autoptr (AfpTensor) other = test_tensor ("t", AFP_DTYPE_F32, "32x64", NULL, 2);
  g_autoptr (AfpTensor) renamed = test_tensor ("u", AFP_DTYPE_F32, "32x64", NULL, 1);
  g_autoptr (AfpTensor) turned = test_tensor ("t", AFP_DTYPE_F32, "64x32", NULL, 1);
  g_autoptr (AfpTensor) moments = test_tensor_with_moments ("t", "32x64", FALSE, 1);
  AfpTensor *const tensors[] = { tensor, other, renamed, turned, moments };

  for (guint i = 0; i < G_N_ELEMENTS (tensors); i++) {
    test_set_tensors (tensors[i], NULL);
    ck_assert_uint_eq (cached ("test-q bits=2"), 0);
    ck_assert_uint_eq (cached ("test-q bits=2"), 1);
    ck_assert_uint_eq (cached ("test-q bits=2 seed=1"), 0);
    ck_assert_uint_eq (cached ("test-q bits=2 min-dims=1"), 1); /* no part of the work */
  }
  ck_assert_uint_eq (cached ("test-q bits=2 feedback=true"), 0);
  ck_assert_uint_eq (cached ("test-q bits=2 feedback=true"), 1);
  ck_assert_uint_eq (cached ("test-q bits=2 feedback=true damping=0.02"), 0);
  ck_assert_uint_eq (cached ("test-q bits=2 feedback=true order=importance"), 0);
  ck_assert_uint_eq (cached ("test-q bits=2 importance=off"), 1); /* as without any moments */
}
END_TEST

/* A failed execution leaves nothing; a damaged entry is done anew. */
START_TEST (failures)
{
  g_autoptr (AfpTensor) tensor = test_tensor ("t", AFP_DTYPE_F32, "32x64", NULL, 1);
  g_autoptr (AfpPipeline) bad =
      afp_pipeline_new_from_text ("test-source ! test-fail in=encode ! test-sink", NULL);
  GError *error = NULL;

  test_set_tensors (tensor, NULL);
  afp_pipeline_set_cache (bad, folder, 1 << 20);
  ck_assert (!afp_pipeline_run (bad, &error));
  assert_error (error, AFP_ERROR_CODEC, "test-fail");
  ck_assert_uint_eq (afp_memo_get_executions (bad->memo), 1);
  ck_assert_uint_eq (cached ("test-q bits=2"), 0);
  g_autofree char *command =
      g_strdup_printf ("for f in '%s'/*/*; do truncate -s -64 \"$f\"; done", folder);
  ck_assert_int_eq (system (command), 0);
  ck_assert_uint_eq (cached ("test-q bits=2"), 0);
  ck_assert_uint_eq (cached ("test-q bits=2"), 1);
}
END_TEST

static guint n_warnings;

static void
count_warnings (AfpMessage *message, gpointer user_data)
{
  n_warnings += afp_message_get_message_type (message) == AFP_MESSAGE_WARNING;
}

START_TEST (a_folder_that_is_none)
{
  g_autoptr (AfpTensor) a = test_tensor ("a", AFP_DTYPE_F32, "32x64", NULL, 1);
  g_autoptr (AfpTensor) b = test_tensor ("b", AFP_DTYPE_F32, "32x64", NULL, 2);
  g_autoptr (AfpPipeline) pipeline =
      afp_pipeline_new_from_text ("test-source ! test-q bits=2 ! test-sink", NULL);
  GError *error = NULL;

  test_set_tensors (a, b, NULL);
  afp_pipeline_set_threads (pipeline, 1);
  afp_pipeline_set_cache (pipeline, "/dev/null/cache", 1 << 20);
  afp_pipeline_set_handler (pipeline, count_warnings, NULL);
  ck_assert_msg (afp_pipeline_run (pipeline, &error), "%s", error ? error->message : "?");
  ck_assert_uint_eq (n_warnings, 1);
  ck_assert_uint_eq (afp_memo_get_executions (pipeline->memo), 2);
}
END_TEST

START_TEST (identities)
{
  g_autoptr (AfpElement) builtin = afp_registry_make (afp_registry_get_default (), "f16", NULL);
  const char *code = afp_identity_get_code (builtin), *machine = afp_identity_get_machine ();

  ck_assert (g_str_has_prefix (code, AFP_VERSION "+") &&
             strlen (code) == strlen (AFP_VERSION) + 17);
  ck_assert (g_str_has_prefix (machine, code));
  ck_assert_ptr_eq (afp_identity_get_code (builtin), code);
}
END_TEST

static TCase *
all (void)
{
  TCase *tcase = tcase_create ("memo");
  tcase_add_checked_fixture (tcase, set_up, tear_down);
  tcase_add_test (tcase, there_and_back);
  tcase_add_test (tcase, damaged_bytes);
  tcase_add_test (tcase, done_once);
  tcase_add_test (tcase, prefixes);
  tcase_add_test (tcase, never_stale);
  tcase_add_test (tcase, failures);
  tcase_add_test (tcase, a_folder_that_is_none);
  tcase_add_test (tcase, identities);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { all };
  test_init ();
  return run_suite ("memo", cases, G_N_ELEMENTS (cases));
}
