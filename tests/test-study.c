/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core-test.h"

#include "study.h"

#define SYNTH "synth shapes=16x16 ! "
#define END " ! eval ! null"

static AfpStudy *
study_with (const char *text, GHashTable *variables)
{
  g_autoptr (GError) error = NULL;
  AfpStudy *study = afp_study_new (text, variables, &error);
  ck_assert_msg (study != NULL, "%s: %s", text, error ? error->message : "");
  return study;
}

static AfpStudy *
study_of (const char *text)
{
  return study_with (text, NULL);
}

static const AfpStudyRun *
run_at (const AfpStudy *study, guint i)
{
  ck_assert_uint_lt (i, study->runs->len);
  return study->runs->pdata[i];
}

/* "0 hyper r=2 <- -1": index, chain, choices, prefix; "+" before those that are only prefixes */
static char *
describe (const AfpStudy *study)
{
  GString *out = g_string_new (NULL);

  for (guint i = 0; i < study->runs->len; i++) {
    const AfpStudyRun *run = run_at (study, i);
    g_autoptr (GList) members = json_object_get_members (run->choices);
    g_string_append_printf (out, "%s%u: %s", run->added ? "+" : "", i, run->chain);
    for (GList *m = members; m; m = m->next) {
      JsonNode *node = json_object_get_member (run->choices, m->data);
      g_autofree char *value = json_node_get_value_type (node) == G_TYPE_STRING
                                   ? json_node_dup_string (node)
                                   : g_strdup_printf ("%d", (int) json_node_get_int (node));
      g_string_append_printf (out, " [%s=%s]", (char *) m->data, value);
    }
    g_string_append_printf (out, " <- %d\n", run->prefix);
  }
  return g_string_free (out, FALSE);
}

#define assert_runs(text, expected)                \
  do {                                             \
    g_autoptr (AfpStudy) study_ = study_of (text); \
    assert_text (describe (study_), expected);     \
  } while (0)

/* --- what texts stand for ------------------------------------------------------------------------------------------ */

START_TEST (one_pipeline)
{
  g_autoptr (AfpStudy) study = study_of (SYNTH "vptq" END);
  assert_text (describe (study), "+0:  <- -1\n1: vptq <- 0\n");
  ck_assert_str_eq (run_at (study, 0)->pipeline, "synth shapes=16x16 ! eval ! null");
  ck_assert_str_eq (run_at (study, 1)->pipeline, "synth shapes=16x16 ! vptq ! eval ! null");
  ck_assert_uint_eq (run_at (study, 1)->n_stages, 1);
  ck_assert_uint_eq (study->n_repeats, 1);
  ck_assert_uint_eq (study->names->len, 0);
}
END_TEST

START_TEST (sets)
{
  assert_runs (SYNTH "vptq k={4, 16} v={2,4}" END,
               "+0:  <- -1\n"
               "1: vptq k=4 v=2 [vptq.k=4] [vptq.v=2] <- 0\n"
               "2: vptq k=4 v=4 [vptq.k=4] [vptq.v=4] <- 0\n"
               "3: vptq k=16 v=2 [vptq.k=16] [vptq.v=2] <- 0\n"
               "4: vptq k=16 v=4 [vptq.k=16] [vptq.v=4] <- 0\n");
}
END_TEST

START_TEST (sets_in_words)
{
  g_autoptr (AfpStudy) study = study_of (SYNTH "hyper preset=lattice-{3,2}.0 ! entropy" END);
  assert_text (describe (study),
               "+0:  <- -1\n"
               "+1: hyper preset=lattice-3.0 [hyper.preset=lattice-3.0] <- 0\n"
               "2: hyper preset=lattice-3.0 ! entropy [hyper.preset=lattice-3.0] <- 1\n"
               "+3: hyper preset=lattice-2.0 [hyper.preset=lattice-2.0] <- 0\n"
               "4: hyper preset=lattice-2.0 ! entropy [hyper.preset=lattice-2.0] <- 3\n");
}
END_TEST

START_TEST (permutations)
{
  g_autoptr (AfpStudy) study = study_of (SYNTH "permute(seedlm, vptq, hyper)" END);
  g_autoptr (GPtrArray) chains = g_ptr_array_new ();
  for (guint i = 0; i < study->runs->len; i++)
    if (!run_at (study, i)->added)
      g_ptr_array_add (chains, run_at (study, i)->chain);
  g_ptr_array_add (chains, NULL);
  assert_text (g_strjoinv ("; ", (char **) chains->pdata),
               "seedlm ! vptq ! hyper; seedlm ! hyper ! vptq; vptq ! seedlm ! hyper; "
               "vptq ! hyper ! seedlm; hyper ! seedlm ! vptq; hyper ! vptq ! seedlm");
  ck_assert_uint_eq (study->runs->len, 16);
}
END_TEST

