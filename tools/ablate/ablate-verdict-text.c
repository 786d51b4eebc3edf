/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ablate-verdict.h"

#include "ablate-baseline.h"
#include "json-util.h"

#include <math.h>
#include <string.h>

#define MORE_BYTES 1.01 /* is worth a word */

static double
get (JsonObject *object, const char *name)
{
  return afp_json_get_number (object, name, NAN);
}

static const char *
get_name (JsonObject *entry)
{
  return afp_json_get_text (entry, "name", "");
}

static const char *
get_what (const char *baseline)
{
  for (guint i = 0; i < AFP_N_BASELINES; i++)
    if (strcmp (afp_baselines[i].name, baseline) == 0)
      return afp_baselines[i].what;
  return baseline;
}

/* "NLL 1.2345" */
static char *
format_value (const char *metric, double value)
{
  if (strcmp (metric, "nmse") == 0)
    return g_strdup_printf ("NMSE %.4g", value);
  return g_strdup_printf (strcmp (metric, "nll") == 0 ? "NLL %.4f" : "accuracy %.4f", value);
}

/* "0.52 dB" */
static char *
format_amount (const char *metric, double amount)
{
  if (strcmp (metric, "nmse") == 0)
    return g_strdup_printf ("%.2f dB", amount);
  if (strcmp (metric, "nll") == 0)
    return g_strdup_printf ("%.4f nats", amount);
  return g_strdup_printf ("%.2f points", 100 * amount);
}

/* --- one rate --- */

static void
add_winner (GString *text, JsonObject *rate, JsonObject *winner, const char *metric)
{
  const char *baseline = afp_json_get_text (winner, "baseline", NULL);
  g_autofree char *value = format_value (metric, get (winner, "value"));
  const double chains = get (rate, "chains");

  g_string_append_printf (text, "At %.2f b/w ", get (rate, "rate"));
  if (chains > 1)
    g_string_append_printf (text, "%s wins over %.0f other chain%s: ", get_name (winner),
                            chains - 1, chains > 2 ? "s" : "");
  else
    g_string_append_printf (text,
                            "there is nothing to compare %s with but itself: ", get_name (winner));
  g_string_append_printf (text, "%s at %.3f b/w", value, get (winner, "bits_per_weight"));
  if (get (winner, "repeats") > 1)
    g_string_append_printf (text, ", mean of %.0f repeats", get (winner, "repeats"));
  g_string_append (text, ".");
  if (baseline && chains > 1)
    g_string_append_printf (text, " That is a baseline, %s: no other chain is worth it here.",
                            get_what (baseline));
}

static void
add_noise (GString *text, JsonObject *other, const char *metric)
{
  JsonNode *beyond = json_object_get_member (other, "beyond_noise");
  g_autofree char *error = format_amount (metric, get (other, "advantage_stderr"));

  if (JSON_NODE_HOLDS_NULL (beyond))
    g_string_append (text, "; nothing was repeated, so the noise is not known");
  else
    g_string_append_printf (text,
                            json_node_get_boolean (beyond)
                                ? ", beyond the noise of the repeats (standard error %s)"
                                : ", within the noise of the repeats (standard error %s)",
                            error);
}

static void
add_bytes (GString *text, JsonObject *winner, JsonObject *other)
{
  const double ratio = get (winner, "bits_per_weight") / get (other, "bits_per_weight");

  if (ratio > MORE_BYTES)
    g_string_append_printf (text, ", with %.1f %% more bits", 100 * (ratio - 1));
  else if (ratio < 1 / MORE_BYTES)
    g_string_append_printf (text, ", with %.1f %% fewer bits", 100 * (1 - ratio));
}

static void
add_other (GString *text, JsonObject *rate, const char *member, const char *who, const char *metric)
{
  JsonObject *winner = afp_json_get_object (rate, "winner");
  JsonObject *other = afp_json_get_object (rate, member);

  if (!other)
    return;
  if (get (other, "advantage") == 0) {
    g_string_append_printf (text, " No better than %s%s.", who, get_name (other));
    return;
  }
  g_autofree char *amount = format_amount (metric, get (other, "advantage"));
  g_string_append_printf (text, " It is better than %s%s by %s", who, get_name (other), amount);
  add_bytes (text, winner, other);
  add_noise (text, other, metric);
  g_string_append (text, ".");
}

