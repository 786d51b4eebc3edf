/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "calibrate-run.h"
#include "calibrate.h"
#include "eval-options.h"
#include "eval-progress.h"
#include "eval-spill.h"

#include "runtime/afp-runtime.h"

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

/*
 * calibrate: runs the model as its source has it, before the first tensor passes, and hands on each weight of a linear layer with the
 * second moments of the layer's inputs. Nothing else is changed. What was found out is kept in a folder for later pipelines.
 *
 *   afpipe-launch "load location=model.gguf ! calibrate text=train.txt ! vptq ! eval text=test.txt ! write location=m.h5"
 */
struct _AfpCalibrate {
  AfpTransform parent_instance;
  EvalTextOptions language_options;
  EvalImageOptions vision_options;
  guint64 tokens;
  gboolean diagonal;
  char *cache;

  GError *failure;        /* why the model cannot be run: told once, by settle */
  EvalLanguage *language; /* one of the two */
  EvalVision *vision;
  GHashTable *planned; /* weight -> AfpMoments */
  guint64 memory;      /* bytes that running takes at least */
  GHashTable *found;   /* after prepare: weight -> AfpMoments */
};

G_DEFINE_FINAL_TYPE (AfpCalibrate, afp_calibrate, AFP_TYPE_TRANSFORM)

static const AfpProperty properties[] = {
  AFP_PROP_STRING ("text", NULL, AFP_PROPERTY_FILE, AfpCalibrate, language_options.text, NULL,
                   "Text that a language model reads: other than what it is judged by"),
  AFP_PROP_STRING ("separator", NULL, 0, AfpCalibrate, language_options.separator, NULL,
                   "Stands between documents of the text; without it the text is one stream"),
  AFP_PROP_UINT ("context", NULL, 0, AfpCalibrate, language_options.context, 0, 1 << 20, "0",
                 "tokens",
                 "Tokens of a document or window at most; 0: what the model was made for, up to "
                 "2048"),
  AFP_PROP_SIZE ("tokens", NULL, 0, AfpCalibrate, tokens, 0, 0x1p40, "131072", "tokens",
                 "So many are read, and the document that they end in; 0: the whole text"),
  AFP_PROP_STRING ("images", NULL, AFP_PROPERTY_FILE, AfpCalibrate, vision_options.images, NULL,
                   "Images that a classifier is shown: as of eval"),
  AFP_PROP_STRING ("labels", NULL, AFP_PROPERTY_FILE, AfpCalibrate, vision_options.labels, NULL,
                   "Their labels, if they are not in the file of the images"),
  AFP_PROP_STRING ("image-scale", NULL, 0, AfpCalibrate, vision_options.scale, NULL,
                   "What pixels are multiplied by, a number or a ratio"),
  AFP_PROP_BOOL ("diagonal", "diag", 0, AfpCalibrate, diagonal, "false",
                 "Only the mean squares of the inputs, not the whole matrix"),
  AFP_PROP_STRING (
      "cache", NULL, AFP_PROPERTY_RUN, AfpCalibrate, cache, NULL,
      "Folder where the moments are kept; by default that of afpipe-launch --cache or, "
      "without it, afpipe/moments in the user's cache"),
};

static const AfpAnalysisInfo analyses[] = {
  { "moments", 1, "Second moments of what goes into the linear layers",
    "the model's tensors and configuration, tokens of the text or pixels of the images, diagonal=, "
    "the code that runs models" },
};

/* --- the plan ----------------------------------------------------------------------------------------------------- */

static void
forget_model (AfpCalibrate *self)
{
  g_clear_error (&self->failure);
  g_clear_pointer (&self->language, eval_language_free);
  g_clear_pointer (&self->vision, eval_vision_free);
  g_clear_pointer (&self->planned, g_hash_table_unref);
}

static gboolean
calibrate_check (AfpElement *element, GError **error)
{
  AfpCalibrate *self = AFP_CALIBRATE (element);
  const gboolean text = eval_is_set (self->language_options.text),
                 images = eval_is_set (self->vision_options.images);

  forget_model (self);
  if (!eval_text_options_check (&self->language_options, error) ||
      !eval_image_options_check (&self->vision_options, error))
    return FALSE;
  if (text != images)
    return TRUE;
  g_set_error (error, AFP_ERROR, AFP_ERROR_PROPERTY,
               text ? "text= is for language models and images= for image classifiers: a model is "
                      "one of them"
                    : "say what the model is to be run on: text=FILE, or images=FILE");
  return FALSE;
}

