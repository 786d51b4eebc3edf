/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "seedlm.h"
#include "seedlm-decode-kernel.h"
#include "seedlm-fit.h"

#include <math.h>
#include <string.h>

#define PIECE 65536 /* blocks scaled and searched in one go, at most */

guint
seedlm_resolved_leap (const AfpSeedlm *self)
{
  return self->leap ? self->leap : seedlm_leap_default (self->seed_bits);
}

SeedlmTables *
seedlm_take_tables (AfpSeedlm *self, GError **error)
{
  SeedlmTables *tables = seedlm_tables_get (self->seed_bits, seedlm_resolved_leap (self),
                                            self->block_size, self->rank, TRUE, error);

  if (!tables)
    return NULL;
  g_mutex_lock (&self->lock);
  if (!self->tables)
    self->tables = seedlm_tables_get (self->seed_bits, seedlm_resolved_leap (self),
                                      self->block_size, self->rank, FALSE, NULL);
  g_mutex_unlock (&self->lock);
  return tables;
}

guint64
seedlm_list_bytes (const AfpSeedlm *self, const AfpLayout *layout)
{
  const guint64 weights = afp_layout_get_rows (layout) * afp_layout_get_padded_cols (layout);
  SeedlmListsShape shape;

  if (self->candidates > 0 || weights < SEEDLM_LISTS_MIN_WEIGHTS ||
      !seedlm_lists_shape (self->seed_bits, self->block_size, self->rank, &shape) ||
      !(shape.is_exact || self->search == SEEDLM_SEARCH_FAST))
    return 0;
  return seedlm_lists_bytes (self->seed_bits, self->block_size, &shape);
}

guint64
seedlm_piece_bytes (const AfpSeedlm *self, const AfpLayout *layout)
{
  const guint64 weights = afp_layout_get_rows (layout) * afp_layout_get_padded_cols (layout);
  const guint64 piece = MIN (weights / self->block_size, (guint64) PIECE);
  SeedlmListsShape shape;
  guint64 bytes = piece * (self->block_size + 2 * self->rank + 1) * sizeof (float);

  if (seedlm_list_bytes (self, layout) > 0 &&
      seedlm_lists_shape (self->seed_bits, self->block_size, self->rank, &shape))
    bytes += seedlm_search_lists_bytes (self->block_size, self->rank, &shape);
  return bytes;
}

SeedlmWorkers *
seedlm_take_workers (AfpSeedlm *self, SeedlmTables *tables, AfpContext *ctx, guint n_codes,
                     GError **error)
{
  const SeedlmLists *lists = NULL;
  const char *warning = NULL;

  if (seedlm_list_bytes (self, afp_context_get_layout (ctx)) > 0 &&
      afp_context_get_metric_kind (ctx, self->block_size) == AFP_METRIC_NONE &&
      !(lists = seedlm_tables_get_lists (tables, afp_context_get_pool (ctx), &warning, error)))
    return NULL;
  if (warning)
    seedlm_tell (self, AFP_MESSAGE_WARNING, warning);
  return seedlm_workers_new (seedlm_tables_get_basis (tables), n_codes, lists,
                             self->search == SEEDLM_SEARCH_EXACT || !lists ? 0
                                                                           : lists->shape.enough);
}

/* --- open ------------------------------------------------------------------------------------------------------------ */

typedef struct {
  SeedlmDecoder *decoder;
  SeedlmTables *tables; /* NULL while decoding, as what belongs to it */
  const SeedlmSequence *sequence;
  SeedlmWorkers *workers;
  SeedlmDevice *device; /* (unowned): NULL: the processor searches */
  guint mantissa_bits;  /* there, of coefficients */
  float *scales;        /* NULL: none */
  guint64 n_scales;     /* 1, or one per row */
  guint n_codes;
  GMutex lock;
  gboolean has_zero; /* under lock until set */
  SeedlmZero zero;
  guint32 *zero_codes;
} SeedlmState;

