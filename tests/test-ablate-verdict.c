/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ablate-test.h"

#include "ablate-baseline.h"
#include "ablate-table.h"
#include "ablate-verdict.h"
#include "json-schema.h"

#include <math.h>

/*
 * What is made of records: groups, fronts, table, CSV, baselines, the verdict.
 */

static GPtrArray *
make_records (void)
{
  return g_ptr_array_new_with_free_func (unref_record);
}

static void
add (GPtrArray *records, const char *chain, double bits, double nmse)
{
  g_autofree char *members =
      g_strdup_printf ("\"bytes\":%.0f,\"bits_per_weight\":%.4f,\"nmse\":%.8f,\"sqnr_db\":%.4f",
                       1000 * bits, bits, nmse, -10 * log10 (nmse));

  g_ptr_array_add (records, make_record (records->len, chain, "", members));
}

static void
add_nll (GPtrArray *records, const char *chain, const char *choices, double bits, double nll)
{
  g_autofree char *members =
      g_strdup_printf ("\"bytes\":%.0f,\"bits_per_weight\":%.4f,\"nmse\":0.1,"
                       "\"metrics\":{\"nll\":%.6f,\"nll_per_byte\":%.6f}",
                       1000 * bits, bits, nll, nll / 4);

  g_ptr_array_add (records, make_record (records->len, chain, choices, members));
}

/* The text of all sentences. */
static char *
judge (GPtrArray *records, GArray *rates)
{
  JsonObject *verdict = afp_ablate_judge (records, rates);
  char *text = afp_ablate_verdict_to_text (verdict);

  json_object_unref (verdict);
  return text;
}

static void
assert_says (const char *text, const char *words)
{
  ck_assert_msg (strstr (text, words) != NULL, "'%s' is not in:\n%s", words, text);
}

static void
assert_silent (const char *text, const char *words)
{
  ck_assert_msg (strstr (text, words) == NULL, "'%s' is in:\n%s", words, text);
}

/* --- groups and fronts --- */

START_TEST (repeats_are_one_group)
{
  g_autoptr (GPtrArray) records = make_records ();

  add_nll (records, "vptq k=4", "\"vptq.k\":\"4\",\"repeat\":0", 2, 1.0);
  add_nll (records, "vptq k=4", "\"vptq.k\":\"4\",\"repeat\":1", 2, 1.2);
  add_nll (records, "vptq k=4", "\"vptq.k\":\"4\",\"repeat\":2", 2, 1.4);
  add_nll (records, "vptq k=8", "\"vptq.k\":\"8\",\"repeat\":0", 3, 1.0);
  g_ptr_array_add (records, NULL);
  g_autoptr (GPtrArray) groups = afp_groups_new (records, FALSE);
  ck_assert_uint_eq (groups->len, 2);
  ck_assert_double_eq_tol (afp_group_mean (groups->pdata[0], "nll"), 1.2, 1e-12);
  /* standard deviation 0.2, of the mean of three */
  ck_assert_double_eq_tol (afp_group_stderr (groups->pdata[0], "nll"), 0.2 / sqrt (3), 1e-12);
  ck_assert (isnan (afp_group_stderr (groups->pdata[1], "nll")));
  ck_assert (isnan (afp_group_mean (groups->pdata[1], "accuracy")));
}
END_TEST

START_TEST (what_the_chain_shows_is_no_name)
{
  g_autoptr (GPtrArray) records = make_records ();

  add_nll (records, "hyper preset=z-2.0", "\"rate\":\"2\",\"hyper.preset\":\"z-2.0\",\"repeat\":1",
           2, 1);
  assert_text (afp_record_format_choices (records->pdata[0]), "rate=2");
}
END_TEST

START_TEST (fronts)
{
  g_autoptr (GPtrArray) records = make_records ();

  add (records, "a", 1, 0.5);
  add (records, "b", 2, 0.3);
  add (records, "c", 2, 0.3);  /* as good */
  add (records, "d", 2, 0.31); /* worse at the same bytes */
  add (records, "e", 3, 0.3);  /* larger, no better */
  add (records, "f", 4, 0.1);
  g_ptr_array_add (records, make_record (6, "g", "", "\"bytes\":1,\"bits_per_weight\":1"));
  g_ptr_array_add (records, NULL);
  json_object_set_string_member (records->pdata[0], "excluded", "nmse<0.4");
  afp_records_mark_pareto (records);
  const char *on = "0110010";
  for (guint i = 0; i < 7; i++)
    ck_assert_msg (afp_record_is_pareto (records->pdata[i], "nmse") == (on[i] == '1'), "%u", i);
  ck_assert (!afp_record_is_pareto (records->pdata[1], "nll"));
  ck_assert (afp_record_is_pareto (records->pdata[1], NULL));
}
END_TEST

