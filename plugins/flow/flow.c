/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "flow.h"

static gboolean
flow_init (AfpPlugin *plugin, GError **error)
{
  afp_plugin_add_element (plugin, "tee", afp_tee_get_type ());
  afp_plugin_add_element (plugin, "select", afp_select_get_type ());
  afp_plugin_add_element (plugin, "identity", afp_identity_get_type ());
  afp_plugin_add_element (plugin, "null", afp_null_get_type ());
  afp_plugin_add_element (plugin, "synth", afp_synth_get_type ());
  return TRUE;
}

AFP_PLUGIN_DEFINE ("flow", AFP_VERSION, "LGPL-2.1-or-later", AFP_ORIGIN,
                   "Branches, selection and synthetic tensors", flow_init)
