/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ablate-group.h"

#include "json-util.h"

#include <math.h>
#include <string.h>

const AfpGoal afp_goals[AFP_N_GOALS] = { { "nmse", FALSE },
                                         { "nll", FALSE },
                                         { "accuracy", TRUE } };

gboolean
afp_goal_is_better (const AfpGoal *goal, double a, double b)
{
  return goal->larger ? a > b : a < b;
}

/* --- repeats --- */

static void
group_free (gpointer data)
{
  AfpGroup *self = data;

  g_ptr_array_unref (self->records);
  g_free (self->name);
  g_free (self);
}

static char *
make_name (JsonObject *record)
{
  const char *chain = afp_json_get_text (record, "chain", "");
  g_autofree char *choices = afp_record_format_choices (record);

  return g_strdup_printf ("%s%s%s%s", *chain ? chain : "(no stage)", *choices ? " [" : "", choices,
                          *choices ? "]" : "");
}

GPtrArray *
afp_groups_new (const GPtrArray *records, gboolean all)
{
  GPtrArray *groups = g_ptr_array_new_with_free_func (group_free);
  g_autoptr (GHashTable) known = g_hash_table_new (g_str_hash, g_str_equal);

  for (guint i = 0; i < records->len; i++) {
    JsonObject *record = records->pdata[i];
    if (!record || !(all ? afp_record_is_ok (record) : afp_record_counts (record)))
      continue;
    g_autofree char *name = make_name (record);
    AfpGroup *group = g_hash_table_lookup (known, name);
    if (!group) {
      group = g_new0 (AfpGroup, 1);
      group->records = g_ptr_array_new ();
      group->first = record;
      group->name = g_steal_pointer (&name);
      g_hash_table_insert (known, group->name, group);
      g_ptr_array_add (groups, group);
    }
    g_ptr_array_add (group->records, record);
  }
  return groups;
}

double
afp_group_mean (const AfpGroup *self, const char *name)
{
  double sum = 0;

  for (guint i = 0; i < self->records->len; i++)
    sum += afp_record_get (self->records->pdata[i], name);
  return sum / self->records->len;
}

double
afp_group_stderr (const AfpGroup *self, const char *name)
{
  const double mean = afp_group_mean (self, name), n = self->records->len;
  double squares = 0;

  for (guint i = 0; i < self->records->len; i++) {
    const double away = afp_record_get (self->records->pdata[i], name) - mean;
    squares += away * away;
  }
  return n > 1 ? sqrt (squares / (n - 1) / n) : NAN;
}

/* --- the front --- */

typedef struct {
  JsonObject *record;
  double bytes, value; /* less is better */
} Point;

static int
compare_points (gconstpointer a, gconstpointer b)
{
  const Point *p = a, *q = b;

  if (p->bytes != q->bytes)
    return p->bytes < q->bytes ? -1 : 1;
  return p->value == q->value ? 0 : p->value < q->value ? -1 : 1;
}

static void
mark_goal (const GPtrArray *records, const AfpGoal *goal)
{
  g_autoptr (GArray) points = g_array_new (FALSE, FALSE, sizeof (Point));
  double best = INFINITY, bytes = NAN;

  for (guint i = 0; i < records->len; i++) {
    JsonObject *record = records->pdata[i];
    if (!record || !afp_record_counts (record) || afp_record_get_rival (record))
      continue;
    const double value = afp_record_get (record, goal->name);
    const Point point = { record, afp_record_get (record, "bytes"), goal->larger ? -value : value };
    if (isfinite (point.value) && isfinite (point.bytes))
      g_array_append_val (points, point);
  }
  g_array_sort (points, compare_points);
  for (guint i = 0; i < points->len; i++) {
    const Point *point = &g_array_index (points, Point, i);
    const gboolean on = point->value < best || (point->value == best && point->bytes == bytes);
    json_object_set_boolean_member (afp_json_get_object (point->record, "pareto"), goal->name, on);
    if (on) {
      best = point->value;
      bytes = point->bytes;
    }
  }
}

void
afp_records_mark_pareto (const GPtrArray *records)
{
  for (guint i = 0; i < records->len; i++)
    if (records->pdata[i])
      json_object_set_object_member (records->pdata[i], "pareto", json_object_new ());
  for (guint i = 0; i < AFP_N_GOALS; i++)
    mark_goal (records, &afp_goals[i]);
}

gboolean
afp_record_is_pareto (JsonObject *record, const char *goal)
{
  JsonObject *pareto = afp_json_get_object (record, "pareto");

  for (guint i = 0; pareto && i < AFP_N_GOALS; i++)
    if ((!goal || strcmp (goal, afp_goals[i].name) == 0) &&
        afp_json_get_flag (pareto, afp_goals[i].name, FALSE))
      return TRUE;
  return FALSE;
}
