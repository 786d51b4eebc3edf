/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afp-registry.h"

G_BEGIN_DECLS

/* Not installed, but tests and the helper call it. */
#pragma GCC visibility push(default)

/* What is done with a file, step by step. */
typedef enum {
  AFP_PROBE_READY = 'r', /* before the first file */
  AFP_PROBE_OPEN = 'o',  /* its constructors, and those of the libraries that it needs */
  AFP_PROBE_DESC = 'd',
  AFP_PROBE_INIT = 'i',
  AFP_PROBE_MAKE = 'm', /* one of its elements */
  AFP_PROBE_DONE = '.'
} AfpProbeStep;

typedef void (*AfpProbeFunc) (AfpProbeStep step, gpointer user_data);

/*
 * Loads the files as a registry does that has plugins with the names @taken, makes each element once, and says each step before it
 * is done. Problems other than a crash are of no interest here: the registry finds them itself.
 */
void afp_registry_probe (const char *const *files, const char *const *taken, AfpProbeFunc func,
                         gpointer user_data);

#pragma GCC visibility pop

G_END_DECLS
