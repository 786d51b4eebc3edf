/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afp-plugin.h"

G_BEGIN_DECLS

/*
 * AfpRegistry: finds, checks and loads plugins. Directories: $AFPIPE_PLUGIN_PATH, then $AFPIPE_PLUGIN_SYSTEM_PATH or, where that
 * is unset, the compiled-in one. In a directory, for each afp*.la without an installed .so the .libs/<stem>.so, else afp*.so.
 * No cache, no blacklist. What could not be used is in the problems list, with the reason.
 */
#define AFP_TYPE_REGISTRY (afp_registry_get_type ())
AFP_API
G_DECLARE_FINAL_TYPE (AfpRegistry, afp_registry, AFP, REGISTRY, GObject)

typedef struct {
  const char *filename;
  const char *reason;
} AfpPluginProblem;

AFP_API AfpRegistry *afp_registry_get_default (
    void); /* (transfer none); scans on first use; built-in elements included */
AFP_API AfpRegistry *
afp_registry_new (const char *plugin_path, const char *system_path); /* for tests and tools */
AFP_API GPtrArray *afp_registry_list_plugins (
    AfpRegistry *registry); /* (transfer container) (element-type AfpPlugin), by name */
AFP_API GPtrArray *afp_registry_list_factories (
    AfpRegistry *registry); /* (transfer container) (element-type AfpElementFactory), by name */
AFP_API GPtrArray *afp_registry_list_problems (
    AfpRegistry *registry); /* (transfer container) (element-type AfpPluginProblem) */
AFP_API GStrv afp_registry_list_directories (AfpRegistry *registry); /* searched, in order */
AFP_API AfpElementFactory *
afp_registry_find (AfpRegistry *registry, const char *name); /* (transfer none), or NULL */
/* AFP_ERROR_NO_ELEMENT with the nearest name, the directories searched and the number of problems. (transfer full) */
AFP_API AfpElement *afp_registry_make (AfpRegistry *registry, const char *name, GError **error);
/* Used by the library for its own elements (the fallback codecs). */
AFP_API void afp_registry_add_builtin (const char *name, GType type);

G_END_DECLS
