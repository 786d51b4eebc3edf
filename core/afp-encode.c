/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-bits.h"
#include "afp-codec-private.h"
#include "afp-crash.h"
#include "afp-error.h"
#include "afp-feedback.h"
#include "afp-pool.h"

#include <math.h>
#include <string.h>

/* --- one codec at work: fit, freeze ----------------------------------------------------------------------------- */

/* A child that tensors share was fitted to a sample of all of them. In the prepare phase there may be none as yet. */
static gboolean
take_shared (AfpEncoder *encoder, guint child, GError **error)
{
  const AfpClaim *claim = encoder->claim;
  const AfpPlaneDesc *desc = afp_layout_get_child (claim->layout, child);
  AfpPlane *plane = afp_claim_find_given (claim, child);
  gsize size;

  if (!plane && claim->sampling)
    return TRUE;
  if (!plane) {
    g_set_error (
        error, AFP_ERROR, AFP_ERROR_CODEC,
        "%s: plane '%s' is shared by the tensors of a model, but has not been fitted to them: "
        "that is done before the first tensor of a run",
        encoder->ctx->name, desc->name);
    return FALSE;
  }
  gconstpointer values = g_bytes_get_data (afp_plane_get_data (plane), &size);
  memcpy (encoder->ctx->children[child].values, values, size);
  encoder->ctx->children[child].given = TRUE;
  encoder->fixed[child] = afp_plane_ref (plane);
  return TRUE;
}

static gboolean
make_quantizer (AfpEncoder *encoder, guint child, GError **error)
{
  const AfpPlaneDesc *desc = afp_layout_get_child (encoder->claim->layout, child);
  g_autofree char *path = g_strconcat (encoder->ctx->name, "/", desc->name, NULL);

  encoder->ctx->children[child].quantizer =
      afp_quantizer_new (encoder->claim->children[child], path, encoder->ctx->pool, error);
  return encoder->ctx->children[child].quantizer != NULL;
}

AfpEncoder *
afp_encoder_new (AfpClaim *claim, const char *name, AfpPool *pool, GError **error)
{
  AfpEncoder *encoder = g_new0 (AfpEncoder, 1);
  AfpCodec *codec = claim->codec;
  const guint n = afp_layout_get_n_children (claim->layout);

  encoder->claim = afp_claim_ref (claim);
  encoder->ctx = afp_context_new (codec, claim->layout, name, pool);
  encoder->fixed = g_new0 (AfpPlane *, n);
  for (guint i = 0; i < n; i++) {
    const AfpPlaneDesc *desc = afp_layout_get_child (claim->layout, i);
    AfpClaim *child = claim->children ? claim->children[i] : NULL;
    const gboolean asks = AFP_CODEC_GET_CLASS (codec)->asks && !afp_codec_is_open_loop (codec) &&
                          child && desc->scope == AFP_SCOPE_BLOCK && !child->open_loop_reason;
    if ((asks && !make_quantizer (encoder, i, error)) ||
        (afp_layout_child_is_shared (claim->layout, i) && !take_shared (encoder, i, error))) {
      afp_encoder_free (encoder);
      return NULL;
    }
  }
  return encoder;
}

static void
encoder_close (AfpEncoder *encoder)
{
  AfpCodec *codec = encoder->claim->codec;

  if (encoder->state && encoder->state != encoder->ctx && AFP_CODEC_GET_CLASS (codec)->close)
    AFP_CODEC_GET_CLASS (codec)->close (codec, encoder->state);
  encoder->state = NULL;
  encoder->open = FALSE;
}

void
afp_encoder_free (AfpEncoder *encoder)
{
  encoder_close (encoder);
  for (guint i = 0; i < afp_layout_get_n_children (encoder->claim->layout); i++)
    g_clear_pointer (&encoder->fixed[i], afp_plane_unref);
  g_free (encoder->fixed);
  afp_context_free (encoder->ctx);
  afp_claim_unref (encoder->claim);
  g_free (encoder);
}

