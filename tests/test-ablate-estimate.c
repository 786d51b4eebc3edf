/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ablate-test.h"

#include "ablate-estimate.h"
#include "ablate-rewrite.h"
#include "ablate-run.h"
#include "ablate-sample.h"
#include "tool-util.h"

#include <math.h>

#define SYNTH "synth shapes=64x64 count=4 ! "
#define LONG 60.0 /* seconds: no try takes so long */

/* --- pipelines, rewritten --- */

START_TEST (for_a_piece)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *source = NULL;
  gboolean moments;
  g_autofree char *text = afp_rewrite_for_piece (
      "load location='a ! b.h5' ! tensor,rank=2 ! calibrate text=t.txt ! vptq k=16 ! eval "
      "text=u.txt require='nmse<1' ! write location=o.h5",
      "piece", &source, &moments, &error);
  ck_assert_msg (text != NULL, "%s", error ? error->message : "");
  ck_assert_str_eq (text, "piece ! vptq k=16 ! eval ! null");
  ck_assert_ptr_nonnull (strstr (source, "a ! b.h5"));
  ck_assert_ptr_null (strstr (source, "vptq"));
  ck_assert (moments);
  g_autofree char *other = NULL;
  g_autofree char *plain =
      afp_rewrite_for_piece (SYNTH "hyper ! null", "piece", &other, &moments, &error);
  ck_assert_str_eq (plain, "piece ! hyper ! null");
  ck_assert (!moments);
}
END_TEST

START_TEST (no_chain)
{
  static const struct {
    const char *text, *message;
    int code;
  } cases[] = {
    { SYNTH "tee name=t t. ! null t. ! hyper ! null", "only one chain", AFP_ERROR_PLAN },
    { "hyper ! null", "only one chain", AFP_ERROR_PLAN },
    { SYNTH "hyper", "only one chain", AFP_ERROR_PLAN },
    { SYNTH "hyper U=nine ! null", "nine", AFP_ERROR_PROPERTY },
    { SYNTH "! null", "^", AFP_ERROR_USAGE },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GError) error = NULL;
    g_autofree char *source = NULL;
    gboolean moments;
    AfpHeads heads;
    ck_assert_ptr_null (afp_rewrite_for_piece (cases[i].text, "piece", &source, &moments, &error));
    assert_error (error, cases[i].code, cases[i].message);
    ck_assert_ptr_null (afp_rewrite_for_rest (cases[i].text, "/tmp", 10, &heads, &error));
    assert_error (error, cases[i].code, cases[i].message);
    assert_text (afp_rewrite_list_preparing (cases[i].text), "");
  }
}
END_TEST

static char *
write_text (const char *folder, const char *name, const char *text, gssize n)
{
  char *path = g_build_filename (folder, name, NULL);

  ck_assert (g_file_set_contents (path, text, n, NULL));
  return path;
}

START_TEST (for_the_rest)
{
  g_autofree char *folder = g_dir_make_tmp ("afp-test-XXXXXX", NULL);
  g_autofree char *text = write_text (folder, "t.txt", "one\ntwo\nthree\n", -1);
  g_autofree char *binary = write_text (folder, "b.npz", "PK\0\1\0\0\0\0\0\0\0\0\0\0", 14);
  g_autofree char *pipeline = g_strdup_printf (
      SYNTH "calibrate text=%s tokens=2 ! vptq k=16 ! hyper ! decode ! eval text=%s "
            "images=%s require='nmse<1' command=rm ! write location=o.h5",
      text, text, binary);
  g_autoptr (GError) error = NULL;
  AfpHeads heads;
  g_autofree char *cut = afp_rewrite_for_rest (pipeline, folder, 10, &heads, &error);
  ck_assert_msg (cut != NULL, "%s", error ? error->message : "");
  ck_assert_uint_eq (heads.judged, 14);
  ck_assert_uint_eq (heads.prepared, 8); /* two tokens */
  ck_assert_ptr_nonnull (strstr (cut, "! rtn ! eval"));
  ck_assert_ptr_nonnull (strstr (cut, binary));
  static const char *const gone[] = { "t.txt", "vptq", "hyper", "require", "command", "write" };
  for (gsize i = 0; i < G_N_ELEMENTS (gone); i++)
    ck_assert_msg (!strstr (cut, gone[i]), "%s in %s", gone[i], cut);
  const char *name = strstr (cut, "text=") + strlen ("text=");
  g_autofree char *head = g_strndup (name, strcspn (name, " ")), *content = NULL;
  ck_assert (g_file_get_contents (head, &content, NULL, NULL));
  ck_assert_str_eq (content, "one\ntwo\n");
  g_autofree char *whole = afp_rewrite_for_rest (pipeline, folder, 14, &heads, &error);
  ck_assert_uint_eq (heads.judged + heads.prepared, 0);
  ck_assert_ptr_nonnull (strstr (whole, "t.txt"));
  g_autofree char *preparing = afp_rewrite_list_preparing (pipeline);
  ck_assert (g_str_has_prefix (preparing, "calibrate text=") && g_str_has_suffix (preparing, "\n"));
  tool_remove_tree (folder);
}
END_TEST

