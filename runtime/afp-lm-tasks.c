/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-lm-tasks.h"

#include "afp-lm-text.h"
#include "json-lines.h"

#include <math.h>
#include <string.h>

/* A question, or a text without its last word. */
typedef struct {
  guint line;
  char *context;  /* without blanks at its end */
  char **choices; /* as they follow the context, their blank included; of a text its last word */
  guint n_choices, answer;
  gboolean last_word;
} Task;

struct _AfpLmTasks {
  GArray *tasks; /* of Task */
  char *name;
};

static void
task_clear (gpointer data)
{
  Task *task = data;

  g_free (task->context);
  g_strfreev (task->choices);
}

void
afp_lm_tasks_free (AfpLmTasks *tasks)
{
  g_array_unref (tasks->tasks);
  g_free (tasks->name);
  g_free (tasks);
}

guint
afp_lm_tasks_get_n (const AfpLmTasks *tasks)
{
  return tasks->tasks->len;
}

static const Task *
get_task (const AfpLmTasks *tasks, guint index)
{
  return &g_array_index (tasks->tasks, Task, index);
}

/* --- from JSON ---------------------------------------------------------------------------------------------------- */

/* Bytes of @text without blanks at its end. */
static gsize
stripped_length (const char *text, gsize n)
{
  while (n > 0 && g_ascii_isspace (text[n - 1]))
    n--;
  return n;
}

static gboolean
read_text (const AfpJsonLines *lines, const char *text, Task *task, GError **error)
{
  const gsize n = stripped_length (text, strlen (text));
  gsize word = n;

  while (word > 0 && !g_ascii_isspace (text[word - 1]))
    word--;
  const gsize context = stripped_length (text, word);
  if (context == 0)
    return afp_json_lines_fail (
        lines, error,
        "the text '%.40s' has no word before its last: there is nothing to tell that from", text);
  task->last_word = TRUE;
  task->context = g_strndup (text, context);
  task->choices = g_new0 (char *, 2);
  task->choices[0] = g_strndup (text + context, n - context);
  task->n_choices = 1;
  return TRUE;
}

static gboolean
read_choices (const AfpJsonLines *lines, JsonArray *choices, Task *task, GError **error)
{
  const guint n = json_array_get_length (choices);

  if (n < 2)
    return afp_json_lines_fail (lines, error, "there are %u choices; two are the least", n);
  task->choices = g_new0 (char *, n + 1);
  task->n_choices = n;
  for (guint i = 0; i < n; i++) {
    JsonNode *node = json_array_get_element (choices, i);
    const char *choice =
        JSON_NODE_HOLDS_VALUE (node) && json_node_get_value_type (node) == G_TYPE_STRING
            ? json_node_get_string (node)
            : NULL;
    if (!choice || stripped_length (choice, strlen (choice)) == 0)
      return afp_json_lines_fail (lines, error, "choice %u is not a text with a word in it", i);
    task->choices[i] =
        g_strconcat (*task->context && !g_ascii_isspace (*choice) ? " " : "", choice, NULL);
  }
  return TRUE;
}

static gboolean
read_question (const AfpJsonLines *lines, JsonObject *object, const char *question, Task *task,
               GError **error)
{
  JsonArray *choices = afp_json_get_array (object, "choices");
  const double answer = afp_json_get_number (object, "answer", NAN);

  if (!choices)
    return afp_json_lines_fail (lines, error, "the question has no list of choices");
  task->context = g_strndup (question, stripped_length (question, strlen (question)));
  if (!read_choices (lines, choices, task, error))
    return FALSE;
  if (isnan (answer))
    return afp_json_lines_fail (
        lines, error, "the question has no answer: give the number of the choice, the first is 0");
  if (answer < 0 || answer >= task->n_choices || answer != floor (answer))
    return afp_json_lines_fail (lines, error,
                                "the answer is %.10g; of %u choices it must be one of 0 to %u",
                                answer, task->n_choices, task->n_choices - 1);
  task->answer = (guint) answer;
  return TRUE;
}

static gboolean
read_task (const AfpJsonLines *lines, JsonObject *object, Task *task, GError **error)
{
  const char *text = afp_json_get_text (object, "text", NULL),
             *question = afp_json_get_text (object, "question", NULL);

  task->line = lines->line;
  if (text && question)
    return afp_json_lines_fail (lines, error,
                                "it has both a question and a text: give one of them");
  if (question)
    return read_question (lines, object, question, task, error);
  if (text)
    return read_text (lines, text, task, error);
  return afp_json_lines_fail (
      lines, error,
      "it has neither a question with choices and answer nor a text: files of other forms can be converted "
      "with afpipe-tasks");
}

