/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pipe-test.h"

/* tdeaf: a tpass that cannot go on with what it measured */
typedef PipePass PipeDeaf;
typedef PipePassClass PipeDeafClass;
GType pipe_deaf_get_type (void);
G_DEFINE_TYPE (PipeDeaf, pipe_deaf, pipe_pass_get_type ())

static void
pipe_deaf_class_init (PipeDeafClass *klass)
{
  AFP_ELEMENT_CLASS (klass)->restore_found = NULL;
}

static void
pipe_deaf_init (PipeDeaf *self)
{
}

static const char *
seen (AfpPipeline *pipeline, const char *name)
{
  return ((PipePass *) pipe_find (pipeline, name))->seen->str;
}

static const char *
got (AfpPipeline *pipeline, const char *name)
{
  return ((PipeSink *) pipe_find (pipeline, name))->names->str;
}

static gint64
count (AfpPipeline *pipeline, const char *member)
{
  g_autoptr (JsonNode) report = afp_pipeline_get_report (pipeline, NULL);

  return json_object_get_int_member (json_node_get_object (report), member);
}

static AfpPipeline *
run_ok (const char *text)
{
  AfpPipeline *pipeline = pipe_new (text);

  pipe_run_ok (pipeline);
  return pipeline;
}

#define refuse(text, code, ...)                          \
  do {                                                   \
    g_autoptr (AfpPipeline) refused_ = pipe_new (text);  \
    GError *refusal_ = NULL;                             \
    ck_assert (!afp_pipeline_run (refused_, &refusal_)); \
    assert_error (refusal_, (code), __VA_ARGS__);        \
  } while (0)

/* --- what is held is not computed again --- */

START_TEST (test_chain)
{
  g_autoptr (AfpPipeline) pipeline = run_ok ("tsource n=5 ! tpass ! tsink hold=t0,t1,t2");
  AfpSink *sink = pipe_find (pipeline, "tsink0");

  ck_assert_str_eq (seen (pipeline, "tpass0"), "[t0] [t1] [t2] t3 t4 ");
  ck_assert_str_eq (got (pipeline, "tsink0"), "t3 t4 ");
  ck_assert_uint_eq (afp_sink_get_n_records (sink), 5);
  ck_assert_uint_eq (afp_sink_get_n_held (sink), 3);
  ck_assert_int_eq (count (pipeline, "tensors_resumed"), 3);
}
END_TEST

START_TEST (test_it_is_not_read)
{
  g_autoptr (AfpPipeline) pipeline = run_ok ("tsource n=5 fail-read=2 ! tsink hold=t0,t1");

  ck_assert_str_eq (got (pipeline, "tsink0"), "t2 t3 t4 ");
}
END_TEST

START_TEST (test_all)
{
  g_autoptr (AfpPipeline) pipeline = run_ok ("tsource n=2 fail-read=2 ! tpass ! tsink hold=t0,t1");

  ck_assert_str_eq (seen (pipeline, "tpass0"), "[t0] [t1] ");
  ck_assert (((PipePass *) pipe_find (pipeline, "tpass0"))->finished);
  ck_assert (((PipeSink *) pipe_find (pipeline, "tsink0"))->published);
}
END_TEST

/* A tensor that no sink gets passes as ever, in its place. */
START_TEST (test_order_of_the_stream)
{
  g_autoptr (AfpPipeline) pipeline = run_ok ("tsource n=4 ! tpass drop=2 ! tsink hold=t0,t2");

  ck_assert_str_eq (seen (pipeline, "tpass0"), "[t0] t1 [t2] t3 ");
  ck_assert_int_eq (count (pipeline, "tensors_resumed"), 2);
}
END_TEST

START_TEST (test_branches)
{
  g_autoptr (AfpPipeline) pipeline =
      run_ok ("tsource n=4 ! ttee name=t ! tpass ! tsink hold=t0,t1 t. ! tpass ! tsink hold=t0");

  ck_assert_str_eq (seen (pipeline, "tpass0"), "[t0] [t1] t2 t3 ");
  ck_assert_str_eq (seen (pipeline, "tpass1"), "[t0] t1 t2 t3 ");
  ck_assert_int_eq (count (pipeline, "tensors_resumed"), 1);
}
END_TEST