START_TEST (all_subsets)
{
  assert_runs (SYNTH "subsets(vptq, hyper)" END, "0:  <- -1\n"
                                                 "1: vptq <- 0\n"
                                                 "2: hyper <- 0\n"
                                                 "3: vptq ! hyper <- 1\n"
                                                 "4: hyper ! vptq <- 2\n");
  g_autoptr (AfpStudy) three = study_of (SYNTH "subsets(seedlm, vptq, hyper)" END);
  ck_assert_uint_eq (three->runs->len, 16);
}
END_TEST

/* What one alternative has and another has not is part of its name. */
START_TEST (alternatives)
{
  assert_runs (SYNTH "either(vptq residual=true k=4 ! vptq k=4, vptq k=16, hyper ! entropy)" END,
               "+0:  <- -1\n"
               "+1: vptq residual=true k=4 <- 0\n"
               "2: vptq residual=true k=4 ! vptq k=4 <- 1\n"
               "3: vptq k=16 <- 0\n"
               "+4: hyper <- 0\n"
               "5: hyper ! entropy <- 4\n");
}
END_TEST

START_TEST (choices_in_choices)
{
  g_autoptr (AfpStudy) study = study_of (
      SYNTH "either(permute(vptq k={4,16}, hyper), subsets(seedlm ! either(vptq, entropy)))" END);
  guint n = 0;
  for (guint i = 0; i < study->runs->len; i++)
    n += !run_at (study, i)->added;
  ck_assert_uint_eq (n, 2 * 2 + 1 + 2);
  ck_assert_str_eq (run_at (study, 0)->chain, "");
}
END_TEST

/* Every element has the same value of a variable. */
START_TEST (variables)
{
  assert_runs ("let r = {3.0,2.0} let c={vptq, hyper}\n" SYNTH
               "either(${c} tensors=${r}*, entropy)" END,
               "+0:  <- -1\n"
               "1: vptq [r=3.0] [c=vptq] <- 0\n"
               "2: entropy <- 0\n"
               "3: hyper [r=3.0] [c=hyper] <- 0\n"
               "4: vptq [r=2.0] [c=vptq] <- 0\n"
               "5: hyper [r=2.0] [c=hyper] <- 0\n");
  assert_runs ("let r = {3.0, 2.0} " SYNTH
               "either(hyper preset=lattice-${r}, hyper preset=z-${r})" END,
               "+0:  <- -1\n"
               "1: hyper preset=lattice-${r} [r=3.0] <- 0\n"
               "2: hyper preset=z-${r} [r=3.0] <- 0\n"
               "3: hyper preset=lattice-${r} [r=2.0] <- 0\n"
               "4: hyper preset=z-${r} [r=2.0] <- 0\n");
  assert_runs (
      "let a = {4,16} let b = {${a},8}"
      " " SYNTH "vptq k=${b}" END,
      "+0:  [a=4] <- -1\n1: vptq [a=4] [b=4] <- 0\n2: vptq [a=4] [b=8] <- 0\n3: vptq [a=16] [b=16] <- 0\n");
}
END_TEST

START_TEST (variables_from_outside)
{
  g_autoptr (GHashTable) set = g_hash_table_new (g_str_hash, g_str_equal);
  g_hash_table_insert (set, (gpointer) "k", (gpointer) "{8, 32}");
  g_hash_table_insert (set, (gpointer) "shape", (gpointer) "8x8");
  g_autoptr (AfpStudy) study =
      study_with ("let k = 4 let shape=2x2 synth shapes=${shape} ! vptq k=${k} ! null", set);
  assert_text (describe (study), "+0:  <- -1\n1: vptq [k=8] <- 0\n2: vptq [k=32] <- 0\n");
  ck_assert_str_eq (run_at (study, 0)->pipeline, "synth shapes=8x8 ! null");
}
END_TEST

/* Elements with names, and several of one kind. */
START_TEST (names_of_choices)
{
  assert_runs (
      SYNTH "vptq k={4} residual=true ! vptq k={4} ! vptq name=last k={2}" END,
      "+0:  <- -1\n"
      "+1: vptq k=4 residual=true [vptq.k=4] <- 0\n"
      "+2: vptq k=4 residual=true ! vptq k=4 [vptq.k=4] [vptq2.k=4] <- 1\n"
      "3: vptq k=4 residual=true ! vptq k=4 ! vptq k=2 [vptq.k=4] [vptq2.k=4] [last.k=2] <- 2\n");
}
END_TEST