/* Name -> AfpSpec of all that a source has. (transfer full) */
static GHashTable *
list_specs (AfpSource *source, GError **error)
{
  g_autoptr (GHashTable) specs =
      g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) afp_spec_unref);

  for (gsize i = 0; i < afp_source_get_n_tensors (source); i++) {
    g_autoptr (AfpTensor) tensor = afp_source_plan_tensor (source, i, error);
    if (!tensor)
      return NULL;
    AfpSpec *spec = afp_tensor_get_spec (tensor);
    g_hash_table_insert (specs, g_strdup (afp_spec_get_name (spec)), afp_spec_ref (spec));
  }
  return g_steal_pointer (&specs);
}

static AfpSource *
get_source (AfpCalibrate *self)
{
  g_autoptr (GPtrArray) sources = afp_element_list_sources (AFP_ELEMENT (self));

  return sources->pdata[0];
}

static gboolean
find_language (AfpCalibrate *self, EvalSubject *planned, GError **error)
{
  self->language = eval_language_new (&self->language_options, AFP_ELEMENT (self), NULL, error);
  if (!self->language || !eval_language_check (self->language, planned, error))
    return FALSE;
  self->planned = calibrate_plan_language (&self->language->config, self->diagonal);
  self->memory = calibrate_get_memory_language (self->language, self->diagonal);
  return TRUE;
}

static gboolean
find_vision (AfpCalibrate *self, EvalSubject *planned, GHashTable *specs, GError **error)
{
  g_autoptr (AfpNet) net = NULL;

  self->vision = eval_vision_new (&self->vision_options, AFP_ELEMENT (self), NULL, error);
  if (!self->vision || !(net = eval_vision_make_net (self->vision, planned, error)))
    return FALSE;
  self->planned = calibrate_plan_vision (net, self->diagonal);
  self->memory = eval_vision_get_memory (self->vision, specs) +
                 calibrate_get_memory_vision (self->planned, self->diagonal);
  return TRUE;
}

/* When the first tensor comes, sources are open. */
static void
find_model (AfpCalibrate *self)
{
  if (self->planned || self->failure)
    return;
  g_autoptr (GHashTable) specs = list_specs (get_source (self), &self->failure);
  g_autoptr (EvalSubject) planned = specs ? eval_subject_new_planned (specs) : NULL;
  if (planned && eval_is_set (self->language_options.text))
    find_language (self, planned, &self->failure);
  else if (planned)
    find_vision (self, planned, specs, &self->failure);
}

/* (transfer full): with the moments of this name, if there are any */
static AfpTensor *
attach (AfpTensor *tensor, GHashTable *table, GError **error)
{
  AfpSpec *spec = afp_tensor_get_spec (tensor);
  AfpMoments *moments = table ? g_hash_table_lookup (table, afp_spec_get_name (spec)) : NULL;

  if (!moments)
    return afp_tensor_ref (tensor);
  if (afp_moments_get_size (moments) == afp_spec_get_cols (spec))
    return afp_tensor_new_with_moments (tensor, moments);
  g_set_error (error, AFP_ERROR, AFP_ERROR_PLAN,
               "tensor '%s' has %" G_GUINT64_FORMAT " columns, its layer has %" G_GUINT64_FORMAT
               " inputs: the model is not what its configuration says",
               afp_spec_get_name (spec), afp_spec_get_cols (spec), afp_moments_get_size (moments));
  return NULL;
}

static AfpTensor *
calibrate_plan_tensor (AfpTransform *transform, AfpTensor *tensor, AfpPlan *plan, GError **error)
{
  AfpCalibrate *self = AFP_CALIBRATE (transform);

  find_model (self);
  return attach (tensor, self->planned, error);
}

