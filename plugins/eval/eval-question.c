/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "eval-question.h"

#include "eval-options.h"

#include "runtime/afp-lm-tasks.h"

#include <math.h>

#define TASK_TOKENS 65536 /* of tasks, that run at once: more are of no use */

struct _EvalQuestion {
  EvalLanguage *language; /* about a text, or tasks; NULL: it is about images */
  EvalVision *vision;
  char *tasks_path;   /* NULL: none */
  GBytes *tasks_file; /* what stands there */
  AfpLmTasks *tasks;
  guint64 least; /* bytes that running takes; of an image classifier */
};

/* --- options ------------------------------------------------------------------------------------------------------ */

static gboolean
is_about_language (const EvalOptions *options)
{
  return eval_is_set (options->language.text) || eval_is_set (options->tasks);
}

gboolean
eval_options_is_empty (const EvalOptions *options)
{
  return !is_about_language (options) && !eval_is_set (options->vision.images);
}

gboolean
eval_options_check (const EvalOptions *options, GError **error)
{
  if (is_about_language (options) && eval_is_set (options->vision.images)) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_PROPERTY,
                 "%s= is for language models and images= for image classifiers: a model is one of "
                 "them",
                 eval_is_set (options->tasks) ? "tasks" : "text");
    return FALSE;
  }
  return eval_text_options_check (&options->language, error) &&
         eval_image_options_check (&options->vision, error) &&
         eval_check_file ("tasks", options->tasks, error);
}

/* The names that the question answers, and those with "_ref" and "_loss" that make sense. */
GPtrArray *
eval_options_list_metrics (const EvalOptions *options)
{
  GPtrArray *names = g_ptr_array_new_with_free_func (g_free);

  if (eval_is_set (options->language.text))
    eval_scores_list_names (eval_text_metrics, names);
  if (eval_is_set (options->tasks))
    eval_scores_list_names (eval_task_metrics, names);
  if (eval_is_set (options->vision.images))
    eval_scores_list_names (eval_image_metrics, names);
  return names;
}

char *
eval_options_to_key (const EvalOptions *options)
{
  g_autofree char *text = eval_text_options_to_key (&options->language);
  g_autofree char *images = eval_image_options_to_key (&options->vision);

  return g_strconcat (text, "\n", options->tasks ? options->tasks : "", "\n", images, NULL);
}

/* --- the question ------------------------------------------------------------------------------------------------- */

EvalQuestion *
eval_question_new (const EvalOptions *options, AfpElement *element, AfpSource *original,
                   GError **error)
{
  g_autoptr (EvalQuestion) question = g_new0 (EvalQuestion, 1);

  question->tasks_path = eval_is_set (options->tasks) ? g_strdup (options->tasks) : NULL;
  if (is_about_language (options))
    question->language = eval_language_new (&options->language, element, original, error);
  else
    question->vision = eval_vision_new (&options->vision, element, original, error);
  return question->language || question->vision ? g_steal_pointer (&question) : NULL;
}

void
eval_question_free (EvalQuestion *question)
{
  g_clear_pointer (&question->language, eval_language_free);
  g_clear_pointer (&question->vision, eval_vision_free);
  g_clear_pointer (&question->tasks, afp_lm_tasks_free);
  g_free (question->tasks_path);
  g_clear_pointer (&question->tasks_file, g_bytes_unref);
  g_free (question);
}

gboolean
eval_question_check (EvalQuestion *question, GHashTable *specs, guint64 *bytes, GError **error)
{
  g_autoptr (EvalSubject) planned = eval_subject_new_planned (specs);

  if (question->language) {
    *bytes = eval_language_get_memory (question->language, 2);
    return eval_language_check (question->language, planned, error);
  }
  g_autoptr (AfpNet) net = eval_vision_make_net (question->vision, planned, error);
  *bytes = question->least = eval_vision_get_memory (question->vision, specs);
  return net != NULL;
}

