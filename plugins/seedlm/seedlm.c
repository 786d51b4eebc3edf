/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "seedlm.h"
#include "seedlm-fit.h"
#include "seedlm-shift-kernel.h"
#include "seedlm-weigh-kernel.h"

#include <math.h>

/*
 * seedlm: a block of weights becomes the seed of a shift register and a few coefficients (SeedLM, arXiv 2410.10714). The register's
 * values make a matrix U; the block is U times the coefficients. Of all seeds the one is taken whose error is least after
 * the coefficients have been quantized by whoever will store them. Format and search: SPEC.md.
 */

G_DEFINE_FINAL_TYPE (AfpSeedlm, afp_seedlm, AFP_TYPE_CODEC)

static const char *const layout_values[] = { "auto", "row", "flat", NULL };
static const char *const search_values[] = { "exact", "fast", NULL };
static const char *const scale_values[] = { "none", "tensor", "row", NULL };

static const AfpProperty seedlm_properties[] = {
  AFP_PROP_UINT ("block-size", "C", AFP_PROPERTY_FORMAT, AfpSeedlm, block_size, 1, SEEDLM_MAX_BLOCK,
                 "12", "weights", "Weights that share a seed"),
  AFP_PROP_UINT ("rank", "P", AFP_PROPERTY_FORMAT, AfpSeedlm, rank, 1, SEEDLM_MAX_RANK, "4",
                 "coefficients", "Coefficients per block, at most block-size"),
  AFP_PROP_UINT ("seed-bits", "K", AFP_PROPERTY_FORMAT, AfpSeedlm, seed_bits, SEEDLM_MIN_SEED_BITS,
                 SEEDLM_MAX_SEED_BITS, "16", "bits",
                 "Bits of the shift register; 2^K - 1 seeds are searched"),
  AFP_PROP_UINT (
      "leap", NULL, AFP_PROPERTY_FORMAT | AFP_PROPERTY_AUTO, AfpSeedlm, leap, 1,
      (1 << SEEDLM_MAX_SEED_BITS) - 2, "auto", "clocks",
      "Clocks of the register from one value to the next, coprime with 2^K - 1; 1 is the paper's, auto takes 16"),
  AFP_PROP_ENUM (
      "layout", NULL, AFP_PROPERTY_FORMAT, AfpSeedlm, layout, "auto", layout_values,
      "Blocks stay in their row, or cross rows (flat, the paper's); auto: row, but flat where that would pad too much and feedback does not need rows"),
  AFP_PROP_ENUM ("scale", NULL, AFP_PROPERTY_FORMAT, AfpSeedlm, scale, "tensor", scale_values,
                 "Divide by the root mean square of the tensor or of each row first"),
  AFP_PROP_UINT ("coeff-bits", NULL, 0, AfpSeedlm, coeff_bits, 2, 8, "4", "bits",
                 "Bits of a coefficient's mantissa where no other codec takes the coefficients"),
  AFP_PROP_UINT ("samples", NULL, 0, AfpSeedlm, samples, 1, 1 << 20, "16384", "blocks",
                 "Blocks that the quantizer of the coefficients is fitted to, at most"),
  AFP_PROP_UINT ("rounds", NULL, 0, AfpSeedlm, rounds, 0, 100, "4", NULL,
                 "Rounds of choosing seeds and fitting that quantizer again"),
  AFP_PROP_UINT ("candidates", NULL, AFP_PROPERTY_AUTO, AfpSeedlm, candidates, 1, 1 << 20, "auto",
                 "seeds",
                 "Seeds tried per block, at most; auto: as many as the true minimum takes"),
  AFP_PROP_BOOL (
      "overlap", NULL, AFP_PROPERTY_FORMAT, AfpSeedlm, overlap, "false",
      "Instead of blocks: the seed is a window that moves over the stream of bits, and its hash gives the weights"),
  AFP_PROP_UINT ("state-bits", "L", AFP_PROPERTY_FORMAT, AfpSeedlm, state_bits,
                 SEEDLM_SHIFT_MIN_STATE_BITS, SEEDLM_SHIFT_MAX_STATE_BITS, "12", "bits",
                 "With overlap: bits of the window; one more halves the speed"),
  AFP_PROP_UINT ("step-bits", NULL, AFP_PROPERTY_FORMAT, AfpSeedlm, step_bits, 1,
                 SEEDLM_SHIFT_MAX_STEP_BITS, "2", "bits", "With overlap: new bits per step"),
  AFP_PROP_UINT ("step-length", NULL, AFP_PROPERTY_FORMAT, AfpSeedlm, step_length, 1,
                 SEEDLM_SHIFT_MAX_STEP_LENGTH, "1", "weights", "With overlap: weights per step"),
  AFP_PROP_UINT (
      "segment", NULL, AFP_PROPERTY_FORMAT | AFP_PROPERTY_AUTO, AfpSeedlm, segment, 1, 4096, "auto",
      "weights",
      "With overlap: weights whose stream is closed to a ring, coded by themselves; auto: equal parts of a row, up to 512 steps"),
  AFP_PROP_ENUM (
      "search", NULL, 0, AfpSeedlm, search, "exact", search_values,
      "The best of all seeds, or the best of some thousand near ones (fast), which costs about 0.04 dB; for K=16, C of 12 or less and large tensors"),
  AFP_PROP_DEVICE (
      AfpSeedlm, device,
      "Where seeds are searched; cuda, auto: the exact search where mantissas store the coefficients and there is no metric, the rest on the "
      "CPU; the bytes are the same"),
};

