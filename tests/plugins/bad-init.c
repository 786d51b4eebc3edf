/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Adds an element, then fails. */
#include "afpipe.h"

static gboolean
init (AfpPlugin *plugin, GError **error)
{
  afp_plugin_add_element (plugin, "never", AFP_TYPE_TRANSFORM);
  g_set_error_literal (error, AFP_ERROR, AFP_ERROR_PLUGIN, "no such device");
  return FALSE;
}

AFP_PLUGIN_DEFINE ("bad-init", "1.0", "MIT", "https://example.org/bad", "Its init fails", init)