START_TEST (accuracy_is_better_if_larger)
{
  g_autoptr (GPtrArray) records = make_records ();

  for (guint i = 0; i < 3; i++) {
    g_autofree char *members =
        g_strdup_printf ("\"bytes\":%u,\"bits_per_weight\":2,\"metrics\":{\"accuracy\":0.%u}",
                         i + 1, 9 - 3 * (i % 2));
    g_ptr_array_add (records, make_record (i, "x", "", members));
  }
  afp_records_mark_pareto (records);
  ck_assert (afp_record_is_pareto (records->pdata[0], "accuracy"));
  ck_assert (!afp_record_is_pareto (records->pdata[1], "accuracy"));
  ck_assert (!afp_record_is_pareto (records->pdata[2], "accuracy"));
}
END_TEST

/* --- table and CSV --- */

static char *
format (GPtrArray *records, const char *keys, gboolean all)
{
  static const char *const none[] = { NULL };
  AfpStudy *study = make_study (none);
  g_autoptr (AfpSort) sort = afp_sort_new (keys, study, NULL);
  char *text = afp_ablate_format_table (records, sort, all);

  clear_study (study);
  return text;
}

START_TEST (table)
{
  g_autoptr (GPtrArray) records = make_records ();

  add (records, "late", 3, 0.01);
  add (records, "early", 2, 0.02);
  add (records, "part", 1, 0.2);
  json_object_set_string_member (records->pdata[2], "excluded", "nmse<0.1");
  g_ptr_array_add (
      records, parse_object ("{\"run\":3,\"status\":\"failed\",\"chain\":\"bad\",\"choices\":{},"
                             "\"error\":{\"kind\":\"codec\",\"message\":\"it broke\"}}"));
  afp_records_mark_pareto (records);
  g_autofree char *text = format (records, "bpw", FALSE);
  ck_assert (strstr (text, "early") < strstr (text, "late"));
  assert_says (text, "failed: bad: it broke");
  assert_says (text, "1 more do not meet a condition");
  assert_silent (text, "part ");
  assert_silent (text, "NLL");
  g_autofree char *turned = format (records, "-bits_per_weight,nmse", TRUE);
  ck_assert (strstr (turned, "early") > strstr (turned, "late"));
  assert_says (turned, "part ");
}
END_TEST

START_TEST (sort_keys)
{
  static const char *const none[] = { NULL };
  AfpStudy *study = make_study (none);
  GError *error = NULL;

  g_ptr_array_add (study->names, (gpointer) "vptq.k");
  ck_assert_ptr_null (afp_sort_new ("nll,size", study, &error));
  assert_error (error, AFP_ERROR_USAGE, "--sort: there is no 'size'", "bytes", "vptq.k");
  ck_assert_ptr_null (afp_sort_new ("", study, &error));
  assert_error (error, AFP_ERROR_USAGE, "--sort: there is no ''");
  ck_assert_ptr_null (afp_sort_new ("--nll", study, &error));
  assert_error (error, AFP_ERROR_USAGE, "there is no '-nll'");
  g_autoptr (AfpSort) sort = afp_sort_new ("-vptq.k, chain", study, &error);
  g_autoptr (GPtrArray) records = make_records ();
  add_nll (records, "v k=4", "\"vptq.k\":\"4\"", 1, 1);
  add_nll (records, "v k=16", "\"vptq.k\":\"16\"", 1, 1);
  add_nll (records, "h", "", 1, 1);
  g_autofree char *text = afp_ablate_format_table (records, sort, FALSE);
  /* as numbers; who has none comes last */
  ck_assert (strstr (text, "k=16") < strstr (text, "k=4"));
  ck_assert_ptr_nonnull (strstr (strstr (text, "k=4"), "  h "));
  clear_study (study);
}
END_TEST

START_TEST (csv)
{
  static const char *const none[] = { NULL };
  AfpStudy *study = make_study (none);
  g_autoptr (GPtrArray) records = make_records ();

  g_ptr_array_add (study->names, (gpointer) "text");
  g_ptr_array_add (study->names, (gpointer) "repeat");
  add_nll (records, "v", "\"text\":\"a,\\\"b\\\"\",\"repeat\":3", 1.5, 1);
  g_ptr_array_add (records, NULL);
  afp_records_mark_pareto (records);
  g_autofree char *text = afp_ablate_format_csv (records, study);
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);
  ck_assert (g_str_has_prefix (lines[0], "run,status,chain,repeat,text,bytes,"));
  ck_assert (g_str_has_prefix (lines[1], "0,ok,v,,\"a,\"\"b\"\"\",1500,,1.5,,,"));
  ck_assert (g_str_has_suffix (lines[1], ",,nmse nll,"));
  ck_assert_str_eq (lines[2], "");
  clear_study (study);
}
END_TEST

