/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1 /* dladdr */
#endif

#include "afp-plugin-private.h"

#include "afp-crash.h"
#include "afp-error.h"
#include "afp-parse-private.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- AfpPlugin --- */

struct _AfpPlugin {
  GObject parent_instance;
  char *name;
  char *version;
  char *license;
  char *origin;
  char *blurb;
  char *filename;
  gboolean in_init;
  GPtrArray *elements; /* of AfpPluginElement */
};

G_DEFINE_FINAL_TYPE (AfpPlugin, afp_plugin, G_TYPE_OBJECT)

static void
plugin_element_free (AfpPluginElement *element)
{
  g_free (element->name);
  g_free (element);
}

static void
afp_plugin_finalize (GObject *object)
{
  AfpPlugin *self = AFP_PLUGIN (object);

  g_free (self->name);
  g_free (self->version);
  g_free (self->license);
  g_free (self->origin);
  g_free (self->blurb);
  g_free (self->filename);
  g_ptr_array_unref (self->elements);
  G_OBJECT_CLASS (afp_plugin_parent_class)->finalize (object);
}

static void
afp_plugin_class_init (AfpPluginClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = afp_plugin_finalize;
}

static void
afp_plugin_init (AfpPlugin *self)
{
  self->elements = g_ptr_array_new_with_free_func ((GDestroyNotify) plugin_element_free);
}

AfpPlugin *
afp_plugin_new (const AfpPluginDesc *desc, const char *filename)
{
  AfpPlugin *self = g_object_new (AFP_TYPE_PLUGIN, NULL);

  self->name = g_strdup (desc->name);
  self->version = g_strdup (desc->version);
  self->license = g_strdup (desc->license);
  self->origin = g_strdup (desc->origin);
  self->blurb = g_strdup (desc->blurb);
  self->filename = g_strdup (filename);
  return self;
}

/* The machine that a module is for; 0: it is none, or not of our word size and byte order: then the linker says so itself. */
static guint
get_machine (const guint8 *header, const guint8 *ours)
{
  ElfW (Half) machine;

  memcpy (&machine, header + offsetof (ElfW (Ehdr), e_machine), sizeof machine);
  return memcmp (header, ours, EI_DATA + 1) == 0 ? machine : 0;
}