static gboolean
calibrate_settle (AfpElement *element, AfpPlan *plan, GError **error)
{
  AfpCalibrate *self = AFP_CALIBRATE (element);

  if (self->failure) {
    g_propagate_error (error, g_error_copy (self->failure));
    return FALSE;
  }
  afp_plan_note_judge_memory (plan, element, self->memory);
  return TRUE;
}

/* --- before the first tensor -------------------------------------------------------------------------------------- */

/* Bytes of memory beyond which more is of no use, or as many as there are. */
static guint64
get_bytes (AfpCalibrate *self, AfpRun *run, const AfpLmText *text)
{
  const guint64 useful =
      text ? afp_lm_text_get_n_tokens (text) * self->language->config.dim * sizeof (float)
           : 2 * EVAL_VISION_ROUND;

  return MIN (self->memory + useful, afp_run_get_room (run));
}

/*
 * What the moments depend on: model, what goes with it, what it is run on, and the program. NULL: the model cannot be read.
 * @text: (nullable)
 */
static AfpAnalysis *
make_analysis (AfpCalibrate *self, AfpRun *run, const AfpLmText *text, GError **error)
{
  g_autofree char *model = afp_source_digest (get_source (self), afp_run_get_pool (run), error);

  if (!model)
    return NULL;
  g_autoptr (AfpAnalysis) analysis = afp_analysis_new (AFP_ELEMENT (self), "moments");
  afp_analysis_add_text (analysis, model);
  afp_analysis_add_text (analysis, afp_runtime_get_identity ());
  afp_analysis_add_text (analysis, self->diagonal ? "diagonal" : "full");
  if (text)
    eval_language_add_to (
        self->language, text,
        calibrate_get_max_tokens (self->language, self->diagonal, get_bytes (self, run, text)),
        analysis);
  else
    eval_vision_add_to (self->vision, analysis);
  return g_steal_pointer (&analysis);
}

/* The documents that hold so many tokens. */
static AfpLmText *
get_text (AfpCalibrate *self)
{
  const AfpLmText *all = self->language->text;
  gsize last = 1;

  while (last < all->n_documents && (self->tokens == 0 || all->starts[last] < self->tokens))
    last++;
  return afp_lm_text_new_part (all, 0, last);
}

/* @text: (nullable): else the images are shown */
static gboolean
run_model (AfpCalibrate *self, AfpRun *run, const AfpLmText *text, const char *path, GError **error)
{
  EvalProgress progress;
  g_autoptr (EvalSubject) subject = eval_subject_new (get_source (self), NULL, error);
  g_autoptr (MomentWriter) writer = subject ? moment_writer_new (path, error) : NULL;

  eval_progress_init (&progress, run, AFP_ELEMENT (self));
  const CalibrateMeans means = { self->diagonal, get_bytes (self, run, text),
                                 afp_run_get_pool (run), eval_progress_tell, &progress };
  if (!writer || !afp_run_borrow_memory (run, means.bytes, error))
    return FALSE;
  const gboolean ok =
      text ? calibrate_run_language (self->language, text, subject, &means, writer, error)
           : calibrate_run_vision (self->vision, subject, &means, writer, error);
  afp_run_return_memory (run);
  return ok && moment_writer_end (writer, error);
}

static void
say (AfpCalibrate *self, AfpRun *run, AfpMessageType type, char *text)
{
  afp_run_post (run, afp_message_new (type, afp_element_get_name (AFP_ELEMENT (self)), text, NULL));
  g_free (text);
}

/* From the cache; NULL: they have to be found out. @path: (nullable): a file; else the folder of the run */
static GHashTable *
look_up (AfpCalibrate *self, AfpRun *run, AfpAnalysis *analysis, const char *path)
{
  g_autoptr (GError) local = NULL;
  g_autoptr (GBytes) kept = path ? NULL : afp_run_find_analysis (run, analysis);
  GHashTable *found = kept ? moment_file_parse (kept)
                      : path && g_file_test (path, G_FILE_TEST_EXISTS)
                          ? moment_file_read (path, &local)
                          : NULL;

  if (found)
    say (self, run, AFP_MESSAGE_INFO,
         path ? g_strdup_printf ("moments are those of an earlier run: '%s'", path)
              : g_strdup ("moments are those of an earlier run"));
  else if (local)
    say (self, run, AFP_MESSAGE_WARNING,
         g_strdup_printf ("%s; the model is run again", local->message));
  return found;
}

