/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pipe-test.h"

#include "afp-memory.h"
#include "afp-pipeline-private.h"

typedef struct {
  AfpPipeline *pipeline;
  GString *log; /* one letter for each message */
  guint n_progress;
  gint64 bytes, total, weights, all_weights; /* of the last progress */
  double seconds_left;
  _Atomic int inside;
  gboolean overlap;
  gboolean cancel; /* at the first progress */
} Messages;

static void
take (AfpMessage *message, gpointer user_data)
{
  Messages *self = user_data;
  AfpMessageType type = afp_message_get_message_type (message);

  self->overlap = self->overlap || self->inside++ > 0;
  g_string_append_c (self->log, "EWIPpMe"[type]);
  if (type == AFP_MESSAGE_PROGRESS) {
    JsonObject *json = json_node_get_object (afp_message_get_json (message));

    ck_assert_int_eq (json_object_get_int_member (json, "done"), ++self->n_progress);
    self->bytes = json_object_get_int_member (json, "bytes_done");
    self->total = json_object_get_int_member (json, "bytes_total");
    self->weights = json_object_get_int_member (json, "weights_done");
    self->all_weights = json_object_get_int_member (json, "weights_total");
    self->seconds_left = json_object_get_double_member (json, "seconds_left");
    ck_assert_ptr_nonnull (
        strstr (afp_message_get_text (message), json_object_get_string_member (json, "tensor")));
    if (self->cancel)
      afp_pipeline_cancel (self->pipeline);
  }
  self->inside--;
}

static GError *
run_fails (AfpPipeline *pipeline)
{
  GError *error = NULL;

  ck_assert (!afp_pipeline_run (pipeline, &error));
  ck_assert_ptr_nonnull (error);
  return error;
}

/* What is to be after every run, however it ended: who was started is stopped, once. */
static void
check_stopped (AfpPipeline *pipeline, gboolean ok)
{
  GPtrArray *elements = afp_pipeline_get_elements (pipeline);

  for (guint i = 0; i < elements->len; i++) {
    ck_assert_ptr_null (afp_element_get_run (elements->pdata[i]));
    if (G_OBJECT_TYPE (elements->pdata[i]) == pipe_pass_get_type ()) {
      PipePass *pass = elements->pdata[i];
      ck_assert_uint_eq (pass->n_stopped, pass->fail_start ? 0 : pass->n_started);
      ck_assert_int_eq (pass->stopped_ok, ok && pass->n_started);
    }
    if (G_OBJECT_TYPE (elements->pdata[i]) == pipe_sink_get_type ()) {
      PipeSink *sink = elements->pdata[i];
      ck_assert_int_eq (sink->stopped_ok, sink->published);
    }
  }
}

/* --- runs that end well --- */

START_TEST (test_run)
{
  g_autoptr (AfpPipeline) pipeline = pipe_new ("tsource n=5 ! tpass drop=3 ! tsink");
  PipeSink *sink = pipe_find (pipeline, "tsink0");

  afp_pipeline_set_threads (pipeline, (guint) _i);
  pipe_run_ok (pipeline);
  ck_assert_str_eq (sink->names->str, "t0 t1 t3 t4 ");
  ck_assert (sink->finished && sink->published && sink->n_stopped == 1);
  ck_assert_uint_eq (((PipePass *) pipe_find (pipeline, "tpass0"))->n_process, 5);
  check_stopped (pipeline, TRUE);
}
END_TEST

START_TEST (test_branches)
{
  g_autoptr (AfpPipeline) pipeline = pipe_new (
      "tsource n=50 ! ttee name=t ! tsink slow=true t. ! tpass drop=1 ! tsink t. ! tsink");
  PipeSink *slow = pipe_find (pipeline, "tsink0"), *other = pipe_find (pipeline, "tsink1");

  pipe_run_ok (pipeline);
  ck_assert_uint_eq (afp_sink_get_n_records (AFP_SINK (slow)), 50);
  ck_assert_uint_eq (afp_sink_get_n_records (AFP_SINK (other)), 49);
  ck_assert (g_str_has_prefix (slow->names->str, "t0 t1 t2 t3 ") &&
             g_str_has_prefix (other->names->str, "t1 t2 t3 "));
}
END_TEST

