/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afp-types.h"

/* Not installed, but tests call it. */
#pragma GCC visibility push(default)

/*
 * Names of numbers: hex digits that are the same where the numbers are, all of which are read. Tile by tile, by the threads of the pool; the
 * same for any number of them.
 */

/* The numbers as they are read: what dtype they are stored in, and in what order, is nothing to a codec. (transfer full) */
char *afp_digest_matrix (AfpMatrix *matrix, AfpPool *pool, GError **error);
char *afp_digest_bytes (GBytes *bytes, AfpPool *pool, GError **error);

#pragma GCC visibility pop
