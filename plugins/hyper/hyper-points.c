/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hyper.h"
#include "hyper-kernel.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Points of one trajectory, drawn at one of several scales: the paper's winding and the released code's grid. */

#define CHUNK_NUMBERS 65536u /* read at once */
#define MAX_AUTO_DIMENSION 7u

/* --- layout --- */

enum { CHILD_THETAS, CHILD_FRAMES };

static guint
choose_dimension (const AfpHyper *self, const AfpPlaneDesc *in)
{
  if (self->dimension)
    return self->dimension;
  if (in->vector == 0)
    return in->cols > 1 || (self->frame == HYPER_FRAME_TENSOR && in->rows > 1) ? 2 : 1;
  if (in->vector % 2 == 0)
    return 2;
  for (guint d = MAX_AUTO_DIMENSION; d > 1; d -= 2)
    if (in->vector % d == 0)
      return d;
  return 1;
}

static guint
get_dimension (const AfpHyper *self, const AfpLayout *layout)
{
  return afp_layout_get_quantum (layout) / self->join;
}

static gboolean
points_describe (const AfpHyper *self, AfpLayout *layout, GError **error)
{
  const AfpPlaneDesc *in = afp_layout_get_input (layout);
  const guint d = choose_dimension (self, in), size = hyper_frame_size (self, d);
  guint points, classes, bits;
  HyperGroups groups;

  if (!hyper_choose_points (self, d, &points, &classes, error) ||
      (bits = hyper_code_bits (self, points, classes, error)) == 0)
    return FALSE;
  if (self->frame == HYPER_FRAME_GROUP && size % d != 0) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_PLAN,
                 "frame-size=%u is no multiple of dimension=%u: groups hold whole vectors; try "
                 "frame-size=%u",
                 size, d, (size + d - 1) / d * d);
    return FALSE;
  }
  afp_layout_set_quantum (layout, d * self->join);
  afp_layout_set_flat (layout,
                       self->frame == HYPER_FRAME_TENSOR && in->cols % (d * self->join) != 0);
  afp_layout_set_param (layout, "points", points);
  afp_layout_set_param (layout, "classes", classes);
  afp_layout_set_param (layout, "dimension", d);
  hyper_leave_out (layout, "lattice", "symbol-bits", "states", "degree", "segments", NULL);
  if (self->join == 1)
    hyper_leave_out (layout, "join", NULL);
  if (self->frame == HYPER_FRAME_GROUP)
    afp_layout_set_param (layout, "frame-size", size);
  if (self->frame != HYPER_FRAME_TENSOR)
    afp_layout_set_open_loop (layout, "frames belong to rows or groups");
  hyper_groups_init (&groups, self, layout);
  afp_layout_add_code (layout, "thetas", 1, bits);
  afp_layout_add_tensor_float (layout, "frames", AFP_KIND_FRAME, groups.n_frames, d + 2, d + 2);
  return TRUE;
}

/* Vectors that the scales of a tensor's frame are chosen on: about a second at the most. */
static gsize
sample_size (const AfpHyper *self, guint dimension)
{
  if (self->trajectory == HYPER_WINDING)
    return dimension <= 2 ? 8192 : dimension <= 4 ? 4096 : 512;
  return dimension <= 2 ? 16384 : 8192;
}

static guint64
points_scratch (const AfpHyper *self, const AfpLayout *layout)
{
  const guint d = get_dimension (self, layout);
  const guint64 cells = afp_layout_get_rows (layout) * afp_layout_get_padded_cols (layout);
  const guint64 n_chunks = cells / CHUNK_NUMBERS + 2;
  guint points = 0, classes;

  hyper_choose_points (self, d, &points, &classes, NULL);
  return hyper_code_bytes ((HyperTrajectory) self->trajectory, d, points, TRUE) +
         2 * sample_size (self, d) * (d + d * d) * sizeof (float) +
         n_chunks * d * (sizeof (float) + sizeof (double));
}

