/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-registry-private.h"

#include "afp-crash.h"
#include "afp-error-private.h"
#include "afp-parse-private.h"
#include "afp-plugin-private.h"
#include "afp-quantizer.h"
#include "afp-scan.h"

#include <gmodule.h>
#include <string.h>

#ifndef AFP_PLUGINDIR
#define AFP_PLUGINDIR ""
#endif

struct _AfpRegistry {
  GObject parent_instance;
  GMutex lock;
  GHashTable *plugins;    /* name -> AfpPlugin */
  GHashTable *factories;  /* name -> AfpElementFactory */
  GPtrArray *problems;    /* of AfpPluginProblem */
  GPtrArray *directories; /* of char * */
  GPtrArray *files;       /* of char *: found, to be loaded */
  AfpProbeFunc probe;     /* in the helper that tries plugins; else NULL */
  gpointer probe_data;
  AfpPlugin *core; /* owns the built-in elements */
};

G_DEFINE_FINAL_TYPE (AfpRegistry, afp_registry, G_TYPE_OBJECT)

/* Built-in elements, for every registry; under builtin_lock. */
static GMutex builtin_lock;
static GPtrArray *builtins; /* of AfpPluginElement */
static AfpRegistry *default_registry;

static void
problem_free (AfpPluginProblem *problem)
{
  g_free ((char *) problem->filename);
  g_free ((char *) problem->reason);
  g_free (problem);
}

static void
afp_registry_finalize (GObject *object)
{
  AfpRegistry *self = AFP_REGISTRY (object);

  g_hash_table_unref (self->factories);
  g_hash_table_unref (self->plugins);
  g_ptr_array_unref (self->problems);
  g_ptr_array_unref (self->directories);
  g_ptr_array_unref (self->files);
  g_object_unref (self->core);
  g_mutex_clear (&self->lock);
  G_OBJECT_CLASS (afp_registry_parent_class)->finalize (object);
}

static void
afp_registry_class_init (AfpRegistryClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = afp_registry_finalize;
}

static void
afp_registry_init (AfpRegistry *self)
{
  static const AfpPluginDesc core = {
    .name = "core",
    .version = AFP_VERSION,
    .license = "LGPL-2.1-or-later",
    .origin = "",
    .blurb = "Elements of the library itself",
  };

  g_mutex_init (&self->lock);
  self->plugins = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, g_object_unref);
  self->factories = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, g_object_unref);
  self->problems = g_ptr_array_new_with_free_func ((GDestroyNotify) problem_free);
  self->directories = g_ptr_array_new_with_free_func (g_free);
  self->files = g_ptr_array_new_with_free_func (g_free);
  self->core = afp_plugin_new (&core, NULL);
  g_hash_table_insert (self->plugins, (gpointer) afp_plugin_get_name (self->core),
                       g_object_ref (self->core));
}

/* --- problems and elements --- */

static void
add_problem (AfpRegistry *self, const char *filename, const char *format, ...) G_GNUC_PRINTF (3, 4);

static void
add_problem (AfpRegistry *self, const char *filename, const char *format, ...)
{
  AfpPluginProblem *problem = g_new0 (AfpPluginProblem, 1);
  va_list args;

  va_start (args, format);
  problem->filename = g_strdup (filename);
  problem->reason = g_strdup_vprintf (format, args);
  va_end (args);
  g_ptr_array_add (self->problems, problem);
}

static void
probe (AfpRegistry *self, AfpProbeStep step)
{
  if (self->probe)
    self->probe (step, self->probe_data);
}

static void
add_element (AfpRegistry *self, AfpPlugin *plugin, const char *name, GType type)
{
  const char *filename = afp_plugin_get_filename (plugin);
  AfpElementFactory *other = g_hash_table_lookup (self->factories, name);

  if (!filename)
    filename = afp_plugin_get_name (plugin);
  if (!afp_parse_is_name (name) || strcmp (name, "tensor") == 0)
    add_problem (self, filename, "'%s' is no name for an element: letters, digits, '-' and '_'",
                 name);
  else if (other)
    add_problem (self, filename, "element '%s' already exists in plugin '%s'", name,
                 afp_plugin_get_name (afp_element_factory_get_plugin (other)));
  else if (type == G_TYPE_INVALID)
    add_problem (self, filename,
                 "element '%s' has no type: does another plugin have a type of the same name?",
                 name);
  else if (!g_type_is_a (type, AFP_TYPE_ELEMENT) || G_TYPE_IS_ABSTRACT (type))
    add_problem (self, filename, "element '%s': type %s is %s", name, g_type_name (type),
                 G_TYPE_IS_ABSTRACT (type) ? "abstract" : "not derived from AfpElement");
  else {
    AfpElementFactory *factory = afp_element_factory_new (plugin, name, type);
    g_hash_table_insert (self->factories, (gpointer) afp_element_factory_get_name (factory),
                         factory);
    if (self->probe) {
      probe (self, AFP_PROBE_MAKE);
      g_object_unref (afp_element_factory_make (factory, NULL));
    }
  }
}

