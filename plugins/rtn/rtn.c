/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afpipe.h"
#include "rtn-kernel.h"

#include <math.h>

/*
 * rtn: round to nearest, with a scale for each group of weights in a row: what every other codec is measured by. With
 * shared-exponent=true scales are powers of two: block floating point. Format and fit: SPEC.md.
 *
 *   afpipe-launch "load location=m.safetensors ! rtn preset=q4-64 ! eval ! write location=m.h5"
 */
#define AUTO_GROUP 64
#define MAX_GROUP 65536
#define SHORT_ROW 16     /* scale=auto: rows shorter than this have no scales of their own */
#define STRETCH 65536    /* numbers read at once, unless a row is longer that has one scale */
#define MAX_SAMPLE 65536 /* numbers that the scale of a tensor is fitted to */
#define TOP_BIAS (-RTN_MIN_EXPONENT)
#define TOP_BITS 9

#define AFP_TYPE_RTN (afp_rtn_get_type ())
G_DECLARE_FINAL_TYPE (AfpRtn, afp_rtn, AFP, RTN, AfpCodec)

typedef enum { RTN_SCALE_AUTO, RTN_SCALE_GROUP, RTN_SCALE_ROW, RTN_SCALE_TENSOR } RtnScale;

struct _AfpRtn {
  AfpCodec parent_instance;
  guint bits;
  gint scale;  /* RtnScale */
  guint group; /* 0: auto */
  gboolean symmetric;
  gboolean search;
  gboolean shared_exponent;
  guint exponent_bits;
};

G_DEFINE_FINAL_TYPE (AfpRtn, afp_rtn, AFP_TYPE_CODEC)

static const char *const scale_values[] = { "auto", "group", "row", "tensor", NULL };

static const AfpProperty rtn_properties[] = {
  AFP_PROP_UINT ("bits", "b", AFP_PROPERTY_FORMAT, AfpRtn, bits, 1, RTN_MAX_BITS, "4", "bits",
                 "Bits of a weight's code; 1: plus or minus the scale"),
  AFP_PROP_ENUM (
      "scale", NULL, AFP_PROPERTY_FORMAT, AfpRtn, scale, "auto", scale_values,
      "What has a scale of its own; auto: each group, or the tensor where its plane has vectors of its own or rows "
      "shorter than 16"),
  AFP_PROP_UINT ("group", "g", AFP_PROPERTY_FORMAT | AFP_PROPERTY_AUTO, AfpRtn, group, 1, MAX_GROUP,
                 "auto", "weights",
                 "Neighbours in a row (inputs of one output) that share a scale; auto: 64"),
  AFP_PROP_BOOL (
      "symmetric", NULL, AFP_PROPERTY_FORMAT, AfpRtn, symmetric, "true",
      "Levels on both sides of zero alike; false: from the least to the largest weight, by a zero point"),
  AFP_PROP_BOOL (
      "search", NULL, 0, AfpRtn, search, "false",
      "The scale with the least squared error of several, not the least that clips no weight"),
  AFP_PROP_BOOL ("shared-exponent", NULL, AFP_PROPERTY_FORMAT, AfpRtn, shared_exponent, "false",
                 "Block floating point: scales are powers of two, kept as exponents"),
  AFP_PROP_UINT ("exponent-bits", NULL, AFP_PROPERTY_FORMAT, AfpRtn, exponent_bits, 1, 8, "8",
                 "bits",
                 "Of an exponent, counted down from the tensor's largest (shared-exponent=true)"),
};

#define PRESETS_AT(B, G)                                                               \
  {                                                                                    \
    "q" B "-" G, "bits=" B " scale=group group=" G " search=true",                     \
        B " bits, a scale in f16 for each " G " weights of a row, the best of several" \
  }

static const AfpPreset rtn_presets[] = {
  PRESETS_AT ("8", "32"),
  PRESETS_AT ("8", "64"),
  PRESETS_AT ("8", "128"),
  PRESETS_AT ("4", "32"),
  PRESETS_AT ("4", "64"),
  PRESETS_AT ("4", "128"),
  PRESETS_AT ("3", "32"),
  PRESETS_AT ("3", "64"),
  PRESETS_AT ("3", "128"),
  PRESETS_AT ("2", "32"),
  PRESETS_AT ("2", "64"),
  PRESETS_AT ("2", "128"),
  { "mxint8", "bits=8 scale=group group=32 shared-exponent=true",
    "8 bits, an exponent of 8 bits for each 32 weights, as MXINT8" },
  { "mxint4", "bits=4 scale=group group=32 shared-exponent=true",
    "4 bits, an exponent of 8 bits for each 32 weights" },
};