START_TEST (test_sources_one_after_another)
{
  g_autoptr (AfpPipeline) pipeline = pipe_new ("tsource n=3 ! tsink tsource n=2 ! tpass ! tsink");

  pipe_run_ok (pipeline);
  ck_assert_str_eq (((PipeSink *) pipe_find (pipeline, "tsink0"))->names->str, "t0 t1 t2 ");
  ck_assert_str_eq (((PipeSink *) pipe_find (pipeline, "tsink1"))->names->str, "t0 t1 ");
}
END_TEST

/* Sinks write what other stages found out: also those of other branches. */
START_TEST (test_sinks_finish_last)
{
  g_autoptr (AfpPipeline) pipeline =
      pipe_new ("tsource n=3 ! ttee name=t ! tsink t. ! tpass ! tsink");

  ((PipeSink *) pipe_find (pipeline, "tsink0"))->before = pipe_find (pipeline, "tpass0");
  pipe_run_ok (pipeline);
}
END_TEST

/* One tensor after the other; each takes 1.6 MB and its copy as much. */
START_TEST (test_tiny_budget)
{
  g_autoptr (AfpPipeline) pipeline =
      pipe_new ("tsource n=20 rows=100000 ! tpass copy=true ! tsink");

  afp_pipeline_set_max_memory (pipeline, afp_memory_get_base (64, 100) + 8000000);
  pipe_run_ok (pipeline);
  ck_assert_uint_eq (afp_sink_get_n_records (pipe_find (pipeline, "tsink0")), 20);
  ck_assert_uint_le (pipeline->charged_peak, pipeline->max_memory);
}
END_TEST

START_TEST (test_messages)
{
  g_autoptr (AfpPipeline) pipeline =
      pipe_new ("tsource n=3 notes=true ! ttee name=t ! tsink t. ! tsink");
  g_autoptr (GString) log = g_string_new (NULL);
  Messages messages = { .pipeline = pipeline, .log = log };

  afp_pipeline_set_handler (pipeline, take, &messages);
  pipe_run_ok (pipeline);
  ck_assert_str_eq (log->str, "IPpppe");
  ck_assert_int_eq (messages.weights, 3 * 16);
  ck_assert_int_eq (messages.all_weights, 3 * 16);
  ck_assert_double_eq (messages.seconds_left, 0);
  ck_assert_int_eq (messages.bytes, 3 * 64);
  ck_assert_int_eq (messages.total, 3 * 64);
  ck_assert (!messages.overlap);
}
END_TEST

START_TEST (test_progress_of_all_sources)
{
  g_autoptr (AfpPipeline) pipeline = pipe_new ("tsource n=3 ! tsink tsource n=20 ! tsink");
  g_autoptr (GString) log = g_string_new (NULL);
  Messages messages = { .pipeline = pipeline, .log = log };

  afp_pipeline_set_handler (pipeline, take, &messages);
  pipe_run_ok (pipeline);
  ck_assert_uint_eq (messages.n_progress, 23);
  ck_assert_int_eq (messages.bytes, messages.total);
}
END_TEST

/* --- runs that fail --- */

static void
refuse (const char *text, int code, const char *word)
{
  g_autoptr (AfpPipeline) pipeline = pipe_new (text);
  g_autoptr (GString) log = g_string_new (NULL);
  Messages messages = { .pipeline = pipeline, .log = log };
  GError *error;

  afp_pipeline_set_handler (pipeline, take, &messages);
  error = run_fails (pipeline);
  ck_assert_ptr_null (strstr (error->message, "stopped"));
  assert_error (error, code, word);
  ck_assert (g_str_has_suffix (log->str, "E"));
  check_stopped (pipeline, FALSE);
}

START_TEST (test_plan_fails)
{
  refuse ("tsource n=3 ! tpass fail-plan=1 ! tsink", AFP_ERROR_PLAN,
          "tpass0: tensor 't0': its rows");
}
END_TEST

START_TEST (test_start_fails)
{
  refuse ("tsource n=3 ! tpass ! tpass fail-start=true ! tpass ! tsink", AFP_ERROR_CODEC,
          "tpass1: the machine is on fire");
}
END_TEST

START_TEST (test_read_fails)
{
  refuse ("tsource n=9 fail-read=5 ! tpass ! tsink", AFP_ERROR_FORMAT,
          "tsource0: tensor 't4' is damaged");
  refuse ("tsource n=9 fail-read=1 ! tsink slow=true", AFP_ERROR_FORMAT,
          "tsource0: tensor 't0' is damaged");
}
END_TEST