/* Before the tee it is needed as long as one branch needs it; a sink that holds nothing needs all. */
START_TEST (test_before_a_tee)
{
  g_autoptr (AfpPipeline) pipeline =
      run_ok ("tsource n=3 ! tpass ! ttee name=t ! tsink hold=t0,t1 t. ! tpass ! tsink");

  ck_assert_str_eq (seen (pipeline, "tpass0"), "t0 t1 t2 ");
  ck_assert_str_eq (seen (pipeline, "tpass1"), "t0 t1 t2 ");
  ck_assert_str_eq (got (pipeline, "tsink0"), "t2 ");
  ck_assert_int_eq (count (pipeline, "tensors_resumed"), 0);
}
END_TEST

/* That a stage changes planes is known though it has nothing left to do: the metrics before it do not speak of the output. */
START_TEST (test_changed_planes)
{
  static const char *const texts[] = {
    "tsource n=2 ! tpass metrics=true ! tpass copy=true ! tsink hold=t0,t1",
    "tsource n=2 ! tpass metrics=true ! tpass ! tsink hold=t0,t1"
  };

  for (guint i = 0; i < G_N_ELEMENTS (texts); i++) {
    g_autoptr (AfpPipeline) pipeline = run_ok (texts[i]);
    g_autoptr (JsonNode) report = afp_pipeline_get_report (pipeline, NULL);
    JsonObject *total = json_object_get_object_member (json_node_get_object (report), "total");

    ck_assert_int_eq (json_object_get_null_member (total, "nmse"), i == 0);
    ck_assert_int_eq (json_object_get_int_member (total, "weights"), 32);
  }
}
END_TEST

typedef struct {
  GString *log;
  gint64 first, held, weights;
} Messages;

static void
take (AfpMessage *message, gpointer user_data)
{
  Messages *self = user_data;
  JsonNode *json = afp_message_get_json (message);

  if (afp_message_get_message_type (message) == AFP_MESSAGE_INFO)
    g_string_append_printf (self->log, "%s: %s;", afp_message_get_source (message),
                            afp_message_get_text (message));
  if (afp_message_get_message_type (message) == AFP_MESSAGE_PROGRESS && !self->first) {
    self->first = json_object_get_int_member (json_node_get_object (json), "done");
    self->held = json_object_get_int_member (json_node_get_object (json), "bytes_held");
    self->weights = json_object_get_int_member (json_node_get_object (json), "weights_held");
  }
}

START_TEST (test_messages)
{
  g_autoptr (AfpPipeline) pipeline = pipe_new ("tsource n=4 ! tsink hold=t0,t1");
  g_autoptr (GString) log = g_string_new (NULL);
  Messages messages = { .log = log };

  afp_pipeline_set_handler (pipeline, take, &messages);
  pipe_run_ok (pipeline);
  ck_assert_str_eq (log->str,
                    "tsink0: goes on with an earlier run: 2 of 4 tensors are done already;");
  ck_assert_int_eq (messages.first, 3);
  ck_assert_int_eq (messages.held, 128);
  ck_assert_int_eq (messages.weights, 32);
}
END_TEST

START_TEST (test_what_was_found_is_collected)
{
  g_autoptr (AfpPipeline) pipeline = run_ok ("tsource n=2 ! tpass ! tpass drop=1 ! tsink");
  AfpSink *sink = pipe_find (pipeline, "tsink0");
  g_autoptr (JsonNode) found = afp_sink_collect_found (sink, "t1"),
                       none = afp_sink_collect_found (sink, "t9");

  assert_text (json_to_string (found, FALSE), "{\"tpass1\":\"[t1]\",\"tpass0\":\"[t1]\"}");
  assert_text (json_to_string (none, FALSE), "{}");
}
END_TEST

/* --- what goes wrong --- */

START_TEST (test_damaged_finding)
{
  refuse ("tsource n=4 ! tpass ! tsink hold=t0 found=7", AFP_ERROR_FORMAT,
          "tpass0: tensor 't0', as an earlier run left it: it is no text");
}
END_TEST