/* --- files --- */

static void
use_desc (AfpRegistry *self, const AfpPluginDesc *desc, const char *filename, GModule *module)
{
  AfpPlugin *other = g_hash_table_lookup (self->plugins, desc->name);
  g_autoptr (GError) error = NULL;

  if (other) {
    const char *from = afp_plugin_get_filename (other);
    add_problem (self, filename, "plugin '%s' was already loaded from %s", desc->name,
                 from ? from : "the library itself");
    g_module_close (module);
    return;
  }
  /* From here on its code runs and its types may be registered: it stays for good. */
  g_module_make_resident (module);
  g_autoptr (AfpPlugin) plugin = afp_plugin_new (desc, filename);
  probe (self, AFP_PROBE_INIT);
  GPtrArray *elements = afp_plugin_init_elements (plugin, desc, &error);
  if (!elements) {
    add_problem (self, filename, "init of plugin '%s' failed: %s", desc->name, error->message);
    return;
  }
  if (elements->len == 0)
    add_problem (self, filename, "plugin '%s' has no element", desc->name);
  for (guint i = 0; i < elements->len; i++) {
    const AfpPluginElement *element = elements->pdata[i];
    add_element (self, plugin, element->name, element->type);
  }
  g_hash_table_insert (self->plugins, (gpointer) afp_plugin_get_name (plugin),
                       g_object_ref (plugin));
}

static void
load_module (AfpRegistry *self, const char *filename)
{
  gpointer symbol = NULL;

  probe (self, AFP_PROBE_OPEN);
  /* Not lazily: a function that is nowhere is a problem now, not the end of a run. */
  GModule *module = g_module_open (filename, G_MODULE_BIND_LOCAL);
  if (!module) {
    add_problem (self, filename, "%s", g_module_error ());
    return;
  }
  if (!g_module_symbol (module, "afp_plugin_get_desc", &symbol) || !symbol) {
    add_problem (self, filename, "no symbol afp_plugin_get_desc: this is no plugin of afpipe");
    g_module_close (module);
    return;
  }
  probe (self, AFP_PROBE_DESC);
  const AfpPluginDesc *desc = ((AfpPluginGetDesc) symbol) ();
  g_autofree char *problem = afp_plugin_desc_problem (desc);
  if (problem) {
    add_problem (self, filename, "%s", problem);
    g_module_close (module);
    return;
  }
  use_desc (self, desc, filename, module);
}

static void
load_file (AfpRegistry *self, const char *filename)
{
  AfpCrashNote note;
  g_autofree char *problem = afp_plugin_file_problem (filename);

  afp_crash_enter_file (&note, filename);
  if (problem)
    add_problem (self, filename, "%s", problem);
  else
    load_module (self, filename);
  afp_crash_leave (&note);
  probe (self, AFP_PROBE_DONE);
}

/* What the helper found out about a file: it can be loaded here, or must not be. */
static void
take_file (const char *filename, const char *problem, gpointer user_data)
{
  AfpRegistry *self = user_data;

  if (problem)
    add_problem (self, filename, "%s", problem);
  else
    load_file (self, filename);
}

/* Each helper begins behind the file that ended the one before it. */
static void
load_files (AfpRegistry *self)
{
  g_autoptr (GError) error = NULL;
  guint done = 0;

  g_ptr_array_add (self->files, NULL);
  while (self->files->pdata[done] && !error) {
    g_autofree const char **taken =
        (const char **) g_hash_table_get_keys_as_array (self->plugins, NULL);
    done += afp_scan_files ((const char *const *) self->files->pdata + done, taken, take_file, self,
                            &error);
  }
  if (error)
    add_problem (self, AFP_SCAN_HELPER, "plugins were loaded without a trial: %s", error->message);
  for (; self->files->pdata[done]; done++)
    load_file (self, self->files->pdata[done]);
  g_ptr_array_set_size (self->files, 0);
}

/* --- directories --- */

static void
take_found (const char *filename, const char *problem, gpointer user_data)
{
  AfpRegistry *self = user_data;

  if (problem)
    add_problem (self, filename, "%s", problem);
  else
    g_ptr_array_add (self->files, g_strdup (filename));
}

