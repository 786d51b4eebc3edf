/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afp-plugin.h"

/* Not installed, but tests call it. */
#pragma GCC visibility push(default)

G_BEGIN_DECLS

/* An element that a plugin's init asked for. */
typedef struct {
  char *name;
  GType type;
} AfpPluginElement;

/* Copies what @desc says. @filename: NULL: built in. */
G_GNUC_INTERNAL AfpPlugin *afp_plugin_new (const AfpPluginDesc *desc, const char *filename);
/* Calls init, then refuses further elements. (transfer none) (element-type AfpPluginElement), or NULL with error. */
G_GNUC_INTERNAL GPtrArray *
afp_plugin_init_elements (AfpPlugin *plugin, const AfpPluginDesc *desc, GError **error);
/* Why the file is not even worth opening, or NULL. (transfer full) */
G_GNUC_INTERNAL char *afp_plugin_file_problem (const char *filename);
/* Why the loader must not use @desc, or NULL. (transfer full) */
G_GNUC_INTERNAL char *afp_plugin_desc_problem (const AfpPluginDesc *desc);
G_GNUC_INTERNAL AfpElementFactory *
afp_element_factory_new (AfpPlugin *plugin, const char *name, GType type);

G_END_DECLS

#pragma GCC visibility pop
