/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-lm-config.h"

#include <string.h>

/* An AfpLmRows over the tensors of a source, as planned. */
static guint64
rows_of (gpointer user_data, const char *name)
{
  AfpSource *source = user_data;

  for (gsize i = 0; i < afp_source_get_n_tensors (source); i++) {
    g_autoptr (AfpTensor) tensor = afp_source_plan_tensor (source, i, NULL);
    AfpSpec *spec = tensor ? afp_tensor_get_spec (tensor) : NULL;
    if (spec && strcmp (afp_spec_get_name (spec), name) == 0)
      return afp_spec_get_rank (spec) > 1 ? afp_spec_get_shape (spec)[0] : 1;
  }
  return 0;
}

static gboolean
read_config (AfpSource *source, const char *name, AfpLmConfig *config, GError **error)
{
  g_autoptr (GBytes) bytes = afp_source_read_extra (source, name, error);
  gsize n;

  if (!bytes)
    return FALSE;
  const void *data = g_bytes_get_data (bytes, &n);
  if (strcmp (name, AFP_EXTRA_GGUF_METADATA) == 0)
    return afp_lm_config_from_gguf (bytes, rows_of, source, config, error);
  if (strcmp (name, AFP_EXTRA_LLAMA2C_CONFIG) == 0)
    return afp_lm_config_from_llama2c (data, n, config, error);
  return afp_lm_config_from_json (data, n, config, error);
}

/**
 * afp_lm_config_find:
 * @element: an element that is linked; the sources upstream are open
 * @config: (out caller-allocates): of the first source that has one
 * @error: %AFP_ERROR_PLAN: there is none, or the model cannot be run; %AFP_ERROR_FORMAT, %AFP_ERROR_IO: it cannot be read
 *
 * Returns: whether it was found
 */
gboolean
afp_lm_config_find (AfpElement *element, AfpLmConfig *config, GError **error)
{
  static const char *const names[] = { AFP_EXTRA_CONFIG, AFP_EXTRA_GGUF_METADATA,
                                       AFP_EXTRA_LLAMA2C_CONFIG };
  g_autoptr (GPtrArray) sources = afp_element_list_sources (element);

  for (guint s = 0; s < sources->len; s++) {
    g_auto (GStrv) there = afp_source_list_extras (sources->pdata[s]);
    for (guint i = 0; i < G_N_ELEMENTS (names); i++)
      if (g_strv_contains ((const char *const *) there, names[i]))
        return read_config (sources->pdata[s], names[i], config, error);
  }
  g_auto (GStrv) there = afp_element_list_extras (element);
  g_autofree char *list = g_strjoinv (", ", there);
  g_set_error (
      error, AFP_ERROR, AFP_ERROR_PLAN,
      "%s: the model cannot be run as a language model: no model upstream has a configuration "
      "with it ('%s' beside safetensors, '%s' of a GGUF file, '%s' of a llama2.c "
      "checkpoint); there is %s. Load the folder or file that the model was published as",
      afp_element_get_name (element), names[0], names[1], names[2], *list ? list : "nothing");
  return FALSE;
}
