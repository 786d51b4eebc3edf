/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hyper-lattice-kernel.h"
#include "hyper-rate-kernel.h"
#include "hyper.h"

#include <math.h>
#include <string.h>

/* Points of a scaled lattice, chosen by error and by what an entropy coder will make of their symbols. */

#define SAMPLE_WEIGHTS 131072u /* coded again and again to find the step */
#define THINNED 8u
#define THIN_WEIGHTS (SAMPLE_WEIGHTS / THINNED) /* that the search begins with */
#define RUN 256u         /* vectors whose metric is brought to a mean of 1 at once */
#define NEAR_STEP 3.5    /* of a normal number coded in 0 bits */
#define OFF_CENTRE 0.05  /* deviations: means beyond are subtracted */
#define LEAST_SIZE 1e-37 /* of a step: binary32 holds the inverse */
#define READ_AT_ONCE 65536u
#define ROUNDING 0x1p-16 /* part of an error that is left to binary32 */

enum { CHILD_SYMBOLS, CHILD_FRAMES };

/* --- layout --- */

static HyperLatticeKind
choose_kind (const AfpHyper *self, const AfpPlaneDesc *in)
{
  HyperLatticeKind kind = HYPER_E8;

  if (self->max_error > 0)
    return HYPER_Z;
  if (self->lattice != HYPER_LATTICE_AUTO)
    return (HyperLatticeKind) (self->lattice - 1);
  while (in->vector % hyper_lattice_dimension (kind) != 0)
    kind--;
  return kind;
}

static void
describe_lattice (const AfpHyper *self, const AfpPlaneDesc *in, HyperLattice *lattice)
{
  const HyperLatticeKind kind = choose_kind (self, in);
  const guint cosets = kind == HYPER_A2 || kind == HYPER_E8 ? 1 : 0;
  const guint bits = hyper_symbol_width (self) + (self->symbol_bits ? 0 : cosets);

  hyper_lattice_init (lattice, kind, MIN (bits, HYPER_MAX_SYMBOL_BITS));
}

typedef struct {
  AfpCodeMachine machine;
  guint16 next[HYPER_MAX_LATTICE_STATES << 2];
  guint8 context[HYPER_MAX_LATTICE_STATES];
} Machine;

static const AfpCodeMachine *
get_machine (const HyperLattice *lattice)
{
  static Machine machines[HYPER_N_LATTICES];
  static gsize ready;

  if (g_once_init_enter (&ready)) {
    for (guint k = 0; k < HYPER_N_LATTICES; k++) {
      Machine *m = &machines[k];
      HyperLattice l;
      hyper_lattice_init (&l, (HyperLatticeKind) k, HYPER_MAX_SYMBOL_BITS);
      hyper_lattice_machine (l.kind, m->next, m->context);
      m->machine = (AfpCodeMachine){ l.n_contexts, l.n_contexts, 2, m->next, m->context };
    }
    g_once_init_leave (&ready, 1);
  }
  return &machines[lattice->kind].machine;
}

static gboolean
lattice_describe (const AfpHyper *self, AfpLayout *layout, GError **error)
{
  static const char *const names[] = { "z", "a2", "d4", "e8" };
  const AfpPlaneDesc *in = afp_layout_get_input (layout);
  HyperLattice lattice;

  if (self->frame != HYPER_FRAME_TENSOR) {
    g_set_error_literal (
        error, AFP_ERROR, AFP_ERROR_PROPERTY,
        "trajectory=lattice has one step for the whole tensor, which is best where the codes are "
        "entropy-coded: frame must be tensor; leave it out, or take trajectory=grid or winding");
    return FALSE;
  }
  describe_lattice (self, in, &lattice);
  afp_layout_set_quantum (layout, lattice.dimension);
  afp_layout_set_flat (layout, in->cols % lattice.dimension != 0);
  hyper_leave_out (layout, "join", "points", "classes", "dimension", "frame", "frame-size",
                   "states", "degree", "segments", NULL);
  afp_layout_set_param_text (layout, "lattice", names[lattice.kind]);
  const guint bits = g_bit_storage (lattice.n_symbols - 1);
  afp_layout_set_param (layout, "symbol-bits", bits);
  const guint symbols = afp_layout_add_code (layout, "symbols", lattice.dimension, bits);
  if (lattice.n_contexts > 1)
    afp_layout_set_machine (layout, symbols, get_machine (&lattice));
  afp_layout_add_tensor_float (layout, "frames", AFP_KIND_FRAME, 1, lattice.n_params,
                               lattice.n_params);
  return TRUE;
}

