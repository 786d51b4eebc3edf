/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "seedlm.h"
#include "seedlm-fit.h"
#include "seedlm-shift-kernel.h"

#include <math.h>
#include <string.h>

/* overlap=true: layout, scale, encoding and decoding of segments whose seeds overlap. SPEC.md, "Overlapping seeds". */

#define LONGEST \
  512 /* steps of a segment of segment=auto, at most: the first pass adds a tenth or a fifth then */
#define SHORT_RING 8      /* windows: shorter segments cost more than a tenth of a decibel */
#define FIT_WEIGHTS 16384 /* that the scale is fitted to */
#define FIT_ROUNDS 3      /* of coding them and fitting again */

typedef struct {
  double product, square; /* of numbers and values; of values */
} Moments;

G_DEFINE_AUTOPTR_CLEANUP_FUNC (SeedlmShift, seedlm_shift_free)

static SeedlmShift *
make_shift (const AfpSeedlm *self, GError **error)
{
  SeedlmShift *shift = seedlm_shift_new (self->state_bits, self->step_bits, self->step_length);

  if (!shift)
    g_set_error (error, AFP_ERROR, AFP_ERROR_MEMORY,
                 "seedlm: no memory for the values of state-bits=%u: %" G_GUINT64_FORMAT " bytes",
                 self->state_bits, seedlm_shift_bytes (self->state_bits, self->step_length));
  return shift;
}

/* --- properties ------------------------------------------------------------------------------------------------------ */

static guint
shortest_segment (const AfpSeedlm *self)
{
  return seedlm_shift_min_steps (self->state_bits, self->step_bits) * self->step_length;
}

gboolean
seedlm_shift_check_format (const AfpSeedlm *self, AfpError code, GError **error)
{
  const guint shortest = shortest_segment (self);

  if (self->step_bits > self->state_bits)
    g_set_error (
        error, AFP_ERROR, code,
        "step-bits=%u is more than state-bits=%u, the whole window: take step-bits of at most %u",
        self->step_bits, self->state_bits, self->state_bits);
  else if (self->segment && self->segment % self->step_length != 0)
    g_set_error (error, AFP_ERROR, code,
                 "segment=%u is no multiple of step-length=%u: take segment=%u", self->segment,
                 self->step_length, self->segment + 1);
  else if (self->segment && self->segment < shortest)
    g_set_error (
        error, AFP_ERROR, code,
        "segment=%u has fewer bits than the window, state-bits=%u: take a segment of at least %u weights, "
        "better %u",
        self->segment, self->state_bits, shortest, shortest * SHORT_RING);
  else if (self->scale == SEEDLM_SCALE_NONE)
    g_set_error (
        error, AFP_ERROR, code,
        "scale=none cannot go with overlap=true, whose values have unit variance: take scale=tensor or scale=row");
  else
    return TRUE;
  return FALSE;
}

static const char *const block_properties[] = { "block-size", "rank",    "seed-bits", "leap",
                                                "coeff-bits", "samples", "rounds",    "candidates",
                                                "search",     "device" };
static const char *const shift_properties[] = { "state-bits", "step-bits", "step-length",
                                                "segment" };

gboolean
seedlm_shift_check_set (AfpSeedlm *self, GError **error)
{
  AfpElement *element = AFP_ELEMENT (self);
  const char *const *others = self->overlap ? block_properties : shift_properties;
  const gsize n = self->overlap ? G_N_ELEMENTS (block_properties) : G_N_ELEMENTS (shift_properties);

  for (gsize i = 0; i < n; i++)
    if (afp_element_property_is_set (element, others[i])) {
      g_set_error (
          error, AFP_ERROR, AFP_ERROR_PROPERTY,
          self->overlap
              ? "%s= says nothing with overlap=true, which has no blocks and no coefficients: leave it out; "
                "state-bits, step-bits and step-length set the rate"
              : "%s= is for overlapping seeds: leave it out, or add overlap=true",
          others[i]);
      return FALSE;
    }
  return TRUE;
}

/* --- layout ---------------------------------------------------------------------------------------------------------- */

/* A row is cut into equal parts, so that next to nothing is padded. */
static guint
segment_of (const AfpSeedlm *self, guint64 cols, guint least)
{
  if (self->segment)
    return self->segment;
  const guint longest = LONGEST * self->step_length;
  const guint64 parts = MAX ((cols + longest - 1) / longest, 1), part = (cols + parts - 1) / parts;
  const guint even = (guint) (part + self->step_length - 1) / self->step_length * self->step_length;
  return MAX (even, least);
}

