/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ablate-verdict.h"

#include "ablate-baseline.h"
#include "json-util.h"

#include <math.h>
#include <string.h>

#define SAME_RATE 0.05
#define NEAR_RATE 0.1
#define SIGMAS 2.0
#define DB_OF_E 4.342944819032518 /* 10 / ln 10 */

/* A group with what it is compared by. */
typedef struct {
  const AfpGroup *group;
  char *shape;
  guint n_stages;
  int baseline;
  double bits, value, error;
} Entry;

typedef struct {
  const AfpGoal *goal;
  gboolean in_db;  /* nmse */
  GArray *entries; /* Entry, by bits */
} Judge;

static void
entry_clear (gpointer entry)
{
  g_free (((Entry *) entry)->shape);
}

static int
compare_bits (gconstpointer a, gconstpointer b)
{
  const Entry *p = a, *q = b;

  if (p->bits != q->bits)
    return p->bits < q->bits ? -1 : 1;
  return (int) p->n_stages - (int) q->n_stages;
}

/* "" has none. */
static guint
count_stages (const char *shape)
{
  guint n = *shape != '\0';

  for (const char *at = shape; (at = strstr (at, " ! ")); at += 3)
    n++;
  return n;
}

static GArray *
collect_entries (GPtrArray *groups, const AfpGoal *goal)
{
  GArray *entries = g_array_new (FALSE, FALSE, sizeof (Entry));

  g_array_set_clear_func (entries, entry_clear);
  for (guint i = 0; i < groups->len; i++) {
    const AfpGroup *group = groups->pdata[i];
    Entry entry = { .group = group,
                    .bits = afp_group_mean (group, "bits_per_weight"),
                    .value = afp_group_mean (group, goal->name),
                    .error = afp_group_stderr (group, goal->name) };
    if (!isfinite (entry.bits) || !isfinite (entry.value) || afp_record_get_rival (group->first))
      continue;
    entry.shape = afp_chain_get_shape (afp_json_get_text (group->first, "chain", ""));
    g_autofree char *codecs = afp_record_get_codecs (group->first);
    entry.baseline = afp_group_get_baseline (group);
    entry.n_stages = entry.baseline >= 0 ? 1 : count_stages (codecs); /* with its entropy coder */
    if (entry.n_stages > 0)
      g_array_append_val (entries, entry);
    else
      entry_clear (&entry);
  }
  g_array_sort (entries, compare_bits);
  return entries;
}

/* The first of nll, accuracy, nmse that runs have. */
static const AfpGoal *
choose_goal (GPtrArray *groups)
{
  static const guint order[AFP_N_GOALS] = { 1, 2, 0 };

  for (guint k = 0; k < AFP_N_GOALS; k++)
    for (guint i = 0; i < groups->len; i++)
      if (isfinite (afp_group_mean (groups->pdata[i], afp_goals[order[k]].name)))
        return &afp_goals[order[k]];
  return NULL;
}

/* --- by how much --- */

/* How much better the value @a is than @b: dB of nmse, nats, a share. */
static double
get_advantage (const Judge *self, double a, double b)
{
  if (self->in_db)
    return a == b ? 0 : 10 * log10 (b / a);
  return self->goal->larger ? a - b : b - a;
}

static double
get_advantage_error (const Judge *self, const Entry *a, const Entry *b)
{
  const double x = self->in_db ? DB_OF_E * a->error / a->value : a->error;
  const double y = self->in_db ? DB_OF_E * b->error / b->value : b->error;

  return sqrt (x * x + y * y);
}

static void
set_number (JsonObject *object, const char *name, double value)
{
  json_object_set_member (object, name, afp_json_number_or_null (value));
}

static JsonObject *
entry_to_json (const Entry *entry)
{
  JsonObject *object = json_object_new (), *first = entry->group->first;

  json_object_set_int_member (object, "run", json_object_get_int_member (first, "run"));
  json_object_set_string_member (object, "name", entry->group->name);
  json_object_set_string_member (object, "chain", afp_json_get_text (first, "chain", ""));
  json_object_set_string_member (object, "shape", entry->shape);
  json_object_set_object_member (object, "choices",
                                 json_object_ref (afp_json_get_object (first, "choices")));
  json_object_set_int_member (object, "stages", entry->n_stages);
  if (entry->baseline >= 0)
    json_object_set_string_member (object, "baseline", afp_baselines[entry->baseline].name);
  else
    json_object_set_null_member (object, "baseline");
  set_number (object, "bits_per_weight", entry->bits);
  set_number (object, "bytes", afp_group_mean (entry->group, "bytes"));
  set_number (object, "value", entry->value);
  set_number (object, "stderr", entry->error);
  json_object_set_int_member (object, "repeats", entry->group->records->len);
  return object;
}

