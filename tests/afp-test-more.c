/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Codecs that do one odd thing each. */
#include "afp-test.h"

typedef struct {
  AfpCodec parent_instance;
  gint in;
  gint row;
  guint quantum;
  gboolean optional, turned;
} TestOdd;
typedef TestOdd TestFlip, TestWide, TestMany, TestFail, TestProbeCodec;
typedef AfpCodecClass TestFlipClass, TestWideClass, TestManyClass, TestFailClass,
    TestProbeCodecClass;
GType test_flip_get_type (void);
GType test_wide_get_type (void);
GType test_many_get_type (void);
GType test_fail_get_type (void);
GType test_probe_codec_get_type (void);
G_DEFINE_TYPE (TestFlip, test_flip, AFP_TYPE_CODEC)
G_DEFINE_TYPE (TestWide, test_wide, AFP_TYPE_CODEC)
G_DEFINE_TYPE (TestMany, test_many, AFP_TYPE_CODEC)
G_DEFINE_TYPE (TestFail, test_fail, AFP_TYPE_CODEC)
G_DEFINE_TYPE (TestProbeCodec, test_probe_codec, AFP_TYPE_CODEC)

static gboolean
do_nothing (AfpCodec *codec, gpointer state, AfpBlock *block, GError **error)
{
  return TRUE;
}

/* --- test-flip ---------------------------------------------------------------------------------------------------- */

static gboolean
flip_describe (AfpCodec *codec, AfpLayout *layout, GError **error)
{
  afp_layout_add_float (layout, "flipped", AFP_KIND_WEIGHT, 1, 0);
  return TRUE;
}

static gboolean
flip_encode (AfpCodec *codec, gpointer state, AfpBlock *block, GError **error)
{
  for (gsize i = 0; i < block->n_rows * block->n_cols; i++)
    block->planes[0].values[i] = -block->values[i];
  return TRUE;
}

static gboolean
flip_decode (AfpCodec *codec, gpointer state, AfpBlock *block, GError **error)
{
  for (gsize i = 0; i < block->n_rows * block->n_cols; i++)
    block->values[i] = -block->planes[0].values[i];
  return TRUE;
}

static void
test_flip_class_init (TestFlipClass *klass)
{
  afp_element_class_set_details (AFP_ELEMENT_CLASS (klass), "Negates", "test-flip");
  klass->default_planes = AFP_KINDS (AFP_KIND_WEIGHT);
  klass->describe = flip_describe;
  klass->encode_block = flip_encode;
  klass->decode_block = flip_decode;
}

static void
test_flip_init (TestFlip *self)
{
}

/* --- test-wide ---------------------------------------------------------------------------------------------------- */

static const AfpProperty wide_properties[] = {
  AFP_PROP_BOOL ("optional", NULL, AFP_PROPERTY_FORMAT, TestOdd, optional, "false",
                 "Leave an optional plane only"),
};

static gboolean
wide_describe (AfpCodec *codec, AfpLayout *layout, GError **error)
{
  if (((TestOdd *) codec)->optional)
    afp_layout_set_optional (layout,
                             afp_layout_add_float (layout, "rest", AFP_KIND_RESIDUAL, 1, 0));
  else
    afp_layout_add_code (layout, "codes", 2, 32);
  return TRUE;
}

static void
test_wide_class_init (TestWideClass *klass)
{
  afp_element_class_add_properties (AFP_ELEMENT_CLASS (klass), wide_properties,
                                    G_N_ELEMENTS (wide_properties), 0);
  afp_element_class_set_details (AFP_ELEMENT_CLASS (klass), "Costs more than it saves",
                                 "test-wide");
  klass->default_planes = AFP_KINDS_ALL_FLOAT;
  klass->describe = wide_describe;
  klass->encode_block = do_nothing;
  klass->decode_block = do_nothing;
}

static void
test_wide_init (TestWide *self)
{
}

/* --- test-many ---------------------------------------------------------------------------------------------------- */

static gboolean
many_describe (AfpCodec *codec, AfpLayout *layout, GError **error)
{
  for (guint i = 0; i < 17; i++) {
    g_autofree char *name = g_strdup_printf ("codes%u", i);
    afp_layout_add_code (layout, name, 1, 1);
  }
  return TRUE;
}

