/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core-test.h"

#include "ablate-plan.h"

#define SYNTH "synth shapes=64x64 count=2 ! "

typedef struct {
  AfpStudy *study;
  AfpStudyPlan *plan;
} Planned;

static Planned
plan_with (const char *text, GHashTable *variables)
{
  g_autoptr (GError) error = NULL;
  Planned self = { afp_study_new (text, variables, &error), NULL };
  ck_assert_msg (self.study != NULL, "%s: %s", text, error ? error->message : "");
  self.plan = afp_study_plan (self.study, &error);
  ck_assert_msg (self.plan != NULL, "%s: %s", text, error ? error->message : "");
  return self;
}

static void
planned_clear (Planned *self)
{
  afp_study_plan_free (self->plan);
  afp_study_free (self->study);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Planned, planned_clear)

static const AfpRunPlan *
plan_of (const Planned *self, const char *chain)
{
  for (guint i = 0; i < self->plan->runs->len; i++)
    if (strcmp (((AfpStudyRun *) self->study->runs->pdata[i])->chain, chain) == 0)
      return self->plan->runs->pdata[i];
  ck_abort_msg ("no chain '%s'", chain);
  return NULL;
}

/* The same numbers as a plan of that pipeline alone. */
START_TEST (sizes)
{
  g_auto (Planned) self = plan_with (SYNTH "subsets(hyper, vptq) ! eval ! null", NULL);
  for (guint i = 0; i < self.study->runs->len; i++) {
    const AfpStudyRun *run = self.study->runs->pdata[i];
    const AfpRunPlan *plan = self.plan->runs->pdata[i];
    g_autoptr (GError) error = NULL;
    g_autoptr (AfpPipeline) pipeline = afp_pipeline_new_from_text (run->pipeline, &error);
    gboolean exact;
    AfpPlan *alone = afp_pipeline_plan (pipeline, &error);
    GPtrArray *elements = afp_pipeline_get_elements (pipeline);
    ck_assert_ptr_nonnull (alone);
    ck_assert_uint_eq (
        plan->bytes, afp_plan_get_total_bytes (alone, elements->pdata[elements->len - 1], &exact));
    ck_assert_int_eq (plan->exact, exact);
    ck_assert_uint_eq (plan->weights, 2 * 64 * 64);
    ck_assert (plan->wanted);
  }
}
END_TEST

/* What a prefix did is not done again, unless the stage behind it answers its question. */
START_TEST (shared_work)
{
  g_auto (Planned) self = plan_with (
      SYNTH "either(hyper, hyper ! entropy, hyper ! vptq, seedlm ! vptq k=16) ! null", NULL);
  ck_assert_uint_eq (plan_of (&self, "")->executions, 0);
  ck_assert_uint_eq (plan_of (&self, "hyper")->executions, 2);
  ck_assert_uint_eq (plan_of (&self, "hyper")->n_new, 2);
  ck_assert_uint_eq (plan_of (&self, "hyper ! entropy")->executions, 2);
  ck_assert_uint_eq (plan_of (&self, "hyper ! entropy")->n_new, 0);
  ck_assert_uint_eq (plan_of (&self, "hyper ! vptq")->n_new, 0);
  ck_assert_uint_eq (plan_of (&self, "seedlm")->n_new, 2);
  ck_assert_uint_eq (plan_of (&self, "seedlm ! vptq k=16")->n_new,
                     plan_of (&self, "seedlm ! vptq k=16")->executions);
  guint64 all = 0, distinct = 0;
  for (guint i = 0; i < self.plan->runs->len; i++) {
    all += ((AfpRunPlan *) self.plan->runs->pdata[i])->executions;
    distinct += ((AfpRunPlan *) self.plan->runs->pdata[i])->n_new;
  }
  ck_assert_uint_eq (self.plan->executions, all);
  ck_assert_uint_eq (self.plan->distinct, distinct);
}
END_TEST