/* Somebody who was beaten by the winner. NULL: there is none */
static void
set_rival_entry (const Judge *self, JsonObject *rate, const char *name, const Entry *winner,
                 const Entry *other)
{
  JsonObject *object;

  if (!other) {
    json_object_set_null_member (rate, name);
    return;
  }
  const double advantage = get_advantage (self, winner->value, other->value);
  const double error = get_advantage_error (self, winner, other);
  object = entry_to_json (other);
  set_number (object, "advantage", advantage);
  set_number (object, "advantage_stderr", error);
  if (isnan (error))
    json_object_set_null_member (object, "beyond_noise");
  else
    json_object_set_boolean_member (object, "beyond_noise", fabs (advantage) > SIGMAS * error);
  json_object_set_object_member (rate, name, object);
}

/* --- baselines --- */

static GArray *
collect_points (const Judge *self, int baseline)
{
  GArray *points = g_array_new (FALSE, FALSE, sizeof (AfpRatePoint));

  for (guint i = 0; i < self->entries->len; i++) {
    const Entry *entry = &g_array_index (self->entries, Entry, i);
    const AfpRatePoint point = { entry->bits, entry->value };
    AfpRatePoint *last =
        points->len ? &g_array_index (points, AfpRatePoint, points->len - 1) : NULL;
    if (entry->baseline != baseline)
      continue;
    if (!last || last->bits < point.bits)
      g_array_append_val (points, point);
    else if (afp_goal_is_better (self->goal, point.value, last->value))
      last->value = point.value;
  }
  return points;
}

static JsonArray *
compare_with_baselines (const Judge *self, const Entry *winner)
{
  JsonArray *array = json_array_new ();

  for (int i = 0; i < AFP_N_BASELINES; i++) {
    g_autoptr (GArray) points = collect_points (self, i);
    const double value = afp_rate_interpolate (points, winner->bits, self->in_db);
    if (points->len == 0 || winner->baseline == i)
      continue;
    JsonObject *object = json_object_new ();
    json_object_set_string_member (object, "name", afp_baselines[i].name);
    json_object_set_int_member (object, "points", points->len);
    set_number (object, "bits_per_weight", winner->bits);
    set_number (object, "value", value);
    set_number (object, "advantage", get_advantage (self, winner->value, value));
    json_array_add_object_element (array, object);
  }
  return array;
}

static JsonArray *
list_baselines (const Judge *self)
{
  JsonArray *array = json_array_new ();

  for (int i = 0; i < AFP_N_BASELINES; i++) {
    JsonObject *object = json_object_new ();
    JsonArray *points = json_array_new ();
    for (guint k = 0; k < self->entries->len; k++) {
      const Entry *entry = &g_array_index (self->entries, Entry, k);
      if (entry->baseline == i)
        json_array_add_object_element (points, entry_to_json (entry));
    }
    json_object_set_string_member (object, "name", afp_baselines[i].name);
    json_object_set_string_member (object, "what", afp_baselines[i].what);
    json_object_set_array_member (object, "points", points);
    json_array_add_object_element (array, object);
  }
  return array;
}

/* --- rates --- */

/* The best of entries first..first+n-1. @unlike: (nullable): of another shape. @several: 0: one stage, 1: more than one, -1: either */
static const Entry *
find_best (const Judge *self, guint first, guint n, const char *unlike, int several)
{
  const Entry *best = NULL;

  for (guint i = first; i < first + n; i++) {
    const Entry *entry = &g_array_index (self->entries, Entry, i);
    if ((unlike && strcmp (entry->shape, unlike) == 0) ||
        (several >= 0 && (entry->n_stages > 1) != several))
      continue;
    if (!best || afp_goal_is_better (self->goal, entry->value, best->value))
      best = entry;
  }
  return best;
}