/* What is read at once while it is fitted; weights and symbols of a block that are joined. */
static guint64
points_thread_scratch (const AfpHyper *self, const AfpLayout *layout)
{
  const guint64 n = MAX (CHUNK_NUMBERS, afp_layout_get_padded_cols (layout));

  return n * sizeof (float) * (self->join > 1 ? 2 : 1);
}

/* --- the trajectory --- */

typedef struct {
  HyperCode code;
  gpointer storage;
  const float *params;
  HyperFrame frame; /* of the tensor */
  HyperGroups groups;
  guint64 cols; /* without padding */
  guint join;   /* vectors of a code */
} HyperState;

static HyperState *
state_new (const AfpHyper *self, AfpContext *ctx, gboolean search)
{
  const AfpLayout *layout = afp_context_get_layout (ctx);
  const HyperTrajectory trajectory = (HyperTrajectory) self->trajectory;
  const guint d = get_dimension (self, layout);
  HyperState *state = g_new0 (HyperState, 1);
  guint points = 0, classes = 0;

  hyper_choose_points (self, d, &points, &classes, NULL);
  state->storage = g_malloc (hyper_code_bytes (trajectory, d, points, search));
  hyper_code_init (&state->code, state->storage, trajectory, d, points, classes, search);
  state->code.rule = (HyperRule) self->class_rule;
  state->params = afp_context_get_values (ctx, CHILD_FRAMES);
  hyper_groups_init (&state->groups, self, layout);
  state->cols = afp_layout_get_cols (layout);
  state->join = self->join;
  return state;
}

static void
points_close (gpointer user_state)
{
  HyperState *state = user_state;

  g_free (state->storage);
  g_free (state);
}

static gpointer
points_open (const AfpHyper *self, AfpContext *ctx, GError **error)
{
  const AfpPlaneDesc *frames = afp_layout_get_child (afp_context_get_layout (ctx), CHILD_FRAMES);
  HyperState *state = state_new (self, ctx, !afp_context_is_decoding (ctx));

  for (guint64 f = frames->rows; f-- > 0;)
    if (!hyper_frame_init (&state->frame, &state->code, state->params + f * frames->cols)) {
      g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                   "%s: frame %" G_GUINT64_FORMAT
                   " holds a number that is not finite: the plane 'frames' is damaged",
                   afp_context_get_name (ctx), f);
      points_close (state);
      return NULL;
    }
  return state;
}

/* The frame of the vector at (row, col); *n_cols: cut to those that share it. @own: room for one. */
static const HyperFrame *
find_frame (const HyperState *state, guint64 row, guint64 col, guint64 *n_cols, HyperFrame *own)
{
  if (!state->groups.per_row)
    return &state->frame;
  const guint64 f = hyper_groups_find (&state->groups, row, col, n_cols);
  hyper_frame_init (own, &state->code, state->params + f * (state->code.dimension + 2));
  return own;
}

/* --- fit --- */

typedef struct {
  AfpContext *ctx;
  const HyperState *state;
  guint64 rows, padded;
  guint64 step_rows, step_cols;
  gsize n_chunks;
  float *params;
  double *sums;      /* of each chunk, for the centre; NULL: the pass for distances */
  float *farthest;   /* vector of each chunk */
  double *distances; /* its distance */
} FitJob;

static void
fit_job_init (FitJob *job, AfpContext *ctx, const HyperState *state)
{
  const AfpLayout *layout = afp_context_get_layout (ctx);
  const guint64 quantum = afp_layout_get_quantum (layout);

  *job = (FitJob){ .ctx = ctx,
                   .state = state,
                   .rows = afp_layout_get_rows (layout),
                   .padded = afp_layout_get_padded_cols (layout),
                   .params = afp_context_get_values (ctx, CHILD_FRAMES) };
  job->step_cols = job->rows == 1 ? CHUNK_NUMBERS / quantum * quantum : job->padded;
  job->step_rows = MAX (CHUNK_NUMBERS / MAX (job->step_cols, 1), 1);
  if (job->rows && job->padded)
    job->n_chunks = (gsize) ((job->rows + job->step_rows - 1) / job->step_rows *
                             ((job->padded + job->step_cols - 1) / job->step_cols));
}

