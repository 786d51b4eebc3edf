/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "seedlm/seedlm-loss.h"
#include "seedlm-kernel-test.h"
#include "seedlm-test.h"

/* What search=fast loses: measured by small lists, added up, saved and restored. */

/* --- one plane ------------------------------------------------------------------------------------------------------- */

enum { C = 8, P = 3, K = 10, N = 70 };

static Tables tables;
static SeedlmLists *lists;
static float *blocks;

static void
setup (void)
{
  const SeedlmListsShape shape = { .n_coarse = 6,
                                   .n_fine = 10,
                                   .length = 128,
                                   .n_steps = 8,
                                   .enough = 16,
                                   .is_exact = 1,
                                   .place_bytes = 2 };

  tables_init (&tables, C, P, K, 16, 0);
  lists = seedlm_lists_new (tables.basis, &shape);
  ck_assert (seedlm_lists_train (lists));
  for (guint i = 0; i < shape.n_coarse; i++)
    ck_assert (seedlm_lists_build (lists, i));
  ck_assert (seedlm_lists_take (lists));
  blocks = normal_blocks (N * C);
}

static void
teardown (void)
{
  free (blocks);
  seedlm_lists_free (lists);
  tables_clear (&tables);
}

static SeedlmLossSums
measure (gsize most, guint threads, gsize n)
{
  g_autoptr (AfpPool) pool = threads ? afp_pool_new (threads) : NULL;
  g_autoptr (SeedlmWorkers) workers = seedlm_workers_new (tables.basis, 0, lists, most);
  GError *error = NULL;
  SeedlmLossSums sums;

  ck_assert (seedlm_workers_are_fast (workers) == (most > 0));
  ck_assert_msg (seedlm_loss_measure (workers, NULL, pool, blocks, n, &sums, &error), "%s",
                 error ? error->message : "");
  return sums;
}

static double
sum_of (const SeedlmLists *with, gsize most)
{
  const SeedlmSearchParams params = { 0 };
  guint32 seeds[N];
  float t[N * P];
  double errors[N], sum = 0;

  ck_assert (seedlm_search_set_lists (tables.search, with, most));
  ck_assert (seedlm_search_run (tables.search, &params, blocks, NULL, N, seeds, t, NULL, errors));
  for (guint b = 0; b < N; b++)
    sum += errors[b];
  return sum;
}

START_TEST (sums_are_those_of_the_searches)
{
  const SeedlmLossSums sums = measure (16, 0, N);

  ck_assert_uint_eq (sums.blocks, N);
  ck_assert_double_eq (sums.exact, sum_of (NULL, 0));
  ck_assert_double_eq (sums.fast, sum_of (lists, 16));
  ck_assert_double_gt (sums.fast, sums.exact);
}
END_TEST

START_TEST (threads_do_not_matter)
{
  const SeedlmLossSums one = measure (16, 1, N), three = measure (16, 3, N);

  ck_assert_double_eq (one.fast, three.fast);
  ck_assert_double_eq (one.exact, three.exact);
}
END_TEST

START_TEST (an_exact_search_loses_nothing)
{
  const SeedlmLossSums sums = measure (0, 0, N);

  ck_assert_double_eq (sums.fast, sums.exact);
}
END_TEST

START_TEST (zeros_are_left_out)
{
  SeedlmLossSums sums = measure (16, 0, 40);
  const double fast = sums.fast;

  memset (blocks + 40 * C, 0, 30 * C * sizeof *blocks);
  sums = measure (16, 0, N);
  ck_assert_uint_eq (sums.blocks, 40);
  ck_assert_double_eq (sums.fast, fast);
  memset (blocks, 0, N * C * sizeof *blocks);
  sums = measure (16, 0, N);
  ck_assert_uint_eq (sums.blocks, 0);
  ck_assert_double_eq (sums.fast, 0);
}
END_TEST

START_TEST (cancelling_ends_it)
{
  g_autoptr (AfpPool) pool = afp_pool_new (1);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (SeedlmWorkers) workers = seedlm_workers_new (tables.basis, 0, lists, 16);
  SeedlmLossSums sums;
  GError *error = NULL;

  afp_pool_set_cancellable (pool, cancellable);
  g_cancellable_cancel (cancellable);
  ck_assert (!seedlm_loss_measure (workers, NULL, pool, blocks, N, &sums, &error));
  assert_error (error, AFP_ERROR_CANCELLED, "");
}
END_TEST

static TCase *
plane_case (void)
{
  TCase *tcase = tcase_create ("plane");
  tcase_add_checked_fixture (tcase, setup, teardown);
  tcase_add_test (tcase, sums_are_those_of_the_searches);
  tcase_add_test (tcase, threads_do_not_matter);
  tcase_add_test (tcase, an_exact_search_loses_nothing);
  tcase_add_test (tcase, zeros_are_left_out);
  tcase_add_test (tcase, cancelling_ends_it);
  return tcase;
}