static guint64
lattice_scratch (const AfpHyper *self, const AfpLayout *layout)
{
  HyperLattice lattice;

  describe_lattice (self, afp_layout_get_input (layout), &lattice);
  const guint64 cells = (guint64) lattice.n_contexts * lattice.n_symbols;
  return cells * 2 * sizeof (float) +
         (SAMPLE_WEIGHTS + THIN_WEIGHTS) *
             (sizeof (guint32) + (1 + lattice.dimension) * sizeof (float));
}

static guint64
lattice_thread_scratch (const AfpHyper *self, const AfpLayout *layout)
{
  return READ_AT_ONCE * sizeof (float);
}

/* --- fit --- */

/* What encoding needs beside the frame. */
typedef struct {
  float *lengths;
  double unit;
  HyperMetric metric; /* that unit is of */
} Kept;

static void
kept_free (gpointer data)
{
  Kept *kept = data;

  g_free (kept->lengths);
  g_free (kept);
}

typedef struct {
  const HyperLattice *lattice;
  HyperLatticeTally tally;
  HyperMetric metric;
  double unit;
  float *x, *weights;
  gsize n;
  guint32 *symbols;
  float *params;
} Sample;

static void
sample_clear (Sample *sample)
{
  g_free (sample->x);
  g_free (sample->weights);
  g_free (sample->symbols);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Sample, sample_clear)

/* The mean of the weights that errors are multiplied by. */
static double
mean_weight (HyperMetric metric, guint d, const float *weights, gsize n)
{
  const gsize stride = hyper_metric_stride (metric, d);
  const gsize each = metric == HYPER_METRIC_SCALAR ? 1 : d;
  const gsize along = metric == HYPER_METRIC_MATRIX ? d + 1 : 1;
  double sum = 0;

  for (gsize v = 0; v < n; v++)
    for (gsize i = 0; i < each; i++)
      sum += weights[v * stride + i * along];
  return n ? sum / (double) (n * each) : 0;
}

static gboolean
take_sample (AfpContext *ctx, Sample *sample, GError **error)
{
  const guint d = sample->lattice->dimension;

  sample->x = afp_context_sample (ctx, SAMPLE_WEIGHTS / d, d, &sample->n, &sample->weights, error);
  if (!sample->x)
    return FALSE;
  sample->symbols = g_new (guint32, MAX (sample->n * d, 1));
  sample->metric = HYPER_METRIC_NONE;
  sample->unit = 1;
  if (!sample->weights)
    return TRUE;
  const HyperMetric metric = (HyperMetric) afp_context_get_metric_kind (ctx, d);
  const double unit = mean_weight (metric, d, sample->weights, sample->n);
  if (unit > 0 && isfinite (unit)) {
    sample->metric = metric;
    sample->unit = unit;
  }
  return TRUE;
}

/* Of the numbers, under the metric, as the tally has it of their errors. */
static double
sample_energy (const Sample *sample)
{
  const guint d = sample->lattice->dimension;
  const gsize stride = hyper_metric_stride (sample->metric, d);
  const gsize along = sample->metric == HYPER_METRIC_MATRIX ? d + 1 : 1;
  double sum = 0;

  for (gsize v = 0; v < sample->n; v++)
    for (guint i = 0; i < d; i++) {
      const double x = sample->x[v * d + i];
      const gsize at = v * stride + (sample->metric == HYPER_METRIC_SCALAR ? 0 : i * along);
      sum += (stride ? (double) sample->weights[at] : 1) * x * x;
    }
  return sum;
}

