/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afpipe.h"
#include "hyper-kernel.h"

#include <math.h>
#include <string.h>

/*
 * hyper: vectors become positions on a trajectory that runs through a square, at one of several scales
 * (Hyper-Compression). Format and training: SPEC.md.
 *
 *   afpipe-launch "load location=m.safetensors ! hyper U=225 M=1 ! entropy ! eval ! write location=m.h5"
 */
#define AFP_TYPE_HYPER (afp_hyper_get_type ())
G_DECLARE_FINAL_TYPE (AfpHyper, afp_hyper, AFP, HYPER, AfpCodec)

#define FIT_VECTORS 16384     /* that the side of a tensor's frame is chosen on */
#define CHUNK_NUMBERS 65536   /* read at once */
#define MAX_AUTO_DIMENSION 7u

typedef enum { FRAME_TENSOR, FRAME_ROW, FRAME_GROUP } HyperFrameScope;

struct _AfpHyper {
  AfpCodec parent_instance;
  guint points;
  guint classes;
  gint trajectory;
  guint dimension;
  gint frame;
  guint frame_size;
};

G_DEFINE_FINAL_TYPE (AfpHyper, afp_hyper, AFP_TYPE_CODEC)

static const char *const trajectory_values[] = { "grid", "winding", NULL };
static const char *const frame_values[] = { "tensor", "row", "group", NULL };

static const AfpProperty hyper_properties[] = {
  AFP_PROP_UINT ("points", "U", AFP_PROPERTY_FORMAT, AfpHyper, points, 1, HYPER_MAX_POINTS, "225", "points",
                 "Points on the trajectory"),
  AFP_PROP_UINT ("classes", "M", AFP_PROPERTY_FORMAT, AfpHyper, classes, 0, HYPER_MAX_CLASSES, "1", "classes",
                 "Scale classes beyond the inner square, for vectors that lie outside of it"),
  AFP_PROP_ENUM ("trajectory", NULL, AFP_PROPERTY_FORMAT, AfpHyper, trajectory, "grid", trajectory_values,
                 "grid: the released code's sheared grid, centred; winding: the paper's irrational winding of the torus"),
  AFP_PROP_UINT ("dimension", "d", AFP_PROPERTY_FORMAT | AFP_PROPERTY_AUTO, AfpHyper, dimension, 1, HYPER_MAX_DIMENSION, "auto",
                 "weights", "Numbers coded together; auto: 2, or an odd divisor where the plane's own vectors are odd"),
  AFP_PROP_ENUM ("frame", NULL, AFP_PROPERTY_FORMAT, AfpHyper, frame, "tensor", frame_values,
                 "What has a centre and a scale of its own: the tensor, each row, or each group of frame-size weights of a row"),
  AFP_PROP_UINT ("frame-size", NULL, AFP_PROPERTY_FORMAT, AfpHyper, frame_size, 1, 1u << 20, "64", "weights",
                 "Weights in a group, a multiple of the dimension (frame=group)"),
};

/* --- layout ------------------------------------------------------------------------------------------------------- */

enum { CHILD_THETAS, CHILD_FRAMES };

static guint
choose_dimension (const AfpHyper *self, const AfpPlaneDesc *in)
{
  if (self->dimension)
    return self->dimension;
  if (in->vector == 0)
    return in->cols > 1 ? 2 : 1;
  if (in->vector % 2 == 0)
    return 2;
  for (guint d = MAX_AUTO_DIMENSION; d > 1; d -= 2)
    if (in->vector % d == 0)
      return d;
  return 1;
}

static guint64
groups_per_row (const AfpHyper *self, const AfpLayout *layout)
{
  const guint64 cols = afp_layout_get_padded_cols (layout);

  return self->frame == FRAME_GROUP ? (cols + self->frame_size - 1) / self->frame_size : 1;
}

static gboolean
hyper_describe (AfpCodec *codec, AfpLayout *layout, GError **error)
{
  const AfpHyper *self = AFP_HYPER (codec);
  const guint d = choose_dimension (self, afp_layout_get_input (layout));

  if (self->frame == FRAME_GROUP && self->frame_size % d != 0) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_PLAN,
                 "frame-size=%u is no multiple of dimension=%u: groups hold whole vectors", self->frame_size, d);
    return FALSE;
  }
  afp_layout_set_quantum (layout, d);
  afp_layout_set_param (layout, "dimension", d);
  afp_layout_add_code (layout, "thetas", 1, hyper_symbol_bits (self->points, self->classes));
  const guint64 rows = self->frame == FRAME_TENSOR ? 1 : afp_layout_get_rows (layout);
  afp_layout_add_tensor_float (layout, "frames", AFP_KIND_FRAME, rows * groups_per_row (self, layout), d + 2, d + 2);
  return TRUE;
}

