/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "eval/eval-progress.h"

#include "eval-run-test.h"

/* An element that tells of progress when all tensors have passed. */
typedef AfpTransform TestTell;
typedef AfpTransformClass TestTellClass;
GType test_tell_get_type (void);
G_DEFINE_TYPE (TestTell, test_tell, AFP_TYPE_TRANSFORM)

static void (*tell) (EvalProgress *progress);

static gboolean
tell_judge (AfpElement *element, AfpRun *run, GError **error)
{
  EvalProgress progress;

  eval_progress_init (&progress, run, element);
  tell (&progress);
  return TRUE;
}

static void
test_tell_class_init (TestTellClass *klass)
{
  AFP_ELEMENT_CLASS (klass)->judge = tell_judge;
}

static void
test_tell_init (TestTell *self)
{
}

/* "SOURCE done/all: text", a line each, of those with steps */
static GString *told;

static void
note_progress (AfpMessage *message, gpointer user_data)
{
  if (afp_message_get_message_type (message) != AFP_MESSAGE_PROGRESS)
    return;
  JsonObject *object = json_node_get_object (afp_message_get_json (message));
  if (json_object_has_member (object, "steps"))
    g_string_append_printf (told, "%s %d/%d: %s\n", afp_message_get_source (message),
                            (int) json_object_get_int_member (object, "steps_done"),
                            (int) json_object_get_int_member (object, "steps"),
                            afp_message_get_text (message));
}

static void
run (const char *text)
{
  told = g_string_new (NULL);
  eval_watch = note_progress;
  eval_run (text);
}

/* So many lines, each as expected up to the time that is left. */
static void
check_lines (const char *const *expected, guint n)
{
  g_auto (GStrv) lines = g_strsplit (told->str, "\n", -1);

  ck_assert_msg (g_strv_length (lines) == n + 1, "%s", told->str);
  for (guint i = 0; i < n; i++)
    ck_assert_msg (g_str_has_prefix (lines[i], expected[i]) && g_str_has_suffix (lines[i], " left"),
                   "%s", lines[i]);
  g_string_free (told, TRUE);
}

static void
run_telling (void (*what) (EvalProgress *progress))
{
  tell = what;
  run ("synth shapes=4x4 ! test-tell ! null");
}

/* The first at once; then it is too soon, until the last. */
static void
tell_many (EvalProgress *progress)
{
  for (guint i = 1; i <= 1000; i++) {
    eval_progress_tell (progress, i, 1000);
    progress->told = g_get_monotonic_time () + G_TIME_SPAN_DAY;
  }
}

START_TEST (not_each_step)
{
  static const char *const lines[] = { "test-tell0 1/1000: runs the model, 0 %, ",
                                       "test-tell0 1000/1000: runs the model, 100 %, 0.00 s left" };

  run_telling (tell_many);
  check_lines (lines, 2);
}
END_TEST

/* As if it had begun a day ago, and told of nothing since. */
static void
tell_later (EvalProgress *progress)
{
  progress->begin -= G_TIME_SPAN_DAY;
  eval_progress_tell (progress, 1, 4);
  progress->told -= G_USEC_PER_SEC;
  eval_progress_tell (progress, 2, 4);
}

START_TEST (now_and_then)
{
  static const char *const lines[] = { "test-tell0 1/4: runs the model, 25 %, 72:00:00 left",
                                       "test-tell0 2/4: runs the model, 50 %, 24:00:00 left" };

  run_telling (tell_later);
  check_lines (lines, 2);
}
END_TEST

/* --- of the elements that run models --- */

START_TEST (of_eval)
{
  static const char *const lines[] = { "here 1/5: runs the model, 20 %, ",
                                       "here 5/5: runs the model, 100 %, 0.00 s" };

  run (TINY_LOAD " ! seedlm seed-bits=6 ! eval name=here " TEXT " ! null");
  check_lines (lines, 2);
}
END_TEST

START_TEST (of_calibrate)
{
  static const char *const lines[] = { "calibrate0 1/2: runs the model, 50 %, ",
                                       "calibrate0 2/2: runs the model, 100 %, 0.00 s" };

  run (TINY_LOAD " ! calibrate " TEXT " cache=@/cache ! null");
  check_lines (lines, 2);
}
END_TEST

/* No model runs: nothing is told. */
START_TEST (of_weights_only)
{
  run (TINY_LOAD " ! seedlm seed-bits=6 ! eval ! null");
  ck_assert_str_eq (told->str, "");
  g_string_free (told, TRUE);
}
END_TEST

static TCase *
progress_case (void)
{
  TCase *tcase = tcase_create ("progress");

  tcase_add_checked_fixture (tcase, eval_setup, eval_teardown);
  tcase_add_test (tcase, not_each_step);
  tcase_add_test (tcase, now_and_then);
  tcase_add_test (tcase, of_eval);
  tcase_add_test (tcase, of_calibrate);
  tcase_add_test (tcase, of_weights_only);
  return tcase;
}

int
main (void)
{
  static TCase *(*const cases[]) (void) = { progress_case };

  afp_registry_add_builtin ("test-tell", test_tell_get_type ());
  return run_suite ("eval-progress", cases, G_N_ELEMENTS (cases));
}
