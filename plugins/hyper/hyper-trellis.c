/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hyper-trellis-kernel.h"
#include "hyper.h"

#include <string.h>

/*
 * trajectory=trellis: a path through a trellis, number by number, for an entropy coder behind it. Segments are pieces of a row, or some
 * short rows together, so that the state at their start costs little.
 */
enum { CHILD_PATHS, CHILD_FRAMES };

#define LONGEST_SEGMENT 8192u
#define SHORTEST_SEGMENT 1024u /* shorter rows are joined */
#define LONGEST_SAMPLE 2048u   /* numbers in a row */

/* --- layout --- */

/* Of rows so short that several make a segment: as many as divide all of them, else segments cross rows anywhere. */
static guint
join_rows (guint64 rows, guint64 cols)
{
  const guint64 n = rows * cols;

  for (guint64 r = (2 * SHORTEST_SEGMENT + cols - 1) / cols;
       r <= rows && r * cols <= LONGEST_SEGMENT; r++)
    if (rows % r == 0)
      return (guint) (r * cols);
  const guint64 pieces = (n + LONGEST_SEGMENT - 1) / LONGEST_SEGMENT;
  return (guint) ((n + pieces - 1) / pieces);
}

static guint
cut_row (guint64 cols)
{
  const guint64 pieces = (cols + LONGEST_SEGMENT - 1) / LONGEST_SEGMENT;

  return (guint) ((cols + pieces - 1) / pieces);
}

/* What hides in the descriptor for a coder: the trellis itself. */
static const AfpCodeMachine *
get_machine (guint n_states)
{
  static HyperTrellis trellises[9];
  static AfpCodeMachine machines[9]; /* of 2^i states */
  static gsize ready;

  if (g_once_init_enter (&ready)) {
    for (guint i = 0; i < G_N_ELEMENTS (machines); i++) {
      if (!hyper_trellis_has_states (1u << i))
        continue;
      hyper_trellis_init (&trellises[i], 1u << i);
      machines[i] = (AfpCodeMachine){ .n_states = 1u << i,
                                      .n_contexts = 2,
                                      .bits = 1,
                                      .next = trellises[i].next,
                                      .context = trellises[i].choice };
    }
    g_once_init_leave (&ready, 1);
  }
  return &machines[g_bit_nth_msf (n_states, -1)];
}

static gboolean
check_properties (const AfpHyper *self, GError **error)
{
  const char *why = NULL;

  if (!hyper_trellis_has_states (self->states)) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_PROPERTY,
                 "states=%u: there are trellises of 4, 8, 16, 32, 64, 128 and 256 states",
                 self->states);
    return FALSE;
  }
  if (self->frame != HYPER_FRAME_TENSOR)
    why = "frame=row and frame=group do not go with trajectory=trellis: one step for the tensor is "
          "best where an entropy coder follows; set frame=tensor";
  else if (afp_codec_feeds_back (AFP_CODEC ((gpointer) self)))
    why = "feedback=true does not go with trajectory=trellis, whose paths run through whole rows: "
          "take trajectory=lattice, or feedback=false";
  if (why)
    g_set_error_literal (error, AFP_ERROR, AFP_ERROR_PROPERTY, why);
  return why == NULL;
}

static gboolean
trellis_describe (const AfpHyper *self, AfpLayout *layout, GError **error)
{
  const AfpPlaneDesc *in = afp_layout_get_input (layout);
  const guint symbol_bits = hyper_symbol_width (self);

  if (!check_properties (self, error))
    return FALSE;
  const gboolean flat = in->cols < SHORTEST_SEGMENT && in->rows > 1;
  const guint length = flat ? join_rows (in->rows, in->cols) : cut_row (in->cols);
  afp_layout_set_quantum (layout, length);
  afp_layout_set_flat (layout, flat);
  afp_layout_set_tile_weights (layout, (guint64) HYPER_TRELLIS_LANES * length);
  afp_layout_set_open_loop (layout, "a path runs through many numbers");
  hyper_leave_out (layout, "join", "points", "classes", "dimension", "frame-size", "lattice",
                   "degree", "segments", NULL);
  afp_layout_set_param (layout, "symbol-bits", symbol_bits);
  const guint paths = afp_layout_add_code (layout, "paths", length, symbol_bits);
  afp_layout_set_machine (layout, paths, get_machine (self->states));
  afp_layout_add_tensor_float (layout, "frames", AFP_KIND_FRAME, 1, HYPER_TRELLIS_PARAMS,
                               HYPER_TRELLIS_PARAMS);
  return TRUE;
}

/* --- memory --- */

/* Numbers of the sample: more where few symbols tell anything. */
static guint
sample_size (const AfpHyper *self)
{
  return hyper_bits (self) < 0.75 ? 1u << 19 : 1u << 17;
}

/* Numbers in a row of the sample: a divisor of the segment, not too short. */
static guint
sample_length (guint quantum)
{
  for (guint parts = (quantum + LONGEST_SAMPLE - 1) / LONGEST_SAMPLE; parts < 32; parts++)
    if (quantum % parts == 0)
      return quantum / parts;
  return quantum;
}