void
seedlm_close (AfpCodec *codec, gpointer user_state)
{
  SeedlmState *state = user_state;

  g_clear_pointer (&state->decoder, seedlm_decoder_free);
  g_clear_pointer (&state->workers, seedlm_workers_free);
  g_clear_pointer (&state->tables, seedlm_tables_unref);
  g_mutex_clear (&state->lock);
  g_free (state->scales);
  g_free (state->zero_codes);
  g_free (state);
}

float *
seedlm_copy_scales (AfpContext *ctx, guint child, guint64 *n, GError **error)
{
  const AfpPlaneDesc *desc = afp_layout_get_child (afp_context_get_layout (ctx), child);
  g_autofree float *scales =
      g_memdup2 (afp_context_get_values (ctx, child), desc->rows * desc->cols * sizeof (float));

  *n = desc->rows * desc->cols;
  for (guint64 i = 0; i < *n; i++)
    if (!isfinite (scales[i])) {
      g_set_error (error, AFP_ERROR, AFP_ERROR_FORMAT,
                   "%s/scale: number %" G_GUINT64_FORMAT " is not finite: the file is damaged",
                   afp_context_get_name (ctx), i);
      return NULL;
    }
  return g_steal_pointer (&scales);
}

/* Why a plane is searched on the processor, whatever device= says; NULL: it need not be. */
static const char *
why_on_cpu (const AfpSeedlm *self, AfpContext *ctx, AfpQuantizer *quantizer)
{
  if (self->search == SEEDLM_SEARCH_FAST)
    return "search=fast is for the CPU";
  if (self->candidates > 0)
    return "candidates= is for the CPU";
  if (afp_context_get_metric_kind (ctx, self->block_size) != AFP_METRIC_NONE)
    return "it has a metric";
  if (quantizer && !afp_claim_is_fallback (afp_quantizer_get_claim (quantizer)))
    return "a codec that takes the coefficients is asked about each seed";
  return NULL;
}

/* One for the element, as the tables. device=auto: none is no error. */
static gboolean
take_device (AfpSeedlm *self, SeedlmState *state, AfpContext *ctx, AfpQuantizer *quantizer,
             GError **error)
{
  const char *why = why_on_cpu (self, ctx, quantizer);

  if (self->device == AFP_DEVICE_CPU ||
      (self->device == AFP_DEVICE_AUTO && seedlm_device_missing ()))
    return TRUE;
  if (why) {
    g_autofree char *text =
        g_strdup_printf ("%s: searched on the CPU: %s", afp_context_get_name (ctx), why);
    seedlm_tell (self, AFP_MESSAGE_INFO, text);
    return TRUE;
  }
  g_mutex_lock (&self->lock);
  if (!self->gpu)
    self->gpu = seedlm_device_new (seedlm_tables_get_basis (state->tables), error);
  state->device = self->gpu;
  g_mutex_unlock (&self->lock);
  state->mantissa_bits = quantizer ? self->coeff_bits : 0;
  return state->device != NULL;
}

static gboolean
open_encoder (AfpSeedlm *self, SeedlmState *state, AfpContext *ctx, GError **error)
{
  AfpQuantizer *quantizer = afp_context_get_quantizer (ctx, SEEDLM_CHILD_COEFFS);

  state->tables = seedlm_take_tables (self, error);
  if (!state->tables)
    return FALSE;
  state->sequence = seedlm_tables_get_sequence (state->tables);
  state->n_codes = quantizer ? afp_quantizer_get_n_codes (quantizer) : 0;
  state->zero_codes = g_new0 (guint32, state->n_codes + 1);
  state->workers = seedlm_take_workers (self, state->tables, ctx, state->n_codes, error);
  return state->workers != NULL && take_device (self, state, ctx, quantizer, error);
}

static gboolean
open_decoder (const AfpSeedlm *self, SeedlmState *state, GError **error)
{
  state->decoder = seedlm_decoder_new (self->seed_bits, seedlm_resolved_leap (self),
                                       self->block_size, self->rank);
  if (!state->decoder)
    g_set_error (error, AFP_ERROR, AFP_ERROR_MEMORY,
                 "seedlm: no memory for tables of up to %d bytes to decode with",
                 SEEDLM_DECODER_BYTES);
  return state->decoder != NULL;
}

