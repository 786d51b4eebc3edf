/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-runtime.h"

#include "afp-identity.h"

#include <cblas.h>

const char *
afp_runtime_get_identity (void)
{
  static char *text = NULL;

  if (g_once_init_enter (&text)) {
    const char *library = afp_identity_get_file_of ((gconstpointer) afp_runtime_get_identity);
    g_once_init_leave (&text, g_strdup_printf ("%s, %s, %s", library, openblas_get_config (),
                                               openblas_get_corename ()));
  }
  return text;
}