START_TEST (test_deaf_element)
{
  g_autoptr (AfpPipeline) pipeline = NULL;

  refuse ("tsource n=4 ! tdeaf ! tsink hold=t0", AFP_ERROR_PLAN,
          "tdeaf0: 'tdeaf' cannot go on with what it measured", "without resume=true");
  /* Nothing of it is held here. */
  pipeline = run_ok ("tsource n=4 ! ttee name=t ! tdeaf ! tsink t. ! tsink hold=t0");
}
END_TEST

/* The tensor at work goes on to the sinks, no other begins. */
START_TEST (test_interrupt)
{
  g_autoptr (AfpPipeline) pipeline =
      pipe_new ("tsource n=500 ! tpass interrupt=3 ! tpass ! ttee name=t ! tsink keeps=true t. ! "
                "tsink slow=true");
  GError *error = NULL;

  ck_assert (!afp_pipeline_run (pipeline, &error));
  ck_assert_int_eq (afp_error_exit_code (error), 130);
  assert_error (error, AFP_ERROR_CANCELLED, "cancelled", "\nto go on: run it again");
  ck_assert_str_eq (got (pipeline, "tsink0"), "t0 t1 t2 ");
  ck_assert_str_eq (got (pipeline, "tsink1"), "t0 t1 t2 ");
  ck_assert_str_eq (seen (pipeline, "tpass1"), "t0 t1 t2 ");
  ck_assert (!((PipeSink *) pipe_find (pipeline, "tsink0"))->finished);
  ck_assert (!((PipePass *) pipe_find (pipeline, "tpass1"))->finished);
}
END_TEST

/* Where nothing is kept, there is nothing to wait for. */
START_TEST (test_interrupt_is_a_cancel)
{
  g_autoptr (AfpPipeline) pipeline =
      pipe_new ("tsource n=500 ! tpass interrupt=1 wait=true ! tsink");
  GError *error = NULL;

  ck_assert (!afp_pipeline_run (pipeline, &error));
  ck_assert_ptr_null (strstr (error->message, "go on"));
  assert_error (error, AFP_ERROR_CANCELLED, "cancelled");
  ck_assert (!((PipeSink *) pipe_find (pipeline, "tsink0"))->finished);
}
END_TEST

START_TEST (test_interrupt_before_the_run)
{
  g_autoptr (AfpPipeline) pipeline = pipe_new ("tsource n=5 ! tsink keeps=true");
  GError *error = NULL;

  afp_pipeline_interrupt (pipeline);
  ck_assert (!afp_pipeline_run (pipeline, &error));
  assert_error (error, AFP_ERROR_CANCELLED, "cancelled");
}
END_TEST

START_TEST (test_advice_after_a_failure)
{
  refuse ("tsource n=9 ! tpass fail-process=5 ! tsink keeps=true", AFP_ERROR_CODEC,
          "tensor 't4': no seed fits\nto go on: run it again");
}
END_TEST

static TCase *
held_case (void)
{
  TCase *tcase = tcase_create ("held");
  tcase_add_test (tcase, test_chain);
  tcase_add_test (tcase, test_it_is_not_read);
  tcase_add_test (tcase, test_all);
  tcase_add_test (tcase, test_order_of_the_stream);
  tcase_add_test (tcase, test_branches);
  tcase_add_test (tcase, test_before_a_tee);
  tcase_add_test (tcase, test_changed_planes);
  tcase_add_test (tcase, test_messages);
  tcase_add_test (tcase, test_what_was_found_is_collected);
  return tcase;
}

static TCase *
trouble_case (void)
{
  TCase *tcase = tcase_create ("trouble");
  tcase_add_test (tcase, test_damaged_finding);
  tcase_add_test (tcase, test_deaf_element);
  tcase_add_test (tcase, test_interrupt);
  tcase_add_test (tcase, test_interrupt_is_a_cancel);
  tcase_add_test (tcase, test_interrupt_before_the_run);
  tcase_add_test (tcase, test_advice_after_a_failure);
  return tcase;
}

int
main (void)
{
  TCase *(*const cases[]) (void) = { held_case, trouble_case };

  pipe_register ();
  afp_registry_add_builtin ("tdeaf", pipe_deaf_get_type ());
  return run_suite ("held", cases, G_N_ELEMENTS (cases));
}