/* A run whose exact size breaks a condition runs only where it is another's prefix; a bound breaks nothing. */
START_TEST (conditions_on_sizes)
{
  g_auto (Planned) self = plan_with (
      SYNTH "either(hyper U=25, hyper U=225 ! subsets(entropy)) ! null where bpw<4", NULL);
  const AfpRunPlan *small = plan_of (&self, "hyper U=25"), *large = plan_of (&self, "hyper U=225"),
                   *bound = plan_of (&self, "hyper U=225 ! entropy");
  ck_assert_ptr_null (small->broken);
  ck_assert_str_eq (large->broken, "bpw<4");
  ck_assert (small->wanted && large->wanted && bound->wanted);
  ck_assert (!bound->exact && bound->broken == NULL);
  ck_assert (plan_of (&self, "")->wanted);
  g_autofree char *text = afp_study_plan_to_string (self.plan, self.study, NULL);
  ck_assert_ptr_nonnull (strstr (text, "4 runs, 2 of them only as prefixes of others"));
  ck_assert_ptr_nonnull (strstr (text, "<= "));

  g_auto (Planned) other = plan_with (SYNTH "hyper U={25,225} ! null where bytes<4k", NULL);
  ck_assert (plan_of (&other, "hyper U=25")->wanted);
  ck_assert (!plan_of (&other, "hyper U=225")->wanted);
  ck_assert_uint_eq (other.plan->n_wanted, 2);
  g_autofree char *again = afp_study_plan_to_string (other.plan, other.study, NULL);
  ck_assert_ptr_nonnull (strstr (again, "left out: bytes<4k"));
  ck_assert_ptr_nonnull (strstr (again, "1 left out by conditions"));
}
END_TEST

START_TEST (one_run_that_cannot_be_planned)
{
  g_auto (Planned) self = plan_with (SYNTH "either(vptq, vptq feedback=true ! hyper) ! null", NULL);
  const AfpRunPlan *bad = plan_of (&self, "vptq feedback=true ! hyper");
  ck_assert (g_error_matches (bad->error, AFP_ERROR, AFP_ERROR_PLAN));
  ck_assert (!bad->wanted && !plan_of (&self, "vptq feedback=true")->wanted);
  ck_assert (plan_of (&self, "vptq")->wanted);
  g_autofree char *text = afp_study_plan_to_string (self.plan, self.study, NULL);
  ck_assert_ptr_nonnull (
      strstr (text, "cannot be planned: vptq0: feedback=true, but there are no"));
  ck_assert_ptr_nonnull (
      strstr (text, "2 runs, 1 of them only as prefixes of others; 2 cannot be planned"));
}
END_TEST

START_TEST (no_run_can_be_planned)
{
  static const struct {
    const char *text, *message;
    int code;
  } cases[] = {
    { SYNTH "vptq feedback={true} ! null", "no second moments", AFP_ERROR_PLAN },
    { "load location={no-a.h5,no-b.h5} ! vptq ! null", "no-a.h5", AFP_ERROR_IO },
    { SYNTH "either(vptq, hyper)", "leads nowhere", AFP_ERROR_USAGE },
    { "subsets(vptq) ! null", "nothing comes to", AFP_ERROR_USAGE },
    { SYNTH "either(null, null ! null)", "is a sink: nothing can follow it", AFP_ERROR_USAGE },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GError) error = NULL;
    g_autoptr (AfpStudy) study = afp_study_new (cases[i].text, NULL, &error);
    ck_assert_msg (study != NULL, "%s", error ? error->message : "");
    g_autoptr (AfpStudyPlan) plan = afp_study_plan (study, &error);
    if (i == G_N_ELEMENTS (cases) - 1) {
      ck_assert_ptr_nonnull (plan); /* the first alternative is one */
      continue;
    }
    ck_assert_ptr_null (plan);
    assert_error (error, cases[i].code,
                  "no run of the study can be planned; the first: ", cases[i].message);
  }
}
END_TEST

