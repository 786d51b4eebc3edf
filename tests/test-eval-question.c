/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "eval-run-test.h"

#define ASK "eval " TEXT
#define CODED TINY_LOAD " ! seedlm seed-bits=6 ! "

static const char *const compared[] = { "nll", "perplexity", "nll_per_byte", "top1" };

static void
check_same_metrics (const char *one, guint index)
{
  g_autofree char *other = eval_metrics_text (index);

  ck_assert_str_eq (one, other);
}

/* Of the only eval of this pipeline. */
static char *
metrics_of (const char *text)
{
  eval_run (text);
  return eval_metrics_text (0);
}

/* --- what the model says ------------------------------------------------------------------------------------------ */

/* An untouched model is its original: not about, but exactly. */
START_TEST (untouched)
{
  eval_run (TINY_LOAD " ! " ASK " ! null");
  for (guint i = 0; i < G_N_ELEMENTS (compared); i++) {
    g_autofree char *ref = g_strconcat (compared[i], "_ref", NULL),
                    *loss = g_strconcat (compared[i], "_loss", NULL);
    ck_assert (eval_number (0, compared[i]) == eval_number (0, ref));
    ck_assert (eval_number (0, loss) == 0);
  }
  ck_assert (eval_number (0, "kl_mean") == 0 && eval_number (0, "kl_median") == 0);
  ck_assert (eval_number (0, "kl_p99") == 0 && eval_number (0, "same_top1") == 1);
  ck_assert (!json_object_get_boolean_member (eval_metrics (0), "joint"));
}
END_TEST

static gboolean
near (double a, double b)
{
  return fabs (a - b) <= 1e-12 * fabs (b);
}

START_TEST (numbers_go_together)
{
  eval_run (CODED ASK " ! null");
  const double nll = eval_number (0, "nll"), ref = eval_number (0, "nll_ref");
  const double bytes = nll * eval_number (0, "tokens") / eval_number (0, "nll_per_byte");

  ck_assert (near (eval_number (0, "perplexity"), exp (nll)));
  ck_assert (near (eval_number (0, "nll_loss"), (nll - ref) / ref));
  /* all of the text but for its last byte's end; a blank stands before it */
  ck_assert (fabs (bytes - (double) strlen (TINY_TEXT) - 1) < 1e-6);
  ck_assert (eval_number (0, "kl_mean") > 0 && eval_number (0, "same_top1") < 1);
  ck_assert (eval_number (0, "kl_p99") > eval_number (0, "kl_median"));
}
END_TEST

/* The original beside a coded model is what the model itself is. */
START_TEST (reference_is_the_original)
{
  eval_run (TINY_LOAD " ! " ASK " ! null");
  const double nll = eval_number (0, "nll"), top1 = eval_number (0, "top1");

  eval_run (CODED ASK " ! null");
  ck_assert (eval_number (0, "nll_ref") == nll && eval_number (0, "top1_ref") == top1);
  ck_assert (eval_number (0, "nll") != nll);
}
END_TEST

START_TEST (another_model_another_answer)
{
  g_autofree char *one = metrics_of (TINY_LOAD " ! " ASK " ! null");

  tiny_lm_write (2);
  g_autofree char *two = metrics_of (TINY_LOAD " ! " ASK " ! null");
  ck_assert_str_ne (one, two);
}
END_TEST

/* --- the text ----------------------------------------------------------------------------------------------------- */

static const struct {
  const char *options;
  gboolean same; /* as without them */
} options[] = {
  { "context=64", TRUE }, /* what the model was made for */
  { "stride=64", TRUE },  /* the context */
  { "context=64 stride=64", TRUE },
  { "context=32", FALSE },
  { "stride=16", FALSE },
  { "separator='\n'", FALSE },
  { "separator='no such words'", FALSE }, /* one document, of which the context is read */
};

START_TEST (how_text_is_cut)
{
  g_autofree char *plain = metrics_of (CODED ASK " ! null"),
                  *text = g_strdup_printf (CODED ASK " %s ! null", options[_i].options),
                  *cut = metrics_of (text);

  ck_assert_int_eq (strcmp (plain, cut) == 0, options[_i].same);
}
END_TEST

/* However windows lie, each token is predicted once. */
START_TEST (windows_predict_all)
{
  eval_run (CODED ASK " ! null");
  const double tokens = eval_number (0, "tokens");

  eval_run (CODED ASK " stride=7 context=20 ! null");
  ck_assert (eval_number (0, "tokens") == tokens);
  eval_run (CODED ASK " separator='no such words' context=20 ! null");
  ck_assert (eval_number (0, "tokens") == 20);
}
END_TEST

/* --- many at once ------------------------------------------------------------------------------------------------- */

