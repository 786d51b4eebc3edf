/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-test.h"

#include <math.h>

TestProbe test_probe;
guint test_n_fits, test_n_encodes;

/* --- test-q: one step, codes of a few bits ------------------------------------------------------------------------ */

typedef struct {
  AfpCodec parent_instance;
  guint bits, quantum;
  gint scale, layout;
  gboolean residual, table;
} TestQ;
typedef AfpCodecClass TestQClass;
GType test_q_get_type (void);
G_DEFINE_TYPE (TestQ, test_q, AFP_TYPE_CODEC)

enum { SCALE_NONE, SCALE_TENSOR, SCALE_ROW };
static const char *const scales[] = { "none", "tensor", "row", NULL };
static const char *const layouts[] = { "row", "flat", "turned", NULL };

static const AfpProperty q_properties[] = {
  AFP_PROP_UINT ("bits", "b", AFP_PROPERTY_FORMAT, TestQ, bits, 1, 32, "6", "bits",
                 "Bits of a code"),
  AFP_PROP_UINT ("quantum", NULL, AFP_PROPERTY_FORMAT, TestQ, quantum, 1, 1024, "1", "columns",
                 "Quantum"),
  AFP_PROP_ENUM ("scale", NULL, AFP_PROPERTY_FORMAT, TestQ, scale, "tensor", scales, "Scale"),
  AFP_PROP_ENUM ("layout", NULL, AFP_PROPERTY_FORMAT, TestQ, layout, "row", layouts, "Layout"),
  AFP_PROP_BOOL ("residual", NULL, AFP_PROPERTY_FORMAT, TestQ, residual, "false",
                 "Leave a residual"),
  AFP_PROP_BOOL ("table", NULL, AFP_PROPERTY_FORMAT, TestQ, table, "false",
                 "A plane of symbols for the tensor"),
};
static const AfpPreset q_presets[] = { { "coarse", "bits=2 quantum=2", "Few bits" } };

/* Children: codes, then scale, residual, table where there are any. */
static int
q_child (const TestQ *self, const char *which)
{
  int next = 1;

  if (self->scale != SCALE_NONE && strcmp (which, "scale") == 0)
    return next;
  next += self->scale != SCALE_NONE;
  if (self->residual && strcmp (which, "residual") == 0)
    return next;
  next += self->residual;
  return self->table && strcmp (which, "table") == 0 ? next : -1;
}

static gboolean
q_describe (AfpCodec *codec, AfpLayout *layout, GError **error)
{
  const TestQ *self = (TestQ *) codec;

  afp_layout_set_quantum (layout, self->quantum);
  afp_layout_set_flat (layout, self->layout == 1);
  afp_layout_set_transposed (layout, self->layout == 2);
  afp_layout_add_code (layout, "codes", self->quantum, self->bits);
  if (self->scale == SCALE_TENSOR)
    afp_layout_add_tensor_float (layout, "scale", AFP_KIND_SCALE, 1, 1, 0);
  else if (self->scale == SCALE_ROW)
    afp_layout_add_row_float (layout, "scale", AFP_KIND_SCALE);
  if (self->residual)
    afp_layout_set_optional (
        layout, afp_layout_add_float (layout, "residual", AFP_KIND_RESIDUAL, self->quantum, 0));
  if (self->table)
    afp_layout_add_tensor_code (layout, "table", 5, 3);
  return TRUE;
}

static gboolean
q_fit (AfpCodec *codec, AfpContext *ctx, GError **error)
{
  const TestQ *self = (TestQ *) codec;
  const guint64 rows = afp_layout_get_rows (afp_context_get_layout (ctx));
  const float half = ldexpf (1, (int) self->bits - 1);
  g_autofree double *squares = g_new (double, rows + 1);
  float peak;

  g_atomic_int_inc (&test_n_fits);
  if (!afp_context_get_moments (ctx, NULL, &peak, squares, error))
    return FALSE;
  if (self->scale == SCALE_TENSOR)
    afp_context_get_values (ctx, 1)[0] = peak / half;
  for (guint64 r = 0; self->scale == SCALE_ROW && r < rows; r++)
    afp_context_get_values (ctx, 1)[r] = (float) (4 * sqrt (squares[r])) / half;
  for (guint i = 0; self->table && i < 5; i++)
    afp_context_get_codes (ctx, (guint) q_child (self, "table"))[i] = (i + 3) % 8;
  return TRUE;
}