static void
test_many_class_init (TestManyClass *klass)
{
  afp_element_class_set_details (AFP_ELEMENT_CLASS (klass), "Many planes", "test-many");
  klass->default_planes = AFP_KINDS_ALL_FLOAT;
  klass->describe = many_describe;
  klass->encode_block = do_nothing;
  klass->decode_block = do_nothing;
}

static void
test_many_init (TestMany *self)
{
}

/* --- test-fail ---------------------------------------------------------------------------------------------------- */

enum { IN_NONE, IN_DESCRIBE, IN_FIT, IN_OPEN, IN_ENCODE, IN_DECODE };
static const char *const places[] = { "none", "describe", "fit", "open", "encode", "decode", NULL };
static const AfpProperty fail_properties[] = {
  AFP_PROP_ENUM ("in", NULL, AFP_PROPERTY_FORMAT, TestOdd, in, "none", places, "Where to fail"),
  AFP_PROP_INT ("row", NULL, AFP_PROPERTY_FORMAT, TestOdd, row, -1, 1000000, "-1", "rows",
                "In this row only"),
};

static gboolean
fail_now (AfpCodec *codec, gint in, const AfpBlock *block, GError **error)
{
  const TestOdd *self = (TestOdd *) codec;

  if (self->in != in ||
      (block && self->row >= 0 &&
       ((guint64) self->row < block->row || (guint64) self->row >= block->row + block->n_rows)))
    return FALSE;
  g_set_error (error, AFP_ERROR,
               in == IN_DESCRIBE ? AFP_ERROR_PLAN
               : in == IN_DECODE ? AFP_ERROR_FORMAT
                                 : AFP_ERROR_CODEC,
               "test-fail fails in %s", places[in]);
  return TRUE;
}

static gboolean
fail_describe (AfpCodec *codec, AfpLayout *layout, GError **error)
{
  if (fail_now (codec, IN_DESCRIBE, NULL, error))
    return FALSE;
  afp_layout_add_code (layout, "codes", 1, 8);
  return TRUE;
}

static gboolean
fail_fit (AfpCodec *codec, AfpContext *ctx, GError **error)
{
  return !fail_now (codec, IN_FIT, NULL, error);
}

static gpointer
fail_open (AfpCodec *codec, AfpContext *ctx, GError **error)
{
  fail_now (codec, IN_OPEN, NULL, error);
  return NULL;
}

static gboolean
fail_encode (AfpCodec *codec, gpointer state, AfpBlock *block, GError **error)
{
  return !fail_now (codec, IN_ENCODE, block, error);
}

static gboolean
fail_decode (AfpCodec *codec, gpointer state, AfpBlock *block, GError **error)
{
  return !fail_now (codec, IN_DECODE, block, error);
}

static void
test_fail_class_init (TestFailClass *klass)
{
  afp_element_class_add_properties (AFP_ELEMENT_CLASS (klass), fail_properties,
                                    G_N_ELEMENTS (fail_properties), 0);
  afp_element_class_set_details (AFP_ELEMENT_CLASS (klass), "Fails", "test-fail");
  klass->default_planes = AFP_KINDS_ALL_FLOAT;
  klass->describe = fail_describe;
  klass->fit = fail_fit;
  klass->open = fail_open;
  klass->encode_block = fail_encode;
  klass->decode_block = fail_decode;
}

static void
test_fail_init (TestFail *self)
{
}

/* --- test-probe --------------------------------------------------------------------------------------------------- */

static const AfpProperty probe_properties[] = {
  AFP_PROP_UINT ("quantum", NULL, AFP_PROPERTY_FORMAT, TestOdd, quantum, 1, 1024, "1", "columns",
                 "Quantum"),
  AFP_PROP_BOOL ("flat", NULL, AFP_PROPERTY_FORMAT, TestOdd, optional, "false", "One row"),
  AFP_PROP_BOOL ("turned", NULL, AFP_PROPERTY_FORMAT, TestOdd, turned, "false", "Down the columns"),
};

static gboolean
probe_describe (AfpCodec *codec, AfpLayout *layout, GError **error)
{
  afp_layout_set_quantum (layout, ((TestOdd *) codec)->quantum);
  afp_layout_set_flat (layout, ((TestOdd *) codec)->optional);
  afp_layout_set_transposed (layout, ((TestOdd *) codec)->turned);
  afp_layout_add_code (layout, "codes", 1, 8);
  afp_layout_add_tensor_code (layout, "table", 3, 7);
  return TRUE;
}

