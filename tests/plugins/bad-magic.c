/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The right symbol, but another structure behind it. */
#include "afpipe.h"

AFP_API const AfpPluginDesc *afp_plugin_get_desc (void);
const AfpPluginDesc *
afp_plugin_get_desc (void)
{
  static const AfpPluginDesc desc = { .magic = 0x12345678 };
  return &desc;
}
