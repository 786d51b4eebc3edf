/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "conform.h"

#include <stdio.h>
#include <string.h>

struct _ConformReport {
  gboolean verbose, silent;
  guint counts[CONFORM_SKIP + 1];
  guint cases;
  guint in_case[CONFORM_SKIP + 1];
  JsonArray *results;
};

static const char *const outcome_names[] = { "ok", "fail", "skip" };

ConformReport *
conform_report_new (gboolean verbose, gboolean silent)
{
  ConformReport *report = g_new0 (ConformReport, 1);

  report->verbose = verbose;
  report->silent = silent;
  report->results = json_array_new ();
  return report;
}

void
conform_report_free (ConformReport *report)
{
  json_array_unref (report->results);
  g_free (report);
}

/* One line, whatever the texts hold: they may come from a plugin. */
static char *
one_line (const char *text)
{
  g_autofree char *valid = g_utf8_make_valid (text ? text : "", -1);

  return g_strdelimit (g_steal_pointer (&valid), "\n\r", ' ');
}

static void
print_result (ConformReport *report, const ConformTarget *target, const char *name,
              const char *check, ConformOutcome outcome, const char *expected, const char *found)
{
  g_autofree char *found_line = one_line (found);
  g_autofree char *expected_line = one_line (expected);

  if (report->silent)
    return;
  if (outcome == CONFORM_FAIL)
    printf ("FAIL %s: %s: %s: expected %s, found: %s\n", target->element, name, check,
            expected_line, found_line);
  else if (report->verbose)
    printf ("%-4s %s: %s: %s%s%s\n", outcome_names[outcome], target->element, name, check,
            *found_line ? ": " : "", found_line);
  fflush (stdout);
}

void
conform_report_add (ConformReport *report, const ConformTarget *target, const char *name,
                    const char *check, ConformOutcome outcome, const char *expected,
                    const char *found)
{
  JsonObject *object = json_object_new ();

  json_object_set_string_member (object, "element", target->element);
  json_object_set_string_member (object, "case", name);
  json_object_set_string_member (object, "check", check);
  json_object_set_string_member (object, "outcome", outcome_names[outcome]);
  if (expected) {
    g_autofree char *line = one_line (expected);
    json_object_set_string_member (object, "expected", line);
  }
  if (found) {
    g_autofree char *line = one_line (found);
    json_object_set_string_member (object, "found", line);
  }
  json_array_add_object_element (report->results, object);
  report->counts[outcome]++;
  report->in_case[outcome]++;
  print_result (report, target, name, check, outcome, expected, found);
}

void
conform_report_end_case (ConformReport *report, const ConformTarget *target, const char *name)
{
  report->cases++;
  if (!report->silent && !report->verbose && report->in_case[CONFORM_FAIL] == 0) {
    if (report->in_case[CONFORM_OK])
      printf ("ok   %s: %s: %u checks\n", target->element, name, report->in_case[CONFORM_OK]);
    else
      printf ("skip %s: %s\n", target->element, name);
  }
  fflush (stdout);
  memset (report->in_case, 0, sizeof report->in_case);
}

guint
conform_report_get_count (ConformReport *report, ConformOutcome outcome)
{
  return report->counts[outcome];
}

guint
conform_report_get_cases (ConformReport *report)
{
  return report->cases;
}

JsonNode *
conform_report_to_json (ConformReport *report, const char *plugin)
{
  JsonObject *object = json_object_new ();
  JsonNode *node = json_node_new (JSON_NODE_OBJECT);

  json_object_set_string_member (object, "plugin", plugin);
  json_object_set_int_member (object, "cases", report->cases);
  json_object_set_int_member (object, "passed", report->counts[CONFORM_OK]);
  json_object_set_int_member (object, "failed", report->counts[CONFORM_FAIL]);
  json_object_set_int_member (object, "skipped", report->counts[CONFORM_SKIP]);
  json_object_set_array_member (object, "results", json_array_ref (report->results));
  json_node_take_object (node, object);
  return node;
}
