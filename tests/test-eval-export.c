/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "eval-run-test.h"

#define CODED TINY_LOAD " ! seedlm seed-bits=6 ! "

/* A shell script @/judge.sh, which gets the path of the model as its first word. */
static void
put_judge (const char *script)
{
  g_autofree char *whole = g_strconcat ("#!/bin/sh\n", script, "\n", NULL),
                  *path = put_file ("judge.sh", whole, strlen (whole));

  ck_assert_int_eq (g_chmod (path, 0755), 0);
}

/* Temporary folders are made in @/tmp. */
static void
setup (void)
{
  eval_setup ();
  g_autofree char *folder = in_folder ("tmp");
  ck_assert_int_eq (g_mkdir (folder, 0700), 0);
  g_setenv ("TMPDIR", folder, TRUE);
}

/* Nothing is left in it, however the run has ended. */
static void
teardown (void)
{
  g_autoptr (GDir) dir = g_dir_open (g_getenv ("TMPDIR"), 0, NULL);

  if (dir)
    ck_assert_ptr_null (g_dir_read_name (dir));
  g_unsetenv ("TMPDIR");
  eval_teardown ();
}

START_TEST (what_it_says_is_measured)
{
  put_judge ("echo '{\"bleu\": 31.5, \"words\": 12, \"who\": \"me\"}'");
  eval_run (CODED "eval command='@/judge.sh' ! null");
  ck_assert (eval_number (0, "bleu") == 31.5 && eval_number (0, "words") == 12);
  ck_assert (eval_is_null (0, "bleu_ref") && eval_is_null (0, "bleu_loss"));
  ck_assert (!json_object_has_member (eval_metrics (0), "who"));
  ck_assert (eval_number (0, "sqnr_db") > 1); /* and the weights, as ever */
}
END_TEST

START_TEST (beside_a_question)
{
  put_judge ("echo '{\"bleu\": 31.5}'");
  eval_run (CODED "eval " TEXT " command='@/judge.sh' require='bleu>=31.5,nll_loss<1000%' ! null");
  ck_assert (eval_number (0, "bleu") == 31.5 && eval_number (0, "tokens") > 300);
}
END_TEST

/* The model itself, decoded, as any other program reads it; each place has its own. */
START_TEST (the_model_is_there)
{
  put_judge ("cp \"$1\" \"$2\"; echo '{\"x\": 1}'");
  eval_run (
      CODED
      "eval command='@/judge.sh {} @/got.safetensors' ! vptq k=16 ! eval "
      "command='@/judge.sh {} @/late.safetensors' ! decode ! write location=@/all.safetensors");
  g_autoptr (GBytes) got = eval_read_file ("got.safetensors"),
                     late = eval_read_file ("late.safetensors"),
                     all = eval_read_file ("all.safetensors");
  ck_assert (g_bytes_equal (late, all));
  ck_assert (!g_bytes_equal (got, late));
  eval_run ("load location=@/got.safetensors ! eval original=@/m.bin ! null");
  ck_assert (eval_number (0, "nmse") > 0 && eval_number (0, "nmse") < 0.5);
}
END_TEST

/* A raw model, tied weights among them. */
START_TEST (an_untouched_model)
{
  put_judge ("cp \"$1\" \"$2\"; echo '{\"x\": 1}'");
  eval_run (TINY_LOAD
            " ! eval command='@/judge.sh {} @/got.safetensors' ! write location=@/all.safetensors");
  g_autoptr (GBytes) got = eval_read_file ("got.safetensors"),
                     all = eval_read_file ("all.safetensors");
  ck_assert (g_bytes_equal (got, all));
}
END_TEST

/* What goes with the model lies beside it: a program finds the configuration. */
START_TEST (what_goes_with_it_is_beside)
{
  tiny_put_text ("config.json", "{\"a\": 1}");
  put_judge (
      "[ \"$(cat \"$(dirname \"$1\")/config.json\")\" = '{\"a\": 1}' ] && echo '{\"right\": 1}'");
  eval_run (TINY_LOAD " ! decode ! write location=@/m.safetensors");
  eval_run (
      "load location=@/m.safetensors ! seedlm seed-bits=6 ! eval command='@/judge.sh' ! null");
  ck_assert (eval_number (0, "right") == 1);
}
END_TEST