/* --- pieces --- */

START_TEST (a_piece)
{
  g_autoptr (AfpSample) sample = afp_sample_new (1, 1 << 30);
  g_autoptr (GError) error = NULL;
  const char *text = SYNTH "seedlm ! vptq k=16 ! entropy ! null";
  for (guint round = 0; round < 2; round++) {
    g_autoptr (AfpTry) tried =
        afp_sample_try (sample, text, "synth.2", round ? 1 << 20 : 1000, LONG, NULL, &error);
    ck_assert_msg (tried != NULL, "%s", error ? error->message : "");
    ck_assert_uint_eq (tried->weights, round ? 64 * 64 : 16 * 64); /* whole rows */
    ck_assert_int_eq (tried->rows_left, !round);
    ck_assert_double_gt (tried->packing, 0);
    ck_assert_uint_ge (tried->trials->len, 1);
    const AfpTrial *first = tried->trials->pdata[0];
    ck_assert_str_eq (first->stage, "seedlm0");
    ck_assert_str_eq (first->element, "seedlm");
    ck_assert_double_eq (first->weights, (double) tried->weights);
    ck_assert_double_gt (first->seconds, 0);
  }
}
END_TEST

/* What calibrate would give a tensor is made up. */
START_TEST (a_piece_with_moments)
{
  g_autoptr (AfpSample) sample = afp_sample_new (1, 1 << 30);
  g_autoptr (GError) error = NULL;
  g_autoptr (AfpTry) tried =
      afp_sample_try (sample, SYNTH "calibrate text=none.txt ! vptq k=16 feedback=true ! null",
                      "synth.0", 1000, LONG, NULL, &error);
  ck_assert_msg (tried != NULL, "%s", error ? error->message : "");
  ck_assert_uint_eq (tried->trials->len, 1);
}
END_TEST

START_TEST (no_piece)
{
  g_autoptr (AfpSample) sample = afp_sample_new (1, 1 << 30);
  static const struct {
    const char *text, *tensor, *message;
    int code;
  } cases[] = {
    { SYNTH "hyper ! null", "synth.9", "has no tensor 'synth.9'", AFP_ERROR_PLAN },
    { "load location=none.h5 ! hyper ! null", "a", "none.h5", AFP_ERROR_IO },
    { SYNTH "vptq feedback=true ! null", "synth.0", "moments", AFP_ERROR_PLAN },
    { SYNTH "hyper", "synth.0", "only one chain", AFP_ERROR_PLAN },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GError) error = NULL;
    ck_assert_ptr_null (
        afp_sample_try (sample, cases[i].text, cases[i].tensor, 4096, LONG, NULL, &error));
    assert_error (error, cases[i].code, cases[i].message);
  }
  g_autoptr (GError) error = NULL;
  ck_assert_ptr_null (afp_sample_try (sample, "synth shapes=4096x1024 ! seedlm K=16 ! null",
                                      "synth.0", 1 << 22, 0.01, NULL, &error));
  assert_error (error, AFP_ERROR_CANCELLED, "cancelled");
}
END_TEST

/* --- the schedule --- */

START_TEST (schedule)
{
  static const char *const chains[] = { "", "a <0", "b <0", "a ! b <1", "c", NULL };
  AfpStudy *study = make_study (chains);
  const double seconds[] = { 1, 2, 3, 4, 5 };
  ck_assert_double_eq (afp_estimate_schedule (study, seconds, 1), 15);
  /* 0 and c begin; a at 1, b at 3, where a ends, too: a ! b follows c or b */
  ck_assert_double_le (afp_estimate_schedule (study, seconds, 2), 10);
  ck_assert_double_ge (afp_estimate_schedule (study, seconds, 2), 7.5);
  ck_assert_double_eq (afp_estimate_schedule (study, seconds, 9), 7); /* 0, a, a ! b */
  const double nothing[] = { 0, 0, 0, 0, 0 };
  ck_assert_double_eq (afp_estimate_schedule (study, nothing, 2), 0);
  clear_study (study);
}
END_TEST

/* --- estimates --- */

typedef struct {
  AfpStudy *study;
  AfpStudyPlan *plan;
} Planned;

static void
planned_clear (Planned *self)
{
  afp_study_plan_free (self->plan);
  afp_study_free (self->study);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Planned, planned_clear)

