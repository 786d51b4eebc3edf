/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "seedlm-tables.h"

#define SEEDLM_LISTS_VERSION \
  2 /* of the file and of how lists are made: raised when either changes */

/* Where lists for these numbers are kept. */
char *seedlm_lists_path (const SeedlmBasis *basis);
/*
 * Lists from the user's cache, or else built and written there. The cache is a help and no more: where it cannot be read or written, lists
 * are built; where it is damaged, they are built and @warning says so. AFP_ERROR_MEMORY, AFP_ERROR_CANCELLED
 */
SeedlmLists *seedlm_lists_load (const SeedlmBasis *basis, const SeedlmListsShape *shape,
                                AfpPool *pool, const char **warning, GError **error);
