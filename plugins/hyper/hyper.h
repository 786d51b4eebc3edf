/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "afpipe.h"

G_BEGIN_DECLS

/*
 * hyper: what its files share. hyper.c declares the element and asks the form that the property trajectory names; each form, a
 * family of trajectories, has a file of its own with all that is known about its planes.
 */
#define AFP_TYPE_HYPER (afp_hyper_get_type ())
G_DECLARE_FINAL_TYPE (AfpHyper, afp_hyper, AFP, HYPER, AfpCodec)

typedef enum {
  HYPER_TRAJECTORY_GRID,
  HYPER_TRAJECTORY_WINDING,
  HYPER_TRAJECTORY_LATTICE,
  HYPER_TRAJECTORY_TRELLIS
} HyperTrajectoryValue;

typedef enum { HYPER_FRAME_TENSOR, HYPER_FRAME_ROW, HYPER_FRAME_GROUP } HyperFrameScope;

typedef enum { HYPER_LATTICE_AUTO } HyperLatticeValue; /* then those of HyperLatticeKind */

struct _AfpHyper {
  AfpCodec parent_instance;
  guint points;
  guint classes;
  gint trajectory; /* HyperTrajectoryValue */
  guint dimension;
  guint join;
  gint frame; /* HyperFrameScope */
  guint frame_size;
  gint lattice; /* HyperLatticeValue */
  double bits;
  double rdo;
  guint symbol_bits; /* 0: auto */
  guint states;
};

/**
 * HyperForm: the functions of AfpCodecClass for one family of trajectories.
 * @describe: leaves out of the recipe, with afp_layout_set_param_text (layout, name, NULL), what is another form's
 * @open: what encode_block, decode_block and close get, never NULL without an error
 */
typedef struct {
  gboolean (*describe) (const AfpHyper *self, AfpLayout *layout, GError **error);
  gboolean (*fit) (const AfpHyper *self, AfpContext *ctx, GError **error);
  gpointer (*open) (const AfpHyper *self, AfpContext *ctx, GError **error);
  void (*close) (gpointer state);
  gboolean (*encode_block) (gpointer state, AfpBlock *block, GError **error);
  gboolean (*decode_block) (gpointer state, AfpBlock *block, GError **error);
  guint64 (*scratch) (const AfpHyper *self, const AfpLayout *layout);
  guint64 (*thread_scratch) (const AfpHyper *self, const AfpLayout *layout);
} HyperForm;

extern const HyperForm hyper_form_points;  /* hyper-points.c: grid, winding */
extern const HyperForm hyper_form_lattice; /* hyper-lattice.c */
extern const HyperForm hyper_form_trellis; /* hyper-trellis.c */

/* symbol-bits=, resolved: wide enough for numbers a hundred times as large as most. */
guint hyper_symbol_width (const AfpHyper *self);
/* Bits of a code of grid and winding; 0: symbols cannot be joined so, and why. */
guint hyper_code_bits (const AfpHyper *self, GError **error);

G_END_DECLS