static AfpPlane *
pack_fixed_codes (const AfpPlaneDesc *desc, const guint32 *codes)
{
  const gsize size = afp_plane_desc_bytes (desc);
  guint8 *packed = g_malloc0 (MAX (size, 1));

  afp_bits_pack (packed, 0, codes, desc->rows * desc->cols, desc->bits);
  g_autoptr (GBytes) bytes = g_bytes_new_take (packed, size);
  return afp_plane_new_code (desc, bytes);
}

/* Codes the values of a tensor-scope child as its claim says and puts back what a decoder will see. */
static AfpPlane *
round_fixed_values (AfpEncoder *encoder, guint child, GError **error)
{
  const AfpPlaneDesc *desc = afp_layout_get_child (encoder->claim->layout, child);
  AfpContext *ctx = encoder->ctx;
  const gsize size = desc->rows * desc->cols * sizeof (float);
  g_autofree char *path = g_strconcat (ctx->name, "/", desc->name, NULL);
  g_autoptr (GBytes) values = g_bytes_new (ctx->children[child].values, size);
  g_autoptr (AfpMatrix) matrix = afp_matrix_new_dense (desc->rows, desc->cols, values);

  g_autoptr (AfpPlane) frozen = afp_claim_encode (
      encoder->claim->children[child], matrix, ctx->children[child].metric, path, ctx->pool, error);
  if (!frozen)
    return NULL;
  g_autoptr (AfpMatrix) decoded = afp_plane_open (frozen, NULL, error);
  g_autoptr (GBytes) rounded = decoded ? afp_matrix_to_dense (decoded, ctx->pool, error) : NULL;
  if (!rounded)
    return NULL;
  memcpy (ctx->children[child].values, g_bytes_get_data (rounded, NULL), size);
  return afp_plane_new_float (desc, NULL, frozen);
}

static gboolean
encoder_freeze (AfpEncoder *encoder, GError **error)
{
  AfpContext *ctx = encoder->ctx;
  AfpCodecClass *klass = AFP_CODEC_GET_CLASS (encoder->claim->codec);

  for (guint i = 0; i < afp_layout_get_n_children (encoder->claim->layout); i++) {
    const AfpPlaneDesc *desc = afp_layout_get_child (encoder->claim->layout, i);
    if (desc->scope == AFP_SCOPE_BLOCK) {
      AfpQuantizer *quantizer = ctx->children[i].quantizer;
      if (!quantizer || afp_quantizer_is_frozen (quantizer))
        continue;
      if (afp_quantizer_needs_fit (quantizer)) /* the codec did not use it */
        g_clear_object (&ctx->children[i].quantizer);
      else if (!afp_quantizer_fit (quantizer, NULL, 0, NULL, error))
        return FALSE;
      continue;
    }
    if (ctx->children[i].given)
      continue;
    g_clear_pointer (&encoder->fixed[i], afp_plane_unref);
    encoder->fixed[i] = desc->kind == AFP_KIND_CODE
                            ? pack_fixed_codes (desc, ctx->children[i].codes)
                            : round_fixed_values (encoder, i, error);
    if (!encoder->fixed[i])
      return FALSE;
  }
  encoder_close (encoder);
  encoder->state = ctx;
  if (klass->open) {
    AfpCrashNote note;
    GError *local = NULL;
    afp_crash_enter (&note, AFP_ELEMENT (encoder->claim->codec));
    encoder->state = klass->open (encoder->claim->codec, ctx, &local);
    afp_crash_leave (&note);
    if (local) {
      g_propagate_error (error, local);
      return FALSE;
    }
  }
  encoder->open = TRUE;
  return TRUE;
}

guint
afp_claim_count_passes (const AfpClaim *claim)
{
  AfpCodecClass *klass = AFP_CODEC_GET_CLASS (claim->codec);

  return klass->passes ? klass->passes (claim->codec, claim->layout) : 1;
}

