/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "eval-scores.h"

#include <math.h>
#include <string.h>

#define LOSS "_loss"
#define REFERENCE "_ref"

/* In the order in which they are told. */
static const struct {
  const char *name;
  EvalKind kind;
} kinds[] = {
  { "nll", EVAL_LESS_IS_BETTER },
  { "perplexity", EVAL_LESS_IS_BETTER },
  { "nll_per_byte", EVAL_LESS_IS_BETTER },
  { "top1", EVAL_MORE_IS_BETTER },
  { "tokens", EVAL_COUNT },
  { "kl_mean", EVAL_PLAIN },
  { "kl_median", EVAL_PLAIN },
  { "kl_p99", EVAL_PLAIN },
  { "same_top1", EVAL_PLAIN },
  { "accuracy", EVAL_MORE_IS_BETTER },
  { "accuracy_norm", EVAL_MORE_IS_BETTER },
  { "accuracy_stderr", EVAL_PLAIN },
  { "accuracy_guess", EVAL_PLAIN },
  { "questions", EVAL_COUNT },
  { "images", EVAL_COUNT },
  { "hits", EVAL_COUNT },
};

const char *const eval_text_metrics[] = { "nll",       "perplexity", "nll_per_byte", "top1",
                                          "tokens",    "kl_mean",    "kl_median",    "kl_p99",
                                          "same_top1", NULL };
const char *const eval_task_metrics[] = { "accuracy",       "accuracy_norm", "accuracy_stderr",
                                          "accuracy_guess", "questions",     NULL };
const char *const eval_image_metrics[] = { "accuracy", "accuracy_stderr", "images", "hits",
                                           "kl_mean",  "same_top1",       NULL };

static EvalKind
get_kind (const char *name)
{
  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    if (strcmp (kinds[i].name, name) == 0)
      return kinds[i].kind;
  return EVAL_UNKNOWN;
}

/* Is there something in it that is better or worse? */
static gboolean
compares (EvalKind kind)
{
  return kind == EVAL_LESS_IS_BETTER || kind == EVAL_MORE_IS_BETTER;
}

void
eval_scores_list_names (const char *const *names, GPtrArray *all)
{
  for (; *names; names++) {
    g_ptr_array_add (all, g_strdup (*names));
    if (!compares (get_kind (*names)))
      continue;
    g_ptr_array_add (all, g_strconcat (*names, REFERENCE, NULL));
    g_ptr_array_add (all, g_strconcat (*names, LOSS, NULL));
  }
}

EvalScores *
eval_scores_new (void)
{
  EvalScores *scores = g_new0 (EvalScores, 1);

  scores->scores = g_array_new (FALSE, FALSE, sizeof (EvalScore));
  return scores;
}

void
eval_scores_free (EvalScores *scores)
{
  g_array_unref (scores->scores);
  g_free (scores);
}

static EvalScore *
find (const EvalScores *scores, const char *name)
{
  for (guint i = 0; i < scores->scores->len; i++) {
    EvalScore *score = &g_array_index (scores->scores, EvalScore, i);
    if (strcmp (score->name, name) == 0)
      return score;
  }
  return NULL;
}

void
eval_scores_add (EvalScores *scores, const char *name, EvalKind kind, double value,
                 double reference)
{
  const EvalScore score = { g_intern_string (name), kind, value, reference };
  EvalScore *old = find (scores, name);

  if (old)
    *old = score;
  else
    g_array_append_val (scores->scores, score);
}

void
eval_scores_add_known (EvalScores *scores, const char *name, double value, double reference)
{
  eval_scores_add (scores, name, get_kind (name), value, reference);
}

void
eval_scores_add_foreign (EvalScores *scores, const char *name, double value, double reference)
{
  const EvalKind kind = get_kind (name);

  eval_scores_add (scores, name, kind == EVAL_UNKNOWN ? EVAL_MORE_IS_BETTER : kind, value,
                   reference);
}

double
eval_score_get_loss (const EvalScore *score)
{
  const double change = (score->value - score->reference) / score->reference;

  if (score->kind == EVAL_LESS_IS_BETTER)
    return change;
  return score->kind == EVAL_MORE_IS_BETTER ? 0 - change : NAN;
}

/* The score whose name with @suffix is @metric. */
static EvalScore *
find_with (const EvalScores *scores, const char *metric, const char *suffix)
{
  if (!g_str_has_suffix (metric, suffix))
    return NULL;
  g_autofree char *name = g_strndup (metric, strlen (metric) - strlen (suffix));
  return find (scores, name);
}

gboolean
eval_scores_get (const EvalScores *scores, const char *metric, double *value)
{
  const EvalScore *score = find (scores, metric);

  if (score) {
    *value = score->value;
    return TRUE;
  }
  score = find_with (scores, metric, LOSS);
  if (score) {
    *value = eval_score_get_loss (score);
    return TRUE;
  }
  score = find_with (scores, metric, REFERENCE);
  if (score)
    *value = score->reference;
  return score != NULL;
}

static void
set_number (JsonObject *object, const char *name, const char *suffix, EvalKind kind, double value)
{
  g_autofree char *member = g_strconcat (name, suffix, NULL);

  if (kind == EVAL_COUNT && isfinite (value))
    json_object_set_int_member (object, member, (gint64) value);
  else
    json_object_set_member (object, member, afp_json_number_or_null (value));
}

void
eval_scores_to_json (const EvalScores *scores, JsonObject *object)
{
  for (guint i = 0; i < scores->scores->len; i++) {
    const EvalScore *score = &g_array_index (scores->scores, EvalScore, i);

    set_number (object, score->name, "", score->kind, score->value);
    if (!compares (score->kind))
      continue;
    set_number (object, score->name, REFERENCE, score->kind, score->reference);
    set_number (object, score->name, LOSS, EVAL_PLAIN, eval_score_get_loss (score));
  }
}

static void
add_cell (GString *text, EvalKind kind, double value)
{
  if (!isfinite (value))
    g_string_append_printf (text, " %12s", "-");
  else if (kind == EVAL_COUNT)
    g_string_append_printf (text, " %12.0f", value);
  else
    g_string_append_printf (text, " %12.6g", value);
}

char *
eval_scores_to_string (const EvalScores *scores)
{
  GString *text = g_string_new (NULL);

  g_string_append_printf (text, "  %-16s %12s %12s %12s\n", "model", "here", "original", "loss");
  for (guint i = 0; i < scores->scores->len; i++) {
    const EvalScore *score = &g_array_index (scores->scores, EvalScore, i);
    const double loss = eval_score_get_loss (score);

    g_string_append_printf (text, "  %-16s", score->name);
    add_cell (text, score->kind, score->value);
    add_cell (text, score->kind, score->reference);
    if (isfinite (loss))
      g_string_append_printf (text, " %11.2f%%", 100 * loss);
    while (text->str[text->len - 1] == ' ')
      g_string_truncate (text, text->len - 1);
    g_string_append_c (text, '\n');
  }
  return g_string_free (text, FALSE);
}
