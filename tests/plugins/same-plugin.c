/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The name of another plugin. Its init must not be called. */
#include "afpipe.h"

static gboolean
init (AfpPlugin *plugin, GError **error)
{
  g_error ("init of a plugin that must not be used");
  return TRUE;
}

AFP_PLUGIN_DEFINE ("good", "9.9.9", "MIT", "https://example.org/same",
                   "A second plugin of the same name", init)
