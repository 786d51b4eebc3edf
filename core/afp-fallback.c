/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-codec.h"
#include "afp-error.h"
#include "afp-registry.h"

#include <math.h>
#include <string.h>

/*
 * The codecs that store a float plane if nobody takes it. They are elements like any other: a recipe names them, a chain
 * may use them, and an asker gets them as quantizers. Formats: man page afpipe-file(5), "Built-in codecs".
 */

typedef struct {
  AfpCodec parent_instance;
} AfpF16, AfpRaw32, AfpDrop;
typedef AfpCodecClass AfpF16Class, AfpRaw32Class, AfpDropClass;

typedef struct {
  AfpCodec parent_instance;
  guint mantissa_bits;
} AfpBlockFloat;
typedef AfpCodecClass AfpBlockFloatClass;

GType afp_f16_get_type (void);
GType afp_raw32_get_type (void);
GType afp_drop_get_type (void);
GType afp_block_float_get_type (void);

G_DEFINE_TYPE (AfpF16, afp_f16, AFP_TYPE_CODEC)
G_DEFINE_TYPE (AfpRaw32, afp_raw32, AFP_TYPE_CODEC)
G_DEFINE_TYPE (AfpDrop, afp_drop, AFP_TYPE_CODEC)
G_DEFINE_TYPE (AfpBlockFloat, afp_block_float, AFP_TYPE_CODEC)

/* --- f16: binary16 with one power-of-two factor ------------------------------------------------------------------- */

/* Symbol 0: factor 2^(s - 1024); then one binary16 for each element. The largest magnitude lands in [2^14, 2^15), so that
 * what is down to 2^-28 of it keeps eleven bits. */
#define F16_BIAS 1024

static gboolean
f16_describe (AfpCodec *self, AfpLayout *layout, GError **error)
{
  const AfpPlaneDesc *in = afp_layout_get_input (layout);

  afp_layout_add_tensor_code (layout, "codes", in->rows * in->cols + 1, 16);
  return TRUE;
}

/* The code of the nearest number; of the largest below it where that, times the factor, would be an infinity of binary32. */
static guint16
f16_encode (float x, int exponent)
{
  const guint16 code = afp_f32_to_f16 (ldexpf (x, -exponent));

  return isfinite (x) && !isfinite (ldexpf (afp_f16_to_f32 (code), exponent)) ? code - 1 : code;
}

static gboolean
f16_fit (AfpCodec *self, AfpContext *ctx, GError **error)
{
  const AfpLayout *layout = afp_context_get_layout (ctx);
  const guint64 rows = afp_layout_get_rows (layout), cols = afp_layout_get_cols (layout);
  guint32 *codes = afp_context_get_codes (ctx, 0);
  g_autofree float *row = g_new (float, MAX (cols, 1));
  float peak;
  int exponent = 0;

  if (!afp_context_get_moments (ctx, NULL, &peak, NULL, error))
    return FALSE;
  if (peak > 0 && isfinite (peak)) {
    frexpf (peak, &exponent); /* peak = f * 2^exponent, f in [0.5, 1) */
    exponent -= 15;
  }
  codes[0] = (guint32) (exponent + F16_BIAS);
  for (guint64 r = 0; r < rows; r++) {
    if (!afp_context_read (ctx, r, 1, 0, cols, row, error))
      return FALSE;
    for (guint64 c = 0; c < cols; c++)
      codes[1 + r * cols + c] = f16_encode (row[c], exponent);
  }
  return TRUE;
}

typedef struct {
  const guint32 *codes;
  guint64 cols;
} F16State;

static gpointer
f16_open (AfpCodec *self, AfpContext *ctx, GError **error)
{
  F16State *state = g_new (F16State, 1);

  state->codes = afp_context_get_codes (ctx, 0);
  state->cols = afp_layout_get_cols (afp_context_get_layout (ctx));
  return state;
}

static void
f16_close (AfpCodec *self, gpointer state)
{
  g_free (state);
}

static gboolean
f16_decode (AfpCodec *self, gpointer user_state, AfpBlock *block, GError **error)
{
  const F16State *state = user_state;
  const int exponent = (int) state->codes[0] - F16_BIAS;

  for (guint64 r = 0; r < block->n_rows; r++)
    for (guint64 c = 0; c < block->n_cols; c++) {
      const guint32 code = state->codes[1 + (block->row + r) * state->cols + block->col + c];
      block->values[r * block->n_cols + c] = ldexpf (afp_f16_to_f32 ((guint16) code), exponent);
    }
  return TRUE;
}

static void
afp_f16_class_init (AfpF16Class *klass)
{
  afp_element_class_set_details (
      AFP_ELEMENT_CLASS (klass), "Stores numbers as binary16 with one power-of-two factor",
      "load location=model.safetensors ! f16 planes=weight ! write location=model.h5");
  klass->default_planes = AFP_KINDS_ALL_FLOAT;
  klass->describe = f16_describe;
  klass->fit = f16_fit;
  klass->open = f16_open;
  klass->close = f16_close;
  klass->decode_block = f16_decode;
}