/* The mean, where it is not next to nothing; *deviation: from it. */
static double
find_centre (const Sample *sample, double *deviation)
{
  const gsize n = sample->n * sample->lattice->dimension;
  double sum = 0, squares = 0;

  for (gsize i = 0; i < n; i++)
    sum += sample->x[i];
  const double mean = n ? sum / (double) n : 0;
  for (gsize i = 0; i < n; i++)
    squares += (sample->x[i] - mean) * (sample->x[i] - mean);
  *deviation = n ? sqrt (squares / (double) n) : 0;
  return fabs (mean) > OFF_CENTRE * *deviation ? hyper_round (mean) : 0;
}

/* The largest distance from the centre. */
static gboolean
find_reach (AfpContext *ctx, double centre, double *reach, GError **error)
{
  const AfpLayout *layout = afp_context_get_layout (ctx);
  const guint64 cols = afp_layout_get_cols (layout), padded = afp_layout_get_padded_cols (layout);
  const guint quantum = afp_layout_get_quantum (layout);
  double mean_square;
  float largest;

  if (!afp_context_get_moments (ctx, &mean_square, &largest, NULL, error))
    return FALSE;
  *reach = largest;
  if (centre == 0)
    return TRUE;
  const guint64 step = MIN (padded, READ_AT_ONCE / quantum * quantum);
  g_autofree float *x = g_new (float, MAX (step, 1));
  *reach = 0;
  for (guint64 row = 0; row < afp_layout_get_rows (layout); row++)
    for (guint64 col = 0; col < padded; col += step) {
      const guint64 n = MIN (step, padded - col);
      if (!afp_context_read (ctx, row, 1, col, n, x, error))
        return FALSE;
      for (guint64 c = 0; c < MIN (n, cols - col); c++)
        *reach = fmax (*reach, fabs (x[c] - centre));
    }
  return TRUE;
}

static void
clear_tally (HyperLatticeTally *tally, guint32 *counts)
{
  memset (tally, 0, sizeof *tally);
  tally->counts = counts;
}

static double
code_sample (void *coder, double step, double lambda, const float *lengths, uint32_t *counts)
{
  Sample *sample = coder;
  const HyperLatticeCost cost = { lengths, lambda, sample->unit };
  HyperLatticeFrame frame;

  hyper_lattice_set_params (sample->lattice, step, &sample->tally, sample->params);
  clear_tally (&sample->tally, counts);
  if (!hyper_lattice_frame_init (&frame, sample->lattice, sample->params))
    return INFINITY;
  hyper_lattice_encode (sample->lattice, &frame, &cost, sample->metric, sample->weights, sample->x,
                        sample->n, sample->symbols);
  hyper_lattice_tally (sample->lattice, &frame, sample->metric, sample->weights, sample->x,
                       sample->n, sample->symbols, &sample->tally);
  return sample->tally.error;
}

/* Code lengths to go on from: those of the last fit, or none. */
static Kept *
make_kept (AfpContext *ctx, const HyperLattice *lattice, gboolean *warm)
{
  const Kept *last = afp_context_get_kept (ctx);
  const gsize n = (gsize) lattice->n_contexts * lattice->n_symbols;
  Kept *kept = g_new0 (Kept, 1);

  *warm = afp_context_has_fit (ctx) && last;
  kept->lengths = *warm ? g_memdup2 (last->lengths, n * sizeof (float)) : g_new0 (float, n);
  return kept;
}

/* Every so-manieth vector of a sample, to come near the step with. */
static void
thin_sample (const Sample *sample, Sample *thin)
{
  const guint d = sample->lattice->dimension;
  const gsize stride = hyper_metric_stride (sample->metric, d);

  *thin = *sample;
  thin->n = sample->n / THINNED;
  thin->x = g_new (float, thin->n *d);
  thin->weights = stride ? g_new (float, thin->n *stride) : NULL;
  thin->symbols = g_new (guint32, thin->n * d);
  for (gsize v = 0; v < thin->n; v++) {
    memcpy (thin->x + v * d, sample->x + v * THINNED * d, d * sizeof (float));
    if (stride)
      memcpy (thin->weights + v * stride, sample->weights + v * THINNED * stride,
              stride * sizeof (float));
  }
}

