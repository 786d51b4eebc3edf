/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "eval/eval-command.h"

#include "io-test.h"

#include <sys/stat.h>

/* A shell script in the test's folder, as a word of a command. */
static char *
put_script (const char *text)
{
  g_autofree char *whole = g_strconcat ("#!/bin/sh\n", text, "\n", NULL),
                  *path = put_file ("judge it.sh", whole, strlen (whole));

  ck_assert_int_eq (chmod (path, 0755), 0);
  return g_shell_quote (path);
}

/* The metrics as JSON; NULL on failure. */
static char *
run (const char *script, const char *arguments, guint seconds, GError **error)
{
  g_autofree char *program = put_script (script),
                  *command = g_strconcat (program, " ", arguments, NULL);
  JsonObject *metrics = NULL;

  ck_assert (eval_command_check (command, NULL));
  if (!eval_command_run (command, "/a model.h5", seconds, NULL, &metrics, error))
    return NULL;
  g_autoptr (JsonNode) node = json_node_new (JSON_NODE_OBJECT);
  json_node_take_object (node, metrics);
  return json_to_string (node, FALSE);
}

static const struct {
  const char *script, *arguments, *metrics;
} good[] = {
  { "echo '{\"accuracy\": 0.75, \"n\": 4}'", "", "{\"accuracy\":0.75,\"n\":4}" },
  /* what is no number is left out */
  { "echo '{\"a\": {\"x\": 1}, \"b\": \"2\", \"c\": [3], \"d\": true, \"e\": null, \"f\": -5}'", "",
    "{\"f\":-5}" },
  /* the path is one word, at the end or where it is asked for */
  { "[ $# = 2 ] && [ \"$2\" = '/a model.h5' ] && echo '{\"right\": 1}'", "'one word'",
    "{\"right\":1}" },
  { "[ $# = 2 ] && [ \"$1\" = '--model=/a model.h5' ] && echo '{\"right\": 1}'", "--model={} x",
    "{\"right\":1}" },
  { "[ \"$1$2\" = '/a model.h5/a model.h5' ] && echo '{\"right\": 1}'", "{} {}", "{\"right\":1}" },
  /* no shell reads the words */
  { "[ \"$1\" = '$HOME' ] && [ \"$2\" = '*' ] && echo '{\"right\": 1}'", "$HOME '*'",
    "{\"right\":1}" },
  /* nothing to read, and complaints are no matter while it succeeds */
  { "cat; yes complaint | head -20000 >&2; echo '{\"right\": 1}'", "", "{\"right\":1}" },
  /* what it leaves behind does not hold us up */
  { "sleep 1000 & echo '{\"right\": 1}'", "", "{\"right\":1}" },
  { "echo '{\"right\": 1}'; exec >&- 2>&-; sleep 0.1", "", "{\"right\":1}" },
};

START_TEST (numbers_are_metrics)
{
  GError *error = NULL;
  g_autofree char *metrics = run (good[_i].script, good[_i].arguments, 60, &error);

  ck_assert_msg (metrics != NULL, "%s", error ? error->message : "");
  ck_assert_str_eq (metrics, good[_i].metrics);
}
END_TEST

START_TEST (no_limit_is_none)
{
  GError *error = NULL;
  g_autofree char *metrics = run ("sleep 0.1; echo '{\"right\": 1}'", "", 0, &error);

  ck_assert_ptr_nonnull (metrics);
}
END_TEST

static const struct {
  const char *script;
  int code;
  const char *words[4];
} bad[] = {
  { "echo one >&2; echo two >&2; exit 3",
    AFP_ERROR_IO,
    { "judge it.sh' failed with exit status 3\n  | one\n  | two" } },
  { "kill -SEGV $$", AFP_ERROR_IO, { "was ended by signal 11 (Segmentation fault)" } },
  { "printf '\\033[1mbad\\377' >&2; exit 1",
    AFP_ERROR_IO,
    { "status 1\n  |  [1mbad\xef\xbf\xbd" } },
  { "seq 1000 >&2; exit 1",
    AFP_ERROR_IO,
    { "status 1\n  | 996\n  | 997\n  | 998\n  | 999\n  | 1000" } },
  { "echo waiting >&2; sleep 1000",
    AFP_ERROR_IO,
    { "took longer than its time limit of 1 s", "\n  | waiting" } },
  { "yes", AFP_ERROR_FORMAT, { "wrote more than 1048576 bytes to its standard output" } },
  { "", AFP_ERROR_FORMAT, { "standard output of '", "is damaged: it is empty" } },
  { "echo '{\"accuracy\": 0.'", AFP_ERROR_FORMAT, { "is damaged" } },
  { "echo 'accuracy 0.75'", AFP_ERROR_FORMAT, { "is damaged" } },
  { "echo '{\"a\": 1} {\"a\": 2}'", AFP_ERROR_FORMAT, { "something behind the value" } },
  { "echo '{\"a\": 1, \"a\": 2}'", AFP_ERROR_FORMAT, { "'a' occurs twice" } },
  { "echo 0.75", AFP_ERROR_FORMAT, { "is not a JSON object", "{\"accuracy\": 0.75}" } },
  { "echo '{\"a\": \"0.75\"}'", AFP_ERROR_FORMAT, { "is a JSON object without numbers" } },
  { "echo oops >&2; echo '{}'", AFP_ERROR_FORMAT, { "without numbers", "\n  | oops" } },
};