/* Fits to the data at hand, and freezes. */
static gboolean
encoder_fit_pass (AfpEncoder *encoder, guint pass, GError **error)
{
  AfpCodec *codec = encoder->claim->codec;
  AfpCodecClass *klass = AFP_CODEC_GET_CLASS (codec);
  AfpCrashNote note;

  encoder_close (encoder);
  encoder->ctx->pass = pass;
  afp_crash_enter (&note, AFP_ELEMENT (codec));
  gboolean ok = !klass->fit || klass->fit (codec, encoder->ctx, error);
  afp_crash_leave (&note);
  encoder->ctx->fitted = encoder->ctx->fitted || ok;
  return ok && encoder_freeze (encoder, error);
}

gboolean
afp_encoder_fit (AfpEncoder *encoder, AfpMatrix *matrix, AfpMetricKind kind, guint length,
                 const float *metric_data, GError **error)
{
  if (!matrix) {
    encoder_close (encoder);
    return encoder_freeze (encoder, error);
  }
  afp_context_set_data (encoder->ctx, matrix, kind, length, metric_data);
  for (guint pass = 0; pass < afp_claim_count_passes (encoder->claim); pass++)
    if (!encoder_fit_pass (encoder, pass, error))
      return FALSE;
  return TRUE;
}

/* --- a whole plane ---------------------------------------------------------------------------------------------- */

typedef struct {
  guint8 *packed;   /* of a code child */
  guint32 *symbols; /* of a code child, where two tiles may share a byte: packed in the end */
  float *values;    /* of a float child without quantizer */
  float *metric;
  guint8 **parts; /* of a quantizer's code children */
} Output;

typedef struct {
  AfpEncoder *encoder;
  const AfpFeedback *feedback; /* (nullable) */
  float *targets;              /* (nullable): a trial, for the targets alone */
  AfpTiles tiles;
  Output *outputs;
} PlaneJob;

static gsize
vectors_of (const AfpPlaneDesc *desc)
{
  return desc->vector ? desc->rows * desc->cols / desc->vector : 0;
}

static void
outputs_init (PlaneJob *job)
{
  AfpContext *ctx = job->encoder->ctx;

  job->outputs = g_new0 (Output, afp_layout_get_n_children (ctx->layout));
  for (guint i = 0; i < afp_layout_get_n_children (ctx->layout); i++) {
    const AfpPlaneDesc *desc = afp_layout_get_child (ctx->layout, i);
    AfpQuantizer *quantizer = ctx->children[i].quantizer;
    Output *output = &job->outputs[i];
    if (desc->scope != AFP_SCOPE_BLOCK)
      continue;
    if (desc->kind == AFP_KIND_CODE) {
      output->packed = g_malloc0 (MAX (afp_plane_desc_bytes (desc), 1));
      if (job->tiles.tile_cols < job->tiles.cols && job->tiles.rows > 1)
        output->symbols = g_new (guint32, desc->rows * desc->cols);
    } else if (quantizer) {
      const guint n = afp_quantizer_get_n_code_children (quantizer);
      output->parts = g_new0 (guint8 *, n + 1);
      for (guint c = 0; c < n; c++) {
        guint symbols, bits, offset;
        afp_quantizer_get_code_child (quantizer, c, &symbols, &bits, &offset);
        output->parts[c] = g_malloc0 (afp_bits_bytes (vectors_of (desc) * symbols, bits) + 1);
      }
    } else {
      const gsize stride = afp_metric_stride (desc->metric, desc->vector);
      output->values = g_malloc (MAX (desc->rows * desc->cols, 1) * sizeof (float));
      output->metric = stride ? g_new (float, MAX (vectors_of (desc) * stride, 1)) : NULL;
    }
  }
}

static void
outputs_clear (PlaneJob *job)
{
  AfpContext *ctx = job->encoder->ctx;

  for (guint i = 0; i < afp_layout_get_n_children (ctx->layout); i++) {
    Output *output = &job->outputs[i];
    g_free (output->packed);
    g_free (output->symbols);
    g_free (output->values);
    g_free (output->metric);
    for (guint c = 0; output->parts && output->parts[c]; c++)
      g_free (output->parts[c]);
    g_free (output->parts);
  }
  g_free (job->outputs);
}

