/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "writer-afp-about.h"

#include "afp-journal.h"

#include <glib/gstdio.h>
#include <string.h>

#define MAX_METRICS 2048 /* bytes of JSON of an element */

/* --- in the file -------------------------------------------------------------------------------------------------- */

/* A text that fits into an attribute, cut between characters. */
static char *
cut (char *text)
{
  static const char mark[] = " [cut]";

  if (!text || strlen (text) < AFP_FILE_MAX_TEXT)
    return text;
  char *end = g_utf8_find_prev_char (text, text + AFP_FILE_MAX_TEXT - sizeof mark);
  memcpy (end ? end : text, mark, sizeof mark);
  return text;
}

char *
afp_about_pipeline (AfpRun *run)
{
  return run ? cut (afp_pipeline_get_canonical_text (afp_run_get_pipeline (run), FALSE)) : NULL;
}

/* Of all sources, with commas between. */
char *
afp_about_fingerprint (AfpRun *run)
{
  g_autoptr (GString) text = g_string_new (NULL);
  GPtrArray *elements = run ? afp_pipeline_get_elements (afp_run_get_pipeline (run)) : NULL;

  for (guint i = 0; elements && i < elements->len; i++) {
    if (!AFP_IS_SOURCE (elements->pdata[i]))
      continue;
    g_autofree char *one = afp_source_get_fingerprint (elements->pdata[i]);
    if (one)
      g_string_append_printf (text, "%s%s", text->len ? "," : "", one);
  }
  return text->len ? cut (g_strdup (text->str)) : NULL;
}

/* Totals only: no lists, and no times, which differ from run to run. */
static void
prune (JsonObject *object)
{
  g_autoptr (GList) names = json_object_get_members (object);

  for (GList *l = names; l; l = l->next) {
    JsonNode *node = json_object_get_member (object, l->data);
    if (JSON_NODE_HOLDS_ARRAY (node) || g_str_equal (l->data, "seconds"))
      json_object_remove_member (object, l->data);
    else if (JSON_NODE_HOLDS_OBJECT (node))
      prune (json_node_get_object (node));
  }
}

/* NULL if the element found nothing out, or more than a file can hold. */
static JsonNode *
get_element_metrics (AfpElement *element)
{
  AfpElementClass *klass = AFP_ELEMENT_GET_CLASS (element);
  g_autoptr (JsonNode) metrics = klass->get_metrics ? klass->get_metrics (element) : NULL;

  if (!metrics || !JSON_NODE_HOLDS_OBJECT (metrics))
    return NULL;
  /* A copy of a node shares its object: parse it again. */
  g_autofree char *full = json_to_string (metrics, FALSE);
  g_autoptr (JsonNode) own = json_from_string (full, NULL);
  prune (json_node_get_object (own));
  JsonObject *object = json_node_get_object (own);
  for (;;) {
    g_autofree char *text = json_to_string (own, FALSE);
    g_autoptr (GList) names = json_object_get_members (object);
    if (!names)
      return NULL;
    if (strlen (text) <= MAX_METRICS)
      return g_steal_pointer (&own);
    json_object_remove_member (object, g_list_last (names)->data);
  }
}

char *
afp_about_metrics (AfpRun *run)
{
  g_autoptr (JsonNode) node = json_node_init_array (json_node_alloc (), NULL);
  JsonArray *array = json_array_new ();
  GPtrArray *elements = run ? afp_pipeline_get_elements (afp_run_get_pipeline (run)) : NULL;
  gsize bytes = 2;

  json_node_take_array (node, array);
  for (guint i = 0; elements && i < elements->len; i++) {
    JsonNode *metrics = get_element_metrics (elements->pdata[i]);
    if (!metrics)
      continue;
    JsonObject *entry = json_object_new ();
    json_object_set_string_member (entry, "name", afp_element_get_name (elements->pdata[i]));
    json_object_set_member (entry, "metrics", metrics);
    g_autoptr (JsonNode) holder = json_node_init_object (json_node_alloc (), entry);
    g_autofree char *text = json_to_string (holder, FALSE);
    bytes += strlen (text) + 1;
    if (bytes <= AFP_FILE_MAX_TEXT)
      json_array_add_object_element (array, json_object_ref (entry));
    json_object_unref (entry);
  }
  return json_array_get_length (array) ? json_to_string (node, FALSE) : NULL;
}

GStrv
afp_about_plugins (const AfpFile *file)
{
  g_autoptr (GHashTable) seen = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  g_autoptr (GPtrArray) plugins = g_ptr_array_new ();
  g_autoptr (GPtrArray) codecs = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GPtrArray) lines = g_ptr_array_new_with_free_func (g_free);
  guint at;

  for (guint i = 0; i < file->recipes->len; i++) {
    g_auto (GStrv) names = afp_recipe_list_codecs (file->recipes->pdata[i]);
    for (char **name = names; *name; name++) {
      if (!g_hash_table_add (seen, g_strdup (*name)))
        continue;
      g_autofree char *codec = g_strndup (*name, strcspn (*name, "/"));
      AfpElementFactory *factory = afp_registry_find (afp_registry_get_default (), codec);
      AfpPlugin *plugin = factory ? afp_element_factory_get_plugin (factory) : NULL;
      if (!plugin || !afp_plugin_get_filename (plugin))
        continue;
      if (!g_ptr_array_find (plugins, plugin, &at)) {
        at = plugins->len;
        g_ptr_array_add (plugins, plugin);
        g_ptr_array_add (codecs, NULL);
      }
      char *list =
          codecs->pdata[at] ? g_strconcat (codecs->pdata[at], " ", *name, NULL) : g_strdup (*name);
      g_free (codecs->pdata[at]);
      codecs->pdata[at] = list;
    }
  }
  for (guint i = 0; i < MIN (plugins->len, AFP_FILE_MAX_PLUGINS); i++)
    g_ptr_array_add (lines, g_strdup_printf ("%s %s; codecs %s; license %s; origin %s",
                                             afp_plugin_get_name (plugins->pdata[i]),
                                             afp_plugin_get_version (plugins->pdata[i]),
                                             (char *) codecs->pdata[i],
                                             afp_plugin_get_license (plugins->pdata[i]),
                                             afp_plugin_get_origin (plugins->pdata[i])));
  g_ptr_array_add (lines, NULL);
  return g_strdupv ((char **) lines->pdata);
}