/* The models of all places run side by side: each as if it were alone. */
START_TEST (places_of_a_chain)
{
  g_autofree char *first = NULL, *last = NULL;

  eval_run (TINY_LOAD " ! seedlm seed-bits=6 ! " ASK " ! vptq k=16 ! " ASK " ! null");
  ck_assert (eval_number (0, "nll") != eval_number (1, "nll"));
  first = eval_metrics_text (0);
  last = eval_metrics_text (1);
  eval_run (TINY_LOAD " ! seedlm seed-bits=6 ! " ASK " ! vptq k=16 ! null");
  check_same_metrics (first, 0);
  eval_run (TINY_LOAD " ! seedlm seed-bits=6 ! vptq k=16 ! " ASK " ! null");
  check_same_metrics (last, 0);
}
END_TEST

START_TEST (branches)
{
  g_autofree char *one = metrics_of (TINY_LOAD " ! seedlm seed-bits=6 ! " ASK " ! null"),
                  *two = metrics_of (TINY_LOAD " ! hyper ! " ASK " ! null");

  eval_run (TINY_LOAD " ! tee name=t ! seedlm seed-bits=6 ! " ASK " ! null t. ! hyper ! " ASK
                      " ! null");
  check_same_metrics (one, 0);
  check_same_metrics (two, 1);
}
END_TEST

START_TEST (different_questions)
{
  g_autofree char *one = metrics_of (CODED "eval " TEXT " context=32 ! null"),
                  *two = metrics_of (CODED ASK " ! null");

  eval_run (CODED "eval " TEXT " context=32 ! " ASK " ! eval ! null");
  check_same_metrics (one, 0);
  check_same_metrics (two, 1);
  ck_assert (!json_object_has_member (eval_metrics (2), "nll"));
}
END_TEST

START_TEST (same_for_any_threads)
{
  g_autofree char *one = NULL;

  eval_threads = 1;
  one = metrics_of (CODED ASK " ! null");
  for (eval_threads = 2; eval_threads <= 4; eval_threads += 2) {
    g_autofree char *many = metrics_of (CODED ASK " ! null");
    ck_assert_str_eq (one, many);
  }
}
END_TEST

/* --- with little memory ------------------------------------------------------------------------------------------- */

static gint64 steps;

static void
note_steps (AfpMessage *message, gpointer user_data)
{
  JsonNode *node = afp_message_get_json (message);

  if (afp_message_get_message_type (message) == AFP_MESSAGE_PROGRESS &&
      json_object_has_member (json_node_get_object (node), "steps"))
    steps = json_object_get_int_member (json_node_get_object (node), "steps");
}

/* With as much memory as the process takes now and the plan says, and a little more: what it takes grows from run to run. */
static void
run_with_little (const char *text)
{
  GError *error = NULL;
  gboolean ok = FALSE;

  for (guint i = 0; i < 20 && !ok; i++) {
    g_clear_error (&error);
    eval_max_memory = 1000000 + (guint64) json_object_get_int_member (
                                    json_node_get_object (eval_report), "planned_peak_bytes");
    ok = eval_try (text, &error);
  }
  ck_assert_msg (ok, "%s", error ? error->message : "?");
}

/* The text is run in parts where its activations do not fit at once. */
START_TEST (parts_of_the_text)
{
  g_autoptr (GString) text = g_string_new (NULL);

  for (guint i = 0; i < 40; i++)
    g_string_append (text, TINY_TEXT);
  tiny_put_text ("text.txt", text->str);
  eval_watch = note_steps;
  g_autofree char *whole = metrics_of (TINY_LOAD " ! " ASK " ! null");
  const gint64 one_part = steps;
  run_with_little (TINY_LOAD " ! " ASK " ! null");
  ck_assert_int_gt (steps, one_part);
  check_same_metrics (whole, 0);
}
END_TEST

/* --- files -------------------------------------------------------------------------------------------------------- */

/* What the model needs beside its tensors is in our own file, too. */
START_TEST (written_file)
{
  eval_run (CODED ASK " ! write location=@/m.h5");
  g_autofree char *before = eval_metrics_text (0);
  const double nll = eval_number (0, "nll"), top1 = eval_number (0, "top1");

  eval_run ("load location=@/m.h5 ! " ASK " ! null");
  ck_assert (eval_number (0, "nll") == nll && eval_number (0, "top1") == top1);
  ck_assert (eval_is_null (0, "nll_ref") && eval_is_null (0, "nll_loss"));
  ck_assert (!json_object_has_member (eval_metrics (0), "kl_mean"));
  /* beside the original again */
  eval_run ("load location=@/m.h5 ! eval original=@/m.bin " TEXT " ! null");
  check_same_metrics (before, 0);
}
END_TEST