/* --- layout ------------------------------------------------------------------------------------------------------- */

/* Children: codes, scales; or codes, exponents, top; and zeros, last. */
enum { CHILD_CODES, CHILD_SCALES, CHILD_ZEROS, CHILD_EXPONENTS = CHILD_SCALES, CHILD_TOP };

static RtnScale
choose_scale (const AfpRtn *self, const AfpPlaneDesc *in)
{
  if (self->scale != RTN_SCALE_AUTO)
    return (RtnScale) self->scale;
  return in->vector > 0 || in->cols < SHORT_ROW ? RTN_SCALE_TENSOR : RTN_SCALE_GROUP;
}

/* Weights of a row that share a scale, and groups in a row: of a tensor's scale as of one group. */
static guint64
get_group (const AfpRtn *self, const AfpLayout *layout)
{
  if (choose_scale (self, afp_layout_get_input (layout)) == RTN_SCALE_GROUP)
    return self->group ? self->group : AUTO_GROUP;
  return MAX (afp_layout_get_cols (layout), 1);
}

static guint64
count_groups (const AfpRtn *self, const AfpLayout *layout)
{
  const guint64 group = get_group (self, layout);

  return (afp_layout_get_cols (layout) + group - 1) / group;
}

static gboolean
check_properties (const AfpRtn *self, GError **error)
{
  const char *what = NULL;

  if (!self->symmetric && self->bits == 1)
    what =
        "symmetric=false needs bits=2 or more: of two levels one would be zero; leave out symmetric";
  else if (!self->symmetric && self->shared_exponent)
    what = "shared-exponent=true has no zero point: leave out symmetric=false";
  if (what)
    g_set_error_literal (error, AFP_ERROR, AFP_ERROR_PROPERTY, what);
  return !what;
}

static gboolean
rtn_describe (AfpCodec *codec, AfpLayout *layout, GError **error)
{
  const AfpRtn *self = AFP_RTN (codec);
  const RtnScale scale = choose_scale (self, afp_layout_get_input (layout));
  const guint64 rows = scale == RTN_SCALE_TENSOR ? 1 : afp_layout_get_rows (layout);
  const guint64 groups = count_groups (self, layout);

  if (!check_properties (self, error))
    return FALSE;
  afp_layout_set_param_text (layout, "scale", scale_values[scale]);
  if (scale == RTN_SCALE_GROUP)
    afp_layout_set_param (layout, "group", get_group (self, layout));
  else
    afp_layout_set_param_text (layout, "group", NULL);
  if (!self->shared_exponent)
    afp_layout_set_param_text (layout, "exponent-bits", NULL);
  if (scale != RTN_SCALE_TENSOR)
    afp_layout_set_open_loop (layout, "scales belong to rows or groups");
  afp_layout_add_code (layout, "codes", 1, self->bits);
  if (self->shared_exponent) {
    afp_layout_add_tensor_code (layout, "exponents", rows * groups, self->exponent_bits);
    afp_layout_add_tensor_code (layout, "top", 1, TOP_BITS);
  } else if (scale == RTN_SCALE_ROW) {
    afp_layout_add_tensor_float (layout, "scales", AFP_KIND_SCALE, 1, rows, 0);
  } else {
    afp_layout_add_tensor_float (layout, "scales", AFP_KIND_SCALE, rows, groups, 0);
  }
  if (!self->symmetric)
    afp_layout_add_tensor_code (layout, "zeros", rows * groups, self->bits);
  return TRUE;
}

/* --- fit ---------------------------------------------------------------------------------------------------------- */

/* The plane is read in stretches: some whole groups of one row. */
typedef struct {
  AfpContext *ctx;
  RtnRule rule;
  guint64 cols, group, groups;
  guint64 stretch, per_row;
  gboolean has_metric;
  RtnFit *fits;      /* of each group */
  float *low, *high; /* of each stretch; only of a tensor's scale */
} FitJob;

static guint64
stretch_of (const AfpRtn *self, const AfpLayout *layout)
{
  const guint64 group = get_group (self, layout), cols = MAX (afp_layout_get_cols (layout), 1);

  if (choose_scale (self, afp_layout_get_input (layout)) == RTN_SCALE_TENSOR)
    return MIN (cols, STRETCH);
  return MIN (MAX (STRETCH / group, 1) * group, cols);
}