/* What lies beyond the right edge becomes the centre: no padding counts as a far vector. */
static void
fill_padding (const HyperState *state, const float *centre, guint64 col, guint64 n_cols, float *row)
{
  const guint d = state->code.dimension;

  for (guint64 c = MAX (state->cols, col); c < col + n_cols; c++)
    row[c - col] = centre[c % d];
}

/* A chunk is whole rows, or a part of the only row. */
static gboolean
measure_chunk (gsize index, gpointer user_data, GError **error)
{
  FitJob *job = user_data;
  const guint d = job->state->code.dimension;
  const guint64 row = job->rows == 1 ? 0 : index * job->step_rows;
  const guint64 col = job->rows == 1 ? index * job->step_cols : 0;
  const guint64 n_rows = MIN (job->step_rows, job->rows - row);
  const guint64 n_cols = MIN (job->step_cols, job->padded - col);
  const gsize n = (gsize) (n_rows * n_cols / d);
  g_autofree float *x = g_new (float, n_rows *n_cols);

  if (!afp_context_read (job->ctx, row, n_rows, col, n_cols, x, error))
    return FALSE;
  if (job->sums) {
    hyper_sum (d, x, n, job->sums + index * d);
    return TRUE;
  }
  for (guint64 r = 0; r < n_rows; r++)
    fill_padding (job->state, job->params, col, n_cols, x + r * n_cols);
  const float *far = x + hyper_farthest (d, job->params, x, n) * d;
  memcpy (job->farthest + index * d, far, d * sizeof *far);
  job->distances[index] = hyper_distance (d, job->params, far);
  return TRUE;
}

/* Two passes: the centre, then the far vectors. */
static gboolean
measure (FitJob *job, GError **error)
{
  const guint d = job->state->code.dimension;
  g_autofree double *sums = job->sums = g_new0 (double, job->n_chunks *d + 1);
  AfpPool *pool = afp_context_get_pool (job->ctx);
  double farthest = 0;

  if (!afp_parallel_for (pool, job->n_chunks, measure_chunk, job, error))
    return FALSE;
  for (guint i = 0; i < d; i++) {
    const guint64 per_row = job->state->cols > i ? (job->state->cols - i - 1) / d + 1 : 0;
    const double count = (double) job->rows * (double) per_row;
    double sum = 0;
    for (gsize c = 0; c < job->n_chunks; c++)
      sum += sums[c * d + i];
    job->params[i] = count > 0 ? hyper_round (sum / count) : 0;
  }
  job->sums = NULL;
  if (!afp_parallel_for (pool, job->n_chunks, measure_chunk, job, error))
    return FALSE;
  for (gsize c = 0; c < job->n_chunks; c++)
    farthest = MAX (farthest, job->distances[c]);
  job->params[d + 1] = hyper_round_up (sqrt (farthest));
  return TRUE;
}

typedef struct {
  HyperMetric metric;
  float *x, *weights;
  gsize n;
} Sample;

static void
sample_clear (Sample *sample)
{
  g_free (sample->x);
  g_free (sample->weights);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Sample, sample_clear)

