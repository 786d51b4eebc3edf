/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "eval-vision.h"

#include "eval-options.h"

#define LEAST_ACTIVATIONS (G_GUINT64_CONSTANT (16) << 20)

/* --- options ------------------------------------------------------------------------------------------------------ */

gboolean
eval_image_options_check (const EvalImageOptions *options, GError **error)
{
  double scale;

  if (!eval_is_set (options->images) &&
      (eval_is_set (options->labels) || eval_is_set (options->scale))) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_PROPERTY,
                 "%s= is about the images that a network is shown: give images=FILE, too",
                 eval_is_set (options->labels) ? "labels" : "image-scale");
    return FALSE;
  }
  if (eval_is_set (options->scale) &&
      !eval_parse_ratio ("image-scale", options->scale, &scale, error))
    return FALSE;
  return eval_check_file ("images", options->images, error) &&
         eval_check_file ("labels", options->labels, error);
}

char *
eval_image_options_to_key (const EvalImageOptions *options)
{
  return g_strdup_printf ("%s\n%s\n%s", options->images ? options->images : "",
                          options->labels ? options->labels : "",
                          options->scale ? options->scale : "");
}

/* --- the network -------------------------------------------------------------------------------------------------- */

static GBytes *
find_config (AfpElement *element, AfpSource *original, GError **error)
{
  GError *local = NULL;
  GBytes *config = afp_element_read_extra (element, AFP_EXTRA_KERAS_CONFIG, &local);

  if (!config && original) {
    g_clear_error (&local);
    config = afp_source_read_extra (original, AFP_EXTRA_KERAS_CONFIG, &local);
  }
  if (!config) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_PLAN,
                 "images=: the model cannot be run as a network: %s. Load the Keras .h5 file that "
                 "the model was saved as, with its model_config",
                 local->message);
    g_error_free (local);
  }
  return config;
}

EvalVision *
eval_vision_new (const EvalImageOptions *options, AfpElement *element, AfpSource *original,
                 GError **error)
{
  g_autoptr (EvalVision) vision = g_new0 (EvalVision, 1);
  double scale = 1;

  if (eval_is_set (options->scale) &&
      !eval_parse_ratio ("image-scale", options->scale, &scale, error))
    return NULL;
  vision->images_path = g_strdup (options->images);
  vision->labels_path = eval_is_set (options->labels) ? g_strdup (options->labels) : NULL;
  vision->scale = (float) scale;
  vision->config = find_config (element, original, error);
  return vision->config ? g_steal_pointer (&vision) : NULL;
}

void
eval_vision_free (EvalVision *vision)
{
  g_free (vision->images_path);
  g_free (vision->labels_path);
  g_clear_pointer (&vision->config, g_bytes_unref);
  g_clear_pointer (&vision->images, afp_images_free);
  g_free (vision);
}

AfpNet *
eval_vision_make_net (EvalVision *vision, EvalSubject *subject, GError **error)
{
  gsize n;
  const char *config = g_bytes_get_data (vision->config, &n);

  return afp_net_new (config, n, eval_subject_open, subject, error);
}

guint64
eval_vision_get_memory (const EvalVision *vision, GHashTable *specs)
{
  GHashTableIter iter;
  gpointer spec;
  guint64 most = 0;

  g_hash_table_iter_init (&iter, specs);
  while (g_hash_table_iter_next (&iter, NULL, &spec))
    most = MAX (most, afp_spec_get_n_elements (spec) * sizeof (float));
  return most + LEAST_ACTIVATIONS;
}

gboolean
eval_vision_load (EvalVision *vision, GError **error)
{
  g_clear_pointer (&vision->images, afp_images_free);
  vision->images = afp_images_load (vision->images_path, vision->labels_path, error);
  return vision->images != NULL;
}

void
eval_vision_add_to (const EvalVision *vision, AfpAnalysis *analysis)
{
  const AfpImages *images = vision->images;
  g_autofree char *form =
      g_strdup_printf ("%" G_GSIZE_FORMAT "x%ux%ux%u %d %a", images->n, images->height,
                       images->width, images->channels, images->dtype, (double) vision->scale);
  gsize n;
  gconstpointer config = g_bytes_get_data (vision->config, &n);

  afp_analysis_add_data (analysis, config, n);
  afp_analysis_add_text (analysis, form);
  gconstpointer pixels = g_bytes_get_data (images->pixels, &n);
  afp_analysis_add_data (analysis, pixels, n);
}
