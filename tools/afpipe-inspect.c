/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tool-util.h"

#include "afp-crash.h"

#include <locale.h>
#include <string.h>

/*
 * afpipe-inspect: what there is to build pipelines with. All that it says about properties comes from the elements' tables.
 */
#define TOOL "afpipe-inspect"

static struct {
  gboolean json, problems, plugins, words;
} options;

static const GOptionEntry entries[] = {
  { "problems", 0, 0, G_OPTION_ARG_NONE, &options.problems,
    "List files that could not be used as plugins, and why", NULL },
  { "plugins", 0, 0, G_OPTION_ARG_NONE, &options.plugins, "List plugins", NULL },
  { "json", 0, 0, G_OPTION_ARG_NONE, &options.json, "Print JSON", NULL },
  { "words", 0, 0, G_OPTION_ARG_NONE, &options.words,
    "Only names, one a line: of elements, of ELEMENT's properties, or with a second argument of its possible values",
    NULL },
  G_OPTION_ENTRY_NULL,
};

static const char *const type_names[] = { "bool",   "uint",   "int",  "size",
                                          "double", "string", "enum", "flags" };

/* --- to JSON: the one description, from which the text is made too --- */

static void
set_text (JsonObject *object, const char *name, const char *text)
{
  if (text)
    json_object_set_string_member (object, name, text);
  else
    json_object_set_null_member (object, name);
}

static JsonObject *
plugin_to_json (AfpPlugin *plugin)
{
  JsonObject *object = json_object_new ();

  set_text (object, "name", afp_plugin_get_name (plugin));
  set_text (object, "version", afp_plugin_get_version (plugin));
  set_text (object, "license", afp_plugin_get_license (plugin));
  set_text (object, "origin", afp_plugin_get_origin (plugin));
  set_text (object, "blurb", afp_plugin_get_blurb (plugin));
  set_text (object, "file", afp_plugin_get_filename (plugin));
  return object;
}

static JsonObject *
property_to_json (AfpElement *element, const AfpProperty *property)
{
  JsonObject *object = json_object_new ();
  g_autofree char *range = afp_property_describe_range (property);
  g_autofree char *value = afp_element_get_property_text (element, property->name);

  set_text (object, "name", property->name);
  set_text (object, "alias", property->alias);
  set_text (object, "type", type_names[property->type]);
  set_text (object, "default", value);
  set_text (object, "range", range);
  set_text (object, "unit", property->unit);
  set_text (object, "blurb", property->blurb);
  json_object_set_boolean_member (object, "required",
                                  (property->flags & AFP_PROPERTY_REQUIRED) != 0);
  json_object_set_boolean_member (object, "format", (property->flags & AFP_PROPERTY_FORMAT) != 0);
  return object;
}

static void
add_pads (JsonArray *pads, AfpElement *element, AfpPadDirection direction)
{
  for (guint i = 0; i < afp_element_get_n_pads (element, direction); i++) {
    AfpPad *pad = afp_element_get_pad (element, direction, i);
    const AfpCaps *caps = afp_pad_get_caps (pad);
    g_autofree char *text = caps ? afp_caps_to_string (caps) : g_strdup ("tensor");
    JsonObject *object = json_object_new ();

    set_text (object, "name", afp_pad_get_name (pad));
    set_text (object, "direction", direction == AFP_PAD_SINK ? "sink" : "src");
    set_text (object, "caps", text);
    json_array_add_object_element (pads, object);
  }
}

static const char *
kind_of (AfpElement *element)
{
  return AFP_IS_SOURCE (element)      ? "source"
         : AFP_IS_SINK (element)      ? "sink"
         : AFP_IS_CODEC (element)     ? "codec"
         : AFP_IS_PACKER (element)    ? "lossless coder"
         : AFP_IS_TRANSFORM (element) ? "transform"
                                      : "element";
}

static JsonObject *
analysis_to_json (const AfpAnalysisInfo *info)
{
  JsonObject *object = json_object_new ();

  set_text (object, "name", info->name);
  json_object_set_int_member (object, "version", info->version);
  set_text (object, "blurb", info->blurb);
  set_text (object, "depends", info->depends);
  return object;
}

