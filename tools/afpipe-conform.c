/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "conform/conform.h"
#include "tool-util.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <locale.h>
#include <string.h>
#include <unistd.h>

/*
 * afpipe-conform: does a codec keep what it promises? The same battery for ours and for others'.
 */
#define TOOL "afpipe-conform"

static struct {
  gboolean json, quick, verbose;
  int limit;
  char *only;
  char **except;
} options = { .limit = 60 };

static const GOptionEntry entries[] = {
  { "quick", 0, 0, G_OPTION_ARG_NONE, &options.quick, "A smaller battery, for slow codecs", NULL },
  { "only", 0, 0, G_OPTION_ARG_STRING, &options.only, "Only the cases whose name matches", "GLOB" },
  { "except", 0, 0, G_OPTION_ARG_STRING_ARRAY, &options.except,
    "Not the cases whose name matches (may be given more than once)", "GLOB" },
  { "timeout", 0, 0, G_OPTION_ARG_INT, &options.limit, "Seconds that a case may take (default 60)",
    "N" },
  { "verbose", 'v', 0, G_OPTION_ARG_NONE, &options.verbose, "A line for every check", NULL },
  { "json", 0, 0, G_OPTION_ARG_NONE, &options.json, "Print JSON", NULL },
  G_OPTION_ENTRY_NULL,
};

/* What stands before a lossless coder, to give it code planes. */
#define PACKER_PREFIX "block-float planes=all force=true min-dims=0 min-weights=0 ! "

/* --- which plugin ------------------------------------------------------------------------------------------------------- */

/* A module file is put alone into a folder that is searched first; FALSE: it is no file. */
static gboolean
search_module (const char *path, char **folder, GError **error)
{
  g_autofree char *full = g_canonicalize_filename (path, NULL);
  g_autofree char *base = g_path_get_basename (full);
  g_autofree char *name =
      g_str_has_prefix (base, "afp") ? g_strdup (base) : g_strconcat ("afp", base, NULL);

  if (!g_file_test (full, G_FILE_TEST_IS_REGULAR)) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_PLUGIN, "there is no module file '%s'", path);
    return FALSE;
  }
  if (!(*folder = g_dir_make_tmp ("afpipe-conform-XXXXXX", error)))
    return FALSE;
  g_autofree char *link = g_build_filename (*folder, name, NULL);
  if (symlink (full, link) != 0) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_IO, "cannot make the link '%s': %s", link,
                 g_strerror (errno));
    return FALSE;
  }
  const char *others = g_getenv ("AFPIPE_PLUGIN_PATH");
  g_autofree char *all = g_strconcat (*folder, others && *others ? G_SEARCHPATH_SEPARATOR_S : "",
                                      others ? others : "", NULL);
  g_setenv ("AFPIPE_PLUGIN_PATH", all, TRUE);
  return TRUE;
}

static void
remove_folder (char *folder)
{
  g_autoptr (GDir) dir = folder ? g_dir_open (folder, 0, NULL) : NULL;
  const char *name;

  while (dir && (name = g_dir_read_name (dir))) {
    g_autofree char *path = g_build_filename (folder, name, NULL);
    g_unlink (path);
  }
  if (folder)
    g_rmdir (folder);
}

/* Why the module in our folder is no plugin. */
static void
set_problem (AfpRegistry *registry, const char *folder, const char *path, GError **error)
{
  g_autoptr (GPtrArray) problems = afp_registry_list_problems (registry);

  for (guint i = 0; i < problems->len; i++) {
    const AfpPluginProblem *problem = problems->pdata[i];
    if (g_str_has_prefix (problem->filename, folder)) {
      g_set_error (error, AFP_ERROR, AFP_ERROR_PLUGIN, "'%s' cannot be used: %s", path,
                   problem->reason);
      return;
    }
  }
  g_set_error (error, AFP_ERROR, AFP_ERROR_PLUGIN, "'%s' has no plugin in it", path);
}

