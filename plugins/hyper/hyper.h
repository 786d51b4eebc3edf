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
  HYPER_TRAJECTORY_TRELLIS,
  HYPER_TRAJECTORY_BEZIER
} HyperTrajectoryValue;

typedef enum { HYPER_FRAME_TENSOR, HYPER_FRAME_ROW, HYPER_FRAME_GROUP } HyperFrameScope;

typedef enum { HYPER_LATTICE_AUTO } HyperLatticeValue; /* then those of HyperLatticeKind */

struct _AfpHyper {
  AfpCodec parent_instance;
  guint points;    /* 0: auto */
  gint classes;    /* -1: auto */
  gint trajectory; /* HyperTrajectoryValue */
  guint dimension;
  guint join;
  gint class_rule; /* HyperRule */
  gint frame;      /* HyperFrameScope */
  guint frame_size;
  gint lattice;           /* HyperLatticeValue */
  double bits;            /* 0: not given */
  double nmse, max_error; /* likewise */
  double rdo;
  guint symbol_bits; /* 0: auto */
  guint states;
  guint degree, segments;
};

/**
 * HyperForm: the functions of AfpCodecClass for one family of trajectories.
 * @describe: leaves out of the recipe, with hyper_leave_out(), what is another form's
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
extern const HyperForm hyper_form_bezier;  /* hyper-bezier.c */

/* bits=, resolved, of lattice and trellis; with nmse= about what it will take. */
double hyper_bits (const AfpHyper *self);
/* Do bits=, nmse= and max-error= go with each other and with the rest? */
gboolean hyper_check_goals (const AfpHyper *self, GError **error);
/* symbol-bits=, resolved: wide enough for numbers a hundred times as large as most. */
guint hyper_symbol_width (const AfpHyper *self);

/*
 * What the forms share: hyper-form.c.
 */
/* points= and classes=, resolved, for vectors of d numbers. */
gboolean
hyper_choose_points (const AfpHyper *self, guint d, guint *points, guint *classes, GError **error);

/* Which numbers have a frame of their own. */
typedef struct {
  guint64 per_row;  /* frames; 0: one for the tensor */
  guint64 size;     /* numbers of a row that share one */
  guint64 n_frames; /* of the tensor */
} HyperGroups;

/* frame-size=, resolved, for vectors of so many numbers. */
guint hyper_frame_size (const AfpHyper *self, guint dimension);
/* The layout must have its quantum, and be flat if it will be. */
void hyper_groups_init (HyperGroups *groups, const AfpHyper *self, const AfpLayout *layout);
/* The frame of the number at (row, col); *n_cols: cut to those that share it. */
guint64 hyper_groups_find (const HyperGroups *groups, guint64 row, guint64 col, guint64 *n_cols);

/* Bits of a code that joins join= symbols; 0: they cannot be joined so, and why. */
guint hyper_code_bits (const AfpHyper *self, guint points, guint classes, GError **error);
/* Leaves parameters out of the recipe, by name, up to a NULL. */
void hyper_leave_out (AfpLayout *layout, const char *first, ...) G_GNUC_NULL_TERMINATED;

G_END_DECLS