/* A tile's vectors are one run of the plane's vectors: whole rows, or a part of the only row. */
static void
store_quantizer_codes (AfpQuantizer *quantizer, const guint32 *codes, guint64 first, gsize n,
                       guint8 **parts)
{
  const guint total = afp_quantizer_get_n_codes (quantizer);

  for (guint c = 0; c < afp_quantizer_get_n_code_children (quantizer); c++) {
    guint symbols, bits, offset;
    afp_quantizer_get_code_child (quantizer, c, &symbols, &bits, &offset);
    if (symbols == total) {
      afp_bits_pack (parts[c], first * symbols, codes, n * symbols, bits);
      return;
    }
    g_autofree guint32 *own = g_new (guint32, MAX (n * symbols, 1));
    for (gsize i = 0; i < n; i++)
      memcpy (own + i * symbols, codes + i * total + offset, symbols * sizeof *own);
    afp_bits_pack (parts[c], first * symbols, own, n * symbols, bits);
  }
}

/* A tile of columns: row by row what belongs there. */
static void
store_columns (PlaneJob *job, const AfpBlockBuffer *buffer, const AfpTile *tile)
{
  AfpContext *ctx = job->encoder->ctx;
  const guint quantum = ctx->layout->quantum;

  for (guint i = 0; i < afp_layout_get_n_children (ctx->layout); i++) {
    const AfpPlaneDesc *desc = afp_layout_get_child (ctx->layout, i);
    const gsize n = tile->n_cols / quantum * desc->per_quantum;
    Output *output = &job->outputs[i];
    for (guint64 r = 0; desc->scope == AFP_SCOPE_BLOCK && r < tile->n_rows; r++) {
      const gsize to = r * desc->cols + tile->col / quantum * desc->per_quantum;
      if (output->symbols)
        memcpy (output->symbols + to, buffer->planes[i].codes + r * n, n * sizeof (guint32));
      if (output->values)
        memcpy (output->values + to, buffer->planes[i].values + r * n, n * sizeof (float));
    }
  }
}

static void
store_tile (PlaneJob *job, const AfpBlockBuffer *buffer, const AfpTile *tile)
{
  AfpContext *ctx = job->encoder->ctx;
  const guint quantum = ctx->layout->quantum;
  const guint64 quanta = tile->n_rows * (tile->n_cols / quantum);
  const guint64 first_quantum =
      tile->row * afp_layout_get_quanta (ctx->layout) + tile->col / quantum;

  for (guint i = 0; i < afp_layout_get_n_children (ctx->layout); i++) {
    const AfpPlaneDesc *desc = afp_layout_get_child (ctx->layout, i);
    const AfpBlockPlane *plane = &buffer->planes[i];
    Output *output = &job->outputs[i];
    const gsize n = quanta * desc->per_quantum, first = first_quantum * desc->per_quantum;
    if (desc->scope != AFP_SCOPE_BLOCK)
      continue;
    if (output->packed)
      afp_bits_pack (output->packed, first, plane->codes, n, desc->bits);
    if (output->values)
      memcpy (output->values + first, plane->values, n * sizeof (float));
    if (output->metric) {
      const gsize stride = afp_metric_stride (desc->metric, desc->vector);
      memcpy (output->metric + first / desc->vector * stride, plane->metric,
              n / desc->vector * stride * sizeof (float));
    }
    if (output->parts)
      store_quantizer_codes (plane->quantizer, plane->quantizer_codes, first / desc->vector,
                             n / desc->vector, output->parts);
  }
}

static gboolean
encode_values (const PlaneJob *job, AfpBlockBuffer *buffer, GError **error)
{
  AfpContext *ctx = job->encoder->ctx;
  AfpCodecClass *klass = AFP_CODEC_GET_CLASS (ctx->codec);

  if (job->feedback)
    return afp_feedback_encode (job->feedback, ctx, job->encoder->state, buffer, job->targets,
                                error);
  return !klass->encode_block ||
         klass->encode_block (ctx->codec, job->encoder->state, &buffer->block, error);
}

