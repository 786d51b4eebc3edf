/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "study-private.h"

#include <string.h>

/* Conditions: on choices, which are known when runs are made, and on results, which are known when they are planned or have run. */

#define STAGES "stages"
#define METRICS "metrics."

/* --- comparing ---------------------------------------------------------------------------------------------------- */

/* "3", "2.5", "15%", "64M" */
static gboolean
parse_number (const char *text, double *number)
{
  char *end;
  guint64 size;

  *number = g_ascii_strtod (text, &end);
  if (end != text && strcmp (end, "%") == 0) {
    *number /= 100;
    return TRUE;
  }
  if (end != text && *end == '\0')
    return TRUE;
  if (!afp_parse_size (text, &size))
    return FALSE;
  *number = (double) size;
  return TRUE;
}

static gboolean
holds (AfpAstOperator op, double a, double b)
{
  switch (op) {
  case AFP_AST_LESS:
    return a < b;
  case AFP_AST_AT_MOST:
    return a <= b;
  case AFP_AST_MORE:
    return a > b;
  case AFP_AST_AT_LEAST:
    return a >= b;
  case AFP_AST_EQUAL:
    return a == b;
  default:
    return a != b;
  }
}

static gboolean fail_at (const AfpAstStudy *tree, const AfpAstCondition *condition, GError **error,
                         const char *format, ...) G_GNUC_PRINTF (4, 5);

static gboolean
fail_at (const AfpAstStudy *tree, const AfpAstCondition *condition, GError **error,
         const char *format, ...)
{
  va_list args;
  va_start (args, format);
  GError *local = g_error_new_valist (AFP_ERROR, AFP_ERROR_USAGE, format, args);
  va_end (args);
  g_prefix_error (&local, "where %s: ", condition->text);
  afp_error_add_caret (local, tree->ast->text, condition->column);
  g_propagate_error (error, local);
  return FALSE;
}

/* --- choices ------------------------------------------------------------------------------------------------------ */

/* Numbers are compared as such; names only with = and !=. */
static gboolean
compare_choice (const AfpAstStudy *tree, const AfpAstCondition *condition, const char *value,
                gboolean *result, GError **error)
{
  double a, b;

  if (parse_number (value, &a) && parse_number (condition->value, &b)) {
    *result = holds (condition->op, a, b);
    return TRUE;
  }
  if (condition->op != AFP_AST_EQUAL && condition->op != AFP_AST_OTHER)
    return fail_at (tree, condition, error,
                    "'%s' and '%s' are not both numbers: only = and != compare names", value,
                    condition->value);
  *result = (strcmp (value, condition->value) == 0) == (condition->op == AFP_AST_EQUAL);
  return TRUE;
}

gboolean
study_where_choices (const AfpAstStudy *tree, GHashTable *lets, const AfpStudyRun *run,
                     gboolean *wanted, GError **error)
{
  g_autofree char *n_stages = g_strdup_printf ("%u", run->n_stages);
  g_autofree char *repeat = g_strdup_printf ("%u", run->repeat);

  *wanted = TRUE;
  for (guint i = 0; i < tree->conditions->len && *wanted; i++) {
    const AfpAstCondition *condition = tree->conditions->pdata[i];
    const char *value = g_hash_table_lookup (lets, condition->name);
    if (!value && strcmp (condition->name, STAGES) == 0)
      value = n_stages;
    if (!value && strcmp (condition->name, "repeat") == 0)
      value = repeat;
    if (!value)
      value = json_object_get_string_member_with_default (run->choices, condition->name, NULL);
    if (value && !compare_choice (tree, condition, value, wanted, error))
      return FALSE;
  }
  return TRUE;
}

/* --- results ------------------------------------------------------------------------------------------------------ */

static const char *const results[] = {
  "bytes",
  "bits_per_weight",
  "bpw",
  "weights",
  "file_bytes",
  "file_bits_per_weight",
  "extras_bytes",
  "ratio_input",
  "ratio_fp16",
  "ratio_fp32",
  "nmse",
  "sqnr_db",
  "cosine",
  "seconds",
  "nll",
  "nll_ref",
  "nll_loss",
  "perplexity",
  "perplexity_ref",
  "perplexity_loss",
  "top1",
  "top1_ref",
  "top1_loss",
  "nll_per_byte",
  "nll_per_byte_ref",
  "nll_per_byte_loss",
  "kl_mean",
  "kl_median",
  "kl_p99",
  "same_top1",
  "accuracy",
  "accuracy_ref",
  "accuracy_loss",
  "accuracy_stderr",
  "accuracy_norm",
  "accuracy_norm_ref",
  "accuracy_norm_loss",
  "peak_rss_bytes",
};