static const AfpPreset seedlm_presets[] = {
  { "paper-4bit", "block-size=8 rank=3 seed-bits=16 leap=1 layout=flat scale=tensor coeff-bits=4",
    "The paper's 4 bits per weight, with one scale per tensor" },
  { "paper-3bit", "block-size=12 rank=4 seed-bits=16 leap=1 layout=flat scale=tensor coeff-bits=4",
    "The paper's 3 bits per weight, with one scale per tensor" },
  { "fast", "block-size=8 rank=3 seed-bits=12",
    "3.5 bits per weight, six times as fast to encode as 16 seed-bits" },
  { "joint-3.0", "block-size=8 rank=3 seed-bits=16 samples=131072 rounds=16",
    "3 bits per weight with vptq preset=joint-3.0 behind it" },
  { "joint-2.5", "block-size=10 rank=4 seed-bits=16 samples=65536 rounds=8",
    "2.5 bits per weight with vptq preset=joint-2.5 behind it" },
  { "joint-2.0", "block-size=12 rank=4 seed-bits=16 samples=65536 rounds=8",
    "2 bits per weight with vptq preset=joint-2.0 behind it" },
  { "joint-1.5", "block-size=16 rank=4 seed-bits=16 samples=65536 rounds=8",
    "1.5 bits per weight with vptq preset=joint-1.5 behind it" },
  { "joint-1.0", "block-size=20 rank=4 seed-bits=16 samples=65536 rounds=8",
    "1 bit per weight with vptq preset=joint-1.0 behind it" },
  { "joint-0.5", "block-size=40 rank=3 seed-bits=16 samples=65536 rounds=8",
    "Half a bit per weight with vptq preset=joint-0.5 behind it" },
  { "shift-2.0", "overlap=true state-bits=12 step-bits=2 step-length=1",
    "2 bits per weight, with overlapping seeds" },
  { "shift-1.5", "overlap=true state-bits=12 step-bits=3 step-length=2",
    "1.5 bits per weight, with overlapping seeds" },
  { "shift-1.0", "overlap=true state-bits=12 step-bits=1 step-length=1",
    "1 bit per weight, with overlapping seeds" },
  { "shift-0.5", "overlap=true state-bits=12 step-bits=1 step-length=2",
    "Half a bit per weight, with overlapping seeds" },
};

/* --- layout ---------------------------------------------------------------------------------------------------------- */

/* Properties that no data can be coded with. */
static gboolean
check_format (const AfpSeedlm *self, AfpError code, GError **error)
{
  const guint leap = seedlm_resolved_leap (self), period = (1u << self->seed_bits) - 1;

  if (self->scale == SEEDLM_SCALE_ROW && self->layout == SEEDLM_LAYOUT_FLAT) {
    g_set_error (
        error, AFP_ERROR, code,
        "scale=row cannot go with layout=flat, whose blocks cross rows: take layout=row or scale=tensor");
    return FALSE;
  }
  if (self->overlap)
    return seedlm_shift_check_format (self, code, error);
  if (self->rank > self->block_size) {
    g_set_error (error, AFP_ERROR, code,
                 "rank=%u is more than block-size=%u: take a rank of at most %u", self->rank,
                 self->block_size, self->block_size);
    return FALSE;
  }
  if (leap >= period || !seedlm_leap_is_coprime (self->seed_bits, leap)) {
    g_set_error (error, AFP_ERROR, code,
                 "leap=%u %s 2^%u - 1 = %u, so that not every seed is reached: take leap=%u", leap,
                 leap >= period ? "is not below" : "has a factor in common with", self->seed_bits,
                 period, seedlm_leap_default (self->seed_bits));
    return FALSE;
  }
  return TRUE;
}