START_TEST (test_process_fails)
{
  refuse ("tsource n=9 ! tpass ! tpass fail-process=5 ! tpass ! tsink", AFP_ERROR_CODEC,
          "tpass1: tensor 't4': no seed fits");
  refuse ("tsource n=2 ! tsink tsource n=9 ! tpass fail-process=1 ! tsink", AFP_ERROR_CODEC,
          "tensor 't0': no seed fits");
}
END_TEST

START_TEST (test_consume_fails)
{
  refuse ("tsource n=500 ! tsink fail-consume=5", AFP_ERROR_IO,
          "tsink0: tensor 't4': the disk is full");
  refuse ("tsource n=500 ! ttee name=t ! tsink slow=true t. ! tsink fail-consume=1", AFP_ERROR_IO,
          "tsink1: tensor 't0': the disk is full");
}
END_TEST

START_TEST (test_sink_finish_fails)
{
  refuse ("tsource n=5 ! ttee name=t ! tsink t. ! tsink fail-finish=true", AFP_ERROR_IO,
          "tsink1: cannot sync");
}
END_TEST

START_TEST (test_followers)
{
  g_autoptr (AfpPipeline) pipeline = pipe_new (
      "tsource n=5 ! ttee name=t ! tpass fail-finish=true ! tsink t. ! tsink fail-consume=3");
  GError *error = run_fails (pipeline);

  /* Which of the two comes first depends on the threads. */
  ck_assert (g_error_matches (error, AFP_ERROR, AFP_ERROR_IO) ||
             g_error_matches (error, AFP_ERROR, AFP_ERROR_METRIC));
  ck_assert_ptr_nonnull (strstr (error->message, "tsink1: tensor 't2': the disk is full"));
  g_error_free (error);
  check_stopped (pipeline, FALSE);
}
END_TEST

/* What is on its way is still counted: the report of a run that missed its metric is full. */
START_TEST (test_metric_not_met)
{
  g_autoptr (AfpPipeline) pipeline =
      pipe_new ("tsource n=50 ! tpass fail-finish=true ! tsink slow=true");
  PipeSink *sink = pipe_find (pipeline, "tsink0");
  GError *error = run_fails (pipeline);

  ck_assert_int_eq (afp_error_exit_code (error), 7);
  assert_error (error, AFP_ERROR_METRIC, "tpass0: sqnr_db is 3, but more than 5");
  ck_assert_uint_eq (afp_sink_get_n_records (AFP_SINK (sink)), 50);
  ck_assert (!sink->finished && !sink->published && !sink->stopped_ok);
}
END_TEST

START_TEST (test_two_metrics_not_met)
{
  g_autoptr (AfpPipeline) pipeline = pipe_new (
      "tsource n=2 ! tpass fail-finish=true name=a ! tsink tsource n=2 ! tpass fail-finish=true name=b ! tsink");
  GError *error = run_fails (pipeline);

  assert_error (error, AFP_ERROR_METRIC, "a: sqnr_db is 3", "\nalso: b: sqnr_db");
}
END_TEST

START_TEST (test_publish_fails)
{
  g_autoptr (AfpPipeline) pipeline =
      pipe_new ("tsource n=2 ! ttee name=t ! tsink t. ! tsink fail-publish=true t. ! tsink");
  PipeSink *first = pipe_find (pipeline, "tsink0"), *last = pipe_find (pipeline, "tsink2");
  GError *error = run_fails (pipeline);

  assert_error (error, AFP_ERROR_IO, "tsink1: cannot rename");
  /* What has its name already stays; what has not is taken back. */
  ck_assert (first->published && first->stopped_ok);
  ck_assert (!last->published && !last->stopped_ok);
}
END_TEST

START_TEST (test_runs_once)
{
  g_autoptr (AfpPipeline) pipeline = pipe_new ("tsource n=2 ! tsink");
  GError *error;

  pipe_run_ok (pipeline);
  error = run_fails (pipeline);
  assert_error (error, AFP_ERROR_USAGE, "has been run");
}
END_TEST

/* --- cancel --- */

static void
check_cancelled (AfpPipeline *pipeline)
{
  GError *error = run_fails (pipeline);

  ck_assert_int_eq (afp_error_exit_code (error), 130);
  ck_assert_str_eq (error->message, "cancelled");
  g_error_free (error);
  check_stopped (pipeline, FALSE);
}

