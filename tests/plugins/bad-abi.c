/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Built against a library that does not exist yet. Its init must not be called. */
#include "afpipe.h"

static gboolean
init (AfpPlugin *plugin, GError **error)
{
  g_error ("init of a plugin that must not be used");
  return TRUE;
}

AFP_API const AfpPluginDesc *afp_plugin_get_desc (void);
const AfpPluginDesc *
afp_plugin_get_desc (void)
{
  static const AfpPluginDesc desc = {
    AFP_PLUGIN_MAGIC, AFP_ABI_MAJOR + 1, 0, sizeof desc, "bad-abi", "1.0", "MIT", "", "", init
  };
  return &desc;
}