gboolean
seedlm_is_flat (AfpSeedlm *self, const AfpPlaneDesc *in, guint length)
{
  const guint64 padded = (in->cols + length - 1) / length * length;

  if (self->layout != SEEDLM_LAYOUT_AUTO)
    return self->layout == SEEDLM_LAYOUT_FLAT;
  if (afp_codec_feeds_back (AFP_CODEC (self)) && in->kind != AFP_KIND_CODEBOOK &&
      in->cols >= length)
    return FALSE;
  return self->scale != SEEDLM_SCALE_ROW && in->rows > 1 &&
         (in->cols < length || padded - in->cols > in->cols / 16);
}

void
seedlm_add_scale (const AfpSeedlm *self, AfpLayout *layout)
{
  if (self->scale == SEEDLM_SCALE_TENSOR)
    afp_layout_add_tensor_float (layout, "scale", AFP_KIND_SCALE, 1, 1, 0);
  else if (self->scale == SEEDLM_SCALE_ROW)
    afp_layout_add_row_float (layout, "scale", AFP_KIND_SCALE);
}

static gboolean
seedlm_describe (AfpCodec *codec, AfpLayout *layout, GError **error)
{
  AfpSeedlm *self = AFP_SEEDLM (codec);

  if (!check_format (self, AFP_ERROR_PLAN, error))
    return FALSE;
  if (self->overlap) {
    seedlm_shift_describe (self, layout);
    return TRUE;
  }
  const gboolean flat = seedlm_is_flat (self, afp_layout_get_input (layout), self->block_size);
  g_autofree char *fallback = g_strdup_printf ("block-float mantissa-bits=%u", self->coeff_bits);
  afp_layout_set_quantum (layout, self->block_size);
  afp_layout_set_flat (layout, flat);
  afp_layout_set_param (layout, "leap", seedlm_resolved_leap (self));
  afp_layout_set_param_text (layout, "layout", flat ? "flat" : "row");
  seedlm_shift_leave_out (layout);
  if (seedlm_list_bytes (self, layout) > 0)
    afp_layout_set_tile_weights (layout, SEEDLM_LISTS_TILE);

  afp_layout_add_code (layout, "seeds", 1, self->seed_bits);
  afp_layout_add_float (layout, "coeffs", AFP_KIND_COEFFS, self->rank, self->rank);
  afp_layout_set_fallback (layout, SEEDLM_CHILD_COEFFS, fallback);
  afp_layout_set_metric (layout, SEEDLM_CHILD_COEFFS, AFP_METRIC_MATRIX);
  seedlm_add_scale (self, layout);
  return TRUE;
}

static gboolean
check_leap (const AfpSeedlm *self, GError **error)
{
  if (self->leap <= 1)
    return TRUE;
  const double correlation =
      seedlm_leap_correlation (self->seed_bits, self->leap, SEEDLM_CORRELATION_LAGS);
  if (correlation <= SEEDLM_MAX_CORRELATION)
    return TRUE;
  g_set_error (
      error, AFP_ERROR, AFP_ERROR_PROPERTY,
      "leap=%u makes neighbouring values alike: a serial correlation of %.2f within %d values of the %u-bit register, but "
      "%.1f is the limit: take leap=%u",
      self->leap, correlation, SEEDLM_CORRELATION_LAGS, self->seed_bits, SEEDLM_MAX_CORRELATION,
      seedlm_leap_default (self->seed_bits));
  return FALSE;
}