static void
fit_job_init (FitJob *job, const AfpRtn *self, AfpContext *ctx)
{
  const AfpLayout *layout = afp_context_get_layout (ctx);

  *job = (FitJob){ .ctx = ctx,
                   .rule = { self->bits, !self->symmetric, self->search, self->shared_exponent },
                   .cols = afp_layout_get_cols (layout),
                   .group = get_group (self, layout),
                   .groups = count_groups (self, layout),
                   .stretch = stretch_of (self, layout),
                   .has_metric = afp_context_get_metric_kind (ctx, 1) != AFP_METRIC_NONE };
  job->per_row = (job->cols + job->stretch - 1) / job->stretch;
}

/* The numbers of a stretch: (transfer full). NULL: they cannot be read, or one is none. */
static float *
read_stretch (const FitJob *job, gsize index, guint64 *row, guint64 *col, guint64 *n, float *low,
              float *high, GError **error)
{
  *row = index / job->per_row;
  *col = index % job->per_row * job->stretch;
  *n = MIN (job->stretch, job->cols - *col);
  g_autofree float *x = g_new (float, *n);

  if (!afp_context_read (job->ctx, *row, 1, *col, *n, x, error))
    return NULL;
  if (!rtn_range (x, *n, low, high)) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_CODEC, "%s: rtn cannot store NaN or an infinity",
                 afp_context_get_name (job->ctx));
    return NULL;
  }
  return g_steal_pointer (&x);
}

static gboolean
fit_stretch (gsize index, gpointer user_data, GError **error)
{
  FitJob *job = user_data;
  guint64 row, col, n;
  float low = 0, high = 0;
  g_autofree float *x = read_stretch (job, index, &row, &col, &n, &low, &high, error);
  g_autofree float *weights = x && job->has_metric ? g_new (float, n) : NULL;

  if (!x)
    return FALSE;
  for (guint64 i = 0; weights && i < n; i++)
    afp_context_read_metric (job->ctx, row, col + i, 1, weights + i);
  for (guint64 i = 0; i < n; i += job->group) {
    const guint64 m = MIN (job->group, n - i);
    low = high = 0;
    rtn_range (x + i, m, &low, &high);
    job->fits[row * job->groups + (col + i) / job->group] =
        rtn_fit (&job->rule, low, high, x + i, weights ? weights + i : NULL, m);
  }
  return TRUE;
}

static gboolean
measure_stretch (gsize index, gpointer user_data, GError **error)
{
  FitJob *job = user_data;
  guint64 row, col, n;
  g_autofree float *x =
      read_stretch (job, index, &row, &col, &n, &job->low[index], &job->high[index], error);

  return x != NULL;
}

/* One scale for all: the range is that of all numbers, the error that of a sample. */
static gboolean
fit_tensor (FitJob *job, gsize n_stretches, GError **error)
{
  g_autofree float *low = job->low = g_new0 (float, n_stretches + 1);
  g_autofree float *high = job->high = g_new0 (float, n_stretches + 1);
  g_autofree float *weights = NULL;
  gsize n;

  if (!afp_parallel_for (afp_context_get_pool (job->ctx), n_stretches, measure_stretch, job, error))
    return FALSE;
  for (gsize i = 0; i < n_stretches; i++) {
    low[n_stretches] = MIN (low[n_stretches], low[i]);
    high[n_stretches] = MAX (high[n_stretches], high[i]);
  }
  g_autofree float *x = afp_context_sample (job->ctx, MAX_SAMPLE, 1, &n, &weights, error);
  if (!x)
    return FALSE;
  job->fits[0] = rtn_fit (&job->rule, low[n_stretches], high[n_stretches], x, weights, n);
  return TRUE;
}

/* Exponents count down from the largest one; those that lie too deep for their bits are raised. */
static void
store_exponents (const AfpRtn *self, AfpContext *ctx, const RtnFit *fits, gsize n)
{
  guint32 *exponents = afp_context_get_codes (ctx, CHILD_EXPONENTS);
  int top = RTN_MIN_EXPONENT;

  for (gsize i = 0; i < n; i++)
    top = MAX (top, fits[i].exponent);
  for (gsize i = 0; i < n; i++)
    exponents[i] = (guint32) MIN (top - fits[i].exponent, (1 << self->exponent_bits) - 1);
  afp_context_get_codes (ctx, CHILD_TOP)[0] = (guint32) (top + TOP_BIAS);
}