gpointer
seedlm_open (AfpCodec *codec, AfpContext *ctx, GError **error)
{
  AfpSeedlm *self = AFP_SEEDLM (codec);
  SeedlmState *state = g_new0 (SeedlmState, 1);

  g_mutex_init (&state->lock);
  const gboolean scaled = self->scale != SEEDLM_SCALE_NONE;
  if (scaled)
    state->scales = seedlm_copy_scales (ctx, SEEDLM_CHILD_SCALE, &state->n_scales, error);
  if ((state->scales || !scaled) && open_decoder (self, state, error) &&
      (afp_context_is_decoding (ctx) || open_encoder (self, state, ctx, error)))
    return state;
  seedlm_close (codec, state);
  return NULL;
}

/* --- encode ---------------------------------------------------------------------------------------------------------- */

static gboolean
has_zero_block (const float *blocks, gsize n, guint block_size)
{
  for (gsize b = 0; b < n; b++) {
    guint i = 0;
    while (i < block_size && blocks[b * block_size + i] == 0)
      i++;
    if (i == block_size)
      return TRUE;
  }
  return FALSE;
}

/* The choice for a block of zeros takes long where no seed gives zeros exactly: once per plane. */
static const SeedlmZero *
get_zero (const AfpSeedlm *self, SeedlmState *state, const SeedlmSearchParams *params,
          SeedlmSearch *search)
{
  const float block[SEEDLM_MAX_BLOCK] = { 0 };
  g_autoptr (GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&state->lock);

  if (!state->has_zero) {
    if (!seedlm_search_run (search, params, block, NULL, 1, &state->zero.seed, state->zero.t_hat,
                            state->zero_codes, &state->zero.error))
      return NULL;
    state->zero.codes = state->zero_codes;
    state->has_zero = TRUE;
  }
  return &state->zero;
}

/* Blocks of the rectangle that are searched together: n of them, each @stride after the one before. */
typedef struct {
  gsize first, stride, n;
  const float *weights; /* block_size for each block of the rectangle; NULL: none */
} Run;

/* Blocks from..from+n of the run, divided by their scale. */
static void
scale_piece (const SeedlmState *state, const AfpBlock *block, guint block_size, const Run *run,
             gsize from, gsize n, float *out)
{
  const gsize per_row = block->n_cols / block_size;

  for (gsize b = 0; b < n; b++) {
    const gsize index = run->first + (from + b) * run->stride;
    const float *in = block->values + index * block_size;
    const guint64 row = state->n_scales > 1 ? block->row + index / per_row : 0;
    const float scale = state->scales ? state->scales[row] : 1;
    for (guint i = 0; i < block_size; i++, out++)
      *out = seedlm_divide (in[i], scale);
  }
}

/* What the search found for blocks from..from+n of the run. */
static void
store_piece (const SeedlmState *state, AfpBlock *block, guint rank, const Run *run, gsize from,
             gsize n, const guint32 *seeds, const float *t, const guint32 *codes)
{
  AfpBlockPlane *coeffs = &block->planes[SEEDLM_CHILD_COEFFS];

  for (gsize b = 0; b < n; b++) {
    const gsize index = run->first + (from + b) * run->stride;
    block->planes[SEEDLM_CHILD_SEEDS].codes[index] = seeds[b];
    memcpy (coeffs->values + index * rank, t + b * rank, rank * sizeof *t);
    if (coeffs->quantizer_codes)
      memcpy (coeffs->quantizer_codes + index * state->n_codes, codes + b * state->n_codes,
              state->n_codes * sizeof *codes);
  }
}

