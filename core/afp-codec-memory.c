/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-bits.h"
#include "afp-codec-private.h"
#include "afp-feedback.h"

/*
 * What codecs take of memory, by their layouts alone: the plan's side of afp-context.c, afp-encode.c and afp-decoder.c.
 */

guint64
afp_plane_desc_memory (const AfpPlaneDesc *desc)
{
  const guint64 n = desc->rows * desc->cols;

  if (desc->kind == AFP_KIND_CODE)
    return afp_plane_desc_bytes (desc);
  return (n +
          (desc->vector ? n / desc->vector * afp_metric_stride (desc->metric, desc->vector) : 0)) *
         sizeof (float);
}

/* Symbols that a quantizer has for one vector of its plane. */
static guint64
count_quantizer_codes (const AfpClaim *claim)
{
  const AfpLayout *layout = claim->layout;
  guint64 n = 0;

  for (guint i = 0; i < afp_layout_get_n_children (layout); i++) {
    const AfpPlaneDesc *desc = afp_layout_get_child (layout, i);
    if (desc->scope == AFP_SCOPE_BLOCK)
      n += layout->input.vector / layout->quantum * desc->per_quantum;
  }
  return n;
}

/* The claim that is asked as a quantizer for child @i, or NULL: as afp_encoder_new() decides. */
AfpClaim *
afp_claim_get_asked (const AfpClaim *claim, guint i)
{
  AfpClaim *child = claim->children ? claim->children[i] : NULL;

  if (!child || !AFP_CODEC_GET_CLASS (claim->codec)->asks ||
      afp_codec_is_open_loop (claim->codec) || child->open_loop_reason ||
      afp_layout_get_child (claim->layout, i)->scope != AFP_SCOPE_BLOCK)
    return NULL;
  return child;
}

gboolean
afp_claim_freezes (const AfpClaim *claim, guint i)
{
  const AfpPlaneDesc *desc = afp_layout_get_child (claim->layout, i);

  return desc->kind != AFP_KIND_CODE &&
         (desc->scope != AFP_SCOPE_BLOCK || afp_claim_get_asked (claim, i));
}

guint64
afp_claim_get_child_memory (const AfpClaim *claim, guint i)
{
  return afp_claim_freezes (claim, i) && claim->children && claim->children[i]
             ? afp_claim_get_bytes (claim->children[i], NULL)
             : afp_plane_desc_memory (afp_layout_get_child (claim->layout, i));
}

/* --- tiles --------------------------------------------------------------------------------------------------------- */

/* Of @elements numbers: with all children, and while encoding their metrics and the codes of quantizers. */
static guint64
tile_bytes (const AfpLayout *layout, const AfpClaim *claim, guint64 elements)
{
  const guint64 quanta = elements / layout->quantum;
  const AfpPlaneDesc *in = &layout->input;
  guint64 floats = elements;

  if (claim && claim->importance)
    floats += claim->feedback ? 0 : elements;
  else if (claim && in->vector)
    floats += quanta *
              afp_metric_stride (afp_metric_regroup_kind (in->metric, in->vector, layout->quantum),
                                 layout->quantum);
  for (guint i = 0; i < afp_layout_get_n_children (layout); i++) {
    const AfpPlaneDesc *desc = afp_layout_get_child (layout, i);
    const AfpClaim *asked = claim ? afp_claim_get_asked (claim, i) : NULL;
    const guint64 n = quanta * desc->per_quantum, vectors = desc->vector ? n / desc->vector : 0;
    if (desc->scope != AFP_SCOPE_BLOCK)
      continue;
    floats += n;
    if (asked)
      floats += 2 * vectors * count_quantizer_codes (asked);
    else if (claim && desc->vector)
      floats += vectors * afp_metric_stride (desc->metric, desc->vector);
  }
  return floats * sizeof (float);
}

static guint64
count_tile (const AfpTiles *tiles)
{
  return MIN (tiles->tile_rows, tiles->rows) * MIN (tiles->tile_cols, tiles->cols);
}

/* One tile has one thread. */
static void
add_tiles (const AfpTiles *tiles, guint64 bytes, AfpCodecMemory *memory)
{
  *(tiles->n_tiles > 1 ? &memory->per_thread : &memory->fixed) += bytes;
}

static guint64
context_bytes (const AfpLayout *layout)
{
  guint64 bytes = 0;

  for (guint i = 0; i < afp_layout_get_n_children (layout); i++) {
    const AfpPlaneDesc *desc = afp_layout_get_child (layout, i);
    if (desc->scope != AFP_SCOPE_BLOCK)
      bytes += desc->kind == AFP_KIND_CODE ? desc->rows * desc->cols * sizeof (guint32)
                                           : afp_plane_desc_memory (desc);
  }
  return bytes;
}

/* --- encode -------------------------------------------------------------------------------------------------------- */

/* (transfer full): as the codec finds the plane: with a weight for each number where there is importance */
static AfpLayout *
get_weighted_layout (const AfpClaim *claim)
{
  const AfpPlaneDesc *in = &claim->layout->input;
  AfpLayout *layout = NULL;

  if (!claim->importance || in->metric != AFP_METRIC_NONE)
    return afp_layout_ref (claim->layout);
  layout = afp_layout_resize (claim->layout, in->rows, in->cols);
  layout->input.metric = AFP_METRIC_DIAGONAL;
  layout->input.vector = layout->quantum;
  return layout;
}