static gboolean
take_sample (FitJob *job, gsize max, Sample *sample, GError **error)
{
  const guint d = job->state->code.dimension;
  float last[HYPER_MAX_DIMENSION];

  sample->x = afp_context_sample (job->ctx, max, d, &sample->n, &sample->weights, error);
  if (!sample->x || sample->n == 0)
    return sample->x != NULL;
  if (sample->weights)
    sample->metric = (HyperMetric) afp_context_get_metric_kind (job->ctx, d);
  if (job->state->join > 1 && sample->n == job->rows * (job->padded / d)) {
    const guint64 last_col = job->state->cols - 1 - (job->state->cols - 1) % d;
    sample->n = (gsize) ((job->rows - 1) * job->padded + last_col) / d + 1; /* less all padding */
    fill_padding (job->state, job->params, last_col, d, sample->x + (sample->n - 1) * d);
  }
  if (job->state->cols == job->padded || job->state->join > 1)
    return TRUE;
  /* the only padded vector of a flat plane is the last one; it may be in the sample, then as the last one */
  if (!afp_context_read (job->ctx, job->rows - 1, 1, job->padded - d, d, last, error))
    return FALSE;
  float *end = sample->x + (sample->n - 1) * d;
  if (memcmp (last, end, d * sizeof *end) == 0)
    fill_padding (job->state, job->params, job->padded - d, d, end);
  return TRUE;
}

/* Under the metric. */
static double
sample_energy (const Sample *sample, guint d)
{
  const AfpMetric metric = { (AfpMetricKind) sample->metric, d, sample->weights };
  const float zeros[HYPER_MAX_DIMENSION] = { 0 };
  double sum = 0;

  for (gsize v = 0; v < sample->n; v++)
    sum += (double) afp_metric_error (&metric, v, sample->x + v * d, zeros);
  return sum;
}

typedef struct {
  double distance;
  gsize chunk;
} Far;

static int
compare_far (const void *a, const void *b)
{
  const Far *x = a, *y = b;

  if (x->distance != y->distance)
    return x->distance > y->distance ? -1 : 1;
  return x->chunk < y->chunk ? -1 : x->chunk > y->chunk;
}

/* The sample stands for all vectors; where it is a part of them, far vectors join it, each for itself and under the mean
 * metric, so that none is clipped unseen. */
static void
add_far (FitJob *job, Sample *sample)
{
  const guint d = job->state->code.dimension;
  const float share =
      (float) ((double) job->rows * (double) (job->padded / d) / (double) sample->n);
  const gsize n = sample->n, more = MIN (job->n_chunks, MAX (n / 4, 1));
  g_autofree Far *far = g_new (Far, job->n_chunks);

  if (!sample->weights) {
    sample->metric = HYPER_METRIC_SCALAR;
    sample->weights = g_new (float, n);
    for (gsize v = 0; v < n; v++)
      sample->weights[v] = 1;
  }
  for (gsize c = 0; c < job->n_chunks; c++)
    far[c] = (Far){ job->distances[c], c };
  qsort (far, job->n_chunks, sizeof *far, compare_far);
  const gsize stride = hyper_metric_stride (sample->metric, d);
  sample->x = g_renew (float, sample->x, (n + more) * d);
  sample->weights = g_renew (float, sample->weights, (n + more) * stride);
  for (gsize i = 0; i < stride; i++) {
    double sum = 0;
    for (gsize v = 0; v < n; v++) {
      sum += sample->weights[v * stride + i];
      sample->weights[v * stride + i] *= share;
    }
    for (gsize v = n; v < n + more; v++)
      sample->weights[v * stride + i] = (float) (sum / (double) n);
  }
  for (gsize v = 0; v < more; v++)
    memcpy (sample->x + (n + v) * d, job->farthest + far[v].chunk * d, d * sizeof (float));
  sample->n = n + more;
}

/* One frame: the centre of all vectors; scales by the error on a sample. nmse (or 0): what it may be. */
static gboolean
fit_tensor (FitJob *job, gsize max, double nmse, GError **error)
{
  const guint d = job->state->code.dimension;
  g_autofree G_GNUC_UNUSED float *farthest = job->farthest = g_new0 (float, job->n_chunks *d + 1);
  g_autofree G_GNUC_UNUSED double *distances = job->distances = g_new0 (double, job->n_chunks + 1);
  g_auto (Sample) sample = { 0 };

  if (!measure (job, error) || !take_sample (job, max, &sample, error))
    return FALSE;
  if (sample.n < job->rows * (job->padded / d))
    add_far (job, &sample);
  hyper_fit_scales (&job->state->code, sample.metric, sample.weights, sample.x, sample.n,
                    job->params);
  if (nmse > 0)
    hyper_fit_widen (&job->state->code, sample.metric, sample.weights, sample.x, sample.n,
                     nmse * sample_energy (&sample, d), job->params);
  return TRUE;
}