typedef struct {
  const float *scales;
  gboolean per_row, damaged;
} QState;

static gpointer
q_open (AfpCodec *codec, AfpContext *ctx, GError **error)
{
  const TestQ *self = (TestQ *) codec;
  QState *state = g_new0 (QState, 1);

  state->scales = self->scale == SCALE_NONE ? NULL : afp_context_get_values (ctx, 1);
  state->per_row = self->scale == SCALE_ROW;
  for (guint i = 0; self->table && i < 5; i++)
    state->damaged |=
        afp_context_get_codes (ctx, (guint) q_child (self, "table"))[i] != (i + 3) % 8;
  return state;
}

static void
q_close (AfpCodec *codec, gpointer state)
{
  g_free (state);
}

static float
q_scale (const QState *state, guint64 row)
{
  return state->scales ? state->scales[state->per_row ? row : 0] : 0.125f;
}

static gboolean
q_encode (AfpCodec *codec, gpointer user_state, AfpBlock *block, GError **error)
{
  const TestQ *self = (TestQ *) codec;
  const QState *state = user_state;
  const double half = ldexp (1, (int) self->bits - 1);
  const int residual = q_child (self, "residual");

  g_atomic_int_inc (&test_n_encodes);
  for (guint64 r = 0; r < block->n_rows; r++)
    for (guint64 c = 0; c < block->n_cols; c++) {
      const gsize i = r * block->n_cols + c;
      const float step = q_scale (state, block->row + r);
      const double level =
          step > 0 ? CLAMP (rint ((double) block->values[i] / step), -half, half - 1) : 0;
      block->planes[0].codes[i] = (guint32) (gint64) (level + half);
      if (residual >= 0)
        block->planes[residual].values[i] = block->values[i] - (float) level * step;
    }
  return TRUE;
}

static gboolean
q_decode (AfpCodec *codec, gpointer user_state, AfpBlock *block, GError **error)
{
  const TestQ *self = (TestQ *) codec;
  const QState *state = user_state;
  const double half = ldexp (1, (int) self->bits - 1);
  const int residual = q_child (self, "residual");

  if (state->damaged) {
    g_set_error_literal (error, AFP_ERROR, AFP_ERROR_FORMAT, "the table is wrong");
    return FALSE;
  }
  for (guint64 r = 0; r < block->n_rows; r++)
    for (guint64 c = 0; c < block->n_cols; c++) {
      const gsize i = r * block->n_cols + c;
      block->values[i] =
          (float) ((double) block->planes[0].codes[i] - half) * q_scale (state, block->row + r) +
          (residual >= 0 ? block->planes[residual].values[i] : 0);
    }
  return TRUE;
}

static void
test_q_class_init (TestQClass *klass)
{
  afp_element_class_add_properties (AFP_ELEMENT_CLASS (klass), q_properties,
                                    G_N_ELEMENTS (q_properties), 0);
  afp_element_class_set_presets (AFP_ELEMENT_CLASS (klass), q_presets, G_N_ELEMENTS (q_presets));
  afp_element_class_set_details (AFP_ELEMENT_CLASS (klass), "Uniform codes", "test-q");
  klass->version = 3;
  klass->default_planes = AFP_KINDS (AFP_KIND_WEIGHT) | AFP_KINDS (AFP_KIND_RESIDUAL) |
                          AFP_KINDS (AFP_KIND_COEFFS) | AFP_KINDS (AFP_KIND_CODEBOOK);
  klass->describe = q_describe;
  klass->fit = q_fit;
  klass->open = q_open;
  klass->close = q_close;
  klass->encode_block = q_encode;
  klass->decode_block = q_decode;
}

static void
test_q_init (TestQ *self)
{
}

/* --- test-pair: two planes of codes, nothing to fit --------------------------------------------------------------- */

typedef struct {
  AfpCodec parent_instance;
} TestPair;
typedef AfpCodecClass TestPairClass;
GType test_pair_get_type (void);
G_DEFINE_TYPE (TestPair, test_pair, AFP_TYPE_CODEC)

static gboolean
pair_describe (AfpCodec *codec, AfpLayout *layout, GError **error)
{
  afp_layout_set_quantum (layout, 2);
  afp_layout_add_code (layout, "signs", 2, 1);
  afp_layout_add_code (layout, "levels", 1, 5);
  return TRUE;
}

