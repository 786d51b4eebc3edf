/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* For tests of what afpipe-ablate does with its runs: studies and records that were never run. */
#pragma once

#include "core-test.h"

#include "ablate-record.h"
#include "json-util.h"

/* A study of so many runs "synth ! CHAIN ! eval ! null"; each may be followed by the number of its prefix, "vptq k=16 <0". */
static inline AfpStudy *
make_study (const char *const *chains)
{
  AfpStudy *study = g_new0 (AfpStudy, 1);

  study->text = g_strdup ("a study");
  study->runs = g_ptr_array_new ();
  study->names = g_ptr_array_new ();
  study->conditions = g_ptr_array_new ();
  study->n_repeats = 1;
  for (; *chains; chains++) {
    AfpStudyRun *run = g_new0 (AfpStudyRun, 1);
    const char *mark = strstr (*chains, " <");
    run->chain = mark ? g_strndup (*chains, (gsize) (mark - *chains)) : g_strdup (*chains);
    run->prefix = mark ? atoi (mark + 2) : -1;
    run->pipeline = g_strdup_printf ("synth shapes=16x16 ! %s%seval ! null", run->chain,
                                     *run->chain ? " ! " : "");
    run->codecs = g_strdup (run->chain);
    run->choices = json_object_new ();
    g_ptr_array_add (study->runs, run);
  }
  return study;
}

static inline void
clear_study (AfpStudy *study)
{
  for (guint i = 0; i < study->runs->len; i++) {
    AfpStudyRun *run = study->runs->pdata[i];
    g_free (run->chain);
    g_free (run->codecs);
    g_free (run->pipeline);
    json_object_unref (run->choices);
    g_free (run);
  }
  g_ptr_array_unref (study->runs);
  g_ptr_array_unref (study->names);
  g_ptr_array_unref (study->conditions);
  g_free (study->text);
  g_free (study);
}

static inline JsonObject *
parse_object (const char *text)
{
  g_autoptr (JsonNode) node = json_from_string (text, NULL);

  ck_assert_msg (node != NULL, "no JSON: %s", text);
  return json_object_ref (json_node_get_object (node));
}

/* A record of a run that went well: "name":value pairs of it. */
static inline JsonObject *
make_record (guint run, const char *chain, const char *choices, const char *members)
{
  g_autofree char *text = g_strdup_printf (
      "{\"run\":%u,\"status\":\"ok\",\"chain\":\"%s\",\"choices\":{%s},\"pipeline\":\"synth ! %s ! "
      "null\",\"error\":null,\"added\":false,\"excluded\":null,%s}",
      run, chain, choices, chain, members);

  return parse_object (text);
}

static inline void
unref_record (gpointer record)
{
  if (record)
    json_object_unref (record);
}
