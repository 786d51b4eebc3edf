/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Builds GGUF files in memory, sound and unsound ones. */
#pragma once

#include "io-test.h"

#include "gguf-meta.h"

static inline void
put_u32 (GByteArray *file, guint32 value)
{
  const guint32 little = GUINT32_TO_LE (value);
  g_byte_array_append (file, (const guint8 *) &little, 4);
}

static inline void
put_u64 (GByteArray *file, guint64 value)
{
  const guint64 little = GUINT64_TO_LE (value);
  g_byte_array_append (file, (const guint8 *) &little, 8);
}

static inline void
put_text (GByteArray *file, const char *text)
{
  put_u64 (file, strlen (text));
  g_byte_array_append (file, (const guint8 *) text, (guint) strlen (text));
}

static inline GByteArray *
new_gguf (guint32 version, guint64 n_tensors, guint64 n_values)
{
  GByteArray *file = g_byte_array_new ();
  g_byte_array_append (file, (const guint8 *) "GGUF", 4);
  put_u32 (file, version);
  put_u64 (file, n_tensors);
  put_u64 (file, n_values);
  return file;
}

static inline void
put_key (GByteArray *file, const char *key, AfpGgufType type)
{
  put_text (file, key);
  put_u32 (file, type);
}

static inline void
put_tensor (GByteArray *file, const char *name, guint32 rank, const guint64 *innermost_first,
            guint32 type, guint64 offset)
{
  put_text (file, name);
  put_u32 (file, rank);
  for (guint i = 0; i < rank; i++)
    put_u64 (file, innermost_first[i]);
  put_u32 (file, type);
  put_u64 (file, offset);
}

/* Zeros up to a multiple of @alignment. */
static inline void
put_padding (GByteArray *file, guint alignment)
{
  static const guint8 zero = 0;
  while (file->len % alignment != 0)
    g_byte_array_append (file, &zero, 1);
}

static inline void
put_counting_bytes (GByteArray *file, guint n)
{
  for (guint i = 0; i < n; i++) {
    const guint8 byte = (guint8) i;
    g_byte_array_append (file, &byte, 1);
  }
}

/* Two tensors, six metadata: "a" f32 2x3 at 0, "b" q8_0 2x32 at 32. */
static inline GByteArray *
small_gguf (guint32 version)
{
  static const guint64 a[] = { 3, 2 }, b[] = { 32, 2 };
  GByteArray *file = new_gguf (version, 2, 6);
  put_key (file, "general.architecture", AFP_GGUF_STRING);
  put_text (file, "toy");
  put_key (file, "toy.count", AFP_GGUF_U32);
  put_u32 (file, 7);
  put_key (file, "toy.minus", AFP_GGUF_I32);
  put_u32 (file, 0xffffffff);
  put_key (file, "toy.words", AFP_GGUF_ARRAY);
  put_u32 (file, AFP_GGUF_STRING);
  put_u64 (file, 2);
  put_text (file, "one");
  put_text (file, "");
  put_key (file, "toy.pairs", AFP_GGUF_ARRAY);
  put_u32 (file, AFP_GGUF_ARRAY);
  put_u64 (file, 1);
  put_u32 (file, AFP_GGUF_U8);
  put_u64 (file, 2);
  g_byte_array_append (file, (const guint8 *) "\1\2", 2);
  put_key (file, "toy.yes", AFP_GGUF_BOOL);
  g_byte_array_append (file, (const guint8 *) "\1", 1);
  put_tensor (file, "a", 2, a, 0, 0);
  put_tensor (file, "b", 2, b, 8, 32);
  put_padding (file, 32);
  put_counting_bytes (file, 24);
  put_padding (file, 32);
  put_counting_bytes (file, 68);
  return file;
}

static inline char *
put_gguf (const char *name, GByteArray *file)
{
  return put_file (name, file->data, file->len);
}