static guint64
trellis_scratch (const AfpHyper *self, const AfpLayout *layout)
{
  const guint length = sample_length (afp_layout_get_quantum (layout));
  const guint64 total = afp_layout_get_rows (layout) * afp_layout_get_padded_cols (layout);
  const guint64 n = MIN (total, MAX (sample_size (self), length));
  HyperTrellis trellis = { .n_states = self->states };
  const HyperTrellisFit fit = { .trellis = &trellis,
                                .n_segments = n / length,
                                .length = length,
                                .bits = hyper_symbol_width (self) };

  return hyper_trellis_fit_scratch_bytes (&fit) +
         n * (3 + (guint64) (length <= 64 ? length : 0)) * sizeof (float);
}

static guint64
trellis_thread_scratch (const AfpHyper *self, const AfpLayout *layout)
{
  const guint length = afp_layout_get_quantum (layout);

  return hyper_trellis_scratch_bytes (self->states, length) +
         (guint64) HYPER_TRELLIS_LANES * length * sizeof (float);
}

/* --- fit --- */

static gboolean
trellis_fit (const AfpHyper *self, AfpContext *ctx, GError **error)
{
  const AfpLayout *layout = afp_context_get_layout (ctx);
  const guint length = sample_length (afp_layout_get_quantum (layout));
  HyperTrellis trellis;
  HyperTrellisFit fit = { .trellis = &trellis,
                          .length = length,
                          .bits = hyper_symbol_width (self) };
  AfpMetric metric = { afp_context_get_metric_kind (ctx, length), length, NULL };
  g_autofree float *data = NULL, *weights = NULL;
  g_autofree float *x = afp_context_sample (ctx, MAX (sample_size (self) / length, 1), length,
                                            &fit.n_segments, &data, error);

  if (!x || !afp_context_get_moments (ctx, NULL, &fit.peak, NULL, error))
    return FALSE;
  if (data) {
    metric.data = data;
    weights = g_new (float, fit.n_segments *length);
    afp_metric_read_diagonal (&metric, 0, fit.n_segments, weights);
  }
  hyper_trellis_init (&trellis, self->states);
  fit.x = x;
  fit.nmse = self->nmse;
  fit.weights = weights;
  fit.scratch = g_malloc (hyper_trellis_fit_scratch_bytes (&fit));
  hyper_trellis_fit (&fit, hyper_bits (self));
  g_free (fit.scratch);
  memcpy (afp_context_get_values (ctx, CHILD_FRAMES), fit.params, sizeof fit.params);
  afp_context_keep (ctx, g_memdup2 (&fit.cost, sizeof fit.cost), g_free);
  return TRUE;
}

/* --- blocks --- */

typedef struct {
  HyperTrellis trellis;
  HyperTrellisFrame frame;
  HyperTrellisCost cost; /* encoder only */
  guint length;
  guint bits;
  float points[]; /* of both unions */
} TrellisState;

static gpointer
trellis_open (const AfpHyper *self, AfpContext *ctx, GError **error)
{
  const guint bits = hyper_symbol_width (self);
  TrellisState *state = g_malloc0 (sizeof *state + (sizeof (float) << (bits + 1)));
  const HyperTrellisCost *cost = afp_context_get_kept (ctx);

  state->length = afp_layout_get_quantum (afp_context_get_layout (ctx));
  state->bits = bits;
  hyper_trellis_init (&state->trellis, self->states);
  if (cost)
    state->cost = *cost;
  if (!hyper_trellis_frame_init (&state->frame, afp_context_get_values (ctx, CHILD_FRAMES))) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                 "%s: the step is no positive number, or a shift is longer than two steps: the "
                 "plane 'frames' is damaged",
                 afp_context_get_name (ctx));
    g_free (state);
    return NULL;
  }
  hyper_trellis_points (&state->frame, bits, state->points);
  return state;
}

static gboolean
trellis_encode_block (gpointer user_state, AfpBlock *block, GError **error)
{
  const TrellisState *state = user_state;
  const gsize n = block->n_rows * block->n_cols;
  g_autofree gpointer scratch =
      g_malloc (hyper_trellis_scratch_bytes (state->trellis.n_states, state->length));
  g_autofree float *weights = NULL;

  if (block->metric.kind != AFP_METRIC_NONE) {
    weights = g_new (float, n);
    afp_metric_read_diagonal (&block->metric, 0, n / block->metric.length, weights);
  }
  hyper_trellis_encode (&state->trellis, &state->frame, &state->cost, weights, block->values,
                        n / state->length, state->length, state->bits, scratch,
                        block->planes[CHILD_PATHS].codes);
  return TRUE;
}

static gboolean
trellis_decode_block (gpointer user_state, AfpBlock *block, GError **error)
{
  const TrellisState *state = user_state;
  const gsize n = block->n_rows * block->n_cols;
  const guint32 *symbols = block->planes[CHILD_PATHS].codes;
  const gsize bad =
      hyper_trellis_decode (&state->trellis, state->points, symbols, n / state->length,
                            state->length, state->bits, block->values);

  if (bad == n)
    return TRUE;
  g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
               "symbol %u at row %" G_GUINT64_FORMAT ", column %" G_GUINT64_FORMAT
               " is out of range 1..%u: the plane 'paths' is damaged",
               symbols[bad], block->row + bad / block->n_cols, block->col + bad % block->n_cols,
               (1u << state->bits) - 1);
  return FALSE;
}

const HyperForm hyper_form_trellis = {
  .describe = trellis_describe,
  .fit = trellis_fit,
  .open = trellis_open,
  .close = g_free,
  .encode_block = trellis_encode_block,
  .decode_block = trellis_decode_block,
  .scratch = trellis_scratch,
  .thread_scratch = trellis_thread_scratch,
};