static guint64
hyper_scratch (AfpCodec *codec, const AfpLayout *layout)
{
  const AfpHyper *self = AFP_HYPER (codec);

  return hyper_code_bytes ((HyperTrajectory) self->trajectory, afp_layout_get_quantum (layout), self->points, TRUE) +
         (guint64) FIT_VECTORS * HYPER_MAX_DIMENSION * sizeof (float);
}

/* --- the trajectory ----------------------------------------------------------------------------------------------- */

typedef struct {
  HyperCode code;
  gpointer storage;
  HyperFrame *frames;
  guint64 groups; /* frames per row; 0: one frame */
  guint64 group_size;
} HyperState;

static HyperState *
state_new (const AfpHyper *self, const AfpLayout *layout, gboolean search)
{
  HyperState *state = g_new0 (HyperState, 1);
  const guint d = afp_layout_get_quantum (layout);

  state->storage = g_malloc (hyper_code_bytes ((HyperTrajectory) self->trajectory, d, self->points, search));
  hyper_code_init (&state->code, state->storage, (HyperTrajectory) self->trajectory, d, self->points, self->classes, search);
  state->groups = self->frame == FRAME_TENSOR ? 0 : groups_per_row (self, layout);
  state->group_size = self->frame == FRAME_GROUP ? self->frame_size : afp_layout_get_padded_cols (layout);
  return state;
}

static void
hyper_close (AfpCodec *codec, gpointer user_state)
{
  HyperState *state = user_state;

  g_free (state->storage);
  g_free (state->frames);
  g_free (state);
}

static gpointer
hyper_open (AfpCodec *codec, AfpContext *ctx, GError **error)
{
  const AfpLayout *layout = afp_context_get_layout (ctx);
  const AfpPlaneDesc *frames = afp_layout_get_child (layout, CHILD_FRAMES);
  const float *params = afp_context_get_values (ctx, CHILD_FRAMES);
  HyperState *state = state_new (AFP_HYPER (codec), layout, !afp_context_is_decoding (ctx));

  state->frames = g_new (HyperFrame, MAX (frames->rows, 1));
  for (guint64 f = 0; f < frames->rows; f++)
    if (!hyper_frame_init (&state->frames[f], &state->code, params + f * frames->cols)) {
      g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT, "%s/frames: frame %" G_GUINT64_FORMAT " is not finite: the file is damaged",
                   afp_context_get_name (ctx), f);
      hyper_close (codec, state);
      return NULL;
    }
  return state;
}

/* --- fit ------------------------------------------------------------------------------------------------------------ */

typedef struct {
  AfpContext *ctx;
  HyperState *state;
  guint64 rows, cols;       /* padded */
  guint64 step_rows, step_cols;
  gsize n_chunks;
  gboolean second;          /* the pass for distances */
  double *sums;             /* first pass: dimension for each chunk */
  float *tail;              /* second pass: the farthest vector of each chunk */
  float *params;
} FitJob;

static void
fit_job_init (FitJob *job, AfpContext *ctx, HyperState *state)
{
  const AfpLayout *layout = afp_context_get_layout (ctx);
  const guint64 d = state->code.dimension;

  *job = (FitJob){ .ctx = ctx, .state = state, .rows = afp_layout_get_rows (layout), .cols = afp_layout_get_padded_cols (layout) };
  job->params = afp_context_get_values (ctx, CHILD_FRAMES);
  job->step_cols = job->rows == 1 ? MAX (CHUNK_NUMBERS / d, 1) * d : job->cols;
  job->step_rows = MAX (CHUNK_NUMBERS / MAX (job->step_cols, 1), 1);
  if (job->rows && job->cols)
    job->n_chunks = (gsize) ((job->rows + job->step_rows - 1) / job->step_rows * ((job->cols + job->step_cols - 1) / job->step_cols));
}