static gboolean
seedlm_check (AfpElement *element, GError **error)
{
  AfpSeedlm *self = AFP_SEEDLM (element);

  if (!AFP_ELEMENT_CLASS (afp_seedlm_parent_class)->check (element, error) ||
      !seedlm_shift_check_set (self, error) || !check_format (self, AFP_ERROR_PROPERTY, error))
    return FALSE;
  if (self->overlap)
    return TRUE;
  if (!check_leap (self, error))
    return FALSE;
  const guint64 bytes = seedlm_basis_bound (self->seed_bits, self->block_size, self->rank);
  if (bytes > SEEDLM_TABLES_LIMIT || self->seed_bits <= 8) {
    g_autoptr (SeedlmTables) tables = seedlm_tables_get (
        self->seed_bits, seedlm_resolved_leap (self), self->block_size, self->rank, TRUE, error);
    return tables != NULL;
  }
  return TRUE;
}

static guint64
seedlm_scratch (AfpCodec *codec, const AfpLayout *layout)
{
  const AfpSeedlm *self = AFP_SEEDLM (codec);

  if (self->overlap)
    return seedlm_shift_scratch (self, layout);
  const guint64 blocks =
      afp_layout_get_rows (layout) * (afp_layout_get_padded_cols (layout) / self->block_size);

  return seedlm_basis_bound (self->seed_bits, self->block_size, self->rank) +
         seedlm_list_bytes (self, layout) +
         seedlm_fit_bytes (self->block_size, self->rank, MIN (blocks, (guint64) self->samples));
}

static guint64
seedlm_thread_scratch (AfpCodec *codec, const AfpLayout *layout)
{
  const AfpSeedlm *self = AFP_SEEDLM (codec);

  if (self->overlap)
    return seedlm_shift_thread_scratch (self, layout);
  guint64 bytes = seedlm_search_bytes (self->seed_bits, self->block_size, self->rank, self->rank) +
                  seedlm_piece_bytes (self, layout);

  if (afp_layout_has_metric (layout))
    bytes += seedlm_weighed_bytes (self->seed_bits, self->block_size, self->rank);
  return bytes;
}

/* --- fit ------------------------------------------------------------------------------------------------------------- */

void
seedlm_tell (AfpSeedlm *self, AfpMessageType type, const char *text)
{
  AfpRun *run = afp_element_get_run (AFP_ELEMENT (self));

  if (run)
    afp_run_post (run,
                  afp_message_new (type, afp_element_get_name (AFP_ELEMENT (self)), text, NULL));
  else
    g_info ("%s", text);
}

/* Exponents of the paper's coefficients are absolute, -8 to 7: without a scale weights can be too small or too large for them. */
static void
warn_of_saturation (AfpSeedlm *self, AfpContext *ctx, double rms, double top)
{
  AfpQuantizer *quantizer = afp_context_get_quantizer (ctx, SEEDLM_CHILD_COEFFS);
  const double mantissa = ldexp (1, (int) self->coeff_bits - 1) - 0.5;

  if (rms == 0 || (quantizer && !afp_claim_is_fallback (afp_quantizer_get_claim (quantizer))))
    return;
  if (rms >= mantissa / 256 && top <= mantissa * 64)
    return;
  g_autofree char *text = g_strdup_printf (
      "%s: scale=none, and the weights are too %s for the exponents of the coefficients, -8 to 7: their root mean square is %.3g, their "
      "largest magnitude %.3g; take scale=tensor",
      afp_context_get_name (ctx), rms < mantissa / 256 ? "small" : "large", rms, top);
  seedlm_tell (self, AFP_MESSAGE_WARNING, text);
}

/* Coefficients can be 0, but not the values of overlapping seeds: zeros need a scale of 0 there. */
static float
scale_of (const AfpSeedlm *self, double mean_square)
{
  const float scale = (float) sqrt (mean_square);

  if (self->overlap && mean_square == 0)
    return 0;
  return scale > 0 && isfinite (scale) ? scale : 1;
}