static gboolean
encode_run (const AfpSeedlm *self, SeedlmState *state, AfpBlock *block, const Run *run,
            SeedlmSearch *search, GError **error)
{
  const guint block_size = self->block_size, rank = self->rank;
  AfpBlockPlane *coeffs = &block->planes[SEEDLM_CHILD_COEFFS];
  SeedlmAsk ask = { coeffs->quantizer, rank, error };
  SeedlmSearchParams params = { .quantize = coeffs->quantizer ? seedlm_ask_quantize : NULL,
                                .user_data = &ask,
                                .n_codes = state->n_codes,
                                .max_candidates = self->candidates };
  SeedlmDevice *device = block->metric.kind == AFP_METRIC_NONE ? state->device : NULL;
  const gsize piece = MIN (run->n, (gsize) PIECE);
  g_autofree float *scaled = g_new (float, piece *block_size);
  g_autofree float *t = g_new (float, piece *rank);
  g_autofree guint32 *seeds = g_new (guint32, piece);
  g_autofree guint32 *codes = g_new (guint32, piece * state->n_codes + 1);

  for (gsize from = 0; from < run->n; from += piece) {
    const gsize n = MIN (piece, run->n - from);
    scale_piece (state, block, block_size, run, from, n, scaled);
    if (!params.zero && has_zero_block (scaled, n, block_size) &&
        !(params.zero = get_zero (self, state, &params, search)))
      return FALSE;
    if (device ? !seedlm_device_search (device, &params, state->mantissa_bits, scaled, n, seeds, t,
                                        codes, error)
               : !seedlm_search_run (search, &params, scaled,
                                     run->weights ? run->weights + from * block_size : NULL, n,
                                     seeds, t, codes, NULL))
      return FALSE;
    store_piece (state, block, rank, run, from, n, seeds, t, codes);
  }
  return TRUE;
}

/* --- metrics --------------------------------------------------------------------------------------------------------- */

/* Do the blocks of a column have one metric, whatever their row? */
static gboolean
is_by_column (const AfpBlock *block, guint block_size)
{
  const AfpMetric *metric = &block->metric;
  const gsize n = block->n_cols / block_size * afp_metric_stride (metric->kind, block_size);

  if (metric->length != block_size || !metric->data ||
      (metric->kind != AFP_METRIC_DIAGONAL && metric->kind != AFP_METRIC_MATRIX))
    return FALSE;
  for (guint64 r = 1; r < block->n_rows; r++)
    if (memcmp (metric->data, metric->data + r * n, n * sizeof (float)) != 0)
      return FALSE;
  return TRUE;
}

/* A block's metric as a matrix, made positive definite; FALSE if it is a multiple of 1. */
static gboolean
get_matrix (const AfpMetric *metric, gsize index, guint length, float *m)
{
  const float *g = metric->data + index * afp_metric_stride (metric->kind, length);
  gboolean plain = TRUE;
  float top = 0;

  memset (m, 0, (gsize) length * length * sizeof *m);
  for (guint i = 0; i < length; i++)
    for (guint j = 0; j < length; j++) {
      if (metric->kind == AFP_METRIC_MATRIX)
        m[i * length + j] = g[i * length + j];
      else if (i == j)
        m[i * length + i] = g[i];
      plain = plain && m[i * length + j] == (i == j ? m[0] : 0);
      top = MAX (top, m[i * length + j]);
    }
  for (guint i = 0; i < length; i++)
    m[i * length + i] += top * SEEDLM_MIN_WEIGHT;
  return !plain && top > 0 && isfinite (top);
}

/* Column after column of blocks, each under its metric. */
static gboolean
encode_columns (const AfpSeedlm *self, SeedlmState *state, AfpBlock *block, SeedlmSearch *search,
                GError **error)
{
  const guint length = self->block_size;
  const gsize per_row = block->n_cols / length;
  g_autofree float *m = g_new (float, (gsize) length *length);

  for (gsize q = 0; q < per_row; q++) {
    const Run run = { .first = q, .stride = per_row, .n = block->n_rows };
    const float *matrix = get_matrix (&block->metric, q, length, m) ? m : NULL;
    if (!seedlm_search_weigh (search, matrix)) {
      g_set_error (error, AFP_ERROR, AFP_ERROR_MEMORY,
                   "seedlm: no memory to search under a metric: %" G_GUINT64_FORMAT " bytes",
                   seedlm_search_weigh_bytes (search));
      return FALSE;
    }
    if (!encode_run (self, state, block, &run, search, error))
      return FALSE;
  }
  return TRUE;
}