/* A seed that is given stays; a run without any seed is the same for every repeat. */
START_TEST (repeats)
{
  g_autoptr (AfpStudy) study = study_of (SYNTH "either(hyper, vptq)" END " repeat=3");
  ck_assert_uint_eq (study->n_repeats, 3);
  ck_assert_str_eq (run_at (study, 0)->pipeline, "synth shapes=16x16 ! eval ! null");
  const AfpStudyRun *last = run_at (study, study->runs->len - 1);
  ck_assert (g_str_has_prefix (last->pipeline, "synth shapes=16x16 seed=3 ! vptq"));
  ck_assert_uint_eq (last->repeat, 2);
  ck_assert_int_eq (json_object_get_int_member (last->choices, "repeat"), 2);
  ck_assert_int_eq (run_at (study, (guint) last->prefix)->repeat, 2);
  assert_runs ("repeat=3 synth shapes=16x16 seed=7 ! entropy ! null",
               "+0:  [repeat=0] <- -1\n1: entropy [repeat=0] <- 0\n");
}
END_TEST

START_TEST (same_runs_are_one)
{
  assert_runs (SYNTH "either(vptq, hyper, vptq, subsets(hyper))" END,
               "0:  <- -1\n1: vptq <- 0\n2: hyper <- 0\n");
}
END_TEST

/* What counts for the name ends at the first eval; branches have no prefixes. */
START_TEST (other_elements)
{
  g_autoptr (AfpStudy) mixed =
      study_of (SYNTH "calibrate text=x ! vptq k={4,16} ! decode ! hyper ! eval ! seedlm ! null");
  const AfpStudyRun *last = run_at (mixed, mixed->runs->len - 1);
  ck_assert_str_eq (last->codecs, "vptq ! hyper");
  ck_assert_uint_eq (last->n_stages, 2);
  ck_assert_str_eq (run_at (mixed, 0)->codecs, "");
  assert_runs (SYNTH "identity ! tensor,rank=2 ! vptq ! eval ! hyper ! null",
               "+0:  <- -1\n1: vptq <- 0\n");
  assert_runs (SYNTH "seedlm ! decode ! vptq ! null",
               "+0:  <- -1\n+1: seedlm <- 0\n2: seedlm ! decode ! vptq <- 1\n");
  assert_runs (SYNTH "calibrate text=x ! vptq ! hyper ! null",
               "+0:  <- -1\n+1: calibrate ! vptq <- 0\n2: calibrate ! vptq ! hyper <- 1\n");
  assert_runs (SYNTH "tee name=t ! vptq k={4,16} ! null t. ! hyper ! null",
               "0: vptq k=4 [vptq.k=4] <- -1\n1: vptq k=16 [vptq.k=16] <- -1\n");
}
END_TEST

START_TEST (texts_are_canonical)
{
  g_autoptr (AfpStudy) study = study_of (
      "# of today\nsynth  shapes='16x16' ! either(vptq tensors=\"a, (b)\" exclude=\"{x}\")\n! null");
  ck_assert_str_eq (run_at (study, 1)->pipeline,
                    "synth shapes=16x16 ! vptq tensors=\"a, (b)\" exclude=\"{x}\" ! null");
  g_autoptr (GError) error = NULL;
  g_autoptr (AfpAst) ast = afp_parse (run_at (study, 1)->pipeline, NULL, &error);
  ck_assert_ptr_nonnull (ast);
  assert_text (afp_ast_to_string (ast), run_at (study, 1)->pipeline);
}
END_TEST

