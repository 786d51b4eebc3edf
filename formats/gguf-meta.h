/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afpipe.h"

/*
 * The head of a GGUF file, versions 2 and 3: "GGUF", version (u32), number of tensors (u64), number of metadata (u64), then the
 * metadata: a key (u64 length and bytes), a type (u32), a value. All little-endian, nothing aligned.
 */
typedef enum {
  AFP_GGUF_U8,
  AFP_GGUF_I8,
  AFP_GGUF_U16,
  AFP_GGUF_I16,
  AFP_GGUF_U32,
  AFP_GGUF_I32,
  AFP_GGUF_F32,
  AFP_GGUF_BOOL,
  AFP_GGUF_STRING,
  AFP_GGUF_ARRAY,
  AFP_GGUF_U64,
  AFP_GGUF_I64,
  AFP_GGUF_F64,
  AFP_GGUF_N_TYPES
} AfpGgufType;

#define AFP_GGUF_MAX_KEY 65535
#define AFP_GGUF_MAX_DEPTH 4 /* of arrays in arrays */

/* A place in the bytes, which moves on; what lies behind the end is an error that names @what. */
typedef struct {
  const guint8 *data;
  gsize size, at;
  const char *path; /* for messages */
} AfpGgufCursor;

gboolean afp_gguf_take (AfpGgufCursor *cursor, gsize n, const char *what, const guint8 **bytes,
                        GError **error);
gboolean
afp_gguf_take_u32 (AfpGgufCursor *cursor, const char *what, guint32 *value, GError **error);
gboolean
afp_gguf_take_u64 (AfpGgufCursor *cursor, const char *what, guint64 *value, GError **error);
/* A text with its length; (transfer full), ended by a zero that is not in the file. Zeros inside are an error. */
char *afp_gguf_take_text (AfpGgufCursor *cursor, const char *what, gsize max, GError **error);

typedef struct {
  char *key;
  AfpGgufType type;
  AfpGgufType element; /* of an array */
  guint64 n;           /* elements of an array; 1 otherwise */
  const guint8 *data;  /* of the value: in an array the first element, in a string its length */
  gsize n_bytes;
} AfpGgufValue;

typedef struct {
  guint32 version;
  guint64 n_tensors;
  GArray *values; /* of AfpGgufValue, in the order of the file; their data belongs to the bytes */
  GHashTable *by_key; /* key -> index + 1 */
  gsize end;          /* bytes up to here are the head */
} AfpGgufMeta;

/* @path: for messages. What follows the head is not looked at. */
AfpGgufMeta *afp_gguf_meta_parse (GBytes *bytes, const char *path, GError **error);
void afp_gguf_meta_free (AfpGgufMeta *meta);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (AfpGgufMeta, afp_gguf_meta_free)

const AfpGgufValue *afp_gguf_meta_find (const AfpGgufMeta *meta, const char *key); /* or NULL */
/* FALSE if there is no such key, or its value is no integer >= 0. */
gboolean afp_gguf_meta_get_count (const AfpGgufMeta *meta, const char *key, guint64 *value);
gboolean
afp_gguf_meta_get_real (const AfpGgufMeta *meta, const char *key, double *value); /* or no number */
/* NULL if there is no such key, or its value is no string of UTF-8. (transfer full) */
char *afp_gguf_meta_get_text (const AfpGgufMeta *meta, const char *key);
/* Keys and values as texts; of an array, its type and length. (transfer full) */
JsonNode *afp_gguf_meta_to_json (const AfpGgufMeta *meta);
