/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* For cli-conform.sh: a plain codec of 8 bits and one scale, without a fault and with one each; two lossless coders with a fault. */
#include "afpipe.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef enum {
  VICE_NONE,
  VICE_LIES,      /* describes another plane each time */
  VICE_THREADS,   /* other numbers in other threads */
  VICE_CRASHES,   /* where there is one column */
  VICE_LOOPS,     /* where all numbers are zero */
  VICE_ANYTHING,  /* takes any property */
  VICE_LEAKS,     /* a little memory with each block */
  VICE_NEIGHBOUR, /* codes that depend on how many vectors come together */
  VICE_COMPLAINS, /* through GLib, while all is well */
  VICE_TRUSTS,    /* a symbol that its encoder never makes */
  N_VICES
} Vice;

static const char *const names[N_VICES] = { "bad-none",    "bad-lies",      "bad-threads",
                                            "bad-crashes", "bad-loops",     "bad-anything",
                                            "bad-leaks",   "bad-neighbour", "bad-complains",
                                            "bad-trusts" };

typedef struct {
  AfpCodec parent_instance;
  char *mode;
  guint step;
} Bad;

typedef struct {
  AfpCodecClass parent_class;
  Vice vice;
} BadClass;

GType bad_get_type (void);
G_DEFINE_ABSTRACT_TYPE (Bad, bad, AFP_TYPE_CODEC)

#define VICE(self) (((BadClass *) G_OBJECT_GET_CLASS (self))->vice)

enum { CODES, PEAK };

static const AfpProperty any_properties[] = {
  AFP_PROP_STRING ("mode", NULL, AFP_PROPERTY_FORMAT, Bad, mode, "plain", "Nobody looks at it"),
  AFP_PROP_UINT ("step", NULL, AFP_PROPERTY_FORMAT, Bad, step, 0, 0, "1", NULL, "A divisor"),
};

static gboolean
bad_describe (AfpCodec *self, AfpLayout *layout, GError **error)
{
  static guint calls;

  afp_layout_add_code (layout, "codes", 1, VICE (self) == VICE_LIES ? 8 + calls++ % 2 : 8);
  afp_layout_add_tensor_float (layout, "peak", AFP_KIND_SCALE, 1, 1, 0);
  return TRUE;
}

static gboolean
bad_fit (AfpCodec *self, AfpContext *ctx, GError **error)
{
  float *peak = afp_context_get_values (ctx, PEAK);

  if (!afp_context_get_moments (ctx, NULL, peak, NULL, error))
    return FALSE;
  for (volatile float seen = *peak; VICE (self) == VICE_LOOPS && seen == 0;)
    continue;
  return TRUE;
}

static gboolean
bad_encode (AfpCodec *self, gpointer ctx, AfpBlock *block, GError **error)
{
  const float peak = *afp_context_get_values (ctx, PEAK);
  const float more = VICE (self) == VICE_NEIGHBOUR && block->n_rows > 1 ? 0.4f : 0;
  static gpointer lost;

  if (VICE (self) == VICE_CRASHES && block->n_cols == 1)
    abort ();
  if (VICE (self) == VICE_LEAKS)
    g_atomic_pointer_set (&lost, g_malloc (64));
  for (gsize i = 0; i < block->n_rows * block->n_cols; i++) {
    const float q = peak > 0 ? rintf (block->values[i] / peak * 127 + more) : 0;
    block->planes[CODES].codes[i] = (guint32) (CLAMP (q, -127.0f, 127.0f) + 128);
  }
  return TRUE;
}

static gboolean
bad_decode (AfpCodec *self, gpointer ctx, AfpBlock *block, GError **error)
{
  const float peak = *afp_context_get_values (ctx, PEAK);
  static GThread *volatile first;
  float more = 0;

  if (VICE (self) == VICE_THREADS) {
    if (!first)
      first = g_thread_self ();
    more = first == g_thread_self () ? 0 : peak / 1000;
    g_usleep (3000);
  }
  if (VICE (self) == VICE_COMPLAINS)
    g_warning ("this codec complains");
  for (gsize i = 0; i < block->n_rows * block->n_cols; i++) {
    const guint32 code = block->planes[CODES].codes[i];
    if (VICE (self) == VICE_TRUSTS && code == 0)
      abort ();
    block->values[i] = ((float) code - 128) / 127 * peak + more;
    if (VICE (self) == VICE_ANYTHING)
      block->values[i] =
          block->values[i] * (float) ((Bad *) self)->step / (float) ((Bad *) self)->step;
  }
  return TRUE;
}

