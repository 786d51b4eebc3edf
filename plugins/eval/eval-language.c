/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "eval-language.h"

#include "eval-options.h"

#define USUAL_CONTEXT 2048 /* tokens, or what the model was made for if that is less */

/* --- options ------------------------------------------------------------------------------------------------------ */

gboolean
eval_text_options_check (const EvalTextOptions *options, GError **error)
{
  const char *alone = eval_is_set (options->separator) ? "separator"
                      : options->context != 0          ? "context"
                      : options->stride != 0           ? "stride"
                                                       : NULL;

  if (!eval_is_set (options->text) && alone) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_PROPERTY,
                 "%s= is about the text that a model predicts: give text=FILE, too", alone);
    return FALSE;
  }
  if (eval_is_set (options->separator) && options->stride) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_PROPERTY,
                 "stride=%u is for one stream of text in windows; with separator= documents stand "
                 "apart: give one of them",
                 options->stride);
    return FALSE;
  }
  if (options->context && options->stride > options->context) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_PROPERTY,
                 "stride=%u is more than context=%u: text would be left out", options->stride,
                 options->context);
    return FALSE;
  }
  return eval_check_file ("text", options->text, error);
}

char *
eval_text_options_to_key (const EvalTextOptions *options)
{
  return g_strdup_printf ("%s\n%s\n%u\n%u", options->text ? options->text : "",
                          options->separator ? options->separator : "", options->context,
                          options->stride);
}

/* --- the model ---------------------------------------------------------------------------------------------------- */

/* What the model needs beside its tensors: of the sources upstream, or else with the original. */
static gboolean
find_model (EvalLanguage *language, AfpElement *element, AfpSource *original, GError **error)
{
  GError *local = NULL;

  if (afp_lm_config_find (element, &language->config, &local))
    language->tokenizer = afp_tokenizer_find (element, &language->config, &local);
  if (local && original) {
    g_clear_error (&local);
    return find_model (language, AFP_ELEMENT (original), NULL, error);
  }
  if (local)
    g_propagate_error (error, local);
  return local == NULL;
}

EvalLanguage *
eval_language_new (const EvalTextOptions *options, AfpElement *element, AfpSource *original,
                   GError **error)
{
  g_autoptr (EvalLanguage) language = g_new0 (EvalLanguage, 1);

  language->path = eval_is_set (options->text) ? g_strdup (options->text) : NULL;
  language->separator = eval_is_set (options->separator) ? g_strdup (options->separator) : NULL;
  language->stride = options->stride;
  if (!find_model (language, element, original, error))
    return NULL;
  language->context =
      options->context ? options->context : MIN (USUAL_CONTEXT, language->config.context);
  return g_steal_pointer (&language);
}

void
eval_language_free (EvalLanguage *language)
{
  g_free (language->path);
  g_free (language->separator);
  g_clear_pointer (&language->tokenizer, afp_tokenizer_free);
  g_clear_pointer (&language->text, afp_lm_text_free);
  g_free (language);
}

guint64
eval_language_get_memory (const EvalLanguage *language, guint n_models)
{
  return afp_lm_score_get_memory (&language->config, n_models, g_get_num_processors (),
                                  language->context);
}

gboolean
eval_language_check (EvalLanguage *language, EvalSubject *planned, GError **error)
{
  g_autoptr (AfpLm) lm = afp_lm_new (&language->config, eval_subject_open, planned, error);

  return lm != NULL;
}

/* --- the text ----------------------------------------------------------------------------------------------------- */

/* The token before each text, if the model's own tokenizer puts one there. */
static guint
get_begin (const AfpTokenizer *tokenizer)
{
  return afp_tokenizer_adds_bos (tokenizer) ? afp_tokenizer_get_bos (tokenizer) : AFP_TOKEN_NONE;
}

gboolean
eval_language_load (EvalLanguage *language, GError **error)
{
  const AfpLmTextOptions options = { .separator = language->separator,
                                     .context = language->context,
                                     .stride = language->stride,
                                     .bos = get_begin (language->tokenizer) };
  g_autofree char *text = NULL;
  gsize n;

  if (!language->path)
    return TRUE;
  if (!(text = eval_read_file ("text", language->path, &n, error)))
    return FALSE;
  g_clear_pointer (&language->text, afp_lm_text_free);
  language->text =
      afp_lm_text_new (language->tokenizer, text, n, &options, &language->n_bytes, error);
  if (!language->text)
    g_prefix_error (error, "text=%s: ", language->path);
  return language->text != NULL;
}

void
eval_language_add_to (const EvalLanguage *language, const AfpLmText *text, gsize max_tokens,
                      AfpAnalysis *analysis)
{
  g_autoptr (GArray) ends = g_array_new (FALSE, FALSE, sizeof (gsize));
  const gsize n = afp_lm_text_get_n_tokens (text);

  afp_analysis_add_data (analysis, &language->config, sizeof language->config);
  afp_analysis_add_data (analysis, text->tokens, n * sizeof *text->tokens);
  afp_analysis_add_data (analysis, text->targets, n * sizeof *text->targets);
  afp_analysis_add_data (analysis, text->starts, (text->n_documents + 1) * sizeof *text->starts);
  for (gsize first = 0, last; first < text->n_documents; first = last) {
    last = afp_lm_text_get_part_end (text, first, max_tokens);
    g_array_append_val (ends, last);
  }
  afp_analysis_add_data (analysis, ends->data, ends->len * sizeof (gsize));
}