static Planned
plan_study (const char *text)
{
  g_autoptr (GError) error = NULL;
  Planned self = { afp_study_new (text, NULL, &error), NULL };
  ck_assert_msg (self.study != NULL, "%s: %s", text, error ? error->message : "");
  self.plan = afp_study_plan (self.study, &error);
  ck_assert_msg (self.plan != NULL, "%s: %s", text, error ? error->message : "");
  return self;
}

static const AfpEstimateOptions usual = {
  .threads = 1, .max_memory = 1 << 30, .at_once = 1, .cached = TRUE, .limit = LONG
};

static double
sum_runs (const AfpEstimate *estimate)
{
  double sum = 0;

  for (guint i = 0; i < estimate->n_runs; i++)
    sum += estimate->runs[i];
  return sum;
}

/* What another run does is not counted again; what no cache keeps is. */
START_TEST (shared_work)
{
  g_auto (Planned) self =
      plan_study (SYNTH "either(hyper U=25, hyper U=25 ! vptq, seedlm K=12) ! eval ! null");
  g_autoptr (AfpEstimate) estimate = afp_estimate_new (self.plan, self.study, &usual);
  ck_assert_uint_eq (estimate->n_runs, 4);
  ck_assert_uint_eq (estimate->n_kinds, 2); /* hyper, seedlm */
  ck_assert_uint_eq (estimate->n_known, 2);
  ck_assert_uint_eq (estimate->n_done, 0);
  ck_assert_double_gt (estimate->seconds, 0);
  ck_assert_double_eq_tol (estimate->seconds, sum_runs (estimate), 1e-9);
  ck_assert_uint_eq (estimate->gaps->len, 1); /* no program: what runs need beside stages */
  ck_assert_ptr_nonnull (strstr (estimate->gaps->pdata[0], "not counted: what 4 runs need"));
  AfpEstimateOptions anew = usual;
  anew.cached = FALSE;
  g_autoptr (AfpEstimate) other = afp_estimate_new (self.plan, self.study, &anew);
  ck_assert_uint_eq (other->n_kinds, 3);
}
END_TEST

/* Repeats are of one kind: they differ in their seeds. */
START_TEST (repeats)
{
  g_auto (Planned) self = plan_study (SYNTH "vptq k={4,16} ! eval ! null repeat=3");
  g_autoptr (AfpEstimate) estimate = afp_estimate_new (self.plan, self.study, &usual);
  ck_assert_uint_eq (estimate->n_kinds, 2);
  for (guint i = 0; i < estimate->n_runs; i++)
    ck_assert_int_eq (estimate->runs[i] > 0,
                      ((AfpStudyRun *) self.study->runs->pdata[i])->n_stages > 0);
}
END_TEST

START_TEST (no_time)
{
  g_auto (Planned) self = plan_study (SYNTH "vptq k={4,16} ! eval ! null");
  AfpEstimateOptions none = usual;
  none.limit = 0;
  g_autoptr (AfpEstimate) estimate = afp_estimate_new (self.plan, self.study, &none);
  ck_assert_uint_eq (estimate->n_kinds, 2);
  ck_assert_uint_eq (estimate->n_known, 0);
  ck_assert_double_eq (estimate->seconds, 0);
  g_autofree char *text = afp_estimate_to_string (estimate);
  ck_assert_ptr_nonnull (strstr (text, "in 0 of 2 kinds of runs"));
  ck_assert_ptr_nonnull (strstr (text, "not counted: 2 stages of runs"));
  ck_assert_ptr_nonnull (strstr (text, "not counted: what 3 runs need beside their stages"));
}
END_TEST

/* Runs that are done take no time, and those like them as long as they did. */
START_TEST (on_record)
{
  g_auto (Planned) self = plan_study (SYNTH "vptq k=4 ! eval ! null repeat=2");
  g_autoptr (GPtrArray) records = g_ptr_array_new_with_free_func (unref_record);
  AfpEstimateOptions options = usual;
  options.records = records;
  options.limit = 0;
  ck_assert_uint_eq (self.study->runs->len, 4);
  for (guint i = 0; i < 4; i++) {
    const AfpStudyRun *run = self.study->runs->pdata[i];
    const gboolean done = run->repeat == 0;
    g_ptr_array_add (
        records,
        done
            ? make_record (
                  i, "vptq k=4", "",
                  "\"seconds\":101,\"executions_cached\":0,\"stages\":[{\"name\":\"vptq0\",\"seconds\":100}]")
            : NULL);
  }
  g_autoptr (AfpEstimate) estimate = afp_estimate_new (self.plan, self.study, &options);
  ck_assert_uint_eq (estimate->n_done, 2);
  for (guint i = 0; i < 4; i++) {
    const AfpStudyRun *run = self.study->runs->pdata[i];
    ck_assert_int_eq (estimate->done[i], run->repeat == 0);
    ck_assert_double_eq_tol (estimate->runs[i],
                             run->repeat == 0    ? 0
                             : run->n_stages > 0 ? 101
                                                 : 1,
                             1e-6);
  }
  ck_assert_uint_eq (estimate->gaps->len, 0);
  g_autofree char *text = afp_estimate_to_string (estimate);
  ck_assert_ptr_nonnull (strstr (text, "about 1:42 for what is left; 2 runs are done"));
  g_autofree char *table = afp_study_plan_to_string (self.plan, self.study, estimate);
  ck_assert_ptr_nonnull (strstr (table, " done "));
  ck_assert_ptr_nonnull (strstr (table, " 1:41 "));
}
END_TEST