/* The codec and those that it asks; its fixed children, copied and decoded again. */
static void
add_encoder (const AfpClaim *claim, AfpCodecMemory *memory)
{
  AfpCodecClass *klass = AFP_CODEC_GET_CLASS (claim->codec);
  g_autoptr (AfpLayout) layout = get_weighted_layout (claim);

  memory->fixed += context_bytes (claim->layout);
  if (klass->scratch)
    memory->fixed += klass->scratch (claim->codec, layout);
  if (klass->thread_scratch)
    memory->per_thread += klass->thread_scratch (claim->codec, layout);
  for (guint i = 0; i < afp_layout_get_n_children (claim->layout); i++) {
    const AfpClaim *asked = afp_claim_get_asked (claim, i);
    if (asked)
      add_encoder (asked, memory);
    else if (afp_claim_freezes (claim, i))
      memory->fixed += 2 * afp_plane_desc_memory (afp_layout_get_child (claim->layout, i));
  }
}

/* The factor itself stands from one tensor to the next. */
static void
add_feedback (const AfpLayout *layout, const AfpClaim *claim, const AfpTiles *tiles,
              AfpCodecMemory *memory)
{
  const guint64 rows = MIN (tiles->tile_rows, tiles->rows);
  const guint quantum = layout->quantum;

  memory->fixed += afp_feedback_get_scratch (layout->transposed ? tiles->rows : tiles->cols);
  if (layout->transposed)
    add_tiles (tiles,
               afp_feedback_get_turned_bytes (rows, tiles->tile_cols, quantum) +
                   tile_bytes (layout, claim, tiles->tile_cols),
               memory);
  else
    add_tiles (tiles,
               afp_feedback_get_tile_bytes (rows, quantum) + tiles->cols * sizeof (float) +
                   tile_bytes (layout, claim, rows * quantum),
               memory);
}

/* Targets of the plane between the passes, and symbols where tiles are columns. */
static guint64
pass_bytes (const AfpClaim *claim)
{
  const AfpLayout *layout = claim->layout;
  const guint64 n = afp_layout_get_rows (layout) * afp_layout_get_cols (layout);
  guint64 floats = claim->feedback && afp_claim_count_passes (claim) > 1 ? n : 0;

  for (guint i = 0; claim->feedback && layout->transposed && i < afp_layout_get_n_children (layout);
       i++) {
    const AfpPlaneDesc *desc = afp_layout_get_child (layout, i);
    if (desc->scope == AFP_SCOPE_BLOCK && desc->kind == AFP_KIND_CODE)
      floats += desc->rows * desc->cols;
  }
  return floats * sizeof (float);
}

/* What afp_claim_encode() works with, beside the plane that it makes. */
void
afp_claim_get_memory (const AfpClaim *claim, AfpCodecMemory *memory)
{
  const AfpLayout *layout = claim->layout;
  AfpTiles tiles;

  *memory = (AfpCodecMemory){ 0 };
  add_encoder (claim, memory);
  if (claim->importance)
    memory->fixed += layout->input.cols * sizeof (float);
  afp_layout_cut (layout, claim->feedback, &tiles);
  memory->fixed += pass_bytes (claim);
  add_tiles (&tiles, tile_bytes (layout, claim, count_tile (&tiles)), memory);
  if (claim->feedback)
    add_feedback (layout, claim, &tiles, memory);
}

/* --- decode -------------------------------------------------------------------------------------------------------- */

/* @tiles: as the numbers are read, @elements of this plane at once */
static void
add_decoder (AfpPlane *plane, const AfpTiles *tiles, guint64 elements, AfpCodecMemory *memory)
{
  const AfpPlaneDesc *desc = afp_plane_get_desc (plane);
  AfpTransform *codec =
      afp_codec_find (afp_plane_get_codec (plane), 0, afp_plane_get_params (plane), NULL);
  g_autoptr (AfpLayout) layout =
      AFP_IS_CODEC (codec) ? afp_codec_describe (AFP_CODEC (codec), desc, NULL) : NULL;

  if (!layout || afp_layout_get_n_children (layout) != afp_plane_get_n_children (plane))
    return;
  memory->fixed += 2 * context_bytes (layout); /* a state may keep copies */
  const guint64 edges = 2 * layout->quantum * (layout->transposed ? desc->cols : 1);
  add_tiles (tiles,
             tile_bytes (layout, NULL, elements + edges) +
                 (layout->transposed ? elements * sizeof (float) : 0),
             memory);
  for (guint i = 0; i < afp_plane_get_n_children (plane); i++) {
    AfpPlane *child = afp_plane_get_child (plane, i);
    const AfpPlaneDesc *child_desc = afp_plane_get_desc (child);
    if (!afp_plane_get_codec (child))
      continue;
    if (child_desc->kind == AFP_KIND_CODE)
      memory->fixed += afp_plane_desc_bytes (child_desc); /* unpacked */
    else
      add_decoder (child, tiles, MIN (elements, child_desc->rows * child_desc->cols), memory);
  }
}

/* What reading the numbers of @plane works with, by tiles of afp-tiles.h. */
void
afp_plane_get_decode_memory (AfpPlane *plane, AfpCodecMemory *memory)
{
  const AfpPlaneDesc *desc = afp_plane_get_desc (plane);
  AfpTiles tiles;

  *memory = (AfpCodecMemory){ 0 };
  if (!afp_plane_desc_is_float (desc))
    return;
  afp_tiles_init (&tiles, desc->rows, desc->cols, 1);
  const guint64 tile = count_tile (&tiles);
  add_tiles (&tiles, 2 * tile * sizeof (float), memory);
  if (afp_plane_get_codec (plane))
    add_decoder (plane, &tiles, tile, memory);
}
