/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files of images and labels for tests. */
#pragma once

#include "numpy-test.h"

/* An IDX file: @code is the type, then axes up to a 0, then bytes 0, 1, 2, ... below @below, @n of them. */
static inline GByteArray *
make_idx (guint code, const guint32 *axes, gsize n, guint below)
{
  GByteArray *bytes = g_byte_array_new ();
  guint rank = 0;

  while (axes[rank] != 0)
    rank++;
  const guint8 head[] = { 0, 0, (guint8) code, (guint8) rank };
  g_byte_array_append (bytes, head, 4);
  for (guint i = 0; i < rank; i++) {
    const guint32 big = GUINT32_TO_BE (axes[i]);
    g_byte_array_append (bytes, (const guint8 *) &big, 4);
  }
  for (gsize i = 0; i < n; i++) {
    const guint8 byte = (guint8) (i % below);
    g_byte_array_append (bytes, &byte, 1);
  }
  return bytes;
}
#define AXES(...)   \
  (const guint32[]) \
  {                 \
    __VA_ARGS__, 0  \
  }

/* As gzip packs it: header, deflate, checksum, size. */
static inline GByteArray *
gzip_bytes (const void *data, gsize n)
{
  static const guint8 head[] = { 0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3 };
  g_autoptr (GByteArray) packed = deflate_bytes (data, n);
  GByteArray *bytes = g_byte_array_new ();

  g_byte_array_append (bytes, head, sizeof head);
  g_byte_array_append (bytes, packed->data, packed->len);
  put_number (bytes, crc32_z (crc32_z (0, NULL, 0), data, n), 4);
  put_number (bytes, n, 4);
  return bytes;
}
