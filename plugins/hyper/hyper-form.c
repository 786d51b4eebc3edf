/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hyper.h"
#include "hyper-kernel.h"
#include "hyper-lattice-kernel.h"

#include <math.h>
#include <stdarg.h>

/*
 * What the forms share: how many points, which numbers have a frame of their own, codes that join symbols, parameters that are another
 * form's.
 */

#define AUTO_FRAME_SIZE 256u /* or the least multiple of the dimension beyond it */

#define DEFAULT_POINTS 225u
#define DEFAULT_CLASSES 1
#define DEFAULT_POSITIONS 16u
#define DEFAULT_BITS 2 /* lattice, trellis */
#define LEAST_BITS 0.1

/* --- bits --- */

double
hyper_bits (const AfpHyper *self)
{
  if (self->nmse > 0)
    return CLAMP (0.5 * log2 (1 / self->nmse) + 0.2, 0.1, 12);
  return self->bits > 0 ? self->bits : DEFAULT_BITS;
}

/* Of symbols that no number is too large for. */
static guint
find_bounded_width (double max_error)
{
  return (guint) fmax (ceil (log2 (1.001 / max_error + 4)), HYPER_MIN_SYMBOL_BITS);
}

guint
hyper_symbol_width (const AfpHyper *self)
{
  if (self->symbol_bits)
    return self->symbol_bits;
  if (self->max_error > 0)
    return find_bounded_width (self->max_error);
  return (guint) CLAMP (ceil (hyper_bits (self) + 6), 8, HYPER_MAX_SYMBOL_BITS);
}

/* --- what is to be reached --- */

/* Why nmse= does not go with the rest; NULL: it does. */
static const char *
refuse_nmse (const AfpHyper *self)
{
  if (self->max_error > 0)
    return "nmse= and max-error= are two goals for one step: leave one of them out";
  if (self->trajectory == HYPER_TRAJECTORY_BEZIER)
    return "nmse= does not go with trajectory=bezier, whose positions are as many as bits= or "
           "points= says: take trajectory=lattice";
  if (self->trajectory == HYPER_TRAJECTORY_LATTICE || self->trajectory == HYPER_TRAJECTORY_TRELLIS)
    return self->bits > 0 ? "nmse= and bits= are two goals for one step: leave one of them out"
                          : NULL;
  return self->frame != HYPER_FRAME_TENSOR
             ? "nmse= needs frame=tensor: it is the error of the tensor"
             : NULL;
}

static const char *
refuse_max_error (const AfpHyper *self)
{
  if (self->trajectory != HYPER_TRAJECTORY_LATTICE ||
      (self->lattice != HYPER_LATTICE_AUTO && self->lattice != HYPER_LATTICE_AUTO + 1 + HYPER_Z))
    return "max-error= is kept number by number: set trajectory=lattice lattice=z";
  if (self->bits > 0)
    return "max-error= and bits= are two goals for one step: leave one of them out";
  if (afp_codec_feeds_back (AFP_CODEC ((gpointer) self)))
    return "max-error= does not go with feedback=true, which moves numbers before they are coded";
  return NULL;
}

gboolean
hyper_check_goals (const AfpHyper *self, GError **error)
{
  const char *why = self->nmse > 0        ? refuse_nmse (self)
                    : self->max_error > 0 ? refuse_max_error (self)
                                          : NULL;
  const guint given = self->symbol_bits ? self->symbol_bits : HYPER_MAX_SYMBOL_BITS;
  const guint needed = self->max_error > 0 ? find_bounded_width (self->max_error) : 0;

  if (!why && needed <= given && (self->bits <= 0 || self->bits >= LEAST_BITS))
    return TRUE;
  if (why)
    g_set_error_literal (error, AFP_ERROR, AFP_ERROR_PROPERTY, why);
  else if (needed > given)
    g_set_error (error, AFP_ERROR, AFP_ERROR_PROPERTY,
                 "max-error=%g needs symbols of %u bits, and symbol-bits is %u (at most %u): allow "
                 "a larger error or wider symbols",
                 self->max_error, needed, given, HYPER_MAX_SYMBOL_BITS);
  else
    g_set_error (error, AFP_ERROR, AFP_ERROR_PROPERTY,
                 "bits=%g: give %g to 12 bits per weight, or 0: as other properties say",
                 self->bits, LEAST_BITS);
  return FALSE;
}