static void
scan_path (AfpRegistry *self, const char *path, gboolean must_exist)
{
  g_auto (GStrv) directories = g_strsplit (path ? path : "", G_SEARCHPATH_SEPARATOR_S, -1);

  for (guint i = 0; directories[i]; i++) {
    if (!*directories[i])
      continue;
    char *directory = g_canonicalize_filename (directories[i], NULL);
    if (g_ptr_array_find_with_equal_func (self->directories, directory, g_str_equal, NULL)) {
      g_free (directory);
      continue;
    }
    g_ptr_array_add (self->directories, directory);
    afp_scan_directory (directory, must_exist, take_found, self);
  }
}

/* --- built-in elements --- */

/**
 * afp_registry_add_builtin:
 * @name: name of an element
 * @type: its type
 *
 * Adds an element of the library itself: to the registries made from now on, and to the default one.
 */
void
afp_registry_add_builtin (const char *name, GType type)
{
  g_mutex_lock (&builtin_lock);
  if (!builtins)
    builtins = g_ptr_array_new ();
  gboolean known = FALSE;
  for (guint i = 0; i < builtins->len; i++)
    known = known || strcmp (((AfpPluginElement *) builtins->pdata[i])->name, name) == 0;
  if (!known) {
    AfpPluginElement *element = g_new0 (AfpPluginElement, 1);
    element->name = g_strdup (name);
    element->type = type;
    g_ptr_array_add (builtins, element);
  }
  AfpRegistry *registry = known ? NULL : default_registry;
  if (registry) {
    g_mutex_lock (&registry->lock);
    add_element (registry, registry->core, name, type);
    g_mutex_unlock (&registry->lock);
  }
  g_mutex_unlock (&builtin_lock);
}

static void
register_fallbacks (void)
{
  static gsize once = 0;
  if (g_once_init_enter (&once)) {
    afp_fallback_register ();
    g_once_init_leave (&once, 1);
  }
}

static void
add_builtins (AfpRegistry *self)
{
  register_fallbacks ();
  g_mutex_lock (&builtin_lock);
  for (guint i = 0; builtins && i < builtins->len; i++) {
    const AfpPluginElement *element = builtins->pdata[i];
    add_element (self, self->core, element->name, element->type);
  }
  g_mutex_unlock (&builtin_lock);
}

/* --- public --- */

static void
scan (AfpRegistry *self, const char *plugin_path, const char *system_path)
{
  add_builtins (self);
  scan_path (self, plugin_path, TRUE);
  scan_path (self, system_path, FALSE);
  load_files (self);
}

/**
 * afp_registry_new:
 * @plugin_path: (nullable): directories, separated as in $PATH; one that cannot be read is a problem
 * @system_path: (nullable): more directories; they need not exist
 *
 * Returns: (transfer full): a registry of what is in these directories, and of the built-in elements
 */
AfpRegistry *
afp_registry_new (const char *plugin_path, const char *system_path)
{
  AfpRegistry *self = g_object_new (AFP_TYPE_REGISTRY, NULL);

  scan (self, plugin_path, system_path);
  return self;
}

/* An init that asks for the default registry gets what there is of it; other threads wait until it is complete. */
static GRecMutex default_lock;
static AfpRegistry *default_unfinished;

/**
 * afp_registry_get_default:
 *
 * Returns: (transfer none): the registry of this process; it lives for ever
 */
AfpRegistry *
afp_registry_get_default (void)
{
  g_rec_mutex_lock (&default_lock);
  if (!default_registry && !default_unfinished) {
    const char *system_path = g_getenv ("AFPIPE_PLUGIN_SYSTEM_PATH");
    default_unfinished = g_object_new (AFP_TYPE_REGISTRY, NULL);
    scan (default_unfinished, g_getenv ("AFPIPE_PLUGIN_PATH"),
          system_path ? system_path : AFP_PLUGINDIR);
    g_mutex_lock (&builtin_lock);
    default_registry = g_steal_pointer (&default_unfinished);
    g_mutex_unlock (&builtin_lock);
  }
  AfpRegistry *registry = default_registry ? default_registry : default_unfinished;
  g_rec_mutex_unlock (&default_lock);
  return registry;
}

void
afp_registry_probe (const char *const *files, const char *const *taken, AfpProbeFunc func,
                    gpointer user_data)
{
  AfpRegistry *self = g_object_new (AFP_TYPE_REGISTRY, NULL);

  add_builtins (self);
  for (; *taken; taken++)
    g_hash_table_insert (self->plugins, (gpointer) *taken, g_object_ref (self->core));
  self->probe = func;
  self->probe_data = user_data;
  g_rec_mutex_lock (&default_lock);
  default_unfinished = self;
  probe (self, AFP_PROBE_READY);
  for (; *files; files++)
    load_file (self, *files);
  default_unfinished = NULL;
  g_rec_mutex_unlock (&default_lock);
  g_object_unref (self);
}

