/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afpipe.h"
#include "entropy-kernel.h"
#include "entropy-rans.h"

#include <string.h>
#define ZSTD_STATIC_LINKING_ONLY /* the estimate of its memory */
#include <zstd.h>

/*
 * entropy: lossless coding of code planes with a range coder or zstd; a plane that does not shrink is kept as it is. Format: SPEC.md.
 *
 *   afpipe-launch "load location=m.safetensors ! hyper ! entropy ! eval ! write location=m.h5"
 */
struct _AfpEntropy {
  AfpPacker parent_instance;
  guint level;
  gint coder;
};

#define AFP_TYPE_ENTROPY (afp_entropy_get_type ())
G_DECLARE_FINAL_TYPE (AfpEntropy, afp_entropy, AFP, ENTROPY, AfpPacker)
G_DEFINE_FINAL_TYPE (AfpEntropy, afp_entropy, AFP_TYPE_PACKER)

/* The first byte of a packed plane. */
enum { MODE_STORED, MODE_ZSTD, MODE_SPREAD, MODE_RANS };

enum { CODER_AUTO, CODER_ZSTD, CODER_RANS };
static const char *const coders[] = { "auto", "zstd", "rans", NULL };

static const AfpProperty properties[] = {
  AFP_PROP_UINT ("level", NULL, 0, AfpEntropy, level, 1, 19, "19", NULL,
                 "Compression level of zstd"),
  AFP_PROP_ENUM ("coder", NULL, 0, AfpEntropy, coder, "auto", coders,
                 "Which coder is tried: a range coder with contexts, zstd, or what is smaller"),
};

static guint64
entropy_bound (AfpPacker *packer, const AfpPlaneDesc *desc)
{
  return afp_plane_desc_bytes (desc) + 1;
}

/* The plane spread, what zstd makes of it, and its tables; or what the range coder makes of it, and its. */
static guint64
entropy_scratch (AfpPacker *packer, const AfpPlaneDesc *desc)
{
  const AfpEntropy *self = AFP_ENTROPY (packer);
  const guint64 n_bytes = afp_plane_desc_bytes (desc);
  const guint64 n = MAX (n_bytes, entropy_spread_bytes (n_bytes, desc->bits));
  const ZSTD_compressionParameters params = ZSTD_getCParams ((int) self->level, n, 0);
  const guint64 zstd = n + ZSTD_compressBound (n) + ZSTD_estimateCCtxSize_usingCParams (params);
  const guint64 rans = n_bytes + entropy_rans_scratch (desc);

  return self->coder == CODER_RANS ? rans : self->coder == CODER_ZSTD ? zstd : MAX (zstd, rans);
}

static void
set_zstd_error (GError **error, AfpError code, const char *what, gsize result)
{
  g_set_error (error, AFP_ERROR, code, "%s: %s", what, ZSTD_getErrorName (result));
}

/* (transfer full): zstd of @data */
static guint8 *
compress (const guint8 *data, gsize n, int level, gsize *size, GError **error)
{
  g_autofree guint8 *out = g_malloc (ZSTD_compressBound (n));

  *size = ZSTD_compress (out, ZSTD_compressBound (n), data, n, level);
  if (ZSTD_isError (*size)) {
    set_zstd_error (error, AFP_ERROR_CODEC, "zstd cannot compress a plane", *size);
    return NULL;
  }
  return g_steal_pointer (&out);
}

/* A packed plane: the best so far. */
typedef struct {
  guint8 *out; /* the mode, and room for the plane */
  gsize size;  /* of the body */
} Best;

/* Tries zstd on @data; FALSE: failed. */
static gboolean
try_level (Best *best, guint8 mode, const guint8 *data, gsize n, int level, GError **error)
{
  gsize size;
  g_autofree guint8 *packed = compress (data, n, level, &size, error);

  if (!packed)
    return FALSE;
  if (size < best->size) {
    best->out[0] = mode;
    best->size = size;
    memcpy (best->out + 1, packed, size);
  }
  return TRUE;
}

#define SMALL 16384 /* bytes of a plane on which zstd takes no time */

/*
 * Where the range coder did well, only repetitions make zstd the better one, and its fastest level sees them, too: the slow one is
 * for them. FALSE: failed.
 */
static gboolean
is_promising (const Best *best, const guint8 *const *data, const gsize *sizes, gboolean *promising,
              GError **error)
{
  *promising = FALSE;
  for (guint i = 0; i < 2 && data[i] && !*promising; i++) {
    gsize size;
    g_autofree guint8 *packed = compress (data[i], sizes[i], 1, &size, error);
    if (!packed)
      return FALSE;
    *promising = size <= best->size + best->size / 64;
  }
  return TRUE;
}

/* Tries zstd on the plane and on its symbols spread. */
static gboolean
try_zstd (AfpEntropy *self, Best *best, const guint8 *data, gsize n, guint bits, GError **error)
{
  const gsize n_spread = bits % 8 ? entropy_spread_bytes (n, bits) : 0;
  g_autofree guint8 *spread = n_spread ? g_malloc (n_spread) : NULL;
  const int level = (int) self->level;
  gboolean promising = TRUE;

  if (spread)
    entropy_spread (data, n, bits, spread);
  if (self->coder == CODER_AUTO && n > SMALL &&
      !is_promising (best, (const guint8 *[]){ data, spread }, (gsize[]){ n, n_spread }, &promising,
                     error))
    return FALSE;
  if (!promising)
    return TRUE;
  return try_level (best, MODE_ZSTD, data, n, level, error) &&
         (!spread || try_level (best, MODE_SPREAD, spread, n_spread, level, error));
}

static void
try_rans (Best *best, const AfpPlaneDesc *desc, GBytes *codes)
{
  g_autofree guint8 *body = g_malloc (best->size - 1);
  const gsize size = entropy_rans_pack (desc, codes, body, best->size - 1);

  if (size) {
    best->out[0] = MODE_RANS;
    best->size = size;
    memcpy (best->out + 1, body, size);
  }
}

static GBytes *
entropy_pack (AfpPacker *packer, const AfpPlaneDesc *desc, GBytes *codes, GError **error)
{
  AfpEntropy *self = AFP_ENTROPY (packer);
  gsize n;
  const guint8 *data = g_bytes_get_data (codes, &n);
  g_autofree guint8 *out = g_malloc (n + 1);
  Best best = { out, n };

  out[0] = MODE_STORED;
  memcpy (out + 1, data, n);
  if (n > 1 && self->coder != CODER_ZSTD)
    try_rans (&best, desc, codes);
  if (n > 1 && self->coder != CODER_RANS && !try_zstd (self, &best, data, n, desc->bits, error))
    return NULL;
  return g_bytes_new_take (g_realloc (g_steal_pointer (&out), best.size + 1), best.size + 1);
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
  case MODE_RANS:
    return entropy_rans_unpack (desc, data + 1, n - 1, error);
  default:
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                 "unknown mode %u of a packed plane (0 stored, 1 zstd, 2 spread, 3 range coder)",
                 data[0]);
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
      AFP_ELEMENT_CLASS (klass), "Codes code planes without loss (range coder, zstd)",
      "load location=model.safetensors ! hyper ! entropy ! eval ! write location=model.h5");
  packer_class->version = 2;
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