static gboolean
fit_scale (AfpSeedlm *self, AfpContext *ctx, GError **error)
{
  const guint64 rows = afp_layout_get_rows (afp_context_get_layout (ctx));
  g_autofree double *row_squares = self->scale == SEEDLM_SCALE_ROW ? g_new0 (double, rows) : NULL;
  double square;
  float top;

  if (!afp_context_get_moments (ctx, &square, &top, row_squares, error))
    return FALSE;
  if (self->scale == SEEDLM_SCALE_NONE) {
    warn_of_saturation (self, ctx, sqrt (square), top);
    return TRUE;
  }
  float *scale = afp_context_get_values (ctx, self->overlap ? (guint) SEEDLM_SHIFT_CHILD_SCALE
                                                            : (guint) SEEDLM_CHILD_SCALE);
  if (self->scale == SEEDLM_SCALE_TENSOR)
    scale[0] = scale_of (self, square);
  for (guint64 r = 0; row_squares && r < rows; r++)
    scale[r] = scale_of (self, row_squares[r]);
  return TRUE;
}

/* By the quantizer that the plane will be coded with. */
static gboolean
measure_loss (const AfpSeedlm *self, const SeedlmFit *fit, GError **error)
{
  AfpQuantizer *quantizer = fit->quantizer;
  g_autofree float *blocks = NULL;
  g_autofree float *weights = NULL;
  SeedlmLossSums sums;
  gsize n;

  if (quantizer && !afp_quantizer_is_frozen (quantizer) &&
      !afp_quantizer_fit (quantizer, NULL, 0, NULL, error))
    return FALSE;
  blocks = seedlm_sample (fit->ctx, SEEDLM_LOSS_BLOCKS, fit->basis->block_size,
                          fit->row_scales ? fit->row_scales : &fit->scale, fit->row_scales != NULL,
                          &n, &weights, error);
  if (!blocks || !seedlm_loss_measure (fit->workers, quantizer, afp_context_get_pool (fit->ctx),
                                       blocks, n, &sums, error))
    return FALSE;
  seedlm_loss_set (self->loss, afp_context_get_name (fit->ctx), &sums);
  return TRUE;
}

static gboolean
seedlm_fit (AfpCodec *codec, AfpContext *ctx, GError **error)
{
  AfpSeedlm *self = AFP_SEEDLM (codec);

  if (!fit_scale (self, ctx, error))
    return FALSE;
  if (self->overlap)
    return seedlm_shift_fit (self, ctx, error);
  AfpQuantizer *quantizer = afp_context_get_quantizer (ctx, SEEDLM_CHILD_COEFFS);
  const gboolean learns = quantizer && afp_quantizer_needs_fit (quantizer);
  if (!learns && self->search == SEEDLM_SEARCH_EXACT)
    return TRUE;
  g_autoptr (SeedlmTables) tables = seedlm_take_tables (self, error);
  if (!tables)
    return FALSE;
  g_autoptr (SeedlmWorkers) workers = seedlm_take_workers (
      self, tables, ctx, quantizer ? afp_quantizer_get_n_codes (quantizer) : 0, error);
  if (!workers)
    return FALSE;
  const float *scale =
      self->scale == SEEDLM_SCALE_NONE ? NULL : afp_context_get_values (ctx, SEEDLM_CHILD_SCALE);
  const SeedlmFit fit = { .ctx = ctx,
                          .quantizer = quantizer,
                          .workers = workers,
                          .basis = seedlm_tables_get_basis (tables),
                          .scale = self->scale == SEEDLM_SCALE_TENSOR ? scale[0] : 1,
                          .row_scales = self->scale == SEEDLM_SCALE_ROW ? scale : NULL,
                          .samples = self->samples,
                          .rounds = self->rounds };
  return (!learns || seedlm_fit_quantizer (&fit, error)) &&
         (!seedlm_workers_are_fast (workers) || measure_loss (self, &fit, error));
}

/* --- the two kinds of seeds ------------------------------------------------------------------------------------------ */

static gpointer
any_open (AfpCodec *codec, AfpContext *ctx, GError **error)
{
  const AfpSeedlm *self = AFP_SEEDLM (codec);

  return self->overlap ? seedlm_shift_open (self, ctx, error) : seedlm_open (codec, ctx, error);
}

static void
any_close (AfpCodec *codec, gpointer state)
{
  if (AFP_SEEDLM (codec)->overlap)
    seedlm_shift_close (state);
  else
    seedlm_close (codec, state);
}

static gboolean
any_encode_block (AfpCodec *codec, gpointer state, AfpBlock *block, GError **error)
{
  return AFP_SEEDLM (codec)->overlap ? seedlm_shift_encode_block (state, block, error)
                                     : seedlm_encode_block (codec, state, block, error);
}