/* The level that is best under the metric of the two numbers. */
static gboolean
pair_encode (AfpCodec *codec, gpointer state, AfpBlock *block, GError **error)
{
  const gsize n = block->n_rows * (block->n_cols / 2);

  for (gsize i = 0; i < n; i++) {
    const float *x = block->values + 2 * i;
    float best = INFINITY;
    for (guint s = 0; s < 2; s++)
      block->planes[0].codes[2 * i + s] = x[s] < 0;
    for (guint32 level = 0; level < 32; level++) {
      const float y[2] = { (x[0] < 0 ? -1.0f : 1.0f) * (float) level / 8,
                           (x[1] < 0 ? -1.0f : 1.0f) * (float) level / 8 };
      const float e = afp_metric_error (&block->metric, i, x, y);
      if (e < best) {
        best = e;
        block->planes[1].codes[i] = level;
      }
    }
  }
  return TRUE;
}

static gboolean
pair_decode (AfpCodec *codec, gpointer state, AfpBlock *block, GError **error)
{
  const gsize n = block->n_rows * (block->n_cols / 2);

  for (gsize i = 0; i < 2 * n; i++)
    block->values[i] =
        (block->planes[0].codes[i] ? -1.0f : 1.0f) * (float) block->planes[1].codes[i / 2] / 8;
  return TRUE;
}

static void
test_pair_class_init (TestPairClass *klass)
{
  afp_element_class_set_details (AFP_ELEMENT_CLASS (klass), "Signs and levels", "test-pair");
  klass->default_planes = AFP_KINDS (AFP_KIND_WEIGHT) | AFP_KINDS (AFP_KIND_COEFFS);
  klass->describe = pair_describe;
  klass->encode_block = pair_encode;
  klass->decode_block = pair_decode;
}

static void
test_pair_init (TestPair *self)
{
}

/* --- test-ask: patterns of signs, and coeffs that somebody codes --------------------------------------------------- */

typedef struct {
  AfpCodec parent_instance;
  guint block, vector;
  gint metric;
} TestAsk;
typedef AfpCodecClass TestAskClass;
GType test_ask_get_type (void);
G_DEFINE_TYPE (TestAsk, test_ask, AFP_TYPE_CODEC)

static const char *const metrics[] = { "none", "scalar", "diagonal", "matrix", NULL };
static const AfpProperty ask_properties[] = {
  AFP_PROP_UINT ("block", NULL, AFP_PROPERTY_FORMAT, TestAsk, block, 1, 64, "8", "weights",
                 "Block"),
  AFP_PROP_UINT ("vector", NULL, AFP_PROPERTY_FORMAT, TestAsk, vector, 0, 64, "4", "numbers",
                 "Vector of coeffs"),
  AFP_PROP_ENUM ("metric", NULL, AFP_PROPERTY_FORMAT, TestAsk, metric, "none", metrics,
                 "Metric of coeffs"),
};

static gboolean
ask_describe (AfpCodec *codec, AfpLayout *layout, GError **error)
{
  const TestAsk *self = (TestAsk *) codec;

  afp_layout_set_quantum (layout, self->block);
  afp_layout_add_code (layout, "patterns", 1, 2);
  const guint coeffs =
      afp_layout_add_float (layout, "coeffs", AFP_KIND_COEFFS, self->block, self->vector);
  if (self->metric)
    afp_layout_set_metric (layout, coeffs, (AfpMetricKind) self->metric);
  return TRUE;
}

static float
ask_sign (guint pattern, gsize i)
{
  return ((pattern & 1) && (i & 1)) != ((pattern & 2) && (i & 2)) ? -1.0f : 1.0f;
}

/* Metrics that differ from number to number: G = diag (1 + i % 3), with 0.5 beside the diagonal. */
static void
ask_metric (const TestAsk *self, gsize n_vectors, float *out)
{
  const guint length = self->vector;

  for (gsize v = 0; v < n_vectors; v++)
    for (guint i = 0; i < afp_metric_stride ((AfpMetricKind) self->metric, length); i++)
      if (self->metric == AFP_METRIC_MATRIX)
        *out++ = i / length == i % length ? 1 + (float) (i % 3)
                 : (i / length + 1 == i % length || i % length + 1 == i / length) ? 0.5f
                                                                                  : 0;
      else
        *out++ = 1 + (float) ((v + i) % 3);
}

