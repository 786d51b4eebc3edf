/* SPDX-License-Identifier: LGPL-2.1-or-later. round: to nearest, a number per row, w = peak[row] * (q / 2^(bits-1) - 1). A complete codec. */
#include <afpipe/afpipe.h>
#include <math.h>

typedef struct {
  AfpCodec parent_instance;
  guint bits;
} Round;
typedef AfpCodecClass RoundClass;
GType round_get_type (void);
G_DEFINE_TYPE (Round, round, AFP_TYPE_CODEC)

enum { CODES, PEAK };
static const AfpProperty properties[] = {
  AFP_PROP_UINT ("bits", "b", AFP_PROPERTY_FORMAT, Round, bits, 2, 16, "4", "bits", "Bits per weight"),
};

static gboolean
round_describe (AfpCodec *codec, AfpLayout *layout, GError **error)
{
  afp_layout_add_code (layout, "codes", 1, ((Round *) codec)->bits);
  afp_layout_add_row_float (layout, "peak", AFP_KIND_SCALE);
  return TRUE;
}

static gboolean
round_fit (AfpCodec *codec, AfpContext *ctx, GError **error)
{
  const guint64 cols = afp_layout_get_cols (afp_context_get_layout (ctx));
  g_autofree float *row = g_new (float, cols);

  for (guint64 r = 0; r < afp_layout_get_rows (afp_context_get_layout (ctx)); r++) {
    if (!afp_context_read (ctx, r, 1, 0, cols, row, error))
      return FALSE;
    for (guint64 c = 0; c < cols; c++)
      afp_context_get_values (ctx, PEAK)[r] = MAX (afp_context_get_values (ctx, PEAK)[r], fabsf (row[c]));
  }
  return TRUE;
}

static gboolean
round_encode (AfpCodec *codec, gpointer ctx, AfpBlock *block, GError **error)
{
  const float half = ldexpf (1, (int) ((Round *) codec)->bits - 1);
  for (guint64 i = 0; i < block->n_rows * block->n_cols; i++) {
    const float p = afp_context_get_values (ctx, PEAK)[block->row + i / block->n_cols];
    const float q = p > 0 ? rintf (block->values[i] / p * half) : 0;
    block->planes[CODES].codes[i] = (guint32) (CLAMP (q, -half, half - 1) + half);
  }
  return TRUE;
}

static gboolean
round_decode (AfpCodec *codec, gpointer ctx, AfpBlock *block, GError **error)
{
  const float half = ldexpf (1, (int) ((Round *) codec)->bits - 1);
  for (guint64 i = 0; i < block->n_rows * block->n_cols; i++)
    block->values[i] = afp_context_get_values (ctx, PEAK)[block->row + i / block->n_cols] * ((float) block->planes[CODES].codes[i] / half - 1);
  return TRUE;
}

static void
round_class_init (RoundClass *klass)
{
  afp_element_class_add_properties (AFP_ELEMENT_CLASS (klass), properties, G_N_ELEMENTS (properties), 0);
  afp_element_class_set_details (AFP_ELEMENT_CLASS (klass), "Rounds weights to nearest, with a scale per row",
                                 "load location=model.safetensors ! round bits=4 ! eval ! null");
  klass->describe = round_describe;
  klass->fit = round_fit;
  klass->encode_block = round_encode;
  klass->decode_block = round_decode;
}

static void
round_init (Round *self)
{
}

AFP_PLUGIN_DEFINE_ELEMENT ("round", "1.0", "LGPL-2.1-or-later", "https://round.example/", "Round to nearest", round_get_type)