static gboolean
is_result (const char *name)
{
  if (g_str_has_prefix (name, METRICS))
    return TRUE;
  for (gsize i = 0; i < G_N_ELEMENTS (results); i++)
    if (strcmp (results[i], name) == 0)
      return TRUE;
  return FALSE;
}

typedef struct {
  char *name, *text;
  AfpAstOperator op;
  double value;
} Condition;

static void
condition_free (Condition *condition)
{
  g_free (condition->name);
  g_free (condition->text);
  g_free (condition);
}

static gboolean
add_result (const AfpAstStudy *tree, const AfpAstCondition *condition, AfpStudy *study,
            GError **error)
{
  const char *name = condition->name;
  double value;

  if (!parse_number (condition->value, &value))
    return fail_at (tree, condition, error, "'%s' is no number: write 3, 2.5, 15%% or 64M",
                    condition->value);
  Condition *own = g_new0 (Condition, 1);
  if (g_str_has_prefix (name, METRICS))
    name += strlen (METRICS);
  own->name = g_strdup (strcmp (name, "bpw") == 0 ? "bits_per_weight" : name);
  own->text = g_strdup (condition->text);
  own->op = condition->op;
  own->value = value;
  g_ptr_array_add (study->conditions, own);
  return TRUE;
}

static gboolean
fail_unknown (const AfpAstStudy *tree, const AfpAstCondition *condition, const AfpStudy *study,
              GHashTable *lets, GError **error)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new ();
  GHashTableIter iter;
  gpointer name;

  for (guint i = 0; i < study->names->len; i++)
    g_ptr_array_add (names, study->names->pdata[i]);
  g_hash_table_iter_init (&iter, lets);
  while (g_hash_table_iter_next (&iter, &name, NULL))
    g_ptr_array_add (names, name);
  for (gsize i = 0; i < G_N_ELEMENTS (results); i++)
    g_ptr_array_add (names, (gpointer) results[i]);
  g_ptr_array_add (names, (gpointer) STAGES);
  const char *nearest =
      afp_nearest_name (condition->name, (const char *const *) names->pdata, names->len);
  return fail_at (
      tree, condition, error,
      "'%s' is neither a choice of this study nor a result%s%s%s: choices are variables, "
      "'stages', and properties with several values, as in vptq.k; results are bpw, bytes, nmse, nll, ..., and " METRICS
      "NAME for what a command= says",
      condition->name, nearest ? "; did you mean '" : "", nearest ? nearest : "",
      nearest ? "'?" : "");
}

static gboolean
is_choice (const AfpStudy *study, GHashTable *lets, const char *name)
{
  return g_hash_table_contains (lets, name) || strcmp (name, STAGES) == 0 ||
         strcmp (name, "repeat") == 0 ||
         g_ptr_array_find_with_equal_func (study->names, name, g_str_equal, NULL);
}

static void
free_condition (gpointer condition)
{
  condition_free (condition);
}

gboolean
study_where_results (const AfpAstStudy *tree, GHashTable *lets, AfpStudy *study, GError **error)
{
  study->conditions = g_ptr_array_new_with_free_func (free_condition);
  for (guint i = 0; i < tree->conditions->len; i++) {
    const AfpAstCondition *condition = tree->conditions->pdata[i];
    if (is_choice (study, lets, condition->name))
      continue;
    if (!is_result (condition->name))
      return fail_unknown (tree, condition, study, lets, error);
    if (!add_result (tree, condition, study, error))
      return FALSE;
  }
  return TRUE;
}

/* A number of that name, in @object or in its "metrics". */
static gboolean
find_number (JsonObject *object, const char *name, double *number)
{
  JsonNode *node = json_object_get_member (object, name);
  JsonNode *metrics = json_object_get_member (object, "metrics");

  if (!node && metrics && JSON_NODE_HOLDS_OBJECT (metrics))
    node = json_object_get_member (json_node_get_object (metrics), name);
  if (!node || !JSON_NODE_HOLDS_VALUE (node) ||
      (json_node_get_value_type (node) != G_TYPE_INT64 &&
       json_node_get_value_type (node) != G_TYPE_DOUBLE))
    return FALSE;
  *number = json_node_get_double (node);
  return TRUE;
}

gboolean
afp_study_accepts (const AfpStudy *study, JsonObject *object, const char **broken)
{
  for (guint i = 0; i < study->conditions->len; i++) {
    const Condition *condition = study->conditions->pdata[i];
    double number;
    if (!find_number (object, condition->name, &number) ||
        holds (condition->op, number, condition->value))
      continue;
    if (broken)
      *broken = condition->text;
    return FALSE;
  }
  return TRUE;
}
