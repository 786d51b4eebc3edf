/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afp-types.h"

G_BEGIN_DECLS

/* A file in memory, read-only. Slices of it (g_bytes_new_from_bytes()) cost no memory of their own: the kernel reads their pages when
 * they are looked at, and takes them back when it wants to. */
AFP_API GBytes *afp_mapped_new (const char *path, GError **error);
AFP_API gboolean afp_mapped_contains (GBytes *bytes); /* a slice of a mapped file */
AFP_API void
afp_mapped_forget (GBytes *bytes); /* its pages may go; they are read again if somebody looks */

G_END_DECLS