static gboolean
probe_fit (AfpCodec *codec, AfpContext *ctx, GError **error)
{
  if (test_probe)
    test_probe (ctx);
  return TRUE;
}

static void
test_probe_codec_class_init (TestProbeCodecClass *klass)
{
  afp_element_class_add_properties (AFP_ELEMENT_CLASS (klass), probe_properties,
                                    G_N_ELEMENTS (probe_properties), 0);
  afp_element_class_set_details (AFP_ELEMENT_CLASS (klass), "Calls back", "test-probe");
  klass->default_planes = AFP_KINDS_ALL_FLOAT;
  klass->describe = probe_describe;
  klass->fit = probe_fit;
  klass->encode_block = do_nothing;
  klass->decode_block = do_nothing;
}

static void
test_probe_codec_init (TestProbeCodec *self)
{
}

/* --- test-pack ---------------------------------------------------------------------------------------------------- */

typedef struct {
  AfpPacker parent_instance;
  gboolean fail, bloat;
} TestPack;
typedef AfpPackerClass TestPackClass;
GType test_pack_get_type (void);
G_DEFINE_TYPE (TestPack, test_pack, AFP_TYPE_PACKER)

static const AfpProperty pack_properties[] = {
  AFP_PROP_BOOL ("fail", NULL, AFP_PROPERTY_FORMAT, TestPack, fail, "false", "Fail to pack"),
  AFP_PROP_BOOL ("bloat", NULL, 0, TestPack, bloat, "false", "Pack into too many bytes"),
};

static guint64
pack_bound (AfpPacker *self, const AfpPlaneDesc *desc)
{
  return afp_plane_desc_bytes (desc) + 2;
}

/* Two bytes: the number of bits, and a check; then the bytes. */
static GBytes *
pack_pack (AfpPacker *packer, const AfpPlaneDesc *desc, GBytes *codes, GError **error)
{
  gsize n;
  const guint8 *data = g_bytes_get_data (codes, &n);
  const TestPack *self = (TestPack *) packer;
  guint8 *out = g_malloc0 (n + 12);

  if (self->fail) {
    g_free (out);
    g_set_error_literal (error, AFP_ERROR, AFP_ERROR_CODEC, "test-pack fails");
    return NULL;
  }
  out[0] = (guint8) desc->bits;
  for (gsize i = 0; i < n; i++)
    out[1] ^= data[i];
  if (n)
    memcpy (out + 2, data, n);
  return g_bytes_new_take (out, n + (self->bloat ? 12 : 2));
}

static GBytes *
pack_unpack (AfpPacker *self, const AfpPlaneDesc *desc, GBytes *packed, GError **error)
{
  const guint64 n_bytes = afp_plane_desc_bytes (desc);
  gsize n;
  const guint8 *data = g_bytes_get_data (packed, &n);
  guint8 check = 0;

  for (gsize i = 2; i < n; i++)
    check ^= data[i];
  if (n != n_bytes + 2 || data[0] != desc->bits || data[1] != check) {
    g_set_error_literal (error, AFP_ERROR, AFP_ERROR_FORMAT, "test-pack: damaged");
    return NULL;
  }
  return g_bytes_new_from_bytes (packed, 2, n_bytes);
}

static void
test_pack_class_init (TestPackClass *klass)
{
  afp_element_class_add_properties (AFP_ELEMENT_CLASS (klass), pack_properties,
                                    G_N_ELEMENTS (pack_properties), 0);
  afp_element_class_set_details (AFP_ELEMENT_CLASS (klass), "Copies", "test-pack");
  klass->version = 4;
  klass->bound = pack_bound;
  klass->pack = pack_pack;
  klass->unpack = pack_unpack;
}

static void
test_pack_init (TestPack *self)
{
}

void
test_more_codecs_register (void)
{
  afp_registry_add_builtin ("test-flip", test_flip_get_type ());
  afp_registry_add_builtin ("test-wide", test_wide_get_type ());
  afp_registry_add_builtin ("test-many", test_many_get_type ());
  afp_registry_add_builtin ("test-fail", test_fail_get_type ());
  afp_registry_add_builtin ("test-probe", test_probe_codec_get_type ());
  afp_registry_add_builtin ("test-pack", test_pack_get_type ());
}