/* --- the element ----------------------------------------------------------------------------------------------------- */

static gboolean
restore (AfpElement *element, const char *json, GError **error)
{
  const guint64 shape[] = { 2, 2 };
  g_autoptr (AfpSpec) spec = afp_spec_new ("a", AFP_DTYPE_F32, 2, shape, NULL, NULL);
  g_autoptr (JsonNode) node = json_from_string (json, NULL);

  ck_assert_ptr_nonnull (node);
  return AFP_ELEMENT_GET_CLASS (element)->restore_found (element, spec, node, error);
}

static char *
text_of (JsonNode *node)
{
  g_autoptr (JsonNode) own = node;
  return own ? json_to_string (own, FALSE) : NULL;
}

START_TEST (sums_of_all_planes_are_reported)
{
  g_autoptr (AfpElement) element = make_seedlm ("search=fast");
  AfpElementClass *klass = AFP_ELEMENT_GET_CLASS (element);

  ck_assert_ptr_null (klass->get_metrics (element));
  ck_assert_ptr_null (klass->save_found (element, "a"));
  ck_assert (restore (element, "{\"a/weight\":\"256 60 4\",\"a/residual\":\"4 1 1\"}", NULL));
  ck_assert (restore (element, "{\"ab/weight\":\"10 39 5\"}", NULL));
  assert_text (text_of (klass->get_metrics (element)),
               "{\"search_loss_db\":10.0,\"search_blocks\":270}");
  assert_text (text_of (klass->save_found (element, "a")),
               "{\"a/residual\":\"4 1 1\",\"a/weight\":\"256 60 4\"}");
  ck_assert_ptr_null (klass->save_found (element, "b"));
  ck_assert (restore (element, "{\"a/weight\":\"256 0.1 0.1\"}", NULL)); /* in place of the first */
  assert_text (
      text_of (klass->save_found (element, "a")),
      "{\"a/residual\":\"4 1 1\",\"a/weight\":\"256 0.10000000000000001 0.10000000000000001\"}");
}
END_TEST

START_TEST (without_errors_there_is_no_ratio)
{
  g_autoptr (AfpElement) element = make_seedlm ("search=fast");

  ck_assert (restore (element, "{\"a/weight\":\"256 0 0\"}", NULL));
  assert_text (text_of (AFP_ELEMENT_GET_CLASS (element)->get_metrics (element)),
               "{\"search_loss_db\":null,\"search_blocks\":256}");
}
END_TEST

static const char *const damaged[] = {
  "[]",
  "{}",
  "{\"a/weight\":1}",
  "{\"a/weight\":[\"256 1 1\"]}",
  "{\"a/weight\":\"256 1\"}",
  "{\"a/weight\":\"256 1 1 1\"}",
  "{\"a/weight\":\"0 1 1\"}",
  "{\"a/weight\":\"257 1 1\"}",
  "{\"a/weight\":\"256 -1 1\"}",
  "{\"a/weight\":\"256 1 inf\"}",
  "{\"a/weight\":\"256 1 1x\"}",
  "{\"a/weight\":\"256  1\"}",
};

START_TEST (damaged_sums_are_refused)
{
  g_autoptr (AfpElement) element = make_seedlm ("search=fast");
  GError *error = NULL;

  ck_assert (!restore (element, damaged[_i], &error));
  assert_error (error, AFP_ERROR_FORMAT, "damaged", "seedlm", "resume=true");
}
END_TEST

/* By an exact search, and by one that has no lists for so small a plane. */
static const char *const silent[] = { "search=exact", "search=fast", "search=fast scale=row" };

START_TEST (nothing_is_said_without_lists)
{
  g_autofree char *text =
      g_strdup_printf ("synth shapes=16x64 ! seedlm C=8 P=3 K=10 %s ! null", silent[_i]);
  g_autoptr (AfpPipeline) pipeline = afp_pipeline_new_from_text (text, NULL);
  GError *error = NULL;

  ck_assert_msg (afp_pipeline_run (pipeline, &error), "%s", error ? error->message : "");
  g_autoptr (JsonNode) report = afp_pipeline_get_report (pipeline, NULL);
  JsonArray *evals = json_object_get_array_member (json_node_get_object (report), "evals");
  ck_assert_uint_eq (json_array_get_length (evals), 0);
}
END_TEST

static TCase *
element_case (void)
{
  TCase *tcase = tcase_create ("element");
  tcase_add_test (tcase, sums_of_all_planes_are_reported);
  tcase_add_test (tcase, without_errors_there_is_no_ratio);
  tcase_add_loop_test (tcase, damaged_sums_are_refused, 0, G_N_ELEMENTS (damaged));
  tcase_add_loop_test (tcase, nothing_is_said_without_lists, 0, G_N_ELEMENTS (silent));
  return tcase;
}

static TCase *(*const cases[]) (void) = { plane_case, element_case };

int
main (void)
{
  return run_suite ("seedlm-loss", cases, G_N_ELEMENTS (cases));
}
