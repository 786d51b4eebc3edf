/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afp-types.h"

#include <signal.h>

/* Not installed, but tools, plugins of ours and tests call it. */
#pragma GCC visibility push(default)

G_BEGIN_DECLS

/*
 * Mapped inputs (afp-mapped.c maps them). Whoever touches a page behind the end of a file that became shorter gets SIGBUS. In our programs
 * the handler puts zeros there instead and takes a note; the run looks at the notes before it believes in what it computed, and ends
 * with an error that names the file.
 */
typedef struct _AfpWatch AfpWatch;

/* @fd: of the mapped file; it is closed in the end. NULL: there are too many, this one is not watched. */
AfpWatch *afp_watch_new (const char *path, int fd, gconstpointer start, gsize size);
void afp_watch_free (AfpWatch *watch); /* before the file is unmapped; NULL is fine */
/* Has a read met the end of a file that became shorter? Cheap. */
gboolean afp_watch_has_fault (void);
/* AFP_ERROR_IO: a file that is mapped became shorter, whether that was met or not. */
gboolean afp_watch_check (GError **error);
/* The handler, for afp_crash_set_hook(). */
gboolean afp_watch_on_signal (int number, siginfo_t *info);

G_END_DECLS

#pragma GCC visibility pop