static gboolean
rtn_fit_plane (AfpCodec *codec, AfpContext *ctx, GError **error)
{
  const AfpRtn *self = AFP_RTN (codec);
  const AfpLayout *layout = afp_context_get_layout (ctx);
  const gboolean whole = choose_scale (self, afp_layout_get_input (layout)) == RTN_SCALE_TENSOR;
  const guint64 rows = afp_layout_get_rows (layout);
  FitJob job;

  fit_job_init (&job, self, ctx);
  const gsize n = whole ? 1 : rows * job.groups;
  g_autofree RtnFit *fits = job.fits = g_new0 (RtnFit, MAX (n, 1));
  if (!(whole ? fit_tensor (&job, rows * job.per_row, error)
              : afp_parallel_for (afp_context_get_pool (ctx), rows * job.per_row, fit_stretch, &job,
                                  error)))
    return FALSE;
  for (gsize i = 0; !self->shared_exponent && i < n; i++)
    afp_context_get_values (ctx, CHILD_SCALES)[i] = fits[i].scale;
  for (gsize i = 0; !self->symmetric && i < n; i++)
    afp_context_get_codes (ctx, CHILD_ZEROS)[i] = fits[i].zero;
  if (self->shared_exponent)
    store_exponents (self, ctx, fits, n);
  return TRUE;
}

static guint64
rtn_scratch (AfpCodec *codec, const AfpLayout *layout)
{
  const AfpRtn *self = AFP_RTN (codec);
  const guint64 rows = afp_layout_get_rows (layout), groups = count_groups (self, layout);
  const guint64 per_row = afp_layout_get_cols (layout) / stretch_of (self, layout) + 1;

  if (choose_scale (self, afp_layout_get_input (layout)) == RTN_SCALE_TENSOR)
    return 2 * (MAX_SAMPLE + rows * per_row) * sizeof (float);
  return rows * groups * (sizeof (RtnFit) + sizeof (float));
}

static guint64
rtn_thread_scratch (AfpCodec *codec, const AfpLayout *layout)
{
  return stretch_of (AFP_RTN (codec), layout) * sizeof (float) *
         (afp_layout_has_metric (layout) ? 2 : 1);
}

/* --- blocks ------------------------------------------------------------------------------------------------------- */

typedef struct {
  RtnRule rule;
  guint64 group, groups; /* groups of a row; 0: one scale for all */
  const float *scales;
  float *own; /* scales from exponents; NULL: the plane's own */
  const guint32 *zeros;
} RtnState;

static void
rtn_close (AfpCodec *codec, gpointer user_state)
{
  RtnState *state = user_state;

  g_free (state->own);
  g_free (state);
}

static gboolean
open_exponents (RtnState *state, AfpContext *ctx, GError **error)
{
  const AfpPlaneDesc *desc = afp_layout_get_child (afp_context_get_layout (ctx), CHILD_EXPONENTS);
  const guint32 *exponents = afp_context_get_codes (ctx, CHILD_EXPONENTS);
  const int top = (int) afp_context_get_codes (ctx, CHILD_TOP)[0] - TOP_BIAS;
  const gsize n = desc->rows * desc->cols;

  if (top > RTN_MAX_EXPONENT) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                 "%s: plane 'top' says 2^%d, and the largest scale is 2^%d: the plane is damaged",
                 afp_context_get_name (ctx), top, RTN_MAX_EXPONENT);
    return FALSE;
  }
  state->own = g_new (float, MAX (n, 1));
  for (gsize i = 0; i < n; i++)
    state->own[i] = ldexpf (1, MAX (top - (int) exponents[i], RTN_MIN_EXPONENT));
  state->scales = state->own;
  return TRUE;
}

static gboolean
open_scales (RtnState *state, AfpContext *ctx, GError **error)
{
  const AfpPlaneDesc *desc = afp_layout_get_child (afp_context_get_layout (ctx), CHILD_SCALES);
  const float *scales = afp_context_get_values (ctx, CHILD_SCALES);

  for (gsize i = 0; i < desc->rows * desc->cols; i++)
    if (!isfinite (scales[i])) {
      g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                   "%s: scale %" G_GSIZE_FORMAT " is %s: the plane 'scales' is damaged",
                   afp_context_get_name (ctx), i, isnan (scales[i]) ? "NaN" : "infinite");
      return FALSE;
    }
  state->scales = scales;
  return TRUE;
}

