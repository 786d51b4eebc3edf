/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afpipe.h"

G_BEGIN_DECLS

/*
 * Who a run is: a hash of all on which its result depends. A result with the same id is the same result.
 *
 * That is its pipeline with all parameters, the bytes of every file that a property names and that is not written (of a folder, or the index
 * of a sharded model, those of all files in the folder), and, of each plugin that takes part, the version and the bytes of its module. What
 * a program outside (eval command=) reads is not known.
 */
typedef struct _AfpIdentifier AfpIdentifier;

/* Files are read once, however many runs name them. */
AfpIdentifier *afp_identifier_new (void);
void afp_identifier_free (AfpIdentifier *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (AfpIdentifier, afp_identifier_free)

/* Hex, (transfer full). @fingerprint: of the inputs alone. A pipeline that cannot be made, and files that are missing, have an id, too: their
 * run will say what is wrong. */
char *afp_identifier_identify (AfpIdentifier *self, const char *pipeline, char **fingerprint);

G_END_DECLS