/**
 * afp_lm_tasks_parse:
 * @text: a JSON object in each line
 * @n: bytes
 * @name: of the file, for errors
 * @error: %AFP_ERROR_FORMAT: which line, and what is wrong with it; there is no question
 *
 * Returns: (transfer full): the questions
 */
AfpLmTasks *
afp_lm_tasks_parse (const char *text, gsize n, const char *name, GError **error)
{
  g_autoptr (AfpLmTasks) tasks = g_new0 (AfpLmTasks, 1);
  g_auto (AfpJsonLines) lines;
  GError *local = NULL;
  JsonObject *object;

  tasks->name = g_strdup (name);
  tasks->tasks = g_array_new (FALSE, TRUE, sizeof (Task));
  g_array_set_clear_func (tasks->tasks, task_clear);
  afp_json_lines_init (&lines, text, n, name);
  while ((object = afp_json_lines_next (&lines, &local)) != NULL) {
    g_array_set_size (tasks->tasks, tasks->tasks->len + 1);
    Task *task = &g_array_index (tasks->tasks, Task, tasks->tasks->len - 1);
    if (!read_task (&lines, object, task, &local))
      break;
  }
  if (!local && tasks->tasks->len == 0)
    g_set_error (&local, AFP_ERROR, AFP_ERROR_FORMAT, "'%s' has no question in it", name);
  if (!local)
    return g_steal_pointer (&tasks);
  g_propagate_error (error, local);
  return NULL;
}

/* --- to tokens ---------------------------------------------------------------------------------------------------- */

/*
 * The tokens of the choice are those of the whole behind as many as the context has alone, @before. A document that is longer than the model's
 * context loses its beginning.
 */
static gboolean
add_choice (AfpLmTextBuilder *builder, const AfpLmTasks *tasks, const Task *task, guint choice,
            gsize before, const AfpTokenizer *tokenizer, guint context, GError **error)
{
  const guint32 bos = afp_tokenizer_get_bos (tokenizer);
  g_autofree char *whole = g_strconcat (task->context, task->choices[choice], NULL);
  g_autoptr (GArray) ids = afp_tokenizer_encode (tokenizer, whole, strlen (whole));
  gsize known = MIN (before, ids->len > 0 ? ids->len - 1 : 0);

  if (bos != AFP_TOKEN_NONE && (afp_tokenizer_adds_bos (tokenizer) || !*task->context)) {
    g_array_prepend_val (ids, bos);
    known++;
  }
  known = MAX (known, 1); /* the first is told from nothing */
  const gsize cut = ids->len > (gsize) context + 1 ? ids->len - context - 1 : 0;
  if (ids->len > known && cut < known) {
    afp_lm_text_builder_add (builder, (const guint32 *) (gpointer) ids->data + cut,
                             ids->len - 1 - cut, known - 1 - cut);
    return TRUE;
  }
  if (ids->len <= known)
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                 "line %u of '%s': choice %u has no token that follows another", task->line,
                 tasks->name, choice);
  else
    g_set_error (
        error, AFP_ERROR, AFP_ERROR_FORMAT,
        "line %u of '%s': choice %u has %u tokens, the model's context is %u: leave the line out",
        task->line, tasks->name, choice, ids->len - (guint) known, context);
  return FALSE;
}

/**
 * afp_lm_tasks_make_text:
 * @tasks: questions
 * @tokenizer: the model's
 * @context: tokens that the model sees at the most
 * @error: %AFP_ERROR_FORMAT: a choice without a token to predict, or with more than the context has
 *
 * A document begins with BOS if the tokenizer puts it there, or if there is no question.
 *
 * Returns: (transfer full): a document for each choice of each question, with the tokens of the choice as targets
 */
AfpLmText *
afp_lm_tasks_make_text (const AfpLmTasks *tasks, const AfpTokenizer *tokenizer, guint context,
                        GError **error)
{
  AfpLmTextBuilder builder;
  gboolean ok = TRUE;

  afp_lm_text_builder_init (&builder);
  for (guint i = 0; ok && i < tasks->tasks->len; i++) {
    const Task *task = get_task (tasks, i);
    g_autoptr (GArray) before =
        afp_tokenizer_encode (tokenizer, task->context, strlen (task->context));
    for (guint c = 0; ok && c < task->n_choices; c++)
      ok = add_choice (&builder, tasks, task, c, *task->context ? before->len : 0, tokenizer,
                       context, error);
  }
  g_autoptr (AfpLmText) text = afp_lm_text_builder_end (&builder);
  return ok ? g_steal_pointer (&text) : NULL;
}

