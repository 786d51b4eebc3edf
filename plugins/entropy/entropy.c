/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afpipe.h"
#include "entropy-kernel.h"

#include <string.h>
#define ZSTD_STATIC_LINKING_ONLY /* the estimate of its memory */
#include <zstd.h>

/*
 * entropy: lossless coding of code planes with zstd; a plane that does not shrink is kept as it is. Format: SPEC.md.
 *
 *   afpipe-launch "load location=m.safetensors ! hyper ! entropy ! eval ! write location=m.h5"
 */
struct _AfpEntropy {
  AfpPacker parent_instance;
  guint level;
};

#define AFP_TYPE_ENTROPY (afp_entropy_get_type ())
G_DECLARE_FINAL_TYPE (AfpEntropy, afp_entropy, AFP, ENTROPY, AfpPacker)
G_DEFINE_FINAL_TYPE (AfpEntropy, afp_entropy, AFP_TYPE_PACKER)

/* The first byte of a packed plane. */
enum { MODE_STORED, MODE_ZSTD, MODE_SPREAD };

static const AfpProperty properties[] = {
  AFP_PROP_UINT ("level", NULL, 0, AfpEntropy, level, 1, 19, "19", NULL,
                 "Compression level of zstd"),
};

static guint64
entropy_bound (AfpPacker *packer, const AfpPlaneDesc *desc)
{
  return afp_plane_desc_bytes (desc) + 1;
}

/* The plane spread, what zstd makes of it, and its tables. */
static guint64
entropy_scratch (AfpPacker *packer, const AfpPlaneDesc *desc)
{
  const int level = (int) AFP_ENTROPY (packer)->level;
  const guint64 n_bytes = afp_plane_desc_bytes (desc);
  const guint64 n = MAX (n_bytes, entropy_spread_bytes (n_bytes, desc->bits));
  const ZSTD_compressionParameters params = ZSTD_getCParams (level, n, 0);

  return n + ZSTD_compressBound (n) + ZSTD_estimateCCtxSize_usingCParams (params);
}

static void
set_zstd_error (GError **error, AfpError code, const char *what, gsize result)
{
  g_set_error (error, AFP_ERROR, code, "%s: %s", what, ZSTD_getErrorName (result));
}

/* zstd of @data into room for @capacity bytes; 0: does not fit. G_MAXSIZE: failed. */
static gsize
compress (AfpEntropy *self, const guint8 *data, gsize n, guint8 *out, gsize capacity,
          GError **error)
{
  g_autofree guint8 *own = g_malloc (ZSTD_compressBound (n));
  const gsize size = ZSTD_compress (own, ZSTD_compressBound (n), data, n, (int) self->level);

  if (ZSTD_isError (size)) {
    set_zstd_error (error, AFP_ERROR_CODEC, "zstd cannot compress a plane", size);
    return G_MAXSIZE;
  }
  if (size > capacity)
    return 0;
  memcpy (out, own, size);
  return size;
}

static GBytes *
entropy_pack (AfpPacker *packer, const AfpPlaneDesc *desc, GBytes *codes, GError **error)
{
  const guint bits = desc->bits;
  AfpEntropy *self = AFP_ENTROPY (packer);
  gsize n, best;
  const guint8 *data = g_bytes_get_data (codes, &n);
  g_autofree guint8 *out = g_malloc (n + 1);

  out[0] = MODE_STORED;
  memcpy (out + 1, data, n);
  best = n;
  if (n > 1) {
    const gsize size = compress (self, data, n, out + 1, best - 1, error);
    if (size == G_MAXSIZE)
      return NULL;
    if (size) {
      out[0] = MODE_ZSTD;
      best = size;
    }
  }
  if (n > 1 && bits % 8 != 0) {
    const gsize n_spread = entropy_spread_bytes (n, bits);
    g_autofree guint8 *spread = g_malloc (MAX (n_spread, 1));
    entropy_spread (data, n, bits, spread);
    const gsize size = compress (self, spread, n_spread, out + 1, best - 1, error);
    if (size == G_MAXSIZE)
      return NULL;
    if (size) {
      out[0] = MODE_SPREAD;
      best = size;
    }
  }
  return g_bytes_new_take (g_realloc (g_steal_pointer (&out), best + 1), best + 1);
}