START_TEST (braces)
{
  put_judge ("[ \"$1\" = \"--model=${1#--model=}\" ] && [ -s \"${1#--model=}\" ] && [ $# = 2 ] && "
             "[ \"$2\" = 'two words' ] && echo '{\"right\": 1}'");
  eval_run (CODED "eval command='@/judge.sh --model={} \"two words\"' ! null");
  ck_assert (eval_number (0, "right") == 1);
}
END_TEST

/* A loss is asked for: the program judges the original, too. */
START_TEST (loss)
{
  put_judge ("cksum <\"$1\" | sed 's/\\([0-9]*\\).*/{\"sum\": \\1}/'; echo run >>\"$2\"");
  eval_run (CODED "eval command='@/judge.sh {} @/log' ! null");
  const double sum = eval_number (0, "sum");
  ck_assert (eval_is_null (0, "sum_ref"));
  eval_run (CODED "eval command='@/judge.sh {} @/log' require='sum_loss<10000000%' ! null");
  const double ref = eval_number (0, "sum_ref");
  ck_assert (eval_number (0, "sum") == sum && ref != sum);
  ck_assert (fabs (eval_number (0, "sum_loss") - (ref - sum) / ref) < 1e-12);
  eval_run (TINY_LOAD " ! eval command='@/judge.sh {} @/log' ! null");
  ck_assert (eval_number (0, "sum") == ref);
  g_autoptr (GBytes) log = eval_read_file ("log");
  ck_assert_uint_eq (g_bytes_get_size (log), 4 * strlen ("run\n"));
}
END_TEST

/* --- what goes wrong: nothing is published ------------------------------------------------------------------------ */

static const struct {
  const char *script, *options;
  int code;
  const char *words[3];
} bad[] = {
  { "echo no good >&2; exit 3",
    "",
    AFP_ERROR_IO,
    { "eval0: command: '", "judge.sh' failed with exit status 3", "no good" } },
  { "kill -9 $$", "", AFP_ERROR_IO, { "eval0: command: '", "judge.sh'" } },
  { "exec sleep 100", "command-time=1", AFP_ERROR_IO, { "eval0: command: '", "judge.sh'", "1 s" } },
  { "true", "", AFP_ERROR_FORMAT, { "eval0: command: " } },
  { "echo 7", "", AFP_ERROR_FORMAT, { "eval0: command: " } },
  { "echo '{\"a\": \"b\"}'", "", AFP_ERROR_FORMAT, { "eval0: command: " } },
  { "echo '{\"nll\": 2}'",
    TEXT,
    AFP_ERROR_FORMAT,
    { "eval0: command '", "judge.sh' says 'nll', which is measured here, too", "another name" } },
  { "echo '{\"nll_loss\": 2}'",
    TEXT,
    AFP_ERROR_FORMAT,
    { "says 'nll_loss', which is measured here" } },
  { "echo '{\"x\": 2}'", "require='x>3'", AFP_ERROR_METRIC, { "eval0 requires x>3, but x is 2" } },
  { "echo '{\"x\": 2}'",
    "require='y>3'",
    AFP_ERROR_METRIC,
    { "eval0 requires y>3, but y was not measured" } },
  { "echo '{\"x\": 2}'",
    "require='x_loss>1%'",
    AFP_ERROR_METRIC,
    { "eval0 requires x_loss>1%, but x_loss is 0%" } },
};

