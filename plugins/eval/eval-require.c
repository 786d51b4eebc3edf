/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "eval-require.h"

#include <math.h>
#include <string.h>

typedef enum { GREATER, GREATER_EQUAL, LESS, LESS_EQUAL } Operator;

typedef struct {
  const char *metric; /* interned */
  Operator operator;
  double limit;
  gboolean percent;
} Condition;

static const char *const operator_texts[] = { ">", ">=", "<", "<=" };

static gboolean
parse_limit (const char *number, const char *text, Condition *condition, GError **error)
{
  char *end;

  condition->limit = g_ascii_strtod (number, &end);
  condition->percent = end != number && *end == '%';
  if (condition->percent) {
    condition->limit /= 100;
    end++;
  }
  if (end != number && *g_strchug (end) == '\0' && isfinite (condition->limit))
    return TRUE;
  g_set_error (error, AFP_ERROR, AFP_ERROR_PROPERTY,
               "require: '%s' in '%s' is not a number; 15%% is a number, too", number, text);
  return FALSE;
}

static gboolean
has_name (GPtrArray *metrics, const char *name)
{
  for (guint i = 0; i < metrics->len; i++)
    if (strcmp (name, metrics->pdata[i]) == 0)
      return TRUE;
  return FALSE;
}

static gboolean
find_metric (const char *name, GPtrArray *metrics, Condition *condition, GError **error)
{
  if (!metrics || has_name (metrics, name)) {
    condition->metric = g_intern_string (name);
    return TRUE;
  }
  g_autoptr (GPtrArray) list = g_ptr_array_new ();
  for (guint i = 0; i < metrics->len; i++)
    g_ptr_array_add (list, metrics->pdata[i]);
  g_ptr_array_add (list, NULL);
  const char *near = afp_nearest_name (name, (const char *const *) list->pdata, metrics->len);
  g_autofree char *all = g_strjoinv (", ", (char **) list->pdata);
  g_set_error (error, AFP_ERROR, AFP_ERROR_PROPERTY, "require: no metric '%s'%s%s%s; there are %s",
               name, near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "", all);
  return FALSE;
}

static gboolean
parse_condition (char *text, GPtrArray *metrics, Condition *condition, GError **error)
{
  char *sign = strpbrk (text, "<>");

  if (!sign || sign == text) {
    g_set_error (
        error, AFP_ERROR, AFP_ERROR_PROPERTY,
        "require: '%s' is no condition: give METRIC>NUMBER, with >, >=, < or <=, like sqnr_db>10",
        text);
    return FALSE;
  }
  const gboolean equal = sign[1] == '=';
  if (*sign == '>')
    condition->operator= equal ? GREATER_EQUAL : GREATER;
  else
    condition->operator= equal ? LESS_EQUAL : LESS;
  if (!parse_limit (sign + (equal ? 2 : 1), text, condition, error))
    return FALSE;
  g_autofree char *name = g_strstrip (g_strndup (text, (gsize) (sign - text)));
  return find_metric (name, metrics, condition, error);
}

GArray *
eval_require_parse (const char *text, GPtrArray *metrics, GError **error)
{
  g_autoptr (GArray) conditions = g_array_new (FALSE, FALSE, sizeof (Condition));
  g_auto (GStrv) parts = g_strsplit (text ? text : "", ",", -1);

  for (guint i = 0; parts[i]; i++) {
    Condition condition;
    if (!*g_strstrip (parts[i]))
      continue;
    if (!parse_condition (parts[i], metrics, &condition, error))
      return NULL;
    g_array_append_val (conditions, condition);
  }
  return g_steal_pointer (&conditions);
}

gboolean
eval_require_compares (GArray *conditions, GPtrArray *metrics)
{
  for (guint i = 0; i < conditions->len; i++) {
    const char *name = g_array_index (conditions, Condition, i).metric;
    if ((g_str_has_suffix (name, "_loss") || g_str_has_suffix (name, "_ref")) &&
        !has_name (metrics, name))
      return TRUE;
  }
  return FALSE;
}

static gboolean
holds (const Condition *condition, double value)
{
  switch (condition->operator) {
  case GREATER:
    return value > condition->limit;
  case GREATER_EQUAL:
    return value >= condition->limit;
  case LESS:
    return value < condition->limit;
  default:
    return value <= condition->limit;
  }
}

/* FALSE: nobody knows such a metric. NaN: no value */
static gboolean
get_value (const char *metric, const EvalTotals *totals, const EvalScores *scores, double *value)
{
  *value = NAN;
  if (eval_totals_get (totals, metric, value)) {
    if (isnan (*value) && totals->n_judged && strcmp (metric, "sqnr_db") == 0 &&
        totals->sums.ee == 0)
      *value = INFINITY; /* no error at all */
    return TRUE;
  }
  return scores && eval_scores_get (scores, metric, value);
}

static char *
format_number (const Condition *condition, double value)
{
  return condition->percent ? g_strdup_printf ("%.4g%%", value * 100)
                            : g_strdup_printf ("%g", value);
}

gboolean
eval_require_check (GArray *conditions, const EvalTotals *totals, const EvalScores *scores,
                    const char *who, GError **error)
{
  for (guint i = 0; i < conditions->len; i++) {
    const Condition *condition = &g_array_index (conditions, Condition, i);
    double value;
    const gboolean known = get_value (condition->metric, totals, scores, &value);
    if (known && holds (condition, value))
      continue;
    g_autofree char *limit = format_number (condition, condition->limit),
                    *found = format_number (condition, value);
    g_set_error (error, AFP_ERROR, AFP_ERROR_METRIC,
                 "%s requires %s%s%s, but %s %s%s: nothing was published", who, condition->metric,
                 operator_texts[condition->operator], limit, condition->metric,
                 !known ? "was not measured"
                 : isnan (value) ? "has no value"
                                 : "is ",
                 !known || isnan (value) ? "" : found);
    return FALSE;
  }
  return TRUE;
}