static gboolean
encode_tile (gsize index, gpointer user_data, GError **error)
{
  PlaneJob *job = user_data;
  AfpContext *ctx = job->encoder->ctx;
  AfpCodec *codec = ctx->codec;
  const AfpTile tile = afp_tiles_get (&job->tiles, index);
  AfpBlockBuffer buffer;
  AfpCrashNote note;
  gboolean ok;

  afp_block_buffer_init (&buffer, ctx, &tile, TRUE);
  afp_crash_enter (&note, AFP_ELEMENT (codec));
  ok = afp_matrix_read (ctx->matrix, tile.row, tile.n_rows, tile.col, tile.n_cols,
                        buffer.block.values, error) &&
       encode_values (job, &buffer, error);
  afp_crash_leave (&note);
  if (ok && !job->targets)
    (tile.n_cols < job->tiles.cols && job->tiles.rows > 1 ? store_columns
                                                          : store_tile) (job, &buffer, &tile);
  else if (!ok)
    g_prefix_error (error, "%s: ", ctx->name);
  afp_block_buffer_clear (&buffer);
  return ok;
}

static AfpPlane *
make_block_child (PlaneJob *job, guint child)
{
  AfpContext *ctx = job->encoder->ctx;
  const AfpPlaneDesc *desc = afp_layout_get_child (ctx->layout, child);
  AfpQuantizer *quantizer = ctx->children[child].quantizer;
  Output *output = &job->outputs[child];

  if (desc->kind == AFP_KIND_CODE) {
    if (output->symbols)
      afp_bits_pack (output->packed, 0, output->symbols, desc->rows * desc->cols, desc->bits);
    g_autoptr (GBytes) bytes =
        g_bytes_new_take (g_steal_pointer (&output->packed), afp_plane_desc_bytes (desc));
    return afp_plane_new_code (desc, bytes);
  }
  if (quantizer) {
    const guint n = afp_quantizer_get_n_code_children (quantizer);
    g_autoptr (GPtrArray) codes = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
    for (guint c = 0; c < n; c++) {
      guint symbols, bits, offset;
      afp_quantizer_get_code_child (quantizer, c, &symbols, &bits, &offset);
      g_ptr_array_add (codes, g_bytes_new (output->parts[c],
                                           afp_bits_bytes (vectors_of (desc) * symbols, bits)));
    }
    g_autoptr (AfpPlane) frozen =
        afp_quantizer_make_plane (quantizer, (GBytes *const *) codes->pdata);
    return afp_plane_new_float (desc, NULL, frozen);
  }
  g_autoptr (GBytes) values = g_bytes_new_take (g_steal_pointer (&output->values),
                                                desc->rows * desc->cols * sizeof (float));
  AfpPlane *plane = afp_plane_new_float (desc, values, NULL);
  if (output->metric) {
    const gsize n = vectors_of (desc) * afp_metric_stride (desc->metric, desc->vector);
    g_autoptr (GBytes) metric =
        g_bytes_new_take (g_steal_pointer (&output->metric), n * sizeof (float));
    afp_plane_set_metric (plane, metric);
  }
  return plane;
}

static AfpPlane *
make_coded (PlaneJob *job)
{
  AfpEncoder *encoder = job->encoder;
  const AfpLayout *layout = encoder->claim->layout;
  const guint n = afp_layout_get_n_children (layout);
  g_autoptr (GPtrArray) children =
      g_ptr_array_new_with_free_func ((GDestroyNotify) afp_plane_unref);

  for (guint i = 0; i < n; i++)
    g_ptr_array_add (children, encoder->fixed[i] ? afp_plane_ref (encoder->fixed[i])
                                                 : make_block_child (job, i));
  return afp_claim_make_plane (encoder->claim, (AfpPlane **) children->pdata);
}