/* --- points --- */

/* Classes that serve pairs of normal numbers best, within a few percent of the error, and others hardly worse: SPEC.md has the numbers. */
static guint
choose_classes (guint d, double bits)
{
  return d == 1 || bits < 3.25 ? 0 : 1;
}

gboolean
hyper_choose_points (const AfpHyper *self, guint d, guint *points, guint *classes, GError **error)
{
  const gboolean curve = self->trajectory == HYPER_TRAJECTORY_BEZIER;
  const double most = floor (exp2 (d * self->bits) + 1e-6); /* symbols */

  if (self->bits > 0 && self->points) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_PROPERTY,
                 "bits=%g and points=%u: the number of points follows from bits; leave one of them "
                 "out",
                 self->bits, self->points);
    return FALSE;
  }
  *classes = self->classes >= 0 ? (guint) self->classes
             : curve            ? 0
             : self->bits > 0   ? choose_classes (d, self->bits)
                                : DEFAULT_CLASSES;
  *points = self->points ? self->points : curve ? DEFAULT_POSITIONS : DEFAULT_POINTS;
  if (self->bits <= 0)
    return TRUE;
  if (most < 1 + *classes || most > HYPER_MAX_POINTS) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_PROPERTY,
                 "bits=%g gives a vector of %u numbers %.0f symbols: it must be %u (one for each "
                 "class) to %u; bits= at most %g there",
                 self->bits, d, most, 1 + *classes, HYPER_MAX_POINTS, 16.0 / d);
    return FALSE;
  }
  *points = (guint) most / (1 + *classes);
  return TRUE;
}

/* --- frames --- */

guint
hyper_frame_size (const AfpHyper *self, guint dimension)
{
  if (self->frame_size)
    return self->frame_size;
  return (AUTO_FRAME_SIZE + dimension - 1) / dimension * dimension;
}

void
hyper_groups_init (HyperGroups *groups, const AfpHyper *self, const AfpLayout *layout)
{
  const guint64 cols = afp_layout_get_padded_cols (layout);
  const guint size = hyper_frame_size (self, afp_layout_get_quantum (layout) / self->join);
  const gboolean tensor = self->frame == HYPER_FRAME_TENSOR;

  groups->size = self->frame == HYPER_FRAME_GROUP ? size : MAX (cols, 1);
  groups->per_row = tensor ? 0 : self->frame == HYPER_FRAME_ROW ? 1 : (cols + size - 1) / size;
  groups->n_frames = tensor ? 1 : afp_layout_get_rows (layout) * groups->per_row;
}

guint64
hyper_groups_find (const HyperGroups *groups, guint64 row, guint64 col, guint64 *n_cols)
{
  if (!groups->per_row)
    return 0;
  *n_cols = MIN (*n_cols, groups->size - col % groups->size);
  return row * groups->per_row + col / groups->size;
}

/* --- codes and parameters --- */

guint
hyper_code_bits (const AfpHyper *self, guint points, guint classes, GError **error)
{
  const guint bits = hyper_joined_bits (points, classes, self->join);

  if (self->join > 1 && self->frame != HYPER_FRAME_TENSOR) {
    g_set_error (error, AFP_ERROR, AFP_ERROR_PROPERTY,
                 "join=%u needs frame=tensor: codes would reach across frames; set join=1",
                 self->join);
    return 0;
  }
  if (bits == 0) {
    guint most = self->join;
    while (hyper_joined_bits (points, classes, most) == 0)
      most--;
    g_set_error (error, AFP_ERROR, AFP_ERROR_PROPERTY,
                 "join=%u symbols of points=%u, classes=%u do not go into 32 bits: join at most %u",
                 self->join, points, classes, most);
  }
  return bits;
}

void
hyper_leave_out (AfpLayout *layout, const char *first, ...)
{
  va_list names;

  va_start (names, first);
  for (const char *name = first; name; name = va_arg (names, const char *))
    afp_layout_set_param_text (layout, name, NULL);
  va_end (names);
}