void
seedlm_shift_describe (AfpSeedlm *self, AfpLayout *layout)
{
  static const char *const others[] = { "block-size", "rank", "seed-bits", "leap" };
  const AfpPlaneDesc *in = afp_layout_get_input (layout);
  const guint shortest = shortest_segment (self), longest = LONGEST * self->step_length;
  const guint least = afp_codec_feeds_back (AFP_CODEC (self)) ? shortest : shortest * SHORT_RING;
  const gboolean flat = seedlm_is_flat (self, in, segment_of (self, in->cols, least));
  const guint64 cols = flat ? in->rows * in->cols : in->cols;
  const guint segment =
      flat && !self->segment && cols > longest ? longest : segment_of (self, cols, shortest);

  afp_layout_set_quantum (layout, segment);
  afp_layout_set_flat (layout, flat);
  afp_layout_set_param (layout, "segment", segment);
  afp_layout_set_param_text (layout, "layout", flat ? "flat" : "row");
  for (gsize i = 0; i < G_N_ELEMENTS (others); i++)
    afp_layout_set_param_text (layout, others[i], NULL);
  afp_layout_add_code (layout, "steps", segment / self->step_length, self->step_bits);
  seedlm_add_scale (self, layout);
}

void
seedlm_shift_leave_out (AfpLayout *layout)
{
  afp_layout_set_param_text (layout, "overlap", NULL);
  for (gsize i = 0; i < G_N_ELEMENTS (shift_properties); i++)
    afp_layout_set_param_text (layout, shift_properties[i], NULL);
}

/* Segments that the scale is fitted to. */
static gsize
fit_segments (guint segment)
{
  return MAX (FIT_WEIGHTS / segment, 4);
}

guint64
seedlm_shift_scratch (const AfpSeedlm *self, const AfpLayout *layout)
{
  const guint segment = afp_layout_get_quantum (layout);

  return seedlm_shift_bytes (self->state_bits, self->step_length) +
         fit_segments (segment) * (3 * segment * sizeof (float) + sizeof (Moments));
}

guint64
seedlm_shift_thread_scratch (const AfpSeedlm *self, const AfpLayout *layout)
{
  const guint segment = afp_layout_get_quantum (layout);

  return seedlm_shift_search_bytes (self->state_bits, self->step_bits, self->step_length,
                                    segment / self->step_length) +
         segment * (3 * sizeof (float) + sizeof (guint32));
}

/* --- one segment ----------------------------------------------------------------------------------------------------- */

/* Weights of a segment, the largest 1; NULL where they are all alike. */
static const float *
level_weights (const float *weights, guint n, float *out)
{
  float top = 0, low = G_MAXFLOAT;

  for (guint i = 0; weights && i < n; i++) {
    top = MAX (top, weights[i]);
    low = MIN (low, weights[i]);
  }
  if (!weights || low == top || !isfinite (top))
    return NULL;
  for (guint i = 0; i < n; i++)
    out[i] = weights[i] / top;
  return out;
}

/* What a thread works with. */
typedef struct {
  SeedlmShiftSearch *search;
  guint segment, n_steps;
  float *scaled, *weights, *values;
  guint32 *steps;
} Worker;

static void
worker_clear (Worker *worker)
{
  g_clear_pointer (&worker->search, seedlm_shift_search_free);
  g_free (worker->scaled);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Worker, worker_clear)

static gboolean
worker_init (Worker *worker, const SeedlmShift *shift, guint segment, GError **error)
{
  worker->segment = segment;
  worker->n_steps = segment / shift->step_length;
  worker->search = seedlm_shift_search_new (shift, worker->n_steps);
  if (!worker->search) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_MEMORY,
                 "seedlm: no memory to search state-bits=%u: %" G_GUINT64_FORMAT " bytes",
                 shift->state_bits,
                 seedlm_shift_search_bytes (shift->state_bits, shift->step_bits, shift->step_length,
                                            worker->n_steps));
    return FALSE;
  }
  worker->scaled = g_new (float, 4 * (gsize) segment);
  worker->weights = worker->scaled + segment;
  worker->values = worker->weights + segment;
  worker->steps = (guint32 *) (worker->values + segment);
  return TRUE;
}

static void
encode_segment (Worker *worker, const float *in, float scale, const float *weights, guint32 *steps)
{
  for (guint i = 0; i < worker->segment; i++)
    worker->scaled[i] = seedlm_divide (in[i], scale);
  seedlm_shift_encode (worker->search, worker->scaled,
                       level_weights (weights, worker->segment, worker->weights), worker->n_steps,
                       steps);
}

/* --- fit ------------------------------------------------------------------------------------------------------------- */

typedef struct {
  const SeedlmShift *shift;
  guint segment;
  gsize n;
  float *x, *weights; /* n segments, divided by their scale; weights may be NULL */
  float gain;
  Moments *moments; /* of each segment */
} FitJob;