/* Padding of the last group becomes the mean of the whole vectors, or the one number that is there. */
static void
fill_group (const HyperState *state, guint64 first, guint64 n_cols, float *x)
{
  const guint d = state->code.dimension;
  const guint64 missing = first + n_cols > state->cols ? first + n_cols - state->cols : 0;
  float centre[HYPER_MAX_DIMENSION];

  if (missing == 0)
    return;
  hyper_fit_centre (d, x, n_cols / d - 1, centre);
  for (guint64 c = n_cols - missing; c < n_cols; c++)
    x[c] = n_cols > d ? centre[c % d] : x[0];
}

static gboolean
fit_row (gsize row, gpointer user_data, GError **error)
{
  FitJob *job = user_data;
  const HyperState *state = job->state;
  const guint d = state->code.dimension;
  g_autofree float *x = g_new (float, job->padded);

  if (!afp_context_read (job->ctx, row, 1, 0, job->padded, x, error))
    return FALSE;
  for (guint64 first = 0, n; first < job->padded; first += n) {
    n = job->padded - first;
    const guint64 f = hyper_groups_find (&state->groups, row, first, &n);
    fill_group (state, first, n, x + first);
    hyper_fit_frame (&state->code, x + first, n / d, job->params + f * (d + 2));
  }
  return TRUE;
}

static gboolean
points_fit (const AfpHyper *self, AfpContext *ctx, GError **error)
{
  HyperState *state = state_new (self, ctx, TRUE);
  AfpPool *pool = afp_context_get_pool (ctx);
  FitJob job;

  fit_job_init (&job, ctx, state);
  const gboolean ok =
      state->groups.per_row
          ? afp_parallel_for (pool, (gsize) job.rows, fit_row, &job, error)
          : fit_tensor (&job, sample_size (self, state->code.dimension), self->nmse, error);
  points_close (state);
  return ok;
}

/* --- encode, decode --- */

/* Vectors [first, first + n) of the block, which share a frame. */
static void
encode_run (const HyperState *state, const HyperFrame *frame, const AfpBlock *block, gsize first,
            gsize n)
{
  const guint d = state->code.dimension;
  const HyperMetric metric = (HyperMetric) block->metric.kind;
  const gsize stride = hyper_metric_stride (metric, d);

  hyper_encode (&state->code, frame, metric, stride ? block->metric.data + first * stride : NULL,
                block->values + first * d, n, block->planes[CHILD_THETAS].codes + first, NULL);
}

/* A vector of a row that reaches beyond the edge, with the frame's centre for what is there. */
static void
encode_padded (const HyperState *state, const HyperFrame *frame, const AfpBlock *block, gsize v)
{
  const guint d = state->code.dimension;
  const HyperMetric metric = (HyperMetric) block->metric.kind;
  const gsize stride = hyper_metric_stride (metric, d);
  float x[HYPER_MAX_DIMENSION];

  memcpy (x, block->values + v * d, d * sizeof *x);
  fill_padding (state, frame->centre, block->col + v % (block->n_cols / d) * d, d, x);
  hyper_encode (&state->code, frame, metric, stride ? block->metric.data + v * stride : NULL, x, 1,
                block->planes[CHILD_THETAS].codes + v, NULL);
}