static void
afp_f16_init (AfpF16 *self)
{
}

/* --- raw32: binary32 as it is ------------------------------------------------------------------------------------- */

static gboolean
raw32_describe (AfpCodec *self, AfpLayout *layout, GError **error)
{
  afp_layout_add_code (layout, "codes", 1, 32);
  return TRUE;
}

static gboolean
raw32_encode (AfpCodec *self, gpointer state, AfpBlock *block, GError **error)
{
  memcpy (block->planes[0].codes, block->values, block->n_rows * block->n_cols * sizeof (float));
  return TRUE;
}

static gboolean
raw32_decode (AfpCodec *self, gpointer state, AfpBlock *block, GError **error)
{
  memcpy (block->values, block->planes[0].codes, block->n_rows * block->n_cols * sizeof (float));
  return TRUE;
}

static void
afp_raw32_class_init (AfpRaw32Class *klass)
{
  afp_element_class_set_details (
      AFP_ELEMENT_CLASS (klass), "Stores numbers as binary32, exactly",
      "load location=model.safetensors ! seedlm ! raw32 planes=scale ! null");
  klass->default_planes = AFP_KINDS_ALL_FLOAT;
  klass->describe = raw32_describe;
  klass->encode_block = raw32_encode;
  klass->decode_block = raw32_decode;
}

static void
afp_raw32_init (AfpRaw32 *self)
{
}

/* --- drop: zeros, for planes that are optional -------------------------------------------------------------------- */

static gboolean
drop_describe (AfpCodec *self, AfpLayout *layout, GError **error)
{
  if (afp_layout_get_input (layout)->optional)
    return TRUE;
  g_set_error (error, AFP_ERROR, AFP_ERROR_PLAN,
               "drop takes only planes that are optional (a residual), and '%s' is not",
               afp_layout_get_input (layout)->name);
  return FALSE;
}

static gboolean
drop_decode (AfpCodec *self, gpointer state, AfpBlock *block, GError **error)
{
  memset (block->values, 0, block->n_rows * block->n_cols * sizeof (float));
  return TRUE;
}

static void
afp_drop_class_init (AfpDropClass *klass)
{
  afp_element_class_set_details (
      AFP_ELEMENT_CLASS (klass), "Leaves an optional plane out: it reads as zeros",
      "load location=model.safetensors ! vptq residual=true ! drop planes=residual ! null");
  klass->default_planes = AFP_KINDS (AFP_KIND_RESIDUAL);
  klass->describe = drop_describe;
  klass->decode_block = drop_decode;
}

static void
afp_drop_init (AfpDrop *self)
{
}

/* --- block-float: mantissas with a shared exponent (SeedLM, arXiv 2410.10714, section 3.2) ------------------------- */

#define BLOCK_FLOAT_EXPONENT_BIAS 8 /* exponents -8..7 in 4 bits */
#define BLOCK_FLOAT_DEFAULT_VECTOR 4
#define BLOCK_FLOAT_MAX_VECTOR 64

enum { BLOCK_FLOAT_EXPONENTS, BLOCK_FLOAT_MANTISSAS };

static const AfpProperty block_float_properties[] = {
  AFP_PROP_UINT ("mantissa-bits", NULL, AFP_PROPERTY_FORMAT, AfpBlockFloat, mantissa_bits, 2, 16,
                 "4", "bits", "Bits of each two's-complement mantissa"),
};

static gboolean
block_float_describe (AfpCodec *codec, AfpLayout *layout, GError **error)
{
  const AfpBlockFloat *self = (AfpBlockFloat *) codec;
  const guint vector = afp_layout_get_input (layout)->vector;
  const guint length = vector ? vector : BLOCK_FLOAT_DEFAULT_VECTOR;

  if (length > BLOCK_FLOAT_MAX_VECTOR) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_PLAN,
                 "block-float takes vectors of up to %d numbers, not of %u", BLOCK_FLOAT_MAX_VECTOR,
                 length);
    return FALSE;
  }
  afp_layout_set_quantum (layout, length);
  afp_layout_add_code (layout, "exponents", 1, 4);
  afp_layout_add_code (layout, "mantissas", length, self->mantissa_bits);
  return TRUE;
}

static void
block_float_decode_vector (guint bits, guint32 exponent, const guint32 *mantissas, guint n,
                           float *out)
{
  const float unit = ldexpf (1, (int) exponent - BLOCK_FLOAT_EXPONENT_BIAS);
  const guint32 sign = 1u << (bits - 1);

  for (guint i = 0; i < n; i++)
    out[i] = (float) ((gint32) (mantissas[i] ^ sign) - (gint32) sign) * unit;
}