static JsonObject *
element_to_json (AfpElementFactory *factory)
{
  g_autoptr (AfpElement) element = afp_element_factory_make (factory, NULL);
  AfpElementClass *klass = AFP_ELEMENT_GET_CLASS (element);
  JsonObject *object = json_object_new ();
  JsonArray *properties = json_array_new (), *presets = json_array_new (),
            *pads = json_array_new (), *analyses = json_array_new ();
  gsize n;
  g_autofree const AfpProperty **list = afp_element_class_list_properties (klass, &n);

  set_text (object, "name", afp_element_factory_get_name (factory));
  set_text (object, "plugin", afp_plugin_get_name (afp_element_factory_get_plugin (factory)));
  set_text (object, "kind", kind_of (element));
  set_text (object, "blurb", klass->blurb);
  set_text (object, "example", klass->example);
  if (AFP_IS_CODEC (element))
    json_object_set_int_member (object, "version", AFP_CODEC_GET_CLASS (element)->version);
  else if (AFP_IS_PACKER (element))
    json_object_set_int_member (object, "version", AFP_PACKER_GET_CLASS (element)->version);
  add_pads (pads, element, AFP_PAD_SINK);
  add_pads (pads, element, AFP_PAD_SRC);
  for (gsize i = 0; i < n; i++)
    json_array_add_object_element (properties, property_to_json (element, list[i]));
  for (gsize i = 0; i < klass->n_presets; i++) {
    JsonObject *preset = json_object_new ();
    set_text (preset, "name", klass->presets[i].name);
    set_text (preset, "values", klass->presets[i].values);
    set_text (preset, "blurb", klass->presets[i].blurb);
    json_array_add_object_element (presets, preset);
  }
  json_object_set_array_member (object, "pads", pads);
  json_object_set_array_member (object, "properties", properties);
  json_object_set_array_member (object, "presets", presets);
  for (gsize i = 0; i < klass->n_analyses; i++)
    json_array_add_object_element (analyses, analysis_to_json (&klass->analyses[i]));
  json_object_set_array_member (object, "analyses", analyses);
  return object;
}

/* --- to text --- */

static const char *
get_text (JsonObject *object, const char *name)
{
  return json_object_get_null_member (object, name) ? ""
                                                    : json_object_get_string_member (object, name);
}

static void
append_properties (GString *text, JsonArray *properties)
{
  g_string_append (text, "\nProperties\n");
  for (guint i = 0; i < json_array_get_length (properties); i++) {
    JsonObject *property = json_array_get_object_element (properties, i);
    const char *alias = get_text (property, "alias");
    g_string_append_printf (
        text, "  %s%s%s%s: %s\n      %s%s\n", get_text (property, "name"), *alias ? " (" : "",
        alias, *alias ? ")" : "", get_text (property, "range"), get_text (property, "blurb"),
        json_object_get_boolean_member (property, "required") ? " (required)" : "");
  }
}

static void
append_analyses (GString *text, JsonArray *analyses)
{
  if (json_array_get_length (analyses))
    g_string_append (text, "\nKept for later runs (afpipe-launch --cache)\n");
  for (guint i = 0; i < json_array_get_length (analyses); i++) {
    JsonObject *analysis = json_array_get_object_element (analyses, i);
    g_string_append_printf (text, "  %s: %s\n      depends on: %s\n", get_text (analysis, "name"),
                            get_text (analysis, "blurb"), get_text (analysis, "depends"));
  }
}

static char *
element_to_text (JsonObject *object, JsonObject *plugin)
{
  GString *text = g_string_new (NULL);
  JsonArray *pads = json_object_get_array_member (object, "pads");
  JsonArray *presets = json_object_get_array_member (object, "presets");

  g_string_append_printf (text, "%s: %s\n", get_text (object, "name"), get_text (object, "blurb"));
  g_string_append_printf (text, "\nA %s", get_text (object, "kind"));
  if (json_object_has_member (object, "version"))
    g_string_append_printf (text, ", format version %" G_GINT64_FORMAT,
                            json_object_get_int_member (object, "version"));
  g_string_append_printf (text, ", of plugin %s %s (%s)\n", get_text (plugin, "name"),
                          get_text (plugin, "version"), get_text (plugin, "license"));
  if (*get_text (plugin, "file"))
    g_string_append_printf (text, "  %s\n", get_text (plugin, "file"));
  g_string_append_printf (text, "  origin %s\n", get_text (plugin, "origin"));
  if (*get_text (object, "example"))
    g_string_append_printf (text, "\nExample\n  afpipe-launch \"%s\"\n",
                            get_text (object, "example"));
  if (json_array_get_length (pads))
    g_string_append (text, "\nPads\n");
  for (guint i = 0; i < json_array_get_length (pads); i++) {
    JsonObject *pad = json_array_get_object_element (pads, i);
    g_string_append_printf (text, "  %s (%s): %s\n", get_text (pad, "name"),
                            get_text (pad, "direction"), get_text (pad, "caps"));
  }
  if (json_array_get_length (presets))
    g_string_append (text, "\nPresets\n");
  for (guint i = 0; i < json_array_get_length (presets); i++) {
    JsonObject *preset = json_array_get_object_element (presets, i);
    g_string_append_printf (text, "  preset=%s: %s\n      %s\n", get_text (preset, "name"),
                            get_text (preset, "values"), get_text (preset, "blurb"));
  }
  append_analyses (text, json_object_get_array_member (object, "analyses"));
  append_properties (text, json_object_get_array_member (object, "properties"));
  return g_string_free (text, FALSE);
}

