/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* For tests of elements that run a model: pipelines over the tiny language model. */
#pragma once

#include "tiny-lm.h"

#include <math.h>

#define TEXT "text=@/text.txt"

/* What the last run was like. */
static JsonNode *eval_report;
static GString *eval_said;        /* "TYPE who: text", a line each; no metrics, no progress */
static AfpMessageFunc eval_watch; /* (nullable) sees the messages, too */
static guint eval_threads = 2;
static guint64 eval_max_memory;
static guint64 eval_cache_limit; /* of "kept" in the test's folder; 0: no cache */

/* A folder with the model. */
static void
eval_setup (void)
{
  folder_setup ();
  tiny_lm_write (1);
  eval_said = g_string_new (NULL);
}

static void
eval_teardown (void)
{
  g_clear_pointer (&eval_report, json_node_unref);
  g_string_free (eval_said, TRUE);
  eval_watch = NULL;
  eval_threads = 2;
  eval_max_memory = 0;
  eval_cache_limit = 0;
  folder_teardown ();
}

/* "@" becomes the folder of the test. (transfer full) */
static inline char *
eval_expand (const char *text)
{
  g_auto (GStrv) parts = g_strsplit (text, "@", -1);

  return g_strjoinv (test_folder, parts);
}

static inline void
eval_take_message (AfpMessage *message, gpointer user_data)
{
  const AfpMessageType type = afp_message_get_message_type (message);
  const char *name = type == AFP_MESSAGE_INFO      ? "info"
                     : type == AFP_MESSAGE_WARNING ? "warning"
                                                   : NULL;

  if (name)
    g_string_append_printf (eval_said, "%s %s: %s\n", name, afp_message_get_source (message),
                            afp_message_get_text (message));
  if (eval_watch)
    eval_watch (message, user_data);
}

/* Runs the pipeline; FALSE: it failed. */
static inline gboolean
eval_try (const char *text, GError **error)
{
  g_autofree char *all = eval_expand (text);
  g_autoptr (AfpPipeline) pipeline = afp_pipeline_new_from_text (all, error);
  GError *local = NULL;

  g_clear_pointer (&eval_report, json_node_unref);
  g_string_truncate (eval_said, 0);
  if (!pipeline)
    return FALSE;
  afp_pipeline_set_threads (pipeline, eval_threads);
  afp_pipeline_set_max_memory (pipeline, eval_max_memory);
  if (eval_cache_limit) {
    g_autofree char *kept = in_folder ("kept");
    afp_pipeline_set_cache (pipeline, kept, eval_cache_limit);
  }
  afp_pipeline_set_handler (pipeline, eval_take_message, pipeline);
  const gboolean ok = afp_pipeline_run (pipeline, &local);
  eval_report = afp_pipeline_get_report (pipeline, local);
  if (local)
    g_propagate_error (error, local);
  return ok;
}

static inline void
eval_run (const char *text)
{
  GError *error = NULL;

  ck_assert_msg (eval_try (text, &error), "%s: %s", text, error ? error->message : "?");
}

/* It fails with this code and these words. */
#define eval_refused(text, code_, ...)                           \
  do {                                                           \
    GError *refusal_ = NULL;                                     \
    ck_assert_msg (!eval_try ((text), &refusal_), "%s", (text)); \
    assert_error (refusal_, (code_), __VA_ARGS__);               \
  } while (0)

/* Of the eval at this place of the report. (transfer none) */
static inline JsonObject *
eval_metrics (guint index)
{
  JsonArray *evals = json_object_get_array_member (json_node_get_object (eval_report), "evals");

  ck_assert_uint_lt (index, json_array_get_length (evals));
  return json_object_get_object_member (json_array_get_object_element (evals, index), "metrics");
}

static inline JsonNode *
eval_member (guint index, const char *name)
{
  JsonNode *node = json_object_get_member (eval_metrics (index), name);

  ck_assert_msg (node != NULL, "eval %u has no '%s'", index, name);
  return node;
}

static inline double
eval_number (guint index, const char *name)
{
  JsonNode *node = eval_member (index, name);

  ck_assert_msg (!JSON_NODE_HOLDS_NULL (node), "'%s' of eval %u is null", name, index);
  return json_node_get_double (node);
}

static inline gboolean
eval_is_null (guint index, const char *name)
{
  return JSON_NODE_HOLDS_NULL (eval_member (index, name));
}

/* All of it as text. (transfer full) */
static inline char *
eval_metrics_text (guint index)
{
  g_autoptr (JsonNode) node = json_node_init_object (json_node_alloc (), eval_metrics (index));

  return json_to_string (node, FALSE);
}

static inline gboolean
eval_file_exists (const char *name)
{
  g_autofree char *path = in_folder (name);

  return g_file_test (path, G_FILE_TEST_EXISTS);
}

static inline GBytes *
eval_read_file (const char *name)
{
  g_autofree char *path = in_folder (name);
  char *data;
  gsize n;

  ck_assert_msg (g_file_get_contents (path, &data, &n, NULL), "no '%s'", path);
  return g_bytes_new_take (data, n);
}
