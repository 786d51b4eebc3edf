/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Elements that none can be made of. */
#include "afpipe.h"

static gboolean
init (AfpPlugin *plugin, GError **error)
{
  afp_plugin_add_element (plugin, "no-type", G_TYPE_INVALID);
  afp_plugin_add_element (plugin, "no-element", AFP_TYPE_PLUGIN);
  afp_plugin_add_element (plugin, "abstract", AFP_TYPE_TRANSFORM);
  afp_plugin_add_element (plugin, "no name", AFP_TYPE_TRANSFORM);
  afp_plugin_add_element (plugin, "tensor", AFP_TYPE_TRANSFORM);
  return TRUE;
}

AFP_PLUGIN_DEFINE ("bad-elements", "1.0", "MIT", "https://example.org/bad", "Bad elements", init)