/* --- what is asked for --- */

static JsonNode *
take_object (JsonObject *object)
{
  JsonNode *node = json_node_new (JSON_NODE_OBJECT);

  json_node_take_object (node, object);
  return node;
}

static int
show_element (AfpElementFactory *factory)
{
  g_autoptr (JsonNode) node = take_object (element_to_json (factory));
  g_autoptr (JsonNode) plugin =
      take_object (plugin_to_json (afp_element_factory_get_plugin (factory)));

  if (options.json) {
    json_object_set_member (json_node_get_object (node), "plugin", g_steal_pointer (&plugin));
    return tool_print_json (TOOL, node);
  }
  g_autofree char *text =
      element_to_text (json_node_get_object (node), json_node_get_object (plugin));
  return tool_print_text (TOOL, text);
}

static int
show_problems (AfpRegistry *registry)
{
  g_autoptr (GPtrArray) problems = afp_registry_list_problems (registry);
  g_auto (GStrv) directories = afp_registry_list_directories (registry);
  g_autoptr (GString) text = g_string_new (NULL);
  JsonArray *array = json_array_new ();
  g_autoptr (JsonNode) node = json_node_new (JSON_NODE_ARRAY);

  json_node_take_array (node, array);
  for (guint i = 0; i < problems->len; i++) {
    const AfpPluginProblem *problem = problems->pdata[i];
    JsonObject *object = json_object_new ();
    set_text (object, "file", problem->filename);
    set_text (object, "reason", problem->reason);
    json_array_add_object_element (array, object);
    g_string_append_printf (text, "%s\n    %s\n", problem->filename, problem->reason);
  }
  if (options.json)
    return tool_print_json (TOOL, node);
  g_string_append_printf (text, "%u problem%s", problems->len, problems->len == 1 ? "" : "s");
  for (guint i = 0; directories[i]; i++)
    g_string_append_printf (text, "%s%s", i ? ", " : "; searched: ", directories[i]);
  g_string_append_c (text, '\n');
  return tool_print_text (TOOL, text->str);
}

static int
show_plugins (AfpRegistry *registry)
{
  g_autoptr (GPtrArray) plugins = afp_registry_list_plugins (registry);
  g_autoptr (AfpTable) table = afp_table_new ("lllll");
  JsonArray *array = json_array_new ();
  g_autoptr (JsonNode) node = json_node_new (JSON_NODE_ARRAY);

  json_node_take_array (node, array);
  for (guint i = 0; i < plugins->len; i++) {
    JsonObject *plugin = plugin_to_json (plugins->pdata[i]);
    json_array_add_object_element (array, plugin);
    afp_table_add (table, get_text (plugin, "name"), get_text (plugin, "version"),
                   get_text (plugin, "license"), get_text (plugin, "blurb"),
                   *get_text (plugin, "file") ? get_text (plugin, "file") : "(built in)", NULL);
  }
  if (options.json)
    return tool_print_json (TOOL, node);
  g_autofree char *text = afp_table_to_string (table);
  return tool_print_text (TOOL, text);
}

static int
show_all (AfpRegistry *registry)
{
  g_autoptr (GPtrArray) factories = afp_registry_list_factories (registry);
  g_autoptr (AfpTable) table = afp_table_new ("llll");
  JsonArray *array = json_array_new ();
  g_autoptr (JsonNode) node = json_node_new (JSON_NODE_ARRAY);

  json_node_take_array (node, array);
  for (guint i = 0; i < factories->len; i++) {
    JsonObject *element = element_to_json (factories->pdata[i]);
    json_array_add_object_element (array, element);
    afp_table_add (table, get_text (element, "name"), get_text (element, "kind"),
                   get_text (element, "plugin"), get_text (element, "blurb"), NULL);
  }
  if (options.json)
    return tool_print_json (TOOL, node);
  g_autoptr (GPtrArray) problems = afp_registry_list_problems (registry);
  if (problems->len)
    afp_table_add_line (table, "\n%u file%s could not be used as plugin%s: see " TOOL " --problems",
                        problems->len, problems->len == 1 ? "" : "s",
                        problems->len == 1 ? "" : "s");
  g_autofree char *text = afp_table_to_string (table);
  return tool_print_text (TOOL, text);
}