/* A chunk is whole rows, or a part of the only row. */
static gboolean
measure_chunk (gsize index, gpointer user_data, GError **error)
{
  FitJob *job = user_data;
  const HyperCode *code = &job->state->code;
  const guint64 row = job->rows == 1 ? 0 : index * job->step_rows, col = job->rows == 1 ? index * job->step_cols : 0;
  const guint64 n_rows = MIN (job->step_rows, job->rows - row), n_cols = MIN (job->step_cols, job->cols - col);
  const gsize n = (gsize) (n_rows * n_cols / code->dimension);
  g_autofree float *x = g_new (float, n_rows *n_cols);

  if (!afp_context_read (job->ctx, row, n_rows, col, n_cols, x, error))
    return FALSE;
  const guint d = code->dimension;
  if (job->second)
    memcpy (job->tail + index * d, x + hyper_farthest (d, job->params, x, n) * d, d * sizeof *x);
  else
    hyper_sum (d, x, n, job->sums + index * d);
  return TRUE;
}

/* Two passes: the centre, then the far vectors. */
static gboolean
measure (FitJob *job, GError **error)
{
  const guint d = job->state->code.dimension;
  const guint64 n_vectors = job->rows * (job->cols / d);
  AfpPool *pool = afp_context_get_pool (job->ctx);
  double farthest = 0;

  if (!afp_parallel_for (pool, job->n_chunks, measure_chunk, job, error))
    return FALSE;
  for (guint i = 0; i < d; i++) {
    double sum = 0;
    for (gsize c = 0; c < job->n_chunks; c++)
      sum += job->sums[c * d + i];
    job->params[i] = n_vectors ? hyper_round (sum / (double) n_vectors) : 0;
  }
  job->second = TRUE;
  if (!afp_parallel_for (pool, job->n_chunks, measure_chunk, job, error))
    return FALSE;
  for (gsize c = 0; c < job->n_chunks; c++)
    farthest = MAX (farthest, hyper_distance (d, job->params, job->tail + c * d));
  job->params[d + 1] = hyper_round_up (sqrt (farthest));
  return TRUE;
}

/* The sample stands for all vectors; where it is a part of them, far vectors join it, each for itself, so that none is clipped
 * unseen. */
static void
add_tail (FitJob *job, float **x, float **weights, gsize *n)
{
  const guint d = job->state->code.dimension;
  const double share = (double) (job->rows * (job->cols / d)) / (double) *n;

  *x = g_renew (float, *x, (*n + job->n_chunks) * d);
  memcpy (*x + *n * d, job->tail, job->n_chunks * d * sizeof **x);
  *weights = g_new (float, *n + job->n_chunks);
  for (gsize v = 0; v < *n + job->n_chunks; v++)
    (*weights)[v] = v < *n ? (float) share : 1;
  *n += job->n_chunks;
}

/* One frame: the centre of all vectors; scales by the error on a sample. */
static gboolean
fit_tensor (FitJob *job, GError **error)
{
  const guint d = job->state->code.dimension;
  g_autofree double *sums = job->sums = g_new0 (double, job->n_chunks *d + 1);
  g_autofree float *tail = job->tail = g_new0 (float, job->n_chunks *d + 1);
  g_autofree float *weights = NULL;
  gsize n;

  if (!measure (job, error))
    return FALSE;
  g_autofree float *x = afp_context_sample (job->ctx, FIT_VECTORS, d, &n, &weights, error);
  if (!x)
    return FALSE;
  HyperMetric kind = weights ? (HyperMetric) afp_context_get_metric_kind (job->ctx, d) : HYPER_METRIC_NONE;
  if (!weights && n < job->rows * (job->cols / d)) {
    add_tail (job, &x, &weights, &n);
    kind = HYPER_METRIC_SCALAR;
  }
  hyper_fit_scales (&job->state->code, kind, weights, x, n, job->params);
  return TRUE;
}

static gboolean
fit_row (gsize row, gpointer user_data, GError **error)
{
  FitJob *job = user_data;
  const HyperState *state = job->state;
  const guint d = state->code.dimension;
  g_autofree float *x = g_new (float, job->cols);

  if (!afp_context_read (job->ctx, row, 1, 0, job->cols, x, error))
    return FALSE;
  for (guint64 g = 0; g < state->groups; g++) {
    const guint64 first = g * state->group_size, n = MIN (state->group_size, job->cols - first);
    hyper_fit_frame (&state->code, x + first, n / d, job->params + (row * state->groups + g) * (d + 2));
  }
  return TRUE;
}

