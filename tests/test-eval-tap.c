/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "eval-run-test.h"

#define ASK "eval " TEXT

static gboolean
is_joint (guint index)
{
  return json_object_get_boolean_member (eval_metrics (index), "joint");
}

/* --- what was coded for what comes behind ------------------------------------------------------------------------- */

static const struct {
  const char *chain;
  gboolean joint;
} chains[] = {
  { "seedlm seed-bits=6 ! " ASK " ! vptq k=16", TRUE },
  { "seedlm seed-bits=6 open-loop=true ! " ASK " ! vptq k=16", FALSE },
  { "seedlm seed-bits=6 ! vptq k=16 ! " ASK, FALSE },
  { "seedlm seed-bits=6 ! " ASK, FALSE },
  { ASK " ! seedlm seed-bits=6 ! vptq k=16", FALSE },
  { "seedlm seed-bits=6 ! " ASK " ! entropy", FALSE },
};

START_TEST (joint)
{
  g_autofree char *text = g_strdup_printf (TINY_LOAD " ! %s ! null", chains[_i].chain);

  eval_run (text);
  ck_assert_msg (is_joint (0) == chains[_i].joint, "%s", text);
}
END_TEST

/* It is said in the report, and to people. */
static GString *table;

static void
note_table (AfpMessage *message, gpointer user_data)
{
  if (afp_message_get_message_type (message) == AFP_MESSAGE_METRIC)
    g_string_append (table, afp_message_get_text (message));
}

START_TEST (told)
{
  table = g_string_new (NULL);
  eval_watch = note_table;
  eval_run (TINY_LOAD " ! seedlm seed-bits=6 ! " ASK " ! vptq k=16 ! null");
  ck_assert_ptr_nonnull (
      strstr (table->str, "  model                    here     original         loss\n"));
  ck_assert_ptr_nonnull (strstr (table->str, "\n  nll "));
  ck_assert_ptr_nonnull (strstr (table->str, "a joint chain: this is what would be written here"));
  g_string_truncate (table, 0);
  eval_run (TINY_LOAD " ! seedlm seed-bits=6 ! vptq k=16 ! " ASK " ! null");
  ck_assert_ptr_nonnull (strstr (table->str, "\n  nll "));
  ck_assert_ptr_null (strstr (table->str, "joint"));
  g_string_free (table, TRUE);
}
END_TEST

/* The stream is not touched: the same bytes with and without. */
START_TEST (stream_is_untouched)
{
  eval_run (TINY_LOAD " ! seedlm seed-bits=6 ! " ASK
                      " ! vptq k=16 ! decode ! write location=@/a.safetensors");
  eval_run (TINY_LOAD
            " ! seedlm seed-bits=6 ! vptq k=16 ! decode ! write location=@/b.safetensors");
  g_autoptr (GBytes) with = eval_read_file ("a.safetensors"),
                     without = eval_read_file ("b.safetensors");
  ck_assert (g_bytes_equal (with, without));
}
END_TEST

/* --- memory ------------------------------------------------------------------------------------------------------- */

/* Too little for a layer, though enough for each tensor: the long context takes it. */
START_TEST (too_little_memory)
{
  GError *error = NULL;
  const char *pipeline = TINY_LOAD " ! eval " TEXT " context=1000000 separator='#' ! null";

  eval_max_memory = 800000000;
  ck_assert (!eval_try (pipeline, &error));
  ck_assert_int_eq (afp_error_exit_code (error), 8);
  assert_error (error, AFP_ERROR_MEMORY, "eval0 needs ", "to run the model layer by layer",
                "raise --max-mem");
}
END_TEST

/* --- runs that go on ---------------------------------------------------------------------------------------------- */

static guint n_seen, interrupt_at;

static void
interrupt_run (AfpMessage *message, gpointer user_data)
{
  if (afp_message_get_message_type (message) == AFP_MESSAGE_PROGRESS && ++n_seen == interrupt_at)
    afp_pipeline_interrupt (user_data);
}

/* Begins the pipeline and interrupts it when it has done so many tensors. */
static void
begin (const char *text, guint after)
{
  GError *error = NULL;

  n_seen = 0;
  interrupt_at = after;
  eval_watch = interrupt_run;
  ck_assert (!eval_try (text, &error));
  assert_error (error, AFP_ERROR_CANCELLED, "to go on");
  eval_watch = NULL;
}

static const char *const resumed[] = {
  "seedlm seed-bits=6 ! " ASK,
  "seedlm seed-bits=6 ! vptq k=16 ! entropy ! " ASK " require='tokens>=1'",
  ASK, /* nothing is coded: the source has it */
  "seedlm seed-bits=6 ! eval " TEXT " command='@/judge.sh'",
  "seedlm seed-bits=6 ! " ASK " ! eval " TEXT " context=32",
};

/* A program that says the checksum of the file that it is given. */
static void
put_judge (void)
{
  static const char script[] =
      "#!/bin/sh\ncksum <\"$1\" | sed 's/\\([0-9]*\\).*/{\"sum\": \\1}/'\n";
  g_autofree char *path = put_file ("judge.sh", script, strlen (script));

  ck_assert_int_eq (g_chmod (path, 0755), 0);
}