/* Mantissas of @x at one exponent, rounded to nearest and clipped. */
static void
block_float_round (guint bits, int exponent, const float *x, guint n, guint32 *mantissas)
{
  const float low = -ldexpf (1, (int) bits - 1), high = -low - 1, factor = ldexpf (1, -exponent);
  const guint32 mask = (1u << bits) - 1;

  for (guint i = 0; i < n; i++) {
    const float rounded = CLAMP (rintf (x[i] * factor), low, high);
    mantissas[i] = (guint32) (gint32) rounded & mask;
  }
}

/* The smallest exponent that does not clip, ceil(log2(max|x| / (2^(bits-1) - 1/2))), and the one below: the better of the two. */
static void
block_float_encode_vector (guint bits, const AfpMetric *metric, gsize vector, const float *x,
                           guint n, guint32 *exponent, guint32 *mantissas)
{
  guint32 trial[BLOCK_FLOAT_MAX_VECTOR];
  float decoded[BLOCK_FLOAT_MAX_VECTOR], peak = 0, best = INFINITY;

  for (guint i = 0; i < n; i++)
    peak = MAX (peak, fabsf (x[i]));
  const float top = ldexpf (1, (int) bits - 1) - 0.5f;
  int fit = -9;
  for (float limit = ldexpf (top, fit); fit < 8 && peak > limit; limit *= 2)
    fit++;
  for (int e = CLAMP (fit, -8, 7); e >= CLAMP (fit - 1, -8, 7); e--) {
    const guint32 code = (guint32) (e + BLOCK_FLOAT_EXPONENT_BIAS);
    block_float_round (bits, e, x, n, trial);
    block_float_decode_vector (bits, code, trial, n, decoded);
    const float error = metric->kind == AFP_METRIC_NONE
                            ? afp_squared_error (x, decoded, n)
                            : afp_metric_error (metric, vector, x, decoded);
    if (error < best || e == CLAMP (fit, -8, 7)) {
      best = error;
      *exponent = code;
      memcpy (mantissas, trial, n * sizeof *trial);
    }
  }
}

static gboolean
block_float_encode (AfpCodec *codec, gpointer state, AfpBlock *block, GError **error)
{
  const AfpBlockFloat *self = (AfpBlockFloat *) codec;
  const guint length = block->metric.length;
  const gsize n = block->n_rows * (block->n_cols / length);

  for (gsize i = 0; i < n * length; i++)
    if (!isfinite (block->values[i])) {
      g_set_error_literal (error, AFP_ERROR, AFP_ERROR_CODEC,
                           "block-float cannot store NaN or an infinity");
      return FALSE;
    }
  guint32 *exponents = block->planes[BLOCK_FLOAT_EXPONENTS].codes,
          *mantissas = block->planes[BLOCK_FLOAT_MANTISSAS].codes;

  for (gsize v = 0; v < n; v++)
    block_float_encode_vector (self->mantissa_bits, &block->metric, v, block->values + v * length,
                               length, &exponents[v], mantissas + v * length);
  return TRUE;
}

static gboolean
block_float_decode (AfpCodec *codec, gpointer state, AfpBlock *block, GError **error)
{
  const AfpBlockFloat *self = (AfpBlockFloat *) codec;
  const guint length = block->metric.length;
  const gsize n = block->n_rows * (block->n_cols / length);

  for (gsize v = 0; v < n; v++)
    block_float_decode_vector (self->mantissa_bits, block->planes[BLOCK_FLOAT_EXPONENTS].codes[v],
                               block->planes[BLOCK_FLOAT_MANTISSAS].codes + v * length, length,
                               block->values + v * length);
  return TRUE;
}

static void
afp_block_float_class_init (AfpBlockFloatClass *klass)
{
  afp_element_class_add_properties (AFP_ELEMENT_CLASS (klass), block_float_properties,
                                    G_N_ELEMENTS (block_float_properties), 0);
  afp_element_class_set_details (
      AFP_ELEMENT_CLASS (klass),
      "Stores vectors as mantissas with a shared 4-bit exponent, 2^-8 to 2^7",
      "load location=model.safetensors ! seedlm ! block-float mantissa-bits=3 planes=coeffs ! null");
  klass->default_planes = AFP_KINDS (AFP_KIND_COEFFS);
  klass->describe = block_float_describe;
  klass->encode_block = block_float_encode;
  klass->decode_block = block_float_decode;
}

static void
afp_block_float_init (AfpBlockFloat *self)
{
}

/* Registers the fallback codecs as elements. Called by the registry. */
void
afp_fallback_register (void)
{
  afp_registry_add_builtin ("f16", afp_f16_get_type ());
  afp_registry_add_builtin ("raw32", afp_raw32_get_type ());
  afp_registry_add_builtin ("drop", afp_drop_get_type ());
  afp_registry_add_builtin ("block-float", afp_block_float_get_type ());
}
