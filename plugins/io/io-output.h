/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afpipe.h"

/*
 * AfpOutput: a file that is written under a temporary name beside its location (LOCATION.part.PID) and renamed in the end. Until
 * then the location is not touched; what killed runs left there under such names is removed; freeing an output that was not published removes the temporary file.
 * Errors are AFP_ERROR_IO and name the location, the offset and the system's reason.
 */
typedef struct _AfpOutput AfpOutput;

AfpOutput *afp_output_new (const char *location, gboolean overwrite, GError **error);
const char *afp_output_get_path (const AfpOutput *output); /* the temporary name */
/* Asks the file system for the space beforehand, where it can promise that: a full disk is found before the work. */
gboolean afp_output_reserve (AfpOutput *output, guint64 size, GError **error);
gboolean
afp_output_write (AfpOutput *output, guint64 offset, const void *data, gsize n, GError **error);
gboolean afp_output_copy_from (AfpOutput *output, const char *source, GError **error);
gboolean afp_output_sync (AfpOutput *output, GError **error);
gboolean afp_output_publish (AfpOutput *output, guint64 *file_bytes, GError **error);
void afp_output_free (AfpOutput *output);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (AfpOutput, afp_output_free)

/* Can a file be put there? Looks at the folder, at what is there already and at the name; writes nothing. */
gboolean afp_output_check (const char *location, gboolean overwrite, GError **error);