static void
search_step (AfpContext *ctx, const AfpHyper *self, Sample *sample, double deviation,
             double least_step)
{
  const HyperLattice *lattice = sample->lattice;
  gboolean warm;
  Kept *kept = make_kept (ctx, lattice, &warm);
  g_autofree guint32 *counts = g_new (guint32, (gsize) lattice->n_contexts * lattice->n_symbols);
  HyperRate rate = { .code = code_sample,
                     .coder = sample,
                     .n_contexts = lattice->n_contexts,
                     .n_symbols = lattice->n_symbols,
                     .n_weights = (double) sample->n * lattice->dimension,
                     .bits = hyper_bits (self),
                     .goal = self->nmse * sample_energy (sample),
                     .lambda = self->rdo,
                     .least_step = least_step,
                     .step = warm ? sample->params[1]
                                  : deviation * NEAR_STEP * exp2 (-hyper_bits (self)),
                     .lengths = kept->lengths,
                     .counts = counts };

  clear_tally (&sample->tally, counts);
  if (!warm && sample->n * lattice->dimension >= 2 * THIN_WEIGHTS) {
    g_auto (Sample) thin = { 0 };
    HyperRate near = rate;
    thin_sample (sample, &thin);
    near.coder = &thin;
    near.n_weights = (double) thin.n * lattice->dimension;
    near.goal = self->nmse * sample_energy (&thin);
    hyper_rate_search (&near, FALSE);
    rate.step = near.step;
    sample->tally = thin.tally;
    warm = TRUE;
  }
  hyper_rate_search (&rate, warm);
  hyper_lattice_set_params (lattice, rate.step, &sample->tally, sample->params);
  kept->unit = sample->unit;
  kept->metric = sample->metric;
  afp_context_keep (ctx, kept, kept_free);
}

/* max-error: the nearest whole number of steps is no farther. */
static void
bound_error (AfpContext *ctx, const HyperLattice *lattice, double most, float *params)
{
  Kept *kept = g_new0 (Kept, 1);

  memset (params, 0, lattice->n_params * sizeof *params);
  params[1] = -hyper_round_up (-2 * most * (1 - ROUNDING));
  kept->lengths = g_new0 (float, (gsize) lattice->n_contexts * lattice->n_symbols);
  kept->unit = 1;
  afp_context_keep (ctx, kept, kept_free);
}

static gboolean
lattice_fit (const AfpHyper *self, AfpContext *ctx, GError **error)
{
  g_auto (Sample) sample = { 0 };
  HyperLattice lattice;
  double deviation, reach;

  describe_lattice (self, afp_layout_get_input (afp_context_get_layout (ctx)), &lattice);
  sample.lattice = &lattice;
  sample.params = afp_context_get_values (ctx, CHILD_FRAMES);
  if (self->max_error > 0) {
    if (!find_reach (ctx, 0, &reach, error))
      return FALSE;
    bound_error (ctx, &lattice, self->max_error * reach, sample.params);
    return TRUE;
  }
  if (!take_sample (ctx, &sample, error))
    return FALSE;
  sample.params[0] = (float) find_centre (&sample, &deviation);
  if (!find_reach (ctx, sample.params[0], &reach, error))
    return FALSE;
  if (reach < LEAST_SIZE || sample.n == 0) {
    memset (sample.params + 1, 0, (lattice.n_params - 1) * sizeof (float));
    return TRUE;
  }
  search_step (ctx, self, &sample, deviation, fmax (reach / (lattice.offset - 2), LEAST_SIZE));
  return TRUE;
}

/* --- encode, decode --- */

typedef struct {
  HyperLattice lattice;
  HyperLatticeFrame frame;
  HyperLatticeCost cost;
  HyperMetric metric; /* that cost.unit is of */
  guint64 cols;       /* without padding */
} State;

static void
lattice_close (gpointer state)
{
  g_free (state);
}

static gpointer
lattice_open (const AfpHyper *self, AfpContext *ctx, GError **error)
{
  const AfpLayout *layout = afp_context_get_layout (ctx);
  const Kept *kept = afp_context_get_kept (ctx);
  State *state = g_new0 (State, 1);

  describe_lattice (self, afp_layout_get_input (layout), &state->lattice);
  state->cols = afp_layout_get_cols (layout);
  if (!hyper_lattice_frame_init (&state->frame, &state->lattice,
                                 afp_context_get_values (ctx, CHILD_FRAMES))) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                 "%s: the frame holds a number that is not finite: the plane 'frames' is damaged",
                 afp_context_get_name (ctx));
    lattice_close (state);
    return NULL;
  }
  state->cost.unit = 1;
  if (kept) {
    state->cost = (HyperLatticeCost){ kept->lengths, self->rdo, kept->unit };
    state->metric = kept->metric;
  }
  return state;
}

