/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A plugin without elements. */
#include "afpipe.h"

static gboolean
init (AfpPlugin *plugin, GError **error)
{
  return TRUE;
}

AFP_PLUGIN_DEFINE ("empty", "1.0", "MIT", "https://example.org/empty", "Nothing", init)