static void
fit_job_clear (FitJob *job)
{
  g_free (job->x);
  g_free (job->weights);
  g_free (job->moments);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (FitJob, fit_job_clear)

static gboolean
fit_segment (gsize index, gpointer user_data, GError **error)
{
  FitJob *job = user_data;
  const float *x = job->x + index * job->segment;
  const float *weights = job->weights ? job->weights + index * job->segment : NULL;
  Moments sums = { 0 };
  g_auto (Worker) worker = { 0 };

  if (!worker_init (&worker, job->shift, job->segment, error))
    return FALSE;
  encode_segment (&worker, x, job->gain, weights, worker.steps);
  seedlm_shift_decode (job->shift, worker.steps, worker.n_steps, 1, worker.values);
  for (guint i = 0; i < job->segment; i++) {
    const double y = (weights ? weights[i] : 1) * (double) worker.values[i];
    sums.product += y * x[i];
    sums.square += y * worker.values[i];
  }
  job->moments[index] = sums;
  return TRUE;
}

/* The factor of the scales for which the error of a sample is least: coded and fitted in turn. */
static gboolean
fit_gain (FitJob *job, AfpPool *pool, double rate, GError **error)
{
  job->gain = (float) sqrt (1 - exp2 (-2 * rate));
  for (guint round = 0; round < FIT_ROUNDS; round++) {
    Moments sums = { 0 };
    if (!afp_parallel_for (pool, job->n, fit_segment, job, error))
      return FALSE;
    for (gsize i = 0; i < job->n; i++) {
      sums.product += job->moments[i].product;
      sums.square += job->moments[i].square;
    }
    if (!(sums.product > 0) || !isfinite (sums.product / sums.square))
      return TRUE;
    job->gain = (float) (sums.product / sums.square);
  }
  return TRUE;
}

gboolean
seedlm_shift_fit (const AfpSeedlm *self, AfpContext *ctx, GError **error)
{
  const AfpLayout *layout = afp_context_get_layout (ctx);
  const AfpPlaneDesc *desc = afp_layout_get_child (layout, SEEDLM_SHIFT_CHILD_SCALE);
  float *scales = afp_context_get_values (ctx, SEEDLM_SHIFT_CHILD_SCALE);
  const guint segment = afp_layout_get_quantum (layout);
  const double rate = (double) self->step_bits / self->step_length;
  g_auto (FitJob) job = { .segment = segment };
  g_autoptr (SeedlmShift) shift = make_shift (self, error);

  if (!shift)
    return FALSE;
  job.shift = shift;
  job.x = seedlm_sample (ctx, fit_segments (segment), segment, scales,
                         self->scale == SEEDLM_SCALE_ROW, &job.n, &job.weights, error);
  if (!job.x)
    return FALSE;
  job.moments = g_new0 (Moments, job.n + 1);
  if (!fit_gain (&job, afp_context_get_pool (ctx), rate, error))
    return FALSE;
  for (guint64 i = 0; i < desc->rows * desc->cols; i++)
    scales[i] *= job.gain;
  return TRUE;
}

/* --- open ------------------------------------------------------------------------------------------------------------ */

typedef struct {
  SeedlmShift *shift;
  float *scales;
  guint64 n_scales; /* 1, or one per row */
  guint segment;
} ShiftState;

void
seedlm_shift_close (gpointer user_state)
{
  ShiftState *state = user_state;

  seedlm_shift_free (state->shift);
  g_free (state->scales);
  g_free (state);
}

gpointer
seedlm_shift_open (const AfpSeedlm *self, AfpContext *ctx, GError **error)
{
  ShiftState *state = g_new0 (ShiftState, 1);

  state->segment = afp_layout_get_quantum (afp_context_get_layout (ctx));
  state->shift = make_shift (self, error);
  state->scales = state->shift
                      ? seedlm_copy_scales (ctx, SEEDLM_SHIFT_CHILD_SCALE, &state->n_scales, error)
                      : NULL;
  if (!state->scales) {
    seedlm_shift_close (state);
    return NULL;
  }
  return state;
}

/* --- blocks ---------------------------------------------------------------------------------------------------------- */

gboolean
seedlm_shift_encode_block (gpointer user_state, AfpBlock *block, GError **error)
{
  const ShiftState *state = user_state;
  const gsize per_row = block->n_cols / state->segment, n = block->n_rows * per_row;
  g_autofree float *weights =
      block->metric.length == state->segment && block->metric.kind != AFP_METRIC_SCALAR
          ? seedlm_weights_new (&block->metric, n)
          : NULL;
  guint32 *steps = block->planes[SEEDLM_SHIFT_CHILD_STEPS].codes;
  g_auto (Worker) worker = { 0 };

  if (!worker_init (&worker, state->shift, state->segment, error))
    return FALSE;
  for (gsize s = 0; s < n; s++)
    encode_segment (&worker, block->values + s * state->segment,
                    state->scales[state->n_scales > 1 ? block->row + s / per_row : 0],
                    weights ? weights + s * state->segment : NULL, steps + s * worker.n_steps);
  return TRUE;
}

gboolean
seedlm_shift_decode_block (gpointer user_state, AfpBlock *block, GError **error)
{
  const ShiftState *state = user_state;
  const gsize per_row = block->n_cols / state->segment, n = block->n_rows * per_row;
  const gsize n_steps = state->segment / state->shift->step_length;
  const guint32 *steps = block->planes[SEEDLM_SHIFT_CHILD_STEPS].codes;

  for (gsize s = 0; s < n; s++)
    seedlm_shift_decode (state->shift, steps + s * n_steps, n_steps,
                         state->scales[state->n_scales > 1 ? block->row + s / per_row : 0],
                         block->values + s * state->segment);
  return TRUE;
}
