/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afpipe.h"
#include "rans-kernel.h"
#include "rans-table-kernel.h"

/* What the head of a range-coded plane says, and what follows from it and the plane: SPEC.md, "Range coder". */

typedef enum { ENTROPY_PLAIN, ENTROPY_DECLARED, ENTROPY_N_CONTEXTS } EntropyContexts;

#define ENTROPY_MAX_CHUNK ((guint64) 1 << 18) /* symbols */
#define ENTROPY_MAX_QUANTUM ((guint64) 1 << 15)
#define ENTROPY_MAX_COUNTS ((guint64) 1 << 20) /* of all contexts, and slots of all tables */

typedef struct {
  EntropyContexts contexts;
  guint precision, digits, raw, lanes;
  guint64 per_chunk; /* quanta */
  guint64 n_chunks;
  /* of the plane */
  guint64 n, quantum; /* symbols */
  RansMachine machine;
} EntropyForm;

/* FALSE: a plane cannot be coded with such contexts. */
gboolean entropy_form_init (EntropyForm *self, const AfpPlaneDesc *desc, EntropyContexts contexts);
/* Symbols of chunk @c. */
guint64 entropy_form_get_symbols (const EntropyForm *self, guint64 c);
/* Chooses lanes and chunks for a plane of about so many coded bytes. */
void entropy_form_set_chunks (EntropyForm *self, guint64 n_coded);

/* Appends the head. */
void entropy_form_write (const EntropyForm *self, gsize n_tables_bytes, GByteArray *out);
/* Reads the head at *@at, and moves it on. */
gboolean entropy_form_read (EntropyForm *self, const AfpPlaneDesc *desc, const guint8 **at,
                            const guint8 *end, gsize *n_tables_bytes, GError **error);