static gboolean
encode_vectors (const HyperState *state, AfpBlock *block)
{
  const guint d = state->code.dimension;
  const gsize per_row = block->n_cols / d;
  const gboolean padded = block->n_cols > 0 && block->col + block->n_cols > state->cols;
  HyperFrame own;

  if (!state->groups.per_row && !padded) {
    encode_run (state, &state->frame, block, 0, block->n_rows * per_row);
    return TRUE;
  }
  for (guint64 r = 0; r < block->n_rows; r++) {
    const HyperFrame *frame = &state->frame;
    for (guint64 c = 0, n; c < block->n_cols; c += n) {
      n = block->n_cols - c;
      frame = find_frame (state, block->row + r, block->col + c, &n, &own);
      encode_run (state, frame, block, r * per_row + c / d, n / d);
    }
    for (gsize v = per_row; padded && v-- > 0 && block->col + (v + 1) * d > state->cols;)
      encode_padded (state, frame, block, r * per_row + v);
  }
  return TRUE;
}

/* A block whose codes are symbols joined, with those of its own. */
static gboolean
points_encode_block (gpointer user_state, AfpBlock *block, GError **error)
{
  const HyperState *state = user_state;
  const gsize numbers = block->n_rows * block->n_cols;
  const gsize n = numbers / (state->code.dimension * state->join);

  if (state->join == 1)
    return encode_vectors (state, block);
  g_autofree guint32 *thetas = g_new (guint32, MAX (n * state->join, 1));
  g_autofree float *weights = g_new (float, MAX (numbers, 1));
  AfpBlockPlane planes[] = { { .codes = thetas }, { 0 } };
  AfpBlock own = *block;
  own.planes = planes;
  if (block->metric.kind != AFP_METRIC_NONE) {
    afp_metric_read_diagonal (&block->metric, 0, n, weights);
    own.metric = (AfpMetric){ AFP_METRIC_DIAGONAL, state->code.dimension, weights };
  }
  encode_vectors (state, &own);
  hyper_join (thetas, n, state->join, state->code.n_points * state->code.n_classes,
              block->planes[CHILD_THETAS].codes);
  return TRUE;
}

static gboolean
decode_vectors (const HyperState *state, const AfpBlock *block, const guint32 *thetas,
                GError **error)
{
  const guint d = state->code.dimension;
  const gsize per_row = block->n_cols / d;
  HyperFrame own;

  for (guint64 r = 0; r < block->n_rows; r++)
    for (guint64 c = 0, n; c < block->n_cols; c += n) {
      n = block->n_cols - c;
      const HyperFrame *frame = find_frame (state, block->row + r, block->col + c, &n, &own);
      const gsize first = r * per_row + c / d;
      const gsize done =
          hyper_decode (&state->code, frame, thetas + first, n / d, block->values + first * d);
      if (done < n / d) {
        g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                     "theta %u at row %" G_GUINT64_FORMAT ", column %" G_GUINT64_FORMAT
                     " is not below %u (points=%u, classes=%u): the plane 'thetas' is damaged",
                     thetas[first + done], block->row + r, block->col + c + done * d,
                     state->code.n_points * state->code.n_classes, state->code.n_points,
                     state->code.n_classes - 1);
        return FALSE;
      }
    }
  return TRUE;
}

static gboolean
points_decode_block (gpointer user_state, AfpBlock *block, GError **error)
{
  const HyperState *state = user_state;
  const guint32 *codes = block->planes[CHILD_THETAS].codes;
  const gsize n = block->n_rows * block->n_cols / (state->code.dimension * state->join);

  if (state->join == 1)
    return decode_vectors (state, block, codes, error);
  g_autofree guint32 *thetas = g_new (guint32, MAX (n * state->join, 1));
  hyper_split (codes, n, state->join, state->code.n_points * state->code.n_classes, thetas);
  return decode_vectors (state, block, thetas, error);
}

const HyperForm hyper_form_points = {
  .describe = points_describe,
  .fit = points_fit,
  .open = points_open,
  .close = points_close,
  .encode_block = points_encode_block,
  .decode_block = points_decode_block,
  .scratch = points_scratch,
  .thread_scratch = points_thread_scratch,
};
