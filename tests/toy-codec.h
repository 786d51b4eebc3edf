/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* For tests of recipes and files: a codec with codes, a float plane for each block and one for the tensor, and a lossless coder. */
#pragma once

#include "core-test.h"

typedef struct {
  AfpCodec parent_instance;
  guint block_size;
  char *path; /* belongs to the element, not to the format */
} ToyCodec;
typedef AfpCodecClass ToyCodecClass;
typedef AfpPacker ToyPacker;
typedef AfpPackerClass ToyPackerClass;

GType toy_codec_get_type (void);
GType toy_packer_get_type (void);
G_DEFINE_TYPE (ToyCodec, toy_codec, AFP_TYPE_CODEC)
G_DEFINE_TYPE (ToyPacker, toy_packer, AFP_TYPE_PACKER)

#define TOY_VERSION 2
#define TOY_RECIPE                                                                               \
  "weight=toy/1(block-size=8){seeds,coeffs=block-float/1(mantissa-bits=4){exponents,mantissas}," \
  "scale=f16/1{codes}}"

static const AfpProperty toy_properties[] = {
  AFP_PROP_UINT ("block-size", "C", AFP_PROPERTY_FORMAT, ToyCodec, block_size, 1, 64, "8",
                 "weights", "Weights in a block"),
  AFP_PROP_STRING ("path", NULL, AFP_PROPERTY_FILE, ToyCodec, path, NULL, "A file of the element"),
};

static gboolean
toy_describe (AfpCodec *codec, AfpLayout *layout, GError **error)
{
  const AfpPlaneDesc *in = afp_layout_get_input (layout);

  if (in->cols == 13) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_PLAN, "toy takes no rows of 13");
    return FALSE;
  }
  afp_layout_set_quantum (layout, ((ToyCodec *) codec)->block_size);
  afp_layout_add_code (layout, "seeds", 1, 16);
  afp_layout_add_float (layout, "coeffs", AFP_KIND_COEFFS, 3, 3);
  afp_layout_add_tensor_float (layout, "scale", AFP_KIND_SCALE, 1, 1, 0);
  return TRUE;
}

static gpointer
toy_open (AfpCodec *codec, AfpContext *ctx, GError **error)
{
  return g_memdup2 (afp_context_get_values (ctx, 2), sizeof (float));
}

static void
toy_close (AfpCodec *codec, gpointer state)
{
  g_free (state);
}

static gboolean
toy_encode_block (AfpCodec *codec, gpointer state, AfpBlock *block, GError **error)
{
  const guint size = ((ToyCodec *) codec)->block_size;
  const gsize n = block->n_rows * block->n_cols / size;

  for (gsize i = 0; i < n; i++) {
    block->planes[0].codes[i] = (guint32) (block->row * 7 + block->col + i) & 0xffff;
    for (guint j = 0; j < 3; j++)
      block->planes[1].values[3 * i + j] = block->values[i * size + j % size];
  }
  return TRUE;
}

static gboolean
toy_decode_block (AfpCodec *codec, gpointer state, AfpBlock *block, GError **error)
{
  const guint size = ((ToyCodec *) codec)->block_size;
  const gsize n = block->n_rows * block->n_cols / size;

  for (gsize i = 0; i < n; i++)
    for (guint j = 0; j < size; j++)
      block->values[i * size + j] = *(float *) state * block->planes[1].values[3 * i + j % 3] +
                                    (float) block->planes[0].codes[i] / 65536;
  return TRUE;
}

static void
toy_codec_class_init (ToyCodecClass *klass)
{
  afp_element_class_add_properties (AFP_ELEMENT_CLASS (klass), toy_properties,
                                    G_N_ELEMENTS (toy_properties), 0);
  afp_element_class_set_details (AFP_ELEMENT_CLASS (klass), "A codec for tests", "toy");
  klass->version = TOY_VERSION;
  klass->default_planes = AFP_KINDS (AFP_KIND_WEIGHT);
  klass->describe = toy_describe;
  klass->open = toy_open;
  klass->close = toy_close;
  klass->encode_block = toy_encode_block;
  klass->decode_block = toy_decode_block;
}

static void
toy_codec_init (ToyCodec *self)
{
}

/* Leaves out the zeros at the end. */
static guint64
toy_bound (AfpPacker *self, const AfpPlaneDesc *desc)
{
  return afp_plane_desc_bytes (desc);
}

static GBytes *
toy_pack (AfpPacker *self, const AfpPlaneDesc *desc, GBytes *codes, GError **error)
{
  gsize n;
  const guint8 *data = g_bytes_get_data (codes, &n);

  while (n > 0 && data[n - 1] == 0)
    n--;
  return g_bytes_new (data, n);
}

static GBytes *
toy_unpack (AfpPacker *self, const AfpPlaneDesc *desc, GBytes *packed, GError **error)
{
  const guint64 n_bytes = afp_plane_desc_bytes (desc);
  guint8 *data = g_malloc0 (n_bytes);

  memcpy (data, g_bytes_get_data (packed, NULL), MIN (g_bytes_get_size (packed), n_bytes));
  return g_bytes_new_take (data, n_bytes);
}

static void
toy_packer_class_init (ToyPackerClass *klass)
{
  afp_element_class_set_details (AFP_ELEMENT_CLASS (klass), "A lossless coder for tests",
                                 "toy-pack");
  klass->version = 1;
  klass->bound = toy_bound;
  klass->pack = toy_pack;
  klass->unpack = toy_unpack;
}

static void
toy_packer_init (ToyPacker *self)
{
}

static inline void
toy_register (void)
{
  afp_registry_add_builtin ("toy", toy_codec_get_type ());
  afp_registry_add_builtin ("toy-pack", toy_packer_get_type ());
}

/* Bytes that depend on the tensor and the plane; @user_data: (nullable): the seed, as a pointer. */
static inline GBytes *
toy_data (guint leaf, const AfpPlaneDesc *desc, const char *path, gpointer user_data,
          GError **error)
{
  AfpSpec *spec = user_data;
  const gboolean raw = desc->kind != AFP_KIND_CODE;
  const gsize n = raw ? afp_spec_get_n_bytes (spec) : afp_plane_desc_bytes (desc);
  g_autoptr (GRand) rand = g_rand_new_with_seed (g_str_hash (afp_spec_get_name (spec)) + leaf);
  guint8 *data = g_malloc (MAX (n, 1));

  for (gsize i = 0; i < n; i++)
    data[i] = (guint8) g_rand_int_range (rand, 0, 256);
  /* No NaN or infinity among binary16 and binary32. */
  for (gsize i = 1; i < n && !g_str_has_suffix (path, "seeds"); i += 2)
    data[i] &= 0x3b;
  return g_bytes_new_take (data, n);
}

static inline AfpTensor *
toy_tensor (const char *name, const char *recipe, AfpDType dtype, guint rank, const guint64 *shape,
            const char *alias_of)
{
  const AfpView view = { 1, rank >= 2, 1 };
  GError *error = NULL;
  g_autoptr (AfpSpec) spec = afp_spec_new (name, dtype, rank, shape, &view, alias_of);
  g_autoptr (AfpPlane) root = afp_recipe_build (recipe, spec, toy_data, spec, &error);

  ck_assert_msg (root != NULL, "%s", error ? error->message : "?");
  return afp_tensor_new (spec, root);
}
