/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A plugin that calls a function that is in no library. */
#include "afpipe.h"

gboolean afp_test_nowhere (AfpPlugin *plugin);

static gboolean
init (AfpPlugin *plugin, GError **error)
{
  return afp_test_nowhere (plugin);
}

AFP_PLUGIN_DEFINE ("undefined", "1.0", "MIT", "https://example.org/undefined", "Calls nothing",
                   init)
