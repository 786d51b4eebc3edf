/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* lloyd: a Lloyd-Max scalar quantizer of coefficients. It answers seedlm's query without a word of code for it: any codec
 * whose quantum divides the vector length is a quantizer. Its levels are a codebook that a later stage may take. */
#include <afpipe/afpipe.h>
#include <math.h>
#include <string.h>

typedef struct {
  AfpCodec parent_instance;
  guint bits;
} Lloyd;
typedef AfpCodecClass LloydClass;
GType lloyd_get_type (void);
G_DEFINE_TYPE (Lloyd, lloyd, AFP_TYPE_CODEC)

enum { CODES, LEVELS };

static const AfpProperty properties[] = {
  AFP_PROP_UINT ("bits", "b", AFP_PROPERTY_FORMAT, Lloyd, bits, 1, 8, "3", "bits", "Bits per coefficient"),
};

static gboolean
lloyd_describe (AfpCodec *codec, AfpLayout *layout, GError **error)
{
  const guint bits = ((Lloyd *) codec)->bits;

  afp_layout_add_code (layout, "codes", 1, bits);
  afp_layout_add_tensor_float (layout, "levels", AFP_KIND_CODEBOOK, 1, 1u << bits, 0);
  return TRUE;
}

static guint
nearest (const float *levels, guint n, float x)
{
  guint best = 0;

  for (guint i = 1; i < n; i++)
    if (fabsf (x - levels[i]) < fabsf (x - levels[best]))
      best = i;
  return best;
}

static gboolean
lloyd_fit (AfpCodec *codec, AfpContext *ctx, GError **error)
{
  const guint n = 1u << ((Lloyd *) codec)->bits;
  float *levels = afp_context_get_values (ctx, LEVELS);
  gboolean weighted = afp_context_get_metric_kind (ctx, 1) != AFP_METRIC_NONE;
  g_autofree float *metric = NULL;
  double mean_square;
  gsize count;

  g_autofree float *x = afp_context_sample (ctx, 65536, 1, &count, &metric, error);
  if (!x || !afp_context_get_moments (ctx, &mean_square, NULL, NULL, error))
    return FALSE;
  for (guint i = 0; i < n && !afp_context_has_fit (ctx); i++)
    levels[i] = (float) (sqrt (mean_square) * 3 * ((2.0 * i + 1) / n - 1));
  for (guint round = 0; round < 20; round++) {
    double sums[256] = { 0 }, weights[256] = { 0 };
    for (gsize j = 0; j < count; j++) {
      const double w = weighted ? metric[j] : 1;
      const guint i = nearest (levels, n, x[j]);
      sums[i] += w * x[j];
      weights[i] += w;
    }
    for (guint i = 0; i < n; i++)
      if (weights[i] > 0)
        levels[i] = (float) (sums[i] / weights[i]);
  }
  return TRUE;
}

static gboolean
lloyd_encode (AfpCodec *codec, gpointer ctx, AfpBlock *block, GError **error)
{
  for (guint64 i = 0; i < block->n_rows * block->n_cols; i++)
    block->planes[CODES].codes[i] = nearest (afp_context_get_values (ctx, LEVELS), 1u << ((Lloyd *) codec)->bits, block->values[i]);
  return TRUE;
}

static gboolean
lloyd_decode (AfpCodec *codec, gpointer ctx, AfpBlock *block, GError **error)
{
  for (guint64 i = 0; i < block->n_rows * block->n_cols; i++)
    block->values[i] = afp_context_get_values (ctx, LEVELS)[block->planes[CODES].codes[i]];
  return TRUE;
}

static void
lloyd_class_init (LloydClass *klass)
{
  afp_element_class_add_properties (AFP_ELEMENT_CLASS (klass), properties, G_N_ELEMENTS (properties), 0);
  afp_element_class_set_details (AFP_ELEMENT_CLASS (klass), "Lloyd-Max scalar quantizer of coefficients",
                                 "load location=model.safetensors ! seedlm ! lloyd bits=3 ! eval ! null");
  klass->default_planes = AFP_KINDS (AFP_KIND_COEFFS) | AFP_KINDS (AFP_KIND_WEIGHT);
  klass->describe = lloyd_describe;
  klass->fit = lloyd_fit;
  klass->encode_block = lloyd_encode;
  klass->decode_block = lloyd_decode;
}

static void
lloyd_init (Lloyd *self)
{
}

AFP_PLUGIN_DEFINE_ELEMENT ("lloyd", "1.0", "LGPL-2.1-or-later", "https://lloyd.example/", "Lloyd-Max scalar quantizer", lloyd_get_type)
