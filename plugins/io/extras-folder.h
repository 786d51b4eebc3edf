/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afpipe.h"

/* Extras that are files beside a model, under the names that the Hugging Face layout gives them. */

gboolean afp_extras_folder_has_name (const char *name); /* is it one of these names? */
/* Names of those that lie beside @path; texts about those that are too large go to @notes (nullable). (transfer full) */
char **afp_extras_folder_list (const char *path, GPtrArray *notes);
/* @name: one of the list */
GBytes *afp_extras_folder_read (const char *path, const char *name, GError **error);
/* An ordinary file of 1 to AFP_EXTRA_MAX_BYTES bytes, mapped. */
GBytes *afp_extras_file_read (const char *path, GError **error);