static gboolean
load_tasks (EvalQuestion *question, GError **error)
{
  gsize n;

  if (!question->tasks_path)
    return TRUE;
  char *text = eval_read_file ("tasks", question->tasks_path, &n, error);
  if (!text)
    return FALSE;
  g_clear_pointer (&question->tasks_file, g_bytes_unref);
  question->tasks_file = g_bytes_new_take (text, n);
  g_clear_pointer (&question->tasks, afp_lm_tasks_free);
  question->tasks = afp_lm_tasks_parse (text, n, question->tasks_path, error);
  return question->tasks != NULL;
}

gboolean
eval_question_load (EvalQuestion *question, GError **error)
{
  if (question->vision)
    return eval_vision_load (question->vision, error);
  return eval_language_load (question->language, error) && load_tasks (question, error);
}

/* --- asking ------------------------------------------------------------------------------------------------------- */

static void
add_text_scores (const EvalQuestion *question, const AfpLmScore *score, const AfpLmScore *reference,
                 EvalScores *scores)
{
  const double n = (double) score->n_tokens, bytes = (double) question->language->n_bytes;
  const double nll = reference ? reference->nll : NAN;

  eval_scores_add_known (scores, "nll", score->nll, nll);
  eval_scores_add_known (scores, "perplexity", exp (score->nll), exp (nll));
  eval_scores_add_known (scores, "nll_per_byte", score->nll * n / bytes, nll * n / bytes);
  eval_scores_add_known (scores, "top1", score->top1, reference ? reference->top1 : NAN);
  eval_scores_add_known (scores, "tokens", n, reference ? n : NAN);
  if (!reference)
    return;
  eval_scores_add_known (scores, "kl_mean", score->kl_mean, NAN);
  eval_scores_add_known (scores, "kl_median", score->kl_median, NAN);
  eval_scores_add_known (scores, "kl_p99", score->kl_p99, NAN);
  eval_scores_add_known (scores, "same_top1", score->same_top1, NAN);
}

/* What runs: the reference first if there is one, then every model that differs from it. */
typedef struct {
  GPtrArray *subjects; /* of EvalSubject */
  guint *places;       /* of each model that is asked: among them */
  gboolean compares;   /* the first is the reference */
} Models;

static Models
list_models (const EvalAsked *asked)
{
  Models models = { g_ptr_array_new (), g_new0 (guint, MAX (asked->n, 1)),
                    asked->reference != NULL };

  if (asked->reference)
    g_ptr_array_add (models.subjects, asked->reference);
  for (guint i = 0; i < asked->n; i++)
    if (asked->subjects[i]) {
      models.places[i] = models.subjects->len;
      g_ptr_array_add (models.subjects, asked->subjects[i]);
    }
  return models;
}

/* (transfer full) (element-type AfpLm) */
static GPtrArray *
make_languages (EvalQuestion *question, const Models *models, GError **error)
{
  g_autoptr (GPtrArray) all = g_ptr_array_new_with_free_func ((GDestroyNotify) afp_lm_free);

  for (guint i = 0; i < models->subjects->len; i++) {
    AfpLm *lm = afp_lm_new (&question->language->config, eval_subject_open,
                            models->subjects->pdata[i], error);
    if (!lm)
      return NULL;
    g_ptr_array_add (all, lm);
  }
  return g_steal_pointer (&all);
}

/* Tokens whose activations have room beside what the models take. */
static gsize
get_max_tokens (const EvalQuestion *question, guint n_models, const EvalMeans *means)
{
  const guint64 fixed = eval_language_get_memory (question->language, n_models);
  const guint64 token = (guint64) question->language->config.dim * sizeof (float) * n_models;

  return means->bytes > fixed + token ? (gsize) ((means->bytes - fixed) / token) : 1;
}