#define MAX_BLOCK 131072 /* bytes of a zstd block */

static GBytes *
decompress (const guint8 *data, gsize n, gsize expected, GError **error)
{
  const unsigned long long declared = ZSTD_getFrameContentSize (data, n);

  /* A block takes four bytes at least and makes MAX_BLOCK at most: nothing is allocated for a frame that only claims. */
  if (declared != expected || expected / MAX_BLOCK > n / 4) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                 "damaged zstd frame: it is no frame of %" G_GSIZE_FORMAT
                 " bytes, as its recipe says",
                 expected);
    return NULL;
  }
  g_autofree guint8 *out = g_try_malloc (MAX (expected, 1));
  if (!out) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_MEMORY,
                 "no memory for a plane of %" G_GSIZE_FORMAT " bytes", expected);
    return NULL;
  }
  const gsize size = ZSTD_decompress (out, expected, data, n);
  if (ZSTD_isError (size) || size != expected) {
    set_zstd_error (error, AFP_ERROR_FORMAT, "damaged zstd frame", size);
    return NULL;
  }
  return g_bytes_new_take (g_steal_pointer (&out), expected);
}

static GBytes *
entropy_unpack (AfpPacker *packer, const AfpPlaneDesc *desc, GBytes *packed, GError **error)
{
  const guint64 n_bytes = afp_plane_desc_bytes (desc);
  const guint bits = desc->bits;
  gsize n;
  const guint8 *data = g_bytes_get_data (packed, &n);

  if (n == 0) {
    g_set_error_literal (error, AFP_ERROR, AFP_ERROR_FORMAT,
                         "the packed plane is empty: its mode byte is missing");
    return NULL;
  }
  switch (data[0]) {
  case MODE_STORED:
    if (n - 1 == n_bytes)
      return g_bytes_new_from_bytes (packed, 1, n - 1);
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                 "%" G_GSIZE_FORMAT " stored bytes where %" G_GUINT64_FORMAT " are needed", n - 1,
                 n_bytes);
    return NULL;
  case MODE_ZSTD:
    return decompress (data + 1, n - 1, n_bytes, error);
  case MODE_SPREAD: {
    if (bits % 8 == 0) {
      g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                   "mode 2 (spread) of a packed plane does not go with symbols of %u bits", bits);
      return NULL;
    }
    g_autoptr (GBytes) spread =
        decompress (data + 1, n - 1, entropy_spread_bytes (n_bytes, bits), error);
    if (!spread)
      return NULL;
    guint8 *stream = g_malloc (MAX (n_bytes, 1));
    entropy_gather (g_bytes_get_data (spread, NULL), n_bytes, bits, stream);
    return g_bytes_new_take (stream, n_bytes);
  }
  default:
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                 "unknown mode %u of a packed plane (0 stored, 1 zstd, 2 spread)", data[0]);
    return NULL;
  }
}

static void
afp_entropy_class_init (AfpEntropyClass *klass)
{
  AfpPackerClass *packer_class = AFP_PACKER_CLASS (klass);

  afp_element_class_add_properties (AFP_ELEMENT_CLASS (klass), properties,
                                    G_N_ELEMENTS (properties), 0);
  afp_element_class_set_details (
      AFP_ELEMENT_CLASS (klass), "Codes code planes without loss (zstd)",
      "load location=model.safetensors ! hyper ! entropy ! eval ! write location=model.h5");
  packer_class->version = 1;
  packer_class->bound = entropy_bound;
  packer_class->scratch = entropy_scratch;
  packer_class->pack = entropy_pack;
  packer_class->unpack = entropy_unpack;
}

static void
afp_entropy_init (AfpEntropy *self)
{
}

static gboolean
entropy_init (AfpPlugin *plugin, GError **error)
{
  afp_plugin_add_element (plugin, "entropy", AFP_TYPE_ENTROPY);
  return TRUE;
}

AFP_PLUGIN_DEFINE ("entropy", AFP_VERSION, "LGPL-2.1-or-later", AFP_ORIGIN,
                   "Lossless coding of code planes", entropy_init)