static void
add_baseline (GString *text, JsonObject *baseline, const char *metric)
{
  const double value = get (baseline, "value"), advantage = get (baseline, "advantage");
  const char *what = get_what (afp_json_get_text (baseline, "name", ""));

  if (isnan (value)) {
    g_string_append_printf (
        text, " %s was not run at rates below and above this one, so it does not compare.", what);
    return;
  }
  g_autofree char *would = format_value (metric, value);
  g_autofree char *amount = format_amount (metric, fabs (advantage));
  g_string_append_printf (text, " With the same bytes %s comes to %s: %s %s.", what, would, amount,
                          advantage >= 0 ? "worse" : "better");
}

char *
afp_verdict_describe_rate (JsonObject *rate, const char *metric)
{
  JsonObject *winner = afp_json_get_object (rate, "winner");
  JsonArray *baselines = afp_json_get_array (rate, "baselines");
  JsonObject *runner_up = afp_json_get_object (rate, "runner_up");
  JsonObject *single = afp_json_get_object (rate, "single");
  JsonObject *joined = afp_json_get_object (rate, "joined");
  GString *text = g_string_new (NULL);

  add_winner (text, rate, winner, metric);
  add_other (text, rate, "runner_up", "the next, ", metric);
  if (single && runner_up && strcmp (get_name (single), get_name (runner_up)) != 0)
    add_other (text, rate, "single", "the best single stage, ", metric);
  if (joined && runner_up && strcmp (get_name (joined), get_name (runner_up)) != 0)
    add_other (text, rate, "joined", "the best chain of several stages, ", metric);
  for (guint i = 0; i < json_array_get_length (baselines); i++)
    add_baseline (text, json_array_get_object_element (baselines, i), metric);
  return g_string_free (text, FALSE);
}

/* --- all --- */

static void add_sentence (JsonArray *array, const char *format, ...) G_GNUC_PRINTF (2, 3);

static void
add_sentence (JsonArray *array, const char *format, ...)
{
  va_list args;

  va_start (args, format);
  g_autofree char *text = g_strdup_vprintf (format, args);
  va_end (args);
  json_array_add_string_element (array, text);
}

/* Is a chain of several stages better than each alone? */
static void
add_joining (JsonArray *summary, JsonArray *rates)
{
  guint compared = 0, won = 0;

  for (guint i = 0; i < json_array_get_length (rates); i++) {
    JsonObject *rate = json_array_get_object_element (rates, i);
    const gboolean single = afp_json_get_object (rate, "single") != NULL;
    compared += single || afp_json_get_object (rate, "joined");
    won += single;
  }
  if (compared == 0)
    add_sentence (summary, "No rate has both single stages and chains of several: whether it pays "
                           "to chain them was not asked.");
  else if (won == 0)
    add_sentence (summary,
                  "A chain of several stages wins at none of the %u rates that have both: a single "
                  "stage is better, or a baseline.",
                  compared);
  else
    add_sentence (summary, "A chain of several stages wins at %u of the %u rates that have both.",
                  won, compared);
}

static void
add_baselines (JsonArray *summary, JsonArray *rates)
{
  for (guint k = 0; k < AFP_N_BASELINES; k++) {
    guint compared = 0, won = 0, is_it = 0;

    for (guint i = 0; i < json_array_get_length (rates); i++) {
      JsonObject *rate = json_array_get_object_element (rates, i);
      JsonArray *baselines = afp_json_get_array (rate, "baselines");
      const char *own = afp_json_get_text (afp_json_get_object (rate, "winner"), "baseline", "");
      is_it += get (rate, "chains") > 1 && strcmp (own, afp_baselines[k].name) == 0;
      for (guint j = 0; j < json_array_get_length (baselines); j++) {
        JsonObject *one = json_array_get_object_element (baselines, j);
        const double advantage = get (one, "advantage");
        if (strcmp (afp_json_get_text (one, "name", ""), afp_baselines[k].name) != 0 ||
            isnan (advantage))
          continue;
        compared++;
        won += advantage > 0;
      }
    }
    if (compared + is_it > 0)
      add_sentence (summary, "At equal bytes %s is beaten at %u of %u rates.",
                    afp_baselines[k].what, won, compared + is_it);
  }
}

