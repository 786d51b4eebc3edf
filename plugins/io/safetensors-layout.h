/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afpipe.h"

#include <json-glib/json-glib.h>

#define AFP_SAFETENSORS_MAX_SHARDS 512 /* all are open at a time */

/* Where an array will lie: @offset counts from the end of its shard's header. */
typedef struct {
  AfpSpec *spec;
  guint shard;
  guint64 offset;
} AfpSafetensorsSlot;

/*
 * Which tensor goes where in a safetensors file, or in a set of them (shards). Follows from the specs alone, so it is known at plan time.
 * Shards are filled in the order of the tensors; in each, wider types come first, so every array is aligned to its elements.
 */
typedef struct {
  GArray *slots;    /* of AfpSafetensorsSlot, in the order of the tensors */
  GArray *payloads; /* guint64: bytes of arrays in each shard; there is at least one */
} AfpSafetensorsLayout;

/* @specs: of AfpSpec. @max_shard: bytes of arrays in a shard, a larger array gets one of its own; 0: one file. AFP_ERROR_PLAN. */
AfpSafetensorsLayout *afp_safetensors_lay_out (const char *location, const GPtrArray *specs,
                                               guint64 max_shard, GError **error);
void afp_safetensors_layout_free (AfpSafetensorsLayout *layout);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (AfpSafetensorsLayout, afp_safetensors_layout_free)

/* The length, the JSON, blanks up to a multiple of 8. @metadata: (nullable): __metadata__, an object of strings. */
GString *
afp_safetensors_make_header (const AfpSafetensorsLayout *layout, guint shard, JsonNode *metadata);
/* Which shard holds which tensor: the index of Hugging Face. */
GString *afp_safetensors_make_index (const AfpSafetensorsLayout *layout, const char *location);

/* The files for @location, "m.safetensors": itself if there is one, else "m-00001-of-00002.safetensors" ... (element-type utf8) */
GPtrArray *afp_safetensors_list_shards (const char *location, guint n_shards);
char *afp_safetensors_index_name (const char *location); /* "m.safetensors.index.json" */
/* Files that are there of a set that was written to @location, of any number of shards: shards, index, single file. (element-type utf8) */
GPtrArray *afp_safetensors_list_existing (const char *location);
