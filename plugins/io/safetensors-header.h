/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afpipe.h"

#include <json-glib/json-glib.h>

#define AFP_SAFETENSORS_MAX_HEADER G_GUINT64_CONSTANT (100000000) /* bytes */

/* A tensor of a safetensors file: its bytes begin at @offset of the file. */
typedef struct {
  AfpSpec *spec;
  guint64 offset;
  guint file; /* for the caller */
} AfpSafetensorsEntry;

/* An empty array of AfpSafetensorsEntry that owns the specs. */
GArray *afp_safetensors_entries_new (void);

/*
 * Reads and checks the header of a mapped file: length, JSON, names, types, shapes, and that the arrays fill the rest of the file
 * without overlap or hole. Entries come in the order of the file. @header_bytes: the header with the 8 bytes of its length.
 * @metadata: (inout): set to __metadata__ if it is NULL and there is one.
 */
GArray *afp_safetensors_parse (const char *path, GBytes *map, guint64 *header_bytes,
                               JsonNode **metadata, GError **error);