/* --- in the journal ----------------------------------------------------------------------------------------------- */

static int
compare_texts (gconstpointer a, gconstpointer b)
{
  return strcmp (*(char *const *) a, *(char *const *) b);
}

/* Names and versions of what takes part: plugins, and formats of codecs. Sorted, each once. */
static JsonArray *
list_versions (GPtrArray *elements, gboolean codecs)
{
  g_autoptr (GPtrArray) texts = g_ptr_array_new_with_free_func (g_free);
  JsonArray *array = json_array_new ();

  for (guint i = 0; elements && i < elements->len; i++) {
    const char *name = afp_element_get_factory_name (elements->pdata[i]);
    AfpElementFactory *factory =
        name ? afp_registry_find (afp_registry_get_default (), name) : NULL;
    AfpPlugin *plugin = factory ? afp_element_factory_get_plugin (factory) : NULL;
    char *text = NULL;

    if (codecs && AFP_IS_CODEC (elements->pdata[i]))
      text = g_strdup_printf ("%s/%u", name, AFP_CODEC_GET_CLASS (elements->pdata[i])->version);
    else if (!codecs && plugin && afp_plugin_get_filename (plugin))
      text =
          g_strdup_printf ("%s %s", afp_plugin_get_name (plugin), afp_plugin_get_version (plugin));
    if (text && g_ptr_array_find_with_equal_func (texts, text, g_str_equal, NULL))
      g_clear_pointer (&text, g_free);
    if (text)
      g_ptr_array_add (texts, text);
  }
  g_ptr_array_sort (texts, compare_texts);
  for (guint i = 0; i < texts->len; i++)
    json_array_add_string_element (array, texts->pdata[i]);
  return array;
}

/* Size and time of the files that stages read beside the model: a file of rules, the originals of eval. */
static void
add_files (JsonObject *files, AfpElement *element)
{
  gsize n;
  g_autofree const AfpProperty **rows =
      afp_element_class_list_properties (AFP_ELEMENT_GET_CLASS (element), &n);

  for (gsize i = 0; i < n; i++) {
    GStatBuf info;
    g_autofree char *path = rows[i]->flags & AFP_PROPERTY_FILE
                                ? afp_element_get_property_text (element, rows[i]->name)
                                : NULL;
    if (!path || g_stat (path, &info) != 0)
      continue;
    g_autofree char *name =
        g_strdup_printf ("%s %s", afp_element_get_name (element), rows[i]->name);
    g_autofree char *text = g_strdup_printf (
        "%" G_GUINT64_FORMAT " bytes of %" G_GINT64_FORMAT ".%09ld", (guint64) info.st_size,
        (gint64) info.st_mtim.tv_sec, info.st_mtim.tv_nsec);
    json_object_set_string_member (files, name, text);
  }
}

/**
 * afp_about_header:
 * @run: (nullable): a run
 * @sink: (nullable): which of its outputs
 * @fingerprint: (nullable): of the input
 *
 * Returns: (transfer full): all on which the tensors of the output depend
 */
JsonNode *
afp_about_header (AfpRun *run, AfpSink *sink, const char *fingerprint)
{
  JsonNode *node = json_node_init_object (json_node_alloc (), NULL);
  GPtrArray *elements = run ? afp_pipeline_get_elements (afp_run_get_pipeline (run)) : NULL;
  g_autofree char *pipeline =
      run ? afp_pipeline_get_canonical_text (afp_run_get_pipeline (run), FALSE) : NULL;
  JsonObject *header = json_object_new (), *files = json_object_new ();

  json_node_take_object (node, header);
  json_object_set_int_member (header, "afpipe_journal", AFP_JOURNAL_VERSION);
  json_object_set_string_member (header, "tool", "afpipe " AFP_VERSION);
  json_object_set_string_member (header, "pipeline", pipeline);
  json_object_set_string_member (header, "sink",
                                 sink ? afp_element_get_name (AFP_ELEMENT (sink)) : NULL);
  json_object_set_string_member (header, "fingerprint", fingerprint);
  json_object_set_array_member (header, "plugins", list_versions (elements, FALSE));
  json_object_set_array_member (header, "codecs", list_versions (elements, TRUE));
  for (guint i = 0; elements && i < elements->len; i++)
    if (!AFP_IS_SOURCE (elements->pdata[i]) && !AFP_IS_SINK (elements->pdata[i]))
      add_files (files, elements->pdata[i]);
  json_object_set_object_member (header, "files", files);
  return node;
}