/* Another metric than that of the fit, from feedback: only what it says within a vector is comparable. */
static void
encode_relative (const State *state, HyperMetric metric, const float *weights, const float *x,
                 gsize n, guint32 *symbols)
{
  const HyperLatticeCost cost = { state->cost.lengths, state->cost.lambda, 1 };
  const guint d = state->lattice.dimension;
  const gsize stride = hyper_metric_stride (metric, d);
  const gsize along = metric == HYPER_METRIC_MATRIX ? d + 1 : metric == HYPER_METRIC_DIAGONAL;
  float own[RUN * 8];

  for (gsize done = 0; done < n; done += RUN) {
    const gsize count = MIN (RUN, n - done);
    for (gsize v = 0; v < count; v++) {
      const float *w = weights + (done + v) * stride;
      const double mean = mean_weight (metric, d, w, 1);
      for (guint i = 0; i < d; i++)
        own[v * d + i] = mean > 0 && isfinite (mean) ? (float) (w[i * along] / mean) : 1;
    }
    hyper_lattice_encode (&state->lattice, &state->frame, &cost, HYPER_METRIC_DIAGONAL, own,
                          x + done * d, count, symbols + done * d);
  }
}

static void
encode_run (const State *state, const AfpMetric *given, gsize first, const float *x, gsize n,
            guint32 *symbols)
{
  const guint d = state->lattice.dimension;
  const HyperMetric metric = (HyperMetric) given->kind;
  const gsize stride = hyper_metric_stride (metric, d);
  const float *weights = stride ? given->data + first * stride : NULL;

  if (stride && metric != state->metric)
    encode_relative (state, metric, weights, x, n, symbols);
  else
    hyper_lattice_encode (&state->lattice, &state->frame, &state->cost, metric, weights, x, n,
                          symbols);
}

static gboolean
lattice_encode_block (gpointer user_state, AfpBlock *block, GError **error)
{
  const State *state = user_state;
  const guint d = state->lattice.dimension;
  const gsize per_row = block->n_cols / d, n = block->n_rows * per_row;
  guint32 *symbols = block->planes[CHILD_SYMBOLS].codes;

  encode_run (state, &block->metric, 0, block->values, n, symbols);
  if (per_row == 0 || block->col + block->n_cols <= state->cols)
    return TRUE;
  for (gsize v = per_row - 1; v < n;
       v += per_row) { /* the last of each row reach beyond the edge */
    float x[8];
    memcpy (x, block->values + v * d, d * sizeof *x);
    for (guint64 c = block->col + block->n_cols - state->cols; c-- > 0;)
      if (c < d)
        x[d - 1 - c] = state->frame.centre;
    encode_run (state, &block->metric, v, x, 1, symbols + v * d);
  }
  return TRUE;
}

static gboolean
lattice_decode_block (gpointer user_state, AfpBlock *block, GError **error)
{
  const State *state = user_state;
  const guint d = state->lattice.dimension;
  const gsize per_row = block->n_cols / d, n = block->n_rows * per_row;
  const gsize done = hyper_lattice_decode (&state->lattice, &state->frame,
                                           block->planes[CHILD_SYMBOLS].codes, n, block->values);

  if (done == n)
    return TRUE;
  g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
               "a symbol of the vector at row %" G_GUINT64_FORMAT ", column %" G_GUINT64_FORMAT
               " is beyond the %u that a coordinate has: the plane 'symbols' is damaged",
               block->row + done / per_row, block->col + done % per_row * d,
               2 * (guint) state->lattice.offset);
  return FALSE;
}

const HyperForm hyper_form_lattice = {
  .describe = lattice_describe,
  .fit = lattice_fit,
  .open = lattice_open,
  .close = lattice_close,
  .encode_block = lattice_encode_block,
  .decode_block = lattice_decode_block,
  .scratch = lattice_scratch,
  .thread_scratch = lattice_thread_scratch,
};
