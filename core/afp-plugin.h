/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afp-element.h"

G_BEGIN_DECLS

#define AFP_TYPE_PLUGIN (afp_plugin_get_type ())
AFP_API
G_DECLARE_FINAL_TYPE (AfpPlugin, afp_plugin, AFP, PLUGIN, GObject)

#define AFP_PLUGIN_MAGIC 0x41465031u /* "AFP1" */

/**
 * AfpPluginDesc:
 * @init: registers element types with afp_plugin_add_element(); may do nothing else
 *
 * What a plugin module returns from its only exported symbol. Magic, ABI and struct size are checked before anything is called.
 */
typedef struct {
  guint32 magic;
  guint16 abi_major;
  guint16 abi_minor;
  guint32 struct_size;
  const char *name;    /* "seedlm" */
  const char *version; /* "0.1.0" */
  const char *license; /* SPDX */
  const char *origin;  /* URL where the plugin can be had */
  const char *blurb;
  gboolean (*init) (AfpPlugin *plugin, GError **error);
} AfpPluginDesc;

typedef const AfpPluginDesc *(*AfpPluginGetDesc) (void);

/* The whole entry point of a plugin: AFP_PLUGIN_DEFINE ("name", "0.1.0", "LGPL-2.1-or-later", "https://...", "blurb", init) */
#define AFP_PLUGIN_DEFINE(name_, version_, license_, origin_, blurb_, init_) \
  AFP_API const AfpPluginDesc *afp_plugin_get_desc (void);                   \
  const AfpPluginDesc *afp_plugin_get_desc (void)                            \
  {                                                                          \
    static const AfpPluginDesc desc = { AFP_PLUGIN_MAGIC,                    \
                                        AFP_ABI_MAJOR,                       \
                                        AFP_ABI_MINOR,                       \
                                        sizeof (AfpPluginDesc),              \
                                        name_,                               \
                                        version_,                            \
                                        license_,                            \
                                        origin_,                             \
                                        blurb_,                              \
                                        init_ };                             \
    return &desc;                                                            \
  }

/* The same for a plugin with one element, with a function that makes its type. */
#define AFP_PLUGIN_DEFINE_ELEMENT(name_, version_, license_, origin_, blurb_, get_type_) \
  static gboolean afp_plugin_init_element (AfpPlugin *plugin, GError **error)            \
  {                                                                                      \
    afp_plugin_add_element (plugin, name_, get_type_ ());                                \
    return TRUE;                                                                         \
  }                                                                                      \
  AFP_PLUGIN_DEFINE (name_, version_, license_, origin_, blurb_, afp_plugin_init_element)

/* For init: element @name is made from @type. */
AFP_API void afp_plugin_add_element (AfpPlugin *plugin, const char *name, GType type);

AFP_API const char *afp_plugin_get_name (AfpPlugin *plugin);
AFP_API const char *afp_plugin_get_version (AfpPlugin *plugin);
AFP_API const char *afp_plugin_get_license (AfpPlugin *plugin);
AFP_API const char *afp_plugin_get_origin (AfpPlugin *plugin);
AFP_API const char *afp_plugin_get_blurb (AfpPlugin *plugin);
AFP_API const char *afp_plugin_get_filename (AfpPlugin *plugin); /* NULL: built in */

#define AFP_TYPE_ELEMENT_FACTORY (afp_element_factory_get_type ())
AFP_API
G_DECLARE_FINAL_TYPE (AfpElementFactory, afp_element_factory, AFP, ELEMENT_FACTORY, GObject)
AFP_API const char *afp_element_factory_get_name (AfpElementFactory *factory);
AFP_API GType afp_element_factory_get_element_type (AfpElementFactory *factory);
AFP_API AfpPlugin *
afp_element_factory_get_plugin (AfpElementFactory *factory); /* (transfer none) */
AFP_API AfpElement *
afp_element_factory_make (AfpElementFactory *factory,
                          const char *name); /* (transfer full); name may be NULL */

G_END_DECLS