START_TEST (failing)
{
  g_autofree char *text = g_strdup_printf (
      CODED "eval command='@/judge.sh' %s ! write location=@/x.h5", bad[_i].options);
  GError *error = NULL;

  put_judge (bad[_i].script);
  ck_assert (!eval_try (text, &error));
  ck_assert_msg (g_error_matches (error, AFP_ERROR, bad[_i].code), "%s", error->message);
  for (guint i = 0; i < 3 && bad[_i].words[i]; i++)
    ck_assert_msg (strstr (error->message, bad[_i].words[i]) != NULL, "no '%s' in: %s",
                   bad[_i].words[i], error->message);
  g_clear_error (&error);
  ck_assert_uint_eq (count_files (),
                     5); /* model, tokenizer, text, judge.sh, tmp: no x.h5, no part */
}
END_TEST

/* The same for the one that judges the original. */
START_TEST (failing_with_the_original)
{
  put_judge ("[ -e \"$2\" ] && exit 4; : >\"$2\"; echo '{\"x\": 1}'");
  eval_refused (CODED "eval command='@/judge.sh {} @/mark' require='x_loss<5%' ! null",
                AFP_ERROR_IO, "with the original: command: '", "failed with exit status 4");
}
END_TEST

START_TEST (unknown_program)
{
  eval_refused (CODED "eval command='/no/such/program {}' ! null", AFP_ERROR_IO,
                "eval0: command: cannot start '/no/such/program': No such file or directory");
}
END_TEST

START_TEST (no_words)
{
  eval_refused (CODED "eval command='\"a' ! null", AFP_ERROR_PROPERTY,
                "cannot be split into words");
}
END_TEST

START_TEST (no_temporary_folder)
{
  g_autofree char *before = g_strdup (g_getenv ("TMPDIR"));

  put_judge ("echo '{\"x\": 1}'");
  g_setenv ("TMPDIR", "/no/such/folder", TRUE);
  eval_refused (CODED "eval command='@/judge.sh' ! null", AFP_ERROR_IO,
                "cannot make a temporary folder in '/no/such/folder'", "No such file",
                "TMPDIR says where");
  g_setenv ("TMPDIR", before, TRUE);
}
END_TEST

/* Cancelled while it waits for the program. */
static gpointer
cancel_later (gpointer pipeline)
{
  g_autofree char *mark = in_folder ("mark");

  for (guint i = 0; i < 10000 && !g_file_test (mark, G_FILE_TEST_EXISTS); i++)
    g_usleep (1000);
  afp_pipeline_cancel (pipeline);
  return NULL;
}

static GThread *canceller;

static void
start_canceller (AfpMessage *message, gpointer pipeline)
{
  if (!canceller)
    canceller = g_thread_new ("cancel", cancel_later, pipeline);
}

START_TEST (cancelled)
{
  put_judge (": >\"$2\"; exec sleep 100");
  eval_watch = start_canceller;
  eval_refused (CODED "eval command='@/judge.sh {} @/mark' ! null", AFP_ERROR_CANCELLED,
                "cancelled");
  g_thread_join (g_steal_pointer (&canceller));
}
END_TEST

static TCase *
good_case (void)
{
  TCase *tcase = tcase_create ("good");

  tcase_add_checked_fixture (tcase, setup, teardown);
  tcase_add_test (tcase, what_it_says_is_measured);
  tcase_add_test (tcase, beside_a_question);
  tcase_add_test (tcase, the_model_is_there);
  tcase_add_test (tcase, an_untouched_model);
  tcase_add_test (tcase, what_goes_with_it_is_beside);
  tcase_add_test (tcase, braces);
  tcase_add_test (tcase, loss);
  return tcase;
}

static TCase *
bad_case (void)
{
  TCase *tcase = tcase_create ("bad");

  tcase_add_checked_fixture (tcase, setup, teardown);
  tcase_add_loop_test (tcase, failing, 0, G_N_ELEMENTS (bad));
  tcase_add_test (tcase, failing_with_the_original);
  tcase_add_test (tcase, unknown_program);
  tcase_add_test (tcase, no_words);
  tcase_add_test (tcase, no_temporary_folder);
  tcase_add_test (tcase, cancelled);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { good_case, bad_case };

  return run_suite ("eval-export", cases, G_N_ELEMENTS (cases));
}