static gboolean
hyper_fit (AfpCodec *codec, AfpContext *ctx, GError **error)
{
  HyperState *state = state_new (AFP_HYPER (codec), afp_context_get_layout (ctx), TRUE);
  FitJob job;

  fit_job_init (&job, ctx, state);
  const gboolean ok = state->groups ? afp_parallel_for (afp_context_get_pool (ctx), (gsize) job.rows, fit_row, &job, error)
                                    : fit_tensor (&job, error);
  hyper_close (codec, state);
  return ok;
}

/* --- encode, decode ------------------------------------------------------------------------------------------------- */

/* Vectors from (row, col) that share a frame, at most up to the end of the rectangle's row. */
static const HyperFrame *
find_frame (const HyperState *state, guint64 row, guint64 col, guint64 *n_cols)
{
  if (!state->groups)
    return state->frames;
  *n_cols = MIN (*n_cols, state->group_size - col % state->group_size);
  return &state->frames[row * state->groups + col / state->group_size];
}

static gboolean
hyper_encode_block (AfpCodec *codec, gpointer user_state, AfpBlock *block, GError **error)
{
  const HyperState *state = user_state;
  const guint d = state->code.dimension;
  const gsize stride = afp_metric_stride (block->metric.kind, d), per_row = block->n_cols / d;
  guint32 *thetas = block->planes[CHILD_THETAS].codes;

  if (!state->groups) {
    hyper_encode (&state->code, state->frames, (HyperMetric) block->metric.kind, block->metric.data, block->values,
                  block->n_rows * per_row, thetas, NULL);
    return TRUE;
  }
  for (guint64 r = 0; r < block->n_rows; r++)
    for (guint64 c = 0, n; c < block->n_cols; c += n) {
      n = block->n_cols - c;
      const HyperFrame *frame = find_frame (state, block->row + r, block->col + c, &n);
      const gsize first = r * per_row + c / d;
      hyper_encode (&state->code, frame, (HyperMetric) block->metric.kind,
                    stride ? block->metric.data + first * stride : NULL, block->values + first * d, n / d, thetas + first, NULL);
    }
  return TRUE;
}

static gboolean
hyper_decode_block (AfpCodec *codec, gpointer user_state, AfpBlock *block, GError **error)
{
  const HyperState *state = user_state;
  const guint d = state->code.dimension;
  const gsize per_row = block->n_cols / d;
  const guint32 *thetas = block->planes[CHILD_THETAS].codes;

  for (guint64 r = 0; r < block->n_rows; r++)
    for (guint64 c = 0, n; c < block->n_cols; c += n) {
      n = block->n_cols - c;
      const HyperFrame *frame = find_frame (state, block->row + r, block->col + c, &n);
      const gsize first = r * per_row + c / d;
      const gsize done = hyper_decode (&state->code, frame, thetas + first, n / d, block->values + first * d);
      if (done < n / d) {
        g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                     "theta %u at row %" G_GUINT64_FORMAT ", column %" G_GUINT64_FORMAT
                     " is no point of points=%u and %u classes: the plane 'thetas' is damaged",
                     thetas[first + done], block->row + r, block->col + c + done * d, state->code.n_points,
                     state->code.n_classes);
        return FALSE;
      }
    }
  return TRUE;
}

/* --- class ---------------------------------------------------------------------------------------------------------- */

static void
afp_hyper_class_init (AfpHyperClass *klass)
{
  AfpElementClass *element_class = AFP_ELEMENT_CLASS (klass);
  AfpCodecClass *codec_class = AFP_CODEC_CLASS (klass);

  afp_element_class_add_properties (element_class, hyper_properties, G_N_ELEMENTS (hyper_properties), 0);
  afp_element_class_set_details (element_class, "Vectors become positions on a trajectory, at one of several scales (Hyper-Compression)",
                                 "load location=model.safetensors ! hyper U=225 M=1 ! entropy ! eval ! write location=model.h5");
  codec_class->version = 1;
  codec_class->default_planes = AFP_KINDS_ALL_FLOAT;
  codec_class->describe = hyper_describe;
  codec_class->fit = hyper_fit;
  codec_class->open = hyper_open;
  codec_class->close = hyper_close;
  codec_class->encode_block = hyper_encode_block;
  codec_class->decode_block = hyper_decode_block;
  codec_class->scratch = hyper_scratch;
}

static void
afp_hyper_init (AfpHyper *self)
{
}

AFP_PLUGIN_DEFINE_ELEMENT ("hyper", AFP_VERSION, "LGPL-2.1-or-later", AFP_ORIGIN, "Trajectory codec (Hyper-Compression)",
                           afp_hyper_get_type)
