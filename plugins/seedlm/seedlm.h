/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afpipe.h"
#include "seedlm-tables.h"

/* What the files of the element share: seedlm.c has properties, layout and fit, seedlm-blocks.c encodes and decodes. */

#define AFP_TYPE_SEEDLM (afp_seedlm_get_type ())
G_DECLARE_FINAL_TYPE (AfpSeedlm, afp_seedlm, AFP, SEEDLM, AfpCodec)

typedef enum { SEEDLM_LAYOUT_AUTO, SEEDLM_LAYOUT_ROW, SEEDLM_LAYOUT_FLAT } SeedlmLayout;
typedef enum { SEEDLM_SCALE_NONE, SEEDLM_SCALE_TENSOR, SEEDLM_SCALE_ROW } SeedlmScale;

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
  SeedlmTables *tables; /* keeps those of this element from being dropped; under lock */
  GMutex lock;
};

/* The children of the layout. */
enum { SEEDLM_CHILD_SEEDS, SEEDLM_CHILD_COEFFS, SEEDLM_CHILD_SCALE };

guint seedlm_resolved_leap (const AfpSeedlm *self);
/* (transfer full): of these properties, to encode with; they stay in memory as long as the element. NULL with error. */
SeedlmTables *seedlm_take_tables (AfpSeedlm *self, GError **error);

gpointer seedlm_open (AfpCodec *codec, AfpContext *ctx, GError **error);
void seedlm_close (AfpCodec *codec, gpointer user_state);
gboolean
seedlm_encode_block (AfpCodec *codec, gpointer user_state, AfpBlock *block, GError **error);
gboolean
seedlm_decode_block (AfpCodec *codec, gpointer user_state, AfpBlock *block, GError **error);