/* --- baselines --- */

START_TEST (shapes_and_baselines)
{
  g_autoptr (GPtrArray) records = make_records ();
  static const struct {
    const char *chain;
    int baseline;
  } rows[] = { { "rtn", 0 },
               { "rtn bits=3", 0 },
               { "rtn shared-exponent=true bits=3", 1 },
               { "rtn shared-exponent=false", 0 },
               { "hyper ! entropy", 2 },
               { "hyper U=100 ! entropy", 2 },
               { "rtn ! entropy", -1 },
               { "hyper", -1 },
               { "entropy ! hyper", -1 } };

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++)
    add (records, rows[i].chain, i + 1, 0.1);
  g_autoptr (GPtrArray) groups = afp_groups_new (records, FALSE);
  for (guint i = 0; i < G_N_ELEMENTS (rows); i++)
    ck_assert_msg (afp_group_get_baseline (groups->pdata[i]) == rows[i].baseline, "%s",
                   rows[i].chain);
  assert_text (afp_chain_get_shape ("seedlm K=3 C=8 ! vptq k=16"), "seedlm ! vptq");
  assert_text (afp_chain_get_shape (""), "");
}
END_TEST

/* What comes before the stages makes no chain of a single one, and no other baseline. */
START_TEST (what_does_not_compress_is_no_stage)
{
  static const struct {
    const char *chain, *codecs;
    double bits, nmse;
  } rows[] = { { "decode ! calibrate ! vptq k=4", "vptq", 2, 0.1 },
               { "decode ! calibrate ! vptq ! hyper", "vptq ! hyper", 2, 0.2 },
               { "decode ! calibrate ! rtn bits=2", "rtn", 2, 0.3 },
               { "decode ! calibrate", "", 2, 0.4 } };
  g_autoptr (GPtrArray) records = make_records ();

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++) {
    add (records, rows[i].chain, rows[i].bits, rows[i].nmse);
    json_object_set_string_member (records->pdata[i], "codecs", rows[i].codecs);
  }
  g_autofree char *text = judge (records, NULL);
  assert_says (text, "a single stage");
  assert_says (text, "round-to-nearest");
  assert_silent (text, "was not asked");
  assert_silent (text, "3 other chains");
  for (guint i = 0; i < G_N_ELEMENTS (rows); i++) /* as an earlier version wrote them */
    json_object_remove_member (records->pdata[i], "codecs");
  g_autofree char *before = judge (records, NULL);
  assert_says (before, "was not asked");
}
END_TEST

/* An entropy coder makes no chain of several stages of hyper: who asks whether chaining pays does not mean that. */
START_TEST (a_baseline_is_no_chain)
{
  g_autoptr (GPtrArray) records = make_records ();

  add_nll (records, "hyper preset=z-2.0 ! entropy", "", 2, 1);
  add_nll (records, "vptq", "", 2, 2);
  add_nll (records, "seedlm ! vptq", "", 2, 3);
  g_autofree char *text = judge (records, NULL);
  assert_says (
      text, "wins at none of the 1 rates that have both: a single stage is better, or a baseline");
  assert_says (text, "the next, vptq by 1.0000 nats");
  assert_says (text, "the best chain of several stages, seedlm ! vptq by 2.0000 nats");
  assert_silent (text, "the best single stage");
}
END_TEST

START_TEST (interpolation)
{
  static const AfpRatePoint points[] = { { 4, 0.01 }, { 2, 0.16 }, { 3, 0.04 } };
  g_autoptr (GArray) array = g_array_new (FALSE, FALSE, sizeof (AfpRatePoint));

  ck_assert (isnan (afp_rate_interpolate (array, 2, TRUE)));
  g_array_append_vals (array, points, 3);
  ck_assert_double_eq_tol (afp_rate_interpolate (array, 2.5, TRUE), 0.08, 1e-12);
  ck_assert_double_eq_tol (afp_rate_interpolate (array, 2.5, FALSE), 0.10, 1e-12);
  ck_assert_double_eq_tol (afp_rate_interpolate (array, 4, TRUE), 0.01, 1e-12);
  ck_assert (isnan (afp_rate_interpolate (array, 1.99, TRUE)));
  ck_assert (isnan (afp_rate_interpolate (array, 4.01, FALSE)));
  g_array_index (array, AfpRatePoint, 0).value = 0; /* has no logarithm */
  ck_assert (isnan (afp_rate_interpolate (array, 3.5, TRUE)));
}
END_TEST