/* Without a quantizer the coefficients go on as numbers, with their metric. */
static void
fill_metric (const AfpSeedlm *self, const SeedlmState *state, AfpBlock *block, const float *weights)
{
  const guint block_size = self->block_size, rank = self->rank;
  const gsize n_blocks = block->n_rows * (block->n_cols / block_size);
  const gboolean matrix = weights && block->metric.kind == AFP_METRIC_MATRIX;
  const float zeros[SEEDLM_MAX_BLOCK] = { 0 };
  float t[SEEDLM_MAX_RANK];

  for (gsize b = 0; b < n_blocks; b++) {
    const float *u =
        seedlm_block_values (state->sequence, block->planes[SEEDLM_CHILD_SEEDS].codes[b]);
    float *out = block->planes[SEEDLM_CHILD_COEFFS].metric + b * rank * rank;
    if (matrix)
      seedlm_project_metric (u, block_size, rank, zeros,
                             block->metric.data + b * block_size * block_size, t, out);
    else
      seedlm_project (u, block_size, rank, zeros, weights ? weights + b * block_size : NULL, t,
                      out);
  }
}

gboolean
seedlm_encode_block (AfpCodec *codec, gpointer user_state, AfpBlock *block, GError **error)
{
  const AfpSeedlm *self = AFP_SEEDLM (codec);
  SeedlmState *state = user_state;
  const gsize n_blocks = block->n_rows * (block->n_cols / self->block_size);
  g_autofree float *weights = block->metric.length == self->block_size
                                  ? seedlm_weights_new (&block->metric, n_blocks)
                                  : NULL;
  SeedlmSearch *search = seedlm_workers_take (state->workers, error);
  gboolean ok;

  if (!search)
    return FALSE;
  if (is_by_column (block, self->block_size)) {
    ok = encode_columns (self, state, block, search, error);
    seedlm_search_weigh (search, NULL);
  } else {
    const Run all = { .stride = 1, .n = n_blocks, .weights = weights };
    ok = encode_run (self, state, block, &all, search, error);
  }
  seedlm_workers_give (state->workers, search);
  if (ok && block->planes[SEEDLM_CHILD_COEFFS].metric)
    fill_metric (self, state, block, weights);
  return ok;
}

/* --- decode ---------------------------------------------------------------------------------------------------------- */

static gboolean
check_seeds (const SeedlmDecoder *decoder, const AfpBlock *block, GError **error)
{
  const gsize per_row = block->n_cols / decoder->block_size, n = block->n_rows * per_row;
  const guint32 *seeds = block->planes[SEEDLM_CHILD_SEEDS].codes;

  for (gsize i = 0; i < n; i++)
    if (seeds[i] == 0 || seeds[i] > decoder->period) {
      g_set_error (
          error, AFP_ERROR, AFP_ERROR_FORMAT,
          "seed %u at row %" G_GUINT64_FORMAT ", column %" G_GUINT64_FORMAT
          " is no state of a register of seed-bits=%u, 1 to %u: the plane 'seeds' is damaged",
          seeds[i], block->row + i / per_row, block->col + i % per_row * decoder->block_size,
          decoder->seed_bits, decoder->period);
      return FALSE;
    }
  return TRUE;
}

gboolean
seedlm_decode_block (AfpCodec *codec, gpointer user_state, AfpBlock *block, GError **error)
{
  const SeedlmState *state = user_state;
  const SeedlmDecoder *decoder = state->decoder;
  const gsize per_row = block->n_cols / decoder->block_size;
  const guint32 *seeds = block->planes[SEEDLM_CHILD_SEEDS].codes;
  const float *t = block->planes[SEEDLM_CHILD_COEFFS].values;
  const gsize rows_at_once = state->n_scales > 1 ? 1 : block->n_rows;

  if (!check_seeds (decoder, block, error))
    return FALSE;
  for (gsize r = 0; r < block->n_rows; r += rows_at_once)
    seedlm_decoder_run (decoder, seeds + r * per_row, t + r * per_row * decoder->rank,
                        state->scales ? state->scales[state->n_scales > 1 ? block->row + r : 0] : 1,
                        rows_at_once * per_row, block->values + r * block->n_cols);
  return TRUE;
}
