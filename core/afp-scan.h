/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afp-types.h"

G_BEGIN_DECLS

/* Not installed, but tests and the helper call it. */
#pragma GCC visibility push(default)

/*
 * Plugins are loaded in a helper process first: one that crashes or hangs there is a problem with a reason, and is never loaded
 * here. One helper tries all files; the next file is tried there while this process loads the one before it.
 */
#define AFP_SCAN_HELPER "afpipe-plugin-scan"

/* @problem: NULL: the file may be tried, or loaded. */
typedef void (*AfpScanFunc) (const char *file, const char *problem, gpointer user_data);

/* Calls @func for each module of the directory, by name; and for the directory if it cannot be read and @must_exist. */
void afp_scan_directory (const char *directory, gboolean must_exist, AfpScanFunc func,
                         gpointer user_data);
/* "afpx" of "afpx.so" and "afpx.la"; NULL: no plugin has such a name. (transfer full) */
char *afp_scan_get_stem (const char *name);

/*
 * Tries @files, in order, and calls @func for each that was tried. @taken: names of plugins that are loaded already; NULL-terminated,
 * both. Returns how many files were dealt with: not all if the last of them ended the helper; 0 with error if there is no helper.
 */
guint afp_scan_files (const char *const *files, const char *const *taken, AfpScanFunc func,
                      gpointer user_data, GError **error);

/* How long a step of a plugin may last: AFPIPE_PLUGIN_SECONDS, or 10. */
double afp_scan_get_seconds (void);

/* The helper's side: reads from the socket what to try, says there how far it is. Returns the exit status. */
int afp_scan_serve (int fd);

#pragma GCC visibility pop

G_END_DECLS