/* A run that is there only as a prefix writes nothing, and no run writes over another's file. */
START_TEST (files_that_runs_write)
{
  g_autoptr (AfpStudy) study =
      study_of ("let r = {4,16} " SYNTH "vptq k=${r} ! write location=m-${r}.h5");
  assert_text (describe (study), "+0:  <- -1\n1: vptq [r=4] <- 0\n2: vptq [r=16] <- 0\n");
  ck_assert_str_eq (run_at (study, 0)->pipeline, "synth shapes=16x16 ! null");
  ck_assert_str_eq (run_at (study, 1)->pipeline,
                    "synth shapes=16x16 ! vptq k=4 ! write location=m-4.h5");

  /* The text stands for what was a prefix first. */
  g_autoptr (AfpStudy) turned =
      study_of (SYNTH "vptq ! either(hyper ! write location={a,b}.h5, write location=c.h5)");
  assert_text (describe (turned),
               "+0:  <- -1\n1: vptq <- 0\n2: vptq ! hyper [write.location=a.h5] <- 1\n"
               "3: vptq ! hyper [write.location=b.h5] <- 1\n");
  ck_assert_str_eq (run_at (turned, 1)->pipeline,
                    "synth shapes=16x16 ! vptq ! write location=c.h5");

  g_autoptr (GError) error = NULL;
  ck_assert_ptr_null (afp_study_new (SYNTH "vptq k={4,16} ! write location=m.h5", NULL, &error));
  assert_error (
      error, AFP_ERROR_USAGE,
      "runs 1 and 2 both write 'm.h5': put what they differ in into the name",
      "\n  synth shapes=16x16 ! vptq k={4,16} ! write location=m.h5\n                                       ^");
}
END_TEST

/* --- conditions ---------------------------------------------------------------------------------------------------- */

START_TEST (conditions_on_choices)
{
  static const struct {
    const char *where;
    guint n, n_excluded;
  } cases[] = {
    { "vptq.k<=16", 2 + 1, 1 },     { "vptq.k>=16 and vptq.k!=64", 1 + 1, 2 },
    { "vptq.k=16, r=a", 1 + 1, 2 }, { "r != a", 1, 3 },
    { "stages<1", 1, 3 },           { "vptq.k>100", 1, 3 },
    { "repeat=0", 3 + 1, 0 },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree char *text = g_strdup_printf (
        "let r = a " SYNTH "either(vptq k={4,16,64}, identity) ! null where %s", cases[i].where);
    g_autoptr (GError) error = NULL;
    g_autoptr (AfpStudy) study = afp_study_new (text, NULL, &error);
    if (strcmp (cases[i].where, "r != a") == 0) {
      assert_error (error, AFP_ERROR_USAGE, "the conditions leave none of the study's 4 runs");
      continue;
    }
    ck_assert_msg (study != NULL, "%s: %s", text, error ? error->message : "");
    ck_assert_msg (study->n_excluded == cases[i].n_excluded, "%s: %u", text, study->n_excluded);
  }
}
END_TEST

static gboolean
accepts (const AfpStudy *study, const char *json, const char **broken)
{
  g_autoptr (JsonNode) node = json_from_string (json, NULL);
  return afp_study_accepts (study, json_node_get_object (node), broken);
}

START_TEST (conditions_on_results)
{
  g_autoptr (AfpStudy) study =
      study_of (SYNTH "vptq" END " where bpw<3 and nll_loss<=15%, bytes<2k where metrics.bleu>20");
  const char *broken = NULL;
  ck_assert (accepts (study, "{}", &broken));
  ck_assert (accepts (study, "{\"bits_per_weight\":2.9,\"bytes\":2047,\"metrics\":{\"bleu\":21}}",
                      &broken));
  ck_assert (
      accepts (study, "{\"bits_per_weight\":null,\"bytes\":\"x\",\"metrics\":null}", &broken));
  ck_assert_ptr_null (broken);
  ck_assert (!accepts (study, "{\"bits_per_weight\":3}", &broken));
  ck_assert_str_eq (broken, "bpw<3");
  ck_assert (!accepts (study, "{\"bits_per_weight\":1,\"bytes\":2048}", &broken));
  ck_assert_str_eq (broken, "bytes<2k");
  ck_assert (!accepts (study, "{\"metrics\":{\"nll_loss\":0.16}}", &broken));
  ck_assert_str_eq (broken, "nll_loss<=15%");
  ck_assert (!accepts (study, "{\"metrics\":{\"bleu\":20}}", NULL));
}
END_TEST

/* --- what is refused ----------------------------------------------------------------------------------------------- */