static void
add_noise_summary (JsonArray *summary, JsonArray *rates)
{
  guint known = 0, beyond = 0;

  for (guint i = 0; i < json_array_get_length (rates); i++) {
    JsonObject *other = afp_json_get_object (json_array_get_object_element (rates, i), "runner_up");
    JsonNode *node = other ? json_object_get_member (other, "beyond_noise") : NULL;
    known += node && JSON_NODE_HOLDS_VALUE (node);
    beyond += node && JSON_NODE_HOLDS_VALUE (node) && json_node_get_boolean (node);
  }
  if (known == 0)
    add_sentence (summary, "Without repeat=N nothing is known of the noise of random seeds: small "
                           "differences may be chance.");
  else
    add_sentence (summary, "At %u of %u rates the winner is beyond the noise of the repeats.",
                  beyond, known);
}

/* --- rivals --- */

/* The best run that is not larger than the rival; @metric is of both. */
static JsonObject *
find_best_below (const GPtrArray *records, double bytes, const AfpGoal *goal, const char *metric)
{
  JsonObject *best = NULL;

  for (guint i = 0; i < records->len; i++) {
    JsonObject *record = records->pdata[i];
    if (!record || !afp_record_counts (record) || afp_record_get_rival (record) ||
        !(afp_record_get (record, "bytes") <= bytes) || isnan (afp_record_get (record, metric)))
      continue;
    if (!best ||
        afp_goal_is_better (goal, afp_record_get (record, metric), afp_record_get (best, metric)))
      best = record;
  }
  return best;
}

static void
add_rival (JsonArray *summary, const GPtrArray *records, JsonObject *rival, const char *goal_name)
{
  const double bytes = afp_record_get (rival, "bytes");
  const gboolean text = strcmp (goal_name, "nll") == 0;
  const char *metric = text ? "nll_per_byte" : "accuracy";
  const AfpGoal *goal = &afp_goals[text ? 1 : 2];
  const char *file = afp_record_get_rival (rival);
  JsonObject *best = find_best_below (records, bytes, goal, metric);

  if (isnan (afp_record_get (rival, metric)))
    add_sentence (summary, "The rival %s has no %s to be compared by.", file, metric);
  else if (!best)
    add_sentence (summary, "No run is as small as the rival %s with its %.0f bytes.", file, bytes);
  else {
    const double own = afp_record_get (best, metric), its = afp_record_get (rival, metric);
    g_autofree char *choices = afp_record_format_choices (best);
    add_sentence (
        summary,
        "The rival %s has %s %.4f with %.0f bytes; the best run that is no larger, %s%s%s "
        "with %.0f bytes, has %.4f: %s.",
        file, metric, its, bytes, afp_json_get_text (best, "chain", ""), *choices ? " " : "",
        choices, afp_record_get (best, "bytes"), own,
        own == its                            ? "they are equal"
        : afp_goal_is_better (goal, own, its) ? "compressing pays"
                                              : "the smaller model is the better choice");
  }
}

JsonArray *
afp_verdict_summarize (JsonArray *rates, const char *metric, const GPtrArray *records)
{
  JsonArray *summary = json_array_new ();
  guint failed = 0;

  if (json_array_get_length (rates) > 0) {
    add_joining (summary, rates);
    add_baselines (summary, rates);
    add_noise_summary (summary, rates);
  }
  for (guint i = 0; i < records->len; i++) {
    JsonObject *record = records->pdata[i];
    if (record && afp_record_is_ok (record) && afp_record_get_rival (record))
      add_rival (summary, records, record, metric);
    failed += record && !afp_record_is_ok (record);
  }
  if (failed)
    add_sentence (summary, "%u of the runs failed and count nowhere.", failed);
  return summary;
}

char *
afp_ablate_verdict_to_text (JsonObject *verdict)
{
  JsonArray *rates = afp_json_get_array (verdict, "verdict");
  JsonArray *summary = afp_json_get_array (verdict, "summary");
  GString *text = g_string_new (NULL);

  for (guint i = 0; i < json_array_get_length (rates); i++)
    g_string_append_printf (
        text, "%s\n", afp_json_get_text (json_array_get_object_element (rates, i), "text", ""));
  for (guint i = 0; i < json_array_get_length (summary); i++)
    g_string_append_printf (text, "%s\n", json_array_get_string_element (summary, i));
  return g_string_free (text, FALSE);
}