/* The same file and the same numbers as in one go. */
START_TEST (interrupted)
{
  g_autofree char *whole =
                      g_strdup_printf (TINY_LOAD " ! %s ! write location=@/whole.h5", resumed[_i]),
                  *parts = g_strdup_printf (
                      TINY_LOAD " ! %s ! write location=@/parts.h5 resume=true", resumed[_i]);

  put_judge ();
  eval_run (whole);
  g_autofree char *metrics = eval_metrics_text (0);
  g_autoptr (GBytes) file = eval_read_file ("whole.h5");
  begin (parts, 9);
  ck_assert (!eval_file_exists ("parts.h5") && eval_file_exists ("parts.h5.part"));
  eval_run (parts);
  ck_assert_int_gt (
      json_object_get_int_member (json_node_get_object (eval_report), "tensors_resumed"), 4);
  g_autofree char *again = eval_metrics_text (0);
  ck_assert_str_eq (metrics, again);
  g_autoptr (GBytes) other = eval_read_file ("parts.h5");
  ck_assert (g_bytes_equal (file, other));
  ck_assert (!eval_file_exists ("parts.h5.part"));
}
END_TEST

/* What is stored is not what passed there: nobody knows it any more. */
static const char *const changed[] = { "seedlm seed-bits=6 ! " ASK " ! vptq k=16",
                                       "seedlm seed-bits=6 ! " ASK " ! entropy",
                                       ASK " ! seedlm seed-bits=6" };

START_TEST (stored_in_another_form)
{
  g_autofree char *text =
      g_strdup_printf (TINY_LOAD " ! %s ! write location=@/parts.h5 resume=true", changed[_i]);

  begin (text, 9);
  eval_refused (
      text, AFP_ERROR_PLAN,
      "eval0: 'eval' needs the tensors that an earlier run has done, but they are stored in "
      "another form than they had there",
      "begin anew without resume=true, or let it stand last");
}
END_TEST

/* Without a question nobody needs them. */
START_TEST (weights_only)
{
  const char *text =
      TINY_LOAD " ! seedlm seed-bits=6 ! eval ! vptq k=16 ! write location=@/parts.h5 resume=true";

  begin (text, 9);
  eval_run (text);
  ck_assert (eval_file_exists ("parts.h5"));
}
END_TEST

/* The numbers are still required of the run that goes on. */
START_TEST (not_met_after_all)
{
  const char *text = TINY_LOAD " ! seedlm seed-bits=6 ! " ASK
                               " require='top1>2' ! write location=@/parts.h5 resume=true";

  begin (text, 9);
  eval_refused (text, AFP_ERROR_METRIC, "eval0 requires top1>2, but top1 is ");
  ck_assert (!eval_file_exists ("parts.h5"));
}
END_TEST

/* Interrupted while the model runs. */
static void
cancel_in_judge (AfpMessage *message, gpointer user_data)
{
  JsonNode *node = afp_message_get_json (message);

  if (afp_message_get_message_type (message) == AFP_MESSAGE_PROGRESS &&
      json_object_has_member (json_node_get_object (node), "steps"))
    afp_pipeline_cancel (user_data);
}

START_TEST (cancelled_while_it_runs)
{
  eval_watch = cancel_in_judge;
  eval_refused (TINY_LOAD " ! seedlm seed-bits=6 ! " ASK " ! " ASK
                          " context=32 ! write location=@/x.h5",
                AFP_ERROR_CANCELLED, "cancelled");
  ck_assert_uint_eq (count_files (), 3);
}
END_TEST

static TCase *
joint_case (void)
{
  TCase *tcase = tcase_create ("joint");

  tcase_add_checked_fixture (tcase, eval_setup, eval_teardown);
  tcase_add_loop_test (tcase, joint, 0, G_N_ELEMENTS (chains));
  tcase_add_test (tcase, told);
  tcase_add_test (tcase, stream_is_untouched);
  return tcase;
}

static TCase *
resume_case (void)
{
  TCase *tcase = tcase_create ("resume");

  tcase_add_checked_fixture (tcase, eval_setup, eval_teardown);
  tcase_add_loop_test (tcase, interrupted, 0, G_N_ELEMENTS (resumed));
  tcase_add_test (tcase, weights_only);
  return tcase;
}

static TCase *
refused_case (void)
{
  TCase *tcase = tcase_create ("refused");

  tcase_add_checked_fixture (tcase, eval_setup, eval_teardown);
  tcase_add_test (tcase, too_little_memory);
  tcase_add_loop_test (tcase, stored_in_another_form, 0, G_N_ELEMENTS (changed));
  tcase_add_test (tcase, not_met_after_all);
  tcase_add_test (tcase, cancelled_while_it_runs);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { joint_case, resume_case, refused_case };

  return run_suite ("eval-tap", cases, G_N_ELEMENTS (cases));
}