START_TEST (failures_are_told)
{
  GError *error = NULL;
  const char *const *words = bad[_i].words;

  ck_assert_ptr_null (run (bad[_i].script, "", strstr (bad[_i].script, "1000") ? 1 : 60, &error));
  assert_error (error, bad[_i].code, words[0], words[1] ? words[1] : "");
}
END_TEST

static const struct {
  const char *command, *words;
} unsplit[] = {
  { "", "command: it is empty" },
  { "   ", "command: it is empty" },
  { "python3 'judge.py", "command: 'python3 'judge.py' cannot be split into words" },
};

START_TEST (words_must_be_closed)
{
  GError *error = NULL;
  JsonObject *metrics;

  ck_assert (!eval_command_check (unsplit[_i].command, &error));
  assert_error (error, AFP_ERROR_PROPERTY, unsplit[_i].words);
  ck_assert (!eval_command_run (unsplit[_i].command, "x", 1, NULL, &metrics, &error));
  assert_error (error, AFP_ERROR_PROPERTY, unsplit[_i].words);
}
END_TEST

START_TEST (a_program_that_is_not_there_is_named)
{
  GError *error = NULL;
  JsonObject *metrics;

  ck_assert (!eval_command_run ("afpipe-no-such-program x", "x", 1, NULL, &metrics, &error));
  assert_error (error, AFP_ERROR_IO,
                "command: cannot start 'afpipe-no-such-program': No such file");
}
END_TEST

static gpointer
cancel_soon (gpointer cancellable)
{
  g_usleep (100000);
  g_cancellable_cancel (cancellable);
  return NULL;
}

/* Before it begins or while it runs. */
START_TEST (cancelling_ends_it)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autofree char *command = put_script ("sleep 1000");
  GThread *thread = NULL;
  JsonObject *metrics;
  GError *error = NULL;

  if (_i == 0)
    g_cancellable_cancel (cancellable);
  else
    thread = g_thread_new ("cancel", cancel_soon, cancellable);
  ck_assert (!eval_command_run (command, "x", 600, cancellable, &metrics, &error));
  assert_error (error, AFP_ERROR_CANCELLED, "cancelled");
  if (thread)
    g_thread_join (thread);
}
END_TEST

/* A grandchild that would make a file later is ended with the group. */
START_TEST (all_of_its_processes_end)
{
  g_autofree char *mark = in_folder ("mark"), *quoted = g_shell_quote (mark),
                  *script = g_strdup_printf ("(sleep 1.5; touch %s) & sleep 1000", quoted);
  GError *error = NULL;

  ck_assert_ptr_null (run (script, "", 1, &error));
  assert_error (error, AFP_ERROR_IO, "time limit of 1 s");
  g_usleep (G_USEC_PER_SEC);
  ck_assert (!g_file_test (mark, G_FILE_TEST_EXISTS));
}
END_TEST

static TCase *
good_case (void)
{
  TCase *tcase = tcase_create ("good");
  tcase_set_timeout (tcase, 60);
  tcase_add_checked_fixture (tcase, folder_setup, folder_teardown);
  tcase_add_loop_test (tcase, numbers_are_metrics, 0, G_N_ELEMENTS (good));
  tcase_add_test (tcase, no_limit_is_none);
  return tcase;
}

static TCase *
bad_case (void)
{
  TCase *tcase = tcase_create ("bad");
  tcase_set_timeout (tcase, 60);
  tcase_add_checked_fixture (tcase, folder_setup, folder_teardown);
  tcase_add_loop_test (tcase, failures_are_told, 0, G_N_ELEMENTS (bad));
  tcase_add_loop_test (tcase, words_must_be_closed, 0, G_N_ELEMENTS (unsplit));
  tcase_add_test (tcase, a_program_that_is_not_there_is_named);
  tcase_add_loop_test (tcase, cancelling_ends_it, 0, 2);
  tcase_add_test (tcase, all_of_its_processes_end);
  return tcase;
}

int
main (void)
{
  TCase *(*const cases[]) (void) = { good_case, bad_case };

  return run_suite ("eval-command", cases, G_N_ELEMENTS (cases));
}
