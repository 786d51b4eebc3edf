/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afpipe.h"

/* Properties that are texts: what their handling has in common. */

gboolean eval_is_set (const char *text); /* neither NULL nor empty */
/* FALSE with AFP_ERROR_IO: the property names a file, and there is none. */
gboolean eval_check_file (const char *property, const char *path, GError **error);
/* All of the file that the property names; AFP_ERROR_IO (transfer full) */
char *eval_read_file (const char *property, const char *path, gsize *n, GError **error);
/* "0.5", "1/255"; AFP_ERROR_PROPERTY */
gboolean eval_parse_ratio (const char *property, const char *text, double *value, GError **error);