static int
compare_plugins (gconstpointer a, gconstpointer b)
{
  return strcmp (afp_plugin_get_name (*(AfpPlugin *const *) a),
                 afp_plugin_get_name (*(AfpPlugin *const *) b));
}

static int
compare_factories (gconstpointer a, gconstpointer b)
{
  return strcmp (afp_element_factory_get_name (*(AfpElementFactory *const *) a),
                 afp_element_factory_get_name (*(AfpElementFactory *const *) b));
}

static GPtrArray *
list_values (AfpRegistry *registry, GHashTable *table, GCompareFunc compare)
{
  GPtrArray *list = g_ptr_array_new ();
  GHashTableIter iter;
  gpointer value;

  g_mutex_lock (&registry->lock);
  g_hash_table_iter_init (&iter, table);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    g_ptr_array_add (list, value);
  g_mutex_unlock (&registry->lock);
  g_ptr_array_sort (list, compare);
  return list;
}

GPtrArray *
afp_registry_list_plugins (AfpRegistry *registry)
{
  return list_values (registry, registry->plugins, compare_plugins);
}

GPtrArray *
afp_registry_list_factories (AfpRegistry *registry)
{
  return list_values (registry, registry->factories, compare_factories);
}

GPtrArray *
afp_registry_list_problems (AfpRegistry *registry)
{
  GPtrArray *list = g_ptr_array_new ();
  g_mutex_lock (&registry->lock);
  for (guint i = 0; i < registry->problems->len; i++)
    g_ptr_array_add (list, registry->problems->pdata[i]);
  g_mutex_unlock (&registry->lock);
  return list;
}

GStrv
afp_registry_list_directories (AfpRegistry *registry)
{
  GStrv list = g_new0 (char *, registry->directories->len + 1);
  for (guint i = 0; i < registry->directories->len; i++)
    list[i] = g_strdup (registry->directories->pdata[i]);
  return list;
}

AfpElementFactory *
afp_registry_find (AfpRegistry *registry, const char *name)
{
  g_mutex_lock (&registry->lock);
  AfpElementFactory *factory = g_hash_table_lookup (registry->factories, name);
  g_mutex_unlock (&registry->lock);
  return factory;
}

/* Is the problem of a file that is called like the element, or is the element or a plugin of that name in the reason? */
static gboolean
problem_concerns (const AfpPluginProblem *problem, const char *name)
{
  g_autofree char *base = g_path_get_basename (problem->filename);
  g_autofree char *stem = afp_scan_get_stem (base);
  g_autofree char *quoted = g_strdup_printf ("'%s'", name);

  return (stem && strcmp (stem + strlen ("afp"), name) == 0) || strstr (problem->reason, quoted);
}

/* Where it was looked for, and what went wrong with files that may have it. */
static char *
describe_search (AfpRegistry *self, const char *name)
{
  GString *out = g_string_new (NULL);
  g_autoptr (GPtrArray) problems = afp_registry_list_problems (self);
  g_auto (GStrv) directories = afp_registry_list_directories (self);
  g_autofree char *list = g_strjoinv (", ", directories);

  g_string_append_printf (out, "Searched: %s",
                          *list ? list : "no directory (AFPIPE_PLUGIN_PATH is empty)");
  for (guint i = 0; i < problems->len; i++) {
    const AfpPluginProblem *problem = problems->pdata[i];
    if (problem_concerns (problem, name))
      g_string_append_printf (out, "; %s could not be used: %s", problem->filename,
                              problem->reason);
  }
  if (problems->len > 0)
    g_string_append_printf (out, "; %u %s could not be loaded (afpipe-inspect --problems)",
                            problems->len, problems->len == 1 ? "file" : "files");
  return g_string_free (out, FALSE);
}

/**
 * afp_registry_make:
 * @registry: a registry
 * @name: of an element
 * @error: AFP_ERROR_NO_ELEMENT
 *
 * Returns: (transfer full): a new element
 */
AfpElement *
afp_registry_make (AfpRegistry *registry, const char *name, GError **error)
{
  AfpElementFactory *factory = afp_registry_find (registry, name);
  if (factory)
    return afp_element_factory_make (factory, NULL);

  g_autoptr (GPtrArray) factories = afp_registry_list_factories (registry);
  for (guint i = 0; i < factories->len; i++)
    factories->pdata[i] = (gpointer) afp_element_factory_get_name (factories->pdata[i]);
  g_autofree char *hint =
      afp_nearest_hint (name, (const char *const *) factories->pdata, factories->len);
  g_autofree char *search = describe_search (registry, name);
  g_set_error (error, AFP_ERROR, AFP_ERROR_NO_ELEMENT, "no element '%s'%s %s", name,
               *hint ? hint : ".", search);
  return NULL;
}
