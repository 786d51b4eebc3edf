/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afpipe.h"

/* Mode 3 of a packed plane: a static range coder with contexts (SPEC.md). */

/* Codes planes of so many bits a symbol at most. */
#define ENTROPY_RANS_MAX_BITS 16

/* Working bytes of entropy_rans_pack() at most. */
guint64 entropy_rans_scratch (const AfpPlaneDesc *desc);

/* The body of the packed plane to @out: returns its size, or 0 if it is larger than @capacity or the plane cannot be coded so. */
gsize entropy_rans_pack (const AfpPlaneDesc *desc, GBytes *codes, guint8 *out, gsize capacity);

/* (transfer full): the codes back. */
GBytes *entropy_rans_unpack (const AfpPlaneDesc *desc, const guint8 *body, gsize n, GError **error);
