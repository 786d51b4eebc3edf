/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the tests of NumPy's formats share: arrays and archives, made by hand. */
#pragma once

#include "io-test.h"

#include <zlib.h>

/* magic, version, length, @text, @n bytes 0, 1, 2, ... */
static inline GByteArray *
make_npy (guint major, const char *text, gsize n)
{
  GByteArray *bytes = g_byte_array_new ();
  const guint32 length = (guint32) strlen (text);
  const guint8 head[] = { 0x93,
                          'N',
                          'U',
                          'M',
                          'P',
                          'Y',
                          (guint8) major,
                          0,
                          (guint8) length,
                          (guint8) (length >> 8),
                          (guint8) (length >> 16),
                          (guint8) (length >> 24) };
  g_byte_array_append (bytes, head, major == 1 ? 10 : 12);
  g_byte_array_append (bytes, (const guint8 *) text, length);
  for (gsize i = 0; i < n; i++) {
    const guint8 byte = (guint8) i;
    g_byte_array_append (bytes, &byte, 1);
  }
  return bytes;
}

#define NPY_TEXT(descr, shape) \
  "{'descr': '" descr "', 'fortran_order': False, 'shape': " shape ", }\n"

/* --- zip --- */

typedef struct {
  GByteArray *bytes;   /* local headers and data */
  GByteArray *central; /* the directory */
  guint n;
} TestZip;

static inline void
put_number (GByteArray *bytes, guint64 value, guint size)
{
  for (guint i = 0; i < size; i++) {
    const guint8 byte = i < 8 ? (guint8) (value >> 8 * i) : 0;
    g_byte_array_append (bytes, &byte, 1);
  }
}

static inline void
put_text (GByteArray *bytes, const char *text)
{
  g_byte_array_append (bytes, (const guint8 *) text, (guint) strlen (text));
}

static inline void
zip_init (TestZip *zip)
{
  *zip = (TestZip){ g_byte_array_new (), g_byte_array_new (), 0 };
}

/* Raw deflate of @data. */
static inline GByteArray *
deflate_bytes (const void *data, gsize n)
{
  GByteArray *out = g_byte_array_new ();
  z_stream stream = { 0 };
  ck_assert_int_eq (deflateInit2 (&stream, 9, Z_DEFLATED, -MAX_WBITS, 9, Z_DEFAULT_STRATEGY), Z_OK);
  g_byte_array_set_size (out, (guint) deflateBound (&stream, n));
  stream.next_in = (Bytef *) data;
  stream.avail_in = (uInt) n;
  stream.next_out = out->data;
  stream.avail_out = out->len;
  ck_assert_int_eq (deflate (&stream, Z_FINISH), Z_STREAM_END);
  g_byte_array_set_size (out, (guint) stream.total_out);
  deflateEnd (&stream);
  return out;
}

/* @packed is put in as it is; what the headers say is up to the caller. Offsets in the directory: 10 method, 20 packed, 24 bytes. */
static inline void
zip_add_raw (TestZip *zip, const char *name, guint method, const void *packed, gsize n_packed,
             guint64 bytes, guint32 crc)
{
  const guint begin = zip->bytes->len;
  GByteArray *both[] = { zip->bytes, zip->central };
  for (guint i = 0; i < 2; i++) {
    put_text (both[i], i == 0 ? "PK\3\4" : "PK\1\2");
    put_number (both[i], 20, i == 0 ? 2 : 4);
    put_number (both[i], 0, 2); /* flags */
    put_number (both[i], method, 2);
    put_number (both[i], 0, 4); /* time */
    put_number (both[i], crc, 4);
    put_number (both[i], n_packed, 4);
    put_number (both[i], bytes, 4);
    put_number (both[i], strlen (name), 2);
    put_number (both[i], 0, i == 0 ? 2 : 2 + 2 + 2 + 2 + 4);
  }
  put_number (zip->central, begin, 4);
  put_text (zip->central, name);
  put_text (zip->bytes, name);
  g_byte_array_append (zip->bytes, packed, (guint) n_packed);
  zip->n++;
}

static inline void
zip_add (TestZip *zip, const char *name, gboolean deflated, const void *data, gsize n)
{
  const guint32 crc = (guint32) crc32_z (crc32_z (0, NULL, 0), data, n);
  g_autoptr (GByteArray) packed = deflated ? deflate_bytes (data, n) : NULL;
  if (deflated)
    zip_add_raw (zip, name, 8, packed->data, packed->len, n, crc);
  else
    zip_add_raw (zip, name, 0, data, n, n, crc);
}

static inline void
zip_add_npy (TestZip *zip, const char *name, gboolean deflated, const char *text, gsize n)
{
  g_autoptr (GByteArray) npy = make_npy (1, text, n);
  zip_add (zip, name, deflated, npy->data, npy->len);
}

/* Directory and end; frees the parts. */
static inline GByteArray *
zip_end (TestZip *zip)
{
  GByteArray *bytes = zip->bytes;
  const guint begin = bytes->len, size = zip->central->len;
  g_byte_array_append (bytes, zip->central->data, size);
  g_byte_array_unref (zip->central);
  put_text (bytes, "PK\5\6");
  put_number (bytes, 0, 4);
  put_number (bytes, zip->n, 2);
  put_number (bytes, zip->n, 2);
  put_number (bytes, size, 4);
  put_number (bytes, begin, 4);
  put_number (bytes, 0, 2);
  return bytes;
}

static inline char *
golden_path (const char *name)
{
  return g_build_filename (g_getenv ("AFP_TEST_SRCDIR"), "tests/data", name, NULL);
}
