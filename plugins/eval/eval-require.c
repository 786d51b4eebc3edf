/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "eval-require.h"

#include <math.h>
#include <string.h>

typedef enum { GREATER, GREATER_EQUAL, LESS, LESS_EQUAL } Operator;

typedef struct {
  const char *metric; /* of eval_metric_names */
  Operator operator;
  double limit;
} Condition;

static const char *const operator_texts[] = { ">", ">=", "<", "<=" };

static gboolean
parse_condition (char *text, Condition *condition, GError **error)
{
  char *sign = strpbrk (text, "<>"), *end;

  if (!sign || sign == text) {
    g_set_error (
        error, AFP_ERROR, AFP_ERROR_PROPERTY,
        "require: '%s' is no condition: give METRIC>NUMBER, with >, >=, < or <=, like sqnr_db>10",
        text);
    return FALSE;
  }
  const gboolean equal = sign[1] == '=';
  condition->operator= * sign == '>' ? (equal ? GREATER_EQUAL : GREATER)
                                     : (equal ? LESS_EQUAL : LESS);
  const char *number = sign + (equal ? 2 : 1);
  condition->limit = g_ascii_strtod (number, &end);
  if (end == number || *g_strchug (end) != '\0' || !isfinite (condition->limit)) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_PROPERTY, "require: '%s' in '%s' is not a number",
                 number, text);
    return FALSE;
  }
  g_autofree char *name = g_strstrip (g_strndup (text, (gsize) (sign - text)));
  for (guint i = 0; eval_metric_names[i]; i++)
    if (strcmp (name, eval_metric_names[i]) == 0) {
      condition->metric = eval_metric_names[i];
      return TRUE;
    }
  const char *near =
      afp_nearest_name (name, eval_metric_names, g_strv_length ((char **) eval_metric_names));
  g_autofree char *all = g_strjoinv (", ", (char **) eval_metric_names);
  g_set_error (error, AFP_ERROR, AFP_ERROR_PROPERTY, "require: no metric '%s'%s%s%s; there are %s",
               name, near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "", all);
  return FALSE;
}

GArray *
eval_require_parse (const char *text, GError **error)
{
  g_autoptr (GArray) conditions = g_array_new (FALSE, FALSE, sizeof (Condition));
  g_auto (GStrv) parts = g_strsplit (text ? text : "", ",", -1);

  for (guint i = 0; parts[i]; i++) {
    Condition condition;
    if (!*g_strstrip (parts[i]))
      continue;
    if (!parse_condition (parts[i], &condition, error))
      return NULL;
    g_array_append_val (conditions, condition);
  }
  return g_steal_pointer (&conditions);
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

gboolean
eval_require_check (GArray *conditions, const EvalTotals *totals, const char *who, GError **error)
{
  for (guint i = 0; i < conditions->len; i++) {
    const Condition *condition = &g_array_index (conditions, Condition, i);
    double value = NAN;
    eval_totals_get (totals, condition->metric, &value);
    if (isnan (value) && totals->n_judged && strcmp (condition->metric, "sqnr_db") == 0 &&
        totals->sums.ee == 0)
      value = INFINITY; /* no error at all */
    if (holds (condition, value))
      continue;
    g_autofree char *text =
        isnan (value) ? g_strdup ("has no value") : g_strdup_printf ("is %g", value);
    g_set_error (error, AFP_ERROR, AFP_ERROR_METRIC, "%s requires %s%s%g, but %s %s: nothing was published", who,
                 condition->metric, operator_texts[condition->operator], condition->limit, condition->metric, text);
    return FALSE;
  }
  return TRUE;
}