START_TEST (test_cancelled_before)
{
  g_autoptr (AfpPipeline) pipeline = pipe_new ("tsource n=3 ! tpass ! tsink");

  ck_assert_ptr_nonnull (afp_pipeline_plan (pipeline, NULL));
  afp_pipeline_cancel (pipeline);
  check_cancelled (pipeline);
  ck_assert_uint_eq (((PipePass *) pipe_find (pipeline, "tpass0"))->n_started, 0);
}
END_TEST

START_TEST (test_cancelled_by_an_element)
{
  g_autoptr (AfpPipeline) pipeline = pipe_new ("tsource n=300 ! tpass cancel=true ! tsink");

  check_cancelled (pipeline);
  ck_assert (!((PipeSink *) pipe_find (pipeline, "tsink0"))->published);
}
END_TEST

START_TEST (test_cancelled_by_the_handler)
{
  g_autoptr (AfpPipeline) pipeline = pipe_new ("tsource n=300 ! tpass ! tsink slow=true");
  g_autoptr (GString) log = g_string_new (NULL);
  Messages messages = { .pipeline = pipeline, .log = log, .cancel = TRUE };

  afp_pipeline_set_handler (pipeline, take, &messages);
  check_cancelled (pipeline);
}
END_TEST

static gpointer
cancel_soon (gpointer data)
{
  g_usleep (20000);
  afp_pipeline_cancel (data);
  return NULL;
}

START_TEST (test_cancelled_by_a_thread)
{
  g_autoptr (AfpPipeline) pipeline =
      pipe_new ("tsource n=300 ! tpass wait=true fail-process=1 ! tsink");
  GThread *thread = g_thread_new ("cancel", cancel_soon, pipeline);

  /* The error of the stage comes after the user's wish, and because of it. */
  check_cancelled (pipeline);
  g_thread_join (thread);
}
END_TEST

START_TEST (test_error_wakes_a_waiting_stage)
{
  g_autoptr (AfpPipeline) pipeline =
      pipe_new ("tsource n=300 ! ttee name=t ! tsink fail-consume=1 t. ! tpass wait=true ! tsink");
  GError *error = run_fails (pipeline);

  assert_error (error, AFP_ERROR_IO, "the disk is full");
}
END_TEST

START_TEST (test_cancelled_after)
{
  g_autoptr (AfpPipeline) pipeline = pipe_new ("tsource n=3 ! tsink");

  pipe_run_ok (pipeline);
  afp_pipeline_cancel (pipeline);
}
END_TEST

static TCase *
make_good (void)
{
  TCase *tcase = tcase_create ("good");
  tcase_add_loop_test (tcase, test_run, 0, 4);
  tcase_add_test (tcase, test_branches);
  tcase_add_test (tcase, test_sources_one_after_another);
  tcase_add_test (tcase, test_sinks_finish_last);
  tcase_add_test (tcase, test_tiny_budget);
  tcase_add_test (tcase, test_messages);
  tcase_add_test (tcase, test_progress_of_all_sources);
  return tcase;
}

static TCase *
make_failures (void)
{
  TCase *tcase = tcase_create ("failures");
  tcase_add_test (tcase, test_plan_fails);
  tcase_add_test (tcase, test_start_fails);
  tcase_add_test (tcase, test_read_fails);
  tcase_add_test (tcase, test_process_fails);
  tcase_add_test (tcase, test_consume_fails);
  tcase_add_test (tcase, test_sink_finish_fails);
  tcase_add_test (tcase, test_followers);
  tcase_add_test (tcase, test_metric_not_met);
  tcase_add_test (tcase, test_two_metrics_not_met);
  tcase_add_test (tcase, test_publish_fails);
  tcase_add_test (tcase, test_runs_once);
  return tcase;
}

static TCase *
make_cancelled (void)
{
  TCase *tcase = tcase_create ("cancelled");
  tcase_add_test (tcase, test_cancelled_before);
  tcase_add_test (tcase, test_cancelled_by_an_element);
  tcase_add_test (tcase, test_cancelled_by_the_handler);
  tcase_add_test (tcase, test_cancelled_by_a_thread);
  tcase_add_test (tcase, test_error_wakes_a_waiting_stage);
  tcase_add_test (tcase, test_cancelled_after);
  return tcase;
}

int
main (void)
{
  TCase *(*const cases[]) (void) = { make_good, make_failures, make_cancelled };
  pipe_register ();
  return run_suite ("run", cases, G_N_ELEMENTS (cases));
}