static const struct {
  const char *text, *message;
  int code;
} bad[] = {
  { "", "the pipeline text is empty", AFP_ERROR_USAGE },
  { "let k = 4", "the pipeline text is empty", AFP_ERROR_USAGE },
  { SYNTH "either(vptq, vqtp) ! null", "vqtp", AFP_ERROR_NO_ELEMENT },
  { SYNTH "either(vptq, vqtp) ! null",
    "\n  synth shapes=16x16 ! either(vptq, vqtp) ! null\n                                    ^",
    AFP_ERROR_NO_ELEMENT },
  { SYNTH "vptq k={4,x} ! null", "centroids=x is not a whole number", AFP_ERROR_PROPERTY },
  { SYNTH "permute(vptq kk={4,8}, hyper) ! null", "kk", AFP_ERROR_PROPERTY },
  { SYNTH "hyper preset={lattice-2.0,lattice-2.1} ! null", "lattice-2.1", AFP_ERROR_PROPERTY },
  { "let r={2.0,2.1} " SYNTH "hyper preset=lattice-${r} ! null", "lattice-2.1",
    AFP_ERROR_PROPERTY },
  { SYNTH "vptq ! null where vqtp.k<3", "'vqtp.k' is neither a choice of this study nor a result",
    AFP_ERROR_USAGE },
  { SYNTH "vptq k={4,8} ! null where vptq.q<3", "did you mean 'vptq.k'?", AFP_ERROR_USAGE },
  { SYNTH "vptq ! null where bpw<fast", "where bpw<fast: 'fast' is no number", AFP_ERROR_USAGE },
  { SYNTH "vptq sharing={tensor,model} ! null where vptq.sharing<model",
    "only = and != compare names", AFP_ERROR_USAGE },
  { SYNTH "permute(vptq, hyper, entropy, seedlm, vptq, vptq, vptq, vptq, vptq) ! null",
    "stands for 362880 runs, the most is 100000", AFP_ERROR_USAGE },
  { SYNTH "subsets(vptq, hyper, entropy, seedlm, vptq, vptq, vptq, vptq) ! null",
    "stands for 109601 runs", AFP_ERROR_USAGE },
  { SYNTH "vptq k={1,2,3,4,5,6,7,8,9,10} v={1,2,3,4,5,6,7,8,9,10} ! null repeat=1001",
    "stands for 100100 runs", AFP_ERROR_USAGE },
  { SYNTH "permute(a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a) ! null",
    "stands for more than 18446744073709551615 runs", AFP_ERROR_USAGE },
};

START_TEST (bad_study)
{
  g_autoptr (GError) error = NULL;
  ck_assert_ptr_null (afp_study_new (bad[_i].text, NULL, &error));
  ck_assert_ptr_nonnull (error);
  ck_assert_msg (error->domain == AFP_ERROR && error->code == bad[_i].code &&
                     strstr (error->message, bad[_i].message) != NULL,
                 "%s: %d %s", bad[_i].text, error->code, error->message);
}
END_TEST

START_TEST (limits)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GString) text = g_string_new (SYNTH "either(vptq");
  for (guint i = 0; i < 200; i++)
    g_string_append (text, ", vptq");
  g_string_append (text, ") ! null");
  ck_assert_ptr_null (afp_study_new (text->str, NULL, &error));
  assert_error (error, AFP_ERROR_USAGE, "the study has 203 elements, the most is 200");
  g_autofree char *blanks = g_strnfill (65537, ' ');
  ck_assert_ptr_null (afp_study_new (blanks, NULL, &error));
  assert_error (error, AFP_ERROR_USAGE, "65537 bytes, the limit is 65536");
  ck_assert_ptr_null (afp_study_new ("synth ! permute(", NULL, NULL));
}
END_TEST

static TCase *
good_cases (void)
{
  TCase *tc = tcase_create ("good");
  tcase_add_test (tc, one_pipeline);
  tcase_add_test (tc, sets);
  tcase_add_test (tc, sets_in_words);
  tcase_add_test (tc, permutations);
  tcase_add_test (tc, all_subsets);
  tcase_add_test (tc, alternatives);
  tcase_add_test (tc, choices_in_choices);
  tcase_add_test (tc, variables);
  tcase_add_test (tc, variables_from_outside);
  tcase_add_test (tc, names_of_choices);
  tcase_add_test (tc, repeats);
  tcase_add_test (tc, same_runs_are_one);
  tcase_add_test (tc, other_elements);
  tcase_add_test (tc, texts_are_canonical);
  tcase_add_test (tc, files_that_runs_write);
  tcase_add_test (tc, conditions_on_choices);
  tcase_add_test (tc, conditions_on_results);
  return tc;
}

static TCase *
bad_cases (void)
{
  TCase *tc = tcase_create ("bad");
  tcase_add_loop_test (tc, bad_study, 0, G_N_ELEMENTS (bad));
  tcase_add_test (tc, limits);
  return tc;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { good_cases, bad_cases };
  return run_suite ("study", cases, G_N_ELEMENTS (cases));
}