static gboolean
ask_fit (AfpCodec *codec, AfpContext *ctx, GError **error)
{
  const TestAsk *self = (TestAsk *) codec;
  AfpQuantizer *quantizer = afp_context_get_quantizer (ctx, 1);
  gsize n;

  if (!quantizer || !afp_quantizer_needs_fit (quantizer))
    return TRUE;
  g_autofree float *vectors = afp_context_sample (ctx, 500, self->vector, &n, NULL, error);
  if (!vectors)
    return FALSE;
  g_autofree float *data = g_new (float, n * self->vector * self->vector + 1);
  const AfpMetric metric = { (AfpMetricKind) self->metric, self->vector,
                             self->metric ? data : NULL };
  ask_metric (self, n, data);
  if (!afp_quantizer_fit (quantizer, vectors, n, &metric, error) ||
      !afp_quantizer_fit (quantizer, vectors, n, &metric, error))
    return FALSE;
  if (test_probe)
    test_probe (ctx);
  return TRUE;
}

/* One block: the pattern whose coefficients cost the least. */
static gboolean
ask_block (const TestAsk *self, const AfpBlock *block, gsize b, GError **error)
{
  AfpBlockPlane *coeffs = &block->planes[1];
  const guint size = self->block, n = self->vector ? size / self->vector : 0;
  const guint n_codes = coeffs->quantizer ? afp_quantizer_get_n_codes (coeffs->quantizer) * n : 0;
  float data[64 * 64], trial[64], decoded[64], errors[64], best = INFINITY;
  guint32 codes[256];
  const AfpMetric metric = { (AfpMetricKind) self->metric, self->vector,
                             self->metric ? data : NULL };

  if (self->metric)
    ask_metric (self, n, data);
  for (guint pattern = 0; pattern < 4; pattern++) {
    float sum = 0;
    for (guint i = 0; i < size; i++)
      trial[i] = block->values[b * size + i] * ask_sign (pattern, i);
    if (coeffs->quantizer && !afp_quantizer_quantize (coeffs->quantizer, trial, n, &metric, codes,
                                                      decoded, errors, error))
      return FALSE;
    for (guint i = 0; i < n && coeffs->quantizer; i++)
      sum += errors[i];
    if (sum >= best)
      continue;
    best = sum;
    block->planes[0].codes[b] = pattern;
    memcpy (coeffs->values + b * size, coeffs->quantizer ? decoded : trial, size * sizeof (float));
    if (n_codes)
      memcpy (coeffs->quantizer_codes + b * n_codes, codes, n_codes * sizeof *codes);
  }
  return TRUE;
}

static gboolean
ask_encode (AfpCodec *codec, gpointer state, AfpBlock *block, GError **error)
{
  const TestAsk *self = (TestAsk *) codec;
  const gsize n = block->n_rows * (block->n_cols / self->block);

  if (block->planes[1].metric)
    ask_metric (self, n * (self->block / self->vector), block->planes[1].metric);
  for (gsize b = 0; b < n; b++)
    if (!ask_block (self, block, b, error))
      return FALSE;
  return TRUE;
}

static gboolean
ask_decode (AfpCodec *codec, gpointer state, AfpBlock *block, GError **error)
{
  const TestAsk *self = (TestAsk *) codec;
  const gsize n = block->n_rows * block->n_cols;

  for (gsize i = 0; i < n; i++)
    block->values[i] = block->planes[1].values[i] *
                       ask_sign (block->planes[0].codes[i / self->block], i % self->block);
  return TRUE;
}

static void
test_ask_class_init (TestAskClass *klass)
{
  afp_element_class_add_properties (AFP_ELEMENT_CLASS (klass), ask_properties,
                                    G_N_ELEMENTS (ask_properties), 0);
  afp_element_class_set_details (AFP_ELEMENT_CLASS (klass), "Asks for its coeffs", "test-ask");
  klass->asks = TRUE;
  klass->describe = ask_describe;
  klass->fit = ask_fit;
  klass->encode_block = ask_encode;
  klass->decode_block = ask_decode;
}

static void
test_ask_init (TestAsk *self)
{
}

void
test_codecs_register (void)
{
  afp_registry_add_builtin ("test-q", test_q_get_type ());
  afp_registry_add_builtin ("test-pair", test_pair_get_type ());
  afp_registry_add_builtin ("test-ask", test_ask_get_type ());
  test_more_codecs_register ();
}
