/* SPDX-License-Identifier: LGPL-2.1-or-later */
#define ZLIB_CONST 1 /* zlib reads what is const */

#include "gunzip.h"

#include <string.h>
#include <zlib.h>

#define LEAST_BYTES 18 /* header, an empty block, checksum and size */
#define MAX_RATIO 1032 /* deflate: 258 bytes of two bits */

gboolean
afp_gunzip_sniff (GBytes *file)
{
  gsize n;
  const guint8 *data = g_bytes_get_data (file, &n);

  return n >= 2 && data[0] == 0x1f && data[1] == 0x8b;
}

/* Why it cannot be unpacked to exactly @size bytes, or NULL. */
static const char *
inflate_whole (const guint8 *data, gsize n, guint8 *out, gsize size)
{
  z_stream stream = {
    .next_in = data, .avail_in = (uInt) n, .next_out = out, .avail_out = (uInt) size
  };

  if (inflateInit2 (&stream, 16 + MAX_WBITS) != Z_OK)
    return "there is no memory to unpack it";
  const int result = inflate (&stream, Z_FINISH);
  const gsize left = stream.avail_in;
  const gboolean full = stream.avail_out == 0, differs = result == Z_DATA_ERROR;
  inflateEnd (&stream);
  if (result == Z_STREAM_END && left > 0)
    return "something follows its packed data; pack it in one piece, with gzip";
  if (result == Z_STREAM_END && full)
    return NULL;
  if (differs)
    return "it is damaged, or its checksum differs; get the file again";
  return "it holds another number of bytes than it says; it is damaged or cut off";
}

GBytes *
afp_gunzip (GBytes *file, const char *what, GError **error)
{
  const char *why = "it is cut off";
  guint32 size = 0;
  gsize n;
  const guint8 *data = g_bytes_get_data (file, &n);

  if (n >= LEAST_BYTES) {
    memcpy (&size, data + n - sizeof size, sizeof size);
    size = GUINT32_FROM_LE (size);
    why = n > G_MAXUINT32        ? "files of 4 GiB and more are not unpacked"
          : size / MAX_RATIO > n ? "it claims more bytes than can be packed into so few"
                                 : NULL;
  }
  g_autofree guint8 *out = why ? NULL : g_try_malloc (MAX (size, 1));
  if (!why && !out) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_MEMORY, "no memory for the %u bytes of %s", size,
                 what);
    return NULL;
  }
  if (!why)
    why = inflate_whole (data, n, out, size);
  if (why) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT, "cannot unpack %s: %s", what, why);
    return NULL;
  }
  return g_bytes_new_take (g_steal_pointer (&out), size);
}