START_TEST (metrics_are_in_the_file)
{
  g_autoptr (AfpElement) load = afp_registry_make (afp_registry_get_default (), "load", NULL);
  g_autofree char *path = in_folder ("m.h5");

  eval_run (CODED ASK " ! write location=@/m.h5");
  ck_assert (afp_element_set_property_text (load, "location", path, NULL));
  ck_assert (afp_source_open (AFP_SOURCE (load), NULL));
  g_autoptr (JsonNode) info = afp_source_get_info (AFP_SOURCE (load));
  g_autofree char *all = json_to_string (info, FALSE),
                  *number = g_strdup_printf ("%.17g", eval_number (0, "nll")),
                  *member = g_strconcat ("\"nll\":", number, NULL);
  ck_assert_ptr_nonnull (strstr (all, "\"metrics\":"));
  ck_assert_msg (strstr (all, member) != NULL, "no %s in %s", member, all);
}
END_TEST

/* --- what is required --------------------------------------------------------------------------------------------- */

START_TEST (met)
{
  eval_run (CODED ASK
            " require='nll_loss<1000%,tokens>=300,kl_mean>0,sqnr_db>1' ! write location=@/m.h5");
  ck_assert (eval_file_exists ("m.h5"));
}
END_TEST

static const struct {
  const char *require, *says;
} missed[] = {
  { "nll_loss<-99%", "eval0 requires nll_loss<-99%, but nll_loss is " },
  { "sqnr_db>1,kl_mean<=0", "eval0 requires kl_mean<=0, but kl_mean is " },
  { "top1>=1", "eval0 requires top1>=1, but top1 is 0" },
  { "tokens<10", "eval0 requires tokens<10, but tokens is 344: nothing was published" },
};

START_TEST (not_met)
{
  g_autofree char *text =
      g_strdup_printf (CODED ASK " require='%s' ! write location=@/m.h5", missed[_i].require);
  GError *error = NULL;

  ck_assert (!eval_try (text, &error));
  ck_assert_int_eq (afp_error_exit_code (error), 7);
  assert_error (error, AFP_ERROR_METRIC, missed[_i].says, "nothing was published");
  ck_assert_uint_eq (count_files (), 3); /* and no part */
}
END_TEST

/* Without an original there is no loss to be judged by. */
START_TEST (no_reference)
{
  eval_run (CODED "write location=@/m.h5");
  eval_refused ("load location=@/m.h5 ! " ASK " require='nll_loss<50%' ! null", AFP_ERROR_METRIC,
                "nll_loss has no value");
  eval_refused ("load location=@/m.h5 ! " ASK " require='kl_mean<50' ! null", AFP_ERROR_METRIC,
                "kl_mean was not measured");
}
END_TEST

static const struct {
  const char *options, *says;
} wrong[] = {
  { "text=@/text.txt require='nlll<3'", "no metric 'nlll'; did you mean 'nll'?" },
  { "text=@/text.txt require='tokens_loss<3'", "no metric 'tokens_loss'" },
  { "text=@/text.txt require='accuracy>0.5'", "no metric 'accuracy'" },
  { "require='nll<3'", "no metric 'nll'; there are nmse" },
};

START_TEST (no_such_metric)
{
  g_autofree char *text = g_strdup_printf (TINY_LOAD " ! eval %s ! null", wrong[_i].options);

  eval_refused (text, AFP_ERROR_PROPERTY, wrong[_i].says);
}
END_TEST

static TCase *
answers_case (void)
{
  TCase *tcase = tcase_create ("answers");

  tcase_add_checked_fixture (tcase, eval_setup, eval_teardown);
  tcase_add_test (tcase, untouched);
  tcase_add_test (tcase, numbers_go_together);
  tcase_add_test (tcase, reference_is_the_original);
  tcase_add_test (tcase, another_model_another_answer);
  tcase_add_loop_test (tcase, how_text_is_cut, 0, G_N_ELEMENTS (options));
  tcase_add_test (tcase, windows_predict_all);
  tcase_add_test (tcase, places_of_a_chain);
  tcase_add_test (tcase, branches);
  tcase_add_test (tcase, different_questions);
  tcase_add_test (tcase, same_for_any_threads);
  tcase_add_test (tcase, parts_of_the_text);
  tcase_add_test (tcase, written_file);
  tcase_add_test (tcase, metrics_are_in_the_file);
  tcase_add_test (tcase, met);
  return tcase;
}

static TCase *
refused_case (void)
{
  TCase *tcase = tcase_create ("refused");

  tcase_add_checked_fixture (tcase, eval_setup, eval_teardown);
  tcase_add_loop_test (tcase, not_met, 0, G_N_ELEMENTS (missed));
  tcase_add_test (tcase, no_reference);
  tcase_add_loop_test (tcase, no_such_metric, 0, G_N_ELEMENTS (wrong));
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { answers_case, refused_case };

  return run_suite ("eval-question", cases, G_N_ELEMENTS (cases));
}
