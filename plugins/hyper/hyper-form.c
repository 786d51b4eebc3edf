/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hyper.h"
#include "hyper-kernel.h"

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

/* --- how many points --- */

double
hyper_bits (const AfpHyper *self)
{
  return self->bits > 0 ? self->bits : DEFAULT_BITS;
}

/* Classes that serve pairs of normal numbers best, within a few percent of the error, and others hardly worse: SPEC.md has the numbers. */
static guint
choose_classes (double bits)
{
  return bits < 3.25 ? 0 : 1;
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
             : self->bits > 0   ? choose_classes (self->bits)
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