/* --- the verdict --- */

START_TEST (a_chain_that_wins)
{
  g_autoptr (GPtrArray) records = make_records ();

  add (records, "seedlm ! vptq", 2.00, 0.01);
  add (records, "vptq", 2.02, 0.02);
  add (records, "rtn bits=1", 1.50, 0.16);
  add (records, "rtn bits=2", 2.50, 0.04);
  g_autofree char *text = judge (records, NULL);
  assert_says (text, "At 2.01 b/w seedlm ! vptq wins over 1 other chain: NMSE 0.01 at 2.000 b/w.");
  assert_says (
      text,
      "better than the next, vptq by 3.01 dB; nothing was repeated, so the noise is not known");
  assert_says (text,
               "With the same bytes round-to-nearest (rtn) comes to NMSE 0.08: 9.03 dB worse.");
  assert_says (text, "A chain of several stages wins at 1 of the 1 rates that have both.");
  assert_says (text, "round-to-nearest (rtn) is beaten at 1 of 1 rates");
  assert_says (text, "Without repeat=N nothing is known");
  assert_silent (text, "entropy");
}
END_TEST

START_TEST (a_chain_that_loses)
{
  g_autoptr (GPtrArray) records = make_records ();

  add (records, "seedlm ! vptq", 2.00, 0.03);
  add (records, "rtn", 2.08, 0.02);
  g_autofree char *text = judge (records, NULL);
  assert_says (text,
               "That is a baseline, round-to-nearest (rtn): no other chain is worth it here.");
  assert_says (text, "with 4.0 % more bits");
  assert_says (text, "A chain of several stages wins at none of the 1 rates");
  assert_says (text, "round-to-nearest (rtn) is beaten at 0 of 1 rates");
}
END_TEST

START_TEST (noise)
{
  g_autoptr (GPtrArray) records = make_records ();
  static const double far[] = { 1.00, 1.01, 1.02, 1.10, 1.11, 1.12 };
  static const double near[] = { 1.00, 1.10, 1.20, 1.05, 1.15, 1.25 };

  for (guint i = 0; i < 6; i++) {
    g_autofree char *repeat = g_strdup_printf ("\"repeat\":%u", i % 3);
    add_nll (records, i < 3 ? "a" : "b", repeat, 2, far[i]);
    add_nll (records, i < 3 ? "a" : "b", repeat, 3, near[i]);
  }
  /* each chain has one name at both rates: told apart by a choice */
  for (guint i = 0; i < records->len; i++)
    json_object_set_string_member (afp_json_get_object (records->pdata[i], "choices"), "rate",
                                   i % 2 ? "3" : "2");
  g_autofree char *text = judge (records, NULL);
  assert_says (
      text,
      "At 2.00 b/w a [rate=2] wins over 1 other chain: NLL 1.0100 at 2.000 b/w, mean of 3 repeats.");
  assert_says (
      text,
      "b [rate=2] by 0.1000 nats, beyond the noise of the repeats (standard error 0.0082 nats)");
  assert_says (
      text,
      "b [rate=3] by 0.0500 nats, within the noise of the repeats (standard error 0.0816 nats)");
  assert_says (text, "At 1 of 2 rates the winner is beyond the noise");
  assert_says (text, "was not asked");
}
END_TEST

START_TEST (rates_that_are_asked_for)
{
  g_autoptr (GPtrArray) records = make_records ();
  g_autoptr (GArray) rates = g_array_new (FALSE, FALSE, sizeof (double));
  static const double asked[] = { 2, 3, 8 };

  add (records, "a", 1.85, 0.2);
  add (records, "b", 2.19, 0.1);
  add (records, "c", 2.5, 0.01); /* near none */
  add (records, "d", 2.9, 0.05);
  g_array_append_vals (rates, asked, 3);
  g_autofree char *text = judge (records, rates);
  assert_says (text, "At 2.00 b/w b wins over 1 other chain");
  assert_says (text, "At 3.00 b/w there is nothing to compare d with but itself");
  assert_silent (text, " c ");
  assert_silent (text, "At 8");
  /* within 5 % of each other without: each is alone */
  g_autofree char *found = judge (records, NULL);
  assert_says (found, "At 1.85 b/w there is nothing");
  assert_says (found, "At 2.19 b/w there is nothing");
}
END_TEST