static JsonObject *
judge_rate (const Judge *self, guint first, guint n, double asked)
{
  const Entry *winner = find_best (self, first, n, NULL, -1);
  const Entry *entries = &g_array_index (self->entries, Entry, first);
  g_autoptr (GHashTable) shapes = g_hash_table_new (g_str_hash, g_str_equal);
  JsonObject *rate = json_object_new ();
  double sum = 0;

  for (guint i = 0; i < n; i++) {
    sum += entries[i].bits;
    g_hash_table_add (shapes, entries[i].shape);
  }
  set_number (rate, "rate", isnan (asked) ? sum / n : asked);
  set_number (rate, "bits_min", entries[0].bits);
  set_number (rate, "bits_max", entries[n - 1].bits);
  json_object_set_int_member (rate, "candidates", n);
  json_object_set_int_member (rate, "chains", g_hash_table_size (shapes));
  json_object_set_object_member (rate, "winner", entry_to_json (winner));
  set_rival_entry (self, rate, "runner_up", winner, find_best (self, first, n, winner->shape, -1));
  set_rival_entry (self, rate, "single", winner,
                   winner->n_stages > 1 ? find_best (self, first, n, NULL, 0) : NULL);
  set_rival_entry (self, rate, "joined", winner,
                   winner->n_stages > 1 ? NULL : find_best (self, first, n, NULL, 1));
  json_object_set_array_member (rate, "baselines", compare_with_baselines (self, winner));
  g_autofree char *text = afp_verdict_describe_rate (rate, self->goal->name);
  json_object_set_string_member (rate, "text", text);
  return rate;
}

/* Entries are in the order of bits. */
static JsonArray *
judge_found_rates (const Judge *self)
{
  JsonArray *array = json_array_new ();
  guint end;

  for (guint first = 0; first < self->entries->len; first = end) {
    const double bits = g_array_index (self->entries, Entry, first).bits;
    for (end = first; end < self->entries->len &&
                      g_array_index (self->entries, Entry, end).bits <= bits * (1 + SAME_RATE);)
      end++;
    json_array_add_object_element (array, judge_rate (self, first, end - first, NAN));
  }
  return array;
}

static double
find_nearest (GArray *rates, double bits)
{
  double nearest = g_array_index (rates, double, 0);

  for (guint i = 1; i < rates->len; i++)
    if (fabs (g_array_index (rates, double, i) - bits) < fabs (nearest - bits))
      nearest = g_array_index (rates, double, i);
  return nearest;
}

static JsonArray *
judge_asked_rates (const Judge *self, GArray *rates)
{
  JsonArray *array = json_array_new ();

  for (guint k = 0; k < rates->len; k++) {
    const double rate = g_array_index (rates, double, k);
    guint first = 0, n = 0;
    for (guint i = 0; i < self->entries->len; i++) {
      const double bits = g_array_index (self->entries, Entry, i).bits;
      if (find_nearest (rates, bits) != rate || fabs (bits - rate) > NEAR_RATE * rate)
        continue;
      first = n == 0 ? i : first;
      n++;
    }
    if (n > 0)
      json_array_add_object_element (array, judge_rate (self, first, n, rate));
  }
  return array;
}

JsonObject *
afp_ablate_judge (const GPtrArray *records, GArray *rates)
{
  g_autoptr (GPtrArray) groups = afp_groups_new (records, FALSE);
  const AfpGoal *goal = choose_goal (groups);
  JsonObject *verdict = json_object_new ();
  JsonArray *array;

  if (!goal) {
    json_object_set_null_member (verdict, "metric");
    json_object_set_array_member (verdict, "verdict", json_array_new ());
    json_object_set_array_member (verdict, "summary", json_array_new ());
    json_object_set_array_member (verdict, "baselines", json_array_new ());
    return verdict;
  }
  Judge self = { goal, strcmp (goal->name, "nmse") == 0, collect_entries (groups, goal) };
  array = rates && rates->len ? judge_asked_rates (&self, rates) : judge_found_rates (&self);
  json_object_set_string_member (verdict, "metric", goal->name);
  json_object_set_array_member (verdict, "verdict", array);
  json_object_set_array_member (verdict, "summary",
                                afp_verdict_summarize (array, goal->name, records));
  json_object_set_array_member (verdict, "baselines", list_baselines (&self));
  g_array_unref (self.entries);
  return verdict;
}