START_TEST (json)
{
  g_auto (Planned) self = plan_study (SYNTH "vptq k=4 ! eval ! null");
  AfpEstimateOptions none = usual;
  none.limit = 0;
  g_autoptr (AfpEstimate) estimate = afp_estimate_new (self.plan, self.study, &none);
  estimate->seconds = estimate->runs[1] = 12.5;
  g_autoptr (JsonNode) node = afp_study_plan_to_json (self.plan, self.study, estimate);
  JsonObject *object = json_node_get_object (node);
  ck_assert_double_eq (json_object_get_double_member (object, "seconds"), 12.5);
  JsonObject *how = json_object_get_object_member (object, "estimate");
  ck_assert_int_eq (json_object_get_int_member (how, "runs_done"), 0);
  ck_assert_int_eq (json_object_get_int_member (how, "kinds"), 1);
  ck_assert_int_eq (json_object_get_int_member (how, "kinds_known"), 0);
  ck_assert_uint_eq (json_array_get_length (json_object_get_array_member (how, "gaps")), 2);
  JsonArray *runs = json_object_get_array_member (object, "runs");
  ck_assert_double_eq (
      json_object_get_double_member (json_array_get_object_element (runs, 1), "seconds"), 12.5);
  g_autoptr (JsonNode) without = afp_study_plan_to_json (self.plan, self.study, NULL);
  ck_assert (json_object_get_null_member (json_node_get_object (without), "seconds"));
  ck_assert (json_object_get_null_member (json_node_get_object (without), "estimate"));
}
END_TEST

/* --- the rest --- */

START_TEST (beside_stages)
{
  g_autofree char *program = afp_runner_find_launch (NULL);
  g_autofree char *folder = g_dir_make_tmp ("afp-test-XXXXXX", NULL);
  AfpEstimateOptions options = usual;
  options.program = program;
  ck_assert_ptr_nonnull (program);
  const AfpRest rest = afp_estimate_rest (&options, SYNTH "hyper ! eval ! null", folder, LONG);
  ck_assert_double_gt (rest.each, 0);
  ck_assert_double_ge (rest.once, 0);
  /* It fails, it is no chain, there is no time, there is no such program. */
  ck_assert (isnan (
      afp_estimate_rest (&options, "load location=none.h5 ! hyper ! null", folder, LONG).each));
  ck_assert (isnan (afp_estimate_rest (&options, SYNTH "hyper", folder, LONG).each));
  ck_assert (isnan (afp_estimate_rest (&options, SYNTH "hyper ! null", folder, 0).each));
  ck_assert (isnan (
      afp_estimate_rest (&options, "synth shapes=9999x9999 ! eval ! null", folder, 0.05).each));
  options.program = "/nothing/afpipe-launch";
  ck_assert (isnan (afp_estimate_rest (&options, SYNTH "hyper ! null", folder, LONG).each));
  tool_remove_tree (folder);
  ck_assert (!g_file_test (folder, G_FILE_TEST_EXISTS));
}
END_TEST

static TCase *
rewrite_cases (void)
{
  TCase *tc = tcase_create ("rewrite");
  tcase_add_test (tc, for_a_piece);
  tcase_add_test (tc, no_chain);
  tcase_add_test (tc, for_the_rest);
  return tc;
}

static TCase *
sample_cases (void)
{
  TCase *tc = tcase_create ("sample");
  tcase_add_test (tc, a_piece);
  tcase_add_test (tc, a_piece_with_moments);
  tcase_add_test (tc, no_piece);
  return tc;
}

static TCase *
estimate_cases (void)
{
  TCase *tc = tcase_create ("estimate");
  tcase_add_test (tc, schedule);
  tcase_add_test (tc, shared_work);
  tcase_add_test (tc, repeats);
  tcase_add_test (tc, no_time);
  tcase_add_test (tc, on_record);
  tcase_add_test (tc, json);
  tcase_add_test (tc, beside_stages);
  return tc;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { rewrite_cases, sample_cases, estimate_cases };
  return run_suite ("ablate-estimate", cases, G_N_ELEMENTS (cases));
}
