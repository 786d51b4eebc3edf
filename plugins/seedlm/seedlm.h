/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afpipe.h"
#include "seedlm-device.h"
#include "seedlm-loss.h"

/* What the files of the element share: seedlm.c has properties, layout and fit, seedlm-blocks.c encodes and decodes,
 * seedlm-shift.c does all of that for overlap=true. */

#define AFP_TYPE_SEEDLM (afp_seedlm_get_type ())
G_DECLARE_FINAL_TYPE (AfpSeedlm, afp_seedlm, AFP, SEEDLM, AfpCodec)

typedef enum { SEEDLM_LAYOUT_AUTO, SEEDLM_LAYOUT_ROW, SEEDLM_LAYOUT_FLAT } SeedlmLayout;
typedef enum { SEEDLM_SCALE_NONE, SEEDLM_SCALE_TENSOR, SEEDLM_SCALE_ROW } SeedlmScale;

typedef enum { SEEDLM_SEARCH_EXACT, SEEDLM_SEARCH_FAST } SeedlmSearchMode;

struct _AfpSeedlm {
  AfpCodec parent_instance;
  guint block_size;
  guint rank;
  guint seed_bits;
  guint leap;
  gint layout;
  gint scale;
  guint coeff_bits;
  guint samples;
  guint rounds;
  guint candidates;
  gboolean overlap;
  guint state_bits;
  guint step_bits;
  guint step_length;
  guint segment;
  gint search;
  gint device;
  SeedlmTables *tables; /* keeps those of this element from being dropped; under lock */
  SeedlmDevice *gpu;    /* made when it is needed first; under lock */
  GMutex lock;
  SeedlmLoss *loss;
};

/* The children of the layout. */
enum { SEEDLM_CHILD_SEEDS, SEEDLM_CHILD_COEFFS, SEEDLM_CHILD_SCALE };
enum { SEEDLM_SHIFT_CHILD_STEPS, SEEDLM_SHIFT_CHILD_SCALE }; /* with overlap=true */

#define SEEDLM_LISTS_MIN_WEIGHTS (1 << 18) /* of a plane that is searched by lists of directions */

#define SEEDLM_LISTS_TILE (1 << 19) /* weights of it that are put in order together */

void seedlm_tell (AfpSeedlm *self, AfpMessageType type, const char *text);
guint seedlm_resolved_leap (const AfpSeedlm *self);
/* (transfer full): of these properties, to encode with; they stay in memory as long as the element. NULL with error. */
SeedlmTables *seedlm_take_tables (AfpSeedlm *self, GError **error);

/* Bytes of the lists of directions that a plane is searched by; 0: by none, for lists take seconds to build where they are not cached. */
guint64 seedlm_list_bytes (const AfpSeedlm *self, const AfpLayout *layout);
/* What a thread works with, beside its SeedlmSearch. */
guint64 seedlm_piece_bytes (const AfpSeedlm *self, const AfpLayout *layout);
/* Working memory to search a plane's blocks with: by lists of directions where the plane is large enough for them. */
SeedlmWorkers *seedlm_take_workers (AfpSeedlm *self, SeedlmTables *tables, AfpContext *ctx,
                                    guint n_codes, GError **error);

gpointer seedlm_open (AfpCodec *codec, AfpContext *ctx, GError **error);
void seedlm_close (AfpCodec *codec, gpointer user_state);
gboolean
seedlm_encode_block (AfpCodec *codec, gpointer user_state, AfpBlock *block, GError **error);
gboolean
seedlm_decode_block (AfpCodec *codec, gpointer user_state, AfpBlock *block, GError **error);

/* Do blocks of @length cross rows? layout=auto: rows of their own cost padding, which is coded like weights; up to 1/16 more is put up with; feedback needs rows. */
gboolean seedlm_is_flat (AfpSeedlm *self, const AfpPlaneDesc *in, guint length);
void seedlm_add_scale (const AfpSeedlm *self, AfpLayout *layout);
/* (transfer full): the scales of child @child, which must be finite; NULL with error. */
float *seedlm_copy_scales (AfpContext *ctx, guint child, guint64 *n, GError **error);

/* overlap=true */
gboolean seedlm_shift_check_format (const AfpSeedlm *self, AfpError code, GError **error);
/* Properties of the one kind of seeds that are set while the other is asked for. */
gboolean seedlm_shift_check_set (AfpSeedlm *self, GError **error);
void seedlm_shift_describe (AfpSeedlm *self, AfpLayout *layout);
/* overlap=false: recipes do not mention what is for overlapping seeds, as before there were any. */
void seedlm_shift_leave_out (AfpLayout *layout);
guint64 seedlm_shift_scratch (const AfpSeedlm *self, const AfpLayout *layout);
guint64 seedlm_shift_thread_scratch (const AfpSeedlm *self, const AfpLayout *layout);
/* Multiplies the scales, root mean squares so far, by what is best for the rate. */
gboolean seedlm_shift_fit (const AfpSeedlm *self, AfpContext *ctx, GError **error);
gpointer seedlm_shift_open (const AfpSeedlm *self, AfpContext *ctx, GError **error);
void seedlm_shift_close (gpointer user_state);
gboolean seedlm_shift_encode_block (gpointer user_state, AfpBlock *block, GError **error);
gboolean seedlm_shift_decode_block (gpointer user_state, AfpBlock *block, GError **error);
