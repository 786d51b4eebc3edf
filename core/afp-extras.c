/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-extras.h"

#include "afp-error.h"

#include <string.h>

/**
 * afp_extra_is_name:
 * @name: a text
 *
 * Returns: whether an extra can be called so
 */
gboolean
afp_extra_is_name (const char *name)
{
  const gsize n = strlen (name);

  for (const char *p = name; *p; p++)
    if (!g_ascii_isalnum (*p) && !strchr ("-_.", *p))
      return FALSE;
  return n > 0 && n <= AFP_EXTRA_MAX_NAME;
}

/* --- of a source --- */

/**
 * afp_source_list_extras:
 * @self: an open source
 *
 * Returns: (transfer full) (array zero-terminated=1): names of what it has besides tensors
 */
char **
afp_source_list_extras (AfpSource *self)
{
  AfpSourceClass *klass = AFP_SOURCE_GET_CLASS (self);
  char **names = klass->list_extras ? klass->list_extras (self) : NULL;

  return names ? names : g_new0 (char *, 1);
}

/**
 * afp_source_read_extra:
 * @self: an open source
 * @name: one of afp_source_list_extras()
 * @error: return location
 *
 * Returns: (transfer full): its bytes; %NULL with %AFP_ERROR_IO or %AFP_ERROR_FORMAT
 */
GBytes *
afp_source_read_extra (AfpSource *self, const char *name, GError **error)
{
  g_auto (GStrv) names = afp_source_list_extras (self);
  GError *local = NULL;

  if (g_strv_contains ((const char *const *) names, name)) {
    GBytes *bytes = AFP_SOURCE_GET_CLASS (self)->read_extra (self, name, &local);
    if (bytes)
      return bytes;
    g_propagate_prefixed_error (error, local, "'%s' of the model: ", name);
    return NULL;
  }
  g_autofree char *known = g_strjoinv (", ", names);
  g_set_error (error, AFP_ERROR, AFP_ERROR_IO, "%s: the model has no '%s' with it; there is %s",
               afp_element_get_name (AFP_ELEMENT (self)), name, *known ? known : "nothing");
  return NULL;
}

/* --- upstream --- */

/**
 * afp_element_list_sources:
 * @self: an element that is linked
 *
 * Returns: (transfer container) (element-type AfpElement): the sources whose tensors reach it, nearest first, each once
 */
GPtrArray *
afp_element_list_sources (AfpElement *self)
{
  g_autoptr (GHashTable) seen = g_hash_table_new (NULL, NULL);
  g_autoptr (GPtrArray) reached = g_ptr_array_new ();
  GPtrArray *sources = g_ptr_array_new ();

  g_hash_table_add (seen, self);
  g_ptr_array_add (reached, self);
  for (guint i = 0; i < reached->len; i++) {
    AfpElement *element = reached->pdata[i];
    if (AFP_IS_SOURCE (element))
      g_ptr_array_add (sources, element);
    for (guint p = 0; p < afp_element_get_n_pads (element, AFP_PAD_SINK); p++) {
      AfpPad *peer = afp_pad_get_peer (afp_element_get_pad (element, AFP_PAD_SINK, p));
      AfpElement *other = peer ? afp_pad_get_element (peer) : NULL;
      if (other && g_hash_table_add (seen, other))
        g_ptr_array_add (reached, other);
    }
  }
  return sources;
}

/**
 * afp_element_list_extras:
 * @self: an element that is linked
 *
 * Returns: (transfer full) (array zero-terminated=1): names of what the sources upstream have besides tensors, each once
 */
char **
afp_element_list_extras (AfpElement *self)
{
  g_autoptr (GPtrArray) sources = afp_element_list_sources (self);
  g_autoptr (GHashTable) seen = g_hash_table_new (g_str_hash, g_str_equal);
  GPtrArray *all = g_ptr_array_new ();

  for (guint i = 0; i < sources->len; i++) {
    g_autofree char **names = afp_source_list_extras (sources->pdata[i]);
    for (char **name = names; *name; name++)
      if (g_hash_table_add (seen, *name))
        g_ptr_array_add (all, *name);
      else
        g_free (*name);
  }
  g_ptr_array_add (all, NULL);
  return (char **) g_ptr_array_free (all, FALSE);
}

/**
 * afp_element_read_extra:
 * @self: an element that is linked
 * @name: what is wanted
 * @error: return location
 *
 * Returns: (transfer full): its bytes, from the first source upstream that has it; else %NULL with an error that tells what there is
 */
GBytes *
afp_element_read_extra (AfpElement *self, const char *name, GError **error)
{
  g_autoptr (GPtrArray) sources = afp_element_list_sources (self);

  for (guint i = 0; i < sources->len; i++) {
    g_auto (GStrv) names = afp_source_list_extras (sources->pdata[i]);
    if (g_strv_contains ((const char *const *) names, name))
      return afp_source_read_extra (sources->pdata[i], name, error);
  }
  g_auto (GStrv) known = afp_element_list_extras (self);
  g_autofree char *list = g_strjoinv (", ", known);
  g_set_error (error, AFP_ERROR, AFP_ERROR_IO,
               "%s: no model upstream has '%s' with it; there is %s", afp_element_get_name (self),
               name, *list ? list : "nothing");
  return NULL;
}
