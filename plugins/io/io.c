/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "io.h"

static gboolean
io_init (AfpPlugin *plugin, GError **error)
{
  afp_plugin_add_element (plugin, "load", AFP_TYPE_LOAD);
  afp_plugin_add_element (plugin, "write", AFP_TYPE_WRITE);
  afp_plugin_add_element (plugin, "decode", AFP_TYPE_DECODE);
  return TRUE;
}

AFP_PLUGIN_DEFINE ("io", AFP_VERSION, "LGPL-2.1-or-later", "https://github.com/afpipe/afpipe",
                   "Reads and writes model files, decodes coded tensors", io_init)