static AfpPlugin *
find_plugin (AfpRegistry *registry, const char *name, const char *folder, GError **error)
{
  g_autoptr (GPtrArray) plugins = afp_registry_list_plugins (registry);
  g_autoptr (GPtrArray) names = g_ptr_array_new ();

  for (guint i = 0; i < plugins->len; i++) {
    AfpPlugin *plugin = plugins->pdata[i];
    const char *own = afp_plugin_get_name (plugin), *file = afp_plugin_get_filename (plugin);
    const gboolean found =
        folder ? file && g_str_has_prefix (file, folder)
               : strcmp (own, name) == 0 || (!file && strcmp (name, "builtin") == 0);
    if (found)
      return plugin;
    g_ptr_array_add (names, (gpointer) own);
  }
  if (folder) {
    set_problem (registry, folder, name, error);
    return NULL;
  }
  const char *nearest = afp_nearest_name (name, (const char *const *) names->pdata, names->len);
  g_set_error (error, AFP_ERROR, AFP_ERROR_PLUGIN, "there is no plugin '%s'%s%s%s", name,
               nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
  return NULL;
}

/* --- which elements ------------------------------------------------------------------------------------------------------ */

static gboolean
is_judged (AfpElementFactory *factory)
{
  const GType type = afp_element_factory_get_element_type (factory);

  return g_type_is_a (type, AFP_TYPE_CODEC) || g_type_is_a (type, AFP_TYPE_PACKER);
}

/* (transfer container) (element-type AfpElementFactory): the plugin's codecs and lossless coders; or the one that is asked for */
static GPtrArray *
list_elements (AfpRegistry *registry, AfpPlugin *plugin, const char *element, GError **error)
{
  g_autoptr (GPtrArray) factories = afp_registry_list_factories (registry);
  g_autoptr (GPtrArray) chosen = g_ptr_array_new ();

  for (guint i = 0; i < factories->len; i++) {
    AfpElementFactory *factory = factories->pdata[i];
    if (afp_element_factory_get_plugin (factory) != plugin)
      continue;
    if (element ? strcmp (afp_element_factory_get_name (factory), element) == 0
                : is_judged (factory))
      g_ptr_array_add (chosen, factory);
  }
  if (chosen->len && is_judged (chosen->pdata[0]))
    return g_steal_pointer (&chosen);
  if (chosen->len)
    g_set_error (error, AFP_ERROR, AFP_ERROR_USAGE,
                 "element '%s' is no codec and no lossless coder: there is no battery for it",
                 element);
  else if (element)
    g_set_error (error, AFP_ERROR, AFP_ERROR_NO_ELEMENT, "plugin '%s' has no element '%s'",
                 afp_plugin_get_name (plugin), element);
  else
    g_set_error (error, AFP_ERROR, AFP_ERROR_NO_ELEMENT,
                 "plugin '%s' has no codec and no lossless coder", afp_plugin_get_name (plugin));
  return NULL;
}

static int
print_end (ConformReport *report, const char *plugin)
{
  const guint failed = conform_report_get_count (report, CONFORM_FAIL);
  int code = 0;

  if (conform_report_get_cases (report) == 0) {
    if (options.only)
      g_printerr (TOOL ": error: no case is called '%s'\n", options.only);
    else
      g_printerr (TOOL ": error: no case is left by --except; leave some out of it\n");
    return 2;
  }

  if (options.json) {
    g_autoptr (JsonNode) node = conform_report_to_json (report, plugin);
    code = tool_print_json (TOOL, node);
  } else {
    g_autofree char *text = g_strdup_printf (
        "%s: %u cases, %u checks passed, %u failed, %u skipped\n", plugin,
        conform_report_get_cases (report), conform_report_get_count (report, CONFORM_OK), failed,
        conform_report_get_count (report, CONFORM_SKIP));
    code = tool_print_text (TOOL, text);
  }
  return code ? code : failed ? 6 : 0;
}

static int
judge (const char *name, const char *element, const char *folder)
{
  g_autoptr (GError) error = NULL;
  AfpRegistry *registry = afp_registry_get_default ();
  AfpPlugin *plugin = find_plugin (registry, name, folder, &error);
  g_autoptr (GPtrArray) factories =
      plugin ? list_elements (registry, plugin, element, &error) : NULL;

  if (!factories)
    return tool_print_error (TOOL, error);
  g_autoptr (ConformReport) report = conform_report_new (options.verbose, options.json);
  g_autoptr (GPatternSpec) only = options.only ? g_pattern_spec_new (options.only) : NULL;
  for (guint i = 0; i < factories->len; i++) {
    const gboolean packer =
        g_type_is_a (afp_element_factory_get_element_type (factories->pdata[i]), AFP_TYPE_PACKER);
    const ConformTarget target = { .element = afp_element_factory_get_name (factories->pdata[i]),
                                   .prefix = packer ? PACKER_PREFIX : "",
                                   .packer = packer,
                                   .quick = options.quick,
                                   .limit = (guint) options.limit,
                                   .only = only,
                                   .except = (const char *const *) options.except };
    conform_battery (report, &target);
  }
  return print_end (report, afp_plugin_get_name (plugin));
}

int
main (int argc, char **argv)
{
  g_auto (GStrv) arguments = g_strdupv (argv);
  g_autoptr (GError) error = NULL;
  g_autofree char *folder = NULL;
  int code = 0;

  setlocale (LC_CTYPE, "");
  if (!tool_parse_options (
          TOOL, "PLUGIN [ELEMENT]",
          "Tries codecs and lossless coders of a plugin (its name, the path of a module, or builtin) on hard cases.",
          NULL, entries, &arguments, &code))
    return code;
  const guint n = g_strv_length (arguments) - 1;
  if (n < 1 || n > 2 || options.limit < 1) {
    g_set_error (&error, AFP_ERROR, AFP_ERROR_USAGE, "%s",
                 options.limit < 1 ? "--timeout needs a number of seconds"
                                   : "usage: afpipe-conform PLUGIN [ELEMENT]");
    return tool_print_error (TOOL, error);
  }
  conform_measure_memory (argv);
  conform_chain_register ();
  if (strchr (arguments[1], G_DIR_SEPARATOR) || g_str_has_suffix (arguments[1], ".so")) {
    if (!search_module (arguments[1], &folder, &error)) {
      remove_folder (folder);
      return tool_print_error (TOOL, error);
    }
    afp_registry_get_default (); /* loads it */
    remove_folder (folder);
  }
  return judge (arguments[1], arguments[2], folder);
}
