/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "afp-eta.h"

#include <string.h>

#define DECAY 0.95     /* of what a tensor says, with each of its size that follows */
#define SAME 0.5       /* tensors of a size that the curve counts for */
#define MAX_COUNT 16   /* tensors of one size say no more than so many about the curve */
#define N_BENDS 4      /* of the curve; the last is no bend: it rises for ever */
#define N_SWEEPS 2000  /* of coordinate descent */
#define BEND_COST 1e-4 /* what bends cost, so that without need there are none */

/*
 * What a fit costs as long as nobody knows, for few sizes were seen so far that are not small: as much as so many weights, for a
 * tensor of so many; and what that counts for.
 */
#define SMALL 0x1p12
#define ENOUGH 3
#define USUAL_FIT 150e3
#define USUAL_SIZE 0x1p17
#define USUAL_COUNT 0.2

/* Tensors of one size. */
typedef struct {
  double size;
  guint64 left, done;
  double weight, seconds; /* sums over those done, the last ones first */
} Group;

struct _AfpEta {
  GArray *groups; /* Group */
};

/* --- what is to come, and what was -------------------------------------------------------------------------------------- */

AfpEta *
afp_eta_new (void)
{
  AfpEta *self = g_new0 (AfpEta, 1);

  self->groups = g_array_new (FALSE, TRUE, sizeof (Group));
  return self;
}

void
afp_eta_free (AfpEta *self)
{
  if (!self)
    return;
  g_array_unref (self->groups);
  g_free (self);
}

static Group *
get_group (AfpEta *self, guint64 size)
{
  for (guint i = 0; i < self->groups->len; i++) {
    Group *group = &g_array_index (self->groups, Group, i);
    if (group->size == (double) size)
      return group;
  }
  const Group fresh = { .size = (double) size };
  g_array_append_val (self->groups, fresh);
  return &g_array_index (self->groups, Group, self->groups->len - 1);
}

void
afp_eta_expect (AfpEta *self, guint64 size)
{
  get_group (self, size)->left++;
}

void
afp_eta_forget (AfpEta *self, guint64 size)
{
  Group *group = get_group (self, size);

  group->left -= group->left > 0;
}

void
afp_eta_note (AfpEta *self, guint64 size, double seconds)
{
  Group *group = get_group (self, size);

  afp_eta_forget (self, size);
  group->done++;
  group->weight = DECAY * group->weight + 1;
  group->seconds = DECAY * group->seconds + MAX (seconds, 0);
}

static double
mean_of (const Group *group)
{
  return group->seconds / group->weight;
}

/* --- the curve: the sum of coefficients times the size, each up to its bend --------------------------------------------- */

typedef struct {
  double coefficients[N_BENDS];
} Curve;

static double
get_term (guint k, double size)
{
  static const double bends[N_BENDS] = { 1, 0x1p12, 0x1p16, 0 };

  return k == N_BENDS - 1 ? size : MIN (size, bends[k]);
}

typedef struct {
  double square[N_BENDS][N_BENDS], right[N_BENDS];
} Sums;

static void
add_point (Sums *sums, double size, double mean, double weight)
{
  for (guint k = 0; k < N_BENDS; k++) {
    const double x = weight * get_term (k, size);
    sums->right[k] += x * mean;
    for (guint j = 0; j < N_BENDS; j++)
      sums->square[k][j] += x * get_term (j, size);
  }
}

/* Least squares of relative errors, with no coefficient below 0. Bends are looked for below half the largest size only. */
static void
fit_curve (const GArray *groups, Curve *curve)
{
  double top = 0, largest = 0;
  guint n_large = 0;
  Sums sums = { 0 };

  memset (curve, 0, sizeof *curve);
  for (guint i = 0; i < groups->len; i++) {
    const Group *group = &g_array_index (groups, Group, i);
    if (group->done == 0)
      continue;
    n_large += group->size > SMALL;
    if (group->size >= largest) {
      largest = group->size;
      top = mean_of (group);
    }
  }
  if (top == 0)
    return;
  for (guint i = 0; i < groups->len; i++) {
    const Group *group = &g_array_index (groups, Group, i);
    if (group->done == 0)
      continue;
    const double mean = mean_of (group), unit = mean + 0.03 * top;
    add_point (&sums, group->size, mean, (double) MIN (group->done, MAX_COUNT) / (unit * unit));
  }
  const double usual = top / (largest + USUAL_FIT) * (USUAL_SIZE + USUAL_FIT);
  if (largest > 2 * USUAL_SIZE && n_large < ENOUGH)
    add_point (&sums, USUAL_SIZE, usual, USUAL_COUNT / (usual * usual));
  for (guint k = 0; k + 1 < N_BENDS; k++)
    sums.square[k][k] *= 1 + BEND_COST;
  for (guint sweep = 0; sweep < N_SWEEPS; sweep++)
    for (guint k = N_BENDS; k-- > 0;) {
      double sum = sums.right[k];
      if (sums.square[k][k] <= 0 || (k + 1 < N_BENDS && get_term (k, G_MAXDOUBLE) > largest / 2))
        continue;
      for (guint j = 0; j < N_BENDS; j++)
        sum -= j == k ? 0 : sums.square[k][j] * curve->coefficients[j];
      curve->coefficients[k] = MAX (sum / sums.square[k][k], 0);
    }
}

static double
get_value (const Curve *curve, double size)
{
  double sum = 0;

  for (guint k = 0; k < N_BENDS; k++)
    sum += curve->coefficients[k] * get_term (k, size);
  return sum;
}

double
afp_eta_get_left (const AfpEta *self)
{
  double sum = 0;
  guint64 done = 0, left = 0;
  Curve curve;

  fit_curve (self->groups, &curve);
  for (guint i = 0; i < self->groups->len; i++) {
    const Group *group = &g_array_index (self->groups, Group, i);
    const double each =
        (group->seconds + SAME * get_value (&curve, group->size)) / (group->weight + SAME);
    sum += (double) group->left * each;
    done += group->done;
    left += group->left;
  }
  return done > 0 || left == 0 ? sum : -1;
}