static void
bad_class_init (BadClass *klass)
{
  AfpCodecClass *codec_class = AFP_CODEC_CLASS (klass);

  codec_class->describe = bad_describe;
  codec_class->fit = bad_fit;
  codec_class->encode_block = bad_encode;
  codec_class->decode_block = bad_decode;
}

static void
bad_init (Bad *self)
{
}

static void
vice_class_init (gpointer klass, gpointer vice)
{
  ((BadClass *) klass)->vice = (Vice) GPOINTER_TO_UINT (vice);
  afp_element_class_set_details (klass, "Has a fault", "bad-none");
  if (GPOINTER_TO_UINT (vice) == VICE_ANYTHING)
    afp_element_class_add_properties (klass, any_properties, G_N_ELEMENTS (any_properties), 0);
}

/* --- lossless coders -------------------------------------------------------------------------------------------------- */

typedef struct {
  AfpPacker parent_instance;
} BadBound, BadLossy;
typedef AfpPackerClass BadBoundClass, BadLossyClass;

GType bad_bound_get_type (void);
GType bad_lossy_get_type (void);
G_DEFINE_TYPE (BadBound, bad_bound, AFP_TYPE_PACKER)
G_DEFINE_TYPE (BadLossy, bad_lossy, AFP_TYPE_PACKER)

static guint64
same_bound (AfpPacker *self, const AfpPlaneDesc *desc)
{
  return afp_plane_desc_bytes (desc);
}

static GBytes *
longer_pack (AfpPacker *self, const AfpPlaneDesc *desc, GBytes *codes, GError **error)
{
  gsize n;
  const guint8 *data = g_bytes_get_data (codes, &n);
  guint8 *out = g_malloc0 (n + 1);

  if (n)
    memcpy (out, data, n);
  return g_bytes_new_take (out, n + 1);
}

static GBytes *
shorter_unpack (AfpPacker *self, const AfpPlaneDesc *desc, GBytes *packed, GError **error)
{
  const guint64 n_bytes = afp_plane_desc_bytes (desc);

  if (g_bytes_get_size (packed) == n_bytes + 1)
    return g_bytes_new_from_bytes (packed, 0, n_bytes);
  g_set_error_literal (error, AFP_ERROR, AFP_ERROR_FORMAT, "damaged");
  return NULL;
}

static void
bad_bound_class_init (BadBoundClass *klass)
{
  afp_element_class_set_details (AFP_ELEMENT_CLASS (klass), "A byte more than it says",
                                 "bad-bound");
  klass->bound = same_bound;
  klass->pack = longer_pack;
  klass->unpack = shorter_unpack;
}

static void
bad_bound_init (BadBound *self)
{
}

static GBytes *
copy_pack (AfpPacker *self, const AfpPlaneDesc *desc, GBytes *codes, GError **error)
{
  return g_bytes_ref (codes);
}

static GBytes *
lossy_unpack (AfpPacker *self, const AfpPlaneDesc *desc, GBytes *packed, GError **error)
{
  const guint64 n_bytes = afp_plane_desc_bytes (desc);

  gsize n;
  const guint8 *data = g_bytes_get_data (packed, &n);

  if (n != n_bytes) {
    g_set_error_literal (error, AFP_ERROR, AFP_ERROR_FORMAT, "damaged");
    return NULL;
  }
  guint8 *out = g_malloc0 (n + 1);
  for (gsize i = 0; i < n; i++)
    out[i] = data[i] & 0xfe;
  return g_bytes_new_take (out, n);
}

static void
bad_lossy_class_init (BadLossyClass *klass)
{
  afp_element_class_set_details (AFP_ELEMENT_CLASS (klass), "Loses a bit", "bad-lossy");
  klass->bound = same_bound;
  klass->pack = copy_pack;
  klass->unpack = lossy_unpack;
}

static void
bad_lossy_init (BadLossy *self)
{
}

static gboolean
bad_plugin_init (AfpPlugin *plugin, GError **error)
{
  for (guint vice = 0; vice < N_VICES; vice++) {
    const GTypeInfo info = { .class_size = sizeof (BadClass),
                             .class_init = vice_class_init,
                             .class_data = GUINT_TO_POINTER (vice),
                             .instance_size = sizeof (Bad) };
    g_autofree char *name = g_strdup_printf ("BadVice%u", vice);
    afp_plugin_add_element (plugin, names[vice],
                            g_type_register_static (bad_get_type (), name, &info, 0));
  }
  afp_plugin_add_element (plugin, "bad-bound", bad_bound_get_type ());
  afp_plugin_add_element (plugin, "bad-lossy", bad_lossy_get_type ());
  return TRUE;
}

AFP_PLUGIN_DEFINE ("bad-codecs", "1.0", "LGPL-2.1-or-later", "https://bad.example/",
                   "Codecs with faults", bad_plugin_init)