/* --- answers ------------------------------------------------------------------------------------------------------ */

/* Bytes of a choice without the blank before it. */
static gsize
choice_bytes (const Task *task, guint choice)
{
  const char *text = task->choices[choice];

  return strlen (text) - (*task->context && *text == ' ');
}

/* One question: right or wrong, as it is and by bytes. @documents: of its first choice; moved on, as @predictions are. */
static void
answer (const Task *task, const AfpLmText *text, gsize *document,
        const AfpLmPrediction **predictions, gboolean right[2])
{
  double best[2] = { -INFINITY, -INFINITY };
  guint chosen[2] = { task->n_choices, task->n_choices };
  gboolean hits = TRUE;

  for (guint c = 0; c < task->n_choices; c++, (*document)++) {
    double log_p = 0;
    for (gsize t = text->starts[*document]; t < text->starts[*document + 1]; t++)
      if (text->targets[t] != AFP_LM_NO_TARGET) {
        log_p += (*predictions)->log_p;
        hits = hits && (*predictions)->hit;
        (*predictions)++;
      }
    const double values[2] = { log_p, log_p / (double) choice_bytes (task, c) };
    for (guint k = 0; k < 2; k++)
      if (values[k] > best[k]) {
        best[k] = values[k];
        chosen[k] = c;
      }
  }
  for (guint k = 0; k < 2; k++)
    right[k] = task->last_word ? hits : chosen[k] == task->answer;
}

static double
standard_error (double share, guint n)
{
  return n > 1 ? sqrt (share * (1 - share) / (n - 1)) : 0;
}

/**
 * afp_lm_tasks_judge:
 * @tasks: questions
 * @text: of afp_lm_tasks_make_text()
 * @predictions: what a model says of the targets of @text
 * @score: (out caller-allocates): how many it answers right. Of choices that are equally likely the first is its answer; what is not a
 *   number is never likely
 */
void
afp_lm_tasks_judge (const AfpLmTasks *tasks, const AfpLmText *text,
                    const AfpLmPrediction *predictions, AfpLmTaskScore *score)
{
  const guint n = tasks->tasks->len;
  guint right[2] = { 0, 0 };
  double guess = 0;
  gsize document = 0;

  for (guint i = 0; i < n; i++) {
    const Task *task = get_task (tasks, i);
    gboolean is_right[2];
    answer (task, text, &document, &predictions, is_right);
    for (guint k = 0; k < 2; k++)
      right[k] += is_right[k] != 0;
    guess += task->last_word ? 0 : 1.0 / task->n_choices;
  }
  *score = (AfpLmTaskScore){ .n = n,
                             .accuracy = (double) right[0] / n,
                             .accuracy_norm = (double) right[1] / n,
                             .guess = guess / n };
  score->accuracy_stderr = standard_error (score->accuracy, n);
  score->accuracy_norm_stderr = standard_error (score->accuracy_norm, n);
}

/**
 * afp_lm_tasks_score:
 * @tasks: questions
 * @text: of afp_lm_tasks_make_text(), with the models' tokenizer
 * @models: (array length=n_models): they run side by side, layer by layer
 * @n_models: at least 1
 * @max_tokens: see afp_lm_predict()
 * @pool: (nullable): threads
 * @progress: (nullable): see afp_lm_predict()
 * @user_data: for @progress
 * @scores: (out caller-allocates) (array length=n_models): one for each model
 * @error: %AFP_ERROR_PLAN, %AFP_ERROR_FORMAT, %AFP_ERROR_CANCELLED
 */
gboolean
afp_lm_tasks_score (const AfpLmTasks *tasks, const AfpLmText *text, AfpLm *const *models,
                    guint n_models, gsize max_tokens, AfpPool *pool, AfpLmProgress progress,
                    gpointer user_data, AfpLmTaskScore *scores, GError **error)
{
  const gsize n = afp_lm_text_get_n_targets (text);
  g_autofree AfpLmPrediction *predictions =
      afp_lm_predict (models, n_models, text, NULL, max_tokens, pool, progress, user_data, error);
  for (guint m = 0; predictions && m < n_models; m++)
    afp_lm_tasks_judge (tasks, text, predictions + m * n, &scores[m]);
  return predictions != NULL;
}