static int
show_plugin (AfpRegistry *registry, AfpPlugin *plugin)
{
  g_autoptr (GPtrArray) factories = afp_registry_list_factories (registry);
  g_autoptr (JsonNode) node = take_object (plugin_to_json (plugin));
  JsonObject *object = json_node_get_object (node);
  JsonArray *elements = json_array_new ();
  g_autoptr (GString) text = g_string_new (NULL);

  g_string_append_printf (text, "%s %s: %s\n  license %s\n  origin %s\n  file %s\n\nElements\n",
                          get_text (object, "name"), get_text (object, "version"),
                          get_text (object, "blurb"), get_text (object, "license"),
                          get_text (object, "origin"),
                          *get_text (object, "file") ? get_text (object, "file") : "(built in)");
  for (guint i = 0; i < factories->len; i++)
    if (afp_element_factory_get_plugin (factories->pdata[i]) == plugin) {
      json_array_add_string_element (elements, afp_element_factory_get_name (factories->pdata[i]));
      g_string_append_printf (text, "  %s\n", afp_element_factory_get_name (factories->pdata[i]));
    }
  json_object_set_array_member (object, "elements", elements);
  return options.json ? tool_print_json (TOOL, node) : tool_print_text (TOOL, text->str);
}

/* An element, or a plugin of that name. */
static int
show (AfpRegistry *registry, const char *name)
{
  g_autoptr (GPtrArray) plugins = afp_registry_list_plugins (registry);
  AfpElementFactory *factory = afp_registry_find (registry, name);
  g_autoptr (GError) error = NULL;

  if (factory)
    return show_element (factory);
  for (guint i = 0; i < plugins->len; i++)
    if (strcmp (afp_plugin_get_name (plugins->pdata[i]), name) == 0)
      return show_plugin (registry, plugins->pdata[i]);
  g_autoptr (AfpElement) none = afp_registry_make (registry, name, &error);
  return none ? 0 : tool_print_error (TOOL, error);
}

/* --- for completion in shells --- */

static void
add_word (GString *out, const char *word, const char *end)
{
  if (word)
    g_string_append_printf (out, "%s%s\n", word, end);
}

static void
add_property_words (GString *out, AfpElementClass *klass)
{
  gsize n;
  g_autofree const AfpProperty **rows = afp_element_class_list_properties (klass, &n);

  for (gsize i = 0; i < n; i++) {
    add_word (out, rows[i]->name, "=");
    add_word (out, rows[i]->alias, "=");
  }
  add_word (out, klass->n_presets ? "preset" : NULL, "=");
  add_word (out, "name", "=");
}

/* Nothing for numbers and texts. */
static void
add_value_words (GString *out, AfpElementClass *klass, const char *name)
{
  const AfpProperty *property = afp_element_class_find_property (klass, name);

  for (gsize i = 0; strcmp (name, "preset") == 0 && i < klass->n_presets; i++)
    add_word (out, klass->presets[i].name, "");
  if (!property)
    return;
  for (guint i = 0; property->values && property->values[i]; i++)
    add_word (out, property->values[i], "");
  add_word (out, property->type == AFP_PROPERTY_BOOL ? "true\nfalse" : NULL, "");
  add_word (out, property->flags & AFP_PROPERTY_AUTO ? "auto" : NULL, "");
}

static int
show_words (AfpRegistry *registry, char **arguments)
{
  g_autoptr (GString) out = g_string_new (NULL);
  g_autoptr (GError) error = NULL;

  if (!arguments[0]) {
    g_autoptr (GPtrArray) factories = afp_registry_list_factories (registry);
    for (guint i = 0; i < factories->len; i++)
      add_word (out, afp_element_factory_get_name (factories->pdata[i]), "");
    return tool_print_text (TOOL, out->str);
  }
  g_autoptr (AfpElement) element = afp_registry_make (registry, arguments[0], &error);
  if (!element)
    return tool_print_error (TOOL, error);
  if (arguments[1])
    add_value_words (out, AFP_ELEMENT_GET_CLASS (element), arguments[1]);
  else
    add_property_words (out, AFP_ELEMENT_GET_CLASS (element));
  return tool_print_text (TOOL, out->str);
}

int
main (int argc, char **argv)
{
  g_auto (GStrv) arguments = g_strdupv (argv);
  AfpRegistry *registry;
  int code = 0;

  setlocale (LC_CTYPE, "");
  afp_crash_install (TOOL);
  if (!tool_parse_options (TOOL, "[ELEMENT|PLUGIN ...]",
                           "Lists elements, or describes them: properties, ranges, defaults.", NULL,
                           entries, &arguments, &code))
    return code;
  registry = afp_registry_get_default ();
  if (options.problems)
    return show_problems (registry);
  if (options.plugins)
    return show_plugins (registry);
  if (options.words)
    return show_words (registry, arguments + 1);
  if (!arguments[1])
    return show_all (registry);
  for (guint i = 1; arguments[i] && code == 0; i++)
    code = show (registry, arguments[i]);
  return code;
}
