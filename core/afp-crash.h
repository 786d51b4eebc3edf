/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afp-element.h"

#include <signal.h>

/* Not installed, but tools and tests call it. */
#pragma GCC visibility push(default)

G_BEGIN_DECLS

/*
 * A crash in a plugin's code names the plugin, the element and the tensor before the process dies of the signal. Each thread
 * notes what it is about to call, on its stack; the handler of the tools reads the notes of the thread that crashed.
 */
typedef struct _AfpCrashNote AfpCrashNote;
struct _AfpCrashNote {
  AfpElement *element; /* whose code runs; NULL: our own */
  const char *tensor;  /* of a stage; may be NULL */
  const char *file;    /* a plugin that is being loaded */
  gboolean first;      /* a stage: the notes around it are of the stages before it */
  const AfpCrashNote *outer;
};

/* Around calls of a plugin's code. What @note points to must live until afp_crash_leave(). */
void afp_crash_enter (AfpCrashNote *note, AfpElement *element);
/* By the pipeline. @element: NULL: from here on our own code runs. */
void afp_crash_enter_stage (AfpCrashNote *note, AfpElement *element, const char *tensor);
void afp_crash_enter_file (AfpCrashNote *note, const char *file);
void afp_crash_leave (AfpCrashNote *note);

/* What this thread does; so that another thread that works for it can say so. */
const AfpCrashNote *afp_crash_get_note (void);
void afp_crash_set_note (const AfpCrashNote *note);

/* Which plugin a type of elements comes from: its name, version, file, and where it can be had. */
void afp_crash_set_provider (GType type, const char *text);

/*
 * Called before anything else, in the thread and on the stack of the signal: only async-signal-safe calls. TRUE: the signal is
 * dealt with, the thread goes on. A hook may also end the process.
 */
typedef gboolean (*AfpCrashHook) (int number, siginfo_t *info);
void afp_crash_set_hook (AfpCrashHook hook);

/* For programs: from now on SIGSEGV, SIGBUS, SIGFPE, SIGILL and SIGABRT say what ran, as @tool, and then do what they did before. */
void afp_crash_install (const char *tool);

/* What the handler says of this thread: at most @size bytes with a final NUL. Returns the length. @pc: of the code; may be NULL. */
gsize afp_crash_describe (char *text, gsize size, const char *tool, int number, gconstpointer pc);

G_END_DECLS

#pragma GCC visibility pop