static gboolean
ask_text (EvalQuestion *question, GPtrArray *all, const Models *models, const EvalAsked *asked,
          const EvalMeans *means, GError **error)
{
  g_autofree AfpLmScore *found = g_new0 (AfpLmScore, all->len);

  if (!question->language->text)
    return TRUE;
  const gsize max_tokens = get_max_tokens (question, all->len, means);
  g_autoptr (EvalStates) states = eval_states_new (means->recall, question->language, max_tokens);
  if (!afp_lm_score ((AfpLm *const *) all->pdata, all->len, question->language->text,
                     eval_states_get (states), max_tokens, means->pool, means->progress,
                     means->user_data, found, error))
    return FALSE;
  eval_states_end (states);
  for (guint i = 0; i < asked->n; i++)
    add_text_scores (question, &found[models->places[i]], models->compares ? &found[0] : NULL,
                     asked->scores[i]);
  return TRUE;
}

static void
add_task_scores (const AfpLmTaskScore *score, const AfpLmTaskScore *reference, EvalScores *scores)
{
  eval_scores_add_known (scores, "accuracy", score->accuracy,
                         reference ? reference->accuracy : NAN);
  eval_scores_add_known (scores, "accuracy_norm", score->accuracy_norm,
                         reference ? reference->accuracy_norm : NAN);
  eval_scores_add_known (scores, "accuracy_stderr", score->accuracy_stderr,
                         reference ? reference->accuracy_stderr : NAN);
  eval_scores_add_known (scores, "accuracy_guess", score->guess, reference ? score->guess : NAN);
  eval_scores_add_known (scores, "questions", score->n, reference ? score->n : NAN);
}

/* Of models that have to run; that of the reference may be known. */
static gboolean
score_tasks (EvalQuestion *question, GPtrArray *all, const EvalMeans *means, AfpLmTaskScore *found,
             GError **error)
{
  const EvalLanguage *language = question->language;
  g_autoptr (AfpLmText) text = afp_lm_tasks_make_text (question->tasks, language->tokenizer,
                                                       language->config.context, error);
  if (!text)
    return FALSE;
  const gsize max_tokens = get_max_tokens (question, all->len, means);
  g_autoptr (AfpAnalysis) analysis =
      eval_recall_tasks (means->recall, language, text, max_tokens, question->tasks_file);
  g_autoptr (GBytes) known = eval_recall_find (means->recall, analysis, sizeof *found);
  const guint first = known != NULL;

  if (known)
    found[0] = *(const AfpLmTaskScore *) g_bytes_get_data (known, NULL);
  if (all->len > first &&
      !afp_lm_tasks_score (question->tasks, text, (AfpLm *const *) all->pdata + first,
                           all->len - first, max_tokens, means->pool, means->progress,
                           means->user_data, found + first, error))
    return FALSE;
  if (analysis && !known) {
    g_autoptr (GBytes) bytes = g_bytes_new (found, sizeof *found);
    eval_recall_keep (means->recall, analysis, bytes);
  }
  return TRUE;
}

static gboolean
ask_tasks (EvalQuestion *question, GPtrArray *all, const Models *models, const EvalAsked *asked,
           const EvalMeans *means, GError **error)
{
  g_autofree AfpLmTaskScore *found = g_new0 (AfpLmTaskScore, all->len);

  if (!question->tasks)
    return TRUE;
  if (!score_tasks (question, all, means, found, error))
    return FALSE;
  for (guint i = 0; i < asked->n; i++)
    add_task_scores (&found[models->places[i]], models->compares ? &found[0] : NULL,
                     asked->scores[i]);
  return TRUE;
}

static gboolean
ask_language (EvalQuestion *question, const Models *models, const EvalAsked *asked,
              const EvalMeans *means, GError **error)
{
  g_autoptr (GPtrArray) all = make_languages (question, models, error);

  return all && ask_text (question, all, models, asked, means, error) &&
         ask_tasks (question, all, models, asked, means, error);
}