static gpointer
rtn_open (AfpCodec *codec, AfpContext *ctx, GError **error)
{
  const AfpRtn *self = AFP_RTN (codec);
  const AfpLayout *layout = afp_context_get_layout (ctx);
  RtnState *state = g_new0 (RtnState, 1);

  state->rule = (RtnRule){ self->bits, !self->symmetric, self->search, self->shared_exponent };
  state->group = get_group (self, layout);
  if (choose_scale (self, afp_layout_get_input (layout)) != RTN_SCALE_TENSOR)
    state->groups = count_groups (self, layout);
  if (!self->symmetric)
    state->zeros = afp_context_get_codes (ctx, CHILD_ZEROS);
  if (!(self->shared_exponent ? open_exponents : open_scales) (state, ctx, error)) {
    rtn_close (codec, state);
    return NULL;
  }
  return state;
}

/* The parameters of the weight at (row, col); *n: cut to those that share them. */
static RtnFit
find_fit (const RtnState *state, guint64 row, guint64 col, guint64 *n)
{
  const guint64 index = row * state->groups + (state->groups ? col / state->group : 0);

  if (state->groups)
    *n = MIN (*n, state->group - col % state->group);
  return (RtnFit){ state->scales[index], 0, state->zeros ? state->zeros[index] : 0 };
}

/* All runs of a block that share their parameters. */
static void
code_block (const RtnState *state, AfpBlock *block, gboolean encode)
{
  for (guint64 r = 0; r < block->n_rows; r++)
    for (guint64 c = 0, n; c < block->n_cols; c += n) {
      n = block->n_cols - c;
      const RtnFit fit = find_fit (state, block->row + r, block->col + c, &n);
      const RtnLevels levels = rtn_fit_levels (&state->rule, &fit);
      const gsize at = r * block->n_cols + c;
      guint32 *codes = block->planes[CHILD_CODES].codes + at;
      if (encode)
        rtn_quantize (&levels, fit.scale, block->values + at, n, codes);
      else
        rtn_dequantize (&levels, fit.scale, codes, n, block->values + at);
    }
}

static gboolean
rtn_encode_block (AfpCodec *codec, gpointer state, AfpBlock *block, GError **error)
{
  float low = 0, high = 0;

  if (!rtn_range (block->values, block->n_rows * block->n_cols, &low, &high)) {
    g_set_error_literal (error, AFP_ERROR, AFP_ERROR_CODEC, "rtn cannot store NaN or an infinity");
    return FALSE;
  }
  code_block (state, block, TRUE);
  return TRUE;
}

static gboolean
rtn_decode_block (AfpCodec *codec, gpointer state, AfpBlock *block, GError **error)
{
  code_block (state, block, FALSE);
  return TRUE;
}

/* --- class -------------------------------------------------------------------------------------------------------- */

static void
afp_rtn_class_init (AfpRtnClass *klass)
{
  AfpElementClass *element_class = AFP_ELEMENT_CLASS (klass);
  AfpCodecClass *codec_class = AFP_CODEC_CLASS (klass);

  afp_element_class_add_properties (element_class, rtn_properties, G_N_ELEMENTS (rtn_properties),
                                    0);
  afp_element_class_set_presets (element_class, rtn_presets, G_N_ELEMENTS (rtn_presets));
  afp_element_class_set_details (
      element_class, "Weights are rounded to nearest, with a scale for each group: the baseline",
      "load location=model.safetensors ! rtn bits=4 group=64 search=true ! eval ! write "
      "location=model.h5");
  codec_class->version = 1;
  codec_class->default_planes =
      AFP_KINDS (AFP_KIND_WEIGHT) | AFP_KINDS (AFP_KIND_RESIDUAL) | AFP_KINDS (AFP_KIND_COEFFS);
  codec_class->describe = rtn_describe;
  codec_class->fit = rtn_fit_plane;
  codec_class->open = rtn_open;
  codec_class->close = rtn_close;
  codec_class->encode_block = rtn_encode_block;
  codec_class->decode_block = rtn_decode_block;
  codec_class->scratch = rtn_scratch;
  codec_class->thread_scratch = rtn_thread_scratch;
}

static void
afp_rtn_init (AfpRtn *self)
{
}

AFP_PLUGIN_DEFINE_ELEMENT ("rtn", AFP_VERSION, "LGPL-2.1-or-later", AFP_ORIGIN, "Round to nearest",
                           afp_rtn_get_type)
