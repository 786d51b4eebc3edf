/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afp-error.h"

#include <sys/types.h>

G_BEGIN_DECLS

/* Not installed, but our plugins and tools call it. */
#pragma GCC visibility push(default)

/*
 * Helper programs: work that may crash or hang is done in a process of its own. A program is started anew instead of forking
 * ours: in a process with threads a fork may inherit locks that nobody will ever open.
 */

/* The path of the helper @name: in the folder AFPIPE_HELPER_DIR, else where helpers are installed. */
char *afp_helper_find (const char *name, GError **error);
/* Starts it with @fd as standard input; the other standard streams lead nowhere. Returns the process, or -1. */
pid_t afp_helper_start (const char *name, int fd, GError **error);
/* Starts any program. @streams: -1 leads nowhere. @group: it leads a group of processes. Returns the process, or -1. */
pid_t
afp_helper_spawn (char *const *arguments, const int streams[3], gboolean group, GError **error);
/* Through the socket to it, until @deadline of g_get_monotonic_time(). FALSE: the helper has died, or time is up. */
gboolean afp_helper_send (int fd, gconstpointer data, gsize n, gint64 deadline);
gboolean afp_helper_receive (int fd, gpointer data, gsize n, gint64 deadline);

#pragma GCC visibility pop

G_END_DECLS