/* --- asking a classifier ------------------------------------------------------------------------------------------ */

static void
add_image_scores (const AfpNetScore *score, const AfpNetScore *reference, EvalScores *scores)
{
  const double n = (double) score->n, p = score->accuracy;

  eval_scores_add_known (scores, "accuracy", p, reference ? reference->accuracy : NAN);
  eval_scores_add_known (scores, "accuracy_stderr", n > 1 ? sqrt (p * (1 - p) / (n - 1)) : NAN,
                         NAN);
  eval_scores_add_known (scores, "hits", (double) score->hits,
                         reference ? (double) reference->hits : NAN);
  eval_scores_add_known (scores, "images", n, reference ? n : NAN);
  if (!reference)
    return;
  eval_scores_add_known (scores, "kl_mean", score->kl_mean, NAN);
  eval_scores_add_known (scores, "same_top1", score->same_top1, NAN);
}

/* (transfer full) (element-type AfpNet) */
static GPtrArray *
make_nets (EvalQuestion *question, const Models *models, GError **error)
{
  g_autoptr (GPtrArray) nets = g_ptr_array_new_with_free_func ((GDestroyNotify) afp_net_free);

  for (guint i = 0; i < models->subjects->len; i++) {
    AfpNet *net = eval_vision_make_net (question->vision, models->subjects->pdata[i], error);
    if (!net)
      return NULL;
    g_ptr_array_add (nets, net);
  }
  return g_steal_pointer (&nets);
}

static gboolean
score_images (const EvalVision *vision, GPtrArray *nets, const EvalMeans *means, AfpNetScore *found,
              GError **error)
{
  const AfpNetOptions options = { vision->scale, MIN (means->bytes / 2, EVAL_VISION_ROUND) };
  const gsize size =
      vision->images->n * (gsize) afp_net_get_n_classes (nets->pdata[0]) * sizeof (float);
  g_autoptr (AfpAnalysis) analysis = eval_recall_images (means->recall, vision);
  g_autoptr (GBytes) logits = eval_recall_find (means->recall, analysis, size);
  const gboolean known = logits != NULL;

  if (!afp_net_score ((AfpNet *const *) nets->pdata, nets->len, &logits, vision->images, &options,
                      means->pool, means->progress, means->user_data, found, error))
    return FALSE;
  if (!known)
    eval_recall_keep (means->recall, analysis, logits);
  return TRUE;
}

static gboolean
ask_vision (EvalQuestion *question, const Models *models, const EvalAsked *asked,
            const EvalMeans *means, GError **error)
{
  g_autoptr (GPtrArray) nets = make_nets (question, models, error);
  g_autofree AfpNetScore *found = g_new0 (AfpNetScore, models->subjects->len);

  if (!nets || !score_images (question->vision, nets, means, found, error))
    return FALSE;
  for (guint i = 0; i < asked->n; i++)
    add_image_scores (&found[models->places[i]], models->compares ? &found[0] : NULL,
                      asked->scores[i]);
  return TRUE;
}

guint64
eval_question_get_memory (const EvalQuestion *question, guint n_models)
{
  const EvalLanguage *language = question->language;

  if (!language)
    return question->least + 2 * EVAL_VISION_ROUND;
  const guint64 tokens = MAX (language->text ? afp_lm_text_get_n_tokens (language->text) : 0,
                              question->tasks ? TASK_TOKENS : 0);
  return eval_language_get_memory (language, n_models) +
         tokens * n_models * language->config.dim * sizeof (float);
}

gboolean
eval_question_ask (EvalQuestion *question, const EvalAsked *asked, const EvalMeans *means,
                   GError **error)
{
  Models models = list_models (asked);
  const gboolean ok =
      (question->language ? ask_language : ask_vision) (question, &models, asked, means, error);

  g_ptr_array_unref (models.subjects);
  g_free (models.places);
  return ok;
}