/* (nullable): where they are kept; NULL: in no file of ours */
static char *
make_path (AfpCalibrate *self, AfpRun *run, AfpAnalysis *analysis)
{
  g_autofree char *name = g_strconcat (afp_analysis_get_key (analysis), ".moments", NULL);

  if (eval_is_set (self->cache))
    return g_build_filename (self->cache, name, NULL);
  return afp_run_can_keep_analysis (run, 0)
             ? NULL
             : g_build_filename (g_get_user_cache_dir (), "afpipe", "moments", name, NULL);
}

/* Into a file that goes at once, unless @path says where it stays. */
static GHashTable *
find_out (AfpCalibrate *self, AfpRun *run, const AfpLmText *text, AfpAnalysis *analysis,
          const char *path, GError **error)
{
  g_autofree char *temporary =
      g_strdup_printf ("%s/afpipe-%d.moments", eval_temporary_folder (), (int) getpid ());
  const char *place = path ? path : temporary;
  GHashTable *found =
      run_model (self, run, text, place, error) ? moment_file_read (place, error) : NULL;
  g_autoptr (GBytes) bytes = found && !path ? afp_mapped_new (temporary, NULL) : NULL;

  if (bytes)
    afp_run_keep_analysis (run, analysis, bytes);
  if (!path)
    g_unlink (temporary);
  return found;
}

static gboolean
calibrate_prepare (AfpElement *element, AfpRun *run, GError **error)
{
  AfpCalibrate *self = AFP_CALIBRATE (element);
  g_autoptr (AfpLmText) text = NULL;

  if (self->language ? !eval_language_load (self->language, error)
                     : !eval_vision_load (self->vision, error))
    return FALSE;
  if (self->language)
    text = get_text (self);
  g_autoptr (AfpAnalysis) analysis = make_analysis (self, run, text, error);
  if (!analysis)
    return FALSE;
  g_autofree char *path = make_path (self, run, analysis);
  self->found = look_up (self, run, analysis, path);
  if (!self->found)
    self->found = find_out (self, run, text, analysis, path, error);
  return self->found != NULL;
}

/* --- the run ------------------------------------------------------------------------------------------------------ */

static AfpTensor *
calibrate_process (AfpTransform *transform, AfpTensor *tensor, GError **error)
{
  return attach (tensor, AFP_CALIBRATE (transform)->found, error);
}

static void
calibrate_stop (AfpElement *element, gboolean ok)
{
  g_clear_pointer (&AFP_CALIBRATE (element)->found, g_hash_table_unref);
}

static void
afp_calibrate_finalize (GObject *object)
{
  AfpCalibrate *self = AFP_CALIBRATE (object);

  forget_model (self);
  g_clear_pointer (&self->found, g_hash_table_unref);
  G_OBJECT_CLASS (afp_calibrate_parent_class)->finalize (object);
}

static void
afp_calibrate_class_init (AfpCalibrateClass *klass)
{
  AfpElementClass *element_class = AFP_ELEMENT_CLASS (klass);

  G_OBJECT_CLASS (klass)->finalize = afp_calibrate_finalize;
  afp_element_class_add_properties (element_class, properties, G_N_ELEMENTS (properties), 0);
  afp_element_class_set_analyses (element_class, analyses, G_N_ELEMENTS (analyses));
  afp_element_class_set_details (
      element_class, "Runs the model and tells codecs what goes into its linear layers",
      "load location=model.gguf ! calibrate text=train.txt ! vptq ! write location=m.h5");
  element_class->check = calibrate_check;
  element_class->settle = calibrate_settle;
  element_class->prepare = calibrate_prepare;
  element_class->stop = calibrate_stop;
  AFP_TRANSFORM_CLASS (klass)->plan_tensor = calibrate_plan_tensor;
  AFP_TRANSFORM_CLASS (klass)->process = calibrate_process;
  AFP_TRANSFORM_CLASS (klass)->sample = calibrate_process;
}

static void
afp_calibrate_init (AfpCalibrate *self)
{
}