static gboolean
any_decode_block (AfpCodec *codec, gpointer state, AfpBlock *block, GError **error)
{
  return AFP_SEEDLM (codec)->overlap ? seedlm_shift_decode_block (state, block, error)
                                     : seedlm_decode_block (codec, state, block, error);
}

/* --- a run: where it searches, what search=fast loses ------------------------------------------------------------------------------------------ */

static gboolean
seedlm_start (AfpElement *element, AfpRun *run, GError **error)
{
  AfpSeedlm *self = AFP_SEEDLM (element);
  AfpElementClass *parent = AFP_ELEMENT_CLASS (afp_seedlm_parent_class);
  const char *missing = self->device == AFP_DEVICE_CUDA ? seedlm_device_missing () : NULL;

  if (missing) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_PLAN, "device=cuda: %s; or take device=cpu", missing);
    return FALSE;
  }
  seedlm_loss_free (self->loss);
  self->loss = seedlm_loss_new ();
  return !parent->start || parent->start (element, run, error);
}

static JsonNode *
seedlm_get_metrics (AfpElement *element)
{
  return seedlm_loss_to_json (AFP_SEEDLM (element)->loss);
}

static JsonNode *
seedlm_save_found (AfpElement *element, const char *tensor)
{
  return seedlm_loss_save (AFP_SEEDLM (element)->loss, tensor);
}

static gboolean
seedlm_restore_found (AfpElement *element, AfpSpec *spec, JsonNode *found, GError **error)
{
  return seedlm_loss_restore (AFP_SEEDLM (element)->loss, found, error);
}

/* --- class ----------------------------------------------------------------------------------------------------------- */

static void
afp_seedlm_finalize (GObject *object)
{
  AfpSeedlm *self = AFP_SEEDLM (object);

  seedlm_device_free (self->gpu);
  g_clear_pointer (&self->tables, seedlm_tables_unref);
  g_mutex_clear (&self->lock);
  seedlm_loss_free (self->loss);
  G_OBJECT_CLASS (afp_seedlm_parent_class)->finalize (object);
}

static void
afp_seedlm_class_init (AfpSeedlmClass *klass)
{
  AfpElementClass *element_class = AFP_ELEMENT_CLASS (klass);
  AfpCodecClass *codec_class = AFP_CODEC_CLASS (klass);

  G_OBJECT_CLASS (klass)->finalize = afp_seedlm_finalize;
  afp_element_class_add_properties (element_class, seedlm_properties,
                                    G_N_ELEMENTS (seedlm_properties), 0);
  afp_element_class_set_presets (element_class, seedlm_presets, G_N_ELEMENTS (seedlm_presets));
  afp_element_class_set_details (
      element_class,
      "Blocks of weights become seeds of a shift register and a few coefficients (SeedLM)",
      "load location=model.safetensors ! seedlm ! vptq ! eval ! write location=model.h5");
  element_class->check = seedlm_check;
  element_class->start = seedlm_start;
  element_class->get_metrics = seedlm_get_metrics;
  element_class->save_found = seedlm_save_found;
  element_class->restore_found = seedlm_restore_found;
  codec_class->version = 1;
  codec_class->default_planes =
      AFP_KINDS (AFP_KIND_WEIGHT) | AFP_KINDS (AFP_KIND_RESIDUAL) | AFP_KINDS (AFP_KIND_CODEBOOK);
  codec_class->asks = TRUE;
  codec_class->describe = seedlm_describe;
  codec_class->scratch = seedlm_scratch;
  codec_class->thread_scratch = seedlm_thread_scratch;
  codec_class->fit = seedlm_fit;
  codec_class->open = any_open;
  codec_class->close = any_close;
  codec_class->encode_block = any_encode_block;
  codec_class->decode_block = any_decode_block;
}

static void
afp_seedlm_init (AfpSeedlm *self)
{
  g_mutex_init (&self->lock);
  self->loss = seedlm_loss_new ();
}

static gboolean
seedlm_init (AfpPlugin *plugin, GError **error)
{
  afp_plugin_add_element (plugin, "seedlm", AFP_TYPE_SEEDLM);
  return TRUE;
}

AFP_PLUGIN_DEFINE ("seedlm", AFP_VERSION, "LGPL-2.1-or-later", AFP_ORIGIN,
                   "Seeds of a shift register and coefficients (SeedLM)", seedlm_init)
