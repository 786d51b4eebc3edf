/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "eval-recall.h"

#include "eval-spill.h"

#include "runtime/afp-runtime.h"

struct _EvalRecall {
  AfpRun *run;
  AfpElement *element;
  char *model; /* digest of the original; NULL: nothing is kept */
  gboolean told;
};

const AfpAnalysisInfo eval_recall_analyses[EVAL_RECALL_N_ANALYSES] = {
  { "states", 1, "What the last layer of the original gives for each token of text=",
    "the original's tensors, the model's configuration, tokens of the text as separator=, context= "
    "and stride= cut it, the code that runs models" },
  { "answers", 1, "How many of tasks= the original answers right",
    "the same, with tokens of the questions, and the file of them" },
  { "logits", 1, "What comes out of the original for each of images=",
    "the original's tensors, the network's configuration, pixels of the images, image-scale=, the "
    "code that runs models" },
};

EvalRecall *
eval_recall_new (AfpRun *run, AfpElement *element, AfpSource *source, GError **error)
{
  g_autoptr (EvalRecall) recall = g_new0 (EvalRecall, 1);

  recall->run = run;
  recall->element = element;
  if (!afp_run_can_keep_analysis (run, 0))
    return g_steal_pointer (&recall);
  recall->model = afp_source_digest (source, afp_run_get_pool (run), error);
  return recall->model ? g_steal_pointer (&recall) : NULL;
}

void
eval_recall_free (EvalRecall *recall)
{
  g_free (recall->model);
  g_free (recall);
}

static AfpAnalysis *
make_analysis (EvalRecall *recall, const char *name)
{
  AfpAnalysis *analysis = recall && recall->model ? afp_analysis_new (recall->element, name) : NULL;

  if (analysis) {
    afp_analysis_add_text (analysis, recall->model);
    afp_analysis_add_text (analysis, afp_runtime_get_identity ());
  }
  return analysis;
}

AfpAnalysis *
eval_recall_tasks (EvalRecall *recall, const EvalLanguage *language, const AfpLmText *text,
                   gsize max_tokens, GBytes *file)
{
  AfpAnalysis *analysis = make_analysis (recall, "answers");

  if (analysis) {
    gsize n;
    gconstpointer data = g_bytes_get_data (file, &n);
    eval_language_add_to (language, text, max_tokens, analysis);
    afp_analysis_add_data (analysis, data, n);
  }
  return analysis;
}

AfpAnalysis *
eval_recall_images (EvalRecall *recall, const EvalVision *vision)
{
  AfpAnalysis *analysis = make_analysis (recall, "logits");

  if (analysis)
    eval_vision_add_to (vision, analysis);
  return analysis;
}

GBytes *
eval_recall_find (EvalRecall *recall, AfpAnalysis *analysis, gsize size)
{
  g_autoptr (GBytes) bytes = analysis ? afp_run_find_analysis (recall->run, analysis) : NULL;

  if (!bytes || g_bytes_get_size (bytes) != size)
    return NULL;
  if (!recall->told)
    afp_run_post (recall->run,
                  afp_message_new (AFP_MESSAGE_INFO, afp_element_get_name (recall->element),
                                   "what the original says is known of an earlier run", NULL));
  recall->told = TRUE;
  return g_steal_pointer (&bytes);
}

void
eval_recall_keep (EvalRecall *recall, AfpAnalysis *analysis, GBytes *bytes)
{
  if (analysis)
    afp_run_keep_analysis (recall->run, analysis, bytes);
}

/* --- of a text ----------------------------------------------------------------------------------------------------- */

struct _EvalStates {
  EvalRecall *recall;
  AfpAnalysis *analysis; /* NULL: nothing is kept */
  guint64 row;           /* bytes of one target's */
  GBytes *known;
  EvalSpill
      *spill; /* those of targets that have run; NULL: it cannot be written, or they are known */
  EvalPlace place; /* of all of them in it */
  AfpLmStates states;
};

/* What cannot be written is not kept: that is no reason to stop. */
static void
keep_states (gpointer user_data, const float *values, gsize n)
{
  EvalStates *states = user_data;
  const EvalPlace place = { states->place.size, n * states->row };

  if (!states->spill || !eval_spill_replace (states->spill, &place, values, NULL))
    g_clear_pointer (&states->spill, eval_spill_free);
  states->place.size += place.size;
}

EvalStates *
eval_states_new (EvalRecall *recall, const EvalLanguage *language, gsize max_tokens)
{
  EvalStates *states = g_new0 (EvalStates, 1);
  const guint64 row = (guint64) language->config.dim * sizeof (float),
                size = afp_lm_text_get_n_targets (language->text) * row;

  states->recall = recall;
  states->row = row;
  if (recall && afp_run_can_keep_analysis (recall->run, size))
    states->analysis = make_analysis (recall, "states");
  if (!states->analysis)
    return states;
  eval_language_add_to (language, language->text, max_tokens, states->analysis);
  states->known = eval_recall_find (recall, states->analysis, size);
  states->spill = states->known ? NULL : eval_spill_new (NULL);
  states->states.known = states->known ? g_bytes_get_data (states->known, NULL) : NULL;
  states->states.keep = states->spill ? keep_states : NULL;
  states->states.user_data = states;
  return states;
}

const AfpLmStates *
eval_states_get (const EvalStates *states)
{
  return &states->states;
}

void
eval_states_end (EvalStates *states)
{
  g_autoptr (GBytes) bytes =
      states->spill ? eval_spill_map (states->spill, &states->place, NULL) : NULL;

  if (bytes)
    eval_recall_keep (states->recall, states->analysis, bytes);
}

void
eval_states_free (EvalStates *states)
{
  g_clear_pointer (&states->analysis, afp_analysis_unref);
  g_clear_pointer (&states->known, g_bytes_unref);
  g_clear_pointer (&states->spill, eval_spill_free);
  g_free (states);
}