START_TEST (json)
{
  g_auto (Planned) self = plan_with (
      "let u={25} " SYNTH "either(hyper U=${u} ! entropy, vptq k={4,16} feedback=true) ! null",
      NULL);
  g_autoptr (JsonNode) node = afp_study_plan_to_json (self.plan, self.study, NULL);
  JsonObject *object = json_node_get_object (node);
  JsonArray *runs = json_object_get_array_member (object, "runs");
  ck_assert_uint_eq (json_array_get_length (runs), self.study->runs->len);
  ck_assert_int_eq (json_object_get_int_member (object, "runs_wanted"), 3);
  ck_assert_int_eq (json_object_get_int_member (object, "executions"), 4);
  ck_assert_int_eq (json_object_get_int_member (object, "executions_distinct"), 2);
  ck_assert (json_object_get_null_member (object, "seconds"));
  JsonObject *first = json_array_get_object_element (runs, 0);
  ck_assert (json_object_get_null_member (first, "prefix"));
  ck_assert_int_ge (json_object_get_int_member (first, "bytes"), 2 * 64 * 64 * 4);
  ck_assert_int_lt (json_object_get_int_member (first, "bytes"), 2 * 64 * 64 * 4 + 256);
  ck_assert (json_object_get_boolean_member (first, "exact"));
  JsonObject *last = json_array_get_object_element (runs, json_array_get_length (runs) - 1);
  ck_assert (json_object_get_null_member (last, "bytes"));
  ck_assert (json_object_get_null_member (last, "bits_per_weight"));
  ck_assert (!json_object_get_boolean_member (last, "wanted"));
  ck_assert_ptr_nonnull (strstr (json_object_get_string_member (last, "error"), "moments"));
  ck_assert_str_eq (
      json_object_get_string_member (json_object_get_object_member (last, "choices"), "vptq.k"),
      "16");
}
END_TEST

START_TEST (long_tables_end)
{
  g_autoptr (GString) text = g_string_new (SYNTH "hyper U={");
  for (guint i = 4; i < 154; i++)
    g_string_append_printf (text, "%s%u", i > 4 ? "," : "", i);
  g_string_append (text, "} M={1,2} ! null");
  g_autoptr (GError) error = NULL;
  g_autoptr (AfpStudy) study = afp_study_new (text->str, NULL, &error);
  ck_assert_msg (study != NULL, "%s", error ? error->message : "");
  g_autoptr (AfpStudyPlan) plan = afp_study_plan (study, &error);
  ck_assert_msg (plan != NULL, "%s", error ? error->message : "");
  g_autofree char *table = afp_study_plan_to_string (plan, study, NULL);
  ck_assert_ptr_nonnull (strstr (table, "... and 101 more: --json lists all"));
}
END_TEST

/* The studies that are shipped, on a small model beside the checkout. */
START_TEST (examples)
{
  static const struct {
    const char *name;
    guint n_runs;
  } cases[] = { { "orders", 61 },     { "where-bits-go", 29 }, { "joint", 25 },
                { "calibration", 7 }, { "baselines", 83 },     { "language-model", 42 } };
  const char *shared = g_getenv ("AFP_TEST_SHARED"), *source = g_getenv ("AFP_TEST_SRCDIR");
  g_autoptr (GHashTable) variables = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, g_free);
  g_autofree char *file = g_strdup_printf ("%s/examples/studies/%s.afp", source, cases[_i].name);
  g_autofree char *text = NULL;
  ck_assert_msg (g_file_get_contents (file, &text, NULL, NULL), "%s", file);
  if (shared && *shared) {
    g_hash_table_insert (variables, (gpointer) "model",
                         g_strconcat (shared, "/data/stories260k/stories260K.gguf", NULL));
    g_hash_table_insert (variables, (gpointer) "train",
                         g_strconcat (shared, "/data/text/tinystories_train_head.txt", NULL));
    g_hash_table_insert (variables, (gpointer) "test",
                         g_strconcat (shared, "/data/text/cs336_sample.txt", NULL));
    g_auto (Planned) self = plan_with (text, variables);
    ck_assert_uint_eq (self.plan->runs->len, cases[_i].n_runs);
    ck_assert_uint_lt (self.plan->distinct, self.plan->executions + 1);
    ck_assert_uint_eq (self.plan->n_wanted, cases[_i].n_runs);
    return;
  }
  g_autoptr (GError) error = NULL;
  g_autoptr (AfpStudy) study = afp_study_new (text, NULL, &error);
  ck_assert_msg (study != NULL, "%s: %s", file, error ? error->message : "");
  ck_assert_uint_eq (study->runs->len, cases[_i].n_runs);
}
END_TEST

static TCase *
plan_cases (void)
{
  TCase *tc = tcase_create ("plan");
  tcase_add_test (tc, sizes);
  tcase_add_test (tc, shared_work);
  tcase_add_test (tc, conditions_on_sizes);
  tcase_add_test (tc, one_run_that_cannot_be_planned);
  tcase_add_test (tc, no_run_can_be_planned);
  tcase_add_test (tc, json);
  tcase_add_test (tc, long_tables_end);
  tcase_add_loop_test (tc, examples, 0, 6);
  return tc;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { plan_cases };
  return run_suite ("ablate-plan", cases, G_N_ELEMENTS (cases));
}