/**
 * afp_claim_encode: (skip)
 * @claim: who codes the plane
 * @matrix: the plane's numbers, in its own rows and columns
 * @metric_data: (nullable): metric of the plane's vectors, of the kind that its description says
 * @name: "tensor/plane/path", for messages and random seeds
 * @pool: (nullable): threads
 * @error: return location
 *
 * Fits, freezes and encodes. Float planes among the children carry their values, or the coded form that their own claim gave them.
 *
 * Returns: (transfer full): the coded plane
 */
AfpPlane *
afp_claim_encode (AfpClaim *claim, AfpMatrix *matrix, const float *metric_data, const char *name,
                  AfpPool *pool, GError **error)
{
  return afp_claim_encode_with (claim, matrix, metric_data, NULL, NULL, name, pool, error);
}

static void
take_moments (AfpEncoder *encoder, const AfpMoments *moments)
{
  const double damping = afp_codec_get_moment_use (encoder->claim->codec)->damping;

  if (moments)
    afp_context_set_columns (encoder->ctx, afp_importance_new (moments, damping),
                             afp_moments_get_size (moments), (float) (damping / (1 + damping)));
}

/* What is to be coded as the codec stands takes the place of the plane while it is fitted once more. */
static gboolean
fit_to_targets (PlaneJob *job, guint pass, AfpPool *pool, GError **error)
{
  AfpContext *ctx = job->encoder->ctx;
  const guint64 rows = afp_layout_get_rows (ctx->layout), cols = afp_layout_get_cols (ctx->layout);
  AfpMatrix *matrix = ctx->matrix;

  job->targets = g_new (float, MAX (rows * cols, 1));
  g_autoptr (GBytes) bytes = g_bytes_new_take (job->targets, rows * cols * sizeof (float));
  gboolean ok = afp_parallel_for (pool, job->tiles.n_tiles, encode_tile, job, error);
  job->targets = NULL;
  if (ok) {
    ctx->matrix = afp_matrix_new_dense (rows, cols, bytes);
    ctx->fed_back = FALSE;
    ok = encoder_fit_pass (job->encoder, pass, error);
    ctx->fed_back = TRUE;
    afp_matrix_unref (ctx->matrix);
    ctx->matrix = matrix;
  }
  return ok;
}

/* With feedback, only the first pass sees the plane itself. */
static gboolean
fit_passes (PlaneJob *job, AfpMatrix *matrix, const float *metric_data, AfpPool *pool,
            GError **error)
{
  AfpEncoder *encoder = job->encoder;
  const AfpPlaneDesc *desc = &encoder->claim->layout->input;

  if (!job->feedback)
    return afp_encoder_fit (encoder, matrix, desc->metric, desc->vector, metric_data, error);
  afp_context_set_data (encoder->ctx, matrix, desc->metric, desc->vector, metric_data);
  gboolean ok = encoder_fit_pass (encoder, 0, error);
  encoder->ctx->fed_back = TRUE;
  for (guint pass = 1; ok && pass < afp_claim_count_passes (encoder->claim); pass++)
    ok = fit_to_targets (job, pass, pool, error);
  return ok;
}

AfpPlane *
afp_claim_encode_with (AfpClaim *claim, AfpMatrix *matrix, const float *metric_data,
                       const AfpMoments *moments, const AfpFeedback *feedback, const char *name,
                       AfpPool *pool, GError **error)
{
  AfpEncoder *encoder = afp_encoder_new (claim, name, pool, error);
  PlaneJob job = { .encoder = encoder, .feedback = feedback };
  AfpPlane *plane = NULL;

  if (!encoder)
    return NULL;
  take_moments (encoder, moments);
  afp_layout_cut (claim->layout, feedback != NULL, &job.tiles);
  if (fit_passes (&job, matrix, metric_data, pool, error)) {
    outputs_init (&job);
    if (afp_parallel_for (pool, job.tiles.n_tiles, encode_tile, &job, error))
      plane = make_coded (&job);
    outputs_clear (&job);
  }
  afp_encoder_free (encoder);
  return plane;
}