START_TEST (rivals)
{
  g_autoptr (GPtrArray) records = make_records ();

  add_nll (records, "a", "", 2, 1.2);
  add_nll (records, "b", "", 4, 0.8);
  add_nll (records, "rival s.gguf", "\"rival\":\"s.gguf\"", 3, 1.0);
  add_nll (records, "rival t.gguf", "\"rival\":\"t.gguf\"", 1, 2.0);
  add_nll (records, "rival u.gguf", "\"rival\":\"u.gguf\"", 5, 0.9);
  g_autofree char *text = judge (records, NULL);
  assert_says (
      text,
      "The rival s.gguf has nll_per_byte 0.2500 with 3000 bytes; the best run that is no larger, a "
      "with 2000 bytes, has 0.3000: the smaller model is the better choice.");
  assert_says (text, "No run is as small as the rival t.gguf with its 1000 bytes.");
  assert_says (text, "has 0.2000: compressing pays.");
  assert_silent (text, "At 3.00");
  afp_records_mark_pareto (records);
  ck_assert (!afp_record_is_pareto (records->pdata[4], NULL));
}
END_TEST

START_TEST (rival_pipelines)
{
  static const char *const chains[] = { "hyper", NULL };
  static const char *const files[] = { "a \"b\".gguf", NULL };
  AfpStudy *study = make_study (chains);
  AfpStudyRun *run = study->runs->pdata[0];
  GError *error = NULL;

  g_free (run->pipeline);
  run->pipeline = g_strdup ("synth shapes=4x4 ! hyper ! eval rows=2 ! hyper ! write location=x.h5");
  ck_assert (afp_study_add_rivals (study, NULL, &error));
  ck_assert_uint_eq (study->runs->len, 1);
  ck_assert (afp_study_add_rivals (study, files, &error));
  ck_assert_str_eq (((AfpStudyRun *) study->runs->pdata[1])->pipeline,
                    "load location=\"a \\\"b\\\".gguf\" ! eval rows=2 ! hyper ! null");
  g_free (run->pipeline);
  run->pipeline = g_strdup ("synth shapes=4x4 ! hyper ! null");
  ck_assert (!afp_study_add_rivals (study, files, &error));
  assert_error (error, AFP_ERROR_USAGE, "the study has no eval");
  g_free (run->pipeline);
  run->pipeline = g_strdup ("synth shapes=4x4 ! tee name=t ! eval ! null t. ! null");
  ck_assert (!afp_study_add_rivals (study, files, &error));
  assert_error (error, AFP_ERROR_USAGE, "without branches");
  clear_study (study);
}
END_TEST

START_TEST (nothing_to_judge)
{
  g_autoptr (GPtrArray) records = make_records ();

  g_ptr_array_add (records, NULL);
  g_ptr_array_add (records, make_record (1, "a", "", "\"bits_per_weight\":2"));
  assert_text (judge (records, NULL), "");
  JsonObject *verdict = afp_ablate_judge (records, NULL);
  ck_assert (json_object_get_null_member (verdict, "metric"));
  json_object_unref (verdict);
  /* the model as it is and failed runs are no candidates */
  g_ptr_array_add (records,
                   make_record (2, "", "", "\"bits_per_weight\":32,\"bytes\":1,\"nmse\":0.0"));
  g_ptr_array_add (
      records, parse_object ("{\"status\":\"failed\",\"exit\":6,\"nmse\":0.1,\"chain\":\"x\"}"));
  assert_text (judge (records, NULL), "1 of the runs failed and count nowhere.\n");
}
END_TEST

static TCase *
tests (void)
{
  TCase *tc = tcase_create ("verdict");
  tcase_add_test (tc, repeats_are_one_group);
  tcase_add_test (tc, what_the_chain_shows_is_no_name);
  tcase_add_test (tc, fronts);
  tcase_add_test (tc, accuracy_is_better_if_larger);
  tcase_add_test (tc, table);
  tcase_add_test (tc, sort_keys);
  tcase_add_test (tc, csv);
  tcase_add_test (tc, shapes_and_baselines);
  tcase_add_test (tc, what_does_not_compress_is_no_stage);
  tcase_add_test (tc, a_baseline_is_no_chain);
  tcase_add_test (tc, interpolation);
  tcase_add_test (tc, a_chain_that_wins);
  tcase_add_test (tc, a_chain_that_loses);
  tcase_add_test (tc, noise);
  tcase_add_test (tc, rates_that_are_asked_for);
  tcase_add_test (tc, rivals);
  tcase_add_test (tc, rival_pipelines);
  tcase_add_test (tc, nothing_to_judge);
  return tc;
}

int
main (void)
{
  TCase *(*const cases[]) (void) = { tests };

  return run_suite ("ablate-verdict", cases, G_N_ELEMENTS (cases));
}