char *
afp_plugin_file_problem (const char *filename)
{
  guint8 header[sizeof (ElfW (Ehdr))];
  struct stat info;
  Dl_info own;

  if (stat (filename, &info) != 0)
    return g_strdup (g_strerror (errno));
  if (!S_ISREG (info.st_mode)) /* to open a pipe would wait for ever */
    return g_strdup (S_ISDIR (info.st_mode) ? "a folder, not a module"
                                            : "no regular file, not a module");
  const int fd = open (filename, O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return g_strdup (g_strerror (errno));
  const gssize n = read (fd, header, sizeof header);
  close (fd);
  if (n != sizeof header || !dladdr ((gconstpointer) afp_plugin_file_problem, &own))
    return NULL;
  const guint machine = get_machine (header, own.dli_fbase);
  const guint ours = get_machine (own.dli_fbase, own.dli_fbase);
  return machine && machine != ours
             ? g_strdup_printf ("a module for another machine (ELF machine %u, this one is %u)",
                                machine, ours)
             : NULL;
}

/* Magic first, then ABI, then size: each tells whether the next can be read. */
char *
afp_plugin_desc_problem (const AfpPluginDesc *desc)
{
  if (!desc)
    return g_strdup ("afp_plugin_get_desc returned nothing");
  if (desc->magic != AFP_PLUGIN_MAGIC)
    return g_strdup_printf ("wrong magic number 0x%08x, a plugin of afpipe has 0x%08x", desc->magic,
                            AFP_PLUGIN_MAGIC);
  if (desc->abi_major != AFP_ABI_MAJOR || desc->abi_minor > AFP_ABI_MINOR)
    return g_strdup_printf ("ABI %u.%u, this library has %d.%d: %s", desc->abi_major,
                            desc->abi_minor, AFP_ABI_MAJOR, AFP_ABI_MINOR,
                            desc->abi_major < AFP_ABI_MAJOR ? "build the plugin again"
                                                            : "a newer afpipe is needed");
  if (desc->struct_size < sizeof *desc)
    return g_strdup_printf ("descriptor of %u bytes, this library reads %" G_GSIZE_FORMAT,
                            desc->struct_size, sizeof *desc);
  if (!desc->name || !desc->version || !desc->license || !desc->origin || !desc->blurb ||
      !desc->init)
    return g_strdup ("the descriptor lacks a name, version, license, origin, blurb or init");
  if (!afp_parse_is_name (desc->name))
    return g_strdup_printf ("'%s' is no name for a plugin: letters, digits, '-' and '_'",
                            desc->name);
  return NULL;
}

GPtrArray *
afp_plugin_init_elements (AfpPlugin *plugin, const AfpPluginDesc *desc, GError **error)
{
  GError *local = NULL;

  plugin->in_init = TRUE;
  gboolean ok = desc->init (plugin, &local);
  plugin->in_init = FALSE;
  if (ok) {
    g_clear_error (&local);
    return plugin->elements;
  }
  if (!local)
    local = g_error_new_literal (AFP_ERROR, AFP_ERROR_PLUGIN, "no reason was given");
  g_propagate_error (error, local);
  return NULL;
}

/**
 * afp_plugin_add_element:
 * @plugin: the plugin that init was called with
 * @name: what pipelines call the element
 * @type: a type that can be instantiated, derived from #AfpElement
 */
void
afp_plugin_add_element (AfpPlugin *plugin, const char *name, GType type)
{
  g_return_if_fail (AFP_IS_PLUGIN (plugin) && name != NULL);
  g_return_if_fail (plugin->in_init);
  AfpPluginElement *element = g_new0 (AfpPluginElement, 1);
  element->name = g_strdup (name);
  element->type = type;
  g_ptr_array_add (plugin->elements, element);
}

const char *
afp_plugin_get_name (AfpPlugin *plugin)
{
  return plugin->name;
}

const char *
afp_plugin_get_version (AfpPlugin *plugin)
{
  return plugin->version;
}

const char *
afp_plugin_get_license (AfpPlugin *plugin)
{
  return plugin->license;
}

const char *
afp_plugin_get_origin (AfpPlugin *plugin)
{
  return plugin->origin;
}

const char *
afp_plugin_get_blurb (AfpPlugin *plugin)
{
  return plugin->blurb;
}

const char *
afp_plugin_get_filename (AfpPlugin *plugin)
{
  return plugin->filename;
}

/* --- AfpElementFactory --- */

struct _AfpElementFactory {
  GObject parent_instance;
  AfpPlugin *plugin;
  char *name;
  GType type;
};

G_DEFINE_FINAL_TYPE (AfpElementFactory, afp_element_factory, G_TYPE_OBJECT)

static void
afp_element_factory_finalize (GObject *object)
{
  AfpElementFactory *self = AFP_ELEMENT_FACTORY (object);

  g_object_unref (self->plugin);
  g_free (self->name);
  G_OBJECT_CLASS (afp_element_factory_parent_class)->finalize (object);
}

static void
afp_element_factory_class_init (AfpElementFactoryClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = afp_element_factory_finalize;
}

static void
afp_element_factory_init (AfpElementFactory *self)
{
}

AfpElementFactory *
afp_element_factory_new (AfpPlugin *plugin, const char *name, GType type)
{
  AfpElementFactory *self = g_object_new (AFP_TYPE_ELEMENT_FACTORY, NULL);

  self->plugin = g_object_ref (plugin);
  self->name = g_strdup (name);
  self->type = type;
  if (plugin->filename) {
    g_autofree char *provider = g_strdup_printf ("%s %s (%s, from %s)", plugin->name,
                                                 plugin->version, plugin->filename, plugin->origin);
    afp_crash_set_provider (type, provider);
  }
  return self;
}

const char *
afp_element_factory_get_name (AfpElementFactory *factory)
{
  return factory->name;
}

GType
afp_element_factory_get_element_type (AfpElementFactory *factory)
{
  return factory->type;
}

AfpPlugin *
afp_element_factory_get_plugin (AfpElementFactory *factory)
{
  return factory->plugin;
}

/**
 * afp_element_factory_make:
 * @factory: a factory
 * @name: (nullable): name of the element in its pipeline
 *
 * Returns: (transfer full): a new element
 */
AfpElement *
afp_element_factory_make (AfpElementFactory *factory, const char *name)
{
  AfpElement *element = g_object_new (factory->type, NULL);

  afp_element_set_factory_name (element, factory->name);
  if (name)
    afp_element_set_name (element, name);
  return element;
}
